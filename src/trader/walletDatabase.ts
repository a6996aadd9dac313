import { closeSync, existsSync, openSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type SQLInputValue, type SQLOutputValue } from "node:sqlite";
import { HedgerowError } from "../protocol/errors.ts";
import { makeFilePrivate, reasonOf } from "./files.ts";
import { ORDERS_TABLE } from "./orderTable.ts";
import { OUTBOX_TABLE } from "./outboxTable.ts";
import { RECEIPTS_TABLE } from "./receiptStore.ts";
import { WalletDamaged } from "./walletFiles.ts";

/** Another process, or another part of this one, has the wallet open. */
export class WalletInUse extends HedgerowError {
  constructor(directory: string) {
    super("WalletInUse", `the wallet in ${directory} is open elsewhere: close it there first`, { directory });
  }
}

/** The database was written by a later version of the program. */
export class WalletTooNew extends HedgerowError {
  constructor(file: string, version: number) {
    super(
      "WalletTooNew",
      `${file} is of version ${version}, but this program knows versions to ${DATABASE_VERSION}: use the newer program`,
      { file, version },
    );
  }
}

/** The wallet's database could not take something in: the disk is full, or fails. Nothing was sent. */
export class WalletUnwritable extends HedgerowError {
  constructor(file: string, reason: string) {
    super("WalletUnwritable", `${file} cannot be written (${reason}): make room on the disk, then try again`, {
      file,
      reason,
    });
  }
}

/** The database of an open wallet. Each call throws WalletDamaged, or WalletUnwritable. */
export type WalletDatabase = {
  prepare(sql: string): Statement;
  exec(sql: string): void;
  close(): void;
};

type Row = Record<string, SQLOutputValue>;

export type Statement = {
  run(...values: SQLInputValue[]): void;
  get(...values: SQLInputValue[]): Row | undefined;
  all(...values: SQLInputValue[]): readonly Row[];
};

/** `PRAGMA user_version` of what this program writes. */
const DATABASE_VERSION = 1;

const TABLES = `
  CREATE TABLE IF NOT EXISTS used (account TEXT, kind TEXT, highest TEXT, PRIMARY KEY (account, kind));
  ${RECEIPTS_TABLE};
  ${OUTBOX_TABLE};
  ${ORDERS_TABLE}`;

/**
 * Opens the database of a wallet and holds it for this process alone: the exclusive lock is the operating system's, so
 * that it ends with the process, however it ends. Throws WalletInUse, WalletDamaged, WalletTooNew, WalletNotPrivate.
 */
export function openWalletDatabase(directory: string): WalletDatabase {
  const file = join(directory, "wallet.sqlite");
  // SQLite gives its side files the mode of the database.
  if (!existsSync(file)) closeSync(openSync(file, "a", 0o600));
  for (const part of [file, `${file}-wal`, `${file}-journal`]) if (existsSync(part)) makeFilePrivate(part);
  const database = new DatabaseSync(file);
  try {
    // One write of the log for each thing kept, instead of several of the database.
    database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    database.exec("BEGIN EXCLUSIVE");
    const version = Number(database.prepare("PRAGMA user_version").get()?.["user_version"]);
    if (version > DATABASE_VERSION) throw new WalletTooNew(file, version);
    database.exec(`${TABLES}; PRAGMA user_version = ${DATABASE_VERSION}; COMMIT`);
    return namingErrors(database, file);
  } catch (error) {
    database.close();
    if (error instanceof HedgerowError) throw error;
    throw /locked|busy/.test(reasonOf(error)) ? new WalletInUse(directory) : storeError(file, error);
  }
}

/** SQLite's errors become the wallet's. */
function namingErrors(database: DatabaseSync, file: string): WalletDatabase {
  const work = <T>(action: () => T): T => {
    try {
      return action();
    } catch (error) {
      throw storeError(file, error);
    }
  };
  return {
    prepare: (sql) => {
      const statement = work(() => database.prepare(sql));
      return {
        run: (...values) => void work(() => statement.run(...values)),
        get: (...values) => work(() => statement.get(...values)),
        all: (...values) => work(() => statement.all(...values)),
      };
    },
    exec: (sql) => work(() => database.exec(sql)),
    close: () => {
      if (database.isOpen) database.close();
    },
  };
}

/** SQLite's result codes for a full disk, a failing one, and one that is read only. */
const UNWRITABLE: ReadonlySet<unknown> = new Set([8, 10, 13]);

function storeError(file: string, error: unknown): HedgerowError {
  const code = typeof error === "object" && error !== null && "errcode" in error ? Number(error.errcode) & 0xff : 0;
  return UNWRITABLE.has(code) ? new WalletUnwritable(file, reasonOf(error)) : new WalletDamaged(file, reasonOf(error));
}
