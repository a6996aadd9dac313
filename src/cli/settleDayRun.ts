import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { z } from "zod";
import type { Chain } from "../chain/clearingHouse.ts";
import { type DayReport, presentPrices, readReport, reportJson } from "../clearing/reportDay.ts";
import { reportPage, type Words } from "../clearing/reportPage.ts";
import {
  DayNotOver,
  nextStep,
  planOf,
  settleDay,
  type Situation,
  type Taken,
  type Wait,
  WAITS,
} from "../clearing/settleDay.ts";
import { type ChainKeeper, keeperOf } from "../clearing/settleDayChain.ts";
import { DayUnknown } from "../clearing/settleDayLogs.ts";
import { FileUnwritable, reasonOf } from "../trader/files.ts";
import { parseOptions, type Place, placeOf, whole } from "./clerkPlace.ts";
import { WrongUsage } from "./failure.ts";
import { untilInterrupted } from "./interrupt.ts";
import { showProgress } from "./progress.ts";
import { writeResult } from "./resultFile.ts";
import type { Io } from "./session.ts";
import type { SettleDayOptions } from "./settleDay.ts";
import { planText, pricesText, reportText, stepName } from "./settleDayText.ts";

const epochSchema = z.looseObject({ epoch: whole(1, "give the number of a day: 1, 2, 3 ...") });

/** The options, with the day as a number. */
type Given = Omit<SettleDayOptions, "epoch"> & { readonly epoch?: number | undefined };

/**
 * hedgerow settle-day. Throws WrongUsage, DayNotOver, DayWaits, DayUnknown, what reaching the clearing house and sending
 * to it throws, and Interrupted.
 */
export async function settleDayCommand(options: SettleDayOptions, io: Io): Promise<void> {
  const given = parse(options);
  await untilInterrupted(async (signal) => {
    const place = await placeOf(given);
    try {
      const { chain, fromBlock } = place;
      const looking = keeperOf(chain, { fromBlock, isThorough: true });
      const situation = await looking.look();
      const day = given.epoch ?? (given.reportOnly === true ? situation.epoch - 1 : situation.epoch);
      if (day < 1) throw new DayUnknown(day, "no day is over yet");
      if (day > situation.epoch) throw new DayUnknown(day, `the chain is at day ${situation.epoch}`);
      if (given.dryRun === true) await showPlan(place, situation, day, given, io);
      else if (given.reportOnly === true) await tell(place, day, [], given, io);
      else await settle(place, situation, day, given, io, signal);
    } finally {
      place.close();
    }
  });
}

/** --dry-run: what would be done, and what the prices rest on. */
async function showPlan(place: Place, situation: Situation, day: number, { json }: Given, io: Io): Promise<void> {
  const { chain, fromBlock, words } = place;
  const plan = planOf(situation, day);
  const prices = day === situation.epoch ? await presentPrices(chain, day, fromBlock) : [];
  if (json === true) {
    const steps = plan.map(({ action, time, block }) => ({ ...action, time, block }));
    const { epoch, phase, time, block } = situation;
    io.print(jsonOf({ epoch: day, present: { epoch, phase, time, block }, steps, prices }));
    return;
  }
  const parts = [planText(day, situation, plan), ...(prices.length === 0 ? [] : [pricesText(prices, words)])];
  io.print([...parts, "Nothing was sent."].join("\n\n"));
}

