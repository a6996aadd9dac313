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
export const INDEX_GAP = 16n;

/**
 * The index after `used`, the last one that the chain shows, and all that are journalled; but never one that recovery
 * would not find. At that edge the last index repeats, which is harmless: transitions that differ from the chain's last
 * one spend the same note, so only one of them takes effect.
 */
export function nextIndex(journal: IndexJournal, kind: IndexKind, used: bigint): bigint {
  const recorded = journal.highest(kind);
  const next = (recorded > used ? recorded : used) + 1n;
  return next > used + INDEX_GAP ? used + INDEX_GAP : next;
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
