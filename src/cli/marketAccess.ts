import { connectExchange, type ExchangeClient } from "../api/client.ts";
import type { MarketReport } from "../api/service.ts";
import { contractName, findCalled } from "../trader/markets.ts";
import { WrongUsage } from "./failure.ts";
import type { MarketOptions } from "./markets.ts";
import { openNetwork } from "./session.ts";

/** An exchange that can be asked what everybody may know. */
export type MarketAccess = {
  readonly url: string;
  /** The collateral's decimals. */
  readonly decimals: number;
  /** A new connection. */
  readonly connect: () => ExchangeClient;
};

/** Decimals of the collateral where no network says them. */
const USUAL_DECIMALS = 6;
/** Longest wait for an answer: a person sits before it. */
const TIMEOUT_MS = 10_000;

/** The exchange behind `--exchange`, or that of the network. Throws WrongUsage and what choosing a network throws. */
export async function marketAccess(options: MarketOptions): Promise<MarketAccess> {
  const network = options.exchange === undefined ? await openNetwork(options) : undefined;
  const url = network?.exchange ?? options.exchange ?? "";
  const protocol = URL.parse(url)?.protocol;
  if (protocol !== "http:" && protocol !== "https:") {
    throw new WrongUsage(`--exchange is "${url}"`, "give a URL, as http://127.0.0.1:7700");
  }
  const proxy = options.proxy ?? network?.proxy;
  const decimals = network?.decimals ?? USUAL_DECIMALS;
  if (proxy === undefined) return { url, decimals, connect: () => connectExchange(url, { timeoutMs: TIMEOUT_MS }) };
  const { PROXIED_TIMEOUT_MS, proxyAt } = await import("../trader/proxy.ts");
  const through = proxyAt(proxy);
  return {
    url,
    decimals,
    connect: () => connectExchange(url, { timeoutMs: PROXIED_TIMEOUT_MS, agent: through.agent() }),
  };
}

/** The market that a person means: its name without regard to case, "-" for a space, or its slot. Throws UnknownMarket. */
export function marketNamed(markets: readonly MarketReport[], text: string): MarketReport {
  const called = markets.map((report) => ({ slot: report.slot, name: contractName(report.contractId), report }));
  return findCalled(called, text).report;
}
