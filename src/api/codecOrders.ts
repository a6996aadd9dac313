import type { SignedOrder } from "../chain/clearingHouse.ts";
import type { OrderAnswer, OrderEntry, OrderReport, OrderStatus } from "./service.ts";
import type {
  SelfTradeMode,
  Side,
  SignedCancel,
  SignedCancelAfter,
  SignedCancelAll,
  SignedWatch,
  TimeInForce,
} from "../protocol/order.ts";
import type { ReceiptKind, SignedReceipt } from "../protocol/receipt.ts";
import {
  enumeration,
  hashFrom,
  integerFrom,
  MalformedField,
  present,
  safeNumberFrom,
  signatureFrom,
  slotFrom,
  timeFrom,
} from "./codec.ts";
import * as wire from "./gen/hedgerow/exchange/v1/exchange_pb.ts";

// Orders, and what is said of them, as messages. The messages are plain objects: building them through reflection
// would cost more than everything else on the way of an order.

/** buy and sell. */
export const SIDE = enumeration<Side, wire.Side>({ buy: wire.Side.BUY, sell: wire.Side.SELL });
const TIME_IN_FORCE = enumeration<TimeInForce, wire.TimeInForce>({
  GTC: wire.TimeInForce.GTC,
  IOC: wire.TimeInForce.IOC,
  FOK: wire.TimeInForce.FOK,
});
const SELF_TRADE = enumeration<SelfTradeMode, wire.SelfTradeMode>({
  "cancel-incoming": wire.SelfTradeMode.CANCEL_INCOMING,
  "cancel-resting": wire.SelfTradeMode.CANCEL_RESTING,
  "cancel-both": wire.SelfTradeMode.CANCEL_BOTH,
  decrement: wire.SelfTradeMode.DECREMENT,
});
const EXEC_TYPE = enumeration<ReceiptKind, wire.ExecType>({
  accepted: wire.ExecType.NEW,
  "executed-taker": wire.ExecType.TRADE_TAKER,
  "executed-maker": wire.ExecType.TRADE_MAKER,
  cancelled: wire.ExecType.CANCELED,
  replaced: wire.ExecType.REPLACED,
  expired: wire.ExecType.EXPIRED,
  triggered: wire.ExecType.TRIGGERED,
  reloaded: wire.ExecType.RESTATED,
});

/** The message of a signed order. */
export function orderMessageOf({ order, signature }: SignedOrder): wire.Order {
  return {
    $typeName: "hedgerow.exchange.v1.Order",
    ticketId: order.ticketId,
    clOrdId: order.clientId,
    revision: order.revision,
    side: SIDE.numberOf(order.side),
    price: order.limitPrice.toString(),
    orderQty: order.quantity,
    timeInForce: TIME_IN_FORCE.numberOf(order.timeInForce),
    postOnly: order.postOnly,
    expireTime: order.expiry,
    signature,
  };
}

/** The signed order of a message. Throws MalformedField. */
export function orderFrom(message: wire.Order): SignedOrder {
  return {
    order: {
      ticketId: hashFrom("ticket_id", message.ticketId),
      clientId: message.clOrdId,
      revision: message.revision,
      side: SIDE.nameOf("side", message.side),
      limitPrice: integerFrom("price", message.price),
      quantity: message.orderQty,
      timeInForce: TIME_IN_FORCE.nameOf("time_in_force", message.timeInForce),
      postOnly: message.postOnly,
      expiry: message.expireTime,
    },
    signature: signatureFrom("signature", message.signature),
  };
}

/** The message of an order to enter. */
export function newOrderMessageOf(entry: OrderEntry): wire.NewOrder {
  const order = orderMessageOf(entry);
  const { instructions, instructionsSignature } = entry;
  const ordType = wire.OrdType.UNSPECIFIED;
  if (instructions === undefined) return { $typeName: "hedgerow.exchange.v1.NewOrder", order, ordType };
  return {
    $typeName: "hedgerow.exchange.v1.NewOrder",
    order,
    instructions: {
      $typeName: "hedgerow.exchange.v1.Instructions",
      orderHash: instructions.orderHash,
      stopPx: instructions.stopPrice?.toString() ?? "",
      maxFloor: instructions.displayQuantity,
      selfTradeMode: SELF_TRADE.numberOf(instructions.selfTrade),
      reduceOnly: instructions.reduceOnly,
      signature: instructionsSignature ?? "",
    },
    ordType,
  };
}

