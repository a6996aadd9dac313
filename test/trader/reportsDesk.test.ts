import assert from "node:assert/strict";
import { mkdtempSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { stringToHex } from "viem";
import { ChainState } from "../../src/chain/chainState.ts";
import { connect, type ProvenTransition } from "../../src/chain/clearingHouse.ts";
import { LOCAL_CHAIN_ID } from "../../src/chain/deploy.ts";
import { audit } from "../../src/cli/reportsRun.ts";
import { TERMINAL } from "../../src/cli/session.ts";
import { balanceText, historyText, statementText } from "../../src/cli/reportsText.ts";
import { DOLLAR, LEAN_HOG_TERMS, priceOfMilliCents } from "../../src/clearing/leanHogs.ts";
import { sessionPrivateKey } from "../../src/protocol/keys.ts";
import { advance, INITIAL_STATE } from "../../src/trader/accountState.ts";
import { balanceOf, ticketsOf } from "../../src/trader/reports/balance.ts";
import { historyOf } from "../../src/trader/reports/history.ts";
import type { AccountReader } from "../../src/trader/reports/reader.ts";
import { statementOf } from "../../src/trader/reports/statement.ts";
import { statementView } from "../../src/trader/views.ts";
import { exportViewingKey } from "../../src/trader/viewingKey.ts";
import { startDesk, type Trader } from "../support/desk.ts";
import { startFlakyNode } from "../support/flakyNode.ts";

const CENTRE = priceOfMilliCents(80_000);
const PLACE = { name: "local" };
const DAY = 21_600 + 2 * 3_600;
const thirdDay = BigInt(Math.floor(Date.now() / 1_000) + DAY + DAY / 2 + 10_800);
const desk = await startDesk({
  markets: [
    LEAN_HOG_TERMS,
    { ...LEAN_HOG_TERMS, contractId: stringToHex("HOGS THAT END", { size: 32 }), lastTradingTime: thirdDay },
  ],
});
const { x } = desk;
const directory = mkdtempSync(join(tmpdir(), "hedgerow-reports-"));
const node = await startFlakyNode(x.url);
after(async () => {
  rmSync(directory, { recursive: true });
  await node.stop();
});

const alice = await desk.newTrader(50_000n);
const bob = await desk.newTrader(50_000n);

async function readerOf({ account }: Trader): Promise<AccountReader> {
  await x.state.readBlockTimes();
  const { keys, state } = account;
  return { keys, chain: x.state, state, accountNumber: 0n, relayFee: x.terms.relayFee };
}

/** A ticket that can buy or sell two contracts at this price. */
async function ticketOf({ account }: Trader, slot: number, side: "buy" | "sell", price: bigint) {
  const { transition, tickets } = await account.openTickets(slot, [
    account.ticketFor(slot, { side, price, quantity: 2n }),
  ]);
  const [ticket] = tickets;
  assert.ok(ticket !== undefined);
  const { ticketId, noteIndex, keyIndex } = ticket;
  return { transition, ticketId, slot, key: sessionPrivateKey(account.keys.spendingKey, noteIndex, keyIndex) };
}

/** Alice buys two contracts of bob; both close their tickets. */
async function tradeTwo(slot: number, price: bigint): Promise<void> {
  const buying = await ticketOf(alice, slot, "buy", price);
  const selling = await ticketOf(bob, slot, "sell", price);
  await desk.batch([buying.transition, selling.transition]);
  await desk.trade(buying, selling, price, 2);
  const closings: ProvenTransition[] = [];
  for (const [trader, { ticketId }] of [
    [alice, buying],
    [bob, selling],
  ] as const) {
    closings.push(await trader.account.closeTicket(ticketId));
  }
  await desk.batch(closings);
}

function widest(text: string): number {
  return Math.max(...text.split("\n").map((line) => line.length));
}

test("equity, margin and buying power are those that pencil and paper give [REP-2, REP-9]", async () => {
  await tradeTwo(0, CENTRE + 100n * DOLLAR);
  const reader = await readerOf(alice);
  const view = balanceOf(reader, PLACE);
  // 50,000 less 200 above the centre, 2 of fill fees, and three relay fees of 0.50.
  const worth = 49_796_500_000n;
  assert.deepEqual(view.equity, {
    atSettlement: worth.toString(),
    atLowerLimits: (worth - 2_400n * DOLLAR).toString(),
    atUpperLimits: (worth + 2_400n * DOLLAR).toString(),
    worst: (worth - 2_400n * DOLLAR).toString(),
  });
  assert.equal(view.marginUsed, (6_600n * DOLLAR).toString());
  assert.equal(view.freeCash, (worth - 6_600n * DOLLAR).toString());
  assert.equal(view.cash, (worth - 2n * CENTRE).toString(), "cash stands below zero beside two contracts");
  // 43,196.00 after the relay fee, at 3,301 a contract.
  assert.deepEqual(view.buyingPower[0], { slot: 0, contract: "LEAN HOGS", buy: 13, sell: 13 });
  const bobs = balanceOf(await readerOf(bob), PLACE).equity;
  assert.equal(BigInt(bobs.worst), BigInt(bobs.atUpperLimits), "a short fears the upper limit");
  const text = balanceText(view, 6);
  assert.ok(widest(text) <= 80, text);
  assert.match(text, /equity at settlement {2}49,796\.50/);
  assert.match(text, /LEAN HOGS +2 +0 +32,000\.00 +30,800\.00 +33,200\.00 +3,300\.00/);
});

test("an open ticket is named with the time by which to close it, and a waiting deposit with what takes it in [REP-9]", () =>
  desk.rollback(async () => {
    const { transition } = await ticketOf(alice, 0, "buy", CENTRE);
    await desk.batch([transition]);
    const view = balanceOf(await readerOf(alice), PLACE);
    assert.equal(view.openTickets, 1);
    assert.equal(ticketsOf(await readerOf(alice))[0]?.worth, view.ticketWorth);
    const text = balanceText({ ...view, credits: [{ creditId: "7", amount: "1000000000" }] }, 6);
    assert.match(text, /1 ticket is open: it must be closed by \d\d:\d\d\n {2}\(hedgerow ticket close --all\)/);
    assert.match(text, /1 deposit of 1,000\.00 not in the account yet: hedgerow fund/);
    assert.ok(widest(text) <= 80, text);
  }));

test("reports of an account that lived through a reorganisation are those of one read afresh [REP-1]", () =>
  desk.rollback(async () => {
    const chain = await connect(node.url, x.chain.address, LOCAL_CHAIN_ID);
    const followed = await ChainState.follow(chain);
    const { keys } = alice.account;
    let state = INITIAL_STATE;
    const printed = async (on: ChainState, reached: typeof state) => {
      await on.readBlockTimes();
      const reader = { keys, chain: on, state: reached, accountNumber: 0n, relayFee: x.terms.relayFee };
      return JSON.stringify([
        balanceOf(reader, PLACE),
        ticketsOf(reader),
        historyOf(reader),
        statementOf(reader, PLACE),
      ]);
    };
    const check = async () => {
      await followed.sync();
      state = advance(keys, followed, state);
      const afresh = await ChainState.follow(x.chain);
      const lived = await printed(followed, state);
      assert.equal(lived, await printed(afresh, advance(keys, afresh)));
      return lived;
    };
    await check();
    const undo = await node.reorganisation();
    const { transition } = await ticketOf(alice, 0, "buy", CENTRE);
    await desk.batch([transition]);
    const before = await check();
    await undo();
    assert.notEqual(await check(), before, "the ticket is gone");
    assert.equal(followed.reorganisations, 1);
    await desk.newSeat();
    await check();
  }));

test("a contract that expires becomes cash at its final price, and the statement of each day reconciles [REP-2, REP-3, REP-4]", async () => {
  await tradeTwo(1, CENTRE);
  await desk.nextDay([alice, bob]);
  await desk.nextDay([alice, bob]);
  await desk.close();
  const inWindow = balanceOf(await readerOf(alice), PLACE);
  const ending = inWindow.positions.find(({ slot }) => slot === 1);
  assert.deepEqual(
    [ending?.lowerLimit, ending?.upperLimit, ending?.initialMargin],
    [CENTRE.toString(), CENTRE.toString(), "0"],
    "an expired contract moves no more and ties nothing up",
  );
  assert.match(balanceText(inWindow, 6), /renew in the second part of this window/);
  await desk.toPartB();
  for (const { account, sender } of [alice, bob]) await desk.direct(sender, await account.renew());
  const renewed = balanceOf(await readerOf(alice), PLACE);
  assert.deepEqual(renewed.equity, inWindow.equity, "to settle changes no equity");
  assert.deepEqual(
    renewed.positions.map(({ slot }) => slot),
    [0],
  );
  await desk.open();

  const reader = await readerOf(alice);
  const settled = historyOf(reader).filter(({ kind }) => kind === "settled");
  assert.deepEqual(
    settled.map(({ slot, contract, position, price, cash }) => ({ slot, contract, position, price, cash })),
    [
      {
        slot: 1,
        contract: "HOGS THAT END",
        position: -2,
        price: CENTRE.toString(),
        cash: (2n * CENTRE).toString(),
      },
    ],
  );
  const statement = statementView.parse(statementOf(reader, PLACE));
  assert.deepEqual(
    statement.variations.map(({ epoch, slot, held, position, variation }) => [epoch, slot, held, position, variation]),
    [
      [1, 0, 0, 2, (-200n * DOLLAR).toString()],
      [1, 1, 0, 2, "0"],
      [2, 0, 2, 2, "0"],
      [2, 1, 2, 2, "0"],
      [3, 0, 2, 2, "0"],
      [3, 1, 2, 2, "0"],
      [4, 0, 2, 2, "0"],
    ],
  );
  const { openingEquity, deposits, withdrawals, fees, variation, other, closingEquity } = statement;
  assert.deepEqual(
    [openingEquity, deposits, withdrawals, fees, variation, other, closingEquity].map((each) => Number(each) / 1e6),
    // Two trades with two fill fees of 1 and two relay fees of 0.50 each, and the funding.
    [0, 50_000, 0, 6.5, -200, 0, 49_793.5],
  );
  assert.deepEqual(
    statement.days.map(({ epoch, settled, closedAt }) => [epoch, settled, closedAt === null]),
    [
      [1, true, false],
      [2, true, false],
      [3, true, false],
      [4, false, true],
    ],
  );
  for (const text of [statementText(statement, 6), historyText(statement.entries, 6)]) {
    assert.ok(widest(text) <= 80, text);
  }
});

test("a period that ends before it begins, or has not begun, is refused [REP-4]", async () => {
  const reader = await readerOf(alice);
  for (const period of [{ fromEpoch: 3, toEpoch: 2 }, { toEpoch: 5 }, { fromEpoch: 0 }]) {
    assert.throws(() => statementOf(reader, PLACE, period), { code: "BadPeriod" });
    assert.throws(() => historyOf(reader, period), { code: "BadPeriod" });
  }
  assert.deepEqual(
    historyOf(reader, { fromEpoch: 2, toEpoch: 2 }).map(({ kind }) => kind),
    ["renew"],
  );
});

test("a missed renewal shows as a default, and the close-out fee as such in the statement [REP-2, REP-4, REP-9]", () =>
  desk.rollback(async () => {
    await desk.nextDay([bob]);
    const reader = await readerOf(alice);
    const view = balanceOf(reader, PLACE);
    assert.equal(view.seat.status, "inDefault");
    assert.deepEqual(view.positions, []);
    assert.equal(view.equity.worst, view.equity.atSettlement);
    const statement = statementOf(reader, PLACE);
    assert.equal(statement.other, (-3_600n * DOLLAR).toString());
    assert.equal(statement.closingEquity, view.equity.atSettlement);
    assert.match(balanceText(view, 6), /hedgerow seat rejoin to go on, hedgerow seat exit/);
    assert.ok(widest(balanceText(view, 6)) <= 80);
  }));

test("hedgerow audit prints a statement by the viewing key alone, and writes its files for their owner only [REP-1, REP-6, REP-7]", async () => {
  const reader = await readerOf(alice);
  mkdirSync(join(directory, "networks"));
  const network = {
    name: "local",
    chain: x.url,
    chainId: LOCAL_CHAIN_ID,
    clearingHouse: x.chain.address,
    fromBlock: 0,
    exchange: "http://127.0.0.1:1",
    decimals: 6,
  };
  writeFileSync(join(directory, "networks", "local.json"), JSON.stringify(network));
  const { ownerKey, viewingKey } = alice.account.keys;
  const key = { chainId: LOCAL_CHAIN_ID, clearingHouse: x.chain.address, accountNumber: 0n, ownerKey, viewingKey };
  const [file, other, csv, html] = ["key", "other", "csv", "html"].map((name) => join(directory, name));
  assert.ok(file !== undefined && other !== undefined && csv !== undefined && html !== undefined);
  exportViewingKey(file, key);
  exportViewingKey(other, { ...key, clearingHouse: `0x${"12".repeat(20)}` });
  const printed: string[] = [];
  const io = {
    ...TERMINAL,
    open: () => Promise.reject(new Error("an audit opens no wallet")),
    decimals: () => Promise.resolve(6),
    print: (text: string) => void printed.push(text),
  };
  const options = { home: directory, network: "local", viewingKey: file };
  await audit({ ...options, csv, html, json: true }, io);
  assert.equal(printed[0], JSON.stringify(statementOf(reader, PLACE)));
  assert.match(readFileSync(csv, "utf8"), /total,,,closing equity,,,,49793\.50,/);
  assert.match(readFileSync(html, "utf8"), /49,793\.50/);
  for (const written of [csv, html]) assert.equal(statSync(written).mode & 0o777, 0o600);

  await audit({ ...options, from: "2", to: "3" }, io);
  assert.match(printed[1] ?? "", /^Statement of days 2 to 3, local\n/);
  assert.ok(widest(printed[1] ?? "") <= 80);

  await assert.rejects(audit({ ...options, viewingKey: other }, io), { code: "ViewingKeyElsewhere" });
  await assert.rejects(audit({ ...options, from: "soon" }, io), { code: "WrongUsage" });
  await assert.rejects(audit({ ...options, to: "99" }, io), { code: "BadPeriod" });
});
