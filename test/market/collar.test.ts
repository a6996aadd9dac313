import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { apply, createBook } from "../../src/market/engine.ts";
import { BeyondCollar } from "../../src/market/errors.ts";
import type { Entry, NewOrder, Side } from "../../src/market/types.ts";
import { countTrades, openOrder } from "../../src/market/views.ts";
import { drawFrom, randomCommand } from "../support/compareBooks.ts";
import { NaiveBook } from "../support/naiveBook.ts";
import { COLLARED_TERMS, fills, lastCode, limit, replacement, run, STRICT_TERMS } from "../support/orders.ts";

// Price limits are -10 and 10, the collar is 3 around the last trade, and 0 is the centre.

const BEYOND = "Matching.BeyondCollar";
const inCollar = (...commands: Parameters<typeof run>[0]) => run(commands, COLLARED_TERMS);
/** A trade at a price, of orders that are gone afterwards. */
const tradeAt = (priceTicks: number): readonly NewOrder[] => [
  limit(`s${priceTicks}`, "sell", priceTicks, 1),
  limit(`b${priceTicks}`, "buy", priceTicks, 1),
];
const story = (entries: readonly Entry[], orderId: string): readonly string[] =>
  entries.flatMap((entry) => ("orderId" in entry && entry.orderId === orderId ? [entry.kind] : []));

describe("the price collar", () => {
  test("a limit at the collar comes in, and one tick beyond is refused; away from the market nothing is [MAT-23]", () => {
    for (const [side, worst] of [
      ["buy", 3],
      ["sell", -3],
    ] as const) {
      const beyond = side === "buy" ? worst + 1 : worst - 1;
      assert.equal(lastCode(inCollar(limit("a", side, worst, 1))), undefined);
      assert.equal(lastCode(inCollar(limit("a", side, beyond, 1))), BEYOND);
      assert.equal(lastCode(inCollar(limit("a", side, -beyond * 2, 1))), undefined);
      assert.equal(lastCode(run([limit("a", side, beyond, 1)], STRICT_TERMS)), undefined, "without a collar");
    }
  });

  test("the refusal names limit, reference, collar and the worst price allowed, in ticks and in units [MAT-23]", () => {
    const [refused] = inCollar(...tradeAt(2), limit("a", "buy", 7, 1)).entries.slice(-1);
    assert.ok(refused?.kind === "rejected" && refused.error instanceof BeyondCollar);
    assert.deepEqual(refused.error.details, {
      side: "buy",
      limitTicks: 7,
      referenceTicks: 2,
      collarTicks: 3,
      worstTicks: 5,
    });
    const priced = refused.error.priced(250n);
    assert.deepEqual(priced.details, {
      side: "buy",
      limitPrice: 1750n,
      reference: 500n,
      collar: 750n,
      worstPrice: 1250n,
    });
    assert.match(priced.message, /1750.*750.*500.*1250/);
    assert.equal(priced.code, BEYOND);
  });

  test("it follows the last trade, and begins at the centre [MAT-23]", () => {
    assert.equal(lastCode(inCollar(...tradeAt(3), limit("a", "buy", 6, 1))), undefined);
    assert.equal(lastCode(inCollar(...tradeAt(3), limit("a", "sell", -1, 1))), BEYOND);
    assert.equal(lastCode(inCollar(...tradeAt(-3), limit("a", "buy", 1, 1))), BEYOND);
  });

  test("the price of the auction is the reference after it, and the centre before it [MAT-23]", () => {
    const auction = [
      limit("b", "buy", 3, 2),
      limit("s", "sell", 2, 2),
      { kind: "uncross", referenceTicks: 0 },
      { kind: "session", session: "open" },
    ] as const;
    assert.equal(lastCode(run([limit("a", "buy", 4, 1)], COLLARED_TERMS, "pre-open")), BEYOND);
    assert.equal(lastCode(run([...auction, limit("a", "buy", 5, 1)], COLLARED_TERMS, "pre-open")), undefined);
    assert.equal(lastCode(run([...auction, limit("a", "buy", 6, 1)], COLLARED_TERMS, "pre-open")), BEYOND);
  });

  test("an immediate order with a limit of its own is refused, and a market order trades up to the collar [MAT-23]", () => {
    const asks = [limit("near", "sell", 2, 1), limit("edge", "sell", 3, 1), limit("far", "sell", 4, 1)];
    for (const timeInForce of ["IOC", "FOK"] as const) {
      assert.equal(lastCode(inCollar(...asks, limit("t", "buy", 4, 1, { timeInForce }))), BEYOND);
    }
    const market = limit("t", "buy", 10, 3, { timeInForce: "IOC" });
    const { book, entries } = inCollar(...asks, market);
    assert.deepEqual(fills(entries), ["near 1 @ 2", "edge 1 @ 3"]);
    assert.deepEqual(story(entries, "t"), ["accepted", "expired"]);
    assert.equal(openOrder(book, "far")?.remaining, 1);
    const downward = inCollar(limit("bid", "buy", -4, 1), limit("t", "sell", -10, 1, { timeInForce: "IOC" }));
    assert.deepEqual(fills(downward.entries), []);
  });

  test("a market order that must fill whole counts what the collar reaches [MAT-23, MAT-5]", () => {
    const asks = [limit("edge", "sell", 3, 1), limit("far", "sell", 4, 1)];
    const fok = (quantity: number) => limit("t", "buy", 10, quantity, { timeInForce: "FOK" });
    assert.equal(lastCode(inCollar(...asks, fok(2))), "Matching.NotFillable");
    assert.deepEqual(fills(inCollar(...asks, fok(1)).entries), ["edge 1 @ 3"]);
    assert.equal(countTrades(inCollar(...asks).book, fok(2), 10), 1);
  });

  test("a replacement that gives its place up comes in anew, and so meets the collar [MAT-23, MAT-8]", () => {
    const bid = limit("a", "buy", -1, 4);
    assert.equal(lastCode(inCollar(bid, replacement("a", "buy", 4, 4))), BEYOND);
    assert.equal(lastCode(inCollar(bid, replacement("a", "buy", 3, 4))), undefined);
    const risen = [bid, ...tradeAt(3)];
    assert.equal(lastCode(inCollar(...risen, replacement("a", "buy", 6, 9))), undefined);
    assert.equal(lastCode(inCollar(...risen, replacement("a", "buy", 7, 9))), BEYOND);
    assert.equal(openOrder(inCollar(...risen, replacement("a", "buy", 7, 9)).book, "a")?.remaining, 4);
    const waiting = limit("stop", "buy", 2, 1, { stopPriceTicks: 2 });
    assert.equal(lastCode(inCollar(waiting, replacement("stop", "buy", 9, 1))), undefined, "it is not triggered yet");
  });

  test("a triggered stop trades up to the collar of that moment, and what is left is cancelled [MAT-23, MAT-17]", () => {
    const asks = [limit("a1", "sell", 2, 1), limit("a2", "sell", 5, 1), limit("a3", "sell", 6, 1)];
    const stop = (extras: Partial<NewOrder>) => limit("stop", "buy", 9, 5, { stopPriceTicks: 2, ...extras });
    const reached = (extras: Partial<NewOrder>) => inCollar(...asks, stop(extras), limit("t", "buy", 2, 1));
    for (const [timeInForce, end] of [
      ["GTC", "cancelled"],
      ["IOC", "expired"],
    ] as const) {
      const { book, entries } = reached({ timeInForce });
      assert.deepEqual(fills(entries), ["a1 1 @ 2", "a2 1 @ 5"]);
      assert.deepEqual(story(entries, "stop"), ["accepted", "triggered", end]);
      assert.equal(openOrder(book, "stop"), undefined);
    }
    const last = reached({}).entries.at(-1);
    assert.ok(last?.kind === "cancelled" && last.reason === "beyond-collar" && last.remaining === 4);
    assert.deepEqual(fills(reached({ timeInForce: "FOK" }).entries), ["a1 1 @ 2"], "not all of it is in reach");
    assert.equal(reached({ priceTicks: 5 }).book.bids.best?.priceTicks, 5, "within the collar it rests");
  });

  test("a triggered order that would only rest beyond the collar is cancelled, post-only too [MAT-23]", () => {
    const only = { stopPriceTicks: 0, postOnly: true };
    const { book, entries } = inCollar(limit("stop", "buy", 9, 5, only), ...tradeAt(0));
    const last = entries.at(-1);
    assert.ok(last?.kind === "cancelled" && last.reason === "beyond-collar");
    assert.equal(openOrder(book, "stop"), undefined);
  });

  test("nothing ever trades beyond the collar of its reference when the order came in [MAT-23]", () => {
    for (let seed = 1; seed <= 20; seed++) assertCollared(seed, 4_000);
  });
});

