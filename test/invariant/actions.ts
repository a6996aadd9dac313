import assert from "node:assert/strict";
import { parseEventLogs, type TransactionReceipt } from "viem";
import { privateKeyToAddress } from "viem/accounts";
import {
  call,
  ContractRefused,
  deposit,
  type Fill,
  type ProvenTransition,
  readDayState,
  type SignedOrder,
  SKIP_REASONS,
  submitBatch,
  submitTransitions,
} from "../../src/chain/clearingHouse.ts";
import { drawFromFaucet } from "../../src/chain/deploy.ts";
import { DOLLAR } from "../../src/clearing/leanHogs.ts";
import { type Action, ACTIONS, isEntering } from "../../src/protocol/action.ts";
import { clearingHouseAbi } from "../../src/protocol/abi.ts";
import { NO_RESIDUAL } from "../../src/protocol/conservation.ts";
import { type EpochMarket, equityInBand } from "../../src/protocol/epoch.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import type { Hex } from "../../src/protocol/keys.ts";
import type { Side } from "../../src/protocol/order.ts";
import { NotReducing, type TicketBalance, TicketBelowMargin, type Trade, tradeOn } from "../../src/protocol/ticket.ts";
import { ProverRefused } from "../../src/prover/prover.ts";
import { NothingCarried, type SubmitOptions, type TicketSpec } from "../../src/trader/account.ts";
import { isLeftOver, type OwnTicket } from "../../src/trader/accountState.ts";
import { shareOf, WHOLE } from "./books.ts";
import { addTrader, count, type Gains, landedIn, pricesNow, step, type Trader, type World } from "./world.ts";

/** A transition with its owner; `gain` is what it makes the owner richer by if it takes effect. */
export type Planned = { readonly trader: Trader; readonly transition: ProvenTransition; readonly gain: bigint };

const NEVER = 4_000_000_000n;
const LOG_HEAD: Hex = `0x${"00".repeat(32)}`;

// ------------------------------------------------------------------ transitions

/** What a transition costs its owner: fees, and what is paid out. */
function gainOf(action: Action): bigint {
  const fee = "relayFee" in action && action.name !== "closeSeat" ? action.relayFee : 0n;
  if (action.name === "withdraw") return -fee - action.amount;
  return action.name === "exit" ? -action.equity : -fee;
}

/** Proves something; undefined, and nothing changed, if there is no proof because the account cannot pay. */
export async function prove(
  world: World,
  trader: Trader,
  making: Promise<ProvenTransition>,
): Promise<Planned | undefined> {
  try {
    const transition = await making;
    return { trader, transition, gain: gainOf(transition.action) };
  } catch (error) {
    const insolvent = error instanceof ProverRefused && error.rule === "InsolventTransition";
    if (!insolvent && !(error instanceof NothingCarried)) throw error;
    count(world, "cannot pay");
    return undefined;
  }
}

/** Something that an active account might do now, in Trading or in part A of the window. */
export function planActive(world: World, trader: Trader): Promise<Planned | undefined> | undefined {
  const { chance, exchange } = world;
  const { account } = trader;
  const trading = exchange.state.phase === "trading";
  const { credits, tickets } = account.state;
  const credit = chance.pick(credits);
  if (credit !== undefined && chance.happens(80)) return prove(world, trader, account.fund(credit.creditId));
  const ticket = chance.pick(tickets);
  if (ticket !== undefined && chance.happens(trading ? 30 : 80)) {
    const old = isLeftOver(exchange.state, ticket);
    const { ticketId } = ticket;
    return prove(world, trader, old ? account.claimTicket(ticketId) : account.closeTicket(ticketId));
  }
  if (chance.happens(15)) return planWithdrawal(world, trader);
  const { positions, cash } = account.account;
  const flat = positions.every((position) => position === 0n);
  if (trading && flat && cash === 0n && chance.happens(40)) {
    return prove(world, trader, account.closeSeat(freshAddress(world)));
  }
  if (trading && flat && chance.happens(6)) return prove(world, trader, account.sleep());
  return trading && chance.happens(85) ? planOpening(world, trader) : undefined;
}

