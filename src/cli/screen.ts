import type { MarketReport } from "../api/service.ts";
import { contractName } from "../trader/markets.ts";
import type { Look, Style } from "./colours.ts";
import { announcementText } from "./plainLines.ts";
import { ladder, ladderHeight, nextOfDay, tape } from "./screenLadder.ts";
import { marketOf, type Own, type WatchModel } from "./screenModel.ts";
import {
  type AmountFormat,
  amountText,
  beside,
  between,
  cell,
  changeStyle,
  changeText,
  clockText,
  countText,
  durationText,
  fitTo,
  type Line,
  painted,
  percentText,
  priceFormat,
  widthOf,
} from "./screenText.ts";

/*
 * The live view as lines of text: a pure function of the model. From top to bottom: the market, the day, a rule or what
 * was announced; ladder and tape; with a wallet its orders, fills and account; keys and connection.
 */

const WALL = 3;
const WIDE = 110;
const NARROW = 56;

/** The view, exactly `height` lines, none wider than `width` columns. */
export function render(model: WatchModel, width: number, height: number, look: Look): string[] {
  const market = marketOf(model);
  const head: Line[] = [...header(model, market, width, look), noticeLine(model, width, look)];
  const room = Math.max(0, height - head.length - 1);
  const lines: Line[] = [
    ...head.slice(0, Math.max(0, height - 1)),
    ...exactly(body(model, market, width, room, look), room),
    footer(model, width, look),
  ];
  return exactly(lines, Math.max(0, height)).map((line) => painted(line, width, look));
}

function exactly(lines: readonly Line[], count: number): Line[] {
  return Array.from({ length: count }, (_, i) => lines[i] ?? []);
}

function header(model: WatchModel, market: MarketReport | undefined, width: number, look: Look): Line[] {
  if (market === undefined) {
    const { state } = model.connection;
    const what = state === "live" ? "no contract is listed" : `connecting to ${model.exchange}`;
    return [[cell("hedgerow", "heading"), cell("  "), cell(what, "quiet")], []];
  }
  const { epoch, markets } = model;
  const format = priceFormat(market.tick, model.decimals);
  const clock = model.now + model.clockAhead;
  const place = markets.indexOf(market) + 1;
  const next = epoch === undefined ? undefined : nextOfDay(epoch, market, clock);
  const countdown =
    next === undefined
      ? ""
      : next.seconds > 0
        ? `  ${next.what} in ${durationText(next.seconds)}`
        : `  ${next.what} is due`;
  const phase = epoch?.phase === "window" ? "settlement window" : market.session;
  const sign = `${look.glyphs.dot} `;
  return [
    between(
      [cell(contractName(market.contractId), "heading"), cell("  "), ...lastCells(market, format, look)],
      [cell(phase, phase === "open" ? "up" : "warning"), cell(countdown)],
      width,
    ),
    between(
      [
        cell(
          [
            `settlement ${amountText(market.centre, format)}`,
            `limits ${amountText(market.priceLimitDown, format)} to ${amountText(market.priceLimitUp, format)}`,
            `volume ${countText(market.volume)}`,
          ].join("  "),
          "quiet",
        ),
      ],
      [cell(epoch === undefined ? "" : `${place}/${markets.length} ${sign}day ${epoch.epoch}`, "quiet")],
      width,
    ),
  ];
}

/** Last price and how far it is from the settlement price. */
function lastCells(market: MarketReport, format: AmountFormat, { glyphs }: Look): Line {
  const { lastPrice, centre } = market;
  if (lastPrice === undefined) return [cell("no trade yet", "quiet")];
  const change = lastPrice - centre;
  const style = changeStyle(change);
  const sign = change > 0n ? `${glyphs.up} ` : change < 0n ? `${glyphs.down} ` : "";
  const percent = percentText(change, centre);
  return [
    cell(amountText(lastPrice, format), "heading"),
    cell("  "),
    cell(`${sign}${changeText(change, format)}${percent === "" ? "" : ` (${percent})`}`, style),
  ];
}

function noticeLine(model: WatchModel, width: number, look: Look): Line {
  const { connection, now } = model;
  if (connection.state === "lost") {
    const seconds = Math.max(0, Math.floor(now - connection.since));
    return [cell(`no connection for ${durationText(seconds)}: trying again; what is shown is old`, "warning")];
  }
  const { notice, markets, decimals } = model;
  if (notice !== undefined) return [cell(announcementText(notice.announcement, markets, decimals), "warning")];
  return [cell(look.glyphs.rule.repeat(Math.max(0, width)), "quiet")];
}

