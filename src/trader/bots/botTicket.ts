import { type ExchangeClient, ExchangeRefused, type OrdersEvent, passes } from "../../api/client.ts";
import type { OrderAnswer, OrderReport } from "../../api/service.ts";
import type { SignedOrder } from "../../chain/clearingHouse.ts";
import { fromTicks } from "../../market/terms.ts";
import type { EpochMarket } from "../../protocol/epoch.ts";
import { HedgerowError } from "../../protocol/errors.ts";
import type { Hex } from "../../protocol/keys.ts";
import type { SignedWatch } from "../../protocol/order.ts";
import type { SignedReceipt } from "../../protocol/receipt.ts";
import type { TraderAccount } from "../account.ts";
import type { OwnTicket } from "../accountState.ts";
import { pauseFor } from "../desk/reach.ts";
import type { OrderReceipt } from "../receiptStore.ts";
import { OwnOrders } from "./ownOrders.ts";
import type { Pace } from "./pace.ts";
import type { Intent } from "./strategy.ts";

/** Who signs with the ticket's session key. */
export type TicketSigner = Pick<
  TraderAccount,
  "signCancel" | "signCancelAfter" | "signCancelAll" | "signOrder" | "signReplacement" | "signWatch"
>;

/** What a ticket asks of the exchange. */
export type TicketClient = Pick<
  ExchangeClient,
  | "cancelAllOrders"
  | "cancelAllOrdersAfter"
  | "cancelOrder"
  | "createOrder"
  | "editOrder"
  | "fetchOrder"
  | "watchOrders"
>;

/** What a ticket needs to be traded on. */
export type BotTicketParts = {
  readonly account: TicketSigner;
  readonly client: TicketClient;
  readonly ticket: OwnTicket;
  readonly market: EpochMarket;
  /** Signed end of every order and watch, unix seconds. */
  readonly closingTime: bigint;
  readonly pace: Pace;
  readonly heartbeatSeconds: number;
  readonly keepReceipts: (receipts: readonly OrderReceipt[]) => void;
  readonly onRefusal: (error: HedgerowError) => void;
};

/** The market moved on while the command was on its way: no reason to slow down. */
const RACES: ReadonlySet<string> = new Set([
  "Matching.PostOnlyWouldTake",
  "Matching.UnknownOrder",
  "Matching.NotFillable",
  "Matching.BadRevision",
  "OrderUnknown",
]);
/** No order will ever be taken on this ticket again. */
const ENDS: ReadonlySet<string> = new Set([
  "UnknownTicket",
  "TicketNotTradable",
  "OrderExpired",
  "DayEnding",
  "WatchExpired",
]);

const RETRY_MS = 250;
/** Receipts gather for so long before they are written down together. Milliseconds. */
const GATHER_MS = 50;

/**
 * One ticket that a bot trades on: sends what the bot wants, keeps its orders as the exchange reports them, and finds
 * out what became of commands whose answer was lost. Nothing here throws into the bot's loop; `fault` is what it must
 * stop for.
 */
