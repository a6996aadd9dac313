import { parse } from "csv-parse/sync";
import { z } from "zod";
import { HedgerowError } from "../protocol/errors.ts";
import { positiveDollarsSchema } from "./dollars.ts";

/*
 * Margins as a clearing house publishes them: a row for each day from which on others are in force. The form is that of
 * a CSV file with the columns date, initial and maintenance, in dollars per contract; `initial` may be left out.
 */

/** Margins in force from a day on (UTC), in base units per contract. */
export type MarginRow = {
  /** As 2026-03-01. */
  readonly date: string;
  readonly maintenance: bigint;
  /** Undefined: 1.10 times maintenance. */
  readonly initial: bigint | undefined;
};

/** Rows by rising date; one at least. */
export type MarginSchedule = readonly MarginRow[];

/** A margin schedule cannot be read, or contradicts itself. */
export class BadMarginSchedule extends HedgerowError {
  constructor(where: string, rule: string) {
    super("BadMarginSchedule", `${where}: ${rule}`, { where, rule });
  }
}

const ISO_DAY = /^(\d{4})-?(\d\d)-?(\d\d)$/;

const EXPECTED_DAY = 'expected a day, as "2026-03-01" or 20260301';

const daySchema = z
  .union([z.string(), z.number()], EXPECTED_DAY)
  .transform((day) => String(day).replace(ISO_DAY, "$1-$2-$3"))
  .refine(isDay, EXPECTED_DAY);

const rowSchema = z
  .strictObject({
    date: daySchema,
    initial: positiveDollarsSchema.optional(),
    maintenance: positiveDollarsSchema,
  })
  .refine(({ initial, maintenance }) => initial === undefined || initial >= maintenance, {
    path: ["initial"],
    error: "initial must not be below maintenance",
  })
  .transform(({ date, maintenance, initial }): MarginRow => ({ date, maintenance, initial }));

/** Rows of a schedule as JSON has them; the dates must rise. */
export const marginScheduleSchema = z
  .array(rowSchema)
  .min(1, "expected one row or more")
  .superRefine((rows, context) => {
    const i = rows.findIndex(({ date }, at) => at > 0 && date <= (rows[at - 1]?.date ?? ""));
    if (i > 0) {
      const message = `dates must rise, and ${rows[i]?.date ?? ""} comes after ${rows[i - 1]?.date ?? ""}`;
      context.addIssue({ code: "custom", path: [i, "date"], message });
    }
  });

/** A margin schedule from CSV text. Throws BadMarginSchedule with the file, the row and the rule. */
export function parseMarginSchedule(text: string, file: string): MarginSchedule {
  const parsed = marginScheduleSchema.safeParse(rowsOf(text, file));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const [row, field] = issue?.path ?? [];
  const place = typeof row === "number" ? `${file}, row ${row + 1}` : file;
  const what = issue?.message ?? "not understood";
  throw new BadMarginSchedule(field === undefined ? place : `${place}, ${String(field)}`, what);
}

function rowsOf(text: string, file: string): unknown {
  try {
    return parse(text, {
      bom: true,
      columns: (header: readonly string[]) => header.map((name) => name.trim().toLowerCase()),
      comment: "#",
      skip_empty_lines: true,
      trim: true,
      cast: (value) => (value === "" ? undefined : value),
    });
  } catch (error) {
    throw new BadMarginSchedule(file, `no CSV (${error instanceof Error ? error.message : String(error)})`);
  }
}

/** The row in force at a moment (unix seconds); undefined before the first one. */
export function marginsAt(schedule: MarginSchedule, time: bigint): MarginRow | undefined {
  const day = dayOf(time);
  return schedule.findLast(({ date }) => date <= day);
}

/** The rows that are in force at some time from `start` up to `end` (unix seconds), by rising date. */
export function marginsBetween(schedule: MarginSchedule, start: bigint, end: bigint): readonly MarginRow[] {
  const first = marginsAt(schedule, start);
  const later = schedule.filter(({ date }) => date > dayOf(start) && date <= dayOf(end));
  return first === undefined ? later : [first, ...later];
}

/** The day (UTC) of a moment in unix seconds, as 2026-03-01. */
export function dayOf(time: bigint): string {
  return new Date(Number(time) * 1_000).toISOString().slice(0, 10);
}

function isDay(text: string): boolean {
  const time = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().slice(0, 10) === text;
}
