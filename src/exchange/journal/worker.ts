import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { checksum, openWriter } from "./layout.ts";
import type { RecordGroup, Reply, Request } from "./messages.ts";

// The journal's writer. Everything that arrived while it was busy forms the next commit. Long work (snapshots, pruning)
// is done in small steps between commits, so that no record waits for it.

/** Bytes written between two checkpoints: bounds the WAL, and with it the time that recovery takes. */
const CHECKPOINT_BYTES = 8 << 20;
/** An archived order dirties about one page of the index at random. */
const PAGE_BYTES = 4096;
const SNAPSHOT_PART_BYTES = 256 << 10;
const FORGET_ROWS = 1_000;

const port = parentPort;
if (port === null) throw new TypeError("the journal's writer runs in a worker thread");
const directory: unknown = workerData;
if (typeof directory !== "string") throw new TypeError("the journal's writer needs a directory");

const database = openWriter(directory);
const sql = {
  begin: database.prepare("BEGIN IMMEDIATE"),
  commit: database.prepare("COMMIT"),
  addRecord: database.prepare("INSERT INTO records (number, body, outcome, checksum) VALUES (?, ?, ?, ?)"),
  addState: database.prepare(
    "INSERT INTO order_states (name, archived_by, record, state, checksum) VALUES (?, ?, ?, ?, ?)",
  ),
  addOrder: database.prepare(
    "INSERT INTO orders (name, place) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET place = excluded.place",
  ),
  checkpoint: database.prepare("PRAGMA wal_checkpoint(PASSIVE)"),
  newestSnapshots: database.prepare("SELECT number FROM snapshots ORDER BY number DESC LIMIT 2"),
  oldSnapshots: database.prepare(
    "DELETE FROM snapshots WHERE number NOT IN (SELECT number FROM snapshots ORDER BY number DESC LIMIT 2)",
  ),
  strayPart: database.prepare(
    "SELECT place FROM snapshot_parts WHERE number NOT IN (SELECT number FROM snapshots) LIMIT 1",
  ),
  dropPart: database.prepare("DELETE FROM snapshot_parts WHERE place = ?"),
  addPart: database.prepare("INSERT INTO snapshot_parts (number, part, text) VALUES (?, ?, ?)"),
  addSnapshot: database.prepare("INSERT INTO snapshots (number, parts, checksum) VALUES (?, ?, ?)"),
  hasSnapshot: database.prepare("SELECT 1 FROM snapshots WHERE number = ?"),
  forgotten: database.prepare("SELECT forgotten FROM meta"),
  setForgotten: database.prepare("UPDATE meta SET forgotten = ?"),
  dropRecords: database.prepare("DELETE FROM records WHERE number <= ?"),
  oldStates: database.prepare("SELECT place, name FROM order_states WHERE archived_by < ? ORDER BY place LIMIT ?"),
  dropState: database.prepare("DELETE FROM order_states WHERE place = ?"),
  dropOrder: database.prepare("DELETE FROM orders WHERE name = ? AND place = ?"),
};

/** A piece of long work: each step is one small transaction. */
type Task = { readonly task: number; readonly steps: Iterator<void, void> };
const tasks: Task[] = [];
let bytesSinceCheckpoint = 0;
let stopped = false;

port.on("message", (first: Request) =>
  guarded(() => {
    const groups: RecordGroup[] = [];
    let closing = false;
    for (let request: Request | undefined = first; request !== undefined; request = next()) {
      if (request.kind === "records") groups.push(request);
      else if (request.kind === "snapshot") begin(request.task, saveSnapshot(request.number, request.body));
      else if (request.kind === "forget") begin(request.task, forget(request.before));
      else closing = true;
    }
    if (groups.length > 0) commitGroups(groups);
    if (closing) close();
  }),
);

reply({ kind: "ready" });

function next(): Request | undefined {
  if (port === null) return undefined;
  const received: { message: Request } | undefined = receiveMessageOnPort(port);
  return received?.message;
}

function reply(message: Reply): void {
  port?.postMessage(message);
}

/** The first failure is the last thing that this thread does: what is on disk now is for the restart to find out. */
function guarded(work: () => void): void {
  if (stopped) return;
  try {
    work();
  } catch (error) {
    stopped = true;
    reply({ kind: "failed", reason: error instanceof Error ? error.message : String(error) });
  }
}

