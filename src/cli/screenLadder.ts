import type { EpochReport, MarketReport, PublicTrade } from "../api/service.ts";
import type { Look } from "./colours.ts";
import type { BookSides, Level } from "./screenModel.ts";
import {
  type AmountFormat,
  amountText,
  cell,
  clockText,
  countText,
  type Line,
  lyingBar,
  widthOf,
} from "./screenText.ts";

/** How a ladder is drawn. */
export type LadderOptions = {
  readonly width: number;
  /** Lines in all, the titles and the spread among them. */
  readonly height: number;
  /** Levels of each side at most; undefined: as many as there is room for. */
  readonly depth?: number | undefined;
  readonly format: AmountFormat;
  readonly tick: bigint;
  readonly session: MarketReport["session"];
  readonly look: Look;
  /** Contracts of mine at a price of a side; undefined: no column for it. */
  readonly mine?: ((side: "buy" | "sell", price: bigint) => number) | undefined;
};

/** Both sides of a book, asks above bids, the best in the middle; exactly `height` lines. */
export function ladder(book: BookSides, options: LadderOptions): Line[] {
  const { height, depth = Infinity, format, mine } = options;
  const rows = Math.max(0, height - 2);
  const room = { asks: Math.floor(rows / 2), bids: rows - Math.floor(rows / 2) };
  const asks = book.asks.slice(0, Math.min(room.asks, depth));
  const bids = book.bids.slice(0, Math.min(room.bids, depth));
  const shown = [...asks, ...bids];
  const priceWidth = Math.max(5, ...shown.map(({ price }) => amountText(price, format).length));
  const countWidth = Math.max(8, ...shown.map(({ quantity }) => countText(quantity).length));
  const most = Math.max(1, ...shown.map(({ quantity }) => quantity));
  const ownWidth = mine === undefined ? 0 : 7;
  const barWidth = options.width - (priceWidth + 2 + countWidth + 2 + 6 + ownWidth + 2);
  const rowOf =
    (side: "buy" | "sell") =>
    ({ price, quantity, orders }: Level): Line => {
      const style = side === "buy" ? "bid" : "ask";
      const own = mine?.(side, price) ?? 0;
      return [
        cell(amountText(price, format).padStart(priceWidth), style),
        cell(`  ${countText(quantity).padStart(countWidth)}`),
        cell(`  ${countText(orders).padStart(6)}`, "quiet"),
        ...(mine === undefined ? [] : [cell((own === 0 ? "" : countText(own)).padStart(ownWidth), "mine")]),
        cell(`  ${barWidth > 0 ? lyingBar(quantity / most, barWidth, options.look.glyphs) : ""}`, style),
      ];
    };
  const titles = `${"price".padStart(priceWidth)}  ${"quantity".padStart(countWidth)}  orders${mine === undefined ? "" : "mine".padStart(ownWidth)}`;
  const upper: Line[] = asks.length === 0 ? [[cell("no asks".padStart(priceWidth), "quiet")]] : asks.map(rowOf("sell"));
  const lower: Line[] = bids.length === 0 ? [[cell("no bids".padStart(priceWidth), "quiet")]] : bids.map(rowOf("buy"));
  const blank = (count: number): Line[] => Array.from({ length: Math.max(0, count) }, () => []);
  const lines: Line[] = [
    [cell(titles, "quiet")],
    ...blank(room.asks - upper.length),
    ...upper.reverse().slice(0, room.asks),
    spreadLine(book, options),
    ...lower.slice(0, room.bids),
    ...blank(room.bids - lower.length),
  ];
  return lines.slice(0, Math.max(0, height));
}

/** Lines that a ladder needs to show a whole book, up to `depth` levels of each side. */
export function ladderHeight({ bids, asks }: BookSides, depth: number): number {
  // Both halves have the same number of lines, so that the spread is in the middle.
  return 2 + 2 * Math.max(1, Math.min(depth, Math.max(bids.length, asks.length)));
}

/** How far the best prices are apart. */
function spreadText(
  { bids, asks }: BookSides,
  { format, tick, session }: Pick<LadderOptions, "format" | "tick" | "session">,
): string {
  const [bid, ask] = [bids[0], asks[0]];
  if (bid === undefined || ask === undefined) return bid === ask ? "the book is empty" : "one side is empty";
  const spread = ask.price - bid.price;
  const ticks = tick > 0n ? spread / tick : 0n;
  if (spread > 0n)
    return `spread ${amountText(spread, format)} (${countText(ticks)} ${ticks === 1n ? "tick" : "ticks"})`;
  const crossed = spread === 0n ? "bid and ask meet" : `crossed by ${amountText(-spread, format)}`;
  return session === "pre-open" ? `${crossed}: trades at the opening` : crossed;
}

function spreadLine(book: BookSides, options: LadderOptions): Line {
  const { rule } = options.look.glyphs;
  const text = spreadText(book, options);
  const crossed = text.startsWith("crossed") || text.startsWith("bid and ask");
  const left: Line = [cell(`${rule.repeat(2)} `, "quiet"), cell(text, crossed ? "warning" : "heading")];
  return [...left, cell(` ${rule.repeat(Math.max(0, options.width - widthOf(left) - 1))}`, "quiet")];
}

/** The newest trades, at most `height` lines with the titles. `trades`: newest first. */
export function tape(trades: readonly PublicTrade[], height: number, format: AmountFormat): Line[] {
  const shown = trades.slice(0, Math.max(0, height - 1));
  const priceWidth = Math.max(5, ...shown.map(({ price }) => amountText(price, format).length));
  const countWidth = Math.max(3, ...shown.map(({ quantity }) => countText(quantity).length));
  const titles: Line = [
    cell(`${"time".padEnd(8)}  taker  ${"price".padStart(priceWidth)}  ${"qty".padStart(countWidth)}`, "quiet"),
  ];
  const rows = shown.map(({ time, takerSide, price, quantity }): Line => {
    const style = takerSide === "buy" ? "bid" : "ask";
    return [
      cell(`${clockText(time)}  `, "quiet"),
      cell(`${takerSide.padEnd(5)}  ${amountText(price, format).padStart(priceWidth)}`, style),
      cell(`  ${countText(quantity).padStart(countWidth)}`),
    ];
  });
  const lines: Line[] = [titles, ...(rows.length === 0 ? [[cell("no trades yet", "quiet")]] : rows)];
  return lines.slice(0, Math.max(0, height));
}

/** What comes next in the day, and how many seconds until then by the exchange's clock; undefined where it is over. */
export function nextOfDay(
  epoch: EpochReport,
  market: MarketReport,
  clock: number,
): { readonly what: "auction" | "close"; readonly seconds: number } | undefined {
  if (epoch.phase === "window" || market.session === "closed") return undefined;
  if (market.session === "pre-open" && epoch.auctionTime !== undefined) {
    return { what: "auction", seconds: Number(epoch.auctionTime) - clock };
  }
  return { what: "close", seconds: Number(epoch.closingTime) - clock };
}
