import type { Chain } from "../chain/clearingHouse.ts";
import type { ClearingTerms } from "../chain/deploy.ts";
import { refusalOf } from "../chain/refusals.ts";
import { type EpochMarket, MarketNotListed, priceLimits } from "../protocol/epoch.ts";
import { HedgerowError } from "../protocol/errors.ts";

// Whether a market locked at its limit may end the day early (spec EPO-13), from what the chain shows: the same question
// that the contract asks, so that whoever calls it sees the evidence first.

/** Why a day cannot be ended early now. */
export type NotEarly = "window" | "never" | "once" | "no-sooner" | "too-young" | "too-thin" | "not-locked";

/** What the call rests on. Unix seconds, base units per contract, contracts. */
export type EarlyClosing = {
  readonly epoch: number;
  readonly slot: number;
  readonly market: EpochMarket;
  readonly time: bigint;
  readonly closingTime: bigint;
  /** When the day would end if it were called now. */
  readonly newClosingTime: bigint;
  readonly lockTime: number;
  /** Fills from this whole minute on count. */
  readonly since: bigint;
  readonly volume: bigint;
  /** Their volume-weighted average price; undefined without a fill. No fill is beyond a limit: only if all are at one it is. */
  readonly average: bigint | undefined;
  readonly limit: "upper" | "lower" | undefined;
  /** Undefined: the day can be ended early now. */
  readonly reason: NotEarly | undefined;
};

/** A day is not to be ended early. */
export class NotLockedLong extends HedgerowError {
  constructor({ slot, volume, market, lockTime }: EarlyClosing, reason: NotEarly) {
    super(
      "NotLockedLong",
      `the day is not ended early for slot ${slot}: ${WHY[reason]}; --dry-run shows the evidence`,
      {
        slot,
        reason,
        volume,
        minimumVolume: market.minimumVolume,
        lockTime,
      },
    );
  }
}

/** What each reason says. */
export const WHY: Readonly<Record<NotEarly, string>> = {
  window: "trading is over already",
  never: "this house ends no day early",
  once: "its end was moved up already",
  "no-sooner": "with the notice it would end no sooner",
  "too-young": "trading began too short a time ago",
  "too-thin": "too few contracts traded",
  "not-locked": "not all of them traded at one price limit",
};

/** Cumulative volume and value of the minutes that traded. */
type MinuteVolume = { readonly minute: number; readonly volume: bigint; readonly value: bigint };

/** What the chain showed at one block. */
export type LockFacts = {
  readonly phase: "trading" | "window";
  readonly terms: Pick<ClearingTerms, "lockTime" | "lockNotice" | "callAuction">;
  readonly day: { readonly openedAt: bigint; readonly closingTime: bigint; readonly movedUp: boolean };
  readonly minutes: readonly MinuteVolume[];
} & Pick<EarlyClosing, "epoch" | "slot" | "market" | "time">;

/** Judges the facts as the contract does. */
function earlyClosing({ phase, terms, day, minutes, ...facts }: LockFacts): EarlyClosing {
  const { market, time } = facts;
  const { lockTime, lockNotice, callAuction } = terms;
  const firstMinute = (time - BigInt(lockTime) + 59n) / 60n;
  const before = minutes.findLast(({ minute }) => BigInt(minute) < firstMinute) ?? { volume: 0n, value: 0n };
  const last = minutes.at(-1) ?? before;
  const [volume, value] = [last.volume - before.volume, last.value - before.value];
  const { down, up } = priceLimits(market);
  const limit =
    volume === 0n ? undefined : value === volume * up ? "upper" : value === volume * down ? "lower" : undefined;
  const newClosingTime = time + BigInt(lockNotice);
  const reasons: readonly (readonly [boolean, NotEarly])[] = [
    [phase !== "trading", "window"],
    [lockTime === 0, "never"],
    [day.movedUp, "once"],
    [newClosingTime >= day.closingTime, "no-sooner"],
    [time < day.openedAt + BigInt(callAuction) + BigInt(lockTime), "too-young"],
    [volume < BigInt(market.minimumVolume), "too-thin"],
    [limit === undefined, "not-locked"],
  ];
  return {
    ...facts,
    closingTime: day.closingTime,
    newClosingTime,
    lockTime,
    since: firstMinute * 60n,
    volume,
    average: volume === 0n ? undefined : value / volume,
    limit,
    reason: reasons.find(([holds]) => holds)?.[1],
  };
}

/** Reads what the chain shows now of a market, and judges it. Throws MarketNotListed, ChainUnavailable. */
export async function readEarlyClosing({ client, house }: Chain, slot: number): Promise<EarlyClosing> {
  try {
    const { number: blockNumber, timestamp: time } = await client.getBlock({ includeTransactions: false });
    const at = { blockNumber };
    const [epoch, phase] = await house.read.clock(at);
    const [terms, day, market, minutes] = await Promise.all([
      house.read.clearingTerms(at),
      house.read.epochOf([epoch], at),
      house.read.marketOf([epoch, slot], at),
      house.read.minuteVolumes([epoch, slot], at),
    ]);
    if (!market.listed) throw new MarketNotListed(slot, epoch);
    return earlyClosing({ phase: phase === 0 ? "trading" : "window", terms, day, minutes, epoch, slot, market, time });
  } catch (error) {
    throw refusalOf(error);
  }
}
