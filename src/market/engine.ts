import { auctionResult } from "./auction.ts";
import {
  type Book,
  createBook,
  enterSession,
  facingLadder,
  forget,
  isCrossed,
  leaveQueue,
  ownCrossing,
  rest,
  waitForStop,
} from "./book.ts";
import {
  BadPrice,
  BadRevision,
  BadSequence,
  BookCrossed,
  DuplicateOrder,
  MarketHalted,
  type MatchingError,
  NotFillable,
  NotInPreOpen,
  NotPreOpen,
  PostOnlyNeverRests,
  PostOnlyWouldTake,
  SideChanged,
  UnknownOrder,
} from "./errors.ts";
import { dequeue, enqueue, type Level, reaches, takeOff } from "./ladder.ts";
import {
  addOrder,
  at,
  hasStop,
  idAt,
  liveRow,
  NONE,
  type OrderTable,
  ownerAt,
  remainingAt,
  selfTradeAt,
  sideAt,
} from "./orderTable.ts";
import { collarFault, displayFault, isAtMarket, priceFault, termsFault, withinCollar } from "./terms.ts";
import type {
  CancelOrder,
  Cancelled,
  Command,
  Entry,
  Expired,
  NewOrder,
  OrderId,
  ReplaceOrder,
  SelfTradeMode,
  SetSession,
  Side,
  Uncross,
} from "./types.ts";

export { type Book, createBook };

// The matching engine: a book and a command give a changed book and log entries, and nothing else decides.
//
// MAT-1  Prices are whole ticks (any sign, within 2^53), quantities whole contracts from 1 to 2^31 - 1.
// MAT-2  An order outside the price limits of its market is rejected, and so is one whose stop price is.
// MAT-3  An incoming order trades with the best price first, and at one price with the oldest priority first.
// MAT-4  In continuous trading a trade happens at the resting order's price; no trade is beyond the limit of either
//        side.
// MAT-5  GTC rests what it did not trade; IOC lets it expire; FOK trades all of it at once or is rejected.
// MAT-6  A post-only order never takes: where it would, it is rejected. It must be GTC.
// MAT-7  Two orders of one owner never trade. Where they would meet, the incoming order's mode decides: the rest of the
//        incoming order is cancelled ("cancel-incoming"), or the resting order is and the incoming goes on ("cancel-
//        resting"), or both are ("cancel-both"), or both lose as many contracts as the smaller has and the larger goes
//        on ("decrement"). What traded before stands.
// MAT-8  A replacement keeps identity, side and what has gone from the order, and carries a higher revision. Its
//        quantity is the new total. At the same price and no larger total it keeps its priority; otherwise it gives it
//        up and trades or rests like a new order. A total not above what has gone cancels the order.
// MAT-9  An order id names one live order; another order with it is rejected. The exchange keeps the ids of dead orders
//        and refuses them, because the traded quantity of an id is summed up for ever; the book forgets them.
// MAT-10 A cancel or replacement of an order that neither rests nor waits is rejected. A rejected command changes
//        nothing.
// MAT-11 Each command has a number, strictly increasing; its outcomes are numbered (seq, n), n from 0 without gaps, and
//        there is always at least one.
// MAT-12 The same commands give the same entries and the same state, always.
// MAT-13 Between commands the best bid is below the best ask, except before the auction; a crossed book cannot open.
// MAT-14 Contracts are conserved: an order's total in force = traded + left + cancelled + expired. What "decrement"
//        takes is cancelled and stays counted in the total, so a replacement does not bring it back.
// MAT-16 An order may show a part of its quantity only, at least a hundredth. When the shown part has traded, the next
//        part is shown at the end of its queue, with the priority of the command that traded. An incoming order trades
//        with all of its quantity, shown or not.
// MAT-17 An order with a stop price waits outside the book until a trade reaches it, at or above for a buy order, at or
//        below for a sell order; the last trade counts when it comes in. Then it goes on like an order that came in at
//        that moment; FOK that cannot be filled expires, and post-only that would take is cancelled. A replacement
//        changes limit and quantity only.
// MAT-18 Stops are triggered in continuous trading, after the command that reached them: the nearest stop price first,
//        at one price the oldest first, between a buy and a sell the older first. Trades of a triggered order reach
//        further stops in the same command. Each is triggered once.
// MAT-19 A market is in one session: pre-open, open, halted, closing or closed. Open and closing trade continuously. In
//        halted and closed every order command but a cancel is rejected.
// MAT-20 In pre-open orders rest without trading and may cross; IOC, FOK and post-only are rejected unless they wait
//        for a stop price. An order that would rest across its owner's orders meets them at once, best price first, as
//        in MAT-7.
// MAT-21 The auction trades at the one price at which most contracts trade; among such prices at the one that leaves
//        the fewest contracts over, then the nearest to the reference, then the lowest. Orders trade by price and
//        priority with all of their quantity; the older priority is the maker. It is held in pre-open and leaves the
//        market there.
// MAT-22 The state of a book can be written down and restored; the restored book answers every further command alike.
// MAT-23 Where a market has a price collar, a buy order may not come in with a limit above the reference plus the
//        collar, nor a sell order with one below the reference less the collar: it is rejected. The reference is the
//        last trade of the day, its auction included; before the first it is the day's centre. A replacement that
//        gives its priority up comes in too; one that keeps it does not. A market order, which is an immediate one at
//        the price limit of the day, is not rejected but trades no further than the collar. An order with a stop price
//        meets the collar when it is triggered: it trades no further, and what is left of it is cancelled where its
//        limit lies beyond.
// (MAT-15, the format of recorded flow, stands in flow.ts.)

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
    case "session":
      changeSession(book, seq, command, log);
      break;
    case "uncross":
      uncross(book, seq, command, log);
      break;
  }
  if (isContinuous(book)) fireStops(book, seq, log);
  return log;
}

