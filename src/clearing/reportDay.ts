import { decodeFunctionData } from "viem";
import type { ClearingEvent } from "../chain/chainState.ts";
import { type Chain, readDayState, readMarkets, refusalOf } from "../chain/clearingHouse.ts";
import { ChainUnavailable } from "../chain/refusals.ts";
import { clearingHouseAbi } from "../protocol/abi.ts";
import type { Buckets } from "../protocol/conservation.ts";
import type { EpochMarket } from "../protocol/epoch.ts";
import type { Hex } from "../protocol/keys.ts";
import { DayUnknown, missedSeats, readDayEvents, type SeatDeed, seatsOfDay } from "./settleDayLogs.ts";
import { finalPrice, type PriceEvidence, priceEvidence } from "./settleDayPrices.ts";

// The report of a day: what happened at its end and why, from logs and views of any node (spec CLR-6, CLR-7).

/** A market's price with its evidence, as the contract made it. */
export type MarketReport = PriceEvidence & {
  readonly slot: number;
  readonly contractId: Hex;
  readonly settlementPrice: bigint;
  readonly initialMargin: bigint;
  readonly maintenanceMargin: bigint;
  readonly closeOutFee: bigint;
  readonly expired: boolean;
  readonly tornUp: boolean;
  readonly closingOnly: boolean;
  /** Where the contract came to its end: what the rule for that said, and from where. */
  readonly final: { readonly source: "feed" | "mean"; readonly price: bigint } | undefined;
  /** How many orders the operator attested as resting on each side; undefined where nobody can tell. */
  readonly attested: { readonly bids: number; readonly asks: number } | undefined;
  /** Left-over tickets, booked at the opening. */
  readonly leftOver: { readonly claims: bigint; readonly net: bigint; readonly gross: bigint } | undefined;
  /** Contracts of drop-outs that others took over in the window. */
  readonly taken: readonly { readonly quantity: number; readonly price: bigint }[];
};

/** The open tickets after some block. Long and short contracts by slot; money in base units. */
export type TicketsPoint = {
  readonly time: number;
  readonly long: readonly bigint[];
  readonly short: readonly bigint[];
  /** Equity at the previous settlement prices, and the initial margin that their positions need. */
  readonly equity: bigint;
  readonly margin: bigint;
};

/** A step of the cycle as the chain has it: unix seconds, the transaction, and who sent it. */
export type CycleStep = { readonly time: number; readonly block: bigint; readonly transaction: Hex; readonly by: Hex };

export const LAYERS = ["defaulters", "operator's stake", "guaranty fund"] as const;

export type WaterfallReport = {
  readonly layer: (typeof LAYERS)[number];
  readonly need: bigint;
  readonly toAccount: bigint;
  readonly toPool: bigint;
};

/** What was where, as the contract says; absent where the node keeps no state that old. */
export type Balances = {
  readonly buckets: Buckets;
  readonly poolCover: bigint;
  readonly payoutRatio: bigint;
  readonly poolPositions: readonly bigint[];
  readonly closeOutPositions: readonly bigint[];
};

export type DayReport = {
  readonly version: 1;
  readonly chainId: bigint;
  readonly clearingHouse: Hex;
  readonly epoch: number;
  readonly openedAt: bigint;
  readonly closingTime: bigint;
  readonly settlementWindow: number;
  readonly closed: CycleStep;
  readonly renewalsBegun: CycleStep | undefined;
  readonly opened: CycleStep;
  /** A market in which the day was ended early, and until when. */
  readonly movedUp: { readonly slot: number; readonly closingTime: bigint } | undefined;
  readonly batches: number;
  readonly markets: readonly MarketReport[];
  readonly tickets: readonly TicketsPoint[];
  readonly seats: {
    readonly due: number;
    readonly done: Readonly<Record<SeatDeed, number>>;
    readonly missed: readonly bigint[];
    /** How many had renewed, slept or closed at a time: unix seconds, from the close to the opening. */
    readonly course: readonly (readonly [time: number, done: number])[];
    readonly forfeited: readonly { readonly ownerKey: bigint; readonly amount: bigint; readonly reward: bigint }[];
  };
  readonly waterfall: readonly WaterfallReport[];
  /** The last one published by the opening; undefined where it did not change. 1e18 is the whole. */
  readonly payoutRatio: bigint | undefined;
  readonly balances: { readonly atClose: Balances | undefined; readonly atOpening: Balances | undefined };
};

