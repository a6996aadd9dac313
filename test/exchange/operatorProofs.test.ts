import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import { deposit, openSeat, type ProvenTransition } from "../../src/chain/clearingHouse.ts";
import { DOLLAR } from "../../src/clearing/leanHogs.ts";
import { GAS } from "../../src/exchange/batchPlan.ts";
import { Operator } from "../../src/exchange/operator.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import { FIELD_MODULUS } from "../../src/protocol/field.ts";
import { accountKeys, newSeedPhrase } from "../../src/protocol/keys.ts";
import { Verifier } from "../../src/prover/verifier.ts";
import { TraderAccount } from "../../src/trader/account.ts";
import { type Exchange, startExchange } from "../support/exchange.ts";
import { sharedProver } from "../support/prover.ts";

// An operator and a contract that both verify real proofs.

const TRADERS = 4;

let x: Exchange;
let verifier: Verifier;
let operator: Operator;
let accounts: readonly TraderAccount[] = [];

before(async () => {
  x = await startExchange();
  verifier = await Verifier.create();
  operator = await Operator.create({ state: x.state, sender: x.operator, verifier });
  accounts = await Promise.all(Array.from({ length: TRADERS }, newAccount));
});
after(async () => {
  await verifier.close();
  await x.stop();
});

/** An account with a seat and a deposit that waits. */
async function newAccount(): Promise<TraderAccount> {
  const keys = accountKeys(newSeedPhrase(), 0);
  const account = await TraderAccount.open({ keys, chain: x.state, prover: await sharedProver() });
  const sender = await x.fundedSender(500_000n * DOLLAR);
  await openSeat(x.chain, sender, keys.ownerKey);
  await deposit(x.chain, sender, 400_000n * DOLLAR, account.newCreditKey());
  return account;
}

async function follow(): Promise<void> {
  await x.state.sync();
  for (const account of accounts) account.applyChain();
}

async function refused(work: Promise<unknown>, code: string): Promise<void> {
  await assert.rejects(work, (error) => error instanceof HedgerowError && error.code === code);
}

test("several transitions at once are verified together and posted in one batch, for the gas that is planned [BAT-3, CRE-2]", async () => {
  await follow();
  const funding = await Promise.all(
    accounts.map((account) => account.fund(account.state.credits[0]?.creditId ?? assert.fail("no credit waits"))),
  );
  await Promise.all(funding.map((transition) => operator.submitTransition(transition)));
  const [batch, ...more] = await operator.flush();
  await follow();
  assert.equal(batch?.applied.length, TRADERS);
  assert.deepEqual(more, []);
  assert((batch.receipt?.gasUsed ?? 0n) <= GAS.batch + BigInt(TRADERS) * GAS.transition);
  for (const { account } of accounts) assert.equal(account.cash, 400_000n * DOLLAR - x.terms.relayFee);
  await refused(operator.submitTransition(funding[0] ?? assert.fail()), "NullifierTaken");
});

test("what the contract would refuse is refused before it is queued, with its reason [FEE-1, ACT-1, ACT-4, BAT-4, BAT-17]", async () => {
  const to = privateKeyToAddress(generatePrivateKey());
  const [alice] = accounts;
  assert(alice !== undefined);
  const good = await alice.withdraw(to, 100n * DOLLAR);
  const submit = (changed: Partial<ProvenTransition>) => operator.submitTransition({ ...good, ...changed });
  const action = { name: "withdraw", to, amount: 100n * DOLLAR, relayFee: x.terms.relayFee } as const;
  const refusals: readonly [Partial<ProvenTransition>, string][] = [
    [{ action: { ...action, relayFee: 0n } }, "WrongRelayFee"],
    [{ action: { ...action, amount: 0n } }, "InvalidTransition"],
    [{ action: { ...action, amount: -1n } }, "MalformedMessage"],
    [{ action: { ...action, to: x.chain.address } }, "InvalidTransition"],
    [{ action: { ...action, to: `0x${"00".repeat(20)}` } }, "InvalidTransition"],
    [{ action: { ...action, to: privateKeyToAddress(generatePrivateKey()) } }, "ProofRefused"],
    [{ action: { ...action, amount: 101n * DOLLAR } }, "ProofRefused"],
    [{ root: good.root + 1n }, "UnknownRoot"],
    [{ newNote: good.newNote + 1n }, "ProofRefused"],
    [{ nullifier: good.nullifier + 1n }, "ProofRefused"],
    [{ nullifier: good.nullifier + FIELD_MODULUS }, "MalformedMessage"],
    [{ seat: alice.keys.ownerKey }, "InvalidTransition"],
    [{ proof: { ...good.proof, c: good.proof.a } }, "ProofRefused"],
    [{ action: { name: "renew", relayFee: x.terms.relayFee } }, "WrongPhase"],
    [{ action: { name: "wake" } }, "WrongPhase"],
  ];
  for (const [changed, code] of refusals) await refused(submit(changed), code);
  assert.equal(operator.queue.length, 0);
});
