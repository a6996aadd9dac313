import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { encodeFunctionData, parseEventLogs, stringToHex } from "viem";
import { clearingHouseAbi, marketRegistryAbi } from "../../src/protocol/abi.ts";
import { call, closeEpoch, openSeat, readTokenBalance, type Sender } from "../../src/chain/clearingHouse.ts";
import type { MarketTerms } from "../../src/chain/deploy.ts";
import { DOLLAR, LEAN_HOG_TERMS, TICK } from "../../src/clearing/leanHogs.ts";
import type { Hex } from "../../src/protocol/keys.ts";
import { ProverRefused } from "../../src/prover/prover.ts";
import { freshAddress, fresh, only, type RawTicket, startDesk, type Trader } from "../support/desk.ts";

// Days that follow each other, at prices around and below zero.

const HOUR = 3_600n;
const START = BigInt(Math.floor(Date.now() / 1000));

/** A contract whose price has fallen to zero, of which one lot makes the price of the day. */
const ZERO: MarketTerms = {
  ...LEAN_HOG_TERMS,
  contractId: stringToHex("CRUDE", { size: 32 }),
  listingPrice: 0n,
  minimumVolume: 1,
  minimumMinutes: 1,
};
const NEGATIVE = -2_000n * DOLLAR;
/** Its last trading time lies between the second and the third close. */
const ENDING: MarketTerms = {
  ...ZERO,
  contractId: stringToHex("ENDING", { size: 32 }),
  listingPrice: NEGATIVE,
  lastTradingTime: START + 15n * HOUR,
};
const CUT_OFF: MarketTerms = { ...ENDING, contractId: stringToHex("CUT OFF", { size: 32 }) };
const SHORT: MarketTerms = { ...ENDING, contractId: stringToHex("SHORT", { size: 32 }), lastTradingTime: START + HOUR };

const { priceLimit: LIMIT, closeOutFee: FEE, fillFee, maintenanceMargin, initialMargin } = ZERO;

const desk = await startDesk({ markets: [ZERO, ENDING, CUT_OFF, SHORT], governanceDelay: 30_000 });
const { x, house } = desk;
const { seatBond, lateFee, relayFee } = x.terms;
const bystander = await x.fundedSender(0n);
const beginRenewals = (): Promise<unknown> => call(x.chain, bystander, { functionName: "beginRenewals", args: [] });
const openEpoch = (): Promise<unknown> => call(x.chain, bystander, { functionName: "openEpoch", args: [] });

await desk.fillPool(10_000_000n);

const RICH = { cash: 100_000n * DOLLAR };

/** Ends the day with one lot traded at closing time in each of these slots. */
async function settleAt(...prices: readonly (readonly [slot: number, price: bigint])[]): Promise<void> {
  await desk.toClosingTime();
  await desk.plantRoot();
  for (const [slot, price] of prices) {
    const [buyer, seller] = (await desk.openRaw(slot, RICH, RICH)) as [RawTicket, RawTicket];
    await desk.trade(buyer, seller, price, 1);
    // Both would be left over otherwise.
    await desk.batch([await desk.rawClose(buyer), await desk.rawClose(seller)]);
  }
  await desk.close();
}

async function marketOf(slot: number, epoch = x.state.epoch) {
  return house.read.marketOf([epoch, slot]);
}

async function bondOf({ account }: Trader): Promise<bigint> {
  return (await house.read.seatOf([account.keys.ownerKey])).bond;
}

/** Opens a ticket from the account and trades there; the ticket stays open. */
async function tradeBetween(
  buyer: Trader,
  seller: Trader,
  price: bigint,
  quantity: number,
  slot = 0,
): Promise<readonly [buying: Hex, selling: Hex]> {
  const sides = [
    [seller, "sell"],
    [buyer, "buy"],
  ] as const;
  const opened = [];
  for (const [{ account }, side] of sides) {
    opened.push(
      await account.openTickets(slot, [account.ticketFor(slot, { side, price, quantity: BigInt(quantity) })]),
    );
  }
  await desk.batch(opened.map(({ transition }) => transition));
  const [selling, buying] = opened.map(({ tickets }) => only(tickets).ticketId) as [Hex, Hex];
  const terms = { limitPrice: price, quantity, expiry: 4_000_000_000n };
  const orders = [
    await seller.account.signOrder(selling, { ...terms, side: "sell" }),
    await buyer.account.signOrder(buying, { ...terms, side: "buy" }),
  ];
  await desk.batch([], orders, [await desk.fill({ price, quantity })]);
  return [buying, selling];
}

