import type { Hex } from "../protocol/keys.ts";
import type { Call, ProofTask } from "./call.ts";
import { type Done, replayCall } from "./calls.ts";
import { assertParts, assertWhole, type Totals } from "./conservation.ts";
import { start } from "./cycle.ts";
import { houseArguments, registryArguments } from "./deployment.ts";
import { ChainContradiction, BrokenRule, must } from "./errors.ts";
import { Logs, type TokenMove, tokenMoveOf } from "./events.ts";
import { type History, type InnerCall, placeOf, type Step } from "./history.ts";
import type { PricedDay } from "./prices.ts";
import { Registry } from "./registry.ts";
import { House } from "./state.ts";

/** What a day came to, as the replay has it at the opening of the next one. */
export type DayRecord = {
  readonly epoch: number;
  /** Number of calls, transitions that acted or were skipped, fills and leaves of the day. */
  readonly calls: number;
  readonly fills: number;
  readonly notes: number;
  readonly settlements: readonly (PricedDay & { readonly slot: number; readonly settlementPrice: bigint })[];
  /** Share of withdrawals that is paid from then on; 1e18 is all of it. */
  readonly payoutRatio: bigint;
  /** Every public bucket, by name, and what somebody sent without a call. */
  readonly totals: Totals;
};

/** A replay of all whole days from the deployment on. */
export type Replay = {
  readonly house: House;
  readonly days: readonly DayRecord[];
  readonly proofs: readonly ProofTask[];
};

/**
 * Replays a history from the deployment on, until a day is open that is later than `lastEpoch`; all of it by default.
 * Every log must be the one that the rules foresee. Throws ChainContradiction.
 */
export function replay(history: History, lastEpoch = Infinity): Replay {
  const { clearingHouse } = history;
  const proofs: ProofTask[] = [];
  const days: DayRecord[] = [];
  const books = new Books(history);
  let calls = 0;
  let settled: ReadonlyMap<number, PricedDay> = new Map();
  let notesBefore = 0;
  assertTransfers(history);
  for (const step of history.steps) {
    const done = inPlace(step, () => books.play(step, proofs));
    calls += callsOf(step, clearingHouse).length;
    if (done.settled !== undefined) settled = done.settled;
    if (done.opened !== true) continue;
    const { house } = books;
    const epoch = house.epoch - 1;
    const { markets } = house.epochOf(epoch);
    days.push({
      epoch,
      calls,
      fills: markets.reduce((sum, { fills }) => sum + fills.length, 0),
      notes: house.notes.leaves - notesBefore,
      settlements: [...settled].map(([slot, day]) => ({
        slot,
        ...day,
        settlementPrice: house.market(slot, epoch).settlementPrice,
      })),
      payoutRatio: house.payoutRatio,
      totals: inPlace(step, () => {
        assertParts(house);
        return assertWhole(house, books.tokens);
      }),
    });
    [calls, notesBefore] = [0, house.notes.leaves];
    if (epoch >= lastEpoch) break;
  }
  return { house: atEnd(() => books.house), days, proofs };
}

/** The house, its registry and its tokens, step by step. */
class Books {
  readonly #history: History;
  #house: House | undefined;
  #registry: Registry | undefined;
  #addresses: { readonly registry: Hex; readonly token: Hex } | undefined;
  /** Tokens that went in and out, and those that came without a call. */
  readonly tokens = { held: 0n, unasked: 0n };

  constructor(history: History) {
    this.#history = history;
  }

