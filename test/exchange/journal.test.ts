import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  closeSync,
  cpSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Worker } from "node:worker_threads";
import fc from "fast-check";
import {
  type ArchivedOrder,
  type Journal,
  type JournalRecord,
  openJournal,
} from "../../src/exchange/journal/journal.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import { ARCHIVE_EVERY, archivedBy, IDENTITY, recordOf } from "../support/journalRecords.ts";

// No test opens a file of a journal that is open in this process: closing the file again would drop the journal's locks.

const scratch = mkdtempSync(join(tmpdir(), "hedgerow-journal-"));
after(() => rmSync(scratch, { recursive: true }));
const newDirectory = () => join(mkdtempSync(join(scratch, "j")), "journal");
const open = (directory: string, identity = IDENTITY) => openJournal({ directory, identity });
const main = (directory: string) => join(directory, "journal.sqlite");
const wal = (directory: string) => join(directory, "journal.sqlite-wal");

/** Opens, works, closes. */
async function using<T>(directory: string, work: (journal: Journal) => T | Promise<T>): Promise<T> {
  const journal = await open(directory);
  try {
    return await work(journal);
  } finally {
    await journal.close();
  }
}

function appendUpTo(journal: Journal, last: number): void {
  for (let number = journal.last + 1; number <= last; number++) {
    journal.append(recordOf(number), number % ARCHIVE_EVERY === 0 ? [archivedBy(number)] : []);
  }
}

/** A journal with records 1 to `last`, closed. */
async function written(last: number): Promise<string> {
  const directory = newDirectory();
  await using(directory, (journal) => appendUpTo(journal, last));
  return directory;
}

/** Changes the file of a closed journal with SQL. */
function tamper(directory: string, sql: string): void {
  const database = new DatabaseSync(main(directory));
  database.exec(sql);
  database.close();
}

/** Everything after a number; each record is compared with what its number says. Returns the last number. */
function checkRecords(journal: Journal, after = 0): number {
  let last = after;
  for (const record of journal.records(after)) {
    last += 1;
    assert.deepEqual(record, recordOf(last));
    if (last % ARCHIVE_EVERY !== 0) continue;
    const order = archivedBy(last);
    assert.deepEqual(journal.archived(order.ticketId, order.clientId), order);
  }
  return last;
}

type Writer = { readonly process: ChildProcess; readonly ended: Promise<unknown>; readonly lines: () => string[] };

/** Starts the writing process, under a limit on the size of its files in KiB if one is given. */
function startWriter(directory: string, perTurn: number, until = Infinity, fileKiB?: number): Writer {
  const script = fileURLToPath(new URL("../support/journalWriter.ts", import.meta.url));
  const command = [process.execPath, script, directory, String(perTurn), String(until)];
  const limited = fileKiB === undefined ? "" : `ulimit -f ${fileKiB}; `;
  // To files, not pipes: what was written there outlives the writer, and it never has to wait for this process.
  const output = join(mkdtempSync(join(scratch, "w")), "output");
  const files = [openSync(output, "w"), openSync(`${output}.errors`, "w")] as const;
  const child = spawn("bash", ["-c", `${limited}exec "$@"`, "bash", ...command], { stdio: ["ignore", ...files] });
  for (const file of files) closeSync(file);
  // The last line may be cut by the kill.
  const lines = () => readFileSync(output, "utf8").split("\n").slice(0, -1);
  return { process: child, ended: once(child, "close"), lines };
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `timed out: ${what}`);
    await sleep(2);
  }
}

async function kill(writer: Writer): Promise<void> {
  writer.process.kill("SIGKILL");
  await writer.ended;
}

const durableNumbers = (writer: Writer) => writer.lines().map(Number).filter(Number.isInteger);

test("a record that does not follow the last one is refused, and changes nothing [JRN-1]", async () => {
  await using(newDirectory(), (journal) => {
    appendUpTo(journal, 2);
    for (const number of [-1, 0, 1, 2, 4, 2.5, NaN]) {
      assert.throws(() => journal.append({ ...recordOf(3), number }), { code: "RecordOutOfOrder" });
    }
    assert.equal(journal.last, 2);
    appendUpTo(journal, 3);
  });
});

