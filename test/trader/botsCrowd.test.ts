import assert from "node:assert/strict";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, test } from "node:test";
import { connectExchange } from "../../src/api/client.ts";
import { type Crowd, startCrowd } from "../../src/trader/bots/crowd.ts";
import { parseCrowdConfig } from "../../src/trader/bots/config.ts";
import { openWallet } from "../../src/trader/store.ts";
import { sharedProver } from "../support/prover.ts";
import { startTraderStage, type TraderStage } from "../support/traderDesk.ts";

const PASSWORD = "a password for tests";
const CONFIG = {
  seed: 7,
  market: "lean-hogs",
  stepMs: 100,
  ordersPerSecond: 20,
  bots: [
    { name: "maker", strategy: "marketMaker", stake: "100000", maxPosition: 8 },
    { name: "random", strategy: "random", stake: "60000", everySeconds: 0.3, lifetimeSeconds: 1, maxPosition: 6 },
  ],
};

let stage: TraderStage;
/** Whatever a failed test leaves. */
let running: Crowd | undefined;
before(async () => (stage = await startTraderStage()));
after(async () => {
  await running?.stop(AbortSignal.abort());
  await stage.stop();
});

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let waited = 0; !holds(); waited += 50) {
    assert(waited < 60_000, `${what} does not come about`);
    await sleep(50);
  }
}

/** Contracts that a bot has receipts for. */
async function receiptsOf(name: string): Promise<number> {
  const wallet = await openWallet(join(stage.directory, "bots", name), PASSWORD);
  const kept = wallet.receipts(stage.local.chain).list();
  wallet.close();
  return kept.reduce(
    (sum, { signed: { receipt } }) => sum + (receipt.kind.startsWith("executed") ? receipt.quantity : 0),
    0,
  );
}

test("a crowd trades with real proofs and ends with its tickets closed, its receipts kept and its losses equal to its fees [BOT-13, BOT-16, BOT-17]", async () => {
  const config = parseCrowdConfig(JSON.stringify(CONFIG));
  const prover = await sharedProver();
  const crowd = await startCrowd({
    network: stage.network,
    config,
    home: stage.directory,
    password: PASSWORD,
    prover,
  });
  running = crowd;
  await until("a trade of both", () => crowd.reports().every(({ fills }) => fills >= 3));
  const client = connectExchange(stage.network.exchange);
  const { bids, asks } = await client.fetchOrderBook(0);
  client.close();
  assert(bids.length > 0 && asks.length > 0, "the book has two sides");

  const summary = await crowd.stop();
  running = undefined;
  assert.deepEqual(
    summary.bots.map(({ state, openTickets, quotes }) => ({ state, openTickets, quotes })),
    summary.bots.map(() => ({ state: "stopped", openTickets: 0, quotes: 0 })),
    JSON.stringify(summary.bots.map(({ problem }) => problem)),
  );
  assert.equal(
    summary.bots.reduce((sum, { position }) => sum + position, 0),
    0,
  );
  assert(summary.fees !== undefined && summary.fees > 0n);
  assert.equal(summary.profit, -summary.fees);
  for (const { name, contracts } of summary.bots) assert.equal(await receiptsOf(name), contracts, name);
});
