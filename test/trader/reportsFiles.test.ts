import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "csv-parse/sync";
import fc from "fast-check";
import { statementCsv } from "../../src/trader/reports/statementCsv.ts";
import { statementHtml } from "../../src/trader/reports/statementHtml.ts";
import { type StatementView, statementView } from "../../src/trader/views.ts";

const WORD = `0x${"ab".repeat(32)}` as const;

/** A statement in which a contract and the network have a name of somebody's choice. */
function statementNamed(contract: string, network = "local"): StatementView {
  return statementView.parse({
    network,
    clearingHouse: `0x${"11".repeat(20)}`,
    account: "18446744073709551615",
    ownerKey: WORD,
    fromEpoch: 2,
    toEpoch: 3,
    openingEquity: "-1500000",
    closingEquity: "48500001",
    deposits: "50000001",
    withdrawals: "0",
    fees: "500000",
    variation: "500000",
    other: "0",
    days: [
      { epoch: 2, settled: true, closedAt: 1_772_375_400, equity: "48000001" },
      { epoch: 3, settled: false, closedAt: null, equity: "48500001" },
    ],
    variations: [
      {
        epoch: 2,
        slot: 0,
        contract,
        held: 0,
        position: -3,
        settled: true,
        settlementPrice: "-37630000",
        variation: "500000",
      },
    ],
    entries: [
      {
        block: 7,
        time: 1_772_370_000,
        transactionHash: WORD,
        kind: "fill",
        epoch: 2,
        slot: 0,
        contract,
        ticketId: WORD,
        amount: "0",
        cash: "-112890000",
        position: -3,
        price: "-37630000",
        fee: "500000",
      },
    ],
  });
}

const anyText = fc.oneof(
  fc.string({ unit: "binary-ascii", maxLength: 24 }),
  fc.constantFrom(
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    " =1",
    "|x",
    "%0",
    'a"b,c\r\nd',
    "'",
  ),
);

test("a statement as CSV is read back cell by cell, whatever names there are [REP-6]", () => {
  fc.assert(
    fc.property(anyText, (name) => {
      const rows = parse(statementCsv(statementNamed(name), 6), { columns: true, record_delimiter: "\r\n" });
      const text = JSON.stringify(rows);
      assert.equal(rows.length, 7 + 2 + 1 + 1, text);
      for (const row of rows.slice(9)) {
        assert.ok(typeof row === "object" && row !== null && "contract" in row && "price" in row);
        assert.ok(row.contract === name || row.contract === `'${name}`, text);
        assert.equal(row.price, "-37.63");
      }
    }),
  );
});

test("no cell of the CSV begins as a formula, but numbers stay numbers [REP-6]", () => {
  fc.assert(
    fc.property(anyText, (name) => {
      const rows: unknown = parse(statementCsv(statementNamed(name), 6), { record_delimiter: "\r\n" });
      assert.ok(Array.isArray(rows));
      for (const cell of rows.flat().map(String)) {
        assert.ok(/^-?\d+(\.\d+)?$/.test(cell) || !/^(\s*[=+\-@|%]|[\t\r\n])/.test(cell), JSON.stringify(cell));
      }
    }),
  );
  const csv = statementCsv(statementNamed("HOGS"), 6);
  assert.match(csv, /^record,epoch,time \(UTC\),what/);
  assert.match(csv, /\r\ntotal,,,opening equity,,,,-1.50,/);
  assert.match(csv, /entry,2,2026-03-01 13:00:00,fill,HOGS,-3,-37.63,0.00,-112.89,0.50,/);
  assert.ok(csv.endsWith("\r\n") && !/[^\r]\n/.test(csv));
});

test("the printed statement holds no script, loads nothing, and escapes every name [REP-7]", () => {
  const tagsOf = (page: string) => page.match(/<[a-z!/][^>]*>/gi) ?? [];
  const plain = tagsOf(statementHtml(statementNamed("HOGS"), 6));
  const hostile = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><svg onload=alert(1)>",
    "&lt;b&gt;",
    "' onclick='x",
    "${html}",
    "$&$1\\",
  ];
  for (const name of hostile) {
    const page = statementHtml(statementNamed(name, name), 6);
    assert.deepEqual(tagsOf(page), plain, `${name} adds no element and no attribute`);
    assert.doesNotMatch(page, /<(script|img|iframe|object|embed|link|form)|javascript:|https?:|url\(|@import/i);
  }
  fc.assert(
    fc.property(anyText, (name) => {
      assert.deepEqual(tagsOf(statementHtml(statementNamed(name, name), 6)), plain);
    }),
  );
});

test("the printed statement shows its numbers, a line of equity, and is made for paper, light and dark [REP-7]", () => {
  const page = statementHtml(statementNamed("HOGS"), 6);
  for (const shown of [
    "-1.50",
    "50.000001",
    "48.500001",
    "-37.63",
    "epochs 2 to 3",
    "goes on",
    "2026-03-01 14:30:00",
  ]) {
    assert.ok(page.includes(shown), shown);
  }
  assert.match(page, /<polyline\s+points="12\.0,\d/);
  assert.match(page, /class="zero"/);
  assert.match(page, /@media print/);
  assert.match(page, /prefers-color-scheme: dark/);
  assert.match(page, /^<!doctype html>\s*<html lang="en">/);
});

test("a statement in which nothing happened has its page and its table, too [REP-6, REP-7]", () => {
  const nothing = {
    ...statementNamed("HOGS"),
    days: [],
    variations: [],
    entries: [],
    openingEquity: "0",
    closingEquity: "0",
  };
  assert.match(statementHtml(nothing, 6), /None\./);
  assert.equal(statementCsv(nothing, 0).split("\r\n").length, 9);
});
