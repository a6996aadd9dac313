import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Credit, Filled, OpenedTicket, TakenOver, Transitioned } from "../../src/chain/chainState.ts";
import { SLEEPERS, UnknownNote } from "../../src/chain/chainState.ts";
import { LEAN_HOG_TERMS } from "../../src/clearing/leanHogs.ts";
import { type ActionName, ticketIdOf } from "../../src/protocol/action.ts";
import type { EpochMarket } from "../../src/protocol/epoch.ts";
import {
  accountKeys,
  addressOf,
  creditPrivateKey,
  type Hex,
  MalformedSeedPhrase,
  sessionPrivateKey,
} from "../../src/protocol/keys.ts";
import { OutOfRange } from "../../src/protocol/field.ts";
import { domainOf } from "../../src/protocol/order.ts";
import { accountNumberOf } from "../../src/trader/accountNumber.ts";
import { blindingOf, noteCommitment, nullifierOf, SLOTS, zeroNote } from "../../src/protocol/note.ts";
import { type AccountChain, type AccountState, advance, NoteNotRecognised } from "../../src/trader/accountState.ts";
import { INDEX_GAP, IndicesUsedUp, memoryJournal, nextIndex } from "../../src/trader/journal.ts";
import { fillsOf, findAccount, type HouseChain, recoverAccount } from "../../src/trader/recovery.ts";
import { epochMarket } from "../support/epochMarket.ts";

const PHRASE = "legal winner thank year wave sausage worth useful legal winner thank yellow";
const KEYS = accountKeys(PHRASE, 0);
const SLOT_NUMBERS = Array.from({ length: SLOTS }, (_, slot) => slot);

/** One random thing that happens. `gap` is how far the new note's index lies beyond the old one. */
type Step = {
  readonly kind: "fund" | "deposit" | "withdraw" | "open" | "fill" | "close" | "renew" | "default" | "sleepAndWake";
  readonly slot: number;
  readonly amount: bigint;
  readonly contracts: number;
  readonly price: bigint;
  readonly gap: bigint;
  readonly expiring: number;
  readonly synced: boolean;
};

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom(
    "fund",
    "deposit",
    "withdraw",
    "open",
    "fill",
    "close",
    "renew",
    "default",
    "sleepAndWake",
  ) satisfies fc.Arbitrary<Step["kind"]>,
  slot: fc.integer({ min: 0, max: 7 }),
  amount: fc.bigInt({ min: 1n, max: 10n ** 12n }),
  contracts: fc.integer({ min: -50, max: 50 }),
  price: fc.bigInt({ min: -(10n ** 9n), max: 10n ** 9n }),
  // Half of the way is enough for notes: looking further only takes longer.
  gap: fc.bigInt({ min: 1n, max: INDEX_GAP.credit }),
  expiring: fc.integer({ min: 0, max: 255 }),
  synced: fc.boolean(),
});

type Open = OpenedTicket & { readonly noteIndex: bigint; truthCash: bigint; truthPosition: bigint };

/**
 * A chain with one account on it, kept by the plainest bookkeeping: cash and eight numbers. It does not ask whether
 * the account can pay, which is the proofs' business.
 */
class PlainChain {
  readonly transitioned = new Map<bigint, Transitioned>();
  readonly credits = new Map<bigint, Credit>();
  readonly spentCredits = new Set<bigint>();
  readonly seatsOpened = new Map([[KEYS.ownerKey, { epoch: 1, bond: 1n }]]);
  readonly tickets = new Map<Hex, OpenedTicket>();
  readonly closedTickets = new Set<Hex>();
  readonly fills: Filled[] = [];
  readonly takeovers: TakenOver[] = [];
  reorganisations = 0;
  epoch = 1;
  cash = 0n;
  positions = SLOT_NUMBERS.map(() => 0n);
  index = 0n;
  creditIndex = 0n;
  open: Open[] = [];
  note = zeroNote(KEYS.ownerKey);
  readonly #trees = new Map([[this.note, 1n]]);
  readonly #prices = new Map<number, { readonly price: bigint; readonly expiring: number }>();

