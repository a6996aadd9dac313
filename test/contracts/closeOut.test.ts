import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseEventLogs, stringToHex, type TransactionReceipt } from "viem";
import { generatePrivateKey } from "viem/accounts";
import { call, refusalOf, takeAbandoned } from "../../src/chain/clearingHouse.ts";
import type { MarketTerms } from "../../src/chain/deploy.ts";
import { DOLLAR, LEAN_HOG_TERMS, TICK } from "../../src/clearing/leanHogs.ts";
import { clearingHouseAbi } from "../../src/protocol/abi.ts";
import { type AuctionBid, signBid } from "../../src/protocol/auctionBid.ts";
import type { Hex } from "../../src/protocol/keys.ts";
import { type RawTicket, startDesk } from "../support/desk.ts";

// What drop-outs left is sold in part A of the next window, through tickets, at a price that gives way.

const LIMIT = 1_000n * DOLLAR;
const FEE = 1_200n * DOLLAR;
const MARGIN = 2_200n * DOLLAR;
const THOUSAND = 1_000n * DOLLAR;

const LONG: MarketTerms = {
  ...LEAN_HOG_TERMS,
  listingPrice: -300n * DOLLAR,
  priceLimit: LIMIT,
  expandedLimit: LIMIT,
  closeOutFee: FEE,
  maintenanceMargin: MARGIN,
  initialMargin: MARGIN,
  minimumVolume: 1,
  minimumMinutes: 1,
};
const SHORT: MarketTerms = { ...LONG, contractId: stringToHex("SHORT", { size: 32 }) };
/** From its second close on it takes no new positions, and ends with the third. */
const ENDING: MarketTerms = {
  ...LONG,
  contractId: stringToHex("ENDING", { size: 32 }),
  lastTradingTime: BigInt(Math.floor(Date.now() / 1000)) + 12n * 3_600n,
};
const S = LONG.listingPrice;
const LEFT = 10;

const desk = await startDesk({ markets: [LONG, SHORT, ENDING] });
const { x, house } = desk;
const { windowA, windowBlocks } = x.terms;
const bystander = await x.fundedSender(0n);

// Ten contracts are left on either side, and five of the contract that ends; they are booked when the second day opens.
await desk.fillPool(10_000_000n);
const [stale] = await desk.openRaw(0, { cash: 50n * THOUSAND, position: LEFT });
await desk.openRaw(1, { cash: 50n * THOUSAND, position: -LEFT });
await desk.openRaw(2, { cash: 50n * THOUSAND, position: 5 });
await desk.nextDay();
await desk.plantRoot();
const RICH = { cash: 100n * THOUSAND };
const [rich, other, flatReducer] = await desk.openRaw(0, RICH, RICH, {
  cash: -(S - MARGIN),
  position: 1,
});
assert.ok(stale !== undefined && rich !== undefined && other !== undefined && flatReducer !== undefined);

async function take(
  { ticketId, key }: Pick<RawTicket, "ticketId" | "key">,
  quantity: number,
  limitPrice = quantity > 0 ? 10n * THOUSAND : -10n * THOUSAND,
): Promise<TransactionReceipt> {
  const bid: AuctionBid = { ticketId, quantity, limitPrice };
  return takeAbandoned(x.chain, bystander, { bid, signature: await signBid(x.chain.domain, bid, key) });
}

const ticketOf = ({ ticketId }: RawTicket) => house.read.ticketOf([ticketId]);

function takenIn({ logs }: TransactionReceipt): { readonly quantity: number; readonly price: bigint } {
  const [taken] = parseEventLogs({ abi: clearingHouseAbi, logs, eventName: "AbandonedTaken" });
  assert.ok(taken !== undefined);
  return taken.args;
}

/** The price of the auction in a block: a fee's share of part A's time, in whole ticks. */
async function priceIn({ blockNumber }: TransactionReceipt, position: number): Promise<bigint> {
  const { timestamp } = await x.chain.client.getBlock({ blockNumber });
  const { closedAt } = await house.read.epochOf([x.state.epoch]);
  const concession = (FEE * (timestamp - closedAt)) / BigInt(windowA);
  const whole = concession - (concession % TICK);
  return position > 0 ? S - whole : S + whole;
}