export class BotTicket {
  readonly ticketId: Hex;
  readonly orders: OwnOrders;
  /** Commands that were sent. */
  commands = 0;
  /** The exchange takes no more orders on it. */
  isOver = false;
  fault: Error | undefined;
  readonly #parts: BotTicketParts;
  readonly #closing = new AbortController();
  /** Commands under way, until it is known what became of them. */
  readonly #inFlight = new Set<Promise<void>>();
  #nonce = 0n;
  #watch: SignedWatch | undefined;
  #receipts: OrderReceipt[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: BotTicketParts) {
    const { ticket, market } = parts;
    this.#parts = parts;
    this.ticketId = ticket.ticketId;
    this.orders = new OwnOrders(market, ticket);
  }

  /** Signs the watch and follows the ticket's orders; resolves when the exchange has shown them once. */
  async open(): Promise<void> {
    this.#watch = await this.#parts.account.signWatch(this.ticketId, this.#parts.closingTime);
    const { promise, resolve }: PromiseWithResolvers<void> = Promise.withResolvers();
    void this.#guarded(this.#follow(resolve).finally(resolve));
    if (this.#parts.heartbeatSeconds > 0) void this.#guarded(this.#beat());
    await promise;
  }

  /** Sends an intent, and returns once it is signed: its answer comes by itself. */
  async send(intent: Intent): Promise<void> {
    const { account, client, market, closingTime: expiry } = this.#parts;
    if (intent.kind === "place") {
      const { key, side, quantity, timeInForce, postOnly } = intent;
      const limitPrice = fromTicks(intent.priceTicks, market.tick);
      const signed = await account.signOrder(this.ticketId, {
        side,
        limitPrice,
        quantity,
        timeInForce,
        postOnly,
        expiry,
      });
      this.orders.place(key, signed);
      this.#dispatch(signed, true, () => client.createOrder(signed));
      return;
    }
    const own = this.orders.byKey(intent.key);
    if (own === undefined) return;
    const { clientId } = own.signed.order;
    if (intent.kind === "cancel") {
      this.orders.change(clientId);
      const cancel = await account.signCancel(own.signed);
      this.#dispatch(own.signed, false, () => client.cancelOrder(cancel));
      return;
    }
    const signed = await account.signReplacement(own.signed, {
      limitPrice: fromTicks(intent.priceTicks, market.tick),
      quantity: own.filled + intent.quantity,
    });
    this.orders.change(clientId, signed);
    this.#dispatch(signed, false, () => client.editOrder(signed));
  }

  /** Cancels everything, waits for what is under way, and leaves. Whatever the exchange does not answer it cannot cancel. */
  async close(signal?: AbortSignal): Promise<void> {
    for (let attempt = 0; attempt < 20 && !this.isOver; attempt++) {
      try {
        await this.#settleAll();
        if (this.orders.list().length === 0) break;
        await this.#cancelAll();
      } catch (error) {
        if (!this.#take(error)) break;
        if (signal?.aborted === true) break;
        await pauseFor(RETRY_MS).catch(() => undefined);
      }
    }
    this.#closing.abort();
    await this.#settleAll();
    this.#keep();
  }

  /** Cuts the ticket off, and leaves its orders to the dead-man guard. */
  abort(): void {
    this.#closing.abort();
    this.#keep();
  }

  #isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  // ---------------------------------------------------------------- commands

  #dispatch(signed: SignedOrder, isNew: boolean, call: () => Promise<OrderAnswer>): void {
    const { clientId } = signed.order;
    this.commands += 1;
    this.#background(
      call().then(
        (answer) => {
          this.#parts.pace.accepted();
          this.#takeAnswer(answer);
          this.orders.answered(clientId);
        },
        async (error: unknown) => {
          if (!this.#take(error)) return;
          if (isNew && isRefusal(error)) this.orders.drop(clientId);
          else if ((await this.#findOut(clientId)) && isNew) await this.#askAgain(call);
          this.orders.answered(clientId);
        },
      ),
    );
  }

  async #cancelAll(): Promise<void> {
    const { account, client } = this.#parts;
    const signed = await account.signCancelAll(this.ticketId, ++this.#nonce);
    this.commands += 1;
    const answers = await client.cancelAllOrders(signed);
    for (const answer of answers) this.#takeAnswer(answer);
    // What it did not name was dead already.
    for (const clientId of this.orders.clientIds) {
      if (!this.orders.isBusy(clientId)) await this.#findOut(clientId);
    }
  }

  /** To an order that it knows the exchange gives its first answer again, and with it the receipts that were lost. */
  async #askAgain(call: () => Promise<OrderAnswer>): Promise<void> {
    try {
      const answer = await this.#answerOf(call);
      if (answer !== undefined) this.#takeAnswer(answer);
    } catch (error) {
      this.#take(error);
    }
  }

  /** Asks what became of an order until the exchange answers. Whether it knows the order. */
  async #findOut(clientId: bigint): Promise<boolean> {
    const watch = this.#watch;
    if (watch === undefined) return false;
    try {
      const report = await this.#answerOf(() => this.#parts.client.fetchOrder(watch, clientId));
      if (report !== undefined) this.#takeReport(report);
      return report !== undefined;
    } catch (error) {
      if (error instanceof HedgerowError && error.code === "OrderUnknown") this.orders.drop(clientId, true);
      else this.#take(error);
      return false;
    }
  }

  /** Asks until there is an answer; undefined if the ticket was closed before. Throws what will not pass. */
  async #answerOf<T>(ask: () => Promise<T>): Promise<T | undefined> {
    while (!this.#isClosed()) {
      try {
        return await ask();
      } catch (error) {
        if (!passes(error)) throw error;
      }
      await pauseFor(RETRY_MS, this.#closing.signal).catch(() => undefined);
    }
    return undefined;
  }

  // ---------------------------------------------------------------- streams

  async #follow(onOpen: () => void): Promise<void> {
    const watch = this.#watch;
    const { signal } = this.#closing;
    while (watch !== undefined && !this.#isClosed() && !this.isOver) {
      try {
        for await (const event of this.#parts.client.watchOrders(watch, { signal })) {
          await this.#takeEvent(event);
          onOpen();
        }
      } catch (error) {
        if (this.#isClosed() || !this.#take(error)) return;
      }
      await pauseFor(RETRY_MS, signal).catch(() => undefined);
    }
  }

  /** The first event of a stream names what lives: whatever else is held for alive is asked for. */
  async #takeEvent(event: OrdersEvent): Promise<void> {
    if (event.kind === "order") {
      this.#gather([{ ...event.order, signed: event.receipt }]);
      this.#takeReport(event.order);
      return;
    }
    for (const report of event.orders) this.#takeReport(report);
    const named = new Set(event.orders.map(({ clientId }) => clientId));
    for (const clientId of this.orders.clientIds) {
      if (!named.has(clientId) && !this.orders.isBusy(clientId)) await this.#findOut(clientId);
    }
  }

  /** Signs of life: without them the exchange cancels everything (spec ORD-18). */
  async #beat(): Promise<void> {
    const { client, account, heartbeatSeconds: seconds } = this.#parts;
    const { signal } = this.#closing;
    while (!this.#isClosed() && !this.isOver) {
      try {
        await client.cancelAllOrdersAfter(await account.signCancelAfter(this.ticketId, ++this.#nonce, seconds));
      } catch (error) {
        // A cancel of everything may have overtaken it with a higher nonce.
        const isOvertaken = error instanceof HedgerowError && error.code === "NonceUsed";
        if (!isOvertaken && !this.#take(error)) return;
      }
      await pauseFor((seconds * 1_000) / 3, signal).catch(() => undefined);
    }
  }

  // ---------------------------------------------------------------- what comes back

  #takeAnswer({ order, receipts }: OrderAnswer): void {
    const { ticketId, clientId } = order;
    this.#gather(receipts.map((signed) => ({ ticketId, clientId, signed })));
    this.#takeReport(order);
  }

  #takeReport(report: OrderReport): void {
    const back = this.orders.take(report);
    if (back === undefined) return;
    const { account, client } = this.#parts;
    const { clientId } = back.order;
    this.orders.change(clientId);
    this.#background(
      account.signCancel(back).then((cancel) => this.#dispatch(back, false, () => client.cancelOrder(cancel))),
    );
  }

  /** Counts a failure and slows down for it. False: the ticket, or the bot, is at its end. */
  #take(error: unknown): boolean {
    if (!(error instanceof HedgerowError) || BREAKS.has(error.code)) {
      this.fault ??= error instanceof Error ? error : new Error(String(error));
      return false;
    }
    if (this.#isClosed()) return false;
    this.#parts.onRefusal(error);
    if (ENDS.has(error.code)) this.isOver = true;
    else if (!RACES.has(error.code)) this.#parts.pace.refused();
    return true;
  }

  #gather(
    receipts: readonly { readonly ticketId: Hex; readonly clientId: bigint; readonly signed: SignedReceipt }[],
  ): void {
    for (const { ticketId, clientId, signed } of receipts) this.#receipts.push({ ticketId, clientId, signed });
    this.#timer ??= setTimeout(() => this.#keep(), GATHER_MS);
  }

  #keep(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const receipts = this.#receipts;
    this.#receipts = [];
    if (receipts.length === 0) return;
    try {
      this.#parts.keepReceipts(receipts);
    } catch (error) {
      this.fault ??= error instanceof Error ? error : new Error(String(error));
    }
  }

  /** Waits for the commands under way, but not for long. */
  async #settleAll(): Promise<void> {
    const waiting = new AbortController();
    const patience = pauseFor(RETRY_MS, waiting.signal).catch(() => undefined);
    await Promise.race([Promise.all(this.#inFlight), patience]);
    waiting.abort();
  }

  #background(work: Promise<void>): void {
    const tracked = this.#guarded(work).finally(() => this.#inFlight.delete(tracked));
    this.#inFlight.add(tracked);
  }

  /** What should not fail, and ends the bot if it does. */
  async #guarded(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.fault ??= error instanceof Error ? error : new Error(String(error));
    }
  }
}

/** An exchange that signs what is not so, or nothing at all, gets no more orders. */
const BREAKS: ReadonlySet<string> = new Set([
  "InvalidReceipt",
  "ContradictingReceipts",
  "WalletUnwritable",
  "WalletDamaged",
]);

function isRefusal(error: unknown): boolean {
  return error instanceof ExchangeRefused && !["Unavailable", "DeadlineExceeded"].includes(error.status);
}
