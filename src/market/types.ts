import type { SelfTradeMode, Side, TimeInForce } from "../protocol/order.ts";
import type { MatchingError } from "./errors.ts";

export type { SelfTradeMode, Side, TimeInForce };

/**
 * What a market does with orders. pre-open: they rest and nothing trades, until the call auction. open: continuous
 * trading; closing: the same, in the settlement window. halted and closed: only cancels.
 */
export type Session = "pre-open" | "open" | "halted" | "closing" | "closed";

/** Identity of an order, opaque to the engine: see `orderIdOf`. */
export type OrderId = string;

/** A new order. `quantity` in contracts, 1 to 2^31 - 1; `owner` is the ticket, opaque here. */
export interface NewOrder {
  readonly kind: "new";
  readonly orderId: OrderId;
  readonly owner: string;
  readonly side: Side;
  readonly priceTicks: number;
  readonly quantity: number;
  readonly timeInForce: TimeInForce;
  readonly postOnly?: boolean;
  /** "cancel-incoming" if left out. */
  readonly selfTrade?: SelfTradeMode;
  /** Contracts shown at a time, from a hundredth of `quantity` to all of it; all if left out (MAT-16). */
  readonly displayQuantity?: number;
  /** The order waits outside the book until a trade reaches this price (MAT-17). */
  readonly stopPriceTicks?: number;
}

/** Takes what is left of an order out, whether it rests or waits for its stop price. */
export interface CancelOrder {
  readonly kind: "cancel";
  readonly orderId: OrderId;
}

/** Puts new terms in force for a live order. `quantity` is its new total, what has gone from it already included. */
export interface ReplaceOrder {
  readonly kind: "replace";
  readonly orderId: OrderId;
  readonly side: Side;
  readonly priceTicks: number;
  readonly quantity: number;
  readonly revision: number;
}

/** Puts the market into another session (MAT-19). */
export interface SetSession {
  readonly kind: "session";
  readonly session: Session;
}

/** Holds the call auction (MAT-21). `referenceTicks` decides between prices that are otherwise equally good. */
export interface Uncross {
  readonly kind: "uncross";
  readonly referenceTicks: number;
}

export type Command = NewOrder | CancelOrder | ReplaceOrder | SetSession | Uncross;

/** Place in the log: the command's number and the outcome's number within it, from 0 without gaps. */
interface Numbered {
  readonly seq: number;
  readonly n: number;
}

/**
 * The order has passed every check and is live from here on. An order with a stop price waits, out of sight, and has
 * no place in the book before "triggered".
 */
export interface Accepted extends Numbered {
  readonly kind: "accepted";
  readonly orderId: OrderId;
  readonly side: Side;
  readonly priceTicks: number;
  readonly prioritySeq: number;
  readonly remaining: number;
  readonly stopPriceTicks: number | undefined;
}

/** A trade reached the stop price: the order goes on like one that came in now. */
export interface Triggered extends Numbered {
  readonly kind: "triggered";
  readonly orderId: OrderId;
  readonly side: Side;
  readonly priceTicks: number;
  readonly prioritySeq: number;
  readonly remaining: number;
}

/**
 * A trade: at the maker's price, or at the one price of the auction, where the maker is the order of older priority.
 * Priority numbers say since which command each order holds its place.
 */
export interface Executed extends Numbered {
  readonly kind: "executed";
  readonly maker: OrderId;
  readonly taker: OrderId;
  readonly takerSide: Side;
  readonly priceTicks: number;
  readonly quantity: number;
  readonly auction: boolean;
  readonly makerRevision: number;
  readonly takerRevision: number;
  readonly makerPrioritySeq: number;
  readonly takerPrioritySeq: number;
  readonly makerRemaining: number;
  readonly takerRemaining: number;
}

/** The shown part of an order has traded, and `displayed` of the `remaining` contracts are shown in its place. */
export interface Reloaded extends Numbered {
  readonly kind: "reloaded";
  readonly orderId: OrderId;
  readonly side: Side;
  readonly priceTicks: number;
  readonly prioritySeq: number;
  readonly remaining: number;
  readonly displayed: number;
}

/**
 * `remaining` contracts were taken out, at the trader's word or by a rule; `left` of them stay, which is none except
 * where "decrement" took a part. would-take: a post-only order whose stop price was reached would have traded.
 * beyond-collar: an order whose stop price was reached has traded as far as the collar lets it (MAT-23).
 */
export interface Cancelled extends Numbered {
  readonly kind: "cancelled";
  readonly orderId: OrderId;
  readonly side: Side;
  readonly priceTicks: number;
  readonly remaining: number;
  readonly left: number;
  readonly reason: "requested" | "self-trade" | "replaced-to-filled" | "would-take" | "beyond-collar";
}

/** New terms are in force. Priority was kept if `prioritySeq` is older than `seq`. */
export interface Replaced extends Numbered {
  readonly kind: "replaced";
  readonly orderId: OrderId;
  readonly side: Side;
  readonly revision: number;
  readonly oldPriceTicks: number;
  readonly priceTicks: number;
  readonly quantity: number;
  readonly prioritySeq: number;
  readonly remaining: number;
}

/** The command changed nothing; `error` says why. `orderId` is empty where the command names no order. */
export interface Rejected extends Numbered {
  readonly kind: "rejected";
  readonly orderId: OrderId;
  readonly error: MatchingError;
}

/** What an IOC order did not trade; or all of a FOK order that cannot be filled when its stop price is reached. */
export interface Expired extends Numbered {
  readonly kind: "expired";
  readonly orderId: OrderId;
  readonly side: Side;
  readonly priceTicks: number;
  readonly remaining: number;
  readonly reason: "immediate" | "not-fillable";
}

/** The market is in this session from here on. */
export interface SessionChanged extends Numbered {
  readonly kind: "session";
  readonly session: Session;
}

/** The auction was held: `quantity` contracts trade at `priceTicks`; none, and no price, if no orders cross. */
export interface Uncrossed extends Numbered {
  readonly kind: "uncrossed";
  readonly priceTicks: number | undefined;
  readonly quantity: number;
}

/** One entry of the log. */
export type Entry =
  Accepted | Triggered | Executed | Reloaded | Cancelled | Replaced | Rejected | Expired | SessionChanged | Uncrossed;

/** The engine's name for the order of a ticket (bytes32 hex) with a client id (uint64, chosen by the trader). */
export function orderIdOf(ticket: string, clientId: bigint): OrderId {
  return `${ticket}:${clientId}`;
}
