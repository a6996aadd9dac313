import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect as connectTcp, createServer as createTcpServer, type Socket } from "node:net";
import { after, before, beforeEach, test } from "node:test";
import pino from "pino";
import { numberToHex } from "viem";
import { NoOrderEntryThroughProxy, ProxyUnreachable } from "../../src/api/client.ts";
import { connect, publicClientOf, senderOf } from "../../src/chain/clearingHouse.ts";
import { refusalOf } from "../../src/chain/refusals.ts";
import { startServer, type Server } from "../../src/exchange/server/server.ts";
import { type Connections, type ProxiedOptions, proxiedConnections } from "../../src/trader/connections.ts";
import { BadProxy, type Proxy, proxyAt } from "../../src/trader/proxy.ts";
import { type FakeService, fakeService, Refusal } from "../api/fakeService.ts";
import { first } from "../api/support.ts";
import { type SocksServer, startSocksServer } from "../support/socksServer.ts";

const TICKETS = [1n, 2n, 3n].map((n) => numberToHex(n, { size: 32 }));
const [A = "0x", B = "0x", C = "0x"] = TICKETS;

/** What stands in front of the exchange and notes where each connection comes from. */
let door: Awaited<ReturnType<typeof openDoor>>;
let service: FakeService;
let server: Server;
let socks: SocksServer;
let proxy: Proxy;
before(async () => {
  service = fakeService();
  server = await startServer({ service, host: "127.0.0.1", port: 0, logger: pino({ level: "silent" }) });
  door = await openDoor(server.port);
});
beforeEach(async () => {
  socks = await startSocksServer();
  proxy = proxyAt(socks.url);
  door.from.length = 0;
});
after(async () => {
  await door.close();
  await server.close();
});

async function openDoor(port: number) {
  const from: number[] = [];
  const sockets = new Set<Socket>();
  const tcp = createTcpServer((socket) => {
    from.push(socket.remotePort ?? 0);
    sockets.add(socket);
    const onward = connectTcp(port, "127.0.0.1");
    for (const each of [socket, onward]) each.on("error", () => each.destroy());
    onward.on("close", () => socket.destroy());
    socket.on("close", () => onward.destroy());
    socket.pipe(onward).pipe(socket);
  });
  await once(tcp.listen(0, "127.0.0.1"), "listening");
  const address = tcp.address();
  assert(typeof address === "object" && address !== null);
  return {
    from,
    port: address.port,
    url: `http://localhost:${address.port}`,
    close: async () => {
      tcp.close();
      for (const socket of sockets) socket.destroy();
      await once(tcp, "close");
    },
  };
}

/** Connections through the proxy to the exchange, which it is told by name. */
async function using(body: (connections: Connections) => Promise<void>, options: ProxiedOptions = {}): Promise<void> {
  const connections = proxiedConnections(door.url, proxy, { retryMs: 10, ...options });
  try {
    await body(connections);
  } finally {
    connections.close();
    await socks.stop();
  }
}

test("tickets, transitions and public data never share credentials or connections, one ticket keeps its own [PRI-13]", () =>
  using(async ({ common, ofTicket, ofTransition }) => {
    for (const ticketId of [A, B, C, A, B, A]) await ofTicket(ticketId).fetchEpoch();
    await ofTransition(7n).fetchEpoch();
    await ofTransition(8n).fetchEpoch();
    await common.fetchMarkets();
    await common.fetchEpoch();

    assert.equal(socks.requests.length, 6);
    for (const what of ["user", "password", "localPort"] as const) {
      assert.equal(new Set(socks.requests.map((request) => request[what])).size, 6, what);
    }
    for (const { user, password } of socks.requests) assert.match(`${user} ${password}`, /^[0-9a-f]{32} [0-9a-f]{32}$/);
    // The exchange has seen these connections and no other.
    assert.deepEqual(door.from.toSorted(), socks.requests.map(({ localPort }) => localPort).toSorted());
    // Its name went to the proxy as it is.
    assert.deepEqual(new Set(socks.requests.map(({ kind, host }) => `${kind} ${host}`)), new Set(["name localhost"]));
  }));

test("streams and refusals come through the proxy as they do without it, an order-entry stream does not [PRI-13] [PRI-15]", () =>
  using(async ({ common, ofTicket }) => {
    const events = common.watchOrderBook(2);
    assert.deepEqual((await events.next()).value, { kind: "book", book: service.book(2) });
    await events.return(undefined);
    assert.equal((await first(common.watchAnnouncements(), 1))[0]?.kind, "epoch");
    service.before = () => {
      throw new Refusal("TicketUnknown", "no such ticket", { ticketId: A });
    };
    await assert.rejects(ofTicket(A).fetchTicket(A), { code: "TicketUnknown", details: { ticketId: A } });
    service.before = () => undefined;
    assert.throws(() => ofTicket(A).enterOrders(), NoOrderEntryThroughProxy);
  }));

