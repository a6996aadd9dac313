import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { drawnFrom } from "../../src/trader/agent/look.ts";
import { toppedUp } from "../../src/trader/agent/margin.ts";
import { type Duty, plan, type PlannedTicket, type PlanView } from "../../src/trader/agent/plan.ts";
import { policySchema } from "../../src/trader/agent/policy.ts";

const OPENED = 1_700_000_000;

const ticket = fc.record({
  ticketId: fc.integer({ min: 0, max: 15 }).map((i) => `0x${i.toString(16).padStart(64, "0")}`),
  leftOver: fc.boolean(),
  live: fc.boolean(),
  doneAt: fc.option(fc.integer({ min: OPENED, max: OPENED + 20_000 }), { nil: undefined }),
});

const anyView: fc.Arbitrary<PlanView> = fc
  .record({
    trading: fc.integer({ min: 60, max: 20_000 }),
    phase: fc.constantFrom("trading" as const, "window" as const),
    windowA: fc.integer({ min: 30, max: 4_000 }),
    windowB: fc.integer({ min: 30, max: 4_000 }),
    windowBlocks: fc.integer({ min: 1, max: 300 }),
    since: fc.integer({ min: 0, max: 12_000 }),
    blocks: fc.integer({ min: 0, max: 700 }),
    status: fc.constantFrom("none", "active", "active", "active", "asleep", "inDefault", "closed"),
    ahead: fc.boolean(),
    tickets: fc.uniqueArray(ticket, { maxLength: 6, selector: ({ ticketId }) => ticketId }),
    credits: fc.array(fc.bigInt({ min: 1n, max: 10n ** 12n }), { maxLength: 3 }),
    isFresh: fc.boolean(),
    shortage: fc.oneof(fc.constant(0n), fc.bigInt({ min: 1n, max: 10n ** 12n })),
    topUpLeft: fc.oneof(fc.constant(0n), fc.bigInt({ min: 1n, max: 10n ** 12n })),
    turnSeconds: fc.double({ min: 0.5, max: 60, noNaN: true }),
    blockSeconds: fc.double({ min: 0.1, max: 30, noNaN: true }),
    exchangeAway: fc.boolean(),
    hasGas: fc.boolean(),
    failures: fc.integer({ min: 0, max: 5 }),
    seed: fc.bigInt({ min: 0n, max: 2n ** 64n }),
    policy: fc.record({
      closeTickets: fc.boolean(),
      reserve: fc.boolean(),
      closeDelaySeconds: fc.integer({ min: 0, max: 2_000 }),
      safetySeconds: fc.integer({ min: 0, max: 2_000 }),
    }),
  })
  .map((x) => {
    const day = { epoch: 7, openedAt: OPENED, closingTime: OPENED + x.trading };
    return {
      now: x.phase === "trading" ? OPENED + x.since : day.closingTime + x.since,
      block: 1_000 + x.blocks,
      day:
        x.phase === "trading"
          ? { ...day, phase: "trading" as const }
          : { ...day, phase: "window" as const, closedAt: day.closingTime, closedBlock: 1_000 },
      terms: { windowA: x.windowA, windowB: x.windowB, windowBlocks: x.windowBlocks },
      seat: { status: x.status, epoch: x.status === "active" ? (x.ahead ? 8 : 7) : null },
      tickets: x.tickets,
      credits: x.credits.map((amount, i) => ({ creditId: String(i), amount })),
      isFresh: x.isFresh,
      shortage: x.shortage,
      topUpLeft: x.topUpLeft,
      pace: { turnSeconds: x.turnSeconds, blockSeconds: x.blockSeconds },
      exchangeAway: x.exchangeAway,
      hasGas: x.hasGas,
      failures: () => x.failures,
      policy: policySchema.parse(x.policy),
      draw: drawnFrom(x.seed),
    } satisfies PlanView;
  });

const RUNS = { numRuns: 2_000 };

function isPartA({ now, block, day, terms }: PlanView): boolean {
  if (day.phase !== "window") return false;
  return now < day.closedAt + terms.windowA || block < day.closedBlock + terms.windowBlocks;
}

test("nothing is planned before now or after its deadline, and everything in order [AGT-7]", () => {
  fc.assert(
    fc.property(anyView, (view) => {
      const duties = plan(view);
      for (const { at, deadline } of duties) {
        assert.ok(at >= view.now);
        assert.ok(deadline === undefined || at <= deadline, `${at} is after ${deadline ?? ""}`);
      }
      assert.deepEqual(
        duties.map(({ at }) => at),
        duties.map(({ at }) => at).toSorted((a, b) => a - b),
      );
      assert.deepEqual(plan(view), duties);
    }),
    RUNS,
  );
});

