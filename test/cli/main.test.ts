import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { after, describe, test } from "node:test";
import type { Command } from "commander";
import { buildProgram } from "../../src/cli/program.ts";
import { createWallet, openWallet } from "../../src/trader/store.ts";
import { hedgerow } from "../support/commandLine.ts";

const SOURCES = resolve(import.meta.dirname, "../../src/cli");
const MAIN = join(SOURCES, "main.ts");
const PHRASE = "test test test test test test test test test test test junk";

const home = mkdtempSync(join(tmpdir(), "hedgerow-cli-"));
after(() => rmSync(home, { recursive: true, force: true }));

function start(...args: string[]) {
  return spawn(process.execPath, [MAIN, ...args], { env: { ...process.env, HEDGEROW_HOME: home } });
}

async function ended(child: ReturnType<typeof start>) {
  const [out, err]: [string[], string[]] = [[], []];
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => err.push(chunk.toString()));
  await once(child, "close");
  return { code: child.exitCode, signal: child.signalCode, out: out.join(""), err: err.join("") };
}

/** What a file imports when it is loaded, and what that imports: files of the project, and packages. */
function loadedBy(file: string, seen = new Set<string>()): ReadonlySet<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  if (!file.endsWith(".ts")) return seen;
  const text = readFileSync(file, "utf8");
  const imports = /^(?:import|export) (?!type\b)[^;]*?from "([^"]+)"/gm;
  for (const [line, from = ""] of text.matchAll(imports)) {
    const onlyTypes = /^import \{([^}]*)\}/
      .exec(line)?.[1]
      ?.split(",")
      .every((name) => /^\s*(type\b|$)/.test(name));
    if (onlyTypes === true || from.startsWith("node:")) continue;
    if (from.startsWith(".")) loadedBy(resolve(dirname(file), from), seen);
    else seen.add(from);
  }
  return seen;
}

function* commandsOf(command: Command): Generator<Command> {
  yield command;
  for (const each of command.commands) yield* commandsOf(each);
}

describe("help", () => {
  test("it begins with the five commands from nothing to a filled order [CLI-1]", async () => {
    const { code, out } = await hedgerow(["--help"]);
    assert.equal(code, 0);
    const steps = ["local", "wallet new", "deposit", "buy", "balance"].map((step) =>
      out.indexOf(`\n  hedgerow ${step}`),
    );
    assert.deepEqual(
      steps,
      [...steps].sort((a, b) => a - b),
    );
    assert.ok(steps.every((place) => place > 0 && place < out.indexOf("Usage:")));
    assert.equal((await hedgerow([])).out, out, "no command asks for help");
    assert.equal((await hedgerow(["help"])).out, out);
  });

  test("it comes at once: nothing but commander is loaded for it [CLI-1]", () => {
    const loaded = [...loadedBy(resolve(SOURCES, "commandLine.ts"))].filter(
      (file) => !file.startsWith(SOURCES) && !file.endsWith(".json"),
    );
    assert.deepEqual(loaded, ["commander"]);
  });

  test("no page of it is wider than 80 columns [CLI-2]", async () => {
    for (const command of commandsOf(buildProgram())) {
      if (command.name() === "demo") continue;
      const path = [command.parent?.parent ? command.parent.name() : "", command.parent ? command.name() : ""];
      const { code, out } = await hedgerow([...path.filter((word) => word !== ""), "--help"]);
      assert.equal(code, 0);
      // Examples are typed, and not read: one with many options may be longer.
      const lines = out
        .replace(/^ {2}hedgerow .*\\\n.*/gm, "")
        .split("\n")
        .filter((line) => !/^ {2}hedgerow /.test(line));
      for (const line of lines) assert.ok(line.length <= 80, `${path.join(" ")}: ${line}`);
    }
  });

  test("each command says what it is for, and the trading commands show how they are typed [CLI-1]", async () => {
    const program = buildProgram();
    for (const command of commandsOf(program)) {
      if (command !== program) assert.notEqual(command.description(), "", command.name());
    }
    for (const name of ["deposit", "withdraw", "buy", "sell", "orders", "cancel", "replace", "resume"]) {
      assert.match((await hedgerow([name, "--help"])).out, new RegExp(`Examples?:\\n {2}hedgerow ${name}`), name);
    }
    assert.equal((await hedgerow(["help", "ticket", "open"])).out, (await hedgerow(["ticket", "open", "--help"])).out);
  });

  test("each command is under a heading [CLI-1]", () => {
    for (const command of buildProgram().commands) assert.notEqual(command.helpGroup(), "", command.name());
  });
});

