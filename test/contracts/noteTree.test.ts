import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseEventLogs } from "viem";
import { isPoseidonCurrent } from "../../scripts/generatePoseidon.ts";
import { FIELD_MODULUS } from "../../src/protocol/field.ts";
import { hash2 } from "../../src/protocol/hash.ts";
import { zeroNote } from "../../src/protocol/note.ts";
import { NoteTree, TREE_DEPTH, zeroHashes } from "../../src/protocol/tree.ts";
import { refusal, startTestChain, type TestContract } from "../support/contracts.ts";
import { element } from "../support/random.ts";

const { deploy } = await startTestChain();
const CAPACITY = 2n ** BigInt(TREE_DEPTH);

async function append(tree: TestContract, leaves: readonly bigint[]): Promise<{ root: bigint; startIndex: bigint }> {
  const { logs } = await tree.send("append", [leaves]);
  const [event] = parseEventLogs({ abi: tree.abi, logs, eventName: "Appended" });
  assert.ok(event !== undefined && "root" in event.args && "startIndex" in event.args);
  const { root, startIndex } = event.args;
  assert.ok(typeof root === "bigint" && typeof startIndex === "bigint");
  return { root, startIndex };
}

/** Leaves that differ, in any order of calls. */
let counter = 0n;
function fresh(count: number): bigint[] {
  return Array.from({ length: count }, () => hash2(7n, counter++));
}

/** A tree of which all leaves before `nextIndex` are zero. */
async function treeAt(nextIndex: bigint): Promise<TestContract> {
  const tree = await deploy("NoteTreeHarness");
  await tree.send("setNextIndex", [Number(nextIndex), zeroHashes.slice(0, TREE_DEPTH)]);
  return tree;
}

/** Root of a tree with these leaves, a power of two of them, at its very end and zeros before. */
function rootWithLast(leaves: readonly bigint[]): bigint {
  let level = 0;
  let nodes = leaves;
  while (nodes.length > 1) {
    nodes = nodes.flatMap((node, i) => (i % 2 === 1 ? [hash2(nodes[i - 1] ?? 0n, node)] : []));
    level++;
  }
  return zeroHashes.slice(level, TREE_DEPTH).reduce((node, zero) => hash2(zero, node), nodes[0] ?? 0n);
}

test("a tree without notes has the same root in Solidity and TypeScript [TRE-1]", async () => {
  const tree = await deploy("NoteTreeHarness");
  assert.equal(await tree.read("emptyRoot"), new NoteTree().root);
});

test("the generated hasher follows from circomlib's parameters [TRE-1]", () => {
  assert.equal(isPoseidonCurrent(), true);
});

test("the first note of a tree goes to index 1 [TRE-1]", async () => {
  const tree = await deploy("NoteTreeHarness");
  const naive = new NoteTree();
  const [leaf = 0n] = fresh(1);
  const { root, startIndex } = await append(tree, [leaf]);
  assert.equal(startIndex, 1n);
  naive.insert([leaf]);
  assert.equal(root, naive.root);
});

test("Solidity and TypeScript agree on index and root after every batch of growing and shrinking sizes [TRE-2]", async () => {
  const tree = await deploy("NoteTreeHarness");
  const naive = new NoteTree();
  for (const size of [1, 2, 1, 3, 5, 1, 1, 32, 1, 64, 7, 8, 1, 33, 2, 16, 4]) {
    const leaves = fresh(size);
    const { root, startIndex } = await append(tree, leaves);
    assert.equal(startIndex, BigInt(naive.insert(leaves)));
    assert.equal(root, naive.root, `after ${size} leaves at ${startIndex}`);
    assert.equal(await tree.read("tree"), naive.nextIndex);
  }
});

