import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import fc from "fast-check";
import { HedgerowError } from "../../src/protocol/errors.ts";
import {
  FileExists,
  FileTooOpen,
  FileUnreadable,
  FileUnwritable,
  readSecretFile,
  WalletNotPrivate,
  writeNewPrivateFile,
  writePrivateFile,
} from "../../src/trader/files.ts";
import {
  BadName,
  homeDirectory,
  listNetworks,
  listWallets,
  MalformedFile,
  type Network,
  NetworkNotFound,
  readNetwork,
  readSettings,
  removeNetwork,
  walletDirectory,
  writeNetwork,
  writeSettings,
} from "../../src/trader/home.ts";
import { createWallet } from "../../src/trader/store.ts";

const NETWORK: Network = {
  name: "local",
  chain: "http://127.0.0.1:8545",
  chainId: 31337,
  clearingHouse: `0x${"aB".repeat(20)}`,
  fromBlock: 3,
  exchange: "http://127.0.0.1:7700",
  decimals: 6,
};
const PHRASE = "legal winner thank year wave sausage worth useful legal winner thank yellow";

async function temporaryHome(context: TestContext): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), "hedgerow-home-"));
  context.after(() => rm(parent, { recursive: true, force: true }));
  return join(parent, "home");
}

const modeOf = async (file: string): Promise<number> => (await stat(file)).mode & 0o777;

test("networks are kept, listed, replaced and forgotten, in files of their owner only [ACC-18]", async (context) => {
  const home = await temporaryHome(context);
  assert.deepEqual(listNetworks(home), []);
  assert.throws(() => readNetwork(home, "local"), NetworkNotFound);
  writeNetwork(home, NETWORK);
  writeNetwork(home, { ...NETWORK, name: "a-test", proxy: "socks5h://127.0.0.1:9050" });
  assert.deepEqual(listNetworks(home), ["a-test", "local"]);
  assert.deepEqual(readNetwork(home, "local"), NETWORK);
  writeNetwork(home, { ...NETWORK, decimals: 18 });
  assert.equal(readNetwork(home, "local").decimals, 18);
  assert.equal(await modeOf(home), 0o700);
  assert.equal(await modeOf(join(home, "networks")), 0o700);
  assert.equal(await modeOf(join(home, "networks", "local.json")), 0o600);

  writeSettings(home, { network: "local", wallet: "main" });
  removeNetwork(home, "local");
  assert.deepEqual(listNetworks(home), ["a-test"]);
  assert.deepEqual(readSettings(home), { wallet: "main" });
  assert.throws(() => removeNetwork(home, "local"), NetworkNotFound);
});

test("names that are none, or lead out of the home directory, are refused [ACC-18]", async (context) => {
  const home = await temporaryHome(context);
  for (const name of ["", "..", "../x", "a/b", "A", "-a", "a b", "a".repeat(33), "é", "a\0", "."]) {
    assert.throws(() => readNetwork(home, name), BadName);
    assert.throws(() => removeNetwork(home, name), BadName);
    assert.throws(() => writeNetwork(home, { ...NETWORK, name }), BadName);
    assert.throws(() => walletDirectory(home, name), BadName);
    assert.throws(() => writeSettings(home, { wallet: name }), MalformedFile);
  }
  await assert.rejects(stat(home));
});

test("a file that is no settings or network is named with its field, whatever it holds [ACC-18]", async (context) => {
  const home = await temporaryHome(context);
  assert.deepEqual(readSettings(home), {});
  writeSettings(home, { network: "local" });
  writeNetwork(home, NETWORK);
  const file = join(home, "networks", "local.json");
  const wrong = async (text: string, field: string) => {
    await writeFile(file, text);
    assert.throws(
      () => readNetwork(home, "local"),
      (error) => error instanceof MalformedFile && error.message.startsWith(file) && error.details["field"] === field,
    );
  };
  await wrong("", "");
  await wrong('{"name":', "");
  await wrong("[]", "");
  await wrong(JSON.stringify({ ...NETWORK, chainId: "1" }), "chainId");
  await wrong(JSON.stringify({ ...NETWORK, clearingHouse: "0x12" }), "clearingHouse");
  await wrong(JSON.stringify({ ...NETWORK, name: "other" }), "name");
  await writeFile(file, Buffer.alloc(2 << 20, 32));
  assert.throws(() => readNetwork(home, "local"), FileUnreadable);

  const texts = fc.oneof(fc.json(), fc.string());
  fc.assert(
    fc.property(texts, (text) => {
      writePrivateFile(join(home, "settings.json"), text);
      try {
        readSettings(home);
      } catch (error) {
        assert(error instanceof MalformedFile, String(error));
      }
    }),
    { numRuns: 40 },
  );
});

