import type { EpochMarkets } from "../protocol/epoch.ts";
import { priceLimits } from "../protocol/epoch.ts";
import { HedgerowError } from "../protocol/errors.ts";
import { cashFor, MOST_TICKETS } from "../protocol/ticket.ts";
import type { OrderRequest, ProgressEvent } from "../trader/commands.ts";
import { roundedUp } from "../trader/desk/funding.ts";
import { failureOf } from "../trader/desk/orderViews.ts";
import { pauseFor, throwIfInterrupted } from "../trader/desk/reach.ts";
import type { Network } from "../trader/home.ts";
import { formatAmount, parseAmount } from "../trader/markets.ts";
import type { FailureView, OrderView, PlacedView } from "../trader/views.ts";
import { type FileOrder, interleaved, type OrdersFile, requestOf } from "./ordersFile.ts";
import { assertFunds, openDesks, type RunDesks } from "./runDesks.ts";
import { fillsOf, type Holdings, holdingsOf, orderOf, type Progress, summaryOf, type Trades } from "./runReport.ts";

/** The chain does not show what the exchange has filled. */
export class FillsNotSettled extends HedgerowError {
  constructor(count: number, seconds: number) {
    super(
      "FillsNotSettled",
      `fills of ${count} orders are not on chain after ${seconds} seconds: the receipts are kept; look at the exchange ` +
        `and run again`,
      { count, seconds },
    );
  }
}

const LOOK_MS = 200;
const SETTLING_SECONDS = 120;
/** How long a run that ends early may take to ask what became of its orders, and to cancel them. Milliseconds. */
const LAST_LOOK_MS = 3_000;
/** Transitions of a client besides the opening and the closing of each ticket. */
const OTHER_TRANSITIONS = 4n;

/** How a run goes. */
export type RunSettings = {
  readonly parallel: number;
  readonly seed?: number | undefined;
  readonly stake: string | undefined;
  readonly keep: boolean;
  /** Orders share proofs. */
  readonly linked: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (event: ProgressEvent) => void;
};

/** What has happened so far. */
type Log = {
  readonly start: number;
  deposited: readonly bigint[];
  before: readonly Holdings[];
  after: readonly Holdings[];
  /** By client and index. */
  readonly progress: Map<string, Progress>;
  newest: readonly ReadonlyMap<string, OrderView>[];
  /** Orders of earlier runs, by client. */
  readonly old: readonly ReadonlySet<string>[];
};

type Requests = readonly (readonly OrderRequest[])[];

/**
 * Places the orders of a file and gives `write` what happened, also when it ends early: then what had happened until
 * then, and the failure is thrown after that. Nothing is written where nothing was begun.
 */
export async function playOrders(
  file: OrdersFile,
  network: Network,
  directory: string,
  settings: RunSettings,
  write: (trades: Trades) => void,
): Promise<Trades> {
  const start = performance.now();
  const desks = await openDesks(
    network,
    directory,
    file.map(({ client }) => client),
  );
  try {
    const markets = desks.chain.markets(desks.chain.epoch);
    const requests = file.map(({ client, orders }) =>
      orders.map((order, index) => requestOf(order, { client, index }, markets, network.decimals)),
    );
    await takeUp(desks, settings);
    const old = (await ordersOf(desks)).map((views) => new Set(views.keys()));
    const log: Log = { start, deposited: [], before: [], after: [], progress: new Map(), newest: [], old };
    try {
      await play(file, network, desks, requests, settings, log);
    } catch (error) {
      await lastLook(desks, log);
      write(tradesOf(file, network, desks, settings, log, failureIn(error, settings.signal)));
      if (!settings.keep) await within(LAST_LOOK_MS, (signal) => cancelAll(desks, signal));
      throw error;
    }
    const trades = tradesOf(file, network, desks, settings, log, null);
    write(trades);
    return trades;
  } finally {
    await desks.close();
  }
}

async function play(
  file: OrdersFile,
  network: Network,
  desks: RunDesks,
  requests: Requests,
  settings: RunSettings,
  log: Log,
): Promise<void> {
  await fund(desks, network, requests, settings, log);
  log.before = await holdings(desks);
  await openTickets(desks, requests, settings);
  await placeAll(desks, file, requests, settings, log);
  await untilSettled(desks, settings);
  log.newest = await ordersOf(desks);
  if (!settings.keep) await clear(desks, settings);
  log.after = await holdings(desks);
}

