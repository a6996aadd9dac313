import { zeroAddress } from "viem";
import type { Hex } from "../protocol/keys.ts";
import { type EpochMarket } from "../protocol/epoch.ts";
import type { MarketTerms } from "../chain/deploy.ts";
import { recordedPrice, runningOn, type Series, type SymbolSeries } from "./series.ts";
import { DAY, type Margins, type MarketRules, priceOn, stepTowards, termsOf, tickOf, wantedMargins } from "./terms.ts";
import { FEED_DECIMALS, openingOf, publishAnswer, scheduleMarket, type World } from "./world.ts";

/** Which symbols run in which slots, and what the registry was last told of each slot. */
export type Listing = {
  readonly series: Series;
  readonly rules: MarketRules;
  /** Slots in use: the most symbols that run on one day. */
  readonly slots: number;
  readonly byContract: Map<Hex, SymbolSeries>;
  readonly published: Map<number, Published>;
  /** Feeds of the final prices, by slot. */
  readonly feeds: readonly Hex[];
};

type Published = { readonly symbol: SymbolSeries; readonly margins: Margins; readonly lastTradingTime: bigint };

/** Three hours into its last trading day. */
const INTO_THE_DAY = 10_800;

/** How many slots a series takes: the most symbols that run on one day. */
export function slotsOf({ days, symbols }: Series): number {
  return Math.max(...days.map((_, day) => runningOn(symbols, day).length));
}

/** The listing of the first day, and the terms to deploy with; `now` is about when the first day opens, unix seconds. */
export function firstListing(
  series: Series,
  rules: MarketRules,
  feeds: readonly Hex[],
  now: bigint,
): { readonly listing: Listing; readonly terms: readonly MarketTerms[] } {
  const listing: Listing = { series, rules, slots: feeds.length, byContract: new Map(), published: new Map(), feeds };
  const terms = runningOn(series.symbols, 0).map((symbol, slot) => {
    const lastTradingTime = now + BigInt(symbol.lastDay * DAY + INTO_THE_DAY);
    const margins = wantedMargins(symbol, series.days[0] ?? "", rules);
    return publish(listing, slot, { symbol, margins, lastTradingTime }, 0);
  });
  return { listing, terms };
}

/** The symbol that runs in a slot of the present epoch; undefined where none does. */
export function symbolIn({ byContract }: Listing, market: EpochMarket | undefined): SymbolSeries | undefined {
  return market?.listed === true ? byContract.get(market.contractId) : undefined;
}

/**
 * At the opening of a day: publishes contracts that are to begin by the day after tomorrow in slots that are free by
 * then, and margins that are to change (spec SIM-5, SIM-6).
 */
export async function publishTerms(world: World, listing: Listing, day: number): Promise<void> {
  const { series, rules, published } = listing;
  const markets = world.state.markets(world.state.epoch);
  const running = (slot: number) => symbolIn(listing, markets[slot]);
  const waiting = series.symbols.filter(
    (symbol) =>
      symbol.firstDay <= day + 2 &&
      symbol.lastDay >= day + 2 &&
      !markets.some((market) => symbolIn(listing, market) === symbol),
  );
  for (const symbol of waiting) {
    const slots = Array.from({ length: listing.slots }, (_, slot) => slot);
    const slot =
      slots.find((each) => published.get(each)?.symbol === symbol) ??
      slots.find((each) => {
        const there = running(each);
        const reserved = published.get(each)?.symbol;
        if (reserved !== undefined && reserved !== there && reserved.lastDay >= day + 2) return false;
        return there === undefined || there.lastDay <= day + 1;
      });
    if (slot === undefined) continue;
    const margins = wantedMargins(symbol, series.days[day + 2] ?? "", rules);
    const lastTradingTime = openingOf(world, symbol.lastDay) + BigInt(INTO_THE_DAY);
    await scheduleMarket(world, slot, publish(listing, slot, { symbol, margins, lastTradingTime }, day + 1));
  }
  for (const [slot, { symbol, margins, lastTradingTime }] of published) {
    if (running(slot) !== symbol || symbol.lastDay <= day + 1) continue;
    const wanted = wantedMargins(symbol, series.days[day + 2] ?? series.days.at(-1) ?? "", rules);
    const next = stepTowards(margins, wanted, tickOf(symbol, rules));
    if (next.maintenance === margins.maintenance && next.initial === margins.initial) continue;
    await scheduleMarket(world, slot, publish(listing, slot, { symbol, margins: next, lastTradingTime }, day));
  }
}

/** Tells the feeds of contracts that are at their end, or beyond it, what was recorded last (spec SIM-7). */
export async function feedFinalPrices(world: World, listing: Listing, day: number): Promise<void> {
  const markets = world.state.markets(world.state.epoch);
  for (const [slot, market] of markets.entries()) {
    const symbol = symbolIn(listing, market);
    const feed = listing.feeds[slot];
    if (symbol === undefined || feed === undefined || symbol.lastDay > day) continue;
    const { units, decimals } = recordedPrice(symbol, day);
    await publishAnswer(world, feed, units * 10n ** BigInt(FEED_DECIMALS - decimals));
  }
}

function publish(listing: Listing, slot: number, entry: Published, day: number): MarketTerms {
  const { symbol, margins, lastTradingTime } = entry;
  const { rules, feeds } = listing;
  const feed = feeds[slot] ?? zeroAddress;
  const terms = termsOf(symbol, margins, priceOn(symbol, day, rules), lastTradingTime, rules, feed);
  listing.published.set(slot, entry);
  listing.byContract.set(terms.contractId, symbol);
  return terms;
}
