import { numberToHex } from "viem";
import { type Action, actionCode, changeOf, isEntering, ticketIdOf } from "../protocol/action.ts";
import { equityInBand, feeAtDefault } from "../protocol/epoch.ts";
import type { Hex } from "../protocol/keys.ts";
import { zeroNote } from "../protocol/note.ts";
import { releaseHash } from "../protocol/order.ts";
import { recoverSigner } from "../protocol/signature.ts";
import { type CallTransition, type ReadTransition, readTransition } from "./actions.ts";
import { type Call, type CallProof, emitted, paid, pulled } from "./call.ts";
import { must } from "./errors.ts";
import { SLEEPERS } from "./notes.ts";
import { poolCover } from "./pool.ts";
import { signalsOf } from "./statements.ts";
import { type House, type Seat, WHOLE } from "./state.ts";
import { shareOf } from "./waterfall.ts";

/** Why a transition had no effect, in the contract's order (spec BAT-10). */
const SKIPS = [
  "None",
  "NullifierSpent",
  "CreditUnavailable",
  "TicketUnavailable",
  "SeatUnavailable",
  "PoolShort",
  "TreeFull",
] as const;
type Skip = (typeof SKIPS)[number];

/** What the transitions of one call leave to be done. */
type Outcome = {
  readonly current: bigint[];
  readonly next: bigint[];
  readonly sleepers: bigint[];
  readonly payouts: { readonly to: Hex; readonly amount: bigint }[];
  readonly direct: boolean;
  readonly crowded: boolean;
  bondDue: bigint;
  applied: number;
};

/** Understands the transitions of a call, and leaves their proofs to be checked. Throws BrokenRule. */
export function readTransitions(
  call: Call,
  transitions: readonly CallTransition[],
  proofs: readonly CallProof[],
  relayed: boolean,
): readonly ReadTransition[] {
  must(
    transitions.length === proofs.length,
    "BAT-3",
    `${transitions.length} transitions came with ${proofs.length} proofs`,
  );
  return transitions.map((each, i) => {
    const transition = readTransition(each);
    const signals = signalsOf(call, transition, relayed);
    const proof = proofs[i];
    must(proof !== undefined, "BAT-3", `transition ${i} has no proof`);
    const where = `${call.where}, proof ${i} (${transition.action.name})`;
    call.proofs.push({ epoch: call.house.epoch, where, proof, signals });
    return transition;
  });
}

/** Applies the transitions of a batch around its fills (spec BAT-2), and returns what pays them out. Throws BrokenRule. */
export function applyBatch(call: Call, transitions: readonly ReadTransition[], fills: () => void): () => void {
  const outcome = newOutcome(call.house, transitions.length, false);
  const firstLeaving = transitions.findIndex(({ action }) => !isEntering(action.name));
  const entering = firstLeaving < 0 ? transitions.length : firstLeaving;
  for (const transition of transitions.slice(0, entering)) apply(call, transition, outcome);
  fills();
  for (const transition of transitions.slice(entering)) {
    must(!isEntering(transition.action.name), "BAT-2", `${transition.action.name} came after what leaves`);
    apply(call, transition, outcome);
  }
  appendNotes(call, outcome);
  return () => payAll(call, outcome);
}

/** Applies transitions that came directly (spec BAT-14). Throws BrokenRule. */
export function applyDirect(call: Call, transitions: readonly ReadTransition[]): void {
  const outcome = newOutcome(call.house, transitions.length, true);
  for (const transition of transitions) apply(call, transition, outcome);
  must(outcome.applied > 0, "BAT-14", "a direct call in which nothing took effect was accepted");
  appendNotes(call, outcome);
  if (outcome.bondDue > 0n) pulled(call, outcome.bondDue);
  payAll(call, outcome);
}

function newOutcome(house: House, count: number, direct: boolean): Outcome {
  const { liveSeats, openTickets } = house.today;
  const crowded =
    house.phase === "trading" && !house.notes.hasRoom(BigInt(house.epoch), 9 * count, liveSeats + openTickets);
  return { current: [], next: [], sleepers: [], payouts: [], direct, crowded, bondDue: 0n, applied: 0 };
}

function payAll(call: Call, { payouts }: Outcome): void {
  for (const { to, amount } of payouts) paid(call, to, amount);
}

