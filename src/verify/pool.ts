import { equityInBand } from "../protocol/epoch.ts";
import type { House } from "./state.ts";

/** Pool cash plus the pool's worst value: at the limits in Trading, at settlement prices in the Window (spec CON-3). */
export function poolCover(house: House): bigint {
  return house.today.markets.reduce((cover, market, slot) => {
    const position = house.poolPositions[slot] ?? 0n;
    return house.phase === "trading"
      ? equityInBand(cover, position, market.centre, market.priceLimit)
      : cover + position * market.settlementPrice;
  }, house.ledger.poolCash);
}
