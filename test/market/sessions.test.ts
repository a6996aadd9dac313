import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { apply, createBook } from "../../src/market/engine.ts";
import { MarketHalted } from "../../src/market/errors.ts";
import { OPEN_TERMS } from "../../src/market/terms.ts";
import type { Command, Entry, NewOrder, Session } from "../../src/market/types.ts";
import { depth, openOrder, stateHash, trades } from "../../src/market/views.ts";
import { restored } from "../support/compareBooks.ts";
import { cancelOf, fills, lastCode, limit, replacement, run } from "../support/orders.ts";

const to = (session: Session): Command => ({ kind: "session", session });
const uncross = (referenceTicks: number): Command => ({ kind: "uncross", referenceTicks });

/** A book in pre-open after these commands. */
function before(commands: readonly Command[]) {
  return run(commands, OPEN_TERMS, "pre-open");
}

/** Price and quantity of the auction that follows these orders. */
function auction(orders: readonly NewOrder[], referenceTicks: number): readonly [number | undefined, number] {
  const found = before([...orders, uncross(referenceTicks)]).entries.find((entry) => entry.kind === "uncrossed");
  assert.ok(found);
  return [found.priceTicks, found.quantity];
}

function kinds(entries: readonly Entry[]): readonly string[] {
  return entries.map((entry) => entry.kind);
}

describe("sessions", () => {
  test("halted and closed markets take cancels only [MAT-19]", () => {
    for (const session of ["halted", "closed"] as const) {
      const { book } = run([limit("a", "buy", 1, 1), limit("b", "buy", 1, 1), to(session)]);
      const refused = (seq: number, command: Command): void => {
        const [entry] = apply(book, seq, command);
        assert.ok(entry?.kind === "rejected" && entry.error instanceof MarketHalted);
      };
      refused(3, limit("c", "buy", 1, 1));
      refused(4, replacement("a", "buy", 2, 1));
      assert.deepEqual(kinds(apply(book, 5, cancelOf("a"))), ["cancelled"]);
      apply(book, 6, to("open"));
      assert.deepEqual(kinds(apply(book, 7, replacement("b", "buy", 2, 1))), ["replaced"]);
    }
  });

  test("a market trades the same in its closing window [MAT-19]", () => {
    const { entries } = run([to("closing"), limit("a", "buy", 1, 1), limit("b", "sell", 1, 1)]);
    assert.deepEqual(fills(entries), ["a 1 @ 1"]);
    assert.deepEqual(entries[0], { kind: "session", seq: 0, n: 0, session: "closing" });
  });

  test("a refusal carries no stack trace, and other errors keep theirs [MAT-10]", () => {
    const [entry] = run([cancelOf("a")]).entries;
    assert.ok(entry?.kind === "rejected");
    assert.doesNotMatch(entry.error.stack ?? "", /\n\s+at /);
    assert.match(new Error("another").stack ?? "", /\n\s+at /);
  });
});

describe("before the opening", () => {
  test("orders rest without trading, across each other too [MAT-20]", () => {
    const { book, entries } = before([limit("a", "buy", 5, 1), limit("b", "sell", 3, 1)]);
    assert.deepEqual(kinds(entries), ["accepted", "accepted"]);
    assert.deepEqual([depth(book).bids[0]?.priceTicks, depth(book).asks[0]?.priceTicks], [5, 3]);
  });

  test("IOC, FOK and post-only orders are rejected, unless they wait for a stop price [MAT-20]", () => {
    for (const extras of [{ timeInForce: "IOC" }, { timeInForce: "FOK" }, { postOnly: true }] as const) {
      assert.equal(lastCode(before([limit("a", "buy", 5, 1, extras)])), "Matching.NotInPreOpen");
      assert.equal(lastCode(before([limit("a", "buy", 5, 1, { ...extras, stopPriceTicks: 9 })])), undefined);
    }
  });

  test("an order meets its owner's orders when it comes in, by its mode [MAT-7, MAT-20]", () => {
    const resting = ["a", "b", "c"].map((id, i) => limit(id, "sell", 1 + i, 2, { owner: "me" }));
    const left = (selfTrade: NonNullable<NewOrder["selfTrade"]>): readonly (number | undefined)[] => {
      const { book } = before([...resting, limit("t", "buy", 2, 3, { owner: "me", selfTrade })]);
      return ["a", "b", "c", "t"].map((id) => openOrder(book, id)?.remaining);
    };
    assert.deepEqual(left("cancel-incoming"), [2, 2, 2, undefined]);
    assert.deepEqual(left("cancel-resting"), [undefined, undefined, 2, 3]);
    assert.deepEqual(left("cancel-both"), [undefined, 2, 2, undefined]);
    assert.deepEqual(left("decrement"), [undefined, 1, 2, undefined]);
  });

  test("a replacement to a price across its owner's orders meets them too [MAT-20]", () => {
    const { book } = before([
      limit("a", "sell", 5, 2, { owner: "me" }),
      limit("b", "buy", 1, 2, { owner: "me" }),
      replacement("b", "buy", 6, 2),
    ]);
    assert.deepEqual([openOrder(book, "a")?.remaining, openOrder(book, "b")], [2, undefined]);
  });

  test("orders that rested before a halt are known when the market gathers orders again [MAT-20]", () => {
    const { book } = run([
      limit("a", "sell", 5, 2, { owner: "me" }),
      to("pre-open"),
      limit("b", "buy", 6, 2, { owner: "me" }),
    ]);
    assert.equal(openOrder(book, "b"), undefined);
  });

  test("a crossed book cannot open, and an auction opens it [MAT-13]", () => {
    const crossed = [limit("a", "buy", 5, 1), limit("b", "sell", 3, 1)];
    for (const session of ["open", "closing"] as const) {
      assert.equal(lastCode(before([...crossed, to(session)])), "Matching.BookCrossed");
      assert.equal(lastCode(before([...crossed, uncross(4), to(session)])), undefined);
    }
  });

  test("stops that the auction reached are triggered when the market opens [MAT-18]", () => {
    const commands = [
      limit("stop", "buy", 9, 1, { stopPriceTicks: 4 }),
      limit("a", "buy", 5, 1),
      limit("b", "sell", 4, 2),
      uncross(4),
    ];
    assert.equal(openOrder(before(commands).book, "stop")?.stopPriceTicks, 4);
    const { entries } = before([...commands, to("open")]);
    assert.deepEqual(kinds(entries.slice(-3)), ["session", "triggered", "executed"]);
  });
});

