import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { privateKeyToAddress, generatePrivateKey } from "viem/accounts";
import { recoverAddress } from "viem";
import {
  closeEpoch,
  deposit,
  type Fill,
  openSeat,
  type ProvenTransition,
  readDayState,
  readTokenBalance,
  type Sender,
  type SignedOrder,
  submitBatch,
  submitTransitions,
} from "../../src/chain/clearingHouse.ts";
import { DOLLAR, LEAN_HOG_TERMS, TICK } from "../../src/clearing/leanHogs.ts";
import { ticketIdOf } from "../../src/protocol/action.ts";
import { accountKeys, type Hex, newSeedPhrase } from "../../src/protocol/keys.ts";
import { cancelHash, orderHash } from "../../src/protocol/order.ts";
import { ProverRefused } from "../../src/prover/prover.ts";
import {
  AccountNotEmpty,
  CreditNotOwned,
  NothingCarried,
  type OpenedTickets,
  TicketNotOwned,
  TraderAccount,
  type TicketSpec,
  WrongSeatStatus,
  WrongTicketCount,
  WrongTicketEpoch,
} from "../../src/trader/account.ts";
import { claimOf } from "../../src/trader/accountState.ts";
import { memoryJournal } from "../../src/trader/journal.ts";
import { recoverAccount } from "../../src/trader/recovery.ts";
import { TicketBelowMargin } from "../../src/protocol/ticket.ts";
import { balanceNow } from "../support/balance.ts";
import type { Exchange } from "../support/exchange.ts";
import { startUnprovenExchange, unprovenProver } from "../support/unprovenExchange.ts";
import { openEpoch } from "../support/openEpoch.ts";

const HOGS = 0;
const CENTRE = LEAN_HOG_TERMS.listingPrice;
const PRICE = CENTRE + 20n * TICK;
const NEVER = 4_000_000_000n;
const RELAY_FEE = DOLLAR / 2n;

type Trader = { readonly phrase: string; readonly account: TraderAccount; readonly sender: Sender };

let x: Exchange;
const traders: Trader[] = [];
let seq = 0n;

before(async () => {
  // Books are the claim here. Real proofs of the same actions are made in test/e2e.
  x = await startUnprovenExchange();
});
after(async () => {
  await x.stop();
});

/** A trader with an open seat and `dollars` in an unspent credit. */
async function newTrader(dollars: bigint): Promise<Trader> {
  const phrase = newSeedPhrase();
  const account = await TraderAccount.open({
    keys: accountKeys(phrase, 0),
    chain: x.state,
    prover: unprovenProver,
    journal: memoryJournal(),
  });
  const sender = await x.fundedSender(dollars * DOLLAR + 2n * x.terms.seatBond);
  await openSeat(x.chain, sender, account.keys.ownerKey);
  await deposit(x.chain, sender, dollars * DOLLAR, account.newCreditKey());
  await account.sync();
  const trader = { phrase, account, sender };
  traders.push(trader);
  return trader;
}

async function newTraders(...dollars: readonly bigint[]): Promise<Trader[]> {
  const opened: Trader[] = [];
  for (const amount of dollars) opened.push(await newTrader(amount));
  const funding = opened.map(({ account }) => account.fund(only(account.state.credits).creditId));
  await batch(await Promise.all(funding));
  return opened;
}

/** Posts a batch, then checks that phrase and chain alone give every trader's account. */
async function batch(
  transitions: readonly ProvenTransition[],
  orders: readonly SignedOrder[] = [],
  fills: readonly Fill[] = [],
): Promise<void> {
  const { nextBatchNumber } = await readDayState(x.chain);
  await submitBatch(x.chain, x.operator, {
    batchNumber: nextBatchNumber,
    transitions,
    orders,
    fills,
    logHead: `0x${"00".repeat(32)}`,
  });
  await everybodyRecovers();
}

async function direct({ sender }: Trader, ...transitions: readonly ProvenTransition[]): Promise<void> {
  await submitTransitions(x.chain, sender, transitions);
  await everybodyRecovers();
}

async function everybodyRecovers(): Promise<void> {
  await x.state.sync();
  for (const { phrase, account } of traders) {
    assert.deepEqual(recoverAccount(phrase, 0, x.state), {
      keys: account.keys,
      state: account.applyChain(),
      status: account.status,
    });
  }
}

/** Trades `quantity` between a resting and an incoming order, in a batch of its own. */
async function trade(maker: SignedOrder, taker: SignedOrder, quantity: number): Promise<void> {
  seq += 1n;
  const fill: Fill = {
    maker: 0,
    taker: 1,
    quantity,
    price: maker.order.limitPrice,
    seq,
    n: 0,
    makerPrioritySeq: 0n,
    execTime: await x.now(),
  };
  await batch([], [maker, taker], [fill]);
}

