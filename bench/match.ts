/**
 * Measures the matching engine alone: `npm run bench:match -- --json FILE [--plot FILE] [--flow FILE [--book FILE]]`.
 * Beside it, on the same operations in the same run, the npm package nodejs-order-book and the naive book of the tests.
 * A missed aim is shown, and is no failure; books that come out different are one.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createReadStream, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { OrderBook } from "nodejs-order-book";
import { argumentsOf, grouped, Progress, table } from "../src/cli/terminal.ts";
import { apply, type Book, createBook } from "../src/market/engine.ts";
import { bookCommand, flowCommands, type FlowRow, parseFlow, parseInitialBook } from "../src/market/flow.ts";
import { OPEN_TERMS } from "../src/market/terms.ts";
import type { Command } from "../src/market/types.ts";
import { bestAsk, bestBid, depth, openOrder } from "../src/market/views.ts";
import { HedgerowError } from "../src/protocol/errors.ts";
import { NaiveBook } from "../test/support/naiveBook.ts";
import { barPlot } from "./plot.ts";

/** Orders that rest when the clock starts, and about as many at any time after. */
const RESTING = 20_000;
const SHORT = 100_000;
const LONG = 2_000_000;
/** The naive book sorts all orders for each operation, so it gets few of them. */
const NAIVE = 200;
/** Operations that are laid out before the clock runs, so that their memory weighs on no measurement. */
const PART = 50_000;
const FIRST_PRICE = 1_000_000;
const SEED = 20_231_225;

/** Two books that were given the same operations differ, so their times say nothing. */
class BooksDiffer extends HedgerowError {
  constructor(name: string, operations: number) {
    super("BooksDiffer", `after ${operations} operations ${name} has another book than the engine`, { name });
  }
}

/** What the peer is asked to do. Its own types want enums that it does not export. */
type PeerCommand =
  | { readonly kind: "new"; readonly order: PeerOrder }
  | { readonly kind: "cancel"; readonly id: string }
  | { readonly kind: "replace"; readonly id: string; readonly to: { readonly price: number; readonly size: number } };
interface PeerOrder {
  readonly id: string;
  readonly side: string;
  readonly size: number;
  readonly price: number;
  readonly timeInForce?: string;
}
interface PeerBook {
  limit(order: PeerOrder): unknown;
  cancel(id: string): unknown;
  modify(id: string, to: { readonly price: number; readonly size: number }): unknown;
  depth(): [asks: [number, number][], bids: [number, number][]];
}

/** One step of a workload, in the words of each. */
interface Operation {
  readonly ours: Command;
  readonly peers: PeerCommand;
}

/** A book under test. `play` returns the seconds it took; `levels` is one text for all prices with what rests there. */
interface Contestant {
  readonly name: string;
  readonly play: (operations: readonly Operation[]) => number;
  readonly levels: () => string;
}

/** Operations in parts, the first of which fills the book and is not timed. */
type Workload = Iterable<readonly Operation[]>;

setFlagsFromString("--expose-gc");
const collectGarbage: unknown = runInNewContext("gc");

/** What the making of operations has left behind is not for the books to clear away. */
function clearAway(): void {
  if (isCall(collectGarbage)) collectGarbage();
}

function isCall(value: unknown): value is () => void {
  return typeof value === "function";
}

/** Time that the thread has worked: what else the machine does meanwhile does not count. */
function threadSeconds(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1e6;
}

function ourEngine(): Contestant {
  const book = createBook();
  let seq = 0;
  return {
    name: "Hedgerow",
    play: (operations) => {
      const commands = operations.map(({ ours }) => ours);
      clearAway();
      const started = threadSeconds();
      for (const command of commands) apply(book, seq++, command);
      return threadSeconds() - started;
    },
    levels: () => {
      const { bids, asks } = depth(book);
      return levelText([...bids, ...asks].map(({ priceTicks, quantity }) => [priceTicks, quantity]));
    },
  };
}

