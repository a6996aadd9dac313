import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { MarketTerms } from "../../src/chain/deploy.ts";
import { DOLLAR } from "../../src/clearing/leanHogs.ts";
import {
  BadMarginSchedule,
  dayOf,
  marginsAt,
  marginsBetween,
  parseMarginSchedule,
} from "../../src/clearing/marginSchedule.ts";
import {
  assertSound,
  contractIdOf,
  type MarketSchedule,
  parseMarketSchedule,
  type PlannedStep,
  planSchedule,
  type SlotState,
} from "../../src/clearing/marketSchedule.ts";
import { faultOf, stepToward, widthFaultOf, type Widths, widthsFor } from "../../src/clearing/soundTerms.ts";
import { type EpochMarket, NO_FEED } from "../../src/protocol/epoch.ts";

// Margins and contracts as a clerk publishes them, and the way from there to the registry.

const DAY = 86_400n;
const TICK = 10n * DOLLAR;
const START = 1_900_000_000n;

const cents = (most: number) => fc.integer({ min: 1, max: most }).map((amount) => (BigInt(amount) * DOLLAR) / 100n);
const ticks = fc.constantFrom(DOLLAR / 100n, DOLLAR / 4n, DOLLAR, TICK, 25n * DOLLAR);

/** A margin above some ticks, and a tick. */
const margins = fc
  .record({ tick: ticks, beyond: cents(2_000_000), initial: fc.option(cents(1_000_000)) })
  .map(({ tick, beyond, initial }) => {
    const maintenance = 4n * tick + beyond;
    return { tick, wish: { maintenance, initial: initial === null ? undefined : maintenance + initial } };
  });

describe("terms from a margin", () => {
  test("are sound whatever the margin and the tick, and the initial margin is 1.10 times [GOV-3, GOV-9]", () => {
    fc.assert(
      fc.property(margins, ({ tick, wish }) => {
        const widths = widthsFor(wish, tick);
        assert.equal(widthFaultOf(widths, tick), undefined);
        assert.ok(widths.priceLimit > 0n);
        assert.ok(widths.maintenanceMargin >= wish.maintenance && widths.maintenanceMargin < wish.maintenance + tick);
        if (wish.initial === undefined) {
          const [least, most] = [wish.maintenance * 11n, wish.maintenance * 11n + 10n * tick + 10n];
          const tenfold = 10n * widths.initialMargin;
          assert.ok(tenfold >= least && (tenfold < most || widths.initialMargin === widths.maintenanceMargin));
        } else {
          assert.ok(widths.initialMargin >= wish.initial);
        }
      }),
    );
    const hogs = widthsFor({ maintenance: 3_000n * DOLLAR, initial: undefined }, TICK, { priceLimit: 1_000n * DOLLAR });
    assert.deepEqual(hogs, {
      priceLimit: 1_000n * DOLLAR,
      expandedLimit: 1_500n * DOLLAR,
      closeOutFee: 1_500n * DOLLAR,
      maintenanceMargin: 3_000n * DOLLAR,
      initialMargin: 3_300n * DOLLAR,
    });
  });

  test("that were given stay as they are, and the rule that they break is named [GOV-3]", () => {
    const fault = (given: Parameters<typeof widthsFor>[2]) =>
      widthFaultOf(widthsFor({ maintenance: 3_000n * DOLLAR, initial: undefined }, TICK, given), TICK);
    assert.equal(fault({ priceLimit: 1_500n * DOLLAR }), undefined);
    assert.equal(
      fault({ priceLimit: 1_510n * DOLLAR }),
      "expandedLimit + closeOutFee must not be above maintenanceMargin",
    );
    assert.equal(
      fault({ priceLimit: 100n * DOLLAR, closeOutFee: 90n * DOLLAR }),
      "priceLimit must not be above closeOutFee",
    );
    assert.equal(
      fault({ priceLimit: 100n * DOLLAR, expandedLimit: 90n * DOLLAR, closeOutFee: 200n * DOLLAR }),
      "priceLimit must not be above expandedLimit",
    );
    assert.equal(
      fault({ expandedLimit: 210n * DOLLAR, closeOutFee: 200n * DOLLAR }),
      "expandedLimit must not be above closeOutFee",
    );
    assert.equal(fault({ priceLimit: 15n * DOLLAR }), "priceLimit must be a whole number of ticks");
  });

  test("reach others of the same tick in two admissible steps [GOV-4, GOV-10]", () => {
    fc.assert(
      fc.property(ticks, cents(1_000_000), cents(1_000_000), (tick, a, b) => {
        const [running, target] = [a, b].map((beyond) =>
          widthsFor({ maintenance: 4n * tick + beyond, initial: undefined }, tick),
        ) as [Widths, Widths];
        let now = running;
        for (let step = 1; ; step++) {
          const { widths, isLast } = stepToward(target, [now]);
          assert.equal(widthFaultOf(widths, tick), undefined);
          assert.ok(mayFollow(now, widths));
          now = widths;
          if (isLast) break;
          assert.ok(step < 2);
        }
        assert.deepEqual(now, target);
      }),
    );
  });
});

