import assert from "node:assert/strict";
import { apply, type Book, createBook } from "../../src/market/engine.ts";
import { MatchingError } from "../../src/market/errors.ts";
import { bookState, restoreBook } from "../../src/market/state.ts";
import { type BookTerms, MAX_QUANTITY, OPEN_TERMS } from "../../src/market/terms.ts";
import type { Command, NewOrder, Session, Side } from "../../src/market/types.ts";
import { depth, levelAtPrice, stateHash } from "../../src/market/views.ts";
import { NaiveBook } from "./naiveBook.ts";
import { COLLARED_TERMS, STRICT_TERMS } from "./orders.ts";

/** Whole numbers from 0 to `below` - 1, the same for the same seed. */
export type Draw = (below: number) => number;

/** A generator of 32 bits (mulberry32): small, quick and good enough to choose commands. */
export function drawFrom(seed: number): Draw {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return Math.floor((((word ^ (word >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/**
 * Gives the fast book and the naive book the same random commands of all kinds and compares what they say after each
 * and their states now and then; the fast book is written down and restored on the way. Throws an AssertionError at the
 * first difference.
 */
export function compareBooks(seed: number, commands: number): void {
  const draw = drawFrom(seed);
  const terms = [STRICT_TERMS, COLLARED_TERMS][draw(3)] ?? OPEN_TERMS;
  const session = draw(3) === 0 ? "pre-open" : "open";
  const naive = new NaiveBook(terms, session);
  let book = createBook(terms, session);
  for (let seq = 0; seq < commands; seq++) {
    const command = randomCommand(draw, naive, seq);
    const said = naive.apply(seq, command);
    const entries = apply(book, seq, command);
    if (!isAlike(entries, said)) assert.deepEqual(entries, said, `seed ${seed}, command ${seq}`);
    if (draw(50) > 0) continue;
    assert.equal(stateHash(book), naive.stateHash(), `seed ${seed}, after command ${seq}`);
    assertDepth(book, naive);
    if (draw(4) === 0) book = restored(terms, book);
  }
  assert.equal(stateHash(book), naive.stateHash(), `seed ${seed}, at the end`);
}

/** The book that comes out of the state of `book`. */
export function restored(terms: BookTerms, book: Book): Book {
  const copy = restoreBook(terms, structuredClone(bookState(book)));
  assert.equal(stateHash(copy), stateHash(book));
  return copy;
}

/** What is published must be the sums of what orders show. */
function assertDepth(book: Book, naive: NaiveBook): void {
  const { bids, asks } = depth(book);
  for (const [side, levels] of [
    ["buy", bids],
    ["sell", asks],
  ] as const) {
    const shown = new Map<number, { quantity: number; orders: number }>();
    for (const { priceTicks, displayed } of naive.inPriority(side)) {
      const level = shown.get(priceTicks) ?? { quantity: 0, orders: 0 };
      shown.set(priceTicks, { quantity: level.quantity + displayed, orders: level.orders + 1 });
    }
    assert.deepEqual(
      levels,
      [...shown].map(([priceTicks, level]) => ({ priceTicks, ...level })),
    );
    for (const [priceTicks, level] of shown) assert.deepEqual(levelAtPrice(book, side, priceTicks), level);
    assert.deepEqual(levelAtPrice(book, side, 0.5), { quantity: 0, orders: 0 });
  }
}

/** Whether two lists of entries say the same; errors are compared by code and message. Much quicker than deepEqual. */
function isAlike(entries: readonly object[], others: readonly object[]): boolean {
  return (
    entries.length === others.length &&
    entries.every((entry, i) => {
      const other = new Map<string, unknown>(Object.entries(others[i] ?? {}));
      const fields = Object.entries(entry);
      return fields.length === other.size && fields.every(([name, value]) => isSame(value, other.get(name)));
    })
  );
}

function isSame(a: unknown, b: unknown): boolean {
  if (!(a instanceof MatchingError) || !(b instanceof MatchingError)) return Object.is(a, b);
  return a.code === b.code && a.message === b.message;
}

const SELF_TRADE = ["cancel-incoming", "cancel-resting", "cancel-both", "decrement"] as const;
const SESSIONS = ["pre-open", "pre-open", "open", "open", "open", "halted", "closing", "closed"] as const;

/** A command that mostly means something to a book of some dozens of orders: few owners and prices, so that they meet. */
export function randomCommand(draw: Draw, book: NaiveBook, seq: number): Command {
  const live = book.orders.length + book.waiting.length;
  const market = marketCommand(draw, book.session);
  if (market !== undefined) return market;
  const kind = draw(Math.max(11, live / 4));
  if (kind < 7) return randomOrder(draw, draw(40) === 0 ? `o${seq - draw(20)}` : `o${seq}`);

  const order = [...book.orders, ...book.waiting][draw(live)];
  const orderId = order === undefined || draw(20) === 0 ? `o${draw(seq + 1)}` : order.orderId;
  if (kind !== 7 && kind < 10) {
    const side = order?.side ?? "buy";
    const total = order?.total ?? 1;
    return {
      kind: "replace",
      orderId,
      side: draw(30) === 0 ? "sell" : side,
      priceTicks: draw(2) === 0 ? (order?.priceTicks ?? 0) : randomPrice(draw, side),
      quantity: draw(40) === 0 ? 0 : 1 + draw(total + 3),
      revision: (order?.revision ?? 0) + draw(12),
    };
  }
  return { kind: "cancel", orderId };
}

/** A command to the market, which gets rarer the less the session is meant to last. */
function marketCommand(draw: Draw, session: Session): Command | undefined {
  const lasts = { "pre-open": 40, open: 200, closing: 100, halted: 8, closed: 8 }[session];
  if (draw(lasts) === 0) return { kind: "session", session: SESSIONS[draw(SESSIONS.length)] ?? "open" };
  if (session === "pre-open" && draw(15) === 0) {
    return { kind: "uncross", referenceTicks: draw(20) === 0 ? 0.5 : draw(17) - 8 };
  }
  return draw(1_000) === 0 ? { kind: "uncross", referenceTicks: 0 } : undefined;
}

function randomOrder(draw: Draw, orderId: string): NewOrder {
  const side = draw(2) === 0 ? "buy" : "sell";
  const quantity = draw(60) === 0 ? (draw(2) === 0 ? 0 : MAX_QUANTITY) : 1 + draw(draw(6) === 0 ? 150 : 12);
  return {
    kind: "new",
    orderId,
    owner: `p${draw(6)}`,
    side,
    priceTicks: randomPrice(draw, side),
    quantity,
    timeInForce: draw(6) > 0 ? "GTC" : draw(2) === 0 ? "IOC" : "FOK",
    ...(draw(8) === 0 ? { postOnly: true } : {}),
    ...(draw(5) === 0 ? {} : { selfTrade: SELF_TRADE[draw(4)] ?? "decrement" }),
    ...(draw(4) === 0 ? { displayQuantity: draw(Math.min(quantity, 20) + 2) } : {}),
    ...(draw(5) === 0 ? { stopPriceTicks: draw(40) === 0 ? 11 : draw(17) - 8 } : {}),
  };
}

/** A price a little behind the other side most often, so that a book can build up. */
function randomPrice(draw: Draw, side: Side): number {
  if (draw(100) === 0) return draw(2) === 0 ? 11 : 0.5;
  return draw(13) - 6 + (side === "buy" ? -2 : 2);
}
