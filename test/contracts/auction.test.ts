import assert from "node:assert/strict";
import { test } from "node:test";
import { stringToHex } from "viem";
import type { Fill, SignedOrder } from "../../src/chain/clearingHouse.ts";
import { DOLLAR, LEAN_HOG_TERMS, TICK } from "../../src/clearing/leanHogs.ts";
import type { ErrorDetails } from "../../src/protocol/errors.ts";
import type { Order } from "../../src/protocol/order.ts";
import { type RawTicket, only, startDesk } from "../support/desk.ts";

// The opening call auction: fills with the one execution time that the terms fix, at one price for each market.

const { listingPrice: CENTRE, priceLimit, fillFee, initialMargin, minimumVolume } = LEAN_HOG_TERMS;
const AUCTION = 1_800;
const PRICE = CENTRE + 3n * TICK;
const SELL = PRICE - 2n * TICK;
const BUY = PRICE + 4n * TICK;
/** Lists at zero, so that zero is a price like any other. */
const NAUGHT_HOGS = { ...LEAN_HOG_TERMS, contractId: stringToHex("NAUGHT HOGS", { size: 32 }), listingPrice: 0n };

const desk = await startDesk({ clearingTerms: { callAuction: AUCTION }, markets: [LEAN_HOG_TERMS, NAUGHT_HOGS] });
const { x, house } = desk;

const RICH = { cash: 10n ** 9n * DOLLAR };
await desk.fillPool(10n ** 11n);
const [buyer, seller, third] = (await desk.openRaw(0, RICH, RICH, RICH)) as [RawTicket, RawTicket, RawTicket];
const poor = only(await desk.openRaw(0, { cash: initialMargin + 3n * TICK + fillFee - 1n }));
const [naughtBuyer, naughtSeller] = (await desk.openRaw(1, RICH, RICH)) as [RawTicket, RawTicket];

const { openedAt, closingTime } = await house.read.epochOf([1]);
const auctionTime = openedAt + BigInt(AUCTION);
const toAuction = async (): Promise<void> => x.advanceTime(Number(auctionTime - (await x.now())));

const sellOf = (ticket: RawTicket, terms: Partial<Order> = {}): Promise<SignedOrder> =>
  desk.order(ticket, { side: "sell", limitPrice: SELL, quantity: 2, ...terms });
const buyOf = (ticket: RawTicket, terms: Partial<Order> = {}): Promise<SignedOrder> =>
  desk.order(ticket, { side: "buy", limitPrice: BUY, quantity: 2, ...terms });

type Batch = { readonly orders: readonly SignedOrder[]; readonly fills: readonly Fill[] };

/** One auction fill of two contracts, except for what the case changes. */
async function between(maker: SignedOrder, taker: SignedOrder, over: Partial<Fill> = {}): Promise<Batch> {
  const fill = await desk.fill({ price: PRICE, quantity: 2, execTime: auctionTime, ...over });
  return { orders: [maker, taker], fills: [fill] };
}

const plain = async (maker: Partial<Order> = {}, taker: Partial<Order> = {}, over: Partial<Fill> = {}) =>
  between(await sellOf(seller, maker), await buyOf(buyer, taker), over);

/** A continuous fill of the second after the auction. */
const continuous = (limitPrice: bigint, over: Partial<Fill> = {}): Promise<Batch> =>
  plain({ limitPrice }, {}, { price: limitPrice, execTime: auctionTime + 1n, ...over });

const send = ({ orders, fills }: Batch): Promise<unknown> => desk.batch([], orders, fills);

test("nothing trades before the auction [EPO-12, FIL-7]", async () => {
  for (const execTime of [openedAt, await x.now()]) {
    const early = await plain({}, {}, { execTime, price: SELL });
    await desk.refuses(() => send(early), "ExecTimeOutOfRange", { earliest: auctionTime });
  }
  const ahead = await plain();
  await desk.refuses(() => send(ahead), "ExecTimeOutOfRange", { execTime: auctionTime });
  await desk.rollback(async () => {
    await toAuction();
    const before = await plain({}, {}, { execTime: auctionTime - 1n, price: SELL });
    await desk.refuses(() => send(before), "ExecTimeOutOfRange", { earliest: auctionTime });
    await send(await plain());
  });
});

