import assert from "node:assert/strict";
import { call, deposit } from "../../src/chain/clearingHouse.ts";
import { DOLLAR } from "../../src/clearing/leanHogs.ts";
import { openEpoch } from "../support/openEpoch.ts";
import { renewMost, stepAside, stepBatch, stepExit, stepReturn, stepWindow } from "./actions.ts";
import { carefulSeats, checkCareful, prepareCareful, renewCareful } from "./careful.ts";
import {
  closeDay,
  halt,
  hurryInVain,
  openDay,
  stepAuction,
  stepCloseEarly,
  stepGovernance,
  stepStake,
} from "./clearing.ts";
import { pushPrice, stampede } from "./storm.ts";
import {
  checkRecovery,
  count,
  follow,
  startWorld,
  type Trader,
  TRADING_TIME,
  type World,
  type WorldKind,
} from "./world.ts";

/** A run of random days. */
export type Days = WorldKind & {
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
  ...kind
}: Days): Promise<ReadonlyMap<string, number>> {
  const world = await startWorld(seed, traders, still, kind);
  const { exchange } = world;
  try {
    for (const trader of world.traders) {
      await deposit(exchange.chain, trader.sender, 50_000n * DOLLAR, trader.account.newCreditKey());
    }
    await follow(world);
    for (let day = 0; day < days; day++) {
      await trade(world, stepsPerDay);
      await watch(world);
      const careful = await closeTheDay(world, Math.ceil(stepsPerDay / 3));
      await watch(world);
      await openTheDay(world, careful);
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
  const { exchange, chance, clearing, storm } = world;
  for (let i = 0; i < steps; i++) {
    await exchange.advanceTime(Math.floor(TRADING_TIME / (steps + 1)));
    await stepBatch(world);
    if (chance.happens(35)) await stepAside(world);
    if (chance.happens(50)) await stepReturn(world);
    if (!clearing) continue;
    if (chance.happens(15)) await stepGovernance(world);
    if (chance.happens(15)) await stepStake(world);
    if (chance.happens(storm ? 40 : 10)) await stepCloseEarly(world);
  }
  if (!storm) return;
  if (chance.happens(60)) await stampede(world);
  // In a minute of its own.
  await exchange.advanceTime(120);
  await pushPrice(world);
  await stepCloseEarly(world);
}

/** Close, and both parts of the window; returns those who kept to the rules. */
async function closeTheDay(world: World, steps: number): Promise<readonly Trader[]> {
  const { exchange, chance, clearing } = world;
  const { terms } = exchange;
  await exchange.advanceTime(TRADING_TIME);
  if (clearing && chance.happens(15)) await halt(world, "Trading");
  await closeDay(world);
  const careful = carefulSeats(world);
  const haltedA = clearing && chance.happens(25);
  if (haltedA) await halt(world, "part A");
  else await playPartA(world, steps);
  if (clearing) await hurryInVain(world);
  await prepareCareful(world, { inHurry: haltedA });

  await exchange.mine(terms.windowBlocks);
  await exchange.advanceTime(terms.windowA);
  const haltedB = clearing && chance.happens(25);
  if (haltedB) await halt(world, "part B");
  // Each takes a block; there are enough for all of them even if somebody waits to open.
  await renewCareful(world, async () => {
    if (haltedB && carefulSeats(world).length > 0) await hurryInVain(world);
  });
  if (haltedB && chance.happens(30)) await hurry(world);
  else await renewMost(world);
  return careful;
}

async function playPartA(world: World, steps: number): Promise<void> {
  const { exchange, chance, clearing, storm } = world;
  for (let i = 0; i < steps; i++) {
    await stepWindow(world);
    if (chance.happens(20)) await stepAside(world);
    if (!clearing) continue;
    await exchange.advanceTime(chance.int(Math.floor(2_400 / steps)));
    if (chance.happens(storm ? 10 : 60)) await stepAuction(world);
    if (chance.happens(15)) await stepExit(world);
    if (chance.happens(10)) await stepStake(world);
  }
}

/** Somebody opens the day as soon as there were blocks enough: whoever was slow has missed it. */
async function hurry(world: World): Promise<void> {
  await world.exchange.mine(world.exchange.terms.windowBlocks);
  count(world, "opened as soon as possible");
}

/** The opening of the next day. */
async function openTheDay(world: World, careful: readonly Trader[]): Promise<void> {
  const { exchange } = world;
  const { chain, owner, state, terms } = exchange;
  const closing = state.epoch;
  await exchange.advanceTime(terms.windowB);
  const { renewalsBlock } = await chain.house.read.epochOf([closing]);
  const begun =
    renewalsBlock > 0n && (await chain.client.getBlockNumber()) >= renewalsBlock + BigInt(terms.windowBlocks);
  await openDay(world, () =>
    begun ? call(chain, owner, { functionName: "openEpoch", args: [] }) : openEpoch(exchange, owner),
  );
  assert.equal(state.epoch, closing + 1);
  checkCareful(careful);
  checkRecovery(world);
}
