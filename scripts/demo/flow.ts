import { createReadStream } from "node:fs";
import { stringToHex } from "viem";
import type { OrderEntrySession } from "../../src/api/orderEntrySession.ts";
import { ExchangeRefused } from "../../src/api/client.ts";
import { call, type ProvenTransition, type SignedOrder } from "../../src/chain/clearingHouse.ts";
import type { ClearingTerms, MarketTerms } from "../../src/chain/deploy.ts";
import { dollars, grouped, Progress } from "../../src/cli/terminal.ts";
import { DEMO_CLEARING_TERMS, DOLLAR } from "../../src/clearing/leanHogs.ts";
import { type FlowRow, parseFlow } from "../../src/market/flow.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import type { Hex } from "../../src/protocol/keys.ts";
import type { SignedWatch } from "../../src/protocol/order.ts";
import { verifyReceipt } from "../../src/protocol/receipt.ts";
import type { Narrator } from "./narrator.ts";
import { by, type DemoTrader, type Stage } from "./stage.ts";
import { NO_FEED } from "../../src/protocol/epoch.ts";

/** A day driven by recorded order flow instead of the story. */

const SLOT = 0;

/** What the command line says about a flow. */
export type FlowOptions = {
  readonly file: string;
  readonly traders: number;
  /** Rows to play. */
  readonly limit: number;
  /** Absent: every new order has a ticket and a proof of its own. */
  readonly ticketsPerTrader: number | undefined;
  /** Base units of collateral that one unit of the file's prices is worth per contract. */
  readonly unit: bigint;
};

/** A flow with the terms of a contract that it fits. */
export type FlowPlan = {
  readonly rows: readonly FlowRow[];
  readonly terms: MarketTerms;
  readonly clearing: ClearingTerms;
  /** Base units of collateral per unit of the file's prices. */
  readonly unit: bigint;
  /** The most contracts that an order ever asks for, replacements included, by its id. */
  readonly mostOf: ReadonlyMap<string, number>;
};

type NewRow = FlowRow & { readonly op: "NEW" };

/** What the day came to. */
export type FlowResult = {
  readonly rows: number;
  readonly placed: number;
  readonly cancelled: number;
  readonly modified: number;
  /** Rows about orders that the recording does not show the beginning of. */
  readonly unknown: number;
  readonly refused: ReadonlyMap<string, number>;
  readonly tradingSeconds: number;
  readonly settlementPrice: bigint;
};

/** A flow from which no day can be made. */
export class FlowUnusable extends HedgerowError {
  constructor(file: string, reason: string) {
    super("FlowUnusable", `${file} makes no trading day: ${reason}`, { file, reason });
  }
}

/** Reads the first rows and lays out a contract around their prices. Throws MalformedFlow, FlowUnusable. */
export async function planFlow(options: FlowOptions): Promise<FlowPlan> {
  const rows: FlowRow[] = [];
  for await (const row of parseFlow(createReadStream(options.file))) {
    if (rows.length >= options.limit) break;
    rows.push(row);
  }
  const news = rows.filter((row) => row.op === "NEW");
  const prices = news.map(({ price }) => BigInt(price));
  const [first] = prices;
  if (first === undefined) throw new FlowUnusable(options.file, "it has no NEW row");
  const step = prices.reduce((common, price) => greatestCommonDivisor(common, price - first), 0n);
  const tickUnits = step === 0n ? 1n : greatestCommonDivisor(step, first);
  const farthest = prices.reduce(
    (most, price) => (magnitude(price - first) > most ? magnitude(price - first) : most),
    0n,
  );
  const tick = tickUnits * options.unit;
  // Wide enough for what was recorded, and never below one percent.
  const onePercent = magnitude(first) / 100n;
  const limitTicks = (farthest > onePercent ? farthest : onePercent) / tickUnits + 1n;
  const priceLimit = limitTicks * tick;
  return {
    rows,
    unit: options.unit,
    mostOf: mostAsked(rows),
    terms: {
      contractId: stringToHex("RECORDED FLOW", { size: 32 }),
      listingPrice: first * options.unit,
      tick,
      priceLimit,
      expandedLimit: priceLimit,
      closeOutFee: priceLimit,
      maintenanceMargin: 2n * priceLimit,
      initialMargin: 2n * priceLimit + 2n * tick,
      fillFee: DOLLAR,
      minimumVolume: 5,
      minimumMinutes: 1,
      lastTradingTime: 4_102_444_800n,
      priceCollar: 0n,
      ...NO_FEED,
    },
    clearing: DEMO_CLEARING_TERMS,
  };
}

/** An order of the flow that lives on a ticket. */
type Placed = { readonly trader: DemoTrader; signed: SignedOrder };

