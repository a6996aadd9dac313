import { type CallOptions, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import type { Agent } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { ProvenTransition, SignedOrder } from "../chain/clearingHouse.ts";
import type {
  Announcement,
  BatchReport,
  BookSnapshot,
  EpochReport,
  MarketReport,
  OrderAnswer,
  OrderEntry,
  OrderReport,
  PublicTrade,
  QueuedTransition,
  TicketReport,
} from "./service.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import type { Domain, SignedCancel, SignedCancelAfter, SignedCancelAll, SignedWatch } from "../protocol/order.ts";
import { assertReceipt, type SignedReceipt } from "../protocol/receipt.ts";
import { present } from "./codec.ts";
import {
  announcementFrom,
  batchFrom,
  type BookUpdate,
  bookFrom,
  type Candle,
  type CandleInterval,
  candleFrom,
  epochFrom,
  INTERVAL,
  marketFrom,
  queuedFrom,
  ticketFrom,
  tradeFrom,
  updateFrom,
} from "./codecMarkets.ts";
import {
  answerFrom,
  cancelAfterMessageOf,
  cancelAllMessageOf,
  cancelMessageOf,
  newOrderMessageOf,
  orderMessageOf,
  receiptFrom,
  reportFrom,
  watchMessageOf,
} from "./codecOrders.ts";
import { transitionMessageOf } from "./codecTransition.ts";
import { foreignText } from "./foreignText.ts";
import { Exchange, type ErrorDetail, ErrorDetailSchema } from "./gen/hedgerow/exchange/v1/exchange_pb.ts";
import { OrderEntrySession } from "./orderEntrySession.ts";

/** The exchange refused. `code` is the name of its error, `details` its values as text, `status` its category. */
export class ExchangeRefused extends HedgerowError {
  readonly status: string;

  constructor(status: string, code: string, message: string, details: Readonly<Record<string, string>> = {}) {
    super(code, message, details);
    this.status = status;
  }
}

/** The exchange could not be asked, or the connection broke: what became of a command is not known. */
export class ExchangeUnreachable extends HedgerowError {
  constructor(url: string, reason: string) {
    super("ExchangeUnreachable", `${url} cannot be reached: ${reason}; is it running?`, { url });
  }
}

/** A proxy is set and made no connection. Nothing is sent around it. */
export class ProxyUnreachable extends HedgerowError {
  constructor(proxy: string, destination: string, reason: string) {
    super(
      "ProxyUnreachable",
      `the proxy ${proxy} made no connection to ${destination}: ${reason}; nothing was sent around it, so see whether ` +
        `it runs, or name another`,
      { proxy, destination, reason },
    );
  }
}

/** Many commands in flight need HTTP/2, which does not go through a proxy. */
export class NoOrderEntryThroughProxy extends HedgerowError {
  constructor(url: string) {
    super(
      "NoOrderEntryThroughProxy",
      `an order-entry stream to ${url} does not go through a proxy: send the orders one by one, or without a proxy`,
      { url },
    );
  }
}

/** Whose receipts are good: each is checked on arrival, and one that is not signed by the operator is an error. */
export type ReceiptCheck = { readonly domain: Domain; readonly operator: Hex };

export type ClientOptions = {
  readonly verify?: ReceiptCheck;
  /** Longest wait for the answer to a unary call, milliseconds. */
  readonly timeoutMs?: number;
  /** Largest message that is read, bytes: a longer one is not waited for. */
  readonly readMaxBytes?: number;
  /** First pause before a broken stream is opened anew; it doubles up to fifty times that. Milliseconds. */
  readonly retryMs?: number;
  /**
   * Makes every connection, in the place of one over gRPC: Connect over HTTP/1.1, through a proxy say, a connection
   * for each call that is under way. It belongs to the client, whose close() destroys it.
   */
  readonly agent?: Agent;
};

/** What `watchOrderBook` yields: a whole book at first and after each gap, steps of it otherwise. */
export type BookEvent =
  { readonly kind: "book"; readonly book: BookSnapshot } | { readonly kind: "update"; readonly update: BookUpdate };

/** What `watchOrders` yields: the open orders at first, then what happens to each. */
export type OrdersEvent =
  | { readonly kind: "open"; readonly orders: readonly OrderReport[] }
  | { readonly kind: "order"; readonly order: OrderReport; readonly receipt: SignedReceipt };

/** What `watchAnnouncements` yields: where the day stands at first, then what is announced. Times in unix seconds. */
export type AnnouncementEvent =
  | { readonly kind: "epoch"; readonly epoch: EpochReport }
  | { readonly kind: "announcement"; readonly announcement: Announcement; readonly time: bigint };

/** Ends a stream from outside. */
export type WatchOptions = { readonly signal?: AbortSignal };

export type ExchangeClient = ReturnType<typeof connectExchange>;

const UNARY_TIMEOUT_MS = 30_000;
const RETRY_MS = 100;
const WINDOW_BYTES = 1024 * 1024;
/** The largest honest message, a whole book or all orders of a ticket, is a few megabytes. */
const MOST_BYTES = 16 * 1024 * 1024;

/**
 * A client of the exchange behind `url` ("http://host:port"), over gRPC without TLS unless it has an agent. It connects
 * when it is first used. Every call throws ExchangeRefused, ExchangeUnreachable, MalformedField for an answer that makes
 * no sense, InvalidReceipt where receipts are checked, or what the agent throws (ProxyUnreachable).
 */
export function connectExchange(url: string, options: ClientOptions = {}) {
  const most = options.readMaxBytes ?? MOST_BYTES;
  const { transport, close } = options.agent === undefined ? overGrpc(url, most) : overHttp1(url, options.agent, most);
  const api = createClient(Exchange, transport);
  const unary: CallOptions = { timeoutMs: options.timeoutMs ?? UNARY_TIMEOUT_MS };

  async function ask<T>(call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      throw refusalOf(url, error);
    }
  }

  function checked(receipt: SignedReceipt): SignedReceipt {
    if (options.verify !== undefined) assertReceipt(options.verify.domain, options.verify.operator, receipt);
    return receipt;
  }

  function checkedAnswer(answer: OrderAnswer): OrderAnswer {
    if (options.verify !== undefined) answer.receipts.forEach(checked);
    return answer;
  }

  /** A stream whose errors are ours. */
  async function* named<T>(messages: AsyncIterable<T>, signal: AbortSignal | undefined): AsyncGenerator<T> {
    try {
      yield* messages;
    } catch (error) {
      if (signal?.aborted === true) return;
      throw refusalOf(url, error);
    }
  }

  /** Opens a stream again and again: after an error that passes, or when `messages` returns by itself. */
  async function* persistent<T>(
    messages: () => AsyncIterable<T>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<T, void> {
    const first = options.retryMs ?? RETRY_MS;
    let pause = first;
    for (;;) {
      try {
        for await (const message of messages()) {
          pause = first;
          yield message;
        }
      } catch (error) {
        if (signal?.aborted !== true && !passes(error)) throw error;
      }
      if (signal?.aborted === true) return;
      await sleep(pause);
      pause = Math.min(pause * 2, first * 50);
    }
  }

  /** The book once: ends at a gap. */
  async function* bookOnce(slot: number, signal: AbortSignal | undefined): AsyncGenerator<BookEvent> {
    let seq = 0;
    for await (const message of named(api.watchOrderBook({ slot }, callOptions(signal)), signal)) {
      if (message.snapshot !== undefined) {
        const book = bookFrom(message.snapshot);
        seq = book.seq;
        yield { kind: "book", book };
      }
      for (const each of message.updates) {
        const update = updateFrom(each);
        if (update.prevSeq > seq) return;
        if (update.seq <= seq) continue;
        seq = update.seq;
        yield { kind: "update", update };
      }
    }
  }

  return {
    url,

    /** Hands on a proven transition: opens tickets, renews, and so on. */
    submitTransition: async (transition: ProvenTransition): Promise<QueuedTransition> =>
      queuedFrom(await ask(api.submitTransition({ transition: transitionMessageOf(transition) }, unary))),

    createOrder: async (entry: OrderEntry): Promise<OrderAnswer> => {
      const { answer } = await ask(api.createOrder({ order: newOrderMessageOf(entry) }, unary));
      return checkedAnswer(answerFrom(present("answer", answer)));
    },
    /** Puts a new revision in force. */
    editOrder: async (order: SignedOrder): Promise<OrderAnswer> => {
      const { answer } = await ask(api.editOrder({ order: orderMessageOf(order) }, unary));
      return checkedAnswer(answerFrom(present("answer", answer)));
    },
    cancelOrder: async (cancel: SignedCancel): Promise<OrderAnswer> => {
      const { answer } = await ask(api.cancelOrder({ cancel: cancelMessageOf(cancel) }, unary));
      return checkedAnswer(answerFrom(present("answer", answer)));
    },
    cancelAllOrders: async (cancelAll: SignedCancelAll): Promise<readonly OrderAnswer[]> => {
      const { answers } = await ask(api.cancelAllOrders({ cancelAll: cancelAllMessageOf(cancelAll) }, unary));
      return answers.map((answer) => checkedAnswer(answerFrom(answer)));
    },
    /** Answers when everything is cancelled unless another heartbeat comes, unix seconds; undefined: the guard is off. */
    cancelAllOrdersAfter: async (heartbeat: SignedCancelAfter): Promise<bigint | undefined> => {
      const request = { cancelAfter: cancelAfterMessageOf(heartbeat) };
      return (await ask(api.cancelAllOrdersAfter(request, unary))).deadline;
    },
    /** An order of the ticket that the watch is of, dead or alive. */
    fetchOrder: async (watch: SignedWatch, clientId: bigint): Promise<OrderReport> => {
      const request = { watch: watchMessageOf(watch), clOrdId: clientId };
      return reportFrom(present("order", (await ask(api.fetchOrder(request, unary))).order));
    },
    fetchOpenOrders: async (watch: SignedWatch): Promise<readonly OrderReport[]> =>
      (await ask(api.fetchOpenOrders({ watch: watchMessageOf(watch) }, unary))).orders.map(reportFrom),
    fetchTicket: async (ticketId: Hex): Promise<TicketReport> =>
      ticketFrom(present("ticket", (await ask(api.fetchTicket({ ticketId }, unary))).ticket)),
    fetchMarkets: async (): Promise<readonly MarketReport[]> =>
      (await ask(api.fetchMarkets({}, unary))).markets.map(marketFrom),
    fetchEpoch: async (): Promise<EpochReport> =>
      epochFrom(present("epoch", (await ask(api.fetchEpoch({}, unary))).epoch)),
    fetchBatch: async (batchNumber: number): Promise<BatchReport> => {
      const { batch } = await ask(api.fetchBatch({ batchNumber: BigInt(batchNumber) }, unary));
      return batchFrom(present("batch", batch));
    },
    /** `limit` levels of each side; 0: all. */
    fetchOrderBook: async (slot: number, limit = 0): Promise<BookSnapshot> =>
      bookFrom(present("book", (await ask(api.fetchOrderBook({ slot, limit }, unary))).book)),
    /** The newest trades, oldest first; `limit` 0: all that are kept. */
    fetchTrades: async (slot: number, limit = 0): Promise<readonly PublicTrade[]> =>
      (await ask(api.fetchTrades({ slot, limit }, unary))).trades.map(tradeFrom),
    /** The newest candles, oldest first; `limit` 0: all that are kept. */
    fetchOHLCV: async (slot: number, interval: CandleInterval, limit = 0): Promise<readonly Candle[]> => {
      const request = { slot, interval: INTERVAL.numberOf(interval), limit };
      return (await ask(api.fetchOHLCV(request, unary))).candles.map(candleFrom);
    },

    /** The book and its steps, for ever: after a gap or a broken connection a whole book comes again. */
    watchOrderBook: (slot: number, { signal }: WatchOptions = {}): AsyncGenerator<BookEvent, void> =>
      persistent(() => bookOnce(slot, signal), signal),

    /** Trades, for ever: after a broken connection it goes on behind the last one, as far as the server remembers. */
    watchTrades: (slot: number, { signal }: WatchOptions = {}): AsyncGenerator<PublicTrade, void> => {
      let last: PublicTrade | undefined;
      return persistent(async function* () {
        const since = last === undefined ? {} : { sinceSeq: BigInt(last.seq), sinceN: last.n };
        for await (const { trades } of named(api.watchTrades({ slot, ...since }, callOptions(signal)), signal)) {
          for (const trade of trades) {
            last = tradeFrom(trade);
            yield last;
          }
        }
      }, signal);
    },

    /** Candles as they change, the newest `limit` ones at first; for ever. */
    watchOHLCV: (
      slot: number,
      interval: CandleInterval,
      { signal, limit = 1 }: WatchOptions & { readonly limit?: number } = {},
    ): AsyncGenerator<Candle, void> =>
      persistent(async function* () {
        const request = { slot, interval: INTERVAL.numberOf(interval), limit };
        for await (const { candles } of named(api.watchOHLCV(request, callOptions(signal)), signal)) {
          yield* candles.map(candleFrom);
        }
      }, signal),

    /** Orders of a ticket, until the watch or the connection ends. */
    watchOrders: async function* (
      watch: SignedWatch,
      { signal }: WatchOptions = {},
    ): AsyncGenerator<OrdersEvent, void> {
      const request = { watch: watchMessageOf(watch) };
      for await (const message of named(api.watchOrders(request, callOptions(signal)), signal)) {
        if (message.snapshot) yield { kind: "open", orders: message.open.map(reportFrom) };
        for (const { order, receipt } of message.events) {
          yield {
            kind: "order",
            order: reportFrom(present("order", order)),
            receipt: checked(receiptFrom(present("receipt", receipt))),
          };
        }
      }
    },

    /** What everybody may know; for ever, each time from where the day stands. */
    watchAnnouncements: ({ signal }: WatchOptions = {}): AsyncGenerator<AnnouncementEvent, void> =>
      persistent(async function* () {
        for await (const message of named(api.watchAnnouncements({}, callOptions(signal)), signal)) {
          if (message.epoch !== undefined) yield { kind: "epoch", epoch: epochFrom(message.epoch) } as const;
          for (const each of message.announcements) yield { kind: "announcement", ...announcementFrom(each) } as const;
        }
      }, signal),

    /** Opens an order-entry stream: many commands in flight at a time, in groups. Throws NoOrderEntryThroughProxy. */
    enterOrders: (): OrderEntrySession => {
      if (options.agent !== undefined) throw new NoOrderEntryThroughProxy(url);
      return new OrderEntrySession(
        (requests, signal) => api.enterOrders(requests, { signal }),
        checkedAnswer,
        (error) => refusalOf(url, error),
        refused,
      );
    },

    /** Cuts the connection: everything under way fails. */
    close,
  };
}

/** A transport, and how to cut it. */
type Wire = { readonly transport: Transport; readonly close: () => void };

/**
 * A connection tells of more than one error where what comes is no HTTP/2 at all. The manager hears the first one; the
 * next one would end the process.
 */
class SessionManager extends Http2SessionManager {
  readonly #heard = new WeakSet<object>();

  override async request(...call: Parameters<Http2SessionManager["request"]>) {
    const stream = await super.request(...call);
    const { session } = stream;
    if (session !== undefined && !this.#heard.has(session)) {
      this.#heard.add(session);
      session.on("error", () => undefined);
    }
    return stream;
  }
}

function overGrpc(url: string, readMaxBytes: number): Wire {
  const manager = new SessionManager(url, {}, { settings: { initialWindowSize: WINDOW_BYTES } });
  const transport = createGrpcTransport({ baseUrl: url, sessionManager: manager, acceptCompression: [], readMaxBytes });
  return { transport, close: () => manager.abort() };
}

function overHttp1(url: string, agent: Agent, readMaxBytes: number): Wire {
  const transport = createConnectTransport({
    baseUrl: url,
    httpVersion: "1.1",
    nodeOptions: { agent },
    acceptCompression: [],
    readMaxBytes,
  });
  return { transport, close: () => agent.destroy() };
}

function callOptions(signal: AbortSignal | undefined): CallOptions {
  return signal === undefined ? {} : { signal };
}

/** What a failed call means to its caller. */
function refusalOf(url: string, error: unknown): HedgerowError {
  if (error instanceof HedgerowError) return error;
  const failure = ConnectError.from(error, Code.Unavailable);
  if (failure.cause instanceof HedgerowError) return failure.cause;
  const [detail] = failure.findDetails(ErrorDetailSchema);
  if (detail !== undefined) return refused(failure.code, detail);
  const reason = foreignText(failure.rawMessage);
  if (BROKEN.has(failure.code)) return new ExchangeUnreachable(url, reason);
  return new ExchangeRefused(Code[failure.code], Code[failure.code], reason);
}

/**
 * What a call fails with where nobody has said no: the connection broke, its time is over, or what came is no answer. A
 * server that dies takes its streams back first, which reads like a cancel.
 */
const BROKEN: ReadonlySet<Code> = new Set([
  Code.Unavailable,
  Code.Aborted,
  Code.Canceled,
  Code.DeadlineExceeded,
  Code.Internal,
  Code.Unknown,
  Code.DataLoss,
]);

function refused(status: number, { code, message, details }: ErrorDetail): ExchangeRefused {
  const values = Object.entries(details).slice(0, MOST_DETAILS);
  return new ExchangeRefused(
    Code[status] ?? "Unknown",
    ERROR_CODE.test(code) && !OWN_CODES.test(code) ? code : "Refused",
    foreignText(message),
    Object.fromEntries(values.map(([name, value]) => [foreignText(name, 40), foreignText(value, 200)])),
  );
}

const MOST_DETAILS = 32;
const ERROR_CODE = /^[A-Za-z][A-Za-z0-9.]{0,63}$/;

/**
 * Codes of what goes wrong on this side of the wire. Whoever acts on one would move his wallet away, or type its phrase:
 * no exchange has the say about that.
 */
const OWN_CODES =
  /^(Wallet|Keystore|Password|Phrase|File|Home|Network|Agent|Socket|Receipt|Record|Note|Indices|Local|Proxy|ChainReplaced|Wrong(Password|Usage|Chain)|Bad(Record|Params|Directory|RunDirectory)|Malformed(SeedPhrase|File|ViewingKey)|ViewingKey|NoTerminal|NothingChosen|Passwords|Interrupted|Fault|System|ExchangeUnreachable|AnswerRefused)/;

/** Whether the same call or stream may work a moment later; what became of a call is not known then. */
export function passes(error: unknown): boolean {
  if (error instanceof ExchangeUnreachable || error instanceof ProxyUnreachable) return true;
  return error instanceof ExchangeRefused && PASSING.has(error.status);
}

const PASSING: ReadonlySet<string> = new Set(["Unavailable", "ResourceExhausted"]);
