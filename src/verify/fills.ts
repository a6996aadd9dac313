import { encodeAbiParameters, keccak256 } from "viem";
import { clearingHouseAbi } from "../protocol/abi.ts";
import { priceLimits } from "../protocol/epoch.ts";
import type { Hex } from "../protocol/keys.ts";
import type { Order } from "../protocol/order.ts";
import { tradeOn } from "../protocol/ticket.ts";
import { type Call, emitted } from "./call.ts";
import { must } from "./errors.ts";
import { assertSigned, type CallOrder, MOST_QUANTITY, readOrder } from "./orders.ts";
import type { House, Market, Ticket } from "./state.ts";

/** A fill as it stands in calldata: `maker` and `taker` are places among the orders of its batch. */
export type CallFill = {
  readonly maker: number;
  readonly taker: number;
  readonly quantity: number;
  readonly price: bigint;
  readonly seq: bigint;
  readonly n: number;
  readonly makerPrioritySeq: bigint;
  readonly execTime: bigint;
};

const MOST_SEQ_STEP = 1n << 32n;

/** Checks and applies the fills of a batch, one after the other (spec FIL-1 to FIL-18). Throws BrokenRule, TicketBelowMargin. */
export function applyFills(call: Call, calldata: readonly CallOrder[], fills: readonly CallFill[]): void {
  const { house } = call;
  if (fills.length === 0) return;
  must(house.phase === "trading", "FIL-14", "fills came outside Trading");
  const { openedAt, closingTime } = house.today;
  const callAuction = BigInt(house.terms.callAuction);
  const auctionTime = callAuction > 0n ? openedAt + callAuction : 0n;
  if (house.lastExecTime < openedAt + callAuction) house.lastExecTime = openedAt + callAuction;
  const latest = call.time < closingTime ? call.time : closingTime;
  const orders = calldata.map((each) => checkedOrder(house, each));
  fills.forEach((fill, i) => {
    const [maker, taker] = [orders[fill.maker], orders[fill.taker]];
    must(maker !== undefined && taker !== undefined, "FIL-1", `fill ${i} names an order that is not there`);
    advance(house, fill, latest);
    must(maker.ticketId !== taker.ticketId, "FIL-1", `fill ${fill.seq} is between orders of one ticket`);
    const [makerTicket, takerTicket] = [ticketOf(house, maker.ticketId), ticketOf(house, taker.ticketId)];
    must(makerTicket.slot === takerTicket.slot, "FIL-1", `fill ${fill.seq} is between two markets`);
    const market = house.market(makerTicket.slot);
    assertPair(maker, taker, fill);
    if (fill.execTime === auctionTime) assertAuction(market, maker, taker, fill);
    else assertMakerPrice(maker, taker, fill);
    assertLimits(market, fill);
    use(makerTicket, maker, fill);
    assertImmediate(taker, use(takerTicket, taker, fill), fills, i);
    const makerFee = trade(house, market, makerTicket, maker, fill);
    const takerFee = trade(house, market, takerTicket, taker, fill);
    market.fills.push({ execTime: fill.execTime, price: fill.price, quantity: BigInt(fill.quantity) });
    const { seq, n, execTime, price, quantity } = fill;
    emitted(call, "Filled", {
      makerTicket: maker.ticketId,
      takerTicket: taker.ticketId,
      seq,
      n,
      execTime,
      slot: makerTicket.slot,
      takerBuys: taker.side === "buy",
      price,
      quantity,
      makerFee,
      takerFee,
    });
  });
}

const SUBMIT = clearingHouseAbi.find((item) => item.type === "function" && item.name === "submitBatch");

/** The hash under which a batch's orders and fills are kept (spec BAT-11). */
export function fillsHashOf(orders: readonly CallOrder[], fills: readonly CallFill[]): Hex {
  const [ordersType, fillsType] = ["orders", "fills"].map((name) => SUBMIT?.inputs.find((each) => each.name === name));
  must(ordersType !== undefined && fillsType !== undefined, "BAT-11", "submitBatch has no orders or fills");
  const words = (type: typeof ordersType, list: readonly unknown[]): string =>
    keccak256(`0x${encodeAbiParameters([type], [list]).slice(2 + 128)}`).slice(2);
  return keccak256(`0x${words(ordersType, orders)}${words(fillsType, fills)}`);
}

function checkedOrder(house: House, calldata: CallOrder): Order {
  const order = readOrder(calldata);
  const ticket = ticketOf(house, order.ticketId);
  const tradable = ticket.epoch === house.epoch && ticket.openedInBatch < house.lastBatch;
  must(tradable, "TKT-8", `order ${order.clientId} is of a ticket that cannot trade yet, or no more`);
  must(order.clientId !== 0n, "ORD-3", "an order has no client id");
  must(order.quantity <= MOST_QUANTITY, "ORD-9", `order ${order.clientId} is for ${order.quantity} contracts`);
  assertSigned(house, ticket.sessionKey, order, calldata);
  return order;
}

function ticketOf(house: House, ticketId: Hex): Ticket {
  const ticket = house.tickets.get(ticketId);
  must(ticket !== undefined, "TKT-8", `ticket ${ticketId.slice(0, 14)} does not exist`);
  return ticket;
}

