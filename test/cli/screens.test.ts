import assert from "node:assert/strict";
import { test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import fc from "fast-check";
import { stringToHex } from "viem";
import { lookOf, wantsColour, wantsUnicode } from "../../src/cli/colours.ts";
import { marketTable } from "../../src/cli/marketsRun.ts";
import { bookPicture, render } from "../../src/cli/screen.ts";
import { candleChart } from "../../src/cli/screenCandles.ts";
import {
  emptyModel,
  type Key,
  marketOf,
  MOST_LEVELS,
  reduce,
  type WatchEvent,
  type WatchModel,
} from "../../src/cli/screenModel.ts";
import { changesBetween, keysIn } from "../../src/cli/screenTerminal.ts";
import { feedWallet } from "../../src/cli/watchFeed.ts";
import { amountText, cell, cutTo, durationText, priceFormat, widthOf } from "../../src/cli/screenText.ts";
import type { EpochReport, MarketReport, PublicTrade } from "../../src/api/service.ts";
import type { Candle } from "../../src/api/codecMarkets.ts";
import { type CommandName, type CommandResult, COMMANDS, type TraderService } from "../../src/trader/commands.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import type { BalanceView, OrderView } from "../../src/trader/views.ts";

const DOLLAR = 1_000_000n;
const NOW = 1_900_000_100;
const PLAIN = lookOf({ colour: false, unicode: true });
const LOOKS = [PLAIN, lookOf({ colour: true, unicode: true }), lookOf({ colour: false, unicode: false })];

function marketWith(changes: Partial<MarketReport> = {}): MarketReport {
  return {
    slot: 0,
    contractId: stringToHex("LEAN HOGS", { size: 32 }),
    session: "open",
    tick: 10n * DOLLAR,
    centre: 32_000n * DOLLAR,
    priceLimitDown: 30_800n * DOLLAR,
    priceLimitUp: 33_200n * DOLLAR,
    initialMargin: 3_300n * DOLLAR,
    maintenanceMargin: 3_000n * DOLLAR,
    closeOutFee: 1_800n * DOLLAR,
    fillFee: DOLLAR,
    priceCollar: 0n,
    lastTradingTime: 4_102_444_800n,
    lastPrice: 32_150n * DOLLAR,
    volume: 1_234,
    ...changes,
  };
}

const EPOCH: EpochReport = {
  epoch: 4,
  phase: "trading",
  openedAt: 1_900_000_000n,
  auctionTime: undefined,
  closingTime: 1_900_018_853n,
  time: 1_900_000_100n,
  relayFee: 5n,
  nextBatchNumber: 9,
  logHead: `0x${"00".repeat(32)}`,
};

function trade(seq: number, changes: Partial<PublicTrade> = {}): PublicTrade {
  return {
    slot: 0,
    seq,
    n: 0,
    price: 32_150n * DOLLAR,
    quantity: 3,
    takerSide: "buy",
    time: 1_900_000_000n,
    ...changes,
  };
}

const level = (price: bigint, quantity: number, orders = 1) => ({ price: price * DOLLAR, quantity, orders });

function after(...events: readonly WatchEvent[]): WatchModel {
  return modelOf({}, events);
}

function modelOf(options: { readonly wallet?: string; readonly depth?: number }, events: readonly WatchEvent[]) {
  return events.reduce(reduce, emptyModel({ exchange: "http://127.0.0.1:7700", decimals: 6, now: NOW, ...options }));
}

const day = (...markets: readonly MarketReport[]): WatchEvent => ({ kind: "day", at: NOW, epoch: EPOCH, markets });
const BOOK: WatchEvent = {
  kind: "book",
  book: {
    slot: 0,
    seq: 10,
    bids: [level(32_140n, 5), level(32_130n, 8, 2)],
    asks: [level(32_150n, 2), level(32_160n, 16, 3)],
  },
};

function order(changes: Partial<OrderView> = {}): OrderView {
  return {
    ref: "00000000000000a1",
    ticketId: `0x${"a1".repeat(32)}`,
    slot: 0,
    contract: "LEAN HOGS",
    side: "buy",
    type: "limit",
    limitPrice: (32_140n * DOLLAR).toString(),
    stopPrice: null,
    quantity: 5,
    displayQuantity: null,
    timeInForce: "GTC",
    postOnly: false,
    reduceOnly: false,
    expiry: 1_900_080_000,
    status: "open",
    reason: null,
    filled: 0,
    remaining: 5,
    averagePrice: null,
    revision: 0,
    seq: 7,
    time: 1_900_000_050,
    ...changes,
  };
}

const BALANCE: BalanceView = {
  network: "local",
  clearingHouse: `0x${"0e".repeat(20)}`,
  account: "0",
  epoch: 4,
  phase: "trading",
  closingTime: 1_900_018_853,
  seat: { status: "active", epoch: 4, ownerKey: `0x${"11".repeat(32)}` },
  cash: "0",
  freeCash: (90_000n * DOLLAR).toString(),
  marginUsed: (3_300n * DOLLAR).toString(),
  equity: {
    atSettlement: (100_000n * DOLLAR).toString(),
    atLowerLimits: (98_800n * DOLLAR).toString(),
    atUpperLimits: (101_200n * DOLLAR).toString(),
    worst: (98_800n * DOLLAR).toString(),
  },
  positions: [
    {
      slot: 0,
      contract: "LEAN HOGS",
      inAccount: 0,
      inTickets: 1,
      total: 1,
      settlementPrice: (32_000n * DOLLAR).toString(),
      lowerLimit: (30_800n * DOLLAR).toString(),
      upperLimit: (33_200n * DOLLAR).toString(),
      initialMargin: (3_300n * DOLLAR).toString(),
      maintenanceMargin: (3_000n * DOLLAR).toString(),
    },
  ],
  ticketCash: "0",
  ticketWorth: "0",
  openTickets: 1,
  leftOverTickets: 0,
  credits: [],
  buyingPower: [],
  payoutRatio: "1000000000000000000",
};

// ---------------------------------------------------------------- what never breaks

const price = fc.oneof(
  fc.bigInt({ min: -(10n ** 12n), max: 10n ** 12n }),
  fc.bigInt({ min: -(10n ** 39n), max: 10n ** 39n }),
);
const contracts = fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 2 ** 53 - 1 }));
const side = fc.constantFrom("buy", "sell");
const levels = fc.array(fc.record({ price, quantity: contracts, orders: fc.integer({ min: 1, max: 1_000_000 }) }), {
  maxLength: 40,
});
const name = fc.oneof(fc.constantFrom("LEAN HOGS", "A"), fc.string({ maxLength: 10, unit: "grapheme" }));
const marketArbitrary = fc
  .record({
    slot: fc.integer({ min: 0, max: 7 }),
    name,
    session: fc.constantFrom("pre-open", "open", "halted", "closing", "closed"),
    tick: fc.bigInt({ min: 1n, max: 10n ** 9n }),
    centre: price,
    priceLimitDown: price,
    priceLimitUp: price,
    lastPrice: fc.option(price, { nil: undefined }),
    volume: contracts,
  })
  .map(({ name: text, ...rest }) =>
    marketWith({
      ...rest,
      contractId: stringToHex(new TextEncoder().encode(text).length > 32 ? "B" : text, { size: 32 }),
    }),
  );