/** The report as JSON in one line, whole numbers that may be large as text. */
export function reportJson(report: DayReport): string {
  return JSON.stringify(report, (_, value: unknown) => (typeof value === "bigint" ? value.toString() : value));
}

/** Most points of a course over time: a page is no database. */
const MOST_POINTS = 240;

/** Reads the report of a day that is over. Throws DayUnknown, ChainUnavailable, ContractRefused. */
export async function readReport(chain: Chain, epoch: number, deployedAt = 0n): Promise<DayReport> {
  try {
    return await reportOf(chain, epoch, deployedAt);
  } catch (error) {
    throw refusalOf(error);
  }
}

async function reportOf(chain: Chain, epoch: number, deployedAt: bigint): Promise<DayReport> {
  const { house } = chain;
  const { epoch: present } = await readDayState(chain);
  if (epoch >= present) throw new DayUnknown(epoch, `the chain is at day ${present}, so it is not over`);
  const [{ events, isOver }, day, markets, terms] = await Promise.all([
    readDayEvents(chain, epoch, deployedAt),
    house.read.epochOf([epoch]),
    readMarkets(chain, epoch),
    house.read.clearingTerms(),
  ]);
  if (!isOver) throw new DayUnknown(epoch, "the node does not show how it ended");
  const close = the(events, "EpochClosed", epoch);
  const opening = the(events, "EpochOpened", epoch + 1);
  const clock = clockOf(chain);
  const begun = ofName(events, "RenewalsBegun").at(-1);
  const step = (event: ClearingEvent): Promise<CycleStep> => stepOf(chain, clock, event);
  const [closed, renewalsBegun, opened] = await Promise.all([
    step(close),
    begun === undefined ? undefined : step(begun),
    step(opening),
  ]);
  const seats = seatsOfDay(events, epoch);
  const windowStart = day.closingTime - BigInt(terms.settlementWindow);
  const attested = await attestedIn(chain, close.transactionHash);
  const moved = ofName(events, "ClosingMovedUp").at(-1);
  const booked = events.filter(({ transactionHash }) => transactionHash === opening.transactionHash);
  return {
    version: 1,
    chainId: chain.chainId,
    clearingHouse: chain.address,
    epoch,
    openedAt: day.openedAt,
    closingTime: day.closingTime,
    settlementWindow: terms.settlementWindow,
    closed,
    renewalsBegun,
    opened,
    movedUp: moved === undefined ? undefined : { slot: moved.args.slot, closingTime: moved.args.closingTime },
    batches: ofName(events, "BatchSubmitted").length,
    markets: markets.flatMap((market, slot) =>
      market.listed ? [marketReport(market, slot, events, windowStart, attested)] : [],
    ),
    tickets: await ticketCourse(events, markets, close, clock),
    seats: {
      due: seats.due.size,
      done: deedsOf([...seats.done.values()].map(({ deed }) => deed)),
      missed: missedSeats(seats),
      course: await courseOf(
        [...seats.done.values()].map(({ event }) => event),
        closed,
        opened,
        clock,
      ),
      forfeited: ofName(events, "BondForfeited").map(({ args }) => args),
    },
    waterfall: ofName(booked, "WaterfallStep").map(({ args }) => ({
      layer: LAYERS[args.layer] ?? "guaranty fund",
      need: args.need,
      toAccount: args.toAccount,
      toPool: args.toPool,
    })),
    payoutRatio: ofName(events, "PayoutRatio").at(-1)?.args.ratio,
    balances: {
      atClose: await balancesAt(chain, closed.block),
      atOpening: await balancesAt(chain, opened.block),
    },
  };
}

