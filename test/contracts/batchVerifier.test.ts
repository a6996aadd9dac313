import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { before, test } from "node:test";
import { bn254 } from "@noble/curves/bn254.js";
import fc from "fast-check";
import { encodeAbiParameters, keccak256, numberToHex, stringToHex, type Hex } from "viem";
import { hardhat } from "viem/chains";
import { checkVerifyingKeyContracts, parseVerifyingKey } from "../../scripts/generateVerifyingKey.ts";
import { CIRCUIT_FILES, readPins } from "../../src/prover/circuit.ts";
import type { PointG1, PointG2, Proof, ProvenStatement } from "../../src/prover/proof.ts";
import { FIELD_MODULUS } from "../../src/protocol/field.ts";
import { SIGNAL_COUNT } from "../../src/protocol/statement.ts";
import { refusal, startTestChain } from "../support/contracts.ts";
import { sharedProver } from "../support/prover.ts";
import { witnessOf } from "../support/transitions.ts";

const R = FIELD_MODULUS;
const Q = bn254.fields.Fp.ORDER;
const INFINITY: PointG1 = [0n, 0n];

const { client, deploy } = await startTestChain();
const batch = await deploy("BatchVerifierHarness");
const single = await deploy("Groth16Verifier");
const key = parseVerifyingKey(JSON.parse(readFileSync(CIRCUIT_FILES.verifyingKey, "utf8")));

const honest: ProvenStatement[] = [];
before(async () => {
  const prover = await sharedProver();
  for (let i = 0n; i < 8n; i++) {
    const witness = witnessOf({ spendingKey: 100n + i, showSeat: i % 2n === 0n }, 1_000n + i);
    honest.push(await prover.prove(witness));
  }
});

function item(index: number): ProvenStatement {
  const found = honest[index];
  assert.ok(found !== undefined);
  return found;
}

const BATCH_NUMBER = 7n;
type Items = readonly ProvenStatement[];
const proofsOf = (items: Items): Proof[] => items.map(({ proof }) => proof);
const signalsOf = (items: Items): (readonly bigint[])[] => items.map(({ publicSignals }) => publicSignals);

/** Passes silently or throws what the contract says. */
const verify = (items: Items, batchNumber = BATCH_NUMBER): Promise<unknown> =>
  batch.read("verify", [batchNumber, proofsOf(items), signalsOf(items)]);

const verifySingle = ({ proof, publicSignals }: ProvenStatement): Promise<unknown> =>
  single.read("verifyProof", [proof.a, proof.b, proof.c, publicSignals]);

/** The list with one entry replaced. */
const replaced = <T>(list: readonly T[], index: number, value: T): T[] =>
  list.map((old, i) => (i === index ? value : old));

const withProof = (from: ProvenStatement, change: Partial<Proof>): ProvenStatement => ({
  ...from,
  proof: { ...from.proof, ...change },
});

const withSignal = (from: ProvenStatement, signal: number, value: bigint): ProvenStatement => ({
  ...from,
  publicSignals: replaced(from.publicSignals, signal, value),
});

/** Ways to spoil a proof that leave every number in range and every point on its curve. */
const spoilings: readonly ((from: ProvenStatement) => ProvenStatement)[] = [
  (from) => withSignal(from, 24, ((from.publicSignals[24] ?? 0n) + 1n) % R),
  (from) => withSignal(from, 1, ((from.publicSignals[1] ?? 0n) + R - 1n) % R),
  (from) => withProof(from, { a: [from.proof.a[0], Q - from.proof.a[1]] }),
  (from) => withProof(from, { c: from.proof.a }),
  (from) => withProof(from, { c: [1n, 2n] }),
];

const mod = (value: bigint, modulus = R): bigint => ((value % modulus) + modulus) % modulus;
const g1 = (point: PointG1) =>
  point[0] === 0n && point[1] === 0n ? bn254.G1.Point.ZERO : bn254.G1.Point.fromAffine({ x: point[0], y: point[1] });
const point = (pair: readonly bigint[] | undefined): PointG1 => {
  const [x, y] = pair ?? [];
  assert.ok(x !== undefined && y !== undefined);
  return [x, y];
};
const times = (p: PointG1, scalar: bigint) => (mod(scalar) === 0n ? bn254.G1.Point.ZERO : g1(p).multiply(mod(scalar)));

