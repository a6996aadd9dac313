import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { numberToHex } from "viem";
import type { SignedOrder } from "../../src/chain/clearingHouse.ts";
import { batchOf, GAS, mostPostable, openedTickets, planBatch } from "../../src/exchange/batchPlan.ts";
import { ExchangeLog, type LogEntry, nextHead, ZERO_HASH } from "../../src/exchange/log.ts";
import { MOST_QUOTES, restedOrders, restingQuotes } from "../../src/exchange/restingQuotes.ts";
import type { OrderEntry } from "../../src/api/service.ts";
import { isCovered, ticketView, type TicketView } from "../../src/exchange/ticketView.ts";
import { type DayTimes, MOST_MAKERS, MOST_ORDERS, TradingDay } from "../../src/exchange/tradingDay.ts";
import type { ProvenTransition } from "../../src/chain/clearingHouse.ts";
import type { Action } from "../../src/protocol/action.ts";
import { NO_FEED } from "../../src/protocol/epoch.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import type { Hex } from "../../src/protocol/keys.ts";
import type { Instructions, Order, Side } from "../../src/protocol/order.ts";
import { epochMarket } from "../support/epochMarket.ts";

// The day in the operator's memory alone: no chain, no signatures.

const MARKET = epochMarket({
  contractId: ZERO_HASH,
  listed: true,
  centre: 1_000n,
  tick: 5n,
  priceLimit: 100n,
  dailyLimit: 100n,
  expandedLimit: 100n,
  maintenanceMargin: 200n,
  initialMargin: 240n,
  closeOutFee: 100n,
  fillFee: 2n,
  minimumVolume: 5,
  minimumMinutes: 1,
  settlementPrice: 0n,
  expired: false,
  tornUp: false,
  closingOnly: false,
  lastTradingTime: 4_000_000_000n,
  priceCollar: 0n,
  ...NO_FEED,
});
const OPENS = 1_000n;
const CLOSES = 5_000n;
const NOW = 2_000n;

let nextClientId = 1n;

function newDay(log: LogEntry[] = [], market = MARKET, more: Partial<DayTimes> = {}): TradingDay {
  const unlisted = Array.from({ length: 7 }, () => ({ ...MARKET, listed: false }));
  const times = { epoch: 1, openedAt: OPENS, closingTime: CLOSES, ...more };
  return new TradingDay(
    times,
    [market, ...unlisted],
    new ExchangeLog({ nextSeq: 1, head: ZERO_HASH }, (entry) => log.push(entry)),
  );
}

function addTicket(day: TradingDay, number: number, cash: bigint, more: Partial<TicketView> = {}, position = 0n): Hex {
  const ticketId = numberToHex(number, { size: 32 });
  const fixed = { ticketId, sessionKey: "0x01", slot: 0, reduceOnly: false, status: "open", openedInBatch: 1 } as const;
  day.tickets.set(ticketId, ticketView({ ...fixed, ...more, cash, position }));
  return ticketId;
}

function order(
  ticketId: Hex,
  side: Side,
  limitPrice: bigint,
  quantity: number,
  more: Partial<Order> = {},
): SignedOrder {
  const terms = { timeInForce: "GTC", postOnly: false, expiry: CLOSES, revision: 0 } as const;
  return {
    order: { ticketId, clientId: nextClientId++, side, limitPrice, quantity, ...terms, ...more },
    signature: "0x",
  };
}

function place(day: TradingDay, signed: SignedOrder, time = NOW): readonly LogEntry[] {
  return day.place(signed, ZERO_HASH, time);
}

function refuses(work: () => unknown, code: string): void {
  assert.throws(work, (error) => error instanceof HedgerowError && error.code === code);
}

function kinds(entries: readonly LogEntry[]): readonly string[] {
  return entries.map(({ entry }) => entry.kind);
}

describe("the price collar", () => {
  const collared = { ...MARKET, priceCollar: 20n };

  test("a limit beyond it is refused in collateral units, of new orders and of replacements [ORD-23]", () => {
    const day = newDay([], collared);
    const ticket = addTicket(day, 1, 10_000n);
    const worst = { reference: 1_000n, collar: 20n, worstPrice: 1_020n, limitPrice: 1_025n, side: "buy" };
    const beyond = (details: object) => (error: unknown) => {
      assert.ok(error instanceof HedgerowError && error.code === "Matching.BeyondCollar");
      assert.deepEqual(error.details, details);
      return true;
    };
    assert.throws(() => place(day, order(ticket, "buy", 1_025n, 1)), beyond(worst));
    const bid = order(ticket, "buy", 1_020n, 1);
    assert.deepEqual(kinds(place(day, bid)), ["accepted"]);
    place(day, order(addTicket(day, 2, 10_000n), "sell", 1_020n, 1));
    const second = order(ticket, "buy", 1_010n, 1);
    place(day, second);
    const revised = { ...second, order: { ...second.order, revision: 1, limitPrice: 1_045n } };
    assert.throws(
      () => day.replace(revised, ZERO_HASH, NOW),
      beyond({ ...worst, reference: 1_020n, worstPrice: 1_040n, limitPrice: 1_045n }),
    );
    assert.equal(day.liveOrder(ticket, second.order.clientId)?.signed.order.limitPrice, 1_010n);
  });

  test("a restored day knows the collar and where it lies [ORD-23]", () => {
    const day = newDay([], collared);
    place(day, order(addTicket(day, 1, 10_000n), "buy", 980n, 1));
    place(day, order(addTicket(day, 2, 10_000n), "sell", 980n, 1));
    const copy = new TradingDay(day.times, day.markets, new ExchangeLog({ nextSeq: 9, head: ZERO_HASH }));
    copy.restore(day.state());
    const ticket = addTicket(copy, 3, 10_000n);
    refuses(() => place(copy, order(ticket, "buy", 1_005n, 1)), "Matching.BeyondCollar");
    assert.deepEqual(kinds(place(copy, order(ticket, "buy", 1_000n, 1))), ["accepted"]);
  });
});

