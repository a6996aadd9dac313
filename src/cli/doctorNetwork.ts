import { connect as connectSocket } from "node:net";
import { Exchange } from "../api/gen/hedgerow/exchange/v1/exchange_pb.ts";
import { connectExchange } from "../api/client.ts";
import type { Chain, NodeOptions } from "../chain/clearingHouse.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Network } from "../trader/home.ts";
import { type Proxy, proxyAt } from "../trader/proxy.ts";
import { type Finding, good, missing, skipped, warning } from "./finding.ts";
import { type ExchangeIdentity, type HouseFacts, isSame, probeChainId, probeExchange, probeHouse } from "./probe.ts";
import { probeVerifyingKey } from "./probeKey.ts";

// What a network must have before one trades there.

/** Seconds that clocks may differ: orders and permissions name moments. */
const MOST_SKEW = 30;
/** Seconds after which a chain should have made another block. */
const LONG_WITHOUT_BLOCK = 300;
const PROXY_MS = 5_000;

const NODE_REMEDY = "start the node, or hedgerow network add with another one";
const EXCHANGE_REMEDY = "ask its operator, or wait: accounts are safe, and anybody can leave without it";

/** Looks at everything that a network consists of. Nothing goes around its proxy. */
export async function examineNetwork(network: Network): Promise<readonly Finding[]> {
  if (network.proxy === undefined) return examineThrough(network, undefined);
  const proxy = proxyAt(network.proxy);
  try {
    if (await answers(proxy.url)) return [good("proxy", proxy.url), ...(await examineThrough(network, proxy))];
    const remedy = "start the proxy; until then nothing is sent";
    return [
      missing("proxy", `${proxy.url} does not answer`, remedy),
      ...["node", "clearing house", "exchange"].map((what) => skipped(what, "the proxy is down", remedy)),
    ];
  } finally {
    proxy.close();
  }
}

async function examineThrough(network: Network, proxy: Proxy | undefined): Promise<readonly Finding[]> {
  const node = proxy?.node() ?? {};
  const [ofChain, identity] = await Promise.all([
    examineChain(network, node),
    attempt(() => probeExchange(network.exchange, proxy?.node() ?? {})),
  ]);
  return [...ofChain.findings, ...(await examineExchange(network, ofChain.facts, identity, proxy))];
}

// ------------------------------------------------------------------ chain

type OfChain = { readonly findings: readonly Finding[]; readonly facts: HouseFacts | undefined };

async function examineChain(network: Network, node: NodeOptions): Promise<OfChain> {
  const chainId = await attempt(() => probeChainId(network.chain, node));
  if (!chainId.ok) {
    const rest = ["clearing house", "verifying key", "clock of the chain"];
    const found = [missing("node", chainId.message, NODE_REMEDY)];
    return { findings: [...found, ...rest.map((what) => skipped(what, "no node", NODE_REMEDY))], facts: undefined };
  }
  if (chainId.value !== network.chainId) {
    const found = `${network.chain} serves chain ${chainId.value}, not ${network.chainId}`;
    return { findings: [missing("node", found, NODE_REMEDY)], facts: undefined };
  }
  const serving = good("node", `${network.chain}, chain ${chainId.value}`);
  const house = await attempt(() => probeHouse(network.chain, network.clearingHouse, network.chainId, node));
  if (!house.ok) {
    const remedy = "a local chain forgets when it ends: start it anew; otherwise check the address with its operator";
    return { findings: [serving, missing("clearing house", house.message, remedy)], facts: undefined };
  }
  const { chain, facts } = house.value;
  const findings = [
    serving,
    houseFinding(network, facts),
    await keyFinding(chain),
    decimalsFinding(network, facts),
    await chainClock(chain),
  ];
  return { findings, facts };
}

function houseFinding({ clearingHouse }: Network, { code, epoch }: HouseFacts): Finding {
  const what = "clearing house";
  const where = `${clearingHouse}, epoch ${epoch}`;
  if (code === "equal") return good(what, `${where}, its code is this version's`);
  if (code === "not compiled") return good(what, `${where}, it answers (nothing is compiled here to compare it with)`);
  return missing(what, `${where}, its code is another version's`, "use the version that its operator names");
}

async function keyFinding(chain: Chain): Promise<Finding> {
  const what = "verifying key";
  const key = await attempt(() => probeVerifyingKey(chain));
  if (!key.ok) return warning(what, key.message, NODE_REMEDY);
  if (key.value.isHeld) return good(what, `${key.value.hash.slice(0, 18)}..., as pinned`);
  const remedy = "proofs of this version would be refused there: use the version that its operator names";
  return missing(what, "the contract holds another one", remedy);
}

