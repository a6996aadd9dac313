import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient, type Transport } from "@connectrpc/connect";
import { z } from "zod";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { orderMessageOf } from "../../src/api/codecOrders.ts";
import { Exchange } from "../../src/api/gen/hedgerow/exchange/v1/exchange_pb.ts";
import { orderEntry, OTHER_TICKET, receipt, report, SIGNATURE, TICKET, TRANSITION } from "./fakeService.ts";
import { open } from "./support.ts";

const ORDER = { ...orderEntry(5n) };

test("every verb reaches the service and its answer comes back unchanged [API-1]", async (t) => {
  const { service, client } = await open(t);
  const answer = { order: report(5n), receipts: [receipt()] };
  const stop = {
    ...ORDER,
    instructions: {
      orderHash: receipt().receipt.orderHash,
      stopPrice: -5n,
      displayQuantity: 2,
      selfTrade: "decrement",
      reduceOnly: true,
    },
    instructionsSignature: SIGNATURE,
  } as const;
  const cancel = { cancel: { ticketId: TICKET, clientId: 5n }, signature: SIGNATURE };
  const cancelAll = { cancelAll: { ticketId: TICKET, nonce: 2n ** 64n - 1n }, signature: SIGNATURE };
  const heartbeat = { cancelAfter: { ticketId: TICKET, nonce: 3n, seconds: 60 }, signature: SIGNATURE };
  const watch = { watch: { ticketId: TICKET, validUntil: 2_000_000_000n }, signature: SIGNATURE };

  assert.deepEqual(await client.submitTransition(TRANSITION), { nullifier: 2n, ticketIds: [TICKET] });
  assert.deepEqual(await client.createOrder(ORDER), answer);
  assert.deepEqual(await client.createOrder(stop), answer);
  assert.deepEqual(await client.editOrder(ORDER), answer);
  assert.deepEqual(await client.cancelOrder(cancel), answer);
  assert.equal((await client.cancelAllOrders(cancelAll)).length, 2);
  assert.equal(await client.cancelAllOrdersAfter(heartbeat), 1_900_000_060n);
  assert.deepEqual(await client.fetchOrder(watch, 9n), report(9n));
  assert.deepEqual(await client.fetchOpenOrders(watch), [report(1n), report(2n)]);
  assert.deepEqual(await client.fetchTicket(TICKET), await service.ticket(TICKET));
  assert.deepEqual(await client.fetchMarkets(), service.markets());
  assert.deepEqual(await client.fetchEpoch(), service.epoch());
  assert.deepEqual(await client.fetchBatch(7), await service.batch(7));
  assert.deepEqual(await client.fetchOrderBook(3), service.book(3));
  assert.equal((await client.fetchOrderBook(3, 1)).bids.length, 1);
  assert.deepEqual(await client.fetchTrades(2), []);
  assert.deepEqual(await client.fetchOHLCV(2, "1m"), []);

  const inputs = service.asked.slice(0, 7).map(({ input }) => input);
  assert.deepEqual(inputs, [TRANSITION, ORDER, stop, ORDER, cancel, cancelAll, heartbeat]);
});

test("an order is shown to who bears a watch of its ticket, and to nobody else [API-9]", async (t) => {
  const { service, client } = await open(t);
  const watch = { watch: { ticketId: TICKET, validUntil: 2_000_000_000n }, signature: SIGNATURE };
  assert.deepEqual(await client.fetchOrder(watch, 9n), report(9n));
  assert.deepEqual(service.asked.at(-1), { method: "order", input: { ...watch, clientId: 9n } });
  const foreign = { ...watch, watch: { ...watch.watch, ticketId: OTHER_TICKET } };
  await assert.rejects(client.fetchOrder(foreign, 9n), { code: "WrongSigner", status: "Unauthenticated" });
});

