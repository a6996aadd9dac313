import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { ExchangeRefused, ExchangeUnreachable, type OrdersEvent, type WatchOptions } from "../../src/api/client.ts";
import type { OrderAnswer, OrderReport } from "../../src/api/service.ts";
import type { SignedOrder } from "../../src/chain/clearingHouse.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import type { Order, SignedWatch } from "../../src/protocol/order.ts";
import type { SignedReceipt } from "../../src/protocol/receipt.ts";
import { BotTicket, type TicketClient, type TicketSigner } from "../../src/trader/bots/botTicket.ts";
import { OwnOrders } from "../../src/trader/bots/ownOrders.ts";
import { Pace } from "../../src/trader/bots/pace.ts";
import type { Intent } from "../../src/trader/bots/strategy.ts";
import type { OrderReceipt } from "../../src/trader/receiptStore.ts";
import { CENTRE, marginFor, TERMS } from "./botsMarket.ts";

const TICKET = `0x${"11".repeat(32)}` as const;
const SIGNATURE = "0x22";
const OPENING = { cash: marginFor(10), position: 0n };

function orderOf(clientId: bigint, over: Partial<Order> = {}): SignedOrder {
  const limitPrice = BigInt(CENTRE) * TERMS.tick;
  const terms = { side: "buy", limitPrice, quantity: 4, expiry: 9n, timeInForce: "GTC", postOnly: false } as const;
  return { order: { ...terms, ticketId: TICKET, clientId, revision: 0, ...over }, signature: SIGNATURE };
}

/** What the exchange says of an order of which `filled` contracts have traded at its limit. */
function reportOf({ order }: SignedOrder, filled: number, seq: number, over: Partial<OrderReport> = {}): OrderReport {
  const { ticketId, clientId, revision, side, limitPrice, quantity, timeInForce } = order;
  return {
    ...{ ticketId, clientId, revision, side, limitPrice, quantity, timeInForce, filled, seq, n: 0, time: 0n },
    slot: 0,
    orderHash: `0x${clientId.toString(16).padStart(64, "0")}`,
    status: filled === quantity ? "filled" : "open",
    filledValue: BigInt(filled) * limitPrice,
    remaining: quantity - filled,
    ...over,
  };
}

function receiptOf(seq: number): SignedReceipt {
  const zero = `0x${"00".repeat(32)}` as const;
  const told = { seq, n: 0, kind: "accepted", orderHash: zero, prioritySeq: 0, quantity: 4, remaining: 4 } as const;
  return { receipt: { ...told, price: 0n, execTime: 0n, logHead: zero, term: 1 }, siblings: [], signature: SIGNATURE };
}

describe("the orders of a ticket", () => {
  const price = BigInt(CENTRE) * TERMS.tick;

  test("reports that come twice, late and in any order leave what the newest says [BOT-15]", () => {
    const signed = orderOf(7n);
    const reports = [0, 1, 3, 4].map((filled, i) => reportOf(signed, filled, i + 1));
    const anyOrder = fc.array(fc.constantFrom(...reports), { maxLength: 12 });
    fc.assert(
      fc.property(anyOrder, fc.shuffledSubarray(reports, { minLength: reports.length }), (some, all) => {
        const orders = new OwnOrders(TERMS, OPENING);
        orders.place("bid", signed);
        for (const report of [...some, ...all, ...some]) orders.take(report);
        orders.answered(7n);
        for (const report of reports) orders.take(report);
        assert.deepEqual(orders.list(), []);
        assert.equal(orders.traded.contracts, 4);
        assert.deepEqual(orders.balance, {
          position: 4n,
          cash: OPENING.cash - 4n * price - 4n * TERMS.fillFee,
        });
      }),
    );
  });

  test("an order on its way to another price stands at both until the answer [BOT-4]", () => {
    const orders = new OwnOrders(TERMS, OPENING);
    const signed = orderOf(7n);
    orders.place("bid", signed);
    orders.take(reportOf(signed, 1, 1));
    orders.answered(7n);
    const moved = orderOf(7n, { revision: 1, quantity: 6, limitPrice: price - TERMS.tick });
    orders.change(7n, moved);
    assert.deepEqual(
      orders.list().map(({ key, priceTicks, remaining, busy }) => ({ key, priceTicks, remaining, busy })),
      [
        { key: "bid", priceTicks: CENTRE, remaining: 5, busy: true },
        { key: "bid~", priceTicks: CENTRE - 1, remaining: 0, busy: true },
      ],
    );
    orders.take(reportOf(moved, 1, 2));
    orders.answered(7n);
    assert.partialDeepStrictEqual(orders.list(), [{ key: "bid", priceTicks: CENTRE - 1, remaining: 5, revision: 1 }]);
  });

  test("a replacement that was refused leaves the order where it was [BOT-14]", () => {
    const orders = new OwnOrders(TERMS, OPENING);
    const signed = orderOf(7n);
    orders.place("bid", signed);
    orders.take(reportOf(signed, 0, 1));
    orders.change(7n, orderOf(7n, { revision: 1, limitPrice: price - TERMS.tick }));
    orders.take(reportOf(signed, 0, 1));
    orders.answered(7n);
    assert.partialDeepStrictEqual(orders.list(), [{ priceTicks: CENTRE, revision: 0, busy: false }]);
  });

  test("an order that was given up for lost is cancelled when it comes to life, and its fills count [BOT-15]", () => {
    const orders = new OwnOrders(TERMS, OPENING);
    const signed = orderOf(7n);
    orders.place("bid", signed);
    orders.drop(7n, true);
    assert.deepEqual(orders.list(), []);
    assert.deepEqual(orders.take(reportOf(signed, 1, 1)), signed);
    assert.equal(orders.balance.position, 1n);
    assert.equal(orders.take(reportOf(signed, 1, 1)), undefined);
    assert.equal(orders.take(reportOf(orderOf(8n), 4, 1)), undefined);
    assert.equal(orders.balance.position, 1n, "an order of nobody's counts for nothing");
  });
});

