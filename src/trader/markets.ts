import type { EpochMarket, EpochMarkets } from "../protocol/epoch.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";

/*
 * How people name markets and tickets, and write money: names for contractIds and slots, decimal collateral for base
 * units. Exact in both directions: nothing is ever rounded here.
 */

/** A market of an epoch with its place. */
export type NamedMarket = { readonly slot: number; readonly name: string; readonly market: EpochMarket };

/** What a person tells a market by. */
type Called = { readonly slot: number; readonly name: string };

/** No market of the day has this name or number. */
export class UnknownMarket extends HedgerowError {
  constructor(text: string, known: readonly Called[]) {
    const list = known.map(({ slot, name }) => `${slot} ${name}`).join(", ");
    super(
      "UnknownMarket",
      `there is no market "${text}": ${list === "" ? "none is listed today" : `name one of ${list}`}`,
      {
        market: text,
        known: list,
      },
    );
  }
}

/** A text is no amount of money, or one that the collateral or the market cannot express. */
export class BadAmount extends HedgerowError {
  constructor(text: string, rule: string) {
    super("BadAmount", `"${text}" is no such amount: ${rule}`, { text, rule });
  }
}

/** A contractId as text: its bytes without trailing zeros; in hex where they are no printable ASCII. */
export function contractName(contractId: Hex): string {
  const bytes = Buffer.from(contractId.slice(2), "hex");
  const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
  const text = bytes.subarray(0, end);
  const printable = end > 0 && text.every((byte) => byte >= 0x20 && byte <= 0x7e);
  return printable ? String.fromCharCode(...text) : contractId;
}

/** The beginning of a ticket's id: long enough to be its name. */
export function shortTicket(ticketId: string): string {
  return ticketId.slice(0, 18);
}

/** The listed markets of an epoch, by slot. */
export function namedMarkets(markets: EpochMarkets): readonly NamedMarket[] {
  return markets.flatMap((market, slot) =>
    market.listed ? [{ slot, name: contractName(market.contractId), market }] : [],
  );
}

/**
 * The market that a person means: its slot number, or its name without regard to case, "-" standing for a space.
 * A name goes before a number. Throws UnknownMarket, which lists what there is.
 */
export function findMarket(markets: EpochMarkets, text: string): NamedMarket {
  return findCalled(namedMarkets(markets), text);
}

/** As findMarket, of whatever has a market's slot and name. Throws UnknownMarket. */
export function findCalled<T extends Called>(known: readonly T[], text: string): T {
  const wanted = comparable(text);
  const found =
    known.find(({ name }) => comparable(name) === wanted) ?? known.find(({ slot }) => String(slot) === text.trim());
  if (found === undefined) throw new UnknownMarket(text, known);
  return found;
}

/** A market's name as it is compared: without regard to case, "-" standing for a space. */
export function comparable(name: string): string {
  return name.trim().toLowerCase().replaceAll("-", " ");
}

/**
 * A price in collateral units, as "34250.00" or "-37.63", in base units. `tick`: it must be a whole number of them.
 * Throws BadAmount.
 */
export function parsePrice(text: string, decimals: number, tick?: bigint): bigint {
  const price = parseDecimal(text, decimals);
  if (tick !== undefined && price % tick !== 0n) {
    const rest = ((price % tick) + tick) % tick;
    const [below, above] = [price - rest, price - rest + tick].map((near) => formatAmount(near, decimals));
    throw new BadAmount(text, `prices go in steps of ${formatAmount(tick, decimals)}; near are ${below} and ${above}`);
  }
  return price;
}

/** An amount of collateral above zero, as "1250.5", in base units. Throws BadAmount. */
export function parseAmount(text: string, decimals: number): bigint {
  const amount = parseDecimal(text, decimals);
  if (amount <= 0n) throw new BadAmount(text, "give more than zero");
  return amount;
}

const DECIMAL = /^([+-]?)(\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d+))?$/;
/** Amounts of the protocol are below 2^128, a number of 39 digits. */
const MOST_DIGITS = 40;

function parseDecimal(text: string, decimals: number): bigint {
  const [, sign = "", whole = "", fraction = ""] = DECIMAL.exec(text.trim()) ?? [];
  if (whole === "") throw new BadAmount(text, "write digits with a decimal point, as 1250.50 or -37.63");
  const significant = fraction.replace(/0+$/, "");
  if (significant.length > decimals) {
    throw new BadAmount(
      text,
      `the collateral has ${decimals} digits after the point, and this has ${significant.length}`,
    );
  }
  const digits = whole.replaceAll(",", "") + significant.padEnd(decimals, "0");
  if (digits.length > MOST_DIGITS) throw new BadAmount(text, "it is larger than any amount that exists");
  return sign === "-" ? -BigInt(digits) : BigInt(digits);
}

/**
 * Base units exactly as collateral units: thousands separated unless `plain`, two digits after the point at the least
 * (as many as the collateral has if fewer), more only where they are not zero: -1,234.50.
 */
export function formatAmount(baseUnits: bigint, decimals: number, plain = false): string {
  const digits = (baseUnits < 0n ? -baseUnits : baseUnits).toString().padStart(decimals + 1, "0");
  const point = digits.length - decimals;
  const whole = digits.slice(0, point);
  const fraction = digits.slice(point).replace(/0+$/, "").padEnd(Math.min(2, decimals), "0");
  const grouped = plain ? whole : whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return `${baseUnits < 0n ? "-" : ""}${grouped}${fraction === "" ? "" : `.${fraction}`}`;
}
