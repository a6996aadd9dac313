import { ChainState } from "../../chain/chainState.ts";
import type { Chain } from "../../chain/clearingHouse.ts";
import { refusalOf } from "../../chain/clearingHouse.ts";
import { HedgerowError } from "../../protocol/errors.ts";
import { advance } from "../accountState.ts";
import type { ViewingKey } from "../viewingKey.ts";
import { type AccountReader, readRelayFee } from "./reader.ts";

/** A viewing key shows an account of another clearing house than the one that is looked at. */
export class ViewingKeyElsewhere extends HedgerowError {
  constructor({ chainId, clearingHouse }: ViewingKey, chain: Chain) {
    super(
      "ViewingKeyElsewhere",
      `the viewing key is for ${clearingHouse} on chain ${chainId}, and the network is ${chain.address} on chain ` +
        `${chain.chainId}: name its network with --network`,
      { chainId, clearingHouse },
    );
  }
}

/**
 * An account as its viewing key shows it, with all block times, read from `fromBlock` on. Throws ViewingKeyElsewhere,
 * ChainUnavailable, NoteNotRecognised.
 */
export async function openReader(chain: Chain, key: ViewingKey, fromBlock: bigint): Promise<AccountReader> {
  const isHere =
    BigInt(key.chainId) === chain.chainId && key.clearingHouse.toLowerCase() === chain.address.toLowerCase();
  if (!isHere) throw new ViewingKeyElsewhere(key, chain);
  const followed = await ChainState.follow(chain, fromBlock);
  await followed.readBlockTimes();
  const relayFee = await readRelayFee(followed).catch((error: unknown) => {
    throw refusalOf(error);
  });
  const keys = { ownerKey: key.ownerKey, viewingKey: key.viewingKey };
  return { keys, chain: followed, state: advance(keys, followed), accountNumber: key.accountNumber, relayFee };
}
