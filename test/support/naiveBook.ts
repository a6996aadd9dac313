import { createHash } from "node:crypto";
import {
  BadDisplayQuantity,
  BadPrice,
  BadQuantity,
  BadRevision,
  BeyondCollar,
  BookCrossed,
  DuplicateOrder,
  MarketHalted,
  type MatchingError,
  NotFillable,
  NotInPreOpen,
  NotPreOpen,
  OffLimits,
  PostOnlyNeverRests,
  PostOnlyWouldTake,
  SideChanged,
  UnknownOrder,
} from "../../src/market/errors.ts";
import type { BookTerms } from "../../src/market/terms.ts";
import type { Command, Entry, NewOrder, ReplaceOrder, SelfTradeMode, Session, Side } from "../../src/market/types.ts";

// The oracle: a book so simple that one can see it is right. One list of resting orders, in the order in which they
// joined their queues, and one of waiting orders; whoever is next is found by looking at all of them. It shares types
// and errors with the engine, and no line of its logic.

interface Order {
  orderId: string;
  owner: string;
  side: Side;
  priceTicks: number;
  total: number;
  filled: number;
  remaining: number;
  displayed: number;
  displayQuantity: number | null;
  stopPriceTicks: number | null;
  revision: number;
  prioritySeq: number;
  timeInForce: NewOrder["timeInForce"];
  postOnly: boolean;
  selfTrade: SelfTradeMode;
}

/** What an entry says before it is numbered. */
type Outcome = Entry extends infer E ? (E extends Entry ? Omit<E, "seq" | "n"> : never) : never;

const valuesOf = (order: Order): readonly unknown[] => Object.values(order);

export class NaiveBook {
  readonly terms: BookTerms;
  session: Session;
  orders: Order[] = [];
  waiting: Order[] = [];
  lastSeq = -1;
  lastTradeTicks: number | null = null;
  /** Prices traded in this command, outside auctions. */
  #traded: number[] = [];
  #outcomes: Outcome[] = [];

  constructor(terms: BookTerms, session: Session = "open") {
    this.terms = terms;
    this.session = session;
  }

