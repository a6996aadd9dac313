import {
  createPublicClient,
  getContractAddress,
  type Hex as ViemHex,
  http,
  numberToHex,
  type PublicClient,
} from "viem";
import { testDollarAbi } from "../protocol/abi.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { houseArguments, lower, registryArguments } from "./deployment.ts";
import { HistoryUnreadable } from "./errors.ts";
import type { History, LogRecord, Step } from "./history.ts";
import { holdsConstant, otherCode } from "./houseCode.ts";
import { innerCalls } from "./innerCalls.ts";

/** Where a house is, and the way to a node that knows its chain. */
export type Source = {
  readonly url: string;
  readonly clearingHouse: Hex;
  /** A block not after the house's deployment. */
  readonly fromBlock: bigint;
  /** Hash of the verifying key that the house is expected to name. */
  readonly keyHash: Hex;
  /** Carries each request in the place of the global fetch: through a proxy, say. */
  readonly fetch?: typeof fetch;
  readonly timeoutMs?: number;
};

/** Told after each request that may take long. */
export type OnRead = (what: string, done: number, total: number) => void;

/** Blocks that one query for logs spans, and blocks that are asked for at once. */
const RANGE = 2_000n;
const AT_ONCE = 32;
const TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

type RawLog = LogRecord & { readonly blockHash: Hex; readonly transactionHash: Hex; readonly place: number };
type Filter = { readonly address: Hex; readonly topics?: readonly (Hex | null)[] };

/** Reads everything that happened to a house, up to the newest block. Throws HistoryUnreadable. */
export async function readHistory(source: Source, onRead: OnRead = () => undefined): Promise<History> {
  const { url, fetch, timeoutMs } = source;
  const transport = http(url, {
    ...(fetch !== undefined && { fetchFn: fetch }),
    ...(timeoutMs !== undefined && { timeout: timeoutMs }),
  });
  try {
    return await read(createPublicClient({ transport }), source, onRead);
  } catch (error) {
    if (error instanceof HedgerowError) throw error;
    const said = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
    throw new HistoryUnreadable(`${url} does not tell the history of ${source.clearingHouse}: ${said}`);
  }
}

async function read(client: PublicClient, source: Source, onRead: OnRead): Promise<History> {
  const clearingHouse = lower(source.clearingHouse);
  const newest = await client.getBlockNumber();
  const ofHouse = await logsOf(client, { address: clearingHouse }, source.fromBlock, newest, onRead);
  const [first] = ofHouse;
  if (first === undefined) throw new HistoryUnreadable(`there is no clearing house at ${clearingHouse}`);
  const deployment = await client.getTransaction({ hash: first.transactionHash });
  if (deployment.to !== null || madeBy(deployment) !== clearingHouse) {
    throw new HistoryUnreadable(`${clearingHouse} was not deployed by a transaction of its own, which hides its terms`);
  }
  const { registry, token, words } = houseArguments(deployment.input);
  const born = deployment.blockNumber;
  const house = topicOf(clearingHouse);
  const others: readonly Filter[] = [
    { address: token, topics: [TRANSFER, null, house] },
    { address: token, topics: [TRANSFER, house] },
  ];
  const logs = [...ofHouse, ...(await registryLogs(client, registry, born, newest, onRead))];
  for (const filter of others) logs.push(...(await logsOf(client, filter, born, newest, onRead)));
  const steps = await stepsOf(client, logs, clearingHouse, onRead);
  const made = steps.find((step) => step.made === registry);
  if (made === undefined) {
    throw new HistoryUnreadable(`${registry} was not deployed by a transaction of its own, which hides its terms`);
  }
  const other = await otherCode(client, [
    { name: "ClearingHouse", input: deployment.input, argumentWords: words },
    { name: "MarketRegistry", input: made.input, argumentWords: registryArguments(made.input).words },
  ]);
  const holdsKey = await holdsConstant(client, clearingHouse, source.keyHash);
  const tokens = await client.readContract({
    address: token,
    abi: testDollarAbi,
    functionName: "balanceOf",
    args: [clearingHouse],
    blockNumber: newest,
  });
  return {
    chainId: await client.getChainId(),
    clearingHouse,
    holdsKey,
    ...(other !== undefined && { otherCode: other }),
    tokens: tokens.toString(),
    steps,
  };
}

