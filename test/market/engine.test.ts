import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { apply, createBook } from "../../src/market/engine.ts";
import { BadSequence } from "../../src/market/errors.ts";
import { MAX_QUANTITY, OPEN_TERMS } from "../../src/market/terms.ts";
import { type Command, orderIdOf } from "../../src/market/types.ts";
import { bestAsk, bestBid, depth, openOrder, openOrders, stateHash, trades } from "../../src/market/views.ts";
import { cancelOf, fills, lastCode, limit, replacement, run, STRICT_TERMS } from "../support/orders.ts";

/** Applies one more command, which must be rejected with `code` and change nothing but the command number. */
function assertRefused(before: readonly Command[], command: Command, code: string, terms = STRICT_TERMS): void {
  const { book } = run(before, terms);
  const orders = [...openOrders(book)];
  const entries = apply(book, before.length, command);
  assert.equal(entries.length, 1);
  assert.equal(lastCode({ entries }), code);
  assert.deepEqual([...openOrders(book)], orders);
}

describe("what may enter", () => {
  for (const quantity of [0, -1, 1.5, 2 ** 31, NaN, Infinity]) {
    test(`a quantity of ${quantity} is rejected [MAT-1]`, () => {
      assertRefused([], limit("a", "buy", 1, quantity), "Matching.BadQuantity");
    });
  }

  for (const price of [0.5, 2 ** 53, NaN]) {
    test(`a price of ${price} ticks is rejected [MAT-1]`, () => {
      assertRefused([], limit("a", "buy", price, 1), "Matching.BadPrice");
    });
  }

  test("the largest quantity is accepted and trades in full, at a zero and at a negative price [MAT-1]", () => {
    const { entries } = run([
      limit("a", "buy", 0, MAX_QUANTITY),
      limit("b", "sell", 0, MAX_QUANTITY),
      limit("c", "sell", -3, 1),
      limit("d", "buy", -3, 1),
    ]);
    assert.deepEqual(fills(entries), [`a ${MAX_QUANTITY} @ 0`, "c 1 @ -3"]);
  });

  test("a price one tick beyond either limit is rejected and the limits themselves are accepted [MAT-2]", () => {
    assertRefused([], limit("a", "sell", -11, 1), "Matching.OffLimits");
    assertRefused([], limit("a", "buy", 11, 1), "Matching.OffLimits");
    const { entries } = run([limit("a", "buy", -10, 1), limit("b", "sell", 10, 1)], STRICT_TERMS);
    assert.deepEqual(
      entries.map((entry) => entry.kind),
      ["accepted", "accepted"],
    );
  });

  test("a live id is rejected when it comes again [MAT-9]", () => {
    assertRefused([limit("a", "buy", 1, 1)], limit("a", "buy", 2, 1), "Matching.DuplicateOrder");
    assertRefused([limit("a", "buy", 1, 1)], limit("a", "buy", 2, 1), "Matching.DuplicateOrder", OPEN_TERMS);
  });

  test("the id of a rejected order is still free [MAT-9]", () => {
    const state = run([limit("a", "buy", 1, 0), limit("a", "buy", 1, 1)], STRICT_TERMS);
    assert.equal(lastCode(state), undefined);
  });

  test("the book forgets dead ids: one that comes back starts from nothing traded [MAT-9]", () => {
    const { book } = run([limit("a", "buy", 1, 5), limit("b", "sell", 1, 5), limit("a", "buy", 1, 5)]);
    assert.equal(openOrder(book, "a")?.filled, 0);
  });

  test("an order is known by ticket and client id [MAT-9]", () => {
    assert.equal(orderIdOf("0xab", 2n ** 64n - 1n), "0xab:18446744073709551615");
  });
});

