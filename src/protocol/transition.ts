import { HedgerowError } from "./errors.ts";
import {
  assertCanonical,
  assertSigned,
  assertUnsigned,
  EQUITY_BITS,
  OutOfRange,
  POSITION_BITS,
  toField,
} from "./field.ts";
import { keysOfSpendingKey } from "./keys.ts";
import { type Account, assertAccount, noteCommitment, nullifierOf } from "./note.ts";
import { publicSignals, SIGNAL, type Statement } from "./statement.ts";
import { type MerklePath, rootOfPath } from "./tree.ts";
import { assertCashDelta, assertValuation, equity, settle, type Valuation } from "./valuation.ts";

/** What an account receives in public: signed base units, and signed contracts in one slot. */
export interface Change {
  readonly cashDelta: bigint;
  readonly slot: bigint;
  readonly positionDelta: bigint;
}

/** A change of nothing, as renewals, sleep and wake use it. */
export const NO_CHANGE: Change = { cashDelta: 0n, slot: 0n, positionDelta: 0n };

/** Everything that decides a transition but its context, which hashes the results. */
export interface TransitionInput {
  readonly spendingKey: bigint;
  /** Contents and blinding of the note to spend, and its path to the root that the proof names. */
  readonly account: Account;
  readonly blinding: bigint;
  readonly path: MerklePath;
  /** Blinding of the new note: blindingOf(viewingKey, next index), or 0 where the new note must be a zero note. */
  readonly newBlinding: bigint;
  /** Whether the action shows its seat. */
  readonly showSeat: boolean;
  readonly valuation: Valuation;
  readonly change: Change;
}

/** A transition that waits for its context. */
export interface TransitionDraft {
  readonly input: TransitionInput;
  readonly ownerKey: bigint;
  readonly newAccount: Account;
  readonly statement: Omit<Statement, "context">;
}

/** The circuit's inputs by signal name. Holds secrets: the spending key and the contents of the account. */
export type CircuitInput = Readonly<Record<string, bigint | readonly bigint[]>>;

/** A transition ready to prove. */
export interface TransitionWitness {
  readonly input: TransitionInput;
  readonly newAccount: Account;
  readonly statement: Statement;
}

/** After the change the account could not pay at the valuation prices. */
export class InsolventTransition extends HedgerowError {
  constructor(equityAfter: bigint, cashDelta: bigint, slot: bigint, positionDelta: bigint) {
    super(
      "InsolventTransition",
      `equity would be ${equityAfter}, but the rule is 0 <= equity: ask for less or add cash`,
      { equity: equityAfter, cashDelta, slot, positionDelta },
    );
  }
}

/** A part of a witness contradicts its statement. */
export class WitnessMismatch extends HedgerowError {
  constructor(name: string, stated: bigint, computed: bigint) {
    super(
      "WitnessMismatch",
      `${name} is stated as ${stated}, but the private inputs give ${computed}: build the statement from these inputs`,
      { name, stated, computed },
    );
  }
}

/** The account after the public change, before settlement. Throws OutOfRange when the slot or a position leaves its range. */
export function changed(account: Account, change: Change): Account {
  assertAccount(account);
  assertCashDelta(change.cashDelta);
  assertUnsigned("slot", change.slot, 3n);
  assertSigned("positionDelta", change.positionDelta, POSITION_BITS);
  const positions = account.positions.map((position, m) =>
    BigInt(m) === change.slot ? position + change.positionDelta : position,
  );
  positions.forEach((position, m) => {
    assertSigned(`new position[${m}]`, position, POSITION_BITS);
  });
  return { cash: account.cash + change.cashDelta, positions };
}

/**
 * The circuit's arithmetic (spec CIR-4..7): add the change, demand 0 <= equity < 2^120 at the valuation, then turn the
 * settled slots into cash. Throws InsolventTransition, OutOfRange or WrongSlotCount.
 */
export function applyTransition(account: Account, change: Change, valuation: Valuation): Account {
  assertValuation(valuation);
  const after = changed(account, change);
  const equityAfter = equity(after, valuation);
  if (equityAfter < 0n) {
    throw new InsolventTransition(equityAfter, change.cashDelta, change.slot, change.positionDelta);
  }
  if (equityAfter >= 1n << EQUITY_BITS) throw new OutOfRange("equity", equityAfter, `equity < 2^${EQUITY_BITS}`);
  return settle(after, valuation);
}

/**
 * Computes everything public about a transition but the context. Throws what applyTransition and noteCommitment throw.
 * The caller hashes nullifier, newNote and the rest into the context and passes it to buildWitness.
 */
export function draftTransition(input: TransitionInput): TransitionDraft {
  const keys = keysOfSpendingKey(input.spendingKey);
  const note = noteCommitment(keys.ownerKey, input.blinding, input.account);
  const newAccount = applyTransition(input.account, input.change, input.valuation);
  return {
    input,
    ownerKey: keys.ownerKey,
    newAccount,
    statement: {
      root: rootOfPath(note, input.path),
      nullifier: nullifierOf(keys.viewingKey, note),
      newNote: noteCommitment(keys.ownerKey, input.newBlinding, newAccount),
      seat: input.showSeat ? keys.ownerKey : 0n,
      valuation: input.valuation,
      ...input.change,
    },
  };
}

/** A draft with its context (a canonical field element). Throws NonCanonicalField. */
export function buildWitness(draft: TransitionDraft, context: bigint): TransitionWitness {
  assertCanonical("context", context);
  return { input: draft.input, newAccount: draft.newAccount, statement: { ...draft.statement, context } };
}

/**
 * Checks that private inputs and statement agree, rule by rule, as the circuit does.
 * Throws InsolventTransition, OutOfRange, NonCanonicalField, WrongSlotCount or WitnessMismatch for the first rule broken.
 */
export function assertWitness(witness: TransitionWitness): void {
  const { statement } = witness;
  const signals = publicSignals(statement);
  const { valuation, cashDelta, slot, positionDelta } = statement;
  const draft = draftTransition({ ...witness.input, valuation, change: { cashDelta, slot, positionDelta } });
  const expected = publicSignals({
    ...draft.statement,
    seat: statement.seat === 0n ? 0n : draft.ownerKey,
    context: statement.context,
  });
  for (const [name, index] of Object.entries(SIGNAL)) {
    const stated = signals[index] ?? 0n;
    const computed = expected[index] ?? 0n;
    if (stated !== computed) throw new WitnessMismatch(name, stated, computed);
  }
}

/** The inputs of circuits/transition.circom by signal name, as canonical field elements. Checks nothing else. */
export function circuitInput({ input, statement }: TransitionWitness): CircuitInput {
  return {
    root: statement.root,
    nullifier: statement.nullifier,
    newNote: statement.newNote,
    seat: statement.seat,
    priceIfLong: statement.valuation.priceIfLong.map(toField),
    priceIfShort: statement.valuation.priceIfShort.map(toField),
    settleMask: statement.valuation.settleMask,
    cashDelta: toField(statement.cashDelta),
    slot: statement.slot,
    positionDelta: toField(statement.positionDelta),
    context: statement.context,
    spendingKey: input.spendingKey,
    cash: toField(input.account.cash),
    position: input.account.positions.map(toField),
    blinding: input.blinding,
    newBlinding: input.newBlinding,
    sibling: input.path.siblings,
    pathBit: input.path.bits.map(BigInt),
  };
}
