import { at, NONE, type OrderTable, remainingAt } from "./orderTable.ts";
import type { Side } from "./types.ts";

/** All orders resting at one price, in a queue by priority. `quantity` is the sum of what they have left. */
export interface Level {
  readonly priceTicks: number;
  head: number;
  tail: number;
  quantity: number;
  orders: number;
}

/**
 * One side of the book: its levels from the worst price to the best. Trading happens at the end of the array, so that
 * levels come and go there without moving others; elsewhere a level is found by halving.
 */
export interface Ladder {
  readonly side: Side;
  readonly levels: Level[];
}

/** Whether an order of `side` with limit `limitTicks` may trade at `priceTicks`. */
export function reaches(side: Side, limitTicks: number, priceTicks: number): boolean {
  return side === "buy" ? priceTicks <= limitTicks : priceTicks >= limitTicks;
}

/** The level at the best price, or undefined. */
export function bestLevel(ladder: Ladder): Level | undefined {
  return ladder.levels[ladder.levels.length - 1];
}

/** The level at a price, made if there is none. */
export function levelAt(ladder: Ladder, priceTicks: number): Level {
  const index = indexOf(ladder, priceTicks);
  const found = ladder.levels[index];
  if (found?.priceTicks === priceTicks) return found;
  const level = { priceTicks, head: NONE, tail: NONE, quantity: 0, orders: 0 };
  ladder.levels.splice(index, 0, level);
  return level;
}

/** Takes an empty level off the ladder. */
export function dropLevel(ladder: Ladder, level: Level): void {
  if (level === bestLevel(ladder)) ladder.levels.pop();
  else ladder.levels.splice(indexOf(ladder, level.priceTicks), 1);
}

/** Puts an order at the end of a level's queue. */
export function enqueue(orders: OrderTable, level: Level, row: number): void {
  orders.level[row] = level;
  orders.prev[row] = level.tail;
  orders.next[row] = NONE;
  if (level.tail === NONE) level.head = row;
  else orders.next[level.tail] = row;
  level.tail = row;
  level.quantity += remainingAt(orders, row);
  level.orders += 1;
}

/** Takes an order out of its level's queue, from any place in it. */
export function dequeue(orders: OrderTable, level: Level, row: number): void {
  const prev = at(orders.prev, row);
  const next = at(orders.next, row);
  if (prev === NONE) level.head = next;
  else orders.next[prev] = next;
  if (next === NONE) level.tail = prev;
  else orders.prev[next] = prev;
  orders.level[row] = undefined;
  level.quantity -= remainingAt(orders, row);
  level.orders -= 1;
}

/** Where a price stands, or would stand, on the ladder. */
function indexOf(ladder: Ladder, priceTicks: number): number {
  const { levels, side } = ladder;
  let low = 0;
  let high = levels.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const level = levels[middle];
    const isWorse =
      level !== undefined && (side === "buy" ? level.priceTicks < priceTicks : level.priceTicks > priceTicks);
    if (isWorse) low = middle + 1;
    else high = middle;
  }
  return low;
}