  apply(seq: number, command: Command): readonly object[] {
    this.lastSeq = seq;
    this.#outcomes = [];
    this.#traded = [];
    this.#run(command);
    if (this.#isContinuous()) this.#fireStops();
    return this.#outcomes.map((outcome, n) => ({ ...outcome, seq, n }));
  }

  stateHash(): string {
    const lines: object[] = [
      [this.lastSeq, this.session, this.lastTradeTicks],
      ...[...this.inPriority("buy"), ...this.inPriority("sell")].map(valuesOf),
      ...[...this.#waitingInOrder("buy"), ...this.#waitingInOrder("sell")].map(valuesOf),
    ];
    return createHash("sha256")
      .update(lines.map((line) => `${JSON.stringify(line)}\n`).join(""))
      .digest("hex");
  }

  /** Resting orders of a side, first to trade first: by price, by priority, and then as they joined. */
  inPriority(side: Side): Order[] {
    const direction = side === "buy" ? -1 : 1;
    return this.orders
      .filter((order) => order.side === side)
      .sort((a, b) => direction * (a.priceTicks - b.priceTicks) || a.prioritySeq - b.prioritySeq);
  }

  #run(command: Command): void {
    const error = this.#fault(command);
    if (error !== undefined) {
      this.#say({ kind: "rejected", orderId: "orderId" in command ? command.orderId : "", error });
      return;
    }
    switch (command.kind) {
      case "new":
        this.#place(command);
        return;
      case "cancel":
        this.#remove(this.#expect(command.orderId), "requested");
        return;
      case "replace":
        this.#replace(this.#expect(command.orderId), command);
        return;
      case "session":
        this.session = command.session;
        this.#say({ kind: "session", session: command.session });
        // Stops that were reached while the market did not trade.
        if (this.#isContinuous() && this.lastTradeTicks !== null) this.#traded.push(this.lastTradeTicks);
        return;
      case "uncross":
        this.#uncross(command.referenceTicks);
        return;
    }
  }

  #place(command: NewOrder): void {
    const { orderId, side, priceTicks, quantity, stopPriceTicks } = command;
    const order: Order = {
      orderId,
      owner: command.owner,
      side,
      priceTicks,
      total: quantity,
      filled: 0,
      remaining: quantity,
      displayed: 0,
      displayQuantity: command.displayQuantity ?? null,
      stopPriceTicks: stopPriceTicks ?? null,
      revision: 0,
      prioritySeq: this.lastSeq,
      timeInForce: command.timeInForce,
      postOnly: command.postOnly ?? false,
      selfTrade: command.selfTrade ?? "cancel-incoming",
    };
    const prioritySeq = this.lastSeq;
    this.#say({ kind: "accepted", orderId, side, priceTicks, prioritySeq, remaining: quantity, stopPriceTicks });
    if (stopPriceTicks === undefined) {
      this.#enter(order);
      return;
    }
    this.waiting.push(order);
    if (this.#isContinuous() && this.lastTradeTicks !== null) this.#traded.push(this.lastTradeTicks);
  }

  #replace(order: Order, { revision, priceTicks, quantity }: ReplaceOrder): void {
    const gone = order.total - order.remaining;
    if (quantity <= gone) {
      this.#remove(order, "replaced-to-filled");
      return;
    }
    const { orderId, side, priceTicks: oldPriceTicks } = order;
    const waits = this.waiting.includes(order);
    const keepsPlace = waits || (priceTicks === oldPriceTicks && quantity <= order.total);
    const remaining = quantity - gone;
    const displayed = Math.min(order.displayed, remaining);
    const prioritySeq = keepsPlace ? order.prioritySeq : this.lastSeq;
    Object.assign(order, { revision, priceTicks, total: quantity, remaining, displayed, prioritySeq });
    this.#say({
      kind: "replaced",
      orderId,
      side,
      revision,
      oldPriceTicks,
      priceTicks,
      quantity,
      prioritySeq,
      remaining,
    });
    if (keepsPlace) return;
    this.#drop(order);
    this.#enter(order);
  }

  /** Brings an order into the book: it trades, then rests or expires. */
  #enter(order: Order): void {
    if (this.session === "pre-open") {
      for (const own of this.#facing(order).filter((other) => other.owner === order.owner)) {
        if (order.remaining > 0) this.#avoid(own, order);
      }
    } else {
      const priceTicks = this.#inCollar(order);
      this.#trade(order, priceTicks);
      if (order.remaining > 0 && order.timeInForce === "GTC" && priceTicks !== order.priceTicks) {
        this.#withdraw(order, order.remaining, "beyond-collar");
      }
    }
    if (order.remaining === 0) return;
    if (order.timeInForce === "GTC") this.#rest(order);
    else this.#expire(order, "immediate");
  }

  #trade(taker: Order, priceTicks: number): void {
    for (;;) {
      const maker = this.#facing({ side: taker.side, priceTicks })[0];
      if (taker.remaining === 0 || maker === undefined) return;
      if (maker.owner === taker.owner) {
        this.#avoid(maker, taker);
        continue;
      }
      const quantity = Math.min(taker.remaining, maker.displayed);
      this.#execute(maker, taker, maker.priceTicks, quantity, false);
      this.#traded.push(maker.priceTicks);
      if (maker.displayed === 0 && maker.remaining > 0) this.#reload(maker);
    }
  }

  #execute(maker: Order, taker: Order, priceTicks: number, quantity: number, auction: boolean): void {
    for (const order of [maker, taker]) {
      order.filled += quantity;
      order.remaining -= quantity;
      order.displayed = Math.max(0, order.displayed - quantity);
      if (order.remaining === 0) this.#drop(order);
    }
    this.lastTradeTicks = priceTicks;
    this.#say({
      kind: "executed",
      maker: maker.orderId,
      taker: taker.orderId,
      takerSide: taker.side,
      priceTicks,
      quantity,
      auction,
      makerRevision: maker.revision,
      takerRevision: taker.revision,
      makerPrioritySeq: maker.prioritySeq,
      takerPrioritySeq: taker.prioritySeq,
      makerRemaining: maker.remaining,
      takerRemaining: taker.remaining,
    });
  }

  /** Two orders of one owner meet, and the incoming one's mode decides. */
  #avoid(resting: Order, incoming: Order): void {
    const mode = incoming.selfTrade;
    const both = Math.min(resting.remaining, incoming.remaining);
    if (mode === "cancel-resting" || mode === "cancel-both") this.#withdraw(resting, resting.remaining, "self-trade");
    if (mode === "cancel-incoming" || mode === "cancel-both")
      this.#withdraw(incoming, incoming.remaining, "self-trade");
    if (mode === "decrement") {
      this.#withdraw(resting, both, "self-trade");
      this.#withdraw(incoming, both, "self-trade");
    }
  }

  #uncross(referenceTicks: number): void {
    const bids = this.inPriority("buy");
    const asks = this.inPriority("sell");
    const sum = (orders: Order[]): number => orders.reduce((total, order) => total + order.remaining, 0);
    const candidates = [];
    // Every price from the lowest ask to the highest bid, lowest first.
    for (let price = asks[0]?.priceTicks ?? Infinity; price <= (bids[0]?.priceTicks ?? -Infinity); price++) {
      const demand = sum(bids.filter((bid) => bid.priceTicks >= price));
      const supply = sum(asks.filter((ask) => ask.priceTicks <= price));
      const imbalance = Math.abs(demand - supply);
      candidates.push({ price, volume: Math.min(demand, supply), imbalance, far: Math.abs(price - referenceTicks) });
    }
    const [best] = candidates.sort(
      (a, b) => b.volume - a.volume || a.imbalance - b.imbalance || a.far - b.far || a.price - b.price,
    );
    this.#say({ kind: "uncrossed", priceTicks: best?.price, quantity: best?.volume ?? 0 });
    if (best === undefined) return;
    for (let left = best.volume; left > 0;) {
      const bid = bids.find((order) => order.remaining > 0);
      const ask = asks.find((order) => order.remaining > 0);
      if (bid === undefined || ask === undefined) throw new Error("the auction counted contracts that are not there");
      const [maker, taker] = bid.prioritySeq <= ask.prioritySeq ? [bid, ask] : [ask, bid];
      const quantity = Math.min(left, bid.remaining, ask.remaining);
      this.#execute(maker, taker, best.price, quantity, true);
      left -= quantity;
    }
    for (const order of [...bids, ...asks]) if (order.remaining > 0 && order.displayed === 0) this.#reload(order);
  }

  #fireStops(): void {
    for (;;) {
      const reached = this.waiting.filter(({ side, stopPriceTicks }) =>
        this.#traded.some((price) =>
          side === "buy" ? price >= (stopPriceTicks ?? 0) : price <= (stopPriceTicks ?? 0),
        ),
      );
      const nearest = (["buy", "sell"] as const).flatMap(
        (side) => this.#waitingInOrder(side).find((order) => reached.includes(order)) ?? [],
      );
      const [order] = nearest.sort((a, b) => a.prioritySeq - b.prioritySeq);
      if (order === undefined) return;
      this.#trigger(order);
    }
  }

  #trigger(order: Order): void {
    const { orderId, side, priceTicks, remaining } = order;
    const prioritySeq = this.lastSeq;
    this.waiting = this.waiting.filter((other) => other !== order);
    Object.assign(order, { prioritySeq, stopPriceTicks: null });
    this.#say({ kind: "triggered", orderId, side, priceTicks, prioritySeq, remaining });
    if (order.postOnly && this.#facing(order).length > 0) this.#withdraw(order, remaining, "would-take");
    else if (order.timeInForce === "FOK" && !this.#isFillable(order)) this.#expire(order, "not-fillable");
    else this.#enter(order);
  }

  /** Waiting orders of a side, next to be triggered first. */
  #waitingInOrder(side: Side): Order[] {
    const direction = side === "buy" ? 1 : -1;
    return this.waiting
      .filter((order) => order.side === side)
      .sort((a, b) => direction * ((a.stopPriceTicks ?? 0) - (b.stopPriceTicks ?? 0)) || a.prioritySeq - b.prioritySeq);
  }

  /** Resting orders that an order could trade with, first to trade first. */
  #facing({ side, priceTicks }: Pick<Order, "side" | "priceTicks">): Order[] {
    return this.inPriority(side === "buy" ? "sell" : "buy").filter((order) =>
      side === "buy" ? order.priceTicks <= priceTicks : order.priceTicks >= priceTicks,
    );
  }

  /** Tries it on a copy of the book: fillable is what trades whole there. */
  #isFillable(order: Order): boolean {
    const copy = new NaiveBook(this.terms, this.session);
    copy.lastSeq = this.lastSeq;
    copy.orders = this.orders.map((other) => ({ ...other }));
    const taker = { ...order };
    copy.lastTradeTicks = this.lastTradeTicks;
    copy.#trade(taker, this.#inCollar(order));
    return taker.filled === taker.total;
  }

  #rest(order: Order): void {
    order.displayed = Math.min(order.displayQuantity ?? Infinity, order.remaining);
    this.orders.push(order);
  }

  #reload(order: Order): void {
    this.#drop(order);
    order.prioritySeq = this.lastSeq;
    this.#rest(order);
    const { orderId, side, priceTicks, prioritySeq, remaining, displayed } = order;
    this.#say({ kind: "reloaded", orderId, side, priceTicks, prioritySeq, remaining, displayed });
  }

  #withdraw(order: Order, quantity: number, reason: (Outcome & { kind: "cancelled" })["reason"]): void {
    const { orderId, side, priceTicks } = order;
    order.remaining -= quantity;
    order.displayed = Math.min(order.displayed, order.remaining);
    if (order.remaining === 0) this.#drop(order);
    this.#say({
      kind: "cancelled",
      orderId,
      side,
      priceTicks,
      remaining: quantity,
      left: order.remaining,
      reason,
    });
  }

  #remove(order: Order, reason: (Outcome & { kind: "cancelled" })["reason"]): void {
    this.#withdraw(order, order.remaining, reason);
  }

  #expire({ orderId, side, priceTicks, remaining }: Order, reason: "immediate" | "not-fillable"): void {
    this.#say({ kind: "expired", orderId, side, priceTicks, remaining, reason });
  }

  #drop(order: Order): void {
    this.orders = this.orders.filter((other) => other !== order);
    this.waiting = this.waiting.filter((other) => other !== order);
  }

  #say(outcome: Outcome): void {
    this.#outcomes.push(outcome);
  }

  #isContinuous(): boolean {
    return this.session === "open" || this.session === "closing";
  }

  #find(orderId: string): Order | undefined {
    return [...this.orders, ...this.waiting].find((order) => order.orderId === orderId);
  }

  #expect(orderId: string): Order {
    const order = this.#find(orderId);
    if (order === undefined) throw new UnknownOrder(orderId);
    return order;
  }

  #fault(command: Command): MatchingError | undefined {
    switch (command.kind) {
      case "new":
        return this.#newFault(command);
      case "cancel":
        return this.#find(command.orderId) === undefined ? new UnknownOrder(command.orderId) : undefined;
      case "replace":
        return this.#replacementFault(command);
      case "session": {
        const bid = this.inPriority("buy")[0];
        const ask = this.inPriority("sell")[0];
        if (command.session !== "open" && command.session !== "closing") return undefined;
        if (bid === undefined || ask === undefined || bid.priceTicks < ask.priceTicks) return undefined;
        return new BookCrossed(bid.priceTicks, ask.priceTicks);
      }
      case "uncross":
        if (this.session !== "pre-open") return new NotPreOpen(this.session);
        return Number.isSafeInteger(command.referenceTicks) ? undefined : new BadPrice(command.referenceTicks);
    }
  }

  #newFault(command: NewOrder): MatchingError | undefined {
    const { orderId, side, priceTicks, quantity, timeInForce, displayQuantity, stopPriceTicks } = command;
    const postOnly = command.postOnly ?? false;
    if (this.session === "halted" || this.session === "closed") return new MarketHalted(this.session);
    if (this.#find(orderId) !== undefined) return new DuplicateOrder(orderId);
    const fault = this.#quantityFault(quantity) ?? this.#priceFault(priceTicks);
    if (fault !== undefined) return fault;
    if (displayQuantity !== undefined) {
      const fits =
        Number.isInteger(displayQuantity) && quantity / 100 <= displayQuantity && displayQuantity <= quantity;
      if (!fits) return new BadDisplayQuantity(displayQuantity, quantity);
    }
    const stopFault = stopPriceTicks === undefined ? undefined : this.#priceFault(stopPriceTicks);
    if (stopFault !== undefined) return stopFault;
    if (postOnly && timeInForce !== "GTC") return new PostOnlyNeverRests(orderId, timeInForce);
    if (stopPriceTicks !== undefined) return undefined;
    if (this.session === "pre-open" && postOnly) return new NotInPreOpen(orderId, "post-only");
    if (this.session === "pre-open" && timeInForce !== "GTC") return new NotInPreOpen(orderId, timeInForce);
    const { priceLimitDownTicks: down, priceLimitUpTicks: up } = this.terms;
    const isAtMarket = timeInForce !== "GTC" && priceTicks === (side === "buy" ? up : down);
    const beyond = this.#collarFault(command);
    if (beyond !== undefined && !isAtMarket) return beyond;
    if (postOnly) return this.#postOnlyFault(orderId, side, priceTicks);
    if (timeInForce !== "FOK") return undefined;
    const order = { ...command, total: quantity, remaining: quantity, filled: 0, displayed: 0, stopPriceTicks: null };
    const defaults = { displayQuantity: null, revision: 0, prioritySeq: this.lastSeq, postOnly };
    const selfTrade = command.selfTrade ?? "cancel-incoming";
    return this.#isFillable({ ...order, ...defaults, selfTrade }) ? undefined : new NotFillable(orderId, quantity);
  }

  #replacementFault(command: ReplaceOrder): MatchingError | undefined {
    const { orderId, side, priceTicks, quantity, revision } = command;
    const order = this.#find(orderId);
    if (order === undefined) return new UnknownOrder(orderId);
    if (this.session === "halted" || this.session === "closed") return new MarketHalted(this.session);
    if (side !== order.side) return new SideChanged(orderId, order.side);
    const { maxRevision } = this.terms;
    if (!Number.isSafeInteger(revision) || revision <= order.revision || revision > maxRevision) {
      return new BadRevision(orderId, revision, order.revision, maxRevision);
    }
    const fault = this.#quantityFault(quantity) ?? this.#priceFault(priceTicks);
    if (fault !== undefined) return fault;
    if (quantity <= order.total - order.remaining) return undefined;
    const display = order.displayQuantity ?? quantity;
    if (display < quantity / 100) return new BadDisplayQuantity(display, quantity);
    const waits = this.waiting.includes(order);
    const keepsPlace = waits || (priceTicks === order.priceTicks && quantity <= order.total);
    const beyond = keepsPlace ? undefined : this.#collarFault(command);
    if (beyond !== undefined) return beyond;
    if (order.postOnly && !waits) return this.#postOnlyFault(orderId, side, priceTicks);
    return undefined;
  }

  #collarFault(order: Pick<Order, "side" | "priceTicks">): MatchingError | undefined {
    const { collar } = this.terms;
    const worst = this.#inCollar(order);
    if (collar === undefined || worst === order.priceTicks) return undefined;
    const reference = this.lastTradeTicks ?? collar.centreTicks;
    const { side, priceTicks: limit } = order;
    return new BeyondCollar({ side, limit, reference, collar: collar.widthTicks, worst });
  }

  /** The limit of an order, or the price of the collar where that is nearer. */
  #inCollar({ side, priceTicks }: Pick<Order, "side" | "priceTicks">): number {
    const { collar } = this.terms;
    if (collar === undefined) return priceTicks;
    const reference = this.lastTradeTicks ?? collar.centreTicks;
    const [low, high] = [reference - collar.widthTicks, reference + collar.widthTicks];
    return side === "buy" ? Math.min(priceTicks, high) : Math.max(priceTicks, low);
  }

  #quantityFault(quantity: number): MatchingError | undefined {
    return Number.isInteger(quantity) && quantity >= 1 && quantity < 2 ** 31 ? undefined : new BadQuantity(quantity);
  }

  #priceFault(priceTicks: number): MatchingError | undefined {
    const { priceLimitDownTicks: down, priceLimitUpTicks: up } = this.terms;
    if (!Number.isSafeInteger(priceTicks)) return new BadPrice(priceTicks);
    return priceTicks >= down && priceTicks <= up ? undefined : new OffLimits(priceTicks, down, up);
  }

  #postOnlyFault(orderId: string, side: Side, priceTicks: number): MatchingError | undefined {
    const first = this.#facing({ side, priceTicks })[0];
    return first === undefined ? undefined : new PostOnlyWouldTake(orderId, priceTicks, first.priceTicks);
  }
}
