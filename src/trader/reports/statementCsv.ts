import { formatAmount } from "../markets.ts";
import type { StatementView } from "../views.ts";
import { KIND_WORDS, utcTime } from "./words.ts";

const COLUMNS = [
  "record",
  "epoch",
  "time (UTC)",
  "what",
  "contract",
  "position",
  "price",
  "amount",
  "cash",
  "fee",
  "ticket",
  "block",
  "transaction",
] as const;

type Row = Partial<Record<(typeof COLUMNS)[number], string>>;

/**
 * A statement as CSV (RFC 4180: CRLF, quotes doubled), amounts in collateral units with all their digits. One table:
 * records `total`, `day`, `variation` and `entry`. A text that a spreadsheet would take for a formula gets an
 * apostrophe before it.
 */
export function statementCsv(view: StatementView, decimals: number): string {
  const money = (baseUnits: string): string => formatAmount(BigInt(baseUnits), decimals, true);
  const totals: readonly (readonly [string, string])[] = [
    ["opening equity", view.openingEquity],
    ["deposits", view.deposits],
    ["withdrawals", view.withdrawals],
    ["fees", view.fees],
    ["variation", view.variation],
    ["other", view.other],
    ["closing equity", view.closingEquity],
  ];
  const rows: readonly Row[] = [
    ...totals.map(([what, amount]): Row => ({ record: "total", what, amount: money(amount) })),
    ...view.days.map((day): Row => ({
      record: "day",
      epoch: String(day.epoch),
      "time (UTC)": day.closedAt === null ? "" : utcTime(day.closedAt),
      what: day.settled ? "equity at the close" : "equity now",
      amount: money(day.equity),
    })),
    ...view.variations.map((each): Row => ({
      record: "variation",
      epoch: String(each.epoch),
      what: each.settled ? "day" : "day that goes on",
      contract: each.contract,
      position: String(each.position),
      price: money(each.settlementPrice),
      amount: money(each.variation),
    })),
    ...view.entries.map((entry): Row => ({
      record: "entry",
      epoch: String(entry.epoch),
      "time (UTC)": utcTime(entry.time),
      what: KIND_WORDS[entry.kind],
      contract: entry.contract ?? "",
      position: String(entry.position),
      price: entry.price === null ? "" : money(entry.price),
      amount: money(entry.amount),
      cash: money(entry.cash),
      fee: money(entry.fee),
      ticket: entry.ticketId ?? "",
      block: String(entry.block),
      transaction: entry.transactionHash,
    })),
  ];
  const lines = [COLUMNS, ...rows.map((row) => COLUMNS.map((column) => row[column] ?? ""))];
  return lines.map((cells) => `${cells.map(field).join(",")}\r\n`).join("");
}

const NUMBER = /^-?\d+(\.\d+)?$/;

function field(text: string): string {
  const formula = !NUMBER.test(text) && /^[\s]*[=+\-@|%]/.test(text);
  const safe = formula || /^[\t\r\n]/.test(text) ? `'${text}` : text;
  return /[",\r\n']|^\s|\s$/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
