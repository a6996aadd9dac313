import type { Command } from "commander";
import {
  examples,
  type Io,
  type JsonOptions,
  type NetworkOptions,
  TERMINAL,
  withJson,
  withNetwork,
} from "./session.ts";

/** As commander gives them. */
export type CloseEarlyOptions = NetworkOptions &
  JsonOptions & {
    readonly market: string;
    readonly chain?: string;
    readonly clearingHouse?: string;
    readonly chainId?: string;
    readonly keyFile?: string;
    readonly passwordFile?: string;
    readonly dryRun?: true;
  };

/** Adds `close-early`. */
export function addCloseEarlyCommands(program: Command, io: Io = TERMINAL): void {
  withNetwork(withJson(program.command("close-early")))
    .description("end the day early, because a market does nothing but wait at its price limit")
    .requiredOption("--market <name>", "the market: name, with - for a space if you like, or slot number")
    .option("--chain <url>", "another node than the network's")
    .option("--clearing-house <address>", "another clearing house than the network's, with --chain")
    .option("--chain-id <number>", "refuse a node of another chain (with --chain)")
    .option("--key-file <file>", "key of whoever pays for gas, in hex or a keystore; readable by its owner only")
    .option("--password-file <file>", "password of the keystore")
    .option("--dry-run", "print what it would rest on, and send nothing")
    .addHelpText(
      "after",
      `
Anybody may call it, once a day: where every settled trade of the last while was
at one price limit, and enough of them, margin is called now and not at the end
of the day. The day then ends after a notice; its settlement window and the
window for renewals have their full length. On a local development chain no key
is needed.
${examples("close-early --market lean-hogs-feb --dry-run", "close-early --market 0 --key-file keeper.key")}`,
    )
    .action(async (options: CloseEarlyOptions) => (await import("./closeEarlyRun.ts")).closeEarlyCommand(options, io));
}
