import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import { after, test } from "node:test";
import { createTestClient, http } from "viem";
import { followClock, type Head } from "../../src/chain/chainClock.ts";
import { connect, ChainUnavailable } from "../../src/chain/clearingHouse.ts";
import { LOCAL_CHAIN_ID } from "../../src/chain/deploy.ts";
import { startLocalNode } from "../../src/chain/localNode.ts";
import { startFlakyNode } from "../support/flakyNode.ts";

const local = await startLocalNode();
const node = await startFlakyNode(local.url);
const chain = await connect(node.url, `0x${"11".repeat(20)}`, LOCAL_CHAIN_ID);
const miner = createTestClient({ mode: "hardhat", transport: http(local.url) });
after(async () => {
  await node.stop();
  await local.stop();
});

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await setTimeout(10);
}

test("a chain's clock jumps with its blocks, goes on without its node, and never falls [CHN-13, CHN-14]", async () => {
  await miner.mine({ blocks: 1 });
  const clock = await followClock(chain, { pollMs: 20 });
  const seen: Head[] = [];
  clock.onBlock((head) => seen.push(head));
  const start = clock.now();
  assert.equal(start, clock.head.timestamp);

  const undo = await node.reorganisation();
  await miner.increaseTime({ seconds: 1_000 });
  await miner.mine({ blocks: 1 });
  await until(() => seen.length >= 1);
  const jumped = clock.now();
  assert.ok(jumped >= start + 1_000n && clock.reachable);

  await undo();
  await until(() => seen.length >= 2);
  assert.ok(clock.now() >= jumped && clock.head.timestamp < jumped);
  await miner.increaseTime({ seconds: 2_000 });
  await miner.mine({ blocks: 1 });
  await until(() => seen.length >= 3);
  const { lastSeenAt } = clock;
  await node.goAway();
  await until(() => !clock.reachable);
  const away = clock.now();
  await setTimeout(1_100);
  assert.ok(clock.now() > away && clock.lastSeenAt < performance.now() - 1_000 && clock.lastSeenAt >= lastSeenAt);
  await assert.rejects(followClock(chain), ChainUnavailable);
  await node.comeBack();
  await until(() => clock.reachable);
  clock.stop();
  await setTimeout(50);
  const asked = node.total;
  await setTimeout(60);
  assert.equal(node.total, asked);
});
