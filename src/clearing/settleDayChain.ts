import {
  type Chain,
  call,
  closeEpoch,
  operatorOf,
  readDayState,
  refusalOf,
  type Sender,
  type SendOptions,
} from "../chain/clearingHouse.ts";
import type { ClearingTerms } from "../chain/deploy.ts";
import type { Hex } from "../protocol/keys.ts";
import { type Action, type Keeper, QUIET_SECONDS, type Situation } from "./settleDay.ts";
import { firstBlockOf, missedSeats, readEvents, type SeatsOfDay, seatsOfDay } from "./settleDayLogs.ts";

// What a keeper sees of a chain, and sends to it.

/** How many days that have passed the grace are looked through for bonds that nobody has moved (spec CLR-5). */
const FORFEIT_DAYS = 7;

/** `active` among the states of a seat. */
const ACTIVE = 1;

export type KeeperOptions = {
  /** Who sends; without one it only looks. */
  readonly sender?: Sender | undefined;
  /** Block of the deployment. */
  readonly fromBlock?: bigint;
  /** Looks for bonds that can be forfeited, which takes the logs of some earlier days. */
  readonly isThorough?: boolean;
  readonly sending?: SendOptions;
};

/** A keeper that also tells how far the renewals of the present day are. */
export type ChainKeeper = Keeper & {
  /** Seats that have to renew by the end of the present day, and those that did. Throws ChainUnavailable. */
  renewals(situation: Situation): Promise<SeatsOfDay>;
};

/** Looks at a clearing house, and sends what is to be done. */
export function keeperOf(chain: Chain, options: KeeperOptions = {}): ChainKeeper {
  const { sender, fromBlock = 0n, isThorough = false, sending } = options;
  const { house, client } = chain;
  let terms: Promise<ClearingTerms> | undefined;
  let seen: { readonly hash: Hex; readonly at: number } | undefined;
  let candidates: { readonly epoch: number; readonly seats: Promise<readonly bigint[]> } | undefined;
  let beforeClose: { readonly key: string; readonly events: Promise<Events> } | undefined;

  /** The newest block, and the time that a chain whose clock goes on while no block comes has by now. */
  const newestBlock = async (): Promise<{ readonly number: bigint; readonly time: bigint }> => {
    const { number, hash, timestamp } = await client.getBlock({ includeTransactions: false });
    if (seen?.hash !== hash) seen = { hash, at: performance.now() };
    const waited = BigInt(Math.floor((performance.now() - seen.at) / 1_000));
    return { number, time: timestamp + waited };
  };

  /** When the latest batch came, if it came lately. Empty blocks and slow ones are many: the last few will do. */
  const lastBatchTime = async (block: bigint): Promise<bigint | undefined> => {
    const from = block > RECENT_BLOCKS ? block - RECENT_BLOCKS : 0n;
    const batch = (await readEvents(chain, from, block, ["BatchSubmitted"])).at(-1);
    if (batch === undefined) return undefined;
    return (await client.getBlock({ blockHash: batch.blockHash, includeTransactions: false })).timestamp;
  };

  const forfeitableIn = async (epoch: number): Promise<readonly bigint[]> => {
    const { flatGraceEpochs } = await (terms ??= house.read.clearingTerms());
    const newest = epoch - flatGraceEpochs - 1;
    const days = Array.from({ length: FORFEIT_DAYS }, (_, i) => newest - i).filter((day) => day >= 1);
    if (candidates?.epoch !== epoch) {
      const missed = days.map(async (day) => missedSeats(seatsOfDay(await seatEventsOf(day), day)));
      const seats = Promise.all(missed).then((lists) => [...new Set(lists.flat())]);
      candidates = { epoch, seats };
      seats.catch(() => (candidates = undefined));
    }
    const found = await candidates.seats;
    const seats = await Promise.all(found.map(async (key) => ({ key, seat: await house.read.seatOf([key]) })));
    return seats
      .filter(({ seat }) => seat.status === ACTIVE && seat.bond > 0n && epoch > seat.lastEpoch + flatGraceEpochs)
      .map(({ key }) => key);
  };

  const seatEventsOf = async (epoch: number): Promise<Events> => {
    const [from, { closedBlock }, next] = await Promise.all([
      firstBlockOf(chain, epoch, fromBlock),
      house.read.epochOf([epoch]),
      house.read.epochOf([epoch + 1]),
    ]);
    // The window of a day ends before the next day does.
    const to =
      next.closedBlock > 0n ? next.closedBlock : closedBlock > 0n ? await client.getBlockNumber() : closedBlock;
    return readEvents(chain, from, to, SEAT_EVENTS);
  };

  return {
    look: async (): Promise<Situation> => {
      try {
        const { number: block, time } = await newestBlock();
        const at = { blockNumber: block };
        const [{ epoch, phase }, known, operator] = await Promise.all([
          readDayState(chain, block),
          (terms ??= house.read.clearingTerms()),
          operatorOf(chain),
        ]);
        const { closingTime, closedAt, closedBlock, renewalsBlock } = await house.read.epochOf([epoch], at);
        const isOver = phase === "trading" && time >= closingTime;
        const isOperator = sender?.address.toLowerCase() === operator.toLowerCase();
        return {
          epoch,
          phase,
          time,
          block,
          closingTime,
          closedAt,
          closedBlock,
          renewalsBlock,
          terms: known,
          lastBatchTime: isOver ? await lastBatchTime(block) : undefined,
          isOperator,
          forfeitable: isThorough && phase === "window" ? await forfeitableIn(epoch) : [],
        };
      } catch (error) {
        terms = undefined;
        throw refusalOf(error);
      }
    },
    send: async (action: Action): Promise<Hex> => {
      if (sender === undefined) throw new Error("a keeper that only looks sends nothing");
      const { transactionHash } = await sendAction(chain, sender, action, sending);
      return transactionHash;
    },
    renewals: async ({ epoch, closedBlock, block }: Situation): Promise<SeatsOfDay> => {
      const key = `${epoch} ${closedBlock}`;
      if (beforeClose?.key !== key) {
        const from = await firstBlockOf(chain, epoch, fromBlock);
        beforeClose = { key, events: readEvents(chain, from, closedBlock, SEAT_EVENTS) };
      }
      const later = await readEvents(chain, closedBlock + 1n, block, SEAT_EVENTS);
      return seatsOfDay([...(await beforeClose.events), ...later], epoch);
    },
  };
}

type Events = Awaited<ReturnType<typeof readEvents>>;

const SEAT_EVENTS = ["SeatOpened", "Transitioned"] as const;

/** Blocks that are looked through for the operator's latest batch: no chain makes so many in QUIET_SECONDS. */
const RECENT_BLOCKS = 8n * QUIET_SECONDS;

function sendAction(chain: Chain, sender: Sender, action: Action, sending: SendOptions = {}) {
  switch (action.kind) {
    case "closeEpoch":
      return closeEpoch(chain, sender, [], sending);
    case "forfeitBond":
      return call(chain, sender, { functionName: "forfeitBond", args: [action.ownerKey] }, sending);
    case "beginRenewals":
    case "openEpoch":
      return call(chain, sender, { functionName: action.kind, args: [] }, sending);
  }
}
