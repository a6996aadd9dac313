import type { BookUpdate } from "../api/codecMarkets.ts";
import type { Announcement, BookSnapshot, EpochReport, MarketReport, PublicTrade } from "../api/service.ts";
import { isLive } from "../trader/liveOrder.ts";
import type { BalanceView, OrderView } from "../trader/views.ts";

/*
 * What the live view knows, and how each event changes it. Pure: the driver brings the events, and `render` in
 * screen.ts makes lines of it.
 */

export type Level = BookSnapshot["bids"][number];

/** Both sides of a market, best price first. `seq`: the newest step that is in it. */
export type BookSides = { readonly seq: number; readonly bids: readonly Level[]; readonly asks: readonly Level[] };

/** Contracts that one of my orders traded; `price` is their mean, base units. */
export type OwnFill = {
  readonly time: number;
  readonly ref: string;
  readonly contract: string;
  readonly side: "buy" | "sell";
  readonly quantity: number;
  readonly price: bigint;
};

/** What a wallet adds to the view. */
export type Own = {
  readonly wallet: string;
  /** The orders that live. */
  readonly orders: readonly OrderView[];
  /** Newest first. */
  readonly fills: readonly OwnFill[];
  /** Contracts filled and their worth, by order, to tell a new fill from an old one. */
  readonly filled: ReadonlyMap<string, { readonly quantity: number; readonly value: bigint }>;
  readonly balance: BalanceView | undefined;
  /** Why the wallet does not answer; undefined: it does. */
  readonly problem: string | undefined;
};

/** Whether the exchange answers, and since when (local unix seconds). */
export type Connection = {
  readonly state: "connecting" | "live" | "lost";
  readonly since: number;
  readonly reason: string;
};

export type WatchModel = {
  /** Where the exchange is: its address. */
  readonly exchange: string;
  readonly decimals: number;
  /** Unix seconds here; the exchange's clock is `clockAhead` seconds ahead of it. */
  readonly now: number;
  readonly clockAhead: number;
  readonly connection: Connection;
  readonly markets: readonly MarketReport[];
  readonly slot: number | undefined;
  readonly epoch: EpochReport | undefined;
  readonly book: BookSides | undefined;
  /** Newest first. */
  readonly trades: readonly PublicTrade[];
  /** Levels shown of each side; undefined: as many as there is room for. */
  readonly depth: number | undefined;
  readonly help: boolean;
  /** What was announced last, and until when it is shown (local unix seconds). */
  readonly notice: { readonly announcement: Announcement; readonly until: number } | undefined;
  readonly own: Own | undefined;
};

/** Keys that mean something. */
export type Key = "quit" | "interrupt" | "suspend" | "redraw" | "next" | "previous" | "deeper" | "shallower" | "help";

/** Whatever changes the view. `at`: unix seconds here. */
export type WatchEvent =
  | { readonly kind: "tick"; readonly at: number }
  | {
      readonly kind: "day";
      readonly at: number;
      readonly epoch: EpochReport;
      readonly markets: readonly MarketReport[];
    }
  | { readonly kind: "lost"; readonly at: number; readonly reason: string }
  | { readonly kind: "book"; readonly book: BookSnapshot }
  | { readonly kind: "update"; readonly slot: number; readonly update: BookUpdate }
  | {
      readonly kind: "trades";
      readonly slot: number;
      readonly trades: readonly PublicTrade[];
      /** They were asked for, and did not come as they happened. */
      readonly isHistory: boolean;
    }
  | { readonly kind: "announcement"; readonly at: number; readonly announcement: Announcement }
  | { readonly kind: "orders"; readonly at: number; readonly orders: readonly OrderView[] }
  | { readonly kind: "balance"; readonly balance: BalanceView }
  | { readonly kind: "wallet"; readonly problem: string }
  | { readonly kind: "select"; readonly slot: number }
  | { readonly kind: "key"; readonly key: Key };

/** Trades and own fills that are remembered. */
const REMEMBERED = 200;
/** Levels of a side that are remembered, the best ones: an exchange that names more would fill the memory. */
export const MOST_LEVELS = 10_000;
const NOTICE_SECONDS = 20;
const MOST_DEPTH = 100;
const FIRST_DEPTH = 5;

/** A view that has heard nothing yet. `wallet`: name of the wallet whose orders it will show. */
export function emptyModel(options: {
  readonly exchange: string;
  readonly decimals: number;
  readonly now: number;
  readonly depth?: number | undefined;
  readonly wallet?: string | undefined;
}): WatchModel {
  const { exchange, decimals, now, depth, wallet } = options;
  return {
    exchange,
    decimals,
    now,
    clockAhead: 0,
    connection: { state: "connecting", since: now, reason: "" },
    markets: [],
    slot: undefined,
    epoch: undefined,
    book: undefined,
    trades: [],
    depth,
    help: false,
    notice: undefined,
    own:
      wallet === undefined
        ? undefined
        : { wallet, orders: [], fills: [], filled: new Map(), balance: undefined, problem: undefined },
  };
}