/** The product of section "One product" of the spec for scalars of our choice, on the chain's precompile. */
async function productHolds(items: Items, rhos: readonly bigint[]): Promise<boolean> {
  const rho = (i: number): bigint => rhos[i] ?? 0n;
  const words = (p: ReturnType<typeof g1>): bigint[] => (p.is0() ? [0n, 0n] : [p.toAffine().x, p.toAffine().y]);
  const sum = (terms: readonly ReturnType<typeof g1>[]) => terms.reduce((a, b) => a.add(b), bn254.G1.Point.ZERO);
  const rhoSum = items.reduce((total, _, i) => total + rho(i), 0n);
  const inputs = key.ic.map((ic, j) =>
    times(
      point(ic),
      items.reduce((total, { publicSignals }, i) => total + rho(i) * (j === 0 ? 1n : (publicSignals[j - 1] ?? 0n)), 0n),
    ),
  );
  const pairs = [
    ...items.flatMap(({ proof }, i) => [...words(times(proof.a, rho(i))), ...proof.b.flat()]),
    ...[...words(times(point(key.alpha), rhoSum).negate()), ...key.beta],
    ...[...words(sum(inputs).negate()), ...key.gamma],
    ...[...words(sum(items.map(({ proof }, i) => times(proof.c, rho(i)))).negate()), ...key.delta],
  ];
  const answer = await batch.read("ecPairing", [pairs]);
  assert.ok(Array.isArray(answer));
  assert.equal(answer[0], true);
  return answer[1] === 1n;
}

/** The scalars of the spec from a seed. */
function challenges(seed: Hex, count: number): bigint[] {
  return Array.from({ length: count }, (_, i) => {
    const hash = keccak256(encodeAbiParameters([{ type: "bytes32" }, { type: "uint256" }], [seed, BigInt(i)]));
    return i === 0 ? 1n : BigInt.asUintN(128, BigInt(hash)) || 1n;
  });
}

const proofType = {
  type: "tuple[]",
  components: [
    { name: "a", type: "uint256[2]" },
    { name: "b", type: "uint256[2][2]" },
    { name: "c", type: "uint256[2]" },
  ],
} as const;

async function seedInTypeScript(items: Items, batchNumber: bigint): Promise<Hex> {
  const { verifyingKeyHash } = await readPins();
  return keccak256(
    encodeAbiParameters(
      [
        { type: "bytes32" },
        { type: "uint256" },
        { type: "address" },
        { type: "uint256" },
        { type: "bytes32" },
        { type: "uint256" },
        { type: "bytes32" },
        { type: "bytes32" },
      ],
      [
        keccak256(stringToHex("Hedgerow batch of transition proofs, version 1")),
        BigInt(hardhat.id),
        batch.address,
        batchNumber,
        numberToHex(BigInt(verifyingKeyHash), { size: 32 }),
        BigInt(items.length),
        keccak256(wordsOf(encodeAbiParameters([proofType], [proofsOf(items)]))),
        keccak256(wordsOf(encodeAbiParameters([{ type: "uint256[25][]" }], [signalsOf(items).map(tuple25)]))),
      ],
    ),
  );
}

/** The elements of an encoded list, without its offset and its length. */
function wordsOf(encodedList: Hex): Hex {
  return `0x${encodedList.slice(2 + 2 * 64)}`;
}

// prettier-ignore
type Tuple25 = readonly [
  bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint,
  bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint,
];

function isTuple25(list: readonly bigint[]): list is Tuple25 {
  return list.length === SIGNAL_COUNT;
}

function tuple25(list: readonly bigint[]): Tuple25 {
  assert.ok(isTuple25(list));
  return list;
}

test("key, generated contracts and circuit belong together [CIR-9]", async () => {
  checkVerifyingKeyContracts();
  assert.equal(await batch.read("verifyingKeyHash"), (await readPins()).verifyingKeyHash);
});

