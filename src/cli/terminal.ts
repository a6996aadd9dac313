import { parseArgs, type ParseArgsOptionsConfig, stripVTControlCharacters } from "node:util";

/** A column of a table: its title, and whether its cells are numbers (set to the right). */
export type Column = { readonly title: string; readonly right?: boolean };

/** A plain table: columns as wide as their widest cell, two spaces between, no line longer than it must be. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map((column, i) =>
    Math.max(column.title.length, ...rows.map((row) => stripVTControlCharacters(row[i] ?? "").length)),
  );
  const line = (cells: readonly string[]): string =>
    columns
      .map((column, i) => {
        const cell = cells[i] ?? "";
        const gap = " ".repeat((widths[i] ?? 0) - stripVTControlCharacters(cell).length);
        return column.right === true ? gap + cell : cell + gap;
      })
      .join("  ")
      .trimEnd();
  const rule = line(columns.map(({ title }, i) => "-".repeat(title === "" ? 0 : (widths[i] ?? 0))));
  return [line(columns.map((column) => column.title)), rule, ...rows.map(line)].join("\n");
}

/** Collateral base units (6 decimals) as dollars with thousands separated and cents: -1,234.50. */
export function dollars(baseUnits: bigint, decimals = 6): string {
  const unit = 10n ** BigInt(decimals);
  const magnitude = baseUnits < 0n ? -baseUnits : baseUnits;
  const cents = (magnitude * 100n + unit / 2n) / unit;
  const whole = (cents / 100n).toString().replace(/\B(?=(\d{3})+$)/g, ",");
  const sign = baseUnits < 0n && cents > 0n ? "-" : "";
  return `${sign}${whole}.${(cents % 100n).toString().padStart(2, "0")}`;
}

/** A whole number with thousands separated. */
export function grouped(value: bigint | number): string {
  return value.toString().replace(/\B(?=(\d{3})+$)/g, ",");
}

/** Unix seconds as local time with its offset: "2026-03-01 14:30:00 UTC+01:00". */
export function localTime(seconds: number): string {
  const two = (value: number): string => value.toString().padStart(2, "0");
  const date = new Date(seconds * 1000);
  const east = -date.getTimezoneOffset();
  const offset = `${east < 0 ? "-" : "+"}${two(Math.floor(Math.abs(east) / 60))}:${two(Math.abs(east) % 60)}`;
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `${day} ${time} UTC${offset}`;
}

/**
 * A progress bar on a terminal, or a line at the start and the end where the output is no terminal.
 * It writes to standard error, so that results can be piped.
 */
export class Progress {
  readonly #title: string;
  readonly #total: number;
  readonly #stream: NodeJS.WriteStream;
  readonly #started = performance.now();
  #done = 0;

  constructor(title: string, total: number, stream: NodeJS.WriteStream = process.stderr) {
    this.#title = title;
    this.#total = total;
    this.#stream = stream;
    if (stream.isTTY) this.#draw();
  }

  /** One more step is done. */
  step(): void {
    this.#done++;
    if (this.#stream.isTTY) this.#draw();
  }

  /** Leaves the final line on the screen. */
  end(): void {
    const seconds = ((performance.now() - this.#started) / 1000).toFixed(1);
    const line = `  ${this.#title}: ${this.#done} of ${this.#total} in ${seconds} s`;
    this.#stream.write(this.#stream.isTTY ? `\r\u001b[2K${line}\n` : `${line}\n`);
  }

  #draw(): void {
    const width = 24;
    const filled = this.#total === 0 ? width : Math.round((width * this.#done) / this.#total);
    const bar = "#".repeat(filled) + ".".repeat(width - filled);
    this.#stream.write(`\r\u001b[2K  ${this.#title} [${bar}] ${this.#done}/${this.#total}`);
  }
}

/** The process's options. What it does not know ends the process with the usage and exit code 2. */
export function argumentsOf<const options extends ParseArgsOptionsConfig>(options: options, usage: string) {
  try {
    return parseArgs({ options });
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    process.exit(2);
  }
}