/** The order of a message. Throws MalformedField. */
export function newOrderFrom(message: wire.NewOrder): OrderEntry {
  const signed = orderFrom(present("order", message.order));
  const extra = message.instructions;
  assertType(message.ordType, extra !== undefined && extra.stopPx !== "", signed.order.timeInForce);
  if (extra === undefined) return signed;
  return {
    ...signed,
    instructions: {
      orderHash: hashFrom("instructions.order_hash", extra.orderHash),
      stopPrice: extra.stopPx === "" ? undefined : integerFrom("instructions.stop_px", extra.stopPx),
      displayQuantity: extra.maxFloor,
      selfTrade: SELF_TRADE.nameOf("instructions.self_trade_mode", extra.selfTradeMode),
      reduceOnly: extra.reduceOnly,
    },
    instructionsSignature: signatureFrom("instructions.signature", extra.signature),
  };
}

/** An order that is said to be a stop has a stop price; one that is said to go at the market does not rest. */
function assertType(type: wire.OrdType, stop: boolean, timeInForce: TimeInForce): void {
  if (type === wire.OrdType.UNSPECIFIED) return;
  const wantsStop = type === wire.OrdType.STOP || type === wire.OrdType.STOP_LIMIT;
  const wantsImmediate = type === wire.OrdType.STOP || type === wire.OrdType.MARKET;
  if (!wantsStop && !wantsImmediate && type !== wire.OrdType.LIMIT)
    throw new MalformedField("ord_type", "it is unknown");
  if (wantsStop !== stop) {
    throw new MalformedField("ord_type", "stop orders have instructions.stop_px, and no others have");
  }
  if (wantsImmediate && timeInForce === "GTC") {
    throw new MalformedField("ord_type", "an order at the market is IOC or FOK, its price the worst one");
  }
}

/** The message of a signed cancel. */
export function cancelMessageOf({ cancel, signature }: SignedCancel): wire.Cancel {
  return {
    $typeName: "hedgerow.exchange.v1.Cancel",
    ticketId: cancel.ticketId,
    clOrdId: cancel.clientId,
    signature,
  };
}

/** The signed cancel of a message. Throws MalformedField. */
export function cancelFrom(message: wire.Cancel): SignedCancel {
  return {
    cancel: { ticketId: hashFrom("ticket_id", message.ticketId), clientId: message.clOrdId },
    signature: signatureFrom("signature", message.signature),
  };
}

/** The message of a signed cancel of everything. */
export function cancelAllMessageOf({ cancelAll, signature }: SignedCancelAll): wire.CancelAll {
  return { $typeName: "hedgerow.exchange.v1.CancelAll", ...cancelAll, signature };
}

/** The signed cancel of everything of a message. Throws MalformedField. */
export function cancelAllFrom(message: wire.CancelAll): SignedCancelAll {
  return {
    cancelAll: { ticketId: hashFrom("ticket_id", message.ticketId), nonce: message.nonce },
    signature: signatureFrom("signature", message.signature),
  };
}

/** The message of a signed heartbeat. */
export function cancelAfterMessageOf({ cancelAfter, signature }: SignedCancelAfter): wire.CancelAfter {
  return { $typeName: "hedgerow.exchange.v1.CancelAfter", ...cancelAfter, signature };
}

/** The signed heartbeat of a message. Throws MalformedField. */
export function cancelAfterFrom(message: wire.CancelAfter): SignedCancelAfter {
  return {
    cancelAfter: {
      ticketId: hashFrom("ticket_id", message.ticketId),
      nonce: message.nonce,
      seconds: message.seconds,
    },
    signature: signatureFrom("signature", message.signature),
  };
}

/** The message of a signed watch. */
export function watchMessageOf({ watch, signature }: SignedWatch): wire.Watch {
  return { $typeName: "hedgerow.exchange.v1.Watch", ...watch, signature };
}

/** The signed watch of a message. Throws MalformedField. */
export function watchFrom(message: wire.Watch): SignedWatch {
  return {
    watch: { ticketId: hashFrom("ticket_id", message.ticketId), validUntil: message.validUntil },
    signature: signatureFrom("signature", message.signature),
  };
}

/** The message of an order's report. */
export function reportMessageOf(report: OrderReport): wire.OrderReport {
  return {
    $typeName: "hedgerow.exchange.v1.OrderReport",
    ticketId: report.ticketId,
    clOrdId: report.clientId,
    slot: report.slot,
    orderHash: report.orderHash,
    revision: report.revision,
    side: SIDE.numberOf(report.side),
    price: report.limitPrice.toString(),
    orderQty: report.quantity,
    timeInForce: TIME_IN_FORCE.numberOf(report.timeInForce),
    ordStatus: statusNumber(report),
    cumQty: report.filled,
    filledValue: report.filledValue.toString(),
    leavesQty: report.remaining,
    seq: BigInt(report.seq),
    n: report.n,
    transactTime: report.time,
  };
}

