import type { SignedOrder } from "../chain/clearingHouse.ts";
import type { OrderAnswer, OrderEntry } from "./service.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { SignedCancel, SignedCancelAfter, SignedCancelAll } from "../protocol/order.ts";
import { MalformedField } from "./codec.ts";
import {
  answerFrom,
  cancelAfterMessageOf,
  cancelAllMessageOf,
  cancelMessageOf,
  newOrderMessageOf,
  orderMessageOf,
} from "./codecOrders.ts";
import type {
  Command,
  EnterOrdersRequest,
  EnterOrdersResponse,
  ErrorDetail,
  Result,
} from "./gen/hedgerow/exchange/v1/exchange_pb.ts";
import { BoundedQueue } from "./queue.ts";

/** More commands wait for their result than a session holds. */
export class SessionFull extends HedgerowError {
  constructor(most: number) {
    super("SessionFull", `${most} commands wait for their result: await some of them first`, { most });
  }
}

/** The session has ended; commands without a result may or may not have been executed. */
export class SessionEnded extends HedgerowError {
  constructor() {
    super("SessionEnded", "the order-entry session has ended: open another one, and ask for the orders in doubt");
  }
}

const MOST_IN_FLIGHT = 4_096;
const COMMANDS_PER_MESSAGE = 256;

type Waiting = { readonly resolve: (outcome: Result["outcome"]) => void; readonly reject: (error: Error) => void };

/**
 * An order-entry stream: each method sends a command and gives its result when it comes. Commands of one turn go out in
 * one message. A refused command rejects with ExchangeRefused; when the stream breaks, all that wait reject.
 */
export class OrderEntrySession {
  readonly #queue = new BoundedQueue<EnterOrdersRequest>(Infinity);
  readonly #waiting = new Map<bigint, Waiting>();
  readonly #abort = new AbortController();
  readonly #checked: (answer: OrderAnswer) => OrderAnswer;
  readonly #refused: (status: number, detail: ErrorDetail) => Error;
  readonly #finished: Promise<void>;
  #commands: Command[] = [];
  #correlation = 0n;
  #ended = false;

  /** Opened by `connectExchange(...).enterOrders()`. */
  constructor(
    open: (requests: AsyncIterable<EnterOrdersRequest>, signal: AbortSignal) => AsyncIterable<EnterOrdersResponse>,
    checked: (answer: OrderAnswer) => OrderAnswer,
    failed: (error: unknown) => Error,
    refused: (status: number, detail: ErrorDetail) => Error,
  ) {
    this.#checked = checked;
    this.#refused = refused;
    this.#finished = this.#read(open(this.#queue, this.#abort.signal), failed);
  }

  /** Commands that wait for their result. */
  get inFlight(): number {
    return this.#waiting.size;
  }

  async place(entry: OrderEntry): Promise<OrderAnswer> {
    return this.#answered(await this.#send({ case: "create", value: newOrderMessageOf(entry) }));
  }

  async replace(order: SignedOrder): Promise<OrderAnswer> {
    return this.#answered(await this.#send({ case: "edit", value: orderMessageOf(order) }));
  }

  async cancel(cancel: SignedCancel): Promise<OrderAnswer> {
    return this.#answered(await this.#send({ case: "cancel", value: cancelMessageOf(cancel) }));
  }

  async cancelAll(cancelAll: SignedCancelAll): Promise<readonly OrderAnswer[]> {
    const outcome = await this.#send({ case: "cancelAll", value: cancelAllMessageOf(cancelAll) });
    if (outcome.case !== "cancelled") throw new MalformedField("outcome", "it belongs to another command");
    return outcome.value.answers.map((answer) => this.#checked(answerFrom(answer)));
  }

  /** Answers when everything is cancelled unless another heartbeat comes, unix seconds; undefined: the guard is off. */
  async cancelAfter(heartbeat: SignedCancelAfter): Promise<bigint | undefined> {
    const outcome = await this.#send({ case: "cancelAfter", value: cancelAfterMessageOf(heartbeat) });
    if (outcome.case !== "guard") throw new MalformedField("outcome", "it belongs to another command");
    return outcome.value.deadline;
  }

  /** Sends what is left, waits for all results, and closes the stream. */
  async end(): Promise<void> {
    this.#flush();
    this.#ended = true;
    this.#queue.end();
    await this.#finished;
  }

  /** Cuts the stream at once. */
  abort(): void {
    this.#ended = true;
    this.#abort.abort();
    this.#queue.end();
  }

  #answered(outcome: Result["outcome"]): OrderAnswer {
    if (outcome.case !== "answer") throw new MalformedField("outcome", "it belongs to another command");
    return this.#checked(answerFrom(outcome.value));
  }

  #send(body: Command["body"]): Promise<Result["outcome"]> {
    if (this.#ended) return Promise.reject(new SessionEnded());
    if (this.#waiting.size >= MOST_IN_FLIGHT) return Promise.reject(new SessionFull(MOST_IN_FLIGHT));
    this.#correlation += 1n;
    const correlation = this.#correlation;
    if (this.#commands.length === 0) setImmediate(() => this.#flush());
    this.#commands.push({ $typeName: "hedgerow.exchange.v1.Command", correlation, body });
    return new Promise((resolve, reject) => this.#waiting.set(correlation, { resolve, reject }));
  }

  #flush(): void {
    const commands = this.#commands;
    this.#commands = [];
    for (let from = 0; from < commands.length; from += COMMANDS_PER_MESSAGE) {
      const some = commands.slice(from, from + COMMANDS_PER_MESSAGE);
      this.#queue.push({ $typeName: "hedgerow.exchange.v1.EnterOrdersRequest", commands: some });
    }
  }

  async #read(responses: AsyncIterable<EnterOrdersResponse>, failed: (error: unknown) => Error): Promise<void> {
    let reason: Error = new SessionEnded();
    try {
      for await (const { results } of responses) {
        for (const { correlation, outcome } of results) this.#settle(correlation, outcome);
      }
    } catch (error) {
      if (!this.#abort.signal.aborted) reason = failed(error);
    }
    this.#ended = true;
    this.#queue.end();
    for (const { reject } of this.#waiting.values()) reject(reason);
    this.#waiting.clear();
  }

  #settle(correlation: bigint, outcome: Result["outcome"]): void {
    const waiting = this.#waiting.get(correlation);
    if (waiting === undefined) return;
    this.#waiting.delete(correlation);
    if (outcome.case !== "refusal") {
      waiting.resolve(outcome);
      return;
    }
    const { status, error } = outcome.value;
    if (error === undefined) waiting.reject(new MalformedField("refusal", "it gives no reason"));
    else waiting.reject(this.#refused(status, error));
  }
}