/** Takes all steps that are left, shows how far it is, and reports. */
async function settle(
  place: Place,
  situation: Situation,
  day: number,
  given: Given,
  io: Io,
  signal: AbortSignal,
): Promise<void> {
  const { chain, fromBlock, words } = place;
  const { json = false, reportDir } = given;
  const first = nextStep(situation, day);
  if (first.kind === "wait" && first.until === "closingTime") throw new DayNotOver(day, first.time);
  if (reportDir !== undefined) makeDirectory(reportDir);
  const taken: Taken[] = [];
  if (first.kind !== "done") {
    const keeper = keeperOf(chain, { fromBlock, isThorough: true, sender: await place.sender(), sending: { signal } });
    const progress = showProgress(json, io.progress);
    const say = (text: string): void => {
      progress.end();
      if (!json) io.printError(text);
    };
    const showPrices = async (): Promise<void> => say(pricesText(await presentPrices(chain, day, fromBlock), words));
    try {
      if (situation.phase === "window") await showPrices();
      await settleDay(keeper, day, {
        isPatient: given.wait,
        signal,
        onTaken: async (step) => {
          taken.push(step);
          say(`${stepName(step.action)}: ${step.transaction ?? "done by somebody else"}`);
          if (step.action.kind === "closeEpoch") await showPrices();
        },
        onWait: async (wait, seen) => progress.on(await waitShown(keeper, wait, seen, io.progress.isTTY === true)),
      });
    } finally {
      progress.end();
    }
  }
  await tell(place, day, taken, given, io);
}

/** How far the day is. Where lines are not overwritten, what changes each second is left out. */
async function waitShown(keeper: ChainKeeper, wait: Wait, situation: Situation, isTerminal: boolean) {
  const { epoch, time, block, phase } = situation;
  const [seconds, blocks] = [wait.time - time, wait.block - block - 1n];
  const left = [seconds > 0n ? `${seconds} s` : "", blocks > 0n ? `${blocks} blocks` : ""].filter(
    (each) => each !== "",
  );
  const rest = isTerminal && left.length > 0 ? `, ${left.join(" and ")} left` : "";
  const text = `day ${epoch} waits for ${WAITS[wait.until]}${rest}`;
  const stage = "waiting" as const;
  if (phase !== "window") return { stage, text };
  const seats = await keeper.renewals(situation).catch(() => undefined);
  if (seats === undefined) return { stage, text };
  const { due, done } = seats;
  return { stage, text: `${text}; seats renewed`, done: done.size, total: due.size };
}

/** Reports a day that is over: on standard output, and into files where they are wanted. */
async function tell(
  { chain, fromBlock, words }: Place,
  day: number,
  taken: readonly Taken[],
  { reportDir, json }: Given,
  io: Io,
): Promise<void> {
  if (reportDir !== undefined) makeDirectory(reportDir);
  const report = await reportSoon(chain, day, fromBlock, taken.length > 0);
  const files = reportDir === undefined ? [] : writeReport(report, reportDir, words);
  if (json === true) {
    const steps = taken.map(({ action, transaction }) => ({ ...action, transaction: transaction ?? null }));
    io.print(jsonOf({ epoch: day, steps, files, report }));
    return;
  }
  io.print([reportText(report, words), ...files.map((file) => `written: ${file}`)].join("\n"));
}

/** Of several nodes behind one address another may answer now, which has not seen the opening yet. */
async function reportSoon(chain: Chain, day: number, fromBlock: bigint, isNew: boolean): Promise<DayReport> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await readReport(chain, day, fromBlock);
    } catch (error) {
      if (!(error instanceof DayUnknown) || !isNew || attempt === REPORT_ATTEMPTS) throw error;
      await setTimeout(1_000);
    }
  }
}

const REPORT_ATTEMPTS = 10;

function writeReport(report: DayReport, directory: string, words: Words): readonly string[] {
  const [json, html] = ["json", "html"].map((kind) => join(directory, `day-${report.epoch}.${kind}`));
  if (json === undefined || html === undefined) return [];
  writeResult(json, `${reportJson(report)}\n`);
  writeResult(html, reportPage(report, words));
  return [json, html];
}

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true });
  } catch (error) {
    throw new FileUnwritable(directory, reasonOf(error));
  }
}

function parse(options: SettleDayOptions): Given {
  const { dryRun = false, reportOnly = false, reportDir } = options;
  if (dryRun && reportOnly) throw new WrongUsage("--dry-run and --report-only do not go together", "give one of them");
  if (dryRun && reportDir !== undefined) {
    throw new WrongUsage("--dry-run writes no report", "leave out --report-dir");
  }
  return { ...options, epoch: parseOptions(epochSchema, options).epoch };
}

function jsonOf(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) => (typeof item === "bigint" ? item.toString() : item));
}
