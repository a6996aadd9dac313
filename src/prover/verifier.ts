import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Curve } from "ffjavascript";
import { z } from "zod";
import { FIELD_MODULUS } from "../protocol/field.ts";
import { SIGNAL_COUNT } from "../protocol/statement.ts";
import { CIRCUIT_FILES } from "./circuit.ts";
import { acquireCurve, releaseCurve } from "./curve.ts";
import { type PointG1, type PointG2, type ProvenStatement, ProverClosed } from "./proof.ts";

type Bytes = Uint8Array;
interface VerifyingKey {
  readonly alpha: Bytes;
  readonly beta: Bytes;
  readonly gamma: Bytes;
  readonly delta: Bytes;
  /** The point of the constant 1, then one for each public signal. */
  readonly constant: Bytes;
  readonly signals: readonly Bytes[];
}
/** An item whose points are known to lie in their groups. */
interface Item {
  readonly index: number;
  readonly a: Bytes;
  readonly b: Bytes;
  readonly c: Bytes;
  readonly signals: readonly bigint[];
}

const number = z
  .string()
  .regex(/^[0-9]+$/)
  .transform(BigInt);
const pointG1 = z.tuple([number, number, z.literal("1")]);
const pointG2 = z.tuple([
  z.tuple([number, number]),
  z.tuple([number, number]),
  z.tuple([z.literal("1"), z.literal("0")]),
]);
const keySchema = z.object({
  protocol: z.literal("groth16"),
  curve: z.literal("bn128"),
  vk_alpha_1: pointG1,
  vk_beta_2: pointG2,
  vk_gamma_2: pointG2,
  vk_delta_2: pointG2,
  IC: z.array(pointG1).length(SIGNAL_COUNT + 1),
});

/**
 * Verifies proofs off chain, many at once. It refuses whatever the contract refuses, and points at infinity besides,
 * which no honest proof has.
 */
export class Verifier {
  readonly #curve: Curve;
  readonly #key: VerifyingKey;
  #closed = false;

  private constructor(curve: Curve, key: VerifyingKey) {
    this.#curve = curve;
    this.#key = key;
  }

  /** Reads the committed verifying key. Throws a ZodError when the file is not a key of this circuit. */
  static async create(): Promise<Verifier> {
    const key = keySchema.parse(JSON.parse(await readFile(CIRCUIT_FILES.verifyingKey, "utf8")));
    const curve = await acquireCurve();
    const g1 = ([x, y]: readonly [bigint, bigint, string]): Bytes => curve.G1.fromObject([x, y, 1n]);
    const g2 = ([x, y]: z.infer<typeof pointG2>): Bytes => curve.G2.fromObject([x, y, [1n, 0n]]);
    const [constant = curve.G1.zero, ...signals] = key.IC.map(g1);
    return new Verifier(curve, {
      alpha: g1(key.vk_alpha_1),
      beta: g2(key.vk_beta_2),
      gamma: g2(key.vk_gamma_2),
      delta: g2(key.vk_delta_2),
      constant,
      signals,
    });
  }

  /** Whether one proof holds. Never throws for a bad proof, whatever its numbers. Throws ProverClosed. */
  async verify(item: ProvenStatement): Promise<boolean> {
    return (await this.verifyBatch([item])).length === 0;
  }

