import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import fc from "fast-check";
import type { ProvenTransition } from "../../src/chain/clearingHouse.ts";
import { FIELD_MODULUS } from "../../src/protocol/field.ts";
import type { Action } from "../../src/protocol/action.ts";
import type { OutboxEntry } from "../../src/trader/outbox.ts";
import { BadRecord, createWallet, openWallet, type Wallet, WalletRowDamaged } from "../../src/trader/store.ts";

const PHRASE = "legal winner thank year wave sausage worth useful legal winner thank yellow";
const PASSWORD = "correct horse";
const HOUSE = { chainId: 31337n, address: "0x00000000000000000000000000000000000000Aa" } as const;
const ACCOUNT = (1n << 64n) - 1n;

async function temporaryWallet(context: TestContext): Promise<Wallet> {
  const parent = await mkdtemp(join(tmpdir(), "hedgerow-outbox-"));
  const wallet = await createWallet(join(parent, "wallet"), PHRASE, PASSWORD, { scryptN: 1_024 });
  context.after(async () => {
    wallet.close();
    await rm(parent, { recursive: true, force: true });
  });
  return wallet;
}

const uint = (bits: bigint) => fc.bigInt({ min: 0n, max: (1n << bits) - 1n });
const field = fc.bigInt({ min: 0n, max: FIELD_MODULUS - 1n });
const hex = (bytes: number) =>
  fc
    .uint8Array({ minLength: bytes, maxLength: bytes })
    .map((value): `0x${string}` => `0x${Buffer.from(value).toString("hex")}`);
const slot = fc.integer({ min: 0, max: 7 });
const position = fc.integer({ min: 1 - 2 ** 31, max: 2 ** 31 - 1 });
const cash = fc.bigInt({ min: -(1n << 119n), max: (1n << 119n) - 1n });
const epoch = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const relayFee = uint(128n);
const named = <N extends Action["name"]>(name: N) => fc.constant(name);
const action: fc.Arbitrary<Action> = fc.oneof(
  fc.record({ name: named("fund"), creditId: uint(256n), amount: uint(128n), relayFee }),
  fc.record({
    name: named("openTicket"),
    slot,
    relayFee,
    tickets: fc.array(fc.record({ sessionKey: hex(20), cash, position, reduceOnly: fc.boolean() }), {
      minLength: 1,
      maxLength: 8,
    }),
  }),
  fc.record({ name: named("wake") }),
  fc.record({ name: named("rejoin"), defaultEpoch: epoch, flat: fc.boolean() }),
  fc.record({ name: named("closeTicket"), ticketId: hex(32), slot, cash, position, relayFee }),
  fc.record({ name: named("claimTicket"), ticketId: hex(32), claim: uint(128n), relayFee }),
  fc.record({ name: named("withdraw"), to: hex(20), amount: uint(128n), relayFee }),
  fc.record({ name: named("renew"), relayFee }),
  fc.record({ name: named("sleep"), relayFee }),
  fc.record({ name: named("exit"), defaultEpoch: epoch, flat: fc.boolean(), to: hex(20), equity: uint(128n) }),
  fc.record({ name: named("closeSeat"), asleep: fc.boolean(), to: hex(20), relayFee }),
);
const pair = fc.tuple(uint(256n), uint(256n));
const transition: fc.Arbitrary<ProvenTransition> = fc.record({
  action,
  root: field,
  nullifier: field,
  newNote: field,
  seat: field,
  signature: fc.oneof(fc.constant("0x" as const), hex(65)),
  proof: fc.record({ a: pair, b: fc.tuple(pair, pair), c: pair }),
});
const entry: fc.Arbitrary<OutboxEntry> = fc
  .record({
    transition,
    epoch: fc.integer({ min: 1, max: 2 ** 31 }),
    phase: fc.constantFrom<OutboxEntry["phase"][]>("trading", "window"),
    recordedAt: fc.integer({ min: 0, max: 2 ** 40 }),
    status: fc.constantFrom<OutboxEntry["status"][]>("waiting", "refused"),
    reason: fc.option(fc.string(), { nil: undefined }),
  })
  // Plain objects: those of fast-check have no prototype.
  .map((each) => structuredClone(each));
const [SAMPLE, OTHER] = fc.sample(entry, { numRuns: 2, seed: 7 });
assert(SAMPLE !== undefined && OTHER !== undefined);

test("whatever is written down comes back from a closed wallet as it was, oldest first [ACC-15]", async (context) => {
  const wallet = await temporaryWallet(context);
  const outbox = wallet.outbox(HOUSE, ACCOUNT);
  const kept: OutboxEntry[] = [];
  fc.assert(
    fc.property(entry, (each) => {
      const { nullifier, newNote } = each.transition;
      fc.pre(!kept.some(({ transition }) => transition.nullifier === nullifier && transition.newNote === newNote));
      outbox.record(each);
      kept.push(each);
    }),
    { numRuns: 60 },
  );
  assert.deepEqual(wallet.outbox(HOUSE, ACCOUNT - 1n).entries(), []);
  assert.deepEqual(wallet.outbox({ ...HOUSE, chainId: 1n }, ACCOUNT).entries(), []);
  wallet.close();
  const again = await openWallet(wallet.directory, PASSWORD);
  context.after(() => again.close());
  assert.deepEqual(again.outbox({ ...HOUSE, address: `0x${"0".repeat(38)}aA` }, ACCOUNT).entries(), kept);
});

