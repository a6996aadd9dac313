import { existsSync } from "node:fs";
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { foreignText } from "../api/foreignText.ts";
import type { AnnouncementEvent } from "../api/client.ts";
import { socketPathOf } from "../trader/agent/socketPath.ts";
import type { TraderService } from "../trader/commands.ts";
import { lookFor } from "./colours.ts";
import { awaitEnding, type Ending } from "./ending.ts";
import { type MarketAccess, marketAccess, marketNamed } from "./marketAccess.ts";
import { announcementJson, bookEventJson, tradeJson } from "./marketJson.ts";
import type { WatchOptions } from "./markets.ts";
import { announcementText, fillLine, quoteLine, tradeLine } from "./plainLines.ts";
import { render } from "./screen.ts";
import { emptyModel, marketOf, reduce, type WatchEvent, type WatchModel } from "./screenModel.ts";
import { clockText } from "./screenText.ts";
import { openScreen } from "./screenTerminal.ts";
import { openService, walletDirectory } from "./session.ts";
import { feedWallet, unixNow, startFeed } from "./watchFeed.ts";

/** A wallet whose orders are shown. */
type OpenWallet = { readonly name: string; readonly service: TraderService };

const CLOSE_MS = 3_000;

/** `hedgerow watch`: a live view on a terminal, lines elsewhere. Ends the process when it is told to. */
export async function runWatch(name: string | undefined, options: WatchOptions): Promise<void> {
  const access = await marketAccess(options);
  const slot = name === undefined ? undefined : await slotNamed(access, name);
  // A password is asked for before the screen is taken.
  const wallet = await walletOf(options);
  const ending = awaitEnding();
  let code: number;
  try {
    const model = emptyModel({
      exchange: access.url,
      decimals: access.decimals,
      now: unixNow(),
      depth: options.depth,
      wallet: wallet?.name,
    });
    const { stdin, stdout, env } = process;
    const onScreen = stdout.isTTY && stdin.isTTY && env["TERM"] !== "dumb" && !options.json;
    const start = { access, slot, wallet, ending, model };
    code = await (onScreen ? watchOnScreen(start, options) : watchAsLines(start, options));
  } finally {
    ending.close();
    // A command of the wallet that is stuck must not hold the terminal.
    await Promise.race([wallet?.service.close(), sleep(CLOSE_MS, undefined, { ref: false })]);
  }
  // Streams that were about to try again would keep the process for seconds.
  process.exit(code);
}

type Start = {
  readonly access: MarketAccess;
  readonly slot: number | undefined;
  readonly wallet: OpenWallet | undefined;
  readonly ending: Ending;
  readonly model: WatchModel;
};

async function watchOnScreen(start: Start, { colour }: WatchOptions): Promise<number> {
  const { access, slot, wallet, ending } = start;
  const look = lookFor(colour, { isTTY: true, env: process.env });
  let model = slot === undefined ? start.model : reduce(start.model, { kind: "select", slot });
  const dispatch = (event: WatchEvent): void => {
    model = reduce(model, event);
    screen.changed();
  };
  const screen = openScreen({
    draw: (width, height) => render(model, width, height, look),
    onKey: (key) => {
      if (key === "quit") {
        ending.end(0);
        return;
      }
      if (key === "interrupt") {
        ending.end(130);
        return;
      }
      dispatch({ kind: "key", key });
      if (model.slot !== undefined) feed.select(model.slot);
    },
  });
  const feed = startFeed(access.connect, slot, dispatch, ending.signal);
  const clock = setInterval(() => dispatch({ kind: "tick", at: unixNow() }), 1_000);
  try {
    if (wallet !== undefined) void feedWallet(wallet.service, dispatch, ending.signal);
    return await Promise.race([ending.code, feed.ended.then(() => ending.code)]);
  } finally {
    clearInterval(clock);
    ending.end(1);
    screen.close();
  }
}

