import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import type { OrderRequest } from "../../src/trader/commands.ts";
import type { StoredOrder } from "../../src/trader/orderStore.ts";
import { BadRecord, createWallet, openWallet, type Wallet, WalletRowDamaged } from "../../src/trader/store.ts";

const PHRASE = "legal winner thank year wave sausage worth useful legal winner thank yellow";
const PASSWORD = "correct horse";
const HOUSE = { chainId: 31337n, address: "0x00000000000000000000000000000000000000Aa" } as const;
const TICKET = `0x${"ab".repeat(32)}` as const;
const OTHER_TICKET = `0x${"cd".repeat(32)}` as const;
const SIGNATURE = `0x${"12".repeat(65)}` as const;

const REQUEST: OrderRequest = { slot: 2, side: "buy", quantity: 3, limitPrice: "-34250000000", postOnly: true };

type Entry = StoredOrder["entry"];
type Report = NonNullable<StoredOrder["report"]>;

function entryOf(clientId: bigint, more: Partial<Entry["order"]> = {}): Entry {
  const order: Entry["order"] = {
    ticketId: TICKET,
    clientId,
    revision: 0,
    side: "buy",
    limitPrice: -34_250_000_000n,
    quantity: 3,
    timeInForce: "GTC",
    postOnly: true,
    expiry: 1_800_000_000n,
    ...more,
  };
  return { order, signature: SIGNATURE };
}

function reportOf(clientId: bigint, more: Partial<Report> = {}): Report {
  return {
    ticketId: TICKET,
    clientId,
    slot: 2,
    orderHash: `0x${"34".repeat(32)}`,
    revision: 0,
    side: "buy",
    limitPrice: -34_250_000_000n,
    quantity: 3,
    timeInForce: "GTC",
    status: "open",
    filled: 1,
    filledValue: -34_250_000_000n,
    remaining: 2,
    seq: 10,
    n: 1,
    time: 1_700_000_000n,
    ...more,
  };
}

async function temporaryWallet(context: TestContext): Promise<Wallet> {
  const parent = await mkdtemp(join(tmpdir(), "hedgerow-orders-"));
  const wallet = await createWallet(join(parent, "wallet"), PHRASE, PASSWORD, { scryptN: 1_024 });
  context.after(async () => {
    wallet.close();
    await rm(parent, { recursive: true, force: true });
  });
  return wallet;
}

test("orders come back from a closed wallet with what was asked and what was heard, oldest first [ACC-15]", async (context) => {
  const wallet = await temporaryWallet(context);
  const orders = wallet.orders(HOUSE, 7n);
  const last = 2n ** 64n - 1n;
  const instructed: Entry = {
    ...entryOf(5n, { ticketId: OTHER_TICKET }),
    instructions: {
      orderHash: `0x${"34".repeat(32)}`,
      stopPrice: undefined,
      displayQuantity: 1,
      selfTrade: "decrement",
      reduceOnly: false,
    },
    instructionsSignature: SIGNATURE,
  };
  orders.record({ entry: entryOf(last), request: REQUEST, recordedAt: 100 });
  orders.record({ entry: instructed, request: { ...REQUEST, displayQuantity: 1 }, recordedAt: 50 });
  orders.report(reportOf(last));
  orders.refuse(OTHER_TICKET, 5n, "OffTick: 10n is no price");
  assert.deepEqual(wallet.orders(HOUSE, 8n).list(), []);
  wallet.close();

  const again = await openWallet(wallet.directory, PASSWORD);
  context.after(() => again.close());
  const kept = again.orders(HOUSE, 7n);
  const first = { entry: entryOf(last), request: REQUEST, recordedAt: 100, report: reportOf(last), refusal: undefined };
  const second = {
    entry: instructed,
    request: { ...REQUEST, displayQuantity: 1 },
    recordedAt: 50,
    report: undefined,
    refusal: "OffTick: 10n is no price",
  };
  assert.deepEqual(kept.list(), [first, second]);
  assert.deepEqual(kept.list({ ticketId: OTHER_TICKET }), [second]);
  assert.deepEqual(kept.get(TICKET, last), first);
  assert.equal(kept.get(OTHER_TICKET, last), undefined);
});