function appendNotes(call: Call, { current, next, sleepers }: Outcome): void {
  const { epoch } = call.house;
  appendTo(call, BigInt(epoch), current);
  appendTo(call, BigInt(epoch) + 1n, next);
  appendTo(call, SLEEPERS, sleepers);
}

/** Inserts leaves into a tree, as the house must have told (spec TRE-2). Throws BrokenRule. */
export function appendTo(call: Call, tree: bigint, leaves: readonly bigint[]): void {
  if (leaves.length === 0) return;
  emitted(call, "NotesAppended", call.house.notes.append(tree, leaves, call.house.epoch));
}

function apply(call: Call, transition: ReadTransition, outcome: Outcome): void {
  const { house } = call;
  const { action, nullifier, newNote, seat } = transition;
  const code = actionCode(action.name);
  const skip = house.spent.has(nullifier) ? "NullifierSpent" : effectOf(call, transition, outcome);
  if (skip === "None") {
    outcome.applied += 1;
    house.spent.add(nullifier);
    emitted(call, "Transitioned", {
      nullifier,
      action: code,
      epoch: house.epoch,
      newNote,
      seat,
      ...changeOf(action),
    });
  } else {
    emitted(call, "TransitionSkipped", { nullifier, action: code, reason: SKIPS.indexOf(skip) });
    if (outcome.direct) return;
  }
  const leaf = skip === "None" ? newNote : 0n;
  if (action.name === "sleep") outcome.sleepers.push(leaf);
  else if (action.name === "renew") outcome.next.push(leaf);
  else if (action.name !== "exit" && action.name !== "closeSeat") outcome.current.push(leaf);
}

type Of<Name extends Action["name"]> = Extract<Action, { name: Name }>;

function effectOf(call: Call, transition: ReadTransition, outcome: Outcome): Skip {
  const { action } = transition;
  if (outcome.crowded && isEntering(action.name)) return "TreeFull";
  switch (action.name) {
    case "fund":
      return fund(call, transition, action);
    case "openTicket":
      return openTickets(call, transition, action);
    case "closeTicket":
      return closeTicket(call, transition, action);
    case "claimTicket":
      return claimTicket(call, transition, action);
    case "withdraw":
      return withdraw(call.house, action, outcome);
    case "renew":
      return renew(call.house, transition.seat, action.relayFee);
    case "sleep":
      return sleep(call.house, transition.seat, action.relayFee);
    case "wake":
      return wake(call.house, transition.seat);
    case "rejoin":
      return rejoin(call, transition.seat, action, outcome);
    case "exit":
      return exit(call, transition, action, outcome);
    case "closeSeat":
      return closeSeat(call.house, transition, action, outcome);
  }
}

function fund(call: Call, transition: ReadTransition, { creditId, amount, relayFee }: Of<"fund">): Skip {
  const { ledger, credits } = call.house;
  const credit = credits.get(creditId);
  if (credit === undefined || credit.spent || credit.amount !== amount) return "CreditUnavailable";
  if (call.house.payoutRatio < WHOLE && call.house.phase === "trading") return "PoolShort";
  assertReleased(call.house, credit.key, transition, numberToHex(creditId, { size: 32 }), amount, 0n);
  credit.spent = true;
  ledger.credits -= amount;
  ledger.fees += relayFee;
  ledger.poolCash += amount - relayFee;
  emitted(call, "CreditSpent", { creditId });
  return "None";
}

function openTickets(call: Call, transition: ReadTransition, action: Of<"openTicket">): Skip {
  const { house } = call;
  const { ledger } = house;
  const { slot, relayFee, tickets } = action;
  const { cashDelta, positionDelta } = changeOf(action);
  ledger.poolCash += cashDelta;
  house.addToPool(slot, positionDelta);
  if (poolCover(house) < 0n) {
    ledger.poolCash -= cashDelta;
    house.addToPool(slot, -positionDelta);
    return "PoolShort";
  }
  ledger.fees += relayFee;
  house.today.openTickets += BigInt(tickets.length);
  const sums = house.sumsOf(slot);
  const { nullifier, newNote } = transition;
  tickets.forEach(({ sessionKey, cash, position, reduceOnly }, i) => {
    const ticketId = ticketIdOf({ nullifier, newNote, slot }, i);
    sums.cash += cash;
    sums.net += BigInt(position);
    sums.gross += BigInt(Math.abs(position));
    house.tickets.set(ticketId, {
      ticketId,
      sessionKey,
      epoch: house.epoch,
      slot,
      reduceOnly,
      openedInBatch: house.lastBatch,
      orders: new Map(),
      cash,
      position: BigInt(position),
    });
    const { epoch } = house;
    emitted(call, "TicketOpened", { ticketId, sessionKey, epoch, slot, cash, position, reduceOnly });
  });
  return "None";
}

