import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import {
  createTestClient,
  encodeFunctionData,
  http,
  parseAbi,
  parseEventLogs,
  publicActions,
  type TransactionReceipt,
  walletActions,
} from "viem";
import { z } from "zod";
import { deployWithLibraries } from "../../src/chain/artifacts.ts";
import type { MarketTerms } from "../../src/chain/deploy.ts";
import { DOLLAR, LEAN_HOG_TERMS, priceOfMilliCents, TICK } from "../../src/clearing/leanHogs.ts";
import {
  contractIdOf,
  parseMarketSchedule,
  type PlannedStep,
  planSchedule,
} from "../../src/clearing/marketSchedule.ts";
import { readRegistry, scheduleMarket } from "../../src/clearing/registry.ts";
import { clearingHouseAbi } from "../../src/protocol/abi.ts";
import type { Hex } from "../../src/protocol/keys.ts";
import { hedgerow } from "../support/commandLine.ts";
import { type RawTicket, startDesk } from "../support/desk.ts";

// Four markets at once through their lives: listed, limited, ended at their last prices or by a feed, and followed.

const HOUR = 3_600n;
const START = BigInt(Math.floor(Date.now() / 1_000));
/** Between the second and the third close. */
const END = START + 15n * HOUR;
const DELAY = 30_000;

const FEB_FEED: Hex = "0x00000000000000000000000000000000feed0001";
const WTI_FEED: Hex = "0x00000000000000000000000000000000feed0002";

const hogs = (month: string, milliCents: number): MarketTerms => ({
  ...LEAN_HOG_TERMS,
  contractId: contractIdOf(`LEAN HOGS ${month}`),
  listingPrice: priceOfMilliCents(milliCents),
  expandedLimit: 1_500n * DOLLAR,
  closeOutFee: 1_500n * DOLLAR,
  minimumVolume: 1,
  minimumMinutes: 1,
});

/** Quoted in cents a pound: 400 dollars a contract for each. */
const FEB: MarketTerms = {
  ...hogs("FEB", 80_000),
  lastTradingTime: END,
  priceFeed: FEB_FEED,
  feedMultiplier: 400n * DOLLAR,
  feedMaxAge: 3_600,
};
const APR: MarketTerms = { ...hogs("APR", 84_500), lastTradingTime: END };
const JUN: MarketTerms = hogs("JUN", 96_250);
/** A glut: a thousand barrels at a dollar below zero each. Quoted in dollars a barrel. */
const WTI: MarketTerms = {
  ...LEAN_HOG_TERMS,
  contractId: contractIdOf("WTI"),
  listingPrice: -1_000n * DOLLAR,
  priceLimit: 2_500n * DOLLAR,
  expandedLimit: 2_750n * DOLLAR,
  maintenanceMargin: 5_500n * DOLLAR,
  initialMargin: 6_050n * DOLLAR,
  closeOutFee: 2_750n * DOLLAR,
  minimumVolume: 1,
  minimumMinutes: 1,
  lastTradingTime: END,
  priceFeed: WTI_FEED,
  feedMultiplier: 1_000n * DOLLAR,
  feedMaxAge: 3_600,
};
const MARKETS = [FEB, APR, JUN, WTI];
const [FEB_SLOT, APR_SLOT, JUN_SLOT, WTI_SLOT] = [0, 1, 2, 3] as const;

const desk = await startDesk({ markets: MARKETS, governanceDelay: DELAY });
const { x, house } = desk;
await desk.fillPool(10_000_000n);

const FEED_ABI = parseAbi([
  "function publish(int256 answer, uint256 updatedAt)",
  "function setDecimals(uint8 decimals)",
  "function behave(uint8 manner)",
]);

const anybody = createTestClient({ mode: "hardhat", chain: x.chain.client.chain, transport: http(x.url) })
  .extend(publicActions)
  .extend(walletActions);
const [account] = await anybody.getAddresses();
assert.ok(account !== undefined);

/** Sent by anybody with so much gas, whatever comes of it. */
const send = async (to: Hex, data: Hex, gas = 200_000n): Promise<TransactionReceipt> => {
  const hash = await anybody.sendTransaction({ account, to, data, gas });
  return anybody.waitForTransactionReceipt({ hash, pollingInterval: 5 });
};

