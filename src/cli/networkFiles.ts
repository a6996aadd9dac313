import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { type Network, networkSchema } from "../trader/home.ts";
import { HomeDamaged, NetworkNotFound } from "./openTrader.ts";

// The networks of a home directory: a file each, and the chosen one in settings.json.

const settingsSchema = z.looseObject({ network: z.string().optional() });

/** Names of the networks, sorted. */
export function networkNames(home: string): readonly string[] {
  const directory = join(home, "networks");
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((file) => file.endsWith(".json"))
    .map((file) => file.slice(0, -".json".length))
    .sort();
}

/** Throws NetworkNotFound, HomeDamaged. */
export function readNetwork(home: string, name: string): Network {
  const file = fileOf(home, name);
  if (!networkSchema.shape.name.safeParse(name).success || !existsSync(file)) throw new NetworkNotFound(name);
  return readAs(file, networkSchema);
}

/** Writes a network's file, in the place of one of the same name. */
export function saveNetwork(home: string, network: Network): void {
  mkdirSync(join(home, "networks"), { recursive: true, mode: 0o700 });
  writeWhole(fileOf(home, network.name), networkSchema.parse(network));
}

/** Throws NetworkNotFound. A chosen network that is removed is no longer chosen. */
export function removeNetwork(home: string, name: string): void {
  readNetwork(home, name);
  rmSync(fileOf(home, name));
  if (chosenName(home) === name) chooseNetwork(home, undefined);
}

/** Name of the chosen network. Throws HomeDamaged. */
export function chosenName(home: string): string | undefined {
  return settingsOf(home).network;
}

/** Chooses a network, or none. Throws NetworkNotFound, HomeDamaged. */
export function chooseNetwork(home: string, name: string | undefined): void {
  if (name !== undefined) readNetwork(home, name);
  mkdirSync(home, { recursive: true, mode: 0o700 });
  writeWhole(join(home, "settings.json"), { ...settingsOf(home), network: name });
}

function settingsOf(home: string): z.infer<typeof settingsSchema> {
  const file = join(home, "settings.json");
  return existsSync(file) ? readAs(file, settingsSchema) : {};
}

function fileOf(home: string, name: string): string {
  return join(home, "networks", `${name}.json`);
}

/** A reader sees the old file or the new one, whole. */
function writeWhole(file: string, value: unknown): void {
  const partial = `${file}.${process.pid}.partial`;
  writeFileSync(partial, `${JSON.stringify(value, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(partial, file);
}

function readAs<T extends z.ZodType>(file: string, schema: T): z.output<T> {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new HomeDamaged(file, error instanceof Error ? error.message : String(error));
  }
  const result = schema.safeParse(value);
  if (!result.success) throw new HomeDamaged(file, result.error.issues[0]?.message ?? "not understood");
  return result.data;
}
