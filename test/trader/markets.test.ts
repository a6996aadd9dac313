import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { stringToHex } from "viem";
import type { EpochMarket } from "../../src/protocol/epoch.ts";
import {
  BadAmount,
  contractName,
  findMarket,
  formatAmount,
  parseAmount,
  parsePrice,
  UnknownMarket,
} from "../../src/trader/markets.ts";
import { epochMarket } from "../support/epochMarket.ts";

function market(name: string): EpochMarket {
  return epochMarket({
    contractId: stringToHex(name, { size: 32 }),
    listed: name !== "",
    centre: 0n,
    tick: 1n,
    priceLimit: 1n,
    maintenanceMargin: 1n,
    initialMargin: 1n,
    closeOutFee: 1n,
    fillFee: 0n,
    minimumVolume: 1,
    minimumMinutes: 1,
    settlementPrice: 0n,
    expired: false,
    closingOnly: false,
    lastTradingTime: 0n,
  });
}

const MARKETS = ["LEAN HOGS", "", "WTI-DEC", "0"].map(market);

test("a market is found by its name in any case, with hyphens for spaces, or by its slot [REP-8]", () => {
  for (const text of ["LEAN HOGS", "lean-hogs", " Lean Hogs ", "Lean-hogs"]) {
    assert.equal(findMarket(MARKETS, text).slot, 0);
  }
  assert.deepEqual(
    ["wti-dec", "wti dec", "2"].map((text) => findMarket(MARKETS, text).slot),
    [2, 2, 2],
  );
  assert.equal(findMarket(MARKETS, "0").slot, 3, "a name goes before a number");
});

test("a market that is not there is refused, with a list of those that are [REP-8]", () => {
  for (const text of ["CORN", "1", "7", "", "-1", "LEAN"]) {
    assert.throws(
      () => findMarket(MARKETS, text),
      (error) => error instanceof UnknownMarket && error.message.includes("0 LEAN HOGS, 2 WTI-DEC, 3 0"),
    );
  }
  assert.throws(() => findMarket([], "CORN"), /none is listed today/);
});

test("a contract's name is its text, or its hex where it has none [REP-8]", () => {
  assert.equal(contractName(stringToHex("LEAN HOGS", { size: 32 })), "LEAN HOGS");
  assert.equal(contractName(stringToHex("A".repeat(32), { size: 32 })), "A".repeat(32));
  for (const odd of [`0x${"00".repeat(32)}`, `0x1b5b${"00".repeat(30)}`, `0x41004200${"00".repeat(28)}`] as const) {
    assert.equal(contractName(odd), odd);
  }
});

test("amounts are read and written exactly, for any decimals and sign [REP-8]", () => {
  fc.assert(
    fc.property(fc.bigInt(-(10n ** 36n), 10n ** 36n), fc.integer({ min: 0, max: 36 }), (baseUnits, decimals) => {
      fc.pre(baseUnits.toString().length <= 40);
      assert.equal(parsePrice(formatAmount(baseUnits, decimals), decimals), baseUnits);
      assert.equal(parsePrice(formatAmount(baseUnits, decimals, true), decimals), baseUnits);
      if (baseUnits > 0n) assert.equal(parseAmount(formatAmount(baseUnits, decimals), decimals), baseUnits);
    }),
  );
  assert.equal(formatAmount(-1_234_500_000n, 6), "-1,234.50");
  assert.equal(formatAmount(-37_630_000n, 6), "-37.63");
  assert.equal(formatAmount(1n, 6), "0.000001");
  assert.equal(formatAmount(1_000n, 0), "1,000");
  assert.equal(formatAmount(0n, 18), "0.00");
});

test("what is no amount is refused, and the error repeats it [REP-8]", () => {
  const wrong = [
    "",
    "abc",
    "1e5",
    "0x10",
    "1.",
    ".5",
    "1,00",
    "1 000",
    "--1",
    "1.2.3",
    "0.0000001",
    "9".repeat(41),
    "٣",
  ];
  for (const text of wrong) {
    assert.throws(
      () => parsePrice(text, 6),
      (error) => error instanceof BadAmount && error.message.includes(`"${text}"`),
    );
  }
  for (const text of ["0", "-5", "0.000"]) assert.throws(() => parseAmount(text, 6), BadAmount);
  assert.equal(parsePrice("1.50000000", 6), 1_500_000n, "zeros that say nothing do no harm");
});

test("a price off the tick is refused, with the two nearest, also below zero [REP-8]", () => {
  const tick = 10_000_000n;
  assert.equal(parsePrice("-30", 6, tick), -30_000_000n);
  assert.throws(() => parsePrice("34,255", 6, tick), /steps of 10.00; near are 34,250.00 and 34,260.00/);
  assert.throws(() => parsePrice("-37.63", 6, tick), /near are -40.00 and -30.00/);
});