/** All, more than all, or some of what is free. More than all has no proof (spec PAY-2). */
async function planWithdrawal(world: World, trader: Trader): Promise<Planned | undefined> {
  const { chance, exchange } = world;
  const { account } = trader;
  const relayed = exchange.state.phase === "trading";
  const free = account.freeCash - (relayed ? exchange.terms.relayFee : 0n);
  if (relayed && chance.happens(25)) {
    const tooMuch = account.withdraw(freshAddress(world), free > 0n ? free + 1n : 1n);
    await assert.rejects(tooMuch, { code: "ProverRefused", rule: "InsolventTransition" });
    count(world, "withdrawal above equity refused");
  }
  if (free <= 0n) return undefined;
  const run = world.storm && exchange.state.epoch > 3;
  const amount = chance.happens(run ? 70 : 20) ? free : chance.between(1n, free / 4n + 1n);
  return prove(world, trader, account.withdraw(freshAddress(world), amount));
}

/** One to eight tickets in one slot: fresh ones, with positions of the account, or to reduce those only. */
function planOpening(world: World, trader: Trader): Promise<Planned | undefined> | undefined {
  const { chance, exchange } = world;
  const { account } = trader;
  const markets = exchange.state.markets(exchange.state.epoch);
  const listed = [...markets.keys()].filter((i) => markets[i]?.listed === true);
  const slot = world.storm && chance.happens(85) ? 0 : (chance.pick(listed) ?? 0);
  const market = markets[slot];
  if (market?.listed !== true) return undefined;
  const held = account.account.positions[slot] ?? 0n;
  if (held !== 0n && (market.closingOnly || chance.happens(40))) {
    const specs = [account.reducingTicket(slot, chance.between(held < 0n ? held : 1n, held < 0n ? -1n : held))];
    return prove(world, trader, opening(trader, slot, specs));
  }
  if (market.closingOnly) return undefined;
  const specs = Array.from({ length: chance.happens(80) ? 1 + chance.int(2) : 1 + chance.int(8) }, (): TicketSpec => {
    const carried = held !== 0n && chance.happens(30) ? held / BigInt(1 + chance.int(3)) : 0n;
    const side: Side = chance.happens(50) ? "buy" : "sell";
    const trade = { side, price: randomPrice(world, market), quantity: BigInt(1 + chance.int(4)) };
    const { cash, position } = account.ticketFor(slot, trade, carried);
    // Some have room for what drop-outs leave.
    const most = world.clearing && chance.happens(30) ? 20_000n : 500n;
    return { cash: cash + chance.between(0n, most) * DOLLAR, position };
  });
  return prove(world, trader, opening(trader, slot, specs));
}

export async function opening(
  { account }: Trader,
  slot: number,
  specs: readonly TicketSpec[],
): Promise<ProvenTransition> {
  return (await account.openTickets(slot, specs)).transition;
}

/** Inside the limits, drifting one way all day, in a storm for days; the centre where prices stand still. */
function randomPrice({ still, storm, chance, exchange }: World, market: EpochMarket): bigint {
  if (still) return market.centre;
  const drift = driftOf(exchange.state.epoch, storm);
  const reach = market.priceLimit / market.tick;
  if (storm && chance.happens(95)) return market.centre + drift * reach * market.tick;
  const ticks = chance.happens(70) ? drift * chance.between(0n, reach) : chance.between(-reach, reach);
  return market.centre + ticks * market.tick;
}

// ------------------------------------------------------------------ fills

type OpenTicket = { readonly trader: Trader; readonly ticket: OwnTicket; balance: TicketBalance };

