import type { Command } from "commander";
import type { ScheduleOptions } from "./scheduleRun.ts";
import { examples, type Io, TERMINAL, withHouse, withJson, withKey } from "./session.ts";

/** Adds `schedule`. */
export function addScheduleCommands(program: Command, io: Io = TERMINAL): void {
  withKey(withHouse(withJson(program.command("schedule"))), "administrator's key")
    .description("bring the registry of markets in line with a published schedule")
    .requiredOption("--file <file>", "the schedule, as scripts/examples/schedule.json shows")
    .option("--dry-run", "say what is missing, and send nothing")
    .addHelpText(
      "after",
      `
What is sent is in force at the registry when its delay is over, and in the
clearing house from the first close after that. Margins and limits of a contract
that runs change by a step at a time: run this once a day, and again whenever it
was cut off; what is there already is not sent again.

The file lists contracts by slot; the next one of a slot follows when the one
before it has had its last trading time. Amounts are dollars per contract. The
contracts of hedgerow local have terms of its own, which the example does not
know: there it is refused.
${examples("schedule --file schedule.json --dry-run", "schedule --file schedule.json --key-file administrator.key")}`,
    )
    .action(async (options: ScheduleOptions) => {
      const { runSchedule } = await import("./scheduleRun.ts");
      await runSchedule(options, io);
    });
}
