import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";

const MAIN = resolve(import.meta.dirname, "../../src/cli/main.ts");
const directory = mkdtempSync(join(tmpdir(), "hedgerow-simulate-"));
after(() => rmSync(directory, { recursive: true, force: true }));
const prices = join(directory, "prices.csv");
writeFileSync(prices, "date,symbol,settle\n2030-01-02,OIL,50.00\n2030-01-03,OIL,50.50\n");

type Ended = { readonly code: number | null; readonly out: string; readonly err: string };

/** Runs the command; `onError` sees what it writes to standard error and can end it. */
function run(args: readonly string[], onError: (text: string, end: () => void) => void = () => undefined) {
  return new Promise<Ended>((resolved, failed) => {
    const child = spawn(process.execPath, [MAIN, "simulate", ...args], { stdio: ["ignore", "pipe", "pipe"] });
    let [out, err] = ["", ""];
    let ended = false;
    const end = (): void => {
      if (!ended) child.kill("SIGINT");
      ended = true;
    };
    child.stdout.on("data", (data: Buffer) => (out += data.toString()));
    child.stderr.on("data", (data: Buffer) => {
      err += data.toString();
      onError(err, end);
    });
    child.on("error", failed);
    child.on("close", (code) => resolved({ code, out, err }));
  });
}

test("the command prints a table of 80 columns and writes one JSON object [SIM-12, SIM-13]", async () => {
  const file = join(directory, "result.json");
  const options = ["--settlements", prices, "--traders", "6", "--seed", "5", "--unproven", "--json", file, ...STRESS];
  const { code, out, err } = await run(options);
  assert.equal(code, 0, err);
  for (const line of out.split("\n")) assert.ok(line.length <= 80, line);
  assert.match(out, /Conserved {5}yes/);
  assert.match(err, /day 2 of 2/);
  const result: unknown = JSON.parse(readFileSync(file, "utf8"));
  assert.ok(typeof result === "object" && result !== null);
  const named = Object.fromEntries(Object.entries(result).filter(([name]) => name in EXPECTED));
  assert.deepEqual(named, EXPECTED);
});

/** Nobody leaves a ticket, so no layer is needed. */
const STRESS = ["--abandon", "0", "--bidders", "none", "--stake", "0", "--fund", "1000"];
const EXPECTED = {
  days: 2,
  marginCalls: 0,
  callsMet: 0,
  defaults: 0,
  fundUsed: "0",
  tearUps: 0,
  payoutRatio: 1,
  tokensLost: "0",
  conserved: true,
};

test("Ctrl-C ends it with 130 and leaves no result [SIM-12]", async () => {
  const file = join(directory, "interrupted.json");
  const { code, out } = await run(
    ["--settlements", prices, "--traders", "6", "--unproven", "--json", file],
    (err, end) => {
      if (err.includes("opening seats")) end();
    },
  );
  assert.equal(code, 130);
  assert.equal(out, "");
  assert.equal(existsSync(file), false);
});

test("a file that is no series ends it with 2 and says where [SIM-1]", async () => {
  const bad = join(directory, "bad.csv");
  writeFileSync(bad, "date,symbol,settle\n2030-01-02,OIL,fifty\n");
  const { code, err } = await run(["--settlements", bad]);
  assert.equal(code, 2);
  assert.match(err, /bad\.csv, line 2: expected a price/);
});
