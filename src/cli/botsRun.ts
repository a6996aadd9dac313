import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type CrowdConfig, parseCrowdConfig } from "../trader/bots/config.ts";
import { type Crowd, type CrowdSummary, startCrowd } from "../trader/bots/crowd.ts";
import type { BotReport } from "../trader/bots/runner.ts";
import { lazyProver } from "../trader/desk/lazyProver.ts";
import { homeDirectory } from "../trader/home.ts";
import { LOCAL_CHAIN_ID } from "../chain/deploy.ts";
import type { BotsOptions } from "./bots.ts";
import { awaitEnding } from "./ending.ts";
import { askPassword } from "./prompt.ts";
import { openNetwork } from "./session.ts";
import { dollars, grouped, table } from "./terminal.ts";

const DRAW_MS = 1_000;
/** Where nobody looks on, a picture every now and then is enough. Milliseconds. */
const LOG_MS = 15_000;
/** How long bots may take to bring their tickets back at the end. Milliseconds. */
const CLOSING_MS = 60_000;

/** Runs a crowd until its time is over or it is told to end. */
export async function runBots(options: BotsOptions): Promise<void> {
  const ending = awaitEnding();
  const prover = lazyProver();
  const json = options.json === true;
  const say = (text: string): void => {
    if (!json) process.stderr.write(`${text}\n`);
  };
  let code = 0;
  try {
    const config = configOf(options);
    const network = await openNetwork(options);
    const isOpen = network.chainId !== LOCAL_CHAIN_ID || options.passwordFile !== undefined;
    const password = isOpen ? await askPassword("Password of the bots' wallets", options) : undefined;
    prover.warm();
    const parts = { network, config, home: homeDirectory(options.home), password, prover, onProgress: say };
    const crowd = await startCrowd({ ...parts, signal: ending.signal });
    const failed = await watch(crowd, config, network.decimals, json, ending.signal);
    code = failed ? 1 : ending.signal.aborted ? await ending.code : 0;
    say("\nCancelling quotes and closing tickets; Ctrl-C again leaves them open.");
    const summary = await endOf(crowd);
    if (json) console.log(JSON.stringify({ summary }, plain));
    else console.log(summaryText(summary, network.decimals));
  } catch (error) {
    // Whatever fails once it is told to end, fails because of it.
    if (!ending.signal.aborted) throw error;
    code = await ending.code;
  } finally {
    await prover.close();
    ending.close();
  }
  if (code !== 0) process.exitCode = code;
}

function configOf({ config: file, seed, duration }: BotsOptions): CrowdConfig {
  const config = parseCrowdConfig(readFileSync(file, "utf8"));
  return {
    ...config,
    ...(seed !== undefined && { seed }),
    ...(duration !== undefined && { durationSeconds: duration }),
  };
}

/** Shows how the bots do until their time is over, somebody ends them, or all have failed: then it is true. */
async function watch(
  crowd: Crowd,
  { durationSeconds = Infinity }: CrowdConfig,
  decimals: number,
  json: boolean,
  signal: AbortSignal,
): Promise<boolean> {
  const isLive = !json && process.stdout.isTTY;
  let height = 0;
  while (!signal.aborted && crowd.seconds() < durationSeconds) {
    const reports = crowd.reports();
    if (reports.every(({ state }) => state === "failed")) return true;
    if (json) {
      console.log(JSON.stringify({ seconds: Math.round(crowd.seconds()), bots: reports }, plain));
    } else {
      const room = isLive ? process.stdout.rows - 4 : Infinity;
      const picture = pictureOf(reports, crowd.seconds(), decimals, room);
      const back = isLive && height > 0 ? `\u001b[${height}A\u001b[J` : "";
      process.stdout.write(`${back}${picture}\n`);
      height = picture.split("\n").length;
    }
    const pause = json || isLive ? DRAW_MS : LOG_MS;
    const left = (durationSeconds - crowd.seconds()) * 1_000;
    await sleep(Math.max(0, Math.min(pause, left)), undefined, { signal }).catch(() => undefined);
  }
  return false;
}

