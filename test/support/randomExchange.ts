import assert from "node:assert/strict";
import { numberToHex } from "viem";
import { z } from "zod";
import type { ProvenTransition, SignedOrder } from "../../src/chain/clearingHouse.ts";
import { planBatch } from "../../src/exchange/batchPlan.ts";
import { type Command, fromJson, type TimedCommand, timedCommandSchema, toJson } from "../../src/exchange/command.ts";
import { ZERO_HASH } from "../../src/exchange/log.ts";
import { PublishedBooks } from "../../src/exchange/publishedBooks.ts";
import { type Effects, Sequencer, type SequencerState } from "../../src/exchange/sequencer.ts";
import { isCovered, type TicketView } from "../../src/exchange/ticketView.ts";
import type { DayTimes } from "../../src/exchange/tradingDay.ts";
import { type Executed, orderIdOf } from "../../src/market/types.ts";
import type { Action, TicketOpening } from "../../src/protocol/action.ts";
import { NO_FEED } from "../../src/protocol/epoch.ts";
import type { Hex } from "../../src/protocol/keys.ts";
import type { Instructions, Order, Side } from "../../src/protocol/order.ts";
import { reduces } from "../../src/protocol/ticket.ts";
import { type Draw, drawFrom } from "./compareBooks.ts";
import { NO_PROOF } from "./unprovenExchange.ts";
import { epochMarket } from "./epochMarket.ts";

// A whole exchange without chain, signatures and disk: random commands, and what must be true after each of them.

/** A market with narrow limits. */
export const MARKET = epochMarket({
  contractId: ZERO_HASH,
  listed: true,
  centre: 1_000n,
  tick: 5n,
  priceLimit: 25n,
  dailyLimit: 25n,
  expandedLimit: 25n,
  maintenanceMargin: 200n,
  initialMargin: 240n,
  closeOutFee: 100n,
  fillFee: 2n,
  minimumVolume: 5,
  minimumMinutes: 1,
  settlementPrice: 0n,
  expired: false,
  tornUp: false,
  closingOnly: false,
  lastTradingTime: 4_000_000_000n,
  priceCollar: 0n,
  ...NO_FEED,
});
/** Two markets, and one between them that is not listed. */
const MARKETS = [MARKET, { ...MARKET, listed: false }, { ...MARKET, centre: 995n, priceLimit: 40n, priceCollar: 15n }];
const SLOTS = [0, 2];

const START = { nextSeq: 1, nextBatchNumber: 1 };
const stateSchema = z.custom<SequencerState>((value) => typeof value === "object");
const SELF_TRADE = ["cancel-incoming", "cancel-resting", "cancel-both", "decrement"] as const;

/** How often each thing happened: what a run without a fault is worth. */
export type Tally = Map<string, number>;

type Entered = { readonly order: Order; readonly reduceOnly: boolean };

/** The state as it comes out of the journal. */
export function readBack(state: SequencerState): SequencerState {
  return fromJson(stateSchema, toJson(state));
}

/**
 * Plays random commands of all kinds. Beside the exchange runs one that gets the accepted commands only, from their
 * JSON, and one that is written down and restored now and then; all three must stay the same. Throws an AssertionError
 * at the first fault. Returns how often what happened.
 */
export function playExchange(seed: number, commands: number): Tally {
  const world = new World(drawFrom(seed));
  for (let step = 0; step < commands; step++) {
    try {
      world.step();
    } catch (error) {
      if (error instanceof Error) error.message = `seed ${seed}, command ${step}: ${error.message}`;
      throw error;
    }
  }
  world.compareStates();
  return world.tally;
}

class World {
  readonly tally: Tally = new Map();
  readonly #draw: Draw;
  readonly #machine = new Sequencer(START);
  readonly #replica = new Sequencer(START);
  #restored = new Sequencer(START);
  #time = 1_000n;
  #names = 0n;
  #epoch = 0;
  #lastEntry: readonly [seq: number, n: number] = [-1, -1];
  #lastExecTime = 0n;
  /** A state that was taken, and how it read at once. */
  #kept: { readonly state: SequencerState; readonly json: string } | undefined;
  readonly #orders = new Map<string, Entered>();
  /** What the public makes of the changes that it is told. */
  readonly #published = new PublishedBooks();
  /** Contracts traded of each order. */
  readonly #traded = new Map<string, number>();

