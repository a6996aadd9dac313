import type { TransactionReceipt } from "viem";
import type { ChainState, ClearingEvent } from "../chain/chainState.ts";
import {
  type Batch,
  CallImpossible,
  ChainUnavailable,
  ContractRefused,
  type ProvenTransition,
  readDayState,
  type Sender,
  type SendOptions,
  SKIP_REASONS,
  submitBatch,
} from "../chain/clearingHouse.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { type BatchLimits, planBatch } from "./batchPlan.ts";
import type { Command } from "./command.ts";
import type { ProofCheck } from "./proofQueue.ts";
import {
  assertFillsPass,
  FillRefused,
  fillsHash,
  findRefusedTransition,
  findUnencodable,
  isAboutTheWhole,
  type RefusedTransition,
} from "./refusedBatch.ts";
import type { Loss, SentBatch, Sequencer } from "./sequencer.ts";
import { serial } from "../chain/serial.ts";
import type { TradingDay } from "./tradingDay.ts";

/** A batch that is on chain. */
export type PostedBatch = {
  readonly batchNumber: number;
  /** Absent where the batch was found on chain after its answer had been lost. */
  readonly receipt: TransactionReceipt | undefined;
  readonly applied: readonly ProvenTransition[];
  readonly fills: number;
  readonly losses: readonly Loss[];
};

/** Somebody else posted a batch under this operator's number. */
export class BatchNumberTaken extends HedgerowError {
  constructor(batchNumber: number, onChain: number) {
    super(
      "BatchNumberTaken",
      `batch ${batchNumber} was posted by somebody else, the chain expects ${onChain}: run one operator only`,
      { batchNumber, onChain },
    );
  }
}

/** The chain has lost more batches than are kept: it is not the chain that this exchange posted to. */
export class BatchesLost extends HedgerowError {
  constructor(batchNumber: number, oldest: number) {
    super(
      "BatchesLost",
      `the chain expects batch ${batchNumber}, but only those from ${oldest} on are kept: ` +
        `look whether the node serves the right chain`,
      { batchNumber, oldest },
    );
  }
}

/** A batch was handed over and lost sight of; the chain refuses it now, but it may land yet. */
export class BatchUncertain extends HedgerowError {
  constructor(batchNumber: number, refusal: HedgerowError) {
    super(
      "BatchUncertain",
      `batch ${batchNumber} was sent and not seen again, and is refused now: ${refusal.message}; try again in a moment`,
      { batchNumber, error: refusal.code },
    );
  }
}

/** How often a batch that may still land is tried again before it is taken back. */
const PATIENCE = 5;

/** How often the fills of a command are refused before they are set aside. */
const MOST_REFUSALS = 3;

/** What posting works with. It owns none of it. */
export type PostingParts = {
  readonly state: ChainState;
  readonly sender: Sender;
  readonly verifier: ProofCheck;
  readonly limits: BatchLimits;
  readonly sending?: SendOptions;
  readonly machine: () => Sequencer;
  /** Applies a command now, and tells what was lost by it. */
  readonly execute: (command: Command) => readonly Loss[];
  /** Resolves once every command so far is durable. */
  readonly durable: () => Promise<void>;
  /** Follows the chain; afterwards the machine stands in the chain's epoch, unless a batch is under way. */
  readonly sync: () => Promise<void>;
};

/**
 * Brings on chain what waits: queued transitions, and the executions of the day. That a batch is sent is durable before
 * the node gets it, so a restart knows which batch may be on chain (spec BAT-18).
 */
export class Posting {
  readonly #parts: PostingParts;
  readonly #inTurn = serial();
  /** Whether a node may have the batch that is sent: then it must not be taken back lightly. */
  #mayLand: boolean;
  #refusals = 0;
  /** A command whose fills the chain refused lately, and how often in a row. */
  #refused: { readonly seq: bigint; readonly times: number } | undefined;

  constructor(parts: PostingParts) {
    this.#parts = parts;
    this.#mayLand = parts.machine().sent !== undefined;
  }

