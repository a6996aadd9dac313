import { HedgerowError } from "../protocol/errors.ts";

/** A point of G1: x, y. */
export type PointG1 = readonly [bigint, bigint];
/** A point of G2, each coordinate with its imaginary part first, as EIP-197 and the contracts have it. */
export type PointG2 = readonly [readonly [bigint, bigint], readonly [bigint, bigint]];

/** A Groth16 proof in the contracts' order. */
export interface Proof {
  readonly a: PointG1;
  readonly b: PointG2;
  readonly c: PointG1;
}

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
