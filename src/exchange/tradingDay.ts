import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import type { SignedOrder } from "../chain/clearingHouse.ts";
import { type EpochMarket, MarketNotListed, priceLimits } from "../protocol/epoch.ts";
import { floorDiv } from "../protocol/settlementPrice.ts";
import type { TicketBalance, Trade } from "../protocol/ticket.ts";
import type { Instructions, Side } from "../protocol/order.ts";
import type { Receipt } from "../protocol/receipt.ts";
import { apply, type Book, createBook } from "../market/engine.ts";
import { BeyondCollar, UnknownOrder } from "../market/errors.ts";
import { type BookState, bookState, restoreBook } from "../market/state.ts";
import { type BookTerms, fromTicks, toTicks, validateOrder } from "../market/terms.ts";
import {
  type Command,
  type Entry,
  type Executed,
  type NewOrder,
  type OrderId,
  orderIdOf,
  type ReplaceOrder,
  type Session,
} from "../market/types.ts";
import { bestAsk, bestBid, countTrades, depth, levelAtPrice } from "../market/views.ts";
import { Deadlines } from "./deadlines.ts";
import { type Cause, type ExchangeLog, type LogEntry, receiptsOf, ZERO_HASH } from "./log.ts";
import { type RestedOrder, restedOrders } from "./restingQuotes.ts";
import type { LevelChange, OrderEntry, OrderReport, OrderStatus, PublicTrade } from "../api/service.ts";
import {
  afterTrade,
  assertCovered,
  countResting,
  isCovered,
  type LiveOrder,
  TicketNotTradable,
  type TicketState,
  ticketState,
  type TicketView,
  ticketView,
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

/** When the day opened and closes, in unix seconds, and what happens in between. */
export type DayTimes = {
  readonly epoch: number;
  readonly openedAt: bigint;
  readonly closingTime: bigint;
  /** When the call auction trades; undefined: trading is continuous from the opening on (spec FIL-17). */
  readonly auctionTime?: bigint | undefined;
  /** Length of the settlement window before closing time, seconds. */
  readonly settlementWindow?: number | undefined;
  /** A market whose book is locked at a limit for `after` seconds is halted for `pause` seconds; undefined: never. */
  readonly limitLock?: LimitLock | undefined;
};

/** In seconds. */
export type LimitLock = { readonly after: number; readonly pause: number };

/** What happens in a day, in order. */
export type Happening =
  /**
   * An entry of the log, the orders it is about as they stand after it, the taker before the maker, and what their
   * receipts say.
   */
  | {
      readonly kind: "entry";
      readonly line: LogEntry;
      readonly orders: readonly OrderReport[];
      readonly receipts: readonly Receipt[];
    }
  /** Prices at which something else rests after a command. */
  | { readonly kind: "book"; readonly slot: number; readonly seq: number; readonly changes: readonly LevelChange[] }
  | { readonly kind: "session"; readonly slot: number; readonly session: Session }
  /** Another epoch has begun; its books are empty. */
  | { readonly kind: "begun"; readonly epoch: number }
  /** An order is no longer live; `acceptedIn` is the number of the record that accepted it. */
  | { readonly kind: "ended"; readonly order: OrderReport; readonly acceptedIn: number };

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

/** A message of a ticket's session key counts once: each has a higher nonce than those before it (spec ORD-16). */
export class NonceUsed extends HedgerowError {
  constructor(ticketId: Hex, nonce: bigint, used: bigint) {
    super(
      "NonceUsed",
      `nonce ${nonce} of ticket ${ticketId} is not above ${used}: sign the message with a higher one`,
      {
        ticketId,
        nonce,
        used,
      },
    );
  }
}

/** A ticket has as many live orders as it may have. */
export class TooManyOrders extends HedgerowError {
  constructor(ticketId: Hex) {
    super("TooManyOrders", `ticket ${ticketId} has ${MOST_ORDERS} live orders: cancel some, or use another ticket`, {
      ticketId,
      most: MOST_ORDERS,
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

/** Live orders of a ticket: to cancel all of them is one command. */
export const MOST_ORDERS = 2_000;

/** Trades that a day remembers for each market; its market data keeps no more. */
const TRADES_KEPT = 1_000;

/** The matching engine has done what the operator's own books cannot follow: a fault of this program. */
class BooksDiffer extends Error {
  constructor(cause: HedgerowError) {
    super(`the books differ: ${cause.message}`, { cause });
  }
}

/** Number of the operator's term in receipts: there is one leader, and it does not change. */
const TERM = 0;

/** What an order's journal record is numbered where there is no journal. */
const UNRECORDED = 0;

/**
 * Trading of one epoch in the operator's memory: tickets, one book a market, and the executions that wait for their
 * batch. All of it happens between two turns of the event loop: nothing here waits, reads a clock or checks a
 * signature. Times are unix seconds and must not fall: each command begins by bringing the day to its time.
 */
export class TradingDay {
  readonly markets: readonly EpochMarket[];
  readonly tickets = new Map<Hex, TicketView>();
  readonly #log: ExchangeLog;
  readonly #tell: (happening: Happening) => void;
  readonly #books = new Map<number, Book>();
  readonly #live = new Map<OrderId, LiveOrder>();
  readonly #expiries = new Deadlines<LiveOrder>();
  readonly #guards = new Deadlines<TicketView>();
  readonly #locks = new Map<number, LockWatch>();
  readonly #trades = new Map<number, PublicTrade[]>();
  readonly #volumes = new Map<number, number>();
  #times: DayTimes;
  #unsettled: Execution[] = [];
  #time = 0n;
  #stopped = false;
  #rested: readonly RestedOrder[] | undefined;

  /** `tell` gets what happens, in order. */
  constructor(
    times: DayTimes,
    markets: readonly EpochMarket[],
    log: ExchangeLog,
    tell: (happening: Happening) => void = () => undefined,
  ) {
    this.#times = times;
    this.markets = markets;
    this.#log = log;
    this.#tell = tell;
    markets.forEach((market, slot) => {
      if (market.listed) this.#books.set(slot, createBook(termsOf(market), this.#firstSession()));
    });
  }

  /** When the day opened, when it closes by what the chain says now, and what happens in between. */
  get times(): DayTimes {
    return this.#times;
  }

  /** Executions that no batch has settled yet, in order. */
  get unsettled(): readonly Execution[] {
    return this.#unsettled;
  }

  /** The newest trades of a market today, oldest first. */
  trades(slot: number): readonly PublicTrade[] {
    return this.#trades.get(slot) ?? [];
  }

  /** Contracts traded in a market today. */
  volume(slot: number): number {
    return this.#volumes.get(slot) ?? 0;
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

  /** What a market does with orders now. Throws MarketNotListed. */
  session(slot: number): Session {
    return this.#book(slot).session;
  }

  /** All orders that are live. */
  liveOrders(): Iterable<LiveOrder> {
    return this.#live.values();
  }

  /** How many orders are live. */
  get liveCount(): number {
    return this.#live.size;
  }

  /** A live order, or undefined. */
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

  /** Orders that had rested through the settlement window when trading ended. */
  get rested(): readonly RestedOrder[] {
    return this.#rested ?? [];
  }

  /** From now on no order is taken. */
  stop(): void {
    this.#stopped = true;
    this.#noteRested();
    for (const slot of this.#books.keys()) this.#turnTo(slot, "closed", this.#time);
  }

  /**
   * The day closes at another time: a market locked at its limit has moved it up, or the chain took that back. A market
   * that is closed stays so. Orders keep the expiry that was signed; none of them outlives the day (spec EPO-4).
   */
  moveClosing(closingTime: bigint): void {
    this.#times = { ...this.#times, closingTime };
    if (this.#time > closingTime) this.#noteRested();
    else this.#rested = undefined;
    this.#turnSessions(this.#time);
  }

  /** Throws MarketClosed after closing time, at which executions may still happen (spec EPO-4, FIL-7). */
  assertOpen(time: bigint): void {
    const { openedAt, closingTime } = this.times;
    if (this.#stopped || time < openedAt || time > closingTime) throw new MarketClosed(time, closingTime);
  }

  /**
   * Everything about a new order but its signature (spec ORD-3, 6, 7, 9, 11, 17). Throws MarketClosed, UnknownTicket,
   * TicketNotTradable, ZeroClientId, OrderExpired, NotFirstRevision, OffTick, OffLimits, BadQuantity,
   * TicketBelowMargin, NotReducing or OutOfRange.
   */
  check({ order, instructions }: OrderEntry, time: bigint): void {
    const ticket = this.#checkTerms({ order }, time);
    const orderId = orderIdOf(order.ticketId, order.clientId);
    if (order.revision !== 0) throw new NotFirstRevision(orderId, order.revision);
    if (ticket.orders.size >= MOST_ORDERS) throw new TooManyOrders(order.ticketId);
    assertCovered(this.market(ticket.slot), ticket, restingOrder(order.side, order.limitPrice, order.quantity), {
      reduceOnly: instructions?.reduceOnly === true,
    });
  }

  /**
   * The same for a replacement, which keeps side, postOnly and time in force, and whose quantity is the new total (spec MAT-8).
   * Throws what `check` throws, UnknownOrder or TermsChanged. Side and revision are left to the engine.
   */
  checkReplacement({ order }: SignedOrder, time: bigint): void {
    const ticket = this.#checkTerms({ order }, time);
    const orderId = orderIdOf(order.ticketId, order.clientId);
    const live = this.#live.get(orderId);
    if (live === undefined) throw new UnknownOrder(orderId);
    const inForce = live.signed.order;
    if (order.timeInForce !== inForce.timeInForce)
      throw new TermsChanged(orderId, `it is ${order.timeInForce}, but ${inForce.timeInForce} must stay as it is`);
    if (order.postOnly !== inForce.postOnly) throw new TermsChanged(orderId, "postOnly must stay as it is");
    const remaining = order.quantity - (inForce.quantity - live.remaining);
    if (order.side !== inForce.side || remaining <= 0) return;
    assertCovered(this.market(ticket.slot), ticket, restingOrder(order.side, order.limitPrice, remaining), {
      without: live,
      reduceOnly: live.instructions?.reduceOnly === true,
    });
  }

  /**
   * Enters a new order and returns what became of it; `record` is the number of the journal's record that has it. Throws
   * what `check` throws, TooManyMakers, and the engine's rejection.
   */
  place(entry: OrderEntry, hash: Hex, time: bigint, record = UNRECORDED): readonly LogEntry[] {
    this.advance(time);
    this.check(entry, time);
    const { order, instructions } = entry;
    const { slot } = this.ticket(order.ticketId);
    const { tick } = this.market(slot);
    const command: NewOrder = {
      kind: "new",
      orderId: orderIdOf(order.ticketId, order.clientId),
      owner: order.ticketId,
      side: order.side,
      priceTicks: toTicks(order.limitPrice, tick),
      quantity: order.quantity,
      timeInForce: order.timeInForce,
      postOnly: order.postOnly,
      ...(instructions && {
        selfTrade: instructions.selfTrade,
        ...(instructions.displayQuantity > 0 && { displayQuantity: instructions.displayQuantity }),
        ...(instructions.stopPrice !== undefined && { stopPriceTicks: toTicks(instructions.stopPrice, tick) }),
      }),
    };
    this.#assertFewMakers(slot, command);
    const signed = { order, signature: entry.signature };
    return accepted(this.#run(slot, command, time, "trader", { signed, hash, instructions, record }), tick);
  }

  /** Puts a replacement in force. Throws what `checkReplacement` throws, and the engine's rejection. */
  replace(signed: SignedOrder, hash: Hex, time: bigint): readonly LogEntry[] {
    this.advance(time);
    this.checkReplacement(signed, time);
    const { order } = signed;
    const { slot } = this.ticket(order.ticketId);
    const { tick } = this.market(slot);
    const command: ReplaceOrder = {
      kind: "replace",
      orderId: orderIdOf(order.ticketId, order.clientId),
      side: order.side,
      priceTicks: toTicks(order.limitPrice, tick),
      quantity: order.quantity,
      revision: order.revision,
    };
    const waits = this.liveOrder(order.ticketId, order.clientId)?.status === "waiting";
    this.#assertFewMakers(slot, {
      ...command,
      owner: order.ticketId,
      timeInForce: order.timeInForce,
      stopPriceTicks: waits ? command.priceTicks : undefined,
    });
    return accepted(this.#run(slot, command, time, "trader", { signed, hash }), tick);
  }

  /** Takes an order out of the book. Throws UnknownTicket or UnknownOrder. */
  cancel(ticketId: Hex, clientId: bigint, time: bigint): readonly LogEntry[] {
    this.advance(time);
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

  /**
   * Uses up a nonce of a ticket's session key: messages that have one count once, and in order. Throws UnknownTicket or
   * NonceUsed.
   */
  useNonce(ticketId: Hex, nonce: bigint): TicketView {
    const ticket = this.ticket(ticketId);
    if (nonce <= ticket.nonce) throw new NonceUsed(ticketId, nonce, ticket.nonce);
    ticket.nonce = nonce;
    return ticket;
  }

  /** Guards a ticket: all its orders are cancelled at `deadline`; undefined takes the guard away (spec ORD-18). */
  guard(ticket: TicketView, deadline: bigint | undefined): void {
    if (ticket.cancelAt !== undefined) this.#guards.remove(ticket.cancelAt, ticket);
    ticket.cancelAt = deadline;
    if (deadline !== undefined) this.#guards.add(deadline, ticket);
  }

  /**
   * Brings the day to a time: holds the call auction, takes out orders whose time is over (an order fills up to and
   * including its expiry, spec ORD-7) or whose trader has gone silent, and turns the sessions.
   */
  advance(time: bigint): void {
    if (time <= this.#time) return;
    const { auctionTime, closingTime } = this.times;
    if (auctionTime !== undefined && this.#time <= auctionTime && time > auctionTime && !this.#stopped) {
      this.#takeDue(auctionTime);
      this.#holdAuction(auctionTime);
    }
    if (this.#time <= closingTime && time > closingTime) {
      this.#takeDue(closingTime);
      this.#noteRested();
    }
    this.#takeDue(time);
    this.#time = time;
    this.#turnSessions(time);
  }

  #turnSessions(time: bigint): void {
    const { closingTime, settlementWindow = 0 } = this.times;
    const inWindow = settlementWindow > 0 && time >= closingTime - BigInt(settlementWindow);
    for (const slot of this.#books.keys()) {
      if (this.session(slot) === "closed") continue;
      if (time > closingTime) {
        this.#turnTo(slot, "closed", time);
        continue;
      }
      this.#watchLock(slot, time);
      // Also where a halt ends in the window.
      if (inWindow && this.session(slot) === "open") this.#turnTo(slot, "closing", time);
    }
  }

  /** Whether `advance` to a time would change anything. */
  isDue(time: bigint): boolean {
    if (time <= this.#time) return false;
    const { auctionTime, closingTime, settlementWindow = 0 } = this.times;
    const passes = (moment: bigint): boolean => this.#time < moment && time >= moment;
    return (
      (auctionTime !== undefined && passes(auctionTime + 1n)) ||
      passes(closingTime - BigInt(settlementWindow)) ||
      passes(closingTime + 1n) ||
      this.#expiries.isDue(time) ||
      this.#guards.isDue(time + 1n) ||
      this.#locks.size > 0
    );
  }

  /** Forgets all executions that wait for a batch, because the epoch was closed without them, and returns them. */
  dropUnsettled(): readonly Execution[] {
    for (const ticket of this.tickets.values()) ticket.balance = ticket.settled;
    return this.#unsettled.splice(0);
  }

  /** What a ticket holds by the chain, where no execution is under way: in the settlement window. Throws UnknownTicket. */
  setBalance(ticketId: Hex, balance: TicketBalance): void {
    const ticket = this.ticket(ticketId);
    ticket.settled = balance;
    ticket.balance = balance;
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
   * Sets the executions of one command aside, because the chain refuses them, and halts all markets: somebody has to
   * find out why. Returns them, and those that cannot settle without them.
   */
  setAside(seq: number, time: bigint): readonly Execution[] {
    for (const slot of this.#books.keys()) {
      if (this.session(slot) !== "closed") this.#turnTo(slot, "halted", time);
    }
    const refused = this.#unsettled.filter((execution) => execution.seq === seq);
    this.#unsettled = this.#unsettled.filter((execution) => execution.seq !== seq);
    return [...refused, ...this.#replay()];
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
    if (order.expiry < time) {
      throw new OrderExpired(orderIdOf(order.ticketId, order.clientId), order.expiry, time);
    }
    const market = this.market(ticket.slot);
    validateOrder(this.#book(ticket.slot).terms, {
      priceTicks: toTicks(order.limitPrice, market.tick),
      quantity: order.quantity,
    });
    return ticket;
  }

  /**
   * Throws TooManyMakers if an order would trade with more than MOST_MAKERS orders: those of an immediate order settle
   * in one batch, and nobody may fill the batches of hours with one command. Whom a stop meets is not known yet, so
   * that an immediate one may be for no more contracts than that.
   */
  #assertFewMakers(slot: number, order: MarketOrder): void {
    if (order.stopPriceTicks !== undefined) {
      if (order.timeInForce !== "GTC" && order.quantity > MOST_MAKERS) throw new TooManyMakers(order.orderId);
      return;
    }
    if (countTrades(this.#book(slot), order, MOST_MAKERS + 1) > MOST_MAKERS) throw new TooManyMakers(order.orderId);
  }

  // ---------------------------------------------------------------- the day as data

  /** Everything about the day, as plain data that does not change any more: `restore` makes the same day of it. */
  state(): DayState {
    const orders = new Map<SignedOrder, number>();
    const indexOf = (signed: SignedOrder): number => {
      const index = orders.get(signed) ?? orders.size;
      orders.set(signed, index);
      return index;
    };
    const live = [...this.#live.values()].map(({ ticket, signed, ...order }) => ({
      ...order,
      signed: indexOf(signed),
      ticketId: ticket.ticketId,
    }));
    const unsettled = this.#unsettled.map((execution) => ({
      ...execution,
      maker: indexOf(execution.maker),
      taker: indexOf(execution.taker),
    }));
    return {
      times: this.times,
      markets: this.markets,
      time: this.#time,
      stopped: this.#stopped,
      tickets: [...this.tickets.values()].map(ticketState),
      signed: [...orders.keys()],
      live,
      unsettled,
      books: [...this.#books].map(([slot, book]) => [slot, bookState(book)]),
      locks: [...this.#locks].map(([slot, watch]) => [slot, { ...watch }]),
      trades: [...this.#trades].map(([slot, trades]) => [slot, trades.slice(-TRADES_KEPT)]),
      volumes: [...this.#volumes],
      // A ticket that was closed since attests nothing any more.
      rested: this.#rested?.flatMap(({ ticket: { ticketId }, ...rested }) =>
        this.tickets.has(ticketId) ? [{ ...rested, ticketId }] : [],
      ),
    };
  }

  /** Takes over the state of a day with the same times and markets. */
  restore(state: DayState): void {
    const signedAt = (index: number): SignedOrder => {
      const signed = state.signed[index];
      if (signed === undefined) throw new UnknownOrder(`number ${index} of the snapshot`);
      return signed;
    };
    this.#time = state.time;
    this.#stopped = state.stopped;
    for (const ticket of state.tickets) {
      const view: TicketView = { ...ticketView({ ...ticket, ...ticket.balance }), ...ticket };
      this.tickets.set(ticket.ticketId, view);
      if (ticket.cancelAt !== undefined) this.#guards.add(ticket.cancelAt, view);
    }
    for (const { ticketId, signed, ...order } of state.live) {
      this.#enlist({ ...order, signed: signedAt(signed), ticket: this.ticket(ticketId) });
    }
    this.#unsettled = state.unsettled.map((execution) => ({
      ...execution,
      maker: signedAt(execution.maker),
      taker: signedAt(execution.taker),
    }));
    for (const [slot, book] of state.books) this.#books.set(slot, restoreBook(this.#book(slot).terms, book));
    for (const [slot, watch] of state.locks) this.#locks.set(slot, { ...watch });
    for (const [slot, trades] of state.trades) this.#trades.set(slot, [...trades]);
    for (const [slot, volume] of state.volumes) this.#volumes.set(slot, volume);
    this.#rested = state.rested?.flatMap(({ ticketId, ...rested }) => {
      const ticket = this.tickets.get(ticketId);
      return ticket === undefined ? [] : [{ ...rested, ticket }];
    });
  }

  // ---------------------------------------------------------------- the course of the day

  #firstSession(): Session {
    return this.times.auctionTime === undefined ? "open" : "pre-open";
  }

  /** Trading ends: what is cancelled from here on has rested all the same. */
  #noteRested(): void {
    const { closingTime, settlementWindow = 0 } = this.times;
    this.#rested ??= restedOrders(this.#live.values(), closingTime - BigInt(settlementWindow), closingTime);
  }

  /** Cancels what is over before a moment: expired orders, and the orders of traders that went silent. */
  #takeDue(time: bigint): void {
    for (const live of this.#expiries.takeBefore(time)) this.#cancel(live, time, "expiry");
    // By their names: a restored day does not know in which order they were guarded.
    for (const ticket of this.#guards.takeBefore(time + 1n).toSorted(byTicketId)) {
      ticket.cancelAt = undefined;
      this.cancelTicket(ticket, time, "silence");
    }
  }

  /**
   * All markets trade at one price each, and are open afterwards. What trades at the auction's second is judged by the
   * auction's rules on chain, so continuous trading, and the stops that the auction reached, begin a second later.
   */
  #holdAuction(time: bigint): void {
    const waiting = [...this.#books.keys()].filter((slot) => this.session(slot) === "pre-open");
    for (const slot of waiting) {
      const { centre, tick } = this.market(slot);
      this.#run(slot, { kind: "uncross", referenceTicks: Number(floorDiv(centre, tick)) }, time, "auction");
    }
    // What ends with the auction's second has no part in what comes after it.
    this.#takeDue(time + 1n);
    this.#takeDue(time + 1n);
    for (const slot of waiting) this.#turnTo(slot, "open", time + 1n);
  }

  #turnTo(slot: number, session: Session, time: bigint): void {
    if (this.session(slot) === session) return;
    this.#run(slot, { kind: "session", session }, time, "session");
    this.#tell({ kind: "session", slot, session });
  }

  /** Halts a market whose book has been locked at a price limit for too long, and lets it go on after the pause. */
  #watchLock(slot: number, time: bigint): void {
    const watch = this.#locks.get(slot);
    const { limitLock } = this.times;
    if (watch === undefined || limitLock === undefined) return;
    if (watch.haltedUntil !== undefined && time >= watch.haltedUntil) {
      this.#locks.delete(slot);
      this.#turnTo(slot, "open", time);
    } else if (watch.haltedUntil === undefined && time >= watch.since + BigInt(limitLock.after)) {
      watch.haltedUntil = time + BigInt(limitLock.pause);
      this.#turnTo(slot, "halted", time);
    }
  }

  /** Notes since when a book has been locked at a limit. */
  #noteLock(slot: number, time: bigint): void {
    const session = this.session(slot);
    if (this.times.limitLock === undefined || (session !== "open" && session !== "closing")) return;
    if (!this.#isLocked(slot)) this.#locks.delete(slot);
    else if (!this.#locks.has(slot)) this.#locks.set(slot, { since: time, haltedUntil: undefined });
  }

  /** Whether bids rest at the upper limit and nobody sells, or the other way round. */
  #isLocked(slot: number): boolean {
    const book = this.#book(slot);
    const { priceLimitDownTicks, priceLimitUpTicks } = book.terms;
    const [bid, ask] = [bestBid(book), bestAsk(book)];
    if (ask === undefined) return bid?.priceTicks === priceLimitUpTicks;
    return bid === undefined && ask.priceTicks === priceLimitDownTicks;
  }

  #cancel(live: LiveOrder, time: bigint, cause: Cause): readonly LogEntry[] {
    return this.#run(live.ticket.slot, { kind: "cancel", orderId: live.orderId }, time, cause, live);
  }

  // ---------------------------------------------------------------- from the engine into the books

  /**
   * Gives the engine a command and enters what it says into the log and the operator's own books. Those must be able to
   * follow, whatever the engine says: if not, it is a fault of this program and no refusal.
   */
  #run(slot: number, command: Command, time: bigint, cause: Cause, order?: Commanded): readonly LogEntry[] {
    const entries = apply(this.#book(slot), this.#log.takeSeq(), command);
    try {
      return this.#follow(slot, entries, time, cause, order);
    } catch (error) {
      throw error instanceof HedgerowError ? new BooksDiffer(error) : error;
    }
  }

  #follow(
    slot: number,
    entries: readonly Entry[],
    time: bigint,
    cause: Cause,
    order: Commanded | undefined,
  ): readonly LogEntry[] {
    const { tick } = this.market(slot);
    const touched: Place[] = [];
    const lines = entries.map((entry) => {
      const priced = "priceTicks" in entry && entry.priceTicks !== undefined;
      const price = priced ? fromTicks(entry.priceTicks, tick) : 0n;
      if (entry.kind === "replaced") touch(touched, this.#expectLive(entry.orderId));
      const subjects = this.#record(slot, entry, price, time, order);
      for (const live of subjects) touch(touched, live);
      const [subject, maker] = subjects;
      const orderHash = subject?.hash ?? order?.hash ?? ZERO_HASH;
      const makerHash = maker?.hash ?? ZERO_HASH;
      const line = this.#log.append({ slot, entry, cause, orderHash, makerHash, price, time });
      const orders = subjects.map((live) => {
        live.lastEntry = { seq: entry.seq, n: entry.n, time };
        return reportOf(live);
      });
      this.#tell({ kind: "entry", line, orders, receipts: receiptsOf(line, TERM) });
      subjects.forEach((live, i) => {
        const report = orders[i];
        if (live.remaining > 0 || report === undefined) return;
        this.#tell({ kind: "ended", order: report, acceptedIn: live.acceptedIn });
      });
      return line;
    });
    this.#tellLevels(slot, entries[0]?.seq ?? 0, touched);
    this.#noteLock(slot, time);
    return lines;
  }

  #tellLevels(slot: number, seq: number, touched: readonly Place[]): void {
    if (touched.length === 0) return;
    const { tick } = this.market(slot);
    const book = this.#book(slot);
    const changes = touched.map(({ side, price }): LevelChange => ({
      side,
      price,
      ...levelAtPrice(book, side, toTicks(price, tick)),
    }));
    this.#tell({ kind: "book", slot, seq, changes });
  }

  /** Keeps the operator's books in step with an entry; returns the orders that it is about, the taker first. */
  #record(slot: number, entry: Entry, price: bigint, time: bigint, order: Commanded | undefined): readonly LiveOrder[] {
    switch (entry.kind) {
      case "accepted":
        return order === undefined ? [] : [this.#admit(entry.orderId, entry.remaining, order, time)];
      case "replaced": {
        const live = this.#expectLive(entry.orderId);
        if (order !== undefined) this.#amend(live, order);
        countResting(live, entry.remaining - live.remaining);
        live.remaining = entry.remaining;
        if (entry.prioritySeq === entry.seq) live.restingSince = time;
        return [live];
      }
      case "triggered": {
        const live = this.#expectLive(entry.orderId);
        live.status = "open";
        live.restingSince = time;
        return [live];
      }
      case "reloaded": {
        const live = this.#expectLive(entry.orderId);
        live.restingSince = time;
        return [live];
      }
      case "executed":
        return this.#execute(slot, entry, price, time);
      case "cancelled":
      case "expired": {
        const live = this.#expectLive(entry.orderId);
        this.#reduce(live, entry.remaining, entry.kind);
        return [live];
      }
      case "rejected":
      case "session":
      case "uncrossed":
        return [];
    }
  }

  #admit(orderId: OrderId, remaining: number, order: Commanded, time: bigint): LiveOrder {
    const { signed, hash, instructions, record } = order;
    const ticket = this.ticket(signed.order.ticketId);
    const live: LiveOrder = {
      orderId,
      ticket,
      instructions,
      acceptedIn: record ?? UNRECORDED,
      signed,
      hash,
      status: instructions?.stopPrice === undefined ? "open" : "waiting",
      remaining,
      filled: 0,
      filledValue: 0n,
      restingSince: time,
      lastEntry: { seq: 0, n: 0, time },
    };
    this.#enlist(live);
    return live;
  }

  /** Counts a live order among those of its day and its ticket. */
  #enlist(live: LiveOrder): void {
    this.#live.set(live.orderId, live);
    live.ticket.orders.set(live.orderId, live);
    countResting(live, live.remaining);
    this.#expiries.add(live.signed.order.expiry, live);
  }

  /** Takes a live order out of the count again. */
  #delist(live: LiveOrder): void {
    this.#live.delete(live.orderId);
    live.ticket.orders.delete(live.orderId);
    countResting(live, -live.remaining);
    this.#expiries.remove(live.signed.order.expiry, live);
  }

  /**
   * Puts the terms of a replacement in force. The order becomes the newest one wherever it is listed, so that a day
   * which is restored from that list goes through orders as this one does.
   */
  #amend(live: LiveOrder, { signed, hash }: Commanded): void {
    this.#delist(live);
    live.signed = signed;
    live.hash = hash;
    this.#enlist(live);
  }

  #execute(slot: number, entry: Executed, price: bigint, time: bigint): readonly LiveOrder[] {
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
    for (const live of [maker, taker]) {
      live.filled += entry.quantity;
      live.filledValue += price * BigInt(entry.quantity);
      this.#reduce(live, entry.quantity, "filled");
    }
    this.#unsettled.push(execution);
    this.#rememberTrade(execution);
    return [taker, maker];
  }

  #rememberTrade({ slot, seq, n, price, quantity, takerSide, execTime }: Execution): void {
    const trades = this.#trades.get(slot) ?? [];
    trades.push({ slot, seq, n, price, quantity, takerSide, time: execTime });
    this.#volumes.set(slot, this.volume(slot) + quantity);
    if (trades.length >= 2 * TRADES_KEPT) trades.splice(0, trades.length - TRADES_KEPT);
    this.#trades.set(slot, trades);
  }

  /** Takes contracts off an order, and the order out when none are left: then `end` is what became of it. */
  #reduce(live: LiveOrder, quantity: number, end: OrderStatus): void {
    countResting(live, -quantity);
    live.remaining -= quantity;
    if (live.remaining > 0) return;
    live.status = end;
    this.#delist(live);
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

