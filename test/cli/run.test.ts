import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { type LocalNetwork, startLocalNetwork } from "../../src/cli/localNetwork.ts";
import { type Trades, tradesSchema } from "../../src/cli/runReport.ts";
import { writeResult } from "../../src/cli/resultFile.ts";
import { writeNetwork } from "../../src/trader/home.ts";

const MAIN = resolve(import.meta.dirname, "../../src/cli/main.ts");
let home = "";
let running: LocalNetwork | undefined;

before(async () => {
  home = await mkdtemp(join(tmpdir(), "hedgerow-test-"));
  running = await startLocalNetwork({ day: { trading: 86_400, window: 600 }, batchMs: 100 });
  assert(running !== undefined);
  writeNetwork(home, running.network);
});

after(async () => {
  await running?.stop();
  await rm(home, { recursive: true, force: true });
});

type Ran = { readonly code: number | null; readonly err: string; readonly trades: Trades };

/** Runs orders; `onLine` sees what is printed to standard error, and may end the process. */
async function run(
  file: object | string,
  more: readonly string[],
  onLine?: (line: string, end: () => void) => void,
): Promise<Ran> {
  const orders = join(home, "orders.json");
  const out = join(home, "trades.json");
  await writeFile(orders, typeof file === "string" ? file : JSON.stringify(file));
  const args = ["run", "--home", home, "--orders", orders, "--trades-out", out, ...more];
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ["ignore", "ignore", "pipe"] });
  const lines: string[] = [];
  createInterface(child.stderr).on("line", (line) => {
    lines.push(line);
    onLine?.(line, () => child.kill("SIGINT"));
  });
  const code = await new Promise<number | null>((done) => child.once("close", done));
  const err = lines.join("\n");
  return { code, err, trades: tradesSchema.parse(JSON.parse(await readFile(out, "utf8"))) };
}

const LIMIT = { instrument: "WTI", type: "limit", volume: 1 };
const ON = ["--network", "local"];

test("a file of orders trades, is settled on chain, and tells of a refused order with exit code 3 [RUN-1, RUN-4]", async () => {
  const file = {
    ada: [{ ...LIMIT, side: "sell", price: 70_000 }],
    bela: [
      { ...LIMIT, side: "buy", price: 70_000 },
      { ...LIMIT, side: "buy", price: 99_000 },
    ],
  };
  const { code, err, trades } = await run(file, ON);
  assert.equal(code, 3, err);
  const { clients, summary, status } = trades;
  assert.deepEqual([status, summary.trades, summary.contracts, summary.refused], ["complete", 1, 1, 1]);
  const [sold, bought] = [clients["ada"]?.orders[0]?.fills[0], clients["bela"]?.orders[0]?.fills[0]];
  assert.deepEqual([sold?.role, bought?.role, sold?.seq, sold?.n], ["maker", "taker", bought?.seq, bought?.n]);
  assert.equal(clients["ada"]?.after?.positions.find(({ slot }) => slot === 3)?.position, -1);
});

test("the next run goes on with the same accounts, and its linked orders share a proof [RUN-3, RUN-4, RUN-6]", async () => {
  const bid = { ...LIMIT, side: "buy", price: 69_000 };
  const file = `{ "7": ${JSON.stringify([bid])}, "ada": ${JSON.stringify([bid, bid, bid])}, "3": [] }`;
  const { code, err, trades } = await run(file, [...ON, "--linked"]);
  assert.equal(code, 0, err);
  const { clients, summary } = trades;
  assert.deepEqual([clients["ada"]?.account, clients["7"]?.account, clients["3"]?.account], [0, 2, 3]);
  assert.equal(clients["ada"]?.before?.positions.find(({ slot }) => slot === 3)?.position, -1);
  assert.equal(summary.acknowledged, 4);
  assert.equal(new Set(clients["ada"].orders.map(({ ticketId }) => ticketId)).size, 3);
  assert.match(err, /proving that the accounts can pay \(1 of 2\)/, "two proofs for four orders");
});

test("a run on a network of its own that Ctrl-C ends leaves what happened until then [RUN-5]", async () => {
  const bids = Array.from({ length: 16 }, () => ({ ...LIMIT, side: "buy", price: 69_000 }));
  const { code, err, trades } = await run({ ada: bids }, ["--local", "--linked"], (line, end) => {
    if (line.startsWith("placing orders (3 ")) end();
  });
  assert.equal(code, 130, err);
  assert.match(err, /What happened until the run ended is written/);
  assert.equal(trades.status, "interrupted");
  assert.equal(trades.failure?.code, "Interrupted");
  const states = trades.clients["ada"]?.orders.map(({ status }) => status) ?? [];
  assert.equal(states.length, 16);
  assert.deepEqual(states.slice(0, 3), ["open", "open", "open"]);
  assert.equal(states.at(-1), "unsent");
  assert.equal(trades.clients["ada"]?.before?.positions.length, 0);
});

test("a run that cannot begin leaves the trades of the last one as they are [RUN-2, RUN-5]", async () => {
  const before = await readFile(join(home, "trades.json"), "utf8");
  const { code } = await run({ ada: [{ ...LIMIT, instrument: "GOLD", side: "buy", price: 1 }] }, ON);
  assert.equal(code, 2);
  const twice = await run('{ "ada": [], "ada": [] }', ON);
  assert.match(twice.err, /client "ada": it is there twice/);
  assert.equal(await readFile(join(home, "trades.json"), "utf8"), before);
  assert.throws(() => writeResult(join(home, "nowhere", "trades.json"), ""), /cannot be written/);
  writeResult(join(home, "trades.json"), "new");
  assert.equal((await stat(join(home, "trades.json"))).size, 3);
});
