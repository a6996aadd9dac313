import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { test } from "node:test";
import { Code } from "@connectrpc/connect";
import fc from "fast-check";
import { toBinary } from "@bufbuild/protobuf";
import { HedgerowError } from "../../src/protocol/errors.ts";
import { cancelFrom, newOrderFrom, orderFrom, receiptFrom, reportFrom } from "../../src/api/codecOrders.ts";
import { newOrderMessageOf, orderMessageOf, receiptMessageOf, reportMessageOf } from "../../src/api/codecOrders.ts";
import { transitionFrom, transitionMessageOf } from "../../src/api/codecTransition.ts";
import {
  CreateOrderRequestSchema,
  EnterOrdersRequestSchema,
} from "../../src/api/gen/hedgerow/exchange/v1/exchange_pb.ts";
import { orderEntry, receipt, report, SIGNATURE, TRANSITION } from "./fakeService.ts";
import { open } from "./support.ts";

const PATH = "/hedgerow.exchange.v1.Exchange";
const METHODS = ["CreateOrder", "SubmitTransition", "FetchTrades", "WatchOrderBook", "WatchOrders", "EnterOrders"];
const TYPES = [
  "application/json",
  "application/proto",
  "application/grpc",
  "application/grpc-web+proto",
  "application/grpc-web-text",
  "application/connect+json",
  "application/connect+proto",
  "text/html",
  "",
];
const NAMED = new Set(
  Object.values(Code)
    .filter((code) => typeof code === "number")
    .map(String),
);

/** Numbers that repeat: xorshift, 32 bits. */
function randomSource(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const request = toBinary(CreateOrderRequestSchema, {
  $typeName: "hedgerow.exchange.v1.CreateOrderRequest",
  order: newOrderMessageOf(orderEntry()),
});
const stream = toBinary(EnterOrdersRequestSchema, {
  $typeName: "hedgerow.exchange.v1.EnterOrdersRequest",
  commands: [
    {
      $typeName: "hedgerow.exchange.v1.Command",
      correlation: 1n,
      body: { case: "create", value: newOrderMessageOf(orderEntry()) },
    },
  ],
});

/** A valid body, damaged: bytes changed, cut off, repeated, or none of it. */
function body(random: (below: number) => number): Buffer {
  const good = random(2) === 0 ? request : stream;
  const framed = Buffer.alloc(5 + good.length);
  framed.writeUInt32BE(random(4) === 0 ? random(2 ** 31) : good.length, 1);
  framed[0] = random(6) === 0 ? random(256) : 0;
  framed.set(good, 5);
  const bytes = Buffer.from(random(3) === 0 ? good : framed);
  for (let i = random(6); i > 0; i--) bytes[random(bytes.length)] = random(256);
  if (random(3) === 0) return bytes.subarray(0, random(bytes.length));
  if (random(8) === 0) return Buffer.alloc(random(600_000), random(256));
  return bytes;
}

/** Bytes as somebody without manners sends them. */
function rawBytes(random: (below: number) => number): Buffer {
  const noise = Buffer.from(Array.from({ length: random(400) }, () => random(256)));
  const content = body(random);
  const type = TYPES[random(TYPES.length)] ?? "";
  const head = `POST ${PATH}/${METHODS[random(METHODS.length)] ?? ""} HTTP/1.1\r\nhost: x\r\ncontent-type: ${type}\r\n`;
  const lengths = [content.length, content.length + 10, 0, 2 ** 40, -1];
  const length = `content-length: ${lengths[random(lengths.length)] ?? 0}\r\n`;
  const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  const shapes: readonly (() => Buffer)[] = [
    () => noise,
    () => Buffer.from(preface.slice(0, random(preface.length))),
    () => Buffer.concat([Buffer.from(preface), noise]),
    () => Buffer.concat([Buffer.from(preface), Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]), noise]),
    () => Buffer.from(head.slice(0, random(head.length))),
    () => Buffer.from(`${head}x: ${"y".repeat(random(40_000))}\r\n\r\n`),
    () => Buffer.concat([Buffer.from(`${head}${length}\r\n`), content]),
    () => Buffer.concat([Buffer.from(`${head}transfer-encoding: chunked\r\n\r\nfffffff\r\n`), content]),
    () => Buffer.concat([Buffer.from(`${head}${length}${length}transfer-encoding: chunked\r\n\r\n`), content]),
    () => Buffer.from(`GET ${PATH}/FetchEpoch?message=${"%7B".repeat(random(50))} HTTP/1.1\r\nhost: x\r\n\r\n`),
    () => Buffer.from("GET http://[ HTTP/1.1\r\nhost: [[[\r\n\r\n"),
    () => Buffer.from(`${head.replace("host: x", "host: [[[")}content-length: 0\r\n\r\n`),
    () => Buffer.from(head.replace("HTTP/1.1\r\nhost: x", "HTTP/1.0") + "\r\n"),
    () => Buffer.from(`OPTIONS * HTTP/1.0\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n`),
  ];
  return shapes[random(shapes.length)]?.() ?? noise;
}

/** Sends bytes in pieces, and hangs up politely, rudely, or in the middle. */
function speak(port: number, bytes: Buffer, random: (below: number) => number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    let answer = "";
    socket.on("data", (chunk) => (answer += chunk.toString("latin1").slice(0, 1_000)));
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(answer));
    const cut = random(bytes.length + 1);
    const manner = random(3);
    socket.write(bytes.subarray(0, cut));
    setTimeout(() => {
      if (manner === 0) return void socket.resetAndDestroy();
      socket.write(bytes.subarray(cut));
      setTimeout(() => (manner === 1 ? socket.end() : socket.resetAndDestroy()), 20);
    }, random(5));
    setTimeout(() => socket.destroy(), 500);
  });
}

