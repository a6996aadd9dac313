import type { TraderAccount } from "../../src/trader/account.ts";
import { balanceOf } from "../../src/trader/reports/balance.ts";
import type { BalanceView } from "../../src/trader/views.ts";

/** What an account of a test owns now. */
export function balanceNow({ keys, chain, state, relayFee }: TraderAccount): BalanceView {
  return balanceOf({ keys, chain, state, relayFee, accountNumber: 0n }, { name: "test" });
}