/** Stands at the address that the terms name. */
async function placeFeed(address: Hex): Promise<void> {
  const { address: from } = await deployWithLibraries(x.owner.wallet, x.chain.client, "PriceFeed");
  const bytecode = await anybody.getCode({ address: from });
  assert.ok(bytecode !== undefined);
  await anybody.setCode({ address, bytecode });
}

for (const feed of [FEB_FEED, WTI_FEED]) await placeFeed(feed);

async function setDecimals(feed: Hex, decimals: number): Promise<void> {
  await send(feed, encodeFunctionData({ abi: FEED_ABI, functionName: "setDecimals", args: [decimals] }));
}

async function behave(feed: Hex, manner: number): Promise<void> {
  await send(feed, encodeFunctionData({ abi: FEED_ABI, functionName: "behave", args: [manner] }));
}

async function answer(feed: Hex, value: bigint, updatedAt: bigint): Promise<void> {
  await send(feed, encodeFunctionData({ abi: FEED_ABI, functionName: "publish", args: [value, updatedAt] }));
}

/** An answer with two decimals, given a minute ago. */
async function publish(feed: Hex, hundredths: bigint, age = 60n): Promise<void> {
  await setDecimals(feed, 2);
  await answer(feed, hundredths, (await x.now()) - age);
}

const RICH = { cash: 200_000n * DOLLAR };

/** One lot at the present time in each of these slots: opened, and then traded and closed again. */
async function tradeAt(...prices: readonly (readonly [slot: number, price: bigint])[]): Promise<void> {
  if (prices.length === 0) return;
  await desk.plantRoot();
  const pairs = await Promise.all(
    prices.map(async ([slot, price]) => {
      const { transition, tickets } = await desk.rawOpening(slot, [RICH, RICH]);
      const [buyer, seller] = tickets as [RawTicket, RawTicket];
      const terms = { limitPrice: price, quantity: 1 };
      const orders = [
        await desk.order(seller, { ...terms, side: "sell" }),
        await desk.order(buyer, { ...terms, side: "buy" }),
      ];
      const fee = MARKETS[slot]?.fillFee ?? 0n;
      const closings = [
        await closing(buyer, RICH.cash - price - fee, 1),
        await closing(seller, RICH.cash + price - fee, -1),
      ];
      return { price, transition, orders, closings };
    }),
  );
  const fill = await desk.fill({ price: 0n, quantity: 1 });
  await desk.batch(pairs.map(({ transition }) => transition));
  await desk.batch(
    pairs.flatMap(({ closings }) => closings),
    pairs.flatMap(({ orders }) => orders),
    pairs.map(({ price }, i) => ({ ...fill, price, maker: 2 * i, taker: 2 * i + 1, n: i })),
  );
}

/** The raw closing of a ticket with what it will hold. */
async function closing({ ticketId, key, slot }: RawTicket, cash: bigint, position: number) {
  const { relayFee } = x.terms;
  const transition = await desk.raw({ name: "closeTicket", ticketId, slot, cash, position, relayFee });
  return desk.released(transition, key, { id: ticketId, cash, position: BigInt(position) });
}

async function settleAt(...prices: readonly (readonly [slot: number, price: bigint])[]): Promise<TransactionReceipt> {
  await desk.toClosingTime();
  await tradeAt(...prices);
  return desk.close();
}

async function marketOf(slot: number, epoch = x.state.epoch) {
  return house.read.marketOf([epoch, slot]);
}

const CLOSE = encodeFunctionData({ abi: clearingHouseAbi, functionName: "closeEpoch", args: [[]] });

/** Final prices as the close told them. */
function finalsOf({ logs }: TransactionReceipt) {
  const events = parseEventLogs({ abi: clearingHouseAbi, logs, eventName: "FinalPriced" });
  return new Map(events.map(({ args }) => [args.slot, [args.fromFeed, args.price, args.expired] as const]));
}

