import { once } from "node:events";
import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import { Worker } from "node:worker_threads";
import type { Hex } from "../../protocol/keys.ts";
import { JournalClosed, JournalCorrupt, JournalFailed, RecordNotThere, RecordOutOfOrder } from "./errors.ts";
import { checksum, claimDirectory, explained, packName, unpackName } from "./layout.ts";
import type { RecordGroup, Reply, Request } from "./messages.ts";

/** A command of the exchange with what it caused. Numbers rise by one from 1; both texts are JSON. */
export type JournalRecord = { readonly number: number; readonly body: string; readonly outcome: string };

/** What became of an order that left memory. `record`: number of its acceptance; `state`: JSON. */
export type ArchivedOrder = {
  readonly ticketId: Hex;
  readonly clientId: bigint;
  readonly record: number;
  readonly state: string;
};

/** The exchange's whole state after a record, as JSON. */
export type Snapshot = { readonly number: number; readonly body: string };

/** Where the journal lies, and what it is of: `identity` names chain, clearing house and format of the records. */
export type JournalOptions = { readonly directory: string; readonly identity: string };

/** How many rows one read takes: bounds memory, and no read holds up the writer for long. */
const READ_ROWS = 256;

/**
 * Opens the journal of a directory, or begins one. It is this process's alone until `close`, or until the process ends.
 * Throws JournalInUse, JournalOfAnother, JournalVersionUnknown, JournalCorrupt, JournalUnusable (spec JRN-4 to JRN-6).
 */
export async function openJournal({ directory, identity }: JournalOptions): Promise<Journal> {
  const { lock, reader } = claimDirectory(directory, identity);
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { workerData: directory, name: "journal" });
  try {
    await once(worker, "message");
    return new Journal(directory, lock, reader, worker);
  } catch (error) {
    await worker.terminate();
    reader.close();
    lock.close();
    throw explained(directory, error);
  }
}

/**
 * Durable record of the exchange's commands. Writing is queued and done by a worker thread, a group at a time; reading
 * is synchronous. After a failure nothing is read, taken or acknowledged any more (spec JRN-3).
 */
export class Journal {
  readonly #directory: string;
  readonly #lock: DatabaseSync;
  readonly #reader: DatabaseSync;
  readonly #worker: Worker;
  readonly #sql: ReturnType<typeof prepareReads>;

  /** Why nothing is possible any more. */
  #ended: JournalFailed | JournalClosed | undefined;
  #last: number;
  #durable: number;
  /** Records of this turn of the event loop, not posted yet. */
  #group: MutableGroup | undefined;
  /** Posted groups, oldest first, that are not durable yet. */
  readonly #posted: RecordGroup[] = [];
  /** Archived orders that are not durable yet, by packed name. */
  readonly #archiving = new Map<string, Archiving>();
  #waiters: Waiter[] = [];
  readonly #tasks = new Map<number, { readonly resolve: () => void; readonly reject: (error: Error) => void }>();
  #taskCount = 0;
  #closing = false;
  readonly #closed = Promise.withResolvers<undefined>();