function place(book: Book, seq: number, order: NewOrder, log: Entry[]): void {
  const { orderId, side, priceTicks, quantity, stopPriceTicks } = order;
  const fault = newOrderFault(book, order);
  if (fault !== undefined) {
    reject(seq, orderId, fault, log);
    return;
  }
  const row = addOrder(book.orders, order, seq);
  log.push({
    kind: "accepted",
    seq,
    n: log.length,
    orderId,
    side,
    priceTicks,
    prioritySeq: seq,
    remaining: quantity,
    stopPriceTicks,
  });
  if (stopPriceTicks === undefined) {
    enter(book, seq, row, log);
  } else {
    waitForStop(book, row);
    // The last trade may have reached the stop price already.
    if (isContinuous(book)) lookAtLastTrade(book);
  }
}

function cancel(book: Book, seq: number, command: CancelOrder, log: Entry[]): void {
  const row = liveRow(book.orders, command.orderId);
  if (row === undefined) reject(seq, command.orderId, new UnknownOrder(command.orderId), log);
  else takeOut(book, seq, row, "requested", log);
}

function replace(book: Book, seq: number, command: ReplaceOrder, log: Entry[]): void {
  const { orders } = book;
  const { orderId } = command;
  const row = liveRow(orders, orderId);
  if (row === undefined) {
    reject(seq, orderId, new UnknownOrder(orderId), log);
    return;
  }
  const fault = replacementFault(book, row, command);
  if (fault !== undefined) reject(seq, orderId, fault, log);
  else if (command.quantity <= goneFrom(book, row)) takeOut(book, seq, row, "replaced-to-filled", log);
  else amend(book, seq, row, command, log);
}

/** Puts a checked replacement in force. */
function amend(book: Book, seq: number, row: number, command: ReplaceOrder, log: Entry[]): void {
  const { orders } = book;
  const { orderId, side, revision, priceTicks, quantity } = command;
  const oldPriceTicks = at(orders.priceTicks, row);
  const keeps = keepsPlace(book, row, command);
  if (!keeps) {
    leaveQueue(book, row);
    orders.prioritySeq[row] = seq;
  }
  takeOff(orders, row, at(orders.total, row) - quantity, true);
  orders.total[row] = quantity;
  orders.priceTicks[row] = priceTicks;
  orders.revision[row] = revision;
  log.push({
    kind: "replaced",
    seq,
    n: log.length,
    orderId,
    side,
    revision,
    oldPriceTicks,
    priceTicks,
    quantity,
    prioritySeq: at(orders.prioritySeq, row),
    remaining: remainingAt(orders, row),
  });
  if (!keeps) enter(book, seq, row, log);
}

