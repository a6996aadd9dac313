import assert from "node:assert/strict";
import { before, test } from "node:test";
import { deposit } from "../../src/chain/clearingHouse.ts";
import { privacyText } from "../../src/cli/privacyRun.ts";
import { DOLLAR } from "../../src/clearing/leanHogs.ts";
import type { TicketSpec } from "../../src/trader/account.ts";
import type { OwnTicket } from "../../src/trader/accountState.ts";
import { type PrivacyFacts, privacyOf } from "../../src/trader/reports/privacy.ts";
import { type InferenceView, type PrivacyView, privacyView } from "../../src/trader/views.ts";
import { type Desk, freshAddress, only, startDesk, type Trader } from "../support/desk.ts";

const desk: Desk = await startDesk();
const { x } = desk;
const NETWORK = { decimals: 6 };
const PROXY = "socks5h://127.0.0.1:9050";

let alice: Trader;
let others: readonly Trader[];
before(async () => {
  alice = await desk.newTrader(100_000n);
  others = [await desk.newTrader(50_000n), await desk.newTrader(50_000n)];
});

function report(trader: Trader, facts: PrivacyFacts = {}, proxy?: string): PrivacyView {
  const { keys, state } = trader.account;
  const reader = { keys, chain: x.state, state, accountNumber: 0n, relayFee: x.terms.relayFee };
  return privacyView.parse(privacyOf(reader, { ...NETWORK, ...(proxy !== undefined && { proxy }) }, facts));
}

/** What is said on a topic by a sentence that matches. */
function said({ inferences }: PrivacyView, topic: InferenceView["topic"], words: RegExp): InferenceView | undefined {
  return inferences.find((each) => each.topic === topic && words.test(each.finding));
}

async function openTickets({ account }: Trader, ...specs: readonly TicketSpec[]): Promise<readonly OwnTicket[]> {
  const { transition, tickets } = await account.openTickets(0, specs);
  await desk.batch([transition]);
  return tickets;
}

const flat = (dollars: bigint): TicketSpec => ({ cash: dollars * DOLLAR, position: 0n });

