import { displayFault, termsFault, toTicks } from "../../market/terms.ts";
import { type EpochMarket, priceLimits } from "../../protocol/epoch.ts";
import { HedgerowError } from "../../protocol/errors.ts";
import type { OrderRequest } from "../commands.ts";
import type { InstructionTerms, OrderTerms } from "../orders.ts";

/** Orders are taken while the day trades. */
export class NotTrading extends HedgerowError {
  constructor(epoch: number) {
    super(
      "NotTrading",
      `epoch ${epoch} is in its settlement window: orders are taken again when the next day opens; until then close ` +
        `tickets and renew the seat`,
      { epoch },
    );
  }
}

/** A market order finds nobody on the other side: no ticket is opened for it. */
export class NoOppositeSide extends HedgerowError {
  constructor(slot: number, side: string) {
    super(
      "NoOppositeSide",
      `nobody is on the other side of a market ${side} in slot ${slot}, so it could not fill: give a limit price, and ` +
        `the order rests until somebody comes`,
      { slot, side },
    );
  }
}

/** What bounds a market order, as the exchange tells it. */
export type Prices = {
  /** The best price of a side of the book, if there is one. */
  readonly best: (slot: number, side: OrderRequest["side"]) => Promise<bigint | undefined>;
  /** Of the last trade of the day, if there was one. */
  readonly last: (slot: number) => Promise<bigint | undefined>;
};

/** An order worked out: what is signed for the chain, and what is told to the operator besides. */
export type WorkedOutOrder = { readonly terms: OrderTerms; readonly instructions: InstructionTerms | undefined };

/**
 * Works an order out and checks all that can be known before a ticket is opened for it. A market order becomes an
 * immediate one at the worst price that it may have. Throws MatchingError for what the market would refuse, and
 * NoOppositeSide.
 */
export async function workOut(
  request: OrderRequest,
  market: EpochMarket,
  closingTime: bigint,
  prices: Prices,
): Promise<WorkedOutOrder> {
  const { side, quantity, postOnly = false } = request;
  const isMarket = request.limitPrice === undefined;
  const limitPrice =
    request.limitPrice === undefined ? await worstPrice(request, market, prices) : BigInt(request.limitPrice);
  const stopPrice = request.stopPrice === undefined ? undefined : BigInt(request.stopPrice);
  const { displayQuantity } = request;
  for (const price of stopPrice === undefined ? [limitPrice] : [limitPrice, stopPrice]) {
    assertGoodPrice(market, price, quantity);
  }
  const hidden = displayQuantity === undefined ? undefined : displayFault(displayQuantity, quantity);
  if (hidden !== undefined) throw hidden;
  return {
    terms: {
      side,
      limitPrice,
      quantity,
      expiry: request.expiry === undefined ? closingTime : BigInt(request.expiry),
      timeInForce: request.timeInForce ?? (isMarket ? "IOC" : "GTC"),
      postOnly,
    },
    instructions: instructionsOf(request, stopPrice),
  };
}

function instructionsOf(request: OrderRequest, stopPrice: bigint | undefined): InstructionTerms | undefined {
  const { displayQuantity = 0, selfTrade = "cancel-incoming", reduceOnly = false } = request;
  const isPlain = stopPrice === undefined && displayQuantity === 0 && request.selfTrade === undefined && !reduceOnly;
  return isPlain ? undefined : { stopPrice, displayQuantity, selfTrade, reduceOnly };
}

async function worstPrice(request: OrderRequest, market: EpochMarket, prices: Prices): Promise<bigint> {
  const { side, slot, slippage, stopPrice } = request;
  const { down, up } = priceLimits(market);
  const worst = side === "buy" ? up : down;
  // A stop waits, and whom it meets then is not in the book yet.
  const best = stopPrice === undefined ? await prices.best(slot, side === "buy" ? "sell" : "buy") : BigInt(stopPrice);
  if (best === undefined) throw new NoOppositeSide(slot, side);
  if (slippage === undefined) return worst;
  // Toward the best price to a whole tick: never beyond what was allowed.
  const room = BigInt(slippage) - (BigInt(slippage) % market.tick);
  const price = side === "buy" ? best + room : best - room;
  const within = price > up ? up : price < down ? down : price;
  // A stop meets the collar when it is triggered.
  if (market.priceCollar === 0n || stopPrice !== undefined) return within;
  // It names a price of its own, and one beyond the collar would be refused (spec ORD-23).
  const reference = (await prices.last(slot)) ?? market.centre;
  const allowed = side === "buy" ? reference + market.priceCollar : reference - market.priceCollar;
  const isBeyond = side === "buy" ? within > allowed : within < allowed;
  return isBeyond ? allowed : within;
}

function assertGoodPrice(market: EpochMarket, price: bigint, quantity: number): void {
  const { down, up } = priceLimits(market);
  const { tick } = market;
  const terms = {
    priceLimitDownTicks: toTicks(down, tick),
    priceLimitUpTicks: toTicks(up, tick),
    maxRevision: Number.MAX_SAFE_INTEGER,
  };
  const fault = termsFault(terms, { priceTicks: toTicks(price, tick), quantity });
  if (fault !== undefined) throw fault;
}
