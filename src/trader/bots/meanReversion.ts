import { type BotTrade, type Intent, type Observation, othersBook, type Strategy } from "./strategy.ts";

/** Holds that a price which left its average comes back to it. */
export type MeanReversionParameters = {
  /** Trades of so many seconds make the average. */
  readonly windowSeconds: number;
  /** Distance from the average at which it takes the other side, ticks. */
  readonly bandTicks: number;
  /** Contracts of one order. */
  readonly quantity: number;
  readonly maxPosition: number;
  /** Trades without which there is no average to speak of. */
  readonly minTrades: number;
  /** Shortest time between two orders, seconds. */
  readonly pauseSeconds: number;
};

export type MeanReversionState = {
  readonly trades: readonly BotTrade[];
  readonly serial: number;
  readonly restsUntil: number;
};

/**
 * Buys what is offered a band below the average of the window, sells what is bid a band above it, and gives up what it
 * holds at the average (spec BOT-7).
 */
export function meanReversion(parameters: MeanReversionParameters): Strategy<MeanReversionState> {
  return {
    start: { trades: [], serial: 0, restsUntil: 0 },
    step: (state, observation) => {
      const from = observation.time - parameters.windowSeconds;
      const trades = [...state.trades, ...observation.trades].filter(({ time }) => time >= from);
      const intent = decide(parameters, { ...state, trades }, observation);
      if (intent === undefined) return { state: { ...state, trades }, intents: [] };
      return {
        state: { trades, serial: state.serial + 1, restsUntil: observation.time + parameters.pauseSeconds },
        intents: [intent],
      };
    },
  };
}

function decide(
  { minTrades, bandTicks, quantity, maxPosition }: MeanReversionParameters,
  { trades, restsUntil, serial }: MeanReversionState,
  observation: Observation,
): Intent | undefined {
  const { time, orders, position } = observation;
  if (trades.length < minTrades || time < restsUntil || orders.length > 0) return undefined;
  const average = averageOf(trades);
  const { bids, asks } = othersBook(observation);
  const [bid] = bids;
  const [ask] = asks;
  const key = `reversion-${serial}`;
  const now = { kind: "place", key, timeInForce: "IOC", postOnly: false } as const;
  if (position > 0 && bid !== undefined && bid.priceTicks >= average) {
    return { ...now, side: "sell", priceTicks: bid.priceTicks, quantity: Math.min(quantity, position) };
  }
  if (position < 0 && ask !== undefined && ask.priceTicks <= average) {
    return { ...now, side: "buy", priceTicks: ask.priceTicks, quantity: Math.min(quantity, -position) };
  }
  if (ask !== undefined && ask.priceTicks <= average - bandTicks && position < maxPosition) {
    return { ...now, side: "buy", priceTicks: ask.priceTicks, quantity: Math.min(quantity, maxPosition - position) };
  }
  if (bid !== undefined && bid.priceTicks >= average + bandTicks && position > -maxPosition) {
    return { ...now, side: "sell", priceTicks: bid.priceTicks, quantity: Math.min(quantity, maxPosition + position) };
  }
  return undefined;
}

function averageOf(trades: readonly BotTrade[]): number {
  const contracts = trades.reduce((sum, { quantity }) => sum + quantity, 0);
  return trades.reduce((sum, { priceTicks, quantity }) => sum + priceTicks * quantity, 0) / contracts;
}