describe("the auction", () => {
  test("it is held in pre-open only, and leaves the market there [MAT-21]", () => {
    assert.equal(lastCode(run([uncross(1)])), "Matching.NotPreOpen");
    assert.equal(lastCode(before([uncross(0.5)])), "Matching.BadPrice");
    const { book, entries } = before([uncross(1)]);
    assert.deepEqual(entries, [{ kind: "uncrossed", seq: 0, n: 0, priceTicks: undefined, quantity: 0 }]);
    assert.equal(book.session, "pre-open");
  });

  test("its price trades most contracts [MAT-21]", () => {
    const orders = [
      limit("b1", "buy", 10, 5),
      limit("b2", "buy", 8, 5),
      limit("b3", "buy", 6, 5),
      limit("s1", "sell", 5, 4),
      limit("s2", "sell", 7, 6),
      limit("s3", "sell", 9, 9),
    ];
    assert.deepEqual(auction(orders, 100), [8, 10]);
    assert.deepEqual(auction(orders, -100), [7, 10]);
  });

  test("at equal volume the price with the least left over wins, whatever the reference [MAT-21]", () => {
    // At 5 and 6 ten trade and four bids are left over; at 7 to 9, none.
    const orders = [limit("b1", "buy", 9, 10), limit("b2", "buy", 6, 4), limit("s", "sell", 5, 10)];
    assert.deepEqual(auction(orders, 0), [7, 10]);
    assert.deepEqual(auction(orders, 8), [8, 10]);
    assert.deepEqual(auction(orders, 50), [9, 10]);
  });

  test("then the nearest to the reference wins, a price at which no order stands too [MAT-21]", () => {
    const orders = [limit("b", "buy", 9, 3), limit("s", "sell", 1, 3)];
    for (const [reference, price] of [
      [4, 4],
      [-7, 1],
      [1, 1],
      [9, 9],
      [20, 9],
    ] as const) {
      assert.deepEqual(auction(orders, reference), [price, 3]);
    }
    // One trades at any price; from 1 to 3 a bid is left over, from 7 to 9 an ask, from 4 to 6 nothing.
    const around = [
      limit("b1", "buy", 9, 1),
      limit("b2", "buy", 3, 1),
      limit("s1", "sell", 1, 1),
      limit("s2", "sell", 7, 1),
    ];
    assert.deepEqual(
      [auction(around, 5), auction(around, 0), auction(around, 9)],
      [
        [5, 1],
        [4, 1],
        [6, 1],
      ],
    );
    // One is left over at any price, a bid up to 3 and an ask from 4 on: the nearest is the reference itself.
    const even = [
      limit("b1", "buy", 9, 1),
      limit("b2", "buy", 3, 1),
      limit("s1", "sell", 1, 1),
      limit("s2", "sell", 4, 1),
    ];
    assert.deepEqual(
      [auction(even, 3), auction(even, 4)],
      [
        [3, 1],
        [4, 1],
      ],
    );
  });

  test("all trade at one price by price and priority, and the older order is the maker [MAT-21]", () => {
    const { book, entries } = before([
      limit("late", "buy", 6, 2),
      limit("ask", "sell", 4, 5),
      limit("best", "buy", 7, 2),
      limit("behind", "buy", 6, 2),
      uncross(0),
    ]);
    const [uncrossed] = entries.filter((entry) => entry.kind === "uncrossed");
    assert.deepEqual([uncrossed?.priceTicks, uncrossed?.quantity], [4, 5]);
    assert.deepEqual(
      trades(entries).map((trade) => [trade.maker, trade.taker, trade.takerSide, trade.quantity, trade.priceTicks]),
      [
        ["ask", "best", "buy", 2, 4],
        ["late", "ask", "sell", 2, 4],
        ["ask", "behind", "buy", 1, 4],
      ],
    );
    assert.ok(trades(entries).every((trade) => trade.auction));
    assert.deepEqual(depth(book), { bids: [{ priceTicks: 6, quantity: 1, orders: 1 }], asks: [] });
  });

  test("orders take part with what they hide, and show the next part after it [MAT-16, MAT-21]", () => {
    const { book, entries } = before([
      limit("ice", "sell", 5, 10, { displayQuantity: 2 }),
      limit("next", "sell", 5, 3),
      limit("bid", "buy", 5, 8),
      uncross(5),
    ]);
    assert.deepEqual(fills(entries), ["ice 8 @ 5"]);
    assert.equal(entries.at(-1)?.kind, "reloaded");
    assert.deepEqual(depth(book).asks, [{ priceTicks: 5, quantity: 5, orders: 2 }]);
    apply(book, 4, to("open"));
    assert.deepEqual(fills(apply(book, 5, limit("t", "buy", 5, 1))), ["next 1 @ 5"]);
  });
});

