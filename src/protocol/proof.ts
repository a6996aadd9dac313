/** A point of G1: x, y. */
export type PointG1 = readonly [bigint, bigint];
/** A point of G2, each coordinate with its imaginary part first, as EIP-197 and the contracts have it. */
export type PointG2 = readonly [readonly [bigint, bigint], readonly [bigint, bigint]];

/** A Groth16 proof in the contracts' order. */
export type Proof = { readonly a: PointG1; readonly b: PointG2; readonly c: PointG1 };
