import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { apply, type Book, createBook } from "../../src/market/engine.ts";
import { bookState } from "../../src/market/state.ts";
import { type BookTerms, MAX_QUANTITY, OPEN_TERMS } from "../../src/market/terms.ts";
import type { Command, Entry, NewOrder, Side } from "../../src/market/types.ts";
import {
  bestAsk,
  bestBid,
  countTrades,
  depth,
  openOrder,
  openOrders,
  stateHash,
  trades,
  waitingOrders,
} from "../../src/market/views.ts";
import { compareBooks, restored } from "../support/compareBooks.ts";
import { NaiveBook } from "../support/naiveBook.ts";
import { COLLARED_TERMS, STRICT_TERMS } from "../support/orders.ts";

// Few ids, owners and prices, so that orders meet, repeat, replace and trade with their owner often.
const orderId = fc.integer({ min: 0, max: 30 }).map((i) => `o${i}`);
const side = fc.constantFrom("buy", "sell");
const priceTicks = fc.oneof({ weight: 100, arbitrary: fc.integer({ min: -5, max: 5 }) }, fc.constantFrom(-11, 11, 0.5));
const quantity = fc.oneof(
  { weight: 100, arbitrary: fc.integer({ min: 1, max: 12 }) },
  fc.constantFrom(0, MAX_QUANTITY),
);
const plainOrder = fc.record({
  kind: fc.constant("new"),
  orderId,
  owner: fc.constantFrom("p", "q", "r", "s", "t"),
  side,
  priceTicks,
  quantity,
  timeInForce: fc.constantFrom("GTC", "GTC", "GTC", "GTC", "GTC", "GTC", "IOC", "FOK"),
  postOnly: fc.constantFrom(false, false, false, true),
  selfTrade: fc.constantFrom("cancel-incoming", "cancel-resting", "cancel-both", "decrement"),
});
const newOrder: fc.Arbitrary<NewOrder> = fc.oneof(
  { weight: 4, arbitrary: plainOrder },
  {
    weight: 1,
    arbitrary: fc
      .tuple(plainOrder, fc.integer({ min: 0, max: 4 }))
      .map(([order, displayQuantity]) => ({ ...order, displayQuantity })),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(plainOrder, priceTicks).map(([order, stopPriceTicks]) => ({ ...order, stopPriceTicks })),
  },
);
const cancelOrder = fc.record({ kind: fc.constant("cancel"), orderId });
const replaceOrder = fc.record({
  kind: fc.constant("replace"),
  orderId,
  side,
  priceTicks,
  quantity,
  revision: fc.integer({ min: 1, max: 260 }),
});
const marketCommand = fc.oneof(
  fc.record({
    kind: fc.constant("session"),
    session: fc.constantFrom("pre-open", "pre-open", "open", "open", "open", "closing", "halted", "closed"),
  }),
  fc.record({ kind: fc.constant("uncross"), referenceTicks: priceTicks }),
);
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 16, arbitrary: newOrder },
  { weight: 2, arbitrary: cancelOrder },
  { weight: 6, arbitrary: replaceOrder },
  { weight: 1, arbitrary: marketCommand },
);
/** A command, and most often the wish that it hits: a fresh id for a new order, a resting order for the other kinds. */
const intent = fc.record({ command, hits: fc.constantFrom(true, true, true, false), aim: fc.nat() });
type Intent = typeof intent extends fc.Arbitrary<infer T> ? T : never;
const intents = fc.array(intent, { maxLength: 200, size: "max" });
const terms: fc.Arbitrary<BookTerms> = fc.constantFrom(OPEN_TERMS, STRICT_TERMS, COLLARED_TERMS);

