import assert from "node:assert/strict";
import { after, test } from "node:test";
import { decodeEventLog, decodeFunctionData, encodeFunctionData } from "viem";
import fc from "fast-check";
import { deposit } from "../../src/chain/clearingHouse.ts";
import { DOLLAR, LEAN_HOG_TERMS } from "../../src/clearing/leanHogs.ts";
import { clearingHouseAbi } from "../../src/protocol/abi.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import type { Hex } from "../../src/protocol/keys.ts";
import { tokenMoveOf } from "../../src/verify/events.ts";
import { ChainContradiction } from "../../src/verify/errors.ts";
import type { History, LogRecord, Step } from "../../src/verify/history.ts";
import { endProofs, readVerifyingKey } from "../../src/verify/proofs.ts";
import { readHistory } from "../../src/verify/readHistory.ts";
import { lastWholeDay, verifyDays } from "../../src/verify/verdict.ts";
import { freshAddress, startDesk } from "../support/desk.ts";

// A day with real proofs, recorded as plain data. Everything after that is about the record alone.

const { listingPrice: CENTRE, minimumVolume } = LEAN_HOG_TERMS;
const key = await readVerifyingKey();
after(endProofs);
const history = await recordDay();

async function recordDay(): Promise<History> {
  const desk = await startDesk({ proven: true });
  const { x } = desk;
  const [alice, bob] = [await desk.newTrader(60_000n), await desk.newTrader(60_000n)];
  const ticketOf = async ({ account }: typeof alice, side: "buy" | "sell") => {
    const trade = { side, price: CENTRE, quantity: BigInt(minimumVolume) };
    const { transition, tickets } = await account.openTickets(0, [account.ticketFor(0, trade)]);
    await desk.batch([transition]);
    const [ticket] = tickets;
    assert.ok(ticket !== undefined);
    const terms = { side, limitPrice: CENTRE, quantity: minimumVolume, expiry: 4_000_000_000n };
    return { ...ticket, order: await account.signOrder(ticket.ticketId, { ...terms, timeInForce: "GTC" as const }) };
  };
  const [bought, sold] = [await ticketOf(alice, "buy"), await ticketOf(bob, "sell")];
  const orders = [sold.order, bought.order];
  await desk.batch([], orders, [
    await desk.fill({ price: CENTRE, quantity: 2 }),
    await desk.fill({ price: CENTRE, quantity: minimumVolume - 2, n: 1 }),
  ]);
  await desk.batch([
    await alice.account.closeTicket(bought.ticketId),
    await bob.account.withdraw(freshAddress(), DOLLAR),
  ]);
  const { sender } = alice;
  await deposit(x.chain, sender, DOLLAR, freshAddress());
  // Bob's ticket is left over; alice renews, and bob does not.
  await desk.nextDay([alice]);
  return readHistory({ url: x.url, clearingHouse: x.chain.address, fromBlock: 0n, keyHash: key.hash });
}

const verify = (record: History) => verifyDays(record, key, { first: 1, last: 1 });

/** The record with some steps changed; undefined takes one away. */
function changed(change: (step: Step, i: number) => Step | undefined, record = history): History {
  return { ...record, steps: record.steps.flatMap((step, i) => change(step, i) ?? []) };
}

type HouseCall = ReturnType<typeof decodeFunctionData<typeof clearingHouseAbi>>;

/** Changes the calldata of the first call of a function for which `change` gives other arguments. */
function recalled(name: string, change: (call: HouseCall) => HouseCall | undefined): History {
  let done = false;
  return changed((step) => {
    if (done || step.to !== history.clearingHouse) return step;
    const call = decodeFunctionData({ abi: clearingHouseAbi, data: step.input });
    const other = call.functionName === name ? change(call) : undefined;
    if (other === undefined) return step;
    done = true;
    return { ...step, input: encodeFunctionData({ abi: clearingHouseAbi, ...other }) };
  });
}

/** Changes the logs of the first step in which `isMeant` finds one. */
function relogged(isMeant: (log: LogRecord) => boolean, change: (log: LogRecord) => readonly LogRecord[]): History {
  let done = false;
  return changed((step) => {
    const at = step.logs.findIndex(isMeant);
    if (done || at < 0) return step;
    done = true;
    return { ...step, logs: step.logs.flatMap((log, i) => (i === at ? change(log) : log)) };
  });
}

