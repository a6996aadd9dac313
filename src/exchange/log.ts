import type { Entry, Session } from "../market/types.ts";
import { digestHex, hashInput } from "../protocol/keccak.ts";
import type { Hex } from "../protocol/keys.ts";
import type { Receipt, ReceiptKind } from "../protocol/receipt.ts";
import { writeBytes32, writeInt88, writeNumber, writeUint64 } from "../protocol/typedData.ts";

/** Who or what gave the command behind an entry. */
export type Cause =
  "trader" | "expiry" | "silence" | "auction" | "session" | "ticket-closing" | "ticket-lost" | "end-of-day";

/** One line of the exchange's log: what the matching engine said, about which signed orders, and when. */
export type LogEntry = {
  readonly slot: number;
  readonly entry: Entry;
  readonly cause: Cause;
  /** EIP-712 hash of the order the entry is about; the taker's where two traded; zero where it is about none. */
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
  triggered: 6,
  reloaded: 7,
  session: 8,
  uncrossed: 9,
};

const SESSION_CODE: Readonly<Record<Session, number>> = {
  "pre-open": 0,
  open: 1,
  halted: 2,
  closing: 3,
  closed: 4,
};

/** Where a log goes on: the number of its next command, and its head so far. */
export type LogStart = { readonly nextSeq: number; readonly head: Hex };

/**
 * The hash-chained log: head = keccak256(head before, entry), the entry packed at fixed widths. Commands are numbered
 * from the chain's last sequence number on, or from a snapshot's. Only `nextSeq` and `head` are kept; `listener` gets
 * every entry, once, in order, before anybody else learns of it.
 */
export class ExchangeLog {
  #head: Hex;
  #nextSeq: number;
  readonly #listener: (entry: LogEntry) => void;

  constructor({ nextSeq, head }: LogStart, listener: (entry: LogEntry) => void = () => undefined) {
    this.#nextSeq = nextSeq;
    this.#head = head;
    this.#listener = listener;
  }

  /** keccak256 chain over all entries so far. */
  get head(): Hex {
    return this.#head;
  }

  /** Number of the next command. With `head` it is what a log goes on from. */
  get nextSeq(): number {
    return this.#nextSeq;
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

/**
 * The head after an entry: anybody can follow the log with it. The bytes are head, seq (uint64), n (uint32), kind,
 * slot (uint8 each), orderHash, makerHash, price (int88), time (uint64) and the entry's numbers (uint64, three uint32),
 * without padding. Throws DoesNotFit.
 */
export function nextHead(head: Hex, line: Omit<LogEntry, "head">): Hex {
  const { entry } = line;
  const { priority, quantity, left, makerLeft } = numbersOf(entry);
  writeBytes32(0, "head", head);
  writeNumber(32, "seq", entry.seq, 64);
  writeNumber(40, "n", entry.n, 32);
  writeNumber(44, "kind", KIND_CODE[entry.kind], 8);
  writeNumber(45, "slot", line.slot, 8);
  writeBytes32(46, "orderHash", line.orderHash);
  writeBytes32(78, "makerHash", line.makerHash);
  writeInt88(110, "price", line.price);
  writeUint64(121, "time", line.time);
  writeNumber(129, "prioritySeq", priority, 64);
  writeNumber(137, "quantity", quantity, 32);
  writeNumber(141, "remaining", left, 32);
  writeNumber(145, "makerRemaining", makerLeft, 32);
  hashInput(149);
  return digestHex();
}

type Numbers = {
  readonly priority: number;
  /** Contracts traded, in force, shown or taken out. */
  readonly quantity: number;
  /** Contracts left to the order, and to the maker. */
  readonly left: number;
  readonly makerLeft: number;
};

const NO_NUMBERS: Numbers = { priority: 0, quantity: 0, left: 0, makerLeft: 0 };

function numbersOf(entry: Entry): Numbers {
  switch (entry.kind) {
    case "accepted":
    case "triggered":
      return { priority: entry.prioritySeq, quantity: entry.remaining, left: entry.remaining, makerLeft: 0 };
    case "executed": {
      const { makerPrioritySeq, quantity, takerRemaining, makerRemaining } = entry;
      return { priority: makerPrioritySeq, quantity, left: takerRemaining, makerLeft: makerRemaining };
    }
    case "replaced":
      return { priority: entry.prioritySeq, quantity: entry.quantity, left: entry.remaining, makerLeft: 0 };
    case "reloaded":
      return { priority: entry.prioritySeq, quantity: entry.displayed, left: entry.remaining, makerLeft: 0 };
    case "cancelled":
      return { ...NO_NUMBERS, quantity: entry.remaining, left: entry.left };
    case "expired":
      return { ...NO_NUMBERS, quantity: entry.remaining };
    case "session":
      return { ...NO_NUMBERS, quantity: SESSION_CODE[entry.session] };
    case "uncrossed":
      return { ...NO_NUMBERS, quantity: entry.quantity };
    case "rejected":
      return NO_NUMBERS;
  }
}

/**
 * What a line of the log says to the orders it is about (spec REC-1): the taker before the maker where two traded;
 * nothing where a command was rejected or the line is about no order.
 */
export function receiptsOf(line: LogEntry, term: number): readonly Receipt[] {
  const { entry, orderHash, makerHash } = line;
  switch (entry.kind) {
    case "rejected":
    case "session":
    case "uncrossed":
      return [];
    case "executed":
      return [
        receiptOf(line, term, "executed-taker", orderHash, entry.takerPrioritySeq, entry.takerRemaining),
        receiptOf(line, term, "executed-maker", makerHash, entry.makerPrioritySeq, entry.makerRemaining),
      ];
    case "accepted":
    case "triggered":
    case "replaced":
    case "reloaded":
    case "cancelled":
    case "expired": {
      const { priority, left } = numbersOf(entry);
      return [receiptOf(line, term, entry.kind, orderHash, priority, left)];
    }
  }
}

function receiptOf(
  line: LogEntry,
  term: number,
  kind: ReceiptKind,
  orderHash: Hex,
  prioritySeq: number,
  remaining: number,
): Receipt {
  const { entry, price, time, head } = line;
  return {
    seq: entry.seq,
    n: entry.n,
    kind,
    orderHash,
    prioritySeq,
    quantity: numbersOf(entry).quantity,
    remaining,
    price,
    execTime: time,
    logHead: head,
    term,
  };
}
