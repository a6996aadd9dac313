import { Interrupted } from "../trader/interrupted.ts";

/** How long a command may take to end by itself once it is told to. Milliseconds. */
const GRACE_MS = 10_000;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Runs a command that Ctrl-C ends: its signal is aborted, it gets a moment to close what it has open, and then
 * Interrupted is thrown. A second Ctrl-C ends the process at once.
 */
export async function untilInterrupted<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  let giveUp: ((error: Interrupted) => void) | undefined;
  const late = new Promise<never>((_, reject) => (giveUp = reject));
  const interrupt = (): void => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort(new Interrupted());
    setTimeout(() => giveUp?.(new Interrupted()), GRACE_MS).unref();
  };
  for (const signal of SIGNALS) process.on(signal, interrupt);
  try {
    const done = await Promise.race([work(controller.signal), late]);
    return done;
  } catch (error) {
    // Whatever else fails then, fails because of it.
    if (controller.signal.aborted) throw new Interrupted();
    throw error;
  } finally {
    for (const signal of SIGNALS) process.off(signal, interrupt);
  }
}
