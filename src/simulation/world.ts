import { createWalletClient, encodeFunctionData, http, parseAbi } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { deployWithLibraries } from "../chain/artifacts.ts";
import { ChainState } from "../chain/chainState.ts";
import {
  approve,
  call,
  encodeBatch,
  type Fill,
  type ProvenTransition,
  publicClientOf,
  readDayState,
  refusalOf,
  type Sender,
  senderOf,
  type SignedOrder,
  transitionMessage,
} from "../chain/clearingHouse.ts";
import { drawFromFaucet, type MarketTerms } from "../chain/deploy.ts";
import { type LocalExchange, startLocalExchange } from "../chain/localExchange.ts";
import { clearingHouseAbi, marketRegistryAbi } from "../protocol/abi.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import type { Proof } from "../protocol/proof.ts";
import { publicSignals } from "../protocol/statement.ts";
import { createProver, type Prover, ProverRefused } from "../prover/prover.ts";
import { NothingCarried } from "../trader/account.ts";
import { Books } from "./books.ts";
import { type Chance, chanceOf } from "./chance.ts";
import { CLEARING_TERMS, DAY, GOVERNANCE_DELAY, type Stress } from "./terms.ts";
import type { Trader } from "./traders.ts";

/** Transitions that one transaction carries. */
export const BATCH = 32;
/** Fills that one transaction carries. */
const FILLS = 32;
/** The most that one transaction may take, and what a local chain is content with. */
const MOST_GAS = 16_777_216n;
const FEES = { maxFeePerGas: 10n ** 12n, maxPriorityFeePerGas: 10n ** 9n };
const LOG_HEAD: Hex = `0x${"00".repeat(32)}`;

/** Where a proof would stand if transitions were proven. The real clearing house refuses it. */
const NO_PROOF: Proof = {
  a: [0n, 0n],
  b: [
    [0n, 0n],
    [0n, 0n],
  ],
  c: [0n, 0n],
};

/** Refuses what the prover refuses, and makes no proof: for a house with the unproven verifier only. */
const noProver: Pick<Prover, "prove"> = {
  prove: (witness) => Promise.resolve({ proof: NO_PROOF, publicSignals: publicSignals(witness.statement) }),
};

/**
 * Counts what each trader's own machine would do. CPU seconds are of this thread, so proofs are not in them; nothing is
 * remembered between accounts while somebody counts.
 */
export type Meter = {
  /** After the house is deployed, after every step, and after every day. */
  readonly started: (world: World) => Promise<void>;
  readonly stepOver: (world: World) => Promise<void>;
  readonly dayOver: (world: World) => Promise<void>;
  /** A trader made a transition up to its proof, found that it cannot, signed an order, or read what is new. */
  readonly made: (trader: Trader, way: Way, transition: ProvenTransition | undefined, cpu: number) => void;
  readonly ordered: (trader: Trader, order: SignedOrder, cpu: number) => void;
  readonly followed: (trader: Trader, cpu: number) => void;
};

/** In the operator's batches, or straight to the chain. */
export type Way = "relayed" | "directly";

/** A clearing house on a local chain with all its traders, and everything that is known of it. */
export type World = {
  readonly exchange: LocalExchange;
  readonly state: ChainState;
  readonly operator: Sender;
  /** Governs the registry. */
  readonly owner: Sender;
  /** Sends everybody's direct calls and pays their deposits: on a real chain each would use a fresh address. */
  readonly bank: Sender;
  readonly chance: Chance;
  readonly books: Books;
  readonly traders: Trader[];
  /** Tickets that nobody thinks of any more before their day is over. */
  readonly forgotten: Set<Hex>;
  readonly stress: Stress;
  readonly prover: Pick<Prover, "prove">;
  /** Opening of the first day, unix seconds. */
  readonly beginning: bigint;
  readonly signal: AbortSignal | undefined;
  readonly meter: Meter | undefined;
  stop(): Promise<void>;
};

/** How a world starts. */
export type WorldPlan<T> = {
  /** Feeds of final prices to deploy. */
  readonly feeds: number;
  /** The first markets, once the addresses of the feeds are known, and whatever goes with them. */
  readonly list: (feeds: readonly Hex[]) => { readonly terms: readonly MarketTerms[]; readonly listing: T };
  readonly seed: number;
  readonly unproven: boolean;
  readonly stress: Stress;
  readonly signal?: AbortSignal | undefined;
  readonly meter?: Meter | undefined;
};

/** Tokens that everybody's money comes from. */
const ALL_TOKENS = 10n ** 30n;

