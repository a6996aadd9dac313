import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import type { SignedOrder } from "../chain/clearingHouse.ts";
import { type EpochMarket, MarketNotListed, priceLimits } from "../protocol/epoch.ts";
import { floorDiv } from "../protocol/settlementPrice.ts";
import type { Trade } from "../protocol/ticket.ts";
import type { Side } from "../protocol/order.ts";
import { apply, type Book, createBook } from "../market/engine.ts";
import { UnknownOrder } from "../market/errors.ts";
import { reaches } from "../market/ladder.ts";
import { at, NONE, remainingAt } from "../market/orderTable.ts";
import { fromTicks, toTicks, validateOrder } from "../market/terms.ts";
import { type Command, type Entry, type Executed, type NewOrder, type OrderId, orderIdOf } from "../market/types.ts";
import { depth } from "../market/views.ts";
import { type Cause, type ExchangeLog, type LogEntry, ZERO_HASH } from "./log.ts";
import {
  afterTrade,
  assertCovered,
  countResting,
  isCovered,
  type LiveOrder,
  TicketNotTradable,
  type TicketView,
  UnknownTicket,
} from "./ticketView.ts";

/** A match that is in the log and has to settle on chain, with the revisions that were in force. */
export type Execution = {
  readonly slot: number;
  readonly seq: number;
  readonly n: number;
  readonly maker: SignedOrder;
  readonly taker: SignedOrder;
  readonly takerSide: Side;
  /** Base units per contract. */
  readonly price: bigint;
  readonly quantity: number;
  readonly makerPrioritySeq: number;
  /** Unix seconds. */
  readonly execTime: bigint;
};

/** One price of the public book: base units per contract, contracts, orders. */
export type PriceLevel = { readonly price: bigint; readonly quantity: number; readonly orders: number };

/** Both sides of a book, best first. */
export type Depth = { readonly bids: readonly PriceLevel[]; readonly asks: readonly PriceLevel[] };

/** When the day opened and closes, in unix seconds. */
export type DayTimes = { readonly epoch: number; readonly openedAt: bigint; readonly closingTime: bigint };

/** No order is taken now (spec EPO-4). */
export class MarketClosed extends HedgerowError {
  constructor(time: bigint, closingTime: bigint) {
    super("MarketClosed", `at ${time} there is no trading, the day closes at ${closingTime}: wait for the next epoch`, {
      time,
      closingTime,
    });
  }
}

/** An order's time is over before it came (spec ORD-7). */
export class OrderExpired extends HedgerowError {
  constructor(orderId: string, expiry: bigint, time: bigint) {
    super("OrderExpired", `order ${orderId} expired at ${expiry} and it is ${time}: sign one with a later expiry`, {
      orderId,
      expiry,
      time,
    });
  }
}

/** Client id 0 is no identity (spec ORD-3). */
export class ZeroClientId extends HedgerowError {
  constructor(ticketId: Hex) {
    super("ZeroClientId", `client id 0 on ticket ${ticketId} is not allowed: draw a random one`, { ticketId });
  }
}

/** A new order begins at revision 0. */
export class NotFirstRevision extends HedgerowError {
  constructor(orderId: string, revision: number) {
    super("NotFirstRevision", `new order ${orderId} has revision ${revision}: sign it with 0, or replace the order`, {
      orderId,
      revision,
    });
  }
}

/** An immediate order would trade with more orders than fit a batch, which has to take it in one piece. */
export class TooManyMakers extends HedgerowError {
  constructor(orderId: string) {
    super("TooManyMakers", `order ${orderId} would meet more than ${MOST_MAKERS} orders at once: send it in parts`, {
      orderId,
      most: MOST_MAKERS,
    });
  }
}

/** A replacement changes what must stay: it keeps postOnly and is GTC. */
export class TermsChanged extends HedgerowError {
  constructor(orderId: string, rule: string) {
    super("TermsChanged", `replacement of ${orderId}: ${rule}; cancel the order and enter another`, { orderId });
  }
}

/** Orders that an immediate order may trade with: its fills settle in one batch (spec FIL-16). */
export const MOST_MAKERS = 100;

/**
 * Trading of one epoch in the operator's memory: tickets, one book a market, and the executions that wait for their
 * batch. All of it happens between two turns of the event loop: nothing here waits, reads a clock or checks a
 * signature. Times are unix seconds and must not fall.
 */