/** Runs a random stream and looks at each trade; the reference of each order is that of the moment it came in. */
function assertCollared(seed: number, commands: number): void {
  const draw = drawFrom(seed);
  const { collar } = COLLARED_TERMS;
  assert.ok(collar !== undefined);
  // The naive book only tells which commands mean something.
  const shadow = new NaiveBook(COLLARED_TERMS, "pre-open");
  const book = createBook(COLLARED_TERMS, "pre-open");
  const references = new Map<string, number>();
  const priorities = new Map<string, number>();
  let reference = collar.centreTicks;
  const assertSide = (orderId: string, side: Side, priceTicks: number): void => {
    const cameInAt = references.get(orderId) ?? NaN;
    const distance = side === "buy" ? priceTicks - cameInAt : cameInAt - priceTicks;
    assert.ok(
      distance <= collar.widthTicks,
      `seed ${seed}: ${orderId} ${side} at ${priceTicks}, came in at ${cameInAt}`,
    );
  };
  for (let seq = 0; seq < commands; seq++) {
    const command = randomCommand(draw, shadow, seq);
    shadow.apply(seq, command);
    for (const entry of apply(book, seq, command)) {
      const comesIn = entry.kind === "accepted" || entry.kind === "triggered" || entry.kind === "replaced";
      if (comesIn && (entry.kind !== "replaced" || entry.prioritySeq !== priorities.get(entry.orderId))) {
        references.set(entry.orderId, reference);
      }
      if (comesIn || entry.kind === "reloaded") priorities.set(entry.orderId, entry.prioritySeq);
      if (entry.kind !== "executed") continue;
      assertSide(entry.taker, entry.takerSide, entry.priceTicks);
      assertSide(entry.maker, entry.takerSide === "buy" ? "sell" : "buy", entry.priceTicks);
      reference = entry.priceTicks;
    }
  }
}
