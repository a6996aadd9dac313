import { readFileSync } from "node:fs";
import { DOLLAR } from "../clearing/leanHogs.ts";
import { parseMargins, parseSettlements } from "../simulation/series.ts";
import {
  type MarketDay,
  simulate,
  type SimulatedDay,
  type SimulationResult,
  type SimulationSettings,
  WHOLE,
} from "../simulation/simulate.ts";
import { FileUnreadable, reasonOf } from "../trader/files.ts";
import { untilInterrupted } from "./interrupt.ts";
import { assertWritable, writeResult } from "./resultFile.ts";
import type { SimulateOptions } from "./simulate.ts";
import { type Column, dollars, grouped, table } from "./terminal.ts";

/** hedgerow simulate */
export async function runSimulate(options: SimulateOptions): Promise<void> {
  const settings = settingsOf(options);
  if (options.json !== undefined) assertWritable(options.json);
  const started = performance.now();
  const show = showDays();
  const result = await untilInterrupted(async (signal) => {
    try {
      return await simulate(settings, { signal, onDay: show.day, onStep: show.step });
    } finally {
      show.end();
    }
  });
  const seconds = (performance.now() - started) / 1_000;
  if (options.json !== undefined) writeResult(options.json, `${JSON.stringify(jsonOf(result, options, seconds))}\n`);
  console.log(resultText(result, options, seconds));
  if (!result.conserved) process.exitCode = 1;
}

function settingsOf(options: SimulateOptions): SimulationSettings {
  const { settlements, margins, maintenance, abandon, bidders, stake, fund } = options;
  return {
    series: parseSettlements(readText(settlements), settlements, options.symbol),
    rules: {
      multiplier: BigInt(options.multiplier),
      ...(maintenance !== undefined && { maintenance: BigInt(maintenance) }),
      ...(margins !== undefined && { margins: parseMargins(readText(margins), margins) }),
    },
    traders: options.traders,
    seed: options.seed,
    days: options.days,
    unproven: options.unproven === true,
    stress: {
      abandon,
      bidders,
      ...(stake !== undefined && { stake: BigInt(stake) * DOLLAR }),
      ...(fund !== undefined && { fund: BigInt(fund) * DOLLAR }),
    },
  };
}

// ------------------------------------------------------------------ progress

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new FileUnreadable(file, reasonOf(error));
  }
}

/** On standard error: one line that changes at a terminal, a line a day elsewhere. */
function showDays(stream: NodeJS.WriteStream = process.stderr) {
  const write = (line: string): void => {
    stream.write(stream.isTTY ? `\r\u001b[2K${line.slice(0, stream.columns - 1)}` : `${line}\n`);
  };
  return {
    step: (what: string) => write(`${what} ...`),
    day: ({ day, date = "", calls, met, defaults, seconds }: SimulatedDay, of: number) => {
      const counts = `${calls} calls, ${met} met, ${defaults} defaults`;
      const which = day < of ? `day ${day + 1} of ${of} (${date})` : `day ${day + 1}, after the file's end`;
      write(`${which}: ${counts}, ${seconds.toFixed(1)} s`);
    },
    end: () => {
      if (stream.isTTY) stream.write("\r\u001b[2K");
    },
  };
}

// ------------------------------------------------------------------ result

/** The object of `--json`: counts as numbers, amounts in base units as text. */
function jsonOf(result: SimulationResult, options: SimulateOptions, seconds: number) {
  return {
    days: result.days,
    marginCalls: result.marginCalls,
    callsMet: result.callsMet,
    defaults: result.defaults,
    fundUsed: String(result.fundUsed),
    tearUps: result.tearUps,
    payoutRatio: Number(result.payoutRatio) / Number(WHOLE),
    tokensLost: String(result.tokensLost),
    conserved: result.conserved,
    ...(result.fault !== undefined && { fault: result.fault }),
    defaultersPaid: String(result.defaultersPaid),
    stakeUsed: String(result.stakeUsed),
    contractsAuctioned: result.auctioned,
    ticketsAbandoned: total(result, "abandoned"),
    rejoined: total(result, "rejoined"),
    bondsForfeited: total(result, "bondsForfeited"),
    sleepersWoken: total(result, "woken"),
    withdrawals: total(result, "withdrawals"),
    withdrawn: String(result.perDay.reduce((sum, { withdrawn }) => sum + withdrawn, 0n)),
    checks: result.checks,
    seconds: Math.round(seconds * 10) / 10,
    settings: { ...options, unproven: options.unproven === true },
    perDay: result.perDay.map(({ markets, ...day }) => ({
      ...amountsAsText(day),
      payoutRatio: Number(day.payoutRatio) / Number(WHOLE),
      seconds: Math.round(day.seconds * 10) / 10,
      markets: markets.map(amountsAsText),
    })),
  };
}

function amountsAsText(row: object): Record<string, unknown> {
  const entries = Object.entries(row).map(([name, value]: [string, unknown]): [string, unknown] => [
    name,
    typeof value === "bigint" ? String(value) : value,
  ]);
  return Object.fromEntries(entries);
}

type Counted = "rejoined" | "abandoned" | "bondsForfeited" | "woken" | "withdrawals";

function total({ perDay }: SimulationResult, counted: Counted): number {
  return perDay.reduce((sum, day) => sum + day[counted], 0);
}

