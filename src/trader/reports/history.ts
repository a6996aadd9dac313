import { HedgerowError } from "../../protocol/errors.ts";
import { contractName } from "../markets.ts";
import type { HistoryEntry } from "../views.ts";
import { type Happening, type Life, lifeOf } from "./life.ts";
import type { AccountReader } from "./reader.ts";

/** Epochs, both included; from the account's first to the present one if left out. */
export type Period = { readonly fromEpoch?: number | undefined; readonly toEpoch?: number | undefined };

/** A period ends before it begins, or has not begun. */
export class BadPeriod extends HedgerowError {
  constructor(from: number, to: number, epoch: number) {
    super("BadPeriod", `epochs ${from} to ${to} are no period: name epochs from 1 to ${epoch}, the earlier one first`, {
      from,
      to,
      epoch,
    });
  }
}

/**
 * What happened to an account, in chain order. The times of blocks must have been read: chain.readBlockTimes().
 * Throws BadPeriod, BlockTimeUnknown.
 */
export function historyOf(reader: AccountReader, period: Period = {}): HistoryEntry[] {
  const life = lifeOf(reader);
  return happeningsIn(life, boundsOf(reader, life, period)).map((each) => entryOf(reader, each));
}

/** A period of which both ends are known. */
export type Bounds = { readonly from: number; readonly to: number };

/** The epochs that are meant. Throws BadPeriod. */
export function boundsOf({ chain }: AccountReader, { happenings }: Life, { fromEpoch, toEpoch }: Period): Bounds {
  const to = toEpoch ?? chain.epoch;
  const from = fromEpoch ?? Math.min(happenings[0]?.epoch ?? to, to);
  if (from < 1 || from > to || to > chain.epoch) throw new BadPeriod(from, to, chain.epoch);
  return { from, to };
}

/** What happened in a period. */
export function happeningsIn({ happenings }: Life, { from, to }: Bounds): readonly Happening[] {
  return happenings.filter(({ epoch }) => epoch >= from && epoch <= to);
}

/** A happening as it is reported. Throws BlockTimeUnknown. */
export function entryOf({ chain }: AccountReader, happening: Happening): HistoryEntry {
  const { event, kind, epoch, slot, contractId, ticketId, amount, cash, position, price, fee } = happening;
  return {
    block: Number(event.blockNumber),
    time: chain.blockTime(event.blockHash),
    transactionHash: event.transactionHash,
    kind,
    epoch,
    slot: slot ?? null,
    contract: contractId === undefined ? null : contractName(contractId),
    ticketId: ticketId ?? null,
    amount: amount.toString(),
    cash: cash.toString(),
    position: Number(position),
    price: price === undefined ? null : price.toString(),
    fee: fee.toString(),
  };
}
