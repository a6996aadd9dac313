import { encodePacked, keccak256 } from "viem";
import { OutOfRange } from "../protocol/field.ts";
import type { Domain } from "../protocol/order.ts";

const PLACES = 1n << 16n;

/**
 * Number of a wallet's account at a clearing house (spec ACC-16): the first 48 bits of keccak256(chainId, contract),
 * then 16 bits of `place`. No two houses share an account of one phrase, and recovery needs no list of them.
 * Place 0 is the first account; the next one follows once its seat is closed. Throws OutOfRange.
 */
export function accountNumberOf({ chainId, verifyingContract }: Domain, place: bigint | number = 0n): bigint {
  const low = BigInt(place);
  if (low < 0n || low >= PLACES) throw new OutOfRange("place", low, "0 <= place < 2^16");
  const hash = keccak256(encodePacked(["uint256", "address"], [BigInt(chainId), verifyingContract]));
  return (BigInt(hash.slice(0, 14)) << 16n) | low;
}