test("whatever bytes come, the server lives on and its memory stays bounded [API-14]", async (t) => {
  const limits = {
    connectionsPerAddress: 500,
    messageBytes: 64 * 1024,
    headersMs: 500,
    requestMs: 1_000,
    idleMs: 1_000,
  };
  const { server, client, log, metrics } = await open(t, limits);
  const faults: unknown[] = [];
  const note = (error: unknown): void => void faults.push(error);
  process.on("uncaughtExceptionMonitor", note);
  process.on("unhandledRejection", note);
  t.after(() => {
    process.off("uncaughtExceptionMonitor", note);
    process.off("unhandledRejection", note);
  });
  const random = randomSource(20_261_121);
  const round = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i += 50) {
      const answers = await Promise.all(Array.from({ length: 50 }, () => speak(server.port, rawBytes(random), random)));
      for (const answer of answers) {
        assert.doesNotMatch(answer, /node:internal|\.ts:\d+|    at /, "no stack goes out");
        // What protobuf cannot read is INTERNAL, as gRPC has it.
        const text = answer.replace(/HTTP\/1.1 500[^{]*\{"code":"internal","message":"parse binary: /g, "");
        assert.doesNotMatch(text, /HTTP\/1.1 5\d\d (?!HTTP Version|Not Impl)/, "nothing failed inside");
      }
    }
  };
  await round(300);
  const before = process.memoryUsage();
  await round(900);
  const after = process.memoryUsage();
  assert.ok(after.rss - before.rss < 96e6, `rss grew by ${after.rss - before.rss} bytes`);
  assert.ok(after.heapUsed - before.heapUsed < 64e6, `heap grew by ${after.heapUsed - before.heapUsed} bytes`);
  assert.equal((await client.fetchEpoch()).epoch, 4);
  const open_ = async (): Promise<number> => (await metrics.connections.get()).values[0]?.value ?? 0;
  const deadline = performance.now() + 5_000;
  while ((await open_()) > 1 && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok((await open_()) <= 1, "no connection is left over");
  assert.deepEqual(faults, []);
  assert.doesNotMatch(log(), /"level":[456]0/, "nothing that anybody can send is a warning");
  assert.doesNotMatch(log(), new RegExp(SIGNATURE.slice(2, 60)));
});

test("damaged messages over HTTP/2 end with a named status [API-14]", async (t) => {
  const { server, client } = await open(t, { messageBytes: 64 * 1024, requestMs: 500 });
  const random = randomSource(7);
  const session = connectHttp2(server.url);
  session.on("error", () => undefined);
  t.after(() => session.destroy());
  const types = TYPES.slice(1, 4).concat(TYPES.slice(5));
  const ask = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const call = session.request({
        ":method": "POST",
        ":path": `${PATH}/${METHODS[random(METHODS.length)] ?? ""}`,
        "content-type": types[random(types.length)] ?? "",
        "grpc-timeout": ["200m", "x", "99999999H"][random(3)] ?? "",
        "connect-timeout-ms": "200",
      });
      const check = (headers: Record<string, unknown>): void => {
        const status = headers["grpc-status"];
        if (status === undefined || status === "0") return;
        if (typeof status !== "string" || !NAMED.has(status)) reject(new Error("a status has no name"));
      };
      call.on("response", check);
      call.on("trailers", check);
      call.on("error", () => undefined);
      call.on("close", resolve);
      call.resume();
      call.end(body(random));
      if (random(5) === 0) setTimeout(() => call.close(random(14)), random(10));
      else setTimeout(() => call.close(8), 400);
    });
  for (let i = 0; i < 20; i++) await Promise.all(Array.from({ length: 20 }, ask));
  assert.equal((await client.fetchEpoch()).epoch, 4);
});

test("the codec gives back what it was given, and refuses damaged text by name [API-1] [API-14]", () => {
  const messages: readonly [Record<string, unknown>, (message: never) => unknown, unknown][] = [
    [{ ...orderMessageOf(orderEntry()) }, orderFrom, orderEntry()],
    [{ ...newOrderMessageOf(orderEntry()) }, newOrderFrom, orderEntry()],
    [{ ...receiptMessageOf(receipt()) }, receiptFrom, receipt()],
    [{ ...reportMessageOf(report()) }, reportFrom, report()],
    [{ ...transitionMessageOf(TRANSITION) }, transitionFrom, TRANSITION],
    [{ ticketId: receipt().receipt.orderHash, clOrdId: 1n, signature: SIGNATURE }, cancelFrom, undefined],
  ];
  const damaged = fc.oneof(
    fc.string(),
    fc.constantFrom("", "-0", "01", "+1", "1e3", " 1", "0x", "0x1", "9".repeat(79)),
  );
  for (const [message, decode, value] of messages) {
    const run = decode as (message: unknown) => unknown;
    if (value !== undefined) assert.deepEqual(run(message), value);
    const fields = Object.keys(message).filter((field) => typeof message[field] === "string" && field !== "$typeName");
    fc.assert(
      fc.property(fc.constantFrom("", ...fields), damaged, (field, text) => {
        try {
          run({ ...message, [field]: text });
        } catch (error) {
          assert.ok(error instanceof HedgerowError && error.code === "MalformedField", String(error));
          assert.ok(error.message.length < 300);
        }
      }),
      { numRuns: 200 },
    );
  }
});
