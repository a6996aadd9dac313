// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

// Memory that one step of a loop needs and the next does not. Memory grows dearer with the square of its size, and the
// compiler never gives any back. The caller's duty: nothing allocated after `mark` is used after `release`.
library Scratch {
    function mark() internal pure returns (uint256 free) {
        assembly ("memory-safe") {
            free := mload(0x40)
        }
    }

    function release(uint256 free) internal pure {
        assembly ("memory-safe") {
            mstore(0x40, free)
        }
    }
}