test("what was appended is read back before it is durable, after it, and after a restart [JRN-1, JRN-2]", async () => {
  const directory = newDirectory();
  await using(directory, async (journal) => {
    assert.equal(journal.newestSnapshot(), undefined);
    assert.deepEqual([...journal.records(0)], []);
    appendUpTo(journal, 1000);
    assert.equal(journal.pending, 1000);
    assert.deepEqual(journal.record(1000), recordOf(1000));
    assert.equal(journal.record(1001), undefined);
    assert.equal(journal.record(0), undefined);
    await journal.durable();
    assert.equal(journal.pending, 0);
    assert.deepEqual(journal.record(1000), recordOf(1000));
    assert.equal(checkRecords(journal), 1000);
  });
  await using(directory, (journal) => {
    assert.equal(journal.last, 1000);
    assert.equal(checkRecords(journal), 1000);
    assert.equal(checkRecords(journal, 990), 1000);
    appendUpTo(journal, 1001);
  });
  await using(directory, (journal) => assert.equal(checkRecords(journal), 1001));
});

test("a process killed at any moment under load loses no record that it called durable [JRN-2, JRN-5]", async () => {
  const directory = newDirectory();
  let before = 0;
  for (let round = 0; round < 20; round++) {
    const writer = startWriter(directory, 1 + ((round * 7) % 40));
    await until("the writer opens the journal", () => writer.lines().length > 0);
    await sleep(Math.random() * 80);
    await kill(writer);
    const durable = Math.max(before, ...durableNumbers(writer));
    before = await using(directory, (journal) => {
      const snapshot = journal.newestSnapshot();
      if (snapshot !== undefined) assert.deepEqual(JSON.parse(snapshot.body), { number: snapshot.number });
      const last = checkRecords(journal);
      assert.equal(last, journal.last);
      assert.ok(last >= durable, `record ${durable} was durable, the journal ends at ${last}`);
      return last;
    });
  }
  assert.ok(before > 1000, `only ${before} records were written`);
});

test("on a full disk the journal stops, acknowledges nothing more, and a restart finds what was durable [JRN-3]", async () => {
  const directory = newDirectory();
  const writer = startWriter(directory, 5, Infinity, 600);
  await writer.ended;
  const lines = writer.lines();
  assert.deepEqual(lines.slice(-2), ["JournalFailed", "refused after the failure"]);
  const durable = Math.max(...durableNumbers(writer));
  assert.ok(durable > 0);
  await using(directory, (journal) => {
    assert.ok(checkRecords(journal) >= durable);
    appendUpTo(journal, journal.last + 10);
  });
});

test("after a failed commit everything is refused, and what waits is told [JRN-3]", async () => {
  const directory = newDirectory();
  const journal = await open(directory);
  appendUpTo(journal, 3);
  await journal.durable();
  tamper(directory, "DROP TABLE order_states");
  appendUpTo(journal, 6);
  const waiting = [journal.durable(), journal.saveSnapshot(6, "{}")];
  for (const promise of waiting) await assert.rejects(promise, { code: "JournalFailed" });
  assert.equal(journal.failure?.code, "JournalFailed");
  assert.throws(() => appendUpTo(journal, 7), { code: "JournalFailed" });
  assert.throws(() => journal.record(1), { code: "JournalFailed" });
  assert.throws(() => journal.archived(archivedBy(3).ticketId, 0n), { code: "JournalFailed" });
  assert.throws(() => [...journal.records(0)], { code: "JournalFailed" });
  await assert.rejects(journal.durable(), { code: "JournalFailed" });
  await journal.close();
});

test("the death of the writing thread is a failure [JRN-3]", async () => {
  const directory = newDirectory();
  const workers: Worker[] = [];
  const remember = (worker: Worker) => void workers.push(worker);
  process.on("worker", remember);
  const journal = await open(directory);
  process.off("worker", remember);
  appendUpTo(journal, 3);
  await journal.durable();
  const died = Promise.all(workers.map((worker) => worker.terminate()));
  appendUpTo(journal, 4);
  await assert.rejects(journal.durable(), { code: "JournalFailed" });
  await died;
  await journal.close();
  await using(directory, (again) => assert.ok(checkRecords(again) >= 3));
});

