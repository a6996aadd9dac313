import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import { hashFrom, MalformedField, present, safeNumberFrom } from "../../api/codec.ts";
import {
  announcementMessageOf,
  batchMessageOf,
  bookMessageOf,
  candleMessageOf,
  epochMessageOf,
  INTERVAL,
  marketMessageOf,
  queuedMessageOf,
  ticketMessageOf,
  tradeMessageOf,
  updateMessageOf,
} from "../../api/codecMarkets.ts";
import {
  answerMessageOf,
  cancelAfterFrom,
  cancelAllFrom,
  cancelFrom,
  newOrderFrom,
  orderFrom,
  receiptMessageOf,
  reportMessageOf,
  watchFrom,
} from "../../api/codecOrders.ts";
import { transitionFrom } from "../../api/codecTransition.ts";
import {
  Exchange,
  type WatchAnnouncementsResponse,
  type WatchOrdersResponse,
  WatchAnnouncementsResponseSchema,
  WatchOHLCVResponseSchema,
  WatchOrderBookResponseSchema,
  WatchTradesResponseSchema,
} from "../../api/gen/hedgerow/exchange/v1/exchange_pb.ts";
import type { BookUpdate, Candle } from "../../api/codecMarkets.ts";
import { HedgerowError } from "../../protocol/errors.ts";
import { SLOTS } from "../../protocol/note.ts";
import type { Listener, MarketData, OrderEvent, TimedAnnouncement } from "../marketData.ts";
import type { PublicTrade } from "../../api/service.ts";
import { encodeOnce, type SharedMessage } from "./encodeOnce.ts";
import { cancelledMessageOf, enterOrders, guardMessageOf, limited, type OrderEntryParts } from "./orderEntry.ts";

/** A watch of orders is over. */
export class WatchExpired extends HedgerowError {
  constructor(validUntil: bigint) {
    super("WatchExpired", `the watch was good until ${validUntil}: sign a new one`, { validUntil });
  }
}