function advance(house: House, { seq, n, makerPrioritySeq, execTime }: CallFill, latest: bigint): void {
  const later = seq > house.lastSeq || (seq === house.lastSeq && n > house.lastN);
  must(later, "FIL-6", `fill (${seq}, ${n}) comes after (${house.lastSeq}, ${house.lastN})`);
  must(seq - house.lastSeq <= MOST_SEQ_STEP, "FIL-6", `fill (${seq}, ${n}) leaps too far`);
  must(makerPrioritySeq <= seq, "FIL-12", `the maker of fill ${seq} has priority ${makerPrioritySeq}`);
  must(
    execTime >= house.lastExecTime && execTime <= latest,
    "FIL-7",
    `fill ${seq} is of time ${execTime}, but ${house.lastExecTime} to ${latest} is open`,
  );
  house.lastSeq = seq;
  house.lastN = n;
  house.lastExecTime = execTime;
}

function assertPair(maker: Order, taker: Order, { seq }: CallFill): void {
  must(maker.side !== taker.side, "FIL-1", `both orders of fill ${seq} are on one side`);
  must(maker.timeInForce === "GTC", "FIL-11", `the maker of fill ${seq} is ${maker.timeInForce}`);
  must(!taker.postOnly, "FIL-11", `the taker of fill ${seq} is post-only`);
}

function assertMakerPrice(maker: Order, taker: Order, { seq, price }: CallFill): void {
  const [buy, sell] = maker.side === "buy" ? [maker, taker] : [taker, maker];
  must(buy.limitPrice >= sell.limitPrice, "FIL-2", `the orders of fill ${seq} do not cross`);
  must(price === maker.limitPrice, "FIL-3", `fill ${seq} is at ${price}, its maker's price is ${maker.limitPrice}`);
}

function assertAuction(market: Market, maker: Order, taker: Order, { seq, price }: CallFill): void {
  must(!maker.postOnly && taker.timeInForce === "GTC", "FIL-18", `fill ${seq} is of orders that are not for auctions`);
  for (const { side, limitPrice } of [maker, taker]) {
    const worse = side === "buy" ? price > limitPrice : price < limitPrice;
    must(!worse, "FIL-17", `fill ${seq} is at ${price}, beyond the limit ${limitPrice} of an order`);
  }
  const due = market.auctionPrice ?? price;
  must(price === due, "FIL-17", `fill ${seq} is at ${price}, the auction's price is ${due}`);
  market.auctionPrice = price;
}

function assertLimits(market: Market, { seq, price }: CallFill): void {
  const { down, up } = priceLimits(market);
  must(price >= down && price <= up, "FIL-4", `fill ${seq} is at ${price}, outside the limits ${down} to ${up}`);
  must(price % market.tick === 0n, "FIL-4", `fill ${seq} is at ${price}, which is no whole tick of ${market.tick}`);
}

/** Uses an order's quantity up; returns how much of it is filled. */
function use(ticket: Ticket, order: Order, fill: CallFill): number {
  const { clientId, revision, expiry, quantity } = order;
  must(fill.execTime <= expiry, "ORD-7", `fill ${fill.seq} is of an order that had expired at ${expiry}`);
  const inRange = fill.quantity > 0 && fill.quantity <= MOST_QUANTITY;
  must(inRange, "FIL-5", `fill ${fill.seq} is of ${fill.quantity} contracts`);
  const state = ticket.orders.get(clientId) ?? { filled: 0, revision: 0 };
  must(revision >= state.revision, "FIL-10", `fill ${fill.seq} is of revision ${revision}, after ${state.revision}`);
  const filled = state.filled + fill.quantity;
  must(filled <= quantity, "ORD-4", `fill ${fill.seq} makes ${filled} of an order for ${quantity}`);
  ticket.orders.set(clientId, { filled, revision });
  return filled;
}

/** An immediate order trades in one run of fills of one number; a fill-or-kill all of it (spec FIL-16). */
function assertImmediate(taker: Order, filled: number, fills: readonly CallFill[], i: number): void {
  const fill = fills[i];
  if (taker.timeInForce === "GTC" || fill === undefined) return;
  const { seq, quantity } = fill;
  const sameRun = (other: CallFill | undefined): boolean => other?.taker === fill.taker && other.seq === seq;
  must(sameRun(fills[i - 1]) || filled === quantity, "FIL-16", `the immediate order of fill ${seq} traded before`);
  const whole = taker.timeInForce !== "FOK" || filled === taker.quantity;
  must(sameRun(fills[i + 1]) || whole, "FIL-16", `the fill-or-kill of fill ${seq} trades ${filled} only`);
}

/** Moves cash and position of one side; returns the fee it paid. */
function trade(house: House, market: Market, ticket: Ticket, { side }: Order, { price, quantity }: CallFill): bigint {
  const before = { cash: ticket.cash, position: ticket.position };
  const { cash, position, fee } = tradeOn(
    market,
    ticket,
    { side, price, quantity: BigInt(quantity) },
    ticket.reduceOnly,
  );
  const sums = house.sumsOf(ticket.slot);
  sums.cash += cash - before.cash;
  sums.net += position - before.position;
  sums.gross += magnitude(position) - magnitude(before.position);
  house.ledger.fees += fee;
  ticket.cash = cash;
  ticket.position = position;
  return fee;
}

function magnitude(x: bigint): bigint {
  return x < 0n ? -x : x;
}
