import type { Command } from "commander";
import { FIRST_STEPS } from "./firstSteps.ts";
import { withJson } from "./session.ts";

/** As commander gives them. */
export type LocalOptions = {
  readonly home?: string;
  readonly name: string;
  readonly portChain?: string;
  readonly port?: string;
  readonly markets?: string;
  readonly tradingTime?: string;
  readonly window?: string;
  readonly dayMinutes?: string;
  readonly batchMs?: string;
  readonly directory?: string;
  readonly bots?: string;
  readonly withBots?: true;
  readonly json?: true;
};

/** Registers `hedgerow local`. */
export function addLocalCommands(program: Command): void {
  const local = program
    .command("local")
    .description("run a whole exchange on this machine: a chain, a clearing house, an exchange, and test dollars")
    .option("--home <directory>", "instead of $HEDGEROW_HOME or ~/.hedgerow")
    .option("--name <name>", "name of the network that is written", "local")
    .option("--port-chain <number>", "port of the chain; any that is free if left out")
    .option("--port <number>", "port of the exchange; any that is free if left out")
    .option("--markets <file>", "JSON list of markets instead of lean hogs (FEB, APR, JUN) and WTI")
    .option("--trading-time <seconds>", "length of a trading day (default: 21600, six hours)")
    .option("--window <seconds>", "length of the settlement window after it (default: 600)")
    .option("--day-minutes <minutes>", "length of a whole day, its window included")
    .option("--batch-ms <number>", "how long things may wait for a batch (default: 500)")
    .option("--directory <directory>", "keep the exchange's journal here, to look at afterwards")
    .option("--with-bots", "start bots as well, so that a book has two sides (scripts/examples/bots.json)")
    .option("--bots <file>", "start the bots of this file")
    .addHelpText(
      "after",
      `
The chain lives in memory: when this command ends, accounts, orders and test
dollars are gone. It runs until Ctrl-C. With bots it ends in order: they close
their tickets first; Ctrl-C again does not wait for that.

In another terminal:
${FIRST_STEPS.slice(1)
  .map(([typed]) => `  ${typed}`)
  .join("\n")}`,
    )
    .action(async (options: LocalOptions) => {
      const { runLocal } = await import("./localRun.ts");
      await runLocal(options);
    });
  withJson(local);
}
