import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * Writes src/api/gen from the schema in src/api/hedgerow, without a network: buf reads the schema and runs the plugin
 * that is installed here. `--check` only says whether the files belong to the schema.
 */

const root = fileURLToPath(new URL("../", import.meta.url));
const FILE = "hedgerow/exchange/v1/exchange_pb.ts";
const target = join(root, "src/api/gen", FILE);

function generate(): string {
  const out = mkdtempSync(join(tmpdir(), "hedgerow-api-"));
  try {
    const bin = join(root, "node_modules/.bin");
    const plugin = { local: "protoc-gen-es", out, opt: ["target=ts", "import_extension=ts", "erasable_syntax=true"] };
    const template = JSON.stringify({ version: "v2", plugins: [plugin] });
    execFileSync(join(bin, "buf"), ["generate", "src/api", "--template", template], {
      cwd: root,
      env: { ...process.env, PATH: [bin, process.env["PATH"] ?? ""].join(delimiter), BUF_CACHE_DIR: out },
      stdio: ["ignore", "inherit", "inherit"],
    });
    return readFileSync(join(out, FILE), "utf8");
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

const wanted = generate();
const present = (() => {
  try {
    return readFileSync(target, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return "";
    throw error;
  }
})();
if (process.argv.includes("--check")) {
  const same = wanted === present;
  console.log(same ? "api: up to date" : "api: src/api/gen is stale; run node scripts/generateApi.ts");
  process.exitCode = same ? 0 : 1;
} else if (wanted !== present) {
  writeFileSync(target, wanted);
  console.log(`api: wrote src/api/gen/${FILE}`);
}