/** Whether a replacement leaves an order where it is, with its priority (MAT-8); one that waits has no place to lose. */
function keepsPlace({ orders }: Book, row: number, { priceTicks, quantity }: ReplaceOrder): boolean {
  if (hasStop(orders, row)) return true;
  return priceTicks === at(orders.priceTicks, row) && quantity <= at(orders.total, row);
}

/** Puts the market into a session; one that trades begins with the stops that were reached while it did not. */
function changeSession(book: Book, seq: number, { session }: SetSession, log: Entry[]): void {
  const bid = book.bids.best;
  const ask = book.asks.best;
  const opens = session === "open" || session === "closing";
  if (opens && bid !== undefined && ask !== undefined && isCrossed(book)) {
    reject(seq, "", new BookCrossed(bid.priceTicks, ask.priceTicks), log);
    return;
  }
  enterSession(book, session);
  log.push({ kind: "session", seq, n: log.length, session });
  if (opens) lookAtLastTrade(book);
}

/** Holds the auction: orders trade by priority at one price until no more can (MAT-21). */
function uncross(book: Book, seq: number, { referenceTicks }: Uncross, log: Entry[]): void {
  const { orders } = book;
  if (book.session !== "pre-open" || !Number.isSafeInteger(referenceTicks)) {
    const fault = book.session === "pre-open" ? new BadPrice(referenceTicks) : new NotPreOpen(book.session);
    reject(seq, "", fault, log);
    return;
  }
  const result = auctionResult(book, referenceTicks);
  const quantity = result?.quantity ?? 0;
  log.push({ kind: "uncrossed", seq, n: log.length, priceTicks: result?.priceTicks, quantity });
  if (result === undefined) return;

  for (let left = quantity; left > 0;) {
    const bid = firstRow(book.bids.best);
    const ask = firstRow(book.asks.best);
    const bidIsOlder = at(orders.prioritySeq, bid) <= at(orders.prioritySeq, ask);
    const [maker, taker] = bidIsOlder ? [bid, ask] : [ask, bid];
    const traded = Math.min(left, remainingAt(orders, bid), remainingAt(orders, ask));
    trade(book, seq, maker, taker, result.priceTicks, traded, true, log);
    for (const row of [bid, ask]) if (remainingAt(orders, row) === 0) forget(book, row);
    left -= traded;
  }
  for (const level of [book.bids.best, book.asks.best]) {
    const row = firstRow(level);
    if (level !== undefined && at(orders.shown, row) === 0) reload(book, seq, level, row, log);
  }
}

/** Brings an order that is in no queue into the book, where it trades, and rests or expires with what is left. */
function enter(book: Book, seq: number, row: number, log: Entry[]): void {
  const { orders } = book;
  const limitTicks = at(orders.priceTicks, row);
  // Worked out before it trades, since its own trades move the collar.
  const worstTicks = withinCollar(book, sideAt(orders, row), limitTicks);
  if (book.session === "pre-open") avoidOwn(book, seq, row, log);
  else take(book, seq, row, worstTicks, log);
  if (remainingAt(orders, row) > 0) {
    if (orders.timeInForce[row] !== "GTC") {
      expire(book, seq, row, "immediate", log);
    } else if (worstTicks === limitTicks) {
      rest(book, row);
      return;
    } else {
      // It can rest nowhere else: a resting order trades at exactly the limit that its trader signed.
      withdraw(book, seq, row, remainingAt(orders, row), "beyond-collar", log);
    }
  }
  forget(book, row);
}

/** Trades an order against the other side for as long as it may, no further than `worstTicks`. */
function take(book: Book, seq: number, taker: number, worstTicks: number, log: Entry[]): void {
  const { orders } = book;
  const side = sideAt(orders, taker);
  const owner = ownerAt(orders, taker);
  const facing = facingLadder(book, side);
  while (remainingAt(orders, taker) > 0) {
    const level = facing.best;
    if (level === undefined || !reaches(side, worstTicks, level.priceTicks)) return;
    const maker = level.head;
    if (orders.owner[maker] === owner) avoid(book, seq, maker, taker, log);
    else execute(book, seq, level, maker, taker, log);
  }
}

