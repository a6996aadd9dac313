import type { RestingQuote, SignedOrder } from "../chain/clearingHouse.ts";
import type { EpochMarket } from "../protocol/epoch.ts";
import type { Side } from "../protocol/order.ts";
import { isAcceptable, type LiveOrder, type TicketView } from "./ticketView.ts";
import type { TradingDay } from "./tradingDay.ts";

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
 * Orders that one side of one market may attest: each costs the close about 18,600 gas, and sixteen full sides have to
 * fit one transaction.
 */
export const MOST_QUOTES = 40;

/**
 * What the operator attests at the close (spec SET-4, SET-12): on each side of each market rested orders down to the
 * price at which the minimum volume rested, the largest first; nothing for a side that does not reach it with
 * MOST_QUOTES of them. The contract wants tickets that are still open and can bear their quotes, opened before the first
 * batch of the settlement window (0 if there was none), and each side sorted by ticket and client id.
 */
export function restingQuotes(
  rested: readonly RestedOrder[],
  { markets, tickets }: Pick<TradingDay, "markets" | "tickets">,
  firstBatchInWindow: number,
): readonly RestingQuote[] {
  const executable = rested.filter(({ ticket }) => {
    const { ticketId, openedInBatch } = ticket;
    const early = openedInBatch !== undefined && (firstBatchInWindow === 0 || openedInBatch < firstBatchInWindow);
    return early && tickets.get(ticketId) === ticket;
  });
  return markets.flatMap((market, slot) => {
    const ofSide = (side: Side): readonly SignedOrder[] => {
      const orders = executable.filter(({ ticket, signed }) => ticket.slot === slot && signed.order.side === side);
      const borne = [...Map.groupBy(orders, ({ ticket }) => ticket)].filter(([ticket, own]) =>
        canBear(market, ticket, own),
      );
      return attested(
        borne.flatMap(([, own]) => own),
        side,
        market.minimumVolume,
      );
    };
    const bids = ofSide("buy");
    const asks = ofSide("sell");
    return bids.length + asks.length === 0 ? [] : [{ slot, bids, asks }];
  });
}

function attested(orders: readonly RestedOrder[], side: Side, minimumVolume: number): readonly SignedOrder[] {
  const sign = side === "buy" ? -1n : 1n;
  const worse = (a: RestedOrder, b: RestedOrder): number =>
    compare(sign * a.signed.order.limitPrice, sign * b.signed.order.limitPrice);
  const bestFirst = orders.toSorted(worse);
  const last = bestFirst[countUpTo(bestFirst, minimumVolume) - 1];
  if (last === undefined) return [];
  const largestFirst = bestFirst
    .filter((order) => worse(order, last) <= 0)
    .sort((a, b) => b.remaining - a.remaining || worse(a, b));
  const count = countUpTo(largestFirst, minimumVolume);
  if (count > MOST_QUOTES) return [];
  return largestFirst
    .slice(0, count)
    .map(({ signed }) => signed)
    .sort(
      ({ order: a }, { order: b }) =>
        compare(BigInt(a.ticketId), BigInt(b.ticketId)) || compare(a.clientId, b.clientId),
    );
}

/** How many orders from the first on have `volume` contracts left together; 0 if all of them have less. */
function countUpTo(orders: readonly RestedOrder[], volume: number): number {
  let sum = 0;
  return orders.findIndex(({ remaining }) => (sum += remaining) >= volume) + 1;
}

/** Whether a ticket could still trade all of these orders of its own, which are of one side. */
function canBear(market: EpochMarket, ticket: TicketView, own: readonly RestedOrder[]): boolean {
  const orders = own.map(({ signed: { order }, remaining }) => ({ ...order, remaining: BigInt(remaining) }));
  return isAcceptable(market, ticket, orders);
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
