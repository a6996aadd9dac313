import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { ChainState } from "../../src/chain/chainState.ts";
import { connect, senderOf } from "../../src/chain/clearingHouse.ts";
import { followClock } from "../../src/chain/chainClock.ts";
import { type Batched, Batcher } from "../../src/exchange/batcher.ts";
import type { CommandStore } from "../../src/exchange/memoryStore.ts";
import { memoryStore } from "../../src/exchange/memoryStore.ts";
import { Operator } from "../../src/exchange/operator.ts";
import { type Server, startServer } from "../../src/exchange/server/server.ts";
import { newSeedPhrase } from "../../src/protocol/keys.ts";
import { directConnections } from "../../src/trader/connections.ts";
import { TraderDesk } from "../../src/trader/desk.ts";
import type { Network } from "../../src/trader/home.ts";
import { type Exchange, type ExchangeOptions, startExchange } from "./exchange.ts";
import { type FlakyNode, startFlakyNode } from "./flakyNode.ts";
import { type FlakyPort, startFlakyPort } from "./flakyPort.ts";
import { networkOf, walletAt } from "./stageParts.ts";
import { unprovenProver } from "./unprovenExchange.ts";

/** An exchange that takes transitions without proofs, served over sockets that fail when told to, and its traders. */
export type UnprovenStage = {
  readonly x: Exchange;
  readonly node: FlakyNode;
  readonly port: FlakyPort;
  readonly network: Network;
  /** The traders' desk of that name: its wallet is made when it is first asked for. */
  desk(name: string): Promise<TraderDesk>;
  /** A new wallet on the phrase of another. */
  recovered(name: string): Promise<TraderDesk>;
  /** Ends the exchange and starts it again with all that it has written down. */
  restart(): Promise<void>;
  /** Ends the exchange and starts one that knows no more than the chain does. */
  forgetfulRestart(): Promise<void>;
  /** Nothing is posted until the next `post`. */
  hold(): void;
  post(): void;
  stop(): Promise<void>;
};

/** Starts a chain, and an exchange in this process that believes transitions without proofs. Ends with `stop`. */
export async function startUnprovenStage(options: ExchangeOptions = {}): Promise<UnprovenStage> {
  const directory = await mkdtemp(join(tmpdir(), "hedgerow-stage-"));
  const x = await startExchange({ ...options, unproven: true });
  const node = await startFlakyNode(x.url);
  const logger = pino({ level: "silent" });
  const phrases = new Map<string, string>();
  let held = false;
  const clock = await followClock(x.chain, { pollMs: 50 });
  const serve = async (port: number, store = storeInMemory()) => {
    const operator = await Operator.create({
      state: await ChainState.follow(x.chain),
      sender: senderOf(x.url, x.chain.chainId, x.operatorKey),
      verifier: { verifyBatch: () => Promise.resolve([]) },
      store,
      clock: () => clock.now(),
    });
    const gate: Batched = {
      tick: () => operator.tick(),
      sync: () => operator.sync(),
      closeDay: () => operator.closeDay(),
      postBatch: () => operator.postBatch(),
      get isDayOver() {
        return operator.isDayOver;
      },
      get waiting() {
        return held ? 0 : operator.waiting;
      },
      get hasLostBatches() {
        return operator.hasLostBatches;
      },
    };
    const batcher = new Batcher(gate, { size: 100, intervalMs: 100 }, {});
    batcher.done.catch(() => undefined);
    const server: Server = await startServer({ service: operator, host: "127.0.0.1", port, limits: LOOSE, logger });
    return { operator, batcher, server, store };
  };
  let running = await serve(0);
  const url = running.server.url;
  const port = await startFlakyPort(url);
  const end = async (): Promise<void> => {
    await running.batcher.stop().catch(() => undefined);
    await running.server.close();
  };
  const network = networkOf(node.url, x.chain, port.url);
  const deskOf = async (place: string, phrase: string): Promise<TraderDesk> => {
    const wallet = await walletAt(place, phrase);
    const chain = await ChainState.follow(await connect(network.chain, network.clearingHouse, network.chainId));
    const verify = { domain: chain.chain.domain, operator: running.operator.operator };
    const connections = directConnections(network.exchange, { verify, timeoutMs: 5_000 });
    return TraderDesk.open({ wallet, network, chain, prover: unprovenProver, connections });
  };
  let recoveries = 0;
  const phraseOf = (name: string): string => {
    const phrase = phrases.get(name) ?? newSeedPhrase();
    phrases.set(name, phrase);
    return phrase;
  };
  return {
    x,
    node,
    port,
    network,
    desk: (name) => deskOf(join(directory, name), phraseOf(name)),
    recovered: (name) => {
      recoveries += 1;
      return deskOf(join(directory, `${name}-recovered-${recoveries}`), phraseOf(name));
    },
    restart: async () => {
      await end();
      running = await serve(Number(new URL(url).port), running.store);
    },
    forgetfulRestart: async () => {
      await end();
      running = await serve(Number(new URL(url).port));
    },
    hold: () => {
      held = true;
    },
    post: () => {
      held = false;
    },
    stop: async () => {
      await end();
      await port.stop();
      clock.stop();
      await node.stop();
      await x.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** A store that an exchange can start again from while this process lives. */
function storeInMemory(): CommandStore {
  let newest: ReturnType<CommandStore["newestSnapshot"]>;
  return Object.assign(memoryStore(), {
    newestSnapshot: () => newest,
    saveSnapshot: (number: number, body: string) => {
      newest = { number, body };
      return Promise.resolve();
    },
  });
}

const LOOSE = { connectionsPerAddress: 1_000, transitionsPerSecond: 1_000 };
