import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { DOLLAR, priceOfMilliCents } from "../../src/clearing/leanHogs.ts";
import type { OrderRequest, RunOptions } from "../../src/trader/commands.ts";
import type { TraderDesk } from "../../src/trader/desk.ts";
import { Interrupted } from "../../src/trader/desk/reach.ts";
import { startUnprovenStage, type UnprovenStage } from "../support/unprovenStage.ts";

const dollars = (amount: bigint): string => (amount * DOLLAR).toString();
const at = (milliCents: number): string => priceOfMilliCents(milliCents).toString();
const order = (over: Partial<OrderRequest> = {}): OrderRequest => ({
  slot: 0,
  side: "buy",
  quantity: 1,
  limitPrice: at(79_000),
  ...over,
});

let stage: UnprovenStage;
before(async () => {
  stage = await startUnprovenStage();
});
after(() => stage.stop());

let names = 0;

const ASKED_IN_VAIN = /^the exchange does not answer/;
const QUEUED = /^waiting until the chain shows/;

/** Options of a command, and what resolves once it says so. */
function heard(text: RegExp): { readonly options: RunOptions; readonly said: Promise<unknown> } {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  return {
    said: promise,
    options: {
      onProgress: (event) => {
        if (text.test(event.text)) resolve(event);
      },
    },
  };
}

/** A trader with money, for one test. */
async function funded(): Promise<TraderDesk & { readonly traderName: string }> {
  names += 1;
  const name = `trader${names}`;
  const desk = await stage.desk(name);
  await desk.run("deposit", { amount: dollars(100_000n), faucet: true });
  return Object.assign(desk, { traderName: name });
}

/** What a wallet shows of itself, as text. */
async function shown(desk: TraderDesk): Promise<string> {
  const views = [await desk.run("balance", {}), await desk.run("tickets", {})];
  return JSON.stringify(views);
}

/** A wallet rebuilt from the phrase shows the very same. */
async function assertRecovers(name: string, desk: TraderDesk): Promise<void> {
  const other = await stage.recovered(name);
  assert.equal(await shown(other), await shown(desk));
  await other.close();
}

