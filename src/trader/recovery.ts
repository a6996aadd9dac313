import type { ChainState } from "../chain/chainState.ts";
import { type AccountKeys, accountKeys, type Hex } from "../protocol/keys.ts";
import type { Domain } from "../protocol/order.ts";
import { accountNumberOf } from "./accountNumber.ts";
import { type AccountChain, type AccountState, advance, type SeatStatus, seatStatus } from "./accountState.ts";

/** An account rebuilt from nothing. The next index is the live note's plus 1. */
export type RecoveredAccount = {
  readonly keys: AccountKeys;
  readonly state: AccountState;
  readonly status: SeatStatus;
};

/** The account of a phrase at a clearing house, and where among the phrase's accounts there it is. */
export type FoundAccount = RecoveredAccount & { readonly place: bigint; readonly accountNumber: bigint };

/** A followed chain with the name of its clearing house. */
export type HouseChain = AccountChain & { readonly chain: { readonly domain: Domain } };

/** What the chain says of a ticket's trades: receipts cannot be had again, but what they led to can. */
export type TicketFills = {
  readonly ticketId: Hex;
  readonly fills: number;
  /** Contracts. */
  readonly bought: bigint;
  readonly sold: bigint;
  /** Base units. */
  readonly fees: bigint;
};

/**
 * Rebuilds account number `account` of a phrase from the chain alone (spec ACC-12): from the zero note of its seat it
 * follows nullifier to transition to new note, works each note's contents out from the public changes, and finds its
 * index and blinding by trying. `chain` must be synced. Throws MalformedSeedPhrase, NoteNotRecognised.
 */
export function recoverAccount(phrase: string, account: bigint | number, chain: AccountChain): RecoveredAccount {
  const keys = accountKeys(phrase, account);
  const state = advance(keys, chain);
  return { keys, state, status: seatStatus(chain, state) };
}

/**
 * The account that a phrase has at a clearing house: the first whose seat is not closed (spec ACC-16). Its seat may not
 * be open yet. `chain` must be synced. Throws MalformedSeedPhrase, NoteNotRecognised, and OutOfRange once all 2^16
 * seats are closed.
 */
export function findAccount(phrase: string, chain: HouseChain): FoundAccount {
  for (let place = 0n; ; place++) {
    const accountNumber = accountNumberOf(chain.chain.domain, place);
    const found = recoverAccount(phrase, accountNumber, chain);
    if (found.status.status !== "closed") return { ...found, place, accountNumber };
  }
}

/** What tickets have traded, by the chain. */
export function fillsOf(chain: Pick<ChainState, "fills">, tickets: readonly Hex[]): readonly TicketFills[] {
  const totals = new Map(tickets.map((id) => [id, { ticketId: id, fills: 0, bought: 0n, sold: 0n, fees: 0n }]));
  const count = (ticketId: Hex, buys: boolean, quantity: number, fee: bigint): void => {
    const total = totals.get(ticketId);
    if (total === undefined) return;
    total.fills++;
    total[buys ? "bought" : "sold"] += BigInt(quantity);
    total.fees += fee;
  };
  for (const { takerTicket, makerTicket, takerBuys, quantity, takerFee, makerFee } of chain.fills) {
    count(takerTicket, takerBuys, quantity, takerFee);
    count(makerTicket, !takerBuys, quantity, makerFee);
  }
  return [...totals.values()];
}