/** A day as plain data. Signed orders stand once, in `signed`, and are named by their place there. */
export type DayState = {
  readonly times: DayTimes;
  readonly markets: readonly EpochMarket[];
  readonly time: bigint;
  readonly stopped: boolean;
  readonly tickets: readonly TicketState[];
  readonly signed: readonly SignedOrder[];
  readonly live: readonly (Omit<LiveOrder, "ticket" | "signed"> & {
    readonly ticketId: Hex;
    readonly signed: number;
  })[];
  readonly unsettled: readonly (Omit<Execution, "maker" | "taker"> & {
    readonly maker: number;
    readonly taker: number;
  })[];
  readonly books: readonly (readonly [slot: number, book: BookState])[];
  readonly locks: readonly (readonly [slot: number, watch: LockWatch])[];
  readonly trades: readonly (readonly [slot: number, trades: readonly PublicTrade[]])[];
  readonly volumes: readonly (readonly [slot: number, volume: number])[];
  readonly rested: readonly (Omit<RestedOrder, "ticket"> & { readonly ticketId: Hex })[] | undefined;
};

/** Since when a book has been locked at a limit, and until when its market is halted for that. */
type LockWatch = { readonly since: bigint; haltedUntil: bigint | undefined };

/** What decides how many orders an order may meet. */
type MarketOrder = Pick<NewOrder, "orderId" | "owner" | "side" | "priceTicks" | "quantity" | "timeInForce"> & {
  readonly stopPriceTicks?: number | undefined;
};

