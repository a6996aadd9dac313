import assert from "node:assert/strict";
import { test } from "node:test";
import {
  assertConserved,
  assertPoolIsNotes,
  closeOut,
  type ConservationFacts,
  expire,
  NO_RESIDUAL,
  NotConserved,
  together,
} from "../../src/protocol/conservation.ts";
import type { EpochMarket, EpochMarkets } from "../../src/protocol/epoch.ts";
import { type Account, SLOTS } from "../../src/protocol/note.ts";
import { epochMarket } from "../support/epochMarket.ts";

const perSlot = (...first: bigint[]): bigint[] => Array.from({ length: SLOTS }, (_, slot) => first[slot] ?? 0n);

/** A market around 100 that settled at 103; the limit is 10, the close-out fee 15. */
const MARKET = epochMarket({
  contractId: `0x${"11".repeat(32)}`,
  listed: true,
  centre: 100n,
  tick: 1n,
  priceLimit: 10n,
  maintenanceMargin: 30n,
  initialMargin: 40n,
  closeOutFee: 15n,
  fillFee: 0n,
  minimumVolume: 1,
  minimumMinutes: 1,
  settlementPrice: 103n,
  expired: false,
  closingOnly: false,
  lastTradingTime: 0n,
});

const EMPTY: EpochMarket = {
  ...MARKET,
  listed: false,
  centre: 0n,
  priceLimit: 0n,
  closeOutFee: 0n,
  settlementPrice: 0n,
};

const marketsWith = (first: Partial<EpochMarket> = {}): EpochMarkets => [
  { ...MARKET, ...first },
  ...Array<EpochMarket>(SLOTS - 1).fill(EMPTY),
];

/** The notes behind FACTS: long 5 and short 3. */
const NOTES: readonly Account[] = [
  { cash: -300n, positions: perSlot(5n) },
  { cash: 900n, positions: perSlot(-3n) },
];

/** A pool that is long 2, a ticket that is short 2, and some of everything else. */
const FACTS: ConservationFacts = {
  phase: "trading",
  markets: marketsWith(),
  tokens: 1_250n,
  unasked: 7n,
  buckets: {
    poolCash: 600n,
    ticketCash: 400n,
    claims: 100n,
    credits: 50n,
    bonds: 30n,
    fees: 20n,
    owed: 3n,
    closeOutAccount: 25n,
    operatorStake: 5n,
    guarantyFund: 10n,
  },
  poolPositions: perSlot(2n),
  closeOutPositions: perSlot(),
  ticketSums: perSlot().map((_, slot) =>
    slot === 0 ? { cash: 400n, net: -2n, gross: 4n } : { cash: 0n, net: 0n, gross: 0n },
  ),
  tickets: [
    { ticketId: "0x01", slot: 0, cash: 500n, position: -3n },
    { ticketId: "0x02", slot: 0, cash: -100n, position: 1n },
  ],
  parts: { bonds: 30n, credits: 50n, claims: 100n, owed: 3n },
  gap: 0n,
};

function breaks(rule: string, check: () => void): void {
  assert.throws(check, (error: unknown) => error instanceof NotConserved && error.rule === rule);
}

const withBuckets = (buckets: Partial<ConservationFacts["buckets"]>, more: Partial<ConservationFacts> = {}) => ({
  ...FACTS,
  buckets: { ...FACTS.buckets, ...buckets },
  ...more,
});

test("books that fit together pass, with tokens that nobody asked for [CON-1]", () => {
  assertConserved(FACTS);
  assertPoolIsNotes(FACTS, NOTES, NO_RESIDUAL);
});

test("a token too many or too few in any bucket is found [CON-1]", () => {
  for (const name of ["poolCash", "fees", "closeOutAccount", "operatorStake", "guarantyFund"] as const) {
    breaks("CON-1", () => assertConserved(withBuckets({ [name]: FACTS.buckets[name] + 1n })));
    breaks("CON-1", () => assertConserved(withBuckets({ [name]: FACTS.buckets[name] - 1n })));
  }
});

