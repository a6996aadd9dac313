import { z } from "zod";
import type { Outbox, OutboxEntry } from "./outbox.ts";
import { checked, checkedTransition, fromText, readRow, textOf, WalletRowDamaged } from "./storedForms.ts";
import type { WalletDatabase } from "./walletDatabase.ts";

/** The table of transitions written ahead; `account` names clearing house and account. */
export const OUTBOX_TABLE = `CREATE TABLE IF NOT EXISTS outbox (
  place INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, nullifier TEXT NOT NULL, new_note TEXT NOT NULL,
  epoch INTEGER NOT NULL, phase TEXT NOT NULL, recorded_at INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT,
  transition TEXT NOT NULL, UNIQUE (account, nullifier, new_note)
)`;

const outlineSchema = z.object({ place: z.number() });
const statusSchema = z.strictObject({
  epoch: z.int().min(0),
  phase: z.enum(["trading", "window"]),
  recordedAt: z.int().min(0),
  status: z.enum(["waiting", "refused"]),
  reason: z.string().optional(),
});
const rowSchema = z.object({
  nullifier: z.string(),
  new_note: z.string(),
  epoch: z.number(),
  phase: z.string(),
  recorded_at: z.number(),
  status: z.string(),
  reason: z.string().nullable(),
  transition: z.string(),
});

/** The outbox of one account in a wallet's database. `entries` throws WalletRowDamaged, `record` BadRecord. */
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
    record: ({ transition, ...rest }) => {
      const { nullifier, newNote } = checkedTransition(transition);
      const { epoch, phase, recordedAt, status, reason = null } = checked("outbox", statusSchema, rest);
      const name = [account, nullifier.toString(), newNote.toString()];
      insert.run(...name, epoch, phase, recordedAt, status, reason, textOf(transition));
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
  return readRow("outbox", place, () => {
    const { nullifier, new_note, recorded_at, reason, transition: text, ...others } = rowSchema.parse(row);
    const transition = checkedTransition(fromText(text));
    if (transition.nullifier.toString() !== nullifier || transition.newNote.toString() !== new_note) {
      throw new WalletRowDamaged("outbox", place, "it stands under another's name");
    }
    const { epoch, phase, status } = others;
    const read = { epoch, phase, status, recordedAt: recorded_at, ...(reason === null ? {} : { reason }) };
    return { transition, reason: undefined, ...checked("outbox", statusSchema, read) };
  });
}
