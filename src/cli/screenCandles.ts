import type { Candle } from "../api/codecMarkets.ts";
import type { Look } from "./colours.ts";
import {
  type AmountFormat,
  amountText,
  cell,
  type Cell,
  clockText,
  countText,
  dateText,
  type Line,
  painted,
  standingBar,
} from "./screenText.ts";

/** How a chart is drawn. `interval`: seconds of a candle. */
export type ChartOptions = {
  readonly width: number;
  /** Lines of the prices alone. */
  readonly height: number;
  readonly format: AmountFormat;
  readonly interval: number;
  readonly look: Look;
};

/** A label stands at every so many lines. */
const LABEL_STEP = 3;
/** Columns between two times below the chart. */
const TIME_STEP = 12;

/**
 * Prices of the newest candles that there is room for, a column each, with volumes and times below. Spans without a
 * trade have no candle and take no column.
 */
export function candleChart(candles: readonly Candle[], options: ChartOptions): string[] {
  const { width, height, format, look } = options;
  const labels = candles.flatMap(({ high, low }) => [amountText(high, format), amountText(low, format)]);
  const labelWidth = Math.max(0, ...labels.map((label) => label.length));
  const columns = Math.max(1, width - labelWidth - 3);
  const shown = candles.slice(-columns);
  if (shown.length === 0) return ["no trades yet"];
  const top = shown.reduce((most, { high }) => (high > most ? high : most), shown[0]?.high ?? 0n);
  const bottom = shown.reduce((least, { low }) => (low < least ? low : least), shown[0]?.low ?? 0n);
  // Lines count from above; a price belongs to the line that it is nearest to.
  const span = top - bottom;
  const lineOf = (price: bigint): number =>
    span === 0n ? Math.floor(height / 2) : Math.round((Number(top - price) / Number(span)) * (height - 1));
  const priceAt = (line: number): bigint =>
    span === 0n ? top : top - (span * BigInt(line)) / BigInt(Math.max(1, height - 1));

  const price = (line: number): Line => {
    const labelled = span === 0n ? line === lineOf(top) : line % LABEL_STEP === 0;
    const label = labelled ? amountText(priceAt(line), format) : "";
    return [
      cell(`${label.padStart(labelWidth)} ${look.glyphs.wall} `, "quiet"),
      ...shown.map((candle) => candleCell(candle, line, lineOf, look)),
    ];
  };
  const most = Math.max(1, ...shown.map(({ volume }) => volume));
  const margin = `${"".padStart(labelWidth)} ${look.glyphs.wall} `;
  const lines: Line[] = [
    ...Array.from({ length: height }, (_, line) => price(line)),
    [
      cell(`${"volume".padStart(labelWidth).slice(-labelWidth)} ${look.glyphs.wall} `, "quiet"),
      ...shown.map(({ volume }) => cell(standingBar(volume / most, look.glyphs), "quiet")),
    ],
    [cell(margin + timesBelow(shown, options), "quiet")],
    lastLine(shown, format),
  ];
  return lines.map((line) => painted(line, width, look));
}

function candleCell(candle: Candle, line: number, lineOf: (price: bigint) => number, { glyphs }: Look): Cell {
  const { open, high, low, close } = candle;
  const rose = close >= open;
  const style = rose ? "up" : "down";
  const [bodyTop, bodyBottom] = rose ? [close, open] : [open, close];
  if (line >= lineOf(bodyTop) && line <= lineOf(bodyBottom)) return cell(rose ? glyphs.rose : glyphs.fell, style);
  return line >= lineOf(high) && line <= lineOf(low) ? cell(glyphs.wick, style) : cell(" ");
}

function timesBelow(shown: readonly Candle[], { interval }: ChartOptions): string {
  const label = ({ time }: Candle): string => {
    if (interval >= 86_400) return dateText(time).slice(5, 10);
    return interval >= 60 ? clockText(time).slice(0, 5) : clockText(time);
  };
  return shown
    .filter((_, column) => column % TIME_STEP === 0)
    .map((candle) => label(candle).padEnd(TIME_STEP))
    .join("");
}

function lastLine(shown: readonly Candle[], format: AmountFormat): Line {
  const last = shown.at(-1);
  if (last === undefined) return [];
  const figures = (["open", "high", "low", "close"] as const)
    .map((name) => `${name} ${amountText(last[name], format)}`)
    .join("  ");
  return [cell(`last: ${figures}  volume ${countText(last.volume)}`)];
}
