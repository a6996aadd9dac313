import type { TransactionReceipt } from "viem";
import type { ChainState } from "../chain/chainState.ts";
import {
  type Batch,
  CallImpossible,
  ContractRefused,
  type ProvenTransition,
  readDayState,
  type Sender,
  SKIP_REASONS,
  submitBatch,
} from "../chain/clearingHouse.ts";
import { type Action, ticketIdOf } from "../protocol/action.ts";
import type { Phase } from "../protocol/epoch.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { type BatchLimits, batchOf, type BatchPlan, planBatch } from "./batchPlan.ts";
import type { ProofCheck } from "./proofQueue.ts";
import {
  assertFillsPass,
  fillsHash,
  findRefusedTransition,
  findUnencodable,
  isAboutTheWhole,
  type RefusedTransition,
} from "./refusedBatch.ts";
import { serial } from "./serial.ts";
import type { Execution, TradingDay } from "./tradingDay.ts";

/** Something the operator had taken and could not bring on chain, and why: a Skip of the contract, or an error code. */
export type Loss =
  | { readonly kind: "transition"; readonly transition: ProvenTransition; readonly reason: string }
  | { readonly kind: "execution"; readonly execution: Execution; readonly reason: string };

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

/** Where the exchange stands: a batch is made for one day and one phase. */
export type Standing = {
  readonly day: TradingDay;
  readonly phase: Phase;
  /** Unix seconds. */
  readonly time: bigint;
  readonly logHead: Hex;
};

/** What posting works with. It owns none of it. */
export type PostingParts = {
  readonly state: ChainState;
  readonly sender: Sender;
  readonly verifier: ProofCheck;
  readonly limits: BatchLimits;
  readonly onLoss: (loss: Loss) => void;
  readonly standing: () => Standing;
  /** Follows the chain; afterwards `standing` tells where it is. */
  readonly sync: () => Promise<void>;
};

/** A batch, and where to look for what became of it. */
type Attempt = {
  readonly day: TradingDay;
  readonly phase: Phase;
  readonly plan: BatchPlan;
  readonly batch: Batch;
  /** Number of events the chain had shown before. */
  readonly eventsBefore: number;
};

/** Brings on chain what waits: queued transitions, and the executions of the day. */
export class Posting {
  readonly #state: ChainState;
  readonly #sender: Sender;
  readonly #verifier: ProofCheck;
  readonly #limits: BatchLimits;
  readonly #onLoss: (loss: Loss) => void;
  readonly #standing: () => Standing;
  readonly #sync: () => Promise<void>;
  readonly #inTurn = serial();
  #queue: readonly ProvenTransition[] = [];
  #batchNumber: number;
  /** Being sent, or sent with its answer lost. */
  #underWay: Attempt | undefined;
  /** Handed to the node: it may be on chain. */
  #sent: Attempt | undefined;

  constructor(parts: PostingParts, batchNumber: number) {
    this.#state = parts.state;
    this.#sender = parts.sender;
    this.#verifier = parts.verifier;
    this.#limits = parts.limits;
    this.#onLoss = parts.onLoss;
    this.#standing = parts.standing;
    this.#sync = parts.sync;
    this.#batchNumber = batchNumber;
  }

  /** Transitions that wait for a batch. */
  get queue(): readonly ProvenTransition[] {
    return this.#queue;
  }

  /** Whether a batch is on its way, or may be on chain without our knowing. */
  get isUnderWay(): boolean {
    return this.#underWay !== undefined;
  }

  /** Lets a transition wait for the next batch. */
  add(transition: ProvenTransition): void {
    this.#queue = [...this.#queue, transition];
  }

