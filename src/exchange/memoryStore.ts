import type { Hex } from "../protocol/keys.ts";
import type { ArchivedOrder, Journal, JournalRecord } from "./journal/journal.ts";

/** Where the exchange keeps its commands: the journal on disk, or memory. */
export type CommandStore = Pick<
  Journal,
  "append" | "archived" | "durable" | "last" | "newestSnapshot" | "pending" | "record" | "records" | "saveSnapshot"
>;

/** A store that ends with the process: for demos and tests that need no restart. */
export function memoryStore(): CommandStore {
  const records: JournalRecord[] = [];
  const archive = new Map<string, ArchivedOrder>();
  const nameOf = (ticketId: Hex, clientId: bigint): string => `${ticketId}:${clientId}`;
  return {
    get last() {
      return records.length;
    },
    pending: 0,
    append: (record, ended) => {
      records.push(record);
      for (const order of ended ?? []) archive.set(nameOf(order.ticketId, order.clientId), order);
    },
    durable: () => Promise.resolve(),
    record: (number) => records[number - 1],
    *records(after) {
      yield* records.slice(after);
    },
    archived: (ticketId, clientId) => archive.get(nameOf(ticketId, clientId)),
    newestSnapshot: () => undefined,
    saveSnapshot: () => Promise.resolve(),
  };
}
