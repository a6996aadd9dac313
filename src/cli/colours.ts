import { type Command, Option } from "commander";

/*
 * Colours by meaning. They are the terminal's own sixteen, with bold and dim, and never a background, so that they suit
 * a light terminal and a dark one. No colour says anything that a word, a sign or a place does not say as well.
 */

/** What a piece of text means. */
export type Style = "bid" | "ask" | "up" | "down" | "warning" | "quiet" | "heading" | "mine";

/** `--colour`. */
const COLOUR_MODES = ["auto", "always", "never"] as const;
export type ColourMode = (typeof COLOUR_MODES)[number];

/** Adds `--colour`. */
export function withColour(command: Command): Command {
  const option = new Option("--colour <when>", "colours in the output").choices(COLOUR_MODES).default("auto");
  return command.addOption(option);
}

/** The signs that pictures are drawn with. Each is one column wide. */
export type Glyphs = {
  /** Bars that lie: from an eighth of a column to a whole one. */
  readonly lying: string;
  /** Bars that stand, from low to full. */
  readonly standing: string;
  readonly up: string;
  readonly down: string;
  readonly rule: string;
  readonly wall: string;
  readonly dot: string;
  /** Stands for what was cut off. */
  readonly cut: string;
  /** Body of a candle that rose, and of one that fell. */
  readonly rose: string;
  readonly fell: string;
  readonly wick: string;
};

const UNICODE: Glyphs = {
  lying: "▏▎▍▌▋▊▉█",
  standing: "▁▂▃▄▅▆▇█",
  up: "▲",
  down: "▼",
  rule: "─",
  wall: "│",
  dot: "·",
  cut: "…",
  rose: "░",
  fell: "█",
  wick: "│",
};

const ASCII: Glyphs = {
  lying: "#",
  standing: ".:|#",
  up: "^",
  down: "v",
  rule: "-",
  wall: "|",
  dot: "-",
  cut: "~",
  rose: "o",
  fell: "#",
  wick: "|",
};

/** How pictures look: what text of a meaning becomes, and the signs. */
export type Look = { readonly paint: (style: Style | undefined, text: string) => string; readonly glyphs: Glyphs };

/** SGR parameters. Yellow is hard to read on white, so a warning is magenta. */
const CODES: Readonly<Record<Style, string>> = {
  bid: "32",
  ask: "31",
  up: "32",
  down: "31",
  warning: "1;35",
  quiet: "2",
  heading: "1",
  mine: "1;36",
};

/** A look with or without colours, with Unicode signs or plain ones. */
export function lookOf(options: { readonly colour: boolean; readonly unicode: boolean }): Look {
  // A body is told apart by its colour where there is one.
  const glyphs = options.unicode ? (options.colour ? { ...UNICODE, rose: UNICODE.fell } : UNICODE) : ASCII;
  return {
    glyphs,
    paint: (style, text) =>
      !options.colour || style === undefined || text === "" ? text : `\u001b[${CODES[style]}m${text}\u001b[0m`,
  };
}

/** What decides about looks: whether the output is a terminal, and the environment. */
export type Output = { readonly isTTY?: boolean; readonly env: Readonly<Record<string, string | undefined>> };

/** Whether to use colours. `auto`: on a terminal that is not dumb, where NO_COLOR is not set. */
export function wantsColour(mode: ColourMode, { isTTY = false, env }: Output): boolean {
  if (mode !== "auto") return mode === "always";
  return isTTY && env["TERM"] !== "dumb" && (env["NO_COLOR"] ?? "") === "";
}

/** Whether signs beyond ASCII can be shown: the locale says UTF-8, and the terminal is not dumb. */
export function wantsUnicode({ env }: Output): boolean {
  const locale = [env["LC_ALL"], env["LC_CTYPE"], env["LANG"]].find((value) => value !== undefined && value !== "");
  return env["TERM"] !== "dumb" && /utf-?8/i.test(locale ?? "");
}

/** The look for an output. */
export function lookFor(mode: ColourMode, output: Output): Look {
  return lookOf({ colour: wantsColour(mode, output), unicode: wantsUnicode(output) });
}
