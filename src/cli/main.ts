import { enableCompileCache } from "node:module";
import { resolve } from "node:path";

// What was compiled once is read from the disk: it has to come before everything else that is imported.
enableCompileCache(resolve(import.meta.dirname, "../../.cache/compiled"));
const { runCommandLine } = await import("./commandLine.ts");

/** A command is over when its action is: whatever still holds the process then is cut off a little later. */
const LEFT_OVER_MS = 2_000;

// The reader has seen enough, as `head` does: that is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit();
  throw error;
});

const failure = await runCommandLine(process.argv.slice(2));
if (failure !== undefined) process.exitCode = failure;
setTimeout(() => process.exit(), LEFT_OVER_MS).unref();
