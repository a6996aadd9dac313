import { escaped, type Html, html, joined } from "../html/html.ts";

// Plots as SVG inside a page, in the page's own colours. Coordinates are plain numbers: exact values stand in the tables.

/** Unix seconds, and a value. */
export type Point = readonly [time: number, value: number];

/** A line through points; a stair keeps each value until the next. */
export type Series = { readonly name: string; readonly points: readonly Point[]; readonly shape?: "line" | "stair" };

export type TimePlot = {
  /** What it shows, for those who do not see it. */
  readonly label: string;
  readonly caption: string;
  readonly from: number;
  readonly to: number;
  readonly series: readonly Series[];
  /** Bars upwards from the ground, on a scale of their own whose top is said in the legend. */
  readonly bars?: { readonly name: string; readonly points: readonly Point[]; readonly width: number };
  /** A stretch of time with a name. */
  readonly band?: { readonly name: string; readonly from: number; readonly to: number };
  /** Lying lines with their names. */
  readonly levels?: readonly { readonly name: string; readonly value: number }[];
  readonly format: (value: number) => string;
  /** Counts and amounts begin at zero, prices near the lowest; between two counts there is nothing. */
  readonly kind: "count" | "amount" | "price";
};

const [WIDTH, HEIGHT] = [740, 300];
const [LEFT, RIGHT, TOP, BOTTOM] = [86, 112, 34, 26];
const COLOURS = 4;

/** Values over time. */
export function timePlot(plot: TimePlot): Html {
  const { series, bars, band, levels = [], format, from } = plot;
  const to = Math.max(plot.to, from + 1);
  const values = [...series.flatMap(({ points }) => points.map(([, value]) => value)), ...levels.map((l) => l.value)];
  const ticks = ticksAround(values, plot.kind);
  const [low, high] = [ticks[0] ?? 0, ticks.at(-1) ?? 1];
  const ground = HEIGHT - BOTTOM;
  const x = (time: number): number => LEFT + ((clampTo(time, from, to) - from) / (to - from)) * (WIDTH - RIGHT - LEFT);
  const y = (value: number): number => ground - ((value - low) / (high - low)) * (ground - TOP);
  const parts: Html[] = [];
  if (band !== undefined) {
    const [start, end] = [x(band.from), x(band.to)];
    parts.push(
      html`<rect class="band" x="${tidy(start)}" y="${TOP}" width="${tidy(end - start)}" height="${ground - TOP}" />`,
      text(end, TOP + 12, band.name, "end"),
    );
  }
  for (const tick of ticks) {
    parts.push(lying("grid", tidy(y(tick))), text(LEFT - 8, y(tick) + 4, format(tick), "end"));
  }
  for (const time of timesBetween(from, to)) parts.push(text(x(time), HEIGHT - 8, clock(time), "middle"));
  parts.push(lying("axis", ground));
  const tallest = Math.max(1, ...(bars?.points ?? []).map(([, value]) => value));
  for (const [time, value] of bars?.points ?? []) {
    const height = (value / tallest) * (ground - TOP) * BAR_SHARE;
    const width = Math.max(1, x(time + (bars?.width ?? 0)) - x(time) - 1);
    parts.push(
      html`<rect
        class="f3"
        opacity="0.45"
        x="${tidy(x(time))}"
        y="${tidy(ground - height)}"
        width="${tidy(width)}"
        height="${tidy(height)}"
      />`,
    );
  }
  const places = spread(levels.map(({ value }) => y(value)));
  levels.forEach(({ name, value }, i) => {
    parts.push(lying("mark", tidy(y(value))), text(WIDTH - RIGHT + 6, (places[i] ?? 0) + 4, name, "start"));
  });
  series.forEach((each, i) => parts.push(lineOf(each, i % COLOURS, x, y)));
  const entries = series.map(({ name }, i) => ({ name, colour: i % COLOURS }));
  if (bars !== undefined && bars.points.length > 0) {
    entries.push({ name: `${bars.name} (at most ${tallest})`, colour: 3 });
  }
  return figure(plot.label, plot.caption, [...legend(entries), ...parts], HEIGHT);
}

const BAR_SHARE = 0.35;

export type BarPlot = {
  readonly label: string;
  readonly caption: string;
  /** One row each: the whole bar, and how much of it is filled. */
  readonly bars: readonly {
    readonly name: string;
    readonly whole: number;
    readonly filled: number;
    readonly note: string;
  }[];
};

const ROW = 40;

