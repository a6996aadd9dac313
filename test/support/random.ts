import fc from "fast-check";
import { FIELD_MODULUS } from "../../src/protocol/field.ts";
import type { Account } from "../../src/protocol/note.ts";
import type { TransitionInput } from "../../src/protocol/transition.ts";
import { equity, flatOnlyValuation, type Valuation } from "../../src/protocol/valuation.ts";

const MAX_POSITION = 2n ** 31n - 1n;
const MAX_PRICE = 2n ** 80n - 1n;
const MAX_EQUITY = 2n ** 120n - 1n;

function signed(max: bigint): fc.Arbitrary<bigint> {
  return fc.oneof(fc.constantFrom(0n, 1n, -1n, max, -max), fc.bigInt({ min: -max, max }));
}

/** Any canonical field element, the extremes often. */
export const element: fc.Arbitrary<bigint> = fc.oneof(
  fc.constantFrom(0n, 1n, FIELD_MODULUS - 1n),
  fc.bigInt({ min: 0n, max: FIELD_MODULUS - 1n }),
);

export const position: fc.Arbitrary<bigint> = signed(MAX_POSITION);

const eight = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(one, { minLength: 8, maxLength: 8 });

/** Eight pairs of prices, of either sign, and any mask. */
export const valuation: fc.Arbitrary<Valuation> = fc
  .record({
    prices: eight(fc.tuple(signed(MAX_PRICE), signed(MAX_PRICE))),
    settleMask: fc.bigInt({ min: 0n, max: 255n }),
  })
  .map(({ prices, settleMask }) => ({
    priceIfLong: prices.map(([long]) => long),
    priceIfShort: prices.map(([, short]) => short),
    settleMask,
  }));

export const account: fc.Arbitrary<Account> = fc.record({ cash: signed(2n ** 120n), positions: eight(position) });

/** A transition that leaves the account with exactly `equityAfter`, from 0 to 2^120 - 1. */
export const solventTransition: fc.Arbitrary<TransitionInput> = fc
  .record({
    spendingKey: element,
    blinding: element,
    newBlinding: element,
    siblings: fc.array(element, { minLength: 20, maxLength: 20 }),
    bits: fc.array(fc.constantFrom<0 | 1>(0, 1), { minLength: 20, maxLength: 20 }),
    showSeat: fc.boolean(),
    flatOnly: fc.boolean(),
    valuation,
    before: eight(position),
    slot: fc.bigInt({ min: 0n, max: 7n }),
    after: position,
    cashDelta: signed(2n ** 119n - 1n),
    equityAfter: fc.oneof(fc.constantFrom(0n, 1n, MAX_EQUITY), fc.bigInt({ min: 0n, max: MAX_EQUITY })),
  })
  .map(({ before, slot, after, cashDelta, equityAfter, siblings, bits, flatOnly, ...rest }) => {
    const used = flatOnly ? flatOnlyValuation(rest.valuation.settleMask) : rest.valuation;
    const old = flatOnly ? before.map(() => 0n) : before;
    const target = flatOnly ? 0n : after;
    const present = old[Number(slot)] ?? 0n;
    // |positionDelta| < 2^31: a jump across the whole range is cut at it.
    const wanted = target - present;
    const positionDelta = wanted > MAX_POSITION ? MAX_POSITION : wanted < -MAX_POSITION ? -MAX_POSITION : wanted;
    const positions = old.map((p, m) => (BigInt(m) === slot ? p + positionDelta : p));
    const cash = equityAfter - cashDelta - equity({ cash: 0n, positions }, used);
    return {
      spendingKey: rest.spendingKey,
      account: { cash, positions: old },
      blinding: rest.blinding,
      path: { siblings, bits },
      newBlinding: rest.newBlinding,
      showSeat: rest.showSeat,
      valuation: used,
      change: { cashDelta, slot, positionDelta },
    };
  });