/** One trade between the first order of a level and the incoming one, as large as both allow. */
function execute(book: Book, seq: number, level: Level, maker: number, taker: number, log: Entry[]): void {
  const { orders } = book;
  const quantity = Math.min(at(orders.shown, maker), remainingAt(orders, taker));
  trade(book, seq, maker, taker, level.priceTicks, quantity, false, log);
  if (remainingAt(orders, maker) === 0) forget(book, maker);
  else if (at(orders.shown, maker) === 0) reload(book, seq, level, maker, log);
}

/** Books a trade and its entry; the orders stay where they are. */
function trade(
  book: Book,
  seq: number,
  maker: number,
  taker: number,
  priceTicks: number,
  quantity: number,
  auction: boolean,
  log: Entry[],
): void {
  const { orders } = book;
  fill(orders, maker, quantity);
  fill(orders, taker, quantity);
  book.lastTradeTicks = priceTicks;
  if (!auction) {
    book.low = Math.min(book.low, priceTicks);
    book.high = Math.max(book.high, priceTicks);
  }
  log.push({
    kind: "executed",
    seq,
    n: log.length,
    maker: idAt(orders, maker),
    taker: idAt(orders, taker),
    takerSide: sideAt(orders, taker),
    priceTicks,
    quantity,
    auction,
    makerRevision: at(orders.revision, maker),
    takerRevision: at(orders.revision, taker),
    makerPrioritySeq: at(orders.prioritySeq, maker),
    takerPrioritySeq: at(orders.prioritySeq, taker),
    makerRemaining: remainingAt(orders, maker),
    takerRemaining: remainingAt(orders, taker),
  });
}

function fill(orders: OrderTable, row: number, quantity: number): void {
  orders.filled[row] = at(orders.filled, row) + quantity;
  takeOff(orders, row, quantity, false);
}

/** Shows the next part of an order whose shown part has traded, at the end of its queue (MAT-16). */
function reload(book: Book, seq: number, level: Level, row: number, log: Entry[]): void {
  const { orders } = book;
  dequeue(orders, level, row);
  orders.prioritySeq[row] = seq;
  enqueue(orders, level, row);
  log.push({
    kind: "reloaded",
    seq,
    n: log.length,
    orderId: idAt(orders, row),
    side: sideAt(orders, row),
    priceTicks: level.priceTicks,
    prioritySeq: seq,
    remaining: remainingAt(orders, row),
    displayed: at(orders.shown, row),
  });
}

/** Keeps an incoming order from the resting orders of its owner that it crosses, since nothing trades yet (MAT-20). */
function avoidOwn(book: Book, seq: number, incoming: number, log: Entry[]): void {
  for (const resting of ownCrossing(book, incoming)) {
    if (remainingAt(book.orders, incoming) === 0) return;
    avoid(book, seq, resting, incoming, log);
  }
}

/** Two orders of one owner have met: the incoming order's mode says which of them gives way (MAT-7). */
function avoid(book: Book, seq: number, resting: number, incoming: number, log: Entry[]): void {
  const { orders } = book;
  const ofResting = remainingAt(orders, resting);
  const ofIncoming = remainingAt(orders, incoming);
  const both = Math.min(ofResting, ofIncoming);
  switch (selfTradeAt(orders, incoming)) {
    case "cancel-incoming":
      withdraw(book, seq, incoming, ofIncoming, "self-trade", log);
      break;
    case "cancel-resting":
      takeOut(book, seq, resting, "self-trade", log);
      break;
    case "cancel-both":
      takeOut(book, seq, resting, "self-trade", log);
      withdraw(book, seq, incoming, ofIncoming, "self-trade", log);
      break;
    case "decrement":
      withdraw(book, seq, resting, both, "self-trade", log);
      withdraw(book, seq, incoming, both, "self-trade", log);
      if (ofResting === both) forget(book, resting);
      break;
  }
}

/** Cancels contracts of an order, those it does not show first. The order stays where it is. */
function withdraw(
  book: Book,
  seq: number,
  row: number,
  quantity: number,
  reason: Cancelled["reason"],
  log: Entry[],
): void {
  const { orders } = book;
  takeOff(orders, row, quantity, true);
  log.push({
    kind: "cancelled",
    seq,
    n: log.length,
    orderId: idAt(orders, row),
    side: sideAt(orders, row),
    priceTicks: at(orders.priceTicks, row),
    remaining: quantity,
    left: remainingAt(orders, row),
    reason,
  });
}

