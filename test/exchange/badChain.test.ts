import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type ChainClock, followClock } from "../../src/chain/chainClock.ts";
import { ChainState } from "../../src/chain/chainState.ts";
import { connect, senderOf } from "../../src/chain/clearingHouse.ts";
import { LOCAL_CHAIN_ID } from "../../src/chain/deploy.ts";
import { startLocalNode } from "../../src/chain/localNode.ts";
import type { SendOptions } from "../../src/chain/sending.ts";
import { DOLLAR, LEAN_HOG_TERMS } from "../../src/clearing/leanHogs.ts";
import { Batcher } from "../../src/exchange/batcher.ts";
import { JournalFailed } from "../../src/exchange/journal/errors.ts";
import { type Journal, openJournal } from "../../src/exchange/journal/journal.ts";
import { memoryStore } from "../../src/exchange/memoryStore.ts";
import { Operator, type OperatorParts } from "../../src/exchange/operator.ts";
import type { PostedBatch } from "../../src/exchange/posting.ts";
import type { Loss } from "../../src/exchange/sequencer.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import type { Side } from "../../src/protocol/order.ts";
import { type RawTicket, startDesk } from "../support/desk.ts";
import { startFlakyNode } from "../support/flakyNode.ts";

// An exchange behind a node that fails it in every way there is. The contract believes every proof here.

const CENTRE = LEAN_HOG_TERMS.listingPrice;
const believing = { verifyBatch: (): Promise<number[]> => Promise.resolve([]) };
/** Little patience, so that the exchange itself has to try again. */
const HASTE: SendOptions = { patienceMs: 200, resendAfterMs: 300, giveUpAfterMs: 5_000 };

const desk = await startDesk();
await desk.fillPool(900_000n);
const node = await startFlakyNode(desk.x.url);
const chain = await connect(node.url, desk.x.chain.address, LOCAL_CHAIN_ID);
after(() => node.stop());

/** An operator behind the flaky node with two tickets, on a chain that is put back afterwards. */
type Site = {
  readonly operator: Operator;
  readonly clock: ChainClock;
  readonly losses: Loss[];
  /** Two orders that trade with each other. */
  readonly trade: (quantity?: number) => Promise<void>;
  /** What happened on chain is what the operator says, once. */
  readonly assertSettled: () => Promise<void>;
  /** The same operator after a crash: another one on what the first had made durable. */
  readonly restarted: (parts?: Partial<OperatorParts>) => Promise<Site>;
};

async function onSite(work: (site: Site) => Promise<void>, parts: Partial<OperatorParts> = {}): Promise<void> {
  await desk.rollback(async () => {
    const directory = await mkdtemp(join(tmpdir(), "hedgerow-chain-"));
    const closing: (() => Promise<void> | void)[] = [() => rm(directory, { recursive: true, force: true })];
    try {
      const { transition, tickets } = await desk.rawOpening(0, [
        { cash: 50_000n * DOLLAR },
        { cash: 50_000n * DOLLAR },
      ]);
      const site = await siteIn(directory, tickets, closing, parts);
      await site.operator.submitTransition(transition);
      await site.operator.flush();
      await work(site);
      assert.deepEqual(site.losses, []);
    } finally {
      node.lagBy(0);
      node.moveTo(desk.x.url);
      for (const close of closing.reverse()) await close();
    }
  });
}

async function siteIn(
  directory: string,
  tickets: readonly RawTicket[],
  closing: (() => Promise<void> | void)[],
  parts: Partial<OperatorParts>,
  losses: Loss[] = [],
): Promise<Site> {
  const journal: Journal = await openJournal({ directory, identity: "bad chain" });
  const clock = await followClock(chain, { pollMs: 50 });
  closing.push(
    () => journal.close(),
    () => {
      clock.stop();
    },
  );
  const operator = await Operator.create({
    state: await ChainState.follow(chain),
    sender: senderOf(node.url, chain.chainId, desk.x.operatorKey),
    verifier: believing,
    store: journal,
    clock: () => clock.now(),
    isChainReachable: () => clock.reachable,
    sending: HASTE,
    onLoss: (loss) => losses.push(loss),
    ...parts,
  });
  const place = async (ticket: RawTicket | undefined, side: Side, quantity: number): Promise<void> => {
    assert(ticket !== undefined);
    await operator.placeOrder(await desk.order(ticket, { side, limitPrice: CENTRE, quantity }));
  };
  return {
    operator,
    clock,
    losses,
    trade: async (quantity = 1) => {
      await place(tickets[0], "sell", quantity);
      await place(tickets[1], "buy", quantity);
    },
    assertSettled: async () => {
      assert.deepEqual([operator.unsettled, operator.queue], [[], []]);
      const state = await ChainState.follow(desk.x.chain);
      const numbers = state.events.flatMap((event) =>
        event.eventName === "BatchSubmitted" ? [event.args.batchNumber] : [],
      );
      assert.deepEqual(
        numbers,
        numbers.map((_, i) => (numbers[0] ?? 0) + i),
        "each batch has its number",
      );
      assert.equal(operator.epoch().nextBatchNumber, (numbers.at(-1) ?? 0) + 1);
      assert.deepEqual(
        state.fills.map(({ seq, n, quantity }) => ({ seq: Number(seq), n, quantity })),
        operator.trades(0).map(({ seq, n, quantity }) => ({ seq, n, quantity })),
      );
      for (const { ticketId } of tickets) {
        const { cash, position } = await desk.house.read.ticketOf([ticketId]);
        const { settled, balance } = operator.ticketView(ticketId);
        assert.deepEqual([settled, balance], Array(2).fill({ cash, position: BigInt(position) }));
      }
    },
    restarted: async (other = {}) => {
      await journal.close();
      return siteIn(directory, tickets, closing, { ...parts, ...other }, losses);
    },
  };
}

