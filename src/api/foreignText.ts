/*
 * Text that somebody else wrote: the exchange, whoever stands in its place. It ends up in terminals, tables, the
 * wallet's database and logs, so it is short, one line, and nothing in it can steer a terminal or turn the reading
 * order around.
 */

/** Letters of a sentence that is kept; what is longer ends with three dots. */
const MOST_LETTERS = 500;

/** Escape sequences as a whole: their parameters would stay as letters. Those of CSI, and of OSC and the like. */
const SEQUENCE =
  /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]|(?:\u001b[\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[^\u0007\u001b\u009c]*/g;

/** Controls, signs without a form of their own, halves of letters, and what only looks like an end of line. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]+/gu;

/** The text as one line of at most `most` letters without anything that a terminal would obey. */
export function foreignText(text: string, most = MOST_LETTERS): string {
  // Cut first: what is looked through letter by letter must not be of any length.
  const start = text.slice(0, 4 * most).toWellFormed();
  const line = start.replace(SEQUENCE, "").replace(UNPRINTABLE, " ").replace(/\s+/g, " ").trim();
  if (line.length <= most && text.length <= 4 * most) return line;
  return `${line
    .slice(0, most - 3)
    .toWellFormed()
    .replace(/\ufffd$/, "")}...`;
}
