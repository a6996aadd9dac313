import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { encodePacked, keccak256 } from "viem";
import { getCurveFromName } from "ffjavascript";
import { groth16 } from "snarkjs";
import { z } from "zod";
import type { Hex } from "../protocol/keys.ts";
import { SIGNAL_COUNT } from "../protocol/statement.ts";
import type { CallProof, ProofTask } from "./call.ts";
import { ChainContradiction, KeyMismatch } from "./errors.ts";

const CIRCUITS = resolve(import.meta.dirname, "../../circuits");

const word = z.string().regex(/^[0-9]+$/);
const pointG1 = z.tuple([word, word, word]);
const pointG2 = z.tuple([z.tuple([word, word]), z.tuple([word, word]), z.tuple([word, word])]);
const keySchema = z.looseObject({
  vk_alpha_1: pointG1,
  vk_beta_2: pointG2,
  vk_gamma_2: pointG2,
  vk_delta_2: pointG2,
  IC: z.array(pointG1).length(SIGNAL_COUNT + 1),
});
const pinsSchema = z.object({ verifyingKeyHash: z.string().regex(/^0x[0-9a-f]{64}$/) });

/** The verifying key that every proof is checked with. */
export type VerifyingKey = { readonly key: z.infer<typeof keySchema>; readonly hash: Hex };

/** Reads the committed verifying key and compares its hash with the pinned one (spec CIR-9). Throws KeyMismatch. */
export async function readVerifyingKey(): Promise<VerifyingKey> {
  const key = keySchema.parse(JSON.parse(await readFile(resolve(CIRCUITS, "keys/verification_key.json"), "utf8")));
  const { verifyingKeyHash } = pinsSchema.parse(JSON.parse(await readFile(resolve(CIRCUITS, "pins.json"), "utf8")));
  const hash = hashOf(key);
  if (hash !== verifyingKeyHash) throw new KeyMismatch(hash, verifyingKeyHash);
  return { key, hash };
}

/** keccak256 of all coordinates as words: alpha, beta, gamma, delta, IC; those of G2 imaginary part first. */
function hashOf({ vk_alpha_1, vk_beta_2, vk_gamma_2, vk_delta_2, IC }: z.infer<typeof keySchema>): Hex {
  const g1 = ([x, y]: z.infer<typeof pointG1>): readonly string[] => [x, y];
  const g2 = ([x, y]: z.infer<typeof pointG2>): readonly string[] =>
    [x, y].flatMap(([real, imaginary]) => [imaginary, real]);
  const words = [g1(vk_alpha_1), g2(vk_beta_2), g2(vk_gamma_2), g2(vk_delta_2), ...IC.map(g1)].flat();
  return keccak256(encodePacked(["uint256[]"], [words.map(BigInt)]));
}

/** Whether checking proofs has started the curve's threads. */
let isCurveUp = false;

/** Checks proofs one by one against the signals that the replay demands. Throws ChainContradiction for the first bad one. */
export async function checkProofs(
  { key }: VerifyingKey,
  tasks: readonly ProofTask[],
  onProof: (done: number, total: number) => void = () => undefined,
): Promise<void> {
  isCurveUp ||= tasks.length > 0;
  for (const [i, { proof, signals, where }] of tasks.entries()) {
    onProof(i, tasks.length);
    if (!(await holds(key, proof, signals))) {
      throw new ChainContradiction(where, "the proof does not hold for what the replay demands of it", "CIR-1");
    }
  }
}

async function holds(key: object, { a, b, c }: CallProof, signals: readonly bigint[]): Promise<boolean> {
  const [[xImaginary, xReal], [yImaginary, yReal]] = b;
  const points = {
    protocol: "groth16",
    curve: "bn128",
    pi_a: [...a, 1n].map(String),
    pi_b: [
      [xReal, xImaginary],
      [yReal, yImaginary],
      [1n, 0n],
    ].map((pair) => pair.map(String)),
    pi_c: [...c, 1n].map(String),
  };
  try {
    return await groth16.verify(key, signals.map(String), points);
  } catch {
    // Coordinates that are no points at all.
    return false;
  }
}

/** Ends the threads that checking proofs has started, so that the process can end. Nothing is checked after it. */
export async function endProofs(): Promise<void> {
  if (!isCurveUp) return;
  isCurveUp = false;
  const curve = await getCurveFromName("bn128");
  await curve.terminate();
}
