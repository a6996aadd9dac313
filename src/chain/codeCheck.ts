import { existsSync, globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { z } from "zod";
import type { Hex } from "../protocol/keys.ts";
import type { Client } from "./sending.ts";

// What stands on a chain, against what was compiled here.

const ARTIFACTS = resolve(import.meta.dirname, "../../artifacts");

const places = z.array(z.object({ start: z.int().nonnegative(), length: z.int().positive() }));
const compiledSchema = z.object({
  deployedBytecode: z.string().regex(/^0x/),
  deployedLinkReferences: z.record(z.string(), z.record(z.string(), places)),
  immutableReferences: z.record(z.string(), places),
});

/** `not compiled`: there is nothing here to compare with. */
export type CodeVerdict = "equal" | "different" | "not compiled";

/** Whether code on a chain is what was compiled here, whatever its libraries' addresses and immutable values. */
export function compareCode(code: Hex, name: string): CodeVerdict {
  const [file] = existsSync(ARTIFACTS) ? globSync(`**/*.sol/${name}.json`, { cwd: ARTIFACTS }) : [];
  if (file === undefined) return "not compiled";
  const compiled = compiledSchema.parse(JSON.parse(readFileSync(join(ARTIFACTS, file), "utf8")));
  const blanks = [
    ...Object.values(compiled.deployedLinkReferences).flatMap((libraries) => Object.values(libraries).flat()),
    ...Object.values(compiled.immutableReferences).flat(),
  ];
  const masked = (text: string): string => {
    // Placeholders are no hex: they are blanked as text.
    const characters = text.slice(2).toLowerCase().split("");
    for (const { start, length } of blanks) characters.fill("0", 2 * start, 2 * (start + length));
    return characters.join("");
  };
  return masked(code) === masked(compiled.deployedBytecode) ? "equal" : "different";
}

const PUSH1 = 0x60;
const PUSH20 = 0x73;
const PUSH32 = 0x7f;
const MOST_CONTRACTS = 40;

/** The constants of `length` bytes that a contract's code pushes. */
export function constantsIn(code: Hex, length: number): readonly Hex[] {
  const bytes = Buffer.from(code.slice(2), "hex");
  const found = new Set<Hex>();
  for (let at = 0; at < bytes.length; at++) {
    const opcode = bytes[at] ?? 0;
    if (opcode < PUSH1 || opcode > PUSH32) continue;
    const size = opcode - PUSH1 + 1;
    // What follows the code, its metadata, is no code: a constant that it cuts short is none.
    if (size === length && at + size < bytes.length)
      found.add(`0x${bytes.subarray(at + 1, at + 1 + size).toString("hex")}`);
    at += size;
  }
  return [...found];
}

/**
 * Whether a contract, or a library that its code names, holds a constant of 32 bytes: so a clearing house names the
 * hash of its verifying key (spec CIR-9). Needs nothing compiled. Throws what the node's calls throw.
 */
export async function holdsConstant(client: Client, address: Hex, constant: Hex): Promise<boolean> {
  const wanted = constant.toLowerCase();
  const seen = new Set<string>();
  const waiting: Hex[] = [address];
  for (let next = waiting.shift(); next !== undefined && seen.size < MOST_CONTRACTS; next = waiting.shift()) {
    if (seen.has(next.toLowerCase())) continue;
    seen.add(next.toLowerCase());
    const code = await client.getCode({ address: next });
    if (code === undefined) continue;
    if (constantsIn(code, PUSH32 - PUSH1 + 1).some((each) => each === wanted)) return true;
    waiting.push(...constantsIn(code, PUSH20 - PUSH1 + 1));
  }
  return false;
}
