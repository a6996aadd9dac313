import { createHash } from "node:crypto";
import {
  BadPrice,
  BadQuantity,
  BadRevision,
  DuplicateOrder,
  type MatchingError,
  NotFillable,
  OffLimits,
  PostOnlyNeverRests,
  PostOnlyWouldTake,
  SideChanged,
  UnknownOrder,
} from "../../src/market/errors.ts";
import type { MarketTerms } from "../../src/market/terms.ts";
import type { Command, Entry, NewOrder, SelfTradeMode, Side } from "../../src/market/types.ts";

// The oracle: a book so simple that one can see it is right. One list of orders; whoever is next to trade is found by
// looking at all of them. It shares types and errors with the engine, and no line of its logic.

interface Order {
  orderId: string;
  owner: string;
  side: Side;
  priceTicks: number;
  total: number;
  filled: number;
  revision: number;
  prioritySeq: number;
  postOnly: boolean;
  selfTrade: SelfTradeMode;
}

/** What an entry says before it is numbered. */
type Outcome = Entry extends infer E ? (E extends Entry ? Omit<E, "seq" | "n"> : never) : never;

export class NaiveBook {
  readonly terms: MarketTerms;
  orders: Order[] = [];
  takenIds = new Set<string>();
  lastSeq = -1;

  constructor(terms: MarketTerms) {
    this.terms = terms;
  }

  apply(seq: number, command: Command): readonly unknown[] {
    this.lastSeq = seq;
    const outcomes = this.#run(seq, command);
    if (this.terms.reusableIds) this.takenIds = new Set(this.orders.map((order) => order.orderId));
    return outcomes.map((outcome, n) => ({ ...outcome, seq, n }));
  }

  #run(seq: number, command: Command): readonly Outcome[] {
    const { orderId } = command;
    if (command.kind === "new") {
      const error = this.#newFault(command);
      if (error !== undefined) return [{ kind: "rejected", orderId, error }];
      return this.#enter(seq, command);
    }
    const order = this.orders.find((resting) => resting.orderId === orderId);
    if (order === undefined) return [{ kind: "rejected", orderId, error: new UnknownOrder(orderId) }];
    if (command.kind === "cancel") {
      this.#remove(order);
      return [{ kind: "cancelled", orderId, remaining: order.total - order.filled, reason: "requested" }];
    }

    const { revision, priceTicks, quantity } = command;
    let error: MatchingError | undefined;
    if (command.side !== order.side) error = new SideChanged(orderId, order.side);
    else if (!Number.isSafeInteger(revision) || revision <= order.revision || revision > this.terms.maxRevision) {
      error = new BadRevision(orderId, revision, order.revision, this.terms.maxRevision);
    } else error = this.#termsFault(command);
    if (error === undefined && order.postOnly && quantity > order.filled) {
      error = this.#postOnlyFault(orderId, order.side, priceTicks);
    }
    if (error !== undefined) return [{ kind: "rejected", orderId, error }];
    if (quantity <= order.filled) {
      this.#remove(order);
      return [{ kind: "cancelled", orderId, remaining: order.total - order.filled, reason: "replaced-to-filled" }];
    }
    const keepsPriority = priceTicks === order.priceTicks && quantity <= order.total;
    const prioritySeq = keepsPriority ? order.prioritySeq : seq;
    Object.assign(order, { priceTicks, total: quantity, revision, prioritySeq });
    const remaining = quantity - order.filled;
    const outcomes: Outcome[] = [{ kind: "replaced", orderId, revision, priceTicks, quantity, prioritySeq, remaining }];
    if (keepsPriority) return outcomes;
    this.#remove(order);
    if (this.#trade(order, outcomes) > 0) this.orders.push(order);
    return outcomes;
  }

