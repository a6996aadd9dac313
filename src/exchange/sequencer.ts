import type { Batch, ProvenTransition } from "../chain/clearingHouse.ts";
import type { Phase } from "../protocol/epoch.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { assertUnchanged } from "./admission.ts";
import { type BatchPlan, batchOf, openedTickets } from "./batchPlan.ts";
import type { Command, TimedCommand } from "./command.ts";
import { ExchangeLog, ZERO_HASH } from "./log.ts";
import type { BatchReport } from "../api/service.ts";
import { ticketView } from "./ticketView.ts";
import { type DayState, type Execution, type Happening, TradingDay } from "./tradingDay.ts";

/** Something the operator had taken and could not bring on chain, and why: a Skip of the contract, or an error code. */
export type Loss =
  | { readonly kind: "transition"; readonly transition: ProvenTransition; readonly reason: string }
  | { readonly kind: "execution"; readonly execution: Execution; readonly reason: string };

/** A batch that may be on chain. */
export type SentBatch = { readonly plan: BatchPlan; readonly batch: Batch };

/** What one command did. */
export type Effects = {
  /** The command's number; undefined where it changed nothing, and the journal need not have it. */
  readonly number: number | undefined;
  /** Why the command was refused, if it was. What was due before it has happened all the same. */
  readonly refusal: HedgerowError | undefined;
  /** What was due at the command's time. */
  readonly due: readonly Happening[];
  /** What came of the command itself. */
  readonly happenings: readonly Happening[];
  readonly losses: readonly Loss[];
  /** Tickets that a queued transition opens. */
  readonly ticketIds: readonly Hex[];
};

/** Everything about the exchange as plain data, after command number `number`. */
export type SequencerState = {
  readonly number: number;
  readonly time: bigint;
  readonly phase: Phase;
  readonly log: { readonly nextSeq: number; readonly head: Hex };
  readonly nextBatchNumber: number;
  readonly queue: readonly ProvenTransition[];
  readonly sent:
    { readonly nullifiers: readonly bigint[]; readonly executions: number; readonly logHead: Hex } | undefined;
  readonly posted: readonly Batch[];
  readonly batches: readonly BatchReport[];
  readonly day: DayState;
};

/** A command that does not fit the state: only a damaged journal can hold one. */
export class CommandOutOfPlace extends HedgerowError {
  constructor(kind: string, why: string) {
    super("CommandOutOfPlace", `command "${kind}" does not fit: ${why}; restore the journal from a copy`, {
      kind,
      why,
    });
  }
}

/** Batches that are kept to be posted again should the chain lose them. */
const BATCHES_KEPT = 4;

/** Batches of which a report is kept. */
const REPORTS_KEPT = 1_000;

const NO_DAY = { epoch: 0, openedAt: 0n, closingTime: 0n };

/**
 * The exchange as a state machine: commands with their times go in, entries of the log come out. It does no input or
 * output and reads no clock, so the same commands always give the same state (spec JRN-11).
 */
export class Sequencer {
  #number = 0;
  #time = 0n;
  #phase: Phase = "trading";
  #log: ExchangeLog;
  #day: TradingDay;
  #queue: readonly ProvenTransition[] = [];
  #sent: SentBatch | undefined;
  #nextBatchNumber: number;
  #posted: readonly Batch[] = [];
  #reports = new Map<number, BatchReport>();
  #happenings: Happening[] = [];
  #losses: Loss[] = [];
  #ticketIds: readonly Hex[] = [];

  /** An exchange without a day, whose log and batches go on from what the chain shows. */
  constructor(start: { readonly nextSeq: number; readonly nextBatchNumber: number }) {
    this.#log = this.#newLog({ nextSeq: start.nextSeq, head: ZERO_HASH });
    this.#nextBatchNumber = start.nextBatchNumber;
    this.#day = this.#newDay({ times: NO_DAY, markets: [] });
  }

  /** The exchange as it stood when `state` was taken. */
  static restore(state: SequencerState): Sequencer {
    const sequencer = new Sequencer({ nextSeq: state.log.nextSeq, nextBatchNumber: state.nextBatchNumber });
    sequencer.#number = state.number;
    sequencer.#time = state.time;
    sequencer.#phase = state.phase;
    sequencer.#log = sequencer.#newLog(state.log);
    sequencer.#day = sequencer.#newDay(state.day);
    sequencer.#day.restore(state.day);
    sequencer.#queue = state.queue;
    sequencer.#posted = state.posted;
    for (const report of state.batches) sequencer.#reports.set(report.batchNumber, report);
    if (state.sent !== undefined) sequencer.#sent = sequencer.#sentBatch(state.sent);
    return sequencer;
  }

  /** Number of commands so far. */
  get number(): number {
    return this.#number;
  }

  /** Time of the newest command, unix seconds. */
  get time(): bigint {
    return this.#time;
  }

  get phase(): Phase {
    return this.#phase;
  }

  get day(): TradingDay {
    return this.#day;
  }

  /** keccak256 chain over the log so far. */
  get logHead(): Hex {
    return this.#log.head;
  }