  markets(epoch: number): readonly EpochMarket[] {
    const { price, expiring } = this.#prices.get(epoch) ?? { price: 0n, expiring: 0 };
    return SLOT_NUMBERS.map((slot) =>
      epochMarket({
        ...LEAN_HOG_TERMS,
        listed: true,
        centre: LEAN_HOG_TERMS.listingPrice,
        settlementPrice: price,
        expired: (expiring & (1 << slot)) !== 0,
        closingOnly: false,
      }),
    );
  }

  locate(note: bigint) {
    const tree = this.#trees.get(note);
    if (tree === undefined) throw new UnknownNote(note);
    return { tree, path: { siblings: [], bits: [] } };
  }

  place(note: bigint, tree: bigint): void {
    this.#trees.set(note, tree);
  }

  apply(happens: Step): void {
    const { kind, slot, amount, contracts, gap } = happens;
    if (kind === "deposit") this.#deposit(amount, gap);
    else if (kind === "fund") this.#fund(gap);
    else if (kind === "withdraw") this.#move("withdraw", gap, -amount);
    else if (kind === "open") this.#openTickets(slot, amount, contracts, gap);
    else if (kind === "fill") this.#fill(happens);
    else if (kind === "close") this.#closeTicket(gap);
    else if (kind === "renew") this.#renew(happens);
    else if (kind === "default") this.#default(happens);
    else {
      this.#move("sleep", gap, -1n, 0, 0n, SLEEPERS + 1n);
      this.#move("wake", gap);
    }
  }