describe("a desk when things go wrong", () => {
  test("the answer to a transition is lost: it is sent again, lands once, and its order is taken [DSK-2, ACC-15]", async () => {
    const desk = await funded();
    const before = stage.port.lost;
    stage.port.loseAnswers(2);
    const [placed] = await desk.run("place", { orders: [order()] });
    assert.equal(placed?.refusal, null);
    assert.equal(placed.order?.status, "open");
    assert.equal(stage.port.lost, before + 2);
    assert.equal((await desk.run("catchUp", {})).abandoned, 0);
    assert.equal((await desk.run("balance", {})).openTickets, 1);
    await assertRecovers(desk.traderName, desk);
    await desk.close();
  });

  test("the answer to an order, a replacement and a cancel is lost: each counts once [DSK-11]", async () => {
    const desk = await funded();
    const { tickets } = await desk.run("openTickets", { slot: 0, count: 1, cash: dollars(20_000n) });
    const ticket = tickets[0] ?? "";
    const before = stage.port.lost;
    stage.port.loseAnswers(1);
    const [placed] = await desk.run("place", { orders: [order()], tickets: { ticket } });
    const ref = placed?.order?.ref ?? "";
    stage.port.loseAnswers(1);
    const replaced = await desk.run("replace", { order: ref, change: { limitPrice: at(79_100) } });
    assert.equal(replaced.order?.limitPrice, at(79_100));
    stage.port.loseAnswers(1);
    const cancelled = await desk.run("cancel", { order: ref });
    assert.equal(cancelled.order?.status, "cancelled");
    assert.equal(stage.port.lost, before + 3);
    assert.equal((await desk.run("orders", { all: true })).length, 1);
    await desk.close();
  });

  test("the wallet dies between writing a transition down and sending it: the next start sends it [DSK-2, ACC-15]", async () => {
    const desk = await funded();
    stage.port.goAway();
    const dying = new AbortController();
    const { options, said } = heard(ASKED_IN_VAIN);
    const asked = { slot: 0, count: 2, cash: dollars(5_000n) };
    const opening = desk.run("openTickets", asked, { signal: dying.signal, ...options });
    void said.then(() => dying.abort());
    await assert.rejects(opening, Interrupted);
    await desk.close();
    stage.port.comeBack();
    const again = await stage.desk(desk.traderName);
    assert.equal((await again.run("balance", {})).openTickets, 0);
    assert.deepEqual(await again.run("catchUp", {}), { resent: 1, abandoned: 0, ordersFound: 0, notes: [] });
    assert.equal((await again.run("balance", {})).openTickets, 2);
    await assertRecovers(desk.traderName, again);
    await again.close();
  });

  test("the exchange forgets what it has queued: it is sent again by itself [DSK-2]", async () => {
    const desk = await funded();
    stage.hold();
    const { options, said } = heard(QUEUED);
    const opening = desk.run("openTickets", { slot: 0, count: 1, cash: dollars(5_000n) }, options);
    await said;
    await stage.forgetfulRestart();
    stage.post();
    assert.equal((await opening).transition.status, "landed");
    await assertRecovers(desk.traderName, desk);
    await desk.close();
  });

  test("another device has spent the note: the wallet learns it and goes on with the newest [DSK-4]", async () => {
    const desk = await funded();
    const other = await stage.recovered(desk.traderName);
    await other.run("openTickets", { slot: 0, count: 1, cash: dollars(5_000n) });
    await desk.run("openTickets", { slot: 0, count: 1, cash: dollars(7_000n) });
    assert.equal((await desk.run("balance", {})).openTickets, 2);
    assert.equal(await shown(other), await shown(desk));
    await other.close();
    await desk.close();
  });

  test("both devices spend the same note at once: one lands, the other says so and loses nothing [DSK-4]", async () => {
    const desk = await funded();
    const other = await stage.recovered(desk.traderName);
    stage.hold();
    const [one, two] = [heard(QUEUED), heard(QUEUED)];
    const both = Promise.allSettled([
      desk.run("openTickets", { slot: 0, count: 1, cash: dollars(5_000n) }, one.options),
      other.run("openTickets", { slot: 0, count: 1, cash: dollars(7_000n) }, two.options),
    ]);
    await Promise.all([one.said, two.said]);
    stage.post();
    const outcomes = await both;
    assert.deepEqual(outcomes.map(({ status }) => status).toSorted(), ["fulfilled", "rejected"]);
    assert.equal((await desk.run("balance", {})).openTickets, 1);
    assert.equal(await shown(other), await shown(desk));
    await desk.run("openTickets", { slot: 0, count: 1, cash: dollars(1_000n) });
    await other.close();
    await desk.close();
  });

  test("blocks with a transition are taken back: it lands again, and the wallet shows what the chain shows [DSK-5]", async () => {
    const desk = await funded();
    const undo = await stage.node.reorganisation();
    await desk.run("openTickets", { slot: 0, count: 1, cash: dollars(5_000n) });
    await undo();
    await desk.run("catchUp", {});
    assert.equal((await desk.run("balance", {})).openTickets, 1);
    await assertRecovers(desk.traderName, desk);
    await desk.close();
  });

  test("a refused transition is given up and its note spent without the seat before a renewal shows it [DSK-3, DSK-6, PRI-2]", async () => {
    const desk = await funded();
    assert.equal(await desk.run("freshen", {}), null);
    const house = desk.network.clearingHouse;
    await assert.rejects(desk.run("withdraw", { amount: dollars(1n), to: house }), { code: "InvalidTransition" });
    const before = await desk.run("balance", {});
    const freshened = await desk.run("freshen", {});
    assert.deepEqual([freshened?.action, freshened?.status], ["openTicket", "landed"]);
    assert.equal(await desk.run("freshen", {}), null);
    const now = await desk.run("balance", {});
    const fee = desk.account.relayFee;
    assert.equal(BigInt(now.equity.atSettlement), BigInt(before.equity.atSettlement) - fee);
    await assertRecovers(desk.traderName, desk);
    await desk.close();
  });

  test("an order whose trader gave up before it arrived is never sent late [DSK-11]", async () => {
    const desk = await funded();
    await desk.run("openTickets", { slot: 0, count: 1, cash: dollars(10_000n) });
    stage.port.goAway();
    const dying = new AbortController();
    const { options, said } = heard(ASKED_IN_VAIN);
    const placing = desk.run("place", { orders: [order()] }, { signal: dying.signal, ...options });
    void said.then(() => dying.abort());
    await assert.rejects(placing, Interrupted);
    stage.port.comeBack();
    const { ordersFound, notes } = await desk.run("catchUp", {});
    assert.deepEqual([ordersFound, notes.length], [0, 1]);
    assert.deepEqual(await desk.run("orders", {}), []);
    const [given] = await desk.run("orders", { all: true });
    assert.deepEqual([given?.status, given?.reason], ["refused", "it never reached the exchange"]);
    await desk.close();
  });

  test("a ready ticket serves the next order without a proof, unless others came with it [DSK-8]", async () => {
    const desk = await funded();
    const alone = await desk.run("openTickets", { slot: 0, count: 1, cash: dollars(10_000n) });
    const together = await desk.run("openTickets", { slot: 0, count: 2, cash: dollars(10_000n) });
    const ticketOf = async (tickets: "fresh" | "linked"): Promise<string> => {
      const [placed] = await desk.run("place", { orders: [order()], tickets });
      return placed?.order?.ticketId ?? "";
    };
    assert.equal(await ticketOf("fresh"), alone.tickets[0]);
    const fresh = await ticketOf("fresh");
    const linked = await ticketOf("linked");
    assert.ok(![...alone.tickets, ...together.tickets].some((ticketId) => ticketId === fresh));
    assert.ok(together.tickets.some((ticketId) => ticketId === linked));
    await desk.close();
  });

  test("a recovered wallet finds the orders that rest, cancels them, and signs none anew [DSK-12, DSK-15]", async () => {
    const desk = await funded();
    const [placed] = await desk.run("place", { orders: [order({ quantity: 2 })] });
    const ref = placed?.order?.ref ?? "";
    // The ticket is on chain then.
    await desk.run("catchUp", {});
    const other = await stage.recovered(desk.traderName);
    const [found] = await other.run("orders", {});
    assert.deepEqual([found?.ref, found?.quantity, found?.status], [ref, 2, "open"]);
    await assert.rejects(other.run("replace", { order: ref, change: { quantity: 1 } }), { code: "SignedElsewhere" });
    assert.equal((await other.run("cancel", { order: ref.slice(0, 6) })).order?.status, "cancelled");
    assert.deepEqual(await other.run("orders", {}), []);
    assert.deepEqual(await desk.run("orders", {}), []);
    await other.close();
    await desk.close();
  });

  test("a second process cannot open the wallet while the first one has it [ACC-18]", async () => {
    const desk = await funded();
    await assert.rejects(stage.desk(desk.traderName), { code: "WalletInUse" });
    await desk.close();
  });
});