/** The model after an event. */
export function reduce(model: WatchModel, event: WatchEvent): WatchModel {
  switch (event.kind) {
    case "tick":
      return {
        ...model,
        now: event.at,
        notice: model.notice !== undefined && event.at >= model.notice.until ? undefined : model.notice,
      };
    case "day":
      return afterDay(model, event);
    case "lost":
      return model.connection.state === "lost"
        ? { ...model, now: event.at, connection: { ...model.connection, reason: event.reason } }
        : { ...model, now: event.at, connection: { state: "lost", since: event.at, reason: event.reason } };
    case "book": {
      const { slot, seq, bids, asks } = event.book;
      return slot === model.slot
        ? { ...model, book: { seq, bids: bids.slice(0, MOST_LEVELS), asks: asks.slice(0, MOST_LEVELS) } }
        : model;
    }
    case "update":
      return event.slot === model.slot && model.book !== undefined
        ? { ...model, book: stepped(model.book, event.update) }
        : model;
    case "trades":
      return event.slot === model.slot ? { ...model, trades: merged(model.trades, event.trades) } : model;
    case "announcement":
      return {
        ...model,
        notice: isForReaders(event.announcement)
          ? { announcement: event.announcement, until: event.at + NOTICE_SECONDS }
          : model.notice,
      };
    case "orders":
      return model.own === undefined ? model : { ...model, own: withOrders(model.own, event.orders, event.at) };
    case "balance":
      return model.own === undefined
        ? model
        : { ...model, own: { ...model.own, balance: event.balance, problem: undefined } };
    case "wallet":
      return model.own === undefined ? model : { ...model, own: { ...model.own, problem: event.problem } };
    case "select":
      return selected(model, event.slot);
    case "key":
      return afterKey(model, event.key);
  }
}

/** The market that is shown; undefined before it is known, and when it is no longer listed. */
export function marketOf({ markets, slot }: WatchModel): MarketReport | undefined {
  return markets.find((market) => market.slot === slot);
}

function afterDay(model: WatchModel, event: WatchEvent & { readonly kind: "day" }): WatchModel {
  const { at, epoch, markets } = event;
  const live: Connection = { state: "live", since: at, reason: "" };
  const next: WatchModel = {
    ...model,
    now: at,
    clockAhead: Number(epoch.time) - at,
    epoch,
    markets,
    connection: model.connection.state === "live" ? model.connection : live,
  };
  // A slot without a contract shows nothing: go to one that has.
  const [first] = markets;
  return marketOf(next) === undefined && first !== undefined ? selected(next, first.slot) : next;
}

function selected(model: WatchModel, slot: number): WatchModel {
  return slot === model.slot ? model : { ...model, slot, book: undefined, trades: [] };
}

function afterKey(model: WatchModel, key: Key): WatchModel {
  switch (key) {
    case "next":
    case "previous": {
      const { markets } = model;
      const at = markets.findIndex((market) => market.slot === model.slot);
      const market = markets.at((at + (key === "next" ? 1 : -1)) % markets.length);
      return market === undefined ? model : selected({ ...model, help: false }, market.slot);
    }
    case "deeper":
      // Beyond the most it is as many as there is room for, which is where it began.
      return { ...model, depth: model.depth === undefined || model.depth >= MOST_DEPTH ? undefined : model.depth + 1 };
    case "shallower":
      return { ...model, depth: model.depth === undefined ? FIRST_DEPTH : Math.max(1, model.depth - 1) };
    case "help":
      return { ...model, help: !model.help };
    case "quit":
    case "interrupt":
    case "suspend":
    case "redraw":
      return model;
  }
}

/** Batches come every few seconds: they would hide everything else. */
function isForReaders({ type }: Announcement): boolean {
  return type !== "batch";
}

/** The book after a step of it: each level that is named becomes what is said of it. */
function stepped(book: BookSides, { seq, changes }: BookUpdate): BookSides {
  let { bids, asks } = book;
  for (const { side, ...level } of changes) {
    if (side === "buy") bids = withLevel(bids, level, (price) => price <= level.price);
    else asks = withLevel(asks, level, (price) => price >= level.price);
  }
  return { seq, bids, asks };
}

function withLevel(levels: readonly Level[], level: Level, notBefore: (price: bigint) => boolean): readonly Level[] {
  const found = levels.findIndex(({ price }) => notBefore(price));
  const at = found === -1 ? levels.length : found;
  const replaced = levels[at]?.price === level.price ? 1 : 0;
  if (level.quantity === 0) return levels.toSpliced(at, replaced);
  return levels.toSpliced(at, replaced, level).slice(0, MOST_LEVELS);
}

/** Trades of two lists, each once, newest first; what is known stays the same object. */
function merged(known: readonly PublicTrade[], more: readonly PublicTrade[]): readonly PublicTrade[] {
  const newestFirst = (a: PublicTrade, b: PublicTrade): number => b.seq - a.seq || b.n - a.n;
  const byPlace = new Map([...more, ...known].map((trade) => [`${trade.seq}:${trade.n}`, trade]));
  return [...byPlace.values()].sort(newestFirst).slice(0, REMEMBERED);
}

function withOrders(own: Own, orders: readonly OrderView[], at: number): Own {
  const filled = new Map(own.filled);
  const fills: OwnFill[] = [];
  for (const { ref, contract, side, filled: quantity, averagePrice, time } of orders) {
    const before = filled.get(ref) ?? { quantity: 0, value: 0n };
    if (quantity <= before.quantity || averagePrice === null) continue;
    const value = BigInt(averagePrice) * BigInt(quantity);
    const more = quantity - before.quantity;
    fills.push({ time: time ?? at, ref, contract, side, quantity: more, price: (value - before.value) / BigInt(more) });
    filled.set(ref, { quantity, value });
  }
  return {
    ...own,
    problem: undefined,
    orders: orders.filter(isLive),
    filled,
    fills: [...fills.sort((a, b) => b.time - a.time), ...own.fills].slice(0, REMEMBERED),
  };
}
