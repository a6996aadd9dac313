import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { test } from "node:test";
import { z } from "zod";
import { connectExchange } from "../../src/api/client.ts";
import { createMarketData } from "../../src/exchange/marketData.ts";
import { exactNumbers } from "../../src/exchange/server/jsonNumbers.ts";
import type { ExchangeEvent } from "../../src/api/service.ts";
import { fakeService, orderEntry, receipt, Refusal, report, SIGNATURE, TICKET, TRANSITION } from "./fakeService.ts";
import { type Bench, first, open, until } from "./support.ts";

const PATH = "/hedgerow.exchange.v1.Exchange";
const WATCH = { watch: { ticketId: TICKET, validUntil: 2_000_000_000n }, signature: SIGNATURE };

function wrongSigner(): never {
  throw new Refusal("WrongSigner", "somebody else signed");
}

async function counted(counter: { get(): Promise<{ readonly values: readonly { readonly value: number }[] }> }) {
  return (await counter.get()).values[0]?.value ?? 0;
}

/** The log's lines. */
function linesOf({ log }: Bench) {
  const line = z.object({ level: z.number(), msg: z.string(), code: z.string().optional() });
  return log()
    .trim()
    .split("\n")
    .map((text) => line.parse(JSON.parse(text)));
}

function trade(seq: number): ExchangeEvent {
  return { kind: "trade", trade: { slot: 2, seq, n: 0, price: 5n, quantity: 3, takerSide: "sell", time: 60n } };
}

test("markets, the epoch and the first announcement leave only once they are durable [API-17]", async (t) => {
  const { service, client } = await open(t);
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  service.before = (method) => (method === "durable" ? held : undefined);
  const announcements = client.watchAnnouncements();
  const told: string[] = [];
  const asked = [
    client.fetchMarkets().then(() => told.push("markets")),
    client.fetchEpoch().then(() => told.push("epoch")),
    announcements.next().then(() => told.push("announcements")),
  ];
  await until("all have asked", () => service.asked.filter(({ method }) => method === "durable").length === 3);
  assert.deepEqual((await client.fetchOrderBook(2)).seq, 10);
  assert.deepEqual(told, []);
  // What is announced meanwhile comes after it.
  const batch = { type: "batch", batchNumber: 3, transactionHash: undefined, transitions: 1, fills: 2 } as const;
  service.publish({ kind: "announcement", announcement: batch, time: 7n });
  release();
  await Promise.all(asked);
  assert.deepEqual((await announcements.next()).value, { kind: "announcement", announcement: batch, time: 7n });
  await announcements.return();
});

test("a connection hands on twenty transitions at once and then five a second, whatever else it sends [API-20]", async (t) => {
  const { server, client } = await open(t);
  const submit = () => client.submitTransition(TRANSITION);
  const start = performance.now();
  const results = await Promise.allSettled(Array.from({ length: 40 }, submit));
  const more = (5 * (performance.now() - start)) / 1_000;
  const refused = results.filter((result) => result.status === "rejected").map(({ reason }) => String(reason));
  assert.ok(refused.length >= 19 - more && refused.length <= 20, `${refused.length} refused`);
  assert.match(refused[0] ?? "", /TooManyTransitions.*5 transitions a second: wait \d+ ms/);
  // One may have become free by now.
  await assert.rejects(Promise.all(Array.from({ length: 10 }, submit)), { status: "ResourceExhausted" });
  await client.createOrder(orderEntry());
  await new Promise((resolve) => setTimeout(resolve, 220));
  await submit();
  const other = connectExchange(server.url);
  await other.submitTransition(TRANSITION);
  other.close();
});

test("a connection of bad signatures is closed with a GOAWAY that says why, and counted [API-21]", async (t) => {
  const { server, service, client, metrics } = await open(t, { badSignatures: 5 });
  service.before = (method) => (method === "order" ? wrongSigner() : undefined);
  const session = connectHttp2(server.url);
  session.on("error", () => undefined);
  t.after(() => session.destroy());
  const reason = new Promise<string>((resolve) =>
    session.once("goaway", (code: number, _: number, data?: Buffer) => resolve(`${code} ${data?.toString() ?? ""}`)),
  );
  const closed = new Promise((resolve) => session.once("close", resolve));
  const watch = { ticketId: TICKET, validUntil: "2000000000", signature: SIGNATURE };
  for (let i = 0; i < 10; i++) {
    const call = session.request({
      ":method": "POST",
      ":path": `${PATH}/FetchOrder`,
      "content-type": "application/json",
    });
    call.on("error", () => undefined);
    call.end(JSON.stringify({ watch, clOrdId: "1" }));
  }
  assert.match(await reason, /^11 TooManyBadSignatures: 5 signatures on this connection were bad/);
  await closed;
  assert.equal(await counted(metrics.badSigners), 1);
  assert.equal((await client.fetchEpoch()).epoch, 4);
});

