import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseEventLogs, stringToHex, type TransactionReceipt } from "viem";
import { call } from "../../src/chain/clearingHouse.ts";
import type { MarketTerms } from "../../src/chain/deploy.ts";
import { DOLLAR, LEAN_HOG_TERMS } from "../../src/clearing/leanHogs.ts";
import { clearingHouseAbi } from "../../src/protocol/abi.ts";
import { type RawTicket, startDesk } from "../support/desk.ts";

// A market that waits at its limit lets the day end early, so that margin is called now.

const LIMIT = 1_000n * DOLLAR;
const MINIMUM = 5;
const ZERO: MarketTerms = {
  ...LEAN_HOG_TERMS,
  listingPrice: 0n,
  priceLimit: LIMIT,
  expandedLimit: LIMIT + 500n * DOLLAR,
  closeOutFee: LIMIT + 500n * DOLLAR,
  minimumVolume: MINIMUM,
};
const OTHER: MarketTerms = { ...ZERO, contractId: stringToHex("OTHER", { size: 32 }) };
const LOCK_TIME = 1_200;
const NOTICE = 2_400;

const desk = await startDesk({ markets: [ZERO, OTHER], clearingTerms: { lockTime: LOCK_TIME, lockNotice: NOTICE } });
const { x, house } = desk;
const bystander = await x.fundedSender(0n);
await desk.fillPool(10_000_000n);
await x.advanceTime(LOCK_TIME);

const RICH = { cash: 100_000n * DOLLAR };

async function pair(slot = 0): Promise<readonly [RawTicket, RawTicket]> {
  await desk.plantRoot();
  const [buyer, seller] = await desk.openRaw(slot, RICH, RICH);
  assert.ok(buyer !== undefined && seller !== undefined);
  return [buyer, seller];
}

const closeEarly = (slot = 0) => call(x.chain, bystander, { functionName: "closeEarly", args: [slot] });
const epochOf = (epoch = x.state.epoch) => house.read.epochOf([epoch]);

/** Trades at a limit, at least a minute before the time that counts next. */
async function lock(
  [buyer, seller]: readonly [RawTicket, RawTicket],
  price: bigint,
  quantity = MINIMUM,
): Promise<void> {
  await desk.trade(buyer, seller, price, quantity);
}

async function timeOf({ blockNumber }: TransactionReceipt): Promise<bigint> {
  return (await x.chain.client.getBlock({ blockNumber })).timestamp;
}

describe("an early close", () => {
  for (const [side, price] of [
    ["upper", LIMIT],
    ["lower", -LIMIT],
  ] as const) {
    test(`is for a market whose every fill was at its ${side} limit, and for anybody, once a day [EPO-13]`, async () => {
      await desk.rollback(async () => {
        await lock(await pair(), price);
        const before = await epochOf();
        const receipt = await closeEarly();
        const closingTime = (await timeOf(receipt)) + BigInt(NOTICE);
        assert.ok(closingTime < before.closingTime);
        const after = await epochOf();
        assert.deepEqual([after.closingTime, after.movedUp], [closingTime, true]);
        const [moved] = parseEventLogs({ abi: clearingHouseAbi, logs: receipt.logs, eventName: "ClosingMovedUp" });
        assert.deepEqual([moved?.args.epoch, moved?.args.slot, moved?.args.closingTime], [1, 0, closingTime]);
        await lock(await pair(1), price);
        await desk.refuses(() => closeEarly(1), "NotMovable", { epoch: 1, closingTime });
      });
    });
  }

  test("leaves the notice to trade in and its settlement window, and the whole window after it [EPO-4, EPO-5, EPO-13, SET-1]", async () => {
    await desk.rollback(async () => {
      const tickets = await pair();
      await lock(tickets, LIMIT);
      await closeEarly();
      const { closingTime } = await epochOf();
      // Trades of two minutes of the new settlement window make the price.
      await x.advanceTime(Number(closingTime - (await x.now())) - x.terms.settlementWindow + 60);
      await lock(tickets, 500n * DOLLAR);
      await x.advanceTime(120);
      await lock(tickets, 500n * DOLLAR);
      const late = { execTime: closingTime + 1n };
      await x.advanceTime(Number(closingTime - (await x.now())) + 5);
      await desk.refuses(() => desk.trade(...tickets, LIMIT, 1, late), "ExecTimeOutOfRange", { latest: closingTime });
      await desk.close();
      assert.equal((await house.read.marketOf([1, 0])).settlementPrice, 500n * DOLLAR);
      const { closedAt } = await epochOf();
      const earliest = closedAt + BigInt(x.terms.windowA + x.terms.windowB);
      const open = () => call(x.chain, bystander, { functionName: "openEpoch", args: [] });
      await desk.refuses(open, "TooEarly", { earliest });
      await desk.open();
      // The next day has its whole time, and may be moved up anew.
      const { openedAt, closingTime: next, movedUp } = await epochOf();
      assert.deepEqual([next - openedAt, movedUp], [BigInt(x.terms.tradingTime), false]);
      await x.advanceTime(LOCK_TIME);
      await lock(await pair(), 1_500n * DOLLAR);
      await closeEarly();
    });
  });

  test("takes the limit in force, and the expanded one after a day at the limit [EPO-13]", async () => {
    await desk.rollback(async () => {
      const tickets = await pair();
      await desk.toClosingTime();
      await lock(tickets, LIMIT);
      await desk.batch([await desk.rawClose(tickets[0]), await desk.rawClose(tickets[1])]);
      await desk.close();
      await desk.open();
      const { centre, priceLimit } = await house.read.marketOf([2, 0]);
      assert.deepEqual([centre, priceLimit], [LIMIT, LIMIT + 500n * DOLLAR]);
      await x.advanceTime(LOCK_TIME);
      await lock(await pair(), 2n * LIMIT);
      await desk.refuses(closeEarly, "NotLocked", { slot: 0 });
      await x.advanceTime(LOCK_TIME + 60);
      await lock(await pair(), centre + priceLimit);
      await closeEarly();
    });
  });
});

