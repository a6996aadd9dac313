import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { buildPoseidonReference } from "circomlibjs";
import fc from "fast-check";
import { poseidon1, poseidon5 } from "poseidon-lite";
import { z } from "zod";
import * as hash from "../../src/protocol/hash.ts";
import { zeroHashes } from "../../src/protocol/tree.ts";
import { element } from "../support/random.ts";

const number = z.string().transform(BigInt);
const vectors = z
  .object({ hashes: z.array(z.object({ inputs: z.array(number), output: number })), zeroSubtrees: z.array(number) })
  .parse(JSON.parse(readFileSync(new URL("../vectors/poseidon.json", import.meta.url), "utf8")));

test("Poseidon gives the published values [ACC-3]", () => {
  for (const { inputs, output } of vectors.hashes) {
    const [a = 0n, b = 0n] = inputs;
    const computed =
      inputs.length === 1 ? poseidon1(inputs) : inputs.length === 2 ? hash.hash2(a, b) : poseidon5(inputs);
    assert.equal(computed, output);
  }
});

test("the roots of all-zero subtrees are the published ones [TRE-1]", () => {
  vectors.zeroSubtrees.forEach((root, height) => {
    assert.equal(zeroHashes[height], root);
  });
});

test("Poseidon of 2, 3, 4 and 9 inputs equals the circuit library's reference [ACC-3]", async () => {
  const reference = await buildPoseidonReference();
  const expected = (inputs: readonly bigint[]): bigint => reference.F.toObject(reference(inputs));
  fc.assert(
    fc.property(fc.array(element, { minLength: 9, maxLength: 9 }), (inputs) => {
      const [a = 0n, b = 0n, c = 0n, d = 0n] = inputs;
      assert.equal(hash.hash2(a, b), expected([a, b]));
      assert.equal(hash.hash3(a, b, c), expected([a, b, c]));
      assert.equal(hash.hash4(a, b, c, d), expected([a, b, c, d]));
      assert.equal(hash.hash9(inputs), expected(inputs));
    }),
    { numRuns: 15 },
  );
});

test("no two tags are alike [ACC-3]", () => {
  const tags = Object.entries(hash).flatMap(([name, value]) => (name.startsWith("TAG_") ? [value] : []));
  assert.deepEqual(tags.sort(), [1n, 2n, 3n, 4n, 5n, 6n]);
});
