import { toHex } from "viem";
import { type ChainState, WHOLE } from "../chain/chainState.ts";
import { SLEEPERS } from "../chain/chainState.ts";
import type { ProvenTransition } from "../chain/clearingHouse.ts";
import { statementNow } from "../chain/statement.ts";
import { type Action, type ActionName, isReduceOnly, relayFeeOf, showsSeat } from "../protocol/action.ts";
import { type EpochMarket, equityInBand, feeAtDefault, type Phase } from "../protocol/epoch.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { zeroNote } from "../protocol/note.ts";
import { releaseHash } from "../protocol/order.ts";
import { publicSignals } from "../protocol/statement.ts";
import { assertSignedBy } from "./signature.ts";
import type { TicketView } from "./ticketView.ts";

// What the operator asks of a transition before it promises to post it: all that the contract asks, so that nothing
// it queues can be refused, and that nothing queued before stands against it.

/** What a batch takes from the trader: fixed for the life of a clearing house, and where the day stands. */
export type AdmissionInput = {
  readonly state: ChainState;
  /** Base units. */
  readonly flatFee: bigint;
  /** Unix seconds. */
  readonly time: bigint;
  /** Whether part B of the settlement window has begun. */
  readonly inPartB: boolean;
  /** The ticket of the present epoch that a closeTicket names. */
  readonly ticket: (ticketId: Hex) => TicketView;
};

/** The action has no place in this phase of the day, or is never relayed (spec ACT-1, ACT-4). */
export class WrongPhase extends HedgerowError {
  constructor(action: ActionName, where: string) {
    super("WrongPhase", `${action} cannot be relayed ${where}: wait for its phase, or submit it directly`, {
      action,
      where,
    });
  }
}

/** A relayed transition pays exactly the flat fee, an opening once per ticket (spec FEE-1). */
export class WrongRelayFee extends HedgerowError {
  constructor(given: bigint, required: bigint) {
    super("WrongRelayFee", `relayFee is ${given}, but a batch takes exactly ${required}: prove it with that fee`, {
      given,
      required,
    });
  }
}

/** The contract does not know the root for this action. */
export class UnknownRoot extends HedgerowError {
  constructor(tree: bigint, root: bigint) {
    super("UnknownRoot", `${root} was never a root of tree ${tree}: prove against a root that the chain shows`, {
      tree,
      root,
    });
  }
}

/** The note is spent, or promised to another transition of the queue. */
export class NullifierTaken extends HedgerowError {
  constructor(nullifier: bigint, where: "spent" | "queued") {
    super("NullifierTaken", `nullifier ${nullifier} is ${where} already: a note is spent once, use its successor`, {
      nullifier,
      where,
    });
  }
}

/** A value of the transition breaks its rule. */
export class InvalidTransition extends HedgerowError {
  constructor(action: ActionName, name: string, value: bigint | number | string, rule: string) {
    super("InvalidTransition", `${action}: ${name} is ${value}, but the rule is: ${rule}`, { action, name, value });
  }
}

/** One of the tickets to open cannot pay at the worst price of its band by itself (spec TKT-3). */
export class TicketInsolvent extends HedgerowError {
  constructor(index: number, equity: bigint) {
    super(
      "TicketInsolvent",
      `ticket ${index} of the opening would have equity ${equity}, but the rule is 0 <= equity each: fund it more`,
      { index, equity },
    );
  }
}

/** What a closeTicket or claimTicket says about a ticket is not, or no longer, so. */
export class TicketChanged extends HedgerowError {
  constructor(ticketId: Hex, name: string, given: bigint | number, actual: bigint | number) {
    super(
      "TicketChanged",
      `ticket ${ticketId} has ${name} ${actual}, the transition says ${given}: cancel its orders, prove with what it has`,
      { ticketId, name, given, actual },
    );
  }
}

/** A fund transition names a credit that is not there, is spent, has another amount, or is queued already. */
export class CreditUnavailable extends HedgerowError {
  constructor(creditId: bigint, why: string) {
    super("CreditUnavailable", `credit ${creditId} ${why}: name an unspent credit with its whole amount`, { creditId });
  }
}

/** The seat is not in the state the action needs, or another queued transition changes it. */
export class SeatUnavailable extends HedgerowError {
  constructor(ownerKey: bigint, why: string) {
    super("SeatUnavailable", `seat ${ownerKey} ${why}: use the seat of this account in its present state`, {
      ownerKey,
    });
  }
}

/** The proof does not hold for the statement that the chain's state gives. */
export class ProofRefused extends HedgerowError {
  constructor(action: ActionName, nullifier: bigint) {
    super(
      "ProofRefused",
      `the proof of ${action} with nullifier ${nullifier} does not hold for what it asks: prove it anew`,
      { action, nullifier },
    );
  }
}

