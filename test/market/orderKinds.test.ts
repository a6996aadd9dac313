import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { depth, levelAtPrice, openOrder, openOrders, waitingOrders } from "../../src/market/views.ts";
import { MAX_QUANTITY } from "../../src/market/terms.ts";
import type { Entry, NewOrder } from "../../src/market/types.ts";
import { cancelOf, fills, lastCode, limit, replacement, run, STRICT_TERMS } from "../support/orders.ts";

/** What was said about one order, as `kind` or `kind reason`. */
function story(entries: readonly Entry[], orderId: string): readonly string[] {
  return entries
    .filter((entry) => "orderId" in entry && entry.orderId === orderId)
    .map((entry) => ("reason" in entry ? `${entry.kind} ${entry.reason}` : entry.kind));
}

describe("orders that show a part of themselves", () => {
  const iceberg = limit("ice", "sell", 5, 10, { displayQuantity: 3 });

  test("only the shown part is published, and in full at the end [MAT-16]", () => {
    const { book } = run([iceberg, limit("x", "sell", 5, 1)]);
    assert.deepEqual(depth(book).asks, [{ priceTicks: 5, quantity: 4, orders: 2 }]);
    assert.deepEqual(levelAtPrice(book, "sell", 5), { quantity: 4, orders: 2 });
    assert.deepEqual(levelAtPrice(book, "buy", 5), { quantity: 0, orders: 0 });
    const rest = run([iceberg, limit("t", "buy", 5, 9)]).book;
    assert.deepEqual(depth(rest).asks, [{ priceTicks: 5, quantity: 1, orders: 1 }]);
  });

  test("each next part stands at the end of its queue, with the priority of the command that traded [MAT-16]", () => {
    const { book, entries } = run([iceberg, limit("x", "sell", 5, 4), limit("t", "buy", 5, 8)]);
    assert.deepEqual(fills(entries), ["ice 3 @ 5", "x 4 @ 5", "ice 1 @ 5"]);
    assert.deepEqual(
      entries.find((entry) => entry.kind === "reloaded"),
      {
        kind: "reloaded",
        seq: 2,
        n: 2,
        orderId: "ice",
        side: "sell",
        priceTicks: 5,
        prioritySeq: 2,
        remaining: 7,
        displayed: 3,
      },
    );
    assert.equal(openOrder(book, "ice")?.displayed, 2);
    assert.equal(openOrder(book, "ice")?.remaining, 6);
  });

  test("an order that comes in trades with all of its quantity before it hides any [MAT-16]", () => {
    const { book, entries } = run([limit("m", "buy", 5, 7), iceberg]);
    assert.deepEqual(fills(entries), ["m 7 @ 5"]);
    assert.equal(openOrder(book, "ice")?.displayed, 3);
  });

  test("FOK counts what is hidden, but not what stands behind its owner then [MAT-5, MAT-16]", () => {
    const fok = { timeInForce: "FOK" } as const;
    assert.deepEqual(fills(run([iceberg, limit("t", "buy", 5, 10, fok)]).entries).length, 4);
    const own = limit("own", "sell", 5, 1, { owner: "t" });
    assert.equal(lastCode(run([iceberg, own, limit("t", "buy", 5, 4, fok)])), "Matching.NotFillable");
    assert.equal(lastCode(run([iceberg, own, limit("t", "buy", 5, 3, fok)])), undefined);
  });

  test("less size is taken from what is hidden first, and keeps priority [MAT-8, MAT-16]", () => {
    const { book } = run([iceberg, replacement("ice", "sell", 5, 4)]);
    assert.deepEqual([openOrder(book, "ice")?.displayed, openOrder(book, "ice")?.prioritySeq], [3, 0]);
    assert.equal(openOrder(run([iceberg, replacement("ice", "sell", 5, 2)]).book, "ice")?.displayed, 2);
  });

  test("a shown part of nothing, of more than all, of half a contract or below a hundredth is rejected [MAT-16]", () => {
    for (const displayQuantity of [0, -1, 11, 1.5, NaN]) {
      assert.equal(lastCode(run([limit("a", "buy", 1, 10, { displayQuantity })])), "Matching.BadDisplayQuantity");
    }
    assert.equal(lastCode(run([limit("a", "buy", 1, 101, { displayQuantity: 1 })])), "Matching.BadDisplayQuantity");
    const small = limit("a", "buy", 1, 100, { displayQuantity: 1 });
    assert.equal(lastCode(run([small])), undefined);
    assert.equal(lastCode(run([small, replacement("a", "buy", 1, 101)])), "Matching.BadDisplayQuantity");
  });
});