const event: fc.Arbitrary<WatchEvent> = fc.oneof(
  fc.integer({ min: NOW, max: NOW + 100_000 }).map((at): WatchEvent => ({ kind: "tick", at })),
  fc.array(marketArbitrary, { maxLength: 4 }).map((markets) => day(...markets)),
  fc.string().map((reason): WatchEvent => ({ kind: "lost", at: NOW, reason })),
  fc
    .record({ slot: fc.integer({ min: 0, max: 2 }), seq: fc.nat(), bids: levels, asks: levels })
    .map((book): WatchEvent => ({ kind: "book", book })),
  fc
    .record({
      slot: fc.integer({ min: 0, max: 2 }),
      changes: fc.array(fc.record({ side, price, quantity: fc.nat(), orders: fc.nat() })),
    })
    .map(({ slot, changes }): WatchEvent => ({ kind: "update", slot, update: { seq: 1, prevSeq: 0, changes } })),
  fc
    .array(fc.record({ seq: fc.nat(), price, quantity: contracts, takerSide: side }), { maxLength: 20 })
    .map((trades): WatchEvent => ({
      kind: "trades",
      slot: 0,
      isHistory: false,
      trades: trades.map(({ seq, ...rest }) => trade(seq, rest)),
    })),
  fc
    .array(
      fc.record({
        ref: fc.constantFrom("00000000000000a1", "00000000000000b2"),
        filled: fc.nat(),
        averagePrice: fc.option(price.map(String)),
        contract: name,
        side,
        limitPrice: price.map(String),
      }),
    )
    .map((orders): WatchEvent => ({ kind: "orders", at: NOW, orders: orders.map(order) })),
  fc.constant<WatchEvent>({ kind: "balance", balance: BALANCE }),
  fc.string({ unit: "grapheme" }).map((problem): WatchEvent => ({ kind: "wallet", problem })),
  fc
    .record({ type: fc.constant("session"), slot: fc.nat(7), session: fc.constantFrom("open", "halted") })
    .map((announcement): WatchEvent => ({ kind: "announcement", at: NOW, announcement })),
  fc
    .constantFrom<Key[]>("next", "previous", "deeper", "shallower", "help")
    .map((key): WatchEvent => ({ kind: "key", key })),
);
const size = fc.oneof(fc.constantFrom([80, 24] as const, [120, 40] as const), fc.tuple(fc.nat(200), fc.nat(80)));