/** Through two days to the closing time of the third, in which three of the contracts end. */
async function toTheLastClose(): Promise<void> {
  for (const apr of [APR.listingPrice + 30n * TICK, APR.listingPrice]) {
    await settleAt([FEB_SLOT, FEB.listingPrice], [APR_SLOT, apr], [WTI_SLOT, WTI.listingPrice]);
    await desk.open();
  }
  await desk.toClosingTime();
}

describe("four markets at once", () => {
  test("settle each at its own price and go on around it, below zero too [NUM-3, SET-1, EPO-7]", async () => {
    await desk.rollback(async () => {
      const settled = [FEB, APR, JUN, WTI].map(({ listingPrice }, i) => listingPrice - BigInt(i + 1) * 30n * TICK);
      await settleAt(...settled.map((price, slot) => [slot, price] as const));
      await desk.open();
      for (const [slot, terms] of MARKETS.entries()) {
        const { centre, priceLimit, dailyLimit, expandedLimit, contractId } = await marketOf(slot);
        assert.deepEqual([contractId, centre], [terms.contractId, settled[slot]]);
        assert.deepEqual([priceLimit, dailyLimit], [terms.priceLimit, terms.priceLimit]);
        assert.equal(expandedLimit, terms.expandedLimit);
      }
      assert.equal((await marketOf(4)).listed, false);
    });
  });

  test("trade through zero and through a whole day below it, and pay what they owe [NUM-3, FIL-9, DEF-4]", async () => {
    await desk.rollback(async () => {
      // Below zero the buyer is paid for taking the oil.
      const price = -3_500n * DOLLAR;
      const [long, short] = (await desk.openRaw(WTI_SLOT, RICH, RICH)) as [RawTicket, RawTicket];
      await desk.trade(long, short, 0n, 1);
      await desk.trade(long, short, price, 2);
      const cashOf = async (ticket: RawTicket) => (await house.read.ticketOf([ticket.ticketId])).cash;
      const paid = 3n * WTI.fillFee;
      assert.equal(await cashOf(long), RICH.cash - 2n * price - paid);
      assert.equal(await cashOf(short), RICH.cash + 2n * price - paid);
      await assert.rejects(desk.trade(long, short, price - TICK, 1), { code: "OffLimits" });
      await desk.close();
      const { settlementPrice } = await marketOf(WTI_SLOT);
      assert.ok(settlementPrice < 0n && settlementPrice >= price);
      // Nobody closes them: they are closed by default, to the unit.
      const { buckets } = await desk.fingerprint();
      await desk.open();
      const now = await house.read.buckets();
      const fee = 6n * WTI.closeOutFee;
      assert.equal(now.claims - buckets.claims, 2n * RICH.cash - 2n * paid - fee);
      assert.equal(now.closeOutAccount - buckets.closeOutAccount, fee);
    });
  });
});

