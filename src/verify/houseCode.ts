import { Buffer } from "node:buffer";
import type { PublicClient } from "viem";
import type { Hex } from "../protocol/keys.ts";

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
