import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";

import { DOLLAR, priceOfMilliCents } from "../../src/clearing/leanHogs.ts";
import { newSeedPhrase } from "../../src/protocol/keys.ts";
import { type AgentClient, connectAgent } from "../../src/trader/agent/client.ts";
import type { AgentStatus } from "../../src/trader/agent/status.ts";
import type { TraderDesk } from "../../src/trader/desk.ts";
import { createWallet } from "../../src/trader/store.ts";
import { startTraderStage, type TraderStage } from "../support/traderDesk.ts";
import { openEpoch } from "../support/openEpoch.ts";

const MAIN = resolve(import.meta.dirname, "../support/agentMain.fixture.ts");
const PASSWORD = "a password for tests";
const dollars = (amount: bigint): string => (amount * DOLLAR).toString();

let stage: TraderStage;
let home = "";
let wallet = "";
let maker: TraderDesk;
let child: ChildProcess | undefined;
let output = "";

before(async () => {
  stage = await startTraderStage({ windowA: 3_000, windowB: 3_000, windowBlocks: 2 });
  home = join(stage.directory, "home");
  wallet = join(home, "wallets", "trader");
  mkdirSync(join(home, "networks"), { recursive: true });
  writeFileSync(join(home, "settings.json"), JSON.stringify({ network: "test", wallet: "trader" }));
  writeFileSync(join(home, "networks", "test.json"), JSON.stringify(stage.network));
  writeFileSync(join(home, "password"), `${PASSWORD}\n`, { mode: 0o600 });
  const policy = { lookSeconds: 0.3, ordersSeconds: 0.5, closeTickets: false, safetySeconds: 100 };
  writeFileSync(join(home, "policy.json"), JSON.stringify(policy));
  const created = await createWallet(wallet, newSeedPhrase(), PASSWORD, { scryptN: 1_024 });
  created.close();
  maker = await stage.desk("maker");
  await maker.run("deposit", { amount: dollars(100_000n), faucet: true });
});
after(async () => {
  child?.kill("SIGKILL");
  await maker.close();
  await stage.stop();
});

/** Starts `hedgerow agent` as a process of its own and waits until it listens. */
async function startAgent(): Promise<AgentClient> {
  const options = ["--home", home, "--password-file", join(home, "password"), "--policy", join(home, "policy.json")];
  const started = spawn(process.execPath, [MAIN, "agent", ...options, "--json"], { stdio: ["ignore", "pipe", "pipe"] });
  child = started;
  output = "";
  for (const stream of [started.stdout, started.stderr]) {
    stream.on("data", (chunk: Buffer) => (output += chunk.toString("utf8")));
  }
  for (let i = 0; ; i++) {
    assert.ok(i < 600 && started.exitCode === null, `the agent did not start:\n${output}`);
    const client = await connectAgent(join(wallet, "agent.sock"));
    if (client !== undefined) return client;
    await new Promise((done) => setTimeout(done, 100));
  }
}

