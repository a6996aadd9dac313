// What the main thread and the journal's worker tell each other.

/** Records of one turn of the event loop, as flat lists: one message costs less than one for each record. */
export type RecordGroup = {
  readonly kind: "records";
  /** Number of the first; the others follow by one. */
  readonly first: number;
  readonly bodies: readonly string[];
  readonly outcomes: readonly string[];
  /** Archived orders: their names packed as Latin-1 text, and the record that archived each. */
  readonly names: readonly string[];
  readonly archivedBy: readonly number[];
  readonly acceptedBy: readonly number[];
  readonly states: readonly string[];
};

export type Request =
  | RecordGroup
  | { readonly kind: "snapshot"; readonly task: number; readonly number: number; readonly body: string }
  | { readonly kind: "forget"; readonly task: number; readonly before: number }
  | { readonly kind: "close" };

export type Reply =
  /** The first message: the database is open. */
  | { readonly kind: "ready" }
  /** Everything up to this record is committed and synced. */
  | { readonly kind: "durable"; readonly number: number }
  | { readonly kind: "done"; readonly task: number }
  | { readonly kind: "failed"; readonly reason: string }
  | { readonly kind: "closed" };
