import { type ClientOptions, connectExchange, type ExchangeClient } from "../api/client.ts";
import type { Hex } from "../protocol/keys.ts";
import { type IsolatedAgent, PROXIED_TIMEOUT_MS, type Proxy } from "./proxy.ts";

/**
 * The ways to an exchange. What must not be linked goes over connections that have nothing in common: each ticket, and
 * each transition, may have one of its own (spec PRI-13).
 */
export type Connections = {
  /** For what concerns everybody: markets, books, the day. */
  readonly common: ExchangeClient;
  /** For a ticket's orders. */
  readonly ofTicket: (ticketId: Hex) => ExchangeClient;
  /** For a transition. */
  readonly ofTransition: (nullifier: bigint) => ExchangeClient;
  /** Cuts all. */
  readonly close: () => void;
};

/** One connection for everything: who watches the network sees one trader's address anyway. */
export function directConnections(url: string, options: ClientOptions = {}): Connections {
  const client = connectExchange(url, options);
  return { common: client, ofTicket: () => client, ofTransition: () => client, close: () => client.close() };
}

export type ProxiedOptions = Omit<ClientOptions, "agent"> & {
  /** How many tickets and transitions keep connections open; those in use are never closed. 64 by default. */
  readonly most?: number;
  /** How long a connection that nothing uses stays open, milliseconds; a minute by default. */
  readonly idleMs?: number;
};

type Way = { readonly client: ExchangeClient; readonly agent: IsolatedAgent; usedAt: number };

/**
 * Everything through a proxy, under credentials that no two tickets and no two transitions share. A client that was
 * dropped for want of use still works, and opens a connection anew.
 */
export function proxiedConnections(url: string, proxy: Proxy, options: ProxiedOptions = {}): Connections {
  const { most = 64, idleMs = 60_000, ...clientOptions } = options;
  /** The one that was used longest ago comes first. */
  const ways = new Map<string, Way>();

  const newWay = (): Way => {
    const agent = proxy.agent();
    const client = connectExchange(url, { timeoutMs: PROXIED_TIMEOUT_MS, ...clientOptions, agent });
    return { client, agent, usedAt: performance.now() };
  };

  const dropIdle = (): void => {
    const since = performance.now() - idleMs;
    for (const [name, { agent, usedAt }] of ways) {
      if (agent.isBusy || (ways.size <= most && usedAt > since)) continue;
      agent.destroy();
      ways.delete(name);
    }
  };

  const wayOf = (name: string): ExchangeClient => {
    const way = ways.get(name) ?? newWay();
    ways.delete(name);
    dropIdle();
    ways.set(name, way);
    way.usedAt = performance.now();
    return way.client;
  };

  const common = newWay();
  const timer = setInterval(dropIdle, Math.max(idleMs / 2, 10)).unref();
  return {
    common: common.client,
    ofTicket: (ticketId) => wayOf(`ticket ${ticketId}`),
    ofTransition: (nullifier) => wayOf(`transition ${nullifier}`),
    close: () => {
      clearInterval(timer);
      for (const { client } of [common, ...ways.values()]) client.close();
      ways.clear();
    },
  };
}
