import assert from "node:assert/strict";
import { test } from "node:test";
import { stringToHex } from "viem";
import type { Fill, SignedOrder } from "../../src/chain/clearingHouse.ts";
import { DOLLAR, LEAN_HOG_TERMS, TICK } from "../../src/clearing/leanHogs.ts";
import type { ErrorDetails } from "../../src/protocol/errors.ts";
import type { Order } from "../../src/protocol/order.ts";
import { only, type RawTicket, startDesk } from "../support/desk.ts";

// Fills among raw tickets: no accounts, no proofs.

const { listingPrice: CENTRE, priceLimit, maintenanceMargin, initialMargin, fillFee } = LEAN_HOG_TERMS;
const PRICE = CENTRE + 3n * TICK;
const LARGEST = 2 ** 31 - 1;

const desk = await startDesk({
  markets: [
    LEAN_HOG_TERMS,
    { ...LEAN_HOG_TERMS, contractId: stringToHex("OTHER HOGS", { size: 32 }), fillFee: LEAN_HOG_TERMS.closeOutFee },
  ],
});
const { x, house } = desk;

// Enough for the margin of 2^31 contracts on each side.
const RICH = { cash: 10n ** 14n * DOLLAR };
await desk.fillPool(10n ** 15n);
const LONG_ONE = { cash: -(CENTRE - maintenanceMargin), position: 1, reduceOnly: true };
const [buyer, seller, third] = (await desk.openRaw(0, RICH, RICH, RICH)) as [RawTicket, RawTicket, RawTicket];
const elsewhere = only(await desk.openRaw(1, RICH));
const poor = only(await desk.openRaw(0, { cash: initialMargin + 3n * TICK + fillFee - 1n }));
const reducing = only(await desk.openRaw(0, LONG_ONE));

type Terms = Partial<Order>;

const sellOf = (ticket: RawTicket, terms: Terms = {}): Promise<SignedOrder> =>
  desk.order(ticket, { side: "sell", limitPrice: PRICE, quantity: 2, ...terms });
const buyOf = (ticket: RawTicket, terms: Terms = {}): Promise<SignedOrder> =>
  desk.order(ticket, { side: "buy", limitPrice: PRICE, quantity: 2, ...terms });

type Batch = { readonly orders: readonly SignedOrder[]; readonly fills: readonly Fill[] };

/** The seller's order rests, the buyer's takes two contracts, except for what the case changes. */
async function plain(maker: Terms = {}, taker: Terms = {}, fill: Partial<Fill> = {}): Promise<Batch> {
  return {
    orders: [await sellOf(seller, maker), await buyOf(buyer, taker)],
    fills: [await desk.fill({ price: PRICE, quantity: 2, ...fill })],
  };
}

async function between(maker: SignedOrder, taker: SignedOrder, fill: Partial<Fill> = {}): Promise<Batch> {
  return { orders: [maker, taker], fills: [await desk.fill({ price: PRICE, quantity: 2, ...fill })] };
}

const send = ({ orders, fills }: Batch): Promise<unknown> => desk.batch([], orders, fills);

