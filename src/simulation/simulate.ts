import { call } from "../chain/clearingHouse.ts";
import { NotConserved } from "../protocol/conservation.ts";
import { rememberHashes } from "../protocol/hash.ts";
import { since, type Waterfall, WHOLE } from "./books.ts";
import { beginTheDay, type Closed, type Morning, turnTheDay } from "./clearing.ts";
import { feedFinalPrices, firstListing, type Listing, publishTerms, slotsOf, symbolIn } from "./listing.ts";
import { firstDays, type Series } from "./series.ts";
import type { MarketRules, Stress } from "./terms.ts";
import { abandonedIn, type DayPrice, pricesOf, tradeTheDay } from "./trading.ts";
import { classOf, MAKERS, newTrader, TooFewTraders } from "./traders.ts";
import {
  actAll,
  depositFor,
  type Meter,
  openSeatFor,
  settleStep,
  stakeAsOperator,
  startWorld,
  type World,
} from "./world.ts";

/** What is simulated. */
export type SimulationSettings = {
  readonly series: Series;
  readonly rules: MarketRules;
  readonly traders: number;
  readonly seed: number;
  /** Only the first days of the series, and none after them. */
  readonly days?: number | undefined;
  /** Without proofs, on a verifier that believes everything and that only a local chain can have. */
  readonly unproven: boolean;
  readonly stress?: Stress | undefined;
};

/** What happened in one market on one day. Prices in base units per contract. */
export type MarketDay = {
  readonly slot: number;
  readonly symbol: string;
  readonly recorded: bigint;
  readonly settled: bigint;
  readonly maintenance: bigint;
  readonly locked: boolean;
  readonly expired: boolean;
  readonly tornUp: boolean;
  /** Contracts that are open when the next day begins, those of drop-outs included. */
  readonly openInterest: bigint;
};

/** What happened on one day. Amounts in base units; the payout ratio is that after its window. */
export type SimulatedDay = Morning &
  Closed &
  Waterfall & {
    readonly day: number;
    /** Of the series; undefined after its end, while contracts go on towards their final prices. */
    readonly date: string | undefined;
    readonly markets: readonly MarketDay[];
    readonly fills: number;
    readonly seconds: number;
  };

/** The sums of all days, and the lowest payout ratio. Amounts in base units. */
export type SimulationResult = Waterfall & {
  readonly days: number;
  readonly marginCalls: number;
  readonly callsMet: number;
  readonly defaults: number;
  readonly tokensLost: bigint;
  readonly conserved: boolean;
  /** Why not, if it was not. */
  readonly fault: string | undefined;
  readonly checks: number;
  readonly perDay: readonly SimulatedDay[];
};

export type SimulationHooks = {
  readonly signal?: AbortSignal | undefined;
  readonly onDay?: (day: SimulatedDay, of: number) => void;
  readonly onStep?: (what: string) => void;
  readonly meter?: Meter | undefined;
};

/** Hashes that are kept: those of a few days. */
const HASHES = 200_000;
/** Most days after the end of a series. */
const RUN_OFF = 60;
/** What the guaranty fund and the operator's stake begin with, in margins of one contract. */
const FUND_MARGINS = 20n;
const STAKE_MARGINS = 10n;

/**
 * Plays the days of a series with traders that nobody can look into, and checks every sum after every step. A sum that
 * does not come out ends the simulation, and `conserved` is false.
 * Throws TooFewTraders, BadSeries, LocalNodeError, and what the signal is aborted with.
 */
export async function simulate(settings: SimulationSettings, hooks: SimulationHooks = {}): Promise<SimulationResult> {
  const { rules, unproven, seed } = settings;
  const series = settings.days === undefined ? settings.series : firstDays(settings.series, settings.days);
  const slots = slotsOf(series);
  const makers = MAKERS * slots;
  if (settings.traders < makers) throw new TooFewTraders(settings.traders, makers);
  hooks.onStep?.("starting a local chain");
  rememberHashes(hooks.meter === undefined ? HASHES : 0);
  const { world, listing } = await startWorld({
    feeds: slots,
    list: (feeds) => firstListing(series, rules, feeds, BigInt(Math.floor(Date.now() / 1_000))),
    seed,
    unproven,
    stress: settings.stress ?? {},
    signal: hooks.signal,
    meter: hooks.meter,
  });
  const perDay: SimulatedDay[] = [];
  try {
    hooks.onStep?.("opening seats");
    await hooks.meter?.started(world);
    await settle(world, settings, makers);
    for (let day = 0; day < series.days.length || goesOn(world, listing, settings, day); day++) {
      const one = await playDay(world, listing, day);
      perDay.push(one);
      await hooks.meter?.dayOver(world);
      hooks.onDay?.(one, series.days.length);
    }
    return await resultOf(world, perDay, undefined);
  } catch (error) {
    hooks.signal?.throwIfAborted();
    if (!(error instanceof NotConserved)) throw error;
    return await resultOf(world, perDay, error.message);
  } finally {
    rememberHashes(0);
    await world.stop();
  }
}