/** The rule as the contracts have it (spec GOV-4). */
function mayFollow(old: Pick<Widths, "closeOutFee">, next: Pick<Widths, "expandedLimit" | "initialMargin">): boolean {
  return next.expandedLimit <= old.closeOutFee && next.initialMargin >= old.closeOutFee;
}

describe("a margin schedule", () => {
  const days = fc.uniqueArray(fc.integer({ min: 10_000, max: 30_000 }), { minLength: 1, maxLength: 30 });

  test("reads back what was written, and has the last row that is not later than the day [GOV-9]", () => {
    fc.assert(
      fc.property(days, fc.integer({ min: 9_000, max: 31_000 }), fc.boolean(), (numbers, asked, plain) => {
        const sorted = numbers.toSorted((a, b) => a - b);
        const rows = sorted.map((day, i) => ({ day: BigInt(day), maintenance: i + 1, hasInitial: i % 3 === 0 }));
        const text = rows.map(({ day, maintenance, hasInitial }) => {
          const date = dayOf(day * DAY);
          const initial = hasInitial ? `${maintenance + 1}.50` : "";
          return [plain ? date.replaceAll("-", "") : date, initial, `${maintenance}`].join(",");
        });
        const schedule = parseMarginSchedule(`# made up\ndate,initial,maintenance\n${text.join("\n")}`, "m.csv");
        assert.deepEqual(
          schedule,
          rows.map(({ day, maintenance, hasInitial }) => ({
            date: dayOf(day * DAY),
            maintenance: BigInt(maintenance) * DOLLAR,
            initial: hasInitial ? BigInt(maintenance + 1) * DOLLAR + DOLLAR / 2n : undefined,
          })),
        );
        const found = rows.findLast(({ day }) => day <= BigInt(asked));
        const at = (second: bigint) => marginsAt(schedule, BigInt(asked) * DAY + second)?.maintenance;
        const expected = found === undefined ? undefined : BigInt(found.maintenance) * DOLLAR;
        assert.deepEqual([at(0n), at(DAY - 1n)], [expected, expected]);
      }),
      { numRuns: 50 },
    );
  });

  test("without an initial margin, in another order of columns, or with few of them is understood [GOV-9]", () => {
    const [row] = parseMarginSchedule("maintenance,date\n3000,2030-01-02\n", "m.csv");
    assert.deepEqual(row, { date: "2030-01-02", maintenance: 3_000n * DOLLAR, initial: undefined });
  });

  const bad: readonly (readonly [what: string, text: string, message: RegExp])[] = [
    ["no row", "date,initial,maintenance\n", /m\.csv: expected one row or more/],
    ["a day that is none", "date,maintenance\n20300231,5\n", /m\.csv, row 1, date: expected a day/],
    ["a day twice", "date,maintenance\n20300201,5\n2030-02-01,6", /row 2, date: dates must rise/],
    ["no margin", "date,initial\n20300201,5\n", /row 1, maintenance: expected dollars/],
    ["a margin of zero", "date,maintenance\n20300201,0", /row 1, maintenance: expected more than zero/],
    ["a margin below zero", "date,maintenance\n20300201,-5", /row 1, maintenance: expected more than zero/],
    ["words", "date,maintenance\n20300201,much", /row 1, maintenance: expected dollars/],
    ["an initial margin that is less", "date,initial,maintenance\n20300201,4,5", /row 1, initial: initial must not/],
    ["a column too many", "date,maintenance,fee\n20300201,4,5", /row 1: Unrecognized key/],
    ["a cell too many", "date,maintenance\n20300201,4,5", /m\.csv: no CSV/],
  ];
  for (const [what, text, message] of bad) {
    test(`with ${what} is refused with the place and the rule [GOV-9]`, () => {
      assert.throws(() => parseMarginSchedule(text, "m.csv"), { name: BadMarginSchedule.name, message });
    });
  }
});