describe("who trades", () => {
  test("the best price trades first, then the next, and never beyond the limit [MAT-3, MAT-4]", () => {
    const { book, entries } = run([
      limit("far", "sell", 3, 1),
      limit("near", "sell", 1, 1),
      limit("mid", "sell", 2, 1),
      limit("taker", "buy", 2, 9),
    ]);
    assert.deepEqual(fills(entries), ["near 1 @ 1", "mid 1 @ 2"]);
    assert.equal(bestBid(book)?.quantity, 7);
    assert.equal(bestAsk(book)?.priceTicks, 3);
  });

  test("at one price the older order trades first, and a partial fill keeps its place [MAT-3]", () => {
    const { entries } = run([
      limit("first", "buy", 1, 3),
      limit("second", "buy", 1, 3),
      limit("x", "sell", 1, 1),
      limit("y", "sell", 1, 4),
    ]);
    assert.deepEqual(fills(entries), ["first 1 @ 1", "first 2 @ 1", "second 2 @ 1"]);
  });

  test("the incoming order gets the resting order's better price, on both sides [MAT-4]", () => {
    const { entries } = run([
      limit("ask", "sell", -2, 1),
      limit("b", "buy", 5, 1),
      limit("bid", "buy", 7, 1),
      limit("s", "sell", -9, 1),
    ]);
    assert.deepEqual(fills(entries), ["ask 1 @ -2", "bid 1 @ 7"]);
  });

  test("a trade names both orders, their priorities, revisions and what is left of them [MAT-4]", () => {
    const { entries } = run([limit("m", "sell", 1, 5), replacement("m", "sell", 1, 4), limit("t", "buy", 2, 3)]);
    assert.deepEqual(trades(entries), [
      {
        kind: "executed",
        seq: 2,
        n: 1,
        maker: "m",
        taker: "t",
        takerSide: "buy",
        priceTicks: 1,
        quantity: 3,
        auction: false,
        makerRevision: 1,
        takerRevision: 0,
        makerPrioritySeq: 0,
        takerPrioritySeq: 2,
        makerRemaining: 1,
        takerRemaining: 0,
      },
    ]);
  });
});

describe("time in force", () => {
  test("IOC trades what it can and the rest expires [MAT-5]", () => {
    const { book, entries } = run([limit("m", "sell", 1, 2), limit("t", "buy", 1, 5, { timeInForce: "IOC" })]);
    assert.deepEqual(fills(entries), ["m 2 @ 1"]);
    assert.deepEqual(entries.at(-1), {
      kind: "expired",
      seq: 1,
      n: 2,
      orderId: "t",
      side: "buy",
      priceTicks: 1,
      remaining: 3,
      reason: "immediate",
    });
    assert.deepEqual([...openOrders(book)], []);
  });

  test("FOK one contract beyond what its limit reaches is rejected, and trades exactly that much [MAT-5]", () => {
    const resting = [limit("a", "sell", 1, 2), limit("b", "sell", 2, 2), limit("c", "sell", 3, 2)];
    assertRefused(resting, limit("t", "buy", 2, 5, { timeInForce: "FOK" }), "Matching.NotFillable");
    const { entries } = run([...resting, limit("t", "buy", 2, 4, { timeInForce: "FOK" })]);
    assert.deepEqual(fills(entries), ["a 2 @ 1", "b 2 @ 2"]);
  });

  test("FOK counts no contract behind or of its owner [MAT-5, MAT-7]", () => {
    const resting = [limit("a", "sell", 1, 2), limit("own", "sell", 1, 2, { owner: "t" }), limit("c", "sell", 1, 2)];
    const fok = { timeInForce: "FOK" } as const;
    const sweeping = { ...fok, selfTrade: "cancel-resting" } as const;
    assertRefused(resting, limit("t", "buy", 1, 3, fok), "Matching.NotFillable");
    assertRefused(resting, limit("t", "buy", 1, 5, sweeping), "Matching.NotFillable");
    assert.deepEqual(fills(run([...resting, limit("t", "buy", 1, 2, fok)]).entries), ["a 2 @ 1"]);
    assert.deepEqual(fills(run([...resting, limit("t", "buy", 1, 4, sweeping)]).entries), ["a 2 @ 1", "c 2 @ 1"]);
  });

  test("a post-only order that would take is rejected, and one tick behind it rests [MAT-6]", () => {
    const resting = [limit("m", "sell", 3, 1)];
    assertRefused(resting, limit("p", "buy", 3, 1, { postOnly: true }), "Matching.PostOnlyWouldTake");
    const { book } = run([...resting, limit("p", "buy", 2, 1, { postOnly: true })]);
    assert.equal(bestBid(book)?.priceTicks, 2);
  });

  test("post-only with IOC or FOK is rejected [MAT-6]", () => {
    for (const timeInForce of ["IOC", "FOK"] as const) {
      const order = limit("p", "buy", 2, 1, { postOnly: true, timeInForce });
      assertRefused([], order, "Matching.PostOnlyNeverRests");
    }
  });

  test("a post-only order replaced into the other side is rejected and stays as it was [MAT-6]", () => {
    const resting = [limit("m", "sell", 3, 1), limit("p", "buy", 2, 1, { postOnly: true })];
    assertRefused(resting, replacement("p", "buy", 3, 1), "Matching.PostOnlyWouldTake");
  });
});

