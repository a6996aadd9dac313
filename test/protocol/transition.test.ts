import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FIELD_MODULUS, NonCanonicalField, OutOfRange } from "../../src/protocol/field.ts";
import { keysOfSpendingKey } from "../../src/protocol/keys.ts";
import { EMPTY_ACCOUNT, WrongSlotCount } from "../../src/protocol/note.ts";
import { publicSignals, SIGNAL, SIGNAL_COUNT } from "../../src/protocol/statement.ts";
import {
  applyTransition,
  assertWitness,
  buildWitness,
  changed,
  draftTransition,
  InsolventTransition,
  NO_CHANGE,
  WitnessMismatch,
} from "../../src/protocol/transition.ts";
import { barSide, equity, flatOnlyValuation, settle } from "../../src/protocol/valuation.ts";
import { element, solventTransition } from "../support/random.ts";
import { PLAIN, witnessOf } from "../support/transitions.ts";

test("an account that would be insolvent by 1 unit is refused with its equity, one worth 0 is not [CIR-5]", () => {
  assert.equal(equity(changed(PLAIN.account, PLAIN.change), PLAIN.valuation), 0n);
  assert.doesNotThrow(() => applyTransition(PLAIN.account, PLAIN.change, PLAIN.valuation));
  assert.throws(
    () => applyTransition(PLAIN.account, { ...PLAIN.change, cashDelta: -461n }, PLAIN.valuation),
    (error) => error instanceof InsolventTransition && error.details["equity"] === -1n,
  );
});

test("equity of 2^120 is refused [CIR-5]", () => {
  const rich = { ...EMPTY_ACCOUNT, cash: 2n ** 120n };
  assert.throws(() => applyTransition(rich, NO_CHANGE, flatOnlyValuation()), OutOfRange);
});

test("the flat-only prices pass an account with cash and refuse one contract either way [CIR-5, NUM-7]", () => {
  const rich = { ...EMPTY_ACCOUNT, cash: 2n ** 119n };
  assert.deepEqual(applyTransition(rich, NO_CHANGE, flatOnlyValuation()), rich);
  for (const positionDelta of [1n, -1n]) {
    assert.throws(
      () => applyTransition(rich, { ...NO_CHANGE, positionDelta }, flatOnlyValuation()),
      InsolventTransition,
    );
  }
});

test("slot 8, a mask of 9 bits, prices of 2^80, seven prices and deltas out of range are refused [CIR-4, NUM-2]", () => {
  const bad =
    (change: object, valuation: object = {}) =>
    (): unknown =>
      applyTransition(PLAIN.account, { ...PLAIN.change, ...change }, { ...PLAIN.valuation, ...valuation });
  for (const slot of [8n, -1n]) assert.throws(bad({ slot }), OutOfRange);
  for (const cashDelta of [2n ** 120n, -(2n ** 120n)]) assert.throws(bad({ cashDelta }), OutOfRange);
  for (const positionDelta of [2n ** 31n, -(2n ** 31n)]) assert.throws(bad({ positionDelta }), OutOfRange);
  assert.throws(bad({ positionDelta: 2n ** 31n - 2n }), OutOfRange);
  assert.throws(bad({}, { settleMask: 256n }), OutOfRange);
  assert.throws(bad({}, { priceIfLong: [2n ** 80n, 0n, 0n, 0n, 0n, 0n, 0n, 0n] }), OutOfRange);
  assert.throws(bad({}, { priceIfLong: Array<bigint>(8).fill(-(2n ** 128n) + 1n) }), OutOfRange);
  assert.throws(bad({}, { priceIfLong: Array<bigint>(8).fill(2n ** 128n) }), OutOfRange);
  assert.throws(bad({}, { priceIfShort: [0n] }), WrongSlotCount);
});

