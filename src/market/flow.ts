import { CsvError, parse, type Parser } from "csv-parse";
import { z } from "zod";
import { HedgerowError } from "../protocol/errors.ts";
import type { Book } from "./engine.ts";
import { MatchingError } from "./errors.ts";
import { MAX_QUANTITY } from "./terms.ts";
import type { Command, NewOrder, Side } from "./types.ts";
import { openOrder } from "./views.ts";

// MAT-15 A line of recorded flow that breaks the format is refused with its number, column, value and rule; line ends,
//        quotes, a byte order mark and further columns make no difference.
//
// Recorded order flow is CSV with a header line. Prices are whole numbers in the unit of the recording; the caller
// turns them into ticks if they are not. Columns may stand in any order, and further ones are ignored.

/** A line of a flow or book file is not what the format says. `line` counts from 1, the header. */
export class MalformedFlow extends MatchingError {
  constructor(line: number, column: string, value: string, rule: string) {
    super("MalformedFlow", `line ${line}, column ${column}: "${value}" is wrong: ${rule}`, {
      line,
      column,
      value,
      rule,
    });
  }
}

/** The source of a flow or book failed. */
export class UnreadableFlow extends MatchingError {
  constructor(reason: string) {
    super("UnreadableFlow", `cannot read the order flow: ${reason}`, { reason });
  }
}

/** What every row of recorded flow has. `timeNs` is nanoseconds since 1970; `seq` rises strictly. */
interface FlowRowBase {
  readonly line: number;
  readonly seq: number;
  readonly timeNs: bigint;
  readonly orderId: string;
}

/** The terms of an order in a recording. */
interface FlowTerms {
  readonly side: Side;
  readonly price: number;
  readonly size: number;
}

/** A row of recorded flow. `size` of a MODIFY is the size that is to be open from then on. */
export type FlowRow =
  | (FlowRowBase & FlowTerms & { readonly op: "NEW"; readonly timeInForce: "GTC" | "IOC" })
  | (FlowRowBase & FlowTerms & { readonly op: "MODIFY" })
  | (FlowRowBase & { readonly op: "CANCEL" });

/** An order that rests when the recording begins. File order is priority order within a price. */
export interface BookRow {
  readonly line: number;
  readonly orderId: string;
  readonly side: Side;
  readonly price: number;
  readonly size: number;
}

const wholeNumber = (rule: string, lowest: number, highest: number) =>
  z
    .string(rule)
    .regex(/^-?\d{1,16}$/, rule)
    .transform((text) => Number(text) + 0) // + 0 turns "-0" into 0
    .refine((value) => value >= lowest && value <= highest, rule);

const seq = wholeNumber("seq must be a whole number from 0 to 2^53 - 1", 0, Number.MAX_SAFE_INTEGER);
const timeNs = z
  .string("time_ns must be whole nanoseconds")
  .regex(/^\d{1,20}$/, "time_ns must be whole nanoseconds")
  .transform(BigInt);
const orderId = z.string("order_id must not be empty").min(1, "order_id must not be empty");
const side = z
  .enum(["B", "A"], "side must be B (bid) or A (ask)")
  .transform((letter) => (letter === "B" ? "buy" : "sell"));