/** Random trades between open tickets; the model says what they do, and the contract must agree. */
async function planFills(world: World, most: number, gains: Gains) {
  const { chance, exchange, traders } = world;
  const { epoch } = exchange.state;
  const open: OpenTicket[] = traders.flatMap((trader) =>
    trader.account.state.tickets
      .filter((ticket) => ticket.epoch === epoch)
      .map((ticket) => ({ trader, ticket, balance: ticket })),
  );
  const orders: SignedOrder[] = [];
  const fills: Fill[] = [];
  const traded = new Set<Hex>();
  const { lastSeq } = await readDayState(exchange.chain);
  const execTime = await execTimeNow(world);
  for (let i = 0; i < 4 * most && fills.length < most; i++) {
    const pair = pickPair(world, open);
    if (pair === undefined) break;
    const { maker, taker, market } = pair;
    const takerSide = takerSideOf(world, maker.trader, taker.trader);
    const makerSide: Side = takerSide === "buy" ? "sell" : "buy";
    const price = randomPrice(world, market);
    const quantity = BigInt(1 + chance.int(4));
    const made = tryTrade(market, maker, { side: makerSide, price, quantity });
    const took = tryTrade(market, taker, { side: takerSide, price, quantity });
    const seq = lastSeq + 1n + BigInt(fills.length);
    const fill = { quantity: Number(quantity), price, seq, n: 0, makerPrioritySeq: 0n, execTime };
    const [makerOrder, takerOrder] = await Promise.all([
      maker.trader.account.signOrder(maker.ticket.ticketId, {
        side: makerSide,
        limitPrice: price,
        quantity: Number(quantity) + chance.int(3),
        expiry: NEVER,
      }),
      taker.trader.account.signOrder(taker.ticket.ticketId, {
        side: takerSide,
        limitPrice: price,
        quantity: Number(quantity),
        expiry: NEVER,
        timeInForce: chance.happens(30) ? "FOK" : "IOC",
      }),
    ]);
    if (made instanceof HedgerowError || took instanceof HedgerowError) {
      if (fills.length > 0 || !chance.happens(25)) continue;
      // The maker's side is looked at first.
      const expected = made instanceof HedgerowError ? made.code : took instanceof HedgerowError ? took.code : "";
      const refused = post(world, [], [makerOrder, takerOrder], [{ ...fill, maker: 0, taker: 1 }]);
      await assert.rejects(refused, (error: unknown) => {
        assert.ok(error instanceof ContractRefused, String(error));
        assert.equal(error.code, expected);
        return true;
      });
      count(world, "fill refused");
      continue;
    }
    orders.push(makerOrder, takerOrder);
    fills.push({ ...fill, maker: orders.length - 2, taker: orders.length - 1 });
    for (const [side, after] of [
      [maker, made],
      [taker, took],
    ] as const) {
      const gain = worthAtCentre(market, after) - worthAtCentre(market, side.balance);
      gains.set(side.trader, (gains.get(side.trader) ?? 0n) + gain);
      side.balance = { cash: after.cash, position: after.position };
      traded.add(side.ticket.ticketId);
    }
    count(world, "fill");
  }
  return { orders, fills, traded };
}

function pickPair({ chance, exchange: { state } }: World, open: readonly OpenTicket[]) {
  const maker = chance.pick(open);
  if (maker === undefined) return undefined;
  const others = open.filter(({ ticket }) => ticket.slot === maker.ticket.slot && ticket !== maker.ticket);
  const taker = chance.pick(others);
  const market = state.markets(state.epoch)[maker.ticket.slot];
  return taker === undefined || market === undefined ? undefined : { maker, taker, market };
}

function tryTrade(market: EpochMarket, { ticket, balance }: OpenTicket, trade: Parameters<typeof tradeOn>[2]) {
  try {
    return tradeOn(market, balance, trade, ticket.reduceOnly);
  } catch (error) {
    if (error instanceof TicketBelowMargin || error instanceof NotReducing) return error;
    throw error;
  }
}

/** In a storm those who will not come back take the side that loses. */
function takerSideOf({ storm, chance, exchange }: World, maker: Trader, taker: Trader): Side {
  if (!storm || isReckless(maker) === isReckless(taker)) return chance.happens(50) ? "buy" : "sell";
  const losing: Side = driftOf(exchange.state.epoch, storm) > 0n ? "sell" : "buy";
  return isReckless(taker) === (losing === "buy") ? "buy" : "sell";
}

/** Some traders only ever take risks. */
export function isReckless({ number }: Trader): boolean {
  return number % 3 === 0;
}

/** Which way prices run: another one every third day, in a storm every ninth. */
export function driftOf(epoch: number, storm: boolean): bigint {
  return epoch % (storm ? 9 : 3) === 0 ? -1n : 1n;
}