async function closeTickets(...pairs: readonly (readonly [Trader, Hex])[]): Promise<void> {
  for (const [{ account }, ticketId] of pairs) await desk.batch([await account.closeTicket(ticketId)]);
}

describe("the clock", () => {
  test("the day closes at closing time, for others than the operator after a grace, and once [EPO-1, EPO-3]", async () => {
    await desk.rollback(async () => {
      const { closingTime } = await house.read.epochOf([1]);
      const [byOperator, byAnybody] = [x.operator, bystander].map(
        (sender: Sender) => () => closeEpoch(x.chain, sender),
      );
      assert.ok(byOperator !== undefined && byAnybody !== undefined);
      await desk.refuses(openEpoch, "NotInPhase", { phase: 1 });
      await desk.refuses(byOperator, "TooEarly", { earliest: closingTime });
      await x.advanceTime(Number(closingTime - (await x.now())) - 60);
      await desk.refuses(byOperator, "TooEarly");
      await x.advanceTime(60);
      const grace = BigInt(x.terms.settleGrace);
      await desk.refuses(byAnybody, "TooEarly", { earliest: closingTime + grace });
      await x.advanceTime(x.terms.settleGrace);
      await byAnybody();
      await desk.sync();
      await desk.refuses(byOperator, "NotInPhase", { phase: 0 });
    });
  });

  test("the next day opens after all seconds and all blocks of the window, by anybody, and once [EPO-6]", async () => {
    await desk.rollback(async () => {
      await desk.close();
      await desk.refuses(openEpoch, "TooEarly");
      await x.advanceTime(x.terms.windowA + x.terms.windowB - 60);
      await desk.refuses(openEpoch, "TooEarly");
      await x.advanceTime(60);
      await desk.refuses(openEpoch, "RenewalsNotBegun");
      await desk.refuses(beginRenewals, "BlocksMissing");
      await x.mine(x.terms.windowBlocks);
      await beginRenewals();
      const { renewalsBlock } = await house.read.epochOf([1]);
      const earliest = renewalsBlock + BigInt(x.terms.windowBlocks);
      await desk.refuses(openEpoch, "BlocksMissing", { earliest });
      await x.mine(x.terms.windowBlocks - 1);
      // It counts from the first time on.
      await beginRenewals();
      await openEpoch();
      await desk.sync();
      assert.equal(x.state.epoch, 2);
      await desk.refuses(openEpoch, "NotInPhase");
    });
  });
});

describe("a day at negative prices", () => {
  test("is traded, settled, renewed and paid out like any other [NUM-3, SET-6, SEA-6, CON-1]", async () => {
    await desk.rollback(async () => {
      const [long, short] = [await desk.newTrader(30_000n), await desk.newTrader(30_000n)];
      const cash = long.account.account.cash;
      const price = -5n * TICK;
      const [buying, selling] = await tradeBetween(long, short, price, 3);
      await desk.assertConserved();
      await closeTickets([long, buying], [short, selling]);
      // Buying at a negative price brings cash in.
      assert.equal(long.account.account.cash, cash - 3n * price - 3n * fillFee - 2n * relayFee);
      const settlement = -90n * TICK;
      await settleAt([0, settlement]);
      assert.equal((await marketOf(0)).settlementPrice, settlement);
      await desk.toPartB();
      for (const { account, sender } of [long, short]) await desk.direct(sender, await account.renew());
      await desk.open();
      assert.equal((await marketOf(0)).centre, settlement);
      assert.equal(long.account.equity(), cash - 3n * (price - settlement) - 3n * fillFee - 2n * relayFee);
      // The winner takes his gain out, to the unit that the initial band allows.
      const most = short.account.freeCash - relayFee;
      await assert.rejects(short.account.withdraw(freshAddress(), most + 1n), ProverRefused);
      const to = freshAddress();
      await desk.batch([await short.account.withdraw(to, most)]);
      assert.equal(await readTokenBalance(x.chain, to), most);
    });
  });

  test("crosses zero in one day and goes no further than its limit [SET-5]", async () => {
    await desk.rollback(async () => {
      await settleAt([0, LIMIT]);
      await desk.open();
      await settleAt([0, 0n]);
      await desk.open();
      await settleAt([0, -LIMIT]);
      await desk.open();
      assert.equal((await marketOf(0)).centre, -LIMIT);
    });
  });
});

