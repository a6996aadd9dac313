import { existsSync, readdirSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { ensurePrivateDirectory, readSmallFile, writePrivateFile } from "./files.ts";
import { keystoreFile } from "./walletFiles.ts";

/*
 * The home directory (spec ACC-18):
 *   settings.json            the network and the wallet that are meant where none is named
 *   networks/<name>.json     where a clearing house is
 *   wallets/<name>/          keystore.json, wallet.sqlite, and the daemon's socket
 */

const nameSchema = z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/, "expected small letters, digits and hyphens");

/** As in views.ts, which takes long to load: what is shown first must come at once. */
const address = z.custom<Hex>(
  (value) => typeof value === "string" && /^0x[0-9a-fA-F]{40}$/.test(value),
  "expected an address",
);

/** Where a clearing house is, and the exchange that serves it: one file per network in the home directory. */
export const networkSchema = z.strictObject({
  name: nameSchema,
  chain: z.url(),
  chainId: z.int().min(1),
  clearingHouse: address,
  /** Block of the deployment. */
  fromBlock: z.int().min(0),
  exchange: z.url(),
  /** Signs the receipts; asked of the contract where it is left out. */
  operator: address.optional(),
  /** The collateral's decimals. */
  decimals: z.int().min(0).max(36),
  /** socks5h://host:port that everything goes through; none if left out. */
  proxy: z.url().optional(),
});

export type Network = z.infer<typeof networkSchema>;

/** What is meant where a command names none. */
const settingsSchema = z.strictObject({ network: nameSchema.optional(), wallet: nameSchema.optional() });

export type Settings = z.infer<typeof settingsSchema>;

/** A network or wallet cannot have this name. */
export class BadName extends HedgerowError {
  constructor(kind: Kind, name: string) {
    super(
      "BadName",
      `${JSON.stringify(name.slice(0, 64))} is no name of a ${kind}: use 1 to 32 small letters, digits and hyphens, ` +
        `and no hyphen first`,
      { kind, name: name.slice(0, 64) },
    );
  }
}

/** There is no network of that name. */
export class NetworkNotFound extends HedgerowError {
  constructor(name: string, known: readonly string[]) {
    const others = known.length === 0 ? "there is none yet" : `there is ${known.join(", ")}`;
    super("NetworkNotFound", `no network is called "${name}" (${others}): add it, or name another`, { name });
  }
}

/** A file of the home directory is not what this program writes. */
export class MalformedFile extends HedgerowError {
  constructor(file: string, field: string, rule: string) {
    super("MalformedFile", `${file}: ${field || "the whole"} is wrong: ${rule}; mend the file, or move it away`, {
      file,
      field,
      rule,
    });
  }
}

type Kind = "network" | "wallet";

/** The home directory: the one given, or HEDGEROW_HOME, or ~/.hedgerow. It need not be there yet. */
export function homeDirectory(given?: string): string {
  const named = given ?? process.env["HEDGEROW_HOME"];
  return named === undefined || named === "" ? join(homedir(), ".hedgerow") : named;
}

/** A network of the home directory. Throws NetworkNotFound, BadName, MalformedFile, FileUnreadable. */
export function readNetwork(home: string, name: string): Network {
  const file = networkFile(home, name);
  if (!existsSync(file)) throw new NetworkNotFound(name, listNetworks(home));
  const network = readJson(file, networkSchema);
  if (network.name !== name) throw new MalformedFile(file, "name", `it is "${network.name}", but the file's is not`);
  return network;
}

/** Keeps a network, in the place of one of its name. Throws BadName, MalformedFile, FileUnwritable. */
export function writeNetwork(home: string, network: Network): void {
  const file = networkFile(home, network.name);
  const checked = checkedFile(file, networkSchema, network);
  ensurePrivateDirectory(home);
  ensurePrivateDirectory(join(home, "networks"));
  writeJson(file, checked);
}

/** Names of the networks, in alphabetical order. */
export function listNetworks(home: string): readonly string[] {
  return namesIn(join(home, "networks"), (entry) => (entry.endsWith(".json") ? entry.slice(0, -".json".length) : ""));
}

/** Forgets a network, also as the chosen one. Throws NetworkNotFound, BadName, MalformedFile. */
export function removeNetwork(home: string, name: string): void {
  const file = networkFile(home, name);
  if (!existsSync(file)) throw new NetworkNotFound(name, listNetworks(home));
  const { network, ...others } = readSettings(home);
  if (network === name) writeSettings(home, others);
  rmSync(file);
}

/** Directory of a wallet, whether it is there or not. Throws BadName. */
export function walletDirectory(home: string, name: string): string {
  return join(home, "wallets", checkedName("wallet", name));
}

/** Names of the wallets, in alphabetical order. */
export function listWallets(home: string): readonly string[] {
  return namesIn(join(home, "wallets"), (entry) =>
    existsSync(keystoreFile(join(home, "wallets", entry))) ? entry : "",
  );
}

/** Makes the directory that wallets are in. Throws FileUnwritable, WalletNotPrivate. */
export function ensureWalletsDirectory(home: string): void {
  ensurePrivateDirectory(home);
  ensurePrivateDirectory(join(home, "wallets"));
}

/** What is chosen; nothing if there is no such file. Throws MalformedFile, FileUnreadable. */
export function readSettings(home: string): Settings {
  const file = settingsFile(home);
  return existsSync(file) ? readJson(file, settingsSchema) : {};
}

/** Keeps what is chosen. Throws MalformedFile, FileUnwritable. */
export function writeSettings(home: string, settings: Settings): void {
  const checked = checkedFile(settingsFile(home), settingsSchema, settings);
  ensurePrivateDirectory(home);
  writeJson(settingsFile(home), checked);
}

function settingsFile(home: string): string {
  return join(home, "settings.json");
}

function networkFile(home: string, name: string): string {
  return join(home, "networks", `${checkedName("network", name)}.json`);
}

/** A name is part of a path: nothing that leads elsewhere passes. */
function checkedName(kind: Kind, name: string): string {
  if (!nameSchema.safeParse(name).success) throw new BadName(kind, name);
  return name;
}

function namesIn(directory: string, nameOf: (entry: string) => string): readonly string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .map(nameOf)
    .filter((name) => nameSchema.safeParse(name).success)
    .sort();
}

function readJson<T>(file: string, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(readSmallFile(file));
  } catch (error) {
    if (error instanceof SyntaxError) throw new MalformedFile(file, "", "it is no JSON");
    throw error;
  }
  return checkedFile(file, schema, value);
}

function writeJson(file: string, value: unknown): void {
  writePrivateFile(file, `${JSON.stringify(value, undefined, 2)}\n`);
}

function checkedFile<T>(file: string, schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new MalformedFile(file, issue?.path.join(".") ?? "", issue?.message ?? "not understood");
}