/** Rough size of an order with its receipt, bytes. */
const ORDER_EVENT_BYTES = 1_024;
/** What a timer can hold, milliseconds. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Serves the schema's methods. */
export function routes(router: ConnectRouter, parts: OrderEntryParts & { readonly data: MarketData }): void {
  const { service, calls, tickets, data } = parts;

  const bookMessage = encodeOnce(
    WatchOrderBookResponseSchema,
    2,
    (group: readonly BookUpdate[]) => ({
      $typeName: "hedgerow.exchange.v1.WatchOrderBookResponse" as const,
      updates: group.map(updateMessageOf),
    }),
    () => ({ $typeName: "hedgerow.exchange.v1.WatchOrderBookResponse" as const, updates: [] }),
  );
  const tradesMessage = encodeOnce(
    WatchTradesResponseSchema,
    1,
    (group: readonly PublicTrade[]) => ({
      $typeName: "hedgerow.exchange.v1.WatchTradesResponse" as const,
      trades: group.map(tradeMessageOf),
    }),
    () => ({ $typeName: "hedgerow.exchange.v1.WatchTradesResponse" as const, trades: [] }),
  );
  const candlesMessage = encodeOnce(
    WatchOHLCVResponseSchema,
    1,
    (group: readonly Candle[]) => ({
      $typeName: "hedgerow.exchange.v1.WatchOHLCVResponse" as const,
      candles: group.map(candleMessageOf),
    }),
    () => ({ $typeName: "hedgerow.exchange.v1.WatchOHLCVResponse" as const, candles: [] }),
  );
  const announcementsMessage = encodeOnce(
    WatchAnnouncementsResponseSchema,
    2,
    (group: readonly TimedAnnouncement[]) => ({
      $typeName: "hedgerow.exchange.v1.WatchAnnouncementsResponse" as const,
      announcements: group.map(({ announcement, time }) => announcementMessageOf(announcement, time)),
    }),
    () => ({ $typeName: "hedgerow.exchange.v1.WatchAnnouncementsResponse" as const, announcements: [] }),
  );

  /** What the exchange has told, once it is for others. */
  async function durable<T>(told: T): Promise<T> {
    await service.durable();
    return told;
  }

  router.service(Exchange, {
    submitTransition: (request, context) =>
      calls.unary(context, async () => {
        calls.takeTransition(context);
        const transition = transitionFrom(present("transition", request.transition));
        return queuedMessageOf(await service.submitTransition(transition));
      }),
    createOrder: (request, context) =>
      calls.unary(context, async () => {
        const entry = newOrderFrom(present("order", request.order));
        const answer = await limited(tickets, entry.order.ticketId, () => service.placeOrder(entry));
        return { answer: answerMessageOf(answer) };
      }),
    editOrder: (request, context) =>
      calls.unary(context, async () => {
        const order = orderFrom(present("order", request.order));
        const answer = await limited(tickets, order.order.ticketId, () => service.replaceOrder(order));
        return { answer: answerMessageOf(answer) };
      }),
    cancelOrder: (request, context) =>
      calls.unary(context, async () => {
        const cancel = cancelFrom(present("cancel", request.cancel));
        const answer = await limited(tickets, cancel.cancel.ticketId, () => service.cancelOrder(cancel));
        return { answer: answerMessageOf(answer) };
      }),
    cancelAllOrders: (request, context) =>
      calls.unary(context, async () => {
        const signed = cancelAllFrom(present("cancel_all", request.cancelAll));
        return cancelledMessageOf(await limited(tickets, signed.cancelAll.ticketId, () => service.cancelAll(signed)));
      }),
    cancelAllOrdersAfter: (request, context) =>
      calls.unary(context, async () => {
        const signed = cancelAfterFrom(present("cancel_after", request.cancelAfter));
        const guard = await limited(tickets, signed.cancelAfter.ticketId, () => service.cancelAfter(signed));
        return guardMessageOf(guard.deadline);
      }),
    fetchOrder: (request, context) =>
      calls.unary(context, async () => {
        const watch = watchFrom(present("watch", request.watch));
        return { order: reportMessageOf(await service.order(watch, request.clOrdId)) };
      }),
    fetchOpenOrders: (request, context) =>
      calls.unary(context, async () => {
        const orders = await service.openOrders(watchFrom(present("watch", request.watch)));
        return { orders: orders.map(reportMessageOf) };
      }),
    fetchTicket: (request, context) =>
      calls.unary(context, async () => ({
        ticket: ticketMessageOf(await service.ticket(hashFrom("ticket_id", request.ticketId))),
      })),
    fetchMarkets: (_, context) =>
      calls.unary(context, () => durable({ markets: service.markets().map(marketMessageOf) })),
    fetchEpoch: (_, context) => calls.unary(context, () => durable({ epoch: epochMessageOf(service.epoch()) })),
    fetchBatch: (request, context) =>
      calls.unary(context, async () => {
        const number = safeNumberFrom("batch_number", request.batchNumber);
        return { batch: batchMessageOf(await service.batch(number)) };
      }),
    fetchOrderBook: (request, context) =>
      calls.unary(context, () => ({
        book: bookMessageOf(service.book(slotFrom(request.slot)), request.limit),
      })),
    fetchTrades: (request, context) =>
      calls.unary(context, () => ({
        trades: data.trades(slotFrom(request.slot), request.limit).map(tradeMessageOf),
      })),
    fetchOHLCV: (request, context) =>
      calls.unary(context, () => {
        const interval = INTERVAL.nameOf("interval", request.interval);
        return { candles: data.candles(slotFrom(request.slot), interval, request.limit).map(candleMessageOf) };
      }),

    watchOrderBook: (request, context) =>
      calls.watch(context, (push, end) => {
        const send = sender(context, bookMessage, push, end);
        const { snapshot, stop } = data.onBook(slotFrom(request.slot), send);
        return { first: { snapshot: bookMessageOf(snapshot) }, stop };
      }),
    watchTrades: (request, context) =>
      calls.watch(context, (push, end) => {
        const slot = slotFrom(request.slot);
        const stop = data.onTrades(slot, sender(context, tradesMessage, push, end));
        const missed =
          request.sinceSeq === undefined
            ? []
            : data.tradesSince(slot, safeNumberFrom("since_seq", request.sinceSeq), request.sinceN);
        return { first: { trades: missed.map(tradeMessageOf) }, stop };
      }),
    watchOHLCV: (request, context) =>
      calls.watch(context, (push, end) => {
        const slot = slotFrom(request.slot);
        const interval = INTERVAL.nameOf("interval", request.interval);
        const stop = data.onCandles(slot, interval, sender(context, candlesMessage, push, end));
        const present = data.candles(slot, interval, Math.max(1, request.limit));
        return { first: { candles: present.map(candleMessageOf) }, stop };
      }),
    watchOrders: (request, context) =>
      calls.watch<WatchOrdersResponse>(context, async (push, end) => {
        const watch = watchFrom(present("watch", request.watch));
        const { ticketId, validUntil } = watch.watch;
        // Listens before it asks: what happens meanwhile comes twice rather than never.
        const early: (readonly OrderEvent[])[] = [];
        let deliver = (group: readonly OrderEvent[]): void => void early.push(group);
        const stopListening = data.onOrders(ticketId, (group) => deliver(group));
        try {
          const open = await service.openOrders(watch);
          deliver = ending(end, (group) => push(orderEventsMessage(group), group.length * ORDER_EVENT_BYTES));
          for (const group of early) deliver(group);
          const left = Number(validUntil - service.epoch().time) * 1000;
          const timer = setTimeout(() => end(new WatchExpired(validUntil)), Math.min(left, LONGEST_TIMER_MS));
          const stop = (): void => {
            clearTimeout(timer);
            stopListening();
          };
          return { first: { ...orderEventsMessage([]), snapshot: true, open: open.map(reportMessageOf) }, stop };
        } catch (error) {
          stopListening();
          throw error;
        }
      }),
    watchAnnouncements: (_, context) =>
      calls.watch<WatchAnnouncementsResponse>(context, async (push, end) => {
        const stop = data.onAnnouncements(sender(context, announcementsMessage, push, end));
        try {
          const epoch = await durable(epochMessageOf(service.epoch()));
          return { first: { ...announcementsMessage([]).json, epoch }, stop };
        } catch (error) {
          stop();
          throw error;
        }
      }),

    enterOrders: (requests, context) => calls.stream(context, () => enterOrders(parts, requests, context)),
  });
}

