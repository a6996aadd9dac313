import type { ChainState, OpenedTicket, Transitioned } from "../chain/chainState.ts";
import { SLEEPERS } from "../chain/chainState.ts";
import { ticketIdOf } from "../protocol/action.ts";
import { defaultValuation, equityInBand, feeAtDefault, nextBandValuation } from "../protocol/epoch.ts";
import { HedgerowError } from "../protocol/errors.ts";
import { type AccountKeys, addressOf, creditPrivateKey, type Hex, sessionPrivateKey } from "../protocol/keys.ts";
import { type Account, blindingOf, EMPTY_ACCOUNT, noteCommitment, nullifierOf, zeroNote } from "../protocol/note.ts";
import { changed } from "../protocol/transition.ts";
import { settle } from "../protocol/valuation.ts";
import { INDEX_GAP } from "./journal.ts";

/*
 * What a trader owns, as a pure function of keys and chain. The live account and the recovery of a lost one run the
 * same code; the live one only starts where it stopped last time.
 */

/**
 * Keys that follow an account. Without the spending key (spec ACC-20) session addresses are those that the chain shows,
 * and no credits are found: their keys come from the spending key.
 */
export type ReadingKeys = Pick<AccountKeys, "ownerKey" | "viewingKey"> & { readonly spendingKey?: bigint | undefined };

/** The part of the chain that decides an account. */
export type AccountChain = Pick<
  ChainState,
  | "reorganisations"
  | "transitioned"
  | "credits"
  | "spentCredits"
  | "seatsOpened"
  | "tickets"
  | "closedTickets"
  | "fills"
  | "takeovers"
  | "epoch"
  | "markets"
  | "locate"
>;

/** The one unspent note of a seat, with what it hides. */
export type LiveNote = {
  readonly note: bigint;
  readonly nullifier: bigint;
  /** Index of its blinding and of the session keys of tickets opened with it; 0 for the zero note, blinding 0. */
  readonly index: bigint;
  readonly blinding: bigint;
  readonly account: Account;
  /** Tree that holds it: an epoch's number, or that of a sleepers' tree, SLEEPERS or above. */
  readonly tree: bigint;
};

/**
 * A ticket of this account that is not closed. Cash in base units, position in contracts, after all settled fills and
 * all that it took over from drop-outs.
 */
export type OwnTicket = {
  readonly ticketId: Hex;
  readonly sessionKey: Hex;
  /** The session key is number `keyIndex` of note `noteIndex`. */
  readonly noteIndex: bigint;
  readonly keyIndex: number;
  readonly epoch: number;
  readonly slot: number;
  readonly reduceOnly: boolean;
  readonly cash: bigint;
  readonly position: bigint;
};

/** A deposit that waits to be funded into this account. */
export type OwnCredit = { readonly creditId: bigint; readonly index: bigint; readonly amount: bigint };

/** Everything an account owns. Plain data: equal chains and keys give deeply equal states. */
export type AccountState = {
  readonly live: LiveNote | undefined;
  /** Whether the seat is closed for ever. */
  readonly closed: boolean;
  readonly tickets: readonly OwnTicket[];
  readonly credits: readonly OwnCredit[];
  /** Highest index of a credit key that the chain shows; 0 if there is none. */
  readonly creditIndex: bigint;
  /** Addresses of the credit keys 1 to creditIndex + INDEX_GAP.credit. */
  readonly creditKeys: readonly Hex[];
  /** Fills and takeovers of the chain that `tickets` already hold. */
  readonly fillsRead: number;
  readonly takeoversRead: number;
  /** How often the chain had taken blocks back by then. */
  readonly reorganisations: number;
};

/** Where a seat stands (spec SEA-5). */
export type SeatStatus =
  | { readonly status: "none" }
  | { readonly status: "active"; readonly epoch: number }
  | { readonly status: "inDefault"; readonly since: number }
  | { readonly status: "asleep" }
  | { readonly status: "closed" };

/** The chain shows a new note of this account that no index near the last one gives. */
export class NoteNotRecognised extends HedgerowError {
  constructor(newNote: bigint, index: bigint) {
    super(
      "NoteNotRecognised",
      `note ${newNote} follows the note of index ${index}, but none of the next ${INDEX_GAP.note} indices gives it: ` +
        `was this account used with another program?`,
      { newNote, index },
    );
  }
}

