import { randomBytes } from "node:crypto";
import { HedgerowError } from "../protocol/errors.ts";
import type { RunOptions, TraderService } from "./commands.ts";
import { type DelayRange, randomDelay, randomWithin } from "./delay.ts";
import { failureOf, NEVER_ARRIVED } from "./desk/orderViews.ts";
import type { FailureView, HistoryEntry, OrderView, WorkedTag } from "./views.ts";

/*
 * A large order worked as small ones that nothing ties together: each on a fresh ticket with a proof and a connection of
 * its own, the next only when the one before is filled. Neither the book nor the exchange knows of more than the part
 * that is in the market (spec PRI-17). What is done so far stands in the wallet's orders, so it survives a restart.
 */

/** An order to be worked. `limitPrice` in base units per contract. */
export type WorkedPlan = {
  readonly slot: number;
  readonly side: "buy" | "sell";
  /** Contracts in all. */
  readonly quantity: number;
  readonly limitPrice: string;
  /** Contracts of a part, in the mean. */
  readonly shown: number;
  /** By how much of `shown`, in hundredths, a part may be smaller or larger: 0 to 90; 30 if left out. */
  readonly jitter?: number;
};

export type WorkedOptions = RunOptions & {
  /** Pause between a part that is filled and the next; 5 to 60 seconds if left out. */
  readonly pause?: DelayRange;
  /** Pause between two looks at the part in the market; 1 to 3 seconds if left out. */
  readonly look?: DelayRange;
};

/** How far a worked order is. */
export type WorkedReport = {
  readonly id: string;
  readonly slot: number;
  readonly side: "buy" | "sell";
  readonly quantity: number;
  readonly filled: number;
  /** Mean price of what is filled, base units; null before the first fill. */
  readonly averagePrice: string | null;
  /** Orders so far. */
  readonly parts: number;
  /** Name of the part that may still be in the market; null where none is. */
  readonly live: string | null;
  readonly status: "filled" | "working" | "stopped";
  /** Why it was stopped; Interrupted after Ctrl-C. */
  readonly reason: FailureView | null;
};

/** A worked order makes no sense. */
export class BadWorkedOrder extends HedgerowError {
  constructor(name: string, value: number, rule: string) {
    super("BadWorkedOrder", `${name} of a worked order is ${value}, but ${rule}`, { name, value });
  }
}

/** This wallet knows no worked order of this name. */
export class UnknownWorkedOrder extends HedgerowError {
  constructor(id: string) {
    super("UnknownWorkedOrder", `no order of this wallet is part of a worked order ${id}: look at all orders`, { id });
  }
}

/** The exchange did not take a part, so nothing more is sent. */
export class PartRefused extends HedgerowError {
  constructor(ref: string, reason: string) {
    super("PartRefused", `part ${ref} was refused: ${reason}`, { ref, reason });
  }
}

/** A part was taken out of the market by somebody else, so nothing more is sent. */
export class PartCancelled extends HedgerowError {
  constructor(ref: string) {
    super("PartCancelled", `part ${ref} was cancelled: resume the order if it is to go on`, { ref });
  }
}

/** So many parts may be lost on their way while an order is worked: each costs the fees of a ticket. */
const MOST_LOST = 3;

/** What working an order asks of a wallet. */
export type WorkingDesk = Pick<TraderService, "run">;

const DEFAULTS = { pause: { fromMs: 5_000, toMs: 60_000 }, look: { fromMs: 1_000, toMs: 3_000 }, jitter: 30 };

/**
 * Works an order until it is filled, is refused or the signal ends it; then the part in the market is cancelled. What is
 * filled is in the answer either way. Throws BadWorkedOrder.
 */
export async function workOrder(
  desk: WorkingDesk,
  { jitter = DEFAULTS.jitter, ...plan }: WorkedPlan,
  options: WorkedOptions = {},
): Promise<WorkedReport> {
  assertPlan({ ...plan, jitter });
  const { quantity, shown } = plan;
  const id = randomBytes(8).toString("hex");
  return new Work(desk, plan, { id, quantity, shown, jitter }, [], options).run();
}

/** Goes on with a worked order where it stands, at the newest part's price. Throws UnknownWorkedOrder. */
export async function resumeWorked(desk: WorkingDesk, id: string, options: WorkedOptions = {}): Promise<WorkedReport> {
  const parts = (await partsOf(desk, options)).get(id) ?? [];
  const newest = parts.at(-1);
  if (newest?.worked === undefined) throw new UnknownWorkedOrder(id);
  return new Work(desk, newest, newest.worked, parts, options).run();
}