describe("state kept and restored", () => {
  test("a restored book knows session, last trade, hidden parts, waiting orders and owners [MAT-22]", () => {
    const { book } = run([
      limit("m", "sell", 4, 1),
      limit("t", "buy", 4, 1),
      limit("ice", "sell", 5, 10, { displayQuantity: 4, owner: "me" }),
      limit("hit", "buy", 5, 3),
      limit("stop", "buy", 9, 1, { stopPriceTicks: 8 }),
      to("pre-open"),
    ]);
    const copy = restored(OPEN_TERMS, book);
    assert.deepEqual([copy.session, copy.lastTradeTicks], ["pre-open", 5]);
    assert.equal(openOrder(copy, "ice")?.displayed, 1);
    const own = limit("own", "buy", 6, 1, { owner: "me" });
    assert.deepEqual(apply(copy, 6, own), apply(book, 6, own));
    assert.equal(openOrder(copy, "own"), undefined);
    assert.equal(stateHash(copy), stateHash(book));
  });

  test("the state hash tells apart sessions, last prices, hidden parts and stop prices [MAT-22]", () => {
    const hashes = [
      [limit("a", "buy", 1, 4)],
      [limit("a", "buy", 1, 4, { displayQuantity: 2 })],
      [limit("a", "buy", 1, 4, { stopPriceTicks: 2 })],
      [limit("a", "buy", 1, 4, { stopPriceTicks: 3 })],
    ].map((commands) => stateHash(run(commands).book));
    const sessions = (["pre-open", "halted", "closed"] as const).map((session) =>
      stateHash(createBook(OPEN_TERMS, session)),
    );
    assert.equal(new Set([...hashes, ...sessions]).size, 7);
  });

  test("twenty thousand prices on each side come and go in any order [MAT-3]", () => {
    const book = createBook();
    const price = (i: number): number => (i * 7_919) % 20_000;
    for (let i = 0; i < 20_000; i++) {
      apply(book, 2 * i, limit(`b${i}`, "buy", -1 - price(i), 1));
      apply(book, 2 * i + 1, limit(`s${i}`, "sell", price(i), 1));
    }
    const { bids, asks } = depth(book);
    assert.ok(bids.every(({ priceTicks }, i) => priceTicks === -1 - i) && bids.length === 20_000);
    assert.ok(asks.every(({ priceTicks }, i) => priceTicks === i) && asks.length === 20_000);
    for (let i = 0; i < 20_000; i += 2) apply(book, 40_000 + i, cancelOf(`s${i}`));
    const odd = depth(book).asks.map(({ priceTicks }) => priceTicks);
    const expected = Array.from({ length: 10_000 }, (_, i) => price(2 * i + 1)).sort((a, b) => a - b);
    assert.deepEqual(odd, expected);
    assert.equal(trades(apply(book, 99_999, limit("sweep", "buy", 20_000, 10_000))).length, 10_000);
    assert.deepEqual(depth(book).asks, []);
  });
});
