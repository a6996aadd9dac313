import assert from "node:assert/strict";
import { closeEpoch, deposit } from "../../src/chain/clearingHouse.ts";
import { DOLLAR } from "../../src/clearing/leanHogs.ts";
import { renewMost, stepAside, stepBatch, stepReturn, stepWindow } from "./actions.ts";
import { bookDefaults, checkRecovery, follow, startWorld, step, TRADING_TIME, type World } from "./world.ts";
import { openEpoch } from "../support/openEpoch.ts";

/** A run of random days. */
export type Days = {
  readonly seed: number;
  readonly traders: number;
  readonly days: number;
  readonly stepsPerDay: number;
  /** Whether every trade is at the day's centre price. */
  readonly still: boolean;
  /** Looks at the world in the middle of each day, in its window, and after the next one has opened. */
  readonly watch?: (world: World) => Promise<void>;
};

/** Plays random days and checks every invariant after every step. Returns how often each thing happened. */
export async function playDays({
  seed,
  traders,
  days,
  stepsPerDay,
  still,
  watch = () => Promise.resolve(),
}: Days): Promise<ReadonlyMap<string, number>> {
  const world = await startWorld(seed, traders, still);
  const { exchange } = world;
  try {
    for (const trader of world.traders) {
      await deposit(exchange.chain, trader.sender, 50_000n * DOLLAR, trader.account.newCreditKey());
    }
    await follow(world);
    for (let day = 0; day < days; day++) {
      await trade(world, stepsPerDay);
      await watch(world);
      await closeTheDay(world, Math.ceil(stepsPerDay / 3));
      await watch(world);
      await openTheDay(world);
      await watch(world);
    }
    return world.tally;
  } catch (error) {
    throw new Error(`random days failed with seed ${seed} (${still ? "prices still" : "prices moving"})`, {
      cause: error,
    });
  } finally {
    await exchange.stop();
  }
}

/** A trading day; its last trades fall into the settlement window. */
async function trade(world: World, steps: number): Promise<void> {
  const { exchange, chance } = world;
  for (let i = 0; i < steps; i++) {
    await exchange.advanceTime(Math.floor(TRADING_TIME / (steps + 1)));
    await stepBatch(world);
    if (chance.happens(35)) await stepAside(world);
    if (chance.happens(50)) await stepReturn(world);
  }
}

/** Close, and both parts of the window. */
async function closeTheDay(world: World, steps: number): Promise<void> {
  const { exchange, chance } = world;
  const { chain, operator, terms } = exchange;
  await exchange.advanceTime(TRADING_TIME);
  await step(world, "the close", async () => {
    await closeEpoch(chain, operator);
    return new Map();
  });
  for (let i = 0; i < steps; i++) {
    await stepWindow(world);
    if (chance.happens(20)) await stepAside(world);
  }
  await exchange.mine(terms.windowBlocks);
  await exchange.advanceTime(terms.windowA);
  await renewMost(world);
}

/** The opening of the next day. */
async function openTheDay(world: World): Promise<void> {
  const { exchange } = world;
  const { operator, state, terms } = exchange;
  const closing = state.epoch;
  await exchange.advanceTime(terms.windowB);
  await step(world, "the opening", async () => {
    const receipt = await openEpoch(exchange, operator);
    await follow(world);
    bookDefaults(world, receipt);
    return new Map();
  });
  assert.equal(state.epoch, closing + 1);
  checkRecovery(world);
}