test("bad signatures of an order-entry stream and over HTTP/1.1 end the connection too [API-21]", async (t) => {
  const { server, service, client, metrics } = await open(t, { badSignatures: 5 });
  service.before = () => {
    throw new Refusal("MalformedSignature", "s is too great");
  };
  const session = client.enterOrders();
  const placed = await Promise.allSettled(
    Array.from({ length: 5 }, (_, i) => session.place(orderEntry(BigInt(i + 1)))),
  );
  assert.ok(placed.every((result) => result.status === "rejected"));
  assert.equal(await counted(metrics.badSigners), 0);
  await assert.rejects(session.place(orderEntry(6n)));
  await assert.rejects(async () => {
    for (;;) await session.place(orderEntry(7n)).catch((error: unknown) => assert.match(String(error), /Malformed/));
  });
  assert.equal(await counted(metrics.badSigners), 1);

  const body = JSON.stringify({ watch: { ticketId: TICKET, validUntil: "2000000000", signature: SIGNATURE } });
  const head = `POST ${PATH}/FetchOpenOrders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n`;
  const socket = connect(server.port, "127.0.0.1");
  t.after(() => socket.destroy());
  socket.on("error", () => undefined);
  socket.write(`${head}content-length: ${body.length}\r\n\r\n${body}`.repeat(10));
  let answers = "";
  socket.on("data", (chunk) => (answers += chunk.toString()));
  await new Promise((resolve) => socket.once("close", resolve));
  assert.ok(answers.includes("MalformedSignature"));
  assert.equal(await counted(metrics.badSigners), 2);
});

test("bad signatures are forgiven with time, and other refusals at once [API-21]", async (t) => {
  const { service, client, metrics } = await open(t, { badSignatures: 2 });
  service.before = wrongSigner;
  for (let i = 0; i < 2; i++) await assert.rejects(client.createOrder(orderEntry()), { code: "WrongSigner" });
  service.before = () => {
    throw new Refusal("UnknownTicket", "there is none");
  };
  for (let i = 0; i < 10; i++) await assert.rejects(client.createOrder(orderEntry()), { code: "UnknownTicket" });
  await new Promise((resolve) => setTimeout(resolve, 1_050));
  service.before = wrongSigner;
  await assert.rejects(client.createOrder(orderEntry()), { code: "WrongSigner" });
  service.before = () => undefined;
  await client.createOrder(orderEntry());
  assert.equal(await counted(metrics.badSigners), 0);
});

test("refused calls, commands and connections are logged at debug, failures at error [API-6]", async (t) => {
  const bench = await open(t, { connectionsPerAddress: 1 });
  const { server, service, client } = bench;
  service.before = wrongSigner;
  await assert.rejects(client.createOrder(orderEntry()));
  const session = client.enterOrders();
  await assert.rejects(session.place(orderEntry()));
  await assert.rejects(client.watchOrders(WATCH).next());
  const other = connectExchange(server.url, { timeoutMs: 1_000 });
  await assert.rejects(other.fetchEpoch());
  other.close();
  service.before = () => {
    throw new TypeError("no luck");
  };
  await assert.rejects(session.place(orderEntry()));
  await session.end();
  const lines = linesOf(bench);
  const levels = (msg: string): number[] => [...new Set(lines.filter((line) => line.msg === msg).map((l) => l.level))];
  assert.equal(lines.filter(({ msg }) => msg === "call refused").length, 3);
  assert.deepEqual([levels("call refused"), levels("connection refused"), levels("call failed")], [[20], [20], [50]]);
});

test("a JSON number that a double may not hold is refused, and as text it arrives as it is [API-18]", async (t) => {
  const { server, service } = await open(t);
  const post = async (json: string, type = "application/json", method = "CancelOrder") => {
    const answer = await fetch(`${server.url}${PATH}/${method}`, {
      method: "POST",
      headers: { "content-type": type },
      body: json,
    });
    return { status: answer.status, text: await answer.text() };
  };
  const cancel = (clOrdId: string) =>
    `{"cancel":{"ticketId":"${TICKET}","clOrdId":${clOrdId},"signature":"${SIGNATURE}"}}`;
  for (const number of ["9007199254740993", "18446744073709551615", "1e17", "1.23456789012345678E17"]) {
    const { status, text } = await post(cancel(number));
    assert.equal(status, 400, number);
    assert.match(text, /"code":"invalid_argument".*at most 15 digits.*"code":"MalformedField"/, number);
  }
  assert.equal(service.asked.length, 0);
  for (const number of ['"9007199254740993"', '"18446744073709551615"', "999999999999999"]) {
    assert.equal((await post(cancel(number))).status, 200, number);
    const clientId = BigInt(number.replaceAll('"', ""));
    assert.deepEqual(service.asked.at(-1)?.input, { cancel: { ticketId: TICKET, clientId }, signature: SIGNATURE });
  }
  const envelope = (json: string) => String.fromCharCode(0, 0, 0, 0, json.length) + json;
  const stream = await post(
    envelope('{"slot":2,"sinceSeq":9007199254740993}'),
    "application/connect+json",
    "WatchTrades",
  );
  assert.match(stream.text, /"invalid_argument".*at most 15 digits/);
});

