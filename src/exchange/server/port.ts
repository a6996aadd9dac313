import { createServer as createHttp1Server, type IncomingMessage, type ServerResponse } from "node:http";
import {
  constants,
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type Http2Session,
} from "node:http2";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import type { Logger } from "pino";
import { type Call, type Connection, newConnection } from "./calls.ts";
import type { Limits } from "./limits.ts";
import type { Metrics } from "./metrics.ts";

// One TCP port for HTTP/1.1 and HTTP/2 without TLS: the first bytes of a connection say which it is.

export type Request = IncomingMessage | Http2ServerRequest;
export type Response = ServerResponse | Http2ServerResponse;

/** Answers a request. `longBody`: whether a body may go on for ever on this path. */
export type Handler = {
  readonly handle: (request: Request, response: Response, call: Call) => void;
  readonly longBody: (path: string) => boolean;
};

/** An open port. */
export type Port = {
  readonly port: number;
  /** Takes no more connections, and lets the open ones end as soon as their calls have. */
  readonly close: () => void;
  /** Cuts what is still open. */
  readonly destroy: () => void;
};

/** How long the last words of a connection may take to its socket. */
const LAST_WORDS_MS = 50;
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
/** Bytes that no HTTP/1.1 request begins with: enough to tell. */
const PREFACE_BYTES = 4;

/** Opens the port. Throws the system's error where it is taken. */
export async function openPort(
  host: string,
  port: number,
  handler: Handler,
  limits: Limits,
  logger: Logger,
  metrics: Metrics,
): Promise<Port> {
  const sockets = new Map<Socket, Connection>();
  const sessions = new Map<Http2Session, Connection>();
  const ofAddress = new Map<string, number>();
  let connections = 0;
  /** The connection whose socket is handed to the HTTP/2 server right now. */
  let handedOver: Connection | undefined;

  const http1 = createHttp1Server(
    {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: Math.min(limits.headersMs, limits.requestMs),
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.idleMs,
      connectionsCheckingInterval: Math.max(50, Math.min(5_000, limits.headersMs / 2)),
    },
    (request, response) => {
      const connection = sockets.get(request.socket);
      if (connection === undefined) return void request.socket.destroy();
      count(connection, response);
      handler.handle(request, response, { connection, drop: () => request.socket.destroy(), waitingSince: undefined });
    },
  );
  // A server that has no port of its own starts to look after its connections' timeouts on this event.
  http1.emit("listening");

  const http2 = createHttp2Server({
    settings: {
      maxConcurrentStreams: limits.streamsPerConnection,
      maxHeaderListSize: limits.headerBytes,
      initialWindowSize: limits.messageBytes,
      enablePush: false,
    },
    maxHeaderListPairs: 64,
    maxSessionMemory: limits.sessionMegabytes,
  });
  http2.on("session", (session) => {
    if (handedOver !== undefined) sessions.set(session, handedOver);
    session.on("error", (error: Error) => logger.debug({ reason: nameOf(error) }, "connection failed"));
    session.on("close", () => sessions.delete(session));
    session.setTimeout(limits.idleMs, () => idle(session));
  });
  http2.on("sessionError", () => undefined);
  http2.on("request", (request, response) => {
    const { stream } = request;
    const connection = stream.session === undefined ? undefined : sessions.get(stream.session);
    if (connection === undefined) {
      stream.close(constants.NGHTTP2_REFUSED_STREAM);
      return;
    }
    const drop = (): void => stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    if (!handler.longBody(request.url)) {
      const timer = setTimeout(drop, limits.requestMs);
      timer.unref();
      request.once("end", () => clearTimeout(timer));
      request.once("close", () => clearTimeout(timer));
    }
    count(connection, response);
    handler.handle(request, response, { connection, drop, waitingSince: undefined });
  });

  /** Nothing came for a while: without calls the session ends, with some the other side must show that it lives. */
  function idle(session: Http2Session): void {
    const dead = setTimeout(() => session.destroy(), limits.headersMs);
    dead.unref();
    session.once("close", () => clearTimeout(dead));
    if (sessions.get(session)?.calls === 0) {
      session.close();
      return;
    }
    session.ping((error) => {
      if (error === null) clearTimeout(dead);
    });
  }

  /** Says why over HTTP/2, lets the answers that are ready go out, and hangs up. */
  function end(socket: Socket, reason: string): void {
    const connection = sockets.get(socket);
    for (const [session, of] of sessions) {
      if (of === connection) session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, 0, Buffer.from(reason));
    }
    setTimeout(() => socket.destroy(), LAST_WORDS_MS);
  }

  const tcp = createTcpServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 }, (socket) => {
    const address = socket.remoteAddress ?? "";
    const there = ofAddress.get(address) ?? 0;
    if (sockets.size >= limits.connections || there >= limits.connectionsPerAddress) {
      metrics.connectionsRefused.inc();
      logger.debug({ code: "TooManyConnections" }, "connection refused");
      socket.destroy();
      return;
    }
    connections += 1;
    const connection = newConnection(connections, limits, (reason) => end(socket, reason));
    sockets.set(socket, connection);
    ofAddress.set(address, there + 1);
    metrics.connections.inc();
    logger.debug({ connection: connection.id }, "connection opened");
    socket.on("error", () => socket.destroy());
    socket.once("close", () => {
      sockets.delete(socket);
      const others = (ofAddress.get(address) ?? 1) - 1;
      if (others === 0) ofAddress.delete(address);
      else ofAddress.set(address, others);
      metrics.connections.dec();
      logger.debug({ connection: connection.id }, "connection closed");
    });
    peek(socket, limits.headersMs, (isHttp2) => {
      if (isHttp2) {
        handedOver = connection;
        http2.emit("connection", socket);
        handedOver = undefined;
      } else {
        http1.emit("connection", socket);
      }
    });
  });

  await new Promise<void>((resolve, reject) => {
    tcp.once("error", reject);
    tcp.listen(port, host, () => {
      tcp.off("error", reject);
      // Such as no file descriptors left: the connection is lost, the port stays open.
      tcp.on("error", (error) => logger.error({ reason: nameOf(error) }, "connection not accepted"));
      resolve();
    });
  });
  return {
    port: portOf(tcp.address()),
    close: () => {
      tcp.close();
      http1.closeIdleConnections();
      for (const session of sessions.keys()) session.close();
    },
    destroy: () => {
      for (const session of sessions.keys()) session.destroy();
      for (const socket of sockets.keys()) socket.destroy();
      http1.close();
    },
  };
}

