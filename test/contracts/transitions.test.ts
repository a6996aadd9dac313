import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { numberToHex } from "viem";
import { generatePrivateKey } from "viem/accounts";
import { SLEEPERS } from "../../src/chain/chainState.ts";
import { type ProvenTransition, refusalOf, transitionMessage } from "../../src/chain/clearingHouse.ts";
import { DOLLAR, LEAN_HOG_TERMS } from "../../src/clearing/leanHogs.ts";
import { type Action, relayFeeOf, showsSeat, type TicketOpening } from "../../src/protocol/action.ts";
import type { ErrorDetails } from "../../src/protocol/errors.ts";
import { zeroNote } from "../../src/protocol/note.ts";
import { fresh, freshAddress, type RawOpening, type RawTicket, startDesk } from "../support/desk.ts";

// What the contract checks beside the proof, tried with transitions that no note stands behind.

const { listingPrice: CENTRE, maintenanceMargin, initialMargin } = LEAN_HOG_TERMS;
const LARGEST_CASH = 2n ** 119n - 1n;

const desk = await startDesk();
const { x, house } = desk;
const { relayFee } = x.terms;
const bystander = await x.fundedSender(10_000n * DOLLAR);
const SEAT = fresh();
const TO = freshAddress();

await desk.fillPool(10_000_000n);
const [ticket, other] = (await desk.openRaw(0, { cash: 9_000n * DOLLAR }, { cash: 1_000n * DOLLAR })) as [
  RawTicket,
  RawTicket,
];
const credit = await desk.newCredit(700n);

const opening = (over: Partial<TicketOpening> = {}): TicketOpening => ({
  sessionKey: freshAddress(),
  cash: 5_000n * DOLLAR,
  position: 0,
  reduceOnly: false,
  ...over,
});

/** An opening that pays its fee. */
function openTicket(tickets: readonly TicketOpening[], slot = 0): Action {
  const action: Action = { name: "openTicket", slot, relayFee: 0n, tickets };
  return { ...action, relayFee: relayFeeOf(action, relayFee) };
}

const withdraw = (over: Partial<Action & { name: "withdraw" }> = {}): Action => ({
  name: "withdraw",
  to: TO,
  amount: DOLLAR,
  relayFee,
  ...over,
});

/** A position with exactly its margin at a half-width, and a little more or less. */
const carrying = (position: number, halfWidth: bigint, more = 0n): Partial<TicketOpening> & RawOpening => {
  const p = BigInt(position);
  return { position, cash: -(p * CENTRE) + (p < 0n ? -p : p) * halfWidth + more };
};
const reduceOnly = (position: number, more = 0n) => ({
  ...carrying(position, maintenanceMargin, more),
  reduceOnly: true,
});

