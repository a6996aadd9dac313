import { mkdirSync } from "node:fs";
import type { Logger } from "pino";
import { type ChainClock, followClock } from "../chain/chainClock.ts";
import { ChainState } from "../chain/chainState.ts";
import { LOCAL_CHAIN_ID } from "../chain/deploy.ts";
import { connect, senderOf } from "../chain/clearingHouse.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { VerifierProcess } from "../prover/verifierProcess.ts";
import { BATCH_POLICY, Batcher, type BatchPolicy } from "./batcher.ts";
import { openJournal } from "./journal/journal.ts";
import { Operator } from "./operator.ts";
import type { Limits } from "./server/limits.ts";
import { startServer } from "./server/server.ts";
import { createSigning } from "./signing/signing.ts";
import type { LimitLock } from "./tradingDay.ts";

/** What an exchange runs on. */
export type ExchangeOptions = {
  readonly chainUrl: string;
  readonly chainId: number;
  readonly clearingHouse: Hex;
  /** First block to read: that of the deployment, or 0. */
  readonly fromBlock?: bigint;
  readonly operatorKey: Hex;
  /** Where the journal lies. */
  readonly directory: string;
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  readonly logger: Logger;
  readonly batches?: Partial<BatchPolicy>;
  readonly limits?: Partial<Limits>;
  readonly limitLock?: LimitLock;
  /** Records after which a snapshot is taken. */
  readonly snapshotEvery?: number;
};

/** An exchange that runs. */
export type RunningExchange = {
  readonly url: string;
  readonly operator: Operator;
  /** Resolves when the exchange was closed; rejects with what ended it otherwise. */
  readonly done: Promise<void>;
  /** Takes nothing more, makes durable what it has taken, and ends. What waits for a batch is posted after a restart. */
  close(): Promise<void>;
};

/** Names what a journal belongs to; the number is the format of its records. */
export function identityOf(chainId: bigint, clearingHouse: Hex): string {
  return `hedgerow/1/${chainId}/${clearingHouse.toLowerCase()}`;
}

/** How far a chain's clock may be ahead of this machine's, in seconds. */
const MOST_AHEAD = 60n;

/**
 * The chain's clock, but never far ahead of this machine's: one bad block must not end the day for good. A local chain's
 * clock is moved by hand.
 */
function boundedClock(clock: ChainClock, chainId: bigint): () => bigint {
  if (chainId === BigInt(LOCAL_CHAIN_ID)) return () => clock.now();
  return () => {
    const time = clock.now();
    const most = BigInt(Math.floor(Date.now() / 1_000)) + MOST_AHEAD;
    return time < most ? time : most;
  };
}

/**
 * Runs an exchange: journal, signing, matching, batches and API. Takes up what the journal holds, and what of it the
 * chain has. Throws what its parts throw: ChainUnavailable, WrongChain, JournalInUse and other errors of the journal,
 * BadOperatorKey, or the system's error where the port is taken.
 */
export async function runExchange(options: ExchangeOptions): Promise<RunningExchange> {
  const { logger, operatorKey } = options;
  const closing: (() => Promise<unknown> | undefined)[] = [];
  const close = async (): Promise<void> => {
    for (let last = closing.pop(); last !== undefined; last = closing.pop()) await last();
  };
  const ended = Promise.withResolvers<undefined>();
  ended.promise.catch(() => undefined);
  try {
    const chain = await connect(options.chainUrl, options.clearingHouse, options.chainId);
    mkdirSync(options.directory, { recursive: true, mode: 0o700 });
    const identity = identityOf(chain.chainId, chain.address);
    const journal = await openJournal({ directory: options.directory, identity });
    closing.push(() => journal.close());
    const verifier = await VerifierProcess.create((error) => ended.reject(error));
    closing.push(() => verifier.close());
    const signing = createSigning({ operatorKey, domain: chain.domain, onFailure: (error) => ended.reject(error) });
    closing.push(() => signing.close());
    const clock = await followClock(chain);
    closing.push(() => {
      clock.stop();
      return undefined;
    });
    const waiting = new AbortController();
    const started = performance.now();
    const operator = await Operator.create({
      state: await ChainState.follow(chain, options.fromBlock),
      sender: senderOf(chain.url, chain.chainId, operatorKey),
      verifier,
      store: journal,
      signing,
      clock: boundedClock(clock, chain.chainId),
      isChainReachable: () => clock.reachable,
      sending: { signal: waiting.signal },
      ...(options.limitLock && { limitLock: options.limitLock }),
      ...(options.snapshotEvery !== undefined && { bounds: { snapshotEvery: options.snapshotEvery } }),
      onLoss: (loss) => logger.warn({ kind: loss.kind, reason: loss.reason }, "lost"),
      onStop: (error) => ended.reject(error),
    });
    logger.info({ records: journal.last, ms: Math.round(performance.now() - started) }, "journal replayed");
    const policy = { ...BATCH_POLICY, ...options.batches };
    const batcher = new Batcher(operator, policy, {
      onPosted: () => logger.info({ nextBatchNumber: operator.epoch().nextBatchNumber }, "batch posted"),
      onClosed: () => logger.info({ epoch: operator.epoch().epoch }, "day closed"),
      onFailure: (what, { code, message }, retryMs) => logger.warn({ what, code, message, retryMs }, "tried in vain"),
    });
    batcher.done.catch((error: unknown) => ended.reject(error));
    closing.push(async () => {
      waiting.abort();
      await batcher.stop().catch((error: unknown) => {
        if (!(error instanceof HedgerowError)) throw error;
      });
    });
    const { host, port, limits = {} } = options;
    const server = await startServer({ service: operator, host, port, limits, logger });
    closing.push(() => server.close());
    logger.info({ url: server.url, operator: operator.operator }, "exchange is open");
    return {
      url: server.url,
      operator,
      done: ended.promise,
      close: async () => {
        await close();
        ended.resolve(undefined);
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}
