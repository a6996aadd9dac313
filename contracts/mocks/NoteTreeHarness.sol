// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {NoteTree} from "../libraries/NoteTree.sol";
import {Notes} from "../libraries/Notes.sol";

// A note tree in the open, which can be put near its end.
contract NoteTreeHarness {
    using NoteTree for NoteTree.Tree;

    event Appended(uint256 root, uint256 startIndex, uint256 gasUsed);

    NoteTree.Tree public tree;

    function append(uint256[] memory leaves) external {
        uint256 before = gasleft();
        (uint256 root, uint256 startIndex) = tree.append(leaves);
        emit Appended(root, startIndex, before - gasleft());
    }

    function setNextIndex(uint32 nextIndex, uint256[20] calldata frontier) external {
        tree.nextIndex = nextIndex;
        for (uint256 level = 0; level < 20; ++level) tree.frontier[level] = frontier[level];
    }

    function emptyRoot() external pure returns (uint256) {
        return NoteTree.emptyRoot();
    }

    function zeroNote(uint256 ownerKey) external pure returns (uint256) {
        return Notes.zeroNote(ownerKey);
    }
}