const REFUSED: readonly (readonly [
  what: string,
  rule: string,
  code: string,
  action: Action,
  details?: ErrorDetails,
])[] = [
  ["no relay fee", "FEE-1", "WrongRelayFee", withdraw({ relayFee: 0n }), { given: 0n, required: relayFee }],
  ["a relay fee of one unit too much", "FEE-1", "WrongRelayFee", withdraw({ relayFee: relayFee + 1n })],
  [
    "one relay fee for two tickets",
    "FEE-1",
    "WrongRelayFee",
    { ...openTicket([opening(), opening()]), relayFee } as Action,
    { given: relayFee, required: 2n * relayFee },
  ],
  ["a withdrawal of nothing", "PAY-1", "ZeroAmount", withdraw({ amount: 0n })],
  ["a withdrawal to nobody", "PAY-1", "BadRecipient", withdraw({ to: "0x0000000000000000000000000000000000000000" })],
  [
    "a withdrawal to the clearing house",
    "PAY-1",
    "BadRecipient",
    withdraw({ to: x.chain.address }),
    { to: x.chain.address },
  ],
  ["a transition without tickets", "TKT-9", "TicketCount", openTicket([]), { count: 0 }],
  ["nine tickets", "TKT-9", "TicketCount", openTicket(Array.from({ length: 9 }, () => opening())), { count: 9 }],
  ["slot 8", "TKT-9", "SlotOutOfRange", { ...openTicket([opening()]), slot: 8 } as Action, { slot: 8 }],
  ["slot 255", "TKT-9", "SlotOutOfRange", { ...openTicket([opening()]), slot: 255 } as Action],
  ["a slot without a contract", "TKT-16", "MarketNotListed", openTicket([opening()], 7), { slot: 7 }],
  [
    "a ticket for nobody",
    "TKT-9",
    "ZeroSessionKey",
    openTicket([opening({ sessionKey: "0x0000000000000000000000000000000000000000" })]),
  ],
  [
    "tickets that balance each other below zero",
    "TKT-3",
    "TicketInsolvent",
    openTicket([opening({ cash: 10n ** 12n }), opening({ cash: -(10n ** 12n) })]),
    { index: 1, equity: -(10n ** 12n) },
  ],
  [
    "positions that balance each other",
    "TKT-3",
    "TicketInsolvent",
    openTicket([opening({ position: 5, cash: 0n }), opening({ position: -5, cash: 0n })]),
    { index: 1 },
  ],
  [
    "a long ticket one unit short of margin",
    "TKT-4",
    "TicketInsolvent",
    openTicket([opening(carrying(3, initialMargin, -1n))]),
    { index: 0, equity: -1 },
  ],
  [
    "a short ticket one unit short of margin",
    "TKT-4",
    "TicketInsolvent",
    openTicket([opening(carrying(-3, initialMargin, -1n))]),
    { index: 0, equity: -1 },
  ],
  [
    "a ticket short of 2^31",
    "NUM-5",
    "PositionOutOfRange",
    openTicket([opening({ position: -(2 ** 31), cash: LARGEST_CASH })]),
  ],
  [
    "tickets of 2^31 contracts together",
    "NUM-5",
    "PositionOutOfRange",
    openTicket([1, 2].map(() => opening(carrying(2 ** 30, initialMargin)))),
    { position: -(2 ** 31) },
  ],
  [
    "tickets of more cash than there can be",
    "NUM-2",
    "AmountOutOfRange",
    openTicket(Array.from({ length: 8 }, () => opening({ cash: LARGEST_CASH }))),
  ],
  [
    "a reduce-only ticket that carries nothing",
    "TKT-12",
    "NotCarried",
    openTicket([opening({ reduceOnly: true, cash: 0n })]),
    { index: 0, position: 0 },
  ],
  [
    "reduce-only tickets of two sides",
    "TKT-12",
    "NotCarried",
    openTicket([opening(reduceOnly(1)), opening(reduceOnly(-1))]),
    { index: 1, position: -1 },
  ],
  [
    "a reduce-only ticket beyond its initial margin",
    "TKT-12",
    "TicketOverfunded",
    openTicket([opening({ ...carrying(-2, initialMargin, 1n), reduceOnly: true })]),
    { index: 0, equity: 1 },
  ],
  [
    "a reduce-only ticket below its maintenance margin",
    "TKT-12",
    "TicketInsolvent",
    openTicket([opening(reduceOnly(2, -1n))]),
    { equity: -1 },
  ],
  [
    "a reduce-only ticket at maintenance beside one that is not",
    "TKT-12",
    "TicketInsolvent",
    openTicket([opening(reduceOnly(2)), opening()]),
    { index: 0 },
  ],
  [
    "closing into slot 8",
    "ACT-6",
    "SlotOutOfRange",
    { name: "closeTicket", ticketId: ticket.ticketId, slot: 8, cash: 0n, position: 0, relayFee },
    { slot: 8 },
  ],
  [
    "closing a seat to nobody",
    "SEA-10",
    "BadRecipient",
    { name: "closeSeat", asleep: false, to: "0x0000000000000000000000000000000000000000", relayFee },
  ],
  [
    "closing a seat to the clearing house",
    "SEA-10",
    "BadRecipient",
    { name: "closeSeat", asleep: false, to: x.chain.address, relayFee },
  ],
];

