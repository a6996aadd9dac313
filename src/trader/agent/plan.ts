import { toppedUp, type TopUpInput } from "./margin.ts";
import type { Policy } from "./policy.ts";
import type { AgentStatus, DutyView } from "./status.ts";

/*
 * What the agent does when: a pure function of what it sees, so that it can be tried with every clock and chain. Times
 * are unix seconds of the chain's clock.
 */

/** Where the day stands. `closedAt` and `closedBlock`: of the present epoch's close, in the window. */
export type PlannedDay = {
  readonly epoch: number;
  readonly openedAt: number;
  readonly closingTime: number;
} & (
  { readonly phase: "trading" } | { readonly phase: "window"; readonly closedAt: number; readonly closedBlock: number }
);

/** Length of the window's parts: seconds and blocks must both have passed (spec EPO-5, EPO-6). */
export type WindowTerms = { readonly windowA: number; readonly windowB: number; readonly windowBlocks: number };

/** An open ticket. `live`: orders rest or wait on it; `doneAt`: since when it has had orders and has none that live. */
export type PlannedTicket = {
  readonly ticketId: string;
  readonly leftOver: boolean;
  readonly live: boolean;
  readonly doneAt: number | undefined;
};

/** How long things take: a transition from its proof until the chain shows it, and a block. Seconds. */
export type Pace = { readonly turnSeconds: number; readonly blockSeconds: number };

/** Everything that decides what is to be done. */
export type PlanView = {
  readonly now: number;
  readonly block: number;
  readonly day: PlannedDay;
  readonly terms: WindowTerms;
  readonly seat: { readonly status: AgentStatus["seat"]; readonly epoch: number | null };
  readonly tickets: readonly PlannedTicket[];
  readonly credits: TopUpInput["credits"];
  /** The note was looked after in this window: nobody has seen a transition that would have spent it. */
  readonly isFresh: boolean;
  /** What the account lacks to get back to its margin, with the policy's cushion; 0 while it is not short. */
  readonly shortage: bigint;
  /** What may still be deposited from the funding address in this epoch. */
  readonly topUpLeft: bigint;
  readonly pace: Pace;
  readonly exchangeAway: boolean;
  /** The funding address can pay for direct transactions. */
  readonly hasGas: boolean;
  /** How often a duty of this kind has failed in this phase. */
  readonly failures: (kind: DutyView["kind"]) => number;
  readonly policy: Policy;
  /** A number in [0, 1), always the same for a name: random to everybody else. */
  readonly draw: (name: string) => number;
};

/** Something to be done from `at` on; after `deadline` it is of no use. */
export type Duty = {
  readonly kind: DutyView["kind"];
  readonly at: number;
  readonly deadline: number | undefined;
  /** Tickets or credits that it is about. */
  readonly targets: readonly string[];
  /** Base units, of a deposit. */
  readonly amount?: bigint;
  /** Straight to the chain, since the exchange does not answer. */
  readonly direct: boolean;
  readonly reason: string;
};

/** Failures after which an exchange that answers counts as one that does not. */
const PATIENCE = 3;

/**
 * What is to be done, in the order of its times (spec AGT-7 to AGT-12). A seat that is not active, or has been renewed
 * for the next epoch, has no duties: nothing of it can be lost.
 */
export function plan(view: PlanView): readonly Duty[] {
  const { seat, day } = view;
  if (seat.status !== "active" || seat.epoch !== day.epoch) return [];
  const duties = day.phase === "trading" ? tradingDuties(view, day) : windowDuties(view, day);
  return duties.toSorted((a, b) => a.at - b.at);
}

function tradingDuties(view: PlanView, day: PlannedDay): readonly Duty[] {
  const { now, tickets, policy, draw, pace } = view;
  const last = day.closingTime - pace.turnSeconds - safetyIn(view, day.closingTime - day.openedAt);
  const back = (ticket: PlannedTicket): readonly Duty[] => {
    const { ticketId, leftOver, live, doneAt } = ticket;
    const from = leftOver ? day.openedAt : doneAt;
    if (from === undefined || live || (!leftOver && !policy.closeTickets)) return [];
    const at = Math.max(now, from + draw(`close ${ticketId}`) * policy.closeDelaySeconds);
    const rest = { at, targets: [ticketId], direct: false };
    if (leftOver) {
      return [{ ...rest, kind: "claim-tickets", deadline: undefined, reason: "its day is over, its cash is left" }];
    }
    // What comes too late for this is brought back in the window.
    if (at > last) return [];
    return [{ ...rest, kind: "close-tickets", deadline: day.closingTime, reason: "its orders are done" }];
  };
  return [...tickets.flatMap(back), ...fundingDuties(view, undefined)];
}

function windowDuties(view: PlanView, day: PlannedDay & { readonly phase: "window" }): readonly Duty[] {
  const { now, block, terms } = view;
  const endOfA = day.closedAt + terms.windowA;
  const blocksOfA = day.closedBlock + terms.windowBlocks - block;
  const inPartA = now < endOfA || blocksOfA > 0;
  const renewal = renewalDuty(view, day, blocksOfA);
  if (!inPartA) return [renewal];
  // While blocks are missing part A goes on; nobody knows for how long.
  const deadline = Math.max(endOfA, now + Math.max(0, blocksOfA) * view.pace.blockSeconds);
  return [...partADuties(view, day, endOfA, deadline), renewal];
}

