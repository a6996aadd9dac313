import { type EpochMarket, priceLimits } from "./epoch.ts";

/** A settled fill as the price of the day sees it: unix seconds, base units per contract, contracts. */
export type PricedFill = { readonly execTime: bigint; readonly price: bigint; readonly quantity: bigint };

/** Attested best prices at which the minimum volume rested through the settlement window; absent where nobody did. */
export type RestingPrices = { readonly bid?: bigint | undefined; readonly ask?: bigint | undefined };

/** The price of the day and the tier of evidence it rests on. */
export type DailyPrice = { readonly tier: 1 | 2 | 3; readonly price: bigint };

/**
 * The settlement price of one market (spec SET-1 to SET-6), before the rule for a contract's end.
 * `fills` in order of execution; `windowStart` is closingTime - settlementWindow in unix seconds.
 */
export function dailySettlementPrice(
  market: EpochMarket,
  fills: readonly PricedFill[],
  windowStart: bigint,
  resting: RestingPrices = {},
): DailyPrice {
  const { down, up } = priceLimits(market);
  const bid = clamp(resting.bid ?? down, down, up);
  const ask = clamp(resting.ask ?? up, down, up);
  const { tier, price } = tierPrice(market, fills, windowStart);
  const inside = tier > 1 && bid <= ask ? clamp(price, bid, ask) : price;
  return { tier, price: clamp(inside, down, up) };
}

/** Nearest tick to value / volume; half-way goes toward the previous settlement price. Exact for negative values. */
export function roundToTick(value: bigint, volume: bigint, tick: bigint, previous: bigint): bigint {
  const divisor = volume * tick;
  const ticks = floorDiv(value, divisor);
  const twiceRest = 2n * (value - ticks * divisor);
  const up = twiceRest > divisor || (twiceRest === divisor && previous > ticks * tick);
  return (up ? ticks + 1n : ticks) * tick;
}

/** Division toward minus infinity; BigInt's own truncates toward zero. */
export function floorDiv(a: bigint, b: bigint): bigint {
  const quotient = a / b;
  return a % b !== 0n && a < 0n !== b < 0n ? quotient - 1n : quotient;
}

function tierPrice(market: EpochMarket, fills: readonly PricedFill[], windowStart: bigint): DailyPrice {
  const minimum = BigInt(market.minimumVolume);
  if (volumeOf(fills) < minimum) return { tier: 3, price: market.centre };
  const inWindow = fills.filter((fill) => minuteOf(fill) >= (windowStart + 59n) / 60n);
  const minutes = new Set(inWindow.map(minuteOf)).size;
  if (minutes >= market.minimumMinutes && volumeOf(inWindow) >= minimum) {
    return { tier: 1, price: average(market, inWindow) };
  }
  const allMinutes = [...new Set(fills.map(minuteOf))].reverse();
  for (const first of allMinutes) {
    const tail = fills.filter((fill) => minuteOf(fill) >= first);
    if (volumeOf(tail) >= minimum) return { tier: 2, price: average(market, tail) };
  }
  return { tier: 3, price: market.centre };
}

function average(market: EpochMarket, fills: readonly PricedFill[]): bigint {
  const value = fills.reduce((sum, fill) => sum + fill.price * fill.quantity, 0n);
  return roundToTick(value, volumeOf(fills), market.tick, market.centre);
}

function volumeOf(fills: readonly PricedFill[]): bigint {
  return fills.reduce((sum, fill) => sum + fill.quantity, 0n);
}

function minuteOf(fill: PricedFill): bigint {
  return fill.execTime / 60n;
}

function clamp(price: bigint, down: bigint, up: bigint): bigint {
  return price < down ? down : price > up ? up : price;
}