describe("one transition in a batch", () => {
  for (const [what, rule, code, action, details] of REFUSED) {
    test(`${what} is refused and changes nothing [${rule}]`, async () => {
      const transition = await desk.raw(action, { seat: showsSeat(action.name) ? SEAT : 0n });
      await desk.refuses(() => desk.batch([transition]), code, details);
    });
  }

  for (const tree of [0n, 1n, BigInt(x.state.epoch) + 1n, SLEEPERS]) {
    test(`a root that tree ${tree} never had is refused [ACT-5]`, async () => {
      const [, root] = await house.read.treeOf([tree]);
      const transition = await desk.raw(withdraw(), { root: tree === 1n ? root + 1n : root });
      await desk.refuses(() => desk.batch([transition]), "UnknownRoot", { tree: x.state.epoch });
    });
  }

  test("the seat is shown by exactly the actions that need it [ACT-2]", async () => {
    const shown = await desk.raw(withdraw(), { seat: SEAT });
    await desk.refuses(() => desk.batch([shown]), "SeatNotAllowed", { action: 6 });
    const hidden = await desk.raw({ name: "sleep", relayFee });
    await desk.refuses(() => desk.batch([hidden]), "SeatRequired", { action: 8 });
  });

  test("a seat closes over nothing but its zero note [ACT-9]", async () => {
    const newNote = fresh();
    const transition = await desk.raw({ name: "closeSeat", asleep: false, to: TO, relayFee }, { seat: SEAT, newNote });
    const details = { newNote, zeroNote: zeroNote(SEAT) };
    await desk.refuses(() => desk.batch([transition]), "NewNoteNotEmpty", details);
  });
});

describe("a batch", () => {
  test("comes from the operator only [BAT-1]", async () => {
    await desk.refuses(() => desk.batch([], [], [], { by: bystander }), "NotOperator", { caller: bystander.address });
  });

  test("carries the next number only [BAT-1]", async () => {
    const [, , next] = await house.read.clock();
    for (const batchNumber of [0, next - 1, next + 1]) {
      const over = { batchNumber };
      await desk.refuses(() => desk.batch([], [], [], over), "WrongBatchNumber", {
        expected: batchNumber,
        current: next,
      });
    }
  });

  test("has no entering transition behind a leaving one [BAT-2]", async () => {
    const [leaving, entering] = [await desk.raw(withdraw()), await desk.rawFund(credit)];
    await desk.refuses(() => desk.batch([leaving, entering]), "EnteringAfterLeaving", { index: 1 });
  });

  test("goes on past what it skips, and leaves zero leaves there [BAT-10, TRE-2]", async () => {
    await desk.rollback(async () => {
      const [late, good] = [await desk.rawFund({ ...credit, creditId: 5n }), await desk.rawFund(credit)];
      await desk.batch([late, good]);
      assert.equal(await house.read.isSpent([late.nullifier]), false);
      assert.equal(await house.read.isSpent([good.nullifier]), true);
      const appended = x.state.events.filter(({ eventName }) => eventName === "NotesAppended").at(-1);
      assert.ok(appended?.eventName === "NotesAppended");
      assert.deepEqual(appended.args.leaves, [0n, good.newNote]);
    });
  });
});