/** An account before anything happened on the chain. */
export const INITIAL_STATE: AccountState = {
  live: undefined,
  closed: false,
  tickets: [],
  credits: [],
  creditIndex: 0n,
  creditKeys: [],
  fillsRead: 0,
  takeoversRead: 0,
  reorganisations: 0,
};

/**
 * The account after everything that the chain shows, from `before`, which must come from the same keys and an earlier
 * part of the same chain. Where blocks were taken back since, all is read anew. Throws NoteNotRecognised.
 */
export function advance(keys: ReadingKeys, chain: AccountChain, before: AccountState = INITIAL_STATE): AccountState {
  const { reorganisations } = chain;
  const previous = reorganisations === before.reorganisations ? before : { ...INITIAL_STATE, reorganisations };
  const { live, closed, opened } = followNote(keys, chain, previous);
  const tickets = applyTrades(chain, [...previous.tickets, ...opened], previous);
  return {
    live,
    closed,
    tickets: tickets.filter(({ ticketId }) => !chain.closedTickets.has(ticketId)),
    ...ownCredits(keys, chain, previous),
    fillsRead: chain.fills.length,
    takeoversRead: chain.takeovers.length,
    reorganisations,
  };
}

/** Where the seat of an account stands now. */
export function seatStatus(chain: AccountChain, state: AccountState): SeatStatus {
  if (state.closed) return { status: "closed" };
  if (state.live === undefined) return { status: "none" };
  if (state.live.tree >= SLEEPERS) return { status: "asleep" };
  const epoch = Number(state.live.tree);
  return epoch < chain.epoch ? { status: "inDefault", since: epoch } : { status: "active", epoch };
}

/** Whether a ticket's epoch is over, so that it was closed at its default price. */
export function isLeftOver(chain: AccountChain, ticket: OwnTicket): boolean {
  return ticket.epoch < chain.epoch;
}

/** What a left-over ticket is worth: its cash after close-out at the default price of its epoch (spec TKT-13). */
export function claimOf(chain: AccountChain, ticket: OwnTicket): bigint {
  const market = chain.markets(ticket.epoch)[ticket.slot];
  if (market === undefined) return ticket.cash;
  return equityInBand(ticket.cash, ticket.position, market.settlementPrice, feeAtDefault(market));
}

// ------------------------------------------------------------------ the note

type Followed = { readonly live: LiveNote | undefined; readonly closed: boolean; readonly opened: OwnTicket[] };

/** Follows nullifiers from the last known note to the one that is not spent. */
function followNote(keys: ReadingKeys, chain: AccountChain, previous: AccountState): Followed {
  const opened: OwnTicket[] = [];
  let live = previous.live ?? firstNote(keys, chain, previous);
  let closed = previous.closed;
  while (live !== undefined) {
    const step = chain.transitioned.get(live.nullifier);
    if (step === undefined) break;
    closed = step.action === "exit" || step.action === "closeSeat";
    live = closed ? undefined : nextNote(keys, chain, live, step);
    if (live !== undefined && step.action === "openTicket") opened.push(...openedTickets(keys, chain, step, live));
  }
  return { live, closed, opened };
}

function firstNote(keys: ReadingKeys, chain: AccountChain, previous: AccountState): LiveNote | undefined {
  if (previous.closed || !chain.seatsOpened.has(keys.ownerKey)) return undefined;
  return liveNote(keys, chain, zeroNote(keys.ownerKey), 0n, 0n, EMPTY_ACCOUNT);
}

function nextNote(keys: ReadingKeys, chain: AccountChain, live: LiveNote, step: Transitioned): LiveNote {
  const account = settled(chain, live, step, changed(live.account, step));
  for (let index = live.index + 1n; index <= live.index + INDEX_GAP.note; index++) {
    const blinding = blindingOf(keys.viewingKey, index);
    if (noteCommitment(keys.ownerKey, blinding, account) === step.newNote) {
      return liveNote(keys, chain, step.newNote, index, blinding, account);
    }
  }
  throw new NoteNotRecognised(step.newNote, live.index);
}

function liveNote(
  keys: ReadingKeys,
  chain: AccountChain,
  note: bigint,
  index: bigint,
  blinding: bigint,
  account: Account,
): LiveNote {
  return {
    note,
    nullifier: nullifierOf(keys.viewingKey, note),
    index,
    blinding,
    account,
    tree: chain.locate(note).tree,
  };
}

