import { setTimeout } from "node:timers/promises";
import type { ClearingTerms } from "../chain/deploy.ts";
import { ChainUnavailable } from "../chain/refusals.ts";
import { WaitEnded } from "../chain/sending.ts";
import type { Phase } from "../protocol/epoch.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";

// The end of a day, step by step. Which step is next follows from what one block shows, and from nothing else: so
// whoever was interrupted, or was overtaken by another keeper, goes on with what is left (spec CLR-1, CLR-2).

/** What decides the next step. Times in unix seconds. */
export type Situation = {
  readonly epoch: number;
  readonly phase: Phase;
  /** The chain's time and its newest block. */
  readonly time: bigint;
  readonly block: bigint;
  readonly closingTime: bigint;
  /** Time and block of the close, and the block with which renewals began; 0 as long as that did not come. */
  readonly closedAt: bigint;
  readonly closedBlock: bigint;
  readonly renewalsBlock: bigint;
  readonly terms: Pick<ClearingTerms, "settleGrace" | "windowA" | "windowB" | "windowBlocks">;
  /** When the operator's latest batch came; absent if that is long ago. */
  readonly lastBatchTime?: bigint | undefined;
  /** Whoever looks is the operator of the day, who may close it at once. */
  readonly isOperator: boolean;
  /** Seats that have been in default for longer than the grace, and whose bonds are still there. */
  readonly forfeitable: readonly bigint[];
};

/** A step that needs a transaction. */
export type Action =
  | { readonly kind: "closeEpoch" }
  | { readonly kind: "beginRenewals" }
  | { readonly kind: "forfeitBond"; readonly ownerKey: bigint }
  | { readonly kind: "openEpoch" };

/** Nothing can be done before this time and this block. */
export type Wait = {
  readonly kind: "wait";
  readonly until: "closingTime" | "operator" | "finalBatch" | "renewals" | "opening" | "node";
  readonly time: bigint;
  readonly block: bigint;
};

/** `done`: the next day is open. */
export type Step = Action | Wait | { readonly kind: "done" };

/** How long no batch must have come for the last one to be taken for the final one, in seconds. */
export const QUIET_SECONDS = 30n;

/** The day has not come to its end. */
export class DayNotOver extends HedgerowError {
  constructor(epoch: number, closingTime: bigint) {
    super(
      "DayNotOver",
      `day ${epoch} trades until ${closingTime}: settle it then; of a day before it there is --report-only`,
      { epoch, closingTime },
    );
  }
}

/** The next step has its time, which has not come, and nobody wants to wait for it. */
export class DayWaits extends HedgerowError {
  constructor(epoch: number, { until, time, block }: Wait) {
    super("DayWaits", `day ${epoch} waits for ${WAITS[until]} (time ${time}, block ${block}): run this again then`, {
      epoch,
      until,
      time,
      block,
    });
  }
}

/** What is waited for, in words. */
export const WAITS: Readonly<Record<Wait["until"], string>> = {
  closingTime: "closing time",
  operator: "the operator to close the day",
  finalBatch: "the operator's final batch",
  renewals: "the end of part A of the window",
  opening: "the end of part B of the window",
  node: "a node that is up to date",
};

/** What is to be done so that day `day` ends (spec EPO-3, EPO-5, EPO-6, DEF-9, CLR-1). */
export function nextStep(situation: Situation, day: number): Step {
  if (situation.epoch > day) return { kind: "done" };
  if (situation.epoch < day) return { kind: "wait", until: "node", time: situation.time, block: situation.block + 1n };
  return situation.phase === "trading" ? stepOfTrading(situation) : stepOfWindow(situation);
}

function stepOfTrading({ closingTime, time, terms, isOperator, lastBatchTime }: Situation): Step {
  const wait = (until: Wait["until"], from: bigint): Wait => ({ kind: "wait", until, time: from, block: 0n });
  if (time < closingTime) return wait("closingTime", closingTime);
  const grace = BigInt(terms.settleGrace);
  const from = closingTime + (isOperator ? 0n : grace);
  if (time < from) return wait("operator", from);
  // An operator who never comes to an end is not waited for without end (spec CLR-3).
  const quiet = lastBatchTime === undefined ? from : least(lastBatchTime + QUIET_SECONDS, from + grace);
  if (time < quiet) return wait("finalBatch", quiet);
  return { kind: "closeEpoch" };
}

function stepOfWindow({ time, block, terms, closedAt, closedBlock, renewalsBlock, forfeitable }: Situation): Step {
  // A transaction lands in the next block at the earliest.
  const hasCome = (wait: Wait): boolean => time >= wait.time && block + 1n >= wait.block;
  const [partA, partB, blocks] = [BigInt(terms.windowA), BigInt(terms.windowB), BigInt(terms.windowBlocks)];
  if (renewalsBlock === 0n) {
    const wait: Wait = { kind: "wait", until: "renewals", time: closedAt + partA, block: closedBlock + blocks };
    return hasCome(wait) ? { kind: "beginRenewals" } : wait;
  }
  const [ownerKey] = forfeitable;
  if (ownerKey !== undefined) return { kind: "forfeitBond", ownerKey };
  const wait: Wait = { kind: "wait", until: "opening", time: closedAt + partA + partB, block: renewalsBlock + blocks };
  return hasCome(wait) ? { kind: "openEpoch" } : wait;
}

/** Whether a step of day `day` needs no doing any more, whoever did it. */
export function isDone(action: Action, { epoch, phase, renewalsBlock, forfeitable }: Situation, day: number): boolean {
  if (epoch > day) return true;
  switch (action.kind) {
    case "closeEpoch":
      return phase === "window";
    case "beginRenewals":
      return renewalsBlock > 0n;
    case "forfeitBond":
      return !forfeitable.includes(action.ownerKey);
    case "openEpoch":
      return false;
  }
}

