import { WHOLE } from "../chain/chainState.ts";
import type { Hex } from "../protocol/keys.ts";
import { barPlot, timePlot } from "./plots.ts";
import type { CycleStep, DayReport, MarketReport } from "./reportDay.ts";
import { type Html, html, page, table } from "../html/html.ts";
import { list, STYLE } from "./reportHtml.ts";

// The report of a day as a page to print.

/** How amounts and contracts are written. */
export type Words = {
  /** Base units in collateral units. */
  readonly money: (baseUnits: bigint) => string;
  readonly contract: (contractId: Hex) => string;
  readonly decimals: number;
};

/** The report of a day as one page that needs nothing else. Everything that comes from outside is escaped. */
export function reportPage(report: DayReport, words: Words): string {
  const { epoch, clearingHouse, chainId, markets, seats, waterfall } = report;
  return page(`Clearing of day ${epoch}`, STYLE, [
    html`<h1>Clearing of day ${epoch}</h1>`,
    list([
      ["Clearing house", `${clearingHouse} on chain ${chainId}`],
      ["Traded", `${utc(report.openedAt)} to ${utc(report.closingTime)}`],
      ["Batches", String(report.batches)],
      ["Seats", `${seats.due} due, ${seats.done.renewed} renewed, ${seats.missed.length} missed`],
      ...(report.movedUp === undefined
        ? []
        : [["Ended early", `${nameOf(report.movedUp.slot, report, words)} was locked at its limit`] as const]),
    ]),
    html`<h2>Steps</h2>`,
    table(
      ["Step", "Time (UTC)", "Block", "Transaction", "By"],
      [
        stepRow("closed", report.closed),
        ...(report.renewalsBegun === undefined ? [] : [stepRow("renewals begun", report.renewalsBegun)]),
        stepRow(`day ${epoch + 1} opened`, report.opened),
      ],
    ),
    html`<h2>Settlement prices</h2>`,
    priceTable(markets, words),
    ...markets.flatMap((market) => marketSection(market, report, words)),
    html`<h2>Open interest</h2>`,
    openInterestPlot(report, words),
    html`<h2>Margin</h2>`,
    ...marginSection(report, words),
    html`<h2>Renewals</h2>`,
    renewalsPlot(report),
    html`<h2>Defaults</h2>`,
    html`<p class="note">
      Seats that did nothing in the window are in default from the opening on. What their accounts hold is hidden, for
      each and in sum; the close-out fee is the reserve for it.
    </p>`,
    table(
      ["Owner key of a seat that missed"],
      seats.missed.map((ownerKey) => [`0x${ownerKey.toString(16).padStart(64, "0")}`]),
    ),
    html`<h3>Bonds forfeited</h3>`,
    table(
      ["Owner key", "Bond", "Reporter's reward"],
      seats.forfeited.map(({ ownerKey, amount, reward }) => [
        `0x${ownerKey.toString(16).padStart(64, "0")}`,
        words.money(amount),
        words.money(reward),
      ]),
      { numbersFrom: 1 },
    ),
    html`<h3>Tickets left over</h3>`,
    table(
      ["Contract", "Claims", "Net", "Gross"],
      markets.flatMap(({ leftOver, contractId }) =>
        leftOver === undefined
          ? []
          : [[words.contract(contractId), words.money(leftOver.claims), String(leftOver.net), String(leftOver.gross)]],
      ),
      { numbersFrom: 1 },
    ),
    html`<h3>Contracts of drop-outs taken over</h3>`,
    table(
      ["Contract", "Contracts", "Price"],
      markets.flatMap(({ taken, contractId }) =>
        taken.map(({ quantity, price }) => [words.contract(contractId), String(quantity), words.money(price)]),
      ),
      { numbersFrom: 1 },
    ),
    html`<h2>Waterfall</h2>`,
    waterfallPlot(report, words),
    // The figure says that nothing was missing: an empty table would say it again.
    ...(waterfall.length === 0 ? [] : [waterfallTable(waterfall, words)]),
    html`<p class="note">${payoutSentence(report)}</p>`,
    html`<h2>Balances</h2>`,
    balanceTable(report, words),
  ]);
}

// ------------------------------------------------------------------ prices

export const TIERS = ["", "settlement window", "last minimum volume", "previous price"] as const;

function priceTable(markets: readonly MarketReport[], { money, contract }: Words): Html {
  return table(
    ["Contract", "Rests on", "Previous", "Change", "Settlement price"],
    markets.map(({ contractId, tier, centre, settlementPrice, expired, tornUp }) => [
      `${contract(contractId)}${tornUp ? " (torn up)" : expired ? " (expired)" : ""}`,
      `tier ${tier}: ${TIERS[tier]}`,
      money(centre),
      money(settlementPrice - centre),
      money(settlementPrice),
    ]),
    { numbersFrom: 2 },
  );
}