test("wallets lie side by side and are listed by what holds a keystore [ACC-18]", async (context) => {
  const home = await temporaryHome(context);
  assert.deepEqual(listWallets(home), []);
  for (const name of ["savings", "main"]) {
    (await createWallet(walletDirectory(home, name), PHRASE, "correct horse", { scryptN: 1_024 })).close();
  }
  await mkdir(join(home, "wallets", "empty"));
  await writeFile(join(home, "wallets", "note"), "");
  assert.deepEqual(listWallets(home), ["main", "savings"]);
});

test("the home directory is the one given, then HEDGEROW_HOME, then ~/.hedgerow [ACC-18]", (context) => {
  const before = process.env["HEDGEROW_HOME"];
  context.after(() => {
    if (before === undefined) delete process.env["HEDGEROW_HOME"];
    else process.env["HEDGEROW_HOME"] = before;
  });
  process.env["HEDGEROW_HOME"] = "/named";
  assert.equal(homeDirectory("/given"), "/given");
  assert.equal(homeDirectory(), "/named");
  process.env["HEDGEROW_HOME"] = "";
  assert(homeDirectory().endsWith("/.hedgerow"));
});

test("files that were open to others are closed, and links elsewhere are refused [ACC-18]", async (context) => {
  const home = await temporaryHome(context);
  await mkdir(home, { mode: 0o777 });
  await chmod(home, 0o777);
  await writeFile(join(home, "settings.json"), "{}", { mode: 0o666 });
  await chmod(join(home, "settings.json"), 0o666);
  writeSettings(home, { wallet: "main" });
  assert.equal(await modeOf(home), 0o700);
  assert.equal(await modeOf(join(home, "settings.json")), 0o600);

  const elsewhere = join(home, "..", "elsewhere");
  await mkdir(elsewhere);
  await symlink(elsewhere, join(home, "networks"));
  assert.throws(() => writeNetwork(home, NETWORK), WalletNotPrivate);
  assert.deepEqual(await readdir(elsewhere), []);
});

test("a crash between writing and renaming leaves the old file whole [ACC-18]", async (context) => {
  const home = await temporaryHome(context);
  writeSettings(home, { wallet: "main" });
  // What such a crash leaves behind, also one that ran as a process of the same number.
  await writeFile(join(home, `settings.json.${process.pid}.new`), '{"wallet":"sav', { mode: 0o644 });
  await writeFile(join(home, "settings.json.1.new"), '{"wal');
  assert.deepEqual(readSettings(home), { wallet: "main" });
  writeSettings(home, { wallet: "savings" });
  assert.deepEqual(readSettings(home), { wallet: "savings" });
  assert.equal(await modeOf(join(home, "settings.json")), 0o600);
});

test("a new file never takes another's place, and one that cannot be written says so [ACC-18]", async (context) => {
  const home = await temporaryHome(context);
  writeSettings(home, {});
  const file = join(home, "phrase");
  writeNewPrivateFile(file, "first");
  assert.throws(() => writeNewPrivateFile(file, "second"), FileExists);
  assert.equal(await readFile(file, "utf8"), "first");
  assert.deepEqual((await readdir(home)).sort(), ["phrase", "settings.json"]);
  assert.throws(() => writeNewPrivateFile(join(home, "none", "phrase"), "x"), FileUnwritable);
  assert.throws(() => readSecretFile(home), FileUnreadable);
  assert.throws(() => readSecretFile(join(home, "absent")), FileUnreadable);
  assert.equal(readSecretFile(file), "first");
  await chmod(file, 0o640);
  assert.throws(() => readSecretFile(file), FileTooOpen);
});

test("errors of the home directory have a code, the value and what to do [ACC-18]", async (context) => {
  const home = await temporaryHome(context);
  writeNetwork(home, NETWORK);
  assert.throws(
    () => readNetwork(home, "nowhere"),
    (error) => error instanceof HedgerowError && /"nowhere".*local.*name another/.test(error.message),
  );
});
