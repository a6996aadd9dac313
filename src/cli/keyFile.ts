import { readFileSync, statSync } from "node:fs";
import { Wallet } from "ethers";
import { isHex } from "viem";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";

/** An option of the command line is not what it should be. */
export class BadOption extends HedgerowError {
  constructor(option: string, value: string, rule: string) {
    super("BadOption", `--${option} is "${value}": ${rule}`, { option, value });
  }
}

/** A file with a secret can be read by others. */
export class FileTooOpen extends HedgerowError {
  constructor(file: string) {
    super("FileTooOpen", `${file} holds a secret, but others may read it: chmod 600 ${file}`, { file });
  }
}

/**
 * The key of `--key`, from a file that only its owner may read: 32 bytes of hex, or a keystore with a password. Throws
 * BadOption, FileTooOpen.
 */
export function readKey(file: string, passwordFile: string | undefined): Hex {
  const text = readSecret(file);
  const key = passwordFile === undefined ? text : keyInKeystore(text, passwordFile);
  if (!isHex(key) || key.length !== 66) throw new BadOption("key", file, "the file holds no key of 32 bytes in hex");
  return key;
}

function keyInKeystore(text: string, passwordFile: string): string {
  const password = readSecret(passwordFile);
  try {
    return Wallet.fromEncryptedJsonSync(text, password).privateKey;
  } catch {
    throw new BadOption("password-file", passwordFile, "what is in it opens no keystore in the key's file");
  }
}

function readSecret(file: string): string {
  if ((statSync(file).mode & 0o077) !== 0) throw new FileTooOpen(file);
  return readFileSync(file, "utf8").trim();
}
