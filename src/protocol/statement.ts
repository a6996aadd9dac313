import { assertCanonical, assertSigned, assertUnsigned, POSITION_BITS, toField } from "./field.ts";
import { SLOTS } from "./note.ts";
import { assertCashDelta, assertValuation, type Valuation } from "./valuation.ts";

/** What one proof says in public (spec CIR-1). Signed numbers are plain here; publicSignals makes field elements. */
export interface Statement {
  /** Root of a tree that holds the spent note. */
  readonly root: bigint;
  /** Name of the spent note that only its owner can compute. */
  readonly nullifier: bigint;
  /** The note that replaces it. */
  readonly newNote: bigint;
  /** ownerKey when the action shows its seat, otherwise 0. */
  readonly seat: bigint;
  /** Prices and settled slots, chosen by the contract. */
  readonly valuation: Valuation;
  /** Signed base units that the account receives, |cashDelta| < 2^120. */
  readonly cashDelta: bigint;
  /** Slot that positionDelta goes to, 0 <= slot < 8. */
  readonly slot: bigint;
  /** Signed contracts that the account receives, |positionDelta| < 2^31. */
  readonly positionDelta: bigint;
  /** Hash of everything else that the contract will do. */
  readonly context: bigint;
}

/** Where each value stands among the public signals: the one place in TypeScript that knows the order. */
export const SIGNAL = {
  root: 0,
  nullifier: 1,
  newNote: 2,
  seat: 3,
  priceIfLong: 4,
  priceIfShort: 4 + SLOTS,
  settleMask: 4 + 2 * SLOTS,
  cashDelta: 5 + 2 * SLOTS,
  slot: 6 + 2 * SLOTS,
  positionDelta: 7 + 2 * SLOTS,
  context: 8 + 2 * SLOTS,
} as const;

/** Number of public signals. */
export const SIGNAL_COUNT = 25;

/**
 * The 25 public signals as canonical field elements, in the circuit's order.
 * Throws NonCanonicalField, OutOfRange or WrongSlotCount when a value breaks its range.
 */
export function publicSignals(statement: Statement): bigint[] {
  const { root, nullifier, newNote, seat, valuation, cashDelta, slot, positionDelta, context } = statement;
  for (const [name, value] of Object.entries({ root, nullifier, newNote, seat, context })) assertCanonical(name, value);
  assertValuation(valuation);
  assertCashDelta(cashDelta);
  assertUnsigned("slot", slot, 3n);
  assertSigned("positionDelta", positionDelta, POSITION_BITS);
  return [
    root,
    nullifier,
    newNote,
    seat,
    ...valuation.priceIfLong.map(toField),
    ...valuation.priceIfShort.map(toField),
    valuation.settleMask,
    toField(cashDelta),
    slot,
    toField(positionDelta),
    context,
  ];
}
