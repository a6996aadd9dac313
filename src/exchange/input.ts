import { z } from "zod";
import type { SignedOrder } from "../chain/clearingHouse.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import type { SignedCancel } from "../protocol/order.ts";

/** A message of a trader does not have the form of an order or cancel. */
export class MalformedMessage extends HedgerowError {
  constructor(what: string, field: string, rule: string) {
    super("MalformedMessage", `${what}: ${field || "the message"} is wrong: ${rule}`, { what, field });
  }
}

const hex = (bytes: number) =>
  z.custom<Hex>(
    (value) => typeof value === "string" && new RegExp(`^0x[0-9a-f]{${2 * bytes}}$`).test(value),
    `expected ${bytes} bytes in lower-case hex`,
  );
const signature = z.custom<Hex>((value) => typeof value === "string" && value.startsWith("0x"), "expected hex");
const uint64 = z
  .bigint()
  .min(0n)
  .max((1n << 64n) - 1n);

// Price and quantity are left to the rules of the market, which name them better.
const orderSchema = z.strictObject({
  order: z.strictObject({
    ticketId: hex(32),
    clientId: uint64,
    revision: z.int().min(0).max(255),
    side: z.enum(["buy", "sell"]),
    limitPrice: z.bigint(),
    quantity: z.number(),
    timeInForce: z.enum(["GTC", "IOC", "FOK"]),
    postOnly: z.boolean(),
    expiry: uint64,
  }),
  signature,
});
const cancelSchema = z.strictObject({ cancel: z.strictObject({ ticketId: hex(32), clientId: uint64 }), signature });

/** An order as somebody sent it. Throws MalformedMessage. */
export function parseOrder(input: unknown): SignedOrder {
  return parse("order", orderSchema, input);
}

/** A cancel as somebody sent it. Throws MalformedMessage. */
export function parseCancel(input: unknown): SignedCancel {
  return parse("cancel", cancelSchema, input);
}

function parse<T>(what: string, schema: z.ZodType<T>, input: unknown): T {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new MalformedMessage(what, issue?.path.join(".") ?? "", issue?.message ?? "not understood");
}
