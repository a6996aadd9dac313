import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import { Wallet as EthersWallet } from "ethers";
import { privateKeyToAddress } from "viem/accounts";
import { senderOf } from "../../src/chain/clearingHouse.ts";
import { ownSigning } from "../../src/exchange/ownSigning.ts";
import { domainOf } from "../../src/protocol/order.ts";
import { type Receipt, type SignedReceipt, verifyReceipt } from "../../src/protocol/receipt.ts";
import { ContradictingReceipts, type OrderReceipt, ReceiptDamaged } from "../../src/trader/receiptStore.ts";
import { accountKeys, MalformedSeedPhrase, newSeedPhrase } from "../../src/protocol/keys.ts";
import {
  createWallet,
  openWallet,
  WalletDamaged,
  WalletExists,
  WalletInUse,
  WalletNotFound,
  WrongPassword,
} from "../../src/trader/store.ts";

const QUICK = { scryptN: 1 << 10 };
const PASSWORD = "correct horse";
const OPERATOR_KEY = `0x${"17".repeat(32)}` as const;
const HOUSE = { chainId: 31337n, address: "0x00000000000000000000000000000000000000Aa" } as const;

async function temporaryWallet(context: TestContext): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), "hedgerow-wallet-"));
  context.after(() => rm(parent, { recursive: true, force: true }));
  return join(parent, "wallet");
}

test("a wallet keeps its phrase behind a password, in files of its owner only [ACC-1, PRI-11]", async (context) => {
  const directory = await temporaryWallet(context);
  const phrase = newSeedPhrase();
  (await createWallet(directory, phrase.toUpperCase(), PASSWORD, QUICK)).close();

  assert.equal((await stat(directory)).mode & 0o777, 0o700);
  for (const file of ["keystore.json", "wallet.sqlite"]) {
    assert.equal((await stat(join(directory, file))).mode & 0o777, 0o600);
    const contents = await readFile(join(directory, file), "latin1");
    assert(!phrase.split(" ").some((word) => word.length > 6 && contents.includes(word)));
  }
  await assert.rejects(openWallet(directory, "wrong"), WrongPassword);
  const opened = await openWallet(directory, PASSWORD);
  assert.equal(opened.phrase, phrase);
  opened.close();

  // The keystore is the common format: another program reads it.
  const keystore = await readFile(join(directory, "keystore.json"), "utf8");
  const elsewhere = await EthersWallet.fromEncryptedJson(keystore, PASSWORD);
  assert("mnemonic" in elsewhere && elsewhere.mnemonic?.phrase === phrase);
});

test("a wallet is not overwritten, and none is opened where there is none [ACC-1]", async (context) => {
  const directory = await temporaryWallet(context);
  await assert.rejects(openWallet(directory, PASSWORD), WalletNotFound);
  await assert.rejects(createWallet(directory, "zoo zoo zoo", PASSWORD, QUICK), MalformedSeedPhrase);
  const phrase = newSeedPhrase();
  (await createWallet(directory, phrase, PASSWORD, QUICK)).close();
  await assert.rejects(createWallet(directory, newSeedPhrase(), PASSWORD, QUICK), WalletExists);
  const opened = await openWallet(directory, PASSWORD);
  assert.equal(opened.phrase, phrase);
  opened.close();
  opened.close();
});

test("indices are kept per clearing house and account, and losing them is harmless [ACC-6, ACC-12]", async (context) => {
  const directory = await temporaryWallet(context);
  const phrase = newSeedPhrase();
  const wallet = await createWallet(directory, phrase, PASSWORD, QUICK);
  const journal = wallet.journal(HOUSE, 0n);
  assert.equal(journal.highest("note"), 0n);
  journal.record("note", 7n);
  journal.record("note", 5n);
  journal.record("credit", 2n ** 63n);
  wallet.close();

  const again = await openWallet(directory, PASSWORD);
  assert.equal(again.journal(HOUSE, 0n).highest("note"), 7n);
  assert.equal(again.journal(HOUSE, 0n).highest("credit"), 2n ** 63n);
  assert.equal(again.journal(HOUSE, 1n).highest("note"), 0n);
  assert.equal(again.journal({ ...HOUSE, chainId: 1n }, 0n).highest("note"), 0n);
  again.close();

  await rm(join(directory, "wallet.sqlite"));
  const bare = await openWallet(directory, PASSWORD);
  assert.deepEqual(accountKeys(bare.phrase, 0), accountKeys(phrase, 0));
  assert.equal(bare.journal(HOUSE, 0n).highest("note"), 0n);
  bare.close();
});

test("a wallet that is open in another process is refused until that process ends [ACC-6]", async (context) => {
  const directory = await temporaryWallet(context);
  const wallet = await createWallet(directory, newSeedPhrase(), PASSWORD, QUICK);
  await assert.rejects(openWallet(directory, PASSWORD), WalletInUse);
  wallet.close();

  const store = new URL("../../src/trader/store.ts", import.meta.url).href;
  const script = join(directory, "hold.mjs");
  await writeFile(
    script,
    `import { openWallet } from ${JSON.stringify(store)};
     const wallet = await openWallet(${JSON.stringify(directory)}, ${JSON.stringify(PASSWORD)});
     wallet.journal({ chainId: 31337n, address: "0xaa" }, 0n).record("note", 3n);
     process.send("open");
     setInterval(() => undefined, 1_000);`,
  );
  const holder = fork(script);
  await once(holder, "message");
  await assert.rejects(openWallet(directory, PASSWORD), WalletInUse);
  holder.kill("SIGKILL");
  await once(holder, "exit");
  const opened = await openWallet(directory, PASSWORD);
  assert.equal(opened.journal({ chainId: 31337n, address: "0xaa" }, 0n).highest("note"), 3n);
  opened.close();
});