test("the last day [SET-9, SET-10, SET-14]", async (t) => {
  await desk.rollback(async () => {
    await toTheLastClose();
    await t.test(
      "ends one contract by its feed and another at the mean of three days, and both at once [SET-9, SET-14]",
      async () => {
        await desk.rollback(async () => {
          const { listingPrice: apr } = APR;
          await publish(FEB_FEED, 8_123n);
          await publish(WTI_FEED, -263n);
          await tradeAt([APR_SLOT, apr + 60n * TICK]);
          const finals = finalsOf(await desk.close());
          assert.deepEqual(finals.get(FEB_SLOT), [true, 8_123n * 4n * DOLLAR - 2n * DOLLAR, true]);
          assert.deepEqual(finals.get(APR_SLOT), [false, apr + 30n * TICK, true]);
          assert.deepEqual(finals.get(WTI_SLOT), [true, -2_630n * DOLLAR, true]);
          assert.equal(finals.has(JUN_SLOT), false);
          await desk.open();
          for (const slot of [FEB_SLOT, APR_SLOT, WTI_SLOT]) assert.equal((await marketOf(slot)).listed, false);
          assert.equal((await marketOf(JUN_SLOT)).listed, true);
        });
      },
    );

    await t.test(
      "falls back to the mean where the feed is late, broken or hostile, and closes in any case [SET-14, EPO-11]",
      async () => {
        await desk.rollback(async () => {
          const faults: readonly (readonly [what: string, make: () => Promise<void>])[] = [
            ["stale", () => publish(WTI_FEED, -200n, 3_700n)],
            ["of the future", () => publish(WTI_FEED, -200n, -600n)],
            ["never answered", () => answer(WTI_FEED, -200n, 0n)],
            ["absurd", () => publish(WTI_FEED, 2n ** 254n)],
            ["reverting", () => behave(WTI_FEED, 1)],
            ["short of words", () => behave(WTI_FEED, 2)],
            ["endless", () => behave(WTI_FEED, 3)],
            ["burning all gas", () => behave(WTI_FEED, 4)],
            ["full of dirt", () => behave(WTI_FEED, 5)],
            ["gone", () => anybody.setCode({ address: WTI_FEED, bytecode: "0x" })],
            [
              "of too many decimals",
              async () => {
                await publish(WTI_FEED, -200n);
                await setDecimals(WTI_FEED, 255);
              },
            ],
          ];
          await x.advanceTime(x.terms.settleGrace);
          for (const [what, make] of faults) {
            const id = await anybody.snapshot();
            await make();
            const finals = finalsOf(await send(x.chain.address, CLOSE, 3_000_000n));
            assert.deepEqual(finals.get(WTI_SLOT), [false, WTI.listingPrice, true], what);
            await anybody.revert({ id });
          }
        });
      },
    );

    await t.test("cannot be made to miss its feed by who closes the day with little gas [SET-14]", async () => {
      await desk.rollback(async () => {
        await publish(WTI_FEED, -200n);
        await x.advanceTime(x.terms.settleGrace);
        let closed = 0;
        for (let gas = 300_000n; gas <= 1_800_000n; gas += 250_000n) {
          const id = await anybody.snapshot();
          const receipt = await send(x.chain.address, CLOSE, gas).catch(() => undefined);
          if (receipt?.status === "success") {
            assert.deepEqual(finalsOf(receipt).get(WTI_SLOT), [true, -2_000n * DOLLAR, true]);
            closed += 1;
          }
          await anybody.revert({ id });
        }
        assert.ok(closed > 0 && closed < 7);
      });
    });

    await t.test(
      "is put off where the limits cut the feed off: closing only, and again the next day [SET-10, SET-14, TKT-16]",
      async () => {
        await desk.rollback(async () => {
          const far = -4_500n;
          await publish(WTI_FEED, far);
          const cut = WTI.listingPrice - WTI.priceLimit;
          assert.deepEqual(finalsOf(await desk.close()).get(WTI_SLOT), [true, cut, false]);
          await desk.open();
          const { closingOnly, centre, priceLimit } = await marketOf(WTI_SLOT);
          // It settled at its limit, so that the next day reaches further.
          assert.deepEqual([closingOnly, centre, priceLimit], [true, cut, WTI.expandedLimit]);
          await desk.plantRoot();
          const { transition } = await desk.rawOpening(WTI_SLOT, [RICH]);
          await desk.refuses(() => desk.batch([transition]), "ClosingOnly", { slot: WTI_SLOT });
          await desk.toClosingTime();
          await publish(WTI_FEED, -500n);
          assert.deepEqual(finalsOf(await desk.close()).get(WTI_SLOT), [true, -5_000n * DOLLAR, true]);
        });
      },
    );
  });
});