/**
 * The public signals that the contract would verify a parsed transition with, after every check that needs no proof.
 * Throws an error of this file, or MalformedSignature, WrongSigner, SlotOutOfRange, OutOfRange, NonCanonicalField.
 */
export async function admit(input: AdmissionInput, transition: ProvenTransition): Promise<readonly bigint[]> {
  const { state } = input;
  const { action, nullifier, root, seat } = transition;
  assertPhase(action, input);
  const fee = "relayFee" in action ? action.relayFee : 0n;
  const due = relayFeeOf(action, input.flatFee);
  if (fee !== due) throw new WrongRelayFee(fee, due);
  if (showsSeat(action.name) !== (seat !== 0n)) {
    const rule = showsSeat(action.name) ? "this action shows its seat" : "this action hides its seat, so it is 0";
    throw new InvalidTransition(action.name, "seat", seat, rule);
  }
  const signals = publicSignals(statementNow(state, transition));
  if (state.transitioned.has(nullifier)) throw new NullifierTaken(nullifier, "spent");
  await assertAction(input, transition);
  const tree = action.name === "closeSeat" && action.asleep ? SLEEPERS : BigInt(state.epoch);
  if (!(await state.chain.house.read.isRoot([tree, root]))) throw new UnknownRoot(tree, root);
  return signals;
}

function assertPhase({ name }: Action, { state, inPartB }: AdmissionInput): void {
  if (name === "wake" || name === "rejoin" || name === "exit") throw new WrongPhase(name, "by an operator");
  const part = state.phase === "trading" ? "trading" : inPartB ? "windowB" : "windowA";
  if (!RELAYED_IN[part].has(name)) throw new WrongPhase(name, WORDS[part]);
}

type Part = Phase | "windowA" | "windowB";
const RELAYED_IN: Readonly<Record<Exclude<Part, "window">, ReadonlySet<ActionName>>> = {
  trading: new Set(["fund", "openTicket", "closeTicket", "claimTicket", "withdraw", "sleep", "closeSeat"]),
  windowA: new Set(["fund", "closeTicket", "claimTicket", "withdraw"]),
  windowB: new Set(["renew", "sleep", "closeSeat"]),
};
const WORDS = {
  trading: "in Trading",
  windowA: "in part A of the settlement window",
  windowB: "in part B of the settlement window",
} as const;

async function assertAction(input: AdmissionInput, transition: ProvenTransition): Promise<void> {
  const { state } = input;
  const { action, seat } = transition;
  switch (action.name) {
    case "fund":
      return assertFund(input, transition, action);
    case "openTicket":
      assertOpening(state.markets(state.epoch)[action.slot], action);
      return;
    case "closeTicket": {
      const ticket = input.ticket(action.ticketId);
      assertUnchanged(ticket, action);
      const { cash, position } = ticket.balance;
      return assertReleased(state, transition, ticket.sessionKey, action.ticketId, cash, position);
    }
    case "claimTicket":
      return assertClaim(state, transition, action);
    case "withdraw":
      assertRecipient(state, action);
      if (action.amount === 0n) throw new InvalidTransition(action.name, "amount", 0n, "more than zero is paid out");
      return;
    case "renew":
    case "sleep":
      return assertSeat(state, seat, false);
    case "closeSeat": {
      assertRecipient(state, action);
      const empty = zeroNote(seat);
      if (transition.newNote !== empty) {
        throw new InvalidTransition(action.name, "newNote", transition.newNote, `the seat's zero note ${empty}`);
      }
      return assertSeat(state, seat, action.asleep);
    }
    case "wake":
    case "rejoin":
    case "exit":
  }
}

async function assertFund(
  { state, time }: AdmissionInput,
  transition: ProvenTransition,
  { creditId, amount }: Extract<Action, { name: "fund" }>,
): Promise<void> {
  const credit = state.credits.get(creditId);
  if (credit === undefined) throw new CreditUnavailable(creditId, "does not exist");
  if (state.spentCredits.has(creditId)) throw new CreditUnavailable(creditId, "is spent or refunded");
  if (credit.amount !== amount) throw new CreditUnavailable(creditId, `is of ${credit.amount}, not of ${amount}`);
  // The chain would skip it: new money does not pay for old losses (spec FND-8).
  if (state.payoutRatio < WHOLE && state.phase === "trading")
    throw new CreditUnavailable(creditId, "has to wait until payments are whole again");
  // Whoever pays it back first makes the batch skip the transition (spec CRE-5).
  const { refundableAt } = await state.chain.house.read.creditOf([creditId]);
  if (refundableAt !== 0n && refundableAt <= time) throw new CreditUnavailable(creditId, "may be refunded by now");
  await assertReleased(state, transition, credit.key, toHex(creditId, { size: 32 }), amount, 0n);
}

