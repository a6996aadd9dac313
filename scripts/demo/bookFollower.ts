import type { ExchangeClient } from "../../src/api/client.ts";
import type { BookSnapshot, LevelChange } from "../../src/api/service.ts";
import type { Side } from "../../src/protocol/order.ts";
import { asError } from "./waiting.ts";

type Level = Omit<LevelChange, "side">;

/** A book that is kept from the public stream alone: a whole book at first, then its steps. */
export class BookFollower {
  steps = 0;
  readonly #sides: Readonly<Record<Side, Map<bigint, Level>>> = { buy: new Map(), sell: new Map() };
  readonly #closing = new AbortController();
  #fault: Error | undefined;

  constructor(client: ExchangeClient, slot: number) {
    void this.#follow(client, slot).catch((error: unknown) => {
      if (!this.#closing.signal.aborted) this.#fault = asError(error);
    });
  }

  /** Whether the book that was followed is this one, level by level. Throws what ended the stream. */
  equals(book: BookSnapshot): boolean {
    if (this.#fault !== undefined) throw this.#fault;
    const same = (mine: Map<bigint, Level>, levels: readonly Level[]): boolean =>
      mine.size === levels.length &&
      levels.every(({ price, quantity, orders }) => {
        const level = mine.get(price);
        return level?.quantity === quantity && level.orders === orders;
      });
    return same(this.#sides.buy, book.bids) && same(this.#sides.sell, book.asks);
  }

  close(): void {
    this.#closing.abort();
  }

  async #follow(client: ExchangeClient, slot: number): Promise<void> {
    for await (const event of client.watchOrderBook(slot, { signal: this.#closing.signal })) {
      if (event.kind === "book") {
        for (const side of ["buy", "sell"] as const) this.#sides[side].clear();
        for (const level of event.book.bids) this.#sides.buy.set(level.price, level);
        for (const level of event.book.asks) this.#sides.sell.set(level.price, level);
      } else {
        for (const level of event.update.changes) this.#apply(level);
        this.steps += 1;
      }
    }
  }

  #apply({ side, ...level }: LevelChange): void {
    if (level.quantity === 0) this.#sides[side].delete(level.price);
    else this.#sides[side].set(level.price, level);
  }
}
