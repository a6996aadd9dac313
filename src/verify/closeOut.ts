import { hashTypedData } from "viem";
import { equityInBand } from "../protocol/epoch.ts";
import type { Hex } from "../protocol/keys.ts";
import { recoverSigner } from "../protocol/signature.ts";
import { reduces } from "../protocol/ticket.ts";
import { type Call, emitted } from "./call.ts";
import { must } from "./errors.ts";
import { fullSignature } from "./orders.ts";
import type { House, Ticket } from "./state.ts";

/** A bid for contracts that drop-outs left, as it stands in calldata: it buys for a quantity above zero. */
export type CallBid = {
  readonly ticketId: Hex;
  readonly quantity: number;
  readonly limitPrice: bigint;
  readonly r: Hex;
  readonly vs: Hex;
};

const BID_TYPES = {
  AuctionBid: [
    { name: "ticketId", type: "bytes32" },
    { name: "quantity", type: "int32" },
    { name: "limitPrice", type: "int88" },
  ],
} as const;

const POSITION_LIMIT = 1n << 31n;
const CASH_LIMIT = 1n << 119n;

/** An open ticket takes over what drop-outs left, at the price of the moment (spec DEF-13 to DEF-15). Throws BrokenRule. */
export function takeAbandoned(call: Call, bid: CallBid): void {
  const { house } = call;
  const { ticketId, limitPrice } = bid;
  const ticket = house.tickets.get(ticketId);
  must(ticket?.epoch === house.epoch, "DEF-14", `ticket ${ticketId.slice(0, 14)} is none of the present day`);
  assertBidSigned(house, ticket, bid);
  const { slot } = ticket;
  const available = house.closeOutPositions[slot] ?? 0n;
  const price = auctionPrice(call, slot, available);
  const wanted = BigInt(bid.quantity);
  const oneSide = available !== 0n && wanted !== 0n && available > 0n === wanted > 0n;
  must(oneSide, "DEF-14", `a bid for ${wanted} of ${available} contracts was accepted`);
  const taken = magnitude(wanted) >= magnitude(available) ? available : wanted;
  const dear = taken > 0n ? price > limitPrice : price < limitPrice;
  must(!dear, "DEF-14", `a bid with limit ${limitPrice} was filled at ${price}`);

  const cash = ticket.cash - taken * price;
  const position = ticket.position + taken;
  assertStands(house, ticket, cash, position);
  const sums = house.sumsOf(slot);
  sums.cash += cash - ticket.cash;
  sums.net += taken;
  sums.gross += magnitude(position) - magnitude(ticket.position);
  ticket.cash = cash;
  ticket.position = position;
  book(house, slot, taken * price, -taken);
  emitted(call, "AbandonedTaken", { epoch: house.epoch, slot, ticketId, quantity: Number(taken), price });
}

/** Cash and contracts that the close-out account receives in a slot. */
export function book(
  { ledger, closeOutPositions, closeOutCash }: House,
  slot: number,
  cash: bigint,
  contracts: bigint,
) {
  const position = (closeOutPositions[slot] ?? 0n) + contracts;
  closeOutPositions[slot] = position;
  closeOutCash[slot] = position === 0n ? 0n : (closeOutCash[slot] ?? 0n) + cash;
  ledger.closeOutAccount += cash;
}

function assertBidSigned(house: House, { sessionKey }: Ticket, { r, vs, ...message }: CallBid): void {
  const digest = hashTypedData({ domain: house.domain, types: BID_TYPES, primaryType: "AuctionBid", message });
  must(!house.usedBids.has(digest), "DEF-14", "a bid counted twice");
  house.usedBids.add(digest);
  const signer = recoverSigner(digest, fullSignature(r, vs));
  must(signer === sessionKey, "DEF-14", `a bid is signed by ${signer ?? "nobody"}, not by ${sessionKey}`);
}

/** Starts at the settlement price and gives way over part A, by as much as drop-outs paid for leaving. */
function auctionPrice({ house, time, block }: Call, slot: number, position: bigint): bigint {
  const { listed, closeOutFee, tick, settlementPrice, expired } = house.market(slot);
  const goesOn = house.phase === "window" && !house.inPartB(time, block) && listed && !expired;
  must(goesOn, "DEF-13", `slot ${slot} was auctioned out of its time`);
  const windowA = BigInt(house.terms.windowA);
  const passed = time - house.today.closedAt;
  const concession = (closeOutFee * (passed < windowA ? passed : windowA)) / windowA;
  const whole = concession - (concession % tick);
  return position > 0n ? settlementPrice - whole : settlementPrice + whole;
}

/** The ticket must stand the initial band of the coming day. */
function assertStands(house: House, ticket: Ticket, cash: bigint, position: bigint): void {
  const next = house.market(ticket.slot, house.epoch + 1);
  const inRange = magnitude(position) < POSITION_LIMIT && cash >= -CASH_LIMIT && cash < CASH_LIMIT;
  must(inRange, "DEF-15", `a bid leaves its ticket ${position} contracts and cash ${cash}`);
  const mustReduce = ticket.reduceOnly || next.closingOnly;
  must(!mustReduce || reduces(ticket.position, position), "DEF-15", "a bid grows a ticket that may only reduce");
  const equity = equityInBand(cash, position, next.centre, next.initialMargin);
  must(equity >= 0n, "DEF-15", `a bid leaves its ticket an equity of ${equity} at the coming day's band`);
}

function magnitude(x: bigint): bigint {
  return x < 0n ? -x : x;
}
