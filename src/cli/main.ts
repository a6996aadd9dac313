import { type Command, CommanderError } from "commander";
import { buildProgram } from "./program.ts";
import { type NetworkOptions, TERMINAL } from "./session.ts";

/**
 * The command line. Each command is imported only when it runs, so that help comes at once. A command is over when its
 * action is: whatever still holds the process then is cut off a little later.
 */
const LEFT_OVER_MS = 2_000;

// The reader has seen enough, as `head` does: that is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit();
  throw error;
});

const given = process.argv.slice(2);
const program = buildProgram();
/** The command that runs, to name its help and its network when it fails. */
let running: Command | undefined;
program.hook("preAction", (_, command) => {
  running = command;
});

try {
  if (given.length === 0) program.help();
  // `help ticket open` and `ticket open --help` are the same.
  await program.parseAsync(given[0] === "help" ? [...given.slice(1), "--help"] : given, { from: "user" });
} catch (error) {
  const isHelp = error instanceof CommanderError && error.exitCode === 0;
  if (!isHelp) await fail(error);
}
setTimeout(() => process.exit(), LEFT_OVER_MS).unref();

async function fail(error: unknown): Promise<void> {
  const { reportFailure } = await import("./failure.ts");
  const options = running?.opts<NetworkOptions>() ?? {};
  const decimals = await TERMINAL.decimals(options).catch(() => undefined);
  reportFailure(error, { json: given.includes("--json"), decimals, command: namedCommand(given[0]) });
}

/** The command as far as it was understood. */
function namedCommand(name: string | undefined): string | undefined {
  return program.commands.find((command) => command.name() === name)?.name();
}
