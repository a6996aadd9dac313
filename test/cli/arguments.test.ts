import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { buildProgram } from "../../src/cli/program.ts";
import { looksSecret, parseReference, parseTime, shown } from "../../src/cli/values.ts";
import { GOOD, hedgerow } from "../support/commandLine.ts";

const PHRASE = "legal winner thank year wave sausage worth useful legal winner thank yellow";
const KEY = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318";

/** Commands that ask the stand-in wallet and nothing else of the world. */
const COMMANDS = [
  ...["deposit", "fund", "withdraw", "buy", "sell", "orders", "cancel", "replace", "renew", "catch-up"],
  ...["ticket open", "ticket list", "ticket close", "seat sleep", "seat exit", "seat", "ticket", "explain", "version"],
];
const OPTIONS = [
  ...new Set(
    buildProgram()
      .commands.filter((command) => COMMANDS.some((name) => name.split(" ")[0] === command.name()))
      .flatMap((command) => [command, ...command.commands])
      .flatMap((command) => command.options.flatMap(({ long }) => long ?? [])),
  ),
];

const word = fc.oneof(
  fc.constantFrom(
    "1",
    "2",
    "WTI",
    "LEAN-HOGS",
    "34250",
    "3f2a",
    "--",
    "-",
    "-1",
    "0x",
    "",
    "14:30",
    "90m",
    "1e9",
    "NaN",
  ),
  fc.string({ maxLength: 12 }),
  fc.string({ unit: "binary", maxLength: 6 }),
  fc.integer().map(String),
  fc.bigInt().map(String),
);
const option = fc.oneof(
  fc.constantFrom(...OPTIONS),
  fc.tuple(fc.constantFrom(...OPTIONS), word).map(([name, value]) => `${name}=${value}`),
  fc.stringMatching(/^--?[a-z-]{1,8}$/),
);
const line = fc
  .tuple(fc.constantFrom(...COMMANDS), fc.array(fc.oneof(word, option), { maxLength: 7 }))
  .map(([command, rest]) => [...command.split(" "), ...rest]);

describe("any command line", () => {
  test("it ends with an exit code that says something, and without a stack [CLI-4]", async () => {
    await fc.assert(
      fc.asyncProperty(line, async (words) => {
        const { code, out, err, closed, opened } = await hedgerow(words);
        assert.ok([0, 2, 3].includes(code), `${JSON.stringify(words)}: ${code} ${err}`);
        assert.doesNotMatch(err, /\n\s+at |TypeError|undefined|\[object/);
        assert.equal(closed, opened.length, "what was opened is closed");
        if (code === 0) assert.equal(err, "");
        else assert.equal(out, "");
      }),
      { numRuns: 400 },
    );
  });

  test("a phrase or a key that got into it is not shown again [CLI-5]", async () => {
    const secret = fc.constantFrom(KEY, `0x${KEY}`, PHRASE);
    const place = fc.nat({ max: 6 });
    await fc.assert(
      fc.asyncProperty(
        line,
        secret,
        place,
        fc.constantFrom("", "--limit=", "--password="),
        async (words, given, at, as) => {
          const mistyped = [...words.slice(0, at), `${as}${given}`, ...words.slice(at)];
          const { out, err } = await hedgerow(mistyped, { answers: { ...GOOD } });
          assert.ok(!`${out}${err}`.includes(given.slice(-30)), `${JSON.stringify(mistyped)}: ${err}`);
        },
      ),
      { numRuns: 300 },
    );
    const words = await hedgerow(["wallet", "import", "main", ...PHRASE.split(" ")]);
    assert.equal(words.code, 2);
    assert.doesNotMatch(words.err, /sausage|yellow/);
    assert.doesNotMatch((await hedgerow(["orders", "--password=hunter2"])).err, /hunter2/);
  });
});

describe("values", () => {
  const now = new Date(2026, 2, 1, 12, 0, 0);
  const seconds = (date: Date): number => Math.floor(date.getTime() / 1000);

  test("times are those of the clock on the wall, the next ones [CLI-8]", () => {
    assert.equal(parseTime("--good-till", "14:30", now), seconds(new Date(2026, 2, 1, 14, 30)));
    assert.equal(parseTime("--good-till", "9:05", now), seconds(new Date(2026, 2, 2, 9, 5)), "tomorrow");
    assert.equal(parseTime("--good-till", "12:00", now), seconds(new Date(2026, 2, 2, 12, 0)));
    assert.equal(parseTime("--good-till", "2026-03-05 08:00", now), seconds(new Date(2026, 2, 5, 8, 0)));
    assert.equal(parseTime("--good-till", "90m", now), seconds(now) + 5_400);
    assert.equal(parseTime("--good-till", "2h", now), seconds(now) + 7_200);
    const utc = new Date(Date.UTC(2026, 6, 1, 0, 0, 1));
    assert.equal(parseTime("--good-till", "2026-07-01T00:00:01Z", now), seconds(utc));
    for (const text of ["", "0m", "24:00", "12:60", "2026-13-01 00:00", "2026-01-01 00:00", "tomorrow", "9999999d2"]) {
      assert.throws(() => parseTime("--good-till", text, now), { code: "WrongUsage" }, text);
    }
  });

  test("names are hex, with or without 0x [CLI-8]", () => {
    assert.equal(parseReference("the order", "3F2A"), "3f2a");
    for (const text of ["", "0x", "g", "3f 2a", "-1", "f".repeat(65)]) {
      assert.throws(() => parseReference("the order", text), { code: "WrongUsage" }, text);
    }
  });

  test("what is shown again is short, and moves no cursor [CLI-4]", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const again = shown(text);
        assert.ok(again.length <= 42 && !/\p{C}/u.test(again));
      }),
    );
    assert.ok(looksSecret(PHRASE) && looksSecret(KEY) && !looksSecret("2026-03-01 14:30"));
  });
});
