import { refusalOf } from "../../chain/clearingHouse.ts";
import { HedgerowError } from "../../protocol/errors.ts";
import type { EpochMarket } from "../../protocol/epoch.ts";
import { priceLimits } from "../../protocol/epoch.ts";
import type { Hex } from "../../protocol/keys.ts";
import { cashFor, type TicketBalance } from "../../protocol/ticket.ts";
import type { TraderAccount } from "../account.ts";
import type { TraderService } from "../commands.ts";
import type { Connections } from "../connections.ts";
import { pauseFor } from "../desk/reach.ts";
import type { OrderReceipt } from "../receiptStore.ts";
import { BotTicket } from "./botTicket.ts";
import type { Chance } from "./chance.ts";
import type { MarketFeed } from "./feed.ts";
import { Pace } from "./pace.ts";
import type { Brain } from "./risk.ts";
import type { Observation } from "./strategy.ts";

/** What a bot uses of its trader's desk. */
export type BotDesk = Pick<TraderService, "run" | "close"> & {
  readonly account: TraderAccount;
  readonly connections: Connections;
};

export type BotParts = {
  readonly name: string;
  readonly strategy: string;
  readonly slot: number;
  readonly brain: Brain;
  readonly chance: Chance;
  readonly desk: BotDesk;
  readonly feed: MarketFeed;
  readonly maxPosition: number;
  readonly ordersPerSecond: number;
  readonly heartbeatSeconds: number;
  readonly stopBeforeClose: number;
  readonly stepMs: number;
  readonly keepReceipts: (receipts: readonly OrderReceipt[]) => void;
  /** Brings a seat in default back. */
  readonly rejoin: () => Promise<void>;
};

/** How a bot does. Amounts in base units; profit is marked at the last price and has fees taken off. */
export type BotReport = {
  readonly name: string;
  readonly strategy: string;
  readonly slot: number;
  readonly state: "starting" | "waiting" | "trading" | "closing" | "stopped" | "failed";
  /** Live orders. */
  readonly quotes: number;
  /** Commands sent: orders, replacements, cancels. */
  readonly commands: number;
  readonly fills: number;
  readonly contracts: number;
  readonly position: number;
  readonly profit: bigint;
  readonly refusals: Readonly<Record<string, number>>;
  /** The newest thing that went wrong. */
  readonly problem: string | undefined;
  readonly openTickets: number;
};

/** What the exchange and the chain may need for a ticket's last fills, and between two attempts. Milliseconds. */
const RETRY_MS = 500;
/** Kept back for the fees of closings. */
const SPARE_FEES = 4n;

/**
 * A bot at the exchange: opens one ticket for its day, trades on it until the day or the bot ends, brings it back,
 * renews its seat in the settlement window, and begins anew (spec BOT-13).
 */
export class BotRunner {
  readonly #parts: BotParts;
  readonly #pace: Pace;
  readonly #stopping = new AbortController();
  /** There is no time left to close anything. */
  readonly #hurry = new AbortController();
  readonly #refusals = new Map<string, number>();
  readonly #done = { commands: 0, fills: 0, contracts: 0 };
  #state: BotReport["state"] = "starting";
  #problem: string | undefined;
  #ticket: BotTicket | undefined;
  #baseline: bigint | undefined;
  /** The epoch that was renewed last, and when the renewals of an epoch begin. */
  #renewed = 0;
  #partB: { readonly epoch: number; readonly from: number } | undefined;
  #running: Promise<void> | undefined;

  constructor(parts: BotParts) {
    this.#parts = parts;
    this.#pace = new Pace(parts.ordersPerSecond);
  }

  /** Begins to trade. What it owns now is what its profit counts from. */
  start(): void {
    this.#baseline = this.#worth();
    this.#running ??= this.#run();
  }