describe("a closing time that moves up", () => {
  const window = { settlementWindow: 300 };
  const sessions = (log: readonly LogEntry[]): readonly (readonly [string, bigint])[] =>
    log.flatMap(({ entry, time }) => (entry.kind === "session" ? [[entry.session, time] as const] : []));

  test("ends matching, turns the sessions and lets orders rest up to the new time [EPO-4, EPO-13, SET-4]", () => {
    const log: LogEntry[] = [];
    const day = newDay(log, MARKET, window);
    const resting = order(addTicket(day, 1, 10_000n), "buy", 1_000n, 1);
    place(day, resting);
    day.moveClosing(2_600n);
    assert.equal(day.times.closingTime, 2_600n);
    day.advance(2_299n);
    assert.deepEqual(sessions(log), []);
    day.advance(2_300n);
    assert.deepEqual(sessions(log), [["closing", 2_300n]]);
    const seller = addTicket(day, 2, 10_000n);
    assert.equal(place(day, order(seller, "sell", 1_010n, 1), 2_600n).length, 1, "at the new closing time itself");
    refuses(() => place(day, order(seller, "sell", 1_000n, 1), 2_601n), "MarketClosed");
    assert.equal(day.isDue(2_601n), false);
    assert.deepEqual(sessions(log).at(-1), ["closed", 2_601n]);
    assert.deepEqual(
      day.rested.map(({ signed }) => signed.order.clientId),
      [resting.order.clientId],
    );
    assert.equal(day.unsettled.length, 0);
  });

  test("that was heard of too late ends the day at once; one that was taken back goes on to be its end [EPO-13]", () => {
    const log: LogEntry[] = [];
    const day = newDay(log, MARKET, window);
    place(day, order(addTicket(day, 1, 10_000n), "buy", 1_000n, 1));
    day.moveClosing(NOW - 1n);
    assert.deepEqual(sessions(log), [["closed", NOW]]);
    refuses(() => place(day, order(addTicket(day, 2, 10_000n), "sell", 1_000n, 1)), "MarketClosed");
    const other = newDay([], MARKET, window);
    place(other, order(addTicket(other, 1, 10_000n), "buy", 1_000n, 1));
    other.moveClosing(NOW + 400n);
    other.moveClosing(CLOSES);
    assert.deepEqual(kinds(place(other, order(addTicket(other, 2, 10_000n), "sell", 1_000n, 1), CLOSES)), [
      "accepted",
      "executed",
    ]);
  });

  test("a day restored from its state ends at the new time too [EPO-13, JRN-11]", () => {
    const day = newDay([], MARKET, window);
    place(day, order(addTicket(day, 1, 10_000n), "buy", 1_000n, 1));
    day.moveClosing(2_600n);
    const state = day.state();
    const copy = new TradingDay(state.times, state.markets, new ExchangeLog({ nextSeq: 9, head: ZERO_HASH }));
    copy.restore(state);
    copy.advance(2_601n);
    assert.equal(copy.session(0), "closed");
  });
});

