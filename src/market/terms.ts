import type { Side, TimeInForce } from "../protocol/order.ts";
import {
  BadDisplayQuantity,
  BadPrice,
  BadQuantity,
  BadTick,
  BeyondCollar,
  type MatchingError,
  OffLimits,
  OffTick,
} from "./errors.ts";

/** Largest quantity of an order: positions are 32 bits with sign. */
export const MAX_QUANTITY = 2 ** 31 - 1;

/** Parts in which an order may be shown, one after the other: what one command can set off stays bounded by it. */
export const MOST_PARTS = 100;

/** What one market demands of its orders during one epoch. */
export interface BookTerms {
  /** Lowest and highest price an order may name, in ticks, both allowed. */
  readonly priceLimitDownTicks: number;
  readonly priceLimitUpTicks: number;
  /** Highest revision a replacement may carry: 255 where orders are signed with a uint8. */
  readonly maxRevision: number;
  /** How far from the last trade an incoming order may name its price (MAT-23); undefined: as far as it likes. */
  readonly collar?: PriceCollar | undefined;
}

/** A price collar, in ticks. Before the first trade of the day it lies around the centre. */
export interface PriceCollar {
  readonly widthTicks: number;
  readonly centreTicks: number;
}

/** Terms that bind nothing, for recorded flows and tests. */
export const OPEN_TERMS: BookTerms = {
  priceLimitDownTicks: Number.MIN_SAFE_INTEGER,
  priceLimitUpTicks: Number.MAX_SAFE_INTEGER,
  maxRevision: Number.MAX_SAFE_INTEGER,
};

/** Price in ticks of a price in collateral units per contract. Throws BadTick, OffTick, or BadPrice beyond 2^53 ticks. */
export function toTicks(price: bigint, tick: bigint): number {
  if (tick <= 0n) throw new BadTick(tick);
  if (price % tick !== 0n) throw new OffTick(price, tick);
  const ticks = Number(price / tick);
  if (!Number.isSafeInteger(ticks)) throw new BadPrice(price);
  return ticks;
}

/** Price in collateral units per contract of a price in ticks; the inverse of `toTicks`. */
export function fromTicks(priceTicks: number, tick: bigint): bigint {
  return BigInt(priceTicks) * tick;
}

/** What is wrong with price and quantity under these terms (MAT-1, MAT-2), or undefined. */
export function termsFault(
  terms: BookTerms,
  { priceTicks, quantity }: { readonly priceTicks: number; readonly quantity: number },
): MatchingError | undefined {
  if (!Number.isInteger(quantity) || quantity < 1 || quantity > MAX_QUANTITY) return new BadQuantity(quantity);
  return priceFault(terms, priceTicks);
}

/** What is wrong with a price or stop price under these terms (MAT-1, MAT-2), or undefined. */
export function priceFault(terms: BookTerms, priceTicks: number): MatchingError | undefined {
  const { priceLimitDownTicks: down, priceLimitUpTicks: up } = terms;
  if (!Number.isSafeInteger(priceTicks)) return new BadPrice(priceTicks);
  if (priceTicks < down || priceTicks > up) return new OffLimits(priceTicks, down, up);
  return undefined;
}

/**
 * The worst price at which an order of `side` that comes in now may trade (MAT-23): a collar away from the last trade
 * of the day, or from the centre before the first; without a collar, or where they are nearer, the price limits.
 */
export function worstPriceTicks(terms: BookTerms, side: Side, lastTradeTicks: number | undefined): number {
  const { priceLimitDownTicks: down, priceLimitUpTicks: up, collar } = terms;
  if (collar === undefined) return side === "buy" ? up : down;
  const reference = lastTradeTicks ?? collar.centreTicks;
  return side === "buy" ? Math.min(up, reference + collar.widthTicks) : Math.max(down, reference - collar.widthTicks);
}

/** The limit of an order that comes in now, or the worst price that the collar allows it where that is nearer. */
export function withinCollar(
  { terms, lastTradeTicks }: { readonly terms: BookTerms; readonly lastTradeTicks: number | undefined },
  side: Side,
  limitTicks: number,
): number {
  if (terms.collar === undefined) return limitTicks;
  const worst = worstPriceTicks(terms, side, lastTradeTicks);
  return side === "buy" ? Math.min(limitTicks, worst) : Math.max(limitTicks, worst);
}

/** What is wrong with the limit of an order that comes in after a last trade (MAT-23), or undefined. */
export function collarFault(
  terms: BookTerms,
  order: { readonly side: Side; readonly priceTicks: number },
  lastTradeTicks: number | undefined,
): MatchingError | undefined {
  const { collar } = terms;
  if (collar === undefined) return undefined;
  const { side, priceTicks } = order;
  const worst = worstPriceTicks(terms, side, lastTradeTicks);
  if (side === "buy" ? priceTicks <= worst : priceTicks >= worst) return undefined;
  const reference = lastTradeTicks ?? collar.centreTicks;
  return new BeyondCollar({ side, limit: priceTicks, reference, collar: collar.widthTicks, worst });
}

/**
 * Whether an order is a market order: an immediate one at the price limit of the day names no price of its own, so
 * that the collar bounds what it trades at and does not refuse it (MAT-23).
 */
export function isAtMarket(
  terms: BookTerms,
  order: { readonly side: Side; readonly priceTicks: number; readonly timeInForce: TimeInForce },
): boolean {
  const { priceLimitDownTicks, priceLimitUpTicks } = terms;
  const limitOfDay = order.side === "buy" ? priceLimitUpTicks : priceLimitDownTicks;
  return order.timeInForce !== "GTC" && order.priceTicks === limitOfDay;
}

/** What is wrong with the shown part of an order (MAT-16), or undefined. */
export function displayFault(displayQuantity: number, quantity: number): MatchingError | undefined {
  const fits =
    Number.isInteger(displayQuantity) && displayQuantity <= quantity && displayQuantity * MOST_PARTS >= quantity;
  return fits ? undefined : new BadDisplayQuantity(displayQuantity, quantity);
}

/** Throws BadQuantity, BadPrice or OffLimits unless the order suits the terms. The engine makes the same check. */
export function validateOrder(
  terms: BookTerms,
  order: { readonly priceTicks: number; readonly quantity: number },
): void {
  const fault = termsFault(terms, order);
  if (fault !== undefined) throw fault;
}
