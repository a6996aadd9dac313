import assert from "node:assert/strict";
import { createServer } from "node:http2";
import { test } from "node:test";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { connectExchange, ExchangeRefused, ExchangeUnreachable } from "../../src/api/client.ts";
import { bookMessageOf, updateMessageOf } from "../../src/api/codecMarkets.ts";
import { Exchange } from "../../src/api/gen/hedgerow/exchange/v1/exchange_pb.ts";
import { createMarketData } from "../../src/exchange/marketData.ts";
import type { ExchangeEvent } from "../../src/api/service.ts";
import { fakeService, orderEntry, OTHER_TICKET, receipt, Refusal, report, SIGNATURE, TICKET } from "./fakeService.ts";
import { first, open, until } from "./support.ts";

const WATCH = { watch: { ticketId: TICKET, validUntil: 2_000_000_000n }, signature: SIGNATURE };

function trade(seq: number, price: bigint, time: bigint, n = 0): ExchangeEvent {
  return { kind: "trade", trade: { slot: 2, seq, n, price, quantity: 3, takerSide: "sell", time } };
}

function step(seq: number, price = -10n, quantity = 9, slot = 2): ExchangeEvent {
  return { kind: "book", slot, seq, changes: [{ side: "buy", price, quantity, orders: 1 }] };
}

test("a book comes whole, then in steps that name the step before [API-7]", async (t) => {
  const { client, service } = await open(t);
  const events = client.watchOrderBook(2);
  const { value: book } = await events.next();
  assert.deepEqual(book, { kind: "book", book: service.book(2) });
  service.publish(step(11));
  service.publish(step(14, 30n, 0));
  service.publish(step(15, 1n, 1, 3));
  const got = await first(events, 2);
  const change = { side: "buy", price: -10n, quantity: 9, orders: 1 };
  assert.deepEqual(got, [
    { kind: "update", update: { seq: 11, prevSeq: 0, changes: [change] } },
    { kind: "update", update: { seq: 14, prevSeq: 11, changes: [{ ...change, price: 30n, quantity: 0 }] } },
  ]);
});

