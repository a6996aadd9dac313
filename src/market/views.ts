import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import type { Book } from "./engine.ts";
import { bestLevel, type Ladder, type Level } from "./ladder.ts";
import { at, idAt, liveRow, NONE, remainingAt, sideAt } from "./orderTable.ts";
import type { Entry, Executed, OrderId, SelfTradeMode, Side } from "./types.ts";

/** One price of the public book: contracts that rest there, and in how many orders. */
export interface PriceLevel {
  readonly priceTicks: number;
  readonly quantity: number;
  readonly orders: number;
}

/** A live order as it stands. `total` includes what has traded. */
export interface OpenOrder {
  readonly orderId: OrderId;
  readonly owner: string;
  readonly side: Side;
  readonly priceTicks: number;
  readonly total: number;
  readonly filled: number;
  readonly remaining: number;
  readonly revision: number;
  readonly prioritySeq: number;
  readonly postOnly: boolean;
  readonly selfTrade: SelfTradeMode;
}

/** The best price to sell at now, or undefined. */
export function bestBid(book: Book): PriceLevel | undefined {
  return publicLevel(bestLevel(book.bids));
}

/** The best price to buy at now, or undefined. */
export function bestAsk(book: Book): PriceLevel | undefined {
  return publicLevel(bestLevel(book.asks));
}

/** The best `levels` prices of both sides, best first; all of them if left out. */
export function depth(
  book: Book,
  levels = Infinity,
): { readonly bids: readonly PriceLevel[]; readonly asks: readonly PriceLevel[] } {
  return { bids: ladderDepth(book.bids, levels), asks: ladderDepth(book.asks, levels) };
}

/** The trades among log entries. */
export function trades(entries: readonly Entry[]): readonly Executed[] {
  return entries.filter((entry) => entry.kind === "executed");
}

/** A resting order by id, or undefined. */
export function openOrder(book: Book, orderId: OrderId): OpenOrder | undefined {
  const row = liveRow(book.orders, orderId);
  return row === undefined ? undefined : orderAt(book, row);
}

/** All resting orders: bids, then asks, each from the first to trade to the last. */
export function* openOrders(book: Book): Generator<OpenOrder> {
  for (const ladder of [book.bids, book.asks]) {
    for (const level of ladder.levels.toReversed()) {
      for (let row = level.head; row !== NONE; row = at(book.orders.next, row)) yield orderAt(book, row);
    }
  }
}

/**
 * SHA-256 (hex) of the whole state, to compare two runs (MAT-12). One JSON line for the counters (last command number,
 * ids that are taken), then one per resting order in priority order. Of dead ids only their number is hashed.
 */
export function stateHash(book: Book): string {
  const hash = sha256.create();
  hash.update(utf8ToBytes(`${JSON.stringify([book.lastSeq, book.orders.rowOf.size])}\n`));
  for (const order of openOrders(book)) hash.update(utf8ToBytes(`${stateLine(order)}\n`));
  return bytesToHex(hash.digest());
}

/** The line of one resting order under `stateHash`. */
function stateLine(order: OpenOrder): string {
  const { orderId, owner, side, priceTicks, total, filled, revision, prioritySeq, postOnly, selfTrade } = order;
  return JSON.stringify([orderId, owner, side, priceTicks, total, filled, revision, prioritySeq, postOnly, selfTrade]);
}

function orderAt(book: Book, row: number): OpenOrder {
  const { orders } = book;
  return {
    orderId: idAt(orders, row),
    owner: orders.owner[row] ?? "",
    side: sideAt(orders, row),
    priceTicks: at(orders.priceTicks, row),
    total: at(orders.total, row),
    filled: at(orders.filled, row),
    remaining: remainingAt(orders, row),
    revision: at(orders.revision, row),
    prioritySeq: at(orders.prioritySeq, row),
    postOnly: orders.postOnly[row] ?? false,
    selfTrade: orders.selfTrade[row] ?? "cancel-incoming",
  };
}

function ladderDepth(ladder: Ladder, levels: number): readonly PriceLevel[] {
  const first = Math.max(0, ladder.levels.length - levels);
  return ladder.levels
    .slice(first)
    .reverse()
    .map(({ priceTicks, quantity, orders }) => ({ priceTicks, quantity, orders }));
}

function publicLevel(level: Level | undefined): PriceLevel | undefined {
  if (level === undefined) return undefined;
  return { priceTicks: level.priceTicks, quantity: level.quantity, orders: level.orders };
}
