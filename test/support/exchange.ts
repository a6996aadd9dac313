import { createTestClient, createWalletClient, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { createNonceManager, jsonRpc, type NonceManager } from "viem/nonce";
import { deployWithLibraries } from "../../src/chain/artifacts.ts";
import { ChainState } from "../../src/chain/chainState.ts";
import { publicClientOf, type Sender, senderOf } from "../../src/chain/clearingHouse.ts";
import type { ClearingTerms, MarketTerms } from "../../src/chain/deploy.ts";
import { type LocalExchange, startLocalExchange } from "../../src/chain/localExchange.ts";
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

/** A clearing house on a chain of its own, with what tests do to it. Call stop() at the end. */
export type Exchange = Omit<LocalExchange, "fundedSender"> & {
  readonly operator: Sender;
  /** Governs the registry. */
  readonly owner: Sender;
  /** What the chain shows. A revert replaces it. */
  readonly state: ChainState;
  /** A fresh sender with ether and `tokens` base units, all approved to the clearing house. */
  fundedSender(tokens: bigint): Promise<Sender>;
  snapshot(): Promise<Hex>;
  /** Back to a snapshot, which is used up. Senders stay good; `state` is read anew. */
  revert(snapshot: Hex): Promise<void>;
};

/** Starts a local node and deploys an exchange with Lean Hogs in slot 0. Throws LocalNodeError, DeploymentFailed. */
export async function startExchange(options: ExchangeOptions = {}): Promise<Exchange> {
  const { token, unproven = false, governanceDelay } = options;
  const local = await startLocalExchange({
    clearingTerms: { ...DEMO_CLEARING_TERMS, ...options.clearingTerms },
    markets: options.markets ?? [LEAN_HOG_TERMS],
    ...(governanceDelay === undefined ? {} : { governanceDelay }),
    prepare: async (url, deployerKey) => {
      const deploy = await deployer(url, deployerKey);
      return {
        ...(token === undefined ? {} : { token: await deploy(token) }),
        ...(unproven ? { libraries: { BatchVerifier: await deploy("UnprovenVerifier") } } : {}),
      };
    },
  });
  const { url, chain, ownerKey, operatorKey } = local;
  const testClient = createTestClient({ mode: "hardhat", transport: http(url) });
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
    ...local,
    operator: senderOf(url, chain.chainId, operatorKey, nonces),
    owner: senderOf(url, chain.chainId, ownerKey, nonces),
    get state() {
      return state;
    },
    fundedSender: (tokens) => local.fundedSender(tokens, nonces),
    snapshot: () => testClient.snapshot(),
    revert: async (id) => {
      await testClient.revert({ id });
      counter = createNonceManager({ source: jsonRpc() });
      state = await ChainState.follow(chain);
    },
  };
}

/** Deploys contracts without arguments by their names. */
async function deployer(url: string, privateKey: Hex): Promise<(name: string) => Promise<Hex>> {
  const client = publicClientOf(url, await publicClientOf(url, 0).getChainId());
  const account = privateKeyToAccount(privateKey);
  const wallet = createWalletClient({ account, chain: client.chain, transport: http(url) });
  return async (name) => (await deployWithLibraries(wallet, client, name)).address;
}
