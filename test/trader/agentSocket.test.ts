import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, test } from "node:test";
import fc from "fast-check";
import { HedgerowError } from "../../src/protocol/errors.ts";
import { type AgentClient, connectAgent } from "../../src/trader/agent/client.ts";
import { MOST_IN_FLIGHT, MOST_REQUEST_BYTES } from "../../src/trader/agent/protocol.ts";
import { type AgentServed, type AgentServer, serveAgent } from "../../src/trader/agent/server.ts";
import { socketPathOf } from "../../src/trader/agent/socketPath.ts";
import type { AgentStatus } from "../../src/trader/agent/status.ts";
import { COMMANDS, type CommandName, type RunOptions } from "../../src/trader/commands.ts";
import type { OrderView } from "../../src/trader/views.ts";

const STATUS: AgentStatus = {
  pid: process.pid,
  startedAt: 1_700_000_000,
  network: "test",
  epoch: 3,
  phase: "trading",
  seat: "active",
  time: 1_700_000_100,
  nodeReachable: true,
  exchangeReachable: true,
  openTickets: 1,
  liveOrders: 0,
  margin: null,
  duties: [],
  trouble: null,
};

const ORDER: OrderView = {
  ref: "0000000000000000",
  ticketId: `0x${"ab".repeat(32)}`,
  slot: 0,
  contract: "LEAN HOGS",
  side: "buy",
  type: "limit",
  limitPrice: "34000000000",
  stopPrice: null,
  quantity: 1,
  displayQuantity: null,
  timeInForce: "GTC",
  postOnly: false,
  reduceOnly: false,
  expiry: 1_700_000_000,
  status: "cancelled",
  reason: null,
  filled: 0,
  remaining: 1,
  averagePrice: null,
  revision: 0,
  seq: 1,
  time: 1_700_000_000,
};

const CAUGHT_UP = { resent: 1, abandoned: 0, ordersFound: 2, notes: ["one"] };

const IDLE: AgentServed = {
  service: { run: () => Promise.reject(new Error("nobody asks it")) },
  status: () => STATUS,
  onStop: () => {},
};

const root = mkdtempSync(join(tmpdir(), "hedgerow-test-"));
after(() => rmSync(root, { recursive: true }));
const open: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

type Act = (name: CommandName, params: unknown, options: RunOptions) => Promise<unknown>;

/** An agent in a directory of its own whose wallet does what `act` says. */
async function agent(act: Act, over: Partial<AgentServed> = {}): Promise<AgentServer> {
  const directory = mkdtempSync(join(root, "w"));
  const server = await serveAgent(socketPathOf(directory), {
    // The answers of a stand-in are whatever a test wants the client to check.
    service: { run: (name, params, options = {}) => act(name, params, options) as never },
    status: () => STATUS,
    onStop: () => {},
    ...over,
  });
  open.push(() => server.close(100));
  return server;
}

async function client(server: AgentServer): Promise<AgentClient> {
  const found = await connectAgent(server.path);
  assert.ok(found !== undefined);
  open.push(() => found.close());
  return found;
}

