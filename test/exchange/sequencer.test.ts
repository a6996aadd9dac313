import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { numberToHex } from "viem";
import { ExchangeLog, type LogEntry, ZERO_HASH } from "../../src/exchange/log.ts";
import { ticketView } from "../../src/exchange/ticketView.ts";
import { TradingDay } from "../../src/exchange/tradingDay.ts";
import type { Side } from "../../src/protocol/order.ts";
import { MARKET, playExchange, type Tally } from "../support/randomExchange.ts";

// No chain, no disk: the exchange as a state machine, under commands of all kinds. `npm run fuzz -- --what exchange` goes
// on with other seeds.

describe("any commands", () => {
  // Replayed from the accepted commands alone, and restored now and then, beside the one that never stops.
  test("give one exchange and one log, replayed or restored, and break no rule on the way [JRN-7, JRN-11, MAT-12, MAT-13, MAT-14, ORD-6, ORD-17, FIL-17]", () => {
    const total: Tally = new Map();
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 200, max: 400 }), (seed, commands) => {
        for (const [what, times] of playExchange(seed, commands)) total.set(what, (total.get(what) ?? 0) + times);
      }),
      { numRuns: 60, seed: 3 },
    );
    // A run that never comes to something proves nothing of it.
    const wanted = [
      ...["place", "replace", "cancel", "cancelAll", "cancelAfter", "tick", "queue", "drop", "restored"],
      ...["send", "unsend", "settle", "stop", "window", "day", "closing", "place refused: Matching.BeyondCollar"],
      ...["entry executed", "entry executed by auction", "entry triggered", "entry reloaded", "entry replaced"],
      ...["entry cancelled by expiry", "entry cancelled by silence", "entry cancelled by ticket-lost"],
      ...["entry cancelled by ticket-closing", "entry cancelled by end-of-day", "entry expired", "entry rejected"],
      ...["session open", "session halted", "session closing", "session closed"],
      ...["place refused: TicketBelowMargin", "place refused: NotReducing", "place refused: OrderExpired"],
      ...["place refused: Matching.DuplicateOrder", "cancelAll refused: NonceUsed"],
    ];
    assert.deepEqual(
      wanted.filter((what) => (total.get(what) ?? 0) < 3),
      [],
    );
  });
});

describe("the opening after a call auction", () => {
  test("leaves an order alone whose last second was the auction's [ORD-7, FIL-17, MAT-18]", () => {
    const auctionTime = 1_060n;
    const times = { epoch: 1, openedAt: 1_000n, closingTime: 5_000n, auctionTime };
    const log: LogEntry[] = [];
    const day = new TradingDay(times, [MARKET], new ExchangeLog({ nextSeq: 1, head: ZERO_HASH }, (e) => log.push(e)));
    const place = (side: Side, quantity: number, expiry: bigint, stopPrice?: bigint): void => {
      const ticketId = numberToHex(day.tickets.size + 1, { size: 32 });
      const fixed = { ticketId, sessionKey: "0x01", slot: 0, reduceOnly: false, openedInBatch: 1 } as const;
      day.tickets.set(ticketId, ticketView({ ...fixed, status: "open", cash: 10_000n, position: 0n }));
      const terms = { clientId: 1n, limitPrice: 1_000n, timeInForce: "GTC", postOnly: false, revision: 0 } as const;
      const more = { orderHash: ZERO_HASH, displayQuantity: 0, selfTrade: "decrement", reduceOnly: false } as const;
      const order = { ...terms, ticketId, side, quantity, expiry };
      const entry = { order, signature: "0x", ...(stopPrice && { instructions: { ...more, stopPrice } }) } as const;
      day.place(entry, ZERO_HASH, 1_010n);
    };
    place("sell", 2, auctionTime);
    place("buy", 1, 4_000n);
    // Reached by the auction, and triggered a second later.
    place("buy", 1, 4_000n, 1_000n);
    day.advance(1_070n);
    assert.deepEqual(
      log.slice(3).map(({ entry, time }) => `${entry.kind} at ${time}`),
      [...["uncrossed at 1060", "executed at 1060"], ...["cancelled at 1061", "session at 1061", "triggered at 1061"]],
    );
  });
});
