import { privateKeyToAccount } from "viem/accounts";
import type { Hex } from "./keys.ts";
import {
  beginStruct,
  type Domain,
  putBool,
  putBytes32,
  putInt256,
  putInt88,
  putNumber,
  putUint256,
  putUint64,
  structType,
  typedDataHash,
} from "./typedData.ts";

export type { Domain };

export type Side = "buy" | "sell";
export type TimeInForce = "GTC" | "IOC" | "FOK";

/**
 * An order of a ticket's session key. limitPrice in base units per contract, |limitPrice| < 2^80; quantity in
 * contracts, 0 < quantity < 2^31; clientId random and not zero, 64 bits; an order and its replacements share the
 * clientId, count its filled quantity together and rise in revision (8 bits); expiry in unix seconds.
 */
export type Order = {
  readonly ticketId: Hex;
  readonly clientId: bigint;
  readonly revision: number;
  readonly side: Side;
  readonly limitPrice: bigint;
  readonly quantity: number;
  readonly timeInForce: TimeInForce;
  readonly postOnly: boolean;
  readonly expiry: bigint;
};

/** Who gives way when an order meets one of its own ticket (spec MAT-7). */
export type SelfTradeMode = "cancel-incoming" | "cancel-resting" | "cancel-both" | "decrement";

/**
 * What an order tells the operator beyond what settles on chain: a message of its own, bound to the order's hash. An
 * order without it has none of these and cancels the incoming order where it would meet its own ticket.
 */
export type Instructions = {
  readonly orderHash: Hex;
  /** Base units per contract, |stopPrice| < 2^80: the order waits until a trade reaches it. Undefined: no stop. */
  readonly stopPrice: bigint | undefined;
  /** Contracts shown at a time, 1 to quantity; 0: all of them. */
  readonly displayQuantity: number;
  readonly selfTrade: SelfTradeMode;
  /** Whether it may only bring the ticket's position nearer to zero. */
  readonly reduceOnly: boolean;
};

/** Releases a ticket or a credit into one new note (spec TKT-7). cash in base units, position in contracts. */
export type Release = {
  readonly id: Hex;
  readonly nullifier: bigint;
  readonly newNote: bigint;
  readonly cash: bigint;
  readonly position: bigint;
};

/**
 * Takes an order and all its revisions out of the book. A cancelled clientId never comes back, so a cancel that is
 * shown twice does nothing the second time.
 */
export type Cancel = { readonly ticketId: Hex; readonly clientId: bigint };

/** A cancel with the 65-byte signature of its ticket's session key. */
export type SignedCancel = { readonly cancel: Cancel; readonly signature: Hex };

/** Takes all orders of a ticket out of the book. `nonce`, 64 bits, rises over all messages of the ticket that have one. */
export type CancelAll = { readonly ticketId: Hex; readonly nonce: bigint };

export type SignedCancelAll = { readonly cancelAll: CancelAll; readonly signature: Hex };

/**
 * Heartbeat of a dead-man cancel: all orders of the ticket are cancelled `seconds` (32 bits) after it unless another
 * one comes; 0 takes the guard away. `nonce` as for CancelAll.
 */
export type CancelAfter = { readonly ticketId: Hex; readonly nonce: bigint; readonly seconds: number };

export type SignedCancelAfter = { readonly cancelAfter: CancelAfter; readonly signature: Hex };

/** Lets its bearer see the orders of a ticket until `validUntil`, unix seconds, 64 bits. */
export type Watch = { readonly ticketId: Hex; readonly validUntil: bigint };

export type SignedWatch = { readonly watch: Watch; readonly signature: Hex };

/** The contract's codes for side and time in force. */
export const SIDE_CODE: Readonly<Record<Side, number>> = { buy: 0, sell: 1 };
export const TIME_IN_FORCE_CODE: Readonly<Record<TimeInForce, number>> = { GTC: 0, IOC: 1, FOK: 2 };

/** The code of a self-trade mode in the message. */
export const SELF_TRADE_CODE: Readonly<Record<SelfTradeMode, number>> = {
  "cancel-incoming": 0,
  "cancel-resting": 1,
  "cancel-both": 2,
  decrement: 3,
};

const ORDER = structType(
  "Order(bytes32 ticketId,uint64 clientId,uint8 revision,uint8 side,int88 limitPrice,uint32 quantity,uint8 timeInForce,bool postOnly,uint64 expiry)",
);
const INSTRUCTIONS = structType(
  "OrderInstructions(bytes32 orderHash,bool hasStop,int88 stopPrice,uint32 displayQuantity,uint8 selfTrade,bool reduceOnly)",
);
const RELEASE = structType("Release(bytes32 id,uint256 nullifier,uint256 newNote,int256 cash,int256 position)");
const CANCEL = structType("Cancel(bytes32 ticketId,uint64 clientId)");
const CANCEL_ALL = structType("CancelAll(bytes32 ticketId,uint64 nonce)");
const CANCEL_AFTER = structType("CancelAfter(bytes32 ticketId,uint64 nonce,uint32 seconds)");
const WATCH = structType("Watch(bytes32 ticketId,uint64 validUntil)");

/** The domain of a clearing house at an address. */
export function domainOf(chainId: bigint, contract: Hex): Domain {
  return { name: "Hedgerow", version: "1", chainId: Number(chainId), verifyingContract: contract };
}

