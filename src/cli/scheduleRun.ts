import { dirname, resolve } from "node:path";
import type { Chain } from "../chain/clearingHouse.ts";
import type { MarketTerms } from "../chain/deploy.ts";
import {
  assertSound,
  BadMarketSchedule,
  type MarketSchedule,
  parseMarketSchedule,
  type PlannedStep,
  planSchedule,
  type TermChange,
} from "../clearing/marketSchedule.ts";
import { answersAsFeed, readRegistry, type RegistryView, scheduleMarket } from "../clearing/registry.ts";
import { readSmallFile } from "../trader/files.ts";
import { formatAmount } from "../trader/markets.ts";
import { placeOf } from "./clerkPlace.ts";
import { WrongUsage } from "./failure.ts";
import { untilInterrupted } from "./interrupt.ts";
import type { HouseOptions, Io, JsonOptions, KeyOptions } from "./session.ts";
import { table } from "./terminal.ts";
import { folded, wrapped } from "./wrapped.ts";

export type ScheduleOptions = HouseOptions &
  KeyOptions &
  JsonOptions & {
    readonly file: string;
    readonly dryRun?: true;
  };

/** A step, and when it takes effect if it was sent now. */
type Done = { readonly step: PlannedStep; readonly sentFor: bigint | undefined };

const DECIMALS = 6;
const WIDTH = 80;
const NAME_WIDTH = 20;
const WHAT_WIDTH = 34;

/**
 * hedgerow schedule. Throws BadMarketSchedule, BadMarginSchedule, NotAdministrator, WrongUsage, what reaching the clearing
 * house and sending to its registry throws, and Interrupted.
 */
export async function runSchedule(options: ScheduleOptions, io: Io): Promise<void> {
  const { file, keyFile, dryRun = false, json = false } = options;
  const schedule = readSchedule(file);
  if (keyFile === undefined && !dryRun) {
    throw new WrongUsage("no key is given", "give --key-file FILE, or --dry-run to send nothing");
  }
  await untilInterrupted(async (signal) => {
    const place = await placeOf(options);
    try {
      const { chain, fromBlock, network } = place;
      if (network.decimals !== DECIMALS) {
        throw new BadMarketSchedule(file, `its dollars have ${DECIMALS} decimals, the collateral ${network.decimals}`);
      }
      const view = await readRegistry(chain, fromBlock);
      assertSound(schedule, view.now, file);
      const steps = planSchedule(schedule, view.slots, view, file);
      await assertFeeds(chain, steps, file);
      const sender = dryRun ? undefined : await place.sender();
      const done: Done[] = [];
      for (const step of steps) {
        const isSent = sender !== undefined && isMissing(step);
        const sentFor = isSent
          ? await scheduleMarket(chain, sender, view, step.slot, step.terms, { signal })
          : undefined;
        done.push({ step, sentFor });
        if (sentFor !== undefined && !json) {
          io.printError(`slot ${step.slot}, ${step.name}: scheduled for ${timeText(sentFor)} UTC`);
        }
      }
      io.print(json ? JSON.stringify(scheduleJson(view, done, dryRun)) : scheduleText(view, done));
    } finally {
      place.close();
    }
  });
}

function readSchedule(file: string): MarketSchedule {
  return parseMarketSchedule(readSmallFile(file), file, (name) => readSmallFile(resolve(dirname(file), name)));
}

async function assertFeeds(chain: Chain, steps: readonly PlannedStep[], file: string): Promise<void> {
  for (const { action, name, terms } of steps) {
    if (action !== "list" || terms.feedMaxAge === 0) continue;
    if (await answersAsFeed(chain, terms.priceFeed)) continue;
    throw new BadMarketSchedule(`${file}, ${name}`, `no price feed answers at ${terms.priceFeed}`);
  }
}

function isMissing({ action }: PlannedStep): boolean {
  return action === "list" || action === "change";
}

// ------------------------------------------------------------------ what is said

function scheduleText({ delay, now }: RegistryView, done: readonly Done[]): string {
  const rows = done.flatMap(({ step, sentFor }) => {
    const { slot, name, from, action } = step;
    const [first = "", ...rest] = whatOf(step, sentFor !== undefined).flatMap((line) => wrapped(line, WHAT_WIDTH));
    const short = name.length > NAME_WIDTH ? `${name.slice(0, NAME_WIDTH - 2)}..` : name;
    const when = action === "keep" || action === "unpublished" ? "in force" : timeText(sentFor ?? from);
    return [[String(slot), short, when, first], ...rest.map((line) => ["", "", "", line])];
  });
  const columns = [{ title: "slot", right: true }, { title: "contract" }, { title: "from (UTC)" }, { title: "what" }];
  const lines = done.length === 0 ? "no contract of the schedule is due or to come" : table(columns, rows);
  return `${lines}\n\n${folded(summaryOf(done), WIDTH)}\n${delayText(now, delay)}`;
}