/** Name of an event of the house. */
function nameOf({ address, topics, data }: LogRecord): string | undefined {
  const [signature, ...rest] = topics;
  if (address !== history.clearingHouse || signature === undefined) return undefined;
  return decodeEventLog({ abi: clearingHouseAbi, topics: [signature, ...rest], data }).eventName;
}

const isEvent =
  (name: string) =>
  (log: LogRecord): boolean =>
    nameOf(log) === name;

/** Some hex with one bit of byte number `at` changed. */
function flipped(hex: Hex, at: number, bit = 0): Hex {
  const place = 2 + 2 * at;
  const byte = Number.parseInt(hex.slice(place, place + 2), 16) ^ (1 << bit);
  return `0x${hex.slice(2, place)}${byte.toString(16).padStart(2, "0")}${hex.slice(place + 2)}`;
}

const flippedData = (at: number) => (log: LogRecord) => [{ ...log, data: flipped(log.data, at) }];

test("a day with real proofs is verified, and its record is plain data [VER-1, VER-3]", async () => {
  const copy = JSON.parse(JSON.stringify(history)) as History;
  const done: string[] = [];
  assert.deepEqual(copy.otherCode, []);
  const { days, earlierProofs, notChecked } = await verifyDays(copy, key, { first: 1, last: 1 }, (i, n) => {
    done.push(`${i}/${n}`);
  });
  assert.deepEqual(done, ["0/7", "1/7", "2/7", "3/7", "4/7", "5/7", "6/7"]);
  assert.deepEqual(earlierProofs, { checked: 0, left: 0 });
  assert.match(notChecked.join(), /price-time priority.*log heads/);
  const [day] = days;
  assert.equal(day?.proofs, 7);
  assert.equal(day.fills, 2);
  assert.deepEqual(
    day.settlements.map(({ slot, tier, price }) => ({ slot, tier, price })),
    [{ slot: 0, tier: 2, price: CENTRE }],
  );
  assert.equal(day.totals.tokens.toString(), history.tokens);
  assert.equal(lastWholeDay(history), 1);
});

test("a day that is not over is not verified [VER-7]", async () => {
  await assert.rejects(verifyDays(history, key, { first: 2, last: 2 }), { code: "DayNotWhole" });
  const cut = { ...history, steps: history.steps.slice(0, -1) };
  await assert.rejects(verify(cut), { code: "DayNotWhole" });
  assert.throws(() => lastWholeDay(cut), { code: "DayNotWhole" });
});

test("a house that asks for no proofs is never called verified [VER-6]", async () => {
  const unproven = { ...history, holdsKey: false, otherCode: ["BatchVerifier"] };
  await assert.rejects(verify(unproven), { code: "HouseUnproven" });
  const { days, notChecked } = await verifyDays(unproven, key, { first: 1, last: 1, unproven: true });
  assert.equal(days[0]?.proofs, undefined);
  assert.match(notChecked[0] ?? "", /unproven/);
  assert.match(notChecked[1] ?? "", /^code: not what is compiled here: BatchVerifier;/);
});

// ------------------------------------------------------------------ one change each, and what names it

type Tampered = readonly [what: string, rule: string, message: RegExp, change: () => History];

