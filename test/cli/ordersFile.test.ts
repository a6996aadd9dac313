import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { BadOrders, interleaved, parseOrders } from "../../src/cli/ordersFile.ts";
import { LOCAL_MARKETS, localClearingTerms, parseMarkets } from "../../src/clearing/localMarkets.ts";
import { faultOf } from "../../src/clearing/soundTerms.ts";

const LIMIT = { instrument: "WTI", type: "limit", side: "buy", volume: 1, price: "70000.00" };
const EXAMPLE = resolve(import.meta.dirname, "../../scripts/examples/orders.json");

test("the example of orders is understood, and capital names are those of the lower case [RUN-1]", () => {
  assert.equal(parseOrders(readFileSync(EXAMPLE, "utf8")).length, 3);
  const [loud] = parseOrders(JSON.stringify({ ada: [{ ...LIMIT, type: "LIMIT", side: "BUY", price: 70000 }] }));
  assert.deepEqual(loud?.orders[0], { ...LIMIT, price: "70000" });
});

test("a bad order is refused with client, place and field [RUN-2]", () => {
  const faults: readonly (readonly [object, RegExp])[] = [
    [{ volume: 0 }, /client "ada", order 2, volume: expected one contract or more/],
    [{ side: "hold" }, /client "ada", order 2, side: expected buy or sell/],
    [{ type: "hope" }, /client "ada", order 2, type: expected one of limit, market/],
    [{ price: "ten" }, /client "ada", order 2, price: expected a price/],
    [{ type: "market" }, /client "ada", order 2, price: a market order has no price/],
    [{ prize: 1 }, /client "ada", order 2, "prize": there is no such field/],
  ];
  for (const [change, message] of faults) {
    assert.throws(() => parseOrders(JSON.stringify({ ada: [LIMIT, { ...LIMIT, ...change }] })), message);
  }
});

test("clients come in the file's order, names that are numbers too, and none comes twice [RUN-2, RUN-3]", () => {
  const list = JSON.stringify([{ ...LIMIT, instrument: '{"1":' }]);
  const clients = parseOrders(`{"b": ${list}, "10" : [], "a\\"": ${list}, "2": []}`).map(({ client }) => client);
  assert.deepEqual(clients, ["b", "10", 'a"', "2"]);
  assert.throws(() => parseOrders('{"a": [], "\\u0061": []}'), /client "a": it is there twice/);
});

test("whatever a file holds, it is understood or refused by name [RUN-2]", () => {
  const value = fc.oneof(fc.jsonValue(), fc.constantFrom<unknown>("buy", "LIMIT", "stop", 1, "1.5", LIMIT));
  const order = fc.oneof(
    fc.record({ instrument: value, type: value, side: value, volume: value, price: value }),
    value,
  );
  const file = fc.oneof(fc.dictionary(fc.string(), fc.oneof(fc.array(order), value)), fc.jsonValue());
  fc.assert(
    fc.property(
      fc.oneof(
        file.map((json) => JSON.stringify(json)),
        fc.string(),
      ),
      (text) => {
        try {
          parseOrders(text);
        } catch (error) {
          assert(error instanceof BadOrders);
          assert.ok(error.message.startsWith("orders") || error.message.startsWith("client "));
        }
      },
    ),
  );
});

test("clients take turns, each in the order of its own, with a seed and without [RUN-3]", () => {
  const lists = [["a1", "a2", "a3"], ["b1"], ["c1", "c2"]];
  const names = (seed?: number) => interleaved(lists, seed).map(({ item }) => item);
  assert.deepEqual(names(), ["a1", "b1", "c1", "a2", "c2", "a3"]);
  assert.deepEqual(names(7), names(7));
  for (let seed = 0; seed < 50; seed++) {
    const drawn = names(seed);
    assert.deepEqual(drawn.toSorted(), names().toSorted());
    assert.deepEqual(
      drawn.filter((name) => name.startsWith("a")),
      ["a1", "a2", "a3"],
    );
  }
});

test("the local markets are sound, and unsound ones of a file are refused with the rule [GOV-3, NET-7]", () => {
  for (const terms of LOCAL_MARKETS) assert.equal(faultOf(terms), undefined);
  const gold = { contract: "GOLD", listingPrice: 2000, tick: 1, priceLimit: 50, closeOutFee: 60 };
  const whole = { ...gold, maintenanceMargin: 120, initialMargin: "130.00" };
  const [market] = parseMarkets(JSON.stringify([whole]), "m.json");
  assert.deepEqual([market?.initialMargin, market?.expandedLimit], [130_000_000n, 60_000_000n]);
  const feed = { address: `0x${"11".repeat(20)}`, multiplier: 100, maxAge: 60 };
  const [other] = parseMarkets(JSON.stringify([{ ...whole, expandedLimit: 55, priceCollar: 20, feed }]), "m.json");
  assert.deepEqual([other?.expandedLimit, other?.priceCollar, other?.feedMaxAge], [55_000_000n, 20_000_000n, 60]);
  const refused = (change: object) => () => parseMarkets(JSON.stringify([{ ...whole, ...change }]), "m.json");
  assert.throws(refused({ priceLimit: 61 }), /m.json, market 1: priceLimit must not be above closeOutFee/);
  assert.throws(refused({ tick: 7 }), /whole number of ticks/);
  assert.throws(refused({ expandedLimit: 45 }), /priceLimit must not be above expandedLimit/);
  assert.throws(refused({ priceCollar: 0.5 }), /priceCollar must be a whole number of ticks/);
  assert.throws(refused({ feed: { address: "0x11" } }), /m.json, market 1, feed: expected an address/);
  assert.throws(refused({ tick: "x" }), /m.json, market 1, tick: expected dollars/);
});

test("a local day of any length ends early only with its settlement window ahead [GOV-6, NET-7]", () => {
  for (const trading of [10, 60, 3_600, 21_600, 604_800]) {
    const { tradingTime, settlementWindow, lockTime, lockNotice } = localClearingTerms({ trading, window: 20 });
    assert.ok(lockTime > 0 && lockNotice >= settlementWindow && lockNotice < tradingTime);
  }
});
