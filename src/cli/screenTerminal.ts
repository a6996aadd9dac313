import type { Key } from "./screenModel.ts";

/*
 * The terminal as a screen: alternate screen, raw keys, and only what changed is drawn. Whatever happens, `close` puts
 * the terminal back as it was.
 */

/** A screen that is open. */
export type Screen = {
  /** Something changed: draw soon, at most every FRAME_MS. */
  readonly changed: () => void;
  /** Puts the terminal back. May be called more than once. */
  readonly close: () => void;
};

/** What a screen shows and whom it tells. */
export type ScreenOptions = {
  /** At most `height` lines, none wider than `width`. */
  readonly draw: (width: number, height: number) => readonly string[];
  readonly onKey: (key: Key) => void;
};

const FRAME_MS = 100;
const ESC = "\u001b";
/** Alternate screen, no cursor, no wrapping at the right edge. */
const ENTER = `${ESC}[?1049h${ESC}[?25l${ESC}[?7l${ESC}[2J`;
const LEAVE = `${ESC}[0m${ESC}[?7h${ESC}[?25h${ESC}[?1049l`;

const KEYS: readonly (readonly [string, Key])[] = [
  [`${ESC}[C`, "next"],
  [`${ESC}[B`, "next"],
  [`${ESC}OC`, "next"],
  [`${ESC}OB`, "next"],
  [`${ESC}[D`, "previous"],
  [`${ESC}[A`, "previous"],
  [`${ESC}OD`, "previous"],
  [`${ESC}OA`, "previous"],
  ["\t", "next"],
  ["m", "next"],
  ["M", "previous"],
  ["+", "deeper"],
  ["=", "deeper"],
  ["-", "shallower"],
  ["_", "shallower"],
  ["?", "help"],
  ["h", "help"],
  ["q", "quit"],
  ["Q", "quit"],
  ["\u0003", "interrupt"],
  ["\u001a", "suspend"],
  ["\u000c", "redraw"],
];
// Any other sequence of a function key is skipped as a whole, so that its letters are not taken for keys.
const SEQUENCE = /^\u001b(?:\[[0-?]*[ -/]*[@-~]|O[@-~]|.)?/;

/** The keys in what a terminal sent. */
export function keysIn(sent: string): Key[] {
  const keys: Key[] = [];
  for (let rest = sent; rest !== "";) {
    const known = KEYS.find(([code]) => rest.startsWith(code));
    if (known !== undefined) keys.push(known[1]);
    rest = rest.slice(known?.[0].length ?? SEQUENCE.exec(rest)?.[0].length ?? 1);
  }
  return keys;
}

/** What has to be written so that a screen that shows `before` shows `after`. */
export function changesBetween(before: readonly string[], after: readonly string[]): string {
  const count = Math.max(before.length, after.length);
  let written = "";
  for (let row = 0; row < count; row++) {
    const line = after[row] ?? "";
    if (before[row] !== line) written += `${ESC}[${row + 1};1H${ESC}[2K${line}`;
  }
  return written;
}

/** Opens the screen on standard output, with keys from standard input. */
export function openScreen({ draw, onKey }: ScreenOptions): Screen {
  const { stdin, stdout } = process;
  let shown: readonly string[] = [];
  let timer: NodeJS.Timeout | undefined;
  let drawnAt = -Infinity;
  let isOpen = false;

  function drawNow(): void {
    timer = undefined;
    // A terminal that is slow to read gets the newest picture later, and not all of them.
    if (!isOpen || stdout.writableNeedDrain) return;
    drawnAt = performance.now();
    const lines = draw(stdout.columns, stdout.rows);
    const changes = changesBetween(shown, lines);
    shown = lines;
    if (changes !== "") stdout.write(changes);
  }

  const changed = (): void => {
    timer ??= setTimeout(drawNow, Math.max(0, drawnAt + FRAME_MS - performance.now()));
  };
  const drawAnew = (): void => {
    if (!isOpen) return;
    stdout.write(`${ESC}[0m${ESC}[2J`);
    shown = [];
    drawnAt = -Infinity;
    clearTimeout(timer);
    drawNow();
  };
  const enter = (): void => {
    if (isOpen) return;
    isOpen = true;
    stdout.write(ENTER);
    if (stdin.isTTY) {
      stdin.setRawMode(true);
      stdin.resume();
    }
    drawAnew();
  };
  const leave = (): void => {
    if (!isOpen) return;
    isOpen = false;
    clearTimeout(timer);
    timer = undefined;
    if (stdin.isTTY) {
      stdin.setRawMode(false);
      stdin.pause();
    }
    stdout.write(LEAVE);
  };
  const onData = (chunk: Buffer): void => {
    for (const key of keysIn(chunk.toString("latin1"))) {
      if (key === "redraw") drawAnew();
      else if (key === "suspend") suspend();
      else onKey(key);
    }
  };
  // In raw mode the terminal sends no signal by itself.
  const suspend = (): void => {
    leave();
    process.kill(process.pid, "SIGTSTP");
  };

  stdin.on("data", onData);
  stdout.on("resize", drawAnew);
  stdout.on("drain", changed);
  process.on("SIGCONT", enter);
  // An error that nobody catches is printed after this, on the screen that the reader will see.
  process.on("uncaughtExceptionMonitor", leave);
  process.on("exit", leave);
  enter();
  return {
    changed,
    close: () => {
      leave();
      stdin.off("data", onData);
      stdout.off("resize", drawAnew);
      stdout.off("drain", changed);
      process.off("SIGCONT", enter);
      process.off("uncaughtExceptionMonitor", leave);
      process.off("exit", leave);
    },
  };
}