describe("a slot", () => {
  test("passes to the next contract of the schedule, at a fresh price, the day after the last one ended [EPO-10, GOV-11]", async () => {
    await desk.rollback(async () => {
      const may = { ...hogsInFile("LEAN HOGS MAY", 91_000), lastTradingTime: Number(END + 400n * HOUR) };
      const schedule = [{ ...hogsInFile("LEAN HOGS APR", 84_500), lastTradingTime: Number(END) }, may];
      // Its time has not come: the margins of the running one may still change.
      assert.deepEqual(await runSchedule(schedule), ["LEAN HOGS APR keep", "LEAN HOGS MAY later"]);
      await settleAt();
      await desk.open();
      assert.deepEqual(await runSchedule(schedule), ["LEAN HOGS APR over", "LEAN HOGS MAY list"]);
      assert.deepEqual(await runSchedule(schedule), ["LEAN HOGS APR over", "LEAN HOGS MAY pending"]);
      await settleAt();
      await desk.open();
      assert.equal((await marketOf(APR_SLOT)).contractId, APR.contractId);
      await settleAt();
      assert.equal((await marketOf(APR_SLOT)).expired, true);
      await desk.open();
      const { contractId, centre, listed, closingOnly } = await marketOf(APR_SLOT);
      assert.deepEqual(
        [contractId, centre, listed, closingOnly],
        [contractIdOf("LEAN HOGS MAY"), priceOfMilliCents(91_000), true, false],
      );
      assert.deepEqual(await runSchedule(schedule), ["LEAN HOGS MAY keep"]);
      await settleAt([APR_SLOT, priceOfMilliCents(91_500)]);
      assert.equal((await marketOf(APR_SLOT)).settlementPrice, priceOfMilliCents(91_500));
    });
  });
});

describe("limits", () => {
  test("widen after a day that settled at its limit, and are the daily ones again after a quiet day [SET-13]", async () => {
    await desk.rollback(async () => {
      const { listingPrice, priceLimit, expandedLimit } = JUN;
      const limitOf = async () => (await marketOf(JUN_SLOT)).priceLimit;
      const up = listingPrice + priceLimit;
      await settleAt([JUN_SLOT, up], [WTI_SLOT, WTI.listingPrice - WTI.priceLimit]);
      await desk.open();
      assert.equal(await limitOf(), expandedLimit);
      assert.equal((await marketOf(WTI_SLOT)).priceLimit, WTI.expandedLimit);
      assert.equal((await marketOf(APR_SLOT)).priceLimit, APR.priceLimit);
      // The whole width is there to trade in, and no more.
      await desk.toClosingTime();
      await assert.rejects(tradeAt([JUN_SLOT, up + expandedLimit + TICK]), { code: "OffLimits" });
      await settleAt([JUN_SLOT, up + expandedLimit]);
      await desk.open();
      assert.equal(await limitOf(), expandedLimit, "it settled at its limit again");
      assert.equal((await marketOf(WTI_SLOT)).priceLimit, WTI.priceLimit);
      // Further than the daily limit is not the limit that was in force.
      await settleAt([JUN_SLOT, up + expandedLimit - priceLimit - TICK]);
      await desk.open();
      assert.equal(await limitOf(), priceLimit);
      await settleAt();
      await desk.open();
      assert.equal(await limitOf(), priceLimit);
    });
  });
});

