import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { writePrivateFile } from "../files.ts";
import { amount } from "../views.ts";

/**
 * What was deposited to restore the margin, so that the limit of an epoch holds over restarts. Written before a deposit
 * is sent: what was written and not sent uses the limit up all the same.
 */
export type TopUps = {
  /** Base units in an epoch. */
  of(epoch: number): bigint;
  /** Durable when it returns. */
  add(epoch: number, amount: bigint): void;
};

const schema = z.strictObject({ epoch: z.int(), total: amount });

/** The top-ups of the wallet in a directory, for one account. A file that makes no sense counts as the limit used up. */
export function topUpsIn(directory: string, account: string): TopUps {
  const file = join(directory, `top-ups-${account}.json`);
  const read = (): z.infer<typeof schema> | undefined => {
    try {
      return schema.parse(JSON.parse(readFileSync(file, "utf8")));
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      return { epoch: Number.MAX_SAFE_INTEGER, total: MOST.toString() };
    }
  };
  const of = (epoch: number): bigint => {
    const stored = read();
    if (stored === undefined || stored.epoch < epoch) return 0n;
    return BigInt(stored.total);
  };
  return {
    of,
    add: (epoch, more) => {
      writePrivateFile(file, JSON.stringify({ epoch, total: (of(epoch) + more).toString() }));
    },
  };
}

const MOST = 1n << 128n;

/** Top-ups that are forgotten with the process. */
export function memoryTopUps(): TopUps {
  const totals = new Map<number, bigint>();
  const of = (epoch: number): bigint => totals.get(epoch) ?? 0n;
  return { of, add: (epoch, more) => void totals.set(epoch, of(epoch) + more) };
}
