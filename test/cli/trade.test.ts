import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { HedgerowError } from "../../src/protocol/errors.ts";
import { BALANCE, GOOD, hedgerow, ORDER } from "../support/commandLine.ts";

const TO = "0x00000000000000000000000000000000000000A1";

/** What a line asks of the wallet, market names aside. */
async function askedBy(line: string) {
  const { code, err, asked, closed } = await hedgerow(line.split(" "));
  assert.deepEqual({ code, err }, { code: 0, err: "" }, line);
  assert.equal(closed, 1, "the wallet is closed");
  return asked.filter(({ name }) => name !== "balance");
}

async function orderOf(line: string) {
  const asked = await askedBy(line);
  assert.deepEqual(
    asked.map(({ name }) => name),
    ["place"],
  );
  return asked[0]?.params;
}

const LIMIT = { side: "buy", quantity: 2, slot: 0, limitPrice: "34250000000" };

describe("an order", () => {
  test("a limit order on a fresh ticket is the plain one [CLI-8]", async () => {
    const fresh = { orders: [LIMIT], tickets: "fresh" };
    assert.deepEqual(await orderOf("buy 2 LEAN-HOGS --limit 34250"), fresh);
    assert.deepEqual(await orderOf("buy 2 lean-hogs --limit 34,250.00"), fresh, "case, thousands and cents");
    assert.deepEqual(await orderOf("buy 2 0 --limit=34250"), fresh, "by slot");
    assert.deepEqual(await orderOf("sell 2 WTI --limit -3.5"), {
      orders: [{ ...LIMIT, side: "sell", slot: 3, limitPrice: "-3500000" }],
      tickets: "fresh",
    });
  });

  for (const [line, terms] of [
    ["--market", { limitPrice: undefined }],
    ["--market --slippage 50", { limitPrice: undefined, slippage: "50000000" }],
    ["--stop 34900", { limitPrice: undefined, stopPrice: "34900000000" }],
    ["--limit 34250 --stop 34900", { stopPrice: "34900000000" }],
    ["--limit 34250 --ioc", { timeInForce: "IOC" }],
    ["--limit 34250 --fok", { timeInForce: "FOK" }],
    ["--limit 34250 --day", {}],
    ["--limit 34250 --good-till 2100-01-01T00:00:00Z", { expiry: 4_102_444_800 }],
    ["--limit 34250 --iceberg 1", { displayQuantity: 1 }],
    ["--limit 34250 --post-only", { postOnly: true }],
    ["--limit 34250 --reduce-only", { reduceOnly: true }],
    ["--limit 34250 --self-trade decrement", { selfTrade: "decrement" }],
  ] as const) {
    test(`buy ${line} asks for just that [CLI-8]`, async () => {
      const expected = Object.entries({ ...LIMIT, ...terms }).filter(([, value]) => value !== undefined);
      const asked = await orderOf(`buy 2 LEAN-HOGS ${line}`);
      assert.deepEqual(asked, { orders: [Object.fromEntries(expected)], tickets: "fresh" });
    });
  }

  test("it goes on a ticket that is named, or on linked ones [CLI-8]", async () => {
    const line = "buy 2 0 --limit 34250";
    assert.deepEqual(await orderOf(`${line} --ticket 0xAB12`), { orders: [LIMIT], tickets: { ticket: "0xab12" } });
    assert.deepEqual(await orderOf(`${line} --linked`), { orders: [LIMIT], tickets: "linked" });
  });

  test("its answer is told in words within 80 columns, or as the JSON of the wallet [CLI-2]", async () => {
    const line = ["buy", "2", "LEAN-HOGS", "--limit", "34250"];
    const { out } = await hedgerow(line);
    assert.match(out, /^order {3}3f2a91bc0d12e4f5 {2}buy 2 LEAN HOGS, limit 34,250.00\n/);
    assert.match(out, /\nstate {3}in the book: 1 of 2 filled at 34,250.00, 1 to go\n/);
    assert.match(out, /\nuntil {3}20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC[+-]\d\d:\d\d\n/);
    assert.ok(out.split("\n").every(({ length }) => length <= 80));
    const json = await hedgerow([...line, "--json"]);
    assert.deepEqual(JSON.parse(json.out), { order: ORDER, receipts: 2, refusal: null });
    assert.equal(json.err, "");
  });

  test("one that is refused is an error with the exchange's reason, and exit code 3 [CLI-3]", async () => {
    const refusal = { code: "Matching.NotFillable", message: "no", details: { orderId: "x", quantity: "2" } };
    const place = (): unknown => [{ order: { ...ORDER, status: "refused" }, receipts: 0, refusal }];
    const line = ["buy", "2", "0", "--limit", "3", "--fok"];
    const { code, out, err, closed } = await hedgerow(line, { answers: { ...GOOD, place } });
    assert.deepEqual({ code, out, closed }, { code: 3, out: "", closed: 1 });
    assert.match(err, /^hedgerow: The book does not hold 2 contracts .* \[Matching.NotFillable\]\nWhat to do: .*--ioc/);
    const json = await hedgerow([...line, "--json"], { answers: { ...GOOD, place } });
    assert.deepEqual([json.code, json.out, JSON.parse(json.err)], [3, "", { error: refusal }]);
  });
});

