/** The part of the native secp256k1 that the project uses. The package brings no types. */
declare module "secp256k1/bindings.js" {
  interface Secp256k1 {
    /** 65 bytes into `output`. Throws where no key can have made the signature. */
    ecdsaRecover(
      signature: Uint8Array,
      recovery: number,
      hash: Uint8Array,
      compressed: boolean,
      output: Uint8Array,
    ): Uint8Array;
    /** RFC 6979, s in the lower half. */
    ecdsaSign(hash: Uint8Array, key: Uint8Array): { readonly signature: Uint8Array; readonly recid: number };
  }
  const secp256k1: Secp256k1;
  export default secp256k1;
}