test("a failure while closing is told by close, and a closed journal refuses everything [JRN-3]", async () => {
  const failing = newDirectory();
  const journal = await open(failing);
  tamper(failing, "DROP TABLE order_states");
  appendUpTo(journal, 3);
  await assert.rejects(journal.close(), { code: "JournalFailed" });

  const closed = await open(newDirectory());
  const closing = closed.close();
  assert.throws(() => appendUpTo(closed, 1), { code: "JournalClosed" });
  await closing;
  await closed.close();
  assert.throws(() => closed.record(1), { code: "JournalClosed" });
  await assert.rejects(closed.durable(), { code: "JournalClosed" });
});

test("a journal of another chain, and one of another layout, are refused and left as they are [JRN-4]", async () => {
  const directory = await written(10);
  await assert.rejects(open(directory, "chain 1"), { code: "JournalOfAnother", message: /chain 31337.*chain 1/ });
  await using(directory, (journal) => assert.equal(checkRecords(journal), 10));
  tamper(directory, "PRAGMA user_version = 2");
  await assert.rejects(open(directory), { code: "JournalVersionUnknown", message: /layout 2/ });
  tamper(directory, "PRAGMA user_version = 1");
  await using(directory, (journal) => assert.equal(checkRecords(journal), 10));
});

test("a second opening is refused while the first lives, and not after it was killed [JRN-5]", async () => {
  const directory = newDirectory();
  await using(directory, async (journal) => {
    await assert.rejects(open(directory), { code: "JournalInUse" });
    // The refused opening has not dropped the lock of the first: another process is refused as well.
    const second = startWriter(directory, 1, 1);
    await second.ended;
    assert.deepEqual([second.lines(), second.process.exitCode], [["JournalInUse"], 0]);
    appendUpTo(journal, 5);
  });
  const holder = startWriter(directory, 1, 6);
  await until("the holder is idle", () => holder.lines().includes("idle"));
  await assert.rejects(open(directory), { code: "JournalInUse" });
  await kill(holder);
  await using(directory, (journal) => assert.equal(checkRecords(journal), 6));
});

test("a torn or scribbled end of the write-ahead log costs at most the records behind it [JRN-6]", async () => {
  const source = newDirectory();
  const writer = startWriter(source, 1, 60);
  await until("the writer is idle", () => writer.lines().includes("idle"));
  await kill(writer);
  const size = statSync(wal(source)).size;
  const outcomes = new Set<number>();
  for (let i = 0; i < 16; i++) {
    const directory = newDirectory();
    cpSync(source, directory, { recursive: true });
    const at = Math.floor((size * (i >> 1)) / 8);
    if (i % 2 === 0) truncateSync(wal(directory), at);
    else {
      const bytes = readFileSync(wal(directory));
      writeFileSync(wal(directory), bytes.fill(0xa5, at, at + 100));
    }
    await using(directory, (journal) => {
      const last = checkRecords(journal);
      outcomes.add(last);
      appendUpTo(journal, last + 5);
    });
    await using(directory, (journal) => checkRecords(journal));
  }
  assert.ok(outcomes.size > 4, "the cuts fell on different records");

  const longer = newDirectory();
  cpSync(source, longer, { recursive: true });
  appendFileSync(wal(longer), Buffer.alloc(5000, 7));
  await using(longer, (journal) => assert.equal(checkRecords(journal), 60));
});

test("a file that is no journal, an empty, a cut and a missing one are reported as damage [JRN-6]", async () => {
  const cases: readonly ((directory: string) => void)[] = [
    (directory) => writeFileSync(main(directory), "This is a text file.".repeat(1000)),
    (directory) => truncateSync(main(directory), 0),
    (directory) => truncateSync(main(directory), 4096),
    (directory) => truncateSync(main(directory), 16_384 * 3),
    (directory) => tamper(directory, "PRAGMA application_id = 7"),
    (directory) => tamper(directory, "DROP TABLE snapshots"),
    (directory) => tamper(directory, "DELETE FROM meta"),
    (directory) => tamper(directory, "DELETE FROM records WHERE number = 1"),
    (directory) => tamper(directory, "DELETE FROM records WHERE number = 200"),
    (directory) => tamper(directory, "DELETE FROM records WHERE number > 350"),
    (directory) => tamper(directory, "DELETE FROM records"),
    (directory) => tamper(directory, "UPDATE records SET body = body || ' ' WHERE number = 300"),
    (directory) => tamper(directory, "UPDATE records SET number = 401 WHERE number = 300"),
    (directory) => tamper(directory, "UPDATE order_states SET state = '{}' WHERE archived_by = 300"),
    (directory) => tamper(directory, "UPDATE orders SET place = 7 WHERE place = 8"),
    (directory) => {
      writeFileSync(wal(directory), "");
      unlinkSync(main(directory));
    },
  ];
  for (const damage of cases) {
    const directory = newDirectory();
    await using(directory, async (journal) => {
      appendUpTo(journal, 400);
      await journal.saveSnapshot(400, "{}");
    });
    damage(directory);
    await assert.rejects(
      using(directory, (journal) => checkRecords(journal)),
      { code: "JournalCorrupt" },
      damage.toString(),
    );
  }
});

