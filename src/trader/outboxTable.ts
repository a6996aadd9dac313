import { z } from "zod";
import { fromJson, toJson } from "../exchange/command.ts";
import { parseTransition } from "../exchange/input.ts";
import { HedgerowError } from "../protocol/errors.ts";
import { reasonOf } from "./files.ts";
import type { Outbox, OutboxEntry } from "./outbox.ts";
import type { WalletDatabase } from "./walletDatabase.ts";

/** An entry of the outbox is not what this program writes. */
export class OutboxDamaged extends HedgerowError {
  constructor(place: number, reason: string) {
    super(
      "OutboxDamaged",
      `entry ${place} of the outbox cannot be read (${reason}): move wallet.sqlite away and recover the wallet`,
      { place, reason },
    );
  }
}

/** The table of transitions written ahead; `account` names clearing house and account. */
export const OUTBOX_TABLE = `CREATE TABLE IF NOT EXISTS outbox (
  place INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, nullifier TEXT NOT NULL, new_note TEXT NOT NULL,
  epoch INTEGER NOT NULL, phase TEXT NOT NULL, recorded_at INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT,
  transition TEXT NOT NULL, UNIQUE (account, nullifier, new_note)
)`;

const outlineSchema = z.object({ place: z.number() });
const rowSchema = z.object({
  nullifier: z.string(),
  new_note: z.string(),
  epoch: z.int().min(0),
  phase: z.enum(["trading", "window"]),
  recorded_at: z.int().min(0),
  status: z.enum(["waiting", "refused"]),
  reason: z.string().nullable(),
  transition: z.string(),
});

/** The outbox of one account in a wallet's database. Its `entries` throw OutboxDamaged, `record` MalformedMessage. */
export function outboxTable(database: WalletDatabase, account: string): Outbox {
  const insert = database.prepare(
    `INSERT INTO outbox (account, nullifier, new_note, epoch, phase, recorded_at, status, reason, transition)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (account, nullifier, new_note) DO UPDATE SET epoch = excluded.epoch, phase = excluded.phase,
       recorded_at = excluded.recorded_at, status = excluded.status, reason = excluded.reason,
       transition = excluded.transition`,
  );
  const named = "WHERE account = ? AND nullifier = ? AND new_note = ?";
  const refuse = database.prepare(`UPDATE outbox SET status = 'refused', reason = ? ${named}`);
  const remove = database.prepare(`DELETE FROM outbox ${named}`);
  const select = database.prepare("SELECT * FROM outbox WHERE account = ? ORDER BY place");

  return {
    record: ({ transition, epoch, phase, recordedAt, status, reason = null }) => {
      // What could not be read back must not be written.
      const { nullifier, newNote } = parseTransition(transition);
      const name = [account, nullifier.toString(), newNote.toString()];
      insert.run(...name, epoch, phase, recordedAt, status, reason, toJson(transition));
    },
    refuse: (nullifier, newNote, reason) => {
      refuse.run(reason, account, nullifier.toString(), newNote.toString());
    },
    entries: () => select.all(account).map(entryOf),
    remove: (nullifier, newNote) => {
      remove.run(account, nullifier.toString(), newNote.toString());
    },
  };
}

function entryOf(row: unknown): OutboxEntry {
  const { place } = outlineSchema.parse(row);
  try {
    const { nullifier, new_note, epoch, phase, recorded_at, status, reason, ...stored } = rowSchema.parse(row);
    const transition = parseTransition(fromJson(z.unknown(), stored.transition));
    if (transition.nullifier.toString() !== nullifier || transition.newNote.toString() !== new_note) {
      throw new OutboxDamaged(place, "it stands under another's name");
    }
    return { transition, epoch, phase, recordedAt: recorded_at, status, reason: reason ?? undefined };
  } catch (error) {
    throw error instanceof OutboxDamaged ? error : new OutboxDamaged(place, reasonOf(error));
  }
}
