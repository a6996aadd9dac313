import { type Html, html, joined, page, table } from "../../html/html.ts";
import { formatAmount, shortTicket } from "../markets.ts";
import type { StatementView } from "../views.ts";
import { KIND_WORDS, RECONCILIATION, utcTime } from "./words.ts";

/**
 * A statement as one page that needs nothing else: no script, no picture from elsewhere; light and dark, and fit to
 * print. Amounts in collateral units with all their digits. Everything that comes from outside is escaped.
 */
export function statementHtml(view: StatementView, decimals: number): string {
  const money = (baseUnits: string): string => formatAmount(BigInt(baseUnits), decimals);
  const period =
    view.fromEpoch === view.toEpoch ? `epoch ${view.fromEpoch}` : `epochs ${view.fromEpoch} to ${view.toEpoch}`;
  return page(`Statement, ${period}, ${view.network}`, STYLE, [
    html`<h1>Statement</h1>
      <dl class="about">
        <dt>Period</dt>
        <dd>${period}</dd>
        <dt>Network</dt>
        <dd>${view.network}</dd>
        <dt>Clearing house</dt>
        <dd class="id">${view.clearingHouse}</dd>
        <dt>Account</dt>
        <dd class="id">${view.account}</dd>
        <dt>Owner key</dt>
        <dd class="id">${view.ownerKey}</dd>
      </dl>`,
    html`<h2>Summary</h2>`,
    table(
      ["", "Amount"],
      [
        ["Opening equity", money(view.openingEquity)],
        ["Deposits", money(view.deposits)],
        ["Withdrawals", money(negative(view.withdrawals))],
        ["Relay and fill fees", money(negative(view.fees))],
        ["Variation of positions", money(view.variation)],
        ["Close-out fees", money(view.other)],
        ["Closing equity", money(view.closingEquity)],
      ],
      { numbersFrom: 1, lastIsTotal: true },
    ),
    html`<p class="note">
      ${sentence(RECONCILIATION)}. Equity is that of account and tickets at settlement prices. Bonds, and deposits that
      the account has not taken in yet, are not in it.
    </p>`,
    html`<h2>Equity by day</h2>`,
    equityLine(view, money),
    table(
      ["Epoch", "Closed (UTC)", "Equity"],
      view.days.map((day) => [
        String(day.epoch),
        day.closedAt === null ? "goes on" : utcTime(day.closedAt),
        money(day.equity),
      ]),
      { numbersFrom: 2 },
    ),
    html`<h2>Variation by day and market</h2>`,
    table(
      ["Epoch", "Contract", "Held over", "At the close", "Settlement price", "Variation"],
      view.variations.map((each) => [
        String(each.epoch),
        each.settled ? each.contract : `${each.contract} (goes on)`,
        String(each.held),
        String(each.position),
        money(each.settlementPrice),
        money(each.variation),
      ]),
      { numbersFrom: 2 },
    ),
    html`<h2>Entries</h2>`,
    table(
      ["Time (UTC)", "Epoch", "What", "Contract", "Ticket", "Contracts", "Price", "Amount", "Cash", "Fee"],
      view.entries.map((entry) => [
        utcTime(entry.time),
        String(entry.epoch),
        KIND_WORDS[entry.kind],
        entry.contract ?? "",
        entry.ticketId === null ? "" : shortTicket(entry.ticketId),
        entry.position === 0 ? "" : String(entry.position),
        entry.price === null ? "" : money(entry.price),
        entry.amount === "0" ? "" : money(entry.amount),
        money(entry.cash),
        entry.fee === "0" ? "" : money(entry.fee),
      ]),
      { numbersFrom: 5 },
    ),
    html`<p class="note">Amount is what moved; cash is the change of what the account owns, fees included.</p>`,
  ]);
}

// ------------------------------------------------------------------ the line

const [WIDTH, HEIGHT, MARGIN] = [720, 200, 12];
const STEPS = 10_000n;

/** Equity from the opening over the end of each day. */
function equityLine(view: StatementView, money: (baseUnits: string) => string): Html {
  const values = [view.openingEquity, ...view.days.map(({ equity }) => equity)].map(BigInt);
  const [lowest, highest] = [values.reduce(least), values.reduce(greatest)];
  const span = highest - lowest;
  const x = (i: number): string => (MARGIN + (i * (WIDTH - 2 * MARGIN)) / Math.max(1, values.length - 1)).toFixed(1);
  const y = (value: bigint): string => {
    const share = span === 0n ? 0.5 : Number(((highest - value) * STEPS) / span) / Number(STEPS);
    return (MARGIN + share * (HEIGHT - 2 * MARGIN)).toFixed(1);
  };
  const zero =
    lowest < 0n && highest > 0n
      ? html`<line class="zero" x1="${MARGIN}" x2="${WIDTH - MARGIN}" y1="${y(0n)}" y2="${y(0n)}" />`
      : html``;
  const label = `Equity from ${money(view.openingEquity)} to ${money(view.closingEquity)}`;
  return html`<figure>
    <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${label}">
      ${zero}
      <polyline points="${values.map((value, i) => `${x(i)},${y(value)}`).join(" ")}" />
      ${joined(values.map((value, i) => html`<circle cx="${x(i)}" cy="${y(value)}" r="3" />`))}
    </svg>
    <figcaption>
      From the opening to the end of epoch ${view.toEpoch}; lowest ${money(lowest.toString())}, highest
      ${money(highest.toString())}.
    </figcaption>
  </figure>`;
}

// ------------------------------------------------------------------ the page

const STYLE = `
:root { color-scheme: light dark; --ink: #1d2420; --soft: #5b665f; --rule: #d5dbd7; --line: #2f6f4f; --paper: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e9e6; --soft: #9aa69f; --rule: #37403b; --line: #7fc8a0; --paper: #151a17; }
}
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 64rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 1rem; } h2 { font-size: 1.1rem; margin: 2rem 0 0.5rem; }
.about { display: grid; gap: 0.1rem 1rem; grid-template-columns: max-content 1fr; margin: 0; }
.about dt, .note, figcaption { color: var(--soft); } .about dd { margin: 0; } .id { overflow-wrap: anywhere; }
.note, figcaption { font-size: 0.87rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.87rem; }
th, td { border-bottom: 1px solid var(--rule); padding: 0.25rem 0.9rem 0.25rem 0; text-align: left; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; } .number { text-align: right; padding: 0.25rem 0 0.25rem 0.9rem; }
.total td { border-bottom: 0; border-top: 2px solid var(--ink); font-weight: 600; }
figure { margin: 0 0 1rem; } svg { height: auto; max-width: 45rem; width: 100%; }
polyline { fill: none; stroke: var(--line); stroke-linejoin: round; stroke-width: 2; }
circle { fill: var(--line); } .zero { stroke: var(--rule); stroke-dasharray: 4 4; }
@page { margin: 15mm; size: A4 landscape; }
@media print {
  :root { color-scheme: light; --ink: #000; --soft: #444; --rule: #bbb; --line: #000; --paper: #fff; }
  body { font-size: 10pt; margin: 0; max-width: none; padding: 0; } .wide { overflow: visible; }
  table { font-size: 8pt; } h2 { break-after: avoid; } thead { display: table-header-group; }
  tr, figure { break-inside: avoid; }
}`;

function sentence(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

function negative(baseUnits: string): string {
  return (-BigInt(baseUnits)).toString();
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function greatest(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
