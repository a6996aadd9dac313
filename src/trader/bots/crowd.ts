import { existsSync } from "node:fs";
import { join } from "node:path";
import { sha256 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { entropyToMnemonic } from "@scure/bip39";
import { wordlist } from "@scure/bip39/wordlists/english.js";
import type { ReceiptCheck } from "../../api/client.ts";
import { ChainState } from "../../chain/chainState.ts";
import { connect, type NodeOptions, operatorOf } from "../../chain/clearingHouse.ts";
import { LOCAL_CHAIN_ID } from "../../chain/deploy.ts";
import { HedgerowError } from "../../protocol/errors.ts";
import { addressOf, newSeedPhrase } from "../../protocol/keys.ts";
import type { Prover } from "../../prover/prover.ts";
import { type Connections, directConnections, proxiedConnections } from "../connections.ts";
import { TraderDesk } from "../desk.ts";
import { pauseFor } from "../desk/reach.ts";
import { fillFromFaucet } from "../faucet.ts";
import { ensurePrivateDirectory } from "../files.ts";
import type { Network } from "../home.ts";
import { findMarket } from "../markets.ts";
import { type Proxy, proxyAt } from "../proxy.ts";
import { createWallet, openWallet, type Wallet } from "../store.ts";
import { keystoreFile } from "../walletFiles.ts";
import { chanceOf } from "./chance.ts";
import { type BotConfig, botsOf, brainFor, type CrowdConfig, stakeOf } from "./config.ts";
import { MarketFeed } from "./feed.ts";
import { type BotReport, BotRunner } from "./runner.ts";

/** What a crowd is made of. */
export type CrowdParts = {
  readonly network: Network;
  readonly config: CrowdConfig;
  /** Home directory: the wallets are in a directory of it that the configuration names. */
  readonly home: string;
  /** Opens the bots' wallets. On a local chain there is one for all who do not care. */
  readonly password?: string | undefined;
  readonly prover: Pick<Prover, "prove">;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((text: string) => void) | undefined;
};

/** What a bot has done. `fees`: what the chain has taken for fills and relays; undefined where it cannot be asked. */
export type BotResult = BotReport & { readonly fees: bigint | undefined };

/** What a crowd has done. Amounts in base units; `fees`: those of all bots, where all are known. */
export type CrowdSummary = {
  readonly seconds: number;
  readonly bots: readonly BotResult[];
  readonly commands: number;
  readonly commandsPerSecond: number;
  readonly fills: number;
  readonly contracts: number;
  readonly refusals: Readonly<Record<string, number>>;
  readonly profit: bigint;
  readonly fees: bigint | undefined;
  readonly openTickets: number;
};

/** A crowd that trades. */
export type Crowd = {
  readonly reports: () => readonly BotReport[];
  readonly seconds: () => number;
  /** Cancels all quotes, closes the tickets unless `hurry` is aborted, and lets everything go. */
  readonly stop: (hurry?: AbortSignal) => Promise<CrowdSummary>;
};

/** Wallets of a chain where money has a value are opened with a password of their owner's. */
export class WalletPasswordMissing extends HedgerowError {
  constructor(network: string) {
    super(
      "WalletPasswordMissing",
      `network "${network}" is no local chain, and its bots' wallets need a password: give --password-file`,
      { network },
    );
  }
}

type Bot = {
  readonly config: BotConfig;
  readonly wallet: Wallet;
  readonly desk: TraderDesk;
  readonly slot: number;
  /** The way to the node. */
  readonly node: NodeOptions | undefined;
};

/** A local chain's money has no value: neither its password nor its keystore's strength has to keep anybody out. */
const LOCAL_PASSWORD = "bots of a local chain";
const LOCAL_SCRYPT_N = 1 << 12;
/** How often it is looked whether the next day has begun. Milliseconds. */
const WINDOW_LOOK_MS = 1_000;
/** The exchange is at the end of its day, whatever the chain shows. */
const DAY_ENDS: ReadonlySet<string> = new Set(["WrongPhase", "DayEnding"]);

/**
 * Opens wallets, funds accounts and lets the bots trade, in this process, over one reading of the chain and one prover
 * (spec BOT-16). Throws WalletPasswordMissing, UnknownMarket, BadAmount, and what wallets, chain and exchange throw.
 */
export async function startCrowd(parts: CrowdParts): Promise<Crowd> {
  const { network, config, onProgress } = parts;
  const { seed, stepMs } = config;
  const proxy = network.proxy === undefined ? undefined : proxyAt(network.proxy);
  const closers: (() => void | Promise<void>)[] = [() => proxy?.close()];
  const closeAll = async (): Promise<void> => {
    for (const close of closers.reverse()) await close();
  };
  try {
    const reading = await connect(network.chain, network.clearingHouse, network.chainId, proxy?.node());
    onProgress?.("reading the chain");
    const chain = await ChainState.follow(reading, BigInt(network.fromBlock));
    await chain.sync();
    const operator = network.operator ?? (await operatorOf(reading));
    const connectOne = (): Connections => connectionsOf(network, proxy, { domain: reading.domain, operator });

    const bots: Bot[] = [];
    const list = botsOf(config);
    for (const bot of list) {
      parts.signal?.throwIfAborted();
      onProgress?.(`opening wallets: ${bots.length + 1} of ${list.length}`);
      const { slot } = findMarket(chain.markets(chain.epoch), bot.market ?? config.market);
      const wallet = await walletOf(parts, bot.name);
      closers.push(() => wallet.close());
      const desk = await TraderDesk.open({
        wallet,
        network,
        chain,
        prover: parts.prover,
        connections: connectOne(),
        ...(proxy !== undefined && { node: proxy.node() }),
      });
      closers.push(() => desk.close());
      bots.push({ config: bot, wallet, desk, slot, node: proxy?.node() });
    }
    await fundAll(parts, bots);

    const common = connectOne();
    closers.push(() => common.close());
    const slots = bots.map(({ slot }) => slot);
    const feed = await MarketFeed.open(common.common, slots);
    closers.push(() => feed.close());
    const runners = bots.map((each) => {
      const { config: bot, wallet, desk, slot } = each;
      const { tick } = desk.account.market(slot);
      const receipts = wallet.receipts(reading);
      return new BotRunner({
        ...bot,
        slot,
        brain: brainFor(bot, { tick, decimals: network.decimals }),
        chance: chanceOf(seed, bot.name),
        desk,
        feed,
        ordersPerSecond: bot.ordersPerSecond ?? config.ordersPerSecond,
        stepMs,
        keepReceipts: (kept) => receipts.append(kept),
        rejoin: () => rejoin(parts, each),
      });
    });
    const firstEpoch = chain.epoch;
    const firstBlock = await reading.client.getBlockNumber();
    const started = performance.now();
    for (const runner of runners) runner.start();
    const seconds = (): number => (performance.now() - started) / 1_000;
    return {
      reports: () => runners.map(({ report }) => report),
      seconds,
      stop: async (hurry) => {
        const passed = seconds();
        await Promise.all(runners.map((runner) => runner.stop(hurry)));
        const fees = await Promise.all(
          bots.map(({ desk }) => feesSince(desk, firstEpoch, firstBlock).catch(() => undefined)),
        );
        const reports = runners.map(({ report }) => report);
        await closeAll();
        return summaryOf(reports, fees, passed);
      },
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

function connectionsOf({ exchange }: Network, proxy: Proxy | undefined, verify: ReceiptCheck): Connections {
  return proxy === undefined
    ? directConnections(exchange, { verify })
    : proxiedConnections(exchange, proxy, { verify });
}

/** The wallet of a bot; made when it is not there: from the seed on a local chain, otherwise from chance. */
async function walletOf({ network, config, home, password }: CrowdParts, name: string): Promise<Wallet> {
  const isLocal = network.chainId === LOCAL_CHAIN_ID;
  const secret = password ?? (isLocal ? LOCAL_PASSWORD : undefined);
  if (secret === undefined) throw new WalletPasswordMissing(network.name);
  const directory = join(home, config.wallets, name);
  ensurePrivateDirectory(join(home, config.wallets));
  if (existsSync(keystoreFile(directory))) return openWallet(directory, secret);
  if (!isLocal) return createWallet(directory, newSeedPhrase(), secret);
  const entropy = sha256(utf8ToBytes(`hedgerow/bots/${config.seed}/${name}`));
  return createWallet(directory, entropyToMnemonic(entropy, wordlist), secret, { scryptN: LOCAL_SCRYPT_N });
}

/** Brings the accounts up to their stakes, all at a time. In the settlement window it waits for the next day. */
async function fundAll(parts: CrowdParts, bots: readonly Bot[]): Promise<void> {
  const { signal, onProgress } = parts;
  let done = 0;
  let waits = false;
  const results = await Promise.allSettled(
    bots.map(async (bot) => {
      while (!(await isFunded(parts, bot))) {
        if (!waits) onProgress?.("waiting for the next trading day");
        waits = true;
        await pauseFor(WINDOW_LOOK_MS, signal);
      }
      done += 1;
      onProgress?.(`funding accounts: ${done} of ${bots.length}`);
    }),
  );
  for (const result of results) if (result.status === "rejected") throw result.reason;
}

/** Tops an account up that lacks a tenth of its stake. False: money moves in the trading day only. */
async function isFunded(parts: CrowdParts, bot: Bot): Promise<boolean> {
  const { network, signal } = parts;
  const { config, desk } = bot;
  const faucet = network.chainId === LOCAL_CHAIN_ID;
  const run = signal === undefined ? {} : { signal };
  await desk.account.sync();
  const { epoch, phase } = desk.chain;
  if (phase !== "trading") return false;
  try {
    await desk.run("catchUp", {}, run);
    if (desk.account.status.status === "inDefault") await rejoin(parts, bot);
    const { tickets, credits } = desk.account.state;
    if (tickets.length > 0) {
      await desk.run("closeTickets", { tickets: tickets.map(({ ticketId }) => ticketId) }, run);
    }
    // What was deposited before, and not taken in.
    if (credits.length > 0) await desk.run("fund", {}, run);
    const stake = stakeOf(config, network.decimals);
    const missing = stake - desk.account.equity();
    if (missing > stake / 10n) await desk.run("deposit", { amount: missing.toString(), faucet }, run);
    return true;
  } catch (error) {
    if (!(error instanceof HedgerowError) || signal?.aborted === true) throw error;
    if (DAY_ENDS.has(error.code)) return false;
    // What was proven in one day is refused in the next.
    await desk.account.sync();
    if (desk.chain.epoch === epoch && desk.chain.phase === phase) throw error;
    return false;
  }
}

/** Brings an account back that missed a renewal while its bot was away. */
async function rejoin({ network, signal }: CrowdParts, { desk, wallet, node }: Bot): Promise<void> {
  if (network.chainId === LOCAL_CHAIN_ID) {
    const { seatBond, lateFee } = await desk.chain.chain.house.read.clearingTerms();
    const bond = seatBond > lateFee ? seatBond : lateFee;
    await fillFromFaucet(network, addressOf(wallet.fundingKey()), bond, node);
  }
  await desk.run("seat", { action: "rejoin" }, signal === undefined ? {} : { signal });
}

/** What the chain has taken from an account since a block: fees of fills on its tickets, and of its transitions. */
async function feesSince(desk: TraderDesk, fromEpoch: number, block: bigint): Promise<bigint> {
  const entries = await desk.run("history", { fromEpoch });
  return entries.reduce((sum, entry) => (BigInt(entry.block) > block ? sum + BigInt(entry.fee) : sum), 0n);
}

function summaryOf(
  reports: readonly BotReport[],
  fees: readonly (bigint | undefined)[],
  seconds: number,
): CrowdSummary {
  const refusals: Record<string, number> = {};
  for (const report of reports) {
    for (const [code, count] of Object.entries(report.refusals)) refusals[code] = (refusals[code] ?? 0) + count;
  }
  const sum = (of: (report: BotReport) => number): number => reports.reduce((total, report) => total + of(report), 0);
  const commands = sum(({ commands: each }) => each);
  return {
    seconds,
    bots: reports.map((report, i) => ({ ...report, fees: fees[i] })),
    commands,
    commandsPerSecond: commands / seconds,
    fills: sum(({ fills }) => fills),
    contracts: sum(({ contracts }) => contracts),
    refusals,
    profit: reports.reduce((total, { profit }) => total + profit, 0n),
    fees: fees.reduce((total, each) => (total === undefined || each === undefined ? undefined : total + each), 0n),
    openTickets: sum(({ openTickets }) => openTickets),
  };
}
