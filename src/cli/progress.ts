import { foreignText } from "../api/foreignText.ts";
import type { ProgressEvent } from "../trader/commands.ts";

/** Shows how far a command is, on standard error. */
export type ProgressShow = { readonly on: (event: ProgressEvent) => void; readonly end: () => void };

export type ProgressStream = Pick<NodeJS.WriteStream, "write"> & {
  readonly isTTY?: boolean;
  readonly columns?: number;
};

const FRAMES = ["|", "/", "-", "\\"];
const FRAME_MS = 120;

/** A line that turns at a terminal; a line for each step elsewhere; nothing elsewhere with `--json`. */
export function showProgress(json: boolean, stream: ProgressStream = process.stderr): ProgressShow {
  if (stream.isTTY === true) return spinner(stream);
  if (json) return { on: () => undefined, end: () => undefined };
  let last = "";
  return {
    on: (event) => {
      const line = lineOf(event);
      if (line !== last) stream.write(`${line}\n`);
      last = line;
    },
    end: () => undefined,
  };
}

function spinner(stream: ProgressStream): ProgressShow {
  let start = 0;
  let line = "";
  let timer: NodeJS.Timeout | undefined;
  const draw = (): void => {
    const passed = performance.now() - start;
    const frame = FRAMES[Math.floor(passed / FRAME_MS) % FRAMES.length] ?? "";
    const seconds = passed < 1_000 ? "" : ` ${Math.floor(passed / 1_000)} s`;
    const text = line.slice(0, (stream.columns ?? 80) - seconds.length - 3);
    stream.write(`\r\u001b[2K${frame} ${text}${seconds}`);
  };
  return {
    on: (event) => {
      line = lineOf(event);
      if (timer === undefined) start = performance.now();
      draw();
      timer ??= setInterval(draw, FRAME_MS).unref();
    },
    end: () => {
      if (timer === undefined) return;
      clearInterval(timer);
      timer = undefined;
      stream.write("\r\u001b[2K");
    },
  };
}

function lineOf({ text, done, total }: ProgressEvent): string {
  const clean = foreignText(text);
  return total === undefined ? clean : `${clean} (${done ?? 0} of ${total})`;
}
