import { join } from "node:path";
import { homeDirectory, listWallets, readSettings, walletDirectory, writeSettings } from "../trader/home.ts";
import { outlineOfWallet, WalletDamaged, WalletNotFound } from "../trader/walletFiles.ts";
import type { Io, JsonOptions, NetworkOptions } from "./session.ts";
import { table } from "./terminal.ts";

/*
 * What can be said of wallets without their passwords.
 */

export type Shown = JsonOptions & Pick<NetworkOptions, "home">;

/** hedgerow wallet list */
export async function showWallets(options: Shown, io: Io): Promise<void> {
  const home = homeDirectory(options.home);
  const wallets = await Promise.all(listWallets(home).map((name) => entryOf(home, name)));
  if (options.json) {
    io.print(JSON.stringify({ wallets }));
    return;
  }
  if (wallets.length === 0) {
    io.print("There is no wallet yet: hedgerow wallet new makes one.");
    return;
  }
  const rows = wallets.map(({ name, kind, address, chosen }) => [chosen ? "*" : "", name, KINDS[kind], address ?? ""]);
  io.print(table([{ title: "" }, { title: "name" }, { title: "kind" }, { title: "pays from" }], rows));
}

/** hedgerow wallet show */
export async function showWallet(given: string | undefined, options: Shown, io: Io): Promise<void> {
  const home = homeDirectory(options.home);
  const name = nameOf(home, given);
  const directory = walletDirectory(home, name);
  await outlineOfWallet(directory);
  const entry = await entryOf(home, name);
  if (options.json) {
    io.print(JSON.stringify({ ...entry, directory }));
    return;
  }
  const lines = [
    ["wallet", `${name}${entry.chosen ? " (chosen)" : ""}`],
    ["kind", KINDS[entry.kind]],
    ["pays from", entry.address ?? "nothing: it signs nothing"],
    ["files", directory],
  ];
  io.print(lines.map(([title = "", text = ""]) => `${title.padEnd(10)} ${text}`).join("\n"));
}

/** hedgerow wallet default */
export async function chooseWallet(name: string, options: Shown, io: Io): Promise<void> {
  const home = homeDirectory(options.home);
  await outlineOfWallet(walletDirectory(home, name));
  writeSettings(home, { ...readSettings(home), wallet: name });
  io.print(options.json ? JSON.stringify({ wallet: name }) : `Commands now mean wallet ${name}.`);
}

/** The wallet that is meant. Throws BadName, WalletNotFound. */
export function nameOf(home: string, given: string | undefined): string {
  const name = given ?? readSettings(home).wallet;
  if (name === undefined) throw new WalletNotFound(join(home, "wallets"));
  return name;
}

const KINDS = { full: "trades", viewing: "only watches", damaged: "cannot be read" } as const;

export type Entry = {
  readonly name: string;
  readonly kind: keyof typeof KINDS;
  readonly address: string | null;
  readonly chosen: boolean;
};

/** A wallet in one line. */
export async function entryOf(home: string, name: string): Promise<Entry> {
  const chosen = readSettings(home).wallet === name;
  try {
    const { kind, address } = await outlineOfWallet(walletDirectory(home, name));
    return { name, kind, address: address ?? null, chosen };
  } catch (error) {
    if (error instanceof WalletDamaged) return { name, kind: "damaged", address: null, chosen };
    throw error;
  }
}
