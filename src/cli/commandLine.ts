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
    const { EXIT, exitCodeOf, failureText } = await import("./failure.ts");
    // A group without a command of it has printed its help: there is nothing to add.
    if (error instanceof CommanderError && error.code === "commander.help") return EXIT.usage;
    const decimals = await io.decimals(running?.opts<NetworkOptions>() ?? {}).catch(() => undefined);
    io.printError(failureText(error, { json: given.includes("--json"), decimals, command: commandOf(program, given) }));
    return exitCodeOf(error);
  }
}

/** The words of a command line that name a command, as "ticket open"; undefined where none does. */
function commandOf(program: Command, given: readonly string[]): string | undefined {
  const names: string[] = [];
  let at = program;
  for (const word of given) {
    const next = at.commands.find((each) => each.name() === word);
    if (next === undefined) break;
    names.push(word);
    at = next;
  }
  return names.length === 0 ? undefined : names.join(" ");
}
