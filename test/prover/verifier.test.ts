import assert from "node:assert/strict";
import { before, test } from "node:test";
import { bn254 } from "@noble/curves/bn254.js";
import { FIELD_MODULUS } from "../../src/protocol/field.ts";
import { SIGNAL_COUNT } from "../../src/protocol/statement.ts";
import { type PointG1, type PointG2, type Proof, ProverClosed, type ProvenStatement } from "../../src/prover/proof.ts";
import type { Prover } from "../../src/prover/prover.ts";
import { VerifierDied, VerifierProcess } from "../../src/prover/verifierProcess.ts";
import { sharedProver } from "../support/prover.ts";
import { witnessOf } from "../support/transitions.ts";

const { Fp, Fp2 } = bn254.fields;

let prover: Prover;
let good: readonly ProvenStatement[];
before(async () => {
  prover = await sharedProver();
  good = await Promise.all([1n, 2n, 3n].map((context) => prover.prove(witnessOf({}, context))));
});

function item(i: number): ProvenStatement {
  return good[i] ?? assert.fail(`there is no proof ${i}`);
}

function withProof(change: Partial<Proof>): ProvenStatement {
  return { ...item(0), proof: { ...item(0).proof, ...change } };
}

function withSignal(of: ProvenStatement, index: number, add: bigint): ProvenStatement {
  return { ...of, publicSignals: of.publicSignals.map((signal, i) => (i === index ? signal + add : signal)) };
}

const negated = ([x, y]: PointG1): PointG1 => [x, Fp.neg(y)];

test("each tampered public signal makes a proof fail [CIR-8, CIR-10]", async () => {
  const tampered = Array.from({ length: SIGNAL_COUNT }, (_, i) => {
    const signal = item(0).publicSignals[i] ?? 0n;
    return withSignal(item(0), i, signal === FIELD_MODULUS - 1n ? -1n : 1n);
  });
  for (const one of tampered) assert.equal(await prover.verify(one), false);
});

test("n + r is refused for every public signal [PRV-4, NUM-1]", async () => {
  const aliases = Array.from({ length: SIGNAL_COUNT }, (_, i) => withSignal(item(0), i, FIELD_MODULUS));
  assert.deepEqual(
    await prover.verifyBatch(aliases),
    aliases.map((_, i) => i),
  );
});

test("one bad proof is named at whichever place it stands, and all of many [PRV-4]", async () => {
  const bad = withSignal(item(0), 24, 1n);
  const batch = [item(0), item(1), item(2), item(1), item(2)];
  assert.deepEqual(await prover.verifyBatch(batch), []);
  for (let place = 0; place < batch.length; place++) {
    assert.deepEqual(await prover.verifyBatch(batch.with(place, bad)), [place]);
  }
  assert.deepEqual(await prover.verifyBatch([bad, item(1), bad, item(2), withProof({ c: [1n, 3n] })]), [0, 2, 4]);
  assert.deepEqual(await prover.verifyBatch([]), []);
});

test("errors that cancel in an unweighted sum do not cancel [PRV-4]", async () => {
  const pair = [withSignal(item(0), 24, 5n), withSignal(item(0), 24, -1n)];
  const opposite = [withSignal(item(1), 24, 1n), withSignal(item(1), 24, -1n)];
  assert.deepEqual(await prover.verifyBatch(pair), [0, 1]);
  assert.deepEqual(await prover.verifyBatch(opposite), [0, 1]);
});