/** The newest block's time, never after the day's end. */
async function execTimeNow({ exchange }: World): Promise<bigint> {
  const { closingTime } = await exchange.chain.house.read.epochOf([exchange.state.epoch]);
  const now = await exchange.now();
  return now < closingTime ? now : closingTime;
}

// ------------------------------------------------------------------ steps

async function post(
  { exchange, operator }: World,
  transitions: readonly ProvenTransition[],
  orders: readonly SignedOrder[],
  fills: readonly Fill[],
) {
  const { nextBatchNumber } = await readDayState(exchange.chain);
  const batch = { batchNumber: nextBatchNumber, transitions, orders, fills, logHead: LOG_HEAD };
  return submitBatch(exchange.chain, operator, batch);
}

function addGain(gains: Gains, { trader, gain }: Planned): void {
  gains.set(trader, (gains.get(trader) ?? 0n) + gain);
}

/** A batch of transitions, as far as there are proofs for them. */
export function stepPlanned(world: World, what: string, planned: readonly (Planned | undefined)[]): Promise<void> {
  const there = planned.filter((one) => one !== undefined);
  return step(world, what, async () => {
    const gains: Gains = new Map();
    if (there.length === 0) return gains;
    const transitions = there.map(({ transition }) => transition);
    bookLanded(world, await post(world, transitions, [], []), there, gains);
    return gains;
  });
}

/** One trade between two tickets: the taker is on this side of it. */
export function stepTrade(
  world: World,
  taker: Omit<OpenTicket, "balance">,
  maker: Omit<OpenTicket, "balance">,
  { side, price, quantity }: Trade,
): Promise<void> {
  return step(world, "a trade", async () => {
    const { exchange } = world;
    const market = exchange.state.markets(exchange.state.epoch)[taker.ticket.slot];
    assert.ok(market !== undefined);
    const otherSide: Side = side === "buy" ? "sell" : "buy";
    const terms = { limitPrice: price, quantity: Number(quantity), expiry: NEVER };
    const orders = [
      await maker.trader.account.signOrder(maker.ticket.ticketId, { ...terms, side: otherSide }),
      await taker.trader.account.signOrder(taker.ticket.ticketId, { ...terms, side }),
    ];
    const { lastSeq } = await readDayState(exchange.chain);
    const numbers = { seq: lastSeq + 1n, n: 0, makerPrioritySeq: 0n, execTime: await execTimeNow(world) };
    const fill = { ...numbers, quantity: Number(quantity), price, maker: 0, taker: 1 };
    const gains: Gains = new Map();
    for (const [{ trader, ticket }, ownSide] of [
      [maker, otherSide],
      [taker, side],
    ] as const) {
      const after = tradeOn(market, ticket, { side: ownSide, price, quantity }, ticket.reduceOnly);
      gains.set(trader, (gains.get(trader) ?? 0n) + worthAtCentre(market, after) - worthAtCentre(market, ticket));
    }
    bookLanded(world, await post(world, [], orders, [fill]), [], gains);
    count(world, "fill");
    return gains;
  });
}

/** A ticket at the centre price: what was paid against what the contracts are worth. */
function worthAtCentre({ centre }: EpochMarket, { cash, position }: TicketBalance): bigint {
  return equityInBand(cash, position, centre, 0n);
}

/** A batch of random transitions and fills. */
export function stepBatch(world: World): Promise<void> {
  return step(world, "a batch", async () => {
    const { chance, traders } = world;
    const planned: Planned[] = [];
    for (const trader of traders) {
      const { status } = trader.account.status;
      if (status !== "active" || !chance.happens(35)) continue;
      const one = await planActive(world, trader);
      if (one === undefined) continue;
      planned.push(one);
      // Now and then a second one spends the same note: the batch skips it.
      const twin = chance.happens(8) ? await planActive(world, trader) : undefined;
      if (twin !== undefined) planned.push(twin);
    }
    const gains: Gains = new Map();
    const { orders, fills } = await planFills(world, world.storm ? 7 : 4, gains);
    const sorted = [
      ...planned.filter(({ transition }) => isEntering(transition.action.name)),
      ...planned.filter(({ transition }) => !isEntering(transition.action.name)),
    ];
    if (sorted.length + fills.length === 0) return gains;
    const receipt = await post(
      world,
      sorted.map(({ transition }) => transition),
      orders,
      fills,
    );
    bookLanded(world, receipt, sorted, gains);
    return gains;
  });
}

