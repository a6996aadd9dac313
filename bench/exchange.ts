/**
 * Measures the exchange through its API: `npm run bench:exchange -- --json FILE [--plot FILE]`. Signatures, journal and
 * receipts are on, and fills are posted on a local chain meanwhile. Exchange, chain and load generator are a process
 * each and share the machine. A missed aim is shown, and is no failure; an order that is refused or has no good receipt
 * is one.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { connectExchange } from "../src/api/client.ts";
import { answerFrom } from "../src/api/codecOrders.ts";
import { EnterOrdersResponseSchema } from "../src/api/gen/hedgerow/exchange/v1/exchange_pb.ts";
import { argumentsOf, grouped, Progress, table } from "../src/cli/terminal.ts";
import { HedgerowError } from "../src/protocol/errors.ts";
import { assertReceipt, type SignedReceipt } from "../src/protocol/receipt.ts";
import { type Desk, openSite, type Site } from "./exchangeSite.ts";
import { OrderFlow, type PackedCommand } from "./orderFlow.ts";
import { OrderStream } from "./orderStream.ts";
import { linePlot } from "./plot.ts";

/** Numbers of clients that are measured, each with a connection and an order-entry stream of its own. */
const CLIENTS = [1, 2, 5, 10, 15, 50] as const;
/** The number whose latency is reported. */
const MAIN = 15;
/** Tickets, dealt out among the clients: at least one for each. */
const TICKETS = 56;
/** Commands of a run; of the first, which warms the exchange up; and how often each number of clients is run. */
const COMMANDS = 8_000;
const WARM_UP = 24_000;
const ROUNDS = 3;
/** No further round is begun after so long, and everything ends after so long. */
const LAST_ROUND_MS = 110_000;
const DEADLINE_MS = 175_000;
/** Commands without an answer at a time, of all clients together: enough to keep the exchange busy, and no more. */
const IN_FLIGHT = 48;
/** Fills that may wait for the chain when a run begins: the exchange takes no orders when 20,000 do. */
const MOST_UNSETTLED = 12_000;
/** Receipts of each run that are verified. */
const VERIFIED = 100;
const IDLE_SAMPLES = 300;
const SEED = 20_240_115;

/**
 * What two student exchanges published: orders a second with one node and two bots that buy and sell, mean latency of
 * 1,000 orders with three clients connected, seconds in which 15 market makers trade 20 times each.
 */
const PUBLISHED = { ordersPerSecond: 965.1, meanLatencyMs: 36.87, fifteenSeconds: 6.84 };
const SEQUENTIAL = 1_000;
const BOT_ORDERS = 6_000;
const TRADES_EACH = 20;
const AIM = { ordersPerSecond: 10 * PUBLISHED.ordersPerSecond, p99Ms: PUBLISHED.meanLatencyMs };

/** An exchange that refuses what it should take measures nothing. */
class OrdersRefused extends HedgerowError {
  constructor(refused: number, of: number, reason: string) {
    super("OrdersRefused", `${refused} of ${of} commands were refused, for example: ${reason}`, { refused, of });
  }
}

type Quantiles = { readonly p50: number; readonly p99: number; readonly p999: number };
type Cpu = { readonly exchange: number; readonly chain: number; readonly load: number };

type Figures = {
  readonly machine: string;
  readonly workload: string;
  readonly rounds: number;
  /** Orders and cancels that were taken, by number of clients: medians of the rounds. */
  readonly ordersPerSecond: Readonly<Record<string, number>>;
  /** From sending to the receipt, with 15 clients, all rounds together. */
  readonly latencyMs: Quantiles & { readonly mean: number };
  /** Unary calls on an idle exchange, one at a time. */
  readonly idlePlaceMs: Pick<Quantiles, "p50" | "p99">;
  /** One client that awaits each answer before its next order: what it places in a second. */
  readonly oneAtATimePerSecond: number;
  readonly ratioToOneAtATime: number;
  /** Processor time of each process per order, with 15 clients; where the system tells it. */
  readonly cpuMicrosPerOrder?: Cpu;
  /** Seconds in which each client trades 20 times, one trade after the other, by number of clients. */
  readonly twentyTradesSeconds: Readonly<Record<string, number>>;
  /** The same shapes of load as published, and how many times better. */
  readonly published: Readonly<
    Record<"ordersPerSecond" | "meanLatencyMs" | "fifteenSeconds", { readonly ours: number; readonly ratio: number }>
  >;
  readonly trades: number;
  readonly tradesOnChain: number;
  readonly receiptsVerified: number;
};