/** All orders that this wallet has worked, oldest first. */
export async function workedOrders(desk: WorkingDesk, options: RunOptions = {}): Promise<readonly WorkedReport[]> {
  return [...(await partsOf(desk, options)).values()].flatMap((parts) => {
    const [first] = parts;
    return first?.worked === undefined ? [] : [reportOf(first, first.worked, parts, "working")];
  });
}

/** The parts of each worked order, oldest first. */
async function partsOf(desk: WorkingDesk, options: RunOptions): Promise<Map<string, OrderView[]>> {
  const parts = (await desk.run("orders", { all: true }, options)).filter(({ worked }) => worked !== undefined);
  return Map.groupBy(parts, ({ worked }) => worked?.id ?? "");
}

type Terms = Pick<WorkedPlan, "slot" | "side" | "limitPrice">;

/** A part with such a status may still be filled. */
const LIVE: ReadonlySet<OrderView["status"]> = new Set(["unsent", "waiting", "open"]);

class Work {
  readonly #desk: WorkingDesk;
  readonly #terms: Terms;
  readonly #tag: WorkedTag;
  readonly #parts: Map<string, OrderView>;
  readonly #options: WorkedOptions;
  readonly #run: RunOptions;
  /** What the chain shows of parts whose tickets are back, by the parts' names. */
  readonly #shown = new Map<string, Pick<OrderView, "filled" | "averagePrice">>();
  #isPlacing = false;
  #lost = 0;

  constructor(desk: WorkingDesk, terms: Terms, tag: WorkedTag, parts: readonly OrderView[], options: WorkedOptions) {
    const { signal, onProgress } = options;
    this.#desk = desk;
    this.#terms = terms;
    this.#tag = tag;
    this.#parts = new Map(parts.map((part) => [part.ref, part]));
    this.#options = options;
    this.#run = { ...(signal && { signal }), ...(onProgress && { onProgress }) };
  }

