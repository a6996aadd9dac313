import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import { after, afterEach, beforeEach, describe, test } from "node:test";
import {
  createTestClient,
  encodeFunctionData,
  type Hex,
  http,
  InvalidInputRpcError,
  RpcRequestError,
  type TransactionReceipt,
} from "viem";
import { generatePrivateKey } from "viem/accounts";
import {
  CallImpossible,
  ChainUnavailable,
  connect,
  ContractRefused,
  openSeat,
  type Sender,
  senderOf,
  type SendOptions,
} from "../../src/chain/clearingHouse.ts";
import { testDollarAbi } from "../../src/protocol/abi.ts";
import { LOCAL_CHAIN_ID } from "../../src/chain/deploy.ts";
import { rejectionOf } from "../../src/chain/refusals.ts";
import { FeeAboveLimit, sendCall, WaitEnded } from "../../src/chain/sending.ts";
import { fresh } from "../support/desk.ts";
import { startFlakyNode } from "../support/flakyNode.ts";
import { startUnprovenExchange } from "../support/unprovenExchange.ts";

const x = await startUnprovenExchange();
const node = await startFlakyNode(x.url);
const chain = await connect(node.url, x.chain.address, LOCAL_CHAIN_ID);
const miner = createTestClient({ mode: "hardhat", transport: http(x.url) });
after(async () => {
  await node.stop();
  await x.stop();
});

/** Somebody with ether, whose transactions go through the flaky node. */
let sender: Sender;
beforeEach(async () => {
  sender = senderOf(node.url, chain.chainId, generatePrivateKey());
  await miner.setBalance({ address: sender.address, value: 10n ** 24n });
});
afterEach(() => miner.setAutomine(true));

/** A call that everybody may make. */
function send(options: SendOptions = {}): Promise<TransactionReceipt> {
  const data = encodeFunctionData({ abi: testDollarAbi, functionName: "approve", args: [chain.address, 1n] });
  return sendCall(chain.client, sender, { to: x.deployed.token, data }, options);
}

function nonceOf({ address }: Sender): Promise<number> {
  return x.chain.client.getTransactionCount({ address });
}

async function feesOf(hash: Hex): Promise<readonly [bigint, bigint]> {
  const { maxFeePerGas, maxPriorityFeePerGas } = await x.chain.client.getTransaction({ hash });
  return [maxFeePerGas ?? 0n, maxPriorityFeePerGas ?? 0n];
}

/** Mines a block every now and then until something is done. */
async function miningUntil<T>(promise: Promise<T>, beforeEachBlock?: () => Promise<void>): Promise<T> {
  const pending = Symbol("pending");
  for (;;) {
    const outcome = await Promise.race([promise, setTimeout(100, pending)]);
    if (outcome !== pending) return promise;
    await beforeEachBlock?.();
    await miner.mine({ blocks: 1 });
  }
}

