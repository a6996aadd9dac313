import { type Action, changeOf, contextOf } from "../protocol/action.ts";
import { valuationFor } from "../protocol/epoch.ts";
import type { Statement } from "../protocol/statement.ts";
import type { Valuation } from "../protocol/valuation.ts";
import type { ChainState } from "./chainState.ts";
import type { ProvenTransition } from "./clearingHouse.ts";

/** The valuation that the contract demands of an action now. */
export function valuationNow(state: ChainState, action: Action): Valuation {
  return valuationFor(action, {
    phase: state.phase,
    markets: state.markets(state.epoch),
    nextMarkets: state.markets(state.epoch + 1),
    defaultMarkets: action.name === "rejoin" || action.name === "exit" ? state.markets(action.defaultEpoch) : [],
  });
}

/** The context of a transition that would be made now. */
export function contextNow(
  state: ChainState,
  transition: Pick<ProvenTransition, "action" | "nullifier" | "newNote" | "seat">,
): bigint {
  const { chainId, address } = state.chain;
  return contextOf({ chainId, contract: address, epoch: state.epoch, ...transition });
}

/** The statement that the contract would verify a transition with now: everything in it is public (spec BAT-3). */
export function statementNow(
  state: ChainState,
  transition: Pick<ProvenTransition, "action" | "root" | "nullifier" | "newNote" | "seat">,
): Statement {
  const { action, root, nullifier, newNote, seat } = transition;
  return {
    root,
    nullifier,
    newNote,
    seat,
    valuation: valuationNow(state, action),
    ...changeOf(action),
    context: contextNow(state, { action, nullifier, newNote, seat }),
  };
}
