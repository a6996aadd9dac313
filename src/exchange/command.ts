import { z } from "zod";
import type { ProvenTransition, SignedOrder } from "../chain/clearingHouse.ts";
import type { EpochMarket, Phase } from "../protocol/epoch.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import type { TicketBalance } from "../protocol/ticket.ts";
import type { OrderEntry } from "../api/service.ts";
import type { TicketView } from "./ticketView.ts";
import type { DayTimes } from "./tradingDay.ts";

// Everything that changes the exchange. A command is applied at a time, and state, numbers and log follow from the
// commands and their times alone: that is what makes the journal enough to rebuild them (spec JRN-11).

/** A ticket that was open before the exchange knew it. */
export type InheritedTicket = Pick<
  TicketView,
  "ticketId" | "sessionKey" | "slot" | "reduceOnly" | "openedInBatch" | "balance"
>;

export type Command =
  /** Another epoch begins, or another phase of it is met: all that waits for the former is given up. */
  | {
      readonly kind: "day";
      readonly times: DayTimes;
      readonly phase: Phase;
      readonly markets: readonly EpochMarket[];
      readonly tickets: readonly InheritedTicket[];
    }
  /** The epoch is closed: the settlement window has begun. */
  | { readonly kind: "window" }
  /** The day closes at another time than it was to: earlier, or as before where the chain took that back. */
  | { readonly kind: "closing"; readonly closingTime: bigint }
  /** A ticket has taken contracts over that drop-outs left, directly on chain: this is what it holds now. */
  | { readonly kind: "taken"; readonly ticketId: Hex; readonly balance: TicketBalance }
  /** The day is being closed: no more orders, and those that rest are taken out. */
  | { readonly kind: "stop" }
  /** Time has passed, and something was due. */
  | { readonly kind: "tick" }
  | { readonly kind: "place"; readonly entry: OrderEntry; readonly hash: Hex }
  | { readonly kind: "replace"; readonly signed: SignedOrder; readonly hash: Hex }
  | { readonly kind: "cancel"; readonly ticketId: Hex; readonly clientId: bigint }
  | { readonly kind: "cancelAll"; readonly ticketId: Hex; readonly nonce: bigint }
  | { readonly kind: "cancelAfter"; readonly ticketId: Hex; readonly nonce: bigint; readonly seconds: number }
  /** A transition, verified, waits for a batch. */
  | { readonly kind: "queue"; readonly transition: ProvenTransition }
  /** The transition will never act. */
  | { readonly kind: "drop"; readonly nullifier: bigint; readonly reason: string }
  /** The chain refuses the executions of command `seq` of the log: they are set aside, and trading is halted. */
  | { readonly kind: "setAside"; readonly seq: number; readonly reason: string }
  /** The batch is handed to the node: from now on it may be on chain. */
  | {
      readonly kind: "send";
      readonly nullifiers: readonly bigint[];
      readonly executions: number;
      readonly logHead: Hex;
    }
  /** The node has answered that the batch is not on chain. */
  | { readonly kind: "unsend" }
  /** The batch that was sent is on chain: what it skipped, and what did not act though it was not skipped. */
  | {
      readonly kind: "settle";
      readonly skipped: readonly { readonly nullifier: bigint; readonly reason: string }[];
      readonly idle: readonly bigint[];
      readonly transactionHash: Hex | undefined;
    };

/** A command with its time, unix seconds. */
export type TimedCommand = { readonly time: bigint; readonly command: Command };

/** A record of the journal cannot be read. */
export class RecordUnreadable extends HedgerowError {
  constructor(reason: string) {
    super("RecordUnreadable", `a record of the journal cannot be read: ${reason}; restore the journal from a copy`);
  }
}

const BIGINT = /^-?\d+n$/;

/** Plain data as JSON; whole numbers of any size stand as text with an n behind them. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) => (typeof item === "bigint" ? `${item}n` : item));
}

/**
 * The JSON of large plain data in pieces, none of which takes long: long lists are cut. The data must not change
 * meanwhile.
 */
export function* jsonPieces(value: unknown): Generator<string> {
  if (Array.isArray(value) && value.length > 0) {
    let separator = "[";
    for (let i = 0; i < value.length; i += PIECE) {
      const part: readonly unknown[] = value.slice(i, i + PIECE);
      if (value.length > PIECE || !part.some(isLarge)) {
        yield separator + toJson(part).slice(1, -1);
        separator = ",";
        continue;
      }
      for (const item of part) {
        yield separator;
        yield* jsonPieces(item);
        separator = ",";
      }
    }
    yield "]";
  } else if (isLarge(value)) {
    let separator = "{";
    for (const [key, item] of Object.entries(value)) {
      if (item === undefined) continue;
      yield `${separator}${JSON.stringify(key)}:`;
      yield* jsonPieces(item);
      separator = ",";
    }
    yield separator === "{" ? "{}" : "}";
  } else {
    yield value === undefined ? "null" : toJson(value);
  }
}

/** Items of a list that are written at once. */
const PIECE = 200;

/** Whether something in it may be a long list: an object, but not one of plain values only. */
function isLarge(value: unknown): value is object {
  return typeof value === "object" && value !== null && Object.values(value).some((item) => typeof item === "object");
}

/** Plain data from the JSON of `toJson`. Throws RecordUnreadable. */
export function fromJson<T>(schema: z.ZodType<T>, json: string): T {
  try {
    const value: unknown = JSON.parse(json, (_, item: unknown) =>
      typeof item === "string" && BIGINT.test(item) ? BigInt(item.slice(0, -1)) : item,
    );
    return schema.parse(value);
  } catch (error) {
    throw new RecordUnreadable(error instanceof Error ? error.message : String(error));
  }
}

const outline = z.object({ time: z.bigint(), command: z.looseObject({ kind: z.string() }) });

/** What the journal holds was written by this program and is guarded by the store's checksums: the outline is checked. */
export const timedCommandSchema = z.custom<TimedCommand>((value) => outline.safeParse(value).success);