// ------------------------------------------------------------------ prices

function marketReport(
  market: EpochMarket,
  slot: number,
  events: readonly ClearingEvent[],
  windowStart: bigint,
  attested: Attested | undefined,
): MarketReport {
  const ofSlot = <T extends { readonly args: { readonly slot: number } }>(all: readonly T[]): readonly T[] =>
    all.filter(({ args }) => args.slot === slot);
  const [priced] = ofSlot(ofName(events, "SettlementPriced"));
  const [ended] = ofSlot(ofName(events, "FinalPriced"));
  const [booked] = ofSlot(ofName(events, "LeftOverTickets"));
  const evidence = priceEvidence(market, fillsOf(events, slot), windowStart, restingOf(market, priced?.args));
  const { settlementPrice, initialMargin, maintenanceMargin, closeOutFee, expired, tornUp, closingOnly } = market;
  return {
    ...evidence,
    slot,
    contractId: market.contractId,
    settlementPrice,
    initialMargin,
    maintenanceMargin,
    closeOutFee,
    expired,
    tornUp,
    closingOnly,
    final: ended === undefined ? undefined : { source: ended.args.fromFeed ? "feed" : "mean", price: ended.args.price },
    attested: attested === undefined ? undefined : (attested.get(slot) ?? { bids: 0, asks: 0 }),
    leftOver:
      booked === undefined ? undefined : { claims: booked.args.claims, net: booked.args.net, gross: booked.args.gross },
    taken: ofSlot(ofName(events, "AbandonedTaken")).map(({ args }) => ({ quantity: args.quantity, price: args.price })),
  };
}

/** The fills of a slot among some events, in the order in which they settled. */
export function fillsOf(events: readonly ClearingEvent[], slot: number) {
  return ofName(events, "Filled")
    .filter(({ args }) => args.slot === slot)
    .map(({ args }) => ({ execTime: args.execTime, price: args.price, quantity: BigInt(args.quantity) }));
}

/** The contract names a limit where nobody attested a quote: both are shown as what they are. */
function restingOf(market: EpochMarket, priced: { readonly bid: bigint; readonly ask: bigint } | undefined) {
  if (priced === undefined) return {};
  const { centre, priceLimit } = market;
  return {
    bid: priced.bid > centre - priceLimit ? priced.bid : undefined,
    ask: priced.ask < centre + priceLimit ? priced.ask : undefined,
  };
}

type Attested = ReadonlyMap<number, { readonly bids: number; readonly asks: number }>;

/** How many orders the closing transaction attests; undefined where the house was called through another contract. */
async function attestedIn({ client, address }: Chain, hash: Hex): Promise<Attested | undefined> {
  const { input, to } = await client.getTransaction({ hash });
  if (to?.toLowerCase() !== address.toLowerCase()) return undefined;
  const { functionName, args } = decodeFunctionData({ abi: clearingHouseAbi, data: input });
  if (functionName !== "closeEpoch") return undefined;
  return new Map(args[0].map(({ slot, bids, asks }) => [slot, { bids: bids.length, asks: asks.length }]));
}

/** Prices of the present day: those that it would settle at, or, once it is closed, those that it settled at. */
export type PresentPrice = Omit<MarketReport, "attested" | "leftOver" | "taken"> & {
  /** The day is closed, and this is its price. */
  readonly isSettled: boolean;
  /** A feed decides, and is asked at the close. */
  readonly isFed: boolean;
};

/**
 * What the present day settles at, by all that has settled so far; before the close without quotes, which the operator
 * brings then (spec CLR-8). Throws ChainUnavailable.
 */
