import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { call } from "../../src/chain/clearingHouse.ts";
import { readConservationFacts } from "../../src/chain/conservationFacts.ts";
import { DOLLAR, LEAN_HOG_TERMS, priceOfMilliCents } from "../../src/clearing/leanHogs.ts";
import { readEarlyClosing } from "../../src/clearing/closeEarly.ts";
import { runCommandLine } from "../../src/cli/commandLine.ts";
import { TERMINAL } from "../../src/cli/session.ts";
import type { Announcement } from "../../src/api/service.ts";
import { assertConserved } from "../../src/protocol/conservation.ts";
import { auctionPriceAt } from "../../src/protocol/auctionBid.ts";
import { readAuction } from "../../src/trader/auction.ts";
import type { TraderDesk } from "../../src/trader/desk.ts";
import { openEpoch } from "../support/openEpoch.ts";
import { startUnprovenStage, type UnprovenStage } from "../support/unprovenStage.ts";

// Two days of one exchange, in order: the first is locked at its limit and ends early, with a ticket that nobody closes;
// in the window of the second another trader takes over what it held. Nothing is proven; all contracts are the real ones.

const HOGS = 0;
const dollars = (amount: bigint): string => (amount * DOLLAR).toString();
const UP = priceOfMilliCents(83_000);
const LOCK = { lockTime: 300, lockNotice: 900, settlementWindow: 900 };
const CONTRACTS = 6;

let stage: UnprovenStage;
let alice: TraderDesk;
let bob: TraderDesk;
let carol: TraderDesk;
const news: Announcement[] = [];
const ending = new AbortController();
let following: Promise<void> | undefined;

before(async () => {
  stage = await startUnprovenStage({
    clearingTerms: LOCK,
    markets: [{ ...LEAN_HOG_TERMS, priceCollar: 1_200n * DOLLAR }],
  });
  [alice, bob, carol] = await Promise.all([funded("alice"), funded("bob"), funded("carol")]);
  following = follow();
});
after(async () => {
  ending.abort();
  await following;
  await Promise.all([alice, bob, carol].map((desk) => desk.close()));
  await stage.stop();
});

async function funded(name: string): Promise<TraderDesk> {
  const desk = await stage.desk(name);
  await desk.run("deposit", { amount: dollars(100_000n), faucet: true });
  return desk;
}

/** Takes down what the exchange announces, until the test ends. */
async function follow(): Promise<void> {
  for await (const event of alice.connections.common.watchAnnouncements({ signal: ending.signal })) {
    if (event.kind === "announcement") news.push(event.announcement);
  }
}

/** Waits until something holds. */
async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await holds())) {
    assert.ok(performance.now() < deadline, `waited in vain until ${what}`);
    await sleep(50);
  }
}

async function ticketOf(desk: TraderDesk): Promise<string> {
  const { tickets } = await desk.run("openTickets", { slot: HOGS, count: 1, cash: dollars(40_000n) });
  return tickets[0] ?? assert.fail("a ticket was opened");
}

async function place(desk: TraderDesk, ticket: string, side: "buy" | "sell", limitPrice: bigint, quantity = CONTRACTS) {
  const order = { slot: HOGS, side, quantity, limitPrice: limitPrice.toString() };
  const [placed] = await desk.run("place", { orders: [order], tickets: { ticket } });
  return placed ?? assert.fail("it is answered");
}

/** Runs a command on the chain alone, in this process; answers what it printed. */
async function hedgerow(...args: readonly string[]): Promise<string> {
  const said: string[] = [];
  const { url, chain } = stage.x;
  const say = (text: string): void => void said.push(text);
  const code = await runCommandLine([...args, "--chain", url, "--clearing-house", chain.address], {
    ...TERMINAL,
    print: say,
    printError: say,
  });
  assert.equal(code ?? 0, 0, said.join("\n"));
  return said.join("\n");
}

const phaseIs = (phase: "trading" | "window") => async (): Promise<boolean> => {
  await Promise.all([alice, bob, carol].map((desk) => desk.account.sync()));
  return alice.chain.phase === phase;
};

