import { existsSync, rmSync } from "node:fs";
import type { ChainState } from "../chain/chainState.ts";
import { HedgerowError } from "../protocol/errors.ts";
import { FileExists, readSecretFile, writeNewPrivateFile } from "../trader/files.ts";
import {
  ensureWalletsDirectory,
  homeDirectory,
  type Network,
  readSettings,
  walletDirectory,
  writeSettings,
} from "../trader/home.ts";
import { keystoreFile, outlineOfWallet, WalletExists } from "../trader/walletFiles.ts";
import { showProgress } from "./progress.ts";
import { askHidden, askPassword, askYes } from "./prompt.ts";
import { type Io, type JsonOptions, type NetworkOptions, openNetwork, type WalletOptions } from "./session.ts";
import { parsePlace } from "./values.ts";
import { entryOf, nameOf, type Shown } from "./walletList.ts";

/*
 * What is done with a wallet's secrets. What takes long to load is loaded after the questions.
 */

const keys = () => import("../protocol/keys.ts");
const store = () => import("../trader/store.ts");
const recovery = () => import("../trader/recovery.ts");

export type NewOptions = Shown & { readonly passwordFile?: string; readonly phraseOut?: string };
export type PhraseOptions = Shown & { readonly passwordFile?: string; readonly phraseFile?: string };
export type RecoverOptions = PhraseOptions & NetworkOptions;
export type PasswordChange = Shown & { readonly passwordFile?: string; readonly newPasswordFile?: string };
export type ExportOptions = WalletOptions & JsonOptions;

/** The password of a wallet is too easy to guess. */
export class WalletPasswordTooShort extends HedgerowError {
  constructor() {
    super(
      "WalletPasswordTooShort",
      `the password has fewer than ${LEAST_PASSWORD} characters: choose a longer one, several words are good`,
      { least: LEAST_PASSWORD },
    );
  }
}

/** Nobody is there to see a new phrase. */
export class WalletPhraseUnseen extends HedgerowError {
  constructor() {
    super(
      "WalletPhraseUnseen",
      "there is no terminal to show the seed phrase on: give --phrase-out FILE, which only you will be able to read",
    );
  }
}

/** The phrase of a new wallet was not written down. */
export class WalletNotMade extends HedgerowError {
  constructor() {
    super("WalletNotMade", "no wallet was made, as its phrase was not written down: begin again with pen and paper");
  }
}

const LEAST_PASSWORD = 8;

/** hedgerow wallet new */
export async function makeWallet(name: string, options: NewOptions, io: Io): Promise<void> {
  const { home, directory } = newPlace(name, options);
  const { phraseOut } = options;
  if (phraseOut === undefined && !(process.stdin.isTTY && process.stderr.isTTY)) throw new WalletPhraseUnseen();
  if (phraseOut !== undefined && existsSync(phraseOut)) throw new FileExists(phraseOut);
  const password = await askNewPassword(options.passwordFile);
  const phrase = (await keys()).newSeedPhrase();
  if (phraseOut === undefined) await showPhrase(phrase);
  else writeNewPrivateFile(phraseOut, `${phrase}\n`);
  try {
    await writeWallet(directory, phrase, password);
  } catch (error) {
    if (phraseOut !== undefined) rmSync(phraseOut);
    throw error;
  }
  await tellMade(home, name, "made", options, io, {});
}

/** hedgerow wallet import */
export async function importWallet(name: string, options: PhraseOptions, io: Io): Promise<void> {
  const { home, directory } = newPlace(name, options);
  const phrase = await askPhrase(options.phraseFile);
  const password = await askNewPassword(options.passwordFile);
  await writeWallet(directory, phrase, password);
  await tellMade(home, name, "imported", options, io, {});
}

