import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { Wallet as EthersWallet } from "ethers";
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
  for (const file of ["keystore.json", "journal.sqlite"]) {
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
  const journal = wallet.journal(HOUSE, 0);
  assert.equal(journal.highest("note"), 0n);
  journal.record("note", 7n);
  journal.record("note", 5n);
  journal.record("credit", 2n ** 63n);
  wallet.close();

  const again = await openWallet(directory, PASSWORD);
  assert.equal(again.journal(HOUSE, 0).highest("note"), 7n);
  assert.equal(again.journal(HOUSE, 0).highest("credit"), 2n ** 63n);
  assert.equal(again.journal(HOUSE, 1).highest("note"), 0n);
  assert.equal(again.journal({ ...HOUSE, chainId: 1n }, 0).highest("note"), 0n);
  again.close();

  await rm(join(directory, "journal.sqlite"));
  const bare = await openWallet(directory, PASSWORD);
  assert.deepEqual(accountKeys(bare.phrase, 0), accountKeys(phrase, 0));
  assert.equal(bare.journal(HOUSE, 0).highest("note"), 0n);
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
     wallet.journal({ chainId: 31337n, address: "0xaa" }, 0).record("note", 3n);
     process.send("open");
     setInterval(() => undefined, 1_000);`,
  );
  const holder = fork(script);
  await once(holder, "message");
  await assert.rejects(openWallet(directory, PASSWORD), WalletInUse);
  holder.kill("SIGKILL");
  await once(holder, "exit");
  const opened = await openWallet(directory, PASSWORD);
  assert.equal(opened.journal({ chainId: 31337n, address: "0xaa" }, 0).highest("note"), 3n);
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
  await writeFile(join(directory, "journal.sqlite"), "not a database, by far not long enough to be one");
  await assert.rejects(openWallet(directory, PASSWORD), WalletDamaged);
});
