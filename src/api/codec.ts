import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";

// Text of the wire and the values it stands for. Total: whatever does not have its form is a MalformedField.

/** A field of a message does not have its form. The message of the error never repeats the value: it may be long. */
export class MalformedField extends HedgerowError {
  constructor(field: string, rule: string) {
    super("MalformedField", `${field} is wrong: ${rule}`, { field });
  }
}

const DECIMAL = /^(0|-?[1-9][0-9]{0,77})$/;
const HEX_20 = /^0x[0-9a-f]{40}$/;
const HEX_32 = /^0x[0-9a-f]{64}$/;
const HEX_65 = /^0x[0-9a-f]{130}$/;

/** A whole number from decimal text of at most 78 digits, as it is written: no plus, no leading zeros. */
export function integerFrom(field: string, text: string): bigint {
  if (!DECIMAL.test(text))
    throw new MalformedField(field, "expected a whole number in decimal text, at most 78 digits");
  return BigInt(text);
}

/** An address: 20 bytes in lower-case hex. */
export function addressFrom(field: string, text: string): Hex {
  if (!matches(HEX_20, text)) throw new MalformedField(field, "expected 20 bytes in lower-case hex with 0x");
  return text;
}

/** A hash or id: 32 bytes in lower-case hex. */
export function hashFrom(field: string, text: string): Hex {
  if (!matches(HEX_32, text)) throw new MalformedField(field, "expected 32 bytes in lower-case hex with 0x");
  return text;
}

/** A signature: 65 bytes in lower-case hex. */
export function signatureFrom(field: string, text: string): Hex {
  if (!matches(HEX_65, text)) throw new MalformedField(field, "expected 65 bytes in lower-case hex with 0x");
  return text;
}

/** A number of 256 bits from 32 bytes of hex. */
export function wordFrom(field: string, text: string): bigint {
  return BigInt(hashFrom(field, text));
}

/** A number of 256 bits as 32 bytes of hex. */
export function wordOf(value: bigint): Hex {
  return `0x${value.toString(16).padStart(64, "0")}`;
}

/** A whole number that a double holds exactly. */
export function safeNumberFrom(field: string, value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new MalformedField(field, "expected less than 2^53");
  return Number(value);
}

const LAST_SLOT = 7;

/** A slot of an account (spec ACC-1). */
export function slotFrom(field: string, value: number): number {
  if (value > LAST_SLOT) throw new MalformedField(field, `expected 0 to ${LAST_SLOT}`);
  return value;
}

/** A time in unix seconds that a double holds exactly. */
export function timeFrom(field: string, value: bigint): bigint {
  safeNumberFrom(field, value);
  return value;
}

/** A message that has to be there. */
export function present<T>(field: string, message: T | undefined): T {
  if (message === undefined) throw new MalformedField(field, "it is missing");
  return message;
}

/** Both ways between the names of a type and the numbers of an enum. */
export type Enumeration<Name extends string, Value extends number> = {
  readonly numberOf: (name: Name) => Value;
  /** Throws MalformedField. */
  readonly nameOf: (field: string, number: number) => Name;
};

/** An enumeration from the number of each name. */
export function enumeration<Name extends string, Value extends number>(
  numbers: Readonly<Record<Name, Value>>,
): Enumeration<Name, Value> {
  const names = new Map<number, Name>();
  for (const name in numbers) names.set(numbers[name], name);
  return {
    numberOf: (name) => numbers[name],
    nameOf: (field, number) => {
      const name = names.get(number);
      if (name === undefined) throw new MalformedField(field, `expected one of ${[...names.values()].join(", ")}`);
      return name;
    },
  };
}

function matches(pattern: RegExp, text: string): text is Hex {
  return pattern.test(text);
}