test("a slot may bar one side: who is on it cannot pass, who is on the other is valued as before [CIR-5, TKT-17]", () => {
  const prices = Array<bigint>(8).fill(1_000n);
  const plain = { priceIfLong: prices, priceIfShort: prices, settleMask: 0n };
  const long = { cash: 10n ** 9n, positions: [5n, 0n, 0n, 0n, 0n, 0n, 0n, 0n] };
  const noChange = { cashDelta: 0n, slot: 0n, positionDelta: 0n };
  assert.throws(() => applyTransition(long, noChange, barSide(plain, 0, "long")), InsolventTransition);
  assert.deepEqual(applyTransition(long, noChange, barSide(plain, 0, "short")), long);
  assert.deepEqual(applyTransition(long, noChange, barSide(plain, 1, "long")), long);
  const crossing = { ...noChange, positionDelta: -6n };
  assert.throws(() => applyTransition(long, crossing, barSide(plain, 0, "short")), InsolventTransition);
});

test("settlement leaves equity as it was, empties the settled slots and nothing else [CIR-6, ACC-13]", () => {
  fc.assert(
    fc.property(solventTransition, ({ account, change, valuation }) => {
      const after = changed(account, change);
      const settled = settle(after, valuation);
      assert.equal(equity(settled, valuation), equity(after, valuation));
      settled.positions.forEach((position, m) => {
        assert.equal(position, (valuation.settleMask >> BigInt(m)) & 1n ? 0n : after.positions[m]);
      });
    }),
  );
});

test("a seat is shown only when asked for [CIR-7]", () => {
  const { ownerKey } = keysOfSpendingKey(PLAIN.spendingKey);
  assert.equal(draftTransition(PLAIN).statement.seat, 0n);
  assert.equal(draftTransition({ ...PLAIN, showSeat: true }).statement.seat, ownerKey);
});

test("the public signals stand in the order that SIGNAL names, negative numbers as r + x [CIR-1]", () => {
  const { statement } = witnessOf();
  const signals = publicSignals(statement);
  assert.equal(signals.length, SIGNAL_COUNT);
  assert.equal(signals[SIGNAL.root], statement.root);
  assert.equal(signals[SIGNAL.nullifier], statement.nullifier);
  assert.equal(signals[SIGNAL.newNote], statement.newNote);
  assert.equal(signals[SIGNAL.seat], 0n);
  assert.deepEqual(signals.slice(SIGNAL.priceIfLong, SIGNAL.priceIfLong + 2), [90n, 190n]);
  assert.deepEqual(signals.slice(SIGNAL.priceIfShort, SIGNAL.priceIfShort + 2), [110n, 210n]);
  assert.equal(signals[SIGNAL.settleMask], 2n);
  assert.equal(signals[SIGNAL.cashDelta], FIELD_MODULUS - 460n);
  assert.equal(signals[SIGNAL.slot], 0n);
  assert.equal(signals[SIGNAL.positionDelta], FIELD_MODULUS - 1n);
  assert.equal(signals[SIGNAL.context], 2024n);
});

test("a statement with a number at r is refused, whichever it is [CIR-1]", () => {
  const { statement } = witnessOf();
  for (const name of ["root", "nullifier", "newNote", "seat", "context"]) {
    assert.throws(() => publicSignals({ ...statement, [name]: FIELD_MODULUS }), NonCanonicalField);
  }
  assert.throws(() => buildWitness(draftTransition(PLAIN), FIELD_MODULUS), NonCanonicalField);
});

test("a witness that draftTransition made passes the check, and each tampered signal is named [CIR-2]", () => {
  fc.assert(
    fc.property(solventTransition, element, (input, context) => {
      assertWitness(buildWitness(draftTransition(input), context));
    }),
    { numRuns: 20 },
  );
  const witness = witnessOf();
  for (const name of ["root", "nullifier", "newNote", "seat"] as const) {
    assert.throws(
      () => {
        assertWitness({ ...witness, statement: { ...witness.statement, [name]: 5n } });
      },
      (error) => error instanceof WitnessMismatch && error.details["name"] === name,
    );
  }
});
