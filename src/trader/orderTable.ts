import { z } from "zod";
import { orderRequest } from "./commands.ts";
import type { OrderStore, StoredOrder } from "./orderStore.ts";
import { checked, checkedEntry, checkedReport, fromText, readRow, textOf, WalletRowDamaged } from "./storedForms.ts";
import type { WalletDatabase } from "./walletDatabase.ts";

/** The table of signed orders; `account` names clearing house and account. */
export const ORDERS_TABLE = `CREATE TABLE IF NOT EXISTS orders (
  place INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, ticket TEXT NOT NULL, client TEXT NOT NULL,
  revision INTEGER NOT NULL, entry TEXT NOT NULL, request TEXT NOT NULL, recorded_at INTEGER NOT NULL,
  report TEXT, refusal TEXT, UNIQUE (account, ticket, client)
)`;

const whole = z.int().min(0);
const outlineSchema = z.object({ place: z.number() });
const rowSchema = z.object({
  ticket: z.string(),
  client: z.string(),
  revision: whole,
  entry: z.string(),
  request: z.string(),
  recorded_at: whole,
  report: z.string().nullable(),
  refusal: z.string().nullable(),
});

/**
 * The orders of one account in a wallet's database. Reading throws WalletRowDamaged; `record` and `report`
 * throw BadRecord for what could not be read back. A report older than the one that is kept is passed over.
 */
export function orderTable(database: WalletDatabase, account: string): OrderStore {
  const insert = database.prepare(
    `INSERT INTO orders (account, ticket, client, revision, entry, request, recorded_at) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (account, ticket, client) DO UPDATE SET revision = excluded.revision, entry = excluded.entry,
       request = excluded.request, recorded_at = excluded.recorded_at, refusal = NULL
     WHERE excluded.revision > revision`,
  );
  const named = "account = ? AND ticket = ? AND client = ?";
  const restore = database.prepare(`UPDATE orders SET revision = ?, entry = ? WHERE ${named}`);
  const one = database.prepare(`SELECT * FROM orders WHERE ${named}`);
  const ofAll = database.prepare("SELECT * FROM orders WHERE account = ? ORDER BY place");
  const ofTicket = database.prepare("SELECT * FROM orders WHERE account = ? AND ticket = ? ORDER BY place");
  const report = database.prepare(`UPDATE orders SET report = ?, refusal = ? WHERE ${named}`);
  const refuse = database.prepare(`UPDATE orders SET refusal = ? WHERE ${named}`);
  const get: OrderStore["get"] = (ticketId, clientId) => {
    const row = one.get(account, ticketId.toLowerCase(), clientId.toString());
    return row === undefined ? undefined : orderOf(row);
  };

  return {
    record: ({ entry, request, recordedAt }) => {
      const { ticketId, clientId, revision } = checkedEntry(entry).order;
      const [signed, asked] = [textOf(entry), textOf(checked("order request", orderRequest, request))];
      insert.run(account, ticketId, clientId.toString(), revision, signed, asked, checked("time", whole, recordedAt));
    },
    restore: (entry) => {
      const { ticketId, clientId, revision } = checkedEntry(entry).order;
      restore.run(revision, textOf(entry), account, ticketId, clientId.toString());
    },
    report: (word) => {
      const { ticketId, clientId, revision } = checkedReport(word);
      const kept = get(ticketId, clientId);
      if (kept === undefined || (kept.report !== undefined && isBefore(word, kept.report))) return;
      // Word of the newest revision: so it was not refused for good.
      const refusal = revision >= kept.entry.order.revision ? null : (kept.refusal ?? null);
      report.run(textOf(word), refusal, account, ticketId, clientId.toString());
    },
    refuse: (ticketId, clientId, reason) => {
      refuse.run(reason, account, ticketId.toLowerCase(), clientId.toString());
    },
    list: (of) => {
      const rows = of === undefined ? ofAll.all(account) : ofTicket.all(account, of.ticketId.toLowerCase());
      return rows.map(orderOf);
    },
    get,
  };
}

type Report = NonNullable<StoredOrder["report"]>;

function isBefore(a: Report, b: Report): boolean {
  return a.seq < b.seq || (a.seq === b.seq && a.n < b.n);
}

function orderOf(row: unknown): StoredOrder {
  const { place } = outlineSchema.parse(row);
  return readRow("orders", place, () => {
    const { ticket, client, revision, recorded_at, report, refusal, ...stored } = rowSchema.parse(row);
    const entry = checkedEntry(fromText(stored.entry));
    const { order } = entry;
    if (order.ticketId !== ticket || order.clientId.toString() !== client || order.revision !== revision) {
      throw new WalletRowDamaged("orders", place, "it stands under another's name");
    }
    return {
      entry,
      request: orderRequest.parse(fromText(stored.request)),
      recordedAt: recorded_at,
      report: report === null ? undefined : checkedReport(fromText(report)),
      refusal: refusal ?? undefined,
    };
  });
}