describe("releases", () => {
  type Made = readonly [what: string, rule: string, code: string, build: () => Promise<ProvenTransition>];
  const moved = (transition: ProvenTransition, nullifier = fresh()): ProvenTransition => ({ ...transition, nullifier });
  const cases: readonly Made[] = [
    [
      "of a credit, replayed into the thief's note",
      "CRE-2",
      "WrongSigner",
      async () => ({ ...(await desk.rawFund(credit)), newNote: fresh() }),
    ],
    ["of a credit, with another spent note", "CRE-2", "WrongSigner", async () => moved(await desk.rawFund(credit))],
    [
      "of a credit by another key",
      "CRE-2",
      "WrongSigner",
      () => desk.rawFund({ ...credit, key: generatePrivateKey() }),
    ],
    [
      "of a ticket, replayed into the thief's note",
      "TKT-7",
      "WrongSigner",
      async () => ({ ...(await desk.rawClose(ticket)), newNote: fresh() }),
    ],
    ["of a ticket, with another spent note", "TKT-7", "WrongSigner", async () => moved(await desk.rawClose(ticket))],
    ["of a ticket by the key of another", "TKT-7", "WrongSigner", () => desk.rawClose({ ...ticket, key: other.key })],
    [
      "that is missing",
      "TKT-7",
      "ECDSAInvalidSignatureLength",
      async () => ({ ...(await desk.rawClose(ticket)), signature: "0x" }),
    ],
    [
      "that is no signature",
      "TKT-7",
      "ECDSAInvalidSignature",
      async () => ({ ...(await desk.rawClose(ticket)), signature: numberToHex(1n, { size: 65 }) }),
    ],
    [
      "in the other of its two forms",
      "TKT-7",
      "ECDSAInvalidSignatureS",
      async () => {
        const transition = await desk.rawClose(ticket);
        return { ...transition, signature: mirrored(transition.signature) };
      },
    ],
  ];
  for (const [what, rule, code, build] of cases) {
    test(`a release ${what} is refused and changes nothing [${rule}]`, async () => {
      const transition = await build();
      await desk.refuses(() => desk.batch([transition]), code);
    });
  }

  test("a release of one ticket does not close another with the same contents [TKT-7]", async () => {
    await desk.rollback(async () => {
      const [mine, theirs] = (await desk.openRaw(0, { cash: DOLLAR }, { cash: DOLLAR })) as [RawTicket, RawTicket];
      const { signature, ...transition } = await desk.rawClose(mine);
      const action = { ...transition.action, ticketId: theirs.ticketId } as Action;
      await desk.refuses(() => desk.batch([{ ...transition, action, signature }]), "WrongSigner");
    });
  });
});

