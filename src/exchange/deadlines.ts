/** Things with a time at which they fall due: entering and leaving cost the same however many there are. */
export class Deadlines<T> {
  readonly #at = new Map<bigint, Set<T>>();
  /** The times, rising. There are at most as many as seconds in a day. */
  readonly #times: bigint[] = [];

  add(time: bigint, item: T): void {
    const found = this.#at.get(time);
    if (found !== undefined) {
      found.add(item);
      return;
    }
    this.#at.set(time, new Set([item]));
    this.#times.splice(this.#placeOf(time), 0, time);
  }

  remove(time: bigint, item: T): void {
    const items = this.#at.get(time);
    if (items?.delete(item) !== true || items.size > 0) return;
    this.#forget(time);
  }

  /** Whether anything falls due before `time`. */
  isDue(time: bigint): boolean {
    const [first] = this.#times;
    return first !== undefined && first < time;
  }

  /** Takes out what falls due before `time` and returns it, earliest first, then in order of entry. */
  takeBefore(time: bigint): readonly T[] {
    const taken: T[] = [];
    for (let first = this.#times[0]; first !== undefined && first < time; first = this.#times[0]) {
      taken.push(...(this.#at.get(first) ?? []));
      this.#forget(first);
    }
    return taken;
  }

  #forget(time: bigint): void {
    this.#at.delete(time);
    this.#times.splice(this.#placeOf(time), 1);
  }

  #placeOf(time: bigint): number {
    let low = 0;
    let high = this.#times.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#times[middle] ?? time) < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
