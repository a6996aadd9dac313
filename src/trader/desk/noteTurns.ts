import { toHex } from "viem";
import { ExchangeRefused, passes } from "../../api/client.ts";
import { type ProvenTransition, type Sender, submitTransitions } from "../../chain/clearingHouse.ts";
import { ContractRefused } from "../../chain/refusals.ts";
import { serial } from "../../chain/serial.ts";
import { showsSeat } from "../../protocol/action.ts";
import { HedgerowError } from "../../protocol/errors.ts";
import type { TraderAccount } from "../account.ts";
import type { Connections } from "../connections.ts";
import type { Outbox, OutboxEntry } from "../outbox.ts";
import type { TransitionView } from "../views.ts";
import { PATIENCE, pauseFor, reach, type ReachOptions, throwIfInterrupted } from "./reach.ts";

/** A transition was sent and the chain does not show it yet. */
export class TransitionPending extends HedgerowError {
  constructor({ action, nullifier }: ProvenTransition, seconds: number) {
    super(
      "TransitionPending",
      `${action.name} was sent ${seconds} seconds ago and is not on chain yet: it is written down and will be sent ` +
        `again; look at the exchange, or try hedgerow catch-up later`,
      { action: action.name, nullifier, seconds },
    );
  }
}

/** The chain, or the exchange, did not take a transition, and never will. */
export class TransitionFailed extends HedgerowError {
  constructor({ action, nullifier }: ProvenTransition, reason: string) {
    super("TransitionFailed", `${action.name} did not take effect: ${reason}; nothing has changed, so try again`, {
      action: action.name,
      nullifier,
      reason,
    });
  }
}

export type SpendOptions = ReachOptions & {
  /** Answer once the chain shows it; true by default. */
  readonly wait?: boolean | undefined;
  /** Sends it to the chain with this sender's gas, and not through the exchange. */
  readonly directBy?: Sender | undefined;
  /** Runs before anything is sent: a random delay. */
  readonly beforeSending?: ((options: ReachOptions) => Promise<void>) | undefined;
};

/** What settling has found: entries sent again, and given up. */
export type Settled = { readonly resent: number; readonly abandoned: readonly string[] };

const LOOK_MS = 200;

type Parts = { readonly account: TraderAccount; readonly connections: Connections; readonly outbox: Outbox };

/**
 * The transitions of one account, one after the other, since each spends the note that the last one made. A transition
 * is written down before it is sent; what was sent and is not on chain is sent again, the very same, so that it cannot
 * count twice; and nothing new is proven while it may still land (spec ACC-15).
 */
export class NoteTurns {
  readonly #account: TraderAccount;
  readonly #connections: Connections;
  readonly #outbox: Outbox;
  readonly #inTurn = serial();
  /** How often the chain had skipped a transition of the same note by the time that a new one was first looked at. */
  readonly #skippedBefore = new Map<bigint, number>();

  constructor({ account, connections, outbox }: Parts) {
    this.#account = account;
    this.#connections = connections;
    this.#outbox = outbox;
  }