const OTHER: readonly Tampered[] = [
  [
    "another price of a fill",
    "FIL-3",
    /fill 1 is at .*, its maker's price is/,
    () =>
      recalled("submitBatch", (call) => {
        if (call.functionName !== "submitBatch" || call.args[4].length === 0) return undefined;
        const [number, transitions, proofs, orders, fills, logHead] = call.args;
        const dearer = fills.map((fill) => ({ ...fill, price: fill.price + LEAN_HOG_TERMS.tick }));
        return { ...call, args: [number, transitions, proofs, orders, dearer, logHead] };
      }),
  ],
  [
    "another quantity of an order",
    "ORD-12",
    /order \d+ of ticket 0x\w+ is signed by/,
    () =>
      recalled("submitBatch", (call) => {
        if (call.functionName !== "submitBatch" || call.args[3].length === 0) return undefined;
        const [number, transitions, proofs, orders, fills, logHead] = call.args;
        const more = orders.map((order) => ({ ...order, quantity: order.quantity + 1 }));
        return { ...call, args: [number, transitions, proofs, more, fills, logHead] };
      }),
  ],
  [
    "another log head",
    "VER-4",
    /BatchSubmitted.logHead is/,
    () =>
      recalled("submitBatch", (call) => {
        if (call.functionName !== "submitBatch") return undefined;
        const [number, transitions, proofs, orders, fills, logHead] = call.args;
        return { ...call, args: [number, transitions, proofs, orders, fills, flipped(logHead, 0)] };
      }),
  ],
  [
    "a byte of a proof",
    "CIR-1",
    /proof 0 \(fund\): the proof does not hold/,
    () =>
      recalled("submitBatch", (call) => {
        if (call.functionName !== "submitBatch" || call.args[2].length === 0) return undefined;
        const [number, transitions, proofs, orders, fills, logHead] = call.args;
        const bent = proofs.map(({ a: [ax, ay], b, c }) => ({ a: [ax ^ 1n, ay] as const, b, c }));
        return { ...call, args: [number, transitions, bent, orders, fills, logHead] };
      }),
  ],
  [
    "the proofs of two transitions exchanged",
    "CIR-1",
    /proof 0 .*: the proof does not hold/,
    () =>
      recalled("submitBatch", (call) => {
        if (call.functionName !== "submitBatch" || call.args[2].length < 2) return undefined;
        const [number, transitions, proofs, orders, fills, logHead] = call.args;
        return { ...call, args: [number, transitions, proofs.toReversed(), orders, fills, logHead] };
      }),
  ],
  [
    "a root that never was",
    "TRE-6",
    /fund names root \d+, which tree 1 never had/,
    () =>
      recalled("submitBatch", (call) => {
        if (call.functionName !== "submitBatch" || call.args[1].length === 0) return undefined;
        const [number, transitions, proofs, orders, fills, logHead] = call.args;
        const others = transitions.map((each) => ({ ...each, root: each.root + 1n }));
        return { ...call, args: [number, others, proofs, orders, fills, logHead] };
      }),
  ],
  ["a leaf of a tree", "VER-4", /NotesAppended.leaves is/, () => relogged(isEvent("NotesAppended"), flippedData(127))],
  ["the price in a fill's event", "VER-4", /Filled.price is/, () => relogged(isEvent("Filled"), flippedData(191))],
  [
    "a settlement price",
    "VER-4",
    /SettlementPriced.price is/,
    () => relogged(isEvent("SettlementPriced"), flippedData(127)),
  ],
  [
    "a settlement's tier",
    "VER-4",
    /SettlementPriced.tier is/,
    () => relogged(isEvent("SettlementPriced"), flippedData(31)),
  ],
  ["the root of a day", "VER-4", /EpochOpened.root is/, () => relogged(isEvent("EpochOpened"), flippedData(63))],
  [
    "what left-over tickets are worth",
    "VER-4",
    /LeftOverTickets.claims is/,
    () => relogged(isEvent("LeftOverTickets"), flippedData(31)),
  ],
  [
    "an amount of tokens that came",
    "CON-1",
    /the token's transfers come to|is missing/,
    () => relogged((log) => tokenMoveOf(log) !== undefined, flippedData(31)),
  ],
  [
    "an event that is gone",
    "VER-4",
    /event BatchSubmitted is missing/,
    () => relogged(isEvent("BatchSubmitted"), () => []),
  ],
  [
    "an event that comes twice",
    "VER-4",
    /event BatchSubmitted is missing, Filled is in its place/,
    () => {
      const second = (log: LogRecord): boolean =>
        isEvent("Filled")(log) && BigInt(`0x${log.data.slice(66, 130)}`) === 1n;
      return relogged(second, (log) => [log, log]);
    },
  ],
  [
    "events in another order",
    "VER-4",
    /event CreditSpent is missing, BatchSubmitted is in its place/,
    () =>
      changed((step) =>
        step.logs.some(isEvent("CreditSpent")) ? { ...step, logs: [...step.logs].reverse().sort(creditLast) } : step,
      ),
  ],
  [
    "a batch by somebody else",
    "BAT-1",
    /posted a batch, but .* is the operator/,
    () =>
      changed((step) => (step.logs.some(isEvent("BatchSubmitted")) ? { ...step, from: history.clearingHouse } : step)),
  ],
  [
    "a day that was opened too early",
    "EPO-6",
    /the next day was opened at \d+, before/,
    () => changed((step, i) => (i === history.steps.length - 1 ? { ...step, time: step.time - 7_200 } : step)),
  ],
  [
    "a call that is gone",
    "VER-4|CON-1",
    /transfers come to/,
    () => changed((step) => (step.logs.some(isEvent("SeatOpened")) ? undefined : step)),
  ],
  ["tokens that the house does not hold", "CON-1", /but the house holds 5/, () => ({ ...history, tokens: "5" })],
  [
    "another clearing house",
    "VER-2",
    /holds no deployment of the house/,
    () => ({ ...history, clearingHouse: flipped(history.clearingHouse, 3), tokens: "0" }),
  ],
];

