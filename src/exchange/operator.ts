import { setImmediate } from "node:timers/promises";
import type { TransactionReceipt } from "viem";
import { z } from "zod";
import type { ChainState } from "../chain/chainState.ts";
import {
  CallImpossible,
  closeEpoch,
  ContractRefused,
  type ProvenTransition,
  readDayState,
  type RestingQuote,
  type Sender,
  type SendOptions,
  type SignedOrder,
} from "../chain/clearingHouse.ts";
import type { ClearingTerms } from "../chain/deploy.ts";
import { DuplicateOrder } from "../market/errors.ts";
import { orderIdOf } from "../market/types.ts";
import { priceLimits } from "../protocol/epoch.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import {
  cancelAfterHash,
  cancelAllHash,
  cancelHash,
  type Domain,
  instructionsHash,
  orderHash,
  type SignedCancel,
  type SignedCancelAfter,
  type SignedCancelAll,
  type SignedWatch,
  type Watch,
  watchHash,
} from "../protocol/order.ts";
import type { Receipt, SignedReceipt } from "../protocol/receipt.ts";
import {
  admit,
  CreditUnavailable,
  InvalidTransition,
  NullifierTaken,
  ProofRefused,
  SeatUnavailable,
  WrongPhase,
} from "./admission.ts";
import { BATCH_LIMITS, type BatchLimits, mostPostable, POSTING_PACE, type PostingPace } from "./batchPlan.ts";
import { blockClock, type TimeSource } from "./clock.ts";
import {
  type Command,
  fromJson,
  jsonPieces,
  type InheritedTicket,
  type TimedCommand,
  timedCommandSchema,
  toJson,
} from "./command.ts";
import { Commits } from "./commits.ts";
import {
  parseCancel,
  parseCancelAfter,
  parseCancelAll,
  parseOrder,
  parseReplacement,
  parseTransition,
  parseWatch,
} from "./input.ts";
import type { ArchivedOrder, JournalRecord } from "./journal/journal.ts";
import type { LogEntry } from "./log.ts";
import { type CommandStore, memoryStore } from "./memoryStore.ts";
import { ownSigning, type SignatureService } from "./ownSigning.ts";
import { type PostedBatch, Posting } from "./posting.ts";
import { type ProofCheck, ProofQueue } from "./proofQueue.ts";
import { PublishedBooks } from "./publishedBooks.ts";
import { restingQuotes } from "./restingQuotes.ts";
import { type Effects, type Loss, Sequencer, type SequencerState } from "./sequencer.ts";
import { shared } from "../chain/serial.ts";
import type {
  Announcement,
  BatchReport,
  BookSnapshot,
  EpochReport,
  ExchangeEvent,
  ExchangeService,
  MarketReport,
  OrderAnswer,
  OrderEntry,
  OrderReport,
  PublicTrade,
  QueuedTransition,
  ServiceHealth,
  TicketReport,
} from "../api/service.ts";
import { assertSignedBy } from "./signature.ts";
import type { TicketView } from "./ticketView.ts";
import { type Depth, type Execution, type Happening, type LimitLock, reportOf } from "./tradingDay.ts";

/** What an operator works with. It owns none of it. */
export type OperatorParts = {
  readonly state: ChainState;
  /** The operator's own account. */
  readonly sender: Sender;
  readonly verifier: ProofCheck;
  /** Where commands are kept; memory by default. */
  readonly store?: CommandStore;
  /** Checks signatures and signs receipts; by default with the sender's own key, in this thread. */
  readonly signing?: SignatureService;
  /** The newest block's time by default. */
  readonly clock?: TimeSource;
  readonly limits?: BatchLimits;
  readonly pace?: PostingPace;
  readonly bounds?: Partial<Bounds>;
  /** Halts markets whose books are locked at a limit; never by default. */
  readonly limitLock?: LimitLock;
  /** Whether the chain answers; by default, whether it last did. */
  readonly isChainReachable?: () => boolean;
  /** How batches and the close are sent. */
  readonly sending?: Omit<SendOptions, "onSend">;
  /** Called once when the exchange stops because it could not keep what it would promise. */
  readonly onStop?: (cause: unknown) => void;
  /** Gets every log entry in order, once it is durable. */
  readonly onEntry?: (entry: LogEntry) => void;
  /** Gets every loss, also those of a batch's answer. */
  readonly onLoss?: (loss: Loss) => void;
};

/** How much may wait at once, before more is refused. */
export type Bounds = {
  /** Executions that no batch has brought on chain. */
  readonly unsettled: number;
  /** Transitions that no batch has brought on chain. */
  readonly queued: number;
  /** Commands that are not durable yet. */
  readonly undurable: number;
  /** Records after which a snapshot is taken. */
  readonly snapshotEvery: number;
};

/** How long snapshots may hold up everything else at a time. */
const LONGEST_TURN_MS = 2;

export const BOUNDS: Bounds = { unsettled: 20_000, queued: 2_000, undurable: 50_000, snapshotEvery: 50_000 };

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

/** More waits than the operator lets wait. */
export class Overloaded extends HedgerowError {
  constructor(what: string, waiting: number, most: number) {
    super("Overloaded", `${waiting} ${what} wait, and at most ${most} may: try again later`, { what, waiting, most });
  }
}

/** Instructions are signed for one order. */
export class InstructionsOfAnother extends HedgerowError {
  constructor(named: Hex, actual: Hex) {
    super("InstructionsOfAnother", `the instructions are of order ${named}, sent with ${actual}: sign them for it`, {
      named,
      actual,
    });
  }
}

/** No order of the ticket has this client id. */
export class OrderUnknown extends HedgerowError {
  constructor(ticketId: Hex, clientId: bigint) {
    super("OrderUnknown", `ticket ${ticketId} has no order ${clientId}: place it first`, { ticketId, clientId });
  }
}