async function watchAsLines(start: Start, options: WatchOptions): Promise<number> {
  const { access, slot, wallet, ending } = start;
  const { decimals } = access;
  let model = slot === undefined ? start.model : reduce(start.model, { kind: "select", slot });
  const feed = startFeed(
    access.connect,
    slot,
    (event) => {
      const before = model;
      model = reduce(model, event);
      for (const line of options.json ? jsonLines(model, event, before) : textLines(model, event, before, decimals)) {
        process.stdout.write(`${line}\n`);
      }
    },
    ending.signal,
  );
  const dispatch = (event: WatchEvent): void => {
    const before = model;
    model = reduce(model, event);
    if (!options.json) for (const line of ownLines(model, before)) process.stdout.write(`${line}\n`);
  };
  if (wallet !== undefined) void feedWallet(wallet.service, dispatch, ending.signal);
  try {
    return await Promise.race([ending.code, feed.ended.then(() => ending.code)]);
  } finally {
    ending.end(1);
  }
}

/** What an event says to a reader of lines: trades, new best prices, news, and whether the exchange is there. */
function textLines(model: WatchModel, event: WatchEvent, before: WatchModel, decimals: number): readonly string[] {
  const market = marketOf(model);
  switch (event.kind) {
    case "lost":
      return before.connection.state === "lost" ? [] : [`connection lost: ${foreignText(event.reason)}; trying again`];
    case "day":
      return before.connection.state === "lost" ? ["connected again"] : [];
    case "announcement":
      return [`${clockText(event.at)} ${announcementText(event.announcement, model.markets, decimals)}`];
    case "trades":
      return market === undefined
        ? []
        : newTrades(model, event, before).map((trade) => tradeLine(market, trade, decimals));
    case "book":
    case "update": {
      if (market === undefined) return [];
      const line = quoteLine(market, model.book, model.now, decimals);
      return before.book !== undefined && line === quoteLine(market, before.book, model.now, decimals) ? [] : [line];
    }
    default:
      return [];
  }
}

function jsonLines(model: WatchModel, event: WatchEvent, before: WatchModel): readonly string[] {
  const market = marketOf(model);
  const lines = (): readonly unknown[] => {
    switch (event.kind) {
      case "announcement": {
        const { announcement, at } = event;
        const told: AnnouncementEvent = { kind: "announcement", announcement, time: BigInt(Math.floor(at)) };
        return [announcementJson(told)];
      }
      case "trades":
        return market === undefined
          ? []
          : newTrades(model, event, before).map((trade) => ({ type: "trade", ...tradeJson(market, trade) }));
      case "book":
      case "update":
        return market === undefined ? [] : [bookEventJson(market, event)];
      default:
        return [];
    }
  };
  return lines().map((line) => JSON.stringify(line));
}

/** Trades that were not known before, oldest first; without those from before the watching began. */
function newTrades(
  { trades }: WatchModel,
  { isHistory }: WatchEvent & { readonly kind: "trades" },
  before: WatchModel,
): WatchModel["trades"] {
  if (isHistory && before.trades.length === 0) return [];
  return trades.filter((trade) => !before.trades.includes(trade)).reverse();
}

function ownLines(model: WatchModel, before: WatchModel): readonly string[] {
  const { own, decimals, markets } = model;
  if (own === undefined) return [];
  const tick = marketOf(model)?.tick ?? markets[0]?.tick ?? 1n;
  const fills = own.fills.filter((fill) => before.own?.fills.includes(fill) !== true);
  const problem =
    own.problem !== undefined && own.problem !== before.own?.problem
      ? [`wallet ${own.wallet}: ${foreignText(own.problem)}`]
      : [];
  return [...[...fills].reverse().map((fill) => fillLine(fill, decimals, tick)), ...problem];
}

async function slotNamed({ connect }: MarketAccess, name: string): Promise<number> {
  const client = connect();
  try {
    return marketNamed(await client.fetchMarkets(), name).slot;
  } finally {
    client.close();
  }
}

/** The wallet that is named, or that a daemon holds: nobody is asked for a password to look at a market. */
async function walletOf(options: WatchOptions): Promise<OpenWallet | undefined> {
  if (options.wallet !== undefined || options.passwordFile !== undefined) {
    const directory = await walletDirectory(options);
    return { name: basename(directory), service: await openService(options) };
  }
  // Another exchange's orders would be shown beside this one's book.
  if (options.exchange !== undefined) return undefined;
  const directory = await walletDirectory(options).catch(() => undefined);
  const socket = directory === undefined ? "" : socketPathOf(directory);
  if (directory === undefined || !existsSync(socket)) return undefined;
  const { connectAgent } = await import("../trader/agent/client.ts");
  const service = await connectAgent(socket);
  return service === undefined ? undefined : { name: basename(directory), service };
}
