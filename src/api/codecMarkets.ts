import type {
  Announcement,
  BatchReport,
  BookSnapshot,
  EpochReport,
  LevelChange,
  MarketReport,
  PublicTrade,
  QueuedTransition,
  TicketReport,
} from "./service.ts";
import type { Session } from "../market/types.ts";
import type { Phase } from "../protocol/epoch.ts";
import {
  addressFrom,
  enumeration,
  hashFrom,
  integerFrom,
  MalformedField,
  present,
  safeNumberFrom,
  slotFrom,
  wordFrom,
  wordOf,
} from "./codec.ts";
import { SIDE } from "./codecOrders.ts";
import * as wire from "./gen/hedgerow/exchange/v1/exchange_pb.ts";

// Tickets, markets, the day, books, trades and candles as messages.

/** Trades of one span of time: prices in base units per contract, volume in contracts, time its beginning. */
export type Candle = {
  readonly time: bigint;
  readonly open: bigint;
  readonly high: bigint;
  readonly low: bigint;
  readonly close: bigint;
  readonly volume: number;
};

/** Lengths of candles. */
export const INTERVALS = ["1s", "1m", "5m", "15m", "1h", "1d"] as const;
export type CandleInterval = (typeof INTERVALS)[number];

/** A step of the book: what one command changed. `prevSeq` is the number of this market's step before. */
export type BookUpdate = {
  readonly seq: number;
  readonly prevSeq: number;
  readonly changes: readonly LevelChange[];
};

export const INTERVAL = enumeration<CandleInterval, wire.Interval>({
  "1s": wire.Interval.INTERVAL_1S,
  "1m": wire.Interval.INTERVAL_1M,
  "5m": wire.Interval.INTERVAL_5M,
  "15m": wire.Interval.INTERVAL_15M,
  "1h": wire.Interval.INTERVAL_1H,
  "1d": wire.Interval.INTERVAL_1D,
});
const SESSION = enumeration<Session, wire.Session>({
  "pre-open": wire.Session.PRE_OPEN,
  open: wire.Session.OPEN,
  halted: wire.Session.HALTED,
  closing: wire.Session.CLOSING,
  closed: wire.Session.CLOSED,
});
const PHASE = enumeration<Phase, wire.Phase>({ trading: wire.Phase.TRADING, window: wire.Phase.WINDOW });
const BATCH_STATUS = enumeration<BatchReport["status"], wire.BatchStatus>({
  sent: wire.BatchStatus.SENT,
  settled: wire.BatchStatus.SETTLED,
});
const TICKET_STATUS = enumeration<TicketReport["status"], wire.TicketStatus>({
  pending: wire.TicketStatus.PENDING,
  open: wire.TicketStatus.OPEN,
  inherited: wire.TicketStatus.INHERITED,
  closing: wire.TicketStatus.CLOSING,
});

/** The message of a queued transition. */
export function queuedMessageOf({ nullifier, ticketIds }: QueuedTransition): wire.SubmitTransitionResponse {
  return {
    $typeName: "hedgerow.exchange.v1.SubmitTransitionResponse",
    nullifier: wordOf(nullifier),
    ticketIds: [...ticketIds],
  };
}

/** The queued transition of a message. Throws MalformedField. */
export function queuedFrom(message: wire.SubmitTransitionResponse): QueuedTransition {
  return {
    nullifier: wordFrom("nullifier", message.nullifier),
    ticketIds: message.ticketIds.map((id) => hashFrom("ticket_ids", id)),
  };
}

/** The message of a ticket. */
export function ticketMessageOf(ticket: TicketReport): wire.Ticket {
  return {
    $typeName: "hedgerow.exchange.v1.Ticket",
    ticketId: ticket.ticketId,
    sessionKey: ticket.sessionKey.toLowerCase(),
    slot: ticket.slot,
    reduceOnly: ticket.reduceOnly,
    status: TICKET_STATUS.numberOf(ticket.status),
    cash: ticket.cash.toString(),
    position: ticket.position.toString(),
  };
}