/** The right to see a ticket's orders is over, or does not exist yet. */
export class WatchExpired extends HedgerowError {
  constructor(validUntil: bigint, time: bigint) {
    super("WatchExpired", `the permission ended at ${validUntil} and it is ${time}: sign a new one`, {
      validUntil,
      time,
    });
  }
}

/** No batch of this number is known. */
export class BatchUnknown extends HedgerowError {
  constructor(batchNumber: number) {
    super("BatchUnknown", `batch ${batchNumber} was not posted by this exchange, or long ago: look on chain`, {
      batchNumber,
    });
  }
}

/** The journal leads to another log than the one it recorded: it was changed, or was written by another version. */
export class JournalDiverged extends HedgerowError {
  constructor(number: number) {
    super("JournalDiverged", `record ${number} of the journal gives another log than it did: restore a copy`, {
      number,
    });
  }
}

/** The exchange has stopped, because it can no longer keep what it would promise. */
export class ExchangeStopped extends HedgerowError {
  constructor(reason: string) {
    super("ExchangeStopped", `the exchange has stopped: ${reason}; orders that were acknowledged are safe`, { reason });
  }
}

/** The day is closed already. */
export class DayClosed extends HedgerowError {
  constructor(epoch: number) {
    super("DayClosed", `epoch ${epoch} is closed already: open the next one`, { epoch });
  }
}

/**
 * The operator of an exchange: it verifies proofs, accepts, sequences and matches orders, and posts batches.
 *
 * A promise it makes rests on the chain's rules alone: a transition is queued only if the contract would take it now,
 * an order is accepted only if every way of filling what rests on its ticket can settle. Orders are accepted on a ticket
 * as soon as its opening is queued; until that is mined the operator bears the risk (spec ORD-10). Everything that it
 * answers or publishes is durable in its store.
 */
export class Operator implements ExchangeService {
  readonly #state: ChainState;
  readonly #sender: Sender;
  readonly #proofs: ProofQueue;
  readonly #clock: TimeSource;
  readonly #terms: ClearingTerms;
  readonly #store: CommandStore;
  readonly #signing: SignatureService;
  readonly #commits: Commits;
  readonly #pace: PostingPace;
  readonly #bounds: Bounds;
  readonly #limitLock: LimitLock | undefined;
  readonly #posting: Posting;
  readonly #machine: Sequencer;
  readonly #published = new PublishedBooks();
  readonly #onEntry: (entry: LogEntry) => void;
  readonly #onLoss: (loss: Loss) => void;
  readonly #onStop: (cause: unknown) => void;
  readonly #sending: SendOptions;
  readonly #isChainReachable: () => boolean;
  readonly #listeners = new Set<(event: ExchangeEvent) => void>();
  readonly #syncing = shared(() => this.#follow());
  /** Resolves when all commands of traders so far have been run. */
  #turn: Promise<unknown> = Promise.resolve();
  #stopped: ExchangeStopped | undefined;
  #snapshotAt: number;
  #chainAnswered = true;
  /** The clock's time when it was last asked. */
  #latest = 0n;
  #reorganisationsSeen: number;
  /** How many takeovers the chain showed, and how often it had taken blocks back, when they were last looked at. */
  #takeoversSeen = "";
  readonly #takers = new Set<Hex>();

