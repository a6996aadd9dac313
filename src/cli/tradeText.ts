import { formatAmount, shortTicket } from "../trader/markets.ts";
import type { OrderView, TicketSummary, TransitionView } from "../trader/views.ts";
import type { WorkedReport } from "../trader/worked.ts";
import { isLive } from "../trader/liveOrder.ts";
import { localTime, table } from "./terminal.ts";

/*
 * Answers of the trading commands as text, at most 80 columns wide.
 */

const SHORTEST_NAME = 6;

/** What became of one order. */
export function orderText(order: OrderView, receipts: number, decimals: number): string {
  const lines = [
    ["order", `${order.ref}  ${order.side} ${order.quantity} ${order.contract}, ${kindOf(order, decimals)}`],
    ["state", stateOf(order, decimals)],
    ...(isLive(order) ? [["until", localTime(order.expiry)]] : []),
    ["ticket", shortTicket(order.ticketId)],
    ["kept", `${receipts} signed receipt${receipts === 1 ? "" : "s"}, checked`],
  ];
  return lines.map(([name = "", text = ""]) => `${name.padEnd(7)} ${text}`).join("\n");
}

/** Orders as a table. `none`: what to say where there is none. */
export function ordersText(orders: readonly OrderView[], decimals: number, none: string): string {
  if (orders.length === 0) return none;
  const digits = uniqueLength(orders.map((order) => order.ref));
  const rows = orders.map((order) => [
    order.ref.slice(0, digits),
    order.contract.slice(0, 14),
    `${order.side} ${order.quantity}`,
    String(order.filled),
    isMarket(order) ? "market" : formatAmount(BigInt(order.limitPrice), decimals),
    order.status,
    localTime(order.expiry).slice(5, 16),
  ]);
  const columns = [
    { title: "order" },
    { title: "market" },
    { title: "to" },
    { title: "filled", right: true },
    { title: "price", right: true },
    { title: "state" },
    { title: `until` },
  ];
  const refused = orders.flatMap(({ ref, reason }) => (reason === null ? [] : [`${ref.slice(0, digits)}: ${reason}`]));
  return [table(columns, rows), ...refused, `times are ${localTime(0).slice(20)}`].join("\n");
}

/** Open tickets as a table. */
export function ticketsText(tickets: readonly TicketSummary[], decimals: number): string {
  if (tickets.length === 0) return "no ticket is open";
  const digits = uniqueLength(tickets.map((ticket) => ticket.ticketId));
  const rows = tickets.map((ticket) => [
    ticket.ticketId.slice(0, digits),
    ticket.contract.slice(0, 14),
    String(ticket.position),
    formatAmount(BigInt(ticket.cash), decimals),
    formatAmount(BigInt(ticket.worth), decimals),
    ticket.leftOver ? "left over" : ticket.reduceOnly ? "reduces" : "open",
  ]);
  const columns = [
    { title: "ticket" },
    { title: "market" },
    { title: "position", right: true },
    { title: "cash", right: true },
    { title: "worth", right: true },
    { title: "state" },
  ];
  return table(columns, rows);
}

/** How far a worked iceberg is, in a line. */
export function workedText(report: WorkedReport, decimals: number): string {
  const { id, side, quantity, filled, averagePrice, parts, status } = report;
  const mean = averagePrice === null ? "" : ` at ${formatAmount(BigInt(averagePrice), decimals)}`;
  return `${id}  ${side} ${quantity}: ${filled} filled${mean} in ${parts} orders, ${status}`;
}

/** How a transition fared, in a sentence. */
export function transitionText({ action, status }: TransitionView): string {
  return status === "landed"
    ? `${action}: done, the chain shows it`
    : `${action}: taken by the exchange; the chain shows it with the next batch`;
}

function kindOf(order: OrderView, decimals: number): string {
  const price = isMarket(order) ? "at the market" : `limit ${formatAmount(BigInt(order.limitPrice), decimals)}`;
  const stop = order.stopPrice === null ? "" : `, stop ${formatAmount(BigInt(order.stopPrice), decimals)}`;
  const shown = order.displayQuantity === null ? "" : `, ${order.displayQuantity} shown`;
  const marks = [order.timeInForce === "GTC" ? "" : order.timeInForce, order.postOnly ? "post-only" : ""];
  const others = [...marks, order.reduceOnly ? "reduce-only" : ""].filter((mark) => mark !== "");
  return [`${price}${stop}${shown}`, ...others].join(", ");
}

function stateOf(order: OrderView, decimals: number): string {
  const { status, filled, quantity, remaining, averagePrice } = order;
  const mean = averagePrice === null ? "" : ` at ${formatAmount(BigInt(averagePrice), decimals)}`;
  const part = filled === 0 ? "nothing filled" : `${filled} of ${quantity} filled${mean}`;
  switch (status) {
    case "filled":
      return `filled${mean}`;
    case "open":
      return `in the book: ${part}, ${remaining} to go`;
    case "waiting":
      return order.stopPrice === null ? `waiting: ${part}` : "waiting for a trade at the stop price";
    case "unsent":
      return "written down, not answered yet: hedgerow catch-up asks what became of it";
    case "cancelled":
    case "expired":
    case "refused":
      return `${status}: ${part}`;
  }
}

function isMarket(order: OrderView): boolean {
  return order.type === "market" || order.type === "stop";
}

/** Digits that tell all names apart. */
function uniqueLength(names: readonly string[]): number {
  const longest = Math.max(...names.map((name) => name.length));
  for (let digits = SHORTEST_NAME; digits < longest; digits++) {
    if (new Set(names.map((name) => name.slice(0, digits))).size === new Set(names).size) return digits;
  }
  return longest;
}
