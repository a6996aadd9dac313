import { randomBytes } from "node:crypto";
import { type ClientRequest, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import type { Socket } from "node:net";
import { SocksProxyAgent } from "socks-proxy-agent";
import { ProxyUnreachable } from "../api/client.ts";
import type { NodeOptions } from "../chain/clearingHouse.ts";
import { HedgerowError } from "../protocol/errors.ts";

export { ProxyUnreachable } from "../api/client.ts";

/** What was given as a proxy is none that keeps a trader's secrets. */
export class BadProxy extends HedgerowError {
  constructor(given: string, reason: string) {
    super("BadProxy", `the proxy is ${given}, but ${reason}: give socks5h://host:port`, { given });
  }
}

/** A SOCKS5 proxy that everything goes through, to this machine too; nothing goes around it. */
export type Proxy = {
  /** socks5h://host:port, without credentials. */
  readonly url: string;
  /** Connections with credentials of their own, which a proxy that knows isolation keeps apart from all others. */
  readonly agent: () => IsolatedAgent;
  /** The way to a node: each call's requests go over connections of their own. */
  readonly node: () => NodeOptions;
  /** Closes the connections to nodes. */
  readonly close: () => void;
};

/** A circuit of an onion network takes a while. Milliseconds. */
export const PROXIED_TIMEOUT_MS = 60_000;

/**
 * The proxy behind `given`, "socks5h://host:port"; nothing is sent yet. Names of hosts go to the proxy as they are:
 * looked up here they would tell who is asked for whom one talks to. Throws BadProxy.
 */
export function proxyAt(given: string): Proxy {
  const { hostname, port, username, password } = checkedUrl(given);
  const url = `socks5h://${hostname}:${port === "" ? "1080" : port}`;
  if (username !== "" || password !== "") {
    throw new BadProxy(url, "credentials are made afresh for each ticket and cannot be given");
  }
  const nodes: IsolatedAgent[] = [];
  return {
    url,
    agent: () => new IsolatedAgent(url),
    node: () => {
      const agent = new IsolatedAgent(url);
      nodes.push(agent);
      return { fetch: fetchThrough(agent), timeoutMs: PROXIED_TIMEOUT_MS };
    },
    close: () => nodes.forEach((agent) => agent.destroy()),
  };
}

function checkedUrl(given: string): URL {
  const url = URL.parse(given);
  if (url === null) throw new BadProxy(JSON.stringify(given), "that is no URL");
  const { protocol } = url;
  // Whatever else it holds might be a password.
  const shown = `${protocol}//${url.host}`;
  if (protocol === "socks5:" || protocol === "socks4:") {
    throw new BadProxy(shown, "names would be looked up on this machine, which tells others whom it talks to");
  }
  if (protocol !== "socks5h:") throw new BadProxy(shown, "only SOCKS5 with names looked up by the proxy is good");
  if (url.hostname === "") throw new BadProxy(shown, "it names no host");
  if (!["", "/"].includes(url.pathname) || url.search !== "" || url.hash !== "") {
    throw new BadProxy(shown, "nothing may follow the port");
  }
  return url;
}

/**
 * Makes connections through a proxy under a user name and password that nobody else has. Those that are free are used
 * again. A connection that is not made fails its request with ProxyUnreachable.
 */
export class IsolatedAgent extends SocksProxyAgent {
  readonly #proxy: string;
  #connecting = 0;
  #generation = 0;

  constructor(url: string) {
    const address = new URL(url);
    address.username = randomBytes(16).toString("hex");
    address.password = randomBytes(16).toString("hex");
    super(address, { keepAlive: true, maxFreeSockets: 2 });
    // A URL writes an IPv6 address in brackets, a socket does not.
    this.proxy.host = address.hostname.replace(/^\[|\]$/g, "");
    this.#proxy = url;
  }

  /** Whether a request is under way, or waits for its connection. */
  get isBusy(): boolean {
    return this.#connecting > 0 || Object.values(this.sockets).some((sockets) => (sockets?.length ?? 0) > 0);
  }

  override async connect(request: ClientRequest, options: ConnectOptions): Promise<Socket> {
    const generation = this.#generation;
    this.#connecting += 1;
    try {
      const socket = await super.connect(request, options);
      if (generation === this.#generation) return socket;
      socket.destroy();
      throw new Error("the connection was closed here");
    } catch (error) {
      const destination = `${options.host ?? "?"}:${options.port}`;
      throw new ProxyUnreachable(this.#proxy, destination, error instanceof Error ? error.message : String(error));
    } finally {
      this.#connecting -= 1;
    }
  }

  /** Closes what is open and what is about to open. The agent may be used again. */
  override destroy(): void {
    this.#generation += 1;
    super.destroy();
  }
}

type ConnectOptions = Parameters<SocksProxyAgent["connect"]>[1];

/** A client that numbers its questions over all its connections would tie them together again. */
const NUMBERED = /^\{"jsonrpc":"2\.0","id":\d+,/;

/** What `fetch` does with a text to post, through an agent. It follows no redirection. */
function fetchThrough(agent: IsolatedAgent): typeof fetch {
  return (input, init = {}) =>
    new Promise((resolve, reject) => {
      const url = new URL(input instanceof Request ? input.url : input);
      const request = url.protocol === "https:" ? requestHttps : requestHttp;
      const headers = Object.fromEntries(new Headers(init.headers));
      const signal = init.signal ?? undefined;
      const sent = request(url, { agent, method: init.method ?? "GET", headers, ...(signal && { signal }) });
      sent.on("error", reject);
      sent.on("response", (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
        incoming.on("error", reject);
        incoming.on("end", () => {
          const status = incoming.statusCode ?? 502;
          const body = [204, 205, 304].includes(status) ? null : Buffer.concat(chunks);
          resolve(new Response(body, { status, headers: { "content-type": incoming.headers["content-type"] ?? "" } }));
        });
      });
      sent.end(typeof init.body === "string" ? init.body.replace(NUMBERED, '{"jsonrpc":"2.0","id":1,') : undefined);
    });
}
