import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { privateKeyToAddress } from "viem/accounts";
import { z } from "zod";
import { deposit, openSeat } from "../../src/chain/clearingHouse.ts";
import { type LocalExchange, startLocalExchange } from "../../src/chain/localExchange.ts";
import { runCommandLine } from "../../src/cli/commandLine.ts";
import { TERMINAL } from "../../src/cli/session.ts";
import { DEMO_CLEARING_TERMS, DOLLAR, LEAN_HOG_TERMS } from "../../src/clearing/leanHogs.ts";
import { accountKeys, addressOf, creditPrivateKey, parseSeedPhrase } from "../../src/protocol/keys.ts";
import { accountNumberOf } from "../../src/trader/accountNumber.ts";
import { readNetwork, writeNetwork } from "../../src/trader/home.ts";
import { advance } from "../../src/trader/accountState.ts";
import { balanceOf } from "../../src/trader/reports/balance.ts";
import { readRelayFee } from "../../src/trader/reports/reader.ts";
import { watchingService } from "../../src/trader/watching.ts";
import { ChainState } from "../../src/chain/chainState.ts";
import { BadParams } from "../../src/trader/commands.ts";
import { openAnyWallet, WalletOnlyWatches } from "../../src/trader/store.ts";
import { importViewingKey } from "../../src/trader/viewingKey.ts";

const PHRASE = "legal winner thank year wave sausage worth useful legal winner thank yellow";
const PASSWORD = "correct horse";

let parent: string;
let home: string;
let local: LocalExchange;

before(async () => {
  parent = await mkdtemp(join(tmpdir(), "hedgerow-cli-wallet-"));
  home = join(parent, "home");
  await secret("password", `${PASSWORD}\n`);
  await secret("phrase", ` ${PHRASE.toUpperCase()} \n`);
  local = await startLocalExchange({ clearingTerms: DEMO_CLEARING_TERMS, markets: [LEAN_HOG_TERMS] });
  writeNetwork(home, {
    name: "test",
    chain: local.url,
    chainId: Number(local.chain.chainId),
    clearingHouse: local.chain.address,
    fromBlock: 0,
    exchange: "http://127.0.0.1:1",
    decimals: 6,
  });
});
after(async () => {
  await local.stop();
  await rm(parent, { recursive: true, force: true });
});

async function secret(name: string, text: string): Promise<string> {
  const file = join(parent, name);
  await writeFile(file, text, { mode: 0o600 });
  return file;
}

const passwordFile = () => ["--password-file", join(parent, "password")];
const phraseFile = () => ["--phrase-file", join(parent, "phrase")];

/** Runs `hedgerow wallet` in this process, where there is no terminal. */
async function wallet(...line: readonly string[]) {
  const [out, err]: [string[], string[]] = [[], []];
  const io = {
    ...TERMINAL,
    print: (text: string) => void out.push(text),
    printError: (text: string) => void err.push(text),
    progress: { write: (text: string) => err.push(text) > 0 },
  };
  const code = (await runCommandLine(["wallet", ...line, "--home", home], io)) ?? 0;
  const [told, complained] = [out.join("\n"), err.join("\n")];
  for (const word of ["winner", "sausage", PASSWORD]) assert(!`${told}${complained}`.includes(word), word);
  return { code, out: told, err: complained, json: (): unknown => JSON.parse(told) };
}

test("a new wallet's phrase goes to a new file of its owner only, and the first wallet is the chosen one [ACC-1, ACC-18]", async () => {
  assert.match((await wallet("list")).out, /no wallet yet/);
  const file = join(parent, "new-phrase");
  const made = await wallet("new", ...passwordFile(), "--phrase-out", file, "--json");
  assert.equal(made.code, 0, made.err);
  const opened = await openAnyWallet(join(home, "wallets", "main"), PASSWORD);
  opened.close();
  assert(opened.kind === "full");
  assert.equal(parseSeedPhrase(await readFile(file, "utf8")), opened.phrase);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  const address = privateKeyToAddress(opened.fundingKey()).toLowerCase();
  assert.deepEqual(made.json(), { wallet: "main", kind: "full", address, chosen: true });

  const again = await wallet("new", "other", ...passwordFile(), "--phrase-out", file);
  assert(again.code !== 0 && again.err.includes("FileExists"), again.err);
  assert(!existsSync(join(home, "wallets", "other")) || !existsSync(join(home, "wallets", "other", "keystore.json")));
});