/** Closes what is open; a second Ctrl-C, or too long a wait, cuts it short. */
async function endOf(crowd: Crowd): Promise<CrowdSummary> {
  const hurry = new AbortController();
  const cut = (): void => hurry.abort();
  const timer = setTimeout(cut, CLOSING_MS);
  process.on("SIGINT", cut).on("SIGTERM", cut);
  try {
    return await crowd.stop(hurry.signal);
  } finally {
    clearTimeout(timer);
    process.off("SIGINT", cut).off("SIGTERM", cut);
  }
}

const COLUMNS = [
  { title: "Bot" },
  { title: "State" },
  { title: "Quotes", right: true },
  { title: "Orders", right: true },
  { title: "Fills", right: true },
  { title: "Position", right: true },
  { title: "Profit", right: true },
];

/** The table of a crowd, within 80 columns and `room` lines. */
export function pictureOf(reports: readonly BotReport[], seconds: number, decimals: number, room: number): string {
  const shown = reports.slice(0, Math.max(1, room - 4));
  const rows = shown.map((report) => [
    report.name.slice(0, 20),
    report.state,
    String(report.quotes),
    grouped(report.commands),
    grouped(report.fills),
    String(report.position),
    dollars(report.profit, decimals),
  ]);
  const hidden = reports.length - shown.length;
  const commands = reports.reduce((sum, report) => sum + report.commands, 0);
  const problem = reports.findLast((report) => report.problem !== undefined && report.state !== "trading");
  const lines = [
    table(COLUMNS, rows),
    ...(hidden > 0 ? [`and ${hidden} more`] : []),
    `${Math.round(seconds)} s, ${(commands / Math.max(seconds, 1)).toFixed(1)} orders/s`,
    ...(problem === undefined ? [] : [`${problem.name}: ${problem.problem ?? ""}`]),
  ];
  return lines
    .flatMap((line) => line.split("\n"))
    .map((line) => line.slice(0, 80))
    .join("\n");
}

/** What a crowd has done, for people. */
function summaryText(summary: CrowdSummary, decimals: number): string {
  const rows = summary.bots.map(({ name, strategy, commands, contracts, position, profit, fees }) => [
    name.slice(0, 16),
    strategy,
    grouped(commands),
    grouped(contracts),
    String(position),
    dollars(profit, decimals),
    feesText(fees, decimals),
  ]);
  const columns = [
    { title: "Bot" },
    { title: "Strategy" },
    { title: "Orders", right: true },
    { title: "Traded", right: true },
    { title: "Position", right: true },
    { title: "Profit", right: true },
    { title: "Fees", right: true },
  ];
  const refusals = Object.entries(summary.refusals).sort(([, a], [, b]) => b - a);
  return [
    "",
    table(columns, rows),
    "",
    `${grouped(summary.commands)} orders in ${Math.round(summary.seconds)} s: ${summary.commandsPerSecond.toFixed(1)} a second; ` +
      `${grouped(summary.fills)} fills`,
    `Profit of all ${dollars(summary.profit, decimals)}; fees paid ${feesText(summary.fees, decimals)}`,
    ...(summary.openTickets > 0
      ? [`${summary.openTickets} tickets are still open: start the bots again to close them`]
      : []),
    ...(refusals.length === 0 ? [] : ["Refused:", ...refusals.map(([code, count]) => `  ${grouped(count)} ${code}`)]),
    ...summary.bots
      .filter(({ state }) => state === "failed")
      .map(({ name, problem }) => `${name} failed: ${problem ?? ""}`),
  ].join("\n");
}

/** A node that is away cannot say what it took. */
function feesText(fees: bigint | undefined, decimals: number): string {
  return fees === undefined ? "unknown" : dollars(fees, decimals);
}

/** Whole numbers of any size as text, and what is not known as null. */
function plain(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : (value ?? null);
}
