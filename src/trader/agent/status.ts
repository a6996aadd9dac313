import { z } from "zod";
import { amount } from "../views.ts";

const time = z.int().min(0);

/** What the agent is about to do, in the order of their times. */
const dutyView = z.strictObject({
  kind: z.enum([
    "cancel-orders",
    "close-tickets",
    "claim-tickets",
    "fund-credits",
    "renew",
    "spend-seen-note",
    "deposit-reserve",
  ]),
  /** Unix seconds of the chain's clock: when it begins, and when it must have landed. */
  at: time,
  deadline: time.nullable(),
  reason: z.string(),
});
export type DutyView = z.infer<typeof dutyView>;

/** Equity against what a renewal asks for. Base units. */
const marginView = z.strictObject({
  /** Account and tickets: at the last prices, in the window at the settlement prices. */
  equity: amount,
  initialMargin: amount,
  maintenanceMargin: amount,
  /** What is left above the maintenance margin and the fee of a renewal; at the limits of the day too. */
  free: amount,
  freeAtLimits: amount,
  /** `free` in percent of the maintenance margin, rounded; null without positions. */
  freePercent: z.int().nullable(),
  /** What is missing before the account can be renewed; 0 if nothing. */
  short: amount,
  level: z.enum(["good", "warning", "call"]),
});
export type MarginView = z.infer<typeof marginView>;

/** Where the agent stands: the answer to `hedgerow agent status`. */
export const agentStatus = z.strictObject({
  pid: z.int(),
  /** Unix seconds of this machine's clock. */
  startedAt: time,
  network: z.string(),
  epoch: z.int(),
  phase: z.enum(["trading", "window"]),
  seat: z.enum(["none", "active", "asleep", "inDefault", "closed"]),
  /** Unix seconds of the chain's clock as the agent knows it. */
  time,
  nodeReachable: z.boolean(),
  exchangeReachable: z.boolean(),
  openTickets: z.int(),
  liveOrders: z.int(),
  margin: marginView.nullable(),
  duties: z.array(dutyView),
  /** What hinders the agent now; null if nothing does. */
  trouble: z.string().nullable(),
});
export type AgentStatus = z.infer<typeof agentStatus>;
