import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { keccak_256 } from "@noble/hashes/sha3.js";
import fc from "fast-check";
import { hashTypedData, recoverAddress } from "viem";
import { keccak256, TooLongToHash } from "../../src/protocol/keccak.ts";
import { addressOf, type Hex } from "../../src/protocol/keys.ts";
import {
  cancelAfterHash,
  cancelAllHash,
  cancelHash,
  domainOf,
  type Instructions,
  instructionsHash,
  type Order,
  orderHash,
  orderMessage,
  releaseHash,
  SELF_TRADE_CODE,
  type SelfTradeMode,
  signCancelAfter,
  signCancelAll,
  signInstructions,
  signWatch,
  watchHash,
} from "../../src/protocol/order.ts";
import { DoesNotFit } from "../../src/protocol/typedData.ts";

const DOMAIN = domainOf(31_337n, "0x5FbDB2315678afecb367f032d93F642f64180aa3");
const KEY: Hex = `0x${"2f".repeat(32)}`;
const ID: Hex = `0x${"ab".repeat(32)}`;

/** How EIP-712 writes a message, as the fields that viem wants. */
function fieldsOf(type: string): Record<string, { name: string; type: string }[]> {
  const [name = "", fields = ""] = type.slice(0, -1).split("(");
  const list = fields.split(",").map((field) => {
    const [kind = "", label = ""] = field.split(" ");
    return { name: label, type: kind };
  });
  return { [name]: list };
}

/** The hash that viem gives, which packs each field by its own rules. */
function byViem(type: string, message: Record<string, unknown>, domain = DOMAIN): Hex {
  const primaryType = type.slice(0, type.indexOf("("));
  return hashTypedData({ domain, types: fieldsOf(type), primaryType, message });
}

const ORDER =
  "Order(bytes32 ticketId,uint64 clientId,uint8 revision,uint8 side,int88 limitPrice,uint32 quantity,uint8 timeInForce,bool postOnly,uint64 expiry)";
const INSTRUCTIONS =
  "OrderInstructions(bytes32 orderHash,bool hasStop,int88 stopPrice,uint32 displayQuantity,uint8 selfTrade,bool reduceOnly)";
const RELEASE = "Release(bytes32 id,uint256 nullifier,uint256 newNote,int256 cash,int256 position)";

/** Numbers of a type, its edges and small ones often among them. */
function unsigned(bits: bigint): fc.Arbitrary<bigint> {
  const max = 2n ** bits - 1n;
  return fc.oneof(fc.bigInt({ min: 0n, max }), fc.constantFrom(0n, 1n, max - 1n, max), fc.bigInt({ min: 0n, max: 9n }));
}
function signed(bits: bigint): fc.Arbitrary<bigint> {
  const bound = 2n ** (bits - 1n);
  const edges = [-bound, 1n - bound, -(2n ** 64n), -(2n ** 63n), -1n, 0n, 1n, 2n ** 63n, 2n ** 64n, bound - 1n];
  return fc.oneof(fc.bigInt({ min: -bound, max: bound - 1n }), fc.constantFrom(...edges));
}
const number = (bits: number) => unsigned(BigInt(bits)).map(Number);
const bytes32 = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes): Hex => `0x${Buffer.from(bytes).toString("hex")}`);
const mode = fc.constantFrom<SelfTradeMode>("cancel-incoming", "cancel-resting", "cancel-both", "decrement");

const anyOrder: fc.Arbitrary<Order> = fc.record({
  ticketId: bytes32,
  clientId: unsigned(64n),
  revision: number(8),
  side: fc.constantFrom("buy", "sell"),
  limitPrice: signed(88n),
  quantity: number(32),
  timeInForce: fc.constantFrom("GTC", "IOC", "FOK"),
  postOnly: fc.boolean(),
  expiry: unsigned(64n),
});
const anyInstructions: fc.Arbitrary<Instructions> = fc.record({
  orderHash: bytes32,
  stopPrice: fc.option(signed(88n), { nil: undefined }),
  displayQuantity: number(32),
  selfTrade: mode,
  reduceOnly: fc.boolean(),
});

