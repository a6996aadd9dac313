import { feeAtDefault } from "../../src/protocol/epoch.ts";
import { SLOTS } from "../../src/protocol/note.ts";
import type { Stage } from "./stage.ts";

/**
 * Whether every token is accounted for (spec CON-1, CON-2, CON-7), which the demo can check to the unit since it holds
 * all keys: buckets against the token balance, positions against each other, the turnstile against the sum of all notes.
 * Prints what does not fit.
 */
export async function auditStage(stage: Stage): Promise<boolean> {
  const { house } = stage.chain;
  const [buckets, [pool, tickets, fund], balance] = await Promise.all([
    house.read.buckets(),
    house.read.openPositions(),
    stage.balance(),
  ]);
  const sum = Object.values(buckets).reduce((total, amount) => total + amount, 0n);
  const faults: string[] = [];
  if (sum !== balance) faults.push(`the buckets hold ${sum}, the contract ${balance} base units`);
  for (let slot = 0; slot < SLOTS; slot++) {
    const net = (pool[slot] ?? 0n) + (tickets[slot]?.net ?? 0n) + (fund[slot] ?? 0n);
    if (net !== 0n) faults.push(`positions of slot ${slot} sum to ${net}`);
  }

  const notes = [...stage.traders.values()].map(({ account }) => account.account);
  const gone = closedOut(stage);
  const notesCash = notes.reduce((total, { cash }) => total + cash, 0n);
  if (buckets.poolCash !== notesCash + gone.cash) {
    faults.push(`the turnstile counts ${buckets.poolCash}, the notes hold ${notesCash} and close-outs ${gone.cash}`);
  }
  for (let slot = 0; slot < SLOTS; slot++) {
    const held = notes.reduce((total, { positions }) => total + (positions[slot] ?? 0n), 0n);
    const expected = held + (gone.positions[slot] ?? 0n);
    if (pool[slot] !== expected) faults.push(`slot ${slot}: the turnstile counts ${pool[slot]}, notes ${expected}`);
  }
  for (const fault of faults) console.log(`  FAIL ${fault}`);
  return faults.length === 0;
}

/**
 * What accounts that were closed out by default left in the turnstile: their positions, and cash worth those positions
 * the other way round, with the close-out fee on top (spec CON-7).
 */
function closedOut(stage: Stage): { readonly cash: bigint; readonly positions: readonly bigint[] } {
  let cash = 0n;
  const positions = Array<bigint>(SLOTS).fill(0n);
  for (const { epoch, account } of stage.defaulted) {
    stage.state.markets(epoch).forEach((market, slot) => {
      const position = account.positions[slot] ?? 0n;
      const magnitude = position < 0n ? -position : position;
      cash += magnitude * feeAtDefault(market) - position * market.settlementPrice;
      positions[slot] = (positions[slot] ?? 0n) + position;
    });
  }
  return { cash, positions };
}