describe("a day that is locked at its limit", () => {
  let alices = "";
  let bobs = "";

  test("refuses what is beyond its collar, and is not locked before it trades at a limit [ORD-23, EPO-13]", async () => {
    await stage.x.advanceTime(LOCK.lockTime);
    [alices, bobs] = [await ticketOf(alice), await ticketOf(bob)];
    await place(alice, alices, "sell", UP);
    assert.equal((await place(bob, bobs, "buy", UP)).order?.status, "filled");
    // The last trade is 3,000 milli-cents up: the lower limit is beyond the collar now.
    const { refusal } = await place(bob, bobs, "sell", priceOfMilliCents(79_000), 1);
    assert.equal(refusal?.code, "Matching.BeyondCollar");
    assert.equal(refusal.details["worstPrice"], priceOfMilliCents(80_000).toString());
    assert.equal(refusal.details["reference"], UP.toString());
  });

  test("is ended early by anybody, with the evidence first, and the exchange follows [EPO-13, EPO-4]", async () => {
    const { x } = stage;
    await until("the fill is settled", async () => {
      await alice.account.sync();
      return alice.chain.fills.length > 0;
    });
    // Whole minutes count: the fill's own began before it.
    const evidence = await readEarlyClosing(x.chain, HOGS);
    assert.deepEqual(
      [evidence.limit, evidence.volume, evidence.average, evidence.reason],
      ["upper", BigInt(CONTRACTS), UP, undefined],
    );
    const out = await hedgerow("close-early", "--market", "lean-hogs", "--dry-run", "--json");
    const told = JSON.parse(out) as Record<string, unknown>;
    assert.deepEqual([told["limit"], told["reason"], told["transaction"]], ["upper", null, null]);
    const text = await hedgerow("close-early", "--market", "0", "--dry-run");
    assert.match(text, /all at the upper limit/);
    assert.ok(text.split("\n").every(({ length }) => length <= 80));

    const before = (await x.chain.house.read.epochOf([1])).closingTime;
    const done = JSON.parse(await hedgerow("close-early", "--market", "0", "--json")) as Record<string, unknown>;
    const { closingTime } = await x.chain.house.read.epochOf([1]);
    assert.ok(closingTime < before);
    assert.equal(done["newClosingTime"], Number(closingTime));
    assert.equal((await readEarlyClosing(x.chain, HOGS)).reason, "once");

    await until(
      "the exchange follows",
      async () => (await alice.connections.common.fetchEpoch()).closingTime === closingTime,
    );
    await until("it is announced", () => news.some((each) => each.type === "closing-moved"));
    assert.deepEqual(
      news.filter(({ type }) => type === "closing-moved"),
      [{ type: "closing-moved", epoch: 1, closingTime }],
    );
    assert.equal((await alice.run("balance", {})).closingTime, Number(closingTime));
    const { order } = await place(bob, bobs, "buy", priceOfMilliCents(80_000), 1);
    assert.equal(order?.expiry, Number(closingTime), "an order for the day ends with it");
  });

  test("takes nothing after the new end, settles what traded before it, and has a whole window [EPO-4, EPO-5, EPO-6]", async () => {
    const { x } = stage;
    const { closingTime } = await x.chain.house.read.epochOf([1]);
    await x.advanceTime(Number(closingTime - (await x.now())) + 1);
    await until("the day is closed", phaseIs("window"));
    const { closedAt } = await x.chain.house.read.epochOf([1]);
    assert.ok(
      closedAt > closingTime && closedAt < closingTime + 600n,
      "the exchange closed it by itself, in its grace",
    );
    assert.ok(alice.chain.fills.every(({ execTime }) => execTime <= closingTime));
    assert.equal((await x.chain.house.read.marketOf([1, HOGS])).settlementPrice, UP);
    await bob.run("closeTickets", {});
    // Alice's ticket is left open: she is short what bob is long.
    const opens = x.terms.windowA + x.terms.windowB;
    await x.mine(x.terms.windowBlocks);
    await x.advanceTime(x.terms.windowA);
    for (const desk of [bob, carol]) await desk.run("renew", {});
    await x.mine(2 * x.terms.windowBlocks);
    const left = Number(closedAt) + opens - Number(await x.now());
    assert.ok(left > 60, "part B is not over");
    await assert.rejects(call(x.chain, x.operator, { functionName: "openEpoch", args: [] }), { code: "TooEarly" });
    await x.advanceTime(left);
    await openEpoch(x, x.operator);
    await until("the next day trades", phaseIs("trading"));
    const [, , closeOut] = await x.chain.house.read.openPositions();
    assert.equal(closeOut[HOGS], BigInt(-CONTRACTS));
  });
});

