import type { HedgerowError } from "../../protocol/errors.ts";
import type { OrderRequest } from "../commands.ts";
import { contractName } from "../markets.ts";
import type { StoredOrder } from "../orderStore.ts";
import type { AccountReader } from "../reports/reader.ts";
import type { FailureView, OrderView } from "../views.ts";

/** Why an order was given up that nobody answered and that the exchange does not have (spec DSK-11). */
export const NEVER_ARRIVED = "it never reached the exchange";

/** The name by which a trader calls an order. */
export function refOf(clientId: bigint): string {
  return clientId.toString(16).padStart(16, "0");
}

/** An order as commands show it. One whose day is over and that was heard of as live has expired. */
export function orderViewOf(
  { entry, request, report, refusal }: StoredOrder,
  chain: AccountReader["chain"],
  ticketEpoch: number,
): OrderView {
  const { order, instructions } = entry;
  const contractId = chain.markets(ticketEpoch)[request.slot]?.contractId;
  const isLive = report?.status === "open" || report?.status === "waiting";
  const heard = report === undefined ? (refusal === undefined ? "unsent" : "refused") : report.status;
  const filled = report?.filled ?? 0;
  const remaining = report?.remaining ?? order.quantity;
  return {
    ref: refOf(order.clientId),
    ticketId: order.ticketId,
    slot: request.slot,
    contract: contractId === undefined ? `slot ${request.slot}` : contractName(contractId),
    side: order.side,
    type: typeOf(request),
    limitPrice: order.limitPrice.toString(),
    stopPrice: instructions?.stopPrice?.toString() ?? null,
    quantity: order.quantity,
    displayQuantity:
      instructions === undefined || instructions.displayQuantity === 0 ? null : instructions.displayQuantity,
    timeInForce: order.timeInForce,
    postOnly: order.postOnly,
    reduceOnly: request.reduceOnly ?? false,
    expiry: Number(order.expiry),
    status: isLive && ticketEpoch < chain.epoch ? "expired" : heard,
    reason: refusal ?? null,
    filled,
    remaining,
    averagePrice: report === undefined || filled === 0 ? null : rounded(report.filledValue, BigInt(filled)).toString(),
    revision: report?.revision ?? order.revision,
    seq: report?.seq ?? null,
    time: report === undefined ? null : Number(report.time),
    ...(request.worked !== undefined && { worked: request.worked }),
  };
}

/** An error as commands show it. */
export function failureOf({ code, message, details }: HedgerowError): FailureView {
  return {
    code,
    message,
    details: Object.fromEntries(Object.entries(details).map(([name, value]) => [name, String(value)])),
  };
}

function typeOf({ limitPrice, stopPrice, displayQuantity }: OrderRequest): OrderView["type"] {
  if (stopPrice !== undefined) return limitPrice === undefined ? "stop" : "stop-limit";
  if (displayQuantity !== undefined) return "iceberg";
  return limitPrice === undefined ? "market" : "limit";
}

/** The nearest whole number; halves away from zero. */
function rounded(value: bigint, by: bigint): bigint {
  const half = value < 0n ? -(by / 2n) : by / 2n;
  return (value + half) / by;
}
