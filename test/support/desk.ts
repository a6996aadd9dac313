import assert from "node:assert/strict";
import { after } from "node:test";
import { numberToHex, parseEventLogs, type TransactionReceipt } from "viem";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import { clearingHouseAbi } from "../../src/protocol/abi.ts";
import { SLEEPERS } from "../../src/chain/chainState.ts";
import {
  type Batch,
  call,
  closeEpoch,
  ContractRefused,
  deposit,
  type Fill,
  openSeat,
  type ProvenTransition,
  readDayState,
  readTokenBalance,
  refusalOf,
  type RestingQuote,
  type Sender,
  type SignedOrder,
  SKIP_REASONS,
  type SkipReason,
  submitBatch,
  submitTransitions,
  transitionMessage,
} from "../../src/chain/clearingHouse.ts";
import { DOLLAR } from "../../src/clearing/leanHogs.ts";
import { type Action, relayFeeOf, ticketIdOf } from "../../src/protocol/action.ts";
import type { ErrorDetails } from "../../src/protocol/errors.ts";
import { addressOf, type Hex, keysOfSpendingKey } from "../../src/protocol/keys.ts";
import { type Order, signOrder, signRelease } from "../../src/protocol/order.ts";
import type { Proof } from "../../src/protocol/proof.ts";
import { NoteTree } from "../../src/protocol/tree.ts";
import { TraderAccount } from "../../src/trader/account.ts";
import { type Exchange, type ExchangeOptions, startExchange } from "./exchange.ts";
import { sharedProver } from "./prover.ts";
import { NO_PROOF, unprovenProver } from "./unprovenExchange.ts";

/** Later than any test. */
export const NEVER = 4_000_000_000n;

/** A trader with an account that follows the chain. A rollback replaces the account. */
export type Trader = { account: TraderAccount; readonly sender: Sender };

/** A ticket whose key the test made itself. */
export type RawTicket = { readonly ticketId: Hex; readonly key: Hex; readonly slot: number };

/** What a raw ticket is opened with; flat, without cash and in slot 0 unless it says otherwise. */
export type RawOpening = { readonly cash?: bigint; readonly position?: number; readonly reduceOnly?: boolean };

/**
 * Everything at hand to play a clearing house. "Raw" transitions have no note behind them: only an unproven exchange
 * takes them.
 */
export type Desk = ReturnType<typeof deskOf>;

/** An exchange that ends after the tests of the file, with all that plays on it. Proofs only if asked for. */
export async function startDesk(options: ExchangeOptions & { readonly proven?: boolean } = {}): Promise<Desk> {
  const { proven = false, ...rest } = options;
  const x = await startExchange({ ...rest, unproven: !proven });
  after(() => x.stop());
  return deskOf(x, proven ? await sharedProver() : unprovenProver);
}

/** What each side of a trade has that only makes a price. */
const PRICE_MAKER = { cash: 100_000n * DOLLAR };

let serial = 1_000n;

/** A number that no other call gave. */
export function fresh(): bigint {
  serial += 1n;
  return serial;
}

export function freshAddress(): Hex {
  return privateKeyToAddress(generatePrivateKey());
}

export function only<T>(list: readonly T[]): T {
  const [item] = list;
  assert.ok(item !== undefined && list.length === 1, `expected one item, found ${list.length}`);
  return item;
}

/** Reasons for which transitions of a call were skipped, in order. */
export function skipsOf(receipt: TransactionReceipt): readonly SkipReason[] {
  const events = parseEventLogs({ abi: clearingHouseAbi, logs: receipt.logs, eventName: "TransitionSkipped" });
  return events.map(({ args }) => SKIP_REASONS[args.reason] ?? "None");
}

/** A tree without notes has the same root before and after it was first used. */
function rootOf([, root]: readonly [nextIndex: bigint, root: bigint]): bigint {
  return root === 0n ? EMPTY_ROOT : root;
}

const EMPTY_ROOT = new NoteTree().root;