  /** Spends the note and makes the next one, after the truth was brought up to date. */
  #move(action: ActionName, gap: bigint, cashDelta = 0n, slot = 0, positionDelta = 0n, tree?: bigint): bigint {
    this.cash += cashDelta;
    this.positions = this.positions.map((p, m) => (m === slot ? p + positionDelta : p));
    return this.#replace(action, gap, cashDelta, slot, positionDelta, tree ?? BigInt(this.epoch));
  }

  #replace(action: ActionName, gap: bigint, cashDelta = 0n, slot = 0, positionDelta = 0n, tree = 0n): bigint {
    const nullifier = nullifierOf(KEYS.viewingKey, this.note);
    this.index += gap;
    const contents = { cash: this.cash, positions: this.positions };
    const newNote = noteCommitment(KEYS.ownerKey, blindingOf(KEYS.viewingKey, this.index), contents);
    const epoch = this.epoch;
    this.transitioned.set(nullifier, {
      action,
      epoch,
      nullifier,
      newNote,
      seat: 0n,
      cashDelta,
      slot: BigInt(slot),
      positionDelta,
    });
    this.note = newNote;
    this.#trees.set(newNote, tree);
    return nullifier;
  }

  #deposit(amount: bigint, gap: bigint): void {
    this.creditIndex += gap;
    const creditId = amount * 1_000n + BigInt(this.credits.size);
    const key = addressOf(creditPrivateKey(KEYS.spendingKey, this.creditIndex));
    this.credits.set(creditId, {
      creditId,
      key: key.toUpperCase().replace("0X", "0x") as Hex,
      depositor: "0x",
      amount,
    });
  }

  #fund(gap: bigint): void {
    const credit = [...this.credits.values()].find(({ creditId }) => !this.spentCredits.has(creditId));
    if (credit === undefined) return;
    this.spentCredits.add(credit.creditId);
    this.#move("fund", gap, credit.amount - 1n);
  }

  #openTickets(slot: number, cash: bigint, position: number, gap: bigint): void {
    const nullifier = this.#move("openTicket", gap, -2n * cash - 1n, slot, -2n * BigInt(position));
    for (const keyIndex of [0, 1]) {
      const ticket = {
        ticketId: ticketIdOf({ nullifier, newNote: this.note, slot }, keyIndex),
        sessionKey: addressOf(sessionPrivateKey(KEYS.spendingKey, this.index, keyIndex)),
        epoch: this.epoch,
        slot,
        cash,
        position,
        reduceOnly: false,
      };
      this.tickets.set(ticket.ticketId, ticket);
      this.open.push({ ...ticket, noteIndex: this.index, truthCash: cash, truthPosition: BigInt(position) });
    }
  }

  #fill({ contracts, price, slot, amount }: Step): void {
    const ticket = this.open.find(({ epoch }) => epoch === this.epoch);
    if (ticket === undefined || contracts === 0) return;
    const other: Hex = `0x${"11".repeat(32)}`;
    const asTaker = amount % 2n === 0n;
    const takerBuys = asTaker === contracts > 0;
    this.fills.push({
      makerTicket: asTaker ? other : ticket.ticketId,
      takerTicket: asTaker ? ticket.ticketId : other,
      epoch: this.epoch,
      slot,
      seq: 1n,
      n: 0,
      execTime: 0n,
      takerBuys,
      price,
      quantity: Math.abs(contracts),
      makerFee: asTaker ? 1_000n : 7n,
      takerFee: asTaker ? 7n : 1_000n,
    });
    ticket.truthCash -= BigInt(contracts) * price + 7n;
    ticket.truthPosition += BigInt(contracts);
  }

  #closeTicket(gap: bigint): void {
    const ticket = this.open.shift();
    if (ticket === undefined) return;
    this.closedTickets.add(ticket.ticketId);
    if (ticket.epoch === this.epoch) {
      this.#move("closeTicket", gap, ticket.truthCash - 1n, ticket.slot, ticket.truthPosition);
    } else {
      this.#move("claimTicket", gap, 5n);
    }
  }

  #renew({ price, expiring, gap }: Step): void {
    this.#prices.set(this.epoch, { price, expiring });
    this.cash -= 1n;
    for (const slot of SLOT_NUMBERS.filter((m) => (expiring & (1 << m)) !== 0)) this.#settle(slot, price, 0n);
    this.#replace("renew", gap, -1n, 0, 0n, BigInt(this.epoch + 1));
    this.epoch++;
  }

  #default({ price, expiring, gap }: Step): void {
    this.#prices.set(this.epoch, { price, expiring });
    this.epoch++;
    for (const slot of SLOT_NUMBERS) {
      this.#settle(slot, price, (expiring & (1 << slot)) === 0 ? LEAN_HOG_TERMS.closeOutFee : 0n);
    }
    this.#replace("rejoin", gap, 0n, 0, 0n, BigInt(this.epoch));
  }

  #settle(slot: number, price: bigint, fee: bigint): void {
    const position = this.positions[slot] ?? 0n;
    this.cash += position * price - (position < 0n ? -position : position) * fee;
    this.positions = this.positions.map((p, m) => (m === slot ? 0n : p));
  }
}

function chainOf(history: readonly Step[]): PlainChain {
  const chain = new PlainChain();
  for (const happens of history) chain.apply(happens);
  return chain;
}

test("blocks that are taken back, with others in their place, leave the live account equal to a recovered one [ACC-12, CHN-1]", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), fc.array(step, { maxLength: 12 }), (history, other) => {
      const before = advance(KEYS, chainOf(history));
      const chain = chainOf(other);
      chain.reorganisations = 1;
      assert.deepEqual(advance(KEYS, chain, before), recoverAccount(PHRASE, 0, chain).state);
    }),
  );
});

test("a recovered account equals the live one and the plain books after any history [ACC-12]", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (history) => {
      const chain = new PlainChain();
      let live: AccountState | undefined;
      for (const happens of history) {
        chain.apply(happens);
        if (happens.synced) live = advance(KEYS, chain, live);
      }
      live = advance(KEYS, chain, live);
      assert.deepEqual(recoverAccount(PHRASE, 0, chain).state, live);
      assert.deepEqual(live.live?.account, { cash: chain.cash, positions: chain.positions });
      assert.equal(live.live.note, chain.note);
      assert.equal(live.live.index, chain.index);
      assert.equal(live.creditIndex, chain.creditIndex);
      assert.deepEqual(
        live.tickets.map(({ ticketId, sessionKey, cash, position, noteIndex }) => [
          ticketId,
          sessionKey,
          cash,
          position,
          noteIndex,
        ]),
        chain.open.map(({ ticketId, sessionKey, truthCash, truthPosition, noteIndex }) => [
          ticketId,
          sessionKey,
          truthCash,
          truthPosition,
          noteIndex,
        ]),
      );
      assert.equal(live.credits.length, chain.credits.size - chain.spentCredits.size);
    }),
    { numRuns: 40 },
  );
});

