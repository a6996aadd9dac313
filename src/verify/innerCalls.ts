import type { PublicClient } from "viem";
import { z } from "zod";
import type { Hex } from "../protocol/keys.ts";
import { lower } from "./deployment.ts";
import { HistoryUnreadable } from "./errors.ts";
import type { InnerCall } from "./history.ts";

const hex = z.custom<Hex>((value) => typeof value === "string" && /^0x([0-9a-f]{2})*$/i.test(value));

/** One call in a trace. What it called is read one by one: a trace is as deep as somebody likes to make it. */
const frameSchema = z.object({
  type: z.string(),
  from: hex,
  to: hex.nullish(),
  input: hex,
  error: z.string().optional(),
  calls: z.array(z.unknown()).default([]),
});

/**
 * The calls of a contract that a transaction made through other contracts and that were not taken back, in order. What
 * the contract only lent its code to, or was only asked, is left out. Throws HistoryUnreadable where the node shows no
 * traces.
 */
export async function innerCalls(client: PublicClient, hash: Hex, address: Hex): Promise<readonly InnerCall[]> {
  try {
    const found: InnerCall[] = [];
    const waiting: unknown[] = [await traceOf(client, hash)];
    while (waiting.length > 0) {
      const { data: frame } = frameSchema.safeParse(waiting.pop());
      if (frame === undefined) throw new Error("a trace that is none");
      const { type, from, to, input, error, calls } = frame;
      if (error !== undefined) continue;
      const isCall = type === "CALL" && to !== null && to !== undefined && lower(to) === address;
      if (isCall) found.push({ from: lower(from), input: lower(input) });
      waiting.push(...calls.toReversed());
    }
    return found;
  } catch (error) {
    const said = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
    throw new HistoryUnreadable(
      `transaction ${hash} calls the house through another contract, which only a node with debug_traceTransaction ` +
        `and its callTracer shows; this one said: ${said}`,
    );
  }
}

/** The one method that viem does not know. */
type Trace = { Parameters: [hash: Hex, options: { readonly tracer: "callTracer" }]; ReturnType: unknown };

function traceOf(client: PublicClient, hash: Hex): Promise<unknown> {
  return client.request<Trace>({ method: "debug_traceTransaction", params: [hash, { tracer: "callTracer" }] });
}
