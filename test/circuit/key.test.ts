import assert from "node:assert/strict";
import { readFile, stat } from "node:fs/promises";
import { test } from "node:test";
import { zKey } from "snarkjs";
import { z } from "zod";
import { parseVerifyingKey, verifyingKeyHash } from "../../scripts/generateVerifyingKey.ts";
import { SIGNAL_COUNT } from "../../src/protocol/statement.ts";
import { TREE_DEPTH } from "../../src/protocol/tree.ts";
import { SLOTS } from "../../src/protocol/note.ts";
import { CIRCUIT_FILES, compileCircuit, readPins, sha256 } from "../../src/prover/circuit.ts";
import { acquireCurve, releaseCurve } from "../../src/prover/curve.ts";
import { readCircuit } from "../support/circuit.ts";

const description = z.object({
  transition: z.object({ slots: z.int(), depth: z.int(), maxConstraints: z.int(), powersOfTau: z.int() }),
});

test("the sources compile to the pinned constraints and the pinned witness program, byte by byte [CIR-9]", async () => {
  const pins = await readPins();
  await compileCircuit();
  assert.equal(sha256(await readFile(CIRCUIT_FILES.r1cs)), pins.r1csSha256);
  assert.equal(sha256(await readFile(CIRCUIT_FILES.wasm)), pins.wasmSha256);
  const { constraints, wires } = await readCircuit();
  assert.deepEqual([constraints.length, wires], [pins.constraints, pins.wires]);
});

test("the circuit has the described size and at most 8,192 constraints [CIR-12]", async () => {
  const pins = await readPins();
  const { transition } = description.parse(JSON.parse(await readFile(CIRCUIT_FILES.description, "utf8")));
  assert.deepEqual([transition.depth, transition.slots], [TREE_DEPTH, SLOTS]);
  assert.ok(pins.constraints <= transition.maxConstraints);
  assert.equal(transition.maxConstraints, 2 ** transition.powersOfTau);
  assert.equal(pins.publicInputs, SIGNAL_COUNT);
});

test("the committed proving key is the pinned one and has at most 6 MB [CIR-9]", async () => {
  const pins = await readPins();
  assert.equal(sha256(await readFile(CIRCUIT_FILES.provingKey)), pins.zkeySha256);
  assert.ok((await stat(CIRCUIT_FILES.provingKey)).size <= 6_000_000);
});

test("the committed verifying key is the proving key's own and the pinned one [CIR-9]", async () => {
  const curve = await acquireCurve();
  const committed: unknown = JSON.parse(await readFile(CIRCUIT_FILES.verifyingKey, "utf8"));
  assert.deepEqual(await zKey.exportVerificationKey(CIRCUIT_FILES.provingKey), committed);
  await releaseCurve(curve);
  assert.equal(verifyingKeyHash(parseVerifyingKey(committed)), (await readPins()).verifyingKeyHash);
});
