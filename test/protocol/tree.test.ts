import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FIELD_MODULUS, NonCanonicalField, OutOfRange } from "../../src/protocol/field.ts";
import { hash2 } from "../../src/protocol/hash.ts";
import { NoteTree, rootOfPath, TREE_DEPTH, TreeFull, verifyPath, zeroHashes } from "../../src/protocol/tree.ts";

/** The oracle: all leaves in one array, hashed level by level. */
function naiveRoot(leaves: readonly bigint[], depth: number): bigint {
  let level = Array.from({ length: 2 ** depth }, (_, i) => leaves[i] ?? 0n);
  while (level.length > 1) {
    level = Array.from({ length: level.length / 2 }, (_, i) => hash2(level[2 * i] ?? 0n, level[2 * i + 1] ?? 0n));
  }
  return level[0] ?? 0n;
}

/** The oracle's placement, written from the rule: next multiple of the smallest power of two that holds the batch. */
function naivePlace(leaves: bigint[], batch: readonly bigint[]): void {
  const width = [1, 2, 4, 8, 16].find((power) => power >= batch.length) ?? 0;
  while (leaves.length % width !== 0) leaves.push(0n);
  leaves.push(...batch);
  while (leaves.length % width !== 0) leaves.push(0n);
}

test("random batches give the root, the places and the paths of the naive tree [TRE-2]", () => {
  const batch = fc.array(fc.bigInt({ min: 0n, max: FIELD_MODULUS - 1n }), { minLength: 1, maxLength: 9 });
  fc.assert(
    fc.property(fc.array(batch, { maxLength: 3 }), (batches) => {
      const tree = new NoteTree(6);
      const leaves = [0n];
      for (const notes of batches) {
        const start = tree.insert(notes);
        naivePlace(leaves, notes);
        assert.deepEqual(leaves.slice(start, start + notes.length), notes);
        assert.equal(tree.nextIndex, leaves.length);
        assert.equal(tree.root, naiveRoot(leaves, 6));
      }
      for (let i = 0; i < tree.nextIndex; i++) {
        assert.equal(tree.leaf(i), leaves[i]);
        assert.ok(verifyPath(tree.root, tree.leaf(i), tree.path(i)));
      }
    }),
    { numRuns: 15 },
  );
});

test("a tree that is cut back equals one that never had the later batches [TRE-2, CHN-1]", () => {
  const batch = fc.array(fc.bigInt({ min: 0n, max: 5n }), { minLength: 1, maxLength: 9 });
  fc.assert(
    fc.property(fc.array(batch, { maxLength: 3 }), fc.array(batch, { maxLength: 3 }), batch, (stay, go, next) => {
      const [plain, cut] = [new NoteTree(7), new NoteTree(7)];
      for (const notes of stay) for (const tree of [plain, cut]) tree.insert(notes);
      for (const notes of go) cut.insert(notes);
      cut.truncate(plain.nextIndex);
      assert.equal(cut.root, plain.root);
      assert.equal(cut.insert(next), plain.insert(next));
      assert.equal(cut.root, plain.root);
      for (let i = 0; i < plain.nextIndex; i++) assert.deepEqual(cut.path(i), plain.path(i));
    }),
    { numRuns: 40 },
  );
  const tree = new NoteTree(4);
  for (const bad of [0, 2, 1.5]) assert.throws(() => tree.truncate(bad), OutOfRange);
});

test("an empty tree has the all-zero root and starts at index 1, leaf 0 being never a note [TRE-1]", () => {
  const tree = new NoteTree();
  assert.equal(tree.root, zeroHashes[TREE_DEPTH]);
  assert.equal(tree.nextIndex, 1);
  assert.equal(tree.insert([5n]), 1);
  assert.equal(tree.leaf(0), 0n);
});

test("a first batch of 32 lands at 32, and one of 3 after one of 1 lands at 4 [TRE-2]", () => {
  const wide = new NoteTree();
  assert.equal(wide.insert(Array.from({ length: 32 }, (_, i) => BigInt(i + 1))), 32);
  assert.equal(wide.nextIndex, 64);
  const mixed = new NoteTree();
  assert.equal(mixed.insert([1n]), 1);
  assert.equal(mixed.insert([1n, 2n, 3n]), 4);
  assert.equal(mixed.nextIndex, 8);
});

test("a batch that does not fit, an empty one and a leaf at r are refused and change nothing [TRE-3]", () => {
  const tree = new NoteTree(3);
  tree.insert([1n, 2n, 3n]);
  const { root, nextIndex } = tree;
  assert.throws(() => tree.insert([4n]), TreeFull);
  assert.throws(() => tree.insert([]), OutOfRange);
  assert.throws(() => tree.insert([FIELD_MODULUS]), NonCanonicalField);
  assert.deepEqual([tree.root, tree.nextIndex], [root, nextIndex]);
});

test("the last leaf can be used, and no more [TRE-3]", () => {
  const tree = new NoteTree(2);
  assert.deepEqual([tree.insert([1n]), tree.insert([2n]), tree.insert([3n])], [1, 2, 3]);
  assert.throws(() => tree.insert([4n]), TreeFull);
});

test("a path proves its own leaf only, and none is given for leaves not yet covered [TRE-4]", () => {
  const tree = new NoteTree();
  tree.insert([11n, 12n]);
  const path = tree.path(2);
  assert.equal(path.siblings.length, TREE_DEPTH);
  assert.equal(rootOfPath(11n, path), tree.root);
  assert.ok(!verifyPath(tree.root, 12n, path));
  assert.ok(!verifyPath(tree.root, 11n, tree.path(3)));
  for (const index of [4, -1, 2 ** 20, 1.5]) assert.throws(() => tree.path(index), OutOfRange);
});

test("older paths still lead to the older root after more notes [TRE-4]", () => {
  const tree = new NoteTree();
  tree.insert([11n]);
  const { root } = tree;
  const path = tree.path(1);
  tree.insert([12n, 13n]);
  assert.ok(verifyPath(root, 11n, path));
  assert.ok(!verifyPath(tree.root, 11n, path));
});
