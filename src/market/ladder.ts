import { at, NONE, type OrderTable } from "./orderTable.ts";
import type { Side } from "./types.ts";

/**
 * All orders at one price, in a queue by priority. `quantity` is what they show, `hidden` what they have left besides.
 * Levels are chained by price.
 */
export interface Level {
  readonly ladder: Ladder;
  readonly priceTicks: number;
  worse: Level | undefined;
  better: Level | undefined;
  head: number;
  tail: number;
  quantity: number;
  hidden: number;
  orders: number;
}

/**
 * One side of the book, or the stop orders of one side by stop price. The chain of levels is walked from the best one;
 * `shelves` holds the same levels from the worst price to the best, so many to a shelf at most that one more can be
 * put in between cheaply, however many there are. Trading happens at the end of the last shelf.
 */
export interface Ladder {
  readonly side: Side;
  readonly shelves: Level[][];
  best: Level | undefined;
}

/** Levels to a shelf at most. A full one is cut in two. */
const SHELF = 64;

/** A ladder without levels. */
export function createLadder(side: Side): Ladder {
  return { side, shelves: [], best: undefined };
}

/** Whether an order of `side` with limit `limitTicks` may trade at `priceTicks`. */
export function reaches(side: Side, limitTicks: number, priceTicks: number): boolean {
  return side === "buy" ? priceTicks <= limitTicks : priceTicks >= limitTicks;
}

/** The level at a price, or undefined. */
export function findLevel(ladder: Ladder, priceTicks: number): Level | undefined {
  const shelf = ladder.shelves[shelfOf(ladder, priceTicks)];
  const level = shelf?.[placeOn(shelf, ladder.side, priceTicks)];
  return level?.priceTicks === priceTicks ? level : undefined;
}

/** The level at a price, made if there is none. */
export function levelAt(ladder: Ladder, priceTicks: number): Level {
  const { side, shelves, best } = ladder;
  if (best?.priceTicks === priceTicks) return best;
  const index = shelfOf(ladder, priceTicks);
  const shelf = shelves[index];
  if (shelf === undefined) {
    const level = createLevel(ladder, priceTicks, undefined, undefined);
    shelves.push([level]);
    return level;
  }
  const place = placeOn(shelf, side, priceTicks);
  const found = shelf[place];
  if (found?.priceTicks === priceTicks) return found;
  // Only the first shelf may have to take a level at its beginning: see `shelfOf`.
  const worse = shelf[place - 1];
  const level = createLevel(ladder, priceTicks, worse, worse === undefined ? found : worse.better);
  if (place === shelf.length) shelf.push(level);
  else shelf.splice(place, 0, level);
  if (shelf.length === SHELF) shelves.splice(index + 1, 0, shelf.splice(SHELF / 2));
  return level;
}

/** Takes an empty level off its ladder. */
export function dropLevel(level: Level): void {
  const { ladder, worse, better } = level;
  const { side, shelves } = ladder;
  const index = better === undefined ? shelves.length - 1 : shelfOf(ladder, level.priceTicks);
  const shelf = shelves[index];
  if (shelf === undefined) return;
  if (better === undefined) shelf.pop();
  else shelf.splice(placeOn(shelf, side, level.priceTicks), 1);
  if (shelf.length === 0) shelves.splice(index, 1);
  if (worse !== undefined) worse.better = better;
  if (better === undefined) ladder.best = worse;
  else better.worse = worse;
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

function createLevel(ladder: Ladder, priceTicks: number, worse: Level | undefined, better: Level | undefined): Level {
  const level: Level = { ladder, priceTicks, worse, better, head: NONE, tail: NONE, quantity: 0, hidden: 0, orders: 0 };
  if (worse !== undefined) worse.better = level;
  if (better === undefined) ladder.best = level;
  else better.worse = level;
  return level;
}

function isWorse(side: Side, priceTicks: number, than: number): boolean {
  return side === "buy" ? priceTicks < than : priceTicks > than;
}

/** The last shelf that begins with a price no better than this one; the first if there is none. */
function shelfOf({ side, shelves }: Ladder, priceTicks: number): number {
  let low = 0;
  let high = shelves.length - 1;
  while (low < high) {
    // The last shelf is tried first, because most orders come in near the best price.
    const middle = high === shelves.length - 1 ? high : (low + high + 1) >>> 1;
    const first = shelves[middle]?.[0];
    if (first !== undefined && isWorse(side, priceTicks, first.priceTicks)) high = middle - 1;
    else low = middle;
  }
  return low;
}

/** Where a price stands, or would stand, on a shelf. */
function placeOn(shelf: readonly Level[], side: Side, priceTicks: number): number {
  let low = 0;
  let high = shelf.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const level = shelf[middle];
    if (level !== undefined && isWorse(side, level.priceTicks, priceTicks)) low = middle + 1;
    else high = middle;
  }
  return low;
}
