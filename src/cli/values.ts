import { WrongUsage } from "./failure.ts";

/*
 * What people type, and what it means. Everything throws WrongUsage, which says the option, the value and an example.
 */

const MOST_CONTRACTS = 2 ** 31 - 1;

/** A price per contract in collateral units, as "34250" or "-3.50", in base units. Throws WrongUsage, BadAmount. */
export async function parsePriceOf(name: string, text: string, decimals: number): Promise<string> {
  assertShowable(name, text);
  const { parsePrice } = await import("../trader/markets.ts");
  return parsePrice(text, decimals).toString();
}

/** An amount above zero in collateral units, as "34,250.50", in base units. Throws WrongUsage, BadAmount. */
export async function parseAmountOf(name: string, text: string, decimals: number): Promise<string> {
  assertShowable(name, text);
  const { parseAmount } = await import("../trader/markets.ts");
  return parseAmount(text, decimals).toString();
}

/** A number of contracts. */
export function parseContracts(name: string, text: string, most = MOST_CONTRACTS): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : NaN;
  if (!(value >= 1 && value <= most)) throw wrong(name, text, `is no whole number from 1 to ${most}`);
  return value;
}

/** A place in the wallet, as `--account` has it (spec ACC-16). */
export function parsePlace(text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,5}$/.test(text)) throw new WrongUsage("--account is no place in the wallet", "give 0, 1, 2 ...");
  return BigInt(text);
}

/** The name of an order or a ticket, or the beginning of it: hex digits. */
export function parseReference(name: string, text: string): string {
  const low = text.toLowerCase();
  if (!/^(0x)?[0-9a-f]{1,64}$/.test(low)) throw wrong(name, text, "is no name: give the hex digits that are listed");
  return low;
}

/** An address on chain. Its checksum is tested where it has one. */
export async function parseAddress(name: string, text: string): Promise<`0x${string}`> {
  const { getAddress, isAddress } = await import("viem");
  const isMixed = text !== text.toLowerCase() && text.slice(2) !== text.slice(2).toUpperCase();
  if (!isAddress(text, { strict: isMixed })) {
    throw wrong(name, text, "is no address: give 0x and 40 hex digits, and look for a slip in them");
  }
  return getAddress(text);
}

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/**
 * A time to come, unix seconds: "14:30" (the next one here), "2026-03-01 14:30" (here), with Z or an offset (there), or
 * "90m" from now.
 */
export function parseTime(name: string, text: string, now = new Date()): number {
  const time = timeOf(text.trim(), now);
  if (time === undefined) throw wrong(name, text, 'is no time: write 14:30, "2026-03-01 14:30", 90m or 2h');
  if (time <= now.getTime()) throw wrong(name, text, "is over already: give a time to come");
  return Math.floor(time / 1_000);
}

/** Milliseconds. */
function timeOf(text: string, now: Date): number | undefined {
  const [, count, unit = ""] = /^\+?(\d{1,6})([smhd])$/.exec(text) ?? [];
  if (count !== undefined) return now.getTime() + Number(count) * (UNITS[unit] ?? 0) * 1_000;
  const [, hours, minutes] = /^([01]?\d|2[0-3]):([0-5]\d)$/.exec(text) ?? [];
  if (hours !== undefined) {
    const next = new Date(now);
    next.setHours(Number(hours), Number(minutes), 0, 0);
    if (next <= now) next.setDate(next.getDate() + 1);
    return next.getTime();
  }
  if (!/^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?$/.test(text)) return undefined;
  const parsed = Date.parse(text.replace(" ", "T"));
  return Number.isNaN(parsed) ? undefined : parsed;
}

/** A mistyped value, as far as it may be shown: what could be a secret is not. */
export function shown(value: string): string {
  const text = value.replace(/\p{C}/gu, "?");
  if (looksSecret(text)) return "(hidden: it looks like a secret)";
  return text.length > 40 ? `"${text.slice(0, 37)}..."` : `"${text}"`;
}

/** A key of 32 bytes in hex, or several words. */
export function looksSecret(text: string): boolean {
  return /[0-9a-f]{60,}/i.test(text) || text.trim().split(/\s+/).length >= 4;
}

/** What goes into an error message elsewhere must be no secret and not endless. */
function assertShowable(name: string, text: string): void {
  if (looksSecret(text) || text.length > 60)
    throw wrong(name, text, 'is no amount: write it like 34250 or "34,250.50"');
}

function wrong(name: string, value: string, rule: string): WrongUsage {
  const [what = rule, ...remedy] = rule.split(": ");
  return new WrongUsage(`${name} ${shown(value)} ${what}`, remedy.join(": ") || "give one that is");
}
