import type { Session } from "../../market/types.ts";
import type { EpochMarket } from "../../protocol/epoch.ts";
import type { Side, TimeInForce } from "../../protocol/order.ts";
import type { TicketBalance } from "../../protocol/ticket.ts";
import type { Chance } from "./chance.ts";

/*
 * What a bot sees and what it may want. Prices are whole ticks, as in the engine; quantities whole contracts, positive
 * positions long; cash base units; times unix seconds, of the exchange's clock.
 */

/** One price of the public book. */
export type Level = { readonly priceTicks: number; readonly quantity: number };

/** The public book, best prices first. Own orders are in it. */
export type BotBook = { readonly bids: readonly Level[]; readonly asks: readonly Level[] };

/** A trade of anybody. */
export type BotTrade = { readonly priceTicks: number; readonly quantity: number; readonly time: number };

/** A live order of the bot, by the name that the bot gave it. `busy`: a command about it has no answer yet. */
export type OwnOrder = {
  readonly key: string;
  readonly side: Side;
  readonly priceTicks: number;
  readonly remaining: number;
  readonly revision: number;
  readonly busy: boolean;
};

/** The day's terms of the market, and where its day stands. */
export type BotMarket = {
  readonly terms: EpochMarket;
  readonly session: Session;
  readonly closingTime: number;
};

/** All that a strategy decides from. */
export type Observation = {
  readonly time: number;
  readonly market: BotMarket;
  readonly book: BotBook;
  /** What traded since the step before, oldest first. */
  readonly trades: readonly BotTrade[];
  /** Price of the newest trade of the day; undefined before the first. */
  readonly lastTicks: number | undefined;
  readonly orders: readonly OwnOrder[];
  /** All that the bot holds in this market, on the ticket and beside it. */
  readonly position: number;
  /** What its ticket holds. */
  readonly ticket: TicketBalance;
  readonly chance: Chance;
};

/** What a bot wants. `quantity` of a replacement: what is to be left in the book. */
export type Intent =
  | {
      readonly kind: "place";
      readonly key: string;
      readonly side: Side;
      readonly priceTicks: number;
      readonly quantity: number;
      readonly timeInForce: TimeInForce;
      readonly postOnly: boolean;
    }
  | { readonly kind: "replace"; readonly key: string; readonly priceTicks: number; readonly quantity: number }
  | { readonly kind: "cancel"; readonly key: string };

/** What a step gives: the state for the next one, and what the bot wants now; nothing is an empty list. */
export type Step<State> = { readonly state: State; readonly intents: readonly Intent[] };

/** A way to trade: a state machine without input or output (spec BOT-1). */
export type Strategy<State> = {
  readonly start: State;
  readonly step: (state: State, observation: Observation) => Step<State>;
};

/** Most steps of a replacement that a signed order can count (spec ORD-3), with some to spare. */
export const LAST_REVISION = 250;

/** Lowest and highest price of the day in ticks. */
export function limitTicks({ terms }: BotMarket): { readonly down: number; readonly up: number } {
  return {
    down: -floorTicks(terms.priceLimit - terms.centre, terms.tick),
    up: floorTicks(terms.centre + terms.priceLimit, terms.tick),
  };
}

/** The settlement price of the day before, in ticks. */
export function centreTicks({ terms }: BotMarket): number {
  return floorTicks(terms.centre, terms.tick);
}

/** Division in BigInt goes toward zero; prices may be negative. */
function floorTicks(price: bigint, tick: bigint): number {
  const rest = ((price % tick) + tick) % tick;
  return Number((price - rest) / tick);
}

/** The book without what the bot itself rests in it. */
export function othersBook({ book, orders }: Pick<Observation, "book" | "orders">): BotBook {
  const without = (levels: readonly Level[], side: Side): readonly Level[] => {
    const own = new Map<number, number>();
    for (const order of orders) {
      if (order.side === side) own.set(order.priceTicks, (own.get(order.priceTicks) ?? 0) + order.remaining);
    }
    if (own.size === 0) return levels;
    return levels
      .map(({ priceTicks, quantity }) => ({ priceTicks, quantity: quantity - (own.get(priceTicks) ?? 0) }))
      .filter(({ quantity }) => quantity > 0);
  };
  return { bids: without(book.bids, "buy"), asks: without(book.asks, "sell") };
}

/** The price between best bid and ask that leans to the side with less behind it; undefined for a one-sided book. */
export function microPrice({ bids: [bid], asks: [ask] }: BotBook): number | undefined {
  if (bid === undefined || ask === undefined) return undefined;
  return (bid.priceTicks * ask.quantity + ask.priceTicks * bid.quantity) / (bid.quantity + ask.quantity);
}

/** The best guess at a price without a view of one's own: between the best prices, the last trade, the centre. */
export function middleTicks(observation: Observation): number {
  const { bids, asks } = othersBook(observation);
  const [bid] = bids;
  const [ask] = asks;
  if (bid !== undefined && ask !== undefined) return (bid.priceTicks + ask.priceTicks) / 2;
  return observation.lastTicks ?? centreTicks(observation.market);
}

export function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
