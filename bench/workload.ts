import { encodeFunctionData, numberToHex, type TransactionReceipt } from "viem";
import { type Artifact, deployWithLibraries, librariesOf, loadArtifact } from "../src/chain/artifacts.ts";
import {
  deposit,
  type Fill,
  openSeat,
  type ProvenTransition,
  publicClientOf,
  readDayState,
  type Sender,
  type SignedOrder,
  submitBatch,
} from "../src/chain/clearingHouse.ts";
import { statementNow } from "../src/chain/statement.ts";
import { DOLLAR, LEAN_HOG_TERMS, TICK } from "../src/clearing/leanHogs.ts";
import { encodeFields } from "../src/protocol/action.ts";
import { HedgerowError } from "../src/protocol/errors.ts";
import { keysOfSpendingKey, sessionPrivateKey } from "../src/protocol/keys.ts";
import { type Order, type Side, signOrder } from "../src/protocol/order.ts";
import { publicSignals } from "../src/protocol/statement.ts";
import type { Prover } from "../src/prover/prover.ts";
import { type TicketSpec, TraderAccount } from "../src/trader/account.ts";
import type { OwnTicket } from "../src/trader/accountState.ts";
import type { Exchange } from "../test/support/exchange.ts";

/** Accounts of the benchmark; also the largest batch that is measured. */
export const SEATS = 32;

const HOGS = 0;
const PRICE = LEAN_HOG_TERMS.listingPrice + 20n * TICK;
const NEVER = 4_000_000_000n;
const LOG_HEAD = numberToHex(0, { size: 32 });
// What every ticket can buy: a taker that sweeps meets eight makers.
const MOST_TRADED = 8n;

/** A ticket with the account that can sign for it. */
export type Desk = { readonly account: TraderAccount; readonly ticket: OwnTicket };

/** What the workload needs of a chain. */
export type Site = Pick<Exchange, "url" | "chain" | "state" | "terms" | "operator" | "now" | "fundedSender">;

/** A clearing house with funded accounts. */
export type Bench = {
  readonly exchange: Site;
  readonly accounts: readonly TraderAccount[];
};

/** A contract is larger than the chain allows. */
export class ContractTooLarge extends HedgerowError {
  constructor(name: string, size: number) {
    super("ContractTooLarge", `${name} has ${size} bytes, but a contract may have ${LARGEST_CONTRACT}`, { name, size });
  }
}

/** Bytes that the chain allows a contract (EIP-170). */
export const LARGEST_CONTRACT = 24_576;

/** The contracts of a deployment with their sizes, the largest first. Throws ContractTooLarge. */
export function deployedContracts(): readonly Artifact[] {
  const house = loadArtifact("ClearingHouse");
  const all = [house, ...librariesOf(house), loadArtifact("MarketRegistry")].sort((a, b) => b.size - a.size);
  for (const { name, size } of all) if (size > LARGEST_CONTRACT) throw new ContractTooLarge(name, size);
  return all;
}

/** Opens the seats and funds each with enough for every order of the benchmark, in batches. */
export async function openAccounts(exchange: Site, prover: Pick<Prover, "prove">, seats = SEATS): Promise<Bench> {
  const { chain, state } = exchange;
  const stake = 1_000_000n * DOLLAR;
  const payer = await exchange.fundedSender(BigInt(seats) * (stake + exchange.terms.seatBond));
  const accounts: TraderAccount[] = [];
  const credits: bigint[] = [];
  for (let i = 1; i <= seats; i++) {
    const account = await TraderAccount.open({ keys: keysOfSpendingKey(BigInt(i)), chain: state, prover });
    await openSeat(chain, payer, account.keys.ownerKey);
    credits.push(await deposit(chain, payer, stake, account.newCreditKey()));
    accounts.push(account);
  }
  const bench = { exchange, accounts };
  await follow(bench);
  const fundings: ProvenTransition[] = [];
  for (const [i, account] of accounts.entries()) fundings.push(await account.fund(credits[i] ?? 0n));
  await post(bench, fundings);
  return bench;
}

