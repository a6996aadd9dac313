import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { after, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import type { Worker } from "node:worker_threads";
import fc from "fast-check";
import { privateKeyToAccount } from "viem/accounts";
import { assertSignedBy, MalformedSignature, WrongSigner } from "../../src/exchange/signature.ts";
import { fastestCurve, nativeCurve, portableCurve } from "../../src/exchange/signing/curve.ts";
import { BadOperatorKey, createSigning, type Signing, SigningStopped } from "../../src/exchange/signing/signing.ts";
import { addressOf, type Hex } from "../../src/protocol/keys.ts";
import { domainOf } from "../../src/protocol/order.ts";
import { type Receipt, verifyReceipt } from "../../src/protocol/receipt.ts";
import { recoverSigner } from "../../src/protocol/signature.ts";
import { DoesNotFit } from "../../src/protocol/typedData.ts";

const DOMAIN = domainOf(31_337n, "0x5FbDB2315678afecb367f032d93F642f64180aa3");
const OPERATOR_KEY: Hex = `0x${"2f".repeat(32)}`;
const TRADER_KEY: Hex = `0x${"7a".repeat(32)}`;
const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const HASH: Hex = `0x${"c4".repeat(32)}`;

const native = await nativeCurve();
const portable = portableCurve();
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const bytesOf = (text: string): Buffer => Buffer.from(text, "hex");
const word = (value: bigint): string => value.toString(16).padStart(64, "0");
const signed = (hash: Hex, key: Hex): Promise<Hex> => privateKeyToAccount(key).sign({ hash });

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
const anyKey = fc.bigInt({ min: 1n, max: ORDER - 1n }).map(word);

function receipt(seq: number): Receipt {
  const numbers = { n: 0, prioritySeq: seq, quantity: 3, remaining: 3, price: -5n, execTime: 1_000n, term: 1 };
  return { seq, kind: "accepted", orderHash: HASH, logHead: `0x${word(BigInt(seq))}`, ...numbers };
}

/** A service, and the thread behind it. */
async function startWithThread(onFailure?: (error: SigningStopped) => void): Promise<[Signing, Worker]> {
  const thread = once(process, "worker");
  const signing = createSigning({ operatorKey: OPERATOR_KEY, domain: DOMAIN, ...(onFailure && { onFailure }) });
  const [worker] = (await thread) as [Worker];
  return [signing, worker];
}

describe("the two curves", () => {
  test("they sign and recover alike [REC-3, ORD-12]", () => {
    fc.assert(
      fc.property(bytes32, anyKey, (hash, key) => {
        const one = native.sign(hash, bytesOf(key));
        const other = portable.sign(hash, bytesOf(key));
        assert.equal(hex(one.signature), hex(other.signature));
        assert.equal(one.recovery, other.recovery);
        const [a, b] = [native, portable].map((curve) => curve.recover(hash, one.signature, one.recovery));
        assert(a !== undefined && b !== undefined);
        assert.equal(hex(a), hex(b));
      }),
      { numRuns: 40 },
    );
  });

  test("they agree on signatures that nobody made, too [ORD-12]", () => {
    const edge = fc.constantFrom(0n, 1n, 2n, ORDER / 2n, ORDER - 1n, ORDER, 2n ** 256n - 1n).map(word);
    const scalar = fc.oneof(edge, anyKey);
    fc.assert(
      fc.property(bytes32, scalar, scalar, fc.constantFrom(0, 1), (hash, r, s, recovery) => {
        const [a, b] = [native, portable].map((curve) => curve.recover(hash, bytesOf(r + s), recovery));
        assert.equal(a && hex(a), b && hex(b));
      }),
      { numRuns: 100 },
    );
  });

  test("the native one is taken where it loads, the portable one elsewhere [ORD-12]", async () => {
    assert.equal((await fastestCurve()).name, "native");
    const nowhere = () => Promise.reject(new Error("No native build was found"));
    assert.equal((await fastestCurve(nowhere)).name, "portable");
  });
});

for (const curve of ["native", "portable"] as const) {
  describe(`the signing thread with the ${curve} curve`, () => {
    const signing = createSigning({ operatorKey: OPERATOR_KEY, domain: DOMAIN, curve });
    after(() => signing.close());

    test("it recovers who signed, for many callers at once and each its own [ORD-12]", async () => {
      const count = curve === "native" ? 300 : 20;
      const keys = Array.from({ length: count }, (_, i): Hex => `0x${word(BigInt(i + 1))}`);
      const hashes = keys.map((_, i): Hex => `0x${word(BigInt(i) << 200n)}`);
      const signatures = await Promise.all(keys.map((key, i) => signed(hashes[i] ?? HASH, key)));
      const answers = signatures.map((signature, i) => {
        const hash = hashes[i] ?? HASH;
        return signing.recover(i % 2 === 0 ? hash : bytesOf(hash.slice(2)), signature);
      });
      assert.deepEqual(await Promise.all(answers), keys.map(addressOf));
    });

    test("it refuses each signature that the contract would [ORD-12]", async () => {
      const signature = await signed(HASH, TRADER_KEY);
      const [r, s, v] = [signature.slice(2, 66), signature.slice(66, 130), signature.slice(130)];
      const otherV = v === "1b" ? "1c" : "1b";
      const zero = "00".repeat(32);
      const malformed: readonly Hex[] = [
        "0x",
        `0x${r}${s}`,
        `0x${r}${s}${v}00`,
        `0x${r}${s}00`,
        `0x${r}${s}1d`,
        `0x${r}${word(ORDER - BigInt(`0x${s}`))}${otherV}`,
        `0x${zero}${s}${v}`,
        `0x${r}${zero}${v}`,
        `0x${word(ORDER)}${s}${v}`,
        `0x${"zz".repeat(32)}${s}${v}`,
      ];
      for (const bad of malformed) {
        await assert.rejects(signing.recover(HASH, bad), MalformedSignature, bad);
        await assert.rejects(assertSignedBy(HASH, bad, addressOf(TRADER_KEY)), MalformedSignature, bad);
      }
      await assert.rejects(signing.recover("0x1234", signature), DoesNotFit);
      await assert.rejects(signing.recover(new Uint8Array(31), signature), DoesNotFit);
      // r and s verify under the trader's key, but the contract recovers another from this v.
      const twisted: Hex = `0x${r}${s}${otherV}`;
      await assert.rejects(assertSignedBy(HASH, twisted, addressOf(TRADER_KEY), signing), WrongSigner);
    });

    test("whoever waits for a signature learns the same from the thread as without it [ORD-12]", async () => {
      const signature = await signed(HASH, TRADER_KEY);
      for (const recovery of [[], [signing]] as const) {
        await assertSignedBy(HASH, signature, privateKeyToAccount(TRADER_KEY).address, ...recovery);
        await assert.rejects(assertSignedBy(HASH, signature, signing.operator, ...recovery), WrongSigner);
      }
    });

    test("it signs receipts that anybody can verify, in their order [REC-2, REC-3]", async () => {
      const groups = [1, 2, 9].map((size) => Array.from({ length: size }, (_, i) => receipt(100 * size + i)));
      const answers = await Promise.all([signing.signGroup([]), ...groups.map((group) => signing.signGroup(group))]);
      assert.deepEqual(
        answers.map((answer) => answer.map((one) => one.receipt)),
        [[], ...groups],
      );
      for (const one of answers.flat()) assert(verifyReceipt(DOMAIN, signing.operator, one));
      assert.equal(signing.operator, addressOf(OPERATOR_KEY));
      await assert.rejects(signing.signGroup([{ ...receipt(1), price: 2n ** 87n }]), DoesNotFit);
    });
  });
}

describe("the end of the signing thread", () => {
  test("closing rejects what is under way and everything after it [REC-4]", async () => {
    const signature = await signed(HASH, TRADER_KEY);
    let failures = 0;
    const [signing] = await startWithThread(() => failures++);
    assert.equal(await signing.recover(HASH, signature), recoverSigner(HASH, signature));
    const waiting = Promise.allSettled([signing.recover(HASH, signature), signing.signGroup([receipt(1)])]);
    await signing.close();
    for (const { status } of await waiting) assert.equal(status, "rejected");
    await assert.rejects(signing.recover(HASH, signature), SigningStopped);
    await assert.rejects(signing.signGroup([receipt(1)]), SigningStopped);
    await signing.close();
    assert.equal(failures, 0);
  });

  test("a thread that fails or is ended by somebody is noticed at once [REC-4]", async () => {
    const signature = await signed(HASH, TRADER_KEY);
    const ends: readonly ((worker: Worker) => void)[] = [
      (worker) => void worker.terminate(),
      (worker) => worker.postMessage(new Uint8Array(1)),
    ];
    for (const end of ends) {
      const failures: SigningStopped[] = [];
      const [signing, worker] = await startWithThread((error) => failures.push(error));
      await signing.recover(HASH, signature);
      const exited = new Promise((ended) => worker.once("exit", ended));
      end(worker);
      await assert.rejects(async () => {
        for (;;) await signing.recover(HASH, signature);
      }, SigningStopped);
      await exited;
      await assert.rejects(signing.signGroup([receipt(1)]), SigningStopped);
      assert.equal(failures.length, 1);
      assert(failures[0] instanceof SigningStopped);
      await signing.close();
    }
  });

  test("the operator's key is refused if it is none, and shown nowhere [PRI-11]", async () => {
    for (const key of ["0x", `0x${"00".repeat(32)}`, `0x${word(ORDER)}`, `0x${"2f".repeat(33)}`] as const) {
      assert.throws(
        () => createSigning({ operatorKey: key, domain: DOMAIN }),
        (error) => error instanceof BadOperatorKey && (key === "0x" || !inspect(error).includes(key.slice(2))),
      );
    }
    const [signing, worker] = await startWithThread();
    const shown = inspect(signing, { depth: 8, showHidden: true }) + inspect(worker, { depth: 8, showHidden: true });
    assert(!shown.includes(OPERATOR_KEY.slice(2)) && !shown.includes("47, 47, 47"));
    await signing.close();
  });

  test("a program ends by itself once it waits for nothing, and Ctrl-C ends it while it waits [REC-4]", async () => {
    const signature = await signed(HASH, TRADER_KEY);
    const service = pathToFileURL(resolve(import.meta.dirname, "../../src/exchange/signing/signing.ts")).href;
    const start = (rest: string) => {
      const program = `import { createSigning } from ${JSON.stringify(service)};
        const signing = createSigning({ operatorKey: ${JSON.stringify(OPERATOR_KEY)}, domain: ${JSON.stringify(DOMAIN)} });
        console.log(await signing.recover("${HASH}", "${signature}"));
        ${rest}`;
      return spawn(process.execPath, ["--input-type=module", "--eval", program], {
        stdio: ["ignore", "pipe", "inherit"],
      });
    };
    const idle = start("");
    const [line] = (await once(idle.stdout, "data")) as [Buffer];
    assert.equal(line.toString().trim(), addressOf(TRADER_KEY));
    assert.deepEqual(await once(idle, "exit"), [0, null]);
    const busy = start(`for (;;) await signing.recover("${HASH}", "${signature}");`);
    await once(busy.stdout, "data");
    busy.kill("SIGINT");
    assert.deepEqual(await once(busy, "exit"), [null, "SIGINT"]);
  });
});