  /** For openJournal only. Throws JournalCorrupt. */
  constructor(directory: string, lock: DatabaseSync, reader: DatabaseSync, worker: Worker) {
    this.#directory = directory;
    this.#lock = lock;
    this.#reader = reader;
    this.#worker = worker;
    this.#sql = prepareReads(reader);
    this.#last = this.#durable = this.#lastOnDisk();
    worker.on("message", (reply: Reply) => this.#hear(reply));
    worker.on("error", (error: Error) => this.#fail(`its writer died: ${error.message}`));
    worker.on("exit", (code) => {
      this.#fail(`its writer ended with code ${code}`);
      // Not before: the writer may be in the middle of a commit when the journal is given up.
      this.#lock.close();
      this.#closed.resolve(undefined);
    });
  }

  /** Number of the newest record, durable or not; 0 when there is none. */
  get last(): number {
    return this.#last;
  }

  /** Records that are not durable yet. The caller refuses work when there are too many. */
  get pending(): number {
    return this.#last - this.#durable;
  }

  /** Why the journal has stopped; undefined while it has not. */
  get failure(): JournalFailed | undefined {
    return this.#ended instanceof JournalFailed ? this.#ended : undefined;
  }

  /**
   * Queues a record, with the orders that it archives. They are on disk once `durable` has resolved.
   * Throws RecordOutOfOrder, MalformedOrderName, JournalFailed, JournalClosed; then nothing was queued.
   */
  append(record: JournalRecord, archive: readonly ArchivedOrder[] = []): void {
    this.#assertOpen();
    if (record.number !== this.#last + 1) throw new RecordOutOfOrder(record.number, this.#last + 1);
    const names = archive.map((order) => packName(order.ticketId, order.clientId).toString("latin1"));
    const group = (this.#group ??= this.#beginGroup(record.number));
    this.#last = record.number;
    group.bodies.push(record.body);
    group.outcomes.push(record.outcome);
    for (const [i, order] of archive.entries()) {
      const name = names[i] ?? "";
      group.names.push(name);
      group.archivedBy.push(record.number);
      group.acceptedBy.push(order.record);
      group.states.push(order.state);
      this.#archiving.set(name, { order, archivedBy: record.number });
    }
  }

  /** Resolves once everything appended so far is committed and synced. Rejects with JournalFailed or JournalClosed. */
  durable(): Promise<void> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    if (this.#durable === this.#last) return Promise.resolve();
    let waiter = this.#waiters.at(-1);
    if (waiter?.number !== this.#last) {
      waiter = { number: this.#last, ...Promise.withResolvers<undefined>() };
      this.#waiters.push(waiter);
    }
    return waiter.promise;
  }

  /** A record by number, durable or not; undefined where there is none, or it was forgotten. */
  record(number: number): JournalRecord | undefined {
    this.#assertOpen();
    if (number > this.#durable) return this.#pendingRecord(number);
    const row = this.#read(() => this.#sql.record.get(number));
    return row === undefined ? undefined : this.#checkedRecord(row);
  }

  /**
   * The durable records after a number, oldest first, few in memory at a time. Records that become durable meanwhile are
   * among them. Throws JournalCorrupt where one is missing or differs from what was written (spec JRN-6).
   */
  *records(after: number): Generator<JournalRecord, void> {
    for (let expected = after + 1; expected <= this.#durable;) {
      this.#assertOpen();
      const rows = this.#read(() => this.#sql.recordsFrom.all(expected, READ_ROWS));
      if (rows.length === 0) throw new JournalCorrupt(this.#directory, `record ${expected} is missing`);
      for (const row of rows) {
        const record = this.#checkedRecord(row);
        if (record.number !== expected) throw new JournalCorrupt(this.#directory, `record ${expected} is missing`);
        yield record;
        expected += 1;
      }
    }
  }

  /** What became of an order that left memory, durable or not. Throws MalformedOrderName, JournalCorrupt. */
  archived(ticketId: Hex, clientId: bigint): ArchivedOrder | undefined {
    this.#assertOpen();
    const name = packName(ticketId, clientId);
    if (this.#archiving.size > 0) {
      const waiting = this.#archiving.get(name.toString("latin1"));
      if (waiting !== undefined) return waiting.order;
    }
    const found = this.#read(() => this.#sql.order.get(name));
    return found === undefined ? undefined : this.#archivedAt(found["place"], name);
  }

  /** The newest snapshot that is whole. Throws JournalCorrupt where there are snapshots and none is. */
  newestSnapshot(): Snapshot | undefined {
    this.#assertOpen();
    const rows = this.#read(() => this.#sql.snapshots.all());
    for (const row of rows) {
      const body = this.#snapshotBody(row);
      if (body !== undefined) return { number: Number(row["number"]), body };
    }
    if (rows.length > 0) throw new JournalCorrupt(this.#directory, "no snapshot is whole");
    return undefined;
  }

  /**
   * Keeps the state after a record, in small steps between commits, and resolves once it is durable. The two newest
   * snapshots stay. Throws RecordNotThere for a number above the last record or below an older snapshot.
   */
  async saveSnapshot(number: number, body: string): Promise<void> {
    this.#assertOpen();
    const newest = Number(this.#read(() => this.#sql.snapshots.all())[0]?.["number"] ?? 0);
    if (number < newest || number > this.#last) throw new RecordNotThere("the snapshot", number, newest, this.#last);
    await this.#ask((task) => ({ kind: "snapshot", task, number, body }));
  }

  /**
   * Deletes the records before a number, and the archived orders that they archived, in small steps between commits.
   * Throws RecordNotThere for a number beyond the oldest snapshot's next record: a restart needs those.
   */
  async forget(before: number): Promise<void> {
    this.#assertOpen();
    const oldest = Number(this.#read(() => this.#sql.snapshots.all()).at(-1)?.["number"] ?? 0);
    if (before > oldest + 1) throw new RecordNotThere("the pruning", before, 0, oldest + 1);
    await this.#ask((task) => ({ kind: "forget", task, before }));
  }

  /**
   * Makes everything durable, ends the work under way and lets others open the journal. Throws JournalFailed where that
   * did not succeed; the close of a journal that had failed before is quiet.
   */
  async close(): Promise<void> {
    const before = this.#ended;
    if (before === undefined && !this.#closing) {
      this.#closing = true;
      this.#post();
      this.#send({ kind: "close" });
    }
    await this.#closed.promise;
    if (before === undefined && this.failure !== undefined) throw this.failure;
  }

  #beginGroup(first: number): MutableGroup {
    setImmediate(() => this.#post());
    return { kind: "records", first, bodies: [], outcomes: [], names: [], archivedBy: [], acceptedBy: [], states: [] };
  }

  /** Hands the turn's records to the worker. What it finds when it is ready forms its next commit. */
  #post(): void {
    const group = this.#group;
    if (group === undefined || this.#ended !== undefined) return;
    this.#group = undefined;
    this.#posted.push(group);
    this.#send(group);
  }

  #send(request: Request): void {
    this.#worker.postMessage(request);
  }

  #ask(request: (task: number) => Request): Promise<void> {
    this.#post();
    const task = ++this.#taskCount;
    return new Promise((resolve, reject) => {
      this.#tasks.set(task, { resolve, reject });
      this.#send(request(task));
    });
  }

  #hear(reply: Reply): void {
    if (reply.kind === "durable") this.#settle(reply.number);
    else if (reply.kind === "failed") this.#fail(reply.reason);
    else if (reply.kind === "closed") this.#end(new JournalClosed(this.#directory));
    else if (reply.kind === "done") {
      this.#tasks.get(reply.task)?.resolve();
      this.#tasks.delete(reply.task);
    }
  }

  #settle(number: number): void {
    if (this.#ended !== undefined) return;
    this.#durable = number;
    for (let group = this.#posted[0]; group !== undefined && group.first <= number; group = this.#posted[0]) {
      for (const name of group.names) {
        const archiving = this.#archiving.get(name);
        if (archiving !== undefined && archiving.archivedBy <= number) this.#archiving.delete(name);
      }
      this.#posted.shift();
    }
    const settled = this.#waiters.filter((waiter) => waiter.number <= number);
    this.#waiters = this.#waiters.filter((waiter) => waiter.number > number);
    for (const waiter of settled) waiter.resolve(undefined);
  }

  #fail(reason: string): void {
    if (this.#ended !== undefined) return;
    this.#end(new JournalFailed(this.#directory, reason));
    // What the writer still does is of no use to anybody: it must not look as if it were.
    void this.#worker.terminate();
  }

  #end(reason: JournalFailed | JournalClosed): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    for (const waiter of this.#waiters) waiter.reject(reason);
    for (const task of this.#tasks.values()) task.reject(reason);
    this.#waiters = [];
    this.#tasks.clear();
    this.#archiving.clear();
    this.#posted.length = 0;
    this.#group = undefined;
    this.#reader.close();
  }

  #assertOpen(): void {
    if (this.#ended !== undefined) throw this.#ended;
    if (this.#closing) throw new JournalClosed(this.#directory);
  }

  #read<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw explained(this.#directory, error);
    }
  }

  /** The newest record's number, after checking that the ends of the journal fit together (spec JRN-6). */
  #lastOnDisk(): number {
    const ends = this.#read(() => this.#sql.ends.get());
    const forgotten = Number(ends?.["forgotten"] ?? 0);
    const first = Number(ends?.["first"] ?? forgotten + 1);
    const last = Number(ends?.["last"] ?? forgotten);
    if (first !== forgotten + 1) throw new JournalCorrupt(this.#directory, `record ${forgotten + 1} is missing`);
    const snapshot = Number(ends?.["snapshot"] ?? forgotten);
    if (snapshot > last || snapshot < forgotten) {
      throw new JournalCorrupt(this.#directory, `it has a snapshot of record ${snapshot}, but not the record`);
    }
    return last;
  }

  #pendingRecord(number: number): JournalRecord | undefined {
    for (const group of this.#group === undefined ? this.#posted : [...this.#posted, this.#group]) {
      const body = group.bodies[number - group.first];
      const outcome = group.outcomes[number - group.first];
      if (body !== undefined && outcome !== undefined) return { number, body, outcome };
    }
    return undefined;
  }

  #checkedRecord(row: Row): JournalRecord {
    const number = Number(row["number"]);
    const { body, outcome } = row;
    const whole =
      typeof body === "string" && typeof outcome === "string" && row["checksum"] === checksum(number, body, outcome);
    if (!whole) throw new JournalCorrupt(this.#directory, `record ${number} differs from its checksum`);
    return { number, body, outcome };
  }

  #archivedAt(place: SQLOutputValue | undefined, wanted: Buffer): ArchivedOrder {
    const row = this.#read(() => this.#sql.orderState.get(place ?? null));
    const { name, state } = row ?? {};
    const record = Number(row?.["record"]);
    const whole =
      name instanceof Uint8Array &&
      wanted.equals(name) &&
      typeof state === "string" &&
      row?.["checksum"] === checksum(record, name, state);
    if (!whole) throw new JournalCorrupt(this.#directory, `archived order ${String(place)} differs from its checksum`);
    return { ...unpackName(name), record, state };
  }

  /** The text of a snapshot; undefined where it is damaged, since an older one and more records do as well. */
  #snapshotBody(row: Row): string | undefined {
    const number = Number(row["number"]);
    try {
      const parts: Uint8Array[] = [];
      for (const { text } of this.#sql.snapshotParts.iterate(number)) if (text instanceof Uint8Array) parts.push(text);
      const whole = Buffer.concat(parts);
      return row["checksum"] === checksum(number, whole) ? whole.toString() : undefined;
    } catch (error) {
      if (explained(this.#directory, error) instanceof JournalCorrupt) return undefined;
      throw error;
    }
  }
}

type Row = Readonly<Record<string, SQLOutputValue>>;
type Archiving = { readonly order: ArchivedOrder; readonly archivedBy: number };
type Waiter = {
  readonly number: number;
  readonly promise: Promise<undefined>;
  readonly resolve: (value: undefined) => void;
  readonly reject: (error: Error) => void;
};
type MutableGroup = RecordGroup & {
  readonly bodies: string[];
  readonly outcomes: string[];
  readonly names: string[];
  readonly archivedBy: number[];
  readonly acceptedBy: number[];
  readonly states: string[];
};

function prepareReads(reader: DatabaseSync) {
  return {
    ends: reader.prepare(
      "SELECT forgotten, (SELECT min(number) FROM records) AS first, (SELECT max(number) FROM records) AS last, (SELECT max(number) FROM snapshots) AS snapshot FROM meta",
    ),
    record: reader.prepare("SELECT number, body, outcome, checksum FROM records WHERE number = ?"),
    recordsFrom: reader.prepare(
      "SELECT number, body, outcome, checksum FROM records WHERE number >= ? ORDER BY number LIMIT ?",
    ),
    order: reader.prepare("SELECT place FROM orders WHERE name = ?"),
    orderState: reader.prepare("SELECT name, record, state, checksum FROM order_states WHERE place = ?"),
    snapshots: reader.prepare("SELECT number, checksum FROM snapshots ORDER BY number DESC"),
    snapshotParts: reader.prepare("SELECT text FROM snapshot_parts WHERE number = ? ORDER BY part"),
  };
}