/** Proves the opening of `count` tickets by each of some accounts. */
export async function proveOpenings(accounts: readonly TraderAccount[], count: number) {
  const transitions: ProvenTransition[] = [];
  const desks: Desk[] = [];
  for (const account of accounts) {
    const spec = account.ticketFor(HOGS, { side: "buy", price: PRICE, quantity: MOST_TRADED });
    const opened = await account.openTickets(HOGS, Array<TicketSpec>(count).fill(spec));
    transitions.push(opened.transition);
    desks.push(...opened.tickets.map((ticket) => ({ account, ticket })));
  }
  return { transitions, desks };
}

/** Posts a batch; every account reads what it did. */
export async function post(
  bench: Bench,
  transitions: readonly ProvenTransition[],
  orders: readonly SignedOrder[] = [],
  fills: readonly Fill[] = [],
): Promise<TransactionReceipt> {
  const { chain, operator } = bench.exchange;
  const { nextBatchNumber } = await readDayState(chain);
  const batch = { batchNumber: nextBatchNumber, transitions, orders, fills, logHead: LOG_HEAD };
  const receipt = await submitBatch(chain, operator, batch);
  await follow(bench);
  return receipt;
}

async function follow({ exchange, accounts }: Bench): Promise<void> {
  await exchange.state.sync();
  for (const account of accounts) account.applyChain();
}

/** Settles trades: each maker sells one contract to the taker beside it. Every desk signs one order for all it trades. */
export async function postFills(
  bench: Bench,
  pairs: readonly { readonly maker: Desk; readonly taker: Desk }[],
): Promise<TransactionReceipt> {
  const desks = [...new Set(pairs.flatMap(({ maker, taker }) => [maker, taker]))];
  const sellers = new Set(pairs.map(({ maker }) => maker));
  const orders: SignedOrder[] = [];
  for (const desk of desks) {
    const quantity = pairs.filter(({ maker, taker }) => maker === desk || taker === desk).length;
    const side: Side = sellers.has(desk) ? "sell" : "buy";
    orders.push(await orderOf(bench, desk, side, quantity));
  }
  const { lastSeq } = await readDayState(bench.exchange.chain);
  const execTime = await bench.exchange.now();
  const fills = pairs.map(({ maker, taker }, i) => ({
    maker: desks.indexOf(maker),
    taker: desks.indexOf(taker),
    quantity: 1,
    price: PRICE,
    seq: lastSeq + 1n + BigInt(i),
    n: 0,
    makerPrioritySeq: 0n,
    execTime,
  }));
  return post(bench, [], orders, fills);
}

/** An order with a name of its own for ever, so that the same workload always has the same bytes. */
async function orderOf(bench: Bench, desk: Desk, side: Side, quantity: number): Promise<SignedOrder> {
  const { account, ticket } = desk;
  const order: Order = {
    ticketId: ticket.ticketId,
    clientId: BigInt(ticket.ticketId) & 0xffff_ffffn,
    revision: 0,
    side,
    limitPrice: PRICE,
    quantity,
    timeInForce: "GTC",
    postOnly: false,
    expiry: NEVER,
  };
  const key = sessionPrivateKey(account.keys.spendingKey, ticket.noteIndex, ticket.keyIndex);
  return { order, signature: await signOrder(bench.exchange.chain.domain, order, key) };
}

/** The same openings, each in a transaction of its own, on the naive contract. Returns the gas of each. */
export async function openNaively(
  { exchange }: Bench,
  sender: Sender,
  transitions: readonly ProvenTransition[],
): Promise<bigint[]> {
  const client = publicClientOf(exchange.url, Number(exchange.chain.chainId));
  const [first] = transitions;
  const verifier = await deployWithLibraries(sender.wallet, client, "Groth16Verifier");
  const naive = await deployWithLibraries(sender.wallet, client, "NaiveTransition", [verifier.address, first?.root]);
  const gas: bigint[] = [];
  for (const transition of transitions) {
    const signals = publicSignals(statementNow(exchange.state, transition));
    const args = [transition.proof, signals, encodeFields(transition.action)];
    const data = encodeFunctionData({ abi: naive.abi, functionName: "openTicket", args });
    const hash = await sender.wallet.sendTransaction({ to: naive.address, data });
    gas.push((await client.waitForTransactionReceipt({ hash })).gasUsed);
  }
  return gas;
}
