import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { playExchange, type Tally } from "../support/randomExchange.ts";

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
      ...["send", "unsend", "settle", "stop", "window", "day"],
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
