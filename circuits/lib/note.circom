// SPDX-License-Identifier: GPL-3.0-only
pragma circom 2.2.2;

include "../../node_modules/circomlib/circuits/poseidon.circom";

// Tags keep the kinds of hash apart. They are the first input and equal those of the protocol library.
function TAG_OWNER() { return 1; }
function TAG_VIEW() { return 2; }
function TAG_NULL() { return 4; }

// note = H3(ownerKey, blinding, H9(cash, position[0..7])). Nothing is range-checked here.
template Note() {
    signal input ownerKey;      // public name of the seat, field element
    signal input blinding;      // hides the contents, field element
    signal input cash;          // signed base units
    signal input position[8];   // signed contracts per slot
    signal output note;

    signal contents <== Poseidon(9)([
        cash,
        position[0], position[1], position[2], position[3],
        position[4], position[5], position[6], position[7]
    ]);
    note <== Poseidon(3)([ownerKey, blinding, contents]);
}

// Prove: root is the root of a tree of 2^depth leaves in which leaf stands where pathBit[] lead (1: comes up from the right).
template MerkleRoot(depth) {
    signal input leaf;              // field element
    signal input sibling[depth];    // the other child at each level, leaf's level first
    signal input pathBit[depth];    // 0 or 1, checked here
    signal output root;

    signal node[depth + 1];
    signal swap[depth];
    node[0] <== leaf;
    for (var level = 0; level < depth; level++) {
        pathBit[level] * (pathBit[level] - 1) === 0;
        swap[level] <== pathBit[level] * (sibling[level] - node[level]);
        node[level + 1] <== Poseidon(2)([node[level] + swap[level], sibling[level] - swap[level]]);
    }
    root <== node[depth];
}
