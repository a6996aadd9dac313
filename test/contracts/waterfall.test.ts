import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseEventLogs, stringToHex, type TransactionReceipt } from "viem";
import { WHOLE } from "../../src/chain/chainState.ts";
import { approve, call, type ProvenTransition, readTokenBalance, type Sender } from "../../src/chain/clearingHouse.ts";
import { drawFromFaucet, type MarketTerms } from "../../src/chain/deploy.ts";
import { DOLLAR, LEAN_HOG_TERMS } from "../../src/clearing/leanHogs.ts";
import { clearingHouseAbi } from "../../src/protocol/abi.ts";
import { freshAddress, only, type RawTicket, skipsOf, startDesk, type Trader } from "../support/desk.ts";

// A position is left behind, and two days at the limit cost more than was paid for leaving it: who pays then.

const THOUSAND = 1_000n * DOLLAR;
const LIMIT = THOUSAND;

/** A close-out fee of exactly one day's limit, so that the second day makes the hole. */
const HOGS: MarketTerms = {
  ...LEAN_HOG_TERMS,
  listingPrice: 500n * DOLLAR,
  priceLimit: LIMIT,
  expandedLimit: LIMIT,
  closeOutFee: LIMIT,
  maintenanceMargin: 2n * LIMIT,
  initialMargin: 2n * LIMIT,
  minimumVolume: 1,
  minimumMinutes: 1,
};
const CORN: MarketTerms = { ...HOGS, contractId: stringToHex("CORN", { size: 32 }) };

const [P1, P2, P3] = [500n * DOLLAR, -500n * DOLLAR, -1_500n * DOLLAR] as const;
/** Contracts left behind, and what they cost beyond their close-out fee. */
const LEFT = 100;
const HOLE = BigInt(LEFT) * LIMIT;

const desk = await startDesk({ markets: [HOGS, CORN] });
const { x, house } = desk;
const { seatBond, relayFee } = x.terms;
const rich = await x.fundedSender(10_000n * THOUSAND);

const stake = (sender: Sender, amount: bigint) => call(x.chain, sender, { functionName: "stake", args: [amount] });
const requestUnstake = (sender: Sender) => call(x.chain, sender, { functionName: "requestUnstake", args: [] });
const unstake = (sender: Sender) => call(x.chain, sender, { functionName: "unstake", args: [] });
const contribute = (amount: bigint) => call(x.chain, rich, { functionName: "contributeToFund", args: [amount] });

/** Events of a receipt by their names, as far as a default makes them, with what they say. */
function eventsOf({ logs }: TransactionReceipt): readonly (readonly unknown[])[] {
  return parseEventLogs({ abi: clearingHouseAbi, logs }).flatMap((event) => {
    if (event.eventName === "WaterfallStep") {
      const { layer, need, toAccount, toPool } = event.args;
      return [["WaterfallStep", layer, need, toAccount, toPool]];
    }
    if (event.eventName === "TornUp") return [["TornUp", event.args.slot, event.args.price]];
    if (event.eventName === "PayoutRatio") return [["PayoutRatio", event.args.ratio]];
    return [];
  });
}

const marketOf = (slot: number, epoch = x.state.epoch) => house.read.marketOf([epoch, slot]);
const magnitude = (amount: bigint): bigint => (amount < 0n ? -amount : amount);
const sharePaid = (amount: bigint, ratio: bigint): bigint => (amount * ratio) / WHOLE;

/** What the pool, tickets, claims and fees promise at the last settlement prices. */
async function promised(): Promise<bigint> {
  const { buckets, positions, phase, epoch } = await desk.fingerprint();
  let sum = buckets.poolCash + buckets.ticketCash + buckets.claims + buckets.fees;
  for (const slot of [0, 1]) {
    const market = await marketOf(slot, epoch);
    const price = phase === "trading" ? market.centre : market.settlementPrice;
    sum += ((positions[0][slot] ?? 0n) + (positions[1][slot]?.net ?? 0n)) * price;
  }
  return sum;
}

function assertHolds(trader: Trader, cash: bigint, position: bigint): void {
  const positions = Array.from({ length: 8 }, (_, slot) => (slot === 0 ? position : 0n));
  assert.deepEqual([trader.account.account.cash, trader.account.account.positions], [cash, positions]);
}

