import { sha256 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";

/** Chance that a seed decides: the same seed and name give the same decisions, and no two names share any. */
export type Chance = {
  /** From 0 up to, and without, 1. */
  readonly unit: () => number;
  /** A whole number from `low` to `high`, both included. */
  readonly between: (low: number, high: number) => number;
  /** A pause of this mean length, as between events that do not know of each other. */
  readonly pause: (mean: number) => number;
};

/** The stream of chance of one bot (spec BOT-2): sfc32, started from a hash of seed and name. */
export function chanceOf(seed: number | string, name: string): Chance {
  const start = new DataView(sha256(utf8ToBytes(`${seed}/${name}`)).buffer);
  let a = start.getUint32(0);
  let b = start.getUint32(4);
  let c = start.getUint32(8);
  let counter = start.getUint32(12);
  const unit = (): number => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };
  return {
    unit,
    between: (low, high) => low + Math.floor(unit() * (high - low + 1)),
    pause: (mean) => -mean * Math.log(1 - unit()),
  };
}