describe("orders with a stop price", () => {
  const stop = limit("stop", "buy", 8, 2, { stopPriceTicks: 6 });
  /** Two orders that trade one contract at a price. */
  const tradeAt = (priceTicks: number, name = `${priceTicks}`): readonly NewOrder[] => [
    limit(`maker${name}`, "sell", priceTicks, 1),
    limit(`taker${name}`, "buy", priceTicks, 1),
  ];

  test("an order waits out of sight until a trade reaches its stop price [MAT-17]", () => {
    const early = run([stop, ...tradeAt(5)]);
    assert.deepEqual([...openOrders(early.book)], []);
    assert.equal([...waitingOrders(early.book)][0]?.stopPriceTicks, 6);
    const { book, entries } = run([stop, ...tradeAt(5), ...tradeAt(6)]);
    assert.deepEqual(story(entries, "stop"), ["accepted", "triggered"]);
    assert.equal(entries.at(-1)?.kind, "triggered");
    assert.deepEqual(depth(book).bids, [{ priceTicks: 8, quantity: 2, orders: 1 }]);
    assert.equal(openOrder(book, "stop")?.prioritySeq, 4);
  });

  test("a sell stop is reached from above [MAT-17]", () => {
    const sell = limit("stop", "sell", 2, 1, { stopPriceTicks: 4 });
    assert.deepEqual(story(run([sell, ...tradeAt(5)]).entries, "stop"), ["accepted"]);
    assert.deepEqual(story(run([sell, ...tradeAt(3)]).entries, "stop"), ["accepted", "triggered"]);
  });

  test("a stop price that the last trade reached already triggers at once [MAT-17]", () => {
    assert.deepEqual(story(run([...tradeAt(6), stop]).entries, "stop"), ["accepted", "triggered"]);
    assert.deepEqual(story(run([...tradeAt(5), stop]).entries, "stop"), ["accepted"]);
    assert.deepEqual(story(run([stop]).entries, "stop"), ["accepted"]);
  });

  test("stops fire nearest first, then oldest, after the command; their trades fire others [MAT-18]", () => {
    const { entries } = run([
      limit("far", "buy", 9, 1, { stopPriceTicks: 7 }),
      limit("near", "buy", 9, 1, { stopPriceTicks: 6 }),
      limit("second", "buy", 9, 1, { stopPriceTicks: 6 }),
      limit("sixth", "sell", 6, 2),
      limit("seventh", "sell", 7, 2),
      limit("t", "buy", 6, 1),
    ]);
    const order = entries.flatMap((entry) => (entry.kind === "triggered" ? [entry.orderId] : []));
    assert.deepEqual(order, ["near", "second", "far"]);
    assert.deepEqual(fills(entries), ["sixth 1 @ 6", "sixth 1 @ 6", "seventh 1 @ 7", "seventh 1 @ 7"]);
  });

  test("a sweep fires stops at every price it traded, not only at the last [MAT-18]", () => {
    const { entries } = run([
      limit("bid7", "buy", 7, 1),
      limit("bid3", "buy", 3, 1),
      stop,
      limit("sweep", "sell", 3, 2),
    ]);
    assert.deepEqual(story(entries, "stop"), ["accepted", "triggered"]);
  });

  test("a triggered FOK that cannot be filled expires, and a post-only that would take is cancelled [MAT-17]", () => {
    const fok: NewOrder = { ...stop, timeInForce: "FOK" };
    assert.deepEqual(story(run([fok, ...tradeAt(6)]).entries, "stop"), [
      "accepted",
      "triggered",
      "expired not-fillable",
    ]);
    const ask = limit("ask", "sell", 8, 1);
    const { book, entries } = run([{ ...stop, postOnly: true }, ask, ...tradeAt(6)]);
    assert.deepEqual(story(entries, "stop"), ["accepted", "triggered", "cancelled would-take"]);
    assert.equal(openOrder(book, "stop"), undefined);
  });

  test("a waiting order is cancelled and replaced like another, and keeps its turn [MAT-8, MAT-17]", () => {
    const other = limit("other", "buy", 8, 2, { stopPriceTicks: 6 });
    assert.deepEqual(story(run([stop, cancelOf("stop"), ...tradeAt(6)]).entries, "stop"), [
      "accepted",
      "cancelled requested",
    ]);
    const { entries, book } = run([stop, other, replacement("stop", "buy", 9, 5), ...tradeAt(6)]);
    assert.deepEqual(
      entries.slice(-2).map((entry) => "orderId" in entry && entry.orderId),
      ["stop", "other"],
    );
    assert.deepEqual([openOrder(book, "stop")?.priceTicks, openOrder(book, "stop")?.remaining], [9, 5]);
    assert.equal(lastCode(run([stop, replacement("stop", "buy", 9, 5, 0)])), "Matching.BadRevision");
    assert.equal(lastCode(run([stop, limit("stop", "buy", 1, 1)])), "Matching.DuplicateOrder");
  });

  test("a stop price off the grid or outside the limits is rejected [MAT-1, MAT-2]", () => {
    const at = (stopPriceTicks: number) => lastCode(run([{ ...stop, stopPriceTicks }], STRICT_TERMS));
    assert.deepEqual([at(0.5), at(11), at(10)], ["Matching.BadPrice", "Matching.OffLimits", undefined]);
  });

  test("a thousand stops that set each other off are triggered once each by one command [MAT-18]", () => {
    const stops = Array.from({ length: 1_000 }, (_, i) => limit(`s${i}`, "buy", i + 1, 1, { stopPriceTicks: i }));
    const asks = Array.from({ length: 1_000 }, (_, i) => limit(`a${i}`, "sell", i + 1, 1));
    const { book, entries } = run([...asks, ...stops, limit("m", "sell", 0, 1), limit("t", "buy", 0, 1)]);
    assert.equal(entries.filter((entry) => entry.kind === "triggered").length, 1_000);
    assert.deepEqual(depth(book), { bids: [], asks: [] });
  });
});