const REFUSED: readonly (readonly [
  what: string,
  rule: string,
  code: string,
  build: () => Promise<Batch>,
  details?: ErrorDetails,
])[] = [
  [
    "a buyer below the seller",
    "FIL-2",
    "NotCrossing",
    () => plain({}, { limitPrice: PRICE - TICK }),
    { buyPrice: PRICE - TICK, sellPrice: PRICE },
  ],
  [
    "a price that is not the maker's",
    "FIL-3",
    "NotMakerPrice",
    () => plain({}, { limitPrice: PRICE + TICK }, { price: PRICE + TICK }),
    { price: PRICE + TICK, makerPrice: PRICE },
  ],
  [
    "a price above the limit",
    "FIL-4",
    "OffLimits",
    async () => {
      const limitPrice = CENTRE + priceLimit + TICK;
      return plain({ limitPrice }, { limitPrice }, { price: limitPrice });
    },
  ],
  [
    "a price below the limit",
    "FIL-4",
    "OffLimits",
    async () => {
      const limitPrice = CENTRE - priceLimit - TICK;
      return plain({ limitPrice }, { limitPrice }, { price: limitPrice });
    },
  ],
  [
    "a price between two ticks",
    "FIL-4",
    "OffTick",
    () => plain({ limitPrice: PRICE + 1n }, { limitPrice: PRICE + 1n }, { price: PRICE + 1n }),
    { tick: TICK },
  ],
  ["a price of zero", "FIL-4", "OffLimits", () => plain({ limitPrice: 0n }, { limitPrice: 0n }, { price: 0n })],
  [
    "a negative price",
    "FIL-4",
    "OffLimits",
    () => plain({ limitPrice: -PRICE }, { limitPrice: -PRICE }, { price: -PRICE }),
  ],
  ["a quantity of zero", "FIL-5", "QuantityOutOfRange", () => plain({}, {}, { quantity: 0 }), { quantity: 0 }],
  [
    "a quantity of 2^31",
    "FIL-5",
    "QuantityOutOfRange",
    () => plain({ quantity: LARGEST + 1 }, { quantity: LARGEST + 1 }, { quantity: LARGEST + 1 }),
    { quantity: LARGEST + 1 },
  ],
  [
    "an order for 2^31",
    "ORD-9",
    "QuantityOutOfRange",
    () => plain({ quantity: LARGEST + 1 }),
    { quantity: LARGEST + 1 },
  ],
  ["an order for nothing", "ORD-9", "Overfilled", () => plain({ quantity: 0 }), { filled: 2, quantity: 0 }],
  ["more than the maker offers", "ORD-4", "Overfilled", () => plain({ quantity: 1 }), { filled: 2, quantity: 1 }],
  ["more than the taker asks for", "ORD-4", "Overfilled", () => plain({}, { quantity: 1 }), { filled: 2, quantity: 1 }],
  [
    "two fills that together are too much",
    "ORD-4",
    "Overfilled",
    async () => {
      const { orders, fills } = await plain();
      return { orders, fills: [...fills, await desk.fill({ price: PRICE, quantity: 1, n: 1 })] };
    },
    { filled: 3, quantity: 2 },
  ],
  [
    "two revisions of one order that together are too much",
    "ORD-4",
    "Overfilled",
    async () => {
      const clientId = 77n;
      const orders = [
        await sellOf(seller, { clientId }),
        await buyOf(buyer),
        await sellOf(seller, { clientId, revision: 1 }),
      ];
      const [first, second] = [
        await desk.fill({ price: PRICE, quantity: 1 }),
        await desk.fill({ price: PRICE, quantity: 2, n: 1, maker: 2 }),
      ];
      return { orders, fills: [first, second] };
    },
    { filled: 3, quantity: 2 },
  ],
  [
    "a superseded order",
    "ORD-5",
    "Superseded",
    async () => {
      const clientId = 78n;
      const orders = [
        await sellOf(seller, { clientId, revision: 1 }),
        await buyOf(buyer),
        await sellOf(seller, { clientId }),
      ];
      const fills = [
        await desk.fill({ price: PRICE, quantity: 1 }),
        await desk.fill({ price: PRICE, quantity: 1, n: 1, maker: 2 }),
      ];
      return { orders, fills };
    },
    { clientId: 78n, revision: 0, newest: 1 },
  ],
  [
    "two orders of one ticket",
    "FIL-1",
    "SameTicket",
    async () => between(await sellOf(seller), await buyOf(seller)),
    { ticketId: seller.ticketId },
  ],
  ["one order with itself", "FIL-1", "SameTicket", () => plain({}, {}, { taker: 0 })],
  ["two sellers", "FIL-1", "SameSide", () => plain({}, { side: "sell" })],
  ["two buyers", "FIL-1", "SameSide", () => plain({ side: "buy" })],
  [
    "tickets of two markets",
    "FIL-1",
    "DifferentMarkets",
    async () => between(await sellOf(seller), await buyOf(elsewhere)),
    { makerSlot: 0, takerSlot: 1 },
  ],
  ["an order past its expiry", "ORD-7", "OrderExpired", async () => plain({ expiry: (await x.now()) - 1n })],
  ["a maker that is immediate-or-cancel", "ORD-8", "MakerCannotRest", () => plain({ timeInForce: "IOC" })],
  ["a maker that is fill-or-kill", "ORD-8", "MakerCannotRest", () => plain({ timeInForce: "FOK" })],
  ["a taker that is post-only", "ORD-8", "PostOnlyTakes", () => plain({}, { postOnly: true })],
  [
    "a fill-or-kill order in part",
    "ORD-8",
    "FillOrKillUnfilled",
    () => plain({ quantity: 1 }, { timeInForce: "FOK" }, { quantity: 1 }),
    { filled: 1, quantity: 2 },
  ],
  [
    "an immediate order in two runs",
    "ORD-8",
    "NotImmediate",
    async () => {
      const { orders, fills } = await plain({}, { timeInForce: "IOC" }, { quantity: 1 });
      const first = only(fills);
      return { orders, fills: [first, { ...first, seq: first.seq + 1n }] };
    },
  ],
  [
    "an immediate order that is interrupted",
    "ORD-8",
    "NotImmediate",
    async () => {
      const orders = [
        await sellOf(seller, { quantity: 9 }),
        await buyOf(buyer, { timeInForce: "IOC" }),
        await buyOf(third),
      ];
      const first = await desk.fill({ price: PRICE, quantity: 1 });
      return { orders, fills: [first, { ...first, taker: 2, n: 1 }, { ...first, n: 2 }] };
    },
  ],
  ["an order whose client id is zero", "ORD-3", "ZeroClientId", () => plain({ clientId: 0n })],
  [
    "an order signed by another ticket's key",
    "ORD-12",
    "WrongSigner",
    async () => between(await sellOf({ ...seller, key: buyer.key }), await buyOf(buyer)),
  ],
  [
    "an order changed after signing",
    "ORD-1",
    "WrongSigner",
    async () => {
      const [maker, taker] = [await sellOf(seller, { quantity: 1 }), await buyOf(buyer)];
      return between({ ...maker, order: { ...maker.order, quantity: 2 } }, taker);
    },
  ],
  [
    "an order on a ticket that never was",
    "TKT-8",
    "UnknownTicket",
    async () =>
      between(await sellOf({ ...seller, ticketId: stringToHex("nowhere", { size: 32 }) }), await buyOf(buyer)),
  ],
  ["a number not above the last", "FIL-6", "FillOutOfOrder", async () => plain({}, {}, { seq: 0n, n: 0 })],
  [
    "numbers that fall inside a batch",
    "FIL-6",
    "FillOutOfOrder",
    async () => {
      const { orders, fills } = await plain({}, {}, { quantity: 1, n: 1 });
      return { orders, fills: [...fills, { ...only(fills), n: 0 }] };
    },
  ],
  [
    "one number twice",
    "FIL-6",
    "FillOutOfOrder",
    async () => {
      const { orders, fills } = await plain({}, {}, { quantity: 1 });
      return { orders, fills: [...fills, ...fills] };
    },
  ],
  ["a number that uses all others up", "FIL-6", "SeqTooFar", () => plain({}, {}, { seq: 2n ** 64n - 1n })],
  [
    "a maker younger than the fill",
    "FIL-12",
    "PriorityAfterFill",
    async () => {
      const { seq } = await desk.fill({ price: PRICE, quantity: 1 });
      return plain({}, {}, { makerPrioritySeq: seq + 1n });
    },
  ],
  [
    "an execution in the future",
    "FIL-7",
    "ExecTimeOutOfRange",
    async () => plain({}, {}, { execTime: (await x.now()) + 1_000n }),
  ],
  [
    "an execution before the day",
    "FIL-7",
    "ExecTimeOutOfRange",
    async () => {
      const { openedAt } = await house.read.epochOf([1]);
      return plain({}, {}, { execTime: openedAt - 1n });
    },
  ],
  [
    "execution times that fall",
    "FIL-7",
    "ExecTimeOutOfRange",
    async () => {
      const { orders, fills } = await plain({}, {}, { quantity: 1 });
      const first = only(fills);
      return { orders, fills: [first, { ...first, n: 1, execTime: first.execTime - 1n }] };
    },
  ],
  [
    "a ticket short of margin by the smallest unit of the fee",
    "FIL-8",
    "TicketBelowMargin",
    async () => between(await sellOf(seller), await buyOf(poor, { quantity: 1 }), { quantity: 1 }),
    { ticketId: poor.ticketId, equity: -1 },
  ],
  [
    "a reduce-only ticket that grows",
    "TKT-5",
    "NotReducing",
    async () => between(await sellOf(seller), await buyOf(reducing), { quantity: 1 }),
    { position: 1, newPosition: 2 },
  ],
  [
    "a reduce-only ticket that crosses zero",
    "TKT-5",
    "NotReducing",
    async () => between(await sellOf(reducing), await buyOf(buyer)),
    { position: 1, newPosition: -1 },
  ],
  [
    "a position of 2^31",
    "NUM-5",
    "PositionOutOfRange",
    async () => {
      const { orders, fills } = await plain({ quantity: LARGEST }, { quantity: LARGEST }, { quantity: LARGEST });
      const more = [await sellOf(seller, { quantity: 1 }), await buyOf(buyer, { quantity: 1 })];
      const next = await desk.fill({ price: PRICE, quantity: 1, maker: 2, taker: 3, n: 1 });
      return { orders: [...orders, ...more], fills: [...fills, next] };
    },
    { position: -(LARGEST + 1) },
  ],
];

