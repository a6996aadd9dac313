import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, test } from "node:test";
import { z } from "zod";
import type { localSchema } from "../../src/cli/localRun.ts";
import { localSchema as schema } from "../../src/cli/localRun.ts";
import { connectExchange } from "../../src/api/client.ts";
import { LOCAL_MARKETS } from "../../src/clearing/localMarkets.ts";
import { FIRST_MARKET, FIRST_STEPS } from "../../src/cli/firstSteps.ts";
import { planBots } from "../../src/cli/localBots.ts";
import { fillFromFaucet, NoFaucet } from "../../src/trader/faucet.ts";
import { contractName } from "../../src/trader/markets.ts";

const MAIN = resolve(import.meta.dirname, "../../src/cli/main.ts");
const EXAMPLE = resolve(import.meta.dirname, "../../scripts/examples/bots.json");
let home = "";
let local: ChildProcess;
let said: z.infer<typeof localSchema>;

before(async () => {
  home = await mkdtemp(join(tmpdir(), "hedgerow-test-"));
  // Of the example's bots the one that makes the market: a lean crowd.
  const { bots, ...common } = z
    .looseObject({ bots: z.array(z.looseObject({ strategy: z.string() })) })
    .parse(JSON.parse(await readFile(EXAMPLE, "utf8")));
  const lean = join(home, "maker.json");
  await writeFile(lean, JSON.stringify({ ...common, bots: bots.filter(({ strategy }) => strategy === "marketMaker") }));
  local = spawn(process.execPath, [MAIN, "local", "--json", "--bots", lean, "--home", home], {
    stdio: ["ignore", "pipe", "inherit"],
  });
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

/** The local node under another name. */
async function nodeThatSays(version: string): Promise<{ url: string; close: () => void; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      const body = Buffer.concat(chunks).toString("utf8");
      const { id, method } = z.object({ id: z.int(), method: z.string() }).parse(JSON.parse(body));
      asked.push(method);
      response.setHeader("content-type", "application/json");
      if (method === "web3_clientVersion") {
        response.end(JSON.stringify({ jsonrpc: "2.0", id, result: version }));
        return;
      }
      const headers = { "content-type": "application/json" };
      fetch(said.network.chain, { method: "POST", headers, body })
        .then(async (answer) => {
          response.end(await answer.text());
        })
        .catch(() => response.destroy());
    });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  assert(typeof address === "object" && address !== null);
  return {
    url: `http://127.0.0.1:${address.port}`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
    asked,
  };
}

test("the faucet is for local development nodes only, and sends nothing to another [NET-2]", async () => {
  const somebody = "0x00000000000000000000000000000000000000a1";
  await assert.rejects(fillFromFaucet({ ...said.network, chainId: 1 }, somebody, 1n), NoFaucet);
  const node = await nodeThatSays("Geth/v1.14.0");
  try {
    await assert.rejects(
      fillFromFaucet({ ...said.network, chain: node.url }, somebody, 1n),
      /no local development node/,
    );
    assert.deepEqual(node.asked, ["eth_chainId", "web3_clientVersion"]);
  } finally {
    node.close();
  }
});

test("bots of a file that cannot be used are refused before anything starts [NET-4]", async () => {
  const file = join(home, "bots.json");
  await writeFile(
    file,
    JSON.stringify({ seed: 1, market: "gold", bots: [{ name: "a", strategy: "random", stake: "1" }] }),
  );
  const { code, out, err } = await hedgerow("local", "--bots", file);
  assert.equal(code, 2);
  assert.equal(out, "");
  assert.match(err, /trade in "gold".*LEAN HOGS FEB/);
});

test("the first steps, typed where bots quote, lead to a filled order [NET-4, NET-5]", async () => {
  assert.equal(planBots(undefined, LOCAL_MARKETS).market, LOCAL_MARKETS[0]);
  assert.equal(contractName(LOCAL_MARKETS[0]?.contractId ?? "0x").replaceAll(" ", "-"), FIRST_MARKET);
  const client = connectExchange(said.network.exchange);
  for (let isTwoSided = false; !isTwoSided;) {
    await sleep(200);
    const { bids, asks } = await client.fetchOrderBook(0);
    isTwoSided = bids.length > 0 && asks.length > 0;
  }
  client.close();
  const password = join(home, "password");
  await writeFile(password, "four words are enough\n", { mode: 0o600 });
  // The first one runs already. Where nobody sits at a terminal, the phrase goes to a file.
  const phrase = ["--phrase-out", join(home, "phrase")];
  for (const [typed] of FIRST_STEPS.slice(1)) {
    const args = [...typed.split(" ").slice(1), "--password-file", password];
    const { code, out, err } = await hedgerow(...args, ...(typed.includes("wallet new") ? phrase : []));
    assert.equal(code, 0, `${typed}: ${err}`);
    if (typed.includes("buy")) assert.match(out, /state +filled/);
    if (typed.includes("balance")) assert.match(out, /LEAN HOGS FEB +0 +1 /);
  }
});

test("Ctrl-C ends bots, exchange and chain with exit code 130 [NET-3]", async () => {
  local.kill("SIGINT");
  const ended: unknown[] = await once(local, "exit");
  assert.equal(ended[0], 130);
  await assert.rejects(fetch(said.network.exchange));
  await assert.rejects(fetch(said.network.chain));
});
