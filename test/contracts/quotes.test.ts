import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEventLogs, stringToHex } from "viem";
import { clearingHouseAbi } from "../../src/protocol/abi.ts";
import { closeEpoch, type RestingQuote, type SignedOrder } from "../../src/chain/clearingHouse.ts";
import { DOLLAR, LEAN_HOG_TERMS, TICK } from "../../src/clearing/leanHogs.ts";
import type { ErrorDetails } from "../../src/protocol/errors.ts";
import type { Order, Side } from "../../src/protocol/order.ts";
import { type RawTicket, only, startDesk } from "../support/desk.ts";

// The operator's attestation of resting orders, on a day without trades: tier 3, which they may bound.

const { listingPrice: CENTRE, priceLimit, minimumVolume, initialMargin } = LEAN_HOG_TERMS;
const BID = CENTRE + 10n * TICK;

const desk = await startDesk({
  markets: [LEAN_HOG_TERMS, { ...LEAN_HOG_TERMS, contractId: stringToHex("OTHER HOGS", { size: 32 }) }],
});
const { x, house } = desk;
const bystander = await x.fundedSender(0n);

await desk.fillPool(10_000_000n);
const RICH = { cash: 500_000n * DOLLAR };
const [first, second] = (await desk.openRaw(0, RICH, RICH)) as [RawTicket, RawTicket];
const poor = only(await desk.openRaw(0, { cash: initialMargin }));
const elsewhere = only(await desk.openRaw(1, RICH));
const long = { cash: -(CENTRE - LEAN_HOG_TERMS.maintenanceMargin), position: 1, reduceOnly: true };
const reducing = only(await desk.openRaw(0, long));
const { closingTime } = await house.read.epochOf([1]);

await x.advanceTime(Number(closingTime - (await x.now())) - x.terms.settlementWindow);
const late = only(await desk.openRaw(0, RICH));
await desk.toClosingTime();

const order = (ticket: RawTicket, side: Side, over: Partial<Order> = {}): Promise<SignedOrder> =>
  desk.order(ticket, { side, limitPrice: BID, quantity: minimumVolume, ...over });

/** Orders as the contract wants them: by ticket, then by client id. */
function sorted(orders: readonly SignedOrder[]): readonly SignedOrder[] {
  return orders.toSorted(({ order: a }, { order: b }) =>
    a.ticketId === b.ticketId ? Number(a.clientId - b.clientId) : a.ticketId < b.ticketId ? -1 : 1,
  );
}

const bidding = (...bids: readonly SignedOrder[]): RestingQuote[] => [{ slot: 0, bids, asks: [] }];
const asking = (...asks: readonly SignedOrder[]): RestingQuote[] => [{ slot: 0, bids: [], asks }];

type Refused = readonly [
  what: string,
  rule: string,
  code: string,
  build: () => Promise<RestingQuote[]>,
  details?: ErrorDetails,
];
const mismatch = (what: string, ticket: RawTicket, over: Partial<Order> = {}, side: Side = "buy"): Refused => [
  what,
  "SET-8",
  "QuoteMismatch",
  async () => bidding(await order(ticket, side, over)),
  { ticketId: ticket.ticketId },
];

const REFUSED: readonly Refused[] = [
  mismatch("an order off the limits", first, { limitPrice: CENTRE + priceLimit + TICK }),
  mismatch("an order off tick", first, { limitPrice: BID + 1n }),
  mismatch("an order of the other side", first, {}, "sell"),
  mismatch("an order that cannot rest", first, { timeInForce: "IOC" }),
  mismatch("an order that expires before closing time", first, { expiry: closingTime - 1n }),
  mismatch("an order without a client id", first, { clientId: 0n }),
  mismatch("an order for 2^31 contracts", first, { quantity: 2 ** 31 }),
  mismatch("an order of another market", elsewhere),
  mismatch("an order on a ticket opened inside the settlement window", late),
  mismatch("an order that its ticket cannot pay", poor, { quantity: 2 }),
  mismatch("an order of a reduce-only ticket that would grow", reducing),
  mismatch("an order on a ticket that never was", { ...first, ticketId: stringToHex("nowhere", { size: 32 }) }),
  [
    "an order signed by another key",
    "SET-8",
    "WrongSigner",
    async () => bidding(await order({ ...first, key: second.key }, "buy")),
  ],
  [
    "the same order twice",
    "SET-8",
    "QuoteNotSorted",
    async () => {
      const bid = await order(first, "buy");
      return bidding(bid, bid);
    },
  ],
  [
    "two revisions of one order",
    "SET-8",
    "QuoteNotSorted",
    async () =>
      bidding(await order(first, "buy", { clientId: 5n }), await order(first, "buy", { clientId: 5n, revision: 1 })),
  ],
  [
    "orders out of order",
    "SET-8",
    "QuoteNotSorted",
    async () => bidding(...sorted([await order(first, "buy"), await order(second, "buy")]).toReversed()),
  ],
  [
    "orders that one ticket cannot pay together",
    "SET-8",
    "QuoteMismatch",
    async () =>
      bidding(...sorted([await order(first, "buy", { quantity: 100 }), await order(first, "buy", { quantity: 100 })])),
  ],
  ["slot 8", "SET-8", "SlotOutOfRange", async () => Promise.resolve([{ slot: 8, bids: [], asks: [] }]), { slot: 8 }],
  [
    "one slot twice",
    "SET-8",
    "QuoteSlotsNotSorted",
    async () => Promise.resolve([...bidding(), ...bidding()]),
    { slot: 0 },
  ],
  [
    "slots out of order",
    "SET-8",
    "QuoteSlotsNotSorted",
    async () => Promise.resolve([{ slot: 1, bids: [], asks: [] }, ...bidding()]),
    { slot: 0 },
  ],
];