/** Cancels what is left of an order, and the order is gone. */
function takeOut(book: Book, seq: number, row: number, reason: Cancelled["reason"], log: Entry[]): void {
  withdraw(book, seq, row, remainingAt(book.orders, row), reason, log);
  forget(book, row);
}

/** Lets what is left of an order expire. The order stays where it is. */
function expire(book: Book, seq: number, row: number, reason: Expired["reason"], log: Entry[]): void {
  const { orders } = book;
  log.push({
    kind: "expired",
    seq,
    n: log.length,
    orderId: idAt(orders, row),
    side: sideAt(orders, row),
    priceTicks: at(orders.priceTicks, row),
    remaining: remainingAt(orders, row),
    reason,
  });
}

/** Triggers every waiting order whose stop price a trade has reached, also a trade that another one caused (MAT-18). */
function fireStops(book: Book, seq: number, log: Entry[]): void {
  while (book.low <= book.high) {
    const row = nextStop(book);
    if (row === NONE) {
      book.low = Infinity;
      book.high = -Infinity;
    } else {
      trigger(book, seq, row, log);
    }
  }
}

/** The nearest stop on each side, if it is reached; of the two, the one that has waited longer. */
function nextStop({ orders, buyStops, sellStops, low, high }: Book): number {
  const nearestBuy = buyStops.best;
  const nearestSell = sellStops.best;
  const buy = nearestBuy !== undefined && nearestBuy.priceTicks <= high ? nearestBuy.head : NONE;
  const sell = nearestSell !== undefined && nearestSell.priceTicks >= low ? nearestSell.head : NONE;
  if (buy === NONE || sell === NONE) return buy === NONE ? sell : buy;
  return at(orders.prioritySeq, buy) < at(orders.prioritySeq, sell) ? buy : sell;
}

/** An order whose stop price is reached goes on like one that came in now (MAT-17). */
function trigger(book: Book, seq: number, row: number, log: Entry[]): void {
  const { orders } = book;
  leaveQueue(book, row);
  orders.stopTicks[row] = NaN;
  orders.prioritySeq[row] = seq;
  const orderId = idAt(orders, row);
  const owner = ownerAt(orders, row);
  const side = sideAt(orders, row);
  const priceTicks = at(orders.priceTicks, row);
  const remaining = remainingAt(orders, row);
  log.push({ kind: "triggered", seq, n: log.length, orderId, side, priceTicks, prioritySeq: seq, remaining });

  const order = { owner, side, priceTicks, quantity: remaining, selfTrade: selfTradeAt(orders, row) };
  if (orders.postOnly[row] === true && postOnlyFault(book, orderId, side, priceTicks) !== undefined) {
    takeOut(book, seq, row, "would-take", log);
  } else if (orders.timeInForce[row] === "FOK" && !isFillable(book, order)) {
    expire(book, seq, row, "not-fillable", log);
    forget(book, row);
  } else {
    enter(book, seq, row, log);
  }
}

/** Compares stop prices with the last trade, as if it happened now. */
function lookAtLastTrade(book: Book): void {
  if (book.lastTradeTicks === undefined) return;
  book.low = book.lastTradeTicks;
  book.high = book.lastTradeTicks;
}

function reject(seq: number, orderId: OrderId, error: MatchingError, log: Entry[]): void {
  log.push({ kind: "rejected", seq, n: log.length, orderId, error });
}

/** Why a new order may not enter, or undefined. */
function newOrderFault(book: Book, order: NewOrder): MatchingError | undefined {
  const { orderId, timeInForce, side, priceTicks, quantity, displayQuantity, stopPriceTicks } = order;
  const postOnly = order.postOnly === true;
  if (isHalted(book)) return new MarketHalted(book.session);
  if (book.orders.rowOf.has(orderId)) return new DuplicateOrder(orderId);
  const fault =
    termsFault(book.terms, order) ??
    (displayQuantity === undefined ? undefined : displayFault(displayQuantity, quantity)) ??
    (stopPriceTicks === undefined ? undefined : priceFault(book.terms, stopPriceTicks));
  if (fault !== undefined) return fault;
  if (postOnly && timeInForce !== "GTC") return new PostOnlyNeverRests(orderId, timeInForce);
  if (stopPriceTicks !== undefined) return undefined;
  if (book.session === "pre-open" && (postOnly || timeInForce !== "GTC")) {
    return new NotInPreOpen(orderId, postOnly ? "post-only" : timeInForce);
  }
  const beyond = isAtMarket(book.terms, order) ? undefined : collarFault(book.terms, order, book.lastTradeTicks);
  if (beyond !== undefined) return beyond;
  if (postOnly) return postOnlyFault(book, orderId, side, priceTicks);
  if (timeInForce === "FOK" && !isFillable(book, order)) return new NotFillable(orderId, quantity);
  return undefined;
}