test("the client takes a whole book again after a gap and after a broken stream [API-7] [API-16]", async (t) => {
  let opened = 0;
  const server = createServer(
    connectNodeAdapter({
      routes: (router) =>
        router.service(Exchange, {
          async *watchOrderBook() {
            opened += 1;
            const seq = opened * 10;
            yield { snapshot: bookMessageOf({ slot: 2, seq, bids: [], asks: [] }) };
            await Promise.resolve();
            yield {
              updates: [
                updateMessageOf({ seq: seq - 1, prevSeq: seq - 2, changes: [] }),
                updateMessageOf({ seq: seq + 1, prevSeq: seq - 1, changes: [] }),
                updateMessageOf({ seq: seq + 3, prevSeq: seq + 2, changes: [] }),
              ],
            };
          },
        }),
    }),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  const client = connectExchange(`http://127.0.0.1:${address.port}`, { retryMs: 1 });
  t.after(() => {
    client.close();
    server.close();
  });
  const got = await first(client.watchOrderBook(2), 4);
  const places = got.map((event) => (event.kind === "book" ? event.book.seq : event.update.seq));
  assert.deepEqual(places, [10, 11, 20, 21]);
});

test("trades go on behind the last one that was seen, and candles grow with them [API-8]", async (t) => {
  const { client, service } = await open(t);
  service.publish(trade(1, 5n, 60n));
  service.publish(trade(2, 9n, 61n));
  service.publish(trade(2, 2n, 119n, 1));
  service.publish(trade(3, 4n, 120n));
  await until("trades are kept", () => service.listeners() > 0);
  assert.deepEqual(
    (await client.fetchTrades(2, 2)).map(({ seq, n }) => [seq, n]),
    [
      [2, 1],
      [3, 0],
    ],
  );
  assert.deepEqual(await client.fetchOHLCV(2, "1m"), [
    { time: 60n, open: 5n, high: 9n, low: 2n, close: 2n, volume: 9 },
    { time: 120n, open: 4n, high: 4n, low: 4n, close: 4n, volume: 3 },
  ]);
  const live = client.watchTrades(2);
  const next = live.next();
  const candles = client.watchOHLCV(2, "1m");
  assert.equal((await candles.next()).value?.time, 120n);
  const nextCandle = candles.next();
  const repeat = setInterval(() => service.publish(trade(4, 7n, 130n)), 20);
  t.after(() => clearInterval(repeat));
  assert.equal((await next).value?.price, 7n);
  assert.equal((await nextCandle).value?.high, 7n);
  await live.return();
  await candles.return();
});

test("kept trades and candles are bounded, and a new contract starts anew [API-8]", () => {
  const service = fakeService();
  const data = createMarketData(service, (error) => assert.fail(String(error)));
  for (let i = 0; i < 5_000; i++) service.publish(trade(i, 1n, BigInt(i)));
  assert.equal(data.trades(2, 0).length, 1_000);
  assert.equal(data.trades(2, 0).at(-1)?.seq, 4_999);
  assert.equal(data.candles(2, "1s", 0).length, 1_000);
  assert.deepEqual(
    data.tradesSince(2, 4_997, 0).map(({ seq }) => seq),
    [4_998, 4_999],
  );
  const markets = service.markets().map((market) => ({ ...market, contractId: TICKET }));
  Object.assign(service, { markets: () => markets });
  const announcement = { type: "epoch-opened", epoch: 5, openedAt: 1n, closingTime: 2n } as const;
  service.publish({ kind: "announcement", announcement, time: 1n });
  assert.deepEqual(data.trades(2, 0), []);
});

test("orders are shown to the session key only, from the open ones on [API-9]", async (t) => {
  const { client, service } = await open(t);
  const stream = client.watchOrders(WATCH);
  assert.deepEqual((await stream.next()).value, { kind: "open", orders: [report(1n), report(2n)] });
  service.publish({ kind: "order", order: report(3n, { ticketId: OTHER_TICKET }), receipt: receipt() });
  service.publish({ kind: "order", order: report(4n), receipt: receipt(50) });
  assert.deepEqual((await stream.next()).value, { kind: "order", order: report(4n), receipt: receipt(50) });
  await stream.return();
  const foreign = { watch: { ...WATCH.watch, ticketId: OTHER_TICKET }, signature: SIGNATURE };
  await assert.rejects(client.watchOrders(foreign).next(), { code: "WrongSigner", status: "Unauthenticated" });
});

test("a watch ends when it was said to [API-9]", async (t) => {
  const { client } = await open(t);
  const stream = client.watchOrders({ watch: { ticketId: TICKET, validUntil: 1_900_000_100n }, signature: SIGNATURE });
  assert.equal((await stream.next()).value?.kind, "open");
  await assert.rejects(stream.next(), { code: "WatchExpired", status: "Unauthenticated" });
});

test("announcements begin with where the day stands [API-7]", async (t) => {
  const { client, service } = await open(t);
  const stream = client.watchAnnouncements();
  assert.deepEqual((await stream.next()).value, { kind: "epoch", epoch: service.epoch() });
  const closed = {
    type: "epoch-closed",
    epoch: 4,
    closedAt: 1n,
    renewFrom: 2n,
    renewUntil: 3n,
    settlementPrices: [{ slot: 2, price: -5n }],
  } as const;
  const batch = { type: "batch", batchNumber: 3, transactionHash: undefined, transitions: 1, fills: 2 } as const;
  const session = { type: "session", slot: 2, session: "halted" } as const;
  for (const announcement of [closed, batch, session])
    service.publish({ kind: "announcement", announcement, time: 7n });
  for (const announcement of [closed, batch, session]) {
    assert.deepEqual((await stream.next()).value, { kind: "announcement", announcement, time: 7n });
  }
  await stream.return();
});

test("results of order entry come in any order, and a refusal ends nothing [API-11]", async (t) => {
  const { client, service } = await open(t);
  const session = client.enterOrders();
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  service.before = (method) => {
    if (method === "cancelOrder") throw new Refusal("UnknownOrder", "there is none", { clientId: 3n });
    return method === "replaceOrder" ? held : undefined;
  };
  const slow = session.replace(orderEntry(2n));
  assert.equal((await session.place(orderEntry(1n))).order.clientId, 1n);
  await assert.rejects(session.cancel({ cancel: { ticketId: TICKET, clientId: 3n }, signature: SIGNATURE }), {
    code: "UnknownOrder",
    status: "NotFound",
    details: { clientId: "3" },
  });
  const all = await session.cancelAll({ cancelAll: { ticketId: TICKET, nonce: 1n }, signature: SIGNATURE });
  assert.equal(all.length, 2);
  const guard = { cancelAfter: { ticketId: TICKET, nonce: 2n, seconds: 0 }, signature: SIGNATURE };
  assert.equal(await session.cancelAfter(guard), undefined);
  assert.equal(session.inFlight, 1);
  release();
  assert.equal((await slow).order.clientId, 2n);
  const many = Array.from({ length: 2_000 }, (_, i) => session.place(orderEntry(BigInt(i + 1))));
  const answers = await Promise.all(many);
  assert.deepEqual(
    answers.map(({ order }) => order.clientId),
    many.map((_, i) => BigInt(i + 1)),
  );
  await session.end();
  await assert.rejects(session.place(orderEntry(9n)), { code: "SessionEnded" });
});

test("no more commands are read while too many wait for their result [API-11]", async (t) => {
  const { client, service } = await open(t, { commandsInFlight: 64 });
  const session = client.enterOrders();
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  service.before = () => held;
  const placed = Array.from({ length: 4_000 }, (_, i) => session.place(orderEntry(BigInt(i + 1))));
  await until("some commands have come", () => service.asked.length >= 64);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.ok(service.asked.length <= 64 + 256, `${service.asked.length} commands came`);
  release();
  assert.equal((await Promise.all(placed)).length, 4_000);
  await session.end();
});

test("receipts of another operator are refused on arrival [API-16]", async (t) => {
  const service = fakeService();
  const { client } = await open(t, {}, { verify: { domain: service.domain, operator: service.operator } });
  await assert.rejects(client.createOrder(orderEntry(1n)), { code: "InvalidReceipt" });
  const session = client.enterOrders();
  await assert.rejects(session.place(orderEntry(1n)), { code: "InvalidReceipt" });
  await session.end();
});

test("closing ends streams with a reason, lets calls finish and refuses new ones [API-15]", async (t) => {
  const { client, server, service } = await open(t);
  const orders = client.watchOrders(WATCH);
  await orders.next();
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  service.before = () => held;
  const call = client.createOrder(orderEntry(6n));
  await until("the call has come", () => service.asked.some(({ method }) => method === "placeOrder"));
  const ended = assert.rejects(orders.next(), { code: "Closing", status: "Unavailable" });
  const closed = server.close();
  await ended;
  release();
  assert.equal((await call).order.clientId, 6n);
  await closed;
  await assert.rejects(client.fetchEpoch(), ExchangeUnreachable);
});

test("an aborted stream frees what it held [API-13]", async (t) => {
  const { client, metrics } = await open(t, { watchesPerConnection: 2 });
  const leave = new AbortController();
  const streams = [1, 2].map((slot) => client.watchOrderBook(slot, leave));
  for (const stream of streams) await stream.next();
  const third = client.watchOrders(WATCH);
  await assert.rejects(third.next(), (error) => error instanceof ExchangeRefused && error.code === "TooManyWatches");
  leave.abort();
  for (const stream of streams) assert.equal((await stream.next()).done, true);
  const open_ = async (): Promise<number> =>
    (await metrics.streams.get()).values.reduce((sum, { value }) => sum + value, 0);
  while ((await open_()) > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const again = client.watchOrderBook(1);
  assert.equal((await again.next()).value?.kind, "book");
  await again.return();
});