type Case = readonly [what: string, rule: string, code: string, build: () => Promise<Batch>, details?: ErrorDetails];

const REFUSED: readonly Case[] = [
  [
    "above the buyer's limit",
    "FIL-17",
    "BeyondOrder",
    () => plain({}, {}, { price: BUY + TICK }),
    { ticketId: buyer.ticketId, price: BUY + TICK, limitPrice: BUY },
  ],
  [
    "below the seller's limit",
    "FIL-17",
    "BeyondOrder",
    () => plain({}, {}, { price: SELL - TICK }),
    { ticketId: seller.ticketId, price: SELL - TICK, limitPrice: SELL },
  ],
  [
    "above the limit of a buyer named as maker",
    "FIL-17",
    "BeyondOrder",
    async () => between(await buyOf(buyer), await sellOf(seller), { price: BUY + TICK }),
    { ticketId: buyer.ticketId },
  ],
  [
    "below the limit of a seller named as taker",
    "FIL-17",
    "BeyondOrder",
    async () => between(await buyOf(buyer), await sellOf(seller), { price: SELL - TICK }),
    { ticketId: seller.ticketId },
  ],
  [
    "between limits that do not cross",
    "FIL-2",
    "BeyondOrder",
    () => plain({ limitPrice: PRICE + TICK }, { limitPrice: PRICE - TICK }),
    { ticketId: seller.ticketId },
  ],
  [
    "between two ticks",
    "FIL-4",
    "OffTick",
    () => plain({}, {}, { price: PRICE + 1n }),
    { price: PRICE + 1n, tick: TICK },
  ],
  [
    "above the price limit",
    "FIL-4",
    "OffLimits",
    () => plain({}, { limitPrice: CENTRE + 2n * priceLimit }, { price: CENTRE + priceLimit + TICK }),
  ],
  [
    "below the price limit",
    "FIL-4",
    "OffLimits",
    () => plain({ limitPrice: CENTRE - 2n * priceLimit }, {}, { price: CENTRE - priceLimit - TICK }),
  ],
  [
    "at two prices in one batch",
    "FIL-17",
    "OtherAuctionPrice",
    async () => {
      const { orders, fills } = await plain({}, {}, { quantity: 1 });
      return { orders, fills: [...fills, { ...only(fills), n: 1, price: PRICE + TICK }] };
    },
    { price: PRICE + TICK, auctionPrice: PRICE },
  ],
  [
    "at two prices with another market between",
    "FIL-17",
    "OtherAuctionPrice",
    async () => {
      const { orders, fills } = await plain({}, {}, { quantity: 1 });
      const first = only(fills);
      const naught = { limitPrice: 0n };
      return {
        orders: [...orders, await sellOf(naughtSeller, naught), await buyOf(naughtBuyer, naught)],
        fills: [first, { ...first, n: 1, maker: 2, taker: 3, price: 0n }, { ...first, n: 2, price: PRICE - TICK }],
      };
    },
    { price: PRICE - TICK, auctionPrice: PRICE },
  ],
  [
    "of a post-only order as maker",
    "FIL-18",
    "NotForAuction",
    () => plain({ postOnly: true }),
    { ticketId: seller.ticketId },
  ],
  [
    "of a post-only order as taker",
    "FIL-18",
    "PostOnlyTakes",
    () => plain({}, { postOnly: true }),
    { ticketId: buyer.ticketId },
  ],
  [
    "of an immediate-or-cancel order as taker",
    "FIL-18",
    "NotForAuction",
    () => plain({}, { timeInForce: "IOC" }),
    { ticketId: buyer.ticketId },
  ],
  [
    "of a fill-or-kill order as taker",
    "FIL-18",
    "NotForAuction",
    () => plain({}, { timeInForce: "FOK" }),
    { ticketId: buyer.ticketId },
  ],
  ["of an immediate-or-cancel order as maker", "FIL-18", "MakerCannotRest", () => plain({ timeInForce: "IOC" })],
  ["of a fill-or-kill order as maker", "FIL-18", "MakerCannotRest", () => plain({ timeInForce: "FOK" })],
  ["of an order that expired before it", "ORD-7", "OrderExpired", () => plain({ expiry: auctionTime - 1n })],
  ["of one ticket with itself", "FIL-1", "SameTicket", async () => between(await sellOf(seller), await buyOf(seller))],
  ["of more than an order asks for", "ORD-4", "Overfilled", () => plain({}, {}, { quantity: 3 }), { filled: 3 }],
  [
    "that leaves a ticket short of margin by the smallest unit",
    "FIL-8",
    "TicketBelowMargin",
    async () => between(await sellOf(seller), await buyOf(poor, { quantity: 1 }), { quantity: 1 }),
    { ticketId: poor.ticketId, equity: -1 },
  ],
  [
    "after a continuous one of its batch",
    "FIL-7",
    "ExecTimeOutOfRange",
    async () => {
      const { orders, fills } = await continuous(SELL, { quantity: 1 });
      return { orders, fills: [...fills, { ...only(fills), n: 1, price: PRICE, execTime: auctionTime }] };
    },
  ],
];

