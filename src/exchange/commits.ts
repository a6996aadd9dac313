import type { Receipt, SignedReceipt } from "../protocol/receipt.ts";
import type { CommandStore } from "./memoryStore.ts";

/** Signs the receipts of one group of commands, in order. */
export type ReceiptSigner = (receipts: readonly Receipt[]) => Promise<readonly SignedReceipt[]>;

type Waiting = {
  readonly receipts: readonly Receipt[];
  readonly resolve: (signed: readonly SignedReceipt[]) => void;
  readonly reject: (error: unknown) => void;
};

/**
 * Lets nothing out before it is durable. Commands that come while a group is being written and signed form the next
 * group, so that many at once cost one write and one signature. Groups leave in the order in which they came.
 */
export class Commits {
  readonly #store: Pick<CommandStore, "durable">;
  readonly #sign: ReceiptSigner;
  #waiting: Waiting[] = [];
  #busy = false;

  constructor(store: Pick<CommandStore, "durable">, sign: ReceiptSigner) {
    this.#store = store;
    this.#sign = sign;
  }

  /** The signed receipts of commands that were appended to the store, once they are durable. Rejects if they never are. */
  release(receipts: readonly Receipt[]): Promise<readonly SignedReceipt[]> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ receipts, resolve, reject });
      if (this.#busy) return;
      this.#busy = true;
      // What comes in the same turn of the event loop joins the first group.
      setImmediate(() => void this.#work());
    });
  }

  async #work(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#waiting;
      this.#waiting = [];
      try {
        const receipts = group.flatMap((waiting) => waiting.receipts);
        const signing = receipts.length === 0 ? Promise.resolve([]) : this.#sign(receipts);
        const [signed] = await Promise.all([signing, this.#store.durable()]);
        let next = 0;
        for (const { receipts: own, resolve } of group) resolve(signed.slice(next, (next += own.length)));
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
    }
    this.#busy = false;
  }
}
