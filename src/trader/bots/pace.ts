/** How fast a bot may go: so many commands a second, and none for a while after a refusal. */
export class Pace {
  readonly #perSecond: number;
  readonly #now: () => number;
  #tokens: number;
  #at: number;
  #pauseMs = 0;
  #pausedUntil = 0;

  /** `now` in milliseconds. */
  constructor(perSecond: number, now: () => number = () => performance.now()) {
    this.#perSecond = perSecond;
    this.#now = now;
    this.#tokens = this.#most;
    this.#at = now();
  }

  /** Takes leave for one command, if there is any. Cancels pass while others have to wait: they only lower risk. */
  take(isCancel: boolean): boolean {
    const now = this.#now();
    this.#tokens = Math.min(this.#most, this.#tokens + ((now - this.#at) * this.#perSecond) / 1_000);
    this.#at = now;
    if (this.#tokens < 1 || (!isCancel && now < this.#pausedUntil)) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Slows down: each refusal in a row doubles the pause (spec BOT-14). */
  refused(): void {
    const now = this.#now();
    if (now < this.#pausedUntil) return;
    this.#pauseMs = Math.min(Math.max(2 * this.#pauseMs, FIRST_PAUSE_MS), LONGEST_PAUSE_MS);
    this.#pausedUntil = now + this.#pauseMs;
  }

  /** Something went well: the next pause is a short one again. */
  accepted(): void {
    this.#pauseMs = 0;
  }

  /** Milliseconds until it may go on. */
  get pause(): number {
    return Math.max(0, this.#pausedUntil - this.#now());
  }

  get #most(): number {
    return Math.max(1, this.#perSecond);
  }
}

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 15_000;
