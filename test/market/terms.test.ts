import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BadPrice, BadQuantity, BadTick, MatchingError, OffLimits, OffTick } from "../../src/market/errors.ts";
import { fromTicks, toTicks, validateOrder } from "../../src/market/terms.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import { STRICT_TERMS } from "../support/orders.ts";

test("a price off the tick is refused by name, also below zero [MAT-1]", () => {
  for (const price of [101n, -101n, 1n]) {
    assert.throws(
      () => toTicks(price, 10n),
      (error) => error instanceof OffTick && error.message.includes(`${price}`) && error.details["tick"] === 10n,
    );
  }
});

test("a tick of zero or less is refused [MAT-1]", () => {
  for (const tick of [0n, -5n]) assert.throws(() => toTicks(10n, tick), BadTick);
});

test("a price beyond 2^53 ticks is refused [MAT-1]", () => {
  assert.equal(toTicks(2n ** 53n - 1n, 1n), Number.MAX_SAFE_INTEGER);
  assert.throws(() => toTicks(2n ** 53n, 1n), BadPrice);
  assert.throws(() => toTicks(-(2n ** 80n), 1n), BadPrice);
});

test("ticks and prices convert back and forth, for tokens of 18 decimals too [MAT-1]", () => {
  const ticks = fc.integer({ min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER });
  const tick = fc.bigInt({ min: 1n, max: 10n ** 20n });
  fc.assert(
    fc.property(ticks, tick, (n, tick) => {
      assert.equal(toTicks(fromTicks(n, tick), tick), n);
    }),
  );
});

test("a zero price is zero ticks, never minus zero [MAT-1]", () => {
  assert.ok(Object.is(toTicks(0n, 10n), 0));
});

test("an order is refused for quantity, price and limits by errors of the matching stage [MAT-1, MAT-2]", () => {
  validateOrder(STRICT_TERMS, { priceTicks: -10, quantity: 2 ** 31 - 1 });
  const refused = (priceTicks: number, quantity: number) => () => {
    validateOrder(STRICT_TERMS, { priceTicks, quantity });
  };
  for (const quantity of [0, -1, 2 ** 31]) assert.throws(refused(0, quantity), BadQuantity);
  for (const price of [-11, 11]) assert.throws(refused(price, 1), OffLimits);
  assert.throws(refused(0.5, 1), BadPrice);
  assert.throws(
    refused(11, 1),
    (error) => error instanceof HedgerowError && error instanceof MatchingError && error.code === "Matching.OffLimits",
  );
});