/** Both trade in hogs out of their accounts and back into them. */
async function tradeBetween(buyer: Trader, seller: Trader, price: bigint, quantity: number): Promise<void> {
  const opened = [];
  for (const [{ account }, side] of [
    [seller, "sell"],
    [buyer, "buy"],
  ] as const) {
    opened.push(await account.openTickets(0, [account.ticketFor(0, { side, price, quantity: BigInt(quantity) })]));
  }
  await desk.batch(opened.map(({ transition }) => transition));
  const [selling, buying] = opened.map(({ tickets }) => only(tickets).ticketId);
  assert.ok(selling !== undefined && buying !== undefined);
  const terms = { limitPrice: price, quantity, expiry: 4_000_000_000n };
  const orders = [
    await seller.account.signOrder(selling, { ...terms, side: "sell" }),
    await buyer.account.signOrder(buying, { ...terms, side: "buy" }),
  ];
  await desk.batch([], orders, [await desk.fill({ price, quantity })]);
  await desk.batch([await seller.account.closeTicket(selling), await buyer.account.closeTicket(buying)]);
}

// The brink: the contracts left behind on the first day have lost what was paid for leaving them, to the unit.
await desk.fillPool(10_000_000n);
const [long, short, gone] = [
  await desk.newTrader(40_000n),
  await desk.newTrader(60_000n),
  await desk.newTrader(40_000n),
];
await tradeBetween(long, short, P1, 2);
await tradeBetween(gone, short, P1, 1);
const goneCash = gone.account.account.cash;
const abandoned = only(await desk.openRaw(0, { cash: HOLE * 3n, position: LEFT }));
/** What is due for it: exactly what its deposit is worth at the default price. */
const CLAIM = HOLE * 3n + BigInt(LEFT) * (P1 - LIMIT);
await desk.nextDay([long, short]);
const quiet = [eventsOf(await desk.settleAt([0, P2]))];
await desk.toPartB();
for (const { account, sender } of [long, short]) await desk.direct(sender, await account.renew());
quiet.push(eventsOf(await desk.open()));

async function claiming({ ticketId, key }: RawTicket, claim: bigint): Promise<ProvenTransition> {
  const transition = await desk.raw({ name: "claimTicket", ticketId, claim, relayFee });
  return desk.released(transition, key, { id: ticketId, cash: claim });
}

/** The day that makes the hole. */
async function fall(): Promise<readonly (readonly unknown[])[]> {
  return eventsOf(await desk.settleAt([0, P3]));
}

async function stakeOfOperator(amount: bigint): Promise<void> {
  await drawFromFaucet(x.url, x.deployed.token, x.operatorKey, x.operator.address, amount);
  await approve(x.chain, x.operator, amount);
  await stake(x.operator, amount);
}

/** Past the hole: 30 of its 100 thousand come from the operator, 50 from the fund, and the rest is missing. */
const SHORTAGE = HOLE - 80n * THOUSAND;
async function tornUp(): Promise<bigint> {
  await stakeOfOperator(30n * THOUSAND);
  await contribute(50n * THOUSAND);
  await fall();
  return house.read.payoutRatio();
}

