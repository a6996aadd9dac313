import assert from "node:assert/strict";
import { test } from "node:test";
import { playDays } from "./days.ts";

/** A failure prints its seed; SEED=12345 plays it again. */
const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000_007);

test("random days with moving prices: tokens, positions, notes and margins stay whole after every step [CON-10]", async (t) => {
  const tally = await playDays({ seed, traders: 10, days: 4, stepsPerDay: 14, still: false });
  t.diagnostic(`seed ${seed}: ${JSON.stringify(Object.fromEntries(tally))}`);
  for (const what of ["fill", "renew", "expired"]) assert.ok((tally.get(what) ?? 0) > 0, `${what} happened`);
});

test("random days with prices that stand still: the same holds, and nobody gains from another [CON-10]", async (t) => {
  const tally = await playDays({ seed: seed + 1, traders: 5, days: 3, stepsPerDay: 5, still: true });
  t.diagnostic(`seed ${seed + 1}: ${JSON.stringify(Object.fromEntries(tally))}`);
});