/** The hash that the session key signs (spec ORD-1). Throws DoesNotFit. */
export function orderHash(domain: Domain, order: Order): Hex {
  beginStruct(ORDER);
  putBytes32(1, "ticketId", order.ticketId);
  putUint64(2, "clientId", order.clientId);
  putNumber(3, "revision", order.revision, 8);
  putNumber(4, "side", SIDE_CODE[order.side], 8);
  putInt88(5, "limitPrice", order.limitPrice);
  putNumber(6, "quantity", order.quantity, 32);
  putNumber(7, "timeInForce", TIME_IN_FORCE_CODE[order.timeInForce], 8);
  putBool(8, order.postOnly);
  putUint64(9, "expiry", order.expiry);
  return typedDataHash(domain, ORDER);
}

/** Signs an order with its ticket's session key: 65 bytes r, s, v. */
export async function signOrder(domain: Domain, order: Order, sessionPrivateKey: Hex): Promise<Hex> {
  return privateKeyToAccount(sessionPrivateKey).sign({ hash: orderHash(domain, order) });
}

/** The hash that the session key signs beside the order's (spec ORD-14). No stop is hasStop 0, stopPrice 0. Throws DoesNotFit. */
export function instructionsHash(domain: Domain, instructions: Instructions): Hex {
  const { stopPrice } = instructions;
  beginStruct(INSTRUCTIONS);
  putBytes32(1, "orderHash", instructions.orderHash);
  putBool(2, stopPrice !== undefined);
  putInt88(3, "stopPrice", stopPrice ?? 0n);
  putNumber(4, "displayQuantity", instructions.displayQuantity, 32);
  putNumber(5, "selfTrade", SELF_TRADE_CODE[instructions.selfTrade], 8);
  putBool(6, instructions.reduceOnly);
  return typedDataHash(domain, INSTRUCTIONS);
}

/** Signs instructions with the session key of the order's ticket. */
export async function signInstructions(
  domain: Domain,
  instructions: Instructions,
  sessionPrivateKey: Hex,
): Promise<Hex> {
  return privateKeyToAccount(sessionPrivateKey).sign({ hash: instructionsHash(domain, instructions) });
}

/** The hash that a session or credit key signs to release what it holds. Throws DoesNotFit. */
export function releaseHash(domain: Domain, release: Release): Hex {
  beginStruct(RELEASE);
  putBytes32(1, "id", release.id);
  putUint256(2, "nullifier", release.nullifier);
  putUint256(3, "newNote", release.newNote);
  putInt256(4, "cash", release.cash);
  putInt256(5, "position", release.position);
  return typedDataHash(domain, RELEASE);
}

/** Signs a release with the key of a ticket or credit. */
export async function signRelease(domain: Domain, release: Release, privateKey: Hex): Promise<Hex> {
  return privateKeyToAccount(privateKey).sign({ hash: releaseHash(domain, release) });
}

/** The hash that the session key signs to cancel. Throws DoesNotFit. */
export function cancelHash(domain: Domain, cancel: Cancel): Hex {
  beginStruct(CANCEL);
  putBytes32(1, "ticketId", cancel.ticketId);
  putUint64(2, "clientId", cancel.clientId);
  return typedDataHash(domain, CANCEL);
}

/** Signs a cancel with its ticket's session key: nobody else can take the order out of the book. */
export async function signCancel(domain: Domain, cancel: Cancel, sessionPrivateKey: Hex): Promise<Hex> {
  return privateKeyToAccount(sessionPrivateKey).sign({ hash: cancelHash(domain, cancel) });
}

/** The hash that the session key signs to cancel everything (spec ORD-16). Throws DoesNotFit. */
export function cancelAllHash(domain: Domain, cancelAll: CancelAll): Hex {
  beginStruct(CANCEL_ALL);
  putBytes32(1, "ticketId", cancelAll.ticketId);
  putUint64(2, "nonce", cancelAll.nonce);
  return typedDataHash(domain, CANCEL_ALL);
}

/** Signs a cancel of everything with the ticket's session key. */
export async function signCancelAll(domain: Domain, cancelAll: CancelAll, sessionPrivateKey: Hex): Promise<Hex> {
  return privateKeyToAccount(sessionPrivateKey).sign({ hash: cancelAllHash(domain, cancelAll) });
}

/** The hash of a heartbeat (spec ORD-16). Throws DoesNotFit. */
export function cancelAfterHash(domain: Domain, cancelAfter: CancelAfter): Hex {
  beginStruct(CANCEL_AFTER);
  putBytes32(1, "ticketId", cancelAfter.ticketId);
  putUint64(2, "nonce", cancelAfter.nonce);
  putNumber(3, "seconds", cancelAfter.seconds, 32);
  return typedDataHash(domain, CANCEL_AFTER);
}

/** Signs a heartbeat with the ticket's session key. */
export async function signCancelAfter(domain: Domain, cancelAfter: CancelAfter, sessionPrivateKey: Hex): Promise<Hex> {
  return privateKeyToAccount(sessionPrivateKey).sign({ hash: cancelAfterHash(domain, cancelAfter) });
}

/** The hash that lets its bearer see a ticket's orders (spec ORD-15). Throws DoesNotFit. */
export function watchHash(domain: Domain, watch: Watch): Hex {
  beginStruct(WATCH);
  putBytes32(1, "ticketId", watch.ticketId);
  putUint64(2, "validUntil", watch.validUntil);
  return typedDataHash(domain, WATCH);
}

/** Signs a permission to watch with the ticket's session key. */
export async function signWatch(domain: Domain, watch: Watch, sessionPrivateKey: Hex): Promise<Hex> {
  return privateKeyToAccount(sessionPrivateKey).sign({ hash: watchHash(domain, watch) });
}

/** An order with the contract's codes. */
export function orderMessage(order: Order) {
  return {
    ...order,
    side: SIDE_CODE[order.side],
    timeInForce: TIME_IN_FORCE_CODE[order.timeInForce],
  };
}