describe("a call", { timeout: 60_000 }, () => {
  test("whose answer gets lost lands once, and is known to have landed [CHN-8, CHN-10]", async () => {
    const sent: Hex[] = [];
    node.loseAnswers(1);
    const receipt = await send({ onSend: (hash) => sent.push(hash) });
    assert.deepEqual([sent, await nonceOf(sender)], [[receipt.transactionHash], 1]);
  });

  test("that gets lost on the way is sent again [CHN-8, CHN-10]", async () => {
    node.loseTransactions(2);
    await send();
    assert.equal(await nonceOf(sender), 1);
  });

  test("waits for a node that goes away and comes back, or is out of order for a while [CHN-10]", async () => {
    await node.goAway();
    const first = send();
    await setTimeout(600);
    await node.comeBack();
    await first;
    node.failNext(6);
    await send();
    node.delay(50);
    await send();
    node.delay(0);
    assert.equal(await nonceOf(sender), 3);
  });

  test("gives a node up that stays away, and says whether anything was sent [CHN-10]", async () => {
    const sent: Hex[] = [];
    const options: SendOptions = { patienceMs: 300, onSend: (hash) => sent.push(hash) };
    await node.goAway();
    await assert.rejects(send(options), ChainUnavailable);
    assert.deepEqual(sent, []);
    await node.comeBack();
    node.before("eth_sendRawTransaction", () => node.goAway());
    await assert.rejects(send(options), ChainUnavailable);
    assert.equal(sent.length, 1);
    await node.comeBack();
    await send();
    // What was given up had landed.
    assert.equal(await nonceOf(sender), 2);
  });

  test("that is too cheap is offered for an eighth more each time, in both fees [CHN-9]", async () => {
    const plain = await feesOf((await send()).transactionHash);
    for (const message of [
      "replacement transaction underpriced",
      "max fee per gas less than block base fee: address 0x00, maxFeePerGas: 1, baseFee: 2",
    ]) {
      node.refuseTransactions(3, message);
      const raised = await feesOf((await send()).transactionHash);
      plain.forEach((fee, i) => {
        // The base fee falls from block to block here.
        assert.ok((raised[i] ?? 0n) * 100n > fee * 120n, `${String(raised[i])} after ${fee}`);
      });
    }
    assert.equal(await nonceOf(sender), 3);
  });

  test("never costs more than its limit, and its nonce goes to the next one [CHN-7, CHN-9]", async () => {
    node.refuseTransactions(1_000);
    await assert.rejects(send({ maxFeePerGas: 5n * 10n ** 9n }), FeeAboveLimit);
    node.refuseTransactions(0);
    await send();
    assert.equal(await nonceOf(sender), 1);
  });

  test("that the node does not take leaves no gap before the next ones, under way at once [CHN-7]", async () => {
    node.refuseTransactions(1, "insufficient funds for gas * price + value: balance 0");
    await assert.rejects(send(), CallImpossible);
    await miner.setAutomine(false);
    const calls = Promise.all(Array.from({ length: 5 }, () => send()));
    const receipts = await miningUntil(calls);
    assert.equal(new Set(receipts.map(({ transactionHash }) => transactionHash)).size, 5);
    assert.equal(await nonceOf(sender), 5);
  });

  test("finds its nonce again when the counter was wrong [CHN-7]", async () => {
    await send();
    const { nonceManager } = sender.wallet.account;
    assert.ok(nonceManager);
    await nonceManager.consume({ address: sender.address, chainId: LOCAL_CHAIN_ID, client: chain.client });
    await Promise.all([send(), send()]);
    assert.equal(await nonceOf(sender), 3);
  });

  test("that waits too long is replaced by a dearer one, and either may land [CHN-8, CHN-9]", async () => {
    await miner.setAutomine(false);
    const sent: Hex[] = [];
    const waiting = send({ resendAfterMs: 200, onSend: (hash) => sent.push(hash) });
    while (sent.length < 3) await setTimeout(20);
    const receipt = await miningUntil(waiting);
    assert.ok(sent.includes(receipt.transactionHash));
    assert.equal(await nonceOf(sender), 1);
  });

  test("catches up with a base fee that climbs above its offer [CHN-9]", async () => {
    await miner.setAutomine(false);
    const sent: Hex[] = [];
    const waiting = send({ resendAfterMs: 200, onSend: (hash) => sent.push(hash) });
    while (sent.length < 1) await setTimeout(20);
    const receipt = await miningUntil(waiting, () =>
      miner.setNextBlockBaseFeePerGas({ baseFeePerGas: 20n * 10n ** 9n }),
    );
    assert.ok(receipt.effectiveGasPrice >= 20n * 10n ** 9n && sent.length > 1);
    await miner.setNextBlockBaseFeePerGas({ baseFeePerGas: 10n ** 9n });
    await miner.mine({ blocks: 1 });
  });

  test("that the node took and forgot is sent again [CHN-8, CHN-9]", async () => {
    node.swallowTransactions(1);
    await send({ resendAfterMs: 200 });
    assert.equal(await nonceOf(sender), 1);
  });

  test("that is never mined is given up in time [CHN-10]", async () => {
    await miner.setAutomine(false);
    await assert.rejects(send({ giveUpAfterMs: 400 }), ChainUnavailable);
    await miner.setAutomine(true);
    await miner.mine({ blocks: 1 });
  });

  test("whose block is taken back is sent again until enough blocks are on top of it [CHN-11]", async () => {
    const undo = await node.reorganisation();
    let mined = false;
    const sent: Hex[] = [];
    const waiting = send({ confirmations: 3, onSend: (hash) => sent.push(hash) });
    while (!mined) mined = (await nonceOf(sender)) === 1;
    await setTimeout(200);
    await undo();
    assert.equal(await nonceOf(sender), 0);
    const { blockNumber, blockHash, transactionHash } = await miningUntil(waiting);
    const block = await x.chain.client.getBlock({ blockNumber });
    assert.deepEqual([block.hash, block.transactions], [blockHash, [transactionHash]]);
    assert.ok((await x.chain.client.getBlockNumber()) >= blockNumber + 3n);
    assert.deepEqual([sent, await nonceOf(sender)], [[transactionHash], 1]);
  });

  test("is waited for no longer once the signal is given [CHN-12]", async () => {
    await miner.setAutomine(false);
    const stop = new AbortController();
    const waiting = assert.rejects(send({ signal: stop.signal }), WaitEnded);
    await setTimeout(150);
    const start = performance.now();
    stop.abort();
    await waiting;
    assert.ok(performance.now() - start < 5_000);
    await assert.rejects(send({ signal: stop.signal }), WaitEnded);
  });

  test("that fails in its block says what the contract said [CHN-8]", async () => {
    const payers = [await x.fundedSender(10n * x.terms.seatBond), await x.fundedSender(10n * x.terms.seatBond)];
    const ownerKey = fresh();
    await miner.setAutomine(false);
    const calls = Promise.allSettled(payers.map((payer) => openSeat(chain, payer, ownerKey)));
    const [first, second] = await miningUntil(calls);
    const failed = [first, second].find((outcome) => outcome?.status === "rejected");
    assert.ok(failed?.status === "rejected" && failed.reason instanceof ContractRefused);
    assert.equal(failed.reason.code, "OwnerKeyUsed");
  });
});

