import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { equityInBand } from "../../src/protocol/epoch.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import {
  assertAcceptable,
  cashFor,
  type RestingOrder,
  reduces,
  type TicketBalance,
  type Trade,
  tradeOn,
} from "../../src/protocol/ticket.ts";
import { epochMarket } from "../support/epochMarket.ts";

const MARKET = epochMarket({
  contractId: `0x${"11".repeat(32)}`,
  listed: true,
  centre: 1_000n,
  tick: 5n,
  priceLimit: 100n,
  maintenanceMargin: 250n,
  initialMargin: 300n,
  closeOutFee: 150n,
  fillFee: 2n,
  minimumVolume: 1,
  minimumMinutes: 1,
  settlementPrice: 0n,
  expired: false,
  closingOnly: false,
  lastTradingTime: 4_000_000_000n,
});

const BUY_TEN: Trade = { side: "buy", price: 1_000n, quantity: 10n };

function refuses(act: () => unknown, code: string): void {
  assert.throws(act, (error) => error instanceof HedgerowError && error.code === code);
}

test("a position reduces when it comes nearer to zero without crossing it [TKT-5]", () => {
  assert.ok(reduces(10n, 9n) && reduces(-10n, -1n) && reduces(10n, 0n) && reduces(-1n, 0n));
  assert.ok(!reduces(10n, 10n) && !reduces(10n, 11n) && !reduces(10n, -9n) && !reduces(0n, 1n) && !reduces(-5n, 4n));
});

test("a fill needs initial margin after its fee, to the unit [TKT-6, FIL-8]", () => {
  const cash = cashFor(MARKET, BUY_TEN);
  assert.equal(cash, 10n * (300n + 2n));
  const after = tradeOn(MARKET, { cash, position: 0n }, BUY_TEN, false);
  assert.deepEqual(after, { cash: cash - 10_000n - 20n, position: 10n, fee: 20n });
  assert.equal(equityInBand(after.cash, after.position, MARKET.centre, MARKET.initialMargin), 0n);
  refuses(() => tradeOn(MARKET, { cash: cash - 1n, position: 0n }, BUY_TEN, false), "TicketBelowMargin");
});

test("a fill that reduces pays at most what there is above maintenance [FEE-4, TKT-10]", () => {
  // A fee this high is refused by the registry; the rule stands by itself.
  const dear = { ...MARKET, fillFee: 1_000n };
  const atMaintenance: TicketBalance = { cash: -10n * (1_000n - 250n), position: 10n };
  const sellFive: Trade = { side: "sell", price: 900n, quantity: 5n };
  const { cash, position, fee } = tradeOn(dear, atMaintenance, sellFive, false);
  assert.equal(position, 5n);
  assert.equal(fee, 5n * (250n - 100n));
  assert.equal(equityInBand(cash, position, dear.centre, dear.maintenanceMargin), 0n);
});

test("a reduce-only ticket neither grows nor crosses zero [TKT-5]", () => {
  const long: TicketBalance = { cash: -7_000n, position: 10n };
  refuses(() => tradeOn(MARKET, long, BUY_TEN, true), "NotReducing");
  refuses(() => tradeOn(MARKET, long, { side: "sell", price: 1_000n, quantity: 11n }, true), "NotReducing");
  assert.equal(tradeOn(MARKET, long, { side: "sell", price: 1_000n, quantity: 10n }, true).position, 0n);
});

test("what is accepted can be filled in any order at its prices or better, and each side counts alone [ORD-6]", () => {
  const price = fc.integer({ min: -20, max: 20 }).map((ticks) => 1_000n + 5n * BigInt(ticks));
  const quantity = fc.integer({ min: 1, max: 30 }).map(BigInt);
  const side = fc.constantFrom("buy" as const, "sell" as const);
  const orders = fc.array(fc.record({ side, limitPrice: price, remaining: quantity }), { minLength: 1, maxLength: 6 });
  const scene = fc.record({ cash: fc.bigInt(0n, 20_000n), position: fc.bigInt(-20n, 20n), orders, seed: fc.nat() });
  let accepted = 0;
  fc.assert(
    fc.property(scene, ({ cash: excess, position, orders: offered, seed }) => {
      const start = { cash: excess - equityInBand(0n, position, MARKET.centre, MARKET.maintenanceMargin), position };
      const resting: RestingOrder[] = [];
      for (const order of offered) {
        try {
          assertAcceptable(MARKET, start, resting, order, false);
          resting.push(order);
        } catch (error) {
          assert.ok(error instanceof HedgerowError);
        }
      }
      accepted += resting.length;
      // Buys are filled at their price or lower, sells at theirs or higher: the worst is their own price.
      const queue = resting.map((order, i) => ({ order, key: (i + 1) * (seed % 7919) })).sort((a, b) => a.key - b.key);
      let ticket: TicketBalance = start;
      for (const { order } of queue) {
        const trade = { side: order.side, price: order.limitPrice, quantity: order.remaining };
        ticket = tradeOn(MARKET, ticket, trade, false);
      }
    }),
    { numRuns: 2_000 },
  );
  assert.ok(accepted > 1_000);
});
