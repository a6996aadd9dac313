import type { Glyphs, Look, Style } from "./colours.ts";

/*
 * Lines of text of a known width. Whatever comes from outside goes through `cell`, so that one character is one column
 * and nothing in it can steer the terminal.
 */

/** A piece of a line. */
export type Cell = { readonly text: string; readonly style: Style | undefined };
export type Line = readonly Cell[];

/** A piece of a line; what is neither ASCII nor a sign of ours becomes a question mark. */
export function cell(text: string, style?: Style): Cell {
  return { text: text.replace(/[^ -~▁-█▉-▏░▲▼─│·…]/gu, "?"), style };
}

/** Columns that a line takes. */
export function widthOf(line: Line): number {
  return line.reduce((sum, { text }) => sum + text.length, 0);
}

/** The line cut to a width, with a sign where something is missing. */
export function cutTo(line: Line, width: number, glyphs: Glyphs): Line {
  if (widthOf(line) <= width) return line;
  if (width <= 0) return [];
  const kept: Cell[] = [];
  let room = width - 1;
  for (const each of line) {
    if (room <= 0) break;
    kept.push({ ...each, text: each.text.slice(0, room) });
    room -= each.text.length;
  }
  return [...kept, cell(glyphs.cut, "quiet")];
}

/** The line at exactly a width: cut, or with spaces after it. */
export function fitTo(line: Line, width: number, glyphs: Glyphs): Line {
  const cut = cutTo(line, width, glyphs);
  const gap = width - widthOf(cut);
  return gap > 0 ? [...cut, cell(" ".repeat(gap))] : cut;
}

/** Two lines at the ends of one; the right one is left out where both do not fit. */
export function between(left: Line, right: Line, width: number): Line {
  const gap = width - widthOf(left) - widthOf(right);
  return gap < 2 ? left : [...left, cell(" ".repeat(gap)), ...right];
}

/** Columns of lines beside each other, with a wall between them. */
export function beside(left: readonly Line[], leftWidth: number, right: readonly Line[], glyphs: Glyphs): Line[] {
  const count = Math.max(left.length, right.length);
  return Array.from({ length: count }, (_, i) => [
    ...fitTo(left[i] ?? [], leftWidth, glyphs),
    cell(` ${glyphs.wall} `, "quiet"),
    ...(right[i] ?? []),
  ]);
}

/** What is written to the terminal: no wider than `width`, no spaces at the end. */
export function painted(line: Line, width: number, { paint, glyphs }: Look): string {
  const cut = [...cutTo(line, width, glyphs)];
  for (let last = cut.at(-1); last !== undefined; last = cut.at(-1)) {
    const text = last.text.trimEnd();
    cut.pop();
    if (text === "") continue;
    cut.push({ ...last, text });
    break;
  }
  return cut.map(({ style, text }) => paint(style, text)).join("");
}

/** A bar that lies, `share` (0 to 1) of `width` columns; never empty where the share is not. */
export function lyingBar(share: number, width: number, { lying }: Glyphs): string {
  const steps = lying.length;
  const length = Math.round(Math.min(Math.max(share, 0), 1) * width * steps);
  const eighths = share > 0 && width > 0 ? Math.max(length, 1) : length;
  const full = lying.slice(-1).repeat(Math.floor(eighths / steps));
  const rest = eighths % steps;
  return full + (rest === 0 ? "" : lying.slice(rest - 1, rest));
}

/** A bar of one column that stands, `share` (0 to 1) of its height. */
export function standingBar(share: number, { standing }: Glyphs): string {
  const step = Math.ceil(Math.min(Math.max(share, 0), 1) * standing.length);
  return step === 0 ? " " : standing.slice(step - 1, step);
}

/** How amounts of the collateral are written: its decimals, and how many of them are shown. */
export type AmountFormat = { readonly decimals: number; readonly places: number };

/** As many places as the price step needs, and two at least where the collateral has them. */
export function priceFormat(tick: bigint, decimals: number): AmountFormat {
  let places = Math.min(2, decimals);
  while (places < decimals && tick % 10n ** BigInt(decimals - places) !== 0n) places += 1;
  return { decimals, places };
}

/** Base units in units of the collateral, thousands separated, halves rounded away from zero: -1,234.50. */
export function amountText(baseUnits: bigint, { decimals, places }: AmountFormat): string {
  const step = 10n ** BigInt(decimals - places);
  const magnitude = baseUnits < 0n ? -baseUnits : baseUnits;
  const steps = (magnitude + step / 2n) / step;
  const digits = steps.toString().padStart(places + 1, "0");
  const whole = digits.slice(0, digits.length - places).replace(/\B(?=(\d{3})+$)/g, ",");
  const sign = baseUnits < 0n && steps > 0n ? "-" : "";
  return sign + whole + (places === 0 ? "" : `.${digits.slice(-places)}`);
}

/** The same with a plus sign where it is more than zero. */
export function changeText(baseUnits: bigint, format: AmountFormat): string {
  return (baseUnits > 0n ? "+" : "") + amountText(baseUnits, format);
}

/** What a change means. */
export function changeStyle(change: bigint): Style | undefined {
  return change > 0n ? "up" : change < 0n ? "down" : undefined;
}

/** A change in percent of a price: "+0.47%"; nothing where the price is not above zero. */
export function percentText(change: bigint, of: bigint): string {
  if (of <= 0n) return "";
  return `${changeText((change * 10_000n) / of, { decimals: 2, places: 2 })}%`;
}

/** Seconds as 5:12:33, or 12:33 below an hour. */
export function durationText(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value: number): string => String(value).padStart(2, "0");
  const hours = Math.floor(whole / 3_600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** Time of day where the reader is: 14:03:22. */
export function clockText(seconds: number | bigint): string {
  return timeParts(seconds).slice(3).join(":");
}

/** Day and time where the reader is: 2026-05-01 14:03. */
export function dateText(seconds: number | bigint): string {
  const [year, month, day, hour, minute] = timeParts(seconds);
  return `${year}-${month}-${day} ${hour}:${minute}`;
}

function timeParts(seconds: number | bigint): readonly [string, string, string, string, string, string] {
  const date = new Date(Number(seconds) * 1_000);
  const two = (value: number): string => (Number.isNaN(value) ? "--" : String(value).padStart(2, "0"));
  return [
    two(date.getFullYear()),
    two(date.getMonth() + 1),
    two(date.getDate()),
    two(date.getHours()),
    two(date.getMinutes()),
    two(date.getSeconds()),
  ];
}

/** A quantity with thousands separated. */
export function countText(count: number | bigint): string {
  return count.toString().replace(/\B(?=(\d{3})+$)/g, ",");
}
