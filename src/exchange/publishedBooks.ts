import type { BookSnapshot, LevelChange } from "../api/service.ts";
import type { TradingDay } from "./tradingDay.ts";

type Levels = Map<bigint, Omit<LevelChange, "side">>;
type Published = { seq: number; readonly buy: Levels; readonly sell: Levels; sorted: BookSnapshot | undefined };

/** The books as far as they are durable: what the public has been told. */
export class PublishedBooks {
  readonly #books = new Map<number, Published>();

  /** Another day has begun: nothing rests. */
  clear(): void {
    this.#books.clear();
  }

  /** Shows what rests in a day now: after a restart. */
  load(day: TradingDay, seq: number): void {
    day.markets.forEach(({ listed }, slot) => {
      if (!listed) return;
      const book = this.#bookOf(slot);
      book.seq = seq;
      book.sorted = undefined;
      const { bids, asks } = day.depth(slot);
      for (const level of bids) book.buy.set(level.price, level);
      for (const level of asks) book.sell.set(level.price, level);
    });
  }

  /** Something else rests at some prices from command `seq` on. */
  apply(slot: number, seq: number, changes: readonly LevelChange[]): void {
    const book = this.#bookOf(slot);
    book.seq = seq;
    book.sorted = undefined;
    for (const { side, price, quantity, orders } of changes) {
      if (quantity === 0) book[side].delete(price);
      else book[side].set(price, { price, quantity, orders });
    }
  }

  /** All levels of a market, best first. */
  snapshot(slot: number): BookSnapshot {
    const book = this.#bookOf(slot);
    const { seq, buy, sell } = book;
    const rising = (a: { readonly price: bigint }, b: { readonly price: bigint }): number =>
      a.price < b.price ? -1 : a.price > b.price ? 1 : 0;
    book.sorted ??= {
      slot,
      seq,
      bids: [...buy.values()].sort((a, b) => rising(b, a)),
      asks: [...sell.values()].sort(rising),
    };
    return book.sorted;
  }

  #bookOf(slot: number): Published {
    let book = this.#books.get(slot);
    if (book === undefined)
      this.#books.set(slot, (book = { seq: 0, buy: new Map(), sell: new Map(), sorted: undefined }));
    return book;
  }
}
