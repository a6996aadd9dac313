import { Code, ConnectError, cors, createConnectRouter, createContextValues } from "@connectrpc/connect";
import type { UniversalServerRequest } from "@connectrpc/connect/protocol";
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import type { Logger } from "pino";
import { setTimeout as sleep } from "node:timers/promises";
import { Exchange } from "../../api/gen/hedgerow/exchange/v1/exchange_pb.ts";
import { createMarketData } from "../marketData.ts";
import type { ExchangeService } from "../../api/service.ts";
import { CALL, type Call, createCalls } from "./calls.ts";
import { DEFAULT_LIMITS, type Limits, TicketBuckets } from "./limits.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import { exactNumbers } from "./jsonNumbers.ts";
import { openPort, type Request, type Response } from "./port.ts";
import { LONGEST_TIMER_MS, routes } from "./routes.ts";
import { redacted } from "./status.ts";

/** What a server is started with. */
export type ServerOptions = {
  readonly service: ExchangeService;
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  readonly limits?: Partial<Limits>;
  readonly logger: Logger;
  /** Registry and counters; a new registry where it is left out. */
  readonly metrics?: Metrics;
  /** Web pages that may call from a browser, by origin ("https://example.org"). None by default. */
  readonly origins?: readonly string[];
};

/** What both kinds of HTTP have of a response. */
type PlainResponse = {
  readonly headersSent: boolean;
  setHeader(name: string, value: string): unknown;
  writeHead(status: number, headers?: Readonly<Record<string, string>>): unknown;
  end(body: string): unknown;
};

/** A server that runs. */
export type Server = {
  readonly port: number;
  readonly url: string;
  /** Takes no more connections, ends streams with a reason, lets unary calls finish, in bounded time. */
  readonly close: () => Promise<void>;
};

/**
 * Serves the API on one TCP port without TLS: gRPC, gRPC-Web and Connect (JSON and binary) over HTTP/1.1 and HTTP/2, and
 * over HTTP GET /healthz, /readyz and /metrics. Throws the system's error where the port is taken.
 */
