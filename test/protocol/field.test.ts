import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  assertCanonical,
  assertSigned,
  assertUnsigned,
  FIELD_MODULUS,
  fromField,
  NonCanonicalField,
  OutOfRange,
  toField,
} from "../../src/protocol/field.ts";

const HALF = (FIELD_MODULUS - 1n) / 2n;

test("a number at or above r, or below 0, is no field element, and the error names it [NUM-1]", () => {
  for (const value of [-1n, FIELD_MODULUS, FIELD_MODULUS + 1n, 2n ** 256n - 1n]) {
    assert.throws(() => {
      assertCanonical("nullifier", value);
    }, NonCanonicalField);
    assert.throws(
      () => {
        assertCanonical("nullifier", value);
      },
      new RegExp(`nullifier is ${value}`),
    );
    assert.throws(() => fromField(value), NonCanonicalField);
  }
  for (const value of [0n, 1n, FIELD_MODULUS - 1n])
    assert.doesNotThrow(() => {
      assertCanonical("x", value);
    });
});

test("signed numbers go to the field and back, and -1 is r - 1 [NUM-2]", () => {
  assert.equal(toField(-1n), FIELD_MODULUS - 1n);
  assert.equal(fromField(FIELD_MODULUS - 1n), -1n);
  fc.assert(fc.property(fc.bigInt({ min: -HALF, max: HALF }), (x) => fromField(toField(x)) === x));
  for (const x of [HALF, -HALF, 0n]) assert.equal(fromField(toField(x)), x);
  for (const x of [HALF + 1n, -HALF - 1n]) assert.throws(() => toField(x), OutOfRange);
});

test("ranges are symmetric for signed numbers and half open for unsigned ones [NUM-2, NUM-5]", () => {
  for (const value of [2n ** 31n, -(2n ** 31n)])
    assert.throws(() => {
      assertSigned("position", value, 31n);
    }, OutOfRange);
  for (const value of [2n ** 31n - 1n, 1n - 2n ** 31n, 0n]) assertSigned("position", value, 31n);
  for (const value of [-1n, 8n])
    assert.throws(() => {
      assertUnsigned("slot", value, 3n);
    }, OutOfRange);
  for (const value of [0n, 7n]) assertUnsigned("slot", value, 3n);
});