test("a bit that flips anywhere in the file is noticed or does no harm to what is read [JRN-6]", async () => {
  const source = newDirectory();
  const snapshot = "0123456789".repeat(8000);
  await using(source, async (journal) => {
    appendUpTo(journal, 100);
    await journal.saveSnapshot(50, snapshot);
    await journal.saveSnapshot(90, snapshot);
  });
  const bytes = readFileSync(main(source));
  const directory = newDirectory();
  const named = ["JournalCorrupt", "JournalOfAnother", "JournalVersionUnknown", "JournalUnusable"];
  let noticed = 0;
  for (let i = 0; i < 40; i++) {
    // Half of them in the first pages, where the header and the tables' roots lie.
    const at = Math.floor(Math.random() * (i % 2 === 0 ? bytes.length : 4096 * 8));
    cpSync(source, directory, { recursive: true });
    writeFileSync(main(directory), Buffer.from(bytes).fill((bytes[at] ?? 0) ^ (1 << (i % 8)), at, at + 1));
    try {
      await using(directory, (journal) => {
        let last = 0;
        for (const record of journal.records(0)) assert.deepEqual(record, recordOf(++last), `byte ${at}`);
        assert.equal(last, 100, `byte ${at}`);
        const found = journal.newestSnapshot();
        assert.ok(found !== undefined && [50, 90].includes(found.number), `byte ${at}`);
        assert.equal(found.body, snapshot, `byte ${at}`);
      });
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      assert.ok(error instanceof HedgerowError && named.includes(error.code), `byte ${at}: ${String(error)}`);
      noticed += 1;
    }
    rmSync(directory, { recursive: true });
  }
  assert.ok(noticed > 0);
});

test("a place that cannot be written to is refused with the reason [JRN-10]", async () => {
  const file = join(scratch, "file");
  writeFileSync(file, "");
  await assert.rejects(open(join(file, "journal")), { code: "JournalUnusable", message: /ENOTDIR/ });
  await assert.rejects(open(file), { code: "JournalUnusable" });
});

test("the directory and its files are for the owner alone [JRN-10]", async () => {
  const directory = newDirectory();
  await using(directory, async (journal) => {
    appendUpTo(journal, 3);
    await journal.durable();
    const mode = (path: string) => statSync(path).mode & 0o777;
    assert.equal(mode(directory), 0o700);
    const files = readdirSync(directory);
    assert.deepEqual(files.sort(), ["journal.sqlite", "journal.sqlite-shm", "journal.sqlite-wal", "lock"]);
    for (const name of files) assert.equal(mode(join(directory, name)), 0o600, name);
  });
});