test("whatever happens, the view has as many lines as the terminal and none is wider, and nothing but our styles steers it [SCR-1]", () => {
  fc.assert(
    fc.property(
      fc.array(event, { maxLength: 30 }),
      size,
      fc.constantFrom(...LOOKS),
      fc.boolean(),
      (events, [width, height], look, withWallet) => {
        const lines = render(modelOf(withWallet ? { wallet: "main" } : {}, events), width, height, look);
        assert.equal(lines.length, height);
        for (const line of lines) {
          const text = line.replace(/\u001b\[[0-9;]*m/g, "");
          assert(text.length <= width, `${text.length} > ${width}: ${text}`);
          assert.match(text, /^[ -~▁-█▉-▏░▲▼─│·…]*$/u);
        }
      },
    ),
    { numRuns: 400 },
  );
});

test("pictures of any book and any candles keep to the width [SCR-1]", () => {
  const candle = fc
    .record({ a: price, b: price, c: price, d: price, volume: contracts })
    .map(({ a, b, c, d, volume }): Candle => {
      const [low = 0n, open = 0n, close = 0n, high = 0n] = [a, b, c, d].sort((x, y) => (x < y ? -1 : 1));
      return { time: 1_900_000_020n, open, high, low, close, volume };
    });
  fc.assert(
    fc.property(fc.array(candle), levels, levels, fc.integer({ min: 1, max: 150 }), (candles, bids, asks, width) => {
      const format = priceFormat(1n, 6);
      const chart = candleChart(candles, { width, height: 10, format, tick: 1_000n, interval: 60, look: PLAIN });
      const picture = bookPicture(
        after(day(marketWith()), { kind: "book", book: { slot: 0, seq: 1, bids, asks } }),
        width,
        PLAIN,
      );
      for (const line of [...(candles.length === 0 ? [] : chart), ...picture]) assert(line.length <= width);
    }),
    { numRuns: 200 },
  );
});

test("the list of markets gets more columns when there is room, and 80 columns hold the usual contracts [SCR-2]", () => {
  const markets = [
    marketWith(),
    marketWith({ slot: 7, contractId: stringToHex("WTI", { size: 32 }), lastPrice: undefined }),
  ];
  const widths = [80, 120, 200].map((width) => {
    const [titles = "", ...lines] = marketTable(markets, 6, { width, look: PLAIN }).split("\n");
    for (const line of [titles, ...lines]) assert(line.length <= width, line);
    return titles.split(/ {2,}/).length;
  });
  const [narrow = 0, wide = 0, all = 0] = widths;
  assert(narrow < wide && wide < all, String(widths));
  const titles = marketTable(markets, 6, { width: 200, look: PLAIN }).split("\n")[0] ?? "";
  for (const title of ["slot", "contract", "session", "settled", "lower", "upper", "last", "change", "volume", "fee"]) {
    assert.match(titles, new RegExp(title));
  }
  for (const title of ["initial", "maintenance"]) assert.match(titles, new RegExp(title));
});

// ---------------------------------------------------------------- what is shown

function shown(model: WatchModel, width = 80, height = 24): string {
  return render(model, width, height, PLAIN).join("\n");
}

test("the view shows market, last price and change, session, time to close, both sides and the tape [SCR-3]", () => {
  const text = shown(after(day(marketWith()), BOOK, { kind: "trades", slot: 0, trades: [trade(3)], isHistory: true }));
  for (const part of [
    /LEAN HOGS {2}32,150\.00 {2}▲ \+150\.00 \(\+0\.46%\)/,
    /open {2}close in 5:12:33/,
    /settlement 32,000\.00 {2}limits 30,800\.00 to 33,200\.00 {2}volume 1,234/,
    /32,160\.00 +16 +3 +█+/,
    /spread 10\.00 \(1 tick\)/,
    /32,140\.00 +5 +1/,
    /buy +32,150\.00 +3/,
    /q quit.*live · http/,
  ]) {
    assert.match(text, part);
  }
  const [ask, spread, bid] = ["32,160.00", "spread", "32,130.00"].map((part) => text.indexOf(part));
  assert((ask ?? 0) < (spread ?? 0) && (spread ?? 0) < (bid ?? 0));
});

test("empty, one-sided and crossed books, and markets that do not trade, say what they are [SCR-3]", () => {
  const bookOf = (bids: readonly bigint[], asks: readonly bigint[]): WatchEvent => ({
    kind: "book",
    book: { slot: 0, seq: 1, bids: bids.map((at) => level(at, 1)), asks: asks.map((at) => level(at, 1)) },
  });
  assert.match(shown(after(day(marketWith()), bookOf([], []))), /no asks(.|\n)*the book is empty(.|\n)*no bids/);
  assert.match(shown(after(day(marketWith()), bookOf([1n], []))), /no asks(.|\n)*one side is empty/);
  const crossed = bookOf([-20n], [-50n]);
  const early = day(marketWith({ session: "pre-open" }));
  assert.match(shown(after(early, crossed)), /-50\.00(.|\n)*crossed by 30\.00: trades at the opening(.|\n)*-20\.00/);
  assert.match(shown(after(day(marketWith({ session: "halted" })), BOOK)), /halted/);
  const auction = { ...EPOCH, auctionTime: EPOCH.time + 90n };
  const before = after({ kind: "day", at: NOW, epoch: auction, markets: [marketWith({ session: "pre-open" })] });
  assert.match(shown(before), /pre-open {2}auction in 1:30/);
  const closed = { ...EPOCH, phase: "window" } as const;
  const over = after({ kind: "day", at: NOW, epoch: closed, markets: [marketWith({ session: "closed" })] });
  assert.match(shown(over), /settlement window/);
  assert.doesNotMatch(shown(over), /close in/);
  assert.match(shown(after(day())), /no contract is listed/);
  assert.match(shown(after()), /connecting to http/);
});

test("a lost connection is told with its length and ends with the next answer [SCR-6]", () => {
  const lost: WatchEvent = { kind: "lost", at: NOW, reason: "refused" };
  const model = after(day(marketWith()), BOOK, lost, { kind: "tick", at: NOW + 12 });
  assert.match(shown(model), /no connection for 0:12: trying again; what is shown is old/);
  assert.match(shown(model), /lost · http/);
  const again = reduce(model, day(marketWith()));
  assert.doesNotMatch(shown(again), /no connection/);
  assert.match(shown(again), /live · http/);
});

test("with a wallet its orders, fills, positions and margin are shown, and its quantity in the ladder [SCR-4]", () => {
  const events: readonly WatchEvent[] = [
    day(marketWith()),
    BOOK,
    { kind: "orders", at: NOW, orders: [order()] },
    {
      kind: "orders",
      at: NOW,
      orders: [order({ filled: 2, remaining: 3, averagePrice: (32_140n * DOLLAR).toString() })],
    },
    { kind: "balance", balance: BALANCE },
  ];
  const model = modelOf({ wallet: "main" }, events);
  for (const [width, height] of [
    [80, 24],
    [120, 40],
  ] as const) {
    const text = shown(model, width, height);
    for (const part of [
      /── main ─/,
      /open orders: 1/,
      /buy +2\/5 +32,140\.00/,
      /bought 2 at 32,140\.00/,
      /margin used +3,300\.00/,
      /LEAN HOGS +\+1 margin 3,000\.00/,
      /32,140\.00 +5 +1 +3 /,
    ]) {
      assert.match(text, part, `${width}x${height}`);
    }
  }
  const failing = reduce(model, { kind: "wallet", problem: "the node is away" });
  assert.match(shown(failing), /main {2}the node is away/);
});

test("fills of an order are told apart by what its mean price grew by, each once [SCR-4]", () => {
  const report = (filled: number, averagePrice: bigint): WatchEvent => ({
    kind: "orders",
    at: NOW,
    orders: [order({ filled, averagePrice: averagePrice.toString() })],
  });
  const { own } = modelOf({ wallet: "main" }, [report(1, 100n), report(1, 100n), report(3, 120n)]);
  assert.deepEqual(
    own?.fills.map(({ quantity, price: at }) => [quantity, at]),
    [
      [2, 130n],
      [1, 100n],
    ],
  );
});

test("of a book without an end only the best ten thousand levels of each side are kept [SCR-11]", () => {
  const side = (step: bigint, count: number) =>
    Array.from({ length: count }, (_, i) => ({ price: step * BigInt(i + 1), quantity: 1, orders: 1 }));
  const whole: WatchEvent = {
    kind: "book",
    book: { slot: 0, seq: 0, bids: side(-1n, MOST_LEVELS + 5), asks: side(1n, MOST_LEVELS) },
  };
  const better = { side: "sell" as const, price: 0n, quantity: 1, orders: 1 };
  const worse = { side: "buy" as const, price: -1_000_000n, quantity: 1, orders: 1 };
  const step: WatchEvent = { kind: "update", slot: 0, update: { seq: 1, prevSeq: 0, changes: [better, worse] } };
  const { book } = after(day(marketWith()), whole, step);
  const ends = [book?.bids, book?.asks].map((levels = []) => [
    levels.length,
    levels.at(0)?.price,
    levels.at(-1)?.price,
  ]);
  assert.deepEqual(ends, [
    [MOST_LEVELS, -1n, -BigInt(MOST_LEVELS)],
    [MOST_LEVELS, 0n, BigInt(MOST_LEVELS) - 1n],
  ]);
});

test("steps of the book are the same as the whole book that they lead to [SCR-3]", () => {
  const small = fc.bigInt({ min: -5n, max: 5n });
  const change = fc.record({ side, price: small, quantity: fc.nat(2), orders: fc.nat(3) });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
      const empty: WatchEvent = { kind: "book", book: { slot: 0, seq: 0, bids: [], asks: [] } };
      const steps = changes.map((each, i): WatchEvent => ({
        kind: "update",
        slot: 0,
        update: { seq: i + 1, prevSeq: i, changes: [each] },
      }));
      const { book } = after(day(marketWith()), empty, ...steps);
      const expected = (wanted: "buy" | "sell") => {
        const last = new Map(changes.filter((each) => each.side === wanted).map((each) => [each.price, each]));
        return [...last.values()]
          .filter(({ quantity }) => quantity > 0)
          .sort((a, b) => (a.price < b.price ? -1 : 1) * (wanted === "buy" ? -1 : 1))
          .map(({ price: at, quantity, orders }) => ({ price: at, quantity, orders }));
      };
      assert.deepEqual(book?.bids, expected("buy"));
      assert.deepEqual(book.asks, expected("sell"));
    }),
  );
});

