/** The part of ffjavascript that the project uses. The package brings no types. */
declare module "ffjavascript" {
  /** A field element or point in the library's own memory format. */
  type Bytes = Uint8Array;

  export interface Field {
    readonly n8: number;
    readonly zero: Bytes;
    readonly one: Bytes;
    e(value: bigint): Bytes;
    random(): Bytes;
    add(a: Bytes, b: Bytes): Bytes;
    sub(a: Bytes, b: Bytes): Bytes;
    mul(a: Bytes, b: Bytes): Bytes;
    neg(a: Bytes): Bytes;
    eq(a: Bytes, b: Bytes): boolean;
    toObject(a: Bytes): bigint;
  }
  export interface Group {
    readonly zero: Bytes;
    fromObject(affine: unknown): Bytes;
    toObject(point: Bytes): unknown;
    toAffine(point: Bytes): Bytes;
    add(a: Bytes, b: Bytes): Bytes;
    neg(point: Bytes): Bytes;
    eq(a: Bytes, b: Bytes): boolean;
    isZero(point: Bytes): boolean;
    isValid(point: Bytes): boolean;
    timesScalar(point: Bytes, scalar: bigint): Bytes;
    timesFr(point: Bytes, scalar: Bytes): Bytes;
    multiExpAffine(bases: Bytes, scalars: Bytes): Promise<Bytes>;
  }
  export interface Curve {
    readonly r: bigint;
    readonly q: bigint;
    readonly Fr: Field;
    readonly F1: Field;
    readonly G1: Group;
    readonly G2: Group;
    readonly Gt: Field;
    pairingEq(...points: readonly Bytes[]): Promise<boolean>;
    terminate(): Promise<void>;
  }
  export function getCurveFromName(name: "bn128", options?: { singleThread?: boolean }): Promise<Curve>;
}
