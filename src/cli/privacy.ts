import type { Command } from "commander";
import { type Io, type JsonOptions, TERMINAL, type WalletOptions, withJson, withWallet } from "./session.ts";

/** Adds privacy. */
export function addPrivacyCommands(program: Command, io: Io = TERMINAL): void {
  withWallet(withJson(program.command("privacy")))
    .description("what others could infer about this account now, and what would make it less")
    .addHelpText(
      "after",
      "\nIt is computed from what everybody sees on chain and from what this wallet\n" +
        "knows to be yours; nobody is asked about it.\n\nExamples:\n  hedgerow privacy\n  hedgerow privacy --json",
    )
    .action(async (options: WalletOptions & JsonOptions) => (await import("./privacyRun.ts")).privacy(options, io));
}
