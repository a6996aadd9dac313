import { accountKeys, type AccountKeys } from "../protocol/keys.ts";
import { type AccountChain, type AccountState, advance, type SeatStatus, seatStatus } from "./accountState.ts";

/** An account rebuilt from nothing. The next index is the live note's plus 1. */
export type RecoveredAccount = {
  readonly keys: AccountKeys;
  readonly state: AccountState;
  readonly status: SeatStatus;
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
