import { secp256k1 } from "@noble/curves/secp256k1.js";

/** What the signing worker asks of secp256k1, on bytes. Signatures are r and s, 64 bytes; `recovery` is v - 27. */
export type Curve = {
  readonly name: CurveName;
  /** The uncompressed public key that signed; undefined where no key can have. Valid until the next call. */
  readonly recover: (hash: Uint8Array, signature: Uint8Array, recovery: number) => Uint8Array | undefined;
  /** The one signature of RFC 6979, s in the lower half. */
  readonly sign: (hash: Uint8Array, key: Uint8Array) => { readonly signature: Uint8Array; readonly recovery: number };
};

/** native: libsecp256k1 as an addon of the platform; portable: the same in JavaScript, some twenty times slower. */
export type CurveName = "native" | "portable";

/** The native curve. Throws where the platform has no addon. */
export async function nativeCurve(): Promise<Curve> {
  const { default: native } = await import("secp256k1/bindings.js");
  const point = new Uint8Array(65);
  return {
    name: "native",
    recover(hash, signature, recovery) {
      try {
        return native.ecdsaRecover(signature, recovery, hash, false, point);
      } catch {
        return undefined;
      }
    },
    sign(hash, key) {
      const { signature, recid } = native.ecdsaSign(hash, key);
      return { signature, recovery: recid };
    },
  };
}

/** The curve that runs everywhere. */
export function portableCurve(): Curve {
  return {
    name: "portable",
    recover(hash, signature, recovery) {
      try {
        return secp256k1.Signature.fromBytes(signature).addRecoveryBit(recovery).recoverPublicKey(hash).toBytes(false);
      } catch {
        return undefined;
      }
    },
    sign(hash, key) {
      const signed = secp256k1.sign(hash, key, { prehash: false, format: "recovered" });
      return { signature: signed.subarray(1), recovery: signed[0] ?? 0 };
    },
  };
}

/** The native curve where it loads, otherwise the portable one. */
export async function fastestCurve(native: () => Promise<Curve> = nativeCurve): Promise<Curve> {
  return native().catch(portableCurve);
}