describe("tickets left over", () => {
  test("are booked at default prices from their sums, and claimed to the unit [DEF-1, DEF-3, DEF-4, TKT-13]", async () => {
    await desk.rollback(async () => {
      const tickets = (await desk.openRaw(0, RICH, RICH, { cash: initialMargin * 2n, position: 2 })) as [
        RawTicket,
        RawTicket,
        RawTicket,
      ];
      const [buyer, seller, carried] = tickets;
      await desk.trade(buyer, seller, -3n * TICK, 4);
      const held = await Promise.all(tickets.map(({ ticketId }) => house.read.ticketOf([ticketId])));
      const settlement = -20n * TICK;
      await settleAt([0, settlement]);
      const { buckets } = await desk.fingerprint();
      const { logs } = await desk.open();
      const worth = held.map(
        ({ cash, position }) => cash + BigInt(position) * settlement - BigInt(Math.abs(position)) * FEE,
      );
      const total = worth.reduce((sum, claim) => sum + claim, 0n);
      const [booked] = parseEventLogs({ abi: clearingHouseAbi, logs, eventName: "LeftOverTickets" });
      assert.deepEqual([booked?.args.claims, booked?.args.net, booked?.args.gross], [total, 2n, 10n]);
      const now = await house.read.buckets();
      assert.equal(now.claims, total);
      assert.equal(now.ticketCash, 0n);
      assert.equal(now.closeOutAccount, buckets.closeOutAccount + 10n * FEE - 2n * settlement);
      const [, , fund] = await house.read.openPositions();
      assert.equal(fund[0], 2n);

      await desk.plantRoot();
      for (const [i, { ticketId, key }] of tickets.entries()) {
        const claim = worth[i] ?? 0n;
        const claiming = async (amount: bigint, signer = key) =>
          desk.released(await desk.raw({ name: "claimTicket", ticketId, claim: amount, relayFee }), signer, {
            id: ticketId,
            cash: amount,
          });
        await desk.skips([await claiming(claim + 1n)], "TicketUnavailable");
        const stolen = await claiming(claim, i === 0 ? seller.key : buyer.key);
        await desk.refuses(() => desk.batch([stolen]), "WrongSigner");
        const right = await claiming(claim);
        await desk.refuses(() => desk.batch([{ ...right, newNote: fresh() }]), "WrongSigner");
        await desk.batch([right]);
        await desk.skips([await claiming(claim)], "TicketUnavailable");
      }
      assert.equal((await house.read.buckets()).claims, 0n);
      await desk.skips([await desk.rawClose(carried)], "TicketUnavailable");
    });
  });

  test("may be claimed in part A of a later window as well [ACT-1]", async () => {
    await desk.rollback(async () => {
      const { ticketId, key } = only(await desk.openRaw(0, RICH));
      await desk.nextDay();
      await desk.plantRoot();
      await desk.close();
      const action = { name: "claimTicket", ticketId, claim: RICH.cash, relayFee: 0n } as const;
      await desk.direct(bystander, await desk.released(await desk.raw(action), key, { id: ticketId, cash: RICH.cash }));
      assert.equal((await house.read.buckets()).claims, 0n);
    });
  });
});