describe("the layers", () => {
  test("the close-out fee pays the first day, and nobody else does [FND-2, FND-3, DEF-10]", async () => {
    assert.deepEqual(quiet, [[], []]);
    const { closeOutAccount } = await house.read.buckets();
    const [, , closeOut] = await house.read.openPositions();
    assert.equal(closeOut[0], BigInt(LEFT));
    assert.equal(closeOutAccount + BigInt(LEFT) * P2, 0n);
    await desk.assertConserved();
  });

  test("the operator's stake pays before the fund, nobody else's stake does, and the market goes on [FND-4, FND-6]", async () => {
    await desk.rollback(async () => {
      await stakeOfOperator(30n * THOUSAND);
      await stake(rich, 500n * THOUSAND);
      await contribute(200n * THOUSAND);
      assert.deepEqual(await fall(), []);
      assert.deepEqual(eventsOf(await desk.open()), [
        ["WaterfallStep", 0, HOLE, 0n, 0n],
        ["WaterfallStep", 1, HOLE, 30n * THOUSAND, 0n],
        ["WaterfallStep", 2, 70n * THOUSAND, 70n * THOUSAND, 0n],
      ]);
      const { operatorStake, guarantyFund, closeOutAccount } = await house.read.buckets();
      assert.deepEqual([operatorStake, guarantyFund], [500n * THOUSAND, 130n * THOUSAND]);
      assert.equal(closeOutAccount + BigInt(LEFT) * P3, 0n);
      const stakes = await Promise.all([x.operator, rich].map(({ address }) => house.read.stakeOf([address])));
      assert.deepEqual(
        stakes.map(({ amount }) => amount),
        [0n, 500n * THOUSAND],
      );
      const [, , closeOut] = await house.read.openPositions();
      assert.deepEqual([closeOut[0], (await marketOf(0)).tornUp], [BigInt(LEFT), false]);
      assert.equal(await house.read.payoutRatio(), WHOLE);
    });
  });

  test("a layer that suffices leaves the next alone [FND-4, FND-5]", async () => {
    await desk.rollback(async () => {
      await stakeOfOperator(150n * THOUSAND);
      await contribute(1n);
      await fall();
      assert.deepEqual(eventsOf(await desk.open()), [
        ["WaterfallStep", 0, HOLE, 0n, 0n],
        ["WaterfallStep", 1, HOLE, HOLE, 0n],
      ]);
      const { operatorStake, guarantyFund } = await house.read.buckets();
      assert.deepEqual([operatorStake, guarantyFund], [50n * THOUSAND, 1n]);
    });
  });

  test("layers that suffice to the unit tear nothing up, and a unit less does [FND-7]", async () => {
    await desk.rollback(async () => {
      await contribute(HOLE);
      assert.deepEqual(await fall(), []);
      await desk.open();
      assert.deepEqual([(await house.read.buckets()).guarantyFund, await house.read.payoutRatio()], [0n, WHOLE]);
    });
    await desk.rollback(async () => {
      await contribute(HOLE - 1n);
      const [first] = await fall();
      assert.deepEqual(first, ["TornUp", 0, P3]);
    });
  });
});

