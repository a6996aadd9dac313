import { MalformedField } from "../../api/codec.ts";
import { connectErrorOf, outcomeOf } from "./status.ts";

// JSON.parse rounds what a double does not hold, and nothing after it can tell. Requests in JSON are looked at before.

/** Digits of a number that a double holds whatever they are. */
const EXACT_DIGITS = 15;
/** Of a message in a stream: flags and length. */
const ENVELOPE_BYTES = 5;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const EXPONENTS: readonly number[] = [0x45, 0x65];

/**
 * The bytes of a request in JSON, as they are. Throws a refusal (MalformedField) at a number outside strings that may not
 * be exact: with more than 15 digits or an exponent. `enveloped`: each message follows five bytes that end with its length.
 */
export async function* exactNumbers(body: AsyncIterable<Uint8Array>, enveloped: boolean): AsyncGenerator<Uint8Array> {
  let envelope = enveloped ? ENVELOPE_BYTES : 0;
  let left = enveloped ? 0 : Infinity;
  let inString = false;
  let escaped = false;
  let digits = 0;
  for await (const chunk of body) {
    for (const byte of chunk) {
      if (envelope > 0) {
        envelope -= 1;
        left = (left * 256 + byte) % 2 ** 32;
        if (envelope === 0) [inString, escaped, digits] = [false, false, 0];
      } else {
        left -= 1;
        if (inString) {
          if (byte === QUOTE && !escaped) inString = false;
          escaped = byte === BACKSLASH && !escaped;
        } else if (byte >= ZERO && byte <= NINE) {
          digits += 1;
          if (digits > EXACT_DIGITS) throw inexact();
        } else if (digits > 0 && EXPONENTS.includes(byte)) {
          throw inexact();
        } else if (byte !== DOT) {
          digits = 0;
          inString = byte === QUOTE;
        }
      }
      if (envelope === 0 && left === 0) envelope = ENVELOPE_BYTES;
    }
    yield chunk;
  }
}

function inexact(): Error {
  const rule = `a number has at most ${EXACT_DIGITS} digits and no exponent; send a greater one as text, in quotes`;
  return connectErrorOf(outcomeOf(new MalformedField("JSON", rule), ""));
}
