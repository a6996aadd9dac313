import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { encodeDeployData, type Hex, stringToHex } from "viem";
import { marketRegistryAbi } from "../../src/protocol/abi.ts";
import { deployWithLibraries, linkBytecode, loadArtifact } from "../../src/chain/artifacts.ts";
import { refusalOf, type Sender } from "../../src/chain/clearingHouse.ts";
import type { ClearingTerms, MarketTerms } from "../../src/chain/deploy.ts";
import { DOLLAR, LEAN_HOG_TERMS, TICK } from "../../src/clearing/leanHogs.ts";
import { refusal } from "../support/contracts.ts";
import { freshAddress, startDesk } from "../support/desk.ts";

const DELAY = 30_000;
const HOGS = LEAN_HOG_TERMS;
const { priceLimit, expandedLimit, closeOutFee, maintenanceMargin, initialMargin } = HOGS;
const NEW: MarketTerms = { ...HOGS, contractId: stringToHex("NEW HOGS", { size: 32 }) };
const RANGE = 2n ** 78n;
const FEED = {
  priceFeed: "0x00000000000000000000000000000000feed0001",
  feedMultiplier: DOLLAR,
  feedMaxAge: 60,
} as const;
const NOBODY: Hex = "0x0000000000000000000000000000000000000000";

const desk = await startDesk({ governanceDelay: DELAY });
const { x, house } = desk;
const { client } = x.chain;
const registry = { address: x.deployed.registry, abi: marketRegistryAbi } as const;
const bystander = await x.fundedSender(0n);

const schedules = (slot: number, terms: MarketTerms, by: Sender = x.owner) =>
  client.simulateContract({
    ...registry,
    functionName: "scheduleMarket",
    args: [slot, terms],
    account: by.wallet.account,
  });

async function schedule(slot: number, terms: MarketTerms): Promise<void> {
  const { request } = await schedules(slot, terms);
  await client.waitForTransactionReceipt({ hash: await x.owner.wallet.writeContract(request) });
}

const schedulesOperator = (operator: Hex, by: Sender = x.owner) =>
  client.simulateContract({
    ...registry,
    functionName: "scheduleOperator",
    args: [operator],
    account: by.wallet.account,
  });