  get house(): House {
    must(this.#house !== undefined, "VER-2", "the history holds no deployment of the house");
    return this.#house;
  }

  play(step: Step, proofs: ProofTask[]): Done {
    const { clearingHouse, chainId } = this.#history;
    const ofHouse = step.logs.filter(({ address }) => address === clearingHouse);
    if (this.#house === undefined) {
      // The registry stands first; which one it is the house says when it comes.
      if (ofHouse.length === 0) return {};
      return this.#deploy(step, new Logs(ofHouse), BigInt(chainId));
    }
    const { registry, token } = this.#known();
    this.#followRegistry(step, registry);
    const moves = step.logs.filter(({ address }) => address === token).flatMap((log) => tokenMoveOf(log) ?? []);
    const logs = new Logs(ofHouse);
    const due: TokenMove[] = [];
    let done: Done = {};
    for (const { from, input } of callsOf(step, clearingHouse)) {
      const call = this.#callOf({ ...step, from }, logs, proofs);
      done = { ...done, ...replayCall(call, input) };
      due.push(...call.moves);
    }
    logs.expectEnd();
    // Whoever calls through a contract of his own may also send tokens unasked.
    this.#settle(moves, due, step.to === clearingHouse);
    assertWhole(this.house, this.tokens);
    return done;
  }

  #deploy(step: Step, logs: Logs, chainId: bigint): Done {
    const isOwn = step.made === this.#history.clearingHouse;
    must(isOwn, "VER-2", "the house was not deployed by a transaction of its own");
    const { registry, token, terms } = houseArguments(step.input);
    this.#addresses = { registry, token };
    const made = this.#history.steps.find((each) => each.made === registry);
    must(made !== undefined, "VER-2", `the history holds no deployment of registry ${registry}`);
    this.#registry = new Registry(registryArguments(made.input));
    for (const each of this.#history.steps) {
      if (each === step) break;
      this.#followRegistry(each, registry);
    }
    this.#house = new House(chainId, this.#history.clearingHouse, terms);
    const call = this.#callOf(step, logs, []);
    start(call);
    logs.expectEnd();
    return {};
  }

  #followRegistry({ logs, time }: Step, registry: Hex): void {
    this.#registry?.follow(
      logs.filter(({ address }) => address === registry),
      BigInt(time),
    );
  }

  #known() {
    must(this.#addresses !== undefined, "VER-2", "the history holds no deployment of the house");
    return this.#addresses;
  }

  #callOf(step: Step, logs: Logs, proofs: ProofTask[]): Call {
    must(this.#registry !== undefined, "VER-2", "the history holds no deployment of the registry");
    const { from, time, block } = step;
    return {
      house: this.house,
      registry: this.#registry,
      where: placeOf(step),
      sender: from,
      time: BigInt(time),
      block: BigInt(block),
      logs,
      moves: [],
      proofs,
    };
  }

  /** Tokens moved as they had to in a call; what came outside of calls came unasked, and nothing left (spec CON-1). */
  #settle(moves: readonly TokenMove[], due: readonly TokenMove[], isCall: boolean): void {
    const house = this.house.address;
    const waiting = [...due];
    for (const { from, to, amount } of moves) {
      if (from !== house && to !== house) continue;
      const [next] = waiting;
      const isDue = next?.from === from && next.to === to && next.amount === amount;
      if (isDue) waiting.shift();
      else must(!isCall && from !== house, "CON-1", `${amount} tokens went from ${from} to ${to} that were not to`);
      if (!isDue) this.tokens.unasked += amount;
      this.tokens.held += from === house ? -amount : amount;
    }
    const [missing] = waiting;
    must(
      missing === undefined,
      "CON-1",
      `the transfer of ${missing?.amount ?? 0n} tokens from ${missing?.from ?? ""} to ${missing?.to ?? ""} is missing`,
    );
  }
}

/** The calls of the house in a transaction, in order. */
function callsOf({ from, to, input, inner = [] }: Step, clearingHouse: Hex): readonly InnerCall[] {
  return to === clearingHouse ? [{ from, input }] : inner;
}

function inPlace<T>(step: Step, work: () => T): T {
  return placed(placeOf(step), work);
}

function atEnd<T>(work: () => T): T {
  return placed("the whole history", work);
}

/** Says where which rule is broken, whatever `work` throws: a call that cannot be read is one that could not pass. */
function placed<T>(where: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const what = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
    throw new ChainContradiction(where, what, error instanceof BrokenRule ? error.rule : "VER-4");
  }
}

/** The token's transfers must come to what the token says the house holds, so that none was withheld. */
function assertTransfers({ steps, clearingHouse, tokens }: History): void {
  const ends = steps.flatMap(({ logs }) => logs).flatMap((log) => tokenMoveOf(log) ?? []);
  const sum = ends.reduce((total, { from, to, amount }) => {
    return total + (to === clearingHouse ? amount : 0n) - (from === clearingHouse ? amount : 0n);
  }, 0n);
  atEnd(() =>
    must(sum.toString() === tokens, "CON-1", `the token's transfers come to ${sum}, but the house holds ${tokens}`),
  );
}