for (const [what, rule, code, build, details] of REFUSED) {
  test(`${what} is refused and changes nothing [${rule}]`, async () => {
    const built = await build();
    await desk.refuses(() => send(built), code, details);
  });
}

const ticketOf = async ({ ticketId }: RawTicket) => {
  const { cash, position } = await house.read.ticketOf([ticketId]);
  return { cash, position };
};

test("a fill moves price times quantity between two tickets, and the fees, to the unit [FIL-9, FEE-3]", async () => {
  await desk.rollback(async () => {
    const before = await desk.fingerprint();
    const [bought, sold] = [await ticketOf(buyer), await ticketOf(seller)];
    await send(await plain());
    assert.deepEqual(await ticketOf(buyer), { cash: bought.cash - 2n * (PRICE + fillFee), position: 2 });
    assert.deepEqual(await ticketOf(seller), { cash: sold.cash + 2n * (PRICE - fillFee), position: -2 });
    const now = await desk.fingerprint();
    assert.deepEqual(now.buckets, {
      ...before.buckets,
      ticketCash: before.buckets.ticketCash - 4n * fillFee,
      fees: before.buckets.fees + 4n * fillFee,
    });
    assert.equal(now.tokens, before.tokens);
    assert.deepEqual(await house.read.orderOf([buyer.ticketId, 1n]), [0, 0]);
  });
});

