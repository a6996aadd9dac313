import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { HedgerowError } from "../protocol/errors.ts";
import type { TraderService } from "../trader/commands.ts";
import { type Network, networkSchema } from "../trader/home.ts";
import { askPassword } from "./prompt.ts";
import { homeOf, type NetworkOptions, type WalletOptions } from "./session.ts";

/** No network, or no wallet, is chosen and none is named. */
export class NothingChosen extends HedgerowError {
  constructor(what: "network" | "wallet", remedy: string) {
    super("NothingChosen", `no ${what} is chosen: ${remedy}`, { what });
  }
}

/** There is no network of that name. */
export class NetworkNotFound extends HedgerowError {
  constructor(name: string) {
    super("NetworkNotFound", `there is no network "${name}": hedgerow network list names those there are`, { name });
  }
}

/** A file of the home directory is not what this program writes. */
export class HomeDamaged extends HedgerowError {
  constructor(file: string, reason: string) {
    super("HomeDamaged", `${file} cannot be understood (${reason}): mend it, or move it away`, { file, reason });
  }
}

const settingsSchema = z.looseObject({ network: z.string().optional(), wallet: z.string().optional() });

/** See openNetwork in session.ts. */
export function chosenNetwork(options: NetworkOptions): Network {
  const home = homeOf(options);
  const name = options.network ?? settingsOf(home).network;
  if (name === undefined) throw new NothingChosen("network", "hedgerow local starts one, --network NAME names one");
  const file = join(home, "networks", `${name}.json`);
  if (name.includes("/") || !existsSync(file)) throw new NetworkNotFound(name);
  const network = parsed(file, networkSchema);
  return options.proxy === undefined ? network : { ...network, proxy: options.proxy };
}

/** See walletDirectory in session.ts. */
export function chosenWallet(options: WalletOptions): string {
  const home = homeOf(options);
  const name = options.wallet ?? settingsOf(home).wallet;
  if (name === undefined) throw new NothingChosen("wallet", "hedgerow wallet new makes one, --wallet NAME names one");
  return join(home, "wallets", name);
}

/** See openService in session.ts. */
export async function openTrader(options: WalletOptions): Promise<TraderService> {
  const network = chosenNetwork(options);
  const directory = chosenWallet(options);
  const { openWallet } = await import("../trader/store.ts");
  const wallet = await openWallet(directory, await askPassword("Password", { passwordFile: options.passwordFile }));
  wallet.close();
  throw new NothingChosen("network", `nothing trades at ${network.name}`);
}

function settingsOf(home: string): z.infer<typeof settingsSchema> {
  const file = join(home, "settings.json");
  return existsSync(file) ? parsed(file, settingsSchema) : {};
}

function parsed<T extends z.ZodType>(file: string, schema: T): z.output<T> {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new HomeDamaged(file, error instanceof Error ? error.message : String(error));
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new HomeDamaged(file, result.error.issues[0]?.message ?? "not understood");
}