async function status(client: AgentClient, holds: (status: AgentStatus) => boolean): Promise<AgentStatus> {
  for (let i = 0; ; i++) {
    const now = await client.status();
    if (holds(now)) return now;
    assert.ok(i < 600, `it never came about: ${JSON.stringify(now)}\n${output.slice(-4_000)}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

/** Moves the chain to closing time; the exchange closes the day. */
async function closeDay(client: AgentClient): Promise<void> {
  const { local } = stage;
  const { closingTime } = await local.chain.house.read.epochOf([(await client.status()).epoch]);
  await local.advanceTime(Number(closingTime - (await local.now())) + 1);
  await status(client, ({ phase }) => phase === "window");
}

/** Lets the chain go on in steps that leave room for the work, until something holds. */
async function goOn(client: AgentClient, holds: (status: AgentStatus) => boolean): Promise<void> {
  for (let i = 0; !holds(await client.status()); i++) {
    assert.ok(i < 60, `it never came about: ${JSON.stringify(await client.status())}\n${output.slice(-4_000)}`);
    const [next] = (await client.status()).duties;
    const wait = next === undefined ? 0 : next.at - Number(await stage.local.now());
    // Up to the next duty, and then a second at a time.
    await stage.local.advanceTime(wait > 5 ? wait : 1);
    await new Promise((done) => setTimeout(done, 500));
  }
}

async function openDay(): Promise<void> {
  const { local } = stage;
  const sender = await local.fundedSender(0n);
  const [epoch] = await local.chain.house.read.clock();
  const { closedAt } = await local.chain.house.read.epochOf([epoch]);
  const { windowA, windowB } = local.terms;
  const opening = closedAt + BigInt(windowA + windowB);
  const now = await local.now();
  if (now < opening) await local.advanceTime(Number(opening - now));
  await openEpoch(local, sender);
}

const renewals = (client: AgentClient): Promise<number> =>
  client.run("history", {}).then((entries) => entries.filter(({ kind }) => kind === "renew").length);

test("an agent brings a trader through two days, killed in between: tickets closed, renewed once a day, with an exchange and without, nothing lost [AGT-1, AGT-2, AGT-6, AGT-8, AGT-10, AGT-11]", async () => {
  let client = await startAgent();
  await client.run("deposit", { amount: dollars(50_000n), faucet: true });
  const at = priceOfMilliCents(80_000).toString();
  const placed = await client.run("place", { orders: [{ slot: 0, side: "buy", quantity: 2, limitPrice: at }] });
  assert.equal(placed[0]?.order?.status, "open");
  const [sold] = await maker.run("place", { orders: [{ slot: 0, side: "sell", quantity: 1, limitPrice: at }] });
  assert.equal(sold?.order?.filled, 1);
  await status(
    client,
    ({ openTickets, liveOrders, margin }) => openTickets === 1 && liveOrders === 1 && margin !== null,
  );

  await closeDay(client);
  await goOn(client, ({ openTickets, phase }) => openTickets === 0 && phase === "window");
  assert.deepEqual(
    (await client.run("balance", {})).positions.map(({ inAccount, inTickets }) => [inAccount, inTickets]),
    [[1, 0]],
  );

  // Killed in the middle of the window: the next one goes on.
  child?.kill("SIGKILL");
  await client.ended;
  assert.ok(existsSync(join(wallet, "agent.sock")));
  client = await startAgent();
  await goOn(client, ({ duties, phase }) => phase === "window" && duties.length === 0);
  assert.equal((await client.run("balance", {})).seat.epoch, 2);
  await openDay();

  await status(client, ({ epoch, phase }) => epoch === 2 && phase === "trading");
  assert.equal((await client.run("tickets", {})).length, 0);
  await client.run("openTickets", { slot: 0, count: 2, cash: dollars(1_000n) });
  await status(client, ({ openTickets }) => openTickets === 2);
  await closeDay(client);
  await goOn(client, ({ openTickets, phase }) => openTickets === 0 && phase === "window");

  // Without an exchange the agent waits, and renews directly before it is too late.
  await stage.exchange.kill();
  const [renewal] = (await status(client, ({ exchangeReachable }) => !exchangeReachable)).duties.slice(-1);
  assert.ok(renewal?.kind === "renew" && renewal.deadline !== null);
  await stage.local.mine(2);
  await stage.local.advanceTime(renewal.deadline - Number(await stage.local.now()) - 130);
  await status(client, ({ duties }) => duties.length === 0);
  assert.equal((await client.run("balance", {})).seat.epoch, 3);
  await stage.restartExchange();
  assert.equal(await renewals(client), 2);
  await openDay();
  await status(client, ({ epoch, seat }) => epoch === 3 && seat === "active");
  const entries = await client.run("history", {});
  assert.ok(entries.every(({ kind }) => kind !== "ticket-left-over" && kind !== "bond-forfeited"));

  const running = child;
  assert.ok(running !== undefined);
  const ended = once(running, "exit");
  running.kill("SIGTERM");
  assert.deepEqual(await ended, [0, null], output.slice(-3_000));
  assert.equal(existsSync(join(wallet, "agent.sock")), false);
  assert.doesNotMatch(output, new RegExp(PASSWORD));
});
