import {
  type Chain as ViemChain,
  type HttpTransport,
  keccak256,
  type PrivateKeyAccount,
  type PublicClient,
  type TransactionReceipt,
  TransactionReceiptNotFoundError,
  type WalletClient,
} from "viem";
import type { NonceManager } from "viem/nonce";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { CallImpossible, ChainUnavailable, isTransient, refusalOf, rejectionOf } from "./refusals.ts";

// From a call to its receipt, through a node that goes away, loses answers, wants more for gas, or takes blocks back.

/** Somebody to ask. */
export type Client = PublicClient<HttpTransport, ViemChain>;

/** Somebody who can send transactions. Its account counts its own nonces. */
export type Sender = {
  readonly wallet: WalletClient<HttpTransport, ViemChain, PrivateKeyAccount>;
  readonly address: Hex;
  /** Whom to ask about its transactions, where that must not be who the chain is read from (spec PRI-13). */
  readonly client?: Client;
};

/** How long, and for how much, a call is carried through. Times in milliseconds, fees in wei per gas. */
export type SendOptions = {
  /** Called with its hash just before a transaction is handed over: from then on it may land, whatever is thrown. */
  readonly onSend?: (hash: Hex) => void;
  /** How long a node may be out of reach before ChainUnavailable; 10 seconds by default. */
  readonly patienceMs?: number;
  /** How long a transaction waits for its block before it is sent again, dearer; 30 seconds by default. */
  readonly resendAfterMs?: number;
  /** How long it all may take before ChainUnavailable; 3 minutes by default. */
  readonly giveUpAfterMs?: number;
  /** The most that is ever offered, as maxFeePerGas; 500 gwei by default. */
  readonly maxFeePerGas?: bigint;
  /** How many blocks must stand on top of the transaction's own; none by default. */
  readonly confirmations?: number;
  /** Ends the waiting, with WaitEnded. */
  readonly signal?: AbortSignal;
};

/** The chain wants more for gas than may be paid. Nothing was sent. */
export class FeeAboveLimit extends HedgerowError {
  constructor(limit: bigint) {
    super("FeeAboveLimit", `the chain wants more than ${limit} wei per gas, the limit: wait, or allow more`, { limit });
  }
}

/** The wait for a transaction was ended from outside: what was sent may land all the same. */
export class WaitEnded extends HedgerowError {
  constructor() {
    super("WaitEnded", "the wait for a transaction was ended; if it was sent already it may land all the same");
  }
}

/** How often a node is asked for something that is expected any moment, in milliseconds. */
export const POLLING_MS = 25;
const SLOWEST_POLLING_MS = 1_000;

/** The most gas that a transaction may have (EIP-7825). */
const GAS_CAP = 1n << 24n;

/** How long a receipt may stay out of sight once the nonce is said to be used. */
const OVERTAKEN_MS = 5_000;

const DEFAULTS = {
  patienceMs: 10_000,
  resendAfterMs: 30_000,
  giveUpAfterMs: 180_000,
  maxFeePerGas: 500n * 10n ** 9n,
  confirmations: 0,
};

type Limits = SendOptions & typeof DEFAULTS;

type Call = { readonly to: Hex; readonly data: Hex };
type Fees = { readonly maxFeePerGas: bigint; readonly maxPriorityFeePerGas: bigint };

/** A call under one nonce: signed once or more, each time dearer, of which one can land. */
type Attempt = {
  readonly nonce: number;
  readonly gas: bigint;
  fees: Fees;
  /** The newest first. */
  hashes: readonly Hex[];
  /** A node has it, or had it and we do not know. */
  mayLand: boolean;
};

/**
 * Sends a call and waits until it is mined. A nonce that was not used is used by the next call. What may have landed is
 * sent again under its own nonce only, so that it cannot count twice. Throws ContractRefused, CallImpossible or
 * FeeAboveLimit (it did not land), ChainUnavailable or WaitEnded (it may land if `onSend` was called) (spec CHN-7..12).
 */
export async function sendCall(
  client: Client,
  sender: Sender,
  call: Call,
  options: SendOptions = {},
): Promise<TransactionReceipt> {
  return new Sending(client, sender, call, { ...DEFAULTS, ...options }).run();
}

class Sending {
  readonly #client: Client;
  readonly #sender: Sender;
  readonly #call: Call;
  readonly #limits: Limits;
  readonly #nonces: NonceManager;
  readonly #start = performance.now();

  constructor(client: Client, sender: Sender, call: Call, limits: Limits) {
    const { nonceManager } = sender.wallet.account;
    if (nonceManager === undefined) throw new CallImpossible("its sender has no counter of nonces");
    this.#client = client;
    this.#sender = sender;
    this.#call = call;
    this.#limits = limits;
    this.#nonces = nonceManager;
  }