const PLAIN: Step = {
  kind: "withdraw",
  slot: 0,
  amount: 5n,
  contracts: 1,
  price: 10n,
  gap: 1n,
  expiring: 0,
  synced: true,
};

test("an index beyond the gap is not guessed: the note is named in the error [ACC-12]", () => {
  const found = recoverAccount(PHRASE, 0, chainOf([{ ...PLAIN, gap: INDEX_GAP.note }]));
  assert.equal(found.state.live?.index, INDEX_GAP.note);
  assert.throws(() => recoverAccount(PHRASE, 0, chainOf([{ ...PLAIN, gap: INDEX_GAP.note + 1n }])), NoteNotRecognised);
});

test("a phrase of another account finds no seat, a malformed one is refused [ACC-1, ACC-12]", () => {
  const chain: AccountChain = chainOf([PLAIN]);
  assert.deepEqual(recoverAccount(PHRASE, 1, chain).status, { status: "none" });
  assert.throws(() => recoverAccount(PHRASE.replace("yellow", "winner"), 0, chain), MalformedSeedPhrase);
  assert.throws(() => recoverAccount("legal winner", 0, chain), MalformedSeedPhrase);
});

test("a viewing key sees the note, tickets and cash that the owner sees, at every step, and no credits [ACC-14, ACC-20]", () => {
  const { ownerKey, viewingKey } = KEYS;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (history) => {
      const chain = new PlainChain();
      let watched: AccountState | undefined;
      for (const happens of history) {
        chain.apply(happens);
        if (happens.synced) watched = advance({ ownerKey, viewingKey }, chain, watched);
      }
      watched = advance({ ownerKey, viewingKey }, chain, watched);
      const none = { credits: [], creditIndex: 0n, creditKeys: [] };
      assert.deepEqual(watched, { ...advance(KEYS, chain), ...none });
      assert.deepEqual(watched.live?.account, { cash: chain.cash, positions: chain.positions });
      assert.equal(watched.tickets.length, chain.open.length);
    }),
    { numRuns: 30 },
  );
});

test("with its own spending key only an account finds its session keys: a chain that shows others changes nothing [ACC-11, ACC-20]", () => {
  const chain = chainOf([{ ...PLAIN, kind: "open" }]);
  for (const [id, ticket] of chain.tickets) chain.tickets.set(id, { ...ticket, sessionKey: `0x${"AB".repeat(20)}` });
  const own = advance(KEYS, chain);
  const { ownerKey, viewingKey } = KEYS;
  const watched = advance({ ownerKey, viewingKey }, chain);
  assert.equal(own.tickets[0]?.sessionKey, addressOf(sessionPrivateKey(KEYS.spendingKey, own.live?.index ?? 0n, 0)));
  assert.equal(watched.tickets[0]?.sessionKey, `0x${"ab".repeat(20)}`);
});

const DOMAIN = domainOf(31337n, `0x${"c0".repeat(20)}`);

/** A chain on which seats of a phrase at a house were opened, the first ones closed again. */
function houseChain(closed: number, open: number): HouseChain {
  const chain = new PlainChain();
  chain.seatsOpened.clear();
  for (let place = 0; place < closed + open; place++) {
    const keys = accountKeys(PHRASE, accountNumberOf(DOMAIN, place));
    chain.seatsOpened.set(keys.ownerKey, { epoch: 1, bond: 1n });
    const note = zeroNote(keys.ownerKey);
    chain.place(note, 1n);
    if (place >= closed) continue;
    const nullifier = nullifierOf(keys.viewingKey, note);
    chain.transitioned.set(nullifier, {
      action: "closeSeat",
      epoch: 1,
      nullifier,
      newNote: note,
      seat: keys.ownerKey,
      cashDelta: 0n,
      slot: 0n,
      positionDelta: 0n,
    });
  }
  return Object.assign(chain, { chain: { domain: DOMAIN } });
}