/** A listener that ends its own stream where it fails: there is nobody else to tell. */
function ending<T>(end: (error: Error) => void, listener: Listener<T>): Listener<T> {
  return (group) => {
    try {
      listener(group);
    } catch (error) {
      end(error instanceof Error ? error : new Error(String(error)));
    }
  };
}

/** Sends groups in the form that the caller reads. */
function sender<T, M>(
  context: HandlerContext,
  share: (group: readonly T[]) => SharedMessage<M>,
  push: (message: M, weight: number) => void,
  end: (error: Error) => void,
): Listener<T> {
  const json = context.requestHeader.get("content-type")?.includes("json") ?? false;
  return ending(end, (group) => {
    const message = share(group);
    push(json ? message.json : message.binary, message.bytes);
  });
}

function orderEventsMessage(group: readonly OrderEvent[]): WatchOrdersResponse {
  return {
    $typeName: "hedgerow.exchange.v1.WatchOrdersResponse",
    snapshot: false,
    open: [],
    events: group.map(({ order, receipt }) => ({
      $typeName: "hedgerow.exchange.v1.OrderEvent",
      order: reportMessageOf(order),
      receipt: receiptMessageOf(receipt),
    })),
  };
}

function slotFrom(slot: number): number {
  if (slot >= SLOTS) throw new MalformedField("slot", `expected 0 to ${SLOTS - 1}`);
  return slot;
}