/** The ticket of a message. Throws MalformedField. */
export function ticketFrom(message: wire.Ticket): TicketReport {
  return {
    ticketId: hashFrom("ticket_id", message.ticketId),
    sessionKey: addressFrom("session_key", message.sessionKey),
    slot: message.slot,
    reduceOnly: message.reduceOnly,
    status: TICKET_STATUS.nameOf("status", message.status),
    cash: integerFrom("cash", message.cash),
    position: integerFrom("position", message.position),
  };
}

/** The message of a market. */
export function marketMessageOf(market: MarketReport): wire.Market {
  return {
    $typeName: "hedgerow.exchange.v1.Market",
    slot: market.slot,
    contractId: market.contractId,
    session: SESSION.numberOf(market.session),
    tick: market.tick.toString(),
    centre: market.centre.toString(),
    priceLimitDown: market.priceLimitDown.toString(),
    priceLimitUp: market.priceLimitUp.toString(),
    initialMargin: market.initialMargin.toString(),
    maintenanceMargin: market.maintenanceMargin.toString(),
    closeOutFee: market.closeOutFee.toString(),
    fillFee: market.fillFee.toString(),
    priceCollar: market.priceCollar.toString(),
    lastTradingTime: market.lastTradingTime,
    ...(market.lastPrice === undefined ? {} : { lastPrice: market.lastPrice.toString() }),
    volume: BigInt(market.volume),
  };
}

/** The market of a message. Throws MalformedField. */
export function marketFrom(message: wire.Market): MarketReport {
  return {
    slot: slotFrom("slot", message.slot),
    contractId: hashFrom("contract_id", message.contractId),
    session: SESSION.nameOf("session", message.session),
    tick: tickFrom(message.tick),
    centre: integerFrom("centre", message.centre),
    priceLimitDown: integerFrom("price_limit_down", message.priceLimitDown),
    priceLimitUp: integerFrom("price_limit_up", message.priceLimitUp),
    initialMargin: integerFrom("initial_margin", message.initialMargin),
    maintenanceMargin: integerFrom("maintenance_margin", message.maintenanceMargin),
    closeOutFee: integerFrom("close_out_fee", message.closeOutFee),
    fillFee: integerFrom("fill_fee", message.fillFee),
    priceCollar: integerFrom("price_collar", message.priceCollar),
    lastTradingTime: message.lastTradingTime,
    lastPrice: message.lastPrice === undefined ? undefined : integerFrom("last_price", message.lastPrice),
    volume: safeNumberFrom("volume", message.volume),
  };
}

/** Prices are counted in ticks: none of them is zero. */
function tickFrom(text: string): bigint {
  const tick = integerFrom("tick", text);
  if (tick <= 0n) throw new MalformedField("tick", "expected more than zero");
  return tick;
}

/** The message of where the day stands. */
export function epochMessageOf(epoch: EpochReport): wire.Epoch {
  return {
    $typeName: "hedgerow.exchange.v1.Epoch",
    epoch: epoch.epoch,
    phase: PHASE.numberOf(epoch.phase),
    openedAt: epoch.openedAt,
    ...(epoch.auctionTime === undefined ? {} : { auctionTime: epoch.auctionTime }),
    closingTime: epoch.closingTime,
    time: epoch.time,
    relayFee: epoch.relayFee.toString(),
    nextBatchNumber: BigInt(epoch.nextBatchNumber),
    logHead: epoch.logHead,
  };
}

/** Where the day stands, of a message. Throws MalformedField. */
export function epochFrom(message: wire.Epoch): EpochReport {
  return {
    epoch: message.epoch,
    phase: PHASE.nameOf("phase", message.phase),
    openedAt: message.openedAt,
    auctionTime: message.auctionTime,
    closingTime: message.closingTime,
    time: message.time,
    relayFee: integerFrom("relay_fee", message.relayFee),
    nextBatchNumber: safeNumberFrom("next_batch_number", message.nextBatchNumber),
    logHead: hashFrom("log_head", message.logHead),
  };
}

/** The message of a batch. */
export function batchMessageOf(batch: BatchReport): wire.Batch {
  return {
    $typeName: "hedgerow.exchange.v1.Batch",
    batchNumber: BigInt(batch.batchNumber),
    status: BATCH_STATUS.numberOf(batch.status),
    ...(batch.transactionHash === undefined ? {} : { transactionHash: batch.transactionHash }),
    transitions: batch.transitions,
    fills: batch.fills,
  };
}

