// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

// The BN254 precompiles. Each call says `ok` only if it succeeded and returned exactly the bytes it owes: a call to an
// address without code succeeds too, and returns nothing.
library Bn254 {
    // Order of the groups: the field of the circuit.
    uint256 internal constant R = 21888242871839275222246405745257275088548364400416034343698204186575808495617;
    // Field of the coordinates.
    uint256 internal constant Q = 21888242871839275222246405745257275088696311157297823662689037894645226208583;

    // A failing precompile burns all the gas it was given, so each gets a fixed amount: twice the price of EIP-1108, so
    // that a chain that reprices them does not strand an immutable contract. What is not used comes back.
    uint256 internal constant ADD_GAS = 300;
    uint256 internal constant MUL_GAS = 12_000;
    uint256 internal constant PAIRING_BASE_GAS = 90_000;
    uint256 internal constant PAIRING_PAIR_GAS = 68_000;

    address internal constant PAIRING = address(8);

    // Words of one (G1, G2) pair in the input of the pairing.
    uint256 internal constant PAIR_WORDS = 6;

    // `ok` is false if a point is not on the curve or a coordinate is not below Q.
    function add(uint256 x1, uint256 y1, uint256 x2, uint256 y2) internal view returns (bool ok, uint256 x, uint256 y) {
        assembly ("memory-safe") {
            let scratch := mload(0x40)
            mstore(scratch, x1)
            mstore(add(scratch, 0x20), y1)
            mstore(add(scratch, 0x40), x2)
            mstore(add(scratch, 0x60), y2)
            // Two statements: Yul evaluates arguments from right to left, so and(call, size) would read a stale size.
            ok := staticcall(ADD_GAS, 6, scratch, 0x80, scratch, 0x40)
            ok := and(ok, eq(returndatasize(), 0x40))
            x := mload(scratch)
            y := mload(add(scratch, 0x20))
        }
    }

    // `ok` is false if the point is not on the curve or a coordinate is not below Q. A scalar is taken modulo R.
    function mul(uint256 x1, uint256 y1, uint256 scalar) internal view returns (bool ok, uint256 x, uint256 y) {
        assembly ("memory-safe") {
            let scratch := mload(0x40)
            mstore(scratch, x1)
            mstore(add(scratch, 0x20), y1)
            mstore(add(scratch, 0x40), scalar)
            ok := staticcall(MUL_GAS, 7, scratch, 0x60, scratch, 0x40)
            ok := and(ok, eq(returndatasize(), 0x40))
            x := mload(scratch)
            y := mload(add(scratch, 0x20))
        }
    }

    // `ok` is false if a point is malformed or a G2 point lies outside the subgroup; `product` is 1 if the product of
    // the pairings is the identity. The caller must not pass an empty list: a product of nothing is 1.
    function pairing(uint256[] memory pairs) internal view returns (bool ok, uint256 product) {
        uint256 gasGiven = PAIRING_BASE_GAS + (PAIRING_PAIR_GAS * pairs.length) / PAIR_WORDS;
        assembly ("memory-safe") {
            // The first two words of memory are scratch space.
            ok := staticcall(gasGiven, 8, add(pairs, 0x20), shl(5, mload(pairs)), 0, 0x20)
            ok := and(ok, eq(returndatasize(), 0x20))
            product := mload(0)
        }
    }

    // The y coordinate of the negated point. The point at infinity, (0, 0), is its own negative.
    function negate(uint256 y) internal pure returns (uint256) {
        return y == 0 ? 0 : Q - y;
    }
}
