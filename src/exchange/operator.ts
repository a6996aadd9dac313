import type { TransactionReceipt } from "viem";
import type { ChainState } from "../chain/chainState.ts";
import {
  CallImpossible,
  closeEpoch,
  ContractRefused,
  type ProvenTransition,
  readDayState,
  type RestingQuote,
  type Sender,
  type SignedOrder,
} from "../chain/clearingHouse.ts";
import type { ClearingTerms } from "../chain/deploy.ts";
import { ticketIdOf } from "../protocol/action.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { cancelHash, orderHash, type SignedCancel } from "../protocol/order.ts";
import {
  admit,
  assertUnchanged,
  CreditUnavailable,
  InvalidTransition,
  NullifierTaken,
  ProofRefused,
  SeatUnavailable,
  WrongPhase,
} from "./admission.ts";
import { BATCH_LIMITS, type BatchLimits, mostPostable, POSTING_PACE, type PostingPace } from "./batchPlan.ts";
import { blockClock, type TimeSource } from "./clock.ts";
import { parseCancel, parseOrder, parseTransition } from "./input.ts";
import { ExchangeLog, type LogEntry } from "./log.ts";
import { type Loss, type PostedBatch, Posting } from "./posting.ts";
import { type ProofCheck, ProofQueue } from "./proofQueue.ts";
import { type RestedOrder, restedOrders, restingQuotes } from "./restingQuotes.ts";
import { serial } from "./serial.ts";
import { assertSignedBy } from "./signature.ts";
import { ticketView, type TicketView } from "./ticketView.ts";
import { type Depth, type Execution, TradingDay } from "./tradingDay.ts";

/** What an operator works with. It owns none of it. */
export type OperatorParts = {
  readonly state: ChainState;
  /** The operator's own account. */
  readonly sender: Sender;
  readonly verifier: ProofCheck;
  /** The newest block's time by default. */
  readonly clock?: TimeSource;
  readonly limits?: BatchLimits;
  readonly pace?: PostingPace;
  /** Gets every log entry in order, before anybody else learns of it. */
  readonly onEntry?: (entry: LogEntry) => void;
  /** Gets every loss, also those of a batch's answer. */
  readonly onLoss?: (loss: Loss) => void;
};

/** A transition that waits for a batch, with the tickets that it opens. */
export type QueuedTransition = { readonly nullifier: bigint; readonly ticketIds: readonly Hex[] };

