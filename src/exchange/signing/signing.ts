import { Buffer } from "node:buffer";
import { Worker } from "node:worker_threads";
import { HedgerowError } from "../../protocol/errors.ts";
import { addressOf, type Hex } from "../../protocol/keys.ts";
import { groupHash, groupOf, type Receipt, type SignedReceipt } from "../../protocol/receipt.ts";
import { isWellFormed } from "../../protocol/signature.ts";
import { DoesNotFit, type Domain } from "../../protocol/typedData.ts";
import { MalformedSignature, type Recovery } from "../signature.ts";
import type { CurveName } from "./curve.ts";
import { ADDRESS_BYTES, HASH_BYTES, layoutOf, newRequest, SIGNATURE_BYTES } from "./packing.ts";

/** All signing and checking of signatures, done in a thread of its own. */
export type Signing = Recovery & {
  /** Address that the receipts are signed by. */
  readonly operator: Hex;
  /**
   * The address that signed a 32-byte hash, in small letters. As strict as the contract: rejects with MalformedSignature
   * or DoesNotFit; with SigningStopped where the thread has ended.
   */
  recover(hash: Hex | Uint8Array, signature: Hex): Promise<Hex>;
  /** Receipts under one root and one signature, in their order (spec REC-2). Rejects with DoesNotFit or SigningStopped. */
  signGroup(receipts: readonly Receipt[]): Promise<readonly SignedReceipt[]>;
  /** Ends the thread. What is still under way is rejected with SigningStopped. */
  close(): Promise<void>;
};

export type SigningParts = {
  readonly operatorKey: Hex;
  readonly domain: Domain;
  /** The fastest that the platform has, if left out. */
  readonly curve?: CurveName;
  /** Called once if the thread ends without having been closed: nothing can be signed from then on. */
  readonly onFailure?: (error: SigningStopped) => void;
};

/** The signing thread is gone. */
export class SigningStopped extends HedgerowError {
  constructor(reason: string) {
    super("SigningStopped", `nothing is signed or checked any more, the thread ${reason}: start the exchange again`, {
      reason,
    });
  }
}

/** The operator's key is no secp256k1 key. The message keeps it to itself. */
export class BadOperatorKey extends HedgerowError {
  constructor() {
    super("BadOperatorKey", "the operator's key is not 32 bytes of hex between 1 and the order of secp256k1: check it");
  }
}

/** Most signatures in a message: a hash to sign waits for no more of them than take some 10 ms. */
const MOST_RECOVERIES = 32;
/** Messages under way: with a second one the thread never waits for work. */
const MOST_UNDER_WAY = 2;
/** Signatures that are worth a second message: each costs both threads as much as a signature or two. */
const WORTH_A_MESSAGE = 16;
const NO_ADDRESS: Hex = `0x${"00".repeat(ADDRESS_BYTES)}`;

/** Starts the signing thread. It does not keep the process alive unless something waits for it. Throws BadOperatorKey. */
export function createSigning(parts: SigningParts): Signing {
  return new SigningThread(parts);
}

type Job = {
  readonly hash: Hex | Uint8Array;
  readonly settle: (hex: Hex) => void;
  readonly fail: (error: Error) => void;
};
type RecoverJob = Job & { readonly signature: Hex };
type Batch = { readonly toSign: readonly Job[]; readonly toRecover: readonly RecoverJob[] };

class SigningThread implements Signing {
  readonly operator: Hex;
  readonly #domain: Domain;
  readonly #worker: Worker;
  readonly #onFailure: (error: SigningStopped) => void;
  readonly #underWay: Batch[] = [];
  #toSign: Job[] = [];
  #toRecover: RecoverJob[] = [];
  #scheduled = false;
  #stopped: SigningStopped | undefined;

  constructor({ operatorKey, domain, curve, onFailure = () => undefined }: SigningParts) {
    this.operator = operatorOf(operatorKey);
    this.#domain = domain;
    this.#onFailure = onFailure;
    const key = new Uint8Array(Buffer.from(operatorKey.slice(2), "hex"));
    // Flags of the process, as those of a script on the command line, are none of the thread's.
    const options = { name: "signing", workerData: { key, curve }, execArgv: [] };
    this.#worker = new Worker(new URL("./worker.ts", import.meta.url), options);
    key.fill(0);
    this.#worker.unref();
    this.#worker.on("message", (answer: Uint8Array) => this.#answered(answer));
    this.#worker.on("error", (error: unknown) => this.#fail(`failed: ${reasonOf(error)}`));
    this.#worker.on("exit", (code) => this.#fail(`ended with code ${code}`));
  }

