/**
 * Runs all tests: `npm test`, or those whose path contains one of the words given: `npm test -- protocol tree`.
 * First test/**\/*.test.ts, each file in its own process, then the Solidity tests of test/solidity and contracts/.
 * The last line is `N passed, N failed, N skipped`. The exit code is 0 only if something passed and nothing failed.
 */
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { z } from "zod";

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const none: Counts = { passed: 0, failed: 0, skipped: 0 };

const root = resolve(import.meta.dirname, "..");
process.chdir(root);
// What one test file has compiled, the others read from the disk.
process.env["NODE_COMPILE_CACHE"] ??= resolve(root, ".cache/compiled");

const words = process.argv.slice(2);
const stopping = new AbortController();

function select(...patterns: string[]): string[] {
  const isWanted = (file: string): boolean => words.length === 0 || words.some((word) => file.includes(word));
  return globSync(patterns, { cwd: root }).filter(isWanted).sort();
}

/** Whole days are played here. They come first, so that no long file is left to run alone at the end. */
const LONGEST = ["e2e", "trader", "cli", "exchange", "invariant"].map((name) => `test/${name}/`);

function longestFirst(files: readonly string[]): readonly string[] {
  const isLong = (file: string): boolean => LONGEST.some((directory) => file.startsWith(directory));
  return [
    ...LONGEST.flatMap((directory) => files.filter((file) => file.startsWith(directory))),
    ...files.filter((file) => !isLong(file)),
  ];
}

/** One file more than there are cores: each waits now and then, for blocks, processes and moments. */
async function runTypeScriptTests(files: readonly string[]): Promise<Counts> {
  if (files.length === 0) return none;
  let counts = none;
  const events = run({
    files: longestFirst(files).map((file) => resolve(root, file)),
    concurrency: Math.min(availableParallelism(), 4) + 1,
    signal: stopping.signal,
  });
  events.on("test:summary", ({ counts: sum, file }) => {
    // There is one summary for each file; that of the whole run names none.
    if (file !== undefined) return;
    const skipped = sum.skipped + sum.todo;
    counts = { passed: sum.passed, failed: sum.tests - sum.passed - skipped, skipped };
  });
  for await (const text of events.compose(spec())) process.stdout.write(String(text));
  return counts;
}

/** The part of the result of `hardhat test solidity` that is read here. */
const solidityRun = z.union([
  z.object({ success: z.literal(true), value: z.object({ suiteResults: solidityResults() }) }),
  z.object({ success: z.literal(false), error: z.object({ suiteResults: solidityResults() }) }),
]);

function solidityResults() {
  return z.array(z.object({ testResults: z.array(z.object({ status: z.enum(["Success", "Failure", "Skipped"]) })) }));
}

async function runSolidityTests(files: readonly string[]): Promise<Counts> {
  if (files.length === 0) return none;
  const { createHardhatRuntimeEnvironment } = await import("hardhat/hre");
  const { default: config } = await import("../hardhat.config.ts");
  const hardhat = await createHardhatRuntimeEnvironment(config, {}, root);
  let outcome;
  try {
    outcome = solidityRun.parse(await hardhat.tasks.getTask(["test", "solidity"]).run({ testFiles: [...files] }));
  } catch (error) {
    console.error(`The Solidity tests did not run: ${error instanceof Error ? error.message : String(error)}`);
    return { ...none, failed: 1 };
  }
  const suites = outcome.success ? outcome.value.suiteResults : outcome.error.suiteResults;
  const all = suites.flatMap((suite) => suite.testResults);
  const count = (status: string): number => all.filter((result) => result.status === status).length;
  // A run can fail without a failed test, for instance when a set-up reverts.
  const failed = Math.max(count("Failure"), outcome.success ? 0 : 1);
  return { passed: count("Success"), failed, skipped: count("Skipped") };
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => {
    stopping.abort(); // ends the processes of the test files
    setTimeout(() => process.exit(130), 300);
  });
}

const typeScript = await runTypeScriptTests(select("test/**/*.test.ts"));
const solidity = await runSolidityTests(select("test/solidity/**/*.sol", "contracts/**/*.t.sol"));
const passed = typeScript.passed + solidity.passed;
const failed = typeScript.failed + solidity.failed;
const skipped = typeScript.skipped + solidity.skipped;

if (passed + failed === 0) console.error(words.length > 0 ? `No test matches ${words.join(", ")}.` : "No test ran.");
console.log(`\n${String(passed)} passed, ${String(failed)} failed, ${String(skipped)} skipped`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
