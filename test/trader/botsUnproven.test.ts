import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, test } from "node:test";
import { readTokenBalance } from "../../src/chain/clearingHouse.ts";
import { parseCrowdConfig } from "../../src/trader/bots/config.ts";
import { type Crowd, type CrowdSummary, startCrowd } from "../../src/trader/bots/crowd.ts";
import { openWallet } from "../../src/trader/store.ts";
import { unprovenProver } from "../support/unprovenExchange.ts";
import { startUnprovenStage, type UnprovenStage } from "../support/unprovenStage.ts";

const PASSWORD = "a password for tests";
const CONFIG = {
  seed: 7,
  market: "lean-hogs",
  stepMs: 50,
  ordersPerSecond: 20,
  bots: [
    { name: "maker", strategy: "marketMaker", stake: "100000", maxPosition: 8 },
    { name: "random", strategy: "random", stake: "60000", everySeconds: 0.2, lifetimeSeconds: 1, maxPosition: 6 },
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

let stage: UnprovenStage;
let home: string;
/** Whatever a failed test leaves. */
let running: Crowd | undefined;
before(async () => {
  stage = await startUnprovenStage();
  home = await mkdtemp(join(tmpdir(), "hedgerow-bots-"));
});
after(async () => {
  await running?.stop(AbortSignal.abort());
  await stage.stop();
  await rm(home, { recursive: true, force: true });
});

async function startBots(): Promise<Crowd> {
  const config = parseCrowdConfig(JSON.stringify(CONFIG));
  running = await startCrowd({ network: stage.network, config, home, password: PASSWORD, prover: unprovenProver });
  return running;
}

async function stop(crowd: Crowd, hurry?: AbortSignal): Promise<CrowdSummary> {
  running = undefined;
  return crowd.stop(hurry);
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let waited = 0; !holds(); waited += 50) {
    assert(waited < 60_000, `${what} does not come about`);
    await sleep(50);
  }
}

const fillsOf = (crowd: Crowd): number => crowd.reports().reduce((sum, { fills }) => sum + fills, 0);

async function untilFills(crowd: Crowd, more: number): Promise<void> {
  const before = fillsOf(crowd);
  await until(`${more} more fills`, () => fillsOf(crowd) >= before + more);
}

/** Contracts that a bot has receipts for. */
async function receiptsOf(name: string): Promise<number> {
  const wallet = await openWallet(join(home, "bots", name), PASSWORD);
  const kept = wallet.receipts(stage.x.chain).list();
  wallet.close();
  return kept.reduce(
    (sum, { signed: { receipt } }) => sum + (receipt.kind.startsWith("executed") ? receipt.quantity : 0),
    0,
  );
}

test("a crowd goes on over an exchange that restarts, answers that are lost and connections that break; nothing is counted twice or forgotten [BOT-13, BOT-14, BOT-15, BOT-17]", async () => {
  const crowd = await startBots();
  await untilFills(crowd, 5);
  await stage.restart();
  await untilFills(crowd, 5);
  stage.port.loseAnswers(6);
  await untilFills(crowd, 5);
  stage.port.goAway();
  await sleep(300);
  stage.port.comeBack();
  await untilFills(crowd, 5);
  for (const { position, name } of crowd.reports()) assert(Math.abs(position) <= 8, `${name} holds ${position}`);

  const summary = await stop(crowd);
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
  assert((summary.refusals["ExchangeUnreachable"] ?? 0) > 0, "the faults were noticed");
  // What traded while nobody listened is in the sums, but its receipts went with the connection; an answer comes again.
  for (const { name, strategy, contracts } of summary.bots) {
    const kept = await receiptsOf(name);
    assert(strategy === "momentum" ? kept === contracts : kept <= contracts, `${name}: ${kept} of ${contracts}`);
  }
});

test("the same crowd starts again with the same wallets and without new funds; where the node is away at the end nobody knows the fees [BOT-16, BOT-17]", async () => {
  const paidIn = await readTokenBalance(stage.x.chain);
  const crowd = await startBots();
  assert.equal(await readTokenBalance(stage.x.chain), paidIn);
  await until("trading", () => crowd.reports().every(({ state }) => state === "trading"));
  await stage.node.goAway();
  const summary = await stop(crowd, AbortSignal.timeout(1_000));
  await stage.node.comeBack();
  assert.deepEqual(
    summary.bots.map(({ state, fees }) => ({ state, fees })),
    summary.bots.map(() => ({ state: "stopped", fees: undefined })),
  );
  assert.equal(summary.fees, undefined);
  assert.equal(summary.openTickets, 3);
});
