import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { connectExchange } from "../../src/api/client.ts";
import { newOrderMessageOf } from "../../src/api/codecOrders.ts";
import { EnterOrdersRequestSchema } from "../../src/api/gen/hedgerow/exchange/v1/exchange_pb.ts";
import { BoundedQueue } from "../../src/api/queue.ts";
import { TicketBuckets, TokenBucket } from "../../src/exchange/server/limits.ts";
import { orderEntry, receipt, Refusal, report, SIGNATURE, TICKET } from "./fakeService.ts";
import { type Bench, first, open, until } from "./support.ts";

const PATH = "/hedgerow.exchange.v1.Exchange";
const WATCH = { watch: { ticketId: TICKET, validUntil: 2_000_000_000n }, signature: SIGNATURE };

/** A socket that says something and reads nothing until it is told to. */
function speak(t: TestContext, { server }: Bench, text: string): Socket {
  const socket = connect(server.port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.pause();
  socket.write(text, "latin1");
  t.after(() => socket.destroy());
  return socket;
}

/** Everything that a socket gets until it is closed. */
async function heard(socket: Socket): Promise<string> {
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return text;
}

/** A stream of the Connect protocol over HTTP/1.1 by hand. */
function streamRequest(method: string, body: unknown): string {
  const json = JSON.stringify(body);
  const size = String.fromCharCode(0, 0, 0, json.length >> 8, json.length & 255);
  return [
    `POST ${PATH}/${method} HTTP/1.1`,
    "host: x",
    "content-type: application/connect+json",
    `content-length: ${json.length + 5}`,
    "",
    size + json,
  ].join("\r\n");
}

/** Memory of this process after a collection of garbage, where that can be had, bytes. */
function memory(): number {
  globalThis.gc?.();
  return process.memoryUsage().rss;
}

test("a bucket gives as many tokens as time has passed, and never more than a second's [API-12]", () => {
  const bucket = new TokenBucket(10, 0);
  for (let i = 0; i < 10; i++) assert.equal(bucket.take(0), true);
  assert.equal(bucket.take(0), false);
  assert.equal(bucket.wait(0), 100);
  assert.equal(bucket.take(99), false);
  assert.equal(bucket.take(100), true);
  assert.equal(bucket.tokens(1_000_000), 10);
});

test("buckets of tickets are bounded, whoever asks [API-12]", () => {
  const buckets = new TicketBuckets(2);
  for (let i = 0; i < 50_000; i++) buckets.charge(`0x${i.toString(16)}`, 0);
  buckets.charge(TICKET, 0);
  buckets.charge(TICKET, 0);
  assert.throws(() => buckets.check(TICKET, 0), { code: "TooManyCommands" });
  buckets.check(TICKET, 500);
});

test("a queue takes no more than its bound, and forgets everything when it fails [API-10]", async () => {
  const queue = new BoundedQueue<number>(3, 10);
  assert.deepEqual([queue.push(1, 4), queue.push(2, 4), queue.push(3, 4)], [true, true, false]);
  queue.fail(new Refusal("Gone", "gone"));
  await assert.rejects(first(queue, 1), { code: "Gone" });
});

test("a connection that sends too much is refused with a time to wait [API-12]", async (t) => {
  const { client } = await open(t, { commandsPerSecond: 5 });
  const results = await Promise.allSettled(Array.from({ length: 20 }, () => client.fetchEpoch()));
  const refused = results.filter((result) => result.status === "rejected").map(({ reason }) => String(reason));
  assert.ok(refused.length >= 10 && refused.length <= 15, `${refused.length} refused`);
  assert.match(refused[0] ?? "", /TooManyCommands.*wait \d+ ms/);
});

test("only commands that were executed use up what a ticket may send [API-12]", async (t) => {
  const { client, service } = await open(t, { ticketCommandsPerSecond: 3 });
  service.before = () => {
    throw new Refusal("WrongSigner", "somebody else signed");
  };
  for (let i = 0; i < 10; i++) await assert.rejects(client.createOrder(orderEntry()), { code: "WrongSigner" });
  service.before = () => undefined;
  for (let i = 0; i < 3; i++) await client.createOrder(orderEntry());
  await assert.rejects(client.createOrder(orderEntry()), { code: "TooManyCommands", status: "ResourceExhausted" });
});

test("messages, connections and commands in a message are bounded [API-13]", async (t) => {
  const bench = await open(t, { messageBytes: 4_096, connections: 2, commandsPerMessage: 3 });
  const { client, server } = bench;
  const huge = { ...orderEntry(), signature: `0x${"00".repeat(5_000)}` } as const;
  await assert.rejects(client.createOrder(huge), { status: "ResourceExhausted" });
  const session = client.enterOrders();
  const placed = Array.from({ length: 4 }, (_, i) => session.place(orderEntry(BigInt(i + 1))));
  for (const place of placed) await assert.rejects(place, { code: "MalformedField" });
  speak(t, bench, "G");
  const third = connectExchange(server.url, { timeoutMs: 1_000 });
  await assert.rejects(third.fetchEpoch());
  third.close();
  assert.equal((await client.fetchEpoch()).epoch, 4);
});

test("a reader of market data that stops reading is cut off, and memory stays bounded [API-10]", async (t) => {
  const bench = await open(t, { slowReaderMs: 300, queuedBytes: 64 * 1024 });
  const { service, metrics, client } = bench;
  const socket = speak(t, bench, streamRequest("WatchOrderBook", { slot: 2 }));
  await new Promise((resolve) => setTimeout(resolve, 100));
  const before = memory();
  const changes = Array.from({ length: 200 }, (_, i) => ({
    side: "buy" as const,
    price: BigInt(i) * 10n ** 20n,
    quantity: 1,
    orders: 1,
  }));
  const state = { closed: false };
  socket.once("close", () => (state.closed = true));
  for (let seq = 11; seq < 4_000 && !state.closed; seq++) {
    service.publish({ kind: "book", slot: 2, seq, changes });
    await new Promise((resolve) => setImmediate(resolve));
  }
  const dropped = async (): Promise<number> => (await metrics.slowReaders.get()).values[0]?.value ?? 0;
  assert.ok((await dropped()) > 0, "it was seen to be slow");
  assert.ok(memory() - before < 64e6, `memory grew by ${memory() - before} bytes`);
  await until("it is cut off", () => bench.log().includes("stream dropped"));
  socket.resume();
  await until("it is closed", () => state.closed);
  assert.equal((await client.fetchEpoch()).epoch, 4);
});

test("a reader that is slow but reads again is told why its stream ended [API-10]", async (t) => {
  const bench = await open(t, { slowReaderMs: 10_000, queuedMessages: 8 });
  const socket = speak(t, bench, streamRequest("WatchOrders", watchJson()));
  await new Promise((resolve) => setTimeout(resolve, 100));
  for (let seq = 11; seq < 20_000; seq++) {
    bench.service.publish({ kind: "order", order: report(BigInt(seq)), receipt: receipt(seq) });
    if (seq % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  const text = heard(socket);
  socket.resume();
  await until("the stream has ended", () => bench.log().includes("SlowReader"));
  socket.end();
  assert.match(await text, /"code":"resource_exhausted","message":"slow reader/);
});

function watchJson(): unknown {
  return { watch: { ticketId: TICKET, validUntil: "2000000000", signature: SIGNATURE } };
}

test("a sender that never reads its results is cut off, and memory stays bounded [API-10] [API-11]", async (t) => {
  const { server, service, client, metrics } = await open(t, { slowReaderMs: 300, commandsInFlight: 256 });
  const session = connectHttp2(server.url, { settings: { initialWindowSize: 1 } });
  session.on("error", () => undefined);
  t.after(() => session.destroy());
  const stream = session.request({
    ":method": "POST",
    ":path": `${PATH}/EnterOrders`,
    "content-type": "application/grpc+proto",
    te: "trailers",
  });
  const state = { closed: false };
  stream.on("error", () => undefined);
  stream.on("close", () => (state.closed = true));
  stream.pause();
  const command = { body: { case: "create" as const, value: newOrderMessageOf(orderEntry()) } };
  const message = toBinary(
    EnterOrdersRequestSchema,
    create(EnterOrdersRequestSchema, { commands: Array.from({ length: 100 }, () => command) }),
  );
  const frame = Buffer.alloc(5 + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  const before = memory();
  for (let i = 0; i < 200 && !state.closed; i++) {
    if (!stream.write(frame)) await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await until("it is cut off", () => state.closed);
  assert.ok(service.asked.length < 1_000, `${service.asked.length} commands were run`);
  assert.ok(memory() - before < 64e6);
  assert.ok(((await metrics.slowReaders.get()).values[0]?.value ?? 0) > 0);
  assert.equal((await client.fetchEpoch()).epoch, 4);
});

test("slow headers, slow bodies and silence end the connection [API-13]", async (t) => {
  const bench = await open(t, { headersMs: 200, requestMs: 400, idleMs: 300 });
  const begin = performance.now();
  const opening = `POST ${PATH}/FetchEpoch HTTP/1.1\r\nhost: x\r\n`;
  const silent = heard(speak(t, bench, ""));
  const preface = heard(speak(t, bench, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
  const half = heard(speak(t, bench, "PR"));
  const headers = heard(speak(t, bench, opening));
  const body = heard(speak(t, bench, `${opening}content-type: application/json\r\ncontent-length: 99\r\n\r\n{`));
  assert.equal(await silent, "");
  assert.equal(await half, "");
  assert.match(await headers, /^HTTP\/1.1 408/);
  assert.match(await body, /^HTTP\/1.1 408/);
  await preface;
  assert.ok(performance.now() - begin < 5_000);

  const session = connectHttp2(bench.server.url);
  session.on("error", () => undefined);
  const stream = session.request({
    ":method": "POST",
    ":path": `${PATH}/FetchEpoch`,
    "content-type": "application/grpc+proto",
  });
  stream.on("error", () => undefined);
  stream.write("x");
  await new Promise((resolve) => stream.once("close", resolve));
  session.destroy();
});

test("a stream on which nothing happens stays open while its reader lives [API-13]", async (t) => {
  const { client, service } = await open(t, { headersMs: 100, idleMs: 100 });
  const stream = client.watchOrders(WATCH);
  await stream.next();
  const next = stream.next();
  await new Promise((resolve) => setTimeout(resolve, 600));
  service.publish({ kind: "order", order: report(4n), receipt: receipt(50) });
  assert.equal((await next).value?.kind, "order");
  await stream.return();
});

test("what fails inside is a reference number outside, and nothing secret stands in the log [API-5] [API-6]", async (t) => {
  const { client, service, log } = await open(t);
  service.before = () => {
    throw new TypeError(`no luck with ${TICKET} and ${SIGNATURE}`);
  };
  const error = await client.createOrder(orderEntry()).catch((reason: unknown) => reason);
  assert.ok(error instanceof Error && "code" in error && "status" in error);
  assert.deepEqual([error.code, error.status], ["Internal", "Internal"]);
  const reference = /finds it under (\S+)$/.exec(error.message)?.[1] ?? "none";
  assert.doesNotMatch(error.message, /no luck|TypeError|\.ts/);
  assert.ok(log().includes(reference), "the reference stands in the log");
  assert.match(log(), /no luck/);

  service.before = () => {
    throw new Refusal("JournalFailed", "the file /var/exchange/journal is full");
  };
  await assert.rejects(client.createOrder(orderEntry()), { code: "Internal", message: /^the server failed/ });

  service.before = () => {
    throw new Refusal("UnknownTicket", `there is no ticket ${TICKET}`, { ticketId: TICKET, signature: SIGNATURE });
  };
  await assert.rejects(client.createOrder(orderEntry()), { code: "UnknownTicket", status: "NotFound" });
  const session = client.enterOrders();
  await assert.rejects(session.place(orderEntry()), { code: "UnknownTicket" });
  await session.end();
  assert.match(log(), /"method":"EnterOrders.create".*"code":"UnknownTicket"/);
  for (const secret of [TICKET.slice(2), SIGNATURE.slice(2)]) {
    assert.ok(!log().includes(secret.slice(0, 40)), "no ticket id or signature stands in the log");
  }
});
