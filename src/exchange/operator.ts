import type { TransactionReceipt } from "viem";
import type { ChainState } from "../chain/chainState.ts";
import {
  type Batch,
  closeEpoch,
  ContractRefused,
  type ProvenTransition,
  readClock,
  type RestingQuote,
  type Sender,
  type SignedOrder,
  SKIP_REASONS,
  submitBatch,
} from "../chain/clearingHouse.ts";
import type { ClearingTerms } from "../chain/deploy.ts";
import { type Action, ticketIdOf } from "../protocol/action.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { cancelHash, orderHash, type SignedCancel } from "../protocol/order.ts";
import type { Verifier } from "../prover/verifier.ts";
import {
  admit,
  assertUnchanged,
  CreditUnavailable,
  NullifierTaken,
  ProofRefused,
  SeatUnavailable,
  WrongPhase,
} from "./admission.ts";
import { BATCH_LIMITS, type BatchLimits, batchOf, type BatchPlan, planBatch } from "./batchPlan.ts";
import { blockClock, type TimeSource } from "./clock.ts";
import { parseCancel, parseOrder } from "./input.ts";
import { ExchangeLog, type LogEntry } from "./log.ts";
import { ProofQueue } from "./proofQueue.ts";
import { assertFillsPass, fillsHash, findRefusedTransition } from "./refusedBatch.ts";
import { type RestedOrder, restedOrders, restingQuotes } from "./restingQuotes.ts";
import { assertSignedBy } from "./signature.ts";
import { ticketView, type TicketView } from "./ticketView.ts";
import { type Depth, type Execution, TradingDay } from "./tradingDay.ts";

/** Something the operator had taken and could not bring on chain, and why: a Skip of the contract, or an error code. */
export type Loss =
  | { readonly kind: "transition"; readonly transition: ProvenTransition; readonly reason: string }
  | { readonly kind: "execution"; readonly execution: Execution; readonly reason: string };

/** What an operator works with. It owns none of it. */
export type OperatorParts = {
  readonly state: ChainState;
  /** The operator's own account. */
  readonly sender: Sender;
  readonly verifier: Verifier;
  /** The newest block's time by default. */
  readonly clock?: TimeSource;
  readonly limits?: BatchLimits;
  /** Gets every log entry in order, before anybody else learns of it. */
  readonly onEntry?: (entry: LogEntry) => void;
  /** Gets every loss, also those of a batch's answer. */
  readonly onLoss?: (loss: Loss) => void;
};

/** A transition that waits for a batch, with the tickets that it opens. */
export type QueuedTransition = { readonly nullifier: bigint; readonly ticketIds: readonly Hex[] };

/** A batch that is on chain. */
export type PostedBatch = {
  readonly batchNumber: number;
  /** Absent where the batch was found on chain after its answer had been lost. */
  readonly receipt: TransactionReceipt | undefined;
  readonly applied: readonly ProvenTransition[];
  readonly fills: number;
  readonly losses: readonly Loss[];
};

/** A day that is closed. */
export type ClosedDay = {
  readonly batches: readonly PostedBatch[];
  readonly quotes: readonly RestingQuote[];
  readonly receipt: TransactionReceipt;
};

/** The day cannot be closed yet (spec EPO-3). */
export class TooEarly extends HedgerowError {
  constructor(time: bigint, earliest: bigint) {
    super("TooEarly", `it is ${time}, but the day can be closed from ${earliest} on: wait until then`, {
      time,
      earliest,
    });
  }
}

/** The day is closed already. */
export class DayClosed extends HedgerowError {
  constructor(epoch: number) {
    super("DayClosed", `epoch ${epoch} is closed already: open the next one`, { epoch });
  }
}

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

/** A batch that was sent, and where to look for what became of it. */
type Attempt = {
  readonly day: TradingDay;
  readonly phase: ChainState["phase"];
  readonly plan: BatchPlan;
  readonly batch: Batch;
  /** Number of events the chain had shown before. */
  readonly eventsBefore: number;
};