  #enter(seq: number, command: NewOrder): Outcome[] {
    const { orderId, owner, side, priceTicks, quantity } = command;
    this.takenIds.add(orderId);
    const order: Order = {
      orderId,
      owner,
      side,
      priceTicks,
      total: quantity,
      filled: 0,
      revision: 0,
      prioritySeq: seq,
      postOnly: command.postOnly ?? false,
      selfTrade: command.selfTrade ?? "cancel-incoming",
    };
    const outcomes: Outcome[] = [
      { kind: "accepted", orderId, side, priceTicks, prioritySeq: seq, remaining: quantity },
    ];
    const remaining = this.#trade(order, outcomes);
    if (remaining > 0 && command.timeInForce === "GTC") this.orders.push(order);
    if (remaining > 0 && command.timeInForce === "IOC") outcomes.push({ kind: "expired", orderId, remaining });
    return outcomes;
  }

  /** Trades as far as possible and returns what is left to rest; 0 if a self-trade cancelled it. */
  #trade(taker: Order, outcomes: Outcome[]): number {
    for (;;) {
      const takerRemaining = taker.total - taker.filled;
      const maker = this.#facing(taker.side, taker.priceTicks)[0];
      if (takerRemaining === 0 || maker === undefined) return takerRemaining;
      if (maker.owner === taker.owner) {
        const loser = taker.selfTrade === "cancel-incoming" ? taker : maker;
        const { orderId } = loser;
        outcomes.push({ kind: "cancelled", orderId, remaining: loser.total - loser.filled, reason: "self-trade" });
        if (loser === taker) return 0;
        this.#remove(maker);
        continue;
      }
      const quantity = Math.min(takerRemaining, maker.total - maker.filled);
      maker.filled += quantity;
      taker.filled += quantity;
      if (maker.filled === maker.total) this.#remove(maker);
      outcomes.push({
        kind: "executed",
        maker: maker.orderId,
        taker: taker.orderId,
        takerSide: taker.side,
        priceTicks: maker.priceTicks,
        quantity,
        makerRevision: maker.revision,
        takerRevision: taker.revision,
        makerPrioritySeq: maker.prioritySeq,
        takerPrioritySeq: taker.prioritySeq,
        makerRemaining: maker.total - maker.filled,
        takerRemaining: taker.total - taker.filled,
      });
    }
  }

  /** Orders that one with this side and limit could trade with, first to trade first. */
  #facing(side: Side, limit: number): Order[] {
    return this.#inPriority(side === "buy" ? "sell" : "buy").filter((order) =>
      side === "buy" ? order.priceTicks <= limit : order.priceTicks >= limit,
    );
  }

  #inPriority(side: Side): Order[] {
    const direction = side === "buy" ? -1 : 1;
    return this.orders
      .filter((order) => order.side === side)
      .sort((a, b) => direction * (a.priceTicks - b.priceTicks) || a.prioritySeq - b.prioritySeq);
  }

  #remove(order: Order): void {
    this.orders = this.orders.filter((other) => other !== order);
  }

  #newFault(command: NewOrder): MatchingError | undefined {
    const { orderId, owner, side, priceTicks, quantity, timeInForce, postOnly, selfTrade } = command;
    if (this.takenIds.has(orderId)) return new DuplicateOrder(orderId);
    const fault = this.#termsFault(command);
    if (fault !== undefined) return fault;
    if (postOnly === true && timeInForce !== "GTC") return new PostOnlyNeverRests(orderId, timeInForce);
    if (postOnly === true) return this.#postOnlyFault(orderId, side, priceTicks);
    if (timeInForce !== "FOK") return undefined;
    let facing = this.#facing(side, priceTicks);
    const firstOwn = facing.findIndex((order) => order.owner === owner);
    if (selfTrade === "cancel-resting") facing = facing.filter((order) => order.owner !== owner);
    else if (firstOwn >= 0) facing = facing.slice(0, firstOwn);
    const within = facing.reduce((sum, order) => sum + order.total - order.filled, 0);
    return within < quantity ? new NotFillable(orderId, quantity) : undefined;
  }

  #termsFault({ priceTicks, quantity }: { priceTicks: number; quantity: number }): MatchingError | undefined {
    const { priceLimitDownTicks: down, priceLimitUpTicks: up } = this.terms;
    if (!(Number.isInteger(quantity) && quantity >= 1 && quantity < 2 ** 31)) return new BadQuantity(quantity);
    if (!Number.isSafeInteger(priceTicks)) return new BadPrice(priceTicks);
    if (!(priceTicks >= down && priceTicks <= up)) return new OffLimits(priceTicks, down, up);
    return undefined;
  }

  #postOnlyFault(orderId: string, side: Side, priceTicks: number): MatchingError | undefined {
    const first = this.#facing(side, priceTicks)[0];
    return first === undefined ? undefined : new PostOnlyWouldTake(orderId, priceTicks, first.priceTicks);
  }

  stateHash(): string {
    const lines = [...this.#inPriority("buy"), ...this.#inPriority("sell")].map((order) =>
      JSON.stringify(Object.values(this.#stateOf(order))),
    );
    const text = [JSON.stringify([this.lastSeq, this.takenIds.size]), ...lines, ""].join("\n");
    return createHash("sha256").update(text).digest("hex");
  }

  /** The fields of an order in the order in which a state line names them. */
  #stateOf({ orderId, owner, side, priceTicks, total, filled, revision, prioritySeq, postOnly, selfTrade }: Order) {
    return { orderId, owner, side, priceTicks, total, filled, revision, prioritySeq, postOnly, selfTrade };
  }
}