async function openOne({ account }: Trader, spec: TicketSpec): Promise<OpenedTickets> {
  return account.openTickets(HOGS, [spec]);
}

/** Buys and sells at PRICE on fresh tickets; both tickets stay open. */
async function tradeBetween(buyer: Trader, seller: Trader, quantity: number): Promise<{ buying: Hex; selling: Hex }> {
  const contracts = BigInt(quantity);
  const tickets = await Promise.all([
    openOne(buyer, buyer.account.ticketFor(HOGS, { side: "buy", price: PRICE, quantity: contracts })),
    openOne(seller, seller.account.ticketFor(HOGS, { side: "sell", price: PRICE, quantity: contracts })),
  ]);
  await batch(tickets.map(({ transition }) => transition));
  const [buying, selling] = tickets.map((opened) => only(opened.tickets).ticketId);
  assert(buying !== undefined && selling !== undefined);
  const terms = { limitPrice: PRICE, quantity, expiry: NEVER };
  await trade(
    await seller.account.signOrder(selling, { ...terms, side: "sell" }),
    await buyer.account.signOrder(buying, { ...terms, side: "buy" }),
    quantity,
  );
  return { buying, selling };
}

async function close({ account }: Trader, ticketId: Hex): Promise<void> {
  await batch([await account.closeTicket(ticketId)]);
}

async function toEndOfTrading(): Promise<void> {
  const { closingTime } = await x.chain.house.read.epochOf([x.state.epoch]);
  await x.advanceTime(Number(closingTime - (await x.now())));
  await closeEpoch(x.chain, x.operator);
  await everybodyRecovers();
}

async function toPartB(): Promise<void> {
  await x.mine(x.terms.windowBlocks);
  await x.advanceTime(x.terms.windowA);
}

async function toNextEpoch(): Promise<void> {
  await x.advanceTime(x.terms.windowB);
  await openEpoch(x, x.operator);
  await everybodyRecovers();
}

function freshAddress(): Hex {
  return privateKeyToAddress(generatePrivateKey());
}

function only<T>(list: readonly T[]): T {
  const [item] = list;
  assert(item !== undefined && list.length === 1, `expected one item, found ${list.length}`);
  return item;
}

