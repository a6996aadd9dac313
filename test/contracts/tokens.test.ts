import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { encodeFunctionData, parseAbi } from "viem";
import { clearingHouseAbi } from "../../src/protocol/abi.ts";
import { approve, call, deposit, openSeat, readTokenBalance, type Sender } from "../../src/chain/clearingHouse.ts";
import { DOLLAR } from "../../src/clearing/leanHogs.ts";
import type { Action } from "../../src/protocol/action.ts";
import { FIELD_MODULUS } from "../../src/protocol/field.ts";
import type { Hex } from "../../src/protocol/keys.ts";
import { zeroNote } from "../../src/protocol/note.ts";
import { fresh, freshAddress, startDesk } from "../support/desk.ts";

// Money in and out, with a token that can misbehave in every way.

const hostileAbi = parseAbi([
  "function faucet(address to, uint256 amount)",
  "function takeFee(uint256 percent)",
  "function refuse(address to, bool byFalse)",
  "function callBack(address target, bytes callback)",
  "function callbackSucceeded() view returns (bool)",
  "function callbackResult() view returns (bytes)",
]);

const desk = await startDesk({ token: "HostileToken" });
const { x, house } = desk;
const { relayFee, seatBond } = x.terms;
const NOBODY: Hex = "0x0000000000000000000000000000000000000000";

await desk.fillPool(100_000n);
const payer = await x.fundedSender(100_000n * DOLLAR);
const stranger = await x.fundedSender(1_000n * DOLLAR);
const to = freshAddress();

type Manner =
  | { readonly functionName: "takeFee"; readonly args: readonly [percent: bigint] }
  | { readonly functionName: "refuse"; readonly args: readonly [to: Hex, byFalse: boolean] }
  | { readonly functionName: "callBack"; readonly args: readonly [target: Hex, callback: Hex] }
  | { readonly functionName: "faucet"; readonly args: readonly [to: Hex, amount: bigint] };

/** Tells the token how to behave. */
async function tell(manner: Manner): Promise<void> {
  const data = encodeFunctionData({ abi: hostileAbi, ...manner });
  const hash = await stranger.wallet.sendTransaction({ to: x.deployed.token, data });
  assert.equal((await x.chain.client.waitForTransactionReceipt({ hash })).status, "success");
}

const withdrawTo = (recipient: Hex, amount = 100n * DOLLAR): Action => ({
  name: "withdraw",
  to: recipient,
  amount,
  relayFee,
});
const call1 = (functionName: "requestCreditRefund" | "refundCredit", creditId: bigint, by: Sender) => () =>
  call(x.chain, by, { functionName, args: [creditId] });

describe("deposits", () => {
  test("of nothing, or for nobody, are refused [CRE-1]", async () => {
    await desk.refuses(() => deposit(x.chain, payer, 0n, to), "ZeroAmount");
    await desk.refuses(() => deposit(x.chain, payer, 1n, NOBODY), "BadRecipient", { to: NOBODY });
  });

  test("become credits of exactly their amount, each with a name of its own [CRE-1]", async () => {
    await desk.rollback(async () => {
      const before = await desk.fingerprint();
      const ids = [await deposit(x.chain, payer, 5n, to), await deposit(x.chain, payer, 5n, to)];
      assert.notEqual(ids[0], ids[1]);
      const { buckets, tokens } = await desk.fingerprint();
      assert.equal(buckets.credits, before.buckets.credits + 10n);
      assert.equal(tokens, before.tokens + 10n);
    });
  });

  test("beyond the range of the circuit are refused [NUM-2]", async () => {
    const rich = await x.fundedSender(2n ** 120n);
    const limit = 2n ** 119n;
    const most = limit - (await readTokenBalance(x.chain));
    await desk.refuses(() => deposit(x.chain, rich, most, to), "DepositTooLarge", { balance: limit, limit });
    await desk.rollback(async () => {
      await deposit(x.chain, rich, most - 1n, to);
    });
  });

  test("come back to their depositor only, after the delay, and once [CRE-4]", async () => {
    await desk.rollback(async () => {
      const creditId = await deposit(x.chain, payer, 700n, to);
      await desk.refuses(call1("refundCredit", creditId, payer), "CreditNotOpen");
      await desk.refuses(call1("requestCreditRefund", creditId, stranger), "NotDepositor", {
        caller: stranger.address,
      });
      await desk.refuses(call1("requestCreditRefund", creditId + 1n, payer), "CreditNotOpen");
      await call1("requestCreditRefund", creditId, payer)();
      await x.advanceTime(x.terms.refundDelay - 10);
      await desk.refuses(call1("refundCredit", creditId, stranger), "TooEarly");
      await call1("requestCreditRefund", creditId, payer)();
      await x.advanceTime(x.terms.refundDelay - 10);
      await desk.refuses(call1("refundCredit", creditId, stranger), "TooEarly");
      await x.advanceTime(10);
      const held = await readTokenBalance(x.chain, payer.address);
      await call1("refundCredit", creditId, stranger)();
      assert.equal(await readTokenBalance(x.chain, payer.address), held + 700n);
      await desk.refuses(call1("refundCredit", creditId, payer), "CreditNotOpen");
      await desk.refuses(call1("requestCreditRefund", creditId, payer), "CreditNotOpen");
    });
  });

  test("are either funded or refunded, whichever comes first [CRE-5]", async () => {
    await desk.rollback(async () => {
      const [first, second] = [await desk.newCredit(5n), await desk.newCredit(5n)];
      for (const { creditId, depositor } of [first, second]) await call1("requestCreditRefund", creditId, depositor)();
      await x.advanceTime(x.terms.refundDelay);
      await desk.batch([await desk.rawFund(first)]);
      await desk.refuses(call1("refundCredit", first.creditId, first.depositor), "CreditNotOpen");
      await call1("refundCredit", second.creditId, stranger)();
      await desk.skips([await desk.rawFund(second)], "CreditUnavailable");
    });
  });
});