/** A step of a plan: the earliest time and block at which it can be taken. */
export type PlannedStep = { readonly action: Action; readonly time: bigint; readonly block: bigint };

/** All steps from a situation to the end of the day, if nobody else takes one and each comes as early as it may. */
export function planOf(situation: Situation, day: number): readonly PlannedStep[] {
  const step = nextStep(situation, day);
  if (step.kind === "done") return [];
  const after = afterStep(situation, step, day);
  const rest = planOf(after, day);
  return step.kind === "wait" ? rest : [{ action: step, time: situation.time, block: situation.block + 1n }, ...rest];
}

/** What a block shows after a step, or when a wait is over. */
function afterStep(situation: Situation, step: Action | Wait, day: number): Situation {
  const block = situation.block + 1n;
  const { time } = situation;
  switch (step.kind) {
    case "wait": {
      const epoch = step.until === "node" ? day : situation.epoch;
      return { ...situation, epoch, time: most(time, step.time), block: most(situation.block, step.block - 1n) };
    }
    case "closeEpoch":
      return { ...situation, phase: "window", closedAt: time, closedBlock: block, block, renewalsBlock: 0n };
    case "beginRenewals":
      return { ...situation, renewalsBlock: block, block };
    case "forfeitBond":
      return { ...situation, forfeitable: situation.forfeitable.filter((key) => key !== step.ownerKey), block };
    case "openEpoch":
      return { ...situation, epoch: situation.epoch + 1, phase: "trading", block };
  }
}

// ------------------------------------------------------------------ taking the steps

/** Somebody with ether, at a node. Both may throw what the chain's calls throw. */
export type Keeper = {
  look(): Promise<Situation>;
  /** Sends a step's transaction and waits for its block. */
  send(action: Action): Promise<Hex>;
};

/** A step that is done: by this transaction, or without one of ours. */
export type Taken = { readonly action: Action; readonly transaction: Hex | undefined };

/** What the contract says to those whose clock is ahead of the chain's, or whose view is behind it. */
const MISTIMED: ReadonlySet<string> = new Set([
  "TooEarly",
  "BlocksMissing",
  "RenewalsNotBegun",
  "NotInPhase",
  "NothingToForfeit",
]);

/**
 * Takes a step of day `day`. One that fails because another keeper was quicker, or that landed though its answer was
 * lost, is done; undefined: chain and view are a moment apart. Throws what the chain's calls throw.
 */
export async function takeStep(keeper: Keeper, action: Action, day: number): Promise<Taken | undefined> {
  try {
    return { action, transaction: await keeper.send(action) };
  } catch (error) {
    if (!(error instanceof HedgerowError) || error instanceof WaitEnded) throw error;
    const situation = await keeper.look().catch(() => undefined);
    if (situation !== undefined && isDone(action, situation, day)) return { action, transaction: undefined };
    if (situation !== undefined && MISTIMED.has(error.code)) return undefined;
    throw error;
  }
}

export type SettleOptions = {
  /** Goes on until the next day is open; otherwise takes what can be taken now, and throws DayWaits. */
  readonly isPatient: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onTaken?: (taken: Taken) => void | Promise<void>;
  readonly onWait?: (wait: Wait, situation: Situation) => void | Promise<void>;
  /** How often the chain is looked at, milliseconds; once a second by default. */
  readonly pollMs?: number;
};

/** How long the contract may refuse a step whose time has come as far as we see, or a node may lag; milliseconds. */
const APART_PATIENCE_MS = 120_000;

/**
 * Takes all steps that are left of day `day`. May be called again after it failed or was ended anywhere, by anybody,
 * and by several at once. Throws DayNotOver, DayWaits, what the chain's calls throw, and the signal's reason.
 */
export async function settleDay(keeper: Keeper, day: number, options: SettleOptions): Promise<void> {
  const { isPatient, signal, pollMs = 1_000 } = options;
  let apartSince: number | undefined;
  const pause = async (wait: Wait, situation: Situation): Promise<void> => {
    apartSince = wait.until === "node" ? (apartSince ?? performance.now()) : undefined;
    const isHopeless = apartSince !== undefined && performance.now() - apartSince > APART_PATIENCE_MS;
    if (!isPatient || isHopeless) throw new DayWaits(day, wait);
    await options.onWait?.(wait, situation);
    await setTimeout(pollMs, undefined, { signal });
  };
  for (;;) {
    signal?.throwIfAborted();
    const situation = isPatient ? await lookAgain(keeper, pollMs, signal) : await keeper.look();
    const step = nextStep(situation, day);
    if (step.kind === "done") return;
    if (step.kind === "wait") {
      if (step.until === "closingTime") throw new DayNotOver(day, step.time);
      await pause(step, situation);
      continue;
    }
    const taken = await takeStep(keeper, step, day);
    if (taken === undefined) {
      const { time, block } = situation;
      await pause({ kind: "wait", until: "node", time, block: block + 1n }, situation);
      continue;
    }
    apartSince = undefined;
    await options.onTaken?.(taken);
  }
}

/** Looks until the node answers: it may be started anew while a day waits. Throws what looking throws. */
async function lookAgain(keeper: Keeper, pollMs: number, signal: AbortSignal | undefined): Promise<Situation> {
  for (const since = performance.now(); ;) {
    try {
      return await keeper.look();
    } catch (error) {
      if (!(error instanceof ChainUnavailable) || performance.now() - since > APART_PATIENCE_MS) throw error;
    }
    await setTimeout(pollMs, undefined, { signal });
  }
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function most(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
