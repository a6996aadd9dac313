import { setTimeout as sleep } from "node:timers/promises";
import type { ExchangeClient } from "../api/client.ts";
import type { TraderService } from "../trader/commands.ts";
import { reasonOf } from "../trader/files.ts";
import type { WatchEvent } from "./screenModel.ts";

/** Where events go. */
export type Dispatch = (event: WatchEvent) => void;

/** What keeps a view fed. */
export type Feed = {
  /** Follows the book and the trades of this market from now on. */
  readonly select: (slot: number) => void;
  /** Resolves when `signal` ends it; rejects where the exchange could not be reached even once. */
  readonly ended: Promise<void>;
};

const DAY_EVERY_MS = 1_000;
const OWN_EVERY_MS = 2_000;
/** Pauses between attempts to reach the exchange again. */
const RETRY_MS = [250, 500, 1_000, 2_000, 3_000] as const;
/** Trades that are asked for at the beginning. */
const TRADES = 100;

/** Unix seconds here. */
export function unixNow(): number {
  return Date.now() / 1_000;
}

/**
 * Brings events of an exchange. The day is asked for every second, which also tells whether the exchange is there; when
 * it is not, everything is connected anew. `slot`: the market to begin with.
 */
export function startFeed(
  connect: () => ExchangeClient,
  slot: number | undefined,
  dispatch: Dispatch,
  signal: AbortSignal,
): Feed {
  let selected = slot;
  let reselect = new AbortController();
  let reached = false;

  async function run(): Promise<void> {
    for (let failures = 0; !signal.aborted;) {
      const client = connect();
      const round = new AbortController();
      const over = AbortSignal.any([signal, round.signal]);
      try {
        await askDay(client);
        reached = true;
        failures = 0;
        await Promise.race([followDay(client, over), followMarket(client, over), followNews(client, over)]);
      } catch (error) {
        if (isOver(signal)) return;
        if (!reached) throw error;
        dispatch({ kind: "lost", at: unixNow(), reason: reasonOf(error) });
      } finally {
        round.abort();
        client.close();
      }
      await pause(RETRY_MS[Math.min(failures, RETRY_MS.length - 1)] ?? 0, signal);
      failures += 1;
    }
  }

  async function askDay(client: ExchangeClient): Promise<void> {
    const [epoch, markets] = await Promise.all([client.fetchEpoch(), client.fetchMarkets()]);
    selected ??= markets[0]?.slot;
    dispatch({ kind: "day", at: unixNow(), epoch, markets });
  }

  async function followDay(client: ExchangeClient, over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      await pause(DAY_EVERY_MS, over);
      if (!isOver(over)) await askDay(client);
    }
  }

  async function followNews(client: ExchangeClient, over: AbortSignal): Promise<void> {
    for await (const event of client.watchAnnouncements({ signal: over })) {
      if (event.kind === "epoch") continue;
      dispatch({ kind: "announcement", at: unixNow(), announcement: event.announcement });
      await askDay(client);
    }
  }

  /** The selected market, and the next one once another is selected. */
  async function followMarket(client: ExchangeClient, over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      const { signal: changed } = reselect;
      const until = AbortSignal.any([over, changed]);
      const at = selected;
      if (at === undefined) await pause(DAY_EVERY_MS, until);
      else await Promise.all([followBook(client, at, until), followTrades(client, at, until)]);
    }
  }

  async function followBook(client: ExchangeClient, at: number, until: AbortSignal): Promise<void> {
    for await (const event of client.watchOrderBook(at, { signal: until })) {
      dispatch(event.kind === "book" ? event : { kind: "update", slot: at, update: event.update });
    }
  }

  async function followTrades(client: ExchangeClient, at: number, until: AbortSignal): Promise<void> {
    const askNewest = async (): Promise<void> => {
      const trades = await client.fetchTrades(at, TRADES);
      if (!until.aborted) dispatch({ kind: "trades", slot: at, trades, isHistory: true });
    };
    const stream = async (): Promise<void> => {
      for await (const trade of client.watchTrades(at, { signal: until })) {
        dispatch({ kind: "trades", slot: at, trades: [trade], isHistory: false });
      }
    };
    // Asked once more when the stream is surely open: nothing in between is missed.
    const askTwice = async (): Promise<void> => {
      await askNewest();
      await pause(DAY_EVERY_MS, until);
      if (!isOver(until)) await askNewest();
    };
    await Promise.all([stream(), askTwice()]);
  }

  return {
    ended: run(),
    select: (next) => {
      if (next === selected) return;
      selected = next;
      reselect.abort();
      reselect = new AbortController();
    },
  };
}

/** Brings what a wallet knows, until `signal` ends it. It never fails: what goes wrong is an event. */
export async function feedWallet(service: TraderService, dispatch: Dispatch, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      const orders = await service.run("orders", { all: true }, { signal });
      dispatch({ kind: "orders", at: unixNow(), orders });
      const balance = await service.run("balance", {}, { signal });
      dispatch({ kind: "balance", balance });
    } catch (error) {
      if (!isOver(signal)) dispatch({ kind: "wallet", problem: reasonOf(error) });
    }
    await pause(OWN_EVERY_MS, signal);
  }
}

/** A call, because the compiler takes a signal that was not aborted for one that never is. */
function isOver(signal: AbortSignal): boolean {
  return signal.aborted;
}

/** Waits, or until the signal. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}