describe("seats", () => {
  const openWith = (ownerKey: bigint) => () => openSeat(x.chain, payer, ownerKey);

  test("open once for each owner key, which is not zero and canonical [SEA-1, NUM-1]", async () => {
    await desk.rollback(async () => {
      const key = fresh();
      await openWith(key)();
      await desk.refuses(openWith(key), "OwnerKeyUsed", { ownerKey: key });
      await desk.refuses(openWith(0n), "ZeroOwnerKey");
      await desk.refuses(openWith(key + FIELD_MODULUS), "OwnerKeyNotCanonical", { ownerKey: key + FIELD_MODULUS });
      await desk.refuses(openWith(FIELD_MODULUS), "OwnerKeyNotCanonical");
    });
  });

  test("begin with the zero note that the contract makes itself, in the tree of the day they can act on [SEA-2, SEA-3]", async () => {
    await desk.rollback(async () => {
      const [today, tomorrow] = [fresh(), fresh()];
      await openWith(today)();
      await desk.close();
      await openWith(tomorrow)();
      await desk.sync();
      assert.equal(x.state.locate(zeroNote(today)).tree, 1n);
      assert.equal(x.state.locate(zeroNote(tomorrow)).tree, 2n);
      const seat = await house.read.seatOf([tomorrow]);
      assert.deepEqual(seat, { status: 1, lastEpoch: 2, bond: seatBond });
    });
  });

  test("whose bond is not paid do not open [SEA-12]", async () => {
    await approve(x.chain, stranger, seatBond - 1n);
    await desk.refuses(() => openSeat(x.chain, stranger, fresh()), "ERC20InsufficientAllowance");
    await approve(x.chain, stranger, 1_000n * DOLLAR);
  });

  test("never open a second time once they are closed [SEA-11]", async () => {
    await desk.rollback(async () => {
      const { account } = await desk.newSeat();
      await desk.batch([await account.closeSeat(to)]);
      assert.equal(await readTokenBalance(x.chain, to), seatBond - relayFee);
      const { ownerKey } = account.keys;
      await desk.refuses(openWith(ownerKey), "OwnerKeyUsed", { ownerKey });
      const again = await desk.raw({ name: "sleep", relayFee }, { seat: ownerKey });
      await desk.skips([again], "SeatUnavailable");
    });
  });
});

