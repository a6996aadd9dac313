import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { concat, hashStruct, hashTypedData, keccak256 } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { addressOf, type Hex } from "../../src/protocol/keys.ts";
import { domainOf } from "../../src/protocol/order.ts";
import {
  assertReceipt,
  BadGroupSize,
  contradict,
  groupHash,
  groupOf,
  InvalidReceipt,
  MOST_SIBLINGS,
  type Receipt,
  receiptHash,
  type ReceiptKind,
  type SignedReceipt,
  verifyReceipt,
} from "../../src/protocol/receipt.ts";
import { isWellFormed, recoverSigner } from "../../src/protocol/signature.ts";
import { DoesNotFit } from "../../src/protocol/typedData.ts";

const DOMAIN = domainOf(31_337n, "0x5FbDB2315678afecb367f032d93F642f64180aa3");
const KEY: Hex = `0x${"2f".repeat(32)}`;
const OPERATOR = addressOf(KEY);
const CURVE_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

const CODES: Readonly<Record<ReceiptKind, number>> = {
  accepted: 0,
  "executed-taker": 1,
  cancelled: 2,
  replaced: 3,
  expired: 5,
  triggered: 6,
  reloaded: 7,
  "executed-maker": 8,
};
const KINDS: readonly ReceiptKind[] = [
  "accepted",
  "executed-taker",
  "cancelled",
  "replaced",
  "expired",
  "triggered",
  "reloaded",
  "executed-maker",
];
const TYPES = {
  Receipt: (
    [
      ["seq", "uint64"],
      ["n", "uint32"],
      ["kind", "uint8"],
      ["orderHash", "bytes32"],
      ["prioritySeq", "uint64"],
      ["quantity", "uint32"],
      ["remaining", "uint32"],
      ["price", "int88"],
      ["execTime", "uint64"],
      ["logHead", "bytes32"],
      ["term", "uint32"],
    ] as const
  ).map(([name, type]) => ({ name, type })),
};

const whole = (bits: number) =>
  fc.oneof(fc.maxSafeNat(), fc.constantFrom(0, 1, 2 ** bits - 1)).map((x) => x % 2 ** bits);
const bytes32 = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes): Hex => `0x${Buffer.from(bytes).toString("hex")}`);
const anyReceipt: fc.Arbitrary<Receipt> = fc.record({
  seq: whole(53),
  n: whole(32),
  kind: fc.constantFrom(...KINDS),
  orderHash: bytes32,
  prioritySeq: whole(53),
  quantity: whole(32),
  remaining: whole(32),
  price: fc.oneof(
    fc.bigInt({ min: -(2n ** 87n), max: 2n ** 87n - 1n }),
    fc.constantFrom(-(2n ** 87n), -1n, 0n, 2n ** 87n - 1n),
  ),
  execTime: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  logHead: bytes32,
  term: whole(32),
});

function receipts(count: number): Receipt[] {
  return fc.sample(anyReceipt, { numRuns: count, seed: 7 });
}

async function signGroup(group: readonly Receipt[], key = KEY, domain = DOMAIN): Promise<SignedReceipt[]> {
  const { root, siblings } = groupOf(group);
  const signature = await privateKeyToAccount(key).sign({ hash: groupHash(domain, root) });
  return group.map((receipt, i) => ({ receipt, siblings: siblings[i] ?? [], signature }));
}

/** OpenZeppelin's MerkleProof.processProof, in viem's words. */
function processProof(siblings: readonly Hex[], leaf: Hex): Hex {
  return siblings.reduce((node, sibling) => {
    const sorted = BigInt(node) < BigInt(sibling) ? [node, sibling] : [sibling, node];
    return keccak256(concat(sorted));
  }, leaf);
}

