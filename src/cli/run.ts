import type { Command } from "commander";
import { type JsonOptions, type NetworkOptions, withJson, withNetwork } from "./session.ts";

/** As commander gives them. */
export type RunCommandOptions = NetworkOptions &
  JsonOptions & {
    readonly orders: string;
    readonly tradesOut: string;
    readonly stake?: string;
    readonly seed?: string;
    readonly parallel: string;
    readonly directory?: string;
    readonly keep?: true;
    readonly linked?: true;
    readonly local?: true;
  };

/** Registers `hedgerow run`. */
export function addRunCommands(program: Command): void {
  withJson(withNetwork(program.command("run")))
    .description("act for many clients: place the orders of a file with real proofs, and write what became of them")
    .requiredOption("--orders <file>", "JSON: a map from client to a list of {instrument, type, side, volume, price}")
    .requiredOption("--trades-out <file>", "JSON: what happened to each order and each client")
    .option("--local", "start a network for this run, and end it afterwards")
    .option("--stake <amount>", "collateral of each client; what its orders need if left out")
    .option("--seed <number>", "draw the order of the clients anew for each round")
    .option("--parallel <number>", "clients whose money and tickets are made ready at a time", "4")
    .option("--directory <directory>", "where the clients' wallet is kept (default: runs/<network> at home)")
    .option("--linked", "up to eight tickets of a client from one proof: quicker, and seen to belong together")
    .option("--keep", "leave what rests in the book, and its tickets, as they are")
    .addHelpText(
      "after",
      `
Types: limit, market, ioc, fok, post-only, iceberg (display), stop and
stop-limit (stopPrice). BUY and LIMIT are understood as well. Each order gets a
ticket and a proof of its own, without --linked. In each round every client with
orders left places its next one, in the file's order, and each is acknowledged
before the next is sent. A client of the same name is the same account in the
next run. Exit code 3: an order was refused. A run that fails, or that Ctrl-C
ends, cancels what rests and writes what happened until then, with the status
"interrupted".

Example:
  hedgerow run --local --orders scripts/examples/orders.json \\
    --trades-out trades.json`,
    )
    .action(async (options: RunCommandOptions) => {
      const { runOrders } = await import("./runCommand.ts");
      await runOrders(options);
    });
}
