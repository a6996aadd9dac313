import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { encryptKeystoreJsonSync } from "ethers";
import { parseEventLogs, stringToHex } from "viem";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import { z } from "zod";
import { openSeat } from "../../src/chain/clearingHouse.ts";
import { ContractRefused } from "../../src/chain/refusals.ts";
import { DOLLAR, LEAN_HOG_TERMS, TICK } from "../../src/clearing/leanHogs.ts";
import { type DayReport, presentPrices, readReport } from "../../src/clearing/reportDay.ts";
import { reportPage } from "../../src/clearing/reportPage.ts";
import { type Keeper, nextStep, settleDay, type Wait } from "../../src/clearing/settleDay.ts";
import { keeperOf } from "../../src/clearing/settleDayChain.ts";
import { reportText } from "../../src/cli/settleDayText.ts";
import { clearingHouseAbi } from "../../src/protocol/abi.ts";
import { contractName, formatAmount } from "../../src/trader/markets.ts";
import { hedgerow } from "../support/commandLine.ts";
import { fresh, only, startDesk } from "../support/desk.ts";

// Days of a real clearing house, ended by keepers. Its contract believes every statement, as the days are not about proofs.

const NAME = `<b>&"HOGS'`;
const CENTRE = LEAN_HOG_TERMS.listingPrice;
const desk = await startDesk({
  markets: [{ ...LEAN_HOG_TERMS, contractId: stringToHex(NAME, { size: 32 }) }, LEAN_HOG_TERMS],
  clearingTerms: { windowBlocks: 2, flatGraceEpochs: 1 },
});
const { x, house } = desk;
const directory = mkdtempSync(join(tmpdir(), "hedgerow-"));
after(() => {
  rmSync(directory, { recursive: true, force: true });
});

// Day 1: one trader renews, one seat never will. Two tickets trade in the settlement window and stay open.
const trader = await desk.newTrader(1_000n);
const sleepy = fresh();
await openSeat(x.chain, await x.fundedSender(x.terms.seatBond), sleepy);
await desk.fillPool(1_000_000n);
const RICH = { cash: 100_000n * DOLLAR };
const [buyer, seller] = await desk.openRaw(0, RICH, RICH);
assert.ok(buyer !== undefined && seller !== undefined);
await toTime((await house.read.epochOf([1])).closingTime - BigInt(x.terms.settlementWindow) + 60n);
for (const [price, quantity] of [
  [CENTRE + 10n * TICK, 4],
  [CENTRE + 30n * TICK, 4],
] as const) {
  await desk.trade(buyer, seller, price, quantity);
  await x.advanceTime(120);
}
const SETTLEMENT = CENTRE + 20n * TICK;

async function toTime(time: bigint): Promise<void> {
  const left = time - (await x.now());
  if (left > 0n) await x.advanceTime(Number(left));
}

/** Waits by moving the chain's clock. */
async function jump({ time, block }: Wait): Promise<void> {
  await toTime(time);
  const left = block - 1n - (await x.chain.client.getBlockNumber());
  if (left > 0n) await x.mine(Number(left));
}

const keeper = async () => keeperOf(x.chain, { sender: await x.fundedSender(0n), isThorough: true });
const epochNow = async (): Promise<number> => (await house.read.clock())[0];

/** Runs a day to its end; the trader renews in part B. */
async function settle(day: number, by: Keeper): Promise<void> {
  await toTime((await house.read.epochOf([day])).closingTime);
  await settleDay(by, day, {
    isPatient: true,
    pollMs: 0,
    onWait: async (wait) => {
      if (wait.until === "opening") await renewOnce(day);
      await jump(wait);
    },
  });
}

let renewing: Promise<void> = Promise.resolve();

/** Keepers that run at once share one trader. */
function renewOnce(day: number): Promise<void> {
  renewing = renewing.then(() => renew(day));
  return renewing;
}

async function renew(day: number): Promise<void> {
  await desk.sync();
  if ((await house.read.seatOf([trader.account.keys.ownerKey])).lastEpoch > day) return;
  await desk.direct(trader.sender, await trader.account.renew());
}

