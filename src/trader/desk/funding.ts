import type { EpochMarket } from "../../protocol/epoch.ts";
import { cashFor } from "../../protocol/ticket.ts";
import type { WorkedOutOrder } from "./orderTerms.ts";

/**
 * The smallest of 1, 2 or 5 times a power of ten that is no less than an amount: tickets in such amounts look alike
 * (spec PRI-6). Where that is more than there is, the amount itself.
 */
export function roundedUp(amount: bigint, most: bigint): bigint {
  if (amount <= 0n) return amount;
  for (let power = 1n; ; power *= 10n) {
    for (const digit of [1n, 2n, 5n]) {
      const round = digit * power;
      if (round >= amount) return round <= most ? round : amount;
    }
  }
}

/**
 * The least cash of a flat ticket on which all these orders can wait at once: all bids filled, and separately all asks
 * (spec ORD-6).
 */
export function cashForAll(market: EpochMarket, orders: readonly WorkedOutOrder[]): bigint {
  const sides = { buy: 0n, sell: 0n };
  for (const { terms } of orders) {
    const { side, limitPrice: price } = terms;
    sides[side] += cashFor(market, { side, price, quantity: BigInt(terms.quantity) });
  }
  return sides.buy > sides.sell ? sides.buy : sides.sell;
}

/**
 * How many of the account's contracts an order that may only reduce takes with it: as many as it can reduce.
 */
export function carriedFor({ terms }: WorkedOutOrder, position: bigint): bigint {
  const quantity = BigInt(terms.quantity);
  if (terms.side === "sell") return position <= 0n ? 0n : position < quantity ? position : quantity;
  return position >= 0n ? 0n : -position < quantity ? position : -quantity;
}

/** Deals things round robin to at most `most` piles, none of them empty. */
export function dealt<T>(things: readonly T[], most: number): readonly (readonly T[])[] {
  const piles = Array.from({ length: Math.min(most, things.length) }, (): T[] => []);
  things.forEach((thing, i) => piles[i % piles.length]?.push(thing));
  return piles;
}