describe("self-trade modes", () => {
  const resting = [
    limit("mine", "sell", 1, 2, { owner: "me" }),
    limit("behind", "sell", 1, 4),
    limit("last", "sell", 1, 9, { owner: "me" }),
  ];

  test("cancel-both takes out the resting order and the rest of the incoming one [MAT-7]", () => {
    const { book, entries } = run([...resting, limit("t", "buy", 1, 6, { owner: "me", selfTrade: "cancel-both" })]);
    assert.deepEqual(fills(entries), []);
    assert.deepEqual(
      [...openOrders(book)].map((order) => order.orderId),
      ["behind", "last"],
    );
    assert.deepEqual(story(entries, "t"), ["accepted", "cancelled self-trade"]);
  });

  test("decrement takes the smaller quantity from both without a trade, and the larger goes on [MAT-7]", () => {
    const { book, entries } = run([...resting, limit("t", "buy", 1, 9, { owner: "me", selfTrade: "decrement" })]);
    assert.deepEqual(fills(entries), ["behind 4 @ 1"]);
    const taken = entries.flatMap((entry) =>
      entry.kind === "cancelled" ? [[entry.orderId, entry.remaining, entry.left]] : [],
    );
    assert.deepEqual(taken, [
      ["mine", 2, 0],
      ["t", 2, 7],
      ["last", 3, 6],
      ["t", 3, 0],
    ]);
    assert.deepEqual(
      [...openOrders(book)].map(({ orderId, total, filled, remaining }) => [orderId, total, filled, remaining]),
      [["last", 9, 0, 6]],
    );
  });

  test("what decrement took stays counted in the total: a replacement does not bring it back [MAT-14]", () => {
    const taken = [...resting.slice(2), limit("t", "buy", 1, 3, { owner: "me", selfTrade: "decrement" })];
    const { book } = run([...taken, replacement("last", "sell", 1, 8)]);
    const order = openOrder(book, "last");
    assert.deepEqual([order?.total, order?.filled, order?.remaining, order?.prioritySeq], [8, 0, 5, 0]);
    assert.equal(openOrder(run([...taken, replacement("last", "sell", 1, 3)]).book, "last"), undefined);
  });

  test("a FOK order that would meet its owner is rejected in every mode but cancel-resting [MAT-5, MAT-7]", () => {
    for (const selfTrade of ["cancel-incoming", "cancel-both", "decrement"] as const) {
      const order = limit("t", "buy", 1, 3, { owner: "me", timeInForce: "FOK", selfTrade });
      assert.equal(lastCode(run([...resting, order])), "Matching.NotFillable", selfTrade);
    }
  });

  test("the largest quantities decrement each other to nothing [MAT-7]", () => {
    const { book } = run([
      limit("a", "sell", 1, MAX_QUANTITY, { owner: "me" }),
      limit("b", "buy", 1, MAX_QUANTITY, { owner: "me", selfTrade: "decrement" }),
    ]);
    assert.deepEqual(depth(book), { bids: [], asks: [] });
  });
});
