import { type AbiParameter, decodeAbiParameters } from "viem";
import { clearingHouseAbi, marketRegistryAbi } from "../protocol/abi.ts";
import type { Hex } from "../protocol/keys.ts";
import { SLOTS } from "../protocol/note.ts";
import { must } from "./errors.ts";

/*
 * What a contract was deployed with stands behind its code in the transaction that made it. Only its own ABI says where
 * the code ends: the arguments are the last words that read as arguments and write back the same.
 */

const WORD = 64;

const HOUSE = clearingHouseAbi.find((item) => item.type === "constructor");
const REGISTRY = marketRegistryAbi.find((item) => item.type === "constructor");

/** What a house was deployed with, and how many words that takes. Throws BrokenRule. */
export function houseArguments(input: Hex) {
  must(HOUSE !== undefined, "VER-2", "the house's constructor is unknown");
  const [token, registry, terms] = decodeAbiParameters(HOUSE.inputs, lastWords(input, wordsOf(HOUSE.inputs)));
  return { token: lower(token), registry: lower(registry), terms, words: wordsOf(HOUSE.inputs) };
}

/** What a registry was deployed with, and how many words that takes. Throws BrokenRule. */
export function registryArguments(input: Hex) {
  must(REGISTRY !== undefined, "VER-2", "the registry's constructor is unknown");
  const [delay, owner, operator, list] = REGISTRY.inputs;
  const perMarket = wordsOf([{ ...list, type: "tuple" }]);
  for (let markets = 0; markets <= SLOTS; markets++) {
    const tail = lastWords(input, 5 + markets * perMarket);
    const word = (place: number) => BigInt(`0x${tail.slice(2 + place * WORD, 2 + (place + 1) * WORD) || "0"}`);
    if (word(3) !== 128n || word(4) !== BigInt(markets)) continue;
    const [seconds, , first, terms] = decodeAbiParameters([delay, owner, operator, list], tail);
    return { delay: BigInt(seconds), operator: lower(first), markets: terms, words: 5 + markets * perMarket };
  }
  must(false, "VER-2", "the registry's deployment does not show its markets");
}

/** An address as it is compared here. */
export function lower(address: string): Hex {
  return `0x${address.slice(2).toLowerCase()}`;
}

function lastWords(input: Hex, words: number): Hex {
  must(input.length - 2 >= words * WORD, "VER-2", "a deployment is too short for its arguments");
  return `0x${input.slice(input.length - words * WORD)}`;
}

/** Words of parameters of a fixed length. */
function wordsOf(parameters: readonly AbiParameter[]): number {
  return parameters.reduce((sum, parameter) => {
    return sum + ("components" in parameter ? wordsOf(parameter.components) : 1);
  }, 0);
}
