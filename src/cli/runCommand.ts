import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import type { EpochMarkets } from "../protocol/epoch.ts";
import { priceLimits } from "../protocol/epoch.ts";
import { HedgerowError } from "../protocol/errors.ts";
import { cashFor } from "../protocol/ticket.ts";
import type { OrderRequest, ProgressEvent } from "../trader/commands.ts";
import { roundedUp } from "../trader/desk/funding.ts";
import { failureOf } from "../trader/desk/orderViews.ts";
import { pauseFor, throwIfInterrupted } from "../trader/desk/reach.ts";
import { homeDirectory, type Network } from "../trader/home.ts";
import { formatAmount, parseAmount } from "../trader/markets.ts";
import type { OrderView, PlacedView } from "../trader/views.ts";
import { EXIT, WrongUsage } from "./failure.ts";
import { untilInterrupted } from "./interrupt.ts";
import { type LocalNetwork, startLocalNetwork } from "./localNetwork.ts";
import { type FileOrder, interleaved, type OrdersFile, parseOrders, requestOf } from "./ordersFile.ts";
import { showProgress } from "./progress.ts";
import type { RunCommandOptions } from "./run.ts";
import { assertFunds, openDesks, type RunDesks } from "./runDesks.ts";
import { fillsOf, holdingsOf, orderOf, summaryOf, type Holdings, type Trades, tradesSchema } from "./runReport.ts";
import { openNetwork } from "./session.ts";
import { table } from "./terminal.ts";

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

/** Long enough for any run on a network of its own. */
const LOCAL_DAY = { trading: 86_400, window: 600 };
const LOOK_MS = 200;
const SETTLING_SECONDS = 120;
/** Transitions of a client besides the opening and the closing of each ticket. */
const OTHER_TRANSITIONS = 4n;

const optionsSchema = z.object({
  parallel: z.coerce.number<string>().int("give a whole number").min(1, "give 1 to 64").max(64, "give 1 to 64"),
  seed: z.coerce
    .number<string>()
    .int("give a whole number")
    .min(0, "give 0 to 4294967295")
    .max(0xffff_ffff, "give 0 to 4294967295")
    .optional(),
});

type Settings = z.infer<typeof optionsSchema> & {
  readonly stake: string | undefined;
  readonly keep: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (event: ProgressEvent) => void;
};

/** Places the orders of a file for all of its clients, and writes what happened. Throws BadOrders before anything else. */
export async function runOrders(options: RunCommandOptions): Promise<void> {
  const settings = optionsSchema.safeParse(options);
  if (!settings.success) {
    const [issue] = settings.error.issues;
    throw new WrongUsage(`--${String(issue?.path[0])} is not understood`, issue?.message ?? "look at --help");
  }
  const file = parseOrders(readFileSync(options.orders, "utf8"));
  // Better known now than after an hour of proofs.
  writeFileSync(options.tradesOut, "");
  const progress = showProgress(options.json === true);
  const trades = await untilInterrupted((signal) =>
    onNetwork(options, signal, (network, directory) =>
      play(file, network, directory, {
        ...settings.data,
        stake: options.stake,
        keep: options.keep === true,
        signal,
        onProgress: progress.on,
      }),
    ),
  ).finally(() => progress.end());
  writeFileSync(options.tradesOut, `${JSON.stringify(tradesSchema.parse(trades), undefined, 2)}\n`);
  if (options.json === true) console.log(JSON.stringify({ ...trades.summary, tradesOut: options.tradesOut }));
  else console.log(textOf(trades, options.tradesOut));
  if (trades.summary.refused > 0) process.exitCode = EXIT.refused;
}