describe("the other trading commands", () => {
  test("cancel --all that leaves an order alive is an error, and says how many [CLI-3]", async () => {
    const refusal = { code: "ExchangeUnreachable", message: "it is away", details: { url: "http://there" } };
    const cancelAll = (): unknown => [
      { order: null, receipts: 0, refusal },
      { order: { ...ORDER, status: "cancelled" }, receipts: 1, refusal: null },
      { order: { ...ORDER, status: "filled" }, receipts: 0, refusal },
    ];
    const { code, out, err } = await hedgerow(["cancel", "--all"], { answers: { ...GOOD, cancelAll } });
    assert.deepEqual([code, out], [4, ""]);
    assert.match(err, /1 of 3 orders were not cancelled and may still fill/);
    const json = await hedgerow(["cancel", "--all", "--json"], { answers: { ...GOOD, cancelAll } });
    assert.deepEqual([json.code, json.out], [4, ""]);
    assert.match(json.err, /"notCancelled":1,"of":3/);
  });

  test("a ticket is closed by its name unless orders live on it [CLI-8]", async () => {
    const line = ["ticket", "close", "9ab4", "77c0"];
    const quiet = await hedgerow(line, { answers: { ...GOOD, orders: () => [] } });
    assert.equal(quiet.code, 0);
    assert.deepEqual(quiet.asked.at(-1), { name: "closeTickets", params: { tickets: ["9ab4", "77c0"] } });
    const busy = await hedgerow(line);
    assert.deepEqual([busy.code, busy.out], [3, ""]);
    assert.match(busy.err, /lives order 3f2a91bc0d12e4f5.*\[TicketHasOrders\]\nWhat to do: hedgerow cancel/);
    assert.ok(busy.asked.every(({ name }) => name !== "closeTickets"));
  });

  for (const [line, name, params] of [
    ["deposit 100000 --faucet", "deposit", { amount: "100000000000", faucet: true }],
    ["deposit 2,500.50 --no-wait --hold", "deposit", { amount: "2500500000", wait: false, hold: true }],
    ["fund", "fund", {}],
    [`fund ${2n ** 256n - 1n}`, "fund", { credits: [(2n ** 256n - 1n).toString()] }],
    ["fund 17 18 --direct", "fund", { credits: ["17", "18"], direct: true }],
    [`withdraw 0.000001 --to ${TO}`, "withdraw", { amount: "1", to: TO }],
    ["orders", "orders", { all: false }],
    ["orders --all", "orders", { all: true }],
    ["cancel 3F2A", "cancel", { order: "3f2a" }],
    ["cancel --all", "cancelAll", {}],
    ["replace 3f2a --limit 34100", "replace", { order: "3f2a", change: { limitPrice: "34100000000" } }],
    ["replace 3f2a --quantity 1", "replace", { order: "3f2a", change: { quantity: 1 } }],
    ["ticket open WTI --count 4 --cash 10000", "openTickets", { slot: 3, count: 4, cash: "10000000000" }],
    ["ticket close --all --no-wait", "closeTickets", { wait: false }],
    ["ticket list", "tickets", {}],
    ["renew --direct", "renew", { direct: true }],
    ["seat sleep", "seat", { action: "sleep" }],
    ["seat wake", "seat", { action: "wake" }],
    ["seat rejoin", "seat", { action: "rejoin" }],
    [`seat exit --to ${TO}`, "seat", { action: "exit", to: TO }],
    [`seat close --to ${TO}`, "seat", { action: "closeSeat", to: TO }],
    ["catch-up", "catchUp", {}],
  ] as const) {
    test(`${line} asks the wallet for ${name}, and prints text or one JSON object [CLI-8]`, async () => {
      assert.deepEqual(await askedBy(line), [{ name, params }]);
      const { out } = await hedgerow(line.split(" "));
      assert.notEqual(out, "");
      assert.ok(
        out.split("\n").every(({ length }) => length <= 80),
        out,
      );
      const json = await hedgerow([...line.split(" "), "--json"]);
      assert.equal(json.out.trim().split("\n").length, 1);
      assert.doesNotThrow(() => JSON.parse(json.out));
    });
  }

  test("options of the wallet reach it [CLI-8]", async () => {
    const line = "orders --wallet b --network n --home h --account 1 --proxy socks5h://x:1 --password-file p";
    const { opened } = await hedgerow([...line.split(" "), "--delay", "0-30s"]);
    assert.deepEqual(opened, [
      { wallet: "b", network: "n", home: "h", account: "1", proxy: "socks5h://x:1", passwordFile: "p", delay: "0-30s" },
    ]);
  });

  test("a wallet that fails is closed all the same, and one that does not open asks for nothing [CLI-3]", async () => {
    const orders = (): never => {
      throw new HedgerowError("ExchangeUnreachable", "away", { url: "http://x" });
    };
    const failed = await hedgerow(["orders"], { answers: { ...GOOD, orders } });
    assert.deepEqual([failed.code, failed.out, failed.closed], [4, "", 1]);
    const shut = await hedgerow(["orders"], { openFails: new HedgerowError("WrongPassword", "no") });
    assert.deepEqual([shut.code, shut.out, shut.asked], [5, "", []]);
  });
});

