import { type ClientOptions, connectExchange, type ExchangeClient } from "../api/client.ts";
import type { Hex } from "../protocol/keys.ts";

/**
 * The ways to an exchange. What must not be linked goes over connections that have nothing in common: each ticket, and
 * each transition, may have one of its own (spec PRI-13).
 */
export type Connections = {
  /** For what concerns everybody: markets, books, the day. */
  readonly common: ExchangeClient;
  /** For a ticket's orders. */
  ofTicket(ticketId: Hex): ExchangeClient;
  /** For a transition. */
  ofTransition(nullifier: bigint): ExchangeClient;
  /** Cuts all. */
  close(): void;
};

/** One connection for everything: who watches the network sees one trader's address anyway. */
export function directConnections(url: string, options: ClientOptions = {}): Connections {
  const client = connectExchange(url, options);
  return { common: client, ofTicket: () => client, ofTransition: () => client, close: () => client.close() };
}