export class TradingDay {
  readonly times: DayTimes;
  readonly markets: readonly EpochMarket[];
  readonly tickets = new Map<Hex, TicketView>();
  readonly #log: ExchangeLog;
  readonly #books = new Map<number, Book>();
  readonly #live = new Map<OrderId, LiveOrder>();
  readonly #trades = new Map<number, Execution[]>();
  #unsettled: Execution[] = [];
  #earliestExpiry: bigint | undefined;
  #stopped = false;

  constructor(times: DayTimes, markets: readonly EpochMarket[], log: ExchangeLog) {
    this.times = times;
    this.markets = markets;
    this.#log = log;
    markets.forEach((market, slot) => {
      if (market.listed) this.#books.set(slot, createBook(termsOf(market)));
    });
  }

  /** Executions that no batch has settled yet, in order. */
  get unsettled(): readonly Execution[] {
    return this.#unsettled;
  }

  /** All trades of a market today, oldest first. */
  trades(slot: number): readonly Execution[] {
    return this.#trades.get(slot) ?? [];
  }

  /** The best `levels` prices of both sides. Throws MarketNotListed. */
  depth(slot: number, levels = Infinity): Depth {
    const { tick } = this.market(slot);
    const { bids, asks } = depth(this.#book(slot), levels);
    const priced = ({ priceTicks, ...level }: (typeof bids)[number]) => ({
      price: fromTicks(priceTicks, tick),
      ...level,
    });
    return { bids: bids.map(priced), asks: asks.map(priced) };
  }

  /** All orders in the book. */
  liveOrders(): Iterable<LiveOrder> {
    return this.#live.values();
  }

  /** An order in the book, or undefined. */
  liveOrder(ticketId: Hex, clientId: bigint): LiveOrder | undefined {
    return this.#live.get(orderIdOf(ticketId, clientId));
  }

  /** A listed market of the day. Throws MarketNotListed. */
  market(slot: number): EpochMarket {
    const market = this.markets[slot];
    if (market?.listed !== true) throw new MarketNotListed(slot, this.times.epoch);
    return market;
  }

  /** A ticket of the day. Throws UnknownTicket. */
  ticket(ticketId: Hex): TicketView {
    const ticket = this.tickets.get(ticketId);
    if (ticket === undefined) throw new UnknownTicket(ticketId);
    return ticket;
  }

  /** Whether the day takes no more orders. */
  get isStopped(): boolean {
    return this.#stopped;
  }

  /** From now on no order is taken. */
  stop(): void {
    this.#stopped = true;
  }

  /** Throws MarketClosed after closing time, at which executions may still happen (spec EPO-4, FIL-7). */
  assertOpen(time: bigint): void {
    const { openedAt, closingTime } = this.times;
    if (this.#stopped || time < openedAt || time > closingTime) throw new MarketClosed(time, closingTime);
  }

  /**
   * Everything about a new order but its signature (spec ORD-3, 6, 7, 9, 11). Throws MarketClosed, UnknownTicket,
   * TicketNotTradable, ZeroClientId, OrderExpired, NotFirstRevision, OffTick, OffLimits, BadQuantity, TicketBelowMargin,
   * NotReducing or OutOfRange.
   */
  check({ order }: SignedOrder, time: bigint): void {
    const ticket = this.#checkTerms({ order }, time);
    if (order.revision !== 0) throw new NotFirstRevision(orderIdOf(order.ticketId, order.clientId), order.revision);
    assertCovered(this.market(ticket.slot), ticket, restingOrder(order.side, order.limitPrice, order.quantity));
  }

  /**
   * The same for a replacement, which keeps side, postOnly and GTC, and whose quantity is the new total (spec MAT-8).
   * Throws what `check` throws, UnknownOrder or TermsChanged. Side and revision are left to the engine.
   */
  checkReplacement({ order }: SignedOrder, time: bigint): void {
    const ticket = this.#checkTerms({ order }, time);
    const orderId = orderIdOf(order.ticketId, order.clientId);
    const live = this.#live.get(orderId);
    if (live === undefined) throw new UnknownOrder(orderId);
    const inForce = live.signed.order;
    if (order.timeInForce !== "GTC")
      throw new TermsChanged(orderId, `it is ${order.timeInForce}, but only GTC can rest`);
    if (order.postOnly !== inForce.postOnly) throw new TermsChanged(orderId, "postOnly must stay as it is");
    const remaining = order.quantity - (inForce.quantity - live.remaining);
    if (order.side !== inForce.side || remaining <= 0) return;
    assertCovered(this.market(ticket.slot), ticket, restingOrder(order.side, order.limitPrice, remaining), live);
  }

  /** Enters a new order and returns what became of it. Throws what `check` throws, TooManyMakers, and the engine's rejection. */
  place(signed: SignedOrder, hash: Hex, time: bigint): readonly LogEntry[] {
    this.expireUntil(time);
    this.check(signed, time);
    const { order } = signed;
    const { slot } = this.ticket(order.ticketId);
    const command: NewOrder = {
      kind: "new",
      orderId: orderIdOf(order.ticketId, order.clientId),
      owner: order.ticketId,
      side: order.side,
      priceTicks: toTicks(order.limitPrice, this.market(slot).tick),
      quantity: order.quantity,
      timeInForce: order.timeInForce,
      postOnly: order.postOnly,
    };
    if (order.timeInForce !== "GTC") this.#assertFewMakers(slot, command);
    return accepted(this.#run(slot, command, time, "trader", { signed, hash }));
  }

  /** Puts a replacement in force. Throws what `checkReplacement` throws, and the engine's rejection. */
  replace(signed: SignedOrder, hash: Hex, time: bigint): readonly LogEntry[] {
    this.expireUntil(time);
    this.checkReplacement(signed, time);
    const { order } = signed;
    const { slot } = this.ticket(order.ticketId);
    const command: Command = {
      kind: "replace",
      orderId: orderIdOf(order.ticketId, order.clientId),
      side: order.side,
      priceTicks: toTicks(order.limitPrice, this.market(slot).tick),
      quantity: order.quantity,
      revision: order.revision,
    };
    return accepted(this.#run(slot, command, time, "trader", { signed, hash }));
  }

  /** Takes an order out of the book. Throws UnknownTicket or UnknownOrder. */
  cancel(ticketId: Hex, clientId: bigint, time: bigint): readonly LogEntry[] {
    this.expireUntil(time);
    this.ticket(ticketId);
    const orderId = orderIdOf(ticketId, clientId);
    const live = this.#live.get(orderId);
    if (live === undefined) throw new UnknownOrder(orderId);
    return this.#cancel(live, time, "trader");
  }

  /** Takes all orders of a ticket out of the book. */
  cancelTicket(ticket: TicketView, time: bigint, cause: Cause): void {
    for (const live of [...ticket.orders.values()]) this.#cancel(live, time, cause);
  }

  /** Takes all orders out of all books. */
  cancelAll(time: bigint, cause: Cause): void {
    for (const live of [...this.#live.values()]) this.#cancel(live, time, cause);
  }

  /** Takes orders out whose time is over: an order fills up to and including its expiry (spec ORD-7). */
  expireUntil(time: bigint): void {
    if (this.#earliestExpiry === undefined || time <= this.#earliestExpiry) return;
    this.#earliestExpiry = undefined;
    for (const live of [...this.#live.values()]) {
      const { expiry } = live.signed.order;
      if (expiry < time) this.#cancel(live, time, "expiry");
      else this.#expectExpiry(expiry);
    }
  }

  /** Forgets all executions that wait for a batch, because the epoch was closed without them, and returns them. */
  dropUnsettled(): readonly Execution[] {
    for (const ticket of this.tickets.values()) ticket.balance = ticket.settled;
    return this.#unsettled.splice(0);
  }

  /** The first `count` executions are on chain. */
  markSettled(count: number): void {
    for (const execution of this.#unsettled.splice(0, count)) {
      for (const [ticketId, trade] of sidesOf(execution)) {
        const ticket = this.ticket(ticketId);
        ticket.settled = afterTrade(this.market(ticket.slot), ticket, ticket.settled, trade);
      }
    }
  }

  /**
   * Forgets tickets whose opening the chain did not take, and returns the executions that cannot settle any more:
   * theirs, and those which a ticket cannot bear without them. Tickets that can no longer honour their orders lose them.
   */
  dropTickets(ticketIds: readonly Hex[], time: bigint): readonly Execution[] {
    for (const ticketId of ticketIds) {
      this.cancelTicket(this.ticket(ticketId), time, "ticket-lost");
      this.tickets.delete(ticketId);
    }
    const broken = this.#replay();
    const hurt = new Set(broken.flatMap(({ maker, taker }) => [maker.order.ticketId, taker.order.ticketId]));
    for (const ticketId of hurt) {
      const ticket = this.tickets.get(ticketId);
      if (ticket !== undefined && !isCovered(this.market(ticket.slot), ticket)) {
        this.cancelTicket(ticket, time, "ticket-lost");
      }
    }
    return broken;
  }

  /**
   * Books the unsettled executions again on what the chain shows; keeps those that can settle and returns the others.
   * A fill-or-kill order that loses one execution loses all, since the contract takes it whole only (spec FIL-16).
   */
  #replay(): readonly Execution[] {
    const killed = new Set<number>();
    for (;;) {
      for (const ticket of this.tickets.values()) ticket.balance = ticket.settled;
      const broken: Execution[] = [];
      const kept: Execution[] = [];
      for (const execution of this.#unsettled) {
        const settles = !killed.has(execution.seq) && this.#rebook(execution);
        (settles ? kept : broken).push(execution);
      }
      const before = killed.size;
      for (const { taker, seq } of broken) if (taker.order.timeInForce === "FOK") killed.add(seq);
      if (killed.size === before) {
        this.#unsettled = kept;
        return broken;
      }
    }
  }

  /** Books an execution again after others before it went away; false if it cannot settle without them. */
  #rebook(execution: Execution): boolean {
    const booked: (() => void)[] = [];
    try {
      for (const [ticketId, trade] of sidesOf(execution)) {
        const ticket = this.ticket(ticketId);
        const balance = afterTrade(this.market(ticket.slot), ticket, ticket.balance, trade);
        booked.push(() => (ticket.balance = balance));
      }
    } catch (error) {
      if (error instanceof HedgerowError) return false;
      throw error;
    }
    for (const book of booked) book();
    return true;
  }

  #checkTerms({ order }: Pick<SignedOrder, "order">, time: bigint): TicketView {
    this.assertOpen(time);
    const ticket = this.ticket(order.ticketId);
    if (ticket.closing) throw new TicketNotTradable(ticket.ticketId, "closing");
    if (ticket.status === "inherited") throw new TicketNotTradable(ticket.ticketId, ticket.status);
    if (order.clientId === 0n) throw new ZeroClientId(order.ticketId);
    const orderId = orderIdOf(order.ticketId, order.clientId);
    if (order.expiry < time) throw new OrderExpired(orderId, order.expiry, time);
    const market = this.market(ticket.slot);
    validateOrder(this.#book(ticket.slot).terms, {
      priceTicks: toTicks(order.limitPrice, market.tick),
      quantity: order.quantity,
    });
    return ticket;
  }

  /** Throws TooManyMakers if an order would trade with more than MOST_MAKERS orders. */
  #assertFewMakers(slot: number, order: NewOrder): void {
    const { asks, bids, orders } = this.#book(slot);
    const { levels } = order.side === "buy" ? asks : bids;
    let makers = 0;
    let left = order.quantity;
    for (let i = levels.length - 1; i >= 0 && left > 0; i--) {
      const level = levels[i];
      if (level === undefined || !reaches(order.side, order.priceTicks, level.priceTicks)) return;
      for (let row = level.head; row !== NONE && left > 0; row = at(orders.next, row)) {
        left -= remainingAt(orders, row);
        makers += 1;
        if (makers > MOST_MAKERS) throw new TooManyMakers(order.orderId);
      }
    }
  }

  #cancel(live: LiveOrder, time: bigint, cause: Cause): readonly LogEntry[] {
    return this.#run(live.ticket.slot, { kind: "cancel", orderId: live.orderId }, time, cause, live);
  }

  /** Gives the engine a command and enters what it says into the log and the operator's own books. */
  #run(
    slot: number,
    command: Command,
    time: bigint,
    cause: Cause,
    order: { readonly signed: SignedOrder; readonly hash: Hex },
  ): readonly LogEntry[] {
    const { tick } = this.market(slot);
    const entries = apply(this.#book(slot), this.#log.takeSeq(), command);
    return entries.map((entry) => {
      const price = "priceTicks" in entry ? fromTicks(entry.priceTicks, tick) : 0n;
      const subject = this.#live.get(entry.kind === "executed" ? entry.taker : entry.orderId);
      const incoming = entry.kind === "accepted" || entry.kind === "replaced" || entry.kind === "rejected";
      const orderHash = incoming ? order.hash : (subject?.hash ?? order.hash);
      const makerHash = entry.kind === "executed" ? this.#expectLive(entry.maker).hash : ZERO_HASH;
      this.#record(slot, entry, price, time, order);
      return this.#log.append({ slot, entry, cause, orderHash, makerHash, price, time });
    });
  }

  #record(
    slot: number,
    entry: Entry,
    price: bigint,
    time: bigint,
    { signed, hash }: { readonly signed: SignedOrder; readonly hash: Hex },
  ): void {
    switch (entry.kind) {
      case "accepted": {
        const ticket = this.ticket(signed.order.ticketId);
        const { orderId, remaining } = entry;
        const live: LiveOrder = { orderId, ticket, signed, hash, remaining, restingSince: time };
        this.#live.set(orderId, live);
        ticket.orders.set(orderId, live);
        countResting(live, remaining);
        this.#expectExpiry(signed.order.expiry);
        break;
      }
      case "replaced": {
        const live = this.#expectLive(entry.orderId);
        countResting(live, -live.remaining);
        live.signed = signed;
        live.hash = hash;
        live.remaining = entry.remaining;
        if (entry.prioritySeq === entry.seq) live.restingSince = time;
        countResting(live, live.remaining);
        this.#expectExpiry(signed.order.expiry);
        break;
      }
      case "executed":
        this.#execute(slot, entry, price, time);
        break;
      case "cancelled":
      case "expired":
        this.#reduce(this.#expectLive(entry.orderId), entry.remaining);
        break;
      case "rejected":
    }
  }

  #execute(slot: number, entry: Executed, price: bigint, time: bigint): void {
    const maker = this.#expectLive(entry.maker);
    const taker = this.#expectLive(entry.taker);
    const execution: Execution = {
      slot,
      seq: entry.seq,
      n: entry.n,
      maker: maker.signed,
      taker: taker.signed,
      takerSide: entry.takerSide,
      price,
      quantity: entry.quantity,
      makerPrioritySeq: entry.makerPrioritySeq,
      execTime: time,
    };
    for (const [ticketId, trade] of sidesOf(execution)) {
      const ticket = this.ticket(ticketId);
      ticket.balance = afterTrade(this.market(slot), ticket, ticket.balance, trade);
    }
    this.#reduce(maker, entry.quantity);
    this.#reduce(taker, entry.quantity);
    this.#unsettled.push(execution);
    const trades = this.#trades.get(slot) ?? [];
    trades.push(execution);
    this.#trades.set(slot, trades);
  }