/** What all runs share. */
type Bench = { readonly site: Site; readonly flow: OrderFlow; trades: number; receiptsVerified: number };

type Run = {
  readonly perSecond: number;
  readonly seconds: number;
  readonly latencies: Float64Array;
  readonly cpu?: Cpu;
};

/** All clients send what they have; afterwards, outside the clock, answers are unpacked and receipts verified. */
async function run(bench: Bench, each: readonly (readonly PackedCommand[])[], inFlight: number): Promise<Run> {
  const { site } = bench;
  const streams = await Promise.all(each.map(() => OrderStream.open(site.url)));
  try {
    const cpu = cpuMeter(site);
    const started = performance.now();
    const sent = await Promise.all(streams.map((stream, i) => stream.send(each[i] ?? [], inFlight)));
    const seconds = (performance.now() - started) / 1000;
    const spent = cpu();
    const answers = sent.flatMap((client) => client.answers);
    const taken = examine(bench, answers);
    const latencies = joined(sent.map((client) => client.latencies));
    return {
      perSecond: taken / seconds,
      seconds,
      latencies,
      ...(spent && { cpu: { exchange: spent.exchange / taken, chain: spent.chain / taken, load: spent.load / taken } }),
    };
  } finally {
    for (const stream of streams) stream.close();
  }
}

/** Microseconds that the processes work until it is asked. */
function cpuMeter(site: Site): () => Cpu | undefined {
  const own = process.cpuUsage();
  const before = site.cpuMs();
  return () => {
    const after = site.cpuMs();
    const { user, system } = process.cpuUsage(own);
    if (before === undefined || after === undefined) return undefined;
    const chain = (after.chain - before.chain) * 1000;
    return { exchange: (after.exchange - before.exchange) * 1000, chain, load: user + system };
  };
}

/** Counts the commands that were taken; some of their receipts are verified. Throws OrdersRefused or InvalidReceipt. */
function examine(bench: Bench, answers: readonly Uint8Array[]): number {
  const receipts: SignedReceipt[] = [];
  const results = answers.flatMap((answer) => fromBinary(EnterOrdersResponseSchema, answer).results);
  let refused = 0;
  let reason: string | undefined;
  for (const { outcome } of results) {
    if (outcome.case === "answer") receipts.push(...answerFrom(outcome.value).receipts);
    if (outcome.case !== "refusal") continue;
    refused += 1;
    // Whoever cancels what somebody has just taken comes too late: that is no fault.
    const { code, message } = outcome.value.error ?? { code: "", message: "no reason" };
    if (code !== "Matching.UnknownOrder") reason ??= message;
  }
  if (reason !== undefined || refused > results.length / 10) {
    throw new OrdersRefused(refused, results.length, reason ?? "cancels of orders that were gone");
  }
  bench.trades += receipts.filter(({ receipt }) => receipt.kind === "executed-taker").length;
  const step = Math.max(1, Math.floor(receipts.length / VERIFIED));
  verify(
    bench,
    receipts.filter((_, i) => i % step === 0),
  );
  return results.length - refused;
}

function verify(bench: Bench, receipts: readonly SignedReceipt[]): void {
  for (const receipt of receipts) assertReceipt(bench.site.domain, bench.site.operator, receipt);
  bench.receiptsVerified += receipts.length;
}

/** Clients with the usual mix of commands, into an empty book. */
async function mixedRun(bench: Bench, clients: number, commands = COMMANDS): Promise<Run> {
  const { site, flow } = bench;
  const inFlight = Math.ceil(IN_FLIGHT / clients);
  const each = Array.from({ length: clients }, (_, client) => {
    const own = site.desks.filter((__, i) => i % clients === client);
    return flow.mixed(own, Math.floor(commands / clients), inFlight);
  });
  await ready(bench);
  return run(bench, each, inFlight);
}