describe("self-trade", () => {
  const resting = [
    limit("other", "sell", 1, 1),
    limit("mine", "sell", 1, 2, { owner: "me" }),
    limit("behind", "sell", 1, 4),
  ];

  test("the rest of an incoming order is cancelled where it meets its owner [MAT-7]", () => {
    const { book, entries } = run([...resting, limit("t", "buy", 1, 6, { owner: "me" })]);
    assert.deepEqual(fills(entries), ["other 1 @ 1"]);
    assert.deepEqual(entries.at(-1), {
      kind: "cancelled",
      seq: 3,
      n: 2,
      orderId: "t",
      side: "buy",
      priceTicks: 1,
      remaining: 5,
      left: 0,
      reason: "self-trade",
    });
    assert.equal(openOrder(book, "mine")?.remaining, 2);
  });

  test("the resting order is cancelled instead if the incoming one says so [MAT-7]", () => {
    const { book, entries } = run([...resting, limit("t", "buy", 1, 6, { owner: "me", selfTrade: "cancel-resting" })]);
    assert.deepEqual(fills(entries), ["other 1 @ 1", "behind 4 @ 1"]);
    assert.equal(openOrder(book, "mine"), undefined);
    assert.equal(openOrder(book, "t")?.remaining, 1);
  });

  test("a replacement that meets its owner is cancelled too [MAT-7]", () => {
    const { book, entries } = run([
      limit("mine", "sell", 5, 2, { owner: "me" }),
      limit("bid", "buy", 1, 3, { owner: "me" }),
      replacement("bid", "buy", 5, 3),
    ]);
    assert.deepEqual(fills(entries), []);
    assert.equal(openOrder(book, "bid"), undefined);
    assert.equal(openOrder(book, "mine")?.remaining, 2);
  });
});

describe("cancel and replace", () => {
  const queue = [limit("a", "buy", 1, 5), limit("b", "buy", 1, 5)];
  const sweep = limit("s", "sell", 1, 5);

  test("less or equal size at the same price keeps priority [MAT-8]", () => {
    assert.deepEqual(fills(run([...queue, replacement("a", "buy", 1, 4), sweep]).entries), ["a 4 @ 1", "b 1 @ 1"]);
    assert.deepEqual(fills(run([...queue, replacement("a", "buy", 1, 5), sweep]).entries), ["a 5 @ 1"]);
  });

  test("more size loses priority [MAT-8]", () => {
    assert.deepEqual(fills(run([...queue, replacement("a", "buy", 1, 6), sweep]).entries), ["b 5 @ 1"]);
  });

  test("a new price loses priority, there and on the way back [MAT-8]", () => {
    const there = [...queue, replacement("a", "buy", 0, 5)];
    const back = [...there, replacement("a", "buy", 1, 5, 2)];
    assert.deepEqual(fills(run([...there, limit("s", "sell", 0, 6)]).entries), ["b 5 @ 1", "a 1 @ 0"]);
    assert.deepEqual(fills(run([...back, sweep]).entries), ["b 5 @ 1"]);
  });

  test("a replacement to a price across the book takes, then rests [MAT-8]", () => {
    const { book, entries } = run([limit("m", "sell", 3, 2), limit("r", "buy", 1, 5), replacement("r", "buy", 3, 5)]);
    assert.deepEqual(
      entries.slice(2).map(({ kind, seq, n }) => [kind, seq, n]),
      [
        ["replaced", 2, 0],
        ["executed", 2, 1],
      ],
    );
    assert.deepEqual(depth(book), { bids: [{ priceTicks: 3, quantity: 3, orders: 1 }], asks: [] });
  });

  test("a replacement's quantity includes what has traded [MAT-8]", () => {
    const { book, entries } = run([...queue, limit("s", "sell", 1, 2), replacement("a", "buy", 1, 4)]);
    assert.equal(openOrder(book, "a")?.remaining, 2);
    assert.deepEqual(entries.at(-1), {
      kind: "replaced",
      seq: 3,
      n: 0,
      orderId: "a",
      side: "buy",
      revision: 1,
      oldPriceTicks: 1,
      priceTicks: 1,
      quantity: 4,
      prioritySeq: 0,
      remaining: 2,
    });
  });

  test("a replacement to no more than has traded cancels [MAT-8]", () => {
    for (const quantity of [1, 2]) {
      const { book, entries } = run([...queue, limit("s", "sell", 1, 2), replacement("a", "buy", 1, quantity)]);
      assert.equal(openOrder(book, "a"), undefined);
      assert.deepEqual(entries.at(-1), {
        kind: "cancelled",
        seq: 3,
        n: 0,
        orderId: "a",
        side: "buy",
        priceTicks: 1,
        remaining: 3,
        left: 0,
        reason: "replaced-to-filled",
      });
    }
  });

  test("a stale, equal, fractional or too high revision is rejected [MAT-8]", () => {
    const resting = [limit("a", "buy", 1, 5), replacement("a", "buy", 1, 4, 7)];
    for (const revision of [6, 7, 7.5, 256]) {
      assertRefused(resting, replacement("a", "buy", 1, 3, revision), "Matching.BadRevision");
    }
    assert.equal(lastCode(run([...resting, replacement("a", "buy", 1, 3, 255)], STRICT_TERMS)), undefined);
  });

  test("a replacement to the other side is rejected [MAT-8]", () => {
    assertRefused(queue, replacement("a", "sell", 1, 5), "Matching.SideChanged");
  });

  test("a replacement is held to the terms of the market [MAT-1, MAT-2]", () => {
    assertRefused(queue, replacement("a", "buy", 11, 5), "Matching.OffLimits");
    assertRefused(queue, replacement("a", "buy", 1, 0), "Matching.BadQuantity");
    assertRefused(queue, replacement("a", "buy", 0.5, 1), "Matching.BadPrice");
  });

  test("a cancel or replacement of an unknown, filled or cancelled order is rejected [MAT-10]", () => {
    const dead = [...queue, limit("s", "sell", 1, 5), cancelOf("b")];
    for (const orderId of ["a", "b", "s", "never"]) {
      assertRefused(dead, cancelOf(orderId), "Matching.UnknownOrder");
      assertRefused(dead, replacement(orderId, "buy", 1, 1), "Matching.UnknownOrder");
    }
  });

  test("cancelling the first, middle and last of a queue leaves the others in order [MAT-3, MAT-10]", () => {
    const five = ["a", "b", "c", "d", "e"].map((orderId) => limit(orderId, "buy", 1, 1));
    const { entries } = run([...five, cancelOf("a"), cancelOf("c"), cancelOf("e"), limit("s", "sell", 1, 5)]);
    assert.deepEqual(fills(entries), ["b 1 @ 1", "d 1 @ 1"]);
  });
});

