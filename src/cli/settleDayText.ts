import type { DayReport, PresentPrice } from "../clearing/reportDay.ts";
import { evidenceOf, payoutSentence, TIERS, type Words } from "../clearing/reportPage.ts";
import type { Action, PlannedStep, Situation } from "../clearing/settleDay.ts";
import { localTime, table } from "./terminal.ts";
import { folded } from "./wrapped.ts";

/*
 * The end of a day as text, at most 80 columns wide.
 */

const NAMES: Readonly<Record<Action["kind"], string>> = {
  closeEpoch: "close",
  beginRenewals: "renewals",
  forfeitBond: "forfeit",
  openEpoch: "open",
};

/** A step in a word. */
export function stepName({ kind }: Action): string {
  return NAMES[kind];
}

/** The steps that are left, each with the earliest time at which it can be taken. */
export function planText(day: number, { epoch, phase, block, time }: Situation, plan: readonly PlannedStep[]): string {
  const place = `Day ${epoch} of the chain is in ${phase === "trading" ? "Trading" : "its Window"}; block ${block}.`;
  if (plan.length === 0) return `${place}\nDay ${day} is settled: nothing is left to be done.`;
  const rows = plan.map((step) => [
    stepName(step.action),
    localTime(Number(step.time)),
    String(step.block),
    step.action.kind === "forfeitBond" ? `seat ${shortKey(step.action.ownerKey)}` : "",
  ]);
  const columns = [{ title: "Step" }, { title: "Not before" }, { title: "Block", right: true }, { title: "" }];
  const isEarly = phase === "trading" && plan.every((step) => step.time > time);
  return [
    place,
    ...(isEarly ? ["It is too early: before the first of these times nothing can be sent."] : []),
    table(columns, rows),
  ].join("\n");
}

/** The prices of the present day, each with what it rests on. */
export function pricesText(prices: readonly PresentPrice[], words: Words): string {
  const isSettled = prices.some((price) => price.isSettled);
  const notes = prices.flatMap(({ isFed, contractId }) =>
    isFed && !isSettled ? [`${words.contract(contractId)}: its feed decides, and is asked at the close.`] : [],
  );
  return [
    isSettled ? "Settlement prices:" : "Settlement prices if the day closed now, and its operator brought no quotes:",
    priceTable(prices, words),
    ...prices.map((price) => evidenceText(price, words)),
    ...notes,
  ].join("\n\n");
}

/** The report of a day that is over. */
export function reportText(report: DayReport, words: Words): string {
  const { epoch, seats, waterfall, closed, opened, markets } = report;
  const { money } = words;
  const missed = seats.missed.map((ownerKey) => `  0x${ownerKey.toString(16).padStart(64, "0")}`);
  const forfeited = seats.forfeited.reduce((sum, { amount }) => sum + amount, 0n);
  const layers = waterfall.map(({ layer, need, toAccount, toPool }) => [
    layer,
    money(need),
    money(toAccount),
    money(toPool),
  ]);
  const columns = [
    { title: "Waterfall" },
    { title: "Missing", right: true },
    { title: "To account", right: true },
    { title: "To pool", right: true },
  ];
  return [
    `Day ${epoch} is settled.`,
    [
      `close       ${closed.transaction}`,
      ...(report.renewalsBegun === undefined ? [] : [`renewals    ${report.renewalsBegun.transaction}`]),
      `open        ${opened.transaction}`,
      `closed at   ${localTime(closed.time)}`,
      `opened at   ${localTime(opened.time)}`,
    ].join("\n"),
    priceTable(markets, words),
    ...markets.map((market) => evidenceText(market, words)),
    [
      `Seats: ${seats.due} due, ${seats.done.renewed} renewed, ${seats.done["put to sleep"]} put to sleep, ${seats.done.closed} closed, ${seats.missed.length} missed.`,
      ...(missed.length === 0 ? [] : ["Owner keys of those that missed:", ...missed]),
    ]
      .map((line) => folded(line, 80))
      .join("\n"),
    ...(seats.forfeited.length === 0
      ? []
      : [`Bonds forfeited: ${seats.forfeited.length}, of ${money(forfeited)} together.`]),
    waterfall.length === 0 ? "Nothing was missing: no layer had to pay." : table(columns, layers),
    payoutSentence(report),
  ].join("\n\n");
}

type Priced = Pick<
  PresentPrice,
  "contractId" | "tier" | "centre" | "settlementPrice" | "expired" | "tornUp" | "windowStart"
>;

function priceTable(markets: readonly Priced[], { money, contract }: Words): string {
  const columns = [
    { title: "Contract" },
    { title: "Rests on" },
    { title: "Previous", right: true },
    { title: "Price", right: true },
  ];
  const rows = markets.map(({ contractId, tier, centre, settlementPrice, expired, tornUp }) => [
    shortName(contract(contractId)),
    tornUp ? "torn up" : expired ? "expired" : TIERS[tier],
    money(centre),
    money(settlementPrice),
  ]);
  return table(columns, rows);
}

function evidenceText(market: Parameters<typeof evidenceOf>[0], words: Words): string {
  const lines = evidenceOf(market, words.money, (time) => localTime(Number(time)));
  return [words.contract(market.contractId), ...lines.map(([name, value]) => `  ${name.padEnd(20)}${value}`)].join(
    "\n",
  );
}

function shortName(name: string): string {
  return name.length > 20 ? `${name.slice(0, 17)}...` : name;
}

function shortKey(ownerKey: bigint): string {
  return `0x${ownerKey.toString(16).padStart(64, "0").slice(0, 8)}...`;
}