test("Solidity and TypeScript agree on random batches with skipped and extreme leaves [TRE-1]", async () => {
  const leaf = fc.oneof({ weight: 1, arbitrary: fc.constant(0n) }, { weight: 2, arbitrary: element });
  const batches = fc.array(fc.array(leaf, { minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(batches, async (list) => {
      const tree = await deploy("NoteTreeHarness");
      const naive = new NoteTree();
      for (const leaves of list) {
        const { root, startIndex } = await append(tree, leaves);
        assert.equal(startIndex, BigInt(naive.insert(leaves)));
        assert.equal(root, naive.root);
      }
    }),
    { numRuns: 12 },
  );
});

test("a batch of which every transition was skipped takes its room and leaves the root alone [TRE-2]", async () => {
  const tree = await deploy("NoteTreeHarness");
  const before = await append(tree, fresh(3));
  const skipped = await append(tree, Array<bigint>(8).fill(0n));
  assert.equal(skipped.root, before.root);
  assert.equal(skipped.startIndex, 8n);
  assert.equal(await tree.read("tree"), 16);
});

test("a leaf of r or more is refused and changes nothing [TRE-3]", async () => {
  const tree = await deploy("NoteTreeHarness");
  for (const leaf of [FIELD_MODULUS, 2n * FIELD_MODULUS, 2n ** 256n - 1n]) {
    assert.deepEqual(await refusal(tree.read("append", [[1n, leaf]])), { name: "LeafNotCanonical", args: [1n, leaf] });
  }
  assert.equal((await refusal(tree.send("append", [[1n, FIELD_MODULUS]]))).name, "LeafNotCanonical");
  assert.equal(await tree.read("tree"), 0);
});

test("a batch without leaves is refused [TRE-3]", async () => {
  const tree = await deploy("NoteTreeHarness");
  assert.deepEqual(await refusal(tree.read("append", [[]])), { name: "NoLeaves", args: [] });
});

test("the last leaves of a tree can be filled, after which nothing fits [TRE-3]", async () => {
  const tree = await treeAt(CAPACITY - 4n);
  const leaves = fresh(4);
  const { root, startIndex } = await append(tree, leaves);
  assert.equal(startIndex, CAPACITY - 4n);
  assert.equal(root, rootWithLast(leaves));
  assert.equal(await tree.read("tree"), Number(CAPACITY));
  const refused = await refusal(tree.read("append", [fresh(1)]));
  assert.deepEqual(refused, { name: "TreeFull", args: [CAPACITY, 1n, CAPACITY] });
});

test("the last leaf alone can be filled [TRE-3]", async () => {
  const tree = await treeAt(CAPACITY - 1n);
  const [leaf = 0n] = fresh(1);
  const { root } = await append(tree, [leaf]);
  assert.equal(root, rootWithLast([leaf]));
  assert.equal(await tree.read("tree"), Number(CAPACITY));
});

test("a batch that fits by count but not behind the next multiple is refused, a smaller one still fits [TRE-3]", async () => {
  const tree = await treeAt(CAPACITY - 3n);
  const refused = await refusal(tree.read("append", [fresh(3)]));
  assert.deepEqual(refused, { name: "TreeFull", args: [CAPACITY, 3n, CAPACITY] });
  assert.equal(await tree.read("tree"), Number(CAPACITY - 3n));
  const leaves = fresh(2);
  const { root, startIndex } = await append(tree, leaves);
  assert.equal(startIndex, CAPACITY - 2n);
  assert.equal(root, rootWithLast(leaves));
});

test("Solidity and TypeScript agree on the zero note of random owner keys [ACC-5]", async () => {
  const tree = await deploy("NoteTreeHarness");
  await fc.assert(
    fc.asyncProperty(element, async (ownerKey) => {
      assert.equal(await tree.read("zeroNote", [ownerKey]), zeroNote(ownerKey));
    }),
    { numRuns: 30 },
  );
});

test("an owner key of r or more has no zero note [SEA-1]", async () => {
  const tree = await deploy("NoteTreeHarness");
  for (const ownerKey of [FIELD_MODULUS, FIELD_MODULUS + 5n, 2n ** 256n - 1n]) {
    const refused = await refusal(tree.read("zeroNote", [ownerKey]));
    assert.deepEqual(refused, { name: "OwnerKeyNotCanonical", args: [ownerKey] });
  }
});