describe("terms of a market", () => {
  const cases: readonly (readonly [what: string, rule: string, error: string, slot: number, terms: MarketTerms])[] = [
    ["in slot 8", "GOV-3", "SlotOutOfRange", 8, NEW],
    ["without a tick", "GOV-3", "TickZero", 1, { ...NEW, tick: 0n }],
    ["listed between two ticks", "GOV-3", "PriceNotWholeTicks", 1, { ...NEW, listingPrice: HOGS.listingPrice + 1n }],
    [
      "listed between two negative ticks",
      "GOV-3",
      "PriceNotWholeTicks",
      1,
      { ...NEW, listingPrice: -HOGS.listingPrice - 1n },
    ],
    ["with a limit off tick", "NUM-4", "NotWholeTicks", 1, { ...NEW, priceLimit: priceLimit + 1n }],
    [
      "with a maintenance margin off tick",
      "NUM-4",
      "NotWholeTicks",
      1,
      { ...NEW, maintenanceMargin: maintenanceMargin + 1n },
    ],
    ["with an initial margin off tick", "NUM-4", "NotWholeTicks", 1, { ...NEW, initialMargin: initialMargin + 1n }],
    ["with a close-out fee off tick", "NUM-4", "NotWholeTicks", 1, { ...NEW, closeOutFee: closeOutFee - 1n }],
    ["with an expanded limit off tick", "NUM-4", "NotWholeTicks", 1, { ...NEW, expandedLimit: expandedLimit + 1n }],
    ["with a collar off tick", "NUM-4", "NotWholeTicks", 1, { ...NEW, priceCollar: TICK + 1n }],
    [
      "with an expanded limit below the daily one",
      "GOV-3",
      "ExpandedBelowLimit",
      1,
      { ...NEW, expandedLimit: priceLimit - TICK },
    ],
    [
      "with an expanded limit above the fee",
      "GOV-3",
      "CloseOutFeeBelowLimit",
      1,
      { ...NEW, expandedLimit: closeOutFee + TICK },
    ],
    [
      "with expanded limit and fee above maintenance",
      "GOV-3",
      "MarginsOutOfOrder",
      1,
      { ...NEW, expandedLimit: expandedLimit + TICK },
    ],
    ["with a feed without an age", "GOV-3", "FeedIncomplete", 1, { ...NEW, ...FEED, feedMaxAge: 0 }],
    ["with a feed without a multiplier", "GOV-3", "FeedIncomplete", 1, { ...NEW, ...FEED, feedMultiplier: 0n }],
    ["with a multiplier without a feed", "GOV-3", "FeedIncomplete", 1, { ...NEW, ...FEED, priceFeed: NOBODY }],
    ["with a feed for a running contract", "GOV-4", "SameContractOtherFeed", 0, { ...HOGS, ...FEED }],
    [
      "with a close-out fee below the limit",
      "GOV-3",
      "CloseOutFeeBelowLimit",
      1,
      { ...NEW, closeOutFee: priceLimit - TICK },
    ],
    [
      "with limit and fee above maintenance",
      "GOV-3",
      "MarginsOutOfOrder",
      1,
      { ...NEW, closeOutFee: closeOutFee + TICK },
    ],
    [
      "with maintenance above initial margin",
      "GOV-3",
      "MarginsOutOfOrder",
      1,
      { ...NEW, maintenanceMargin: initialMargin + TICK },
    ],
    ["with a fill fee above the close-out fee", "GOV-3", "FillFeeTooHigh", 1, { ...NEW, fillFee: closeOutFee + TICK }],
    ["without a minimum volume", "GOV-3", "VolumeZero", 1, { ...NEW, minimumVolume: 0 }],
    ["without minimum minutes", "GOV-3", "VolumeZero", 1, { ...NEW, minimumMinutes: 0 }],
    ["that has ended already", "GOV-3", "AlreadyExpired", 1, { ...NEW, lastTradingTime: 1n }],
    ["listed at 2^78", "NUM-2", "PriceOutOfRange", 1, { ...NEW, tick: 1n, listingPrice: RANGE }],
    ["listed at -2^78", "NUM-2", "PriceOutOfRange", 1, { ...NEW, tick: 1n, listingPrice: -RANGE }],
    ["with an initial margin of 2^78", "NUM-2", "PriceOutOfRange", 1, { ...NEW, tick: 1n, initialMargin: RANGE }],
    ["with another tick for a running contract", "GOV-4", "SameContractOtherTick", 0, { ...HOGS, tick: TICK / 10n }],
    [
      "with another end for a running contract",
      "GOV-4",
      "SameContractOtherEnd",
      0,
      { ...HOGS, lastTradingTime: HOGS.lastTradingTime + 1n },
    ],
    [
      "with a limit above the running fee",
      "GOV-4",
      "StepTooLarge",
      0,
      {
        ...HOGS,
        expandedLimit: closeOutFee + TICK,
        closeOutFee: closeOutFee + TICK,
        maintenanceMargin: 2n * (closeOutFee + TICK),
        initialMargin: 3n * closeOutFee,
      },
    ],
    [
      "with an initial margin below the running fee",
      "GOV-4",
      "StepTooLarge",
      0,
      {
        ...HOGS,
        priceLimit: 0n,
        expandedLimit: 0n,
        closeOutFee: 0n,
        fillFee: 0n,
        maintenanceMargin: 0n,
        initialMargin: closeOutFee - TICK,
      },
    ],
  ];
  for (const [what, rule, error, slot, terms] of cases) {
    test(`${what} are refused [${rule}]`, async () => {
      assert.equal((await refusal(schedules(slot, terms))).name, error);
    });
  }

  test("come from the administrator only, and so does the operator's name, which is not zero [GOV-2]", async () => {
    const unauthorized = "AccessControlUnauthorizedAccount";
    assert.equal((await refusal(schedules(1, NEW, bystander))).name, unauthorized);
    assert.equal((await refusal(schedulesOperator(freshAddress(), bystander))).name, unauthorized);
    assert.equal((await refusal(schedulesOperator(NOBODY))).name, "ZeroOperator");
  });

  test("at the edge of the rules are accepted [GOV-3, GOV-4]", async () => {
    await schedules(1, {
      ...NEW,
      priceLimit: closeOutFee,
      expandedLimit: closeOutFee,
      maintenanceMargin: 2n * closeOutFee,
      initialMargin: 2n * closeOutFee,
    });
    await schedules(0, {
      ...HOGS,
      priceLimit: closeOutFee,
      expandedLimit: closeOutFee,
      maintenanceMargin: 2n * closeOutFee,
      initialMargin: 2n * closeOutFee,
    });
    await schedules(0, {
      ...HOGS,
      priceLimit: 0n,
      expandedLimit: 0n,
      closeOutFee: 0n,
      fillFee: 0n,
      maintenanceMargin: 0n,
      initialMargin: closeOutFee,
    });
    await schedules(1, { ...NEW, tick: 1n, listingPrice: RANGE - 1n });
  });

  const marketOf = (slot: number) => house.read.marketOf([x.state.epoch, slot]);

  test("take effect at the first close after the delay, in a free slot and in a running one [GOV-2, GOV-5, EPO-7, EPO-10]", async () => {
    await desk.rollback(async () => {
      const wider = {
        ...HOGS,
        priceLimit: closeOutFee,
        expandedLimit: closeOutFee,
        maintenanceMargin: 2n * closeOutFee,
        initialMargin: 2n * closeOutFee,
      };
      await schedule(1, NEW);
      await schedule(0, wider);
      await desk.nextDay();
      assert.equal((await marketOf(1)).listed, false);
      assert.equal((await marketOf(0)).priceLimit, priceLimit);
      await x.advanceTime(DELAY);
      // In force at the registry, but the day goes on as it began.
      assert.equal(
        (await client.readContract({ ...registry, functionName: "termsOf", args: [1] })).contractId,
        NEW.contractId,
      );
      assert.equal((await marketOf(1)).listed, false);
      await desk.nextDay();
      const [old, listed] = [await marketOf(0), await marketOf(1)];
      assert.deepEqual([listed.listed, listed.centre, listed.contractId], [true, NEW.listingPrice, NEW.contractId]);
      assert.deepEqual(
        [old.priceLimit, old.maintenanceMargin, old.centre],
        [closeOutFee, 2n * closeOutFee, HOGS.listingPrice],
      );
    });
  });

  test("a later schedule replaces one that is pending [GOV-2]", async () => {
    await desk.rollback(async () => {
      await schedule(1, { ...NEW, listingPrice: 0n });
      await x.advanceTime(DELAY / 2);
      await schedule(1, NEW);
      await x.advanceTime(DELAY / 2 + 1);
      assert.equal((await client.readContract({ ...registry, functionName: "termsOf", args: [1] })).tick, 0n);
      await x.advanceTime(DELAY / 2);
      assert.equal(
        (await client.readContract({ ...registry, functionName: "termsOf", args: [1] })).listingPrice,
        HOGS.listingPrice,
      );
    });
  });

  test("another contract waits until the running one has ended [EPO-10]", async () => {
    await desk.rollback(async () => {
      await schedule(0, NEW);
      await x.advanceTime(DELAY);
      await desk.nextDay();
      assert.equal((await marketOf(0)).contractId, HOGS.contractId);
    });
  });

  test("two steps that a late close would take at once are not taken [GOV-4, THR-10]", async () => {
    await desk.rollback(async () => {
      const first = {
        ...HOGS,
        closeOutFee: 2n * closeOutFee,
        maintenanceMargin: 4n * closeOutFee,
        initialMargin: 4n * closeOutFee,
      };
      const second = { ...first, expandedLimit: 2n * closeOutFee };
      await schedule(0, first);
      await x.advanceTime(DELAY);
      await schedule(0, second);
      await x.advanceTime(DELAY);
      await desk.nextDay();
      assert.equal((await marketOf(0)).expandedLimit, HOGS.expandedLimit);
      assert.equal((await marketOf(0)).initialMargin, initialMargin);
    });
  });
});