const price = wholeNumber("price must be a whole number within 2^53", Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
const size = wholeNumber("size must be a whole number from 1 to 2147483647", 1, MAX_QUANTITY);
const tif = z.enum(["GTC", "IOC"], "tif must be GTC or IOC");

const flowRow = z.discriminatedUnion(
  "op",
  [
    z
      .object({ op: z.literal("NEW"), seq, time_ns: timeNs, order_id: orderId, side, price, size, tif })
      .transform(({ time_ns, order_id, tif, ...row }) => ({
        ...row,
        timeNs: time_ns,
        orderId: order_id,
        timeInForce: tif,
      })),
    z
      .object({ op: z.literal("MODIFY"), seq, time_ns: timeNs, order_id: orderId, side, price, size })
      .transform(({ time_ns, order_id, ...row }) => ({ ...row, timeNs: time_ns, orderId: order_id })),
    z
      .object({ op: z.literal("CANCEL"), seq, time_ns: timeNs, order_id: orderId })
      .transform(({ time_ns, order_id, ...row }) => ({ ...row, timeNs: time_ns, orderId: order_id })),
  ],
  "op must be NEW, CANCEL or MODIFY",
);

const bookRow = z
  .object({ order_id: orderId, side, price, size })
  .transform(({ order_id, ...row }) => ({ ...row, orderId: order_id }));

const FLOW_COLUMNS = ["seq", "time_ns", "op", "order_id", "side", "price", "size", "tif"] as const;
const BOOK_COLUMNS = ["order_id", "side", "price", "size"] as const;

/** Text in UTF-8, in pieces: a file stream, for example. */
export type FlowSource = AsyncIterable<Uint8Array | string>;

/** Rows of a flow file, one by one. Throws MalformedFlow at the first bad line, UnreadableFlow if the source fails. */
export async function* parseFlow(source: FlowSource): AsyncGenerator<FlowRow> {
  let lastSeq = -1;
  for await (const { line, cells } of readCells(source, FLOW_COLUMNS)) {
    const row = { ...checkRow(flowRow, line, cells), line };
    if (row.seq <= lastSeq) {
      throw new MalformedFlow(line, "seq", `${row.seq}`, `seq must be higher than the ${lastSeq} before it`);
    }
    lastSeq = row.seq;
    yield row;
  }
}

/** Rows of an initial book file, in priority order. Throws as `parseFlow` does. */
export async function* parseInitialBook(source: FlowSource): AsyncGenerator<BookRow> {
  for await (const { line, cells } of readCells(source, BOOK_COLUMNS))
    yield { ...checkRow(bookRow, line, cells), line };
}

/**
 * The engine command of a row, prices taken as ticks. A recorded MODIFY names the size that is to be open from then on,
 * and an engine's replacement the total, so what has traded is added. Recordings begin in the middle of a day: a CANCEL
 * or MODIFY of an order never seen is a proper command, and the engine answers it with a rejection (MAT-10).
 */
export function flowCommand(book: Book, row: FlowRow, owner: string): Command {
  const { orderId } = row;
  if (row.op === "CANCEL") return { kind: "cancel", orderId };
  const order = { orderId, side: row.side, priceTicks: row.price };
  if (row.op === "NEW") return { kind: "new", ...order, owner, quantity: row.size, timeInForce: row.timeInForce };
  const { filled, revision } = openOrder(book, orderId) ?? { filled: 0, revision: 0 };
  return { kind: "replace", ...order, quantity: filled + row.size, revision: revision + 1 };
}

/** The engine command that enters an order of the initial book, price taken as ticks. */
export function bookCommand(row: BookRow, owner: string): NewOrder {
  return {
    kind: "new",
    orderId: row.orderId,
    owner,
    side: row.side,
    priceTicks: row.price,
    quantity: row.size,
    timeInForce: "GTC",
  };
}

const csvRecord = z.object({ info: z.object({ lines: z.number() }), record: z.array(z.string()) });

type Cells = Readonly<Record<string, string>>;

/** Splits text into rows of cells named by the header, each with the number of its last line. */
async function* readCells(
  source: FlowSource,
  columns: readonly string[],
): AsyncGenerator<{ readonly line: number; readonly cells: Cells }> {
  const parser = parse({
    bom: true,
    info: true,
    record_delimiter: ["\r\n", "\n"],
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: 65_536,
  });
  void feed(source, parser);
  const rows: AsyncIterable<unknown> = parser;
  let header: readonly string[] | undefined;
  try {
    for await (const row of rows) {
      const { info, record } = csvRecord.parse(row);
      if (header === undefined) {
        header = record.map((name) => name.trim());
        checkHeader(header, info.lines, columns);
        continue;
      }
      yield { line: info.lines, cells: Object.fromEntries(header.map((name, i) => [name, record[i] ?? ""])) };
    }
  } catch (error) {
    if (error instanceof HedgerowError) throw error;
    if (error instanceof CsvError) throw new MalformedFlow(parser.info.lines, "(line)", error.code, error.message);
    throw new UnreadableFlow(error instanceof Error ? error.message : String(error));
  }
  if (header === undefined) checkHeader([], 1, columns);
}

/** Writes the source into the parser no faster than rows are taken from it. A failure surfaces at the reader. */
async function feed(source: FlowSource, parser: Parser): Promise<void> {
  const closed = new Promise<void>((resolve) => parser.once("close", resolve));
  try {
    for await (const chunk of source) {
      if (parser.destroyed) return; // the reader has stopped; leaving the loop closes the source
      if (parser.write(chunk)) continue;
      await Promise.race([closed, new Promise<void>((resolve) => parser.once("drain", resolve))]);
    }
    parser.end();
  } catch (error) {
    parser.destroy(error instanceof Error ? error : new Error(String(error)));
  }
}

function checkHeader(header: readonly string[], line: number, columns: readonly string[]): void {
  for (const column of columns) {
    const count = header.filter((name) => name === column).length;
    if (count !== 1) throw new MalformedFlow(line, column, header.join(","), "the header must name each column once");
  }
}

function checkRow<T>(schema: z.ZodType<T>, line: number, cells: Cells): T {
  const result = schema.safeParse(cells);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const column = String(issue?.path[0] ?? "(line)");
  throw new MalformedFlow(line, column, cells[column] ?? "", issue?.message ?? "the row must fit the format");
}