/** The contract that a deployment makes. */
function madeBy({ from, nonce }: { readonly from: Hex; readonly nonce: number }): Hex {
  return lower(getContractAddress({ from, nonce: BigInt(nonce) }));
}

function topicOf(address: Hex): Hex {
  return `0x${address.slice(2).padStart(64, "0")}`;
}

/** Logs of the registry from its own deployment on, which is not after the house's. */
async function registryLogs(
  client: PublicClient,
  address: Hex,
  born: bigint,
  newest: bigint,
  onRead: OnRead,
): Promise<readonly RawLog[]> {
  const later = await logsOf(client, { address }, born, newest, onRead);
  const earlier: RawLog[] = [];
  for (let to = born - 1n; to >= 0n; to -= RANGE) {
    const from = to - RANGE + 1n;
    earlier.unshift(...(await logsOf(client, { address }, from < 0n ? 0n : from, to, onRead)));
    const [oldest] = earlier;
    if (oldest === undefined) continue;
    const { to: called } = await client.getTransaction({ hash: oldest.transactionHash });
    if (called === null) break;
  }
  return [...earlier, ...later];
}

/** All logs of a filter, range by range, in the order of the chain. */
async function logsOf(
  client: PublicClient,
  { address, topics = [] }: Filter,
  from: bigint,
  to: bigint,
  onRead: OnRead,
): Promise<readonly RawLog[]> {
  const found: RawLog[] = [];
  for (let first = from; first <= to; first += RANGE) {
    const last = first + RANGE - 1n < to ? first + RANGE - 1n : to;
    onRead("reading events", Number(first), Number(to));
    const logs = await client.request({
      method: "eth_getLogs",
      params: [{ address, topics: [...topics], fromBlock: numberToHex(first), toBlock: numberToHex(last) }],
    });
    for (const { blockHash, transactionHash, logIndex, ...log } of logs) {
      if (blockHash === null || transactionHash === null || logIndex === null) continue;
      const record = { address: lower(log.address), topics: log.topics, data: log.data };
      found.push({ ...record, blockHash, transactionHash, place: Number(logIndex) });
    }
  }
  return found;
}

/** One step for each transaction with a log, with what it called and when. */
async function stepsOf(
  client: PublicClient,
  logs: readonly RawLog[],
  clearingHouse: Hex,
  onRead: OnRead,
): Promise<readonly Step[]> {
  const byBlock = Map.groupBy(logs, ({ blockHash }) => blockHash);
  const hashes = [...byBlock.keys()];
  const steps: { readonly step: Step; readonly index: number }[] = [];
  for (let i = 0; i < hashes.length; i += AT_ONCE) {
    onRead("reading blocks", i, hashes.length);
    const some = hashes.slice(i, i + AT_ONCE);
    const blocks = await Promise.all(
      some.map((blockHash) => client.getBlock({ blockHash, includeTransactions: true })),
    );
    for (const block of blocks) {
      const byTransaction = Map.groupBy(byBlock.get(block.hash) ?? [], ({ transactionHash }) => transactionHash);
      for (const { hash, from, to, nonce, input, transactionIndex } of block.transactions) {
        const own = byTransaction.get(hash);
        if (own === undefined) continue;
        const step: Step = {
          block: Number(block.number),
          time: Number(block.timestamp),
          hash,
          from: lower(from),
          to: to === null ? null : lower(to),
          input,
          ...(to === null && { made: madeBy({ from, nonce }) }),
          logs: own.toSorted((a, b) => a.place - b.place).map(recordOf),
        };
        const shown = isShown(step, clearingHouse) ? {} : { inner: await innerCalls(client, hash, clearingHouse) };
        steps.push({ step: { ...step, ...shown }, index: transactionIndex });
      }
    }
  }
  return steps.toSorted((a, b) => a.step.block - b.step.block || a.index - b.index).map(({ step }) => step);
}

function recordOf({ address, topics, data }: RawLog): LogRecord {
  const small = (hex: ViemHex): Hex => `0x${hex.slice(2).toLowerCase()}`;
  return { address, topics: topics.map(small), data: small(data) };
}

/** Whether a transaction itself says what it asked of the house, or asked nothing of it. */
function isShown({ to, made, logs }: Step, clearingHouse: Hex): boolean {
  return to === clearingHouse || made === clearingHouse || logs.every(({ address }) => address !== clearingHouse);
}