  private constructor(parts: OperatorParts, terms: ClearingTerms, machine: Sequencer, store: CommandStore) {
    this.#state = parts.state;
    this.#sender = parts.sender;
    this.#proofs = new ProofQueue(parts.verifier);
    this.#clock = parts.clock ?? blockClock(parts.state.chain);
    this.#terms = terms;
    this.#store = store;
    this.#signing = parts.signing ?? ownSigning(parts.sender, parts.state.chain.domain);
    this.#commits = new Commits(store, (receipts) => this.#signing.signGroup(receipts));
    this.#pace = parts.pace ?? POSTING_PACE;
    this.#bounds = { ...BOUNDS, ...parts.bounds };
    this.#limitLock = parts.limitLock;
    this.#onEntry = parts.onEntry ?? (() => undefined);
    this.#onLoss = parts.onLoss ?? (() => undefined);
    this.#onStop = parts.onStop ?? (() => undefined);
    this.#sending = parts.sending ?? {};
    this.#isChainReachable = parts.isChainReachable ?? (() => this.#chainAnswered);
    this.#machine = machine;
    this.#snapshotAt = machine.number + this.#bounds.snapshotEvery;
    this.#published.load(machine.day, machine.nextSeq - 1);
    this.#reorganisationsSeen = parts.state.reorganisations;
    this.#posting = new Posting({
      state: parts.state,
      sender: parts.sender,
      verifier: parts.verifier,
      limits: parts.limits ?? BATCH_LIMITS,
      sending: this.#sending,
      machine: () => this.#machine,
      execute: (command) => this.#executeOwn(command, this.#machine.time),
      durable: () => this.#store.durable(),
      sync: () => this.sync(),
    });
  }

  /**
   * Takes up the exchange where its store and the chain stand. Tickets that the store does not know, but the chain has
   * open, can only be closed: what their orders filled before is not known. Throws ChainUnavailable, JournalDiverged,
   * RecordUnreadable, or what the store throws.
   */
  static async create(parts: OperatorParts): Promise<Operator> {
    await parts.state.sync();
    const { chain } = parts.state;
    const terms = await chain.house.read.clearingTerms();
    const store = parts.store ?? memoryStore();
    const { nextBatchNumber, lastSeq } = await readDayState(chain);
    const { machine, snapshot } = replayed(store, { nextSeq: firstSeq(lastSeq), nextBatchNumber });
    // What the chain shows now it will not show to a restart: a journal begins with what it began from.
    if (snapshot === undefined) await store.saveSnapshot(machine.number, toJson(machine.state()));
    const operator = new Operator(parts, terms, machine, store);
    // Counted over restarts, however short the time between them.
    operator.#snapshotAt = (snapshot ?? machine.number) + operator.#bounds.snapshotEvery;
    await operator.sync();
    return operator;
  }

  // ---------------------------------------------------------------- what everybody may know

  get domain(): Domain {
    return this.#state.chain.domain;
  }

  get operator(): Hex {
    return this.#sender.address;
  }

  /** keccak256 chain over the log so far. */
  get logHead(): Hex {
    return this.#machine.logHead;
  }

  /** Transitions that wait for a batch. */
  get queue(): readonly ProvenTransition[] {
    return this.#machine.queue;
  }

  /** Executions that wait for a batch. */
  get unsettled(): readonly Execution[] {
    return this.#machine.day.unsettled;
  }

  /** What a ticket of the present epoch is, unsettled executions included. Throws UnknownTicket. */
  ticketView(ticketId: Hex): Readonly<TicketView> {
    return this.#machine.day.ticket(ticketId);
  }

  /** Contracts that an order has left in the book; undefined if it is not there. */
  remaining(ticketId: Hex, clientId: bigint): number | undefined {
    return this.#machine.day.liveOrder(ticketId, clientId)?.remaining;
  }

  /** The best `levels` prices of both sides of a market, all by default. Throws MarketNotListed. */
  depth(slot: number, levels?: number): Depth {
    return this.#machine.day.depth(slot, levels);
  }

  /** The newest trades of a market today, oldest first. */
  trades(slot: number): readonly PublicTrade[] {
    return this.#machine.day.trades(slot);
  }

  book(slot: number): BookSnapshot {
    this.#machine.day.market(slot);
    return this.#published.snapshot(slot);
  }

  markets(): readonly MarketReport[] {
    const { day } = this.#machine;
    return day.markets.flatMap((market, slot) => {
      if (!market.listed) return [];
      const { down, up } = priceLimits(market);
      const trades = day.trades(slot);
      const { contractId, tick, centre, priceCollar, lastTradingTime } = market;
      const { initialMargin, maintenanceMargin, closeOutFee, fillFee } = market;
      return {
        slot,
        contractId,
        session: day.session(slot),
        tick,
        centre,
        priceLimitDown: down,
        priceLimitUp: up,
        initialMargin,
        maintenanceMargin,
        closeOutFee,
        fillFee,
        priceCollar,
        lastTradingTime,
        lastPrice: trades.at(-1)?.price,
        volume: day.volume(slot),
      };
    });
  }

  epoch(): EpochReport {
    const { day, phase, nextBatchNumber, logHead } = this.#machine;
    const { epoch, openedAt, closingTime, auctionTime } = day.times;
    const { relayFee } = this.#terms;
    // While nothing happens the machine's time stands still, and the clock goes on.
    const time = this.#latest > this.#machine.time ? this.#latest : this.#machine.time;
    return { epoch, phase, openedAt, auctionTime, closingTime, time, relayFee, nextBatchNumber, logHead };
  }

  durable(): Promise<void> {
    return this.#store.durable();
  }

  health(): ServiceHealth {
    const { day, queue, nextSeq } = this.#machine;
    return {
      chainReachable: this.#isChainReachable(),
      unsettledFills: day.unsettled.length,
      queuedTransitions: queue.length,
      openOrders: day.liveCount,
      openTickets: day.tickets.size,
      lastSeq: nextSeq - 1,
    };
  }

  async batch(batchNumber: number): Promise<BatchReport> {
    const report = this.#machine.batch(batchNumber);
    if (report === undefined) throw new BatchUnknown(batchNumber);
    await this.#store.durable();
    return report;
  }

  subscribe(listener: (event: ExchangeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  // ---------------------------------------------------------------- what traders send

  /**
   * Checks everything that the contract would check, verifies the proof, and queues the transition for the next batch.
   * The orders of a ticket that is to be closed are cancelled first, and it takes no more. Throws MalformedMessage,
   * DayEnding, WrongPhase, WrongRelayFee, UnknownRoot, NullifierTaken, InvalidTransition, TicketInsolvent,
   * TicketChanged, UnknownTicket, CreditUnavailable, SeatUnavailable, MalformedSignature, WrongSigner, ProofRefused,
   * OutOfRange, Overloaded or ExchangeStopped.
   */
  async submitTransition(input: ProvenTransition): Promise<QueuedTransition> {
    const transition = parseTransition(input);
    this.#assertRunning();
    await this.sync();
    const { action, nullifier } = transition;
    const { day, phase } = this.#machine;
    this.#assertTaking(transition);
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
    const time = await this.#now();
    // Others went on while the proof was verified. From here to the end nobody does.
    if (day !== this.#machine.day || phase !== this.#machine.phase) {
      throw new WrongPhase(action.name, "after the phase has changed");
    }
    if (this.#state.transitioned.has(nullifier)) throw new NullifierTaken(nullifier, "spent");
    this.#assertTaking(transition);
    this.#assertDurable();
    const { effects, released } = this.#execute({ kind: "queue", transition }, time);
    await released;
    return { nullifier, ticketIds: effects.ticketIds };
  }

  /**
   * Takes a new order, matches it and tells what became of it, with receipts. It must be good on its ticket beside all
   * that rests there (spec ORD-6). The same order sent again gets the first answer again (spec ORD-22). Throws
   * MalformedMessage, MalformedSignature, WrongSigner, Backlog, Overloaded, ExchangeStopped, what TradingDay.check
   * throws, and the engine's DuplicateOrder, PostOnlyNeverRests, PostOnlyWouldTake, NotFillable and MarketHalted.
   */
  async placeOrder(input: OrderEntry): Promise<OrderAnswer> {
    const entry = parseOrder(input);
    this.#assertRunning();
    const { sessionKey } = this.#machine.day.ticket(entry.order.ticketId);
    const hash = orderHash(this.domain, entry.order);
    const checked = Promise.all([
      this.#assertSigned(hash, entry.signature, sessionKey),
      this.#assertInstructed(entry, hash, sessionKey),
    ]);
    const done = await this.#inTurn(checked, (time) => {
      const first = this.#firstAnswer(entry, hash);
      if (first !== undefined) return { first };
      this.#assertPace();
      return this.#execute({ kind: "place", entry, hash }, time);
    });
    return "first" in done ? this.#again(done.first) : answerAbout(done, entry.order);
  }

  /**
   * Puts a higher revision of a resting order in force. Less quantity at the same price keeps its place; anything else
   * goes to the end of the queue and may trade (spec MAT-8). Throws MalformedMessage, MalformedSignature, WrongSigner,
   * Backlog, Overloaded, ExchangeStopped, what TradingDay.checkReplacement throws, and the engine's BadRevision,
   * SideChanged, PostOnlyWouldTake and MarketHalted.
   */
  async replaceOrder(input: SignedOrder): Promise<OrderAnswer> {
    const signed = parseReplacement(input);
    this.#assertRunning();
    const { sessionKey } = this.#machine.day.ticket(signed.order.ticketId);
    const hash = orderHash(this.domain, signed.order);
    const done = await this.#inTurn(this.#assertSigned(hash, signed.signature, sessionKey), (time) => {
      this.#assertPace();
      return this.#execute({ kind: "replace", signed, hash }, time);
    });
    return answerAbout(done, signed.order);
  }

  /** Takes an order out of the book. Throws MalformedMessage, MalformedSignature, WrongSigner, UnknownTicket or UnknownOrder. */
  async cancelOrder(input: SignedCancel): Promise<OrderAnswer> {
    const { cancel, signature } = parseCancel(input);
    this.#assertRunning();
    const { sessionKey } = this.#machine.day.ticket(cancel.ticketId);
    const checked = this.#assertSigned(cancelHash(this.domain, cancel), signature, sessionKey);
    return answerAbout(
      await this.#inTurn(checked, (time) => this.#execute({ kind: "cancel", ...cancel }, time)),
      cancel,
    );
  }

  /** Takes all orders of a ticket out. Throws as cancelOrder, and NonceUsed (spec ORD-16). */
  async cancelAll(input: SignedCancelAll): Promise<readonly OrderAnswer[]> {
    const { cancelAll, signature } = parseCancelAll(input);
    this.#assertRunning();
    const { sessionKey } = this.#machine.day.ticket(cancelAll.ticketId);
    const checked = this.#assertSigned(cancelAllHash(this.domain, cancelAll), signature, sessionKey);
    const { effects, released } = await this.#inTurn(checked, (time) =>
      this.#execute({ kind: "cancelAll", ...cancelAll }, time),
    );
    const signed = (await released).slice(receiptsOf(effects.due).length);
    return entriesOf(effects.happenings).flatMap(({ orders: [order] }, i) => {
      const receipt = signed[i];
      return order === undefined || receipt === undefined ? [] : { order, receipts: [receipt] };
    });
  }

  /** Guards a ticket against its trader's silence (spec ORD-18). Throws as cancelAll. */
  async cancelAfter(input: SignedCancelAfter): Promise<{ readonly deadline: bigint | undefined }> {
    const { cancelAfter, signature } = parseCancelAfter(input);
    this.#assertRunning();
    const { sessionKey } = this.#machine.day.ticket(cancelAfter.ticketId);
    const checked = this.#assertSigned(cancelAfterHash(this.domain, cancelAfter), signature, sessionKey);
    const { released, cancelAt } = await this.#inTurn(checked, (time) => {
      const executed = this.#execute({ kind: "cancelAfter", ...cancelAfter }, time);
      return { ...executed, cancelAt: this.#machine.day.ticket(cancelAfter.ticketId).cancelAt };
    });
    await released;
    return { deadline: cancelAt };
  }

  /**
   * An order of the present journal, dead or alive. Throws OrderUnknown, and what openOrders throws: what an order has
   * left, or waits for, is its trader's business.
   */
  async order(input: SignedWatch, clientId: bigint): Promise<OrderReport> {
    const { ticketId } = await this.#watched(input);
    const live = this.#machine.day.liveOrder(ticketId, clientId);
    const report = live === undefined ? this.#archived(ticketId, clientId) : reportOf(live);
    if (report === undefined) throw new OrderUnknown(ticketId, clientId);
    await this.#store.durable();
    return report;
  }

  /** The live orders of a ticket. Throws MalformedMessage, MalformedSignature, WrongSigner, UnknownTicket, WatchExpired. */
  async openOrders(input: SignedWatch): Promise<readonly OrderReport[]> {
    const { ticketId } = await this.#watched(input);
    const reports = [...this.#machine.day.ticket(ticketId).orders.values()].map(reportOf);
    await this.#store.durable();
    return reports;
  }

  async ticket(ticketId: Hex): Promise<TicketReport> {
    const { sessionKey, slot, reduceOnly, status, closing, balance } = this.#machine.day.ticket(ticketId);
    const report: TicketReport = {
      ticketId,
      sessionKey,
      slot,
      reduceOnly,
      status: closing ? "closing" : status,
      ...balance,
    };
    await this.#store.durable();
    return report;
  }

  // ---------------------------------------------------------------- what goes on chain

  /** Transitions and executions that wait for a batch. */
  get waiting(): number {
    return this.#machine.queue.length + this.#machine.day.unsettled.length + (this.#machine.sent === undefined ? 0 : 1);
  }

  /** Whether blocks were taken back since a batch was last posted: then some may have to be posted again. */
  get hasLostBatches(): boolean {
    return this.#state.reorganisations !== this.#reorganisationsSeen;
  }

  /** Whether the day can be closed, and is not yet. */
  get isDayOver(): boolean {
    const { day, phase, time } = this.#machine;
    return phase === "trading" && day.times.epoch > 0 && time > day.times.closingTime;
  }

  /** Does what has fallen due: expiries, silent traders, sessions. */
  async tick(): Promise<void> {
    const time = await this.#now();
    const { day } = this.#machine;
    // At closing time somebody has to notice, even if nothing is due.
    if (this.#stopped === undefined && (day.isDue(time) || time > day.times.closingTime)) {
      this.#executeOwn({ kind: "tick" }, time);
    }
  }

  /** Reads what is new on chain and follows the epochs. Throws ChainUnavailable. */
  sync(): Promise<void> {
    return this.#syncing();
  }

  async #follow(): Promise<void> {
    this.#chainAnswered = false;
    await this.#state.sync();
    this.#chainAnswered = true;
    const machine = this.#machine;
    const { epoch, phase } = this.#state;
    const isNew = (): boolean =>
      // A batch under way belongs to the old phase: first see what became of it.
      machine.sent === undefined && (epoch !== machine.day.times.epoch || phase !== machine.phase);
    if (!isNew()) {
      this.#followClosing();
      await this.#followTakeovers();
      return;
    }
    const { openedAt, closingTime, closedAt } = await this.#state.chain.house.read.epochOf([epoch]);
    const goesOn = epoch === machine.day.times.epoch && phase === "window";
    const tickets = goesOn ? [] : await this.#inherited(epoch);
    // Others went on while the chain was asked.
    if (!isNew() || epoch !== this.#state.epoch || phase !== this.#state.phase) return;
    if (goesOn) {
      this.#executeOwn({ kind: "window" }, machine.time);
      this.#announceClose(epoch, closedAt);
      return;
    }
    const { callAuction, settlementWindow } = this.#terms;
    const auctionTime = callAuction === 0 ? undefined : openedAt + BigInt(callAuction);
    const times = { epoch, openedAt, closingTime, auctionTime, settlementWindow, limitLock: this.#limitLock };
    this.#takers.clear();
    this.#executeOwn({ kind: "day", times, phase, markets: this.#state.markets(epoch), tickets }, machine.time);
    if (phase === "trading") this.#announce({ type: "epoch-opened", epoch, openedAt, closingTime });
  }

  /** The chain may let the day close earlier than it was to, and may take that back. */
  #followClosing(): void {
    const { day, phase, time } = this.#machine;
    const { epoch } = day.times;
    const closingTime = this.#state.closingTimes.get(epoch);
    if (phase !== "trading" || closingTime === undefined || closingTime === day.times.closingTime) return;
    this.#executeOwn({ kind: "closing", closingTime }, time);
    this.#announce({ type: "closing-moved", epoch, closingTime });
  }

  /**
   * In the settlement window tickets trade with the clearing house on chain: their release must name what they hold then.
   * A release that names less is skipped by the contract, and given back.
   */
  async #followTakeovers(): Promise<void> {
    const { takeovers, reorganisations } = this.#state;
    const seen = `${takeovers.length} ${reorganisations}`;
    if (seen === this.#takeoversSeen || this.#machine.phase !== "window") return;
    const { epoch } = this.#machine.day.times;
    const own = takeovers.filter((taken) => taken.epoch === epoch);
    for (const { ticketId } of own) this.#takers.add(ticketId);
    for (const ticketId of this.#takers) {
      if (!this.#machine.day.tickets.has(ticketId)) continue;
      const { cash, position, epoch: opened } = await this.#state.chain.house.read.ticketOf([ticketId]);
      const { day } = this.#machine;
      const ticket = day.tickets.get(ticketId);
      if (opened !== day.times.epoch || ticket === undefined) continue;
      const balance = { cash, position: BigInt(position) };
      if (ticket.balance.cash === balance.cash && ticket.balance.position === balance.position) continue;
      this.#executeOwn({ kind: "taken", ticketId, balance }, this.#machine.time);
    }
    this.#takeoversSeen = seen;
  }

  /** Posts the next batch of what waits; undefined if nothing does. See Posting.post for what it reports and throws. */
  async postBatch(): Promise<PostedBatch | undefined> {
    const { reorganisations } = this.#state;
    const posted = await this.#posting.post();
    this.#reorganisationsSeen = reorganisations;
    if (posted === undefined) return undefined;
    const { batchNumber, receipt, applied, fills } = posted;
    const transactionHash = receipt?.transactionHash;
    this.#announce({ type: "batch", batchNumber, transactionHash, transitions: applied.length, fills });
    return posted;
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
    const { day, phase } = this.#machine;
    const { closingTime } = day.times;
    if (phase !== "trading") throw new DayClosed(day.times.epoch);
    const time = await this.#now();
    if (time < closingTime) throw new TooEarly(time, closingTime);
    this.#executeOwn({ kind: "stop" }, time);
    const batches = await this.flush();
    const { firstBatchInWindow } = await this.#state.chain.house.read.epochOf([day.times.epoch]);
    const closed = await this.#close(restingQuotes(day.rested, day, firstBatchInWindow));
    await this.sync();
    return { batches, ...closed };
  }

  // ---------------------------------------------------------------- steps

  /**
   * Applies a command, hands it to the store, and publishes what came of it once it is durable. Throws why the command
   * was refused.
   */
  #execute(command: Command, time: bigint): Executed {
    this.#assertRunning();
    // Others may have gone on since the clock was read. The store must say the time at which the command was applied.
    const timed = { time: time > this.#machine.time ? time : this.#machine.time, command };
    const effects = this.#apply(timed);
    const released = effects.number === undefined ? Promise.resolve([]) : this.#record(timed, effects);
    if (effects.refusal !== undefined) {
      released.catch(() => undefined);
      throw effects.refusal;
    }
    return { effects, released };
  }

  /** The same for a command of the operator's own, which nobody waits for. Returns what was lost by it. */
  #executeOwn(command: Command, time: bigint): readonly Loss[] {
    const { effects, released } = this.#execute(command, time);
    released.catch(() => undefined);
    for (const loss of effects.losses) this.#onLoss(loss);
    return effects.losses;
  }

  #apply(timed: TimedCommand): Effects {
    try {
      return this.#machine.execute(timed);
    } catch (error) {
      throw this.#stop(error);
    }
  }

  /** Appends a command to the store; resolves with the receipts of all its entries when it is durable and published. */
  async #record(timed: TimedCommand, effects: Effects): Promise<readonly SignedReceipt[]> {
    const happenings = [...effects.due, ...effects.happenings];
    try {
      const archive = happenings.flatMap((happening) => (happening.kind === "ended" ? [archivedOrder(happening)] : []));
      const outcome = { head: this.#machine.logHead, answer: answerOf(timed.command, effects) };
      this.#store.append({ number: this.#machine.number, body: toJson(timed), outcome: toJson(outcome) }, archive);
      if (this.#machine.number >= this.#snapshotAt) this.#takeSnapshot().catch((error: unknown) => this.#stop(error));
      const signed = await this.#commits.release(receiptsOf(happenings));
      this.#publish(happenings, signed);
      return signed;
    } catch (error) {
      throw this.#stop(error);
    }
  }

  /** Keeps the state, so that a restart need not repeat all commands. It is written in pieces, between other work. */
  async #takeSnapshot(): Promise<void> {
    this.#snapshotAt = Infinity;
    const { number } = this.#machine;
    const parts: string[] = [];
    let pausedAt = performance.now();
    for (const part of jsonPieces(this.#machine.state())) {
      parts.push(part);
      if (performance.now() - pausedAt < LONGEST_TURN_MS) continue;
      await setImmediate();
      pausedAt = performance.now();
    }
    await this.#store.saveSnapshot(number, parts.join(""));
    this.#snapshotAt = this.#machine.number + this.#bounds.snapshotEvery;
  }

  /** From now on nothing is taken: what was lost here could not be kept. */
  #stop(error: unknown): ExchangeStopped {
    if (this.#stopped !== undefined) return this.#stopped;
    // Traders learn that it stopped, and the operator learns why.
    this.#stopped = new ExchangeStopped(error instanceof HedgerowError ? error.code : "a fault of the program");
    this.#onStop(error);
    return this.#stopped;
  }

  /**
   * Runs what traders ask for in the order in which they asked, however long their signatures take to check: nobody
   * may overtake. What `act` waits for, others would wait for too, so it returns its promises wrapped.
   */
  #inTurn<T extends object>(checked: Promise<unknown>, act: (time: bigint) => T): Promise<T> {
    checked.catch(() => undefined);
    const acted = this.#turn.then(async () => {
      await checked;
      const time = await this.#now();
      this.#assertRunning();
      this.#assertDurable();
      return act(time);
    });
    this.#turn = acted.catch(() => undefined);
    return acted;
  }

  /** Closes the epoch with quotes; without them if they are what the contract refuses: nothing may hold up the close. */
  async #close(quotes: readonly RestingQuote[]): Promise<Omit<ClosedDay, "batches">> {
    const { chain } = this.#state;
    try {
      return {
        quotes,
        quotesRefused: undefined,
        receipt: await closeEpoch(chain, this.#sender, quotes, this.#sending),
      };
    } catch (error) {
      const refused = error instanceof ContractRefused || error instanceof CallImpossible;
      if (!refused || quotes.length === 0) throw error;
      return { quotes: [], quotesRefused: error, receipt: await closeEpoch(chain, this.#sender, [], this.#sending) };
    }
  }

  /** The time now, which never falls. */
  async #now(): Promise<bigint> {
    const time = await this.#clock();
    this.#latest = time > this.#machine.time ? time : this.#machine.time;
    return this.#latest;
  }

  #assertRunning(): void {
    if (this.#stopped !== undefined) throw this.#stopped;
  }

  /** Throws Overloaded where the disk is slower than the traders. */
  #assertDurable(): void {
    const { pending } = this.#store;
    if (pending > this.#bounds.undurable) throw new Overloaded("commands", pending, this.#bounds.undurable);
  }

  /**
   * Throws DayEnding once the day is being closed, since what is attested at the close must not change any more;
   * Overloaded; or why note, credit or seat of a transition are promised to a queued one.
   */
  #assertTaking(transition: ProvenTransition): void {
    const { day, phase, queue } = this.#machine;
    if (phase === "trading" && day.isStopped) throw new DayEnding(day.times.epoch);
    if (queue.length >= this.#bounds.queued) throw new Overloaded("transitions", queue.length, this.#bounds.queued);
    assertUnpromised(queue, transition);
  }

  /**
   * Throws Backlog if what has traded already may not get on chain before anybody can close the epoch (spec ORD-13), or
   * Overloaded if the chain has not taken anything for long.
   */
  #assertPace(): void {
    const { day, time } = this.#machine;
    const waiting = day.unsettled.length;
    if (waiting > this.#bounds.unsettled) throw new Overloaded("executions", waiting, this.#bounds.unsettled);
    const until = day.times.closingTime + BigInt(this.#terms.settleGrace);
    const most = mostPostable(this.#pace, until - time);
    if (waiting > most) throw new Backlog(waiting, most);
  }

  /** Whether a batch posted now would come in part B of the window: seconds and blocks have passed (spec EPO-5). */
  async #inPartB(): Promise<boolean> {
    if (this.#machine.phase !== "window") return false;
    const { windowA, windowBlocks } = this.#terms;
    const { closedAt, closedBlock } = await this.#state.chain.house.read.epochOf([this.#machine.day.times.epoch]);
    const time = await this.#now();
    const nextBlock = (await this.#state.chain.client.getBlockNumber()) + 1n;
    return time >= closedAt + BigInt(windowA) && nextBlock >= closedBlock + BigInt(windowBlocks);
  }

  /** The permission of a ticket's session key to see its orders. Tickets of earlier days are known from the chain. */
  async #watched(input: SignedWatch): Promise<Watch> {
    const { watch, signature } = parseWatch(input);
    const { day } = this.#machine;
    const { sessionKey } = this.#state.tickets.get(watch.ticketId) ?? day.ticket(watch.ticketId);
    await this.#assertSigned(watchHash(this.domain, watch), signature, sessionKey);
    const time = await this.#now();
    if (watch.validUntil < time) throw new WatchExpired(watch.validUntil, time);
    return watch;
  }

  async #assertSigned(hash: Hex, signature: Hex, sessionKey: Hex): Promise<void> {
    await assertSignedBy(hash, signature, sessionKey, this.#signing);
  }

  /** Throws unless the instructions are of this very order and its session key signed them. */
  async #assertInstructed(
    { instructions, instructionsSignature }: OrderEntry,
    hash: Hex,
    sessionKey: Hex,
  ): Promise<void> {
    if (instructions === undefined || instructionsSignature === undefined) return;
    if (instructions.orderHash !== hash) throw new InstructionsOfAnother(instructions.orderHash, hash);
    await this.#assertSigned(instructionsHash(this.domain, instructions), instructionsSignature, sessionKey);
  }

  /** What was answered to this very order before. Throws DuplicateOrder if its client id was another order's. */
  #firstAnswer({ order, instructions }: OrderEntry, hash: Hex): FirstAnswer | undefined {
    const { ticketId, clientId, revision } = order;
    if (revision !== 0) return undefined;
    const live = this.#machine.day.liveOrder(ticketId, clientId);
    const number = live?.acceptedIn ?? this.#store.archived(ticketId, clientId)?.record;
    if (number === undefined) return undefined;
    const record = this.#store.record(number);
    const first = record && firstAnswerOf(record);
    if (first?.order.orderHash !== hash || first.instructions !== toJson(instructions)) {
      throw new DuplicateOrder(orderIdOf(ticketId, clientId));
    }
    return first;
  }

  async #again({ order, receipts }: FirstAnswer): Promise<OrderAnswer> {
    await this.#store.durable();
    return { order, receipts: await this.#signing.signGroup(receipts) };
  }

  #archived(ticketId: Hex, clientId: bigint): OrderReport | undefined {
    const archived = this.#store.archived(ticketId, clientId);
    return archived === undefined ? undefined : fromJson(storedReport, archived.state);
  }

  /** Tickets that the chain has open in an epoch. */
  async #inherited(epoch: number): Promise<readonly InheritedTicket[]> {
    const tickets: InheritedTicket[] = [];
    for (const { ticketId, epoch: opened } of this.#state.tickets.values()) {
      if (opened !== epoch || this.#state.closedTickets.has(ticketId)) continue;
      const ticket = await this.#state.chain.house.read.ticketOf([ticketId]);
      const { sessionKey, slot, reduceOnly, openedInBatch, cash, position } = ticket;
      const balance = { cash, position: BigInt(position) };
      tickets.push({ ticketId, sessionKey, slot, reduceOnly, openedInBatch, balance });
    }
    return tickets;
  }

  // ---------------------------------------------------------------- what everybody learns

  /** Tells listeners what happened, each entry with its receipts. */
  #publish(happenings: readonly Happening[], signed: readonly SignedReceipt[]): void {
    let next = 0;
    for (const happening of happenings) {
      switch (happening.kind) {
        case "entry": {
          const { line, orders } = happening;
          const { entry, slot, price, time } = line;
          this.#onEntry(line);
          if (entry.kind === "executed") {
            const { seq, n, quantity, takerSide } = entry;
            this.#emit({ kind: "trade", trade: { slot, seq, n, price, quantity, takerSide, time } });
          }
          orders.forEach((order, i) => {
            const receipt = signed[next + i];
            if (receipt !== undefined) this.#emit({ kind: "order", order, receipt });
          });
          next += orders.length;
          break;
        }
        case "book":
          this.#published.apply(happening.slot, happening.seq, happening.changes);
          this.#emit(happening);
          break;
        case "session":
          this.#announce({ type: "session", slot: happening.slot, session: happening.session });
          break;
        case "begun":
          this.#published.clear();
          break;
        case "ended":
          break;
      }
    }
  }

  #announceClose(epoch: number, closedAt: bigint): void {
    const { windowA, windowB } = this.#terms;
    const settlementPrices = this.#state
      .markets(epoch)
      .flatMap(({ listed, settlementPrice }, slot) => (listed ? [{ slot, price: settlementPrice }] : []));
    const renewFrom = closedAt + BigInt(windowA);
    const renewUntil = renewFrom + BigInt(windowB);
    this.#announce({ type: "epoch-closed", epoch, closedAt, renewFrom, renewUntil, settlementPrices });
  }

  #announce(announcement: Announcement): void {
    this.#emit({ kind: "announcement", announcement, time: this.#machine.time });
  }

  #emit(event: ExchangeEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

