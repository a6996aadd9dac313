import { stripVTControlCharacters } from "node:util";
import type { ExchangeClient } from "../api/client.ts";
import { type Candle, type CandleInterval, INTERVALS } from "../api/codecMarkets.ts";
import type { MarketReport, PublicTrade } from "../api/service.ts";
import { contractName } from "../trader/markets.ts";
import { type Look, lookFor } from "./colours.ts";
import { awaitEnding } from "./ending.ts";
import { WrongUsage } from "./failure.ts";
import { type MarketAccess, marketAccess, marketNamed } from "./marketAccess.ts";
import {
  announcementJson,
  bookEventJson,
  bookJson,
  candleJson,
  epochJson,
  marketJson,
  tradeJson,
} from "./marketJson.ts";
import type { BookOptions, CandlesOptions, MarketOptions, TradesOptions } from "./markets.ts";
import { announcementText, candleLine, quoteLine, tradeLine } from "./plainLines.ts";
import { bookPicture } from "./screen.ts";
import { candleChart } from "./screenCandles.ts";
import { tape } from "./screenLadder.ts";
import { type BookSides, emptyModel, reduce, type WatchEvent } from "./screenModel.ts";
import {
  amountText,
  cell,
  changeStyle,
  changeText,
  clockText,
  countText,
  dateText,
  painted,
  percentText,
  priceFormat,
} from "./screenText.ts";
import { type Column, table } from "./terminal.ts";

/** What is written where, and how wide it may be. */
type Output = { readonly look: Look; readonly width: number; readonly height: number };

const CHART_HEIGHT = 14;
const USUAL_WIDTH = 80;
const SECONDS: Readonly<Record<CandleInterval, number>> = {
  "1s": 1,
  "1m": 60,
  "5m": 300,
  "15m": 900,
  "1h": 3_600,
  "1d": 86_400,
};

/** `hedgerow markets`. */
export async function runMarkets(name: string | undefined, options: MarketOptions): Promise<void> {
  await withExchange(options, async (client, { decimals }) => {
    const [markets, epoch] = await Promise.all([client.fetchMarkets(), client.fetchEpoch()]);
    const chosen = name === undefined ? markets : [marketNamed(markets, name)];
    const output = outputOf(options);
    if (options.json) {
      if (options.follow) chosen.forEach((market) => print(json({ type: "market", ...marketJson(market) })));
      else print(json({ ...epochJson(epoch), markets: chosen.map(marketJson) }));
    } else if (name === undefined) {
      print(marketTable(markets, decimals, output));
    } else {
      for (const market of chosen) print(marketDetails(market, decimals));
    }
    if (!options.follow) return;
    await follow(async (signal) => {
      for await (const event of client.watchAnnouncements({ signal })) {
        if (options.json) print(json(announcementJson(event)));
        else if (event.kind === "announcement")
          print(`${clockText(event.time)} ${announcementText(event.announcement, markets, decimals)}`);
        const { kind } = event;
        if (kind === "epoch" || !options.json || event.announcement.type === "batch") continue;
        // The session, the day or its prices are others now.
        for (const market of await client.fetchMarkets()) {
          if (name === undefined || chosen.some(({ slot }) => slot === market.slot)) {
            print(json({ type: "market", ...marketJson(market) }));
          }
        }
      }
    });
  });
}

/** `hedgerow book`. */
export async function runBook(name: string, options: BookOptions): Promise<void> {
  await withExchange(options, async (client, { url, decimals }) => {
    const markets = await client.fetchMarkets();
    const market = marketNamed(markets, name);
    const { slot } = market;
    const { depth } = options;
    if (options.follow) {
      await follow(async (signal) => {
        let model = opened({ exchange: url, decimals, now: 0 }, { kind: "select", slot });
        for await (const event of client.watchOrderBook(slot, { signal })) {
          model = reduce(model, event.kind === "book" ? event : { ...event, slot });
          print(
            options.json
              ? json(bookEventJson(market, event))
              : quoteLine(market, model.book, Date.now() / 1_000, decimals),
          );
        }
      });
      return;
    }
    const [book, trades, epoch] = await Promise.all([
      client.fetchOrderBook(slot, depth),
      client.fetchTrades(slot, 100),
      client.fetchEpoch(),
    ]);
    if (options.json) {
      print(json(bookJson(market, book)));
      return;
    }
    const now = Date.now() / 1_000;
    const model = opened(
      { exchange: url, decimals, now, depth },
      { kind: "day", at: now, epoch, markets },
      { kind: "select", slot },
      { kind: "book", book },
      { kind: "trades", slot, trades, isHistory: true },
    );
    const { width, look } = outputOf(options);
    print(bookPicture(model, width, look).join("\n"));
  });
}

