import type { MarketTerms } from "../chain/deploy.ts";

/*
 * What makes the terms of a contract sound (spec GOV-3), and how far they may move at once (spec GOV-4): the rules of
 * the registry, so that whoever publishes terms hears of a fault before anything is sent.
 */

/** Half-widths of a day and of its margins, in base units per contract. */
export type Widths = Pick<
  MarketTerms,
  "priceLimit" | "expandedLimit" | "closeOutFee" | "maintenanceMargin" | "initialMargin"
>;

/** What a margin schedule asks for; without an initial margin it is 1.10 times maintenance. */
export type MarginWish = { readonly maintenance: bigint; readonly initial: bigint | undefined };

/** Widths that were decided on and are not derived. */
export type GivenWidths = {
  readonly priceLimit?: bigint | undefined;
  readonly expandedLimit?: bigint | undefined;
  readonly closeOutFee?: bigint | undefined;
};

/** Prices and margins stay below half the circuit's range (spec NUM-2). */
const PRICE_RANGE = 2n ** 78n;

const ZERO_ADDRESS = /^0x0{40}$/;

/** Which rule of sound terms is broken, or undefined (spec GOV-3). */
export function faultOf(terms: MarketTerms): string | undefined {
  const { tick, listingPrice, priceCollar, initialMargin, fillFee, closeOutFee, minimumVolume, minimumMinutes } = terms;
  if (tick <= 0n) return "tick must be more than zero";
  const fault = tickFaultOf(tick, { listingPrice, priceCollar }) ?? widthFaultOf(terms, tick);
  if (fault !== undefined) return fault;
  if (priceCollar < 0n) return "priceCollar must not be below zero";
  if (fillFee < 0n || fillFee > closeOutFee) return "fillFee must be from 0 to closeOutFee";
  const isInRange = listingPrice > -PRICE_RANGE && listingPrice < PRICE_RANGE && initialMargin < PRICE_RANGE;
  if (!isInRange) return "listingPrice and initialMargin must be below 2^78 base units in size";
  if (minimumVolume < 1 || minimumMinutes < 1) return "minimumVolume and minimumMinutes must be 1 or more";
  const hasFeed = !ZERO_ADDRESS.test(terms.priceFeed);
  if (hasFeed !== terms.feedMultiplier > 0n || hasFeed !== terms.feedMaxAge > 0) {
    return "a feed has an address, a multiplier and a maximum age, each above zero, or none of them";
  }
  return undefined;
}

/** As faultOf, of the widths alone. */
export function widthFaultOf(widths: Widths, tick: bigint): string | undefined {
  const { priceLimit, expandedLimit, closeOutFee, maintenanceMargin, initialMargin } = widths;
  const fault = tickFaultOf(tick, { priceLimit, expandedLimit, closeOutFee, maintenanceMargin, initialMargin });
  if (fault !== undefined) return fault;
  if (priceLimit < 0n) return "priceLimit must not be below zero";
  if (priceLimit > closeOutFee) return "priceLimit must not be above closeOutFee";
  if (priceLimit > expandedLimit) return "priceLimit must not be above expandedLimit";
  if (expandedLimit > closeOutFee) return "expandedLimit must not be above closeOutFee";
  if (expandedLimit + closeOutFee > maintenanceMargin) {
    return "expandedLimit + closeOutFee must not be above maintenanceMargin";
  }
  if (maintenanceMargin > initialMargin) return "maintenanceMargin must not be above initialMargin";
  return undefined;
}

/**
 * Widths for a maintenance margin. What is not given is derived: the expanded limit is 1.5 times the daily one, or what
 * leaves as much again for the close-out fee; the daily limit two thirds of the expanded one; the fee as much as the
 * expanded limit. Margins are rounded up to a tick. Given widths may be unsound: ask widthFaultOf.
 */
export function widthsFor(wish: MarginWish, tick: bigint, given: GivenWidths = {}): Widths {
  const maintenanceMargin = upToTick(wish.maintenance, tick);
  const initial = upToTick(wish.initial ?? (wish.maintenance * 11n + 9n) / 10n, tick);
  const expandedLimit = given.expandedLimit ?? expandedFor(maintenanceMargin, tick, given);
  return {
    priceLimit: given.priceLimit ?? downToTick((expandedLimit * 2n) / 3n, tick),
    expandedLimit,
    closeOutFee: given.closeOutFee ?? expandedLimit,
    maintenanceMargin,
    initialMargin: largest(initial, maintenanceMargin),
  };
}

/** The expanded limit where it is not given: 1.5 times the daily one, as far as margin and fee have room for it. */
export function expandedFor(maintenanceMargin: bigint, tick: bigint, { priceLimit, closeOutFee }: GivenWidths): bigint {
  const half = downToTick(maintenanceMargin / 2n, tick);
  const room = closeOutFee === undefined ? half : smallest(closeOutFee, maintenanceMargin - closeOutFee);
  if (priceLimit === undefined) return largest(0n, room);
  return largest(priceLimit, smallest(upToTick((priceLimit * 3n + 1n) / 2n, tick), room));
}

/** A step of the widths, and whether another one must follow before they are as wished. */
export type Step = { readonly widths: Widths; readonly isLast: boolean };

/**
 * The widest step from `running` toward `target` that may be taken at once: no limit above, and no initial margin below,
 * the close-out fee of every terms that may still be in force (spec GOV-4, GOV-8). Two steps always do.
 */
export function stepToward(target: Widths, running: readonly Pick<Widths, "closeOutFee">[]): Step {
  const fees = running.map(({ closeOutFee }) => closeOutFee);
  const expandedLimit = smallest(target.expandedLimit, ...fees);
  const initialMargin = largest(target.initialMargin, ...fees);
  const priceLimit = smallest(target.priceLimit, expandedLimit);
  const isLast =
    expandedLimit === target.expandedLimit &&
    initialMargin === target.initialMargin &&
    priceLimit === target.priceLimit;
  return { widths: { ...target, priceLimit, expandedLimit, initialMargin }, isLast };
}

function tickFaultOf(tick: bigint, amounts: Readonly<Record<string, bigint>>): string | undefined {
  const uneven = Object.entries(amounts).find(([, amount]) => amount % tick !== 0n);
  return uneven === undefined ? undefined : `${uneven[0]} must be a whole number of ticks`;
}

function upToTick(amount: bigint, tick: bigint): bigint {
  return downToTick(amount + tick - 1n, tick);
}

/** Of an amount that is not below zero. */
function downToTick(amount: bigint, tick: bigint): bigint {
  return amount - (amount % tick);
}

function smallest(...amounts: readonly [bigint, ...bigint[]]): bigint {
  return amounts.reduce((a, b) => (a < b ? a : b));
}

function largest(...amounts: readonly [bigint, ...bigint[]]): bigint {
  return amounts.reduce((a, b) => (a > b ? a : b));
}
