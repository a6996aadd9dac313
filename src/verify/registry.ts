import type { decodeEventLog } from "viem";
import { parseEventLogs } from "viem";
import { marketRegistryAbi } from "../protocol/abi.ts";
import type { Hex } from "../protocol/keys.ts";
import { SLOTS } from "../protocol/note.ts";
import { lower, type registryArguments } from "./deployment.ts";
import { must } from "./errors.ts";
import type { LogRecord } from "./history.ts";

/** Terms of a market as the registry publishes them. */
export type MarketTerms = ReturnType<typeof registryArguments>["markets"][number];

type Scheduled<T> = { running: T; scheduled: T; effectiveAt: bigint };

/** What governance published, replayed from the registry's events (spec GOV-1 to GOV-5). */
export class Registry {
  readonly #delay: bigint;
  readonly #markets: readonly Scheduled<MarketTerms | undefined>[];
  readonly #operator: Scheduled<Hex>;

  constructor({ delay, operator, markets }: ReturnType<typeof registryArguments>) {
    this.#delay = delay;
    this.#operator = { running: operator, scheduled: operator, effectiveAt: 0n };
    this.#markets = Array.from({ length: SLOTS }, (_, slot) => ({
      running: listed(markets[slot]),
      scheduled: undefined,
      effectiveAt: 0n,
    }));
  }

  /** Terms in force for a slot at a time; undefined where there are none. */
  termsOf(slot: number, time: bigint): MarketTerms | undefined {
    const entry = this.#markets[slot];
    return entry === undefined ? undefined : inForce(entry, time);
  }

  /** The operator in force at a time. */
  operatorAt(time: bigint): Hex {
    return inForce(this.#operator, time);
  }

  /** Takes over what a call scheduled at a time. Throws BrokenRule. */
  follow(logs: readonly LogRecord[], time: bigint): void {
    for (const event of decoded(logs)) {
      if (event.eventName === "MarketScheduled") {
        const { slot, terms, effectiveAt } = event.args;
        const entry = this.#markets[slot];
        must(entry !== undefined, "GOV-2", `slot ${slot} does not exist`);
        must(effectiveAt === time + this.#delay, "GOV-2", `terms of slot ${slot} take effect at ${effectiveAt}`);
        assertStep(slot, inForce(entry, time), terms);
        Object.assign(entry, { running: inForce(entry, time), scheduled: listed(terms), effectiveAt });
      } else {
        const { operator, effectiveAt } = event.args;
        must(effectiveAt === time + this.#delay, "GOV-2", `operator ${operator} takes effect at ${effectiveAt}`);
        const running = inForce(this.#operator, time);
        Object.assign(this.#operator, { running, scheduled: lower(operator), effectiveAt });
      }
    }
  }
}

function decoded(logs: readonly LogRecord[]) {
  return parseEventLogs({
    abi: marketRegistryAbi,
    eventName: ["MarketScheduled", "OperatorScheduled"],
    logs: logs.map(({ address, topics, data }) => {
      const [signature, ...rest] = topics;
      must(signature !== undefined, "VER-4", "a log of the registry has no name");
      return { address, topics: [signature, ...rest] satisfies Topics, data, ...NOWHERE };
    }),
  });
}

type Topics = Parameters<typeof decodeEventLog>[0]["topics"];

const NOWHERE = {
  blockHash: null,
  blockNumber: null,
  logIndex: null,
  transactionHash: null,
  transactionIndex: null,
  removed: false,
};

function inForce<T>({ running, scheduled, effectiveAt }: Scheduled<T>, time: bigint): T {
  return effectiveAt !== 0n && time >= effectiveAt ? scheduled : running;
}

function listed(terms: MarketTerms | undefined): MarketTerms | undefined {
  return terms === undefined || BigInt(terms.contractId) === 0n ? undefined : terms;
}

/** Terms of a running contract change by one step only (spec GOV-4). */
function assertStep(slot: number, running: MarketTerms | undefined, next: MarketTerms): void {
  if (running?.contractId !== next.contractId) return;
  const kept = running.tick === next.tick && running.lastTradingTime === next.lastTradingTime;
  const fed = running.priceFeed === next.priceFeed && running.feedMultiplier === next.feedMultiplier;
  must(kept && fed, "GOV-4", `slot ${slot} changes tick, feed or end of a running contract`);
  const small = next.expandedLimit <= running.closeOutFee && next.initialMargin >= running.closeOutFee;
  must(small, "GOV-4", `slot ${slot} changes its margins by more than one step`);
}
