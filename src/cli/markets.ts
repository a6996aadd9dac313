import { type Command, InvalidArgumentError } from "commander";
import { type ColourMode, withColour } from "./colours.ts";
import {
  type JsonOptions,
  type NetworkOptions,
  type WalletOptions,
  withJson,
  withNetwork,
  withWallet,
} from "./session.ts";

/** What the commands that need the exchange only are given. */
export type MarketOptions = JsonOptions &
  NetworkOptions & { readonly exchange?: string; readonly colour: ColourMode; readonly follow?: true };
export type BookOptions = MarketOptions & { readonly depth: number };
export type TradesOptions = MarketOptions & { readonly limit: number };
export type CandlesOptions = TradesOptions & { readonly interval: string };
export type WatchOptions = MarketOptions & WalletOptions & { readonly depth?: number };

/** Adds `markets`, `book`, `trades`, `candles` and `watch`. */
export function addMarketCommands(program: Command): void {
  const market = "name, with - for a space if you like, or slot number";
  const follow = ["--follow", "go on with what happens until Ctrl-C; with --json a line for each event"] as const;

  withPublic(program.command("markets").description("list the contracts that can be traded"))
    .argument("[market]", `one of them with everything about it: ${market}`)
    .option(...follow)
    .action(async (name: string | undefined, options: MarketOptions) => {
      const { runMarkets } = await import("./marketsRun.ts");
      await runMarkets(name, options);
    });

  withPublic(program.command("book").description("show the orders of a market, both sides in one picture"))
    .argument("<market>", market)
    .option("--depth <levels>", "levels of each side", wholeNumber(1, 1_000), 10)
    .option(...follow)
    .action(async (name: string, options: BookOptions) => {
      const { runBook } = await import("./marketsRun.ts");
      await runBook(name, options);
    });

  withPublic(program.command("trades").description("list the newest trades of a market"))
    .argument("<market>", market)
    .option("--limit <count>", "so many of them", wholeNumber(1, 1_000), 20)
    .option(...follow)
    .action(async (name: string, options: TradesOptions) => {
      const { runTrades } = await import("./marketsRun.ts");
      await runTrades(name, options);
    });

  withPublic(program.command("candles").description("draw the prices of a market over time"))
    .argument("<market>", market)
    .option("--interval <length>", "1s, 1m, 5m, 15m, 1h or 1d for each candle", "1m")
    .option("--limit <count>", "so many of them", wholeNumber(1, 1_000), 60)
    .option(...follow)
    .action(async (name: string, options: CandlesOptions) => {
      const { runCandles } = await import("./marketsRun.ts");
      await runCandles(name, options);
    });

  withWallet(withPublic(program.command("watch").description("watch a market live: depth, trades, my orders")))
    .argument("[market]", market)
    .option("--depth <levels>", "levels of each side; as many as there is room for if left out", wholeNumber(1, 100))
    .addHelpText(
      "after",
      "\nMy orders and positions are shown where a daemon holds the wallet, or where\n--wallet names it.\n\n" +
        "Keys: q quit, m next market, + and - depth, ? help. Without a terminal: a line\nfor each event.",
    )
    .action(async (name: string | undefined, options: WatchOptions) => {
      const { runWatch } = await import("./watch.ts");
      await runWatch(name, options);
    });
}

function withPublic(command: Command): Command {
  withColour(withJson(withNetwork(command)));
  return command.option("--exchange <url>", "ask this exchange, as http://127.0.0.1:7700, without a network");
}

function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`give a whole number from ${least} to ${most}`);
  };
}