describe("a schedule of contracts", () => {
  const example = resolved("schedule.json");
  const hogs = {
    slot: 0,
    contract: "HOGS A",
    listingPrice: "32000",
    tick: 10,
    lastTradingTime: Number(START + 10n * DAY),
    margins: [{ date: "2020-01-01", maintenance: 3000 }],
  };
  const parse = (...contracts: readonly object[]) =>
    parseMarketSchedule(JSON.stringify({ contracts }), "s.json", noFile);

  test("of the example is sound, and its slots pass from contract to contract [GOV-9, GOV-11]", () => {
    const schedule = parseMarketSchedule(example, "schedule.json", resolved);
    assertSound(schedule, START, "schedule.json");
    const [feb, jul, , wti] = schedule;
    assert.ok(feb !== undefined && jul !== undefined && wti !== undefined);
    assert.equal(jul.listedFrom, feb.lastTradingTime);
    assert.equal(feb.margins.length, 3);
    assert.equal(wti.fixed.feedMultiplier, 1_000n * DOLLAR);
    assert.equal(marginsBetween(feb.margins, START, feb.lastTradingTime).length, 3);
  });

  const later = { ...hogs, contract: "HOGS B", lastTradingTime: Number(START + 20n * DAY) };
  const bad: readonly (readonly [what: string, contracts: readonly object[], message: RegExp])[] = [
    ["no contract", [], /s\.json: expected one contract or more/],
    ["slot 8", [{ ...hogs, slot: 8 }], /s\.json, contract 1, slot: Too big/],
    ["a name twice", [hogs, { ...later, contract: "HOGS A" }], /s\.json: two contracts are called HOGS A/],
    ["a name without end", [{ ...hogs, contract: "X".repeat(33) }], /contract 1, contract: expected up to 32/],
    ["a day without a zone", [{ ...hogs, lastTradingTime: "2030-01-01T10:00" }], /lastTradingTime: expected a time/],
    ["a field of another name", [{ ...hogs, prizeLimit: 5 }], /contract 1: Unrecognized key: "prizeLimit"/],
    ["bad margins", [{ ...hogs, margins: [{ date: "2030-01-01" }] }], /contract 1, margins, 0, maintenance/],
    ["a feed without an age", [{ ...hogs, feed: { address: `0x${"11".repeat(20)}`, multiplier: 1 } }], /feed, maxAge/],
    [
      "a slot in two hands",
      [hogs, { ...later, listedFrom: Number(START + 9n * DAY) }],
      /contract 2 \(HOGS B\): listedFrom must not be before the last trading time of HOGS A/,
    ],
    ["an end before its beginning", [{ ...hogs, listedFrom: Number(START + 10n * DAY) }], /must be before lastTrading/],
  ];
  for (const [what, contracts, message] of bad) {
    test(`with ${what} is refused with the place and the rule [GOV-11]`, () => {
      assert.throws(() => parse(...contracts), { code: "BadMarketSchedule", message });
    });
  }

  test("that a margin to come would make unsound is refused now, and one of the past is not looked at [GOV-3, GOV-11]", () => {
    const rows = (old: number, next: number) => [
      { date: dayOf(START - 20n * DAY), maintenance: old },
      { date: dayOf(START - 2n * DAY), maintenance: 3_000 },
      { date: dayOf(START + 5n * DAY), maintenance: next },
    ];
    const check = (old: number, next: number): void => {
      assertSound(parse({ ...hogs, priceLimit: 1_200, margins: rows(old, next) }), START, "s.json");
    };
    check(100, 4_000);
    assert.throws(() => check(100, 2_000), {
      code: "BadMarketSchedule",
      message: new RegExp(`HOGS A with the margins of ${dayOf(START + 5n * DAY)}: expandedLimit \\+ closeOutFee must`),
    });
  });

  test("leaves what cannot change of a contract that runs as it is, or is refused [GOV-4, GOV-11]", () => {
    const world = new World();
    const publish = (change: object) => parse({ ...hogs, ...change });
    world.run(publish({}));
    world.pass(2n);
    world.close();
    assert.equal(world.runningName, "HOGS A");
    for (const [change, rule] of [
      [{ tick: 1 }, /tick of a contract that runs must stay/],
      [{ lastTradingTime: Number(START + 11n * DAY) }, /lastTradingTime of a contract that runs must stay/],
      [{ feed: { address: `0x${"11".repeat(20)}`, multiplier: 1, maxAge: 1 } }, /the feed must stay/],
    ] as const) {
      assert.throws(() => world.plan(publish(change)), { code: "BadMarketSchedule", message: rule });
    }
    // A listing price has been used up.
    assert.deepEqual(
      world.plan(publish({ listingPrice: "5000" })).map(({ action }) => action),
      ["keep"],
    );
    const [step] = world.plan(publish({ fillFee: "2" }));
    assert.deepEqual([step?.action, step?.changes], ["change", [{ field: "fillFee", from: DOLLAR, to: 2n * DOLLAR }]]);
  });

  test("waits for a slot that another contract has, and for a step that is under way [GOV-10, GOV-11]", () => {
    const world = new World();
    world.run(parse(hogs));
    world.pass(2n);
    world.close();
    const other = { ...later, contract: "OTHER" };
    const [taken] = world.plan(parse(other));
    assert.deepEqual([taken?.action, taken?.from], ["wait", START + 10n * DAY]);
    assert.throws(() => world.plan(parse({ ...other, lastTradingTime: Number(START + 10n * DAY) })), {
      code: "BadMarketSchedule",
      message: /slot 0 is another contract's until after its last trading time/,
    });
    const elsewhere = world.plan(parse({ ...other, slot: 1 })).map(({ slot, name, action }) => [slot, name, action]);
    assert.deepEqual(elsewhere, [[0, "HOGS A", "unpublished"]], "the world has one slot");
    const rising = [
      { date: "2020-01-01", maintenance: 3_000 },
      { date: dayOf(world.now + DAY), maintenance: 5_000 },
      { date: dayOf(world.now + 2n * DAY), maintenance: 5_500 },
    ];
    const schedule = parse({ ...hogs, margins: rising });
    world.run(schedule);
    const [pending] = world.plan(schedule);
    assert.deepEqual([pending?.action, pending?.moreSteps], ["pending", true]);
    // The next row is due before the step is in force: the step is not replaced.
    world.pass(0n, DAY / 2n);
    assert.deepEqual(
      world.plan(schedule).map(({ action }) => action),
      ["wait"],
    );
    // What was scheduled by mistake is.
    world.slip({ fillFee: 3n * DOLLAR });
    const [replacing] = world.plan(schedule);
    assert.deepEqual([replacing?.action, replacing?.reason], ["change", "it replaces what was scheduled"]);
  });

  const rowsOf = fc.array(fc.tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 40, max: 900 })), {
    maxLength: 8,
  });
  const histories = fc.record({
    ends: fc.array(fc.integer({ min: 4, max: 12 }), { minLength: 1, maxLength: 3 }),
    rows: rowsOf,
    delay: fc.constantFrom(DAY + 3_600n, 2n * DAY, (5n * DAY) / 2n),
    runs: fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 45, maxLength: 45 }),
  });

  test("comes to the registry and the house whenever somebody runs it, once or twice a day or not at all [GOV-4, GOV-10, GOV-11]", () => {
    fc.assert(
      fc.property(histories, ({ ends, rows, delay, runs }) => {
        const byDay = new Map([[0, 300], ...rows.toSorted(([a], [b]) => a - b)]);
        const margins = [...byDay].map(([day, tens]) => ({
          date: dayOf(START + BigInt(day - 3) * DAY),
          maintenance: tens * 10,
        }));
        let end = START;
        const contracts = ends.map((days, i) => {
          end += BigInt(days) * DAY;
          return { ...hogs, contract: `HOGS ${i}`, lastTradingTime: Number(end), margins };
        });
        const schedule = parse(...contracts);
        assertSound(schedule, START, "s.json");
        const world = new World(delay);
        for (const times of runs) {
          for (let i = 0; i < times; i++) {
            world.run(schedule);
            // At once again: nothing is left to send.
            assert.deepEqual(world.missing(schedule), []);
          }
          world.pass(1n);
          world.close();
        }
        // All has happened: the last contract runs as published, or is over.
        for (let day = 0; day < 8; day++) {
          if (world.now >= end) break;
          world.run(schedule);
          world.pass(1n);
          world.close();
        }
        if (world.now >= end) assert.equal(world.runningName, undefined);
      }),
      { numRuns: 60 },
    );
  });

  test("is in force in full when its margins have been quiet for the time of two steps [GOV-4, GOV-10]", () => {
    fc.assert(
      fc.property(fc.integer({ min: 40, max: 900 }), fc.integer({ min: 40, max: 900 }), (before, after) => {
        const margins = [
          { date: "2020-01-01", maintenance: before * 10 },
          { date: dayOf(START + 5n * DAY), maintenance: after * 10 },
        ];
        const schedule = parse({ ...hogs, lastTradingTime: Number(START + 60n * DAY), margins });
        const world = new World();
        for (let day = 0; day < 12; day++) {
          world.run(schedule);
          world.pass(1n);
          world.close();
        }
        const target = widthsFor({ maintenance: BigInt(after) * TICK, initial: undefined }, TICK);
        const { priceLimit, expandedLimit, closeOutFee, maintenanceMargin, initialMargin } = world.market;
        assert.deepEqual({ priceLimit, expandedLimit, closeOutFee, maintenanceMargin, initialMargin }, target);
      }),
      { numRuns: 40 },
    );
  });
});

