import { getAddress, numberToHex } from "viem";
import { contractName } from "../markets.ts";
import type { DayView, StatementView, VariationView } from "../views.ts";
import { boundsOf, entryOf, happeningsIn, type Period } from "./history.ts";
import { type Day, type Happening, lifeOf } from "./life.ts";
import type { AccountReader, NetworkName } from "./reader.ts";

/**
 * What an account had, what happened, and what it has: opening + deposits - withdrawals - fees + variation + other =
 * closing, exactly. Worth is that of note and tickets at the settlement prices of the day, of a day that goes on at
 * those before it. The times of blocks must have been read: chain.readBlockTimes(). Throws BadPeriod, BlockTimeUnknown.
 */
export function statementOf(reader: AccountReader, { name }: NetworkName, period: Period = {}): StatementView {
  const life = lifeOf(reader);
  const bounds = boundsOf(reader, life, period);
  const happenings = happeningsIn(life, bounds);
  const days = life.days.filter(({ epoch }) => epoch >= bounds.from && epoch <= bounds.to);
  const before = life.days.find(({ epoch }) => epoch === bounds.from - 1);
  const variations = days.flatMap((day) => variationsOf(reader, day, happenings));
  const total = (of: (each: Happening) => bigint) => happenings.reduce((sum, each) => sum + of(each), 0n);
  return {
    network: name,
    clearingHouse: getAddress(reader.chain.chain.address),
    account: reader.accountNumber.toString(),
    ownerKey: numberToHex(reader.keys.ownerKey, { size: 32 }),
    fromEpoch: bounds.from,
    toEpoch: bounds.to,
    openingEquity: (before?.equity ?? 0n).toString(),
    closingEquity: (days.at(-1)?.equity ?? 0n).toString(),
    deposits: total(({ kind, amount }) => (kind === "fund" ? amount : 0n)).toString(),
    withdrawals: total(({ kind, amount }) => (kind === "withdraw" || kind === "exit" ? amount : 0n)).toString(),
    fees: total((each) => (isCloseOut(each) ? 0n : each.fee)).toString(),
    variation: variations.reduce((sum, { variation }) => sum + BigInt(variation), 0n).toString(),
    other: total((each) => (isCloseOut(each) ? -each.fee : 0n)).toString(),
    days: days.map((day) => dayOf(reader, day)),
    variations,
    entries: happenings.map((each) => entryOf(reader, each)),
  };
}

function isCloseOut({ kind }: Happening): boolean {
  return kind === "ticket-left-over" || kind === "defaulted";
}

function isTrade(kind: Happening["kind"]): boolean {
  return kind === "fill" || kind === "taken-over";
}

/** Per market: what was held at the change of price since the day before, what was traded at its distance from it. */
function variationsOf({ chain }: AccountReader, day: Day, happenings: readonly Happening[]): VariationView[] {
  const fills = happenings.filter(({ kind, epoch }) => isTrade(kind) && epoch === day.epoch);
  return chain.markets(day.epoch).flatMap(({ contractId, centre }, slot): VariationView[] => {
    const held = day.held[slot] ?? 0n;
    const position = day.positions[slot] ?? 0n;
    const trades = fills.filter((fill) => fill.slot === slot);
    if (held === 0n && position === 0n && trades.length === 0) return [];
    const price = day.prices[slot] ?? centre;
    const variation = trades.reduce(
      (sum, trade) => sum + trade.position * (price - (trade.price ?? price)),
      held * (price - centre),
    );
    return [
      {
        epoch: day.epoch,
        slot,
        contract: contractName(contractId),
        held: Number(held),
        position: Number(position),
        settled: day.close !== undefined,
        settlementPrice: price.toString(),
        variation: variation.toString(),
      },
    ];
  });
}

function dayOf({ chain }: AccountReader, { epoch, close, equity }: Day): DayView {
  return {
    epoch,
    settled: close !== undefined,
    closedAt: close === undefined ? null : chain.blockTime(close.blockHash),
    equity: equity.toString(),
  };
}