describe("receipts", () => {
  test("any receipt has the leaf and any root the hash that EIP-712 says [REC-2]", () => {
    fc.assert(
      fc.property(anyReceipt, (receipt) => {
        const { seq, prioritySeq } = receipt;
        const data = { ...receipt, kind: CODES[receipt.kind], seq: BigInt(seq), prioritySeq: BigInt(prioritySeq) };
        assert.equal(receiptHash(receipt), hashStruct({ types: TYPES, primaryType: "Receipt", data }));
      }),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(bytes32, (root) => {
        const types = { ReceiptGroup: [{ name: "root", type: "bytes32" }] };
        const message = { root };
        assert.equal(
          groupHash(DOMAIN, root),
          hashTypedData({ domain: DOMAIN, types, primaryType: "ReceiptGroup", message }),
        );
      }),
    );
  });

  test("each receipt of a group of any size leads to its root, by OpenZeppelin's rule too [REC-2]", () => {
    for (let size = 1; size <= 40; size++) {
      const group = receipts(size);
      const { root, siblings } = groupOf(group);
      assert.equal(siblings.length, size);
      for (const [i, receipt] of group.entries())
        assert.equal(processProof(siblings[i] ?? [], receiptHash(receipt)), root);
      assert(siblings.every((path) => path.length <= Math.ceil(Math.log2(size))));
    }
    assert.throws(() => groupOf([]), BadGroupSize);
  });

  test("anybody verifies every receipt of a signed group, in any case of its letters [REC-3]", async () => {
    for (const size of [1, 2, 3, 7, 16]) {
      for (const signed of await signGroup(receipts(size))) {
        assert(verifyReceipt(DOMAIN, OPERATOR, signed));
        const upper = (hex: Hex): Hex => `0x${hex.slice(2).toUpperCase()}`;
        const loud = { ...signed, siblings: signed.siblings.map(upper), signature: upper(signed.signature) };
        assert(verifyReceipt({ ...DOMAIN }, upper(OPERATOR), loud));
      }
    }
  });

  test("a receipt with any field changed is refused [REC-3]", async () => {
    const group = receipts(5);
    for (const signed of await signGroup(group)) {
      const { receipt } = signed;
      const flip = (hex: Hex): Hex => `0x${(BigInt(hex) ^ 1n).toString(16).padStart(64, "0")}`;
      const changes: readonly Partial<Receipt>[] = [
        { seq: receipt.seq === 0 ? 1 : receipt.seq - 1 },
        { n: receipt.n === 0 ? 1 : receipt.n - 1 },
        ...KINDS.filter((kind) => kind !== receipt.kind).map((kind) => ({ kind })),
        { orderHash: flip(receipt.orderHash) },
        { prioritySeq: receipt.prioritySeq === 0 ? 1 : receipt.prioritySeq - 1 },
        { quantity: receipt.quantity === 0 ? 1 : receipt.quantity - 1 },
        { remaining: receipt.remaining === 0 ? 1 : receipt.remaining - 1 },
        { price: receipt.price === 0n ? 1n : -receipt.price },
        { execTime: receipt.execTime === 0n ? 1n : receipt.execTime - 1n },
        { logHead: flip(receipt.logHead) },
        { term: receipt.term === 0 ? 1 : receipt.term - 1 },
      ];
      for (const change of changes) {
        assert.equal(verifyReceipt(DOMAIN, OPERATOR, { ...signed, receipt: { ...receipt, ...change } }), false);
      }
      assert.throws(
        () => assertReceipt(DOMAIN, OPERATOR, { ...signed, receipt: { ...receipt, seq: receipt.seq === 0 ? 1 : 0 } }),
        InvalidReceipt,
      );
      assert.throws(
        () => assertReceipt(DOMAIN, OPERATOR, { ...signed, receipt: { ...receipt, term: 2 ** 32 } }),
        DoesNotFit,
      );
      assert.equal(verifyReceipt(DOMAIN, OPERATOR, { ...signed, receipt: { ...receipt, term: 2 ** 32 } }), false);
    }
  });

  test("another operator, chain or contract did not sign it [REC-3]", async () => {
    for (const signed of await signGroup(receipts(3))) {
      assert.equal(verifyReceipt(DOMAIN, addressOf(`0x${"11".repeat(32)}`), signed), false);
      assert.equal(verifyReceipt(domainOf(1n, DOMAIN.verifyingContract), OPERATOR, signed), false);
      const elsewhere = domainOf(31_337n, "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512");
      assert.equal(verifyReceipt(elsewhere, OPERATOR, signed), false);
    }
  });

  test("swapped, missing, doubled, foreign or too many siblings are refused [REC-3]", async () => {
    const signed = await signGroup(receipts(8));
    const [first, second] = signed;
    assert(first !== undefined && second !== undefined);
    const [a, b, c] = first.siblings;
    assert(a !== undefined && b !== undefined && c !== undefined);
    const wrong: readonly (readonly Hex[])[] = [
      [b, a, c],
      [a, c, b],
      [a, b],
      [b, c],
      [],
      [a, b, c, c],
      second.siblings,
      [a, b, "0x"],
      [a, b, `0x${"zz".repeat(32)}`],
    ];
    for (const siblings of wrong) assert.equal(verifyReceipt(DOMAIN, OPERATOR, { ...first, siblings }), false);
    const many = Array<Hex>(MOST_SIBLINGS + 1).fill(a);
    assert.throws(() => assertReceipt(DOMAIN, OPERATOR, { ...first, siblings: many }), /33 siblings/);
    // The longest way that is looked at, signed: it holds.
    const longest = many.slice(1);
    const root = processProof(longest, receiptHash(first.receipt));
    const signature = await privateKeyToAccount(KEY).sign({ hash: groupHash(DOMAIN, root) });
    assert(verifyReceipt(DOMAIN, OPERATOR, { receipt: first.receipt, siblings: longest, signature }));
  });

  test("a signature in another form, or of no key, is refused [REC-3]", async () => {
    const [signed] = await signGroup(receipts(2));
    assert(signed !== undefined);
    const { signature } = signed;
    const [r, s, v] = [signature.slice(2, 66), signature.slice(66, 130), signature.slice(130)];
    const highS = (CURVE_ORDER - BigInt(`0x${s}`)).toString(16).padStart(64, "0");
    const zero = "00".repeat(32);
    const forms: readonly Hex[] = [
      "0x",
      `0x${r}${s}`,
      `0x${r}${s}${v}00`,
      `0x${r}${s}00`,
      `0x${r}${s}01`,
      `0x${r}${highS}${v === "1b" ? "1c" : "1b"}`,
      `0x${r}${s}${v === "1b" ? "1c" : "1b"}`,
      `0x${zero}${s}${v}`,
      `0x${r}${zero}${v}`,
      `0x${"ff".repeat(32)}${s}${v}`,
    ];
    for (const form of forms) assert.equal(verifyReceipt(DOMAIN, OPERATOR, { ...signed, signature: form }), false);
    assert.equal(isWellFormed(signature), true);
    assert.equal(recoverSigner(`0x${"00".repeat(32)}`, `0x${zero}${s}${v}`), undefined);
  });
});

