import type { Book } from "./book.ts";
import { type Ladder, type Level, reaches } from "./ladder.ts";

/** What an auction would trade, and at which price. */
export interface AuctionResult {
  readonly priceTicks: number;
  readonly quantity: number;
}

/**
 * The one price of an auction (MAT-21), or undefined if no orders cross. Bids and asks at each price change only at the
 * price of an ask and one tick above the price of a bid; in between, all prices are alike and the one nearest to the
 * reference stands for them. One pass over the levels that cross.
 */
export function auctionResult(book: Book, referenceTicks: number): AuctionResult | undefined {
  const bid = book.bids.best;
  const ask = book.asks.best;
  if (bid === undefined || ask === undefined || bid.priceTicks < ask.priceTicks) return undefined;
  const bids = crossing(book.bids, ask.priceTicks).reverse(); // both from the lowest price up
  const asks = crossing(book.asks, bid.priceTicks);
  const starts = [...asks.map((level) => level.priceTicks), ...bids.map((level) => level.priceTicks + 1)];
  starts.sort((a, b) => a - b);

  let demand = bids.reduce((sum, level) => sum + contracts(level), 0);
  let supply = 0;
  let nextBid = 0;
  let nextAsk = 0;
  let best: (AuctionResult & { readonly imbalance: number; readonly distance: number }) | undefined;
  for (const [i, low] of starts.entries()) {
    const high = (starts[i + 1] ?? low + 1) - 1;
    for (let level = bids[nextBid]; level !== undefined && level.priceTicks < low; level = bids[++nextBid]) {
      demand -= contracts(level);
    }
    for (let level = asks[nextAsk]; level !== undefined && level.priceTicks <= low; level = asks[++nextAsk]) {
      supply += contracts(level);
    }
    if (high < low || demand === 0) continue;
    const priceTicks = Math.min(Math.max(referenceTicks, low), high);
    const quantity = Math.min(demand, supply);
    const imbalance = Math.abs(demand - supply);
    const distance = Math.abs(priceTicks - referenceTicks);
    const isBetter =
      best === undefined ||
      quantity > best.quantity ||
      (quantity === best.quantity &&
        (imbalance < best.imbalance || (imbalance === best.imbalance && distance < best.distance)));
    if (isBetter) best = { priceTicks, quantity, imbalance, distance };
  }
  return best === undefined ? undefined : { priceTicks: best.priceTicks, quantity: best.quantity };
}

/** Levels whose orders would trade at `limitTicks`, from the best on. */
function crossing({ side, best }: Ladder, limitTicks: number): Level[] {
  const levels: Level[] = [];
  for (let level = best; level !== undefined && reaches(side, level.priceTicks, limitTicks); level = level.worse) {
    levels.push(level);
  }
  return levels;
}

function contracts(level: Level): number {
  return level.quantity + level.hidden;
}
