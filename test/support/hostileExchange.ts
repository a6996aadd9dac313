import type { DescMethod, DescMethodUnary, Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter, type Transport } from "@connectrpc/connect";
import { connectNodeAdapter, createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { once } from "node:events";
import { createServer as createHttp1 } from "node:http";
import { createServer as createHttp2, type ServerHttp2Session } from "node:http2";
import { createServer as createTcp, type Server, type Socket } from "node:net";
import { privateKeyToAccount } from "viem/accounts";
import { receiptFrom, receiptMessageOf } from "../../src/api/codecOrders.ts";
import { Exchange, type Receipt as ReceiptMessage } from "../../src/api/gen/hedgerow/exchange/v1/exchange_pb.ts";
import type { Hex } from "../../src/protocol/keys.ts";
import type { Domain } from "../../src/protocol/order.ts";
import { groupHash, type Receipt, receiptHash } from "../../src/protocol/receipt.ts";

/** What is answered in the place of an honest answer; it may throw, or never settle. */
export type Lie = (answer: unknown, request: unknown) => unknown;

/** What came from traders, in the order of its coming. */
export type Heard = { readonly method: string; readonly request: unknown };

/** An exchange between traders and an honest one, which says what it is told to. */
export type HostileExchange = {
  /** Over gRPC. */
  readonly url: string;
  readonly heard: Heard[];
  /** Lies from now on, by the method's name; the others are honest. A method in `silent` never reaches the honest one. */
  lie(lies: Readonly<Record<string, Lie>>, silent?: readonly string[]): void;
  honest(): void;
  stop(): Promise<void>;
};

/** Speaks the real protocol in front of the exchange behind `honestUrl`. */
export async function startHostileExchange(honestUrl: string): Promise<HostileExchange> {
  const manager = new Http2SessionManager(honestUrl);
  const transport = createGrpcTransport({ baseUrl: honestUrl, sessionManager: manager });
  const heard: Heard[] = [];
  let lies: Readonly<Record<string, Lie>> = {};
  let silent: readonly string[] = [];
  const server = await startRouter(async (method, request) => {
    heard.push({ method: method.localName, request });
    const lie = lies[method.localName];
    const answer = silent.includes(method.localName) ? undefined : await forwarded(transport, method, request);
    return lie === undefined ? answer : await lie(answer, request);
  });
  return {
    url: server.url,
    heard,
    lie: (next, unheard = []) => {
      lies = next;
      silent = unheard;
    },
    honest: () => {
      lies = {};
      silent = [];
    },
    stop: async () => {
      await server.stop();
      manager.abort();
    },
  };
}

async function forwarded(transport: Transport, method: DescMethodUnary, request: Message): Promise<unknown> {
  const { message } = await transport.unary(method, undefined, 10_000, undefined, request);
  return message;
}

type Answering = (method: DescMethodUnary, request: Message) => Promise<unknown>;

/** Serves every unary method over gRPC (HTTP/2), or over Connect on HTTP/1.1. */
export async function startRouter(answer: Answering, version: 1 | 2 = 2): Promise<{ url: string; stop: Stop }> {
  const routes = (router: ConnectRouter): void => {
    for (const method of Exchange.methods) {
      if (!isUnary(method)) continue;
      router.rpc(method, async (request: Message): Promise<Message> => {
        const answered = await answer(method, request);
        if (!isMessage(answered)) throw new ConnectError("no answer", Code.Internal);
        return answered;
      });
    }
  };
  const adapter = connectNodeAdapter({ routes, acceptCompression: [] });
  return version === 1 ? listening(createHttp1(adapter)) : listening(createHttp2(adapter));
}

function isUnary(method: DescMethod): method is DescMethodUnary {
  return method.methodKind === "unary";
}

type Stop = () => Promise<void>;

/** A server whose answers are made by hand, on HTTP/2, or on bare TCP. */
export function startHttp2(onSession: (session: ServerHttp2Session) => void): Promise<{ url: string; stop: Stop }> {
  const server = createHttp2();
  server.on("session", (session: ServerHttp2Session) => {
    session.on("error", () => undefined);
    onSession(session);
  });
  return listening(server);
}

export function startTcp(onSocket: (socket: Socket) => void): Promise<{ url: string; stop: Stop }> {
  return listening(createTcp(onSocket));
}

async function listening(server: Server): Promise<{ url: string; stop: Stop }> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    stop: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
      if (server.listening) await once(server, "close");
    },
  };
}

// ------------------------------------------------------------------ lies

/** A receipt with other words, signed by a key: that of the operator, if he lies himself. */
export async function forged(
  domain: Domain,
  key: Hex,
  message: ReceiptMessage,
  changes: Partial<Receipt>,
): Promise<ReceiptMessage> {
  const receipt = { ...receiptFrom(message).receipt, ...changes };
  const signature = await privateKeyToAccount(key).sign({ hash: groupHash(domain, receiptHash(receipt)) });
  return receiptMessageOf({ receipt, siblings: [], signature });
}

export const ESCAPES = "\u001b[2J\u001b]0;owned\u0007\u009b31m\u202eevil\r\n\u0000\u2028";

/** What stands in the place of a field: what is at the edges of its type, beyond them, and of another kind. */
const NONSENSE: Readonly<Record<string, readonly unknown[]>> = {
  string: ["", "0", "-1", "9".repeat(78), "9".repeat(79), `0x${"00".repeat(32)}`, ESCAPES, "x".repeat(100_000), "1e9"],
  number: [0, 1, 2, 7, 8, 99, 255, 2 ** 31 - 1, 2 ** 32 - 1],
  bigint: [0n, 1n, 2n ** 31n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n],
  boolean: [true, false],
};

type Path = readonly (string | number)[];

/** A message with one of its fields, lists or parts made nonsense of; `where` and `what` choose. */
export function mutated(message: unknown, where: number, what: number): unknown {
  const places = placesOf(message);
  const place = places[where % places.length];
  return place === undefined ? message : changedAt(message, place, what);
}

function placesOf(value: unknown, path: Path = []): Path[] {
  const inner = isRecord(value)
    ? Object.entries(value).flatMap(([name, each]) => (name.startsWith("$") ? [] : placesOf(each, [...path, name])))
    : Array.isArray(value)
      ? value.flatMap((each, i) => placesOf(each, [...path, i]))
      : [];
  return path.length === 0 ? inner : [path, ...inner];
}

function changedAt(value: unknown, [at, ...rest]: Path, what: number): unknown {
  if (at === undefined) return nonsense(value, what);
  if (isList(value)) return value.map((each, i) => (i === at ? changedAt(each, rest, what) : each));
  return isRecord(value) ? { ...value, [at]: changedAt(value[at], rest, what) } : value;
}

function nonsense(value: unknown, what: number): unknown {
  if (isList(value)) {
    const made: readonly unknown[] = [[], [...value, ...value], Array.from({ length: 3_000 }, () => value[0])];
    return value.length === 0 ? value : made[what % made.length];
  }
  const choices = NONSENSE[typeof value];
  return choices === undefined ? undefined : choices[what % choices.length];
}

/** An object by its fields. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}

function isMessage(value: unknown): value is Message {
  return isRecord(value) && typeof value["$typeName"] === "string";
}