function summaryOf(done: readonly Done[]): string {
  const sent = done.filter(({ sentFor }) => sentFor !== undefined).length;
  const missing = done.filter(({ step }) => isMissing(step)).length - sent;
  const followed = done.some(({ step }) => step.moreSteps || step.action === "wait");
  const again = followed ? " More steps follow: run it again when these are in force." : "";
  if (missing > 0) return `${missing} to be scheduled; nothing was sent.${again}`;
  return (sent > 0 ? `${sent} scheduled.` : "Nothing is missing.") + again;
}

function delayText(now: bigint, delay: bigint): string {
  return `What is sent now is in force at the registry from ${timeText(now + delay)} UTC on.`;
}

function whatOf(step: PlannedStep, isSent: boolean): readonly string[] {
  const { action, changes, terms, moreSteps, reason } = step;
  const more = moreSteps ? ["more steps follow"] : [];
  switch (action) {
    case "keep":
      return ["as published", ...more];
    case "unpublished":
      return ["not in the schedule; left as it is"];
    case "over":
      return ["last trading time; ends by itself"];
    case "later":
      return [`schedule then, listed at ${dollarText(terms.listingPrice)}`];
    case "pending":
      return ["scheduled", ...changes.map(changeText), ...more];
    case "wait":
      return [`waits: ${reason ?? "not yet"}`, ...changes.map(changeText)];
    case "list":
      return [...(isSent ? ["scheduled now"] : ["to be scheduled"]), ...listingLines(terms)];
    case "change": {
      const because = changes.length === 0 && reason !== undefined ? [reason] : [];
      return [...(isSent ? ["scheduled now"] : ["to be scheduled"]), ...because, ...changes.map(changeText), ...more];
    }
  }
}

function listingLines(terms: MarketTerms): readonly string[] {
  const { listingPrice, priceLimit, expandedLimit, maintenanceMargin, initialMargin, closeOutFee, priceFeed } = terms;
  return [
    `listed at ${dollarText(listingPrice)}`,
    `limit ${dollarText(priceLimit)}, expanded ${dollarText(expandedLimit)}`,
    `maintenance ${dollarText(maintenanceMargin)}`,
    `initial margin ${dollarText(initialMargin)}`,
    `close-out fee ${dollarText(closeOutFee)}`,
    `last trading ${timeText(terms.lastTradingTime)}`,
    terms.feedMaxAge === 0 ? "final price: mean of three days" : `final price by feed ${priceFeed.slice(0, 10)}..`,
  ];
}

const AMOUNTS: readonly string[] = [
  "listingPrice",
  "tick",
  "priceLimit",
  "expandedLimit",
  "maintenanceMargin",
  "initialMargin",
  "closeOutFee",
  "fillFee",
  "priceCollar",
  "feedMultiplier",
] satisfies readonly (keyof MarketTerms)[];

function changeText({ field, from, to }: TermChange): string {
  const text = (value: bigint | number | string): string => {
    if (AMOUNTS.includes(field)) return dollarText(BigInt(value));
    return field === "priceFeed" ? `${String(value).slice(0, 10)}..` : String(value);
  };
  return `${field} ${text(from)} -> ${text(to)}`;
}

function dollarText(baseUnits: bigint): string {
  return formatAmount(baseUnits, DECIMALS).replace(/\.00$/, "");
}

/** As 2026-03-01 14:30, in UTC like the schedule. */
function timeText(time: bigint): string {
  return new Date(Number(time) * 1_000).toISOString().slice(0, 16).replace("T", " ");
}

function scheduleJson(view: RegistryView, done: readonly Done[], isDryRun: boolean) {
  return {
    registry: view.address,
    now: Number(view.now),
    delay: Number(view.delay),
    isDryRun,
    steps: done.map(({ step, sentFor }) => ({
      slot: step.slot,
      contract: step.name,
      action: step.action,
      from: Number(sentFor ?? step.from),
      isSent: sentFor !== undefined,
      moreSteps: step.moreSteps,
      ...(step.reason !== undefined && { reason: step.reason }),
      changes: step.changes.map(({ field, from, to }) => ({ field, from: String(from), to: String(to) })),
      terms: Object.fromEntries(Object.entries(step.terms).map(([name, value]) => [name, String(value)])),
    })),
  };
}