describe("tear-up", () => {
  test("ends the market at fault for everybody at the day's price, without a fee, and no other [FND-7, DEF-2]", async () => {
    await desk.rollback(async () => {
      await stakeOfOperator(30n * THOUSAND);
      await contribute(50n * THOUSAND);
      // Both markets have tickets open at the close.
      const tickets = [
        ...(await desk.openRaw(0, { cash: 10n * THOUSAND, position: 2 })),
        ...(await desk.openRaw(1, { cash: 10n * THOUSAND, position: -2 })),
      ];
      const before = await promised();
      const events = await fall();
      const worth = await promised();
      const ratio = ((worth - SHORTAGE) * WHOLE) / worth;
      assert.ok(worth > before);
      assert.deepEqual(events, [
        ["TornUp", 0, P3],
        ["PayoutRatio", ratio],
      ]);
      const [torn, other] = [await marketOf(0), await marketOf(1)];
      assert.deepEqual([torn.expired, torn.tornUp, other.expired, other.tornUp], [true, true, false, false]);
      // Nothing of it is for sale.
      assert.deepEqual(await house.read.auctionPrice([0]), [0n, 0n]);

      await desk.toPartB();
      const [longCash, shortCash] = [long.account.account.cash, short.account.account.cash];
      await desk.direct(long.sender, await long.account.renew());
      assertHolds(long, longCash + 2n * P3, 0n);
      // The ticket in corn pays for being left open.
      const missing = HOLE - 2n * LIMIT;
      const opening = eventsOf(await desk.open());
      assert.deepEqual(opening.slice(0, 3), [
        ["WaterfallStep", 0, missing, 0n, 0n],
        ["WaterfallStep", 1, missing, 30n * THOUSAND, 0n],
        ["WaterfallStep", 2, missing - 30n * THOUSAND, 50n * THOUSAND, 0n],
      ]);
      const { claims, operatorStake, guarantyFund } = await house.read.buckets();
      assert.deepEqual([operatorStake, guarantyFund], [0n, 0n]);
      // The ticket in hogs without the fee, that in corn with it.
      assert.equal(claims, CLAIM + 10n * THOUSAND + 2n * P3 + 10n * THOUSAND - 2n * P1 - 2n * LIMIT);
      const [pool, sums, closeOut] = await house.read.openPositions();
      assert.deepEqual([pool[0], sums[0].net, closeOut[0]], [0n, 0n, 0n]);
      assert.equal(closeOut[1], -2n);

      // The seat that missed this renewal pays no fee for the torn-up market either; the one that missed an earlier day's
      // pays that day's.
      await desk.direct(short.sender, await short.account.rejoin());
      assertHolds(short, shortCash - 3n * P3, 0n);
      await desk.direct(gone.sender, await gone.account.rejoin());
      assertHolds(gone, goneCash + P1 - LIMIT, 0n);
      await desk.plantRoot();
      const [hogs] = tickets;
      assert.ok(hogs !== undefined);
      assert.deepEqual(skipsOf(await desk.batch([await claiming(hogs, 10n * THOUSAND + 2n * P3)])), []);

      // The contract goes on where it ended, with nobody in it.
      const next = await marketOf(0);
      assert.deepEqual([next.listed, next.contractId, next.centre], [true, HOGS.contractId, P3]);
      const [buyer, seller] = await desk.openRaw(0, { cash: 20n * THOUSAND }, { cash: 20n * THOUSAND });
      assert.ok(buyer !== undefined && seller !== undefined);
      await desk.trade(buyer, seller, P3, 2);
      assert.equal((await house.read.openPositions())[1][0].gross, 4n);
    });
  });

  test("one contract left behind while money is missing tears no market up [FND-7]", async () => {
    await desk.rollback(async () => {
      await tornUp();
      await desk.open();
      await desk.plantRoot();
      // Its fee pays for the day.
      await desk.openRaw(1, { cash: 10n * THOUSAND, position: 1 });
      await desk.close();
      await desk.open();
      const events = eventsOf(await desk.settleAt([1, P2]));
      assert.deepEqual(
        events.filter(([name]) => name === "TornUp"),
        [],
      );
      assert.equal((await marketOf(1)).tornUp, false);
    });
  });
});

