import type { BookEvent, AnnouncementEvent } from "../api/client.ts";
import type { Candle } from "../api/codecMarkets.ts";
import type { EpochReport, LevelChange, MarketReport, PublicTrade } from "../api/service.ts";
import { contractName } from "../trader/markets.ts";
import type { BookSides, Level } from "./screenModel.ts";

/*
 * The `--json` form of what everybody may know. Amounts and prices are decimal strings of base units, times unix
 * seconds, quantities whole contracts; an event of `--follow` is one line with its `type`.
 */

/** Everything about a market. `change`: last price less settlement price; null before the first trade. */
export function marketJson(market: MarketReport) {
  const { lastPrice, centre } = market;
  return {
    slot: market.slot,
    contract: contractName(market.contractId),
    contractId: market.contractId,
    session: market.session,
    settlementPrice: text(centre),
    lowerLimit: text(market.priceLimitDown),
    upperLimit: text(market.priceLimitUp),
    tick: text(market.tick),
    lastPrice: lastPrice === undefined ? null : text(lastPrice),
    change: lastPrice === undefined ? null : text(lastPrice - centre),
    volume: market.volume,
    initialMargin: text(market.initialMargin),
    maintenanceMargin: text(market.maintenanceMargin),
    closeOutFee: text(market.closeOutFee),
    fillFee: text(market.fillFee),
    priceCollar: text(market.priceCollar),
    lastTradingTime: Number(market.lastTradingTime),
  };
}

/** Where the day stands. */
export function epochJson(epoch: EpochReport) {
  return {
    epoch: epoch.epoch,
    phase: epoch.phase,
    openedAt: Number(epoch.openedAt),
    auctionTime: epoch.auctionTime === undefined ? null : Number(epoch.auctionTime),
    closingTime: Number(epoch.closingTime),
    time: Number(epoch.time),
    relayFee: text(epoch.relayFee),
  };
}

/** A book, best prices first. */
export function bookJson(market: MarketReport, { seq, bids, asks }: BookSides) {
  return { ...nameJson(market), seq, bids: bids.map(levelJson), asks: asks.map(levelJson) };
}

/** A trade. */
export function tradeJson(market: MarketReport, trade: PublicTrade) {
  return {
    ...nameJson(market),
    seq: trade.seq,
    n: trade.n,
    time: Number(trade.time),
    price: text(trade.price),
    quantity: trade.quantity,
    takerSide: trade.takerSide,
  };
}

/** A candle. `time`: its beginning. */
export function candleJson(market: MarketReport, candle: Candle) {
  return {
    ...nameJson(market),
    time: Number(candle.time),
    open: text(candle.open),
    high: text(candle.high),
    low: text(candle.low),
    close: text(candle.close),
    volume: candle.volume,
  };
}

/** A book, or a step of it: the levels that changed, as they are now; quantity 0: the level is gone. */
export function bookEventJson(market: MarketReport, event: BookEvent) {
  if (event.kind === "book") return { type: "book", ...bookJson(market, event.book) };
  const { seq, changes } = event.update;
  const of = (side: LevelChange["side"]) => changes.filter((change) => change.side === side).map(levelJson);
  return { type: "update", ...nameJson(market), seq, bids: of("buy"), asks: of("sell") };
}

/** Where the day stands, or what was announced. */
export function announcementJson(event: AnnouncementEvent) {
  if (event.kind === "epoch") return { type: "epoch", ...epochJson(event.epoch) };
  const { announcement } = event;
  const time = Number(event.time);
  switch (announcement.type) {
    case "session":
      return { time, ...announcement };
    case "batch":
      return { time, ...announcement, transactionHash: announcement.transactionHash ?? null };
    case "closing-moved": {
      const { type, epoch, closingTime } = announcement;
      return { type, time, epoch, closingTime: Number(closingTime) };
    }
    case "epoch-opened": {
      const { type, epoch, openedAt, closingTime } = announcement;
      return { type, time, epoch, openedAt: Number(openedAt), closingTime: Number(closingTime) };
    }
    case "epoch-closed": {
      const { type, epoch, closedAt, renewFrom, renewUntil, settlementPrices } = announcement;
      return {
        type,
        time,
        epoch,
        closedAt: Number(closedAt),
        renewFrom: Number(renewFrom),
        renewUntil: Number(renewUntil),
        settlementPrices: settlementPrices.map(({ slot, price }) => ({ slot, price: text(price) })),
      };
    }
  }
}

function nameJson({ slot, contractId }: MarketReport) {
  return { slot, contract: contractName(contractId) };
}

function levelJson({ price, quantity, orders }: Level) {
  return { price: text(price), quantity, orders };
}

function text(value: bigint): string {
  return value.toString();
}