/** Empties the book, and waits while the chain is too far behind. */
async function ready({ site, flow }: Bench): Promise<void> {
  const stream = await OrderStream.open(site.url);
  await stream.send(flow.clear(site.desks), 8);
  stream.close();
  while ((await site.metric("hedgerow_unsettled_fills")) > MOST_UNSETTLED) await sleep(100);
}

/** Milliseconds that each of some orders takes as a unary call, one after the other, each after a pause. */
async function oneByOne(bench: Bench, count: number, pauseMs: number): Promise<Float64Array> {
  await ready(bench);
  const desk = deskOf(bench, 0);
  const client = connectExchange(bench.site.url);
  const entries = Array.from({ length: count }, (_, i) => bench.flow.order(desk, "buy", BigInt(-1 - (i % 8)), 1));
  const latencies = new Float64Array(count);
  const receipts: SignedReceipt[] = [];
  for (const [i, entry] of entries.entries()) {
    if (pauseMs > 0) await sleep(pauseMs);
    const started = performance.now();
    const answer = await client.createOrder(entry);
    latencies[i] = performance.now() - started;
    receipts.push(...answer.receipts);
  }
  client.close();
  verify(bench, receipts);
  return latencies;
}

/** One client sends orders one after the other while two others are connected: mean latency, milliseconds. */
async function sequentialShape(bench: Bench): Promise<number> {
  const others = [connectExchange(bench.site.url), connectExchange(bench.site.url)];
  for (const other of others) await other.fetchEpoch();
  const latencies = await oneByOne(bench, SEQUENTIAL, 0);
  for (const other of others) other.close();
  return mean(latencies);
}

/** Each client trades 20 times, one trade after the other: seconds by number of clients. */
async function twentyTradesShape(bench: Bench): Promise<ReadonlyMap<number, number>> {
  const seconds = new Map<number, number>();
  for (const clients of CLIENTS) {
    await ready(bench);
    const each = Array.from({ length: clients }, (_, i) => tradesOf(bench, i, TRADES_EACH));
    seconds.set(clients, (await run(bench, each, 1)).seconds);
  }
  return seconds;
}

/** Two bots buy and sell over and over, each with many orders in flight: orders a second. */
async function twoBotsShape(bench: Bench): Promise<number> {
  await ready(bench);
  const each = [0, 1].map((i) => tradesOf(bench, i, BOT_ORDERS / 2));
  return (await run(bench, each, IN_FLIGHT / 2)).perSecond;
}

/** Buys and sells in turn; every other trader begins with the other side. */
function tradesOf(bench: Bench, trader: number, count: number): readonly PackedCommand[] {
  return bench.flow.inTurn(deskOf(bench, trader), count, trader % 2 === 0 ? "buy" : "sell");
}

function deskOf({ site }: Bench, trader: number): Desk {
  const desk = site.desks[trader % site.desks.length];
  if (desk === undefined) throw new RangeError("the bench needs tickets");
  return desk;
}

