/** The part of snarkjs that the project uses. The package brings no types. */
declare module "snarkjs" {
  import type { Curve } from "ffjavascript";

  export type Logger = Readonly<Record<"debug" | "info" | "warn" | "error", (message: string) => void>>;
  export interface MemoryFile {
    type: "mem";
    data?: Uint8Array;
  }
  type File = string | MemoryFile;

  export const powersOfTau: {
    newAccumulator(curve: Curve, power: number, file: File, logger?: Logger): Promise<unknown>;
    beacon(from: File, to: File, name: string, hash: string, iterationsExp: number, logger?: Logger): Promise<unknown>;
    preparePhase2(from: File, to: File, logger?: Logger): Promise<unknown>;
  };
  export const zKey: {
    newZKey(r1cs: File, powersOfTau: File, to: File, logger?: Logger): Promise<unknown>;
    beacon(from: File, to: File, name: string, hash: string, iterationsExp: number, logger?: Logger): Promise<unknown>;
    exportVerificationKey(from: File, logger?: Logger): Promise<Record<string, unknown>>;
    verifyFromR1cs(r1cs: File, powersOfTau: File, zkey: File, logger?: Logger): Promise<boolean>;
  };
  export const groth16: {
    prove(
      zkey: File,
      witness: File,
    ): Promise<{ proof: { pi_a: string[]; pi_b: string[][]; pi_c: string[] }; publicSignals: string[] }>;
    verify(key: object, publicSignals: readonly string[], proof: object): Promise<boolean>;
  };
  export const r1cs: {
    info(file: File): Promise<{ nConstraints: number; nPubInputs: number; nPrvInputs: number; nVars: number }>;
  };
}
