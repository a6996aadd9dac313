import { HedgerowError } from "../protocol/errors.ts";
import type { PointG1, PointG2, Proof } from "../protocol/proof.ts";

export type { PointG1, PointG2, Proof };

/** A proof with the public signals it speaks of, in the order of src/protocol/statement.ts. */
export interface ProvenStatement {
  readonly proof: Proof;
  readonly publicSignals: readonly bigint[];
}

/** The prover or verifier was used after close(). */
export class ProverClosed extends HedgerowError {
  constructor() {
    super("ProverClosed", "the prover has been closed: create a new one");
  }
}
