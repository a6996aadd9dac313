import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { createTestClient, http } from "viem";
import { closeEpoch, connect, deposit, openSeat } from "../../src/chain/clearingHouse.ts";
import { ChainReplaced, ChainState, SLEEPERS } from "../../src/chain/chainState.ts";
import { LOCAL_CHAIN_ID } from "../../src/chain/deploy.ts";
import { startLocalNode } from "../../src/chain/localNode.ts";
import { DOLLAR } from "../../src/clearing/leanHogs.ts";
import { fresh, startDesk } from "../support/desk.ts";
import { startFlakyNode } from "../support/flakyNode.ts";

const desk = await startDesk();
const other = await startLocalNode();
const node = await startFlakyNode(desk.x.url);
const chain = await connect(node.url, desk.x.chain.address, LOCAL_CHAIN_ID);
await desk.newTrader(10n);
after(async () => {
  await node.stop();
  await other.stop();
});

/** All that a reader can see. */
function seenBy(state: ChainState) {
  const { transitioned, credits, spentCredits, seatsOpened, forfeitedBonds, tickets, closedTickets } = state;
  const { fills, events, epoch, phase, newestBlock } = state;
  return {
    ...{ transitioned, credits, spentCredits, seatsOpened, forfeitedBonds, tickets, closedTickets },
    ...{ fills, events, epoch, phase, newest: newestBlock.hash },
    markets: Array.from({ length: epoch + 2 }, (_, number) => state.markets(number)),
    roots: [...Array.from({ length: epoch + 2 }, (_, number) => BigInt(number)), SLEEPERS].map(
      (number) => state.tree(number).root,
    ),
    places: [...transitioned.values()].map(({ newNote }) => state.has(newNote) && state.locate(newNote)),
  };
}

/** What somebody sees who reads the chain for the first time. */
async function seenAfresh() {
  return seenBy(await ChainState.follow(desk.x.chain));
}

async function someSeat(): Promise<void> {
  await openSeat(desk.x.chain, await desk.x.fundedSender(10n * desk.x.terms.seatBond), fresh());
}

describe("blocks that are taken back", () => {
  test("take everything with them that only they said, and readers keep what they hold on to [CHN-1, CHN-2]", () =>
    desk.rollback(async () => {
      const state = await ChainState.follow(chain);
      const { events, credits, seatsOpened, transitioned, fills } = state;
      const undo = await node.reorganisation();
      await desk.newTrader(20n);
      await state.sync();
      assert.deepEqual(seenBy(state), await seenAfresh());
      const longest = events.length;
      await undo();
      await someSeat();
      await state.sync();
      assert.deepEqual(seenBy(state), await seenAfresh());
      assert.equal(state.reorganisations, 1);
      assert.ok(events.length < longest);
      assert.deepEqual(
        [events, credits, seatsOpened, transitioned, fills].map((held, i) => held === heldBy(state)[i]),
        Array<boolean>(5).fill(true),
      );
      // Life goes on.
      await someSeat();
      await state.sync();
      assert.deepEqual(seenBy(state), await seenAfresh());
      assert.equal(state.reorganisations, 1);
    }));

  test("bring back the phase and prices of the day that they had turned [CHN-1, CHN-2]", () =>
    desk.rollback(async () => {
      const state = await ChainState.follow(chain);
      await desk.x.advanceTime(desk.x.terms.tradingTime);
      const undo = await node.reorganisation();
      await closeEpoch(desk.x.chain, desk.x.operator);
      await state.sync();
      assert.equal(state.phase, "window");
      await undo();
      await state.sync();
      assert.equal(state.phase, "trading");
      assert.deepEqual(seenBy(state).markets.slice(0, -1), (await seenAfresh()).markets.slice(0, -1));
      assert.deepEqual([state.epoch, state.reorganisations], [1, 1]);
    }));

  test("and that are more than are remembered, are read again from the start [CHN-2]", () =>
    desk.rollback(async () => {
      const state = await ChainState.follow(chain);
      const undo = await node.reorganisation();
      await someSeat();
      await desk.x.mine(100);
      await state.sync();
      await undo();
      await someSeat();
      await state.sync();
      assert.ok(state.blocksBehind > 64n);
      await desk.x.mine(100);
      await state.sync();
      assert.deepEqual(seenBy(state), await seenAfresh());
      assert.equal(state.reorganisations, 1);
    }));

  test("while they are read leave nothing behind [CHN-5]", () =>
    desk.rollback(async () => {
      for (const method of ["eth_getLogs", "eth_getBlockByNumber"]) {
        for (const blocks of [1, 2]) {
          const state = await ChainState.follow(chain);
          const undo = await node.reorganisation();
          await someSeat();
          await desk.x.mine(blocks);
          node.before(method, undo);
          await state.sync();
          await state.sync();
          assert.deepEqual(seenBy(state), await seenAfresh(), `${method} ${blocks}`);
        }
      }
    }));
});

