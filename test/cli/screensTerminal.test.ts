import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { after, before, test, type TestContext } from "node:test";
import pino from "pino";
import { createMetrics } from "../../src/exchange/server/metrics.ts";
import { type Server, startServer } from "../../src/exchange/server/server.ts";
import type { MarketReport } from "../../src/api/service.ts";
import { type FakeService, fakeService } from "../api/fakeService.ts";
import { until } from "../api/support.ts";

/*
 * The commands in processes of their own, against a served exchange that says what the test wants; `script` of
 * util-linux gives them a real terminal.
 */

const MAIN = resolve(import.meta.dirname, "../../src/cli/main.ts");
const PATIENCE_MS = 30_000;
const ENTER = "\u001b[?1049h";
const LEAVE = "\u001b[?1049l";

let service: FakeService;
let server: Server;
let url = "";

before(async () => {
  service = serviceWithMarkets();
  server = await serve(0);
  url = server.url;
});
after(() => server.close());

function serviceWithMarkets(): FakeService {
  const fake = fakeService();
  const [market] = fake.markets();
  assert(market !== undefined);
  const named = (slot: number, name: string): MarketReport => ({
    ...market,
    slot,
    contractId: `0x${Buffer.from(name).toString("hex").padEnd(64, "0")}`,
  });
  return { ...fake, markets: () => [named(0, "LEAN HOGS"), named(3, "WTI")] };
}

async function serve(port: number): Promise<Server> {
  const logger = pino({ level: "silent" });
  return startServer({ service, host: "127.0.0.1", port, logger, metrics: createMetrics(service), origins: [] });
}

function publishTrade(seq: number): void {
  const trade = { slot: 0, seq, n: 0, price: 70_000n, quantity: 2, takerSide: "buy", time: 1_900_000_000n } as const;
  service.publish({ kind: "trade", trade });
}

/** A command under way, everything that it has printed, and how it ended. */
type Run = {
  readonly child: ChildProcessWithoutNullStreams;
  readonly output: () => string;
  readonly ended: Promise<number | null>;
};

const ENVIRONMENT = { PATH: process.env["PATH"], HOME: "/nonexistent", TZ: "UTC", LANG: "C.UTF-8", TERM: "xterm" };

function follow(child: ChildProcessWithoutNullStreams, t: TestContext): Run {
  let printed = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => (printed += chunk.toString("utf8")));
  }
  t.after(() => child.kill("SIGKILL"));
  const ended = once(child, "close").then(([code]: readonly unknown[]) => (typeof code === "number" ? code : null));
  return { child, output: () => printed, ended };
}

/** Without a terminal. */
function run(t: TestContext, ...args: readonly string[]): Run {
  const child = spawn(process.execPath, [MAIN, ...args, "--exchange", url], { env: ENVIRONMENT });
  return follow(child, t);
}

/** On a terminal of 80 by 24, whose state is printed at the end as stty says it. */
function runOnTerminal(t: TestContext, args: readonly string[], env: Readonly<Record<string, string>> = {}): Run {
  const command = [process.execPath, MAIN, ...args].map((word) => `'${word}'`).join(" ");
  const inner = `echo "tty=$(tty)"; sh -c 'echo "pid=$$"; exec "$@"' sh ${command}; code=$?; stty -a; exit $code`;
  const outer = `stty cols 80 rows 24; ${inner}`;
  const child = spawn("script", ["-qec", outer, "/dev/null"], { env: { ...ENVIRONMENT, SHELL: "/bin/sh", ...env } });
  return follow(child, t);
}

function printed(run: Run, wanted: string | RegExp): Promise<void> {
  const isThere = (): boolean =>
    typeof wanted === "string" ? run.output().includes(wanted) : wanted.test(run.output());
  return until(`it prints ${String(wanted)}`, isThere, PATIENCE_MS).catch((error: unknown) => {
    throw new Error(`${String(error)}; it printed ${JSON.stringify(run.output().slice(-2_000))}`);
  });
}

function assertRestored(output: string): void {
  assert.equal(output.split(ENTER).length, output.split(LEAVE).length);
  const end = output.slice(output.lastIndexOf(LEAVE));
  assert(output.includes("\u001b[?25h"), "the cursor stays hidden");
  for (const mode of ["icanon", "echo", "isig", "opost"]) assert.match(end, new RegExp(`(^|\\s)${mode}\\s`));
}

test("Ctrl-C gives the terminal back and exits with 130, q with 0 [SCR-9]", async (t) => {
  const runs = [
    { key: "\u0003", code: 130 },
    { key: "q", code: 0 },
  ].map(async ({ key, code }) => {
    const watch = runOnTerminal(t, ["watch", "lean-hogs", "--exchange", url]);
    await printed(watch, "live");
    watch.child.stdin.write(key);
    assert.equal(await watch.ended, code);
    assertRestored(watch.output());
  });
  await Promise.all(runs);
});

test("SIGTERM and an exchange that is not there give the terminal back too, with 143 and 4 [SCR-9]", async (t) => {
  const watch = runOnTerminal(t, ["watch", "--exchange", url]);
  const failing = runOnTerminal(t, ["watch", "--exchange", "http://127.0.0.1:1"]);
  await printed(watch, "live");
  process.kill(Number(/pid=(\d+)/.exec(watch.output())?.[1]), "SIGTERM");
  assert.equal(await watch.ended, 143);
  assertRestored(watch.output());
  assert.equal(await failing.ended, 4);
  assertRestored(failing.output());
  assert.match(failing.output().slice(failing.output().lastIndexOf(LEAVE)), /127\.0\.0\.1:1 /);
});

