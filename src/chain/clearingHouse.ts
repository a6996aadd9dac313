import {
  type Chain as ViemChain,
  createPublicClient,
  createWalletClient,
  defineChain,
  encodeFunctionData,
  type GetContractReturnType,
  getContract,
  http,
  type HttpTransport,
  isHex,
  parseEventLogs,
  signatureToCompactSignature,
  parseSignature,
  type TransactionReceipt,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { createNonceManager, jsonRpc, type NonceManager } from "viem/nonce";
import type { SignedBid } from "../protocol/auctionBid.ts";
import { type Action, actionCode, encodeFields } from "../protocol/action.ts";
import type { EpochMarket, Phase } from "../protocol/epoch.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { SLOTS } from "../protocol/note.ts";
import { type Domain, domainOf, type Order, orderMessage } from "../protocol/order.ts";
import type { Proof } from "../protocol/proof.ts";
import { clearingHouseAbi, marketRegistryAbi, testDollarAbi } from "../protocol/abi.ts";
import { CallImpossible, ChainUnavailable, messageOf, ownErrorIn, refusalOf } from "./refusals.ts";
import { type Client, POLLING_MS, type Sender, type SendOptions, sendCall } from "./sending.ts";

export { CallImpossible, ChainUnavailable, ContractRefused, refusalOf } from "./refusals.ts";
export type { Sender, SendOptions } from "./sending.ts";

/** A transition as a trader hands it on: everything public, with its proof. */
export type ProvenTransition = {
  readonly action: Action;
  readonly root: bigint;
  readonly nullifier: bigint;
  readonly newNote: bigint;
  /** ownerKey where the action shows its seat, otherwise 0. */
  readonly seat: bigint;
  /** Release by the ticket's or credit's key where the action needs one, otherwise 0x. */
  readonly signature: Hex;
  readonly proof: Proof;
};

/** An order with the 65-byte signature of its ticket's session key. */
export type SignedOrder = { readonly order: Order; readonly signature: Hex };

/** A match as it settles: indices into the orders of the same batch (spec FIL-1). */
export type Fill = {
  readonly maker: number;
  readonly taker: number;
  readonly quantity: number;
  readonly price: bigint;
  readonly seq: bigint;
  readonly n: number;
  readonly makerPrioritySeq: bigint;
  readonly execTime: bigint;
};

/** Orders that rested through the settlement window in one market, sorted by ticket and client id on each side. */
export type RestingQuote = {
  readonly slot: number;
  readonly bids: readonly SignedOrder[];
  readonly asks: readonly SignedOrder[];
};

/** Why a batch skips a transition, in the contract's order (spec BAT-10). */
export const SKIP_REASONS = [
  "None",
  "NullifierSpent",
  "CreditUnavailable",
  "TicketUnavailable",
  "SeatUnavailable",
  "PoolShort",
  "TreeFull",
] as const;

export type SkipReason = (typeof SKIP_REASONS)[number];

/** A clearing house on a chain, to read from. */
export type Chain = {
  readonly url: string;
  readonly client: Client;
  readonly address: Hex;
  readonly chainId: bigint;
  readonly domain: Domain;
  /** Its views, typed. Each may throw what refusalOf makes of it. */
  readonly house: GetContractReturnType<typeof clearingHouseAbi, Client>;
};

/** The node serves another chain than the one asked for: what is signed here must not be good there. */
export class WrongChain extends HedgerowError {
  constructor(url: string, expected: number, actual: number) {
    super("WrongChain", `${url} serves chain ${actual}, but chain ${expected} is wanted: use another node`, {
      expected,
      actual,
    });
  }
}

/** The way to a node. */
export type NodeOptions = {
  /** Carries each request in the place of the global fetch: through a proxy, say. What it throws is passed on. */
  readonly fetch?: typeof fetch;
  /** Longest wait for an answer, milliseconds; 10 seconds by default. */
  readonly timeoutMs?: number;
};

/**
 * Opens a clearing house at an address of chain number `expected` behind `url`. Throws ChainUnavailable, WrongChain.
 */
export async function connect(url: string, address: Hex, expected: number, options: NodeOptions = {}): Promise<Chain> {
  const client = publicClientOf(url, 0, options);
  const id = await client.getChainId().catch((error: unknown) => {
    throw ownErrorIn(error) ?? new ChainUnavailable(`asking ${url}`, messageOf(error));
  });
  if (id !== expected) throw new WrongChain(url, expected, id);
  const publicClient = publicClientOf(url, id, options);
  return {
    url,
    client: publicClient,
    house: getContract({ address, abi: clearingHouseAbi, client: publicClient }),
    address,
    chainId: BigInt(id),
    domain: domainOf(BigInt(id), address),
  };
}

/** A client of the chain behind `url`. */
export function publicClientOf(url: string, chainId: number, options: NodeOptions = {}): Client {
  return createPublicClient({
    chain: viemChain(url, chainId),
    transport: nodeTransport(url, options),
    pollingInterval: POLLING_MS,
    cacheTime: 0,
  });
}

/**
 * A sender with a private key; it numbers its own transactions, so that several may be under way. The counter is its
 * own by default: one shared by chains of the same id would carry numbers from one chain to the other. With a way of
 * its own to the node it asks about its transactions that way too.
 */
export function senderOf(
  url: string,
  chainId: bigint,
  privateKey: Hex,
  nonceManager: NonceManager = createNonceManager({ source: jsonRpc() }),
  options: NodeOptions = {},
): Sender {
  const account = privateKeyToAccount(privateKey, { nonceManager });
  return {
    address: account.address,
    wallet: createWalletClient({
      account,
      chain: viemChain(url, Number(chainId)),
      transport: nodeTransport(url, options),
      pollingInterval: POLLING_MS,
    }),
    ...(options.fetch !== undefined && { client: publicClientOf(url, Number(chainId), options) }),
  };
}

/** How viem's clients reach a node. */
export function nodeTransport(url: string, { fetch, timeoutMs }: NodeOptions): HttpTransport {
  return http(url, {
    ...(fetch === undefined ? {} : { fetchFn: fetch }),
    ...(timeoutMs === undefined ? {} : { timeout: timeoutMs }),
  });
}

function viemChain(url: string, id: number): ViemChain {
  return defineChain({
    id,
    name: "hedgerow",
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: { default: { http: [url] } },
  });
}

// ------------------------------------------------------------------ reads

/** Where the day stands. */
export type DayState = {
  readonly epoch: number;
  readonly phase: Phase;
  readonly nextBatchNumber: number;
  readonly lastSeq: bigint;
  readonly lastN: number;
};

/** Reads where the day stands, at the newest block by default. */
export async function readDayState(chain: Chain, blockNumber?: bigint): Promise<DayState> {
  const at = blockNumber === undefined ? {} : { blockNumber };
  const [epoch, phase, nextBatchNumber, lastSeq, lastN] = await chain.house.read.clock(at);
  return { epoch, phase: phase === 0 ? "trading" : "window", nextBatchNumber, lastSeq, lastN };
}

/** The eight slots of an epoch, at the newest block by default. */
export async function readMarkets(chain: Chain, epoch: number, blockNumber?: bigint): Promise<readonly EpochMarket[]> {
  const at = blockNumber === undefined ? {} : { blockNumber };
  return Promise.all(Array.from({ length: SLOTS }, (_, slot) => chain.house.read.marketOf([epoch, slot], at)));
}

/** Who signs the receipts of a house, as its registry says. Throws ChainUnavailable, ContractRefused. */
export async function operatorOf({ client, house }: Chain): Promise<Hex> {
  try {
    const address = await house.read.registry();
    return await client.readContract({ address, abi: marketRegistryAbi, functionName: "operator" });
  } catch (error) {
    throw refusalOf(error);
  }
}

/** Tokens that an address holds (the clearing house by default), in base units. */
export async function readTokenBalance(chain: Chain, holder: Hex = chain.address): Promise<bigint> {
  const address = await chain.house.read.token();
  return chain.client.readContract({ address, abi: testDollarAbi, functionName: "balanceOf", args: [holder] });
}

// ------------------------------------------------------------------ writes

/** Lets the clearing house take `amount` base units from the sender. */
export async function approve(
  chain: Chain,
  sender: Sender,
  amount: bigint,
  options: SendOptions = {},
): Promise<TransactionReceipt> {
  const token = await chain.house.read.token();
  const data = encodeFunctionData({ abi: testDollarAbi, functionName: "approve", args: [chain.address, amount] });
  return transact(chain, sender, data, options, token);
}

/** Deposits `amount` approved base units as a credit of `key`; returns the credit's number. */
export async function deposit(
  chain: Chain,
  sender: Sender,
  amount: bigint,
  key: Hex,
  options: SendOptions = {},
): Promise<bigint> {
  const data = encodeFunctionData({ abi: clearingHouseAbi, functionName: "deposit", args: [amount, key] });
  const receipt = await transact(chain, sender, data, options);
  const [event] = parseEventLogs({ abi: clearingHouseAbi, logs: receipt.logs, eventName: "CreditOpened" });
  if (event === undefined) throw new ChainUnavailable("deposit", "the receipt carries no CreditOpened event");
  return event.args.creditId;
}

/** Opens the seat of an owner key; the sender pays the approved bond. */
export async function openSeat(
  chain: Chain,
  sender: Sender,
  ownerKey: bigint,
  options: SendOptions = {},
): Promise<TransactionReceipt> {
  const data = encodeFunctionData({ abi: clearingHouseAbi, functionName: "openSeat", args: [ownerKey] });
  return transact(chain, sender, data, options);
}

/** Submits transitions directly. Throws ContractRefused: NotApplied where a batch would have skipped one. */
export async function submitTransitions(
  chain: Chain,
  sender: Sender,
  transitions: readonly ProvenTransition[],
  options: SendOptions = {},
): Promise<TransactionReceipt> {
  const args = [transitions.map(transitionMessage), transitions.map((transition) => transition.proof)] as const;
  const data = encodeFunctionData({ abi: clearingHouseAbi, functionName: "submitTransitions", args });
  return transact(chain, sender, data, options);
}

/** Everything the operator posts at once. */
export type Batch = {
  readonly batchNumber: number;
  readonly transitions: readonly ProvenTransition[];
  readonly orders: readonly SignedOrder[];
  readonly fills: readonly Fill[];
  readonly logHead: Hex;
};

/**
 * Posts a batch; skipped transitions show in its events. `onSend` is called when the node has found that it would pass,
 * just before it is handed over: from then on it may land, whatever this throws. Throws ContractRefused when it is
 * refused whole, and what sendCall throws.
 */
export async function submitBatch(
  chain: Chain,
  operator: Sender,
  batch: Batch,
  options: SendOptions = {},
): Promise<TransactionReceipt> {
  return transact(chain, operator, encodeBatch(batch), options);
}

/** Asks what the contract would say to a batch now: nothing if it would pass. Throws what submitBatch throws. */
export async function tryBatch(chain: Chain, operator: Sender, batch: Batch): Promise<void> {
  const data = encodeBatch(batch);
  try {
    await chain.client.call({ account: operator.address, to: chain.address, data });
  } catch (error) {
    throw refusalOf(error);
  }
}

/** The call that posts a batch. Throws CallImpossible. */
export function encodeBatch({ batchNumber, transitions, orders, fills, logHead }: Batch): Hex {
  try {
    const proofs = transitions.map(({ proof }) => proof);
    const messages = [transitions.map(transitionMessage), proofs, orders.map(signedOrderMessage)] as const;
    const args = [batchNumber, ...messages, fills, logHead] as const;
    const data = encodeFunctionData({ abi: clearingHouseAbi, functionName: "submitBatch", args });
    // The encoder copies what stands for bytes without a look at it.
    if (!isHex(data)) throw new CallImpossible("a part of it is no hex");
    return data;
  } catch (error) {
    throw error instanceof HedgerowError ? error : new CallImpossible(messageOf(error));
  }
}

/** Ends Trading: the operator from closingTime on, anybody after settleGrace (without quotes). */
export async function closeEpoch(
  chain: Chain,
  sender: Sender,
  quotes: readonly RestingQuote[] = [],
  options: SendOptions = {},
): Promise<TransactionReceipt> {
  const args = quotes.map(({ slot, bids, asks }) => ({
    slot,
    bids: bids.map(signedOrderMessage),
    asks: asks.map(signedOrderMessage),
  }));
  const data = encodeFunctionData({ abi: clearingHouseAbi, functionName: "closeEpoch", args: [args] });
  return transact(chain, sender, data, options);
}

/** Calls that take no proof: each by its name and arguments. */
export type PlainCall =
  | { readonly functionName: "beginRenewals" | "openEpoch" | "requestUnstake" | "unstake"; readonly args: readonly [] }
  | { readonly functionName: "closeEarly"; readonly args: readonly [slot: number] }
  | { readonly functionName: "requestCreditRefund" | "refundCredit"; readonly args: readonly [creditId: bigint] }
  | { readonly functionName: "forfeitBond"; readonly args: readonly [ownerKey: bigint] }
  | { readonly functionName: "collectOwed" | "collectFees"; readonly args: readonly [to: Hex] }
  | { readonly functionName: "contributeToFund" | "stake"; readonly args: readonly [amount: bigint] };

/** Sends a plain call. Throws ContractRefused. */
export async function call(
  chain: Chain,
  sender: Sender,
  plain: PlainCall,
  options: SendOptions = {},
): Promise<TransactionReceipt> {
  return transact(chain, sender, encodeFunctionData({ abi: clearingHouseAbi, ...plain }), options);
}

/** Sends a bid for contracts that drop-outs left; anybody may. Throws ContractRefused. */
export async function takeAbandoned(
  chain: Chain,
  sender: Sender,
  { bid, signature }: SignedBid,
  options: SendOptions = {},
): Promise<TransactionReceipt> {
  const { r, yParityAndS } = signatureToCompactSignature(parseSignature(signature));
  const args = [{ ...bid, r, vs: yParityAndS }] as const;
  return transact(
    chain,
    sender,
    encodeFunctionData({ abi: clearingHouseAbi, functionName: "takeAbandoned", args }),
    options,
  );
}

/** A transition as the contract's struct. */
export function transitionMessage(transition: ProvenTransition) {
  const { action, root, nullifier, newNote, seat, signature } = transition;
  return { action: actionCode(action.name), root, nullifier, newNote, seat, fields: encodeFields(action), signature };
}

/** A signed order as the contract's struct, its signature in the compact form. */
export function signedOrderMessage({ order, signature }: SignedOrder) {
  const { r, yParityAndS } = signatureToCompactSignature(parseSignature(signature));
  return { ...orderMessage(order), r, vs: yParityAndS };
}

/** Sends data and waits until it is mined. Throws what the contract said if it refused. */
function transact(
  chain: Chain,
  sender: Sender,
  data: Hex,
  options: SendOptions,
  to?: Hex,
): Promise<TransactionReceipt> {
  return sendCall(sender.client ?? chain.client, sender, { to: to ?? chain.address, data }, options);
}
