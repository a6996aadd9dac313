import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { apply, type Book, createBook } from "../../src/market/engine.ts";
import { MAX_QUANTITY, type MarketTerms, OPEN_TERMS } from "../../src/market/terms.ts";
import type { Command, Entry, Side } from "../../src/market/types.ts";
import { bestAsk, bestBid, depth, openOrder, openOrders, stateHash, trades } from "../../src/market/views.ts";
import { NaiveBook } from "../support/naiveBook.ts";
import { STRICT_TERMS } from "../support/orders.ts";

// Few ids, owners and prices, so that orders meet, repeat, replace and trade with their owner often.
const orderId = fc.integer({ min: 0, max: 30 }).map((i) => `o${i}`);
const side = fc.constantFrom("buy", "sell");
const priceTicks = fc.oneof({ weight: 100, arbitrary: fc.integer({ min: -5, max: 5 }) }, fc.constantFrom(-11, 11, 0.5));
const quantity = fc.oneof(
  { weight: 100, arbitrary: fc.integer({ min: 1, max: 12 }) },
  fc.constantFrom(0, MAX_QUANTITY),
);
const newOrder = fc.record({
  kind: fc.constant("new"),
  orderId,
  owner: fc.constantFrom("p", "q", "r", "s", "t"),
  side,
  priceTicks,
  quantity,
  timeInForce: fc.constantFrom("GTC", "GTC", "GTC", "GTC", "GTC", "GTC", "IOC", "FOK"),
  postOnly: fc.constantFrom(false, false, false, true),
  selfTrade: fc.constantFrom("cancel-incoming", "cancel-resting"),
});
const cancelOrder = fc.record({ kind: fc.constant("cancel"), orderId });
const replaceOrder = fc.record({
  kind: fc.constant("replace"),
  orderId,
  side,
  priceTicks,
  quantity,
  revision: fc.integer({ min: 1, max: 260 }),
});
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: newOrder },
  { weight: 1, arbitrary: cancelOrder },
  { weight: 3, arbitrary: replaceOrder },
);
/** A command, and most often the wish that it hits: a fresh id for a new order, a resting order for the other kinds. */
const intent = fc.record({ command, hits: fc.constantFrom(true, true, true, false), aim: fc.nat() });
type Intent = typeof intent extends fc.Arbitrary<infer T> ? T : never;
const intents = fc.array(intent, { maxLength: 200, size: "max" });
const terms: fc.Arbitrary<MarketTerms> = fc.constantFrom(OPEN_TERMS, STRICT_TERMS, {
  ...STRICT_TERMS,
  reusableIds: true,
});

/** The command of an intent. One that hits is priced two ticks away from the other side, so that the book fills. */
function aimed(book: Book, seq: number, { command, hits, aim }: Intent): Command {
  if (!hits) return command;
  if (command.kind === "new") {
    const postOnly = command.postOnly === true && command.timeInForce === "GTC";
    return { ...command, orderId: `n${seq}`, priceTicks: away(command.side, command.priceTicks), postOnly };
  }
  const open = [...openOrders(book)];
  const target = open[aim % Math.max(1, open.length)];
  if (target === undefined) return command;
  const { orderId, side, revision } = target;
  if (command.kind === "cancel") return { ...command, orderId };
  return { ...command, orderId, side, priceTicks: away(side, command.priceTicks), revision: revision + 1 };
}

function away(side: Side, priceTicks: number): number {
  return side === "buy" ? priceTicks - 2 : priceTicks + 2;
}

/** Runs a stream and calls back after each command. */
function replay(
  terms: MarketTerms,
  stream: readonly Intent[],
  after: (book: Book, entries: readonly Entry[], command: Command) => void,
): Book {
  const book = createBook(terms);
  stream.forEach((intent, seq) => {
    const command = aimed(book, seq, intent);
    after(book, apply(book, seq, command), command);
  });
  return book;
}

test("the fast book and the naive book answer alike and are in one state after every command [MAT-3, MAT-12]", () => {
  fc.assert(
    fc.property(terms, intents, (terms, stream) => {
      const naive = new NaiveBook(terms);
      let seq = 0;
      replay(terms, stream, (book, entries, command) => {
        assert.deepEqual(entries, naive.apply(seq++, command));
        assert.equal(stateHash(book), naive.stateHash());
      });
    }),
    { numRuns: 300 },
  );
});

test("the fast book and the naive book agree over one long stream [MAT-3, MAT-12]", () => {
  const naive = new NaiveBook(OPEN_TERMS);
  let seq = 0;
  const stream = fc.sample(intent, { numRuns: 20_000, seed: 20_260_101 });
  replay(OPEN_TERMS, stream, (book, entries, command) => {
    assert.deepEqual(entries, naive.apply(seq++, command));
    if (seq % 100 === 0) assert.equal(stateHash(book), naive.stateHash());
  });
});

test("the book is never crossed between commands [MAT-13]", () => {
  fc.assert(
    fc.property(terms, intents, (terms, stream) => {
      replay(terms, stream, (book) => {
        const bid = bestBid(book);
        const ask = bestAsk(book);
        if (bid !== undefined && ask !== undefined) assert.ok(bid.priceTicks < ask.priceTicks);
      });
    }),
  );
});