/** The order that a command is about, as its trader signed it. */
type Commanded = {
  readonly signed: SignedOrder;
  readonly hash: Hex;
  readonly instructions?: Instructions | undefined;
  readonly record?: number;
};

/** A price of one side of the book. */
type Place = { readonly side: Side; readonly price: bigint };

/** Notes that something else may rest at an order's price now. A command touches few prices. */
function touch(places: Place[], { signed: { order } }: LiveOrder): void {
  const { side, limitPrice: price } = order;
  if (!places.some((place) => place.price === price && place.side === side)) places.push({ side, price });
}

/** An order as it stands after the last entry of the log about it. */
export function reportOf(live: LiveOrder): OrderReport {
  const { ticketId, clientId, revision, side, limitPrice, quantity, timeInForce } = live.signed.order;
  const { status, filled, filledValue, remaining, lastEntry } = live;
  return {
    ticketId,
    clientId,
    slot: live.ticket.slot,
    orderHash: live.hash,
    revision,
    side,
    limitPrice,
    quantity,
    timeInForce,
    status,
    filled,
    filledValue,
    remaining,
    ...lastEntry,
  };
}

/** Both tickets of an execution, each with its side of the trade: the maker's first, as the contract goes. */
export function sidesOf({ maker, taker, price, quantity }: Execution): readonly (readonly [Hex, Trade])[] {
  return [maker.order, taker.order].map(({ ticketId, side }) => [
    ticketId,
    { side, price, quantity: BigInt(quantity) },
  ]);
}