for (const [what, rule, code, build, details] of REFUSED) {
  test(`an auction fill ${what} is refused and changes nothing [${rule}]`, async () => {
    await desk.rollback(async () => {
      await toAuction();
      await x.advanceTime(60);
      const built = await build();
      await desk.refuses(() => send(built), code, details);
      assert.equal((await house.read.marketOf([1, 0])).auctioned, false);
    });
  });
}

test("a second after the auction a fill trades at the maker's price and at no other [FIL-3]", async () => {
  await desk.rollback(async () => {
    await toAuction();
    await x.advanceTime(60);
    const atTakers = await plain({}, {}, { price: BUY, execTime: auctionTime + 1n });
    await desk.refuses(() => send(atTakers), "NotMakerPrice", { price: BUY, makerPrice: SELL });
    await send(await plain());
    // The auction's price is none of theirs any more.
    const atAuctions = await plain({}, {}, { execTime: auctionTime + 1n });
    await desk.refuses(() => send(atAuctions), "NotMakerPrice", { price: PRICE, makerPrice: SELL });
    await send(await continuous(SELL));
    const { auctioned, auctionPrice } = await house.read.marketOf([1, 0]);
    assert.deepEqual([auctioned, auctionPrice], [true, PRICE]);
  });
});

test("a continuous fill ends the auction of all markets [FIL-7, THR-34]", async () => {
  await desk.rollback(async () => {
    await toAuction();
    await x.advanceTime(60);
    await send(await continuous(SELL));
    const late = await plain();
    await desk.refuses(() => send(late), "ExecTimeOutOfRange", { earliest: auctionTime + 1n });
    const naught = { limitPrice: 0n };
    const elsewhere = await between(await sellOf(naughtSeller, naught), await buyOf(naughtBuyer, naught), {
      price: 0n,
    });
    await desk.refuses(() => send(elsewhere), "ExecTimeOutOfRange", { execTime: auctionTime });
  });
});

test("an auction fill moves its price times quantity, and the fees, to the unit, whoever is named maker [FIL-9, FIL-17]", async () => {
  for (const sellerFirst of [true, false]) {
    await desk.rollback(async () => {
      await toAuction();
      const orders = [await sellOf(seller), await buyOf(buyer)] as const;
      const before = await desk.fingerprint();
      await send(sellerFirst ? await between(...orders) : await between(orders[1], orders[0]));
      const [bought, sold] = await Promise.all([buyer, seller].map(({ ticketId }) => house.read.ticketOf([ticketId])));
      assert.deepEqual([bought?.cash, bought?.position], [RICH.cash - 2n * (PRICE + fillFee), 2]);
      assert.deepEqual([sold?.cash, sold?.position], [RICH.cash + 2n * (PRICE - fillFee), -2]);
      const { fees } = await house.read.buckets();
      assert.equal(fees, before.buckets.fees + 4n * fillFee);
    });
  }
});

for (const [what, price] of [
  ["the buyer's limit", BUY],
  ["the seller's limit", SELL],
] as const) {
  test(`an auction fill at ${what} is accepted [FIL-17]`, async () => {
    await desk.rollback(async () => {
      await toAuction();
      await send(await plain({}, {}, { price }));
      assert.equal((await house.read.marketOf([1, 0])).auctionPrice, price);
    });
  });
}

