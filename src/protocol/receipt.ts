import { HedgerowError } from "./errors.ts";
import { digestHex, hashInput } from "./keccak.ts";
import type { Hex } from "./keys.ts";
import { recoverSigner } from "./signature.ts";
import {
  beginStruct,
  type Domain,
  hashStruct,
  putBytes32,
  putInt88,
  putNumber,
  putUint64,
  structType,
  typedDataHash,
  writeBytes32,
} from "./typedData.ts";

/** What an entry of the log means for one order. An execution gives two receipts, one for each order. */
export type ReceiptKind =
  "accepted" | "executed-taker" | "cancelled" | "replaced" | "expired" | "triggered" | "reloaded" | "executed-maker";

/** The operator's word on one order: entry (seq, n) of its log says this. */
export type Receipt = {
  readonly seq: number;
  readonly n: number;
  readonly kind: ReceiptKind;
  readonly orderHash: Hex;
  /** Command since which the order holds its place; 0 where it has none any more. */
  readonly prioritySeq: number;
  /** Contracts traded, in force, shown anew or taken out, as the kind says (spec REC-1). */
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

/** The Merkle tree over some receipts: its root, and for each receipt the siblings on its way there. */
export type ReceiptGroup = { readonly root: Hex; readonly siblings: readonly (readonly Hex[])[] };

/** A receipt proves nothing: the operator did not sign it, or not this. */
export class InvalidReceipt extends HedgerowError {
  constructor({ seq, n }: Receipt, problem: string) {
    super("InvalidReceipt", `receipt (${seq}, ${n}) ${problem}: it proves nothing, ask the operator for another`, {
      seq,
      n,
      problem,
    });
  }
}

/** A group has no root, or is too deep for its receipts to be verified. */
export class BadGroupSize extends HedgerowError {
  constructor(size: number) {
    super("BadGroupSize", `a group of ${size} receipts cannot be signed: sign 1 to 2^${MOST_SIBLINGS}`, { size });
  }
}

/** Most siblings that a receipt may bring: enough for 2^32 receipts in a group, and a bound for who verifies. */
export const MOST_SIBLINGS = 32;

/** Codes of the kinds: those of the log, where an execution has two. */
const KIND_CODE: Readonly<Record<ReceiptKind, number>> = {
  accepted: 0,
  "executed-taker": 1,
  cancelled: 2,
  replaced: 3,
  expired: 5,
  triggered: 6,
  reloaded: 7,
  "executed-maker": 8,
};

const RECEIPT = structType(
  "Receipt(uint64 seq,uint32 n,uint8 kind,bytes32 orderHash,uint64 prioritySeq,uint32 quantity,uint32 remaining,int88 price,uint64 execTime,bytes32 logHead,uint32 term)",
);
const GROUP = structType("ReceiptGroup(bytes32 root)");

/** EIP-712 hashStruct of a receipt: its leaf (spec REC-2). Throws DoesNotFit. */
export function receiptHash(receipt: Receipt): Hex {
  beginStruct(RECEIPT);
  putNumber(1, "seq", receipt.seq, 64);
  putNumber(2, "n", receipt.n, 32);
  putNumber(3, "kind", KIND_CODE[receipt.kind], 8);
  putBytes32(4, "orderHash", receipt.orderHash);
  putNumber(5, "prioritySeq", receipt.prioritySeq, 64);
  putNumber(6, "quantity", receipt.quantity, 32);
  putNumber(7, "remaining", receipt.remaining, 32);
  putInt88(8, "price", receipt.price);
  putUint64(9, "execTime", receipt.execTime);
  putBytes32(10, "logHead", receipt.logHead);
  putNumber(11, "term", receipt.term, 32);
  hashStruct(RECEIPT);
  return digestHex();
}

/** The hash that the operator signs for all receipts under a root. Throws DoesNotFit. */
export function groupHash(domain: Domain, root: Hex): Hex {
  beginStruct(GROUP);
  putBytes32(1, "root", root);
  return typedDataHash(domain, GROUP);
}

/**
 * The Merkle tree over receipts, in their order: a node is keccak256 of its two children, the smaller first, as
 * OpenZeppelin's MerkleProof has it; the last node of an odd level goes up as it is (spec REC-2). Throws BadGroupSize
 * or DoesNotFit.
 */
export function groupOf(receipts: readonly Receipt[]): ReceiptGroup {
  const siblings = receipts.map((): Hex[] => []);
  let level = receipts.map(receiptHash);
  for (let depth = 0; level.length > 1; depth++) {
    for (const [index, path] of siblings.entries()) {
      const sibling = level[Math.floor(index / 2 ** depth) ^ 1];
      if (sibling !== undefined) path.push(sibling);
    }
    level = parentsOf(level);
  }
  const [root] = level;
  if (root === undefined || receipts.length > 2 ** MOST_SIBLINGS) throw new BadGroupSize(receipts.length);
  return { root, siblings };
}

/** Whether the operator signed this receipt. Anybody can ask: nothing but the receipt, the domain and the address counts. */
export function verifyReceipt(domain: Domain, operator: Hex, signed: SignedReceipt): boolean {
  try {
    assertReceipt(domain, operator, signed);
    return true;
  } catch (error) {
    if (error instanceof HedgerowError) return false;
    throw error;
  }
}

/**
 * Throws InvalidReceipt or DoesNotFit unless the operator signed this receipt (spec REC-3).
 *
 * A leaf is never taken for an inner node or the other way round: the leaf is computed here from the receipt, as the
 * hash of 384 bytes, and an inner node is the hash of 64. A receipt that stands where a node does, or a node where a
 * receipt does, is two different inputs with one keccak256.
 */
export function assertReceipt(domain: Domain, operator: Hex, { receipt, siblings, signature }: SignedReceipt): void {
  if (siblings.length > MOST_SIBLINGS) {
    throw new InvalidReceipt(receipt, `has ${siblings.length} siblings, but ${MOST_SIBLINGS} is the most`);
  }
  const root = siblings.reduce((node, sibling) => parentOf(node, lowerCase(sibling)), receiptHash(receipt));
  const signer = recoverSigner(groupHash(domain, root), signature);
  if (signer === undefined) throw new InvalidReceipt(receipt, "has a signature that no key made");
  if (signer !== operator.toLowerCase()) {
    throw new InvalidReceipt(receipt, `is not signed by the operator ${operator}, or not in this form`);
  }
}

/**
 * Whether no log can say both (spec REC-5): one entry about two things, or two heads after one entry. Both receipts have
 * been verified. The term does not matter: whoever leads goes on with the same log.
 */
export function contradict(a: Receipt, b: Receipt): boolean {
  if (a.seq !== b.seq || a.n !== b.n) return false;
  const sameEntry =
    a.logHead === b.logHead && a.quantity === b.quantity && a.price === b.price && a.execTime === b.execTime;
  if (!sameEntry) return true;
  if (a.kind !== b.kind) return !(isTrade(a) && isTrade(b)) || a.orderHash === b.orderHash;
  return a.orderHash !== b.orderHash || a.prioritySeq !== b.prioritySeq || a.remaining !== b.remaining;
}

function isTrade({ kind }: Receipt): boolean {
  return kind === "executed-taker" || kind === "executed-maker";
}

function parentsOf(level: readonly Hex[]): Hex[] {
  const parents: Hex[] = [];
  for (let i = 0; i < level.length; i += 2) {
    const [left, right] = [level[i], level[i + 1]];
    if (left !== undefined) parents.push(right === undefined ? left : parentOf(left, right));
  }
  return parents;
}

/** Both in small letters, so that text sorts like the bytes. Throws DoesNotFit. */
function parentOf(a: Hex, b: Hex): Hex {
  writeBytes32(0, "sibling", a < b ? a : b);
  writeBytes32(32, "sibling", a < b ? b : a);
  hashInput(64);
  return digestHex();
}

function lowerCase(hex: Hex): Hex {
  return `0x${hex.slice(2).toLowerCase()}`;
}
