import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connectExchange } from "../../src/api/client.ts";
import { type LocalExchange, startLocalExchange } from "../../src/chain/localExchange.ts";
import { NotStarted } from "../../src/chain/ownProcess.ts";
import { DEMO_CLEARING_TERMS, LEAN_HOG_TERMS } from "../../src/clearing/leanHogs.ts";
import { type ExchangeProcessOptions, startExchangeProcess } from "../../src/exchange/exchangeProcess.ts";

let local: LocalExchange;
let directory = "";
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "hedgerow-test-"));
  local = await startLocalExchange({ clearingTerms: DEMO_CLEARING_TERMS, markets: [LEAN_HOG_TERMS] });
});
after(async () => {
  await local.stop();
  await rm(directory, { recursive: true });
});

function optionsIn(name: string): ExchangeProcessOptions {
  const { url, chain, operatorKey } = local;
  return { chainUrl: url, clearingHouse: chain.address, operatorKey, directory: join(directory, name), batchMs: 200 };
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function isGone(pid: number): Promise<boolean> {
  for (let waited = 0; waited < 10_000; waited += 50) {
    if (!isAlive(pid)) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
}

test("an exchange of its own opens, keeps its key to itself, is killed, comes back on its port, and ends in order [DEV-5, JRN-5, JRN-10]", async () => {
  const options = optionsIn("story");
  const first = await startExchangeProcess(options);
  assert.equal((await stat(join(options.directory, "operator.key"))).mode & 0o777, 0o600);
  const client = connectExchange(first.url);
  assert.equal((await client.fetchEpoch()).phase, "trading");
  await assert.rejects(startExchangeProcess(options), (error) => {
    assert(error instanceof NotStarted);
    assert.match(error.message, /JournalInUse/);
    return true;
  });
  await first.kill();
  assert.equal(isAlive(first.pid), false);

  const second = await startExchangeProcess({ ...options, port: first.port });
  assert.deepEqual([second.url, second.operator], [first.url, first.operator]);
  assert.equal((await client.fetchEpoch()).epoch, 1);
  client.close();
  await second.stop();
  await second.stop();
  assert.equal(isAlive(second.pid), false);
});

test("an exchange that sees the chain's clock move tells the time at once, though nothing happens [CHN-13]", async () => {
  const exchange = await startExchangeProcess(optionsIn("clock"));
  const client = connectExchange(exchange.url);
  await local.advanceTime(600);
  const time = await local.now();
  for (let waited = 0; (await client.fetchEpoch()).time < time; waited += 50) {
    assert(waited < 10_000, "the exchange's clock stands still");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  client.close();
  await exchange.stop();
});

test("an exchange ends with the process that started it, even a killed one [DEV-1, DEV-5]", async () => {
  const module = JSON.stringify(import.meta.resolve("../../src/exchange/exchangeProcess.ts"));
  const program = `import { startExchangeProcess } from ${module};
    const { pid } = await startExchangeProcess(${JSON.stringify(optionsIn("orphan"))});
    console.log(pid);
    setInterval(() => undefined, 1_000);`;
  const parent = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(parent.stdout, "data")) as [Buffer];
  const pid = Number(line.toString("utf8"));
  assert(isAlive(pid));
  parent.kill("SIGKILL");
  assert(await isGone(pid));
});
