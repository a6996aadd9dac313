import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseEventLogs, type TransactionReceipt } from "viem";
import { call, closeEpoch } from "../../src/chain/clearingHouse.ts";
import { clearingHouseAbi } from "../../src/protocol/abi.ts";
import { fresh, startDesk, type Trader } from "../support/desk.ts";

// Nobody loses a bond because the chain stood still or the operator was away.

const HOUR = 3_600;

const desk = await startDesk();
const { x, house } = desk;
const { windowA, windowB, windowBlocks } = x.terms;
const bystander = await x.fundedSender(0n);
const traders = [await desk.newTrader(1_000n), await desk.newTrader(1_000n)];

const beginRenewals = () => call(x.chain, bystander, { functionName: "beginRenewals", args: [] });
const openEpoch = () => call(x.chain, bystander, { functionName: "openEpoch", args: [] });
const stamp = async (): Promise<bigint> => (await house.read.epochOf([x.state.epoch])).renewalsBlock;

function begunIn({ logs }: TransactionReceipt): readonly bigint[] {
  return parseEventLogs({ abi: clearingHouseAbi, logs, eventName: "RenewalsBegun" }).map(
    ({ args }) => args.blockNumber,
  );
}

async function renewing({ account, sender }: Trader): Promise<TransactionReceipt> {
  return desk.direct(sender, await account.renew());
}

async function assertAllLive(): Promise<void> {
  await desk.sync();
  for (const { account } of traders) {
    const { status, lastEpoch, bond } = await house.read.seatOf([account.keys.ownerKey]);
    assert.deepEqual([status, lastEpoch, bond], [1, x.state.epoch, x.terms.seatBond]);
  }
}

describe("the beginning of part B", () => {
  test("is noted by anybody, after all seconds and blocks of part A, and once [EPO-5, EPO-6]", async () => {
    await desk.rollback(async () => {
      await desk.refuses(beginRenewals, "NotInPhase", { phase: 1 });
      await desk.close();
      const { closedAt, closedBlock } = await house.read.epochOf([1]);
      await desk.refuses(beginRenewals, "TooEarly", { earliest: closedAt + BigInt(windowA) });
      await x.advanceTime(windowA);
      await desk.refuses(beginRenewals, "BlocksMissing", { earliest: closedBlock + BigInt(windowBlocks) });
      await x.mine(windowBlocks);
      const receipt = await beginRenewals();
      assert.deepEqual(begunIn(receipt), [receipt.blockNumber]);
      assert.deepEqual(begunIn(await beginRenewals()), []);
      assert.equal(await stamp(), receipt.blockNumber);
    });
  });

  test("is noted by the first renewal too, direct or in a batch, and not by one that has no effect [EPO-6]", async () => {
    await desk.rollback(async () => {
      await desk.close();
      await desk.toPartB();
      const [first, second] = traders;
      assert.ok(first !== undefined && second !== undefined);
      const nobody = await desk.raw({ name: "renew", relayFee: 0n }, { seat: fresh() });
      await desk.refuses(() => desk.direct(bystander, nobody), "NotApplied", { reason: 4 });
      assert.equal(await stamp(), 0n);
      await desk.rollback(async () => {
        const receipt = await desk.batch([]);
        assert.deepEqual(begunIn(receipt), [receipt.blockNumber]);
      });
      const receipt = await renewing(first);
      assert.deepEqual(begunIn(receipt), [receipt.blockNumber]);
      assert.deepEqual(begunIn(await renewing(second)), []);
    });
  });

  test("is not noted by what comes in part A, and no day opens without it [EPO-6]", async () => {
    await desk.rollback(async () => {
      await desk.close();
      assert.deepEqual(begunIn(await desk.batch([])), []);
      await x.advanceTime(windowA + windowB);
      await x.mine(10 * windowBlocks);
      await desk.refuses(openEpoch, "RenewalsNotBegun");
      // Late, and still all of its blocks are owed.
      await beginRenewals();
      const earliest = (await stamp()) + BigInt(windowBlocks);
      await desk.refuses(openEpoch, "BlocksMissing", { earliest });
      for (const trader of traders) await renewing(trader);
      await x.mine(windowBlocks - traders.length - 1);
      await openEpoch();
      await assertAllLive();
    });
  });
});

describe("a chain that stands still", () => {
  test("in part A costs nobody a bond: part A goes on, and part B has its blocks [EPO-5, EPO-6, THR-16, SEA-13]", async () => {
    await desk.rollback(async () => {
      await desk.close();
      await x.advanceTime(20 * HOUR);
      // All seconds of the window are over; what belongs to part A is possible still, what belongs to part B not yet.
      const [first] = traders;
      assert.ok(first !== undefined);
      await assert.rejects(renewing(first), { code: "WrongPhase" });
      await desk.fund(first, 100n);
      await desk.refuses(openEpoch, "RenewalsNotBegun");
      await x.mine(windowBlocks);
      await beginRenewals();
      await desk.refuses(openEpoch, "BlocksMissing");
      for (const trader of traders) await renewing(trader);
      await x.mine(windowBlocks);
      await openEpoch();
      await assertAllLive();
    });
  });

  test("in part B costs nobody a bond, whatever blocks part A had [EPO-6, THR-16]", async () => {
    await desk.rollback(async () => {
      await desk.close();
      // Many more blocks than part A owes: they are not taken off part B.
      await x.mine(5 * windowBlocks);
      await x.advanceTime(windowA);
      await x.advanceTime(20 * HOUR);
      await desk.refuses(openEpoch, "RenewalsNotBegun");
      await beginRenewals();
      await desk.refuses(openEpoch, "BlocksMissing", { earliest: (await stamp()) + BigInt(windowBlocks) });
      for (const trader of traders) await renewing(trader);
      await x.mine(windowBlocks);
      await openEpoch();
      await assertAllLive();
    });
  });

  test("after the stamp leaves the blocks that are left [EPO-6, THR-16]", async () => {
    await desk.rollback(async () => {
      await desk.close();
      await desk.toPartB();
      await beginRenewals();
      await x.advanceTime(20 * HOUR);
      await desk.refuses(openEpoch, "BlocksMissing", { earliest: (await stamp()) + BigInt(windowBlocks) });
      for (const trader of traders) await renewing(trader);
      await x.mine(windowBlocks);
      await openEpoch();
      await assertAllLive();
    });
  });
});

describe("an operator that is away", () => {
  test("for the whole day and window costs nobody a bond: others close and open, all renew directly [EPO-3, EPO-11, THR-15, SEA-13]", async () => {
    await desk.rollback(async () => {
      await desk.toClosingTime();
      await x.advanceTime(x.terms.settleGrace);
      await closeEpoch(x.chain, bystander);
      await desk.sync();
      const cash = traders.map(({ account }) => account.account.cash);
      await desk.toPartB();
      for (const trader of traders) await renewing(trader);
      await x.advanceTime(windowB);
      await x.mine(windowBlocks);
      await openEpoch();
      await assertAllLive();
      // Whoever acts directly pays no fee.
      assert.deepEqual(
        traders.map(({ account }) => account.account.cash),
        cash,
      );
    });
  });
});
