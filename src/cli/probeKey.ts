import { type Chain, refusalOf } from "../chain/clearingHouse.ts";
import { holdsConstant } from "../chain/codeCheck.ts";
import type { Hex } from "../protocol/keys.ts";
import { readPins } from "../prover/circuit.ts";

/** Whether a clearing house checks proofs with the pinned verifying key, and that key's hash (spec CIR-9). */
export async function probeVerifyingKey(chain: Chain): Promise<{ readonly hash: Hex; readonly isHeld: boolean }> {
  const { verifyingKeyHash } = await readPins();
  const hash: Hex = `0x${verifyingKeyHash.slice(2)}`;
  try {
    return { hash, isHeld: await holdsConstant(chain.client, chain.address, hash) };
  } catch (error) {
    throw refusalOf(error);
  }
}
