/** The ways in which a person or a system ends a program that would go on, and the exit code of each. */
const CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** A program that goes on until it is told to end. */
export type Ending = {
  /** Aborted when it is told to end. */
  readonly signal: AbortSignal;
  /** The exit code, once it is told to end. */
  readonly code: Promise<number>;
  /** Tells it to end. */
  readonly end: (code: number) => void;
  /** Gives the signals back. */
  readonly close: () => void;
};

/** Watches for Ctrl-C, SIGTERM, SIGHUP and a reader of standard output that has gone. */
export function awaitEnding(): Ending {
  const controller = new AbortController();
  const { promise, resolve } = Promise.withResolvers<number>();
  const end = (code: number): void => {
    resolve(code);
    controller.abort();
  };
  const handlers = Object.entries(CODES).map(([name, code]) => ({ name, handler: () => end(code) }));
  for (const { name, handler } of handlers) process.on(name, handler);
  // As `head` does when it has seen enough.
  const onError = ({ code }: NodeJS.ErrnoException): void => end(code === "EPIPE" ? 0 : 1);
  process.stdout.on("error", onError);
  return {
    signal: controller.signal,
    code: promise,
    end,
    close: () => {
      for (const { name, handler } of handlers) process.off(name, handler);
      process.stdout.off("error", onError);
    },
  };
}
