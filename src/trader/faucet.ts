import { createTestClient } from "viem";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import { connect, type NodeOptions, nodeTransport, refusalOf } from "../chain/clearingHouse.ts";
import { drawFromFaucet, LOCAL_CHAIN_ID } from "../chain/deploy.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import type { Network } from "./home.ts";

/** Money out of nothing exists on a local chain only. */
export class NoFaucet extends HedgerowError {
  constructor(network: string, chainId: number) {
    super(
      "NoFaucet",
      `network "${network}" is on chain ${chainId}, and only a local chain (${LOCAL_CHAIN_ID}) has a faucet: send ether ` +
        `and collateral to the wallet's funding address, and deposit without --faucet`,
      { network, chainId },
    );
  }
}

/** Wei that an address has at least after the faucet. */
const ETHER_AFTER = 10n ** 20n;

/**
 * Gives an address `tokens` base units of test dollars, and ether for its transactions if it has little. Asks the node
 * itself for its number, whatever the profile says. Throws NoFaucet, WrongChain, ChainUnavailable.
 */
export async function fillFromFaucet(
  network: Network,
  address: Hex,
  tokens: bigint,
  options: NodeOptions = {},
): Promise<void> {
  if (network.chainId !== LOCAL_CHAIN_ID) throw new NoFaucet(network.name, network.chainId);
  const chain = await connect(network.chain, network.clearingHouse, LOCAL_CHAIN_ID, options);
  const cheats = createTestClient({ mode: "hardhat", transport: nodeTransport(network.chain, options) });
  try {
    if ((await chain.client.getBalance({ address })) < ETHER_AFTER) {
      await cheats.setBalance({ address, value: 2n * ETHER_AFTER });
    }
    if (tokens <= 0n) return;
    // The faucet's caller pays for the call: somebody of whom nothing else is known.
    const caller = generatePrivateKey();
    await cheats.setBalance({ address: privateKeyToAddress(caller), value: ETHER_AFTER });
    await drawFromFaucet(network.chain, await chain.house.read.token(), caller, address, tokens, options);
  } catch (error) {
    throw refusalOf(error);
  }
}
