import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { call, type ProvenTransition, type Sender, type SignedOrder } from "../../src/chain/clearingHouse.ts";
import { DOLLAR, LEAN_HOG_TERMS } from "../../src/clearing/leanHogs.ts";
import { BATCH_LIMITS } from "../../src/exchange/batchPlan.ts";
import type { Command } from "../../src/exchange/command.ts";
import { memoryStore } from "../../src/exchange/memoryStore.ts";
import { Operator, type OperatorParts } from "../../src/exchange/operator.ts";
import { Posting } from "../../src/exchange/posting.ts";
import { type Loss, Sequencer } from "../../src/exchange/sequencer.ts";
import { createSigning } from "../../src/exchange/signing/signing.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import { type Order, type Side, signCancel, type SignedCancel, signOrder } from "../../src/protocol/order.ts";
import { fresh, freshAddress, NEVER, type RawTicket, startDesk } from "../support/desk.ts";

// What traders, other operators and the node may do to an operator. The contract believes every proof here.

const CENTRE = LEAN_HOG_TERMS.listingPrice;
const believing = { verifyBatch: (): Promise<number[]> => Promise.resolve([]) };

const desk = await startDesk();
await desk.fillPool(900_000n);

function newOperator(parts: Partial<OperatorParts> = {}): Promise<Operator> {
  return Operator.create({ state: desk.x.state, sender: desk.x.operator, verifier: believing, ...parts });
}

function withdraw(dollars = 1n): Promise<ProvenTransition> {
  return desk.raw({ name: "withdraw", to: freshAddress(), amount: dollars * DOLLAR, relayFee: desk.x.terms.relayFee });
}

