import { readFile } from "node:fs/promises";
import { CIRCUIT_FILES, loadWitnessProgram } from "../../src/prover/circuit.ts";
import { WitnessProgram } from "../../src/prover/witness.ts";
import { FIELD_MODULUS } from "../../src/protocol/field.ts";
import { circuitInput, type TransitionWitness } from "../../src/protocol/transition.ts";

interface Term {
  readonly wire: number;
  readonly factor: bigint;
}
/** One constraint: (sum of a) * (sum of b) = (sum of c). */
interface Constraint {
  readonly a: readonly Term[];
  readonly b: readonly Term[];
  readonly c: readonly Term[];
}

/** The compiled circuit as tests look at it: its constraints, the wire of each kept signal, its witness program. */
export interface CompiledCircuit {
  readonly constraints: readonly Constraint[];
  readonly wires: number;
  readonly wireOf: ReadonlyMap<string, number>;
  readonly program: WitnessProgram;
}

/** Compiles the circuit if needed and reads everything about it. */
export async function readCircuit(): Promise<CompiledCircuit> {
  const program = await WitnessProgram.compile(await loadWitnessProgram());
  const { constraints, wires } = parseR1cs(await readFile(CIRCUIT_FILES.r1cs));
  const wireOf = new Map<string, number>();
  for (const line of (await readFile(CIRCUIT_FILES.symbols, "utf8")).split("\n")) {
    const [, wire, , name] = line.split(",");
    if (name !== undefined && Number(wire) >= 0) wireOf.set(name.replace(/^main\./, ""), Number(wire));
  }
  return { constraints, wires, wireOf, program };
}

/** The value of every wire for a witness, as the circuit's own program computes it. */
export function wiresOf({ program }: CompiledCircuit, witness: TransitionWitness): bigint[] {
  const bytes = program.run(circuitInput(witness));
  return Array.from({ length: bytes.byteLength / 32 }, (_, i) => littleEndian(bytes, 32 * i));
}

/** Numbers of the constraints that the wires break. */
export function brokenConstraints({ constraints }: CompiledCircuit, wires: readonly bigint[]): number[] {
  const sum = (terms: readonly Term[]): bigint =>
    terms.reduce((total, { wire, factor }) => total + factor * (wires[wire] ?? 0n), 0n) % FIELD_MODULUS;
  return constraints.flatMap(({ a, b, c }, i) => ((sum(a) * sum(b) - sum(c)) % FIELD_MODULUS === 0n ? [] : [i]));
}

/** Wires that can be changed by 1, each alone, without breaking any constraint. Wire 0 is the constant 1. */
export function freeWires({ constraints, wires: count }: CompiledCircuit, wires: readonly bigint[]): number[] {
  const bound = new Set<number>([0]);
  for (const { a, b, c } of constraints) {
    const sum = (terms: readonly Term[]): bigint =>
      terms.reduce((total, { wire, factor }) => total + factor * (wires[wire] ?? 0n), 0n) % FIELD_MODULUS;
    const factorOf = (terms: readonly Term[], wire: number): bigint =>
      terms.reduce((total, term) => (term.wire === wire ? total + term.factor : total), 0n);
    const [sumA, sumB, sumC] = [sum(a), sum(b), sum(c)];
    for (const { wire } of [...a, ...b, ...c]) {
      if (bound.has(wire)) continue;
      const left = (sumA + factorOf(a, wire)) * (sumB + factorOf(b, wire));
      if ((left - sumC - factorOf(c, wire)) % FIELD_MODULUS !== 0n) bound.add(wire);
    }
  }
  return Array.from({ length: count }, (_, wire) => wire).filter((wire) => !bound.has(wire));
}

/** Reads circom's R1CS file, version 1: a header (section 1) and the constraints (section 2). */
function parseR1cs(file: Uint8Array): { readonly constraints: Constraint[]; readonly wires: number } {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const sections = new Map<number, number>();
  for (let s = 0, at = 12; s < view.getUint32(8, true); s++) {
    sections.set(view.getUint32(at, true), at + 12);
    at += 12 + Number(view.getBigUint64(at + 4, true));
  }
  const header = sections.get(1) ?? 0;
  const fieldBytes = view.getUint32(header, true);
  const numbers = header + 4 + fieldBytes;
  const wires = view.getUint32(numbers, true);
  const count = view.getUint32(numbers + 24, true);
  let at = sections.get(2) ?? 0;
  const terms = (): Term[] => {
    const length = view.getUint32(at, true);
    at += 4;
    return Array.from({ length }, () => {
      const term = { wire: view.getUint32(at, true), factor: littleEndian(file, at + 4) };
      at += 4 + fieldBytes;
      return term;
    });
  };
  return { wires, constraints: Array.from({ length: count }, () => ({ a: terms(), b: terms(), c: terms() })) };
}

function littleEndian(bytes: Uint8Array, at: number): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  let value = 0n;
  for (let word = 3; word >= 0; word--) value = (value << 64n) | view.getBigUint64(at + 8 * word, true);
  return value;
}