function noFile(): string {
  throw new Error("no file is named");
}

function resolved(name: string): string {
  return readFileSync(`${import.meta.dirname}/../../scripts/examples/${name}`, "utf8");
}

const NOTHING: MarketTerms = {
  contractId: `0x${"00".repeat(32)}`,
  listingPrice: 0n,
  tick: 0n,
  priceLimit: 0n,
  expandedLimit: 0n,
  maintenanceMargin: 0n,
  initialMargin: 0n,
  closeOutFee: 0n,
  fillFee: 0n,
  minimumVolume: 0,
  minimumMinutes: 0,
  lastTradingTime: 0n,
  priceCollar: 0n,
  ...NO_FEED,
};

type Entry = { inForce: MarketTerms; pending: SlotState["pending"]; running: EpochMarket | undefined };

/** A registry and a clearing house as the contracts have them, of slot 0, with a clock that a test moves. */
class World {
  now = START;
  readonly #delay: bigint;
  readonly #entry: Entry = { inForce: NOTHING, pending: undefined, running: undefined };

  constructor(delay = DAY) {
    this.#delay = delay;
  }

  pass(days: bigint, seconds = 0n): void {
    this.now += days * DAY + seconds;
    const { pending } = this.#entry;
    if (pending === undefined || pending.effectiveAt > this.now) return;
    this.#entry.inForce = pending.terms;
    this.#entry.pending = undefined;
  }

