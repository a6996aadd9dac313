import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ChainUnavailable, ContractRefused } from "../../src/chain/refusals.ts";
import { WaitEnded } from "../../src/chain/sending.ts";
import {
  type Action,
  DayNotOver,
  DayWaits,
  isDone,
  type Keeper,
  nextStep,
  planOf,
  QUIET_SECONDS,
  settleDay,
  type Situation,
  takeStep,
} from "../../src/clearing/settleDay.ts";

// The steps of a day against a chain of a few lines: the rules of EPO-3, EPO-5, EPO-6 and DEF-9, and time that passes.

const TERMS = { settleGrace: 60, windowA: 100, windowB: 100, windowBlocks: 3 };
const OPENED: Situation = {
  epoch: 4,
  phase: "trading",
  time: 1_000n,
  block: 50n,
  closingTime: 1_000n,
  closedAt: 0n,
  closedBlock: 0n,
  renewalsBlock: 0n,
  terms: TERMS,
  isOperator: false,
  forfeitable: [],
};

const situation = fc.record({
  time: fc.bigInt(1_000n, 2_000n),
  isOperator: fc.boolean(),
  lastBatchTime: fc.option(fc.bigInt(900n, 1_000n), { nil: undefined }),
  forfeitable: fc.uniqueArray(fc.bigInt(1n, 9n), { maxLength: 3 }),
});

/** A chain that refuses what the contract would. */
class Chain {
  now: Situation;
  readonly accepted: string[] = [];

  constructor(now: Partial<Situation>) {
    this.now = { ...OPENED, ...now };
  }

  pass(seconds: bigint, blocks: bigint): void {
    this.now = { ...this.now, time: this.now.time + seconds, block: this.now.block + blocks };
  }

  accept(action: Action, isOperator: boolean): void {
    const { now } = this;
    const { terms, phase, closedAt, closedBlock, renewalsBlock, time } = now;
    const block = now.block + 1n;
    const refuse = (holds: boolean, code: string): void => {
      if (!holds) throw new ContractRefused(code, code);
    };
    const inWindow = (seconds: number, from: bigint): void => {
      refuse(phase === "window", "NotInPhase");
      refuse(time >= closedAt + BigInt(seconds), "TooEarly");
      refuse(block >= from + BigInt(terms.windowBlocks), "BlocksMissing");
    };
    switch (action.kind) {
      case "closeEpoch":
        refuse(phase === "trading", "NotInPhase");
        refuse(time >= now.closingTime + (isOperator ? 0n : BigInt(terms.settleGrace)), "TooEarly");
        this.now = { ...now, phase: "window", closedAt: time, closedBlock: block, block };
        break;
      case "beginRenewals":
        inWindow(terms.windowA, closedBlock);
        this.now = { ...now, renewalsBlock: renewalsBlock === 0n ? block : renewalsBlock, block };
        break;
      case "forfeitBond":
        refuse(now.forfeitable.includes(action.ownerKey), "NothingToForfeit");
        this.now = { ...now, forfeitable: now.forfeitable.filter((key) => key !== action.ownerKey), block };
        break;
      case "openEpoch":
        refuse(renewalsBlock > 0n, "RenewalsNotBegun");
        inWindow(terms.windowA + terms.windowB, renewalsBlock);
        this.now = { ...now, epoch: now.epoch + 1, phase: "trading", closingTime: time + 500n, block };
        break;
    }
    this.accepted.push(action.kind);
  }
}

class Killed extends Error {}

/** A keeper on that chain. `die` says whether it is killed before a transaction, after it, or not at all. */
function keeperOn(chain: Chain, isOperator: boolean, die: () => "before" | "after" | undefined): Keeper {
  return {
    look: () => Promise.resolve({ ...chain.now, isOperator }),
    send: (action) =>
      new Promise((resolve) => {
        const death = die();
        if (death === "before") throw new Killed();
        chain.accept(action, isOperator);
        if (death === "after") throw new Killed();
        resolve("0x01");
      }),
  };
}

