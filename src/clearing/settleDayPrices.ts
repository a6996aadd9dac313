import { type EpochMarket, priceLimits } from "../protocol/epoch.ts";
import { dailySettlementPrice, type PricedFill, type RestingPrices, roundToTick } from "../protocol/settlementPrice.ts";

// What a settlement price rests on, in numbers that anybody can add up again (spec SET-1 to SET-10).

/** What traded in one minute: unix seconds of its beginning, contracts, and the sum of price times quantity. */
export type Minute = { readonly time: bigint; readonly volume: bigint; readonly value: bigint };

/** The evidence of a market's daily price. Prices and limits in base units per contract, times in unix seconds. */
export type PriceEvidence = {
  readonly tier: 1 | 2 | 3;
  /** The price of the day. */
  readonly price: bigint;
  /** What the trades, or yesterday's price, say by themselves, and what cut it off. */
  readonly unbounded: bigint;
  readonly cutOffBy: "nothing" | "limits" | "quotes";
  readonly centre: bigint;
  readonly down: bigint;
  readonly up: bigint;
  readonly bid: bigint | undefined;
  readonly ask: bigint | undefined;
  readonly windowStart: bigint;
  /** Minutes with fills in the settlement window, their volume, and what tier 1 asks for. */
  readonly windowMinutes: number;
  readonly windowVolume: bigint;
  readonly minimumMinutes: number;
  readonly minimumVolume: number;
  readonly dayVolume: bigint;
  /** The latest whole minutes that together reach the minimum volume, which tier 2 takes. */
  readonly tail: { readonly from: bigint; readonly volume: bigint } | undefined;
  /** All minutes of the day that have fills, in order. */
  readonly minutes: readonly Minute[];
};

/** Volume and value by the minute of execution. `fills` in order of execution. */
function minutesOf(fills: readonly PricedFill[]): readonly Minute[] {
  const byMinute = Map.groupBy(fills, ({ execTime }) => (execTime / 60n) * 60n);
  return [...byMinute].map(([time, inMinute]) => ({
    time,
    volume: inMinute.reduce((sum, { quantity }) => sum + quantity, 0n),
    value: inMinute.reduce((sum, { quantity, price }) => sum + quantity * price, 0n),
  }));
}

/**
 * The daily price of a market and all that speaks for it. `fills` of the day in order of execution; `windowStart` is
 * closingTime - settlementWindow.
 */
export function priceEvidence(
  market: EpochMarket,
  fills: readonly PricedFill[],
  windowStart: bigint,
  resting: RestingPrices = {},
): PriceEvidence {
  const { tier, price } = dailySettlementPrice(market, fills, windowStart, resting);
  const unbounded = dailySettlementPrice({ ...market, priceLimit: ANY }, fills, windowStart).price;
  const { down, up } = priceLimits(market);
  const inLimits = unbounded >= down && unbounded <= up;
  const minutes = minutesOf(fills);
  const first = ((windowStart + 59n) / 60n) * 60n;
  const inWindow = minutes.filter(({ time }) => time >= first);
  return {
    tier,
    price,
    unbounded,
    cutOffBy: price === unbounded ? "nothing" : inLimits ? "quotes" : "limits",
    centre: market.centre,
    down,
    up,
    bid: resting.bid,
    ask: resting.ask,
    windowStart,
    windowMinutes: inWindow.length,
    windowVolume: volumeOf(inWindow),
    minimumMinutes: market.minimumMinutes,
    minimumVolume: market.minimumVolume,
    dayVolume: volumeOf(minutes),
    tail: tailOf(minutes, BigInt(market.minimumVolume)),
    minutes,
  };
}

/** Wider than any price that fits an order. */
const ANY = 1n << 90n;

/** Days of one contract whose mean settles it at its end. */
const FINAL_DAYS = 3;

/** What would settle a contract at its end: the mean of its last daily prices (spec SET-9, SET-10). */
export type FinalPrice = { readonly mean: bigint; readonly price: bigint; readonly expires: boolean };

/** `dailyPrices` of the contract, the newest (this day's) first; undefined where they are too few. */
export function finalPrice(market: EpochMarket, dailyPrices: readonly bigint[]): FinalPrice | undefined {
  const last = dailyPrices.slice(0, FINAL_DAYS);
  if (last.length < FINAL_DAYS) return undefined;
  const sum = last.reduce((total, price) => total + price, 0n);
  const mean = roundToTick(sum, BigInt(FINAL_DAYS), market.tick, market.centre);
  const { down, up } = priceLimits(market);
  const price = mean < down ? down : mean > up ? up : mean;
  return { mean, price, expires: mean === price };
}

function tailOf(minutes: readonly Minute[], minimum: bigint): PriceEvidence["tail"] {
  let volume = 0n;
  for (const minute of minutes.toReversed()) {
    volume += minute.volume;
    if (volume >= minimum) return { from: minute.time, volume };
  }
  return undefined;
}

function volumeOf(minutes: readonly Minute[]): bigint {
  return minutes.reduce((sum, { volume }) => sum + volume, 0n);
}