describe("the auction's price", () => {
  test("starts at the settlement price and gives way over part A by the close-out fee [DEF-13]", async () => {
    await desk.rollback(async () => {
      assert.deepEqual(await house.read.auctionPrice([0]), [0n, 0n]);
      await desk.close();
      const [position, first] = await house.read.auctionPrice([0]);
      assert.equal(position, BigInt(LEFT));
      assert.ok(first <= S && first > S - FEE / 10n, `${first}`);
      assert.equal((await house.read.auctionPrice([1]))[0], -BigInt(LEFT));
      await x.advanceTime(windowA / 2);
      const [[, falling], [, rising]] = [await house.read.auctionPrice([0]), await house.read.auctionPrice([1])];
      assert.ok(falling <= S - FEE / 2n && rising >= S + FEE / 2n && falling % TICK === 0n, `${falling} ${rising}`);
      // Blocks that are missing keep part A going, at the last price.
      await x.advanceTime(windowA);
      assert.equal((await house.read.auctionPrice([0]))[1], S - FEE);
      assert.equal((await house.read.auctionPrice([1]))[1], S + FEE);
      await x.mine(windowBlocks);
      assert.deepEqual(await house.read.auctionPrice([0]), [0n, 0n]);
    });
  });

  test("is none in a slot without a contract or with one that ended [DEF-13]", async () => {
    await desk.rollback(async () => {
      await desk.close();
      assert.deepEqual(await house.read.auctionPrice([7]), [0n, 0n]);
      const outside = house.read.auctionPrice([8]).catch((error: unknown) => Promise.reject(refusalOf(error)));
      await assert.rejects(outside, { code: "SlotOutOfRange" });
      await desk.open();
      await desk.close();
      assert.equal((await house.read.marketOf([3, 2])).expired, true);
      assert.deepEqual(await house.read.auctionPrice([2]), [0n, 0n]);
    });
  });
});

