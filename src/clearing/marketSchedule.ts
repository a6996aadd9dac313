import { hexToString, isAddress, stringToHex, zeroAddress } from "viem";
import { z } from "zod";
import type { MarketTerms } from "../chain/deploy.ts";
import type { EpochMarket } from "../protocol/epoch.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { SLOTS } from "../protocol/note.ts";
import { dollarsSchema, positiveDollarsSchema, someDollarsSchema } from "./dollars.ts";
import { DOLLAR } from "./leanHogs.ts";
import {
  type MarginRow,
  type MarginSchedule,
  marginsAt,
  marginsBetween,
  marginScheduleSchema,
  parseMarginSchedule,
} from "./marginSchedule.ts";
import { faultOf, type GivenWidths, stepToward, type Widths, widthsFor } from "./soundTerms.ts";

/*
 * A published schedule of contracts, and what of it the registry still lacks. A slot has one contract after the other;
 * the registry has to be told a delay ahead, and takes changes of a running contract in steps (spec GOV-2, GOV-4).
 */

/** One contract of a schedule. Amounts in base units per contract, times in unix seconds. */
export type ScheduledContract = {
  readonly slot: number;
  readonly name: string;
  readonly contractId: Hex;
  /** From when on the registry may name it: its own date, or the end of the contract before it in its slot. */
  readonly listedFrom: bigint;
  readonly lastTradingTime: bigint;
  readonly margins: MarginSchedule;
  readonly given: GivenWidths;
  /** What does not depend on the margins. */
  readonly fixed: Omit<MarketTerms, keyof Widths>;
};

/** By slot, then by time. */
export type MarketSchedule = readonly ScheduledContract[];

/** A schedule of contracts cannot be read, or breaks a rule. */
export class BadMarketSchedule extends HedgerowError {
  constructor(where: string, rule: string) {
    super("BadMarketSchedule", `${where}: ${rule}`, { where, rule });
  }
}

// ------------------------------------------------------------------ the file

/** A contract's name: it becomes its id. */
export const contractNameSchema = z
  .string()
  .regex(/^[A-Z0-9][A-Z0-9 ./]{0,31}$/, "expected up to 32 capital letters, digits, blanks, dots and strokes")
  .refine((name) => name === name.trim(), "expected no blank at the end");

/** The id of a contract of that name. */
export function contractIdOf(name: string): Hex {
  return stringToHex(name, { size: 32 });
}

const EXPECTED_TIME = 'expected a time, as "2027-02-12T18:00Z", or unix seconds';
const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)$/;

const timeSchema = z
  .union([z.int().min(1), z.string().regex(ISO_TIME, EXPECTED_TIME)], EXPECTED_TIME)
  .transform((time) => (typeof time === "number" ? time : Date.parse(time) / 1_000))
  .refine((time) => Number.isSafeInteger(time), EXPECTED_TIME)
  .transform(BigInt);

const most = (bits: number): number => 2 ** bits - 1;

/** Where the final price comes from; with null it is the mean of the last daily prices. */
export const feedSchema = z
  .strictObject({
    address: z.custom<Hex>((value) => typeof value === "string" && isAddress(value), "expected an address"),
    /** Dollars per contract for 1.0 of the feed. */
    multiplier: positiveDollarsSchema.refine((units) => units < 2n ** 64n, "expected less than 2^64 base units"),
    /** Seconds after which an answer is stale. */
    maxAge: z.int().min(1).max(most(32)),
  })
  .nullable()
  .default(null);

/** What the terms of a contract have of its feed. */
export function feedTerms(
  feed: z.infer<typeof feedSchema>,
): Pick<MarketTerms, "priceFeed" | "feedMultiplier" | "feedMaxAge"> {
  return {
    priceFeed: feed?.address ?? zeroAddress,
    feedMultiplier: feed?.multiplier ?? 0n,
    feedMaxAge: feed?.maxAge ?? 0,
  };
}

const contractSchema = z.strictObject({
  slot: z
    .int()
    .min(0)
    .max(SLOTS - 1),
  contract: contractNameSchema,
  listingPrice: dollarsSchema,
  listedFrom: timeSchema.optional(),
  lastTradingTime: timeSchema,
  tick: positiveDollarsSchema,
  /** A CSV file beside the schedule, or its rows. */
  margins: z.union([z.string().min(1), marginScheduleSchema]),
  priceLimit: positiveDollarsSchema.optional(),
  expandedLimit: positiveDollarsSchema.optional(),
  closeOutFee: positiveDollarsSchema.optional(),
  priceCollar: someDollarsSchema.default(0n),
  fillFee: someDollarsSchema.default(DOLLAR),
  minimumVolume: z.int().min(1).max(most(32)).default(1),
  minimumMinutes: z.int().min(1).max(most(16)).default(1),
  feed: feedSchema,
});

