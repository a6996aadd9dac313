import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ChainState } from "../../src/chain/chainState.ts";
import { closeEpoch, connect, senderOf } from "../../src/chain/clearingHouse.ts";
import { DOLLAR, priceOfMilliCents } from "../../src/clearing/leanHogs.ts";
import { accountKeys, addressOf, newSeedPhrase } from "../../src/protocol/keys.ts";
import { directConnections, proxiedConnections } from "../../src/trader/connections.ts";
import { TraderDesk } from "../../src/trader/desk.ts";
import { Interrupted } from "../../src/trader/desk/reach.ts";
import { fillFromFaucet } from "../../src/trader/faucet.ts";
import { proxyAt } from "../../src/trader/proxy.ts";
import { lifeOf } from "../../src/trader/reports/life.ts";
import { readRelayFee } from "../../src/trader/reports/reader.ts";
import { createWallet } from "../../src/trader/store.ts";
import { resumeWorked, workOrder } from "../../src/trader/worked.ts";
import { freshAddress } from "../support/desk.ts";
import { type Asked, type RecordingNode, startRecordingNode } from "../support/recordingNode.ts";
import { startSocksServer } from "../support/socksServer.ts";
import { startUnprovenStage, type UnprovenStage } from "../support/unprovenStage.ts";
import { unprovenProver } from "../support/unprovenExchange.ts";
import { openEpoch } from "../support/openEpoch.ts";

const dollars = (amount: bigint): string => (amount * DOLLAR).toString();

let stage: UnprovenStage;
let node: RecordingNode;
let observed: RecordingNode;
let directory: string;
let desk: TraderDesk;
const phrase = newSeedPhrase();
before(async () => {
  stage = await startUnprovenStage();
  [node, observed] = [await startRecordingNode(stage.x.url), await startRecordingNode(stage.x.url)];
  directory = await mkdtemp(join(tmpdir(), "hedgerow-privacy-"));
  const network = { ...stage.network, chain: node.url };
  desk = await TraderDesk.open({
    wallet: await createWallet(join(directory, "wallet"), phrase, "a password for tests", { scryptN: 1_024 }),
    network,
    chain: await ChainState.follow(await connect(node.url, network.clearingHouse, network.chainId)),
    prover: unprovenProver,
    connections: directConnections(network.exchange),
  });
});
after(async () => {
  await desk.close();
  node.stop();
  observed.stop();
  await stage.stop();
  await rm(directory, { recursive: true, force: true });
});

/** What goes with a transaction of one's own, and tells the node no more than the transaction does. */
const OF_SENDING: ReadonlySet<string> = new Set([
  "eth_estimateGas",
  "eth_fillTransaction",
  "eth_getTransactionCount",
  "eth_maxPriorityFeePerGas",
  "eth_gasPrice",
  "eth_feeHistory",
  "eth_sendRawTransaction",
  "eth_getTransactionReceipt",
  "eth_blockNumber",
  // Of a local chain's faucet.
  "eth_getBalance",
  "hardhat_setBalance",
  // The faucet asks first whether this is a development node.
  "web3_clientVersion",
  "hardhat_metadata",
]);

/** A question without the block that it is about, and without the day. */
function shapeOf({ method, params }: Asked): string {
  return `${method} ${JSON.stringify(params)}`
    .replaceAll(/"data":"(0x[0-9a-f]{8})[0-9a-f]*"/g, '"data":"call $1"')
    .replaceAll(/"(0x[0-9a-f]{1,12}|latest)"/g, '"#"')
    .replaceAll(/"(blockHash)":"0x[0-9a-f]{64}"/g, '"$1":"#"')
    .replaceAll('"fromBlock":"#","toBlock":"#"', '"blockHash":"#"')
    .replaceAll(/\["0x[0-9a-f]{64}",false\]/g, '["#",false]');
}

