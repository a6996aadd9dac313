import { isHex } from "viem";
import { z } from "zod";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { contradict, type ReceiptKind, type SignedReceipt } from "../protocol/receipt.ts";
import type { WalletDatabase } from "./walletDatabase.ts";

/** A receipt and the order that it is about: a receipt itself names the hash of one revision only. */
export type OrderReceipt = { readonly ticketId: Hex; readonly clientId: bigint; readonly signed: SignedReceipt };

/** The receipts that an operator gave to a trader. They are evidence: nothing is ever taken out or written over. */
export type ReceiptStore = {
  /**
   * Keeps receipts that were verified; durable when it returns. One that is there already is kept as it was. Throws
   * ContradictingReceipts for one that no honest log can hold beside another; all others are kept.
   */
  append(receipts: readonly OrderReceipt[]): void;
  /** In the order of the log; of one ticket, or one order of it, where they are named. Throws ReceiptDamaged. */
  list(of?: { readonly ticketId: Hex; readonly clientId?: bigint }): readonly OrderReceipt[];
};

/** The operator signed two things that cannot both be true. Each alone is valid: together they prove its fault. */
export class ContradictingReceipts extends HedgerowError {
  readonly kept: SignedReceipt;
  readonly refused: SignedReceipt;

  constructor(kept: SignedReceipt, refused: SignedReceipt) {
    const { seq, n } = refused.receipt;
    super(
      "ContradictingReceipts",
      `entry (${seq}, ${n}) of the log was "${kept.receipt.kind}" in one receipt and is "${refused.receipt.kind}" with ` +
        `other words in another: publish both, they prove the operator's fault`,
      // The one that was refused is kept nowhere else.
      { seq, n, kept: bodyOf(kept), refused: bodyOf(refused) },
    );
    this.kept = kept;
    this.refused = refused;
  }
}

/** A stored receipt is not what this program writes. */
export class ReceiptDamaged extends HedgerowError {
  constructor(seq: number, n: number, reason: string) {
    super("ReceiptDamaged", `receipt (${seq}, ${n}) cannot be read (${reason}): take it from a copy of the wallet`, {
      seq,
      n,
      reason,
    });
  }
}

/** The table of receipts; `house` names the clearing house. */
export const RECEIPTS_TABLE = `CREATE TABLE IF NOT EXISTS receipts (
  house TEXT, seq INTEGER, n INTEGER, kind TEXT, ticket TEXT, client TEXT, body TEXT,
  PRIMARY KEY (house, seq, n, kind)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS receipts_by_order ON receipts (house, ticket, client)`;

const KINDS = [
  "accepted",
  "executed-taker",
  "cancelled",
  "replaced",
  "expired",
  "triggered",
  "reloaded",
  "executed-maker",
] as const satisfies readonly ReceiptKind[];
const hex = z.custom<Hex>((value) => isHex(value), "no hex string");
const whole = z.int().min(0);
const bodySchema = z.strictObject({
  receipt: z.strictObject({
    seq: whole,
    n: whole,
    kind: z.enum(KINDS),
    orderHash: hex,
    prioritySeq: whole,
    quantity: whole,
    remaining: whole,
    price: z.coerce.bigint<string>(),
    execTime: z.coerce.bigint<string>(),
    logHead: hex,
    term: whole,
  }),
  siblings: z.array(hex),
  signature: hex,
});
const rowSchema = z.object({ seq: z.number(), n: z.number(), ticket: hex, client: z.string(), body: z.string() });

/** The receipts of one clearing house in a wallet's database. */
export function receiptStore(database: WalletDatabase, house: string): ReceiptStore {
  const insert = database.prepare(
    "INSERT OR IGNORE INTO receipts (house, seq, n, kind, ticket, client, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
  );
  const select = (where: string) =>
    database.prepare(
      `SELECT seq, n, ticket, client, body FROM receipts WHERE house = ? ${where} ORDER BY seq, n, kind`,
    );
  const ofEntry = select("AND seq = ? AND n = ?");
  const [ofAll, ofTicket, ofOrder] = [select(""), select("AND ticket = ?"), select("AND ticket = ? AND client = ?")];

  const contradicted = ({ receipt }: SignedReceipt): SignedReceipt | undefined =>
    ofEntry
      .all(house, receipt.seq, receipt.n)
      .map((row) => orderReceiptOf(row).signed)
      .find((kept) => contradict(kept.receipt, receipt));

  return {
    append: (receipts) => {
      let fault: ContradictingReceipts | undefined;
      database.exec("BEGIN");
      try {
        for (const { ticketId, clientId, signed } of receipts) {
          const { seq, n, kind } = signed.receipt;
          const kept = contradicted(signed);
          if (kept !== undefined) fault ??= new ContradictingReceipts(kept, signed);
          else insert.run(house, seq, n, kind, ticketId.toLowerCase(), clientId.toString(), bodyOf(signed));
        }
        database.exec("COMMIT");
      } catch (error) {
        database.exec("ROLLBACK");
        throw error;
      }
      if (fault !== undefined) throw fault;
    },
    list: (of) => {
      const ticket = of?.ticketId.toLowerCase() ?? "";
      if (of === undefined) return ofAll.all(house).map(orderReceiptOf);
      if (of.clientId === undefined) return ofTicket.all(house, ticket).map(orderReceiptOf);
      return ofOrder.all(house, ticket, of.clientId.toString()).map(orderReceiptOf);
    },
  };
}

function bodyOf({ receipt, siblings, signature }: SignedReceipt): string {
  const { price, execTime } = receipt;
  const numbers = { price: price.toString(), execTime: execTime.toString() };
  return JSON.stringify({ receipt: { ...receipt, ...numbers }, siblings, signature });
}

function orderReceiptOf(row: unknown): OrderReceipt {
  const { seq, n, ticket, client, body } = rowSchema.parse(row);
  try {
    return { ticketId: ticket, clientId: BigInt(client), signed: bodySchema.parse(JSON.parse(body)) };
  } catch (error) {
    throw new ReceiptDamaged(seq, n, error instanceof Error ? error.message : String(error));
  }
}
