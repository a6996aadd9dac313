/** The part of circomlibjs that the tests compare with. The package brings no types. */
declare module "circomlibjs" {
  interface Poseidon {
    (inputs: readonly bigint[]): Uint8Array;
    readonly F: { toObject(element: Uint8Array): bigint };
  }
  export function buildPoseidonReference(): Promise<Poseidon>;
}
