import { assertSigned, assertUnsigned, BIG, CASH_DELTA_BITS, OutOfRange, PRICE_BITS } from "./field.ts";
import { type Account, assertPerSlot, SLOTS } from "./note.ts";

/**
 * What a contract values an account at: for each slot the price if the position is long (or zero) and the price if it
 * is short, in signed base units per contract, and which slots are settled into cash (bit m of settleMask: slot m).
 */
export interface Valuation {
  readonly priceIfLong: readonly bigint[];
  readonly priceIfShort: readonly bigint[];
  readonly settleMask: bigint;
}

/** The valuation that only a flat account passes: any position is worth less than all cash together. */
export function flatOnlyValuation(settleMask = 0n): Valuation {
  return {
    priceIfLong: Array<bigint>(SLOTS).fill(-BIG),
    priceIfShort: Array<bigint>(SLOTS).fill(BIG),
    settleMask,
  };
}

/** The same valuation for accounts that must not be long (or short) in a slot: nobody on that side can pass. */
export function barSide(valuation: Valuation, slot: number, side: "long" | "short"): Valuation {
  const bar = (prices: readonly bigint[], price: bigint): readonly bigint[] =>
    prices.map((old, m) => (m === slot ? price : old));
  return side === "long"
    ? { ...valuation, priceIfLong: bar(valuation.priceIfLong, -BIG) }
    : { ...valuation, priceIfShort: bar(valuation.priceIfShort, BIG) };
}

/**
 * Throws WrongSlotCount or OutOfRange unless there are eight prices of each kind, each |price| < 2^80 or the price that
 * bars its side (-BIG for a long, +BIG for a short), and settleMask has 8 bits.
 */
export function assertValuation(valuation: Valuation): void {
  assertPerSlot("priceIfLong", valuation.priceIfLong);
  assertPerSlot("priceIfShort", valuation.priceIfShort);
  assertUnsigned("settleMask", valuation.settleMask, BigInt(SLOTS));
  valuation.priceIfLong.forEach((long, slot) => {
    const short = valuation.priceIfShort[slot] ?? 0n;
    if (long !== -BIG) assertSigned(`priceIfLong[${slot}]`, long, PRICE_BITS);
    if (short !== BIG) assertSigned(`priceIfShort[${slot}]`, short, PRICE_BITS);
  });
}

/** Value of one slot's position in base units: position * (position >= 0 ? priceIfLong : priceIfShort). */
export function valueOf(valuation: Valuation, slot: number, position: bigint): bigint {
  const price = (position >= 0n ? valuation.priceIfLong : valuation.priceIfShort)[slot];
  if (price === undefined) throw new OutOfRange("slot", BigInt(slot), `0 <= slot < ${SLOTS}`);
  return position * price;
}

/** Cash plus the value of every position, in base units; negative when the account could not pay. */
export function equity(account: Account, valuation: Valuation): bigint {
  return account.positions.reduce((sum, position, slot) => sum + valueOf(valuation, slot, position), account.cash);
}

/** Whether settleMask turns this slot's position into cash. */
export function isSettled(valuation: Valuation, slot: number): boolean {
  return ((valuation.settleMask >> BigInt(slot)) & 1n) === 1n;
}

/** The account after settlement: settled positions have become cash at their valuation price. Equity is unchanged. */
export function settle(account: Account, valuation: Valuation): Account {
  return {
    cash: account.positions.reduce(
      (sum, position, slot) => (isSettled(valuation, slot) ? sum + valueOf(valuation, slot, position) : sum),
      account.cash,
    ),
    positions: account.positions.map((position, slot) => (isSettled(valuation, slot) ? 0n : position)),
  };
}

/** Throws OutOfRange unless |cashDelta| < 2^120. */
export function assertCashDelta(cashDelta: bigint): void {
  assertSigned("cashDelta", cashDelta, CASH_DELTA_BITS);
}
