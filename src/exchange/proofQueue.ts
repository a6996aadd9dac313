import { HedgerowError } from "../protocol/errors.ts";
import type { ProvenStatement } from "../prover/proof.ts";
import type { Verifier } from "../prover/verifier.ts";

/** Tells which of several proofs do not hold. */
export type ProofCheck = Pick<Verifier, "verifyBatch">;

/** More proofs wait than are verified in a moment: each takes its time, whether it holds or not. */
export class TooManyProofs extends HedgerowError {
  constructor(waiting: number) {
    super("TooManyProofs", `${waiting} proofs wait to be verified already: try again in a second`, { waiting });
  }
}

/** Proofs that may wait: a second's work or two. */
const MOST_WAITING = 128;

type Waiting = {
  readonly item: ProvenStatement;
  readonly resolve: (holds: boolean) => void;
  readonly reject: (error: unknown) => void;
};

/**
 * Verifies proofs one batch at a time: whatever arrives while a batch is being verified forms the next one, so that
 * many proofs at once cost little more than one.
 */
export class ProofQueue {
  readonly #verifier: ProofCheck;
  #waiting: Waiting[] = [];
  #busy = false;

  constructor(verifier: ProofCheck) {
    this.#verifier = verifier;
  }

  /** Whether a proof holds. Throws TooManyProofs or ProverClosed. */
  async verify(item: ProvenStatement): Promise<boolean> {
    if (this.#waiting.length >= MOST_WAITING) throw new TooManyProofs(this.#waiting.length);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (!this.#busy) void this.#work();
    });
  }

  async #work(): Promise<void> {
    this.#busy = true;
    // Calls made in the same turn join the first batch.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        const bad = new Set(await this.#verifier.verifyBatch(batch.map(({ item }) => item)));
        batch.forEach(({ resolve }, index) => {
          resolve(!bad.has(index));
        });
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#busy = false;
  }
}
