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
}

/** Takes what rests of an order out of the book. */
export interface CancelOrder {
  readonly kind: "cancel";
  readonly orderId: OrderId;
}

/** Puts new terms in force for a resting order. `quantity` is its new total, what has traded already included. */
export interface ReplaceOrder {
  readonly kind: "replace";
  readonly orderId: OrderId;
  readonly side: Side;
  readonly priceTicks: number;
  readonly quantity: number;
  readonly revision: number;
}

export type Command = NewOrder | CancelOrder | ReplaceOrder;

/** Place in the log: the command's number and the outcome's number within it, from 0 without gaps. */
interface Numbered {
  readonly seq: number;
  readonly n: number;
}

/** The order has passed every check and is live from here on. */
export interface Accepted extends Numbered {
  readonly kind: "accepted";
  readonly orderId: OrderId;
  readonly side: Side;
  readonly priceTicks: number;
  readonly prioritySeq: number;
  readonly remaining: number;
}

/** A trade, at the maker's price. Priority numbers say since which command each order holds its place. */
export interface Executed extends Numbered {
  readonly kind: "executed";
  readonly maker: OrderId;
  readonly taker: OrderId;
  readonly takerSide: Side;
  readonly priceTicks: number;
  readonly quantity: number;
  readonly makerRevision: number;
  readonly takerRevision: number;
  readonly makerPrioritySeq: number;
  readonly takerPrioritySeq: number;
  readonly makerRemaining: number;
  readonly takerRemaining: number;
}

/** `remaining` contracts were taken out, at the trader's word or by a rule. */
export interface Cancelled extends Numbered {
  readonly kind: "cancelled";
  readonly orderId: OrderId;
  readonly remaining: number;
  readonly reason: "requested" | "self-trade" | "replaced-to-filled";
}

/** New terms are in force. Priority was kept if `prioritySeq` is older than `seq`. */
export interface Replaced extends Numbered {
  readonly kind: "replaced";
  readonly orderId: OrderId;
  readonly revision: number;
  readonly priceTicks: number;
  readonly quantity: number;
  readonly prioritySeq: number;
  readonly remaining: number;
}

/** The command changed nothing; `error` says why. */
export interface Rejected extends Numbered {
  readonly kind: "rejected";
  readonly orderId: OrderId;
  readonly error: MatchingError;
}

/** What an IOC order did not trade. */
export interface Expired extends Numbered {
  readonly kind: "expired";
  readonly orderId: OrderId;
  readonly remaining: number;
}

/** One entry of the log. */
export type Entry = Accepted | Executed | Cancelled | Replaced | Rejected | Expired;

/** The engine's name for the order of a ticket (bytes32 hex) with a client id (uint64, chosen by the trader). */
export function orderIdOf(ticket: string, clientId: bigint): OrderId {
  return `${ticket}:${clientId}`;
}
