import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ProgressEvent } from "../../src/trader/commands.ts";
import { BadDelay, parseDelay, randomDelay, randomWithin } from "../../src/trader/delay.ts";
import { Interrupted } from "../../src/trader/desk/reach.ts";

test("a delay is read as people write it, and what is none is refused [PRI-16]", () => {
  const read = (text: string) => Object.values(parseDelay(text));
  assert.deepEqual(read("0-30s"), [0, 30_000]);
  assert.deepEqual(read("30s"), [0, 30_000]);
  assert.deepEqual(read("30"), [0, 30_000]);
  assert.deepEqual(read("1-5m"), [60_000, 300_000]);
  assert.deepEqual(read("500ms - 2.5s"), [500, 2_500]);
  for (const text of ["", "s", "-3s", "5-1s", "30s-1s", "1e3s", "2d", "25h", "1-2-3s", "0x10s"]) {
    assert.throws(() => parseDelay(text), BadDelay, text);
  }
});

test("a random moment lies within its range, and every one of it comes [PRI-16]", () => {
  fc.assert(
    fc.property(fc.integer({ min: -1_000, max: 1_000 }), fc.nat(1_000_000), (from, width) => {
      const drawn = randomWithin(from, from + width);
      assert(Number.isInteger(drawn) && drawn >= from && drawn <= from + width);
    }),
  );
  assert.equal(randomWithin(5, 3), 5);
  assert.deepEqual(new Set(Array.from({ length: 400 }, () => randomWithin(1, 4))), new Set([1, 2, 3, 4]));
});

test("a delay tells what is left, and ends at once when it is told to, and then nothing is sent [PRI-16]", async () => {
  const events: ProgressEvent[] = [];
  const abort = new AbortController();
  const waiting = randomDelay(
    { fromMs: 60_000, toMs: 90_000 },
    {
      signal: abort.signal,
      onProgress: (event) => {
        events.push(event);
        setImmediate(() => abort.abort());
      },
    },
  );
  await assert.rejects(waiting, Interrupted);
  assert.equal(events.length, 1);
  assert.equal(events[0]?.stage, "waiting");
  assert.match(events[0].text, /^\d+ s, drawn at random$/);
  await assert.rejects(randomDelay({ fromMs: 0, toMs: 5 }, { signal: AbortSignal.abort() }), Interrupted);
  const took = await randomDelay({ fromMs: 1, toMs: 20 });
  assert(took >= 1 && took <= 20);
});