describe("the command line", () => {
  test("a slip is met with the command that was meant, exit code 2 [CLI-4]", async () => {
    const { code, out, err } = await hedgerow(["byu", "1", "WTI"]);
    assert.deepEqual({ code, out }, { code: 2, out: "" });
    assert.match(
      err,
      /^hedgerow: unknown command 'byu' \(Did you mean buy\?\): hedgerow --help shows what there is\n$/,
    );
    assert.match((await hedgerow(["buy", "1", "WTI", "--limitt", "3"])).err, /Did you mean --limit\?\).*buy --help/);
    assert.match((await hedgerow(["ticket", "open", "WTI", "--cassh", "3"])).err, /hedgerow ticket open --help/);
  });

  test("a group without a command shows its help and nothing else, exit code 2 [CLI-4]", async () => {
    const { code, out, err } = await hedgerow(["guaranty"]);
    assert.deepEqual({ code, out }, { code: 2, out: "" });
    assert.match(err, /^Usage: hedgerow guaranty [^]*\n {2}unstake [^\n]*\n$/);
  });

  test("version and --version say the same number [CLI-1]", async () => {
    const { out } = await hedgerow(["--version"]);
    assert.match(out, /^\d+\.\d+\.\d+\n$/);
    assert.match((await hedgerow(["version"])).out, new RegExp(`^hedgerow ${out.trim()}, Node `));
    assert.deepEqual(JSON.parse((await hedgerow(["version", "--json"])).out), {
      hedgerow: out.trim(),
      node: process.versions.node,
    });
  });

  test("a reader that has seen enough ends it quietly [CLI-7]", async () => {
    const child = start("explain");
    child.stdout.once("data", () => child.stdout.destroy());
    const { code, err } = await ended(child);
    assert.deepEqual({ code, err }, { code: 0, err: "" });
  });

  test("Ctrl-C in the middle of a command ends it with 130, and the wallet is free again [CLI-6]", async () => {
    // A node that takes connections and never answers.
    const node = createServer().listen(0, "127.0.0.1");
    await once(node, "listening");
    const address = node.address();
    assert.ok(address !== null && typeof address === "object");
    const directory = join(home, "wallets", "main");
    (await createWallet(directory, PHRASE, "password", { scryptN: 2 })).close();
    writeFileSync(join(home, "password"), "password\n", { mode: 0o600 });
    writeFileSync(join(home, "settings.json"), JSON.stringify({ network: "test", wallet: "main" }), { mode: 0o600 });
    const network = {
      name: "test",
      chain: `http://127.0.0.1:${address.port}`,
      chainId: 31337,
      clearingHouse: `0x${"11".repeat(20)}`,
      fromBlock: 0,
      exchange: "http://127.0.0.1:1",
      decimals: 6,
    };
    mkdirSync(join(home, "networks"), { mode: 0o700 });
    writeFileSync(join(home, "networks", "test.json"), JSON.stringify(network), { mode: 0o600 });

    const connected = once(node, "connection");
    const child = start("deposit", "5", "--password-file", join(home, "password"));
    const result = ended(child);
    await connected;
    child.kill("SIGINT");
    // What hangs on the node's answer may be given a moment; a second Ctrl-C need not wait for it.
    setTimeout(() => child.kill("SIGINT"), 500).unref();
    const { code, out, err } = await result;
    node.close();
    assert.deepEqual({ code, out }, { code: 130, out: "" });
    assert.doesNotMatch(err, /\n\s+at /);
    (await openWallet(directory, "password")).close();
  });

  test("nobody at the terminal, no password file: refused before anything is opened, exit code 5 [CLI-5]", async () => {
    const { code, out, err } = await ended(start("orders"));
    assert.deepEqual({ code, out }, { code: 5, out: "" });
    assert.match(err, /no terminal to ask for a password.*\[NoTerminal\]\nWhat to do: .*--password-file/);
  });
});