describe("acceptance", () => {
  // One contract bought at the centre needs 240 of initial margin and 2 of fees.
  test("an order is accepted to the last unit of margin and fee, and refused one unit below [ORD-6]", () => {
    const day = newDay();
    refuses(() => place(day, order(addTicket(day, 1, 241n), "buy", 1_000n, 1)), "TicketBelowMargin");
    assert.deepEqual(kinds(place(day, order(addTicket(day, 2, 242n), "buy", 1_000n, 1))), ["accepted"]);
  });

  test("all resting bids count together, and so do all asks [ORD-6]", () => {
    const day = newDay();
    const ticket = addTicket(day, 1, 484n);
    place(day, order(ticket, "buy", 1_000n, 1));
    place(day, order(ticket, "buy", 1_000n, 1));
    refuses(() => place(day, order(ticket, "buy", 1_000n, 1)), "TicketBelowMargin");
    const other = addTicket(day, 2, 484n);
    place(day, order(other, "sell", 1_005n, 2));
    refuses(() => place(day, order(other, "sell", 1_005n, 1)), "TicketBelowMargin");
  });

  test("quoting both sides costs one side [ORD-6]", () => {
    const day = newDay();
    const ticket = addTicket(day, 1, 242n);
    place(day, order(ticket, "buy", 1_000n, 1));
    place(day, order(ticket, "sell", 1_005n, 1));
    assert.equal(day.tickets.get(ticket)?.orders.size, 2);
  });

  test("executions that no batch has settled yet use margin up [ORD-6]", () => {
    const day = newDay();
    const [buyer, seller] = [addTicket(day, 1, 300n), addTicket(day, 2, 10_000n)];
    place(day, order(seller, "sell", 1_000n, 1));
    assert.deepEqual(kinds(place(day, order(buyer, "buy", 1_000n, 1))), ["accepted", "executed"]);
    assert.deepEqual(day.ticket(buyer).balance, { cash: -702n, position: 1n });
    assert.deepEqual(day.ticket(buyer).settled, { cash: 300n, position: 0n });
    refuses(() => place(day, order(buyer, "buy", 1_000n, 1)), "TicketBelowMargin");
  });

  test("a cancelled order gives its margin back [ORD-6]", () => {
    const day = newDay();
    const ticket = addTicket(day, 1, 242n);
    const first = order(ticket, "buy", 1_000n, 1);
    place(day, first);
    day.cancel(ticket, first.order.clientId, NOW);
    assert.deepEqual(kinds(place(day, order(ticket, "buy", 1_000n, 1))), ["accepted"]);
  });

  test("a reduce-only ticket takes orders toward zero only, all of them together [TKT-5]", () => {
    const day = newDay();
    const ticket = addTicket(day, 1, -1_600n, { reduceOnly: true }, 2n);
    refuses(() => place(day, order(ticket, "buy", 1_000n, 1)), "NotReducing");
    place(day, order(ticket, "sell", 1_000n, 2));
    refuses(() => place(day, order(ticket, "sell", 1_000n, 1)), "NotReducing");
  });

  test("an order off tick, off limits, zero, negative or over 2^31 is refused by its rule [MAT-1, MAT-2, ORD-9]", () => {
    const day = newDay();
    const ticket = addTicket(day, 1, 10n ** 30n);
    const refused: readonly [bigint, number, string][] = [
      [1_001n, 1, "Matching.OffTick"],
      [1_105n, 1, "Matching.OffLimits"],
      [895n, 1, "Matching.OffLimits"],
      [5n * 2n ** 60n, 1, "Matching.BadPrice"],
      [1_000n, 0, "Matching.BadQuantity"],
      [1_000n, -1, "Matching.BadQuantity"],
      [1_000n, 1.5, "Matching.BadQuantity"],
      [1_000n, 2 ** 31, "Matching.BadQuantity"],
    ];
    for (const [price, quantity, code] of refused)
      refuses(() => place(day, order(ticket, "buy", price, quantity)), code);
    place(day, order(ticket, "buy", 1_000n, 2 ** 31 - 1));
    refuses(() => place(day, order(ticket, "buy", 1_000n, 1)), "OutOfRange");
    assert.equal(day.depth(0).bids.length, 1);
  });

  test("client id 0, one that was used, and a new order with a revision are refused [ORD-3, MAT-9]", () => {
    const day = newDay();
    const ticket = addTicket(day, 1, 10_000n);
    refuses(() => place(day, order(ticket, "buy", 1_000n, 1, { clientId: 0n })), "ZeroClientId");
    refuses(() => place(day, order(ticket, "buy", 1_000n, 1, { revision: 1 })), "NotFirstRevision");
    const first = order(ticket, "buy", 1_000n, 1);
    place(day, first);
    refuses(() => place(day, first), "Matching.DuplicateOrder");
  });

  test("unknown, closing and inherited tickets take no orders [ORD-10]", () => {
    const day = newDay();
    refuses(() => place(day, order(numberToHex(9, { size: 32 }), "buy", 1_000n, 1)), "UnknownTicket");
    const inherited = addTicket(day, 1, 10_000n, { status: "inherited" });
    refuses(() => place(day, order(inherited, "buy", 1_000n, 1)), "TicketNotTradable");
    const closing = addTicket(day, 2, 10_000n);
    day.ticket(closing).closing = true;
    refuses(() => place(day, order(closing, "buy", 1_000n, 1)), "TicketNotTradable");
  });

  test("no order is taken before the day opens, after closing time, or once the day is stopped [EPO-4]", () => {
    const day = newDay();
    const ticket = addTicket(day, 1, 10_000n);
    const late = { expiry: CLOSES + 10n };
    refuses(() => place(day, order(ticket, "buy", 1_000n, 1), OPENS - 1n), "MarketClosed");
    place(day, order(ticket, "buy", 1_000n, 1, late), CLOSES);
    refuses(() => place(day, order(ticket, "buy", 1_000n, 1, late), CLOSES + 1n), "MarketClosed");
    const stopped = newDay();
    const other = addTicket(stopped, 1, 10_000n);
    stopped.stop();
    refuses(() => place(stopped, order(other, "buy", 1_000n, 1, late), CLOSES), "MarketClosed");
  });
});