/** `hedgerow trades`. */
export async function runTrades(name: string, options: TradesOptions): Promise<void> {
  await withExchange(options, async (client, { decimals }) => {
    const market = marketNamed(await client.fetchMarkets(), name);
    const { slot, tick } = market;
    const trades = await client.fetchTrades(slot, options.limit);
    const { width, look } = outputOf(options);
    const show = (trade: PublicTrade): void =>
      print(options.json ? json({ type: "trade", ...tradeJson(market, trade) }) : tradeLine(market, trade, decimals));
    if (!options.follow) {
      if (options.json) {
        print(json({ trades: trades.map((trade) => tradeJson(market, trade)) }));
        return;
      }
      const lines = tape([...trades].reverse(), trades.length + 2, priceFormat(tick, decimals));
      print(lines.map((line) => painted(line, width, look)).join("\n"));
      return;
    }
    trades.forEach(show);
    let last = trades.at(-1);
    await follow(async (signal) => {
      for await (const trade of client.watchTrades(slot, { signal })) {
        if (last !== undefined && (trade.seq < last.seq || (trade.seq === last.seq && trade.n <= last.n))) continue;
        last = trade;
        show(trade);
      }
    });
  });
}

/** `hedgerow candles`. */
export async function runCandles(name: string, options: CandlesOptions): Promise<void> {
  const interval = INTERVALS.find((each) => each === options.interval);
  if (interval === undefined) {
    throw new WrongUsage(`--interval is "${options.interval}"`, `give one of ${INTERVALS.join(", ")}`);
  }
  await withExchange(options, async (client, { decimals }) => {
    const market = marketNamed(await client.fetchMarkets(), name);
    const { slot, tick } = market;
    const { limit } = options;
    if (options.follow) {
      const show = (candle: Candle): void =>
        print(
          options.json ? json({ type: "candle", ...candleJson(market, candle) }) : candleLine(market, candle, decimals),
        );
      await follow(async (signal) => {
        for await (const candle of client.watchOHLCV(slot, interval, { signal, limit })) show(candle);
      });
      return;
    }
    const candles = await client.fetchOHLCV(slot, interval, limit);
    if (options.json) {
      print(json({ interval, candles: candles.map((candle) => candleJson(market, candle)) }));
      return;
    }
    const { width, height, look } = outputOf(options);
    const format = priceFormat(tick, decimals);
    const lines = candleChart(candles, {
      width,
      height: Math.max(4, Math.min(CHART_HEIGHT, height - 6)),
      format,
      tick,
      interval: SECONDS[interval],
      look,
    });
    const title = painted(
      [cell(contractName(market.contractId), "heading"), cell(`  ${interval}`, "quiet")],
      width,
      look,
    );
    print([title, ...lines].join("\n"));
  });
}

/** A column of the list. The lower its `rank`, the longer it stays when there is little room. */
type MarketColumn = Column & { readonly rank: number; readonly text: (market: MarketReport) => string };