test("an account is told how few there are that could be it, and which tickets are its own [PRI-18]", () =>
  desk.rollback(async () => {
    await openTickets(alice, flat(5_000n));
    await Promise.all(others.map(async (other) => other.account.sync()));
    await openTickets(only(others.slice(0, 1)), flat(5_000n));
    const view = report(alice);
    assert.deepEqual([view.activeSeats, view.ticketsToday, view.ownTicketsToday], [3, 2, 1]);
    assert.equal(said(view, "set-size", /^3 seats are active/)?.level, "exposed");
    assert.ok(said(view, "set-size", /^1 of the 2 tickets/));
    assert.ok(said(view, "set-size", /^1 of today's 3 deposits taken in is yours/));
    assert.equal(said(view, "amounts", /./)?.level, "weak");
    assert.equal(said(view, "linked-tickets", /opened alone/)?.level, "good");
    assert.equal(report(only(others.slice(1))).ownTicketsToday, 0);
  }));

test("actions alone in a batch, and a ticket right after a deposit, are named; company is too [PRI-18]", () =>
  desk.rollback(async () => {
    await openTickets(alice, flat(5_000n));
    assert.equal(said(report(alice), "timing", /^2 of your 2 actions of today had no company/)?.level, "weak");
    assert.equal(said(report(alice), "timing", /after your deposit was taken in/)?.level, "exposed");
    const [bob] = others;
    assert.ok(bob !== undefined);
    const both = [
      await alice.account.withdraw(freshAddress(), DOLLAR),
      await bob.account.withdraw(freshAddress(), DOLLAR),
    ];
    await desk.batch(both);
    assert.ok(said(report(alice), "timing", /^2 of your 3 actions/));
  }));

test("odd amounts, the same amount in and out, and carried contracts are named [PRI-18]", () =>
  desk.rollback(async () => {
    const creditId = await deposit(
      x.chain,
      await x.fundedSender(1_234n * DOLLAR),
      1_234n * DOLLAR,
      alice.account.newCreditKey(),
    );
    await desk.sync();
    await desk.batch([await alice.account.fund(creditId)]);
    await openTickets(alice, { cash: 4_321n * DOLLAR + 7n, position: 0n });
    await desk.batch([await alice.account.withdraw(freshAddress(), 1_234n * DOLLAR)]);
    const view = report(alice);
    const odd = said(view, "amounts", /odd and nobody else's/);
    assert.equal(odd?.level, "exposed");
    assert.match(odd.finding, /deposit 1,234\.00, withdrawal 1,234\.00, ticket 4,321\.000007/);
    assert.equal(said(view, "amounts", /You deposited 1,234\.00 and withdrew as much/)?.level, "exposed");

    const [maker, taker] = [
      await openTickets(alice, flat(20_000n)),
      await openTickets(only(others.slice(0, 1)), flat(20_000n)),
    ];
    const expiry = 4_000_000_000n;
    const { centre: limitPrice } = alice.account.market(0);
    const terms = { limitPrice, quantity: 3, expiry };
    const orders = [
      await alice.account.signOrder(only(maker).ticketId, { ...terms, side: "sell" }),
      await only(others.slice(0, 1)).account.signOrder(only(taker).ticketId, { ...terms, side: "buy" }),
    ];
    await desk.batch([], orders, [await desk.fill({ price: limitPrice, quantity: 3 })]);
    await desk.batch([await alice.account.closeTicket(only(maker).ticketId)]);
    await openTickets(alice, alice.account.ticketFor(0, { side: "buy", price: limitPrice, quantity: 1n }, -3n));
    assert.match(said(report(alice), "amounts", /carried contracts/)?.finding ?? "", /\(-3\)/);
  }));

test("tickets of one proof, and many orders on one ticket, are named [PRI-18]", () =>
  desk.rollback(async () => {
    const [first] = await openTickets(alice, flat(1_000n), flat(1_000n), flat(1_000n));
    assert.ok(first !== undefined);
    const view = report(alice, { orderTickets: [first.ticketId, first.ticketId] });
    assert.equal(said(view, "linked-tickets", /up to 3 tickets with one proof/)?.level, "exposed");
    assert.equal(said(view, "linked-tickets", /Up to 2 orders went on one ticket/)?.level, "weak");
  }));

test("addresses, gas of one's own, and a renewal right after a closing are named [PRI-18]", () =>
  desk.rollback(async () => {
    const depositor = alice.sender.address;
    await desk.batch([await alice.account.withdraw(depositor, 20_000n * DOLLAR)]);
    const [ticket] = await openTickets(alice, flat(5_000n));
    assert.ok(ticket !== undefined);
    let view = report(alice);
    assert.equal(said(view, "address", /had to do with you before/)?.level, "exposed");
    assert.ok(said(view, "address", /^1 deposit, 100,000\.00 in all, came from 0x/));
    assert.equal(said(view, "address", /relayed for you/)?.level, "good");
    assert.equal(said(view, "seat", /active like others/)?.level, "good");

    await desk.close();
    await desk.direct(alice.sender, await alice.account.closeTicket(ticket.ticketId));
    view = report(alice);
    assert.equal(said(view, "address", /went straight to the chain/)?.level, "exposed");
    await x.mine(x.terms.windowBlocks);
    await x.advanceTime(x.terms.windowA);
    await desk.direct(alice.sender, await alice.account.renew());
    const late = said(report(alice), "timing", /last renewed .* after your ticket was closed; 1 seat was renewed/);
    assert.equal(late?.level, "good", "an hour lies between");
  }));

test("the operator's view: address, unlanded transitions, viewing keys [PRI-18]", () => {
  assert.equal(said(report(alice), "operator", /from your network address/)?.level, "exposed");
  const hidden = report(alice, { isNoteExposed: true, viewingKeysExported: 2 }, PROXY);
  assert.equal(said(hidden, "operator", /goes through socks5h/)?.level, "good");
  assert.equal(said(hidden, "operator", /did not land/)?.level, "exposed");
  assert.equal(said(hidden, "viewing-key", /2 times/)?.level, "exposed");
  assert.equal(said(report(alice, { viewingKeysExported: 0 }), "viewing-key", /No viewing key/)?.level, "good");
  assert.equal(said(report(alice), "viewing-key", /./), undefined);
});

test("an account without a seat, and one in default, get a report too [PRI-18]", () =>
  desk.rollback(async () => {
    const stranger = await desk.newSeat();
    await desk.nextDay([alice, ...others]);
    assert.equal(said(report(stranger), "seat", /was not renewed after day 1/)?.level, "exposed");
    assert.equal(report(alice).activeSeats, 3);
  }));

test("the report fits in 80 columns and begins with the worst [PRI-18]", () =>
  desk.rollback(async () => {
    await openTickets(alice, { cash: 4_321n * DOLLAR + 7n, position: 0n }, flat(1_000n));
    const text = privacyText(report(alice, { isNoteExposed: true, viewingKeysExported: 1 }));
    for (const line of text.split("\n")) assert(line.length <= 80, line);
    const places = ["  exposed", "  weak", "  good"].map(
      (level) => [text.indexOf(level), text.lastIndexOf(level)] as const,
    );
    assert(places.every(([first], i) => first > (places[i - 1]?.[1] ?? 0)));
    assert.match(text, /-> Go through an onion network: add --proxy/);
  }));
