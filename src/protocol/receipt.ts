import type { Hex } from "./keys.ts";

/** What an entry of the log means for one order. An execution gives two receipts, one for each order. */
export type ReceiptKind =
  "accepted" | "executed-taker" | "cancelled" | "replaced" | "expired" | "triggered" | "reloaded" | "executed-maker";

/** The operator's word on one order: entry (seq, n) of its log says this. */
export type Receipt = {
  readonly seq: number;
  readonly n: number;
  readonly kind: ReceiptKind;
  readonly orderHash: Hex;
  /** Command since which the order holds its place. */
  readonly prioritySeq: number;
  /** Contracts traded, or in force. */
  readonly quantity: number;
  /** Contracts left to the order. */
  readonly remaining: number;
  /** Base units per contract; 0 where the entry names no price. */
  readonly price: bigint;
  /** Unix seconds. */
  readonly execTime: bigint;
  /** keccak256 chain over the log, this entry included. */
  readonly logHead: Hex;
  /** Number of the operator's term: it rises when another leader takes over. */
  readonly term: number;
};

/**
 * A receipt with the operator's signature over the Merkle root of its group (EIP-712), and the siblings on the way from
 * its leaf to that root. A group of one has no siblings.
 */
export type SignedReceipt = { readonly receipt: Receipt; readonly siblings: readonly Hex[]; readonly signature: Hex };
