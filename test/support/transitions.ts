import {
  draftTransition,
  buildWitness,
  type TransitionInput,
  type TransitionWitness,
} from "../../src/protocol/transition.ts";

/**
 * A plain transition to start tests from: cash 1,000, long 2 in slot 0, short 3 in slot 1; sells 1 in slot 0.
 * At the valuation below the account is worth exactly 0.
 */
export const PLAIN: TransitionInput = {
  spendingKey: 123n,
  account: { cash: 1_000n, positions: [2n, -3n, 0n, 0n, 0n, 0n, 0n, 0n] },
  blinding: 456n,
  path: { siblings: Array.from({ length: 20 }, (_, level) => BigInt(level + 7)), bits: Array<0 | 1>(20).fill(1) },
  newBlinding: 789n,
  showSeat: false,
  valuation: {
    priceIfLong: [90n, 190n, 0n, 0n, 0n, 0n, 0n, 0n],
    priceIfShort: [110n, 210n, 0n, 0n, 0n, 0n, 0n, 0n],
    settleMask: 0b10n,
  },
  change: { cashDelta: -460n, slot: 0n, positionDelta: -1n },
};

/** A ready witness of PLAIN with some parts replaced. Throws like draftTransition. */
export function witnessOf(replaced: Partial<TransitionInput> = {}, context = 2024n): TransitionWitness {
  return buildWitness(draftTransition({ ...PLAIN, ...replaced }), context);
}
