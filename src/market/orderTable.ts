import type { Level } from "./ladder.ts";
import { MAX_QUANTITY } from "./terms.ts";
import type { NewOrder, OrderId, SelfTradeMode, Side, TimeInForce } from "./types.ts";

// Live orders as columns: an order is a row number, and the row of a dead order is used again. Nothing here grows with
// the number of commands, only with the number of orders that were ever live at once.

/** "No row": the end of a queue. */
export const NONE = -1;

export interface OrderTable {
  /** Rows of the orders that rest or wait. One that comes in and goes at once is never entered. */
  readonly rowOf: Map<OrderId, number>;
  readonly id: OrderId[];
  readonly owner: string[];
  readonly side: Side[];
  readonly timeInForce: TimeInForce[];
  readonly postOnly: boolean[];
  readonly selfTrade: SelfTradeMode[];
  /** Whether `rowOf` knows the order. */
  readonly named: boolean[];
  /** The level the order rests or waits at; undefined while it does neither. */
  readonly level: (Level | undefined)[];
  /** Doubles, which hold these whole numbers exactly up to 2^53. */
  priceTicks: Float64Array;
  prioritySeq: Float64Array;
  revision: Float64Array;
  /** NaN: the order has no stop price, or it was reached. */
  stopTicks: Float64Array;
  /** 32 bits suffice: contracts below 2^31, and row numbers. */
  total: Int32Array;
  filled: Int32Array;
  /** What is left: the total less what has traded and what "decrement" took away. */
  remaining: Int32Array;
  /** How much of it is shown now, and how much at a time. */
  shown: Int32Array;
  display: Int32Array;
  next: Int32Array;
  prev: Int32Array;
  /** Rows ever used, and the first row free to be used again (linked by `next`). */
  used: number;
  free: number;
}

export function createOrderTable(): OrderTable {
  const rows = 64;
  return {
    rowOf: new Map(),
    id: [],
    owner: [],
    side: [],
    timeInForce: [],
    postOnly: [],
    selfTrade: [],
    named: [],
    level: [],
    priceTicks: new Float64Array(rows),
    prioritySeq: new Float64Array(rows),
    revision: new Float64Array(rows),
    stopTicks: new Float64Array(rows),
    total: new Int32Array(rows),
    filled: new Int32Array(rows),
    remaining: new Int32Array(rows),
    shown: new Int32Array(rows),
    display: new Int32Array(rows),
    next: new Int32Array(rows),
    prev: new Int32Array(rows),
    used: 0,
    free: NONE,
  };
}

/** A number of a row. Row numbers come from the table itself, so the cell is always there. */
export function at(column: Float64Array | Int32Array, row: number): number {
  return column[row] ?? 0;
}

/** The id of a row. */
export function idAt(orders: OrderTable, row: number): OrderId {
  return orders.id[row] ?? "";
}

/** The side of a row. */
export function sideAt(orders: OrderTable, row: number): Side {
  return orders.side[row] ?? "buy";
}

/** The owner of a row. */
export function ownerAt(orders: OrderTable, row: number): string {
  return orders.owner[row] ?? "";
}

/** What the order of a row does where it meets its owner. */
export function selfTradeAt(orders: OrderTable, row: number): SelfTradeMode {
  return orders.selfTrade[row] ?? "cancel-incoming";
}

/** Contracts of a row that are left. */
export function remainingAt(orders: OrderTable, row: number): number {
  return at(orders.remaining, row);
}

/** Whether the order of a row waits for its stop price, or did until this moment. */
export function hasStop(orders: OrderTable, row: number): boolean {
  return !Number.isNaN(at(orders.stopTicks, row));
}

/** Row of an order that rests or waits, or undefined. */
export function liveRow(orders: OrderTable, orderId: OrderId): number | undefined {
  return orders.rowOf.get(orderId);
}

/** Enters an order that is not yet in any queue, and returns its row. */
export function addOrder(orders: OrderTable, order: NewOrder, seq: number): number {
  const row = freeRow(orders);
  orders.id[row] = order.orderId;
  orders.owner[row] = order.owner;
  orders.side[row] = order.side;
  orders.timeInForce[row] = order.timeInForce;
  orders.postOnly[row] = order.postOnly ?? false;
  orders.selfTrade[row] = order.selfTrade ?? "cancel-incoming";
  orders.named[row] = false;
  orders.level[row] = undefined;
  orders.priceTicks[row] = order.priceTicks;
  orders.prioritySeq[row] = seq;
  orders.revision[row] = 0;
  orders.stopTicks[row] = order.stopPriceTicks ?? NaN;
  orders.total[row] = order.quantity;
  orders.filled[row] = 0;
  orders.remaining[row] = order.quantity;
  orders.shown[row] = 0;
  orders.display[row] = order.displayQuantity ?? MAX_QUANTITY;
  return row;
}

/** Makes an order known by its id, once it rests or waits. */
export function nameOrder(orders: OrderTable, row: number): void {
  if (orders.named[row] === true) return;
  orders.named[row] = true;
  orders.rowOf.set(idAt(orders, row), row);
}

/** Forgets an order that is in no queue any more, and frees its row. */
export function removeOrder(orders: OrderTable, row: number): void {
  if (orders.named[row] === true) orders.rowOf.delete(idAt(orders, row));
  orders.next[row] = orders.free;
  orders.free = row;
}

function freeRow(orders: OrderTable): number {
  const row = orders.free;
  if (row !== NONE) {
    orders.free = at(orders.next, row);
    return row;
  }
  if (orders.used === orders.total.length) grow(orders);
  return orders.used++;
}

function grow(orders: OrderTable): void {
  const rows = orders.total.length * 2;
  const doubles = (old: Float64Array): Float64Array => {
    const column = new Float64Array(rows);
    column.set(old);
    return column;
  };
  const words = (old: Int32Array): Int32Array => {
    const column = new Int32Array(rows);
    column.set(old);
    return column;
  };
  orders.priceTicks = doubles(orders.priceTicks);
  orders.prioritySeq = doubles(orders.prioritySeq);
  orders.revision = doubles(orders.revision);
  orders.stopTicks = doubles(orders.stopTicks);
  orders.total = words(orders.total);
  orders.filled = words(orders.filled);
  orders.remaining = words(orders.remaining);
  orders.shown = words(orders.shown);
  orders.display = words(orders.display);
  orders.next = words(orders.next);
  orders.prev = words(orders.prev);
}