test("without a terminal nothing is shown and nothing is asked: the error says what to give [ACC-1]", async () => {
  const silent = await wallet("new", "silent", ...passwordFile());
  assert(silent.code !== 0 && silent.err.includes("WalletPhraseUnseen"), silent.err);
  const unasked = await wallet("import", "silent", ...phraseFile());
  assert(unasked.code === 5 && unasked.err.includes("--password-file"), unasked.err);
  assert(!existsSync(join(home, "wallets", "silent", "keystore.json")));
});

test("a wallet that is there, a bad name, phrase or password, and a file open to others are refused [ACC-1, ACC-18]", async () => {
  assert.match((await wallet("import", "main", ...phraseFile(), ...passwordFile())).err, /WalletExists/);
  assert.match((await wallet("import", "../x", ...phraseFile(), ...passwordFile())).err, /BadName/);
  const wrong = await secret("wrong-phrase", PHRASE.replace("yellow", "winner"));
  assert.match((await wallet("import", "x", "--phrase-file", wrong, ...passwordFile())).err, /MalformedSeedPhrase/);
  const short = await secret("short", "1234567");
  const refused = await wallet("import", "x", ...phraseFile(), "--password-file", short);
  assert.match(refused.err, /WalletPasswordTooShort/);
  await chmod(wrong, 0o644);
  assert.match((await wallet("import", "x", "--phrase-file", wrong, ...passwordFile())).err, /FileTooOpen/);
  assert.match((await wallet("default", "x")).err, /WalletNotFound/);
  assert.match((await wallet("show", "x")).err, /WalletNotFound/);
});

const found = z.object({
  found: z.object({
    place: z.number(),
    account: z.string(),
    seat: z.object({ status: z.string(), epoch: z.number().nullable() }),
    cash: z.string(),
    positions: z.array(z.unknown()),
    tickets: z.array(z.unknown()),
    credits: z.array(z.object({ creditId: z.string(), amount: z.string() })),
  }),
});

test("a phrase finds on chain its seat and the deposit that waits, and is kept only then [ACC-12, ACC-16]", async () => {
  const number = accountNumberOf(local.chain.domain);
  const keys = accountKeys(PHRASE, number);
  const sender = await local.fundedSender(10_000n * DOLLAR);
  await openSeat(local.chain, sender, keys.ownerKey);
  const creditId = await deposit(local.chain, sender, 700n * DOLLAR, addressOf(creditPrivateKey(keys.spendingKey, 3n)));

  const args = [...phraseFile(), ...passwordFile(), "--network", "test"];
  writeNetwork(home, {
    name: "gone",
    chain: "http://127.0.0.1:1",
    chainId: 31337,
    clearingHouse: local.chain.address,
    fromBlock: 0,
    exchange: "http://127.0.0.1:1",
    decimals: 6,
  });
  const gone = await wallet("recover", "back", ...phraseFile(), ...passwordFile(), "--network", "gone");
  assert.equal(gone.code, 4, gone.err);
  const recovered = await wallet("recover", "back", ...args, "--json");
  assert.equal(recovered.code, 0, recovered.err);
  assert.deepEqual(found.parse(recovered.json()).found, {
    place: 0,
    account: number.toString(),
    seat: { status: "active", epoch: 1 },
    cash: "0",
    positions: [],
    tickets: [],
    credits: [{ creditId: creditId.toString(), amount: (700n * DOLLAR).toString() }],
  });
  const text = await wallet("recover", "text", ...args);
  assert.match(text.out, /seat +open[\s\S]*deposits +700\.00 waiting/);
});

