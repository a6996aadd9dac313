// HTML as plain text: a template in which every value is escaped, and a page that needs nothing else.

/** Text that is put into the page as it is; everything else is escaped. */
export type Html = { readonly html: string };

/** A template in which every value is escaped, unless it is HTML already. */
export function html(parts: TemplateStringsArray, ...values: readonly (string | number | Html)[]): Html {
  const filled = values.map((value) => (typeof value === "object" ? value.html : escaped(String(value))));
  return { html: String.raw({ raw: parts }, ...filled) };
}

/** Parts one after another. */
export function joined(parts: readonly Html[]): Html {
  return { html: parts.map((part) => part.html).join("\n") };
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text as HTML and XML show it. What no XML may hold is shown as a question mark. */
export function escaped(text: string): string {
  return text.replace(/\p{Cc}/gu, "?").replace(/[&<>"']/g, (character) => ENTITIES[character] ?? "");
}

type TableOptions = { readonly numbersFrom?: number; readonly lastIsTotal?: boolean };

/** A table. Columns from `numbersFrom` on are of class "number", the last row where it is the total of class "total". */
export function table(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  { numbersFrom = Infinity, lastIsTotal = false }: TableOptions = {},
): Html {
  if (rows.length === 0) return html`<p class="note">None.</p>`;
  const kind = (i: number): Html => (i >= numbersFrom ? html` class="number"` : html``);
  const head = titles.map((title, i) => html`<th scope="col" ${kind(i)}>${title}</th>`);
  const body = rows.map((cells, row) => {
    const total = lastIsTotal && row === rows.length - 1 ? html` class="total"` : html``;
    return html`<tr${total}>${joined(cells.map((cell, i) => html`<td${kind(i)}>${cell}</td>`))}</tr>`;
  });
  return html`<div class="wide">
    <table>
      <thead>
        <tr>
          ${joined(head)}
        </tr>
      </thead>
      <tbody>
        ${joined(body)}
      </tbody>
    </table>
  </div>`;
}

/** One page that needs nothing else: no script, no picture from elsewhere, and one style sheet, as it is given. */
export function page(title: string, style: string, parts: readonly Html[]): string {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title}</title>
        <style>
          ${{ html: style }}
        </style>
      </head>
      <body>
        ${joined(parts)}
      </body>
    </html> `.html;
}
