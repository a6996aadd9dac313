import type { Command } from "commander";
import type { AuditOptions, PeriodOptions, ReportOptions, StatementOptions } from "./reportsRun.ts";
import { examples, type Io, TERMINAL, withJson, withNetwork, withWallet } from "./session.ts";

/*
 * What an account has and what happened to it. Each action imports what it does when it runs.
 */

const run = () => import("./reportsRun.ts");

const RECONCILES = `
Opening equity + deposits - withdrawals - fees + variation + close-out fees is
the closing equity, to the last digit. Variation: what was held at the change of
settlement price, and trades at their distance from it. A day that goes on
counts at the prices before it.`;

/** Adds balance, history, statement and audit. */
export function addReportCommands(program: Command, io: Io = TERMINAL): void {
  withJson(withWallet(program.command("balance")))
    .description("what you own: equity, free cash, margin, positions, buying power")
    .addHelpText(
      "after",
      `
Equity is everything, note and tickets, at the last settlement prices; then at
the prices that this day can reach. Free cash can be withdrawn or traded with.
${examples("balance", "balance --json")}`,
    )
    .action(async (options: ReportOptions) => (await run()).balance(options, io));

  withPeriod(withJson(withWallet(program.command("history"))))
    .description("everything that happened to the account, from the chain")
    .addHelpText("after", examples("history", "history --from 12 --to 14", "history --json"))
    .action(async (options: PeriodOptions) => (await run()).history(options, io));

  withFiles(withPeriod(withJson(withWallet(program.command("statement")))))
    .description("opening and closing equity of a period, and what lies between")
    .addHelpText("after", `${RECONCILES}\n${examples("statement", "statement --from 12 --html june.html")}`)
    .action(async (options: StatementOptions) => (await run()).statement(options, io));

  withFiles(withPeriod(withJson(withNetwork(program.command("audit")))))
    .description("statement of somebody else's account, by its viewing key")
    .requiredOption("--viewing-key <file>", "as hedgerow wallet export-viewing-key wrote it")
    .addHelpText(
      "after",
      `
Needs no wallet, no password and no exchange: the key and the chain tell all.
${examples("audit --viewing-key fund.key", "audit --viewing-key fund.key --csv fund.csv")}`,
    )
    .action(async (options: AuditOptions) => (await run()).audit(options, io));
}

function withPeriod(command: Command): Command {
  return command
    .option("--from <epoch>", "first day, by its number; the account's first if left out")
    .option("--to <epoch>", "last day; today if left out");
}

function withFiles(command: Command): Command {
  return command
    .option("--csv <file>", "write it as CSV, for spreadsheets; takes the place of one that is there")
    .option("--html <file>", "write it as a page to print; takes the place of one that is there");
}
