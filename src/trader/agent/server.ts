import { chmodSync, lstatSync, unlinkSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import { HedgerowError } from "../../protocol/errors.ts";
import { checkedParams, COMMANDS, type CommandName, type RunOptions, type TraderService } from "../commands.ts";
import {
  AGENT_COMMANDS,
  AgentFault,
  BadRequest,
  CommandCancelled,
  errorViewOf,
  lineOf,
  lineReader,
  MalformedMessage,
  MOST_CONNECTIONS,
  MOST_IN_FLIGHT,
  MOST_REQUEST_BYTES,
  reasonOf,
  requestMessage,
  TooManyRequests,
} from "./protocol.ts";
import { fitsSocket, SocketPathTooLong } from "./socketPath.ts";
import type { AgentStatus } from "./status.ts";

/** Another agent answers behind the socket. */
export class AgentAlreadyRuns extends HedgerowError {
  constructor(path: string) {
    super("AgentAlreadyRuns", `an agent already listens at ${path}: use it, or stop it with hedgerow agent stop`, {
      path,
    });
  }
}

/** Something that is no socket is where the socket should be. */
export class SocketPathTaken extends HedgerowError {
  constructor(path: string) {
    super("SocketPathTaken", `${path} is there and is no socket: move it away`, { path });
  }
}

/** What the socket gives access to. */
export type AgentServed = {
  readonly service: Pick<TraderService, "run">;
  readonly status: () => AgentStatus;
  /** Called once it was answered that the agent ends. */
  readonly onStop: () => void;
  /** Told of faults that are no errors of the project's own, for the log. */
  readonly onFault?: (name: string, error: unknown) => void;
  /** How long a client may leave answers unread, milliseconds. */
  readonly slowMs?: number;
};

export type AgentServer = {
  readonly path: string;
  /**
   * Takes no more requests, asks those under way to end, and gives them up after `graceMs`. Then does `last`, and only
   * then lets the clients go: when they see the end, the wallet is free.
   */
  close(graceMs?: number, last?: () => Promise<void>): Promise<void>;
};

const SLOW_MS = 30_000;
const GRACE_MS = 3_000;
/** How long a client may take for its last answers when the agent ends. Milliseconds. */
const CUT_MS = 500;
/** Bytes of answers that wait for a client; above it the agent reads no further requests of it, and tells no steps. */
const UNREAD_BYTES = 1 << 20;

/**
 * Listens on a Unix socket that only this user can reach: its directory gets mode 0700, the socket 0600. The socket of
 * an agent that died is replaced. The caller holds the wallet's lock, so that nobody else does the same at once.
 * Throws SocketPathTooLong, AgentAlreadyRuns, SocketPathTaken.
 */
export async function serveAgent(path: string, served: AgentServed): Promise<AgentServer> {
  if (!fitsSocket(path)) throw new SocketPathTooLong(path);
  chmodSync(dirname(path), 0o700);
  await removeStale(path);
  const connections = new Set<Connection>();
  const server = createServer({ allowHalfOpen: false }, (socket) => {
    const connection = serve(socket, served);
    connections.add(connection);
    socket.once("close", () => connections.delete(connection));
  });
  server.maxConnections = MOST_CONNECTIONS;
  await listening(server, path);
  chmodSync(path, 0o600);
  return {
    path,
    close: async (graceMs = GRACE_MS, last) => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await Promise.all([...connections].map((connection) => connection.quiet(graceMs)));
      try {
        await last?.();
      } finally {
        for (const connection of connections) connection.cut();
        await closed;
      }
    },
  };
}