const ACCEPTED: readonly (readonly [what: string, rule: string, build: () => Promise<Batch>])[] = [
  [
    "at the upper price limit",
    "FIL-4",
    () => {
      const limitPrice = CENTRE + priceLimit;
      return plain({ limitPrice }, { limitPrice }, { price: limitPrice });
    },
  ],
  [
    "at the lower price limit",
    "FIL-4",
    () => {
      const limitPrice = CENTRE - priceLimit;
      return plain({ limitPrice }, { limitPrice }, { price: limitPrice });
    },
  ],
  ["at the maker's better price", "FIL-3", () => plain({}, { limitPrice: PRICE + 9n * TICK })],
  ["with a buyer that rested", "FIL-1", async () => between(await buyOf(buyer), await sellOf(seller))],
  [
    "in the second of its order's expiry",
    "ORD-7",
    async () => plain({ expiry: await x.now() }, { expiry: await x.now() }),
  ],
  [
    "of a taker that is immediate-or-cancel, in part",
    "ORD-8",
    () => plain({ quantity: 1 }, { timeInForce: "IOC" }, { quantity: 1 }),
  ],
  [
    "of a taker that is fill-or-kill, in one run of two",
    "ORD-8",
    async () => {
      const orders = [
        await sellOf(seller, { quantity: 1 }),
        await buyOf(buyer, { timeInForce: "FOK" }),
        await sellOf(third),
      ];
      const first = await desk.fill({ price: PRICE, quantity: 1 });
      return { orders, fills: [first, { ...first, maker: 2, n: 1 }] };
    },
  ],
  ["of a maker that is post-only", "ORD-8", () => plain({ postOnly: true })],
  [
    "of a higher revision after a lower one",
    "ORD-5",
    async () => {
      const clientId = 79n;
      const orders = [
        await sellOf(seller, { clientId }),
        await buyOf(buyer),
        await sellOf(seller, { clientId, revision: 7, quantity: 2 }),
      ];
      const first = await desk.fill({ price: PRICE, quantity: 1 });
      return { orders, fills: [first, { ...first, maker: 2, n: 1 }] };
    },
  ],
  [
    "that needs the last unit of margin",
    "FIL-8",
    async () => {
      const exact = only(await desk.openRaw(0, { cash: initialMargin + 3n * TICK + fillFee }));
      return between(await sellOf(seller), await buyOf(exact, { quantity: 1 }), { quantity: 1 });
    },
  ],
  [
    "that a reduce-only ticket reduces with",
    "TKT-5",
    async () => between(await sellOf(reducing, { quantity: 1 }), await buyOf(buyer), { quantity: 1 }),
  ],
  [
    "up to 2^31 - 1 contracts",
    "NUM-5",
    () => plain({ quantity: LARGEST }, { quantity: LARGEST }, { quantity: LARGEST }),
  ],
];

