import assert from "node:assert/strict";
import { test } from "node:test";
import { NotConserved } from "../../src/protocol/conservation.ts";
import { parseSettlements } from "../../src/simulation/series.ts";
import { type MarketDay, simulate, type SimulationSettings } from "../../src/simulation/simulate.ts";

/** Six days of a market that falls below zero, and of one that ends on the third day with another that follows it. */
const PRICES: readonly (readonly [symbol: string, first: number, prices: readonly string[]])[] = [
  ["FALLS", 0, ["50.00", "50.40", "41.00", "38.50", "-0.75", "-0.90"]],
  ["ENDS", 0, ["20.00", "20.10", "19.95"]],
  ["FOLLOWS", 3, ["21.00", "21.10", "20.80"]],
];

const SERIES = parseSettlements(
  `date,symbol,settle\n${PRICES.flatMap(([symbol, first, prices]) =>
    prices.map((price, i) => `2030-03-0${first + i + 1},${symbol},${price}\n`),
  ).join("")}`,
  "made-up.csv",
);

const SETTINGS: SimulationSettings = {
  series: SERIES,
  rules: { multiplier: 1_000n, maintenance: 20_000n },
  traders: 24,
  seed: 11,
  unproven: true,
};

test("a series with locks, a price below zero and an end whose slot is taken again is played to its end, and every token is there [SIM-6, SIM-7, SIM-9, SIM-11]", async () => {
  const result = await simulate(SETTINGS);
  assert.equal(result.fault, undefined);
  assert.equal(result.conserved, true);
  assert.equal(result.tokensLost, 0n);
  const markets = result.perDay.flatMap(({ day, markets: all }) => all.map((market) => ({ ...market, day })));
  const of = (name: string) => markets.filter(({ symbol }) => symbol === name);

  for (const market of markets) if (!market.locked) assert.equal(market.settled, market.recorded, at(market));
  const falls = of("FALLS");
  const locked = falls.filter((market) => market.locked);
  assert.ok(locked.length >= 2, "the fall is wider than the limits");
  for (const market of locked) assert.ok(market.settled > market.recorded, at(market));
  // 6,000 dollars a day, and 9,000 after a day at the limit.
  const steps = falls.slice(1).map(({ settled }, i) => ((falls[i]?.settled ?? 0n) - settled) / 1_000_000n);
  assert.ok(
    steps.every((step) => step <= 9_000n),
    String(steps),
  );
  assert.ok(steps.includes(6_000n) && steps.some((step) => step > 6_000n), String(steps));
  assert.equal(falls.at(-1)?.settled, -900_000_000n);
  assert.equal(falls.at(-1)?.expired, true);
  assert.ok(result.days > SERIES.days.length, "a market that is locked at its end goes on after it");

  assert.deepEqual(
    of("ENDS").map(({ day, expired }) => [day, expired]),
    [
      [0, false],
      [1, false],
      [2, true],
    ],
  );
  assert.equal(of("FOLLOWS")[0]?.day, 3);
  assert.equal(of("FOLLOWS")[0]?.slot, of("ENDS")[0]?.slot);

  assert.ok(result.marginCalls > 0);
  assert.ok(result.callsMet <= result.marginCalls);
  const unpaid = result.perDay.reduce((sum, day) => sum + day.unpaid, 0);
  assert.ok(unpaid > 0 && unpaid <= result.defaults, "calls that nobody pays end in default");
  assert.equal(result.callsMet + unpaid, result.marginCalls);
});

test("the same seed gives the same days, and a sum that does not come out ends them [SIM-3, SIM-11]", async () => {
  const small = { ...SETTINGS, traders: 9, days: 2, seed: 3 };
  const days: string[] = [];
  const first = await simulate(small);
  const second = await simulate(small, {
    onDay: ({ day }) => {
      days.push(String(day));
      if (day === 1) throw new NotConserved("CON-1", "a sum", 1n, 2n);
    },
  });
  assert.equal(first.conserved, true);
  assert.equal(first.days, 2);
  assert.equal(second.conserved, false);
  assert.match(second.fault ?? "", /CON-1/);
  const timeless = (result: typeof first) => result.perDay.map((day) => ({ ...day, seconds: 0 }));
  assert.deepEqual(timeless(second), timeless(first));
});

test("too few traders for the makers of all markets are refused before anything starts [SIM-8]", async () => {
  await assert.rejects(simulate({ ...SETTINGS, traders: 3 }), { code: "TooFewTraders" });
});

function at({ symbol, settled, recorded }: MarketDay): string {
  return `${symbol} settled at ${settled}, recorded ${recorded}`;
}
