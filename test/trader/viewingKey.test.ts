import assert from "node:assert/strict";
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import fc from "fast-check";
import { FIELD_MODULUS } from "../../src/protocol/field.ts";
import { accountKeys } from "../../src/protocol/keys.ts";
import { FileExists, FileTooOpen } from "../../src/trader/files.ts";
import {
  changePassword,
  createViewingWallet,
  createWallet,
  openAnyWallet,
  openWallet,
  outlineOfWallet,
  WalletExists,
  WalletInUse,
  WalletOnlyWatches,
  WrongPassword,
} from "../../src/trader/store.ts";
import {
  exportViewingKey,
  importViewingKey,
  MalformedViewingKey,
  parseViewingKey,
  type ViewingKey,
  viewingKeyText,
} from "../../src/trader/viewingKey.ts";

const PHRASE = "legal winner thank year wave sausage worth useful legal winner thank yellow";
const PASSWORD = "correct horse";
const QUICK = { scryptN: 1_024 };
const ACCOUNT = 0x1234_5678_9abc_0001n;
const { ownerKey, viewingKey, spendingKey } = accountKeys(PHRASE, ACCOUNT);
const KEY: ViewingKey = {
  chainId: 31337,
  clearingHouse: `0x${"aB".repeat(20)}`,
  accountNumber: ACCOUNT,
  ownerKey,
  viewingKey,
  fromBlock: 12,
  name: "main",
};

async function temporaryDirectory(context: TestContext): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), "hedgerow-viewing-"));
  context.after(() => rm(parent, { recursive: true, force: true }));
  return parent;
}

test("a viewing key goes to a file of its owner only and comes back, and holds nothing that spends [ACC-14, ACC-19]", async (context) => {
  const file = join(await temporaryDirectory(context), "audit.json");
  exportViewingKey(file, KEY);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.deepEqual(importViewingKey(file), KEY);
  const text = await readFile(file, "utf8");
  assert(!text.includes(spendingKey.toString(16)) && !text.includes(spendingKey.toString()));
  assert.throws(() => exportViewingKey(file, KEY), FileExists);
  assert.equal(await readFile(file, "utf8"), text);
  await chmod(file, 0o644);
  assert.throws(() => importViewingKey(file), FileTooOpen);

  const bare: ViewingKey = { chainId: 1, clearingHouse: KEY.clearingHouse, accountNumber: 0n, ownerKey, viewingKey };
  assert.deepEqual(parseViewingKey(viewingKeyText(bare), "it"), bare);
});

test("a viewing key of any size of numbers comes back as it was [ACC-19]", () => {
  const field = fc.bigInt({ min: 1n, max: FIELD_MODULUS - 1n });
  const keys = fc.record({
    chainId: fc.integer({ min: 1, max: 2 ** 31 }),
    accountNumber: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    ownerKey: field,
    viewingKey: field,
    fromBlock: fc.nat(),
    name: fc.string({ minLength: 1, maxLength: 64 }),
  });
  fc.assert(
    fc.property(keys, (some) => {
      const key = { ...some, clearingHouse: KEY.clearingHouse };
      assert.deepEqual(parseViewingKey(viewingKeyText(key), "it"), key);
    }),
  );
});

test("a viewing key with anything changed in it is refused, and the error does not repeat the key [ACC-19]", () => {
  const text = viewingKeyText(KEY);
  const secret = viewingKey.toString(16);
  const refused = (changed: string, field?: string) =>
    assert.throws(
      () => parseViewingKey(changed, "audit.json"),
      (error) => {
        assert(error instanceof MalformedViewingKey, String(error));
        assert(!error.message.includes(secret) && error.message.startsWith("audit.json"));
        return field === undefined || error.details["field"] === field;
      },
    );
  refused("");
  refused("[]");
  refused(text.slice(0, -20));
  refused(text.replace('"version": 1', '"version": 2'), "version");
  refused(text.replace("hedgerow-viewing-key", "other"), "format");
  refused(text.replace('"chainId": 31337', '"chainId": 31338'), "checksum");
  refused(text.replace('"main"', '"mine"'), "checksum");
  refused(text.replace('"name"', '"nickname"'));
  refused(text.replace(secret, `${secret.slice(1)}}`), "viewingKey");
  refused(text.replace(ACCOUNT.toString(), "12}4"), "accountNumber");
  refused(text.replace(secret, "f".repeat(64)), "viewingKey");
  fc.assert(
    fc.property(fc.nat(text.length - 1), fc.constantFrom("0", "1", "a", "f", " ", '"', "}"), (at, letter) => {
      const changed = text.slice(0, at) + letter + text.slice(at + 1);
      try {
        // White space may change, and the case of an address; what is read may not.
        assert.deepEqual(
          { ...parseViewingKey(changed, "audit.json"), clearingHouse: "" },
          { ...KEY, clearingHouse: "" },
        );
      } catch (error) {
        assert(error instanceof MalformedViewingKey, String(error));
      }
    }),
  );
});

test("a wallet that only watches keeps its key behind a password and signs nothing [ACC-20]", async (context) => {
  const directory = join(await temporaryDirectory(context), "watch");
  const made = await createViewingWallet(directory, KEY, PASSWORD, QUICK);
  assert.deepEqual(made.viewingKey, KEY);
  await assert.rejects(openAnyWallet(directory, PASSWORD), WalletInUse);
  made.close();
  const keystore = await readFile(join(directory, "keystore.json"), "utf8");
  for (const word of [viewingKey.toString(16), ownerKey.toString(16), "abab"]) assert(!keystore.includes(word));
  assert.deepEqual(await outlineOfWallet(directory), { kind: "viewing", address: undefined });

  await assert.rejects(openAnyWallet(directory, "wrong horse"), WrongPassword);
  await assert.rejects(openWallet(directory, PASSWORD), WalletOnlyWatches);
  await assert.rejects(createWallet(directory, PHRASE, PASSWORD, QUICK), WalletExists);
  await changePassword(directory, PASSWORD, "battery staple", QUICK);
  const opened = await openAnyWallet(directory, "battery staple");
  context.after(() => opened.close());
  assert(opened.kind === "viewing");
  assert.deepEqual(opened.viewingKey, KEY);
  assert(!("phrase" in opened) && !("fundingKey" in opened));
});

test("a viewing key file that is none is not made a wallet of [ACC-19]", async (context) => {
  const file = join(await temporaryDirectory(context), "audit.json");
  await writeFile(file, "{}", { mode: 0o600 });
  assert.throws(() => importViewingKey(file), MalformedViewingKey);
});
