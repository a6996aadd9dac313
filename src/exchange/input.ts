import { isAddress } from "viem";
import { z } from "zod";
import type { ProvenTransition, SignedOrder } from "../chain/clearingHouse.ts";
import type { ActionName } from "../protocol/action.ts";
import { HedgerowError } from "../protocol/errors.ts";
import { FIELD_MODULUS } from "../protocol/field.ts";
import type { Hex } from "../protocol/keys.ts";
import { SLOTS } from "../protocol/note.ts";
import type { SignedCancel, SignedCancelAfter, SignedCancelAll, SignedWatch } from "../protocol/order.ts";
import { MOST_TICKETS } from "../protocol/ticket.ts";
import type { OrderEntry } from "../api/service.ts";

/** A message of a trader does not have the form of an order, cancel or transition. */
export class MalformedMessage extends HedgerowError {
  constructor(what: string, field: string, rule: string) {
    super("MalformedMessage", `${what}: ${field || "the message"} is wrong: ${rule}`, { what, field });
  }
}

const hex = (bytes: number) => {
  const form = new RegExp(`^0x[0-9a-f]{${2 * bytes}}$`);
  return z.custom<Hex>(
    (value) => typeof value === "string" && form.test(value),
    `expected ${bytes} bytes in lower-case hex`,
  );
};
const signature = z.custom<Hex>((value) => typeof value === "string" && value.startsWith("0x"), "expected hex");
const uint = (bits: bigint) =>
  z
    .bigint()
    .min(0n)
    .max((1n << bits) - 1n);
const uint64 = uint(64n);

// Where price and quantity have the form, the rules of the market name better what is wrong with them.
const price = z
  .bigint()
  .min(-(1n << 87n))
  .max((1n << 87n) - 1n);
const quantity = z
  .int()
  .min(0)
  .max(2 ** 32 - 1);
const order = z.strictObject({
  ticketId: hex(32),
  clientId: uint64,
  revision: z.int().min(0).max(255),
  side: z.enum(["buy", "sell"]),
  limitPrice: price,
  quantity,
  timeInForce: z.enum(["GTC", "IOC", "FOK"]),
  postOnly: z.boolean(),
  expiry: uint64,
});
const instructions = z.strictObject({
  orderHash: hex(32),
  stopPrice: price.optional(),
  displayQuantity: quantity,
  selfTrade: z.enum(["cancel-incoming", "cancel-resting", "cancel-both", "decrement"]),
  reduceOnly: z.boolean(),
});
const orderSchema = z
  .strictObject({
    order,
    signature,
    instructions: instructions.optional(),
    instructionsSignature: signature.optional(),
  })
  .refine((entry) => (entry.instructions === undefined) === (entry.instructionsSignature === undefined), {
    path: ["instructionsSignature"],
    error: "instructions carry a signature of the session key, and nothing else does",
  });
const replacementSchema = z.strictObject({ order, signature });
const cancelSchema = z.strictObject({ cancel: z.strictObject({ ticketId: hex(32), clientId: uint64 }), signature });
const cancelAllSchema = z.strictObject({ cancelAll: z.strictObject({ ticketId: hex(32), nonce: uint64 }), signature });
const cancelAfterSchema = z.strictObject({
  cancelAfter: z.strictObject({
    ticketId: hex(32),
    nonce: uint64,
    seconds: z
      .int()
      .min(0)
      .max(2 ** 32 - 1),
  }),
  signature,
});
const watchSchema = z.strictObject({ watch: z.strictObject({ ticketId: hex(32), validUntil: uint64 }), signature });

// Ranges are those of the contract's ABI types: what passes can be encoded and has a bounded size.
const uint128 = uint(128n);
const uint256 = uint(256n);
const fieldElement = z
  .bigint()
  .min(0n)
  .max(FIELD_MODULUS - 1n);
const ticketCash = z
  .bigint()
  .min(-(1n << 119n))
  .max((1n << 119n) - 1n);
const position = z
  .int()
  .min(1 - 2 ** 31)
  .max(2 ** 31 - 1);
const slot = z
  .int()
  .min(0)
  .max(SLOTS - 1);
const epoch = z
  .int()
  .min(0)
  .max(2 ** 32 - 1);
