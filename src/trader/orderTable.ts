import { z } from "zod";
import { fromJson, toJson } from "../exchange/command.ts";
import { MalformedMessage, parseOrder } from "../exchange/input.ts";
import type { OrderReport } from "../exchange/service.ts";
import { HedgerowError } from "../protocol/errors.ts";
import { orderRequest } from "./commands.ts";
import { reasonOf } from "./files.ts";
import type { OrderStore, StoredOrder } from "./orderStore.ts";
import { hex } from "./views.ts";
import type { WalletDatabase } from "./walletDatabase.ts";

/** A stored order is not what this program writes. */
export class OrderDamaged extends HedgerowError {
  constructor(place: number, reason: string) {
    super(
      "OrderDamaged",
      `stored order ${place} cannot be read (${reason}): move wallet.sqlite away and recover the wallet`,
      { place, reason },
    );
  }
}

/** The table of signed orders; `account` names clearing house and account. */
export const ORDERS_TABLE = `CREATE TABLE IF NOT EXISTS orders (
  place INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, ticket TEXT NOT NULL, client TEXT NOT NULL,
  revision INTEGER NOT NULL, entry TEXT NOT NULL, request TEXT NOT NULL, recorded_at INTEGER NOT NULL,
  report TEXT, refusal TEXT, UNIQUE (account, ticket, client)
)`;

const whole = z.int().min(0);
const uint64 = z
  .bigint()
  .min(0n)
  .max((1n << 64n) - 1n);
const reportSchema = z.strictObject({
  ticketId: hex(32),
  clientId: uint64,
  slot: z.int().min(0).max(7),
  orderHash: hex(32),
  revision: z.int().min(0).max(255),
  side: z.enum(["buy", "sell"]),
  limitPrice: z.bigint(),
  quantity: whole,
  timeInForce: z.enum(["GTC", "IOC", "FOK"]),
  status: z.enum(["waiting", "open", "filled", "cancelled", "expired"]),
  filled: whole,
  filledValue: z.bigint(),
  remaining: whole,
  seq: whole,
  n: whole,
  time: z.bigint(),
});
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
 * The orders of one account in a wallet's database. Reading throws OrderDamaged; `record` and `report` throw
 * MalformedMessage for what could not be read back. A report older than the one that is kept is passed over.
 */
export function orderTable(database: WalletDatabase, account: string): OrderStore {
  const insert = database.prepare(
    `INSERT INTO orders (account, ticket, client, revision, entry, request, recorded_at) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (account, ticket, client) DO UPDATE SET revision = excluded.revision, entry = excluded.entry,
       request = excluded.request, recorded_at = excluded.recorded_at, refusal = NULL
     WHERE excluded.revision > revision`,
  );
  const named = "account = ? AND ticket = ? AND client = ?";
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
      const { ticketId, clientId, revision } = parseOrder(entry).order;
      const asked = orderRequest.parse(request);
      insert.run(account, ticketId, clientId.toString(), revision, toJson(entry), JSON.stringify(asked), recordedAt);
    },
    report: (word) => {
      const { ticketId, clientId, revision } = checked(word);
      const kept = get(ticketId, clientId);
      if (kept === undefined || (kept.report !== undefined && isBefore(word, kept.report))) return;
      // Word of the newest revision: so it was not refused for good.
      const refusal = revision >= kept.entry.order.revision ? null : (kept.refusal ?? null);
      report.run(toJson(word), refusal, account, ticketId, clientId.toString());
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

function isBefore(a: OrderReport, b: OrderReport): boolean {
  return a.seq < b.seq || (a.seq === b.seq && a.n < b.n);
}

function checked(report: OrderReport): OrderReport {
  const result = reportSchema.safeParse(report);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new MalformedMessage("order report", issue?.path.join(".") ?? "", issue?.message ?? "not understood");
}

function orderOf(row: unknown): StoredOrder {
  const { place } = outlineSchema.parse(row);
  try {
    const { ticket, client, revision, recorded_at, report, refusal, ...stored } = rowSchema.parse(row);
    const entry = parseOrder(fromJson(z.unknown(), stored.entry));
    const { order } = entry;
    if (order.ticketId !== ticket || order.clientId.toString() !== client || order.revision !== revision) {
      throw new OrderDamaged(place, "it stands under another's name");
    }
    return {
      entry,
      request: orderRequest.parse(JSON.parse(stored.request)),
      recordedAt: recorded_at,
      report: report === null ? undefined : fromJson(reportSchema, report),
      refusal: refusal ?? undefined,
    };
  } catch (error) {
    throw error instanceof OrderDamaged ? error : new OrderDamaged(place, reasonOf(error));
  }
}