  /**
   * Posts the next batch, and reports what the contract skipped; undefined if nothing waits. A transition that would
   * refuse the whole batch is found, left out and reported; a batch too large for the node is made smaller. A batch
   * whose answer was lost is sent again as it was, under its number, so that it cannot count twice; so are batches that
   * a reorganisation has taken off the chain. Throws FillRefused, BatchNumberTaken, BatchesLost, ChainUnavailable,
   * CallImpossible, or ContractRefused with what is about no part of the batch.
   */
  post(): Promise<PostedBatch | undefined> {
    return this.#inTurn(async () => {
      const { machine, execute, durable, sync } = this.#parts;
      const losses: Loss[] = [];
      let limits = this.#parts.limits;
      let until: bigint | undefined;
      for (;;) {
        await sync();
        await this.#restore();
        const { day, phase } = machine();
        const sent = machine().sent ?? this.#prepare(limits, until);
        if (sent === undefined) return undefined;
        await durable();
        const answer = await this.#send(sent);
        if (answer instanceof HedgerowError) {
          this.#assertGone(sent.batch, answer);
          execute({ kind: "unsend" });
          await sync();
          const latest = latestSettled(answer, day);
          if (latest !== undefined && (until === undefined || latest < until)) until = latest;
          else if (machine().day === day && machine().phase === phase) {
            limits = await this.#learn(sent.batch, answer, limits, losses);
          }
          continue;
        }
        await this.#parts.state.sync();
        const applied = this.#settle(sent.batch, losses);
        await durable();
        const { batchNumber, fills } = sent.batch;
        return { batchNumber, receipt: answer, applied, fills: fills.length, losses };
      }
    });
  }

  /** Takes the next batch from what waits. */
  #prepare(limits: BatchLimits, until?: bigint): SentBatch | undefined {
    const { machine, execute } = this.#parts;
    const plan = this.#plan(limits, until);
    if (plan === undefined) return undefined;
    const nullifiers = [...plan.entering, ...plan.leaving].map(({ nullifier }) => nullifier);
    execute({ kind: "send", nullifiers, executions: plan.executions.length, logHead: machine().logHead });
    return machine().sent;
  }

  /** The next batch; only executions up to `until`, if it is given. */
  #plan(limits: BatchLimits, until?: bigint) {
    const { day, queue } = this.#parts.machine();
    const isMined = (ticketId: Hex): boolean => day.ticket(ticketId).status !== "pending";
    const settling = until === undefined ? day.unsettled : day.unsettled.filter(({ execTime }) => execTime <= until);
    return planBatch(queue, settling, isMined, limits);
  }

  /** Posts again, as they were, batches that the chain has lost (spec BAT-19). */
  async #restore(): Promise<void> {
    const { state, sender, machine, sync } = this.#parts;
    for (;;) {
      // A node that lags has lost nothing.
      if (state.blocksBehind > 0n) return;
      const { nextBatchNumber } = await readDayState(state.chain, state.newestBlock.number);
      if (nextBatchNumber >= machine().nextBatchNumber) return;
      const lost = machine().posted.find(({ batchNumber }) => batchNumber === nextBatchNumber);
      if (lost === undefined) throw new BatchesLost(nextBatchNumber, machine().posted[0]?.batchNumber ?? 0);
      await submitBatch(state.chain, sender, lost, this.#parts.sending);
      await sync();
    }
  }

  /** Sends a batch. Returns its receipt, undefined if it turns out to be on chain already, or why it cannot pass. */
  async #send({ batch }: SentBatch): Promise<TransactionReceipt | ContractRefused | CallImpossible | undefined> {
    const { state, sender, execute } = this.#parts;
    const handedOver: Hex[] = [];
    try {
      const onSend = (hash: Hex): void => void handedOver.push(hash);
      return await submitBatch(state.chain, sender, batch, { ...this.#parts.sending, onSend });
    } catch (error) {
      if (error instanceof ContractRefused && error.code === "WrongBatchNumber") {
        await this.#assertOurs(batch);
        return undefined;
      }
      if (error instanceof ContractRefused || error instanceof CallImpossible) return error;
      // The node never had it: the next attempt need not be the same.
      if (handedOver.length === 0 && !this.#mayLand) execute({ kind: "unsend" });
      this.#mayLand ||= handedOver.length > 0;
      throw error;
    }
  }

  /** Throws BatchUncertain as long as a refused batch, handed over before, may still wait in some node's pool. */
  #assertGone({ batchNumber }: Batch, refusal: HedgerowError): void {
    this.#refusals += 1;
    if (this.#mayLand && this.#refusals < PATIENCE) throw new BatchUncertain(batchNumber, refusal);
    this.#mayLand = false;
    this.#refusals = 0;
  }

  /** Throws BatchNumberTaken unless the batch on chain under the number of this one is this one. */
  async #assertOurs(batch: Batch): Promise<void> {
    const { chain } = this.#parts.state;
    const [postedFills, postedHead] = await chain.house.read.batchRecord([batch.batchNumber]);
    const isOurs = postedFills === fillsHash(batch) && postedHead === batch.logHead;
    if (!isOurs) throw new BatchNumberTaken(batch.batchNumber, (await readDayState(chain)).nextBatchNumber);
  }

  /** Leaves out what made the batch fail, or returns smaller limits for the next one. Throws if neither helps. */
  async #learn(
    batch: Batch,
    refusal: ContractRefused | CallImpossible,
    limits: BatchLimits,
    losses: Loss[],
  ): Promise<BatchLimits> {
    if (isAboutTheWhole(refusal)) throw refusal;
    const found = await this.#findCulprit(batch, refusal);
    if (found !== undefined) {
      const { nullifier } = found.transition;
      losses.push(...this.#parts.execute({ kind: "drop", nullifier, reason: found.reason }));
      return limits;
    }
    const smaller = { ...limits, gas: limits.gas / 2n };
    if (refusal instanceof ContractRefused || this.#plan(smaller) === undefined) throw refusal;
    return smaller;
  }

  async #findCulprit(batch: Batch, refusal: ContractRefused | CallImpossible): Promise<RefusedTransition | undefined> {
    if (refusal instanceof CallImpossible) return findUnencodable(batch);
    const { state, sender, verifier } = this.#parts;
    const found = await findRefusedTransition(state, sender, verifier, batch);
    if (found !== undefined) return found;
    try {
      await assertFillsPass(state, sender, batch);
    } catch (error) {
      if (error instanceof FillRefused) this.#setAside(error);
      throw error;
    }
    return undefined;
  }

  /** Fills that the chain refuses again and again must not hold up those of others (spec BAT-20). */
  #setAside({ seq, code }: FillRefused): void {
    const times = this.#refused?.seq === seq ? this.#refused.times + 1 : 1;
    this.#refused = { seq, times };
    if (times < MOST_REFUSALS) return;
    this.#refused = undefined;
    this.#parts.execute({ kind: "setAside", seq: Number(seq), reason: code });
  }

  /**
   * Brings the exchange to where the batch has brought the chain. Returns what acted. Throws ChainUnavailable where the
   * node lags behind its own receipt: what became of the transitions is not to be seen yet.
   */
  #settle(batch: Batch, losses: Loss[]): readonly ProvenTransition[] {
    const { state, execute } = this.#parts;
    const { batchNumber } = batch;
    const found = findBatch(state, batchNumber);
    if (found === undefined) {
      this.#mayLand = true;
      throw new ChainUnavailable("reading a batch", `the node does not show batch ${batchNumber} yet`);
    }
    const { transactionHash, reasons } = found;
    const skipped = [...reasons].map(([nullifier, reason]) => ({ nullifier, reason }));
    const applied = batch.transitions.filter(
      ({ nullifier }) => !reasons.has(nullifier) && state.transitioned.has(nullifier),
    );
    // Neither skipped nor in effect: only where a batch with the same fills was posted by somebody else.
    const idle = batch.transitions.filter(
      (transition) => !reasons.has(transition.nullifier) && !applied.includes(transition),
    );
    this.#mayLand = false;
    this.#refusals = 0;
    losses.push(...execute({ kind: "settle", skipped, idle: idle.map(({ nullifier }) => nullifier), transactionHash }));
    return applied;
  }
}