test("keys go round the markets, change the depth and show the help [SCR-5]", () => {
  const key = (pressed: Key): WatchEvent => ({ kind: "key", key: pressed });
  const three = day(marketWith(), marketWith({ slot: 3 }), marketWith({ slot: 5 }));
  const slots = (...keys: readonly Key[]) => after(three, ...keys.map(key)).slot;
  assert.deepEqual([slots(), slots("next"), slots("next", "next", "next"), slots("previous")], [0, 3, 0, 5]);
  assert.equal(after(three, BOOK, key("next")).book, undefined);
  assert.equal(after(day(), key("next")).slot, undefined);
  const depths = (...keys: readonly Key[]) => after(three, ...keys.map(key)).depth;
  assert.deepEqual([depths(), depths("shallower"), depths("shallower", "deeper")], [undefined, 5, 6]);
  assert.equal(depths(...Array.from({ length: 9 }, () => "shallower" as const)), 1);
  const one = after(three, BOOK, ...Array.from({ length: 6 }, () => key("shallower")));
  assert.doesNotMatch(shown(one), /32,160\.00/);
  assert.match(shown(after(three, key("help"))), /one level more/);
  // A market that is gone from the list is left.
  assert.equal(marketOf(reduce(after(three, key("next")), day(marketWith({ slot: 5 }))))?.slot, 5);
});

