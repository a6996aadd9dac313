import type { ProvenTransition, SignedOrder } from "../chain/clearingHouse.ts";
import type { Session } from "../market/types.ts";
import type { Phase } from "../protocol/epoch.ts";
import type { Hex } from "../protocol/keys.ts";
import type {
  Domain,
  Instructions,
  Side,
  SignedCancel,
  SignedCancelAfter,
  SignedCancelAll,
  SignedWatch,
  TimeInForce,
} from "../protocol/order.ts";
import type { SignedReceipt } from "../protocol/receipt.ts";

// What the exchange does for the world: everything that the API serves. Amounts and prices are base units of the
// collateral, times unix seconds, quantities whole contracts. Whatever it answers or publishes is durable.

/** An order as it is entered: what settles on chain, and what it tells the operator besides. */
export type OrderEntry = SignedOrder & {
  readonly instructions?: Instructions;
  /** 65 bytes of the session key over the instructions; present where they are. */
  readonly instructionsSignature?: Hex;
};

/** Where an order stands. `waiting`: a stop that no trade has reached yet. */
export type OrderStatus = "waiting" | "open" | "filled" | "cancelled" | "expired";

/** An order and what has become of it. */
export type OrderReport = {
  readonly ticketId: Hex;
  readonly clientId: bigint;
  readonly slot: number;
  readonly orderHash: Hex;
  readonly revision: number;
  readonly side: Side;
  readonly limitPrice: bigint;
  readonly quantity: number;
  readonly timeInForce: TimeInForce;
  readonly status: OrderStatus;
  /** Contracts traded, and the sum of price * contracts over them. */
  readonly filled: number;
  readonly filledValue: bigint;
  readonly remaining: number;
  /** Number of the log's last entry about it. */
  readonly seq: number;
  readonly n: number;
  readonly time: bigint;
};

/** The answer to an order, replacement or cancel: what the log says of it, signed. */
export type OrderAnswer = { readonly order: OrderReport; readonly receipts: readonly SignedReceipt[] };

/** A transition that waits for a batch, with the tickets that it opens. */
export type QueuedTransition = { readonly nullifier: bigint; readonly ticketIds: readonly Hex[] };

/** A ticket as the operator sees it, unsettled executions included: nothing that the chain will not show. */
export type TicketReport = {
  readonly ticketId: Hex;
  readonly sessionKey: Hex;
  readonly slot: number;
  readonly reduceOnly: boolean;
  readonly status: "pending" | "open" | "inherited" | "closing";
  readonly cash: bigint;
  readonly position: bigint;
};

/** A market of the present epoch. */
export type MarketReport = {
  readonly slot: number;
  readonly contractId: Hex;
  readonly session: Session;
  readonly tick: bigint;
  /** Settlement price of the epoch before: the centre of the limits. */
  readonly centre: bigint;
  readonly priceLimitDown: bigint;
  readonly priceLimitUp: bigint;
  readonly initialMargin: bigint;
  readonly maintenanceMargin: bigint;
  readonly closeOutFee: bigint;
  readonly fillFee: bigint;
  /** How far from the last trade an order that comes in may name its price; 0: as far as it likes (spec ORD-23). */
  readonly priceCollar: bigint;
  readonly lastTradingTime: bigint;
  readonly lastPrice: bigint | undefined;
  readonly volume: number;
};

/** Where the day stands. */
export type EpochReport = {
  readonly epoch: number;
  readonly phase: Phase;
  readonly openedAt: bigint;
  /** When the call auction trades; undefined where the day has none. */
  readonly auctionTime: bigint | undefined;
  readonly closingTime: bigint;
  /** The exchange's clock. */
  readonly time: bigint;
  readonly relayFee: bigint;
  readonly nextBatchNumber: number;
  readonly logHead: Hex;
};

/** A batch and what became of it. `transactionHash` is known once it is mined by this operator. */
export type BatchReport = {
  readonly batchNumber: number;
  readonly status: "sent" | "settled";
  readonly transactionHash: Hex | undefined;
  readonly transitions: number;
  readonly fills: number;
};