/**
 * Where a batch is refused only because a node judges it by the time of its newest block, which the clock is ahead of:
 * that time. Later executions wait for the next block.
 */
function latestSettled({ code, details }: HedgerowError, { times }: TradingDay): bigint | undefined {
  const { execTime, latest } = details;
  if (code !== "ExecTimeOutOfRange" || typeof execTime !== "bigint" || typeof latest !== "bigint") return undefined;
  return execTime > latest && latest < times.closingTime ? latest : undefined;
}

/** The transaction of a batch that is on chain, and what the contract skipped in it and why. */
function findBatch({ events }: ChainState, batchNumber: number) {
  const isIt = (event: ClearingEvent): boolean =>
    event.eventName === "BatchSubmitted" && event.args.batchNumber === batchNumber;
  // It is among the newest. Its own event comes after those of its transitions.
  const last = events.findLastIndex(isIt);
  if (last === -1) return undefined;
  const transactionHash = events[last]?.transactionHash;
  const reasons = new Map<bigint, string>();
  for (let i = last; i >= 0; i--) {
    const event = events[i];
    if (event === undefined || event.transactionHash !== transactionHash) break;
    if (event.eventName !== "TransitionSkipped") continue;
    reasons.set(event.args.nullifier, SKIP_REASONS[event.args.reason] ?? `Skip ${event.args.reason}`);
  }
  return { transactionHash, reasons };
}
