import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { DOLLAR, priceOfMilliCents } from "../../src/clearing/leanHogs.ts";
import type { TraderDesk } from "../../src/trader/desk.ts";
import { Interrupted } from "../../src/trader/desk/reach.ts";
import { startUnprovenStage, type UnprovenStage } from "../support/unprovenStage.ts";

const dollars = (amount: bigint): string => (amount * DOLLAR).toString();
const at = (milliCents: number): string => priceOfMilliCents(milliCents).toString();
const TO = "0x00000000000000000000000000000000000000a1";

let stage: UnprovenStage;
before(async () => {
  stage = await startUnprovenStage();
});
after(() => stage.stop());

let names = 0;

/** A trader with 100,000 dollars, for one test. */
async function funded(): Promise<TraderDesk> {
  names += 1;
  const desk = await stage.desk(`trader${names}`);
  await desk.run("deposit", { amount: dollars(100_000n), faucet: true });
  return desk;
}

describe("a desk whose trader changes his mind", () => {
  test("what is given up before it is sent is never sent, neither then nor later [DSK-16]", async () => {
    const desk = await funded();
    const before = desk.account.account.cash;
    const givingUp = new AbortController();
    const withdrawing = desk.run(
      "withdraw",
      { amount: dollars(1_000n), to: TO },
      {
        signal: givingUp.signal,
        onProgress: (event) => {
          if (event.stage === "proving") givingUp.abort();
        },
      },
    );
    await assert.rejects(withdrawing, Interrupted);
    assert.deepEqual(await desk.run("catchUp", {}), { resent: 0, abandoned: 0, ordersFound: 0, notes: [] });
    assert.equal(desk.account.account.cash, before);
    await desk.close();
  });

  test("a change that was refused is forgotten: the next one is of the order in force [DSK-17]", async () => {
    const desk = await funded();
    const { tickets } = await desk.run("openTickets", { slot: 0, count: 1, cash: dollars(10_000n) });
    const order = { slot: 0, side: "buy", quantity: 1, limitPrice: at(79_000) } as const;
    const [placed] = await desk.run("place", { orders: [order], tickets: { ticket: tickets[0] ?? "" } });
    const ref = placed?.order?.ref ?? "";
    const tooMuch = { limitPrice: at(79_500), quantity: 1_000 };
    await assert.rejects(desk.run("replace", { order: ref, change: tooMuch }), { code: "TicketBelowMargin" });
    const [kept] = await desk.run("orders", {});
    assert.deepEqual([kept?.limitPrice, kept?.quantity], [at(79_000), 1]);
    const { order: changed } = await desk.run("replace", { order: ref, change: { quantity: 2 } });
    assert.deepEqual([changed?.limitPrice, changed?.quantity], [at(79_000), 2]);
    const { bids } = await desk.connections.common.fetchOrderBook(0);
    assert.deepEqual(bids, [{ price: BigInt(at(79_000)), quantity: 2, orders: 1 }]);
    await desk.close();
  });

  test("that the chain skipped one transition of a note says nothing about the next one of it [DSK-3]", async () => {
    const desk = await funded();
    const nullifier = desk.account.state.live?.nullifier ?? 0n;
    const opened = desk.chain.events.find(({ eventName }) => eventName === "SeatOpened");
    assert.ok(opened !== undefined);
    desk.chain.events.push({
      ...opened,
      eventName: "TransitionSkipped",
      topics: ["0x", "0x", "0x"],
      args: { nullifier, action: 2, reason: 3 },
    });
    const { status } = await desk.run("withdraw", { amount: dollars(1n), to: TO });
    assert.equal(status, "landed");
    await desk.close();
  });

  test("of two deposits at once neither takes what is allowed for the other [DSK-19]", async () => {
    const desk = await funded();
    await Promise.all(
      [100n, 50n].map((amount) => desk.run("deposit", { amount: dollars(amount), faucet: true, hold: true })),
    );
    await desk.account.sync();
    const amounts = desk.account.state.credits.map(({ amount }) => amount);
    assert.deepEqual(amounts, [100n * DOLLAR, 50n * DOLLAR]);
    await desk.close();
  });

  test("a seat neither sleeps nor closes while tickets or deposits need it [DSK-18]", async () => {
    const desk = await funded();
    await desk.run("openTickets", { slot: 0, count: 1, cash: dollars(1_000n) });
    for (const params of [{ action: "sleep" }, { action: "closeSeat", to: TO }] as const) {
      await assert.rejects(desk.run("seat", params), { code: "SeatStillNeeded" });
    }
    await desk.run("closeTickets", {});
    await desk.run("deposit", { amount: dollars(10n), faucet: true, hold: true });
    await desk.account.sync();
    await assert.rejects(desk.run("seat", { action: "closeSeat", to: TO }), { code: "SeatStillNeeded" });
    assert.equal((await desk.run("seat", { action: "sleep" })).status, "landed");
    await desk.close();
  });
});
