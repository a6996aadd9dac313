import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { publicSignals } from "../../src/protocol/statement.ts";
import { createProver, type Prover, ProverRefused } from "../../src/prover/prover.ts";
import { ProverClosed } from "../../src/prover/proof.ts";
import { sharedProver } from "../support/prover.ts";
import { PLAIN, witnessOf } from "../support/transitions.ts";

test("an insolvent transition is refused, naming rule and equity, before anything is proven [PRV-1]", async () => {
  const prover = await sharedProver();
  const witness = witnessOf();
  const insolvent = { ...witness, statement: { ...witness.statement, cashDelta: -461n } };
  await assert.rejects(prover.prove(insolvent), (error) => {
    assert.ok(error instanceof ProverRefused);
    assert.equal(error.rule, "InsolventTransition");
    assert.equal(error.details["equity"], -1n);
    return true;
  });
});

test("a statement that does not fit its note or its ranges is refused by rule [PRV-1]", async () => {
  const prover = await sharedProver();
  const witness = witnessOf();
  const cases = [
    [{ nullifier: 1n }, "WitnessMismatch"],
    [{ root: 1n }, "WitnessMismatch"],
    [{ seat: 1n }, "WitnessMismatch"],
    [{ slot: 8n }, "OutOfRange"],
    [{ nullifier: witness.statement.nullifier + 2n ** 254n }, "NonCanonicalField"],
  ] as const;
  for (const [change, rule] of cases) {
    await assert.rejects(
      prover.prove({ ...witness, statement: { ...witness.statement, ...change } }),
      (error) => error instanceof ProverRefused && error.rule === rule,
    );
  }
});

test("proofs asked for at once all come, each for its own statement, also after a refusal between them [PRV-2]", async () => {
  const prover = await sharedProver();
  const witnesses = [witnessOf({}, 1n), witnessOf({ showSeat: true }, 2n)];
  const refused = { ...witnessOf(), statement: { ...witnessOf().statement, root: 1n } };
  const [first, middle, last] = await Promise.allSettled([
    prover.prove(witnessOf({}, 1n)),
    prover.prove(refused),
    prover.prove(witnessOf({ showSeat: true }, 2n)),
  ]);
  assert.equal(middle.status, "rejected");
  const proven = [first, last].map((outcome) => (outcome.status === "fulfilled" ? outcome.value : assert.fail()));
  assert.deepEqual(
    proven.map((item) => item.publicSignals),
    witnesses.map(({ statement }) => publicSignals(statement)),
  );
  assert.deepEqual(await prover.verifyBatch(proven), []);
});

test("two proofs of one statement differ, so that a proof tells nothing about its making [PRV-2]", async () => {
  const prover = await sharedProver();
  const [one, other] = await Promise.all([prover.prove(witnessOf()), prover.prove(witnessOf())]);
  assert.notDeepEqual(one.proof, other.proof);
});

test("a closed prover refuses, closing twice is harmless, and another prover lives on [PRV-3]", async () => {
  const prover = await sharedProver();
  const second: Prover = await createProver();
  await second.close();
  await second.close();
  await assert.rejects(second.prove(witnessOf({ newBlinding: PLAIN.newBlinding + 1n })), ProverClosed);
  await assert.rejects(second.verifyBatch([]), ProverClosed);
  assert.ok(await prover.verify(await prover.prove(witnessOf())));
});

test("a program that proves ends by itself after close [PRV-3]", async () => {
  const program = fileURLToPath(new URL("exit.fixture.ts", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [program], { timeout: 60_000 });
  assert.equal(stdout.trim(), "verified");
});

test("a prover and a verifier created at once share one set of threads and the process ends by itself [PRV-3]", async () => {
  const script = `
    import { createProver, createVerifier } from ${JSON.stringify(import.meta.resolve("../../src/prover/prover.ts"))};
    const [prover, verifier] = await Promise.all([createProver(), createVerifier()]);
    await prover.close();
    await verifier.close();
    console.log("closed");
  `;
  const options = { timeout: 60_000 };
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script], options);
  assert.equal(stdout.trim(), "closed");
});
