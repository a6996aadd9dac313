import type { Candle } from "../api/codecMarkets.ts";
import type { Announcement, MarketReport, PublicTrade } from "../api/service.ts";
import { contractName } from "../trader/markets.ts";
import { type BookSides, type OwnFill } from "./screenModel.ts";
import { amountText, cell, clockText, countText, dateText, priceFormat } from "./screenText.ts";

// What happens, a line each: for logs, pipes and terminals that can do no more.

/** A trade. */
export function tradeLine(market: MarketReport, trade: PublicTrade, decimals: number): string {
  const price = amountText(trade.price, priceFormat(market.tick, decimals));
  return `${clockText(trade.time)} ${nameOf(market)} trade ${countText(trade.quantity)} at ${price}, taker ${trade.takerSide}s`;
}

/** The best of both sides. `at`: unix seconds here. */
export function quoteLine(market: MarketReport, book: BookSides | undefined, at: number, decimals: number): string {
  const format = priceFormat(market.tick, decimals);
  const [bid, ask] = [book?.bids[0], book?.asks[0]];
  const quote = (side: string, level: typeof bid): string =>
    level === undefined ? `no ${side}` : `${side} ${countText(level.quantity)} at ${amountText(level.price, format)}`;
  return `${clockText(at)} ${nameOf(market)} ${quote("bid", bid)}, ${quote("ask", ask)}`;
}

/** A candle as it is now. */
export function candleLine(market: MarketReport, candle: Candle, decimals: number): string {
  const format = priceFormat(market.tick, decimals);
  const figures = (["open", "high", "low", "close"] as const)
    .map((name) => `${name} ${amountText(candle[name], format)}`)
    .join(", ");
  return `${dateText(candle.time)} ${nameOf(market)} ${figures}, volume ${countText(candle.volume)}`;
}

/** What was announced, as a sentence. */
export function announcementText(
  announcement: Announcement,
  markets: readonly MarketReport[],
  decimals: number,
): string {
  const marketAt = (at: number): MarketReport | undefined => markets.find(({ slot }) => slot === at);
  switch (announcement.type) {
    case "epoch-opened":
      return `day ${announcement.epoch} is open until ${clockText(announcement.closingTime)}`;
    case "closing-moved":
      return `day ${announcement.epoch} closes at ${clockText(announcement.closingTime)} now: margin is called early`;
    case "session": {
      const market = marketAt(announcement.slot);
      return `${market === undefined ? `slot ${announcement.slot}` : nameOf(market)} is ${announcement.session}`;
    }
    case "epoch-closed": {
      const { epoch, settlementPrices, renewFrom, renewUntil } = announcement;
      const prices = settlementPrices.flatMap(({ slot, price }) => {
        const market = marketAt(slot);
        if (market === undefined) return [];
        return [`${nameOf(market)} settled at ${amountText(price, priceFormat(market.tick, decimals))}`];
      });
      const renew = `renew from ${clockText(renewFrom)} to ${clockText(renewUntil)}`;
      return [`day ${epoch} is closed`, ...prices, renew].join("; ");
    }
    case "batch": {
      const { batchNumber, fills, transitions } = announcement;
      return `batch ${batchNumber} is on chain: ${countText(fills)} fills, ${countText(transitions)} transitions`;
    }
  }
}

/** A fill of mine. */
export function fillLine(fill: OwnFill, decimals: number, tick: bigint): string {
  const price = amountText(fill.price, priceFormat(tick, decimals));
  const verb = fill.side === "buy" ? "bought" : "sold";
  return `${clockText(fill.time)} ${cell(fill.contract).text} I ${verb} ${countText(fill.quantity)} at ${price}, order ${fill.ref}`;
}

function nameOf({ contractId }: MarketReport): string {
  return cell(contractName(contractId)).text;
}
