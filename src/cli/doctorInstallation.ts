import { existsSync, globSync, readFileSync, statfsSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { CIRCUIT_FILES, readPins, sha256 } from "../prover/circuit.ts";
import { listWallets, walletDirectory } from "../trader/home.ts";
import { type Finding, good, missing, skipped, warning } from "./finding.ts";
import manifest from "../../package.json" with { type: "json" };

// What a machine must have before there is a network.

const root = resolve(import.meta.dirname, "../..");
const OLDEST_NODE = 24;
/** Bytes that a wallet, a journal and the packages can live with. */
const LITTLE_SPACE = 200e6;
const NO_SPACE = 20e6;

/** Node, packages, contracts, keys, disk. */
export async function examineInstallation(home: string): Promise<readonly Finding[]> {
  return [node(), packages(), contracts(), await provingKey(), disk(home)];
}

function node(): Finding {
  const { node: version } = process.versions;
  if (Number(version.split(".")[0]) >= OLDEST_NODE) return good("Node", version);
  return missing("Node", version, `run through ./hedgerow, which brings Node ${OLDEST_NODE}`);
}

function packages(): Finding {
  const names = Object.keys(manifest.dependencies);
  const absent = names.filter((name) => !existsSync(resolve(root, "node_modules", name, "package.json")));
  if (absent.length === 0) return good("packages", `${names.length} of ${names.length}`);
  return missing("packages", `no ${absent.join(", ")}`, "run ./hedgerow version, which installs them");
}

function contracts(): Finding {
  const compiled = globSync("artifacts/contracts/**/*.json", { cwd: root }).length;
  if (compiled > 0) return good("compiled contracts", `${compiled} artifacts`);
  // Traders need none.
  return warning("compiled contracts", "none", "hedgerow local, demo and run --local compile them when they start");
}

async function provingKey(): Promise<Finding> {
  const file = CIRCUIT_FILES.provingKey;
  if (!existsSync(file)) {
    return missing("proving key", "none", "git checkout circuits/keys, or npm run ceremony to derive it again");
  }
  const key = readFileSync(file);
  const size = `${(key.length / 1e6).toFixed(1)} MB`;
  if (sha256(key) === (await readPins()).zkeySha256) return good("proving key", `${size}, as pinned`);
  return missing("proving key", `${size}, not the pinned one`, "git checkout circuits/keys circuits/pins.json");
}

/** Space where wallets are, or will be. */
function disk(home: string): Finding {
  let directory = resolve(home);
  while (!existsSync(directory)) directory = dirname(directory);
  const { bavail, bsize } = statfsSync(directory);
  const free = bavail * bsize;
  const found = `${(free / 1e9).toFixed(1)} GB free for ${home}`;
  const remedy = "make room: what a wallet sends must be written down first";
  if (free < NO_SPACE) return missing("disk", found, remedy);
  return free < LITTLE_SPACE ? warning("disk", found, remedy) : good("disk", found);
}

/** Whether wallets are their owner's alone. */
export function examineWallets(home: string): readonly Finding[] {
  const names = listWallets(home);
  if (names.length === 0) return [skipped("wallets", "none yet", "hedgerow wallet new makes one")];
  return names.map((name) => {
    const directory = walletDirectory(home, name);
    const secrets = ["keystore.json", "wallet.sqlite", "wallet.sqlite-wal", "wallet.sqlite-shm", "agent.sock"];
    const files = [directory, ...secrets.map((file) => join(directory, file)).filter((file) => existsSync(file))];
    const open = files.filter((file) => (statSync(file).mode & 0o077) !== 0);
    const what = `wallet ${name}`;
    if (open.length === 0) return good(what, "its owner's alone");
    return missing(what, `others may read ${open.join(", ")}`, `chmod go= ${open.join(" ")}`);
  });
}