describe("parameters", () => {
  test("change at the turns of the day only, when the delay is over, a step at a time [GOV-2, GOV-4, GOV-5, GOV-10]", async () => {
    await desk.rollback(async () => {
      const margins = [{ date: "2020-01-01", maintenance: 4_000 }];
      const schedule = [
        {
          ...hogsInFile("LEAN HOGS JUN", 96_250),
          slot: JUN_SLOT,
          lastTradingTime: Number(JUN.lastTradingTime),
          margins,
          closeOutFee: 2_000,
          expandedLimit: 1_800,
        },
      ];
      const terms = async () => {
        const { maintenanceMargin, closeOutFee, expandedLimit } = await marketOf(JUN_SLOT);
        return [maintenanceMargin, closeOutFee, expandedLimit].map((amount) => amount / DOLLAR);
      };
      const before = [3_000n, 1_500n, 1_500n];
      // A limit above the old fee would make it worth while to drop out: it must wait for the second step.
      const first = [4_000n, 2_000n, 1_500n];
      assert.deepEqual(await runSchedule(schedule), ["LEAN HOGS JUN change ..."]);
      await desk.nextDay();
      assert.deepEqual(await terms(), before, "the delay is not over");
      await x.advanceTime(DELAY);
      assert.deepEqual(await terms(), before, "the day goes on as it began");
      await desk.nextDay();
      assert.deepEqual(await terms(), first);
      assert.deepEqual(await runSchedule(schedule), ["LEAN HOGS JUN change"]);
      await x.advanceTime(DELAY);
      await desk.nextDay();
      assert.deepEqual(await terms(), [4_000n, 2_000n, 1_800n]);
      assert.deepEqual(await runSchedule(schedule), ["LEAN HOGS JUN keep"]);
    });
  });

  test("are what hedgerow schedule sends, once, and only with the administrator's key [GOV-2, GOV-11]", async () => {
    const directory = mkdtempSync(join(tmpdir(), "hedgerow-schedule-"));
    try {
      const write = (name: string, text: string): string => {
        const file = join(directory, name);
        writeFileSync(file, text, { mode: 0o600 });
        return file;
      };
      const contract = { ...hogsInFile("LEAN HOGS AUG", 90_000), slot: 4, lastTradingTime: "2099-08-14T17:00Z" };
      const listing = (change: object) => JSON.stringify({ contracts: [{ ...contract, margins: "m.csv", ...change }] });
      write("m.csv", "date,initial,maintenance\n20200101,,3000\n");
      const [file, bad, feedless] = [
        write("s.json", listing({})),
        write("bad.json", listing({ expandedLimit: 2_000 })),
        write("feedless.json", listing({ feed: { address: x.owner.address, multiplier: 400, maxAge: 60 } })),
      ];
      const [right, wrong] = [write("owner", x.ownerKey), write("operator", x.operatorKey)];
      const at = ["--chain", x.url, "--clearing-house", x.chain.address];
      const run = (name: string, ...more: readonly string[]) => hedgerow(["schedule", ...at, "--file", name, ...more]);
      await desk.rollback(async () => {
        const rehearsed = await run(file, "--dry-run");
        assert.match(
          rehearsed.out,
          /^ +4 {2}LEAN HOGS AUG .* to be scheduled$[^]*1 to be scheduled; nothing was sent/m,
        );
        assert.ok(rehearsed.out.split("\n").every((line) => line.length <= 80));
        const refused = [
          [await run(file), 2, /WrongUsage|no key is given/],
          [await run(file, "--key-file", wrong), 3, /NotAdministrator/],
          [await run(bad, "--key-file", right), 2, /LEAN HOGS AUG with the margins of 2020-01-01: expandedLimit/],
          [await run(feedless, "--key-file", right), 2, /no price feed answers at 0x/],
        ] as const;
        for (const [{ code, err }, expected, message] of refused) {
          assert.match(err, message);
          assert.equal(code, expected);
        }
        assert.match(rehearsed.out, /^ +3 {2}WTI +in force +not in the schedule/m);
        const outSchema = z.object({ steps: z.array(z.object({ action: z.string(), isSent: z.boolean() })) });
        const actions = async (): Promise<unknown> => {
          const { out, code } = await run(file, "--key-file", right, "--json");
          assert.equal(code, 0, out);
          const { steps } = outSchema.parse(JSON.parse(out));
          return steps.filter(({ action }) => action !== "unpublished");
        };
        assert.deepEqual(await actions(), [{ action: "list", isSent: true }]);
        assert.deepEqual(await actions(), [{ action: "pending", isSent: false }]);
      });
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

/** As a schedule's file has it, with the terms of the markets above. */
function hogsInFile(contract: string, milliCents: number) {
  return {
    slot: APR_SLOT as number,
    contract,
    listingPrice: String(priceOfMilliCents(milliCents) / DOLLAR),
    tick: 10,
    margins: [{ date: "2020-01-01", maintenance: 3_000 }],
    priceLimit: 1_200,
  };
}

/** Sends what the schedule's contracts still lack; what was found about each, with dots where more steps follow. */
async function runSchedule(contracts: readonly object[]): Promise<readonly string[]> {
  const schedule = parseMarketSchedule(JSON.stringify({ contracts }), "s.json", () => "");
  const view = await readRegistry(x.chain);
  const steps = planSchedule(schedule, view.slots, view, "s.json");
  const isMissing = ({ action }: PlannedStep): boolean => action === "list" || action === "change";
  for (const { slot, terms } of steps.filter(isMissing)) await scheduleMarket(x.chain, x.owner, view, slot, terms);
  const published = steps.filter(({ action }) => action !== "unpublished");
  return published.map(({ name, action, moreSteps }) => `${name} ${action}${moreSteps ? " ..." : ""}`);
}