const COLUMNS: readonly Column[] = [
  { title: "Date" },
  { title: "Market" },
  { title: "Recorded", right: true },
  { title: "Settled", right: true },
  { title: "" },
  { title: "Calls", right: true },
  { title: "Met", right: true },
  { title: "Defaults", right: true },
];
/** Longer tables are told by their days on which something happened. */
const MOST_ROWS = 40;

function resultText(result: SimulationResult, options: SimulateOptions, seconds: number): string {
  const all = result.perDay.length;
  const eventful = result.perDay.filter(isEventful);
  const shown = all <= MOST_ROWS ? result.perDay : eventful.slice(0, MOST_ROWS);
  const heading =
    all <= MOST_ROWS
      ? []
      : [`${shown.length} of ${eventful.length} days with a lock, a call, a default or an end of a contract:`];
  const totals: readonly (readonly [string, string])[] = [
    ["Days", grouped(result.days)],
    ["Traders", grouped(options.traders)],
    ["Margin calls", grouped(result.marginCalls)],
    ["Calls met", grouped(result.callsMet)],
    ["Defaults", grouped(result.defaults)],
    ["Rejoined", grouped(total(result, "rejoined"))],
    ["Bonds lost", grouped(total(result, "bondsForfeited"))],
    ["Withdrawals", grouped(total(result, "withdrawals"))],
    ["Sleepers woke", grouped(total(result, "woken"))],
    ["Tickets left", grouped(total(result, "abandoned"))],
    ["Auctioned", grouped(result.auctioned)],
    ["Stake used", dollars(result.stakeUsed)],
    ["Fund used", dollars(result.fundUsed)],
    ["Tear-ups", grouped(result.tearUps)],
    ["Payout ratio", lowest(result)],
    ["Tokens lost", dollars(result.tokensLost)],
    ["Conserved", result.conserved ? `yes, in ${grouped(result.checks)} checks` : `NO: ${result.fault ?? ""}`],
    ["Proofs", options.unproven === true ? "none (--unproven)" : "every transition"],
    ["Seconds", seconds.toFixed(1)],
  ];
  return [
    ...heading,
    ...(shown.length > 0 ? [table(COLUMNS, shown.flatMap(rowsOf)), ""] : []),
    ...waterfallText(result),
    ...totals.map(([name, value]) => `${name.padEnd(14)}${value}`),
  ].join("\n");
}

const WATERFALL: readonly Column[] = [
  { title: "Date" },
  { title: "Stake used", right: true },
  { title: "Fund used", right: true },
  { title: "Torn up", right: true },
  { title: "Payout ratio", right: true },
];

/** Days on which a layer of the waterfall paid, a market was torn up, or the payout ratio became another. */
function waterfallText({ perDay }: SimulationResult): readonly string[] {
  const days = perDay.filter(({ stakeUsed, fundUsed, tearUps, payoutRatio }, i) => {
    const before = perDay[i - 1]?.payoutRatio ?? WHOLE;
    return stakeUsed + fundUsed > 0n || tearUps > 0 || payoutRatio !== before;
  });
  if (days.length === 0) return [];
  const rows = days.slice(0, MOST_ROWS).map(({ date = "after it", stakeUsed, fundUsed, tearUps, payoutRatio }) => {
    const ratio = (Number(payoutRatio) / Number(WHOLE)).toFixed(6);
    return [date, dollars(stakeUsed), dollars(fundUsed), String(tearUps), ratio];
  });
  return [table(WATERFALL, rows), ""];
}

function lowest({ payoutRatio, perDay }: SimulationResult): string {
  const decimal = (ratio: bigint): string => (ratio === WHOLE ? "1" : (Number(ratio) / Number(WHOLE)).toFixed(6));
  const last = perDay.at(-1)?.payoutRatio ?? WHOLE;
  return last === payoutRatio ? decimal(last) : `${decimal(payoutRatio)} at worst, ${decimal(last)} at the end`;
}

function isEventful({ calls, defaults, stakeUsed, fundUsed, markets }: SimulatedDay): boolean {
  const paid = stakeUsed + fundUsed > 0n;
  return paid || calls + defaults > 0 || markets.some(({ locked, expired, tornUp }) => locked || expired || tornUp);
}

/** A row for each market; what concerns the day as a whole stands in the first. */
function rowsOf({ date = "after it", markets, calls, met, defaults }: SimulatedDay): readonly (readonly string[])[] {
  const counts = [calls, met, defaults].map(String);
  if (markets.length === 0) return [[date, "-", "", "", "", ...counts]];
  return markets.map((market, i) => [i === 0 ? date : "", ...marketCells(market), ...(i === 0 ? counts : [])]);
}

function marketCells({ symbol, recorded, settled, locked, expired, tornUp }: MarketDay): readonly string[] {
  const note = tornUp ? "torn" : expired ? "end" : locked ? "lock" : "";
  return [symbol.slice(0, 12), wholeDollars(recorded), wholeDollars(settled), note];
}

/** Prices per contract are thousands of dollars: cents only where they are not zero. */
function wholeDollars(price: bigint): string {
  return price % DOLLAR === 0n ? dollars(price).slice(0, -3) : dollars(price);
}
