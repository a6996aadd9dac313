import { Buffer } from "node:buffer";
import { createKeccak } from "hash-wasm";
import { HedgerowError } from "./errors.ts";
import type { Hex } from "./keys.ts";

// keccak-256, the hash of Ethereum, for what is hashed several times for each order: what is hashed is packed straight
// into one buffer, so that nothing is allocated on the way in.

const MOST_BYTES = 65_536;

/** More bytes than the buffer holds. */
export class TooLongToHash extends HedgerowError {
  constructor(length: number) {
    super("TooLongToHash", `${length} bytes are to be hashed, but ${MOST_BYTES} is the most: hash them in parts`, {
      length,
      most: MOST_BYTES,
    });
  }
}

const hasher = await createKeccak(256);

/** Where the next input is packed, from its start on. Every hash function of the project writes here: pack and hash in one go. */
export const INPUT: Buffer = Buffer.alloc(MOST_BYTES);
/** The same bytes, for numbers. */
export const INPUT_VIEW: DataView = new DataView(INPUT.buffer, INPUT.byteOffset, MOST_BYTES);
/** What the latest `hashInput` gave, until the next one. */
export const DIGEST: Buffer = Buffer.alloc(32);

/** Hashes the first `length` bytes of INPUT into DIGEST. Throws TooLongToHash. */
export function hashInput(length: number): void {
  if (length > MOST_BYTES) throw new TooLongToHash(length);
  DIGEST.set(digestOf(INPUT.subarray(0, length)));
}

/** DIGEST as hex. */
export function digestHex(): Hex {
  return `0x${DIGEST.toString("hex")}`;
}

/** keccak-256 of some bytes, 32 bytes of its own. Throws TooLongToHash. */
export function keccak256(bytes: Uint8Array): Uint8Array {
  if (bytes.length > MOST_BYTES) throw new TooLongToHash(bytes.length);
  return digestOf(bytes);
}

function digestOf(bytes: Uint8Array): Uint8Array {
  return hasher.init().update(bytes).digest("binary");
}
