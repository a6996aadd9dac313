import { publicSignals } from "../../src/protocol/statement.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import type { Proof } from "../../src/protocol/proof.ts";
import { assertWitness } from "../../src/protocol/transition.ts";
import { type Prover, ProverRefused } from "../../src/prover/prover.ts";
import { type Exchange, type ExchangeOptions, startExchange } from "./exchange.ts";

/** Stands where a proof stands; an exchange that looks at it refuses it. */
export const NO_PROOF: Proof = {
  a: [0n, 0n],
  b: [
    [0n, 0n],
    [0n, 0n],
  ],
  c: [0n, 0n],
};

/** Refuses what the prover refuses, but makes no proof. */
export const unprovenProver: Pick<Prover, "prove"> = {
  prove: async (witness) => {
    try {
      assertWitness(witness);
    } catch (error) {
      throw error instanceof HedgerowError ? new ProverRefused(error) : error;
    }
    return Promise.resolve({ proof: NO_PROOF, publicSignals: publicSignals(witness.statement) });
  },
};

/**
 * An exchange whose contract believes every statement: what it does with them is the same, and thousands of transitions
 * cost no proof. Use it with unprovenProver, or without any account behind a transition.
 */
export function startUnprovenExchange(options: ExchangeOptions = {}): Promise<Exchange> {
  return startExchange({ ...options, unproven: true });
}
