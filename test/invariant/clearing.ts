import assert from "node:assert/strict";
import { encodeFunctionData, numberToHex, parseEventLogs, type TransactionReceipt } from "viem";
import { call, closeEpoch, ContractRefused, takeAbandoned } from "../../src/chain/clearingHouse.ts";
import { readConservationFacts } from "../../src/chain/conservationFacts.ts";
import { sendCall } from "../../src/chain/sending.ts";
import { DOLLAR, TICK } from "../../src/clearing/leanHogs.ts";
import { clearingHouseAbi, marketRegistryAbi } from "../../src/protocol/abi.ts";
import { auctionPriceAt, signBid } from "../../src/protocol/auctionBid.ts";
import { equityInBand } from "../../src/protocol/epoch.ts";
import { sessionPrivateKey } from "../../src/protocol/keys.ts";
import { presentSeats } from "./actions.ts";
import { bookAbandoned, bookOpening, expectedClose, stakeOf, type Step, WHOLE } from "./books.ts";
import { bookDefaults, count, follow, type Gains, pricesNow, step, type World } from "./world.ts";

/** Sends a call that the contract may refuse for one of these reasons; undefined if it did. */
async function unlessRefused<T>(codes: readonly string[], act: () => Promise<T>): Promise<T | undefined> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof ContractRefused && codes.includes(error.code)) return undefined;
    throw error;
  }
}

async function isRefused(act: () => Promise<unknown>, ...codes: readonly string[]): Promise<void> {
  await assert.rejects(act, (error: unknown) => {
    assert.ok(error instanceof ContractRefused, String(error));
    assert.ok(codes.includes(error.code), error.code);
    return true;
  });
}

// ------------------------------------------------------------------ the close and the opening

/** Ends Trading; what it says of losses is what the layers and the settlement prices say. */
export async function closeDay(world: World): Promise<void> {
  const { books, exchange, chance } = world;
  const { chain, state, terms } = exchange;
  const byAnybody = world.clearing && chance.happens(30);
  if (byAnybody) await exchange.advanceTime(terms.settleGrace);
  await step(world, "the close", async () => {
    await closeEpoch(chain, byAnybody ? exchange.owner : world.operator);
    await follow(world);
    if (!world.clearing) return new Map();
    const facts = await readConservationFacts(state, world.unasked);
    const expected = expectedClose(books, facts, stakeOf(books, world.operator.address));
    assert.deepEqual(
      facts.markets.map(({ tornUp }) => tornUp),
      expected.tornUp,
      "torn up",
    );
    books.ratio = expected.ratio;
    countRatio(world, "at the close");
    for (const { tornUp, listed, settlementPrice, centre, priceLimit, dailyLimit } of facts.markets) {
      if (tornUp) count(world, "torn up");
      if (listed && [centre + priceLimit, centre - priceLimit].includes(settlementPrice)) count(world, "at the limit");
      if (priceLimit > dailyLimit) count(world, "expanded limit");
    }
    checkNextTerms(world);
    return new Map();
  });
}

function countRatio(world: World, when: string): void {
  const { ratio } = world.books;
  if (ratio < WHOLE) count(world, `payout ratio below one ${when}`);
  if (ratio === 0n) count(world, `payout ratio zero ${when}`);
}

/** Dropping out in the window is no free option, and the default price can be paid, whatever governance decided. */
function checkNextTerms({ exchange: { state } }: World): void {
  const next = state.markets(state.epoch + 1);
  state.markets(state.epoch).forEach((market, slot) => {
    const following = next[slot];
    if (!market.listed || following?.contractId !== market.contractId) return;
    assert.ok(following.priceLimit <= market.closeOutFee, `slot ${slot}: limit ${following.priceLimit}`);
    assert.ok(following.initialMargin >= market.closeOutFee, `slot ${slot}: initial ${following.initialMargin}`);
    assert.ok(following.priceLimit + following.closeOutFee <= following.maintenanceMargin, `slot ${slot}: margins`);
    assert.equal(following.centre, market.settlementPrice);
  });
}

