import type { Command } from "commander";
import {
  examples,
  groupOf,
  type HouseOptions,
  type Io,
  type JsonOptions,
  TERMINAL,
  type WalletOptions,
  withJson,
  withHouse,
  withWallet,
} from "./session.ts";

export type AuctionListOptions = JsonOptions & HouseOptions;
export type AuctionTakeOptions = JsonOptions &
  WalletOptions & { readonly limit: string; readonly ticket: string; readonly wait?: true };

/** Adds auction list and auction take. */
export function addAuctionCommands(program: Command, io: Io = TERMINAL): void {
  const auction = groupOf(program, "auction", "contracts that drop-outs left, sold in the settlement window");
  withHouse(withJson(auction.command("list")))
    .description("what the clearing house has to sell or buy back, its price now and how it goes on")
    .addHelpText(
      "after",
      `
In the first part of the settlement window the price starts at the settlement
price and gives way evenly, by as much as the drop-outs paid for leaving.
${examples("auction list", "auction list --json")}`,
    )
    .action(async (options: AuctionListOptions) => (await import("./auctionRun.ts")).listAuction(options, io));

  withWallet(withJson(auction.command("take")))
    .description("take contracts over at the price of the moment, into an open ticket")
    .argument("<market>", "name or slot, as LEAN-HOGS-FEB")
    .argument("<quantity>", "whole contracts, at most; bought or sold as auction list says")
    .requiredOption("--limit <price>", "worst price per contract, in collateral units")
    .requiredOption("--ticket <name>", "an open ticket of this market: its name, or as much of it as is unique")
    .option("--wait", "wait until the price comes to the limit")
    .option("--delay <range>", "wait a random while before sending, as 0-30s")
    .addHelpText(
      "after",
      `
The ticket must bear the contracts at the initial margin of the coming day;
close it before the first part ends, or it is left over itself. The bid goes
straight to the chain, from the wallet's funding address and with its gas:
everybody sees that the two belong together.
${examples("auction list", "auction take LEAN-HOGS-FEB 5 --limit 33900 --ticket 9ab4 --wait")}`,
    )
    .action(async (market: string, quantity: string, options: AuctionTakeOptions) =>
      (await import("./auctionRun.ts")).takeFromAuction(market, quantity, options, io),
    );
}