function peerBook(): Contestant {
  const book: PeerBook = new OrderBook();
  return {
    name: "nodejs-order-book",
    play: (operations) => {
      const commands = operations.map(({ peers }) => peers);
      clearAway();
      const started = threadSeconds();
      for (const command of commands) {
        if (command.kind === "new") book.limit(command.order);
        else if (command.kind === "cancel") book.cancel(command.id);
        else book.modify(command.id, command.to);
      }
      return threadSeconds() - started;
    },
    levels: () => levelText(book.depth().flat()),
  };
}

function naiveBook(): Contestant {
  const book = new NaiveBook(OPEN_TERMS);
  let seq = 0;
  return {
    name: "naive book",
    play: (operations) => {
      const started = threadSeconds();
      for (const { ours } of operations) book.apply(seq++, ours);
      return threadSeconds() - started;
    },
    levels: () => {
      const levels = new Map<number, number>();
      for (const { priceTicks, total, filled } of book.orders) {
        levels.set(priceTicks, (levels.get(priceTicks) ?? 0) + total - filled);
      }
      return levelText([...levels]);
    },
  };
}

function levelText(levels: readonly (readonly [price: number, quantity: number])[]): string {
  return levels
    .toSorted(([a], [b]) => a - b)
    .map((level) => level.join(":"))
    .join(" ");
}

/** What a row asks for, in the words of each; the book, which tells what has traded before, goes on by it. */
function operationsOf(book: Book, row: FlowRow): readonly Operation[] {
  return flowCommands(book, row, row.orderId).map((ours) => {
    apply(book, book.lastSeq + 1, ours);
    return { ours, peers: peerCommand(ours, row) };
  });
}

function peerCommand(ours: Command, row: FlowRow): PeerCommand {
  const { orderId: id } = row;
  if (row.op === "CANCEL" || ours.kind === "cancel") return { kind: "cancel", id };
  const { side, price, size } = row;
  if (ours.kind === "replace") return { kind: "replace", id, to: { price, size } };
  return { kind: "new", order: { id, side, size, price, timeInForce: row.op === "NEW" ? row.timeInForce : "GTC" } };
}

/** A recording in one part, after its initial book. */
async function recordedWorkload(flow: string, initialBook: string | undefined): Promise<Workload> {
  const book = createBook();
  const first: Operation[] = [];
  if (initialBook !== undefined) {
    for await (const row of parseInitialBook(createReadStream(initialBook))) {
      const ours = bookCommand(row, row.orderId);
      apply(book, book.lastSeq + 1, ours);
      const { orderId: id, side, price, size } = row;
      first.push({ ours, peers: { kind: "new", order: { id, side, size, price, timeInForce: "GTC" } } });
    }
  }
  const rest: Operation[] = [];
  for await (const row of parseFlow(createReadStream(flow))) rest.push(...operationsOf(book, row));
  return [first, rest];
}

/** The random flow: the initial book, then that many operations. The same seed gives the same flow. */
function* randomWorkload(operations: number, resting = RESTING): Generator<readonly Operation[]> {
  const flow = new RandomFlow(SEED);
  const first: Operation[] = [];
  while (first.length < resting) first.push(...flow.place());
  yield first;
  for (let left = operations; left > 0; left -= PART) {
    const part: Operation[] = [];
    while (part.length < Math.min(PART, left)) part.push(...flow.next());
    yield part;
  }
}

/**
 * Orders as a market sees them: half are new near the touch, a third and more cancels, a tenth replacements, and one in
 * twenty takes what rests. It runs a book of its own, so that it cancels and replaces only what is there. Replacements
 * give their priority up, as all of the peer's do, so that the books stay the same.
 */
class RandomFlow {
  readonly #book = createBook();
  readonly #live: string[] = [];
  #state: number;
  #orders = 0;

  constructor(seed: number) {
    this.#state = seed;
  }

