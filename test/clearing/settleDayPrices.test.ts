import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ticksAround, timePlot } from "../../src/clearing/plots.ts";
import { finalPrice, priceEvidence } from "../../src/clearing/settleDayPrices.ts";
import { hogMarket } from "../support/fakeAgent.ts";

const MARKET = hogMarket({ centre: 0n, tick: 10n, priceLimit: 1_000n, minimumVolume: 6, minimumMinutes: 2 });

const fills = fc
  .array(fc.record({ execTime: fc.bigInt(0n, 1_200n), price: fc.bigInt(-99n, 99n), quantity: fc.bigInt(1n, 5n) }), {
    maxLength: 12,
  })
  .map((list) =>
    list
      .toSorted((a, b) => Number(a.execTime - b.execTime))
      .map((fill) => ({ ...fill, price: fill.price * MARKET.tick })),
  );
const quote = fc.option(
  fc.bigInt(-99n, 99n).map((ticks) => ticks * 10n),
  { nil: undefined },
);

describe("the evidence of a price", () => {
  test("adds up to the tier and, without bounds, to the price [CLR-8, SET-1, SET-2, SET-3]", () => {
    fc.assert(
      fc.property(fills, fc.bigInt(0n, 1_200n), quote, quote, (list, windowStart, bid, ask) => {
        const evidence = priceEvidence(MARKET, list, windowStart, { bid, ask });
        const { windowMinutes, windowVolume, tail, minutes, dayVolume, unbounded, cutOffBy, price } = evidence;
        const isFirst = windowMinutes >= MARKET.minimumMinutes && windowVolume >= BigInt(MARKET.minimumVolume);
        assert.equal(evidence.tier, isFirst ? 1 : tail !== undefined ? 2 : 3);
        assert.equal(
          dayVolume,
          list.reduce((sum, { quantity }) => sum + quantity, 0n),
        );
        const from = evidence.tier === 1 ? ((windowStart + 59n) / 60n) * 60n : (tail?.from ?? 2_000n);
        const counted = minutes.filter(({ time }) => time >= from);
        const volume = counted.reduce((sum, minute) => sum + minute.volume, 0n);
        const value = counted.reduce((sum, minute) => sum + minute.value, 0n);
        const off = volume === 0n ? 0n : unbounded * volume - value;
        // Half a tick away from the average at the most.
        assert.ok(2n * (off < 0n ? -off : off) <= MARKET.tick * volume);
        assert.equal(cutOffBy === "nothing", price === unbounded);
        assert.ok(price >= evidence.down && price <= evidence.up);
      }),
    );
  });

  test("at a contract's end three days' prices count, and limits keep it from ending [CLR-8, SET-9, SET-10]", () => {
    assert.equal(finalPrice(MARKET, [30n, 60n]), undefined);
    assert.deepEqual(finalPrice(MARKET, [30n, 60n, 90n, 900n]), { mean: 60n, price: 60n, expires: true });
    const cut = finalPrice(MARKET, [900n, 2_000n, 2_000n]);
    assert.deepEqual([cut?.price, cut?.expires], [1_000n, false]);
  });
});

describe("plots", () => {
  test("ticks enclose all values in few steps, of whole counts [CLR-7]", () => {
    const value = fc.integer({ min: -(2 ** 50), max: 2 ** 50 }).map((units) => units / 1e6);
    fc.assert(
      fc.property(fc.array(value), fc.constantFrom("count", "amount", "price"), (values, kind) => {
        const ticks = ticksAround(values, kind);
        const [low = NaN, high = NaN] = [ticks[0], ticks.at(-1)];
        assert.ok(ticks.length >= 2 && ticks.length <= 12 && low < high);
        const slack = (high - low) * 1e-9;
        for (const each of values) assert.ok(each >= low - slack && each <= high + slack);
        if (kind === "count") for (const tick of ticks) assert.equal(tick, Math.round(tick));
      }),
    );
  });

  test("whatever the names are, they stay text and the numbers are numbers [CLR-7]", () => {
    fc.assert(
      fc.property(fc.string(), fc.array(fc.tuple(fc.nat(1e6), fc.nat(1e6))), (name, points) => {
        const plotOf = (text: string): string =>
          timePlot({
            label: text,
            caption: text,
            from: 0,
            to: 1e6,
            series: [{ name: text, points }],
            bars: { name: text, points, width: 60 },
            levels: [{ name: text, value: 3 }],
            format: String,
            kind: "amount",
          }).html;
        const tagsIn = (html: string): number => html.split(/[<>]/).length;
        const html = plotOf(name);
        assert.equal(tagsIn(html), tagsIn(plotOf("")));
        for (const [, , number = ""] of html.matchAll(/ (x|y|x1|x2|y1|y2|cx|cy|width|height)="([^"]*)"/g)) {
          assert.match(number, /^-?\d+(\.\d)?$/);
        }
        for (const [, path = ""] of html.matchAll(/points="([^"]*)"/g)) assert.match(path, /^[\d., ]*$/);
      }),
      { numRuns: 30 },
    );
  });
});
