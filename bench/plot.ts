/** Plots of measured figures as SVG text: no dependencies, light background, one fixed size. */

/** What stands along one side of a plot. `label` names the quantity with its unit. */
export interface Axis {
  readonly label: string;
  /** "linear" if left out. A logarithmic axis shows values above zero only. */
  readonly scale?: "linear" | "log";
}

/** A line through points, in the order given. */
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface LinePlot {
  readonly title: string;
  /** A line below the title: machine and workload, for example. */
  readonly note?: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
}

export interface BarPlot {
  readonly title: string;
  readonly note?: string;
  readonly y: Axis;
  readonly bars: readonly { readonly name: string; readonly value: number }[];
}

const WIDTH = 760;
const HEIGHT = 440;
const RIGHT = 30;
const TOP = 96;
const BOTTOM = 62;
const INK = "#222";
const GRID = "#ddd";
/** Colours that people with any sight tell apart (Okabe and Ito). */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/** Lines over two axes, with a legend below the title. A linear axis begins at zero, or below if a value does. */
export function linePlot({ title, note, x, y, series }: LinePlot): string {
  const left = 84;
  const xs = scaleOf(
    x,
    series.flatMap(({ points }) => points.map(([at]) => at)),
    left,
    WIDTH - RIGHT,
  );
  const ys = scaleOf(
    y,
    series.flatMap(({ points }) => points.map(([, at]) => at)),
    HEIGHT - BOTTOM,
    TOP,
  );
  const parts = [...heading(title, note), ...levelLines(xs, left), ...crossLines(ys, left)];
  parts.push(text((left + WIDTH - RIGHT) / 2, HEIGHT - 16, x.label, "middle"), uprightText(y.label));
  let legendAt = left;
  series.forEach(({ name, points }, i) => {
    const colour = colourOf(i);
    const places = points.map(([px, py]) => [tidy(xs.place(px)), tidy(ys.place(py))] as const);
    const path = places.map((place) => place.join(",")).join(" ");
    parts.push(`<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2.5"/>`);
    for (const [cx, cy] of places) parts.push(`<circle cx="${cx}" cy="${cy}" r="4" fill="${colour}"/>`);
    parts.push(`<rect x="${legendAt}" y="67" width="14" height="14" fill="${colour}"/>`);
    parts.push(text(legendAt + 20, 79, name));
    legendAt += 44 + widthOf(name);
  });
  return page(parts, title);
}

/** Bars that lie side by side, each with its name before it and its value behind it. */
export function barPlot({ title, note, y, bars }: BarPlot): string {
  const left = 24 + Math.max(...bars.map(({ name }) => widthOf(name)));
  const values = bars.map(({ value }) => value);
  const longest = Math.max(...values.map((value) => widthOf(grouped(value))));
  const scale = scaleOf(y, values, left, WIDTH - RIGHT - longest);
  const parts = [...heading(title, note), ...levelLines(scale, left)];
  parts.push(text((left + WIDTH - RIGHT) / 2, HEIGHT - 16, y.label, "middle"));
  const slot = (HEIGHT - BOTTOM - TOP) / Math.max(1, bars.length);
  const thickness = Math.min(44, slot * 0.66);
  bars.forEach(({ name, value }, i) => {
    const middle = TOP + slot * (i + 0.5);
    const end = scale.place(value);
    const from = tidy(middle - thickness / 2);
    parts.push(
      `<rect x="${left}" y="${from}" width="${tidy(end - left)}" height="${tidy(thickness)}" fill="${colourOf(i)}"/>`,
      text(left - 10, middle + 5, name, "end"),
      text(end + 8, middle + 5, grouped(value)),
    );
  });
  return page(parts, title);
}

/** Values of an axis in pixels, and the values that get a line and a number. */
interface Scale {
  readonly ticks: readonly number[];
  readonly place: (value: number) => number;
}