/** What rests at one price: absolute, so a repeated message does no harm. Quantity 0: the level is gone. */
export type LevelChange = {
  readonly side: Side;
  readonly price: bigint;
  readonly quantity: number;
  readonly orders: number;
};

/** Something that everybody may know. `epoch-closed` is the margin call: renew within the times given. */
export type Announcement =
  | { readonly type: "epoch-opened"; readonly epoch: number; readonly openedAt: bigint; readonly closingTime: bigint }
  /** The day closes at another time than was told: a market is locked at its limit, so that margin is called now. */
  | { readonly type: "closing-moved"; readonly epoch: number; readonly closingTime: bigint }
  | { readonly type: "session"; readonly slot: number; readonly session: Session }
  | {
      readonly type: "epoch-closed";
      readonly epoch: number;
      readonly closedAt: bigint;
      readonly renewFrom: bigint;
      readonly renewUntil: bigint;
      readonly settlementPrices: readonly { readonly slot: number; readonly price: bigint }[];
    }
  | {
      readonly type: "batch";
      readonly batchNumber: number;
      readonly transactionHash: Hex | undefined;
      readonly transitions: number;
      readonly fills: number;
    };

/** A trade as everybody sees it. */
export type PublicTrade = {
  readonly slot: number;
  readonly seq: number;
  readonly n: number;
  readonly price: bigint;
  readonly quantity: number;
  readonly takerSide: Side;
  readonly time: bigint;
};

/** What happens, in the order of the log, after it is durable. */
export type ExchangeEvent =
  | { readonly kind: "book"; readonly slot: number; readonly seq: number; readonly changes: readonly LevelChange[] }
  | { readonly kind: "trade"; readonly trade: PublicTrade }
  | { readonly kind: "order"; readonly order: OrderReport; readonly receipt: SignedReceipt }
  | { readonly kind: "announcement"; readonly announcement: Announcement; readonly time: bigint };

/** A book with the number of the newest command in it. */
export type BookSnapshot = {
  readonly slot: number;
  readonly seq: number;
  readonly bids: readonly Omit<LevelChange, "side">[];
  readonly asks: readonly Omit<LevelChange, "side">[];
};

/** Public numbers of the service, for metrics and health. */
export type ServiceHealth = {
  readonly chainReachable: boolean;
  readonly unsettledFills: number;
  readonly queuedTransitions: number;
  readonly openOrders: number;
  readonly openTickets: number;
  readonly lastSeq: number;
};

/** Everything that the API serves. Inputs come from outside: each is checked before use. */
export type ExchangeService = {
  readonly domain: Domain;
  /** Signs the receipts. */
  readonly operator: Hex;
  submitTransition(input: ProvenTransition): Promise<QueuedTransition>;
  placeOrder(input: OrderEntry): Promise<OrderAnswer>;
  replaceOrder(input: SignedOrder): Promise<OrderAnswer>;
  cancelOrder(input: SignedCancel): Promise<OrderAnswer>;
  /** Cancels everything on a ticket. */
  cancelAll(input: SignedCancelAll): Promise<readonly OrderAnswer[]>;
  /** Heartbeat of a dead-man cancel: everything on the ticket is cancelled at `deadline` unless another one comes. */
  cancelAfter(input: SignedCancelAfter): Promise<{ readonly deadline: bigint | undefined }>;
  /** An order, dead or alive, for who bears a watch of its ticket: what it has left may be hidden from the public. */
  order(input: SignedWatch, clientId: bigint): Promise<OrderReport>;
  /** Whether the session key allows to see its orders; the open ones of its ticket. */
  openOrders(input: SignedWatch): Promise<readonly OrderReport[]>;
  ticket(ticketId: Hex): Promise<TicketReport>;
  markets(): readonly MarketReport[];
  epoch(): EpochReport;
  /** Resolves once everything that `markets` and `epoch` have told so far is durable: only then is it for others. */
  durable(): Promise<void>;
  batch(batchNumber: number): Promise<BatchReport>;
  book(slot: number): BookSnapshot;
  health(): ServiceHealth;
  /** Events from now on. The snapshot of `book` in the same turn is what they continue. Returns how to stop. */
  subscribe(listener: (event: ExchangeEvent) => void): () => void;
};
