import assert from "node:assert/strict";
import { test } from "node:test";
import { numberToHex } from "viem";
import { contextNow, valuationNow } from "../../src/chain/statement.ts";
import { deposit, type ProvenTransition } from "../../src/chain/clearingHouse.ts";
import { DOLLAR, LEAN_HOG_TERMS } from "../../src/clearing/leanHogs.ts";
import { type Action, changeOf, contextOf, showsSeat, type TicketOpening } from "../../src/protocol/action.ts";
import type { ErrorDetails } from "../../src/protocol/errors.ts";
import { FIELD_MODULUS } from "../../src/protocol/field.ts";
import { addressOf, creditPrivateKey, type Hex } from "../../src/protocol/keys.ts";
import { blindingOf, zeroNote } from "../../src/protocol/note.ts";
import type { Proof } from "../../src/protocol/proof.ts";
import {
  buildWitness,
  draftTransition,
  InsolventTransition,
  type TransitionInput,
} from "../../src/protocol/transition.ts";
import { ProverRefused } from "../../src/prover/prover.ts";
import { balanceNow } from "../support/balance.ts";
import { freshAddress, startDesk, type Trader } from "../support/desk.ts";
import { sharedProver } from "../support/prover.ts";
import { NO_PROOF } from "../support/unprovenExchange.ts";

// With the real verifier: what a proof must stop.

const { listingPrice: CENTRE, maintenanceMargin } = LEAN_HOG_TERMS;
const R = FIELD_MODULUS;

const desk = await startDesk({ proven: true });
const { x, house } = desk;
const { relayFee } = x.terms;
const prover = await sharedProver();

const [alice, mallory] = [await desk.newTrader(50_000n), await desk.newSeat(10_000n)];
const [to, thief] = [freshAddress(), freshAddress()];
const honest = await alice.account.withdraw(to, 1_000n * DOLLAR);

/** A transition that the trader's own program would not make, proven all the same. */
async function handMade(
  { account }: Trader,
  action: Action,
  over: { readonly input?: Partial<TransitionInput>; readonly contract?: Hex; readonly epoch?: number } = {},
): Promise<ProvenTransition> {
  const live = account.state.live;
  assert.ok(live !== undefined);
  const draft = draftTransition({
    spendingKey: account.keys.spendingKey,
    account: live.account,
    blinding: live.blinding,
    path: x.state.locate(live.note).path,
    newBlinding: blindingOf(account.keys.viewingKey, 7n),
    showSeat: showsSeat(action.name),
    valuation: valuationNow(x.state, action),
    change: changeOf(action),
    ...over.input,
  });
  const { root, nullifier, newNote, seat } = draft.statement;
  const { contract = x.chain.address, epoch = x.state.epoch } = over;
  const context = contextOf({ chainId: x.chain.chainId, contract, epoch, action, nullifier, newNote, seat });
  const { proof } = await prover.prove(buildWitness(draft, context));
  return { action, root, nullifier, newNote, seat, signature: "0x", proof };
}

const refusesProof = (transition: ProvenTransition, code = "InvalidProof", details?: ErrorDetails): Promise<void> =>
  desk.refuses(() => desk.batch([transition]), code, details);

// ------------------------------------------------------------------ what cannot be proven

const insolvent = (error: unknown): boolean =>
  error instanceof InsolventTransition || (error instanceof ProverRefused && error.rule === "InsolventTransition");

test("an order beyond the account's means has no proof [CIR-5, PRV-1]", async () => {
  const { account } = alice;
  const most = BigInt(balanceNow(account).buyingPower[0]?.buy ?? 0);
  const tooMuch = account.ticketFor(0, { side: "buy", price: CENTRE, quantity: most + 1n });
  await assert.rejects(account.openTickets(0, [tooMuch]), insolvent);
  await assert.rejects(account.withdraw(to, account.freeCash), insolvent);
});

