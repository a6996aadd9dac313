import type { NewOrder, OrderId, SelfTradeMode, Side } from "./types.ts";
import type { Level } from "./ladder.ts";

// Live orders as columns: an order is a row number, and the row of a dead order is used again. Nothing here grows with
// the number of commands except, where ids are not reusable, one map key per order ever accepted.

/** "No row": the end of a queue. */
export const NONE = -1;

/** Row number kept for the id of a dead order that may not come back. */
const DEAD = -2;

export interface OrderTable {
  readonly reusableIds: boolean;
  readonly rowOf: Map<OrderId, number>;
  readonly id: OrderId[];
  readonly owner: string[];
  readonly side: Side[];
  readonly postOnly: boolean[];
  readonly selfTrade: SelfTradeMode[];
  /** The level the order rests at; undefined while it does not. */
  readonly level: (Level | undefined)[];
  /** Doubles, which hold these whole numbers exactly up to 2^53. */
  priceTicks: Float64Array;
  prioritySeq: Float64Array;
  revision: Float64Array;
  /** 32 bits suffice: contracts below 2^31, and row numbers. */
  total: Int32Array;
  filled: Int32Array;
  next: Int32Array;
  prev: Int32Array;
  /** Rows ever used, and the first row free to be used again (linked by `next`). */
  used: number;
  free: number;
}

export function createOrderTable(reusableIds: boolean): OrderTable {
  const rows = 64;
  return {
    reusableIds,
    rowOf: new Map(),
    id: [],
    owner: [],
    side: [],
    postOnly: [],
    selfTrade: [],
    level: [],
    priceTicks: new Float64Array(rows),
    prioritySeq: new Float64Array(rows),
    revision: new Float64Array(rows),
    total: new Int32Array(rows),
    filled: new Int32Array(rows),
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

/** Contracts of a row that have not traded. */
export function remainingAt(orders: OrderTable, row: number): number {
  return at(orders.total, row) - at(orders.filled, row);
}

/** Row of a live order, or undefined. */
export function liveRow(orders: OrderTable, orderId: OrderId): number | undefined {
  const row = orders.rowOf.get(orderId);
  return row === DEAD ? undefined : row;
}

/** Enters an order that is not yet in any queue, and returns its row. */
export function addOrder(orders: OrderTable, order: NewOrder, seq: number): number {
  const row = freeRow(orders);
  orders.rowOf.set(order.orderId, row);
  orders.id[row] = order.orderId;
  orders.owner[row] = order.owner;
  orders.side[row] = order.side;
  orders.postOnly[row] = order.postOnly ?? false;
  orders.selfTrade[row] = order.selfTrade ?? "cancel-incoming";
  orders.level[row] = undefined;
  orders.priceTicks[row] = order.priceTicks;
  orders.prioritySeq[row] = seq;
  orders.revision[row] = 0;
  orders.total[row] = order.quantity;
  orders.filled[row] = 0;
  return row;
}

/** Forgets an order that is in no queue any more, and frees its row. */
export function removeOrder(orders: OrderTable, row: number): void {
  const orderId = idAt(orders, row);
  if (orders.reusableIds) orders.rowOf.delete(orderId);
  else orders.rowOf.set(orderId, DEAD);
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
  orders.total = words(orders.total);
  orders.filled = words(orders.filled);
  orders.next = words(orders.next);
  orders.prev = words(orders.prev);
}
