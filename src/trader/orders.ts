import { randomBytes } from "node:crypto";
import type { SignedOrder } from "../chain/clearingHouse.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import {
  type Cancel,
  type Domain,
  type Instructions,
  type Order,
  orderHash,
  type Side,
  type SignedCancel,
  signCancel,
  signCancelAfter,
  signCancelAll,
  type SignedCancelAfter,
  type SignedCancelAll,
  signInstructions,
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

/** What a trader tells the operator about an order besides what settles on chain. */
export type InstructionTerms = Omit<Instructions, "orderHash">;

/** Instructions with the signature of the order's session key. */
export type SignedInstructions = { readonly instructions: Instructions; readonly instructionsSignature: Hex };

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

/** Signs instructions for an order (spec ORD-14). */
export async function signInstructionsOf(
  domain: Domain,
  order: Order,
  terms: InstructionTerms,
  sessionPrivateKey: Hex,
): Promise<SignedInstructions> {
  const instructions: Instructions = { ...terms, orderHash: orderHash(domain, order) };
  return { instructions, instructionsSignature: await signInstructions(domain, instructions, sessionPrivateKey) };
}

/** Signs a cancel of an order with all its revisions. */
export async function signCancelOf(domain: Domain, order: Order, sessionPrivateKey: Hex): Promise<SignedCancel> {
  const cancel: Cancel = { ticketId: order.ticketId, clientId: order.clientId };
  return { cancel, signature: await signCancel(domain, cancel, sessionPrivateKey) };
}

/** Signs a cancel of everything on a ticket; `nonce`, 64 bits, is higher than all before it (spec ORD-16). */
export async function signCancelAllOf(
  domain: Domain,
  ticketId: Hex,
  nonce: bigint,
  sessionPrivateKey: Hex,
): Promise<SignedCancelAll> {
  const cancelAll = { ticketId, nonce };
  return { cancelAll, signature: await signCancelAll(domain, cancelAll, sessionPrivateKey) };
}

/** Signs a heartbeat: everything on the ticket is cancelled `seconds` after it unless another one comes (spec ORD-18). */
export async function signCancelAfterOf(
  domain: Domain,
  ticketId: Hex,
  nonce: bigint,
  seconds: number,
  sessionPrivateKey: Hex,
): Promise<SignedCancelAfter> {
  const cancelAfter = { ticketId, nonce, seconds };
  return { cancelAfter, signature: await signCancelAfter(domain, cancelAfter, sessionPrivateKey) };
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
