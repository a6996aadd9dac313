import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import { encryptKeystoreJson, HDNodeWallet, Wallet as EthersWallet } from "ethers";
import fc from "fast-check";
import { privateKeyToAddress } from "viem/accounts";
import { z } from "zod";
import { senderOf } from "../../src/chain/clearingHouse.ts";
import { phrasePattern } from "../support/recorder.ts";
import { ownSigning } from "../../src/exchange/ownSigning.ts";
import { domainOf } from "../../src/protocol/order.ts";
import { type Receipt, type SignedReceipt, verifyReceipt } from "../../src/protocol/receipt.ts";
import { ContradictingReceipts, type OrderReceipt, ReceiptDamaged } from "../../src/trader/receiptStore.ts";
import { accountKeys, MalformedSeedPhrase, newSeedPhrase } from "../../src/protocol/keys.ts";
import { WalletNotPrivate } from "../../src/trader/files.ts";
import {
  changePassword,
  createWallet,
  openWallet,
  outlineOfWallet,
  WalletDamaged,
  WalletExists,
  WalletInUse,
  WalletNotFound,
  WalletTooNew,
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
    assert.doesNotMatch(contents, phrasePattern(phrase));
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

test("the keystore is the common format both ways: ethers reads ours and we read that of ethers [ACC-17]", async (context) => {
  const directory = await temporaryWallet(context);
  const phrase = newSeedPhrase();
  const wallet = await createWallet(directory, phrase, "pass\u00e9 \ufb01ne", QUICK);
  const ours = await readFile(join(directory, "keystore.json"), "utf8");
  // Passwords that look alike are alike: NFKC.
  const theirs = await EthersWallet.fromEncryptedJson(ours, "passe\u0301 fine");
  assert.equal(theirs.privateKey, wallet.fundingKey());
  assert("mnemonic" in theirs && theirs.mnemonic?.phrase === phrase);
  assert.deepEqual(await outlineOfWallet(directory), { kind: "full", address: theirs.address.toLowerCase() });
  wallet.close();

  const { address, privateKey, mnemonic, path } = HDNodeWallet.fromPhrase(phrase);
  assert(mnemonic !== null && path !== null);
  const account = { address, privateKey, mnemonic: { entropy: mnemonic.entropy, path, locale: "en" } };
  const written = await encryptKeystoreJson(account, PASSWORD, { scrypt: { N: 1 << 10 } });
  await writeFile(join(directory, "keystore.json"), written);
  const opened = await openWallet(directory, PASSWORD);
  context.after(() => opened.close());
  assert.equal(opened.phrase, phrase);
  assert.equal(opened.fundingKey(), theirs.privateKey);
});

test("the funding key is the phrase's Ethereum key at m/44'/60'/0'/0/0 [ACC-17]", async (context) => {
  const phrase = "test test test test test test test test test test test junk";
  const wallet = await createWallet(await temporaryWallet(context), phrase, PASSWORD, QUICK);
  context.after(() => wallet.close());
  assert.equal(privateKeyToAddress(wallet.fundingKey()), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
});

test("a password is changed for both, keystore and phrase, and the old one opens nothing [ACC-17]", async (context) => {
  const directory = await temporaryWallet(context);
  const phrase = newSeedPhrase();
  (await createWallet(directory, phrase, PASSWORD, QUICK)).close();
  await assert.rejects(changePassword(directory, "wrong", "battery staple", QUICK), WrongPassword);
  await changePassword(directory, PASSWORD, "battery staple", QUICK);
  await assert.rejects(openWallet(directory, PASSWORD), WrongPassword);
  const opened = await openWallet(directory, "battery staple");
  assert.equal(opened.phrase, phrase);
  await assert.rejects(changePassword(directory, "battery staple", PASSWORD, QUICK), WalletInUse);
  opened.close();
  assert.equal((await stat(join(directory, "keystore.json"))).mode & 0o777, 0o600);
});

/** A keystore, and what opening the wallet says where `change` was made to its text. */
async function afterChange(context: TestContext) {
  const directory = await temporaryWallet(context);
  const phrase = newSeedPhrase();
  (await createWallet(directory, phrase, PASSWORD, QUICK)).close();
  const file = join(directory, "keystore.json");
  const text = await readFile(file, "utf8");
  const open = async (changed: string | Uint8Array): Promise<"opened" | "refused"> => {
    await writeFile(file, changed);
    try {
      const wallet = await openWallet(directory, PASSWORD);
      wallet.close();
      assert.equal(wallet.phrase, phrase);
      return "opened";
    } catch (error) {
      assert(error instanceof WalletDamaged || error instanceof WrongPassword, String(error));
      assert.doesNotMatch(error.message, phrasePattern(phrase));
      return "refused";
    }
  };
  return { text, open };
}

test("a keystore with anything cut, flipped or put in its place opens the very phrase or is refused [ACC-17]", async (context) => {
  const { text, open } = await afterChange(context);
  await fc.assert(
    fc.asyncProperty(fc.nat(text.length - 1), async (length) => {
      assert.equal(await open(text.slice(0, length)), "refused");
    }),
    { numRuns: 20 },
  );
  await fc.assert(
    fc.asyncProperty(fc.nat(text.length - 1), fc.integer({ min: 0, max: 7 }), async (at, bit) => {
      const bytes = Buffer.from(text);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
      await open(bytes);
    }),
    { numRuns: 100 },
  );
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.json(), fc.string(), fc.uint8Array()), async (other) => {
      assert.equal(await open(other), "refused");
    }),
    { numRuns: 25 },
  );
  assert.equal(await open(text), "opened");
});

