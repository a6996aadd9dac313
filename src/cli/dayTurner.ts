import { setTimeout as sleep } from "node:timers/promises";
import { type Chain, refusalOf, type Sender } from "../chain/clearingHouse.ts";
import { nextStep, takeStep } from "../clearing/settleDay.ts";
import { keeperOf } from "../clearing/settleDayChain.ts";
import type { HedgerowError } from "../protocol/errors.ts";

/** What is told of the days as they turn. */
export type DayTurnerReport = {
  readonly onOpened?: (epoch: number) => void;
  readonly onClosed?: (epoch: number, opensAt: bigint) => void;
  /** Something was refused or not answered; it is tried again. */
  readonly onFailure?: (error: HedgerowError) => void;
};

/** Turns the days over until it is stopped. */
export type DayTurner = { stop(): Promise<void> };

const BEAT_MS = 500;

/**
 * Does what anybody may do so that the days go on (spec CLR-1): the steps of `hedgerow settle-day`, but for bonds that
 * can be forfeited. Does not keep the process alive.
 */
export function turnDays(chain: Chain, sender: Sender, report: DayTurnerReport = {}): DayTurner {
  const stopping = new AbortController();
  const { signal } = stopping;
  const keeper = keeperOf(chain, { sender, sending: { signal } });
  let seen = { epoch: 0, phase: "trading" };

  const look = async (): Promise<void> => {
    const situation = await keeper.look();
    const { epoch, phase, closedAt, terms } = situation;
    if (seen.epoch !== 0 && epoch !== seen.epoch) report.onOpened?.(epoch);
    if (phase === "window" && phase !== seen.phase) {
      report.onClosed?.(epoch, closedAt + BigInt(terms.windowA + terms.windowB));
    }
    seen = { epoch, phase };
    const step = nextStep(situation, epoch);
    if (step.kind !== "wait" && step.kind !== "done") await takeStep(keeper, step, epoch);
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
