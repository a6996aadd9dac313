import { dollars, grouped, table } from "../../src/cli/terminal.ts";
import type { Stage } from "./stage.ts";

/** Per trader what only the demo knows, since it holds all keys. */
export function privateTable(stage: Stage): string {
  const rows = [...stage.traders.values()].map(({ name, account }) => [
    name,
    account.status.status,
    dollars(account.account.cash),
    String(account.account.positions[0] ?? 0n),
    String(account.state.tickets.length),
    dollars(account.equity()),
  ]);
  return table(
    [
      { title: "trader" },
      { title: "seat" },
      { title: "cash", right: true },
      { title: "position", right: true },
      { title: "tickets", right: true },
      { title: "equity", right: true },
    ],
    rows,
  );
}

/** What the chain shows to everybody: sums, and which seats stand. */
export async function publicTable(stage: Stage): Promise<string> {
  const { house } = stage.chain;
  const [buckets, positions] = await Promise.all([house.read.buckets(), house.read.openPositions()]);
  const [pool, tickets, closeOut] = positions;
  return table(
    [{ title: "bucket" }, { title: "tokens", right: true }, { title: "contracts", right: true }],
    [
      ["all notes together (turnstile)", dollars(buckets.poolCash), String(pool[0])],
      ["open tickets", dollars(buckets.ticketCash), String(tickets[0].net)],
      ["claims of left-over tickets", dollars(buckets.claims), ""],
      ["deposits not yet absorbed", dollars(buckets.credits), ""],
      ["bonds of seats", dollars(buckets.bonds), ""],
      ["fees of the operator", dollars(buckets.fees), ""],
      ["payments that failed", dollars(buckets.owed), ""],
      ["close-out account", dollars(buckets.closeOutAccount), String(closeOut[0])],
      ["operator's stake", dollars(buckets.operatorStake), ""],
      ["guaranty fund", dollars(buckets.guarantyFund), ""],
      ["tokens held by the contract", dollars(await stage.balance()), ""],
    ],
  );
}

/** The value below which a share of the sample lies. */
export function quantile(sample: readonly number[], share: number): number {
  const sorted = sample.toSorted((a, b) => a - b);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0);
}

/** What a transaction of each kind took. */
export type GasFigures = { readonly transition: number; readonly fill: number; readonly deployment: number };

/** Gas per transition and per fill over the whole run, and of the deployment. */
export async function gasFigures(stage: Stage): Promise<GasFigures> {
  const { transitions, transitionGas, fills, fillGas } = await stage.batchCosts();
  return {
    transition: transitions === 0 ? 0 : Number(transitionGas) / transitions,
    fill: fills === 0 ? 0 : Number(fillGas) / fills,
    deployment: Number(stage.deployed.gasUsed),
  };
}

/** Proof times and gas. */
export function costTable(stage: Stage, gas: GasFigures): string {
  const { proofMs, tickets } = stage.measured;
  return table(
    [{ title: "cost" }, { title: "figure", right: true }],
    [
      ["transitions on chain", grouped(stage.state.transitioned.size)],
      ["tickets", grouped(tickets)],
      ["fills", grouped(stage.state.fills.length)],
      ["proof, median", `${quantile(proofMs, 0.5)} ms`],
      ["proof, 95th percentile", `${quantile(proofMs, 0.95)} ms`],
      ["gas of a transition in its batch", grouped(Math.round(gas.transition))],
      ["gas of a fill in its batch", grouped(Math.round(gas.fill))],
      ["gas of the deployment", grouped(gas.deployment)],
    ],
  );
}
