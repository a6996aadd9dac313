import { type Command, CommanderError } from "commander";
import type { ExitCode } from "./failure.ts";
import { buildProgram } from "./program.ts";
import { type Io, type NetworkOptions, TERMINAL } from "./session.ts";

/**
 * Runs one command line, as it stands behind "hedgerow". A failure is printed in one place; answers its exit code, or
 * undefined where nothing failed.
 */
export async function runCommandLine(given: readonly string[], io: Io = TERMINAL): Promise<ExitCode | undefined> {
  const program = buildProgram(io);
  /** The command that runs, whose network says how amounts are written. */
  let running: Command | undefined;
  program.hook("preAction", (_, command) => {
    running = command;
  });
  try {
    if (given.length === 0) program.help();
    // `help ticket open` and `ticket open --help` are the same.
    const line = given[0] === "help" ? [...given.slice(1).filter((word) => !word.startsWith("-")), "--help"] : given;
    await program.parseAsync(line, { from: "user" });
    return undefined;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return undefined;
    const { exitCodeOf, failureText } = await import("./failure.ts");
    const decimals = await io.decimals(running?.opts<NetworkOptions>() ?? {}).catch(() => undefined);
    const command = program.commands.find((each) => each.name() === given[0])?.name();
    io.printError(failureText(error, { json: given.includes("--json"), decimals, command }));
    return exitCodeOf(error);
  }
}
