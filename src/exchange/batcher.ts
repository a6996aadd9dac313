import { HedgerowError } from "../protocol/errors.ts";

/** When a batch is posted: as soon as so much waits, or the first of it has waited so long. */
export type BatchPolicy = {
  /** Transitions and executions. */
  readonly size: number;
  readonly intervalMs: number;
};

export const BATCH_POLICY: BatchPolicy = { size: 100, intervalMs: 2_000 };

/** What the batcher needs of an operator. */
export type Batched = {
  /** Transitions and executions that wait for a batch. */
  readonly waiting: number;
  /** Whether the chain has lost batches, so that they have to be posted again. */
  readonly hasLostBatches: boolean;
  /** Whether the day is over and not closed yet. */
  readonly isDayOver: boolean;
  /** Does what is due by the clock. */
  tick(): Promise<void>;
  /** Follows the chain. */
  sync(): Promise<void>;
  postBatch(): Promise<unknown>;
  closeDay(): Promise<unknown>;
};

/** What the batcher says of its work. `failed`: the same is tried again after `retryMs`. */
export type BatcherReport = {
  readonly onPosted?: (result: unknown) => void;
  readonly onClosed?: (result: unknown) => void;
  readonly onFailure?: (what: Step, error: HedgerowError, retryMs: number) => void;
};

/** What the batcher does in turn. */
export type Step = "tick" | "follow" | "post" | "close";

/** How often the clock, the queue and the chain are looked at. */
const BEAT_MS = 100;
const SLOWEST_RETRY_MS = 15_000;

/**
 * Posts batches by size or by time, closes the day when it is over, and goes on trying while the chain does not answer.
 * What it throws itself, it throws because it is a fault of this program.
 */
export class Batcher {
  readonly #operator: Batched;
  readonly #policy: BatchPolicy;
  readonly #report: BatcherReport;
  readonly #done: Promise<void>;
  readonly #stopping = new AbortController();
  #waitingSince: number | undefined;
  #notBefore = 0;
  #failures = 0;

  constructor(operator: Batched, policy: BatchPolicy = BATCH_POLICY, report: BatcherReport = {}) {
    this.#operator = operator;
    this.#policy = policy;
    this.#report = report;
    this.#done = this.#run();
  }

  /** Resolves once nothing is under way any more. Rejects with what ended the batcher, if it was a fault. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#done;
  }

  /** Rejects if the batcher ends by itself, which only a fault of the program makes it do. */
  get done(): Promise<void> {
    return this.#done;
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await this.#attempt("tick", () => this.#operator.tick());
      await this.#attempt("follow", () => this.#operator.sync());
      if (this.#operator.isDayOver) {
        await this.#attempt("close", async () => {
          const closed = await this.#operator.closeDay();
          this.#report.onClosed?.(closed);
        });
      } else if (this.#isTime()) {
        await this.#attempt("post", async () => {
          const posted = await this.#operator.postBatch();
          this.#report.onPosted?.(posted);
          this.#waitingSince = undefined;
        });
      }
      await pause(BEAT_MS, this.#stopping.signal);
    }
  }

  #isTime(): boolean {
    const { waiting, hasLostBatches } = this.#operator;
    if (hasLostBatches) return true;
    if (waiting === 0) {
      this.#waitingSince = undefined;
      return false;
    }
    this.#waitingSince ??= performance.now();
    return waiting >= this.#policy.size || performance.now() - this.#waitingSince >= this.#policy.intervalMs;
  }

  /** Does something that the chain may refuse; after a failure everything waits, longer each time. */
  async #attempt(what: Step, work: () => Promise<unknown>): Promise<void> {
    if (performance.now() < this.#notBefore) return;
    try {
      await work();
      if (what === "post" || what === "close" || this.#operator.waiting === 0) this.#failures = 0;
    } catch (error) {
      if (!(error instanceof HedgerowError)) throw error;
      if (this.#stopping.signal.aborted) return;
      const retryMs = Math.min(SLOWEST_RETRY_MS, 250 * 2 ** this.#failures);
      this.#failures += 1;
      this.#notBefore = performance.now() + retryMs;
      this.#report.onFailure?.(what, error, retryMs);
    }
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}
