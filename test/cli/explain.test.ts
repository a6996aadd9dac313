import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import { explanationOf } from "../../src/cli/explain.ts";
import { EXPLANATIONS } from "../../src/cli/explanations.ts";
import { localTime } from "../../src/cli/terminal.ts";
import { hedgerow } from "../support/commandLine.ts";

const ROOT = resolve(import.meta.dirname, "../..");

/** Files whose errors no trader's command throws: the exchange's inside, deployments, and programs of developers. */
const NOT_FOR_TRADERS = [
  "src/exchange/{journal,signing}/**/*.ts",
  "src/exchange/{command,exchangeProcess,posting,refusedBatch,sequencer,batchPlan,publishedBooks}.ts",
  "src/chain/{artifacts,deploy,localNode,ownProcess}.ts",
  "src/protocol/{conservation,keccak,note,tree,typedData}.ts",
  "src/prover/{circuit,proof,verifierProcess,witness}.ts",
  "src/market/{flow,state}.ts",
  "src/cli/match.ts",
];

/** Errors in files that traders do meet, which they cannot: of the exchange's own restart, of its operator. */
const NOT_MET = new Set([
  "BatchUnknown",
  "JournalDiverged",
  "BadGroupSize",
  "NonCanonicalField",
  "NonCanonicalSecret",
  "WitnessMismatch",
  "ViewChanged",
  "BooksDiffer",
  "Matching.BookCrossed",
  "Matching.BadSequence",
  // Of governance and of fills, which the operator answers for.
  "UnknownRevert",
]);

/** Codes of the errors that a source file defines. */
function codesIn(file: string): readonly string[] {
  const text = readFileSync(file, "utf8");
  const classes = text.matchAll(/class \w+ extends (HedgerowError|MatchingError)\b[^]*?super\(\s*("[\w.]+"|[^",]+)/g);
  return [...classes].flatMap(([, base = "", first = ""]) => {
    const name = /^"([\w.]+)"$/.exec(first)?.[1];
    return name === undefined ? [] : [base === "MatchingError" ? `Matching.${name}` : name];
  });
}

describe("every refusal that a trader can meet is explained", () => {
  test("of the wallet, the exchange, and the command line [CLI-9]", () => {
    const left = new Set(NOT_FOR_TRADERS.flatMap((pattern) => globSync(pattern, { cwd: ROOT })));
    const files = globSync("src/**/*.ts", { cwd: ROOT }).filter((file) => !left.has(file));
    const codes = files.flatMap((file) => codesIn(resolve(ROOT, file)).map((code) => ({ code, file })));
    assert.ok(codes.length > 80, "the walk finds them");
    const lacking = codes.filter(({ code }) => !NOT_MET.has(code) && !Object.hasOwn(EXPLANATIONS, code));
    assert.deepEqual(lacking, []);
  });

  test("of the contract, where a transaction of a trader can meet it [CLI-9]", () => {
    const text = readFileSync(resolve(ROOT, "contracts/interfaces/IClearingHouse.sol"), "utf8");
    const names = new Set([...text.matchAll(/^\s*error (\w+)\(/gm)].map(([, name = ""]) => name));
    const operators =
      /^(Quote|Quotes|Fill|Seq|Exec|Priority|Same|Different|Not(Crossing|MakerPrice|ForAuction|Immediate|Operator)|Other|Overfilled|Superseded|Maker|PostOnly|FillOrKill|Blocks|InvalidTerms|WrongBatch|Entering|Zero(OwnerKey|SessionKey))/;
    const lacking = [...names].filter((name) => !operators.test(name) && !Object.hasOwn(EXPLANATIONS, name));
    assert.ok(names.size > 40);
    assert.deepEqual(lacking, []);
  });
});

describe("an explanation", () => {
  test("each is of an error that exists [CLI-9]", () => {
    const files = globSync(
      ["src/**/*.ts", "contracts/**/*.sol", "node_modules/@openzeppelin/contracts/interfaces/*.sol"],
      {
        cwd: ROOT,
      },
    );
    const text = files
      .filter((file) => !file.endsWith("explanations.ts"))
      .map((file) => readFileSync(resolve(ROOT, file), "utf8"))
      .join("\n");
    for (const code of Object.keys(EXPLANATIONS)) {
      const name = code.replace("Matching.", "");
      assert.ok(text.includes(`"${name}"`) || text.includes(`error ${name}(`), code);
    }
  });

  test("each is whole sentences: why, and what to do [CLI-9]", () => {
    for (const [code, { why, next }] of Object.entries(EXPLANATIONS)) {
      for (const text of [why, next]) assert.match(text, /^[A-Z12c]?[^\n]*[.)]$/, `${code}: ${text}`);
      assert.doesNotMatch(why, /\b(nullifier|witness|bytes32|uint)\b/, `${code} is in plain words`);
    }
  });

  test("values are put into words; one that lacks them keeps to what is general [CLI-9]", () => {
    const details = { priceTicks: 5_000, down: 3_080, up: 3_320, tick: 10_000_000n };
    assert.match(explanationOf("Matching.OffLimits", details)?.why ?? "", /50,000.00 .* 30,800.00 to 33,200.00/);
    const general = EXPLANATIONS["Matching.OffLimits"]?.why;
    assert.equal(explanationOf("Matching.OffLimits", { priceTicks: 5_000 })?.why, general);
    const closed = explanationOf("MarketClosed", { closingTime: "1900000000" })?.why;
    assert.equal(closed, `The trading day ended at ${localTime(1_900_000_000)}.`);
  });

  test("no details whatever break it [CLI-9]", () => {
    const value = fc.oneof(fc.string(), fc.bigInt(), fc.integer(), fc.boolean());
    const names = fc.constantFrom("equity", "price", "tick", "closingTime", "expiry", "name", "text", "what", "file");
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(EXPLANATIONS)), fc.dictionary(names, value), (code, details) => {
        const { why = "", next = "" } = explanationOf(code, details) ?? {};
        assert.ok(why !== "" && next !== "" && why.length < 1_500);
      }),
    );
    assert.equal(explanationOf("constructor"), undefined);
  });

  test("hedgerow explain prints one, whatever the case, or all of them [CLI-9]", async () => {
    const { out } = await hedgerow(["explain", "ticketbelowmargin"]);
    assert.match(out, /^TicketBelowMargin\n {2}The ticket does not hold .*\n[^]*\n {2}What to do: /);
    assert.equal((await hedgerow(["explain", "NotFillable"])).out.split("\n")[0], "Matching.NotFillable");
    const all = await hedgerow(["explain"]);
    for (const code of Object.keys(EXPLANATIONS)) assert.ok(`\n${all.out}`.includes(`\n${code}\n`), code);
    assert.ok(all.out.split("\n").every(({ length }) => length <= 80));
    const json: unknown = JSON.parse((await hedgerow(["explain", "NotTrading", "--json"])).out);
    assert.deepEqual(json, { code: "NotTrading", ...pick(EXPLANATIONS["NotTrading"]) });
  });
});

function pick(entry: { readonly why: string; readonly next: string } | undefined) {
  return { why: entry?.why, next: entry?.next };
}
