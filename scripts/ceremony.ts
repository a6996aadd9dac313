/**
 * Makes the development proving key of the circuit, and everything that is derived from it.
 *
 *     npm run ceremony              compile, derive the key, write circuits/keys, circuits/pins.json and the contracts
 *     npm run ceremony -- --check   derive the key again from nothing and compare byte by byte; writes nothing
 *     npm run ceremony -- --pins    after a change of comments only: same constraints, same key, new witness program
 *
 * It is a DEVELOPMENT key: both contributions are beacons whose hashes stand below, so the trapdoor is public and
 * anybody who wants to can forge proofs. That is what makes it reproducible. A deployment with money at stake needs
 * a ceremony with many contributors of whom one destroys his share.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { getCurveFromName } from "ffjavascript";
import { type Logger, powersOfTau, r1cs, zKey } from "snarkjs";
import { HedgerowError } from "../src/protocol/errors.ts";
import { CIRCUIT_FILES, compileCircuit, type Pins, readPins, sha256 } from "../src/prover/circuit.ts";
import { parseVerifyingKey, verifyingKeyHash, writeVerifyingKeyContracts } from "./generateVerifyingKey.ts";

const POWER = 13;
/** 2^10 hashings of a beacon, the fewest allowed: delay has no purpose where the beacon is fixed anyway. */
const ITERATIONS = 10;
const POWERS_BEACON = beaconHash("hedgerow development ceremony: powers of tau");
const CIRCUIT_BEACON = beaconHash("hedgerow development ceremony: circuit");
const MAX_KEY_BYTES = 6_000_000;

/** The key derived now differs from the committed one, is too large to commit, or is not the one asked for. */
export class CeremonyFailed extends HedgerowError {
  constructor(message: string) {
    super("CeremonyFailed", message);
  }
}

interface Derived {
  readonly zkey: Uint8Array;
  readonly verifyingKey: string;
  readonly pins: Pins;
}

function beaconHash(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** Runs one step and shows what it does, with the seconds it took. */
async function step<T>(title: string, work: (logger: Logger) => Promise<T>): Promise<T> {
  const started = performance.now();
  const seconds = (): string => `${Math.round((performance.now() - started) / 1000)} s`;
  const show = (message: string): void => {
    if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K${title}  ${seconds()}  ${message.slice(0, 60)}`);
  };
  if (!process.stdout.isTTY) console.log(`${title} ...`);
  const loud = (message: string): void => {
    console.error(`\n${title}: ${message}`);
  };
  const result = await work({ debug: show, info: () => undefined, warn: loud, error: loud });
  console.log(`${process.stdout.isTTY ? "\r\x1b[K" : ""}${title}  ${seconds()}`);
  return result;
}

async function derive(directory: string): Promise<Derived> {
  const file = (name: string): string => join(directory, name);
  await step("compile the circuit", () => compileCircuit());
  const curve = await getCurveFromName("bn128");
  try {
    await step("powers of tau: start", (log) => powersOfTau.newAccumulator(curve, POWER, file("0.ptau"), log));
    await step("powers of tau: beacon", (log) =>
      powersOfTau.beacon(file("0.ptau"), file("1.ptau"), "powers", POWERS_BEACON, ITERATIONS, log),
    );
    await step("powers of tau: prepare (about 2 minutes)", (log) =>
      powersOfTau.preparePhase2(file("1.ptau"), file("2.ptau"), log),
    );
    await step("circuit key: start", (log) => zKey.newZKey(CIRCUIT_FILES.r1cs, file("2.ptau"), file("0.zkey"), log));
    await step("circuit key: beacon", (log) =>
      zKey.beacon(file("0.zkey"), file("1.zkey"), "circuit", CIRCUIT_BEACON, ITERATIONS, log),
    );
    const key = await zKey.exportVerificationKey(file("1.zkey"));
    const zkey = await readFile(file("1.zkey"));
    const info = await r1cs.info(CIRCUIT_FILES.r1cs);
    return {
      zkey,
      verifyingKey: `${JSON.stringify(key, null, 2)}\n`,
      pins: {
        constraints: info.nConstraints,
        publicInputs: info.nPubInputs,
        privateInputs: info.nPrvInputs,
        wires: info.nVars,
        r1csSha256: sha256(await readFile(CIRCUIT_FILES.r1cs)),
        wasmSha256: sha256(await readFile(CIRCUIT_FILES.wasm)),
        zkeySha256: sha256(zkey),
        verifyingKeyHash: verifyingKeyHash(parseVerifyingKey(key)),
      },
    };
  } finally {
    await curve.terminate();
  }
}

async function write({ zkey, verifyingKey, pins }: Derived): Promise<void> {
  if (zkey.byteLength > MAX_KEY_BYTES) {
    throw new CeremonyFailed(`the key has ${zkey.byteLength} bytes, but at most ${MAX_KEY_BYTES} are committed`);
  }
  await writeFile(CIRCUIT_FILES.provingKey, zkey);
  await writeFile(CIRCUIT_FILES.verifyingKey, verifyingKey);
  await writePins(pins);
  writeVerifyingKeyContracts();
  console.log("written: circuits/keys, circuits/pins.json and the contracts' verifying key");
}

async function compare({ zkey, verifyingKey, pins }: Derived): Promise<void> {
  const same =
    Buffer.from(await readFile(CIRCUIT_FILES.provingKey)).equals(zkey) &&
    (await readFile(CIRCUIT_FILES.verifyingKey, "utf8")) === verifyingKey &&
    JSON.stringify(await readPins()) === JSON.stringify(pins);
  if (!same)
    throw new CeremonyFailed("the key derived from the sources is not the committed one: run npm run ceremony");
  console.log(`the committed key is the one derived from the sources: SHA-256 ${pins.zkeySha256}`);
}

/** Line numbers stand in the witness program, so that a changed comment changes it, but neither constraints nor key. */
async function refreshPins(): Promise<void> {
  await step("compile the circuit", () => compileCircuit());
  const pins = await readPins();
  if (sha256(await readFile(CIRCUIT_FILES.r1cs)) !== pins.r1csSha256) {
    throw new CeremonyFailed("the constraints have changed, so the key must: run npm run ceremony without --pins");
  }
  await writePins({ ...pins, wasmSha256: sha256(await readFile(CIRCUIT_FILES.wasm)) });
  console.log("the constraints are the same: circuits/pins.json names the new witness program");
}

async function writePins(pins: Pins): Promise<void> {
  await writeFile(CIRCUIT_FILES.pins, `${JSON.stringify(pins, null, 2)}\n`);
}

/** Derives the key in a directory of its own, which is removed afterwards. */
async function perform(check: boolean): Promise<void> {
  const cache = fileURLToPath(new URL("../.cache/", import.meta.url));
  await mkdir(cache, { recursive: true });
  const directory = await mkdtemp(join(cache, "ceremony-"));
  try {
    console.log("development key: its trapdoor is public, whoever wants to can forge proofs with it");
    const derived = await derive(directory);
    await (check ? compare(derived) : write(derived));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

await (process.argv.includes("--pins") ? refreshPins() : perform(process.argv.includes("--check")));