test("a witness that makes up money has no proof [CIR-3, PRV-1]", async () => {
  const live = alice.account.state.live;
  assert.ok(live !== undefined);
  const { cash, positions } = live.account;
  const draft = draftTransition({
    spendingKey: alice.account.keys.spendingKey,
    account: { cash: cash + DOLLAR, positions },
    blinding: live.blinding,
    path: x.state.locate(live.note).path,
    newBlinding: 1n,
    showSeat: false,
    valuation: valuationNow(x.state, honest.action),
    change: changeOf(honest.action),
  });
  const root = (await house.read.treeOf([1n]))[1];
  // The note with more in it is in no tree: its path leads to another root.
  const stated = { ...draft, statement: { ...draft.statement, root } };
  await assert.rejects(
    prover.prove(buildWitness(stated, 1n)),
    (error: unknown) =>
      error instanceof ProverRefused && error.rule === "WitnessMismatch" && error.details["name"] === "root",
  );
});

test("a flat account carries nothing into a reduce-only ticket: the side it would end on is barred [TKT-12]", async () => {
  const ticket: TicketOpening = {
    sessionKey: to,
    cash: -5n * (CENTRE - maintenanceMargin),
    position: 5,
    reduceOnly: true,
  };
  const action: Action = { name: "openTicket", slot: 0, relayFee, tickets: [ticket] };
  await assert.rejects(handMade(alice, action), insolvent);
  // Without the bar the account has enough cash to end short: such a proof exists, and the contract does not take it.
  const barred = valuationNow(x.state, action);
  const priceIfShort = barred.priceIfShort.with(0, CENTRE + maintenanceMargin);
  await refusesProof(await handMade(alice, action, { input: { valuation: { ...barred, priceIfShort } } }));
});

// ------------------------------------------------------------------ what does not fit its proof

test("no proof, a forged one and one of something else are refused [BAT-3, BAT-9]", async () => {
  const generator: Proof = { ...honest.proof, a: [1n, 2n] };
  await refusesProof({ ...honest, proof: NO_PROOF }, "PointAtInfinity", { index: 0 });
  await refusesProof({ ...honest, proof: generator });
  await refusesProof({ ...honest, proof: { ...honest.proof, c: [1n, 2n] } });
  await refusesProof({ ...honest, proof: { ...honest.proof, c: [1n, 3n] } }, "PointNotOnCurve", { index: 0 });
});

const lies: readonly (readonly [what: string, rule: string, tampered: ProvenTransition, code?: string])[] = [
  ["the recipient", "PAY-5", { ...honest, action: { ...honest.action, to: thief } as Action }],
  ["the amount", "BAT-17", { ...honest, action: { ...honest.action, amount: 1_001n * DOLLAR } as Action }],
  [
    "the amount, by one unit",
    "BAT-17",
    { ...honest, action: { ...honest.action, amount: 1_000n * DOLLAR - 1n } as Action },
  ],
  ["the fee", "FEE-1", { ...honest, action: { ...honest.action, relayFee: 0n } as Action }, "WrongRelayFee"],
  [
    "the action",
    "BAT-17",
    {
      ...honest,
      action: { name: "claimTicket", ticketId: numberToHex(1, { size: 32 }), claim: 1_000n * DOLLAR, relayFee },
    },
  ],
  ["the nullifier", "CIR-8", { ...honest, nullifier: honest.nullifier + 1n }],
  ["the new note", "CIR-8", { ...honest, newNote: honest.newNote + 1n }],
  ["the seat", "ACT-2", { ...honest, seat: alice.account.keys.ownerKey }, "SeatNotAllowed"],
  ["the root, to an older one", "CIR-8", { ...honest, root: x.state.tree(1n).root + 1n }, "UnknownRoot"],
];
for (const [what, rule, tampered, code] of lies) {
  test(`a proof is none for another value of ${what} [${rule}]`, () => refusesProof(tampered, code));
}

test("a proof is none under another root of its epoch [CIR-2]", async () => {
  await desk.rollback(async () => {
    await desk.newSeat();
    await refusesProof({ ...honest, root: x.state.tree(1n).root });
    await desk.batch([honest]);
  });
});