/** A connection that says what it likes. */
async function raw(server: AgentServer): Promise<{ readonly socket: Socket; readonly lines: () => unknown[] }> {
  const socket = connect(server.path);
  open.push(() => Promise.resolve(socket.destroy()));
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString("utf8"))).on("error", () => {});
  await new Promise((resolve) => socket.once("connect", resolve));
  const lines = () =>
    text
      .split("\n")
      .filter((line) => line !== "")
      .map((line): unknown => JSON.parse(line));
  return { socket, lines };
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; !holds(); i++) {
    assert.ok(i < 1_000, "it never came about");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const codeIs = (code: string) => (error: unknown) => error instanceof HedgerowError && error.code === code;

test("a command runs in the agent with its steps, its result and its errors as here [AGT-3]", async () => {
  class Refused extends HedgerowError {}
  const server = await agent((name, _, { onProgress }) => {
    if (name === "catchUp") {
      onProgress?.({ stage: "proving", text: "one of two", done: 1, total: 2 });
      return Promise.resolve(CAUGHT_UP);
    }
    return Promise.reject(new Refused("Broke", "not enough", { short: 2n ** 90n, name, is: true, n: 3 }));
  });
  const wallet = await client(server);
  const steps: string[] = [];
  assert.deepEqual(await wallet.run("catchUp", {}, { onProgress: ({ text }) => steps.push(text) }), CAUGHT_UP);
  assert.deepEqual(steps, ["one of two"]);
  assert.deepEqual(await wallet.status(), STATUS);
  await assert.rejects(wallet.run("balance", {}), (error) => {
    assert.ok(error instanceof HedgerowError);
    assert.deepEqual([error.code, error.message], ["Broke", "not enough"]);
    assert.deepEqual(error.details, { short: (2n ** 90n).toString(), name: "balance", is: true, n: 3 });
    return true;
  });
});

test("only the same user reaches the socket: directory 0700, socket 0600 [AGT-2]", async () => {
  const server = await agent(() => Promise.resolve(CAUGHT_UP));
  assert.equal(statSync(server.path).mode & 0o777, 0o600);
  assert.equal(statSync(join(server.path, "..")).mode & 0o777, 0o700);
});

test("where no agent listens there is no client, and the socket of a dead one is replaced [AGT-2]", async () => {
  const directory = mkdtempSync(join(root, "w"));
  const path = socketPathOf(directory);
  assert.equal(await connectAgent(path), undefined);
  // A process that ends as kill -9 ends it leaves its socket.
  const die = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
  spawnSync(process.execPath, ["-e", die], { stdio: "ignore" });
  assert.ok(statSync(path).isSocket());
  chmodSync(path, 0o600);
  assert.equal(await connectAgent(path), undefined);
  const server = await serveAgent(path, IDLE);
  open.push(() => server.close());
  assert.deepEqual(await (await client(server)).status(), STATUS);
  await server.close();
  assert.equal(existsSync(path), false);
});

test("a living agent's socket is not replaced, nor is a file that is no socket [AGT-2]", async () => {
  const server = await agent(() => Promise.resolve(CAUGHT_UP));
  await assert.rejects(serveAgent(server.path, IDLE), codeIs("AgentAlreadyRuns"));
  const path = socketPathOf(mkdtempSync(join(root, "w")));
  writeFileSync(path, "precious");
  await assert.rejects(serveAgent(path, IDLE), codeIs("SocketPathTaken"));
  assert.equal(await connectAgent(path), undefined);
  const long = join(root, "x".repeat(120), "agent.sock");
  await assert.rejects(serveAgent(long, IDLE), codeIs("SocketPathTooLong"));
});

test("100 requests are under way at once and each gets its own answer [AGT-4]", async () => {
  let running = 0;
  let most = 0;
  const server = await agent(async (_, params) => {
    most = Math.max(most, ++running);
    await until(() => most === 100);
    running -= 1;
    const { order } = COMMANDS.cancel.params.parse(params);
    return { order: { ...ORDER, ref: order.slice(2).padStart(16, "0") }, receipts: 1, refusal: null };
  });
  const wallet = await client(server);
  const names = Array.from({ length: 100 }, (_, i) => `0x${i.toString(16)}`);
  const answers = await Promise.all(names.map((order) => wallet.run("cancel", { order })));
  assert.deepEqual(
    answers.map(({ order }) => Number(`0x${order?.ref ?? ""}`)),
    names.map(Number),
  );
});

test("more requests than a connection may have under way are refused one by one [AGT-4]", async () => {
  let release = (): void => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  const server = await agent(() => held.then(() => CAUGHT_UP));
  const wallet = await client(server);
  const calls = Array.from({ length: MOST_IN_FLIGHT + 3 }, () =>
    wallet.run("catchUp", {}).then(
      () => "done",
      (error: unknown) => (error instanceof HedgerowError ? error.code : "?"),
    ),
  );
  await Promise.all(calls.slice(MOST_IN_FLIGHT));
  release();
  const outcomes = await Promise.all(calls);
  assert.equal(outcomes.filter((outcome) => outcome === "done").length, MOST_IN_FLIGHT);
  assert.equal(outcomes.filter((outcome) => outcome === "TooManyRequests").length, 3);
});

test("params are checked by the command's own schema before anything runs [AGT-3]", async () => {
  const seen: unknown[] = [];
  const server = await agent((_, params) => {
    seen.push(params);
    return Promise.resolve(CAUGHT_UP);
  });
  const { socket, lines } = await raw(server);
  const bad = [
    { id: 1, name: "catchUp", params: { more: 1 } },
    { id: 2, name: "withdraw", params: { amount: "-1", to: "0x00" } },
    { id: 3, name: "toString", params: {} },
    { id: 4, name: "__proto__", params: {} },
    { id: 5, name: "agent-stop", params: { now: true } },
    { id: 6, name: "catchUp" },
  ];
  for (const request of bad) socket.write(`${JSON.stringify(request)}\n`);
  await until(() => lines().length === bad.length);
  const codes = lines().map((line) => (line as { error: { code: string } }).error.code);
  const three = (code: string): string[] => [code, code, code];
  assert.deepEqual(codes.toSorted(), [...three("BadParams"), ...three("BadRequest")]);
  assert.deepEqual(seen, []);
});

test("whatever a client says, the agent answers with an error or not at all, and serves the others [AGT-4]", async () => {
  const server = await agent(() => Promise.resolve(CAUGHT_UP));
  const wallet = await client(server);
  const garbage = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    fc.json().map((text) => Buffer.from(`${text}\n`)),
    fc
      .record(
        { id: fc.oneof(fc.integer(), fc.double(), fc.string()), name: fc.string(), params: fc.anything() },
        { requiredKeys: [] },
      )
      .map((value) => Buffer.from(`${JSON.stringify(value, (_, x: unknown) => (typeof x === "bigint" ? 0 : x))}\n`)),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(garbage, { minLength: 1, maxLength: 5 }), async (chunks) => {
      const { socket, lines } = await raw(server);
      for (const chunk of chunks) socket.write(chunk);
      socket.end("\n");
      await new Promise((resolve) => socket.once("close", resolve));
      for (const line of lines()) assert.ok(typeof line === "object" && line !== null && "error" in line);
      assert.deepEqual(await wallet.run("catchUp", {}), CAUGHT_UP);
    }),
    { numRuns: 60 },
  );
});

