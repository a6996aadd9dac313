import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { encodePacked, keccak256 } from "viem";
import { ExchangeLog, type LogEntry, nextHead, receiptsOf, ZERO_HASH } from "../../src/exchange/log.ts";
import { BadTick } from "../../src/market/errors.ts";
import type { Entry } from "../../src/market/types.ts";
import type { Hex } from "../../src/protocol/keys.ts";
import { DoesNotFit } from "../../src/protocol/typedData.ts";

const TAKER: Hex = `0x${"a1".repeat(32)}`;
const MAKER: Hex = `0x${"b2".repeat(32)}`;
const PLACE = { orderId: "o", side: "buy", priceTicks: 7 } as const;

type Fields = Readonly<Record<"seq" | "n" | "priority" | "quantity" | "left" | "makerLeft", number>>;
/** Kind, code, the entry made of some numbers, and the numbers that the log packs for it. */
type Sample = readonly [code: number, make: (fields: Fields) => Entry, numbers: (fields: Fields) => readonly number[]];

const SAMPLES: readonly Sample[] = [
  [
    0,
    ({ seq, n, priority, left }) => ({
      ...PLACE,
      kind: "accepted",
      seq,
      n,
      prioritySeq: priority,
      remaining: left,
      stopPriceTicks: undefined,
    }),
    ({ priority, left }) => [priority, left, left, 0],
  ],
  [
    1,
    ({ seq, n, priority, quantity, left, makerLeft }) => ({
      kind: "executed",
      seq,
      n,
      maker: "m",
      taker: "t",
      takerSide: "sell",
      priceTicks: 7,
      quantity,
      auction: false,
      makerRevision: 0,
      takerRevision: 0,
      makerPrioritySeq: priority,
      takerPrioritySeq: seq,
      makerRemaining: makerLeft,
      takerRemaining: left,
    }),
    ({ priority, quantity, left, makerLeft }) => [priority, quantity, left, makerLeft],
  ],
  [
    2,
    ({ seq, n, quantity, left }) => ({
      ...PLACE,
      kind: "cancelled",
      seq,
      n,
      remaining: quantity,
      left,
      reason: "self-trade",
    }),
    ({ quantity, left }) => [0, quantity, left, 0],
  ],
  [
    3,
    ({ seq, n, priority, quantity, left }) => ({
      ...PLACE,
      kind: "replaced",
      seq,
      n,
      revision: 1,
      oldPriceTicks: 6,
      quantity,
      prioritySeq: priority,
      remaining: left,
    }),
    ({ priority, quantity, left }) => [priority, quantity, left, 0],
  ],
  [4, ({ seq, n }) => ({ kind: "rejected", seq, n, orderId: "o", error: new BadTick(0n) }), () => [0, 0, 0, 0]],
  [
    5,
    ({ seq, n, quantity }) => ({ ...PLACE, kind: "expired", seq, n, remaining: quantity, reason: "immediate" }),
    ({ quantity }) => [0, quantity, 0, 0],
  ],
  [
    6,
    ({ seq, n, priority, left }) => ({ ...PLACE, kind: "triggered", seq, n, prioritySeq: priority, remaining: left }),
    ({ priority, left }) => [priority, left, left, 0],
  ],
  [
    7,
    ({ seq, n, priority, quantity, left }) => ({
      ...PLACE,
      kind: "reloaded",
      seq,
      n,
      prioritySeq: priority,
      remaining: left,
      displayed: quantity,
    }),
    ({ priority, quantity, left }) => [priority, quantity, left, 0],
  ],
  [8, ({ seq, n }) => ({ kind: "session", seq, n, session: "halted" }), () => [0, 2, 0, 0]],
  [
    9,
    ({ seq, n, quantity }) => ({ kind: "uncrossed", seq, n, priceTicks: 7, quantity }),
    ({ quantity }) => [0, quantity, 0, 0],
  ],
];

const whole = (bits: number) =>
  fc.oneof(
    fc.constantFrom(0, 2 ** bits - 1),
    fc.maxSafeNat().map((x) => x % 2 ** bits),
  );
const bytes32 = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes): Hex => `0x${Buffer.from(bytes).toString("hex")}`);
const anyFields: fc.Arbitrary<Fields> = fc.record({
  seq: whole(53),
  n: whole(32),
  priority: whole(53),
  quantity: whole(32),
  left: whole(32),
  makerLeft: whole(32),
});
const anyLine = fc.record({
  head: bytes32,
  slot: whole(8),
  orderHash: bytes32,
  makerHash: bytes32,
  price: fc.bigInt({ min: -(2n ** 87n), max: 2n ** 87n - 1n }),
  time: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
});