test("curve precompiles give the published results [BAT-8]", async () => {
  const words = (hex: string): bigint[] => (hex.match(/.{64}/g) ?? []).map((word) => BigInt(`0x${word}`));
  assert.deepEqual(
    await batch.read(
      "ecAdd",
      words(
        "18b18acfb4c2c30276db5411368e7185b311dd124691610c5d3b74034e093dc9063c909c4720840cb5134cb9f59fa749755796819658d32efc0d288198f37266" +
          "07c2b7f58a84bd6145f00c9c2bc0bb1a187f20ff2c92963a88019e7c6a014eed06614e20c147e940f2d70da3f74c9a17df361706a4485c742bd6788478fa17d7",
      ),
    ),
    [
      true,
      ...words(
        "2243525c5efd4b9c3d3c45ac0ca3fe4dd85e830a4ce6b65fa1eeaee202839703301d1d33be6da8e509df21cc35964723180eed7532537db9ae5e7d48f195c915",
      ),
    ],
  );
  assert.deepEqual(
    await batch.read(
      "ecMul",
      words(
        "2bd3e6d0f3b142924f5ca7b49ce5b9d54c4703d7ae5648e61d02268b1a0a9fb721611ce0a6af85915e2f1d70300909ce2e49dfad4a4619c8390cae66cefdb204" +
          "00000000000000000000000000000000000000000000000011138ce750fa15c2",
      ),
    ),
    [
      true,
      ...words(
        "070a8d6a982153cae4be29d434e8faef8a47b274a053f5a4ee2a6c9c13c31e5c031b8ce914eba3a9ffb989f9cdd5b0f01943074bf4f0f315690ec3cec6981afc",
      ),
    ],
  );
  const pairing =
    "1c76476f4def4bb94541d57ebba1193381ffa7aa76ada664dd31c16024c43f593034dd2920f673e204fee2811c678745fc819b55d3e9d294e45c9b03a76aef41" +
    "209dd15ebff5d46c4bd888e51a93cf99a7329636c63514396b4a452003a35bf704bf11ca01483bfa8b34b43561848d28905960114c8ac04049af4b6315a41678" +
    "2bb8324af6cfc93537a2ad1a445cfd0ca2a71acd7ac41fadbf933c2a51be344d120a2a4cf30c1bf9845f20c6fe39e07ea2cce61f0c9bb048165fe5e4de877550" +
    "111e129f1cf1097710d41c4ac70fcdfa5ba2023c6ff1cbeac322de49d1b6df7c2032c61a830e3c17286de9462bf242fca2883585b93870a73853face6a6bf411" +
    "198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c21800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed" +
    "090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa";
  assert.deepEqual(await batch.read("ecPairing", [words(pairing)]), [true, 1n]);
  assert.deepEqual(await batch.read("ecPairing", [words(pairing).slice(0, 6)]), [true, 0n]);
});

test("eight true proofs pass together as each passes alone [BAT-7]", async () => {
  for (const size of [1, 2, 3, 8]) await verify(honest.slice(0, size));
  for (const one of honest) assert.equal(await verifySingle(one), true);
});

test("exactly one false proof in any place fails a batch of any size up to eight [BAT-7]", async () => {
  for (let size = 1; size <= 8; size++) {
    for (let place = 0; place < size; place++) {
      const spoil = spoilings[(size + place) % spoilings.length];
      assert.ok(spoil !== undefined);
      const items = replaced(honest.slice(0, size), place, spoil(item(place)));
      assert.deepEqual(
        await refusal(verify(items)),
        { name: "InvalidProof", args: [BATCH_NUMBER] },
        `${place} of ${size}`,
      );
      const alone = await Promise.all(items.map(verifySingle));
      assert.deepEqual(
        alone,
        items.map((_, i) => i !== place),
      );
    }
  }
});

test("the batch passes exactly when every proof passes the generated verifier alone [BAT-13]", async () => {
  const spoiled = fc.record({ index: fc.nat(7), how: fc.option(fc.nat(spoilings.length - 1), { freq: 4 }) });
  await fc.assert(
    fc.asyncProperty(fc.array(spoiled, { minLength: 1, maxLength: 5 }), async (choice) => {
      const items = choice.map(({ index, how }) =>
        how === null ? item(index) : (spoilings[how]?.(item(index)) ?? item(index)),
      );
      const alone = await Promise.all(items.map(verifySingle));
      const together = await verify(items).then(
        () => true,
        () => false,
      );
      assert.equal(together, alone.every(Boolean));
    }),
    { numRuns: 25 },
  );
});

test("proofs in another order than their statements are refused [BAT-3]", async () => {
  const [first, second] = [item(0), item(1)];
  const swapped = [
    { proof: second.proof, publicSignals: first.publicSignals },
    { proof: first.proof, publicSignals: second.publicSignals },
  ];
  assert.equal((await refusal(verify(swapped))).name, "InvalidProof");
  await verify([second, first]);
});

test("more or fewer proofs than statements are refused [BAT-3]", async () => {
  const [proofs, signals] = [proofsOf(honest), signalsOf(honest)];
  for (const [given, stated] of [
    [0, 1],
    [1, 0],
    [7, 8],
    [8, 7],
  ] as const) {
    const call = batch.read("verify", [BATCH_NUMBER, proofs.slice(0, given), signals.slice(0, stated)]);
    const expected = { name: "ProofCountMismatch", args: [BigInt(given), BigInt(stated)] };
    assert.deepEqual(await refusal(call), expected);
  }
});

