import type { SignedOrder } from "../chain/clearingHouse.ts";
import type { OrderId } from "../market/types.ts";
import type { EpochMarket } from "../protocol/epoch.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import type { Instructions, Side } from "../protocol/order.ts";
import {
  assertAcceptable,
  NotReducing,
  type RestingOrder,
  type TicketBalance,
  type Trade,
  tradeOn,
} from "../protocol/ticket.ts";
import type { OrderStatus } from "../api/service.ts";

/**
 * pending: its opening is verified and queued, not mined. open: mined. inherited: mined before this operator started,
 * which does not know what its orders have filled: it can only be closed.
 */
export type TicketStatus = "pending" | "open" | "inherited";

/**
 * Contracts resting on one side of a ticket, the sum of price * contracts in base units, and the contracts of orders
 * that may only reduce.
 */
export type SideTotal = { quantity: bigint; value: bigint; reduceOnly: bigint };

/** A ticket as the operator sees it. */
export type TicketView = {
  readonly ticketId: Hex;
  readonly sessionKey: Hex;
  readonly slot: number;
  readonly reduceOnly: boolean;
  status: TicketStatus;
  /** Number of the batch that opened it; undefined while it is pending. */
  openedInBatch: number | undefined;
  /** Its release is queued: it trades no more. */
  closing: boolean;
  /** What the chain shows, or will once the opening is mined. */
  settled: TicketBalance;
  /** With the executions that are not settled yet. */
  balance: TicketBalance;
  /** When all its orders are cancelled unless the trader gives a sign of life, unix seconds (spec ORD-18). */
  cancelAt: bigint | undefined;
  /** The highest nonce that a message of its session key has used. */
  nonce: bigint;
  readonly orders: Map<OrderId, LiveOrder>;
  readonly resting: Readonly<Record<Side, SideTotal>>;
};

/** An order that is live: the revision in force, and since when it has held its place, in unix seconds. */
export type LiveOrder = {
  readonly orderId: OrderId;
  readonly ticket: TicketView;
  readonly instructions: Instructions | undefined;
  /** Number of the journal's record that accepted it. */
  readonly acceptedIn: number;
  signed: SignedOrder;
  hash: Hex;
  status: OrderStatus;
  remaining: number;
  /** Contracts traded, and the sum of price * contracts over them. */
  filled: number;
  filledValue: bigint;
  restingSince: bigint;
  /** The newest entry of the log about it. */
  lastEntry: { readonly seq: number; readonly n: number; readonly time: bigint };
};

/** No ticket of the present epoch has this identity. */
export class UnknownTicket extends HedgerowError {
  constructor(ticketId: Hex) {
    super("UnknownTicket", `ticket ${ticketId} is not open in this epoch: open one with a proof first`, { ticketId });
  }
}

/** The ticket takes no orders. */
export class TicketNotTradable extends HedgerowError {
  constructor(ticketId: Hex, status: TicketStatus | "closing") {
    super("TicketNotTradable", `ticket ${ticketId} is ${status} and takes no orders: use another ticket`, {
      ticketId,
      status,
    });
  }
}

/** A fresh view of a ticket. */
export function ticketView(
  opening: Pick<TicketView, "ticketId" | "sessionKey" | "slot" | "reduceOnly" | "status" | "openedInBatch"> &
    TicketBalance,
): TicketView {
  const { cash, position, ...fixed } = opening;
  return {
    ...fixed,
    closing: false,
    settled: { cash, position },
    balance: { cash, position },
    cancelAt: undefined,
    nonce: 0n,
    orders: new Map(),
    resting: {
      buy: { quantity: 0n, value: 0n, reduceOnly: 0n },
      sell: { quantity: 0n, value: 0n, reduceOnly: 0n },
    },
  };
}

/** A ticket as plain data, without its orders. */
export type TicketState = Omit<TicketView, "orders" | "resting">;