describe("what the chain has overtaken is skipped", () => {
  test("a nullifier is spent once, across batches and inside one [ACC-8]", async () => {
    await desk.rollback(async () => {
      const transition = await desk.raw(withdraw());
      const again = { ...(await desk.raw(withdraw())), nullifier: transition.nullifier };
      await desk.batch([transition, again]);
      assert.equal((await desk.skips([again], "NullifierSpent")).status, "success");
      const funding = await desk.rawFund(credit);
      await desk.skips([{ ...funding, nullifier: transition.nullifier }], "NullifierSpent");
    });
  });

  test("a credit is absorbed whole and once [CRE-2, CRE-3]", async () => {
    await desk.rollback(async () => {
      await desk.skips([await desk.rawFund({ ...credit, amount: credit.amount - 1n })], "CreditUnavailable");
      await desk.skips([await desk.rawFund({ ...credit, amount: credit.amount + 1n })], "CreditUnavailable");
      await desk.skips([await desk.rawFund({ ...credit, creditId: credit.creditId + 1n })], "CreditUnavailable");
      await desk.batch([await desk.rawFund(credit)]);
      await desk.skips([await desk.rawFund(credit)], "CreditUnavailable");
    });
  });

  test("a ticket closes only with what it holds, and once [TKT-11]", async () => {
    await desk.rollback(async () => {
      const closing = await desk.rawClose(ticket);
      const changed = (over: object): ProvenTransition => ({
        ...closing,
        action: { ...closing.action, ...over },
      });
      for (const over of [
        { cash: 9_000n * DOLLAR - 1n },
        { position: 1 },
        { slot: 1 },
        { ticketId: numberToHex(9, { size: 32 }) },
      ]) {
        await desk.skips([changed(over)], "TicketUnavailable");
      }
      const { buckets } = await desk.fingerprint();
      await desk.batch([closing]);
      assert.equal((await house.read.buckets()).ticketCash, buckets.ticketCash - 9_000n * DOLLAR);
      await desk.skips([await desk.rawClose({ ...ticket })], "TicketUnavailable");
      await desk.skips([{ ...closing, nullifier: fresh() }], "TicketUnavailable");
    });
  });

  test("a ticket of the present epoch is not claimed [TKT-13]", async () => {
    const action: Action = { name: "claimTicket", ticketId: ticket.ticketId, claim: 9_000n * DOLLAR, relayFee };
    await desk.rollback(async () => {
      await desk.skips([await desk.raw(action)], "TicketUnavailable");
    });
  });

  test("a seat that is not live neither sleeps nor closes [SEA-7, SEA-10]", async () => {
    await desk.rollback(async () => {
      await desk.skips([await desk.raw({ name: "sleep", relayFee }, { seat: SEAT })], "SeatUnavailable");
      const closing: Action = { name: "closeSeat", asleep: false, to: TO, relayFee };
      await desk.skips([await desk.raw(closing, { seat: SEAT, newNote: zeroNote(SEAT) })], "SeatUnavailable");
    });
  });

  test("nothing leaves a pool that cannot bear it, to the unit [CON-4]", async () => {
    await desk.rollback(async () => {
      const cover = await house.read.poolCover();
      const least = { cash: cover - relayFee + 1n };
      await desk.skips([(await desk.rawOpening(0, [least])).transition], "PoolShort");
      await desk.skips([await desk.raw(withdraw({ amount: least.cash }))], "PoolShort");
      await desk.batch([await desk.raw(withdraw({ amount: least.cash - 1n }))]);
      assert.equal(await house.read.poolCover(), 0n);
      await desk.skips([await desk.raw(withdraw({ amount: 1n }))], "PoolShort");
      // A ticket still comes back into an empty pool (spec CON-5).
      await desk.batch([await desk.rawClose(ticket)]);
    });
  });

  test("the pool's contracts count at the worse limit in its cover [CON-3]", async () => {
    for (const position of [5, -5]) {
      await desk.rollback(async () => {
        const cover = await house.read.poolCover();
        const made = carrying(position, initialMargin);
        await desk.openRaw(0, made);
        // The pool has the other side. At the worse limit it owes the ticket's margin less the limit.
        const owed = 5n * (initialMargin + LEAN_HOG_TERMS.priceLimit);
        assert.equal(await house.read.poolCover(), cover - relayFee - owed);
      });
    }
  });
});

describe("direct calls", () => {
  test("skip as batches do, and are refused only if nothing took effect [BAT-14]", async () => {
    await desk.rollback(async () => {
      await desk.close();
      const copied = await desk.raw({ name: "withdraw", to: TO, amount: DOLLAR, relayFee: 0n });
      const mine = await desk.rawFund(credit, 0n);
      await desk.direct(bystander, copied);
      await desk.direct(bystander, copied, mine);
      assert.equal((await house.read.creditOf([credit.creditId])).spent, true);
      await desk.refuses(() => desk.direct(bystander, copied, mine), "NotApplied", { reason: 1 });
      await desk.refuses(() => desk.direct(bystander), "NotApplied", { reason: 0 });
    });
  });

  test("pay no relay fee [FEE-1]", async () => {
    await desk.rollback(async () => {
      await desk.close();
      const transition = await desk.raw(withdraw());
      await desk.refuses(() => desk.direct(bystander, transition), "WrongRelayFee", { given: relayFee, required: 0 });
    });
  });
});

// ------------------------------------------------------------------ phases

const T = "accepted";
const W = "WrongPhase";
const R = "RelayedOnly";
const D = "DirectOnly";