/**
 * The operator of an exchange, in one process: it verifies proofs, accepts, sequences and matches orders, and posts
 * batches. What it has accepted lives in memory only.
 *
 * A promise it makes rests on the chain's rules alone: a transition is queued only if the contract would take it now,
 * an order is accepted only if every way of filling what rests on its ticket can settle. Orders are accepted on a ticket
 * as soon as its opening is queued; until that is mined the operator bears the risk (spec ORD-10).
 */
export class Operator {
  readonly #state: ChainState;
  readonly #sender: Sender;
  readonly #verifier: Verifier;
  readonly #proofs: ProofQueue;
  readonly #clock: TimeSource;
  readonly #limits: BatchLimits;
  readonly #terms: ClearingTerms;
  readonly #log: ExchangeLog;
  readonly #onLoss: (loss: Loss) => void;
  readonly #syncing = serial();
  readonly #posting = serial();
  #day: TradingDay;
  #phase: ChainState["phase"];
  #closed = { at: 0n, block: 0n };
  #time = 0n;
  #queue: ProvenTransition[] = [];
  #batchNumber: number;
  #sent: Attempt | undefined;
  #rested: readonly RestedOrder[] | undefined;

  private constructor(parts: OperatorParts, start: { terms: ClearingTerms; log: ExchangeLog; batchNumber: number }) {
    this.#state = parts.state;
    this.#sender = parts.sender;
    this.#verifier = parts.verifier;
    this.#proofs = new ProofQueue(parts.verifier);
    this.#clock = parts.clock ?? blockClock(parts.state.chain);
    this.#limits = parts.limits ?? BATCH_LIMITS;
    this.#onLoss = parts.onLoss ?? (() => undefined);
    this.#terms = start.terms;
    this.#log = start.log;
    this.#batchNumber = start.batchNumber;
    this.#phase = parts.state.phase;
    this.#day = new TradingDay({ epoch: 0, openedAt: 0n, closingTime: 0n }, [], start.log);
  }

  /**
   * Takes up the exchange where the chain stands. Tickets that are open already can only be closed: what their orders
   * filled before is not known to a new operator. Throws ChainUnavailable.
   */
  static async create(parts: OperatorParts): Promise<Operator> {
    await parts.state.sync();
    const { chain } = parts.state;
    const terms = await chain.house.read.clearingTerms();
    const { nextBatchNumber, lastSeq } = await readClock(chain);
    const log = new ExchangeLog(Number(lastSeq) + 1, parts.onEntry ?? (() => undefined));
    const operator = new Operator(parts, { terms, log, batchNumber: nextBatchNumber });
    await operator.sync();
    return operator;
  }

  // ---------------------------------------------------------------- what everybody may know

  /** keccak256 chain over the log so far. */
  get logHead(): Hex {
    return this.#log.head;
  }

  /** Transitions that wait for a batch. */
  get queue(): readonly ProvenTransition[] {
    return this.#queue;
  }

  /** Executions that wait for a batch. */
  get unsettled(): readonly Execution[] {
    return this.#day.unsettled;
  }

  /** A ticket of the present epoch, unsettled executions included. Throws UnknownTicket. */
  ticket(ticketId: Hex): Readonly<TicketView> {
    return this.#day.ticket(ticketId);
  }

  /** Contracts that an order has left in the book; undefined if it is not there. */
  remaining(ticketId: Hex, clientId: bigint): number | undefined {
    return this.#day.liveOrder(ticketId, clientId)?.remaining;
  }

  /** The best `levels` prices of both sides of a market, all by default. Throws MarketNotListed. */
  depth(slot: number, levels?: number): Depth {
    return this.#day.depth(slot, levels);
  }

  /** All trades of a market today, oldest first. */
  trades(slot: number): readonly Execution[] {
    return this.#day.trades(slot);
  }

  // ---------------------------------------------------------------- what traders send