test("what nodes say of a transaction is understood in the words of each [CHN-7, CHN-8, CHN-9]", () => {
  const said = (message: string) => {
    const cause = new RpcRequestError({ body: {}, url: "http://node", error: { code: -32_000, message } });
    return rejectionOf(new InvalidInputRpcError(cause));
  };
  const words = {
    known: ["already known", "Known transaction: 0x12", "AlreadyKnown", "transaction already imported"],
    nonceTooLow: [
      "nonce too low: next nonce 5, tx nonce 4",
      "Nonce too low. Expected nonce to be 1 but got 0.",
      "OldNonce",
    ],
    nonceTooHigh: ["nonce too high", "Nonce too high. Expected nonce to be 1 but got 5."],
    underpriced: [
      "replacement transaction underpriced",
      "transaction underpriced: tip needed 1000, tip permitted 1",
      "Replacement transaction underpriced. A gasPrice/maxFeePerGas of at least 3300000000 is necessary",
      "max fee per gas less than block base fee: address 0x00, maxFeePerGas: 1, baseFee: 2",
      "Transaction maxFeePerGas (100) is too low for the next block, which has a baseFeePerGas of 765701563",
      "FeeTooLow, MaxFeePerGas too low",
    ],
  };
  for (const [meaning, messages] of Object.entries(words)) {
    for (const message of messages) assert.equal(said(message), meaning, message);
  }
  assert.equal(said("insufficient funds for gas * price + value"), undefined);
  assert.equal(said("exceeds block gas limit"), undefined);
});