  constructor(draw: Draw) {
    this.#draw = draw;
    this.#run(this.#newDay());
  }

  step(): void {
    this.#passTime();
    const command = this.#someCommand();
    if (command !== undefined) this.#run(command);
    if (this.#draw(40) === 0) this.compareStates();
    if (this.#draw(20) === 0) {
      if (this.#kept !== undefined) assert(toJson(this.#kept.state) === this.#kept.json, "a state changed afterwards");
      const state = this.#machine.state();
      this.#kept = { state, json: toJson(state) };
    }
    if (this.#draw(25) === 0) {
      this.#restored = Sequencer.restore(readBack(this.#restored.state()));
      this.#count("restored");
    }
  }

  /** The three exchanges are the same, down to the last word. */
  compareStates(): void {
    const time = this.#machine.time;
    // Commands that changed nothing only passed the time.
    const { number } = this.#replica.execute({ time, command: { kind: "tick" } });
    assert.equal(number, undefined, "a command that was not recorded changed something");
    const state = readBack(this.#machine.state());
    assert.deepEqual(readBack(this.#replica.state()), state, "the accepted commands alone give another state");
    assert.deepEqual(readBack(this.#restored.state()), state, "the restored exchange has another state");
  }

  // ---------------------------------------------------------------- commands

  #run(command: Command): void {
    // Times that fall are the operator's to mend: those of the commands that were not recorded are not known later.
    const timed: TimedCommand = { time: larger(this.#time, this.#machine.time), command };
    const before = new Map([...this.#machine.day.tickets].map(([id, { balance }]) => [id, balance.position]));
    const numberBefore = this.#machine.number;
    const isDue = this.#machine.day.isDue(timed.time);
    if (command.kind === "place" && !this.#isLive(command.entry)) {
      this.#enter(command.entry, command.entry.instructions?.reduceOnly === true || this.#isReduceOnly(command.entry));
    }
    const entered = command.kind === "replace" ? this.#orders.get(nameOf(command.signed)) : undefined;
    if (command.kind === "replace" && entered !== undefined) this.#enter(command.signed, entered.reduceOnly);
    const effects = this.#machine.execute(timed);
    if (command.kind === "replace" && entered !== undefined && effects.refusal !== undefined) {
      this.#enter({ ...command.signed, order: entered.order }, entered.reduceOnly);
    }
    const json = toJson(effects);
    assert.equal(toJson(this.#restored.execute(timed)), json, "the restored exchange answers otherwise");
    assert(isDue || effects.due.length === 0, "something was due that nobody expected");
    if (effects.number === undefined) {
      assert.equal(this.#machine.number, numberBefore);
      assert.equal(effects.losses.length, 0, "something was lost by a command that is not recorded");
    } else {
      const replayed = this.#replica.execute(fromJson(timedCommandSchema, toJson(timed)));
      assert.equal(toJson(replayed), json, "the replayed command answers otherwise");
      assert.equal(effects.number, numberBefore + 1);
    }
    assert.equal(this.#replica.logHead, this.#machine.logHead);
    this.#count(`${command.kind}${effects.refusal === undefined ? "" : ` refused: ${effects.refusal.code}`}`);
    this.#assertHappenings(effects, before);
    this.#assertSound();
  }

  #isLive({ order }: SignedOrder): boolean {
    return this.#machine.day.liveOrder(order.ticketId, order.clientId) !== undefined;
  }

  #isReduceOnly({ order }: SignedOrder): boolean {
    return this.#machine.day.tickets.get(order.ticketId)?.reduceOnly === true;
  }

  #enter({ order }: SignedOrder, reduceOnly: boolean): void {
    this.#orders.set(nameOf({ order }), { order, reduceOnly });
  }

  #passTime(): void {
    const draw = this.#draw;
    const steps = [0n, 0n, 0n, 0n, 1n, 1n, 2n, 5n, 30n, -3n];
    this.#time += steps[draw(steps.length)] ?? 0n;
    if (draw(150) === 0) this.#time += BigInt(draw(600));
    if (this.#time < 1_000n) this.#time = 1_000n;
  }

  #someCommand(): Command | undefined {
    const draw = this.#draw;
    const machine = this.#machine;
    const { day, phase } = machine;
    // A day that is over is not worth many commands.
    const dice = day.isStopped || this.#time > day.times.closingTime ? 75 + draw(25) : draw(100);
    if (day.tickets.size < 7 && phase === "trading" && draw(3) === 0) return this.#queue();
    if (dice < 62) return this.#place();
    if (dice < 70) return this.#replace();
    if (dice < 75) return this.#cancel();
    if (dice < 76) return { kind: "cancelAll", ticketId: this.#someTicket(), nonce: this.#someNonce() };
    if (dice < 78) {
      const seconds = draw(4) === 0 ? 0 : Number(this.#soon() - larger(this.#time, machine.time));
      return { kind: "cancelAfter", ticketId: this.#someTicket(), nonce: this.#someNonce(), seconds };
    }
    if (dice < 84) return phase === "trading" && draw(30) === 0 ? this.#moveClosing() : { kind: "tick" };
    if (dice < 87) return this.#queue();
    if (dice < 95) return this.#post();
    if (dice < 96) return this.#drop();
    // The operator follows the chain only while no batch is under way.
    if (machine.sent !== undefined) return this.#post();
    if (dice < 97 && this.#time > day.times.closingTime) return { kind: "stop" };
    if (phase === "trading") return day.isStopped || draw(60) === 0 ? { kind: "window" } : undefined;
    return this.#newDay();
  }

  #newDay(): Command {
    const draw = this.#draw;
    this.#epoch += 1;
    const openedAt = this.#time;
    const times: DayTimes = {
      epoch: this.#epoch,
      openedAt,
      closingTime: openedAt + 900n,
      settlementWindow: draw(3) * 100,
      ...(draw(2) === 0 && { auctionTime: openedAt + 60n }),
      ...(draw(2) === 0 && { limitLock: { after: 10, pause: 20 } }),
    };
    const phase = draw(12) === 0 ? "window" : "trading";
    const tickets = draw(4) > 0 ? [] : [this.#inherited()];
    return { kind: "day", times, phase, markets: MARKETS, tickets };
  }

  /** The day ends earlier than it was to, or later again where the chain took that back. */
  #moveClosing(): Command {
    const now = larger(this.#time, this.#machine.time);
    return { kind: "closing", closingTime: now + BigInt(this.#draw(4) * 100) };
  }

  #inherited() {
    const ticketId = this.#name();
    const balance = { cash: 5_000n, position: 0n };
    return { ticketId, sessionKey: "0x01", slot: 0, reduceOnly: false, openedInBatch: 1, balance } as const;
  }

  #place(): Command {
    const draw = this.#draw;
    const ticketId = this.#someTicket();
    const ticket = this.#machine.day.tickets.get(ticketId);
    const own = [...(ticket?.orders.values() ?? [])];
    // Ids of dead orders are the operator's to refuse.
    const again =
      draw(40) === 0 && !this.#machine.day.isDue(this.#time) ? own[draw(own.length)]?.signed.order.clientId : undefined;
    this.#names += 1n;
    const order: Order = {
      ticketId,
      clientId: again ?? this.#names,
      side: draw(2) === 0 ? "buy" : "sell",
      limitPrice: this.#somePrice(),
      quantity: draw(20) === 0 ? 50 : 1 + draw(6),
      timeInForce: (["GTC", "GTC", "GTC", "IOC", "FOK"] as const)[draw(5)] ?? "GTC",
      postOnly: draw(10) === 0,
      expiry: draw(3) === 0 ? this.#soon() - (draw(20) === 0 ? 60n : 0n) : 4_000_000_000n,
      revision: draw(60) === 0 ? 1 : 0,
    };
    const signed = { order, signature: "0x" } as const;
    const instructions = draw(2) === 0 ? undefined : this.#instructions(order.quantity);
    const entry = instructions === undefined ? signed : { ...signed, instructions, instructionsSignature: "0x" as Hex };
    return { kind: "place", entry, hash: this.#name() };
  }

  #instructions(quantity: number): Instructions {
    const draw = this.#draw;
    return {
      orderHash: ZERO_HASH,
      stopPrice: draw(3) === 0 ? this.#somePrice() : undefined,
      displayQuantity: draw(2) === 0 ? 0 : 1 + draw(quantity),
      selfTrade: SELF_TRADE[draw(4)] ?? "decrement",
      reduceOnly: draw(8) === 0,
    };
  }

  #replace(): Command | undefined {
    const draw = this.#draw;
    const live = [...this.#machine.day.liveOrders()];
    const chosen = live[draw(Math.max(1, live.length))];
    if (chosen === undefined) return undefined;
    const { order } = chosen.signed;
    const next: Order = {
      ...order,
      limitPrice: draw(2) === 0 ? order.limitPrice : this.#somePrice(),
      quantity: 1 + draw(8),
      expiry: draw(3) === 0 ? this.#soon() : order.expiry,
      revision: order.revision + (draw(20) === 0 ? 0 : 1 + draw(2)),
      timeInForce: draw(20) === 0 ? "IOC" : "GTC",
      side: draw(20) > 0 ? order.side : opposite(order.side),
    };
    return { kind: "replace", signed: { order: next, signature: "0x" }, hash: this.#name() };
  }

  #cancel(): Command {
    const live = [...this.#machine.day.liveOrders()];
    const chosen = live[this.#draw(Math.max(1, live.length))];
    const unknown = chosen === undefined || this.#draw(20) === 0;
    const ticketId = chosen?.ticket.ticketId ?? this.#someTicket();
    return { kind: "cancel", ticketId, clientId: unknown ? 10n ** 12n : chosen.signed.order.clientId };
  }

  #queue(): Command | undefined {
    const draw = this.#draw;
    const { day, phase, queue } = this.#machine;
    if (phase === "trading" && day.isStopped) return undefined;
    if (draw(3) > 0 && phase === "trading") {
      const tickets = Array.from({ length: 1 + draw(3) }, (): TicketOpening => {
        const reduceOnly = draw(8) === 0;
        return { sessionKey: "0x01", cash: BigInt(500 + draw(40) * 500), position: reduceOnly ? 2 : 0, reduceOnly };
      });
      const slot = SLOTS[draw(SLOTS.length)] ?? 0;
      return this.#transition({ name: "openTicket", slot, relayFee: 0n, tickets });
    }
    const open = [...day.tickets.values()].filter(({ status, closing }) => status !== "pending" && !closing);
    const ticket = open[draw(Math.max(1, open.length))];
    const promised = queue.some(({ action }) => action.name === "closeTicket" && action.ticketId === ticket?.ticketId);
    if (ticket === undefined || promised || draw(2) === 0) {
      return this.#transition({ name: "withdraw", to: "0x01", amount: 1n, relayFee: 0n });
    }
    const { ticketId, slot, balance } = ticket;
    const { cash, position } = balance;
    return this.#transition({ name: "closeTicket", ticketId, slot, cash, position: Number(position), relayFee: 0n });
  }

  #transition(action: Action): Command {
    const transition: ProvenTransition = {
      action,
      root: 0n,
      nullifier: ++this.#names,
      newNote: ++this.#names,
      seat: 0n,
      signature: "0x",
      proof: NO_PROOF,
    };
    return { kind: "queue", transition };
  }

  /** Sends a batch, or tells what came of the one that was sent. */
  #post(): Command | undefined {
    const draw = this.#draw;
    const machine = this.#machine;
    const { sent, day, queue } = machine;
    if (sent === undefined) {
      const isMined = (ticketId: Hex): boolean => day.ticket(ticketId).status !== "pending";
      const limits = { transitions: 1 + draw(6), gas: draw(4) === 0 ? 1_400_000n : 13_000_000n };
      const plan = planBatch(queue, day.unsettled, isMined, limits);
      if (plan === undefined) return undefined;
      const nullifiers = [...plan.entering, ...plan.leaving].map(({ nullifier }) => nullifier);
      return { kind: "send", nullifiers, executions: plan.executions.length, logHead: machine.logHead };
    }
    if (draw(5) === 0) return { kind: "unsend" };
    const fate = sent.batch.transitions.map(({ nullifier }) => ({ nullifier, roll: draw(12) }));
    const skipped = fate.filter(({ roll }) => roll === 0).map(({ nullifier }) => ({ nullifier, reason: "PoolShort" }));
    const idle = fate.filter(({ roll }) => roll === 1).map(({ nullifier }) => nullifier);
    return { kind: "settle", skipped, idle, transactionHash: draw(2) === 0 ? undefined : this.#name() };
  }

  #drop(): Command | undefined {
    const { queue, sent, day } = this.#machine;
    const refused = day.unsettled[this.#draw(Math.max(1, day.unsettled.length))];
    if (refused !== undefined && sent === undefined && this.#draw(8) === 0) {
      return { kind: "setAside", seq: refused.seq, reason: "WrongSigner" };
    }
    const chosen = queue[this.#draw(Math.max(1, queue.length))];
    if (chosen === undefined || sent !== undefined) return undefined;
    return { kind: "drop", nullifier: chosen.nullifier, reason: "ProofRefused" };
  }

  #someTicket(): Hex {
    const ids = [...this.#machine.day.tickets.keys()];
    return this.#draw(50) === 0 ? this.#name() : (ids[this.#draw(Math.max(1, ids.length))] ?? this.#name());
  }

  /** A time at which more than one thing falls due. */
  #soon(): bigint {
    return (larger(this.#time, this.#machine.time) / 30n + 1n + BigInt(this.#draw(2))) * 30n;
  }

  #someNonce(): bigint {
    const nonces = [...this.#machine.day.tickets.values()].map(({ nonce }) => nonce);
    return nonces.reduce(larger, 0n) + BigInt(this.#draw(3)) - (this.#draw(5) === 0 ? 1n : 0n);
  }

  #somePrice(): bigint {
    return 1_000n + 5n * BigInt(this.#draw(11) - 5) + (this.#draw(60) === 0 ? 1n : 0n);
  }

  #name(): Hex {
    this.#names += 1n;
    return numberToHex(this.#names, { size: 32 });
  }

  // ---------------------------------------------------------------- what must be true

  #assertHappenings({ due, happenings }: Effects, positions: Map<Hex, bigint>): void {
    const { times } = this.#machine.day;
    for (const happening of [...due, ...happenings]) {
      if (happening.kind === "begun") {
        this.#lastExecTime = 0n;
        this.#published.clear();
        this.#count("begun");
      }
      if (happening.kind === "book") this.#published.apply(happening.slot, happening.seq, happening.changes);
      if (happening.kind !== "entry") continue;
      const { line, receipts } = happening;
      const { entry, time } = line;
      if (entry.kind === "session") this.#count(`session ${entry.session}`);
      this.#count(`entry ${entry.kind}${line.cause === "trader" ? "" : ` by ${line.cause}`}`);
      const [seq, n] = this.#lastEntry;
      assert(entry.seq > seq || (entry.seq === seq && entry.n === n + 1), "entries are numbered in order");
      if (entry.seq > seq) assert.equal(entry.n, 0);
      this.#lastEntry = [entry.seq, entry.n];
      for (const receipt of receipts) assert.deepEqual([receipt.seq, receipt.n], [entry.seq, entry.n]);
      if (entry.kind !== "executed") continue;
      assert(time >= this.#lastExecTime, "execution times never fall");
      this.#lastExecTime = time;
      assert(time >= times.openedAt && time <= times.closingTime, "nothing trades outside the day");
      if (times.auctionTime !== undefined) {
        assert(
          entry.auction ? time === times.auctionTime : time > times.auctionTime,
          "the auction's second is its own",
        );
      }
      this.#assertTrade(entry, time, positions);
    }
  }

  #assertTrade(entry: Executed, time: bigint, positions: Map<Hex, bigint>): void {
    const [maker, taker] = [this.#entered(entry.maker), this.#entered(entry.taker)];
    assert.notEqual(maker.order.ticketId, taker.order.ticketId, "nobody trades with himself");
    assert.equal(maker.order.timeInForce, "GTC", "only GTC rests");
    assert(!taker.order.postOnly, "a post-only order never takes");
    for (const { order, reduceOnly } of [maker, taker]) {
      const { ticketId, side, expiry } = order;
      assert(time <= expiry, "nothing trades after its expiry");
      const before = positions.get(ticketId) ?? 0n;
      const after = side === "buy" ? before + BigInt(entry.quantity) : before - BigInt(entry.quantity);
      positions.set(ticketId, after);
      if (reduceOnly) assert(reduces(before, after), `a reduce-only order brought ${before} to ${after}`);
      this.#traded.set(orderIdOf(ticketId, order.clientId), this.#tradedOf(order) + entry.quantity);
    }
  }

  #tradedOf({ ticketId, clientId }: Order): number {
    return this.#traded.get(orderIdOf(ticketId, clientId)) ?? 0;
  }

  #entered(orderId: string): Entered {
    return this.#orders.get(orderId) ?? assert.fail(`nobody entered ${orderId}`);
  }

  #assertSound(): void {
    const { day } = this.#machine;
    let live = 0;
    let [position, cash] = [0n, 0n];
    for (const ticket of day.tickets.values()) {
      // Where the chain refused a fill nothing trades any more.
      const trades = !["halted", "closed"].includes(day.session(ticket.slot));
      assert(
        !trades || isCovered(day.market(ticket.slot), ticket),
        `ticket ${ticket.ticketId} cannot honour its orders`,
      );
      assertResting(ticket);
      live += ticket.orders.size;
      if (day.unsettled.length === 0) assert.deepEqual(ticket.balance, ticket.settled, "all is settled, but not this");
      position += ticket.balance.position - ticket.settled.position;
      cash += ticket.balance.cash - ticket.settled.cash;
    }
    assert.equal(live, day.liveCount);
    assert.equal(position, 0n, "a trade has two sides");
    assert(cash <= 0n, "money came from nowhere");
    for (const { remaining, filled, signed } of day.liveOrders()) {
      assert(remaining > 0 && remaining + filled <= signed.order.quantity);
      assert.equal(filled, this.#tradedOf(signed.order));
    }
    for (const slot of SLOTS) {
      if (this.#epoch === 0) continue;
      const { bids, asks } = day.depth(slot);
      const told = this.#published.snapshot(slot);
      assert.deepEqual([told.bids, told.asks], [bids, asks], "the public was told of another book");
      const [bid, ask] = [bids[0], asks[0]];
      const mayCross = ["pre-open", "halted", "closed"].includes(day.session(slot));
      assert(mayCross || bid === undefined || ask === undefined || bid.price < ask.price, "the book is crossed");
      const resting = [...bids, ...asks].reduce((sum, { orders }) => sum + orders, 0);
      const open = [...day.liveOrders()].filter(({ ticket, status }) => ticket.slot === slot && status === "open");
      assert.equal(resting, open.length);
    }
  }

  #count(what: string): void {
    this.tally.set(what, (this.tally.get(what) ?? 0) + 1);
  }
}

function nameOf({ order }: Pick<SignedOrder, "order">): string {
  return orderIdOf(order.ticketId, order.clientId);
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function opposite(side: Side): Side {
  return side === "buy" ? "sell" : "buy";
}

function assertResting({ orders, resting }: TicketView): void {
  for (const side of ["buy", "sell"] as const) {
    const own = [...orders.values()].filter(({ signed }) => signed.order.side === side);
    const sum = (count: (order: (typeof own)[number]) => bigint): bigint => own.reduce((all, o) => all + count(o), 0n);
    assert.deepEqual(resting[side], {
      quantity: sum(({ remaining }) => BigInt(remaining)),
      value: sum(({ remaining, signed }) => BigInt(remaining) * signed.order.limitPrice),
      reduceOnly: sum(({ remaining, instructions }) => (instructions?.reduceOnly === true ? BigInt(remaining) : 0n)),
    });
  }
}
