// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {POSEIDON_TABLE} from "./PoseidonTable.sol";

// Poseidon of two field elements over BN254, circomlib's parameters, for hashing many pairs in one call: the table of
// constants is laid out in memory once. A hash costs about half of one by a call to an unrolled library that fits into
// a contract.
library Poseidon {
    uint256 private constant R = 21888242871839275222246405745257275088548364400416034343698204186575808495617;

    function table() internal pure returns (bytes memory) {
        return POSEIDON_TABLE;
    }

    // Both inputs must be below R; the result is. In between, sums of up to three terms are left unreduced: they stay
    // below 3 R < 2^256, and mulmod takes any word.
    function hash(bytes memory constants, uint256 left, uint256 right) internal pure returns (uint256 result) {
        assembly ("memory-safe") {
            function pow5(x) -> y {
                y := mulmod(x, x, R)
                y := mulmod(mulmod(y, y, R), x, R)
            }
            // One output of a full round: the product with the matrix column at `m`.
            function column(m, a0, a1, a2) -> b {
                b := add(
                    add(mulmod(a0, mload(m), R), mulmod(a1, mload(add(m, 0x20)), R)),
                    mulmod(a2, mload(add(m, 0x40)), R)
                )
            }
            function fullRound(c, m, a0, a1, a2) -> b0, b1, b2 {
                a0 := add(pow5(a0), mload(c))
                a1 := add(pow5(a1), mload(add(c, 0x20)))
                a2 := add(pow5(a2), mload(add(c, 0x40)))
                b0 := column(m, a0, a1, a2)
                b1 := column(add(m, 0x60), a0, a1, a2)
                b2 := column(add(m, 0xc0), a0, a1, a2)
            }

            let mix := add(constants, 0x20)
            let c := add(mix, 0x240)
            let s0 := mload(c)
            let s1 := add(left, mload(add(c, 0x20)))
            let s2 := add(right, mload(add(c, 0x40)))

            for { let end := add(c, 0x120) } lt(c, end) {} {
                c := add(c, 0x60)
                s0, s1, s2 := fullRound(c, mix, s0, s1, s2)
            }
            s0, s1, s2 := fullRound(add(c, 0x60), add(mix, 0x120), s0, s1, s2)
            c := add(c, 0xc0)

            let diagonal := mload(mix)
            for { let end := add(c, 0x23a0) } lt(c, end) { c := add(c, 0xa0) } {
                s0 := add(pow5(s0), mload(c))
                let t := add(
                    add(mulmod(s0, diagonal, R), mulmod(s1, mload(add(c, 0x20)), R)),
                    mulmod(s2, mload(add(c, 0x40)), R)
                )
                s1 := addmod(s1, mulmod(s0, mload(add(c, 0x60)), R), R)
                s2 := addmod(s2, mulmod(s0, mload(add(c, 0x80)), R), R)
                s0 := t
            }

            for { let end := add(c, 0x180) } lt(c, end) { c := add(c, 0x60) } {
                s0, s1, s2 := fullRound(c, mix, s0, s1, s2)
            }
            result := mod(s0, R)
        }
    }
}
