import { Buffer } from "node:buffer";
import { globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { PublicClient } from "viem";
import { z } from "zod";
import type { Hex } from "../protocol/keys.ts";

const ARTIFACTS = resolve(import.meta.dirname, "../../artifacts");
const PUSH1 = 0x60;
const PUSH32 = 0x7f;
const ADDRESS_LENGTH = 20;
const WORD_LENGTH = 32;
const MOST_CONTRACTS = 40;

/** Whether the code of a contract, or of a library that its code names, pushes a constant of 32 bytes (spec CIR-9). */
export async function holdsConstant(client: PublicClient, address: Hex, constant: Hex): Promise<boolean> {
  const seen = new Set<Hex>();
  const waiting: Hex[] = [address];
  for (let next = waiting.shift(); next !== undefined && seen.size < MOST_CONTRACTS; next = waiting.shift()) {
    if (seen.has(next)) continue;
    seen.add(next);
    const code = await client.getCode({ address: next });
    const pushed = code === undefined ? [] : pushedConstants(Buffer.from(code.slice(2), "hex"));
    if (pushed.includes(constant)) return true;
    waiting.push(...pushed.filter(({ length }) => length === 2 + 2 * ADDRESS_LENGTH));
  }
  return false;
}

/** Words and addresses that code pushes, as hex. */
function pushedConstants(code: Buffer): readonly Hex[] {
  const found: Hex[] = [];
  for (let at = 0; at < code.length; at++) {
    const opcode = code[at] ?? 0;
    if (opcode < PUSH1 || opcode > PUSH32) continue;
    const length = opcode - PUSH1 + 1;
    if (length === WORD_LENGTH || length === ADDRESS_LENGTH) {
      found.push(`0x${code.toString("hex", at + 1, at + 1 + length)}`);
    }
    at += length;
  }
  return found;
}

/** A contract as its deployment made it: its name, and code and arguments together. */
export type Deployed = { readonly name: string; readonly input: Hex; readonly argumentWords: number };

const placesSchema = z.array(z.object({ start: z.int().nonnegative(), length: z.int().positive() }));
const linksSchema = z.record(z.string(), z.record(z.string(), placesSchema));
const compiledSchema = z.object({
  bytecode: z.string(),
  linkReferences: linksSchema,
  deployedBytecode: z.string(),
  deployedLinkReferences: linksSchema,
  immutableReferences: z.record(z.string(), placesSchema),
});

/**
 * Names of those contracts, and of the libraries that they call, whose code is not the one that is compiled here;
 * undefined where nothing is. Code that deploys says all; that of libraries is compared as it stands.
 */
export async function otherCode(
  client: PublicClient,
  deployed: readonly Deployed[],
): Promise<readonly string[] | undefined> {
  const others = new Set<string>();
  const libraries: { readonly name: string; readonly address: Hex }[] = [];
  const compare = (name: string, code: string, due: string, links: Links, blanks: readonly Place[]): void => {
    const named = Object.values(links).flatMap((each) => Object.entries(each));
    const places = [...blanks, ...named.flatMap(([, each]) => each)];
    if (masked(code, places) !== masked(due, places)) others.add(name);
    else for (const [library, [place]] of named) libraries.push({ name: library, address: addressAt(code, place) });
  };
  for (const { name, input, argumentWords } of deployed) {
    const compiled = compiledAs(name);
    if (compiled === undefined) return undefined;
    compare(name, input.slice(0, -2 * WORD_LENGTH * argumentWords), compiled.bytecode, compiled.linkReferences, []);
  }
  const seen = new Set<Hex>();
  for (let next = libraries.shift(); next !== undefined; next = libraries.shift()) {
    const { name, address } = next;
    if (seen.has(address)) continue;
    seen.add(address);
    const compiled = compiledAs(name);
    if (compiled === undefined) return undefined;
    const code = (await client.getCode({ address })) ?? "0x";
    const { deployedBytecode, deployedLinkReferences, immutableReferences } = compiled;
    const blanks = [...Object.values(immutableReferences).flat(), ...ownAddress(deployedBytecode)];
    compare(name, code, deployedBytecode, deployedLinkReferences, blanks);
  }
  return [...others].toSorted();
}

type Links = z.infer<typeof linksSchema>;
type Place = z.infer<typeof placesSchema>[number];

function compiledAs(name: string) {
  const [file] = globSync(`**/*.sol/${name}.json`, { cwd: ARTIFACTS });
  return file === undefined ? undefined : compiledSchema.parse(JSON.parse(readFileSync(join(ARTIFACTS, file), "utf8")));
}

/** Code as text with some places blanked: what stands for an address that is not known yet is no hex. */
function masked(code: string, places: readonly Place[]): string {
  const characters = code.slice(2).toLowerCase().split("");
  for (const { start, length } of places) characters.fill("0", 2 * start, 2 * (start + length));
  return characters.join("");
}

/** Where a library that is compiled the older way keeps its own address. */
function ownAddress(code: string): readonly Place[] {
  return code.startsWith(`0x73${"0".repeat(2 * ADDRESS_LENGTH)}`) ? [{ start: 1, length: ADDRESS_LENGTH }] : [];
}

function addressAt(code: string, place: Place | undefined): Hex {
  const start = 2 + 2 * (place?.start ?? 0);
  return `0x${code.slice(start, start + 2 * ADDRESS_LENGTH).toLowerCase()}`;
}