describe("orders in the book", () => {
  test("an order trades up to and including its expiry and then leaves the book [ORD-7]", () => {
    const log: LogEntry[] = [];
    const day = newDay(log);
    const [a, b] = [addTicket(day, 1, 10_000n), addTicket(day, 2, 10_000n)];
    refuses(() => place(day, order(a, "buy", 1_000n, 1, { expiry: NOW - 1n })), "OrderExpired");
    place(day, order(a, "buy", 1_000n, 2, { expiry: NOW + 10n }));
    assert.deepEqual(kinds(place(day, order(b, "sell", 1_000n, 1), NOW + 10n)), ["accepted", "executed"]);
    assert.deepEqual(kinds(place(day, order(b, "sell", 1_000n, 1), NOW + 11n)), ["accepted"]);
    assert.deepEqual(
      log.filter(({ cause }) => cause === "expiry").map(({ entry }) => entry.kind),
      ["cancelled"],
    );
    assert.equal(day.ticket(a).orders.size, 0);
    assert.deepEqual(day.ticket(a).resting.buy, { quantity: 0n, value: 0n, reduceOnly: 0n });
  });

  test("less quantity keeps an order's place, a new price or more quantity gives it up [MAT-8]", () => {
    const day = newDay();
    const tickets = [1, 2, 3].map((number) => addTicket(day, number, 100_000n)) as [Hex, Hex, Hex];
    const [a, b, taker] = tickets;
    const first = order(a, "sell", 1_000n, 5);
    const second = order(b, "sell", 1_000n, 5);
    place(day, first);
    place(day, second);
    const makers = (quantity: number): readonly Hex[] => {
      const seen = day.unsettled.length;
      place(day, order(taker, "buy", 1_000n, quantity));
      return day.unsettled.slice(seen).map(({ maker }) => maker.order.ticketId);
    };
    const revise = ({ order: old }: SignedOrder, quantity: number): SignedOrder => {
      const signed = { order: { ...old, quantity, revision: old.revision + 1 }, signature: "0x" as const };
      day.replace(signed, ZERO_HASH, NOW);
      return signed;
    };
    const smaller = revise(first, 3);
    assert.deepEqual(makers(1), [a]);
    assert.equal(day.unsettled[0]?.maker, smaller);
    const larger = revise(smaller, 4);
    assert.deepEqual(makers(1), [b]);
    assert.deepEqual(makers(7), [b, a]);
    assert.equal(day.unsettled.at(-1)?.maker, larger);
    assert.equal(day.ticket(a).orders.size, 0);
  });

  test("a replacement keeps side, postOnly and GTC, rises in revision and needs its margin [MAT-8, ORD-5, ORD-6]", () => {
    const day = newDay();
    const ticket = addTicket(day, 1, 300n);
    const first = order(ticket, "buy", 1_000n, 1);
    place(day, first);
    const replace = (changes: Partial<Order>): unknown =>
      day.replace({ order: { ...first.order, revision: 1, ...changes }, signature: "0x" }, ZERO_HASH, NOW);
    refuses(() => replace({ timeInForce: "IOC" }), "TermsChanged");
    refuses(() => replace({ postOnly: true }), "TermsChanged");
    refuses(() => replace({ side: "sell" }), "Matching.SideChanged");
    refuses(() => replace({ revision: 0 }), "Matching.BadRevision");
    refuses(() => replace({ quantity: 2 }), "TicketBelowMargin");
    refuses(() => replace({ limitPrice: 1_100n }), "TicketBelowMargin");
    refuses(() => replace({ clientId: first.order.clientId + 1_000n }), "Matching.UnknownOrder");
    replace({ limitPrice: 1_005n });
    assert.deepEqual(day.ticket(ticket).resting.buy, { quantity: 1n, value: 1_005n, reduceOnly: 0n });
    assert.deepEqual(day.depth(0).bids, [{ price: 1_005n, quantity: 1, orders: 1 }]);
  });

  test("two orders of one ticket never trade: the rest of the incoming one is cancelled [MAT-7]", () => {
    const day = newDay();
    const [a, b] = [addTicket(day, 1, 10_000n), addTicket(day, 2, 10_000n)];
    place(day, order(b, "sell", 1_000n, 1));
    place(day, order(a, "sell", 1_000n, 1));
    assert.deepEqual(kinds(place(day, order(a, "buy", 1_000n, 2))), ["accepted", "executed", "cancelled"]);
    assert.deepEqual(day.depth(0), { bids: [], asks: [{ price: 1_000n, quantity: 1, orders: 1 }] });
  });

  test("an immediate order that would meet more orders than fit a batch is refused [FIL-16]", () => {
    const day = newDay();
    const [maker, taker] = [addTicket(day, 1, 10n ** 6n), addTicket(day, 2, 10n ** 6n)];
    for (let i = 0; i <= MOST_MAKERS; i++) place(day, order(maker, "sell", 1_000n, 1));
    const ioc = { timeInForce: "IOC" } as const;
    refuses(() => place(day, order(taker, "buy", 1_000n, MOST_MAKERS + 1, ioc)), "TooManyMakers");
    assert.equal(place(day, order(taker, "buy", 1_000n, MOST_MAKERS, ioc)).length, MOST_MAKERS + 1);
  });

  test("log entries are numbered without gaps and chained by their hashes [MAT-11, BAT-11]", () => {
    const log: LogEntry[] = [];
    const day = newDay(log);
    const [a, b] = [addTicket(day, 1, 10_000n), addTicket(day, 2, 10_000n)];
    const first = order(a, "buy", 1_000n, 3);
    place(day, first);
    place(day, order(b, "sell", 1_000n, 1, { timeInForce: "IOC" }));
    refuses(() => place(day, order(b, "sell", 1_000n, 1, { postOnly: true })), "Matching.PostOnlyWouldTake");
    day.cancel(a, first.order.clientId, NOW);
    assert.deepEqual(
      log.map(({ entry }) => [entry.seq, entry.n, entry.kind]),
      [
        [1, 0, "accepted"],
        [2, 0, "accepted"],
        [2, 1, "executed"],
        [3, 0, "rejected"],
        [4, 0, "cancelled"],
      ],
    );
    let head = ZERO_HASH;
    for (const entry of log) {
      head = nextHead(head, entry);
      assert.equal(entry.head, head);
    }
  });
});

describe("a ticket whose opening the chain does not take", () => {
  test("loses its orders and trades; others lose what they cannot bear without them [ORD-10]", () => {
    const day = newDay();
    const lost = addTicket(day, 1, 10_000n, { status: "pending" });
    const [thin, rich] = [addTicket(day, 2, 300n), addTicket(day, 3, 100_000n)];
    place(day, order(lost, "sell", 1_000n, 1));
    place(day, order(thin, "buy", 1_000n, 1));
    // Out of its long contract the thin ticket can sell two: one closes, one is new risk.
    place(day, order(rich, "buy", 995n, 1));
    place(day, order(thin, "sell", 995n, 1));
    place(day, order(thin, "sell", 1_000n, 1));
    const untouched = order(rich, "buy", 900n, 1);
    place(day, untouched);
    assert.equal(day.unsettled.length, 2);

    const broken = day.dropTickets([lost], NOW);
    assert.deepEqual(
      broken.map(({ seq }) => seq),
      [2],
    );
    assert.deepEqual(
      day.unsettled.map(({ seq }) => seq),
      [4],
    );
    assert.deepEqual(day.ticket(thin).balance, { cash: 300n + 995n - 2n, position: -1n });
    assert.equal(day.ticket(thin).orders.size, 0);
    assert.equal(day.ticket(rich).orders.size, 1);
    refuses(() => day.ticket(lost), "UnknownTicket");
  });

  test("a fill-or-kill order that loses one of its trades loses all [FIL-16]", () => {
    const day = newDay();
    const lost = addTicket(day, 1, 10_000n, { status: "pending" });
    const [maker, taker] = [addTicket(day, 2, 10_000n), addTicket(day, 3, 10_000n)];
    place(day, order(maker, "sell", 1_000n, 1));
    place(day, order(lost, "sell", 1_000n, 1));
    place(day, order(taker, "buy", 1_000n, 2, { timeInForce: "FOK" }));
    assert.equal(day.dropTickets([lost], NOW).length, 2);
    assert.deepEqual(day.ticket(taker).balance, { cash: 10_000n, position: 0n });
    assert.deepEqual(day.ticket(maker).balance, { cash: 10_000n, position: 0n });
  });
});

