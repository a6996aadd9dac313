import { Buffer } from "node:buffer";
import { HedgerowError } from "./errors.ts";
import type { Hex } from "./keys.ts";

/*
 * keccak-256, the hash of Ethereum, as a WebAssembly function that this file assembles when it is loaded: its 64-bit
 * lanes are machine words there, which makes it ten times as fast as the same sponge over pairs of 32-bit numbers.
 * What is hashed is packed straight into the function's memory, so that nothing is copied or allocated on the way.
 * The permutation and its constants come from the formulas of FIPS 202; only the padding is Keccak's own. A test
 * compares it with an independent one.
 */

const RATE = 136;
const ROUNDS = 24;
const DIGEST_AT = 8 * ROUNDS;
const INPUT_AT = 256;
const MOST_BYTES = 65_536 - INPUT_AT - RATE;

/** More bytes than the function's memory holds. */
export class TooLongToHash extends HedgerowError {
  constructor(length: number) {
    super("TooLongToHash", `${length} bytes are to be hashed, but ${MOST_BYTES} is the most: hash them in parts`, {
      length,
      most: MOST_BYTES,
    });
  }
}

const { memory, permute } = load();

/** Where the next input is packed, from its start on. Every hash function of the project writes here: pack and hash in one go. */
export const INPUT: Buffer = Buffer.from(memory.buffer, INPUT_AT, MOST_BYTES + RATE);
/** The same bytes, for numbers. */
export const INPUT_VIEW: DataView = new DataView(memory.buffer, INPUT_AT, MOST_BYTES + RATE);
/** What the latest `hashInput` gave, until the next one. */
export const DIGEST: Buffer = Buffer.from(memory.buffer, DIGEST_AT, 32);

/** Hashes the first `length` bytes of INPUT into DIGEST. Throws TooLongToHash. */
export function hashInput(length: number): void {
  if (length > MOST_BYTES) throw new TooLongToHash(length);
  const blocks = Math.floor(length / RATE) + 1;
  const last = blocks * RATE - 1;
  INPUT.fill(0, length, last + 1);
  INPUT[length] = 0x01;
  INPUT_VIEW.setUint8(last, INPUT_VIEW.getUint8(last) | 0x80);
  permute(INPUT_AT, blocks);
}

/** DIGEST as hex. */
export function digestHex(): Hex {
  return `0x${DIGEST.toString("hex")}`;
}

/** keccak-256 of some bytes, 32 bytes of its own. Throws TooLongToHash. */
export function keccak256(bytes: Uint8Array): Uint8Array {
  if (bytes.length > MOST_BYTES) throw new TooLongToHash(bytes.length);
  INPUT.set(bytes);
  hashInput(bytes.length);
  return Uint8Array.from(DIGEST);
}

// ------------------------------------------------------------------ the function, as WebAssembly

type Code = readonly number[];
type Permute = (input: number, blocks: number) => void;

function load(): { readonly memory: WebAssembly.Memory; readonly permute: Permute } {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(wasmModule())), {});
  if (!(exports["memory"] instanceof WebAssembly.Memory) || !isPermute(exports["permute"])) {
    throw new HedgerowError("KeccakNotAssembled", "the WebAssembly of keccak-256 does not export what it should");
  }
  const view = new DataView(exports["memory"].buffer);
  roundConstants().forEach((constant, round) => view.setBigUint64(8 * round, constant, true));
  return { memory: exports["memory"], permute: exports["permute"] };
}

function isPermute(value: unknown): value is Permute {
  return typeof value === "function";
}

/** Bits 2^j - 1 of a round's constant are successive outputs of an 8-bit shift register (FIPS 202, algorithm 5). */
function roundConstants(): readonly bigint[] {
  let register = 1;
  return upTo(ROUNDS).map(() => {
    let constant = 0n;
    for (let j = 0; j < 7; j++) {
      if ((register & 1) === 1) constant |= 1n << BigInt(2 ** j - 1);
      register = (register << 1) ^ ((register >> 7) * 0x171);
    }
    return constant;
  });
}