function body(
  model: WatchModel,
  market: MarketReport | undefined,
  width: number,
  height: number,
  look: Look,
): readonly Line[] {
  if (model.help) return helpLines();
  if (market === undefined) return [];
  const { own } = model;
  const ownHeight = own === undefined || height < 12 ? 0 : Math.min(14, Math.max(6, Math.floor(height * 0.38)));
  const top = marketLines(model, market, width, height - ownHeight, look);
  if (own === undefined || ownHeight === 0) return top;
  return [...exactly(top, height - ownHeight), ...ownLines(own, model, width, ownHeight, look)];
}

function marketLines(
  model: WatchModel,
  market: MarketReport,
  width: number,
  height: number,
  look: Look,
): readonly Line[] {
  const { book, trades, depth, own } = model;
  const format = priceFormat(market.tick, model.decimals);
  const tapeLines = tape(trades, height, format);
  // The tape takes what its prices need, and leaves the ladder the better half.
  const tapeWidth = width < NARROW ? 0 : Math.min(Math.floor(width * 0.45), Math.max(30, ...tapeLines.map(widthOf)));
  const ladderWidth = tapeWidth === 0 ? width : width - tapeWidth - WALL;
  const ladderLines: Line[] =
    book === undefined
      ? [[cell("waiting for the book", "quiet")]]
      : ladder(book, {
          width: ladderWidth,
          height,
          depth,
          format,
          tick: market.tick,
          session: market.session,
          look,
          mine: own === undefined ? undefined : (side, price) => restingOf(own, market.slot, side, price),
        });
  const all = tapeWidth === 0 ? ladderLines : beside(exactly(ladderLines, height), ladderWidth, tapeLines, look.glyphs);
  // What is old is dimmed.
  if (model.connection.state !== "lost") return all;
  return all.map((line) => line.map(({ text }) => cell(text, "quiet")));
}

function restingOf(own: Own, slot: number, side: "buy" | "sell", price: bigint): number {
  return own.orders
    .filter((order) => order.status === "open" && order.slot === slot && order.side === side)
    .filter(({ limitPrice }) => BigInt(limitPrice) === price)
    .reduce((sum, { remaining }) => sum + remaining, 0);
}

function ownLines(own: Own, model: WatchModel, width: number, height: number, look: Look): readonly Line[] {
  const rows = height - 1;
  const account = accountLines(own, model, rows);
  const fills = fillLines(own, model, rows);
  const { glyphs } = look;
  const title: Line = [
    cell(`${glyphs.rule.repeat(2)} `, "quiet"),
    cell(own.wallet, "heading"),
    ...(own.problem === undefined ? [] : [cell(`  ${own.problem}`, "warning")]),
  ];
  const rule: Line = [...title, cell(` ${glyphs.rule.repeat(Math.max(0, width - widthOf(title) - 1))}`, "quiet")];
  if (width >= WIDE) {
    const third = Math.floor((width - 2 * WALL) / 3);
    const right = beside(exactly(fills, rows), third, account, glyphs);
    return [rule, ...beside(orderLines(own, model, rows), width - 2 * third - 2 * WALL, right, glyphs)];
  }
  // Where there is room for two columns only, fills stand below the orders.
  const forFills = Math.min(fills.length, Math.max(2, Math.floor(rows / 2)));
  const orders = orderLines(own, model, rows - forFills);
  const left = [...orders, ...fills.slice(0, rows - orders.length)];
  if (width < NARROW) return [rule, ...account.slice(0, 3), ...left].slice(0, height);
  const half = Math.ceil((width - WALL) / 2);
  return [rule, ...beside(exactly(left, rows), half, account, glyphs)];
}

/** Columns for the name of a contract. */
const NAME_WIDTH = 13;

/** The name, where it is not that of the market that is shown. */
function otherName(contract: string, model: WatchModel): string {
  const market = marketOf(model);
  return market !== undefined && contractName(market.contractId) === contract
    ? ""
    : ` ${contract.slice(0, NAME_WIDTH)}`;
}

function orderLines(own: Own, model: WatchModel, rows: number): Line[] {
  const { markets, decimals } = model;
  if (own.orders.length === 0) return [[cell("no open orders", "quiet")]];
  const isShown = ({ slot }: { readonly slot: number }): number => (slot === model.slot ? 0 : 1);
  const sorted = [...own.orders].sort((a, b) => isShown(a) - isShown(b));
  const lines = sorted.map(({ slot, contract, side, quantity, filled, limitPrice, status }): Line => {
    const tick = markets.find((market) => market.slot === slot)?.tick ?? 1n;
    const price = amountText(BigInt(limitPrice), priceFormat(tick, decimals));
    return [
      cell(side.padEnd(4), side === "buy" ? "bid" : "ask"),
      cell(` ${`${countText(filled)}/${countText(quantity)}`.padStart(7)} ${price.padStart(10)}`),
      cell(otherName(contract, model), "quiet"),
      cell(status === "open" ? "" : ` ${status}`, "warning"),
    ];
  });
  const shown = lines.slice(0, Math.max(0, rows - 1));
  const hidden = lines.length > shown.length ? `, ${shown.length} of them shown` : "";
  return [[cell(`open orders: ${own.orders.length}${hidden}`, "quiet")], ...shown];
}

