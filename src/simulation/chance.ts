/** Chance that a seed decides: the same seed gives the same decisions in the same order. */
export type Chance = {
  /** A whole number from 0 to bound - 1. */
  readonly int: (bound: number) => number;
  /** True in `permille` of a thousand cases. */
  readonly happens: (permille: number) => boolean;
  /** A whole number from low to high, both included. */
  readonly between: (low: number, high: number) => number;
  /** One of a list, undefined if it is empty. */
  readonly pick: <T>(list: readonly T[]) => T | undefined;
};

/** Xorshift with 32 bits of state, from a seed of any size. */
export function chanceOf(seed: number): Chance {
  let state = (Math.imul(seed % 2 ** 31, 0x9e3779b1) ^ Math.floor(seed / 2 ** 31) ^ 0x5bd1e995) | 1;
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
    happens: (permille) => int(1_000) < permille,
    between: (low, high) => low + int(high - low + 1),
    pick: (list) => list[int(list.length)],
  };
}