for (const [what, rule, build] of ACCEPTED) {
  test(`a fill ${what} is accepted [${rule}]`, async () => {
    await desk.rollback(async () => {
      await send(await build());
    });
  });
}

test("a ticket at maintenance reduces at the far limit and can pay the largest fee, with nothing left [FEE-4, TKT-10]", async () => {
  await desk.rollback(async () => {
    const atMaintenance = only(await desk.openRaw(1, LONG_ONE));
    const price = CENTRE - priceLimit;
    const { fees } = await house.read.buckets();
    const terms = { limitPrice: price, quantity: 1 };
    const orders = [await sellOf(atMaintenance, terms), await buyOf(elsewhere, terms)];
    await send({ orders, fills: [await desk.fill({ price, quantity: 1 })] });
    // The largest fee there can be is the whole distance from the limit to maintenance.
    assert.deepEqual(await ticketOf(atMaintenance), { cash: 0n, position: 0 });
    const paid = (await house.read.buckets()).fees - fees;
    assert.equal(paid, maintenanceMargin - priceLimit + LEAN_HOG_TERMS.closeOutFee);
  });
});

test("a revision that was superseded in an earlier batch stays superseded [ORD-5]", async () => {
  await desk.rollback(async () => {
    const clientId = 80n;
    const [old, newer] = [await sellOf(seller, { clientId }), await sellOf(seller, { clientId, revision: 1 })];
    await send(await between(newer, await buyOf(buyer), { quantity: 1 }));
    assert.deepEqual(await house.read.orderOf([seller.ticketId, clientId]), [1, 1]);
    const late = await between(old, await buyOf(buyer), { quantity: 1 });
    await desk.refuses(() => send(late), "Superseded", { revision: 0, newest: 1 });
  });
});

test("many orders of one ticket each keep their own count [ORD-4]", async () => {
  await desk.rollback(async () => {
    for (const clientId of [81n, 82n, 83n]) {
      await send(await plain({ clientId }, {}, { quantity: 1 }));
      await send(await plain({ clientId }, {}, { quantity: 1 }));
      const more = await plain({ clientId }, {}, { quantity: 1 });
      await desk.refuses(() => send(more), "Overfilled", { clientId, filled: 3 });
      assert.deepEqual(await house.read.orderOf([seller.ticketId, clientId]), [2, 0]);
    }
  });
});

test("a ticket trades from the batch after its opening on [TKT-8]", async () => {
  await desk.rollback(async () => {
    const { transition, tickets } = await desk.rawOpening(0, [RICH]);
    const { orders, fills } = await between(await sellOf(only(tickets)), await buyOf(buyer));
    await desk.refuses(() => desk.batch([transition], orders, fills), "TicketNotTradable", { ticketEpoch: 1 });
    await desk.batch([transition]);
    await send({ orders, fills });
  });
});