/** What an order asks of the operator beyond the usual. */
function instructed(signed: SignedOrder, instructions: Partial<Instructions>): OrderEntry {
  const usual = { orderHash: ZERO_HASH, stopPrice: undefined, displayQuantity: 0, reduceOnly: false } as const;
  return {
    ...signed,
    instructions: { ...usual, selfTrade: "cancel-incoming", ...instructions },
    instructionsSignature: "0x",
  };
}

describe("the course of the day", () => {
  const AUCTION = OPENS + 100n;

  test("an order good until the auction does not trade with the stops that the auction sets off [FIL-17, ORD-7]", () => {
    const day = newDay([], MARKET, { auctionTime: AUCTION });
    const [a, b, c, d] = [1, 2, 3, 4].map((number) => addTicket(day, number, 10_000n));
    assert(a !== undefined && b !== undefined && c !== undefined && d !== undefined);
    place(day, order(a, "buy", 1_000n, 1), OPENS);
    place(day, order(b, "sell", 1_000n, 1), OPENS);
    place(day, order(c, "buy", 995n, 1, { expiry: AUCTION }), OPENS);
    day.place(instructed(order(d, "sell", 990n, 1), { stopPrice: 1_000n }), ZERO_HASH, OPENS);
    day.advance(AUCTION + 5n);
    assert.deepEqual(
      day.unsettled.map(({ price, execTime }) => [price, execTime]),
      [[1_000n, AUCTION]],
    );
    assert.deepEqual(day.depth(0), { bids: [], asks: [{ price: 990n, quantity: 1, orders: 1 }] });
  });

  test("a book locked at a limit is halted and goes on, but not before the auction was held [MAT-19, FIL-17]", () => {
    const day = newDay([], MARKET, { auctionTime: AUCTION, limitLock: { after: 10, pause: 20 } });
    const [a, b] = [addTicket(day, 1, 10_000n), addTicket(day, 2, 10_000n)];
    place(day, order(a, "buy", 1_100n, 1), OPENS);
    day.advance(AUCTION);
    assert.equal(day.session(0), "pre-open");
    day.advance(AUCTION + 1n);
    assert.equal(day.session(0), "open");
    place(day, order(a, "buy", 1_100n, 1), AUCTION + 2n);
    day.advance(AUCTION + 12n);
    assert.equal(day.session(0), "halted");
    refuses(() => place(day, order(b, "sell", 1_100n, 1), AUCTION + 13n), "Matching.MarketHalted");
    day.advance(AUCTION + 32n);
    assert.equal(day.session(0), "open");
    assert.deepEqual(kinds(place(day, order(b, "sell", 1_100n, 1), AUCTION + 33n)), ["accepted", "executed"]);
  });

  test("orders good for the day have rested until closing time, whenever the day is stopped [SET-4]", () => {
    const day = newDay([], MARKET, { settlementWindow: 100 });
    const [a, b] = [addTicket(day, 1, 10_000n), addTicket(day, 2, 10_000n)];
    place(day, order(a, "buy", 1_000n, 2, { expiry: CLOSES }));
    place(day, order(b, "sell", 1_005n, 1, { expiry: CLOSES - 1n }));
    const late = order(b, "sell", 1_010n, 1);
    place(day, late, CLOSES - 50n);
    assert.equal(day.session(0), "closing");
    day.advance(CLOSES + 3n);
    assert.equal(day.liveCount, 0);
    day.stop();
    assert.deepEqual(
      day.rested.map(({ signed, remaining }) => [signed.order.limitPrice, remaining]),
      [[1_000n, 2]],
    );
  });

  test("a trader who goes silent loses all orders of the ticket, at the second [ORD-18]", () => {
    const log: LogEntry[] = [];
    const day = newDay(log);
    const ticket = addTicket(day, 1, 10_000n);
    place(day, order(ticket, "buy", 1_000n, 1));
    place(day, order(ticket, "sell", 1_010n, 1));
    day.guard(day.useNonce(ticket, 5n), NOW + 10n);
    refuses(() => day.useNonce(ticket, 5n), "NonceUsed");
    day.advance(NOW + 9n);
    assert.equal(day.liveCount, 2);
    day.guard(day.useNonce(ticket, 6n), NOW + 20n);
    day.advance(NOW + 19n);
    assert.equal(day.liveCount, 2);
    day.advance(NOW + 20n);
    assert.deepEqual(
      log.slice(-2).map(({ cause }) => cause),
      ["silence", "silence"],
    );
    assert.equal(day.liveCount, 0);
  });
});

