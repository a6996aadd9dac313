import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { recoverSigner } from "../protocol/signature.ts";

/** A signature is not in the one form that the contract takes, too. */
export class MalformedSignature extends HedgerowError {
  constructor(signature: string) {
    super(
      "MalformedSignature",
      `signature ${signature.slice(0, 20)}... is not 65 bytes r, s, v with s in the lower half and v 27 or 28: sign anew`,
      { length: signature.length },
    );
  }
}

/** Somebody else than the required key signed. */
export class WrongSigner extends HedgerowError {
  constructor(signer: Hex, required: Hex) {
    super("WrongSigner", `${signer} signed, but only ${required} may: sign with that key`, { signer, required });
  }
}

/** Finds out who signed a 32-byte hash: the exchange's signing thread. Rejects with MalformedSignature. */
export type Recovery = { recover(hash: Hex, signature: Hex): Promise<Hex> };

/** The same without another thread, slowly. */
export const RECOVERY_HERE: Recovery = {
  async recover(hash, signature) {
    const signer = recoverSigner(hash, signature);
    if (signer === undefined) throw new MalformedSignature(signature);
    return Promise.resolve(signer);
  },
};

/**
 * Throws MalformedSignature or WrongSigner unless `required` signed `hash`. As strict as the contract: one bad
 * signature would refuse a whole batch there (spec ORD-12, TKT-7). That is why the signer is recovered from v, r and s
 * even where the public key is known: a check against the key would let a wrong v pass.
 */
export async function assertSignedBy(
  hash: Hex,
  signature: Hex,
  required: Hex,
  recovery: Recovery = RECOVERY_HERE,
): Promise<void> {
  const signer = await recovery.recover(hash, signature);
  if (signer !== required.toLowerCase()) throw new WrongSigner(signer, required);
}
