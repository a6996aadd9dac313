import assert from "node:assert/strict";
import { parseEventLogs, stringToHex, type TransactionReceipt } from "viem";
import { clearingHouseAbi } from "../../src/protocol/abi.ts";
import { readConservationFacts } from "../../src/chain/conservationFacts.ts";
import { approve, openSeat, type ProvenTransition, type Sender } from "../../src/chain/clearingHouse.ts";
import { drawFromFaucet, type MarketTerms } from "../../src/chain/deploy.ts";
import { DOLLAR, LEAN_HOG_TERMS } from "../../src/clearing/leanHogs.ts";
import {
  assertConserved,
  assertPoolIsNotes,
  type ConservationFacts,
  closeOut,
  expire,
  NO_RESIDUAL,
  type Residual,
  together,
} from "../../src/protocol/conservation.ts";
import { equityInBand } from "../../src/protocol/epoch.ts";
import { accountKeys } from "../../src/protocol/keys.ts";
import type { Account } from "../../src/protocol/note.ts";
import { TraderAccount } from "../../src/trader/account.ts";
import { claimOf, isLeftOver } from "../../src/trader/accountState.ts";
import { recoverAccount } from "../../src/trader/recovery.ts";
import type { Exchange } from "../support/exchange.ts";
import { startUnprovenExchange, unprovenProver } from "../support/unprovenExchange.ts";
import { type Books, newBooks, WHOLE } from "./books.ts";
import { type Chance, chanceOf } from "./chance.ts";

/** The phrase of all traders; each has a number of its own. */
export const PHRASE = "test test test test test test test test test test test junk";

/** Seconds of a trading day, of each part of the window, and of a whole cycle. */
export const TRADING_TIME = 21_600;
const WINDOW_PART = 3_600;
const CYCLE = TRADING_TIME + 2 * WINDOW_PART;

/** A trader with an account and with tokens to deposit. Some never fail to renew (see careful.ts). */
export type Trader = { readonly number: number; readonly account: TraderAccount; readonly sender: Sender };

/** Goes to an expanded limit after a day at its limit. */
const HOGS: MarketTerms = { ...LEAN_HOG_TERMS, priceLimit: 900n * DOLLAR };

/** The least margins that its limit allows: two bad days cost more than who dropped out left. */
const WILD: MarketTerms = {
  ...LEAN_HOG_TERMS,
  minimumVolume: 2,
  minimumMinutes: 1,
  closeOutFee: LEAN_HOG_TERMS.priceLimit,
  maintenanceMargin: 2n * LEAN_HOG_TERMS.priceLimit,
  initialMargin: 2n * LEAN_HOG_TERMS.priceLimit + 240n * DOLLAR,
};

/** Days may end early, and each part of the window has blocks enough for every careful trader. */
const CLEARING = { lockTime: 3_600, lockNotice: 1_800, windowBlocks: 12 } as const;

/** Longer than a cycle, as it must be, and shorter than two. */
const GOVERNANCE_DELAY = 30_000;

/** Traders on a clearing house, and what the test knows of it. */
export type World = {
  readonly exchange: Exchange;
  readonly chance: Chance;
  readonly traders: Trader[];
  /** Whether every trade is at the day's centre price. */
  readonly still: boolean;
  /** Whether everything that clearing knows happens: governance, halts, auctions, stakes, careful traders. */
  readonly clearing: boolean;
  /** Whether prices run one way to their limits for days, past what those who drop out left. */
  readonly storm: boolean;
  /** Whose batches the house takes. */
  operator: Sender;
  readonly books: Books;
  /** What those who dropped out left in the pool. */
  residual: Residual;
  unasked: bigint;
  steps: number;
  /** How often each thing happened. */
  readonly tally: Map<string, number>;
};

/** What kind of world it is: plain unless it says otherwise. */
export type WorldKind = {
  readonly clearing?: boolean;
  readonly storm?: boolean;
  /** Of each part of the window. */
  readonly windowBlocks?: number;
};

/** A clearing house without proofs, with three or four markets and some traders whose seats are open. */
export async function startWorld(
  seed: number,
  traders: number,
  still: boolean,
  { clearing = false, storm = false, windowBlocks }: WorldKind = {},
): Promise<World> {
  const now = BigInt(Math.floor(Date.now() / 1_000));
  const thirdDay = now + BigInt(CYCLE + CYCLE / 2 + TRADING_TIME / 2);
  const hogs = storm ? WILD : clearing ? HOGS : LEAN_HOG_TERMS;
  const exchange = await startUnprovenExchange({
    clearingTerms: {
      windowA: WINDOW_PART,
      windowB: WINDOW_PART,
      tradingTime: TRADING_TIME,
      ...(clearing ? CLEARING : {}),
      ...(storm ? { seatBond: 60n * DOLLAR } : {}),
      ...(windowBlocks === undefined ? {} : { windowBlocks }),
    },
    markets: [
      hogs,
      { ...hogs, contractId: stringToHex("HOGS THAT END", { size: 32 }), lastTradingTime: thirdDay },
      { ...hogs, contractId: stringToHex("BELOW ZERO", { size: 32 }), listingPrice: -300n * DOLLAR },
      ...(clearing ? [{ ...WILD, contractId: stringToHex("WILD HOGS", { size: 32 }) }] : []),
    ],
    governanceDelay: GOVERNANCE_DELAY,
  });
  const world: World = {
    exchange,
    chance: chanceOf(seed),
    traders: [],
    still,
    clearing,
    storm,
    operator: exchange.operator,
    books: newBooks(),
    residual: NO_RESIDUAL,
    unasked: 0n,
    steps: 0,
    tally: new Map(),
  };
  if (clearing) {
    const { url, chain, deployed, operator, operatorKey } = exchange;
    await drawFromFaucet(url, deployed.token, operatorKey, operator.address, 1_000_000n * DOLLAR);
    await approve(chain, operator, 1_000_000n * DOLLAR);
  }
  for (let number = 0; number < traders; number++) await addTrader(world);
  return world;
}

