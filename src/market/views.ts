import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { type Book, facingLadder, ownLadder, rowsIn } from "./book.ts";
import { findLevel, type Ladder, type Level, reaches } from "./ladder.ts";
import { at, hasStop, idAt, liveRow, NONE, type OrderTable, ownerAt, selfTradeAt, sideAt } from "./orderTable.ts";
import { MAX_QUANTITY, withinCollar } from "./terms.ts";
import type { Entry, Executed, NewOrder, OrderId, SelfTradeMode, Side, TimeInForce } from "./types.ts";

/** One price of the public book: contracts that are shown there, and in how many orders. */
export interface PriceLevel {
  readonly priceTicks: number;
  readonly quantity: number;
  readonly orders: number;
}

/**
 * A live order as it stands. `total` includes what has traded and what "decrement" took away; `displayed` is what it
 * shows now, `displayQuantity` what it may show at a time, null for all. `stopPriceTicks` is null once it is reached:
 * an order that has one waits, and shows nothing. Plain data, as JSON has it.
 */
export interface OpenOrder {
  readonly orderId: OrderId;
  readonly owner: string;
  readonly side: Side;
  readonly priceTicks: number;
  readonly total: number;
  readonly filled: number;
  readonly remaining: number;
  readonly displayed: number;
  readonly displayQuantity: number | null;
  readonly stopPriceTicks: number | null;
  readonly revision: number;
  readonly prioritySeq: number;
  readonly timeInForce: TimeInForce;
  readonly postOnly: boolean;
  readonly selfTrade: SelfTradeMode;
}

/** The best price to sell at now, or undefined. */
export function bestBid(book: Book): PriceLevel | undefined {
  return publicLevel(book.bids.best);
}

/** The best price to buy at now, or undefined. */
export function bestAsk(book: Book): PriceLevel | undefined {
  return publicLevel(book.asks.best);
}

/** The best `levels` prices of both sides, best first; all of them if left out. Shows what orders show (MAT-16). */
export function depth(
  book: Book,
  levels = Infinity,
): { readonly bids: readonly PriceLevel[]; readonly asks: readonly PriceLevel[] } {
  return { bids: ladderDepth(book.bids, levels), asks: ladderDepth(book.asks, levels) };
}

/** What is shown at one price now; zeros if nothing is. Found by halving, for increments of the public book. */
export function levelAtPrice(
  book: Book,
  side: Side,
  priceTicks: number,
): { readonly quantity: number; readonly orders: number } {
  const level = findLevel(ownLadder(book, side), priceTicks);
  return { quantity: level?.quantity ?? 0, orders: level?.orders ?? 0 };
}

/**
 * How many trades an order would make at most if it came in now, counted no further than just above `most`. Of the last
 * level that it reaches, hidden parts are counted as if it took them whole; its owner's orders trade with it never.
 */
export function countTrades(
  book: Book,
  order: Pick<NewOrder, "owner" | "side" | "priceTicks" | "quantity">,
  most: number,
): number {
  const { orders } = book;
  const { best } = facingLadder(book, order.side);
  const worstTicks = withinCollar(book, order.side, order.priceTicks);
  let trades = 0;
  let left = order.quantity;
  for (let level = best; level !== undefined && left > 0; level = level.worse) {
    if (!reaches(order.side, worstTicks, level.priceTicks)) break;
    let hidden = 0;
    let hiddenParts = 0;
    for (let row = level.head; row !== NONE && left > 0 && trades <= most; row = at(orders.next, row)) {
      if (orders.owner[row] === order.owner) continue;
      const unseen = at(orders.remaining, row) - at(orders.shown, row);
      left -= at(orders.shown, row);
      trades += 1;
      hidden += unseen;
      hiddenParts += Math.ceil(unseen / at(orders.display, row));
    }
    if (left > 0) trades += hiddenParts;
    left -= hidden;
    if (trades > most) break;
  }
  return trades;
}

/** The trades among log entries. */
export function trades(entries: readonly Entry[]): readonly Executed[] {
  return entries.filter((entry) => entry.kind === "executed");
}

/** An order that rests or waits, by id, or undefined. */
export function openOrder(book: Book, orderId: OrderId): OpenOrder | undefined {
  const row = liveRow(book.orders, orderId);
  return row === undefined ? undefined : orderAt(book.orders, row);
}

/** All resting orders: bids, then asks, each from the first to trade to the last. */
export function* openOrders({ orders, bids, asks }: Book): Generator<OpenOrder> {
  for (const ladder of [bids, asks]) for (const row of rowsIn(orders, ladder)) yield orderAt(orders, row);
}

/** All orders that wait for their stop price: buy orders, then sell orders, each from the nearest on. */
export function* waitingOrders({ orders, buyStops, sellStops }: Book): Generator<OpenOrder> {
  for (const ladder of [buyStops, sellStops]) for (const row of rowsIn(orders, ladder)) yield orderAt(orders, row);
}

/**
 * SHA-256 (hex) of the whole state, to compare two runs (MAT-12). One JSON line for the market (last command number,
 * session, price of the last trade or null), then one per resting order in priority order, then one per waiting order.
 */
export function stateHash(book: Book): string {
  const hash = sha256.create();
  const line = (values: readonly unknown[]): unknown => hash.update(utf8ToBytes(`${JSON.stringify(values)}\n`));
  line([book.lastSeq, book.session, book.lastTradeTicks ?? null]);
  for (const order of openOrders(book)) line(Object.values(order));
  for (const order of waitingOrders(book)) line(Object.values(order));
  return bytesToHex(hash.digest());
}

function orderAt(orders: OrderTable, row: number): OpenOrder {
  const display = at(orders.display, row);
  const waits = hasStop(orders, row);
  return {
    orderId: idAt(orders, row),
    owner: ownerAt(orders, row),
    side: sideAt(orders, row),
    priceTicks: at(orders.priceTicks, row),
    total: at(orders.total, row),
    filled: at(orders.filled, row),
    remaining: at(orders.remaining, row),
    displayed: waits ? 0 : at(orders.shown, row),
    displayQuantity: display === MAX_QUANTITY ? null : display,
    stopPriceTicks: waits ? at(orders.stopTicks, row) : null,
    revision: at(orders.revision, row),
    prioritySeq: at(orders.prioritySeq, row),
    timeInForce: orders.timeInForce[row] ?? "GTC",
    postOnly: orders.postOnly[row] ?? false,
    selfTrade: selfTradeAt(orders, row),
  };
}

function ladderDepth(ladder: Ladder, levels: number): readonly PriceLevel[] {
  const shown: PriceLevel[] = [];
  for (let level = ladder.best; level !== undefined && shown.length < levels; level = level.worse) {
    shown.push({ priceTicks: level.priceTicks, quantity: level.quantity, orders: level.orders });
  }
  return shown;
}

function publicLevel(level: Level | undefined): PriceLevel | undefined {
  if (level === undefined) return undefined;
  return { priceTicks: level.priceTicks, quantity: level.quantity, orders: level.orders };
}