function deskOf(x: Exchange, prover: typeof unprovenProver) {
  const traders: Trader[] = [];
  const { house } = x.chain;

  // ---------------------------------------------------------------- accounts

  const openAccount = (spendingKey: bigint): Promise<TraderAccount> =>
    TraderAccount.open({ keys: keysOfSpendingKey(spendingKey), chain: x.state, prover });

  const sync = async (): Promise<void> => {
    await x.state.sync();
    for (const { account } of traders) account.applyChain();
  };

  /** A trader with an open seat, and with tokens to deposit. */
  const newSeat = async (dollars = 1_000n): Promise<Trader> => {
    const account = await openAccount(fresh());
    const sender = await x.fundedSender(dollars * DOLLAR + 3n * x.terms.seatBond);
    await openSeat(x.chain, sender, account.keys.ownerKey);
    const trader = { account, sender };
    traders.push(trader);
    await sync();
    return trader;
  };

  /** Deposits and funds. */
  const fund = async ({ account, sender }: Trader, dollars: bigint): Promise<void> => {
    const creditId = await deposit(x.chain, sender, dollars * DOLLAR, account.newCreditKey());
    await account.sync();
    const transition = await account.fund(creditId);
    await (x.state.phase === "trading" ? batch([transition]) : direct(sender, transition));
  };

  const newTrader = async (dollars: bigint): Promise<Trader> => {
    const trader = await newSeat(dollars);
    await fund(trader, dollars);
    return trader;
  };

  // ---------------------------------------------------------------- calls

  const batch = async (
    transitions: readonly ProvenTransition[],
    orders: readonly SignedOrder[] = [],
    fills: readonly Fill[] = [],
    over: Partial<Batch> & { readonly by?: Sender } = {},
  ): Promise<TransactionReceipt> => {
    const { by = x.operator, ...rest } = over;
    const batchNumber = (await readDayState(x.chain)).nextBatchNumber;
    const logHead = numberToHex(0, { size: 32 });
    const receipt = await submitBatch(x.chain, by, { batchNumber, transitions, orders, fills, logHead, ...rest });
    await sync();
    return receipt;
  };

  /** A batch with proofs of its own choice, in any number. */
  const batchWith = async (transitions: readonly ProvenTransition[], proofs: readonly Proof[]): Promise<void> => {
    const { nextBatchNumber } = await readDayState(x.chain);
    const messages = transitions.map(transitionMessage);
    const args = [nextBatchNumber, messages, proofs, [], [], numberToHex(0, { size: 32 })] as const;
    try {
      await house.simulate.submitBatch(args, { account: x.operator.address });
    } catch (error) {
      throw refusalOf(error);
    }
  };

  const direct = async (sender: Sender, ...transitions: readonly ProvenTransition[]): Promise<TransactionReceipt> => {
    const receipt = await submitTransitions(x.chain, sender, transitions);
    await sync();
    return receipt;
  };

  // ---------------------------------------------------------------- what must not change

  /** Every public sum, every tree and the clock: what a refused call must leave alone. */
  const fingerprint = async () => {
    const { epoch, phase } = x.state;
    const ofTree = (tree: bigint) => house.read.treeOf([tree]);
    const [buckets, positions, clock, tokens, ...trees] = await Promise.all([
      house.read.buckets(),
      house.read.openPositions(),
      house.read.clock(),
      readTokenBalance(x.chain),
      ofTree(BigInt(epoch)),
      ofTree(BigInt(epoch) + 1n),
      ofTree(SLEEPERS),
    ]);
    return { epoch, phase, buckets, positions, clock, tokens, trees };
  };

  /** Buckets add up to the tokens and positions to zero (spec CON-1, CON-2). */
  const assertConserved = async (): Promise<void> => {
    const { buckets, positions, tokens } = await fingerprint();
    const sum = Object.values(buckets).reduce((total, amount) => total + amount, 0n);
    assert.equal(sum, tokens, "the buckets add up to the tokens");
    const [pool, tickets, closeOutPositions] = positions;
    pool.forEach((position, slot) => {
      assert.equal(
        position + (tickets[slot]?.net ?? 0n) + (closeOutPositions[slot] ?? 0n),
        0n,
        `positions of slot ${slot}`,
      );
    });
  };

  /** The call is refused with this error, whose arguments include `details`, and changes nothing. */
  const refuses = async (
    call: () => Promise<unknown>,
    code: string | RegExp,
    details: ErrorDetails = {},
  ): Promise<void> => {
    const before = await fingerprint();
    const error: unknown = await call().then(
      () => new Error(`expected ${String(code)}, but the call was accepted`),
      (reason: unknown) => reason,
    );
    if (!(error instanceof ContractRefused)) throw error;
    if (typeof code === "string") assert.equal(error.code, code, error.message);
    else assert.match(error.code, code);
    for (const [name, value] of Object.entries(details)) {
      const given: unknown = error.details[name];
      // Addresses differ by letter case only, and small numbers by type.
      assert.equal(String(given).toLowerCase(), String(value).toLowerCase(), `${String(code)}.${name}`);
    }
    assert.deepEqual(await fingerprint(), before);
  };

  /** A batch with these transitions skips them all, for these reasons, and moves no money, position or root. */
  const skips = async (
    transitions: readonly ProvenTransition[],
    ...reasons: readonly SkipReason[]
  ): Promise<TransactionReceipt> => {
    const before = await fingerprint();
    const receipt = await batch(transitions);
    assert.deepEqual(skipsOf(receipt), reasons);
    const now = await fingerprint();
    assert.deepEqual([now.buckets, now.positions, now.tokens], [before.buckets, before.positions, before.tokens]);
    assert.deepEqual(now.trees.map(rootOf), before.trees.map(rootOf));
    return receipt;
  };

  // ---------------------------------------------------------------- the day

  const epochOf = () => house.read.epochOf([x.state.epoch]);

  const toClosingTime = async (): Promise<void> => {
    const { closingTime } = await epochOf();
    const wait = Number(closingTime - (await x.now()));
    if (wait > 0) await x.advanceTime(wait);
  };

  const close = async (quotes: readonly RestingQuote[] = []): Promise<TransactionReceipt> => {
    await toClosingTime();
    const receipt = await closeEpoch(x.chain, x.operator, quotes);
    await sync();
    return receipt;
  };

  const toPartB = async (): Promise<void> => {
    await x.mine(x.terms.windowBlocks);
    await x.advanceTime(x.terms.windowA);
  };

  const open = async (): Promise<TransactionReceipt> => {
    const { closedAt, renewalsBlock } = await epochOf();
    const wait = Number(closedAt - (await x.now())) + x.terms.windowA + x.terms.windowB;
    if (wait > 0) await x.advanceTime(wait);
    if (renewalsBlock === 0n) {
      await x.mine(x.terms.windowBlocks);
      await call(x.chain, x.operator, { functionName: "beginRenewals", args: [] });
    }
    await x.mine(x.terms.windowBlocks);
    const receipt = await call(x.chain, x.operator, { functionName: "openEpoch", args: [] });
    await sync();
    return receipt;
  };

  /** Through the whole window to the next trading day; these traders renew. */
  const nextDay = async (renewing: readonly Trader[] = [], quotes: readonly RestingQuote[] = []): Promise<void> => {
    await close(quotes);
    await toPartB();
    for (const { account, sender } of renewing) await direct(sender, await account.renew());
    await open();
  };

  /** Plays something and takes it back. */
  const rollback = async (body: () => Promise<void>): Promise<void> => {
    const snapshot = await x.snapshot();
    const count = traders.length;
    try {
      await body();
      await assertConserved();
    } finally {
      await x.revert(snapshot);
      traders.splice(count);
      for (const trader of traders) trader.account = await openAccount(trader.account.keys.spendingKey);
    }
  };

  // ---------------------------------------------------------------- raw transitions

  /** A transition without a note behind it, under the newest root of the present epoch's tree. */
  const raw = async (
    action: Action,
    over: Partial<ProvenTransition> & { readonly tree?: bigint } = {},
  ): Promise<ProvenTransition> => {
    const { tree = BigInt(x.state.epoch), ...rest } = over;
    const [, root] = await house.read.treeOf([tree]);
    const seat = 0n;
    return { action, root, nullifier: fresh(), newNote: fresh(), seat, signature: "0x", proof: NO_PROOF, ...rest };
  };

  /** A release of what `key` holds into a transition's note. */
  const released = async (
    transition: ProvenTransition,
    key: Hex,
    release: { readonly id: Hex; readonly cash: bigint; readonly position?: bigint },
  ): Promise<ProvenTransition> => {
    const { nullifier, newNote } = transition;
    const message = { position: 0n, ...release, nullifier, newNote };
    return { ...transition, signature: await signRelease(x.chain.domain, message, key) };
  };

  /** A deposit of a fresh key. */
  const newCredit = async (dollars: bigint) => {
    const key = generatePrivateKey();
    const amount = dollars * DOLLAR;
    const depositor = await x.fundedSender(amount);
    return { creditId: await deposit(x.chain, depositor, amount, addressOf(key)), key, amount, depositor };
  };

  const { relayFee } = x.terms;

  /** The raw fund transition of a credit. */
  const rawFund = async (
    { creditId, key, amount }: { readonly creditId: bigint; readonly key: Hex; readonly amount: bigint },
    fee = relayFee,
  ): Promise<ProvenTransition> => {
    const transition = await raw({ name: "fund", creditId, amount, relayFee: fee });
    return released(transition, key, { id: numberToHex(creditId, { size: 32 }), cash: amount });
  };

  /** Opens a seat where the present epoch's tree has no root yet that a raw transition could name. */
  const plantRoot = async (): Promise<void> => {
    const [nextIndex] = await house.read.treeOf([BigInt(x.state.epoch)]);
    if (nextIndex === 0n) await openSeat(x.chain, await x.fundedSender(x.terms.seatBond), fresh());
  };

  /** Puts dollars into the pool that no account owns. */
  const fillPool = async (dollars: bigint): Promise<void> => {
    await plantRoot();
    await batch([await rawFund(await newCredit(dollars))]);
  };

  /** The raw opening of tickets with fresh keys, paying the fee that the present rules ask for. */
  const rawOpening = async (slot: number, openings: readonly RawOpening[]) => {
    const keys = openings.map(() => generatePrivateKey());
    const tickets = openings.map(({ cash = 0n, position = 0, reduceOnly = false }, i) => ({
      sessionKey: addressOf(keys[i] ?? "0x"),
      cash,
      position,
      reduceOnly,
    }));
    const unpaid: Action = { name: "openTicket", slot, relayFee: 0n, tickets };
    const transition = await raw({ ...unpaid, relayFee: relayFeeOf(unpaid, relayFee) });
    const opened = keys.map((key, i): RawTicket => ({ ticketId: ticketIdOf({ ...transition, slot }, i), key, slot }));
    return { transition, tickets: opened };
  };

  /** Opens raw tickets in a batch of their own. */
  const openRaw = async (slot: number, ...openings: readonly RawOpening[]): Promise<readonly RawTicket[]> => {
    const { transition, tickets } = await rawOpening(slot, openings);
    assert.deepEqual(skipsOf(await batch([transition])), []);
    return tickets;
  };

  const closingOf = async (
    { ticketId, key, slot }: RawTicket,
    cash: bigint,
    position: number,
    fee = relayFee,
  ): Promise<ProvenTransition> => {
    const transition = await raw({ name: "closeTicket", ticketId, slot, cash, position, relayFee: fee });
    return released(transition, key, { id: ticketId, cash, position: BigInt(position) });
  };

  /** The raw closing of a ticket with what it holds. */
  const rawClose = async (ticket: RawTicket, fee = relayFee): Promise<ProvenTransition> => {
    const { cash, position } = await house.read.ticketOf([ticket.ticketId]);
    return closingOf(ticket, cash, position, fee);
  };

  /** The raw withdrawal of an amount of the pool, in a batch, or directly where the window allows it. */
  const rawWithdraw = async (amount: bigint, to = freshAddress(), fee = relayFee): Promise<ProvenTransition> =>
    raw({ name: "withdraw", to, amount, relayFee: fee });

  const order = async (
    { ticketId, key }: { readonly ticketId: Hex; readonly key: Hex },
    terms: Partial<Order> & Pick<Order, "side" | "limitPrice" | "quantity">,
  ): Promise<SignedOrder> => {
    const signed: Order = {
      ticketId,
      clientId: fresh(),
      revision: 0,
      timeInForce: "GTC",
      postOnly: false,
      expiry: NEVER,
      ...terms,
    };
    return { order: signed, signature: await signOrder(x.chain.domain, signed, key) };
  };

  /** A fill of orders 0 (maker) and 1 (taker) of its batch, at the newest block's time, with the next number. */
  const fill = async (over: Partial<Fill> & Pick<Fill, "price" | "quantity">): Promise<Fill> => {
    const { lastSeq } = await readDayState(x.chain);
    const { closingTime } = await epochOf();
    const now = await x.now();
    const execTime = now < closingTime ? now : closingTime;
    return { maker: 0, taker: 1, seq: lastSeq + 1n, n: 0, makerPrioritySeq: 0n, execTime, ...over };
  };

  /** Trades between two tickets in a batch of its own: the buyer takes what the seller offers. */
  const trade = async (
    buyer: { readonly ticketId: Hex; readonly key: Hex },
    seller: { readonly ticketId: Hex; readonly key: Hex },
    price: bigint,
    quantity: number,
    over: Partial<Fill> = {},
  ): Promise<TransactionReceipt> => {
    const terms = { limitPrice: price, quantity };
    const orders = [await order(seller, { ...terms, side: "sell" }), await order(buyer, { ...terms, side: "buy" })];
    return batch([], orders, [await fill({ price, quantity, ...over })]);
  };

  /** Ends the day with one lot traded at closing time in each of these slots, between tickets that are gone afterwards. */
  const settleAt = async (
    ...prices: readonly (readonly [slot: number, price: bigint])[]
  ): Promise<TransactionReceipt> => {
    await toClosingTime();
    await plantRoot();
    const transitions: ProvenTransition[] = [];
    const pairs = [];
    for (const [slot, price] of prices) {
      const opening = await rawOpening(slot, [PRICE_MAKER, PRICE_MAKER]);
      const [buyer, seller] = opening.tickets;
      assert.ok(buyer !== undefined && seller !== undefined);
      transitions.push(opening.transition);
      pairs.push({ slot, price, buyer, seller });
    }
    if (pairs.length === 0) return close();
    assert.deepEqual(skipsOf(await batch(transitions)), []);
    const orders: SignedOrder[] = [];
    const fills: Fill[] = [];
    const closings: ProvenTransition[] = [];
    for (const { slot, price, buyer, seller } of pairs) {
      const terms = { limitPrice: price, quantity: 1 };
      const maker = orders.length;
      orders.push(await order(seller, { ...terms, side: "sell" }), await order(buyer, { ...terms, side: "buy" }));
      fills.push(await fill({ ...terms, price, maker, taker: maker + 1, n: fills.length }));
      const { fillFee } = await house.read.marketOf([x.state.epoch, slot]);
      for (const [ticket, position] of [
        [buyer, 1],
        [seller, -1],
      ] as const) {
        closings.push(await closingOf(ticket, PRICE_MAKER.cash - BigInt(position) * price - fillFee, position));
      }
    }
    assert.deepEqual(skipsOf(await batch(closings, orders, fills)), []);
    return close();
  };

  return {
    x,
    house,
    traders,
    settleAt,
    sync,
    newSeat,
    newTrader,
    fund,
    batch,
    batchWith,
    direct,
    fingerprint,
    assertConserved,
    refuses,
    skips,
    toClosingTime,
    close,
    toPartB,
    open,
    nextDay,
    rollback,
    raw,
    released,
    newCredit,
    rawFund,
    plantRoot,
    fillPool,
    rawOpening,
    openRaw,
    rawClose,
    rawWithdraw,
    order,
    fill,
    trade,
  };
}
