import { createWalletClient, encodeFunctionData, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { deployWithLibraries } from "../chain/artifacts.ts";
import { ChainState } from "../chain/chainState.ts";
import {
  publicClientOf,
  readDayState,
  type Fill,
  type ProvenTransition,
  type SignedOrder,
  type Sender,
  senderOf,
  submitBatch,
  submitTransitions,
} from "../chain/clearingHouse.ts";
import type { MarketTerms } from "../chain/deploy.ts";
import { type LocalExchange, startLocalExchange } from "../chain/localExchange.ts";
import { sendCall } from "../chain/sending.ts";
import { marketRegistryAbi } from "../protocol/abi.ts";
import type { Hex } from "../protocol/keys.ts";
import type { Proof } from "../protocol/proof.ts";
import { publicSignals } from "../protocol/statement.ts";
import { createProver, type Prover, ProverRefused } from "../prover/prover.ts";
import { Books } from "./books.ts";
import { type Chance, chanceOf } from "./chance.ts";
import { CLEARING_TERMS, DAY, GOVERNANCE_DELAY } from "./terms.ts";
import type { Trader } from "./traders.ts";

/** Transitions that one transaction carries. */
export const BATCH = 32;
/** Fills that one transaction carries. */
const FILLS = 32;
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
  readonly prover: Pick<Prover, "prove">;
  /** Opening of the first day, unix seconds. */
  readonly beginning: bigint;
  readonly signal: AbortSignal | undefined;
  stop(): Promise<void>;
};

/** How a world starts. */
export type WorldPlan = {
  readonly markets: readonly MarketTerms[];
  readonly seed: number;
  readonly unproven: boolean;
  readonly signal?: AbortSignal | undefined;
};

/** Tokens that everybody's money comes from. */
const ALL_TOKENS = 10n ** 30n;

/** Starts a local chain with a clearing house. Throws LocalNodeError, DeploymentFailed. */
export async function startWorld({ markets, seed, unproven, signal }: WorldPlan): Promise<World> {
  const exchange = await startLocalExchange({
    clearingTerms: CLEARING_TERMS,
    markets,
    governanceDelay: GOVERNANCE_DELAY,
    prepare: async (url, deployerKey) =>
      unproven ? { libraries: { BatchVerifier: await deployUnproven(url, deployerKey) } } : {},
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
    return {
      exchange,
      state,
      operator: senderOf(url, chain.chainId, operatorKey),
      owner: senderOf(url, chain.chainId, ownerKey),
      bank,
      chance: chanceOf(seed),
      books: new Books(state),
      traders: [],
      prover: prover ?? noProver,
      beginning: openedAt,
      signal,
      stop,
    };
  } catch (error) {
    await prover?.close();
    await exchange.stop();
    throw error;
  }
}

async function deployUnproven(url: string, privateKey: Hex): Promise<Hex> {
  const client = publicClientOf(url, await publicClientOf(url, 0).getChainId());
  const wallet = createWalletClient({
    account: privateKeyToAccount(privateKey),
    chain: client.chain,
    transport: http(url),
  });
  return (await deployWithLibraries(wallet, client, "UnprovenVerifier")).address;
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

/** Reads the chain for these traders, and checks every sum. Throws NotConserved. */
export async function settleStep(world: World, touched: readonly Trader[]): Promise<void> {
  world.signal?.throwIfAborted();
  await world.state.sync();
  for (const { account } of touched) account.applyChain();
  await world.books.check(world.traders);
}

/** A transition and who makes it. */
export type Planned = { readonly trader: Trader; readonly transition: ProvenTransition };

/**
 * Proves for many, one after the other; undefined answers and those that the account cannot pay are left out.
 * Throws what proving throws otherwise.
 */
export async function proveAll(
  world: World,
  traders: readonly Trader[],
  making: (trader: Trader) => Promise<ProvenTransition> | undefined,
): Promise<readonly Planned[]> {
  const planned: Planned[] = [];
  for (const trader of traders) {
    world.signal?.throwIfAborted();
    try {
      const transition = await making(trader);
      if (transition !== undefined) planned.push({ trader, transition });
    } catch (error) {
      if (!(error instanceof ProverRefused && error.rule === "InsolventTransition")) throw error;
    }
  }
  return planned;
}

/** Posts transitions in the operator's batches and settles the step. */
export async function postAll(world: World, planned: readonly Planned[]): Promise<void> {
  for (let from = 0; from < planned.length; from += BATCH) {
    const part = planned.slice(from, from + BATCH);
    await post(
      world,
      part.map(({ transition }) => transition),
      [],
      [],
    );
  }
  if (planned.length > 0)
    await settleStep(
      world,
      planned.map(({ trader }) => trader),
    );
}

/** Submits transitions directly and settles the step. */
export async function submitAll(world: World, planned: readonly Planned[]): Promise<void> {
  const { exchange, bank } = world;
  for (let from = 0; from < planned.length; from += BATCH) {
    const part = planned.slice(from, from + BATCH);
    await submitTransitions(
      exchange.chain,
      bank,
      part.map(({ transition }) => transition),
    );
  }
  if (planned.length > 0)
    await settleStep(
      world,
      planned.map(({ trader }) => trader),
    );
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
  { exchange, operator }: World,
  transitions: readonly ProvenTransition[],
  orders: readonly SignedOrder[],
  fills: readonly Fill[],
): Promise<void> {
  const { nextBatchNumber } = await readDayState(exchange.chain);
  await submitBatch(exchange.chain, operator, {
    batchNumber: nextBatchNumber,
    transitions,
    orders,
    fills,
    logHead: LOG_HEAD,
  });
}

/** Publishes the terms of a slot; they take effect after the registry's delay. */
export async function scheduleMarket({ exchange, owner }: World, slot: number, terms: MarketTerms): Promise<void> {
  const data = encodeFunctionData({ abi: marketRegistryAbi, functionName: "scheduleMarket", args: [slot, terms] });
  await sendCall(exchange.chain.client, owner, { to: exchange.deployed.registry, data });
}