const FIELDS: Fields = { seq: 9, n: 1, priority: 4, quantity: 3, left: 2, makerLeft: 5 };

function line(code: number): LogEntry {
  const sample = SAMPLES[code];
  assert(sample !== undefined);
  const common = { slot: 0, cause: "trader", orderHash: TAKER, makerHash: MAKER, price: -70n, time: 1_000n } as const;
  return { ...common, entry: sample[1](FIELDS), head: `0x${"0d".repeat(32)}` };
}

describe("the log", () => {
  test("the head after any entry is the hash of its fields packed without padding [BAT-11]", () => {
    for (const [code, make, numbers] of SAMPLES) {
      fc.assert(
        fc.property(anyLine, anyFields, ({ head, ...rest }, fields) => {
          const entry = make(fields);
          const [priority = 0, ...others] = numbers(fields);
          const packed = encodePacked(
            ["bytes32", "uint64", "uint32", "uint8", "uint8", "bytes32", "bytes32", "int88", "uint64", "uint64"],
            [
              ...([head, BigInt(entry.seq), entry.n, code, rest.slot] as const),
              ...([rest.orderHash, rest.makerHash, rest.price, rest.time, BigInt(priority)] as const),
            ],
          );
          const tail = others.map((number) => number.toString(16).padStart(8, "0")).join("");
          assert.equal(nextHead(head, { ...rest, cause: "trader", entry }), keccak256(`${packed}${tail}`));
        }),
      );
    }
  });

  test("a value that does not fit its place in the log is refused [ORD-19]", () => {
    const accepted = line(0);
    for (const part of [{ slot: 256 }, { price: 2n ** 87n }, { time: -1n }, { orderHash: "0x" as Hex }]) {
      assert.throws(() => nextHead(ZERO_HASH, { ...accepted, ...part }), DoesNotFit);
    }
  });

  test("a log that goes on from where another stood gives the same heads and numbers [BAT-11]", () => {
    const whole = new ExchangeLog({ nextSeq: 5, head: ZERO_HASH });
    assert.equal(whole.takeSeq(), 5);
    whole.append(line(0));
    const told: LogEntry[] = [];
    const resumed = new ExchangeLog({ nextSeq: whole.nextSeq, head: whole.head }, (entry) => told.push(entry));
    assert.equal(resumed.takeSeq(), 6);
    assert.equal(whole.takeSeq(), 6);
    assert.equal(resumed.append(line(1)).head, whole.append(line(1)).head);
    assert.equal(told.length, 1);
    assert.equal(resumed.head, told[0]?.head);
  });
});

describe("receipts of the log", () => {
  test("a trade gives each order its own hash, place and rest [REC-1]", () => {
    const [taker, maker, ...more] = receiptsOf(line(1), 3);
    const common = { seq: 9, n: 1, quantity: 3, price: -70n, execTime: 1_000n, logHead: line(1).head, term: 3 };
    assert.deepEqual(taker, { ...common, kind: "executed-taker", orderHash: TAKER, prioritySeq: 9, remaining: 2 });
    assert.deepEqual(maker, { ...common, kind: "executed-maker", orderHash: MAKER, prioritySeq: 4, remaining: 5 });
    assert.deepEqual(more, []);
  });

  test("what befalls one order gives it one receipt [REC-1]", () => {
    const said = [0, 2, 3, 5, 6, 7].map((code) => {
      const [receipt, ...more] = receiptsOf(line(code), 3);
      assert.deepEqual(more, []);
      assert(receipt !== undefined);
      const { kind, orderHash, prioritySeq, quantity, remaining, ...common } = receipt;
      assert.equal(orderHash, TAKER);
      assert.deepEqual(common, { seq: 9, n: 1, price: -70n, execTime: 1_000n, logHead: line(code).head, term: 3 });
      return [kind, prioritySeq, quantity, remaining];
    });
    assert.deepEqual(said, [
      ["accepted", 4, 2, 2],
      ["cancelled", 0, 3, 2],
      ["replaced", 4, 3, 2],
      ["expired", 0, 3, 0],
      ["triggered", 4, 2, 2],
      ["reloaded", 4, 3, 2],
    ]);
  });

  test("a rejected command, a session and an auction's result give no receipt [REC-1]", () => {
    for (const code of [4, 8, 9]) assert.deepEqual(receiptsOf(line(code), 0), []);
  });
});
