/**
 * Plays at random for as long as it is told: `npm run fuzz -- --minutes 10 --seed 1 --what days`. What it plays: whole
 * days on a chain with other numbers of traders, days and steps each time ("days"); the exchange as a state machine,
 * replayed and restored on the way ("exchange"); the matching engine beside the naive one ("books"); wallets that die at
 * any moment, and are recovered ("wallets"). One seed after the
 * other; stops at the first fault with its seed and exit code 1. A run ends after the time, so the last one is cut
 * short by nothing.
 */
import { inspect } from "node:util";
import fc from "fast-check";
import { z } from "zod";
import { argumentsOf } from "../src/cli/terminal.ts";
import { playDays } from "../test/invariant/days.ts";
import { compareBooks } from "../test/support/compareBooks.ts";
import { playExchange } from "../test/support/randomExchange.ts";
import { WalletWorld, walletStep } from "../test/support/walletWorld.ts";

/** One run with a seed: what happened in it, and how often. */
const GAMES = {
  days: (seed: number): Promise<ReadonlyMap<string, number>> =>
    playDays({
      seed,
      traders: 5 + (seed % 7),
      days: 4 + (seed % 4),
      stepsPerDay: 5 + (seed % 7),
      still: seed % 5 === 4,
      clearing: true,
      // It takes some days of one direction until nobody can pay any more.
      ...(seed % 5 < 3 ? { storm: true, days: 6, stepsPerDay: 3 + (seed % 3) } : {}),
    }),
  exchange: (seed: number): ReadonlyMap<string, number> => playExchange(seed, 4_000),
  books: (seed: number): ReadonlyMap<string, number> => {
    const commands = 100_000;
    compareBooks(seed, commands);
    return new Map([["commands", commands]]);
  },
  wallets: async (seed: number): Promise<ReadonlyMap<string, number>> => {
    const world = await WalletWorld.start();
    try {
      const lives = fc.sample(fc.array(walletStep, { minLength: 10, maxLength: 30 }), { seed, numRuns: 3 });
      for (const steps of lives) await world.live(steps);
    } finally {
      await world.stop();
    }
    return world.tally;
  },
} as const;

const USAGE = "npm run fuzz -- [--minutes N] [--seed S] [--what days|exchange|books|wallets]";
const { values } = argumentsOf(
  { minutes: { type: "string" }, seed: { type: "string" }, what: { type: "string" } },
  USAGE,
);
const parsed = z
  .object({
    minutes: z.coerce.number().positive().default(5),
    seed: z.coerce
      .number()
      .int()
      .nonnegative()
      .default(Date.now() % 1_000_000_007),
    what: z.enum(["days", "exchange", "books", "wallets"]).default("days"),
  })
  .safeParse(values);
if (!parsed.success) {
  console.error(`minutes is above 0, seed a whole number, and what days, exchange, books or wallets\n\n${USAGE}`);
  process.exit(2);
}
const options = parsed.data;

const ends = performance.now() + options.minutes * 60_000;
const total = new Map<string, number>();
let runs = 0;
for (let seed = options.seed; performance.now() < ends; seed++, runs++) {
  const started = performance.now();
  try {
    const tally = await GAMES[options.what](seed);
    for (const [what, times] of tally) total.set(what, (total.get(what) ?? 0) + times);
    const seconds = ((performance.now() - started) / 1_000).toFixed(1);
    console.log(`${options.what}, seed ${seed}: ${seconds} s`);
  } catch (error) {
    console.error(inspect(error, { depth: 6 }));
    console.error(`FAILED: npm run fuzz -- --what ${options.what} --seed ${seed} plays it again`);
    process.exitCode = 1;
    break;
  }
}
console.log(`${runs} runs without a fault${process.exitCode === 1 ? ", then one with" : ""}`);
for (const [what, times] of [...total].sort(([, a], [, b]) => b - a)) console.log(`  ${what}: ${times}`);