/** Starts a local chain with a clearing house. Throws LocalNodeError, DeploymentFailed, and what `list` throws. */
export async function startWorld<T>(plan: WorldPlan<T>): Promise<{ readonly world: World; readonly listing: T }> {
  const { unproven, seed, stress, signal } = plan;
  let listing: T | undefined;
  // Filled when the feeds stand, just before the house is deployed.
  const markets: MarketTerms[] = [];
  const exchange = await startLocalExchange({
    clearingTerms: CLEARING_TERMS,
    markets,
    governanceDelay: GOVERNANCE_DELAY,
    prepare: async (url, deployerKey) => {
      const deploy = await deployer(url, deployerKey);
      const feeds: Hex[] = [];
      for (let slot = 0; slot < plan.feeds; slot++) feeds.push(await deploy("PriceFeed"));
      const first = plan.list(feeds);
      listing = first.listing;
      markets.push(...first.terms);
      return unproven ? { libraries: { BatchVerifier: await deploy("UnprovenVerifier") } } : {};
    },
  });
  let prover: Prover | undefined;
  try {
    prover = unproven ? undefined : await createProver();
    const { url, chain, operatorKey, ownerKey } = exchange;
    const state = await ChainState.follow(chain);
    const bank = await exchange.fundedSender(ALL_TOKENS);
    const { openedAt } = await chain.house.read.epochOf([1]);
    const stop = async (): Promise<void> => {
      await prover?.close();
      await exchange.stop();
    };
    const world: World = {
      exchange,
      state,
      operator: senderOf(url, chain.chainId, operatorKey),
      owner: senderOf(url, chain.chainId, ownerKey),
      bank,
      chance: chanceOf(seed),
      books: new Books(state),
      traders: [],
      forgotten: new Set(),
      stress,
      prover: prover ?? noProver,
      beginning: openedAt,
      signal,
      meter: plan.meter,
      stop,
    };
    if (listing === undefined) throw new HedgerowError("NothingListed", "the house was deployed without its markets");
    return { world, listing };
  } catch (error) {
    await prover?.close();
    await exchange.stop();
    throw error;
  }
}

/** Deploys contracts without arguments by their names. */
async function deployer(url: string, privateKey: Hex): Promise<(name: string) => Promise<Hex>> {
  const client = publicClientOf(url, await publicClientOf(url, 0).getChainId());
  const account = privateKeyToAccount(privateKey);
  const wallet = createWalletClient({ account, chain: client.chain, transport: http(url) });
  return async (name) => (await deployWithLibraries(wallet, client, name)).address;
}

// ------------------------------------------------------------------ time

/** The opening of a day by the calendar of the simulation, unix seconds. Days count from 0. */
export function openingOf({ beginning }: World, day: number): bigint {
  return beginning + BigInt(day * DAY);
}

/** Moves the chain's clock forward to a time, if it is not there yet. */
export async function advanceTo({ exchange }: World, time: bigint): Promise<void> {
  const now = await exchange.now();
  if (now < time) await exchange.advanceTime(Number(time - now));
}

// ------------------------------------------------------------------ steps

/**
 * Reads the chain for these traders, and checks every sum; `book` is told once the chain is read, before the check.
 * Throws NotConserved.
 */
export async function settleStep(world: World, touched: readonly Trader[], book?: () => void): Promise<void> {
  world.signal?.throwIfAborted();
  await world.state.sync();
  book?.();
  for (const trader of touched) {
    const start = cpuSeconds();
    trader.account.applyChain();
    world.meter?.followed(trader, cpuSeconds() - start);
  }
  await world.books.check(world.traders);
  await world.meter?.stepOver(world);
}

/**
 * Proves for many and hands the transitions over in batches, each while the next is being proven, then settles the step:
 * in the operator's batches, or directly. Returns those that were proven; who cannot pay is left out.
 */
export async function actAll(
  world: World,
  way: Way,
  traders: readonly Trader[],
  making: (trader: Trader) => Promise<ProvenTransition | undefined> | undefined,
  book?: () => void,
): Promise<readonly Trader[]> {
  const acted: Trader[] = [];
  let part: ProvenTransition[] = [];
  let sending: Promise<void> = Promise.resolve();
  const handOver = async (): Promise<void> => {
    await sending;
    if (part.length > 0) sending = way === "relayed" ? post(world, part, [], []) : submit(world, part);
    // Whoever awaits it next hears of it.
    sending.catch(() => undefined);
    part = [];
  };
  for (const trader of traders) {
    world.signal?.throwIfAborted();
    const start = cpuSeconds();
    const asked = making(trader);
    const transition = await provable(asked);
    if (asked !== undefined) world.meter?.made(trader, way, transition, cpuSeconds() - start);
    if (transition === undefined) continue;
    acted.push(trader);
    part.push(transition);
    if (part.length === BATCH) await handOver();
  }
  await handOver();
  await sending;
  if (acted.length > 0) await settleStep(world, acted, book);
  return acted;
}

