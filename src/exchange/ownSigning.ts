import type { Sender } from "../chain/clearingHouse.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import type { Domain } from "../protocol/order.ts";
import { groupHash, groupOf, type Receipt, type SignedReceipt } from "../protocol/receipt.ts";
import { type Recovery, RECOVERY_HERE } from "./signature.ts";

/** Recovers signers and signs receipts. */
export type SignatureService = Recovery & {
  signGroup(receipts: readonly Receipt[]): Promise<readonly SignedReceipt[]>;
};

/** The sender's account cannot sign by itself: its key is somewhere else. */
export class NoSigningKey extends HedgerowError {
  constructor(address: Hex) {
    super("NoSigningKey", `the key of ${address} is not here: receipts need an account that signs locally`, {
      address,
    });
  }
}

/** Signatures made and checked in this thread with the sender's own key: simple, and slow. */
export function ownSigning({ wallet: { account }, address }: Sender, domain: Domain): SignatureService {
  return {
    ...RECOVERY_HERE,
    signGroup: async (receipts) => {
      if (account.type !== "local" || account.sign === undefined) throw new NoSigningKey(address);
      const { root, siblings } = groupOf(receipts);
      const signature = await account.sign({ hash: groupHash(domain, root) });
      return receipts.map((receipt, i) => ({ receipt, siblings: siblings[i] ?? [], signature }));
    },
  };
}