  /** Number that the next command of the log gets. */
  get nextSeq(): number {
    return this.#log.nextSeq;
  }

  /** Transitions that wait for a batch. */
  get queue(): readonly ProvenTransition[] {
    return this.#queue;
  }

  /** The batch that was handed to the node and of which nothing has been heard. */
  get sent(): SentBatch | undefined {
    return this.#sent;
  }

  get nextBatchNumber(): number {
    return this.#nextBatchNumber;
  }

  /** The newest batches that are on chain, the oldest first. */
  get posted(): readonly Batch[] {
    return this.#posted;
  }

  /** What became of a batch, if it is known. */
  batch(batchNumber: number): BatchReport | undefined {
    return this.#reports.get(batchNumber);
  }

  /** Brings the exchange to the command's time, applies the command, and tells what came of it. */
  execute({ time: at, command }: TimedCommand): Effects {
    if (at > this.#time) this.#time = at;
    this.#losses = [];
    this.#ticketIds = [];
    this.#happenings = [];
    this.#day.advance(this.#time);
    const due = this.#happenings;
    this.#happenings = [];
    const number = this.#number + 1;
    let refusal: HedgerowError | undefined;
    try {
      this.#apply(command, number);
    } catch (error) {
      // What the rules refuse has changed nothing but the log. Anything else is a fault of this program.
      if (!(error instanceof HedgerowError)) throw error;
      refusal = error;
    }
    const happened = due.length + this.#happenings.length > 0;
    const changed = happened || (refusal === undefined && command.kind !== "tick");
    if (changed) this.#number = number;
    return {
      number: changed ? number : undefined,
      refusal,
      due,
      happenings: this.#happenings,
      losses: this.#losses,
      ticketIds: this.#ticketIds,
    };
  }

  /** Everything as plain data: what `restore` makes the same exchange of. */
  state(): SequencerState {
    const { sent } = this;
    return {
      number: this.#number,
      time: this.#time,
      phase: this.#phase,
      log: { nextSeq: this.#log.nextSeq, head: this.#log.head },
      nextBatchNumber: this.#nextBatchNumber,
      queue: this.#queue,
      sent: sent && {
        nullifiers: sent.batch.transitions.map(({ nullifier }) => nullifier),
        executions: sent.plan.executions.length,
        logHead: sent.batch.logHead,
      },
      posted: this.#posted,
      batches: [...this.#reports.values()],
      day: this.#day.state(),
    };
  }

  // ---------------------------------------------------------------- commands

  #apply(command: Command, number: number): void {
    const day = this.#day;
    const time = this.#time;
    switch (command.kind) {
      case "day":
        this.#begin(command);
        break;
      case "window":
        this.#phase = "window";
        day.stop();
        day.cancelAll(time, "end-of-day");
        this.#giveUp(day);
        break;
      case "closing":
        day.moveClosing(command.closingTime);
        break;
      case "taken":
        day.setBalance(command.ticketId, command.balance);
        break;
      case "stop":
        day.stop();
        day.cancelAll(time, "end-of-day");
        break;
      case "tick":
        break;
      case "place":
        day.place(command.entry, command.hash, time, number);
        break;
      case "replace":
        day.replace(command.signed, command.hash, time);
        break;
      case "cancel":
        day.cancel(command.ticketId, command.clientId, time);
        break;
      case "cancelAll":
        day.cancelTicket(day.useNonce(command.ticketId, command.nonce), time, "trader");
        break;
      case "cancelAfter": {
        const { ticketId, nonce, seconds } = command;
        day.guard(day.useNonce(ticketId, nonce), seconds === 0 ? undefined : time + BigInt(seconds));
        break;
      }
      case "queue":
        this.#enqueue(command.transition);
        break;
      case "drop":
        this.#drop(this.#queued(command.nullifier), command.reason);
        break;
      case "setAside":
        for (const execution of day.setAside(command.seq, time)) {
          this.#losses.push({ kind: "execution", execution, reason: command.reason });
        }
        break;
      case "send":
        this.#sent = this.#sentBatch(command);
        this.#report(this.#sent.batch, "sent", undefined);
        break;
      case "unsend":
        if (this.#sent !== undefined) this.#reports.delete(this.#sent.batch.batchNumber);
        this.#sent = undefined;
        break;
      case "settle":
        this.#settle(command);
        break;
    }
  }

  /** Ends the day before, and takes up another. */
  #begin({ times, phase, markets, tickets }: Extract<Command, { kind: "day" }>): void {
    const ended = this.#day;
    ended.cancelAll(this.#time, "end-of-day");
    this.#giveUp(ended);
    this.#day = this.#newDay({ times, markets });
    for (const { balance, ...ticket } of tickets) {
      this.#day.tickets.set(ticket.ticketId, ticketView({ ...ticket, ...balance, status: "inherited" }));
    }
    this.#phase = phase;
    this.#happenings.push({ kind: "begun", epoch: times.epoch });
    this.#day.advance(this.#time);
    if (phase === "window") this.#day.stop();
  }

  /** Gives all up that waits, because the phase it was proven or matched for is over. */
  #giveUp(day: TradingDay): void {
    for (const transition of this.#queue) this.#drop(transition, "PhaseOver");
    for (const execution of day.dropUnsettled())
      this.#losses.push({ kind: "execution", execution, reason: "PhaseOver" });
  }

  /** Lets a transition wait for the next batch, and does to tickets what it will do on chain. */
  #enqueue(transition: ProvenTransition): void {
    const { action } = transition;
    const day = this.#day;
    if (action.name === "openTicket") {
      this.#ticketIds = openedTickets(transition);
      for (const [index, { sessionKey, cash, position, reduceOnly }] of action.tickets.entries()) {
        const ticketId = this.#ticketIds[index] ?? ZERO_HASH;
        const balance = { cash, position: BigInt(position) };
        const fixed = { ticketId, sessionKey, slot: action.slot, reduceOnly, openedInBatch: undefined };
        day.tickets.set(ticketId, ticketView({ ...fixed, ...balance, status: "pending" }));
      }
    } else if (action.name === "closeTicket") {
      const ticket = day.ticket(action.ticketId);
      assertUnchanged(ticket, action);
      day.cancelTicket(ticket, this.#time, "ticket-closing");
      ticket.closing = true;
    }
    this.#queue = [...this.#queue, transition];
  }

  #queued(nullifier: bigint): ProvenTransition {
    const found = this.#queue.find((queued) => queued.nullifier === nullifier);
    if (found === undefined) throw new CommandOutOfPlace("drop", `no transition with nullifier ${nullifier} waits`);
    return found;
  }

  /** The batch of these transitions and the first executions that wait, under the next number. */
  #sentBatch({ nullifiers, executions, logHead }: NonNullable<SequencerState["sent"]>): SentBatch {
    const transitions = nullifiers.map((nullifier) => this.#queued(nullifier));
    const fills = this.#day.unsettled.slice(0, executions);
    const plan = { entering: transitions, executions: fills, leaving: [] };
    return { plan, batch: batchOf(plan, this.#nextBatchNumber, logHead) };
  }

  /** Brings queue, tickets and executions to where a posted batch has brought the chain. */
  #settle({ skipped, idle, transactionHash }: Extract<Command, { kind: "settle" }>): void {
    const sent = this.#sent;
    if (sent === undefined) throw new CommandOutOfPlace("settle", "no batch was sent");
    const { batch, plan } = sent;
    const day = this.#day;
    const reasons = new Map(skipped.map(({ nullifier, reason }) => [nullifier, reason]));
    const stays = new Set(idle);
    day.markSettled(plan.executions.length);
    for (const transition of batch.transitions) {
      const reason = reasons.get(transition.nullifier);
      if (reason !== undefined) this.#drop(transition, reason);
      else if (!stays.has(transition.nullifier)) this.#act(transition, batch.batchNumber);
    }
    this.#sent = undefined;
    this.#nextBatchNumber = batch.batchNumber + 1;
    this.#posted = [...this.#posted, batch].slice(-BATCHES_KEPT);
    this.#report(batch, "settled", transactionHash);
  }

  /** A transition has taken effect on chain. */
  #act(transition: ProvenTransition, batchNumber: number): void {
    this.#queue = this.#queue.filter((queued) => queued !== transition);
    const { action } = transition;
    if (action.name === "openTicket") {
      for (const ticketId of openedTickets(transition)) {
        const ticket = this.#day.ticket(ticketId);
        ticket.status = "open";
        ticket.openedInBatch = batchNumber;
      }
    } else if (action.name === "closeTicket") {
      this.#day.tickets.delete(action.ticketId);
    }
  }

  /** Takes a transition that will never act out of the queue, and with it what was built on it. */
  #drop(transition: ProvenTransition, reason: string): void {
    this.#queue = this.#queue.filter((queued) => queued !== transition);
    this.#losses.push({ kind: "transition", transition, reason });
    for (const execution of this.#release(transition)) {
      this.#losses.push({ kind: "execution", execution, reason: "TicketLost" });
    }
  }

  /** Takes back what queueing a transition did to tickets; returns executions that cannot settle for it. */
  #release(transition: ProvenTransition): readonly Execution[] {
    const { action } = transition;
    if (action.name === "openTicket") return this.#day.dropTickets(openedTickets(transition), this.#time);
    if (action.name !== "closeTicket") return [];
    const ticket = this.#day.tickets.get(action.ticketId);
    if (ticket !== undefined) ticket.closing = false;
    return [];
  }

  #report(
    { batchNumber, transitions, fills }: Batch,
    status: BatchReport["status"],
    transactionHash: Hex | undefined,
  ): void {
    const counts = { transitions: transitions.length, fills: fills.length };
    this.#reports.set(batchNumber, { batchNumber, status, transactionHash, ...counts });
    this.#reports.delete(batchNumber - REPORTS_KEPT);
  }

  #newLog(start: { readonly nextSeq: number; readonly head: Hex }): ExchangeLog {
    return new ExchangeLog(start, () => undefined);
  }

  #newDay({ times, markets }: Pick<DayState, "times" | "markets">): TradingDay {
    return new TradingDay(times, markets, this.#log, (happening) => this.#happenings.push(happening));
  }
}