  plan(schedule: MarketSchedule): readonly PlannedStep[] {
    return planSchedule(schedule, [this.#entry], { now: this.now, delay: this.#delay }, "s.json");
  }

  missing(schedule: MarketSchedule): readonly PlannedStep[] {
    return this.plan(schedule).filter(({ action }) => action === "list" || action === "change");
  }

  run(schedule: MarketSchedule): void {
    for (const { terms } of this.missing(schedule)) this.#schedule(terms);
  }

  slip(change: Partial<MarketTerms>): void {
    this.#schedule({ ...this.#entry.inForce, ...change });
  }

  /** As MarketRegistry.scheduleMarket. */
  #schedule(terms: MarketTerms): void {
    const { inForce } = this.#entry;
    assert.equal(faultOf(terms), undefined);
    if (inForce.contractId === terms.contractId) {
      assert.deepEqual([terms.tick, terms.lastTradingTime], [inForce.tick, inForce.lastTradingTime]);
      assert.ok(mayFollow(inForce, terms));
    } else {
      assert.ok(terms.lastTradingTime > this.now);
    }
    this.#entry.pending = { terms, effectiveAt: this.now + this.#delay };
  }

  /** As ClearingCycle.close; contracts end by themselves. */
  close(): void {
    const { inForce, running } = this.#entry;
    if (running !== undefined && running.lastTradingTime > this.now) {
      if (inForce.contractId !== running.contractId) return;
      // What the clerk published was never more than a step away from what runs.
      assert.ok(mayFollow(running, inForce));
    } else if (inForce.contractId === running?.contractId || inForce.lastTradingTime <= this.now) {
      this.#entry.running = undefined;
      return;
    }
    this.#entry.running = {
      ...inForce,
      listed: true,
      centre: inForce.listingPrice,
      dailyLimit: inForce.priceLimit,
      settlementPrice: 0n,
      expired: false,
      tornUp: false,
      closingOnly: false,
    };
  }

  get market(): EpochMarket {
    const { running } = this.#entry;
    assert.ok(running !== undefined);
    return running;
  }

  /** Name of the contract that runs. */
  get runningName(): string | undefined {
    const { running } = this.#entry;
    if (running === undefined) return undefined;
    return ["HOGS A", "HOGS B", "HOGS 0", "HOGS 1", "HOGS 2"].find((name) => contractIdOf(name) === running.contractId);
  }
}
