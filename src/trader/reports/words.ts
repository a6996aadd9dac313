import type { HistoryEntry } from "../views.ts";

/** What happened, in words. */
export const KIND_WORDS: Readonly<Record<HistoryEntry["kind"], string>> = {
  "seat-opened": "seat opened",
  deposit: "deposit sent",
  refund: "deposit refunded",
  fund: "deposit taken in",
  withdraw: "withdrawal",
  "ticket-opened": "ticket opened",
  fill: "fill",
  "ticket-closed": "ticket closed",
  "taken-over": "taken over",
  "ticket-left-over": "ticket left over",
  "ticket-claimed": "ticket claimed",
  renew: "renewal",
  settled: "expired",
  defaulted: "default",
  sleep: "asleep",
  wake: "awake",
  rejoin: "rejoined",
  exit: "exit",
  "seat-closed": "seat closed",
  "bond-forfeited": "bond forfeited",
};

/** Unix seconds as UTC: 2026-03-01 14:30:00. */
export function utcTime(seconds: number): string {
  return new Date(seconds * 1_000).toISOString().replace("T", " ").slice(0, 19);
}

/** The line of a statement that says how its numbers hang together. */
export const RECONCILIATION =
  "opening equity + deposits - withdrawals - fees + variation + close-out fees = closing equity";
