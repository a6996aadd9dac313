import { privateKeyToAccount } from "viem/accounts";
import type { EpochMarket } from "./epoch.ts";
import type { Hex } from "./keys.ts";
import {
  beginStruct,
  DoesNotFit,
  type Domain,
  putBytes32,
  putInt256,
  putInt88,
  structType,
  typedDataHash,
} from "./typedData.ts";

/**
 * A ticket's offer to take over contracts that drop-outs left: it buys for `quantity` above zero, up to `limitPrice`, and
 * sells for one below zero, down to it. An EIP-712 message of the ticket's session key (spec DEF-14).
 */
export type AuctionBid = {
  readonly ticketId: Hex;
  /** Contracts, 32 bits with sign. */
  readonly quantity: number;
  /** Base units per contract. */
  readonly limitPrice: bigint;
};

export type SignedBid = { readonly bid: AuctionBid; readonly signature: Hex };

const BID = structType("AuctionBid(bytes32 ticketId,int32 quantity,int88 limitPrice)");
const INT32_BOUND = 2 ** 31;

/** The hash that the session key signs to bid. Throws DoesNotFit. */
export function bidHash(domain: Domain, { ticketId, quantity, limitPrice }: AuctionBid): Hex {
  if (!Number.isSafeInteger(quantity) || quantity < -INT32_BOUND || quantity >= INT32_BOUND) {
    throw new DoesNotFit("quantity", quantity, "int32");
  }
  beginStruct(BID);
  putBytes32(1, "ticketId", ticketId);
  putInt256(2, "quantity", BigInt(quantity));
  putInt88(3, "limitPrice", limitPrice);
  return typedDataHash(domain, BID);
}

/** Signs a bid with its ticket's session key. */
export async function signBid(domain: Domain, bid: AuctionBid, sessionPrivateKey: Hex): Promise<Hex> {
  return privateKeyToAccount(sessionPrivateKey).sign({ hash: bidHash(domain, bid) });
}

/**
 * The price of a position that drop-outs left, `elapsed` of `windowA` seconds after the close: the settlement price, and
 * from there it gives way evenly by as much as the drop-outs paid for leaving, in whole ticks (spec DEF-13). A long
 * position is sold ever lower, a short one bought back ever higher.
 */
export function auctionPriceAt(
  market: Pick<EpochMarket, "settlementPrice" | "closeOutFee" | "tick">,
  position: bigint,
  elapsed: bigint,
  windowA: bigint,
): bigint {
  const passed = elapsed < 0n ? 0n : elapsed > windowA ? windowA : elapsed;
  const concession = (market.closeOutFee * passed) / windowA;
  const whole = concession - (concession % market.tick);
  return position > 0n ? market.settlementPrice - whole : market.settlementPrice + whole;
}
