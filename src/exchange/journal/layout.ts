import { chmodSync, closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import type { Hex } from "../../protocol/keys.ts";
import {
  JournalCorrupt,
  JournalInUse,
  JournalOfAnother,
  JournalUnusable,
  JournalVersionUnknown,
  MalformedOrderName,
} from "./errors.ts";

// How the journal lies on disk: one SQLite database in WAL mode, and a lock file beside it.
//   records         every command with its outcome, by number
//   orders          (ticketId, clientId) -> place in order_states. Small rows, as its pages are touched at random
//   order_states    what became of an order, in the order of archiving, so that writing and pruning are sequential
//   snapshots       a row for each complete snapshot; its text lies in snapshot_parts

const LAYOUT_VERSION = 1;
/** "HJRN": tells the journal from other SQLite files. */
const APPLICATION_ID = 0x484a524e;

const SCHEMA = `
  CREATE TABLE meta (identity TEXT NOT NULL, forgotten INTEGER NOT NULL) STRICT;
  CREATE TABLE records (
    number INTEGER PRIMARY KEY, body TEXT NOT NULL, outcome TEXT NOT NULL, checksum INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE orders (name BLOB PRIMARY KEY, place INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE order_states (
    place INTEGER PRIMARY KEY, name BLOB NOT NULL, archived_by INTEGER NOT NULL, record INTEGER NOT NULL,
    state TEXT NOT NULL, checksum INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE snapshots (number INTEGER PRIMARY KEY, parts INTEGER NOT NULL, checksum INTEGER NOT NULL) STRICT;
  CREATE TABLE snapshot_parts (
    place INTEGER PRIMARY KEY, number INTEGER NOT NULL, part INTEGER NOT NULL, text BLOB NOT NULL, UNIQUE (number, part)
  ) STRICT;
`;

/** Checksum over a row, seeded with its number. SQLite itself protects only the WAL, not the main file. */
export function checksum(seed: number, ...texts: readonly (string | Uint8Array)[]): number {
  return texts.reduce((sum, text) => crc32(text, sum), seed >>> 0);
}

const NAME_BYTES = 40;
const nameScratch = Buffer.alloc(NAME_BYTES);

/**
 * Packs an order's name into 40 bytes: ticketId, then clientId big-endian. The buffer is used again by the next call.
 * Throws MalformedOrderName.
 */
export function packName(ticketId: Hex, clientId: bigint): Buffer {
  const wellFormed = ticketId.length === 66 && nameScratch.write(ticketId.slice(2), 0, 32, "hex") === 32;
  if (!wellFormed || clientId < 0n || clientId >> 64n !== 0n) throw new MalformedOrderName(ticketId, clientId);
  nameScratch.writeBigUInt64BE(clientId, 32);
  return nameScratch;
}

/** Reads what packName wrote. */
export function unpackName(name: Uint8Array): { readonly ticketId: Hex; readonly clientId: bigint } {
  const bytes = Buffer.from(name.buffer, name.byteOffset, name.byteLength);
  return { ticketId: `0x${bytes.toString("hex", 0, 32)}`, clientId: bytes.readBigUInt64BE(32) };
}

const databaseFile = (directory: string) => join(directory, "journal.sqlite");
const lockFile = (directory: string) => join(directory, "lock");

/** Connection that writes. Its commits are on disk when they return (spec JRN-2); checkpoints are run by hand. */
export function openWriter(directory: string): DatabaseSync {
  const database = new DatabaseSync(databaseFile(directory), { timeout: 5_000 });
  database.exec(
    "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -65536; PRAGMA cell_size_check = ON",
  );
  return database;
}

/** Connection that only reads. */
function openReader(directory: string): DatabaseSync {
  const database = new DatabaseSync(databaseFile(directory), { timeout: 5_000 });
  database.exec(
    "PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -16384; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 1073741824",
  );
  return database;
}

/**
 * Makes the directory, takes its lock and sees to it that a database of this identity and layout lies in it.
 * Returns a connection that reads it, and the lock: closing it, or the end of the process however it ends, lets others in.
 * Throws JournalInUse, JournalOfAnother, JournalVersionUnknown, JournalCorrupt, JournalUnusable.
 */
export function claimDirectory(
  directory: string,
  identity: string,
): { readonly lock: DatabaseSync; readonly reader: DatabaseSync } {
  let lock: DatabaseSync | undefined;
  let reader: DatabaseSync | undefined;
  try {
    if (!existsSync(directory)) {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      syncFolder(dirname(directory));
    }
    lock = takeLock(directory);
    if (!existsSync(databaseFile(directory))) create(directory, identity);
    reader = openReader(directory);
    checkIdentity(reader, directory, identity);
    return { lock, reader };
  } catch (error) {
    reader?.close();
    lock?.close();
    throw explained(directory, error);
  }
}

/**
 * An exclusive transaction that never ends, on a database of its own: the operating system ends it with the process, so
 * that it is never stale.
 */
function takeLock(directory: string): DatabaseSync {
  makePrivateFile(lockFile(directory));
  const lock = new DatabaseSync(lockFile(directory), { timeout: 0 });
  try {
    lock.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    return lock;
  } catch (error) {
    lock.close();
    throw sqliteCode(error) === SQLITE_BUSY ? new JournalInUse(directory) : error;
  }
}

/** The database appears whole, by renaming: one that is empty or half there was damaged later. */
function create(directory: string, identity: string): void {
  if (existsSync(`${databaseFile(directory)}-wal`)) throw new JournalCorrupt(directory, "journal.sqlite is missing");
  const unfinished = `${databaseFile(directory)}.new`;
  rmSync(unfinished, { force: true });
  makePrivateFile(unfinished);
  const database = new DatabaseSync(unfinished);
  try {
    database.exec(
      `PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${LAYOUT_VERSION}; BEGIN; ${SCHEMA}`,
    );
    database.prepare("INSERT INTO meta (identity, forgotten) VALUES (?, 0)").run(identity);
    database.exec("COMMIT; PRAGMA journal_mode = WAL");
  } finally {
    database.close();
  }
  renameSync(unfinished, databaseFile(directory));
  syncFolder(directory);
}

function checkIdentity(reader: DatabaseSync, directory: string, wanted: string): void {
  const pragma = (name: string) => reader.prepare(`PRAGMA ${name}`).get()?.[name];
  if (pragma("application_id") !== APPLICATION_ID)
    throw new JournalCorrupt(directory, "journal.sqlite is not a journal");
  const version = Number(pragma("user_version"));
  if (version !== LAYOUT_VERSION) throw new JournalVersionUnknown(directory, version, LAYOUT_VERSION);
  const found = reader.prepare("SELECT identity FROM meta").get()?.["identity"];
  if (typeof found !== "string") throw new JournalCorrupt(directory, "it has no identity");
  if (found !== wanted) throw new JournalOfAnother(directory, found, wanted);
}

/**
 * Makes an empty file that only the owner reads, where there is none. An existing one is not opened: closing a second
 * handle would drop the locks that this process holds on it.
 */
function makePrivateFile(path: string): void {
  if (existsSync(path)) return;
  closeSync(openSync(path, "wx", 0o600));
  chmodSync(path, 0o600);
}

function syncFolder(path: string): void {
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** SQL that does not fit the tables: the statements are fixed, so the tables are not ours any more. */
const SQLITE_ERROR = 1;
const SQLITE_BUSY = 5;
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

/** The primary result code of an error that SQLite gave; undefined for other errors. */
function sqliteCode(error: unknown): number | undefined {
  const known = error instanceof Error && "errcode" in error && typeof error.errcode === "number";
  return known ? Number(error.errcode) & 0xff : undefined;
}

/** An error met while opening or reading, as one of the journal's own. */
export function explained(directory: string, error: unknown): Error {
  if (!(error instanceof Error)) return new JournalUnusable(directory, String(error));
  const code = sqliteCode(error);
  if (code === SQLITE_CORRUPT || code === SQLITE_NOTADB || code === SQLITE_ERROR) {
    return new JournalCorrupt(directory, error.message);
  }
  if (code !== undefined || "syscall" in error) return new JournalUnusable(directory, error.message);
  return error;
}