describe("a token that", () => {
  test("keeps a fee brings in nothing: deposits, bonds and contributions are refused [CRE-6]", async () => {
    await desk.rollback(async () => {
      await tell({ functionName: "takeFee", args: [1n] });
      const amount = 100n * DOLLAR;
      const received = { expected: amount, received: amount - DOLLAR };
      await desk.refuses(() => deposit(x.chain, payer, amount, to), "UnsupportedToken", received);
      await desk.refuses(() => openSeat(x.chain, payer, fresh()), "UnsupportedToken", { expected: seatBond });
      const contribute = () => call(x.chain, payer, { functionName: "contributeToFund", args: [amount] });
      await desk.refuses(contribute, "UnsupportedToken", received);
    });
  });

  for (const byFalse of [true, false]) {
    test(`refuses a recipient by ${byFalse ? "saying no" : "reverting"} leaves the payment owed, and stops nothing [PAY-3, PAY-4]`, async () => {
      await desk.rollback(async () => {
        await tell({ functionName: "refuse", args: [to, byFalse] });
        const other = freshAddress();
        const { buckets, tokens } = await desk.fingerprint();
        await desk.batch([
          await desk.raw(withdrawTo(to)),
          await desk.raw(withdrawTo(other)),
          await desk.raw(withdrawTo(to)),
        ]);
        const now = await desk.fingerprint();
        assert.equal(await readTokenBalance(x.chain, other), 100n * DOLLAR);
        assert.equal(await house.read.owedTo([to]), 200n * DOLLAR);
        assert.equal(now.tokens, tokens - 100n * DOLLAR);
        assert.deepEqual(now.buckets, {
          ...buckets,
          poolCash: buckets.poolCash - 300n * DOLLAR - 3n * relayFee,
          fees: buckets.fees + 3n * relayFee,
          owed: 200n * DOLLAR,
        });

        const collect = () => call(x.chain, stranger, { functionName: "collectOwed", args: [to] });
        await desk.refuses(collect, byFalse ? "SafeERC20FailedOperation" : "Error");
        await tell({ functionName: "refuse", args: [NOBODY, byFalse] });
        await collect();
        assert.equal(await readTokenBalance(x.chain, to), 200n * DOLLAR);
        assert.equal((await house.read.buckets()).owed, 0n);
        await desk.refuses(collect, "NothingOwed", { to });
      });
    });
  }

  test("refuses a depositor or an operator leaves refund and fees owed [PAY-3, FEE-5]", async () => {
    await desk.rollback(async () => {
      const { creditId, depositor, amount } = await desk.newCredit(5n);
      await call1("requestCreditRefund", creditId, depositor)();
      await x.advanceTime(x.terms.refundDelay);
      await tell({ functionName: "refuse", args: [depositor.address, false] });
      await call1("refundCredit", creditId, stranger)();
      assert.equal(await house.read.owedTo([depositor.address]), amount);
      const { fees } = await house.read.buckets();
      await tell({ functionName: "refuse", args: [to, false] });
      await call(x.chain, x.operator, { functionName: "collectFees", args: [to] });
      assert.equal(await house.read.owedTo([to]), fees);
    });
  });

  const reentries: readonly (readonly [what: string, data: Hex])[] = [
    ["deposit", encodeFunctionData({ abi: clearingHouseAbi, functionName: "deposit", args: [1n, to] })],
    ["openSeat", encodeFunctionData({ abi: clearingHouseAbi, functionName: "openSeat", args: [99n] })],
    [
      "submitTransitions",
      encodeFunctionData({ abi: clearingHouseAbi, functionName: "submitTransitions", args: [[], []] }),
    ],
    ["collectOwed", encodeFunctionData({ abi: clearingHouseAbi, functionName: "collectOwed", args: [to] })],
    ["openEpoch", encodeFunctionData({ abi: clearingHouseAbi, functionName: "openEpoch", args: [] })],
    ["forfeitBond", encodeFunctionData({ abi: clearingHouseAbi, functionName: "forfeitBond", args: [1n] })],
    ["contributeToFund", encodeFunctionData({ abi: clearingHouseAbi, functionName: "contributeToFund", args: [1n] })],
  ];
  for (const [what, data] of reentries) {
    test(`calls ${what} while it pays or is paid finds the door shut, and the payment stands [PAY-6]`, async () => {
      await desk.rollback(async () => {
        await tell({ functionName: "callBack", args: [x.chain.address, data] });
        const guard = encodeFunctionData({ abi: parseAbi(["function ReentrancyGuardReentrantCall()"]) });
        for (const play of [
          async () => desk.batch([await desk.raw(withdrawTo(to))]),
          () => deposit(x.chain, payer, 5n, to),
          () => openSeat(x.chain, payer, fresh()),
        ]) {
          await play();
          const read = { address: x.deployed.token, abi: hostileAbi } as const;
          assert.equal(await x.chain.client.readContract({ ...read, functionName: "callbackSucceeded" }), false);
          assert.equal(await x.chain.client.readContract({ ...read, functionName: "callbackResult" }), guard);
        }
        assert.equal(await readTokenBalance(x.chain, to), 100n * DOLLAR);
        await tell({ functionName: "callBack", args: [NOBODY, "0x"] });
      });
    });
  }
});

describe("fees and fund", () => {
  test("fees go to the operator alone, and touch no other bucket [FEE-5]", async () => {
    const collect = (by: Sender, recipient: Hex) => () =>
      call(x.chain, by, { functionName: "collectFees", args: [recipient] });
    await desk.refuses(collect(stranger, to), "NotOperator", { caller: stranger.address });
    await desk.refuses(collect(x.operator, NOBODY), "BadRecipient");
    await desk.refuses(collect(x.operator, x.chain.address), "BadRecipient");
    await desk.rollback(async () => {
      const { buckets } = await desk.fingerprint();
      await collect(x.operator, to)();
      assert.deepEqual(await house.read.buckets(), { ...buckets, fees: 0n });
      assert.equal(await readTokenBalance(x.chain, to), buckets.fees);
      await desk.refuses(collect(x.operator, to), "ZeroAmount");
    });
  });

  test("a contribution is more than nothing [FND-1]", async () => {
    await desk.refuses(() => call(x.chain, payer, { functionName: "contributeToFund", args: [0n] }), "ZeroAmount");
    await desk.rollback(async () => {
      await call(x.chain, payer, { functionName: "contributeToFund", args: [7n] });
      assert.equal((await house.read.buckets()).guarantyFund, 7n);
    });
  });

  // The last test of the file: stray tokens are what a conservation check after it would find.
  test("tokens sent unasked belong to no bucket [CON-1]", async () => {
    const { buckets } = await desk.fingerprint();
    await tell({ functionName: "faucet", args: [x.chain.address, 9n] });
    assert.deepEqual(await house.read.buckets(), buckets);
    await deposit(x.chain, payer, 5n, to);
    assert.deepEqual(await house.read.buckets(), { ...buckets, credits: buckets.credits + 5n });
  });
});
