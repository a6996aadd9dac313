import { lstatSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import type { z } from "zod";
import { HedgerowError } from "../../protocol/errors.ts";
import {
  COMMANDS,
  type CommandName,
  type CommandParams,
  type CommandResult,
  type RunOptions,
  type TraderService,
} from "../commands.ts";
import {
  AGENT_COMMANDS,
  answerMessage,
  CommandCancelled,
  type ErrorView,
  lineOf,
  lineReader,
  MOST_ANSWER_BYTES,
  reasonOf,
} from "./protocol.ts";
import { fitsSocket } from "./socketPath.ts";
import type { AgentStatus } from "./status.ts";

/** The agent is there and cannot be asked, or it went away before it answered. */
export class AgentUnreachable extends HedgerowError {
  constructor(path: string, reason: string) {
    super(
      "AgentUnreachable",
      `the agent behind ${path} cannot be asked: ${reason}; what it had sent stays sent: ask again`,
      {
        path,
        reason,
      },
    );
  }
}

/** The socket belongs to another user, or others may write to it. */
export class SocketNotOwn extends HedgerowError {
  constructor(path: string) {
    super("SocketNotOwn", `${path} is another user's or open to others: remove it, and start the agent again`, {
      path,
    });
  }
}

/** The agent answered something that makes no sense. */
export class AgentAnsweredBadly extends HedgerowError {
  constructor(name: string, reason: string) {
    super(
      "AgentAnsweredBadly",
      `the agent's answer to ${name} was not understood (${reason}): is it of this version?`,
      {
        name,
        reason,
      },
    );
  }
}

/** A wallet that the agent holds. */
export type AgentClient = TraderService & {
  status(): Promise<AgentStatus>;
  /** Tells the agent to end; it answers before it does. */
  stop(): Promise<void>;
  /** Settles when the connection is gone: where it was the agent that ended, its wallet is free. */
  readonly ended: Promise<void>;
};

/**
 * A way to the agent that holds a wallet, or undefined where none listens. Aborting a call's signal rejects it at once
 * with CommandCancelled. Every call throws the errors of the wallet by their codes, AgentUnreachable, AgentAnsweredBadly.
 * Throws AgentUnreachable, SocketNotOwn.
 */
export async function connectAgent(path: string): Promise<AgentClient | undefined> {
  if (!fitsSocket(path) || !isOwnSocket(path)) return undefined;
  const socket = await connected(path);
  return socket === undefined ? undefined : clientOver(socket, path);
}

function isOwnSocket(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found?.isSocket() !== true) return false;
  if (found.uid !== process.getuid?.() || (found.mode & 0o077) !== 0) throw new SocketNotOwn(path);
  return true;
}

function connected(path: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    const failed = (error: NodeJS.ErrnoException): void => {
      if (error.code === "ECONNREFUSED" || error.code === "ENOENT") resolve(undefined);
      else reject(new AgentUnreachable(path, error.message));
    };
    socket.once("error", failed);
    socket.once("connect", () => {
      socket.off("error", failed);
      resolve(socket);
    });
  });
}

type Pending = {
  readonly onProgress: RunOptions["onProgress"];
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
};

const RESULTS: { readonly [N in CommandName]: { readonly result: z.ZodType<CommandResult<N>> } } = COMMANDS;

function clientOver(socket: Socket, path: string): AgentClient {
  const pending = new Map<number, Pending>();
  let lastId = 0;
  let lost: HedgerowError | undefined;

  const fail = (error: HedgerowError): void => {
    lost ??= error;
    for (const { reject } of pending.values()) reject(lost);
    pending.clear();
    socket.destroy();
  };

  const read = lineReader(MOST_ANSWER_BYTES, (value) => {
    const answer = answerMessage.safeParse(value);
    if (!answer.success) {
      fail(new AgentAnsweredBadly("a request", reasonOf(answer.error)));
      return;
    }
    const { id, ...said } = answer.data;
    if (id === null) {
      fail(errorOf("error" in said ? said.error : undefined));
      return;
    }
    // Nobody waits for the answer to what was cancelled.
    const asked = pending.get(id);
    if (asked === undefined) return;
    if ("progress" in said) {
      asked.onProgress?.(said.progress);
      return;
    }
    pending.delete(id);
    if ("error" in said) asked.reject(errorOf(said.error));
    else asked.resolve(said.result);
  });

  socket.on("data", (chunk: Buffer) => {
    try {
      read(chunk);
    } catch (error) {
      fail(error instanceof HedgerowError ? error : new AgentAnsweredBadly("a request", String(error)));
    }
  });
  socket.on("error", (error) => fail(new AgentUnreachable(path, error.message)));
  socket.on("close", () => fail(new AgentUnreachable(path, "it closed the connection")));
  const ended = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  // A connection at rest keeps no process alive.
  socket.unref();

  async function ask<T>(
    name: string,
    params: unknown,
    schema: z.ZodType<T>,
    { onProgress, signal }: RunOptions = {},
  ): Promise<T> {
    if (lost !== undefined) throw lost;
    if (signal?.aborted === true) throw new CommandCancelled(name);
    const id = ++lastId;
    socket.ref();
    let cancel: (() => void) | undefined;
    try {
      const result = await new Promise<unknown>((resolve, reject) => {
        cancel = () => {
          pending.delete(id);
          socket.write(lineOf({ cancel: id }));
          reject(new CommandCancelled(name));
        };
        signal?.addEventListener("abort", cancel, { once: true });
        pending.set(id, { onProgress, resolve, reject });
        socket.write(lineOf({ id, name, params }));
      });
      const checked = schema.safeParse(result);
      if (!checked.success) throw new AgentAnsweredBadly(name, reasonOf(checked.error));
      return checked.data;
    } finally {
      if (cancel !== undefined) signal?.removeEventListener("abort", cancel);
      if (pending.size === 0) socket.unref();
    }
  }

  return {
    run: async <N extends CommandName>(name: N, params: CommandParams<N>, options?: RunOptions) =>
      ask<CommandResult<N>>(name, params, RESULTS[name].result, options),
    status: () => ask("agent-status", {}, AGENT_COMMANDS["agent-status"].result),
    stop: async () => {
      await ask("agent-stop", {}, AGENT_COMMANDS["agent-stop"].result);
    },
    get ended() {
      socket.ref();
      return ended;
    },
    close: () =>
      new Promise((resolve) => {
        lost ??= new AgentUnreachable(path, "the connection was closed here");
        if (socket.destroyed) {
          resolve();
          return;
        }
        socket.once("close", () => resolve());
        socket.destroy();
      }),
  };
}

function errorOf(view: ErrorView | undefined): HedgerowError {
  if (view === undefined) return new AgentAnsweredBadly("a request", "an answer without an id");
  return new HedgerowError(view.code, view.message, view.details);
}