/** permute(input, blocks): absorbs padded blocks into an empty state, writes the first four lanes to DIGEST_AT. */
function wasmModule(): Code {
  const [input, blocks, round, lanes, columns, spare, locals] = [0, 1, 2, 3, 28, 33, 31];
  const [i32, i64, nothing, end] = [0x7f, 0x7e, 0x40, 0x0b];
  const get = (local: number): Code => [0x20, local];
  const set = (local: number): Code => [0x21, local];
  const int = (value: number): Code => [0x41, ...signed(value)];
  const loadAt = (offset: number): Code => [0x29, 3, ...unsigned(offset)];
  const storeAt = (offset: number): Code => [0x37, 3, ...unsigned(offset)];
  const rotate = (bits: number): Code => [0x42, ...signed(bits), 0x89];
  const [xor, and, not, add, subtract, less] = [[0x85], [0x83], [0x42, 0x7f, 0x85], [0x6a], [0x6b], [0x49]];
  const tee = (local: number): Code => [0x22, local];
  const repeat = (body: Code): Code => [0x03, nothing, ...body, end];
  const again: Code = [0x0d, 0];
  const lane = (x: number, y: number): number => lanes + (x % 5) + 5 * (y % 5);
  const column = (x: number): number => columns + (x % 5);
  const five = upTo(5);

  const absorb = upTo(RATE / 8).flatMap((i) => [
    ...get(lanes + i),
    ...[...get(input), ...loadAt(8 * i), ...xor],
    ...set(lanes + i),
  ]);
  const theta = [
    ...five.flatMap((x) => [...five.flatMap((y) => [...get(lane(x, y)), ...(y === 0 ? [] : xor)]), ...set(column(x))]),
    ...five.flatMap((x) => [
      ...[...get(column(x + 4)), ...get(column(x + 1)), ...rotate(1), ...xor, ...set(spare)],
      ...five.flatMap((y) => [...get(lane(x, y)), ...get(spare), ...xor, ...set(lane(x, y))]),
    ]),
  ];
  // Rho turns the lanes and pi moves them along one cycle of all lanes but the first.
  const rhoAndPi = [...get(lane(1, 0)), ...set(spare)];
  for (let t = 0, x = 1, y = 0; t < 24; t++) {
    [x, y] = [y, (2 * x + 3 * y) % 5];
    const turned = [...get(spare), ...rotate((((t + 1) * (t + 2)) / 2) % 64)];
    rhoAndPi.push(...turned, ...get(lane(x, y)), ...set(spare), ...set(lane(x, y)));
  }
  const chi = five.flatMap((y) => [
    ...five.flatMap((x) => [...get(lane(x, y)), ...set(column(x))]),
    ...five.flatMap((x) => [
      ...[...get(column(x + 1)), ...not, ...get(column(x + 2)), ...and],
      ...[...get(column(x)), ...xor, ...set(lane(x, y))],
    ]),
  ]);
  const iota = [...get(lane(0, 0)), ...get(round), ...loadAt(0), ...xor, ...set(lane(0, 0))];
  const nextRound = [...get(round), ...int(8), ...add, ...tee(round), ...int(8 * ROUNDS), ...less, ...again];
  const nextBlock = [
    ...[...get(input), ...int(RATE), ...add, ...set(input)],
    ...[...get(blocks), ...int(1), ...subtract, ...tee(blocks), ...again],
  ];
  const body = [
    ...repeat([
      ...absorb,
      ...int(0),
      ...set(round),
      ...repeat([...theta, ...rhoAndPi, ...chi, ...iota, ...nextRound]),
      ...nextBlock,
    ]),
    ...upTo(4).flatMap((i) => [...int(DIGEST_AT), ...get(lanes + i), ...storeAt(8 * i)]),
  ];

  const section = (id: number, ...content: number[]): Code => [id, ...counted(content)];
  const named = (name: string): Code => counted([...Buffer.from(name)]);
  return [
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, 1, 0x60, 2, i32, i32, 0), // one type: two numbers in, nothing out
    ...section(3, 1, 0), // one function of it
    ...section(5, 1, 1, 1, 1), // one memory of one page that cannot grow
    ...section(7, 2, ...named("memory"), 2, 0, ...named("permute"), 0, 0),
    ...section(10, 1, ...counted([2, 1, i32, locals, i64, ...body, end])),
  ];
}

function counted(content: Code): Code {
  return [...unsigned(content.length), ...content];
}

function upTo(length: number): readonly number[] {
  return Array.from({ length }, (_, index) => index);
}

/** LEB128 of a number from 0. */
function unsigned(value: number): Code {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

/** LEB128 of a number of either sign. */
function signed(value: number): Code {
  const low = value & 0x7f;
  const rest = value >> 7;
  const isLast = (rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0);
  return isLast ? [low] : [low | 0x80, ...signed(rest)];
}
