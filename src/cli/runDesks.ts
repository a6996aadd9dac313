import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { marketRegistryAbi } from "../protocol/abi.ts";
import { ChainState } from "../chain/chainState.ts";
import { connect, readTokenBalance, type Sender, senderOf } from "../chain/clearingHouse.ts";
import { LOCAL_CHAIN_ID } from "../chain/deploy.ts";
import { HedgerowError } from "../protocol/errors.ts";
import { newSeedPhrase } from "../protocol/keys.ts";
import { type Connections, directConnections, proxiedConnections } from "../trader/connections.ts";
import { TraderDesk } from "../trader/desk.ts";
import { lazyProver } from "../trader/desk/lazyProver.ts";
import { ensurePrivateDirectory, writePrivateFile } from "../trader/files.ts";
import type { Network } from "../trader/home.ts";
import { proxyAt } from "../trader/proxy.ts";
import { createWallet, openWallet, type Wallet } from "../trader/store.ts";
import { keystoreFile } from "../trader/walletFiles.ts";

/** The clients' wallet cannot pay for what their orders need. */
export class StakeMissing extends HedgerowError {
  constructor(address: string, has: string, needs: string) {
    super(
      "StakeMissing",
      `the run's funding address ${address} has ${has} of collateral, and the clients need ${needs}: send the rest ` +
        `there, and some ether, and run again`,
      { address, has, needs },
    );
  }
}

/** The list of clients in a run directory is not what this program writes. */
export class BadRunDirectory extends HedgerowError {
  constructor(file: string) {
    super("BadRunDirectory", `${file} is no list of clients: name another directory`, { file });
  }
}

/** Desks of all clients: one wallet with an account each, one view of the chain, one prover. */
export type RunDesks = {
  readonly chain: ChainState;
  readonly hasFaucet: boolean;
  readonly sender: Sender;
  /** By the clients' order in the file. */
  readonly desks: readonly { readonly client: string; readonly place: number; readonly desk: TraderDesk }[];
  close(): Promise<void>;
};

/** Connections that the clients share, so that many of them stay within what one address may open. */
const MOST_CONNECTIONS = 16;
/** The password beside it is drawn at random: guessing it need not be made dear. */
const SCRYPT_N = 1024;

const placesSchema = z.record(z.string(), z.int().min(0));

/** Opens the clients' accounts. Throws what opening wallet and chain throws, and BadRunDirectory. */
export async function openDesks(network: Network, directory: string, clients: readonly string[]): Promise<RunDesks> {
  const closing: (() => Promise<void> | void)[] = [];
  const close = async (): Promise<void> => {
    for (const end of closing.splice(0).toReversed()) await end();
  };
  try {
    ensurePrivateDirectory(directory);
    const wallet = await walletIn(directory);
    closing.push(() => wallet.close());
    const proxy = network.proxy === undefined ? undefined : proxyAt(network.proxy);
    closing.push(() => proxy?.close());
    const house = await connect(network.chain, network.clearingHouse, network.chainId, proxy?.node());
    const chain = await ChainState.follow(house, BigInt(network.fromBlock));
    const prover = lazyProver();
    prover.warm();
    closing.push(() => prover.close());
    const registry = await house.house.read.registry();
    const operator =
      network.operator ??
      (await house.client.readContract({ address: registry, abi: marketRegistryAbi, functionName: "operator" }));
    const verify = { domain: house.domain, operator };
    const ways = Array.from({ length: Math.min(MOST_CONNECTIONS, clients.length) }, () =>
      proxy === undefined
        ? directConnections(network.exchange, { verify })
        : proxiedConnections(network.exchange, proxy, { verify }),
    );
    closing.push(() => ways.forEach((way) => way.close()));
    const sender = senderOf(network.chain, house.chainId, wallet.fundingKey(), undefined, proxy?.node());
    const places = placesFor(join(directory, "clients.json"), clients);
    // The desks share wallet and connections, so none of them may end these.
    const shared: Wallet = { ...wallet, close: () => undefined };
    const desks = await Promise.all(
      clients.map(async (client, i) => {
        const place = places[client] ?? 0;
        const connections: Connections = { ...nth(ways, i), close: () => undefined };
        const parts = { wallet: shared, network, chain, prover, connections, place: BigInt(place), sender };
        return { client, place, desk: await TraderDesk.open(parts) };
      }),
    );
    return { chain, hasFaucet: network.chainId === LOCAL_CHAIN_ID, sender, desks, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Throws StakeMissing unless the funding address has so much. */
export async function assertFunds({ chain, sender }: RunDesks, needed: bigint, show: (units: bigint) => string) {
  const has = await readTokenBalance(chain.chain, sender.address);
  if (has < needed) throw new StakeMissing(sender.address, show(has), show(needed));
}

/** The wallet of a run directory with the password that lies beside it; both are made the first time. */
async function walletIn(directory: string): Promise<Wallet> {
  const file = join(directory, "password");
  const wallet = join(directory, "wallet");
  if (existsSync(keystoreFile(wallet))) return openWallet(wallet, readFileSync(file, "utf8").trim());
  const password = randomBytes(32).toString("hex");
  writePrivateFile(file, `${password}\n`);
  return createWallet(wallet, newSeedPhrase(), password, { scryptN: SCRYPT_N });
}

/** Which account is whose: a client keeps its own for ever. */
function placesFor(file: string, clients: readonly string[]): Readonly<Record<string, number>> {
  const known = new Map(existsSync(file) ? Object.entries(placesIn(file)) : []);
  for (const client of clients) if (!known.has(client)) known.set(client, known.size);
  const places = Object.fromEntries(known);
  writePrivateFile(file, `${JSON.stringify(places, undefined, 2)}\n`);
  return places;
}

function placesIn(file: string): Readonly<Record<string, number>> {
  try {
    return placesSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    throw new BadRunDirectory(file);
  }
}

function nth<T>(items: readonly T[], i: number): T {
  const item = items[i % items.length];
  if (item === undefined) throw new RangeError("there is none");
  return item;
}