test("bytes of a terminal are read as keys, and other sequences are skipped whole [SCR-5]", () => {
  assert.deepEqual(keysIn("q\u0003m"), ["quit", "interrupt", "next"]);
  assert.deepEqual(keysIn("\u001b[C\u001b[D\u001bOB+-?"), ["next", "previous", "next", "deeper", "shallower", "help"]);
  assert.deepEqual(keysIn("\u001b[1;5q\u001b[15~\u001bq\u001b"), []);
  fc.assert(fc.property(fc.string({ unit: "binary" }), (sent) => keysIn(sent).length <= sent.length));
});

test("only lines that changed are written, and what is written gives the new picture [SCR-7]", () => {
  assert.equal(changesBetween(["a", "b"], ["a", "b"]), "");
  assert.equal(changesBetween(["a", "b", "c"], ["a", "B"]), "\u001b[2;1H\u001b[2KB\u001b[3;1H\u001b[2K");
});

test("colours are off without a terminal, with NO_COLOR and on a dumb one, unless they are asked for [SCR-8]", () => {
  const isTTY = true;
  assert.equal(wantsColour("auto", { isTTY, env: { TERM: "xterm" } }), true);
  assert.equal(wantsColour("auto", { isTTY, env: { TERM: "xterm", NO_COLOR: "1" } }), false);
  assert.equal(wantsColour("auto", { isTTY, env: { TERM: "dumb" } }), false);
  assert.equal(wantsColour("auto", { env: {} }), false);
  assert.equal(wantsColour("always", { env: { NO_COLOR: "1" } }), true);
  assert.equal(wantsColour("never", { isTTY, env: {} }), false);
  assert.equal(wantsUnicode({ env: { LC_ALL: "C", LANG: "en_GB.UTF-8" } }), false);
  assert.equal(wantsUnicode({ env: { LANG: "en_GB.UTF-8" } }), true);
  assert.equal(wantsUnicode({ env: { LANG: "en_GB.UTF-8", TERM: "dumb" } }), false);
});

