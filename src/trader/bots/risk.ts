import { HedgerowError } from "../../protocol/errors.ts";
import type { Side } from "../../protocol/order.ts";
import { assertAcceptable, type RestingOrder } from "../../protocol/ticket.ts";
import { type Intent, limitTicks, type Observation, type Strategy } from "./strategy.ts";

/** What a bot may never go beyond, whatever its strategy wants. */
export type RiskLimits = {
  /** Contracts long or short, with everything that rests on a side filled. */
  readonly maxPosition: number;
  /** Contracts of one order. */
  readonly maxQuantity: number;
  /** Live orders. */
  readonly maxOrders: number;
  /** From so many seconds before the closing time on nothing rests. */
  readonly stopBeforeClose: number;
};

/** A strategy that is under way, within its limits: an observation goes in, what is to be done comes out. */
export type Brain = { readonly step: (observation: Observation) => readonly Intent[] };

/** Runs a strategy from its start. */
export function brainOf<State>(strategy: Strategy<State>, limits: RiskLimits): Brain {
  let { start: state } = strategy;
  return {
    step: (observation) => {
      const { state: next, intents } = strategy.step(state, observation);
      state = next;
      return withinLimits(limits, observation, intents);
    },
  };
}

/** Whether orders may be in the book now. */
function mayQuote({ stopBeforeClose }: RiskLimits, { market, time }: Observation): boolean {
  const { session, closingTime } = market;
  return (session === "open" || session === "closing") && time < closingTime - stopBeforeClose;
}

/** An order as it stands, or will once what was asked for is done. */
type Standing = { readonly key: string; readonly side: Side; readonly priceTicks: number; readonly quantity: number };

/**
 * What of these intents may be done (spec BOT-4). Prices lie on ticks inside the limits of the day or the intent is
 * dropped; quantities are cut to what position cap and margin allow; an order that would meet another of the bot is
 * dropped, with each standing at its old price as well as at its new one, since commands may overtake each other.
 * Outside of continuous trading, and shortly before the close, everything is cancelled.
 */
export function withinLimits(
  limits: RiskLimits,
  observation: Observation,
  intents: readonly Intent[],
): readonly Intent[] {
  const { orders } = observation;
  const idle = new Set(orders.filter(({ busy }) => !busy).map(({ key }) => key));
  if (!mayQuote(limits, observation)) return [...idle].map((key) => ({ kind: "cancel", key }));

  const standing = new Map<string, Standing>(
    orders.map(({ key, side, priceTicks, remaining }) => [key, { key, side, priceTicks, quantity: remaining }]),
  );
  const seen: Standing[] = [...standing.values()];
  const allowed: Intent[] = [];

  const take = (wanted: Standing): number => {
    if (!isPrice(observation, wanted.priceTicks) || meetsOwn(seen, wanted)) return 0;
    const others = [...standing.values()].filter(({ key, side }) => key !== wanted.key && side === wanted.side);
    const most = Math.min(Math.floor(wanted.quantity), limits.maxQuantity, room(limits, observation, wanted, others));
    const quantity = mostThatMarginAllows(observation, { ...wanted, quantity: most }, others);
    if (quantity > 0) {
      standing.set(wanted.key, { ...wanted, quantity });
      seen.push({ ...wanted, quantity });
    }
    return quantity;
  };

  for (const intent of intents) {
    const own = standing.get(intent.key);
    if (intent.kind === "place") {
      if (own !== undefined || standing.size >= limits.maxOrders) continue;
      const quantity = take(intent);
      if (quantity > 0) allowed.push({ ...intent, quantity });
      continue;
    }
    if (own === undefined || !idle.delete(intent.key)) continue;
    if (intent.kind === "cancel") {
      allowed.push(intent);
      continue;
    }
    const quantity = take({ ...own, priceTicks: intent.priceTicks, quantity: intent.quantity });
    if (quantity > 0) allowed.push({ ...intent, quantity });
  }
  return allowed;
}

function isPrice({ market }: Observation, priceTicks: number): boolean {
  const { down, up } = limitTicks(market);
  return Number.isSafeInteger(priceTicks) && priceTicks >= down && priceTicks <= up;
}

/** Whether an order would trade with one of the same bot. */
function meetsOwn(seen: readonly Standing[], wanted: Standing): boolean {
  return seen.some(({ key, side, priceTicks }) => {
    if (key === wanted.key || side === wanted.side) return false;
    return side === "sell" ? wanted.priceTicks >= priceTicks : wanted.priceTicks <= priceTicks;
  });
}

/** Contracts that the position cap leaves on this side. */
function room(
  { maxPosition }: RiskLimits,
  { position }: Observation,
  { side }: Standing,
  others: readonly Standing[],
): number {
  const resting = others.reduce((sum, { quantity }) => sum + quantity, 0);
  return maxPosition - (side === "buy" ? position : -position) - resting;
}

/** The most of an order's contracts that the exchange would take on this ticket (spec ORD-6). */
function mostThatMarginAllows(
  { market: { terms }, ticket }: Observation,
  wanted: Standing,
  others: readonly Standing[],
): number {
  const resting = others.map((order) => restingOf(order, terms.tick));
  const isAcceptable = (quantity: number): boolean => {
    try {
      assertAcceptable(terms, ticket, resting, restingOf({ ...wanted, quantity }, terms.tick), false);
      return true;
    } catch (error) {
      if (error instanceof HedgerowError) return false;
      throw error;
    }
  };
  if (wanted.quantity < 1) return 0;
  if (isAcceptable(wanted.quantity)) return wanted.quantity;
  // What fits is not the lowest of two halves when it reduces first and grows later, but what is found always fits.
  let fits = 0;
  let tooMuch = wanted.quantity;
  while (tooMuch - fits > 1) {
    const middle = Math.floor((fits + tooMuch) / 2);
    if (isAcceptable(middle)) fits = middle;
    else tooMuch = middle;
  }
  return fits;
}

function restingOf({ side, priceTicks, quantity }: Standing, tick: bigint): RestingOrder {
  return { side, limitPrice: BigInt(priceTicks) * tick, remaining: BigInt(quantity) };
}