describe("an order that could not settle", () => {
  test("an immediate stop for more contracts than a batch has room for is refused [FIL-16]", () => {
    const day = newDay();
    const ticket = addTicket(day, 1, 10n ** 6n);
    const stop = (quantity: number, timeInForce: "IOC" | "GTC") => () =>
      day.place(
        instructed(order(ticket, "buy", 1_050n, quantity, { timeInForce }), { stopPrice: 1_050n }),
        ZERO_HASH,
        NOW,
      );
    refuses(stop(MOST_MAKERS + 1, "IOC"), "TooManyMakers");
    stop(MOST_MAKERS, "IOC")();
    stop(MOST_MAKERS + 1, "GTC")();
  });

  test("an immediate stop stays immediate when it is replaced [MAT-8, FIL-16]", () => {
    const day = newDay();
    const ticket = addTicket(day, 1, 10n ** 6n);
    const stop = order(ticket, "buy", 1_050n, 2, { timeInForce: "IOC" });
    day.place(instructed(stop, { stopPrice: 1_050n }), ZERO_HASH, NOW);
    const replace = (changes: Partial<Order>) => () =>
      day.replace({ ...stop, order: { ...stop.order, revision: 1, ...changes } }, ZERO_HASH, NOW);
    refuses(replace({ timeInForce: "GTC" }), "TermsChanged");
    refuses(replace({ quantity: MOST_MAKERS + 1 }), "TooManyMakers");
    replace({ quantity: 1 })();
  });

  test("no order, new or replaced, meets more orders at once than fit a batch [FIL-16, ORD-13]", () => {
    const day = newDay();
    const [maker, taker] = [addTicket(day, 1, 10n ** 7n), addTicket(day, 2, 10n ** 7n)];
    for (let i = 0; i <= MOST_MAKERS; i++) place(day, order(maker, "sell", 1_000n, 1));
    refuses(() => place(day, order(taker, "buy", 1_000n, MOST_MAKERS + 1)), "TooManyMakers");
    const low = order(taker, "buy", 995n, MOST_MAKERS + 1);
    place(day, low);
    const raised = { ...low, order: { ...low.order, limitPrice: 1_000n, revision: 1 } };
    refuses(() => day.replace(raised, ZERO_HASH, NOW), "TooManyMakers");
    assert.equal(day.unsettled.length, 0);
  });

  test("a ticket has no more live orders than one command can cancel [ORD-20]", () => {
    const day = newDay();
    const ticket = addTicket(day, 1, 10n ** 9n);
    for (let i = 0; i < MOST_ORDERS; i++) place(day, order(ticket, "buy", 950n, 1));
    refuses(() => place(day, order(ticket, "buy", 950n, 1)), "TooManyOrders");
  });

  test("what the chain refuses is set aside, the rest is kept, and trading is halted [BAT-20]", () => {
    const day = newDay();
    const [a, b, c] = [addTicket(day, 1, 10_000n), addTicket(day, 2, 10_000n), addTicket(day, 3, 10_000n)];
    const resting = order(a, "sell", 1_000n, 3);
    place(day, resting);
    place(day, order(b, "buy", 1_000n, 1));
    place(day, order(c, "buy", 1_000n, 1));
    const [first, second] = day.unsettled;
    assert(first !== undefined && second !== undefined);
    assert.deepEqual(day.setAside(first.seq, NOW), [first]);
    assert.deepEqual(day.unsettled, [second]);
    assert.equal(day.ticket(b).balance.position, 0n);
    assert.equal(day.ticket(a).balance.position, -1n);
    refuses(() => place(day, order(c, "buy", 1_000n, 1)), "Matching.MarketHalted");
    day.cancel(a, resting.order.clientId, NOW);
  });
});