describe("the end of a contract", () => {
  const [P1, P2, P3] = [NEGATIVE + 50n * TICK, NEGATIVE - 25n * TICK, NEGATIVE - 50n * TICK];
  /** (50 - 25 - 50) / 3 ticks is -8.33. */
  const MEAN = NEGATIVE - 8n * TICK;

  async function toThirdClose(slot: number, change?: () => Promise<void>): Promise<void> {
    await settleAt([slot, P1]);
    await desk.open();
    await change?.();
    await settleAt([slot, P2]);
    await desk.open();
    await settleAt([slot, P3]);
  }

  test("is the mean of its last three days; positions become cash, and the slot is free [SET-9, CON-6, DEF-2]", async () => {
    await desk.rollback(async () => {
      const carried = { cash: -(NEGATIVE - initialMargin) * 2n, position: 2 };
      await toThirdClose(1);
      assert.equal((await marketOf(1)).expired, true);
      assert.equal((await marketOf(1)).settlementPrice, MEAN);
      await desk.open();
      assert.equal((await marketOf(1)).listed, false);
      await desk.plantRoot();
      const opening = await desk.rawOpening(1, [carried]);
      await desk.refuses(() => desk.batch([opening.transition]), "MarketNotListed", { slot: 1 });
    });
    await desk.rollback(async () => {
      await settleAt([1, P1]);
      await desk.open();
      await settleAt([1, P2]);
      await desk.open();
      await desk.plantRoot();
      const ticket = only(await desk.openRaw(1, { cash: 20_000n * DOLLAR, position: 2 }));
      await settleAt([1, P3]);
      const before = await desk.fingerprint();
      await desk.open();
      // No fee on an expired contract, and no position is left anywhere.
      const { buckets, positions } = await desk.fingerprint();
      assert.equal(buckets.claims, 20_000n * DOLLAR + 2n * MEAN);
      assert.equal(buckets.poolCash, before.buckets.poolCash - 2n * MEAN);
      assert.equal(buckets.closeOutAccount, before.buckets.closeOutAccount);
      assert.deepEqual([positions[0][1], positions[1][1].net, positions[2][1]], [0n, 0n, 0n]);
      assert.equal((await house.read.ticketOf([ticket.ticketId])).position, 2);
    });
  });

  test("waits for three days of prices; meanwhile only reducing is allowed [SET-9, TKT-16]", async () => {
    await desk.rollback(async () => {
      await settleAt([3, P1]);
      assert.equal((await marketOf(3)).expired, false);
      await desk.open();
      const { closingOnly, centre } = await marketOf(3);
      assert.deepEqual([closingOnly, centre], [true, P1]);
      await desk.plantRoot();
      const { transition } = await desk.rawOpening(3, [RICH]);
      await desk.refuses(() => desk.batch([transition]), "ClosingOnly", { slot: 3 });
      const reducing = { cash: -(P1 - maintenanceMargin), position: 1, reduceOnly: true };
      await desk.batch([(await desk.rawOpening(3, [reducing])).transition]);
      await desk.close();
      await desk.open();
      await desk.close();
      assert.equal((await marketOf(3)).expired, true);
    });
  });

  test("is put off where the limits cut the mean off [SET-10]", async () => {
    await desk.rollback(async () => {
      const narrow = { ...CUT_OFF, priceLimit: 300n * DOLLAR, expandedLimit: 300n * DOLLAR };
      const data = encodeFunctionData({ abi: marketRegistryAbi, functionName: "scheduleMarket", args: [2, narrow] });
      const hash = await x.owner.wallet.sendTransaction({ to: x.deployed.registry, data });
      await x.chain.client.waitForTransactionReceipt({ hash });
      const low = NEGATIVE - LIMIT;
      await settleAt([2, NEGATIVE]);
      await desk.open();
      await settleAt([2, low]);
      await desk.open();
      assert.equal((await marketOf(2)).priceLimit, 300n * DOLLAR);
      // The mean is 700 dollars above the day's centre.
      await settleAt([2, low + 300n * DOLLAR]);
      const { expired, settlementPrice } = await marketOf(2);
      assert.deepEqual([expired, settlementPrice], [false, low + 300n * DOLLAR]);
      await desk.open();
      const next = await marketOf(2);
      assert.deepEqual([next.listed, next.closingOnly], [true, true]);
      await settleAt();
      assert.equal((await marketOf(2)).expired, true);
    });
  });

  test("settles accounts at renewal, at their default and in the pool alike [CIR-6, CON-6, CON-7]", async () => {
    await desk.rollback(async () => {
      const [long, short] = [await desk.newTrader(30_000n), await desk.newTrader(30_000n)];
      for (const price of [P1, P2]) {
        await settleAt([1, price]);
        await desk.toPartB();
        for (const { account, sender } of [long, short]) await desk.direct(sender, await account.renew());
        await desk.open();
      }
      const [buying, selling] = await tradeBetween(long, short, P2 + 2n * TICK, 2, 1);
      await closeTickets([long, buying], [short, selling]);
      await settleAt([1, P3]);
      await desk.toPartB();
      const { cash } = long.account.account;
      await desk.direct(long.sender, await long.account.renew());
      await desk.open();
      const settled = (await marketOf(1, 3)).settlementPrice;
      assert.equal(settled, MEAN);
      assert.equal(long.account.account.cash, cash + 2n * settled);
      assert.equal(long.account.account.positions[1], 0n);
      // Who did not renew is settled at the same price, without a fee.
      const shortCash = short.account.account.cash;
      await desk.direct(short.sender, await short.account.rejoin());
      assert.equal(short.account.account.cash, shortCash - 2n * settled);
      assert.deepEqual((await house.read.openPositions())[0][1], 0n);
    });
  });
});

