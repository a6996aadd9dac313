import { Buffer } from "node:buffer";
import {
  type Abi,
  type AbiParameter,
  bytesToHex,
  decodeAbiParameters,
  decodeFunctionData,
  encodeFunctionData,
  toFunctionSelector,
} from "viem";
import { clearingHouseAbi } from "../protocol/abi.ts";
import type { Hex } from "../protocol/keys.ts";
import { must } from "./errors.ts";

/*
 * The house follows offsets that lead backwards, which no encoder writes and common decoders refuse. Who sends such
 * calldata must not be able to make an honest history look wrong: it is read as the house reads it.
 */

/** A call of the house as it was understood. */
export type HouseCall = ReturnType<typeof decodeFunctionData<typeof clearingHouseAbi>>;

const WORD = 32;
const ABI: Abi = clearingHouseAbi;

/** Reads a call of the house, also where its calldata is written in another way than usual. Throws BrokenRule. */
export function decodeCall(data: Hex): HouseCall {
  try {
    return decodeFunctionData({ abi: clearingHouseAbi, data });
  } catch {
    return decodeFunctionData({ abi: clearingHouseAbi, data: rewritten(data) });
  }
}

/** The same call as an encoder writes it. Throws BrokenRule. */
function rewritten(data: Hex): Hex {
  const item = ABI.find((each) => each.type === "function" && toFunctionSelector(each) === data.slice(0, 10));
  must(item?.type === "function", "VER-4", `the house has no function ${data.slice(0, 10)}`);
  const args = readMembers(Buffer.from(data.slice(10), "hex"), item.inputs, 0);
  return encodeFunctionData({ abi: [item], functionName: item.name, args });
}

/** Values that stand side by side from `base` on, which is also what their offsets count from. */
function readMembers(bytes: Buffer, parameters: readonly AbiParameter[], base: number): readonly unknown[] {
  let head = base;
  return parameters.map((parameter) => {
    const at = isDynamic(parameter) ? placeAt(bytes, base, head) : head;
    head += headLength(parameter);
    return readValue(bytes, parameter, at);
  });
}

function readValue(bytes: Buffer, parameter: AbiParameter, at: number): unknown {
  const list = listOf(parameter);
  if (list !== undefined) {
    const { item, length = placeAt(bytes, 0, at) } = list;
    const base = list.length === undefined ? at + WORD : at;
    assertInside(bytes, base + length * headLength(item));
    return readMembers(bytes, Array<AbiParameter>(length).fill(item), base);
  }
  if ("components" in parameter) {
    const values = readMembers(bytes, parameter.components, at);
    return Object.fromEntries(parameter.components.map(({ name = "" }, i) => [name, values[i]]));
  }
  if (parameter.type === "bytes") {
    const end = at + WORD + placeAt(bytes, 0, at);
    assertInside(bytes, end);
    return bytesToHex(bytes.subarray(at + WORD, end));
  }
  return decodeAbiParameters([parameter], wordAt(bytes, at))[0];
}

/** Where the offset at a place leads, counted from `base`; it goes around as the house's own sums do. */
function placeAt(bytes: Buffer, base: number, at: number): number {
  const place = BigInt.asUintN(256, BigInt(base) + BigInt(wordAt(bytes, at)));
  must(place <= BigInt(bytes.length), "VER-4", "calldata points out of itself");
  return Number(place);
}

function wordAt(bytes: Buffer, at: number): Hex {
  assertInside(bytes, at + WORD);
  return bytesToHex(bytes.subarray(at, at + WORD));
}

function assertInside(bytes: Buffer, end: number): void {
  must(end <= bytes.length, "VER-4", "calldata ends too early");
}

/** Item and length of a list; the length of `type[]` stands in front of it. */
function listOf(parameter: AbiParameter): { readonly item: AbiParameter; readonly length?: number } | undefined {
  const [, type, length] = /^(.*)\[(\d*)\]$/.exec(parameter.type) ?? [];
  if (type === undefined) return undefined;
  const item = { ...parameter, type };
  return length === undefined || length === "" ? { item } : { item, length: Number(length) };
}

function isDynamic(parameter: AbiParameter): boolean {
  const list = listOf(parameter);
  if (list !== undefined) return list.length === undefined || isDynamic(list.item);
  return "components" in parameter ? parameter.components.some(isDynamic) : parameter.type === "bytes";
}

function headLength(parameter: AbiParameter): number {
  if (isDynamic(parameter)) return WORD;
  const list = listOf(parameter);
  if (list !== undefined) return (list.length ?? 0) * headLength(list.item);
  if (!("components" in parameter)) return WORD;
  return parameter.components.reduce((sum, each) => sum + headLength(each), 0);
}
