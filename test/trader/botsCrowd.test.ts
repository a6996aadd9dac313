import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, test } from "node:test";
import { connectExchange } from "../../src/api/client.ts";
import { type Crowd, startCrowd } from "../../src/trader/bots/crowd.ts";
import { parseCrowdConfig } from "../../src/trader/bots/config.ts";
import { sharedProver } from "../support/prover.ts";
import { startTraderStage, type TraderStage } from "../support/traderDesk.ts";

let stage: TraderStage;
/** Whatever a failed test leaves. */
let running: Crowd | undefined;
before(async () => (stage = await startTraderStage()));
after(async () => {
  await running?.stop(AbortSignal.abort());
  await stage.stop();
});

const CONFIG = {
  seed: 7,
  market: "lean-hogs",
  stepMs: 100,
  ordersPerSecond: 20,
  bots: [
    { name: "maker", strategy: "marketMaker", stake: "100000", maxPosition: 8 },
    { name: "random", strategy: "random", stake: "60000", everySeconds: 0.3, lifetimeSeconds: 1, maxPosition: 6 },
    {
      name: "momentum",
      strategy: "momentum",
      stake: "60000",
      maxPosition: 4,
      thresholdTicks: 0.5,
      fastSeconds: 1,
      slowSeconds: 4,
    },
  ],
};

async function until(what: string, holds: () => boolean, seconds = 60): Promise<void> {
  for (let waited = 0; !holds(); waited += 100) {
    assert(waited < seconds * 1_000, `${what} does not come about`);
    await sleep(100);
  }
}

async function startBots(onProgress?: (text: string) => void): Promise<Crowd> {
  const config = parseCrowdConfig(JSON.stringify(CONFIG));
  const prover = await sharedProver();
  running = await startCrowd({ network: stage.network, config, home: stage.directory, prover, onProgress });
  return running;
}

test("a crowd trades with real proofs, goes on over an exchange that restarts, and ends with its tickets closed and its losses equal to its fees [BOT-13, BOT-14, BOT-15, BOT-16, BOT-17]", async () => {
  const crowd = await startBots();
  await until("trading", () => crowd.reports().every(({ state }) => state === "trading"));
  await until("ten fills", () => crowd.reports().reduce((sum, { fills }) => sum + fills, 0) >= 10);
  const client = connectExchange(stage.network.exchange);
  const { bids, asks } = await client.fetchOrderBook(0);
  client.close();
  assert(bids.length > 0 && asks.length > 0, "the book has two sides");

  await stage.restartExchange();
  const before = crowd.reports().reduce((sum, { fills }) => sum + fills, 0);
  await until(
    "fills after the restart",
    () => crowd.reports().reduce((sum, { fills }) => sum + fills, 0) >= before + 5,
  );
  for (const { position, name } of crowd.reports()) assert(Math.abs(position) <= 8, `${name} holds ${position}`);

  const summary = await crowd.stop();
  running = undefined;
  assert.deepEqual(
    summary.bots.map(({ state, openTickets, quotes, problem }) => ({
      state,
      openTickets,
      quotes,
      problem: state === "failed" ? problem : "",
    })),
    summary.bots.map(() => ({ state: "stopped", openTickets: 0, quotes: 0, problem: "" })),
  );
  assert.equal(
    summary.bots.reduce((sum, { position }) => sum + position, 0),
    0,
  );
  assert(summary.fees > 0n);
  assert.equal(
    summary.profit,
    -summary.fees,
    JSON.stringify(summary.bots.map(({ profit, fees }) => [`${profit}`, `${fees}`])),
  );
});

test("the same crowd starts again with the same wallets, which need no more funds than they lost [BOT-16]", async () => {
  const drawn: string[] = [];
  const crowd = await startBots((text) => drawn.push(text));
  const reports = crowd.reports();
  assert.deepEqual(
    reports.map(({ name }) => name),
    ["maker", "random", "momentum"],
  );
  const summary = await crowd.stop(AbortSignal.abort());
  running = undefined;
  assert(summary.bots.every(({ state }) => state === "stopped"));
});
