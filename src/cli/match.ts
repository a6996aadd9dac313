import { once } from "node:events";
import {
  type BigIntStats,
  createReadStream,
  createWriteStream,
  existsSync,
  type ReadStream,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { basename } from "node:path";
import { pipeline as connect, type Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { apply, type Book, createBook } from "../market/engine.ts";
import { MatchingError } from "../market/errors.ts";
import { bookCommand, flowCommands, flowPieces, type FlowRow, parseInitialBook } from "../market/flow.ts";
import { HedgerowError } from "../protocol/errors.ts";
import { reasonOf } from "../trader/files.ts";
import { grouped, Progress } from "./terminal.ts";

/** What `hedgerow match` is given. A file `-` is standard input or output; one that ends in .gz is unpacked. */
export interface MatchOptions {
  readonly commands: string;
  readonly fills: string;
  readonly book?: string;
  readonly json?: true;
}

/** What came of the commands. `rejected` counts those the engine refused: they changed nothing (MAT-10). */
export interface MatchCounts {
  commands: number;
  fills: number;
  rejected: number;
}

/** Files of a match do not go together, or one of them is wrong. */
export class BadMatchFile extends HedgerowError {
  constructor(file: string, reason: string) {
    super("BadMatchFile", `${file}: ${reason}`, { file, reason });
  }
}

/**
 * Runs recorded commands through the engine alone and writes the fills. A file of fills appears whole or not at all: it
 * is written beside its place and moved there at the end. What is wrong is told on standard error with exit code 2.
 */
export async function runMatch(options: MatchOptions): Promise<void> {
  const started = performance.now();
  try {
    const counts = await match(options);
    const seconds = (performance.now() - started) / 1000;
    const { commands, fills, rejected } = counts;
    const summary = options.json
      ? JSON.stringify({ ...counts, seconds })
      : `${grouped(commands)} commands, ${grouped(fills)} fills, ${grouped(rejected)} rejected in ${seconds.toFixed(2)} s`;
    // Where the fills go to standard output, nothing else does.
    if (options.fills === "-") console.error(summary);
    else console.log(summary);
  } catch (error) {
    if (!(error instanceof HedgerowError)) throw error;
    console.error(`hedgerow match: ${error.message}`);
    process.exitCode = 2;
  }
}

async function match(files: MatchOptions): Promise<MatchCounts> {
  checkInputs(files);
  const counts: MatchCounts = { commands: 0, fills: 0, rejected: 0 };
  const output = await openOutput(files.fills);
  try {
    await pipeline(fillText(files, counts), output.stream, { end: output.stream !== process.stdout });
    output.keep();
    return counts;
  } catch (error) {
    output.discard();
    if (error instanceof HedgerowError || !isSystemError(error)) throw error;
    throw new BadMatchFile(files.fills, `cannot write the fills: ${reasonOf(error)}`);
  }
}

/** The file of fills, piece by piece. */
async function* fillText(files: MatchOptions, counts: MatchCounts): AsyncGenerator<string> {
  const book = createBook();
  if (files.book !== undefined) await loadBook(book, files.book);
  yield "seq,n,taker_order_id,maker_order_id,price,size\n";
  try {
    for await (const rows of flowPieces(openInput(files.commands))) yield fillsOf(book, rows, counts);
  } catch (error) {
    throw inFile(files.commands, error);
  }
}

/** Enters the orders that rest when the recording begins. */
async function loadBook(book: Book, file: string): Promise<void> {
  try {
    for await (const row of parseInitialBook(openInput(file))) {
      const [first, second] = apply(book, book.lastSeq + 1, bookCommand(row, row.orderId));
      if (first?.kind === "rejected") throw new BadMatchFile(file, `line ${row.line}: ${first.error.message}`);
      if (second?.kind === "executed") {
        const rule = `order ${row.orderId} would trade with ${second.maker}, but what rests together never meets`;
        throw new BadMatchFile(file, `line ${row.line}: ${rule}`);
      }
    }
  } catch (error) {
    throw inFile(file, error);
  }
}

/** Applies the rows and returns the lines of their fills. */
function fillsOf(book: Book, rows: Iterable<FlowRow>, counts: MatchCounts): string {
  let text = "";
  for (const row of rows) {
    counts.commands++;
    let n = 0;
    // Who owns an order is not recorded, and what traded was free to: each order is its own owner (MAT-7).
    for (const command of flowCommands(book, row, row.orderId)) {
      // The initial book and a change of side take numbers too, so that those of the recording are no use here.
      for (const entry of apply(book, book.lastSeq + 1, command)) {
        if (entry.kind === "rejected") counts.rejected++;
        if (entry.kind !== "executed") continue;
        const { taker, maker, priceTicks, quantity } = entry;
        text += `${row.seq},${n++},${csvCell(taker)},${csvCell(maker)},${priceTicks},${quantity}\n`;
      }
    }
    counts.fills += n;
  }
  return text;
}

/** A cell of the output, in quotes where it needs them. */
function csvCell(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The error with the file it is about. */
function inFile(file: string, error: unknown): unknown {
  return error instanceof MatchingError ? new BadMatchFile(file, error.message) : error;
}

/** Whether the system refused something: a full disk, a closed pipe. */
function isSystemError(error: unknown): boolean {
  return error instanceof Error && "syscall" in error;
}

/** Refuses files that would be read and written at once, and standard input for two. */
function checkInputs({ commands, fills, book }: MatchOptions): void {
  if (commands === "-" && book === "-") throw new BadMatchFile("-", "standard input is one file: name another");
  const written = statOf(fills);
  if (written?.isDirectory() === true) throw new BadMatchFile(fills, "is a folder: name a file for the fills");
  for (const input of [commands, book]) {
    const read = input === undefined ? undefined : statOf(input);
    if (read?.isFile() === true && read.dev === written?.dev && read.ino === written.ino) {
      throw new BadMatchFile(fills, "is also read: name another file for the fills");
    }
  }
}

function statOf(file: string): BigIntStats | undefined {
  if (file === "-") return undefined;
  try {
    return statSync(file, { throwIfNoEntry: false, bigint: true });
  } catch (error) {
    throw new BadMatchFile(file, reasonOf(error));
  }
}

/** Opens a file to be read from its start. What fails, fails at the reader. */
function openInput(file: string): Readable {
  if (file === "-") return process.stdin;
  const raw = createReadStream(file);
  if (process.stderr.isTTY) showProgress(raw, file);
  return file.endsWith(".gz") ? connect(raw, createGunzip(), () => undefined) : raw;
}

/** Files of more bytes get a progress bar on a terminal. */
const LONG_FILE = 16_000_000;
const MEGABYTE = 1_000_000;

function showProgress(raw: ReadStream, file: string): void {
  const size = Number(statOf(file)?.size ?? 0n);
  if (size < LONG_FILE) return;
  const progress = new Progress(`megabytes of ${basename(file)}`, Math.floor(size / MEGABYTE));
  let shown = 0;
  const show = (): void => {
    for (; shown < Math.floor(raw.bytesRead / MEGABYTE); shown++) progress.step();
  };
  const timer = setInterval(show, 200);
  raw.once("close", () => {
    clearInterval(timer);
    show();
    progress.end();
  });
}

/** Where the fills go, and how it ends: `keep` what is written, or `discard` it. */
interface Output {
  readonly stream: NodeJS.WritableStream;
  readonly keep: () => void;
  readonly discard: () => void;
}

/** Signals that end a program from outside, with the exit codes that shells know. */
const ENDINGS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** Opens the place of the fills. Throws BadMatchFile. What is no file (a pipe, a device) is written as it is. */
async function openOutput(file: string): Promise<Output> {
  const nothing = (): void => undefined;
  if (file === "-") return { stream: process.stdout, keep: nothing, discard: nothing };
  const target = existsSync(file) ? realpathSync(file) : file;
  const isFile = statOf(target)?.isFile() ?? true;
  const written = isFile ? `${target}.${process.pid}.part` : target;
  const discard = (): void => {
    if (isFile) rmSync(written, { force: true });
  };
  for (const [signal, code] of Object.entries(ENDINGS)) {
    process.once(signal, () => {
      discard();
      process.exit(code);
    });
  }
  const stream = createWriteStream(written, { flags: isFile ? "wx" : "w" });
  try {
    await once(stream, "open");
  } catch (error) {
    throw new BadMatchFile(file, `cannot write the fills: ${reasonOf(error)}`);
  }
  const keep = (): void => {
    if (isFile) renameSync(written, target);
  };
  return { stream, keep, discard };
}
