import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import type { Chain } from "./clearingHouse.ts";
import { ChainUnavailable, messageOf } from "./refusals.ts";

/** A block's number, hash and time (unix seconds). */
export type Head = { readonly number: bigint; readonly hash: Hex; readonly timestamp: bigint };

/** How the newest block is followed. Times in milliseconds. */
export type ClockOptions = {
  /** How long after an answer the node is asked again; 250 by default. */
  readonly pollMs?: number;
  /** How long the node may take for an answer; 5 seconds by default. */
  readonly timeoutMs?: number;
};

/** The time of a chain, and whether somebody still answers for it (spec CHN-13, CHN-14). */
export type ChainClock = {
  /** Unix seconds: the newest block's time, and the whole seconds since it was first seen. Never falls. */
  now(): bigint;
  /** The newest block. */
  readonly head: Head;
  /** Whether the last question was answered. */
  readonly reachable: boolean;
  /** When the last answer came, in milliseconds of performance.now(). */
  readonly lastSeenAt: number;
  /** Calls a listener with each new newest block. Returns how to stop that. */
  onBlock(listener: (head: Head) => void): () => void;
  /** Asks no more; `now` goes on. */
  stop(): void;
};

/** Follows the newest block in the background, without keeping the process alive. Throws ChainUnavailable at the start. */
export async function followClock(
  chain: Chain,
  { pollMs = 250, timeoutMs = 5_000 }: ClockOptions = {},
): Promise<ChainClock> {
  let head = await newestBlock(chain, timeoutMs);
  let lastSeenAt = performance.now();
  let firstSeenAt = lastSeenAt;
  let latest = head.timestamp;
  let reachable = true;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  const listeners = new Set<(head: Head) => void>();

  const now = (): bigint => {
    const elapsed = BigInt(Math.floor((performance.now() - firstSeenAt) / 1_000));
    const time = head.timestamp + elapsed;
    if (time > latest) latest = time;
    return latest;
  };

  const see = (block: Head): void => {
    // A node that lags tells nothing new. Another block of the same number was put in the place of the first.
    if (block.hash === head.hash || block.number < head.number) return;
    now();
    head = block;
    firstSeenAt = lastSeenAt;
    for (const listener of listeners) listener(block);
  };

  const poll = async (): Promise<void> => {
    const answer = await newestBlock(chain, timeoutMs).catch((error: unknown) => {
      if (error instanceof HedgerowError) return undefined;
      throw error;
    });
    if (stopped) return;
    reachable = answer !== undefined;
    if (answer !== undefined) {
      lastSeenAt = performance.now();
      see(answer);
    }
    next();
  };

  const next = (): void => {
    timer = setTimeout(() => void poll(), pollMs).unref();
  };

  next();
  return {
    now,
    get head() {
      return head;
    },
    get reachable() {
      return reachable;
    },
    get lastSeenAt() {
      return lastSeenAt;
    },
    onBlock: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    stop: () => {
      stopped = true;
      clearTimeout(timer);
      listeners.clear();
    },
  };
}

/** Asked without the retries of other calls: that there is no answer is an answer too. */
async function newestBlock({ client, url }: Chain, timeoutMs: number): Promise<Head> {
  try {
    const block = await client.request(
      { method: "eth_getBlockByNumber", params: ["latest", false] },
      { retryCount: 0, signal: AbortSignal.timeout(timeoutMs) },
    );
    const { number, hash, timestamp } = block ?? { number: null, hash: null, timestamp: "0x0" };
    if (number === null || hash === null) throw new Error("it knows no block");
    return { number: BigInt(number), hash, timestamp: BigInt(timestamp) };
  } catch (error) {
    throw new ChainUnavailable(`asking ${url} for its newest block`, messageOf(error));
  }
}
