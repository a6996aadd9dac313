import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { generatePrivateKey } from "viem/accounts";
import { ChainState } from "../../src/chain/chainState.ts";
import { type Chain, closeEpoch, connect, openSeat, WrongChain } from "../../src/chain/clearingHouse.ts";
import { deployExchange, DevelopmentKeyOnly, LOCAL_CHAIN_ID } from "../../src/chain/deploy.ts";
import { DOLLAR } from "../../src/clearing/leanHogs.ts";
import { hash2, TAG_OWNER } from "../../src/protocol/hash.ts";
import { type Exchange, startExchange } from "../support/exchange.ts";
import { openEpoch } from "../support/openEpoch.ts";

let x: Exchange;
before(async () => {
  x = await startExchange();
});
after(() => x.stop());

/** The same chain, on which one call fails once, as calls to a node do. */
function failingOnce(chain: Chain): { readonly chain: Chain; readonly failures: () => number } {
  let failures = 0;
  const clock: Chain["house"]["read"]["clock"] = (...parameters) => {
    if (failures++ === 0) return Promise.reject(new Error("the line went dead"));
    return chain.house.read.clock(...parameters);
  };
  const read = new Proxy(chain.house.read, {
    get: (target, name, receiver): unknown => (name === "clock" ? clock : Reflect.get(target, name, receiver)),
  });
  return { chain: { ...chain, house: { ...chain.house, read } }, failures: () => failures };
}

test("a call that fails at the turn of an epoch is made up for at the next sync, and nothing is read twice [BAT-16]", async () => {
  const payer = await x.fundedSender(10_000n * DOLLAR);
  const flaky = failingOnce(x.chain);
  await assert.rejects(ChainState.follow(flaky.chain));
  const state = await ChainState.follow(flaky.chain);
  const before = state.epoch;

  await openSeat(x.chain, payer, hash2(TAG_OWNER, 1n));
  await x.advanceTime(x.terms.tradingTime);
  await closeEpoch(x.chain, x.operator);
  await x.advanceTime(x.terms.windowA + x.terms.windowB);
  await openEpoch(x, x.operator);

  const again = failingOnce(x.chain);
  Object.assign(flaky.chain.house, { read: again.chain.house.read });
  await assert.rejects(state.sync());
  await state.sync();
  await x.state.sync();
  assert.equal(state.epoch, before + 1);
  assert.equal(state.events.length, x.state.events.length);
  assert.equal(state.tree(1n).root, x.state.tree(1n).root);
});

test("a node of another chain is refused before anything is signed for it [THR-11]", async () => {
  await assert.rejects(connect(x.url, x.chain.address, LOCAL_CHAIN_ID + 1), WrongChain);
});

test("the development key is not deployed on any chain but a local one [THR-14]", async () => {
  const mainnet = createServer((request, response) => {
    request.resume();
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ jsonrpc: "2.0", id: 1, result: "0x1" }));
  });
  await once(mainnet.listen(0, "127.0.0.1"), "listening");
  const address = mainnet.address();
  assert.ok(typeof address === "object" && address !== null);
  const plan = {
    url: `http://127.0.0.1:${address.port}`,
    deployerKey: generatePrivateKey(),
    owner: x.owner.address,
    operator: x.operator.address,
    governanceDelay: 86_400,
    clearingTerms: x.terms,
    markets: x.markets,
  };
  await assert.rejects(deployExchange(plan), DevelopmentKeyOnly);
  mainnet.close();
});
