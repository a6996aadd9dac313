import { BadPrice, BadQuantity, BadTick, type MatchingError, OffLimits, OffTick } from "./errors.ts";

/** Largest quantity of an order: positions are 32 bits with sign. */
export const MAX_QUANTITY = 2 ** 31 - 1;

/** What one market demands of its orders during one epoch. */
export interface MarketTerms {
  /** Lowest and highest price an order may name, in ticks, both allowed. */
  readonly priceLimitDownTicks: number;
  readonly priceLimitUpTicks: number;
  /** Highest revision a replacement may carry: 255 where orders are signed with a uint8. */
  readonly maxRevision: number;
  /** Whether an id may be used again once its order is dead. Only recorded flows need that; see MAT-9. */
  readonly reusableIds: boolean;
}

/** Terms that bind nothing, for recorded flows and tests. */
export const OPEN_TERMS: MarketTerms = {
  priceLimitDownTicks: Number.MIN_SAFE_INTEGER,
  priceLimitUpTicks: Number.MAX_SAFE_INTEGER,
  maxRevision: Number.MAX_SAFE_INTEGER,
  reusableIds: true,
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
  terms: MarketTerms,
  order: { readonly priceTicks: number; readonly quantity: number },
): MatchingError | undefined {
  const { priceTicks, quantity } = order;
  if (!Number.isInteger(quantity) || quantity < 1 || quantity > MAX_QUANTITY) return new BadQuantity(quantity);
  if (!Number.isSafeInteger(priceTicks)) return new BadPrice(priceTicks);
  const { priceLimitDownTicks: down, priceLimitUpTicks: up } = terms;
  if (priceTicks < down || priceTicks > up) return new OffLimits(priceTicks, down, up);
  return undefined;
}

/** Throws BadQuantity, BadPrice or OffLimits unless the order suits the terms. The engine makes the same check. */
export function validateOrder(
  terms: MarketTerms,
  order: { readonly priceTicks: number; readonly quantity: number },
): void {
  const fault = termsFault(terms, order);
  if (fault !== undefined) throw fault;
}
