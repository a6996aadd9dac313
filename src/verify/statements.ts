import { type Action, changeOf, isReduceOnly, relayFeeOf, showsSeat, type TicketOpening } from "../protocol/action.ts";
import { equityInBand, valuationFor } from "../protocol/epoch.ts";
import type { Hex } from "../protocol/keys.ts";
import { SLOTS } from "../protocol/note.ts";
import { publicSignals } from "../protocol/statement.ts";
import { MOST_TICKETS } from "../protocol/ticket.ts";
import { contextOfCall, type ReadTransition } from "./actions.ts";
import type { Call } from "./call.ts";
import { must } from "./errors.ts";
import { SLEEPERS } from "./notes.ts";
import type { House, Market } from "./state.ts";

const NOBODY: Hex = `0x${"0".repeat(40)}`;
const LEAST_POSITION = -(2 ** 31);

/**
 * What a transition has to prove, from what the replay knows and never from what the transition claims: the 25 public
 * signals. Throws BrokenRule where the house had to refuse the transition whatever its proof.
 */
export function signalsOf(call: Call, transition: ReadTransition, relayed: boolean): readonly bigint[] {
  const { house } = call;
  const { action, root, nullifier, newNote, seat } = transition;
  assertPhase(call, transition, relayed);
  assertFields(house, action);
  const fee = relayed ? relayFeeOf(action, house.terms.relayFee) : 0n;
  const given = "relayFee" in action ? action.relayFee : 0n;
  must(given === fee, "FEE-1", `the relay fee of ${action.name} is ${given}, but ${fee} is due`);
  const tree = sourceTree(house, action);
  must(house.notes.knows(tree, root), "TRE-6", `${action.name} names root ${root}, which tree ${tree} never had`);
  const change = changeOf(action);
  return publicSignals({
    root,
    nullifier,
    newNote,
    seat,
    valuation: valuationFor(action, {
      phase: house.phase,
      markets: house.today.markets,
      nextMarkets: house.epochOf(house.epoch + 1).markets,
      defaultMarkets: "defaultEpoch" in action ? house.epochOf(action.defaultEpoch).markets : [],
    }),
    ...change,
    context: contextOfCall(house, transition),
  });
}

function sourceTree({ epoch }: House, action: Action): bigint {
  if (action.name === "wake" || (action.name === "closeSeat" && action.asleep)) return SLEEPERS;
  return BigInt("defaultEpoch" in action ? action.defaultEpoch : epoch);
}

function assertPhase({ house, time, block }: Call, { action, seat }: ReadTransition, relayed: boolean): void {
  const { name } = action;
  const trading = house.phase === "trading";
  const partB = !trading && house.inPartB(time, block);
  const allowed = {
    fund: trading || !partB,
    closeTicket: trading || !partB,
    claimTicket: trading || !partB,
    withdraw: trading || !partB,
    renew: partB,
    sleep: trading || partB,
    closeSeat: trading || partB,
    openTicket: trading,
    wake: trading,
    rejoin: trading,
    exit: true,
  }[name];
  must(allowed, "ACT-1", `${name} came outside its phase`);
  const reentry = name === "wake" || name === "rejoin" || name === "exit";
  must(!(relayed && reentry), "ACT-4", `${name} came in a batch`);
  const sleeping = name === "closeSeat" && action.asleep;
  must(relayed || !trading || reentry || sleeping, "ACT-3", `${name} came directly in Trading`);
  must(showsSeat(name) === (seat !== 0n), "ACT-2", `${name} shows seat ${seat}`);
}

/** What the fields of an action may say. */
function assertFields(house: House, action: Action): void {
  if ("slot" in action) must(action.slot < SLOTS, "ACT-6", `slot ${action.slot} does not exist`);
  if ("to" in action) {
    must(action.to !== NOBODY && action.to !== house.address, "PAY-7", `${action.name} pays ${action.to}`);
  }
  if ("defaultEpoch" in action) {
    must(action.defaultEpoch < house.epoch, "DEF-6", `day ${action.defaultEpoch} is no day of a default`);
  }
  if (action.name === "withdraw") must(action.amount > 0n, "PAY-1", "a withdrawal pays nothing");
  if (action.name === "openTicket") assertOpenings(house.market(action.slot), action.tickets);
}

function assertOpenings(market: Market, tickets: readonly TicketOpening[]): void {
  must(tickets.length >= 1 && tickets.length <= MOST_TICKETS, "TKT-9", `${tickets.length} tickets are opened at once`);
  must(market.listed, "TKT-16", "a ticket is opened where no contract is listed");
  const reduceOnly = isReduceOnly(tickets);
  must(reduceOnly || !market.closingOnly, "TKT-16", "a plain ticket is opened in a market that only closes");
  const halfWidth = reduceOnly ? market.maintenanceMargin : market.initialMargin;
  const [first] = tickets;
  for (const { sessionKey, cash, position } of tickets) {
    must(position !== LEAST_POSITION && sessionKey !== NOBODY, "TKT-9", "a ticket has no key or no position in range");
    const equity = equityInBand(cash, BigInt(position), market.centre, halfWidth);
    must(equity >= 0n, "TKT-3", `a ticket is opened with an equity of ${equity}`);
    if (!reduceOnly) continue;
    must(position !== 0 && position > 0 === (first?.position ?? 0) > 0, "TKT-17", "carried positions differ in side");
    const excess = equityInBand(cash, BigInt(position), market.centre, market.initialMargin);
    must(excess <= 0n, "TKT-17", `a ticket that carries a position out is overfunded by ${excess}`);
  }
}