  /**
   * Proves what `make` returns from the newest note, and sends it. Throws what `make` throws, TransitionPending,
   * TransitionFailed, ExchangeRefused, ExchangeUnreachable, ContractRefused, Interrupted.
   */
  spend<T extends { readonly transition: ProvenTransition }>(
    make: () => Promise<T>,
    options: SpendOptions = {},
  ): Promise<T & { readonly view: TransitionView }> {
    return this.#inTurn(async () => {
      throwIfInterrupted(options.signal);
      // Before the proof, which is then under the newest root when it is sent (spec PRI-4).
      await options.beforeSending?.(options);
      await this.#settle(options);
      await this.#account.sync();
      const { epoch, phase } = this.#account.chain;
      const made = await make();
      const { transition } = made;
      // What is written down is sent, sooner or later: nothing is that its trader has given up by now.
      throwIfInterrupted(options.signal);
      this.#skippedBefore.set(transition.newNote, this.#skipsOf(transition));
      this.#outbox.record({
        transition,
        epoch,
        phase,
        recordedAt: Math.floor(Date.now() / 1000),
        status: "waiting",
        reason: undefined,
      });
      await this.#send(transition, options);
      const landed = options.wait !== false || options.directBy !== undefined;
      if (landed) await this.#untilLanded(transition, options);
      return { ...made, view: viewOf(transition, landed ? "landed" : "queued") };
    });
  }

  /** Sends again what may still land and waits for it; forgets what has landed or never can. Throws as spend does. */
  settle(options: SpendOptions = {}): Promise<Settled> {
    return this.#inTurn(() => this.#settle(options));
  }

  /**
   * Whether somebody has seen a transition that spends the live note and did not land. If a seat is shown with that note
   * next, the two are linked (spec PRI-2).
   */
  get isNoteExposed(): boolean {
    const { live } = this.#account.state;
    return this.#outbox
      .entries()
      .some(({ transition: { nullifier, action } }) => nullifier === live?.nullifier && !showsSeat(action.name));
  }

  async #settle(options: SpendOptions): Promise<Settled> {
    let resent = 0;
    const abandoned: string[] = [];
    if (this.#outbox.entries().length === 0) return { resent, abandoned };
    await this.#account.sync();
    for (const entry of this.#outbox.entries()) {
      const { transition } = entry;
      const fate = this.#fateOf(entry);
      if (fate === "waiting") {
        resent += 1;
        options.onProgress?.({ stage: "waiting", text: `${transition.action.name} was under way: going on with it` });
        await this.#resend(transition, options);
      } else if (fate === "spent") {
        this.#outbox.remove(transition.nullifier, transition.newNote);
      } else if (fate !== "landed" && fate !== "absent" && entry.status === "waiting") {
        this.#outbox.refuse(transition.nullifier, transition.newNote, fate);
        abandoned.push(`${transition.action.name}: ${fate}`);
      }
    }
    this.#forgetLanded();
    return { resent, abandoned };
  }

  /** What has become of an entry by what the chain shows: landed, spent, waiting, absent, or why it never can land. */
  #fateOf({ transition, epoch, phase, status, reason }: OutboxEntry): string {
    const { chain, state } = this.#account;
    const shown = chain.transitioned.get(transition.nullifier);
    if (shown !== undefined) return shown.newNote === transition.newNote ? "landed" : "spent";
    if (status === "refused") return reason ?? "it was refused";
    if (epoch !== chain.epoch || phase !== chain.phase) return "the phase it was proven for is over";
    const skips = this.#skipsOf(transition);
    const before = this.#skippedBefore.get(transition.newNote) ?? skips;
    this.#skippedBefore.set(transition.newNote, before);
    if (skips > before) return "the chain skipped it, since what it rests on was gone";
    // After a reorganisation the note may be gone for a while: then there is nothing to send yet.
    return state.live?.nullifier === transition.nullifier ? "waiting" : "absent";
  }

  #skipsOf({ nullifier }: ProvenTransition): number {
    return this.#account.chain.events.filter(
      (event) => event.eventName === "TransitionSkipped" && event.args.nullifier === nullifier,
    ).length;
  }

  /** Landed entries stay until their epoch is over: a reorganisation may take them back. */
  #forgetLanded(): void {
    const { chain } = this.#account;
    for (const { transition, epoch } of this.#outbox.entries()) {
      const isOver = epoch < chain.epoch;
      if (isOver && chain.transitioned.has(transition.nullifier)) {
        this.#outbox.remove(transition.nullifier, transition.newNote);
      }
    }
  }

  async #resend(transition: ProvenTransition, options: SpendOptions): Promise<void> {
    try {
      await this.#send(transition, options);
      await this.#untilLanded(transition, options);
    } catch (error) {
      // It will never land, and is marked so: the next one may go.
      if (error instanceof TransitionFailed || isRefusal(error)) return;
      throw error;
    }
  }

  async #send(transition: ProvenTransition, { directBy, ...options }: SpendOptions): Promise<void> {
    const { action, nullifier, newNote } = transition;
    const { chain } = this.#account;
    options.onProgress?.({ stage: "sending", text: `sending ${action.name}` });
    try {
      if (directBy !== undefined) {
        await submitTransitions(chain.chain, directBy, [transition], {
          ...(options.signal !== undefined && { signal: options.signal }),
        });
      } else {
        await reach(() => this.#connections.ofTransition(nullifier).submitTransition(transition), options);
      }
    } catch (error) {
      if (!isRefusal(error)) throw error;
      // Taken by this very transition, or by one of the same phrase elsewhere: the chain will say.
      if (error.code === "NullifierTaken") return;
      // The answer to an earlier sending may have been lost, and the chain may have it already.
      await this.#account.sync();
      if (chain.transitioned.get(nullifier)?.newNote === newNote) return;
      this.#outbox.refuse(nullifier, newNote, error.message);
      throw error;
    }
  }

  /** While it waits an exchange may be away: its batch may have left before. */
  async #sendAgain(transition: ProvenTransition, { directBy, ...options }: SpendOptions): Promise<void> {
    if (directBy !== undefined) return;
    try {
      await this.#send(transition, options);
    } catch (error) {
      if (!passes(error)) throw error;
    }
  }

  async #untilLanded(transition: ProvenTransition, options: SpendOptions): Promise<void> {
    const { landing, resending } = { ...PATIENCE, ...options.patience };
    const start = performance.now();
    let sentAt = start;
    options.onProgress?.({ stage: "waiting", text: `waiting until the chain shows ${transition.action.name}` });
    for (;;) {
      await this.#account.sync();
      const [entry] = this.#outbox.entries().filter(({ transition: { newNote } }) => newNote === transition.newNote);
      const fate = entry === undefined ? "landed" : this.#fateOf(entry);
      if (fate === "landed") return;
      const now = performance.now();
      if (fate !== "waiting" && fate !== "absent") {
        this.#outbox.refuse(transition.nullifier, transition.newNote, fate);
        throw new TransitionFailed(transition, fate);
      }
      if (now - start > landing) throw new TransitionPending(transition, Math.round((now - start) / 1000));
      if (fate === "waiting" && now - sentAt > resending) {
        sentAt = now;
        await this.#sendAgain(transition, options);
      }
      await pauseFor(LOOK_MS, options.signal);
    }
  }
}

/** Somebody has looked at it and said no. */
function isRefusal(error: unknown): error is ExchangeRefused | ContractRefused {
  if (error instanceof ContractRefused) return true;
  return error instanceof ExchangeRefused && !passes(error);
}

function viewOf({ action, nullifier, newNote }: ProvenTransition, status: TransitionView["status"]): TransitionView {
  return {
    action: action.name,
    nullifier: toHex(nullifier, { size: 32 }),
    newNote: toHex(newNote, { size: 32 }),
    status,
  };
}
