import { stringToHex } from "viem";
import type { ClearingTerms, MarketTerms } from "../chain/deploy.ts";
import { DEMO_CLEARING_TERMS, DOLLAR, LEAN_HOG_TERMS } from "../clearing/leanHogs.ts";
import type { Hex } from "../protocol/keys.ts";
import { BadSeries, inBaseUnits, type MarginRow, marginsOn, recordedPrice, type SymbolSeries } from "./series.ts";

/** Seconds of one day of a simulation, from one opening to the next. */
export const DAY = 86_400;
const HOUR = 3_600;

/** Terms of the clearing house of a simulation: a day of six hours, and an hour for each part of its window. */
export const CLEARING_TERMS: ClearingTerms = {
  ...DEMO_CLEARING_TERMS,
  tradingTime: 6 * HOUR,
  settleGrace: 600,
  settlementWindow: 1_800,
  windowA: HOUR,
  windowB: HOUR,
  windowBlocks: 1,
  flatGraceEpochs: 5,
  lockTime: 1_800,
  lockNotice: 1_800,
};

/** Longer than a whole cycle and shorter than a day: what is published today counts at the close of tomorrow. */
export const GOVERNANCE_DELAY = 9 * HOUR;

/** Margins of one contract in base units. */
export type Margins = { readonly initial: bigint; readonly maintenance: bigint };

/** What markets are made of besides their prices. */
export type MarketRules = {
  /** Dollars per contract for 1.00 of the recorded price. */
  readonly multiplier: bigint;
  /** Dollars per contract; a tenth of the contract's first price if absent. */
  readonly maintenance?: bigint | undefined;
  /** Margins by date, in place of it. */
  readonly margins?: readonly MarginRow[] | undefined;
};

/** What makes a simulation harder than it is by itself. Amounts in base units. */
export type Stress = {
  /** Of a hundred tickets against which their market went that day, how many are left open for good. */
  readonly abandon?: number | undefined;
  /** Of a hundred makers that could bid for what drop-outs left, how many do; all if absent. */
  readonly bidders?: number | undefined;
  /** What the operator stakes, and what the guaranty fund begins with; margins of some contracts if absent. */
  readonly stake?: bigint | undefined;
  readonly fund?: bigint | undefined;
};

/** Base units per contract of the smallest step of a symbol's recorded prices. */
export function tickOf({ decimals }: SymbolSeries, { multiplier }: MarketRules): bigint {
  return (multiplier * DOLLAR) / 10n ** BigInt(decimals);
}

/** A symbol's recorded price of a day, base units per contract. */
export function priceOn(series: SymbolSeries, day: number, { multiplier }: MarketRules): bigint {
  return inBaseUnits(recordedPrice(series, day), multiplier * DOLLAR);
}

/** Margins that a symbol is to have on a date, whole ticks. Throws BadSeries where they are too small to be any. */
export function wantedMargins(series: SymbolSeries, date: string, rules: MarketRules): Margins {
  const tick = tickOf(series, rules);
  const upToTicks = (amount: bigint) => ((amount + tick - 1n) / tick) * tick;
  const row = rules.margins === undefined ? undefined : marginsOn(rules.margins, date);
  const first = priceOn(series, series.firstDay, rules);
  const plain = rules.maintenance === undefined ? (first < 0n ? -first : first) / 10n : rules.maintenance * DOLLAR;
  const maintenance = upToTicks(row === undefined ? plain : inBaseUnits(row.maintenance, DOLLAR));
  const initial = upToTicks(row === undefined ? (maintenance * 11n) / 10n : inBaseUnits(row.initial, DOLLAR));
  if (maintenance < LEAST_TICKS * tick) {
    throw new BadSeries(
      series.symbol,
      `a maintenance margin of ${maintenance} base units is below ${LEAST_TICKS} ticks: give another with --maintenance`,
    );
  }
  return { initial, maintenance };
}

const LEAST_TICKS = 20n;

/**
 * The margins of one day on the way to those wanted, one step further: neither more than a sixth above those in force
 * nor less than six tenths of them, so that the registry takes the step (spec GOV-4).
 */
export function stepTowards(from: Margins, wanted: Margins, tick: bigint): Margins {
  const most = (from.maintenance * 7n) / 6n;
  const least = (from.maintenance * 6n) / 10n;
  if (wanted.maintenance <= most && wanted.maintenance >= least) return wanted;
  const maintenance = ((wanted.maintenance > most ? most : least) / tick) * tick;
  return { maintenance, initial: ((maintenance * wanted.initial) / wanted.maintenance / tick + 1n) * tick };
}

/** A contract with these margins: limits and close-out fee are shares of maintenance (spec SIM-4). */
export function termsOf(
  series: SymbolSeries,
  { initial, maintenance }: Margins,
  listingPrice: bigint,
  lastTradingTime: bigint,
  rules: MarketRules,
  priceFeed: Hex,
): MarketTerms {
  const tick = tickOf(series, rules);
  const share = (percent: bigint) => ((maintenance * percent) / 100n / tick) * tick;
  return {
    ...LEAN_HOG_TERMS,
    contractId: stringToHex(series.symbol, { size: 32 }),
    listingPrice,
    tick,
    priceLimit: share(30n),
    expandedLimit: share(45n),
    closeOutFee: share(55n),
    maintenanceMargin: maintenance,
    initialMargin: initial,
    fillFee: DOLLAR,
    minimumVolume: 1,
    minimumMinutes: 1,
    lastTradingTime,
    priceFeed,
    feedMultiplier: rules.multiplier * DOLLAR,
    feedMaxAge: DAY,
  };
}