/** An exchange that does what a test tells it, one command after the other. */
class FakeExchange implements TicketClient {
  readonly log: string[] = [];
  readonly orders = new Map<bigint, OrderReport>();
  /** What happens to the next commands instead of an answer. `lost`: it is done, `gone`: it never arrived. */
  readonly faults: ("lost" | "gone" | HedgerowError)[] = [];
  readonly beats: bigint[] = [];
  isAway = false;
  #streams: ((event: OrdersEvent | undefined) => void)[] = [];
  #seq = 0;

  createOrder = (signed: SignedOrder) => {
    const known = this.orders.get(signed.order.clientId);
    return this.#command(`new ${signed.order.clientId}`, () => known ?? this.#put(reportOf(signed, 0, ++this.#seq)));
  };
  editOrder = (signed: SignedOrder) =>
    this.#command(`edit ${signed.order.clientId}`, () => this.#put(reportOf(signed, 0, ++this.#seq)));
  cancelOrder: TicketClient["cancelOrder"] = ({ cancel: { clientId } }) =>
    this.#command(`cancel ${clientId}`, () => this.#kill(clientId));
  cancelAllOrders = async () => {
    const live = [...this.orders.values()].filter(({ status }) => status === "open");
    if (this.isAway) throw new ExchangeUnreachable("http://fake", "nobody there");
    this.log.push("cancel all");
    return Promise.resolve(live.map(({ clientId }) => this.#answer(this.#kill(clientId))));
  };
  cancelAllOrdersAfter: TicketClient["cancelAllOrdersAfter"] = ({ cancelAfter: { nonce } }) => {
    this.beats.push(nonce);
    return Promise.resolve(undefined);
  };
  fetchOrder: TicketClient["fetchOrder"] = (_, clientId) => {
    this.log.push(`ask ${clientId}`);
    const report = this.orders.get(clientId);
    return report === undefined ? Promise.reject(refusal("OrderUnknown")) : Promise.resolve(report);
  };
  watchOrders: TicketClient["watchOrders"] = async function* (
    this: FakeExchange,
    _: SignedWatch,
    { signal }: WatchOptions = {},
  ) {
    const events: (OrdersEvent | undefined)[] = [{ kind: "open", orders: this.#live() }];
    let wake = Promise.withResolvers<undefined>();
    this.#streams.push((event) => {
      events.push(event);
      wake.resolve(undefined);
    });
    signal?.addEventListener("abort", () => wake.resolve(undefined));
    while (signal?.aborted !== true) {
      for (const event of events.splice(0)) {
        if (event === undefined) throw new ExchangeUnreachable("http://fake", "the connection broke");
        yield event;
      }
      await wake.promise;
      wake = Promise.withResolvers<undefined>();
    }
  }.bind(this);

  /** Something happens to an order; who listens hears of it. */
  trade(clientId: bigint, contracts: number): void {
    const before = this.orders.get(clientId);
    assert(before !== undefined);
    const filled = before.filled + contracts;
    const value = before.filledValue + BigInt(contracts) * before.limitPrice;
    const status = filled === before.quantity ? "filled" : "open";
    const remaining = before.quantity - filled;
    this.#put({ ...before, filled, filledValue: value, remaining, status, seq: ++this.#seq });
  }

  /** Breaks the streams; what happens until they are back nobody hears. */
  breakStreams(meanwhile: () => void = () => undefined): void {
    const broken = this.#streams;
    this.#streams = [];
    meanwhile();
    for (const tell of broken) tell(undefined);
  }

  #live(): readonly OrderReport[] {
    return [...this.orders.values()].filter(({ status }) => status === "open");
  }

  #put(order: OrderReport): OrderReport {
    this.orders.set(order.clientId, order);
    for (const tell of this.#streams) tell({ kind: "order", order, receipt: receiptOf(order.seq) });
    return order;
  }

  #kill(clientId: bigint): OrderReport {
    const report = this.orders.get(clientId);
    if (report?.status !== "open") throw refusal("Matching.UnknownOrder");
    return this.#put({ ...report, status: "cancelled", remaining: 0, seq: ++this.#seq });
  }

