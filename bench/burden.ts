/**
 * Measures what a day costs a trader's own machine: `npm run bench:burden -- --json FILE --svg FILE`. Traders of a
 * simulation in their classes, each as if alone: CPU and bytes to and from chain and exchange. A missed aim is shown, and
 * is no failure.
 */
import { toBinary } from "@bufbuild/protobuf";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { encodeFunctionData, size } from "viem";
import { OrderSchema, TransitionSchema } from "../src/api/gen/hedgerow/exchange/v1/exchange_pb.ts";
import { orderMessageOf } from "../src/api/codecOrders.ts";
import { transitionMessageOf } from "../src/api/codecTransition.ts";
import { ChainState } from "../src/chain/chainState.ts";
import { connect, transitionMessage } from "../src/chain/clearingHouse.ts";
import { LOCAL_CHAIN_ID } from "../src/chain/deploy.ts";
import { argumentsOf, grouped, Progress, table } from "../src/cli/terminal.ts";
import { clearingHouseAbi } from "../src/protocol/abi.ts";
import { createProver, type Prover } from "../src/prover/prover.ts";
import { parseSettlements } from "../src/simulation/series.ts";
import { simulate } from "../src/simulation/simulate.ts";
import { classOf, MAKERS, type TraderClass } from "../src/simulation/traders.ts";
import { cpuSeconds, type Meter, type World } from "../src/simulation/world.ts";
import { PLAIN, witnessOf } from "../test/support/transitions.ts";
import { barPlot } from "./plot.ts";

const DAYS = 4;
const CROWDS = [100, 500];
const PROOFS = 5;
/** CPU seconds of a day. */
const AIM: Readonly<Record<string, number>> = { retail: 2, asleep: 0 };
const CLASSES = ["active", "retail", "asleep"] as const;

/** What all traders of a class did on all days. */
type Burden = { proofs: number; orders: number; ownCpu: number; bytesSent: number };

/** Of one trader on one day. */
type Figure = {
  readonly traders: number;
  readonly kind: (typeof CLASSES)[number];
  readonly proofs: number;
  readonly orders: number;
  readonly cpuSeconds: number;
  readonly ofThatProofs: number;
  readonly ofThatChain: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
};

const { values } = argumentsOf(
  { json: { type: "string" }, svg: { type: "string" } },
  "npm run bench:burden -- [--json FILE] [--svg FILE]",
);
const machine = `${cpus().length} x ${cpus()[0]?.model ?? process.arch}, Node ${process.versions.node}`;
const workload = `${DAYS} days, one market, 2 in 10 active, 5 retail, 3 asleep; retail reads the chain once a day, active after each step`;

const prover = await createProver();
const proofCpu = await measureProof(prover).finally(() => prover.close());
const figures: Figure[] = [];
for (const traders of CROWDS) figures.push(...(await measureCrowd(traders, proofCpu)));
report();

/** CPU seconds of one proof, all threads together, once the prover is warm. */
async function measureProof(warm: Prover): Promise<number> {
  await warm.prove(witnessOf(PLAIN));
  const before = process.cpuUsage();
  for (let i = 0; i < PROOFS; i++) await warm.prove(witnessOf(PLAIN));
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000_000 / PROOFS;
}

async function measureCrowd(traders: number, cpuOfProof: number): Promise<readonly Figure[]> {
  const progress = new Progress(`${traders} traders`, DAYS);
  const burdens = new Map<string, Burden>(CLASSES.map((kind) => [kind, emptyBurden()]));
  const of = (kind: TraderClass): Burden | undefined => burdens.get(kind);
  let counting = false;
  const watchers: Watcher[] = [];
  const meter: Meter = {
    started: async (world) => {
      for (const kind of ["active", "retail"] as const) watchers.push(await watcherOf(world, kind));
    },
    stepOver: async () => {
      for (const watcher of watchers) if (watcher.kind === "active") await watcher.look(counting);
    },
    dayOver: async () => {
      for (const watcher of watchers) await watcher.look(counting);
      // What the first day has besides, seats, deposits and first positions, is not a usual day's.
      counting = true;
      progress.step();
    },
    made: (trader, way, transition, cpu) => {
      const burden = counting ? of(trader.kind) : undefined;
      if (burden === undefined) return;
      burden.ownCpu += cpu;
      if (transition === undefined) return;
      burden.proofs += 1;
      const relayed = toBinary(TransitionSchema, transitionMessageOf(transition)).length;
      const args = [[transitionMessage(transition)], [transition.proof]] as const;
      const direct = encodeFunctionData({ abi: clearingHouseAbi, functionName: "submitTransitions", args });
      burden.bytesSent += way === "relayed" ? relayed : size(direct);
    },
    ordered: (trader, order, cpu) => {
      const burden = counting ? of(trader.kind) : undefined;
      if (burden === undefined) return;
      burden.orders += 1;
      burden.ownCpu += cpu;
      burden.bytesSent += toBinary(OrderSchema, orderMessageOf(order)).length;
    },
    followed: (trader, cpu) => {
      const burden = counting ? of(trader.kind) : undefined;
      if (burden !== undefined) burden.ownCpu += cpu;
    },
  };
  await simulate(
    { series: madeUpSeries(DAYS), rules: { multiplier: 1_000n }, traders, seed: 1, days: DAYS, unproven: true },
    { meter },
  );
  progress.end();
  const days = DAYS - 1;
  return CLASSES.map((kind): Figure => {
    const burden = burdens.get(kind) ?? emptyBurden();
    const members = Array.from({ length: traders }, (_, i) => classOf(i, MAKERS)).filter(
      (each) => each === kind,
    ).length;
    const perDay = (sum: number): number => sum / (members * days);
    const watcher = watchers.find((each) => each.kind === kind);
    const ofThatChain = (watcher?.cpu ?? 0) / days;
    const ofThatProofs = perDay(burden.proofs) * cpuOfProof;
    return {
      traders,
      kind,
      proofs: perDay(burden.proofs),
      orders: perDay(burden.orders),
      cpuSeconds: ofThatProofs + ofThatChain + perDay(burden.ownCpu),
      ofThatProofs,
      ofThatChain,
      bytesSent: Math.round(perDay(burden.bytesSent)) + Math.round((watcher?.sent ?? 0) / days),
      bytesReceived: Math.round((watcher?.received ?? 0) / days),
    };
  });
}

