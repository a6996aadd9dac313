import { NoteTree, TREE_DEPTH } from "../protocol/tree.ts";

/** Number of the first sleepers' tree; the tree of epoch e has number e. */
export const SLEEPERS = 2n ** 32n;

/** Leaves kept free, per live seat and per open ticket, for getting out (spec TRE-6). */
const RESERVED_LEAVES = 4n;
const CAPACITY = 2n ** BigInt(TREE_DEPTH);

/** Notes that were inserted as one subtree, as the house tells it. */
export type Appended = { readonly tree: bigint; readonly startIndex: bigint; readonly leaves: readonly bigint[] };

/** The trees of notes, rebuilt leaf by leaf, and the roots that transitions may name. */
export class NoteBook {
  readonly #trees = new Map<bigint, NoteTree>();
  readonly #roots = new Map<bigint, Set<bigint>>();
  #sleepers = 0n;
  /** Leaves that were inserted so far, skipped ones included. */
  leaves = 0;

  /** Inserts leaves into a tree; roots of the next epoch's tree count from its opening on. Throws TreeFull. */
  append(tree: bigint, leaves: readonly bigint[], presentEpoch: number): Appended {
    if (tree === SLEEPERS && this.#worstEnd(SLEEPERS + this.#sleepers, leaves.length) > CAPACITY) this.#sleepers += 1n;
    const place = tree === SLEEPERS ? SLEEPERS + this.#sleepers : tree;
    const notes = this.#trees.get(place) ?? new NoteTree();
    this.#trees.set(place, notes);
    const startIndex = BigInt(notes.insert(leaves));
    this.leaves += leaves.length;
    if (tree !== BigInt(presentEpoch) + 1n) this.#rootsOf(tree).add(notes.root);
    return { tree: place, startIndex, leaves };
  }

  /** Makes the root with which an epoch opens known, and returns it; 0 for a tree that was never used. */
  open(epoch: number): bigint {
    const notes = this.#trees.get(BigInt(epoch));
    if (notes === undefined) return 0n;
    this.#rootsOf(BigInt(epoch)).add(notes.root);
    return notes.root;
  }

  /** Whether a transition may name a root of a tree. */
  knows(tree: bigint, root: bigint): boolean {
    return this.#roots.get(tree)?.has(root) === true;
  }

  /** Whether so many more notes leave everybody inside room to get out. */
  hasRoom(tree: bigint, count: number, inside: bigint): boolean {
    return this.#worstEnd(tree, count) + RESERVED_LEAVES * inside <= CAPACITY;
  }

  #worstEnd(tree: bigint, count: number): bigint {
    // A tree that was never used counts from 0, one that was from its next leaf.
    return BigInt(this.#trees.get(tree)?.nextIndex ?? 0) + 1n + 4n * BigInt(count);
  }

  #rootsOf(tree: bigint): Set<bigint> {
    const known = this.#roots.get(tree) ?? new Set<bigint>();
    this.#roots.set(tree, known);
    return known;
  }
}