const fileSchema = z.strictObject({
  contracts: z.array(contractSchema).min(1, "expected one contract or more"),
});

type Listed = z.infer<typeof contractSchema>;

/**
 * A schedule from JSON. `readMargins` gives the text of the margin files that it names. Throws BadMarketSchedule with the
 * place and the rule, BadMarginSchedule, and what readMargins throws.
 */
export function parseMarketSchedule(text: string, file: string, readMargins: (name: string) => string): MarketSchedule {
  const { contracts } = parsedFile(text, file);
  const twin = contracts.find(({ contract }, i) => contracts.findIndex((other) => other.contract === contract) !== i);
  if (twin !== undefined) throw new BadMarketSchedule(file, `two contracts are called ${twin.contract}`);
  return [...contracts.entries()]
    .map(([i, listed]) => ({ where: `${file}, contract ${i + 1} (${listed.contract})`, listed }))
    .sort((a, b) => a.listed.slot - b.listed.slot || compare(a.listed.lastTradingTime, b.listed.lastTradingTime))
    .map(({ where, listed }, i, sorted) => {
      const before = sorted[i - 1]?.listed;
      return contractOf(listed, before?.slot === listed.slot ? before : undefined, where, readMargins);
    });
}

/**
 * Every contract is sound with every margin that is in force at some time from `now` on, unix seconds. Throws
 * BadMarketSchedule with the contract, the row and the rule (spec GOV-3).
 */
export function assertSound(schedule: MarketSchedule, now: bigint, file: string): void {
  for (const contract of schedule) {
    const { listedFrom, lastTradingTime, margins } = contract;
    if (lastTradingTime <= now) continue;
    const rows = marginsBetween(margins, listedFrom > now ? listedFrom : now, lastTradingTime);
    for (const row of rows) termsWith(contract, row, file);
  }
}

function parsedFile(text: string, file: string): z.infer<typeof fileSchema> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new BadMarketSchedule(file, `no JSON (${error instanceof Error ? error.message : String(error)})`);
  }
  const parsed = fileSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const { path, message } = deepest(parsed.error.issues);
  const [list, index, ...rest] = path;
  const place = list === "contracts" && typeof index === "number" ? `, contract ${index + 1}` : "";
  throw new BadMarketSchedule(`${file}${[place, ...rest].map(String).join(", ")}`, message);
}

/** The first issue; of a choice that nothing fits, that of the branch that went furthest. */
function deepest(issues: readonly z.core.$ZodIssue[]): {
  readonly path: readonly PropertyKey[];
  readonly message: string;
} {
  const [issue] = issues;
  if (issue === undefined) return { path: [], message: "not understood" };
  if (issue.code !== "invalid_union" || issue.errors.length === 0) return issue;
  const branches = issue.errors.map(deepest).sort((a, b) => b.path.length - a.path.length);
  const [furthest] = branches;
  if (furthest === undefined || furthest.path.length === 0) return issue;
  return { path: [...issue.path, ...furthest.path], message: furthest.message };
}

function contractOf(
  listed: Listed,
  before: Listed | undefined,
  where: string,
  readMargins: (name: string) => string,
): ScheduledContract {
  const { slot, contract: name, lastTradingTime, margins, priceLimit, expandedLimit, closeOutFee, feed } = listed;
  const earliest = before?.lastTradingTime ?? 0n;
  const listedFrom = listed.listedFrom ?? earliest;
  if (before !== undefined && listedFrom < earliest) {
    // The slot's registry entry would pass to it, and the other one's margins could not change any more.
    throw new BadMarketSchedule(where, `listedFrom must not be before the last trading time of ${before.contract}`);
  }
  if (listedFrom >= lastTradingTime) throw new BadMarketSchedule(where, "listedFrom must be before lastTradingTime");
  const { listingPrice, tick, priceCollar, fillFee, minimumVolume, minimumMinutes } = listed;
  const contractId = contractIdOf(name);
  return {
    slot,
    name,
    contractId,
    listedFrom,
    lastTradingTime,
    margins: typeof margins === "string" ? parseMarginSchedule(readMargins(margins), margins) : margins,
    given: { priceLimit, expandedLimit, closeOutFee },
    fixed: {
      contractId,
      listingPrice,
      tick,
      priceCollar,
      fillFee,
      minimumVolume,
      minimumMinutes,
      lastTradingTime,
      ...feedTerms(feed),
    },
  };
}

/** Terms with the margins of a row. Throws BadMarketSchedule where they are not sound. */
function termsWith(contract: ScheduledContract, row: MarginRow, file: string): MarketTerms {
  const { fixed, given, name } = contract;
  const terms = { ...fixed, ...widthsFor(row, fixed.tick, given) };
  const fault = terms.priceLimit === 0n ? "the margin is too small for a limit of one tick" : faultOf(terms);
  if (fault !== undefined) throw new BadMarketSchedule(`${file}, ${name} with the margins of ${row.date}`, fault);
  return terms;
}

