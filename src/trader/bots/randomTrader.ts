import type { Side } from "../../protocol/order.ts";
import { clamp, limitTicks, middleTicks, type Observation, type Strategy } from "./strategy.ts";

/** Sends orders for no reason, as the many do whose reasons the book does not know. */
export type RandomParameters = {
  /** Mean pause between two orders, seconds. */
  readonly everySeconds: number;
  /** Farthest distance of a price from the middle, either way: some take, most rest. */
  readonly rangeTicks: number;
  readonly maxQuantity: number;
  /** Longest life of an order, seconds. */
  readonly lifetimeSeconds: number;
  readonly maxPosition: number;
};

export type RandomState = {
  readonly serial: number;
  /** When the next order comes; undefined before the first step. */
  readonly nextAt: number | undefined;
  /** When which order is taken back. */
  readonly endOf: Readonly<Record<string, number>>;
};

/** A random side, price around the middle, quantity and lifetime (spec BOT-6). */
export function randomTrader(parameters: RandomParameters): Strategy<RandomState> {
  return { start: { serial: 0, nextAt: undefined, endOf: {} }, step: (state, seen) => step(parameters, state, seen) };
}

function step(parameters: RandomParameters, state: RandomState, observation: Observation) {
  const { time, orders, chance } = observation;
  const living = orders.filter(({ key }) => (state.endOf[key] ?? 0) > time);
  const cancels = orders
    .filter((order) => !living.includes(order))
    .map(({ key }) => ({ kind: "cancel", key }) as const);
  const endOf = Object.fromEntries(orders.map(({ key }) => [key, state.endOf[key] ?? 0]));
  const { nextAt = time + chance.pause(parameters.everySeconds) } = state;
  if (time < nextAt) return { state: { ...state, nextAt, endOf }, intents: cancels };

  const { maxPosition, rangeTicks, maxQuantity, lifetimeSeconds } = parameters;
  const coin: Side = chance.unit() < 0.5 ? "buy" : "sell";
  const side = observation.position >= maxPosition ? "sell" : observation.position <= -maxPosition ? "buy" : coin;
  const { down, up } = limitTicks(observation.market);
  const wanted = Math.round(middleTicks(observation)) + chance.between(-rangeTicks, rangeTicks);
  const key = `random-${state.serial}`;
  const place = {
    kind: "place",
    key,
    side,
    priceTicks: clamp(besideOwn(observation, side, wanted), down, up),
    quantity: chance.between(1, maxQuantity),
    timeInForce: "GTC",
    postOnly: false,
  } as const;
  const lifetime = lifetimeSeconds * (0.2 + 0.8 * chance.unit());
  return {
    state: {
      serial: state.serial + 1,
      nextAt: time + chance.pause(parameters.everySeconds),
      endOf: { ...endOf, [key]: time + lifetime },
    },
    intents: [...cancels, place],
  };
}

/** The price, or the nearest one at which the order does not meet another of its own. */
function besideOwn({ orders }: Observation, side: Side, priceTicks: number): number {
  const facing = orders.filter((order) => order.side !== side).map((order) => order.priceTicks);
  return side === "buy"
    ? Math.min(priceTicks, ...facing.map((p) => p - 1))
    : Math.max(priceTicks, ...facing.map((p) => p + 1));
}
