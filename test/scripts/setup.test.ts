import assert from "node:assert/strict";
import { spawn, spawnSync, type SpawnSyncReturns } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { after, test } from "node:test";

const root = resolve(import.meta.dirname, "../..");
const withNode = join(root, "scripts/with-node.sh");

function sh(script: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): SpawnSyncReturns<string> {
  return spawnSync(script, args, { cwd: tmpdir(), encoding: "utf8", env: { ...process.env, ...env } });
}

const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A project with nothing installed, and an `npm` on PATH that does what `npm` says instead of reaching the network. */
function emptyProject(npm: string): { folder: string; script: string; env: NodeJS.ProcessEnv } {
  const folder = mkdtempSync(join(tmpdir(), "hedgerow set-up "));
  folders.push(folder);
  mkdirSync(join(folder, "scripts"));
  mkdirSync(join(folder, "bin"));
  const script = join(folder, "scripts/with-node.sh");
  copyFileSync(withNode, script);
  writeFileSync(join(folder, "package-lock.json"), "{}\n");
  writeFileSync(join(folder, "bin/npm"), `#!/bin/sh\ncd '${folder}'\necho "$@" >>npm-calls\n${npm}\n`);
  chmodSync(join(folder, "bin/npm"), 0o755);
  const path = [join(folder, "bin"), dirname(process.execPath), process.env["PATH"] ?? ""].join(":");
  return { folder, script, env: { PATH: path } };
}

const installs = "sleep 0.3; rm -rf node_modules; mkdir node_modules";

test("a command gets its arguments unchanged and its exit code is handed back [DEV-2]", () => {
  const program = "console.log(JSON.stringify(process.argv.slice(1))); process.exit(7)";
  const given = ["two words", "", "$HOME", "*", `"'`];
  const { status, stdout, stderr } = sh(withNode, ["--no-compile", "node", "-e", program, "--", ...given]);
  assert.deepEqual(JSON.parse(stdout), given);
  assert.equal(stderr, "");
  assert.equal(status, 7);
});

test("a command runs in the folder of its caller, under Node 24 or newer, with the packages' tools [DEV-2]", () => {
  const { stdout } = sh(withNode, ["--no-compile", "sh", "-c", "pwd; node --version; command -v tsc"]);
  const [folder, version, tsc] = stdout.split("\n");
  assert.equal(folder, tmpdir());
  assert.ok(Number(version?.slice(1).split(".")[0]) >= 24);
  assert.equal(tsc, join(root, "node_modules/.bin/tsc"));
});

test("without a command the set-up script says how it is used [DEV-2]", () => {
  const { status, stderr } = sh(withNode, []);
  assert.equal(status, 1);
  assert.match(stderr, /usage: scripts\/with-node\.sh/);
});

test("packages are installed once, and again when the lock file changes [DEV-2]", () => {
  const { folder, script, env } = emptyProject(installs);
  const calls = (): number => readFileSync(join(folder, "npm-calls"), "utf8").trim().split("\n").length;
  assert.equal(sh(script, ["--no-compile", "true"], env).status, 0);
  assert.equal(sh(script, ["--no-compile", "true"], env).status, 0);
  assert.equal(calls(), 1);
  writeFileSync(join(folder, "package-lock.json"), '{"changed":true}\n');
  assert.equal(sh(script, ["--no-compile", "true"], env).status, 0);
  assert.equal(calls(), 2);
});

test("two set-ups at once install once, and leave no lock behind [DEV-2]", async () => {
  const { folder, script, env } = emptyProject(installs);
  const start = () => spawn(script, ["--no-compile", "true"], { env: { ...process.env, ...env }, stdio: "ignore" });
  const exits = await Promise.all([once(start(), "exit"), once(start(), "exit"), once(start(), "exit")]);
  assert.deepEqual(
    exits.map(([code]) => code as unknown),
    [0, 0, 0],
  );
  assert.equal(readFileSync(join(folder, "npm-calls"), "utf8").trim().split("\n").length, 1);
  assert.deepEqual(
    readdirSync(join(folder, ".cache")).filter((name) => name.startsWith("setup.lock")),
    [],
  );
});

test("the lock of a process that has died is taken over [DEV-2]", () => {
  const { folder, script, env } = emptyProject(installs);
  const { pid } = spawnSync("true");
  mkdirSync(join(folder, ".cache/setup.lock"), { recursive: true });
  writeFileSync(join(folder, ".cache/setup.lock/pid"), `${String(pid)}\n`);
  assert.equal(sh(script, ["--no-compile", "true"], env).status, 0);
  assert.equal(existsSync(join(folder, ".cache/setup.lock")), false);
});

test("an interrupted installation ends npm, does not count as done and leaves no lock behind [DEV-2]", async () => {
  const { folder, script, env } = emptyProject("mkdir -p node_modules; echo $$ >npm-pid; exec sleep 30");
  const child = spawn(script, ["--no-compile", "true"], { env: { ...process.env, ...env }, stdio: "ignore" });
  while (!existsSync(join(folder, "npm-pid"))) await new Promise((done) => setTimeout(done, 20));
  child.kill("SIGINT");
  assert.deepEqual(await once(child, "exit"), [130, null]);
  const npm = Number(readFileSync(join(folder, "npm-pid"), "utf8"));
  assert.throws(() => process.kill(npm, 0), { code: "ESRCH" });
  assert.equal(existsSync(join(folder, "node_modules/.installed-package-lock.json")), false);
  assert.equal(existsSync(join(folder, ".cache/setup.lock")), false);
});

const failures = [
  ["no network", "npm error code ENOTFOUND", /cannot reach the npm registry to install packages/],
  ["an untrusted certificate", "npm error code SELF_SIGNED_CERT_IN_CHAIN", /certificate is not trusted/],
  ["a folder of another owner", "npm error code EACCES", /no permission to write/],
  ["anything else", "npm error code E418 teapot", /E418 teapot[^]*its words are above/],
] as const;

for (const [what, words, message] of failures) {
  test(`an installation that fails for ${what} says so and runs nothing [DEV-2]`, () => {
    const { script, env } = emptyProject(`echo '${words}' >&2; exit 1`);
    const { status, stdout, stderr } = sh(script, ["--no-compile", "echo", "ran"], env);
    assert.equal(status, 1);
    assert.equal(stdout, "");
    assert.match(stderr, message);
  });
}

test("the launcher answers doctor and version for programs too [DEV-3]", () => {
  const launcher = join(root, "hedgerow");
  const version: unknown = JSON.parse(sh(launcher, ["version", "--json"]).stdout);
  assert.ok(typeof version === "object" && version !== null && "hedgerow" in version && "node" in version);
  const doctor: unknown = JSON.parse(sh(launcher, ["doctor", "--json"]).stdout);
  assert.ok(typeof doctor === "object" && doctor !== null && "ok" in doctor && "findings" in doctor);
});

test("the lock file names no registry [DEV-2]", () => {
  assert.doesNotMatch(readFileSync(join(root, "package-lock.json"), "utf8"), /registry|https?:\/\/[^"]*\.tgz/);
});