export async function presentPrices(chain: Chain, epoch: number, deployedAt = 0n): Promise<readonly PresentPrice[]> {
  try {
    const [{ events }, { closingTime }, { settlementWindow }, markets] = await Promise.all([
      readDayEvents(chain, epoch, deployedAt),
      chain.house.read.epochOf([epoch]),
      chain.house.read.clearingTerms(),
      readMarkets(chain, epoch),
    ]);
    const days = [epoch - 1, epoch - 2].filter((day) => day >= 1);
    const before = await Promise.all(days.map((day) => readMarkets(chain, day)));
    const windowStart = closingTime - BigInt(settlementWindow);
    const isSettled = ofName(events, "EpochClosed").length > 0;
    return markets.flatMap((market, slot) => {
      if (!market.listed) return [];
      const ends = market.lastTradingTime <= closingTime;
      const isFed = ends && BigInt(market.priceFeed) !== 0n;
      const report = marketReport(market, slot, events, windowStart, undefined);
      if (isSettled || !ends) {
        return [{ ...report, isSettled, isFed, settlementPrice: isSettled ? market.settlementPrice : report.price }];
      }
      const same = before.map((all) => all[slot]);
      const other = same.findIndex((day) => day?.contractId !== market.contractId);
      const earlier = same.slice(0, other < 0 ? same.length : other).flatMap((day) => day?.settlementPrice ?? []);
      const final = finalPrice(market, [report.price, ...earlier]);
      const foreseen = final && { source: "mean" as const, price: final.price };
      const settlementPrice = final?.price ?? report.price;
      return [{ ...report, isSettled, isFed, settlementPrice, expired: final?.expires ?? false, final: foreseen }];
    });
  } catch (error) {
    throw refusalOf(error);
  }
}

// ------------------------------------------------------------------ courses over time

/** Time of a block, asked once. */
type Clock = (event: Pick<ClearingEvent, "blockHash">) => Promise<number>;

function clockOf({ client }: Chain): Clock {
  const times = new Map<Hex, Promise<number>>();
  return ({ blockHash }) => {
    const known = times.get(blockHash);
    if (known !== undefined) return known;
    const asked = client.getBlock({ blockHash, includeTransactions: false }).then(({ timestamp }) => Number(timestamp));
    times.set(blockHash, asked);
    return asked;
  };
}

async function stepOf({ client }: Chain, clock: Clock, event: ClearingEvent): Promise<CycleStep> {
  const { transactionHash, blockNumber } = event;
  const [time, { from }] = await Promise.all([clock(event), client.getTransaction({ hash: transactionHash })]);
  return { time, block: blockNumber, transaction: transactionHash, by: from };
}

/** The open tickets from event to event, until the close. */
async function ticketCourse(
  events: readonly ClearingEvent[],
  markets: readonly EpochMarket[],
  close: ClearingEvent,
  clock: Clock,
): Promise<readonly TicketsPoint[]> {
  const tickets = new Map<Hex, { readonly slot: number; cash: bigint; position: bigint }>();
  const states: { readonly event: ClearingEvent; readonly point: Omit<TicketsPoint, "time"> }[] = [];
  const slots = markets.map((market) => ({ market, long: 0n, short: 0n }));
  let equity = 0n;
  let margin = 0n;
  /** Adds a ticket to the sums, or takes it out. */
  const count = ({ slot, cash, position }: { slot: number; cash: bigint; position: bigint }, sign: 1n | -1n): void => {
    const sums = slots[slot];
    if (sums === undefined) return;
    const size = position < 0n ? -position : position;
    if (position > 0n) sums.long += sign * size;
    else sums.short += sign * size;
    equity += sign * (cash + position * sums.market.centre);
    margin += sign * size * sums.market.initialMargin;
  };
  const change = (ticketId: Hex, cash: bigint, position: bigint): void => {
    const ticket = tickets.get(ticketId);
    if (ticket === undefined) return;
    count(ticket, -1n);
    ticket.cash += cash;
    ticket.position += position;
    count(ticket, 1n);
  };
  const end = events.indexOf(close);
  for (const event of events.slice(0, end + 1)) {
    switch (event.eventName) {
      case "TicketOpened": {
        const { ticketId, slot, cash, position } = event.args;
        const ticket = { slot, cash, position: BigInt(position) };
        tickets.set(ticketId, ticket);
        count(ticket, 1n);
        break;
      }
      case "Filled": {
        const { makerTicket, takerTicket, takerBuys, price, quantity, makerFee, takerFee } = event.args;
        const bought = takerBuys ? BigInt(quantity) : -BigInt(quantity);
        change(takerTicket, -bought * price - takerFee, bought);
        change(makerTicket, bought * price - makerFee, -bought);
        break;
      }
      case "TicketClosed": {
        const ticket = tickets.get(event.args.ticketId);
        if (ticket !== undefined) count(ticket, -1n);
        tickets.delete(event.args.ticketId);
        break;
      }
      case "EpochClosed":
        break;
      default:
        continue;
    }
    const sums = { long: slots.map(({ long }) => long), short: slots.map(({ short }) => short) };
    const state = { event, point: { ...sums, equity, margin } };
    // Of each block the last word.
    if (states.at(-1)?.event.blockHash === event.blockHash) states.pop();
    states.push(state);
  }
  return Promise.all(thinned(states).map(async ({ event, point }) => ({ time: await clock(event), ...point })));
}