/** The command of an intent. One that hits is priced two ticks away from the other side, so that the book fills. */
function aimed(book: Book, seq: number, { command, hits, aim }: Intent): Command {
  if (!hits || command.kind === "session" || command.kind === "uncross") return command;
  if (command.kind === "new") {
    const postOnly = command.postOnly === true && command.timeInForce === "GTC";
    return { ...command, orderId: `n${seq}`, priceTicks: away(command.side, command.priceTicks), postOnly };
  }
  const open = [...openOrders(book), ...waitingOrders(book)];
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
  terms: BookTerms,
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

test("the fast book and the naive book agree over long random streams of everything [MAT-3, MAT-12, MAT-22]", () => {
  for (let seed = 1; seed <= 40; seed++) compareBooks(seed, 5_000);
});

test("a book restored from its state answers all that follows like the one that went on [MAT-22]", () => {
  fc.assert(
    fc.property(terms, intents, fc.nat(), (terms, stream, when) => {
      let twin: Book | undefined;
      replay(terms, stream, (book, entries, command) => {
        if (twin !== undefined) assert.deepEqual(apply(twin, book.lastSeq, command), entries);
        if (book.lastSeq === when % stream.length) twin = restored(terms, book);
        if (twin !== undefined) assert.equal(stateHash(twin), stateHash(book));
      });
    }),
  );
});

test("the state of a book is plain JSON [MAT-22]", () => {
  fc.assert(
    fc.property(terms, intents, (terms, stream) => {
      const state = bookState(replay(terms, stream, () => undefined));
      assert.deepEqual(JSON.parse(JSON.stringify(state)), state);
    }),
  );
});

test("the book is never crossed between commands [MAT-13]", () => {
  fc.assert(
    fc.property(terms, intents, (terms, stream) => {
      replay(terms, stream, (book) => {
        const bid = bestBid(book);
        const ask = bestAsk(book);
        if (book.session !== "open" && book.session !== "closing") return;
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
          if (entry.kind === "cancelled") assert.equal(take(entry.orderId, entry.remaining), entry.left);
          if (entry.kind === "expired") assert.equal(take(entry.orderId, entry.remaining), 0);
          if (entry.kind === "triggered" || entry.kind === "reloaded") {
            assert.equal(take(entry.orderId, 0), entry.remaining);
          }
          if (entry.kind === "replaced") {
            left.set(entry.orderId, { total: entry.quantity, gone: entry.quantity - entry.remaining });
          }
        }
        for (const [orderId, { total, gone }] of left) {
          assert.equal(openOrder(book, orderId)?.remaining ?? 0, total - gone, orderId);
        }
        const { bids, asks } = depth(book);
        const shown = [...openOrders(book)].reduce((sum, order) => sum + order.displayed, 0);
        assert.equal(
          [...bids, ...asks].reduce((sum, level) => sum + level.quantity, 0),
          shown,
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
        const firstStop = entries.findIndex((entry) => entry.kind === "triggered");
        const made = trades(firstStop < 0 ? entries : entries.slice(0, firstStop));
        if (command.kind === "uncross") return;
        made.forEach((trade, i) => {
          assert.ok(command.kind === "new" || command.kind === "replace");
          const direction = trade.takerSide === "buy" ? 1 : -1;
          assert.ok(direction * (command.priceTicks - trade.priceTicks) >= 0);
          const next = made[i + 1];
          if (next === undefined) return;
          const step = direction * (next.priceTicks - trade.priceTicks);
          assert.ok(step > 0 || (step === 0 && next.makerPrioritySeq >= trade.makerPrioritySeq));
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
        const own = trades(entries).filter((trade) => trade.taker === command.orderId);
        const traded = own.reduce((sum, trade) => sum + trade.quantity, 0);
        assert.ok(traded === 0 || traded === command.quantity);
        if (traded > 0 || command.stopPriceTicks !== undefined) return;
        assert.equal(entries[0]?.kind, "rejected");
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
      const total = new Map<string, number>();
      const prioritySeq = new Map<string, number>();
      replay(terms, stream, (book, entries) => {
        for (const entry of entries) {
          if (entry.kind === "accepted") total.set(entry.orderId, entry.remaining);
          if (entry.kind === "replaced") {
            const waits = (openOrder(book, entry.orderId)?.stopPriceTicks ?? null) !== null;
            const samePlace = entry.priceTicks === entry.oldPriceTicks;
            const keeps = waits || (samePlace && entry.quantity <= (total.get(entry.orderId) ?? 0));
            assert.equal(entry.prioritySeq, keeps ? prioritySeq.get(entry.orderId) : entry.seq);
            total.set(entry.orderId, entry.quantity);
          }
          if ("prioritySeq" in entry) prioritySeq.set(entry.orderId, entry.prioritySeq);
        }
      });
    }),
  );
});

test("the count of trades that an order would make is never too low [MAT-3, MAT-16]", () => {
  fc.assert(
    fc.property(terms, intents, (terms, stream) => {
      const before = createBook(terms);
      let seq = 0;
      replay(terms, stream, (_book, entries, command) => {
        const expected = command.kind === "new" ? countTrades(before, command, Infinity) : Infinity;
        const made = trades(entries).filter((trade) => command.kind === "new" && trade.taker === command.orderId);
        if (command.kind === "new" && command.stopPriceTicks === undefined) assert.ok(made.length <= expected);
        apply(before, seq++, command);
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