/** One more trader, with a seat. */
export async function addTrader(world: World): Promise<Trader> {
  const { exchange, traders } = world;
  const number = traders.length;
  const keys = accountKeys(PHRASE, number);
  const account = await TraderAccount.open({ keys, chain: exchange.state, prover: unprovenProver });
  const sender = await exchange.fundedSender(100_000_000n * DOLLAR);
  await openSeat(exchange.chain, sender, keys.ownerKey);
  const trader = { number, account, sender };
  traders.push(trader);
  world.books.bonds.set(keys.ownerKey, exchange.terms.seatBond);
  await follow(world);
  return trader;
}

/** Counts what happened. */
export function count(world: World, what: string): void {
  world.tally.set(what, (world.tally.get(what) ?? 0) + 1);
}

/** Every account reads what is new. */
export async function follow({ exchange, traders }: World): Promise<void> {
  await exchange.state.sync();
  for (const { account } of traders) account.applyChain();
}

/** Prices by slot: the day's centres, in the window the settlement prices. */
export function pricesNow({ exchange: { state } }: World): readonly bigint[] {
  return state
    .markets(state.epoch)
    .map(({ centre, settlementPrice }) => (state.phase === "trading" ? centre : settlementPrice));
}

// ------------------------------------------------------------------ what each trader has

/** The account as the pool counts it: cash only, once its seat has defaulted. */
function noteOf({ exchange }: World, { account }: Trader): Account {
  const { status } = account;
  if (status.status !== "inDefault") return account.account;
  return closeOut(account.account, exchange.state.markets(status.since)).account;
}

/**
 * Everything a trader owns, in base units: note, tickets and credits, positions at the day's centre price, in the window
 * at the settlement price.
 */
export function wealthOf(world: World, trader: Trader): bigint {
  const { state } = world.exchange;
  const prices = pricesNow(world);
  const note = noteOf(world, trader);
  const ofNote = note.positions.reduce((sum, position, slot) => sum + position * (prices[slot] ?? 0n), note.cash);
  const { tickets, credits } = trader.account.state;
  const ofTickets = tickets.map((ticket) =>
    isLeftOver(state, ticket) ? claimOf(state, ticket) : ticket.cash + ticket.position * (prices[ticket.slot] ?? 0n),
  );
  return [...ofTickets, ...credits.map(({ amount }) => amount)].reduce((sum, amount) => sum + amount, ofNote);
}

/** What nobody but the trader may change. */
function possessionsOf({ account }: Trader) {
  const { live, tickets, credits } = account.state;
  return { live, tickets, credits };
}

// ------------------------------------------------------------------ a step, and what must hold after it

/** By how much the step makes each trader who acts richer. Of all others nothing at all may change. */
export type Gains = Map<Trader, bigint>;

/** Does something, and checks everything that must hold after it, however it went. */
export async function step(world: World, what: string, act: () => Promise<Gains>): Promise<void> {
  world.steps++;
  const before = world.traders.map((trader) => ({
    trader,
    wealth: wealthOf(world, trader),
    possessions: possessionsOf(trader),
  }));
  try {
    const gains = await act();
    await follow(world);
    for (const { trader, wealth, possessions } of before) {
      const gain = gains.get(trader);
      if (gain === undefined) {
        assert.deepEqual(possessionsOf(trader), possessions, `trader ${trader.number} did nothing`);
      } else {
        assert.equal(wealthOf(world, trader) - wealth, gain, `what trader ${trader.number} gained`);
      }
    }
    await checkAll(world);
  } catch (error) {
    throw new Error(`step ${world.steps}, epoch ${world.exchange.state.epoch}: ${what}`, { cause: error });
  }
}

/** Every invariant that concerns all of them. */
async function checkAll(world: World): Promise<void> {
  const { state } = world.exchange;
  const facts = await readConservationFacts(state, world.unasked);
  assertConserved(facts);
  assertPoolIsNotes(
    facts,
    world.traders.map((trader) => noteOf(world, trader)),
    world.residual,
  );
  checkTicketMargins(world);
  checkNotes(world);
  if (world.clearing) await checkBooks(world, facts);
}