test("a trader asks a node what a mere observer asks, except for the transactions it sends [PRI-7] [PRI-19]", async () => {
  const { x } = stage;
  const observer = await ChainState.follow(await connect(observed.url, x.chain.address, Number(x.chain.chainId)));
  // What everybody may want to know, whatever they do: the house's terms, its token, the hours of the day.
  await readRelayFee(observer);
  await observer.chain.house.read.token();
  await observer.chain.house.read.epochOf([observer.epoch]);
  await observer.readBlockTimes();

  // A day of a trader.
  await desk.run("deposit", { amount: dollars(50_000n), faucet: true });
  const limitPrice = priceOfMilliCents(80_000).toString();
  const [sold] = await desk.run("place", { orders: [{ slot: 0, side: "sell", quantity: 2, limitPrice }] });
  const [bought] = await desk.run("place", { orders: [{ slot: 0, side: "buy", quantity: 2, limitPrice }] });
  assert.deepEqual([sold?.refusal, bought?.refusal], [null, null]);
  await desk.run("withdraw", { amount: dollars(1_000n), to: freshAddress() });
  await desk.run("closeTickets", {});
  for (const view of ["balance", "tickets", "history", "statement", "privacy"] as const) await desk.run(view, {});
  await desk.run("orders", { all: true });
  await observer.sync();

  // The evening.
  const epoch = await x.chain.house.read.epochOf([x.state.epoch]);
  await x.advanceTime(Number(epoch.closingTime - (await x.now())));
  await closeEpoch(x.chain, x.operator).catch(() => undefined);
  await observer.sync();
  await desk.account.sync();
  await x.mine(x.terms.windowBlocks);
  await x.advanceTime(x.terms.windowA);
  await desk.run("renew", { direct: true });
  await x.advanceTime(x.terms.windowB);
  await openEpoch(x, x.operator).catch(() => undefined);
  await observer.sync();
  await desk.run("balance", {});
  await desk.run("seat", { action: "sleep" });
  await observer.sync();

  const shapes = new Set(observed.asked.map(shapeOf));
  const strange = (): readonly string[] =>
    node.asked
      .filter(({ method }) => !OF_SENDING.has(method))
      .map(shapeOf)
      .filter((shape) => !shapes.has(shape));
  assert.deepEqual([...new Set(strange())], []);

  // Nothing of its own is named in any question but in a transaction's own data.
  const { account } = desk;
  const life = lifeOf(desk.reader);
  const hexOf = (value: bigint): string => value.toString(16).padStart(64, "0");
  const keys = accountKeys(phrase, desk.accountNumber);
  const names = [hexOf(keys.ownerKey), hexOf(keys.viewingKey), hexOf(keys.spendingKey)];
  for (const { event, ticketId } of life.happenings) {
    if (ticketId !== undefined) names.push(ticketId.slice(2));
    if (event.eventName !== "Transitioned") continue;
    names.push(hexOf(event.args.nullifier), hexOf(event.args.newNote));
  }
  for (const { sessionKey } of account.chain.tickets.values()) names.push(sessionKey.slice(2).toLowerCase());
  names.push(...account.state.creditKeys.map((key) => key.slice(2).toLowerCase()));
  assert(life.happenings.length >= 8 && names.length > 20);
  const telling = (): readonly Asked[] =>
    node.asked.filter(({ method, params }) => {
      if (["eth_estimateGas", "eth_sendRawTransaction"].includes(method)) return false;
      const text = JSON.stringify(params).toLowerCase();
      return names.some((name) => text.includes(name));
    });
  assert.deepEqual(telling(), []);

  // A question about a seat of one's own would have been seen.
  await desk.chain.chain.house.read.seatOf([keys.ownerKey]);
  assert.deepEqual([strange().length, telling().length], [1, 1]);
});