test("a higher revision takes the place of a lower one, and never the other way [ACC-15]", async (context) => {
  const orders = (await temporaryWallet(context)).orders(HOUSE, 7n);
  orders.record({ entry: entryOf(1n), request: REQUEST, recordedAt: 1 });
  orders.record({ entry: entryOf(2n), request: REQUEST, recordedAt: 2 });
  orders.report(reportOf(1n));
  orders.refuse(TICKET, 1n, "busy");
  const changed = { ...REQUEST, quantity: 2 };
  orders.record({ entry: entryOf(1n, { revision: 2, quantity: 2 }), request: changed, recordedAt: 3 });
  for (const revision of [0, 1, 2]) {
    orders.record({ entry: entryOf(1n, { revision, quantity: 9 }), request: REQUEST, recordedAt: 4 });
  }
  const [first] = orders.list();
  assert.deepEqual(first, {
    entry: entryOf(1n, { revision: 2, quantity: 2 }),
    request: changed,
    recordedAt: 3,
    report: reportOf(1n),
    refusal: undefined,
  });
});

test("the newest word of the exchange is kept, whatever order it comes in [ACC-15]", async (context) => {
  const orders = (await temporaryWallet(context)).orders(HOUSE, 7n);
  orders.report(reportOf(1n));
  assert.deepEqual(orders.list(), []);
  orders.record({ entry: entryOf(1n, { revision: 1 }), request: REQUEST, recordedAt: 1 });
  const heard = () => orders.get(TICKET, 1n)?.report;
  orders.report(reportOf(1n, { seq: 10, n: 2 }));
  orders.report(reportOf(1n, { seq: 10, n: 1 }));
  orders.report(reportOf(1n, { seq: 9, n: 5 }));
  assert.deepEqual(heard(), reportOf(1n, { seq: 10, n: 2 }));
  orders.report(reportOf(1n, { seq: 11, n: 0 }));
  assert.deepEqual(heard(), reportOf(1n, { seq: 11, n: 0 }));

  // A refusal stands until the exchange speaks of that revision.
  orders.refuse(TICKET, 1n, "busy");
  orders.report(reportOf(1n, { seq: 12 }));
  assert.equal(orders.get(TICKET, 1n)?.refusal, "busy");
  orders.report(reportOf(1n, { seq: 13, revision: 1 }));
  assert.equal(orders.get(TICKET, 1n)?.refusal, undefined);
});

test("what could not be read back is refused, also from a lying exchange [ACC-15]", async (context) => {
  const orders = (await temporaryWallet(context)).orders(HOUSE, 7n);
  const record = (entry: Entry, request = REQUEST) =>
    assert.throws(() => orders.record({ entry, request, recordedAt: 1 }), BadRecord);
  record(entryOf(1n, { revision: 256 }));
  record(entryOf(1n, { limitPrice: 1n << 100n }));
  record({ ...entryOf(1n), instructionsSignature: SIGNATURE });
  record(entryOf(1n), { ...REQUEST, quantity: 0 });
  assert.deepEqual(orders.list(), []);
  orders.record({ entry: entryOf(1n), request: REQUEST, recordedAt: 1 });
  for (const lie of [{ slot: 99 }, { filled: -1 }, { seq: 0.5 }, { filledValue: 1n << 200n }, { time: -1n }]) {
    assert.throws(() => orders.report(reportOf(1n, lie)), BadRecord);
  }
  assert.equal(orders.get(TICKET, 1n)?.report, undefined);
});

test("a damaged order is named, and nothing is made of it [ACC-15]", async (context) => {
  const wallet = await temporaryWallet(context);
  const orders = wallet.orders(HOUSE, 7n);
  orders.record({ entry: entryOf(1n), request: REQUEST, recordedAt: 1 });
  orders.report(reportOf(1n));
  wallet.close();
  for (const set of ["report = '{}'", "report = NULL, client = '2'", "entry = 'x'", "request = '[]'"]) {
    const database = new DatabaseSync(join(wallet.directory, "wallet.sqlite"));
    database.exec(`UPDATE orders SET ${set}`);
    database.close();
    const again = await openWallet(wallet.directory, PASSWORD);
    assert.throws(() => again.orders(HOUSE, 7n).list(), WalletRowDamaged);
    again.close();
  }
});