/** Opens the next day: layers pay in their order, only what is missing, and who kept to the rules pays nothing. */
export async function openDay(world: World, open: () => Promise<TransactionReceipt>): Promise<void> {
  const { books, exchange } = world;
  const { state } = exchange;
  await step(world, "the opening", async () => {
    const before = await readConservationFacts(state, world.unasked);
    const next = state.markets(state.epoch + 1);
    const { operator } = world;
    const expected = bookOpening(books, before, next, operator.address);
    const receipt = await open();
    await follow(world);
    bookDefaults(world, receipt);
    if (world.clearing) {
      assert.deepEqual(stepsIn(receipt), expected.steps, "steps of the waterfall");
      const { buckets } = await readConservationFacts(state, world.unasked);
      assert.equal(buckets.poolCash, expected.poolCash, "poolCash");
      assert.equal(buckets.claims, expected.claims, "claims");
      countRatio(world, "at the opening");
      const { cash, positions } = world.residual;
      const loss = pricesNow(world).reduce((sum, price, slot) => sum + (positions[slot] ?? 0n) * price, cash);
      // Accounts that nobody answers for lost more than their fees: the pool alone knows, and says so when it is empty.
      if (loss < 0n && books.ratio === WHOLE) count(world, "loss hidden in the pool");
      if (books.ratio < WHOLE) {
        assert.deepEqual([books.guarantyFund, stakeOf(books, operator.address)], [0n, 0n], "layers before the ratio");
      }
      await changeOperator(world, receipt);
    }
    return new Map();
  });
}

function stepsIn(receipt: TransactionReceipt): readonly Step[] {
  return parseEventLogs({ abi: clearingHouseAbi, logs: receipt.logs, eventName: "WaterfallStep" }).map(
    ({ args: { layer, need, toAccount, toPool } }) => ({ layer, need, toAccount, toPool }),
  );
}

/** Before the seconds and the blocks of the window are over nobody opens the day, nor begins its renewals. */
export async function hurryInVain(world: World): Promise<void> {
  const { chain, owner } = world.exchange;
  await isRefused(
    () => call(chain, owner, { functionName: "openEpoch", args: [] }),
    "TooEarly",
    "RenewalsNotBegun",
    "BlocksMissing",
  );
  count(world, "opening too early refused");
}

/** The chain stands still for hours or days. */
export async function halt(world: World, where: string): Promise<void> {
  await world.exchange.advanceTime(3_600 * (1 + world.chance.int(100)));
  count(world, `halt in ${where}`);
}

// ------------------------------------------------------------------ governance

/** Governance schedules new terms for a market, another contract, or another operator. */
export async function stepGovernance(world: World): Promise<void> {
  await step(world, "governance", async () => {
    if (world.chance.happens(15)) await scheduleOperator(world);
    else await scheduleTerms(world);
    return new Map();
  });
}

async function scheduleTerms(world: World): Promise<void> {
  const { chance, exchange } = world;
  const { client } = exchange.chain;
  const address = exchange.deployed.registry;
  const slot = chance.int(4);
  const read = { address, abi: marketRegistryAbi } as const;
  const running = await client.readContract({ ...read, functionName: "termsOf", args: [slot] });
  const now = await exchange.now();
  const ended = running.lastTradingTime <= now;
  const most = chance.happens(50) ? running.closeOutFee : running.expandedLimit;
  const expandedLimit = chance.between(600n * DOLLAR, most, TICK);
  const closeOutFee = chance.between(expandedLimit, expandedLimit + 600n * DOLLAR, TICK);
  const maintenanceMargin = expandedLimit + closeOutFee + chance.between(0n, 400n * DOLLAR, TICK);
  const least = maintenanceMargin > running.closeOutFee ? maintenanceMargin : running.closeOutFee;
  const terms = {
    ...running,
    expandedLimit,
    priceLimit: chance.between(500n * DOLLAR, expandedLimit, TICK),
    closeOutFee,
    maintenanceMargin,
    initialMargin: least + chance.between(0n, 400n * DOLLAR, TICK),
    ...(ended && {
      contractId: numberToHex(now, { size: 32 }),
      lastTradingTime: now + BigInt((2 + chance.int(4)) * 30_000),
    }),
  };
  const data = encodeFunctionData({ abi: marketRegistryAbi, functionName: "scheduleMarket", args: [slot, terms] });
  // What is published may come into force between the look and the call.
  const sent = await unlessRefused(["StepTooLarge", "UnknownRevert"], () =>
    sendCall(client, exchange.owner, { to: address, data }),
  );
  count(world, sent === undefined ? "terms refused" : ended ? "new contract scheduled" : "terms scheduled");
}

