import { setTimeout as sleep } from "node:timers/promises";
import { call, type Chain, closeEpoch, readDayState, refusalOf, type Sender } from "../chain/clearingHouse.ts";
import type { HedgerowError } from "../protocol/errors.ts";

/** What is told of the days as they turn. */
export type DayTurnerReport = {
  readonly onOpened?: (epoch: number) => void;
  readonly onClosed?: (epoch: number, opensAt: bigint) => void;
  /** Something was refused or not answered; it is tried again. */
  readonly onFailure?: (error: HedgerowError) => void;
};

/** Lengths of a clearing house's day, in seconds. */
export type DayLengths = { readonly settleGrace: number; readonly windowA: number; readonly windowB: number };

/** Turns the days over until it is stopped. */
export type DayTurner = { stop(): Promise<void> };

const BEAT_MS = 500;

/**
 * Does what anybody may do so that the days go on: opens the next epoch when the window is over (spec EPO-6), and
 * closes one that its exchange has left open (EPO-4). Does not keep the process alive.
 */
export function turnDays(chain: Chain, sender: Sender, lengths: DayLengths, report: DayTurnerReport = {}): DayTurner {
  const stopping = new AbortController();
  const { signal } = stopping;
  let seen = { epoch: 0, phase: "trading" };

  const look = async (): Promise<void> => {
    const { epoch, phase } = await readDayState(chain);
    const { timestamp } = await chain.client.getBlock();
    const day = await chain.house.read.epochOf([epoch]);
    const opensAt = day.closedAt + BigInt(lengths.windowA + lengths.windowB);
    if (seen.epoch !== 0 && epoch !== seen.epoch) report.onOpened?.(epoch);
    if (phase === "window" && phase !== seen.phase) report.onClosed?.(epoch, opensAt);
    seen = { epoch, phase };
    if (phase === "window" && timestamp >= opensAt) {
      await call(chain, sender, { functionName: "openEpoch", args: [] }, { signal });
    } else if (phase === "trading" && timestamp > day.closingTime + BigInt(lengths.settleGrace)) {
      await closeEpoch(chain, sender, [], { signal });
    }
  };

  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        await look();
      } catch (error) {
        if (stopping.signal.aborted) return;
        report.onFailure?.(refusalOf(error));
      }
      await sleep(BEAT_MS, undefined, { signal, ref: false }).catch(() => undefined);
    }
  };

  const done = run();
  return {
    stop: async () => {
      stopping.abort();
      await done;
    },
  };
}
