import type { BookTerms } from "../../src/market/terms.ts";
import type { CancelOrder, NewOrder, ReplaceOrder, Side } from "../../src/market/types.ts";

/** Terms like those of a live market: narrow limits, revisions of one byte. */
export const STRICT_TERMS: BookTerms = {
  priceLimitDownTicks: -10,
  priceLimitUpTicks: 10,
  maxRevision: 255,
};

/** A new GTC order whose owner is its own, unless the extras say otherwise. */
export function limit(
  orderId: string,
  side: Side,
  priceTicks: number,
  quantity: number,
  extras: Partial<NewOrder> = {},
): NewOrder {
  return { kind: "new", orderId, owner: orderId, side, priceTicks, quantity, timeInForce: "GTC", ...extras };
}

export function cancelOf(orderId: string): CancelOrder {
  return { kind: "cancel", orderId };
}

export function replacement(
  orderId: string,
  side: Side,
  priceTicks: number,
  quantity: number,
  revision = 1,
): ReplaceOrder {
  return { kind: "replace", orderId, side, priceTicks, quantity, revision };
}
