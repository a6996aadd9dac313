import type { Command } from "commander";
import { examples, type Io, TERMINAL, withJson, withNetwork } from "./session.ts";
import type { VerifyDayOptions } from "./verifyDayRun.ts";

/** Adds `verify-day`. */
export function addVerifyDayCommands(program: Command, io: Io = TERMINAL): void {
  withNetwork(withJson(program.command("verify-day")))
    .description("check a trading day from the chain alone: every proof, fill, price, and token")
    .option("--epoch <day>", "number of the day; the last whole one if left out")
    .option("--to <day>", "also the days after it, up to this one")
    .option("--all", "all whole days, with all their proofs")
    .option("--chain <url>", "another node than the network's")
    .option("--clearing-house <address>", "another house than the network's, where --chain is given")
    .option("--from-block <number>", "block of its deployment")
    .option("--unproven", "take a local house that asks for no proofs, and check everything else")
    .addHelpText(
      "after",
      `
Events and calldata are replayed from the deployment on by code of its own:
signatures, margins, limits, trees of notes, settlement prices with their
evidence, defaults, the waterfall, and the sum of all buckets against the
token's transfers. The proofs of the day are checked; --all checks those of all
days before, too. Needs no wallet, no password and no exchange.

What the chain does not show nobody can check from it: who came first in the
book (price-time priority), the log behind the log heads, and whether attested
quotes rested all the time.

Exit codes: 0 verified, 3 a contradiction, with what and where, 4 unreachable.
${examples("verify-day --epoch 3", "verify-day --all --json", "verify-day --epoch 3 --chain http://localhost:8545")}`,
    )
    .action(async (options: VerifyDayOptions) => {
      const { runVerifyDay } = await import("./verifyDayRun.ts");
      await runVerifyDay(options, io);
    });
}