const shared = ["--chain", x.url, "--clearing-house", x.chain.address];

test("too early, another contract, another chain, no node: refused in words, with nothing sent [CLR-2, CLI-3]", async () => {
  const block = await x.chain.client.getBlockNumber();
  const early = await hedgerow(["settle-day", ...shared]);
  assert.equal(early.code, 3);
  assert.match(early.err, /Day 1 is traded until 20\d\d-.*\[DayNotOver\]/);
  const elsewhere = await hedgerow(["settle-day", "--chain", x.url, "--clearing-house", x.deployed.token]);
  assert.deepEqual([elsewhere.code, elsewhere.err.includes("NetworkWithoutHouse")], [2, true]);
  assert.equal((await hedgerow(["settle-day", ...shared, "--chain-id", "1"])).code, 4);
  const nobody = ["--chain", "http://127.0.0.1:9", "--clearing-house", x.chain.address];
  assert.equal((await hedgerow(["settle-day", ...nobody])).code, 4);
  for (const wrong of [
    ["--chain", x.url],
    [...shared, "--epoch", "x"],
    [...shared, "--dry-run", "--report-only"],
  ]) {
    assert.equal((await hedgerow(["settle-day", ...wrong])).code, 2);
  }
  assert.equal((await hedgerow(["settle-day", ...shared, "--epoch", "7"])).code, 3);
  assert.equal((await hedgerow(["settle-day", ...shared, "--report-only"])).code, 3);
  const key = join(directory, "open.key");
  writeFileSync(key, generatePrivateKey(), { mode: 0o644 });
  await toTime((await house.read.epochOf([1])).closingTime);
  const tooOpen = await hedgerow(["settle-day", ...shared, "--key-file", key]);
  assert.deepEqual([tooOpen.code, tooOpen.err.includes("FileTooOpen")], [5, true]);
  // Only the clock was moved.
  assert.equal(await x.chain.client.getBlockNumber(), block + 1n);
});

test("a dry run names the steps and the price with its evidence, and sends nothing [CLR-8]", async () => {
  const block = await x.chain.client.getBlockNumber();
  const { code, out } = await hedgerow(["settle-day", ...shared, "--dry-run"]);
  assert.equal(code, 0);
  assert.match(out, /close .*\nrenewals .*\nopen /);
  assert.match(out, /Price +32,200.00, by tier 1: settlement window/);
  assert.match(out, /In the window +8 contracts \(at least 5\)\n +Minutes with fills +2 \(at least 2\)/);
  assert.ok(out.split("\n").every((line) => line.length <= 80));
  const json = await hedgerow(["settle-day", ...shared, "--dry-run", "--json"]);
  const said = z
    .object({ steps: z.array(z.object({ kind: z.string() })), prices: z.array(z.object({ price: z.string() })) })
    .parse(JSON.parse(json.out));
  assert.deepEqual(
    said.steps.map(({ kind }) => kind),
    ["closeEpoch", "beginRenewals", "openEpoch"],
  );
  assert.deepEqual(
    said.prices.map(({ price }) => price),
    [String(SETTLEMENT), String(CENTRE)],
  );
  assert.equal(await x.chain.client.getBlockNumber(), block);
});

test("the operator closes at closing time, others after the grace [CLR-3]", async () => {
  const [own, other] = [keeperOf(x.chain, { sender: x.operator }), await keeper()];
  // The tickets' last batch is long ago.
  await x.advanceTime(60);
  assert.deepEqual(nextStep(await own.look(), 1), { kind: "closeEpoch" });
  const step = nextStep(await other.look(), 1);
  assert.ok(step.kind === "wait" && step.until === "operator");
  await assert.rejects(other.send({ kind: "closeEpoch" }), ContractRefused);
});

class Killed extends Error {}