/** A transition sent directly. One that the pool cannot bear, or that something overtook, has no effect. */
export async function submitDirectly(world: World, planned: Planned | undefined): Promise<Gains> {
  const gains: Gains = new Map();
  if (planned === undefined) return gains;
  try {
    const receipt = await submitTransitions(world.exchange.chain, planned.trader.sender, [planned.transition]);
    bookLanded(world, receipt, [planned], gains);
  } catch (error) {
    if (!(error instanceof ContractRefused && error.code === "NotApplied")) throw error;
    checkSkip(world, planned.transition.action.name, SKIP_REASONS[Number(error.details["reason"])] ?? "?");
  }
  return gains;
}

// ------------------------------------------------------------------ what took effect

/** Keeps account of what a call did, and checks what it paid to whom, and what it skipped. */
export function bookLanded(
  world: World,
  receipt: TransactionReceipt,
  planned: readonly Planned[],
  gains: Map<Trader, bigint>,
): void {
  const landed = landedIn(receipt);
  const paid: Payment[] = [];
  for (const one of planned) {
    if (!landed(one.transition)) continue;
    count(world, nameOf(world, one));
    addGain(gains, one);
    paid.push(...bookOne(world, one));
  }
  for (const { args } of parseEventLogs({ abi: clearingHouseAbi, logs: receipt.logs, eventName: "Filled" })) {
    world.books.fees += args.makerFee + args.takerFee;
  }
  checkPaid(receipt, paid);
  const skips = parseEventLogs({ abi: clearingHouseAbi, logs: receipt.logs, eventName: "TransitionSkipped" });
  for (const { args } of skips) {
    checkSkip(world, ACTIONS[args.action] ?? "?", SKIP_REASONS[args.reason] ?? "?");
  }
}

type Payment = { readonly to: string; readonly amount: bigint };

function checkPaid({ logs }: TransactionReceipt, expected: readonly Payment[]): void {
  const events = parseEventLogs({ abi: clearingHouseAbi, logs, eventName: "Paid" });
  assert.deepEqual(
    events.map(({ args }) => ({ to: args.to.toLowerCase(), amount: args.amount })),
    expected.filter(({ amount }) => amount > 0n),
    "what was paid to whom",
  );
}

/** Only what a batch overtook is skipped, or what a pool that somebody's default emptied cannot bear. */
function checkSkip(world: World, action: string, reason: string): void {
  count(world, `skipped: ${action}, ${reason}`);
  if (reason === "NullifierSpent" || (reason === "TicketUnavailable" && action === "closeTicket")) return;
  assert.equal(reason, "PoolShort");
  assert.ok(["fund", "openTicket", "withdraw", "exit"].includes(action), `${action} is never short`);
  const { books, exchange } = world;
  if (action === "fund") {
    const closed = books.ratio < WHOLE && exchange.state.phase === "trading";
    assert.ok(closed, "money is taken in as long as all is paid out");
    return;
  }
  assert.notDeepEqual(world.residual, NO_RESIDUAL, "a pool is short only after a default");
}

/** What is counted: a return with what it cost. */
function nameOf({ exchange }: World, { transition: { action } }: Planned): string {
  if (action.name !== "rejoin" && action.name !== "exit") return action.name;
  const late = exchange.state.epoch > action.defaultEpoch + exchange.terms.flatGraceEpochs;
  return `${action.name} ${action.flat ? (late ? "flat, late" : "flat, in time") : "with position"}`;
}

/** What is paid of an amount that leaves; what it loses helps the close-out account, the rest stays in the pool. */
function takeShare(world: World, amount: bigint): bigint {
  const { paid, toAccount, toPool } = shareOf(world.books, amount, pricesNow(world));
  world.books.closeOutAccount += toAccount;
  world.residual = { ...world.residual, cash: world.residual.cash + toPool };
  if (paid < amount) count(world, "paid below one");
  return paid;
}