/** Works on the chosen network, or on one that is started for it, and ended whatever happens. */
async function onNetwork<T>(
  options: RunCommandOptions,
  signal: AbortSignal,
  work: (network: Network, directory: string) => Promise<T>,
): Promise<T> {
  if (options.local !== true) {
    const network = await openNetwork(options);
    return work(network, options.directory ?? join(homeDirectory(options.home), "runs", network.name));
  }
  const own = options.directory === undefined ? mkdtempSync(join(tmpdir(), "hedgerow-run-")) : undefined;
  let running: LocalNetwork | undefined;
  try {
    running = await startLocalNetwork({ name: "run", day: LOCAL_DAY, batchMs: 250, signal });
    throwIfInterrupted(signal);
    if (running === undefined) throw new RangeError("a network that was not interrupted runs");
    return await Promise.race([work(running.network, options.directory ?? own ?? ""), running.failed]);
  } finally {
    await running?.stop();
    if (own !== undefined) rmSync(own, { recursive: true, force: true });
  }
}

// ------------------------------------------------------------------ the run

async function play(file: OrdersFile, network: Network, directory: string, settings: Settings): Promise<Trades> {
  const start = performance.now();
  const desks = await openDesks(
    network,
    directory,
    file.map(({ client }) => client),
  );
  try {
    const { chain } = desks;
    const markets = chain.markets(chain.epoch);
    const requests = file.map(({ client, orders }) =>
      orders.map((order, index) => requestOf(order, { client, index }, markets, network.decimals)),
    );
    const deposited = await fund(desks, network, requests, settings);
    const before = await holdings(desks);
    await openTickets(desks, requests, settings);
    const placed = await placeAll(desks, file, requests, settings);
    await untilSettled(desks, settings);
    const newest = await ordersOf(desks);
    if (!settings.keep) await clear(desks, settings);
    const after = await holdings(desks);
    const clients = Object.fromEntries(
      file.map(({ client, orders }, i) => [
        client,
        {
          account: desks.desks[i]?.place ?? 0,
          deposited: (deposited[i] ?? 0n).toString(),
          before: before[i] ?? NOTHING,
          after: after[i] ?? NOTHING,
          orders: orders.map((order, index) => {
            const answer = placed.get(`${i}.${index}`) ?? { order: null, receipts: 0, refusal: null };
            return orderOf(order, index, answer, newest[i]?.get(answer.order?.ref ?? ""), chain);
          }),
        },
      ]),
    );
    return {
      version: 1,
      network: network.name,
      chainId: network.chainId,
      clearingHouse: network.clearingHouse,
      epoch: chain.epoch,
      decimals: network.decimals,
      seed: settings.seed ?? null,
      clients,
      summary: summaryOf(clients, (performance.now() - start) / 1_000),
    };
  } finally {
    await desks.close();
  }
}

const NOTHING: Holdings = { cash: "0", equity: "0", positions: [] };

/**
 * Brings each client's free cash to its stake. Deposits come one after the other, as they have one payer; the proofs
 * that take them in, side by side. Returns what was deposited.
 */