  async recover(hash: Hex | Uint8Array, signature: Hex): Promise<Hex> {
    if (!isWellFormed(signature)) throw new MalformedSignature(signature);
    if (!isHash(hash)) throw new DoesNotFit("hash", hash, "bytes32");
    const address = await new Promise<Hex>((settle, fail) => {
      this.#toRecover.push({ hash, signature, settle, fail });
      this.#schedule();
    });
    if (address === NO_ADDRESS) throw new MalformedSignature(signature);
    return address;
  }

  async signGroup(receipts: readonly Receipt[]): Promise<readonly SignedReceipt[]> {
    if (receipts.length === 0) return [];
    // Hashing here costs less than carrying the receipts over: only the root goes to the other thread.
    const { root, siblings } = groupOf(receipts);
    const hash = groupHash(this.#domain, root);
    const signature = await new Promise<Hex>((settle, fail) => {
      this.#toSign.push({ hash, settle, fail });
      this.#schedule();
    });
    return receipts.map((receipt, index) => ({ receipt, siblings: siblings[index] ?? [], signature }));
  }

  async close(): Promise<void> {
    this.#stop(new SigningStopped("was closed"));
    await this.#worker.terminate();
  }

  /** What one turn of the event loop asks for goes over together; and whatever came while the thread was busy. */
  #schedule(): void {
    if (this.#stopped !== undefined) {
      this.#stop(this.#stopped);
    } else if (!this.#scheduled && this.#isDue()) {
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.#send();
      });
    }
  }

  /** Whether what waits should go over now. Many wait for each hash to sign: it goes at once. */
  #isDue(): boolean {
    if (this.#underWay.length >= MOST_UNDER_WAY) return false;
    if (this.#underWay.length === 0 || this.#toSign.length > 0) return true;
    return this.#toRecover.length >= WORTH_A_MESSAGE;
  }

  #send(): void {
    if (this.#stopped !== undefined || this.#toSign.length + this.#toRecover.length === 0) return;
    const batch = { toSign: this.#toSign, toRecover: this.#toRecover.splice(0, MOST_RECOVERIES) };
    this.#toSign = [];
    if (this.#underWay.length === 0) this.#worker.ref();
    this.#underWay.push(batch);
    this.#worker.postMessage(requestOf(batch));
    if (this.#toRecover.length > 0) this.#schedule();
  }

  #answered(answer: Uint8Array): void {
    const batch = this.#underWay.shift();
    if (batch === undefined) return;
    if (this.#isDue()) this.#send();
    if (this.#underWay.length === 0) this.#worker.unref();
    const bytes = Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength);
    const layout = layoutOf(batch.toSign.length, batch.toRecover.length);
    const hex = (at: number, length: number): Hex => `0x${bytes.toString("hex", at, at + length)}`;
    batch.toSign.forEach(({ settle }, i) => settle(hex(layout.signature(i), SIGNATURE_BYTES)));
    batch.toRecover.forEach(({ settle }, i) => settle(hex(layout.address(i), ADDRESS_BYTES)));
  }

  #fail(reason: string): void {
    if (this.#stopped !== undefined) return;
    const error = new SigningStopped(reason);
    this.#stop(error);
    this.#onFailure(error);
  }

  /** Rejects everything that waits, now and from now on. */
  #stop(error: SigningStopped): void {
    this.#stopped ??= error;
    const waiting = [...this.#underWay.splice(0), { toSign: this.#toSign, toRecover: this.#toRecover }];
    this.#toSign = [];
    this.#toRecover = [];
    for (const { toSign, toRecover } of waiting) {
      for (const { fail } of [...toSign, ...toRecover]) fail(this.#stopped);
    }
  }
}

function requestOf({ toSign, toRecover }: Batch): Uint8Array {
  const layout = layoutOf(toSign.length, toRecover.length);
  const request = newRequest(layout);
  toSign.forEach(({ hash }, i) => writeHash(request, layout.hashToSign(i), hash));
  toRecover.forEach(({ hash, signature }, i) => {
    writeHash(request, layout.recovery(i), hash);
    request.write(signature.slice(2), layout.recovery(i) + HASH_BYTES, "hex");
  });
  return request;
}

function writeHash(request: Buffer, at: number, hash: Hex | Uint8Array): void {
  if (typeof hash === "string") request.write(hash.slice(2), at, "hex");
  else request.set(hash, at);
}

function isHash(hash: Hex | Uint8Array): boolean {
  return typeof hash === "string" ? /^0x[0-9a-f]{64}$/i.test(hash) : hash.length === HASH_BYTES;
}

function operatorOf(key: Hex): Hex {
  if (!/^0x[0-9a-f]{64}$/i.test(key)) throw new BadOperatorKey();
  try {
    return addressOf(key);
  } catch {
    throw new BadOperatorKey();
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
