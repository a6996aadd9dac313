import type { RestingQuote, SignedOrder } from "../chain/clearingHouse.ts";
import type { EpochMarket } from "../protocol/epoch.ts";
import type { Side } from "../protocol/order.ts";
import type { LiveOrder, TicketView } from "./ticketView.ts";

/** An order that rested through the settlement window, with what it had left at the close. */
export type RestedOrder = {
  readonly ticket: TicketView;
  readonly signed: SignedOrder;
  readonly remaining: number;
};

/** Orders in the book at the close that kept their place, unbroken, from `windowStart` to closing time (unix seconds). */
export function restedOrders(
  orders: Iterable<LiveOrder>,
  windowStart: bigint,
  closingTime: bigint,
): readonly RestedOrder[] {
  return [...orders]
    .filter(({ restingSince, signed }) => restingSince <= windowStart && signed.order.expiry >= closingTime)
    .map(({ ticket, signed, remaining }) => ({ ticket, signed, remaining }));
}

/**
 * What the operator attests at the close (spec SET-4): on each side of each market the best rested orders, as many as
 * reach the minimum volume; nothing for a side that does not. The contract wants tickets opened before the first batch
 * of the settlement window (0 if there was none), and each side sorted by ticket and client id.
 */
export function restingQuotes(
  rested: readonly RestedOrder[],
  markets: readonly EpochMarket[],
  firstBatchInWindow: number,
): readonly RestingQuote[] {
  const early = rested.filter(
    ({ ticket: { openedInBatch } }) =>
      openedInBatch !== undefined && (firstBatchInWindow === 0 || openedInBatch < firstBatchInWindow),
  );
  return markets.flatMap((market, slot) => {
    const ofSide = (side: Side): readonly SignedOrder[] =>
      attested(
        early.filter(({ ticket, signed }) => ticket.slot === slot && signed.order.side === side),
        side,
        market.minimumVolume,
      );
    const bids = ofSide("buy");
    const asks = ofSide("sell");
    return bids.length + asks.length === 0 ? [] : [{ slot, bids, asks }];
  });
}

function attested(orders: readonly RestedOrder[], side: Side, minimumVolume: number): readonly SignedOrder[] {
  const sign = side === "buy" ? -1n : 1n;
  const bestFirst = orders.toSorted((a, b) =>
    compare(sign * a.signed.order.limitPrice, sign * b.signed.order.limitPrice),
  );
  let volume = 0;
  const chosen: SignedOrder[] = [];
  for (const { signed, remaining } of bestFirst) {
    if (volume >= minimumVolume) break;
    volume += remaining;
    chosen.push(signed);
  }
  if (volume < minimumVolume) return [];
  return chosen.sort(
    ({ order: a }, { order: b }) => compare(BigInt(a.ticketId), BigInt(b.ticketId)) || compare(a.clientId, b.clientId),
  );
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
