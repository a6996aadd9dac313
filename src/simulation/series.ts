import { parse } from "csv-parse/sync";
import { z } from "zod";
import { HedgerowError } from "../protocol/errors.ts";
import { SLOTS } from "../protocol/note.ts";

/** A file of settlement prices or margins cannot be used. */
export class BadSeries extends HedgerowError {
  constructor(where: string, rule: string) {
    super("BadSeries", `${where}: ${rule}`, { where, rule });
  }
}

/** A decimal number as it stood in a file: value = units / 10^decimals. */
export type Decimal = { readonly units: bigint; readonly decimals: number };

/** One contract's settlement prices. Days are places in the series' list of days. */
export type SymbolSeries = {
  readonly symbol: string;
  readonly firstDay: number;
  /** Its last trading day. */
  readonly lastDay: number;
  /** By day; a day without a row has none. */
  readonly prices: ReadonlyMap<number, Decimal>;
  /** Most decimals of any of its prices. */
  readonly decimals: number;
};

/** Settlement prices of several contracts over many days. */
export type Series = {
  /** Dates that have a row, ascending. */
  readonly days: readonly string[];
  /** In the order of their first days, and then of their names. */
  readonly symbols: readonly SymbolSeries[];
};

/** Margins of one contract from a date on, dollars per contract. */
export type MarginRow = { readonly date: string; readonly initial: Decimal; readonly maintenance: Decimal };

const date = z
  .string()
  .regex(/^\d{4}-?\d{2}-?\d{2}$/, 'expected a date as "2020-04-20"')
  .transform((text) => text.replaceAll("-", "").replace(/^(....)(..)(..)$/, "$1-$2-$3"))
  .refine((text) => !Number.isNaN(Date.parse(text)), "expected a date of the calendar")
  .refine((text) => new Date(`${text}T00:00:00Z`).toISOString().startsWith(text), "expected a date of the calendar");

const decimal = z
  .string()
  .regex(/^-?\d{1,12}(\.\d{1,6})?$/, 'expected a price as "-37.63", at most 6 decimals')
  .transform(decimalOf);

const amount = decimal.refine(({ units }) => units > 0n, "expected more than zero");

const settlementRow = z.object({
  date,
  symbol: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9 ./_-]{0,31}$/, "expected a name of up to 32 letters and digits"),
  settle: decimal,
});

const marginRow = z
  .object({ date, initial: amount, maintenance: amount })
  .refine(({ initial, maintenance }) => compare(maintenance, initial) <= 0, "maintenance must not be above initial");

/**
 * Settlement prices from CSV with the columns date, symbol and settle, in any order of rows; of the symbols named, or of
 * all. A symbol's last row is its last trading day. Throws BadSeries with file, line and rule.
 */
export function parseSettlements(text: string, file: string, wanted: readonly string[] = []): Series {
  const rows = rowsOf(text, file, settlementRow, ["date", "symbol", "settle"]);
  const missing = wanted.find((symbol) => !rows.some(({ row }) => row.symbol === symbol));
  if (missing !== undefined) throw new BadSeries(file, `no row has the symbol ${missing}: look at its symbol column`);
  const chosen = rows.filter(({ row }) => wanted.length === 0 || wanted.includes(row.symbol));
  const days = [...new Set(chosen.map(({ row }) => row.date))].sort();
  const dayOf = new Map(days.map((name, day) => [name, day]));
  const symbols = [...Map.groupBy(chosen, ({ row }) => row.symbol)].map(([symbol, own]): SymbolSeries => {
    const prices = new Map<number, Decimal>();
    for (const { row, line } of own) {
      const day = dayOf.get(row.date) ?? 0;
      if (prices.has(day)) throw new BadSeries(`${file}, line ${line}`, `${symbol} has two rows of ${row.date}`);
      prices.set(day, row.settle);
    }
    const ownDays = [...prices.keys()];
    return {
      symbol,
      firstDay: Math.min(...ownDays),
      lastDay: Math.max(...ownDays),
      prices,
      decimals: Math.max(...own.map(({ row }) => row.settle.decimals)),
    };
  });
  symbols.sort((a, b) => a.firstDay - b.firstDay || (a.symbol < b.symbol ? -1 : 1));
  const crowded = days.findIndex((_, day) => runningOn(symbols, day).length > SLOTS);
  if (crowded >= 0) {
    const count = runningOn(symbols, crowded).length;
    throw new BadSeries(
      file,
      `${count} symbols run on ${days[crowded] ?? ""}, but a house has ${SLOTS} slots: choose some with --symbol`,
    );
  }
  return { days, symbols };
}

