import type { ProvenTransition } from "../chain/clearingHouse.ts";

/** A proven transition that has left the wallet, or was about to. */
export type OutboxEntry = {
  readonly transition: ProvenTransition;
  /** Epoch and phase that its proof is good in: the context binds the epoch. */
  readonly epoch: number;
  readonly phase: "trading" | "window";
  /** Unix seconds of this machine's clock. */
  readonly recordedAt: number;
  /** `waiting`: it may land; `refused`: the exchange or the chain has said no, with the reason. What landed the chain knows. */
  readonly status: "waiting" | "refused";
  readonly reason: string | undefined;
};

/**
 * Transitions of one account at one clearing house, written ahead: an entry is durable before its transition is sent,
 * so that after a crash or a lost answer the very same one is sent again and cannot count twice (spec ACC-15).
 */
export type Outbox = {
  /** Durable when it returns. */
  record(entry: OutboxEntry): void;
  refuse(nullifier: bigint, newNote: bigint, reason: string): void;
  /** Oldest first. */
  entries(): readonly OutboxEntry[];
  /** Forgets one that the chain shows, or that can never land. */
  remove(nullifier: bigint, newNote: bigint): void;
};
