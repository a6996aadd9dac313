import { ChainState } from "../chain/chainState.ts";
import { connect } from "../chain/clearingHouse.ts";
import type { Network } from "./home.ts";

/** A followed chain. close() lets the proxy's connections go. */
export type NetworkChain = { readonly chain: ChainState; readonly close: () => void };

/**
 * Reads a network's chain to its newest block, through its proxy where it has one: whole block ranges, so that the node
 * learns nothing about whose account is looked for (spec PRI-7). Throws ChainUnavailable, WrongChain, ProxyUnreachable.
 */
export async function followNetwork(network: Network): Promise<NetworkChain> {
  const proxy = network.proxy === undefined ? undefined : (await import("./proxy.ts")).proxyAt(network.proxy);
  const close = (): void => proxy?.close();
  try {
    const house = await connect(network.chain, network.clearingHouse, network.chainId, proxy?.node());
    return { chain: await ChainState.follow(house, BigInt(network.fromBlock)), close };
  } catch (error) {
    close();
    throw error;
  }
}
