import { type Command, InvalidArgumentError } from "commander";

export type SimulateOptions = {
  readonly settlements: string;
  readonly traders: number;
  readonly seed: number;
  readonly days?: number;
  readonly symbol?: readonly string[];
  readonly margins?: string;
  readonly multiplier: number;
  readonly maintenance?: number;
  readonly abandon?: number;
  readonly bidders?: number;
  readonly stake?: number;
  readonly fund?: number;
  readonly unproven?: true;
  readonly json?: string;
};

/** Adds `simulate`. */
export function addSimulateCommand(program: Command): void {
  program
    .command("simulate")
    .description("many trading days over recorded settlement prices, with traders that nobody can look into")
    .requiredOption("--settlements <file>", "CSV with the columns date,symbol,settle")
    .option("--traders <number>", "how many traders", wholeNumber(2, 5_000), 20)
    .option("--seed <number>", "decides all that is left to chance", wholeNumber(0, 2 ** 48), 1)
    .option("--days <number>", "only the first days of the series", wholeNumber(1, 10_000))
    .option("--symbol <names...>", "only these symbols of the file; each is a market, at most eight at a time")
    .option("--margins <file>", "CSV with date,initial,maintenance in dollars per contract, by date")
    .option("--maintenance <dollars>", "margin instead; a tenth of the first price otherwise", wholeNumber(1, 10 ** 9))
    .option("--multiplier <dollars>", "dollars per contract for 1.00 of the price", wholeNumber(1, 10 ** 6), 1_000)
    .option("--abandon <percent>", "of tickets that their market went against, how many stay open", wholeNumber(0, 100))
    .option("--bidders <percent>", "of makers who bid for what drop-outs left, or none (default: all)", bidders)
    .option("--stake <dollars>", "what the operator stakes (default: ten initial margins)", wholeNumber(0, 10 ** 12))
    .option("--fund <dollars>", "the guaranty fund's money (default: twenty initial margins)", wholeNumber(0, 10 ** 12))
    .option("--unproven", "make no proofs: minutes in place of hours; such a house exists on a local chain only")
    .option("--json <file>", "write the result there too")
    .addHelpText(
      "after",
      `
Starts a chain of its own with the real contracts. On each day the market trades
so that it settles at the recorded price; a move that is wider than the limit
takes it to the limit, and it goes on the next day. A symbol's last row is its
last trading day, and a later symbol takes its slot. Accounts that cannot renew
get a margin call; who does not pay is in default.

After every step all tokens, positions and notes are counted. The exit code is 1
if they do not come out.

Examples:
  hedgerow simulate --settlements prices.csv --traders 100 --unproven
  hedgerow simulate --settlements wti.csv --symbol CLK20 CLM20 --traders 40 \\
    --margins margins.csv --seed 7 --unproven --json result.json
  hedgerow simulate --settlements wti.csv --symbol CLK20 --traders 40 --unproven \\
    --abandon 60 --bidders none --stake 100000 --fund 200000`,
    )
    .action(async (options: SimulateOptions) => {
      const { runSimulate } = await import("./simulateRun.ts");
      await runSimulate(options);
    });
}

function bidders(text: string): number {
  return text === "none" ? 0 : wholeNumber(0, 100)(text);
}

function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d{1,15}$/.test(text) || value < least || value > most) {
      throw new InvalidArgumentError(`Give a whole number from ${least} to ${most}.`);
    }
    return value;
  };
}
