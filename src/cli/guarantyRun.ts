import { approve, call, operatorOf, type PlainCall, readMarkets, type Sender } from "../chain/clearingHouse.ts";
import type { SendOptions } from "../chain/sending.ts";
import { WHOLE } from "../chain/chainState.ts";
import { SLOTS } from "../protocol/note.ts";
import { contractName, formatAmount, parseAmount } from "../trader/markets.ts";
import { WrongUsage } from "./failure.ts";
import { type Place, placeOf } from "./clerkPlace.ts";
import type { GuarantyOptions } from "./guaranty.ts";
import { untilInterrupted } from "./interrupt.ts";
import type { Io } from "./session.ts";

/** hedgerow guaranty show. Throws WrongUsage and what reaching the clearing house throws. */
export async function showGuaranty(options: GuarantyOptions, io: Io): Promise<void> {
  await at(options, async ({ chain, network }) => {
    const { house } = chain;
    const [buckets, [, , positions], ratio, [epoch], operatorsStake] = await Promise.all([
      house.read.buckets(),
      house.read.openPositions(),
      house.read.payoutRatio(),
      house.read.clock(),
      operatorOf(chain).then((operator) => house.read.stakeOf([operator])),
    ]);
    const markets = await readMarkets(chain, epoch);
    const abandoned = Array.from({ length: SLOTS }, (_, slot) => ({
      slot,
      contract: contractName(markets[slot]?.contractId ?? "0x"),
      position: Number(positions[slot] ?? 0n),
    })).filter(({ position }) => position !== 0);
    if (options.json === true) {
      io.print(
        JSON.stringify({
          closeOutAccount: buckets.closeOutAccount.toString(),
          abandoned,
          operatorStake: operatorsStake.amount.toString(),
          stakeOfAll: buckets.operatorStake.toString(),
          guarantyFund: buckets.guarantyFund.toString(),
          payoutRatio: ratio.toString(),
        }),
      );
      return;
    }
    const money = (baseUnits: bigint): string => formatAmount(baseUnits, network.decimals);
    const carried = abandoned.map(({ contract, position }) => `${position > 0 ? "+" : ""}${position} ${contract}`);
    const rows: readonly (readonly [string, string, string])[] = [
      ["1 close-out account", money(buckets.closeOutAccount), carried.join(", ") || "carries no position"],
      ["2 operator's stake", money(operatorsStake.amount), ""],
      ["3 guaranty fund", money(buckets.guarantyFund), ""],
    ];
    const width = Math.max(...rows.map(([, amount]) => amount.length));
    const lines = rows.map(([name, amount, more]) =>
      `${name.padEnd(20)}  ${amount.padStart(width)}  ${more}`.trimEnd(),
    );
    const percent = (Number((ratio * 10_000n) / WHOLE) / 100).toFixed(2);
    io.print([...lines, `Withdrawals are paid at ${percent} %.`].join("\n"));
  });
}

/** hedgerow guaranty contribute and stake. Throws WrongUsage and what sending to the clearing house throws. */
export async function payIn(
  functionName: "contributeToFund" | "stake",
  text: string,
  options: GuarantyOptions,
  io: Io,
): Promise<void> {
  assertKeyGiven(options);
  await at(options, async ({ chain, network, sender }, signal) => {
    const amount = parseAmount(text, network.decimals);
    const payer = await sender();
    await approve(chain, payer, amount, { signal });
    await send({ functionName, args: [amount] }, { chain, payer, signal }, options, io);
  });
}

/** hedgerow guaranty request-unstake and unstake. Throws WrongUsage and what sending to the clearing house throws. */
export async function askBack(
  functionName: "requestUnstake" | "unstake",
  options: GuarantyOptions,
  io: Io,
): Promise<void> {
  assertKeyGiven(options);
  await at(options, async ({ chain, sender }, signal) => {
    await send({ functionName, args: [] }, { chain, payer: await sender(), signal }, options, io);
  });
}

/** Tokens have an owner, on a local chain too, where anybody's gas is paid. */
function assertKeyGiven({ keyFile }: GuarantyOptions): void {
  if (keyFile !== undefined) return;
  throw new WrongUsage("somebody's tokens are meant", "give --key-file FILE, their owner's key");
}

async function send(
  plain: PlainCall,
  { chain, payer, signal }: Pick<Place, "chain"> & SendOptions & { readonly payer: Sender },
  { json }: GuarantyOptions,
  io: Io,
): Promise<void> {
  const { transactionHash } = await call(chain, payer, plain, signal === undefined ? {} : { signal });
  const { amount, withdrawableIn } = await chain.house.read.stakeOf([payer.address]);
  if (json === true) {
    io.print(JSON.stringify({ transaction: transactionHash, stake: amount.toString(), withdrawableIn }));
    return;
  }
  const when = plain.functionName === "requestUnstake" ? ` The stake can be taken on day ${withdrawableIn}.` : "";
  io.print(`Done: transaction ${transactionHash}.${when}`);
}

async function at(options: GuarantyOptions, act: (place: Place, signal: AbortSignal) => Promise<void>): Promise<void> {
  await untilInterrupted(async (signal) => {
    const place = await placeOf(options);
    try {
      await act(place, signal);
    } finally {
      place.close();
    }
  });
}
