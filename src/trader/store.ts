import { existsSync } from "node:fs";
import type { Chain } from "../chain/clearingHouse.ts";
import { HedgerowError } from "../protocol/errors.ts";
import { type Hex, parseSeedPhrase } from "../protocol/keys.ts";
import { ensurePrivateDirectory, makeFilePrivate, writePrivateFile } from "./files.ts";
import type { IndexJournal, IndexKind } from "./journal.ts";
import {
  fundingKeyOf,
  openKeystore,
  type PhraseSecret,
  sealPhrase,
  sealViewing,
  type ViewingSecret,
} from "./keystore.ts";
import { orderTable } from "./orderTable.ts";
import type { OrderStore } from "./orderStore.ts";
import type { Outbox } from "./outbox.ts";
import { outboxTable } from "./outboxTable.ts";
import { type ReceiptStore, receiptStore } from "./receiptStore.ts";
import { WalletRowDamaged } from "./storedForms.ts";
import { parseViewingKey, type ViewingKey, viewingKeyText } from "./viewingKey.ts";
import { openWalletDatabase, type WalletDatabase } from "./walletDatabase.ts";
import { keystoreFile, readKeystore, WalletExists, WalletNotFound } from "./walletFiles.ts";

export { WrongPassword } from "./keystore.ts";
export { BadRecord, WalletRowDamaged } from "./storedForms.ts";
export { WalletInUse, WalletTooNew, WalletUnwritable } from "./walletDatabase.ts";
export { outlineOfWallet, WalletDamaged, WalletExists, WalletNotFound } from "./walletFiles.ts";

/** The wallet holds a viewing key and no key that signs. */
export class WalletOnlyWatches extends HedgerowError {
  constructor(directory: string) {
    super(
      "WalletOnlyWatches",
      `the wallet in ${directory} holds a viewing key and signs nothing: name the wallet that has the phrase`,
      { directory },
    );
  }
}

/** Cost of guessing a password: scrypt's N, a power of two. */
export type WalletOptions = { readonly scryptN?: number };

type House = Pick<Chain, "chainId" | "address">;

type Opened = {
  readonly directory: string;
  /** Lets others open the wallet. The end of the process does so too. */
  close(): void;
};

/**
 * A wallet directory: `keystore.json` holds the seed phrase, encrypted with a password as Web3 secret storage, and
 * `wallet.sqlite` the indices used, what was sent, and the operator's receipts. What accounts own is not stored: the
 * chain knows it. Losing the database costs no money, since recovery finds the next index; but while it lasts no index
 * serves twice, and with it gone orders signed for an opening that never landed may share a session key with later ones
 * (spec ACC-6).
 *
 * Everything that it keeps is durable when the call returns. Each may throw WalletDamaged and WalletUnwritable.
 */
export type Wallet = Opened & {
  readonly kind: "full";
  /** The seed phrase. Secret. */
  readonly phrase: string;
  /** Private key of m/44'/60'/0'/0/0, which pays deposits, bonds and what is sent directly. Secret. */
  fundingKey(): Hex;
  /** Indices of one account at one clearing house. */
  journal(chain: House, account: bigint): IndexJournal;
  /** Transitions of one account at one clearing house, written ahead of sending. */
  outbox(chain: House, account: bigint): Outbox;
  /** Orders of one account at one clearing house, written ahead of sending. */
  orders(chain: House, account: bigint): OrderStore;
  /** What operators of one clearing house have signed for orders of this wallet. */
  receipts(chain: House): ReceiptStore;
  /** How often a viewing key of one account was written out of this wallet (spec PRI-18). */
  viewingKeysExported(chain: House, account: bigint): number;
  /** One more: called before the key is written. */
  countViewingKey(chain: House, account: bigint): void;
};

/** A wallet that sees one account at one clearing house, and signs nothing (spec ACC-20). */
export type ViewingWallet = Opened & { readonly kind: "viewing"; readonly viewingKey: ViewingKey };

const DEFAULT_SCRYPT_N = 1 << 17;

/** Writes a phrase into a new wallet. Throws MalformedSeedPhrase, WalletExists, WalletInUse. */
export async function createWallet(
  directory: string,
  phrase: string,
  password: string,
  { scryptN = DEFAULT_SCRYPT_N }: WalletOptions = {},
): Promise<Wallet> {
  const parsed = parseSeedPhrase(phrase);
  const secret: PhraseSecret = { kind: "full", phrase: parsed, fundingKey: fundingKeyOf(parsed) };
  const database = await createIn(directory, () => sealPhrase(secret, password, scryptN));
  return walletOf(directory, secret, database);
}

