import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { HedgerowError } from "../protocol/errors.ts";

/*
 * Files that only their owner reads and writes: 0600 in directories of 0700, complete or absent also after a crash
 * (spec ACC-18).
 */

/** A file or directory that must be its owner's alone belongs to somebody else, or is a link to another place. */
export class WalletNotPrivate extends HedgerowError {
  constructor(file: string, reason: string) {
    super("WalletNotPrivate", `${file} ${reason}: what is in it must be yours alone, so name another place`, {
      file,
      reason,
    });
  }
}

/** A file that holds a secret can be read by others. */
export class FileTooOpen extends HedgerowError {
  constructor(file: string) {
    super("FileTooOpen", `others than its owner may read ${file}: chmod 600 ${file}`, { file });
  }
}

/** There is a file already where a new one was to be written. */
export class FileExists extends HedgerowError {
  constructor(file: string) {
    super("FileExists", `${file} is there already and nothing is written over it: name another file`, { file });
  }
}

/** A file cannot be read. */
export class FileUnreadable extends HedgerowError {
  readonly reason: string;

  constructor(file: string, reason: string) {
    super("FileUnreadable", `${file} cannot be read (${reason}): check its name and who may read it`, {
      file,
      reason,
    });
    this.reason = reason;
  }
}

/** A file cannot be written. */
export class FileUnwritable extends HedgerowError {
  constructor(file: string, reason: string) {
    super("FileUnwritable", `${file} cannot be written (${reason}): make room, or name another place`, {
      file,
      reason,
    });
  }
}

/** Makes a directory of mode 0700, or gives one that is there this mode. Throws WalletNotPrivate, FileUnwritable. */
export function ensurePrivateDirectory(directory: string): void {
  writing(directory, () => mkdirSync(directory, { recursive: true, mode: 0o700 }));
  makePrivate(directory, 0o700);
}

/** Gives a file that is there mode 0600. Throws WalletNotPrivate. */
export function makeFilePrivate(file: string): void {
  makePrivate(file, 0o600);
}

/** The text of a small file that holds a secret. Throws FileUnreadable, FileTooOpen. */
export function readSecretFile(file: string): string {
  const text = readSmallFile(file);
  if ((statSync(file).mode & 0o077) !== 0) throw new FileTooOpen(file);
  return text;
}

/** The text of a file of at most a mebibyte. Throws FileUnreadable. */
export function readSmallFile(file: string): string {
  try {
    const found = statSync(file);
    if (!found.isFile()) throw new FileUnreadable(file, "it is no plain file");
    if (found.size > MOST_BYTES) throw new FileUnreadable(file, `it has ${found.size} bytes, more than ${MOST_BYTES}`);
    return readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof HedgerowError) throw error;
    throw new FileUnreadable(file, reasonOf(error));
  }
}

/** Writes a file of mode 0600 as a whole, in the place of one that is there. Throws FileUnwritable. */
export function writePrivateFile(file: string, text: string): void {
  writing(file, () => {
    const draft = writeDraft(file, text);
    renameSync(draft, file);
    syncDirectory(dirname(file));
  });
}

/** Writes a file of mode 0600 as a whole where there is none. Throws FileExists, FileUnwritable. */
export function writeNewPrivateFile(file: string, text: string): void {
  writing(file, () => {
    if (existsSync(file)) throw new FileExists(file);
    const draft = writeDraft(file, text);
    try {
      // Unlike a renaming, a link never takes the place of a file that came meanwhile.
      linkSync(draft, file);
    } catch (error) {
      if (codeOf(error) === "EEXIST") throw new FileExists(file);
      throw error;
    } finally {
      rmSync(draft, { force: true });
    }
    syncDirectory(dirname(file));
  });
}

/** What a caught value says. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const MOST_BYTES = 1 << 20;

function writeDraft(file: string, text: string): string {
  const draft = `${file}.${process.pid}.new`;
  // A draft that a crash left behind may have another mode.
  rmSync(draft, { force: true });
  const descriptor = openSync(draft, "wx", 0o600);
  try {
    const bytes = Buffer.from(text, "utf8");
    for (let written = 0; written < bytes.length;) written += writeSync(descriptor, bytes, written);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  return draft;
}

function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function makePrivate(path: string, mode: number): void {
  const found = lstatSync(path);
  if (found.isSymbolicLink()) throw new WalletNotPrivate(path, "is a link to another place");
  if (process.getuid !== undefined && found.uid !== process.getuid())
    throw new WalletNotPrivate(path, "is somebody else's");
  if ((found.mode & 0o777) !== mode) chmodSync(path, mode);
}

function writing(file: string, action: () => void): void {
  try {
    action();
  } catch (error) {
    if (error instanceof HedgerowError) throw error;
    throw new FileUnwritable(file, reasonOf(error));
  }
}

function codeOf(error: unknown): unknown {
  return typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
}