describe("the payout ratio", () => {
  test("is the same for the first and the last who leaves, in the window and after it [FND-8, FEE-5]", async () => {
    await desk.rollback(async () => {
      const ratio = await tornUp();
      assert.ok(ratio < WHOLE && ratio > 0n);
      await desk.assertConserved();
      const leave = async (amount: bigint, inWindow: boolean): Promise<void> => {
        const [to, now] = [freshAddress(), await house.read.payoutRatio()];
        const withdrawal = await desk.rawWithdraw(amount, to, inWindow ? 0n : relayFee);
        const receipt = await (inWindow ? desk.direct(rich, withdrawal) : desk.batch([withdrawal]));
        assert.deepEqual(skipsOf(receipt), []);
        assert.equal(await readTokenBalance(x.chain, to), sharePaid(amount, now));
        await desk.assertConserved();
      };
      await leave(2_000n * THOUSAND, true);
      await desk.open();
      // To the last digits, which rounding takes.
      const after = await house.read.payoutRatio();
      assert.ok(magnitude(after - ratio) < 1_000_000n, `${ratio} and then ${after}`);
      await desk.plantRoot();
      await leave(3_000n * THOUSAND, false);
      assert.deepEqual(skipsOf(await desk.batch([await claiming(abandoned, CLAIM)])), []);
      const { poolCash } = await house.read.buckets();
      await leave(poolCash - relayFee, false);
      // All that is missing now is what the fees have to bear.
      const { poolCash: nothing, closeOutAccount, fees } = await house.read.buckets();
      const bears = fees - sharePaid(fees, after);
      assert.equal(nothing, 0n);
      assert.ok(magnitude(-closeOutAccount - bears) < 10n, `${closeOutAccount} and ${bears}`);
      const to = freshAddress();
      await call(x.chain, x.operator, { functionName: "collectFees", args: [to] });
      assert.equal(await readTokenBalance(x.chain, to), sharePaid(fees, after));
      const left = await house.read.buckets();
      assert.ok(magnitude(left.closeOutAccount) < 10n, `${left.closeOutAccount}`);
    });
  });

  test("holds for the equity of who leaves from a default, not for the bond [FND-8, DEF-7]", async () => {
    await desk.rollback(async () => {
      const ratio = await tornUp();
      const to = freshAddress();
      await desk.direct(rich, await gone.account.exit(to));
      assert.equal(await readTokenBalance(x.chain, to), sharePaid(goneCash + P1 - LIMIT, ratio));
      await desk.open();
      const seat = await desk.newSeat();
      const bond = freshAddress();
      await desk.batch([await seat.account.closeSeat(bond)]);
      assert.equal(await readTokenBalance(x.chain, bond), seatBond - relayFee);
    });
  });

  test("keeps new money out in Trading, whole as a credit, and lets it meet a margin call [FND-8, CRE-4]", async () => {
    await desk.rollback(async () => {
      await tornUp();
      const credit = await desk.newCredit(1_000n);
      const funding = await desk.rawFund(credit, 0n);
      assert.deepEqual(skipsOf(await desk.direct(rich, funding)), []);
      await desk.open();
      await desk.plantRoot();
      const kept = await desk.newCredit(1_000n);
      await desk.skips([await desk.rawFund(kept)], "PoolShort");
      await call(x.chain, kept.depositor, { functionName: "requestCreditRefund", args: [kept.creditId] });
      await x.advanceTime(x.terms.refundDelay);
      await call(x.chain, rich, { functionName: "refundCredit", args: [kept.creditId] });
      assert.equal(await readTokenBalance(x.chain, kept.depositor.address), kept.amount);
    });
  });

  test("is one again after a contribution, from the next opening on [FND-1, FND-8]", async () => {
    await desk.rollback(async () => {
      const ratio = await tornUp();
      await contribute(25n * THOUSAND);
      assert.equal(await house.read.payoutRatio(), ratio);
      const events = eventsOf(await desk.open());
      assert.deepEqual(events.at(-1), ["PayoutRatio", WHOLE]);
      assert.equal((await house.read.buckets()).guarantyFund, 5n * THOUSAND);
      await desk.plantRoot();
      const [to, amount] = [freshAddress(), 1_000n * THOUSAND];
      await desk.batch([await desk.rawWithdraw(amount, to)]);
      assert.equal(await readTokenBalance(x.chain, to), amount);
    });
  });
});

describe("the operator's stake", () => {
  test("is more than nothing, is taken back in the day after next only, and pays until then [FND-6]", async () => {
    await desk.rollback(async () => {
      const { address } = rich;
      const late = await x.fundedSender(THOUSAND);
      const withdrawableIn = x.state.epoch + 2;
      await desk.refuses(() => stake(rich, 0n), "ZeroAmount");
      await desk.refuses(() => requestUnstake(rich), "NothingStaked", { operator: address });
      await desk.refuses(() => unstake(rich), "NothingStaked", { operator: address });
      await contribute(HOLE);
      for (const sender of [rich, rich, late]) await stake(sender, THOUSAND);
      await desk.refuses(() => unstake(rich), "NotUnstakable", { withdrawableIn: 0 });
      for (const sender of [rich, late]) await requestUnstake(sender);
      await desk.refuses(() => unstake(rich), "NotUnstakable", { withdrawableIn });
      await desk.nextDay();
      await desk.refuses(() => unstake(rich), "NotUnstakable", { withdrawableIn, epoch: withdrawableIn - 1 });
      await desk.nextDay();
      const before = await readTokenBalance(x.chain, address);
      await unstake(rich);
      assert.equal(await readTokenBalance(x.chain, address), before + 2n * THOUSAND);
      assert.equal((await house.read.buckets()).operatorStake, THOUSAND);
      await desk.refuses(() => unstake(rich), "NothingStaked");
      // Not where the day's price is known, and not a day later.
      await desk.close();
      await desk.refuses(() => unstake(late), "NotUnstakable", { withdrawableIn, epoch: withdrawableIn });
      await desk.open();
      await desk.refuses(() => unstake(late), "NotUnstakable", { withdrawableIn, epoch: withdrawableIn + 1 });
    });
  });
});