test("a closed ticket does not trade [TKT-8]", async () => {
  await desk.rollback(async () => {
    await desk.batch([await desk.rawClose(poor)]);
    const built = await between(await sellOf(seller), await buyOf(poor));
    await desk.refuses(() => send(built), "UnknownTicket", { ticketId: poor.ticketId });
  });
});

test("fills settle until the close, but none was executed after closing time [EPO-4, FIL-7, FIL-14]", async () => {
  await desk.rollback(async () => {
    await desk.toClosingTime();
    await x.advanceTime(60);
    const { closingTime } = await house.read.epochOf([1]);
    const late = await plain({}, {}, { execTime: closingTime + 1n });
    await desk.refuses(() => send(late), "ExecTimeOutOfRange", { latest: closingTime });
    await send(await plain({}, {}, { execTime: closingTime }));
    await desk.close();
    const tooLate = await plain({}, {}, { execTime: closingTime });
    await desk.refuses(() => send(tooLate), "FillsOutsideTrading");
    await desk.open();
    const foreign = await plain({}, {}, { execTime: await x.now() });
    await desk.refuses(() => send(foreign), "TicketNotTradable", { ticketEpoch: 1 });
  });
});

test("volume is kept per minute of execution [FIL-15]", async () => {
  await desk.rollback(async () => {
    await x.advanceTime(600);
    const first = ((await x.now()) / 60n) * 60n;
    for (const [seconds, quantity] of [
      [-120n, 2],
      [-119n, 3],
      [-61n, 1],
      [-60n, 5],
    ] as const) {
      const limits = { quantity, limitPrice: PRICE };
      await send(await plain(limits, limits, { quantity, execTime: first + seconds }));
    }
    const minute = Number(first / 60n);
    assert.deepEqual(await house.read.minuteVolumes([1, 0]), [
      { minute: minute - 2, volume: 6n, value: 6n * PRICE },
      { minute: minute - 1, volume: 11n, value: 11n * PRICE },
    ]);
  });
});

test("fills of several markets in one batch leave each market's sums those of its tickets [CON-8, BAT-11]", async () => {
  await desk.rollback(async () => {
    const partner = only(await desk.openRaw(1, RICH));
    const terms = { quantity: 20 };
    const orders = await Promise.all([
      sellOf(seller, terms),
      buyOf(buyer, terms),
      sellOf(elsewhere, terms),
      buyOf(partner, terms),
      sellOf(third, terms),
    ]);
    const first = await desk.fill({ price: PRICE, quantity: 1 });
    const pairs = [
      [0, 1],
      [2, 3],
      [0, 1],
      [4, 1],
      [2, 3],
      [0, 1],
    ] as const;
    const fills = pairs.map(([maker, taker], n) => ({ ...first, maker, taker, n, quantity: n + 1 }));
    const logHead = stringToHex("head", { size: 32 });
    const { fees } = await house.read.buckets();
    await desk.batch([], orders, fills, { logHead });

    const [, sums] = await house.read.openPositions();
    for (const [slot, all] of [
      [0, [buyer, seller, third, poor, reducing]],
      [1, [elsewhere, partner]],
    ] as const) {
      const held = await Promise.all(all.map(ticketOf));
      const total = (of: (ticket: { cash: bigint; position: number }) => bigint) =>
        held.reduce((sum, ticket) => sum + of(ticket), 0n);
      assert.deepEqual(sums[slot], {
        cash: total(({ cash }) => cash),
        net: total(({ position }) => BigInt(position)),
        gross: total(({ position }) => BigInt(Math.abs(position))),
      });
    }
    assert.deepEqual((await ticketOf(buyer)).position, 14);
    assert.deepEqual((await ticketOf(third)).position, -4);
    assert.equal((await house.read.buckets()).fees, fees + 28n * fillFee + 14n * LEAN_HOG_TERMS.closeOutFee);
    const [, , next, lastSeq, lastN] = await house.read.clock();
    assert.deepEqual([lastSeq, lastN], [first.seq, 5]);
    assert.equal((await house.read.batchRecord([next - 1]))[1], logHead);
  });
});
