import { writeSync } from "node:fs";
import { type Journal, openJournal } from "../../src/exchange/journal/journal.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import { ARCHIVE_EVERY, archivedBy, IDENTITY, recordOf } from "./journalRecords.ts";

// A process that appends records until it is killed, or until it fails. It prints each number that it knows to be durable,
// and at last the code of the error that ended it.

const directory = process.argv[2] ?? "";
const perTurn = Number(process.argv[3] ?? 1);
const until = Number(process.argv[4] ?? Infinity);
/** Whether each turn waits for its records, so that each is a commit of its own. */
const oneByOne = until < Infinity;

const say = (line: string) => writeSync(1, `${line}\n`);

const code = (error: unknown) => (error instanceof HedgerowError ? error.code : String(error));

try {
  const journal = await openJournal({ directory, identity: IDENTITY });
  say("open");
  await write(journal).catch(async (error: unknown) => {
    say(code(error));
    await journal.durable().then(
      () => say("acknowledged after the failure"),
      () => say("refused after the failure"),
    );
    await journal.close();
  });
} catch (error) {
  say(code(error));
}

async function write(journal: Journal): Promise<void> {
  while (journal.last < until) {
    for (let i = 0; i < perTurn; i++) {
      const number = journal.last + 1;
      journal.append(recordOf(number), number % ARCHIVE_EVERY === 0 ? [archivedBy(number)] : []);
    }
    const number = journal.last;
    const durable = journal.durable().then(() => say(String(number)));
    durable.catch(() => undefined);
    await (oneByOne || journal.pending > 200 ? durable : new Promise(setImmediate));
    if (number % 500 < perTurn) await journal.saveSnapshot(number, JSON.stringify({ number }));
  }
  await journal.durable();
  say("idle");
  setInterval(() => undefined, 60_000);
}
