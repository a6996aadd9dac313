import type { ProvenTransition } from "../../src/chain/clearingHouse.ts";
import type { ExchangeEvent, ExchangeService, OrderAnswer, OrderEntry, OrderReport } from "../../src/api/service.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import type { Hex } from "../../src/protocol/keys.ts";
import type { SignedWatch } from "../../src/protocol/order.ts";
import type { SignedReceipt } from "../../src/protocol/receipt.ts";

export const TICKET: Hex = `0x${"a1".repeat(32)}`;
export const OTHER_TICKET: Hex = `0x${"b2".repeat(32)}`;
export const SIGNATURE: Hex = `0x${"5e".repeat(64)}1b`;
export const OPERATOR: Hex = `0x${"0e".repeat(20)}`;
const WORD: Hex = `0x${"77".repeat(32)}`;

/** An error of the service, by code. */
export class Refusal extends HedgerowError {}

/** A service that answers at once and remembers what it was asked. */
export type FakeService = ExchangeService & {
  readonly asked: { readonly method: string; readonly input: unknown }[];
  /** Publishes an event. */
  readonly publish: (event: ExchangeEvent) => void;
  readonly listeners: () => number;
  /** Called before each answer of an asynchronous method; may throw or wait. */
  before: (method: string) => void | Promise<void>;
  bookSeq: number;
};

export function orderEntry(clientId = 1n, changes: Partial<OrderEntry["order"]> = {}): OrderEntry {
  return {
    order: {
      ticketId: TICKET,
      clientId,
      revision: 0,
      side: "buy",
      limitPrice: -1_250_000n,
      quantity: 7,
      timeInForce: "GTC",
      postOnly: false,
      expiry: 2_000_000_000n,
      ...changes,
    },
    signature: SIGNATURE,
  };
}

export function report(clientId = 1n, changes: Partial<OrderReport> = {}): OrderReport {
  return {
    ticketId: TICKET,
    clientId,
    slot: 2,
    orderHash: WORD,
    revision: 0,
    side: "buy",
    limitPrice: -1_250_000n,
    quantity: 7,
    timeInForce: "GTC",
    status: "open",
    filled: 0,
    filledValue: 0n,
    remaining: 7,
    seq: 41,
    n: 0,
    time: 1_900_000_000n,
    ...changes,
  };
}

export function receipt(seq = 41): SignedReceipt {
  return {
    receipt: {
      seq,
      n: 0,
      kind: "accepted",
      orderHash: WORD,
      prioritySeq: seq,
      quantity: 7,
      remaining: 7,
      price: -1_250_000n,
      execTime: 1_900_000_000n,
      logHead: WORD,
      term: 1,
    },
    siblings: [WORD, WORD],
    signature: SIGNATURE,
  };
}

export const TRANSITION: ProvenTransition = {
  action: {
    name: "openTicket",
    slot: 2,
    relayFee: 5n,
    tickets: [{ sessionKey: OPERATOR, cash: -3n, position: -4, reduceOnly: true }],
  },
  root: 1n,
  nullifier: 2n,
  newNote: 3n,
  seat: 0n,
  signature: "0x",
  proof: {
    a: [1n, 2n],
    b: [
      [3n, 4n],
      [5n, 6n],
    ],
    c: [7n, 8n],
  },
};

/** The ticket that may be watched. */
function watched({ watch: { ticketId } }: SignedWatch): { readonly ticketId: Hex } {
  if (ticketId !== TICKET) throw new Refusal("WrongSigner", "somebody else signed");
  return { ticketId };
}

export function fakeService(): FakeService {
  const listeners = new Set<(event: ExchangeEvent) => void>();
  const asked: { method: string; input: unknown }[] = [];
  const remember = (method: string, input: unknown): void => {
    if (asked.length < 1_000) asked.push({ method, input });
  };
  const ask = async <T>(method: string, input: unknown, answer: () => T): Promise<T> => {
    remember(method, input);
    const waiting = service.before(method);
    if (waiting !== undefined) await waiting;
    return answer();
  };
  const answer = (clientId: bigint): OrderAnswer => ({ order: report(clientId), receipts: [receipt()] });
  const service: FakeService = {
    asked,
    before: () => undefined,
    bookSeq: 10,
    publish: (event) => {
      for (const listener of listeners) listener(event);
    },
    listeners: () => listeners.size,
    domain: { name: "Hedgerow", version: "1", chainId: 31337, verifyingContract: OPERATOR },
    operator: OPERATOR,
    submitTransition: (input) =>
      ask("submitTransition", input, () => ({ nullifier: input.nullifier, ticketIds: [TICKET] })),
    placeOrder: (input) => ask("placeOrder", input, () => answer(input.order.clientId)),
    replaceOrder: (input) => ask("replaceOrder", input, () => answer(input.order.clientId)),
    cancelOrder: (input) => ask("cancelOrder", input, () => answer(input.cancel.clientId)),
    cancelAll: (input) => ask("cancelAll", input, () => [answer(1n), answer(2n)]),
    cancelAfter: (input) =>
      ask("cancelAfter", input, () => ({
        deadline: input.cancelAfter.seconds === 0 ? undefined : 1_900_000_000n + BigInt(input.cancelAfter.seconds),
      })),
    order: (input, clientId) => ask("order", { ...input, clientId }, () => report(clientId, watched(input))),
    openOrders: (input) => ask("openOrders", input, () => [report(1n, watched(input)), report(2n, watched(input))]),
    ticket: (ticketId) =>
      ask("ticket", ticketId, () => ({
        ticketId,
        sessionKey: OPERATOR,
        slot: 2,
        reduceOnly: false,
        status: "open",
        cash: -12n,
        position: -3n,
      })),
    markets: () => [
      {
        slot: 2,
        contractId: WORD,
        session: "pre-open",
        tick: 10n,
        centre: -100n,
        priceLimitDown: 50n,
        priceLimitUp: 60n,
        initialMargin: 9n,
        maintenanceMargin: 8n,
        closeOutFee: 7n,
        fillFee: 6n,
        priceCollar: 30n,
        lastTradingTime: 2_000_000_000n,
        lastPrice: undefined,
        volume: 12,
      },
    ],
    epoch: () => ({
      epoch: 4,
      phase: "trading",
      openedAt: 1_900_000_000n,
      auctionTime: undefined,
      closingTime: 1_900_080_000n,
      time: 1_900_000_100n,
      relayFee: 5n,
      nextBatchNumber: 9,
      logHead: WORD,
    }),
    durable: () => ask("durable", undefined, () => undefined),
    batch: (batchNumber) =>
      ask("batch", batchNumber, () => ({
        batchNumber,
        status: "settled",
        transactionHash: WORD,
        transitions: 2,
        fills: 3,
      })),
    book: (slot) => ({
      slot,
      seq: service.bookSeq,
      bids: [
        { price: -10n, quantity: 5, orders: 2 },
        { price: -20n, quantity: 6, orders: 1 },
      ],
      asks: [{ price: 10n, quantity: 4, orders: 1 }],
    }),
    health: () => ({
      chainReachable: true,
      unsettledFills: 1,
      queuedTransitions: 2,
      openOrders: 3,
      openTickets: 4,
      lastSeq: 41,
    }),
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  return service;
}