/** hedgerow wallet recover: nothing is written before the chain was read, so that it can be tried again. */
export async function recoverWallet(name: string, options: RecoverOptions, io: Io): Promise<void> {
  const { home, directory } = newPlace(name, options);
  const network = await openNetwork(options);
  const phrase = await askPhrase(options.phraseFile);
  const password = await askNewPassword(options.passwordFile);
  const { foundText, foundView } = await import("./walletText.ts");
  const found = await onChain(network, options, io, async (chain, say) => {
    const { findAccount } = await recovery();
    say("looking for the account of the phrase");
    return foundView(network, chain, findAccount(phrase, chain));
  });
  await writeWallet(directory, phrase, password);
  await tellMade(home, name, "recovered", options, io, { found }, foundText(found, network.decimals));
}

/** hedgerow wallet change-password */
export async function changeWalletPassword(given: string | undefined, options: PasswordChange, io: Io): Promise<void> {
  const home = homeDirectory(options.home);
  const name = nameOf(home, given);
  const directory = walletDirectory(home, name);
  await outlineOfWallet(directory);
  const password = await askPassword(`Old password of ${name}:`, { passwordFile: options.passwordFile });
  const newPassword = await askNewPassword(options.newPasswordFile);
  await (await store()).changePassword(directory, password, newPassword);
  io.print(options.json ? JSON.stringify({ wallet: name }) : `Wallet ${name} has a new password.`);
}

/** hedgerow wallet export-viewing-key */
export async function exportKey(file: string, options: ExportOptions, io: Io): Promise<void> {
  if (existsSync(file)) throw new FileExists(file);
  const home = homeDirectory(options.home);
  const name = nameOf(home, options.wallet);
  const network = await openNetwork(options);
  const given = parsePlace(options.account);
  const password = await askPassword(`Password of ${name}:`, { passwordFile: options.passwordFile });
  const { accountNumberOf } = await import("../trader/accountNumber.ts");
  const { exportViewingKey } = await import("../trader/viewingKey.ts");
  const { accountKeys } = await keys();
  const wallet = await (await store()).openWallet(walletDirectory(home, name), password);
  try {
    const { phrase } = wallet;
    const place = given ?? (await placeInUse(phrase, network, options, io));
    const domain = domainOf(network);
    const accountNumber = accountNumberOf(domain, place);
    const { ownerKey, viewingKey } = accountKeys(phrase, accountNumber);
    const { chainId, clearingHouse, fromBlock } = network;
    wallet.countViewingKey({ chainId: BigInt(chainId), address: clearingHouse }, accountNumber);
    exportViewingKey(file, { chainId, clearingHouse, accountNumber, ownerKey, viewingKey, fromBlock, name });
    const view = { file, wallet: name, network: network.name, account: accountNumber.toString(), place: Number(place) };
    io.print(
      options.json
        ? JSON.stringify(view)
        : `${file} now shows account ${place} of wallet ${name} at ${network.name}: all that it did and will do.\n` +
            `It signs nothing and cannot be taken back. Give it to nobody whom you do not mean.`,
    );
  } finally {
    wallet.close();
  }
}

/** hedgerow wallet import-viewing-key */
export async function importKey(name: string, file: string, options: NewOptions, io: Io): Promise<void> {
  const { home, directory } = newPlace(name, options);
  const key = (await import("../trader/viewingKey.ts")).importViewingKey(file);
  const password = await askNewPassword(options.passwordFile);
  (await (await store()).createViewingWallet(directory, key, password)).close();
  await tellMade(home, name, "made; it only watches", options, io, {});
}

// ------------------------------------------------------------------ asking

/** Where a new wallet goes. Throws BadName, WalletExists. */
function newPlace(name: string, options: Shown): { readonly home: string; readonly directory: string } {
  const home = homeDirectory(options.home);
  const directory = walletDirectory(home, name);
  if (existsSync(keystoreFile(directory))) throw new WalletExists(directory);
  ensureWalletsDirectory(home);
  return { home, directory };
}

