import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { decryptKeystoreJson, encryptKeystoreJson, HDNodeWallet, isError, Mnemonic } from "ethers";
import type { Chain } from "../chain/clearingHouse.ts";
import { HedgerowError } from "../protocol/errors.ts";
import { parseSeedPhrase } from "../protocol/keys.ts";
import type { IndexJournal, IndexKind } from "./journal.ts";
import { RECEIPTS_TABLE, type ReceiptStore, receiptStore } from "./receiptStore.ts";

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

/** Another process, or another part of this one, has the wallet open. */
export class WalletInUse extends HedgerowError {
  constructor(directory: string) {
    super("WalletInUse", `the wallet in ${directory} is open elsewhere: close it there first`, { directory });
  }
}

/** The password does not open the keystore. */
export class WrongPassword extends HedgerowError {
  constructor(directory: string) {
    super("WrongPassword", `the password does not open the wallet in ${directory}: type it again`, { directory });
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

/** Cost of guessing a password: scrypt's N, a power of two. */
export type WalletOptions = { readonly scryptN?: number };

/**
 * A wallet directory: `keystore.json` holds the seed phrase, encrypted with a password as Web3 secret storage, and
 * `journal.sqlite` the indices used and the operator's receipts. What accounts own is not stored: the chain knows it.
 * Losing the journal costs no money, since recovery finds the next index; but while it lasts no index serves twice, and with it gone orders
 * signed for an opening that never landed may share a session key with later ones (spec ACC-6).
 */
export type Wallet = {
  readonly directory: string;
  /** The seed phrase. Secret. */
  readonly phrase: string;
  /** Journal of one account at one clearing house. */
  journal(chain: Pick<Chain, "chainId" | "address">, account: number): IndexJournal;
  /** What operators of one clearing house have signed for orders of this wallet. */
  receipts(chain: Pick<Chain, "chainId" | "address">): ReceiptStore;
  /** Lets others open the wallet. The end of the process does so too. */
  close(): void;
};

const DEFAULT_SCRYPT_N = 1 << 17;

/** Writes a phrase into a new wallet. Throws MalformedSeedPhrase, WalletExists, WalletInUse. */
export async function createWallet(
  directory: string,
  phrase: string,
  password: string,
  { scryptN = DEFAULT_SCRYPT_N }: WalletOptions = {},
): Promise<Wallet> {
  const parsed = parseSeedPhrase(phrase);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const journal = openJournal(directory);
  try {
    if (existsSync(keystoreFile(directory))) throw new WalletExists(directory);
    const { address, privateKey, mnemonic, path } = HDNodeWallet.fromPhrase(parsed);
    const entropy = mnemonic?.entropy ?? "0x";
    const keystore = await encryptKeystoreJson(
      { address, privateKey, mnemonic: { entropy, path: path ?? "m", locale: "en" } },
      password,
      { scrypt: { N: scryptN, r: 8, p: 1 } },
    );
    writeDurably(directory, keystore);
  } catch (error) {
    journal.close();
    throw error;
  }
  return walletOf(directory, parsed, journal);
}

/** Opens a wallet. Throws WalletNotFound, WrongPassword, WalletDamaged, WalletInUse. */
export async function openWallet(directory: string, password: string): Promise<Wallet> {
  const file = keystoreFile(directory);
  if (!existsSync(file)) throw new WalletNotFound(directory);
  const journal = openJournal(directory);
  try {
    const { mnemonic } = await decryptKeystoreJson(readFileSync(file, "utf8"), password);
    if (mnemonic === undefined) throw new WalletDamaged(file, "it holds no phrase");
    return walletOf(directory, parseSeedPhrase(Mnemonic.fromEntropy(mnemonic.entropy).phrase), journal);
  } catch (error) {
    journal.close();
    if (error instanceof HedgerowError) throw error;
    if (isError(error, "INVALID_ARGUMENT") && error.argument === "password") throw new WrongPassword(directory);
    throw new WalletDamaged(file, error instanceof Error ? error.message : String(error));
  }
}

function walletOf(directory: string, phrase: string, database: DatabaseSync): Wallet {
  return {
    directory,
    phrase,
    journal: ({ chainId, address }, account) => journalOf(database, `${chainId}/${address.toLowerCase()}/${account}`),
    receipts: ({ chainId, address }) => receiptStore(database, `${chainId}/${address.toLowerCase()}`),
    close: () => {
      if (database.isOpen) database.close();
    },
  };
}

function keystoreFile(directory: string): string {
  return join(directory, "keystore.json");
}

/** The file is complete or absent, also after a crash. */
function writeDurably(directory: string, text: string): void {
  const file = keystoreFile(directory);
  const draft = `${file}.new`;
  const descriptor = openSync(draft, "w", 0o600);
  writeSync(descriptor, text);
  fsyncSync(descriptor);
  closeSync(descriptor);
  renameSync(draft, file);
  const folder = openSync(directory, "r");
  fsyncSync(folder);
  closeSync(folder);
}

/**
 * Opens the journal and holds it for this process alone: the exclusive lock is the operating system's, so that it ends
 * with the process, however it ends.
 */
function openJournal(directory: string): DatabaseSync {
  const file = join(directory, "journal.sqlite");
  // SQLite gives its side files the mode of the database.
  closeSync(openSync(file, "a", 0o600));
  const database = new DatabaseSync(file);
  try {
    database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL; BEGIN EXCLUSIVE");
    database.exec(
      `CREATE TABLE IF NOT EXISTS used (account TEXT, kind TEXT, highest TEXT, PRIMARY KEY (account, kind));
       ${RECEIPTS_TABLE}; COMMIT`,
    );
    return database;
  } catch (error) {
    database.close();
    const reason = error instanceof Error ? error.message : String(error);
    throw /locked|busy/.test(reason) ? new WalletInUse(directory) : new WalletDamaged(file, reason);
  }
}

function journalOf(database: DatabaseSync, account: string): IndexJournal {
  const read = database.prepare("SELECT highest FROM used WHERE account = ? AND kind = ?");
  const write = database.prepare("INSERT OR REPLACE INTO used (account, kind, highest) VALUES (?, ?, ?)");
  const highest = (kind: IndexKind): bigint => {
    const stored = read.get(account, kind)?.["highest"];
    return typeof stored === "string" ? BigInt(stored) : 0n;
  };
  return {
    highest,
    record: (kind, index) => {
      if (index > highest(kind)) write.run(account, kind, index.toString());
    },
  };
}
