import { z } from "zod";
import { address } from "./views.ts";

/** Where a clearing house is, and the exchange that serves it: one file per network in the home directory. */
export const networkSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/, "expected small letters, digits and hyphens"),
  chain: z.url(),
  chainId: z.int().min(1),
  clearingHouse: address,
  /** Block of the deployment. */
  fromBlock: z.int().min(0),
  exchange: z.url(),
  /** Signs the receipts; asked of the contract where it is left out. */
  operator: address.optional(),
  /** The collateral's decimals. */
  decimals: z.int().min(0).max(36),
  /** socks5h://host:port that everything goes through; none if left out. */
  proxy: z.url().optional(),
});

export type Network = z.infer<typeof networkSchema>;
