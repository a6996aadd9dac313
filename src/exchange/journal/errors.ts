import { HedgerowError } from "../../protocol/errors.ts";

/** Another process, or another part of this one, has the journal open (spec JRN-5). */
export class JournalInUse extends HedgerowError {
  constructor(directory: string) {
    super(
      "JournalInUse",
      `the journal in ${directory} is open elsewhere: stop the other exchange first, or name another directory (spec JRN-5)`,
      { directory },
    );
  }
}

/** The journal belongs to another chain or clearing house (spec JRN-4). */
export class JournalOfAnother extends HedgerowError {
  constructor(directory: string, found: string, wanted: string) {
    super(
      "JournalOfAnother",
      `the journal in ${directory} is that of ${found}, not of ${wanted}: name the directory that belongs to it (spec JRN-4)`,
      { directory, found, wanted },
    );
  }
}

/** The journal has a layout that this program does not know (spec JRN-4). */
export class JournalVersionUnknown extends HedgerowError {
  constructor(directory: string, found: number, wanted: number) {
    super(
      "JournalVersionUnknown",
      `the journal in ${directory} has layout ${found}, this program knows ${wanted}: run the release that wrote it (spec JRN-4)`,
      { directory, found, wanted },
    );
  }
}

/** The directory or its files cannot be used at all. */
export class JournalUnusable extends HedgerowError {
  constructor(directory: string, reason: string) {
    super(
      "JournalUnusable",
      `the journal in ${directory} cannot be opened (${reason}): give this process a directory that it may write to`,
      { directory, reason },
    );
  }
}

/** What the journal holds is not what was written (spec JRN-6). */
export class JournalCorrupt extends HedgerowError {
  constructor(directory: string, reason: string) {
    super(
      "JournalCorrupt",
      `the journal in ${directory} is damaged (${reason}): keep a copy of the directory and restore it from a backup (spec JRN-6)`,
      { directory, reason },
    );
  }
}

/** A commit failed. Nothing was acknowledged since, and nothing will be until a restart (spec JRN-3). */
export class JournalFailed extends HedgerowError {
  constructor(directory: string, reason: string) {
    super(
      "JournalFailed",
      `the journal in ${directory} has stopped (${reason}): remove the cause, such as a full disk, and restart (spec JRN-3)`,
      { directory, reason },
    );
  }
}

/** The journal was closed by its owner. */
export class JournalClosed extends HedgerowError {
  constructor(directory: string) {
    super("JournalClosed", `the journal in ${directory} is closed: open it again`, { directory });
  }
}

/** A record does not follow the one before it (spec JRN-1). */
export class RecordOutOfOrder extends HedgerowError {
  constructor(number: number, expected: number) {
    super("RecordOutOfOrder", `record ${number} does not follow: the next one is ${expected} (spec JRN-1)`, {
      number,
      expected,
    });
  }
}

/** A snapshot or a pruning that would leave the journal unable to restart (spec JRN-7, JRN-8). */
export class RecordNotThere extends HedgerowError {
  constructor(what: string, number: number, least: number, most: number) {
    super("RecordNotThere", `${what} names record ${number}: name one from ${least} to ${most} (spec JRN-7, JRN-8)`, {
      number,
      least,
      most,
    });
  }
}

/** An order's name is not a 32-byte id and a 64-bit number. */
export class MalformedOrderName extends HedgerowError {
  constructor(ticketId: string, clientId: bigint) {
    super(
      "MalformedOrderName",
      `(${ticketId}, ${clientId}) names no order: give a 32-byte hex ticketId and a 64-bit clientId (spec ORD-3)`,
      { ticketId, clientId },
    );
  }
}
