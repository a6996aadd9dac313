import { keccak_256 } from "@noble/hashes/sha3.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { z } from "zod";
import { HedgerowError } from "../protocol/errors.ts";
import { FIELD_MODULUS } from "../protocol/field.ts";
import type { Hex } from "../protocol/keys.ts";
import { readSecretFile, writeNewPrivateFile } from "./files.ts";
import { address, hex } from "./views.ts";

/**
 * Shows one account at one clearing house to whoever holds it, past and future, for ever; signs nothing (spec ACC-14,
 * ACC-19).
 */
export type ViewingKey = {
  readonly chainId: number;
  readonly clearingHouse: Hex;
  readonly accountNumber: bigint;
  readonly ownerKey: bigint;
  readonly viewingKey: bigint;
  /** Block of the clearing house's deployment. */
  readonly fromBlock?: number | undefined;
  /** What its owner calls it. */
  readonly name?: string | undefined;
};

/** A viewing key file is not what this program writes. The message never repeats the key. */
export class MalformedViewingKey extends HedgerowError {
  constructor(file: string, field: string, rule: string) {
    super(
      "MalformedViewingKey",
      `${file} is no viewing key: ${field || "the whole"} is wrong: ${rule}; ask its owner to export it again`,
      { file, field, rule },
    );
  }
}

const FORMAT = "hedgerow-viewing-key";
const VERSION = 1;

// One check each: a second one would run on what the first has refused, and BigInt throws.
const fieldHex = z.custom<Hex>(
  (value) => isHash(value) && BigInt(value) < FIELD_MODULUS && BigInt(value) > 0n,
  "expected a key of 32 bytes in lower-case hex",
);
const accountNumber = z
  .string()
  .refine((text) => /^(0|[1-9][0-9]{0,19})$/.test(text) && BigInt(text) < 1n << 64n, "expected 64 bits");
const bodySchema = z.strictObject({
  format: z.literal(FORMAT),
  version: z.literal(VERSION, "this program knows version 1 only"),
  chainId: z.int().min(1),
  clearingHouse: address,
  accountNumber,
  ownerKey: fieldHex,
  viewingKey: fieldHex,
  fromBlock: z.int().min(0).optional(),
  name: z.string().min(1).max(64).optional(),
});
const fileSchema = bodySchema.extend({ checksum: hex(4) });

/** The text of a viewing key file. */
export function viewingKeyText(key: ViewingKey): string {
  const { chainId, clearingHouse, accountNumber, ownerKey, viewingKey, fromBlock, name } = key;
  const body: z.infer<typeof bodySchema> = {
    format: FORMAT,
    version: VERSION,
    chainId,
    clearingHouse,
    accountNumber: accountNumber.toString(),
    ownerKey: field(ownerKey),
    viewingKey: field(viewingKey),
    ...(fromBlock === undefined ? {} : { fromBlock }),
    ...(name === undefined ? {} : { name }),
  };
  return `${JSON.stringify({ ...body, checksum: checksumOf(body) }, undefined, 2)}\n`;
}

/** Reads the text of a viewing key file; `file` names it in errors. Throws MalformedViewingKey. */
export function parseViewingKey(text: string, file: string): ViewingKey {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's words would repeat parts of the file.
    throw new MalformedViewingKey(file, "", "it is no JSON");
  }
  const result = fileSchema.safeParse(value);
  if (!result.success) {
    const [issue] = result.error.issues;
    throw new MalformedViewingKey(file, issue?.path.join(".") ?? "", issue?.message ?? "not understood");
  }
  const { checksum, ...body } = result.data;
  if (checksum !== checksumOf(body)) {
    throw new MalformedViewingKey(file, "checksum", "it does not fit the rest, so something was changed or lost");
  }
  const { chainId, clearingHouse, accountNumber, ownerKey, viewingKey, fromBlock, name } = body;
  return {
    chainId,
    clearingHouse,
    accountNumber: BigInt(accountNumber),
    ownerKey: BigInt(ownerKey),
    viewingKey: BigInt(viewingKey),
    ...(fromBlock === undefined ? {} : { fromBlock }),
    ...(name === undefined ? {} : { name }),
  };
}

/** Writes a viewing key to a new file of mode 0600. Throws FileExists, FileUnwritable. */
export function exportViewingKey(file: string, key: ViewingKey): void {
  writeNewPrivateFile(file, viewingKeyText(key));
}

/** Reads a viewing key file, which only its owner may read. Throws FileUnreadable, FileTooOpen, MalformedViewingKey. */
export function importViewingKey(file: string): ViewingKey {
  return parseViewingKey(readSecretFile(file), file);
}

function isHash(value: unknown): value is Hex {
  return typeof value === "string" && /^0x[0-9a-f]{64}$/.test(value);
}

function field(value: bigint): Hex {
  return `0x${value.toString(16).padStart(64, "0")}`;
}

/** Finds slips, not forgers: the first 4 bytes of keccak256 over the values, in their order. */
function checksumOf(body: z.infer<typeof bodySchema>): Hex {
  const { format, version, chainId, clearingHouse, accountNumber, ownerKey, viewingKey, fromBlock, name } = body;
  const values = [format, version, chainId, clearingHouse.toLowerCase(), accountNumber, ownerKey, viewingKey];
  const digest = keccak_256(utf8ToBytes(JSON.stringify([...values, fromBlock ?? null, name ?? null])));
  return `0x${Buffer.from(digest.subarray(0, 4)).toString("hex")}`;
}