function creditLast(a: LogRecord, b: LogRecord): number {
  const rank = (log: LogRecord): number => (isEvent("CreditSpent")(log) ? 1 : 0);
  return rank(a) - rank(b);
}

for (const [what, rule, message, change] of OTHER) {
  test(`${what}: a contradiction that names it [VER-4, VER-5]`, async () => {
    const tampered = change();
    assert.notDeepEqual(tampered, history);
    const error = await verify(tampered).then(
      () => assert.fail("it was verified"),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof ChainContradiction, String(error));
    assert.match(error.message, message);
    assert.match(error.rule, new RegExp(`^(${rule})$`));
  });
}

// ------------------------------------------------------------------ any change

const deployed = history.steps.findIndex(({ to, logs }) => to === null && logs.some(isEvent("EpochOpened")));

/** What may be done to: the logs of calls, their calldata, and whole calls. `at` is a place that is folded into what there is. */
const HARMS = [
  "log bit",
  "topic bit",
  "log gone",
  "log twice",
  "log longer",
  "call bit",
  "call gone",
  "call twice",
] as const;
type Harm = {
  readonly kind: (typeof HARMS)[number];
  readonly step: number;
  readonly log: number;
  readonly at: number;
  readonly bit: number;
};

const harms: fc.Arbitrary<Harm> = fc.record({
  kind: fc.constantFrom(...HARMS),
  step: fc.integer({ min: deployed + 1, max: history.steps.length - 1 }),
  log: fc.nat(30),
  at: fc.nat(100_000),
  bit: fc.nat(7),
});

function harmed({ kind, step: number, log: place, at, bit }: Harm): History {
  return changed((step, i) => {
    if (i !== number) return step;
    const { logs, input } = step;
    const bent = (hex: Hex): Hex => flipped(hex, at % Math.max(1, (hex.length - 2) / 2), bit);
    const here = place % logs.length;
    const ofLog = (change: (log: LogRecord) => readonly LogRecord[]): Step => ({
      ...step,
      logs: logs.flatMap((log, j) => (j === here ? change(log) : log)),
    });
    switch (kind) {
      case "log bit":
        return ofLog((log) => [{ ...log, data: log.data === "0x" ? "0x01" : bent(log.data) }]);
      case "topic bit":
        return ofLog((log) => [
          { ...log, topics: log.topics.map((word, j) => (j === at % log.topics.length ? bent(word) : word)) },
        ]);
      case "log gone":
        return ofLog(() => []);
      case "log twice":
        return ofLog((log) => [log, log]);
      case "log longer":
        return ofLog((log) => [{ ...log, data: `${log.data}00` }]);
      case "call bit":
        return { ...step, input: bent(input) };
      case "call gone":
        return undefined;
      case "call twice":
        return step;
    }
  });
}

/** A bit of calldata that no contract looks at says nothing: padding, or another way to write the same. */
function isMeaningless({ kind, step: number }: Harm, record: History): boolean {
  const step = record.steps[number];
  if (kind !== "call bit" || step?.to !== history.clearingHouse) return false;
  try {
    const call = decodeFunctionData({ abi: clearingHouseAbi, data: step.input });
    return encodeFunctionData({ abi: clearingHouseAbi, ...call }) !== step.input;
  } catch {
    return false;
  }
}

test("no change of events or calldata is verified, whatever it is, and none is a crash [VER-4, VER-5]", async () => {
  await fc.assert(
    fc.asyncProperty(harms, async (harm) => {
      const bent = harmed(harm);
      const { step } = harm;
      const twice = [...bent.steps.slice(0, step + 1), ...bent.steps.slice(step)];
      const record = harm.kind === "call twice" ? { ...bent, steps: twice } : bent;
      // What comes after the opening of the next day is none of this one's.
      const isLater = harm.kind === "call twice" && step === history.steps.length - 1;
      if (isLater || isMeaningless(harm, record)) return;
      const error = await verify(record).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      assert.ok(error instanceof HedgerowError, `verified, or crashed: ${String(error)}`);
      assert.match(error.code, /^(ChainContradiction|DayNotWhole)$/);
    }),
    { numRuns: 60 },
  );
});