/** By action: in a batch and direct, while Trading, in part A and in part B of the Window. */
const PHASES: readonly (readonly [action: Action, trading: string, partA: string, partB: string])[] = [
  [{ name: "fund", creditId: 1n, amount: 1n, relayFee }, `${T} ${R}`, `${T} ${T}`, `${W} ${W}`],
  [openTicket([opening()]), `${T} ${R}`, `${W} ${W}`, `${W} ${W}`],
  [
    { name: "closeTicket", ticketId: numberToHex(1, { size: 32 }), slot: 0, cash: 0n, position: 0, relayFee },
    `${T} ${R}`,
    `${T} ${T}`,
    `${W} ${W}`,
  ],
  [
    { name: "claimTicket", ticketId: numberToHex(1, { size: 32 }), claim: 0n, relayFee },
    `${T} ${R}`,
    `${T} ${T}`,
    `${W} ${W}`,
  ],
  [withdraw(), `${T} ${R}`, `${T} ${T}`, `${W} ${W}`],
  [{ name: "renew", relayFee }, `${W} ${W}`, `${W} ${W}`, `${T} ${T}`],
  [{ name: "sleep", relayFee }, `${T} ${R}`, `${W} ${W}`, `${T} ${T}`],
  [{ name: "wake" }, `${D} ${T}`, `${W} ${W}`, `${W} ${W}`],
  [{ name: "rejoin", defaultEpoch: 1, flat: true }, `${D} ${T}`, `${W} ${W}`, `${W} ${W}`],
  [{ name: "exit", defaultEpoch: 1, flat: true, to: TO, equity: 0n }, `${D} ${T}`, `${D} ${T}`, `${D} ${T}`],
  [{ name: "closeSeat", asleep: false, to: TO, relayFee }, `${T} ${R}`, `${W} ${W}`, `${T} ${T}`],
  [{ name: "closeSeat", asleep: true, to: TO, relayFee }, `${T} ${T}`, `${W} ${W}`, `${T} ${T}`],
];

describe("phases", () => {
  /** What the chain would say to a transition that is overtaken anyway: a skip counts as accepted. */
  const outcome = async (transition: ProvenTransition, relayed: boolean): Promise<string> => {
    const [messages, proofs] = [[transitionMessage(transition)], [transition.proof]];
    const [, , next] = await house.read.clock();
    const logHead = numberToHex(0, { size: 32 });
    const calling = relayed
      ? house.simulate.submitBatch([next, messages, proofs, [], [], logHead], { account: x.operator.address })
      : house.simulate.submitTransitions([messages, proofs], { account: bystander.address });
    const code = await calling.then(
      () => T,
      (error: unknown) => refusalOf(error).code,
    );
    return code === "NotApplied" ? T : code;
  };

  const inBothWays = async (action: Action): Promise<string> => {
    const asleep = action.name === "wake" || (action.name === "closeSeat" && action.asleep);
    const tree = asleep ? SLEEPERS : action.name === "rejoin" || action.name === "exit" ? 1n : BigInt(x.state.epoch);
    const seat = showsSeat(action.name) ? fresh() : 0n;
    const newNote = seat === 0n ? fresh() : zeroNote(seat);
    const relayed = await desk.raw(action, { tree, seat, newNote });
    const direct = "relayFee" in action ? { ...relayed, action: { ...action, relayFee: 0n } } : relayed;
    return `${await outcome(relayed, true)} ${await outcome(direct, false)}`;
  };

  const expectAll = async (column: 1 | 2 | 3): Promise<void> => {
    for (const row of PHASES) {
      assert.equal(
        await inBothWays(row[0]),
        row[column],
        row[0].name + JSON.stringify("asleep" in row[0] && row[0].asleep),
      );
    }
  };

  test("each action is taken in its phases only, in a batch or direct [ACT-1, ACT-3, ACT-4]", async () => {
    await desk.rollback(async () => {
      const [sleeper, renewing] = [await desk.newTrader(10n), await desk.newTrader(10n)];
      await desk.batch([await sleeper.account.sleep()]);
      await desk.nextDay([renewing]);
      await expectAll(1);
      await desk.close();
      await expectAll(2);
      await desk.toPartB();
      await expectAll(3);
    });
  });

  test("part B needs both its seconds and its blocks [EPO-5]", async () => {
    await desk.rollback(async () => {
      const renewing = await desk.newTrader(10n);
      await desk.close();
      await x.advanceTime(x.terms.windowA);
      const early = await renewing.account.renew();
      await desk.refuses(() => desk.direct(bystander, early), "WrongPhase", { windowPartB: false });
      await x.mine(x.terms.windowBlocks);
      await desk.direct(bystander, early);
    });
  });
});

