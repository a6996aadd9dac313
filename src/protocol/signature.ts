import { Buffer } from "node:buffer";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { keccak256 } from "./keccak.ts";
import type { Hex } from "./keys.ts";

const FORM = /^0x[0-9a-f]{128}1[bc]$/i;
const HALF_ORDER = "7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0";

/**
 * Whether a signature has the one form that the contract takes, too: 65 bytes r, s, v with s in the lower half and v 27
 * or 28. There may still be no key that made it.
 */
export function isWellFormed(signature: Hex): boolean {
  // Hex of one length and case sorts like the numbers that it writes.
  return FORM.test(signature) && signature.slice(66, 130).toLowerCase() <= HALF_ORDER;
}

/** Address, in small letters, of the key that signed a 32-byte hash; undefined where no key can have. */
export function recoverSigner(hash: Hex, signature: Hex): Hex | undefined {
  if (!isWellFormed(signature)) return undefined;
  const bytes = Buffer.from(signature.slice(2), "hex");
  try {
    const signed = secp256k1.Signature.fromBytes(bytes.subarray(0, 64)).addRecoveryBit(bytes.readUInt8(64) - 27);
    return addressOfPoint(signed.recoverPublicKey(Buffer.from(hash.slice(2), "hex")).toBytes(false));
  } catch {
    return undefined;
  }
}

/** Address of an uncompressed public key of 65 bytes. */
export function addressOfPoint(publicKey: Uint8Array): Hex {
  return `0x${Buffer.from(keccak256(publicKey.subarray(1))).toString("hex", 12)}`;
}
