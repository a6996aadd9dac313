import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { z } from "zod";
import { HedgerowError } from "../protocol/errors.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const COMPILED = join(ROOT, ".cache", "circuit");

/** Files that belong to the circuit. The compiled ones are made when needed and kept in the cache. */
export const CIRCUIT_FILES = {
  source: join(ROOT, "circuits", "transition.circom"),
  description: join(ROOT, "circuits", "circuits.json"),
  pins: join(ROOT, "circuits", "pins.json"),
  provingKey: join(ROOT, "circuits", "keys", "transition.zkey"),
  verifyingKey: join(ROOT, "circuits", "keys", "verification_key.json"),
  r1cs: join(COMPILED, "transition.r1cs"),
  wasm: join(COMPILED, "transition.wasm"),
  symbols: join(COMPILED, "transition.sym"),
} as const;

const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/);
const pinsSchema = z.strictObject({
  constraints: z.int().positive(),
  publicInputs: z.int().positive(),
  privateInputs: z.int().positive(),
  wires: z.int().positive(),
  r1csSha256: sha256Hex,
  wasmSha256: sha256Hex,
  zkeySha256: sha256Hex,
  verifyingKeyHash: z.string().regex(/^0x[0-9a-f]{64}$/),
});

/** What must not change unseen: sizes of the circuit and hashes of everything made from it (spec CIR-9). */
export type Pins = z.infer<typeof pinsSchema>;

/** A file made from the circuit is not the one that circuits/pins.json names. */
export class CircuitMismatch extends HedgerowError {
  constructor(file: string, expected: string, actual: string) {
    super(
      "CircuitMismatch",
      `${file} has SHA-256 ${actual}, but circuits/pins.json says ${expected}: ` +
        `undo the change of the circuit or run npm run ceremony`,
      { file, expected, actual },
    );
  }
}

/** circom refused the circuit. */
export class CircuitRefused extends HedgerowError {
  constructor(output: string) {
    super("CircuitRefused", `circuits/transition.circom does not compile: ${output}`, { output });
  }
}

/** SHA-256 of bytes in small hexadecimal letters. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The pinned sizes and hashes. Throws a ZodError when the file is not what this version writes. */
export async function readPins(): Promise<Pins> {
  return pinsSchema.parse(JSON.parse(await readFile(CIRCUIT_FILES.pins, "utf8")));
}

/** Compiles the circuit into the cache in about 4 seconds. Throws CircuitRefused. Safe beside other processes. */
export async function compileCircuit(): Promise<void> {
  await mkdir(COMPILED, { recursive: true });
  const fresh = await mkdtemp(join(ROOT, ".cache", "circuit-"));
  try {
    const compiler = createRequire(import.meta.url).resolve("circom2/cli.js");
    const arguments_ = [CIRCUIT_FILES.source, "--O2", "--r1cs", "--wasm", "--sym", "-o", fresh];
    await promisify(execFile)(process.execPath, [compiler, ...arguments_], { cwd: ROOT }).catch((error: unknown) => {
      throw new CircuitRefused(error instanceof Error ? error.message : String(error));
    });
    await rename(join(fresh, "transition.r1cs"), CIRCUIT_FILES.r1cs);
    await rename(join(fresh, "transition.sym"), CIRCUIT_FILES.symbols);
    await rename(join(fresh, "transition_js", "transition.wasm"), CIRCUIT_FILES.wasm);
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

/**
 * The pinned witness program; compiles the circuit when the cache does not hold it.
 * Throws CircuitMismatch when the sources no longer give it.
 */
export async function loadWitnessProgram(): Promise<Uint8Array> {
  const { wasmSha256 } = await readPins();
  const cached = await readFile(CIRCUIT_FILES.wasm).catch(() => undefined);
  if (cached !== undefined && sha256(cached) === wasmSha256) return cached;
  await compileCircuit();
  return readPinned(CIRCUIT_FILES.wasm, wasmSha256);
}

/** The committed proving key. Throws CircuitMismatch when it is not the pinned one. */
export async function loadProvingKey(): Promise<Uint8Array> {
  return readPinned(CIRCUIT_FILES.provingKey, (await readPins()).zkeySha256);
}

async function readPinned(file: string, expected: string): Promise<Uint8Array> {
  const bytes = await readFile(file);
  const actual = sha256(bytes);
  if (actual !== expected) throw new CircuitMismatch(file.slice(ROOT.length), expected, actual);
  return bytes;
}
