/**
 * Measures proofs and gas on a local chain with the rules of the main one: `npm run bench -- --json FILE`.
 * A missed aim is shown, and is no failure; a contract too large for the chain is one.
 */
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { argumentsOf, grouped, Progress, table } from "../src/cli/terminal.ts";
import { createProver, type Prover } from "../src/prover/prover.ts";
import { startExchange } from "../test/support/exchange.ts";
import {
  deployedContracts,
  LARGEST_CONTRACT,
  openAccounts,
  openNaively,
  post,
  postFills,
  proveOpenings,
  SEATS,
} from "./workload.ts";
import pins from "../circuits/pins.json" with { type: "json" };

type Figures = {
  readonly machine: string;
  readonly constraints: number;
  readonly proofMs: { readonly p50: number; readonly p95: number };
  readonly gas: {
    readonly transition: Readonly<Record<"1" | "8" | "32", number>>;
    readonly naiveTransition: number;
    readonly fill: number;
    readonly sweptFill: number;
  };
};

/** Proofs that the workload below asks for: fundings, openings one by one, and five openings of eight tickets. */
const PROOFS = SEATS + 1 + 1 + 8 + SEATS + 5;

/** Runs the whole workload. */
async function measure(): Promise<Figures> {
  const prover = await createProver();
  const exchange = await startExchange();
  const progress = new Progress("proofs", PROOFS);
  const proofMs: number[] = [];
  const timed: Pick<Prover, "prove"> = {
    prove: async (witness) => {
      const started = performance.now();
      const proven = await prover.prove(witness);
      proofMs.push(performance.now() - started);
      progress.step();
      return proven;
    },
  };
  try {
    const bench = await openAccounts(exchange, timed);
    const { accounts } = bench;

    // The first opening pays for storage that all later ones find in use.
    const warmUp = await proveOpenings(accounts.slice(0, 1), 1);
    await post(bench, warmUp.transitions);
    const single = await proveOpenings(accounts.slice(0, 1), 1);
    const gas1 = (await post(bench, single.transitions)).gasUsed;
    const eight = await proveOpenings(accounts.slice(0, 8), 1);
    const naive = await openNaively(bench, exchange.operator, eight.transitions);
    const gas8 = (await post(bench, eight.transitions)).gasUsed / 8n;
    const all = await proveOpenings(accounts, 1);
    const gas32 = (await post(bench, all.transitions)).gasUsed / BigInt(SEATS);
    const more = await proveOpenings(accounts.slice(0, 5), 8);
    await post(bench, more.transitions);
    progress.end();

    const pairUp = (makers: typeof all.desks, takers: typeof all.desks) =>
      makers.flatMap((maker, i) => (takers[i] === undefined ? [] : [{ maker, taker: takers[i] }]));
    await postFills(bench, pairUp(warmUp.desks, single.desks));
    const empty = (await postFills(bench, [])).gasUsed;
    const fresh = (await postFills(bench, pairUp(all.desks, more.desks))).gasUsed;
    const sweep = pairUp(eight.desks, Array<(typeof all.desks)[number]>(8).fill(more.desks.at(-1) ?? fail()));
    const swept = (await postFills(bench, sweep)).gasUsed;

    const sorted = proofMs.sort((a, b) => a - b);
    const quantile = (part: number): number => Math.round(sorted[Math.floor(part * (sorted.length - 1))] ?? 0);
    // As above: the first two pay for storage that is used for the first time.
    const steady = naive.slice(2);
    return {
      machine: `${cpus().length} x ${cpus()[0]?.model ?? process.arch}, Node ${process.versions.node}`,
      constraints: pins.constraints,
      proofMs: { p50: quantile(0.5), p95: quantile(0.95) },
      gas: {
        transition: { "1": Number(gas1), "8": Number(gas8), "32": Number(gas32) },
        naiveTransition: Number(steady.reduce((sum, gas) => sum + gas, 0n) / BigInt(steady.length)),
        fill: Number((fresh - empty) / BigInt(SEATS)),
        sweptFill: Number((swept - empty) / BigInt(sweep.length)),
      },
    };
  } finally {
    await exchange.stop();
    await prover.close();
  }
}

function fail(): never {
  throw new Error("the workload opened no tickets");
}

/** Prints the figures beside their aims. */
function report({ machine, constraints, proofMs, gas }: Figures): void {
  const [largest] = deployedContracts();
  const aims: readonly (readonly [what: string, figure: number, aim: number | undefined])[] = [
    ["circuit, constraints", constraints, 8_192],
    ["proof, p50 in ms", proofMs.p50, 700],
    ["proof, p95 in ms", proofMs.p95, undefined],
    ["opening in a batch of 1, gas", gas.transition["1"], undefined],
    ["opening in a batch of 8, gas", gas.transition["8"], undefined],
    ["opening in a batch of 32, gas", gas.transition["32"], Math.min(190_000, Math.floor(gas.naiveTransition / 4))],
    ["naive opening, gas", gas.naiveTransition, undefined],
    ["fill, fresh orders on fresh tickets, gas", gas.fill, 60_000],
    ["fill, one taker against 8 makers, gas", gas.sweptFill, 60_000],
    [`largest contract (${largest?.name ?? ""}), bytes`, largest?.size ?? 0, LARGEST_CONTRACT],
  ];
  const met = (figure: number, aim: number | undefined): boolean => aim === undefined || figure <= aim;
  const rows = aims.map(([what, figure, aim]) => [
    what,
    grouped(figure),
    aim === undefined ? "" : grouped(aim),
    aim === undefined ? "" : met(figure, aim) ? "met" : "missed",
  ]);
  console.log(`${machine}
A local chain with mainnet's rules, real proofs. An opening: one transaction
with n openTicket transitions of n seats, relayed, divided by n; aim: 190,000
and a quarter of the naive one. A fill: a batch of them less an empty batch,
divided by their number; each order and ticket trades for the first time, in
the second row but for the taker's.
`);
  console.log(
    table([{ title: "" }, { title: "figure", right: true }, { title: "aim", right: true }, { title: "" }], rows),
  );
}

const { values } = argumentsOf({ json: { type: "string" } }, "npm run bench -- [--json FILE]");
const figures = await measure();
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(figures, undefined, 2)}\n`);
report(figures);