async function measure(site: Site): Promise<Figures> {
  const bench: Bench = { site, flow: new OrderFlow(site.domain, SEED), trades: 0, receiptsVerified: 0 };
  const progress = new Progress("runs", 6 + ROUNDS * CLIENTS.length);
  const step = <T>(result: T): T => {
    progress.step();
    return result;
  };
  // As long as nothing has traded the chain is idle, too.
  step(await oneByOne(bench, SEQUENTIAL, 0));
  const sequential = step(await sequentialShape(bench));
  const idle = step(quantiles(await oneByOne(bench, IDLE_SAMPLES, 5)));
  const twenty = step(await twentyTradesShape(bench));
  step(await mixedRun(bench, MAIN, WARM_UP));
  const bots = step(await twoBotsShape(bench));

  const runs = new Map<number, Run[]>(CLIENTS.map((clients) => [clients, []]));
  let rounds = 0;
  while (rounds < ROUNDS && (rounds === 0 || performance.now() < LAST_ROUND_MS)) {
    rounds += 1;
    for (const [clients, results] of runs) {
      results.push(step(await mixedRun(bench, clients)));
    }
  }
  progress.end();

  const rate = (clients: number): number => Math.round(median((runs.get(clients) ?? []).map((one) => one.perSecond)));
  const main = runs.get(MAIN) ?? [];
  const latencies = joined(main.map((one) => one.latencies));
  const cpu = main.flatMap((one) => one.cpu ?? []);
  const cpuOf = (part: keyof Cpu): number => Math.round(median(cpu.map((one) => one[part])));
  const oneAtATime = 1000 / sequential;
  const fifteen = twenty.get(MAIN) ?? 0;
  return {
    machine: `${cpus().length} x ${cpus()[0]?.model ?? process.arch}, Node ${process.versions.node}`,
    workload:
      `${grouped(COMMANDS)} commands a run on ${site.desks.length} tickets, ${IN_FLIGHT} in flight: 70 % orders that rest, ` +
      `20 % cancels, 10 % that trade; seed ${SEED}`,
    rounds,
    ordersPerSecond: Object.fromEntries(CLIENTS.map((clients) => [String(clients), rate(clients)])),
    latencyMs: { ...quantiles(latencies), mean: rounded(mean(latencies)) },
    idlePlaceMs: { p50: idle.p50, p99: idle.p99 },
    oneAtATimePerSecond: Math.round(oneAtATime),
    ratioToOneAtATime: rounded(rate(MAIN) / oneAtATime),
    ...(cpu.length > 0 && {
      cpuMicrosPerOrder: { exchange: cpuOf("exchange"), chain: cpuOf("chain"), load: cpuOf("load") },
    }),
    twentyTradesSeconds: Object.fromEntries([...twenty].map(([clients, s]) => [String(clients), rounded(s)])),
    published: {
      ordersPerSecond: { ours: Math.round(bots), ratio: rounded(bots / PUBLISHED.ordersPerSecond) },
      meanLatencyMs: { ours: rounded(sequential), ratio: rounded(PUBLISHED.meanLatencyMs / sequential) },
      fifteenSeconds: { ours: rounded(fifteen), ratio: rounded(PUBLISHED.fifteenSeconds / fifteen) },
    },
    trades: bench.trades,
    tradesOnChain: bench.trades - (await site.metric("hedgerow_unsettled_fills")),
    receiptsVerified: bench.receiptsVerified,
  };
}

