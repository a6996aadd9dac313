import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { ExchangeService } from "../../api/service.ts";

/** What one server counts. */
export type Metrics = {
  readonly registry: Registry;
  readonly calls: Counter<"method" | "status">;
  readonly callSeconds: Histogram<"method">;
  readonly commands: Counter<"kind" | "status">;
  readonly streams: Gauge<"method">;
  readonly connections: Gauge;
  readonly connectionsRefused: Counter;
  readonly slowReaders: Counter;
  readonly badSigners: Counter;
};

/** Metrics of a server in a registry of its own, with the public numbers of its service. */
export function createMetrics(service: ExchangeService, registry = new Registry()): Metrics {
  const registers = [registry];
  const health = (name: string, help: string, read: (health: ReturnType<ExchangeService["health"]>) => number) =>
    new Gauge({
      name: `hedgerow_${name}`,
      help,
      registers,
      collect() {
        this.set(read(service.health()));
      },
    });
  health("chain_reachable", "1 while the chain answers", ({ chainReachable }) => (chainReachable ? 1 : 0));
  health("unsettled_fills", "Executions that wait for a batch", ({ unsettledFills }) => unsettledFills);
  health("queued_transitions", "Transitions that wait for a batch", ({ queuedTransitions }) => queuedTransitions);
  health("open_orders", "Orders in the books", ({ openOrders }) => openOrders);
  health("open_tickets", "Tickets that may trade", ({ openTickets }) => openTickets);
  health("last_seq", "Number of the newest command", ({ lastSeq }) => lastSeq);
  return {
    registry,
    calls: new Counter({
      name: "hedgerow_calls_total",
      help: "Calls that ended, by method and status",
      labelNames: ["method", "status"],
      registers,
    }),
    callSeconds: new Histogram({
      name: "hedgerow_call_seconds",
      help: "Duration of unary calls",
      labelNames: ["method"],
      buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5],
      registers,
    }),
    commands: new Counter({
      name: "hedgerow_commands_total",
      help: "Commands of order-entry streams, by kind and status",
      labelNames: ["kind", "status"],
      registers,
    }),
    streams: new Gauge({
      name: "hedgerow_streams",
      help: "Streams that are open",
      labelNames: ["method"],
      registers,
    }),
    connections: new Gauge({ name: "hedgerow_connections", help: "Connections that are open", registers }),
    connectionsRefused: new Counter({
      name: "hedgerow_connections_refused_total",
      help: "Connections beyond the limit",
      registers,
    }),
    slowReaders: new Counter({
      name: "hedgerow_slow_readers_total",
      help: "Streams whose reader did not keep up",
      registers,
    }),
    badSigners: new Counter({
      name: "hedgerow_bad_signers_total",
      help: "Connections closed for their bad signatures",
      registers,
    }),
  };
}