  /**
   * Positions of the proofs that do not hold, in rising order; empty when all hold (spec PRV-4).
   * One random linear combination checks all; only if it fails are halves checked until the bad ones are named.
   * Throws ProverClosed.
   */
  async verifyBatch(items: readonly ProvenStatement[]): Promise<number[]> {
    if (this.#closed) throw new ProverClosed();
    const bad: number[] = [];
    const wellFormed: Item[] = [];
    items.forEach((item, index) => {
      const parsed = this.#parse(item, index);
      if (parsed === undefined) bad.push(index);
      else wellFormed.push(parsed);
    });
    bad.push(...(await this.#findBad(wellFormed)));
    return bad.sort((a, b) => a - b);
  }

  /** Ends the curve's threads unless another prover or verifier uses them. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await releaseCurve(this.#curve);
  }

  async #findBad(items: readonly Item[]): Promise<number[]> {
    if (items.length === 0 || (await this.#holdTogether(items))) return [];
    if (items.length === 1) return items.map(({ index }) => index);
    const half = Math.ceil(items.length / 2);
    return [...(await this.#findBad(items.slice(0, half))), ...(await this.#findBad(items.slice(half)))];
  }

  /**
   * Sum over i of rho_i times equation i, as one product of pairings:
   * prod e(rho_i A_i, B_i) = e(sum rho_i alpha, beta) e(sum rho_i X_i, gamma) e(sum rho_i C_i, delta).
   * A bad equation survives with probability 2^-128, because rho_i is drawn after the proofs are known and all points
   * lie in groups of prime order r (a point of another order could cancel for many rho).
   */
  async #holdTogether(items: readonly Item[]): Promise<boolean> {
    const { G1 } = this.#curve;
    const pairs: Bytes[] = [];
    const weights = Array<bigint>(SIGNAL_COUNT).fill(0n);
    let rhoSum = 0n;
    let c = G1.zero;
    for (const item of items) {
      const rho = randomWeight();
      rhoSum += rho;
      pairs.push(G1.timesScalar(item.a, rho), item.b);
      c = G1.add(c, G1.timesScalar(item.c, rho));
      item.signals.forEach((signal, j) => (weights[j] = ((weights[j] ?? 0n) + rho * signal) % FIELD_MODULUS));
    }
    const x = this.#key.signals.reduce(
      (sum, point, j) => G1.add(sum, G1.timesScalar(point, weights[j] ?? 0n)),
      G1.timesScalar(this.#key.constant, rhoSum % FIELD_MODULUS),
    );
    pairs.push(G1.neg(G1.timesScalar(this.#key.alpha, rhoSum % FIELD_MODULUS)), this.#key.beta);
    pairs.push(G1.neg(x), this.#key.gamma, G1.neg(c), this.#key.delta);
    return this.#curve.pairingEq(...pairs);
  }

  #parse({ proof, publicSignals }: ProvenStatement, index: number): Item | undefined {
    const canonical = publicSignals.every((signal) => signal >= 0n && signal < FIELD_MODULUS);
    if (publicSignals.length !== SIGNAL_COUNT || !canonical) return undefined;
    const a = this.#pointG1(proof.a);
    const b = this.#pointG2(proof.b);
    const c = this.#pointG1(proof.c);
    return a && b && c && { index, a, b, c, signals: publicSignals };
  }

  #pointG1([x, y]: PointG1): Bytes | undefined {
    if (!this.#areCoordinates(x, y) || (x === 0n && y === 0n)) return undefined;
    const point = this.#curve.G1.fromObject([x, y, 1n]);
    return this.#curve.G1.isValid(point) ? point : undefined;
  }

  #pointG2([[xImaginary, xReal], [yImaginary, yReal]]: PointG2): Bytes | undefined {
    const { G2, r } = this.#curve;
    if (!this.#areCoordinates(xReal, xImaginary, yReal, yImaginary)) return undefined;
    const point = G2.fromObject([
      [xReal, xImaginary],
      [yReal, yImaginary],
      [1n, 0n],
    ]);
    if (G2.isZero(point) || !G2.isValid(point)) return undefined;
    // isValid tests the curve's equation only. The curve over the extension has further points outside the subgroup.
    return G2.isZero(G2.timesScalar(point, r)) ? point : undefined;
  }

  #areCoordinates(...values: readonly bigint[]): boolean {
    return values.every((value) => value >= 0n && value < this.#curve.q);
  }
}

/** 128 random bits, never zero. */
function randomWeight(): bigint {
  const weight = BigInt(`0x${randomBytes(16).toString("hex")}`);
  return weight === 0n ? 1n : weight;
}