/** After the end of the series: as long as a contract has not come to its final price. */
function goesOn({ state }: World, listing: Listing, { days }: SimulationSettings, day: number): boolean {
  if (days !== undefined || day >= listing.series.days.length + RUN_OFF) return false;
  return state.markets(state.epoch).some((market) => symbolIn(listing, market) !== undefined);
}

async function playDay(world: World, listing: Listing, day: number): Promise<SimulatedDay> {
  const started = performance.now();
  const before = world.books.waterfall;
  await publishTerms(world, listing, day);
  const morning = await beginTheDay(world);
  const prices = pricesOf(world, listing, day);
  const fills = await tradeTheDay(world, day, prices);
  await feedFinalPrices(world, listing, day);
  const closed = await turnTheDay(world, day);
  const abandoned = await abandonedIn(world);
  return {
    ...morning,
    ...closed,
    ...since(before, world.books.waterfall),
    day,
    date: listing.series.days[day],
    markets: prices.map((price) => marketDay(world, price, abandoned[price.slot] ?? 0n)),
    fills,
    seconds: (performance.now() - started) / 1_000,
  };
}

function marketDay(world: World, { slot, symbol, recorded, locked, market }: DayPrice, ofDropOuts: bigint): MarketDay {
  const { state, traders, books } = world;
  const after = state.markets(state.epoch - 1)[slot];
  const tornUp = after?.tornUp ?? false;
  const holders = [books.residual, ...traders.map((trader) => books.noteOf(trader))];
  const positions = [ofDropOuts, ...holders.map((account) => account.positions[slot] ?? 0n)];
  return {
    slot,
    symbol,
    recorded,
    settled: after?.settlementPrice ?? 0n,
    maintenance: market.maintenanceMargin,
    locked,
    expired: after?.expired === true && !tornUp,
    tornUp,
    openInterest: positions.reduce((sum, position) => (position > 0n ? sum + position : sum), 0n),
  };
}

/** Seats, first deposits, the guaranty fund; and who sleeps falls asleep. */
async function settle(world: World, { traders: count, seed }: SimulationSettings, makers: number): Promise<void> {
  const { exchange, bank, chance, state, traders } = world;
  const { chain } = exchange;
  const margin = state
    .markets(1)
    .reduce((most, { initialMargin }) => (initialMargin > most ? initialMargin : most), 0n);
  const { fund = FUND_MARGINS * margin, stake: atStake = STAKE_MARGINS * margin } = world.stress;
  if (fund > 0n) await call(chain, bank, { functionName: "contributeToFund", args: [fund] });
  if (atStake > 0n) await stakeAsOperator(world, atStake);
  const stakes: bigint[] = [];
  for (let number = 0; number < count; number++) {
    const parts = { chain: state, prover: world.prover };
    const { trader, stake } = await newTrader(number, classOf(number, makers), seed, margin, chance, parts);
    traders.push(trader);
    stakes.push(stake);
  }
  for (const trader of traders) {
    world.signal?.throwIfAborted();
    await openSeatFor(world, trader);
  }
  await settleStep(world, traders);
  for (const [number, trader] of traders.entries()) {
    world.signal?.throwIfAborted();
    await depositFor(world, trader, stakes[number] ?? margin);
  }
  await settleStep(world, traders);
  await actAll(world, "relayed", traders, ({ account }) => {
    const [credit] = account.state.credits;
    return credit === undefined ? undefined : account.fund(credit.creditId);
  });
  await actAll(world, "relayed", traders, ({ kind, account }) => (kind === "asleep" ? account.sleep() : undefined));
}

async function resultOf(
  world: World,
  perDay: readonly SimulatedDay[],
  fault: string | undefined,
): Promise<SimulationResult> {
  const { waterfall, lowestRatio, checks } = world.books;
  const total = (of: (day: SimulatedDay) => number): number => perDay.reduce((sum, day) => sum + of(day), 0);
  return {
    days: perDay.length,
    marginCalls: total(({ calls }) => calls),
    callsMet: total(({ met }) => met),
    defaults: total(({ defaults }) => defaults),
    ...waterfall,
    payoutRatio: lowestRatio,
    tokensLost: await world.books.tokensLost(),
    conserved: fault === undefined,
    fault,
    checks,
    perDay,
  };
}

export { WHOLE };
