import { secp256k1 } from "@noble/curves/secp256k1.js";
import { hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { bytesToHex, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { generateMnemonic, mnemonicToSeedSync, validateMnemonic } from "@scure/bip39";
import { wordlist } from "@scure/bip39/wordlists/english.js";
import { HedgerowError } from "./errors.ts";
import { assertCanonicalSecret, assertUnsigned, FIELD_MODULUS } from "./field.ts";
import { hash2, hash3, hash4, TAG_CREDIT, TAG_OWNER, TAG_SESSION, TAG_VIEW } from "./hash.ts";

/** 0x-prefixed bytes; the same type as viem's Hex and Address. */
export type Hex = `0x${string}`;

/** Keys of one margin account. All three are field elements; spendingKey and viewingKey are secret. */
export interface AccountKeys {
  /** Spends the account. */
  readonly spendingKey: bigint;
  /** Public name of the seat: H(TAG_OWNER, spendingKey). */
  readonly ownerKey: bigint;
  /** Shows the whole past and future of the account, spends nothing, cannot be changed: H(TAG_VIEW, spendingKey). */
  readonly viewingKey: bigint;
}

const PHRASE_LENGTHS: readonly number[] = [12, 15, 18, 21, 24];
const KNOWN_WORDS: ReadonlySet<string> = new Set(wordlist);
const INDEX_BITS = 64n;

/** A seed phrase breaks a BIP-39 rule. The message never repeats a word of it, since the phrase is a secret. */
export class MalformedSeedPhrase extends HedgerowError {
  constructor(problem: string, wordNumber = 0) {
    super(
      "MalformedSeedPhrase",
      `The seed phrase ${problem}: type the English BIP-39 phrase again`,
      wordNumber > 0 ? { wordNumber } : {},
    );
  }
}

/** A fresh English BIP-39 phrase of 12 words (128 bits), from the system's random source. */
export function newSeedPhrase(): string {
  return generateMnemonic(wordlist, 128);
}

/**
 * The phrase with single spaces and small letters.
 * Throws MalformedSeedPhrase when the number of words, a word or the checksum is wrong.
 */
export function parseSeedPhrase(phrase: string): string {
  const words = phrase.normalize("NFKD").trim().toLowerCase().split(/\s+/);
  if (!PHRASE_LENGTHS.includes(words.length)) {
    throw new MalformedSeedPhrase(`has ${words.length} words, but 12, 15, 18, 21 or 24 are allowed`);
  }
  const unknown = words.findIndex((word) => !KNOWN_WORDS.has(word));
  if (unknown >= 0) {
    throw new MalformedSeedPhrase(`has a word that is not in the list, number ${unknown + 1}`, unknown + 1);
  }
  const parsed = words.join(" ");
  if (!validateMnemonic(parsed, wordlist)) throw new MalformedSeedPhrase("fails its checksum");
  return parsed;
}

/**
 * Keys of account number `account` (0, 1, ...) of a phrase.
 * spendingKey = HKDF-SHA256(BIP-39 seed, info "hedgerow/spending-key/<account>", 64 bytes) mod r; 64 bytes make the
 * remainder uniform to 2^-258. Throws MalformedSeedPhrase, or OutOfRange for a bad account number.
 */
export function accountKeys(phrase: string, account: bigint | number): AccountKeys {
  const number = BigInt(account);
  assertUnsigned("account", number, INDEX_BITS);
  const seed = mnemonicToSeedSync(parseSeedPhrase(phrase));
  const wide = hkdf(sha256, seed, undefined, utf8ToBytes(`hedgerow/spending-key/${number}`), 64);
  return keysOfSpendingKey(BigInt(`0x${bytesToHex(wide)}`) % FIELD_MODULUS);
}

/** ownerKey and viewingKey of a spending key. Throws NonCanonicalSecret. */
export function keysOfSpendingKey(spendingKey: bigint): AccountKeys {
  assertCanonicalSecret("spendingKey", spendingKey);
  return { spendingKey, ownerKey: hash2(TAG_OWNER, spendingKey), viewingKey: hash2(TAG_VIEW, spendingKey) };
}

/**
 * secp256k1 key that trades ticket number `i` of the transition that made note `noteIndex`.
 * It comes from the spending key, so that a holder of the viewing key cannot trade. Throws OutOfRange.
 */
export function sessionPrivateKey(spendingKey: bigint, noteIndex: bigint | number, i: bigint | number): Hex {
  assertCanonicalSecret("spendingKey", spendingKey);
  assertUnsigned("noteIndex", BigInt(noteIndex), INDEX_BITS);
  assertUnsigned("i", BigInt(i), INDEX_BITS);
  return secretScalar(hash4(TAG_SESSION, spendingKey, BigInt(noteIndex), BigInt(i)));
}

/** secp256k1 key that turns deposit credit number `index` into a note. Throws OutOfRange. */
export function creditPrivateKey(spendingKey: bigint, index: bigint | number): Hex {
  assertCanonicalSecret("spendingKey", spendingKey);
  assertUnsigned("index", BigInt(index), INDEX_BITS);
  return secretScalar(hash3(TAG_CREDIT, spendingKey, BigInt(index)));
}

/** Address of a secp256k1 private key, in small letters (no EIP-55 checksum: compare addresses without case). */
export function addressOf(privateKey: Hex): Hex {
  const publicKey = secp256k1.getPublicKey(hexToBytes(privateKey.slice(2)), false);
  return `0x${bytesToHex(keccak_256(publicKey.subarray(1)).subarray(12))}`;
}

/** keccak256 of the 32-byte hash, reduced into [1, n-1]. The bias is below 2^-127. */
function secretScalar(hash: bigint): Hex {
  const digest = BigInt(`0x${bytesToHex(keccak_256(hexToBytes(hash.toString(16).padStart(64, "0"))))}`);
  const scalar = (digest % (secp256k1.Point.Fn.ORDER - 1n)) + 1n;
  return `0x${scalar.toString(16).padStart(64, "0")}`;
}