test("a seat that is asleep, in default, closed or renewed already has no duties [AGT-7, SEA-8]", () => {
  fc.assert(
    fc.property(anyView, (view) => {
      const { status, epoch } = view.seat;
      if (status !== "active" || epoch !== view.day.epoch) assert.deepEqual(plan(view), []);
    }),
    RUNS,
  );
});

test("a live seat has exactly one renewal planned in the window, in part B, and none while trading [AGT-10, PRI-5]", () => {
  fc.assert(
    fc.property(anyView, (view) => {
      if (view.seat.status !== "active" || view.seat.epoch !== view.day.epoch) return;
      const renewals = plan(view).filter(({ kind }) => kind === "renew");
      assert.equal(renewals.length, view.day.phase === "window" ? 1 : 0);
      const [renewal] = renewals;
      if (renewal === undefined || view.day.phase !== "window") return;
      const partB = view.day.closedAt + view.terms.windowA;
      assert.ok(renewal.at >= partB);
      // There is room for the work, unless there never was or now is too late already.
      const room = Math.min(view.policy.safetySeconds, view.terms.windowB / 4) + view.pace.turnSeconds;
      const latest = partB + view.terms.windowB - room;
      const blocks = view.day.closedBlock + view.terms.windowBlocks - view.block;
      if (blocks <= 0) assert.ok(renewal.at <= Math.max(latest, view.now, partB));
    }),
    RUNS,
  );
});

test("in part A every ticket of the day is planned to come back, all in time; what rests is cancelled before [AGT-8]", () => {
  fc.assert(
    fc.property(anyView, (view) => {
      const { day, terms, pace, policy, now, tickets } = view;
      if (view.seat.status !== "active" || view.seat.epoch !== day.epoch || day.phase !== "window") return;
      const duties = plan(view);
      const closings = duties.filter(({ kind }) => kind === "close-tickets");
      const open = tickets.filter(({ leftOver }) => !leftOver);
      if (!isPartA(view)) {
        assert.ok(duties.every(({ kind }) => kind === "renew"));
        return;
      }
      assert.deepEqual(
        new Set(closings.flatMap(({ targets }) => targets)),
        new Set(open.map(({ ticketId }) => ticketId)),
      );
      const safety = Math.min(policy.safetySeconds, terms.windowA / 4);
      const latest = day.closedAt + terms.windowA - safety - pace.turnSeconds * open.length;
      for (const { at } of closings) assert.ok(at <= Math.max(latest, now, day.closedAt));
      const cancel = duties.findIndex(({ kind }) => kind === "cancel-orders");
      assert.equal(
        cancel >= 0,
        open.some(({ live }) => live),
      );
      if (cancel >= 0) assert.equal(duties[cancel]?.at, now);
      // A renewal never shows a note that closings are still to spend.
      const freshens = duties.some(({ kind }) => kind === "spend-seen-note");
      assert.equal(freshens, open.length === 0 && !view.isFresh);
    }),
    RUNS,
  );
});

test("while trading only tickets without live orders come back, and left-over ones are claimed [AGT-9]", () => {
  fc.assert(
    fc.property(anyView, (view) => {
      if (view.day.phase !== "trading") return;
      const byId = new Map<string, PlannedTicket>(view.tickets.map((each) => [each.ticketId, each]));
      for (const { kind, targets, direct, deadline, at } of plan(view)) {
        assert.equal(direct, false, "the contract takes nothing direct while trading");
        for (const found of targets.map((id) => byId.get(id))) {
          if (kind === "claim-tickets") assert.equal(found?.leftOver, true);
          if (kind !== "close-tickets") continue;
          assert.ok(found?.leftOver === false && !found.live && found.doneAt !== undefined);
          assert.ok(view.policy.closeTickets && at + view.pace.turnSeconds <= (deadline ?? 0));
        }
      }
    }),
    RUNS,
  );
});

test("an exchange that does not answer is passed by only near the deadline and with gas [AGT-11]", () => {
  fc.assert(
    fc.property(anyView, (view) => {
      const { exchangeAway, hasGas } = view;
      const duties = plan(view);
      const direct = duties.filter((duty) => duty.direct);
      if (!hasGas || (!exchangeAway && view.failures("renew") < 3)) assert.deepEqual(direct, []);
      const [renewal] = duties.filter(({ kind }) => kind === "renew");
      if (renewal === undefined || view.day.phase !== "window" || !hasGas || !exchangeAway) return;
      const end = view.day.closedAt + view.terms.windowA + view.terms.windowB;
      if (view.now >= end - view.pace.turnSeconds) assert.equal(renewal.direct, true);
    }),
    RUNS,
  );
});

type World = { now: number; block: number; open: Set<string>; renewed: number };

