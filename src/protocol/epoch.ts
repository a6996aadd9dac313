import { type Action, isReduceOnly } from "./action.ts";
import { HedgerowError } from "./errors.ts";
import { BIG } from "./field.ts";
import type { Hex } from "./keys.ts";
import { SLOTS } from "./note.ts";
import { barSide, flatOnlyValuation, type Valuation } from "./valuation.ts";

/** Where the day stands: trading, or the settlement window in which accounts are renewed. */
export type Phase = "trading" | "window";

/**
 * One market in one epoch, as the contract froze it. Prices, margins and fees in base units per contract;
 * centre is the settlement price of the epoch before. settlementPrice, expired and tornUp count once the epoch is closed.
 */
export type EpochMarket = {
  readonly contractId: Hex;
  readonly listed: boolean;
  readonly centre: bigint;
  readonly tick: bigint;
  /** The limit in force: the daily one, or the expanded one after a day that settled at its limit. */
  readonly priceLimit: bigint;
  readonly dailyLimit: bigint;
  readonly expandedLimit: bigint;
  readonly maintenanceMargin: bigint;
  readonly initialMargin: bigint;
  readonly closeOutFee: bigint;
  readonly fillFee: bigint;
  readonly minimumVolume: number;
  readonly minimumMinutes: number;
  readonly settlementPrice: bigint;
  readonly expired: boolean;
  /** Ended because nothing could pay a loss; it counts as expired. */
  readonly tornUp: boolean;
  readonly closingOnly: boolean;
  readonly lastTradingTime: bigint;
  /** How far beyond the last price an incoming order may go; 0 for no collar. */
  readonly priceCollar: bigint;
  readonly priceFeed: Hex;
  readonly feedMultiplier: bigint;
  readonly feedMaxAge: number;
};

/** Of a contract that ends at the mean of its last days: no feed. */
export const NO_FEED = {
  priceFeed: "0x0000000000000000000000000000000000000000",
  feedMultiplier: 0n,
  feedMaxAge: 0,
} as const;

/** The eight slots of an epoch. */
export type EpochMarkets = readonly EpochMarket[];

/** A slot holds no contract in an epoch. */
export class MarketNotListed extends HedgerowError {
  constructor(slot: number, epoch: number) {
    super("MarketNotListed", `slot ${slot} holds no contract in epoch ${epoch}: name a listed market`, { slot, epoch });
  }
}

/** Lowest and highest price of a market's trading day. */
export function priceLimits(market: EpochMarket): { readonly down: bigint; readonly up: bigint } {
  return { down: market.centre - market.priceLimit, up: market.centre + market.priceLimit };
}

/** cash + position * centre - |position| * halfWidth: equity at the worst price of a band (spec TKT-4). */
export function equityInBand(cash: bigint, position: bigint, centre: bigint, halfWidth: bigint): bigint {
  return cash + position * centre - (position < 0n ? -position : position) * halfWidth;
}

/** What a position that dropped out is charged per contract: nothing where the contract expired (spec DEF-2). */
export function feeAtDefault(market: EpochMarket): bigint {
  return market.expired ? 0n : market.closeOutFee;
}

/** Longs closed by default get settlementPrice - fee, shorts pay settlementPrice + fee; an expired slot has no fee. */
export function defaultValuation(markets: EpochMarkets, settleMask = 0n): Valuation {
  return valuation(markets, (market) => [market.settlementPrice, feeAtDefault(market)], settleMask);
}

/** The band an order of this transition must be solvent at. Unlisted slots admit no position. */
export function bandValuation(markets: EpochMarkets, band: "initialMargin" | "maintenanceMargin"): Valuation {
  return valuation(markets, (market) => [market.centre, market[band]], 0n);
}

/** Bands of the coming epoch around the settlement prices, with expired slots at their final price. */
export function nextBandValuation(
  markets: EpochMarkets,
  nextMarkets: EpochMarkets,
  band: "initialMargin" | "maintenanceMargin",
  settleExpired: boolean,
): Valuation {
  let settleMask = 0n;
  markets.forEach((market, slot) => {
    if (settleExpired && market.listed && market.expired) settleMask |= 1n << BigInt(slot);
  });
  return valuation(
    markets,
    (market, slot) => {
      if (market.expired) return [market.settlementPrice, 0n];
      const next = nextMarkets[slot];
      return next === undefined ? [0n, BIG] : [next.centre, next[band]];
    },
    settleMask,
  );
}

/** What decides the valuation of a transition (spec ACC-10). */
export type ValuationInput = {
  readonly phase: Phase;
  /** Slots of the present epoch, and of the next one (only used in the window). */
  readonly markets: EpochMarkets;
  readonly nextMarkets: EpochMarkets;
  /** Slots of the epoch a seat has been in default since (only used by rejoin and exit). */
  readonly defaultMarkets: EpochMarkets;
};

/** The valuation that the contract demands of an action: the table of spec ACC-10. */
export function valuationFor(action: Action, input: ValuationInput): Valuation {
  const { phase, markets, nextMarkets, defaultMarkets } = input;
  switch (action.name) {
    case "fund":
    case "closeTicket":
    case "claimTicket":
      return phase === "trading" ? bandValuation(markets, "maintenanceMargin") : defaultValuation(markets);
    case "openTicket": {
      if (!isReduceOnly(action.tickets)) return bandValuation(markets, "initialMargin");
      const carriesLong = (action.tickets[0]?.position ?? 0) > 0;
      return barSide(bandValuation(markets, "maintenanceMargin"), action.slot, carriesLong ? "short" : "long");
    }
    case "withdraw":
      return phase === "trading"
        ? bandValuation(markets, "initialMargin")
        : nextBandValuation(markets, nextMarkets, "initialMargin", false);
    case "renew":
      return nextBandValuation(markets, nextMarkets, "maintenanceMargin", true);
    case "sleep":
    case "wake":
    case "closeSeat":
      return flatOnlyValuation();
    case "rejoin":
    case "exit":
      return action.flat ? flatOnlyValuation(ALL_SLOTS) : defaultValuation(defaultMarkets, ALL_SLOTS);
  }
}

const ALL_SLOTS = (1n << BigInt(SLOTS)) - 1n;

function valuation(
  markets: EpochMarkets,
  priceOf: (market: EpochMarket, slot: number) => readonly [centre: bigint, halfWidth: bigint],
  settleMask: bigint,
): Valuation {
  const prices = Array.from({ length: SLOTS }, (_, slot) => {
    const market = markets[slot];
    return market?.listed === true ? priceOf(market, slot) : ([0n, BIG] as const);
  });
  return {
    priceIfLong: prices.map(([centre, halfWidth]) => centre - halfWidth),
    priceIfShort: prices.map(([centre, halfWidth]) => centre + halfWidth),
    settleMask,
  };
}