test("gRPC, gRPC-Web and Connect say the same over both HTTP versions of one port [API-2]", async (t) => {
  const { server } = await open(t);
  const baseUrl = server.url;
  const transports: Record<string, Transport> = {
    grpc: createGrpcTransport({ baseUrl }),
    "grpc-web 1": createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
    "grpc-web 2": createGrpcWebTransport({ baseUrl, httpVersion: "2" }),
    "connect 1": createConnectTransport({ baseUrl, httpVersion: "1.1" }),
    "connect 2": createConnectTransport({ baseUrl, httpVersion: "2" }),
    "connect binary": createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: true }),
  };
  for (const [name, transport] of Object.entries(transports)) {
    const api = createClient(Exchange, transport);
    const { answer } = await api.createOrder({ order: { order: orderMessageOf(ORDER) } });
    assert.equal(answer?.order?.clOrdId, 5n, name);
    for await (const { snapshot } of api.watchOrderBook({ slot: 3 })) {
      assert.equal(snapshot?.bids[0]?.price, "-10", name);
      break;
    }
    await assert.rejects(api.fetchTicket({ ticketId: "0x" }), /ticket_id is wrong/, name);
  }
});

test("plain JSON over HTTP/1.1 is enough for a call, an error and a stream [API-2]", async (t) => {
  const { server } = await open(t);
  const post = (method: string, body: unknown) =>
    fetch(`${server.url}/hedgerow.exchange.v1.Exchange/${method}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  const book = await post("FetchOrderBook", { slot: 3, limit: 1 });
  assert.deepEqual(await book.json(), {
    book: {
      slot: 3,
      seq: "10",
      bids: [{ price: "-10", quantity: "5", orders: 2 }],
      asks: [{ price: "10", quantity: "4", orders: 1 }],
    },
  });
  const refused = await post("FetchOrderBook", { slot: 8 });
  assert.equal(refused.status, 400);
  const error = z
    .object({ code: z.string(), details: z.array(z.object({ debug: z.object({ code: z.string() }) })) })
    .parse(await refused.json());
  assert.equal(error.code, "invalid_argument");
  assert.equal(error.details[0]?.debug.code, "MalformedField");
});

test("a deadline that no timer can hold is as good as none [API-2]", async (t) => {
  const { server } = await open(t);
  for (const deadline of [{ "connect-timeout-ms": "9999999999" }, { "grpc-timeout": "99999999H" }]) {
    const answer = await fetch(`${server.url}/hedgerow.exchange.v1.Exchange/FetchEpoch`, {
      method: "POST",
      headers: { "content-type": "application/json", ...deadline },
      body: "{}",
    });
    assert.equal(answer.status, 200);
  }
});

test("health, readiness and metrics are served beside the API [API-3]", async (t) => {
  const { server, client, service } = await open(t);
  await client.fetchEpoch();
  assert.equal((await fetch(`${server.url}/healthz`)).status, 200);
  assert.deepEqual(await (await fetch(`${server.url}/readyz`)).json(), { ready: true, reasons: [] });
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  assert.match(metrics, /hedgerow_calls_total\{method="FetchEpoch",status="Ok"\} 1/);
  assert.match(metrics, /hedgerow_open_orders 3/);
  const healthy = service.health();
  Object.assign(service, { health: () => ({ ...healthy, chainReachable: false }) });
  const unready = await fetch(`${server.url}/readyz`);
  assert.equal(unready.status, 503);
  assert.deepEqual(await unready.json(), { ready: false, reasons: ["the chain cannot be reached"] });
  assert.equal((await fetch(`${server.url}/nothing`)).status, 404);
});

test("web pages may call only where their origin is named [API-4]", async (t) => {
  const { server } = await open(t, {}, {}, ["https://example.org"]);
  const ask = (origin: string) => fetch(`${server.url}/healthz`, { method: "OPTIONS", headers: { origin } });
  const named = await ask("https://example.org");
  assert.equal(named.headers.get("access-control-allow-origin"), "https://example.org");
  assert.equal(named.status, 204);
  assert.equal((await ask("https://example.net")).headers.get("access-control-allow-origin"), null);
});