function closeTicket(call: Call, transition: ReadTransition, action: Of<"closeTicket">): Skip {
  const { house } = call;
  const { ticketId, slot, cash, position, relayFee } = action;
  const ticket = house.tickets.get(ticketId);
  const isSame =
    ticket?.epoch === house.epoch &&
    ticket.slot === slot &&
    ticket.cash === cash &&
    ticket.position === BigInt(position);
  if (!isSame) return "TicketUnavailable";
  assertReleased(house, ticket.sessionKey, transition, ticketId, cash, ticket.position);
  house.tickets.delete(ticketId);
  house.today.openTickets -= 1n;
  const sums = house.sumsOf(slot);
  sums.cash -= cash;
  sums.net -= ticket.position;
  sums.gross -= BigInt(Math.abs(position));
  house.ledger.fees += relayFee;
  house.ledger.poolCash += cash - relayFee;
  house.addToPool(slot, ticket.position);
  emitted(call, "TicketClosed", { ticketId, cash, position });
  return "None";
}

function claimTicket(call: Call, transition: ReadTransition, { ticketId, claim, relayFee }: Of<"claimTicket">): Skip {
  const { house } = call;
  const ticket = house.tickets.get(ticketId);
  if (ticket === undefined || ticket.epoch >= house.epoch) return "TicketUnavailable";
  const market = house.market(ticket.slot, ticket.epoch);
  const due = equityInBand(ticket.cash, ticket.position, market.settlementPrice, feeAtDefault(market));
  if (due !== claim || claim > house.ledger.claims) return "TicketUnavailable";
  assertReleased(house, ticket.sessionKey, transition, ticketId, claim, 0n);
  house.tickets.delete(ticketId);
  house.ledger.claims -= claim;
  house.ledger.fees += relayFee;
  house.ledger.poolCash += claim - relayFee;
  emitted(call, "TicketClaimed", { ticketId, epoch: ticket.epoch, claim });
  return "None";
}

function withdraw(house: House, { to, amount, relayFee }: Of<"withdraw">, outcome: Outcome): Skip {
  const due = takeOut(house, amount, relayFee);
  if (due === undefined) return "PoolShort";
  house.ledger.fees += relayFee;
  outcome.payouts.push({ to, amount: due });
  return "None";
}

function renew(house: House, ownerKey: bigint, fee: bigint): Skip {
  const seat = liveSeat(house, ownerKey);
  if (seat === undefined) return "SeatUnavailable";
  seat.lastEpoch = house.epoch + 1;
  house.epochOf(house.epoch + 1).liveSeats += 1n;
  takeSeatFee(house, fee);
  return "None";
}

function sleep(house: House, ownerKey: bigint, fee: bigint): Skip {
  const seat = liveSeat(house, ownerKey);
  if (seat === undefined) return "SeatUnavailable";
  seat.status = "asleep";
  house.today.liveSeats -= 1n;
  takeSeatFee(house, fee);
  return "None";
}

function wake(house: House, ownerKey: bigint): Skip {
  const seat = house.seats.get(ownerKey);
  if (seat?.status !== "asleep") return "SeatUnavailable";
  seat.status = "active";
  seat.lastEpoch = house.epoch;
  house.today.liveSeats += 1n;
  return "None";
}

function rejoin(call: Call, ownerKey: bigint, { defaultEpoch, flat }: Of<"rejoin">, outcome: Outcome): Skip {
  const { house } = call;
  const seat = house.seats.get(ownerKey);
  if (seat?.status !== "active" || seat.lastEpoch !== defaultEpoch) return "SeatUnavailable";
  if (keepsBond(house, seat, flat)) {
    takeLateFee(house, seat);
  } else {
    forfeit(call, ownerKey, seat, 0n);
    seat.bond = house.terms.seatBond;
    house.ledger.bonds += seat.bond;
    outcome.bondDue += seat.bond;
  }
  seat.lastEpoch = house.epoch;
  house.today.liveSeats += 1n;
  return "None";
}