describe("dropping out", () => {
  /** A trader with 5 contracts, or none, who misses `days` renewals. */
  async function inDefault(flat: boolean, days: number): Promise<Trader> {
    const trader = await desk.newTrader(40_000n);
    if (!flat) {
      const other = await desk.newTrader(40_000n);
      const [buying, selling] = await tradeBetween(trader, other, 0n, 5);
      await closeTickets([trader, buying], [other, selling]);
    }
    for (let day = 0; day < days; day++) await desk.nextDay();
    return trader;
  }

  const cases = [
    {
      what: "flat and in time keeps the bond less the late fee",
      rule: "DEF-8",
      flat: true,
      days: 1,
      kept: seatBond - lateFee,
    },
    { what: "flat and too late loses the bond", rule: "DEF-8", flat: true, days: 2, kept: 0n },
    { what: "with a position loses the bond", rule: "DEF-6, DEF-7", flat: false, days: 1, kept: 0n },
  ] as const;
  for (const { what, rule, flat, days, kept } of cases) {
    test(`a seat that comes back ${what} [${rule}]`, async () => {
      await desk.rollback(async () => {
        const trader = await inDefault(flat, days);
        const { closeOutAccount } = await house.read.buckets();
        const { cash } = trader.account.account;
        const tokens = await readTokenBalance(x.chain, trader.sender.address);
        await desk.direct(trader.sender, await trader.account.rejoin());
        const paid = kept > 0n ? 0n : seatBond;
        assert.equal(await readTokenBalance(x.chain, trader.sender.address), tokens - paid);
        assert.equal(await bondOf(trader), kept > 0n ? kept : seatBond);
        assert.equal((await house.read.buckets()).closeOutAccount, closeOutAccount + seatBond - kept);
        assert.equal(trader.account.account.cash, flat ? cash : cash - 5n * FEE);
        assert.deepEqual(trader.account.account.positions, Array<bigint>(8).fill(0n));
        // In the tree of today, and live: it renews like any other.
        await desk.nextDay([trader]);
        assert.deepEqual(trader.account.status, { status: "active", epoch: days + 2 });
      });
    });

    test(`a seat that exits ${what} [${rule}]`, async () => {
      await desk.rollback(async () => {
        const trader = await inDefault(flat, days);
        const { closeOutAccount } = await house.read.buckets();
        const { cash } = trader.account.account;
        const to = freshAddress();
        await desk.direct(bystander, await trader.account.exit(to));
        assert.equal(await readTokenBalance(x.chain, to), (flat ? cash : cash - 5n * FEE) + kept);
        assert.equal((await house.read.buckets()).closeOutAccount, closeOutAccount + seatBond - kept);
        assert.deepEqual(await house.read.seatOf([trader.account.keys.ownerKey]), {
          status: 3,
          lastEpoch: 1,
          bond: 0n,
        });
        const again = openSeat(x.chain, trader.sender, trader.account.keys.ownerKey);
        await assert.rejects(again, { code: "OwnerKeyUsed" });
      });
    });
  }

  test("a position cannot be passed off as none, and more than the equity not taken [DEF-8, CIR-5]", async () => {
    await desk.rollback(async () => {
      const trader = await inDefault(false, 1);
      await assert.rejects(trader.account.rejoin({ flat: true }), ProverRefused);
      await assert.rejects(trader.account.exit(freshAddress(), { flat: true }), ProverRefused);
    });
  });

  test("one comes back once, from one's own epoch, and not by renewing [DEF-11]", async () => {
    await desk.rollback(async () => {
      const trader = await inDefault(true, 1);
      const [rejoining, exiting] = [await trader.account.rejoin(), await trader.account.exit(freshAddress())];
      const seat = trader.account.keys.ownerKey;
      // Another seat's claim to have dropped out.
      const live = await desk.newSeat();
      const stranger = { ...rejoining, seat: live.account.keys.ownerKey };
      await desk.refuses(() => desk.direct(trader.sender, stranger), "NotApplied", { reason: 4 });
      await desk.direct(trader.sender, rejoining);
      await desk.refuses(() => desk.direct(trader.sender, rejoining), "NotApplied", { reason: 1 });
      await desk.refuses(() => desk.direct(bystander, exiting), "NotApplied", { reason: 1 });
      await desk.refuses(() => desk.direct(bystander, { ...exiting, nullifier: fresh() }), "NotApplied", { reason: 4 });
      assert.equal((await house.read.seatOf([seat])).lastEpoch, 2);
    });
    await desk.rollback(async () => {
      const trader = await inDefault(true, 1);
      await desk.close();
      await desk.toPartB();
      const seat = trader.account.keys.ownerKey;
      const old = await desk.raw({ name: "renew", relayFee: 0n }, { seat, tree: 1n });
      await desk.refuses(() => desk.direct(bystander, old), "UnknownRoot", { tree: 2 });
      await desk.plantRoot();
      // Leaving is possible in the Window too.
      await desk.direct(bystander, await trader.account.exit(freshAddress()));
    });
  });

  test("a new bond must be paid, and the old one is not lost while it is not [DEF-6]", async () => {
    await desk.rollback(async () => {
      const trader = await inDefault(false, 1);
      const rejoining = await trader.account.rejoin();
      await desk.refuses(() => desk.direct(bystander, rejoining), "ERC20InsufficientAllowance");
      assert.equal(await bondOf(trader), seatBond);
    });
  });

  test("anybody moves the bond of a seat that stays away to the fund, once [DEF-9]", async () => {
    await desk.rollback(async () => {
      const trader = await inDefault(true, 1);
      const { ownerKey } = trader.account.keys;
      const forfeit = () => call(x.chain, bystander, { functionName: "forfeitBond", args: [ownerKey] });
      await desk.refuses(forfeit, "NothingToForfeit", { ownerKey });
      await desk.nextDay();
      const { closeOutAccount } = await house.read.buckets();
      await forfeit();
      assert.equal((await house.read.buckets()).closeOutAccount, closeOutAccount + seatBond - x.terms.reporterReward);
      await desk.refuses(forfeit, "NothingToForfeit", { ownerKey });
      await desk.direct(trader.sender, await trader.account.rejoin());
      assert.equal(await bondOf(trader), seatBond);
      await desk.refuses(forfeit, "NothingToForfeit", { ownerKey });
      await desk.refuses(
        () => call(x.chain, bystander, { functionName: "forfeitBond", args: [fresh()] }),
        "NothingToForfeit",
      );
    });
  });
});