  /**
   * Cancels everything and ends; brings the ticket back unless `hurry` says that there is no time. Once it is aborted
   * only what is under way is waited for.
   */
  async stop(hurry?: AbortSignal): Promise<void> {
    const cut = (): void => {
      this.#hurry.abort();
      this.#ticket?.abort();
    };
    if (hurry?.aborted === true) cut();
    else hurry?.addEventListener("abort", cut, { once: true });
    this.#stopping.abort();
    await this.#running;
    await this.#bringBack(20);
    if (this.#state !== "failed") this.#state = "stopped";
  }

  get report(): BotReport {
    const { name, strategy, slot, desk } = this.#parts;
    const ticket = this.#ticket;
    const traded = ticket?.orders.traded;
    return {
      name,
      strategy,
      slot,
      state: this.#state,
      quotes: ticket?.orders.list().filter(({ key }) => !key.endsWith("~")).length ?? 0,
      commands: this.#done.commands + (ticket?.commands ?? 0),
      fills: this.#done.fills + (traded?.fills ?? 0),
      contracts: this.#done.contracts + (traded?.contracts ?? 0),
      position: this.#position(),
      profit: this.#worth() - (this.#baseline ?? this.#worth()),
      refusals: Object.fromEntries(this.#refusals),
      problem: this.#problem,
      openTickets: desk.account.state.tickets.length,
    };
  }

  #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  // ---------------------------------------------------------------- days

  async #run(): Promise<void> {
    const { feed, stopBeforeClose } = this.#parts;
    const { signal } = this.#stopping;
    try {
      while (!this.#isStopping()) {
        const { phase, closingTime, epoch } = feed.epoch;
        const { state, status } = this.#parts.desk.account;
        if (phase === "window") await this.#betweenDays(epoch);
        else if (status.status === "inDefault") await this.#rejoin();
        else if (state.tickets.length > 0) await this.#bringBack(1);
        else if (feed.time < Number(closingTime) - stopBeforeClose) await this.#tradeOneDay();
        if (!this.#isStopping()) await pauseFor(Math.max(RETRY_MS, this.#pace.pause), signal).catch(() => undefined);
      }
    } catch (error) {
      this.#state = "failed";
      this.#problem = error instanceof Error ? error.message : String(error);
      this.#ticket?.abort();
    }
  }

  async #tradeOneDay(): Promise<void> {
    const { signal } = this.#stopping;
    const ticketId = await this.#openTicket();
    if (ticketId === undefined) return;
    const ticket = await this.#enter(ticketId);
    if (ticket === undefined) return;
    this.#state = "trading";
    try {
      await this.#trade(ticket);
    } finally {
      this.#state = "closing";
      await ticket.close(this.#hurry.signal);
      this.#done.commands += ticket.commands;
      this.#done.fills += ticket.orders.traded.fills;
      this.#done.contracts += ticket.orders.traded.contracts;
      if (this.#ticket === ticket) this.#ticket = undefined;
    }
    if (ticket.fault !== undefined) throw ticket.fault;
    if (!signal.aborted) await this.#bringBack(1);
  }

  /** A renewal was missed, for whatever reason. */
  async #rejoin(): Promise<void> {
    this.#state = "waiting";
    try {
      await this.#parts.rejoin();
      await this.#parts.desk.account.sync();
    } catch (error) {
      this.#refused(error);
    }
  }

  /** Opens the one ticket of the day, with one proof. Undefined if it could not be: it will be tried again. */
  async #openTicket(): Promise<Hex | undefined> {
    const { desk, slot } = this.#parts;
    this.#state = "waiting";
    try {
      await desk.account.sync();
      const cash = this.#ticketCash(desk.account.market(slot));
      if (cash <= 0n) {
        this.#problem = `its account has nothing to spare for a ticket`;
        this.#pace.refused();
        return undefined;
      }
      const { tickets } = await desk.run(
        "openTickets",
        { slot, count: 1, cash: cash.toString() },
        { signal: this.#hurry.signal },
      );
      await desk.account.sync();
      return tickets[0];
    } catch (error) {
      this.#refused(error);
      return undefined;
    }
  }

  async #enter(ticketId: Hex): Promise<BotTicket | undefined> {
    const { desk, slot, feed, heartbeatSeconds, keepReceipts } = this.#parts;
    const own = desk.account.state.tickets.find((each) => each.ticketId === ticketId);
    if (own === undefined) return undefined;
    const ticket = new BotTicket({
      account: desk.account,
      client: desk.connections.ofTicket(ticketId),
      ticket: own,
      market: desk.account.market(slot),
      closingTime: feed.epoch.closingTime,
      pace: this.#pace,
      heartbeatSeconds,
      keepReceipts,
      onRefusal: (error) => this.#count(error),
    });
    this.#ticket = ticket;
    await ticket.open();
    return ticket;
  }

  async #trade(ticket: BotTicket): Promise<void> {
    const { feed, slot, brain, stepMs, desk } = this.#parts;
    const { signal } = this.#stopping;
    const { epoch } = feed.epoch;
    const market = desk.account.market(slot);
    let { next } = feed.tradesFrom(slot, Infinity);
    while (!signal.aborted && !ticket.isOver && ticket.fault === undefined) {
      const day = feed.epoch;
      const isOver = day.epoch !== epoch || day.phase !== "trading";
      const stopsAt = Number(day.closingTime) - this.#parts.stopBeforeClose;
      if (isOver || (feed.time >= stopsAt && ticket.orders.list().length === 0)) return;
      const book = feed.book(slot);
      const session = feed.report(slot)?.session;
      if (book !== undefined && session !== undefined) {
        const seen = feed.tradesFrom(slot, next);
        ({ next } = seen);
        const observation: Observation = {
          time: feed.time,
          market: { terms: market, session, closingTime: Number(day.closingTime) },
          book,
          trades: seen.trades,
          lastTicks: feed.lastTicks(slot),
          orders: ticket.orders.list(),
          position: this.#position(),
          ticket: ticket.orders.balance,
          chance: this.#parts.chance,
        };
        for (const intent of brain.step(observation)) {
          if (this.#pace.take(intent.kind === "cancel")) await ticket.send(intent);
        }
      }
      await pauseFor(stepMs, signal).catch(() => undefined);
    }
  }

  /** In the settlement window: takes tickets back in part A, and renews in part B, whatever became of the tickets. */
  async #betweenDays(epoch: number): Promise<void> {
    const { desk, feed } = this.#parts;
    this.#state = "waiting";
    if (this.#renewed === epoch) return;
    try {
      if (this.#partB?.epoch !== epoch) this.#partB = { epoch, from: await this.#partBOf(epoch) };
      const left = this.#partB.from - feed.time;
      if (left <= 0) {
        await desk.run("renew", {}, { signal: this.#hurry.signal });
        this.#renewed = epoch;
      } else if (desk.account.state.tickets.length > 0) {
        await this.#bringBack(1, AbortSignal.timeout(Math.ceil(left * 1_000)));
      }
    } catch (error) {
      // Somebody has renewed it before: that is what was wanted.
      if (error instanceof HedgerowError && error.code === "SeatUnavailable") this.#renewed = epoch;
      else this.#refused(error);
    }
  }

  /** When part B of an epoch's settlement window begins, unix seconds. */
  async #partBOf(epoch: number): Promise<number> {
    const { house } = this.#parts.desk.account.chain.chain;
    try {
      const [{ closedAt }, { windowA }] = await Promise.all([house.read.epochOf([epoch]), house.read.clearingTerms()]);
      return Number(closedAt) + windowA;
    } catch (error) {
      throw refusalOf(error);
    }
  }

  /** Closes what tickets there are; one whose fills are not settled yet, a little later. */
  async #bringBack(attempts: number, until: AbortSignal = this.#hurry.signal): Promise<void> {
    const { desk } = this.#parts;
    const signal = AbortSignal.any([this.#hurry.signal, until]);
    for (let attempt = 1; attempt <= attempts && !signal.aborted; attempt++) {
      try {
        await desk.account.sync();
        const tickets = desk.account.state.tickets.map(({ ticketId }) => ticketId);
        if (tickets.length === 0) return;
        await desk.run("closeTickets", { tickets }, { signal });
      } catch (error) {
        this.#refused(error);
      }
      // Each attempt is a proof: those that are refused come more and more rarely.
      if (attempt < attempts) await pauseFor(Math.max(RETRY_MS, this.#pace.pause), signal).catch(() => undefined);
    }
  }

  // ---------------------------------------------------------------- numbers

  /** Margin for the most that it may hold at the worst prices of the day, on one side, as far as the account has it. */
  #ticketCash(market: EpochMarket): bigint {
    const { account } = this.#parts.desk;
    const { down, up } = priceLimits(market);
    const held = this.#held();
    const quantity = (room: number): bigint => BigInt(Math.max(0, room));
    const { maxPosition } = this.#parts;
    const buying = cashFor(market, { side: "buy", price: up, quantity: quantity(maxPosition - held) });
    const selling = cashFor(market, { side: "sell", price: down, quantity: quantity(maxPosition + held) });
    const wanted = buying > selling ? buying : selling;
    const most = account.freeCash - SPARE_FEES * account.relayFee;
    return wanted < most ? wanted : most;
  }

  /** Contracts beside the ticket: what earlier days have left. */
  #held(): number {
    return Number(this.#parts.desk.account.account.positions[this.#parts.slot] ?? 0n);
  }

  /** Everything in the market; the ticket that is traded on with what the chain does not show yet. */
  #position(): number {
    const { slot, desk } = this.#parts;
    const shown = desk.account.holdings.positions[slot] ?? 0n;
    return Number(shown + this.#unsettled().position);
  }

  /** What has traded on the ticket and the chain does not show. */
  #unsettled(): TicketBalance {
    const live = this.#ticket;
    const shown = this.#parts.desk.account.state.tickets.find(({ ticketId }) => ticketId === live?.ticketId);
    if (live === undefined || shown === undefined) return { cash: 0n, position: 0n };
    const { cash, position } = live.orders.balance;
    return { cash: cash - shown.cash, position: position - shown.position };
  }

  /** Note and tickets at the last price; the ticket that is traded on with what the chain does not show yet. */
  #worth(): bigint {
    const { desk, slot, feed } = this.#parts;
    const { account } = desk;
    const { cash, positions } = account.holdings;
    const unsettled = this.#unsettled();
    const markets = account.chain.markets(account.chain.epoch);
    const last = feed.lastTicks(slot);
    return positions.reduce((sum, position, each) => {
      const market = markets[each];
      if (market?.listed !== true) return sum;
      const isOwn = each === slot;
      const price = isOwn && last !== undefined ? BigInt(last) * market.tick : market.centre;
      return sum + (position + (isOwn ? unsettled.position : 0n)) * price;
    }, cash + unsettled.cash);
  }

  // ---------------------------------------------------------------- what goes wrong

  #refused(error: unknown): void {
    if (!(error instanceof HedgerowError)) throw error;
    if (error.code === "Interrupted") return;
    this.#count(error);
    this.#pace.refused();
  }

  #count(error: HedgerowError): void {
    this.#refusals.set(error.code, (this.#refusals.get(error.code) ?? 0) + 1);
    this.#problem = error.message;
  }
}
