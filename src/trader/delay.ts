import { randomInt } from "node:crypto";
import { HedgerowError } from "../protocol/errors.ts";
import { pauseFor, type ReachOptions, throwIfInterrupted } from "./desk/reach.ts";

/*
 * Chance in time: what is sent at a moment of its own choice says nothing about why it was sent (spec PRI-16).
 */

/** From the shortest to the longest wait, whole milliseconds. */
export type DelayRange = { readonly fromMs: number; readonly toMs: number };

/** A range of waiting times cannot be read. */
export class BadDelay extends HedgerowError {
  constructor(given: string, reason: string) {
    super("BadDelay", `the delay is ${JSON.stringify(given)}, but ${reason}: give 30s, 0-30s or 1m-5m`, { given });
  }
}

const UNIT_MS = new Map([
  ["ms", 1],
  ["s", 1_000],
  ["m", 60_000],
  ["h", 3_600_000],
]);
const LONGEST_MS = 24 * 3_600_000;
const STEP_MS = 1_000;

/** Reads "0-30s", "500ms-2s" or "30s" (0 to that). Without a unit the first takes the second's. Throws BadDelay. */
export function parseDelay(given: string): DelayRange {
  const [, first, firstUnit, second, secondUnit] = FORM.exec(given.trim()) ?? [];
  if (first === undefined) throw new BadDelay(given, "that is no range of times");
  const isRange = second !== undefined;
  const unit = (isRange ? secondUnit : firstUnit) ?? "s";
  const fromMs = isRange ? millisecondsOf(first, firstUnit ?? unit) : 0;
  const toMs = millisecondsOf(isRange ? second : first, unit);
  if (fromMs > toMs) throw new BadDelay(given, "its end comes before its start");
  if (toMs > LONGEST_MS) throw new BadDelay(given, "a day is the most");
  return { fromMs, toMs };
}

const FORM = /^(\d+(?:\.\d+)?) *(ms|s|m|h)?(?: *- *(\d+(?:\.\d+)?) *(ms|s|m|h)?)?$/;

function millisecondsOf(count: string, unit: string): number {
  return Math.round(Number(count) * (UNIT_MS.get(unit) ?? 1_000));
}

/** A whole number from `from` to `to`, both included, each as likely as the others, from the system's secure source. */
export function randomWithin(from: number, to: number): number {
  return to <= from ? from : from + randomInt(to - from + 1);
}

/**
 * Waits a while that nobody can foresee, and tells each second how much of it is left. Answers how long it was, in
 * milliseconds. Throws Interrupted where the signal ends it: what waited was not sent.
 */
export async function randomDelay(
  { fromMs, toMs }: DelayRange,
  { signal, onProgress }: ReachOptions = {},
): Promise<number> {
  const ms = randomWithin(fromMs, toMs);
  const total = Math.ceil(ms / 1_000);
  const end = performance.now() + ms;
  for (;;) {
    throwIfInterrupted(signal);
    const left = end - performance.now();
    if (left <= 0) return ms;
    const seconds = Math.ceil(left / 1_000);
    onProgress?.({ stage: "waiting", text: `${seconds} s, drawn at random`, done: total - seconds, total });
    await pauseFor(Math.min(left, STEP_MS), signal);
  }
}
