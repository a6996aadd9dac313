import assert from "node:assert/strict";
import { test } from "node:test";
import { zeroHash } from "viem";
import { NotConserved } from "../../src/protocol/conservation.ts";
import { ContractRefused, encodeBatch, type ProvenTransition, readDayState } from "../../src/chain/clearingHouse.ts";
import { parseMargins, parseSettlements } from "../../src/simulation/series.ts";
import {
  type MarketDay,
  simulate,
  type SimulatedDay,
  type SimulationSettings,
  WHOLE,
} from "../../src/simulation/simulate.ts";
import { type Meter, send } from "../../src/simulation/world.ts";

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
  rules: {
    multiplier: 1_000n,
    margins: parseMargins("2030-01-01,22000,20000\n2030-03-05,24000,21000\n", "made-up margins"),
  },
  traders: 24,
  seed: 19,
  unproven: true,
  stress: { abandon: 50 },
};

test("a series with locks, a price below zero and an end whose slot is taken again is played to its end with the margins of each date, makers take what drop-outs left, and every token is there [SIM-5, SIM-6, SIM-7, SIM-9, SIM-10, SIM-11]", async () => {
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
  // The new margin was published on the day that has the date of two days before, and counts from its date on.
  for (const market of markets) assert.equal(market.maintenance, market.day < 4 ? 20_000_000_000n : 21_000_000_000n);

  // 6,000 dollars a day, and 9,000 after a day at the limit; with the new margins 6,300 and 9,450.
  const steps = falls.slice(1).map(({ settled }, i) => ((falls[i]?.settled ?? 0n) - settled) / 1_000_000n);
  assert.ok(
    steps.every((step) => step <= 9_450n),
    String(steps),
  );
  assert.ok(steps.includes(6_000n) && steps.includes(9_450n), String(steps));
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

  assert.ok(sumOf(result.perDay, ({ abandoned }) => abandoned) > 0, "tickets stay open");
  assert.ok(result.auctioned > 0, "makers take what they leave");
  assert.ok(sumOf(result.perDay, ({ rejoined }) => rejoined) > 0, "a seat in default comes back");
  assert.equal(result.stakeUsed + result.fundUsed, 0n);

  assert.ok(result.marginCalls > 0);
  assert.ok(result.callsMet <= result.marginCalls);
  const unpaid = sumOf(result.perDay, (day) => day.unpaid);
  assert.ok(unpaid > 0 && unpaid <= result.defaults, "calls that nobody pays end in default");
  assert.equal(result.callsMet + unpaid, result.marginCalls);
});

/** A fall by the limit, day after day, and then rest. */
const SLUMP: SimulationSettings = {
  series: parseSettlements(
    `date,symbol,settle\n${[50, 44.1, 34, 25, 15, 5, 5, 5, 5, 5, 5, 5, 5]
      .map((price, i) => `2030-04-${String(i + 1).padStart(2, "0")},SLUMP,${price.toFixed(2)}\n`)
      .join("")}`,
    "made-up.csv",
  ),
  rules: { multiplier: 1_000n, maintenance: 20_000n },
  traders: 24,
  seed: 9,
  days: 11,
  unproven: true,
  stress: { abandon: 100, bidders: 0, stake: 20_000_000_000n, fund: 50_000_000_000n },
};

test("where nobody takes what drop-outs left and the price goes on falling, stake and fund pay, then the market is torn up and less is paid out; the next day it goes on, the same for the same seed, and a sum that does not come out ends the run [SIM-3, SIM-8, SIM-9, SIM-10, SIM-11, SIM-13]", async () => {
  const result = await simulate(SLUMP);
  assert.equal(result.fault, undefined);
  assert.equal(result.conserved, true);
  assert.equal(result.tokensLost, 0n);
  assert.equal(result.stakeUsed, 20_000_000_000n);
  assert.equal(result.fundUsed, 50_000_000_000n);
  assert.ok(result.tearUps > 0);
  assert.ok(result.payoutRatio > 0n && result.payoutRatio < WHOLE, String(result.payoutRatio));
  assert.equal(result.auctioned, 0);

  const torn = result.perDay.findIndex(({ tearUps }) => tearUps > 0);
  const [day, after] = result.perDay.slice(torn);
  assert.ok(day !== undefined && after !== undefined);
  assert.ok(day.payoutRatio < WHOLE);
  assert.deepEqual(
    day.markets.map(({ tornUp, openInterest }) => [tornUp, openInterest]),
    [[true, 0n]],
  );
  assert.equal(after.markets[0]?.symbol, "SLUMP");
  const paidLess = result.perDay.slice(torn + 1).filter(({ withdrawals }) => withdrawals > 0);
  assert.ok(paidLess.length > 0, "somebody withdraws at a ratio below one");
  assert.ok(after.fills > 0, "and trades again");
  for (const what of ["woken", "withdrawals", "bondsForfeited"] as const) {
    assert.ok(sumOf(result.perDay, (each) => each[what]) > 0, what);
  }

  const second = await simulate(SLUMP, {
    onDay: ({ day: number }) => {
      if (number === 1) throw new NotConserved("CON-1", "a sum", 1n, 2n);
    },
  });
  assert.equal(second.conserved, false);
  assert.match(second.fault ?? "", /CON-1/);
  const timeless = (days: readonly SimulatedDay[]) => days.map((each) => ({ ...each, seconds: 0 }));
  assert.deepEqual(timeless(second.perDay), timeless(result.perDay.slice(0, 2)));
});

/** What the house says of the first two transitions when they come again, each with the proof of the other. */
async function answerToSwappedProofs(): Promise<string> {
  const funding: ProvenTransition[] = [];
  const enough = new Error("the answer is known");
  let answer = "";
  const meter: Meter = {
    started: () => Promise.resolve(),
    stepOver: async (world) => {
      const [one, other] = funding;
      if (one === undefined || other === undefined) return;
      const transitions = [
        { ...one, proof: other.proof },
        { ...other, proof: one.proof },
      ];
      const { nextBatchNumber: batchNumber } = await readDayState(world.exchange.chain);
      const batch = { batchNumber, transitions, orders: [], fills: [], logHead: zeroHash };
      answer = await send(world, world.operator, encodeBatch(batch)).then(
        () => "skipped",
        (error: unknown) => (error instanceof ContractRefused ? error.code : String(error)),
      );
      throw enough;
    },
    dayOver: () => Promise.resolve(),
    made: (_trader, _way, transition) => {
      if (transition !== undefined) funding.push(transition);
    },
    ordered: () => undefined,
    followed: () => undefined,
  };
  await assert.rejects(simulate({ ...SLUMP, traders: 2, unproven: false }, { meter }), enough);
  return answer;
}

test("a house that took transitions refuses the same with proofs that are not theirs [SIM-2]", async () => {
  assert.equal(await answerToSwappedProofs(), "InvalidProof");
});

test("too few traders for the makers of all markets are refused before anything starts [SIM-8]", async () => {
  await assert.rejects(simulate({ ...SETTINGS, traders: 3 }), { code: "TooFewTraders" });
});

function sumOf(days: readonly SimulatedDay[], of: (day: SimulatedDay) => number): number {
  return days.reduce((sum, day) => sum + of(day), 0);
}

function at({ symbol, settled, recorded }: MarketDay): string {
  return `${symbol} settled at ${settled}, recorded ${recorded}`;
}