test("an entry is refused with its reason, written again in its place, and forgotten [ACC-15]", async (context) => {
  const outbox = (await temporaryWallet(context)).outbox(HOUSE, 0n);
  const first: OutboxEntry = { ...SAMPLE, status: "waiting", reason: undefined };
  outbox.record(first);
  outbox.record(OTHER);
  const { nullifier, newNote } = first.transition;
  outbox.refuse(nullifier, newNote, "stale root");
  assert.deepEqual(outbox.entries(), [{ ...first, status: "refused", reason: "stale root" }, OTHER]);
  outbox.record({ ...first, epoch: 9 });
  assert.deepEqual(outbox.entries(), [{ ...first, epoch: 9 }, OTHER]);
  // Another transition that spends the same note is another entry.
  outbox.refuse(nullifier, newNote + 1n, "unknown");
  outbox.remove(nullifier, newNote + 1n);
  assert.equal(outbox.entries().length, 2);
  outbox.remove(nullifier, newNote);
  assert.deepEqual(outbox.entries(), [OTHER]);
});

test("what could not be read back is refused before it is written [ACC-15]", async (context) => {
  const outbox = (await temporaryWallet(context)).outbox(HOUSE, 0n);
  const wrong = (transition: Partial<ProvenTransition>, rest: Partial<OutboxEntry> = {}) =>
    assert.throws(
      () => outbox.record({ ...SAMPLE, ...rest, transition: { ...SAMPLE.transition, ...transition } }),
      BadRecord,
    );
  wrong({ nullifier: FIELD_MODULUS });
  wrong({ newNote: -1n });
  wrong({ signature: "0x12" });
  wrong({ action: { name: "renew", relayFee: 1n << 128n } });
  wrong({}, { epoch: -1 });
  wrong({}, { recordedAt: 0.5 });
  assert.deepEqual(outbox.entries(), []);
});

test("a damaged row is named, and nothing is made of it [ACC-15]", async (context) => {
  const wallet = await temporaryWallet(context);
  wallet.outbox(HOUSE, 0n).record(SAMPLE);
  wallet.journal(HOUSE, 0n).record("note", 5n);
  wallet.close();
  const file = join(wallet.directory, "wallet.sqlite");
  const damage = async (sql: string, read: (wallet: Wallet) => unknown) => {
    const database = new DatabaseSync(file);
    database.exec("SAVEPOINT before");
    database.exec(sql);
    database.exec("RELEASE before");
    database.close();
    const again = await openWallet(wallet.directory, PASSWORD);
    assert.throws(() => read(again), WalletRowDamaged);
    again.close();
  };
  const entries = (again: Wallet) => again.outbox(HOUSE, 0n).entries();
  await damage("UPDATE outbox SET status = 'sent'", entries);
  await damage("UPDATE outbox SET status = 'waiting', nullifier = '1'", entries);
  await damage("UPDATE outbox SET transition = substr(transition, 1, 100)", entries);
  await damage("UPDATE outbox SET transition = '{}'", entries);
  await damage("UPDATE used SET highest = 'many'", (again) => again.journal(HOUSE, 0n).highest("note"));
});

test("what was written down is there after the process is killed at once [ACC-15]", async (context) => {
  const wallet = await temporaryWallet(context);
  wallet.close();
  const script = join(wallet.directory, "write.mjs");
  const source = (path: string) => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href);
  await writeFile(
    script,
    `import { openWallet } from ${source("trader/store.ts")};
     const wallet = await openWallet(${JSON.stringify(wallet.directory)}, ${JSON.stringify(PASSWORD)});
     const outbox = wallet.outbox({ chainId: 31337n, address: ${JSON.stringify(HOUSE.address)} }, 0n);
     const pair = [1n, 2n];
     for (let nullifier = 1n; ; nullifier++) {
       outbox.record({
         transition: { action: { name: "wake" }, root: 1n, nullifier, newNote: 2n, seat: 3n, signature: "0x",
           proof: { a: pair, b: [pair, pair], c: pair } },
         epoch: 1, phase: "trading", recordedAt: 1, status: "waiting", reason: undefined });
       process.send(nullifier.toString());
       if (nullifier === 5n) await new Promise((resolve) => setTimeout(resolve, 60_000));
     }`,
  );
  const writer = fork(script);
  let told = 0;
  writer.on("message", () => {
    told++;
    if (told === 5) writer.kill("SIGKILL");
  });
  await once(writer, "exit");
  const again = await openWallet(wallet.directory, PASSWORD);
  context.after(() => again.close());
  const entries = again.outbox(HOUSE, 0n).entries();
  assert.deepEqual(
    entries.map(({ transition }) => transition.nullifier),
    [1n, 2n, 3n, 4n, 5n],
  );
});
