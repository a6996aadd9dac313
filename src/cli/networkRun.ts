import { z } from "zod";
import { HedgerowError } from "../protocol/errors.ts";
import {
  homeDirectory,
  listNetworks,
  type Network,
  networkSchema,
  readNetwork,
  readSettings,
  removeNetwork,
  writeNetwork,
  writeSettings,
} from "../trader/home.ts";
import { proxyAt } from "../trader/proxy.ts";
import { address } from "../trader/views.ts";
import { WrongUsage } from "./failure.ts";
import type { AddOptions, HomeOptions } from "./network.ts";
import { isSame, NetworkWithoutHouse, probeChainId, probeExchange, probeHouse } from "./probe.ts";
import { probeVerifyingKey } from "./probeKey.ts";
import { table } from "./terminal.ts";

/** The exchange trades at another clearing house than the network names. */
export class NetworkOfAnotherHouse extends HedgerowError {
  constructor(exchange: string, serves: string, wanted: string) {
    super(
      "NetworkOfAnotherHouse",
      `the exchange ${exchange} serves clearing house ${serves}, and not ${wanted}: give the two that belong together`,
      { exchange, serves, wanted },
    );
  }
}

/** The signer of an exchange's receipts is not the operator of the clearing house. */
export class NetworkOfAnotherOperator extends HedgerowError {
  constructor(exchange: string, signs: string, operator: string) {
    super(
      "NetworkOfAnotherOperator",
      `the exchange ${exchange} signs as ${signs}, but the operator is ${operator}: what it signs would prove nothing`,
      { exchange, signs, operator },
    );
  }
}

/** Proofs of this version mean nothing to the clearing house. */
export class NetworkOfAnotherKey extends HedgerowError {
  constructor(clearingHouse: string, hash: string) {
    super(
      "NetworkOfAnotherKey",
      `the clearing house ${clearingHouse} does not check proofs with the verifying key ${hash} of this version: use the ` +
        `version that its operator names`,
      { clearingHouse, hash },
    );
  }
}

const url = z.url({ protocol: /^https?$/, error: "give a URL, as http://127.0.0.1:8545" });
const addSchema = z.object({
  chain: url,
  exchange: url,
  clearingHouse: address,
  fromBlock: z.coerce.number<string>().int("give a block's number").min(0, "give a block's number"),
});

/** A network as `network show --json` prints it. */
const shownSchema = networkSchema.extend({ chosen: z.boolean() });

/**
 * hedgerow network add: remembers a network whose parts belong together. Throws WrongUsage, BadName,
 * NetworkWithoutHouse, NetworkOfAnotherHouse, NetworkOfAnotherOperator, NetworkOfAnotherKey, and what reaching its
 * parts throws.
 */
export async function addNetwork(name: string, options: AddOptions): Promise<void> {
  const parsed = addSchema.safeParse(options);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const option = String(issue?.path[0] ?? "").replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new WrongUsage(`--${option} is not understood`, issue?.message ?? "look at --help");
  }
  const home = homeDirectory(options.home);
  const network = await lookedUp(name, parsed.data, options.proxy);
  writeNetwork(home, network);
  const settings = readSettings(home);
  if (settings.network === undefined) writeSettings(home, { ...settings, network: name });
  print(home, network, options);
}

/** Asks chain, contract and exchange, and holds each to the others. */
async function lookedUp(
  name: string,
  { chain, clearingHouse, exchange, fromBlock }: z.infer<typeof addSchema>,
  proxy: string | undefined,
): Promise<Network> {
  const way = proxy === undefined ? undefined : proxyAt(proxy);
  try {
    const node = way?.node() ?? {};
    const chainId = await probeChainId(chain, node);
    const { chain: held, facts } = await probeHouse(chain, clearingHouse, chainId, node);
    if (facts.code === "different") {
      throw new NetworkWithoutHouse(clearingHouse, "its code is not that of this version: ask who runs it for theirs");
    }
    const key = await probeVerifyingKey(held);
    if (!key.isHeld) throw new NetworkOfAnotherKey(clearingHouse, key.hash);
    const identity = await probeExchange(exchange, way?.node() ?? {});
    if (!isSame(identity.clearingHouse, clearingHouse) || identity.chainId !== chainId) {
      throw new NetworkOfAnotherHouse(exchange, identity.clearingHouse, clearingHouse);
    }
    if (!isSame(identity.operator, facts.operator)) {
      throw new NetworkOfAnotherOperator(exchange, identity.operator, facts.operator);
    }
    const { decimals, operator } = facts;
    return {
      name,
      chain,
      chainId,
      clearingHouse,
      fromBlock,
      exchange,
      operator,
      decimals,
      ...(way !== undefined && { proxy: way.url }),
    };
  } finally {
    way?.close();
  }
}

/** hedgerow network list. Throws MalformedFile. */
export function showNetworks(options: HomeOptions): void {
  const home = homeDirectory(options.home);
  const chosen = readSettings(home).network;
  const networks = listNetworks(home).map((name) => readNetwork(home, name));
  if (options.json === true) {
    console.log(JSON.stringify(networks.map((network) => ({ ...network, chosen: network.name === chosen }))));
  } else if (networks.length === 0) {
    console.log("No network yet. hedgerow local starts one on this machine, hedgerow network add remembers another.");
  } else {
    const columns = ["", "Name", "Chain", "Clearing house", "Exchange"].map((title) => ({ title }));
    const rows = networks.map(({ name, chainId, clearingHouse, exchange }) => [
      name === chosen ? "*" : "",
      name,
      String(chainId),
      clearingHouse,
      exchange,
    ]);
    console.log(table(columns, rows));
  }
}

/** hedgerow network show: the one named, or the chosen one. Throws WrongUsage, NetworkNotFound. */
export function showNetwork(name: string | undefined, options: HomeOptions): void {
  const home = homeDirectory(options.home);
  const meant = name ?? readSettings(home).network;
  if (meant === undefined) throw new WrongUsage("no network is chosen", "name one, or hedgerow network use NAME");
  print(home, readNetwork(home, meant), options);
}

/** hedgerow network use: chooses one. Throws NetworkNotFound, BadName. */
export function useNetwork(name: string, options: HomeOptions): void {
  const home = homeDirectory(options.home);
  const network = readNetwork(home, name);
  writeSettings(home, { ...readSettings(home), network: name });
  if (options.json === true) print(home, network, options);
  else console.log(`Network "${name}" is chosen.`);
}

/** hedgerow network remove. Throws NetworkNotFound, BadName. */
export function forgetNetwork(name: string, options: HomeOptions): void {
  removeNetwork(homeDirectory(options.home), name);
  console.log(options.json === true ? JSON.stringify({ removed: name }) : `Network "${name}" is forgotten.`);
}

function print(home: string, network: Network, { json }: HomeOptions): void {
  const chosen = readSettings(home).network === network.name;
  if (json === true) {
    console.log(JSON.stringify(shownSchema.parse({ ...network, chosen })));
    return;
  }
  const lines: readonly (readonly [string, string | number | undefined])[] = [
    ["name", `${network.name}${chosen ? ", the chosen one" : ""}`],
    ["chain", `${network.chain} (number ${network.chainId})`],
    ["clearing house", network.clearingHouse],
    ["since block", network.fromBlock],
    ["exchange", network.exchange],
    ["operator", network.operator],
    ["decimals", network.decimals],
    ["proxy", network.proxy],
  ];
  for (const [what, value] of lines) if (value !== undefined) console.log(`${what.padEnd(15)} ${value}`);
}