  /** Gives all up that waits, because the phase it was proven or matched for is over. */
  giveUp(day: TradingDay): void {
    for (const transition of this.#queue) this.#drop(day, transition, "PhaseOver", []);
    for (const execution of day.dropUnsettled()) this.#lose([], { kind: "execution", execution, reason: "PhaseOver" });
  }

  /**
   * Posts the next batch, and reports what the contract skipped; undefined if nothing waits. A transition that would
   * refuse the whole batch is found, left out and reported; a batch too large for the node is made smaller. A batch
   * whose answer was lost is sent again as it was, under its number, so that it cannot count twice. Throws FillRefused,
   * BatchNumberTaken, ChainUnavailable, CallImpossible, or ContractRefused with what is about no part of the batch.
   */
  post(): Promise<PostedBatch | undefined> {
    return this.#inTurn(async () => {
      const losses: Loss[] = [];
      let limits = this.#limits;
      for (;;) {
        await this.#sync();
        const attempt = this.#sent ?? this.#nextAttempt(limits);
        if (attempt === undefined) return undefined;
        const answer = await this.#send(attempt);
        if (answer instanceof HedgerowError) {
          await this.#sync();
          const { day, phase } = this.#standing();
          if (attempt.day === day && attempt.phase === phase) {
            limits = await this.#learn(attempt, answer, limits, losses);
          }
          continue;
        }
        await this.#state.sync();
        this.#sent = undefined;
        this.#underWay = undefined;
        this.#batchNumber = attempt.batch.batchNumber + 1;
        const applied = this.#settle(attempt, losses);
        const { batchNumber, fills } = attempt.batch;
        return { batchNumber, receipt: answer, applied, fills: fills.length, losses };
      }
    });
  }

  #nextAttempt(limits: BatchLimits): Attempt | undefined {
    const { day, phase, logHead } = this.#standing();
    const isMined = (ticketId: Hex): boolean => day.ticket(ticketId).status !== "pending";
    const plan = planBatch(this.#queue, day.unsettled, isMined, limits);
    if (plan === undefined) return undefined;
    const batch = batchOf(plan, this.#batchNumber, logHead);
    return { day, phase, plan, batch, eventsBefore: this.#state.events.length };
  }

  /** Sends a batch. Returns its receipt, undefined if it turns out to be on chain already, or why it cannot pass. */
  async #send(attempt: Attempt): Promise<TransactionReceipt | ContractRefused | CallImpossible | undefined> {
    this.#underWay = attempt;
    try {
      return await submitBatch(this.#state.chain, this.#sender, attempt.batch, () => {
        this.#sent = attempt;
      });
    } catch (error) {
      if (error instanceof ContractRefused && error.code === "WrongBatchNumber") {
        await this.#assertOurs(attempt);
        return undefined;
      }
      if (!(error instanceof ContractRefused) && !(error instanceof CallImpossible)) throw error;
      // The node has answered: it is not on chain, and need not be sent as it was.
      this.#sent = undefined;
      return error;
    } finally {
      this.#underWay = this.#sent;
    }
  }

  /** Throws BatchNumberTaken unless the batch on chain under the number of this one is this one. */
  async #assertOurs({ batch }: Attempt): Promise<void> {
    const { chain } = this.#state;
    const [postedFills, postedHead] = await chain.house.read.batchRecord([batch.batchNumber]);
    const isOurs = postedFills === fillsHash(batch) && postedHead === batch.logHead;
    if (!isOurs) throw new BatchNumberTaken(batch.batchNumber, (await readDayState(chain)).nextBatchNumber);
  }

  /** Leaves out what made the batch fail, or returns smaller limits for the next one. Throws if neither helps. */
  async #learn(
    { day, batch }: Attempt,
    refusal: ContractRefused | CallImpossible,
    limits: BatchLimits,
    losses: Loss[],
  ): Promise<BatchLimits> {
    if (isAboutTheWhole(refusal)) throw refusal;
    const found = await this.#findCulprit(batch, refusal);
    if (found !== undefined) {
      this.#drop(day, found.transition, found.reason, losses);
      return limits;
    }
    const smaller = { ...limits, gas: limits.gas / 2n };
    if (refusal instanceof ContractRefused || this.#nextAttempt(smaller) === undefined) throw refusal;
    return smaller;
  }

  async #findCulprit(batch: Batch, refusal: ContractRefused | CallImpossible): Promise<RefusedTransition | undefined> {
    if (refusal instanceof CallImpossible) return findUnencodable(batch);
    const found = await findRefusedTransition(this.#state, this.#sender, this.#verifier, batch);
    if (found === undefined) await assertFillsPass(this.#state, this.#sender, batch);
    return found;
  }

  /** Brings queue, tickets and executions to where a posted batch has brought the chain. Returns what acted. */
  #settle({ day, plan, batch, eventsBefore }: Attempt, losses: Loss[]): readonly ProvenTransition[] {
    const skips = new Map<bigint, string>();
    for (const event of this.#state.events.slice(eventsBefore)) {
      if (event.eventName !== "TransitionSkipped") continue;
      skips.set(event.args.nullifier, SKIP_REASONS[event.args.reason] ?? `Skip ${event.args.reason}`);
    }
    day.markSettled(plan.executions.length);
    const applied: ProvenTransition[] = [];
    for (const transition of batch.transitions) {
      const reason = skips.get(transition.nullifier);
      if (reason !== undefined) {
        this.#drop(day, transition, reason, losses);
        continue;
      }
      // Only where a batch with the same fills was posted by somebody else.
      if (!this.#state.transitioned.has(transition.nullifier)) continue;
      applied.push(transition);
      this.#queue = this.#queue.filter((queued) => queued !== transition);
      const { action } = transition;
      if (action.name === "openTicket") {
        for (const ticketId of idsOf(transition, action)) {
          const ticket = day.ticket(ticketId);
          ticket.status = "open";
          ticket.openedInBatch = batch.batchNumber;
        }
      } else if (action.name === "closeTicket") {
        day.tickets.delete(action.ticketId);
      }
    }
    return applied;
  }

  /** Takes a transition that will never act out of the queue, and with it what was built on it. */
  #drop(day: TradingDay, transition: ProvenTransition, reason: string, losses: Loss[]): void {
    this.#queue = this.#queue.filter((queued) => queued !== transition);
    this.#lose(losses, { kind: "transition", transition, reason });
    for (const execution of this.#release(day, transition)) {
      this.#lose(losses, { kind: "execution", execution, reason: "TicketLost" });
    }
  }

  /** Takes back what queueing a transition did to tickets; returns executions that cannot settle for it. */
  #release(day: TradingDay, transition: ProvenTransition): readonly Execution[] {
    const { action } = transition;
    if (action.name === "openTicket") return day.dropTickets(idsOf(transition, action), this.#standing().time);
    if (action.name !== "closeTicket") return [];
    const ticket = day.tickets.get(action.ticketId);
    if (ticket !== undefined) ticket.closing = false;
    return [];
  }

  #lose(losses: Loss[], loss: Loss): void {
    losses.push(loss);
    this.#onLoss(loss);
  }
}

function idsOf(transition: ProvenTransition, { slot, tickets }: Action & { readonly name: "openTicket" }): Hex[] {
  return tickets.map((_, index) => ticketIdOf({ ...transition, slot }, index));
}
