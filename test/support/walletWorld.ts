import assert from "node:assert/strict";
import fc from "fast-check";

import { DOLLAR, priceOfMilliCents } from "../../src/clearing/leanHogs.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import type { TraderDesk } from "../../src/trader/desk.ts";
import { startUnprovenStage, type UnprovenStage } from "./unprovenStage.ts";
import { openEpoch } from "./openEpoch.ts";

// Random lives of a wallet, with crashes at any moment; at the end one from the phrase must show the very same.

/** One step of a life: what is done, a number that shapes it, and after how many milliseconds the wallet dies. */
export const walletStep = fc.record({
  what: fc.constantFrom(
    ...(["deposit", "hold", "fund", "open", "buy", "sell", "close", "withdraw", "cancelAll"] as const),
    ...(["crash", "day", "reorg", "lostAnswers"] as const),
  ),
  size: fc.integer({ min: 1, max: 8 }),
  diesAfter: fc.option(fc.integer({ min: 0, max: 400 }), { freq: 4 }),
});
export type WalletStep = typeof walletStep extends fc.Arbitrary<infer S> ? S : never;

/** How often each step was done, refused or cut short. */
export type Tally = Map<string, number>;

/** Quotes of the maker, who is on both sides all the time. */
const PRICES = { sell: priceOfMilliCents(80_100), buy: priceOfMilliCents(79_900) };

/** An exchange without proofs, a maker, and the wallets that live there. */
export class WalletWorld {
  readonly stage: UnprovenStage;
  readonly tally: Tally = new Map();
  readonly #maker: TraderDesk;
  #lives = 0;

  private constructor(stage: UnprovenStage, maker: TraderDesk) {
    this.stage = stage;
    this.#maker = maker;
  }

  static async start(): Promise<WalletWorld> {
    const stage = await startUnprovenStage();
    const maker = await stage.desk("maker");
    await maker.run("deposit", { amount: (2_000_000n * DOLLAR).toString(), faucet: true });
    const world = new WalletWorld(stage, maker);
    await world.#quote();
    return world;
  }

  async stop(): Promise<void> {
    await this.#maker.close();
    await this.stage.stop();
  }

  /** Lives through the steps, and compares. Throws an AssertionError where the recovered wallet shows another account. */
  async live(steps: readonly WalletStep[]): Promise<void> {
    this.#lives += 1;
    const name = `wallet${this.#lives}`;
    const { stage } = this;
    let desk = await stage.desk(name);
    await desk.run("deposit", { amount: (100_000n * DOLLAR).toString(), faucet: true });
    for (const step of steps) {
      const dying = new AbortController();
      const timer = step.diesAfter === null ? undefined : setTimeout(() => dying.abort(), step.diesAfter);
      let outcome = "done";
      try {
        await this.#act(desk, step, dying.signal);
      } catch (error) {
        // Refused, or interrupted: either way the wallet must stay sound.
        if (!(error instanceof HedgerowError)) throw error;
        outcome = error.code;
      } finally {
        clearTimeout(timer);
      }
      const event = `${step.what}: ${outcome}`;
      this.tally.set(event, (this.tally.get(event) ?? 0) + 1);
      if (step.what === "crash" || dying.signal.aborted) {
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

  async #act(desk: TraderDesk, { what, size }: WalletStep, signal: AbortSignal): Promise<void> {
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
      case "sell": {
        const order = { slot: 0, side: what, quantity: 1, timeInForce: "IOC" } as const;
        const orders = Array.from({ length: Math.ceil(size / 3) }, () => order);
        await desk.run("place", { orders, tickets: size % 2 === 0 ? "linked" : "fresh" }, options);
        return;
      }
      case "close":
        await desk.run("closeTickets", {}, options);
        return;
      case "withdraw": {
        const to = this.stage.x.operator.address;
        await desk.run("withdraw", { amount: (DOLLAR * BigInt(size)).toString(), to }, options);
        return;
      }
      case "cancelAll":
        await desk.run("cancelAll", {}, options);
        return;
      case "day":
        await this.#turnDay(desk);
        return;
      case "reorg": {
        const undo = await this.stage.node.reorganisation();
        await desk.run("openTickets", { slot: 0, count: 1, cash }).catch(ignoreRefusal);
        await undo();
        return;
      }
      case "lostAnswers":
        this.stage.port.loseAnswers(size);
        return;
      case "crash":
    }
  }

  /** The day ends, maker and wallet renew, the next one begins. */
  async #turnDay(desk: TraderDesk): Promise<void> {
    const { x } = this.stage;
    const both = [this.#maker, desk];
    const { closingTime } = await x.chain.house.read.epochOf([desk.chain.epoch]);
    await x.advanceTime(Number(closingTime - (await x.now())) + 1);
    await until("the day is over", async () => {
      await desk.account.sync();
      return desk.chain.phase === "window";
    });
    for (const each of both) await each.run("closeTickets", {}).catch(ignoreRefusal);
    await x.mine(x.terms.windowBlocks);
    await x.advanceTime(x.terms.windowA);
    for (const each of both) await each.run("renew", {}).catch(ignoreRefusal);
    await x.advanceTime(x.terms.windowB);
    await openEpoch(x, x.operator);
    await desk.account.sync();
    const { epoch } = desk.chain;
    await until("the exchange trades the next day", async () => {
      const day = await desk.connections.common.fetchEpoch();
      return day.epoch === epoch && day.phase === "trading";
    });
    await this.#maker.run("closeTickets", {});
    await this.#quote();
  }

  async #quote(): Promise<void> {
    const orders = (["sell", "buy"] as const).map((side) => ({
      slot: 0,
      quantity: 20,
      side,
      limitPrice: PRICES[side].toString(),
    }));
    for (const { refusal } of await this.#maker.run("place", { orders, tickets: "linked" }))
      assert.equal(refusal, null);
  }
}

/** Everything that a wallet shows of itself. */
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

async function until(what: string, so: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await so())) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