describe("roots", () => {
  test("each tree's roots serve its own actions, and those of e + 1 only from its opening on [TRE-5, TRE-7, ACT-5]", async () => {
    await desk.rollback(async () => {
      const [sleeper, first, second] = [
        await desk.newTrader(10n),
        await desk.newTrader(10n),
        await desk.newTrader(10n),
      ];
      const oldest = (await house.read.treeOf([1n]))[1];
      await desk.batch([await sleeper.account.sleep()]);
      await desk.close();
      const tooEarly = await desk.raw(withdraw(), { tree: 2n });
      await desk.toPartB();
      await desk.direct(bystander, await first.account.renew());
      const partial = (await house.read.treeOf([2n]))[1];
      await desk.direct(bystander, await second.account.renew());
      const newest = (await house.read.treeOf([2n]))[1];
      for (const root of [partial, newest]) assert.equal(await house.read.isRoot([2n, root]), false);
      const again = await desk.raw({ name: "renew", relayFee }, { seat: first.account.keys.ownerKey, root: newest });
      await desk.refuses(() => desk.batch([again]), "UnknownRoot", { tree: 1 });
      await desk.open();

      const asleep = (await house.read.treeOf([SLEEPERS]))[1];
      for (const root of [oldest, partial, asleep, tooEarly.root]) {
        const transition = await desk.raw(withdraw(), { root });
        await desk.refuses(() => desk.batch([transition]), "UnknownRoot", { tree: 2, root });
      }
      const seat = sleeper.account.keys.ownerKey;
      const wakes = await desk.raw({ name: "wake" }, { seat, root: newest });
      await desk.refuses(() => desk.direct(bystander, wakes), "UnknownRoot", { tree: SLEEPERS });
      const rejoins = await desk.raw({ name: "rejoin", defaultEpoch: 1, flat: true }, { seat, root: newest });
      await desk.refuses(() => desk.direct(bystander, rejoins), "UnknownRoot", { tree: 1 });
      for (const defaultEpoch of [2, 3]) {
        const present = await desk.raw({ name: "rejoin", defaultEpoch, flat: true }, { seat });
        await desk.refuses(() => desk.direct(bystander, present), "NotInDefault", { defaultEpoch, epoch: 2 });
      }
      await desk.batch([await desk.raw(withdraw(), { root: newest })]);
    });
  });

  test("every root of the day stays good for the day [TRE-6]", async () => {
    await desk.rollback(async () => {
      const old = await desk.raw(withdraw());
      for (let i = 0; i < 5; i++) await desk.batch([await desk.raw(withdraw())]);
      await desk.batch([old]);
      assert.equal(await house.read.isSpent([old.nullifier]), true);
    });
  });
});

/** The second signature that holds for the same message: s becomes n - s. */
function mirrored(signature: `0x${string}`): `0x${string}` {
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
  const s = order - BigInt(`0x${signature.slice(66, 130)}`);
  const v = signature.slice(130) === "1b" ? "1c" : "1b";
  return `0x${signature.slice(2, 66)}${s.toString(16).padStart(64, "0")}${v}`;
}
