import { spawn } from "node:child_process";
import { z } from "zod";

/** What the agent tells its trader. */
export const agentEvent = z.strictObject({
  event: z.enum([
    "started",
    "ticket-closed",
    "renewed",
    "margin-warning",
    "margin-call",
    "topped-up",
    "top-up-failed",
    "fill",
    "order-done",
    "default-risk",
    "exchange-away",
    "node-away",
    "recovered",
    "ended",
  ]),
  /** Unix seconds of this machine's clock. */
  time: z.int(),
  network: z.string(),
  epoch: z.int(),
  /** One line without amounts: it stands among a program's arguments, which others on the machine can read. */
  message: z.string(),
  /** Amounts in base units and the like. */
  details: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
});
export type AgentEvent = z.infer<typeof agentEvent>;

export type NotifierOptions = {
  /** How long the program may take, milliseconds. */
  readonly timeoutMs?: number;
  /** Told of what could not be delivered, for the log. */
  readonly onTrouble?: (event: AgentEvent["event"], reason: string) => void;
};

export type Notifier = {
  /** Hands an event over and returns at once. */
  notify(event: AgentEvent): void;
  /** Waits until the program has taken what was handed over, not longer than it may take. */
  close(): Promise<void>;
};

const TIMEOUT_MS = 10_000;
const MOST_AT_ONCE = 4;
const MOST_WAITING = 256;

/**
 * Runs a program for each event: no shell, the event as JSON on its standard input, the message as its only argument
 * (spec AGT-15). A few run at once; what a slow program lets pile up is dropped, the newest first.
 */
export function programNotifier(program: string, options: NotifierOptions = {}): Notifier {
  const { timeoutMs = TIMEOUT_MS, onTrouble = () => undefined } = options;
  const waiting: AgentEvent[] = [];
  let running = 0;
  let closed = false;
  let onIdle: (() => void) | undefined;

  const next = (): void => {
    const event = running < MOST_AT_ONCE ? waiting.shift() : undefined;
    if (event === undefined) {
      if (running === 0) onIdle?.();
      return;
    }
    running += 1;
    void run(program, event, timeoutMs).then((reason) => {
      running -= 1;
      if (reason !== undefined) onTrouble(event.event, reason);
      next();
    });
  };

  return {
    notify: (event) => {
      if (closed) return;
      if (waiting.length >= MOST_WAITING) {
        onTrouble(event.event, "the program does not keep up");
        return;
      }
      waiting.push(event);
      next();
    },
    close: async () => {
      closed = true;
      if (running === 0 && waiting.length === 0) return;
      await new Promise<void>((resolve) => {
        onIdle = resolve;
        setTimeout(resolve, timeoutMs).unref();
      });
      waiting.length = 0;
    },
  };
}

/** Why a program did not do its part; undefined if it did. */
function run(program: string, event: AgentEvent, timeoutMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child = spawn(program, [event.message], {
      stdio: ["pipe", "ignore", "ignore"],
      shell: false,
      timeout: timeoutMs,
      killSignal: "SIGKILL",
    });
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => {
      if (code === 0) resolve(undefined);
      else resolve(signal === null ? `it ended with exit code ${code ?? "?"}` : `it was ended with ${signal}`);
    });
    // A program need not read.
    child.stdin.once("error", () => undefined);
    child.stdin.end(`${JSON.stringify(event)}\n`);
  });
}
