import { z } from "zod";
import { HedgerowError } from "../../protocol/errors.ts";
import { FileUnreadable, readSmallFile } from "../files.ts";
import { amount } from "../views.ts";
import { reasonOf } from "./protocol.ts";

const seconds = (most: number) => z.number().min(0.05).max(most);

/** What the agent may do by itself, and how. Everything may be left out. */
export const policySchema = z.strictObject({
  /** Bring tickets back while trading, once the orders on them are done. What is open at the close is brought back anyway. */
  closeTickets: z.boolean().default(true),
  /** Longest random pause before a ticket that is done, or left over, is brought back. */
  closeDelaySeconds: z.number().min(0).max(86_400).default(600),
  /** Deposits that wait are a reserve: they are taken into the account when its margin is short, and not at once. */
  reserve: z.boolean().default(false),
  /** Most that is deposited from the funding address in one epoch when the margin is short; base units. */
  topUpLimit: amount.refine((text) => BigInt(text) >= 0n, "expected zero or more").default("0"),
  /** Free margin that a top-up restores, in percent of the maintenance margin. */
  topUpPercent: z.int().min(0).max(1_000).default(25),
  /** Free margin, in percent of the maintenance margin, below which to warn; each is told once. */
  warnPercents: z.array(z.int().min(0).max(10_000)).max(10).default([50, 25, 10]),
  /** Kept free before a deadline, beyond the time that the work takes; never more than a quarter of the window's part. */
  safetySeconds: z.number().min(0).max(86_400).default(120),
  /** Pace of looking at chain and margin, and at the own orders. */
  lookSeconds: seconds(3_600).default(5),
  ordersSeconds: seconds(3_600).default(30),
  /** How long the node or the exchange may be silent before that is an event. */
  awaySeconds: seconds(86_400).default(60),
});
export type Policy = z.infer<typeof policySchema>;

/** The file of the agent's policy cannot be used. */
export class BadPolicy extends HedgerowError {
  constructor(file: string, reason: string) {
    super("BadPolicy", `the policy in ${file} cannot be used: ${reason}`, { file, reason });
  }
}

/** Reads a policy: JSON. Throws BadPolicy. */
export function readPolicy(file: string): Policy {
  let value: unknown;
  try {
    value = JSON.parse(readSmallFile(file));
  } catch (error) {
    // The parser's words would repeat parts of the file, which may be another one than was meant: a password's.
    throw new BadPolicy(file, error instanceof FileUnreadable ? error.reason : "it is no JSON");
  }
  const policy = policySchema.safeParse(value);
  if (!policy.success) throw new BadPolicy(file, reasonOf(policy.error));
  return policy.data;
}
