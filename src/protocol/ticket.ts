import { type EpochMarket, equityInBand } from "./epoch.ts";
import { HedgerowError } from "./errors.ts";
import { assertSigned, OutOfRange, POSITION_BITS } from "./field.ts";
import type { Side } from "./order.ts";

/** Funds of a ticket: signed base units and signed contracts. */
export type TicketBalance = { readonly cash: bigint; readonly position: bigint };

/** A trade of one side: contracts and price in base units per contract. */
export type Trade = { readonly side: Side; readonly price: bigint; readonly quantity: bigint };

/** A resting order's claim on a ticket. */
export type RestingOrder = { readonly side: Side; readonly limitPrice: bigint; readonly remaining: bigint };

/** Most tickets that one transition opens (spec TKT-9). */
export const MOST_TICKETS = 8;

/** After a trade the ticket could not pay at the worst price of its band. */
export class TicketBelowMargin extends HedgerowError {
  constructor(equity: bigint, band: "initialMargin" | "maintenanceMargin") {
    super(
      "TicketBelowMargin",
      `ticket equity at the ${band} band would be ${equity}, but the rule is 0 <= equity: trade less or fund more`,
      { equity, band },
    );
  }
}

/** A reduce-only ticket would grow or cross zero. */
export class NotReducing extends HedgerowError {
  constructor(position: bigint, newPosition: bigint) {
    super(
      "NotReducing",
      `position would go from ${position} to ${newPosition}, but this ticket may only reduce: trade toward zero`,
      { position, newPosition },
    );
  }
}

/** A change that brings a position nearer to zero without crossing it (spec TKT-5). */
export function reduces(position: bigint, newPosition: bigint): boolean {
  if (newPosition === 0n) return true;
  return newPosition > 0n === position > 0n && magnitude(newPosition) < magnitude(position);
}

/**
 * The ticket after a fill, with the fee it paid: Solidity's arithmetic (spec FIL-8, FIL-9).
 * Throws TicketBelowMargin, NotReducing, or OutOfRange when |position| reaches 2^31.
 */
export function tradeOn(
  market: EpochMarket,
  ticket: TicketBalance,
  trade: Trade,
  reduceOnly: boolean,
): TicketBalance & { readonly fee: bigint } {
  const traded = trade.side === "buy" ? trade.quantity : -trade.quantity;
  const position = ticket.position + traded;
  assertSigned("position", position, POSITION_BITS);
  const reducing = reduces(ticket.position, position);
  if (reduceOnly && !reducing) throw new NotReducing(ticket.position, position);
  const cash = ticket.cash - traded * trade.price;
  const band = reducing ? "maintenanceMargin" : "initialMargin";
  const equity = equityInBand(cash, position, market.centre, market[band]);
  const fullFee = market.fillFee * trade.quantity;
  const fee = reducing && equity >= 0n && fullFee > equity ? equity : fullFee;
  if (equity - fee < 0n) throw new TicketBelowMargin(equity - fee, band);
  if (!fitsTicketCash(cash - fee)) throw new OutOfRange("ticket cash", cash - fee, "|ticket cash| < 2^119");
  return { cash: cash - fee, position, fee };
}

/**
 * Whether a ticket can honour a new order besides its resting ones: all bids filled at their prices with fees, and
 * separately all asks (spec ORD-6). Two-sided quoting costs one side. Throws TicketBelowMargin, NotReducing, OutOfRange.
 */
export function assertAcceptable(
  market: EpochMarket,
  ticket: TicketBalance,
  resting: readonly RestingOrder[],
  order: RestingOrder,
  reduceOnly: boolean,
): void {
  const sameSide = [...resting.filter((other) => other.side === order.side), order];
  const quantity = sameSide.reduce((sum, other) => sum + other.remaining, 0n);
  const traded = order.side === "buy" ? quantity : -quantity;
  const position = ticket.position + traded;
  assertSigned("position", position, POSITION_BITS);
  const reducing = reduces(ticket.position, position);
  if (reduceOnly && !reducing) throw new NotReducing(ticket.position, position);
  const value = sameSide.reduce((sum, other) => sum + other.remaining * other.limitPrice, 0n);
  const cash = ticket.cash - (order.side === "buy" ? value : -value);
  const band = reducing ? "maintenanceMargin" : "initialMargin";
  const fees = market.fillFee * quantity;
  // A fill that reduces pays no more fee than there is above maintenance, so fees cannot make it fail.
  const equity = equityInBand(cash, position, market.centre, market[band]) - (reducing ? 0n : fees);
  if (equity < 0n) throw new TicketBelowMargin(equity, band);
}

/**
 * The cash a ticket needs so that an order can be accepted on it: initial margin at the limit price, fees included.
 * `carried` contracts are moved into the ticket from the account (spec TKT-2).
 */
export function cashFor(market: EpochMarket, trade: Trade, carried = 0n): bigint {
  const traded = trade.side === "buy" ? trade.quantity : -trade.quantity;
  const position = carried + traded;
  const needed =
    -equityInBand(-traded * trade.price, position, market.centre, market.initialMargin) +
    market.fillFee * trade.quantity;
  const opening = -equityInBand(0n, carried, market.centre, market.initialMargin);
  return needed > opening ? needed : opening;
}

function fitsTicketCash(cash: bigint): boolean {
  return cash >= -(1n << 119n) && cash < 1n << 119n;
}

function magnitude(x: bigint): bigint {
  return x < 0n ? -x : x;
}