  next(): readonly Operation[] {
    const kind = this.#random();
    const count = this.#live.length;
    if (kind < 0.05) return this.#take();
    if (kind < 0.15) return this.#replace();
    // What trades and what is cancelled make up for what is new; the bounds hold it there.
    const isNew = count < 0.95 * RESTING || (kind < 0.65 && count < 1.05 * RESTING);
    return isNew ? this.place() : this.#run({ op: "CANCEL", ...this.#base(this.#pick(true)) });
  }

  /** A new order behind the touch, the more likely the nearer. */
  place(): readonly Operation[] {
    const side = this.#side();
    const orderId = this.#newId();
    this.#live.push(orderId);
    return this.#run({ op: "NEW", ...this.#base(orderId), ...this.#quote(side), timeInForce: "GTC" });
  }

  #take(): readonly Operation[] {
    const side = this.#side();
    const price = side === "buy" ? this.#ask() + 5 : this.#bid() - 5;
    const terms = { side, price, size: this.#upTo(50), timeInForce: "IOC" } as const;
    return this.#run({ op: "NEW", ...this.#base(this.#newId()), ...terms });
  }

  #replace(): readonly Operation[] {
    const orderId = this.#pick(false);
    const order = openOrder(this.#book, orderId);
    if (order === undefined) return this.place();
    const quote = this.#quote(order.side);
    const size = quote.price === order.priceTicks ? order.remaining + 1 : quote.size;
    return this.#run({ op: "MODIFY", ...this.#base(orderId), ...quote, size });
  }

  #quote(side: "buy" | "sell") {
    const distance = 1 + Math.floor(-20 * Math.log(1 - this.#random()));
    return { side, price: side === "buy" ? this.#ask() - distance : this.#bid() + distance, size: this.#upTo(20) };
  }

  /** An order that rests, and forgets those it finds to be filled. */
  #pick(takeOut: boolean): string {
    for (;;) {
      const at = Math.floor(this.#random() * this.#live.length);
      const orderId = this.#live[at];
      if (orderId === undefined) return "none";
      const isLive = openOrder(this.#book, orderId) !== undefined;
      if (isLive && !takeOut) return orderId;
      this.#live[at] = this.#live.at(-1) ?? orderId;
      this.#live.pop();
      if (isLive) return orderId;
    }
  }

  #run(row: FlowRow): readonly Operation[] {
    return operationsOf(this.#book, row);
  }

  #newId(): string {
    return `order-${this.#orders++}`;
  }

  #base(orderId: string) {
    return { line: 0, seq: 0, timeNs: 0n, orderId };
  }

  #bid(): number {
    return bestBid(this.#book)?.priceTicks ?? FIRST_PRICE;
  }

  #ask(): number {
    return bestAsk(this.#book)?.priceTicks ?? FIRST_PRICE + 1;
  }

  #side(): "buy" | "sell" {
    return this.#random() < 0.5 ? "buy" : "sell";
  }

  #upTo(most: number): number {
    return 1 + Math.floor(this.#random() * most);
  }

  /** Mulberry32: from 0 to just below 1. */
  #random(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let bits = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  }
}

/** How often a workload is run: first to warm up, then measured. The clock is coarse, so short ones count together. */
interface Runs {
  readonly warmUp: number;
  readonly measured: number;
  readonly together?: number;
}
const SHORT_RUNS: Runs = { warmUp: 5, measured: 7 };
const LONG_RUNS: Runs = { warmUp: 0, measured: 3 };
const PEER_RUNS: Runs = { warmUp: 1, measured: 3 };
const NAIVE_RUNS: Runs = { warmUp: 0, measured: 1 };
const RECORDED_RUNS: Runs = { warmUp: 40, measured: 70, together: 10 };

/** One run on a book of its own: what was timed, and what the book holds at the end. */
function run(contestant: Contestant, workload: Workload) {
  let seconds = 0;
  let operations = 0;
  let isTimed = false;
  for (const part of workload) {
    const took = contestant.play(part);
    if (isTimed) {
      seconds += took;
      operations += part.length;
    }
    isTimed = true;
  }
  return { seconds, operations, levels: contestant.levels() };
}