describe("batches", () => {
  const transition = (action: Action): ProvenTransition => ({
    action,
    root: 0n,
    nullifier: 0n,
    newNote: 0n,
    seat: 0n,
    signature: "0x",
    proof: { a: [0n, 0n], b: [[0n, 0n], [0n, 0n]], c: [0n, 0n] }, // prettier-ignore
  });
  const fund = transition({ name: "fund", creditId: 1n, amount: 1n, relayFee: 0n });
  const close = (ticketId: Hex): ProvenTransition =>
    transition({ name: "closeTicket", ticketId, slot: 0, cash: 0n, position: 0, relayFee: 0n });

  test("fills wait for the batch after the opening of their tickets, and closings for the fills [TKT-8, BAT-2]", () => {
    const day = newDay();
    const [a, b, c] = [addTicket(day, 1, 10_000n), addTicket(day, 2, 10_000n), addTicket(day, 3, 10_000n)];
    place(day, order(a, "sell", 1_000n, 3));
    place(day, order(b, "buy", 1_000n, 1));
    place(day, order(c, "buy", 1_000n, 1));
    place(day, order(b, "buy", 1_000n, 1));
    const queue = [fund, close(b), close(addTicket(day, 4, 0n))];
    const first = planBatch(queue, day.unsettled, (ticketId) => ticketId !== c);
    assert.deepEqual(first?.entering, [fund]);
    assert.equal(first.executions.length, 1);
    assert.deepEqual(first.leaving, [queue[2]]);
    const second = planBatch(queue.slice(0, 2), day.unsettled.slice(1), () => true);
    assert.equal(second?.executions.length, 2);
    assert.deepEqual(second.leaving, [queue[1]]);
    assert.equal(
      planBatch([], [], () => true),
      undefined,
    );
  });

  test("fills of an immediate order are never split, others are, and each order is sent once [FIL-16, FIL-1]", () => {
    const day = newDay();
    const [maker, taker] = [addTicket(day, 1, 10n ** 6n), addTicket(day, 2, 10n ** 6n)];
    for (let i = 0; i < 6; i++) place(day, order(maker, "sell", 1_000n, 1));
    place(day, order(taker, "buy", 1_000n, 3));
    place(day, order(taker, "buy", 1_000n, 3, { timeInForce: "FOK" }));
    const withGas = (gas: bigint) =>
      planBatch([], day.unsettled, () => true, { transitions: 32, gas })?.executions.length;
    assert.equal(withGas(1_085_000n), 3);
    assert.equal(withGas(1_084_999n), 2);
    assert.equal(withGas(1_419_999n), 3);
    assert.equal(withGas(1_420_000n), 6);
    const plan = planBatch([], day.unsettled, () => true);
    assert(plan !== undefined);
    const batch = batchOf(plan, 1, ZERO_HASH);
    assert.equal(batch.orders.length, 8);
    assert.equal(batch.fills.length, 6);
    batch.fills.forEach(({ maker: index, taker: other, price }, i) => {
      assert.equal(batch.orders[index], day.unsettled[i]?.maker);
      assert.equal(batch.orders[other], day.unsettled[i]?.taker);
      assert.equal(price, 1_000n);
    });
  });

  test("orders that an immediate one sets off are pieces of their own [FIL-16]", () => {
    const day = newDay();
    const [maker, ioc, stopped] = [
      addTicket(day, 1, 10n ** 6n),
      addTicket(day, 2, 10n ** 6n),
      addTicket(day, 3, 10n ** 6n),
    ];
    for (let i = 0; i < 4; i++) place(day, order(maker, "sell", 1_000n, 1));
    day.place(instructed(order(stopped, "buy", 1_000n, 3), { stopPrice: 1_000n }), ZERO_HASH, NOW);
    place(day, order(ioc, "buy", 1_000n, 1, { timeInForce: "IOC" }));
    assert.deepEqual(new Set(day.unsettled.map(({ seq }) => seq)).size, 1);
    assert.equal(day.unsettled.length, 4);
    const count = (gas: bigint) =>
      planBatch([], day.unsettled, () => true, { transitions: 32, gas })?.executions.length;
    assert.equal(count(GAS.batch + GAS.fill + 2n * GAS.order), 1);
    assert.equal(count(GAS.batch + 2n * GAS.fill + 4n * GAS.order), 2);
  });

  test("an opening that a fill waits for goes before others that came earlier [ORD-13]", () => {
    const day = newDay();
    const opening = (nullifier: bigint): ProvenTransition => ({
      ...transition({
        name: "openTicket",
        slot: 0,
        relayFee: 0n,
        tickets: [{ sessionKey: `0x${"11".repeat(20)}`, cash: 10_000n, position: 0, reduceOnly: false }],
      }),
      nullifier,
    });
    const queue = Array.from({ length: 40 }, (_, i) => opening(BigInt(i)));
    const last = queue.at(-1) ?? assert.fail();
    const [pending] = openedTickets(last);
    assert(pending !== undefined);
    day.tickets.set(
      pending,
      ticketView({
        ticketId: pending,
        sessionKey: "0x01",
        slot: 0,
        reduceOnly: false,
        status: "pending",
        openedInBatch: undefined,
        cash: 10_000n,
        position: 0n,
      }),
    );
    place(day, order(pending, "sell", 1_000n, 1));
    place(day, order(addTicket(day, 1, 10_000n), "buy", 1_000n, 1));
    const plan = planBatch(queue, day.unsettled, (ticketId) => ticketId !== pending);
    assert.equal(plan?.entering[0], last);
    assert.equal(plan.entering[1], queue[0]);
  });

  test("openings leave fills half of the gas, and an immediate order all that it needs [ORD-13, FIL-16]", () => {
    const flood = Array<ProvenTransition>(32).fill(fund);
    const limits = { transitions: 32, gas: 6_000_000n };
    const alone = planBatch(flood, [], () => true, limits);
    assert.equal(alone?.entering.length, 27);
    const day = newDay();
    const [maker, taker] = [addTicket(day, 1, 10n ** 6n), addTicket(day, 2, 10n ** 6n)];
    for (let i = 0; i < 50; i++) place(day, order(maker, "sell", 1_000n, 1));
    place(day, order(taker, "buy", 1_000n, 50));
    const shared = planBatch(flood, day.unsettled, () => true, limits);
    assert.deepEqual([shared?.entering.length, shared?.executions.length], [11, 31]);
    // What cannot settle yet takes nothing away from the openings that it waits for.
    assert.equal(planBatch(flood, day.unsettled, () => false, limits)?.entering.length, 27);
    const other = newDay();
    const [many, one] = [addTicket(other, 1, 10n ** 6n), addTicket(other, 2, 10n ** 6n)];
    for (let i = 0; i < 50; i++) place(other, order(many, "sell", 1_000n, 1));
    place(other, order(one, "buy", 1_000n, 50, { timeInForce: "IOC" }));
    const whole = planBatch(flood, other.unsettled, () => true, limits);
    assert.deepEqual([whole?.entering.length, whole?.executions.length], [1, 50]);
  });

  test("what can be posted falls with the time that is left [ORD-13]", () => {
    const pace = { fillsPerBatch: 100, secondsPerBatch: 12 };
    assert.deepEqual(
      [-5n, 0n, 11n, 12n, 600n].map((seconds) => mostPostable(pace, seconds)),
      [0, 0, 0, 100, 5_000],
    );
  });

  test("no more than 32 transitions go into one batch [BAT-1]", () => {
    const plan = planBatch(Array<ProvenTransition>(40).fill(fund), [], () => true);
    assert.equal(plan?.entering.length, 32);
  });
});

