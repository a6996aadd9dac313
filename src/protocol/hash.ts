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
  return hashed(poseidon2, [a, b]);
}

/** Poseidon of three field elements. The caller gives canonical elements. */
export function hash3(a: bigint, b: bigint, c: bigint): bigint {
  return hashed(poseidon3, [a, b, c]);
}

/** Poseidon of four field elements. The caller gives canonical elements. */
export function hash4(a: bigint, b: bigint, c: bigint, d: bigint): bigint {
  return hashed(poseidon4, [a, b, c, d]);
}

/** Poseidon of nine field elements. The caller gives canonical elements; any other count throws inside the hash. */
export function hash9(inputs: readonly bigint[]): bigint {
  return hashed(poseidon9, [...inputs]);
}

let remembered: Map<string, bigint> | undefined;
let mostRemembered = 0;

/**
 * From now on keeps up to `most` hashes with their inputs, which are never secrets of anybody in such a program: for
 * simulations, which make the same ones for many accounts over and over. 0 forgets them all.
 */
export function rememberHashes(most: number): void {
  mostRemembered = most;
  remembered = most > 0 ? new Map() : undefined;
}

function hashed(poseidon: (inputs: bigint[]) => bigint, inputs: bigint[]): bigint {
  if (remembered === undefined) return poseidon(inputs);
  const key = inputs.join();
  const known = remembered.get(key);
  if (known !== undefined) return known;
  const hash = poseidon(inputs);
  if (remembered.size >= mostRemembered) remembered.clear();
  remembered.set(key, hash);
  return hash;
}
