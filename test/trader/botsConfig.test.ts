import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pictureOf } from "../../src/cli/botsRun.ts";
import { BadBotConfig, botsOf, brainFor, parseCrowdConfig, stakeOf } from "../../src/trader/bots/config.ts";
import { Pace } from "../../src/trader/bots/pace.ts";
import type { BotReport } from "../../src/trader/bots/runner.ts";

const EXAMPLE = readFileSync(join(import.meta.dirname, "../../scripts/examples/bots.json"), "utf8");

test("the example is a market maker, two at random, one for the average and one for the move [BOT-16]", () => {
  const bots = botsOf(parseCrowdConfig(EXAMPLE));
  assert.deepEqual(
    bots.map(({ name, strategy }) => `${name} ${strategy}`),
    ["maker marketMaker", "random-1 random", "random-2 random", "reversion meanReversion", "momentum momentum"],
  );
  for (const bot of bots) {
    assert(stakeOf(bot, 6) >= 100_000_000_000n);
    brainFor(bot, { tick: 10_000_000n, decimals: 6 });
  }
});

test("a wrong file is refused, and the place in it is named [BOT-16]", () => {
  const maker = { name: "maker", strategy: "marketMaker", stake: "1000" };
  for (const [file, where] of [
    ["{", /the beginning/],
    [{ seed: 1, bots: [] }, /at bots/],
    [{ seed: -1, bots: [maker] }, /at seed/],
    [{ seed: 1, bots: [{ ...maker, width: 4 }] }, /bots\.0.*width/],
    [{ seed: 1, bots: [{ ...maker, stake: 1000 }] }, /bots\.0\.stake/],
    [{ seed: 1, bots: [{ ...maker, name: "../maker" }] }, /bots\.0\.name/],
    [{ seed: 1, wallets: "../bots", bots: [maker] }, /at wallets/],
    [{ seed: 1, bots: [maker, maker] }, /two bots are called "maker"/],
  ] as const) {
    assert.throws(
      () => parseCrowdConfig(typeof file === "string" ? file : JSON.stringify(file)),
      (error) => error instanceof BadBotConfig && where.test(error.message),
      JSON.stringify(file),
    );
  }
});

test("a bot sends no more than its rate, and waits longer after each refusal, except with cancels [BOT-14, BOT-18]", () => {
  let now = 0;
  const pace = new Pace(4, () => now);
  const taken = (): number => Array.from({ length: 20 }, () => pace.take(false)).filter(Boolean).length;
  assert.equal(taken(), 4);
  now += 500;
  assert.equal(taken(), 2);
  const pauses = Array.from({ length: 8 }, () => {
    pace.refused();
    const { pause } = pace;
    now += pause;
    return pause;
  });
  assert.deepEqual(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
  pace.refused();
  assert.equal(pace.take(false), false);
  assert.equal(pace.take(true), true);
  now += 15_000;
  pace.accepted();
  pace.refused();
  assert.equal(pace.pause, 250);
});

test("the table of a crowd fits 80 columns, and the lines there are [BOT-17]", () => {
  const report: BotReport = {
    name: "a-name-of-twenty-four-ch",
    strategy: "marketMaker",
    slot: 0,
    state: "starting",
    quotes: 40,
    commands: 1_234_567,
    fills: 123_456,
    contracts: 1,
    position: -1_000_000,
    profit: -1_234_567_890_123_456n,
    refusals: {},
    problem: "x".repeat(200),
    openTickets: 1,
  };
  const lines = pictureOf(
    Array.from({ length: 30 }, () => report),
    3_600,
    6,
    20,
  ).split("\n");
  assert(lines.length <= 21 && lines.every((line) => line.length <= 80));
});
