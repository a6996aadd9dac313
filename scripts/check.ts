/**
 * Everything that is checked without running the product: `npm run check`.
 * `npm run check -- --fix` formats and repairs what can be repaired first.
 */
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const fix = process.argv.includes("--fix");

const checks: readonly (readonly [name: string, command: string, ...args: string[]])[] = [
  ["types", "tsc", "--project", "tsconfig.json"],
  ["lint", "eslint", "--max-warnings=0", ...(fix ? ["--fix"] : []), "."],
  ["format", "prettier", "--log-level=warn", fix ? "--write" : "--check", "."],
  ["verifying key", process.execPath, "scripts/generateVerifyingKey.ts", "--check"],
  ["poseidon", process.execPath, "scripts/generatePoseidon.ts", "--check"],
  ["abi", process.execPath, "scripts/generateAbi.ts", "--check"],
  ["api", process.execPath, "scripts/generateApi.ts", "--check"],
  ["pins", process.execPath, "scripts/pins.ts", "--check"],
];

const failed: string[] = [];
for (const [name, command, ...args] of checks) {
  const started = performance.now();
  const { status, signal, error } = spawnSync(command, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  if (signal !== null) process.exit(130);
  if (error !== undefined) console.error(error.message);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${status === 0 ? "ok    " : "FAILED"} ${name} (${seconds} s)`);
  if (status !== 0) failed.push(name);
}

if (failed.length > 0) {
  console.error(`\nNot in order: ${failed.join(", ")}.${fix ? "" : " `npm run check -- --fix` repairs what it can."}`);
  process.exitCode = 1;
}
