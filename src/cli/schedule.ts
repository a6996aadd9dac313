import type { Command } from "commander";
import type { ScheduleOptions } from "./scheduleRun.ts";
import { examples, type Io, TERMINAL, withJson, withNetwork } from "./session.ts";

/** Adds `schedule`. */
export function addScheduleCommands(program: Command, io: Io = TERMINAL): void {
  withNetwork(withJson(program.command("schedule")))
    .description("bring the registry of markets in line with a published schedule")
    .requiredOption("--file <file>", "the schedule, as scripts/examples/schedule.json shows")
    .option("--chain <url>", "another node than the network's")
    .option("--clearing-house <address>", "another clearing house than the network's, with --chain")
    .option("--chain-id <number>", "refuse a node of another chain (with --chain)")
    .option("--from-block <number>", "block of the deployment (with --chain; default: 0)")
    .option("--key-file <file>", "administrator's key, in hex or a keystore; readable by its owner only")
    .option("--password-file <file>", "password of the keystore")
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