/** Prints the figures beside their aims. */
function report(figures: Figures): void {
  const { ordersPerSecond, latencyMs, idlePlaceMs, published, twentyTradesSeconds, cpuMicrosPerOrder } = figures;
  console.log(`${figures.machine}
${cpus().length} cores for all: exchange, load generator, and a local chain at low priority.
Each client has a connection and an order-entry stream of its own, and sends its
next order when an answer comes; ${IN_FLIGHT} orders of all clients are in flight.
${TICKETS} tickets, opened with proofs. Signed orders: 70 % rest near the touch, 20 % are
cancels, 10 % trade. Every answer is durable and has a signed receipt.
Medians of ${figures.rounds} runs of ${grouped(COMMANDS)}; ${grouped(figures.receiptsVerified)} receipts verified;
${grouped(figures.tradesOnChain)} of ${grouped(figures.trades)} trades were on chain at the end.
`);
  const row = (what: string, figure: string, aim?: readonly [text: string, isMet: boolean]): string[] => [
    what,
    figure,
    aim?.[0] ?? "",
    aim === undefined ? "" : aim[1] ? "met" : "missed",
  ];
  const columns = [{ title: "" }, { title: "figure", right: true }, { title: "aim", right: true }, { title: "" }];
  const rates = CLIENTS.map((clients) => {
    const rate = ordersPerSecond[String(clients)] ?? 0;
    const aim = [grouped(AIM.ordersPerSecond), rate >= AIM.ordersPerSecond] as const;
    return row(`${clients} client${clients === 1 ? "" : "s"}, orders/s`, grouped(rate), aim);
  });
  const growth = (twentyTradesSeconds[String(CLIENTS.at(-1))] ?? 0) / (twentyTradesSeconds["1"] ?? 0);
  console.log(
    table(columns, [
      ...rates,
      row(`latency with ${MAIN} clients, p50, ms`, latencyMs.p50.toFixed(2)),
      row("p99, ms", latencyMs.p99.toFixed(2), [`${AIM.p99Ms}`, latencyMs.p99 < AIM.p99Ms]),
      row("p99.9, ms", latencyMs.p999.toFixed(2)),
      row("place on an idle exchange, p50, ms", idlePlaceMs.p50.toFixed(2)),
      row("p99, ms", idlePlaceMs.p99.toFixed(2)),
      row("one order at a time (the naive client), orders/s", grouped(figures.oneAtATimePerSecond)),
      row(`${MAIN} clients by that`, figures.ratioToOneAtATime.toFixed(1)),
      row("20 trades each, 50 clients by 1 client, seconds", growth.toFixed(1), ["50", growth <= 50]),
      ...(cpuMicrosPerOrder === undefined
        ? []
        : [
            row("processor time an order, exchange, us", String(cpuMicrosPerOrder.exchange)),
            row("load generator, us", String(cpuMicrosPerOrder.load)),
            row("chain, us", String(cpuMicrosPerOrder.chain)),
          ]),
    ]),
  );
  console.log("\nThe same shapes of load as two published student exchanges:\n");
  const beside = (what: string, { ours, ratio }: { ours: number; ratio: number }, theirs: number): string[] => [
    what,
    String(theirs),
    String(ours),
    `${ratio.toFixed(1)} times`,
  ];
  console.log(
    table(
      [
        { title: "" },
        { title: "published", right: true },
        { title: "here", right: true },
        { title: "better", right: true },
      ],
      [
        beside("two bots buy and sell, orders/s", published.ordersPerSecond, PUBLISHED.ordersPerSecond),
        beside("1,000 orders, 3 clients, mean ms", published.meanLatencyMs, PUBLISHED.meanLatencyMs),
        beside("15 clients, 20 trades each, s", published.fifteenSeconds, PUBLISHED.fifteenSeconds),
      ],
    ),
  );
}

function plotOf({ machine, ordersPerSecond }: Figures): string {
  const level = (value: number) => CLIENTS.map((clients) => [clients, value] as const);
  return linePlot({
    title: "Orders per second through the API",
    note: `${machine}, shared with the load generator and a chain`,
    x: { label: "clients (logarithmic)", scale: "log" },
    y: { label: "orders per second" },
    series: [
      { name: "Hedgerow", points: CLIENTS.map((clients) => [clients, ordersPerSecond[String(clients)] ?? 0]) },
      { name: "aim", points: level(AIM.ordersPerSecond) },
      { name: "published, one node", points: level(PUBLISHED.ordersPerSecond) },
    ],
  });
}

function joined(parts: readonly Float64Array[]): Float64Array {
  return Float64Array.from(parts.flatMap((part) => [...part]));
}

function mean(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function quantiles(values: Float64Array): Quantiles {
  const sorted = values.toSorted();
  const at = (part: number): number => rounded(sorted[Math.floor(part * (sorted.length - 1))] ?? 0);
  return { p50: at(0.5), p99: at(0.99), p999: at(0.999) };
}

/** To four digits that count. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

const text = { type: "string" } as const;
const { values } = argumentsOf({ json: text, plot: text }, "npm run bench:exchange -- [--json FILE] [--plot FILE]");
// Exchange and chain end with this process, however it ends.
process.once("SIGINT", () => process.exit(130)).once("SIGTERM", () => process.exit(143));
setTimeout(() => {
  console.error(`not done after ${DEADLINE_MS / 1000} seconds: the machine has too much else to do`);
  process.exit(1);
}, DEADLINE_MS).unref();
const site = await openSite(TICKETS);
try {
  const figures = await measure(site);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(figures, undefined, 2)}\n`);
  if (values.plot !== undefined) writeFileSync(values.plot, plotOf(figures));
  report(figures);
} finally {
  await site.stop();
}
