import { z } from "zod";
import type { ProvenTransition } from "../chain/clearingHouse.ts";
import { HedgerowError } from "../protocol/errors.ts";
import { FIELD_MODULUS } from "../protocol/field.ts";
import type { Hex } from "../protocol/keys.ts";
import { MOST_TICKETS } from "../protocol/ticket.ts";
import { reasonOf } from "./files.ts";
import type { StoredOrder } from "./orderStore.ts";
import { address, hex } from "./views.ts";

/*
 * Transitions, orders and reports as a wallet's database holds them: JSON in which whole numbers of any size stand as
 * text with an n behind them. They are checked when they are read, and before they are written: what could not be read
 * back must not leave the wallet.
 */

/** Something was to be kept that has not the form of its kind. Nothing was written or sent. */
export class BadRecord extends HedgerowError {
  constructor(what: string, field: string, rule: string) {
    super("BadRecord", `${what}: ${field || "the whole"} is wrong: ${rule}`, { what, field, rule });
  }
}

/** A row of the wallet's database is not what this program writes. */
export class WalletRowDamaged extends HedgerowError {
  constructor(table: string, row: string | number, reason: string) {
    super(
      "WalletRowDamaged",
      `row ${row} of "${table}" in wallet.sqlite cannot be read (${reason}): move the file away and recover the wallet`,
      { table, row, reason },
    );
  }
}

const uint = (bits: bigint) =>
  z
    .bigint()
    .min(0n)
    .max((1n << bits) - 1n);
const int = (bits: bigint) =>
  z
    .bigint()
    .min(-(1n << (bits - 1n)))
    .max((1n << (bits - 1n)) - 1n);
const whole = z.int().min(0);
const uint32 = whole.max(2 ** 32 - 1);
const uint128 = uint(128n);
const price = int(88n);
const contracts = z
  .int()
  .min(1 - 2 ** 31)
  .max(2 ** 31 - 1);
const slot = whole.max(7);
const fieldElement = z
  .bigint()
  .min(0n)
  .max(FIELD_MODULUS - 1n);
const ticketCash = int(120n);
const relayFee = uint128;
const opening = z.strictObject({
  sessionKey: address,
  cash: ticketCash,
  position: contracts,
  reduceOnly: z.boolean(),
});
const action = z.discriminatedUnion("name", [
  z.strictObject({ name: z.literal("fund"), creditId: uint(256n), amount: uint128, relayFee }),
  z.strictObject({
    name: z.literal("openTicket"),
    slot,
    relayFee,
    tickets: z.array(opening).min(1).max(MOST_TICKETS),
  }),
  z.strictObject({ name: z.literal("wake") }),
  z.strictObject({ name: z.literal("rejoin"), defaultEpoch: uint32, flat: z.boolean() }),
  z.strictObject({
    name: z.literal("closeTicket"),
    ticketId: hex(32),
    slot,
    cash: ticketCash,
    position: contracts,
    relayFee,
  }),
  z.strictObject({ name: z.literal("claimTicket"), ticketId: hex(32), claim: uint128, relayFee }),
  z.strictObject({ name: z.literal("withdraw"), to: address, amount: uint128, relayFee }),
  z.strictObject({ name: z.literal("renew"), relayFee }),
  z.strictObject({ name: z.literal("sleep"), relayFee }),
  z.strictObject({
    name: z.literal("exit"),
    defaultEpoch: uint32,
    flat: z.boolean(),
    to: address,
    equity: uint128,
  }),
  z.strictObject({ name: z.literal("closeSeat"), asleep: z.boolean(), to: address, relayFee }),
]);
const pair = z.tuple([uint(256n), uint(256n)]);
const transitionSchema = z.strictObject({
  action,
  root: fieldElement,
  nullifier: fieldElement,
  newNote: fieldElement,
  seat: fieldElement,
  signature: z.union([z.literal("0x"), hex(65)], "expected 65 bytes in lower-case hex, or 0x"),
  proof: z.strictObject({ a: pair, b: z.tuple([pair, pair]), c: pair }),
});

const side = z.enum(["buy", "sell"]);
const timeInForce = z.enum(["GTC", "IOC", "FOK"]);
const revision = whole.max(255);
const signature = z.custom<Hex>((value) => typeof value === "string" && /^0x[0-9a-f]*$/.test(value), "expected hex");
const entrySchema = z.strictObject({
  order: z.strictObject({
    ticketId: hex(32),
    clientId: uint(64n),
    revision,
    side,
    limitPrice: price,
    quantity: uint32,
    timeInForce,
    postOnly: z.boolean(),
    expiry: uint(64n),
  }),
  signature,
  instructions: z
    .strictObject({
      orderHash: hex(32),
      stopPrice: price.optional(),
      displayQuantity: uint32,
      selfTrade: z.enum(["cancel-incoming", "cancel-resting", "cancel-both", "decrement"]),
      reduceOnly: z.boolean(),
    })
    .optional(),
  instructionsSignature: signature.optional(),
});
const reportSchema = z.strictObject({
  ticketId: hex(32),
  clientId: uint(64n),
  slot,
  orderHash: hex(32),
  revision,
  side,
  limitPrice: price,
  quantity: uint32,
  timeInForce,
  status: z.enum(["waiting", "open", "filled", "cancelled", "expired"]),
  filled: uint32,
  filledValue: int(128n),
  remaining: uint32,
  seq: whole,
  n: whole,
  time: uint(64n),
});

type OrderEntry = StoredOrder["entry"];
type OrderReport = NonNullable<StoredOrder["report"]>;

/** Throws BadRecord. */
export function checkedTransition(value: unknown): ProvenTransition {
  return checked("transition", transitionSchema, value);
}

/** Throws BadRecord. */
export function checkedEntry(value: unknown): OrderEntry {
  const { order, signature, instructions, instructionsSignature } = checked("order", entrySchema, value);
  if (instructions === undefined && instructionsSignature === undefined) return { order, signature };
  if (instructions === undefined || instructionsSignature === undefined) {
    throw new BadRecord("order", "instructionsSignature", "instructions carry a signature, and nothing else does");
  }
  const { stopPrice, ...others } = instructions;
  return { order, signature, instructions: { stopPrice, ...others }, instructionsSignature };
}

/** Throws BadRecord. */
export function checkedReport(value: unknown): OrderReport {
  return checked("order report", reportSchema, value);
}

/** Checks a value at a border of the wallet. Throws BadRecord. */
export function checked<T>(what: string, schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new BadRecord(what, issue?.path.join(".") ?? "", issue?.message ?? "not understood");
}

/** Reads a row of a table; whatever is wrong with it becomes WalletRowDamaged. */
export function readRow<T>(table: string, place: string | number, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof WalletRowDamaged ? error : new WalletRowDamaged(table, place, reasonOf(error));
  }
}

const BIGINT = /^-?(0|[1-9][0-9]{0,77})n$/;

/** Plain data as text. */
export function textOf(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) => (typeof item === "bigint" ? `${item}n` : item));
}

/** Plain data from the text of `textOf`. */
export function fromText(text: string): unknown {
  return JSON.parse(text, (_, item: unknown) =>
    typeof item === "string" && BIGINT.test(item) ? BigInt(item.slice(0, -1)) : item,
  );
}