test("with the proxy down, or refusing, nothing is sent: not to the exchange, not to the node [PRI-14]", () =>
  using(async ({ common, ofTicket }) => {
    await ofTicket(A).fetchEpoch();
    await socks.stop();
    const seen = door.from.length;
    const chain = publicClientOf(door.url, 1, proxy.node());
    const isUnreachable = (error: unknown): boolean => {
      assert(refusalOf(error) instanceof ProxyUnreachable, String(error));
      return true;
    };
    for (const ticketId of [B, C]) await assert.rejects(ofTicket(ticketId).fetchEpoch(), isUnreachable);
    await assert.rejects(common.fetchMarkets(), isUnreachable);
    await assert.rejects(chain.getBlockNumber(), isUnreachable);
    await assert.rejects(connect(door.url, `0x${"11".repeat(20)}`, 1, proxy.node()), ProxyUnreachable);

    await socks.start();
    socks.refuseWith(2);
    await assert.rejects(ofTicket(B).fetchEpoch(), (error: unknown) => {
      assert(error instanceof ProxyUnreachable);
      assert.match(error.message, /NotAllowed/);
      return true;
    });
    await assert.rejects(chain.getBlockNumber(), isUnreachable);
    assert.equal(door.from.length, seen);

    socks.refuseWith(0);
    await ofTicket(B).fetchEpoch();
    assert.equal(door.from.length, seen + 1);
  }));

test("a stream waits for a proxy that is away and goes on through it [PRI-14]", () =>
  using(async ({ common }) => {
    const events = common.watchAnnouncements();
    await events.next();
    await socks.stop();
    const next = events.next();
    await socks.start();
    assert.equal((await next).value?.kind, "epoch");
    await events.return(undefined);
    assert.equal(door.from.length, socks.requests.length);
  }));

test("idle connections are closed, those in use stay, and a dropped client still works [PRI-13]", () =>
  using(
    async ({ ofTicket }) => {
      const abort = new AbortController();
      const busy = ofTicket(A).watchAnnouncements({ signal: abort.signal });
      await busy.next();
      const dropped = ofTicket(B);
      await dropped.fetchEpoch();
      await ofTicket(C).fetchEpoch();
      for (let n = 10n; n < 16n; n++) await ofTicket(numberToHex(n, { size: 32 })).fetchEpoch();
      const opened = socks.requests.length;
      // A's stream goes on over the connection it has.
      service.publish({
        kind: "announcement",
        announcement: { type: "session", slot: 1, session: "halted" },
        time: 1n,
      });
      assert.equal((await busy.next()).value?.kind, "announcement");
      assert.equal(socks.requests.length, opened);
      await dropped.fetchEpoch();
      assert.equal(socks.requests.length, opened + 1);
      assert.equal(socks.requests.at(-1)?.user, socks.requests[1]?.user);
      abort.abort();
      await busy.return(undefined);
    },
    { most: 2 },
  ));

test("questions to a node go through the proxy, apart for each client, and are not numbered over all [PRI-13]", async () => {
  const ids: unknown[] = [];
  const node = createServer((request, response) => {
    request.on("data", (chunk: Buffer) => {
      const asked: unknown = JSON.parse(chunk.toString("utf8"));
      assert(typeof asked === "object" && asked !== null && "id" in asked);
      ids.push(asked.id);
      const answer = JSON.stringify({ jsonrpc: "2.0", id: asked.id, result: "0x1" });
      response.writeHead(200, { "content-type": "application/json" }).end(answer);
    });
  });
  await once(node.listen(0, "127.0.0.1"), "listening");
  const address = node.address();
  assert(typeof address === "object" && address !== null);
  const url = `http://127.0.0.1:${address.port}`;
  const reading = publicClientOf(url, 1, proxy.node());
  const sending = senderOf(url, 1n, `0x${"11".repeat(32)}`, undefined, proxy.node());
  for (let i = 0; i < 3; i++) await reading.getBlockNumber();
  await sending.wallet.getChainId();
  assert.deepEqual(ids, [1, 1, 1, 1]);
  assert.deepEqual(
    socks.requests.map(({ kind, host, port }) => [kind, host, port]),
    [
      ["ipv4", "127.0.0.1", address.port],
      ["ipv4", "127.0.0.1", address.port],
    ],
  );
  assert.notEqual(socks.requests[0]?.user, socks.requests[1]?.user);
  proxy.close();
  await socks.stop();
  node.close();
});

test("only a proxy that looks names up itself is taken, and its credentials are nobody's to give [PRI-14]", async () => {
  const refused: readonly (readonly [string, RegExp])[] = [
    ["socks5://127.0.0.1:9050", /looked up on this machine/],
    ["socks4://127.0.0.1:9050", /looked up on this machine/],
    ["http://127.0.0.1:8080", /only SOCKS5/],
    ["127.0.0.1:9050", /no URL|only SOCKS5/],
    ["socks5h://", /names no host|no URL/],
    ["socks5h://127.0.0.1:9050/path", /nothing may follow/],
    ["socks5h://me:hush@127.0.0.1:9050", /credentials/],
    ["nonsense", /no URL/],
  ];
  for (const [given, reason] of refused) {
    assert.throws(
      () => proxyAt(given),
      (error: unknown) => {
        assert(error instanceof BadProxy, given);
        assert.match(error.message, reason);
        assert.doesNotMatch(error.message, /hush/);
        return true;
      },
    );
  }
  assert.equal(proxyAt("socks5h://localhost").url, "socks5h://localhost:1080");
  assert.equal(proxyAt("socks5h://[::1]:9050/").agent().proxy.host, "::1");
  await socks.stop();
});