const address = z.custom<Hex>(
  (value) => typeof value === "string" && isAddress(value),
  "expected an address, in lower case or with its checksum",
);
const relayFee = uint128;
const ticketSchema = z.strictObject({ sessionKey: address, cash: ticketCash, position, reduceOnly: z.boolean() });
const actionSchema = z.discriminatedUnion("name", [
  z.strictObject({ name: z.literal("fund"), creditId: uint256, amount: uint128, relayFee }),
  z.strictObject({
    name: z.literal("openTicket"),
    slot,
    relayFee,
    tickets: z.array(ticketSchema).min(1).max(MOST_TICKETS),
  }),
  z.strictObject({ name: z.literal("wake") }),
  z.strictObject({ name: z.literal("rejoin"), defaultEpoch: epoch, flat: z.boolean() }),
  z.strictObject({ name: z.literal("closeTicket"), ticketId: hex(32), slot, cash: ticketCash, position, relayFee }),
  z.strictObject({ name: z.literal("claimTicket"), ticketId: hex(32), claim: uint128, relayFee }),
  z.strictObject({ name: z.literal("withdraw"), to: address, amount: uint128, relayFee }),
  z.strictObject({ name: z.literal("renew"), relayFee }),
  z.strictObject({ name: z.literal("sleep"), relayFee }),
  z.strictObject({
    name: z.literal("exit"),
    defaultEpoch: epoch,
    flat: z.boolean(),
    to: address,
    equity: uint128,
  }),
  z.strictObject({ name: z.literal("closeSeat"), asleep: z.boolean(), to: address, relayFee }),
]);
const pair = z.tuple([uint256, uint256]);
const RELEASING: ReadonlySet<ActionName> = new Set<ActionName>(["fund", "closeTicket", "claimTicket"]);
const transitionSchema = z
  .strictObject({
    action: actionSchema,
    root: fieldElement,
    nullifier: fieldElement,
    newNote: fieldElement,
    seat: fieldElement,
    signature: z.union([z.literal("0x"), hex(65)], "expected 65 bytes in lower-case hex, or 0x"),
    proof: z.strictObject({ a: pair, b: z.tuple([pair, pair]), c: pair }),
  })
  .refine(({ action, signature }) => (signature !== "0x") === RELEASING.has(action.name), {
    path: ["signature"],
    error: "fund, closeTicket and claimTicket carry the 65 bytes of a release, all others 0x",
  });

/** A transition as somebody sent it: every field in the range that its ABI type has. Throws MalformedMessage. */
export function parseTransition(input: unknown): ProvenTransition {
  return parse("transition", transitionSchema, input);
}

/** A new order as somebody sent it. Throws MalformedMessage. */
export function parseOrder(input: unknown): OrderEntry {
  const { order, signature, instructions, instructionsSignature } = parse("order", orderSchema, input);
  if (instructions === undefined || instructionsSignature === undefined) return { order, signature };
  const { stopPrice, ...others } = instructions;
  return { order, signature, instructions: { stopPrice, ...others }, instructionsSignature };
}

/** A replacement as somebody sent it. Throws MalformedMessage. */
export function parseReplacement(input: unknown): SignedOrder {
  return parse("replacement", replacementSchema, input);
}

/** A cancel as somebody sent it. Throws MalformedMessage. */
export function parseCancel(input: unknown): SignedCancel {
  return parse("cancel", cancelSchema, input);
}

/** A cancel of all orders of a ticket, as somebody sent it. Throws MalformedMessage. */
export function parseCancelAll(input: unknown): SignedCancelAll {
  return parse("cancelAll", cancelAllSchema, input);
}

/** A heartbeat as somebody sent it. Throws MalformedMessage. */
export function parseCancelAfter(input: unknown): SignedCancelAfter {
  return parse("cancelAfter", cancelAfterSchema, input);
}

/** A permission to watch, as somebody sent it. Throws MalformedMessage. */
export function parseWatch(input: unknown): SignedWatch {
  return parse("watch", watchSchema, input);
}

function parse<T>(what: string, schema: z.ZodType<T>, input: unknown): T {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new MalformedMessage(what, issue?.path.join(".") ?? "", issue?.message ?? "not understood");
}
