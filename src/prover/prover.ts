import { groth16, type MemoryFile } from "snarkjs";
import { z } from "zod";
import { HedgerowError } from "../protocol/errors.ts";
import { publicSignals } from "../protocol/statement.ts";
import { assertWitness, circuitInput, type TransitionWitness } from "../protocol/transition.ts";
import { loadProvingKey, loadWitnessProgram } from "./circuit.ts";
import { type ProvenStatement, ProverClosed } from "./proof.ts";
import { Verifier } from "./verifier.ts";
import { WitnessProgram, witnessFile } from "./witness.ts";

/** No proof exists for this transition: `rule` is the code of the rule that it breaks, details are its numbers. */
export class ProverRefused extends HedgerowError {
  readonly rule: string;

  constructor(cause: HedgerowError) {
    super("ProverRefused", `no proof exists: ${cause.message}`, { ...cause.details, rule: cause.code });
    this.rule = cause.code;
  }
}

const coordinate = z
  .string()
  .regex(/^[0-9]+$/)
  .transform(BigInt);
const pair = z.tuple([coordinate, coordinate], z.unknown());
const snarkjsProof = z.object({ pi_a: pair, pi_b: z.tuple([pair, pair], z.unknown()), pi_c: pair });

/**
 * Proves transitions. Warm: key, witness program and curve are loaded once and stay in memory until close().
 * Proofs may be requested at any time; they are made one after the other, since each uses all cores.
 */
export class Prover {
  readonly #program: WitnessProgram;
  readonly #provingKey: MemoryFile;
  readonly #verifier: Verifier;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  private constructor(program: WitnessProgram, provingKey: Uint8Array, verifier: Verifier) {
    this.#program = program;
    this.#provingKey = { type: "mem", data: provingKey };
    this.#verifier = verifier;
  }

  /** Loads everything; compiles the circuit first if the cache does not hold it. Throws CircuitMismatch. */
  static async create(): Promise<Prover> {
    const program = await WitnessProgram.compile(await loadWitnessProgram());
    return new Prover(program, await loadProvingKey(), await Verifier.create());
  }

  /**
   * Proves one transition. Throws ProverRefused, which names the rule, when the transition is insolvent, out of range
   * or does not fit its statement; ProverClosed after close().
   */
  async prove(witness: TransitionWitness): Promise<ProvenStatement> {
    if (this.#closed) throw new ProverClosed();
    try {
      assertWitness(witness);
    } catch (error) {
      if (error instanceof HedgerowError) throw new ProverRefused(error);
      throw error;
    }
    const proving = this.#last.then(() => this.#prove(witness));
    this.#last = proving.catch(() => undefined);
    return proving;
  }

  /** Whether one proof holds; see Verifier.verify. */
  verify(item: ProvenStatement): Promise<boolean> {
    return this.#verifier.verify(item);
  }

  /** Positions of the proofs that do not hold; see Verifier.verifyBatch. */
  verifyBatch(items: readonly ProvenStatement[]): Promise<number[]> {
    return this.#verifier.verifyBatch(items);
  }

  /** Finishes the proofs under way, then ends the threads, so that the process can exit. Once is enough. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#last;
    await this.#verifier.close();
  }

  async #prove(witness: TransitionWitness): Promise<ProvenStatement> {
    const wires = this.#program.run(circuitInput(witness));
    const { proof } = await groth16.prove(this.#provingKey, { type: "mem", data: witnessFile(wires) });
    const { pi_a, pi_b, pi_c } = snarkjsProof.parse(proof);
    const [[xReal, xImaginary], [yReal, yImaginary]] = pi_b;
    return {
      proof: {
        a: [pi_a[0], pi_a[1]],
        b: [
          [xImaginary, xReal],
          [yImaginary, yReal],
        ],
        c: [pi_c[0], pi_c[1]],
      },
      publicSignals: publicSignals(witness.statement),
    };
  }
}

/** A warm prover; close() it once at the end of the program. Throws CircuitMismatch. */
export function createProver(): Promise<Prover> {
  return Prover.create();
}

/** A verifier without the proving key; close() it once. */
export function createVerifier(): Promise<Verifier> {
  return Verifier.create();
}