function heldBy({ events, credits, seatsOpened, transitioned, fills }: ChainState) {
  return [events, credits, seatsOpened, transitioned, fills];
}

describe("a node", () => {
  test("that lags behind takes nothing back, and it shows that it does [CHN-3]", () =>
    desk.rollback(async () => {
      await someSeat();
      await desk.x.mine(3);
      const state = await ChainState.follow(chain);
      const seen = seenBy(state);
      for (const blocks of [1, 3, 5]) {
        node.lagBy(blocks);
        await state.sync();
        assert.deepEqual([seenBy(state), state.blocksBehind, state.reorganisations], [seen, BigInt(blocks), 0]);
      }
      node.lagBy(0);
      await someSeat();
      await state.sync();
      assert.deepEqual([state.blocksBehind, state.reorganisations], [0n, 0]);
      assert.deepEqual(seenBy(state), await seenAfresh());
    }));

  test("that serves another chain after a restart is an error, and what was read stays [CHN-4]", () =>
    desk.rollback(async () => {
      const state = await ChainState.follow(chain);
      const seen = seenBy(state);
      node.moveTo(other.url);
      await assert.rejects(state.sync(), ChainReplaced);
      await createTestClient({ mode: "hardhat", transport: http(other.url) }).mine({ blocks: 100 });
      await assert.rejects(state.sync(), ChainReplaced);
      assert.deepEqual(seenBy(state), seen);
      node.moveTo(desk.x.url);
      await state.sync();
      assert.deepEqual([seenBy(state), state.reorganisations], [seen, 0]);
    }));

  test("on whose chain the clearing house is gone is an error [CHN-4]", () =>
    desk.rollback(async () => {
      const state = await ChainState.follow(chain);
      const undo = await node.reorganisation();
      await desk.x.mine(1);
      await state.sync();
      await undo();
      const testClient = createTestClient({ mode: "hardhat", transport: http(desk.x.url) });
      const { address } = chain;
      const bytecode = await chain.client.getCode({ address });
      await testClient.setCode({ address, bytecode: "0x" });
      await assert.rejects(state.sync(), ChainReplaced);
      await testClient.setCode({ address, bytecode: bytecode ?? "0x" });
      await state.sync();
      assert.deepEqual(seenBy(state), await seenAfresh());
    }));

  test("is asked once if nothing is new, and twice for a block, however much there is already [CHN-6]", () =>
    desk.rollback(async () => {
      const state = await ChainState.follow(chain);
      const asked = async (): Promise<number> => {
        const sofar = node.total;
        await state.sync();
        return node.total - sofar;
      };
      const payer = await desk.x.fundedSender(10n * DOLLAR);
      await state.sync();
      assert.equal(await asked(), 1);
      for (let i = 0; i < 3; i++) {
        await deposit(desk.x.chain, payer, DOLLAR, payer.address);
        assert.equal(await asked(), 2);
        await desk.x.mine(1);
        assert.equal(await asked(), 2);
      }
      assert.equal(state.events.filter(({ eventName }) => eventName === "CreditOpened").length, 4);
    }));
});