describe("the steps of a day", () => {
  test("from any moment on a plan leads in order to the next day, and each step is accepted then [CLR-1]", () => {
    fc.assert(
      fc.property(situation, ({ isOperator, ...facts }) => {
        const chain = new Chain({ ...facts, isOperator });
        const plan = planOf(chain.now, 4);
        const kinds = plan.map(({ action }) => action.kind);
        const forfeits = facts.forfeitable.map(() => "forfeitBond");
        assert.deepEqual(kinds, ["closeEpoch", "beginRenewals", ...forfeits, "openEpoch"]);
        for (const { action, time, block } of plan) {
          assert.ok(time >= chain.now.time && block > chain.now.block);
          chain.pass(time - chain.now.time, block - 1n - chain.now.block);
          chain.accept(action, isOperator);
        }
        assert.equal(chain.now.epoch, 5);
        assert.deepEqual(planOf(chain.now, 4), []);
      }),
    );
  });

  test("keepers that are killed anywhere, and several at once, bring the day to its end once [CLR-1, CLR-2]", async () => {
    const deaths = fc.array(fc.constantFrom("before" as const, "after" as const, undefined), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(situation, deaths, fc.integer({ min: 1, max: 3 }), async (facts, fates, keepers) => {
        const chain = new Chain(facts);
        const left = [...fates];
        const work = async (): Promise<void> => {
          for (;;) {
            const keeper = keeperOn(chain, false, () => left.shift());
            try {
              // Time passes while somebody waits.
              await settleDay(keeper, 4, { isPatient: true, pollMs: 0, onWait: () => chain.pass(37n, 1n) });
              return;
            } catch (error) {
              if (!(error instanceof Killed)) throw error;
            }
          }
        };
        await Promise.all(Array.from({ length: keepers }, work));
        assert.equal(chain.now.epoch, 5);
        const once = chain.accepted.filter((kind) => kind === "closeEpoch" || kind === "openEpoch");
        assert.deepEqual(once, ["closeEpoch", "openEpoch"]);
        assert.equal(chain.now.forfeitable.length, 0);
      }),
      { numRuns: 60 },
    );
  });

  test("before closing time it is too early, and nothing is sent [CLR-2]", async () => {
    const chain = new Chain({ time: 999n });
    await assert.rejects(
      settleDay(
        keeperOn(chain, true, () => undefined),
        4,
        { isPatient: true },
      ),
      DayNotOver,
    );
    assert.deepEqual(chain.accepted, []);
  });

  test("who does not wait takes what can be taken, and hears when to come again [CLR-2]", async () => {
    const chain = new Chain({ time: 1_060n });
    const error: unknown = await settleDay(
      keeperOn(chain, false, () => undefined),
      4,
      { isPatient: false },
    ).catch((reason: unknown) => reason);
    assert.ok(error instanceof DayWaits);
    assert.deepEqual([error.details["until"], error.details["time"]], ["renewals", 1_160n]);
    assert.deepEqual(chain.accepted, ["closeEpoch"]);
  });

  test("the operator's last batches are waited for, but not without end [CLR-3]", () => {
    const from = OPENED.closingTime + BigInt(TERMS.settleGrace);
    fc.assert(
      fc.property(fc.bigInt(900n, 1_300n), fc.bigInt(1_000n, 1_300n), fc.boolean(), (batch, time, isOperator) => {
        const step = nextStep({ ...OPENED, time, lastBatchTime: batch, isOperator }, 4);
        const earliest = isOperator ? OPENED.closingTime : from;
        const isQuiet = time >= batch + QUIET_SECONDS || time >= earliest + BigInt(TERMS.settleGrace);
        assert.equal(step.kind === "closeEpoch", time >= earliest && isQuiet);
      }),
    );
  });

  test("a node that goes away for a while is waited for by who is patient [CLR-2]", async () => {
    const chain = new Chain({ time: 1_060n });
    const keeper = keeperOn(chain, false, () => undefined);
    let looks = 0;
    const away = (): Promise<Situation> =>
      ++looks % 3 === 0 ? keeper.look() : Promise.reject(new ChainUnavailable("a call", "no answer"));
    await settleDay({ ...keeper, look: away }, 4, { isPatient: true, pollMs: 0, onWait: () => chain.pass(37n, 1n) });
    assert.equal(chain.now.epoch, 5);
    await assert.rejects(settleDay({ ...keeper, look: away }, 5, { isPatient: false }), ChainUnavailable);
  });

  test("a day that others have turned is done; a node that lags is waited for [CLR-2]", () => {
    assert.deepEqual(nextStep({ ...OPENED, epoch: 5 }, 4), { kind: "done" });
    const step = nextStep({ ...OPENED, epoch: 3 }, 4);
    assert.ok(step.kind === "wait" && step.until === "node");
  });
});

describe("a step that fails", () => {
  const close: Action = { kind: "closeEpoch" };
  const failing = (after: Partial<Situation>, error: Error): Keeper => ({
    look: () => Promise.resolve({ ...OPENED, time: 1_100n, ...after }),
    send: () => Promise.reject(error),
  });
  const refused = (code: string): Error => new ContractRefused(code, code);

  test("is done if the chain shows it done: another was quicker, or an answer was lost [CLR-2]", async () => {
    const taken = await takeStep(failing({ phase: "window" }, refused("NotInPhase")), close, 4);
    assert.deepEqual(taken, { action: close, transaction: undefined });
    assert.ok(isDone({ kind: "openEpoch" }, { ...OPENED, epoch: 5 }, 4));
  });

  test("is tried again if only clocks differ, and fails otherwise [CLR-2]", async () => {
    assert.equal(await takeStep(failing({}, refused("TooEarly")), close, 4), undefined);
    await assert.rejects(takeStep(failing({}, refused("QuotesOnlyByOperator")), close, 4), /QuotesOnlyByOperator/);
    await assert.rejects(takeStep(failing({ phase: "window" }, new WaitEnded()), close, 4), WaitEnded);
    await assert.rejects(takeStep(failing({ phase: "window" }, new TypeError("a fault")), close, 4), TypeError);
  });
});
