// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {IClearingHouse} from "../interfaces/IClearingHouse.sol";
import {SLEEPERS, State} from "./ClearingState.sol";
import {NoteTree} from "./NoteTree.sol";
import {Epoch} from "./Types.sol";

// Which tree notes go to, which roots are kept, and how much room is left.
library NoteBook {
    // Leaves kept free, per live seat and per open ticket, for getting out.
    uint256 private constant RESERVED_LEAVES = 4;

    // Inserts the first `count` notes into a tree and records its root. The next epoch's roots count from its opening on.
    function append(State storage s, uint256 tree, uint256[] memory notes, uint256 count) internal {
        if (count == 0) return;
        assembly ("memory-safe") {
            mstore(notes, count)
        }
        uint256 place = tree == SLEEPERS ? _sleepersTree(s, count) : tree;
        (uint256 root, uint256 startIndex) = NoteTree.append(s.trees[place], notes);
        s.newestRoot[place] = root;
        if (tree != uint256(s.epoch) + 1) s.roots[tree][root] = true;
        emit IClearingHouse.NotesAppended(place, startIndex, notes);
    }

    // Whether `count` more notes leave room for everybody inside to get out.
    function hasRoom(State storage s, uint32 tree, uint256 count) internal view returns (bool) {
        Epoch storage epoch = s.epochs[tree];
        uint256 reserved = RESERVED_LEAVES * (uint256(epoch.liveSeats) + epoch.openTickets);
        return _worstEnd(s, tree, count) + reserved <= NoteTree.CAPACITY;
    }

    function _sleepersTree(State storage s, uint256 count) private returns (uint256) {
        if (_worstEnd(s, SLEEPERS + s.sleepersGeneration, count) > NoteTree.CAPACITY) s.sleepersGeneration++;
        return SLEEPERS + s.sleepersGeneration;
    }

    // A subtree for `count` notes is less than twice as wide, and begins less than its width further on.
    function _worstEnd(State storage s, uint256 tree, uint256 count) private view returns (uint256) {
        return uint256(s.trees[tree].nextIndex) + 1 + 4 * count;
    }
}