test("damaged files are named in the error [ACC-12]", async (context) => {
  const directory = await temporaryWallet(context);
  (await createWallet(directory, newSeedPhrase(), PASSWORD, QUICK)).close();
  const keystore = join(directory, "keystore.json");
  const whole = await readFile(keystore, "utf8");
  await writeFile(keystore, whole.slice(0, 100));
  await assert.rejects(openWallet(directory, PASSWORD), WalletDamaged);
  await writeFile(keystore, whole);
  await writeFile(join(directory, "wallet.sqlite"), "not a database, by far not long enough to be one");
  await assert.rejects(openWallet(directory, PASSWORD), WalletDamaged);
});

const TICKET = `0x${"ab".repeat(32)}` as const;
const OTHER_TICKET = `0x${"cd".repeat(32)}` as const;
const DOMAIN = domainOf(HOUSE.chainId, `0x${"aa".repeat(20)}`);

/** A receipt that the operator signed; `more` changes what it says. */
async function signedReceipt(more: Partial<Receipt>): Promise<SignedReceipt> {
  const receipt: Receipt = {
    seq: 7,
    n: 0,
    kind: "accepted",
    orderHash: `0x${"01".repeat(32)}`,
    prioritySeq: 7,
    quantity: 3,
    remaining: 3,
    price: -32_000_000_000n,
    execTime: 1_700_000_000n,
    logHead: `0x${"02".repeat(32)}`,
    term: 1,
    ...more,
  };
  const [signed] = await ownSigning(senderOf("http://127.0.0.1:1", 31337n, OPERATOR_KEY), DOMAIN).signGroup([receipt]);
  assert(signed !== undefined);
  return signed;
}

test("receipts come back from a closed wallet as they were signed, by ticket and order, in the log's order [REC-6]", async (context) => {
  const directory = await temporaryWallet(context);
  const wallet = await createWallet(directory, newSeedPhrase(), PASSWORD, QUICK);
  const [taken, made, accepted] = [
    await signedReceipt({ seq: 9, n: 1, kind: "executed-taker" }),
    await signedReceipt({ seq: 9, n: 1, kind: "executed-maker", orderHash: `0x${"03".repeat(32)}`, remaining: 0 }),
    await signedReceipt({}),
  ];
  const store = wallet.receipts(HOUSE);
  const order = { ticketId: TICKET, clientId: 2n ** 64n - 1n };
  const other = { ticketId: OTHER_TICKET, clientId: 5n };
  store.append([
    { ...order, signed: taken },
    { ...other, signed: made },
  ]);
  store.append([{ ...order, signed: accepted }]);
  store.append([{ ...order, signed: accepted }]);
  assert.deepEqual(wallet.receipts({ ...HOUSE, chainId: 1n }).list(), []);
  wallet.close();

  const again = await openWallet(directory, PASSWORD);
  const kept = again.receipts({ ...HOUSE, address: "0x00000000000000000000000000000000000000aA" });
  const inOrder: readonly OrderReceipt[] = [
    { ...order, signed: accepted },
    { ...other, signed: made },
    { ...order, signed: taken },
  ];
  assert.deepEqual(kept.list(), inOrder);
  assert.deepEqual(kept.list(other), [inOrder[1]]);
  assert.deepEqual(kept.list({ ticketId: TICKET }), [inOrder[0], inOrder[2]]);
  assert.deepEqual(kept.list({ ticketId: TICKET, clientId: 5n }), []);
  const operator = privateKeyToAddress(OPERATOR_KEY);
  assert(kept.list().every(({ signed }) => verifyReceipt(DOMAIN, operator, signed)));
  again.close();
});

test("a receipt that contradicts a kept one is refused with both, and the others are kept [REC-5, REC-6]", async (context) => {
  const wallet = await createWallet(await temporaryWallet(context), newSeedPhrase(), PASSWORD, QUICK);
  const store = wallet.receipts(HOUSE);
  const order = { ticketId: TICKET, clientId: 5n };
  const kept = await signedReceipt({});
  store.append([{ ...order, signed: kept }]);
  for (const change of [{ price: 1n }, { kind: "cancelled" }, { orderHash: `0x${"04".repeat(32)}` }] as const) {
    const told = await signedReceipt(change);
    assert.throws(
      () => store.append([{ ...order, signed: told }]),
      (error) => {
        assert(error instanceof ContradictingReceipts);
        assert.deepEqual([error.kept, error.refused], [kept, told]);
        return true;
      },
    );
  }
  const later = await signedReceipt({ seq: 8 });
  const lie = await signedReceipt({ logHead: `0x${"05".repeat(32)}` });
  assert.throws(
    () =>
      store.append([
        { ...order, signed: lie },
        { ...order, signed: later },
      ]),
    ContradictingReceipts,
  );
  assert.deepEqual(
    store.list().map(({ signed }) => signed),
    [kept, later],
  );
  wallet.close();
});

test("a receipt whose text was damaged is named in the error [REC-6]", async (context) => {
  const directory = await temporaryWallet(context);
  const wallet = await createWallet(directory, newSeedPhrase(), PASSWORD, QUICK);
  wallet.receipts(HOUSE).append([{ ticketId: TICKET, clientId: 5n, signed: await signedReceipt({}) }]);
  wallet.close();
  const database = new DatabaseSync(join(directory, "wallet.sqlite"));
  database.exec("UPDATE receipts SET body = substr(body, 1, 40)");
  database.close();
  const again = await openWallet(directory, PASSWORD);
  assert.throws(() => again.receipts(HOUSE).list(), ReceiptDamaged);
  again.close();
});