test("points off the curve, at infinity, with coordinates at q, swapped or negated are refused [PRV-4]", async () => {
  const { a, b, c } = item(0).proof;
  const [[xImaginary, xReal], [yImaginary, yReal]] = b;
  const infinityG2: PointG2 = [
    [0n, 0n],
    [0n, 0n],
  ];
  const swapped: PointG2 = [
    [xReal, xImaginary],
    [yReal, yImaginary],
  ];
  const alias: PointG2 = [
    [xImaginary + Fp.ORDER, xReal],
    [yImaginary, yReal],
  ];
  const cases = [
    { a: [1n, 3n] as const },
    { c: [1n, 3n] as const },
    { a: [0n, 0n] as const },
    { c: [0n, 0n] as const },
    { b: infinityG2 },
    { b: swapped },
    { b: alias },
    { a: [a[0] + Fp.ORDER, a[1]] as const },
    { c: [c[0], -1n] as const },
    { a: c, c: a },
    { a: negated(a) },
    { c: negated(c) },
  ];
  const items = cases.map(withProof);
  for (const [i, one] of items.entries()) assert.equal(await prover.verify(one), false, `case ${i}`);
});

test("a point on the twisted curve but outside the subgroup is refused, alone and hidden in a batch [PRV-4]", async () => {
  const outside = pointOutsideSubgroup();
  assert.deepEqual(await prover.verifyBatch([item(0), withProof({ b: outside }), item(1)]), [1]);
});

test("a proof with one signal too few or too many is refused [PRV-4]", async () => {
  const { proof, publicSignals } = item(0);
  assert.equal(await prover.verify({ proof, publicSignals: publicSignals.slice(1) }), false);
  assert.equal(await prover.verify({ proof, publicSignals: [...publicSignals, 0n] }), false);
});

/** The first point y^2 = x^3 + 3/(9 + i) with small x; of so many points only one in a huge cofactor is in the subgroup. */
function pointOutsideSubgroup(): PointG2 {
  const offset = Fp2.div(Fp2.fromBigTuple([3n, 0n]), Fp2.fromBigTuple([9n, 1n]));
  for (let n = 1n; n < 100n; n++) {
    const x = Fp2.fromBigTuple([n, 1n]);
    const square = Fp2.add(Fp2.mul(Fp2.sqr(x), x), offset);
    try {
      const y = Fp2.sqrt(square);
      return [
        [x.c1, x.c0],
        [y.c1, y.c0],
      ];
    } catch {
      continue; // not a square: no point has this x
    }
  }
  return assert.fail("no point found");
}

test("a process of its own gives the same answers, holds nothing else up, and ends when told [PRV-4, DEV-5]", async () => {
  const other = await VerifierProcess.create();
  const bad = withSignal(item(0), 24, 1n);
  const mixed = [item(0), bad, item(1), withProof({ c: [1n, 3n] }), item(2)];
  assert.deepEqual(await other.verifyBatch(mixed), await prover.verifyBatch(mixed));
  assert.deepEqual(await other.verifyBatch([]), []);
  let turns = 0;
  const beat = setInterval(() => (turns += 1), 1);
  const answers = await Promise.all([other.verifyBatch(Array<ProvenStatement>(12).fill(bad)), other.verifyBatch(good)]);
  clearInterval(beat);
  assert.deepEqual(answers, [Array.from({ length: 12 }, (_, i) => i), []]);
  assert(turns > 5, `the event loop turned ${turns} times`);
  const cut = assert.rejects(other.verifyBatch(mixed), ProverClosed);
  await other.close();
  await cut;
  await assert.rejects(other.verifyBatch(mixed), ProverClosed);
});

test("a verifying process that dies is noticed at once, and what waits for it is told [PRV-4, DEV-5]", async () => {
  const failures: VerifierDied[] = [];
  const other = await VerifierProcess.create((error) => failures.push(error));
  const waiting = assert.rejects(other.verifyBatch(Array<ProvenStatement>(200).fill(item(0))), VerifierDied);
  assert(other.pid !== undefined);
  process.kill(other.pid, "SIGKILL");
  await Promise.all([waiting, assert.rejects(other.verifyBatch(good), VerifierDied)]);
  await assert.rejects(other.verifyBatch(good), VerifierDied);
  assert.equal(failures.length, 1);
  await other.close();
});
