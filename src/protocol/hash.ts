import { poseidon2, poseidon3, poseidon4, poseidon9 } from "poseidon-lite";

/*
 * Poseidon over BN254 with circomlib's parameters. Each use outside tree and note has its own constant tag as the first
 * input, so that one kind of hash can never be passed off as another of the same arity.
 */
export const TAG_OWNER = 1n;
export const TAG_VIEW = 2n;
export const TAG_BLIND = 3n;
export const TAG_NULL = 4n;
export const TAG_SESSION = 5n;
export const TAG_CREDIT = 6n;

/** Poseidon of two field elements. The caller gives canonical elements. */
export function hash2(a: bigint, b: bigint): bigint {
  return poseidon2([a, b]);
}

/** Poseidon of three field elements. The caller gives canonical elements. */
export function hash3(a: bigint, b: bigint, c: bigint): bigint {
  return poseidon3([a, b, c]);
}

/** Poseidon of four field elements. The caller gives canonical elements. */
export function hash4(a: bigint, b: bigint, c: bigint, d: bigint): bigint {
  return poseidon4([a, b, c, d]);
}

/** Poseidon of nine field elements. The caller gives canonical elements; any other count throws inside the hash. */
export function hash9(inputs: readonly bigint[]): bigint {
  return poseidon9([...inputs]);
}