/** The engine's terms of a market: whole ticks inside the price limits; revisions are a uint8; ids are used once. */
function termsOf(market: EpochMarket): BookTerms {
  const { tick, centre, priceCollar } = market;
  const { down, up } = priceLimits(market);
  const inTicks = (price: bigint): number => Number(floorDiv(price, tick));
  return {
    priceLimitDownTicks: -Number(floorDiv(-down, market.tick)),
    priceLimitUpTicks: Number(floorDiv(up, market.tick)),
    maxRevision: 255,
    ...(priceCollar > 0n && { collar: { widthTicks: inTicks(priceCollar), centreTicks: inTicks(centre) } }),
  };
}

function byTicketId(a: TicketView, b: TicketView): number {
  return a.ticketId < b.ticketId ? -1 : 1;
}

function restingOrder(side: Side, limitPrice: bigint, remaining: number) {
  return { side, limitPrice, remaining: BigInt(remaining) };
}

/** The entries, unless the engine turned the command down: then its error is thrown. */
function accepted(entries: readonly LogEntry[], tick: bigint): readonly LogEntry[] {
  const [first] = entries;
  if (first?.entry.kind !== "rejected") return entries;
  const { error } = first.entry;
  // Whoever signs prices knows no ticks.
  throw error instanceof BeyondCollar ? error.priced(tick) : error;
}
