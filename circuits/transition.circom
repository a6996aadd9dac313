// SPDX-License-Identifier: GPL-3.0-only
pragma circom 2.2.2;

include "lib/note.circom";
include "lib/range.circom";

// Theorem. Prove: I know a note under `root` and the spending key that owns it; `nullifier` is its nullifier;
// `newNote` is what it becomes when the account receives `cashDelta` and, in `slot`, `positionDelta`, and the slots of
// `settleMask` are turned into cash; at the prices given the account can pay: 0 <= equity < 2^120; and `seat` is either
// 0 or my ownerKey.
//
// Duties of the contract, without which the theorem says less:
//   - every public signal is below r before any use, and the nullifier has not been spent;
//   - `root` is a root of a tree into which only the contract puts leaves: zero notes and newNotes of accepted proofs;
//   - prices are the contract's own: |price| < 2^80, or -2^128 for longs, or 2^128 for shorts, which bars that side;
//   - |cashDelta| < 2^120; `seat` is 0 or the seat's ownerKey as the action demands; `context` is its own hash.
//
// Widths: no sum below wraps modulo r. A position has |p| < 2^31, so a value has |v| < 2^31 * 2^128 = 2^159 and eight
// of them stay below 2^162. Cash of a note has |cash| < 2^121, by induction: a zero note has 0, and a proven newNote has
// cash' = equity - (values of the slots not settled). At market prices these values lie within 8 * 2^31 * 2^80 = 2^114.
// On a barred side of a slot any p has value <= -2^128, and cash + cashDelta + 2^114 < 2^122 cannot lift equity to 0,
// so nobody passes there, and on the other side the value is a market value or 0. So cash' lies in (-2^114, 2^120 + 2^114) again. Hence the integer
// cash + cashDelta + sum of values is below 2^163 in size, far from r/2, and the field element that is range-checked
// is that integer. This is why cash needs no range check of its own: a note with a cash out of range would first have to
// be made by a proof, and no proof makes one. The blindings are free: they decide nothing but the names of notes.
template AccountTransition(depth) {
    // Public, in this order. Field elements unless a unit is given; a negative x is r + x.
    signal input root;              // root that the spent note stands under
    signal input nullifier;         // H(TAG_NULL, viewingKey, note)
    signal input newNote;           // the note that replaces it
    signal input seat;              // ownerKey or 0
    signal input priceIfLong[8];    // base units per contract for p >= 0, signed, |price| < 2^80 or -2^128 (contract)
    signal input priceIfShort[8];   // base units per contract for p < 0, signed, |price| < 2^80 or 2^128 (contract)
    signal input settleMask;        // 8 bits (checked), bit m: slot m becomes cash
    signal input cashDelta;         // base units received, signed, |cashDelta| < 2^120 (contract)
    signal input slot;              // 0..7 (checked), where positionDelta goes
    signal input positionDelta;     // contracts received, signed, width follows from the positions before and after
    signal input context;           // hash of all else that the contract does

    // Private.
    signal input spendingKey;       // secret of the owner
    signal input cash;              // cash of the spent note, base units, signed, |cash| < 2^121 (induction above)
    signal input position[8];       // contracts of the spent note, signed, |p| < 2^31 (checked)
    signal input blinding;          // blinding of the spent note
    signal input newBlinding;       // blinding of the new note
    signal input sibling[depth];    // Merkle path, leaf's level first
    signal input pathBit[depth];    // 1 where the path comes up from the right (checked)

    // I own a note under the root, and this is its nullifier.
    signal ownerKey <== Poseidon(2)([TAG_OWNER(), spendingKey]);
    signal viewingKey <== Poseidon(2)([TAG_VIEW(), spendingKey]);
    signal note <== Note()(ownerKey, blinding, cash, position);
    signal noteRoot <== MerkleRoot(depth)(note, sibling, pathBit);
    noteRoot === root;
    signal noteNullifier <== Poseidon(3)([TAG_NULL(), viewingKey, note]);
    noteNullifier === nullifier;
    seat * (seat - ownerKey) === 0;

    // The change goes to exactly one slot; where the slot is not selected, the position before is the position after.
    signal isSlot[8] <== OneHot(8)(slot);
    signal before[8];               // isSlot ? position : 0
    signal after[8];                // position after the change, before settlement
    signal isLong[8];               // after >= 0
    signal received[8];             // isSlot ? positionDelta : 0
    var beforeInSlot = 0;
    for (var m = 0; m < 8; m++) {
        received[m] <== isSlot[m] * positionDelta;
        after[m] <== position[m] + received[m];
        // Width: |after| < 2^31 for all eight slots; isLong is the bound sign bit.
        isLong[m] <== SignedRange(31)(after[m]);
        before[m] <== isSlot[m] * position[m];
        beforeInSlot += before[m];
    }
    // Width: |position| < 2^31 in the selected slot; elsewhere position = after. So |positionDelta| < 2^32 besides.
    signal beforeIsLong <== SignedRange(31)(beforeInSlot);

    // Solvency, and settlement into cash.
    signal settled[8] <== UnsignedRange(8)(settleMask);
    signal price[8];                // the price that applies to the sign of the position
    signal value[8];                // base units, signed, < 2^159
    signal settledValue[8];         // settled ? value : 0
    signal newPosition[8];          // settled ? 0 : after
    var equity = cash + cashDelta;
    var newCash = cash + cashDelta;
    for (var m = 0; m < 8; m++) {
        price[m] <== priceIfShort[m] + isLong[m] * (priceIfLong[m] - priceIfShort[m]);
        value[m] <== after[m] * price[m];
        settledValue[m] <== settled[m] * value[m];
        newPosition[m] <== after[m] - settled[m] * after[m];
        equity += value[m];
        newCash += settledValue[m];
    }
    // Width: equity is a true integer below 2^163 in size (see above), so 120 bits mean 0 <= equity < 2^120.
    signal equityBit[120] <== UnsignedRange(120)(equity);

    signal computedNote <== Note()(ownerKey, newBlinding, newCash, newPosition);
    computedNote === newNote;

    // Squared so that no optimiser drops a signal that is bound but not used.
    signal contextSquare <== context * context;
}

component main {public [
    root, nullifier, newNote, seat, priceIfLong, priceIfShort, settleMask, cashDelta, slot, positionDelta, context
]} = AccountTransition(20);