test("a keeper that is killed before and after each sending ends the day, with the price foretold [CLR-1, CLR-2, CLR-8]", async () => {
  const foretold = await presentPrices(x.chain, 1);
  await desk.rollback(async () => {
    let deaths = 0;
    /** Each step fails once before it is sent, and the next once after it landed. */
    const mortal = (inner: Keeper, dead: Set<string>): Keeper => ({
      look: () => inner.look(),
      send: async (action) => {
        const kill = (when: string): void => {
          if (dead.has(`${when} ${action.kind}`)) return;
          dead.add(`${when} ${action.kind}`);
          deaths += 1;
          throw new Killed();
        };
        kill("before");
        const hash = await inner.send(action);
        kill("after");
        return hash;
      },
    });
    const dead = new Set<string>();
    while ((await epochNow()) === 1) {
      await settle(1, mortal(await keeper(), dead)).catch((error: unknown) => {
        if (!(error instanceof Killed)) throw error;
      });
    }
    assert.equal(deaths, 6);
    const settled = await Promise.all([0, 1].map((slot) => house.read.marketOf([1, slot])));
    assert.deepEqual(
      settled.map(({ settlementPrice }) => settlementPrice),
      foretold.map(({ settlementPrice }) => settlementPrice),
    );
    await desk.sync();
  });
});

test("two keepers at once, and one that comes late, end one day once [CLR-2]", async () => {
  await desk.rollback(async () => {
    await Promise.all([settle(1, await keeper()), settle(1, await keeper())]);
    await settle(1, await keeper());
    assert.equal(await epochNow(), 2);
    const logs = await x.chain.client.getLogs({ address: x.chain.address, fromBlock: 0n });
    for (const eventName of ["EpochClosed", "RenewalsBegun"] as const) {
      assert.equal(parseEventLogs({ abi: clearingHouseAbi, logs, eventName }).length, 1);
    }
    await desk.sync();
  });
});

test("hedgerow settle-day runs a day to its end; a signal ends it, and the next run goes on [CLR-1, CLR-2, CLR-4, CLI-6]", async () => {
  await toTime((await house.read.epochOf([1])).closingTime + BigInt(x.terms.settleGrace));
  const key = join(directory, "keeper.key");
  const privateKey = generatePrivateKey();
  writeFileSync(key, privateKey, { mode: 0o600 });
  const line = ["settle-day", ...shared, "--key-file", key, "--report-dir", join(directory, "reports")];

  const poor = await hedgerow([...line, "--no-wait"]);
  assert.equal(poor.code, 3, "no ether");
  writeFileSync(
    key,
    encryptKeystoreJsonSync({ address: privateKeyToAddress(privateKey), privateKey }, "open", { scrypt: { N: 2 } }),
  );
  for (const [password, codes] of [
    ["wrong", /BadOption/],
    ["open", /CallImpossible/],
  ] as const) {
    const file = join(directory, "password");
    writeFileSync(file, password, { mode: 0o600 });
    assert.match((await hedgerow([...line, "--password-file", file, "--no-wait"])).err, codes);
  }
  assert.equal((await keeperOf(x.chain).look()).phase, "trading");
  // Without a key a development chain gives what is needed.
  const waits = await hedgerow(["settle-day", ...shared, "--no-wait"]);
  assert.equal(waits.code, 3);
  assert.match(waits.err, /close: 0x[0-9a-f]{64}\n[^]*Price +32,200.00[^]*\[DayWaits\]/);

  const listeners = process.listenerCount("SIGHUP");
  const running = hedgerow(["settle-day", ...shared]);
  while (process.listenerCount("SIGHUP") === listeners) await setTimeout(5);
  process.emit("SIGHUP");
  assert.equal((await running).code, 130);

  await jump({ kind: "wait", until: "renewals", ...(await partAEnd()) });
  const begun = await hedgerow(["settle-day", ...shared, "--no-wait"]);
  assert.match(begun.err, /renewals: 0x[0-9a-f]{64}\n/);
  await renewOnce(1);
  const looking = keeperOf(x.chain);
  const { due, done } = await looking.renewals(await looking.look());
  assert.deepEqual([due.size, [...done.keys()]], [2, [trader.account.keys.ownerKey]]);
  const { closedAt } = await house.read.epochOf([1]);
  await toTime(closedAt + BigInt(x.terms.windowA + x.terms.windowB));
  await x.mine(2);
  const { code, out, err } = await hedgerow(["settle-day", ...shared, "--report-dir", join(directory, "reports")]);
  assert.equal(code, 0, err);
  assert.match(out, /^Day 1 is settled\./);
  assert.match(out, /Seats: 2 due, 1 renewed, 0 put to sleep, 0 closed, 1 missed\./);
  assert.ok(out.includes(sleepy.toString(16).padStart(64, "0")));
  assert.ok(out.split("\n").every((text) => text.length <= 80 || text.startsWith("written:")));
  assert.deepEqual(readdirSync(join(directory, "reports")), ["day-1.html", "day-1.json"]);
  assert.equal((await hedgerow(["settle-day", ...shared, "--epoch", "1"])).code, 0, "twice");
});