describe("keccak-256", () => {
  test("the hash agrees with an independent one at every length around its blocks [ORD-1]", () => {
    for (let length = 0; length <= 700; length++) {
      const bytes = Uint8Array.from({ length }, (_, i) => (i * 31 + length) & 0xff);
      assert.deepEqual(keccak256(bytes), keccak_256(bytes), `${length} bytes`);
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), (bytes) => assert.deepEqual(keccak256(bytes), keccak_256(bytes))),
    );
    const most = new Uint8Array(65_536).fill(0xa5);
    assert.deepEqual(keccak256(most), keccak_256(most));
    assert.throws(() => keccak256(new Uint8Array(most.length + 1)), TooLongToHash);
  });
});

describe("hashes of messages", () => {
  test("any order has the hash that EIP-712 says, extremes and negative prices included [ORD-1]", () => {
    fc.assert(
      fc.property(anyOrder, (order) => assert.equal(orderHash(DOMAIN, order), byViem(ORDER, orderMessage(order)))),
      { numRuns: 1000 },
    );
  });

  test("any instructions, cancel, heartbeat and watch have the hash that EIP-712 says [ORD-14, ORD-15, ORD-16]", () => {
    fc.assert(
      fc.property(anyInstructions, ({ selfTrade, stopPrice, ...rest }) => {
        const message = {
          ...rest,
          hasStop: stopPrice !== undefined,
          stopPrice: stopPrice ?? 0n,
          selfTrade: SELF_TRADE_CODE[selfTrade],
        };
        assert.equal(instructionsHash(DOMAIN, { ...rest, selfTrade, stopPrice }), byViem(INSTRUCTIONS, message));
      }),
    );
    fc.assert(
      fc.property(bytes32, unsigned(64n), number(32), (ticketId, number64, seconds) => {
        const cancel = { ticketId, clientId: number64 };
        const all = { ticketId, nonce: number64 };
        const after = { ...all, seconds };
        const watch = { ticketId, validUntil: number64 };
        assert.equal(cancelHash(DOMAIN, cancel), byViem("Cancel(bytes32 ticketId,uint64 clientId)", cancel));
        assert.equal(cancelAllHash(DOMAIN, all), byViem("CancelAll(bytes32 ticketId,uint64 nonce)", all));
        const type = "CancelAfter(bytes32 ticketId,uint64 nonce,uint32 seconds)";
        assert.equal(cancelAfterHash(DOMAIN, after), byViem(type, after));
        assert.equal(watchHash(DOMAIN, watch), byViem("Watch(bytes32 ticketId,uint64 validUntil)", watch));
      }),
    );
  });

  test("any release has the hash that EIP-712 says [TKT-7]", () => {
    const release = fc.record({
      id: bytes32,
      nullifier: unsigned(256n),
      newNote: unsigned(256n),
      cash: signed(256n),
      position: signed(256n),
    });
    fc.assert(fc.property(release, (message) => assert.equal(releaseHash(DOMAIN, message), byViem(RELEASE, message))));
  });

  test("another chain, contract or domain object has its own separator [ORD-2]", () => {
    const order = fc.sample(anyOrder, 1)[0];
    assert(order !== undefined);
    const others = [
      domainOf(1n, DOMAIN.verifyingContract),
      domainOf(31_337n, "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512"),
      domainOf(31_337n, DOMAIN.verifyingContract),
    ];
    const hashes = others.map((domain) => orderHash(domain, order));
    others.forEach((domain, i) => assert.equal(hashes[i], byViem(ORDER, orderMessage(order), domain)));
    assert.equal(new Set(hashes).size, 3);
    assert.equal(hashes[2], orderHash(DOMAIN, order));
  });

  test("a value that does not fit its type is refused, never cut [ORD-19]", () => {
    const order: Order = {
      ticketId: ID,
      clientId: 1n,
      revision: 0,
      side: "buy",
      limitPrice: 5n,
      quantity: 1,
      timeInForce: "GTC",
      postOnly: false,
      expiry: 0n,
    };
    const bad: readonly Partial<Order>[] = [
      { ticketId: "0x" },
      { ticketId: `0x${"ab".repeat(31)}` },
      { ticketId: `0x${"ab".repeat(33)}` },
      { ticketId: `0x${"ab".repeat(31)}zz` },
      { ticketId: `0x${"ab".repeat(31)}a ` },
      { clientId: -1n },
      { clientId: 2n ** 64n },
      { revision: 256 },
      { revision: -1 },
      { revision: 0.5 },
      { limitPrice: 2n ** 87n },
      { limitPrice: -(2n ** 87n) - 1n },
      { quantity: 2 ** 32 },
      { quantity: NaN },
      { quantity: Infinity },
      { expiry: 2n ** 64n },
      { expiry: -1n },
    ];
    for (const part of bad) assert.throws(() => orderHash(DOMAIN, { ...order, ...part }), DoesNotFit);
    const instructions = { orderHash: ID, stopPrice: undefined, displayQuantity: 0, reduceOnly: false } as const;
    const modes = { selfTrade: "decrement" } as const;
    for (const part of [{ stopPrice: 2n ** 87n }, { displayQuantity: 2 ** 32 }, { displayQuantity: -1 }]) {
      assert.throws(() => instructionsHash(DOMAIN, { ...instructions, ...modes, ...part }), DoesNotFit);
    }
    assert.throws(() => cancelAllHash(DOMAIN, { ticketId: ID, nonce: 2n ** 64n }), DoesNotFit);
    assert.throws(() => cancelAfterHash(DOMAIN, { ticketId: ID, nonce: 0n, seconds: 2 ** 32 }), DoesNotFit);
    assert.throws(() => watchHash(DOMAIN, { ticketId: ID, validUntil: -1n }), DoesNotFit);
    const release = { id: ID, nullifier: 0n, newNote: 0n, cash: 0n, position: 0n };
    for (const part of [
      { nullifier: 2n ** 256n },
      { newNote: -1n },
      { cash: 2n ** 255n },
      { position: -(2n ** 255n) - 1n },
    ]) {
      assert.throws(() => releaseHash(DOMAIN, { ...release, ...part }), DoesNotFit);
    }
    // What failed half-way leaves nothing behind for the next message.
    assert.equal(orderHash(DOMAIN, order), byViem(ORDER, orderMessage(order)));
  });

  test("an order without a stop is another message than one with a stop at zero [ORD-14]", () => {
    const rest = { orderHash: ID, displayQuantity: 0, selfTrade: "cancel-both", reduceOnly: true } as const;
    const none = instructionsHash(DOMAIN, { ...rest, stopPrice: undefined });
    assert.notEqual(none, instructionsHash(DOMAIN, { ...rest, stopPrice: 0n }));
  });
});

describe("signatures of messages", () => {
  test("the session key signs instructions, cancels of everything, heartbeats and watches [ORD-14, ORD-15, ORD-16]", async () => {
    const instructions: Instructions = {
      orderHash: ID,
      stopPrice: -7n,
      displayQuantity: 3,
      selfTrade: "decrement",
      reduceOnly: true,
    };
    const all = { ticketId: ID, nonce: 4n };
    const after = { ...all, seconds: 60 };
    const watch = { ticketId: ID, validUntil: 9n };
    const signed: readonly (readonly [Hex, Hex])[] = [
      [instructionsHash(DOMAIN, instructions), await signInstructions(DOMAIN, instructions, KEY)],
      [cancelAllHash(DOMAIN, all), await signCancelAll(DOMAIN, all, KEY)],
      [cancelAfterHash(DOMAIN, after), await signCancelAfter(DOMAIN, after, KEY)],
      [watchHash(DOMAIN, watch), await signWatch(DOMAIN, watch, KEY)],
    ];
    for (const [hash, signature] of signed) {
      assert.equal((await recoverAddress({ hash, signature })).toLowerCase(), addressOf(KEY));
    }
  });
});