/** Writes a viewing key into a new wallet that only watches. Throws WalletExists, WalletInUse. */
export async function createViewingWallet(
  directory: string,
  viewingKey: ViewingKey,
  password: string,
  { scryptN = DEFAULT_SCRYPT_N }: WalletOptions = {},
): Promise<ViewingWallet> {
  const secret: ViewingSecret = { kind: "viewing", text: viewingKeyText(viewingKey) };
  const database = await createIn(directory, () => sealViewing(secret, password, scryptN));
  return viewingWalletOf(directory, viewingKey, database);
}

/** Opens a wallet that signs. Throws WalletOnlyWatches, and what openAnyWallet throws. */
export async function openWallet(directory: string, password: string): Promise<Wallet> {
  const wallet = await openAnyWallet(directory, password);
  if (wallet.kind === "full") return wallet;
  wallet.close();
  throw new WalletOnlyWatches(directory);
}

/** Opens a wallet. Throws WalletNotFound, WrongPassword, WalletDamaged, WalletTooNew, WalletInUse, WalletNotPrivate. */
export async function openAnyWallet(directory: string, password: string): Promise<Wallet | ViewingWallet> {
  const database = openIn(directory);
  try {
    const secret = await readKeystore(directory, (json) => openKeystore(json, password, directory));
    if (secret.kind === "full") return walletOf(directory, secret, database);
    return viewingWalletOf(directory, parseViewingKey(secret.text, keystoreFile(directory)), database);
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Encrypts the keystore anew. Throws what openAnyWallet throws. */
export async function changePassword(
  directory: string,
  password: string,
  newPassword: string,
  { scryptN = DEFAULT_SCRYPT_N }: WalletOptions = {},
): Promise<void> {
  const database = openIn(directory);
  try {
    const secret = await readKeystore(directory, (json) => openKeystore(json, password, directory));
    const sealed =
      secret.kind === "full"
        ? await sealPhrase(secret, newPassword, scryptN)
        : await sealViewing(secret, newPassword, scryptN);
    writePrivateFile(keystoreFile(directory), sealed);
  } finally {
    database.close();
  }
}

/** Holds the directory, and writes a keystore where there is none. */
async function createIn(directory: string, seal: () => Promise<string>): Promise<WalletDatabase> {
  ensurePrivateDirectory(directory);
  const database = openWalletDatabase(directory);
  try {
    if (existsSync(keystoreFile(directory))) throw new WalletExists(directory);
    writePrivateFile(keystoreFile(directory), await seal());
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Holds the directory of a wallet; modes that let others in are mended. */
function openIn(directory: string): WalletDatabase {
  if (!existsSync(keystoreFile(directory))) throw new WalletNotFound(directory);
  ensurePrivateDirectory(directory);
  makeFilePrivate(keystoreFile(directory));
  return openWalletDatabase(directory);
}

function walletOf(directory: string, { phrase, fundingKey }: PhraseSecret, database: WalletDatabase): Wallet {
  const houseOf = ({ chainId, address }: House) => `${chainId}/${address.toLowerCase()}`;
  const used = (chain: House, account: bigint) => usedTable(database, `${houseOf(chain)}/${account}`);
  return {
    kind: "full",
    directory,
    phrase,
    fundingKey: () => fundingKey,
    journal: used,
    outbox: (chain, account) => outboxTable(database, `${houseOf(chain)}/${account}`),
    orders: (chain, account) => orderTable(database, `${houseOf(chain)}/${account}`),
    receipts: (chain) => receiptStore(database, houseOf(chain)),
    viewingKeysExported: (chain, account) => Number(used(chain, account).highest("viewing-key")),
    countViewingKey: (chain, account) => {
      const { highest, record } = used(chain, account);
      record("viewing-key", highest("viewing-key") + 1n);
    },
    close: () => database.close(),
  };
}

function viewingWalletOf(directory: string, viewingKey: ViewingKey, database: WalletDatabase): ViewingWallet {
  return { kind: "viewing", directory, viewingKey, close: () => database.close() };
}

/** Highest numbers used: an account's journal, and how many viewing keys it gave away. */
function usedTable(database: WalletDatabase, account: string) {
  const read = database.prepare("SELECT highest FROM used WHERE account = ? AND kind = ?");
  const write = database.prepare("INSERT OR REPLACE INTO used (account, kind, highest) VALUES (?, ?, ?)");
  const highest = (kind: IndexKind | "viewing-key"): bigint => {
    const stored = read.get(account, kind)?.["highest"];
    if (stored === undefined) return 0n;
    // An index that is taken for 0 would be given again.
    if (typeof stored !== "string" || !/^[0-9]{1,20}$/.test(stored))
      throw new WalletRowDamaged("used", kind, "no number");
    return BigInt(stored);
  };
  return {
    highest,
    record: (kind: IndexKind | "viewing-key", index: bigint): void => {
      if (index > highest(kind)) write.run(account, kind, index.toString());
    },
  };
}
