import { z } from "zod";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";

/*
 * The form of a keystore, without what opens it: so that wallets can be listed at once.
 */

/** A keystore is not what this program, or ethers, writes. */
export class KeystoreMalformed extends HedgerowError {
  readonly reason: string;

  constructor(reason: string) {
    super("KeystoreMalformed", `the keystore cannot be read: ${reason}`, { reason });
    this.reason = reason;
  }
}

/** What a keystore says without its password. */
export type KeystoreOutline = {
  readonly kind: "full" | "viewing";
  /** The address that pays; undefined for a wallet that only watches. */
  readonly address: Hex | undefined;
};

/** Path of the Ethereum key that stands for the phrase. */
export const FUNDING_PATH = "m/44'/60'/0'/0/0";

/** What a keystore says to everybody. Throws KeystoreMalformed. */
export function outlineOf(json: string): KeystoreOutline {
  const keystore = parseKeystore(json);
  if (keystore["x-hedgerow"]?.kind === "viewing") return { kind: "viewing", address: undefined };
  return { kind: "full", address: keystore.address === undefined ? undefined : `0x${keystore.address}` };
}

/** Parameters beyond these are nobody's who wants to open the file: they would take memory and time without end. */
export const MOST_MEMORY = 1 << 28;
const MOST_PARALLEL = 16;

const hexText = z
  .string()
  .max(20_000)
  .regex(/^(0x)?([0-9a-fA-F]{2})*$/, "expected hex")
  .transform((text) => text.replace(/^0x/, "").toLowerCase());
const bytes = (length: number) =>
  hexText.refine((text) => text.length === 2 * length, `expected ${length} bytes of hex`);
const positive = z.int().min(1);
const cryptoSchema = z.object({
  cipher: z.literal("aes-128-ctr"),
  cipherparams: z.object({ iv: bytes(16) }),
  ciphertext: hexText,
  kdf: z.literal("scrypt"),
  kdfparams: z
    .object({ salt: hexText, n: positive, r: positive, p: positive, dklen: z.literal(32) })
    .refine(({ n }) => n > 1 && Number.isInteger(Math.log2(n)), { path: ["n"], error: "expected a power of two" })
    .refine(({ n, r, p }) => 128 * n * r <= MOST_MEMORY && p <= MOST_PARALLEL && n * r * p <= MOST_MEMORY / 32, {
      path: ["n"],
      error: "the password would cost more memory or time than any wallet asks",
    }),
  mac: bytes(32),
});
const keystoreSchema = z.object({
  version: z.literal(3),
  address: bytes(20).optional(),
  crypto: cryptoSchema,
  "x-ethers": z
    .object({
      mnemonicCounter: bytes(16),
      mnemonicCiphertext: hexText,
      path: z.literal(FUNDING_PATH),
      locale: z.literal("en"),
      version: z.literal("0.1"),
    })
    .optional(),
  "x-hedgerow": z.object({ kind: z.literal("viewing"), iv: bytes(12), ciphertext: hexText, tag: bytes(16) }).optional(),
});

/** A keystore with every part in its form. */
export type Keystore = z.infer<typeof keystoreSchema>;

/** A text under a key, in hex: AES-256-GCM. */
export type Sealed = { readonly iv: string; readonly ciphertext: string; readonly tag: string };

/** The keystore in a text. Throws KeystoreMalformed. */
export function parseKeystore(json: string): Keystore {
  let value: unknown;
  try {
    // Ethers writes "Crypto", the others "crypto".
    value = JSON.parse(json, function (this: unknown, key: string, item: unknown) {
      if (key !== "Crypto" || typeof this !== "object" || this === null) return item;
      Object.assign(this, { crypto: item });
      return undefined;
    });
  } catch {
    // The parser's words would repeat parts of the file.
    throw new KeystoreMalformed("it is no JSON");
  }
  const result = keystoreSchema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const field = issue === undefined || issue.path.length === 0 ? "the whole" : issue.path.join(".");
  throw new KeystoreMalformed(`${field} is wrong: ${issue?.message ?? "not understood"}`);
}
