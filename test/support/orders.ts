import { apply, type Book, createBook } from "../../src/market/engine.ts";
import { type BookTerms, OPEN_TERMS } from "../../src/market/terms.ts";
import type { CancelOrder, Command, Entry, NewOrder, ReplaceOrder, Session, Side } from "../../src/market/types.ts";
import { trades } from "../../src/market/views.ts";

/** Terms like those of a live market: narrow limits, revisions of one byte. */
export const STRICT_TERMS: BookTerms = {
  priceLimitDownTicks: -10,
  priceLimitUpTicks: 10,
  maxRevision: 255,
};

/** The same with a collar narrower than the limits. */
export const COLLARED_TERMS: BookTerms = { ...STRICT_TERMS, collar: { widthTicks: 3, centreTicks: 0 } };

/** A new GTC order whose owner is its own, unless the extras say otherwise. */
export function limit(
  orderId: string,
  side: Side,
  priceTicks: number,
  quantity: number,
  extras: Partial<NewOrder> = {},
): NewOrder {
  return { kind: "new", orderId, owner: orderId, side, priceTicks, quantity, timeInForce: "GTC", ...extras };
}

export function cancelOf(orderId: string): CancelOrder {
  return { kind: "cancel", orderId };
}

export function replacement(
  orderId: string,
  side: Side,
  priceTicks: number,
  quantity: number,
  revision = 1,
): ReplaceOrder {
  return { kind: "replace", orderId, side, priceTicks, quantity, revision };
}

/** A book after commands numbered from 0, and all their entries. */
export function run(
  commands: readonly Command[],
  terms = OPEN_TERMS,
  session: Session = "open",
): { readonly book: Book; readonly entries: Entry[] } {
  const book = createBook(terms, session);
  return { book, entries: commands.flatMap((command, seq) => [...apply(book, seq, command)]) };
}

/** Trades as `maker quantity @ price`. */
export function fills(entries: readonly Entry[]): readonly string[] {
  return trades(entries).map(({ maker, quantity, priceTicks }) => `${maker} ${quantity} @ ${priceTicks}`);
}

/** Code of the last command's rejection; undefined if it was not rejected. */
export function lastCode({ entries }: { readonly entries: readonly Entry[] }): string | undefined {
  const last = entries.at(-1);
  return last?.kind === "rejected" ? last.error.code : undefined;
}
