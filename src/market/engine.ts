import {
  BadRevision,
  BadSequence,
  DuplicateOrder,
  type MatchingError,
  NotFillable,
  PostOnlyNeverRests,
  PostOnlyWouldTake,
  SideChanged,
  UnknownOrder,
} from "./errors.ts";
import { bestLevel, dequeue, dropLevel, enqueue, type Ladder, type Level, levelAt, reaches } from "./ladder.ts";
import {
  addOrder,
  at,
  createOrderTable,
  idAt,
  liveRow,
  NONE,
  type OrderTable,
  remainingAt,
  removeOrder,
  sideAt,
} from "./orderTable.ts";
import { type MarketTerms, OPEN_TERMS, termsFault } from "./terms.ts";
import type { CancelOrder, Cancelled, Command, Entry, NewOrder, OrderId, ReplaceOrder, Side } from "./types.ts";

// The matching engine: a book and a command give a changed book and log entries, and nothing else decides.
//
// MAT-1  Prices are whole ticks (any sign, within 2^53), quantities whole contracts from 1 to 2^31 - 1.
// MAT-2  An order outside the price limits of its market is rejected.
// MAT-3  An incoming order trades with the best price first, and at one price with the oldest priority first.
// MAT-4  A trade happens at the resting order's price, and never beyond the limit of either side.
// MAT-5  GTC rests what it did not trade; IOC lets it expire; FOK trades all of it at once or is rejected.
// MAT-6  A post-only order never takes: where it would, it is rejected. It must be GTC.
// MAT-7  Two orders of one owner never trade. Where they would meet, the rest of the incoming order is cancelled
//        ("cancel-incoming"), or the resting order is and the incoming goes on ("cancel-resting"); the incoming
//        order's mode decides. What traded before stands.
// MAT-8  A replacement keeps identity, side and traded quantity, and carries a higher revision. Its quantity is the new
//        total. At the same price and no larger total it keeps its priority; otherwise it gives it up and trades or
//        rests like a new order. A total not above what has traded cancels the order.
// MAT-9  An order id is accepted once; another order with it is rejected, even after the first is dead, because
//        the traded quantity of an id is summed up for ever. (Terms may make dead ids reusable.)
// MAT-10 A cancel or replacement of an order that does not rest is rejected. A rejected command changes nothing.
// MAT-11 Each command has a number, strictly increasing; its outcomes are numbered (seq, n), n from 0 without gaps,
//        and there is always at least one.
// MAT-12 The same commands give the same entries and the same state, always.
// MAT-13 Between commands the best bid is below the best ask.
// MAT-14 Contracts are conserved: an order's total in force = traded + resting + cancelled + expired.
// (MAT-15, the format of recorded flow, stands in flow.ts.)

/** One market's book during one epoch. Only `apply` changes it. */
export interface Book {
  readonly terms: MarketTerms;
  readonly orders: OrderTable;
  readonly bids: Ladder;
  readonly asks: Ladder;
  lastSeq: number;
}

/** An empty book. */
export function createBook(terms: MarketTerms = OPEN_TERMS): Book {
  return {
    terms,
    orders: createOrderTable(terms.reusableIds),
    bids: { side: "buy", levels: [] },
    asks: { side: "sell", levels: [] },
    lastSeq: -1,
  };
}

/**
 * Applies one command and returns its log entries. What is wrong with a command is an entry of kind "rejected" with a
 * MatchingError. Throws BadSequence if `seq` does not rise: several books may share one numbering, so gaps are fine.
 */
export function apply(book: Book, seq: number, command: Command): readonly Entry[] {
  if (!Number.isSafeInteger(seq) || seq <= book.lastSeq) throw new BadSequence(seq, book.lastSeq);
  book.lastSeq = seq;
  const log: Entry[] = [];
  switch (command.kind) {
    case "new":
      place(book, seq, command, log);
      break;
    case "cancel":
      cancel(book, seq, command, log);
      break;
    case "replace":
      replace(book, seq, command, log);
      break;
  }
  return log;
}

function place(book: Book, seq: number, order: NewOrder, log: Entry[]): void {
  const fault = newOrderFault(book, order);
  if (fault !== undefined) {
    reject(seq, order.orderId, fault, log);
    return;
  }

  const { orderId, side, priceTicks, quantity } = order;
  const row = addOrder(book.orders, order, seq);
  log.push({ kind: "accepted", seq, n: log.length, orderId, side, priceTicks, prioritySeq: seq, remaining: quantity });

  const remaining = trade(book, seq, row, log);
  if (remaining === 0) return;
  if (order.timeInForce === "GTC") {
    rest(book, row);
  } else {
    log.push({ kind: "expired", seq, n: log.length, orderId, remaining });
    removeOrder(book.orders, row);
  }
}