  /** Takes contracts off an order, and the order out when none are left. */
  #reduce(live: LiveOrder, quantity: number): void {
    countResting(live, -quantity);
    live.remaining -= quantity;
    if (live.remaining > 0) return;
    this.#live.delete(live.orderId);
    live.ticket.orders.delete(live.orderId);
  }

  #expectExpiry(expiry: bigint): void {
    if (this.#earliestExpiry === undefined || expiry < this.#earliestExpiry) this.#earliestExpiry = expiry;
  }

  #expectLive(orderId: OrderId): LiveOrder {
    const live = this.#live.get(orderId);
    if (live === undefined) throw new UnknownOrder(orderId);
    return live;
  }

  #book(slot: number): Book {
    const book = this.#books.get(slot);
    if (book === undefined) throw new MarketNotListed(slot, this.times.epoch);
    return book;
  }
}

/** Both tickets of an execution, each with its side of the trade: the maker's first, as the contract goes. */
export function sidesOf({ maker, taker, price, quantity }: Execution): readonly (readonly [Hex, Trade])[] {
  return [maker.order, taker.order].map(({ ticketId, side }) => [
    ticketId,
    { side, price, quantity: BigInt(quantity) },
  ]);
}

/** The engine's terms of a market: whole ticks inside the price limits; revisions are a uint8; ids are used once. */
function termsOf(market: EpochMarket) {
  const { down, up } = priceLimits(market);
  return {
    priceLimitDownTicks: -Number(floorDiv(-down, market.tick)),
    priceLimitUpTicks: Number(floorDiv(up, market.tick)),
    maxRevision: 255,
    reusableIds: false,
  };
}

function restingOrder(side: Side, limitPrice: bigint, remaining: number) {
  return { side, limitPrice, remaining: BigInt(remaining) };
}

/** The entries, unless the engine turned the command down: then its error is thrown. */
function accepted(entries: readonly LogEntry[]): readonly LogEntry[] {
  const [first] = entries;
  if (first?.entry.kind === "rejected") throw first.entry.error;
  return entries;
}
