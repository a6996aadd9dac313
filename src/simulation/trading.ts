import { call, ContractRefused, type ProvenTransition, type SignedOrder } from "../chain/clearingHouse.ts";
import { type EpochMarket, priceLimits } from "../protocol/epoch.ts";
import type { Side } from "../protocol/order.ts";
import { cashFor } from "../protocol/ticket.ts";
import type { OpenedTickets } from "../trader/account.ts";
import type { OwnTicket } from "../trader/accountState.ts";
import { type Listing, symbolIn } from "./listing.ts";
import { priceOn } from "./terms.ts";
import { isPresent, magnitude, MAKERS, type Trader, type Wish, wishOf } from "./traders.ts";
import {
  actAll,
  advanceTo,
  cpuSeconds,
  type Match,
  openingOf,
  postFills,
  settleStep,
  type Way,
  type World,
} from "./world.ts";

/** Where a market goes on one day. Base units per contract. */
export type DayPrice = {
  readonly slot: number;
  readonly symbol: string;
  readonly market: EpochMarket;
  /** The recorded price, and that within the limits. */
  readonly recorded: bigint;
  readonly target: bigint;
  /** What is traded at in the morning: half of the way there, or the limit where the day is locked. */
  readonly early: bigint;
  /** Whether the recorded move is wider than the limit. */
  readonly locked: boolean;
};

const MORNING = 3_600n;
const LATE = 6n * 3_600n - 300n;
/** When the last trades are made on a day that is to end early. */
const NOON = 3n * 3_600n;
const ORDERS_GOOD_FOR = 10n * 86_400n;

/** Told of each ticket that its trader would bring back: whether it stays open for good. */
type Leaving = (trader: Trader, ticket: OwnTicket) => boolean;

/** In how many of a thousand cases somebody forgets an open ticket with a position. */
const FORGETS_TICKET = 15;

/** Where every market goes today. */
export function pricesOf(world: World, listing: Listing, day: number): readonly DayPrice[] {
  const markets = world.state.markets(world.state.epoch);
  return markets.flatMap((market, slot): DayPrice[] => {
    const series = symbolIn(listing, market);
    if (series === undefined) return [];
    const recorded = priceOn(series, day, listing.rules);
    const { down, up } = priceLimits(market);
    const target = recorded < down ? down : recorded > up ? up : recorded;
    const locked = target !== recorded;
    const half = market.centre + ((target - market.centre) / 2n / market.tick) * market.tick;
    return [{ slot, symbol: series.symbol, market, recorded, target, early: locked ? target : half, locked }];
  });
}

/** An order of somebody with an open ticket. */
type Entry = {
  readonly trader: Trader;
  readonly ticket: OwnTicket;
  readonly slot: number;
  readonly side: Side;
  readonly quantity: bigint;
  readonly early: boolean;
};

/** Opens tickets, trades so that each market settles where it is to go, and closes the tickets again. */
export async function tradeTheDay(world: World, day: number, prices: readonly DayPrice[]): Promise<number> {
  const { entries, makers } = await openTickets(world, prices);
  const last = prices.some(({ locked }) => locked) ? NOON : LATE;
  await advanceTo(world, openingOf(world, day) + last);
  const matches: Match[] = [];
  for (const early of [true, false]) {
    const execTime = openingOf(world, day) + (early ? MORNING : last - 60n);
    for (const price of prices) matches.push(...(await matchesOf(world, day, price, entries, makers, early, execTime)));
  }
  await postFills(world, matches);
  const holders = [...entries, ...makers].map(({ trader }) => trader);
  await settleStep(world, holders);
  await endEarly(world, prices);
  const forSale = await abandonedIn(world);
  const staying = makers.filter(({ slot }) => (forSale[slot] ?? 0n) !== 0n).map(({ trader }) => trader);
  await closeTickets(
    world,
    "relayed",
    holders.filter((trader) => !staying.includes(trader)),
    leavingBy(world, prices),
  );
  return matches.length;
}

/** Some forget a ticket; and of those against whom the market went, the share that the stress asks for gives it up. */
function leavingBy({ chance, stress }: World, prices: readonly DayPrice[]): Leaving {
  return ({ kind }, { slot, position }) => {
    if (kind === "maker" || position === 0n) return false;
    const price = prices.find((each) => each.slot === slot);
    const gained = price === undefined ? 0n : position * (price.target - price.market.centre);
    const abandons = stress.abandon !== undefined && gained < 0n && chance.happens(stress.abandon * 10);
    return abandons || chance.happens(FORGETS_TICKET);
  };
}