test("a new operator takes over at the opening after the delay, not before [GOV-5]", async () => {
  await desk.rollback(async () => {
    const { request } = await schedulesOperator(bystander.address);
    await client.waitForTransactionReceipt({ hash: await x.owner.wallet.writeContract(request) });
    await x.advanceTime(DELAY);
    assert.equal(await client.readContract({ ...registry, functionName: "operator" }), bystander.address);
    await desk.batch([]);
    await desk.refuses(() => desk.batch([], [], [], { by: bystander }), "NotOperator");
    await desk.nextDay();
    await desk.batch([], [], [], { by: bystander });
    await desk.refuses(() => desk.batch([]), "NotOperator", { caller: x.operator.address });
  });
});

describe("a deployment", () => {
  const { wallet } = x.owner;
  const AUCTION_LIMIT = x.terms.tradingTime - x.terms.settlementWindow;
  const cases: readonly (readonly [what: string, terms: Partial<ClearingTerms>])[] = [
    ["without a bond", { seatBond: 0n, lateFee: 0n, relayFee: 0n }],
    ["with a bond beyond its range", { seatBond: 2n ** 96n }],
    ["with a relay fee above the bond", { relayFee: x.terms.seatBond + 1n }],
    ["with a late fee above the bond", { lateFee: x.terms.seatBond + 1n }],
    ["without a settlement window", { settlementWindow: 0 }],
    ["with a settlement window longer than the day", { settlementWindow: x.terms.tradingTime + 1 }],
    ["with an auction that the settlement window begins with", { callAuction: AUCTION_LIMIT }],
    ["with an auction that no day reaches", { callAuction: 2 ** 32 - 1 }],
    ["without part A", { windowA: 0 }],
    ["without part B", { windowB: 0 }],
    ["without blocks in the window", { windowBlocks: 0 }],
    ["with a grace of more than 1,000 epochs", { flatGraceEpochs: 1_001 }],
    ["with a reward above a tenth of the bond", { reporterReward: x.terms.seatBond / 10n + 1n }],
    [
      "with a notice that ends inside its settlement window",
      { lockTime: 60, lockNotice: x.terms.settlementWindow - 1 },
    ],
    ["with a notice as long as the day", { lockTime: 60, lockNotice: x.terms.tradingTime }],
    ["whose cycle outlasts the registry's delay", { tradingTime: DELAY }],
  ];
  const artifact = loadArtifact("ClearingHouse");

  test("with unsound terms is refused [GOV-6, THR-10]", async () => {
    const args = [x.deployed.token, x.deployed.registry] as const;
    const { libraries } = await deployWithLibraries(wallet, client, "ClearingHouse", [...args, x.terms]);
    const bytecode = linkBytecode(artifact, libraries);
    const deploying = (terms: Partial<ClearingTerms>): Promise<string> => {
      const data = encodeDeployData({ abi: artifact.abi, bytecode, args: [...args, { ...x.terms, ...terms }] });
      return client.call({ data }).then(
        () => "accepted",
        (error: unknown) => refusalOf(error).code,
      );
    };
    assert.equal(await deploying({}), "accepted");
    assert.equal(await deploying({ callAuction: AUCTION_LIMIT - 1 }), "accepted");
    assert.equal(await deploying({ settlementWindow: x.terms.tradingTime }), "accepted");
    assert.equal(await deploying({ lockTime: 1, lockNotice: x.terms.settlementWindow }), "accepted");
    assert.equal(await deploying({ reporterReward: x.terms.seatBond / 10n }), "accepted");
    for (const [what, terms] of cases) assert.equal(await deploying(terms), "InvalidTerms", what);
  });

  test("of a registry with unsound terms, nine markets or no operator is refused [GOV-3]", async () => {
    const registryArtifact = loadArtifact("MarketRegistry");
    const deploying = async (operator: Hex, markets: readonly MarketTerms[]): Promise<string> => {
      const { abi } = registryArtifact;
      const args = [DELAY, x.owner.address, operator, markets];
      const data = encodeDeployData({ abi, bytecode: linkBytecode(registryArtifact, {}), args });
      return client.call({ data }).then(
        () => "accepted",
        (error: unknown) => refusalOf(error).code,
      );
    };
    assert.equal(await deploying(x.operator.address, [HOGS]), "accepted");
    assert.match(await deploying(NOBODY, [HOGS]), /ZeroOperator|UnknownRevert/);
    assert.match(await deploying(x.operator.address, Array<MarketTerms>(9).fill(HOGS)), /SlotOutOfRange/);
    assert.match(
      await deploying(x.operator.address, [{ ...HOGS, closeOutFee: DOLLAR * 10n }]),
      /CloseOutFeeBelowLimit|UnknownRevert/,
    );
  });
});
