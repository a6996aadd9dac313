import { setTimeout as sleep } from "node:timers/promises";
import { passes } from "../../api/client.ts";
import type { ProgressEvent } from "../commands.ts";
import { Interrupted } from "../interrupted.ts";

export { Interrupted };

export type ReachOptions = {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
  /** How long things are waited for; those of PATIENCE where it is left out. */
  readonly patience?: Partial<Patience> | undefined;
};

/** How long a desk waits for others, milliseconds. */
export type Patience = {
  /** An exchange that does not answer is asked again for so long. */
  readonly asking: number;
  /** The chain may take so long to show a transition: batches, blocks, a restart of the exchange. */
  readonly landing: number;
  /** After so long without landing it is sent again. */
  readonly resending: number;
  /** The last fills of a ticket may take so long to settle. */
  readonly settling: number;
};

export const PATIENCE: Patience = { asking: 20_000, landing: 120_000, resending: 5_000, settling: 60_000 };

/** The first pause of an exchange that does not answer, and the longest one. Milliseconds. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;

/**
 * Asks an exchange until it answers: for calls that may be repeated without harm. Throws ExchangeRefused, Interrupted,
 * or ExchangeUnreachable or ProxyUnreachable when patience ends.
 */
export async function reach<T>(
  call: () => Promise<T>,
  { signal, onProgress, patience }: ReachOptions = {},
): Promise<T> {
  const { asking } = { ...PATIENCE, ...patience };
  const start = performance.now();
  let pause = FIRST_PAUSE_MS;
  for (;;) {
    throwIfInterrupted(signal);
    try {
      return await call();
    } catch (error) {
      if (!passes(error) || performance.now() - start + pause > asking) throw error;
      onProgress?.({ stage: "sending", text: "the exchange does not answer; trying again" });
    }
    await pauseFor(pause, signal);
    pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
  }
}

/** Throws Interrupted. */
export async function pauseFor(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
  } catch {
    throw new Interrupted();
  }
}

export function throwIfInterrupted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new Interrupted();
}
