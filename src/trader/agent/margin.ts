import {
  bandValuation,
  type EpochMarket,
  type EpochMarkets,
  nextBandValuation,
  type Phase,
  priceLimits,
} from "../../protocol/epoch.ts";
import type { Account } from "../../protocol/note.ts";
import { equity } from "../../protocol/valuation.ts";
import { roundedUp } from "../desk/funding.ts";
import type { MarginView } from "./status.ts";

/** What the margin is worked out from. `holdings`: note and tickets together. Base units. */
export type MarginInput = {
  readonly phase: Phase;
  readonly holdings: Account;
  readonly markets: EpochMarkets;
  /** Of the next epoch; they count in the window. */
  readonly nextMarkets: EpochMarkets;
  /** By slot; where there is none the settlement price of the epoch before counts. */
  readonly lastPrices: ReadonlyMap<number, bigint>;
  /** What a renewal costs. */
  readonly relayFee: bigint;
  readonly warnPercents: readonly number[];
};

/**
 * Equity against what a renewal will ask for. In Trading as if the day ended at the last prices, with today's margins;
 * in the window exactly what the contract demands (spec SEA-6, ACC-10).
 */
export function marginOf(input: MarginInput): MarginView {
  const { phase, holdings, markets, nextMarkets, relayFee, warnPercents } = input;
  const inWindow = phase === "window" && nextMarkets.length > 0;
  const present = inWindow ? markets.map(settledAt) : markets.map((market, slot) => pricedAt(market, slot, input));
  const worth = equity(holdings, bandValuation(present.map(withoutMargin), "maintenanceMargin"));
  const inBand = (band: "initialMargin" | "maintenanceMargin"): bigint =>
    equity(holdings, inWindow ? nextBandValuation(markets, nextMarkets, band, true) : bandValuation(present, band));
  const maintenance = worth - inBand("maintenanceMargin");
  const free = worth - maintenance - relayFee;
  const freePercent = maintenance <= 0n ? null : clamped((free * 100n) / maintenance);
  return {
    equity: worth.toString(),
    initialMargin: (worth - inBand("initialMargin")).toString(),
    maintenanceMargin: maintenance.toString(),
    free: free.toString(),
    freeAtLimits: (inWindow ? free : equity(holdings, atLimits(markets)) - relayFee).toString(),
    freePercent,
    short: (free < 0n ? -free : 0n).toString(),
    level: levelOf(free, freePercent, warnPercents),
  };
}

function levelOf(free: bigint, percent: number | null, warnPercents: readonly number[]): MarginView["level"] {
  if (free < 0n) return "call";
  if (percent === null) return "good";
  return warnPercents.some((threshold) => percent < threshold) ? "warning" : "good";
}

/** As a number that is exact. */
function clamped(percent: bigint): number {
  const most = 1_000_000_000n;
  return Number(percent > most ? most : percent < -most ? -most : percent);
}

/** The market as if the day ended at the last price. */
function pricedAt(market: EpochMarket, slot: number, { lastPrices }: MarginInput): EpochMarket {
  return { ...market, centre: lastPrices.get(slot) ?? market.centre };
}

function settledAt(market: EpochMarket): EpochMarket {
  return { ...market, centre: market.settlementPrice };
}

function withoutMargin(market: EpochMarket): EpochMarket {
  return { ...market, initialMargin: 0n, maintenanceMargin: 0n };
}

/** Each market at the limit that hurts, and its maintenance margin beyond. */
function atLimits(markets: EpochMarkets) {
  return bandValuation(
    markets.map((market) => {
      const { up } = priceLimits(market);
      return { ...market, maintenanceMargin: market.maintenanceMargin + up - market.centre };
    }),
    "maintenanceMargin",
  );
}

/** What is at hand when the margin is short. `limit`: most that may be deposited from the funding address. */
export type TopUpInput = {
  readonly shortage: bigint;
  readonly credits: readonly { readonly creditId: string; readonly amount: bigint }[];
  readonly limit: bigint;
};

/**
 * How a shortage is met: the smallest single credit that covers it, or else the largest ones until they do; then a
 * deposit in a round amount (spec PRI-6), as far as the limit goes.
 */
export function toppedUp({ shortage, credits, limit }: TopUpInput): {
  readonly fund: readonly string[];
  readonly deposit: bigint;
} {
  const rising = credits.toSorted((a, b) => (a.amount < b.amount ? -1 : 1));
  const single = rising.find(({ amount }) => amount >= shortage);
  if (single !== undefined) return { fund: [single.creditId], deposit: 0n };
  const missing = shortage - credits.reduce((sum, { amount }) => sum + amount, 0n);
  let left = shortage;
  const fund: string[] = [];
  for (const { creditId, amount } of rising.toReversed()) {
    if (left <= 0n) break;
    fund.push(creditId);
    left -= amount;
  }
  if (missing <= 0n || limit <= 0n) return { fund, deposit: 0n };
  return { fund, deposit: missing >= limit ? limit : roundedUp(missing, limit) };
}