// ------------------------------------------------------------------ what is missing

/** What the chain has for a slot. */
export type SlotState = {
  /** What the registry has in force; a contractId of zeros where there is nothing. */
  readonly inForce: MarketTerms;
  /** What it was told and is not in force yet. */
  readonly pending: { readonly terms: MarketTerms; readonly effectiveAt: bigint } | undefined;
  /** What the clearing house runs today; undefined where the slot is free, or will be at the next opening. */
  readonly running: EpochMarket | undefined;
};

/** One term that becomes another. */
export type TermChange = {
  readonly field: keyof MarketTerms;
  readonly from: MarketTerms[keyof MarketTerms];
  readonly to: MarketTerms[keyof MarketTerms];
};

/**
 * What is to be done about a contract:
 * `list`, `change`: the registry must be told `terms`; `pending`: it was told; `wait`: not before `from`;
 * `keep`: all is as published; `later`: its time has not come; `over`: it has had its last trading time;
 * `unpublished`: it runs, and the schedule does not know it.
 */
export type PlannedStep = {
  readonly slot: number;
  readonly name: string;
  readonly action: "list" | "change" | "pending" | "wait" | "keep" | "later" | "over" | "unpublished";
  /** Unix seconds: when it is in force at the registry, or can next be looked at. */
  readonly from: bigint;
  /** What is sent; the present terms where nothing is. */
  readonly terms: MarketTerms;
  readonly changes: readonly TermChange[];
  /** Another step must follow before the terms are as published. */
  readonly moreSteps: boolean;
  /** Why it waits. */
  readonly reason: string | undefined;
};

/** When the registry is asked, and how long it takes. Seconds. */
export type PlanTimes = { readonly now: bigint; readonly delay: bigint };

/**
 * What the registry lacks for `now + delay`: at most one step a slot, and the contract that comes after. Throws
 * BadMarketSchedule where a running contract is published with terms that cannot change, or has no margins.
 */
export function planSchedule(
  schedule: MarketSchedule,
  slots: readonly SlotState[],
  times: PlanTimes,
  file: string,
): readonly PlannedStep[] {
  return slots.flatMap((state, slot) => {
    const contracts = schedule.filter((contract) => contract.slot === slot);
    const at = times.now + times.delay;
    const due = contracts.find((contract) => contract.lastTradingTime > at && contract.listedFrom <= at);
    const next = contracts.find((contract) => contract.listedFrom > at);
    const last = contracts.findLast((contract) => contract.lastTradingTime <= at);
    const present = state.running ?? (state.inForce.lastTradingTime > times.now ? state.inForce : undefined);
    const isKnown = contracts.some(({ contractId }) => contractId === present?.contractId);
    return [
      ...(present === undefined || isKnown || due !== undefined ? [] : [unpublished(slot, present, state)]),
      ...(last !== undefined && last.contractId === state.running?.contractId ? [ending(last, state)] : []),
      ...(due === undefined ? [] : [stepOf(due, state, times, file)]),
      ...(next === undefined ? [] : [coming(next, times, file)]),
    ];
  });
}

/** A contract whose terms cannot change any more, as any change would come after its end. */
function ending(contract: ScheduledContract, { inForce }: SlotState): PlannedStep {
  return { ...unchanged(contract, inForce), action: "over", from: contract.lastTradingTime };
}

function unpublished(
  slot: number,
  { contractId, lastTradingTime }: Pick<MarketTerms, "contractId" | "lastTradingTime">,
  { inForce }: SlotState,
): PlannedStep {
  const name = hexToString(contractId, { size: 32 }).replace(/[^ -~]/g, "?");
  return { ...unchanged({ slot, name }, inForce), action: "unpublished", from: lastTradingTime };
}

function coming(contract: ScheduledContract, { delay }: PlanTimes, file: string): PlannedStep {
  const terms = publishedTerms(contract, contract.listedFrom, file);
  return { ...unchanged(contract, terms), action: "later", from: contract.listedFrom - delay };
}

function unchanged(
  { slot, name }: Pick<PlannedStep, "slot" | "name">,
  terms: MarketTerms,
): Omit<PlannedStep, "action" | "from"> {
  return { slot, name, terms, changes: [], moreSteps: false, reason: undefined };
}

