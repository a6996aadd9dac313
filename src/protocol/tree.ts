import { HedgerowError } from "./errors.ts";
import { assertCanonical, OutOfRange } from "./field.ts";
import { hash2 } from "./hash.ts";

/** Levels of a note tree: 2^20 leaves. */
export const TREE_DEPTH = 20;

/** Way from a leaf to the root: at each level the other child, and 1 where the way comes up from the right. */
export interface MerklePath {
  readonly siblings: readonly bigint[];
  readonly bits: readonly (0 | 1)[];
}

/** A batch of leaves has no room left. */
export class TreeFull extends HedgerowError {
  constructor(nextIndex: number, count: number, depth: number) {
    super(
      "TreeFull",
      `${count} leaves do not fit at index ${nextIndex} of a tree with 2^${depth} leaves: wait for the next epoch's tree`,
      { nextIndex, count, depth },
    );
  }
}

/** zeroHashes[h] is the root of a subtree of height h whose leaves are all zero. */
export const zeroHashes: readonly bigint[] = zeroSubtrees(TREE_DEPTH);

/** Index of the first leaf that may be a note. */
export const FIRST_LEAF = 1;

/**
 * Append-only Poseidon tree of notes, equal leaf by leaf to the tree of the contract (spec TRE-1..4).
 * A batch of n leaves goes in as a subtree of the smallest 2^k >= n at the next multiple of 2^k; skipped leaves are
 * zero. Leaf 0 is never a note. Only nodes that differ from the all-zero subtree are stored.
 */
export class NoteTree {
  readonly depth: number;
  #nextIndex = FIRST_LEAF;
  readonly #levels: readonly Map<number, bigint>[];
  readonly #zeros: readonly bigint[];

  constructor(depth = TREE_DEPTH) {
    if (!Number.isInteger(depth) || depth < 1 || depth > 31) {
      throw new OutOfRange("depth", BigInt(Math.trunc(depth)), "1 <= depth <= 31");
    }
    this.depth = depth;
    this.#levels = Array.from({ length: depth + 1 }, () => new Map<number, bigint>());
    this.#zeros = depth === TREE_DEPTH ? zeroHashes : zeroSubtrees(depth);
  }

  /** Index of the first leaf that no batch has covered. */
  get nextIndex(): number {
    return this.#nextIndex;
  }

  get root(): bigint {
    return this.#node(this.depth, 0);
  }

  /** The leaf at an index; zero where none was inserted. Throws OutOfRange. */
  leaf(index: number): bigint {
    this.#assertIndex(index);
    return this.#node(0, index);
  }

  /**
   * Appends a batch of leaves (zero stands for a skipped transition) and returns the index of its first leaf.
   * Throws OutOfRange for an empty batch, NonCanonicalField, TreeFull; a refused batch changes nothing.
   */
  insert(leaves: readonly bigint[]): number {
    if (leaves.length === 0) throw new OutOfRange("number of leaves", 0n, "at least 1");
    leaves.forEach((leaf, i) => {
      assertCanonical(`leaf[${i}]`, leaf);
    });
    const width = subtreeWidth(leaves.length);
    const start = Math.ceil(this.#nextIndex / width) * width;
    if (start + width > 2 ** this.depth) throw new TreeFull(this.#nextIndex, leaves.length, this.depth);

    leaves.forEach((leaf, i) => {
      this.#store(0, start + i, leaf);
    });
    let first = start;
    let last = start + leaves.length - 1;
    for (let level = 1; level <= this.depth; level++) {
      first = Math.floor(first / 2);
      last = Math.floor(last / 2);
      for (let i = first; i <= last; i++) {
        this.#store(level, i, hash2(this.#node(level - 1, 2 * i), this.#node(level - 1, 2 * i + 1)));
      }
    }
    this.#nextIndex = start + width;
    return start;
  }

  /**
   * Takes back all leaves from an index on, as if their batches had never come: `nextIndex` is what the tree had before
   * the first of them. Throws OutOfRange.
   */
  truncate(nextIndex: number): void {
    if (!Number.isInteger(nextIndex) || nextIndex < FIRST_LEAF || nextIndex > this.#nextIndex) {
      throw new OutOfRange(
        "nextIndex",
        BigInt(Math.trunc(nextIndex)),
        `${FIRST_LEAF} <= nextIndex <= ${this.#nextIndex}`,
      );
    }
    for (let level = 0, first = nextIndex, end = this.#nextIndex; level <= this.depth; level++) {
      for (let i = first; i < end; i++) this.#levels[level]?.delete(i);
      first = Math.ceil(first / 2);
      end = Math.ceil(end / 2);
    }
    // Above the last leaf that stays, nodes have lost what stood to the right of it.
    for (let level = 1, i = nextIndex - 1; level <= this.depth; level++) {
      i = Math.floor(i / 2);
      this.#store(level, i, hash2(this.#node(level - 1, 2 * i), this.#node(level - 1, 2 * i + 1)));
    }
    this.#nextIndex = nextIndex;
  }

  /** Path of the leaf at an index to the present root. Throws OutOfRange for an index that no batch has covered. */
  path(index: number): MerklePath {
    this.#assertIndex(index);
    if (index >= this.#nextIndex) throw new OutOfRange("leaf index", BigInt(index), `below ${this.#nextIndex}`);
    const siblings: bigint[] = [];
    const bits: (0 | 1)[] = [];
    for (let level = 0, i = index; level < this.depth; level++, i = Math.floor(i / 2)) {
      const right = i % 2 === 1;
      siblings.push(this.#node(level, right ? i - 1 : i + 1));
      bits.push(right ? 1 : 0);
    }
    return { siblings, bits };
  }

  #node(level: number, index: number): bigint {
    return this.#levels[level]?.get(index) ?? this.#zeros[level] ?? 0n;
  }

  #store(level: number, index: number, value: bigint): void {
    if (value !== this.#zeros[level]) this.#levels[level]?.set(index, value);
    else this.#levels[level]?.delete(index);
  }

  #assertIndex(index: number): void {
    if (!Number.isInteger(index) || index < 0 || index >= 2 ** this.depth) {
      throw new OutOfRange("leaf index", BigInt(Math.trunc(index)), `0 <= index < 2^${this.depth}`);
    }
  }
}

/** Leaves that a batch takes up: the smallest power of two that holds it. */
export function subtreeWidth(leaves: number): number {
  let width = 1;
  while (width < leaves) width *= 2;
  return width;
}

/** The root that a leaf and its path lead to. */
export function rootOfPath(leaf: bigint, path: MerklePath): bigint {
  return path.siblings.reduce(
    (node, sibling, level) => (path.bits[level] === 1 ? hash2(sibling, node) : hash2(node, sibling)),
    leaf,
  );
}

/** Whether the path leads from the leaf to the root. */
export function verifyPath(root: bigint, leaf: bigint, path: MerklePath): boolean {
  return path.siblings.length === path.bits.length && rootOfPath(leaf, path) === root;
}

function zeroSubtrees(depth: number): readonly bigint[] {
  const zeros = [0n];
  for (let level = 0; level < depth; level++) {
    const below = zeros[level] ?? 0n;
    zeros.push(hash2(below, below));
  }
  return zeros;
}
