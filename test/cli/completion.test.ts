import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, test } from "node:test";
import type { Command } from "commander";
import { completionScript } from "../../src/cli/completion.ts";
import { buildProgram } from "../../src/cli/program.ts";
import { hedgerow } from "../support/commandLine.ts";

const script = completionScript("bash", buildProgram());

/** What bash offers for the last word of a line. */
function offered(...words: string[]): readonly string[] {
  const asked = [
    script,
    `COMP_WORDS=(${["hedgerow", ...words].map((word) => `'${word}'`).join(" ")})`,
    `COMP_CWORD=${words.length}`,
    `complete -p hedgerow >/dev/null && _hedgerow && printf '%s\\n' "\${COMPREPLY[@]}"`,
  ];
  const out = execFileSync("bash", ["--norc", "-c", asked.join("\n")], { encoding: "utf8" });
  return out.split("\n").filter((word) => word !== "");
}

function* commandsOf(command: Command): Generator<Command> {
  yield command;
  for (const each of command.commands) yield* commandsOf(each);
}

describe("in a real bash", () => {
  test("commands are completed, and those of a group [CLI-10]", () => {
    assert.deepEqual(offered("bu"), ["buy"]);
    assert.deepEqual([...offered("ticket", "")].slice(0, 3).sort(), ["close", "list", "open"]);
    assert.deepEqual(offered("wallet", "rec"), ["recover"]);
    for (const { name } of buildProgram().commands.map((each) => ({ name: each.name() }))) {
      assert.ok(offered(name).includes(name), name);
    }
  });

  test("options are completed, and the choices of their values [CLI-10]", () => {
    assert.deepEqual(offered("buy", "2", "WTI", "--po"), ["--post-only"]);
    assert.deepEqual(offered("buy", "2", "WTI", "--self-trade", "ca"), [
      "cancel-incoming",
      "cancel-resting",
      "cancel-both",
    ]);
    assert.deepEqual(offered("buy", "2", "WTI", "--limit", ""), [], "a price is nobody's to guess");
    assert.deepEqual(offered("ticket", "open", "WTI", "--ca"), ["--cash"]);
  });

  test("a word that is no command does not change what follows [CLI-10]", () => {
    assert.deepEqual(offered("cancel", "buy", "--al"), ["--all"]);
    assert.deepEqual(offered("nonsense", "bu"), ["buy"]);
  });

  test("files are offered where a file is wanted [CLI-10]", () => {
    assert.deepEqual(offered("orders", "--password-file", "/etc/passw").includes("/etc/passwd"), true);
  });
});

describe("the scripts of all shells", () => {
  for (const shell of ["bash", "zsh", "fish"] as const) {
    test(`${shell}: it names every command and every option [CLI-10]`, async () => {
      const { out } = await hedgerow(["completion", shell]);
      const program = buildProgram();
      for (const command of commandsOf(program)) {
        if (command !== program) assert.ok(out.includes(command.name()), command.name());
        for (const { long } of command.options.filter(({ hidden }) => !hidden)) {
          const word = shell === "fish" ? (long ?? "").slice(2) : (long ?? "");
          assert.ok(out.includes(word), word);
        }
      }
      assert.equal(out.trimEnd(), completionScript(shell, program));
    });
  }
});
