import { createLadder, dequeue, dropLevel, enqueue, type Ladder, levelAt, reaches } from "./ladder.ts";
import { at, createOrderTable, nameOrder, NONE, type OrderTable, ownerAt, removeOrder, sideAt } from "./orderTable.ts";
import { type BookTerms, OPEN_TERMS } from "./terms.ts";
import type { Session, Side } from "./types.ts";

/** One market's book during one epoch. Only `apply` changes it. */
export interface Book {
  readonly terms: BookTerms;
  readonly orders: OrderTable;
  readonly bids: Ladder;
  readonly asks: Ladder;
  /** Orders that wait, by stop price: the next that a rising price reaches is the best of `buyStops`. */
  readonly buyStops: Ladder;
  readonly sellStops: Ladder;
  session: Session;
  lastSeq: number;
  /** Price of the last trade. */
  lastTradeTicks: number | undefined;
  /** Lowest and highest price traded since stop prices were last compared with it. Nothing between two commands. */
  low: number;
  high: number;
  /** Rows of each owner's resting orders. Kept in pre-open only, where orders that cross rest side by side (MAT-20). */
  rowsOf: Map<string, Set<number>> | undefined;
}

/** An empty book. */
export function createBook(terms: BookTerms = OPEN_TERMS, session: Session = "open"): Book {
  return {
    terms,
    orders: createOrderTable(),
    bids: createLadder("buy"),
    asks: createLadder("sell"),
    // Seen from the market, stops stand the other way round: the lowest stop price of a buy order is the nearest.
    buyStops: createLadder("sell"),
    sellStops: createLadder("buy"),
    session,
    lastSeq: -1,
    lastTradeTicks: undefined,
    low: Infinity,
    high: -Infinity,
    rowsOf: session === "pre-open" ? new Map<string, Set<number>>() : undefined,
  };
}

/** The side of the book on which an order of `side` rests. */
export function ownLadder(book: Book, side: Side): Ladder {
  return side === "buy" ? book.bids : book.asks;
}

/** The side of the book with which an order of `side` trades. */
export function facingLadder(book: Book, side: Side): Ladder {
  return side === "buy" ? book.asks : book.bids;
}

/** The waiting orders of `side`. */
export function stopLadder(book: Book, side: Side): Ladder {
  return side === "buy" ? book.buyStops : book.sellStops;
}

/** Puts an order at the end of the queue of its price. */
export function rest(book: Book, row: number): void {
  const { orders } = book;
  enqueue(orders, levelAt(ownLadder(book, sideAt(orders, row)), at(orders.priceTicks, row)), row);
  nameOrder(orders, row);
  if (book.rowsOf !== undefined) addToOwner(book.rowsOf, ownerAt(orders, row), row);
}

/** Lets an order wait at the end of the queue of its stop price. */
export function waitForStop(book: Book, row: number): void {
  const { orders } = book;
  enqueue(orders, levelAt(stopLadder(book, sideAt(orders, row)), at(orders.stopTicks, row)), row);
  nameOrder(orders, row);
}

/** Takes an order out of its queue, if it is in one, and the level with it when it was the last. */
export function leaveQueue(book: Book, row: number): void {
  const level = book.orders.level[row];
  if (level === undefined) return;
  dequeue(book.orders, level, row);
  if (level.orders === 0) dropLevel(level);
}

/** Forgets an order for good. */
export function forget(book: Book, row: number): void {
  leaveQueue(book, row);
  book.rowsOf?.get(ownerAt(book.orders, row))?.delete(row);
  removeOrder(book.orders, row);
}

/** Begins or ends the count of orders by owner, as the session wants it. */
export function enterSession(book: Book, session: Session): void {
  book.session = session;
  book.rowsOf = session === "pre-open" ? rowsByOwner(book) : undefined;
}

/**
 * The rows of the same owner's resting orders that the limit of an order reaches, first to trade first. Only orders of
 * the owner are looked at, so that nobody's entry gets dear by the orders of others.
 */
export function ownCrossing(book: Book, row: number): readonly number[] {
  const { orders } = book;
  const side = sideAt(orders, row);
  const limitTicks = at(orders.priceTicks, row);
  const direction = side === "buy" ? 1 : -1;
  return [...(book.rowsOf?.get(ownerAt(orders, row)) ?? [])]
    .filter((own) => sideAt(orders, own) !== side && reaches(side, limitTicks, at(orders.priceTicks, own)))
    .sort(
      (a, b) =>
        direction * (at(orders.priceTicks, a) - at(orders.priceTicks, b)) ||
        at(orders.prioritySeq, a) - at(orders.prioritySeq, b),
    );
}

/** Whether the best bid meets the best ask, which happens in pre-open only. */
export function isCrossed({ bids, asks }: Book): boolean {
  const bid = bids.best;
  const ask = asks.best;
  return bid !== undefined && ask !== undefined && bid.priceTicks >= ask.priceTicks;
}

/** Rows of a ladder, first to trade (or to be triggered) first. */
export function* rowsIn(orders: OrderTable, ladder: Ladder): Generator<number> {
  for (let level = ladder.best; level !== undefined; level = level.worse) {
    for (let row = level.head; row !== NONE; row = at(orders.next, row)) yield row;
  }
}

function rowsByOwner(book: Book): Map<string, Set<number>> {
  const rowsOf = new Map<string, Set<number>>();
  for (const ladder of [book.bids, book.asks]) {
    for (const row of rowsIn(book.orders, ladder)) addToOwner(rowsOf, ownerAt(book.orders, row), row);
  }
  return rowsOf;
}

function addToOwner(rowsOf: Map<string, Set<number>>, owner: string, row: number): void {
  const rows = rowsOf.get(owner);
  if (rows === undefined) rowsOf.set(owner, new Set([row]));
  else rows.add(row);
}