async function askNewPassword(passwordFile: string | undefined): Promise<string> {
  const password = await askPassword("Choose a password:", { passwordFile, repeat: true });
  if (password.length < LEAST_PASSWORD) throw new WalletPasswordTooShort();
  return password;
}

/** Throws MalformedSeedPhrase, and what reading the file or asking throws. */
async function askPhrase(phraseFile: string | undefined): Promise<string> {
  const given =
    phraseFile === undefined ? await askHidden("Seed phrase:", "give --phrase-file FILE") : readSecretFile(phraseFile);
  return (await keys()).parseSeedPhrase(given);
}

async function writeWallet(directory: string, phrase: string, password: string): Promise<void> {
  const { createWallet } = await store();
  (await createWallet(directory, phrase, password)).close();
}

/** Shows a phrase on a screen of its own, which leaves nothing behind. Throws WalletNotMade. */
async function showPhrase(phrase: string): Promise<void> {
  const words = phrase.split(" ").map((word, i) => `${`${i + 1}`.padStart(4)}. ${word.padEnd(10)}`);
  const half = Math.ceil(words.length / 2);
  const lines = Array.from({ length: half }, (_, i) => `${words[i] ?? ""}    ${words[half + i] ?? ""}`.trimEnd());
  process.stderr.write(`\u001b[?1049h\u001b[H
This is your seed phrase. It is shown once.

${lines.join("\n")}

Write these words on paper, in this order, and keep the paper safe.
Whoever has them has your money. If you lose them, nobody can bring it back:
the password that you chose only guards the copy on this machine.

`);
  try {
    if (!(await askYes("Have you written all of them down?"))) throw new WalletNotMade();
  } finally {
    process.stderr.write("\u001b[?1049l");
  }
}

// ------------------------------------------------------------------ the chain

/** Reads the chain for a piece of work, and shows on standard error how far it is. Ctrl-C ends it. */
async function onChain<T>(
  network: Network,
  options: JsonOptions,
  io: Io,
  work: (chain: ChainState, say: (text: string) => void) => Promise<T>,
): Promise<T> {
  const { untilInterrupted } = await import("./interrupt.ts");
  const { followNetwork } = await import("../trader/networkChain.ts");
  const progress = showProgress(options.json === true, io.progress);
  const say = (text: string): void => progress.on({ stage: "syncing", text });
  return untilInterrupted(async () => {
    try {
      say(`reading the chain of ${network.name}`);
      const { chain, close } = await followNetwork(network);
      try {
        return await work(chain, say);
      } finally {
        close();
      }
    } finally {
      progress.end();
    }
  });
}

async function placeInUse(phrase: string, network: Network, options: JsonOptions, io: Io): Promise<bigint> {
  return onChain(network, options, io, async (chain) => {
    return (await recovery()).findAccount(phrase, chain).place;
  });
}

function domainOf({ chainId, clearingHouse }: Network) {
  return { name: "Hedgerow", version: "1", chainId, verifyingContract: clearingHouse } as const;
}

// ------------------------------------------------------------------ telling

/** The first wallet is the chosen one. */
async function tellMade(
  home: string,
  name: string,
  done: string,
  options: Shown,
  io: Io,
  more: object,
  text?: string,
): Promise<void> {
  const settings = readSettings(home);
  if (settings.wallet === undefined) writeSettings(home, { ...settings, wallet: name });
  const { kind, address, chosen } = await entryOf(home, name);
  if (options.json) {
    io.print(JSON.stringify({ wallet: name, kind, address, chosen, ...more }));
    return;
  }
  io.print(
    [
      `Wallet ${name} is ${done}.`,
      ...(address === null ? [] : [`It pays deposits from ${address}.`]),
      ...(chosen ? [] : [`hedgerow wallet default ${name} makes it the one that commands mean.`]),
      ...(text === undefined ? [] : ["", text]),
    ].join("\n"),
  );
}
