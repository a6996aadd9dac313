import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { call } from "../../src/chain/clearingHouse.ts";
import { DOLLAR, priceOfMilliCents } from "../../src/clearing/leanHogs.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import type { TraderDesk } from "../../src/trader/desk.ts";
import { startUnprovenStage, type UnprovenStage } from "../support/unprovenStage.ts";

/** One step of a history: what is done, a number that shapes it, and after how many milliseconds the wallet dies. */
const step = fc.record({
  what: fc.constantFrom(
    "deposit",
    "hold",
    "fund",
    "open",
    "buy",
    "sell",
    "close",
    "withdraw",
    "cancelAll",
    "crash",
    "day",
    "reorg",
  ),
  size: fc.integer({ min: 1, max: 8 }),
  diesAfter: fc.option(fc.integer({ min: 0, max: 400 }), { freq: 4 }),
});
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

const HISTORIES = 4;
const MOST_STEPS = 14;
/** The market of the maker, who is on both sides all the time. */
const PRICES = { sell: priceOfMilliCents(80_100), buy: priceOfMilliCents(79_900) };

let stage: UnprovenStage;
let maker: TraderDesk;
let histories = 0;

before(async () => {
  stage = await startUnprovenStage();
  maker = await stage.desk("maker");
  await maker.run("deposit", { amount: (2_000_000n * DOLLAR).toString(), faucet: true });
  await quote();
});
after(async () => {
  await maker.close();
  await stage.stop();
});

async function quote(): Promise<void> {
  const order = { slot: 0, quantity: 200 } as const;
  const placed = await maker.run("place", {
    orders: [
      { ...order, quantity: 20, side: "sell", limitPrice: PRICES.sell.toString() },
      { ...order, quantity: 20, side: "buy", limitPrice: PRICES.buy.toString() },
    ],
    tickets: "linked",
  });
  for (const { refusal } of placed) assert.equal(refusal, null);
}

test("after any history with crashes a wallet from the phrase shows what the live one shows [ACC-12, CLI-25]", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 6, maxLength: MOST_STEPS }), async (steps) => {
      histories += 1;
      await play(`history${histories}`, steps);
    }),
    { numRuns: HISTORIES, endOnFailure: true },
  );
});

async function play(name: string, steps: readonly Step[]): Promise<void> {
  let desk = await stage.desk(name);
  await desk.run("deposit", { amount: (100_000n * DOLLAR).toString(), faucet: true });
  for (const { what, size, diesAfter } of steps) {
    const dying = new AbortController();
    const timer = diesAfter === null ? undefined : setTimeout(() => dying.abort(), diesAfter);
    try {
      if (what === "day") await turnDay(desk);
      else if (what === "reorg") await reorganise(desk);
      else if (what !== "crash") await act(desk, what, size, dying.signal);
    } catch (error) {
      // Refused, or interrupted: either way the wallet must stay sound.
      if (!(error instanceof HedgerowError)) throw error;
    } finally {
      clearTimeout(timer);
    }
    if (what === "crash" || dying.signal.aborted) {
      await desk.close();
      desk = await stage.desk(name);
    }
  }
  await desk.run("catchUp", {});
  const other = await stage.recovered(name);
  assert.equal(await shown(other), await shown(desk));
  await other.close();
  await desk.close();
}

async function act(desk: TraderDesk, what: Step["what"], size: number, signal: AbortSignal): Promise<void> {
  const options = { signal };
  const cash = (BigInt(size) * 4_000n * DOLLAR).toString();
  switch (what) {
    case "deposit":
      await desk.run("deposit", { amount: cash, faucet: true }, options);
      return;
    case "hold":
      await desk.run("deposit", { amount: cash, faucet: true, hold: true }, options);
      return;
    case "fund":
      await desk.run("fund", {}, options);
      return;
    case "open":
      await desk.run("openTickets", { slot: 0, count: size, cash: (4_000n * DOLLAR).toString() }, options);
      return;
    case "buy":
    case "sell":
      await desk.run(
        "place",
        {
          orders: Array.from({ length: Math.ceil(size / 3) }, () => ({
            slot: 0,
            side: what,
            quantity: 1,
            timeInForce: "IOC" as const,
          })),
          tickets: size % 2 === 0 ? "linked" : "fresh",
        },
        options,
      );
      return;
    case "close":
      await desk.run("closeTickets", {}, options);
      return;
    case "cancelAll":
      await desk.run("cancelAll", {}, options);
      return;
    case "withdraw":
      await desk.run("withdraw", { amount: (DOLLAR * BigInt(size)).toString(), to: stage.x.operator.address }, options);
      return;
    default:
  }
}

/** The day ends, everybody renews, the next one begins. */
async function turnDay(desk: TraderDesk): Promise<void> {
  const { x } = stage;
  const { closingTime } = await x.chain.house.read.epochOf([desk.chain.epoch]);
  await x.advanceTime(Number(closingTime - (await x.now())) + 1);
  await until(async () => {
    await desk.account.sync();
    return desk.chain.phase === "window";
  });
  for (const each of [maker, desk]) await each.run("closeTickets", {}).catch(ignoreRefusal);
  await x.mine(x.terms.windowBlocks);
  await x.advanceTime(x.terms.windowA);
  for (const each of [maker, desk]) await each.run("renew", {}).catch(ignoreRefusal);
  await x.mine(2 * x.terms.windowBlocks);
  await x.advanceTime(x.terms.windowB);
  await call(x.chain, x.operator, { functionName: "openEpoch", args: [] });
  await desk.account.sync();
  const { epoch } = desk.chain;
  await until(async () => {
    const day = await desk.connections.common.fetchEpoch();
    return day.epoch === epoch && day.phase === "trading";
  });
  await maker.run("closeTickets", {});
  await quote();
}

/** Something happens, and its blocks are taken back. */
async function reorganise(desk: TraderDesk): Promise<void> {
  const undo = await stage.node.reorganisation();
  await desk.run("openTickets", { slot: 0, count: 1, cash: (4_000n * DOLLAR).toString() }).catch(ignoreRefusal);
  await undo();
}

async function shown(desk: TraderDesk): Promise<string> {
  const views = [
    await desk.run("balance", {}),
    await desk.run("tickets", {}),
    await desk.run("history", {}),
    await desk.run("statement", {}),
  ];
  return JSON.stringify(views, null, 1);
}

function ignoreRefusal(error: unknown): void {
  if (!(error instanceof HedgerowError)) throw error;
}

async function until(so: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await so())) {
    if (performance.now() > deadline) throw new Error("waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
