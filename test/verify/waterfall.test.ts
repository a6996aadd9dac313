import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeEventLog, stringToHex } from "viem";
import { approve, call, type Sender, takeAbandoned } from "../../src/chain/clearingHouse.ts";
import { drawFromFaucet, type MarketTerms } from "../../src/chain/deploy.ts";
import { DOLLAR, LEAN_HOG_TERMS } from "../../src/clearing/leanHogs.ts";
import { clearingHouseAbi } from "../../src/protocol/abi.ts";
import { signBid } from "../../src/protocol/auctionBid.ts";
import { ChainContradiction } from "../../src/verify/errors.ts";
import type { History, LogRecord } from "../../src/verify/history.ts";
import { readVerifyingKey } from "../../src/verify/proofs.ts";
import { readHistory } from "../../src/verify/readHistory.ts";
import { verifyDays } from "../../src/verify/verdict.ts";
import { freshAddress, only, type RawTicket, skipsOf, startDesk } from "../support/desk.ts";

// Five days on which contracts are left behind, auctioned in part, cost more than all layers hold, and are torn up; what
// is missing is shared, and paid for in the end. The replay must come to what the house itself says, day by day.

const THOUSAND = 1_000n * DOLLAR;
const HOGS: MarketTerms = {
  ...LEAN_HOG_TERMS,
  listingPrice: 500n * DOLLAR,
  priceLimit: THOUSAND,
  expandedLimit: THOUSAND,
  closeOutFee: THOUSAND,
  maintenanceMargin: 2n * THOUSAND,
  initialMargin: 2n * THOUSAND,
  minimumVolume: 1,
  minimumMinutes: 1,
};
const CORN: MarketTerms = { ...HOGS, contractId: stringToHex("CORN", { size: 32 }) };
const [P1, P2, P3] = [500n * DOLLAR, -500n * DOLLAR, -1_500n * DOLLAR] as const;
const LEFT = 100;
const TAKEN = 10;

const desk = await startDesk({ markets: [HOGS, CORN] });
const { x, house } = desk;
const rich = await x.fundedSender(10_000n * THOUSAND);

/** What the house says at each opening: its buckets, and the payout ratio. */
const said = new Map<number, object>();
async function opened(): Promise<void> {
  await desk.open();
  said.set(x.state.epoch - 1, { ...(await house.read.buckets()), payoutRatio: await house.read.payoutRatio() });
}

async function ask(sender: Sender, functionName: "requestUnstake" | "unstake"): Promise<void> {
  await call(x.chain, sender, { functionName, args: [] });
}

async function bring(sender: Sender, functionName: "stake" | "contributeToFund", amount: bigint): Promise<void> {
  await call(x.chain, sender, { functionName, args: [amount] });
}

async function taken({ ticketId, key }: RawTicket): Promise<void> {
  const bid = { ticketId, quantity: TAKEN, limitPrice: P2 };
  const signature = await signBid(x.chain.domain, bid, key);
  await takeAbandoned(x.chain, rich, { bid, signature });
}

async function claimed({ ticketId, key }: RawTicket, claim: bigint): Promise<void> {
  const transition = await desk.raw({ name: "claimTicket", ticketId, claim, relayFee: x.terms.relayFee });
  assert.deepEqual(
    skipsOf(await desk.batch([await desk.released(transition, key, { id: ticketId, cash: claim })])),
    [],
  );
}

// Day 1: contracts are left behind.
await desk.fillPool(10_000_000n);
const abandoned = only(await desk.openRaw(0, { cash: 300n * THOUSAND, position: LEFT }));
await desk.close();
await opened();

// Day 2: they lose what was paid for leaving them, and a few are sold.
await desk.plantRoot();
const buyer = only(await desk.openRaw(0, { cash: 200n * THOUSAND }));
await desk.settleAt([0, P2]);
await x.advanceTime(x.terms.windowA / 2);
await taken(buyer);
await desk.direct(rich, await desk.rawClose(buyer, 0n));
await x.mine(x.terms.windowBlocks);
await opened();