async function courseOf(
  done: readonly ClearingEvent[],
  closed: CycleStep,
  opened: CycleStep,
  clock: Clock,
): Promise<readonly (readonly [number, number])[]> {
  const steps = done.map((event, i) => ({ event, count: i + 1 }));
  const points = await Promise.all(
    thinned(steps).map(async ({ event, count }) => [await clock(event), count] as const),
  );
  return [[closed.time, 0], ...points, [opened.time, done.length]];
}

/** At most MOST_POINTS of a list, the first and the last among them. */
function thinned<T>(list: readonly T[]): readonly T[] {
  if (list.length <= MOST_POINTS) return list;
  const step = (list.length - 1) / (MOST_POINTS - 1);
  return Array.from({ length: MOST_POINTS }, (_, i) => list[Math.round(i * step)]).filter((item) => item !== undefined);
}

function deedsOf(deeds: readonly SeatDeed[]): Readonly<Record<SeatDeed, number>> {
  const count = (deed: SeatDeed): number => deeds.filter((each) => each === deed).length;
  return { renewed: count("renewed"), "put to sleep": count("put to sleep"), closed: count("closed") };
}

// ------------------------------------------------------------------ balances

/** Undefined: the node has thrown away the state of that block, as most do after a while. */
async function balancesAt({ house }: Chain, blockNumber: bigint): Promise<Balances | undefined> {
  const at = { blockNumber };
  try {
    const [buckets, poolCover, payoutRatio, [poolPositions, , closeOutPositions]] = await Promise.all([
      house.read.buckets(at),
      house.read.poolCover(at),
      house.read.payoutRatio(at),
      house.read.openPositions(at),
    ]);
    return { buckets, poolCover, payoutRatio, poolPositions, closeOutPositions };
  } catch (error) {
    const refusal = refusalOf(error);
    if (refusal instanceof ChainUnavailable) throw refusal;
    return undefined;
  }
}

// ------------------------------------------------------------------ events

type Named<N extends ClearingEvent["eventName"]> = Extract<ClearingEvent, { readonly eventName: N }>;

/** The events of one name. */
function ofName<N extends ClearingEvent["eventName"]>(events: readonly ClearingEvent[], name: N): readonly Named<N>[] {
  return events.filter((event): event is Named<N> => event.eventName === name);
}

/** The event of that name and day. Throws DayUnknown. */
function the(events: readonly ClearingEvent[], name: "EpochClosed" | "EpochOpened", epoch: number): ClearingEvent {
  const found = ofName(events, name).find(({ args }) => args.epoch === epoch);
  if (found === undefined) throw new DayUnknown(epoch, `the node does not show its ${name}`);
  return found;
}
