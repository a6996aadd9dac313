import {
  createCipheriv,
  createDecipheriv,
  pbkdf2,
  randomBytes,
  randomUUID,
  scrypt,
  timingSafeEqual,
} from "node:crypto";
import { promisify } from "node:util";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { entropyToMnemonic, mnemonicToEntropy } from "@scure/bip39";
import { wordlist } from "@scure/bip39/wordlists/english.js";
import { HDKey } from "viem/accounts";
import { HedgerowError } from "../protocol/errors.ts";
import { addressOf, type Hex } from "../protocol/keys.ts";
import { reasonOf } from "./files.ts";
import { type CryptoSection, FUNDING_PATH, KeystoreMalformed, MOST_MEMORY, parseKeystore } from "./keystoreForm.ts";

/*
 * Web3 secret storage, version 3: a secret behind a password, in the form that Ethereum's wallets share. The secret of
 * a wallet is the Ethereum key of its phrase; the phrase itself stands beside it in the section that ethers writes
 * (spec ACC-17). A viewing wallet holds the text of its viewing key file in the same way.
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
export async function fundingKeyOf(phrase: string): Promise<Hex> {
  const seed = await stretch(phrase.normalize("NFKD"), "mnemonic", 2_048, 64, "sha512");
  const { privateKey } = HDKey.fromMasterSeed(seed).derive(FUNDING_PATH);
  // The chance of it is 2^-127.
  if (privateKey === null) throw new KeystoreMalformed("the phrase has no Ethereum key");
  return `0x${Buffer.from(privateKey).toString("hex")}`;
}

/** The keystore of a phrase, as JSON. `scryptN` is the cost of guessing its password, a power of two. */
export async function sealPhrase({ phrase, fundingKey }: PhraseSecret, password: string, scryptN: number) {
  const { crypto, maskKey } = await seal(Buffer.from(fundingKey.slice(2), "hex"), password, scryptN);
  const address = addressOf(fundingKey).slice(2);
  const counter = randomBytes(16);
  const entropy = mnemonicToEntropy(phrase, wordlist);
  const id = randomUUID();
  return JSON.stringify({
    address,
    id,
    version: 3,
    crypto,
    "x-ethers": {
      client: "hedgerow",
      gethFilename: `UTC--${new Date().toISOString().replaceAll(":", "-").replace(/Z$/, ".0Z")}--${address}`,
      path: FUNDING_PATH,
      locale: "en",
      mnemonicCounter: counter.toString("hex"),
      mnemonicCiphertext: cipher("aes-256-ctr", maskKey, counter, entropy).toString("hex"),
      version: "0.1",
    },
  });
}

/** The keystore of a watch-only wallet, as JSON. */
export async function sealViewing({ text }: ViewingSecret, password: string, scryptN: number): Promise<string> {
  const { crypto } = await seal(Buffer.from(text, "utf8"), password, scryptN);
  return JSON.stringify({ id: randomUUID(), version: 3, crypto, "x-hedgerow": { kind: "viewing" } });
}

/** The secret of the keystore of the wallet in `directory`. Throws WrongPassword, KeystoreMalformed. */
export async function openKeystore(
  json: string,
  password: string,
  directory: string,
): Promise<PhraseSecret | ViewingSecret> {
  const keystore = parseKeystore(json);
  const { secret, maskKey } = await unseal(keystore.crypto, password, directory);
  if (keystore["x-hedgerow"]?.kind === "viewing") return { kind: "viewing", text: secret.toString("utf8") };
  const extra = keystore["x-ethers"];
  if (extra === undefined) throw new KeystoreMalformed("it holds no phrase");
  const counter = Buffer.from(extra.mnemonicCounter, "hex");
  const entropy = decipher("aes-256-ctr", maskKey, counter, Buffer.from(extra.mnemonicCiphertext, "hex"));
  const phrase = phraseOf(entropy);
  const fundingKey = await fundingKeyOf(phrase);
  // The checksum of the format covers the key alone: a phrase that was changed gives another one.
  if (fundingKey !== `0x${secret.toString("hex")}`) throw new KeystoreMalformed("its phrase and its key disagree");
  if (keystore.address !== undefined && addressOf(fundingKey) !== `0x${keystore.address}`) {
    throw new KeystoreMalformed("its address is that of another key");
  }
  return { kind: "full", phrase, fundingKey };
}

const stretch = promisify(pbkdf2);

/** 64 bytes: 16 for the cipher, 16 for the checksum, 32 for what ethers adds. */
function derive(password: string, salt: Buffer, { n, r, p }: { n: number; r: number; p: number }): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const options = { N: n, r, p, maxmem: 2 * MOST_MEMORY };
    scrypt(Buffer.from(password.normalize("NFKC"), "utf8"), salt, 64, options, (error, key) =>
      error === null ? resolve(key) : reject(new KeystoreMalformed(error.message)),
    );
  });
}

async function seal(secret: Buffer, password: string, scryptN: number) {
  const [salt, iv] = [randomBytes(32), randomBytes(16)];
  const cost = { n: scryptN, r: 8, p: 1 };
  const key = await derive(password, salt, cost);
  const ciphertext = cipher("aes-128-ctr", key.subarray(0, 16), iv, secret);
  const crypto: CryptoSection = {
    cipher: "aes-128-ctr",
    cipherparams: { iv: iv.toString("hex") },
    ciphertext: ciphertext.toString("hex"),
    kdf: "scrypt",
    kdfparams: { salt: salt.toString("hex"), ...cost, dklen: 32 },
    mac: macOf(key, ciphertext).toString("hex"),
  };
  return { crypto, maskKey: key.subarray(32, 64) };
}

async function unseal({ kdfparams, cipherparams, ...section }: CryptoSection, password: string, directory: string) {
  const key = await derive(password, Buffer.from(kdfparams.salt, "hex"), kdfparams);
  const ciphertext = Buffer.from(section.ciphertext, "hex");
  if (!timingSafeEqual(macOf(key, ciphertext), Buffer.from(section.mac, "hex"))) throw new WrongPassword(directory);
  const iv = Buffer.from(cipherparams.iv, "hex");
  return { secret: decipher("aes-128-ctr", key.subarray(0, 16), iv, ciphertext), maskKey: key.subarray(32, 64) };
}

function macOf(key: Buffer, ciphertext: Buffer): Buffer {
  return Buffer.from(keccak_256(Buffer.concat([key.subarray(16, 32), ciphertext])));
}

type Cipher = "aes-128-ctr" | "aes-256-ctr";

function cipher(name: Cipher, key: Buffer, counter: Buffer, text: Uint8Array): Buffer {
  const running = createCipheriv(name, key, counter);
  return Buffer.concat([running.update(text), running.final()]);
}

function decipher(name: Cipher, key: Buffer, counter: Buffer, text: Uint8Array): Buffer {
  const running = createDecipheriv(name, key, counter);
  return Buffer.concat([running.update(text), running.final()]);
}

function phraseOf(entropy: Buffer): string {
  try {
    return entropyToMnemonic(entropy, wordlist);
  } catch (error) {
    throw new KeystoreMalformed(`its phrase has no allowed length: ${reasonOf(error)}`);
  }
}
