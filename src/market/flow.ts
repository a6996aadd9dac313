import { CsvError, parse } from "csv-parse/sync";
import { z } from "zod";
import type { Book } from "./engine.ts";
import { MatchingError } from "./errors.ts";
import { MAX_QUANTITY } from "./terms.ts";
import type { Command, NewOrder, Side, TimeInForce } from "./types.ts";
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

/** A row of recorded flow. `size` of a MODIFY is the size that is to be open from then on, and may be 0. */
export type FlowRow =
  | (FlowRowBase & FlowTerms & { readonly op: "NEW"; readonly timeInForce: TimeInForce })
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

const FLOW_COLUMNS = ["seq", "time_ns", "op", "order_id", "side", "price", "size", "tif"];
const BOOK_COLUMNS = ["order_id", "side", "price", "size"];

/** Text in UTF-8, in pieces: a file stream, for example. */
export type FlowSource = AsyncIterable<Uint8Array | string>;

/** Rows of a flow file, one by one. Throws MalformedFlow at the first bad line, UnreadableFlow if the source fails. */
export async function* parseFlow(source: FlowSource): AsyncGenerator<FlowRow> {
  for await (const rows of flowPieces(source)) yield* rows;
}

/**
 * The same rows, those of one piece of the source at a time: in a long file a promise for each row would cost more than
 * its matching. A row is read when it is taken; take all rows of a piece before the next. Throws as `parseFlow` does,
 * a MalformedFlow where the row would come.
 */
export async function* flowPieces(source: FlowSource): AsyncGenerator<Iterable<FlowRow>> {
  let lastSeq = -1;
  const read = (line: Line): FlowRow => {
    const row = readFlowRow(line);
    if (row.seq <= lastSeq) throw fault(line, "seq", `seq must be higher than the ${lastSeq} before it`);
    lastSeq = row.seq;
    return row;
  };
  yield* readPieces(source, FLOW_COLUMNS, read);
}

/** Rows of an initial book file, in priority order. Throws as `parseFlow` does. */
export async function* parseInitialBook(source: FlowSource): AsyncGenerator<BookRow> {
  for await (const rows of readPieces(source, BOOK_COLUMNS, readBookRow)) yield* rows;
}

/**
 * The engine commands of a row, prices taken as ticks. A recorded MODIFY names the size that is to be open from then on,
 * and an engine's replacement the total, so what has traded is added; with size 0 it is a cancel, and with the other
 * side a cancel and a new order. Recordings begin in the middle of a day: a CANCEL or MODIFY of an order never seen is
 * a proper command, and the engine answers it with a rejection (MAT-10).
 */
