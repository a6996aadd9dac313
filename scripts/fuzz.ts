/**
 * Plays random days for as long as it is told: `npm run fuzz -- --minutes 10 --seed 1`. One seed after the other, each
 * with other numbers of traders, days and steps; stops at the first fault with its seed and exit code 1. A run ends
 * after the time, so the last one is cut short by nothing.
 */
import { inspect } from "node:util";
import { z } from "zod";
import { argumentsOf } from "../src/cli/terminal.ts";
import { type Days, playDays } from "../test/invariant/days.ts";

const USAGE = "npm run fuzz -- [--minutes N] [--seed S]";
const { values } = argumentsOf({ minutes: { type: "string" }, seed: { type: "string" } }, USAGE);
const parsed = z
  .object({
    minutes: z.coerce.number().positive().default(5),
    seed: z.coerce
      .number()
      .int()
      .nonnegative()
      .default(Date.now() % 1_000_000_007),
  })
  .safeParse(values);
if (!parsed.success) {
  console.error(`minutes is above 0 and seed a whole number\n\n${USAGE}`);
  process.exit(2);
}
const options = parsed.data;

const ends = performance.now() + options.minutes * 60_000;
const total = new Map<string, number>();
let runs = 0;
for (let seed = options.seed; performance.now() < ends; seed++, runs++) {
  const days: Days = {
    seed,
    traders: 4 + (seed % 7),
    days: 3 + (seed % 3),
    stepsPerDay: 6 + (seed % 9),
    still: seed % 4 === 0,
  };
  const started = performance.now();
  try {
    const tally = await playDays(days);
    for (const [what, times] of tally) total.set(what, (total.get(what) ?? 0) + times);
    const seconds = ((performance.now() - started) / 1_000).toFixed(1);
    console.log(`seed ${seed}: ${days.traders} traders, ${days.days} days, ${seconds} s`);
  } catch (error) {
    console.error(inspect(error, { depth: 6 }));
    console.error(`FAILED: npm run fuzz -- --seed ${seed} plays it again`);
    process.exitCode = 1;
    break;
  }
}
console.log(`${runs} runs without a fault${process.exitCode === 1 ? ", then one with" : ""}`);
for (const [what, times] of [...total].sort(([, a], [, b]) => b - a)) console.log(`  ${what}: ${times}`);
