import { createTestClient, createWalletClient, http } from "viem";
import { generatePrivateKey, privateKeyToAccount, privateKeyToAddress } from "viem/accounts";
import { createNonceManager, jsonRpc, type NonceManager } from "viem/nonce";
import { deployWithLibraries } from "../../src/chain/artifacts.ts";
import { ChainState } from "../../src/chain/chainState.ts";
import { approve, type Chain, connect, publicClientOf, type Sender, senderOf } from "../../src/chain/clearingHouse.ts";
import {
  type ClearingTerms,
  type Deployed,
  deployExchange,
  LOCAL_CHAIN_ID,
  drawFromFaucet,
  type MarketTerms,
} from "../../src/chain/deploy.ts";
import { startLocalNode } from "../../src/chain/localNode.ts";
import { DEMO_CLEARING_TERMS, LEAN_HOG_TERMS } from "../../src/clearing/leanHogs.ts";
import type { Hex } from "../../src/protocol/keys.ts";

/** What a test may change about its exchange. */
export type ExchangeOptions = {
  readonly clearingTerms?: Partial<ClearingTerms>;
  readonly markets?: readonly MarketTerms[];
  readonly governanceDelay?: number;
  /** Takes every transition without looking at its proof: for tests that are about something else. */
  readonly unproven?: boolean;
  /** Name of the collateral's contract, with a faucet; the test dollar by default. */
  readonly token?: string;
};

/** A clearing house on a chain of its own, in a process of its own. Call stop() at the end. */
export type Exchange = {
  readonly url: string;
  readonly chain: Chain;
  readonly deployed: Deployed;
  readonly terms: ClearingTerms;
  readonly markets: readonly MarketTerms[];
  readonly operator: Sender;
  readonly operatorKey: Hex;
  /** Governs the registry. */
  readonly owner: Sender;
  /** What the chain shows. A revert replaces it. */
  readonly state: ChainState;
  /** Time of the newest block, unix seconds. */
  now(): Promise<bigint>;
  /** Moves the chain's clock forward and mines a block. */
  advanceTime(seconds: number): Promise<void>;
  mine(blocks: number): Promise<void>;
  /** A fresh sender with ether and `tokens` base units, all approved to the clearing house. */
  fundedSender(tokens: bigint): Promise<Sender>;
  snapshot(): Promise<Hex>;
  /** Back to a snapshot, which is used up. Senders stay good; `state` is read anew. */
  revert(snapshot: Hex): Promise<void>;
  stop(): Promise<void>;
};

const ETHER = 10n ** 24n;

/** Starts a local node and deploys an exchange with Lean Hogs in slot 0. Throws LocalNodeError, DeploymentFailed. */
export async function startExchange(options: ExchangeOptions = {}): Promise<Exchange> {
  const node = await startLocalNode();
  try {
    return await exchangeOn(node.url, () => node.stop(), options);
  } catch (error) {
    await node.stop();
    throw error;
  }
}

async function exchangeOn(url: string, stop: () => Promise<void>, options: ExchangeOptions): Promise<Exchange> {
  const testClient = createTestClient({ mode: "hardhat", transport: http(url) });
  const clearingTerms = { ...DEMO_CLEARING_TERMS, ...options.clearingTerms };
  const markets = options.markets ?? [LEAN_HOG_TERMS];
  const ownerKey = generatePrivateKey();
  const operatorKey = generatePrivateKey();
  await testClient.setBalance({ address: privateKeyToAddress(ownerKey), value: ETHER });
  await testClient.setBalance({ address: privateKeyToAddress(operatorKey), value: ETHER });
  const deploy = await deployer(url, ownerKey);
  const deployed = await deployExchange({
    url,
    ...(options.token === undefined ? {} : { token: await deploy(options.token) }),
    ...(options.unproven === true ? { libraries: { BatchVerifier: await deploy("UnprovenVerifier") } } : {}),
    deployerKey: ownerKey,
    owner: privateKeyToAddress(ownerKey),
    operator: privateKeyToAddress(operatorKey),
    governanceDelay: options.governanceDelay ?? 86_400,
    clearingTerms,
    markets,
  });
  const chain = await connect(url, deployed.clearingHouse, LOCAL_CHAIN_ID);
  let state = await ChainState.follow(chain);

  // A revert takes transactions back; a new counter of nonces behind the same senders keeps them good.
  let counter = createNonceManager({ source: jsonRpc() });
  const nonces: NonceManager = {
    consume: (parameters) => counter.consume(parameters),
    get: (parameters) => counter.get(parameters),
    increment: (parameters) => {
      counter.increment(parameters);
    },
    reset: (parameters) => {
      counter.reset(parameters);
    },
  };

  return {
    url,
    chain,
    deployed,
    terms: clearingTerms,
    markets,
    operator: senderOf(url, chain.chainId, operatorKey, nonces),
    operatorKey,
    owner: senderOf(url, chain.chainId, ownerKey, nonces),
    get state() {
      return state;
    },
    now: async () => (await chain.client.getBlock()).timestamp,
    advanceTime: async (seconds) => {
      await testClient.increaseTime({ seconds });
      await testClient.mine({ blocks: 1 });
    },
    mine: async (blocks) => {
      // One at a time: mined at once, the blocks in between do not name their parents.
      for (let i = 0; i < blocks; i++) await testClient.mine({ blocks: 1 });
    },
    fundedSender: async (tokens) => {
      const privateKey = generatePrivateKey();
      const sender = senderOf(url, chain.chainId, privateKey, nonces);
      await testClient.setBalance({ address: sender.address, value: ETHER });
      await drawFromFaucet(url, deployed.token, privateKey, sender.address, tokens);
      await approve(chain, sender, tokens);
      return sender;
    },
    snapshot: () => testClient.snapshot(),
    revert: async (id) => {
      await testClient.revert({ id });
      counter = createNonceManager({ source: jsonRpc() });
      state = await ChainState.follow(chain);
    },
    stop,
  };
}

/** Deploys contracts without arguments by their names. */
async function deployer(url: string, privateKey: Hex): Promise<(name: string) => Promise<Hex>> {
  const client = publicClientOf(url, await publicClientOf(url, 0).getChainId());
  const account = privateKeyToAccount(privateKey);
  const wallet = createWalletClient({ account, chain: client.chain, transport: http(url) });
  return async (name) => (await deployWithLibraries(wallet, client, name)).address;
}