/** The order's report of a message. Throws MalformedField. */
export function reportFrom(message: wire.OrderReport): OrderReport {
  return {
    ticketId: hashFrom("ticket_id", message.ticketId),
    clientId: message.clOrdId,
    slot: slotFrom("slot", message.slot),
    orderHash: hashFrom("order_hash", message.orderHash),
    revision: message.revision,
    side: SIDE.nameOf("side", message.side),
    limitPrice: integerFrom("price", message.price),
    quantity: message.orderQty,
    timeInForce: TIME_IN_FORCE.nameOf("time_in_force", message.timeInForce),
    status: statusFrom(message.ordStatus),
    filled: message.cumQty,
    filledValue: integerFrom("filled_value", message.filledValue),
    remaining: message.leavesQty,
    seq: safeNumberFrom("seq", message.seq),
    n: message.n,
    time: timeFrom("transact_time", message.transactTime),
  };
}

function statusNumber({ status, filled }: OrderReport): wire.OrdStatus {
  switch (status) {
    case "waiting":
      return wire.OrdStatus.WAITING;
    case "open":
      return filled === 0 ? wire.OrdStatus.NEW : wire.OrdStatus.PARTIALLY_FILLED;
    case "filled":
      return wire.OrdStatus.FILLED;
    case "cancelled":
      return wire.OrdStatus.CANCELED;
    case "expired":
      return wire.OrdStatus.EXPIRED;
  }
}

function statusFrom(number: wire.OrdStatus): OrderStatus {
  switch (number) {
    case wire.OrdStatus.WAITING:
      return "waiting";
    case wire.OrdStatus.NEW:
    case wire.OrdStatus.PARTIALLY_FILLED:
      return "open";
    case wire.OrdStatus.FILLED:
      return "filled";
    case wire.OrdStatus.CANCELED:
      return "cancelled";
    case wire.OrdStatus.EXPIRED:
      return "expired";
    default:
      throw new MalformedField("ord_status", "it is unknown");
  }
}

/** The message of a receipt. */
export function receiptMessageOf({ receipt, siblings, signature }: SignedReceipt): wire.Receipt {
  return {
    $typeName: "hedgerow.exchange.v1.Receipt",
    seq: BigInt(receipt.seq),
    n: receipt.n,
    execType: EXEC_TYPE.numberOf(receipt.kind),
    orderHash: receipt.orderHash,
    prioritySeq: BigInt(receipt.prioritySeq),
    lastQty: receipt.quantity,
    leavesQty: receipt.remaining,
    lastPx: receipt.price.toString(),
    transactTime: receipt.execTime,
    logHead: receipt.logHead,
    term: BigInt(receipt.term),
    siblings: [...siblings],
    signature,
  };
}

/** The receipt of a message. Throws MalformedField. */
export function receiptFrom(message: wire.Receipt): SignedReceipt {
  return {
    receipt: {
      seq: safeNumberFrom("seq", message.seq),
      n: message.n,
      kind: EXEC_TYPE.nameOf("exec_type", message.execType),
      orderHash: hashFrom("order_hash", message.orderHash),
      prioritySeq: safeNumberFrom("priority_seq", message.prioritySeq),
      quantity: message.lastQty,
      remaining: message.leavesQty,
      price: integerFrom("last_px", message.lastPx),
      execTime: message.transactTime,
      logHead: hashFrom("log_head", message.logHead),
      term: safeNumberFrom("term", message.term),
    },
    siblings: message.siblings.map((sibling) => hashFrom("siblings", sibling)),
    signature: signatureFrom("signature", message.signature),
  };
}

/** The message of an answer. */
export function answerMessageOf({ order, receipts }: OrderAnswer): wire.OrderAnswer {
  return {
    $typeName: "hedgerow.exchange.v1.OrderAnswer",
    order: reportMessageOf(order),
    receipts: receipts.map(receiptMessageOf),
  };
}

/** The answer of a message. Throws MalformedField. */
export function answerFrom(message: wire.OrderAnswer): OrderAnswer {
  return { order: reportFrom(present("order", message.order)), receipts: message.receipts.map(receiptFrom) };
}