describe("resting quotes", () => {
  test("the best orders that kept their place through the window are attested, sorted [SET-4, SET-8]", () => {
    const day = newDay();
    const [a, b] = [addTicket(day, 2, 10n ** 6n), addTicket(day, 1, 10n ** 6n)];
    const bids = [order(a, "buy", 950n, 3), order(b, "buy", 960n, 3), order(a, "buy", 940n, 9)] as const;
    for (const bid of bids) place(day, bid);
    place(day, order(a, "sell", 1_050n, 4));
    place(day, order(b, "sell", 1_060n, 5), NOW + 600n);
    place(day, order(b, "buy", 970n, 9, { expiry: CLOSES - 1n }));
    const grown = order(b, "buy", 970n, 8);
    place(day, grown);
    day.replace({ order: { ...grown.order, quantity: 9, revision: 1 }, signature: "0x" }, ZERO_HASH, NOW + 600n);
    const rested = restedOrders(day.liveOrders(), NOW + 500n, CLOSES);
    assert.deepEqual(restingQuotes(rested, day, 0), [{ slot: 0, bids: [bids[1], bids[0]], asks: [] }]);
    assert.deepEqual(restingQuotes(rested, day, 1), []);
    assert.equal(restingQuotes(rested, day, 2).length, 1);
  });

  test("thousands of small orders cannot make the close too dear: the largest are attested, 40 a side [SET-12]", () => {
    const bidsOf = (small: number, large: number) => {
      const day = newDay([], { ...MARKET, minimumVolume: 60 });
      const ticket = addTicket(day, 1, 10n ** 7n);
      for (let i = 0; i < small; i++) place(day, order(ticket, "buy", 960n, 1));
      for (let i = 0; i < large; i++) place(day, order(ticket, "buy", 950n, 2));
      const [quote] = restingQuotes(restedOrders(day.liveOrders(), NOW, CLOSES), day, 0);
      return quote?.bids.map(({ order: { quantity } }) => quantity) ?? [];
    };
    assert.equal(MOST_QUOTES, 40);
    assert.deepEqual(bidsOf(300, 0), []);
    assert.deepEqual(bidsOf(39, 0), []);
    assert.deepEqual(bidsOf(40, 19), []);
    // 20 of two contracts and 20 of one are 60 in 40 orders.
    const most = bidsOf(40, 20);
    assert.deepEqual([most.length, most.reduce((sum, quantity) => sum + quantity, 0)], [40, 60]);
    assert.deepEqual(bidsOf(20, 40), Array<number>(30).fill(2));
  });

  test("orders of a ticket that is gone, or can no longer bear all of them, are not attested [SET-8, SET-12]", () => {
    const day = newDay();
    const [a, b] = [addTicket(day, 1, 10n ** 6n), addTicket(day, 2, 10n ** 6n)];
    for (const ticket of [a, b]) place(day, order(ticket, "buy", 950n, 9));
    const rested = restedOrders(day.liveOrders(), NOW, CLOSES);
    const attested = () => restingQuotes(rested, day, 0).flatMap(({ bids }) => bids.map((bid) => bid.order.ticketId));
    assert.deepEqual(attested(), [a]);
    day.ticket(a).balance = { cash: 0n, position: 0n };
    assert.deepEqual(attested(), [b]);
    day.tickets.delete(b);
    assert.deepEqual(attested(), []);
  });
});

describe("any stream of orders", () => {
  const side = fc.constantFrom<Side>("buy", "sell");
  // The highest fee too at which acceptance still holds.
  const fee = fc.constantFrom(0n, 2n, 50n, MARKET.initialMargin - MARKET.priceLimit);
  const command = fc.record({
    ticket: fc.nat(4),
    kind: fc.constantFrom("place", "place", "place", "place", "cancel", "replace"),
    side,
    price: fc.integer({ min: 193, max: 207 }).map((ticks) => BigInt(ticks) * MARKET.tick),
    quantity: fc.integer({ min: 1, max: 9 }),
    timeInForce: fc.constantFrom("GTC" as const, "GTC" as const, "GTC" as const, "IOC" as const, "FOK" as const),
    pick: fc.nat(),
  });

  test("leaves every fill payable, every ticket covered and positions in balance [ORD-6, TKT-10, FIL-8]", () => {
    let executed = 0;
    fc.assert(
      fc.property(fee, fc.array(command, { minLength: 30, maxLength: 120 }), (fillFee, commands) => {
        const log: LogEntry[] = [];
        const market = { ...MARKET, fillFee };
        const day = newDay(log, market);
        const cash = [1_200n, 3_000n, 6_000n, 9_000n, -1_500n];
        const carried = [0n, 0n, 0n, 0n, 2n];
        const ids = cash.map((amount, i) => addTicket(day, i + 1, amount, { reduceOnly: i === 4 }, carried[i]));
        for (const { ticket, kind, side: buyOrSell, price, quantity, timeInForce, pick } of commands) {
          const id = ids[ticket] ?? ids[0];
          assert(id !== undefined);
          const live = [...day.ticket(id).orders.values()];
          const chosen = live[pick % Math.max(1, live.length)];
          const logged = log.length;
          try {
            if (kind === "place") place(day, order(id, buyOrSell, price, quantity, { timeInForce }));
            else if (chosen === undefined) continue;
            else if (kind === "cancel") day.cancel(id, chosen.signed.order.clientId, NOW);
            else {
              const { revision } = chosen.signed.order;
              const next = { ...chosen.signed.order, limitPrice: price, quantity, revision: revision + 1 };
              day.replace({ order: next, signature: "0x" }, ZERO_HASH, NOW);
            }
          } catch (error) {
            if (!(error instanceof HedgerowError)) throw error;
            // What is refused has changed nothing: a fill that could not be paid would be found out too late.
            assert(log.slice(logged).every(({ entry }) => entry.kind === "rejected"));
          }
          for (const view of day.tickets.values()) {
            assert(isCovered(market, view));
            for (const way of ["buy", "sell"] as const) {
              const resting = [...view.orders.values()].filter(({ signed }) => signed.order.side === way);
              const total = resting.reduce((sum, { remaining }) => sum + BigInt(remaining), 0n);
              const value = resting.reduce((sum, o) => sum + BigInt(o.remaining) * o.signed.order.limitPrice, 0n);
              assert.deepEqual(view.resting[way], { quantity: total, value, reduceOnly: 0n });
            }
          }
        }
        executed += day.unsettled.length;
        const positions = [...day.tickets.values()].reduce((sum, { balance }) => sum + balance.position, 0n);
        assert.equal(positions, 2n);
        const balances = [...day.tickets.values()].map(({ balance }) => balance);
        day.markSettled(day.unsettled.length);
        assert.deepEqual(
          [...day.tickets.values()].map(({ settled: { cash: c, position } }) => ({ cash: c, position })),
          balances,
        );
      }),
      { numRuns: 400, seed: 7 },
    );
    assert(executed > 1_000, `only ${executed} executions`);
  });
});
