import { hashTypedData } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import type { Hex } from "./keys.ts";

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

/** The EIP-712 domain of one clearing house. */
export type Domain = {
  readonly name: "Hedgerow";
  readonly version: "1";
  readonly chainId: number;
  readonly verifyingContract: Hex;
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

const ORDER_TYPES = {
  Order: [
    { name: "ticketId", type: "bytes32" },
    { name: "clientId", type: "uint64" },
    { name: "revision", type: "uint8" },
    { name: "side", type: "uint8" },
    { name: "limitPrice", type: "int88" },
    { name: "quantity", type: "uint32" },
    { name: "timeInForce", type: "uint8" },
    { name: "postOnly", type: "bool" },
    { name: "expiry", type: "uint64" },
  ],
} as const;

const RELEASE_TYPES = {
  Release: [
    { name: "id", type: "bytes32" },
    { name: "nullifier", type: "uint256" },
    { name: "newNote", type: "uint256" },
    { name: "cash", type: "int256" },
    { name: "position", type: "int256" },
  ],
} as const;

const CANCEL_TYPES = {
  Cancel: [
    { name: "ticketId", type: "bytes32" },
    { name: "clientId", type: "uint64" },
  ],
} as const;

/** The domain of a clearing house at an address. */
export function domainOf(chainId: bigint, contract: Hex): Domain {
  return { name: "Hedgerow", version: "1", chainId: Number(chainId), verifyingContract: contract };
}

/** The hash that the session key signs. */
export function orderHash(domain: Domain, order: Order): Hex {
  return hashTypedData({ domain, types: ORDER_TYPES, primaryType: "Order", message: orderMessage(order) });
}

/** Signs an order with its ticket's session key: 65 bytes r, s, v. */
export async function signOrder(domain: Domain, order: Order, sessionPrivateKey: Hex): Promise<Hex> {
  return privateKeyToAccount(sessionPrivateKey).sign({ hash: orderHash(domain, order) });
}

/** The hash that a session or credit key signs to release what it holds. */
export function releaseHash(domain: Domain, release: Release): Hex {
  return hashTypedData({ domain, types: RELEASE_TYPES, primaryType: "Release", message: release });
}

/** Signs a release with the key of a ticket or credit. */
export async function signRelease(domain: Domain, release: Release, privateKey: Hex): Promise<Hex> {
  return privateKeyToAccount(privateKey).sign({ hash: releaseHash(domain, release) });
}

/** The hash that the session key signs to cancel. */
export function cancelHash(domain: Domain, cancel: Cancel): Hex {
  return hashTypedData({ domain, types: CANCEL_TYPES, primaryType: "Cancel", message: cancel });
}

/** Signs a cancel with its ticket's session key: nobody else can take the order out of the book. */
export async function signCancel(domain: Domain, cancel: Cancel, sessionPrivateKey: Hex): Promise<Hex> {
  return privateKeyToAccount(sessionPrivateKey).sign({ hash: cancelHash(domain, cancel) });
}

/** An order with the contract's codes. */
export function orderMessage(order: Order) {
  return {
    ...order,
    side: SIDE_CODE[order.side],
    timeInForce: TIME_IN_FORCE_CODE[order.timeInForce],
  };
}
