import {
  accessSync,
  closeSync,
  constants,
  fsyncSync,
  lstatSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { FileUnwritable, reasonOf } from "../trader/files.ts";

// Files that a command writes for its user: complete and on disk, or as they were before.

/** Throws FileUnwritable if a file could not be written there. Changes nothing. */
export function assertWritable(file: string): void {
  writing(file, () => {
    const found = statSync(file, { throwIfNoEntry: false });
    if (found?.isDirectory() === true) throw new FileUnwritable(file, "it is a directory");
    if (found !== undefined) accessSync(file, constants.W_OK);
    if (found === undefined || found.isFile()) accessSync(dirname(placeOf(file)), constants.W_OK);
  });
}

/** Writes a file as a whole: a crash leaves the old one or the new one. Throws FileUnwritable. */
export function writeResult(file: string, text: string): void {
  writing(file, () => {
    const found = statSync(file, { throwIfNoEntry: false });
    // A pipe or a terminal has nothing that could be replaced.
    if (found !== undefined && !found.isFile()) {
      writeFileSync(file, text);
      return;
    }
    const place = placeOf(file);
    const draft = join(dirname(place), `.${basename(place)}.${process.pid}.new`);
    try {
      const descriptor = openSync(draft, "w", found === undefined ? 0o666 : found.mode & 0o777);
      try {
        writeFileSync(descriptor, text);
        fsyncSync(descriptor);
      } finally {
        closeSync(descriptor);
      }
      renameSync(draft, place);
    } finally {
      rmSync(draft, { force: true });
    }
    const directory = openSync(dirname(place), "r");
    try {
      fsyncSync(directory);
    } finally {
      closeSync(directory);
    }
  });
}

/** Behind a link stands the file that is meant. */
function placeOf(file: string): string {
  const found = lstatSync(file, { throwIfNoEntry: false });
  return found === undefined ? resolve(file) : realpathSync(file);
}

function writing(file: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (error instanceof FileUnwritable) throw error;
    throw new FileUnwritable(file, reasonOf(error));
  }
}
