import { HedgerowError } from "../protocol/errors.ts";
import { FIELD_MODULUS } from "../protocol/field.ts";
import type { CircuitInput } from "../protocol/transition.ts";

/** The witness program of the circuit refused its inputs; each refusal of a solvent transition is a bug. */
export class WitnessRefused extends HedgerowError {
  constructor(reason: string) {
    super("WitnessRefused", `the circuit refuses these inputs (${reason}): check them with assertWitness`, { reason });
  }
}

type Call = (...values: readonly number[]) => number;

const WORD_BITS = 32n;
const FIELD_WORDS = 8;
const FIELD_BYTES = 4 * FIELD_WORDS;

/**
 * Runs the program that circom made from the circuit. It is compiled once; each run has memory of its own, so that a
 * refused run leaves nothing behind.
 */
export class WitnessProgram {
  readonly #module: WebAssembly.Module;

  private constructor(module: WebAssembly.Module) {
    this.#module = module;
  }

  static async compile(code: Uint8Array): Promise<WitnessProgram> {
    return new WitnessProgram(await WebAssembly.compile(code));
  }

  /**
   * All wires of the circuit as 32-byte little-endian numbers: 1, the public signals in order, then the rest.
   * Throws WitnessRefused when a constraint fails or an input is missing or unknown.
   */
  run(input: CircuitInput): Uint8Array {
    const call = this.#start();
    call("init")(1);
    for (const [name, value] of Object.entries(input)) {
      const [high, low] = signalHash(name);
      const values = typeof value === "bigint" ? [value] : value;
      const size = call("getInputSignalSize")(high, low);
      if (size !== values.length) throw new WitnessRefused(`${name} has ${values.length} values instead of ${size}`);
      values.forEach((element, i) => {
        for (let word = 0; word < FIELD_WORDS; word++) {
          call("writeSharedRWMemory")(word, Number(BigInt.asUintN(32, element >> (WORD_BITS * BigInt(word)))));
        }
        call("setInputSignal")(high, low, i);
      });
    }
    return readWires(call("getWitnessSize")(), call("getWitness"), call("readSharedRWMemory"));
  }

  #start(): (name: string) => Call {
    let message = "";
    const { exports } = new WebAssembly.Instance(this.#module, {
      runtime: {
        exceptionHandler: (code: number) => {
          throw new WitnessRefused(`${REFUSALS[code] ?? `code ${code}`}${message}`);
        },
        printErrorMessage: () => {
          for (let c = call("getMessageChar")(); c !== 0; c = call("getMessageChar")())
            message += String.fromCharCode(c);
        },
        writeBufferMessage: () => undefined,
        showSharedRWMemory: () => undefined,
      },
    });
    const call = (name: string): Call => {
      const exported = exports[name];
      if (!isCall(exported)) throw new WitnessRefused(`the program has no ${name}`);
      return exported;
    };
    return call;
  }
}

const REFUSALS: Readonly<Record<number, string>> = {
  1: "unknown signal ",
  2: "too many signals ",
  3: "signal given twice ",
  4: "a constraint fails ",
  5: "out of memory ",
  6: "array too long ",
};

/** Wraps the wires into the file that snarkjs reads as a witness. */
export function witnessFile(wires: Uint8Array): Uint8Array {
  const file = new Uint8Array(76 + wires.byteLength);
  const view = new DataView(file.buffer);
  file.set(new TextEncoder().encode("wtns"));
  view.setUint32(4, 2, true); // version
  view.setUint32(8, 2, true); // sections
  view.setUint32(12, 1, true); // section 1: field and number of wires
  view.setBigUint64(16, BigInt(8 + FIELD_BYTES), true);
  view.setUint32(24, FIELD_BYTES, true);
  for (let word = 0; word < FIELD_WORDS; word++) {
    view.setUint32(28 + 4 * word, Number(BigInt.asUintN(32, FIELD_MODULUS >> (WORD_BITS * BigInt(word)))), true);
  }
  view.setUint32(60, wires.byteLength / FIELD_BYTES, true);
  view.setUint32(64, 2, true); // section 2: the wires
  view.setBigUint64(68, BigInt(wires.byteLength), true);
  file.set(wires, 76);
  return file;
}

function readWires(count: number, select: Call, read: Call): Uint8Array {
  const wires = new Uint8Array(count * FIELD_BYTES);
  const view = new DataView(wires.buffer);
  for (let wire = 0; wire < count; wire++) {
    select(wire);
    for (let word = 0; word < FIELD_WORDS; word++) view.setInt32(wire * FIELD_BYTES + 4 * word, read(word), true);
  }
  return wires;
}

/** circom names input signals by the two halves of their 64-bit FNV-1a hash. */
function signalHash(name: string): readonly [number, number] {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(name)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return [Number(hash >> WORD_BITS), Number(BigInt.asUintN(32, hash))];
}

function isCall(value: unknown): value is Call {
  return typeof value === "function";
}
