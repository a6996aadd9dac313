import type { Sender } from "../chain/clearingHouse.ts";
import type { Domain } from "../protocol/order.ts";
import { groupHash, groupOf, type Receipt, type SignedReceipt } from "../protocol/receipt.ts";
import { type Recovery, RECOVERY_HERE } from "./signature.ts";

/** Recovers signers and signs receipts. */
export type SignatureService = Recovery & {
  signGroup(receipts: readonly Receipt[]): Promise<readonly SignedReceipt[]>;
};

/** Signatures made and checked in this thread with the sender's own key: simple, and slow. */
export function ownSigning({ wallet: { account } }: Sender, domain: Domain): SignatureService {
  return {
    ...RECOVERY_HERE,
    signGroup: async (receipts) => {
      const { root, siblings } = groupOf(receipts);
      const signature = await account.sign({ hash: groupHash(domain, root) });
      return receipts.map((receipt, i) => ({ receipt, siblings: siblings[i] ?? [], signature }));
    },
  };
}