function stepOf(contract: ScheduledContract, state: SlotState, { now, delay }: PlanTimes, file: string): PlannedStep {
  const at = now + delay;
  const { inForce, pending, running } = state;
  const wanted = nextTerms(contract, state, at, file);
  const base = unchanged(contract, wanted.terms);
  const same = inForce.contractId === contract.contractId;
  const changes = same ? changesBetween(inForce, wanted.terms) : [];
  const step = { ...base, changes, moreSteps: wanted.moreSteps };
  if (running !== undefined && running.contractId !== contract.contractId && running.lastTradingTime > at) {
    if (running.lastTradingTime >= contract.lastTradingTime) {
      const rule = `slot ${contract.slot} is another contract's until after its last trading time`;
      throw new BadMarketSchedule(`${file}, ${contract.name}`, rule);
    }
    return { ...step, action: "wait", from: running.lastTradingTime, reason: "another contract has the slot" };
  }
  if (pending !== undefined) {
    const { effectiveAt } = pending;
    if (changesBetween(pending.terms, wanted.terms).length === 0)
      return { ...step, action: "pending", from: effectiveAt };
    // A step of this schedule that is under way would never take effect if the next one took its place each day.
    if (contract.listedFrom <= effectiveAt && contract.lastTradingTime > effectiveAt) {
      const planned = nextTerms(contract, state, effectiveAt, file).terms;
      if (changesBetween(pending.terms, planned).length === 0) {
        return { ...step, action: "wait", from: effectiveAt, reason: "an earlier step takes effect first" };
      }
    }
    return { ...step, action: same ? "change" : "list", from: at, reason: "it replaces what was scheduled" };
  }
  if (same && changes.length === 0) return { ...step, action: "keep", from: at };
  return { ...step, action: same ? "change" : "list", from: at };
}

/** Terms that may be in force at that time, at most a step away from those that are (spec GOV-4, GOV-8). */
function nextTerms(
  contract: ScheduledContract,
  { inForce, running }: SlotState,
  at: bigint,
  file: string,
): { readonly terms: MarketTerms; readonly moreSteps: boolean } {
  const target = publishedTerms(contract, at, file);
  const registered = inForce.contractId === contract.contractId ? inForce : undefined;
  const housed = running?.contractId === contract.contractId ? running : undefined;
  const present = registered ?? housed;
  if (present === undefined) return { terms: target, moreSteps: false };
  assertSameContract(contract, present, file);
  if (registered !== undefined) assertSameFeed(contract, registered, file);
  const { widths, isLast } = stepToward(
    target,
    [registered, housed].filter((terms) => terms !== undefined),
  );
  // Once it trades nobody reads its listing price again.
  const listingPrice = housed === undefined ? target.listingPrice : (registered ?? target).listingPrice;
  return { terms: { ...target, ...widths, listingPrice }, moreSteps: !isLast };
}

function publishedTerms(contract: ScheduledContract, at: bigint, file: string): MarketTerms {
  const row = marginsAt(contract.margins, at);
  if (row !== undefined) return termsWith(contract, row, file);
  const rule = `no margins are in force when it is listed; the first are of ${contract.margins[0]?.date ?? "no day"}`;
  throw new BadMarketSchedule(`${file}, ${contract.name}`, rule);
}

function assertSameContract(
  { name, fixed }: ScheduledContract,
  present: Pick<MarketTerms, "tick" | "lastTradingTime">,
  file: string,
): void {
  for (const field of ["tick", "lastTradingTime"] as const) {
    if (fixed[field] === present[field]) continue;
    const value =
      field === "tick"
        ? `${present.tick} base units`
        : new Date(Number(present.lastTradingTime) * 1_000).toISOString().replace(".000", "");
    throw new BadMarketSchedule(`${file}, ${name}`, `${field} of a contract that runs must stay ${value}`);
  }
}

function assertSameFeed({ name, fixed }: ScheduledContract, present: MarketTerms, file: string): void {
  const isSame =
    fixed.priceFeed.toLowerCase() === present.priceFeed.toLowerCase() &&
    fixed.feedMultiplier === present.feedMultiplier;
  if (!isSame)
    throw new BadMarketSchedule(`${file}, ${name}`, "address and multiplier of the feed must stay as they are");
}

const FIELDS = [
  "contractId",
  "listingPrice",
  "tick",
  "priceLimit",
  "expandedLimit",
  "maintenanceMargin",
  "initialMargin",
  "closeOutFee",
  "fillFee",
  "minimumVolume",
  "minimumMinutes",
  "lastTradingTime",
  "priceCollar",
  "priceFeed",
  "feedMultiplier",
  "feedMaxAge",
] as const satisfies readonly (keyof MarketTerms)[];

/** The terms that differ. Addresses count without regard to case. */
export function changesBetween(from: MarketTerms, to: MarketTerms): readonly TermChange[] {
  const plain = (value: string | bigint | number): string => String(value).toLowerCase();
  return FIELDS.filter((field) => plain(from[field]) !== plain(to[field])).map((field) => ({
    field,
    from: from[field],
    to: to[field],
  }));
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
