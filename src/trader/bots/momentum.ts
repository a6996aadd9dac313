import type { Side } from "../../protocol/order.ts";
import { clamp, type Intent, limitTicks, type Observation, othersBook, type Strategy } from "./strategy.ts";

/** Holds that a price which moves goes on moving. */
export type MomentumParameters = {
  /** Time constants of the two averages of the last price, seconds. */
  readonly fastSeconds: number;
  readonly slowSeconds: number;
  /** Distance of the fast average from the slow one that is a move, ticks. */
  readonly thresholdTicks: number;
  /** Contracts of one order. */
  readonly quantity: number;
  readonly maxPosition: number;
  /** How far beyond the best price it takes, ticks. */
  readonly slipTicks: number;
  /** Shortest time between two orders, seconds. */
  readonly pauseSeconds: number;
};

export type MomentumState = {
  /** Undefined before the first trade. */
  readonly averages: { readonly fast: number; readonly slow: number; readonly at: number } | undefined;
  readonly serial: number;
  readonly restsUntil: number;
};

/** Goes with the move while the fast average is beyond the slow one, and out once they have crossed (spec BOT-8). */
export function momentum(parameters: MomentumParameters): Strategy<MomentumState> {
  return {
    start: { averages: undefined, serial: 0, restsUntil: 0 },
    step: (state, observation) => {
      const averages = follow(parameters, state.averages, observation);
      const intent = decide(parameters, { ...state, averages }, observation);
      if (intent === undefined) return { state: { ...state, averages }, intents: [] };
      return {
        state: { averages, serial: state.serial + 1, restsUntil: observation.time + parameters.pauseSeconds },
        intents: [intent],
      };
    },
  };
}

/** Both averages of the last price, which stands until the next trade, in continuous time. */
function follow(
  { fastSeconds, slowSeconds }: MomentumParameters,
  averages: MomentumState["averages"],
  { lastTicks, time: at }: Observation,
): MomentumState["averages"] {
  if (lastTicks === undefined) return undefined;
  if (averages === undefined) return { fast: lastTicks, slow: lastTicks, at };
  const passed = Math.max(0, at - averages.at);
  const toward = (average: number, seconds: number): number =>
    average + (1 - Math.exp(-passed / seconds)) * (lastTicks - average);
  return { fast: toward(averages.fast, fastSeconds), slow: toward(averages.slow, slowSeconds), at };
}

function decide(
  { thresholdTicks, quantity, maxPosition, slipTicks }: MomentumParameters,
  { averages, restsUntil, serial }: MomentumState,
  observation: Observation,
): Intent | undefined {
  const { time, orders, position } = observation;
  if (averages === undefined || time < restsUntil || orders.length > 0) return undefined;
  const move = averages.fast - averages.slow;
  const target = Math.abs(move) > thresholdTicks ? Math.sign(move) * maxPosition : position * move < 0 ? 0 : position;
  if (target === position) return undefined;
  const side: Side = target > position ? "buy" : "sell";
  const { bids, asks } = othersBook(observation);
  const best = (side === "buy" ? asks : bids)[0];
  if (best === undefined) return undefined;
  const { down, up } = limitTicks(observation.market);
  return {
    kind: "place",
    key: `momentum-${serial}`,
    side,
    priceTicks: clamp(best.priceTicks + (side === "buy" ? slipTicks : -slipTicks), down, up),
    quantity: Math.min(quantity, Math.abs(target - position)),
    timeInForce: "IOC",
    postOnly: false,
  };
}
