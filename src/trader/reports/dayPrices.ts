import type { ChainState } from "../../chain/chainState.ts";
import type { EpochMarket } from "../../protocol/epoch.ts";
import { SLOTS } from "../../protocol/note.ts";
import { contractName } from "../markets.ts";

/** What a slot's positions are worth and tie up now: prices and margins in base units per contract. */
export type SlotPrices = {
  readonly slot: number;
  readonly contract: string;
  /** The last settlement price: the day's centre in Trading, the price just made in the Window. */
  readonly settlementPrice: bigint;
  readonly lowerLimit: bigint;
  readonly upperLimit: bigint;
  readonly initialMargin: bigint;
  readonly maintenanceMargin: bigint;
};

/**
 * The slots as they count now: by the terms of this day in Trading, of the coming day in the Window, where an expired
 * contract is worth its final price and ties nothing up. Undefined where no contract is.
 */
export function pricesNow(chain: ChainState): readonly (SlotPrices | undefined)[] {
  const today = chain.markets(chain.epoch);
  const tomorrow = chain.markets(chain.epoch + 1);
  return Array.from({ length: SLOTS }, (_, slot) => {
    const market = today[slot];
    if (market?.listed !== true) return undefined;
    if (chain.phase === "trading") return ofDay(slot, market);
    const next = tomorrow[slot];
    return market.expired || next === undefined ? final(slot, market) : ofDay(slot, next);
  });
}

function ofDay(slot: number, market: EpochMarket): SlotPrices {
  const { contractId, centre, priceLimit, initialMargin, maintenanceMargin } = market;
  return {
    slot,
    contract: contractName(contractId),
    settlementPrice: centre,
    lowerLimit: centre - priceLimit,
    upperLimit: centre + priceLimit,
    initialMargin,
    maintenanceMargin,
  };
}

function final(slot: number, { contractId, settlementPrice }: EpochMarket): SlotPrices {
  return {
    slot,
    contract: contractName(contractId),
    settlementPrice,
    lowerLimit: settlementPrice,
    upperLimit: settlementPrice,
    initialMargin: 0n,
    maintenanceMargin: 0n,
  };
}

/** Magnitude of a position, or of an amount. */
export function magnitude(x: bigint): bigint {
  return x < 0n ? -x : x;
}