/** A ticket that orders of the flow may use. */
type Place = { readonly trader: DemoTrader; readonly ticketId: Hex };

/** Plays the flow through tickets, proofs, matching and settlement, then closes and renews. */
export async function playFlow(
  stage: Stage,
  narrator: Narrator,
  plan: FlowPlan,
  options: FlowOptions,
): Promise<FlowResult> {
  const news = plan.rows.filter((row) => row.op === "NEW").length;
  const stake = stakeOf(plan, news, options);
  narrator.chapter(`${options.traders} traders, ${plan.rows.length} rows of recorded flow, ${news} new orders`);
  const progress = new Progress("seats", options.traders);
  for (let i = 1; i <= options.traders; i++) {
    await stage.enter(`T${i}`, stake + stage.terms.seatBond);
    progress.step();
  }
  progress.end();
  const traders = [...stage.traders.values()];
  await stage.syncAll();
  const funding = traders.map((trader) => () => stage.depositAndFund(trader, stake));
  const funded = await stage.proveAll("proving deposits", funding);
  await stage.relay(by(traders, funded));

  // Trading hours of the chain lie in the last half hour, so that fills make the settlement price.
  const { closingTime } = await stage.chain.house.read.epochOf([stage.state.epoch]);
  await stage.passUntil(closingTime - BigInt(stage.terms.settlementWindow) + 60n);

  const driver = new FlowDriver(stage, plan, closingTime);
  const started = performance.now();
  if (options.ticketsPerTrader === undefined) await driver.playWithFreshTickets(traders);
  else await driver.playOnFewTickets(traders, options.ticketsPerTrader);
  const tradingSeconds = (performance.now() - started) / 1000;
  await driver.end();
  await narrator.say(
    `${grouped(driver.placed)} orders placed, ${grouped(driver.cancelled)} cancelled, ${grouped(driver.modified)} replaced, ` +
      `${grouped(stage.state.fills.length)} fills settled.`,
  );
  narrator.claim(
    `whoever only listens knows the same book, from ${grouped(stage.follower.steps)} steps`,
    await stage.isBookFollowed(),
  );

  narrator.chapter("Close of day");
  await stage.endDay();
  const settlementPrice = stage.state.markets(stage.state.epoch)[SLOT]?.settlementPrice ?? 0n;
  await narrator.say(`Settlement price ${dollars(settlementPrice)}.`);
  const receipts = await stage.receipts({ ofMakers: options.ticketsPerTrader !== undefined });
  const every = Math.ceil(receipts.length / MOST_VERIFIED);
  const sample = receipts.filter((_, i) => i % every === 0);
  narrator.claim(
    `the wallets hold ${grouped(receipts.length)} receipts, none contradicts another; ` +
      `${grouped(sample.length)} of them verified, all signed by the operator`,
    sample.every((signed) => verifyReceipt(stage.chain.domain, stage.operator, signed)),
  );

  await closeTickets(stage, traders);
  await stage.pass(stage.terms.windowA, stage.terms.windowBlocks);
  const renewals = traders.map(
    ({ account }) =>
      () =>
        account.renew(),
  );
  await sendInParts(stage, await stage.proveAll("proving renewals", renewals));
  await stage.pass(stage.terms.windowB, stage.terms.windowBlocks);
  await call(stage.chain, stage.anybody, { functionName: "openEpoch", args: [] });
  await stage.exchangeOpens();
  narrator.claim(
    "every trader renewed and goes on",
    traders.every(({ account }) => account.status.status === "active"),
  );
  narrator.claim(
    "no position was lost: longs and shorts of all accounts balance",
    traders.reduce((sum, { account }) => sum + (account.account.positions[SLOT] ?? 0n), 0n) === 0n,
  );
  const { placed, cancelled, modified, unknown, refused } = driver;
  return { rows: plan.rows.length, placed, cancelled, modified, unknown, refused, tradingSeconds, settlementPrice };
}

/**
 * Plays rows in order over one order-entry stream, which keeps their order; knows which recorded order lives where. Only
 * a replacement waits for the answers before it: it names what has traded.
 */
class FlowDriver {
  placed = 0;
  cancelled = 0;
  modified = 0;
  unknown = 0;
  readonly refused = new Map<string, number>();
  readonly #stage: Stage;
  readonly #plan: FlowPlan;
  readonly #expiry: bigint;
  readonly #session: OrderEntrySession;
  readonly #orders = new Map<string, Placed>();
  readonly #watches = new Map<Hex, SignedWatch>();
  #underWay: Promise<void>[] = [];

  constructor(stage: Stage, plan: FlowPlan, closingTime: bigint) {
    this.#stage = stage;
    this.#plan = plan;
    this.#expiry = closingTime;
    this.#session = stage.client.enterOrders();
  }

