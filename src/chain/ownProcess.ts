import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { Socket } from "node:net";
import { resolve } from "node:path";
import { HedgerowError } from "../protocol/errors.ts";

/** A program that runs as a process of its own. */
export type OwnProcess<T> = {
  /** What it said when it was ready. */
  readonly announced: T;
  readonly pid: number;
  /** Resolves when it has ended, however: with its exit code, or the signal's name. */
  readonly ended: Promise<string>;
  /** The end of what it printed, for error messages. */
  readonly output: () => string;
  /** Sends a signal and resolves when the process is gone. May be called more than once. */
  end(signal: NodeJS.Signals): Promise<void>;
};

/** What is run, and how it says that it is ready. */
export type ProcessPlan<T> = {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** How long the start may take, in milliseconds. */
  readonly timeoutMs: number;
  /** Finds the announcement in all that it has printed on standard output; undefined: not there yet. */
  readonly announcement: (printed: string) => T | undefined;
};

/** A process ended, or kept silent, before it was ready. */
export class NotStarted extends HedgerowError {
  readonly reason: string;
  readonly output: string;

  constructor(program: string, reason: string, output: string) {
    super("NotStarted", `${program} did not start: ${reason}. ${said(output)}`, { reason });
    this.reason = reason;
    this.output = output;
  }
}

const PROJECT_ROOT = resolve(import.meta.dirname, "../..");
const KEPT_OUTPUT = 20_000;

/** What a process printed, as a sentence. */
export function said(output: string): string {
  return output.trim() === "" ? "It printed nothing." : `It printed:\n${output.trim()}`;
}

/**
 * Runs a program with this very Node and waits for its announcement. It ends with this process, however this process
 * ends: it watches the channel between the two. It does not keep this process alive either. Throws NotStarted.
 */
export async function startOwnProcess<T>(plan: ProcessPlan<T>): Promise<OwnProcess<T>> {
  const child = fork(plan.program, plan.args, {
    cwd: PROJECT_ROOT,
    execArgv: ["--import", import.meta.resolve("./endWithParent.ts")],
    env: { ...process.env, ...plan.env },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    // Its own process group: Ctrl-C reaches this process only, which can then finish in order before the other goes.
    detached: true,
  });
  const ended = once(child, "exit").then(
    ([code, signal]: readonly unknown[]) => (typeof signal === "string" ? signal : `exit code ${String(code)}`),
    (error: unknown) => String(error),
  );
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer) => {
      output = (output + chunk.toString("utf8")).slice(-KEPT_OUTPUT);
    });
  }
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.ref();
      child.kill(signal);
    }
    await ended;
  };
  try {
    const announced = await announcementOf(child, plan);
    child.unref();
    child.channel?.unref();
    for (const stream of [child.stdout, child.stderr]) if (stream instanceof Socket) stream.unref();
    return { announced, pid: child.pid ?? 0, ended, output: () => output, end };
  } catch (error) {
    if (child.pid !== undefined) await end("SIGKILL");
    throw new NotStarted(plan.program, error instanceof Error ? error.message : String(error), output);
  }
}

function announcementOf<T>(child: ChildProcess, { announcement, timeoutMs }: ProcessPlan<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`no answer within ${timeoutMs} ms`));
    }, timeoutMs);
    let printed = "";
    const read = (chunk: Buffer): void => {
      printed += chunk.toString("utf8");
      const found = announcement(printed);
      if (found === undefined) return;
      clearTimeout(timer);
      child.stdout?.off("data", read);
      resolve(found);
    };
    child.stdout?.on("data", read);
    child.once("error", reject);
    // "close" comes after the last output.
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      reject(new Error(`it ended with ${signal ?? `exit code ${String(code)}`}`));
    });
  });
}