function marketSection(market: MarketReport, report: DayReport, words: Words): readonly Html[] {
  return [
    html`<h3>${words.contract(market.contractId)}</h3>`,
    pricePlot(market, report, words),
    list(evidenceOf(market, words.money, (time) => utc(time))),
  ];
}

/** What a price rests on, line by line; the same on a page and at a terminal. */
export function evidenceOf(
  market: Omit<MarketReport, "attested" | "leftOver" | "taken"> & Partial<Pick<MarketReport, "attested">>,
  money: (baseUnits: bigint) => string,
  timeOf: (time: bigint) => string,
): readonly (readonly [name: string, value: string])[] {
  const { tier, windowMinutes, minimumMinutes, windowVolume, minimumVolume, tail, bid, ask, attested, final } = market;
  const side = (price: bigint | undefined): string => (price === undefined ? "none" : money(price));
  const orders = attested === undefined ? "" : ` (${attested.bids} and ${attested.asks} orders attested)`;
  return [
    ["Price", `${money(market.settlementPrice)}, by tier ${tier}: ${TIERS[tier]}`],
    ["Window", `from ${timeOf(market.windowStart)}`],
    ["In the window", `${windowVolume} contracts (at least ${minimumVolume})`],
    ["Minutes with fills", `${windowMinutes} (at least ${minimumMinutes})`],
    ["Volume of the day", `${market.dayVolume} contracts`],
    [
      "Latest volume",
      tail === undefined ? `below ${minimumVolume} contracts` : `${tail.volume} contracts from ${timeOf(tail.from)} on`,
    ],
    ["Resting bid, offer", `${side(bid)}, ${side(ask)}${orders}`],
    ["Limits", `${money(market.down)} to ${money(market.up)}`],
    ["Before bounds", `${money(market.unbounded)}, cut off by ${market.cutOffBy}`],
    ...(final === undefined
      ? []
      : [["Final price", `${money(final.price)}, by ${final.source}${market.expired ? "" : "; goes on"}`] as const]),
  ];
}

function pricePlot(market: MarketReport, report: DayReport, { money, contract, decimals }: Words): Html {
  const number = numberOf(decimals);
  const close = Number(report.closingTime);
  const name = contract(market.contractId);
  return timePlot({
    label: `Prices of ${name} by the minute`,
    caption:
      "Average price and volume of each minute that has fills; the shaded stretch is the settlement window. Times in UTC.",
    from: Number(report.openedAt),
    to: close,
    series: [
      {
        name: "price",
        points: market.minutes.map(({ time, volume, value }) => [Number(time) + 30, number(value) / Number(volume)]),
      },
    ],
    bars: {
      name: "volume",
      points: market.minutes.map(({ time, volume }) => [Number(time), Number(volume)]),
      width: 60,
    },
    band: { name: "settlement window", from: Number(market.windowStart), to: close },
    levels: [
      { name: "upper limit", value: number(market.up) },
      { name: "settlement", value: number(market.settlementPrice) },
      { name: "lower limit", value: number(market.down) },
    ],
    format: formatterOf(money, decimals),
    kind: "price",
  });
}

// ------------------------------------------------------------------ courses

function openInterestPlot({ openedAt, closed, tickets, markets }: DayReport, { contract }: Words): Html {
  const sides = markets.slice(0, 4);
  return timePlot({
    label: "Contracts held long on open tickets",
    caption:
      `Contracts held long on open tickets${markets.length > sides.length ? ", of the first four markets" : ""}. ` +
      "What accounts hold besides is hidden.",
    from: Number(openedAt),
    to: closed.time,
    series: sides.map(({ slot, contractId }) => ({
      name: contract(contractId),
      shape: "stair",
      points: tickets.map(({ time, long }) => [time, Number(long[slot] ?? 0n)]),
    })),
    format: String,
    kind: "count",
  });
}

function marginSection({ openedAt, closed, tickets, balances }: DayReport, words: Words): readonly Html[] {
  const number = numberOf(words.decimals);
  const cover = (balance: DayReport["balances"]["atClose"]): string =>
    balance === undefined ? "not kept by the node" : words.money(balance.poolCover);
  return [
    timePlot({
      label: "Equity of the open tickets, and the margin that they need",
      caption:
        "Equity of all open tickets at the previous settlement prices, and the initial margin of their positions.",
      from: Number(openedAt),
      to: closed.time,
      series: [
        {
          name: "equity of tickets",
          shape: "stair",
          points: tickets.map(({ time, equity }) => [time, number(equity)]),
        },
        { name: "initial margin", shape: "stair", points: tickets.map(({ time, margin }) => [time, number(margin)]) },
      ],
      format: formatterOf(words.money, words.decimals),
      kind: "amount",
    }),
    list([
      ["Cover of the pool after the close", cover(balances.atClose)],
      ["After the opening", cover(balances.atOpening)],
    ]),
  ];
}

