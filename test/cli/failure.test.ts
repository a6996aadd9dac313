import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import fc from "fast-check";
import { EXPLANATIONS } from "../../src/cli/explanations.ts";
import { EXIT, exitCodeOf, failureText } from "../../src/cli/failure.ts";
import { askPassword } from "../../src/cli/prompt.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import { GOOD, hedgerow } from "../support/commandLine.ts";

const folder = mkdtempSync(join(tmpdir(), "hedgerow-failure-"));
after(() => rmSync(folder, { recursive: true, force: true }));

describe("a failure", () => {
  test("every explained one ends with the exit code of its kind, as a command meets it [CLI-3]", async () => {
    for (const [code, { kind }] of Object.entries(EXPLANATIONS)) {
      const orders = (): never => {
        throw new HedgerowError(code, "a rule says no: do otherwise");
      };
      const { code: exit, out, err } = await hedgerow(["orders"], { answers: { ...GOOD, orders } });
      assert.deepEqual({ exit, out }, { exit: EXIT[kind], out: "" }, code);
      assert.ok(err.startsWith("hedgerow: ") && err.trim().split("\n").length <= 2, err);
    }
  });

  test("a refusal without an explanation is one all the same [CLI-3]", () => {
    const error = new HedgerowError("SomethingNew", "it is new: wait");
    assert.equal(exitCodeOf(error), EXIT.refused);
    assert.equal(failureText(error), "hedgerow: it is new: wait [SomethingNew]");
  });

  test("a fault of the program is 1, without a stack, and a file's trouble 2 [CLI-3]", () => {
    const fault = new TypeError("x is not a function\n    at somewhere");
    assert.equal(exitCodeOf(fault), EXIT.fault);
    assert.equal(failureText(fault), "hedgerow: x is not a function at somewhere");
    const missing = Object.assign(new Error("ENOENT: no such file"), { syscall: "open" });
    assert.equal(exitCodeOf(missing), EXIT.usage);
    assert.equal(exitCodeOf("thrown text"), EXIT.fault);
  });

  test("amounts are told in collateral units with the network's decimals [CLI-9]", () => {
    const error = new HedgerowError("TicketBelowMargin", "no", { equity: -1_234_500_000n, band: "initialMargin" });
    assert.match(failureText(error, { decimals: 6 }), /would be worth -1,234.50, and/);
    assert.match(failureText(error, { decimals: 2 }), /would be worth -12,345,000.00, and/);
    const asText = new HedgerowError("TicketBelowMargin", "no", { equity: "-1234500000" });
    assert.equal(failureText(asText), failureText(error), "values that came over a wire are text");
  });

  test("as JSON it is one object with whole numbers as text [CLI-2]", () => {
    const error = new HedgerowError("OffTick", "no", { price: 5n, tick: 2n, index: 1, big: true });
    const details = { price: "5", tick: "2", index: 1, big: true };
    assert.deepEqual(JSON.parse(failureText(error, { json: true })), {
      error: { code: "OffTick", message: "no", details },
    });
  });

  test("what comes from elsewhere cannot move the cursor or take many lines [CLI-4]", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 3_000 }), (message) => {
        const text = failureText(new HedgerowError("SomethingNew", message));
        assert.ok(!/[\n\r\u001b]/.test(text) && text.length < 1_100);
      }),
    );
    const hostile = failureText(new HedgerowError("SomethingNew", "a\u001b[2Jb\r\nc"));
    assert.equal(hostile, "hedgerow: ab c [SomethingNew]");
  });
});

describe("a password", () => {
  test("it is the first line of a file that only its owner reads [CLI-5]", async () => {
    const file = join(folder, "password");
    writeFileSync(file, "a long one \r\nnote\n", { mode: 0o600 });
    assert.equal(await askPassword("Password", { passwordFile: file }), "a long one ");
    for (const mode of [0o640, 0o604, 0o660]) {
      chmodSync(file, mode);
      await assert.rejects(askPassword("Password", { passwordFile: file }), { code: "PasswordFileRefused" });
    }
  });

  test("a file that is missing, empty or a folder is refused [CLI-5]", async () => {
    writeFileSync(join(folder, "empty"), "\n", { mode: 0o600 });
    await assert.rejects(askPassword("P", { passwordFile: join(folder, "empty") }), { code: "PasswordFileRefused" });
    await assert.rejects(askPassword("P", { passwordFile: join(folder, "none") }), { code: "PasswordFileRefused" });
    await assert.rejects(askPassword("P", { passwordFile: folder }), { code: "PasswordFileRefused" });
  });

  test("where nobody is at a terminal it is not asked for [CLI-5]", async () => {
    const { isTTY } = process.stdin;
    process.stdin.isTTY = false;
    try {
      await assert.rejects(askPassword("Password"), { code: "NoTerminal" });
    } finally {
      process.stdin.isTTY = isTTY;
    }
  });
});
