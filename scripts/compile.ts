/**
 * Compiles the contracts into artifacts/, unless nothing has changed since the last time.
 *
 *     node scripts/compile.ts            compile when needed
 *     node scripts/compile.ts --check    exit code 0 when artifacts/ is up to date, 1 when not
 *     node scripts/compile.ts --force    compile in any case
 */
import { createHash } from "node:crypto";
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const fingerprintFile = join(root, ".cache", "contracts.sha256");

/** Hash of everything the artifacts follow from: sources, settings, and versions of compiler and imported packages. */
function fingerprint(): string {
  const sources = globSync("contracts/**/*.sol", { cwd: root, exclude: ["**/*.t.sol"] }).sort();
  const hash = createHash("sha256");
  for (const file of [...sources, "hardhat.config.ts", "package-lock.json"]) {
    const content = readFileSync(join(root, file));
    hash.update(`${file}\n${String(content.length)}\n`).update(content);
  }
  return hash.digest("hex");
}

function isCurrent(): boolean {
  return (
    existsSync(join(root, "artifacts", "artifacts.d.ts")) &&
    existsSync(fingerprintFile) &&
    readFileSync(fingerprintFile, "utf8") === fingerprint()
  );
}

async function compile(force: boolean): Promise<boolean> {
  // Taken before the compilation: a file saved meanwhile is then compiled the next time.
  const compiled = fingerprint();
  rmSync(fingerprintFile, { force: true });
  const started = performance.now();
  console.error("hedgerow: compiling contracts (up to a minute, only after a change) ...");

  const { createHardhatRuntimeEnvironment } = await import("hardhat/hre");
  const { default: config } = await import("../hardhat.config.ts");
  const hardhat = await createHardhatRuntimeEnvironment(config, {}, root);
  try {
    await hardhat.tasks.getTask("build").run({ quiet: true, force, noTests: true });
  } catch (error) {
    // The build has printed the compiler's messages already.
    console.error(`hedgerow: contracts do not compile. ${error instanceof Error ? error.message : String(error)}`);
    return false;
  }

  mkdirSync(join(root, ".cache"), { recursive: true });
  writeFileSync(fingerprintFile, compiled);
  console.error(`hedgerow: contracts compiled in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  return true;
}

const force = process.argv.includes("--force");
if (process.argv.includes("--check")) {
  process.exitCode = isCurrent() ? 0 : 1;
} else if (force || !isCurrent()) {
  process.exitCode = (await compile(force)) ? 0 : 1;
}