/** What the store keeps beside a command: the log's head after it, and the answer to a new order. */
/** A command that was run, and what its log entries will be worth once they are durable. */
type Executed = { readonly effects: Effects; readonly released: Promise<readonly SignedReceipt[]> };

/** What became of one order in a command about it. Throws OrderUnknown. */
async function answerAbout(
  { effects, released }: Executed,
  { ticketId, clientId }: { readonly ticketId: Hex; readonly clientId: bigint },
): Promise<OrderAnswer> {
  const signed = (await released).slice(receiptsOf(effects.due).length);
  const own = about(effects.happenings, ticketId, clientId);
  const order = own.at(-1)?.order;
  if (order === undefined) throw new OrderUnknown(ticketId, clientId);
  return { order, receipts: own.flatMap(({ place }) => signed[place] ?? []) };
}

type StoredAnswer = {
  /** What of the report is not in the command. */
  readonly standing: Pick<
    OrderReport,
    "slot" | "status" | "filled" | "filledValue" | "remaining" | "seq" | "n" | "time"
  >;
  readonly receipts: readonly Receipt[];
};
type FirstAnswer = {
  readonly order: OrderReport;
  readonly receipts: readonly Receipt[];
  readonly instructions: string;
};
type StoredOutcome = { readonly head: Hex; readonly answer: StoredAnswer | undefined };

