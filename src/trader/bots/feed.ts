import { setTimeout as sleep } from "node:timers/promises";
import type { ExchangeClient } from "../../api/client.ts";
import type { EpochReport, LevelChange, MarketReport } from "../../api/service.ts";
import { HedgerowError } from "../../protocol/errors.ts";
import type { Side } from "../../protocol/order.ts";
import type { BotBook, BotTrade, Level } from "./strategy.ts";

/** How often the day is looked at when nothing is announced. Milliseconds. */
const LOOK_MS = 1_000;
/** Trades that are kept for who looks next. */
const KEPT_TRADES = 10_000;
/** Prices of each side that a bot sees. */
const DEPTH = 20;

/** One market's public stream, for all bots that trade in it. */
type Market = {
  readonly sides: Readonly<Record<Side, Map<bigint, number>>>;
  book: BotBook | undefined;
  /** Oldest first; `dropped` came before. */
  trades: BotTrade[];
  dropped: number;
  lastTicks: number | undefined;
  isWhole: boolean;
};

/**
 * What everybody may see, followed once for a whole crowd: books, trades, where the day stands. Broken connections are
 * opened again by the client, and a book begins anew with them.
 */
export class MarketFeed {
  readonly #client: ExchangeClient;
  readonly #closing = new AbortController();
  readonly #markets = new Map<number, Market>();
  #reports = new Map<number, MarketReport>();
  #epoch: EpochReport | undefined;
  #epochAt = 0;
  #looking: Promise<void> | undefined;
  #fault: Error | undefined;

  private constructor(client: ExchangeClient) {
    this.#client = client;
  }

  /** Follows these markets until `close`. Throws ExchangeUnreachable, ExchangeRefused. */
  static async open(client: ExchangeClient, slots: readonly number[]): Promise<MarketFeed> {
    const feed = new MarketFeed(client);
    await feed.#look();
    for (const slot of new Set(slots)) feed.#follow(slot);
    feed.#background(feed.#announcements());
    feed.#background(feed.#clock());
    return feed;
  }

  /** Throws what ended a stream that should not end. */
  get epoch(): EpochReport {
    if (this.#fault !== undefined) throw this.#fault;
    if (this.#epoch === undefined) throw new Error("the feed is not open");
    return this.#epoch;
  }

  /** The exchange's time, unix seconds with fractions. */
  get time(): number {
    return Number(this.epoch.time) + (performance.now() - this.#epochAt) / 1_000;
  }

  report(slot: number): MarketReport | undefined {
    return this.#reports.get(slot);
  }

  /** The book, or undefined before it is there. */
  book(slot: number): BotBook | undefined {
    const market = this.#markets.get(slot);
    const tick = this.report(slot)?.tick;
    if (market?.isWhole !== true || tick === undefined) return undefined;
    const levels = (side: Side): readonly Level[] =>
      [...market.sides[side]]
        .map(([price, quantity]) => ({ priceTicks: Number(price / tick), quantity }))
        .sort((a, b) => (side === "buy" ? b.priceTicks - a.priceTicks : a.priceTicks - b.priceTicks))
        .slice(0, DEPTH);
    return (market.book ??= { bids: levels("buy"), asks: levels("sell") });
  }

  lastTicks(slot: number): number | undefined {
    const { lastPrice, tick } = this.report(slot) ?? {};
    const seen = this.#markets.get(slot)?.lastTicks;
    return seen ?? (lastPrice === undefined || tick === undefined ? undefined : Number(lastPrice / tick));
  }

  /** Trades from the number `from` on, and the number to ask with next. */
  tradesFrom(slot: number, from: number): { readonly trades: readonly BotTrade[]; readonly next: number } {
    const market = this.#markets.get(slot);
    if (market === undefined) return { trades: [], next: from };
    const next = market.dropped + market.trades.length;
    return { trades: market.trades.slice(Math.max(0, from - market.dropped)), next };
  }

  close(): void {
    this.#closing.abort();
  }

  // ---------------------------------------------------------------- streams

  #follow(slot: number): void {
    const market: Market = {
      sides: { buy: new Map(), sell: new Map() },
      book: undefined,
      trades: [],
      dropped: 0,
      lastTicks: undefined,
      isWhole: false,
    };
    this.#markets.set(slot, market);
    this.#background(this.#followBook(slot, market));
    this.#background(this.#followTrades(slot, market));
  }

  async #followBook(slot: number, market: Market): Promise<void> {
    for await (const event of this.#client.watchOrderBook(slot, { signal: this.#closing.signal })) {
      market.book = undefined;
      if (event.kind === "update") {
        for (const change of event.update.changes) apply(market, change);
        continue;
      }
      const { bids, asks } = event.book;
      market.sides.buy.clear();
      market.sides.sell.clear();
      for (const level of bids) apply(market, { side: "buy", ...level });
      for (const level of asks) apply(market, { side: "sell", ...level });
      market.isWhole = true;
    }
  }

  async #followTrades(slot: number, market: Market): Promise<void> {
    for await (const { price, quantity, time } of this.#client.watchTrades(slot, { signal: this.#closing.signal })) {
      const tick = this.report(slot)?.tick ?? 1n;
      const priceTicks = Number(price / tick);
      market.lastTicks = priceTicks;
      market.trades.push({ priceTicks, quantity, time: Number(time) });
      if (market.trades.length > 2 * KEPT_TRADES) {
        market.dropped += KEPT_TRADES;
        market.trades = market.trades.slice(KEPT_TRADES);
      }
    }
  }

  async #announcements(): Promise<void> {
    for await (const event of this.#client.watchAnnouncements({ signal: this.#closing.signal })) {
      if (event.kind === "announcement" && event.announcement.type !== "batch") await this.#lookAgain();
    }
  }

  async #clock(): Promise<void> {
    while (!this.#isClosed()) {
      await sleep(LOOK_MS, undefined, { ref: false });
      if (!this.#isClosed()) await this.#lookAgain();
    }
  }

  #isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** An exchange that is away for a while is asked again later. */
  async #lookAgain(): Promise<void> {
    this.#looking ??= this.#look().catch((error: unknown) => {
      if (!(error instanceof HedgerowError)) throw error;
    });
    try {
      await this.#looking;
    } finally {
      this.#looking = undefined;
    }
  }

  async #look(): Promise<void> {
    const [epoch, markets] = await Promise.all([this.#client.fetchEpoch(), this.#client.fetchMarkets()]);
    if (this.#epoch !== undefined && epoch.epoch !== this.#epoch.epoch) {
      for (const market of this.#markets.values()) market.lastTicks = undefined;
    }
    this.#epoch = epoch;
    this.#epochAt = performance.now();
    this.#reports = new Map(markets.map((market) => [market.slot, market]));
  }

  #background(work: Promise<void>): void {
    work.catch((error: unknown) => {
      if (!this.#isClosed()) this.#fault ??= error instanceof Error ? error : new Error(String(error));
    });
  }
}

function apply({ sides }: Market, { side, price, quantity }: LevelChange): void {
  if (quantity === 0) sides[side].delete(price);
  else sides[side].set(price, quantity);
}