/** Every bucket is what the test has kept account of; none that cannot be owed is below zero. */
async function checkBooks(world: World, { buckets, closeOutPositions }: ConservationFacts): Promise<void> {
  const { books, exchange } = world;
  const sum = (amounts: Iterable<bigint>): bigint => [...amounts].reduce((total, amount) => total + amount, 0n);
  const { closeOutAccount, fees, guarantyFund, operatorStake, bonds } = buckets;
  assert.deepEqual(
    { closeOutAccount, fees, guarantyFund, operatorStake, bonds, ratio: await exchange.chain.house.read.payoutRatio() },
    {
      closeOutAccount: books.closeOutAccount,
      fees: books.fees,
      guarantyFund: books.guarantyFund,
      operatorStake: sum([...books.stakes.values()].map(({ amount }) => amount)),
      bonds: sum(books.bonds.values()),
      ratio: books.ratio,
    },
  );
  assert.deepEqual(
    closeOutPositions,
    books.abandoned.map(({ position }) => position),
  );
  for (const name of ["claims", "credits", "bonds", "fees", "owed", "operatorStake", "guarantyFund"] as const) {
    assert.ok(buckets[name] >= 0n, `${name} is ${buckets[name]}`);
  }
  assert.ok(books.ratio >= 0n && books.ratio <= WHOLE, `payout ratio ${books.ratio}`);
}

/** No ticket is below zero at any price that the day can reach, nor at the maintenance band, which is wider. */
function checkTicketMargins({ exchange: { state }, traders }: World): void {
  if (state.phase !== "trading") return;
  const markets = state.markets(state.epoch);
  for (const { ticketId, epoch, slot, cash, position } of traders.flatMap(({ account }) => account.state.tickets)) {
    const market = markets[slot];
    if (epoch !== state.epoch || market === undefined) continue;
    const worst = equityInBand(cash, position, market.centre, market.maintenanceMargin);
    assert.ok(worst >= 0n, `ticket ${ticketId} would be worth ${worst}`);
  }
}

/** No nullifier twice, and exactly one live note for every seat that is not closed. */
function checkNotes({ exchange: { state }, traders }: World): void {
  const acted = state.events.filter(({ eventName }) => eventName === "Transitioned").length;
  assert.equal(state.transitioned.size, acted, "a nullifier acted twice");

  const leaves = state.events.flatMap((event) => (event.eventName === "NotesAppended" ? event.args.leaves : []));
  const made = leaves.filter((leaf) => leaf !== 0n).length;
  const open = traders.filter(({ account }) => account.status.status !== "closed");
  const emptied = [...state.transitioned.values()].filter(({ action }) => action === "exit" || action === "closeSeat");
  assert.equal(emptied.length, traders.length - open.length, "seats closed");
  // Closing a seat spends a note and makes none.
  assert.equal(made - acted, open.length, "notes that are not spent, one for each open seat");
  for (const { account } of open) {
    const { live } = account.state;
    assert.ok(live !== undefined && state.has(live.note), "the live note is in a tree");
    assert.ok(!state.transitioned.has(live.nullifier), "the live note is not spent");
  }
}

/** Every account can be rebuilt from its seed phrase and the chain (spec ACC-12). */
export function checkRecovery({ exchange: { state }, traders }: World): void {
  for (const { number, account } of traders) {
    const recovered = recoverAccount(PHRASE, number, state);
    assert.deepEqual(recovered.status, account.status);
    assert.deepEqual(recovered.state.live, account.state.live);
    assert.deepEqual(recovered.state.tickets, account.state.tickets);
    assert.deepEqual(recovered.state.credits, account.state.credits);
  }
}

// ------------------------------------------------------------------ keeping the residual

/** After an opening: who missed the renewal has dropped out, and expired contracts have become cash. */
export function bookDefaults(world: World, receipt: TransactionReceipt): void {
  const { state } = world.exchange;
  const closed = state.epoch - 1;
  const markets = state.markets(closed);
  for (const { account } of world.traders) {
    const { status } = account;
    if (status.status !== "inDefault" || status.since !== closed) continue;
    count(world, "dropped out");
    world.residual = together(world.residual, closeOut(account.account, markets).residual);
  }
  if (markets.some(({ expired }) => expired)) count(world, "expired");
  world.residual = expire(world.residual, markets);
  for (const { args } of parseEventLogs({ abi: clearingHouseAbi, logs: receipt.logs, eventName: "WaterfallStep" })) {
    count(world, `waterfall: ${["what drop-outs left", "operator's stake", "guaranty fund"][args.layer] ?? "?"}`);
    world.residual = { ...world.residual, cash: world.residual.cash + args.toPool };
  }
}

/** New notes of the transitions that took effect in a call. */
export function landedIn(receipt: TransactionReceipt): (transition: ProvenTransition) => boolean {
  const events = parseEventLogs({ abi: clearingHouseAbi, logs: receipt.logs, eventName: "Transitioned" });
  const newNotes = new Set(events.map(({ args }) => `${args.nullifier} ${args.newNote}`));
  return ({ nullifier, newNote }) => newNotes.has(`${nullifier} ${newNote}`);
}
