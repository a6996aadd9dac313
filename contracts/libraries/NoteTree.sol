// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

import {Bn254} from "./Bn254.sol";
import {Poseidon} from "./Poseidon.sol";

// The append-only Poseidon tree of notes. Only its right edge is stored: for each level at which the next index has a
// one bit, the last complete subtree of that level. Empty leaves are zero, and leaf 0 is never a note.
library NoteTree {
    struct Tree {
        // 0 for a tree never used, whose next leaf is leaf 1.
        uint32 nextIndex;
        mapping(uint256 level => uint256 node) frontier;
    }

    // Laid out in memory once per call.
    struct Constants {
        uint256 modulus;
        // The root of an empty subtree of each height.
        uint256[21] zeros;
    }

    error NoLeaves();
    error LeafNotCanonical(uint256 position, uint256 leaf);
    error TreeFull(uint256 startIndex, uint256 leaves, uint256 capacity);

    uint256 internal constant DEPTH = 20;
    uint256 internal constant CAPACITY = 1 << DEPTH;

    // Inserts the leaves as a subtree of the smallest 2^height >= leaves at the next multiple of 2^height, so that a
    // batch costs about one hash per leaf. Leaves passed over stay zero for ever. `leaves` is used as work space: being a
    // call to a library, this works on its own copy.
    function append(Tree storage tree, uint256[] memory leaves) public returns (uint256 root, uint256 startIndex) {
        uint256 next = tree.nextIndex == 0 ? 1 : tree.nextIndex;
        uint256 height = _heightOf(leaves.length);
        uint256 position = (next + (1 << height) - 1) >> height;
        startIndex = position << height;
        if (startIndex + (1 << height) > CAPACITY) revert TreeFull(startIndex, leaves.length, CAPACITY);

        Constants memory constants = Constants(Bn254.R, zeros());
        if (startIndex != next) {
            uint256 skipped = _completed(tree, constants, next, height);
            _file(tree, constants, skipped, height, position - 1);
        }
        uint256 level;
        (root, level, position) = _file(tree, constants, _subtree(constants, leaves, height), height, position);
        root = _root(tree, constants, root, level, position);
        tree.nextIndex = uint32(startIndex + (1 << height));
    }

    // The root of a tree without notes.
    function emptyRoot() public pure returns (uint256) {
        return zeros()[DEPTH];
    }

    function _heightOf(uint256 leaves) private pure returns (uint256 height) {
        if (leaves == 0) revert NoLeaves();
        while (1 << height < leaves) ++height;
    }

    // The subtree of `height` that leaf `next` lies in, with zero leaves from there on.
    function _completed(
        Tree storage tree,
        Constants memory constants,
        uint256 next,
        uint256 height
    ) private view returns (uint256 node) {
        for (uint256 level = 0; level < height; ++level) {
            node =
                (next >> level) & 1 == 1
                    ? _hash(constants, level, tree.frontier[level], node)
                    : _hash(constants, level, node, constants.zeros[level]);
        }
    }

    // The root over the leaves, filled up with zeros to 2^height. Works in place, level by level.
    function _subtree(
        Constants memory constants,
        uint256[] memory nodes,
        uint256 height
    ) private pure returns (uint256) {
        uint256 count = nodes.length;
        for (uint256 i = 0; i < count; ++i) {
            if (nodes[i] >= Bn254.R) revert LeafNotCanonical(i, nodes[i]);
        }
        for (uint256 level = 0; level < height; ++level) {
            for (uint256 i = 0; i < count; i += 2) {
                uint256 right = i + 1 < count ? nodes[i + 1] : constants.zeros[level];
                nodes[i / 2] = _hash(constants, level, nodes[i], right);
            }
            count = (count + 1) / 2;
        }
        return nodes[0];
    }

    // Puts a complete subtree into the frontier: together with its left neighbours as far as it completes theirs.
    // Returns what was filed and where. A full tree is filed as one node at level DEPTH, where nobody looks.
    function _file(
        Tree storage tree,
        Constants memory constants,
        uint256 node,
        uint256 level,
        uint256 position
    ) private returns (uint256, uint256, uint256) {
        while (position & 1 == 1) {
            node = _hash(constants, level, tree.frontier[level], node);
            position >>= 1;
            ++level;
        }
        tree.frontier[level] = node;
        return (node, level, position);
    }

    // The root of the tree of which the node at (`level`, `position`) is the last that is not empty.
    function _root(
        Tree storage tree,
        Constants memory constants,
        uint256 node,
        uint256 level,
        uint256 position
    ) private view returns (uint256) {
        for (; level < DEPTH; ++level) {
            node =
                position & 1 == 1
                    ? _hash(constants, level, tree.frontier[level], node)
                    : _hash(constants, level, node, constants.zeros[level]);
            position >>= 1;
        }
        return node;
    }

    // Empty subtrees need no hashing.
    function _hash(
        Constants memory constants,
        uint256 level,
        uint256 left,
        uint256 right
    ) private pure returns (uint256) {
        uint256 zero = constants.zeros[level];
        if (left == zero && right == zero) return constants.zeros[level + 1];
        return Poseidon.hash(constants.modulus, left, right);
    }

    function zeros() internal pure returns (uint256[21] memory nodes) {
        nodes[1] = 0x2098f5fb9e239eab3ceac3f27b81e481dc3124d55ffed523a839ee8446b64864;
        nodes[2] = 0x1069673dcdb12263df301a6ff584a7ec261a44cb9dc68df067a4774460b1f1e1;
        nodes[3] = 0x18f43331537ee2af2e3d758d50f72106467c6eea50371dd528d57eb2b856d238;
        nodes[4] = 0x07f9d837cb17b0d36320ffe93ba52345f1b728571a568265caac97559dbc952a;
        nodes[5] = 0x2b94cf5e8746b3f5c9631f4c5df32907a699c58c94b2ad4d7b5cec1639183f55;
        nodes[6] = 0x2dee93c5a666459646ea7d22cca9e1bcfed71e6951b953611d11dda32ea09d78;
        nodes[7] = 0x078295e5a22b84e982cf601eb639597b8b0515a88cb5ac7fa8a4aabe3c87349d;
        nodes[8] = 0x2fa5e5f18f6027a6501bec864564472a616b2e274a41211a444cbe3a99f3cc61;
        nodes[9] = 0x0e884376d0d8fd21ecb780389e941f66e45e7acce3e228ab3e2156a614fcd747;
        nodes[10] = 0x1b7201da72494f1e28717ad1a52eb469f95892f957713533de6175e5da190af2;
        nodes[11] = 0x1f8d8822725e36385200c0b201249819a6e6e1e4650808b5bebc6bface7d7636;
        nodes[12] = 0x2c5d82f66c914bafb9701589ba8cfcfb6162b0a12acf88a8d0879a0471b5f85a;
        nodes[13] = 0x14c54148a0940bb820957f5adf3fa1134ef5c4aaa113f4646458f270e0bfbfd0;
        nodes[14] = 0x190d33b12f986f961e10c0ee44d8b9af11be25588cad89d416118e4bf4ebe80c;
        nodes[15] = 0x22f98aa9ce704152ac17354914ad73ed1167ae6596af510aa5b3649325e06c92;
        nodes[16] = 0x2a7c7c9b6ce5880b9f6f228d72bf6a575a526f29c66ecceef8b753d38bba7323;
        nodes[17] = 0x2e8186e558698ec1c67af9c14d463ffc470043c9c2988b954d75dd643f36b992;
        nodes[18] = 0x0f57c5571e9a4eab49e2c8cf050dae948aef6ead647392273546249d1c1ff10f;
        nodes[19] = 0x1830ee67b5fb554ad5f63d4388800e1cfe78e310697d46e43c9ce36134f72cca;
        nodes[20] = 0x2134e76ac5d21aab186c2be1dd8f84ee880a1e46eaf712f9d371b6df22191f3e;
    }
}