describe("what drop-outs left", () => {
  let carols = "";

  test("is listed, and not sold while the day trades [DEF-13]", async () => {
    await until("the exchange trades", async () => (await carol.connections.common.fetchEpoch()).epoch === 2);
    carols = await ticketOf(carol);
    const out = await hedgerow("auction", "list", "--json");
    const { lots } = JSON.parse(out) as { lots: unknown[] };
    assert.deepEqual(lots, [{ slot: HOGS, contract: "LEAN HOGS", position: -CONTRACTS, auction: null }]);
    const early = { slot: HOGS, quantity: 1, limitPrice: "0", ticket: carols };
    await assert.rejects(carol.run("takeOver", early), { code: "NoAuction" });
  });

  test("goes to another trader's ticket in the first part of the window, at a price that gives way [DEF-13, DEF-14, DEF-15]", async () => {
    const { x } = stage;
    const { closingTime } = await x.chain.house.read.epochOf([2]);
    await x.advanceTime(Number(closingTime - (await x.now())) + 1);
    await until("the day is closed", phaseIs("window"));
    await x.advanceTime(x.terms.windowA / 2);
    const market = await x.chain.house.read.marketOf([2, HOGS]);
    const { closedAt } = await x.chain.house.read.epochOf([2]);

    const [lot] = await readAuction({ chain: x.chain, epoch: 2, markets: [market] });
    const elapsed = (await x.now()) - closedAt;
    const priceAfter = (more: bigint): bigint =>
      auctionPriceAt(market, BigInt(-CONTRACTS), elapsed + more, BigInt(x.terms.windowA));
    const price = BigInt(lot?.auction?.price ?? 0);
    assert.ok(price >= priceAfter(0n) && price <= priceAfter(60n), "the contract's price");
    assert.equal(lot?.auction?.steps.at(-1)?.price, (market.settlementPrice + market.closeOutFee).toString());
    const listed = await hedgerow("auction", "list");
    assert.match(listed, /sell +6/);
    assert.ok(listed.split("\n").every(({ length }) => length <= 80));

    const take = { slot: HOGS, quantity: 4, ticket: carols };
    const never = (market.settlementPrice + 2n * market.closeOutFee).toString();
    await assert.rejects(carol.run("takeOver", { ...take, limitPrice: never }), { code: "PriceNotReached" });
    const taken = await carol.run("takeOver", { ...take, limitPrice: market.settlementPrice.toString() });
    assert.equal(taken.quantity, -4);
    assert.ok(BigInt(taken.price) >= price && BigInt(taken.price) <= market.settlementPrice + market.closeOutFee);

    // Waits: the limit lies a little ahead of the price of now, and the chain's clock goes on meanwhile.
    const later = auctionPriceAt(market, -2n, BigInt(x.terms.windowA / 2 + 600), BigInt(x.terms.windowA));
    const waiting = carol.run("takeOver", { ...take, quantity: 9, limitPrice: later.toString(), wait: true });
    await x.advanceTime(600);
    assert.equal((await waiting).quantity, -2, "what was left");
    await assert.rejects(carol.run("takeOver", { ...take, limitPrice: "0" }), { code: "NothingForSale" });
  });

  test("is the ticket's from then on: for the wallet, its recovery, its reports, and the exchange [DEF-14, TKT-11]", async () => {
    const [ticket] = await carol.run("tickets", {});
    const onChain = await stage.x.chain.house.read.ticketOf([carol.account.state.tickets[0]?.ticketId ?? "0x"]);
    assert.deepEqual([ticket?.cash, ticket?.position], [onChain.cash.toString(), -CONTRACTS]);
    const again = await stage.recovered("carol");
    assert.deepEqual(await again.run("tickets", {}), [ticket]);
    await again.close();
    const entries = (await carol.run("history", {})).filter(({ kind }) => kind === "taken-over");
    assert.deepEqual(
      entries.map(({ position }) => position),
      [-4, -2],
    );

    // Relayed: the exchange knows the new amounts, which the release has to name.
    const { x } = stage;
    await until("the exchange knows the takeover", async () => {
      const { cash, position } = await carol.connections.common.fetchTicket(ticket?.ticketId ?? "0x");
      return cash === onChain.cash && position === BigInt(onChain.position);
    });
    const [closed] = await carol.run("closeTickets", {});
    assert.equal(closed?.status, "landed");
    const [pool, tickets, closeOut] = await x.chain.house.read.openPositions();
    assert.deepEqual([pool[HOGS], tickets[HOGS].net, closeOut[HOGS]], [0n, 0n, 0n], "the books match again");
    const { openingEquity, deposits, withdrawals, fees, variation, other, closingEquity } = await carol.run(
      "statement",
      {},
    );
    const parts = BigInt(openingEquity) + BigInt(deposits) - BigInt(withdrawals) - BigInt(fees) + BigInt(variation);
    assert.equal(parts + BigInt(other), BigInt(closingEquity));
    await x.state.sync();
    assertConserved(await readConservationFacts(x.state));
    assert.equal((await carol.run("balance", {})).positions[0]?.total, -CONTRACTS);
  });
});