test("a number n + r in place of n is refused, in every place that a sender fills [BAT-4, NUM-1]", async () => {
  await refusesProof({ ...honest, nullifier: honest.nullifier + R }, "SignalNotCanonical", { signal: 1 });
  await refusesProof({ ...honest, newNote: honest.newNote + R }, "SignalNotCanonical", { signal: 2 });
  // The seat and the root meet their own rules first.
  await refusesProof({ ...honest, root: honest.root + R }, "UnknownRoot");
  const sleeps = await alice.account.sleep();
  await refusesProof({ ...sleeps, seat: sleeps.seat + R }, "SignalNotCanonical", { signal: 3 });
  await refusesProof({ ...sleeps, seat: mallory.account.keys.ownerKey });
});

test("a proof for another clearing house or epoch is none here [BAT-17]", async () => {
  await refusesProof(await handMade(alice, honest.action, { contract: to }));
  await refusesProof(await handMade(alice, honest.action, { epoch: 2 }));
});

test("a proof at kinder prices than the contract's is none [CIR-13]", async () => {
  const real = valuationNow(x.state, honest.action);
  const kinder = { ...real, priceIfLong: real.priceIfLong.with(0, (real.priceIfLong[0] ?? 0n) + 1n) };
  await refusesProof(await handMade(alice, honest.action, { input: { valuation: kinder } }));
});

test("there is one proof for each transition, in its place [BAT-3]", async () => {
  const funding = await fundOf(mallory);
  const swapped = [
    { ...funding, proof: honest.proof },
    { ...honest, proof: funding.proof },
  ];
  await desk.refuses(() => desk.batch(swapped), "InvalidProof");
  const messages = [funding, honest];
  for (const proofs of [[], [funding.proof], [funding.proof, honest.proof, honest.proof]]) {
    await desk.refuses(() => desk.batchWith(messages, proofs), "ProofCountMismatch", {
      proofs: proofs.length,
      statements: 2,
    });
  }
  await desk.refuses(() => desk.batchWith([], [honest.proof]), "ProofCountMismatch", { proofs: 1, statements: 0 });
  await desk.rollback(async () => {
    await desk.batch(messages);
    assert.equal(mallory.account.account.cash, 100n * DOLLAR - relayFee);
  });
});

test("a thief's proof with the owner's release takes no credit [CRE-2]", async () => {
  const owners = await fundOf(mallory);
  const stolen = await handMade(alice, owners.action);
  await refusesProof({ ...stolen, signature: owners.signature }, "WrongSigner");
});

test("a spent nullifier is skipped, and refused as n + r [ACC-8, BAT-4]", async () => {
  await desk.rollback(async () => {
    await desk.batch([honest]);
    await desk.skips([honest], "NullifierSpent");
    await refusesProof({ ...honest, nullifier: honest.nullifier + R }, "SignalNotCanonical", { signal: 1 });
  });
});

test("a seat closes empty only: a proof of anything left is none [SEA-10, ACT-9]", async () => {
  const { ownerKey } = alice.account.keys;
  const action: Action = { name: "closeSeat", asleep: false, to, relayFee };
  const full = await handMade(alice, action, { input: { newBlinding: 0n } });
  assert.notEqual(full.newNote, zeroNote(ownerKey));
  await refusesProof(full, "NewNoteNotEmpty", { newNote: full.newNote });
  await refusesProof({ ...full, newNote: zeroNote(ownerKey) });
});

test("the context that TypeScript computes is the contract's [BAT-17]", async () => {
  const { action, nullifier, newNote, seat } = honest;
  const { chainId, address: contract } = x.chain;
  const context = contextOf({ chainId, contract, epoch: 1, action, nullifier, newNote, seat });
  assert.equal(context, contextNow(x.state, honest));
  await desk.rollback(async () => {
    await desk.batch([honest]);
    assert.equal(await house.read.isSpent([nullifier]), true);
  });
});

/** Mallory's own funding of a deposit of 100 dollars. */
async function fundOf(trader: Trader): Promise<ProvenTransition> {
  const [credit] = trader.account.state.credits;
  if (credit !== undefined) return trader.account.fund(credit.creditId);
  const key = addressOf(creditPrivateKey(trader.account.keys.spendingKey, 1n));
  await deposit(x.chain, trader.sender, 100n * DOLLAR, key);
  await desk.sync();
  return fundOf(trader);
}
