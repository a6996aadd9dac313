import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { type Days, playDays } from "./days.ts";

/** The same days each time, so that a failure is the change's; `npm run fuzz` plays others, and SEED=12345 one of those. */
const seed = Number(process.env["SEED"] ?? 1);

// What happens is left to chance, so nothing that may fail to happen is asked for; `npm run fuzz` counts it over hours.
async function play(t: TestContext, days: Days): Promise<void> {
  const tally = await playDays(days);
  t.diagnostic(`seed ${days.seed}: ${JSON.stringify(Object.fromEntries(tally))}`);
  if (days.clearing === true) assert.ok((tally.get("opening too early refused") ?? 0) >= days.days);
}

test("random days with moving prices, halts, new terms and operators, auctions and defaults: every bucket is what it must be after every step, and who meets margin calls keeps its seat [CON-10]", async (t) => {
  await play(t, { seed, traders: 8, days: 3, stepsPerDay: 9, still: false, clearing: true });
});

test("random days with prices that stand still: the same holds, and nobody gains from another [CON-10]", async (t) => {
  await play(t, { seed: seed + 1, traders: 5, days: 3, stepsPerDay: 5, still: true });
});

test("random days of a price at its limit, with positions left behind: the layers pay in their order, and only then all who leave [CON-10, FND-4, FND-8]", async (t) => {
  await play(t, { seed: seed + 2, traders: 5, days: 5, stepsPerDay: 1, still: false, clearing: true, storm: true });
});