async function scheduleOperator(world: World): Promise<void> {
  const { exchange, books } = world;
  if (books.nextOperator !== undefined) return;
  const sender = await exchange.fundedSender(1_000_000n * DOLLAR);
  const args = [sender.address] as const;
  const data = encodeFunctionData({ abi: marketRegistryAbi, functionName: "scheduleOperator", args });
  const receipt = await sendCall(exchange.chain.client, exchange.owner, { to: exchange.deployed.registry, data });
  const [event] = parseEventLogs({ abi: marketRegistryAbi, logs: receipt.logs, eventName: "OperatorScheduled" });
  assert.ok(event !== undefined);
  books.nextOperator = { sender, effectiveAt: event.args.effectiveAt };
  count(world, "operator scheduled");
}

async function changeOperator(world: World, { blockNumber }: TransactionReceipt): Promise<void> {
  const { nextOperator } = world.books;
  const { timestamp } = await world.exchange.chain.client.getBlock({ blockNumber });
  if (nextOperator === undefined || timestamp < nextOperator.effectiveAt) return;
  world.operator = nextOperator.sender;
  world.books.nextOperator = undefined;
  count(world, "new operator");
}

// ------------------------------------------------------------------ stakes

/** Somebody puts something up, asks for it back, or takes it out on the one day on which it may. */
export async function stepStake(world: World): Promise<void> {
  const { books, chance, exchange, traders } = world;
  const { chain, state } = exchange;
  const sender = chance.happens(60) ? world.operator : (chance.pick(traders)?.sender ?? world.operator);
  const key = sender.address.toLowerCase();
  await step(world, "a stake", async () => {
    const stake = books.stakes.get(key) ?? { amount: 0n, withdrawableIn: 0 };
    if (stake.amount === 0n || chance.happens(30)) {
      const amount = chance.between(1n, 400n) * DOLLAR;
      await call(chain, sender, { functionName: "stake", args: [amount] });
      books.stakes.set(key, { ...stake, amount: stake.amount + amount });
      count(world, "stake");
    } else if (stake.withdrawableIn <= state.epoch && !(stake.withdrawableIn === state.epoch && chance.happens(80))) {
      await call(chain, sender, { functionName: "requestUnstake", args: [] });
      books.stakes.set(key, { ...stake, withdrawableIn: state.epoch + 2 });
      count(world, "unstake asked for");
    } else if (stake.withdrawableIn === state.epoch && state.phase === "trading") {
      await call(chain, sender, { functionName: "unstake", args: [] });
      books.stakes.delete(key);
      count(world, "unstaked");
    } else {
      await isRefused(() => call(chain, sender, { functionName: "unstake", args: [] }), "NotUnstakable");
      count(world, "unstake too early refused");
    }
    return new Map();
  });
}

// ------------------------------------------------------------------ early close