test("the view follows the size of the terminal, and keys change the market [SCR-5, SCR-7]", async (t) => {
  const watch = runOnTerminal(t, ["watch", "--exchange", url]);
  await printed(watch, "live");
  assert.match(watch.output(), /\u001b\[24;1H/);
  const tty = /tty=(\S+)/.exec(watch.output())?.[1] ?? "";
  execFileSync("stty", ["-F", tty, "cols", "120", "rows", "40"]);
  await printed(watch, "\u001b[40;1H");
  assert(watch.output().includes("─".repeat(120)));
  watch.child.stdin.write("m");
  await printed(watch, "2/2");
  assert.match(watch.output(), /WTI/);
  watch.child.stdin.write("q");
  assert.equal(await watch.ended, 0);
});

test("a connection that breaks is told, and comes back by itself [SCR-6]", async (t) => {
  const watch = runOnTerminal(t, ["watch", "--exchange", url]);
  const lines = run(t, "watch", "lean-hogs");
  await Promise.all([printed(watch, "live"), printed(lines, /bid \d/)]);
  await server.close();
  await Promise.all([printed(watch, "trying again"), printed(lines, "connection lost")]);
  server = await serve(Number(new URL(url).port));
  await Promise.all([printed(watch, /lost(.|\n)*live/), printed(lines, "connected again")]);
  watch.child.stdin.write("q");
  lines.child.kill("SIGINT");
  assert.deepEqual(await Promise.all([watch.ended, lines.ended]), [0, 130]);
});

test("NO_COLOR draws without colours; a dumb terminal and a pipe get plain lines [SCR-8, SCR-10]", async (t) => {
  const grey = runOnTerminal(t, ["watch", "--exchange", url], { NO_COLOR: "1" });
  const dumb = runOnTerminal(t, ["watch", "--exchange", url], { TERM: "dumb" });
  const pipe = run(t, "watch", "0");
  const json = run(t, "watch", "0", "--json");
  await Promise.all([printed(grey, "live"), printed(dumb, /bid \d/), printed(pipe, /bid \d/), printed(json, '"book"')]);
  let seq = 500;
  const timer = setInterval(() => publishTrade(seq++), 200);
  t.after(() => clearInterval(timer));
  await Promise.all([grey, dumb, pipe, json].map((each) => printed(each, /0\.07|"trade"/)));
  grey.child.stdin.write("q");
  dumb.child.stdin.write("\u0003");
  pipe.child.kill("SIGTERM");
  json.child.kill("SIGINT");
  assert.deepEqual(await Promise.all([grey, dumb, pipe, json].map(({ ended }) => ended)), [0, 130, 143, 130]);
  assert.doesNotMatch(grey.output(), /\u001b\[[1-9][0-9;]*m/);
  for (const { output } of [dumb, pipe, json]) assert.doesNotMatch(output(), /\u001b/);
  for (const line of json.output().trim().split("\n")) assert.equal(typeof JSON.parse(line), "object");
});

test("markets, book, trades and candles need an exchange only, and answer in JSON too [SCR-2, SCR-10]", async (t) => {
  publishTrade(400);
  const commands = ["markets", "book 0", "trades lean-hogs --json", "candles LEAN-HOGS"];
  const answers = await Promise.all(commands.map((each) => ended(run(t, ...each.split(" ")))));
  for (const { code, output } of answers) {
    assert.equal(code, 0, output);
    for (const line of output.split("\n")) assert(line.startsWith("{") || line.length <= 80, line);
  }
  const [markets = "", book = "", trades = "", candles = ""] = answers.map(({ output }) => output);
  assert.match(markets, /LEAN HOGS(.|\n)*WTI/);
  assert.match(book, /spread 0\.00002/);
  assert.match(
    trades,
    /^\{"trades":\[\{"slot":0,"contract":"LEAN HOGS","seq":\d+,"n":0,"time":1900000000,"price":"70000"/,
  );
  assert.match(candles, /last: open 0\.07/);
  const unknown = await ended(run(t, "book", "cocoa"));
  assert.equal(unknown.code, 2);
  assert.match(unknown.output, /no market "cocoa"/);
});

test("what is followed comes line by line until Ctrl-C [SCR-10]", async (t) => {
  const followed = ["markets", "trades 0", "candles 0"].map((name) => run(t, ...name.split(" "), "--follow", "--json"));
  let seq = 1_000;
  const timer = setInterval(() => publishTrade(seq++), 200);
  t.after(() => clearInterval(timer));
  const types = ['"market"', '"trade"', '"candle"'];
  await Promise.all(followed.map((each, i) => printed(each, types[i] ?? "")));
  for (const { child } of followed) child.kill("SIGINT");
  for (const each of followed) {
    assert.equal(await each.ended, 130);
    for (const line of each.output().trim().split("\n")) assert.equal(typeof JSON.parse(line), "object");
  }
});

async function ended(run: Run): Promise<{ readonly code: number | null; readonly output: string }> {
  return { code: await run.ended, output: run.output() };
}
