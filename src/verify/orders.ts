import type { Hex } from "../protocol/keys.ts";
import { type Order, orderHash, type Side, type TimeInForce } from "../protocol/order.ts";
import { recoverSigner } from "../protocol/signature.ts";
import { must } from "./errors.ts";
import type { House } from "./state.ts";

/** A signed order as it stands in calldata. */
export type CallOrder = {
  readonly ticketId: Hex;
  readonly clientId: bigint;
  readonly revision: number;
  readonly side: number;
  readonly limitPrice: bigint;
  readonly quantity: number;
  readonly timeInForce: number;
  readonly postOnly: boolean;
  readonly expiry: bigint;
  readonly r: Hex;
  readonly vs: Hex;
};

/** Largest quantity of an order or a fill (spec ORD-9). */
export const MOST_QUANTITY = 2 ** 31 - 1;

const SIDES: readonly Side[] = ["buy", "sell"];
const TIMES_IN_FORCE: readonly TimeInForce[] = ["GTC", "IOC", "FOK"];

/** An order as it stands in calldata, in the words of the protocol. Throws BrokenRule. */
export function readOrder(order: CallOrder): Order {
  const side = SIDES[order.side];
  const timeInForce = TIMES_IN_FORCE[order.timeInForce];
  must(
    side !== undefined && timeInForce !== undefined,
    "ORD-1",
    `order ${order.clientId} has no side or time in force`,
  );
  return { ...order, side, timeInForce };
}

/** The session key signed this very order (spec ORD-12). Throws BrokenRule. */
export function assertSigned(house: House, sessionKey: Hex, order: Order, { r, vs }: CallOrder): void {
  const signer = recoverSigner(orderHash(house.domain, order), fullSignature(r, vs));
  const { ticketId, clientId } = order;
  must(
    signer === sessionKey,
    "ORD-12",
    `order ${clientId} of ticket ${ticketId.slice(0, 14)} is signed by ${signer ?? "nobody"}, not by ${sessionKey}`,
  );
}

const HIGHEST_BIT = 1n << 255n;

/** A compact signature as 65 bytes: vs holds the parity in its highest bit. */
export function fullSignature(r: Hex, vs: Hex): Hex {
  const word = BigInt(vs);
  const s = (word & (HIGHEST_BIT - 1n)).toString(16).padStart(64, "0");
  return `0x${r.slice(2)}${s}${word >= HIGHEST_BIT ? "1c" : "1b"}`;
}
