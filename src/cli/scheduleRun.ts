import { dirname, resolve } from "node:path";
import { type Chain, connect, publicClientOf, refusalOf, senderOf } from "../chain/clearingHouse.ts";
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
import type { Hex } from "../protocol/keys.ts";
import { readSmallFile } from "../trader/files.ts";
import { formatAmount } from "../trader/markets.ts";
import { WrongUsage } from "./failure.ts";
import { untilInterrupted } from "./interrupt.ts";
import { readKey } from "./keyFile.ts";
import { type Io, type JsonOptions, type NetworkOptions, openNetwork } from "./session.ts";
import { table } from "./terminal.ts";
import { parseAddress } from "./values.ts";
import { folded, wrapped } from "./wrapped.ts";

export type ScheduleOptions = JsonOptions &
  NetworkOptions & {
    readonly file: string;
    readonly chain?: string;
    readonly clearingHouse?: string;
    readonly key?: string;
    readonly passwordFile?: string;
    readonly fromBlock?: string;
    readonly dryRun?: true;
  };

/** A step, and when it takes effect if it was sent now. */
type Done = { readonly step: PlannedStep; readonly sentFor: bigint | undefined };

const DECIMALS = 6;
const WIDTH = 80;
const NAME_WIDTH = 20;
const WHAT_WIDTH = 34;

/** `hedgerow schedule`. */
export async function runSchedule(options: ScheduleOptions, io: Io): Promise<void> {
  const schedule = readSchedule(options.file);
  const key = keyOf(options);
  await untilInterrupted(async (signal) => {
    const { chain, fromBlock } = await chainOf(options);
    const view = await readRegistry(chain, fromBlock);
    assertSound(schedule, view.now, options.file);
    const steps = planSchedule(schedule, view.slots, view, options.file);
    await assertFeeds(chain, steps, options.file);
    const sender = key === undefined ? undefined : senderOf(chain.url, chain.chainId, key);
    const done: Done[] = [];
    for (const step of steps) {
      signal.throwIfAborted();
      const isSent = sender !== undefined && isMissing(step);
      const sentFor = isSent ? await scheduleMarket(chain, sender, view, step.slot, step.terms) : undefined;
      done.push({ step, sentFor });
      if (sentFor !== undefined && options.json !== true) {
        io.printError(`slot ${step.slot}, ${step.name}: scheduled for ${timeText(sentFor)} UTC`);
      }
    }
    io.print(options.json === true ? JSON.stringify(scheduleJson(view, done, options)) : scheduleText(view, done));
  });
}

function readSchedule(file: string): MarketSchedule {
  return parseMarketSchedule(readSmallFile(file), file, (name) => readSmallFile(resolve(dirname(file), name)));
}

/** Undefined: nothing is to be sent. */
function keyOf({ key, passwordFile, dryRun }: ScheduleOptions): Hex | undefined {
  if (dryRun === true) return undefined;
  if (key === undefined) throw new WrongUsage("no key is given", "give --key FILE, or --dry-run to send nothing");
  return readKey(key, passwordFile);
}

async function chainOf(options: ScheduleOptions) {
  const { chain: url, clearingHouse } = options;
  if ((url === undefined) !== (clearingHouse === undefined)) {
    throw new WrongUsage(
      "--chain and --clearing-house belong together",
      "give both, or neither for the chosen network",
    );
  }
  if (url === undefined || clearingHouse === undefined) {
    const network = await openNetwork(options);
    const fromBlock = options.fromBlock === undefined ? BigInt(network.fromBlock) : blockOf(options.fromBlock);
    return { chain: await connect(network.chain, network.clearingHouse, network.chainId), fromBlock };
  }
  const address = await parseAddress("--clearing-house", clearingHouse);
  const fromBlock = blockOf(options.fromBlock ?? "0");
  try {
    return { chain: await connect(url, address, await publicClientOf(url, 0).getChainId()), fromBlock };
  } catch (error) {
    throw refusalOf(error);
  }
}

async function assertFeeds(chain: Chain, steps: readonly PlannedStep[], file: string): Promise<void> {
  for (const { action, name, terms } of steps) {
    if (action !== "list" || terms.feedMaxAge === 0) continue;
    if (await answersAsFeed(chain, terms.priceFeed)) continue;
    throw new BadMarketSchedule(`${file}, ${name}`, `no price feed answers at ${terms.priceFeed}`);
  }
}

function blockOf(text: string): bigint {
  if (!/^\d{1,15}$/.test(text)) throw new WrongUsage(`--from-block is "${text}"`, "give the number of a block");
  return BigInt(text);
}

function isMissing({ action }: PlannedStep): boolean {
  return action === "list" || action === "change";
}

// ------------------------------------------------------------------ what is said

function scheduleText({ delay, now }: RegistryView, done: readonly Done[]): string {
  const rows = done.flatMap(({ step, sentFor }) => {
    const { slot, name, from } = step;
    const [first = "", ...rest] = whatOf(step, sentFor !== undefined).flatMap((line) => wrapped(line, WHAT_WIDTH));
    const short = name.length > NAME_WIDTH ? `${name.slice(0, NAME_WIDTH - 2)}..` : name;
    return [[String(slot), short, timeText(sentFor ?? from), first], ...rest.map((line) => ["", "", "", line])];
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

function scheduleJson(view: RegistryView, done: readonly Done[], { dryRun }: ScheduleOptions) {
  return {
    registry: view.address,
    now: Number(view.now),
    delay: Number(view.delay),
    isDryRun: dryRun === true,
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
