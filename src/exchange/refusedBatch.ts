import { concat, encodeAbiParameters, getAbiItem, keccak256 } from "viem";
import { clearingHouseAbi } from "../protocol/abi.ts";
import type { ChainState } from "../chain/chainState.ts";
import {
  type Batch,
  CallImpossible,
  ContractRefused,
  encodeBatch,
  type ProvenTransition,
  type Sender,
  signedOrderMessage,
  tryBatch,
} from "../chain/clearingHouse.ts";
import { statementNow } from "../chain/statement.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { publicSignals } from "../protocol/statement.ts";
import type { ProofCheck } from "./proofQueue.ts";

// Why the contract refuses a whole batch, and because of which part of it. One bad part must not hold up the others.

/** The contract refuses a fill: the operator's books and the chain disagree, and somebody has to look. */
export class FillRefused extends HedgerowError {
  readonly seq: bigint;

  constructor(seq: bigint, n: number, refusal: HedgerowError) {
    super("FillRefused", `fill (${seq}, ${n}) is refused, nothing of it was posted: ${refusal.message}`, {
      seq,
      n,
      error: refusal.code,
    });
    this.seq = seq;
  }
}

/** A part of a batch and why the contract refuses it. */
export type RefusedTransition = { readonly transition: ProvenTransition; readonly reason: string };

/** Refusals of a batch whatever is in it: leaving a transition out would not help. */
const ABOUT_THE_WHOLE: ReadonlySet<string> = new Set([
  "NotOperator",
  "WrongBatchNumber",
  "NotInPhase",
  "FillsOutsideTrading",
  "ProofCountMismatch",
  "PrecompileFailed",
  "TreeFull",
]);

/** Whether a refusal is about no part of a batch, but about who posts it, or when. */
export function isAboutTheWhole(refusal: HedgerowError): boolean {
  return ABOUT_THE_WHOLE.has(refusal.code);
}

/** The first transition that the contract's ABI has no form for: it would hold up every batch that it is in. */
export function findUnencodable({ transitions, logHead }: Batch): RefusedTransition | undefined {
  const transition = transitions.find((one) => {
    try {
      encodeBatch({ batchNumber: 0, transitions: [one], orders: [], fills: [], logHead });
      return false;
    } catch (error) {
      if (error instanceof CallImpossible) return true;
      throw error;
    }
  });
  return transition && { transition, reason: "CallImpossible" };
}

/**
 * The transition that makes the contract refuse a batch: first whose proof no longer holds, checked off chain, then by
 * halving the batch in calls that change nothing. Undefined if the transitions alone would pass.
 */
export async function findRefusedTransition(
  state: ChainState,
  operator: Sender,
  verifier: ProofCheck,
  batch: Batch,
): Promise<RefusedTransition | undefined> {
  const unproven = await firstUnproven(state, verifier, batch.transitions);
  if (unproven !== undefined) return { transition: unproven, reason: "ProofRefused" };
  const found = await shortestRefused(upTo(batch.transitions.length), (count) =>
    refusalOfBatch(state, operator, {
      ...batch,
      transitions: batch.transitions.slice(0, count),
      orders: [],
      fills: [],
    }),
  );
  const transition = found && batch.transitions[found.length - 1];
  return transition && { transition, reason: found.refusal.code };
}

/** Throws FillRefused for the first command whose fills make the contract refuse a batch; names the last of them. */
export async function assertFillsPass(state: ChainState, operator: Sender, batch: Batch): Promise<void> {
  // Never within a command: half an immediate order is refused for being half.
  const ends = upTo(batch.fills.length).filter((end) => batch.fills[end]?.seq !== batch.fills[end - 1]?.seq);
  const found = await shortestRefused(ends, (count) =>
    refusalOfBatch(state, operator, { ...batch, transitions: [], fills: batch.fills.slice(0, count) }),
  );
  const fill = found && batch.fills[found.length - 1];
  if (fill) throw new FillRefused(fill.seq, fill.n, found.refusal);
}

/** Hexadecimal letters before the elements of an encoded list: 0x, its offset and its length. */
const LIST_HEAD = 2 + 2 * 64;

/** What the contract keeps of a batch: hash of the orders' ABI words and hash of the fills', hashed (spec BAT-11). */
export function fillsHash(batch: Batch): Hex {
  const [, , , orders, fills] = getAbiItem({ abi: clearingHouseAbi, name: "submitBatch" }).inputs;
  const words = [
    encodeAbiParameters([orders], [batch.orders.map(signedOrderMessage)]),
    encodeAbiParameters([fills], [batch.fills]),
  ].map((encoded): Hex => keccak256(`0x${encoded.slice(LIST_HEAD)}`));
  return keccak256(concat(words));
}

async function firstUnproven(
  state: ChainState,
  verifier: ProofCheck,
  transitions: readonly ProvenTransition[],
): Promise<ProvenTransition | undefined> {
  const items = transitions.map((transition) => ({
    proof: transition.proof,
    publicSignals: publicSignals(statementNow(state, transition)),
  }));
  const [first] = await verifier.verifyBatch(items);
  return first === undefined ? undefined : transitions[first];
}

/** What the contract would say to a batch, or undefined if it would take it. Throws ChainUnavailable, CallImpossible. */
async function refusalOfBatch(state: ChainState, operator: Sender, batch: Batch): Promise<ContractRefused | undefined> {
  try {
    await tryBatch(state.chain, operator, batch);
    return undefined;
  } catch (error) {
    if (error instanceof ContractRefused) return error;
    throw error;
  }
}

/** The shortest of some runs from the start that is refused. A run that is refused stays so when more follows. */
async function shortestRefused(
  lengths: readonly number[],
  refusal: (length: number) => Promise<ContractRefused | undefined>,
): Promise<{ readonly length: number; readonly refusal: ContractRefused } | undefined> {
  let found: { readonly length: number; readonly refusal: ContractRefused } | undefined;
  let low = 0;
  let high = lengths.length;
  // The longest run first: most often nothing is wrong with this kind of part.
  let probe = high - 1;
  while (low < high) {
    const length = lengths[probe] ?? 0;
    const refused = await refusal(length);
    if (refused === undefined) low = probe + 1;
    else [found, high] = [{ length, refusal: refused }, probe];
    probe = Math.floor((low + high) / 2);
  }
  return found;
}

function upTo(length: number): readonly number[] {
  return Array.from({ length }, (_, i) => i + 1);
}