/** In part A all tickets come back, each at a time of its own, and then the note is looked after. */
function partADuties(
  view: PlanView,
  { closedAt }: PlannedDay & { readonly phase: "window" },
  endOfA: number,
  deadline: number,
): readonly Duty[] {
  const { now, tickets, pace, draw, terms } = view;
  const open = tickets.filter(({ leftOver }) => !leftOver);
  const work = pace.turnSeconds * Math.max(1, open.length);
  const latest = endOfA - safetyIn(view, terms.windowA) - work;
  const timeOf = (name: string): number => between(closedAt, latest, draw(name), now);
  // A direct call that comes too late shows its note for nothing (spec PRI-2).
  const quiet = Math.min(60, terms.windowA / 20);
  const direct = mustGoDirect(view, "close-tickets", latest - work) && now < endOfA - quiet;
  const duties: Duty[] = open.map(({ ticketId }) => ({
    kind: "close-tickets",
    at: timeOf(`close ${ticketId}`),
    deadline,
    targets: [ticketId],
    direct,
    reason: "what is open at the end of part A is closed at the default price",
  }));
  if (open.some(({ live }) => live)) {
    const reason = "nothing may rest on tickets that are brought back";
    duties.push({ kind: "cancel-orders", at: now, deadline, targets: [], direct: false, reason });
  }
  if (open.length === 0 && !view.isFresh) {
    const reason = "a renewal must not show a note that was seen elsewhere";
    duties.push({ kind: "spend-seen-note", at: timeOf("freshen"), deadline, targets: [], direct: false, reason });
  }
  return [...duties, ...fundingDuties(view, { endOfA, deadline })];
}

/** Waiting deposits, at once; what restores the margin, if it is short. In part A the last chance is before its end. */
function fundingDuties(
  view: PlanView,
  part: { readonly endOfA: number; readonly deadline: number } | undefined,
): Duty[] {
  const { now, credits, policy, shortage, topUpLeft, pace } = view;
  const deadline = part?.deadline;
  const direct = part !== undefined && mustGoDirect(view, "fund-credits", part.endOfA - 3 * pace.turnSeconds);
  const funding = (targets: readonly string[], reason: string): Duty[] =>
    targets.length === 0 ? [] : [{ kind: "fund-credits", at: now, deadline, targets, direct, reason }];
  if (!policy.reserve && credits.length > 0) {
    return funding(
      credits.map(({ creditId }) => creditId),
      "a deposit waits",
    );
  }
  if (shortage <= 0n) return [];
  const { fund, deposit } = toppedUp({ shortage, credits: policy.reserve ? credits : [], limit: topUpLeft });
  const duties = funding(fund, "the margin is short: out of the reserve");
  if (deposit === 0n) return duties;
  const reason = "the margin is short: from the funding address";
  return [
    ...duties,
    { kind: "deposit-reserve", at: now, deadline, targets: [], amount: deposit, direct: false, reason },
  ];
}

/** Once, in part B, at a random time that leaves room (spec PRI-5). The seat is not renewed yet. */
function renewalDuty(view: PlanView, day: PlannedDay & { readonly phase: "window" }, blocksOfA: number): Duty {
  const { now, block, terms, pace, draw } = view;
  const from = day.closedAt + terms.windowA;
  const end = from + terms.windowB;
  const latest = end - safetyIn(view, terms.windowB) - pace.turnSeconds;
  const blocksLeft = day.closedBlock + 2 * terms.windowBlocks - block;
  const isOver = now >= end && blocksLeft <= 0;
  const at = Math.max(
    between(from, latest, draw(`renew ${day.epoch}`), now),
    now + Math.max(0, blocksOfA) * pace.blockSeconds,
  );
  return {
    kind: "renew",
    at,
    // The next epoch may be opened at any moment; until it is, a renewal counts.
    deadline: isOver ? undefined : Math.max(end, at, now + Math.max(0, blocksLeft) * pace.blockSeconds),
    targets: [],
    direct: mustGoDirect(view, "renew", latest - 2 * pace.turnSeconds),
    reason: isOver ? "late: the next epoch may open at any moment" : "a seat that does not renew is in default",
  };
}

function mustGoDirect({ now, exchangeAway, hasGas, failures }: PlanView, kind: Duty["kind"], from: number): boolean {
  return hasGas && now >= from && (exchangeAway || failures(kind) >= PATIENCE);
}

function safetyIn({ policy }: PlanView, seconds: number): number {
  return Math.min(policy.safetySeconds, seconds / 4);
}

/** A time between two, by a number in [0, 1); never before now, and at once where there is no room. */
function between(from: number, latest: number, part: number, now: number): number {
  return Math.max(now, latest > from ? from + part * (latest - from) : from);
}