/** The first `count` days of a series; contracts that go on after them have their last days beyond. */
export function firstDays({ days, symbols }: Series, count: number): Series {
  return { days: days.slice(0, count), symbols: symbols.filter(({ firstDay }) => firstDay < count) };
}

/** Margins by date, ascending, from CSV: date, initial, maintenance; the heading may be absent. Throws BadSeries. */
export function parseMargins(text: string, file: string): readonly MarginRow[] {
  const columns = ["date", "initial", "maintenance"];
  const withHeading = /^\s*date\b/i.test(text) ? text : `${columns.join(",")}\n${text}`;
  const rows = rowsOf(withHeading, file, marginRow, columns, withHeading === text ? 0 : 1).map(({ row }) => row);
  return rows.sort((a, b) => (a.date < b.date ? -1 : 1));
}

/** The margins in force on a date: the latest that do not begin after it, or the first of all. */
export function marginsOn(rows: readonly MarginRow[], day: string): MarginRow | undefined {
  return rows.findLast((row) => row.date <= day) ?? rows[0];
}

/** The recorded price of a day, or the latest one before it; before the first, the first. */
export function recordedPrice({ prices, firstDay, lastDay }: SymbolSeries, day: number): Decimal {
  for (let at = Math.min(day, lastDay); at >= firstDay; at--) {
    const price = prices.get(at);
    if (price !== undefined) return price;
  }
  return prices.get(firstDay) ?? { units: 0n, decimals: 0 };
}

/** A decimal times a whole number of base units, which must have as many decimals as it. */
export function inBaseUnits({ units, decimals }: Decimal, unitsPerOne: bigint): bigint {
  return (units * unitsPerOne) / 10n ** BigInt(decimals);
}

/** Symbols that have begun by a day and not ended before it. */
export function runningOn(symbols: readonly SymbolSeries[], day: number): readonly SymbolSeries[] {
  return symbols.filter(({ firstDay, lastDay }) => firstDay <= day && day <= lastDay);
}

type Numbered<T> = { readonly row: T; readonly line: number };

function rowsOf<T>(
  text: string,
  file: string,
  schema: z.ZodType<T>,
  columns: readonly string[],
  addedLines = 0,
): Numbered<T>[] {
  const records = recordsOf(text, file);
  const [heading] = records;
  const absent = columns.find((column) => heading?.record[column] === undefined);
  if (heading === undefined) throw new BadSeries(file, "it has no rows");
  if (absent !== undefined) {
    throw new BadSeries(file, `it has no column ${absent}: the first line must name ${columns.join(",")}`);
  }
  return records.map(({ record, line: counted }) => {
    const line = counted - addedLines;
    const parsed = schema.safeParse(record);
    if (parsed.success) return { row: parsed.data, line };
    const [issue] = parsed.error.issues;
    const column = issue?.path[0];
    const value = typeof column === "string" ? ` ${column} "${record[column] ?? ""}"` : "";
    throw new BadSeries(`${file}, line ${line}`, `${issue?.message ?? "not understood"}${value && `, not${value}`}`);
  });
}

const recordSchema = z.array(
  z.object({ record: z.record(z.string(), z.string()), info: z.object({ lines: z.number() }) }),
);

function recordsOf(text: string, file: string) {
  try {
    const options = { columns: lowerCase, info: true, trim: true, bom: true, skip_empty_lines: true, comment: "#" };
    const parsed: unknown = parse(text, options);
    return recordSchema.parse(parsed).map(({ record, info }) => ({ record, line: info.lines }));
  } catch (error) {
    throw new BadSeries(file, `no CSV (${error instanceof Error ? error.message : String(error)})`);
  }
}

function lowerCase(heading: string[]): string[] {
  return heading.map((name) => name.toLowerCase());
}

function decimalOf(text: string): Decimal {
  const [whole = "0", part = ""] = text.split(".");
  return { units: BigInt(whole + part), decimals: part.length };
}

function compare(a: Decimal, b: Decimal): number {
  const left = a.units * 10n ** BigInt(b.decimals);
  const right = b.units * 10n ** BigInt(a.decimals);
  return left < right ? -1 : left > right ? 1 : 0;
}