function inTransaction(work: () => void): void {
  sql.begin.run();
  work();
  sql.commit.run();
}

function commitGroups(groups: readonly RecordGroup[]): void {
  let last = 0;
  inTransaction(() => {
    for (const group of groups) last = writeGroup(group);
  });
  reply({ kind: "durable", number: last });
  checkpointIfDue();
}

/** Returns the number of the last record. */
function writeGroup(group: RecordGroup): number {
  let number = group.first - 1;
  for (const [i, body] of group.bodies.entries()) {
    number += 1;
    const outcome = group.outcomes[i] ?? "";
    sql.addRecord.run(number, body, outcome, checksum(number, body, outcome));
    bytesSinceCheckpoint += body.length + outcome.length;
  }
  for (const [i, nameText] of group.names.entries()) {
    const name = Buffer.from(nameText, "latin1");
    const record = group.acceptedBy[i] ?? 0;
    const state = group.states[i] ?? "";
    const added = sql.addState.run(name, group.archivedBy[i] ?? 0, record, state, checksum(record, name, state));
    sql.addOrder.run(name, added.lastInsertRowid);
    bytesSinceCheckpoint += state.length + PAGE_BYTES;
  }
  return number;
}

/** After the answer, never before it: it makes nothing more durable. */
function checkpointIfDue(): void {
  if (bytesSinceCheckpoint < CHECKPOINT_BYTES) return;
  sql.checkpoint.all();
  bytesSinceCheckpoint = 0;
}

function begin(task: number, steps: Iterator<void, void>): void {
  tasks.push({ task, steps });
  if (tasks.length === 1) setImmediate(() => guarded(stepTask));
}

/** One step, then the event loop: records that have arrived go first. */
function stepTask(): void {
  const current = tasks[0];
  if (current === undefined) return;
  if (current.steps.next().done === true) {
    tasks.shift();
    reply({ kind: "done", task: current.task });
  }
  checkpointIfDue();
  if (tasks.length > 0) setImmediate(() => guarded(stepTask));
}

function* saveSnapshot(number: number, body: string): Generator<void, void> {
  // The state at a record is always the same, so a second snapshot of it says nothing new.
  if (sql.hasSnapshot.get(number) !== undefined) return;
  yield* dropStrayParts();
  const text = Buffer.from(body);
  const parts = Math.ceil(text.length / SNAPSHOT_PART_BYTES);
  for (let part = 0; part < parts; part++) {
    const piece = text.subarray(part * SNAPSHOT_PART_BYTES, (part + 1) * SNAPSHOT_PART_BYTES);
    inTransaction(() => sql.addPart.run(number, part, piece));
    bytesSinceCheckpoint += piece.length;
    yield;
  }
  inTransaction(() => {
    sql.addSnapshot.run(number, parts, checksum(number, text));
    sql.oldSnapshots.run();
  });
  yield* dropStrayParts();
}

/** Parts of snapshots that were never finished, or that newer ones have replaced. */
function* dropStrayParts(): Generator<void, void> {
  for (let stray = sql.strayPart.get(); stray !== undefined; stray = sql.strayPart.get()) {
    const place = stray["place"] ?? null;
    inTransaction(() => sql.dropPart.run(place));
    bytesSinceCheckpoint += PAGE_BYTES;
    yield;
  }
}

function* forget(before: number): Generator<void, void> {
  let forgotten = Number(sql.forgotten.get()?.["forgotten"]);
  while (forgotten < before - 1) {
    forgotten = Math.min(forgotten + FORGET_ROWS, before - 1);
    inTransaction(() => {
      sql.dropRecords.run(forgotten);
      sql.setForgotten.run(forgotten);
    });
    bytesSinceCheckpoint += FORGET_ROWS * PAGE_BYTES;
    yield;
  }
  for (;;) {
    const old = sql.oldStates.all(before, FORGET_ROWS);
    if (old.length === 0) return;
    inTransaction(() => {
      for (const { place, name } of old) {
        sql.dropOrder.run(name ?? null, place ?? null);
        sql.dropState.run(place ?? null);
      }
    });
    bytesSinceCheckpoint += old.length * PAGE_BYTES;
    yield;
  }
}

/** Ends the work under way, then the thread. */
function close(): void {
  while (tasks.length > 0) stepTask();
  stopped = true;
  database.close();
  reply({ kind: "closed" });
  port?.close();
}
