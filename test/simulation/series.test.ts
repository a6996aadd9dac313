import assert from "node:assert/strict";
import { test } from "node:test";
import {
  BadSeries,
  firstDays,
  inBaseUnits,
  marginsOn,
  parseMargins,
  parseSettlements,
  recordedPrice,
  runningOn,
} from "../../src/simulation/series.ts";
import { type Margins, stepTowards, tickOf, wantedMargins } from "../../src/simulation/terms.ts";

const RULES = { multiplier: 1_000n };

function refuses(rule: RegExp, text: string, symbols: readonly string[] = []): void {
  assert.throws(
    () => parseSettlements(text, "made-up.csv", symbols),
    (error: unknown) => error instanceof BadSeries && rule.test(error.message),
  );
}

test("rows of several symbols in any order become days and contracts with their last days [SIM-1]", () => {
  const text = "settle,symbol,date\n-3.5,OIL,2030-01-03\n12.25,OIL,2030-01-02\n7,HOG,2030-01-04\n";
  const { days, symbols } = parseSettlements(text, "made-up.csv");
  assert.deepEqual(days, ["2030-01-02", "2030-01-03", "2030-01-04"]);
  assert.deepEqual(
    symbols.map(({ symbol, firstDay, lastDay, decimals }) => [symbol, firstDay, lastDay, decimals]),
    [
      ["OIL", 0, 1, 2],
      ["HOG", 2, 2, 0],
    ],
  );
  const [oil] = symbols;
  assert.ok(oil !== undefined);
  assert.equal(inBaseUnits(recordedPrice(oil, 1), 1_000_000_000n), -3_500_000_000n);
  // Beyond its last row a contract is still worth what was recorded last.
  assert.deepEqual(recordedPrice(oil, 9), recordedPrice(oil, 1));
  assert.deepEqual(runningOn(symbols, 2).length, 1);
  assert.equal(firstDays({ days, symbols }, 2).symbols.length, 1);
});

test("a file that is no series is refused with its line and the rule [SIM-1]", () => {
  refuses(/made-up.csv: it has no rows/, "");
  refuses(/no column settle/, "date,symbol\n2030-01-02,OIL\n");
  refuses(/line 2: expected a date of the calendar, not date "2030-02-30"/, "date,symbol,settle\n2030-02-30,OIL,1\n");
  refuses(/line 2: expected a date/, "date,symbol,settle\nyesterday,OIL,1\n");
  refuses(/line 3: expected a price/, "date,symbol,settle\n2030-01-02,OIL,1\n2030-01-03,OIL,1e3\n");
  refuses(/line 2: expected a price/, "date,symbol,settle\n2030-01-02,OIL,\n");
  refuses(/line 3: OIL has two rows of 2030-01-02/, "date,symbol,settle\n2030-01-02,OIL,1\n20300102,OIL,2\n");
  refuses(/no CSV/, 'date,symbol,settle\n2030-01-02,"OIL,1\n');
  refuses(/no row has the symbol GAS/, "date,symbol,settle\n2030-01-02,OIL,1\n", ["GAS"]);
  const nine = Array.from({ length: 9 }, (_, i) => `2030-01-02,S${i},1\n`).join("");
  refuses(/9 symbols run on 2030-01-02/, `date,symbol,settle\n${nine}`);
  assert.equal(parseSettlements(`date,symbol,settle\n${nine}`, "made-up.csv", ["S1", "S4"]).symbols.length, 2);
});

test("margins hold from their date on, with or without a heading [SIM-4]", () => {
  const rows = parseMargins("20300105,1210,1100\n20300101,1100,1000", "margins.csv");
  assert.deepEqual(parseMargins("date,initial,maintenance\n2030-01-01,1100,1000\n2030-01-05,1210,1100", "m"), rows);
  const on = (date: string) => marginsOn(rows, date)?.maintenance.units;
  assert.deepEqual([on("2029-12-31"), on("2030-01-04"), on("2030-01-05")], [1_000n, 1_000n, 1_100n]);
  assert.throws(() => parseMargins("20300101,900,1000", "margins.csv"), /margins.csv, line 1: maintenance must not/);
  assert.throws(() => parseMargins("20300101,0,0", "margins.csv"), /expected more than zero/);
});

test("margins that change much are reached step by step, each small enough for the registry [SIM-5]", () => {
  const tick = 10_000_000n;
  for (const [from, wanted] of [
    [1_000_000_000n, 3_000_000_000n],
    [3_000_000_000n, 1_000_000_000n],
  ] as const) {
    let now: Margins = { maintenance: from, initial: (from * 11n) / 10n };
    const goal = { maintenance: wanted, initial: (wanted * 11n) / 10n };
    let steps = 0;
    for (; now.maintenance !== goal.maintenance && steps < 20; steps++) {
      const next = stepTowards(now, goal, tick);
      assert.ok((next.maintenance * 45n) / 100n <= (now.maintenance * 55n) / 100n, "limit below the old close-out fee");
      assert.ok(next.initial >= (now.maintenance * 55n) / 100n, "initial margin above the old close-out fee");
      assert.ok(next.initial >= next.maintenance);
      now = next;
    }
    assert.deepEqual(now, goal);
    assert.ok(steps > 1);
  }
});

test("a contract without any margin is refused with what to do [SIM-4]", () => {
  const [zero] = parseSettlements("date,symbol,settle\n2030-01-02,OIL,0.00\n", "made-up.csv").symbols;
  assert.ok(zero !== undefined);
  assert.equal(tickOf(zero, RULES), 10_000_000n);
  assert.throws(() => wantedMargins(zero, "2030-01-02", RULES), /--maintenance/);
  assert.equal(wantedMargins(zero, "2030-01-02", { ...RULES, maintenance: 5_000n }).initial, 5_500_000_000n);
});