describe("progress", () => {
  const progress = [
    { stage: "proving", text: "proving it" },
    { stage: "proving", text: "proving it" },
    { stage: "sending", text: "sending\u001b[2J it", done: 1, total: 2 },
  ] as const;

  test("without a terminal each step is a line on standard error, and never on standard output [CLI-2]", async () => {
    const { out, err } = await hedgerow(["renew"], { progress });
    assert.equal(err, "proving it\nsending it (1 of 2)\n");
    assert.equal(out, (await hedgerow(["renew"])).out);
  });

  test("with --json and no terminal nothing is shown [CLI-2]", async () => {
    assert.equal((await hedgerow(["renew", "--json"], { progress })).err, "");
  });

  test("at a terminal one line turns and is gone at the end [CLI-2]", async () => {
    const { err } = await hedgerow(["renew", "--json"], { progress, isTerminal: true });
    assert.ok(err.includes("| proving it") && err.endsWith("\r\u001b[2K") && !err.includes("\n"), JSON.stringify(err));
  });
});

test("the line that turns is gone before the answer is printed [CLI-2]", async () => {
  const progress = [{ stage: "proving", text: "proving it" }] as const;
  const { out, seen } = await hedgerow(["renew"], { progress, isTerminal: true });
  assert.ok(seen.endsWith(`\r\u001b[2K${out}`), JSON.stringify(seen));
});

describe("wrong usage", () => {
  for (const [line, reason] of [
    ["buy 2 WTI", "no price"],
    ["buy 0 WTI --market", 'quantity "0"'],
    ["buy 1.5 WTI --market", 'quantity "1.5"'],
    ["buy 2147483648 WTI --market", "2147483647"],
    ["buy 1 WTI --limit cheap", "cheap"],
    ["buy 1 WTI --limit 1.0000001", "6 digits"],
    ["buy 1 WTI --limit 5 --market", "cannot be used with"],
    ["buy 1 WTI --limit 5 --slippage 1", "--slippage"],
    ["buy 1 WTI --limit 5 --ioc --fok", "cannot be used with"],
    ["buy 1 WTI --limit 5 --post-only --ioc", "cannot be used with"],
    ["buy 1 WTI --limit 5 --good-till 2001-01-01T00:00", "is over already"],
    ["buy 1 WTI --limit 5 --good-till never", "is no time"],
    ["buy 1 WTI --limit 5 --iceberg 2", "from 1 to 1"],
    ["buy 1 WTI --limit 5 --worked", "--iceberg"],
    ["buy 1 WTI --limit 5 --self-trade maybe", "cancel-incoming"],
    ["buy 1 WTI --limit 5 --ticket xyz", "is no name"],
    ["buy 1 GOLD --market", "LEAN-HOGS, WTI"],
    ["buy 1", "missing required argument 'market'"],
    ["withdraw 5", "--to"],
    ["withdraw 5 --to 0x1", "is no address"],
    [`withdraw 5 --to ${TO.replace("A1", "a1").replace("0x0", "0xB")}`, "is no address"],
    ["withdraw 0 --to 0x00000000000000000000000000000000000000A1", "more than zero"],
    ["cancel", "which order?"],
    ["cancel 3f --all", "which order?"],
    ["replace 3f", "nothing is to be changed"],
    ["ticket close", "which tickets?"],
    ["ticket open WTI --cash 5 --count 9", "from 1 to 8"],
    ["fund x", "is no credit"],
    ["explain NoSuchThing", "no refusal is called"],
  ] as const) {
    test(`${line}: exit code 2, the value, and what to do instead [CLI-4]`, async () => {
      const { code, out, err, asked } = await hedgerow(line.split(" "));
      assert.deepEqual({ code, out }, { code: 2, out: "" });
      assert.ok(err.includes(reason), err);
      assert.ok(
        asked.every(({ name }) => name === "balance"),
        "nothing was sent",
      );
      const json = await hedgerow([...line.split(" "), "--json"]);
      assert.match(json.err, /^\{"error":\{"code":"\w+","message":".*","details":\{.*\}\}\}\n$/);
    });
  }

  test("no market is listed: the command says so [CLI-4]", async () => {
    const balance = (): unknown => ({ ...BALANCE, buyingPower: [] });
    const { err } = await hedgerow(["buy", "1", "WTI", "--market"], { answers: { ...GOOD, balance } });
    assert.match(err, /none is listed today/);
  });
});
