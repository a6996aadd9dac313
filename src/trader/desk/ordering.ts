import { randomInt } from "node:crypto";
import { type ExchangeClient, ExchangeRefused, passes } from "../../api/client.ts";
import type { OrderAnswer, OrderEntry, OrderReport } from "../../api/service.ts";
import { HedgerowError } from "../../protocol/errors.ts";
import type { Hex } from "../../protocol/keys.ts";
import { orderHash, type SignedWatch } from "../../protocol/order.ts";
import { MOST_TICKETS } from "../../protocol/ticket.ts";
import { ProverRefused } from "../../prover/prover.ts";
import type { TicketSpec, TraderAccount } from "../account.ts";
import type { OwnTicket } from "../accountState.ts";
import type { OrderChange, OrderRequest, TicketChoice } from "../commands.ts";
import type { Connections } from "../connections.ts";
import { randomDelay } from "../delay.ts";
import { isLive } from "../liveOrder.ts";
import { shortTicket } from "../markets.ts";
import type { OrderStore, StoredOrder } from "../orderStore.ts";
import { BadRecord } from "../storedForms.ts";
import type { ReceiptStore } from "../receiptStore.ts";
import type { OrderView, PlacedView } from "../views.ts";
import { reportFault } from "./believing.ts";
import { cashForAll, carriedFor, dealt, roundedUp } from "./funding.ts";
import type { NoteTurns, SpendOptions } from "./noteTurns.ts";
import { NotTrading, type WorkedOutOrder, workOut } from "./orderTerms.ts";
import { failureOf, NEVER_ARRIVED, orderViewOf, refOf } from "./orderViews.ts";
import { Interrupted, reach, type ReachOptions } from "./reach.ts";

/** No order, or no ticket, of this wallet has a name that begins so, or several have. */
export class NameNotFound extends HedgerowError {
  readonly found: number;

  constructor(what: "order" | "ticket", name: string, found: number) {
    super(
      "NameNotFound",
      found === 0
        ? `no ${what} of this wallet is called ${name}: look at the list`
        : `${found} ${what}s of this wallet begin with ${name}: give more of its name`,
      { what, name, found },
    );
    this.found = found;
  }
}

/** An order may only reduce, and the account has nothing that it could reduce. */
export class NothingToReduce extends HedgerowError {
  constructor(slot: number, side: string, position: bigint) {
    super(
      "NothingToReduce",
      `the account's position in slot ${slot} is ${position}, which a reduce-only ${side} cannot bring nearer to zero: ` +
        `bring the ticket that holds it back first, or leave reduce-only out`,
      { slot, side, position },
    );
  }
}

/** An answer of the exchange is about something else than was asked, or comes without a receipt. Nothing rests on it. */
export class AnswerRefused extends HedgerowError {
  constructor(about: "order" | "ticket", name: string, reason: string) {
    super(
      "AnswerRefused",
      `the exchange's answer about ${about} ${name} is not believed: ${reason}; what was signed is written down, and ` +
        `hedgerow orders asks again`,
      { about, name, reason },
    );
  }
}

/** An order that this wallet did not sign is not signed anew by what the exchange says of it. */
export class SignedElsewhere extends HedgerowError {
  constructor(name: string) {
    super(
      "SignedElsewhere",
      `this wallet has only the exchange's word for order ${name}, which was signed before it was recovered, or by another ` +
        `device: cancel it and place another`,
      { name },
    );
  }
}

/** How long a permission to see a ticket's orders is good for, seconds. */
const WATCH_SECONDS = 86_400n;

/** Most orders that rest on one ticket. */
const MOST_ORDERS = 2_000;

/** What the exchange says of an order or a ticket that it does not have. */
const UNKNOWN: ReadonlySet<string> = new Set(["OrderUnknown", "UnknownOrder", "UnknownTicket"]);

/** Milliseconds between questions about tickets that should not be seen to belong together. */
const APART = { fromMs: 500, toMs: 3_000 };