export async function startServer(options: ServerOptions): Promise<Server> {
  const { service, logger } = options;
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const metrics = options.metrics ?? createMetrics(service);
  const calls = createCalls(limits, logger, metrics);
  const data = createMarketData(service, (error) => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    logger.error({ error: redacted(text) }, "listener dropped");
  });
  const tickets = new TicketBuckets(limits.ticketCommandsPerSecond);
  const router = createConnectRouter({
    readMaxBytes: limits.messageBytes,
    // Small messages gain nothing, and a packed bomb has nobody to unpack it.
    acceptCompression: [],
    jsonOptions: { ignoreUnknownFields: true },
  });
  routes(router, { service, limits, calls, tickets, metrics, data });
  const paths = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  const longBodies = new Set(
    router.handlers
      .filter(({ method }) => method.methodKind === "bidi_streaming")
      .map(({ requestPath }) => requestPath),
  );
  const origins = new Set(options.origins ?? []);

  function handle(request: Request, response: Response, call: Call): void {
    const path = pathOf(request.url);
    const handler = paths.get(path);
    if (!allowOrigin(request, response)) return;
    if (handler === undefined) {
      plain(path, request, response);
      return;
    }
    if (!hasUrl(request)) {
      refuseNowhere(response);
      return;
    }
    forgetFarDeadline(request);
    const context = createContextValues().set(CALL, call);
    respond(path, request, response, async () =>
      universalResponseToNodeResponse(
        await handler(exact(universalRequestFromNodeRequest(request, response, undefined, context))),
        response,
      ),
    );
  }

  /** Runs what answers a request; whatever goes wrong ends this request only. */
  function respond(path: string, request: Request, response: PlainResponse, answer: () => Promise<void>): void {
    answer().catch((error: unknown) => {
      const { code } = ConnectError.from(error);
      const gone = code === Code.Aborted || code === Code.Canceled || request.destroyed;
      const text = error instanceof Error ? error.message : String(error);
      logger[gone ? "debug" : "warn"]({ path: redacted(path).slice(0, 100), error: redacted(text) }, "request failed");
      if (!response.headersSent) response.writeHead(400);
      response.end("");
    });
  }

  /** Answers a browser's question whether a page may call, and names the page in all answers to it. */
  function allowOrigin(request: Request, response: PlainResponse): boolean {
    const { origin } = request.headers;
    if (origin === undefined || !origins.has(origin)) return true;
    response.setHeader("access-control-allow-origin", origin);
    response.setHeader("access-control-expose-headers", cors.exposedHeaders.join(", "));
    response.setHeader("vary", "origin");
    if (request.method !== "OPTIONS") return true;
    response.setHeader("access-control-allow-methods", cors.allowedMethods.join(", "));
    response.setHeader("access-control-allow-headers", cors.allowedHeaders.join(", "));
    response.writeHead(204);
    response.end("");
    return false;
  }

  function refuseNowhere(response: PlainResponse): void {
    response.writeHead(400, { "content-type": "text/plain" });
    response.end("the request's host and path make no address\n");
  }

  function plain(path: string, request: Request, response: PlainResponse): void {
    const send = (status: number, type: string, body: string): void => {
      response.writeHead(status, { "content-type": type });
      response.end(request.method === "HEAD" ? "" : body);
    };
    const known = request.method === "GET" || request.method === "HEAD";
    if (known && path === "/healthz") {
      send(200, "application/json", JSON.stringify({ alive: true, ...identity }));
    } else if (known && path === "/readyz") {
      const reasons = [
        ...(calls.closing.aborted ? ["the server is closing"] : []),
        ...(service.health().chainReachable ? [] : ["the chain cannot be reached"]),
      ];
      const ready = reasons.length === 0;
      send(ready ? 200 : 503, "application/json", JSON.stringify({ ready, reasons }));
    } else if (known && path === "/metrics") {
      respond(path, request, response, async () =>
        send(200, metrics.registry.contentType, await metrics.registry.metrics()),
      );
    } else {
      send(404, "text/plain", "nothing is here\n");
    }
  }

  // Whom this exchange serves, for who wants to make sure before a trade.
  const identity = {
    api: Exchange.typeName,
    chainId: service.domain.chainId.toString(),
    clearingHouse: service.domain.verifyingContract,
    operator: service.operator,
  };

  const handler = { handle, longBody: (url: string) => longBodies.has(pathOf(url)) };
  const port = await openPort(options.host, options.port, handler, limits, logger, metrics).catch((error: unknown) => {
    calls.stop();
    data.close();
    throw error;
  });
  logger.info({ port: port.port }, "server started");

  async function close(): Promise<void> {
    if (calls.closing.aborted) return;
    calls.close();
    port.close();
    const deadline = performance.now() + limits.closeMs;
    while (calls.active() > 0 && performance.now() < deadline) await sleep(10);
    // The last words of the streams are on their way to the sockets.
    await sleep(10);
    calls.stop();
    data.close();
    port.destroy();
    logger.info("server stopped");
  }

  const host = options.host.includes(":") ? `[${options.host}]` : options.host;
  return { port: port.port, url: `http://${host}:${port.port}`, close };
}

/** A request whose numbers mean what they say. */
function exact(request: UniversalServerRequest): UniversalServerRequest {
  const type = request.header.get("content-type")?.toLowerCase() ?? "";
  const { body } = request;
  const isStream = typeof body === "object" && body !== null && Symbol.asyncIterator in body;
  if (!type.includes("json") || !isStream) return request;
  return { ...request, body: exactNumbers(body, !type.startsWith("application/json")) };
}

/** Milliseconds of the units of a gRPC deadline that can be too long for a timer. */
const UNIT_MS: ReadonlyMap<string, number> = new Map([
  ["H", 3_600_000],
  ["M", 60_000],
  ["S", 1_000],
]);

/** A deadline that no timer can hold is as good as none; a timer would make it one of a millisecond. */
function forgetFarDeadline({ headers }: Request): void {
  const grpc = headers["grpc-timeout"];
  if (typeof grpc === "string" && parseInt(grpc) * (UNIT_MS.get(grpc.slice(-1)) ?? 0) > LONGEST_TIMER_MS) {
    delete headers["grpc-timeout"];
  }
  if (Number(headers["connect-timeout-ms"]) > LONGEST_TIMER_MS) delete headers["connect-timeout-ms"];
}

/** What is no URL would be an error of ours later. */
function hasUrl(request: Request): boolean {
  const authority = "authority" in request ? request.authority : request.headers.host;
  return authority !== undefined && URL.canParse(request.url ?? "", `http://${authority}`);
}

function pathOf(url: string | undefined): string {
  return (url ?? "").split("?", 1)[0] ?? "";
}
