import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createTestClient, encodeFunctionData, http } from "viem";
import { deposit, readTokenBalance, submitTransitions } from "../../src/chain/clearingHouse.ts";
import { ChainState } from "../../src/chain/chainState.ts";
import { clearingHouseAbi } from "../../src/protocol/abi.ts";
import type { Hex } from "../../src/protocol/keys.ts";
import { DOLLAR } from "../../src/clearing/leanHogs.ts";
import { recoverAccount } from "../../src/trader/recovery.ts";
import { opening, prove, stepPlanned, stepTrade } from "./actions.ts";
import { addTrader, follow, PHRASE, startWorld, step, type Trader, TRADING_TIME } from "./world.ts";

const EPOCHS = 100;

const world = await startWorld(1, 1, true, { windowBlocks: 1 });
const { exchange } = world;
const { chain, operator, state, terms } = exchange;
after(() => exchange.stop());

async function fund(trader: Trader): Promise<void> {
  await deposit(chain, trader.sender, 20_000n * DOLLAR, trader.account.newCreditKey());
  await follow(world);
  const [credit] = trader.account.state.credits;
  assert.ok(credit !== undefined);
  await stepPlanned(world, "funding", [await prove(world, trader, trader.account.fund(credit.creditId))]);
}

/** Everything of a trader that could cost it something. */
async function belongingsOf({ account, sender }: Trader) {
  const { status, bond } = await chain.house.read.seatOf([account.keys.ownerKey]);
  return {
    seat: { status, bond },
    note: account.state.live,
    wallet: await readTokenBalance(chain, sender.address),
    ether: await chain.client.getBalance({ address: sender.address }),
    transactions: await chain.client.getTransactionCount({ address: sender.address }),
  };
}

/** Days on which nobody does anything, turned by the operator. A call that is refused would leave the epoch behind. */
async function turnDays(days: number): Promise<void> {
  const cheats = createTestClient({ mode: "hardhat", transport: http(exchange.url) });
  const { wallet, address } = operator;
  const fees = await chain.client.estimateFeesPerGas();
  let nonce = await chain.client.getTransactionCount({ address });
  const send = async (data: Hex): Promise<void> => {
    await wallet.sendTransaction({
      to: chain.address,
      data,
      gas: 6_000_000n,
      nonce: nonce++,
      type: "eip1559",
      ...fees,
    });
  };
  const [close, begin, open] = [
    encodeFunctionData({ abi: clearingHouseAbi, functionName: "closeEpoch", args: [[]] }),
    encodeFunctionData({ abi: clearingHouseAbi, functionName: "beginRenewals" }),
    encodeFunctionData({ abi: clearingHouseAbi, functionName: "openEpoch" }),
  ];
  for (let day = 0; day < days; day++) {
    await cheats.increaseTime({ seconds: TRADING_TIME });
    await send(close);
    await cheats.increaseTime({ seconds: terms.windowA + terms.windowB });
    await send(begin);
    await send(open);
  }
}

test("who is flat and asleep for 100 epochs does nothing, pays nothing, and wakes, also from the phrase alone [SEA-7, SEA-9]", async (t) => {
  const [sleeper] = world.traders;
  assert.ok(sleeper !== undefined);
  await fund(sleeper);
  await stepPlanned(world, "falling asleep", [await prove(world, sleeper, sleeper.account.sleep())]);
  assert.deepEqual(sleeper.account.status, { status: "asleep" });
  const before = await belongingsOf(sleeper);

  const started = performance.now();
  await turnDays(EPOCHS);
  t.diagnostic(`${EPOCHS} epochs in ${((performance.now() - started) / 1_000).toFixed(1)} s`);
  await follow(world);
  assert.equal(state.epoch, 1 + EPOCHS);
  assert.deepEqual(sleeper.account.status, { status: "asleep" });
  assert.deepEqual(await belongingsOf(sleeper), before);

  // A wallet that was lost meanwhile finds the same.
  const recovered = recoverAccount(PHRASE, sleeper.number, await ChainState.follow(chain));
  assert.deepEqual(recovered.status, { status: "asleep" });
  assert.deepEqual(recovered.state.live, before.note);

  await step(world, "waking", async () => {
    await submitTransitions(chain, sleeper.sender, [await sleeper.account.wake()]);
    return new Map([[sleeper, 0n]]);
  });
  assert.deepEqual(sleeper.account.status, { status: "active", epoch: state.epoch });
  assert.deepEqual(sleeper.account.account, before.note?.account);

  const other = await addTrader(world);
  await fund(other);
  const { centre: price } = sleeper.account.market(0);
  const buying = { side: "buy", price, quantity: 1n } as const;
  const selling = { side: "sell", price, quantity: 1n } as const;
  await stepPlanned(world, "tickets", [
    await prove(world, sleeper, opening(sleeper, 0, [sleeper.account.ticketFor(0, buying)])),
    await prove(world, other, opening(other, 0, [other.account.ticketFor(0, selling)])),
  ]);
  const [bought, sold] = [sleeper.account.state.tickets[0], other.account.state.tickets[0]];
  assert.ok(bought !== undefined && sold !== undefined);
  await stepTrade(world, { trader: sleeper, ticket: bought }, { trader: other, ticket: sold }, buying);
  const closing = sleeper.account.closeTicket(bought.ticketId);
  await stepPlanned(world, "the position taken home", [await prove(world, sleeper, closing)]);
  assert.equal(sleeper.account.account.positions[0], 1n);
});
