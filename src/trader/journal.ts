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

/** So many note indices were used since the last one that the chain shows that no more tickets can be opened. */
export class IndicesUsedUp extends HedgerowError {
  constructor(used: bigint) {
    super(
      "IndicesUsedUp",
      `${INDEX_GAP.note - 1n} note indices after ${used} are used and none has landed: bring anything else about, as a ` +
        `deposit or a withdrawal, before tickets are opened`,
      { used },
    );
  }
}

/** What an index is taken for. Only tickets make session keys of it, and with them orders. */
export type IndexUse = "tickets" | "other" | "credit";

/**
 * The index after `used`, the last one that the chain shows, and all that are journalled. None is given twice for
 * tickets: their session keys would come again, and with them orders signed before. The last one that recovery finds
 * opens none; whatever else there is to do gets it as often as it takes, so that nobody who refuses for long enough can
 * keep a seat from its renewal, or money from going in or out. Throws IndicesUsedUp for tickets.
 */
export function nextIndex(journal: IndexJournal, use: IndexUse, used: bigint): bigint {
  const kind: IndexKind = use === "credit" ? "credit" : "note";
  const recorded = journal.highest(kind);
  const next = (recorded > used ? recorded : used) + 1n;
  const last = used + INDEX_GAP[kind];
  if (next < last) return next;
  if (use === "tickets") throw new IndicesUsedUp(used);
  return last;
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