/** The present state of a ticket: it does not change with the ticket. */
export function ticketState(ticket: TicketView): TicketState {
  const { ticketId, sessionKey, slot, reduceOnly, status, openedInBatch, closing } = ticket;
  const { settled, balance, cancelAt, nonce } = ticket;
  return {
    ticketId,
    sessionKey,
    slot,
    reduceOnly,
    status,
    openedInBatch,
    closing,
    settled,
    balance,
    cancelAt,
    nonce,
  };
}

/** A balance of the ticket after a trade and its fee. Throws TicketBelowMargin, NotReducing or OutOfRange (spec FIL-8). */
export function afterTrade(
  market: EpochMarket,
  { reduceOnly }: TicketView,
  before: TicketBalance,
  trade: Trade,
): TicketBalance {
  const { cash, position } = tradeOn(market, before, trade, reduceOnly);
  return { cash, position };
}

/** Counts `quantity` contracts of an order in (or out, if negative) of what rests on its ticket. */
export function countResting(order: LiveOrder, quantity: number): void {
  const { side, limitPrice } = order.signed.order;
  const total = order.ticket.resting[side];
  total.quantity += BigInt(quantity);
  total.value += BigInt(quantity) * limitPrice;
  if (order.instructions?.reduceOnly === true) total.reduceOnly += BigInt(quantity);
}

/**
 * Throws TicketBelowMargin, NotReducing or OutOfRange unless the ticket can honour `added` besides what rests on that
 * side (spec ORD-6). `without` is left out of the count: the order that `added` replaces.
 */
export function assertCovered(
  market: EpochMarket,
  ticket: TicketView,
  added: RestingOrder,
  { without, reduceOnly = false }: { readonly without?: LiveOrder; readonly reduceOnly?: boolean } = {},
): void {
  const total = ticket.resting[added.side];
  const left = without === undefined ? 0n : BigInt(without.remaining);
  const quantity = total.quantity - left;
  const value = total.value - left * (without?.signed.order.limitPrice ?? 0n);
  assertAcceptable(market, ticket.balance, summary(added.side, quantity, value), added, ticket.reduceOnly);
  if (reduceOnly || total.reduceOnly > 0n) assertReducing(ticket, added.side, quantity + added.remaining);
}

/**
 * Throws NotReducing unless all contracts of a side together bring the position nearer to zero and not beyond it: then
 * no order of that side can build a position, in whatever order they trade (spec ORD-17).
 */
function assertReducing({ balance: { position } }: TicketView, side: Side, quantity: bigint): void {
  const after = side === "buy" ? position + quantity : position - quantity;
  const reducing = side === "buy" ? position < 0n && after <= 0n : position > 0n && after >= 0n;
  if (!reducing) throw new NotReducing(position, after);
}

/** Whether a ticket can still honour what rests on both of its sides. */
export function isCovered(market: EpochMarket, ticket: TicketView): boolean {
  return (["buy", "sell"] as const).every((side) => {
    const { quantity, value } = ticket.resting[side];
    return isAcceptable(market, ticket, summary(side, quantity, value));
  });
}

/** Whether a ticket can honour these orders of one side (spec ORD-6). */
export function isAcceptable(market: EpochMarket, ticket: TicketView, orders: readonly RestingOrder[]): boolean {
  const [last, ...others] = orders;
  if (last === undefined) return true;
  try {
    assertAcceptable(market, ticket.balance, others, last, ticket.reduceOnly);
    return true;
  } catch (error) {
    if (error instanceof HedgerowError) return false;
    throw error;
  }
}

/** Two made-up orders with the given sums: the rule needs the sums only, and they cost the same for any number. */
function summary(side: Side, quantity: bigint, value: bigint): readonly RestingOrder[] {
  if (quantity === 0n) return [];
  return [
    { side, limitPrice: value, remaining: 1n },
    { side, limitPrice: 0n, remaining: quantity - 1n },
  ];
}
