import { equityInBand } from "../protocol/epoch.ts";
import type { Hex } from "../protocol/keys.ts";
import type { Order, Side } from "../protocol/order.ts";
import { dailySettlementPrice, roundToTick } from "../protocol/settlementPrice.ts";
import { reduces } from "../protocol/ticket.ts";
import type { Call } from "./call.ts";
import { must } from "./errors.ts";
import { assertSigned, type CallOrder, MOST_QUANTITY, readOrder } from "./orders.ts";
import type { House, Market, Ticket } from "./state.ts";

/** Orders that rested through the settlement window in one market, as they stand in calldata. */
export type CallQuote = {
  readonly slot: number;
  readonly bids: readonly CallOrder[];
  readonly asks: readonly CallOrder[];
};

/** Attested prices by slot; a side without attestation is open. */
export type Attested = ReadonlyMap<number, { readonly bid?: bigint | undefined; readonly ask?: bigint | undefined }>;

/** A settlement price with the evidence it rests on, as SettlementPriced tells it. */
export type PricedDay = {
  readonly tier: 1 | 2 | 3;
  readonly bid: bigint;
  readonly ask: bigint;
  readonly price: bigint;
};

/** Days of one contract whose mean settles it at its end (spec SET-9). */
const FINAL_DAYS = 3;
/** Half the circuit's range of prices. */
const PRICE_RANGE = 1n << 79n;
const OPEN_BID = -(1n << 87n);
const OPEN_ASK = (1n << 87n) - 1n;

/** The prices that the operator attested, each order of them checked (spec SET-4, SET-8). Throws BrokenRule. */
export function attestedPrices(call: Call, quotes: readonly CallQuote[]): Attested {
  let last = -1;
  const prices = new Map<number, { bid?: bigint | undefined; ask?: bigint | undefined }>();
  for (const { slot, bids, asks } of quotes) {
    must(slot > last, "SET-8", `quotes of slot ${slot} come after those of slot ${last}`);
    last = slot;
    const market = call.house.market(slot);
    prices.set(slot, {
      bid: worstOf(call.house, market, slot, "buy", bids),
      ask: worstOf(call.house, market, slot, "sell", asks),
    });
  }
  return prices;
}

/** The worst price of one side's attested orders; undefined where they are too few. */
function worstOf(
  house: House,
  market: Market,
  slot: number,
  side: Side,
  calldata: readonly CallOrder[],
): bigint | undefined {
  let volume = 0n;
  let worst: bigint | undefined;
  let previous: Order | undefined;
  let after = { cash: 0n, position: 0n };
  for (const each of calldata) {
    const order = readOrder(each);
    must(previous === undefined || isBefore(previous, order), "SET-8", `quote ${order.clientId} is out of order`);
    const ticket = house.tickets.get(order.ticketId);
    must(
      ticket !== undefined && couldRest(house, market, ticket, order, slot, side),
      "SET-8",
      `quote ${order.clientId} of ticket ${order.ticketId.slice(0, 14)} could not have rested`,
    );
    assertSigned(house, ticket.sessionKey, order, each);
    const remaining = remainingOf(ticket, order);
    volume += remaining;
    if (previous?.ticketId !== order.ticketId) after = { cash: ticket.cash, position: ticket.position };
    const traded = side === "buy" ? remaining : -remaining;
    after = { cash: after.cash - traded * order.limitPrice, position: after.position + traded };
    if (remaining > 0n) assertPayable(market, ticket, after.cash, after.position);
    if (worst === undefined || order.limitPrice < worst === (side === "buy")) worst = order.limitPrice;
    previous = order;
  }
  return volume < BigInt(market.minimumVolume) ? undefined : worst;
}

function couldRest(house: House, market: Market, ticket: Ticket, order: Order, slot: number, side: Side): boolean {
  const { firstBatchInWindow, closingTime } = house.today;
  const early = firstBatchInWindow === 0 || ticket.openedInBatch < firstBatchInWindow;
  const distance = order.limitPrice - market.centre;
  return (
    early &&
    ticket.epoch === house.epoch &&
    ticket.slot === slot &&
    order.side === side &&
    order.clientId !== 0n &&
    order.quantity <= MOST_QUANTITY &&
    order.timeInForce === "GTC" &&
    order.expiry >= closingTime &&
    distance <= market.priceLimit &&
    -distance <= market.priceLimit &&
    order.limitPrice % market.tick === 0n
  );
}

function assertPayable(market: Market, ticket: Ticket, cash: bigint, position: bigint): void {
  const reducing = reduces(ticket.position, position);
  const halfWidth = reducing ? market.maintenanceMargin : market.initialMargin;
  const payable = (reducing || !ticket.reduceOnly) && equityInBand(cash, position, market.centre, halfWidth) >= 0n;
  must(payable, "SET-8", `the quotes of ticket ${ticket.ticketId.slice(0, 14)} are more than it can pay`);
}

function isBefore(a: Order, b: Order): boolean {
  const [idA, idB]: readonly [Hex, Hex] = [a.ticketId, b.ticketId];
  return idA < idB || (idA === idB && a.clientId < b.clientId);
}

function remainingOf(ticket: Ticket, { clientId, revision, quantity }: Order): bigint {
  const state = ticket.orders.get(clientId) ?? { filled: 0, revision: 0 };
  return revision >= state.revision && quantity > state.filled ? BigInt(quantity - state.filled) : 0n;
}

/** Prices that the day can settle at: inside its limits and the circuit's range, whole ticks. */
export function reachable({ tick, centre, priceLimit }: Market): { readonly down: bigint; readonly up: bigint } {
  const last = PRICE_RANGE - (PRICE_RANGE % tick);
  return { down: clamp(centre - priceLimit, -last, last), up: clamp(centre + priceLimit, -last, last) };
}

/** The price of the day of one market, by tier (spec SET-1 to SET-6). */
export function pricedDay(market: Market, windowStart: bigint, attested: Attested, slot: number): PricedDay {
  const { down, up } = reachable(market);
  const resting = attested.get(slot);
  let bid = clamp(resting?.bid ?? OPEN_BID, down, up);
  let ask = clamp(resting?.ask ?? OPEN_ASK, down, up);
  if (bid > ask) [bid, ask] = [down, up];
  const { tier, price } = dailySettlementPrice(market, market.fills, windowStart, { bid, ask });
  return { tier, bid, ask, price: clamp(price, down, up) };
}

/** The mean of a contract's last daily prices; undefined where it has too few (spec SET-9). */
export function finalMean(house: House, market: Market, slot: number): bigint | undefined {
  const prices: bigint[] = [];
  for (let epoch = house.epoch; epoch >= 1 && prices.length < FINAL_DAYS; epoch--) {
    const day = house.market(slot, epoch);
    if (day.contractId !== market.contractId) break;
    prices.push(day.settlementPrice);
  }
  if (prices.length < FINAL_DAYS) return undefined;
  const sum = prices.reduce((total, price) => total + price, 0n);
  return roundToTick(sum, BigInt(FINAL_DAYS), market.tick, market.centre);
}

export function clamp(price: bigint, down: bigint, up: bigint): bigint {
  return price < down ? down : price > up ? up : price;
}