/** Stands where the signature of an order stands that this wallet did not sign. */
const UNSIGNED = "0x";

type Parts = {
  readonly account: TraderAccount;
  readonly connections: Connections;
  readonly turns: NoteTurns;
  readonly orders: OrderStore;
  readonly receipts: ReceiptStore;
  /** Whether tickets go over connections of their own: then they are not asked about at one moment either. */
  readonly isHidden: boolean;
};

type Wanted = { readonly request: OrderRequest; readonly order: WorkedOutOrder };

/** The orders of one account: their tickets, their sending, what becomes of them. */
export class Ordering {
  readonly #account: TraderAccount;
  readonly #connections: Connections;
  readonly #turns: NoteTurns;
  readonly #orders: OrderStore;
  readonly #receipts: ReceiptStore;
  readonly #isHidden: boolean;
  /** Ready tickets that an order is just being put on. */
  readonly #taken = new Set<Hex>();
  /** Tickets that the exchange was asked about since the wallet was opened. */
  readonly #asked = new Set<Hex>();

  constructor({ account, connections, turns, orders, receipts, isHidden }: Parts) {
    this.#account = account;
    this.#connections = connections;
    this.#turns = turns;
    this.#orders = orders;
    this.#receipts = receipts;
    this.#isHidden = isHidden;
  }

  /** The ticket of each order that this wallet remembers. */
  get tickets(): readonly Hex[] {
    return this.#orders.list().map(({ entry }) => entry.order.ticketId);
  }