test("a line without end is cut off with an error before it fills the memory [AGT-4]", async () => {
  const server = await agent(() => Promise.resolve(CAUGHT_UP));
  const { socket, lines } = await raw(server);
  socket.write(Buffer.alloc(MOST_REQUEST_BYTES + 1, "a"));
  await new Promise((resolve) => socket.once("close", resolve));
  assert.equal((lines()[0] as { error: { code: string } }).error.code, "MalformedMessage");
  assert.deepEqual(await (await client(server)).run("catchUp", {}), CAUGHT_UP);
});

test("a cancel by id, and the end of a connection, end what is under way there and nothing else [AGT-5]", async () => {
  const ended: string[] = [];
  const server = await agent(
    (name, _, { signal }) =>
      new Promise((resolve, reject) => {
        if (name === "catchUp") setTimeout(() => resolve(CAUGHT_UP), 200);
        signal?.addEventListener("abort", () => {
          ended.push(name);
          reject(new Error("aborted"));
        });
      }),
  );
  const wallet = await client(server);
  const other = wallet.run("catchUp", {});
  const stop = new AbortController();
  const cancelled = wallet.run("renew", {}, { signal: stop.signal });
  await wallet.status();
  stop.abort();
  await assert.rejects(cancelled, codeIs("CommandCancelled"));
  assert.deepEqual(await other, CAUGHT_UP);
  assert.deepEqual(ended, ["renew"]);

  for (const leave of ["end", "destroy"] as const) {
    const { socket } = await raw(server);
    socket.write(`${JSON.stringify({ id: 9, name: "balance", params: {} })}\n`);
    await wallet.status();
    await new Promise((resolve) => setTimeout(resolve, 20));
    socket[leave]();
    await until(() => ended.includes("balance"));
    ended.length = 0;
  }
});

test("who does not read is cut off, while the others are served [AGT-4]", async () => {
  const long = { ...CAUGHT_UP, notes: ["x".repeat(300_000)] };
  const server = await agent(() => Promise.resolve(long), { slowMs: 200 });
  const { socket } = await raw(server);
  socket.pause();
  let closed = false;
  socket.on("close", () => (closed = true));
  for (let id = 1; id <= 60; id++) socket.write(`${JSON.stringify({ id, name: "catchUp", params: {} })}\n`);
  const wallet = await client(server);
  assert.deepEqual(await wallet.run("catchUp", {}), long);
  await new Promise((resolve) => setTimeout(resolve, 600));
  socket.resume();
  await until(() => closed);
});

test("an agent that goes away, lies, or ends with a fault is an error that says so [AGT-3, AGT-4]", async () => {
  const faults: unknown[] = [];
  const server = await agent(
    (name) => {
      if (name === "balance") return Promise.resolve({ cash: 1 });
      if (name === "tickets") return Promise.reject(new Error("secret of the house"));
      return new Promise(() => {});
    },
    { onFault: (_, error) => faults.push(error) },
  );
  const wallet = await client(server);
  await assert.rejects(wallet.run("balance", {}), codeIs("AgentAnsweredBadly"));
  await assert.rejects(wallet.run("tickets", {}), (error) => {
    assert.ok(codeIs("AgentFault")(error));
    assert.ok(!String(error).includes("secret"));
    return true;
  });
  assert.equal(faults.length, 1);
  const lost = assert.rejects(wallet.run("orders", {}), codeIs("AgentUnreachable"));
  await server.close(50);
  await lost;
  await assert.rejects(wallet.run("orders", {}), codeIs("AgentUnreachable"));
});

test("told to stop, the agent answers first [AGT-6]", async () => {
  let told = 0;
  const server = await agent(() => Promise.resolve(CAUGHT_UP), { onStop: () => (told += 1) });
  const wallet = await client(server);
  await wallet.stop();
  assert.equal(told, 1);
});
