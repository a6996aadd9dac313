import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FIELD_MODULUS, NonCanonicalField, NonCanonicalSecret, OutOfRange } from "../../src/protocol/field.ts";
import { hash3, hash9 } from "../../src/protocol/hash.ts";
import {
  type Account,
  blindingOf,
  EMPTY_ACCOUNT,
  noteCommitment,
  nullifierOf,
  WrongSlotCount,
  zeroNote,
} from "../../src/protocol/note.ts";
import { account } from "../support/random.ts";

const withPosition = (position: bigint): Account => ({ cash: 0n, positions: [position, 0n, 0n, 0n, 0n, 0n, 0n, 0n] });

test("positions of 2^31 and -2^31, cash of 2^121 and seven positions are refused [NUM-2, NUM-5]", () => {
  for (const position of [2n ** 31n, -(2n ** 31n)]) {
    assert.throws(() => noteCommitment(1n, 2n, withPosition(position)), OutOfRange);
  }
  assert.throws(() => noteCommitment(1n, 2n, { ...EMPTY_ACCOUNT, cash: 2n ** 121n }), OutOfRange);
  assert.throws(() => noteCommitment(1n, 2n, { cash: 0n, positions: Array<bigint>(7).fill(0n) }), WrongSlotCount);
});

test("keys and blindings that are no field elements are refused [NUM-1]", () => {
  assert.throws(() => noteCommitment(FIELD_MODULUS, 0n, EMPTY_ACCOUNT), NonCanonicalField);
  assert.throws(() => noteCommitment(1n, -1n, EMPTY_ACCOUNT), NonCanonicalSecret);
  assert.throws(() => nullifierOf(1n, FIELD_MODULUS), NonCanonicalField);
  assert.throws(() => blindingOf(FIELD_MODULUS, 0n), NonCanonicalSecret);
});

test("a note commits to each of its parts [ACC-4]", () => {
  fc.assert(
    fc.property(account, fc.nat(7), (contents, slot) => {
      const note = noteCommitment(1n, 2n, contents);
      const other = contents.positions.map((p, m) => (m === slot ? (p === 0n ? 1n : -p) : p));
      assert.notEqual(noteCommitment(1n, 2n, { ...contents, positions: other }), note);
      assert.notEqual(noteCommitment(1n, 2n, { ...contents, cash: contents.cash - 1n }), note);
      assert.notEqual(noteCommitment(1n, 3n, contents), note);
      assert.notEqual(noteCommitment(2n, 2n, contents), note);
    }),
    { numRuns: 10 },
  );
});

test("the zero note is one small hash over a constant, so that a contract can compute it [ACC-5]", () => {
  assert.equal(zeroNote(77n), hash3(77n, 0n, hash9(Array<bigint>(9).fill(0n))));
});

test("blindings differ by index, nullifiers by viewing key and note [ACC-6, ACC-7]", () => {
  assert.equal(blindingOf(5n, 3), blindingOf(5n, 3n));
  assert.equal(new Set([blindingOf(5n, 0), blindingOf(5n, 1), blindingOf(6n, 0)]).size, 3);
  assert.equal(new Set([nullifierOf(5n, 0n), nullifierOf(5n, 1n), nullifierOf(6n, 0n), blindingOf(5n, 0)]).size, 4);
});
