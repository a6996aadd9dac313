import { type EpochMarket, NO_FEED } from "../../src/protocol/epoch.ts";

type Usual = "dailyLimit" | "expandedLimit" | "tornUp" | "priceCollar" | "priceFeed" | "feedMultiplier" | "feedMaxAge";

/** A market of an epoch, usual in what a test does not say: no collar, no feed, no other limit than the one in force. */
export function epochMarket(market: Omit<EpochMarket, Usual> & Partial<EpochMarket>): EpochMarket {
  const { priceLimit } = market;
  return { dailyLimit: priceLimit, expandedLimit: priceLimit, tornUp: false, priceCollar: 0n, ...NO_FEED, ...market };
}