  #answer(order: OrderReport): OrderAnswer {
    return { order, receipts: [receiptOf(order.seq)] };
  }

  async #command(name: string, does: () => OrderReport): Promise<OrderAnswer> {
    this.log.push(name);
    const fault = this.faults.shift();
    await sleep(1);
    if (fault === "gone") throw new ExchangeUnreachable("http://fake", "nobody there");
    if (fault instanceof HedgerowError) throw fault;
    const order = does();
    if (fault === "lost") throw new ExchangeUnreachable("http://fake", "the answer is lost");
    return this.#answer(order);
  }
}

function refusal(code: string): ExchangeRefused {
  return new ExchangeRefused("FailedPrecondition", code, `refused: ${code}`);
}

function fakeSigner(): TicketSigner {
  let next = 1n;
  return {
    signOrder: (ticketId, terms) => Promise.resolve(orderOf(next++, { ...terms, ticketId })),
    signReplacement: ({ order }, changes) =>
      Promise.resolve({ order: { ...order, ...changes, revision: order.revision + 1 }, signature: SIGNATURE }),
    signCancel: ({ order: { ticketId, clientId } }) =>
      Promise.resolve({ cancel: { ticketId, clientId }, signature: SIGNATURE }),
    signWatch: (ticketId, validUntil) => Promise.resolve({ watch: { ticketId, validUntil }, signature: SIGNATURE }),
    signCancelAll: (ticketId, nonce) => Promise.resolve({ cancelAll: { ticketId, nonce }, signature: SIGNATURE }),
    signCancelAfter: (ticketId, nonce, seconds) =>
      Promise.resolve({ cancelAfter: { ticketId, nonce, seconds }, signature: SIGNATURE }),
  };
}

type Trial = {
  readonly exchange: FakeExchange;
  readonly ticket: BotTicket;
  readonly pace: Pace;
  readonly refused: string[];
  readonly kept: OrderReceipt[];
};

/** A ticket that is open, and closed at the end of its test. */
async function trial(work: (trial: Trial) => Promise<void>, heartbeatSeconds = 0): Promise<void> {
  const [exchange, pace, refused, kept] = [new FakeExchange(), new Pace(100), [] as string[], [] as OrderReceipt[]];
  const ticket = new BotTicket({
    account: fakeSigner(),
    client: exchange,
    ticket: {
      ...{ ticketId: TICKET, sessionKey: "0x33", noteIndex: 1n, keyIndex: 0, epoch: 1, slot: 0, reduceOnly: false },
      ...OPENING,
    },
    market: TERMS,
    closingTime: 9n,
    pace,
    heartbeatSeconds,
    keepReceipts: (receipts) => kept.push(...receipts),
    onRefusal: ({ code }) => refused.push(code),
  });
  await ticket.open();
  try {
    await work({ exchange, ticket, pace, refused, kept });
  } finally {
    await ticket.close();
  }
}

const BID: Intent = {
  ...{ kind: "place", key: "bid", side: "buy", priceTicks: CENTRE, quantity: 4, timeInForce: "GTC", postOnly: true },
};

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let waited = 0; !holds(); waited += 5) {
    assert(waited < 10_000, `${what} does not come about`);
    await sleep(5);
  }
}

async function untilIdle({ ticket }: Trial): Promise<void> {
  await until("an answer to everything", () => ticket.orders.list().every(({ busy }) => !busy));
}