export function flowCommands(book: Book, row: FlowRow, owner: string): readonly Command[] {
  const { orderId } = row;
  if (row.op === "CANCEL" || row.size === 0) return [{ kind: "cancel", orderId }];
  const order = { orderId, side: row.side, priceTicks: row.price };
  const entry = { kind: "new", ...order, owner, quantity: row.size } as const;
  if (row.op === "NEW") return [{ ...entry, timeInForce: row.timeInForce }];
  const { side, filled, revision } = openOrder(book, orderId) ?? { side: row.side, filled: 0, revision: 0 };
  if (side !== row.side)
    return [
      { kind: "cancel", orderId },
      { ...entry, timeInForce: "GTC" },
    ];
  return [{ kind: "replace", ...order, quantity: filled + row.size, revision: revision + 1 }];
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

// Cells are checked one by one: a schema for whole rows takes several times as long as matching them.

function readFlowRow(line: Line): FlowRow {
  const op = cellOf(line, "op");
  if (op !== "NEW" && op !== "MODIFY" && op !== "CANCEL") throw fault(line, "op", "op must be NEW, CANCEL or MODIFY");
  const seq = readWhole(line, "seq", 0, Number.MAX_SAFE_INTEGER, "seq must be a whole number from 0 to 2^53 - 1");
  const time = cellOf(line, "time_ns");
  if (!/^\d{1,20}$/.test(time)) throw fault(line, "time_ns", "time_ns must be whole nanoseconds");
  const row = { line: line.number, seq, timeNs: BigInt(time), orderId: readId(line) };
  if (op === "CANCEL") return { op, ...row };
  const side = readSide(line);
  const price = readPrice(line);
  if (op === "MODIFY") {
    const size = readWhole(line, "size", 0, MAX_QUANTITY, "size must be a whole number from 0 to 2147483647");
    return { op, ...row, side, price, size };
  }
  const size = readSize(line);
  const timeInForce = cellOf(line, "tif");
  if (timeInForce !== "GTC" && timeInForce !== "IOC" && timeInForce !== "FOK") {
    throw fault(line, "tif", "tif must be GTC, IOC or FOK");
  }
  return { op, ...row, side, price, size, timeInForce };
}

function readBookRow(line: Line): BookRow {
  return {
    line: line.number,
    orderId: readId(line),
    side: readSide(line),
    price: readPrice(line),
    size: readSize(line),
  };
}

function readId(line: Line): string {
  const id = cellOf(line, "order_id");
  if (id === "") throw fault(line, "order_id", "order_id must not be empty");
  // Two ids that are no UTF-8 could be read as one.
  if (id.includes("\uFFFD")) throw fault(line, "order_id", "order_id must be text in UTF-8");
  // A part of a string keeps the whole alive, here a piece of the file for as long as the order rests. This is a copy.
  return ` ${id}`.slice(1);
}

function readSide(line: Line): Side {
  const side = cellOf(line, "side");
  if (side !== "B" && side !== "A") throw fault(line, "side", "side must be B (bid) or A (ask)");
  return side === "B" ? "buy" : "sell";
}

function readPrice(line: Line): number {
  const rule = "price must be a whole number within 2^53";
  return readWhole(line, "price", Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, rule);
}

function readSize(line: Line): number {
  return readWhole(line, "size", 1, MAX_QUANTITY, "size must be a whole number from 1 to 2147483647");
}

function readWhole(line: Line, column: string, lowest: number, highest: number, rule: string): number {
  const text = cellOf(line, column);
  const value = /^-?\d{1,16}$/.test(text) ? Number(text) + 0 : NaN; // + 0 turns "-0" into 0
  if (!(value >= lowest && value <= highest)) throw fault(line, column, rule);
  return value;
}

/** A line cut into cells, and where each column stands. */
interface Line {
  readonly number: number;
  readonly cells: readonly string[];
  readonly places: ReadonlyMap<string, number>;
}

function cellOf({ cells, places }: Line, column: string): string {
  return cells[places.get(column) ?? -1] ?? "";
}

function fault(line: Line, column: string, rule: string): MalformedFlow {
  return new MalformedFlow(line.number, column, cellOf(line, column), rule);
}

/** The rows of each piece of the source, read by `read`. Line numbers count on from piece to piece. */
async function* readPieces<Row>(
  source: FlowSource,
  columns: readonly string[],
  read: (line: Line) => Row,
): AsyncGenerator<Iterable<Row>> {
  let next = 1;
  let places: ReadonlyMap<string, number> | undefined;
  function* rowsOf(records: readonly string[]): Generator<Row> {
    for (const record of records) {
      const number = next;
      const cells = cellsOf(number, record);
      next += 1 + (record.includes('"') ? record.split("\n").length - 1 : 0);
      if (cells.length === 0) continue;
      if (places === undefined) places = placesOf(number, cells, columns);
      else yield read({ number, cells, places });
    }
  }
  for await (const records of readRecords(source)) yield rowsOf(records);
  if (places === undefined) placesOf(1, [], columns);
}

/** Where the header puts each column; it must name the wanted ones once. */
function placesOf(number: number, header: readonly string[], columns: readonly string[]): ReadonlyMap<string, number> {
  const names = header.map((name) => name.replace(/^\uFEFF/, "").trim());
  for (const column of columns) {
    if (names.filter((name) => name === column).length === 1) continue;
    throw new MalformedFlow(number, column, names.join(","), "the header must name each column once");
  }
  return new Map(names.map((name, place) => [name, place]));
}

/** The longest line, in UTF-16 units, that is looked at: what has no end must not fill the memory. */
const LONGEST_LINE = 65_536;

/**
 * The source cut into lines, piece by piece, without their ends; a line break in quotes does not end one. What is longer
 * than the longest line comes as it is and is the last.
 */
async function* readRecords(source: FlowSource): AsyncGenerator<readonly string[]> {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let rest = "";
  try {
    for await (const chunk of source) {
      const records = cutRecords(rest + (typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true })));
      rest = records.pop() ?? "";
      yield records;
      if (rest.length > LONGEST_LINE) break;
    }
  } catch (error) {
    throw new UnreadableFlow(error instanceof Error ? error.message : String(error));
  }
  yield [rest + decoder.decode()];
}

/** Cuts text at its line breaks, but not inside quotes. The last record is what follows the last break. */
function cutRecords(text: string): string[] {
  const lines = text.split("\n");
  if (!text.includes('"')) return lines;
  const records: string[] = [];
  let open: string[] = [];
  let inQuotes = false;
  for (const line of lines) {
    open.push(line);
    if ((line.split('"').length - 1) % 2 === 1) inQuotes = !inQuotes;
    if (inQuotes) continue;
    records.push(open.join("\n"));
    open = [];
  }
  if (inQuotes) records.push(open.join("\n"));
  return records;
}

/** The cells of a record, none if it is blank. Throws MalformedFlow for quotes that do not fit and for endless lines. */
function cellsOf(number: number, record: string): readonly string[] {
  if (record.length > LONGEST_LINE) {
    const start = record.slice(0, 40);
    throw new MalformedFlow(number, "(line)", start, `a line has at most ${LONGEST_LINE} characters`);
  }
  const text = record.endsWith("\r") ? record.slice(0, -1) : record;
  if (text === "") return [];
  if (!text.includes('"')) return text.split(",");
  try {
    const [cells] = z
      .tuple([z.array(z.string())])
      .parse(parse(text, { bom: true, record_delimiter: "\n", relax_column_count: true }));
    return cells;
  } catch (error) {
    if (error instanceof CsvError) throw new MalformedFlow(number, "(line)", error.code, error.message);
    throw error;
  }
}
