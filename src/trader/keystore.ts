import { createCipheriv, createDecipheriv, hkdfSync, randomBytes, scrypt as nativeScrypt } from "node:crypto";
import { decryptKeystoreJson, encryptKeystoreJson, HDNodeWallet, isError, Mnemonic, scrypt, Wallet } from "ethers";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { reasonOf } from "./files.ts";
import {
  FUNDING_PATH,
  type Keystore,
  KeystoreMalformed,
  MOST_MEMORY,
  parseKeystore,
  type Sealed,
} from "./keystoreForm.ts";

/*
 * Web3 secret storage, version 3, written and read by ethers: the Ethereum key of a phrase behind a password, and the
 * phrase beside it (spec ACC-17). A wallet that only watches has a random key there, which seals its viewing key file.
 */

/** The password does not open the keystore. */
export class WrongPassword extends HedgerowError {
  constructor(directory: string) {
    super("WrongPassword", `the password does not open the wallet in ${directory}: type it again`, { directory });
  }
}

/** The phrase of a wallet, and the Ethereum key at m/44'/60'/0'/0/0 of it, which pays deposits, bonds and gas. */
export type PhraseSecret = { readonly kind: "full"; readonly phrase: string; readonly fundingKey: Hex };

/** What a watch-only wallet holds: the text of a viewing key file. */
export type ViewingSecret = { readonly kind: "viewing"; readonly text: string };

/** The Ethereum key of a phrase that parseSeedPhrase has let pass. */
export function fundingKeyOf(phrase: string): Hex {
  return hexOf(HDNodeWallet.fromPhrase(phrase, "", FUNDING_PATH).privateKey);
}

/** The keystore of a phrase, as JSON. `scryptN` is the cost of guessing its password, a power of two. */
export function sealPhrase({ phrase, fundingKey }: PhraseSecret, password: string, scryptN: number): Promise<string> {
  const { entropy } = Mnemonic.fromPhrase(phrase);
  return encrypted(fundingKey, password, scryptN, { entropy, path: FUNDING_PATH, locale: "en" });
}

/** The keystore of a watch-only wallet, as JSON. */
export async function sealViewing({ text }: ViewingSecret, password: string, scryptN: number): Promise<string> {
  const storageKey = hexOf(Wallet.createRandom().privateKey);
  const keystore: unknown = JSON.parse(await encrypted(storageKey, password, scryptN));
  if (typeof keystore !== "object") throw new KeystoreMalformed("it is no object");
  // The address is of no use: nobody is to take it for one that pays.
  return JSON.stringify({
    ...keystore,
    address: undefined,
    "x-hedgerow": { kind: "viewing", ...sealed(storageKey, text) },
  });
}

/** The secret of the keystore of the wallet in `directory`. Throws WrongPassword, KeystoreMalformed. */
export async function openKeystore(
  json: string,
  password: string,
  directory: string,
): Promise<PhraseSecret | ViewingSecret> {
  // Before anything is derived: a file may ask for more memory than there is.
  const keystore = parseKeystore(json);
  const { "x-hedgerow": viewing } = keystore;
  const { privateKey, mnemonic } = await decrypted(keystore, password, directory);
  if (viewing !== undefined) return { kind: "viewing", text: unsealed(privateKey, viewing) };
  if (mnemonic === undefined) throw new KeystoreMalformed("it holds no phrase");
  const phrase = phraseOf(mnemonic.entropy);
  const fundingKey = fundingKeyOf(phrase);
  // The checksum of the format covers the key alone: a phrase that was changed gives another one.
  if (fundingKey !== privateKey) throw new KeystoreMalformed("its phrase and its key disagree");
  return { kind: "full", phrase, fundingKey };
}

// Node's own is many times as fast as the one that ethers brings, and runs in a thread of its own.
scrypt.register(
  (password, salt, N, r, p, length) =>
    new Promise((resolve, reject) => {
      nativeScrypt(password, salt, length, { N, r, p, maxmem: 2 * MOST_MEMORY }, (error, key) =>
        error === null ? resolve(hexOf(`0x${key.toString("hex")}`)) : reject(new KeystoreMalformed(error.message)),
      );
    }),
);

function encrypted(
  privateKey: Hex,
  password: string,
  scryptN: number,
  mnemonic?: { readonly entropy: string; readonly path: string; readonly locale: string },
): Promise<string> {
  const account = { address: new Wallet(privateKey).address, privateKey, ...(mnemonic !== undefined && { mnemonic }) };
  return encryptKeystoreJson(account, password, { scrypt: { N: scryptN, r: 8, p: 1 } });
}

/** What was looked at is what is opened: never a second section of another spelling. */
async function decrypted(keystore: Keystore, password: string, directory: string) {
  try {
    const { privateKey, mnemonic } = await decryptKeystoreJson(JSON.stringify(keystore), password);
    return { privateKey: hexOf(privateKey), mnemonic };
  } catch (error) {
    if (error instanceof HedgerowError) throw error;
    if (isError(error, "INVALID_ARGUMENT") && error.argument === "password") throw new WrongPassword(directory);
    throw new KeystoreMalformed(
      isError(error, "INVALID_ARGUMENT") ? `its ${error.argument} is wrong` : "it is damaged",
    );
  }
}

/** A text under a key of 32 bytes: AES-256-GCM, with a key of its own by HKDF-SHA256. */
function sealed(storageKey: Hex, text: string): Sealed {
  const iv = randomBytes(12);
  const running = createCipheriv("aes-256-gcm", sealingKey(storageKey), iv);
  const ciphertext = Buffer.concat([running.update(text, "utf8"), running.final()]);
  return { iv: iv.toString("hex"), ciphertext: ciphertext.toString("hex"), tag: running.getAuthTag().toString("hex") };
}

function unsealed(storageKey: Hex, { iv, ciphertext, tag }: Sealed): string {
  try {
    const running = createDecipheriv("aes-256-gcm", sealingKey(storageKey), Buffer.from(iv, "hex"));
    running.setAuthTag(Buffer.from(tag, "hex"));
    return Buffer.concat([running.update(Buffer.from(ciphertext, "hex")), running.final()]).toString("utf8");
  } catch {
    throw new KeystoreMalformed("its viewing key was changed");
  }
}

function sealingKey(storageKey: Hex): Buffer {
  const secret = Buffer.from(storageKey.slice(2), "hex");
  return Buffer.from(hkdfSync("sha256", secret, Buffer.alloc(0), "hedgerow/viewing-key-file", 32));
}

function phraseOf(entropy: string): string {
  try {
    return Mnemonic.fromEntropy(entropy).phrase;
  } catch (error) {
    throw new KeystoreMalformed(`its phrase has no allowed length: ${reasonOf(error)}`);
  }
}

function hexOf(text: string): Hex {
  if (!/^0x[0-9a-f]*$/.test(text)) throw new KeystoreMalformed("a part of it is no hex");
  return `0x${text.slice(2)}`;
}