function cancel(book: Book, seq: number, command: CancelOrder, log: Entry[]): void {
  const row = liveRow(book.orders, command.orderId);
  if (row === undefined) reject(seq, command.orderId, new UnknownOrder(command.orderId), log);
  else takeOut(book, seq, row, "requested", log);
}

function replace(book: Book, seq: number, command: ReplaceOrder, log: Entry[]): void {
  const { orderId } = command;
  const row = liveRow(book.orders, orderId);
  if (row === undefined) {
    reject(seq, orderId, new UnknownOrder(orderId), log);
    return;
  }
  const fault = replacementFault(book, row, command);
  if (fault !== undefined) reject(seq, orderId, fault, log);
  else if (command.quantity <= at(book.orders.filled, row)) takeOut(book, seq, row, "replaced-to-filled", log);
  else amend(book, seq, row, command, log);
}

/** Puts a checked replacement in force. */
function amend(book: Book, seq: number, row: number, command: ReplaceOrder, log: Entry[]): void {
  const { orders } = book;
  const { orderId, revision, priceTicks, quantity } = command;
  const keepsPriority = priceTicks === at(orders.priceTicks, row) && quantity <= at(orders.total, row);
  if (keepsPriority) {
    const level = orders.level[row];
    if (level !== undefined) level.quantity -= at(orders.total, row) - quantity;
  } else {
    leaveQueue(book, row);
    orders.prioritySeq[row] = seq;
    orders.priceTicks[row] = priceTicks;
  }
  orders.total[row] = quantity;
  orders.revision[row] = revision;
  const prioritySeq = at(orders.prioritySeq, row);
  const remaining = remainingAt(orders, row);
  log.push({ kind: "replaced", seq, n: log.length, orderId, revision, priceTicks, quantity, prioritySeq, remaining });

  if (!keepsPriority && trade(book, seq, row, log) > 0) rest(book, row);
}

/**
 * Trades an order that is in no queue against the other side for as long as it may, and returns what is left of it to
 * rest or expire. Zero means that it is gone: filled, or cancelled for meeting its owner.
 */
function trade(book: Book, seq: number, taker: number, log: Entry[]): number {
  const { orders } = book;
  const side = sideAt(orders, taker);
  const limitTicks = at(orders.priceTicks, taker);
  const facing = facingLadder(book, side);
  while (remainingAt(orders, taker) > 0) {
    const level = bestLevel(facing);
    if (level === undefined || !reaches(side, limitTicks, level.priceTicks)) return remainingAt(orders, taker);
    const maker = level.head;
    if (orders.owner[maker] !== orders.owner[taker]) {
      execute(book, seq, level, maker, taker, log);
    } else if (orders.selfTrade[taker] === "cancel-resting") {
      takeOut(book, seq, maker, "self-trade", log);
    } else {
      takeOut(book, seq, taker, "self-trade", log);
      return 0;
    }
  }
  removeOrder(orders, taker);
  return 0;
}

/** One trade between the first order of a level and the incoming one, as large as both allow. */
function execute(book: Book, seq: number, level: Level, maker: number, taker: number, log: Entry[]): void {
  const { orders } = book;
  const quantity = Math.min(remainingAt(orders, maker), remainingAt(orders, taker));
  orders.filled[maker] = at(orders.filled, maker) + quantity;
  orders.filled[taker] = at(orders.filled, taker) + quantity;
  level.quantity -= quantity;
  const makerRemaining = remainingAt(orders, maker);
  log.push({
    kind: "executed",
    seq,
    n: log.length,
    maker: idAt(orders, maker),
    taker: idAt(orders, taker),
    takerSide: sideAt(orders, taker),
    priceTicks: level.priceTicks,
    quantity,
    makerRevision: at(orders.revision, maker),
    takerRevision: at(orders.revision, taker),
    makerPrioritySeq: at(orders.prioritySeq, maker),
    takerPrioritySeq: at(orders.prioritySeq, taker),
    makerRemaining,
    takerRemaining: remainingAt(orders, taker),
  });
  if (makerRemaining > 0) return;
  leaveQueue(book, maker);
  removeOrder(orders, maker);
}