  async run(): Promise<WorkedReport> {
    const { pause = DEFAULTS.pause } = this.#options;
    try {
      for (;;) {
        const live = this.#live();
        if (live !== undefined) await this.#watch(live);
        else if (this.#left() <= 0) return this.#report("filled");
        else {
          await this.#closeUnfilled();
          if (this.#left() <= 0) continue;
          if (this.#parts.size > 0) await randomDelay(pause, this.#run);
          await this.#placeNext();
        }
      }
    } catch (error) {
      if (!(error instanceof HedgerowError)) throw error;
      await this.#withdrawPart();
      return this.#report("stopped", error);
    }
  }

  /** The part that may still be filled: the next one has to wait for it. */
  #live(): OrderView | undefined {
    return [...this.#parts.values()].find(({ status }) => LIVE.has(status));
  }

  #left(): number {
    return [...this.#parts.values()].reduce((left, { filled }) => left - filled, this.#tag.quantity);
  }

  /** Waits a moment and asks about a part, and about its ticket only. Throws PartRefused, PartCancelled. */
  async #watch(part: OrderView): Promise<void> {
    const { look = DEFAULTS.look, onProgress, signal } = this.#options;
    const { quantity } = this.#tag;
    const done = quantity - this.#left();
    onProgress?.({
      stage: "waiting",
      text: `${done} of ${quantity} filled, ${part.remaining} in the market`,
      done,
      total: quantity,
    });
    await randomDelay(look, signal && { signal });
    // Written down and not answered: it is asked about, and given up where it never arrived (spec DSK-11).
    if (part.status === "unsent") await this.#desk.run("catchUp", {}, this.#run);
    this.#learn(await this.#desk.run("orders", { all: true, ticket: part.ticketId }, this.#run));
    const { status, reason } = this.#parts.get(part.ref) ?? part;
    if (status === "refused" && reason === NEVER_ARRIVED && this.#lost < MOST_LOST) this.#lost += 1;
    else if (status === "refused") throw new PartRefused(part.ref, reason ?? "no reason was given");
    if (status === "cancelled") throw new PartCancelled(part.ref);
  }

  #learn(orders: readonly OrderView[]): void {
    for (const order of orders) {
      const isPart = order.worked?.id === this.#tag.id || this.#parts.has(order.ref);
      if (isPart) this.#keep(order);
    }
  }

  /** What the chain shows counts before what the exchange says. */
  #keep(order: OrderView): void {
    this.#parts.set(order.ref, { ...order, worked: this.#tag, ...this.#shown.get(order.ref) });
  }

  /**
   * Parts that ended unfilled can be filled no more, whatever the exchange says, once their tickets are back in the
   * account. Until then the total might grow beyond the order; then what the chain shows is all.
   */
  async #closeUnfilled(): Promise<void> {
    // What has ended has nothing remaining, filled or not.
    const ended = [...this.#parts.values()].filter(
      ({ ref, filled, quantity }) => filled < quantity && !this.#shown.has(ref),
    );
    if (ended.length === 0) return;
    const open = new Set((await this.#desk.run("tickets", {}, this.#run)).map(({ ticketId }) => ticketId));
    const tickets = ended.map(({ ticketId }) => ticketId).filter((ticketId) => open.has(ticketId));
    if (tickets.length > 0) await this.#desk.run("closeTickets", { tickets, wait: true }, this.#run);
    const history = await this.#desk.run("history", {}, this.#run);
    for (const part of ended) {
      this.#shown.set(part.ref, filledOnChain(part, history));
      this.#keep(part);
    }
  }

  async #placeNext(): Promise<void> {
    const { slot, side, limitPrice } = this.#terms;
    const quantity = sizeOfPart(this.#left(), this.#tag);
    const order = { slot, side, quantity, limitPrice, timeInForce: "GTC" as const, worked: this.#tag };
    this.#isPlacing = true;
    const [placed] = await this.#desk.run("place", { orders: [order], tickets: "fresh" }, this.#run);
    this.#isPlacing = false;
    if (placed?.order) this.#keep(placed.order);
    // One that is unsent may have arrived: it is looked after like any other.
    if (placed?.refusal && !(placed.order && LIVE.has(placed.order.status))) {
      throw new HedgerowError(placed.refusal.code, placed.refusal.message, placed.refusal.details);
    }
  }

  /** Takes the part out of the market, also after Ctrl-C; where that fails the report names it. */
  async #withdrawPart(): Promise<void> {
    try {
      if (this.#isPlacing) this.#learn(await this.#desk.run("orders", { all: true }));
      const live = this.#live();
      if (live === undefined) return;
      const { order } = await this.#desk.run("cancel", { order: live.ref });
      if (order !== null) this.#keep(order);
    } catch (error) {
      if (!(error instanceof HedgerowError)) throw error;
    }
  }

  #report(status: WorkedReport["status"], error?: HedgerowError): WorkedReport {
    return reportOf(this.#terms, this.#tag, [...this.#parts.values()], status, error);
  }
}

/** What the fills of a part's ticket come to: it carried no other order. */
function filledOnChain(
  { ticketId, side }: OrderView,
  history: readonly HistoryEntry[],
): Pick<OrderView, "filled" | "averagePrice"> {
  const fills = history.filter((entry) => entry.kind === "fill" && entry.ticketId === ticketId);
  const sign = side === "buy" ? 1 : -1;
  const own = fills.filter(({ position }) => position * sign > 0);
  const filled = own.reduce((sum, { position }) => sum + position * sign, 0);
  const value = own.reduce((sum, { position, price }) => sum + BigInt(price ?? 0) * BigInt(position * sign), 0n);
  return { filled, averagePrice: filled === 0 ? null : (value / BigInt(filled)).toString() };
}

/** Contracts of the next part, drawn anew for each, and never more than are left. */
function sizeOfPart(left: number, { shown, jitter }: WorkedTag): number {
  const least = Math.max(1, Math.ceil((shown * (100 - jitter)) / 100));
  const most = Math.max(least, Math.floor((shown * (100 + jitter)) / 100));
  return Math.min(left, randomWithin(least, most));
}

function reportOf(
  { slot, side }: Pick<Terms, "slot" | "side">,
  { id, quantity }: WorkedTag,
  parts: readonly OrderView[],
  status: WorkedReport["status"],
  error?: HedgerowError,
): WorkedReport {
  const filled = parts.reduce((sum, part) => sum + part.filled, 0);
  const value = parts.reduce((sum, part) => sum + BigInt(part.averagePrice ?? 0) * BigInt(part.filled), 0n);
  return {
    id,
    slot,
    side,
    quantity,
    filled,
    averagePrice: filled === 0 ? null : (value / BigInt(filled)).toString(),
    parts: parts.length,
    live: parts.find((part) => LIVE.has(part.status))?.ref ?? null,
    status: filled >= quantity ? "filled" : status,
    reason: error === undefined || filled >= quantity ? null : failureOf(error),
  };
}

function assertPlan({ quantity, shown, jitter }: Pick<WorkedTag, "quantity" | "shown" | "jitter">): void {
  const isCount = (value: number): boolean => Number.isInteger(value) && value >= 1 && value < 2 ** 31;
  if (!isCount(quantity)) throw new BadWorkedOrder("quantity", quantity, "it is a whole number of contracts from 1");
  if (!isCount(shown) || shown > quantity) {
    throw new BadWorkedOrder("shown", shown, "it is a whole number of contracts from 1 to the order's quantity");
  }
  if (!Number.isInteger(jitter) || jitter < 0 || jitter > 90) {
    throw new BadWorkedOrder("jitter", jitter, "it is a whole number of hundredths from 0 to 90");
  }
}
