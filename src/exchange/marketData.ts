import { type BookUpdate, type Candle, type CandleInterval, INTERVALS } from "../api/codecMarkets.ts";
import type { Hex } from "../protocol/keys.ts";
import type {
  Announcement,
  BookSnapshot,
  ExchangeEvent,
  ExchangeService,
  OrderReport,
  PublicTrade,
} from "../api/service.ts";
import type { SignedReceipt } from "../protocol/receipt.ts";

// The newest trades and candles of each market, and the distribution of everything that happens. Events of one turn go
// out together: who listens gets one group, the same object for all, so that it is encoded once.

/** Trades and candles that are kept for each market and length. */
const KEPT = 1_000;

const SECONDS: Readonly<Record<CandleInterval, bigint>> = {
  "1s": 1n,
  "1m": 60n,
  "5m": 300n,
  "15m": 900n,
  "1h": 3600n,
  "1d": 86400n,
};

/** What happened to one order. */
export type OrderEvent = { readonly order: OrderReport; readonly receipt: SignedReceipt };

/** An announcement and when it was made, unix seconds. */
export type TimedAnnouncement = { readonly announcement: Announcement; readonly time: bigint };

/** Takes groups of what happened. One that throws hears nothing more. */
export type Listener<T> = (group: readonly T[]) => void;

/** Market data of a service. Each `on...` returns how to stop. */
export type MarketData = {
  /** The newest trades of a market, oldest first; at most `limit` (0: all that are kept). */
  trades(slot: number, limit: number): readonly PublicTrade[];
  /** Kept trades after place (seq, n) of the log, oldest first. */
  tradesSince(slot: number, seq: number, n: number): readonly PublicTrade[];
  /** The newest candles of a market, oldest first; at most `limit` (0: all that are kept). */
  candles(slot: number, interval: CandleInterval, limit: number): readonly Candle[];
  /** The book now; the listener gets every step after it. */
  onBook(slot: number, listener: Listener<BookUpdate>): { readonly snapshot: BookSnapshot; readonly stop: () => void };
  onTrades(slot: number, listener: Listener<PublicTrade>): () => void;
  /** Candles that changed, each as it is now. */
  onCandles(slot: number, interval: CandleInterval, listener: Listener<Candle>): () => void;
  onOrders(ticketId: Hex, listener: Listener<OrderEvent>): () => void;
  onAnnouncements(listener: Listener<TimedAnnouncement>): () => void;
  /** Sends what waits and takes no more events. */
  close(): void;
};

/** What is known of one slot. */
type SlotData = {
  contractId: Hex | undefined;
  lastBookSeq: number;
  readonly trades: PublicTrade[];
  readonly candles: Readonly<Record<CandleInterval, Candle[]>>;
};

/** Listeners by key, and what waits for each key. */
class Topic<K, T> {
  readonly #listeners = new Map<K, Set<Listener<T>>>();
  readonly #waiting = new Map<K, T[]>();

  has(key: K): boolean {
    return this.#listeners.has(key);
  }

  listen(key: K, listener: Listener<T>): () => void {
    const set = this.#listeners.get(key) ?? new Set<Listener<T>>();
    this.#listeners.set(key, set.add(listener));
    return () => this.#drop(key, listener);
  }

  add(key: K, item: T): void {
    if (!this.#listeners.has(key)) return;
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) this.#waiting.set(key, [item]);
    else waiting.push(item);
  }

  /** Gives out what waits. Listeners that throw are dropped, and `onFault` hears why. */
  flush(onFault: (error: unknown) => void): void {
    for (const [key, group] of this.#waiting) {
      for (const listener of this.#listeners.get(key) ?? []) {
        try {
          listener(group);
        } catch (error) {
          this.#drop(key, listener);
          onFault(error);
        }
      }
    }
    this.#waiting.clear();
  }

  #drop(key: K, listener: Listener<T>): void {
    const set = this.#listeners.get(key);
    set?.delete(listener);
    if (set?.size === 0) this.#listeners.delete(key);
  }
}

