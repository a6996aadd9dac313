import { encodePacked, keccak256 } from "viem";
import type { Hex } from "../protocol/keys.ts";
import type { Entry } from "../market/types.ts";

/** Who or what gave the command behind an entry. */
export type Cause = "trader" | "expiry" | "ticket-closing" | "ticket-lost" | "end-of-day";

/** One line of the exchange's log: what the matching engine said, about which signed orders, and when. */
export type LogEntry = {
  readonly slot: number;
  readonly entry: Entry;
  readonly cause: Cause;
  /** EIP-712 hash of the order the entry is about; the taker's where two traded. */
  readonly orderHash: Hex;
  /** Of the maker's order where two traded, otherwise zero. */
  readonly makerHash: Hex;
  /** Base units per contract; 0 where the entry names no price. */
  readonly price: bigint;
  /** Unix seconds. */
  readonly time: bigint;
  /** keccak256 of the head before it and of this entry (spec BAT-11). */
  readonly head: Hex;
};

/** The log's head before its first entry, and the hash of an absent order. */
export const ZERO_HASH: Hex = `0x${"00".repeat(32)}`;

const KIND_CODE: Readonly<Record<Entry["kind"], number>> = {
  accepted: 0,
  executed: 1,
  cancelled: 2,
  replaced: 3,
  rejected: 4,
  expired: 5,
};

/**
 * The hash-chained log: head = keccak256(head before, entry), the entry packed at fixed widths. Commands are numbered
 * from the chain's last sequence number on. Only `nextSeq` and `head` are kept; `listener` gets every entry, once, in
 * order, before anybody else learns of it.
 */
export class ExchangeLog {
  #head: Hex = ZERO_HASH;
  #nextSeq: number;
  readonly #listener: (entry: LogEntry) => void;

  constructor(nextSeq: number, listener: (entry: LogEntry) => void) {
    this.#nextSeq = nextSeq;
    this.#listener = listener;
  }

  /** keccak256 chain over all entries so far. */
  get head(): Hex {
    return this.#head;
  }

  /** Takes the next command number. */
  takeSeq(): number {
    return this.#nextSeq++;
  }

  append(line: Omit<LogEntry, "head">): LogEntry {
    const head = nextHead(this.#head, line);
    this.#head = head;
    const entry = { ...line, head };
    this.#listener(entry);
    return entry;
  }
}

/** The head after an entry: anybody can follow the log with it. */
export function nextHead(head: Hex, line: Omit<LogEntry, "head">): Hex {
  const { entry } = line;
  return keccak256(
    encodePacked(
      ["bytes32", "uint64", "uint32", "uint8", "uint8", "bytes32", "bytes32", "int88", "uint64", ...NUMBERS],
      [
        head,
        BigInt(entry.seq),
        entry.n,
        KIND_CODE[entry.kind],
        line.slot,
        line.orderHash,
        line.makerHash,
        line.price,
        line.time,
        ...numbersOf(entry),
      ],
    ),
  );
}

const NUMBERS = ["uint64", "uint32", "uint32", "uint32"] as const;

/** Priority number; contracts traded or in force; contracts left to the order; contracts left to the maker. */
function numbersOf(entry: Entry): readonly [bigint, number, number, number] {
  switch (entry.kind) {
    case "accepted":
      return [BigInt(entry.prioritySeq), entry.remaining, entry.remaining, 0];
    case "executed":
      return [BigInt(entry.makerPrioritySeq), entry.quantity, entry.takerRemaining, entry.makerRemaining];
    case "replaced":
      return [BigInt(entry.prioritySeq), entry.quantity, entry.remaining, 0];
    case "cancelled":
    case "expired":
      return [0n, 0, entry.remaining, 0];
    case "rejected":
      return [0n, 0, 0, 0];
  }
}
