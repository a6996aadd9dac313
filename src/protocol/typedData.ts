import { Buffer } from "node:buffer";
import { domainSeparator } from "viem";
import { HedgerowError } from "./errors.ts";
import { DIGEST, digestHex, hashInput, INPUT, INPUT_VIEW } from "./keccak.ts";
import type { Hex } from "./keys.ts";

/*
 * EIP-712 for messages of fixed-width fields, packed by hand: the exchange hashes several of them for each order. A
 * message is one word for its type and one for each field. `beginStruct`, a `put` for each field and then `hashStruct`
 * or `typedDataHash` belong together: nothing else may hash between them.
 */

/** The EIP-712 domain of one clearing house. */
export type Domain = {
  readonly name: "Hedgerow";
  readonly version: "1";
  readonly chainId: number;
  readonly verifyingContract: Hex;
};

/** The type of a message: its length in words, and keccak256 of how EIP-712 writes it. */
export type StructType = { readonly words: number; readonly typeHash: Uint8Array };

/** A value has no place in the type that its message gives it. Nothing is ever cut to fit. */
export class DoesNotFit extends HedgerowError {
  constructor(name: string, value: unknown, type: string) {
    super("DoesNotFit", `${name} is ${String(value)}, which is no ${type}: give a value of that type`, {
      name,
      value: String(value),
      type,
    });
  }
}

const WORD = 32;
const PREFIX = Buffer.from([0x19, 0x01]);
const SIXTY_FOUR = 64n;
const INT88_BOUND = 1n << 87n;
const UINT64_BOUND = 1n << 64n;
const INT256_BOUND = 1n << 255n;
const UINT256_BOUND = 1n << 256n;

const separators = new WeakMap<Domain, Uint8Array>();

/** The type that EIP-712 writes as `Name(type field,...)`. */
export function structType(text: string): StructType {
  hashInput(INPUT.write(text));
  return { words: 1 + text.split(",").length, typeHash: Uint8Array.from(DIGEST) };
}

/** Clears the words of a message and puts its type. */
export function beginStruct({ words, typeHash }: StructType): void {
  INPUT.fill(0, 0, WORD * words);
  INPUT.set(typeHash);
}

/** hashStruct of the message that was packed: in DIGEST until the next hash. */
export function hashStruct({ words }: StructType): void {
  hashInput(WORD * words);
}

/** The hash to sign: keccak256(0x1901, domain separator, hashStruct) of the message that was packed. */
export function typedDataHash(domain: Domain, type: StructType): Hex {
  const separator = separatorOf(domain);
  hashStruct(type);
  INPUT.set(PREFIX);
  INPUT.set(separator, PREFIX.length);
  INPUT.set(DIGEST, PREFIX.length + WORD);
  hashInput(PREFIX.length + 2 * WORD);
  return digestHex();
}

/** A domain object is never changed, so that its separator is computed once. */
function separatorOf(domain: Domain): Uint8Array {
  const known = separators.get(domain);
  if (known !== undefined) return known;
  const separator = Buffer.from(domainSeparator({ domain }).slice(2), "hex");
  separators.set(domain, separator);
  return separator;
}

// ------------------------------------------------------------------ one field in word number `word`

/** Throws DoesNotFit unless the value is 32 bytes of hex. */
export function putBytes32(word: number, name: string, value: Hex): void {
  writeBytes32(WORD * word, name, value);
}

/** Throws DoesNotFit unless the value is whole and 0 <= value < 2^bits; above 2^53 a number is none. */
export function putNumber(word: number, name: string, value: number, bits: 8 | 32 | 64): void {
  writeNumber(WORD * (word + 1) - bits / 8, name, value, bits);
}

/** Throws DoesNotFit unless 0 <= value < 2^64. */
export function putUint64(word: number, name: string, value: bigint): void {
  writeUint64(WORD * (word + 1) - 8, name, value);
}

export function putBool(word: number, value: boolean): void {
  INPUT_VIEW.setUint8(WORD * (word + 1) - 1, value ? 1 : 0);
}

/** Throws DoesNotFit unless -2^87 <= value < 2^87. */
export function putInt88(word: number, name: string, value: bigint): void {
  writeInt88(WORD * (word + 1) - 11, name, value);
  if (value < 0n) INPUT.fill(0xff, WORD * word, WORD * (word + 1) - 11);
}

/** Throws DoesNotFit unless 0 <= value < 2^256. */
export function putUint256(word: number, name: string, value: bigint): void {
  if (value < 0n || value >= UINT256_BOUND) throw new DoesNotFit(name, value, "uint256");
  putWord(word, value);
}

/** Throws DoesNotFit unless -2^255 <= value < 2^255. */
export function putInt256(word: number, name: string, value: bigint): void {
  if (value < -INT256_BOUND || value >= INT256_BOUND) throw new DoesNotFit(name, value, "int256");
  putWord(word, value);
}

/** setBigInt64 keeps the lowest 64 bits of what it is given, of either sign. */
function putWord(word: number, value: bigint): void {
  for (let part = 3, rest = value; part >= 0; part--, rest >>= SIXTY_FOUR) {
    INPUT_VIEW.setBigInt64(WORD * word + 8 * part, rest);
  }
}

// ------------------------------------------------------------------ the same at byte `at` of INPUT, in its own width

export function writeBytes32(at: number, name: string, value: Hex): void {
  if (value.length !== 2 + 2 * WORD || !value.startsWith("0x") || INPUT.write(value.slice(2), at, "hex") !== WORD) {
    throw new DoesNotFit(name, value, "bytes32");
  }
}

export function writeNumber(at: number, name: string, value: number, bits: 8 | 32 | 64): void {
  if (!Number.isSafeInteger(value) || value < 0 || value >= 2 ** bits) throw new DoesNotFit(name, value, `uint${bits}`);
  if (bits === 8) INPUT_VIEW.setUint8(at, value);
  else if (bits === 32) INPUT_VIEW.setUint32(at, value);
  else {
    INPUT_VIEW.setUint32(at, Math.floor(value / 2 ** 32));
    INPUT_VIEW.setUint32(at + 4, value % 2 ** 32);
  }
}

export function writeUint64(at: number, name: string, value: bigint): void {
  if (value < 0n || value >= UINT64_BOUND) throw new DoesNotFit(name, value, "uint64");
  INPUT_VIEW.setBigUint64(at, value);
}

export function writeInt88(at: number, name: string, value: bigint): void {
  if (value < -INT88_BOUND || value >= INT88_BOUND) throw new DoesNotFit(name, value, "int88");
  const high = Number(value >> SIXTY_FOUR);
  INPUT_VIEW.setInt16(at, high >> 8);
  INPUT_VIEW.setUint8(at + 2, high & 0xff);
  INPUT_VIEW.setBigInt64(at + 3, value);
}
