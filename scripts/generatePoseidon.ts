import { readFileSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { HedgerowError } from "../src/protocol/errors.ts";

const root = new URL("../", import.meta.url);

const CONSTANTS_FILE = new URL("node_modules/circomlibjs/src/poseidon_constants_opt.json", root);
const HASHER_FILE = new URL("contracts/libraries/Poseidon.sol", root);

/** Width of the permutation that hashes two inputs, and its place in circomlibjs' lists, which start at width 2. */
const WIDTH = 3;
const LIST = WIDTH - 2;
const PARTIAL_ROUNDS = 57;

const word = z
  .string()
  .regex(/^0x[0-9a-f]+$/)
  .transform(BigInt);
const constantsSchema = z.object({
  C: z.array(z.array(word)),
  S: z.array(z.array(word)),
  M: z.array(z.array(z.array(word))),
  P: z.array(z.array(z.array(word))),
});

/** The constants circomlibjs brings along do not have the known shape. */
export class PoseidonConstantsChanged extends HedgerowError {
  constructor(what: string) {
    super(
      "PoseidonConstantsChanged",
      `circomlibjs' Poseidon constants have changed (${what}): check the package's version`,
      {
        what,
      },
    );
  }
}

function entry<T>(list: readonly T[], index: number): T {
  const value = list[index];
  if (value === undefined) throw new PoseidonConstantsChanged(`no entry ${String(index)}`);
  return value;
}

type Constants = Readonly<{
  /** Matrix of the full rounds, and of the last one before the partial rounds: columns of an output each. */
  mix: readonly (readonly bigint[])[];
  lastMix: readonly (readonly bigint[])[];
  /** Constants of state element 0, 1, 2, for the start and each full round but the last, which has none. */
  full: readonly (readonly bigint[])[];
  /** Per partial round its constant and its sparse matrix: row (3 entries), then the rest of the column (2). */
  partial: readonly Readonly<{ constant: bigint; row: readonly bigint[]; column: readonly bigint[] }>[];
}>;

/**
 * circomlib's parameters for two inputs, with the partial rounds in sparse form, as circomlibjs computes them.
 * Throws PoseidonConstantsChanged if their shape is not the known one.
 */
function readConstants(): Constants {
  const constants = constantsSchema.parse(JSON.parse(readFileSync(CONSTANTS_FILE, "utf8")));
  const c = entry(constants.C, LIST);
  const s = entry(constants.S, LIST);
  const columns = (matrix: readonly (readonly bigint[])[]) =>
    [0, 1, 2].map((column) => matrix.map((row) => entry(row, column)));
  const triples = (list: readonly bigint[]) => [0, 3, 6, 9, 12].map((at) => list.slice(at, at + WIDTH));

  const firstHalf = 5 * WIDTH;
  const secondHalf = firstHalf + PARTIAL_ROUNDS;
  if (c.length !== secondHalf + 3 * WIDTH || s.length !== 5 * PARTIAL_ROUNDS)
    throw new PoseidonConstantsChanged("rounds");
  return {
    mix: columns(entry(constants.M, LIST)),
    lastMix: columns(entry(constants.P, LIST)),
    full: [...triples(c.slice(0, firstHalf)), ...triples(c.slice(secondHalf)).slice(0, 3)],
    partial: Array.from({ length: PARTIAL_ROUNDS }, (_, round) => ({
      constant: entry(c, firstHalf + round),
      row: s.slice(5 * round, 5 * round + 3),
      column: s.slice(5 * round + 3, 5 * round + 5),
    })),
  };
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** A sum of products; below 3 R, which mulmod takes. */
function product(names: readonly string[], factors: readonly bigint[]): string {
  const terms = names.map((name, i) => `mulmod(${name}, ${hex(entry(factors, i))}, r)`);
  return terms.reduce((sum, term) => `add(${sum}, ${term})`);
}

/** to = from^5 + constant, below 2 R. */
function power(to: string, from: string, constant: bigint): string[] {
  const fifth = `mulmod(mulmod(${to}, ${to}, r), ${from}, r)`;
  return [
    `${to} := mulmod(${from}, ${from}, r)`,
    `${to} := ${constant === 0n ? fifth : `add(${fifth}, ${hex(constant)})`}`,
  ];
}

function fullRound(constants: readonly bigint[], mix: readonly (readonly bigint[])[]): string[] {
  const names = [0, 1, 2];
  return [
    ...names.flatMap((i) => power(`t${i}`, `s${i}`, entry(constants, i))),
    ...names.map((i) => `s${i} := ${product(["t0", "t1", "t2"], entry(mix, i))}`),
  ];
}

function hasherContract(): string {
  const { mix, lastMix, full, partial } = readConstants();
  const start = entry(full, 0);
  const zeros = [0n, 0n, 0n];
  const lines = [
    `let s0 := ${hex(entry(start, 0))}`,
    `let s1 := add(left, ${hex(entry(start, 1))})`,
    `let s2 := add(right, ${hex(entry(start, 2))})`,
    "let t0",
    "let t1",
    "let t2",
    ...[1, 2, 3, 4].flatMap((round) => ["", ...fullRound(entry(full, round), round === 4 ? lastMix : mix)]),
    ...partial.flatMap(({ constant, row, column }, round) => {
      // s1 and s2 grow by less than R a round; from below 3 R, reduced every third time, they stay below 5 R < 2^256.
      const add = (name: string, factor: bigint) =>
        round % 3 === 2
          ? `${name} := addmod(${name}, mulmod(t0, ${hex(factor)}, r), r)`
          : `${name} := add(${name}, mulmod(t0, ${hex(factor)}, r))`;
      return [
        "",
        ...power("t0", "s0", constant),
        `s0 := ${product(["t0", "s1", "s2"], row)}`,
        add("s1", entry(column, 0)),
        add("s2", entry(column, 1)),
      ];
    }),
    ...[5, 6, 7].flatMap((round) => ["", ...fullRound(entry(full, round), mix)]),
    "",
    ...[0, 1, 2].flatMap((i) => power(`t${i}`, `s${i}`, entry(zeros, i))),
    `result := mod(${product(["t0", "t1", "t2"], entry(mix, 0))}, r)`,
  ];
  return `// SPDX-License-Identifier: GPL-3.0-only
pragma solidity 0.8.37;

// Generated by scripts/generatePoseidon.ts from circomlib's parameters. Do not edit.
// Poseidon of two field elements over BN254, written out: constants pushed from the code cost a third of constants
// loaded from memory, and a tree inserts by the dozen.
library Poseidon {
    // Both inputs must be below r, the result is; r must be the modulus of the field. It is a parameter, which callers
    // read from memory, because the compiler must not know it: it would write the constant into the code 600 times,
    // 33 bytes each, and the contract would be too large to deploy.
    function hash(uint256 r, uint256 left, uint256 right) internal pure returns (uint256 result) {
        assembly ("memory-safe") {
${lines.map((line) => (line === "" ? "" : `            ${line}`)).join("\n")}
        }
    }
}
`;
}

/** Writes contracts/libraries/Poseidon.sol. The output depends on circomlibjs' constants alone. */
export function writePoseidon(): void {
  writeFileSync(HASHER_FILE, hasherContract());
}

/** Whether contracts/libraries/Poseidon.sol is what writePoseidon would write. */
export function isPoseidonCurrent(): boolean {
  return readFileSync(HASHER_FILE, "utf8") === hasherContract();
}

if (import.meta.main) {
  if (process.argv.includes("--check")) {
    const current = isPoseidonCurrent();
    console.log(current ? "Poseidon contract: current" : "Poseidon contract: run node scripts/generatePoseidon.ts");
    process.exitCode = current ? 0 : 1;
  } else {
    writePoseidon();
    console.log("Poseidon contract: written");
  }
}