async function removeStale(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new SocketPathTaken(path);
  const alive = await new Promise<boolean>((resolve) => {
    const probe = createConnection(path);
    probe.once("connect", () => resolve(true)).once("error", () => resolve(false));
    probe.once("connect", () => probe.destroy());
  });
  if (alive) throw new AgentAlreadyRuns(path);
  unlinkSync(path);
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

type Connection = {
  /** Takes no more requests; settles when none is under way, or in a while. */
  readonly quiet: (graceMs: number) => Promise<void>;
  readonly cut: () => void;
};

/** One client: many requests at once, until it closes its side, says what is no message, or does not read. */
function serve(socket: Socket, served: AgentServed): Connection {
  const underWay = new Map<number, AbortController>();
  let ending: (() => void) | undefined;
  let slow: NodeJS.Timeout | undefined;

  const say = (message: unknown): void => {
    if (socket.destroyed || !socket.writable) return;
    socket.write(lineOf(message));
    if (socket.writableLength < UNREAD_BYTES || slow !== undefined) return;
    socket.pause();
    slow = setTimeout(() => socket.destroy(), served.slowMs ?? SLOW_MS).unref();
  };
  socket.on("drain", () => {
    clearTimeout(slow);
    slow = undefined;
    socket.resume();
  });

  const goAway = (error: HedgerowError): void => {
    say({ id: null, error: errorViewOf(error, error) });
    socket.end();
    for (const controller of underWay.values()) controller.abort();
    // What it still says is not read; it may take the answer in a while.
    socket.removeAllListeners("data").resume();
    setTimeout(() => socket.destroy(), GRACE_MS).unref();
  };

  const answer = async (id: number, name: string, params: unknown): Promise<void> => {
    const controller = new AbortController();
    underWay.set(id, controller);
    try {
      const result = await perform(served, name, params, {
        signal: controller.signal,
        onProgress: (progress) => {
          if (slow === undefined && !controller.signal.aborted) say({ id, progress });
        },
      });
      say({ id, result });
      if (name === "agent-stop") served.onStop();
    } catch (error) {
      if (!(error instanceof HedgerowError) && !controller.signal.aborted) served.onFault?.(name, error);
      const fallback = controller.signal.aborted ? new CommandCancelled(name) : new AgentFault(name);
      say({ id, error: errorViewOf(error, fallback) });
    } finally {
      underWay.delete(id);
      if (underWay.size === 0) ending?.();
    }
  };

  const read = lineReader(MOST_REQUEST_BYTES, (value) => {
    const message = requestMessage.safeParse(value);
    if (!message.success) throw new MalformedMessage(reasonOf(message.error));
    if ("cancel" in message.data) return underWay.get(message.data.cancel)?.abort();
    const { id, name, params } = message.data;
    if (underWay.has(id)) throw new MalformedMessage(`request ${id} is under way already`);
    if (underWay.size < MOST_IN_FLIGHT && ending === undefined) return void answer(id, name, params);
    const error = ending === undefined ? new TooManyRequests() : new CommandCancelled(name);
    say({ id, error: errorViewOf(error, error) });
  });

  socket.on("data", (chunk: Buffer) => {
    try {
      read(chunk);
    } catch (error) {
      goAway(error instanceof HedgerowError ? error : new MalformedMessage("it cannot be read"));
    }
  });
  // Broken pipes and the like: "close" follows.
  socket.on("error", () => undefined);
  socket.on("close", () => {
    clearTimeout(slow);
    for (const controller of underWay.values()) controller.abort();
  });

  return {
    quiet: (graceMs) =>
      new Promise((resolve) => {
        ending = resolve;
        for (const controller of underWay.values()) controller.abort();
        if (underWay.size === 0) resolve();
        setTimeout(resolve, graceMs).unref();
      }),
    cut: () => {
      socket.end();
      setTimeout(() => socket.destroy(), CUT_MS).unref();
    },
  };
}

/** Checks a request by its schema and does it. */
async function perform(served: AgentServed, name: string, params: unknown, options: RunOptions): Promise<unknown> {
  if (name === "agent-status" || name === "agent-stop") {
    const checked = AGENT_COMMANDS[name].params.safeParse(params);
    if (!checked.success) throw new BadRequest(name, reasonOf(checked.error));
    return name === "agent-status" ? served.status() : { stopping: true };
  }
  if (!isCommand(name)) throw new BadRequest(name, "there is no such command");
  return served.service.run<CommandName>(name, checkedParams(name, params), options);
}

function isCommand(name: string): name is CommandName {
  return Object.hasOwn(COMMANDS, name);
}