  async run(): Promise<TransactionReceipt> {
    const gas = await this.#estimateGas();
    // One at a time: a nonce that is rejected is the newest one, and giving it back leaves no gap.
    const attempt = await inTurn(this.#nonces, this.#sender.address, () => this.#handOver(gas));
    try {
      return await this.#mined(attempt);
    } catch (error) {
      // Nobody sends it again: the next call looks at the chain for its nonce.
      this.#forgetNonces();
      throw error;
    }
  }

  async #estimateGas(): Promise<bigint> {
    const account = this.#sender.address;
    const estimate = await this.#ask(() => this.#client.estimateGas({ account, ...this.#call }));
    if (estimate > GAS_CAP) throw new CallImpossible(`it takes ${estimate} gas, more than ${GAS_CAP}`);
    const roomy = estimate + estimate / 10n;
    return roomy < GAS_CAP ? roomy : GAS_CAP;
  }

  /** Hands the call to the node under the next nonce. */
  async #handOver(gas: bigint): Promise<Attempt> {
    try {
      for (;;) {
        this.#assertInTime();
        const { address, wallet } = this.#sender;
        const fees = await this.#freshFees();
        const nonce = await this.#ask(() =>
          this.#nonces.consume({ address, chainId: wallet.chain.id, client: this.#client }),
        );
        const attempt: Attempt = { nonce, gas, fees, hashes: [], mayLand: false };
        const rejection = await this.#offer(attempt);
        if (rejection === undefined || attempt.mayLand) return attempt;
        // The counter was wrong, and no node has the transaction: another nonce is safe.
        this.#forgetNonces();
        await this.#pause(POLLING_MS);
      }
    } catch (error) {
      this.#forgetNonces();
      throw error;
    }
  }

  /** Offers an attempt until the node has it, dearer each time it is too cheap. Returns what is wrong with its nonce. */
  async #offer(attempt: Attempt): Promise<"nonceTooLow" | "nonceTooHigh" | undefined> {
    for (;;) {
      const rejection = await this.#broadcast(attempt);
      if (rejection !== "underpriced") return rejection;
      if (!(await this.#raise(attempt))) {
        if (attempt.mayLand) return undefined;
        throw new FeeAboveLimit(this.#limits.maxFeePerGas);
      }
      await this.#pause(POLLING_MS);
    }
  }

  async #broadcast(attempt: Attempt): Promise<"nonceTooLow" | "nonceTooHigh" | "underpriced" | undefined> {
    const { account, chain } = this.#sender.wallet;
    const { nonce, gas, fees } = attempt;
    const signed = { ...this.#call, ...fees, nonce, gas, chainId: chain.id, type: "eip1559" } as const;
    const serializedTransaction = await account.signTransaction(signed);
    const hash = keccak256(serializedTransaction);
    if (!attempt.hashes.includes(hash)) {
      attempt.hashes = [hash, ...attempt.hashes];
      this.#limits.onSend?.(hash);
    }
    return this.#ask(async () => {
      try {
        await this.#sender.wallet.sendRawTransaction({ serializedTransaction });
      } catch (error) {
        const rejection = rejectionOf(error);
        if (rejection === undefined && isTransient(error)) attempt.mayLand = true;
        if (rejection === undefined) throw error;
        if (rejection !== "known") return rejection;
      }
      attempt.mayLand = true;
      return undefined;
    });
  }

  /** Waits for the receipt of any of an attempt's transactions, and sends it again when it takes too long. */
  async #mined(attempt: Attempt): Promise<TransactionReceipt> {
    const { resendAfterMs } = this.#limits;
    let sentAt = performance.now();
    let wasMined = false;
    let overtakenAt: number | undefined;
    for (let delay = POLLING_MS; ; delay = Math.min(1.5 * delay, SLOWEST_POLLING_MS)) {
      const receipt = await this.#ask(() => this.#receiptOf(attempt));
      const now = performance.now();
      if (receipt !== undefined) {
        if (await this.#isConfirmed(receipt)) return await this.#succeeded(receipt);
        wasMined = true;
        overtakenAt = undefined;
      } else if (wasMined || now - sentAt >= resendAfterMs) {
        // Its block was taken back, or the block's makers want more. At the limit it is offered again as it was.
        if (!wasMined && overtakenAt === undefined) await this.#raise(attempt);
        const rejection = await this.#offer(attempt);
        overtakenAt = rejection === "nonceTooLow" ? (overtakenAt ?? now) : undefined;
        wasMined = false;
        sentAt = overtakenAt === undefined ? now : now - resendAfterMs;
        delay = POLLING_MS;
      }
      if (overtakenAt !== undefined && now - overtakenAt > OVERTAKEN_MS) {
        throw new ChainUnavailable("a transaction", `another one used its nonce ${attempt.nonce}`);
      }
      this.#assertInTime();
      await this.#pause(delay);
    }
  }

  async #receiptOf({ hashes }: Attempt): Promise<TransactionReceipt | undefined> {
    for (const hash of hashes) {
      try {
        return await this.#client.getTransactionReceipt({ hash });
      } catch (error) {
        if (!(error instanceof TransactionReceiptNotFoundError)) throw error;
      }
    }
    return undefined;
  }

  async #isConfirmed({ blockNumber }: TransactionReceipt): Promise<boolean> {
    const { confirmations } = this.#limits;
    if (confirmations === 0) return true;
    const newest = await this.#ask(() => this.#client.getBlockNumber());
    return newest - blockNumber >= BigInt(confirmations);
  }

  async #succeeded(receipt: TransactionReceipt): Promise<TransactionReceipt> {
    if (receipt.status === "success") return receipt;
    const account = this.#sender.address;
    await this.#ask(() => this.#client.call({ account, ...this.#call, blockNumber: receipt.blockNumber }));
    throw new ChainUnavailable("a transaction", `it was reverted in block ${receipt.blockNumber}`);
  }

  /** What the chain asks for now, within the limit. */
  async #freshFees(): Promise<Fees> {
    return atMost(this.#limits.maxFeePerGas, await this.#ask(() => this.#client.estimateFeesPerGas()));
  }

  /**
   * Makes an attempt dearer: what the chain asks for now, and an eighth more than before at least, without which nodes
   * keep the cheaper one. Returns false, and leaves it as it is, where that is above the limit.
   */
  async #raise(attempt: Attempt): Promise<boolean> {
    const fresh = await this.#freshFees();
    const maxFeePerGas = larger(eighthMore(attempt.fees.maxFeePerGas), fresh.maxFeePerGas);
    const maxPriorityFeePerGas = larger(eighthMore(attempt.fees.maxPriorityFeePerGas), fresh.maxPriorityFeePerGas);
    if (maxFeePerGas > this.#limits.maxFeePerGas || maxPriorityFeePerGas > maxFeePerGas) return false;
    attempt.fees = { maxFeePerGas, maxPriorityFeePerGas };
    return true;
  }

  #assertInTime(): void {
    const { giveUpAfterMs } = this.#limits;
    if (performance.now() - this.#start <= giveUpAfterMs) return;
    throw new ChainUnavailable("a transaction", `it was not mined within ${giveUpAfterMs} ms`);
  }

  #forgetNonces(): void {
    const { address, wallet } = this.#sender;
    this.#nonces.reset({ address, chainId: wallet.chain.id });
  }

  /** Asks the node, again and again while it is out of reach, within the patience. Throws what refusalOf makes of it. */
  async #ask<T>(question: () => Promise<T>): Promise<T> {
    const { patienceMs, signal } = this.#limits;
    const since = performance.now();
    for (let delay = 2 * POLLING_MS; ; delay = Math.min(2 * delay, SLOWEST_POLLING_MS)) {
      if (signal?.aborted === true) throw new WaitEnded();
      try {
        return await untilEnded(question(), signal);
      } catch (error) {
        if (!isTransient(error)) throw refusalOf(error);
        const waited = performance.now() - since;
        if (waited + delay > patienceMs) throw refusalOf(error);
      }
      await this.#pause(delay);
    }
  }

  async #pause(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    try {
      await untilEnded(over, this.#limits.signal);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** What a promise comes to, unless the signal is given first. Throws WaitEnded. */
async function untilEnded<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  let end = (): void => undefined;
  const ended = new Promise<never>((_resolve, reject) => {
    end = () => {
      reject(new WaitEnded());
    };
  });
  if (signal.aborted) end();
  signal.addEventListener("abort", end);
  try {
    return await Promise.race([ended, promise]);
  } finally {
    signal.removeEventListener("abort", end);
  }
}

/** The last of the tasks of each address of a counter. */
const lastTasks = new WeakMap<NonceManager, Map<Hex, Promise<unknown>>>();

/** Runs tasks that share a counter of nonces and an address one after another. */
async function inTurn<T>(nonces: NonceManager, address: Hex, task: () => Promise<T>): Promise<T> {
  const tasks = lastTasks.get(nonces) ?? new Map<Hex, Promise<unknown>>();
  lastTasks.set(nonces, tasks);
  const result = (tasks.get(address) ?? Promise.resolve()).then(task);
  const settled = result.catch(() => undefined);
  tasks.set(address, settled);
  try {
    return await result;
  } finally {
    if (tasks.get(address) === settled) tasks.delete(address);
  }
}

function atMost(limit: bigint, { maxFeePerGas, maxPriorityFeePerGas }: Fees): Fees {
  const fee = maxFeePerGas < limit ? maxFeePerGas : limit;
  return { maxFeePerGas: fee, maxPriorityFeePerGas: maxPriorityFeePerGas < fee ? maxPriorityFeePerGas : fee };
}

function eighthMore(fee: bigint): bigint {
  return (fee * 9n + 7n) / 8n;
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