// Day 3: the rest costs more than stake and fund hold.
await drawFromFaucet(x.url, x.deployed.token, x.operatorKey, x.operator.address, 30n * THOUSAND);
await approve(x.chain, x.operator, 30n * THOUSAND);
await bring(x.operator, "stake", 30n * THOUSAND);
await bring(rich, "stake", 5n * THOUSAND);
await ask(rich, "requestUnstake");
await bring(rich, "contributeToFund", 40n * THOUSAND);
await desk.plantRoot();
await desk.openRaw(1, { cash: 10n * THOUSAND, position: -2 });
await desk.settleAt([0, P3]);
await desk.direct(rich, await desk.rawWithdraw(2_000n * THOUSAND, freshAddress(), 0n));
await opened();

// Day 4: who leaves gets a share, and new money is kept out.
await desk.plantRoot();
await claimed(abandoned, 300n * THOUSAND + BigInt(LEFT) * (P1 - THOUSAND));
const late = await desk.rawFund(await desk.newCredit(1_000n));
assert.deepEqual(skipsOf(await desk.batch([late])), ["PoolShort"]);
assert.deepEqual(skipsOf(await desk.batch([await desk.rawWithdraw(3_000n * THOUSAND)])), []);
await call(x.chain, x.operator, { functionName: "collectFees", args: [freshAddress()] });
await desk.close();
await opened();

// Day 5: a stake is taken back, and somebody pays for what is missing.
await ask(rich, "unstake");
await bring(rich, "contributeToFund", 100n * THOUSAND);
await desk.close();
await opened();

const key = await readVerifyingKey();
const history = await readHistory({ url: x.url, clearingHouse: x.chain.address, fromBlock: 0n, keyHash: key.hash });
const verify = (record: History) => verifyDays(record, key, { first: 1, last: 5, unproven: true });

function eventOf({ address, topics, data }: LogRecord) {
  const [signature, ...rest] = topics;
  if (address !== history.clearingHouse || signature === undefined) return undefined;
  return decodeEventLog({ abi: clearingHouseAbi, topics: [signature, ...rest], data });
}

test("days of tear-up and payout ratio come to what the house says, bucket by bucket [VER-4, FND-4, FND-7, FND-8]", async () => {
  const { days } = await verify(history);
  assert.equal(days.length, said.size);
  for (const { epoch, totals, payoutRatio } of days) {
    const { tokens, unasked, ...buckets } = totals;
    assert.deepEqual({ ...buckets, payoutRatio }, said.get(epoch), `day ${epoch}`);
    assert.equal(unasked, 0n);
    assert.equal(
      Object.values(buckets).reduce((sum, amount) => sum + amount, 0n),
      tokens,
    );
  }
  // What this is about did happen.
  const [, , third, fourth, fifth] = days.map(({ payoutRatio }) => payoutRatio);
  assert.ok(third !== undefined && fourth !== undefined && fifth !== undefined);
  assert.ok(third < 10n ** 18n && fourth < 10n ** 18n, `${third} and ${fourth}`);
  assert.equal(fifth, 10n ** 18n);
});

for (const [name, message] of [
  ["WaterfallStep", /WaterfallStep.toPool is/],
  ["TornUp", /TornUp.price is/],
  ["PayoutRatio", /PayoutRatio.ratio is/],
  ["AbandonedTaken", /AbandonedTaken.price is/],
  ["Unstaked", /Unstaked.amount is/],
] as const) {
  test(`another ${name} is found [VER-4]`, async () => {
    let changed = 0;
    const bent = (log: LogRecord): LogRecord => {
      if (changed > 0 || eventOf(log)?.eventName !== name) return log;
      changed += 1;
      const last = Number.parseInt(log.data.slice(-1), 16) ^ 1;
      return { ...log, data: `0x${log.data.slice(2, -1)}${last.toString(16)}` };
    };
    const steps = history.steps.map((step) => ({ ...step, logs: step.logs.map(bent) }));
    assert.equal(changed, 1);
    await assert.rejects(verify({ ...history, steps }), (error: unknown) => {
      assert.ok(error instanceof ChainContradiction, String(error));
      assert.match(error.message, message);
      return true;
    });
  });
}