  /**
   * Checks everything that the contract would check, verifies the proof, and queues the transition for the next batch.
   * The orders of a ticket that is to be closed are cancelled first, and it takes no more. Throws WrongPhase,
   * WrongRelayFee, UnknownRoot, NullifierTaken, InvalidTransition, TicketInsolvent, TicketChanged, UnknownTicket,
   * CreditUnavailable, SeatUnavailable, MalformedSignature, WrongSigner, ProofRefused, SlotOutOfRange, OutOfRange or
   * NonCanonicalField.
   */
  async submitTransition(transition: ProvenTransition): Promise<QueuedTransition> {
    await this.sync();
    const { action, nullifier } = transition;
    const day = this.#day;
    const phase = this.#phase;
    this.#assertUnpromised(transition);
    const publicSignals = await admit(
      {
        state: this.#state,
        flatFee: this.#terms.relayFee,
        inPartB: await this.#inPartB(),
        ticket: (ticketId) => day.ticket(ticketId),
      },
      transition,
    );
    if (!(await this.#proofs.verify({ proof: transition.proof, publicSignals }))) {
      throw new ProofRefused(action.name, nullifier);
    }

    // Others went on while the proof was verified. From here to the end nobody does.
    if (day !== this.#day || phase !== this.#phase) throw new WrongPhase(action.name, "after the phase has changed");
    this.#assertUnpromised(transition);
    const ticketIds: Hex[] = [];
    if (action.name === "openTicket") {
      for (const [index, { sessionKey, cash, position, reduceOnly }] of action.tickets.entries()) {
        const ticketId = ticketIdOf({ ...transition, slot: action.slot }, index);
        const balance = { cash, position: BigInt(position) };
        const fixed = {
          ticketId,
          sessionKey,
          slot: action.slot,
          reduceOnly,
          status: "pending",
          openedInBatch: undefined,
        } as const;
        day.tickets.set(ticketId, ticketView({ ...fixed, ...balance }));
        ticketIds.push(ticketId);
      }
    } else if (action.name === "closeTicket") {
      const ticket = day.ticket(action.ticketId);
      assertUnchanged(ticket, action);
      day.cancelTicket(ticket, this.#time, "ticket-closing");
      ticket.closing = true;
    }
    this.#queue.push(transition);
    return { nullifier, ticketIds };
  }

  /**
   * Takes a new order, matches it and returns what became of it. It must be good on its ticket beside all that rests
   * there (spec ORD-6). Throws MalformedMessage, MalformedSignature, WrongSigner, what TradingDay.check throws, and the
   * engine's DuplicateOrder, PostOnlyNeverRests, PostOnlyWouldTake and NotFillable.
   */
  async placeOrder(input: SignedOrder): Promise<readonly LogEntry[]> {
    const signed = parseOrder(input);
    this.#day.check(signed, await this.#now());
    const hash = await this.#signedHash(signed);
    return this.#day.place(signed, hash, this.#time);
  }

  /**
   * Puts a higher revision of a resting order in force. Less quantity at the same price keeps its place; anything else
   * goes to the end of the queue and may trade (spec MAT-8). Throws MalformedMessage, MalformedSignature, WrongSigner,
   * what TradingDay.checkReplacement throws, and the engine's BadRevision, SideChanged and PostOnlyWouldTake.
   */
  async replaceOrder(input: SignedOrder): Promise<readonly LogEntry[]> {
    const signed = parseOrder(input);
    this.#day.checkReplacement(signed, await this.#now());
    const hash = await this.#signedHash(signed);
    return this.#day.replace(signed, hash, this.#time);
  }

  /** Takes an order out of the book. Throws MalformedMessage, MalformedSignature, WrongSigner, UnknownTicket or UnknownOrder. */
  async cancelOrder(input: SignedCancel): Promise<readonly LogEntry[]> {
    const { cancel, signature } = parseCancel(input);
    const { sessionKey } = this.#day.ticket(cancel.ticketId);
    await assertSignedBy(cancelHash(this.#state.chain.domain, cancel), signature, sessionKey);
    await this.#now();
    return this.#day.cancel(cancel.ticketId, cancel.clientId, this.#time);
  }

  // ---------------------------------------------------------------- what goes on chain

  /** Reads what is new on chain and follows the epochs. Throws ChainUnavailable. */
  sync(): Promise<void> {
    return this.#syncing(async () => {
      await this.#state.sync();
      const { epoch, phase } = this.#state;
      // A batch under way belongs to the old phase: first see what became of it.
      if ((epoch === this.#day.times.epoch && phase === this.#phase) || this.#sent !== undefined) return;
      const ended = this.#day;
      const { openedAt, closingTime, closedAt, closedBlock } = await this.#state.chain.house.read.epochOf([epoch]);
      const next = epoch === ended.times.epoch ? ended : await this.#dayOf({ epoch, openedAt, closingTime });
      this.#day = next;
      this.#phase = phase;
      this.#closed = { at: closedAt, block: closedBlock };
      this.#rested = undefined;
      if (phase === "window") next.stop();
      ended.cancelAll(this.#time, "end-of-day");
      // What waits was proven, or matched, for the phase that is over.
      for (const transition of this.#queue) this.#drop(ended, transition, "PhaseOver", []);
      for (const execution of ended.dropUnsettled())
        this.#lose([], { kind: "execution", execution, reason: "PhaseOver" });
    });
  }

  /**
   * Posts the next batch of what waits, and reports what the contract skipped; undefined if nothing waits. A transition
   * that would refuse the whole batch is found, left out and reported. A batch whose answer was lost is sent again as it
   * was, under its number, so that it cannot count twice. Throws FillRefused, BatchNumberTaken or ChainUnavailable.
   */
  postBatch(): Promise<PostedBatch | undefined> {
    return this.#posting(async () => {
      const losses: Loss[] = [];
      for (;;) {
        await this.sync();
        const attempt = this.#sent ?? this.#nextAttempt();
        if (attempt === undefined) return undefined;
        this.#sent = attempt;
        const answer = await this.#send(attempt);
        if (answer instanceof ContractRefused) {
          this.#sent = undefined;
          await this.sync();
          if (attempt.day === this.#day && attempt.phase === this.#phase) await this.#leaveOut(attempt, answer, losses);
          continue;
        }
        await this.#state.sync();
        this.#sent = undefined;
        this.#batchNumber = attempt.batch.batchNumber + 1;
        const applied = this.#settle(attempt, losses);
        const { batchNumber, fills } = attempt.batch;
        return { batchNumber, receipt: answer, applied, fills: fills.length, losses };
      }
    });
  }

  /** Posts batches until nothing waits: openings first, then fills, then closings. Throws what postBatch throws. */
  async flush(): Promise<readonly PostedBatch[]> {
    const posted: PostedBatch[] = [];
    for (let batch = await this.postBatch(); batch !== undefined; batch = await this.postBatch()) posted.push(batch);
    return posted;
  }

  /**
   * Ends the day: takes no more orders, cancels all, posts what waits and closes the epoch with the quotes that rested
   * through the settlement window (spec EPO-3, SET-4). May be called again if it failed on the way. Throws TooEarly,
   * DayClosed, what postBatch throws, or ContractRefused.
   */
  async closeDay(): Promise<ClosedDay> {
    await this.sync();
    const day = this.#day;
    const { closingTime } = day.times;
    if (this.#phase !== "trading") throw new DayClosed(day.times.epoch);
    const time = await this.#now();
    if (time < closingTime) throw new TooEarly(time, closingTime);
    day.stop();
    const windowStart = closingTime - BigInt(this.#terms.settlementWindow);
    this.#rested ??= restedOrders(day.liveOrders(), windowStart, closingTime);
    const rested = this.#rested;
    day.cancelAll(this.#time, "end-of-day");
    const batches = await this.flush();
    const { firstBatchInWindow } = await this.#state.chain.house.read.epochOf([day.times.epoch]);
    const quotes = restingQuotes(rested, day.markets, firstBatchInWindow);
    const receipt = await closeEpoch(this.#state.chain, this.#sender, quotes);
    await this.sync();
    return { batches, quotes, receipt };
  }

  // ---------------------------------------------------------------- steps

  /** The time now. It never falls, and takes orders out that have expired. */
  async #now(): Promise<bigint> {
    const time = await this.#clock();
    if (time > this.#time) this.#time = time;
    this.#day.expireUntil(this.#time);
    return this.#time;
  }

  /** Whether a batch posted now would come in part B of the window: seconds and blocks have passed (spec EPO-5). */
  async #inPartB(): Promise<boolean> {
    if (this.#phase !== "window") return false;
    const { windowA, windowBlocks } = this.#terms;
    const time = await this.#now();
    const nextBlock = (await this.#state.chain.client.getBlockNumber()) + 1n;
    return time >= this.#closed.at + BigInt(windowA) && nextBlock >= this.#closed.block + BigInt(windowBlocks);
  }

  async #signedHash({ order, signature }: SignedOrder): Promise<Hex> {
    const { sessionKey } = this.#day.ticket(order.ticketId);
    const hash = orderHash(this.#state.chain.domain, order);
    await assertSignedBy(hash, signature, sessionKey);
    return hash;
  }

  /** A fresh day, with the tickets that the chain already has open. */
  async #dayOf(times: TradingDay["times"]): Promise<TradingDay> {
    const day = new TradingDay(times, this.#state.markets(times.epoch), this.#log);
    for (const { ticketId, epoch } of this.#state.tickets.values()) {
      if (epoch !== times.epoch || this.#state.closedTickets.has(ticketId)) continue;
      const ticket = await this.#state.chain.house.read.ticketOf([ticketId]);
      const { sessionKey, slot, reduceOnly, openedInBatch, cash, position } = ticket;
      const balance = { cash, position: BigInt(position) };
      const fixed = { ticketId, sessionKey, slot, reduceOnly, status: "inherited", openedInBatch } as const;
      day.tickets.set(ticketId, ticketView({ ...fixed, ...balance }));
    }
    return day;
  }

  /** Throws unless note, credit and seat of a transition are free of other queued ones. */
  #assertUnpromised({ nullifier, action, seat }: ProvenTransition): void {
    for (const queued of this.#queue) {
      if (queued.nullifier === nullifier) throw new NullifierTaken(nullifier, "queued");
      if (seat !== 0n && queued.seat === seat) throw new SeatUnavailable(seat, "is in a queued transition");
      if (action.name === "fund" && queued.action.name === "fund" && queued.action.creditId === action.creditId) {
        throw new CreditUnavailable(action.creditId, "is in a queued transition");
      }
    }
  }

  #nextAttempt(): Attempt | undefined {
    const day = this.#day;
    const isMined = (ticketId: Hex): boolean => day.ticket(ticketId).status !== "pending";
    const plan = planBatch(this.#queue, day.unsettled, isMined, this.#limits);
    if (plan === undefined) return undefined;
    const batch = batchOf(plan, this.#batchNumber, this.#log.head);
    return { day, phase: this.#phase, plan, batch, eventsBefore: this.#state.events.length };
  }

  /** Sends a batch. Returns its receipt, undefined if it turns out to be on chain already, or the contract's refusal. */
  async #send({ batch }: Attempt): Promise<TransactionReceipt | ContractRefused | undefined> {
    const { chain } = this.#state;
    try {
      return await submitBatch(chain, this.#sender, batch);
    } catch (error) {
      if (!(error instanceof ContractRefused)) throw error;
      if (error.code !== "WrongBatchNumber") return error;
      const [postedFills, postedHead] = await chain.house.read.batchRecord([batch.batchNumber]);
      const isOurs = postedFills === fillsHash(batch) && postedHead === batch.logHead;
      if (isOurs) return undefined;
      throw new BatchNumberTaken(batch.batchNumber, (await readClock(chain)).nextBatchNumber);
    }
  }

  /** Leaves the transition out that makes the contract refuse a batch. Throws if there is none. */
  async #leaveOut({ day, batch }: Attempt, refusal: ContractRefused, losses: Loss[]): Promise<void> {
    const found = await findRefusedTransition(this.#state, this.#sender, this.#verifier, batch);
    if (found === undefined) {
      await assertFillsPass(this.#state, this.#sender, batch);
      throw refusal;
    }
    this.#drop(day, found.transition, found.reason, losses);
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
    if (action.name === "openTicket") return day.dropTickets(idsOf(transition, action), this.#time);
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

/** Runs what it is given one after the other, whatever became of the ones before. */
function serial(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const next = last.then(work, work);
    last = next.catch(() => undefined);
    return next;
  };
}