describe("no early close", () => {
  test("where a fill was elsewhere than at the one limit [EPO-13]", async () => {
    await desk.rollback(async () => {
      const tickets = await pair();
      await lock(tickets, LIMIT);
      await lock(tickets, LIMIT - 10n * DOLLAR, 1);
      await desk.refuses(closeEarly, "NotLocked", { slot: 0, volume: MINIMUM + 1 });
      // Older than the lock time it does not count.
      await x.advanceTime(LOCK_TIME + 60);
      await lock(tickets, LIMIT);
      await closeEarly();
    });
    await desk.rollback(async () => {
      const tickets = await pair();
      await lock(tickets, LIMIT);
      await lock(tickets, -LIMIT);
      await desk.refuses(closeEarly, "NotLocked");
    });
  });

  test("for less than the minimum volume, for old fills, or for another market's [EPO-13]", async () => {
    await desk.rollback(async () => {
      const tickets = await pair();
      await desk.refuses(closeEarly, "NotLocked", { volume: 0 });
      await lock(tickets, LIMIT, MINIMUM - 1);
      await desk.refuses(closeEarly, "NotLocked", { volume: MINIMUM - 1 });
      await lock(tickets, LIMIT, 1);
      await desk.refuses(() => closeEarly(1), "NotLocked", { slot: 1 });
      await x.advanceTime(LOCK_TIME + 60);
      await desk.refuses(closeEarly, "NotLocked", { volume: 0 });
    });
  });

  test("in a slot that is none or has no contract [EPO-13]", async () => {
    await desk.refuses(() => closeEarly(8), "SlotOutOfRange", { slot: 8 });
    await desk.refuses(() => closeEarly(7), "MarketNotListed", { slot: 7 });
  });

  test("in a day younger than the lock time, in one that ends soon enough, or in the Window [EPO-1, EPO-13]", async () => {
    await desk.rollback(async () => {
      await desk.nextDay();
      await lock(await pair(), LIMIT);
      const { openedAt, closingTime } = await epochOf();
      await desk.refuses(closeEarly, "TooEarly", { earliest: openedAt + BigInt(LOCK_TIME) });
      await x.advanceTime(Number(closingTime - (await x.now())) - NOTICE);
      await lock(await pair(), LIMIT);
      await desk.refuses(closeEarly, "NotMovable", { epoch: 2, closingTime });
      await desk.close();
      await desk.refuses(closeEarly, "NotInPhase", { phase: 0 });
    });
  });
});
