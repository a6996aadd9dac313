import type { Hex } from "../protocol/keys.ts";

/** A log as the chain keeps it. */
export type LogRecord = { readonly address: Hex; readonly topics: readonly Hex[]; readonly data: Hex };

/** A call that a contract made: who called, and with what. */
export type InnerCall = { readonly from: Hex; readonly input: Hex };

/**
 * One call of the clearing house or its registry, or another transaction that moved its tokens, with the logs of these
 * three contracts. `to` is null for a deployment, and `made` is the contract that it made. `inner` are the calls of the
 * house, in order, where the transaction reached it through other contracts. `time` in unix seconds.
 */
export type Step = {
  readonly block: number;
  readonly time: number;
  readonly hash: Hex;
  readonly from: Hex;
  readonly to: Hex | null;
  readonly input: Hex;
  readonly made?: Hex;
  readonly inner?: readonly InnerCall[];
  readonly logs: readonly LogRecord[];
};

/** All that a verdict rests on: plain data, in the order of the chain, from the deployment on. Addresses in small letters. */
export type History = {
  readonly chainId: number;
  readonly clearingHouse: Hex;
  /** Whether the code of the house or of a library that it names holds the hash of the pinned verifying key. */
  readonly holdsKey: boolean;
  /** Names of its contracts whose code is not the one compiled here; undefined where nothing is compiled. */
  readonly otherCode?: readonly string[];
  /** Tokens that the house holds at the end of the history by the token's own word, in decimal digits. */
  readonly tokens: string;
  readonly steps: readonly Step[];
};

/** Where a step stands, for people. */
export function placeOf({ block, hash }: Pick<Step, "block" | "hash">): string {
  return `block ${block}, transaction ${hash.slice(0, 14)}`;
}
