import assert from "node:assert/strict";
import { test } from "node:test";
import {
  concat,
  decodeFunctionData,
  encodeFunctionData,
  type EncodeFunctionDataParameters,
  numberToHex,
  size,
} from "viem";
import { call, type Sender, transitionMessage } from "../../src/chain/clearingHouse.ts";
import { DOLLAR } from "../../src/clearing/leanHogs.ts";
import { clearingHouseAbi, testDollarAbi } from "../../src/protocol/abi.ts";
import type { Hex } from "../../src/protocol/keys.ts";
import { decodeCall } from "../../src/verify/calldata.ts";
import { ChainContradiction } from "../../src/verify/errors.ts";
import type { History, InnerCall } from "../../src/verify/history.ts";
import { readHistory, type Source } from "../../src/verify/readHistory.ts";
import { verifyDays } from "../../src/verify/verdict.ts";
import { readVerifyingKey } from "../../src/verify/proofs.ts";
import { fresh, freshAddress, startDesk } from "../support/desk.ts";

// A day whose calls reach the house through other contracts: a wallet that forwards, a proxy of it, and a constructor.

const desk = await startDesk();
const { x } = desk;
const [house, token] = [x.chain.address, x.deployed.token];
const key = await readVerifyingKey();

/**
 * Code that makes every call of its calldata (address, length, data, one after the other), whether it fails or not.
 * An address of zero takes all of it back.
 */
const FORWARDER =
  "60005b80361115602e578035801560305790602001803590602001" +
  "81815f375f5f835f5f875af150019050600256" +
  "5b00" +
  "5b5f5ffd";

/** Code that is another contract's. */
const proxyOf = (address: Hex): string => `363d3d373d3d3d363d73${address.slice(2)}5af43d82803e903d91602b57fd5bf3`;

/** Code that puts code on the chain. */
const creationOf = (code: string): Hex => `0x60${numberToHex(code.length / 2).slice(2)}8060095f395ff3${code}`;

/** Code whose own deployment makes one call without arguments. */
const constructorCalling = (to: Hex, selector: Hex): Hex =>
  `0x63${selector.slice(2)}5f525f5f6004601c5f73${to.slice(2)}5af100`;

const word = (value: bigint): Hex => numberToHex(value, { size: 32 });
const TAKEN_BACK = word(0n);

const calls = (...each: readonly (readonly [to: Hex, data: Hex])[]): Hex =>
  concat(each.map(([to, data]) => concat([word(BigInt(to)), word(BigInt(size(data))), data])));

type HouseCall = Omit<EncodeFunctionDataParameters<typeof clearingHouseAbi>, "abi">;
const asking = (asked: HouseCall): Hex => encodeFunctionData({ abi: clearingHouseAbi, ...asked });
const dollars = (functionName: "approve" | "transfer", to: Hex, amount: bigint): Hex =>
  encodeFunctionData({ abi: testDollarAbi, functionName, args: [to, amount] });

/**
 * The same call of one transition without a signature: it stands in front of the transitions, and its offset leads
 * backwards, as the house allows.
 */
function crookedOf(data: Hex): Hex {
  const [transitions = 0n, proofs = 0n, ...rest] = (data.slice(10).match(/.{64}/g) ?? []).map((each) =>
    BigInt(`0x${each}`),
  );
  // Two offsets, the empty signature, the number of transitions, the offset of the first, and the transition itself.
  const [empty, first, offset] = [2, 5, 11];
  const words = [transitions + 32n, proofs + 32n, 0n, ...rest];
  words[offset] = BigInt.asUintN(256, BigInt(empty - first) * 32n);
  return concat([`0x${data.slice(2, 10)}`, ...words.map(word)]);
}

async function send({ wallet }: Sender, to: Hex | null, data: Hex): Promise<Hex> {
  const hash = await wallet.sendTransaction({ to, data, gas: 8_000_000n });
  const { status, contractAddress } = await x.chain.client.waitForTransactionReceipt({ hash });
  assert.equal(status, "success");
  return contractAddress ?? "0x";
}

const sender = await x.fundedSender(10_000n * DOLLAR);
const forwarder = await send(sender, null, creationOf(FORWARDER));
const proxy = await send(sender, null, creationOf(proxyOf(forwarder)));
for (const each of [forwarder, proxy]) await send(sender, token, dollars("transfer", each, 3_000n * DOLLAR));