/** What a transition moves between the house's own buckets; returns what it pays. */
function bookOne(world: World, { trader, transition: { action } }: Planned) {
  const { books, exchange } = world;
  const { lateFee, seatBond, flatGraceEpochs, relayFee } = exchange.terms;
  const { ownerKey } = trader.account.keys;
  const bond = books.bonds.get(ownerKey) ?? 0n;
  switch (action.name) {
    case "withdraw":
      books.fees += action.relayFee;
      return [{ to: action.to.toLowerCase(), amount: takeShare(world, action.amount) }];
    case "closeSeat": {
      const fee = action.relayFee < bond ? action.relayFee : bond;
      books.fees += fee;
      books.bonds.set(ownerKey, 0n);
      return [{ to: action.to.toLowerCase(), amount: bond - fee }];
    }
    case "rejoin":
    case "exit": {
      const kept = action.flat && bond > 0n && exchange.state.epoch <= action.defaultEpoch + flatGraceEpochs;
      const ofEquity = action.name === "exit" ? takeShare(world, action.equity) : 0n;
      const lost = !kept ? bond : lateFee < bond ? lateFee : bond;
      books.closeOutAccount += lost;
      const after = action.name === "exit" ? 0n : kept ? bond - lost : seatBond;
      books.bonds.set(ownerKey, after);
      if (action.name === "rejoin") return [];
      return [{ to: action.to.toLowerCase(), amount: ofEquity + (kept ? bond - lost : 0n) }];
    }
    case "wake":
      return [];
    default:
      books.fees += action.relayFee;
      assert.equal(action.relayFee % relayFee, 0n);
      return [];
  }
}

/** In the window whoever is in default may leave. */
export async function stepExit(world: World): Promise<void> {
  const { chance, traders } = world;
  const trader = chance.pick(traders.filter(({ account }) => account.status.status === "inDefault"));
  if (trader === undefined) return;
  await step(world, `trader ${trader.number} leaves in the window`, async () =>
    submitDirectly(world, await prove(world, trader, trader.account.exit(freshAddress(world)))),
  );
}

/** A trader whose seat is not active comes back, leaves, or stays away. */
export async function stepReturn(world: World): Promise<void> {
  const { chance, traders } = world;
  const away = traders.filter(({ account }) => ["asleep", "inDefault"].includes(account.status.status));
  const trader = chance.pick(away);
  if (trader === undefined) return;
  const { account } = trader;
  await step(world, `trader ${trader.number} returns`, async () => {
    const making =
      account.status.status === "asleep"
        ? account.account.cash === 0n && chance.happens(40)
          ? account.closeSeat(freshAddress(world))
          : account.wake()
        : chance.happens(70)
          ? account.rejoin()
          : account.exit(freshAddress(world));
    return submitDirectly(world, await prove(world, trader, making));
  });
}

