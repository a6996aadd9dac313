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
  /** Smallest step of a price, base units. */
  readonly tick: bigint;
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
  const { width, format, tick, look } = options;
  const labels = candles.flatMap(({ high, low }) => [amountText(high, format), amountText(low, format)]);
  const labelWidth = Math.max(0, ...labels.map((label) => label.length));
  const columns = Math.max(1, width - labelWidth - 3);
  const shown = candles.slice(-columns);
  if (shown.length === 0) return ["no trades yet"];
  const top = shown.reduce((most, { high }) => (high > most ? high : most), shown[0]?.high ?? 0n);
  const bottom = shown.reduce((least, { low }) => (low < least ? low : least), shown[0]?.low ?? 0n);
  const span = top - bottom;
  const { height, labelStep } = scaleOf(span, tick, options.height);
  // Lines count from above; a price belongs to the line that it is nearest to.
  const lineOf = (price: bigint): number =>
    span === 0n ? 0 : Math.round((Number(top - price) / Number(span)) * (height - 1));
  const priceAt = (line: number): bigint =>
    span === 0n ? top : toTick(top - (span * BigInt(line)) / BigInt(Math.max(1, height - 1)), tick);

  const price = (line: number): Line => {
    const label = line % labelStep === 0 ? amountText(priceAt(line), format) : "";
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

/** Lines for a span of prices. Where it has few steps, each step is the same number of lines away from the next. */
function scaleOf(span: bigint, tick: bigint, most: number): { readonly height: number; readonly labelStep: number } {
  if (span === 0n) return { height: 1, labelStep: 1 };
  const steps = tick > 0n && span % tick === 0n ? span / tick : 0n;
  if (steps === 0n || steps >= BigInt(most)) return { height: most, labelStep: LABEL_STEP };
  const each = Math.min(LABEL_STEP, Math.floor((most - 1) / Number(steps)));
  return { height: Number(steps) * each + 1, labelStep: each === 1 ? LABEL_STEP : each };
}

/** The price of a line as one that can be traded. */
function toTick(price: bigint, tick: bigint): bigint {
  if (tick <= 0n) return price;
  const rest = ((price % tick) + tick) % tick;
  return rest * 2n < tick ? price - rest : price - rest + tick;
}

function candleCell(candle: Candle, line: number, lineOf: (price: bigint) => number, { glyphs }: Look): Cell {
  const { open, high, low, close } = candle;
  const rose = close >= open;
  const style = rose ? "up" : "down";
  if (open === close && line === lineOf(open)) return cell(glyphs.rule, style);
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