/** Contracts that drop-outs left, by slot. */
export async function abandonedIn({ exchange }: World): Promise<readonly bigint[]> {
  const [, , closeOut] = await exchange.chain.house.read.openPositions();
  return closeOut;
}

/** Moves the end of the day up where a market has done nothing but wait at its limit. */
async function endEarly({ exchange, bank }: World, prices: readonly DayPrice[]): Promise<void> {
  for (const { slot, locked, market } of prices) {
    if (!locked || market.closingOnly) continue;
    try {
      await call(exchange.chain, bank, { functionName: "closeEarly", args: [slot] });
      return;
    } catch (error) {
      if (!(error instanceof ContractRefused && error.code === "NotLocked")) throw error;
    }
  }
}

/** Brings the tickets of these traders back that are open and not forgotten. */
export async function closeTickets(
  world: World,
  way: Way,
  holders: readonly Trader[],
  leaving: Leaving = () => false,
): Promise<void> {
  const { forgotten, state } = world;
  await actAll(world, way, holders, (trader) => {
    const ticket = trader.account.state.tickets.find(({ epoch }) => epoch === state.epoch);
    if (ticket === undefined || !isPresent(trader)) return undefined;
    if (leaving(trader, ticket)) forgotten.add(ticket.ticketId);
    if (forgotten.has(ticket.ticketId)) return undefined;
    return trader.account.closeTicket(ticket.ticketId, { relayed: way === "relayed" });
  });
}

// ------------------------------------------------------------------ tickets

type Opened = { readonly entries: readonly Entry[]; readonly makers: readonly MakerTicket[] };
type MakerTicket = {
  readonly trader: Trader;
  readonly ticket: OwnTicket;
  readonly slot: number;
  readonly most: bigint;
};

async function openTickets(world: World, prices: readonly DayPrice[]): Promise<Opened> {
  const { traders, state, chance } = world;
  const markets = state.markets(state.epoch);
  const tradable = prices.map(({ slot }) => slot);
  const wishes = new Map<Trader, Wish>();
  for (const trader of traders) {
    if (!isPresent(trader) || trader.kind === "maker" || trader.kind === "asleep") continue;
    const wish = wishOf(trader, markets, tradable, chance);
    if (wish !== undefined && trader.account.state.tickets.length === 0) wishes.set(trader, wish);
  }
  const entries: Entry[] = [];
  const makers: MakerTicket[] = [];
  const forSale = await abandonedIn(world);
  await actAll(world, "relayed", traders, (trader) => {
    const wish = wishes.get(trader);
    const slot = trader.kind === "maker" ? Math.floor(trader.number / MAKERS) : wish?.slot;
    const price = prices.find((each) => each.slot === slot);
    if (slot === undefined || price === undefined || !isPresent(trader)) return undefined;
    if (wish !== undefined) return openForWish(trader, wish, price, entries);
    if (price.market.closingOnly) return undefined;
    const wanted = [...wishes.values()].filter((each) => each.slot === slot).map(({ quantity }) => quantity);
    const most = mostOf(trader, price.market, [...wanted, forSale[slot] ?? 0n]);
    return openForMaker(trader, slot, price.market, most, makers);
  });
  return { entries, makers };
}

async function openForMaker(
  trader: Trader,
  slot: number,
  market: EpochMarket,
  most: bigint,
  makers: MakerTicket[],
): Promise<ProvenTransition> {
  const { account } = trader;
  const { transition, tickets } = await account.openTickets(slot, [{ cash: makersCash(market, most), position: 0n }]);
  makers.push(...tickets.map((ticket) => ({ trader, ticket, slot, most })));
  return transition;
}

async function openForWish(trader: Trader, wish: Wish, price: DayPrice, entries: Entry[]): Promise<ProvenTransition> {
  const { transition, tickets } = await openFor(trader, wish, price);
  const side: Side = wish.quantity > 0n ? "buy" : "sell";
  const quantity = magnitude(wish.quantity);
  entries.push(...tickets.map((ticket) => ({ trader, ticket, ...wish, side, quantity })));
  return transition;
}

