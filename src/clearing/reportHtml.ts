import { type Html, html, joined } from "../html/html.ts";

// The lists and looks of a day's report (spec CLR-7).

/** Names with their values, one below the other. */
export function list(entries: readonly (readonly [name: string, value: string])[]): Html {
  const items = entries.map(
    ([name, value]) =>
      html`<dt>${name}</dt>
        <dd>${value}</dd>`,
  );
  return html`<dl class="about">${joined(items)}</dl>`;
}

/** Light and dark, and fit to print. */
export const STYLE = `
:root { color-scheme: light dark; --ink: #1d2420; --soft: #5b665f; --rule: #d5dbd7; --paper: #fff; --band: #eef3ef;
  --c0: #2f6f4f; --c1: #b4541a; --c2: #2a5fa5; --c3: #8a3f7d; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e9e6; --soft: #9aa69f; --rule: #37403b; --paper: #151a17; --band: #1f2722;
    --c0: #7fc8a0; --c1: #f0a064; --c2: #86b4ee; --c3: #d79bcb; }
}
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 64rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 1rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 0.5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 0.4rem; }
.about { display: grid; gap: 0.1rem 1rem; grid-template-columns: max-content 1fr; margin: 0 0 0.8rem; }
.about dt, .note, figcaption { color: var(--soft); } .about dd { margin: 0; overflow-wrap: anywhere; }
.note, figcaption { font-size: 0.87rem; } .id { overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.87rem; }
th, td { border-bottom: 1px solid var(--rule); padding: 0.25rem 0.9rem 0.25rem 0; text-align: left; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; } .number { text-align: right; padding: 0.25rem 0 0.25rem 0.9rem; }
figure { margin: 0 0 1rem; } svg { height: auto; max-width: 46rem; width: 100%; }
svg text { fill: var(--soft); font-size: 12px; } .grid { stroke: var(--rule); } .axis { stroke: var(--soft); }
.band { fill: var(--band); } .mark { stroke: var(--soft); stroke-dasharray: 5 4; }
.line { fill: none; stroke-linejoin: round; stroke-width: 2; }
.s0 { stroke: var(--c0); } .s1 { stroke: var(--c1); } .s2 { stroke: var(--c2); } .s3 { stroke: var(--c3); }
.f0 { fill: var(--c0); } .f1 { fill: var(--c1); } .f2 { fill: var(--c2); } .f3 { fill: var(--c3); }
@page { margin: 15mm; size: A4; }
@media print {
  :root { color-scheme: light; --ink: #000; --soft: #444; --rule: #bbb; --paper: #fff; --band: #eee; --c0: #2f6f4f;
    --c1: #b4541a; --c2: #2a5fa5; --c3: #8a3f7d; }
  body { font-size: 10pt; margin: 0; max-width: none; padding: 0; } .wide { overflow: visible; }
  table { font-size: 8pt; } h2, h3 { break-after: avoid; } thead { display: table-header-group; }
  tr, figure { break-inside: avoid; }
}`;
