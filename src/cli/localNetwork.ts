import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTestClient, http } from "viem";
import type { MarketTerms } from "../chain/deploy.ts";
import { LOCAL_CHAIN_ID } from "../chain/deploy.ts";
import { type LocalExchange, startLocalExchange } from "../chain/localExchange.ts";
import { LOCAL_MARKETS, type LocalDay, localClearingTerms } from "../clearing/localMarkets.ts";
import { type ExchangeProcess, startExchangeProcess } from "../exchange/exchangeProcess.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Network } from "../trader/home.ts";
import { type DayTurner, type DayTurnerReport, turnDays } from "./dayTurner.ts";

/** The journal of another exchange must not be taken for that of a new one. */
export class BadDirectory extends HedgerowError {
  constructor(directory: string) {
    super("BadDirectory", `${directory} is not empty: name one that is new, as no exchange is taken up again`, {
      directory,
    });
  }
}

/** A part of the local network ended by itself. */
export class LocalNetworkEnded extends HedgerowError {
  constructor(part: string, how: string, output: string) {
    super("LocalNetworkEnded", `the ${part} ended by itself (${how}): start anew. It said last:\n${output}`, { part });
  }
}

export type LocalNetworkOptions = {
  /** Name of the network's profile. */
  readonly name?: string;
  readonly day: LocalDay;
  readonly markets?: readonly MarketTerms[];
  /** TCP ports of the chain and the exchange; free ones by default. */
  readonly chainPort?: number;
  readonly exchangePort?: number;
  /** How long things may wait for a batch, milliseconds. */
  readonly batchMs?: number;
  /** Gets the exchange's journal, and keeps it; a directory of its own that is removed at the end by default. */
  readonly directory?: string;
  readonly onDay?: DayTurnerReport;
  /** Ends the start between two of its steps. */
  readonly signal?: AbortSignal;
};

/** A chain and an exchange on this machine, each a process of its own. They end with this process. */
export type LocalNetwork = {
  readonly network: Network;
  readonly local: LocalExchange;
  readonly exchange: ExchangeProcess;
  /** Rejects with LocalNetworkEnded if a part ends by itself. */
  readonly failed: Promise<never>;
  /** Ends everything in order. May be called more than once. */
  stop(): Promise<void>;
};

/** Blocks come by time as well, so that the chain's clock goes on when nobody sends anything. */
const BLOCK_SECONDS = 2;
/** The registry's delay must be longer than a whole day (spec GOV-6). */
const WEEK = 604_800;

/**
 * Starts a local chain, deploys a clearing house, starts an exchange and turns its days over. Undefined: `signal` came
 * first, and nothing is left of it. Throws LocalNodeError, DeploymentFailed, ArtifactNotFound, NotStarted, BadDirectory.
 */
export async function startLocalNetwork(options: LocalNetworkOptions): Promise<LocalNetwork | undefined> {
  const { name = "local", day, markets = LOCAL_MARKETS, batchMs = 500, signal } = options;
  const ending: (() => Promise<unknown>)[] = [];
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopped ??= endAll(ending));
  try {
    const directory = await directoryFor(options.directory, ending);
    const clearingTerms = localClearingTerms(day);
    const local = await startLocalExchange({
      clearingTerms,
      markets,
      governanceDelay: WEEK + 2 * (day.trading + day.window),
      ...(options.chainPort !== undefined && { port: options.chainPort }),
    });
    ending.push(() => local.stop());
    if (isAborted(signal)) return await stop().then(() => undefined);
    await createTestClient({ mode: "hardhat", transport: http(local.url) }).setIntervalMining({
      interval: BLOCK_SECONDS,
    });
    const exchange = await startExchangeProcess({
      chainUrl: local.url,
      clearingHouse: local.chain.address,
      operatorKey: local.operatorKey,
      directory: join(directory, "exchange"),
      batchMs,
      ...(options.exchangePort !== undefined && { port: options.exchangePort }),
      // Everybody is on this machine, bots and many clients of one run among them.
      more: ["--connections-per-address", "2000", "--transitions-per-second", "100"],
    });
    ending.push(() => exchange.stop());
    if (isAborted(signal)) return await stop().then(() => undefined);
    const turner: DayTurner = turnDays(local.chain, await local.fundedSender(0n), options.onDay);
    ending.push(() => turner.stop());
    const failed = exchange.ended.then((how): never => {
      throw new LocalNetworkEnded("exchange", how, exchange.output().trim().split("\n").slice(-5).join("\n"));
    });
    // Whoever waits for it hears of it; nobody need.
    failed.catch(() => undefined);
    const network: Network = {
      name,
      chain: local.url,
      chainId: LOCAL_CHAIN_ID,
      clearingHouse: local.chain.address,
      fromBlock: 0,
      exchange: exchange.url,
      operator: exchange.operator,
      decimals: 6,
    };
    return { network, local, exchange, failed, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A function: TypeScript does not expect that a signal changes. */
function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

/** The last that was started ends first. What fails does not keep the others from ending. */
async function endAll(ending: readonly (() => Promise<unknown>)[]): Promise<void> {
  const faults: Error[] = [];
  for (const end of ending.toReversed()) {
    await end().catch((error: unknown) => {
      faults.push(error instanceof Error ? error : new Error("ended badly", { cause: error }));
    });
  }
  const [fault] = faults;
  if (fault !== undefined) throw fault;
}

async function directoryFor(named: string | undefined, ending: (() => Promise<unknown>)[]): Promise<string> {
  if (named === undefined) {
    const directory = await mkdtemp(join(tmpdir(), "hedgerow-local-"));
    ending.push(() => rm(directory, { recursive: true, force: true }));
    return directory;
  }
  await mkdir(named, { recursive: true, mode: 0o700 });
  if ((await readdir(named)).length > 0) throw new BadDirectory(named);
  return named;
}