function fillLines(own: Own, model: WatchModel, rows: number): Line[] {
  const { markets, decimals } = model;
  if (own.fills.length === 0) return [[cell("no fills yet", "quiet")]];
  const lines = own.fills.map(({ time, side, quantity, price, contract }): Line => {
    const tick = markets.find((market) => contractName(market.contractId) === contract)?.tick ?? 1n;
    return [
      cell(`${clockText(time)} `, "quiet"),
      cell(
        `${side === "buy" ? "bought" : "sold  "} ${countText(quantity)} at ${amountText(price, priceFormat(tick, decimals))}`,
        sideStyle(side),
      ),
      cell(otherName(contract, model), "quiet"),
    ];
  });
  return lines.slice(0, rows);
}

function sideStyle(side: "buy" | "sell"): Style {
  return side === "buy" ? "bid" : "ask";
}

function accountLines({ balance }: Own, { decimals }: WatchModel, rows: number): Line[] {
  if (balance === undefined) return [[cell("waiting for the balance", "quiet")]];
  const format: AmountFormat = { decimals, places: Math.min(2, decimals) };
  const figures = [
    { name: "equity", amount: balance.equity.atSettlement },
    { name: "at the worst limits", amount: balance.equity.worst },
    { name: "margin used", amount: balance.marginUsed },
    { name: "free cash", amount: balance.freeCash },
  ].map(({ name, amount }): Line => {
    const value = BigInt(amount);
    return [
      cell(name.padEnd(20), "quiet"),
      cell(amountText(value, format).padStart(14), value < 0n ? "warning" : undefined),
    ];
  });
  const held = balance.positions.filter(({ total }) => total !== 0);
  const positions = held.map(({ contract, total, maintenanceMargin }): Line => [
    cell(`${contract.slice(0, NAME_WIDTH).padEnd(NAME_WIDTH)} `),
    cell(`${total > 0 ? "+" : ""}${countText(total)}`.padStart(5), total > 0 ? "bid" : "ask"),
    cell(` margin ${amountText(BigInt(maintenanceMargin), format)}`, "quiet"),
  ]);
  const none: Line[] = [[cell("no positions", "quiet")]];
  return more([...figures, ...(positions.length === 0 ? none : positions)], rows);
}

/** As many lines as there is room for; the last one tells how many are left out. */
function more(lines: readonly Line[], rows: number): Line[] {
  if (lines.length <= rows) return [...lines];
  return [...lines.slice(0, Math.max(0, rows - 1)), [cell(`and ${lines.length - rows + 1} more`, "quiet")]];
}

function helpLines(): readonly Line[] {
  const keys: readonly (readonly [string, string])[] = [
    ["q, Ctrl-C", "end"],
    ["m, right, down", "next market"],
    ["M, left, up", "market before"],
    ["+", "one level more of each side"],
    ["-", "one level less"],
    ["Ctrl-L", "draw everything anew"],
    ["?, h", "this help, and back"],
  ];
  const row = ([key, meaning]: readonly [string, string]): Line => [
    cell(`  ${key.padEnd(16)}`, "heading"),
    cell(meaning),
  ];
  return [
    [],
    ...keys.map(row),
    [],
    [cell("  Asks stand above bids. A bar compares a level with the largest one shown.", "quiet")],
    [cell("  A change is measured from the settlement price of the day before.", "quiet")],
    [cell("  A taker is the side that came later and traded with what rested.", "quiet")],
  ];
}

function footer({ connection, exchange, help, depth }: WatchModel, width: number, { glyphs }: Look): Line {
  const levels = depth === undefined ? "" : ` (${depth})`;
  const keys: Line = help
    ? [cell("q quit  ? back", "quiet")]
    : [cell(`q quit  m next market  +/- depth${levels}  ? help`, "quiet")];
  const state: Line = [
    cell(connection.state, connection.state === "live" ? "up" : "warning"),
    cell(` ${glyphs.dot} ${exchange}`, "quiet"),
  ];
  return fitTo(between(keys, state, width), width, glyphs);
}

/** The shown market as a still picture: header, both sides, newest trades; as many lines as that takes. */
export function bookPicture(model: WatchModel, width: number, look: Look): string[] {
  const market = marketOf(model);
  const { book, depth = 10 } = model;
  if (market === undefined || book === undefined) return [];
  const height = ladderHeight(book, depth);
  const lines = [...header(model, market, width, look), [], ...marketLines(model, market, width, height, look)];
  return lines.map((line) => painted(line, width, look));
}
