import { HedgerowError } from "./errors.ts";

/** Order r of the BN254 scalar field: every note, nullifier, root and public signal is a number below it. */
export const FIELD_MODULUS = 21888242871839275222246405745257275088548364400416034343698204186575808495617n;

/** |position| < 2^31 contracts. */
export const POSITION_BITS = 31n;
/** 0 <= equity < 2^120 collateral base units. */
export const EQUITY_BITS = 120n;
/** |cashDelta| < 2^120 collateral base units. */
export const CASH_DELTA_BITS = 120n;
/** |market price| < 2^80 collateral base units per contract. */
export const PRICE_BITS = 80n;
/** |cash| < 2^121: the equity range plus the largest value of eight positions, 8 * 2^31 * 2^80 = 2^114. */
export const CASH_BITS = 121n;

/** A price that no cash can outweigh: valuing a position at (-BIG, +BIG) lets only a flat account pass. */
export const BIG = 2n ** 128n;

const LARGEST_SIGNED = (FIELD_MODULUS - 1n) / 2n;

/** A number that should be a canonical field element is not in [0, r). */
export class NonCanonicalField extends HedgerowError {
  constructor(name: string, value: bigint) {
    super("NonCanonicalField", `${name} is ${value}, outside [0, r): give the canonical field element`, {
      name,
      value,
    });
  }
}

/** A signed number or count is outside the range its meaning allows. */
export class OutOfRange extends HedgerowError {
  constructor(name: string, value: bigint, rule: string) {
    super("OutOfRange", `${name} is ${value}, but the rule is ${rule}: give a value inside it`, { name, value, rule });
  }
}

/** Throws NonCanonicalField unless 0 <= value < r. `name` is how the message calls the value. */
export function assertCanonical(name: string, value: bigint): void {
  if (value < 0n || value >= FIELD_MODULUS) throw new NonCanonicalField(name, value);
}

/** A secret that should be a canonical field element is not. The message keeps the value to itself (spec PRI-11). */
export class NonCanonicalSecret extends HedgerowError {
  constructor(name: string) {
    super("NonCanonicalSecret", `${name} is outside [0, r): give the canonical field element`, { name });
  }
}

/** assertCanonical for a secret. Throws NonCanonicalSecret. */
export function assertCanonicalSecret(name: string, secret: bigint): void {
  if (secret < 0n || secret >= FIELD_MODULUS) throw new NonCanonicalSecret(name);
}

/** Throws OutOfRange unless |value| < 2^bits. */
export function assertSigned(name: string, value: bigint, bits: bigint): void {
  const bound = 1n << bits;
  if (value <= -bound || value >= bound) throw new OutOfRange(name, value, `|${name}| < 2^${bits}`);
}

/** Throws OutOfRange unless 0 <= value < 2^bits. */
export function assertUnsigned(name: string, value: bigint, bits: bigint): void {
  if (value < 0n || value >= 1n << bits) throw new OutOfRange(name, value, `0 <= ${name} < 2^${bits}`);
}

/** The field element of a signed number: x, or r + x when x is negative. Throws OutOfRange unless |x| <= (r-1)/2. */
export function toField(signed: bigint): bigint {
  if (signed > LARGEST_SIGNED || signed < -LARGEST_SIGNED) {
    throw new OutOfRange("signed number", signed, "|x| <= (r-1)/2");
  }
  return signed < 0n ? FIELD_MODULUS + signed : signed;
}

/** The signed number of a field element, inverse of toField. Throws NonCanonicalField unless it is in [0, r). */
export function fromField(element: bigint): bigint {
  assertCanonical("field element", element);
  return element > LARGEST_SIGNED ? element - FIELD_MODULUS : element;
}