test("numbers are found however a body is cut, and neither in text nor in envelopes [API-18]", async () => {
  const pass = async (bytes: Buffer, enveloped: boolean, size: number): Promise<boolean> => {
    const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
      bytes.subarray(i * size, (i + 1) * size),
    );
    const got: Uint8Array[] = [];
    try {
      for await (const chunk of exactNumbers(each(chunks), enveloped)) {
        got.push(chunk);
      }
    } catch (error) {
      assert.match(String(error), /at most 15 digits/);
      return false;
    }
    assert.deepEqual(Buffer.concat(got), bytes);
    return true;
  };
  async function* each(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
    for (const chunk of chunks) yield await Promise.resolve(chunk);
  }
  const framed = (...texts: readonly string[]): Buffer =>
    Buffer.concat(
      texts.flatMap((text) => {
        const head = Buffer.alloc(5);
        head.writeUInt32BE(Buffer.byteLength(text), 1);
        return [head, Buffer.from(text)];
      }),
    );
  const good = [
    '{"a":"1234567890123456789","b":[true,-12.5,false]}',
    String.raw`{"\"1234567890123456\\":"é\\","n":12}`,
  ];
  const bad = ['{"a":1234567890123456}', String.raw`{"a\\":1234567890123456}`, "[1e5]", "[-1234567890.1234567]"];
  // A message of 34 bytes: its length is a quotation mark.
  const odd = `{"a":${" ".repeat(28)}}`;
  assert.equal(odd.length, 34);
  for (const size of [1, 2, 3, 7, 1_000]) {
    for (const text of good) assert.equal(await pass(Buffer.from(text), false, size), true, text);
    for (const text of bad) assert.equal(await pass(Buffer.from(text), false, size), false, text);
    assert.equal(await pass(framed(...good, "", odd, ...good), true, size), true);
    for (const text of bad) assert.equal(await pass(framed(odd, "", '"', text), true, size), false, text);
  }
});

test("a listener that throws is dropped and named, and the others get theirs [API-19]", async () => {
  const service = fakeService();
  const faults: unknown[] = [];
  const data = createMarketData(service, (error) => faults.push(error));
  const got: number[] = [];
  let calls = 0;
  data.onTrades(2, () => {
    calls += 1;
    throw new Refusal("Broken", "no luck");
  });
  data.onTrades(2, (group) => got.push(...group.map(({ seq }) => seq)));
  service.publish(trade(1));
  await Promise.resolve();
  service.publish(trade(2));
  await Promise.resolve();
  assert.deepEqual([got, calls, faults.map(String)], [[1, 2], 1, ["Broken: no luck"]]);
  data.close();
});

test("a subscription whose message cannot be made ends, and everything else goes on [API-19]", async (t) => {
  const bench = await open(t);
  const { service, client } = bench;
  const orders = client.watchOrders(WATCH);
  await orders.next();
  const trades = client.watchTrades(2);
  const next = trades.next();
  await until("both listen", () => bench.service.asked.length > 0);
  const broken = Object.defineProperty(report(4n), "limitPrice", {
    get: () => {
      throw new TypeError("no price");
    },
  });
  const ended = assert.rejects(orders.next(), { code: "Internal", message: /the operator finds it under/ });
  service.publish({ kind: "order", order: broken, receipt: receipt(50) });
  await ended;
  const repeat = setInterval(() => service.publish(trade(7)), 20);
  t.after(() => clearInterval(repeat));
  assert.equal((await next).value?.seq, 7);
  await trades.return();
  assert.ok(linesOf(bench).some(({ level, msg }) => level === 50 && msg === "call failed"));
});

test("connections of one address are bounded, and one that leaves makes room [API-13]", async (t) => {
  const { server, client, metrics } = await open(t, { connectionsPerAddress: 2 });
  await client.fetchEpoch();
  const others = [1, 2].map(() => connectExchange(server.url, { timeoutMs: 1_000 }));
  t.after(() => others.forEach((other) => other.close()));
  const [second, third] = others;
  assert.ok(second !== undefined && third !== undefined);
  await second.fetchEpoch();
  await assert.rejects(third.fetchEpoch());
  assert.ok((await counted(metrics.connectionsRefused)) > 0);
  second.close();
  const again = connectExchange(server.url, { timeoutMs: 1_000 });
  t.after(() => again.close());
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal((await again.fetchEpoch()).epoch, 4);
  assert.equal((await first(again.watchOrderBook(2), 1)).length, 1);
});