  /** Closes the stream. */
  async end(): Promise<void> {
    await this.#answered();
    await this.#session.end();
  }

  /** One ticket and one proof per new order. A trader's notes follow each other, so that each acts once per round. */
  async playWithFreshTickets(traders: readonly DemoTrader[]): Promise<void> {
    const { rows } = this.#plan;
    for (let from = 0; from < rows.length;) {
      const round: FlowRow[] = [];
      let opening = 0;
      for (let i = from; i < rows.length; i++) {
        const row = rows[i];
        if (row === undefined || (row.op === "NEW" && opening === traders.length)) break;
        if (row.op === "NEW") opening++;
        round.push(row);
      }
      const places = await this.#openForRound(traders, round);
      for (const row of round) await this.#play(row, row.op === "NEW" ? places.shift() : undefined);
      await this.#answered();
      await this.#stage.settled();
      from += round.length;
    }
  }

  /** All orders of a trader share a few tickets, opened by one proof. */
  async playOnFewTickets(traders: readonly DemoTrader[], ticketsPerTrader: number): Promise<void> {
    const places: Place[] = [];
    const openings = traders.map((trader) => async () => {
      const cash =
        (trader.account.freeCash - BigInt(ticketsPerTrader) * this.#stage.terms.relayFee) / BigInt(ticketsPerTrader);
      const specs = Array.from({ length: ticketsPerTrader }, () => ({ cash, position: 0n }));
      const { transition, tickets } = await trader.account.openTickets(SLOT, specs);
      this.#stage.measured.tickets += tickets.length;
      for (const { ticketId } of tickets) places.push({ trader, ticketId });
      return transition;
    });
    await this.#stage.relay(by(traders, await this.#stage.proveAll("proving openings", openings)));
    for (const { trader, ticketId } of places) await this.#stage.watch(trader, ticketId);
    const progress = new Progress("rows", this.#plan.rows.length);
    let turn = 0;
    for (const row of this.#plan.rows) {
      await this.#play(row, row.op === "NEW" ? places[turn++ % places.length] : undefined);
      progress.step();
    }
    await this.#answered();
    await this.#stage.settled();
    progress.end();
  }

  async #openForRound(traders: readonly DemoTrader[], round: readonly FlowRow[]): Promise<Place[]> {
    const news = round.filter((row) => row.op === "NEW");
    const places: Place[] = [];
    const openings = news.map((row, i) => async (): Promise<ProvenTransition> => {
      const trader = traders[i];
      if (trader === undefined) throw new FlowUnusable("the flow", "more new orders than traders in a round");
      const cash = BigInt(this.#plan.mostOf.get(row.orderId) ?? row.size) * this.#worstCash();
      const { transition, tickets } = await trader.account.openTickets(SLOT, [{ cash, position: 0n }]);
      this.#stage.measured.tickets += 1;
      const [ticket] = tickets;
      if (ticket !== undefined) places.push({ trader, ticketId: ticket.ticketId });
      return transition;
    });
    const transitions = await this.#stage.proveAll(`proving tickets, ${grouped(this.placed)} orders so far`, openings);
    await this.#stage.relay(by(traders, transitions));
    return places;
  }

  /** Cash for one contract at any price of the day. */
  #worstCash(): bigint {
    const { initialMargin, priceLimit, fillFee } = this.#plan.terms;
    return initialMargin + priceLimit + fillFee;
  }

  /** Signs a row's command, and sends it as soon as its turn has come. The answer may come later. */
  async #play(row: FlowRow, place: Place | undefined): Promise<void> {
    try {
      const send = await this.#signed(row, place);
      if (this.#underWay.length >= MOST_UNDER_WAY) await this.#answered();
      if (send !== undefined) this.#underWay.push(send().catch((error: unknown) => this.#count(error)));
    } catch (error) {
      this.#count(error);
    }
  }

  /** Resolves once every command so far has its answer. */
  async #answered(): Promise<void> {
    await Promise.all(this.#underWay);
    this.#underWay = [];
  }

  #count(error: unknown): void {
    if (!(error instanceof ExchangeRefused)) throw error;
    // It is not resting any more, or never was.
    if (error.code === "Matching.UnknownOrder" || error.code === "OrderUnknown") this.unknown++;
    else this.refused.set(error.code, (this.refused.get(error.code) ?? 0) + 1);
  }