for (const [what, rule, code, build, details] of REFUSED) {
  test(`attesting ${what} is refused and changes nothing [${rule}]`, async () => {
    const quotes = await build();
    await desk.refuses(() => closeEpoch(x.chain, x.operator, quotes), code, details);
  });
}

test("only the operator attests [SET-8]", async () => {
  await desk.rollback(async () => {
    await x.advanceTime(x.terms.settleGrace);
    const quotes = bidding(await order(first, "buy"));
    await desk.refuses(() => closeEpoch(x.chain, bystander, quotes), "QuotesOnlyByOperator");
    await closeEpoch(x.chain, bystander);
  });
});

/** The settlement price of slot 0 that these quotes lead to. */
async function priceWith(quotes: readonly RestingQuote[]): Promise<bigint | undefined> {
  let price: bigint | undefined;
  await desk.rollback(async () => {
    const { logs } = await desk.close(quotes);
    const [priced] = parseEventLogs({ abi: clearingHouseAbi, logs, eventName: "SettlementPriced" });
    assert.equal(priced?.args.tier, 3);
    price = priced.args.price;
  });
  return price;
}

const COUNTED: readonly (readonly [what: string, build: () => Promise<readonly RestingQuote[]>, price: bigint])[] = [
  ["no orders leave yesterday's price", async () => Promise.resolve([]), CENTRE],
  ["a bid of enough volume lifts the price to it", async () => bidding(await order(first, "buy")), BID],
  [
    "an ask of enough volume presses the price to it",
    async () => asking(await order(first, "sell", { limitPrice: CENTRE - TICK })),
    CENTRE - TICK,
  ],
  [
    "a bid of too little volume counts for nothing",
    async () => bidding(await order(first, "buy", { quantity: minimumVolume - 1 })),
    CENTRE,
  ],
  [
    "the worst of several bids that have the volume together counts",
    async () =>
      bidding(
        ...sorted([
          await order(first, "buy", { quantity: 3 }),
          await order(second, "buy", { quantity: 3, limitPrice: BID - TICK }),
        ]),
      ),
    BID - TICK,
  ],
  [
    "crossed sides are ignored",
    async () => [
      { slot: 0, bids: [await order(first, "buy")], asks: [await order(second, "sell", { limitPrice: BID - TICK })] },
    ],
    CENTRE,
  ],
  [
    "sides that touch hold the price there",
    async () => [{ slot: 0, bids: [await order(first, "buy")], asks: [await order(second, "sell")] }],
    BID,
  ],
  [
    "an order at the limit counts",
    async () => bidding(await order(first, "buy", { limitPrice: CENTRE + priceLimit })),
    CENTRE + priceLimit,
  ],
];
for (const [what, build, price] of COUNTED) {
  test(`${what} [SET-4]`, async () => {
    assert.equal(await priceWith(await build()), price);
  });
}

test("only what is left of an order counts [SET-4, ORD-4]", async () => {
  await desk.rollback(async () => {
    const bid = await order(first, "buy", { clientId: 9n });
    const hit = await order(second, "sell", { quantity: 1 });
    // One contract is not enough volume for tier 2.
    const fill = await desk.fill({ price: BID, quantity: 1 });
    await desk.batch([], [bid, hit], [fill]);
    assert.equal(await priceWith(bidding(bid)), CENTRE);
    const renewed = await order(first, "buy", { clientId: 9n, revision: 1, quantity: minimumVolume + 1 });
    assert.equal(await priceWith(bidding(renewed)), BID);
  });
});
