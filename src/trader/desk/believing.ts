import type { OrderEntry, OrderReport } from "../../api/service.ts";
import { type EpochMarket, priceLimits } from "../../protocol/epoch.ts";
import type { Hex } from "../../protocol/keys.ts";

/** What is known of an order without the exchange. */
export type KnownOrder = {
  readonly entry: OrderEntry;
  /** Hash of the newest revision; undefined for an order that another wallet signed. */
  readonly hash: Hex | undefined;
  readonly slot: number;
  /** The market of its day, where that is known. */
  readonly market: EpochMarket | undefined;
};

/**
 * Why a report cannot be true, or nothing: it is about another order, or tells of fills that no chain would settle
 * (spec FIL-2). What is left is the exchange's word, which says nothing about money: that is on chain.
 */
export function reportFault({ entry, hash, slot, market }: KnownOrder, report: OrderReport): string | undefined {
  const { order } = entry;
  if (report.ticketId !== order.ticketId || report.clientId !== order.clientId) return "it names another order";
  if (report.side !== order.side || report.slot !== slot) return "it is about another side or market";
  // An older revision may be in force, if the newest one has not arrived; a newer one, if another wallet signed it.
  const isThisOne = report.revision === order.revision;
  if (hash !== undefined && isThisOne && !isThis(entry, hash, report)) return "it is about another order";
  const { filled, remaining, quantity, status } = report;
  if (filled + remaining > quantity) return "it tells of more than was ordered";
  if (status === "filled" && filled === 0) return "it calls filled what has not filled";
  return valueFault(market, hash !== undefined && order.revision === 0 && isThisOne ? entry : undefined, report);
}

function isThis({ order }: OrderEntry, hash: Hex, report: OrderReport): boolean {
  return (
    report.orderHash === hash &&
    report.limitPrice === order.limitPrice &&
    report.quantity === order.quantity &&
    report.timeInForce === order.timeInForce
  );
}

/** Fills are within the day's limits, and no worse than the limit of an order that was never replaced. */
function valueFault(
  market: EpochMarket | undefined,
  entry: OrderEntry | undefined,
  { filled, filledValue }: OrderReport,
): string | undefined {
  const count = BigInt(filled);
  if (market === undefined) return count === 0n && filledValue !== 0n ? "it prices what has not filled" : undefined;
  let { down, up } = priceLimits(market);
  if (entry?.order.side === "buy" && entry.order.limitPrice < up) up = entry.order.limitPrice;
  if (entry?.order.side === "sell" && entry.order.limitPrice > down) down = entry.order.limitPrice;
  if (filledValue < down * count || filledValue > up * count) return "it tells of fills beyond the order's price";
  return undefined;
}