async function fund(
  desks: RunDesks,
  network: Network,
  requests: readonly (readonly OrderRequest[])[],
  { stake, parallel, signal, onProgress }: Settings,
): Promise<readonly bigint[]> {
  const given = stake === undefined ? undefined : parseAmount(stake, network.decimals);
  const markets = desks.chain.markets(desks.chain.epoch);
  const { seatBond } = await desks.chain.chain.house.read.clearingTerms();
  for (const { desk } of desks.desks) await desk.run("catchUp", {}, { signal });
  const missing = desks.desks.map(({ desk }, i) => {
    const wanted = given ?? stakeFor(requests[i] ?? [], markets, desk.account.relayFee);
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
  }
  let done = 0;
  await inParallel(paying, parallel, async ({ desk }) => {
    await desk.run("fund", { wait: true }, { signal });
    onProgress({ stage: "proving", text: "taking deposits into accounts", done: ++done, total: paying.length });
  });
  return missing;
}

/** What all orders of a client need at once, in tickets of round amounts, and the fees of getting there and back. */
function stakeFor(requests: readonly OrderRequest[], markets: EpochMarkets, relayFee: bigint): bigint {
  const tickets = requests.reduce((sum, request) => sum + ticketCash(request, markets), 0n);
  const fees = relayFee * (2n * BigInt(requests.length) + OTHER_TRANSITIONS);
  const all = tickets + fees;
  return roundedUp(all, 2n * all);
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

/** A ticket with a proof of its own for each order, ahead of all orders: so these can follow each other quickly. */
async function openTickets(
  desks: RunDesks,
  requests: readonly (readonly OrderRequest[])[],
  { parallel, signal, onProgress }: Settings,
): Promise<void> {
  const markets = desks.chain.markets(desks.chain.epoch);
  const total = requests.flat().length;
  let done = 0;
  await inParallel(desks.desks, parallel, async ({ desk }) => {
    const i = desks.desks.findIndex((each) => each.desk === desk);
    for (const request of requests[i] ?? []) {
      onProgress({ stage: "proving", text: "proving that the accounts can pay", done: done++, total });
      const cash = ticketCash(request, markets);
      if (cash === 0n) continue;
      try {
        await desk.run("openTickets", { slot: request.slot, count: 1, cash: cash.toString(), wait: true }, { signal });
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
  requests: readonly (readonly OrderRequest[])[],
  { seed, signal, onProgress }: Settings,
): Promise<ReadonlyMap<string, PlacedView>> {
  const turns = interleaved<FileOrder>(
    file.map(({ orders }) => orders),
    seed,
  );
  const placed = new Map<string, PlacedView>();
  for (const [done, { client, index }] of turns.entries()) {
    onProgress({ stage: "sending", text: "placing orders", done, total: turns.length });
    const request = requests[client]?.[index];
    const desk = desks.desks[client]?.desk;
    if (request === undefined || desk === undefined) continue;
    placed.set(`${client}.${index}`, await placeOne(desk, request, signal));
  }
  return placed;
}

async function placeOne(
  desk: RunDesks["desks"][number]["desk"],
  request: OrderRequest,
  signal: AbortSignal,
): Promise<PlacedView> {
  try {
    const [placed] = await desk.run("place", { orders: [request] }, { signal });
    return placed ?? { order: null, receipts: 0, refusal: null };
  } catch (error) {
    throwIfInterrupted(signal);
    if (!(error instanceof HedgerowError)) throw error;
    return { order: null, receipts: 0, refusal: failureOf(error) };
  }
}

async function ordersOf(desks: RunDesks): Promise<readonly ReadonlyMap<string, OrderView>[]> {
  return Promise.all(
    desks.desks.map(async ({ desk }) => {
      const views = await desk.run("orders", { all: true });
      return new Map(views.map((view) => [view.ref, view]));
    }),
  );
}

/** Waits until the chain shows all that the exchange has filled. Throws FillsNotSettled. */
async function untilSettled(desks: RunDesks, { signal, onProgress }: Settings): Promise<void> {
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
async function clear(desks: RunDesks, settings: Settings): Promise<void> {
  const { parallel, signal, onProgress } = settings;
  let done = 0;
  await inParallel(desks.desks, parallel, async ({ desk }) => {
    await desk.run("cancelAll", {}, { signal });
    await desk.run("closeTickets", { wait: true }, { signal });
    onProgress({ stage: "proving", text: "bringing tickets back", done: ++done, total: desks.desks.length });
  });
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

// ------------------------------------------------------------------ text

function textOf({ clients, summary, decimals }: Trades, tradesOut: string): string {
  const right = true;
  const columns = [
    { title: "Client" },
    { title: "#", right },
    { title: "Order" },
    { title: "Status" },
    { title: "Filled", right },
    { title: "Mean price", right },
  ];
  const rows = Object.entries(clients).flatMap(([client, { orders }]) =>
    orders.map(({ index, side, volume, instrument, type, status, filled, averagePrice, refusal }) => [
      client,
      String(index),
      `${side} ${volume} ${instrument}, ${type}`,
      refusal === null ? status : `refused: ${refusal.code}`,
      String(filled),
      averagePrice === null ? "" : formatAmount(BigInt(averagePrice), decimals),
    ]),
  );
  const { orders, refused, trades, contracts, seconds } = summary;
  return (
    `${table(columns, rows)}\n\n${orders} orders of ${summary.clients} clients: ${trades} trades of ${contracts} ` +
    `contracts, ${refused} refused, in ${seconds} s. Written to ${tradesOut}.`
  );
}