const storedOutcome = z.custom<StoredOutcome>((value) => z.looseObject({ head: z.string() }).safeParse(value).success);
const storedReport = z.custom<OrderReport>((value) => z.looseObject({ status: z.string() }).safeParse(value).success);
const storedState = z.custom<SequencerState>((value) => z.looseObject({ number: z.number() }).safeParse(value).success);

/** The exchange as its store has it: the newest snapshot, whose number is given, and the commands after it once more. */
function replayed(
  store: CommandStore,
  start: { readonly nextSeq: number; readonly nextBatchNumber: number },
): { readonly machine: Sequencer; readonly snapshot: number | undefined } {
  const snapshot = store.newestSnapshot();
  const machine =
    snapshot === undefined ? new Sequencer(start) : Sequencer.restore(fromJson(storedState, snapshot.body));
  for (const { number, body, outcome } of store.records(machine.number)) {
    machine.execute(fromJson(timedCommandSchema, body));
    const { head } = fromJson(storedOutcome, outcome);
    if (machine.number !== number || machine.logHead !== head) throw new JournalDiverged(number);
  }
  return { machine, snapshot: snapshot?.number };
}

/**
 * Number of the first command of a store that knows nothing. On a house that has traded, an exchange before it may have
 * given receipts above the last settled number: they must not be contradicted.
 */