describe("sleeping", () => {
  test("costs nothing for days, is safe from forfeit, and ends by waking or closing [SEA-7, SEA-8, SEA-9, SEA-10]", async () => {
    await desk.rollback(async () => {
      const sleeper = await desk.newTrader(1_000n);
      await desk.batch([await sleeper.account.sleep()]);
      const { cash } = sleeper.account.account;
      for (let day = 0; day < 3; day++) await desk.nextDay();
      const { ownerKey } = sleeper.account.keys;
      const forfeit = () => call(x.chain, bystander, { functionName: "forfeitBond", args: [ownerKey] });
      await desk.refuses(forfeit, "NothingToForfeit");
      const waking = await sleeper.account.wake();
      await desk.direct(bystander, waking);
      assert.deepEqual(sleeper.account.status, { status: "active", epoch: 4 });
      assert.equal(sleeper.account.account.cash, cash);
      await desk.refuses(() => desk.direct(bystander, waking), "NotApplied", { reason: 1 });
      await desk.refuses(() => desk.direct(bystander, { ...waking, nullifier: fresh() }), "NotApplied", { reason: 4 });
      await desk.batch([await sleeper.account.withdraw(freshAddress(), cash - 2n * relayFee)]);
      await desk.batch([await sleeper.account.sleep()]);
      const to = freshAddress();
      const closing = await sleeper.account.closeSeat(to);
      await desk.direct(bystander, closing);
      assert.equal(await readTokenBalance(x.chain, to), seatBond);
      await desk.refuses(() => desk.direct(bystander, { ...closing, nullifier: fresh() }), "NotApplied", { reason: 4 });
    });
  });

  test("is for flat accounts only [SEA-7]", async () => {
    await desk.rollback(async () => {
      const [long, short] = [await desk.newTrader(20_000n), await desk.newTrader(20_000n)];
      const [buying, selling] = await tradeBetween(long, short, 0n, 1);
      await closeTickets([long, buying], [short, selling]);
      for (const { account } of [long, short]) await assert.rejects(account.sleep(), ProverRefused);
    });
  });

  test("does not renew, fund or withdraw [SEA-8]", async () => {
    await desk.rollback(async () => {
      const { account, sender } = await desk.newTrader(1_000n);
      await desk.batch([await account.sleep()]);
      await desk.close();
      await desk.toPartB();
      const renewing = await desk.raw({ name: "renew", relayFee: 0n }, { seat: account.keys.ownerKey });
      await desk.refuses(() => desk.direct(sender, renewing), "NotApplied", { reason: 4 });
    });
  });
});

