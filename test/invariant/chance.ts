/** Chance that a seed decides: the same seed gives the same decisions. */
export type Chance = {
  /** A whole number from 0 to bound - 1. */
  readonly int: (bound: number) => number;
  /** True in `percent` of a hundred cases. */
  readonly happens: (percent: number) => boolean;
  /** One of a list, undefined if it is empty. */
  readonly pick: <T>(list: readonly T[]) => T | undefined;
  /** A whole number of `step` from `low` to `high`, both included if they lie on it. */
  readonly between: (low: bigint, high: bigint, step?: bigint) => bigint;
};

/** Xorshift with 32 bits of state, from a seed of any size. */
export function chanceOf(seed: number): Chance {
  let state = (Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995) | 1;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  for (let i = 0; i < 8; i++) next();
  const int = (bound: number): number => (bound <= 1 ? 0 : next() % bound);
  return {
    int,
    happens: (percent) => int(100) < percent,
    pick: (list) => list[int(list.length)],
    between: (low, high, step = 1n) => low + step * BigInt(int(Number((high - low) / step) + 1)),
  };
}
