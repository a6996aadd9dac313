import { HedgerowError } from "./errors.ts";
import {
  assertCanonical,
  assertCanonicalSecret,
  assertSigned,
  assertUnsigned,
  CASH_BITS,
  POSITION_BITS,
  toField,
} from "./field.ts";
import { hash3, hash9, TAG_BLIND, TAG_NULL } from "./hash.ts";

/** Market slots of a clearing house, hence positions of an account. */
export const SLOTS = 8;

/** The hidden contents of a seat's note. Cash in signed base units, positions in signed contracts, one per slot. */
export interface Account {
  readonly cash: bigint;
  readonly positions: readonly bigint[];
}

/** A list with one entry per slot has another length. */
export class WrongSlotCount extends HedgerowError {
  constructor(name: string, length: number) {
    super("WrongSlotCount", `${name} has ${length} entries, but there are ${SLOTS} slots: give one entry per slot`, {
      name,
      length,
    });
  }
}

/** No cash, no position: what the note of a new seat holds. */
export const EMPTY_ACCOUNT: Account = { cash: 0n, positions: Array<bigint>(SLOTS).fill(0n) };

/** Throws WrongSlotCount unless the list has one entry per slot. */
export function assertPerSlot(name: string, list: readonly unknown[]): void {
  if (list.length !== SLOTS) throw new WrongSlotCount(name, list.length);
}

/** Throws OutOfRange or WrongSlotCount unless |cash| < 2^121 and each of the eight |position| < 2^31. */
export function assertAccount(account: Account): void {
  assertPerSlot("positions", account.positions);
  assertSigned("cash", account.cash, CASH_BITS);
  account.positions.forEach((position, slot) => {
    assertSigned(`position[${slot}]`, position, POSITION_BITS);
  });
}

/**
 * note = H3(ownerKey, blinding, H9(cash, position[0..7])), signed numbers as field elements.
 * The nesting lets a contract compute a zero note with one small hash. Throws OutOfRange, NonCanonicalField, NonCanonicalSecret.
 */
export function noteCommitment(ownerKey: bigint, blinding: bigint, account: Account): bigint {
  assertCanonical("ownerKey", ownerKey);
  assertCanonicalSecret("blinding", blinding);
  assertAccount(account);
  return hash3(ownerKey, blinding, hash9([account.cash, ...account.positions].map(toField)));
}

/** The note of an empty account without blinding: the only note that a contract makes or recognises by itself. */
export function zeroNote(ownerKey: bigint): bigint {
  return noteCommitment(ownerKey, 0n, EMPTY_ACCOUNT);
}

/**
 * blinding = H(TAG_BLIND, viewingKey, index). The index of an account only ever increases and is journalled before
 * use: a repeated note would have a repeated nullifier and be lost. Throws OutOfRange, NonCanonicalSecret.
 */
export function blindingOf(viewingKey: bigint, index: bigint | number): bigint {
  assertCanonicalSecret("viewingKey", viewingKey);
  assertUnsigned("index", BigInt(index), 64n);
  return hash3(TAG_BLIND, viewingKey, BigInt(index));
}

/** nullifier = H(TAG_NULL, viewingKey, note). Throws NonCanonicalField, NonCanonicalSecret. */
export function nullifierOf(viewingKey: bigint, note: bigint): bigint {
  assertCanonicalSecret("viewingKey", viewingKey);
  assertCanonical("note", note);
  return hash3(TAG_NULL, viewingKey, note);
}