test("the auction's price holds over all its batches, and only over those of its market and its day [FIL-17]", async () => {
  await desk.rollback(async () => {
    await toAuction();
    await send(await plain());
    const other = await plain({}, {}, { price: PRICE - TICK });
    await desk.refuses(() => send(other), "OtherAuctionPrice", { price: PRICE - TICK, auctionPrice: PRICE });
    await send(await between(await sellOf(third), await buyOf(buyer)));
    await send(await between(await buyOf(third), await sellOf(seller)));
    await desk.nextDay();
    const tomorrow = await house.read.marketOf([2, 0]);
    assert.deepEqual([tomorrow.auctioned, tomorrow.auctionPrice], [false, 0n]);

    await x.advanceTime(AUCTION);
    await desk.plantRoot();
    await desk.fillPool(10n ** 10n);
    const [a, b] = (await desk.openRaw(0, RICH, RICH)) as [RawTicket, RawTicket];
    const execTime = (await house.read.epochOf([2])).openedAt + BigInt(AUCTION);
    const early = await between(await sellOf(a), await buyOf(b), { execTime: execTime - 1n, price: SELL });
    await desk.refuses(() => send(early), "ExecTimeOutOfRange", { earliest: execTime });
    await send(await between(await sellOf(a), await buyOf(b), { execTime, price: PRICE - TICK }));
    assert.equal((await house.read.marketOf([2, 0])).auctionPrice, PRICE - TICK);
  });
});

test("zero is an auction price like any other, and not the want of one [FIL-17]", async () => {
  await desk.rollback(async () => {
    await toAuction();
    const limits = [{ limitPrice: -TICK }, { limitPrice: TICK }] as const;
    const naught = async (price: bigint) =>
      between(await sellOf(naughtSeller, limits[0]), await buyOf(naughtBuyer, limits[1]), { price });
    await send(await naught(0n));
    const { auctioned, auctionPrice } = await house.read.marketOf([1, 1]);
    assert.deepEqual([auctioned, auctionPrice], [true, 0n]);
    for (const price of [TICK, -TICK]) {
      const other = await naught(price);
      await desk.refuses(() => send(other), "OtherAuctionPrice", { price, auctionPrice: 0n });
    }
    await send(await naught(0n));
  });
});

test("a negative auction price lies between negative limits [FIL-17]", async () => {
  await desk.rollback(async () => {
    await toAuction();
    const [sells, buys] = [{ limitPrice: -5n * TICK }, { limitPrice: -2n * TICK }];
    const naught = async (price: bigint) =>
      between(await sellOf(naughtSeller, sells), await buyOf(naughtBuyer, buys), { price });
    const [above, below] = [await naught(-TICK), await naught(-6n * TICK)];
    await desk.refuses(() => send(above), "BeyondOrder", { limitPrice: -2n * TICK });
    await desk.refuses(() => send(below), "BeyondOrder", { limitPrice: -5n * TICK });
    await send(await naught(-3n * TICK));
  });
});

test("the auction counts in its minute, and so in tier 2 but never in tier 1 [FIL-15, SET-7]", async () => {
  const quantity = minimumVolume;
  const enough = { quantity };
  await desk.rollback(async () => {
    await toAuction();
    await send(await plain(enough, enough, enough));
    const minute = Number(auctionTime / 60n);
    const volume = BigInt(quantity);
    assert.deepEqual(await house.read.minuteVolumes([1, 0]), [{ minute, volume, value: volume * PRICE }]);
    await desk.close();
    assert.equal((await house.read.marketOf([1, 0])).settlementPrice, PRICE);
  });
  await desk.rollback(async () => {
    await toAuction();
    await send(await plain(enough, enough, enough));
    await desk.toClosingTime();
    // Two minutes of the settlement window, which the auction's price would pull up.
    for (const execTime of [closingTime - 120n, closingTime - 60n]) {
      const terms = { ...enough, limitPrice: CENTRE };
      await send(await plain(terms, terms, { quantity, price: CENTRE, execTime }));
    }
    await desk.close();
    assert.equal((await house.read.marketOf([1, 0])).settlementPrice, CENTRE);
  });
});