await desk.fillPool(1_000n);
const [ownerKey, creditKey] = [fresh(), freshAddress()];
const deposit = asking({ functionName: "deposit", args: [DOLLAR, creditKey] });
const approval = dollars("approve", house, 10_000n * DOLLAR);
await send(
  sender,
  forwarder,
  calls(
    [token, approval],
    [house, deposit],
    // Refused, taken back, and a question: none of them did anything.
    [house, asking({ functionName: "openEpoch", args: [] })],
    [forwarder, concat([calls([house, deposit]), TAKEN_BACK])],
    [house, asking({ functionName: "clock", args: [] })],
    [token, dollars("transfer", house, 7n)],
    [house, asking({ functionName: "openSeat", args: [ownerKey] })],
  ),
);
await send(sender, proxy, calls([token, approval], [house, asking({ functionName: "stake", args: [DOLLAR] })]));
await desk.toClosingTime();
await x.advanceTime(x.terms.settleGrace);
await send(sender, proxy, calls([house, asking({ functionName: "closeEpoch", args: [[]] })]));
await desk.sync();
const withdrawal = await desk.rawWithdraw(DOLLAR, freshAddress(), 0n);
const plain = asking({
  functionName: "submitTransitions",
  args: [[transitionMessage(withdrawal)], [withdrawal.proof]],
});
const crooked = crookedOf(plain);
await send(sender, house, crooked);
await desk.toPartB();
await call(x.chain, sender, { functionName: "beginRenewals", args: [] });
await x.advanceTime(x.terms.windowB);
await x.mine(x.terms.windowBlocks);
await send(sender, null, constructorCalling(house, asking({ functionName: "openEpoch", args: [] })));

const source: Source = { url: x.url, clearingHouse: house, fromBlock: 0n, keyHash: key.hash };
const history = await readHistory(source);
const verify = (record: History) => verifyDays(record, key, { first: 1, last: 1, unproven: true });

/** The record with other inner calls in the only transaction that made this one. */
function tampered(data: Hex, change: (inner: InnerCall) => readonly InnerCall[]): History {
  const steps = history.steps.map((step) => {
    const { inner } = step;
    if (inner === undefined || inner.every(({ input }) => input !== data)) return step;
    return { ...step, inner: inner.flatMap((each) => (each.input === data ? change(each) : [each])) };
  });
  assert.notDeepEqual(steps, history.steps);
  return { ...history, steps };
}

test("calls through other contracts are read out of their traces, and the day is verified [VER-1, VER-4]", async () => {
  const inner = history.steps.flatMap((step) => (step.inner === undefined ? [] : [step.inner.map(({ from }) => from)]));
  const small = (address: Hex): string => address.toLowerCase();
  const [wallet, other] = [small(forwarder), small(proxy)];
  assert.deepEqual(inner.slice(0, 3), [[wallet, wallet, wallet], [other], [other]]);
  assert.equal(inner.length, 4);
  const [day] = (await verify(history)).days;
  assert.ok(day !== undefined);
  const { credits, bonds, operatorStake, unasked } = day.totals;
  const buckets = await x.chain.house.read.buckets();
  assert.deepEqual([credits, bonds, operatorStake], [buckets.credits, buckets.bonds, buckets.operatorStake]);
  assert.deepEqual([credits, operatorStake, unasked], [DOLLAR, DOLLAR, 7n]);
});

test("another forwarded call than the one that was made is a contradiction [VER-4]", async () => {
  const dearer = asking({ functionName: "deposit", args: [DOLLAR + 1n, creditKey] });
  const open = asking({ functionName: "openEpoch", args: [] });
  const records: readonly (readonly [RegExp, History])[] = [
    [/CreditOpened.creditId is/, tampered(deposit, (each) => [{ ...each, input: dearer }])],
    [/CreditOpened.creditId is/, tampered(deposit, (each) => [{ ...each, from: proxy }])],
    [/NotesAppended is missing, CreditOpened is in its place/, tampered(deposit, () => [])],
    [/CreditOpened is missing/, tampered(deposit, (each) => [each, each])],
    [/event EpochOpened is one that nothing explains/, tampered(open, () => [])],
    [/opened outside the window/, tampered(open, (each) => [each, each])],
  ];
  for (const [message, record] of records) {
    const error = await verify(record).then(
      () => assert.fail("it was verified"),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof ChainContradiction, String(error));
    assert.match(error.message, message);
  }
});

test("where a node shows no traces it is said which transaction cannot be read [VER-8]", async () => {
  const blind: typeof fetch = async (input, init) => {
    const body = typeof init?.body === "string" ? init.body : "";
    if (!body.includes("debug_traceTransaction")) return fetch(input, init);
    return Response.json({ jsonrpc: "2.0", id: 1, error: { code: -32601, message: "no such method" } });
  };
  const [first] = history.steps.filter(({ inner }) => inner !== undefined);
  await assert.rejects(readHistory({ ...source, fetch: blind }), (error: Error & { code?: string }) => {
    assert.equal(error.code, "HistoryUnreadable");
    return error.message.includes(first?.hash ?? "none") && error.message.includes("debug_traceTransaction");
  });
});

test("calldata is read as the house reads it, whoever wrote it in whatever way [VER-4]", async () => {
  assert.ok(history.steps.some(({ input }) => input === crooked));
  assert.throws(() => decodeFunctionData({ abi: clearingHouseAbi, data: crooked }));
  assert.deepEqual(decodeCall(crooked), decodeFunctionData({ abi: clearingHouseAbi, data: plain }));
  await verify(history);
  // One that leads further back than the calldata begins.
  const further = crooked.replaceAll("f".repeat(60), `e${"f".repeat(59)}`);
  assert.notEqual(further, crooked);
  const steps = history.steps.map((step) =>
    step.input === crooked ? { ...step, input: `0x${further.slice(2)}` as const } : step,
  );
  await assert.rejects(verify({ ...history, steps }), /calldata points out of itself, against VER-4/);
});
