import type { ArchivedOrder, JournalRecord } from "../../src/exchange/journal/journal.ts";

// Records whose contents follow from their number, so that another process can tell what they must be.

export const IDENTITY = "chain 31337, clearing house 0x11, records 1";
export const ARCHIVE_EVERY = 3;

export function recordOf(number: number): JournalRecord {
  const filler = "f".repeat((number * 37) % 900);
  return { number, body: JSON.stringify({ place: number, filler }), outcome: JSON.stringify([number, "ß€"]) };
}

/** An order that record `number` archives. */
export function archivedBy(number: number): ArchivedOrder {
  const ticketId = `0x${number.toString(16).padStart(64, "0")}` as const;
  return { ticketId, clientId: BigInt(number) << 40n, record: number - 1, state: JSON.stringify({ filled: number }) };
}
