import { z } from "zod";
import type { ChainState } from "../chain/chainState.ts";
import {
  address,
  amount,
  type BalanceView,
  failureView,
  hex,
  type OrderView,
  type PlacedView,
} from "../trader/views.ts";
import type { FileOrder } from "./ordersFile.ts";

/*
 * What `hedgerow run` writes. Amounts and prices are decimal strings of base units of the collateral; positions and
 * volumes whole contracts.
 */

const contracts = z.int();

const fillSchema = z.strictObject({
  /** Place in the operator's log: number of the command, and of its outcome. Both sides of a trade name the same. */
  seq: z.int(),
  n: z.int(),
  role: z.enum(["maker", "taker"]),
  price: amount,
  quantity: contracts,
  fee: amount,
});

const orderSchema = z.strictObject({
  /** As the file has it, from 1 on. */
  index: z.int(),
  instrument: z.string(),
  type: z.string(),
  side: z.enum(["buy", "sell"]),
  volume: contracts,
  /** As the file has it, in collateral units. */
  price: z.string().nullable(),
  /** Name of the order at the exchange, and of its ticket; null where it was refused before there was one. */
  ref: z.string().nullable(),
  ticketId: hex(32).nullable(),
  acknowledged: z.boolean(),
  /**
   * `open` and `waiting` orders were cancelled at the end, unless --keep was given. `unsent`: the run ended before it
   * was this one's turn. `unknown`: it was sent, and the run ended before an answer came.
   */
  status: z.enum(["unsent", "unknown", "refused", "waiting", "open", "filled", "cancelled", "expired"]),
  filled: contracts,
  remaining: contracts,
  averagePrice: amount.nullable(),
  /** As the chain settled them. */
  fills: z.array(fillSchema),
  refusal: failureView.nullable(),
});

const holdingsSchema = z.strictObject({
  /** Of account and tickets together. */
  cash: amount,
  equity: amount,
  positions: z.array(z.strictObject({ slot: z.int(), contract: z.string(), position: contracts })),
});

const clientSchema = z.strictObject({
  /** Place of the account in the run's wallet. */
  account: z.int(),
  deposited: amount,
  /** After the deposit, before the first order. Null, and so is `after`, where the run ended before it was known. */
  before: holdingsSchema.nullable(),
  after: holdingsSchema.nullable(),
  orders: z.array(orderSchema),
});

/** The file that --trades-out names. */
export const tradesSchema = z.strictObject({
  version: z.literal(1),
  /** `interrupted`: the run ended early, and this is what had happened until then. */
  status: z.enum(["complete", "interrupted"]),
  /** Why it ended early. */
  failure: failureView.nullable(),
  network: z.string(),
  chainId: z.int(),
  clearingHouse: address,
  epoch: z.int(),
  decimals: z.int(),
  seed: z.int().nullable(),
  clients: z.record(z.string(), clientSchema),
  summary: z.strictObject({
    clients: z.int(),
    orders: z.int(),
    acknowledged: z.int(),
    refused: z.int(),
    /** Trades of these orders, each counted once. */
    trades: z.int(),
    contracts: z.int(),
    seconds: z.number(),
  }),
});

export type Trades = z.infer<typeof tradesSchema>;
export type TradesClient = z.infer<typeof clientSchema>;
export type TradesOrder = z.infer<typeof orderSchema>;
export type Holdings = z.infer<typeof holdingsSchema>;

/** Cash and positions of an account and its tickets. */
export function holdingsOf({ cash, ticketCash, equity, positions }: BalanceView): Holdings {
  return {
    cash: (BigInt(cash) + BigInt(ticketCash)).toString(),
    equity: equity.atSettlement,
    positions: positions.map(({ slot, contract, total }) => ({ slot, contract, position: total })),
  };
}

/** How far an order of the file has come: undefined before its turn, `sent` until it is answered. */
export type Progress = PlacedView | "sent" | undefined;

/** What became of an order: the answer to it, the exchange's newest word, and what the chain settled on its ticket. */
export function orderOf(
  order: FileOrder,
  index: number,
  progress: Progress,
  newest: OrderView | undefined,
  chain: Pick<ChainState, "fills">,
): TradesOrder {
  const placed = progress === "sent" ? undefined : progress;
  const view = newest ?? placed?.order ?? null;
  const filled = view?.filled ?? 0;
  const refusal = placed?.refusal ?? null;
  const isRefused = refusal !== null;
  const isUnanswered = progress === "sent" && (view?.seq ?? null) === null;
  return {
    index: index + 1,
    instrument: view?.contract ?? order.instrument,
    type: order.type,
    side: order.side,
    volume: order.volume,
    price: order.price ?? null,
    ref: view?.ref ?? null,
    ticketId: view?.ticketId ?? null,
    acknowledged: !isRefused && (view?.seq ?? null) !== null,
    status: isRefused ? "refused" : isUnanswered ? "unknown" : (view?.status ?? "unsent"),
    filled,
    remaining: order.volume - filled,
    averagePrice: view?.averagePrice ?? null,
    fills: view === null ? [] : fillsOf(view, chain),
    refusal,
  };
}

/** A ticket of a run bears one order only, so what filled on the ticket filled that order. */
export function fillsOf({ ticketId }: OrderView, { fills }: Pick<ChainState, "fills">): TradesOrder["fills"] {
  return fills.flatMap((fill) => {
    if (fill.makerTicket !== ticketId && fill.takerTicket !== ticketId) return [];
    const isMaker = fill.makerTicket === ticketId;
    return [
      {
        seq: Number(fill.seq),
        n: fill.n,
        role: isMaker ? ("maker" as const) : ("taker" as const),
        price: fill.price.toString(),
        quantity: fill.quantity,
        fee: (isMaker ? fill.makerFee : fill.takerFee).toString(),
      },
    ];
  });
}

/** Counts of a run over all its clients. A trade between two of them counts once. `seconds`: how long it took. */
export function summaryOf(clients: Readonly<Record<string, TradesClient>>, seconds: number): Trades["summary"] {
  const orders = Object.values(clients).flatMap((client) => client.orders);
  const trades = new Map(orders.flatMap(({ fills }) => fills.map((fill) => [`${fill.seq}.${fill.n}`, fill.quantity])));
  return {
    clients: Object.keys(clients).length,
    orders: orders.length,
    acknowledged: orders.filter(({ acknowledged }) => acknowledged).length,
    refused: orders.filter(({ status }) => status === "refused").length,
    trades: trades.size,
    contracts: [...trades.values()].reduce((sum, quantity) => sum + quantity, 0),
    seconds: Math.round(seconds * 10) / 10,
  };
}