/** The batch of a message. Throws MalformedField. */
export function batchFrom(message: wire.Batch): BatchReport {
  return {
    batchNumber: safeNumberFrom("batch_number", message.batchNumber),
    status: BATCH_STATUS.nameOf("status", message.status),
    transactionHash: optionalHash(message.transactionHash),
    transitions: message.transitions,
    fills: message.fills,
  };
}

/** The message of a book, with at most `limit` levels of each side (0: all). */
export function bookMessageOf(book: BookSnapshot, limit = 0): wire.OrderBook {
  const some = (levels: BookSnapshot["bids"]) => (limit === 0 ? levels : levels.slice(0, limit)).map(levelMessageOf);
  return {
    $typeName: "hedgerow.exchange.v1.OrderBook",
    slot: book.slot,
    seq: BigInt(book.seq),
    bids: some(book.bids),
    asks: some(book.asks),
  };
}

/** The book of a message. Throws MalformedField. */
export function bookFrom(message: wire.OrderBook): BookSnapshot {
  return {
    slot: message.slot,
    seq: safeNumberFrom("seq", message.seq),
    bids: message.bids.map(levelFrom),
    asks: message.asks.map(levelFrom),
  };
}

/** The message of a step of the book. */
export function updateMessageOf({ seq, prevSeq, changes }: BookUpdate): wire.BookUpdate {
  return {
    $typeName: "hedgerow.exchange.v1.BookUpdate",
    seq: BigInt(seq),
    prevSeq: BigInt(prevSeq),
    bids: changes.filter(({ side }) => side === "buy").map(levelMessageOf),
    asks: changes.filter(({ side }) => side === "sell").map(levelMessageOf),
  };
}

/** The step of the book of a message. Throws MalformedField. */
export function updateFrom(message: wire.BookUpdate): BookUpdate {
  return {
    seq: safeNumberFrom("seq", message.seq),
    prevSeq: safeNumberFrom("prev_seq", message.prevSeq),
    changes: [
      ...message.bids.map((level): LevelChange => ({ side: "buy", ...levelFrom(level) })),
      ...message.asks.map((level): LevelChange => ({ side: "sell", ...levelFrom(level) })),
    ],
  };
}

function levelMessageOf({ price, quantity, orders }: BookSnapshot["bids"][number]): wire.Level {
  return {
    $typeName: "hedgerow.exchange.v1.Level",
    price: price.toString(),
    quantity: BigInt(quantity),
    orders,
  };
}

function levelFrom(message: wire.Level): BookSnapshot["bids"][number] {
  return {
    price: integerFrom("price", message.price),
    quantity: safeNumberFrom("quantity", message.quantity),
    orders: message.orders,
  };
}

/** The message of a trade. */
export function tradeMessageOf(trade: PublicTrade): wire.Trade {
  return {
    $typeName: "hedgerow.exchange.v1.Trade",
    slot: trade.slot,
    seq: BigInt(trade.seq),
    n: trade.n,
    price: trade.price.toString(),
    quantity: trade.quantity,
    takerSide: SIDE.numberOf(trade.takerSide),
    time: trade.time,
  };
}

/** The trade of a message. Throws MalformedField. */
export function tradeFrom(message: wire.Trade): PublicTrade {
  return {
    slot: message.slot,
    seq: safeNumberFrom("seq", message.seq),
    n: message.n,
    price: integerFrom("price", message.price),
    quantity: message.quantity,
    takerSide: SIDE.nameOf("taker_side", message.takerSide),
    time: message.time,
  };
}

/** The message of a candle. */
export function candleMessageOf(candle: Candle): wire.Candle {
  return {
    $typeName: "hedgerow.exchange.v1.Candle",
    time: candle.time,
    open: candle.open.toString(),
    high: candle.high.toString(),
    low: candle.low.toString(),
    close: candle.close.toString(),
    volume: BigInt(candle.volume),
  };
}

