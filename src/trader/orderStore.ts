import type { OrderEntry, OrderReport } from "../api/service.ts";
import type { Hex } from "../protocol/keys.ts";
import type { OrderRequest } from "./commands.ts";

/**
 * An order on a ticket of this wallet: its newest revision, what it was asked for, and the last that was heard of it.
 * One that another device signed stands with an empty signature, by the exchange's word alone (spec DSK-12).
 */
export type StoredOrder = {
  readonly entry: OrderEntry;
  readonly request: OrderRequest;
  /** Unix seconds of this machine's clock. */
  readonly recordedAt: number;
  /** The exchange's newest word; undefined before its first answer. */
  readonly report: OrderReport | undefined;
  /** Why the exchange refused it; undefined if it did not. */
  readonly refusal: string | undefined;
};

/**
 * Orders of one account at one clearing house, written ahead of sending. It is a cache: what lives at the exchange can
 * be asked for with a key of the ticket, what filled is on chain.
 */
export type OrderStore = {
  /** Durable when it returns. A higher revision takes the place of a lower one. */
  record(order: Pick<StoredOrder, "entry" | "request" | "recordedAt">): void;
  /** Puts an earlier revision back in the place of one that was refused. */
  restore(entry: OrderEntry): void;
  report(report: OrderReport): void;
  refuse(ticketId: Hex, clientId: bigint, reason: string): void;
  /** Oldest first. */
  list(of?: { readonly ticketId: Hex }): readonly StoredOrder[];
  get(ticketId: Hex, clientId: bigint): StoredOrder | undefined;
};