  /** Signs a row's command and gives what sends it; undefined where there is nothing to do. */
  async #signed(row: FlowRow, place: Place | undefined): Promise<(() => Promise<void>) | undefined> {
    if (row.op === "NEW") return place && this.#place(row, place);
    const order = this.#orders.get(row.orderId);
    if (order !== undefined) return row.op === "CANCEL" ? this.#cancel(order) : this.#modify(row, order);
    this.unknown++;
    return undefined;
  }

  async #place(row: NewRow, { trader, ticketId }: Place): Promise<() => Promise<void>> {
    const signed = await trader.account.signOrder(ticketId, {
      side: row.side,
      limitPrice: this.#priceOf(row),
      quantity: row.size,
      timeInForce: row.timeInForce,
      expiry: this.#expiry,
    });
    this.#orders.set(row.orderId, { trader, signed });
    return async () => {
      trader.desk.keep(await this.#session.place(signed));
      this.placed++;
    };
  }

  async #cancel({ trader, signed }: Placed): Promise<() => Promise<void>> {
    const cancel = await trader.account.signCancel(signed);
    return async () => {
      trader.desk.keep(await this.#session.cancel(cancel));
      this.cancelled++;
    };
  }

  /** A recorded size is what shall be open from now on; a replacement names the total with what has traded. */
  async #modify(row: FlowRow & { readonly op: "MODIFY" }, order: Placed): Promise<(() => Promise<void>) | undefined> {
    const { ticketId, clientId } = order.signed.order;
    const replacement = (filled: number): Promise<SignedOrder> =>
      order.trader.account.signReplacement(order.signed, {
        limitPrice: this.#priceOf(row),
        quantity: filled + row.size,
      });
    // Mostly nothing has traded, and nothing about it is under way: signed on that guess while others are answered.
    const base = order.signed;
    const guess = await replacement(0);
    const watch = await this.#watchOf(ticketId, order.trader);
    await this.#answered();
    const { status, filled } = await this.#stage.client.fetchOrder(watch, clientId);
    if (status !== "open") {
      this.unknown++;
      return undefined;
    }
    const signed = filled === 0 && order.signed === base ? guess : await replacement(filled);
    return async () => {
      order.trader.desk.keep(await this.#session.replace(signed));
      order.signed = signed;
      this.modified++;
    };
  }

  /** What shows a ticket's orders: signed once for each. */
  async #watchOf(ticketId: Hex, { account }: DemoTrader): Promise<SignedWatch> {
    const watch = this.#watches.get(ticketId) ?? (await account.signWatch(ticketId, this.#expiry));
    this.#watches.set(ticketId, watch);
    return watch;
  }

  #priceOf({ price }: { readonly price: number }): bigint {
    return BigInt(price) * this.#plan.unit;
  }
}

/** Commands that may wait for their answers at a time. */
const MOST_UNDER_WAY = 64;
/** Receipts that are verified at the end: each takes about two milliseconds. */
const MOST_VERIFIED = 1_000;
/** Transitions that fit one direct transaction. */
const PART = 32;

/** Takes all tickets back, each trader one a round. */
async function closeTickets(stage: Stage, traders: readonly DemoTrader[]): Promise<void> {
  const open = traders.reduce((sum, { account }) => sum + account.state.tickets.length, 0);
  const progress = new Progress("proving closings", open);
  for (;;) {
    const round: ProvenTransition[] = [];
    for (const { account } of traders) {
      const [ticket] = account.state.tickets;
      if (ticket === undefined) continue;
      round.push(await account.closeTicket(ticket.ticketId));
      progress.step();
    }
    if (round.length === 0) break;
    await sendInParts(stage, round);
  }
  progress.end();
}

async function sendInParts(stage: Stage, transitions: readonly ProvenTransition[]): Promise<void> {
  for (let from = 0; from < transitions.length; from += PART) {
    await stage.send(stage.anybody, transitions.slice(from, from + PART));
  }
}

/** Enough for every order to rest at once at its worst, and for renewal. */
function stakeOf(plan: FlowPlan, news: number, options: FlowOptions): bigint {
  const { initialMargin, priceLimit } = plan.terms;
  const ordersEach = BigInt(Math.ceil(news / options.traders) + 1);
  const mostPerOrder = BigInt(Math.max(...plan.mostOf.values()));
  return 2n * ordersEach * mostPerOrder * (initialMargin + priceLimit) + 1_000n * DOLLAR;
}

function mostAsked(rows: readonly FlowRow[]): Map<string, number> {
  const most = new Map<string, number>();
  for (const row of rows) {
    if (row.op === "NEW") most.set(row.orderId, row.size);
    // What has traded before counts on top of what a replacement leaves open.
    else if (row.op === "MODIFY" && most.has(row.orderId))
      most.set(row.orderId, (most.get(row.orderId) ?? 0) + row.size);
  }
  return most;
}

function magnitude(x: bigint): bigint {
  return x < 0n ? -x : x;
}

function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  return b === 0n ? magnitude(a) : greatestCommonDivisor(b, a % b);
}
