import { createClient, createTestClient, rpcSchema } from "viem";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import { z } from "zod";
import { connect, type NodeOptions, nodeTransport, refusalOf } from "../chain/clearingHouse.ts";
import { drawFromFaucet, LOCAL_CHAIN_ID } from "../chain/deploy.ts";
import { CallImpossible, ContractRefused } from "../chain/refusals.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import type { Network } from "./home.ts";

/** Money out of nothing exists on a local development chain only. */
export class NoFaucet extends HedgerowError {
  constructor(network: string, reason: string) {
    super(
      "NoFaucet",
      `network "${network}" has no faucet, as ${reason}: send ether and collateral to the wallet's funding address, ` +
        `and deposit without --faucet`,
      { network, reason },
    );
  }
}

/** Wei that an address has at least after the faucet. */
const ETHER_AFTER = 10n ** 20n;

/**
 * Gives an address `tokens` base units of test dollars, and ether for its transactions if it has little. Nothing is
 * sent before the node itself has said that it is a local development node, whatever the profile says (spec NET-2).
 * Throws NoFaucet, WrongChain, ChainUnavailable.
 */
export async function fillFromFaucet(
  network: Network,
  address: Hex,
  tokens: bigint,
  options: NodeOptions = {},
): Promise<void> {
  if (network.chainId !== LOCAL_CHAIN_ID) {
    throw new NoFaucet(network.name, `it is on chain ${network.chainId}, and a local one is ${LOCAL_CHAIN_ID}`);
  }
  const chain = await connect(network.chain, network.clearingHouse, LOCAL_CHAIN_ID, options);
  const cheats = createTestClient({ mode: "hardhat", transport: nodeTransport(network.chain, options) });
  try {
    await assertDevelopmentNode(network, options);
    const token = await chain.house.read.token();
    // The faucet's caller pays for the call: somebody of whom nothing else is known.
    const caller = generatePrivateKey();
    if ((await chain.client.getBalance({ address })) < ETHER_AFTER) {
      await cheats.setBalance({ address, value: 2n * ETHER_AFTER });
    }
    if (tokens <= 0n) return;
    await cheats.setBalance({ address: privateKeyToAddress(caller), value: ETHER_AFTER });
    await drawFromFaucet(network.chain, token, caller, address, tokens, options).catch((error: unknown) => {
      // The node tries the call before it is sent, and a token without a faucet refuses it.
      const refusal = refusalOf(error);
      if (!(refusal instanceof ContractRefused || refusal instanceof CallImpossible)) throw refusal;
      throw new NoFaucet(network.name, `its collateral ${token} is no test token`);
    });
  } catch (error) {
    throw refusalOf(error);
  }
}

const versionSchema = z.string().startsWith("HardhatNetwork/");
const metadataSchema = z.object({ chainId: z.literal(LOCAL_CHAIN_ID) });

type Asking = [
  { Method: "web3_clientVersion"; Parameters?: undefined; ReturnType: unknown },
  { Method: "hardhat_metadata"; Parameters?: undefined; ReturnType: unknown },
];

/** Other nodes may give their chain the same number, and only a development node knows `hardhat_metadata`. */
async function assertDevelopmentNode(network: Network, options: NodeOptions): Promise<void> {
  const node = createClient({ transport: nodeTransport(network.chain, options), rpcSchema: rpcSchema<Asking>() });
  const ask = (method: "web3_clientVersion" | "hardhat_metadata"): Promise<unknown> =>
    node.request({ method }).catch((error: unknown) => {
      const refusal = refusalOf(error);
      // It is there, and does not know the question.
      if (refusal.code === "CallImpossible") return undefined;
      throw refusal;
    });
  const isOne =
    versionSchema.safeParse(await ask("web3_clientVersion")).success &&
    metadataSchema.safeParse(await ask("hardhat_metadata")).success;
  if (!isOne) throw new NoFaucet(network.name, `the node ${network.chain} is no local development node`);
}
