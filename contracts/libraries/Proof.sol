// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

// A Groth16 proof. G2 coordinates come imaginary part first, as EIP-197 wants them.
struct Proof {
    uint256[2] a;
    uint256[2][2] b;
    uint256[2] c;
}
