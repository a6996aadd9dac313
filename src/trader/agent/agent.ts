import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { HedgerowError } from "../../protocol/errors.ts";
import type { RunOptions, TraderService } from "../commands.ts";
import type { OrderView } from "../views.ts";
import type { Look, Surroundings } from "./look.ts";
import { marginOf } from "./margin.ts";
import type { AgentEvent } from "./notify.ts";
import { type Duty, plan } from "./plan.ts";
import type { Policy } from "./policy.ts";
import { type AgentServer, serveAgent } from "./server.ts";
import type { AgentStatus, MarginView } from "./status.ts";
import type { TopUps } from "./topUps.ts";

/** What the agent is made of. */
export type AgentParts = {
  readonly service: TraderService;
  readonly surroundings: Surroundings;
  readonly socketPath: string;
  readonly network: string;
  readonly policy: Policy;
  readonly topUps: TopUps;
  readonly logger: Pick<Logger, "info" | "warn" | "error">;
  /** Told of each event; must not throw or wait. */
  readonly onEvent?: (event: AgentEvent) => void;
  /** Told where the agent stands, each time that it has looked. */
  readonly onRound?: (status: AgentStatus) => void;
};

/** How long a transition is first thought to take, the least that is ever assumed, and the same of a block. Seconds. */
const FIRST_TURN_SECONDS = 20;
const LEAST_TURN_SECONDS = 3;
const FIRST_BLOCK_SECONDS = 2;
/** Pauses after failures: the first, and the longest. Milliseconds. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;
/** Longest that one attempt may take, milliseconds: then the plan is made anew. */
const ATTEMPT_MS = 150_000;
const STOP_MS = 4_000;
/** How many looks fall into a part of the settlement window at the least; how long its parts are before it is known. */
const LOOKS_IN_A_PART = 10;
const MOST_BLIND_SECONDS = 100;
/** How long a look at the orders may hold up the rest, milliseconds. */
const ORDERS_MS = 5_000;

type Details = AgentEvent["details"];

/**
 * The daemon of one wallet: it serves the wallet's commands on a socket, and by its plan keeps tickets closed, the seat
 * renewed and the margin restored. It holds nothing that a restart would lose: what is under way stands in the wallet's
 * outbox, what is to be done follows from the chain (spec AGT-1).
 */
export class Agent {
  readonly #parts: AgentParts;
  readonly #startedAt = unixNow();
  readonly #stop = new AbortController();
  #server: AgentServer | undefined;
  #running: Promise<void> = Promise.resolve();
  #look: Look | undefined;
  #duties: readonly Duty[] = [];
  #margin: MarginView | undefined;
  #trouble: string | undefined;
  #orders: ReadonlyMap<string, OrderView> | undefined;
  #ordersAt = -Infinity;
  readonly #doneAt = new Map<string, number>();
  /** How often a kind of duty has failed since one succeeded. */
  readonly #failures = new Map<string, number>();
  /** When a duty that has failed may be tried again: one of its kind about something else need not wait for it. */
  readonly #notBefore = new Map<string, number>();
  readonly #told = new Set<string>();
  readonly #away = new Map<"node" | "exchange", number>();
  #turnSeconds = FIRST_TURN_SECONDS;
  #blockSeconds = FIRST_BLOCK_SECONDS;
  #freshEpoch = 0;

  private constructor(parts: AgentParts) {
    this.#parts = parts;
  }

