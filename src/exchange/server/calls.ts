import { Code, createContextKey, type HandlerContext } from "@connectrpc/connect";
import type { Logger } from "pino";
import { BoundedQueue } from "../../api/queue.ts";
import { HedgerowError } from "../../protocol/errors.ts";
import {
  DEFAULT_LIMITS,
  type Limits,
  SlowReader,
  TokenBucket,
  TooManyBadSignatures,
  TooManyCommands,
  TooManyTransitions,
  TooManyWatches,
} from "./limits.ts";
import type { Metrics } from "./metrics.ts";
import { connectErrorOf, type Outcome, outcomeOf, redacted } from "./status.ts";

// What all calls share: their connection's limits, the log, the metrics, and what happens to readers that are slow.

/** The server is about to stop. */
export class Closing extends HedgerowError {
  constructor() {
    super("Closing", "the server is closing: connect again in a while");
  }
}

/** One TCP connection. */
export type Connection = {
  readonly id: number;
  readonly bucket: TokenBucket;
  readonly transitions: TokenBucket;
  /** Bad signatures that are still forgiven. */
  readonly forgiven: TokenBucket;
  /** Closes it with a reason, as soon as what was answered is on its way. */
  readonly end: (reason: string) => void;
  /** Whether it is about to be closed. */
  ended: boolean;
  /** Subscriptions and calls that are open on it. */
  watches: number;
  calls: number;
};

/** One call on a connection. */
export type Call = {
  readonly connection: Connection;
  /** Ends it without another word. */
  readonly drop: () => void;
  /** Since when a message of it waits to be read, milliseconds; undefined while none does. */
  waitingSince: number | undefined;
};

/** A connection that has sent nothing yet. */
export function newConnection(id: number, limits: Limits, end: (reason: string) => void): Connection {
  const now = performance.now();
  return {
    id,
    bucket: new TokenBucket(limits.commandsPerSecond, now),
    transitions: new TokenBucket(limits.transitionsPerSecond, now, 4 * limits.transitionsPerSecond),
    forgiven: new TokenBucket(1, now, limits.badSignatures),
    end,
    ended: false,
    watches: 0,
    calls: 0,
  };
}

/** Errors that cost as much as a command that is executed: a signature was checked. */
const BAD_SIGNATURES: readonly string[] = ["WrongSigner", "MalformedSignature"];

/** The call of a handler's context. */
export const CALL = createContextKey<Call>({
  connection: newConnection(0, DEFAULT_LIMITS, () => undefined),
  drop: () => undefined,
  waitingSince: undefined,
});

/** A message on its way to a reader, with its size in bytes as far as it is known. */
export type Push<M> = (message: M, weight: number) => void;

/** What a subscription begins with, and how it stops. */
export type Watching<M> = { readonly first: M; readonly stop: () => void };

export type Calls = ReturnType<typeof createCalls>;