  /**
   * Places orders on the tickets of their choice. What is refused is told in its place; the others go on. Throws
   * NotTrading, ChainUnavailable, NameNotFound, Interrupted.
   */
  async place(
    requests: readonly OrderRequest[],
    choice: TicketChoice = "fresh",
    options: SpendOptions = {},
  ): Promise<readonly PlacedView[]> {
    await this.#account.sync();
    const { epoch, phase } = this.#account.chain;
    if (phase !== "trading") throw new NotTrading(epoch);
    const closingTime = await this.#closingTime();
    const wanted = await Promise.all(
      requests.map((request) => tried(() => this.#workedOut(request, closingTime, options))),
    );
    if (typeof choice === "object") {
      const { ticketId } = this.ticketNamed(choice.ticket);
      return Promise.all(wanted.map((order) => placed(order, (each) => this.#send(ticketId, each, options))));
    }
    return choice === "fresh" ? this.#onFresh(wanted, options) : this.#onLinked(wanted, options);
  }

  /** The ticket of the present epoch whose id begins with a name. Throws NameNotFound. */
  ticketNamed(name: string): OwnTicket {
    return named("ticket", name, this.#account.knownTickets, ({ ticketId }) => ticketId.slice(2));
  }

  /**
   * The orders that live, by the exchange's newest word; `all`: also those that have ended; `ticket`: those on this one
   * only, and the exchange is asked about no other.
   */
  async list(all: boolean, ticket: string | undefined, options: ReachOptions = {}): Promise<readonly OrderView[]> {
    const only = ticket === undefined ? undefined : this.ticketNamed(ticket);
    if (only === undefined) await this.refresh(options);
    else await this.#refreshTickets([only], options);
    const stored = this.#orders.list(only === undefined ? undefined : { ticketId: only.ticketId });
    const views = stored.map((order) => this.#viewOf(order));
    return all ? views : views.filter(isLive);
  }

  /**
   * Asks the exchange about the tickets of the present epoch on which orders live, and once about each other one, where
   * orders may rest that this wallet does not remember.
   */
  async refresh(options: ReachOptions = {}): Promise<void> {
    const { chain } = this.#account;
    const tickets = this.#account.knownTickets.filter(
      ({ ticketId, epoch }) => epoch === chain.epoch && (!this.#asked.has(ticketId) || this.hasLiveOrders(ticketId)),
    );
    await this.#refreshTickets(tickets, options);
  }

  /** Whether an order rests or waits on a ticket, by the exchange's newest word. */
  hasLiveOrders(ticketId: Hex): boolean {
    return this.#orders.list({ ticketId }).some((stored) => isLive(this.#viewOf(stored)));
  }

  /** Takes an order out of the book. Throws NameNotFound, ExchangeRefused, ExchangeUnreachable. */
  async cancel(name: string, options: ReachOptions = {}): Promise<PlacedView> {
    return this.#cancelStored(await this.#find(name, options), options);
  }

  /** Takes all live orders out of the book. */
  async cancelAll(options: ReachOptions = {}): Promise<readonly PlacedView[]> {
    await this.refresh(options);
    const live = this.#orders.list().filter((stored) => ["waiting", "open"].includes(this.#viewOf(stored).status));
    return Promise.all(
      live.map((stored) => placed({ ok: true, value: stored }, (each) => this.#cancelStored(each, options))),
    );
  }

  /** Puts a new revision of an order in force. Throws as cancel does, and TooManyRevisions and SignedElsewhere. */
  async replace(name: string, change: OrderChange, options: ReachOptions = {}): Promise<PlacedView> {
    const stored = await this.#find(name, options);
    const { order, ...rest } = stored.entry;
    if (rest.signature === UNSIGNED) throw new SignedElsewhere(refOf(order.clientId));
    const revised = await this.#account.signReplacement(
      { order, signature: rest.signature },
      {
        ...(change.limitPrice !== undefined && { limitPrice: BigInt(change.limitPrice) }),
        ...(change.quantity !== undefined && { quantity: change.quantity }),
        ...(change.expiry !== undefined && { expiry: BigInt(change.expiry) }),
      },
    );
    this.#orders.record({ entry: { ...rest, ...revised }, request: stored.request, recordedAt: now() });
    const client = this.#connections.ofTicket(order.ticketId);
    try {
      const answer = await reach(() => client.editOrder(revised), options);
      return this.#keep({ ...rest, ...revised }, answer, revised.order.revision);
    } catch (error) {
      // Sent twice, the second time is refused: then the first one is in force.
      const report =
        error instanceof ExchangeRefused ? await this.#ask(order.ticketId, order.clientId, options) : undefined;
      if (report?.orderHash === this.#hash({ ...rest, ...revised })) {
        this.#orders.report(report);
        return this.#placedView(order.ticketId, order.clientId, 0);
      }
      // The old one stays in force, and the next change is one of it.
      if (error instanceof ExchangeRefused && !passes(error)) this.#orders.restore(stored.entry);
      throw error;
    }
  }

  /**
   * Asks what became of orders that were written down and never answered. One that did not arrive is given up, and not
   * sent late: its trader has seen other prices since.
   */
  async resolve(
    options: ReachOptions = {},
  ): Promise<{ readonly found: number; readonly abandoned: readonly string[] }> {
    const unanswered = this.#orders
      .list()
      .filter(({ report, refusal }) => report === undefined && refusal === undefined);
    const known = new Map(this.#account.knownTickets.map((ticket) => [ticket.ticketId, ticket]));
    const abandoned: string[] = [];
    let found = 0;
    for (const { entry } of unanswered) {
      const { ticketId, clientId } = entry.order;
      const ticket = known.get(ticketId);
      const isAlive = ticket?.epoch === this.#account.chain.epoch;
      const asked = await tried(async () => (isAlive ? await this.#ask(ticketId, clientId, options) : undefined));
      // A lie says neither that it arrived nor that it did not.
      if (!asked.ok) {
        if (asked.error instanceof AnswerRefused) continue;
        throw asked.error;
      }
      const report = asked.value;
      if (report === undefined) {
        this.#orders.refuse(ticketId, clientId, NEVER_ARRIVED);
        abandoned.push(`order ${refOf(clientId)}: ${NEVER_ARRIVED}`);
      } else {
        this.#orders.report(report);
        found += 1;
      }
    }
    return { found, abandoned };
  }

  // ---------------------------------------------------------------- tickets for orders

  async #onFresh(wanted: readonly Tried<Wanted>[], options: SpendOptions): Promise<readonly PlacedView[]> {
    // All at once: ready tickets serve at once, and the note's turns put the proofs one behind the other.
    return Promise.all(
      wanted.map((order) =>
        placed(order, async (each) => {
          const ready = this.#takeReady(each, true);
          try {
            const ticketId = ready ?? (await this.#open([[each]], options))[0];
            if (ticketId === undefined) throw new NameNotFound("ticket", "new", 0);
            return await this.#send(ticketId, each, options);
          } finally {
            if (ready !== undefined) this.#taken.delete(ready);
          }
        }),
      ),
    );
  }

  /** Up to eight tickets come from one proof; where there are more orders, they share tickets. */
  async #onLinked(wanted: readonly Tried<Wanted>[], options: SpendOptions): Promise<readonly PlacedView[]> {
    const ticketOf = new Map<Wanted, Promise<Hex>>();
    const good = wanted.flatMap((each) => (each.ok ? [each.value] : []));
    for (const each of good) {
      const ready = this.#takeReady(each, false);
      if (ready !== undefined) ticketOf.set(each, Promise.resolve(ready));
    }
    for (const piles of linkedGroups(good.filter((each) => !ticketOf.has(each)))) {
      const opened = this.#open(piles, options);
      piles.forEach((pile, i) => {
        const ticket = opened.then((ids) => ids[i] ?? "0x");
        // Whoever sends an order on it meets the error.
        ticket.catch(() => undefined);
        for (const each of pile) ticketOf.set(each, ticket);
      });
    }
    return Promise.all(
      wanted.map((order) =>
        placed(order, async (each) => {
          const ticketId = (await this.#orAlone(ticketOf.get(each), each, options)) ?? "0x";
          try {
            return await this.#send(ticketId, each, options);
          } finally {
            this.#taken.delete(ticketId);
          }
        }),
      ),
    );
  }

  /** Where the account cannot pay for all of them together, each is tried on a ticket of its own. */
  async #orAlone(ticket: Promise<Hex> | undefined, wanted: Wanted, options: SpendOptions): Promise<Hex | undefined> {
    try {
      return await ticket;
    } catch (error) {
      if (!(error instanceof ProverRefused)) throw error;
      return (await this.#open([[wanted]], options))[0];
    }
  }

  /** Opens a ticket for each pile of orders, all of one slot, with one proof. */
  async #open(piles: readonly (readonly Wanted[])[], options: SpendOptions): Promise<readonly Hex[]> {
    const slot = piles[0]?.[0]?.request.slot ?? 0;
    const { tickets } = await this.#turns.spend(
      () => {
        options.onProgress?.({
          stage: "proving",
          text: `proving that the account can pay for ${ticketWord(piles.length)}`,
        });
        return this.#account.openTickets(slot, this.#specsFor(slot, piles), { relayed: true });
      },
      { ...options, wait: false },
    );
    return tickets.map(({ ticketId }) => ticketId);
  }

  /** What the tickets are opened with, by the newest note: worked out inside the note's turn. */
  #specsFor(slot: number, piles: readonly (readonly Wanted[])[]): readonly TicketSpec[] {
    const market = this.#account.market(slot);
    let position = this.#account.account.positions[slot] ?? 0n;
    let free = this.#account.freeCash;
    return piles.map((pile) => {
      const [first] = pile;
      if (first?.request.reduceOnly === true) {
        const carried = carriedFor(first.order, position);
        if (carried === 0n) throw new NothingToReduce(slot, first.request.side, position);
        position -= carried;
        return this.#account.reducingTicket(slot, carried);
      }
      const needed = cashForAll(
        market,
        pile.map(({ order }) => order),
      );
      const cash = roundedUp(needed, free / BigInt(piles.length));
      free -= cash;
      return { cash, position: 0n };
    });
  }

  /**
   * An open ticket that nothing was ever done with and that is large enough; the smallest such. One that was opened
   * together with others is seen to belong to them: it serves only who does not mind.
   */
  #takeReady({ request, order }: Wanted, alone: boolean): Hex | undefined {
    if (request.reduceOnly === true) return undefined;
    const { chain, state } = this.#account;
    const needed = cashForAll(this.#account.market(request.slot), [order]);
    const isReady = (ticket: OwnTicket): boolean => {
      const { ticketId, epoch, slot, reduceOnly, cash, position } = ticket;
      const fits = epoch === chain.epoch && slot === request.slot && !reduceOnly && position === 0n && cash >= needed;
      if (!fits || this.#taken.has(ticketId) || this.#orders.list({ ticketId }).length > 0) return false;
      return chain.tickets.get(ticketId)?.cash === cash && (!alone || this.#account.wasOpenedAlone(ticket));
    };
    const [ready] = state.tickets.filter(isReady).toSorted((a, b) => (a.cash < b.cash ? -1 : 1));
    if (ready !== undefined) this.#taken.add(ready.ticketId);
    return ready?.ticketId;
  }

  // ---------------------------------------------------------------- sending

  /** Signs, writes down and sends one order. */
  async #send(ticketId: Hex, { request, order }: Wanted, options: SpendOptions): Promise<PlacedView> {
    const signed = await this.#account.signOrder(ticketId, order.terms);
    const { instructions } = order;
    const entry: OrderEntry = {
      ...signed,
      ...(instructions !== undefined && (await this.#account.signInstructions(signed, instructions))),
    };
    this.#orders.record({ entry, request, recordedAt: now() });
    try {
      await options.beforeSending?.(options);
      return await this.#sendEntry(entry, options);
    } catch (error) {
      if (!(error instanceof HedgerowError) || error instanceof Interrupted) throw error;
      const { clientId } = entry.order;
      return { ...this.#placedView(ticketId, clientId, 0), refusal: failureOf(error) };
    }
  }

  async #sendEntry(entry: OrderEntry, options: ReachOptions): Promise<PlacedView> {
    const { ticketId, clientId } = entry.order;
    const client = this.#connections.ofTicket(ticketId);
    options.onProgress?.({ stage: "sending", text: `sending order ${refOf(clientId)}` });
    try {
      return this.#keep(entry, await reach(() => this.#create(client, entry, options), options), entry.order.revision);
    } catch (error) {
      if (error instanceof ExchangeRefused && !passes(error)) this.#orders.refuse(ticketId, clientId, error.message);
      throw error;
    }
  }

  async #create(client: ExchangeClient, entry: OrderEntry, options: ReachOptions): Promise<OrderAnswer> {
    try {
      return await client.createOrder(entry);
    } catch (error) {
      if (!(error instanceof ExchangeRefused) || error.code !== "UnknownTicket") throw error;
      // The exchange has lost the opening, or has not seen it: it is sent again first.
      await this.#turns.settle(options);
      return client.createOrder(entry);
    }
  }

  async #cancelStored(stored: StoredOrder, options: ReachOptions): Promise<PlacedView> {
    const { order, signature } = stored.entry;
    const { ticketId, clientId } = order;
    const cancel = await this.#account.signCancel({ order, signature });
    try {
      const answer = await reach(() => this.#connections.ofTicket(ticketId).cancelOrder(cancel), options);
      return this.#keep(stored.entry, answer);
    } catch (error) {
      if (!(error instanceof ExchangeRefused)) throw error;
      // It may be gone already: by an earlier cancel whose answer was lost, or because it filled.
      const report = await this.#ask(ticketId, clientId, options);
      if (report === undefined || ["waiting", "open"].includes(report.status)) throw error;
      this.#orders.report(report);
      return report.status === "cancelled"
        ? this.#placedView(ticketId, clientId, 0)
        : { ...this.#placedView(ticketId, clientId, 0), refusal: failureOf(error) };
    }
  }

  /**
   * Believes an answer about an order, or about one revision of it, and keeps its receipts, not those of other orders.
   * Throws AnswerRefused, ContradictingReceipts.
   */
  #keep(entry: OrderEntry, { order, receipts }: OrderAnswer, revision?: number): PlacedView {
    const { ticketId, clientId } = entry.order;
    const name = refOf(clientId);
    const own = receipts.filter(({ receipt }) => receipt.orderHash === order.orderHash);
    const isOther = revision !== undefined && order.revision !== revision;
    const fault =
      this.#fault(entry, order) ??
      (isOther ? "it is about another revision" : undefined) ??
      (own.length === 0 ? "it carries no receipt for this order" : undefined);
    if (fault !== undefined) throw new AnswerRefused("order", name, fault);
    this.#receipts.append(own.map((signed) => ({ ticketId, clientId, signed })));
    this.#orders.report(order);
    return this.#placedView(ticketId, clientId, own.length);
  }

  /** Why a report about an order is not believed. */
  #fault(entry: OrderEntry, report: OrderReport): string | undefined {
    const { ticketId, clientId } = entry.order;
    const stored = this.#orders.get(ticketId, clientId);
    const slot = stored?.request.slot ?? this.#slotOf(ticketId) ?? report.slot;
    const { chain } = this.#account;
    const market = chain.markets(this.#epochOf(ticketId))[slot];
    const hash = entry.signature === UNSIGNED ? undefined : this.#hash(entry);
    return reportFault({ entry, hash, slot, market: market?.listed === true ? market : undefined }, report);
  }

  #slotOf(ticketId: Hex): number | undefined {
    return this.#account.knownTickets.find((ticket) => ticket.ticketId === ticketId)?.slot;
  }

  #epochOf(ticketId: Hex): number {
    const { chain, knownTickets } = this.#account;
    return (
      knownTickets.find((ticket) => ticket.ticketId === ticketId)?.epoch ?? chain.tickets.get(ticketId)?.epoch ?? 0
    );
  }

  // ---------------------------------------------------------------- asking

  /** Behind a proxy one after the other, in any order and with pauses: what is asked together belongs together. */
  async #refreshTickets(tickets: readonly OwnTicket[], options: ReachOptions): Promise<void> {
    if (tickets.length === 0) return;
    const validUntil = (await this.#time()) + WATCH_SECONDS;
    if (!this.#isHidden) {
      await Promise.all(tickets.map((ticket) => this.#refreshTicket(ticket, validUntil, options)));
      return;
    }
    const shuffled = tickets
      .map((ticket) => ({ ticket, place: randomInt(2 ** 47) }))
      .toSorted((a, b) => a.place - b.place);
    for (const [i, { ticket }] of shuffled.entries()) {
      if (i > 0) await randomDelay(APART, options);
      await this.#refreshTicket(ticket, validUntil, options);
    }
  }

  async #refreshTicket({ ticketId, slot }: OwnTicket, validUntil: bigint, options: ReachOptions): Promise<void> {
    const client = this.#connections.ofTicket(ticketId);
    const watch = await this.#account.signWatch(ticketId, validUntil);
    let open: readonly OrderReport[];
    try {
      open = await reach(() => client.fetchOpenOrders(watch), options);
    } catch (error) {
      if (error instanceof ExchangeRefused && error.code === "UnknownTicket") return;
      throw error;
    }
    // No honest exchange lets so many rest on a ticket: they would fill the wallet.
    if (open.length > MOST_ORDERS) {
      throw new AnswerRefused("ticket", shortTicket(ticketId), `it names ${open.length} orders`);
    }
    this.#asked.add(ticketId);
    for (const report of open) if (report.ticketId === ticketId) this.#learn(report, slot);
    const isOpen = new Set(open.map(({ clientId }) => clientId));
    for (const { entry, report } of this.#orders.list({ ticketId })) {
      const { clientId } = entry.order;
      const mayHaveEnded = report === undefined || report.status === "open" || report.status === "waiting";
      if (isOpen.has(clientId) || !mayHaveEnded) continue;
      const ended = await this.#fetch(client, watch, clientId, options);
      if (ended !== undefined) this.#report(ended);
      // What only the exchange told of is gone when it knows nothing of it any more.
      else if (entry.signature === UNSIGNED && report !== undefined) {
        this.#orders.report({ ...report, status: "cancelled", remaining: 0 });
      }
    }
  }

  /** Takes a report in if it can be true: what cannot be is as good as no word about that order. */
  #report(report: OrderReport): void {
    const stored = this.#orders.get(report.ticketId, report.clientId);
    if (stored !== undefined && this.#fault(stored.entry, report) === undefined) this.#orders.report(report);
  }

  /** An order that the wallet does not remember was placed before it was recovered, or on another machine. */
  #learn(report: OrderReport, slot: number): void {
    const { ticketId, clientId, side, limitPrice, quantity, timeInForce, revision } = report;
    if (this.#orders.get(ticketId, clientId) === undefined) {
      const order = {
        ticketId,
        clientId,
        side,
        limitPrice,
        quantity,
        timeInForce,
        revision,
        postOnly: false,
        expiry: 0n,
      };
      const entry = { order, signature: UNSIGNED } as const;
      if (this.#fault(entry, report) !== undefined) return;
      const request: OrderRequest = { slot, side, quantity, limitPrice: limitPrice.toString(), timeInForce };
      try {
        this.#orders.record({ entry, request, recordedAt: now() });
      } catch (error) {
        // Nobody can have signed such an order.
        if (error instanceof BadRecord) return;
        throw error;
      }
    }
    this.#report(report);
  }

  /** What became of an order; undefined where the exchange does not know it. Throws AnswerRefused. */
  async #ask(ticketId: Hex, clientId: bigint, options: ReachOptions): Promise<OrderReport | undefined> {
    const watch = await this.#account.signWatch(ticketId, (await this.#time()) + WATCH_SECONDS);
    const report = await this.#fetch(this.#connections.ofTicket(ticketId), watch, clientId, options);
    const stored = this.#orders.get(ticketId, clientId);
    const fault = report === undefined || stored === undefined ? undefined : this.#fault(stored.entry, report);
    if (fault !== undefined) throw new AnswerRefused("order", refOf(clientId), fault);
    return report;
  }

  async #fetch(
    client: ExchangeClient,
    watch: SignedWatch,
    clientId: bigint,
    options: ReachOptions,
  ): Promise<OrderReport | undefined> {
    try {
      const report = await reach(() => client.fetchOrder(watch, clientId), options);
      return report.ticketId === watch.watch.ticketId && report.clientId === clientId ? report : undefined;
    } catch (error) {
      if (error instanceof ExchangeRefused && UNKNOWN.has(error.code)) return undefined;
      throw error;
    }
  }

  async #find(name: string, options: ReachOptions): Promise<StoredOrder> {
    const nameOf = ({ entry }: StoredOrder): string => refOf(entry.order.clientId);
    // Orders that others signed come second: an exchange could invent some with the very names of this wallet's.
    const own = (): readonly StoredOrder[] => this.#orders.list().filter(({ entry }) => entry.signature !== UNSIGNED);
    try {
      return named("order", name, own(), nameOf);
    } catch (error) {
      if (!(error instanceof NameNotFound) || error.found > 1) throw error;
    }
    try {
      return named("order", name, this.#orders.list(), nameOf);
    } catch (error) {
      if (!(error instanceof NameNotFound)) throw error;
      await this.refresh(options);
      return named("order", name, this.#orders.list(), nameOf);
    }
  }

  async #workedOut(request: OrderRequest, closingTime: bigint, options: ReachOptions): Promise<Wanted> {
    const market = this.#account.market(request.slot);
    const { common } = this.#connections;
    const order = await workOut(request, market, closingTime, {
      best: async (slot, side) => {
        const { bids, asks } = await reach(() => common.fetchOrderBook(slot, 1), options);
        return (side === "buy" ? bids : asks)[0]?.price;
      },
      last: async (slot) => {
        const markets = await reach(() => common.fetchMarkets(), options);
        return markets.find((each) => each.slot === slot)?.lastPrice;
      },
    });
    return { request, order };
  }

  /** From the chain's events: a question of its own would tell the node when an order is placed. */
  async #closingTime(): Promise<bigint> {
    const { chain, epoch, closingTimes } = this.#account.chain;
    return closingTimes.get(epoch) ?? (await chain.house.read.epochOf([epoch])).closingTime;
  }

  /** The chain's time: a local chain's clock may be ahead of this machine's. */
  async #time(): Promise<bigint> {
    const { timestamp } = await this.#account.chain.chain.client.getBlock();
    const own = BigInt(now());
    return timestamp > own ? timestamp : own;
  }

  #hash({ order }: OrderEntry): Hex {
    return orderHash(this.#account.chain.chain.domain, order);
  }

  #placedView(ticketId: Hex, clientId: bigint, receipts: number): PlacedView {
    const stored = this.#orders.get(ticketId, clientId);
    return { order: stored === undefined ? null : this.#viewOf(stored), receipts, refusal: null };
  }

  #viewOf(stored: StoredOrder): OrderView {
    return orderViewOf(stored, this.#account.chain, this.#epochOf(stored.entry.order.ticketId));
  }
}

// ------------------------------------------------------------------ small things

/** Something that worked, or the error that says why not. */
type Tried<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: HedgerowError };

async function tried<T>(work: () => Promise<T>): Promise<Tried<T>> {
  try {
    return { ok: true, value: await work() };
  } catch (error) {
    if (!(error instanceof HedgerowError)) throw error;
    return { ok: false, error };
  }
}

/** Goes on with what worked; a refusal takes its place in the answer. */
async function placed<T>(given: Tried<T>, go: (value: T) => Promise<PlacedView>): Promise<PlacedView> {
  const gone = given.ok ? await tried(() => go(given.value)) : given;
  if (gone.ok) return gone.value;
  if (gone.error instanceof Interrupted) throw gone.error;
  return { order: null, receipts: 0, refusal: failureOf(gone.error) };
}

/**
 * Orders by the proof that opens their tickets, and by ticket. Orders that may only reduce have a ticket each, since
 * each takes contracts with it.
 */
function linkedGroups(wanted: readonly Wanted[]): readonly (readonly (readonly Wanted[])[])[] {
  const groups = Map.groupBy(
    wanted,
    ({ request }) => `${request.slot} ${request.reduceOnly === true ? request.side : ""}`,
  );
  return [...groups.values()].flatMap((group) => {
    if (group[0]?.request.reduceOnly !== true) return [dealt(group, MOST_TICKETS)];
    const proofs = Math.ceil(group.length / MOST_TICKETS);
    return dealt(group, proofs).map((some) => some.map((one) => [one]));
  });
}

/** The one thing whose name begins so. Throws NameNotFound. */
function named<T>(what: "order" | "ticket", name: string, things: readonly T[], nameOf: (thing: T) => string): T {
  const prefix = name.replace(/^0x/, "");
  const found = things.filter((thing) => nameOf(thing).startsWith(prefix));
  const [one] = found;
  if (one === undefined || found.length > 1) throw new NameNotFound(what, name, found.length);
  return one;
}

function ticketWord(count: number): string {
  return count === 1 ? "a ticket" : `${count} tickets`;
}

/** Unix seconds of this machine. */
function now(): number {
  return Math.floor(Date.now() / 1000);
}