describe("contradictions", () => {
  const receipt = receipts(1)[0];
  assert(receipt !== undefined);
  const other: Hex = `0x${"cd".repeat(32)}`;
  const taker: Receipt = {
    ...receipt,
    kind: "executed-taker",
    seq: 5,
    n: 1,
    quantity: 3,
    remaining: 2,
    prioritySeq: 5,
  };
  const maker: Receipt = { ...taker, kind: "executed-maker", orderHash: other, remaining: 0, prioritySeq: 2 };

  test("both sides of one trade, another entry and another term contradict nothing [REC-5]", () => {
    assert(!contradict(taker, taker));
    assert(!contradict(taker, maker));
    assert(!contradict(maker, taker));
    assert(!contradict(taker, { ...taker, term: taker.term === 0 ? 1 : 0 }));
    assert(!contradict(taker, { ...maker, n: 2, logHead: other, price: 9n }));
    assert(!contradict(taker, { ...maker, seq: 6, logHead: other, price: 9n }));
  });

  test("two things said of one entry contradict each other [REC-5]", () => {
    const changes: readonly Partial<Receipt>[] = [
      { kind: "cancelled" },
      { kind: "executed-maker" },
      { orderHash: other },
      { prioritySeq: 4 },
      { quantity: 2 },
      { remaining: 1 },
      { price: taker.price + 1n },
      { execTime: taker.execTime ^ 1n },
      { logHead: other },
    ];
    for (const change of changes) {
      assert(contradict(taker, { ...taker, ...change }), JSON.stringify(Object.keys(change)));
      assert(contradict({ ...taker, ...change }, taker));
    }
    assert(contradict(taker, { ...maker, quantity: 4 }));
    assert(contradict(taker, { ...maker, logHead: taker.orderHash }));
  });
});