async function refused(work: Promise<unknown>, code: string): Promise<void> {
  await assert.rejects(work, (error) => {
    assert(error instanceof HedgerowError, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  });
}

/** Opens tickets through an operator, so that it lets them trade. */
async function openThrough(operator: Operator, ...dollars: readonly bigint[]): Promise<readonly RawTicket[]> {
  const { transition, tickets } = await desk.rawOpening(
    0,
    dollars.map((cash) => ({ cash: cash * DOLLAR })),
  );
  await operator.submitTransition(transition);
  await operator.flush();
  return tickets;
}

function at<T>(items: readonly T[], index: number): T {
  return items[index] ?? assert.fail(`there is no item ${index}`);
}

/** The operator's sender, with something that happens just before each transaction. */
function senderAfter(happens: () => Promise<void>): Sender {
  const { wallet, address } = desk.x.operator;
  return {
    address,
    wallet: {
      ...wallet,
      sendRawTransaction: async (request) => {
        await happens();
        return wallet.sendRawTransaction(request);
      },
    },
  };
}

describe("a batch", () => {
  test("is not held up by a signature that is no hex, or half a million bytes of it [BAT-12]", () =>
    desk.rollback(async () => {
      const operator = await newOperator();
      const bad = await withdraw();
      for (const signature of ["0xzz", `0x${"00".repeat(500_000)}`] as const) {
        await refused(operator.submitTransition({ ...bad, signature }), "MalformedMessage");
      }
      const good = await withdraw();
      await operator.submitTransition(good);
      assert.deepEqual((await operator.postBatch())?.applied, [good]);
    }));

  test("leaves out what cannot even be encoded, should it ever be queued [BAT-12]", () =>
    desk.rollback(async () => {
      const { state, operator } = desk.x;
      const machine = new Sequencer({ nextSeq: 1, nextBatchNumber: (await nextNumber()).nextBatchNumber });
      const lost: Loss[] = [];
      const execute = (command: Command): readonly Loss[] => {
        const { losses } = machine.execute({ time: 0n, command });
        lost.push(...losses);
        return losses;
      };
      const posting = new Posting({
        state,
        sender: operator,
        verifier: believing,
        limits: BATCH_LIMITS,
        machine: () => machine,
        execute,
        durable: () => Promise.resolve(),
        sync: () => state.sync(),
      });
      const bad: ProvenTransition = { ...(await withdraw()), signature: "0xzz" };
      const good = await withdraw();
      for (const transition of [bad, good]) execute({ kind: "queue", transition });
      assert.deepEqual((await posting.post())?.applied, [good]);
      assert.deepEqual(lost, [{ kind: "transition", transition: bad, reason: "CallImpossible" }]);
      assert.deepEqual([machine.queue, machine.sent], [[], undefined]);
    }));

  test("that takes more gas than a transaction may have is sent in parts, and nothing is lost [BAT-12]", () =>
    desk.rollback(async () => {
      const losses: Loss[] = [];
      const limits = { transitions: 60, gas: 10n ** 9n };
      const operator = await newOperator({ limits, onLoss: (loss) => losses.push(loss) });
      const openings = 60;
      for (let i = 0; i < openings; i++) {
        const { transition } = await desk.rawOpening(0, Array<object>(8).fill({}));
        await operator.submitTransition(transition);
      }
      const posted = await operator.flush();
      assert(posted.length > 1);
      assert.equal(
        posted.reduce((sum, { applied }) => sum + applied.length, 0),
        openings,
      );
      assert.deepEqual(losses, []);
    }));

  test("by somebody who is not the operator is an error, and costs no transition its place [BAT-1, GOV-5]", () =>
    desk.rollback(async () => {
      const losses: Loss[] = [];
      const stranger = await newOperator({
        sender: await desk.x.fundedSender(1n),
        onLoss: (loss) => losses.push(loss),
      });
      const waiting = [await withdraw(), await withdraw()];
      for (const transition of waiting) await stranger.submitTransition(transition);
      await refused(stranger.postBatch(), "NotOperator");
      assert.deepEqual([stranger.queue, losses], [waiting, []]);
    }));

  test("whose sender fails before the node has it does not bind the operator [BAT-1]", () =>
    desk.rollback(async () => {
      let broken = true;
      const sender = senderAfter(() =>
        broken ? Promise.reject(new Error("the connection broke")) : Promise.resolve(),
      );
      const operator = await newOperator({ sender });
      const first = await withdraw();
      await operator.submitTransition(first);
      await refused(operator.postBatch(), "ChainUnavailable");
      broken = false;
      const second = await withdraw();
      await operator.submitTransition(second);
      const posted = await operator.flush();
      assert.deepEqual(
        posted.flatMap(({ applied }) => applied),
        [first, second],
      );
    }));
});

describe("a transition", () => {
  test("that was mined while its proof was verified is refused as spent [ACC-8]", () =>
    desk.rollback(async () => {
      const transition = await withdraw();
      const slow = {
        verifyBatch: async (): Promise<number[]> => {
          await desk.batch([transition]);
          return [];
        },
      };
      const operator = await newOperator({ verifier: slow });
      await refused(operator.submitTransition(transition), "NullifierTaken");
      assert.deepEqual(operator.queue, []);
    }));

  test("funds no credit whose refund is due, and one whose refund is not yet [CRE-4, CRE-5]", () =>
    desk.rollback(async () => {
      const operator = await newOperator();
      const credit = await desk.newCredit(10n);
      await call(desk.x.chain, credit.depositor, { functionName: "requestCreditRefund", args: [credit.creditId] });
      const early = await desk.rawFund(credit);
      await operator.submitTransition(early);
      assert.deepEqual(operator.queue, [early]);
      const other = await newOperator();
      await desk.x.advanceTime(desk.x.terms.refundDelay);
      await refused(other.submitTransition(await desk.rawFund(credit)), "CreditUnavailable");
    }));

  test("claims a left-over ticket once [TKT-7, DEF-3]", () =>
    desk.rollback(async () => {
      const [ticket] = await desk.openRaw(0, { cash: 10n * DOLLAR });
      assert(ticket !== undefined);
      await desk.nextDay();
      await desk.plantRoot();
      const operator = await newOperator();
      const claim = async (): Promise<ProvenTransition> => {
        const { ticketId, key } = ticket;
        const { relayFee } = desk.x.terms;
        const transition = await desk.raw({ name: "claimTicket", ticketId, claim: 10n * DOLLAR, relayFee });
        return desk.released(transition, key, { id: ticketId, cash: 10n * DOLLAR });
      };
      await operator.submitTransition(await claim());
      await refused(operator.submitTransition(await claim()), "InvalidTransition");
      assert.equal(at(await operator.flush(), 0).applied.length, 1);
    }));
});

describe("orders", () => {
  test("wait while more executions wait than can be posted in time [ORD-13]", () =>
    desk.rollback(async () => {
      const day = desk.x.terms.tradingTime + desk.x.terms.settleGrace;
      const operator = await newOperator({ pace: { fillsPerBatch: 1, secondsPerBatch: day } });
      const [seller, buyer] = await openThrough(operator, 50_000n, 50_000n);
      assert(seller !== undefined && buyer !== undefined);
      const terms = { limitPrice: CENTRE, quantity: 1 };
      const resting = await desk.order(seller, { ...terms, side: "sell", quantity: 3 });
      await operator.placeOrder(resting);
      await operator.placeOrder(await desk.order(buyer, { ...terms, side: "buy" }));
      await refused(operator.placeOrder(await desk.order(buyer, { ...terms, side: "buy" })), "Backlog");
      const replaced = await desk.order(seller, { ...resting.order, revision: 1, quantity: 2 });
      await refused(operator.replaceOrder(replaced), "Backlog");
      await operator.flush();
      await operator.replaceOrder(replaced);
      await operator.placeOrder(await desk.order(buyer, { ...terms, side: "buy" }));
    }));
});

describe("the close", () => {
  const quoting = async (operator: Operator): Promise<RawTicket> => {
    const [ticket] = await openThrough(operator, 50_000n);
    assert(ticket !== undefined);
    const volume = LEAN_HOG_TERMS.minimumVolume;
    await operator.placeOrder(await desk.order(ticket, { side: "buy", limitPrice: CENTRE, quantity: volume }));
    return ticket;
  };

  test("takes no transition on its way, so that no quoted ticket goes away [EPO-3, SET-12]", () =>
    desk.rollback(async () => {
      const attempts: Promise<void>[] = [];
      const late: (() => Promise<void>)[] = [];
      const sender = senderAfter(async () => {
        for (const attempt of late) await attempt();
      });
      const operator = await newOperator({ sender });
      const ticket = await quoting(operator);
      await operator.submitTransition(await withdraw());
      const closing = await desk.rawClose(ticket);
      late.push(() => {
        const attempt = refused(operator.submitTransition(closing), "DayEnding");
        attempts.push(attempt);
        return attempt;
      });
      await desk.toClosingTime();
      const { quotes, quotesRefused, batches } = await operator.closeDay();
      assert.deepEqual([quotes.length, quotesRefused, batches.length, attempts.length], [1, undefined, 1, 2]);
    }));

  test("attests nothing of a ticket that is closed before the quotes are made [SET-8, SET-12]", () =>
    desk.rollback(async () => {
      const operator = await newOperator();
      const ticket = await quoting(operator);
      await operator.submitTransition(await desk.rawClose(ticket));
      await desk.toClosingTime();
      assert.deepEqual((await operator.closeDay()).quotes, []);
    }));

  test("goes on without quotes that the contract refuses [SET-4, SET-12]", () =>
    desk.rollback(async () => {
      const operator = await newOperator();
      const ticket = await quoting(operator);
      // Behind the operator's back the ticket goes away.
      await desk.batch([await desk.rawClose(ticket)]);
      await desk.toClosingTime();
      const { quotes, quotesRefused } = await operator.closeDay();
      assert.deepEqual([quotes, quotesRefused?.code], [[], "QuoteMismatch"]);
      await desk.sync();
      assert.equal(desk.x.state.phase, "window");
    }));
});

async function nextNumber(): Promise<{ readonly nextBatchNumber: number }> {
  const [, , nextBatchNumber] = await desk.house.read.clock();
  return { nextBatchNumber };
}

describe("an operator", () => {
  const rich = [{ cash: 100_000n * DOLLAR }, { cash: 100_000n * DOLLAR }];

  async function signedOrder(ticket: RawTicket, side: Side, changes: Partial<Order> = {}): Promise<SignedOrder> {
    const order: Order = {
      ticketId: ticket.ticketId,
      clientId: fresh(),
      revision: 0,
      side,
      limitPrice: CENTRE,
      quantity: 1,
      timeInForce: "GTC",
      postOnly: false,
      expiry: NEVER,
      ...changes,
    };
    return { order, signature: await signOrder(desk.x.chain.domain, order, ticket.key) };
  }

  async function cancelOf({ ticketId, key }: RawTicket, { order: { clientId } }: SignedOrder): Promise<SignedCancel> {
    const cancel = { ticketId, clientId };
    return { cancel, signature: await signCancel(desk.x.chain.domain, cancel, key) };
  }

  async function twoTickets(operator: Operator): Promise<readonly [RawTicket, RawTicket]> {
    const { transition, tickets } = await desk.rawOpening(0, rich);
    await operator.submitTransition(transition);
    await operator.flush();
    return [at(tickets, 0), at(tickets, 1)];
  }

  test("runs what arrives in the order of arrival, whatever it is [MAT-12, ORD-21]", () =>
    desk.rollback(async () => {
      const signing = createSigning({ operatorKey: desk.x.operatorKey, domain: desk.x.chain.domain });
      try {
        const operator = await newOperator({ signing });
        const [a, b] = await twoTickets(operator);
        const order = await signedOrder(a, "buy");
        const [placed, cancelled] = await Promise.all([
          operator.placeOrder(order),
          operator.cancelOrder(await cancelOf(a, order)),
        ]);
        assert.deepEqual([placed.order.status, cancelled.order.status], ["open", "cancelled"]);
        const maker = await signedOrder(a, "sell");
        await operator.placeOrder(maker);
        const taker = await signedOrder(b, "buy", { timeInForce: "IOC" });
        const cancel = await cancelOf(a, maker);
        const [taken, late] = await Promise.allSettled([operator.placeOrder(taker), operator.cancelOrder(cancel)]);
        assert(taken.status === "fulfilled");
        assert.equal(taken.value.order.filled, 1);
        assert.equal(late.status, "rejected");
        // One that is refused holds up nobody, and lets nobody overtake.
        const forged = { ...(await signedOrder(a, "buy")), signature: taker.signature };
        const next = await signedOrder(a, "buy");
        const results = await Promise.allSettled([
          operator.placeOrder(forged),
          operator.placeOrder(next),
          operator.cancelOrder(await cancelOf(a, next)),
        ]);
        assert.deepEqual(
          results.map(({ status }) => status),
          ["rejected", "fulfilled", "fulfilled"],
        );
      } finally {
        await signing.close();
      }
    }));

  test("waits with fills that the chain's clock has not reached, and loses none [FIL-7, BAT-12]", () =>
    desk.rollback(async () => {
      const losses: Loss[] = [];
      let ahead = 0n;
      const operator = await newOperator({
        clock: async () => (await desk.x.now()) + ahead,
        onLoss: (loss) => losses.push(loss),
      });
      const [a, b] = await twoTickets(operator);
      await operator.placeOrder(await signedOrder(a, "sell"));
      await operator.placeOrder(await signedOrder(b, "buy"));
      ahead = 500n;
      await operator.placeOrder(await signedOrder(a, "sell"));
      await operator.placeOrder(await signedOrder(b, "buy"));
      assert.deepEqual(
        (await operator.flush()).map(({ fills }) => fills),
        [1],
      );
      assert.equal(operator.unsettled.length, 1);
      await desk.x.advanceTime(600);
      assert.deepEqual(
        (await operator.flush()).map(({ fills }) => fills),
        [1],
      );
      assert.deepEqual(losses, []);
    }));

  test("sets fills aside that the chain refuses again and again, and halts trading [BAT-20]", () =>
    desk.rollback(async () => {
      await desk.x.advanceTime(200);
      const first = await newOperator();
      const [a, b] = await twoTickets(first);
      await first.placeOrder(await signedOrder(a, "sell"));
      await first.placeOrder(await signedOrder(b, "buy"));
      await first.flush();
      const settledAt = await desk.x.now();
      await desk.x.advanceTime(100);
      // Its clock is wrong: what it executes was before what is settled.
      const losses: Loss[] = [];
      const wrong = await newOperator({ clock: () => settledAt - 50n, onLoss: (loss) => losses.push(loss) });
      const [c, d] = await twoTickets(wrong);
      await wrong.placeOrder(await signedOrder(c, "sell"));
      await wrong.placeOrder(await signedOrder(d, "buy"));
      for (let i = 0; i < 3; i++) await refused(wrong.postBatch(), "FillRefused");
      assert.deepEqual(
        losses.map(({ kind, reason }) => [kind, reason]),
        [["execution", "FillRefused"]],
      );
      assert.equal(await wrong.postBatch(), undefined);
      await refused(wrong.placeOrder(await signedOrder(c, "sell")), "Matching.MarketHalted");
    }));

  test("refuses orders while its disk is behind, and does what is due all the same [JRN-12]", () =>
    desk.rollback(async () => {
      let pending = 0;
      const store = memoryStore();
      const slow = Object.create(store, { pending: { get: () => pending } }) as typeof store;
      const now = await desk.x.now();
      let time = now;
      const operator = await newOperator({ store: slow, clock: () => time });
      const [a] = await twoTickets(operator);
      await operator.placeOrder(await signedOrder(a, "buy", { expiry: now + 10n }));
      pending = 10 ** 6;
      await refused(operator.placeOrder(await signedOrder(a, "buy")), "Overloaded");
      time = now + 11n;
      await operator.tick();
      assert.equal(operator.health().openOrders, 0);
    }));
});