test("an agent that follows its plan loses nothing on any chain that moves, wherever it is restarted [AGT-7, AGT-8, AGT-10]", () => {
  const story = fc.record({
    view: anyView,
    blockTimes: fc.array(fc.double({ min: 0.2, max: 12, noNaN: true }), { minLength: 10, maxLength: 30 }),
    turn: fc.double({ min: 0.5, max: 6, noNaN: true }),
    fails: fc.array(fc.boolean(), { maxLength: 2 }),
  });
  fc.assert(
    fc.property(story, ({ view: start, blockTimes, turn, fails }) => {
      const terms = { windowA: 400, windowB: 400, windowBlocks: 10 };
      const closedAt = start.day.closingTime;
      const day = { ...start.day, phase: "window" as const, closedAt, closedBlock: 1_000 };
      const own = start.tickets.filter(({ leftOver }) => !leftOver).map(({ ticketId }) => ticketId);
      const world: World = { now: closedAt, block: 1_000, open: new Set(own), renewed: 0 };
      let steps = 0;
      const failing = [...fails];
      const pass = (seconds: number): void => {
        // Blocks come at their own pace while the clock goes on.
        const end = world.now + seconds;
        while (world.now < end) {
          world.now += blockTimes[steps++ % blockTimes.length] ?? 1;
          world.block += 1;
        }
      };
      const partA = (): boolean => world.now < closedAt + terms.windowA || world.block < 1_000 + terms.windowBlocks;
      const isOpened = (): boolean =>
        world.now >= closedAt + terms.windowA + terms.windowB && world.block >= 1_000 + 2 * terms.windowBlocks;
      const act = (duty: Duty): void => {
        pass(turn);
        if (failing.pop() === true) return;
        if (duty.kind === "close-tickets") {
          assert.ok(partA(), "closed in part A");
          for (const id of duty.targets) assert.ok(world.open.delete(id));
        }
        if (duty.kind === "renew") {
          assert.ok(!partA() && !isOpened(), "renewed in part B");
          world.renewed += 1;
        }
      };
      let isFresh = false;
      while (!isOpened()) {
        const view: PlanView = {
          ...start,
          now: world.now,
          block: world.block,
          day,
          terms,
          seat: { status: "active", epoch: day.epoch + world.renewed },
          tickets: [...world.open].map((ticketId) => ({ ticketId, leftOver: false, live: false, doneAt: undefined })),
          credits: [],
          isFresh,
          shortage: 0n,
          pace: { turnSeconds: 20, blockSeconds: 5 },
        };
        const due = plan(view).find(({ at }) => at <= world.now);
        if (due === undefined) pass(1);
        else if (due.kind === "spend-seen-note") isFresh = true;
        else act(due);
      }
      assert.equal(world.open.size, 0, "no ticket is left to default");
      assert.equal(world.renewed, 1, "renewed exactly once");
    }),
    { numRuns: 300 },
  );
});

test("times of renewal are spread evenly over part B, and are the same after a restart [AGT-10, PRI-5]", () => {
  const draw = drawnFrom(123_456n);
  const draws = Array.from({ length: 4_000 }, (_, epoch) => draw(`renew ${epoch}`));
  for (const part of [0, 1, 2, 3]) {
    const inPart = draws.filter((x) => Math.floor(x * 4) === part).length;
    assert.ok(inPart > 850 && inPart < 1_150, `${inPart} in quarter ${part}`);
  }
  assert.equal(drawnFrom(123_456n)("renew 5"), draw("renew 5"));
  assert.notEqual(drawnFrom(123_457n)("renew 5"), draw("renew 5"));
});

test("a shortage is met by one credit if one is enough, else by the largest, then by a deposit within its limit [AGT-13]", () => {
  const credits = [10n, 50n, 20n].map((amount, i) => ({ creditId: String(i), amount }));
  assert.deepEqual(toppedUp({ shortage: 15n, credits, limit: 100n }), { fund: ["2"], deposit: 0n });
  assert.deepEqual(toppedUp({ shortage: 65n, credits, limit: 100n }), { fund: ["1", "2"], deposit: 0n });
  assert.deepEqual(toppedUp({ shortage: 93n, credits, limit: 100n }), { fund: ["1", "2", "0"], deposit: 20n });
  assert.deepEqual(toppedUp({ shortage: 93n, credits, limit: 15n }), { fund: ["1", "2", "0"], deposit: 13n });
  assert.deepEqual(toppedUp({ shortage: 93n, credits: [], limit: 0n }), { fund: [], deposit: 0n });
  fc.assert(
    fc.property(anyView, ({ shortage, credits: some, topUpLeft: limit }) => {
      const { fund, deposit } = toppedUp({ shortage: shortage + 1n, credits: some, limit });
      assert.ok(deposit >= 0n && deposit <= limit);
      const funded = some
        .filter(({ creditId }) => fund.includes(creditId))
        .reduce((sum, { amount }) => sum + amount, 0n);
      const isMet = funded + deposit > shortage;
      assert.ok(isMet || (fund.length === some.length && deposit === limit));
    }),
  );
});
