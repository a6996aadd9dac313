import type { Command } from "commander";
import {
  examples,
  type HouseOptions,
  type Io,
  type JsonOptions,
  type KeyOptions,
  TERMINAL,
  withHouse,
  withJson,
  withKey,
} from "./session.ts";

/** As commander gives them. */
export type CloseEarlyOptions = HouseOptions &
  KeyOptions &
  JsonOptions & {
    readonly market: string;
    readonly dryRun?: true;
  };

/** Adds `close-early`. */
export function addCloseEarlyCommands(program: Command, io: Io = TERMINAL): void {
  withKey(withHouse(withJson(program.command("close-early"))))
    .description("end the day early, because a market does nothing but wait at its price limit")
    .requiredOption("--market <name>", "the market: name, with - for a space if you like, or slot number")
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
