import { setTimeout as sleep } from "node:timers/promises";
import { connectExchange, type ExchangeClient, ExchangeRefused, ExchangeUnreachable } from "../../src/api/client.ts";
import type { ProvenTransition, SignedOrder } from "../../src/chain/clearingHouse.ts";
import type { OrderAnswer, OrderEntry, OrderReport, QueuedTransition } from "../../src/api/service.ts";
import type { Hex } from "../../src/protocol/keys.ts";
import type { SignedCancel, SignedWatch } from "../../src/protocol/order.ts";
import type { SignedReceipt } from "../../src/protocol/receipt.ts";
import type { OrderReceipt, ReceiptStore } from "../../src/trader/receiptStore.ts";
import { asError } from "./waiting.ts";

/** What a desk may not keep to itself: the stage waits until the chain shows these. */
export type DeskReport = {
  readonly onTransition: (nullifier: bigint) => void;
  readonly onReceipt: (signed: SignedReceipt) => void;
};

/** How long receipts gather before they are stored together, in milliseconds. */
const GATHER_MS = 20;
const RETRY_MS = 100;

/** A trader's connection to the exchange. It stores every receipt that comes back, and watches the trader's orders. */
export class Desk {
  readonly client: ExchangeClient;
  readonly #report: DeskReport;
  readonly #store: () => ReceiptStore;
  readonly #closing = new AbortController();
  #gathered: OrderReceipt[] = [];
  #timer: NodeJS.Timeout | undefined;
  #fault: Error | undefined;
  #watches = 0;
  #openings = 0;

  /** The store is asked for each time: a wallet may be opened anew. */
  constructor(url: string, store: () => ReceiptStore, report: DeskReport) {
    this.client = connectExchange(url);
    this.#store = store;
    this.#report = report;
  }

  async submit(transition: ProvenTransition): Promise<QueuedTransition> {
    const queued = await this.client.submitTransition(transition);
    this.#report.onTransition(transition.nullifier);
    return queued;
  }

  async place(entry: OrderEntry): Promise<OrderReport> {
    return this.keep(await this.client.createOrder(entry));
  }

  async replace(order: SignedOrder): Promise<OrderReport> {
    return this.keep(await this.client.editOrder(order));
  }

  async cancel(cancel: SignedCancel): Promise<OrderReport> {
    return this.keep(await this.client.cancelOrder(cancel));
  }

  /** Stores the receipts of an answer; the order as it stands. */
  keep({ order, receipts }: OrderAnswer): OrderReport {
    for (const signed of receipts) this.#gather(order, signed);
    return order;
  }

  /** Watches that are under way, and how often one of them was opened. */
  get watches(): { readonly count: number; readonly openings: number } {
    return { count: this.#watches, openings: this.#openings };
  }

  /** Follows the orders of a ticket in the background, as often as the connection breaks. Resolves once it does. */
  watch(watch: SignedWatch): Promise<void> {
    const { promise, resolve: onOpen }: PromiseWithResolvers<void> = Promise.withResolvers();
    this.#watches += 1;
    void this.#follow(watch, onOpen)
      .catch((error: unknown) => {
        this.#fault ??= asError(error);
      })
      .finally(() => {
        this.#watches -= 1;
        onOpen();
      });
    return promise;
  }

  /** Stores what was gathered. Throws what went wrong in the background: ContradictingReceipts, or why a watch ended. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const gathered = this.#gathered;
    this.#gathered = [];
    if (gathered.length > 0) this.#store().append(gathered);
    if (this.#fault !== undefined) throw this.#fault;
  }

  get #isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Cuts the connection, and forgets what is not stored. */
  close(): void {
    clearTimeout(this.#timer);
    this.#closing.abort();
    this.client.close();
  }

  async #follow(watch: SignedWatch, onOpen: () => void): Promise<void> {
    for (;;) {
      try {
        for await (const event of this.client.watchOrders(watch, { signal: this.#closing.signal })) {
          if (event.kind === "order") {
            this.#gather(event.order, event.receipt);
          } else {
            this.#openings += 1;
            onOpen();
          }
        }
      } catch (error) {
        // The ticket belongs to a day that is over.
        if (error instanceof ExchangeRefused && error.code === "UnknownTicket") return;
        const isAway = error instanceof ExchangeRefused && error.status === "Unavailable";
        if (!this.#isClosed && !isAway && !(error instanceof ExchangeUnreachable)) throw error;
      }
      if (this.#isClosed) return;
      await sleep(RETRY_MS);
    }
  }

  #gather({ ticketId, clientId }: { readonly ticketId: Hex; readonly clientId: bigint }, signed: SignedReceipt): void {
    if (this.#isClosed) return;
    this.#report.onReceipt(signed);
    this.#gathered.push({ ticketId, clientId, signed });
    this.#timer ??= setTimeout(() => {
      try {
        this.flush();
      } catch (error) {
        this.#fault ??= asError(error);
      }
    }, GATHER_MS);
  }
}