/** Follows the chain as a wallet of its own, and counts what that takes. */
type Watcher = {
  readonly kind: "active" | "retail";
  cpu: number;
  sent: number;
  received: number;
  readonly look: (counting: boolean) => Promise<void>;
};

async function watcherOf({ exchange }: World, kind: Watcher["kind"]): Promise<Watcher> {
  let [sent, received] = [0, 0];
  const counted: typeof fetch = async (input, init) => {
    if (typeof init?.body === "string") sent += init.body.length;
    const answer = await fetch(input, init);
    const text = await answer.text();
    received += text.length;
    return new Response(text, { status: answer.status, headers: answer.headers });
  };
  const chain = await connect(exchange.url, exchange.chain.address, LOCAL_CHAIN_ID, { fetch: counted });
  const state = await ChainState.follow(chain);
  const watcher: Watcher = {
    kind,
    cpu: 0,
    sent: 0,
    received: 0,
    look: async (counting) => {
      const before = { cpu: cpuSeconds(), sent, received };
      await state.sync();
      if (!counting) return;
      watcher.cpu += cpuSeconds() - before.cpu;
      watcher.sent += sent - before.sent;
      watcher.received += received - before.received;
    },
  };
  return watcher;
}

function emptyBurden(): Burden {
  return { proofs: 0, orders: 0, ownCpu: 0, bytesSent: 0 };
}

/** Prices that go up and down by a percent or two. */
function madeUpSeries(days: number) {
  const rows = Array.from({ length: days }, (_, day) => {
    const price = (50 + 0.7 * Math.sin(2 * day)).toFixed(2);
    return `2030-01-${String(day + 1).padStart(2, "0")},MADE UP,${price}`;
  });
  return parseSettlements(["date,symbol,settle", ...rows].join("\n"), "made-up series");
}

function report(): void {
  const rows = figures.map((figure) => {
    const aim = AIM[figure.kind];
    const missed = aim !== undefined && figure.cpuSeconds > aim;
    return [
      String(figure.traders),
      figure.kind,
      figure.proofs.toFixed(2),
      figure.cpuSeconds.toFixed(2),
      figure.ofThatProofs.toFixed(2),
      figure.ofThatChain.toFixed(2),
      grouped(figure.bytesSent),
      grouped(figure.bytesReceived),
      aim === undefined ? "" : `${aim} s${missed ? " missed" : ""}`,
    ];
  });
  const columns = ["traders", "class", "proofs", "CPU s", "proving", "chain", "bytes out", "bytes in", "aim"];
  console.log(`${machine}\n${workload}\none proof: ${proofCpu.toFixed(2)} s of CPU\n`);
  console.log(
    table(
      columns.map((title, i) => ({ title, right: i !== 1 && i !== 8 })),
      rows,
    ),
  );
  const result = { machine, workload, proofCpuSeconds: proofCpu, perTraderAndDay: figures };
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(result, undefined, 2)}\n`);
  if (values.svg === undefined) return;
  const plot = barPlot({
    title: "CPU seconds that a day costs a trader",
    note: machine,
    y: { label: "CPU seconds a day" },
    bars: figures.map(({ traders, kind, cpuSeconds: value }) => ({ name: `${kind}, ${traders}`, value })),
  });
  writeFileSync(values.svg, plot);
}
