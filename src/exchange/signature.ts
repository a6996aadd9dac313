import { recoverAddress } from "viem";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";

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

const HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n;

/**
 * Throws MalformedSignature or WrongSigner unless `required` signed `hash`. As strict as the contract: one bad
 * signature would refuse a whole batch there (spec ORD-12, TKT-7).
 */
export async function assertSignedBy(hash: Hex, signature: Hex, required: Hex): Promise<void> {
  if (!/^0x[0-9a-f]{128}1[bc]$/i.test(signature)) throw new MalformedSignature(signature);
  const s = BigInt(`0x${signature.slice(66, 130)}`);
  if (s > HALF_ORDER) throw new MalformedSignature(signature);
  const signer = await recoverAddress({ hash, signature }).catch(() => {
    throw new MalformedSignature(signature);
  });
  if (signer.toLowerCase() !== required.toLowerCase()) throw new WrongSigner(signer, required);
}