test("a desk behind a proxy trades through it alone, and does nothing without it [PRI-13] [PRI-14]", async () => {
  const socks = await startSocksServer();
  const proxy = proxyAt(socks.url);
  // Two nodes, to tell reading from sending.
  const network = { ...stage.network, chain: node.url, proxy: socks.url };
  const from = node.asked.length;
  const chain = await connect(network.chain, network.clearingHouse, network.chainId, proxy.node());
  const wallet = await createWallet(join(directory, "proxied"), newSeedPhrase(), "a password for tests", {
    scryptN: 1_024,
  });
  const hidden = await TraderDesk.open({
    wallet,
    network,
    chain: await ChainState.follow(chain),
    prover: unprovenProver,
    connections: proxiedConnections(network.exchange, proxy),
    sender: senderOf(observed.url, chain.chainId, wallet.fundingKey(), undefined, proxy.node()),
    patience: { asking: 500 },
  });
  try {
    await fillFromFaucet(stage.network, addressOf(wallet.fundingKey()), 100_000n * DOLLAR);
    await hidden.run("deposit", { amount: dollars(50_000n) });
    const limitPrice = priceOfMilliCents(79_000).toString();
    const orders = [1, 2].map((quantity) => ({ slot: 0, side: "buy" as const, quantity, limitPrice }));
    const placed = await hidden.run("place", { orders, tickets: "fresh" });
    assert.deepEqual(
      placed.map(({ order }) => order?.status),
      ["open", "open"],
    );
    const port = Number(new URL(network.exchange).port);
    const users = new Set(socks.requests.filter((request) => request.port === port).map(({ user }) => user));
    // The deposit's transition, two openings, two tickets.
    assert(users.size >= 5, `${users.size} identities`);
    const toNode = new Set(socks.requests.filter((request) => request.port !== port).map(({ user }) => user));
    assert.equal(toNode.size, 2);
    assert([...toNode].every((user) => !users.has(user)));
    const reading = node.asked.slice(from);
    assert.deepEqual(
      [...new Set(reading.map(({ method }) => method))].filter((method) => OF_SENDING.has(method)),
      [],
    );
    const address = addressOf(wallet.fundingKey()).slice(2).toLowerCase();
    assert(!JSON.stringify(reading).toLowerCase().includes(address));

    await socks.stop();
    const questions = (): number => node.asked.length + observed.asked.length;
    const [asked, queued] = [questions(), hidden.chain.newestBlock.number];
    await assert.rejects(hidden.run("place", { orders }), { code: "ProxyUnreachable" });
    await assert.rejects(hidden.run("withdraw", { amount: dollars(1n), to: freshAddress() }), {
      code: "ProxyUnreachable",
    });
    assert.equal(hidden.chain.newestBlock.number, queued);
    assert.equal(questions(), asked);
  } finally {
    await hidden.close();
    proxy.close();
    await socks.stop();
  }
});

test("nothing leaves before its moment has come: no deposit, and nothing that goes straight to the chain [PRI-16]", async () => {
  const network = { ...stage.network, chain: observed.url };
  let isEarly = false;
  const patient = await TraderDesk.open({
    wallet: await createWallet(join(directory, "patient"), newSeedPhrase(), "a password for tests", { scryptN: 1_024 }),
    network,
    chain: await ChainState.follow(await connect(node.url, network.clearingHouse, network.chainId)),
    prover: unprovenProver,
    connections: directConnections(network.exchange),
    beforeSending: () => (isEarly ? Promise.reject(new Interrupted()) : Promise.resolve()),
  });
  try {
    await patient.run("deposit", { amount: dollars(1_000n), faucet: true });
    isEarly = true;
    const sent = (): number => observed.asked.filter(({ method }) => method === "eth_sendRawTransaction").length;
    const before = sent();
    assert(before > 0);
    await assert.rejects(patient.run("deposit", { amount: dollars(1_000n), faucet: true }), Interrupted);
    for (const direct of [true, false]) {
      const withdrawal = { amount: dollars(1n), to: freshAddress(), direct };
      await assert.rejects(patient.run("withdraw", withdrawal), Interrupted);
    }
    assert.equal(sent(), before);
    assert.deepEqual(await patient.run("catchUp", {}), { resent: 0, abandoned: 0, ordersFound: 0, notes: [] });
  } finally {
    await patient.close();
  }
});

