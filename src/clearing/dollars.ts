import { z } from "zod";
import { DOLLAR } from "./leanHogs.ts";

const EXPECTED = 'expected dollars per contract, as "31250.00"';

/** Money in a file: dollars per contract as text or number, "31250.00", in base units. */
export const dollarsSchema = z
  .union([z.string(), z.number()], EXPECTED)
  .transform(String)
  .refine((text) => /^-?\d{1,18}(\.\d{1,6})?$/.test(text), EXPECTED)
  .transform(unitsOf);

/** As dollarsSchema, more than zero. */
export const positiveDollarsSchema = dollarsSchema.refine((units) => units > 0n, "expected more than zero");

/** As dollarsSchema, zero or more. */
export const someDollarsSchema = dollarsSchema.refine((units) => units >= 0n, "expected zero or more");

function unitsOf(dollars: string): bigint {
  const [whole = "0", cents = ""] = dollars.replace("-", "").split(".");
  const units = BigInt(whole) * DOLLAR + BigInt(cents.padEnd(6, "0"));
  return dollars.startsWith("-") ? -units : units;
}