/** The listed contracts as a table with as many columns as the width has room for. */
export function marketTable(
  markets: readonly MarketReport[],
  decimals: number,
  { width, look }: Pick<Output, "width" | "look">,
): string {
  if (markets.length === 0) return "no contract is listed today";
  const price = (of: (market: MarketReport) => bigint) => (market: MarketReport) =>
    amountText(of(market), priceFormat(market.tick, decimals));
  const paint = (market: MarketReport, text: string): string => {
    const change = market.lastPrice === undefined ? 0n : market.lastPrice - market.centre;
    return look.paint(changeStyle(change), text);
  };
  const columns: readonly MarketColumn[] = [
    { title: "slot", right: true, rank: 0, text: ({ slot }) => String(slot) },
    { title: "contract", rank: 0, text: ({ contractId }) => cell(contractName(contractId).slice(0, 20)).text },
    { title: "session", rank: 1, text: ({ session }) => session },
    {
      title: "last",
      right: true,
      rank: 0,
      text: (market) => (market.lastPrice === undefined ? "-" : price(() => market.lastPrice ?? 0n)(market)),
    },
    {
      title: "change",
      right: true,
      rank: 0,
      text: (market) => {
        if (market.lastPrice === undefined) return "-";
        const change = market.lastPrice - market.centre;
        return paint(market, changeText(change, priceFormat(market.tick, decimals)));
      },
    },
    {
      title: "%",
      right: true,
      rank: 8,
      text: (market) =>
        market.lastPrice === undefined
          ? ""
          : paint(market, percentText(market.lastPrice - market.centre, market.centre)),
    },
    { title: "volume", right: true, rank: 2, text: ({ volume }) => countText(volume) },
    { title: "settled", right: true, rank: 1, text: price(({ centre }) => centre) },
    { title: "lower", right: true, rank: 3, text: price(({ priceLimitDown }) => priceLimitDown) },
    { title: "upper", right: true, rank: 3, text: price(({ priceLimitUp }) => priceLimitUp) },
    { title: "initial", right: true, rank: 4, text: price(({ initialMargin }) => initialMargin) },
    { title: "maintenance", right: true, rank: 5, text: price(({ maintenanceMargin }) => maintenanceMargin) },
    { title: "fee", right: true, rank: 6, text: price(({ fillFee }) => fillFee) },
    { title: "close-out", right: true, rank: 7, text: price(({ closeOutFee }) => closeOutFee) },
    { title: "tick", right: true, rank: 8, text: price(({ tick }) => tick) },
    { title: "last trading", rank: 9, text: ({ lastTradingTime }) => dateText(lastTradingTime) },
  ];
  for (let rank = 9; rank >= 0; rank--) {
    const kept = columns.filter((column) => column.rank <= rank);
    const rows = markets.map((market) => kept.map(({ text }) => text(market)));
    const lines = table(kept, rows);
    const widest = Math.max(...lines.split("\n").map((line) => stripVTControlCharacters(line).length));
    if (widest > width && rank > 0) continue;
    const hidden =
      columns.length > kept.length
        ? look.paint("quiet", "\nhedgerow markets NAME shows everything about one of them")
        : "";
    return lines + hidden;
  }
  return "";
}

/** Everything about one market, a line each. */
function marketDetails(market: MarketReport, decimals: number): string {
  const format = priceFormat(market.tick, decimals);
  const price = (value: bigint): string => amountText(value, format);
  const { lastPrice, centre } = market;
  const change = lastPrice === undefined ? undefined : lastPrice - centre;
  const rows: readonly (readonly [string, string])[] = [
    ["contract", cell(contractName(market.contractId)).text],
    ["slot", String(market.slot)],
    ["session", market.session],
    ["last price", lastPrice === undefined ? "no trade yet" : price(lastPrice)],
    ["change", change === undefined ? "-" : `${changeText(change, format)} ${percentText(change, centre)}`.trim()],
    ["volume", countText(market.volume)],
    ["settlement price", price(centre)],
    ["lower limit", price(market.priceLimitDown)],
    ["upper limit", price(market.priceLimitUp)],
    ["price step", price(market.tick)],
    ["initial margin", price(market.initialMargin)],
    ["maintenance margin", price(market.maintenanceMargin)],
    ["price collar", market.priceCollar === 0n ? "none" : price(market.priceCollar)],
    ["fee of a fill", price(market.fillFee)],
    ["close-out fee", price(market.closeOutFee)],
    ["last trading time", dateText(market.lastTradingTime)],
  ];
  const widest = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(widest)}  ${value}`).join("\n");
}

async function withExchange(
  options: MarketOptions,
  run: (client: ExchangeClient, access: MarketAccess) => Promise<void>,
): Promise<void> {
  const access = await marketAccess(options);
  const client = access.connect();
  try {
    await run(client, access);
  } finally {
    client.close();
  }
}

/** Runs what goes on for ever, until it is told to end. */
async function follow(run: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const ending = awaitEnding();
  try {
    const running = run(ending.signal).then(() => ending.code);
    const code = await Promise.race([running, ending.code]);
    running.catch(() => undefined);
    // A stream that was about to try again would keep the process for seconds.
    process.exit(code);
  } finally {
    ending.close();
  }
}

function opened(
  options: Parameters<typeof emptyModel>[0],
  ...events: readonly WatchEvent[]
): ReturnType<typeof emptyModel> & { readonly book: BookSides | undefined } {
  return events.reduce(reduce, emptyModel(options));
}

function outputOf({ colour }: MarketOptions): Output {
  const { stdout, env } = process;
  const { isTTY, columns, rows } = stdout;
  const told = Number(env["COLUMNS"]);
  const width = isTTY ? columns : Number.isInteger(told) && told > 0 ? told : USUAL_WIDTH;
  return { look: lookFor(colour, { isTTY, env }), width, height: isTTY ? rows : Infinity };
}

function json(value: unknown): string {
  return JSON.stringify(value);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