test("a list without transitions has nothing to verify and does not lean on the pairing of nothing, which says 1 [BAT-3]", async () => {
  await verify([]);
  assert.deepEqual(await batch.read("ecPairing", [[]]), [true, 1n]);
});

test("a signal of r or more is refused in every place, though the curve takes it for the one below r [BAT-4]", async () => {
  for (let signal = 0; signal < SIGNAL_COUNT; signal++) {
    const alias = (item(1).publicSignals[signal] ?? 0n) + R;
    const items = replaced(honest.slice(0, 3), 1, withSignal(item(1), signal, alias));
    assert.equal(await productHolds(items, [1n, 5n, 9n]), true);
    assert.deepEqual(await refusal(verify(items)), { name: "SignalNotCanonical", args: [1n, BigInt(signal), alias] });
  }
});

test("every alias of a nullifier is refused, and so is the largest word [BAT-4]", async () => {
  const nullifier = item(0).publicSignals[1] ?? 0n;
  for (let value = nullifier + R; value < 2n ** 256n; value += R) {
    const refused = await refusal(verify([withSignal(item(0), 1, value)]));
    assert.deepEqual(refused, { name: "SignalNotCanonical", args: [0n, 1n, value] });
  }
  for (const value of [R, 2n ** 256n - 1n]) {
    assert.equal((await refusal(verify([withSignal(item(0), 4, value)]))).name, "SignalNotCanonical");
  }
});

test("one proof used twice, with signals x + d and x - (rho_0 / rho_1) d, would pass under scalars known beforehand and is refused [BAT-5]", async () => {
  const twice = [item(0), item(0)];
  const seed = await batch.read("seedOf", [BATCH_NUMBER, proofsOf(twice), signalsOf(twice)]);
  assert.ok(typeof seed === "string");
  // A seed that does not depend on the signals: that of the true statements, whatever is stated instead.
  const rhos = challenges(`0x${seed.slice(2)}`, 2);
  const ratio = mod(bn254.fields.Fr.inv(rhos[1] ?? 1n) * (rhos[0] ?? 1n));
  for (const signal of [0, 1, 2, 21, 24]) {
    const d = 987_654_321n;
    const true_ = item(0).publicSignals[signal] ?? 0n;
    const forged = [withSignal(item(0), signal, mod(true_ + d)), withSignal(item(0), signal, mod(true_ - ratio * d))];
    assert.equal(await productHolds(forged, rhos), true, "the forgery is sound");
    assert.deepEqual(await Promise.all(forged.map(verifySingle)), [false, false]);
    assert.deepEqual(await refusal(verify(forged)), { name: "InvalidProof", args: [BATCH_NUMBER] });
  }
});

test("the errors of two proofs that cancel under equal scalars do not cancel under the challenge [BAT-5]", async () => {
  const d = g1([1n, 2n]);
  const shifted = (from: ProvenStatement, by: typeof d): ProvenStatement => {
    const { x, y } = g1(from.proof.c).add(by).toAffine();
    return withProof(from, { c: [x, y] });
  };
  const items = [shifted(item(0), d), shifted(item(1), d.negate())];
  assert.equal(await productHolds(items, [1n, 1n]), true);
  assert.equal((await refusal(verify(items))).name, "InvalidProof");
});

test("the seed is the hash of chain, contract, number, key, all proofs and all signals [BAT-5]", async () => {
  const seedOf = (items: Items, batchNumber = BATCH_NUMBER): Promise<unknown> =>
    batch.read("seedOf", [batchNumber, proofsOf(items), signalsOf(items)]);
  const items = honest.slice(0, 2);
  assert.equal(await client.getChainId(), hardhat.id);
  assert.equal(await seedOf(items), await seedInTypeScript(items, BATCH_NUMBER));

  const others = [
    seedOf(items, BATCH_NUMBER + 1n),
    seedOf([item(1), item(0)]),
    seedOf(items.slice(0, 1)),
    seedOf(replaced(items, 1, withProof(item(1), { c: item(2).proof.c }))),
    ...Array.from({ length: SIGNAL_COUNT }, (_, signal) =>
      seedOf(replaced(items, 1, withSignal(item(1), signal, 3n ** 99n % R))),
    ),
  ];
  const seeds = new Set([await seedOf(items), ...(await Promise.all(others))]);
  assert.equal(seeds.size, others.length + 1);

  const elsewhere = await deploy("BatchVerifierHarness");
  const seedElsewhere = await elsewhere.read("seedOf", [BATCH_NUMBER, proofsOf(items), signalsOf(items)]);
  assert.equal(seeds.has(seedElsewhere), false);
});