test("a phrase finds its account at a house: the first whose seat is not closed [ACC-12, ACC-16]", () => {
  for (const [closed, open, status] of [
    [0, 0, "none"],
    [0, 1, "active"],
    [2, 1, "active"],
    [2, 0, "none"],
  ] as const) {
    const found = findAccount(PHRASE, houseChain(closed, open));
    assert.equal(found.place, BigInt(closed));
    assert.equal(found.accountNumber, accountNumberOf(DOMAIN, closed));
    assert.equal(found.status.status, status);
    assert.deepEqual(found.keys, accountKeys(PHRASE, found.accountNumber));
  }
  assert.throws(() => findAccount("legal winner", houseChain(0, 0)), MalformedSeedPhrase);
});

test("houses share no account of a phrase, and places of one house are told apart [ACC-16]", () => {
  const numbers = [
    accountNumberOf(DOMAIN),
    accountNumberOf(DOMAIN, 1),
    accountNumberOf(DOMAIN, 2 ** 16 - 1),
    accountNumberOf({ ...DOMAIN, chainId: 1 }),
    accountNumberOf({ ...DOMAIN, verifyingContract: `0x${"c1".repeat(20)}` }),
  ];
  assert.equal(new Set(numbers).size, numbers.length);
  for (const number of numbers) assert(number >= 0n && number < 1n << 64n);
  assert.throws(() => accountNumberOf(DOMAIN, 2 ** 16), OutOfRange);
  assert.throws(() => accountNumberOf(DOMAIN, -1), OutOfRange);
});

test("what tickets have traded is added up from both sides of fills [ACC-12]", () => {
  const chain = chainOf([
    { ...PLAIN, kind: "open" },
    { ...PLAIN, kind: "fill", contracts: 3, amount: 2n },
    { ...PLAIN, kind: "fill", contracts: -2, amount: 3n },
  ]);
  const [first, second] = advance(KEYS, chain).tickets;
  assert(first !== undefined && second !== undefined);
  assert.deepEqual(fillsOf(chain, [first.ticketId, second.ticketId]), [
    { ticketId: first.ticketId, fills: 2, bought: 3n, sold: 2n, fees: 14n },
    { ticketId: second.ticketId, fills: 0, bought: 0n, sold: 0n, fees: 0n },
  ]);
});

test("indices rise, also over lost transitions, and are never given twice nor beyond what recovery finds [ACC-6, ACC-12]", () => {
  const journal = memoryJournal();
  for (let index = 4n; index < 3n + INDEX_GAP.note; index++) {
    assert.equal(nextIndex(journal, "tickets", 3n), index);
    journal.record("note", index);
  }
  assert.throws(() => nextIndex(journal, "tickets", 3n), IndicesUsedUp);
  assert.equal(nextIndex(journal, "tickets", 4n), 3n + INDEX_GAP.note);
  assert.equal(nextIndex(journal, "credit", 0n), 1n);
});

test("however often others refuse, there is an index for a renewal, a withdrawal and a deposit [ACC-6, ACC-12]", () => {
  const journal = memoryJournal();
  for (const [use, kind] of [
    ["other", "note"],
    ["credit", "credit"],
  ] as const) {
    const given = Array.from({ length: 300 }, () => {
      const index = nextIndex(journal, use, 3n);
      journal.record(kind, index);
      return index;
    });
    assert.equal(given.at(-1), 3n + INDEX_GAP[kind]);
    assert.equal(new Set(given).size, Number(INDEX_GAP[kind]));
  }
  assert.throws(() => nextIndex(journal, "tickets", 3n), IndicesUsedUp);
  assert.equal(nextIndex(journal, "tickets", 3n + INDEX_GAP.note), 4n + INDEX_GAP.note);
});