async function refused(work: Promise<unknown>, code: string): Promise<void> {
  await assert.rejects(work, (error) => {
    assert(error instanceof HedgerowError, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  });
}

/** Posts what waits as the batcher does: again and again. Returns how often it was in vain. */
async function postAll(operator: Operator): Promise<number> {
  for (let failures = 0; ; failures++) {
    try {
      await operator.flush();
      return failures;
    } catch (error) {
      assert(error instanceof HedgerowError, String(error));
      assert(failures < 20, error.message);
      await sleep(50);
    }
  }
}

async function until(what: string, so: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!so()) {
    assert(performance.now() < deadline, `waited in vain until ${what}`);
    await sleep(20);
  }
}

describe("a node", () => {
  test("that is away lets orders be taken up to a bound, then they are refused; when it is back all settles [ORD-13, CHN-10]", () =>
    onSite(
      async ({ operator, clock, trade, assertSettled }) => {
        const failures: string[] = [];
        const onFailure = (_: string, { code }: HedgerowError): void => void failures.push(code);
        const batcher = new Batcher(operator, { size: 1, intervalMs: 10 }, { onFailure });
        try {
          await node.goAway();
          await until("the node is missed", () => !clock.reachable);
          for (let i = 0; i < 4; i++) await trade();
          assert.equal(operator.unsettled.length, 4);
          await refused(trade(), "Overloaded");
          assert.equal(operator.health().chainReachable, false);
          await until("the batcher has tried", () => failures.length > 0);
          await node.comeBack();
          await until("everything is settled", () => operator.waiting === 0);
          await trade();
          await until("the newest trade is settled", () => operator.waiting === 0);
          assert.equal(operator.health().chainReachable, true);
          assert.deepEqual([...new Set(failures)], ["ChainUnavailable"]);
        } finally {
          await batcher.stop();
        }
        await assertSettled();
      },
      { bounds: { unsettled: 3 } },
    ));

  const troubles: readonly (readonly [string, () => void])[] = [
    ["whose answer gets lost", () => node.loseAnswers(1)],
    ["that does not get what is sent", () => node.loseTransactions(1)],
    ["that takes what is sent and drops it", () => node.swallowTransactions(1)],
    ["that is out of order", () => node.failNext(12)],
    ["that wants more for gas", () => node.refuseTransactions(3)],
    ["that counts nonces otherwise", () => node.refuseTransactions(1, "nonce too low")],
    ["that cannot run anything", () => node.refuseTransactions(2, "out of memory")],
  ];
  for (const [what, begin] of troubles) {
    test(`${what} gets each batch once [BAT-1, BAT-18, CHN-8]`, () =>
      onSite(async ({ operator, trade, assertSettled }) => {
        await trade();
        begin();
        await postAll(operator);
        await trade(2);
        await postAll(operator);
        await assertSettled();
      }));
  }

  test("that lags behind the receipt that it gave makes nothing be taken for lost, or sent twice [BAT-10, CHN-3]", () =>
    onSite(async ({ operator, trade, assertSettled }) => {
      const { transition, tickets } = await desk.rawOpening(0, [{ cash: 1_000n * DOLLAR }]);
      await operator.submitTransition(transition);
      await trade();
      node.before("eth_getTransactionReceipt", () => {
        node.lagBy(1);
        return Promise.resolve();
      });
      await refused(operator.postBatch(), "ChainUnavailable");
      await trade();
      node.lagBy(0);
      await postAll(operator);
      const { status } = operator.ticketView(tickets[0]?.ticketId ?? "0x");
      assert.equal(status, "open");
      await assertSettled();
    }));
});