/** Throws InvalidTransition or TicketInsolvent unless the contract would take the opening (spec TKT-3, 9, 16, 17). */
function assertOpening(
  market: EpochMarket | undefined,
  { slot, tickets }: Extract<Action, { name: "openTicket" }>,
): void {
  const name = "openTicket";
  if (market?.listed !== true) throw new InvalidTransition(name, "slot", slot, "the slot has a contract");
  const reduceOnly = isReduceOnly(tickets);
  if (market.closingOnly && !reduceOnly) {
    throw new InvalidTransition(name, "reduceOnly", "false", "this market is closing: reduce-only tickets");
  }
  const halfWidth = reduceOnly ? market.maintenanceMargin : market.initialMargin;
  tickets.forEach(({ sessionKey, cash, position }, index) => {
    if (BigInt(sessionKey) === 0n) throw new InvalidTransition(name, "sessionKey", sessionKey, "a key, not zero");
    const equity = equityInBand(cash, BigInt(position), market.centre, halfWidth);
    if (equity < 0n) throw new TicketInsolvent(index, equity);
    if (!reduceOnly) return;
    const carries = position !== 0 && position > 0 === (tickets[0]?.position ?? 0) > 0;
    if (!carries) throw new InvalidTransition(name, "position", position, "reduce-only tickets all carry one side");
    const initial = equityInBand(cash, BigInt(position), market.centre, market.initialMargin);
    if (initial > 0n) {
      throw new InvalidTransition(name, "cash", cash, "a reduce-only ticket has no more than its initial margin");
    }
  });
}

/** Throws TicketChanged unless the release names what the ticket holds, unsettled executions included. */
export function assertUnchanged(
  ticket: TicketView,
  { slot, cash, position }: Extract<Action, { name: "closeTicket" }>,
): void {
  const { ticketId, balance } = ticket;
  if (ticket.slot !== slot) throw new TicketChanged(ticketId, "slot", slot, ticket.slot);
  if (ticket.closing) throw new InvalidTransition("closeTicket", "ticketId", ticketId, "closed once");
  if (balance.cash !== cash) throw new TicketChanged(ticketId, "cash", cash, balance.cash);
  if (balance.position !== BigInt(position)) throw new TicketChanged(ticketId, "position", position, balance.position);
}

/** A left-over ticket of an earlier epoch is worth its equity at the default price (spec DEF-3). */
async function assertClaim(
  state: ChainState,
  transition: ProvenTransition,
  { ticketId, claim }: Extract<Action, { name: "claimTicket" }>,
): Promise<void> {
  const { sessionKey, epoch, slot, cash, position } = await state.chain.house.read.ticketOf([ticketId]);
  const market = state.markets(epoch)[slot];
  if (epoch === 0 || epoch >= state.epoch || market === undefined) {
    throw new InvalidTransition("claimTicket", "ticketId", ticketId, "a ticket left over from an earlier epoch");
  }
  const worth = equityInBand(cash, BigInt(position), market.settlementPrice, feeAtDefault(market));
  if (worth !== claim) throw new TicketChanged(ticketId, "claim", claim, worth);
  await assertReleased(state, transition, sessionKey, ticketId, claim, 0n);
}

async function assertReleased(
  { chain }: ChainState,
  { nullifier, newNote, signature }: ProvenTransition,
  key: Hex,
  id: Hex,
  cash: bigint,
  position: bigint,
): Promise<void> {
  await assertSignedBy(releaseHash(chain.domain, { id, nullifier, newNote, cash, position }), signature, key);
}

function assertRecipient({ chain }: ChainState, { name, to }: Extract<Action, { to: Hex }>): void {
  const isBad = BigInt(to) === 0n || BigInt(to) === BigInt(chain.address);
  if (isBad) throw new InvalidTransition(name, "to", to, "neither zero nor the clearing house itself");
}

// The contract's SeatStatus.
const ACTIVE = 1;
const ASLEEP = 2;

async function assertSeat(state: ChainState, ownerKey: bigint, asleep: boolean): Promise<void> {
  const { status, lastEpoch } = await state.chain.house.read.seatOf([ownerKey]);
  if (asleep && status !== ASLEEP) throw new SeatUnavailable(ownerKey, "is not asleep");
  if (!asleep && status !== ACTIVE) throw new SeatUnavailable(ownerKey, "is not active");
  if (!asleep && lastEpoch !== state.epoch) throw new SeatUnavailable(ownerKey, `stands in epoch ${lastEpoch}`);
}