test("accepted contracts are traded, resting, cancelled or expired, per order and in every level [MAT-14]", () => {
  fc.assert(
    fc.property(terms, intents, (terms, stream) => {
      const left = new Map<string, { total: number; gone: number }>();
      const take = (orderId: string, quantity: number): number => {
        const order = left.get(orderId);
        assert.ok(order, `${orderId} was accepted`);
        order.gone += quantity;
        return order.total - order.gone;
      };
      replay(terms, stream, (book, entries) => {
        for (const entry of entries) {
          if (entry.kind === "accepted") left.set(entry.orderId, { total: entry.remaining, gone: 0 });
          if (entry.kind === "executed") {
            assert.equal(take(entry.maker, entry.quantity), entry.makerRemaining);
            assert.equal(take(entry.taker, entry.quantity), entry.takerRemaining);
          }
          if (entry.kind === "cancelled" || entry.kind === "expired") {
            assert.equal(take(entry.orderId, entry.remaining), 0);
          }
          if (entry.kind === "replaced") {
            left.set(entry.orderId, { total: entry.quantity, gone: entry.quantity - entry.remaining });
          }
        }
        for (const [orderId, { total, gone }] of left) {
          assert.equal(openOrder(book, orderId)?.remaining ?? 0, total - gone, orderId);
        }
        const { bids, asks } = depth(book);
        const resting = [...openOrders(book)].reduce((sum, order) => sum + order.remaining, 0);
        assert.equal(
          [...bids, ...asks].reduce((sum, level) => sum + level.quantity, 0),
          resting,
        );
        for (const level of [...bids, ...asks]) assert.ok(level.orders > 0 && level.quantity > 0);
      });
    }),
  );
});

test("trades of one command go from better to worse prices and from older to younger priority [MAT-3, MAT-4]", () => {
  fc.assert(
    fc.property(terms, intents, (terms, stream) => {
      replay(terms, stream, (_book, entries, command) => {
        const made = trades(entries);
        made.forEach((trade, i) => {
          assert.ok(command.kind !== "cancel");
          const direction = trade.takerSide === "buy" ? 1 : -1;
          assert.ok(direction * (command.priceTicks - trade.priceTicks) >= 0);
          const next = made[i + 1];
          if (next === undefined) return;
          const step = direction * (next.priceTicks - trade.priceTicks);
          assert.ok(step > 0 || (step === 0 && next.makerPrioritySeq > trade.makerPrioritySeq));
        });
      });
    }),
  );
});

test("a fill-or-kill order trades all of its quantity or changes nothing [MAT-5]", () => {
  fc.assert(
    fc.property(terms, intents, (terms, stream) => {
      replay(terms, stream, (_book, entries, command) => {
        if (command.kind !== "new" || command.timeInForce !== "FOK") return;
        const traded = trades(entries).reduce((sum, trade) => sum + trade.quantity, 0);
        const rejected = entries.some((entry) => entry.kind === "rejected");
        assert.equal(traded, rejected ? 0 : command.quantity);
      });
    }),
  );
});

test("a post-only order trades only when another comes to it [MAT-6]", () => {
  fc.assert(
    fc.property(terms, intents, (terms, stream) => {
      const postOnly = new Set<string>();
      replay(terms, stream, (_book, entries, command) => {
        if (command.kind === "new" && entries[0]?.kind === "accepted") {
          if (command.postOnly === true) postOnly.add(command.orderId);
          else postOnly.delete(command.orderId);
        }
        for (const trade of trades(entries)) assert.ok(!postOnly.has(trade.taker));
      });
    }),
  );
});

test("orders of one owner never trade with each other [MAT-7]", () => {
  fc.assert(
    fc.property(terms, intents, (terms, stream) => {
      const owner = new Map<string, string>();
      replay(terms, stream, (_book, entries, command) => {
        if (command.kind === "new" && entries[0]?.kind === "accepted") owner.set(command.orderId, command.owner);
        for (const trade of trades(entries)) assert.notEqual(owner.get(trade.maker), owner.get(trade.taker));
      });
    }),
  );
});

test("a replacement keeps its priority exactly when price stays and size does not grow [MAT-8]", () => {
  fc.assert(
    fc.property(terms, intents, (terms, stream) => {
      const inForce = new Map<string, { priceTicks: number; quantity: number; prioritySeq: number }>();
      replay(terms, stream, (_book, entries, command) => {
        const first = entries[0];
        if (first?.kind === "accepted" && command.kind === "new") {
          const { priceTicks, quantity, orderId } = command;
          inForce.set(orderId, { priceTicks, quantity, prioritySeq: first.prioritySeq });
        }
        if (first?.kind !== "replaced") return;
        const old = inForce.get(first.orderId);
        assert.ok(old);
        const keeps = first.priceTicks === old.priceTicks && first.quantity <= old.quantity;
        assert.equal(first.prioritySeq, keeps ? old.prioritySeq : first.seq);
        inForce.set(first.orderId, first);
      });
    }),
  );
});

test("a rejected command leaves the book as it was [MAT-10]", () => {
  fc.assert(
    fc.property(terms, intents, (terms, stream) => {
      let orders: unknown = [];
      replay(terms, stream, (book, entries) => {
        const now = [...openOrders(book)];
        if (entries[0]?.kind === "rejected") assert.deepEqual(now, orders);
        orders = now;
      });
    }),
    { numRuns: 50 },
  );
});

test("every command has outcomes, numbered from 0 without gaps [MAT-11]", () => {
  fc.assert(
    fc.property(terms, intents, (terms, stream) => {
      let seq = 0;
      replay(terms, stream, (_book, entries) => {
        assert.ok(entries.length > 0);
        entries.forEach((entry, n) => {
          assert.deepEqual([entry.seq, entry.n], [seq, n]);
        });
        seq += 1;
      });
    }),
  );
});

test("a replay gives the same entries and the same state [MAT-12]", () => {
  fc.assert(
    fc.property(terms, intents, (terms, stream) => {
      const run = (): { readonly entries: readonly Entry[]; readonly hash: string } => {
        const entries: Entry[] = [];
        const book = replay(terms, stream, (_book, more) => entries.push(...more));
        return { entries, hash: stateHash(book) };
      };
      assert.deepEqual(run(), run());
    }),
  );
});