/** Anybody asks for an early close: it is granted where all late trades are at a limit, and only moves the time. */
export async function stepCloseEarly(world: World): Promise<void> {
  const { exchange, chance } = world;
  const { chain, state, terms } = exchange;
  const slot = chance.int(4);
  await step(world, "an early close", async () => {
    const before = await chain.house.read.epochOf([state.epoch]);
    const receipt = await unlessRefused(["NotLocked", "NotMovable", "TooEarly", "MarketNotListed"], () =>
      call(chain, exchange.owner, { functionName: "closeEarly", args: [slot] }),
    );
    if (receipt === undefined) return new Map();
    count(world, "early close");
    const { timestamp } = await chain.client.getBlock({ blockNumber: receipt.blockNumber });
    const market = state.markets(state.epoch)[slot];
    assert.ok(market !== undefined);
    const late = state.fills.filter(
      (fill) =>
        fill.slot === slot && fill.epoch === state.epoch && fill.execTime >= timestamp - BigInt(terms.lockTime) + 60n,
    );
    const limit = late[0]?.price ?? market.centre + market.priceLimit;
    assert.ok([market.centre + market.priceLimit, market.centre - market.priceLimit].includes(limit), "at a limit");
    assert.ok(
      late.every(({ price }) => price === limit),
      "nothing else traded",
    );
    const { closingTime } = await chain.house.read.epochOf([state.epoch]);
    assert.equal(closingTime, timestamp + BigInt(terms.lockNotice));
    assert.ok(closingTime < before.closingTime);
    return new Map();
  });
}

// ------------------------------------------------------------------ auction

/** Some ticket bids for what drop-outs left, in the window's part A. */
export async function stepAuction(world: World): Promise<void> {
  const { books, chance, exchange } = world;
  const { chain, state, terms } = exchange;
  const { epoch } = state;
  const [, , positions] = await chain.house.read.openPositions();
  const open = presentSeats(world).flatMap((trader) =>
    trader.account.state.tickets
      .filter((ticket) => ticket.epoch === epoch && (positions[ticket.slot] ?? 0n) !== 0n)
      .map((ticket) => ({ trader, ticket })),
  );
  const chosen = chance.pick(open);
  if (chosen === undefined) return;
  const { trader, ticket } = chosen;
  const position = positions[ticket.slot] ?? 0n;
  const market = state.markets(epoch)[ticket.slot];
  const next = state.markets(epoch + 1)[ticket.slot];
  assert.ok(market !== undefined && next !== undefined);
  const wanted = BigInt(1 + chance.int(6)) * (position > 0n ? 1n : -1n);
  const patience = chance.happens(20) ? -market.closeOutFee / 2n : market.closeOutFee;
  const limitPrice = market.settlementPrice + (position > 0n ? patience : -patience);
  const bid = { ticketId: ticket.ticketId, quantity: Number(wanted), limitPrice };
  await step(world, `a bid of trader ${trader.number}`, async (): Promise<Gains> => {
    const key = sessionPrivateKey(trader.account.keys.spendingKey, ticket.noteIndex, ticket.keyIndex);
    const signed = { bid, signature: await signBid(chain.domain, bid, key) };
    const refusals = ["TicketBelowMargin", "NotReducing", "NothingToTake", "BeyondOrder", "BidUsed"];
    const receipt = await unlessRefused(refusals, () => takeAbandoned(chain, exchange.owner, signed));
    if (receipt === undefined) {
      count(world, "bid refused");
      return new Map();
    }
    const [event] = parseEventLogs({ abi: clearingHouseAbi, logs: receipt.logs, eventName: "AbandonedTaken" });
    assert.ok(event !== undefined);
    const { closedAt } = await chain.house.read.epochOf([epoch]);
    const { timestamp } = await chain.client.getBlock({ blockNumber: receipt.blockNumber });
    const quantity = BigInt(event.args.quantity);
    assert.equal(quantity, position > 0n === position > wanted ? wanted : position);
    const { price } = event.args;
    assert.equal(price, auctionPriceAt(market, position, timestamp - closedAt, BigInt(terms.windowA)));
    const [cash, held] = [ticket.cash - quantity * price, ticket.position + quantity];
    assert.ok(equityInBand(cash, held, next.centre, next.initialMargin) >= 0n, "whoever takes over can bear it");
    bookAbandoned(books, ticket.slot, quantity * price, -quantity);
    count(world, "taken over");
    await isRefused(() => takeAbandoned(chain, exchange.owner, signed), "BidUsed");
    return new Map([[trader, quantity * (market.settlementPrice - price)]]);
  });
}