/** What a transition settled into cash: expired slots at a renewal, everything at a rejoining (spec ACC-10). */
function settled(chain: AccountChain, live: LiveNote, step: Transitioned, after: Account): Account {
  if (step.action === "renew") {
    const next = chain.markets(step.epoch + 1);
    return settle(after, nextBandValuation(chain.markets(step.epoch), next, "maintenanceMargin", true));
  }
  // An account that claimed to be flat has nothing to settle: the default prices give it the same contents.
  if (step.action === "rejoin") return settle(after, defaultValuation(chain.markets(Number(live.tree)), EVERY_SLOT));
  return after;
}

const EVERY_SLOT = 0xffn;

// ------------------------------------------------------------------ tickets

/** The tickets that a transition opened, as they were then. */
function openedTickets(keys: ReadingKeys, chain: AccountChain, step: Transitioned, live: LiveNote): OwnTicket[] {
  const opened: OwnTicket[] = [];
  for (let keyIndex = 0; ; keyIndex++) {
    const ticket = chain.tickets.get(ticketIdOf(step, keyIndex));
    if (ticket === undefined) return opened;
    opened.push({
      ticketId: ticket.ticketId,
      sessionKey: sessionAddress(keys, ticket, live.index, keyIndex),
      noteIndex: live.index,
      keyIndex,
      epoch: ticket.epoch,
      slot: ticket.slot,
      reduceOnly: ticket.reduceOnly,
      cash: ticket.cash,
      position: BigInt(ticket.position),
    });
  }
}

function sessionAddress({ spendingKey }: ReadingKeys, ticket: OpenedTicket, noteIndex: bigint, keyIndex: number): Hex {
  if (spendingKey !== undefined) return addressOf(sessionPrivateKey(spendingKey, noteIndex, keyIndex));
  return `0x${ticket.sessionKey.slice(2).toLowerCase()}`;
}

/** The tickets after what the chain shows of trades since: cash less price times contracts traded and the fee. */
function applyTrades(
  chain: AccountChain,
  tickets: readonly OwnTicket[],
  { fillsRead, takeoversRead }: AccountState,
): OwnTicket[] {
  const own = new Map(tickets.map((ticket) => [ticket.ticketId, ticket]));
  const trade = (ticketId: Hex, traded: bigint, price: bigint, fee: bigint) => {
    const ticket = own.get(ticketId);
    if (ticket === undefined) return;
    own.set(ticketId, {
      ...ticket,
      cash: ticket.cash - traded * price - fee,
      position: ticket.position + traded,
    });
  };
  for (const fill of chain.fills.slice(fillsRead)) {
    const bought = fill.takerBuys ? BigInt(fill.quantity) : -BigInt(fill.quantity);
    trade(fill.takerTicket, bought, fill.price, fill.takerFee);
    trade(fill.makerTicket, -bought, fill.price, fill.makerFee);
  }
  for (const { ticketId, quantity, price } of chain.takeovers.slice(takeoversRead)) {
    trade(ticketId, BigInt(quantity), price, 0n);
  }
  return [...own.values()];
}

// ------------------------------------------------------------------ credits

const NO_CREDITS = { credits: [], creditIndex: 0n, creditKeys: [] } as const;

/** Credits whose key is one of the account's, trying INDEX_GAP.credit keys beyond the last one that the chain shows. */
function ownCredits({ spendingKey }: ReadingKeys, chain: AccountChain, previous: AccountState) {
  if (spendingKey === undefined) return NO_CREDITS;
  const byKey = Map.groupBy(chain.credits.values(), (credit) => credit.key.toLowerCase());
  const creditKeys = [...previous.creditKeys];
  const credits: OwnCredit[] = [];
  let creditIndex = 0n;
  for (let index = 1n; index <= creditIndex + INDEX_GAP.credit; index++) {
    const place = Number(index) - 1;
    const key = creditKeys[place] ?? addressOf(creditPrivateKey(spendingKey, index));
    creditKeys[place] = key;
    const own = byKey.get(key) ?? [];
    if (own.length > 0) creditIndex = index;
    for (const { creditId, amount } of own) {
      if (!chain.spentCredits.has(creditId)) credits.push({ creditId, index, amount });
    }
  }
  return { credits, creditIndex, creditKeys };
}