/** What is proven, or undefined where the account cannot pay for it. Throws what it throws otherwise. */
export async function provable<T>(making: Promise<T> | undefined): Promise<T | undefined> {
  try {
    return await making;
  } catch (error) {
    if (error instanceof NothingCarried) return undefined;
    if (error instanceof ProverRefused && error.rule === "InsolventTransition") return undefined;
    throw error;
  }
}

/** CPU seconds that this thread has used. */
export function cpuSeconds(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000_000;
}

/** A trade between two signed orders. */
export type Match = {
  readonly maker: SignedOrder;
  readonly taker: SignedOrder;
  readonly quantity: bigint;
  readonly price: bigint;
  readonly execTime: bigint;
};

/** Posts trades, in the order of their times. */
export async function postFills(world: World, matches: readonly Match[]): Promise<void> {
  let { lastSeq } = await readDayState(world.exchange.chain);
  for (let from = 0; from < matches.length; from += FILLS) {
    const part = matches.slice(from, from + FILLS);
    const orders = [...new Set(part.flatMap(({ maker, taker }) => [maker, taker]))];
    const place = new Map(orders.map((order, i) => [order, i]));
    const fills = part.map(({ maker, taker, quantity, price, execTime }): Fill => {
      lastSeq += 1n;
      const sides = { maker: place.get(maker) ?? 0, taker: place.get(taker) ?? 0 };
      return { ...sides, quantity: Number(quantity), price, seq: lastSeq, n: 0, makerPrioritySeq: 0n, execTime };
    });
    await post(world, [], orders, fills);
  }
}

async function post(
  world: World,
  transitions: readonly ProvenTransition[],
  orders: readonly SignedOrder[],
  fills: readonly Fill[],
): Promise<void> {
  const { exchange, operator } = world;
  const { nextBatchNumber } = await readDayState(exchange.chain);
  const batch = { batchNumber: nextBatchNumber, transitions, orders, fills, logHead: LOG_HEAD };
  await send(world, operator, encodeBatch(batch));
}

function submit(world: World, transitions: readonly ProvenTransition[]): Promise<void> {
  const args = [transitions.map(transitionMessage), transitions.map(({ proof }) => proof)] as const;
  return send(
    world,
    world.bank,
    encodeFunctionData({ abi: clearingHouseAbi, functionName: "submitTransitions", args }),
  );
}

/**
 * Sends a call with all the gas that a transaction may have. The local chain mines it at once and answers with the
 * refusal where there is one; asking for an estimate first would run each call several times. Throws ContractRefused.
 */
export async function send({ exchange }: World, sender: Sender, data: Hex, to: Hex = exchange.chain.address) {
  try {
    await sender.wallet.sendTransaction({ to, data, gas: MOST_GAS, ...FEES });
  } catch (error) {
    throw refusalOf(error);
  }
}

/** Opens a trader's seat; the bank pays the bond. */
export async function openSeatFor(world: World, { account }: Trader): Promise<void> {
  const args = [account.keys.ownerKey] as const;
  await send(world, world.bank, encodeFunctionData({ abi: clearingHouseAbi, functionName: "openSeat", args }));
}

/** Deposits an amount for a trader, under a fresh key. */
export async function depositFor(world: World, { account }: Trader, amount: bigint): Promise<void> {
  const args = [amount, account.newCreditKey()] as const;
  await send(world, world.bank, encodeFunctionData({ abi: clearingHouseAbi, functionName: "deposit", args }));
}

/** The operator puts an amount of its own at stake. */
export async function stakeAsOperator({ exchange, operator }: World, amount: bigint): Promise<void> {
  const { url, deployed, operatorKey, chain } = exchange;
  await drawFromFaucet(url, deployed.token, operatorKey, operator.address, amount);
  await approve(chain, operator, amount);
  await call(chain, operator, { functionName: "stake", args: [amount] });
}

/** Decimals of a feed's answers. */
export const FEED_DECIMALS = 8;
const FEED_ABI = parseAbi(["function publish(int256 answer, uint256 updatedAt)"]);

/** Lets a feed say what a contract is worth at its end. */
export async function publishAnswer(world: World, feed: Hex, answer: bigint): Promise<void> {
  const args = [answer, await world.exchange.now()] as const;
  await send(world, world.owner, encodeFunctionData({ abi: FEED_ABI, functionName: "publish", args }), feed);
}

/** Publishes the terms of a slot; they take effect after the registry's delay. */
export async function scheduleMarket(world: World, slot: number, terms: MarketTerms): Promise<void> {
  const data = encodeFunctionData({ abi: marketRegistryAbi, functionName: "scheduleMarket", args: [slot, terms] });
  await send(world, world.owner, data, world.exchange.deployed.registry);
}
