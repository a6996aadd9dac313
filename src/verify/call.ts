import type { Hex } from "../protocol/keys.ts";
import type { EventName, EventValues, Logs, TokenMove } from "./events.ts";
import type { Registry } from "./registry.ts";
import type { House } from "./state.ts";

/** A proof to check, with the public signals that the replay demands of it. */
export type ProofTask = {
  readonly epoch: number;
  readonly where: string;
  readonly proof: CallProof;
  readonly signals: readonly bigint[];
};

/** A proof as it stands in calldata. */
export type CallProof = {
  readonly a: readonly [bigint, bigint];
  readonly b: readonly [readonly [bigint, bigint], readonly [bigint, bigint]];
  readonly c: readonly [bigint, bigint];
};

/** One call of the house while it is replayed: what it knows, what it has to foresee, and what it leaves to be checked. */
export type Call = {
  readonly house: House;
  readonly registry: Registry;
  readonly where: string;
  readonly sender: Hex;
  readonly time: bigint;
  readonly block: bigint;
  readonly logs: Logs;
  readonly moves: TokenMove[];
  readonly proofs: ProofTask[];
};

/** The house must have emitted this event next. Throws BrokenRule. */
export function emitted({ logs }: Call, eventName: EventName, values: EventValues): void {
  logs.expect(eventName, values);
}

/** The sender brought tokens. */
export function pulled({ house, sender, moves }: Call, amount: bigint): void {
  moves.push({ from: sender, to: house.address, amount });
}

/** A payment: it arrived, or the token refused it and it is owed (spec PAY-3). Throws BrokenRule. */
export function paid(call: Call, to: Hex, amount: bigint): void {
  const { house, logs, moves } = call;
  if (amount === 0n) return;
  if (logs.nextName === "Owed") {
    emitted(call, "Owed", { to, amount });
    house.owedTo.set(to, (house.owedTo.get(to) ?? 0n) + amount);
    house.ledger.owed += amount;
    return;
  }
  emitted(call, "Paid", { to, amount });
  moves.push({ from: house.address, to, amount });
}
