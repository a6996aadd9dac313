import { call, readMarkets } from "../chain/clearingHouse.ts";
import { type EarlyClosing, NotLockedLong, readEarlyClosing, WHY } from "../clearing/closeEarly.ts";
import type { Hex } from "../protocol/keys.ts";
import { priceLimits } from "../protocol/epoch.ts";
import { contractName, findMarket, formatAmount } from "../trader/markets.ts";
import { placeOf } from "./clerkPlace.ts";
import type { CloseEarlyOptions } from "./closeEarly.ts";
import { untilInterrupted } from "./interrupt.ts";
import type { Io } from "./session.ts";
import { localTime } from "./terminal.ts";

/**
 * hedgerow close-early. Throws WrongUsage, UnknownMarket, NotLockedLong, what reaching the clearing house and sending to
 * it throws, and Interrupted.
 */
export async function closeEarlyCommand(options: CloseEarlyOptions, io: Io): Promise<void> {
  await untilInterrupted(async (signal) => {
    const place = await placeOf(options);
    try {
      const { chain } = place;
      const [epoch] = await chain.house.read.clock();
      const { slot } = findMarket(await readMarkets(chain, epoch), options.market);
      const evidence = await readEarlyClosing(chain, slot);
      const { reason } = evidence;
      if (options.dryRun === true) {
        show(evidence, undefined, place.network.decimals, options, io);
        return;
      }
      if (reason !== undefined) throw new NotLockedLong(evidence, reason);
      const args = [slot] as const;
      const sender = await place.sender();
      const { transactionHash } = await call(chain, sender, { functionName: "closeEarly", args }, { signal });
      const { closingTime } = await chain.house.read.epochOf([evidence.epoch]);
      show({ ...evidence, newClosingTime: closingTime }, transactionHash, place.network.decimals, options, io);
    } finally {
      place.close();
    }
  });
}

function show(
  evidence: EarlyClosing,
  transaction: Hex | undefined,
  decimals: number,
  { json }: CloseEarlyOptions,
  io: Io,
): void {
  io.print(
    json === true ? JSON.stringify(evidenceJson(evidence, transaction)) : evidenceText(evidence, transaction, decimals),
  );
}

function evidenceText(evidence: EarlyClosing, transaction: Hex | undefined, decimals: number): string {
  const { epoch, market, slot, time, closingTime, newClosingTime, lockTime, volume, average, reason } = evidence;
  const price = (value: bigint): string => formatAmount(value, decimals);
  const { down, up } = priceLimits(market);
  const rows: readonly (readonly [string, string])[] = [
    ["market", `${contractName(market.contractId)} (slot ${slot}), day ${epoch}`],
    ["price limits", `${price(down)} and ${price(up)}`],
    ["counted", lockTime === 0 ? "nothing" : `trades of the last ${lockTime} s: from ${at(evidence.since)} on`],
    ["traded", `${volume} contracts, ${market.minimumVolume} are needed`],
    ["average", average === undefined ? "-" : `${price(average)}${whichLimit(evidence)}`],
    ["looked at", at(time)],
    ["the day ends", at(closingTime)],
  ];
  const [title, verdict] =
    transaction !== undefined
      ? ["now it ends", at(newClosingTime)]
      : reason === undefined
        ? ["it could end", `${at(newClosingTime)}; nothing was sent`]
        : ["not earlier", `${WHY[reason]}; nothing was sent`];
  const sent = transaction === undefined ? [] : [["transaction", transaction] as const];
  return [...rows, [title, verdict] as const, ...sent].map(([name, text]) => `${name.padEnd(12)}  ${text}`).join("\n");
}

function whichLimit({ limit }: EarlyClosing): string {
  return limit === undefined ? ", not all at one limit" : `, all at the ${limit} limit`;
}

function at(seconds: bigint): string {
  return localTime(Number(seconds));
}

function evidenceJson(evidence: EarlyClosing, transaction: Hex | undefined) {
  const { epoch, slot, market, time, closingTime, newClosingTime, since, volume, average, limit, reason } = evidence;
  const { down, up } = priceLimits(market);
  return {
    epoch,
    slot,
    contract: contractName(market.contractId),
    time: Number(time),
    closingTime: Number(closingTime),
    newClosingTime: Number(newClosingTime),
    lockTime: evidence.lockTime,
    since: Number(since),
    volume: volume.toString(),
    minimumVolume: market.minimumVolume,
    average: average?.toString() ?? null,
    limit: limit ?? null,
    priceLimitDown: down.toString(),
    priceLimitUp: up.toString(),
    reason: reason ?? null,
    transaction: transaction ?? null,
  };
}
