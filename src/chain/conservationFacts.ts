import type { ConservationFacts, TicketHolding } from "../protocol/conservation.ts";
import { equityInBand, feeAtDefault } from "../protocol/epoch.ts";
import type { Hex } from "../protocol/keys.ts";
import type { ChainState } from "./chainState.ts";
import { readTokenBalance } from "./clearingHouse.ts";

/**
 * What assertConserved needs, of the newest block; `state` must be synced to it. Buckets and sums are the contract's own
 * words; tickets, credits and left-over tickets come from events alone (spec CON-10). `unasked` is what somebody sent to
 * the contract without a call, which no event of it shows. Throws ChainUnavailable.
 */
export async function readConservationFacts(state: ChainState, unasked = 0n): Promise<ConservationFacts> {
  const { chain } = state;
  const [tokens, buckets, [poolPositions, ticketSums, closeOutPositions], bonds, owed] = await Promise.all([
    readTokenBalance(chain),
    chain.house.read.buckets(),
    chain.house.read.openPositions(),
    sumOf([...state.seatsOpened.keys()], async (ownerKey) => (await chain.house.read.seatOf([ownerKey])).bond),
    sumOf(creditors(state), (to) => chain.house.read.owedTo([to])),
  ]);
  const tickets = ticketsFromEvents(state);
  return {
    phase: state.phase,
    markets: state.markets(state.epoch),
    tokens,
    unasked,
    buckets,
    poolPositions,
    closeOutPositions,
    ticketSums,
    tickets: tickets.filter(({ epoch }) => epoch === state.epoch),
    parts: { bonds, owed, credits: unspentCredits(state), claims: claimsOf(state, tickets) },
    gap: publishedGap(state),
  };
}

type DatedTicket = TicketHolding & { readonly epoch: number };

/** Tickets that are neither closed nor claimed, after all settled fills. */
function ticketsFromEvents(state: ChainState): readonly DatedTicket[] {
  const balances = new Map<Hex, { cash: bigint; position: bigint }>();
  for (const { ticketId, cash, position } of state.tickets.values()) {
    balances.set(ticketId, { cash, position: BigInt(position) });
  }
  for (const fill of state.fills) {
    const bought = fill.takerBuys ? BigInt(fill.quantity) : -BigInt(fill.quantity);
    const sides = [
      { ticket: balances.get(fill.takerTicket), traded: bought, fee: fill.takerFee },
      { ticket: balances.get(fill.makerTicket), traded: -bought, fee: fill.makerFee },
    ];
    for (const { ticket, traded, fee } of sides) {
      if (ticket === undefined) continue;
      ticket.cash -= traded * fill.price + fee;
      ticket.position += traded;
    }
  }
  for (const event of state.events) {
    if (event.eventName !== "AbandonedTaken") continue;
    const ticket = balances.get(event.args.ticketId);
    if (ticket === undefined) continue;
    ticket.cash -= BigInt(event.args.quantity) * event.args.price;
    ticket.position += BigInt(event.args.quantity);
  }
  return [...state.tickets.values()]
    .filter(({ ticketId }) => !state.closedTickets.has(ticketId))
    .map((ticket) => ({ ...ticket, ...(balances.get(ticket.ticketId) ?? { cash: 0n, position: 0n }) }));
}

/** What left-over tickets are worth at their default prices, those that nobody has claimed yet (spec DEF-4). */
function claimsOf(state: ChainState, tickets: readonly DatedTicket[]): bigint {
  return tickets.reduce((sum, { epoch, slot, cash, position }) => {
    const market = state.markets(epoch)[slot];
    if (epoch >= state.epoch || market === undefined) return sum;
    return sum + equityInBand(cash, position, market.settlementPrice, feeAtDefault(market));
  }, 0n);
}

function unspentCredits(state: ChainState): bigint {
  return [...state.credits.values()]
    .filter(({ creditId }) => !state.spentCredits.has(creditId))
    .reduce((sum, { amount }) => sum + amount, 0n);
}

function creditors(state: ChainState): readonly Hex[] {
  return [...new Set(state.events.flatMap((event) => (event.eventName === "Owed" ? [event.args.to] : [])))];
}

/** What the opening of the present epoch left uncovered. */
function publishedGap(state: ChainState): bigint {
  return state.events.reduce((gap, event) => {
    if (event.eventName === "EpochOpened") return 0n;
    if (event.eventName !== "WaterfallStep") return gap;
    return event.args.need - event.args.toAccount - event.args.toPool;
  }, 0n);
}

async function sumOf<T>(items: readonly T[], amountOf: (item: T) => Promise<bigint>): Promise<bigint> {
  const amounts = await Promise.all(items.map(amountOf));
  return amounts.reduce((sum, amount) => sum + amount, 0n);
}