/** Clients of an earlier run go on with what they have: what it left under way and open is brought back first. */
async function takeUp(desks: RunDesks, { parallel, signal }: RunSettings): Promise<void> {
  await inParallel(desks.desks, parallel, async ({ desk }) => {
    await desk.run("catchUp", {}, { signal });
    if (desk.account.state.tickets.length > 0) await desk.run("closeTickets", { wait: true }, { signal });
  });
}

/** Before a run ends early: what became of its orders and accounts, as far as that can be had quickly. */
async function lastLook(desks: RunDesks, log: Log): Promise<void> {
  await within(LAST_LOOK_MS, async (signal) => {
    await desks.chain.sync();
    log.newest = await ordersOf(desks, signal);
    if (log.before.length > 0) log.after = await holdings(desks);
  });
}

/** Does something if it takes no longer, and does not fail. */
async function within(milliseconds: number, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const late = new AbortController();
  const cut = setTimeout(() => late.abort(), milliseconds);
  const over = new Promise<void>((resolve) => late.signal.addEventListener("abort", () => resolve()));
  try {
    await Promise.race([work(late.signal).catch(() => undefined), over]);
  } finally {
    clearTimeout(cut);
  }
}

function failureIn(error: unknown, signal: AbortSignal): FailureView {
  const cause: unknown = signal.aborted ? signal.reason : error;
  if (cause instanceof HedgerowError) return failureOf(cause);
  return { code: "Fault", message: cause instanceof Error ? cause.message : String(cause), details: {} };
}

function tradesOf(
  file: OrdersFile,
  network: Network,
  { chain, desks }: RunDesks,
  settings: RunSettings,
  log: Log,
  failure: FailureView | null,
): Trades {
  const clients = Object.fromEntries(
    file.map(({ client, orders }, i) => [
      client,
      {
        account: desks[i]?.place ?? 0,
        deposited: (log.deposited[i] ?? 0n).toString(),
        before: log.before[i] ?? null,
        after: log.after[i] ?? null,
        orders: orders.map((order, index) => {
          const progress = log.progress.get(`${i}.${index}`);
          return orderOf(order, index, progress, newestOf(progress, i, log), chain);
        }),
      },
    ]),
  );
  return {
    version: 1,
    status: failure === null ? "complete" : "interrupted",
    failure,
    network: network.name,
    chainId: network.chainId,
    clearingHouse: network.clearingHouse,
    epoch: chain.epoch,
    decimals: network.decimals,
    seed: settings.seed ?? null,
    clients,
    summary: summaryOf(clients, (performance.now() - log.start) / 1_000),
  };
}

/** The newest word on an order. One at a time is sent, so the one without an answer is the one that nobody else is. */
function newestOf(progress: Progress, client: number, { newest, old, progress: all }: Log): OrderView | undefined {
  const views = newest[client];
  if (progress !== "sent") return views?.get(progress?.order?.ref ?? "");
  const answered = new Set(
    [...all.values()].flatMap((each) => (each === undefined || each === "sent" ? [] : [each.order?.ref ?? ""])),
  );
  return [...(views?.values() ?? [])].find(({ ref }) => !answered.has(ref) && old[client]?.has(ref) !== true);
}

/**
 * Brings each client's free cash to its stake. Deposits come one after the other, as they have one payer; the proofs
 * that take them in, side by side.
 */
