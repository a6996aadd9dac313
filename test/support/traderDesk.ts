import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ChainState } from "../../src/chain/chainState.ts";
import { connect, type Chain } from "../../src/chain/clearingHouse.ts";
import { type ClearingTerms, type MarketTerms } from "../../src/chain/deploy.ts";
import { type LocalExchange, startLocalExchange } from "../../src/chain/localExchange.ts";
import { DEMO_CLEARING_TERMS, LEAN_HOG_TERMS } from "../../src/clearing/leanHogs.ts";
import { type ExchangeProcess, startExchangeProcess } from "../../src/exchange/exchangeProcess.ts";
import { newSeedPhrase } from "../../src/protocol/keys.ts";
import type { Prover } from "../../src/prover/prover.ts";
import { type Connections, directConnections } from "../../src/trader/connections.ts";
import { TraderDesk } from "../../src/trader/desk.ts";
import type { Network } from "../../src/trader/home.ts";
import type { Wallet } from "../../src/trader/store.ts";
import { sharedProver } from "./prover.ts";
import { networkOf, walletAt } from "./stageParts.ts";

/** A chain and an exchange, each a process of its own, and a directory for wallets. */
export type TraderStage = {
  readonly local: LocalExchange;
  readonly network: Network;
  readonly directory: string;
  exchange: ExchangeProcess;
  /** Opens a new wallet, or the one of that name again, at its desk. */
  desk(name: string, options?: DeskOptions): Promise<TraderDesk>;
  /** Opens a wallet anew from a phrase alone. */
  recovered(name: string, phrase: string): Promise<TraderDesk>;
  restartExchange(): Promise<void>;
  stop(): Promise<void>;
};

export type DeskOptions = {
  readonly prover?: Pick<Prover, "prove">;
  readonly connections?: (network: Network) => Connections;
  readonly chain?: ChainState;
};

/** Starts a chain and an exchange with real proofs. `terms`: what differs from the demo house. Ends with `stop`. */
export async function startTraderStage(
  terms: Partial<ClearingTerms> = {},
  markets: readonly MarketTerms[] = [LEAN_HOG_TERMS],
): Promise<TraderStage> {
  const directory = await mkdtemp(join(tmpdir(), "hedgerow-traders-"));
  const local = await startLocalExchange({
    clearingTerms: { ...DEMO_CLEARING_TERMS, ...terms },
    markets,
    governanceDelay: 7 * 86_400,
  });
  const start = (port?: number) =>
    startExchangeProcess({
      chainUrl: local.url,
      clearingHouse: local.chain.address,
      operatorKey: local.operatorKey,
      directory: join(directory, "exchange"),
      batchMs: 200,
      ...(port !== undefined && { port }),
      more: ["--connections-per-address", "1000", "--transitions-per-second", "100"],
    });
  const exchange = await start();
  const network = networkOf(local.url, local.chain, exchange.url);
  const follow = async (): Promise<ChainState> => ChainState.follow(await chainOf(network));
  const deskOf = async (wallet: Wallet, options: DeskOptions): Promise<TraderDesk> => {
    const chain = options.chain ?? (await follow());
    const verify = { domain: chain.chain.domain, operator: exchange.operator };
    return TraderDesk.open({
      wallet,
      network,
      chain,
      prover: options.prover ?? (await sharedProver()),
      connections: options.connections?.(network) ?? directConnections(network.exchange, { verify }),
    });
  };
  const stage: TraderStage = {
    local,
    network,
    directory,
    exchange,
    desk: async (name, options = {}) => deskOf(await walletAt(join(directory, name), newSeedPhrase()), options),
    recovered: async (name, phrase) =>
      deskOf(await walletAt(join(directory, `${name}-${randomBytes(4).toString("hex")}`), phrase), {}),
    restartExchange: async () => {
      const { port } = stage.exchange;
      await stage.exchange.kill();
      stage.exchange = await start(port);
    },
    stop: async () => {
      await stage.exchange.stop();
      await local.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
  return stage;
}

function chainOf({ chain, clearingHouse, chainId }: Network): Promise<Chain> {
  return connect(chain, clearingHouse, chainId);
}