describe("a reorganisation", () => {
  test("that takes batches away has them posted again as they were, before any other [BAT-19]", () =>
    onSite(async ({ operator, trade, assertSettled, restarted }) => {
      const undo = await node.reorganisation();
      const before = operator.epoch().nextBatchNumber;
      await trade(2);
      const { transition } = await desk.rawOpening(0, [{ cash: 1_000n * DOLLAR }]);
      await operator.submitTransition(transition);
      await operator.flush();
      await trade();
      await operator.flush();
      const after = operator.epoch().nextBatchNumber;
      assert.equal(after, before + 2);
      await undo();
      await trade();
      await operator.sync();
      assert(operator.hasLostBatches);
      await postAll(operator);
      assert(!operator.hasLostBatches);
      assert.equal(operator.epoch().nextBatchNumber, after + 1);
      await assertSettled();
      const again = await restarted();
      await again.assertSettled();
    }));

  test("during which the exchange was down is noticed when it starts again [BAT-19, JRN-11]", () =>
    onSite(async ({ operator, trade, restarted }) => {
      const undo = await node.reorganisation();
      await trade(2);
      await operator.flush();
      await undo();
      const again = await restarted();
      await postAll(again.operator);
      await again.assertSettled();
    }));

  test("of more batches than are kept is an error, and nothing is posted upon it [BAT-19]", () =>
    onSite(async ({ operator, trade }) => {
      const undo = await node.reorganisation();
      for (let i = 0; i < 5; i++) {
        await trade();
        await operator.flush();
      }
      await undo();
      await trade();
      await refused(operator.postBatch(), "BatchesLost");
      assert.equal((await ChainState.follow(desk.x.chain)).fills.length, 0);
    }));
});

describe("the end of a day", () => {
  test("that a reorganisation takes back is made again [BAT-19, EPO-3]", () =>
    onSite(async ({ operator, clock, trade }) => {
      await trade();
      await postAll(operator);
      await desk.toClosingTime();
      const undo = await node.reorganisation();
      await until("the clock has seen it", () => clock.now() > operator.epoch().closingTime);
      await operator.closeDay();
      assert.equal(operator.epoch().phase, "window");
      await undo();
      await operator.sync();
      assert.equal(operator.epoch().phase, "trading");
      await operator.tick();
      assert(operator.isDayOver);
      await operator.closeDay();
      assert.equal(operator.epoch().phase, "window");
    }));
});

describe("a restart while a batch is in doubt", () => {
  /** Posts, but ends as a killed process does: just after the batch was handed over, or just before. */
  async function postAndEnd({ restarted }: Site, delivered: boolean): Promise<Site> {
    const ending = new AbortController();
    const doomed = await restarted({ sending: { ...HASTE, signal: ending.signal } });
    await doomed.trade(2);
    const end = (): Promise<void> => {
      if (!delivered) node.loseTransactions(1);
      ending.abort();
      return Promise.resolve();
    };
    node.before(delivered ? "eth_getTransactionReceipt" : "eth_sendRawTransaction", end);
    await refused(doomed.operator.postBatch(), "WaitEnded");
    // More is taken before the end. It is no part of the batch.
    await doomed.trade();
    return doomed.restarted({ sending: HASTE });
  }

  for (const delivered of [true, false]) {
    const where = delivered ? "that the chain has" : "that no node has";
    test(`finds the one ${where}, and goes on after it [BAT-1, BAT-18, JRN-11]`, () =>
      onSite(async (site) => {
        const number = site.operator.epoch().nextBatchNumber;
        const { operator, assertSettled } = await postAndEnd(site, delivered);
        const posted: (PostedBatch | undefined)[] = [await operator.postBatch(), await operator.postBatch()];
        assert.deepEqual(
          posted.map((batch) => [batch?.batchNumber, batch?.fills, batch?.receipt === undefined]),
          [
            [number, 1, delivered],
            [number + 1, 1, false],
          ],
        );
        await assertSettled();
      }));
  }
});

describe("a journal that fails", () => {
  test("ends everything: what is not durable is not answered, published or posted [JRN-3, JRN-12, REC-4]", async () => {
    const store = memoryStore();
    const stops: string[] = [];
    const onStop = (cause: unknown): void => void stops.push(String(cause));
    await onSite(
      async ({ operator, trade }) => {
        const heard: string[] = [];
        operator.subscribe(({ kind }) => heard.push(kind));
        await trade();
        const before = heard.length;
        assert(before > 0);
        store.durable = () => Promise.reject(new JournalFailed("here", "the disk is full"));
        await refused(trade(), "ExchangeStopped");
        await refused(trade(), "ExchangeStopped");
        await refused(operator.postBatch(), "ExchangeStopped");
        assert.equal(heard.length, before);
        assert.equal((await ChainState.follow(desk.x.chain)).fills.length, 0);
        assert.equal(stops.length, 1);
        assert.match(stops[0] ?? "", /the disk is full.*remove the cause/);
      },
      { store, onStop },
    );
  });
});

describe("another chain", () => {
  test("behind the same address is an error, and the exchange goes on where it was when the right one is back [CHN-4]", () =>
    onSite(async ({ operator, trade, assertSettled }) => {
      const other = await startLocalNode();
      try {
        await trade();
        node.moveTo(other.url);
        await refused(operator.sync(), "ChainReplaced");
        await refused(operator.postBatch(), "ChainReplaced");
        await trade();
        node.moveTo(desk.x.url);
        await postAll(operator);
        await assertSettled();
      } finally {
        await other.stop();
      }
    }));
});
