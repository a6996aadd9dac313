import { encodeAbiParameters, getAbiItem, keccak256 } from "viem";
import { clearingHouseAbi } from "../chain/abi.ts";
import type { ChainState } from "../chain/chainState.ts";
import {
  type Batch,
  ContractRefused,
  type ProvenTransition,
  refusalOf,
  type Sender,
  signedOrderMessage,
  transitionMessage,
} from "../chain/clearingHouse.ts";
import { statementNow } from "../chain/statement.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { publicSignals } from "../protocol/statement.ts";
import type { Verifier } from "../prover/verifier.ts";

// Why the contract refuses a whole batch, and because of which part of it. One bad part must not hold up the others.

/** The contract refuses a fill: the operator's books and the chain disagree, and somebody has to look. */
export class FillRefused extends HedgerowError {
  constructor(seq: bigint, n: number, refusal: HedgerowError) {
    super("FillRefused", `fill (${seq}, ${n}) is refused, nothing of it was posted: ${refusal.message}`, {
      seq,
      n,
      error: refusal.code,
    });
  }
}

/** A part of a batch and why the contract refuses it. */
export type RefusedTransition = { readonly transition: ProvenTransition; readonly reason: string };

/**
 * The transition that makes the contract refuse a batch: first whose proof no longer holds, checked off chain, then by
 * halving the batch in calls that change nothing. Undefined if the transitions alone would pass.
 */
export async function findRefusedTransition(
  state: ChainState,
  operator: Sender,
  verifier: Verifier,
  batch: Batch,
): Promise<RefusedTransition | undefined> {
  const unproven = await firstUnproven(state, verifier, batch.transitions);
  if (unproven !== undefined) return { transition: unproven, reason: "ProofRefused" };
  const found = await shortestRefused(batch.transitions.length, (count) =>
    refusalOfBatch(state, operator, {
      ...batch,
      transitions: batch.transitions.slice(0, count),
      orders: [],
      fills: [],
    }),
  );
  const transition = found && batch.transitions[found.count - 1];
  return transition && { transition, reason: found.refusal.code };
}

/** Throws FillRefused for the first fill that makes the contract refuse a batch. */
export async function assertFillsPass(state: ChainState, operator: Sender, batch: Batch): Promise<void> {
  const found = await shortestRefused(batch.fills.length, (count) =>
    refusalOfBatch(state, operator, { ...batch, transitions: [], fills: batch.fills.slice(0, count) }),
  );
  const fill = found && batch.fills[found.count - 1];
  if (fill) throw new FillRefused(fill.seq, fill.n, found.refusal);
}

/** What the contract keeps of a batch's orders and fills (spec BAT-11). */
export function fillsHash(batch: Batch): Hex {
  const [, , , orders, fills] = getAbiItem({ abi: clearingHouseAbi, name: "submitBatch" }).inputs;
  return keccak256(encodeAbiParameters([orders, fills], [batch.orders.map(signedOrderMessage), batch.fills]));
}

async function firstUnproven(
  state: ChainState,
  verifier: Verifier,
  transitions: readonly ProvenTransition[],
): Promise<ProvenTransition | undefined> {
  const items = transitions.map((transition) => ({
    proof: transition.proof,
    publicSignals: publicSignals(statementNow(state, transition)),
  }));
  const [first] = await verifier.verifyBatch(items);
  return first === undefined ? undefined : transitions[first];
}

/** What the contract would say to a batch now, or undefined if it would take it. Throws ChainUnavailable. */
async function refusalOfBatch(state: ChainState, operator: Sender, batch: Batch): Promise<ContractRefused | undefined> {
  const { batchNumber, transitions, orders, fills, logHead } = batch;
  try {
    await state.chain.house.simulate.submitBatch(
      [
        batchNumber,
        transitions.map(transitionMessage),
        transitions.map(({ proof }) => proof),
        orders.map(signedOrderMessage),
        fills,
        logHead,
      ],
      { account: operator.address },
    );
    return undefined;
  } catch (error) {
    const refusal = refusalOf(error);
    if (refusal instanceof ContractRefused) return refusal;
    throw refusal;
  }
}

/** The shortest run from the start that is refused. A run that is refused stays so when more follows. */
async function shortestRefused(
  length: number,
  refusal: (count: number) => Promise<ContractRefused | undefined>,
): Promise<{ readonly count: number; readonly refusal: ContractRefused } | undefined> {
  if (length === 0) return undefined;
  let last = await refusal(length);
  if (last === undefined) return undefined;
  let passes = 0;
  let refused = length;
  while (refused - passes > 1) {
    const middle = Math.floor((passes + refused) / 2);
    const found = await refusal(middle);
    if (found === undefined) passes = middle;
    else [refused, last] = [middle, found];
  }
  return { count: refused, refusal: last };
}
