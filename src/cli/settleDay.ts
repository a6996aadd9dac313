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
export type SettleDayOptions = HouseOptions &
  KeyOptions &
  JsonOptions & {
    readonly epoch?: string;
    readonly reportDir?: string;
    readonly dryRun?: true;
    readonly reportOnly?: true;
    readonly wait: boolean;
  };

/** Adds `settle-day`. */
export function addSettleDayCommands(program: Command, io: Io = TERMINAL): void {
  withKey(withHouse(withJson(program.command("settle-day"))))
    .description("end a trading day: close, renewals, forfeited bonds, the next day's opening, and a report")
    .option("--epoch <number>", "the day, by its number; today's if left out")
    .option("--report-dir <directory>", "write the report there: day-N.json, and day-N.html to print")
    .option("--dry-run", "print the steps and what prices rest on, and send nothing")
    .option("--report-only", "only report a day that is over")
    .option("--no-wait", "take what can be taken now; exit code 3 if the day is not settled by it")
    .addHelpText(
      "after",
      `
Anybody may run it, at any time after closing time, more than once, and several
at once. What was done is seen on chain; what is left is done. A running
exchange closes its day by itself, with its quotes: it is waited for until the
grace is over, unless the key is the operator's own. On a local development
chain no key is needed.
${examples(
  "settle-day --dry-run",
  "settle-day --key-file keeper.key --report-dir reports",
  "settle-day --report-only --epoch 12 --report-dir reports",
)}`,
    )
    .action(async (options: SettleDayOptions) => (await import("./settleDayRun.ts")).settleDayCommand(options, io));
}
