import type { TransactionReceipt } from "viem";
import type { LocalExchange } from "../../src/chain/localExchange.ts";
import { call, type Sender } from "../../src/chain/clearingHouse.ts";

/** Opens the next epoch once all seconds of the window are over: gives part B its blocks first (spec EPO-6). */
export async function openEpoch(
  { chain, mine, terms }: Pick<LocalExchange, "chain" | "mine" | "terms">,
  sender: Sender,
): Promise<TransactionReceipt> {
  await mine(terms.windowBlocks);
  await call(chain, sender, { functionName: "beginRenewals", args: [] });
  await mine(terms.windowBlocks);
  return call(chain, sender, { functionName: "openEpoch", args: [] });
}
