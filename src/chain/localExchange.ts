import { createTestClient, http } from "viem";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import type { NonceManager } from "viem/nonce";
import type { Hex } from "../protocol/keys.ts";
import { approve, type Chain, connect, type Sender, senderOf } from "./clearingHouse.ts";
import {
  type ClearingTerms,
  type Deployed,
  type DeploymentPlan,
  deployExchange,
  drawFromFaucet,
  LOCAL_CHAIN_ID,
  type MarketTerms,
} from "./deploy.ts";
import { startLocalNode } from "./localNode.ts";

/** What is deployed on the local chain. */
export type LocalExchangePlan = {
  readonly clearingTerms: ClearingTerms;
  /** By slot. */
  readonly markets: readonly MarketTerms[];
  /** Seconds; a day by default. */
  readonly governanceDelay?: number;
  /** TCP port of the node; a free one by default. */
  readonly port?: number;
  /** Deploys something first that the exchange is to be linked with. */
  readonly prepare?: (url: string, deployerKey: Hex) => Promise<Pick<DeploymentPlan, "token" | "libraries">>;
};

/** A clearing house on a chain of its own, in a process of its own, whose clock can be moved. Call stop() at the end. */
export type LocalExchange = {
  readonly url: string;
  readonly chain: Chain;
  readonly deployed: Deployed;
  readonly terms: ClearingTerms;
  readonly markets: readonly MarketTerms[];
  /** Governs the registry. */
  readonly ownerKey: Hex;
  readonly operatorKey: Hex;
  /** Time of the newest block, unix seconds. */
  now(): Promise<bigint>;
  /** Moves the chain's clock forward and mines a block. */
  advanceTime(seconds: number): Promise<void>;
  mine(blocks: number): Promise<void>;
  /** Gives the next block this time, unix seconds, which is later than that of the newest. */
  nextBlockAt(time: bigint): Promise<void>;
  /** A sender with a fresh key, ether, and `tokens` base units of test dollars that the clearing house may take. */
  fundedSender(tokens: bigint, nonceManager?: NonceManager): Promise<Sender>;
  stop(): Promise<void>;
};

const ETHER = 10n ** 24n;

/** Starts a local node and deploys an exchange on it. Throws LocalNodeError, DeploymentFailed. */
export async function startLocalExchange(plan: LocalExchangePlan): Promise<LocalExchange> {
  const node = await startLocalNode(plan.port === undefined ? {} : { port: plan.port });
  try {
    return await exchangeOn(node.url, () => node.stop(), plan);
  } catch (error) {
    await node.stop();
    throw error;
  }
}

async function exchangeOn(url: string, stop: () => Promise<void>, plan: LocalExchangePlan): Promise<LocalExchange> {
  const { clearingTerms, markets, governanceDelay = 86_400 } = plan;
  const cheats = createTestClient({ mode: "hardhat", transport: http(url) });
  const richKey = async (): Promise<Hex> => {
    const key = generatePrivateKey();
    await cheats.setBalance({ address: privateKeyToAddress(key), value: ETHER });
    return key;
  };
  const ownerKey = await richKey();
  const operatorKey = await richKey();
  const deployed = await deployExchange({
    ...(await plan.prepare?.(url, ownerKey)),
    url,
    deployerKey: ownerKey,
    owner: privateKeyToAddress(ownerKey),
    operator: privateKeyToAddress(operatorKey),
    governanceDelay,
    clearingTerms,
    markets,
  });
  const chain = await connect(url, deployed.clearingHouse, LOCAL_CHAIN_ID);
  return {
    url,
    chain,
    deployed,
    terms: clearingTerms,
    markets,
    ownerKey,
    operatorKey,
    now: async () => (await chain.client.getBlock()).timestamp,
    advanceTime: async (seconds) => {
      await cheats.increaseTime({ seconds });
      await cheats.mine({ blocks: 1 });
    },
    mine: async (blocks) => {
      // One at a time: mined at once, the blocks in between do not name their parents.
      for (let i = 0; i < blocks; i++) await cheats.mine({ blocks: 1 });
    },
    nextBlockAt: (timestamp) => cheats.setNextBlockTimestamp({ timestamp }),
    fundedSender: async (tokens, nonceManager) => {
      const privateKey = await richKey();
      const sender = senderOf(url, chain.chainId, privateKey, nonceManager);
      if (tokens > 0n) {
        await drawFromFaucet(url, deployed.token, privateKey, sender.address, tokens);
        await approve(chain, sender, tokens);
      }
      return sender;
    },
    stop,
  };
}
