import type { Batch, Fill, ProvenTransition, SignedOrder } from "../chain/clearingHouse.ts";
import { isEntering, ticketIdOf } from "../protocol/action.ts";
import type { Hex } from "../protocol/keys.ts";
import type { Execution } from "./tradingDay.ts";

/** How large a batch may become. Gas figures are upper estimates; the sum stays below a transaction's cap of 2^24. */
export type BatchLimits = {
  readonly transitions: number;
  readonly gas: bigint;
};

export const BATCH_LIMITS: BatchLimits = { transitions: 32, gas: 13_000_000n };

/**
 * Upper estimates of gas: a batch as such, a transition, each ticket it opens, a fill in a minute of its own, each order
 * that fills for the first time.
 */
export const GAS = {
  batch: 750_000n,
  transition: 190_000n,
  ticket: 60_000n,
  fill: 65_000n,
  order: 35_000n,
} as const;

/** How fast executions can be brought on chain, on a cautious estimate. */
export type PostingPace = { readonly fillsPerBatch: number; readonly secondsPerBatch: number };

export const POSTING_PACE: PostingPace = { fillsPerBatch: 100, secondsPerBatch: 12 };

/** The most executions that can be posted in `seconds` (spec ORD-13). */
export function mostPostable({ fillsPerBatch, secondsPerBatch }: PostingPace, seconds: bigint): number {
  return seconds <= 0n ? 0 : Math.floor(Number(seconds) / secondsPerBatch) * fillsPerBatch;
}

/** What goes into the next batch. Leaving transitions come after the fills of the tickets they close. */
export type BatchPlan = {
  readonly entering: readonly ProvenTransition[];
  readonly executions: readonly Execution[];
  readonly leaving: readonly ProvenTransition[];
};

/**
 * The next batch from what waits, or undefined if nothing does: entering transitions; the longest run of executions
 * whose tickets are mined, since fills may name only tickets of earlier batches (spec TKT-8), and leaving transitions
 * unless an execution that is left behind names their ticket. All within the limits, in order of arrival. Where
 * executions could go, entering transitions leave them half of the gas, or as much more as the first ones need in one
 * piece: no flood of openings may keep fills off the chain.
 */
export function planBatch(
  queue: readonly ProvenTransition[],
  executions: readonly Execution[],
  isMined: (ticketId: Hex) => boolean,
  limits: BatchLimits = BATCH_LIMITS,
): BatchPlan | undefined {
  let gas = GAS.batch;
  let room = limits.transitions;
  const take = (transitions: readonly ProvenTransition[], most: bigint): ProvenTransition[] => {
    const taken: ProvenTransition[] = [];
    for (const transition of transitions) {
      const cost = transitionGas(transition);
      if (room === 0 || gas + cost > most) break;
      room -= 1;
      gas += cost;
      taken.push(transition);
    }
    return taken;
  };

  const canSettle = (run: readonly Execution[]): boolean =>
    run.every(({ maker, taker }) => isMined(maker.order.ticketId) && isMined(taker.order.ticketId));
  const orders = new Set<SignedOrder>();
  const runGas = (run: readonly Execution[]): bigint =>
    GAS.fill * BigInt(run.length) +
    GAS.order * BigInt([...new Set(ordersOf(run))].filter((order) => !orders.has(order)).length);

  const [first] = runsOf(executions);
  const reserved = first !== undefined && canSettle(first) ? larger(limits.gas / 2n, runGas(first)) : 0n;
  // Openings that executions wait for go first: nobody may hold up the fills of others with a ticket far back.
  const openings = queue.some(({ action }) => action.name === "openTicket");
  const awaited = openings ? ticketsOf(executions, 0) : new Set<Hex>();
  const isAwaited = (transition: ProvenTransition): boolean =>
    awaited.size > 0 && openedTickets(transition).some((ticketId) => awaited.has(ticketId));
  const waiting = Map.groupBy(
    queue.filter(({ action }) => isEntering(action.name)),
    isAwaited,
  );
  const entering = take([...(waiting.get(true) ?? []), ...(waiting.get(false) ?? [])], limits.gas - reserved);
  let fills = 0;
  for (const run of runsOf(executions)) {
    const cost = runGas(run);
    if (!canSettle(run) || gas + cost > limits.gas) break;
    gas += cost;
    for (const order of ordersOf(run)) orders.add(order);
    fills += run.length;
  }
  const closings = queue.some(({ action }) => action.name === "closeTicket");
  const later = closings ? ticketsOf(executions, fills) : new Set<Hex>();
  const leaving = take(
    queue.filter(
      ({ action }) => !isEntering(action.name) && !(action.name === "closeTicket" && later.has(action.ticketId)),
    ),
    limits.gas,
  );
  if (entering.length + fills + leaving.length === 0) return undefined;
  return { entering, executions: executions.slice(0, fills), leaving };
}