describe("a bid", () => {
  test("moves what it asks for, as far as there is any, at the price of its block [DEF-14, CON-2]", async () => {
    await desk.rollback(async () => {
      const [seller] = await desk.openRaw(1, RICH);
      assert.ok(seller !== undefined);
      await desk.close();
      await x.advanceTime(windowA / 3);
      const { closeOutAccount } = await house.read.buckets();
      const part = await take(rich, 4);
      const price = takenIn(part).price;
      assert.deepEqual([takenIn(part).quantity, price], [4, await priceIn(part, 1)]);
      assert.equal((await ticketOf(rich)).cash, RICH.cash - 4n * price);
      assert.equal((await ticketOf(rich)).position, 4);
      assert.equal((await house.read.buckets()).closeOutAccount, closeOutAccount + 4n * price);
      await desk.assertConserved();
      // More than is left takes what is left.
      const rest = await take(other, 1_000);
      assert.equal(takenIn(rest).quantity, LEFT - 4);
      const bought = await take(seller, -LEFT);
      assert.deepEqual([takenIn(bought).quantity, takenIn(bought).price], [-LEFT, await priceIn(bought, -1)]);
      const [, sums, closeOut] = await house.read.openPositions();
      assert.deepEqual(closeOut.slice(0, 2), [0n, 0n]);
      assert.deepEqual([sums[0].net, sums[0].gross, sums[1].net], [BigInt(LEFT) + 1n, BigInt(LEFT) + 1n, -10n]);
      await desk.refuses(() => take(rich, 1), "NothingToTake", { available: 0 });
      // It is a position like any other: it goes into an account.
      const closing = await desk.rawClose(rich, 0n);
      await desk.direct(bystander, closing);
    });
  });

  test("counts once, whoever sends it, and needs its ticket's key [DEF-14]", async () => {
    await desk.rollback(async () => {
      await desk.close();
      await desk.refuses(() => take({ ...rich, key: generatePrivateKey() }, 1), "WrongSigner");
      await desk.refuses(() => take({ ...rich, key: other.key }, 1), "WrongSigner");
      await take(rich, 1);
      await desk.refuses(() => take(rich, 1), "BidUsed", { ticketId: rich.ticketId });
      // The same again under another limit is another bid.
      await take(rich, 1, S);
      assert.equal((await ticketOf(rich)).position, 2);
    });
  });

  test("is filled at its limit or better, on the side that reduces what is left [DEF-14]", async () => {
    await desk.rollback(async () => {
      await desk.close();
      await x.advanceTime(windowA / 2);
      const [, price] = await house.read.auctionPrice([0]);
      await desk.refuses(() => take(rich, 1, price - FEE / 2n), "BeyondOrder", { ticketId: rich.ticketId });
      await desk.refuses(() => take(rich, -1), "NothingToTake", { quantity: -1, available: LEFT });
      await desk.refuses(() => take(rich, 0), "NothingToTake", { quantity: 0 });
      await take(rich, 1, price);
    });
  });

  test("is for a ticket of the closing day, in part A only [DEF-13, DEF-14]", async () => {
    await desk.rollback(async () => {
      const nowhere: Hex = `0x${"77".repeat(32)}`;
      await desk.refuses(() => take(rich, 1), "NothingToTake");
      await desk.close();
      await desk.refuses(() => take({ ...rich, ticketId: nowhere }, 1), "UnknownTicket", { ticketId: nowhere });
      await desk.refuses(() => take(stale, 1), "TicketNotTradable", { ticketEpoch: 1 });
      await desk.toPartB();
      await desk.refuses(() => take(rich, 1), "NothingToTake");
    });
  });

  test("leaves its ticket with the initial margin of the coming day [DEF-15]", async () => {
    await desk.rollback(async () => {
      const [poor, none] = await desk.openRaw(0, { cash: 3n * MARGIN }, {});
      assert.ok(poor !== undefined && none !== undefined);
      await desk.close();
      await desk.refuses(() => take(none, 1), "TicketBelowMargin", { ticketId: none.ticketId });
      await desk.refuses(() => take(poor, 4), "TicketBelowMargin");
      await take(poor, 3);
      await desk.refuses(() => take(poor, 1), "TicketBelowMargin");
    });
  });

  test("only reduces where the ticket or the coming day only reduces [DEF-15, TKT-16]", async () => {
    await desk.rollback(async () => {
      const reducing = { cash: S + MARGIN, position: -1, reduceOnly: true };
      const [reducer] = await desk.openRaw(0, reducing);
      const [ending] = await desk.openRaw(2, RICH);
      const [held] = await desk.openRaw(2, { cash: 20n * THOUSAND, position: -2 });
      assert.ok(reducer !== undefined && ending !== undefined && held !== undefined);
      await desk.close();
      await x.advanceTime(windowA / 2);
      await desk.refuses(() => take(reducer, 2), "NotReducing", { position: -1, newPosition: 1 });
      await take(reducer, 1);
      assert.equal((await ticketOf(reducer)).position, 0);
      assert.equal((await house.read.marketOf([3, 2])).closingOnly, true);
      await desk.refuses(() => take(ending, 1), "NotReducing");
      await take(held, 2);
    });
  });

  test("gains nothing by leaving the position behind again [DEF-10, DEF-13]", async () => {
    await desk.rollback(async () => {
      await desk.close();
      await x.advanceTime(windowA);
      const { price } = takenIn(await take(rich, LEFT));
      assert.equal(price, S - FEE);
      const { claims } = await house.read.buckets();
      await desk.open();
      // Three tickets were left: the worth of this one is what it had before it bought.
      const now = await house.read.buckets();
      assert.equal(now.claims - claims, RICH.cash + RICH.cash + (-(S - MARGIN) + S - FEE));
      assert.equal((await house.read.openPositions())[2][0], BigInt(LEFT) + 1n);
    });
  });
});

describe("a reward for reporting", () => {
  test("comes from the bond, and never from more than is left of it [DEF-9]", async () => {
    await desk.rollback(async () => {
      const seat = await desk.newSeat();
      await desk.nextDay();
      await desk.nextDay();
      const { ownerKey } = seat.account.keys;
      const before = await house.read.buckets();
      const { seatBond, reporterReward } = x.terms;
      const receipt = await call(x.chain, bystander, { functionName: "forfeitBond", args: [ownerKey] });
      const [forfeited] = parseEventLogs({ abi: clearingHouseAbi, logs: receipt.logs, eventName: "BondForfeited" });
      assert.deepEqual([forfeited?.args.amount, forfeited?.args.reward], [seatBond - reporterReward, reporterReward]);
      const now = await house.read.buckets();
      assert.equal(now.bonds, before.bonds - seatBond);
      assert.equal(now.closeOutAccount, before.closeOutAccount + seatBond - reporterReward);
    });
  });
});

test("nobody knows the net position of defaulted seats [DEF-16, THR-25]", async () => {
  assert.deepEqual(await house.read.netPositionOfDefaulters([1, 0]), [false, 0n]);
});
