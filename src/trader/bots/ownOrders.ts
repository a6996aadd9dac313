import type { OrderReport } from "../../api/service.ts";
import type { SignedOrder } from "../../chain/clearingHouse.ts";
import { toTicks } from "../../market/terms.ts";
import type { EpochMarket } from "../../protocol/epoch.ts";
import type { TicketBalance } from "../../protocol/ticket.ts";
import type { OwnOrder } from "./strategy.ts";

/** An order that the bot has signed: the revision in force, one that is on its way, and the last that was heard of it. */
type Tracked = {
  readonly key: string;
  signed: SignedOrder;
  pending: SignedOrder | undefined;
  report: OrderReport | undefined;
  busy: boolean;
};

/**
 * The orders of one ticket, from the exchange's reports: what lives, and what the ticket holds with everything that
 * has traded. Reports may come twice and out of order; the one with the highest number counts.
 */
export class OwnOrders {
  readonly #market: EpochMarket;
  readonly #opening: TicketBalance;
  readonly #live = new Map<bigint, Tracked>();
  /** Orders of which the exchange knew nothing when it was asked: should they come to life, they are cancelled. */
  readonly #lost = new Map<bigint, SignedOrder>();
  /** What orders that are dead have traded, with sign. */
  #position = 0;
  #value = 0n;
  #contracts = 0;
  #fills = 0;

  constructor(market: EpochMarket, opening: TicketBalance) {
    this.#market = market;
    this.#opening = opening;
  }

  /** A new order that is about to be sent. */
  place(key: string, signed: SignedOrder): void {
    this.#live.set(signed.order.clientId, { key, signed, pending: undefined, report: undefined, busy: true });
  }

  /** A replacement or, without one, a cancel is about to be sent. */
  change(clientId: bigint, pending?: SignedOrder): void {
    const order = this.#live.get(clientId);
    if (order === undefined) return;
    order.busy = true;
    order.pending = pending;
  }

  /** No command about the order is under way any more. */
  answered(clientId: bigint): void {
    const order = this.#live.get(clientId);
    if (order === undefined) return;
    order.busy = false;
    order.pending = undefined;
    this.#bury(order);
  }

  /** The order never was in the book. */
  drop(clientId: bigint, mayComeYet = false): void {
    const order = this.#live.get(clientId);
    if (order?.report !== undefined) return;
    this.#live.delete(clientId);
    if (mayComeYet && order !== undefined) this.#lost.set(clientId, order.signed);
  }

  /** Takes a report in. Returns an order that was given up for lost and lives: it is to be cancelled. */
  take(report: OrderReport): SignedOrder | undefined {
    const order = this.#live.get(report.clientId);
    if (order === undefined) return this.#find(report);
    const known = order.report;
    if (known !== undefined && (report.seq < known.seq || (report.seq === known.seq && report.n <= known.n))) return;
    if (report.filled > (known?.filled ?? 0)) this.#fills += 1;
    this.#contracts += report.filled - (known?.filled ?? 0);
    order.report = report;
    if (order.pending !== undefined && order.pending.order.revision <= report.revision) order.signed = order.pending;
    this.#bury(order);
    return undefined;
  }

  /** The signed order of that name. */
  byKey(key: string): { readonly signed: SignedOrder; readonly filled: number } | undefined {
    const order = [...this.#live.values()].find((each) => each.key === key && isAlive(each));
    return order === undefined ? undefined : { signed: order.signed, filled: order.report?.filled ?? 0 };
  }

  /** Client ids of what may live. */
  get clientIds(): readonly bigint[] {
    return [...this.#live.keys()];
  }

  isBusy(clientId: bigint): boolean {
    return this.#live.get(clientId)?.busy === true;
  }

  /** Live orders as a strategy sees them. One on its way to another price stands at both. */
  list(): readonly OwnOrder[] {
    return [...this.#live.values()].filter(isAlive).flatMap(({ key, signed, pending, report, busy }): OwnOrder[] => {
      const { side, limitPrice, quantity, revision } = signed.order;
      const filled = report?.filled ?? 0;
      const remaining = report?.remaining ?? quantity;
      const order = { key, side, priceTicks: this.#ticks(limitPrice), remaining, revision, busy };
      if (pending === undefined) return [order];
      const most = Math.max(remaining, pending.order.quantity - filled);
      const there = { ...order, key: `${key}~`, priceTicks: this.#ticks(pending.order.limitPrice), remaining: 0 };
      return [{ ...order, remaining: most }, there];
    });
  }

  /** Contracts and cash of the ticket with all that has traded; fees as high as they can be. */
  get balance(): TicketBalance {
    let position = this.#position;
    let value = this.#value;
    for (const { report } of this.#live.values()) {
      if (report === undefined) continue;
      const sign = report.side === "buy" ? 1 : -1;
      position += sign * report.filled;
      value += BigInt(sign) * report.filledValue;
    }
    return {
      position: this.#opening.position + BigInt(position),
      cash: this.#opening.cash - value - BigInt(this.#contracts) * this.#market.fillFee,
    };
  }

  /** Contracts that have traded, and in how many reports of trades. */
  get traded(): { readonly contracts: number; readonly fills: number } {
    return { contracts: this.#contracts, fills: this.#fills };
  }

  #ticks(price: bigint): number {
    return toTicks(price, this.#market.tick);
  }

  /** Dead orders leave their sums. One with a command under way stays until the answer. */
  #bury(order: Tracked): void {
    const { report, busy, signed } = order;
    if (busy || report === undefined || isAlive(order)) return;
    const sign = report.side === "buy" ? 1 : -1;
    this.#position += sign * report.filled;
    this.#value += BigInt(sign) * report.filledValue;
    this.#live.delete(signed.order.clientId);
  }

  #find(report: OrderReport): SignedOrder | undefined {
    const signed = this.#lost.get(report.clientId);
    if (signed === undefined) return undefined;
    this.#lost.delete(report.clientId);
    this.#live.set(report.clientId, {
      key: `lost-${report.clientId}`,
      signed,
      pending: undefined,
      report: undefined,
      busy: false,
    });
    this.take(report);
    return this.#live.has(report.clientId) ? signed : undefined;
  }
}

function isAlive({ report }: Pick<Tracked, "report">): boolean {
  return report === undefined || report.status === "open" || report.status === "waiting";
}