test("a viewing key is exported, makes a wallet that only watches, and the lists say so [ACC-19, ACC-20, PRI-18]", async () => {
  const file = join(parent, "audit.json");
  const options = ["--wallet", "back", "--network", "test", ...passwordFile()];
  const exported = await wallet("export-viewing-key", file, ...options);
  assert.equal(exported.code, 0, exported.err);
  const number = accountNumberOf(local.chain.domain);
  const { ownerKey, viewingKey } = accountKeys(PHRASE, number);
  const key = importViewingKey(file);
  assert.deepEqual([key.accountNumber, key.ownerKey, key.viewingKey], [number, ownerKey, viewingKey]);
  assert.match((await wallet("export-viewing-key", file, ...options)).err, /FileExists/);
  const full = await openAnyWallet(join(home, "wallets", "back"), PASSWORD);
  assert(full.kind === "full");
  assert.equal(full.viewingKeysExported(local.chain, number), 1, "what the privacy report counts [PRI-18]");
  full.close();

  assert.equal((await wallet("import-viewing-key", "watch", file, ...passwordFile())).code, 0);
  assert.match((await wallet("show", "watch")).out, /only watches/);
  await writeFile(join(home, "wallets", "text", "keystore.json"), "{");
  const { wallets } = z
    .object({ wallets: z.array(z.object({ name: z.string(), kind: z.string(), chosen: z.boolean() })) })
    .parse((await wallet("list", "--json")).json());
  assert.deepEqual(wallets, [
    { name: "back", kind: "full", chosen: false },
    { name: "main", kind: "full", chosen: true },
    { name: "text", kind: "damaged", chosen: false },
    { name: "watch", kind: "viewing", chosen: false },
  ]);
  const watching = await wallet("export-viewing-key", join(parent, "b.json"), ...options.slice(2), "--wallet", "watch");
  assert.match(watching.err, /WalletOnlyWatches/);
});

test("a wallet that only watches answers what its owner's reports say, and signs nothing [ACC-14, ACC-20]", async () => {
  const opened = await openAnyWallet(join(home, "wallets", "watch"), PASSWORD);
  assert(opened.kind === "viewing");
  const network = readNetwork(home, "test");
  const service = await watchingService({ wallet: opened, network, chain: local.chain });
  await assert.rejects(service.run("history", { fromEpoch: 0 }), BadParams);
  const number = accountNumberOf(local.chain.domain);
  const chain = await ChainState.follow(local.chain);
  const keys = accountKeys(PHRASE, number);
  const state = advance(keys, chain);
  const owner = { keys, chain, state, accountNumber: number, relayFee: await readRelayFee(chain) };
  const balance = await service.run("balance", {});
  assert.deepEqual({ ...balance, credits: balanceOf(owner, network).credits }, balanceOf(owner, network));
  assert.deepEqual(balance.credits, []);
  assert.equal((await service.run("history", {}))[0]?.kind, "seat-opened");
  assert.equal((await service.run("statement", {})).closingEquity, "0");
  assert.deepEqual(await service.run("tickets", {}), []);
  for (const refused of [
    service.run("deposit", { amount: "1" }),
    service.run("renew", {}),
    service.run("orders", {}),
  ]) {
    await assert.rejects(refused, WalletOnlyWatches);
  }
  await service.close();
});

test("another wallet is chosen, and a password is changed [ACC-17]", async () => {
  assert.equal((await wallet("default", "back")).code, 0);
  const newPassword = await secret("new-password", "battery staple\n");
  const changed = await wallet("change-password", ...passwordFile(), "--new-password-file", newPassword);
  assert.equal(changed.code, 0, changed.err);
  const again = await wallet("change-password", ...passwordFile(), "--new-password-file", newPassword);
  assert.match(again.err, /WrongPassword/);
  assert.equal(again.code, 5);
  const opened = await openAnyWallet(join(home, "wallets", "back"), "battery staple");
  opened.close();
});