async function fund(
  desks: RunDesks,
  network: Network,
  requests: Requests,
  { stake, linked, parallel, signal, onProgress }: RunSettings,
  log: Log,
): Promise<void> {
  const given = stake === undefined ? undefined : parseAmount(stake, network.decimals);
  const markets = desks.chain.markets(desks.chain.epoch);
  const { seatBond } = await desks.chain.chain.house.read.clearingTerms();
  const missing = desks.desks.map(({ desk }, i) => {
    const wanted = given ?? stakeFor(batchesOf(requests[i] ?? [], markets, linked), desk.account.relayFee);
    const { freeCash, status } = desk.account;
    const has = status.status === "none" ? 0n : freeCash;
    return wanted > has ? wanted - has : 0n;
  });
  if (!desks.hasFaucet) {
    const bonds = desks.desks.map(({ desk }, i) =>
      (missing[i] ?? 0n) > 0n && desk.account.status.status === "none" ? seatBond : 0n,
    );
    const needed = [...missing, ...bonds].reduce((sum, each) => sum + each, 0n);
    await assertFunds(desks, needed, (units) => formatAmount(units, network.decimals));
  }
  const paying = desks.desks.filter((_, i) => (missing[i] ?? 0n) > 0n);
  for (const [done, { client, desk }] of paying.entries()) {
    onProgress({ stage: "sending", text: `depositing for ${client}`, done, total: paying.length });
    const sum = missing[desks.desks.findIndex((each) => each.desk === desk)] ?? 0n;
    await desk.run("deposit", { amount: sum.toString(), faucet: desks.hasFaucet, hold: true }, { signal });
    log.deposited = desks.desks.map((each, i) => (each.client === client ? sum : (log.deposited[i] ?? 0n)));
  }
  let done = 0;
  await inParallel(paying, parallel, async ({ desk }) => {
    await desk.run("fund", { wait: true }, { signal });
    onProgress({ stage: "proving", text: "taking deposits into accounts", done: ++done, total: paying.length });
  });
}

/** What all tickets of a client need at once, and the fees of getting there and back. */
function stakeFor(batches: readonly Batch[], relayFee: bigint): bigint {
  const tickets = batches.reduce((sum, { cash, count }) => sum + cash * BigInt(count), 0n);
  const orders = batches.reduce((sum, { count }) => sum + count, 0);
  const all = tickets + relayFee * (2n * BigInt(orders) + OTHER_TRANSITIONS);
  return roundedUp(all, 2n * all);
}

/** Equal tickets that one proof opens. `cash` 0: they cannot be opened ahead of their orders. */
type Batch = { readonly slot: number; readonly cash: bigint; readonly count: number };

/** The tickets of a client's orders: one from each proof, or, linked, up to eight for orders of one market. */
function batchesOf(requests: readonly OrderRequest[], markets: EpochMarkets, linked: boolean): readonly Batch[] {
  const single = requests.map((request) => ({ slot: request.slot, cash: ticketCash(request, markets), count: 1 }));
  if (!linked) return single;
  return [...Map.groupBy(single, ({ slot, cash }) => (cash === 0n ? "later" : String(slot)))].flatMap(
    ([key, group]) => {
      if (key === "later") return group;
      // Those that need about the same come together, since tickets of one proof have the same cash.
      const sorted = group.toSorted((a, b) => (a.cash < b.cash ? -1 : 1));
      return Array.from({ length: Math.ceil(sorted.length / MOST_TICKETS) }, (_, i): Batch => {
        const part = sorted.slice(i * MOST_TICKETS, (i + 1) * MOST_TICKETS);
        return { slot: part[0]?.slot ?? 0, cash: part.at(-1)?.cash ?? 0n, count: part.length };
      });
    },
  );
}

/** Cash of an order's ticket: its margin at the worst price it may have, as a round amount. */
function ticketCash(request: OrderRequest, markets: EpochMarkets): bigint {
  const market = markets[request.slot];
  if (market === undefined || request.reduceOnly === true) return 0n;
  const { side, quantity } = request;
  const { down, up } = priceLimits(market);
  const price = request.limitPrice === undefined ? (side === "buy" ? up : down) : BigInt(request.limitPrice);
  const needed = cashFor(market, { side, price, quantity: BigInt(quantity) });
  return needed > 0n ? roundedUp(needed, 10n * needed) : 1n;
}

/** Tickets for all orders ahead of the first one: so these can follow each other quickly. */
async function openTickets(
  desks: RunDesks,
  requests: Requests,
  { parallel, linked, signal, onProgress }: RunSettings,
): Promise<void> {
  const markets = desks.chain.markets(desks.chain.epoch);
  const batches = requests.map((each) => batchesOf(each, markets, linked));
  const total = batches.flat().length;
  let done = 0;
  await inParallel(desks.desks, parallel, async ({ desk }) => {
    const i = desks.desks.findIndex((each) => each.desk === desk);
    for (const { slot, count, cash } of batches[i] ?? []) {
      onProgress({ stage: "proving", text: "proving that the accounts can pay", done: done++, total });
      if (cash === 0n) continue;
      try {
        await desk.run("openTickets", { slot, count, cash: cash.toString(), wait: true }, { signal });
      } catch (error) {
        // Placing the order meets the same reason, and tells it as what became of the order.
        throwIfInterrupted(signal);
        if (!(error instanceof HedgerowError)) throw error;
      }
    }
  });
}