describe("the guaranty fund", () => {
  test("fills a hole of the pool at the opening, as far as it can itself pay [FND-4, FND-5]", async () => {
    await desk.rollback(async () => {
      // A long account and a short ticket that is left to the fund; then the price falls day after day.
      const [long, short] = [await desk.newTrader(5_000n), await desk.newTrader(5_000n)];
      const [buying] = await tradeBetween(long, short, 0n, 1);
      await closeTickets([long, buying]);
      // Takes out what the other tests left in the pool, so that only these two accounts stand in it.
      const cover = await house.read.poolCover();
      const owned = long.account.account.cash + short.account.account.cash - LIMIT;
      await desk.batch([
        await desk.raw({ name: "withdraw", to: freshAddress(), amount: cover - owned - relayFee, relayFee }),
      ]);
      await desk.batch([await short.account.withdraw(freshAddress(), short.account.account.cash - relayFee)]);
      let price = 0n;
      let gap = 0n;
      for (let day = 0; day < 6 && gap === 0n; day++) {
        price -= LIMIT;
        await settleAtFromOutside(price);
        const { buckets } = await desk.fingerprint();
        const { logs } = await desk.open();
        const [step] = parseEventLogs({ abi: clearingHouseAbi, logs, eventName: "WaterfallStep" });
        if (step === undefined) continue;
        gap = step.args.need;
        assert.equal(step.args.toPool, gap);
        assert.equal(step.args.layer, 0);
        assert.equal(await house.read.poolCover(), 0n);
        const booked = parseEventLogs({ abi: clearingHouseAbi, logs, eventName: "LeftOverTickets" });
        assert.deepEqual(booked, []);
        assert.equal((await house.read.buckets()).closeOutAccount, buckets.closeOutAccount - gap);
      }
      assert.ok(gap > 0n);
    });
  });

  /** A price for the day without moving the pool: both tickets come from one deposit and go back. */
  async function settleAtFromOutside(price: bigint): Promise<void> {
    await desk.toClosingTime();
    await desk.plantRoot();
    const credit = await desk.newCredit(20_000n);
    await desk.batch([await desk.rawFund(credit)]);
    const [buyer, seller] = (await desk.openRaw(0, { cash: 9_000n * DOLLAR }, { cash: 9_000n * DOLLAR })) as [
      RawTicket,
      RawTicket,
    ];
    await desk.trade(buyer, seller, price, 1);
    await desk.batch([await desk.rawClose(buyer), await desk.rawClose(seller)]);
    const spent = 5n * relayFee + 2n * fillFee;
    const amount = 20_000n * DOLLAR - spent - relayFee;
    await desk.batch([await desk.raw({ name: "withdraw", to: freshAddress(), amount, relayFee })]);
    await desk.close();
  }
});
