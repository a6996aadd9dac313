import { KIND_WORDS } from "../trader/reports/words.ts";
import type { BalanceView, HistoryEntry, StatementView } from "../trader/views.ts";
import { dollars, localTime, table } from "./terminal.ts";

/*
 * Reports as text, at most 80 columns wide with amounts below a hundred million. Amounts are rounded to cents here;
 * --json, CSV and HTML have all digits.
 */

/** What an account owns, what each line means, and what is to be done now. */
export function balanceText(view: BalanceView, decimals: number): string {
  const money = (baseUnits: string): string => dollars(BigInt(baseUnits), decimals);
  const { equity, openTickets, leftOverTickets } = view;
  const left = leftOverTickets === 0 ? "" : `, ${leftOverTickets} left over`;
  const lines: readonly (readonly [string, string, string])[] = [
    ["equity at settlement", equity.atSettlement, "all that you own; the bond is not in it"],
    ["  free cash", view.freeCash, "can be withdrawn or traded with"],
    ["  margin used", view.marginUsed, "initial margin of the account's positions"],
    ["  in tickets", view.ticketWorth, `${openTickets} open${left}`],
    ["at lower limits", equity.atLowerLimits, "if all prices fall to their limits"],
    ["at upper limits", equity.atUpperLimits, "if all prices rise to their limits"],
    ["at worst", equity.worst, "with each price where it hurts"],
  ];
  const width = Math.max(...lines.map(([, amount]) => money(amount).length));
  const amounts = lines.map(
    ([name, amount, meaning]) => `${name.padEnd(20)}  ${money(amount).padStart(width)}  ${meaning}`,
  );
  const sections = [
    `${view.network}, day ${view.epoch}: ${phaseOf(view)}; seat ${seatOf(view)}`,
    amounts.join("\n"),
    positionsText(view, money),
    buyingPowerText(view),
    adviceOn(view, money).join("\n"),
  ];
  return sections.filter((section) => section !== "").join("\n\n");
}

function phaseOf({ phase, closingTime }: BalanceView): string {
  if (phase === "window") return "settlement window";
  return closingTime === null ? "trading" : `trading until ${timeOfDay(closingTime)}`;
}

const SEATS: Readonly<Record<BalanceView["seat"]["status"], string>> = {
  none: "not open",
  active: "active",
  asleep: "asleep",
  inDefault: "in default",
  closed: "closed",
};

function seatOf({ seat, epoch }: BalanceView): string {
  return seat.status === "active" && seat.epoch === epoch + 1 ? "renewed" : SEATS[seat.status];
}

function positionsText({ positions }: BalanceView, money: (baseUnits: string) => string): string {
  if (positions.length === 0) return "no positions";
  const columns = [
    { title: "position" },
    { title: "account", right: true },
    { title: "tickets", right: true },
    { title: "settled", right: true },
    { title: "low limit", right: true },
    { title: "high limit", right: true },
    { title: "margin", right: true },
  ];
  const rows = positions.map((each) => [
    each.contract.slice(0, 14),
    String(each.inAccount),
    String(each.inTickets),
    money(each.settlementPrice),
    money(each.lowerLimit),
    money(each.upperLimit),
    money(each.initialMargin),
  ]);
  return `${table(columns, rows)}\nprices and initial margin are per contract`;
}

function buyingPowerText({ buyingPower }: BalanceView): string {
  const open = buyingPower.filter(({ buy, sell }) => buy > 0 || sell > 0);
  if (open.length === 0) return "";
  const columns = [{ title: "buying power" }, { title: "buy", right: true }, { title: "sell", right: true }];
  const rows = open.map(({ contract, buy, sell }) => [contract.slice(0, 32), String(buy), String(sell)]);
  return `${table(columns, rows)}\ncontracts of one fresh order at the settlement price`;
}