test("styles set no background, and the words are the same with and without them [SCR-8]", () => {
  const model = modelOf({ wallet: "main" }, [day(marketWith()), BOOK, { kind: "balance", balance: BALANCE }]);
  const coloured = render(model, 100, 30, lookOf({ colour: true, unicode: true }));
  assert.deepEqual(coloured.map(stripVTControlCharacters), render(model, 100, 30, PLAIN));
  for (const line of coloured) {
    for (const [, codes = ""] of line.matchAll(/\u001b\[([0-9;]*)m/g)) assert.doesNotMatch(codes, /(^|;)(4\d|7|10\d)/);
  }
});

test("amounts show as many places as the price step needs, rounded half away from zero [SCR-2]", () => {
  assert.equal(amountText(-1_234_500_000n, priceFormat(10n * DOLLAR, 6)), "-1,234.50");
  assert.equal(amountText(1_250n, priceFormat(250n, 6)), "0.00125");
  assert.equal(amountText(-4_999n, { decimals: 6, places: 2 }), "0.00");
  assert.equal(amountText(-5_000n, { decimals: 6, places: 2 }), "-0.01");
  assert.equal(amountText(12_345n, priceFormat(1n, 0)), "12,345");
  assert.deepEqual([durationText(18_753), durationText(59), durationText(-3)], ["5:12:33", "0:59", "0:00"]);
});

test("text from outside is one column for each character and steers nothing, and what is cut says so [SCR-1]", () => {
  assert.equal(cell("a\u001b[2J漢🐖\u0301").text, "a?[2J???");
  const cut = cutTo([cell("hello "), cell("world")], 8, PLAIN.glyphs);
  assert.equal(cut.map(({ text }) => text).join(""), "hello w…");
  assert.equal(widthOf(cut), 8);
});

// COMMANDS in a form that lets the compiler see which result belongs to which name.
const RESULTS: { readonly [N in CommandName]: { readonly result: { parse: (answer: unknown) => CommandResult<N> } } } =
  COMMANDS;

test("a wallet that does not answer is told, and its orders come when it does [SCR-4]", async () => {
  const ending = new AbortController();
  const events: WatchEvent[] = [];
  let isAway = true;
  const service: TraderService = {
    run: (name) => {
      if (isAway) return Promise.reject(new HedgerowError("ChainUnavailable", "the node is away"));
      const answers = { orders: [order()], balance: BALANCE };
      const answer = name === "orders" ? answers.orders : answers.balance;
      return Promise.resolve(RESULTS[name].result.parse(answer));
    },
    close: () => Promise.resolve(),
  };
  await feedWallet(
    service,
    (each) => {
      events.push(each);
      isAway = false;
      if (each.kind === "balance") ending.abort();
    },
    ending.signal,
  );
  const model = modelOf({ wallet: "main" }, [day(marketWith()), BOOK, ...events]);
  assert.deepEqual(
    events.map(({ kind }) => kind),
    ["wallet", "orders", "balance"],
  );
  assert.match(shown(reduce(modelOf({ wallet: "main" }, [day(marketWith())]), events[0] ?? BOOK)), /the node is away/);
  assert.match(shown(model), /open orders: 1/);
  assert.doesNotMatch(shown(model), /the node is away/);
});
