import { readConservationFacts } from "../../src/chain/conservationFacts.ts";
import {
  assertConserved,
  assertPoolIsNotes,
  closeOut,
  NO_RESIDUAL,
  NotConserved,
  together,
} from "../../src/protocol/conservation.ts";
import type { Stage } from "./stage.ts";

/**
 * Whether every token is accounted for (spec CON-1 to CON-9). The demo holds all keys, so that it can also compare the
 * turnstile with the sum of all notes, to the unit. Prints the rule that is broken, if one is.
 */
export async function auditStage(stage: Stage): Promise<boolean> {
  const notes = [...stage.traders.values()].map(({ account }) => account.account);
  const residual = stage.defaulted
    .map(({ epoch, account }) => closeOut(account, stage.state.markets(epoch)).residual)
    .reduce(together, NO_RESIDUAL);
  try {
    const facts = await readConservationFacts(stage.state);
    assertConserved(facts);
    assertPoolIsNotes(facts, notes, residual);
    return true;
  } catch (error) {
    if (!(error instanceof NotConserved)) throw error;
    console.log(`  FAIL ${error.message}`);
    return false;
  }
}