/** What the account needs now, with the command that does it. */
function adviceOn(view: BalanceView, money: (baseUnits: string) => string): string[] {
  const { seat, epoch, phase, closingTime, credits, openTickets, leftOverTickets } = view;
  const advice: string[] = [];
  if (credits.length > 0) {
    const waiting = credits.reduce((sum, { amount }) => sum + BigInt(amount), 0n).toString();
    advice.push(`${counted(credits.length, "deposit")} of ${money(waiting)} not in the account yet: hedgerow fund`);
  }
  const percent = Number(BigInt(view.payoutRatio) / 10n ** 14n) / 100;
  if (percent < 100) {
    advice.push(
      `the house paid for a loss that nothing covered: withdrawals are paid at ${percent.toFixed(2)} %,`,
      "  and accounts take deposits in the settlement window only, until it is whole again",
    );
  }
  if (seat.status === "none" && credits.length === 0) advice.push("no seat yet: hedgerow deposit opens one");
  if (seat.status === "asleep") advice.push("the seat sleeps and cannot trade: hedgerow seat wake");
  if (seat.status === "inDefault") {
    advice.push(
      `the renewal of day ${seat.epoch ?? 0} was missed, and positions were closed at a loss:`,
      "  hedgerow seat rejoin to go on, hedgerow seat exit to take the rest out",
    );
  }
  if (openTickets > 0) {
    const when =
      phase === "trading" && closingTime !== null ? `by ${timeOfDay(closingTime)}` : "in this window's first part";
    const one = openTickets === 1;
    advice.push(
      `${counted(openTickets, "ticket")} ${one ? "is" : "are"} open: ${one ? "it" : "they"} must be closed ${when}`,
      "  (hedgerow ticket close --all), or lose the close-out fee on positions",
    );
  }
  if (leftOverTickets > 0) {
    advice.push(`${counted(leftOverTickets, "ticket")} left over from earlier days: hedgerow ticket close --all`);
  }
  if (BigInt(view.freeCash) < 0n) {
    const missing = money((-BigInt(view.freeCash)).toString());
    advice.push(`below initial margin by ${missing}: deposit that much, or reduce positions`);
  }
  if (phase === "window" && seat.status === "active" && seat.epoch === epoch) {
    advice.push("renew in the second part of this window, or the seat defaults: hedgerow renew");
  }
  return advice;
}

/** Everything that happened, a line each. */
export function historyText(entries: readonly HistoryEntry[], decimals: number): string {
  if (entries.length === 0) return "nothing happened to this account in that time";
  const money = (baseUnits: string): string => dollars(BigInt(baseUnits), decimals);
  const columns = [
    { title: "time" },
    { title: "what" },
    { title: "market" },
    { title: "size", right: true },
    { title: "price/amount", right: true },
    { title: "cash", right: true },
  ];
  const rows = entries.map((entry) => [
    localTime(entry.time).slice(5, 16),
    KIND_WORDS[entry.kind],
    (entry.contract ?? "").slice(0, 13),
    entry.position === 0 ? "" : signed(entry.position),
    entry.price !== null ? money(entry.price) : entry.amount === "0" ? "" : money(entry.amount),
    money(entry.cash),
  ]);
  const explanation = [
    "cash: change of what you own, with fees; a ticket's cash stays yours",
    `times are ${localTime(entries.at(-1)?.time ?? 0).slice(20)}; --json has tickets, fees and transactions`,
  ];
  return [table(columns, rows), ...explanation].join("\n");
}

/** Totals, days and markets of a period. */
export function statementText(view: StatementView, decimals: number): string {
  const money = (baseUnits: string): string => dollars(BigInt(baseUnits), decimals);
  const minus = (baseUnits: string): string => money((-BigInt(baseUnits)).toString());
  const lines: readonly (readonly [string, string, string])[] = [
    ["opening equity", money(view.openingEquity), `before day ${view.fromEpoch}, note and tickets`],
    ["deposits", money(view.deposits), "taken into the account"],
    ["withdrawals", minus(view.withdrawals), "paid out"],
    ["fees", minus(view.fees), "of relays and fills, to the operator"],
    ["variation", money(view.variation), "of positions and trades, day by day"],
    ["close-out fees", money(view.other), "of tickets left open, and of default"],
    ["closing equity", money(view.closingEquity), `after day ${view.toEpoch}`],
  ];
  const width = Math.max(...lines.map(([, amount]) => amount.length));
  const totals = lines.map(([name, amount, meaning]) => `${name.padEnd(14)}  ${amount.padStart(width)}  ${meaning}`);
  const days = table(
    [{ title: "day", right: true }, { title: "closed" }, { title: "equity", right: true }],
    view.days.map(({ epoch, closedAt, equity }) => [
      String(epoch),
      closedAt === null ? "goes on" : localTime(closedAt).slice(0, 16),
      money(equity),
    ]),
  );
  const variations = table(
    [
      { title: "day", right: true },
      { title: "market" },
      { title: "held", right: true },
      { title: "at close", right: true },
      { title: "settlement", right: true },
      { title: "variation", right: true },
    ],
    view.variations.map((each) => [
      String(each.epoch),
      each.contract.slice(0, 18),
      String(each.held),
      String(each.position),
      money(each.settlementPrice),
      money(each.variation),
    ]),
  );
  const period =
    view.fromEpoch === view.toEpoch ? `day ${view.fromEpoch}` : `days ${view.fromEpoch} to ${view.toEpoch}`;
  const sections = [
    `Statement of ${period}, ${view.network}`,
    totals.join("\n"),
    days,
    view.variations.length === 0 ? "" : variations,
    `${counted(view.entries.length, "entry", "entries")}: hedgerow history shows them`,
  ];
  return sections.filter((section) => section !== "").join("\n\n");
}

function timeOfDay(seconds: number): string {
  return localTime(seconds).slice(11, 16);
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

function signed(position: number): string {
  return position > 0 ? `+${position}` : String(position);
}