describe("a ticket that a bot trades on", () => {
  test("an order whose answer is lost is found, counts once, and its receipts come after all [BOT-15]", async () => {
    await trial(async (t) => {
      t.exchange.faults.push("lost");
      await t.ticket.send(BID);
      assert.partialDeepStrictEqual(t.ticket.orders.list(), [{ key: "bid", busy: true }]);
      await untilIdle(t);
      assert.deepEqual(t.exchange.log, ["new 1", "ask 1", "new 1"]);
      assert.equal(t.ticket.orders.list().length, 1);
      assert.deepEqual(t.refused, ["ExchangeUnreachable"]);
      await until("a receipt", () => t.kept.length > 0);
    });
  });

  test("an order that never arrived is not sent again, and is cancelled should it come yet [BOT-15]", async () => {
    await trial(async (t) => {
      t.exchange.faults.push("gone");
      await t.ticket.send(BID);
      await until("its end", () => t.ticket.orders.list().length === 0);
      assert.deepEqual(t.exchange.log, ["new 1", "ask 1"]);
      await t.exchange.createOrder(orderOf(1n));
      await until("its cancel", () => t.exchange.orders.get(1n)?.status === "cancelled");
    });
  });

  test("a replacement or a cancel whose answer is lost is asked for, not repeated [BOT-15]", async () => {
    await trial(async (t) => {
      await t.ticket.send(BID);
      await untilIdle(t);
      t.exchange.faults.push("lost");
      await t.ticket.send({ kind: "replace", key: "bid", priceTicks: CENTRE - 3, quantity: 2 });
      await untilIdle(t);
      assert.partialDeepStrictEqual(t.ticket.orders.list(), [{ priceTicks: CENTRE - 3, remaining: 2, revision: 1 }]);
      t.exchange.faults.push("gone");
      await t.ticket.send({ kind: "cancel", key: "bid" });
      await untilIdle(t);
      assert.equal(t.ticket.orders.list().length, 1);
      t.exchange.faults.push("lost");
      await t.ticket.send({ kind: "cancel", key: "bid" });
      await until("its end", () => t.ticket.orders.list().length === 0);
      assert.equal(t.exchange.log.filter((line) => line.startsWith("edit")).length, 1);
    });
  });

  test("what happened while the stream was broken is found when it is back [BOT-15]", async () => {
    await trial(async (t) => {
      for (const key of ["a", "b", "c"]) await t.ticket.send({ ...BID, key });
      await untilIdle(t);
      t.exchange.breakStreams(() => {
        t.exchange.trade(1n, 4);
        t.exchange.trade(2n, 1);
      });
      await until("the fills", () => t.ticket.orders.balance.position === 5n);
      assert.deepEqual(
        t.ticket.orders.list().map(({ key, remaining }) => ({ key, remaining })),
        [
          { key: "b", remaining: 3 },
          { key: "c", remaining: 4 },
        ],
      );
      assert.equal(t.ticket.orders.traded.contracts, 5);
      t.exchange.trade(2n, 3);
      await until("the next fill", () => t.ticket.orders.balance.position === 8n);
    });
  });

  test("a refused order is gone and slows the bot down; a race does not [BOT-14]", async () => {
    await trial(async (t) => {
      t.exchange.faults.push(refusal("Matching.PostOnlyWouldTake"));
      await t.ticket.send(BID);
      await until("its end", () => t.ticket.orders.list().length === 0);
      const pauseAfterRace = t.pace.pause;
      t.exchange.faults.push(refusal("TicketInsolvent"));
      await t.ticket.send(BID);
      await until("its end", () => t.ticket.orders.list().length === 0);
      assert.equal(pauseAfterRace, 0);
      assert(t.pace.pause > 0);
      assert.deepEqual(t.refused, ["Matching.PostOnlyWouldTake", "TicketInsolvent"]);
      assert.equal(t.ticket.isOver, false);
      assert.equal(t.ticket.fault, undefined);
    });
  });

  test("a ticket on which nothing is taken any more is over, and a receipt that is wrong ends the bot [BOT-14]", async () => {
    await trial(async (t) => {
      t.exchange.faults.push(refusal("TicketNotTradable"));
      await t.ticket.send(BID);
      await until("the end of the ticket", () => t.ticket.isOver);
    });
    await trial(async (t) => {
      const wrong = new HedgerowError("InvalidReceipt", "not signed by the operator");
      t.exchange.faults.push(wrong);
      await t.ticket.send(BID);
      await until("the end of the bot", () => t.ticket.fault === wrong);
    });
  });

  test("while it lives it gives signs of life, and at its end it cancels everything with a higher number [BOT-17, BOT-18]", async () => {
    let exchange: FakeExchange | undefined;
    await trial(async (t) => {
      exchange = t.exchange;
      for (const key of ["a", "b"]) await t.ticket.send({ ...BID, key });
      await until("three signs", () => t.exchange.beats.length >= 3);
    }, 1);
    assert(exchange !== undefined);
    assert(exchange.beats.every((nonce, i, all) => i === 0 || nonce > (all[i - 1] ?? 0n)));
    assert([...exchange.orders.values()].every(({ status }) => status === "cancelled"));
    const beats = exchange.beats.length;
    await sleep(500);
    assert.equal(exchange.beats.length, beats, "the dead give no signs");
  });

  test("at the end it leaves an exchange that does not answer to the dead-man guard [BOT-17]", async () => {
    await trial(async (t) => {
      await t.ticket.send(BID);
      await untilIdle(t);
      t.exchange.isAway = true;
      await t.ticket.close(AbortSignal.abort());
      assert.equal(t.exchange.orders.get(1n)?.status, "open");
    });
  });
});