describe("a trading day", () => {
  let alice: Trader;
  let bob: Trader;
  let carol: Trader;
  let dave: Trader;
  let eve: Trader;

  test("deposits become cash of notes, less the relay fee [CRE-2, ACC-12]", async () => {
    [alice, bob, carol, dave, eve] = (await newTraders(50_000n, 50_000n, 50_000n, 10_000n, 10_000n)) as [
      Trader,
      Trader,
      Trader,
      Trader,
      Trader,
    ];
    assert.equal(alice.account.account.cash, 50_000n * DOLLAR - RELAY_FEE);
    assert.deepEqual(alice.account.state.credits, []);
    assert.deepEqual(alice.account.status, { status: "active", epoch: 1 });
    await assert.rejects(alice.account.fund(1n), CreditNotOwned);
  });

  test("a trade on tickets is followed to the unit and comes back into the notes [TKT-11]", async () => {
    const cashBefore = alice.account.account.cash;
    const { buying, selling } = await tradeBetween(alice, bob, 3);
    const ticket = only(alice.account.state.tickets);
    const onChain = await x.chain.house.read.ticketOf([buying]);
    assert.deepEqual([ticket.cash, Number(ticket.position)], [onChain.cash, onChain.position]);
    assert.equal(ticket.sessionKey, onChain.sessionKey.toLowerCase());
    await close(alice, buying);
    await close(bob, selling);
    assert.equal(alice.account.account.positions[HOGS], 3n);
    assert.equal(bob.account.account.positions[HOGS], -3n);
    assert.equal(alice.account.account.cash, cashBefore - 3n * PRICE - 3n * LEAN_HOG_TERMS.fillFee - 2n * RELAY_FEE);
    assert.equal(balanceNow(alice.account).marginUsed, String(3n * LEAN_HOG_TERMS.initialMargin));
    await assert.rejects(alice.account.closeTicket(buying), TicketNotOwned);
  });

  test("buying power is the largest order that can be funded [ORD-9]", async () => {
    const { account } = alice;
    const most = BigInt(balanceNow(account).buyingPower[HOGS]?.buy ?? 0);
    const price = account.market(HOGS).centre;
    assert(most > 0n);
    await openOne(alice, account.ticketFor(HOGS, { side: "buy", price, quantity: most }));
    await assert.rejects(
      openOne(alice, account.ticketFor(HOGS, { side: "buy", price, quantity: most + 1n })),
      (error: unknown) => error instanceof ProverRefused && error.rule === "InsolventTransition",
    );
  });

  test("what cannot be paid has no proof and uses no index up [CIR-5, PRV-1]", async () => {
    const journal = memoryJournal();
    const account = await TraderAccount.open({
      keys: alice.account.keys,
      chain: x.state,
      prover: unprovenProver,
      journal,
    });
    await assert.rejects(
      account.withdraw(freshAddress(), account.freeCash),
      (error: unknown) => error instanceof ProverRefused && error.details["equity"] === -RELAY_FEE,
    );
    await assert.rejects(account.sleep(), ProverRefused);
    assert.equal(journal.highest("note"), 0n);
  });

  test("two openings under way have tickets of their own, also in one slot: no order fits both [TKT-1, PRI-10]", async () => {
    const first = await alice.account.openTickets(HOGS, [{ cash: 4_000n * DOLLAR, position: 0n }]);
    const second = await alice.account.openTickets(HOGS, [{ cash: 4_001n * DOLLAR, position: 0n }]);
    const [a, b] = [first.tickets[0], second.tickets[0]];
    assert.ok(a !== undefined && b !== undefined);
    assert.notEqual(a.ticketId, b.ticketId);
    assert.notEqual(a.sessionKey, b.sessionKey);
    const { nullifier, newNote } = first.transition;
    const elsewhere = ticketIdOf({ nullifier, newNote, slot: 1 }, 0);
    assert.notEqual(elsewhere, a.ticketId);
  });

  test("a ticket that could not pay by itself is refused before it is proven [TKT-3]", async () => {
    const short = { cash: 0n, position: -1n };
    const long = { cash: 40_000n * DOLLAR, position: 1n };
    await assert.rejects(alice.account.openTickets(HOGS, [long, short]), TicketBelowMargin);
    await assert.rejects(alice.account.openTickets(HOGS, []), WrongTicketCount);
  });

  test("of two transitions under way one is skipped and the account follows the other [ACC-8]", async () => {
    const { account } = bob;
    const [lost, taken] = await Promise.all([
      account.withdraw(freshAddress(), 1_000n * DOLLAR),
      account.withdraw(freshAddress(), 2_000n * DOLLAR),
    ]);
    const { cash } = account.account;
    await batch([taken, lost]);
    assert.equal(account.account.cash, cash - 2_000n * DOLLAR - RELAY_FEE);
    assert.notEqual(lost.newNote, taken.newNote);
  });

  test("a withdrawal reaches a fresh address [PAY-1]", async () => {
    const to = freshAddress();
    await batch([await alice.account.withdraw(to, 1_000n * DOLLAR)]);
    assert.equal(await readTokenBalance(x.chain, to), 1_000n * DOLLAR);
  });

  test("orders, replacements and cancels are signed by the session key [ORD-12]", async () => {
    const opened = await openOne(alice, { cash: 5_000n * DOLLAR, position: 0n });
    const { ticketId, sessionKey } = only(opened.tickets);
    const first = await alice.account.signOrder(ticketId, {
      side: "buy",
      limitPrice: PRICE,
      quantity: 1,
      expiry: NEVER,
    });
    const second = await alice.account.signReplacement(first, { limitPrice: CENTRE });
    const { cancel, signature } = await alice.account.signCancel(second);
    const { domain } = x.chain;
    for (const [hash, signed] of [
      [orderHash(domain, first.order), first.signature],
      [orderHash(domain, second.order), second.signature],
      [cancelHash(domain, cancel), signature],
    ] as const) {
      assert.equal((await recoverAddress({ hash, signature: signed })).toLowerCase(), sessionKey);
    }
    assert.deepEqual(second.order, { ...first.order, limitPrice: CENTRE, revision: 1 });
    assert.deepEqual(cancel, { ticketId, clientId: first.order.clientId });
    await assert.rejects(bob.account.signCancel(first), TicketNotOwned);
  });

  test("a carried position is reduced on a ticket that takes no new risk [TKT-12]", async () => {
    const { account } = alice;
    const reducing = account.reducingTicket(HOGS, 1n);
    const { transition, tickets } = await account.openTickets(HOGS, [reducing, reducing]);
    await assert.rejects(openOne(alice, { ...reducing, cash: reducing.cash + 301n * DOLLAR }), NothingCarried);
    await assert.rejects(openOne(alice, account.reducingTicket(HOGS, -1n)), ProverRefused);
    await batch([transition]);
    assert.equal(account.account.positions[HOGS], 1n);
    assert.equal(account.holdings.positions[HOGS], 3n);
    for (const { ticketId } of tickets) await close(alice, ticketId);
    assert.equal(account.account.positions[HOGS], 3n);
  });

  test("a flat trader sleeps; others carry positions into the window [SEA-7]", async () => {
    await tradeBetween(alice, carol, 2);
    const carolsTicket = only(carol.account.state.tickets);
    await close(carol, carolsTicket.ticketId);
    await batch([await dave.account.sleep()]);
    assert.deepEqual(dave.account.status, { status: "asleep" });
    await assert.rejects(dave.account.withdraw(freshAddress(), 1n), WrongSeatStatus);
    // Alice forgets her ticket; it is long 2.
    assert.equal(only(alice.account.state.tickets).position, 2n);
  });

  test("renewed notes move to the next epoch [SEA-6]", async () => {
    await toEndOfTrading();
    await direct(bob, await bob.account.withdraw(freshAddress(), 100n * DOLLAR));
    const topUp = await deposit(x.chain, bob.sender, x.terms.seatBond, bob.account.newCreditKey());
    await bob.account.sync();
    await direct(bob, await bob.account.fund(topUp));
    await toPartB();
    await direct(alice, await alice.account.renew(), await bob.account.renew());
    assert.deepEqual(bob.account.status, { status: "active", epoch: 2 });
    await toNextEpoch();
    assert.equal(x.state.markets(2)[HOGS]?.centre, PRICE);
    assert.deepEqual(carol.account.status, { status: "inDefault", since: 1 });
    await batch([await bob.account.withdraw(freshAddress(), 100n * DOLLAR)]);
    assert.equal(bob.account.account.positions[HOGS], -3n);
  });

  test("an abandoned ticket is claimed at its default price [TKT-13]", async () => {
    const { account } = alice;
    const ticket = only(account.state.tickets);
    const { cash } = account.account;
    const claim = claimOf(x.state, ticket);
    assert.equal(claim, ticket.cash + 2n * (PRICE - LEAN_HOG_TERMS.closeOutFee));
    await assert.rejects(account.closeTicket(ticket.ticketId), WrongTicketEpoch);
    await batch([await account.claimTicket(ticket.ticketId)]);
    assert.equal(account.account.cash, cash + claim - RELAY_FEE);
    assert.deepEqual(account.state.tickets, []);
  });

  test("a sleeper wakes with all its cash [SEA-9]", async () => {
    const { cash } = dave.account.account;
    await direct(dave, await dave.account.wake());
    assert.deepEqual(dave.account.status, { status: "active", epoch: 2 });
    assert.equal(dave.account.account.cash, cash);
  });

  test("a trader in default rejoins at the default price and pays a new bond [DEF-6]", async () => {
    const { cash, positions } = carol.account.account;
    assert.equal(positions[HOGS], -2n);
    await direct(carol, await carol.account.rejoin());
    assert.equal(carol.account.account.cash, cash - 2n * (PRICE + LEAN_HOG_TERMS.closeOutFee));
    assert.equal(carol.account.account.positions[HOGS], 0n);
    assert.equal(x.state.forfeitedBonds.get(carol.account.keys.ownerKey), x.terms.seatBond);
  });

  test("a flat trader who forgot to renew keeps the bond [DEF-8]", async () => {
    assert.deepEqual(eve.account.status, { status: "inDefault", since: 1 });
    await direct(eve, await eve.account.rejoin());
    const seat = await x.chain.house.read.seatOf([eve.account.keys.ownerKey]);
    assert.equal(seat.bond, x.terms.seatBond - x.terms.lateFee);
    assert.equal(x.state.forfeitedBonds.get(eve.account.keys.ownerKey), undefined);
  });

  test("an empty account closes its seat, a full one does not [SEA-10]", async () => {
    const { account } = eve;
    await assert.rejects(account.closeSeat(freshAddress()), AccountNotEmpty);
    await batch([await account.withdraw(freshAddress(), account.account.cash - RELAY_FEE)]);
    const to = freshAddress();
    await batch([await account.closeSeat(to)]);
    assert.deepEqual(account.status, { status: "closed" });
    assert.equal(await readTokenBalance(x.chain, to), x.terms.seatBond - x.terms.lateFee - RELAY_FEE);
    await assert.rejects(account.renew(), WrongSeatStatus);
  });

  test("a trader in default takes what is left and leaves [DEF-7]", async () => {
    const { positions } = alice.account.account;
    assert.equal(positions[HOGS], 3n);
    await toEndOfTrading();
    await toPartB();
    await toNextEpoch();
    const price = x.state.markets(2)[HOGS]?.settlementPrice ?? 0n;
    const worth = alice.account.account.cash + 3n * (price - LEAN_HOG_TERMS.closeOutFee);
    const to = freshAddress();
    await direct(alice, await alice.account.exit(to));
    assert.equal(await readTokenBalance(x.chain, to), worth);
    assert.deepEqual(alice.account.status, { status: "closed" });
    assert.equal(alice.account.state.live, undefined);
  });
});