test("the two newest snapshots stay, a damaged one gives way to the older, and one of no record is refused [JRN-7]", async () => {
  const directory = newDirectory();
  const large = JSON.stringify({ text: "€ß𝒳".repeat(200_000) });
  await using(directory, async (journal) => {
    appendUpTo(journal, 10);
    await assert.rejects(journal.saveSnapshot(11, "{}"), { code: "RecordNotThere" });
    const first = journal.saveSnapshot(4, "four");
    const second = journal.saveSnapshot(6, "six");
    appendUpTo(journal, 20);
    await Promise.all([first, second, journal.saveSnapshot(20, large)]);
    assert.equal(journal.pending, 0);
    assert.deepEqual(journal.newestSnapshot(), { number: 20, body: large });
    await assert.rejects(journal.saveSnapshot(19, "{}"), { code: "RecordNotThere" });
    await journal.saveSnapshot(20, large);
  });
  await using(directory, (journal) => {
    assert.deepEqual(journal.newestSnapshot(), { number: 20, body: large });
    assert.equal(checkRecords(journal), 20);
  });
  tamper(directory, "UPDATE snapshot_parts SET text = x'00' WHERE number = 20 AND part = 1");
  await using(directory, (journal) => assert.deepEqual(journal.newestSnapshot(), { number: 6, body: "six" }));
  tamper(directory, "DELETE FROM snapshot_parts");
  await assert.rejects(
    using(directory, (journal) => journal.newestSnapshot()),
    { code: "JournalCorrupt" },
  );
});

test("a snapshot that was not finished does not exist, and leaves nothing behind [JRN-7]", async () => {
  const directory = await written(10);
  tamper(directory, "INSERT INTO snapshot_parts (number, part, text) VALUES (9, 0, x'7b'), (9, 1, x'7d')");
  await using(directory, async (journal) => {
    assert.equal(journal.newestSnapshot(), undefined);
    await journal.saveSnapshot(9, "nine");
    assert.deepEqual(journal.newestSnapshot(), { number: 9, body: "nine" });
  });
});

test("a snapshot of a record that is not there is damage [JRN-6, JRN-7]", async () => {
  const directory = await written(10);
  tamper(directory, "INSERT INTO snapshots (number, parts, checksum) VALUES (11, 0, 11)");
  await assert.rejects(open(directory), { code: "JournalCorrupt", message: /record 11/ });
});

test("records before a number are forgotten with their archived orders, but none that a snapshot needs [JRN-8]", async () => {
  const directory = newDirectory();
  await using(directory, async (journal) => {
    appendUpTo(journal, 3000);
    await assert.rejects(journal.forget(2), { code: "RecordNotThere" });
    await journal.saveSnapshot(2500, "{}");
    await journal.saveSnapshot(2600, "{}");
    await assert.rejects(journal.forget(2502), { code: "RecordNotThere" });
    const forgetting = journal.forget(2401);
    appendUpTo(journal, 3100);
    await forgetting;
  });
  await using(directory, async (journal) => {
    assert.equal(journal.record(2400), undefined);
    assert.throws(() => [...journal.records(2399)], { code: "JournalCorrupt" });
    assert.equal(checkRecords(journal, 2400), 3100);
    assert.equal(journal.archived(archivedBy(2400).ticketId, archivedBy(2400).clientId), undefined);
    await journal.forget(2501);
    await journal.forget(1);
  });
  await using(directory, (journal) => assert.equal(checkRecords(journal, 2500), 3100));
});

test("everything may be forgotten after a snapshot of it, and numbers go on [JRN-1, JRN-8]", async () => {
  const directory = newDirectory();
  await using(directory, async (journal) => {
    appendUpTo(journal, 7);
    await journal.saveSnapshot(7, "{}");
    await journal.forget(8);
  });
  await using(directory, (journal) => {
    assert.equal(journal.last, 7);
    assert.deepEqual([...journal.records(7)], []);
    appendUpTo(journal, 8);
  });
  await using(directory, (journal) => assert.equal(checkRecords(journal, 7), 8));
});

test("an order archived twice has its later state, whether that is durable or not [JRN-9]", async () => {
  const directory = newDirectory();
  const order = archivedBy(1);
  const later: ArchivedOrder = { ...order, record: 1, state: '{"later":true}' };
  const find = (journal: Journal) => journal.archived(order.ticketId, order.clientId);
  await using(directory, async (journal) => {
    assert.equal(find(journal), undefined);
    journal.append(recordOf(1), [order]);
    assert.deepEqual(find(journal), order);
    await journal.durable();
    assert.deepEqual(find(journal), order);
    journal.append(recordOf(2), [later]);
    assert.deepEqual(find(journal), later);
    await journal.durable();
    assert.deepEqual(find(journal), later);
    assert.equal(journal.archived(order.ticketId, order.clientId + 1n), undefined);
    assert.equal(journal.archived(archivedBy(2).ticketId, order.clientId), undefined);
  });
  await using(directory, async (journal) => {
    assert.deepEqual(find(journal), later);
    // Forgetting the record that archived the first state leaves the second.
    await journal.saveSnapshot(2, "{}");
    await journal.forget(2);
    assert.deepEqual(find(journal), later);
    await journal.forget(3);
    assert.equal(find(journal), undefined);
  });
});