function count(connection: Connection, response: Response): void {
  connection.calls += 1;
  response.once("close", () => (connection.calls -= 1));
}

/**
 * Says whether a connection speaks HTTP/2, as soon as its first bytes are there; they stay to be read. One that sends
 * nothing for `patienceMs` is cut.
 */
function peek(socket: Socket, patienceMs: number, done: (isHttp2: boolean) => void): void {
  const timer = setTimeout(() => socket.destroy(), patienceMs);
  timer.unref();
  socket.once("close", () => clearTimeout(timer));
  let seen = Buffer.alloc(0);
  const look = (): void => {
    const chunk: unknown = socket.read();
    if (!Buffer.isBuffer(chunk)) return;
    seen = Buffer.concat([seen, chunk]);
    const length = Math.min(seen.length, PREFACE_BYTES);
    const matches = seen.subarray(0, length).equals(PREFACE.subarray(0, length));
    if (matches && length < PREFACE_BYTES) return;
    // Given back only now, with nobody listening: whoever puts bytes back while he listens hears of them at once.
    socket.off("readable", look);
    socket.unshift(seen);
    clearTimeout(timer);
    done(matches);
  };
  socket.on("readable", look);
}

function portOf(address: AddressInfo | string | null): number {
  return typeof address === "object" && address !== null ? address.port : 0;
}

function nameOf(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : error.name;
}