/** How many contracts a maker is ready for: all that anybody wants, and all that drop-outs left, as far as its money goes. */
function mostOf({ account }: Trader, { initialMargin }: EpochMarket, quantities: readonly bigint[]): bigint {
  const total = quantities.reduce((sum, quantity) => sum + magnitude(quantity), 2n);
  const affordable = account.freeCash / (6n * initialMargin);
  return total < affordable ? total : affordable > 1n ? affordable : 1n;
}

/** The least ticket for a wish: one that carries what is to be reduced, or an empty one with the margin. */
async function openFor(trader: Trader, { slot, quantity, early }: Wish, price: DayPrice): Promise<OpenedTickets> {
  const { account } = trader;
  const held = account.account.positions[slot] ?? 0n;
  const reducing = quantity > 0n !== held > 0n && magnitude(quantity) <= magnitude(held);
  if (reducing) return account.openTickets(slot, [account.reducingTicket(slot, -quantity)]);
  const side: Side = quantity > 0n ? "buy" : "sell";
  const trade = { side, price: early ? price.early : price.target, quantity: magnitude(quantity) };
  return account.openTickets(slot, [account.ticketFor(slot, trade)]);
}

/** Enough to buy so many at the highest price of the day, and to sell as many at the lowest. */
function makersCash(market: EpochMarket, quantity: bigint): bigint {
  const { down, up } = priceLimits(market);
  return (
    cashFor(market, { side: "buy", price: up, quantity }) + cashFor(market, { side: "sell", price: down, quantity })
  );
}

// ------------------------------------------------------------------ trades

type Resting = { readonly order: SignedOrder; left: bigint };

/**
 * Trades of one market in the morning or at the day's end, all at one price. What customers leave over a maker takes,
 * unless the market is locked; at the end the makers trade one contract with each other, so that the day has its price.
 */
async function matchesOf(
  world: World,
  day: number,
  price: DayPrice,
  entries: readonly Entry[],
  makers: readonly MakerTicket[],
  early: boolean,
  execTime: bigint,
): Promise<readonly Match[]> {
  const { slot, locked } = price;
  const atPrice = early ? price.early : price.target;
  const wanted = entries.filter((entry) => entry.slot === slot && entry.early === early);
  const excess = wanted.reduce((sum, { side, quantity }) => sum + (side === "buy" ? quantity : -quantity), 0n);
  const ours = makers.filter((maker) => maker.slot === slot);
  const [taking, other] = day % 2 === 0 ? ours : ours.toReversed();
  const pair = early || taking === undefined || other === undefined ? 0n : 1n;
  const absorbed = taking === undefined || locked ? 0n : smaller(magnitude(excess), taking.most - 1n);
  const takersSide: Side = excess > 0n ? "sell" : "buy";
  const all = [
    ...(pair > 0n && other !== undefined ? [{ ...other, side: opposite(takersSide), quantity: pair }] : []),
    ...(taking !== undefined && absorbed + pair > 0n
      ? [{ ...taking, side: takersSide, quantity: absorbed + pair }]
      : []),
    ...wanted,
  ];
  const buys: Resting[] = [];
  const sells: Resting[] = [];
  for (const { trader, ticket, side, quantity } of all) {
    const terms = { side, limitPrice: atPrice, quantity: Number(quantity), expiry: execTime + ORDERS_GOOD_FOR };
    const start = cpuSeconds();
    const order = await trader.account.signOrder(ticket.ticketId, terms);
    world.meter?.ordered(trader, order, cpuSeconds() - start);
    (side === "buy" ? buys : sells).push({ order, left: quantity });
  }
  return paired(buys, sells).map((match) => ({ ...match, price: atPrice, execTime }));
}

/** Pairs both sides in their order until one is used up. */
function paired(buys: Resting[], sells: Resting[]): readonly Pick<Match, "maker" | "taker" | "quantity">[] {
  const matches: Pick<Match, "maker" | "taker" | "quantity">[] = [];
  let [buy, sell] = [buys.shift(), sells.shift()];
  while (buy !== undefined && sell !== undefined) {
    const quantity = smaller(buy.left, sell.left);
    matches.push({ maker: buy.order, taker: sell.order, quantity });
    buy.left -= quantity;
    sell.left -= quantity;
    if (buy.left === 0n) buy = buys.shift();
    if (sell.left === 0n) sell = sells.shift();
  }
  return matches;
}

function opposite(side: Side): Side {
  return side === "buy" ? "sell" : "buy";
}

function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
