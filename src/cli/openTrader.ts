import { existsSync } from "node:fs";
import { HedgerowError } from "../protocol/errors.ts";
import { socketPathOf } from "../trader/agent/socketPath.ts";
import type { TraderService } from "../trader/commands.ts";
import type { TraderDesk } from "../trader/desk.ts";
import { homeDirectory, type Network, readNetwork, readSettings, walletDirectory } from "../trader/home.ts";
import type { Proxy } from "../trader/proxy.ts";
import type { ViewingWallet, Wallet } from "../trader/store.ts";
import { keystoreFile, WalletNotFound } from "../trader/walletFiles.ts";
import { WrongUsage } from "./failure.ts";
import { askPassword } from "./prompt.ts";
import type { NetworkOptions, WalletOptions } from "./session.ts";
import { parsePlace } from "./values.ts";

/** No network, or no wallet, is chosen and none is named. */
export class NothingChosen extends HedgerowError {
  constructor(what: "network" | "wallet", remedy: string) {
    super("NothingChosen", `no ${what} is chosen: ${remedy}`, { what });
  }
}

/** See openNetwork in session.ts. */
export function chosenNetwork(options: NetworkOptions): Network {
  const home = homeDirectory(options.home);
  const name = options.network ?? readSettings(home).network;
  if (name === undefined) throw new NothingChosen("network", "hedgerow local starts one, --network NAME names one");
  const network = readNetwork(home, name);
  return options.proxy === undefined ? network : { ...network, proxy: options.proxy };
}

/** See walletDirectory in session.ts. */
export function chosenWallet(options: WalletOptions): string {
  const home = homeDirectory(options.home);
  const name = options.wallet ?? readSettings(home).wallet;
  if (name === undefined) throw new NothingChosen("wallet", "hedgerow wallet new makes one, --wallet NAME names one");
  return walletDirectory(home, name);
}

/** See openService in session.ts. */
export async function openTrader(options: WalletOptions): Promise<TraderService> {
  const directory = chosenWallet(options);
  const agent = await agentOf(directory, options);
  if (agent !== undefined) return agent;
  const network = chosenNetwork(options);
  const { account, delay } = options;
  parsePlace(account);
  if (!existsSync(keystoreFile(directory))) throw new WalletNotFound(directory);
  const password = await askPassword(`Password of ${directory}:`, { passwordFile: options.passwordFile });
  const { openAnyWallet } = await import("../trader/store.ts");
  // Its key is derived in a thread of its own: meanwhile this one loads what comes next.
  const [wallet] = await Promise.all([openAnyWallet(directory, password), import("../trader/desk.ts")]);
  if (wallet.kind === "viewing") return await openWatching(wallet, network, account);
  const { service } = await openDesk(wallet, network, { account, delay });
  return service;
}

/** The daemon, where one holds the wallet. It has its own network, account and proxy, and knows no delay. */
async function agentOf(directory: string, options: WalletOptions): Promise<TraderService | undefined> {
  const socket = socketPathOf(directory);
  if (!existsSync(socket)) return undefined;
  const { connectAgent } = await import("../trader/agent/client.ts");
  const agent = await connectAgent(socket);
  if (agent === undefined) return undefined;
  try {
    const { proxy, account, delay } = options;
    for (const [name, value] of Object.entries({ proxy, account, delay })) {
      if (value === undefined) continue;
      throw new WrongUsage(
        `--${name} cannot be given while an agent holds the wallet`,
        "leave it out, or stop the agent",
      );
    }
    // Amounts are read and written with the decimals of the network that is meant here.
    const meant = chosenNetwork(options).name;
    const { network } = await agent.status();
    if (network === meant) return agent;
    throw new WrongUsage(
      `the agent that holds the wallet trades on network "${network}" and not on "${meant}"`,
      `give --network ${network}, or stop the agent`,
    );
  } catch (error) {
    await agent.close();
    throw error;
  }
}

export type DeskOptions = {
  /** Place of the account in the wallet, as text. */
  readonly account?: string | undefined;
  /** As "0-30s": a random wait before anything is sent. */
  readonly delay?: string | undefined;
};

/** A desk and what it is asked through, which closes with all that belongs to it. */
export type OpenDesk = {
  readonly desk: TraderDesk;
  /** `close` may be called twice. */
  readonly service: TraderService;
};

/**
 * Opens a desk for a wallet in this process, with everything that it needs. The wallet closes with it, also where the
 * desk cannot be opened. Throws WrongUsage, BadDelay, BadProxy, ChainUnavailable, WrongChain, ProxyUnreachable.
 */
export async function openDesk(wallet: Wallet, network: Network, options: DeskOptions = {}): Promise<OpenDesk> {
  const closing: (() => unknown)[] = [() => wallet.close()];
  const close = async (): Promise<void> => {
    for (const each of closing.splice(0)) await each();
  };
  try {
    const [
      { TraderDesk },
      { ChainState },
      { connect, operatorOf },
      connections,
      { lazyProver },
      { parseDelay, randomDelay },
    ] = await Promise.all([
      import("../trader/desk.ts"),
      import("../chain/chainState.ts"),
      import("../chain/clearingHouse.ts"),
      import("../trader/connections.ts"),
      import("../trader/desk/lazyProver.ts"),
      import("../trader/delay.ts"),
    ]);
    const { account, delay } = options;
    const place = parsePlace(account);
    const range = delay === undefined ? undefined : parseDelay(delay);
    const proxy = await proxyOf(network);
    closing.unshift(() => proxy?.close());
    const prover = lazyProver();
    closing.unshift(() => prover.close());
    const chain = await connect(network.chain, network.clearingHouse, network.chainId, proxy?.node());
    const verify = { domain: chain.domain, operator: network.operator ?? (await operatorOf(chain)) };
    const ways =
      proxy === undefined
        ? connections.directConnections(network.exchange, { verify })
        : connections.proxiedConnections(network.exchange, proxy, { verify });
    closing.unshift(() => ways.close());
    const desk = await TraderDesk.open({
      wallet,
      network,
      chain: await ChainState.follow(chain, BigInt(network.fromBlock)),
      prover,
      connections: ways,
      ...(proxy !== undefined && { node: proxy.node() }),
      ...(place !== undefined && { place }),
      ...(range !== undefined && {
        beforeSending: async ({ signal, onProgress }) => {
          await randomDelay(range, { ...(signal && { signal }), ...(onProgress && { onProgress }) });
        },
      }),
    });
    return { desk, service: { run: (name, params, run) => desk.run(name, params, run), close } };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A wallet that only watches, ready for what it can be asked. Throws as openDesk does, and ViewingKeyElsewhere. */
async function openWatching(wallet: ViewingWallet, network: Network, account?: string): Promise<TraderService> {
  const proxy = await proxyOf(network);
  const close = (): Promise<void> => {
    wallet.close();
    proxy?.close();
    return Promise.resolve();
  };
  try {
    if (account !== undefined) throw new WrongUsage("a viewing key shows one account only", "leave --account out");
    const [{ connect }, { watchingService }] = await Promise.all([
      import("../chain/clearingHouse.ts"),
      import("../trader/watching.ts"),
    ]);
    const chain = await connect(network.chain, network.clearingHouse, network.chainId, proxy?.node());
    const service = await watchingService({ wallet, network, chain });
    return { run: (name, params, run) => service.run(name, params, run), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function proxyOf({ proxy }: Network): Promise<Proxy | undefined> {
  return proxy === undefined ? undefined : (await import("../trader/proxy.ts")).proxyAt(proxy);
}