function firstSeq(lastSettled: bigint): number {
  return lastSettled === 0n ? 1 : Number(lastSettled) + UNSETTLED_NUMBERS;
}

const UNSETTLED_NUMBERS = 2 ** 24;

function entriesOf(happenings: readonly Happening[]) {
  return happenings.filter((happening) => happening.kind === "entry");
}

function receiptsOf(happenings: readonly Happening[]): readonly Receipt[] {
  return entriesOf(happenings).flatMap(({ receipts }) => receipts);
}

/** What happenings say of one order, oldest first; `place` is the receipt's place among all receipts of them. */
function about(
  happenings: readonly Happening[],
  ticketId: Hex,
  clientId: bigint,
): readonly { readonly order: OrderReport; readonly receipt: Receipt; readonly place: number }[] {
  const found: { readonly order: OrderReport; readonly receipt: Receipt; readonly place: number }[] = [];
  let place = 0;
  for (const happening of happenings) {
    if (happening.kind !== "entry") continue;
    for (const [i, receipt] of happening.receipts.entries()) {
      const order = happening.orders[i];
      if (order?.ticketId === ticketId && order.clientId === clientId) found.push({ order, receipt, place });
      place += 1;
    }
  }
  return found;
}

/** The answer to a new order, as the store keeps it: how it stood, and what the receipts said. */
function answerOf(command: Command, { happenings, refusal }: Effects): StoredAnswer | undefined {
  if (command.kind !== "place" || refusal !== undefined) return undefined;
  const { ticketId, clientId } = command.entry.order;
  const own = about(happenings, ticketId, clientId);
  const order = own.at(-1)?.order;
  if (order === undefined) return undefined;
  const { slot, status, filled, filledValue, remaining, seq, n, time } = order;
  const standing = { slot, status, filled, filledValue, remaining, seq, n, time };
  return { standing, receipts: own.map(({ receipt }) => receipt) };
}

/** The answer that a record keeps, and the instructions of its order; undefined where it took none. */
function firstAnswerOf({ body, outcome }: JournalRecord): FirstAnswer | undefined {
  const { command } = fromJson(timedCommandSchema, body);
  const { answer } = fromJson(storedOutcome, outcome);
  if (command.kind !== "place" || answer === undefined) return undefined;
  const { entry, hash } = command;
  const { ticketId, clientId, revision, side, limitPrice, quantity, timeInForce } = entry.order;
  const signed = { ticketId, clientId, revision, side, limitPrice, quantity, timeInForce };
  const order = { ...signed, orderHash: hash, ...answer.standing };
  return { order, receipts: answer.receipts, instructions: toJson(entry.instructions) };
}

function archivedOrder({ order, acceptedIn }: Extract<Happening, { kind: "ended" }>): ArchivedOrder {
  const { ticketId, clientId } = order;
  return { ticketId, clientId, record: acceptedIn, state: toJson(order) };
}

/** Throws unless note, credit and seat of a transition are free of queued ones. */
function assertUnpromised(queue: readonly ProvenTransition[], { nullifier, action, seat }: ProvenTransition): void {
  for (const queued of queue) {
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
