import { HedgerowError } from "../protocol/errors.ts";

/** What an index is for: blinding and session keys of a note, or the key of a deposit credit. */
export type IndexKind = "note" | "credit";

/**
 * The indices that an account has used, also in transitions that never reached the chain. Written ahead: an index is
 * recorded before anything made with it leaves the wallet (spec ACC-6).
 */
export type IndexJournal = {
  /** The highest index recorded, 0 if there is none. */
  highest(kind: IndexKind): bigint;
  /** Durable when it returns. */
  record(kind: IndexKind, index: bigint): void;
};

/** Recovery looks this many indices beyond the last one that the chain shows (spec ACC-12). */
export const INDEX_GAP: Readonly<Record<IndexKind, bigint>> = { note: 256n, credit: 16n };

/** So many indices were used since the last one that the chain shows that recovery would not find another. */
export class IndicesUsedUp extends HedgerowError {
  constructor(kind: IndexKind, used: bigint) {
    const remedy =
      kind === "note" ? "wait until one of the transitions under way lands" : "deposit to the last key first";
    super("IndicesUsedUp", `${INDEX_GAP[kind]} ${kind} indices after ${used} are used and none has landed: ${remedy}`, {
      kind,
      used,
    });
  }
}

/**
 * The index after `used`, the last one that the chain shows, and all that are journalled. No index is given twice: its
 * session keys would be, and with them orders signed before. Throws IndicesUsedUp where recovery would not find it.
 */
export function nextIndex(journal: IndexJournal, kind: IndexKind, used: bigint): bigint {
  const recorded = journal.highest(kind);
  const next = (recorded > used ? recorded : used) + 1n;
  if (next > used + INDEX_GAP[kind]) throw new IndicesUsedUp(kind, used);
  return next;
}

/** A journal that lasts as long as the process: for accounts that live no longer. */
export function memoryJournal(): IndexJournal {
  const highest = new Map<IndexKind, bigint>();
  return {
    highest: (kind) => highest.get(kind) ?? 0n,
    record: (kind, index) => {
      if (index > (highest.get(kind) ?? 0n)) highest.set(kind, index);
    },
  };
}