  /** Opens the socket and begins. Throws what serveAgent throws. */
  static async start(parts: AgentParts): Promise<Agent> {
    const agent = new Agent(parts);
    agent.#server = await serveAgent(parts.socketPath, {
      service: parts.service,
      status: () => agent.status,
      onStop: () => agent.#stop.abort(),
      onFault: (name, error) => parts.logger.error({ command: name, error: nameOf(error) }, "fault in a command"),
    });
    agent.#running = agent.#run();
    return agent;
  }

  /** Settles when the agent has ended: the socket is gone and the wallet released. */
  get done(): Promise<void> {
    return this.#running;
  }

  /** Takes no more requests, leaves what is under way in a state from which the next start goes on, and ends. */
  stop(): Promise<void> {
    this.#stop.abort();
    return this.#running;
  }

  get status(): AgentStatus {
    const look = this.#look;
    return {
      pid: process.pid,
      startedAt: this.#startedAt,
      network: this.#parts.network,
      epoch: look?.day.epoch ?? 0,
      phase: look?.day.phase ?? "trading",
      seat: look?.seat.status ?? "none",
      time: look?.now ?? this.#startedAt,
      nodeReachable: look !== undefined && !this.#away.has("node"),
      exchangeReachable: look !== undefined && !this.#away.has("exchange"),
      openTickets: look?.tickets.length ?? 0,
      liveOrders: [...(this.#orders?.values() ?? [])].filter(isLive).length,
      margin: this.#margin ?? null,
      duties: this.#duties.map(({ kind, at, deadline, reason }) => ({
        kind,
        at: Math.ceil(at),
        deadline: deadline === undefined ? null : Math.floor(deadline),
        reason,
      })),
      trouble: this.#trouble ?? null,
    };
  }

  // ---------------------------------------------------------------- the round

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    this.#tell("started", "the agent looks after the wallet");
    try {
      await this.#attempt({ kind: "catchUp" }, (options) => this.#catchUp(options));
      while (!signal.aborted) await this.#round().catch((error: unknown) => this.#survive(error));
    } finally {
      await this.#end();
    }
  }

  async #round(): Promise<void> {
    const look = await this.#see();
    if (look === undefined) return this.#pause(this.#paceMs);
    await this.#watchOrders(look);
    this.#watchMargin(look);
    this.#watchSeat(look);
    this.#duties = plan(this.#viewOf(look));
    this.#parts.onRound?.(this.status);
    const due = this.#duties.find((duty) => duty.at <= look.now && this.#mayTry(duty));
    if (due === undefined) return this.#pause(this.#untilNext(look));
    await this.#perform(due, look);
  }

  /** A fault must not leave the seat without its renewal: it is told, and the next round begins. */
  async #survive(error: unknown): Promise<void> {
    this.#trouble = "a fault: see the log";
    this.#parts.logger.error({ error: nameOf(error), stack: framesOf(error) }, "fault in a round");
    await this.#pause(this.#paceMs);
  }

  /** Whatever the policy says, no part of the settlement window goes by between two looks. Milliseconds. */
  get #paceMs(): number {
    const { windowA, windowB } = this.#look?.terms ?? { windowA: MOST_BLIND_SECONDS, windowB: MOST_BLIND_SECONDS };
    return Math.min(this.#parts.policy.lookSeconds, Math.min(windowA, windowB) / LOOKS_IN_A_PART) * 1_000;
  }

  /** What there is to see; undefined where the node does not answer. */
  async #see(): Promise<Look | undefined> {
    try {
      const before = this.#look;
      const look = await this.#parts.surroundings.look();
      this.#answers("node", true);
      this.#answers("exchange", look.exchangeAnswers);
      if (before !== undefined) this.#measureBlocks(before, look);
      if (before?.day.epoch !== look.day.epoch || before.day.phase !== look.day.phase) {
        this.#failures.clear();
        this.#notBefore.clear();
        this.#forgetTold(look.day.epoch);
      }
      this.#look = look;
      return look;
    } catch (error) {
      // Whatever it is, nothing can be done before there is something to see.
      this.#answers("node", false);
      this.#trouble = error instanceof HedgerowError ? error.message : "the node's answers make no sense";
      this.#parts.logger.warn({ error: nameOf(error) }, "the look at the chain failed");
      return undefined;
    }
  }

  #viewOf(look: Look) {
    const { policy, topUps, surroundings } = this.#parts;
    const { now, block, day, terms, seat, credits } = look;
    const spent = topUps.of(day.epoch);
    const limit = BigInt(policy.topUpLimit);
    return {
      now,
      block,
      day,
      terms,
      seat: { status: seat.status, epoch: seat.status === "active" ? seat.epoch : null },
      tickets: look.tickets.map(({ ticketId, leftOver }) => ({
        ticketId,
        leftOver,
        live: this.#ordersOf(ticketId).some(isLive),
        doneAt: this.#doneAt.get(ticketId),
      })),
      credits,
      isFresh: this.#freshEpoch === day.epoch,
      shortage: this.#shortage(),
      topUpLeft: limit > spent ? limit - spent : 0n,
      pace: { turnSeconds: this.#turnSeconds, blockSeconds: this.#blockSeconds },
      exchangeAway: this.#away.has("exchange"),
      hasGas: look.hasGas,
      failures: (kind: Duty["kind"]) => this.#failures.get(kind) ?? 0,
      policy,
      draw: surroundings.draw,
    };
  }

  /** What restores the margin with the policy's cushion; nothing unless the margin is short. */
  #shortage(): bigint {
    if (this.#margin?.level !== "call") return 0n;
    const cushion = (BigInt(this.#margin.maintenanceMargin) * BigInt(this.#parts.policy.topUpPercent)) / 100n;
    return BigInt(this.#margin.short) + cushion;
  }

  /** Until the next duty is due, or the next look is. Milliseconds. */
  #untilNext({ now }: Look): number {
    const pace = this.#paceMs;
    const [next] = this.#duties.filter((duty) => this.#mayTry(duty));
    return next === undefined ? pace : Math.min(pace, Math.max(50, (next.at - now) * 1_000));
  }

  // ---------------------------------------------------------------- duties

  async #perform(duty: Duty, look: Look): Promise<void> {
    const { kind, direct, reason, targets } = duty;
    const start = performance.now();
    this.#parts.logger.info({ duty: kind, direct, reason, count: targets.length }, "duty");
    const done = await this.#attempt(duty, (options) => this.#act(duty, look, options), look.now);
    if (!done) {
      this.#warnOfDefault(duty, look);
      if (kind === "deposit-reserve") this.#tell("top-up-failed", "the margin could not be topped up");
      return;
    }
    if (kind !== "cancel-orders") this.#measureTurn((performance.now() - start) / 1_000, targets.length);
  }

  async #act(duty: Duty, { day }: Look, options: RunOptions): Promise<void> {
    const { service, topUps } = this.#parts;
    const { direct } = duty;
    switch (duty.kind) {
      case "cancel-orders":
        await service.run("cancelAll", {}, options);
        this.#ordersAt = -Infinity;
        return;
      case "close-tickets":
      case "claim-tickets": {
        const closed = await service.run("closeTickets", { tickets: [...duty.targets], direct }, options);
        if (closed.length === 0) return;
        this.#tell("ticket-closed", "a ticket is back in the account", { tickets: closed.length });
        return;
      }
      case "fund-credits":
        await service.run("fund", { credits: [...duty.targets], direct }, options);
        if (this.#shortage() > 0n) this.#tell("topped-up", "the margin was topped up from the reserve");
        return;
      case "deposit-reserve": {
        const amount = duty.amount ?? 0n;
        // Written down before it is sent: a deposit that is lost from sight must not be made twice.
        topUps.add(day.epoch, amount);
        await service.run("deposit", { amount: amount.toString() }, options);
        this.#tell("topped-up", "the margin was topped up from the funding address", { amount: amount.toString() });
        return;
      }
      case "spend-seen-note":
        await service.run("freshen", {}, options);
        this.#freshEpoch = day.epoch;
        return;
      case "renew":
        await service.run("renew", { direct }, options);
        this.#tell("renewed", "the seat is renewed for the next epoch");
        return;
    }
  }

  /** Does something within a bounded time; keeps count of failures and lets pauses grow. */
  async #attempt(tried: Tried, act: (options: RunOptions) => Promise<void>, now = 0): Promise<boolean> {
    const { kind, deadline } = tried;
    // Time enough is left for another way, if this one leads nowhere.
    const left = deadline === undefined ? ATTEMPT_MS : (deadline - now) * 500;
    const timeout = AbortSignal.timeout(Math.round(Math.max(FIRST_PAUSE_MS, Math.min(ATTEMPT_MS, left))));
    try {
      await act({ signal: AbortSignal.any([timeout, this.#stop.signal]) });
      this.#failures.delete(kind);
      this.#notBefore.delete(nameOfDuty(tried));
      this.#trouble = undefined;
      return true;
    } catch (error) {
      if (this.#stop.signal.aborted) return false;
      const count = (this.#failures.get(kind) ?? 0) + 1;
      const growing = FIRST_PAUSE_MS * 2 ** Math.min(count - 1, 10);
      const pause = Math.min(growing, LONGEST_PAUSE_MS, Math.max(FIRST_PAUSE_MS, left / 4));
      this.#failures.set(kind, count);
      this.#notBefore.set(nameOfDuty(tried), performance.now() + pause);
      this.#trouble = error instanceof HedgerowError ? error.message : `${kind} ended with a fault`;
      // The message may tell amounts, which are for the trader, not for the log.
      this.#parts.logger.warn({ duty: kind, failures: count, error: nameOf(error), pause }, `${kind} failed`);
      return false;
    }
  }

  #mayTry(duty: Duty): boolean {
    return (this.#notBefore.get(nameOfDuty(duty)) ?? 0) <= performance.now();
  }

  async #catchUp(options: RunOptions): Promise<void> {
    const { resent, ordersFound } = await this.#parts.service.run("catchUp", {}, options);
    if (resent + ordersFound > 0) this.#parts.logger.info({ resent, ordersFound }, "went on with what was under way");
  }

  // ---------------------------------------------------------------- watching

  async #watchOrders(look: Look): Promise<void> {
    const { service, policy, logger } = this.#parts;
    const isOpen = look.tickets.some(({ leftOver }) => !leftOver);
    const since = performance.now() - this.#ordersAt;
    if (!look.exchangeAnswers || since < policy.ordersSeconds * 1_000 || (!isOpen && this.#orders !== undefined))
      return;
    try {
      const signal = AbortSignal.any([AbortSignal.timeout(ORDERS_MS), this.#stop.signal]);
      const orders = await service.run("orders", { all: true }, { signal });
      this.#ordersAt = performance.now();
      const before = this.#orders;
      this.#orders = new Map(orders.map((order) => [order.ref, order]));
      if (before !== undefined) for (const order of orders) this.#tellOrder(before.get(order.ref), order);
    } catch (error) {
      if (!(error instanceof HedgerowError)) throw error;
      if (!this.#stop.signal.aborted) logger.warn({ error: error.code }, "the orders could not be looked at");
    }
    for (const { ticketId } of look.tickets) {
      const orders = this.#ordersOf(ticketId);
      if (orders.length === 0 || orders.some(isLive)) this.#doneAt.delete(ticketId);
      else if (!this.#doneAt.has(ticketId)) this.#doneAt.set(ticketId, look.now);
    }
  }

  #tellOrder(before: OrderView | undefined, order: OrderView): void {
    const { ref, contract, side, filled, remaining, status } = order;
    const details = { order: ref, contract, side, filled, remaining, status, averagePrice: order.averagePrice };
    if (filled > (before?.filled ?? 0)) this.#tell("fill", `order ${ref} has filled`, details);
    if (!isLive(order) && (before === undefined ? filled > 0 : isLive(before))) {
      this.#tell("order-done", `order ${ref} is ${status}`, details);
    }
  }

  #watchMargin(look: Look): void {
    const { policy } = this.#parts;
    const { seat, day } = look;
    const isHeld = seat.status === "active";
    this.#margin = isHeld
      ? marginOf({
          ...look,
          phase: day.phase,
          relayFee: seat.epoch === day.epoch ? look.relayFee : 0n,
          warnPercents: policy.warnPercents,
        })
      : undefined;
    if (this.#margin === undefined) return;
    const { level, freePercent, equity, maintenanceMargin, free, short } = this.#margin;
    const details = { equity, maintenanceMargin, free, short, freePercent };
    if (level === "call") {
      const when = day.phase === "trading" ? "if the day ended now" : "now";
      this.#tellOnce(`call ${day.phase}`, "margin-call", `the account could not be renewed ${when}`, details);
      return;
    }
    const crossed = policy.warnPercents.filter((percent) => freePercent !== null && freePercent < percent);
    const lowest = Math.min(...crossed);
    for (const percent of policy.warnPercents) {
      if (freePercent === null || freePercent > percent + 10) this.#rearm(`warning ${percent}`);
    }
    this.#rearm(`call ${day.phase}`);
    if (crossed.length === 0) return;
    // Who is told of the lowest need not be told of the others.
    const isNew = !this.#isTold(`warning ${lowest}`);
    for (const percent of crossed) this.#told.add(this.#keyOf(`warning ${percent}`));
    if (isNew) this.#tell("margin-warning", `free margin is below ${lowest} percent`, details);
  }

  #watchSeat({ seat }: Look): void {
    if (seat.status !== "inDefault") return;
    const advice = "the seat is in default: rejoin, or exit, before its bond is lost";
    this.#tellOnce("in default", "default-risk", advice, { since: seat.since });
  }

  /** Tells of a duty that may come too late. */
  #warnOfDefault({ kind, deadline }: Duty, { now }: Look): void {
    if (kind !== "renew" && kind !== "close-tickets") return;
    const failures = this.#failures.get(kind) ?? 0;
    const isLate = deadline === undefined || deadline - now < 4 * this.#turnSeconds;
    if (!isLate && failures < 3) return;
    const what = kind === "renew" ? "the seat is not renewed" : "tickets are not closed";
    this.#tellOnce(`risk ${kind}`, "default-risk", `${what} yet`, { failures, deadline: deadline ?? null });
  }

  /** Tells when somebody has been silent for long, and when he is back. */
  #answers(who: "node" | "exchange", isHere: boolean): void {
    const key = `${who} away`;
    if (isHere) {
      this.#away.delete(who);
      if (this.#told.delete(key)) this.#tell("recovered", `the ${who} answers again`);
      return;
    }
    const since = this.#away.get(who) ?? performance.now();
    this.#away.set(who, since);
    if (this.#told.has(key) || performance.now() - since < this.#parts.policy.awaySeconds * 1_000) return;
    this.#told.add(key);
    this.#tell(`${who}-away`, `the ${who} does not answer`);
  }

  #ordersOf(ticketId: string): readonly OrderView[] {
    return [...(this.#orders?.values() ?? [])].filter((order) => order.ticketId === ticketId);
  }

  // ---------------------------------------------------------------- telling

  #tell(event: AgentEvent["event"], message: string, details: Details = {}): void {
    const { network, logger, onEvent } = this.#parts;
    const told = { event, time: unixNow(), network, epoch: this.#look?.day.epoch ?? 0, message, details };
    // Amounts are for the trader, not for the log.
    logger.info({ event, epoch: told.epoch }, message);
    onEvent?.(told);
  }

  #tellOnce(key: string, event: AgentEvent["event"], message: string, details: Details = {}): void {
    if (this.#isTold(key)) return;
    this.#told.add(this.#keyOf(key));
    this.#tell(event, message, details);
  }

  #keyOf(key: string): string {
    return `${this.#look?.day.epoch ?? 0} ${key}`;
  }

  #isTold(key: string): boolean {
    return this.#told.has(this.#keyOf(key));
  }

  #rearm(key: string): void {
    this.#told.delete(this.#keyOf(key));
  }

  #forgetTold(epoch: number): void {
    for (const key of this.#told) if (/^[0-9]/.test(key) && !key.startsWith(`${epoch} `)) this.#told.delete(key);
  }

  // ---------------------------------------------------------------- pace and end

  #measureBlocks(before: Look, { now, block }: Look): void {
    const blocks = block - before.block;
    if (blocks <= 0 || now <= before.now) return;
    this.#blockSeconds = (this.#blockSeconds + Math.min(60, (now - before.now) / blocks)) / 2;
  }

  #measureTurn(seconds: number, count: number): void {
    const each = Math.max(LEAST_TURN_SECONDS, seconds / Math.max(1, count));
    this.#turnSeconds = Math.max(each, (this.#turnSeconds + each) / 2);
  }

  /** Ends early when the agent is told to stop. */
  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stop.signal }).catch(() => undefined);
  }

  async #end(): Promise<void> {
    const { service, surroundings } = this.#parts;
    await this.#server?.close(STOP_MS, async () => {
      surroundings.close();
      await service.close();
    });
    this.#tell("ended", "the agent has ended; the wallet is free");
  }
}

/** What is tried, and about what. */
type Tried = { readonly kind: string; readonly targets?: readonly string[]; readonly deadline?: number | undefined };

function nameOfDuty({ kind, targets = [] }: Tried): string {
  return [kind, ...targets].join(" ");
}

function isLive({ status }: OrderView): boolean {
  return status === "unsent" || status === "waiting" || status === "open";
}

function nameOf(error: unknown): string {
  if (error instanceof HedgerowError) return error.code;
  return error instanceof Error ? error.name : "unknown";
}

/** Where an error came from, without its message. */
function framesOf(error: unknown): readonly string[] {
  const lines = error instanceof Error ? (error.stack ?? "").split("\n") : [];
  return lines.filter((line) => /^ +at /.test(line)).map((line) => line.trim());
}

function unixNow(): number {
  return Math.floor(Date.now() / 1_000);
}