/** A day that is closed. */
export type ClosedDay = {
  readonly batches: readonly PostedBatch[];
  /** What was attested. */
  readonly quotes: readonly RestingQuote[];
  /** Why the contract refused quotes, if it did: the day was closed without them. */
  readonly quotesRefused: HedgerowError | undefined;
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

/** The day is being closed: transitions wait for the settlement window. */
export class DayEnding extends HedgerowError {
  constructor(epoch: number) {
    super("DayEnding", `epoch ${epoch} is being closed: send the transition in the settlement window`, { epoch });
  }
}

/** More executions wait than the operator can be sure to bring on chain before the epoch may be closed (spec ORD-13). */
export class Backlog extends HedgerowError {
  constructor(waiting: number, most: number) {
    super(
      "Backlog",
      `${waiting} executions wait, but at most ${most} can be posted in the time left: try again later`,
      {
        waiting,
        most,
      },
    );
  }
}

/** The day is closed already. */
export class DayClosed extends HedgerowError {
  constructor(epoch: number) {
    super("DayClosed", `epoch ${epoch} is closed already: open the next one`, { epoch });
  }
}

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
  readonly #proofs: ProofQueue;
  readonly #clock: TimeSource;
  readonly #terms: ClearingTerms;
  readonly #log: ExchangeLog;
  readonly #pace: PostingPace;
  readonly #posting: Posting;
  readonly #syncing = serial();
  #day: TradingDay;
  #phase: ChainState["phase"];
  #closed = { at: 0n, block: 0n };
  #time = 0n;
  #rested: readonly RestedOrder[] | undefined;

  private constructor(parts: OperatorParts, start: { terms: ClearingTerms; log: ExchangeLog; batchNumber: number }) {
    this.#state = parts.state;
    this.#sender = parts.sender;
    this.#proofs = new ProofQueue(parts.verifier);
    this.#clock = parts.clock ?? blockClock(parts.state.chain);
    this.#pace = parts.pace ?? POSTING_PACE;
    this.#terms = start.terms;
    this.#log = start.log;
    this.#phase = parts.state.phase;
    this.#day = new TradingDay({ epoch: 0, openedAt: 0n, closingTime: 0n }, [], start.log);
    this.#posting = new Posting(
      {
        ...parts,
        limits: parts.limits ?? BATCH_LIMITS,
        onLoss: parts.onLoss ?? (() => undefined),
        standing: () => ({ day: this.#day, phase: this.#phase, time: this.#time, logHead: this.#log.head }),
        sync: () => this.sync(),
      },
      start.batchNumber,
    );
  }

  /**
   * Takes up the exchange where the chain stands. Tickets that are open already can only be closed: what their orders
   * filled before is not known to a new operator. Throws ChainUnavailable.
   */
  static async create(parts: OperatorParts): Promise<Operator> {
    await parts.state.sync();
    const { chain } = parts.state;
    const terms = await chain.house.read.clearingTerms();
    const { nextBatchNumber, lastSeq } = await readDayState(chain);
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
    return this.#posting.queue;
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
   * The orders of a ticket that is to be closed are cancelled first, and it takes no more. Throws MalformedMessage,
   * DayEnding, WrongPhase, WrongRelayFee, UnknownRoot, NullifierTaken, InvalidTransition, TicketInsolvent,
   * TicketChanged, UnknownTicket, CreditUnavailable, SeatUnavailable, MalformedSignature, WrongSigner, ProofRefused or
   * OutOfRange.
   */
  async submitTransition(input: ProvenTransition): Promise<QueuedTransition> {
    const transition = parseTransition(input);
    await this.sync();
    const { action, nullifier } = transition;
    const day = this.#day;
    const phase = this.#phase;
    this.#assertTaking();
    this.#assertUnpromised(transition);
    const publicSignals = await admit(
      {
        state: this.#state,
        flatFee: this.#terms.relayFee,
        time: await this.#now(),
        inPartB: await this.#inPartB(),
        ticket: (ticketId) => day.ticket(ticketId),
      },
      transition,
    );
    if (!(await this.#proofs.verify({ proof: transition.proof, publicSignals }))) {
      throw new ProofRefused(action.name, nullifier);
    }

    await this.sync();
    // Others went on while the proof was verified. From here to the end nobody does.
    this.#assertTaking();
    if (day !== this.#day || phase !== this.#phase) throw new WrongPhase(action.name, "after the phase has changed");
    if (this.#state.transitioned.has(nullifier)) throw new NullifierTaken(nullifier, "spent");
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
    this.#posting.add(transition);
    return { nullifier, ticketIds };
  }

  /**
   * Takes a new order, matches it and returns what became of it. It must be good on its ticket beside all that rests
   * there (spec ORD-6). Throws MalformedMessage, MalformedSignature, WrongSigner, Backlog, what TradingDay.check throws,
   * and the engine's DuplicateOrder, PostOnlyNeverRests, PostOnlyWouldTake and NotFillable.
   */
  async placeOrder(input: SignedOrder): Promise<readonly LogEntry[]> {
    const signed = parseOrder(input);
    this.#day.check(signed, await this.#now());
    this.#assertPace();
    const hash = await this.#signedHash(signed);
    return this.#day.place(signed, hash, this.#time);
  }

  /**
   * Puts a higher revision of a resting order in force. Less quantity at the same price keeps its place; anything else
   * goes to the end of the queue and may trade (spec MAT-8). Throws MalformedMessage, MalformedSignature, WrongSigner,
   * Backlog, what TradingDay.checkReplacement throws, and the engine's BadRevision, SideChanged and PostOnlyWouldTake.
   */
  async replaceOrder(input: SignedOrder): Promise<readonly LogEntry[]> {
    const signed = parseOrder(input);
    this.#day.checkReplacement(signed, await this.#now());
    this.#assertPace();
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
      if ((epoch === this.#day.times.epoch && phase === this.#phase) || this.#posting.isUnderWay) return;
      const ended = this.#day;
      const { openedAt, closingTime, closedAt, closedBlock } = await this.#state.chain.house.read.epochOf([epoch]);
      const next = epoch === ended.times.epoch ? ended : await this.#dayOf({ epoch, openedAt, closingTime });
      this.#day = next;
      this.#phase = phase;
      this.#closed = { at: closedAt, block: closedBlock };
      this.#rested = undefined;
      if (phase === "window") next.stop();
      ended.cancelAll(this.#time, "end-of-day");
      this.#posting.giveUp(ended);
    });
  }

  /** Posts the next batch of what waits; undefined if nothing does. See Posting.post for what it reports and throws. */
  postBatch(): Promise<PostedBatch | undefined> {
    return this.#posting.post();
  }

  /** Posts batches until nothing waits: openings first, then fills, then closings. Throws what postBatch throws. */
  async flush(): Promise<readonly PostedBatch[]> {
    const posted: PostedBatch[] = [];
    for (let batch = await this.postBatch(); batch !== undefined; batch = await this.postBatch()) posted.push(batch);
    return posted;
  }

  /**
   * Ends the day: takes no more orders and transitions, cancels all orders, posts what waits and closes the epoch with
   * the quotes that rested through the settlement window (spec EPO-3, SET-4). May be called again if it failed on the way. Throws TooEarly,
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
    const closed = await this.#close(restingQuotes(rested, day, firstBatchInWindow));
    await this.sync();
    return { batches, ...closed };
  }

  // ---------------------------------------------------------------- steps

  /** Closes the epoch with quotes; without them if they are what the contract refuses: nothing may hold up the close. */
  async #close(quotes: readonly RestingQuote[]): Promise<Omit<ClosedDay, "batches">> {
    const { chain } = this.#state;
    try {
      return { quotes, quotesRefused: undefined, receipt: await closeEpoch(chain, this.#sender, quotes) };
    } catch (error) {
      const refused = error instanceof ContractRefused || error instanceof CallImpossible;
      if (!refused || quotes.length === 0) throw error;
      return { quotes: [], quotesRefused: error, receipt: await closeEpoch(chain, this.#sender) };
    }
  }

  /** The time now. It never falls, and takes orders out that have expired. */
  async #now(): Promise<bigint> {
    const time = await this.#clock();
    if (time > this.#time) this.#time = time;
    this.#day.expireUntil(this.#time);
    return this.#time;
  }

  /** Throws DayEnding once the day is being closed: what is attested at the close must not change any more. */
  #assertTaking(): void {
    if (this.#phase === "trading" && this.#day.isStopped) throw new DayEnding(this.#day.times.epoch);
  }

  /** Throws Backlog if what has traded already may not get on chain before anybody can close the epoch (spec ORD-13). */
  #assertPace(): void {
    const waiting = this.#day.unsettled.length;
    const until = this.#day.times.closingTime + BigInt(this.#terms.settleGrace);
    const most = mostPostable(this.#pace, until - this.#time);
    if (waiting > most) throw new Backlog(waiting, most);
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
    for (const queued of this.#posting.queue) {
      if (queued.nullifier === nullifier) throw new NullifierTaken(nullifier, "queued");
      if (seat !== 0n && queued.seat === seat) throw new SeatUnavailable(seat, "is in a queued transition");
      if (action.name === "fund" && queued.action.name === "fund" && queued.action.creditId === action.creditId) {
        throw new CreditUnavailable(action.creditId, "is in a queued transition");
      }
      const claims = action.name === "claimTicket" && queued.action.name === "claimTicket";
      if (claims && queued.action.ticketId === action.ticketId) {
        throw new InvalidTransition(action.name, "ticketId", action.ticketId, "claimed once");
      }
    }
  }
}
