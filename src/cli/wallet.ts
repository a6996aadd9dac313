import type { Command } from "commander";
import { examples, groupOf, type Io, TERMINAL, withJson, withNetwork, withWallet } from "./session.ts";
import type { Shown } from "./walletList.ts";
import type { ExportOptions, NewOptions, PasswordChange, PhraseOptions, RecoverOptions } from "./walletRun.ts";

/*
 * hedgerow wallet: where the keys are. Each action imports what it does when it runs.
 */

const run = () => import("./walletRun.ts");
const list = () => import("./walletList.ts");

const PASSWORD_FILE = [
  "--password-file <file>",
  "the password, in a file of yours only, instead of a question",
] as const;
const PHRASE_FILE = ["--phrase-file <file>", "the phrase, in a file of yours only, instead of a question"] as const;

/** Adds wallet new, import, recover, list, show, default, change-password, export-viewing-key, import-viewing-key. */
export function addWalletCommands(program: Command, io: Io = TERMINAL): void {
  const wallet = groupOf(program, "wallet", "make, recover, list and choose wallets; viewing keys");

  inHome(wallet.command("new"))
    .description("make a wallet with a new seed phrase, shown once")
    .argument("[name]", "its name", "main")
    .option(...PASSWORD_FILE)
    .option("--phrase-out <file>", "write the phrase to a new file of yours only, and do not show it")
    .addHelpText(
      "after",
      `
Whoever has the phrase has the money; whoever loses it has none. Write it on
paper. The password only guards the copy on this machine.
${examples("wallet new", "wallet new savings")}`,
    )
    .action(async (name: string, options: NewOptions) => (await run()).makeWallet(name, options, io));

  inHome(wallet.command("import"))
    .description("make a wallet from a seed phrase that you have")
    .argument("<name>", "its name")
    .option(...PASSWORD_FILE)
    .option(...PHRASE_FILE)
    .addHelpText("after", `\n${examples("wallet import main", "wallet import main --phrase-file phrase.txt")}`)
    .action(async (name: string, options: PhraseOptions) => (await run()).importWallet(name, options, io));

  withJson(withNetwork(wallet.command("recover")))
    .description("make a wallet from a seed phrase and find on chain what it owns")
    .argument("<name>", "its name")
    .option(...PASSWORD_FILE)
    .option(...PHRASE_FILE)
    .addHelpText(
      "after",
      `
Phrase and chain are enough: seat, cash, positions, open tickets and waiting
deposits come back. Receipts are evidence that only the lost wallet had: of them
the trades remain.
${examples("wallet recover main")}`,
    )
    .action(async (name: string, options: RecoverOptions) => (await run()).recoverWallet(name, options, io));

  inHome(wallet.command("list"))
    .description("the wallets of this machine")
    .action(async (options: Shown) => (await list()).showWallets(options, io));

  inHome(wallet.command("show"))
    .description("where a wallet is and which address pays for it")
    .argument("[name]", "the chosen one if left out")
    .action(async (name: string | undefined, options: Shown) => (await list()).showWallet(name, options, io));

  inHome(wallet.command("default"))
    .description("choose the wallet that commands mean")
    .argument("<name>", "its name")
    .action(async (name: string, options: Shown) => (await list()).chooseWallet(name, options, io));

  inHome(wallet.command("change-password"))
    .description("guard a wallet with another password")
    .argument("[name]", "the chosen one if left out")
    .option("--password-file <file>", "the old password")
    .option("--new-password-file <file>", "the new password")
    .action(async (name: string | undefined, options: PasswordChange) =>
      (await run()).changeWalletPassword(name, options, io),
    );

  withJson(withWallet(wallet.command("export-viewing-key")))
    .description("write a file that shows one account to whoever has it, for ever, and signs nothing")
    .argument("<file>", "a new file")
    .addHelpText(
      "after",
      `
For auditors and accountants. It shows all that the account did and will do; it
cannot be taken back. Without --account the chain is asked which account is in
use.
${examples("wallet export-viewing-key audit.json", "wallet export-viewing-key audit.json --account 0")}`,
    )
    .action(async (file: string, options: ExportOptions) => (await run()).exportKey(file, options, io));

  inHome(wallet.command("import-viewing-key"))
    .description("make a wallet that only watches, from a viewing key file")
    .argument("<name>", "its name")
    .argument("<file>", "the file")
    .option(...PASSWORD_FILE)
    .action(async (name: string, file: string, options: NewOptions) =>
      (await run()).importKey(name, file, options, io),
    );
}

function inHome(command: Command): Command {
  command.option("--home <directory>", "instead of $HEDGEROW_HOME or ~/.hedgerow");
  return withJson(command);
}
