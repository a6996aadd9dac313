import { randomBytes } from "node:crypto";
import type { SignedOrder } from "../chain/clearingHouse.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import {
  type Cancel,
  type Domain,
  type Order,
  type Side,
  type SignedCancel,
  signCancel,
  signOrder,
  type SignedWatch,
  signWatch,
  type TimeInForce,
} from "../protocol/order.ts";

/** What a trader decides about an order. limitPrice in base units per contract, expiry in unix seconds. */
export type OrderTerms = {
  readonly side: Side;
  readonly limitPrice: bigint;
  readonly quantity: number;
  readonly expiry: bigint;
  /** GTC by default. */
  readonly timeInForce?: TimeInForce;
  /** false by default. */
  readonly postOnly?: boolean;
};

/** What a replacement may change: an order keeps its side. */
export type OrderChanges = Partial<Omit<OrderTerms, "side">>;

/** An order was replaced 255 times. */
export class TooManyRevisions extends HedgerowError {
  constructor(clientId: bigint) {
    super("TooManyRevisions", `order ${clientId} has had ${LAST_REVISION} revisions: cancel it and send a new one`, {
      clientId,
    });
  }
}

const LAST_REVISION = 255;

/** Signs a first order with a random clientId (spec ORD-3). */
export async function signNewOrder(
  domain: Domain,
  ticketId: Hex,
  terms: OrderTerms,
  sessionPrivateKey: Hex,
): Promise<SignedOrder> {
  const order: Order = {
    timeInForce: "GTC",
    postOnly: false,
    ...terms,
    ticketId,
    clientId: randomClientId(),
    revision: 0,
  };
  return { order, signature: await signOrder(domain, order, sessionPrivateKey) };
}

/** Signs the next revision of an order; what `changes` does not name stays. Throws TooManyRevisions. */
export async function signReplacement(
  domain: Domain,
  replaced: Order,
  changes: OrderChanges,
  sessionPrivateKey: Hex,
): Promise<SignedOrder> {
  if (replaced.revision >= LAST_REVISION) throw new TooManyRevisions(replaced.clientId);
  const order: Order = { ...replaced, ...changes, revision: replaced.revision + 1 };
  return { order, signature: await signOrder(domain, order, sessionPrivateKey) };
}

/** Signs a cancel of an order with all its revisions. */
export async function signCancelOf(domain: Domain, order: Order, sessionPrivateKey: Hex): Promise<SignedCancel> {
  const cancel: Cancel = { ticketId: order.ticketId, clientId: order.clientId };
  return { cancel, signature: await signCancel(domain, cancel, sessionPrivateKey) };
}

/** Signs the permission to see a ticket's orders until `validUntil`, unix seconds (spec ORD-15). */
export async function signWatchOf(
  domain: Domain,
  ticketId: Hex,
  validUntil: bigint,
  sessionPrivateKey: Hex,
): Promise<SignedWatch> {
  const watch = { ticketId, validUntil };
  return { watch, signature: await signWatch(domain, watch, sessionPrivateKey) };
}

/** 64 random bits, never 0. */
function randomClientId(): bigint {
  for (;;) {
    const clientId = randomBytes(8).readBigUInt64BE();
    if (clientId !== 0n) return clientId;
  }
}