test("a proxy that goes away while a transition is waited for takes nothing back: it lands [PRI-14]", async () => {
  const socks = await startSocksServer();
  const proxy = proxyAt(socks.url);
  const { network } = stage;
  const hidden = await TraderDesk.open({
    wallet: await createWallet(join(directory, "away"), newSeedPhrase(), "a password for tests", { scryptN: 1_024 }),
    network,
    chain: await ChainState.follow(await connect(network.chain, network.clearingHouse, network.chainId)),
    prover: unprovenProver,
    connections: proxiedConnections(network.exchange, proxy),
    patience: { asking: 500, resending: 50 },
  });
  try {
    await hidden.run("deposit", { amount: dollars(1_000n), faucet: true });
    stage.hold();
    const stopped = Promise.withResolvers<boolean>();
    const asked = Promise.withResolvers<boolean>();
    const withdrawing = hidden.run(
      "withdraw",
      { amount: dollars(1n), to: freshAddress() },
      {
        onProgress: ({ text }) => {
          if (text.startsWith("waiting until the chain shows")) stopped.resolve(socks.stop().then(() => true));
          if (text.includes("does not answer")) asked.resolve(true);
        },
      },
    );
    await Promise.race([Promise.all([stopped.promise, asked.promise]), withdrawing]);
    stage.post();
    assert.equal((await withdrawing).status, "landed");
  } finally {
    stage.post();
    await hidden.close();
    proxy.close();
    await socks.stop();
  }
});

test("an order is worked on tickets of their own, and the book never shows more than a part [PRI-17]", async () => {
  const [seller, buyer] = [await stage.desk("seller"), await stage.desk("buyer")];
  try {
    await seller.run("deposit", { amount: dollars(100_000n), faucet: true });
    await buyer.run("deposit", { amount: dollars(100_000n), faucet: true });
    const limitPrice = priceOfMilliCents(80_500).toString();
    await seller.run("place", { orders: [{ slot: 0, side: "sell", quantity: 3, limitPrice }] });
    const shown: number[] = [];
    const looking = setInterval(() => {
      void buyer.connections.common.fetchOrderBook(0).then(({ bids }) => {
        shown.push(bids.find(({ price }) => price.toString() === limitPrice)?.quantity ?? 0);
      });
    }, 50);
    const abort = new AbortController();
    const report = await workOrder(
      buyer,
      { slot: 0, side: "buy", quantity: 6, limitPrice, shown: 2, jitter: 50 },
      {
        pause: { fromMs: 0, toMs: 20 },
        look: { fromMs: 100, toMs: 200 },
        signal: abort.signal,
        // Nobody sells the rest.
        onProgress: ({ stage: at, done = 0 }) => at === "waiting" && done >= 3 && abort.abort(),
      },
    );
    clearInterval(looking);
    assert.deepEqual(
      [report.status, report.reason?.code, report.filled, report.live],
      ["stopped", "Interrupted", 3, null],
    );
    assert(shown.length > 0 && shown.every((quantity) => quantity <= 3));
    const parts = await buyer.run("orders", { all: true });
    assert.deepEqual([parts.length, new Set(parts.map(({ ticketId }) => ticketId)).size], [report.parts, report.parts]);
    assert.deepEqual(await buyer.run("orders", {}), []);
    // Resumed, the part that was cut off counts with what the chain shows of its ticket.
    await seller.run("place", { orders: [{ slot: 0, side: "sell", quantity: 3, limitPrice }] });
    const look = { fromMs: 100, toMs: 200 };
    const resumed = await resumeWorked(buyer, report.id, { pause: { fromMs: 0, toMs: 20 }, look });
    assert.deepEqual([resumed.status, resumed.filled, resumed.averagePrice], ["filled", 6, limitPrice]);
    const fills = (await buyer.run("history", {})).filter(({ kind }) => kind === "fill");
    assert(fills.reduce((sum, { position }) => sum + position, 0) <= 6);
  } finally {
    await seller.close();
    await buyer.close();
  }
});