test("another phrase beside the key is noticed: the format's own checksum does not cover it [ACC-17]", async (context) => {
  const { text, open } = await afterChange(context);
  const keystore = z
    .looseObject({ "x-ethers": z.looseObject({ mnemonicCiphertext: z.string() }) })
    .parse(JSON.parse(text));
  const { mnemonicCiphertext } = keystore["x-ethers"];
  const flipped = (mnemonicCiphertext.startsWith("0") ? "1" : "0") + mnemonicCiphertext.slice(1);
  const changed = { ...keystore, "x-ethers": { ...keystore["x-ethers"], mnemonicCiphertext: flipped } };
  assert.equal(await open(JSON.stringify(changed)), "refused");
  const shorter = { ...keystore["x-ethers"], mnemonicCiphertext: mnemonicCiphertext.slice(2) };
  assert.equal(await open(JSON.stringify({ ...keystore, "x-ethers": shorter })), "refused");
});

test("a keystore that asks for endless memory or time is refused at once [ACC-17]", async (context) => {
  const { text, open } = await afterChange(context);
  const started = performance.now();
  for (const [n, r, p] of [
    [2 ** 31, 8, 1],
    [2 ** 25, 8, 1],
    [2, 2 ** 24, 1],
    [1024, 8, 2 ** 20],
    [2 ** 17, 8, 16],
    [2 ** 18, 16, 1],
    [1000, 8, 1],
    [1, 8, 1],
    [0, 8, 1],
    [-1024, 8, 1],
    [1e300, 8, 1],
    [1024.5, 8, 1],
  ] as const) {
    const changed = text.replace(/"n":1024,"dklen":32,"p":1,"r":8/, `"n":${n},"dklen":32,"p":${p},"r":${r}`);
    assert.notEqual(changed, text);
    assert.equal(await open(changed), "refused");
  }
  assert.equal(await open(text.replace('"scrypt"', '"pbkdf2"')), "refused");
  assert.equal(await open(text.replace('"salt":"', `"salt":"${"ab".repeat(20_000)}`)), "refused");
  assert.equal(await open(`${"[".repeat(100_000)}${"]".repeat(100_000)}`), "refused");
  // A second section of another spelling, which asks for more, is not the one that is opened.
  const greedy = text
    .replace(/^.*"Crypto":/, '"crypto":')
    .replace(/"n":1024/, `"n":${2 ** 25}`)
    .replace(/,"x-ethers".*$/, ",");
  await open(text.replace('"Crypto":', `${greedy}"Crypto":`));
  assert(performance.now() - started < 5_000);
});

test("files of a wallet that were open to others are closed when it is opened, and links are refused [ACC-18]", async (context) => {
  const directory = await temporaryWallet(context);
  (await createWallet(directory, newSeedPhrase(), PASSWORD, QUICK)).close();
  await chmod(directory, 0o755);
  for (const file of ["keystore.json", "wallet.sqlite"]) await chmod(join(directory, file), 0o644);
  const wallet = await openWallet(directory, PASSWORD);
  wallet.journal(HOUSE, 0n).record("note", 1n);
  assert.equal((await stat(directory)).mode & 0o777, 0o700);
  for (const file of await readdir(directory))
    assert.equal((await stat(join(directory, file))).mode & 0o777, 0o600, file);
  wallet.close();

  const database = join(directory, "wallet.sqlite");
  await rename(database, join(directory, "..", "elsewhere.sqlite"));
  await symlink(join(directory, "..", "elsewhere.sqlite"), database);
  await assert.rejects(openWallet(directory, PASSWORD), WalletNotPrivate);
});

test("a database of a later version is left alone [ACC-18]", async (context) => {
  const directory = await temporaryWallet(context);
  (await createWallet(directory, newSeedPhrase(), PASSWORD, QUICK)).close();
  const database = new DatabaseSync(join(directory, "wallet.sqlite"));
  assert.deepEqual({ ...database.prepare("PRAGMA user_version").get() }, { user_version: 1 });
  database.exec("PRAGMA user_version = 2");
  database.close();
  await assert.rejects(openWallet(directory, PASSWORD), WalletTooNew);
  const untouched = new DatabaseSync(join(directory, "wallet.sqlite"), { readOnly: true });
  assert.deepEqual({ ...untouched.prepare("PRAGMA user_version").get() }, { user_version: 2 });
  untouched.close();
});

test("a crash while the keystore was written leaves no wallet, or the old one [ACC-18]", async (context) => {
  const directory = await temporaryWallet(context);
  await mkdir(directory);
  await writeFile(join(directory, "keystore.json.77.new"), '{"address":"12');
  await assert.rejects(openWallet(directory, PASSWORD), WalletNotFound);
  const phrase = newSeedPhrase();
  (await createWallet(directory, phrase, PASSWORD, QUICK)).close();
  await writeFile(join(directory, `keystore.json.${process.pid}.new`), "{");
  const opened = await openWallet(directory, PASSWORD);
  assert.equal(opened.phrase, phrase);
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
