import { NO_FEED } from "../protocol/epoch.ts";
import { stringToHex } from "viem";
import type { ClearingTerms, MarketTerms } from "../chain/deploy.ts";

/** Base units of one dollar: the collateral has 6 decimals. */
export const DOLLAR = 1_000_000n;
/** Smallest price step of a contract: 0.00025 USD/lb on 40,000 lb. */
export const TICK = 10n * DOLLAR;
/** Pounds of one contract. */
const POUNDS = 40_000n;

/** Price of one contract in base units, from thousandths of a US cent per pound: 80_000 is 80.000 cents, 32,000 USD. */
export function priceOfMilliCents(milliCentsPerPound: number): bigint {
  return (BigInt(milliCentsPerPound) * POUNDS * DOLLAR) / 100_000n;
}

/**
 * A Lean Hog contract: 40,000 lb, listed at 80.000 cents per pound. Its amounts obey
 * priceLimit + closeOutFee <= maintenanceMargin <= initialMargin and priceLimit <= closeOutFee (spec GOV-3).
 */
export const LEAN_HOG_TERMS: MarketTerms = {
  contractId: stringToHex("LEAN HOGS", { size: 32 }),
  listingPrice: priceOfMilliCents(80_000),
  tick: TICK,
  priceLimit: 1_200n * DOLLAR,
  expandedLimit: 1_200n * DOLLAR,
  maintenanceMargin: 3_000n * DOLLAR,
  initialMargin: 3_300n * DOLLAR,
  closeOutFee: 1_800n * DOLLAR,
  fillFee: 1n * DOLLAR,
  minimumVolume: 5,
  minimumMinutes: 2,
  // 1 January 2100: a day on a local chain does not reach it.
  lastTradingTime: 4_102_444_800n,
  priceCollar: 0n,
  ...NO_FEED,
};

/** Terms of a clearing house for a day on a local chain: six hours of trading, two window parts of an hour each. */
export const DEMO_CLEARING_TERMS: ClearingTerms = {
  seatBond: 500n * DOLLAR,
  lateFee: 50n * DOLLAR,
  relayFee: DOLLAR / 2n,
  reporterReward: DOLLAR,
  tradingTime: 6 * 3_600,
  settleGrace: 600,
  settlementWindow: 1_800,
  callAuction: 0,
  windowA: 3_600,
  windowB: 3_600,
  windowBlocks: 4,
  refundDelay: 3_600,
  flatGraceEpochs: 1,
  lockTime: 0,
  lockNotice: 0,
};