/** Rows with a bar each, of which a part is filled. */
export function barPlot({ label, caption, bars }: BarPlot): Html {
  const widest = Math.max(...bars.map(({ whole }) => whole), 1e-9);
  const room = WIDTH - 2 * RIGHT - LEFT;
  const parts = bars.flatMap(({ name, whole, filled, note }, i) => {
    const top = 8 + i * ROW;
    const width = (share: number): number => tidy(Math.max(0, share / widest) * room);
    return [
      text(LEFT + 24, top + 18, name, "end"),
      html`<rect class="band" x="${LEFT + 32}" y="${top}" width="${width(whole)}" height="26" />`,
      html`<rect class="f${i % COLOURS}" x="${LEFT + 32}" y="${top}" width="${width(filled)}" height="26" />`,
      text(LEFT + 40 + width(whole), top + 18, note, "start"),
    ];
  });
  return figure(label, caption, parts, 16 + bars.length * ROW);
}

function figure(label: string, caption: string, parts: readonly Html[], height: number): Html {
  return html`<figure>
    <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${label}">
      ${joined(parts)}
    </svg>
    <figcaption>${caption}</figcaption>
  </figure>`;
}

function lineOf(
  { points, shape = "line" }: Series,
  colour: number,
  x: (t: number) => number,
  y: (v: number) => number,
): Html {
  const corners = points.flatMap(([time, value], i) => {
    const before = points[i - 1];
    const step = shape === "stair" && before !== undefined ? [[time, before[1]] as const] : [];
    return [...step, [time, value] as const];
  });
  const path = corners.map(([time, value]) => `${tidy(x(time))},${tidy(y(value))}`).join(" ");
  const dots = shape === "line" ? points : [];
  return joined([
    html`<polyline class="line s${colour}" points="${path}" />`,
    ...dots.map(
      ([time, value]) => html`<circle class="f${colour}" cx="${tidy(x(time))}" cy="${tidy(y(value))}" r="2.5" />`,
    ),
  ]);
}

function legend(entries: readonly { readonly name: string; readonly colour: number }[]): readonly Html[] {
  let at = LEFT;
  return entries.flatMap(({ name, colour }) => {
    const parts = [
      html`<rect class="f${colour}" x="${at}" y="8" width="11" height="11" />`,
      text(at + 16, 18, name, "start"),
    ];
    at += 34 + Math.ceil(name.length * 6.6);
    return parts;
  });
}

/** Names of levels that lie close are moved apart, in their order, so that both can be read. */
function spread(heights: readonly number[]): readonly number[] {
  const order = heights.map((height, i) => ({ height, i })).sort((a, b) => a.height - b.height);
  const placed: number[] = [];
  let last = -Infinity;
  for (const { height, i } of order) {
    last = Math.max(height, last + 13);
    placed[i] = last;
  }
  return placed;
}

/** Multiples of 1, 2 or 5 times a power of ten that enclose the values, about five of them. */
export function ticksAround(values: readonly number[], kind: TimePlot["kind"]): readonly number[] {
  const all = kind === "price" ? values : [0, ...values];
  const low = all.length === 0 ? 0 : Math.min(...all);
  const high = all.length === 0 ? 1 : Math.max(...all);
  // Finer differences than these a number does not hold, and nobody sees.
  const span = Math.max(high - low, Math.max(-low, high) / 10_000) || 1;
  const power = 10 ** Math.floor(Math.log10(span / 5));
  const fine = power * ([1, 2, 5].find((factor) => factor * power >= span / 5) ?? 10);
  const step = kind === "count" ? Math.max(1, fine) : fine;
  const first = Math.floor(low / step);
  const count = Math.max(1, Math.ceil(high / step) - first);
  return Array.from({ length: count + 1 }, (_, i) => (first + i) * step);
}

const TIME_STEPS = [1, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400, 604_800];

function timesBetween(from: number, to: number): readonly number[] {
  const step = TIME_STEPS.find((each) => (to - from) / each <= 6) ?? to - from;
  const first = Math.ceil(from / step) * step;
  return Array.from({ length: Math.floor((to - first) / step) + 1 }, (_, i) => first + i * step);
}

/** Time of day in UTC; seconds only where they are not zero. */
function clock(time: number): string {
  return new Date(time * 1_000).toISOString().slice(11, time % 60 === 0 ? 16 : 19);
}

function lying(kind: string, y: number): Html {
  return html`<line class="${kind}" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y}" y2="${y}" />`;
}

function text(x: number, y: number, content: string, anchor: "start" | "middle" | "end"): Html {
  return { html: `<text x="${tidy(x)}" y="${tidy(y)}" text-anchor="${anchor}">${escaped(content)}</text>` };
}

function clampTo(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}

/** Pixels to a tenth. */
function tidy(pixels: number): number {
  return Math.round(pixels * 10) / 10;
}