function exit(call: Call, transition: ReadTransition, action: Of<"exit">, outcome: Outcome): Skip {
  const { house } = call;
  const { defaultEpoch, flat, to, equity } = action;
  assertEmptied(transition);
  const seat = house.seats.get(transition.seat);
  if (seat?.status !== "active" || seat.lastEpoch !== defaultEpoch) return "SeatUnavailable";
  const due = takeOut(house, equity, 0n);
  if (due === undefined) return "PoolShort";
  let refund = 0n;
  if (keepsBond(house, seat, flat)) {
    takeLateFee(house, seat);
    refund = seat.bond;
    house.ledger.bonds -= refund;
  } else {
    forfeit(call, transition.seat, seat, 0n);
  }
  seat.status = "closed";
  seat.bond = 0n;
  outcome.payouts.push({ to, amount: due + refund });
  return "None";
}

function closeSeat(house: House, transition: ReadTransition, action: Of<"closeSeat">, outcome: Outcome): Skip {
  assertEmptied(transition);
  const seat = action.asleep ? house.seats.get(transition.seat) : liveSeat(house, transition.seat);
  if (seat === undefined || (action.asleep && seat.status !== "asleep")) return "SeatUnavailable";
  if (!action.asleep) house.today.liveSeats -= 1n;
  const { bond } = seat;
  seat.status = "closed";
  seat.bond = 0n;
  house.ledger.bonds -= bond;
  const fee = action.relayFee < bond ? action.relayFee : bond;
  house.ledger.fees += fee;
  outcome.payouts.push({ to: action.to, amount: bond - fee });
  return "None";
}

/** Moves the bond of a seat to the close-out account, but for a reporter's reward (spec DEF-9). Throws BrokenRule. */
export function forfeit(call: Call, ownerKey: bigint, seat: Seat, reward: bigint): void {
  const { bond } = seat;
  if (bond === 0n) return;
  const amount = bond - reward;
  seat.bond = 0n;
  call.house.ledger.bonds -= bond;
  call.house.ledger.closeOutAccount += amount;
  emitted(call, "BondForfeited", { ownerKey, amount, reward });
}

/** Takes an amount and a fee out of the pool; returns what is paid of the amount, nothing if it would leave a hole. */
function takeOut(house: House, amount: bigint, fee: bigint): bigint | undefined {
  const { ledger } = house;
  const { paid, toAccount } = shareOf(house, amount);
  const leaving = paid + toAccount + fee;
  ledger.poolCash -= leaving;
  if (poolCover(house) >= 0n) {
    ledger.closeOutAccount += toAccount;
    return paid;
  }
  ledger.poolCash += leaving;
  return undefined;
}

function liveSeat(house: House, ownerKey: bigint): Seat | undefined {
  const seat = house.seats.get(ownerKey);
  return seat?.status === "active" && seat.lastEpoch === house.epoch ? seat : undefined;
}

function keepsBond(house: House, seat: Seat, flat: boolean): boolean {
  return flat && seat.bond > 0n && house.epoch <= seat.lastEpoch + house.terms.flatGraceEpochs;
}

function takeLateFee({ terms, ledger }: House, seat: Seat): void {
  const fee = terms.lateFee < seat.bond ? terms.lateFee : seat.bond;
  seat.bond -= fee;
  ledger.bonds -= fee;
  ledger.closeOutAccount += fee;
}

function takeSeatFee({ ledger }: House, fee: bigint): void {
  ledger.fees += fee;
  ledger.poolCash -= fee;
}

function assertEmptied({ action, newNote, seat }: ReadTransition): void {
  must(newNote === zeroNote(seat), "ACT-9", `${action.name} leaves a note that is not empty`);
}

/** The key of a ticket or credit released it into this one note (spec TKT-7). */
function assertReleased(
  house: House,
  key: Hex,
  { action, nullifier, newNote, signature }: ReadTransition,
  id: Hex,
  cash: bigint,
  position: bigint,
): void {
  const signer = recoverSigner(releaseHash(house.domain, { id, nullifier, newNote, cash, position }), signature);
  must(signer === key, "TKT-7", `the release of ${action.name} is signed by ${signer ?? "nobody"}, not by ${key}`);
}
