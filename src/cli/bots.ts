import { type Command, InvalidArgumentError } from "commander";
import { type JsonOptions, type NetworkOptions, withJson, withNetwork } from "./session.ts";

export type BotsOptions = JsonOptions &
  NetworkOptions & {
    readonly config: string;
    readonly passwordFile?: string;
    readonly seed?: number;
    readonly duration?: number;
  };

/** Adds `bots`. */
export function addBotsCommands(program: Command): void {
  const command = program
    .command("bots")
    .description("let a crowd of bots trade: market makers, and those who trade with them")
    .requiredOption("--config <file>", "who they are and how they trade, as scripts/examples/bots.json shows")
    .option("--seed <number>", "instead of the file's: decides all that they leave to chance", seedOf)
    .option("--duration <time>", "end after so long, as 60s, 10m or 2h; otherwise they go on until Ctrl-C", secondsOf)
    .option("--password-file <file>", "password of the bots' wallets, where the chain is no local one");
  withNetwork(withJson(command))
    .addHelpText(
      "after",
      `
Each bot has a wallet of its own under the home directory. On a local chain the
faucet pays their stakes; elsewhere send collateral and ether to their funding
addresses first. Ctrl-C cancels all quotes, closes the tickets and sums up; a
second Ctrl-C leaves the tickets open.

With --json there is a line a second, {"bots":[...]}, and {"summary":{...}} at
the end; amounts are base units.

Example:
  hedgerow bots --config scripts/examples/bots.json --duration 5m`,
    )
    .action(async (options: BotsOptions) => {
      const { runBots } = await import("./botsRun.ts");
      await runBots(options);
    });
}

function seedOf(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("Give a whole number.");
  return Number(text);
}

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600 };

/** "90", "90s", "10m", "2h" in seconds. */
function secondsOf(text: string): number {
  const [, count = "", unit = "s"] = /^(\d{1,7})([smh]?)$/.exec(text) ?? [];
  const seconds = Number(count) * (UNITS[unit === "" ? "s" : unit] ?? 0);
  if (count === "" || seconds < 1) throw new InvalidArgumentError("Give a time as 60s, 10m or 2h.");
  return seconds;
}