function decimalsFinding(network: Network, { decimals }: HouseFacts): Finding {
  if (decimals === network.decimals) return good("collateral", `${decimals} decimals`);
  const found = `${decimals} decimals, but the network's file says ${network.decimals}`;
  return missing("collateral", found, "amounts would be wrong: hedgerow network add it again");
}

async function chainClock(chain: Chain): Promise<Finding> {
  const what = "clock of the chain";
  const block = await attempt(() => chain.client.getBlock());
  if (!block.ok) return warning(what, block.message, NODE_REMEDY);
  const ahead = Number(block.value.timestamp) - Date.now() / 1_000;
  if (ahead > MOST_SKEW) {
    return warning(
      what,
      `${seconds(ahead)} ahead of this machine`,
      "set this machine's clock, unless it is a test chain",
    );
  }
  const age = `newest block ${block.value.number}, ${seconds(-ahead)} old`;
  if (-ahead < LONG_WITHOUT_BLOCK) return good(what, age);
  return warning(what, age, "the node may lag behind, or this machine's clock be ahead: check both");
}

// ------------------------------------------------------------------ exchange

async function examineExchange(
  network: Network,
  facts: HouseFacts | undefined,
  identity: Attempt<ExchangeIdentity>,
  proxy: Proxy | undefined,
): Promise<readonly Finding[]> {
  if (!identity.ok) {
    const rest = ["API", "operator", "clock of the exchange"].map((what) =>
      skipped(what, "no exchange", EXCHANGE_REMEDY),
    );
    return [missing("exchange", identity.message, EXCHANGE_REMEDY), ...rest];
  }
  const { api, chainId, clearingHouse } = identity.value;
  const serves = isSame(clearingHouse, network.clearingHouse) && chainId === network.chainId;
  return [
    serves
      ? good("exchange", `${network.exchange}, serves this clearing house`)
      : missing(
          "exchange",
          `${network.exchange} serves ${clearingHouse} on chain ${chainId}`,
          "use the one that belongs to it",
        ),
    api === Exchange.typeName
      ? good("API", api)
      : missing("API", `${api}, not ${Exchange.typeName}`, "use the version that its operator names"),
    operatorFinding(network, facts, identity.value),
    await exchangeClock(network, proxy),
  ];
}

function operatorFinding(network: Network, facts: HouseFacts | undefined, { operator }: ExchangeIdentity): Finding {
  const what = "operator";
  if (facts === undefined) return skipped(what, "the contract could not be asked", NODE_REMEDY);
  if (!isSame(operator, facts.operator)) {
    const found = `the exchange signs as ${operator}, but the operator is ${facts.operator}`;
    return missing(what, found, "do not trade there: what it signs proves nothing");
  }
  if (network.operator !== undefined && !isSame(operator, network.operator)) {
    return warning(
      what,
      `${operator}, but the network's file says ${network.operator}`,
      "hedgerow network add it again",
    );
  }
  return good(what, operator);
}

async function exchangeClock({ exchange }: Network, proxy: Proxy | undefined): Promise<Finding> {
  const what = "clock of the exchange";
  const client = connectExchange(exchange, proxy === undefined ? {} : { agent: proxy.agent() });
  try {
    const day = await attempt(() => client.fetchEpoch());
    if (!day.ok) return warning(what, day.message, EXCHANGE_REMEDY);
    const apart = Number(day.value.time) - Date.now() / 1_000;
    const found = `epoch ${day.value.epoch}, ${day.value.phase}, ${seconds(Math.abs(apart))} apart from this machine's`;
    if (Math.abs(apart) <= MOST_SKEW) return good(what, found);
    return warning(what, found, "set this machine's clock, unless it is a test chain");
  } finally {
    client.close();
  }
}

// ------------------------------------------------------------------ small things

type Attempt<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly message: string };

async function attempt<T>(work: () => Promise<T>): Promise<Attempt<T>> {
  try {
    return { ok: true, value: await work() };
  } catch (error) {
    // A library's error tells the request as well: its first line is what went wrong.
    const [first = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
    return { ok: false, message: error instanceof HedgerowError ? error.message : first };
  }
}

function answers(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connectSocket({ host: hostname.replace(/^\[|\]$/g, ""), port: Number(port) });
    const end = (answered: boolean): void => {
      socket.destroy();
      resolve(answered);
    };
    socket.setTimeout(PROXY_MS, () => end(false));
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
  });
}

function seconds(value: number): string {
  return `${Math.max(0, Math.round(value))} s`;
}