test("a name that is no order's is refused, and its record with it [JRN-9]", async () => {
  await using(newDirectory(), (journal) => {
    const names: readonly (readonly [`0x${string}`, bigint])[] = [
      ["0x", 1n],
      [`0x${"0".repeat(63)}g`, 1n],
      [`0x${"0".repeat(66)}`, 1n],
      [`0x${"0".repeat(64)}`, -1n],
      [`0x${"0".repeat(64)}`, 1n << 64n],
    ];
    for (const [ticketId, clientId] of names) {
      assert.throws(() => journal.archived(ticketId, clientId), { code: "MalformedOrderName" });
      const orders = [archivedBy(1), { ...archivedBy(1), ticketId, clientId }];
      assert.throws(() => journal.append(recordOf(1), orders), { code: "MalformedOrderName" });
    }
    assert.equal(journal.last, 0);
    assert.equal(journal.archived(archivedBy(1).ticketId, archivedBy(1).clientId), undefined);
    const largest = { ...archivedBy(1), ticketId: `0x${"f".repeat(64)}`, clientId: (1n << 64n) - 1n } as const;
    journal.append(recordOf(1), [largest]);
    assert.deepEqual(journal.archived(largest.ticketId, largest.clientId), largest);
  });
});

type Step =
  | { readonly do: "append"; readonly body: string; readonly outcome: string; readonly orders: readonly number[] }
  | { readonly do: "durable" | "reopen" | "turn" }
  | { readonly do: "snapshot"; readonly back: number };

test("any order of appending, waiting, snapshots and restarts reads back what was appended [JRN-1, JRN-7, JRN-9]", async () => {
  const json = fc.json({ stringUnit: "binary" });
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        do: fc.constant("append" as const),
        body: json,
        outcome: json,
        orders: fc.array(fc.nat(4), { maxLength: 3 }),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constantFrom("durable" as const, "reopen" as const, "turn" as const) }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("snapshot" as const), back: fc.nat(5) }) },
  );
  const nameOf = (order: number) => archivedBy(1 + (order % 3)).ticketId;

  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const directory = newDirectory();
      const records: JournalRecord[] = [];
      const archive = new Map<number, ArchivedOrder>();
      let snapshot: { number: number; body: string } | undefined;
      let journal = await open(directory);
      const check = () => {
        assert.equal(journal.last, records.length);
        for (const record of records) assert.deepEqual(journal.record(record.number), record);
        for (let order = 0; order <= 4; order++) {
          assert.deepEqual(journal.archived(nameOf(order), BigInt(order)), archive.get(order));
        }
      };
      try {
        for (const step of steps) {
          if (step.do === "append") {
            const number = records.length + 1;
            const orders = step.orders.map((order) => {
              const state = `${order} ended in ${number}`;
              return { ticketId: nameOf(order), clientId: BigInt(order), record: number, state };
            });
            journal.append({ number, body: step.body, outcome: step.outcome }, orders);
            records.push({ number, body: step.body, outcome: step.outcome });
            for (const order of orders) archive.set(Number(order.clientId), order);
          } else if (step.do === "snapshot") {
            const number = Math.max(records.length - step.back, snapshot?.number ?? 0);
            if (number !== snapshot?.number) snapshot = { number, body: `state after ${number}` };
            await journal.saveSnapshot(number, snapshot.body);
          } else if (step.do === "durable") {
            await journal.durable();
            assert.equal(journal.pending, 0);
          } else if (step.do === "reopen") {
            await journal.close();
            journal = await open(directory);
            assert.deepEqual([...journal.records(0)], records);
          } else await new Promise(setImmediate);
          check();
          assert.deepEqual(journal.newestSnapshot(), snapshot);
        }
        await journal.close();
        journal = await open(directory);
        check();
        assert.deepEqual([...journal.records(0)], records);
      } finally {
        await journal.close();
        rmSync(directory, { recursive: true });
      }
    }),
    { numRuns: 15 },
  );
});
