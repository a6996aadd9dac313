import type { ChainState } from "../../chain/chainState.ts";
import type { Network } from "../home.ts";
import type { AccountState, ReadingKeys } from "../accountState.ts";

/**
 * An account to report on. `state` is what the keys and the chain give (`advance`), of the same moment as `chain`;
 * reports are pure functions of this, so a recovered wallet and the live one print the same.
 */
export type AccountReader = {
  readonly keys: ReadingKeys;
  readonly chain: ChainState;
  readonly state: AccountState;
  readonly accountNumber: bigint;
  /** Flat fee of a relayed transition in base units: a term of the house, the same for ever. */
  readonly relayFee: bigint;
};

/** What a report says of the network that an account is at. */
export type NetworkName = Pick<Network, "name">;

/** The relay fee for a reader, asked of the contract. Throws what the node answers. */
export async function readRelayFee({ chain }: ChainState): Promise<bigint> {
  return (await chain.house.read.clearingTerms()).relayFee;
}
