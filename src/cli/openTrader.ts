import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { Chain } from "../chain/clearingHouse.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import type { TraderService } from "../trader/commands.ts";
import { type Network, networkSchema } from "../trader/home.ts";
import { WalletNotFound } from "../trader/store.ts";
import { WrongUsage } from "./failure.ts";
import { askPassword } from "./prompt.ts";
import { homeOf, type NetworkOptions, type WalletOptions } from "./session.ts";

/** No network, or no wallet, is chosen and none is named. */
export class NothingChosen extends HedgerowError {
  constructor(what: "network" | "wallet", remedy: string) {
    super("NothingChosen", `no ${what} is chosen: ${remedy}`, { what });
  }
}

/** There is no network of that name. */
export class NetworkNotFound extends HedgerowError {
  constructor(name: string) {
    super("NetworkNotFound", `there is no network "${name}": hedgerow network list names those there are`, { name });
  }
}

/** A file of the home directory is not what this program writes. */
export class HomeDamaged extends HedgerowError {
  constructor(file: string, reason: string) {
    super("HomeDamaged", `${file} cannot be understood (${reason}): mend it, or move it away`, { file, reason });
  }
}

/** It names a directory and must not lead out of the one it is in. */
const WALLET_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

const settingsSchema = z.looseObject({ network: z.string().optional(), wallet: z.string().optional() });

/** See openNetwork in session.ts. */
export function chosenNetwork(options: NetworkOptions): Network {
  const home = homeOf(options);
  const name = options.network ?? settingsOf(home).network;
  if (name === undefined) throw new NothingChosen("network", "hedgerow local starts one, --network NAME names one");
  const file = join(home, "networks", `${name}.json`);
  if (name.includes("/") || !existsSync(file)) throw new NetworkNotFound(name);
  const network = parsed(file, networkSchema);
  return options.proxy === undefined ? network : { ...network, proxy: options.proxy };
}

/** See walletDirectory in session.ts. */
export function chosenWallet(options: WalletOptions): string {
  const home = homeOf(options);
  const name = options.wallet ?? settingsOf(home).wallet;
  if (name === undefined) throw new NothingChosen("wallet", "hedgerow wallet new makes one, --wallet NAME names one");
  if (!WALLET_NAME.test(name))
    throw new WrongUsage("--wallet is no name of a wallet", "hedgerow wallet list shows them");
  return join(home, "wallets", name);
}

/** See openService in session.ts. */
export async function openTrader(options: WalletOptions): Promise<TraderService> {
  const directory = chosenWallet(options);
  const agent = await agentOf(directory, options);
  if (agent !== undefined) return agent;
  const network = chosenNetwork(options);
  const place = placeOf(options.account);
  if (!existsSync(join(directory, "keystore.json"))) throw new WalletNotFound(directory);
  const password = await askPassword(`Password of ${directory}:`, { passwordFile: options.passwordFile });
  return await openDesk({ network, directory, password, place, delay: options.delay });
}

/** The daemon, where one holds the wallet. It has its own network, account, proxy and delay. */
async function agentOf(directory: string, options: WalletOptions): Promise<TraderService | undefined> {
  if (!existsSync(join(directory, "agent.sock"))) return undefined;
  const { connectAgent } = await import("../trader/agent/client.ts");
  const agent = await connectAgent(join(directory, "agent.sock"));
  if (agent === undefined) return undefined;
  for (const [name, value] of Object.entries({
    proxy: options.proxy,
    account: options.account,
    delay: options.delay,
  })) {
    if (value === undefined) continue;
    await agent.close();
    throw new WrongUsage(`--${name} cannot be given while an agent holds the wallet`, "stop it, or set it there");
  }
  return agent;
}

type DeskOptions = {
  readonly network: Network;
  readonly directory: string;
  readonly password: string;
  readonly place: bigint | undefined;
  /** As "0-30s": a random wait before anything is sent. */
  readonly delay: string | undefined;
};

/** Opens a wallet in this process, with everything that it needs, and closes all of it together. */
export async function openDesk({ network, directory, password, place, delay }: DeskOptions): Promise<TraderService> {
  const [
    { openWallet },
    { TraderDesk },
    { ChainState },
    { connect, senderOf },
    { directConnections, proxiedConnections },
    { lazyProver },
  ] = await Promise.all([
    import("../trader/store.ts"),
    import("../trader/desk.ts"),
    import("../chain/chainState.ts"),
    import("../chain/clearingHouse.ts"),
    import("../trader/connections.ts"),
    import("../trader/desk/lazyProver.ts"),
  ]);
  const { parseDelay, randomDelay } = await import("../trader/delay.ts");
  const range = delay === undefined ? undefined : parseDelay(delay);
  const proxy = network.proxy === undefined ? undefined : (await import("../trader/proxy.ts")).proxyAt(network.proxy);
  const wallet = await openWallet(directory, password);
  const prover = lazyProver();
  const closing: (() => unknown)[] = [() => wallet.close(), () => prover.close(), () => proxy?.close()];
  const closeAll = async (): Promise<void> => {
    for (const close of closing) await close();
  };
  try {
    const chain = await connect(network.chain, network.clearingHouse, network.chainId, proxy?.node());
    const operator = network.operator ?? (await operatorOf(chain));
    const verify = { domain: chain.domain, operator };
    const connections =
      proxy === undefined
        ? directConnections(network.exchange, { verify })
        : proxiedConnections(network.exchange, proxy, { verify });
    closing.unshift(() => connections.close());
    const desk = await TraderDesk.open({
      wallet,
      network,
      chain: await ChainState.follow(chain, BigInt(network.fromBlock)),
      prover,
      connections,
      sender: senderOf(network.chain, chain.chainId, wallet.fundingKey(), undefined, proxy?.node()),
      ...(place !== undefined && { place }),
      ...(range !== undefined && {
        beforeSending: async ({ signal, onProgress }) => {
          await randomDelay(range, { ...(signal && { signal }), ...(onProgress && { onProgress }) });
        },
      }),
    });
    closing.unshift(() => desk.close());
    return { run: (name, params, run) => desk.run(name, params, run), close: closeAll };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** Who signs the receipts, as the contract says. Throws ChainUnavailable. */
async function operatorOf({ client, house }: Chain): Promise<Hex> {
  const [{ refusalOf }, { marketRegistryAbi }] = await Promise.all([
    import("../chain/refusals.ts"),
    import("../chain/abi.ts"),
  ]);
  try {
    const address = await house.read.registry();
    return await client.readContract({ address, abi: marketRegistryAbi, functionName: "operator" });
  } catch (error) {
    throw refusalOf(error);
  }
}

function placeOf(text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,5}$/.test(text)) throw new WrongUsage("--account is no place in the wallet", "give 0, 1, 2 ...");
  return BigInt(text);
}

function settingsOf(home: string): z.infer<typeof settingsSchema> {
  const file = join(home, "settings.json");
  return existsSync(file) ? parsed(file, settingsSchema) : {};
}

function parsed<T extends z.ZodType>(file: string, schema: T): z.output<T> {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new HomeDamaged(file, error instanceof Error ? error.message : String(error));
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new HomeDamaged(file, result.error.issues[0]?.message ?? "not understood");
}
