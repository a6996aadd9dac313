import { existsSync } from "node:fs";
import { join } from "node:path";
import { HedgerowError } from "../protocol/errors.ts";
import { FileUnreadable, readSmallFile } from "./files.ts";
import { KeystoreMalformed, type KeystoreOutline, outlineOf } from "./keystoreForm.ts";

/** There is already a wallet in the directory: nothing overwrites a phrase. */
export class WalletExists extends HedgerowError {
  constructor(directory: string) {
    super("WalletExists", `${directory} already holds a wallet: open it, or name another directory`, { directory });
  }
}

/** There is no wallet in the directory. */
export class WalletNotFound extends HedgerowError {
  constructor(directory: string) {
    super("WalletNotFound", `${directory} holds no wallet: create one, or recover it from its phrase`, { directory });
  }
}

/** A file of the wallet is not what this program writes. */
export class WalletDamaged extends HedgerowError {
  constructor(file: string, reason: string) {
    super("WalletDamaged", `${file} cannot be read (${reason}): move it away and recover the wallet from its phrase`, {
      file,
      reason,
    });
  }
}

/** What a wallet says without its password. Throws WalletNotFound, WalletDamaged. */
export async function outlineOfWallet(directory: string): Promise<KeystoreOutline> {
  if (!existsSync(keystoreFile(directory))) throw new WalletNotFound(directory);
  return readKeystore(directory, (json) => Promise.resolve(outlineOf(json)));
}

/** Where a wallet keeps its secret. */
export function keystoreFile(directory: string): string {
  return join(directory, "keystore.json");
}

/** Reads the keystore of a wallet; what is wrong with it becomes WalletDamaged. */
export async function readKeystore<T>(directory: string, read: (json: string) => Promise<T>): Promise<T> {
  const file = keystoreFile(directory);
  try {
    return await read(textOf(file));
  } catch (error) {
    throw error instanceof KeystoreMalformed ? new WalletDamaged(file, error.reason) : error;
  }
}

function textOf(file: string): string {
  try {
    return readSmallFile(file);
  } catch (error) {
    throw error instanceof FileUnreadable ? new WalletDamaged(file, error.reason) : error;
  }
}