/** A deposit, a refund, a newcomer, a forfeited bond, tokens out of the blue. */
export async function stepAside(world: World): Promise<void> {
  const { books, chance, exchange, operator, traders } = world;
  const { chain, state } = exchange;
  const choice = chance.int(100);
  if (choice < 55) {
    const trader = chance.pick(traders);
    if (trader === undefined || trader.account.status.status === "closed") return;
    const amount = chance.between(1n, 60n) * 1_000n * DOLLAR + chance.between(0n, 999_999n);
    await step(world, "a deposit", async () => {
      await deposit(chain, trader.sender, amount, trader.account.newCreditKey());
      count(world, "deposit");
      return new Map([[trader, amount]]);
    });
  } else if (choice < 65) {
    // The delay would end part A of the window.
    if (state.phase === "window") return;
    await step(world, "a refund", async () => {
      const trader = chance.pick(traders.filter(({ account }) => account.state.credits.length > 0));
      const credit = trader?.account.state.credits[0];
      if (trader === undefined || credit === undefined) return new Map<Trader, bigint>();
      const args = [credit.creditId] as const;
      await call(chain, trader.sender, { functionName: "requestCreditRefund", args });
      await exchange.advanceTime(exchange.terms.refundDelay);
      await call(chain, operator, { functionName: "refundCredit", args });
      count(world, "refund");
      return new Map([[trader, -credit.amount]]);
    });
  } else if (choice < 70) {
    await step(world, "a newcomer", async () => {
      await addTrader(world);
      count(world, "newcomer");
      return new Map();
    });
  } else if (choice < 80) {
    await step(world, "fees and the fund", async () => {
      const { fees } = await chain.house.read.buckets();
      const to = freshAddress(world);
      if (fees > 0n) {
        const receipt = await call(chain, operator, { functionName: "collectFees", args: [to] });
        checkPaid(receipt, [{ to: to.toLowerCase(), amount: takeShare(world, fees) }]);
        books.fees = 0n;
      }
      const giver = chance.pick(traders);
      if (giver === undefined) return new Map();
      await call(chain, giver.sender, { functionName: "contributeToFund", args: [DOLLAR] });
      books.guarantyFund += DOLLAR;
      count(world, "contribution");
      return new Map();
    });
  } else if (choice < 85) {
    await step(world, "tokens out of the blue", async () => {
      await drawFromFaucet(exchange.url, exchange.deployed.token, exchange.operatorKey, chain.address, 7n);
      world.unasked += 7n;
      return new Map();
    });
  } else {
    await step(world, "a forfeited bond", async () => {
      for (const { account } of traders) {
        const { status } = account;
        if (status.status !== "inDefault" || state.epoch <= status.since + exchange.terms.flatGraceEpochs) continue;
        const { ownerKey } = account.keys;
        const bond = books.bonds.get(ownerKey) ?? 0n;
        const reporter = chance.pick(traders);
        if (bond === 0n || reporter === undefined) continue;
        await reportDefault(world, reporter, ownerKey, bond);
        break;
      }
      return new Map();
    });
  }
}

/** The reporter has a small part of the bond, the rest stands for what the seat may have left. */
async function reportDefault(world: World, { sender }: Trader, ownerKey: bigint, bond: bigint): Promise<void> {
  const { chain, terms } = world.exchange;
  const receipt = await call(chain, sender, { functionName: "forfeitBond", args: [ownerKey] });
  const reward = terms.reporterReward < bond ? terms.reporterReward : bond;
  checkPaid(receipt, [{ to: sender.address.toLowerCase(), amount: reward }]);
  world.books.bonds.set(ownerKey, 0n);
  world.books.closeOutAccount += bond - reward;
  count(world, "forfeited bond");
}

/** In part A of the window somebody funds, closes, or takes out, directly. */
export async function stepWindow(world: World): Promise<void> {
  const trader = world.chance.pick(presentSeats(world));
  if (trader === undefined) return;
  await step(world, `trader ${trader.number} in the window`, async () =>
    submitDirectly(world, await planActive(world, trader)),
  );
}

/** In part B most seats renew, some fall asleep, some miss it: by intent, or because they cannot pay. */
export async function renewMost(world: World): Promise<void> {
  const { books, chance } = world;
  for (const trader of presentSeats(world)) {
    const { account } = trader;
    const options: SubmitOptions = { relayed: false };
    const flat = account.account.positions.every((position) => position === 0n);
    if (books.gone.has(trader.number) || chance.happens(12)) continue;
    const making = flat && chance.happens(25) ? account.sleep(options) : account.renew(options);
    await step(world, `trader ${trader.number} renews`, async () =>
      submitDirectly(world, await prove(world, trader, making)),
    );
  }
}

/** Seats whose note is in the tree of the present epoch. */
export function presentSeats({ traders, exchange: { state } }: World): readonly Trader[] {
  return traders.filter(({ account: { status } }) => status.status === "active" && status.epoch === state.epoch);
}

/** An address that nobody has used. */
export function freshAddress({ steps, chance }: World): Hex {
  const number = BigInt(steps + 1) * 1_000_000_007n + BigInt(chance.int(2 ** 31)) + 1n;
  return privateKeyToAddress(`0x${number.toString(16).padStart(64, "0")}`);
}