/** The calls of one server. */
export function createCalls(limits: Limits, logger: Logger, metrics: Metrics) {
  const streams = new Set<Call>();
  const closing = new AbortController();
  let watches = 0;
  let active = 0;
  let references = 0;
  const started = Date.now().toString(36);

  const sweeper = setInterval(dropStuck, Math.max(50, Math.min(1_000, limits.slowReaderMs / 2)));
  sweeper.unref();

  /** Drops streams whose reader lets a message wait for too long. */
  function dropStuck(): void {
    const now = performance.now();
    for (const call of streams) {
      if (call.waitingSince === undefined || now - call.waitingSince < limits.slowReaderMs) continue;
      metrics.slowReaders.inc();
      logger.debug({ connection: call.connection.id, code: "SlowReader" }, "stream dropped");
      streams.delete(call);
      call.drop();
    }
  }

  /** An error for the outside; what is not meant for it goes into the log under a reference. */
  function outcome(error: unknown, method: string, connection: Connection): Outcome {
    references += 1;
    const reference = `${started}-${references}`;
    const result = outcomeOf(error, reference);
    if (result.internal) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      logger.error({ method, connection: connection.id, reference, error: redacted(text) }, "call failed");
    } else {
      const { code } = result.error;
      logger.debug({ method, connection: connection.id, status: Code[result.status], code }, "call refused");
      if (BAD_SIGNATURES.includes(code)) countBadSignature(connection);
    }
    return result;
  }

  function countBadSignature(connection: Connection): void {
    if (connection.ended || connection.forgiven.take(performance.now())) return;
    connection.ended = true;
    metrics.badSigners.inc();
    const { code, message } = new TooManyBadSignatures(limits.badSignatures);
    logger.info({ connection: connection.id, code }, "connection closed");
    connection.end(`${code}: ${message}`);
  }

  /** Counts a command of a connection. Throws TooManyCommands, TooManyBadSignatures. */
  function takeToken(connection: Connection): void {
    if (connection.ended) throw new TooManyBadSignatures(limits.badSignatures);
    const now = performance.now();
    if (connection.bucket.take(now)) return;
    throw new TooManyCommands("connection", limits.commandsPerSecond, connection.bucket.wait(now));
  }

  /** Counts a transition of a call's connection. Throws TooManyTransitions. */
  function takeTransition(context: HandlerContext): void {
    const { transitions } = context.values.get(CALL).connection;
    const now = performance.now();
    if (!transitions.take(now)) throw new TooManyTransitions(limits.transitionsPerSecond, transitions.wait(now));
  }

  /** Runs a unary call. */
  async function unary<T>(context: HandlerContext, run: () => T | Promise<T>): Promise<T> {
    const { connection } = context.values.get(CALL);
    const method = context.method.name;
    const begin = performance.now();
    active += 1;
    try {
      if (closing.signal.aborted) throw new Closing();
      takeToken(connection);
      const answer = await run();
      metrics.calls.inc({ method, status: "Ok" });
      return answer;
    } catch (error) {
      const result = outcome(error, method, connection);
      metrics.calls.inc({ method, status: Code[result.status] });
      throw connectErrorOf(result);
    } finally {
      active -= 1;
      metrics.callSeconds.observe({ method }, (performance.now() - begin) / 1000);
    }
  }

  /** Runs a stream: counts it, names its errors, and notes while a message waits to be read. */
  async function* stream<M>(context: HandlerContext, messages: () => AsyncIterable<M>): AsyncGenerator<M> {
    const call = context.values.get(CALL);
    const method = context.method.name;
    // Whoever is gone before it begins is never told about again.
    if (context.signal.aborted) return;
    let open = true;
    const finish = (status: string): void => {
      if (!open) return;
      open = false;
      active -= 1;
      streams.delete(call);
      metrics.streams.dec({ method });
      metrics.calls.inc({ method, status });
    };
    active += 1;
    streams.add(call);
    metrics.streams.inc({ method });
    // A reader that is gone asks for no more messages: the generator would never end.
    context.signal.addEventListener("abort", () => finish("Canceled"), { once: true });
    try {
      if (closing.signal.aborted) throw new Closing();
      for await (const message of messages()) {
        call.waitingSince = performance.now();
        yield message;
        call.waitingSince = undefined;
      }
      finish("Ok");
    } catch (error) {
      const result = outcome(error, method, call.connection);
      finish(Code[result.status]);
      throw connectErrorOf(result);
    } finally {
      finish("Canceled");
    }
  }

  /** Runs a subscription: what is pushed waits in a bounded queue; when that is full the reader is too slow. */
  function watch<M>(
    context: HandlerContext,
    start: (push: Push<M>, end: (error: Error) => void) => Watching<M> | Promise<Watching<M>>,
  ): AsyncGenerator<M> {
    return stream(context, async function* () {
      const { connection } = context.values.get(CALL);
      takeToken(connection);
      if (connection.watches >= limits.watchesPerConnection) {
        throw new TooManyWatches("connection", limits.watchesPerConnection);
      }
      if (watches >= limits.watches) throw new TooManyWatches("server", limits.watches);
      const queue = new BoundedQueue<M>(limits.queuedMessages, limits.queuedBytes);
      connection.watches += 1;
      watches += 1;
      let stop = (): void => undefined;
      let open = true;
      const release = (): void => {
        if (!open) return;
        open = false;
        connection.watches -= 1;
        watches -= 1;
        stop();
        queue.end();
        closing.signal.removeEventListener("abort", close);
      };
      const close = (): void => queue.fail(new Closing());
      closing.signal.addEventListener("abort", close);
      context.signal.addEventListener("abort", release, { once: true });
      const push: Push<M> = (message, weight) => {
        if (queue.push(message, weight)) return;
        metrics.slowReaders.inc();
        queue.fail(new SlowReader());
        stop();
      };
      try {
        const watching = await start(push, (error) => queue.fail(error));
        stop = watching.stop;
        if (context.signal.aborted) watching.stop();
        yield watching.first;
        yield* queue;
      } finally {
        release();
      }
    });
  }

  return {
    unary,
    stream,
    watch,
    outcome,
    takeToken,
    takeTransition,
    /** Aborts when the server begins to close. */
    closing: closing.signal,
    /** Ends all streams with Closing, and refuses new calls. */
    close(): void {
      closing.abort();
    },
    /** Calls that are under way. */
    active: () => active,
    stop(): void {
      clearInterval(sweeper);
    },
  };
}