async function partAEnd() {
  const { closedAt, closedBlock } = await house.read.epochOf([1]);
  return { time: closedAt + BigInt(x.terms.windowA), block: closedBlock + BigInt(x.terms.windowBlocks) };
}

/** Tags that are open and not closed, or closed and not open. */
function strayTags(page: string): readonly string[] {
  const open: string[] = [];
  const stray: string[] = [];
  for (const [, slash = "", name = "", own = ""] of page.matchAll(/<(\/?)([a-z][a-z0-9]*)(?:\s[^<>]*?)?(\/?)>/g)) {
    if (own === "/") continue;
    if (slash === "") open.push(name);
    else if (open.pop() !== name) stray.push(name);
  }
  return [...open, ...stray];
}

test("the report is JSON and a well-formed page with its plots, and foreign names are text in it [CLR-6, CLR-7]", () => {
  const html = readFileSync(join(directory, "reports/day-1.html"), "utf8");
  const json = readFileSync(join(directory, "reports/day-1.json"), "utf8");
  assert.deepEqual(strayTags(html.replace(/<style>[^]*?<\/style>/, "")), []);
  assert.ok(!html.includes(NAME) && html.includes("&lt;b&gt;&amp;&quot;HOGS&#39;"));
  assert.ok(!/<script|NaN|Infinity|undefined|src=|href=/.test(html));
  const plots = [...html.matchAll(/<svg [^]*?<\/svg>/g)].map(([plot]) => plot);
  assert.deepEqual(
    plots.map((plot) => /aria-label="([^"]*)"/.exec(plot)?.[1]),
    [
      "Prices of &lt;b&gt;&amp;&quot;HOGS&#39; by the minute",
      "Prices of LEAN HOGS by the minute",
      "Contracts held long on open tickets",
      "Equity of the open tickets, and the margin that they need",
      "Seats that renewed, slept or closed",
      "Waterfall: nothing was missing",
    ],
  );
  assert.ok(plots.slice(2, 5).every((plot) => /<polyline class="line s0" points="\d/.test(plot)));
  const said = reportSchema.parse(JSON.parse(json));
  assert.deepEqual(said.markets[0], {
    settlementPrice: String(SETTLEMENT),
    tier: 1,
    windowVolume: "8",
    cutOffBy: "nothing",
    leftOver: { net: "0", gross: "16" },
    attested: { bids: 0, asks: 0 },
  });
  assert.deepEqual(said.seats.missed, [String(sleepy)]);
  assert.deepEqual(said.tickets.at(-1)?.long, ["8", "0", "0", "0", "0", "0", "0", "0"]);
  const { ticketCash } = said.balances.atOpening.buckets;
  assert.equal(ticketCash, "0");
});

const reportSchema = z.object({
  markets: z.array(
    z.object({
      settlementPrice: z.string(),
      tier: z.number(),
      windowVolume: z.string(),
      cutOffBy: z.string(),
      leftOver: z.object({ net: z.string(), gross: z.string() }).optional(),
      attested: z.object({ bids: z.number(), asks: z.number() }),
    }),
  ),
  seats: z.object({ missed: z.array(z.string()) }),
  tickets: z.array(z.object({ long: z.array(z.string()) })),
  balances: z.object({ atOpening: z.object({ buckets: z.object({ ticketCash: z.string() }) }) }),
});

test("a report tells what was missing, who paid, what was torn up, and the payout ratio [CLR-6, CLR-7]", async () => {
  const quiet = await readReport(x.chain, 1);
  const loss = { need: 900n * DOLLAR, toAccount: 100n * DOLLAR, toPool: 200n * DOLLAR };
  const report: DayReport = {
    ...quiet,
    waterfall: [
      { layer: "operator's stake", ...loss },
      { layer: "guaranty fund", ...loss, need: 600n * DOLLAR },
    ],
    payoutRatio: 10n ** 18n / 3n,
    markets: quiet.markets.map((market) => ({ ...market, expired: true, tornUp: market.slot === 0 })),
  };
  const words = { money: (units: bigint) => formatAmount(units, 6), contract: contractName, decimals: 6 };
  const html = reportPage(report, words);
  assert.deepEqual(strayTags(html.replace(/<style>[^]*?<\/style>/, "")), []);
  for (const page of [html, reportText(report, words)]) {
    assert.match(page, /operator(&#39;|')s stake[^]*900\.00[^]*guaranty fund[^]*600\.00/);
    assert.match(page, /paid at 33\.3333 percent/);
    assert.match(page, /torn up[^]*expired/);
  }
  assert.match(html, /<svg [^>]*aria-label="Waterfall: what was missing[^]*300\.00 of 900\.00/);
});

test("quotes that the operator attested are in the evidence, and bound a price without trades [CLR-8, SET-4]", async () => {
  await desk.sync();
  const resting = only(await desk.openRaw(1, RICH));
  const bid = CENTRE + 5n * TICK;
  const quantity = LEAN_HOG_TERMS.minimumVolume;
  const order = await desk.order(resting, { side: "buy", limitPrice: bid, quantity });
  await desk.close([{ slot: 1, bids: [order], asks: [] }]);
  await settle(2, await keeper());
  const { markets } = await readReport(x.chain, 2);
  const { attested, cutOffBy, settlementPrice, unbounded, ...evidence } = markets[1] ?? assert.fail("it is listed");
  assert.deepEqual([attested, evidence.bid, evidence.ask], [{ bids: 1, asks: 0 }, bid, undefined]);
  assert.deepEqual([settlementPrice, unbounded, cutOffBy], [bid, CENTRE, "quotes"]);
});

test("bonds of seats that are long in default are forfeited for the reward, and only then [CLR-5, DEF-9]", async () => {
  assert.ok((await house.read.seatOf([sleepy])).bond > 0n, "the grace is one day");
  const by = await x.fundedSender(0n);
  await settle(3, keeperOf(x.chain, { sender: by, isThorough: true }));
  assert.equal((await house.read.seatOf([sleepy])).bond, 0n);
  const { seats } = await readReport(x.chain, 3);
  assert.deepEqual(
    seats.forfeited.map(({ ownerKey }) => ownerKey),
    [sleepy],
  );
  assert.deepEqual(seats.missed, []);
});

test("the report of a day is the same when it is read again days later [CLR-6]", async () => {
  const again = join(directory, "again");
  const { code, out } = await hedgerow([
    "settle-day",
    ...shared,
    "--report-only",
    "--epoch",
    "1",
    "--report-dir",
    again,
  ]);
  assert.equal(code, 0);
  assert.match(out, /^Day 1 is settled\./);
  for (const file of ["day-1.json", "day-1.html"]) {
    assert.equal(readFileSync(join(again, file), "utf8"), readFileSync(join(directory, "reports", file), "utf8"));
  }
  const latest = await hedgerow(["settle-day", ...shared, "--report-only", "--json"]);
  assert.equal(z.object({ epoch: z.number() }).parse(JSON.parse(latest.out)).epoch, 3);
});
