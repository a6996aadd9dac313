import type { Chain } from "../chain/clearingHouse.ts";

/** Unix time in seconds. Execution times come from here, so it must never be ahead of the block that posts them. */
export type TimeSource = () => bigint | Promise<bigint>;

/** The time of the newest block: right on every chain, coarse where blocks are rare. */
export function blockClock(chain: Chain): TimeSource {
  return async () => (await chain.client.getBlock({ includeTransactions: false })).timestamp;
}
