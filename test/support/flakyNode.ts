import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { z } from "zod";

const requestSchema = z.object({ id: z.unknown(), method: z.string(), params: z.array(z.unknown()).default([]) });
const answerSchema = z.looseObject({
  result: z.unknown().optional(),
  error: z.looseObject({ message: z.string() }).optional(),
});

type RpcRequest = z.infer<typeof requestSchema>;

/** A JSON-RPC endpoint in front of a node, as unreliable as it is told to be. */
export type FlakyNode = {
  readonly url: string;
  /** How often each method was asked for since the start. */
  readonly calls: ReadonlyMap<string, number>;
  /** How many requests came in since the start. */
  readonly total: number;
  /** Refuses connections, and breaks those there are. */
  goAway(): Promise<void>;
  comeBack(): Promise<void>;
  /** Makes every request wait, in milliseconds. */
  delay(ms: number): void;
  /** The next transactions reach the node, but the answers get lost. */
  loseAnswers(count: number): void;
  /** The next transactions do not reach the node, and get no answer. */
  loseTransactions(count: number): void;
  /** Answers the next requests with an HTTP status. */
  failNext(count: number, status?: number): void;
  /** Answers the next transactions with an error of the node, and does not take them. */
  refuseTransactions(count: number, message?: string): void;
  /** Takes the next transactions, says so, and drops them. */
  swallowTransactions(count: number): void;
  /** Runs something once, just before the next request of a method goes on to the node. */
  before(method: string, happens: () => Promise<void>): void;
  /** Does not know the newest blocks. */
  lagBy(blocks: number): void;
  /** Stands in front of another node from now on. */
  moveTo(url: string): void;
  /** Remembers where the chain is; the returned function takes all later blocks back and mines an empty one instead. */
  reorganisation(): Promise<() => Promise<void>>;
  stop(): Promise<void>;
};

/** Starts an endpoint in front of the node behind `url`. */
export async function startFlakyNode(url: string): Promise<FlakyNode> {
  const sockets = new Set<Socket>();
  const calls = new Map<string, number>();
  const hooks = new Map<string, () => Promise<void>>();
  let [upstream, delayMs, lag, total] = [url, 0, 0, 0];
  let [lostAnswers, lostTransactions, swallowed] = [0, 0, 0];
  let failures = { count: 0, status: 503 };
  let refusals = { count: 0, message: "" };

  const forward = async (request: RpcRequest): Promise<z.infer<typeof answerSchema>> => {
    const body = JSON.stringify({ ...request, jsonrpc: "2.0" });
    const response = await fetch(upstream, { method: "POST", headers: { "content-type": "application/json" }, body });
    return answerSchema.parse(await response.json());
  };

  const ask = async (method: string, ...params: readonly unknown[]): Promise<unknown> => {
    const { result, error } = await forward({ id: 0, method, params: [...params] });
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result;
  };

  const newest = async (): Promise<number> => Number(z.string().parse(await ask("eth_blockNumber"))) - lag;

  /** What the node behind it is asked in the place of a request. */
  const lagging = async (request: RpcRequest): Promise<RpcRequest> => {
    if (lag === 0 || request.method !== "eth_getBlockByNumber" || request.params[0] !== "latest") return request;
    return { ...request, params: [`0x${(await newest()).toString(16)}`, ...request.params.slice(1)] };
  };

  const answerTo = async (request: RpcRequest, socket: Socket): Promise<object | undefined> => {
    const { id, method } = request;
    if (method !== "eth_sendRawTransaction") return forward(await lagging(request));
    if (refusals.count > 0) {
      refusals.count -= 1;
      return { jsonrpc: "2.0", id, error: { code: -32_000, message: refusals.message } };
    }
    if (lostTransactions > 0) {
      lostTransactions -= 1;
      socket.destroy();
      return undefined;
    }
    if (swallowed > 0) {
      swallowed -= 1;
      return { jsonrpc: "2.0", id, result: `0x${"00".repeat(32)}` };
    }
    const answer = await forward(request);
    if (lostAnswers === 0) return answer;
    lostAnswers -= 1;
    socket.destroy();
    return undefined;
  };

  const handle = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(z.instanceof(Buffer).parse(chunk));
    const request = requestSchema.parse(JSON.parse(Buffer.concat(chunks).toString("utf8")));
    total += 1;
    calls.set(request.method, (calls.get(request.method) ?? 0) + 1);
    if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
    if (failures.count > 0) {
      failures.count -= 1;
      response.writeHead(failures.status).end("out of order");
      return;
    }
    const hook = hooks.get(request.method);
    hooks.delete(request.method);
    await hook?.();
    const answer = await answerTo(request, incoming.socket);
    if (answer === undefined) return;
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
  };

  const server = createServer((incoming, response) => {
    handle(incoming, response).catch(() => incoming.socket.destroy());
  });
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  const listen = async (port: number): Promise<number> => {
    await once(server.listen(port, "127.0.0.1"), "listening");
    const address = server.address();
    if (typeof address !== "object" || address === null) throw new Error("the endpoint has no port");
    return address.port;
  };
  const close = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, "close");
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  const port = await listen(0);

  return {
    url: `http://127.0.0.1:${port}`,
    calls,
    get total() {
      return total;
    },
    goAway: close,
    comeBack: async () => {
      await listen(port);
    },
    delay: (ms) => (delayMs = ms),
    loseAnswers: (count) => (lostAnswers = count),
    loseTransactions: (count) => (lostTransactions = count),
    failNext: (count, status = 503) => (failures = { count, status }),
    refuseTransactions: (count, message = "replacement transaction underpriced") => (refusals = { count, message }),
    swallowTransactions: (count) => (swallowed = count),
    before: (method, happens) => hooks.set(method, happens),
    lagBy: (blocks) => (lag = blocks),
    moveTo: (other) => (upstream = other),
    reorganisation: async () => {
      const snapshot = await ask("evm_snapshot");
      return async () => {
        await ask("evm_revert", snapshot);
        // Another time makes it another block, even if the one taken back was empty too.
        await ask("evm_increaseTime", 7);
        await ask("evm_mine");
      };
    },
    stop: close,
  };
}
