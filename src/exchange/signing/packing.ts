import { Buffer } from "node:buffer";

/*
 * One message to the signing worker: how many hashes to sign (32 bits), those hashes, then hash and signature of what
 * is to be recovered. The answer: a signature for each hash, then an address for each signature, zero where no key
 * signed. Bytes are what threads exchange most cheaply.
 */

export const HASH_BYTES = 32;
export const SIGNATURE_BYTES = 65;
export const ADDRESS_BYTES = 20;
const COUNT_BYTES = 4;
const RECOVERY_BYTES = HASH_BYTES + SIGNATURE_BYTES;

/** Where the parts of a request and of its answer lie. */
export type Layout = {
  readonly toSign: number;
  readonly toRecover: number;
  readonly requestBytes: number;
  readonly answerBytes: number;
  hashToSign(index: number): number;
  recovery(index: number): number;
  signature(index: number): number;
  address(index: number): number;
};

export function layoutOf(toSign: number, toRecover: number): Layout {
  const recoveries = COUNT_BYTES + toSign * HASH_BYTES;
  const addresses = toSign * SIGNATURE_BYTES;
  return {
    toSign,
    toRecover,
    requestBytes: recoveries + toRecover * RECOVERY_BYTES,
    answerBytes: addresses + toRecover * ADDRESS_BYTES,
    hashToSign: (index) => COUNT_BYTES + index * HASH_BYTES,
    recovery: (index) => recoveries + index * RECOVERY_BYTES,
    signature: (index) => index * SIGNATURE_BYTES,
    address: (index) => addresses + index * ADDRESS_BYTES,
  };
}

/** An empty request: bytes of their own, since a message copies all memory behind a view. */
export function newRequest(layout: Layout): Buffer {
  const request = Buffer.from(new ArrayBuffer(layout.requestBytes));
  request.writeUInt32BE(layout.toSign);
  return request;
}

/** The layout that a request was packed by. */
export function layoutOfRequest(request: Buffer): Layout {
  const toSign = request.readUInt32BE();
  return layoutOf(toSign, (request.length - COUNT_BYTES - toSign * HASH_BYTES) / RECOVERY_BYTES);
}