/** The median of the measured rates, in operations per second, and what the last book holds. */
function medianRate(create: () => Contestant, workload: () => Workload, runs: Runs, progress: Progress) {
  const { warmUp, measured, together = 1 } = runs;
  const results = Array.from({ length: warmUp + measured }, () => {
    const result = run(create(), workload());
    progress.step();
    return result;
  });
  const rates: number[] = [];
  for (let from = warmUp; from < results.length; from += together) {
    const group = results.slice(from, from + together);
    const seconds = group.reduce((sum, result) => sum + result.seconds, 0);
    rates.push(group.reduce((sum, result) => sum + result.operations, 0) / seconds);
  }
  rates.sort((a, b) => a - b);
  return { rate: Math.round(rates[Math.floor(rates.length / 2)] ?? 0), levels: results.at(-1)?.levels };
}

/** Operations per second of each on the same operations. */
interface Comparison {
  readonly operations: number;
  readonly opsPerSecond: number;
  readonly peerOpsPerSecond: number;
  readonly ratioToPeer: number;
}

interface Figures {
  readonly machine: string;
  readonly workload: string;
  /** The engine on random flows of these lengths. */
  readonly opsPerSecond: Readonly<Record<"100000" | "2000000", number>>;
  /** The rate of the long flow by that of the short one. */
  readonly longToShort: number;
  /** Both on the shorter random flow: the peer's cost grows with what it holds. */
  readonly peerOpsPerSecond: number;
  readonly ratioToPeer: number;
  readonly naiveOpsPerSecond: number;
  readonly naiveOperations: number;
  readonly recorded?: Comparison;
}

async function measure(flow: string | undefined, initialBook: string | undefined): Promise<Figures> {
  const recording = flow === undefined ? undefined : await recordedWorkload(flow, initialBook);
  const all = [SHORT_RUNS, PEER_RUNS, NAIVE_RUNS, NAIVE_RUNS, LONG_RUNS];
  if (recording !== undefined) all.push(RECORDED_RUNS, RECORDED_RUNS);
  const progress = new Progress(
    "runs",
    all.reduce((sum, { warmUp, measured }) => sum + warmUp + measured, 0),
  );
  const short = (): Workload => randomWorkload(SHORT);
  const ours = medianRate(ourEngine, short, SHORT_RUNS, progress);
  const peer = medianRate(peerBook, short, PEER_RUNS, progress);
  if (peer.levels !== ours.levels) throw new BooksDiffer("nodejs-order-book", SHORT);
  const few = (): Workload => randomWorkload(NAIVE);
  const naive = medianRate(naiveBook, few, NAIVE_RUNS, progress);
  const likewise = medianRate(ourEngine, few, NAIVE_RUNS, progress);
  if (naive.levels !== likewise.levels) throw new BooksDiffer("the naive book", NAIVE);
  const long = medianRate(ourEngine, () => randomWorkload(LONG), LONG_RUNS, progress);
  const recorded = recording === undefined ? undefined : compareOn(recording, progress);
  progress.end();

  return {
    machine: `${cpus().length} x ${cpus()[0]?.model ?? process.arch}, Node ${process.versions.node}`,
    workload: `random, seed ${SEED}, about ${grouped(RESTING)} orders resting`,
    opsPerSecond: { "100000": ours.rate, "2000000": long.rate },
    longToShort: long.rate / ours.rate,
    peerOpsPerSecond: peer.rate,
    ratioToPeer: ours.rate / peer.rate,
    naiveOpsPerSecond: naive.rate,
    naiveOperations: NAIVE,
    ...(recorded === undefined ? {} : { recorded }),
  };
}

/** The peer's replacements never keep their priority, so its book of a recording is another, though near enough. */
function compareOn(workload: Workload, progress: Progress): Comparison {
  const ours = medianRate(ourEngine, () => workload, RECORDED_RUNS, progress);
  const peer = medianRate(peerBook, () => workload, RECORDED_RUNS, progress);
  const operations = [...workload].slice(1).reduce((sum, part) => sum + part.length, 0);
  return { operations, opsPerSecond: ours.rate, peerOpsPerSecond: peer.rate, ratioToPeer: ours.rate / peer.rate };
}