/** Puts an order at the end of the queue of its price. */
function rest(book: Book, row: number): void {
  const level = levelAt(ownLadder(book, sideAt(book.orders, row)), at(book.orders.priceTicks, row));
  enqueue(book.orders, level, row);
}

/** Takes an order out of its queue, if it is in one, and the level with it when it was the last. */
function leaveQueue(book: Book, row: number): void {
  const level = book.orders.level[row];
  if (level === undefined) return;
  dequeue(book.orders, level, row);
  if (level.orders === 0) dropLevel(ownLadder(book, sideAt(book.orders, row)), level);
}

/** Cancels what is left of an order, resting or incoming. */
function takeOut(book: Book, seq: number, row: number, reason: Cancelled["reason"], log: Entry[]): void {
  const remaining = remainingAt(book.orders, row);
  log.push({ kind: "cancelled", seq, n: log.length, orderId: idAt(book.orders, row), remaining, reason });
  leaveQueue(book, row);
  removeOrder(book.orders, row);
}

function reject(seq: number, orderId: OrderId, error: MatchingError, log: Entry[]): void {
  log.push({ kind: "rejected", seq, n: log.length, orderId, error });
}

/** Why a new order may not enter, or undefined. */
function newOrderFault(book: Book, order: NewOrder): MatchingError | undefined {
  const { orderId, timeInForce, side, priceTicks, quantity } = order;
  if (book.orders.rowOf.has(orderId)) return new DuplicateOrder(orderId);
  const fault = termsFault(book.terms, order);
  if (fault !== undefined) return fault;
  if (order.postOnly === true) {
    if (timeInForce !== "GTC") return new PostOnlyNeverRests(orderId, timeInForce);
    return postOnlyFault(book, orderId, side, priceTicks);
  }
  if (timeInForce === "FOK" && !isFillable(book, order)) return new NotFillable(orderId, quantity);
  return undefined;
}

/** Why a replacement may not come into force, or undefined. */
function replacementFault(book: Book, row: number, command: ReplaceOrder): MatchingError | undefined {
  const { orders, terms } = book;
  const { orderId, revision } = command;
  const inForce = at(orders.revision, row);
  const side = sideAt(orders, row);
  if (command.side !== side) return new SideChanged(orderId, side);
  if (!Number.isSafeInteger(revision) || revision <= inForce || revision > terms.maxRevision) {
    return new BadRevision(orderId, revision, inForce, terms.maxRevision);
  }
  const fault = termsFault(terms, command);
  if (fault !== undefined) return fault;
  const staysLive = command.quantity > at(orders.filled, row);
  if (staysLive && orders.postOnly[row] === true) return postOnlyFault(book, orderId, side, command.priceTicks);
  return undefined;
}

function postOnlyFault(book: Book, orderId: OrderId, side: Side, priceTicks: number): MatchingError | undefined {
  const facing = bestLevel(facingLadder(book, side));
  if (facing === undefined || !reaches(side, priceTicks, facing.priceTicks)) return undefined;
  return new PostOnlyWouldTake(orderId, priceTicks, facing.priceTicks);
}

/** Whether all of a fill-or-kill order would trade now; its owner's resting orders count as MAT-7 has it. */
function isFillable(book: Book, order: NewOrder): boolean {
  const { orders } = book;
  const { levels } = facingLadder(book, order.side);
  if (restingWithin(levels, order) < order.quantity) return false;
  let needed = order.quantity;
  for (let i = levels.length - 1; i >= 0 && needed > 0; i--) {
    const level = levels[i];
    if (level === undefined || !reaches(order.side, order.priceTicks, level.priceTicks)) break;
    for (let row = level.head; row !== NONE && needed > 0; row = at(orders.next, row)) {
      if (orders.owner[row] !== order.owner) needed -= remainingAt(orders, row);
      else if (order.selfTrade !== "cancel-resting") return false;
    }
  }
  return needed <= 0;
}

/** Contracts an order's limit reaches, whoever owns them; counted level by level, so that a hopeless one costs little. */
function restingWithin(levels: readonly Level[], order: NewOrder): number {
  let quantity = 0;
  for (let i = levels.length - 1; i >= 0 && quantity < order.quantity; i--) {
    const level = levels[i];
    if (level === undefined || !reaches(order.side, order.priceTicks, level.priceTicks)) break;
    quantity += level.quantity;
  }
  return quantity;
}

function ownLadder(book: Book, side: Side): Ladder {
  return side === "buy" ? book.bids : book.asks;
}

function facingLadder(book: Book, side: Side): Ladder {
  return side === "buy" ? book.asks : book.bids;
}