/** Each order is acknowledged, or refused, before the next is sent. */
async function placeAll(
  desks: RunDesks,
  file: OrdersFile,
  requests: Requests,
  settings: RunSettings,
  { progress }: Log,
): Promise<void> {
  const turns = interleaved<FileOrder>(
    file.map(({ orders }) => orders),
    settings.seed,
  );
  for (const [done, { client, index }] of turns.entries()) {
    settings.onProgress({ stage: "sending", text: "placing orders", done, total: turns.length });
    const request = requests[client]?.[index];
    const desk = desks.desks[client]?.desk;
    if (request === undefined || desk === undefined) continue;
    throwIfInterrupted(settings.signal);
    progress.set(`${client}.${index}`, "sent");
    progress.set(`${client}.${index}`, await placeOne(desk, request, settings));
  }
}

async function placeOne(
  desk: RunDesks["desks"][number]["desk"],
  request: OrderRequest,
  { linked, signal }: RunSettings,
): Promise<PlacedView> {
  try {
    const tickets = linked ? "linked" : "fresh";
    const [placed] = await desk.run("place", { orders: [request], tickets }, { signal });
    return placed ?? { order: null, receipts: 0, refusal: null };
  } catch (error) {
    throwIfInterrupted(signal);
    if (!(error instanceof HedgerowError)) throw error;
    return { order: null, receipts: 0, refusal: failureOf(error) };
  }
}

async function ordersOf(desks: RunDesks, signal?: AbortSignal): Promise<readonly ReadonlyMap<string, OrderView>[]> {
  return Promise.all(
    desks.desks.map(async ({ desk }) => {
      const views = await desk.run("orders", { all: true }, signal === undefined ? {} : { signal });
      return new Map(views.map((view) => [view.ref, view]));
    }),
  );
}

/** Waits until the chain shows all that the exchange has filled. Throws FillsNotSettled. */
async function untilSettled(desks: RunDesks, { signal, onProgress }: RunSettings): Promise<void> {
  const start = performance.now();
  for (;;) {
    const orders = (await ordersOf(desks)).flatMap((views) => [...views.values()]);
    await desks.chain.sync();
    const behind = orders.filter(
      (view) => fillsOf(view, desks.chain).reduce((sum, { quantity }) => sum + quantity, 0) < view.filled,
    );
    if (behind.length === 0) return;
    const seconds = (performance.now() - start) / 1_000;
    if (seconds > SETTLING_SECONDS) throw new FillsNotSettled(behind.length, SETTLING_SECONDS);
    onProgress({ stage: "waiting", text: "waiting until all fills are settled on chain" });
    await pauseFor(LOOK_MS, signal);
  }
}

/** Takes what rests out of the book, and brings all tickets back into the accounts. */
async function clear(desks: RunDesks, settings: RunSettings): Promise<void> {
  const { parallel, signal, onProgress } = settings;
  let done = 0;
  await inParallel(desks.desks, parallel, async ({ desk }) => {
    await desk.run("cancelAll", {}, { signal });
    await desk.run("closeTickets", { wait: true }, { signal });
    onProgress({ stage: "proving", text: "bringing tickets back", done: ++done, total: desks.desks.length });
  });
}

async function cancelAll(desks: RunDesks, signal: AbortSignal): Promise<void> {
  await Promise.all(desks.desks.map(({ desk }) => desk.run("cancelAll", {}, { signal })));
}

async function holdings(desks: RunDesks): Promise<readonly Holdings[]> {
  return Promise.all(desks.desks.map(async ({ desk }) => holdingsOf(await desk.run("balance", {}))));
}

/** Does something for each, `most` at a time, begun in order. Throws the first failure when all that began has ended. */
async function inParallel<T>(items: readonly T[], most: number, work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const failures: Error[] = [];
  const lane = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined && failures.length === 0; next = queue.shift()) {
      await work(next).catch((error: unknown) => {
        failures.push(error instanceof Error ? error : new Error("work failed", { cause: error }));
      });
    }
  };
  await Promise.all(Array.from({ length: most }, lane));
  const [failure] = failures;
  if (failure !== undefined) throw failure;
}
