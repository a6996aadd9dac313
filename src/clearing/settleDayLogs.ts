import { type AbiEvent, parseEventLogs } from "viem";
import { type ClearingEvent } from "../chain/chainState.ts";
import { type Chain, refusalOf } from "../chain/clearingHouse.ts";
import { clearingHouseAbi } from "../protocol/abi.ts";
import { ACTIONS } from "../protocol/action.ts";
import { HedgerowError } from "../protocol/errors.ts";

// What the logs of a clearing house say of one day, read without those of any other (spec CLR-6).

/** A day that is not there yet, or is not over. */
export class DayUnknown extends HedgerowError {
  constructor(epoch: number, reason: string) {
    super("DayUnknown", `there is nothing to report of day ${epoch}: ${reason}`, { epoch, reason });
  }
}

/** The number of blocks one log query may span. */
const BLOCK_RANGE = 2_000n;

const EVENTS = clearingHouseAbi.filter((item) => item.type === "event");
type EventName = (typeof EVENTS)[number]["name"];

/** Events between two blocks, both included; all of them unless some are named. Throws ChainUnavailable. */
export async function readEvents(
  { client, address }: Chain,
  from: bigint,
  to: bigint,
  names?: readonly EventName[],
): Promise<readonly ClearingEvent[]> {
  const events: AbiEvent[] = names === undefined ? [] : EVENTS.filter(({ name }) => names.includes(name));
  const found: ClearingEvent[] = [];
  try {
    for (let first = from; first <= to; first += BLOCK_RANGE) {
      const last = first + BLOCK_RANGE - 1n < to ? first + BLOCK_RANGE - 1n : to;
      const range = { address, fromBlock: first, toBlock: last };
      const logs = await (events.length === 0 ? client.getLogs(range) : client.getLogs({ ...range, events }));
      found.push(...parseEventLogs({ abi: clearingHouseAbi, logs }));
    }
  } catch (error) {
    throw refusalOf(error);
  }
  return found;
}

/** First block that can hold an event of a day: where the day before was closed, or the house deployed. */
export async function firstBlockOf(chain: Chain, epoch: number, deployedAt: bigint): Promise<bigint> {
  if (epoch <= 1) return deployedAt;
  try {
    return (await chain.house.read.epochOf([epoch - 1])).closedBlock;
  } catch (error) {
    throw refusalOf(error);
  }
}

/**
 * Everything from the close of the day before a day to the opening of the day after it, that included; `isOver`: the
 * latter is among it. Throws DayUnknown, ChainUnavailable.
 */
export async function readDayEvents(
  chain: Chain,
  epoch: number,
  deployedAt: bigint,
): Promise<{ readonly events: readonly ClearingEvent[]; readonly isOver: boolean }> {
  const newest = await chain.client.getBlockNumber().catch((error: unknown) => {
    throw refusalOf(error);
  });
  const from = await firstBlockOf(chain, epoch, deployedAt);
  if (from === 0n && epoch > 1) throw new DayUnknown(epoch, "the day before it is not closed");
  const events: ClearingEvent[] = [];
  // A later day's logs are not asked for.
  for (let first = from; first <= newest; first += BLOCK_RANGE) {
    const last = first + BLOCK_RANGE - 1n < newest ? first + BLOCK_RANGE - 1n : newest;
    events.push(...(await readEvents(chain, first, last)));
    const opening = events.findIndex((event) => event.eventName === "EpochOpened" && event.args.epoch === epoch + 1);
    if (opening >= 0) return { events: withoutDayBefore(withOpening(events, opening), epoch), isOver: true };
  }
  return { events: withoutDayBefore(events, epoch), isOver: false };
}

/** The block that closed the day before holds its batches too. */
function withoutDayBefore(events: readonly ClearingEvent[], epoch: number): readonly ClearingEvent[] {
  const close = events.findIndex((event) => event.eventName === "EpochClosed" && event.args.epoch === epoch - 1);
  return events.slice(close + 1);
}

/** Up to the end of the transaction that opened the next day. */
function withOpening(events: readonly ClearingEvent[], opening: number): readonly ClearingEvent[] {
  const transaction = events[opening]?.transactionHash;
  const end = events.findIndex(({ transactionHash }, i) => i > opening && transactionHash !== transaction);
  return end < 0 ? events : events.slice(0, end);
}

/** How a seat did what a day asked of it. */
export type SeatDeed = "renewed" | "put to sleep" | "closed";

/** The seats that have to renew by the end of a day, and those that did, with the event that says so. */
export type SeatsOfDay = {
  readonly due: ReadonlySet<bigint>;
  readonly done: ReadonlyMap<bigint, { readonly deed: SeatDeed; readonly event: ClearingEvent }>;
};

const DEEDS: Readonly<Record<string, SeatDeed>> = { renew: "renewed", sleep: "put to sleep", closeSeat: "closed" };

/** Which seats a day's events speak of: opened for it, renewed into it, awoken or come back in it (spec SEA-6, CLR-4). */
export function seatsOfDay(events: readonly ClearingEvent[], epoch: number): SeatsOfDay {
  const due = new Set<bigint>();
  const done = new Map<bigint, { readonly deed: SeatDeed; readonly event: ClearingEvent }>();
  for (const event of events) {
    if (event.eventName === "SeatOpened" && event.args.epoch === epoch) due.add(event.args.ownerKey);
    if (event.eventName !== "Transitioned") continue;
    const { seat, epoch: made } = event.args;
    const action = ACTIONS[event.args.action] ?? "";
    if (action === "renew" && made === epoch - 1) due.add(seat);
    if ((action === "wake" || action === "rejoin") && made === epoch) due.add(seat);
    const deed = DEEDS[action];
    if (deed !== undefined && made === epoch && due.has(seat)) done.set(seat, { deed, event });
  }
  return { due, done };
}

/** Seats that a day asked for, and that did nothing. */
export function missedSeats({ due, done }: SeatsOfDay): readonly bigint[] {
  return [...due].filter((ownerKey) => !done.has(ownerKey));
}
