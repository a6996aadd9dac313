import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import type { z } from "zod";
import type { localSchema } from "../../src/cli/localRun.ts";
import { localSchema as schema } from "../../src/cli/localRun.ts";
import { tradesSchema } from "../../src/cli/runReport.ts";
import { fillFromFaucet, NoFaucet } from "../../src/trader/faucet.ts";

const MAIN = resolve(import.meta.dirname, "../../src/cli/main.ts");
let home = "";
let local: ChildProcess;
let said: z.infer<typeof localSchema>;

before(async () => {
  home = await mkdtemp(join(tmpdir(), "hedgerow-test-"));
  local = spawn(process.execPath, [MAIN, "local", "--json", "--home", home], { stdio: ["ignore", "pipe", "inherit"] });
  assert(local.stdout !== null);
  const lines: unknown[] = await once(createInterface(local.stdout), "line");
  said = schema.parse(JSON.parse(String(lines[0])));
});

after(async () => {
  if (local.exitCode === null) local.kill("SIGKILL");
  await rm(home, { recursive: true, force: true });
});

function hedgerow(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((done) => {
    const child = execFile(process.execPath, [MAIN, ...args, "--home", home], (_, out, err) => {
      done({ code: child.exitCode ?? -1, out, err });
    });
  });
}

test("a local network is chosen where none was, added under another name, and refused without a house [NET-1]", async () => {
  assert.equal(said.isChosen, true);
  const { chain, exchange, clearingHouse } = said.network;
  const where = ["--chain", chain, "--exchange", exchange];
  assert.equal((await hedgerow("network", "add", "floor", ...where, "--clearing-house", clearingHouse)).code, 0);
  const other = `0x${"12".repeat(20)}`;
  const refused = await hedgerow("network", "add", "nowhere", ...where, "--clearing-house", other);
  assert.equal(refused.code, 2);
  assert.match(refused.err, /no clearing house at 0x12/);
  const wrongExchange = ["--chain", chain, "--exchange", chain, "--clearing-house", clearingHouse];
  assert.equal((await hedgerow("network", "add", "nowhere", ...wrongExchange)).code, 2);
  assert.equal((await hedgerow("network", "remove", "floor")).code, 0);
  assert.match((await hedgerow("network", "list", "--json")).out, /"name":"local".*"chosen":true/);
});

test("doctor finds a whole network, and says what it skips behind a proxy that is down [DEV-3]", async () => {
  const whole = await hedgerow("doctor");
  assert.equal(whole.code, 0, whole.out);
  assert.match(whole.out, /ok +verifying key/);
  const proxied = await hedgerow("doctor", "--proxy", "socks5h://127.0.0.1:9");
  assert.equal(proxied.code, 1);
  assert.match(proxied.out, /skipped node: the proxy is down/);
});

test("the faucet is for local chains only [NET-2]", async () => {
  await assert.rejects(
    fillFromFaucet({ ...said.network, chainId: 1 }, "0x00000000000000000000000000000000000000a1", 1n),
    NoFaucet,
  );
});

test("a file of orders trades, is settled on chain, and tells of a refused order with exit code 3 [RUN-1, RUN-4]", async () => {
  const orders = join(home, "orders.json");
  const trades = join(home, "trades.json");
  const order = { instrument: "WTI", type: "limit", volume: 1 };
  const file = {
    ada: [{ ...order, side: "sell", price: 70_000 }],
    bela: [
      { ...order, side: "buy", price: 70_000 },
      { ...order, side: "buy", price: 99_000 },
    ],
  };
  await writeFile(orders, JSON.stringify(file));
  const { code, err } = await hedgerow("run", "--json", "--orders", orders, "--trades-out", trades);
  assert.equal(code, 3, err);
  const { clients, summary } = tradesSchema.parse(JSON.parse(await readFile(trades, "utf8")));
  assert.deepEqual([summary.trades, summary.contracts, summary.refused], [1, 1, 1]);
  const [sold, bought] = [clients["ada"]?.orders[0]?.fills[0], clients["bela"]?.orders[0]?.fills[0]];
  assert.deepEqual([sold?.role, bought?.role, sold?.seq, sold?.n], ["maker", "taker", bought?.seq, bought?.n]);
  assert.equal(clients["ada"]?.after.positions.find(({ slot }) => slot === 3)?.position, -1);
});

test("Ctrl-C ends chain and exchange with exit code 130 [NET-3]", async () => {
  local.kill("SIGINT");
  const ended: unknown[] = await once(local, "exit");
  assert.equal(ended[0], 130);
  await assert.rejects(fetch(said.network.exchange));
  await assert.rejects(fetch(said.network.chain));
});
