import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { DOLLAR, priceOfMilliCents } from "../../src/clearing/leanHogs.ts";
import type { OrderRequest } from "../../src/trader/commands.ts";
import type { TraderDesk } from "../../src/trader/desk.ts";
import { startTraderStage, type TraderStage } from "../support/traderDesk.ts";

const dollars = (amount: bigint): string => (amount * DOLLAR).toString();
const at = (milliCents: number): string => priceOfMilliCents(milliCents).toString();
const order = (over: Partial<OrderRequest>): OrderRequest => ({ slot: 0, side: "buy", quantity: 1, ...over });

describe("a desk at a real exchange", () => {
  let stage: TraderStage;
  let alice: TraderDesk;
  let bob: TraderDesk;

  before(async () => {
    stage = await startTraderStage();
    [alice, bob] = [await stage.desk("alice"), await stage.desk("bob")];
    await Promise.all([alice, bob].map((desk) => desk.run("deposit", { amount: dollars(200_000n), faucet: true })));
  });
  after(async () => {
    await alice.close();
    await bob.close();
    await stage.stop();
  });

  test("a deposit opens the seat and is in the account [DSK-1]", async () => {
    const balance = await alice.run("balance", {});
    assert.equal(balance.seat.status, "active");
    assert.equal(balance.cash, (200_000n * DOLLAR - DOLLAR / 2n).toString());
    assert.deepEqual(balance.credits, []);
  });

  test("sixteen orders are in flight on tickets from one proof, before any block [DSK-9]", async () => {
    const before = alice.chain.newestBlock.number;
    const placed = await alice.run("place", {
      orders: Array.from({ length: 16 }, (_, i) => order({ side: "sell", limitPrice: at(80_100 + 25 * i) })),
      tickets: "linked",
    });
    assert.deepEqual(
      placed.map(({ order: view, refusal }) => refusal ?? view?.status),
      Array.from({ length: 16 }, () => "open"),
    );
    assert.equal(new Set(placed.map(({ order: view }) => view?.ticketId)).size, 8);
    assert.ok(placed.every(({ receipts }) => receipts >= 1));
    assert.equal(alice.chain.newestBlock.number, before);
  });

  test("a market order fills, and both sides see it once it is settled [DSK-13]", async () => {
    const [bought] = await bob.run("place", { orders: [order({ quantity: 2, timeInForce: "IOC" })] });
    assert.equal(bought?.refusal, null);
    assert.equal(bought.order?.status, "filled");
    assert.equal(bought.order.type, "market");
    assert.equal(bought.order.averagePrice, ((BigInt(at(80_100)) + BigInt(at(80_125))) / 2n).toString());
    const closed = await bob.run("closeTickets", {});
    assert.deepEqual(
      closed.map(({ status }) => status),
      ["landed"],
    );
    const { positions } = await bob.run("balance", {});
    assert.deepEqual(
      positions.map(({ inAccount, inTickets }) => [inAccount, inTickets]),
      [[2, 0]],
    );
  });

  test("a reduce-only order takes its contracts out of the account [DSK-14]", async () => {
    const [sold] = await bob.run("place", {
      orders: [order({ side: "sell", quantity: 2, limitPrice: at(81_000), reduceOnly: true })],
    });
    assert.equal(sold?.refusal, null);
    assert.equal(sold.order?.status, "open");
    const [nothing] = await bob.run("place", {
      orders: [order({ side: "buy", limitPrice: at(80_000), reduceOnly: true })],
    });
    assert.equal(nothing?.refusal?.code, "NothingToReduce");
    const replaced = await bob.run("replace", { order: sold.order.ref, change: { limitPrice: at(81_500) } });
    assert.equal(replaced.order?.limitPrice, at(81_500));
    assert.equal(replaced.order.revision, 1);
    const cancelled = await bob.run("cancel", { order: sold.order.ref.slice(0, 8) });
    assert.equal(cancelled.order?.status, "cancelled");
    assert.deepEqual(await bob.run("orders", {}), []);
    await bob.run("closeTickets", {});
  });

  test("one refused order does not keep the others from being placed [DSK-10]", async () => {
    const placed = await bob.run("place", {
      orders: [
        order({ limitPrice: at(70_000) }),
        order({ limitPrice: at(79_000) }),
        order({ limitPrice: at(79_000), quantity: 1_000 }),
      ],
      tickets: "linked",
    });
    assert.deepEqual(
      placed.map(({ order: view, refusal }) => refusal?.code ?? view?.status),
      ["Matching.OffLimits", "open", "ProverRefused"],
    );
  });
});