function renewalsPlot({ seats, closed, renewalsBegun, opened }: DayReport): Html {
  const begun = renewalsBegun?.time ?? closed.time;
  return timePlot({
    label: "Seats that renewed, slept or closed",
    caption: `${seats.done.renewed} renewed, ${seats.done["put to sleep"]} put to sleep, ${seats.done.closed} closed, ${seats.missed.length} missed.`,
    from: closed.time,
    to: opened.time,
    series: [{ name: "seats done", shape: "stair", points: seats.course }],
    band: { name: "part B", from: begun, to: opened.time },
    levels: [{ name: "due", value: seats.due }],
    format: String,
    kind: "count",
  });
}

// ------------------------------------------------------------------ waterfall

function waterfallPlot({ waterfall }: DayReport, { money, decimals }: Words): Html {
  const number = numberOf(decimals);
  if (waterfall.length === 0) {
    return barPlot({
      label: "Waterfall: nothing was missing",
      caption: "Nothing was missing: no layer had to pay.",
      bars: [{ name: "missing", whole: 0, filled: 0, note: money(0n) }],
    });
  }
  return barPlot({
    label: "Waterfall: what was missing, and what each layer paid",
    caption: "The length of a bar is what was missing before that layer, the filled part what it paid.",
    bars: waterfall.map(({ layer, need, toAccount, toPool }) => ({
      name: layer,
      whole: number(need),
      filled: number(toAccount + toPool),
      note: `${money(toAccount + toPool)} of ${money(need)}`,
    })),
  });
}

function waterfallTable(waterfall: DayReport["waterfall"], { money }: Words): Html {
  return table(
    ["Layer", "Missing", "To the close-out account", "To the pool"],
    waterfall.map(({ layer, need, toAccount, toPool }) => [layer, money(need), money(toAccount), money(toPool)]),
    { numbersFrom: 1 },
  );
}

/** What a payout is worth after the day. */
export function payoutSentence({ payoutRatio, balances }: Pick<DayReport, "payoutRatio" | "balances">): string {
  const ratio = payoutRatio ?? balances.atOpening?.payoutRatio;
  if (ratio === undefined) return "The payout ratio did not change.";
  if (ratio === WHOLE) return "Withdrawals are paid in full.";
  const percent = (ratio * 1_000_000n) / WHOLE;
  return `Withdrawals are paid at ${percent / 10_000n}.${String(percent % 10_000n).padStart(4, "0")} percent.`;
}

const BUCKETS = [
  ["poolCash", "Pool"],
  ["ticketCash", "Tickets"],
  ["claims", "Claims of left-over tickets"],
  ["credits", "Credits"],
  ["bonds", "Bonds"],
  ["fees", "Fees"],
  ["owed", "Owed"],
  ["closeOutAccount", "Close-out account"],
  ["operatorStake", "Operator's stake"],
  ["guarantyFund", "Guaranty fund"],
] as const;

function balanceTable({ balances: { atClose, atOpening } }: DayReport, { money }: Words): Html {
  if (atClose === undefined || atOpening === undefined) {
    return html`<p class="note">The node keeps no state that old.</p>`;
  }
  return table(
    ["Bucket", "After the close", "After the opening"],
    BUCKETS.map(([name, title]) => [title, money(atClose.buckets[name]), money(atOpening.buckets[name])]),
    { numbersFrom: 1 },
  );
}

// ------------------------------------------------------------------ words

function nameOf(slot: number, { markets }: DayReport, { contract }: Words): string {
  const market = markets.find((each) => each.slot === slot);
  return market === undefined ? `slot ${slot}` : contract(market.contractId);
}

function stepRow(name: string, { time, block, transaction, by }: CycleStep): readonly string[] {
  return [name, utc(BigInt(time)), String(block), transaction, by];
}

/** Base units as a number for drawing: not exact. */
function numberOf(decimals: number): (baseUnits: bigint) => number {
  return (baseUnits) => Number(baseUnits) / 10 ** decimals;
}

/** A number for drawing in the words of money, without cents where it is large. */
function formatterOf(money: (baseUnits: bigint) => string, decimals: number): (value: number) => string {
  return (value) => {
    const text = money(BigInt(Math.round(value * 10 ** decimals)));
    return value === 0 || Math.abs(value) >= 1_000 ? text.replace(/\.\d+$/, "") : text;
  };
}

/** Unix seconds as "2026-03-01 14:30:00". */
function utc(seconds: bigint): string {
  return new Date(Number(seconds) * 1_000).toISOString().slice(0, 19).replace("T", " ");
}