describe("numbers and state", () => {
  test("a command number that does not rise is thrown back and changes nothing [MAT-11]", () => {
    const { book } = run([limit("a", "buy", 1, 1)]);
    const hash = stateHash(book);
    for (const seq of [0, -1, 0.5, NaN]) assert.throws(() => apply(book, seq, cancelOf("a")), BadSequence);
    assert.equal(stateHash(book), hash);
    assert.equal(apply(book, 7, cancelOf("a"))[0]?.seq, 7);
  });

  test("the state hash tells apart books that would answer differently [MAT-12]", () => {
    const hashes = [
      [limit("a", "buy", 1, 1), limit("b", "buy", 1, 1)],
      [limit("b", "buy", 1, 1), limit("a", "buy", 1, 1)],
      [limit("a", "buy", 1, 1), limit("b", "buy", 1, 1, { owner: "a" })],
      [limit("a", "buy", 1, 1), limit("b", "buy", 1, 1, { postOnly: true })],
      [limit("a", "buy", 1, 1), limit("b", "buy", 1, 2)],
      [limit("a", "buy", 1, 1), limit("b", "buy", 2, 1)],
    ].map((commands) => stateHash(run(commands).book));
    assert.equal(new Set(hashes).size, hashes.length);
  });

  test("depth shows the best levels of each side, best first [MAT-3]", () => {
    const { book } = run([
      limit("a", "buy", 1, 1),
      limit("b", "buy", 2, 2),
      limit("c", "buy", 2, 3),
      limit("d", "buy", -1, 9),
      limit("e", "sell", 5, 4),
      limit("f", "sell", 4, 6),
    ]);
    assert.deepEqual(depth(book, 2), {
      bids: [
        { priceTicks: 2, quantity: 5, orders: 2 },
        { priceTicks: 1, quantity: 1, orders: 1 },
      ],
      asks: [
        { priceTicks: 4, quantity: 6, orders: 1 },
        { priceTicks: 5, quantity: 4, orders: 1 },
      ],
    });
    assert.deepEqual(depth(createBook()), { bids: [], asks: [] });
  });

  test("rows of dead orders are used again [MAT-12]", () => {
    const book = createBook();
    for (let seq = 0; seq < 3_000; seq += 3) {
      apply(book, seq, limit(`a${seq}`, "buy", 1, 2));
      apply(book, seq + 1, limit(`b${seq}`, "sell", 1, 1));
      apply(book, seq + 2, cancelOf(`a${seq}`));
    }
    assert.equal(book.orders.rowOf.size, 0);
    assert.ok(book.orders.used <= 2, `used ${book.orders.used} rows`);
  });

  test("a thousand orders at once keep their terms while the table grows [MAT-3]", () => {
    const orders = Array.from({ length: 1_000 }, (_, i) => limit(`o${i}`, "sell", i % 7, 1 + i));
    const { book } = run(orders);
    for (const { orderId, priceTicks, quantity } of orders) {
      const open = openOrder(book, orderId);
      assert.deepEqual([open?.priceTicks, open?.total], [priceTicks, quantity]);
    }
    assert.equal(depth(book).asks.length, 7);
  });
});
