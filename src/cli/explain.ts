import type { ErrorDetails } from "../protocol/errors.ts";
import { formatAmount } from "../trader/markets.ts";
import { EXPLANATIONS, type Explanation, type Values } from "./explanations.ts";
import { WrongUsage } from "./failure.ts";
import { localTime } from "./terminal.ts";
import { shown } from "./values.ts";
import { wrapped } from "./wrapped.ts";

/** What an error means to a trader: a sentence why, with its values in words, and what to do next. */
export type Explained = Pick<Explanation, "kind" | "why" | "next"> & {
  /** `why` carries the values of this error. */
  readonly inWords: boolean;
};

/** Decimals of the collateral where no network says them. */
const USUAL_DECIMALS = 6;

/**
 * Explains an error. The values of `details` are put into words where they are all there; amounts are turned from base
 * units into collateral units. Undefined for a code that has no explanation.
 */
export function explanationOf(
  code: string,
  details: ErrorDetails = {},
  decimals = USUAL_DECIMALS,
): Explained | undefined {
  const found = explanationFor(code);
  if (found === undefined) return undefined;
  const here = inWords(found, details, decimals);
  return { kind: found.kind, why: here ?? found.why, next: found.next, inWords: here !== undefined };
}

/** The entry of a code; a name alone finds the matching engine's rule too. */
export function explanationFor(code: string): Explanation | undefined {
  return Object.hasOwn(EXPLANATIONS, code) ? EXPLANATIONS[code] : undefined;
}

/** Prints what one code means, or all of them. Throws WrongUsage for one that is not known. */
export function explain(
  code: string | undefined,
  { json = false }: { readonly json?: boolean },
  print: (text: string) => void,
): void {
  const names = code === undefined ? Object.keys(EXPLANATIONS).sort() : [nameOf(code)];
  const entries = names.map((name) => {
    const { why = "", next = "" } = EXPLANATIONS[name] ?? {};
    return { code: name, why, next };
  });
  if (json) {
    print(JSON.stringify(code === undefined ? entries : entries[0]));
    return;
  }
  print(entries.map(({ code: name, why, next }) => textOf(name, why, next)).join("\n\n"));
}

/** A code as it is written, whatever the case; the part after "Matching." alone will do. */
function nameOf(code: string): string {
  const wanted = code.toLowerCase();
  const names = Object.keys(EXPLANATIONS);
  const found =
    names.find((name) => name.toLowerCase() === wanted) ??
    names.find((name) => name.toLowerCase() === `matching.${wanted}`);
  if (found !== undefined) return found;
  throw new WrongUsage(`no refusal is called ${shown(code)}`, "hedgerow explain lists them all");
}

function textOf(code: string, why: string, next: string): string {
  return [code, ...wrapped(why, 76), ...wrapped(`What to do: ${next}`, 76)].join("\n  ");
}

function inWords({ here }: Explanation, details: ErrorDetails, decimals: number): string | undefined {
  if (here === undefined) return undefined;
  const lacking: string[] = [];
  const value = (name: string): string | undefined =>
    Object.hasOwn(details, name) ? String(details[name]) : undefined;
  const missing = (name: string): string => {
    lacking.push(name);
    return "";
  };
  const whole = (name: string): bigint | undefined => {
    const text = value(name);
    return text !== undefined && /^-?\d{1,80}$/.test(text) ? BigInt(text) : undefined;
  };
  const moneyOf = (name: string, amount: bigint | undefined): string =>
    amount === undefined ? missing(name) : formatAmount(amount, decimals);
  const values: Values = {
    money: (name) => moneyOf(name, whole(name)),
    price: (name) => {
      const [ticks, tick] = [whole(name), whole("tick")];
      return moneyOf(name, ticks === undefined || tick === undefined ? undefined : ticks * tick);
    },
    text: (name) => value(name)?.slice(0, 200) ?? missing(name),
    time: (name) => {
      const seconds = whole(name);
      return seconds === undefined || seconds < 0n || seconds > 10n ** 11n ? missing(name) : localTime(Number(seconds));
    },
  };
  const sentence = here(values);
  return lacking.length === 0 ? sentence : undefined;
}
