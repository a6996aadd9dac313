import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Commits } from "../../src/exchange/commits.ts";
import { ZERO_HASH } from "../../src/exchange/log.ts";
import type { Receipt, SignedReceipt } from "../../src/protocol/receipt.ts";

/** A store whose commits and a signer whose signatures come when the test says so. */
function slowly() {
  const groups: number[][] = [];
  const commits: PromiseWithResolvers<undefined>[] = [];
  const store = {
    durable: (): Promise<void> => {
      const commit = Promise.withResolvers<undefined>();
      commits.push(commit);
      return commit.promise;
    },
  };
  const sign = (receipts: readonly Receipt[]): Promise<readonly SignedReceipt[]> => {
    groups.push(receipts.map(({ seq }) => seq));
    return Promise.resolve(receipts.map((receipt) => ({ receipt, siblings: [], signature: "0x" })));
  };
  return { commits, groups, queue: new Commits(store, sign) };
}

function receiptOf(seq: number): Receipt {
  const fixed = { n: 0, kind: "accepted", orderHash: ZERO_HASH, prioritySeq: 0, logHead: ZERO_HASH, term: 0 } as const;
  return { ...fixed, seq, quantity: 1, remaining: 1, price: 0n, execTime: 0n };
}

async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise(setImmediate);
}

describe("a group of commands", () => {
  test("leaves only when it is durable, what came meanwhile after it, each with its own receipts [JRN-2, JRN-12]", async () => {
    const { commits, groups, queue } = slowly();
    const left: string[] = [];
    const release = async (name: string, ...seqs: readonly number[]): Promise<void> => {
      const signed = await queue.release(seqs.map(receiptOf));
      left.push(`${name}: ${signed.map(({ receipt }) => receipt.seq).join(" ")}`);
    };
    const first = [release("a", 1), release("b"), release("c", 2, 3)];
    await turns();
    const second = [release("d", 4), release("e", 5)];
    await turns();
    assert.deepEqual([left, commits.length], [[], 1]);
    commits[0]?.resolve(undefined);
    await Promise.all(first);
    await turns();
    assert.deepEqual([left, commits.length], [["a: 1", "b: ", "c: 2 3"], 2]);
    commits[1]?.resolve(undefined);
    await Promise.all(second);
    assert.deepEqual(left.slice(3), ["d: 4", "e: 5"]);
    assert.deepEqual(groups, [
      [1, 2, 3],
      [4, 5],
    ]);
  });

  test("that never becomes durable never leaves, and neither does any after it [JRN-3, REC-4]", async () => {
    const { commits, queue } = slowly();
    const first = queue.release([receiptOf(1)]);
    await turns();
    const second = queue.release([receiptOf(2)]);
    commits[0]?.reject(new Error("the disk is full"));
    await assert.rejects(first, /the disk is full/);
    await turns();
    commits[1]?.reject(new Error("the disk is full"));
    await assert.rejects(second, /the disk is full/);
  });
});