test("a contract that nobody is the other side of is found [CON-2]", () => {
  breaks("CON-2", () => assertConserved({ ...FACTS, closeOutPositions: perSlot(1n) }));
  breaks("CON-2", () => assertConserved({ ...FACTS, poolPositions: perSlot(2n, 1n) }));
});

test("a pool below zero at the worst limit is found, unless its gap is published [CON-3]", () => {
  // Long 2 at 90: cash of -180 is just enough.
  const atLimit = withBuckets({ poolCash: -180n, closeOutAccount: 805n });
  assertConserved(atLimit);
  const below = withBuckets({ poolCash: -181n, closeOutAccount: 806n });
  breaks("CON-3", () => assertConserved(below));
  assertConserved({ ...below, gap: 1n });
  // In the window the settlement price counts.
  assertConserved({ ...below, phase: "window" });
  breaks("CON-3", () => assertConserved(withBuckets({ poolCash: -207n, closeOutAccount: 832n }, { phase: "window" })));
});

test("running sums that are not those of the tickets are found [CON-8]", () => {
  const [first, ...rest] = FACTS.tickets;
  assert.ok(first !== undefined);
  breaks("CON-8", () => assertConserved({ ...FACTS, tickets: rest }));
  breaks("CON-8", () => assertConserved({ ...FACTS, tickets: [{ ...first, cash: 501n }, ...rest] }));
  breaks("CON-8", () => assertConserved({ ...FACTS, tickets: [{ ...first, slot: 1 }, ...rest] }));
  const grossOnly = FACTS.ticketSums.map((sums, slot) => (slot === 0 ? { ...sums, gross: 2n } : sums));
  breaks("CON-8", () => assertConserved({ ...FACTS, ticketSums: grossOnly }));
});

test("seats, credits, claims and debts that do not add up to their bucket are found [CON-9]", () => {
  for (const name of ["bonds", "credits", "claims", "owed"] as const) {
    breaks("CON-9", () => assertConserved({ ...FACTS, parts: { ...FACTS.parts, [name]: FACTS.parts[name] + 1n } }));
  }
});

test("a pool that is not the sum of its notes is found, in cash and in contracts [CON-7]", () => {
  const [first, ...rest] = NOTES;
  assert.ok(first !== undefined);
  const check = (note: Account) => () => assertPoolIsNotes(FACTS, [note, ...rest], NO_RESIDUAL);
  breaks("CON-7", check({ ...first, cash: first.cash + 1n }));
  breaks("CON-7", check({ ...first, positions: perSlot(4n) }));
});

test("who drops out leaves the fee and the position against its cash in the pool [CON-7]", () => {
  const [long, short] = NOTES;
  assert.ok(long !== undefined && short !== undefined);
  const { account, residual } = closeOut(long, FACTS.markets);
  // -300 + 5 * (103 - 15)
  assert.deepEqual(account, { cash: 140n, positions: perSlot() });
  assert.deepEqual(together(account, residual), long);
  assertPoolIsNotes(FACTS, [account, short], residual);
  breaks("CON-7", () => assertPoolIsNotes(FACTS, [account, short], NO_RESIDUAL));
  // At a later price of 110 the hidden position of 5 is worth 7 more each, and the fee was 15 each.
  assert.equal(residual.cash + 5n * 110n, 5n * (15n + 7n));
});

test("in the window notes may hold an expired contract or its cash already [CON-6]", () => {
  const markets = marketsWith({ expired: true });
  const window: ConservationFacts = { ...FACTS, phase: "window", markets };
  const [first, ...rest] = NOTES;
  assert.ok(first !== undefined);
  assert.deepEqual(expire(first, markets), { cash: -300n + 5n * 103n, positions: perSlot() });
  assertPoolIsNotes(window, [expire(first, markets), ...rest], NO_RESIDUAL);
  // Who drops out of an expired contract pays no fee.
  assert.equal(closeOut(first, markets).account.cash, -300n + 5n * 103n);
});
