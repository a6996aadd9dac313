import { Writable } from "node:stream";
import type { TestContext } from "node:test";
import pino from "pino";
import { type ClientOptions, connectExchange, type ExchangeClient } from "../../src/api/client.ts";
import type { Limits } from "../../src/exchange/server/limits.ts";
import { createMetrics, type Metrics } from "../../src/exchange/server/metrics.ts";
import { type Server, startServer } from "../../src/exchange/server/server.ts";
import { type FakeService, fakeService } from "./fakeService.ts";

/** A server over a fake service, with a client, its log and its metrics; all end with the test. */
export type Bench = {
  readonly service: FakeService;
  readonly server: Server;
  readonly client: ExchangeClient;
  readonly metrics: Metrics;
  /** Everything that was logged. */
  readonly log: () => string;
};

export async function open(
  t: TestContext,
  limits: Partial<Limits> = {},
  options: ClientOptions = {},
  origins: readonly string[] = [],
): Promise<Bench> {
  const service = fakeService();
  const lines: string[] = [];
  const sink = new Writable({
    write(chunk, _, done) {
      lines.push(String(chunk));
      done();
    },
  });
  const metrics = createMetrics(service);
  const logger = pino({ level: "trace" }, sink);
  const server = await startServer({ service, host: "127.0.0.1", port: 0, limits, logger, metrics, origins });
  const client = connectExchange(server.url, { retryMs: 10, ...options });
  t.after(async () => {
    client.close();
    await server.close();
  });
  return { service, server, client, metrics, log: () => lines.join("") };
}

/** Waits until something is so. */
export async function until(what: string, so: () => boolean, patienceMs = 5_000): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (!so()) {
    if (performance.now() > deadline) throw new Error(`waited ${patienceMs} ms in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The first `count` items of a stream, which is then left. */
export async function first<T>(stream: AsyncIterable<T>, count: number): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) {
    items.push(item);
    if (items.length === count) break;
  }
  return items;
}
