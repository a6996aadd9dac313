import { HedgerowError } from "../../protocol/errors.ts";
import type { Hex } from "../../protocol/keys.ts";

/** What one server grants. Times in milliseconds, sizes in bytes. */
export type Limits = {
  /** A request message. */
  readonly messageBytes: number;
  readonly headerBytes: number;
  readonly connections: number;
  readonly connectionsPerAddress: number;
  /** What HTTP/2 may keep for one connection, whole megabytes: beyond it no new call begins. */
  readonly sessionMegabytes: number;
  /** Calls at a time on one connection. */
  readonly streamsPerConnection: number;
  /** Subscriptions of one connection, and of all. */
  readonly watchesPerConnection: number;
  readonly watches: number;
  /** Unary calls and commands, per second; as many may come at once after a pause. */
  readonly commandsPerSecond: number;
  readonly ticketCommandsPerSecond: number;
  /** Transitions of one connection, per second; four times as many may come at once after a pause. */
  readonly transitionsPerSecond: number;
  /** Refused signatures of one connection; one more is forgiven each second. */
  readonly badSignatures: number;
  /** Commands of one order-entry stream that wait for their result. */
  readonly commandsInFlight: number;
  /** Commands in one message. */
  readonly commandsPerMessage: number;
  /** What waits for one reader: messages, and their bytes. */
  readonly queuedMessages: number;
  readonly queuedBytes: number;
  /** How long a reader may let a message wait. */
  readonly slowReaderMs: number;
  /** From the first byte of a connection or request to the end of its headers. */
  readonly headersMs: number;
  /** From the beginning of a request to the end of its body; order entry has no such end. */
  readonly requestMs: number;
  /** A connection on which nothing happens; one with open streams is asked for a sign of life first. */
  readonly idleMs: number;
  /** How long `close` waits for calls. */
  readonly closeMs: number;
};

/** Roomy for traders, tight for mischief. */
export const DEFAULT_LIMITS: Limits = {
  messageBytes: 256 * 1024,
  headerBytes: 16 * 1024,
  connections: 1_000,
  connectionsPerAddress: 64,
  sessionMegabytes: 2,
  streamsPerConnection: 100,
  watchesPerConnection: 64,
  watches: 10_000,
  commandsPerSecond: 20_000,
  ticketCommandsPerSecond: 10_000,
  // A proof takes the server up to 30 ms.
  transitionsPerSecond: 5,
  badSignatures: 100,
  commandsInFlight: 4_096,
  commandsPerMessage: 1_024,
  queuedMessages: 1_024,
  queuedBytes: 1024 * 1024,
  slowReaderMs: 5_000,
  headersMs: 10_000,
  requestMs: 30_000,
  idleMs: 60_000,
  closeMs: 5_000,
};

/** More commands came in a second than one connection or ticket may send. */
export class TooManyCommands extends HedgerowError {
  constructor(who: "connection" | "ticket", perSecond: number, retryAfterMs: number) {
    super("TooManyCommands", `a ${who} may send ${perSecond} commands a second: wait ${retryAfterMs} ms`, {
      who,
      perSecond,
      retryAfterMs,
    });
  }
}

/** More transitions came than one connection may send: each has a proof to be checked. */
export class TooManyTransitions extends HedgerowError {
  constructor(perSecond: number, retryAfterMs: number) {
    super("TooManyTransitions", `a connection may send ${perSecond} transitions a second: wait ${retryAfterMs} ms`, {
      perSecond,
      retryAfterMs,
    });
  }
}

/** A connection sent one bad signature after the other, and is about to be closed. */
export class TooManyBadSignatures extends HedgerowError {
  constructor(most: number) {
    super("TooManyBadSignatures", `${most} signatures on this connection were bad: it is closed`, { most });
  }
}

/** There are as many subscriptions as there may be. */
export class TooManyWatches extends HedgerowError {
  constructor(where: "connection" | "server", most: number) {
    super("TooManyWatches", `this ${where} has ${most} subscriptions, no more are allowed: end one first`, { most });
  }
}

/** A reader did not keep up: what waited for it is gone. */
export class SlowReader extends HedgerowError {
  constructor() {
    super("SlowReader", "slow reader: too much waited to be read; read faster, and subscribe anew");
  }
}

/** Tokens that come back with time: `perSecond` of them each second, and no more than `most` at once. */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #most: number;
  #tokens: number;
  #at: number;

  /** `now` in milliseconds of a clock that never goes back. */
  constructor(perSecond: number, now: number, most = perSecond) {
    this.#perSecond = perSecond;
    this.#most = most;
    this.#tokens = most;
    this.#at = now;
  }

  /** Tokens there are. */
  tokens(now: number): number {
    this.#tokens = Math.min(this.#most, this.#tokens + ((now - this.#at) * this.#perSecond) / 1000);
    this.#at = now;
    return this.#tokens;
  }

  /** Whether a token was there, which is gone now. */
  take(now: number): boolean {
    if (this.tokens(now) < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Milliseconds until there is a token. */
  wait(now: number): number {
    const missing = 1 - this.tokens(now);
    return missing <= 0 ? 0 : Math.ceil((missing * 1000) / this.#perSecond);
  }
}

const MOST_BUCKETS = 10_000;

/**
 * A bucket for each ticket. Whoever knows a ticket's id can name it, so that only commands that were
 * executed use up its tokens: `check` comes before the command, `charge` after it.
 */
export class TicketBuckets {
  readonly #perSecond: number;
  readonly #buckets = new Map<Hex, TokenBucket>();

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** Throws TooManyCommands where the ticket has no token left. */
  check(ticketId: Hex, now: number): void {
    const bucket = this.#buckets.get(ticketId);
    if (bucket !== undefined && bucket.tokens(now) < 1) {
      throw new TooManyCommands("ticket", this.#perSecond, bucket.wait(now));
    }
  }

  /** Takes a token. */
  charge(ticketId: Hex, now: number): void {
    let bucket = this.#buckets.get(ticketId);
    if (bucket === undefined) {
      if (this.#buckets.size >= MOST_BUCKETS) this.#sweep(now);
      bucket = new TokenBucket(this.#perSecond, now);
      this.#buckets.set(ticketId, bucket);
    }
    bucket.take(now);
  }

  /** A full bucket says as much as none. Where none is full, the oldest go. */
  #sweep(now: number): void {
    for (const [ticketId, bucket] of this.#buckets) {
      if (bucket.tokens(now) >= this.#perSecond) this.#buckets.delete(ticketId);
    }
    for (const ticketId of this.#buckets.keys()) {
      if (this.#buckets.size < MOST_BUCKETS / 2) break;
      this.#buckets.delete(ticketId);
    }
  }
}