/** Prints the figures beside their aims. */
function report({ machine, opsPerSecond, longToShort, recorded, ...rest }: Figures): void {
  console.log(`${machine}
The engine alone in one thread; operations per second of the thread's time,
medians of ${SHORT_RUNS.measured} runs (long flow and peer: ${LONG_RUNS.measured}; recording: 7 of 10) after others to warm up.
Random flow: ${grouped(RESTING)} orders rest at the start and about as many stay; 85 %
new orders near the touch and cancels, 10 % replacements, 5 % take what rests.
The peer is nodejs-order-book. It and the naive book of the tests get the same
operations, and end with the same book.
`);
  const ratio = (value: number): string => value.toFixed(value < 10 ? 2 : 1);
  const row = (what: string, figure: string, aim?: [text: string, isMet: boolean]): string[] => [
    what,
    figure,
    aim?.[0] ?? "",
    aim === undefined ? "" : aim[1] ? "met" : "missed",
  ];
  const ratioAim = (value: number): [string, boolean] => ["10", value >= 10];
  const rows = [
    row("100,000 operations, op/s", grouped(opsPerSecond["100000"])),
    row("2,000,000 operations, op/s", grouped(opsPerSecond["2000000"])),
    row("the longer by the shorter", ratio(longToShort), ["0.80", longToShort >= 0.8]),
    row("peer, 100,000 operations, op/s", grouped(rest.peerOpsPerSecond)),
    row("ratio to the peer", ratio(rest.ratioToPeer), ratioAim(rest.ratioToPeer)),
    row(`naive book, ${NAIVE} operations, op/s`, grouped(rest.naiveOpsPerSecond)),
  ];
  if (recorded !== undefined) {
    const { operations, ratioToPeer } = recorded;
    rows.push(
      row(`recording, ${grouped(operations)} operations, op/s`, grouped(recorded.opsPerSecond)),
      row("peer on the recording, op/s", grouped(recorded.peerOpsPerSecond)),
      row("ratio to the peer on the recording", ratio(ratioToPeer), ratioAim(ratioToPeer)),
    );
  }
  console.log(
    table([{ title: "" }, { title: "figure", right: true }, { title: "aim", right: true }, { title: "" }], rows),
  );
}

function plotOf({ machine, opsPerSecond, peerOpsPerSecond, naiveOpsPerSecond, recorded }: Figures): string {
  const bars = [
    { name: "Hedgerow, 100,000 operations", value: opsPerSecond["100000"] },
    { name: "Hedgerow, 2,000,000 operations", value: opsPerSecond["2000000"] },
    { name: "nodejs-order-book, 100,000", value: peerOpsPerSecond },
    { name: `naive book, ${NAIVE}`, value: naiveOpsPerSecond },
  ];
  if (recorded !== undefined) {
    bars.push(
      { name: "Hedgerow, recording", value: recorded.opsPerSecond },
      { name: "nodejs-order-book, recording", value: recorded.peerOpsPerSecond },
    );
  }
  const y = { label: "operations per second (logarithmic)", scale: "log" } as const;
  return barPlot({ title: "Matching, one thread", note: `${machine}; ${grouped(RESTING)} resting orders`, y, bars });
}

const usage = "npm run bench:match -- [--json FILE] [--plot FILE] [--flow FILE [--book FILE]]";
const text = { type: "string" } as const;
const { values } = argumentsOf({ json: text, plot: text, flow: text, book: text }, usage);
if (values.book !== undefined && values.flow === undefined) {
  console.error(`--book is the beginning of a --flow\n\n${usage}`);
  process.exit(2);
}
const figures = await measure(values.flow, values.book);
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(figures, undefined, 2)}\n`);
if (values.plot !== undefined) writeFileSync(values.plot, plotOf(figures));
report(figures);
