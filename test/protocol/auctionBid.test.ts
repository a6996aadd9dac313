import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { hashTypedData, toHex } from "viem";
import { auctionPriceAt, bidHash } from "../../src/protocol/auctionBid.ts";
import { domainOf } from "../../src/protocol/order.ts";
import { DoesNotFit } from "../../src/protocol/typedData.ts";

const DOMAIN = domainOf(31_337n, `0x${"12".repeat(20)}`);
const TYPES = {
  AuctionBid: [
    { name: "ticketId", type: "bytes32" },
    { name: "quantity", type: "int32" },
    { name: "limitPrice", type: "int88" },
  ],
} as const;

test("a bid is hashed as EIP-712 has it, of either sign, and what does not fit is refused [DEF-14, ORD-19]", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
      fc.bigInt({ min: -(1n << 87n), max: (1n << 87n) - 1n }),
      (bytes, quantity, limitPrice) => {
        const message = { ticketId: toHex(bytes), quantity, limitPrice };
        assert.equal(
          bidHash(DOMAIN, message),
          hashTypedData({ domain: DOMAIN, types: TYPES, primaryType: "AuctionBid", message }),
        );
      },
    ),
  );
  const ticketId = toHex(1, { size: 32 });
  for (const quantity of [2 ** 31, -(2 ** 31) - 1, 1.5, NaN]) {
    assert.throws(() => bidHash(DOMAIN, { ticketId, quantity, limitPrice: 0n }), DoesNotFit);
  }
  assert.throws(() => bidHash(DOMAIN, { ticketId, quantity: 1, limitPrice: 1n << 87n }), DoesNotFit);
});

test("the price starts at the settlement price and gives way in whole ticks, by the close-out fee in all [DEF-13]", () => {
  const market = { settlementPrice: -40n, closeOutFee: 100n, tick: 10n };
  const at = (position: bigint, elapsed: bigint): bigint => auctionPriceAt(market, position, elapsed, 60n);
  assert.deepEqual([at(1n, 0n), at(1n, 5n), at(1n, 6n), at(1n, 60n), at(1n, 99n)], [-40n, -40n, -50n, -140n, -140n]);
  assert.deepEqual([at(-1n, 0n), at(-1n, 30n), at(-1n, 60n)], [-40n, 10n, 60n]);
});