/** The batch as it is sent: each signed order once, fills pointing at them. */
export function batchOf(plan: BatchPlan, batchNumber: number, logHead: Hex): Batch {
  const indices = new Map<SignedOrder, number>();
  const indexOf = (order: SignedOrder): number => {
    const index = indices.get(order) ?? indices.size;
    indices.set(order, index);
    return index;
  };
  const fills = plan.executions.map((execution): Fill => ({
    maker: indexOf(execution.maker),
    taker: indexOf(execution.taker),
    quantity: execution.quantity,
    price: execution.price,
    seq: BigInt(execution.seq),
    n: execution.n,
    makerPrioritySeq: BigInt(execution.makerPrioritySeq),
    execTime: execution.execTime,
  }));
  return {
    batchNumber,
    transitions: [...plan.entering, ...plan.leaving],
    orders: [...indices.keys()],
    fills,
    logHead,
  };
}

/**
 * Executions in pieces that may settle apart: the contract takes the fills of an immediate order in one (spec FIL-16).
 * Other orders that its trades set off are pieces of their own.
 */
function* runsOf(executions: readonly Execution[]): Generator<readonly Execution[]> {
  let run: Execution[] = [];
  for (const execution of executions) {
    const [first] = run;
    if (first !== undefined && (first.taker !== execution.taker || first.seq !== execution.seq || isDivisible(first))) {
      yield run;
      run = [];
    }
    run.push(execution);
  }
  if (run.length > 0) yield run;
}

/** Tickets of the executions from number `first` on. There may be many: only asked for where it matters. */
function ticketsOf(executions: readonly Execution[], first: number): ReadonlySet<Hex> {
  const tickets = new Set<Hex>();
  for (let i = first; i < executions.length; i++) {
    const { maker, taker } = executions[i] ?? {};
    if (maker !== undefined) tickets.add(maker.order.ticketId);
    if (taker !== undefined) tickets.add(taker.order.ticketId);
  }
  return tickets;
}

function isDivisible({ taker }: Execution): boolean {
  return taker.order.timeInForce === "GTC";
}

const opened = new WeakMap<ProvenTransition, readonly Hex[]>();

/** Tickets that a transition opens. */
export function openedTickets(transition: ProvenTransition): readonly Hex[] {
  const known = opened.get(transition);
  if (known !== undefined) return known;
  const { action } = transition;
  const ids =
    action.name === "openTicket"
      ? action.tickets.map((_, index) => ticketIdOf({ ...transition, slot: action.slot }, index))
      : [];
  opened.set(transition, ids);
  return ids;
}

function ordersOf(run: readonly Execution[]): readonly SignedOrder[] {
  return run.flatMap(({ maker, taker }) => [maker, taker]);
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function transitionGas({ action }: ProvenTransition): bigint {
  return GAS.transition + (action.name === "openTicket" ? GAS.ticket * BigInt(action.tickets.length) : 0n);
}
