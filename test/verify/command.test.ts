import assert from "node:assert/strict";
import { test } from "node:test";
import { hedgerow } from "../support/commandLine.ts";
import { startDesk } from "../support/desk.ts";

// The command, on a house that asks for no proofs.

const desk = await startDesk();
const { x } = desk;
await desk.fillPool(1_000n);
await desk.nextDay();
await desk.nextDay();

const run = (...words: readonly string[]) =>
  hedgerow(["verify-day", "--chain", x.url, "--clearing-house", x.chain.address, ...words]);

test("a house without proofs is not verified, unless that is asked for, and then it is said [VER-6, VER-9]", async () => {
  const refused = await run("--epoch", "1");
  assert.equal(refused.code, 2);
  assert.match(refused.err, /proofs not checked: this house runs the unproven verifier/);
  const { code, out, err } = await run("--epoch", "1", "--to", "2", "--unproven");
  assert.equal(code, 0, err);
  assert.match(out, /^day 1 replayed, proofs not checked: .*\nday 2 replayed, proofs not checked: /);
  assert.match(err, /Not checked:\n[^]*code: not what is compiled here: BatchVerifier;[^]*price-time priority/);
  const all = await run("--all", "--unproven", "--json");
  const { days } = JSON.parse(all.out) as { readonly days: readonly { readonly epoch: number }[] };
  assert.deepEqual(
    days.map(({ epoch }) => epoch),
    [1, 2],
  );
});

test("days that are not whole, no days, and nodes that do not answer have their own exit codes [VER-7, VER-9]", async () => {
  assert.equal((await run("--epoch", "3", "--unproven")).code, 2);
  assert.equal((await run("--epoch", "0")).code, 2);
  assert.equal((await run("--epoch", "2", "--to", "1")).code, 2);
  const gone = await hedgerow(["verify-day", "--chain", "http://127.0.0.1:1", "--clearing-house", x.chain.address]);
  assert.equal(gone.code, 4, gone.err);
  const nowhere = await hedgerow(["verify-day", "--chain", x.url, "--clearing-house", `0x${"12".repeat(20)}`]);
  assert.equal(nowhere.code, 4, nowhere.err);
});
