import { existsSync, globSync, statSync } from "node:fs";
import { resolve } from "node:path";
import manifest from "../../package.json" with { type: "json" };

/** One thing that Hedgerow needs, and whether it is there. */
export interface Finding {
  readonly what: string;
  readonly ok: boolean;
  readonly found: string;
  /** What to do when it is missing. */
  readonly remedy: string;
}

const root = resolve(import.meta.dirname, "../..");
const oldestNode = 24;

/** Looks at Node, packages, compiled contracts and proving key. Changes nothing. */
export function examine(): readonly Finding[] {
  return [node(), packages(), contracts(), provingKey()];
}

function node(): Finding {
  const { node: version } = process.versions;
  const ok = Number(version.split(".")[0]) >= oldestNode;
  return {
    what: "Node",
    ok,
    found: version,
    remedy: `run through ./hedgerow, which brings Node ${String(oldestNode)}`,
  };
}

function packages(): Finding {
  const names = Object.keys(manifest.dependencies);
  const missing = names.filter((name) => !existsSync(resolve(root, "node_modules", name, "package.json")));
  return {
    what: "packages",
    ok: missing.length === 0,
    found: missing.length === 0 ? `${String(names.length)} of ${String(names.length)}` : `no ${missing.join(", ")}`,
    remedy: "run ./hedgerow version, which installs them",
  };
}

function contracts(): Finding {
  const compiled = globSync("artifacts/contracts/**/*.json", { cwd: root }).length;
  return {
    what: "compiled contracts",
    ok: compiled > 0,
    found: compiled > 0 ? `${String(compiled)} artifacts` : "none",
    remedy: "run scripts/with-node.sh node scripts/compile.ts",
  };
}

function provingKey(): Finding {
  const keys = globSync("circuits/keys/*.zkey", { cwd: root });
  const sizes = keys.map((key) => `${key} (${(statSync(resolve(root, key)).size / 1e6).toFixed(1)} MB)`);
  return {
    what: "proving key",
    ok: keys.length > 0,
    found: keys.length > 0 ? sizes.join(", ") : "none in circuits/keys",
    remedy: "git checkout circuits/keys, or npm run ceremony to derive it again",
  };
}
