import { at, NONE, type OrderTable } from "./orderTable.ts";
import type { Side } from "./types.ts";

/** All orders at one price, in a queue by priority. `quantity` is what they show, `hidden` what they have left besides. */
export interface Level {
  readonly ladder: Ladder;
  readonly priceTicks: number;
  head: number;
  tail: number;
  quantity: number;
  hidden: number;
  orders: number;
}

/**
 * One side of the book, or the stop orders of one side by stop price: its levels from the worst price to the best. Trading happens at the end of the array, so that
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

/** The level at a price, or undefined. */
export function findLevel(ladder: Ladder, priceTicks: number): Level | undefined {
  const level = ladder.levels[indexOf(ladder, priceTicks)];
  return level?.priceTicks === priceTicks ? level : undefined;
}

/** The level at a price, made if there is none. */
export function levelAt(ladder: Ladder, priceTicks: number): Level {
  const index = indexOf(ladder, priceTicks);
  const found = ladder.levels[index];
  if (found?.priceTicks === priceTicks) return found;
  const level = { ladder, priceTicks, head: NONE, tail: NONE, quantity: 0, hidden: 0, orders: 0 };
  ladder.levels.splice(index, 0, level);
  return level;
}

/** Takes an empty level off its ladder. */
export function dropLevel(level: Level): void {
  const { ladder } = level;
  if (level === bestLevel(ladder)) ladder.levels.pop();
  else ladder.levels.splice(indexOf(ladder, level.priceTicks), 1);
}

/** Puts an order at the end of a level's queue, where it shows as much as it may. */
export function enqueue(orders: OrderTable, level: Level, row: number): void {
  const remaining = at(orders.remaining, row);
  const shown = Math.min(remaining, at(orders.display, row));
  orders.shown[row] = shown;
  orders.level[row] = level;
  orders.prev[row] = level.tail;
  orders.next[row] = NONE;
  if (level.tail === NONE) level.head = row;
  else orders.next[level.tail] = row;
  level.tail = row;
  level.quantity += shown;
  level.hidden += remaining - shown;
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
  const shown = at(orders.shown, row);
  level.quantity -= shown;
  level.hidden -= at(orders.remaining, row) - shown;
  level.orders -= 1;
}

/** Takes contracts off an order, wherever it is: those it shows go last if `hiddenFirst`, otherwise first. */
export function takeOff(orders: OrderTable, row: number, quantity: number, hiddenFirst: boolean): void {
  const remaining = at(orders.remaining, row);
  const shown = at(orders.shown, row);
  const shownLeft = hiddenFirst ? Math.min(shown, remaining - quantity) : Math.max(0, shown - quantity);
  orders.remaining[row] = remaining - quantity;
  orders.shown[row] = shownLeft;
  const level = orders.level[row];
  if (level === undefined) return;
  level.quantity -= shown - shownLeft;
  level.hidden -= quantity - (shown - shownLeft);
}

/** Lets an order in a queue show `shown` contracts and hide the rest of what it has left. */
export function showOnly(orders: OrderTable, row: number, shown: number): void {
  const level = orders.level[row];
  if (level === undefined) return;
  const more = shown - at(orders.shown, row);
  orders.shown[row] = shown;
  level.quantity += more;
  level.hidden -= more;
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
