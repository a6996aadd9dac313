import type { Side } from "../../protocol/order.ts";
import {
  type BotBook,
  type BotTrade,
  centreTicks,
  clamp,
  type Intent,
  LAST_REVISION,
  limitTicks,
  microPrice,
  type Observation,
  othersBook,
  type OwnOrder,
  type Strategy,
} from "./strategy.ts";

/** Offers to buy and to sell all day, and lives on the difference. */
export type MarketMakerParameters = {
  /** What the fair value follows: the best prices of others, or what traded lately. */
  readonly fairValue: "microPrice" | "tradeAverage";
  /** The price to come back to; the settlement price of the day before if left out. */
  readonly anchorTicks?: number | undefined;
  /** Share of the anchor in the fair value, 0 to 1. */
  readonly anchorWeight: number;
  /** Time constant of the average of trades, seconds. */
  readonly averageSeconds: number;
  /** Between the best bid and the best ask. */
  readonly widthTicks: number;
  /** Prices on each side, and the distance between two of them. */
  readonly levels: number;
  readonly stepTicks: number;
  /** Contracts at each price. */
  readonly size: number;
  /** How far all quotes move against each contract held. */
  readonly skewTicks: number;
  readonly maxPosition: number;
  /** A quote this near to where it should be stays. */
  readonly refreshTicks: number;
  /** A quote with this share of its size left is not filled up, 0 to 1. */
  readonly refreshShare: number;
};

export type MarketMakerState = {
  /** Average of trades; undefined before the first. */
  readonly average: { readonly priceTicks: number; readonly at: number } | undefined;
};

type Quote = { readonly key: string; readonly side: Side; readonly priceTicks: number; readonly quantity: number };

/** Two-sided quotes around a fair value, moved against the inventory, replaced and not cancelled (spec BOT-9..12). */
export function marketMaker(parameters: MarketMakerParameters): Strategy<MarketMakerState> {
  return {
    start: { average: undefined },
    step: (state, observation) => {
      const average = follow(parameters, state.average, observation.trades);
      const others = othersBook(observation);
      const fair = fairTicks(parameters, average?.priceTicks, observation, others);
      return {
        state: { average },
        intents: refresh(parameters, observation, quotesAround(parameters, fair, observation, others)),
      };
    },
  };
}

/** Each trade pulls the average the more, the longer the pause before it and the more contracts it has. */
function follow(
  { averageSeconds, size }: MarketMakerParameters,
  before: MarketMakerState["average"],
  trades: readonly BotTrade[],
): MarketMakerState["average"] {
  let average = before;
  for (const { priceTicks, quantity, time } of trades) {
    if (average === undefined) {
      average = { priceTicks, at: time };
      continue;
    }
    const passed = Math.max(0, time - average.at) + quantity / size;
    const pull = 1 - Math.exp(-passed / averageSeconds);
    average = { priceTicks: average.priceTicks + pull * (priceTicks - average.priceTicks), at: time };
  }
  return average;
}

/** What a contract is worth: the first of the chosen measure, the average and the anchor that there is; anchored. */
function fairTicks(
  { fairValue, anchorTicks, anchorWeight }: MarketMakerParameters,
  average: number | undefined,
  { market }: Observation,
  others: BotBook,
): number {
  const { down, up } = limitTicks(market);
  const anchor = anchorTicks ?? centreTicks(market);
  const measured = (fairValue === "microPrice" ? microPrice(others) : undefined) ?? average ?? anchor;
  return clamp(anchorWeight * anchor + (1 - anchorWeight) * measured, down, up);
}

/** Where the quotes should be: inside the limits, each side within the position cap, never taking. */
function quotesAround(
  { widthTicks, levels, stepTicks, size, skewTicks, maxPosition }: MarketMakerParameters,
  fair: number,
  { market, position }: Observation,
  { bids: [bestBid], asks: [bestAsk] }: BotBook,
): readonly Quote[] {
  const { down, up } = limitTicks(market);
  const centre = fair - skewTicks * position;
  const topBid = Math.min(Math.floor(centre - widthTicks / 2), up, (bestAsk?.priceTicks ?? Infinity) - 1);
  const topAsk = Math.max(Math.ceil(centre + widthTicks / 2), down, (bestBid?.priceTicks ?? -Infinity) + 1, topBid + 1);
  const side = (name: "bid" | "ask", top: number, direction: 1 | -1, room: number): readonly Quote[] =>
    Array.from({ length: levels }, (_, i): Quote => ({
      key: `${name}-${i}`,
      side: name === "bid" ? "buy" : "sell",
      priceTicks: top + direction * i * stepTicks,
      quantity: clamp(room - i * size, 0, size),
    })).filter(({ priceTicks, quantity }) => quantity > 0 && priceTicks >= down && priceTicks <= up);
  return [...side("bid", topBid, -1, maxPosition - position), ...side("ask", topAsk, 1, maxPosition + position)];
}

/** The fewest commands from the quotes that stand to those wanted: none where they are near enough. */
function refresh(
  { refreshTicks, refreshShare }: MarketMakerParameters,
  { orders }: Observation,
  quotes: readonly Quote[],
): readonly Intent[] {
  const standing = new Map(orders.map((order) => [order.key, order]));
  const isGood = ({ priceTicks, remaining }: OwnOrder, wanted: Quote): boolean =>
    Math.abs(priceTicks - wanted.priceTicks) <= refreshTicks &&
    remaining <= wanted.quantity &&
    remaining >= wanted.quantity * refreshShare;
  const intents: Intent[] = [];
  for (const { key, side, priceTicks, quantity } of quotes) {
    const order = standing.get(key);
    standing.delete(key);
    if (order === undefined) {
      intents.push({ kind: "place", key, side, priceTicks, quantity, timeInForce: "GTC", postOnly: true });
    } else if (!isGood(order, { key, side, priceTicks, quantity })) {
      // A revision is 8 bits: the quote begins anew before they run out.
      const isWornOut = order.revision >= LAST_REVISION;
      intents.push(isWornOut ? { kind: "cancel", key } : { kind: "replace", key, priceTicks, quantity });
    }
  }
  return [...intents, ...[...standing.keys()].map((key) => ({ kind: "cancel", key }) as const)];
}