function scaleOf(axis: Axis, values: readonly number[], from: number, to: number): Scale {
  const isLog = axis.scale === "log";
  const ticks = isLog ? powersAround(values) : stepsAround(values);
  const project = isLog ? Math.log10 : (value: number): number => value;
  const low = project(ticks[0] ?? 0);
  const high = project(ticks.at(-1) ?? 1);
  return { ticks, place: (value) => from + ((project(value) - low) / (high - low)) * (to - from) };
}

/** Powers of ten that enclose the values above zero. */
function powersAround(values: readonly number[]): readonly number[] {
  const positive = values.filter((value) => value > 0);
  const low = Math.floor(Math.log10(Math.min(...positive)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...positive))));
  return Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i));
}

/** Multiples of 1, 2 or 5 times a power of ten that enclose zero and the values, about five of them. */
function stepsAround(values: readonly number[]): readonly number[] {
  const low = Math.min(0, ...values);
  const high = Math.max(0, ...values);
  const rough = (high - low || 1) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
  const first = Math.floor(low / step);
  return Array.from({ length: Math.max(1, Math.ceil(high / step) - first) + 1 }, (_, i) => (first + i) * step);
}

/** Upright lines at the ticks, their numbers below, and the ground line. */
function levelLines(scale: Scale, left: number): string[] {
  const bottom = HEIGHT - BOTTOM;
  const parts = scale.ticks.flatMap((tick) => {
    const x = tidy(scale.place(tick));
    return [line(x, TOP, x, bottom, GRID), text(x, bottom + 20, short(tick), "middle")];
  });
  return [...parts, line(left, TOP, left, bottom, INK)];
}

/** Lying lines at the ticks, their numbers to the left. */
function crossLines(scale: Scale, left: number): string[] {
  const parts = scale.ticks.flatMap((tick) => {
    const y = tidy(scale.place(tick));
    return [line(left, y, WIDTH - RIGHT, y, GRID), text(left - 8, y + 5, short(tick), "end")];
  });
  const bottom = HEIGHT - BOTTOM;
  return [...parts, line(left, bottom, WIDTH - RIGHT, bottom, INK)];
}

function heading(title: string, note: string | undefined): string[] {
  const parts = [`<text x="24" y="32" font-size="18" font-weight="bold">${escaped(title)}</text>`];
  if (note !== undefined) parts.push(`<text x="24" y="54" font-size="13" fill="#555">${escaped(note)}</text>`);
  return parts;
}

function page(parts: readonly string[], title: string): string {
  const size = `width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" aria-label="${escaped(title)}"`,
    `  font-family="Helvetica, Arial, sans-serif" font-size="14" fill="${INK}">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}

function text(x: number, y: number, content: string, anchor: "start" | "middle" | "end" = "start"): string {
  return `<text x="${tidy(x)}" y="${tidy(y)}" text-anchor="${anchor}">${escaped(content)}</text>`;
}

function uprightText(content: string): string {
  const y = (TOP + HEIGHT - BOTTOM) / 2;
  return `<text x="22" y="${y}" text-anchor="middle" transform="rotate(-90 22 ${y})">${escaped(content)}</text>`;
}

function line(x1: number, y1: number, x2: number, y2: number, colour: string): string {
  return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="${colour}"/>`;
}

function colourOf(index: number): string {
  return COLOURS[index % COLOURS.length] ?? INK;
}

/** About the width of a text in pixels. */
function widthOf(content: string): number {
  return Math.ceil(content.length * 7.2);
}

/** A tick in few characters: 250k, 2M, 0.5. */
function short(value: number): string {
  const [divisor, unit] = Math.abs(value) >= 1e6 ? [1e6, "M"] : Math.abs(value) >= 1e4 ? [1e3, "k"] : [1, ""];
  return `${Number((value / divisor).toPrecision(6))}${unit}`;
}

/** A value with three digits that count at the least, thousands separated. */
function grouped(value: number): string {
  return new Intl.NumberFormat("en", { maximumFractionDigits: Math.abs(value) < 100 ? 1 : 0 }).format(value);
}

/** Pixels to a tenth. */
function tidy(pixels: number): number {
  return Math.round(pixels * 10) / 10;
}

function escaped(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