test("the first scalar is 1, the others are the low 128 bits of a hash, and none is zero [BAT-6]", async () => {
  const seed = keccak256("0x01");
  const expected = challenges(seed, 5);
  for (const [i, scalar] of expected.entries()) assert.equal(await batch.read("challenge", [seed, BigInt(i)]), scalar);
  assert.equal(await batch.read("nonZero", [0n]), 1n);
  assert.equal(await batch.read("nonZero", [1n]), 1n);
  assert.equal(await batch.read("nonZero", [2n ** 128n - 1n]), 2n ** 128n - 1n);
});

test("a false proof weighed with zero would pass [BAT-6]", async () => {
  const items = [item(0), withProof(item(1), { c: [1n, 2n] })];
  assert.equal(await productHolds(items, [1n, 0n]), true);
  assert.equal(await productHolds(items, [1n, 1n]), false);
  assert.equal((await refusal(verify(items))).name, "InvalidProof");
});

test("a proof point at infinity is refused in every place [BAT-9]", async () => {
  const nowhere: PointG2 = [INFINITY, INFINITY];
  for (const change of [{ a: INFINITY }, { b: nowhere }, { c: INFINITY }]) {
    for (const place of [0, 2]) {
      const items = replaced(honest.slice(0, 3), place, withProof(item(place), change));
      assert.deepEqual(await refusal(verify(items)), { name: "PointAtInfinity", args: [BigInt(place)] });
    }
    assert.equal(await verifySingle(withProof(item(0), change)), false);
  }
});

test("a point off the curve or with a coordinate beyond the field is refused [BAT-9]", async () => {
  const { a, c } = item(1).proof;
  const changes: readonly Partial<Proof>[] = [
    { a: [1n, 1n] },
    { c: [1n, 1n] },
    { a: [a[0] + Q, a[1]] },
    { a: [a[0], a[1] + Q] },
    { c: [c[0] + Q, c[1]] },
    { c: [c[0], Q] },
    { c: [2n ** 256n - 1n, c[1]] },
  ];
  for (const change of changes) {
    for (const place of [0, 1]) {
      const items = replaced(honest.slice(0, 2), place, withProof(item(1), change));
      assert.deepEqual(await refusal(verify(items)), { name: "PointNotOnCurve", args: [BigInt(place)] });
    }
  }
});

test("a second point off its curve or with a coordinate beyond the field is refused [BAT-9]", async () => {
  const [x, y] = item(1).proof.b;
  const points: readonly PointG2[] = [
    [y, x],
    [[x[0] + Q, x[1]], y],
    [x, [y[0], y[1] + Q]],
  ];
  for (const b of points) {
    const items = replaced(honest.slice(0, 2), 1, withProof(item(1), { b }));
    const refused = await refusal(verify(items));
    assert.deepEqual(refused, { name: "PrecompileFailed", args: ["0x0000000000000000000000000000000000000008"] });
  }
});

/** A point of the twist that is not in the subgroup of order r. */
function outsideSubgroup(): PointG2 {
  const { Fp2 } = bn254.fields;
  const b = bn254.G2.Point.CURVE().b;
  for (let k = 1n; ; k++) {
    const x = Fp2.create({ c0: k, c1: 0n });
    const square = Fp2.add(Fp2.mul(Fp2.sqr(x), x), b);
    let y;
    try {
      y = Fp2.sqrt(square);
    } catch {
      continue; // Not a square: no point has this x.
    }
    const candidate = bn254.G2.Point.fromAffine({ x, y });
    if (candidate.isTorsionFree()) continue;
    return [
      [x.c1, x.c0],
      [y.c1, y.c0],
    ];
  }
}

test("a second point on its curve but outside the subgroup is refused [BAT-9]", async () => {
  const items = replaced(honest.slice(0, 3), 2, withProof(item(2), { b: outsideSubgroup() }));
  const refused = await refusal(verify(items));
  assert.deepEqual(refused, { name: "PrecompileFailed", args: ["0x0000000000000000000000000000000000000008"] });
});

test("a malformed point burns a fixed amount of gas, not all that was given [BAT-8]", async () => {
  const given = 12_000_000n;
  for (const change of [{ a: [1n, 1n] }, { b: outsideSubgroup() }] satisfies Partial<Proof>[]) {
    const items = replaced(honest, 7, withProof(item(7), change));
    const height = await client.getBlockNumber({ cacheTime: 0 });
    await refusal(batch.send("measure", [BATCH_NUMBER, proofsOf(items), signalsOf(items)], given));
    const { gasUsed } = await client.getBlock({ blockNumber: height + 1n });
    assert.ok(gasUsed < 2_000_000n, `${gasUsed} of ${given} gas`);
  }
});
