import { z } from "zod";
import { HedgerowError } from "../../protocol/errors.ts";
import { progressEvent } from "../commands.ts";
import { agentStatus } from "./status.ts";

/*
 * What wallet commands and the agent say to each other over the agent's socket: lines of JSON, one message a line
 * (spec AGT-3). Amounts are text and times are numbers already: what the commands take and answer is what JSON holds.
 */

/** Longest line that the agent reads: a thousand orders fit several times. */
export const MOST_REQUEST_BYTES = 1 << 20;
/** Longest line that a client reads: a history of years. */
export const MOST_ANSWER_BYTES = 1 << 26;
/** Requests of one connection that may be under way at once. */
export const MOST_IN_FLIGHT = 256;
/** Connections at once. */
export const MOST_CONNECTIONS = 64;

/** Names a request on its connection; each id serves once at a time. */
const requestId = z.int().min(1).max(Number.MAX_SAFE_INTEGER);

/** A request by its name, or the wish to end one. Params are checked by the schema of the name. */
export const requestMessage = z.union([
  z.strictObject({ id: requestId, name: z.string().max(64), params: z.unknown().optional() }),
  z.strictObject({ cancel: requestId }),
]);

/** An error as data: numbers beyond JSON's are decimal strings. */
const errorView = z.strictObject({
  code: z.string().max(100),
  message: z.string().max(20_000),
  details: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
});
export type ErrorView = z.infer<typeof errorView>;

/** The answers to a request: steps on the way, then its result or an error. No id: the line was not understood. */
export const answerMessage = z.union([
  z.strictObject({ id: requestId, progress: progressEvent }),
  z.strictObject({ id: requestId, result: z.unknown() }),
  z.strictObject({ id: requestId.nullable(), error: errorView }),
]);

/** What the agent answers about itself, besides everything in COMMANDS. */
export const AGENT_COMMANDS = {
  "agent-status": { params: z.strictObject({}), result: agentStatus },
  /** Answers, and then ends. */
  "agent-stop": { params: z.strictObject({}), result: z.strictObject({ stopping: z.literal(true) }) },
} as const;

/** A line on the agent's socket is no message, or is too long. */
export class MalformedMessage extends HedgerowError {
  constructor(reason: string) {
    super("MalformedMessage", `a message on the agent's socket was not understood: ${reason}`, { reason });
  }
}

/** A request to the agent names nothing that it does, or its values have another form. */
export class BadRequest extends HedgerowError {
  constructor(name: string, reason: string) {
    super("BadRequest", `${JSON.stringify(name)} cannot be asked of the agent like this: ${reason}`, { name, reason });
  }
}

/** So many requests of one connection are under way that no further one is taken. */
export class TooManyRequests extends HedgerowError {
  constructor() {
    super("TooManyRequests", `${MOST_IN_FLIGHT} requests are under way on this connection: wait for some of them`, {
      most: MOST_IN_FLIGHT,
    });
  }
}

/** Who asked does not want the answer any more. */
export class CommandCancelled extends HedgerowError {
  constructor(name: string) {
    super("CommandCancelled", `${name} was cancelled; what had been sent before stays sent: look what became of it`, {
      name,
    });
  }
}

/** An unexpected fault, without what it says: that stands in the agent's log. */
export class AgentFault extends HedgerowError {
  constructor(name: string) {
    super("AgentFault", `${name} ended with a fault in the agent: look into its log, and report it`, { name });
  }
}

/** An error as the socket carries it. What is no error of the project's own is described by `fallback`. */
export function errorViewOf(error: unknown, fallback: HedgerowError): ErrorView {
  const { code, message, details } = error instanceof HedgerowError ? error : fallback;
  return {
    code,
    message,
    details: Object.fromEntries(
      Object.entries(details).map(([name, value]) => [name, typeof value === "bigint" ? value.toString() : value]),
    ),
  };
}

/** A message as its line. */
export function lineOf(message: unknown): string {
  return `${JSON.stringify(message)}\n`;
}

/**
 * Cuts a stream of bytes into lines and hands each on as what its JSON says. Keeps at most `most` bytes.
 * The function throws MalformedMessage at a line that is too long, or not JSON in UTF-8.
 */
export function lineReader(most: number, onMessage: (value: unknown) => void): (chunk: Buffer) => void {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let parts: Buffer[] = [];
  let length = 0;
  const keep = (part: Buffer): void => {
    length += part.length;
    if (length > most) throw new MalformedMessage(`a line is longer than ${most} bytes`);
    parts.push(part);
  };
  return (chunk) => {
    let rest = chunk;
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      keep(rest.subarray(0, end));
      rest = rest.subarray(end + 1);
      const line = Buffer.concat(parts);
      parts = [];
      length = 0;
      if (line.length > 0) onMessage(parsed((bytes) => decoder.decode(bytes), line));
    }
    if (rest.length > 0) keep(rest);
  };
}

const NEWLINE = 10;

function parsed(decode: (bytes: Buffer) => string, line: Buffer): unknown {
  try {
    return JSON.parse(decode(line));
  } catch {
    throw new MalformedMessage("a line is not JSON");
  }
}

/** What a schema found wrong, in one line: where and why. */
export function reasonOf(error: z.ZodError): string {
  const [issue] = error.issues;
  const path = issue?.path.join(".") ?? "";
  return `${path === "" ? "" : `${path}: `}${issue?.message ?? "not understood"}`;
}