/** The candle of a message. Throws MalformedField. */
export function candleFrom(message: wire.Candle): Candle {
  return {
    time: message.time,
    open: integerFrom("open", message.open),
    high: integerFrom("high", message.high),
    low: integerFrom("low", message.low),
    close: integerFrom("close", message.close),
    volume: safeNumberFrom("volume", message.volume),
  };
}

/** The message of an announcement made at `time`. */
export function announcementMessageOf(announcement: Announcement, time: bigint): wire.Announcement {
  return { $typeName: "hedgerow.exchange.v1.Announcement", time, body: announcementBodyOf(announcement) };
}

function announcementBodyOf(announcement: Announcement): wire.Announcement["body"] {
  switch (announcement.type) {
    case "epoch-opened": {
      const { epoch, openedAt, closingTime } = announcement;
      return {
        case: "epochOpened",
        value: { $typeName: "hedgerow.exchange.v1.EpochOpened", epoch, openedAt, closingTime },
      };
    }
    case "closing-moved": {
      const { epoch, closingTime } = announcement;
      return {
        case: "closingMoved",
        value: { $typeName: "hedgerow.exchange.v1.ClosingMoved", epoch, closingTime },
      };
    }
    case "session": {
      const { slot, session } = announcement;
      return {
        case: "sessionChanged",
        value: { $typeName: "hedgerow.exchange.v1.SessionChanged", slot, session: SESSION.numberOf(session) },
      };
    }
    case "epoch-closed": {
      const { epoch, closedAt, renewFrom, renewUntil, settlementPrices } = announcement;
      return {
        case: "epochClosed",
        value: {
          $typeName: "hedgerow.exchange.v1.EpochClosed",
          epoch,
          closedAt,
          renewFrom,
          renewUntil,
          settlementPrices: settlementPrices.map(({ slot, price }) => ({
            $typeName: "hedgerow.exchange.v1.SettlementPrice",
            slot,
            price: price.toString(),
          })),
        },
      };
    }
    case "batch": {
      const { batchNumber, transactionHash, transitions, fills } = announcement;
      return {
        case: "batchPosted",
        value: {
          $typeName: "hedgerow.exchange.v1.BatchPosted",
          batchNumber: BigInt(batchNumber),
          ...(transactionHash === undefined ? {} : { transactionHash }),
          transitions,
          fills,
        },
      };
    }
  }
}

/** The announcement of a message and when it was made. Throws MalformedField. */
export function announcementFrom(message: wire.Announcement): { time: bigint; announcement: Announcement } {
  return { time: message.time, announcement: announcementOf(message.body) };
}

function announcementOf(body: wire.Announcement["body"]): Announcement {
  switch (body.case) {
    case undefined:
      throw new MalformedField("announcement", "it is of a kind that is not known here");
    case "epochOpened": {
      const { epoch, openedAt, closingTime } = body.value;
      return { type: "epoch-opened", epoch, openedAt, closingTime };
    }
    case "closingMoved": {
      const { epoch, closingTime } = body.value;
      return { type: "closing-moved", epoch, closingTime };
    }
    case "sessionChanged":
      return { type: "session", slot: body.value.slot, session: SESSION.nameOf("session", body.value.session) };
    case "epochClosed": {
      const { epoch, closedAt, renewFrom, renewUntil, settlementPrices } = body.value;
      return {
        type: "epoch-closed",
        epoch,
        closedAt,
        renewFrom,
        renewUntil,
        settlementPrices: settlementPrices.map(({ slot, price }) => ({ slot, price: integerFrom("price", price) })),
      };
    }
    case "batchPosted":
      return {
        type: "batch",
        batchNumber: safeNumberFrom("batch_number", body.value.batchNumber),
        transactionHash: optionalHash(body.value.transactionHash),
        transitions: body.value.transitions,
        fills: body.value.fills,
      };
  }
}

/** What has to be there of a message, decoded. Throws MalformedField. */
export function decoded<M, T>(field: string, message: M | undefined, decode: (message: M) => T): T {
  return decode(present(field, message));
}

function optionalHash(text: string | undefined) {
  return text === undefined ? undefined : hashFrom("transaction_hash", text);
}
