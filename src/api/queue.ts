/**
 * Items on their way to one reader, never more than a bound. `push` says whether there was room; the reader gets what
 * is queued, then the end or the error. After `fail` the queued items are gone.
 */
export class BoundedQueue<T> implements AsyncIterable<T> {
  readonly #mostItems: number;
  readonly #mostWeight: number;
  #items: { readonly item: T; readonly weight: number }[] = [];
  #head = 0;
  #weight = 0;
  #ended = false;
  #failure: { readonly error: Error } | undefined;
  #wake: (() => void) | undefined;

  constructor(mostItems: number, mostWeight = Infinity) {
    this.#mostItems = mostItems;
    this.#mostWeight = mostWeight;
  }

  /** Whether an item found room. An item is taken by an empty queue, whatever it weighs. */
  push(item: T, weight = 0): boolean {
    if (this.#ended) return true;
    const count = this.#items.length - this.#head;
    if (count > 0 && (count >= this.#mostItems || this.#weight + weight > this.#mostWeight)) return false;
    this.#items.push({ item, weight });
    this.#weight += weight;
    this.#wake?.();
    return true;
  }

  /** Nothing follows. */
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** Drops what is queued: the reader gets the error next. */
  fail(error: Error): void {
    if (this.#ended) return;
    this.#failure = { error };
    this.#ended = true;
    this.#items = [];
    this.#head = 0;
    this.#weight = 0;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for (;;) {
      const next = this.#items[this.#head];
      if (next !== undefined) {
        this.#head += 1;
        this.#weight -= next.weight;
        if (this.#head === this.#items.length) {
          this.#items = [];
          this.#head = 0;
        }
        yield next.item;
      } else if (this.#failure !== undefined) {
        throw this.#failure.error;
      } else if (this.#ended) {
        return;
      } else {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        this.#wake = undefined;
      }
    }
  }
}