/** Follows a service from now on. `onFault` hears what a listener throws; it must not throw itself. */
export function createMarketData(service: ExchangeService, onFault: (error: unknown) => void): MarketData {
  const slots = new Map<number, SlotData>();
  const books = new Topic<number, BookUpdate>();
  const trades = new Topic<number, PublicTrade>();
  const candles = new Topic<string, Candle>();
  const orders = new Topic<Hex, OrderEvent>();
  const announcements = new Topic<"all", TimedAnnouncement>();
  /** First candle that changed since the last group, by slot and interval. */
  const changedFrom = new Map<string, { slot: number; interval: CandleInterval; time: bigint }>();
  let scheduled = false;

  function slotData(slot: number): SlotData {
    let data = slots.get(slot);
    if (data === undefined) {
      const contractId = service.markets().find((market) => market.slot === slot)?.contractId;
      data = { contractId, lastBookSeq: 0, trades: [], candles: emptyCandles() };
      slots.set(slot, data);
    }
    return data;
  }

  function flush(): void {
    scheduled = false;
    for (const [key, { slot, interval, time }] of changedFrom) {
      const kept = slotData(slot).candles[interval];
      let from = kept.length;
      while (from > 0 && (kept[from - 1]?.time ?? 0n) >= time) from -= 1;
      for (const candle of kept.slice(from)) candles.add(key, candle);
    }
    changedFrom.clear();
    for (const topic of [books, trades, candles, orders, announcements]) topic.flush(onFault);
  }

  function take(event: ExchangeEvent): void {
    switch (event.kind) {
      case "book": {
        const data = slotData(event.slot);
        books.add(event.slot, { seq: event.seq, prevSeq: data.lastBookSeq, changes: event.changes });
        data.lastBookSeq = event.seq;
        break;
      }
      case "trade":
        takeTrade(event.trade);
        break;
      case "order":
        orders.add(event.order.ticketId, event);
        break;
      case "announcement":
        if (event.announcement.type === "epoch-opened") forgetReplacedMarkets();
        announcements.add("all", event);
        break;
    }
    if (scheduled) return;
    scheduled = true;
    queueMicrotask(flush);
  }

  function takeTrade(trade: PublicTrade): void {
    const data = slotData(trade.slot);
    keep(data.trades, trade);
    trades.add(trade.slot, trade);
    for (const interval of INTERVALS) {
      const time = trade.time - (trade.time % SECONDS[interval]);
      const kept = data.candles[interval];
      const last = kept.at(-1);
      // A clock that was set back makes no new span before the last one.
      if (last !== undefined && time <= last.time) kept[kept.length - 1] = grown(last, trade);
      else keep(kept, opened(time, trade));
      const key = candleKey(trade.slot, interval);
      if (candles.has(key) && !changedFrom.has(key)) {
        changedFrom.set(key, { slot: trade.slot, interval, time: kept.at(-1)?.time ?? time });
      }
    }
  }

  /** A slot that got another contract starts anew. */
  function forgetReplacedMarkets(): void {
    const listed = new Map(service.markets().map((market) => [market.slot, market.contractId]));
    for (const [slot, data] of slots) {
      const contractId = listed.get(slot);
      if (contractId === data.contractId) continue;
      slots.set(slot, { contractId, lastBookSeq: data.lastBookSeq, trades: [], candles: emptyCandles() });
    }
  }

  const unsubscribe = service.subscribe(take);
  return {
    trades: (slot, limit) => newest(slots.get(slot)?.trades ?? [], limit),
    tradesSince: (slot, seq, n) =>
      newest(slots.get(slot)?.trades ?? [], 0).filter((trade) => trade.seq > seq || (trade.seq === seq && trade.n > n)),
    candles: (slot, interval, limit) => newest(slots.get(slot)?.candles[interval] ?? [], limit),
    onBook: (slot, listener) => {
      // Steps that wait belong to the snapshot already.
      flush();
      const snapshot = service.book(slot);
      return { snapshot, stop: books.listen(slot, listener) };
    },
    onTrades: (slot, listener) => {
      flush();
      return trades.listen(slot, listener);
    },
    onCandles: (slot, interval, listener) => {
      flush();
      return candles.listen(candleKey(slot, interval), listener);
    },
    onOrders: (ticketId, listener) => orders.listen(ticketId, listener),
    onAnnouncements: (listener) => {
      flush();
      return announcements.listen("all", listener);
    },
    close: () => {
      unsubscribe();
      flush();
    },
  };
}

function candleKey(slot: number, interval: CandleInterval): string {
  return `${slot}:${interval}`;
}

function emptyCandles(): Record<CandleInterval, Candle[]> {
  return { "1s": [], "1m": [], "5m": [], "15m": [], "1h": [], "1d": [] };
}

function opened(time: bigint, { price, quantity }: PublicTrade): Candle {
  return { time, open: price, high: price, low: price, close: price, volume: quantity };
}

function grown(candle: Candle, { price, quantity }: PublicTrade): Candle {
  return {
    ...candle,
    high: price > candle.high ? price : candle.high,
    low: price < candle.low ? price : candle.low,
    close: price,
    volume: candle.volume + quantity,
  };
}

/** Appends, and now and then cuts off what is too old: constant cost on average. */
function keep<T>(kept: T[], item: T): void {
  kept.push(item);
  if (kept.length >= 2 * KEPT) kept.splice(0, kept.length - KEPT);
}

function newest<T>(kept: readonly T[], limit: number): readonly T[] {
  return kept.slice(-(limit === 0 ? KEPT : Math.min(limit, KEPT)));
}