/** Why a replacement may not come into force, or undefined. */
function replacementFault(book: Book, row: number, command: ReplaceOrder): MatchingError | undefined {
  const { orders, terms } = book;
  const { orderId, revision, quantity } = command;
  const inForce = at(orders.revision, row);
  const side = sideAt(orders, row);
  if (isHalted(book)) return new MarketHalted(book.session);
  if (command.side !== side) return new SideChanged(orderId, side);
  if (!Number.isSafeInteger(revision) || revision <= inForce || revision > terms.maxRevision) {
    return new BadRevision(orderId, revision, inForce, terms.maxRevision);
  }
  const fault = termsFault(terms, command);
  if (fault !== undefined) return fault;
  if (quantity <= goneFrom(book, row)) return undefined;
  const display = Math.min(at(orders.display, row), quantity);
  return (
    displayFault(display, quantity) ??
    (keepsPlace(book, row, command) ? undefined : collarFault(terms, command, book.lastTradeTicks)) ??
    (orders.postOnly[row] === true && !hasStop(orders, row)
      ? postOnlyFault(book, orderId, side, command.priceTicks)
      : undefined)
  );
}

function postOnlyFault(book: Book, orderId: OrderId, side: Side, priceTicks: number): MatchingError | undefined {
  const facing = facingLadder(book, side).best;
  if (facing === undefined || !reaches(side, priceTicks, facing.priceTicks)) return undefined;
  return new PostOnlyWouldTake(orderId, priceTicks, facing.priceTicks);
}

/** What a fill-or-kill order wants. */
interface Wanted {
  readonly owner: string;
  readonly side: Side;
  readonly priceTicks: number;
  readonly quantity: number;
  readonly selfTrade?: SelfTradeMode;
}

/**
 * Whether all of a fill-or-kill order would trade now. Meeting its owner ends it, unless the resting order gives way
 * (MAT-7). What a level hides comes only after all that it shows.
 */
function isFillable(book: Book, wanted: Wanted): boolean {
  const { orders } = book;
  const { best } = facingLadder(book, wanted.side);
  if (restingWithin(best, wanted) < wanted.quantity) return false;
  const worstTicks = withinCollar(book, wanted.side, wanted.priceTicks);
  let needed = wanted.quantity;
  for (let level = best; level !== undefined && needed > 0; level = level.worse) {
    if (!reaches(wanted.side, worstTicks, level.priceTicks)) break;
    let hidden = 0;
    for (let row = level.head; row !== NONE && needed > 0; row = at(orders.next, row)) {
      if (orders.owner[row] !== wanted.owner) {
        needed -= at(orders.shown, row);
        hidden += remainingAt(orders, row) - at(orders.shown, row);
      } else if (wanted.selfTrade !== "cancel-resting") {
        return false;
      }
    }
    needed -= hidden;
  }
  return needed <= 0;
}

/** Contracts an order's limit reaches, whoever owns them; counted level by level, so that a hopeless one costs little. */
function restingWithin(best: Level | undefined, { side, priceTicks, quantity }: Wanted): number {
  let resting = 0;
  for (let level = best; level !== undefined && resting < quantity; level = level.worse) {
    if (!reaches(side, priceTicks, level.priceTicks)) break;
    resting += level.quantity + level.hidden;
  }
  return resting;
}

/** Contracts of an order's total that it does not have any more: traded, or taken away by "decrement". */
function goneFrom({ orders }: Book, row: number): number {
  return at(orders.total, row) - remainingAt(orders, row);
}

function firstRow(level: Level | undefined): number {
  return level?.head ?? NONE;
}

function isContinuous({ session }: Book): boolean {
  return session === "open" || session === "closing";
}

function isHalted({ session }: Book): boolean {
  return session === "halted" || session === "closed";
}
