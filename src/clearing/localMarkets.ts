import { z } from "zod";
import type { ClearingTerms, MarketTerms } from "../chain/deploy.ts";
import { NO_FEED } from "../protocol/epoch.ts";
import { HedgerowError } from "../protocol/errors.ts";
import { SLOTS } from "../protocol/note.ts";
import { dollarsSchema, positiveDollarsSchema, someDollarsSchema } from "./dollars.ts";
import { DOLLAR, LEAN_HOG_TERMS, priceOfMilliCents } from "./leanHogs.ts";
import { contractIdOf, contractNameSchema, feedSchema, feedTerms } from "./marketSchedule.ts";
import { expandedFor, faultOf } from "./soundTerms.ts";

/** The markets of a clearing house for demos do not obey the rules of a registry (spec GOV-3), or cannot be read. */
export class BadMarkets extends HedgerowError {
  constructor(where: string, rule: string) {
    super("BadMarkets", `${where}: ${rule}`, { where });
  }
}

// 1 January 2100: a local chain does not reach it.
const NEVER = 4_102_444_800n;

const leanHogs = (month: string, milliCentsPerPound: number): MarketTerms => ({
  ...LEAN_HOG_TERMS,
  contractId: contractIdOf(`LEAN HOGS ${month}`),
  listingPrice: priceOfMilliCents(milliCentsPerPound),
  // Half the margin for the widest day, half for the fee of who drops out after it.
  expandedLimit: 1_500n * DOLLAR,
  closeOutFee: 1_500n * DOLLAR,
  priceCollar: 600n * DOLLAR,
  minimumVolume: 1,
  minimumMinutes: 1,
});

/** Crude oil: 1,000 barrels, listed at 70.00 dollars a barrel, a cent a barrel as the smallest step. */
const WTI: MarketTerms = {
  contractId: contractIdOf("WTI"),
  listingPrice: 70_000n * DOLLAR,
  tick: 10n * DOLLAR,
  priceLimit: 2_500n * DOLLAR,
  expandedLimit: 2_750n * DOLLAR,
  maintenanceMargin: 5_500n * DOLLAR,
  initialMargin: 6_050n * DOLLAR,
  closeOutFee: 2_750n * DOLLAR,
  fillFee: 1n * DOLLAR,
  minimumVolume: 1,
  minimumMinutes: 1,
  lastTradingTime: NEVER,
  priceCollar: 1_250n * DOLLAR,
  ...NO_FEED,
};

/** What a local network lists unless it is told otherwise: three months of lean hogs, and crude oil. */
export const LOCAL_MARKETS: readonly MarketTerms[] = [
  leanHogs("FEB", 80_000),
  leanHogs("APR", 84_500),
  leanHogs("JUN", 96_250),
  WTI,
];

/** Seconds of a day of a local network: trading, and the settlement window after it. */
export type LocalDay = { readonly trading: number; readonly window: number };

/** Terms of a clearing house for such days: mild ones, as its traders may be away for some of them. */
export function localClearingTerms({ trading, window }: LocalDay): ClearingTerms {
  const windowA = Math.max(1, Math.floor(window / 2));
  const settlementWindow = Math.max(1, Math.min(1_800, Math.floor(trading / 4)));
  return {
    seatBond: 500n * DOLLAR,
    lateFee: 50n * DOLLAR,
    relayFee: DOLLAR / 2n,
    reporterReward: DOLLAR,
    tradingTime: trading,
    settleGrace: Math.max(30, Math.min(600, Math.floor(trading / 10))),
    settlementWindow,
    callAuction: 0,
    windowA,
    windowB: Math.max(1, window - windowA),
    windowBlocks: 1,
    refundDelay: 600,
    flatGraceEpochs: 100,
    lockTime: Math.max(1, Math.min(900, Math.floor(trading / 6))),
    // The settlement window still lies ahead.
    lockNotice: settlementWindow,
  };
}

/**
 * A day of so many minutes: a tenth of it is the window, but at least a minute, or a third of a shorter day. Wallets take
 * their time in it to renew unseen.
 */
export function dayOfMinutes(minutes: number): LocalDay {
  const seconds = Math.round(minutes * 60);
  const window = Math.max(Math.min(60, Math.round(seconds / 3)), Math.round(seconds / 10));
  return { trading: Math.max(10, seconds - window), window };
}

// ------------------------------------------------------------------ markets from a file

const marketSchema = z
  .strictObject({
    contract: contractNameSchema,
    listingPrice: dollarsSchema,
    tick: positiveDollarsSchema,
    priceLimit: positiveDollarsSchema,
    expandedLimit: positiveDollarsSchema.optional(),
    closeOutFee: positiveDollarsSchema,
    maintenanceMargin: positiveDollarsSchema,
    initialMargin: positiveDollarsSchema,
    priceCollar: someDollarsSchema.default(0n),
    fillFee: someDollarsSchema.default(DOLLAR),
    minimumVolume: z.int().min(1).default(1),
    minimumMinutes: z.int().min(1).default(1),
    /** Unix seconds. */
    lastTradingTime: z.int().min(1).optional(),
    feed: feedSchema,
  })
  .transform(({ contract, lastTradingTime, feed, ...terms }): MarketTerms => ({
    contractId: contractIdOf(contract),
    ...terms,
    expandedLimit: terms.expandedLimit ?? expandedFor(terms.maintenanceMargin, terms.tick, terms),
    ...feedTerms(feed),
    lastTradingTime: lastTradingTime === undefined ? NEVER : BigInt(lastTradingTime),
  }));

const marketsSchema = z.array(marketSchema).min(1, "expected one market or more").max(SLOTS, "expected at most eight");

/**
 * Markets from JSON: a list of `{contract, listingPrice, tick, priceLimit, closeOutFee, maintenanceMargin,
 * initialMargin}` in dollars per contract, with expandedLimit, priceCollar, fillFee, minimumVolume, minimumMinutes,
 * lastTradingTime and feed where they are to be others than usual. Throws BadMarkets with the place and the rule.
 */
export function parseMarkets(text: string, file: string): readonly MarketTerms[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new BadMarkets(file, `no JSON (${error instanceof Error ? error.message : String(error)})`);
  }
  const parsed = marketsSchema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new BadMarkets(`${file}, ${placeOf(issue?.path ?? [])}`, issue?.message ?? "not understood");
  }
  parsed.data.forEach((terms, i) => {
    const fault = faultOf(terms);
    if (fault !== undefined) throw new BadMarkets(`${file}, market ${i + 1}`, fault);
    const first = parsed.data.findIndex(({ contractId }) => contractId === terms.contractId);
    if (first !== i) throw new BadMarkets(`${file}, market ${i + 1}`, `it has the name of market ${first + 1}`);
  });
  return parsed.data;
}

function placeOf(path: readonly PropertyKey[]): string {
  const [index, field] = path;
  if (typeof index !== "number") return "the whole of it";
  return field === undefined ? `market ${index + 1}` : `market ${index + 1}, ${String(field)}`;
}
