import { type Chain, takeAbandoned, type Sender } from "../chain/clearingHouse.ts";
import type { ChainState } from "../chain/chainState.ts";
import { refusalOf } from "../chain/refusals.ts";
import { clearingHouseAbi } from "../protocol/abi.ts";
import { auctionPriceAt } from "../protocol/auctionBid.ts";
import type { EpochMarket } from "../protocol/epoch.ts";
import { HedgerowError } from "../protocol/errors.ts";
import { parseEventLogs } from "viem";
import type { TraderAccount } from "./account.ts";
import type { OwnTicket } from "./accountState.ts";
import { pauseFor, type ReachOptions, throwIfInterrupted } from "./desk/reach.ts";
import { contractName, namedMarkets } from "./markets.ts";
import type { AuctionView, TakenOverView } from "./views.ts";

/*
 * Contracts that drop-outs left behind are sold in part A of the settlement window to open tickets, at a price that gives
 * way with time (spec DEF-13 to DEF-15). What is for sale is the same for everybody and needs no wallet; a bid is signed
 * by a ticket's session key and sent from the funding address.
 */

/** Nothing is sold now. */
export class NoAuction extends HedgerowError {
  constructor(epoch: number) {
    super(
      "NoAuction",
      `in epoch ${epoch} nothing is sold now: contracts of drop-outs are sold in the first part of the settlement window`,
      { epoch },
    );
  }
}

/** There is nothing to be taken over in a market. */
export class NothingForSale extends HedgerowError {
  constructor(slot: number) {
    super("NothingForSale", `drop-outs left nothing in slot ${slot}, or it is sold: look at the list`, { slot });
  }
}

/** The price has not come to the limit yet, or never does. */
export class PriceNotReached extends HedgerowError {
  constructor(price: bigint, limit: bigint, reachedAt: bigint | undefined) {
    const when = reachedAt === undefined ? "which it does not reach" : `which it reaches at ${reachedAt}: wait for it`;
    super("PriceNotReached", `the price is ${price} now and the limit ${limit}, ${when}`, {
      price,
      limit,
      ...(reachedAt !== undefined && { reachedAt }),
    });
  }
}

/** A ticket cannot take over contracts of another market, or of another day. */
export class TicketOfAnotherMarket extends HedgerowError {
  constructor({ ticketId, slot, epoch }: OwnTicket, wanted: number, present: number) {
    super(
      "TicketOfAnotherMarket",
      `ticket ${ticketId} is of slot ${slot} in epoch ${epoch}, not of slot ${wanted} in epoch ${present}: name another`,
      { ticketId, slot, epoch, wanted, present },
    );
  }
}

/** How many prices ahead are told. */
const STEPS = 6n;

/** Milliseconds between two looks at a price that is waited for. */
const LOOK_MS = 1_000;

/** Where part A stands, unix seconds; undefined outside of it. */
type PartA = { readonly closedAt: bigint; readonly windowA: bigint; readonly now: bigint };

/** What drop-outs left in each listed market, and how it is sold. Throws ChainUnavailable. */
export async function readAuction({ chain, epoch, markets }: AuctionChain): Promise<readonly AuctionView[]> {
  try {
    const { house } = chain;
    const [partA, [, , closeOut]] = await Promise.all([readPartA(chain, epoch), house.read.openPositions()]);
    return await Promise.all(
      namedMarkets(markets).map(async ({ slot, name, market }): Promise<AuctionView> => {
        const position = Number(closeOut[slot] ?? 0n);
        const lot = { slot, contract: name, position };
        if (partA === undefined || position === 0 || market.expired) return { ...lot, auction: null };
        const [left, price] = await house.read.auctionPrice([slot]);
        // The part may have ended since.
        if (left === 0n) return { ...lot, auction: null };
        return { ...lot, position: Number(left), auction: courseOf(market, left, price, partA) };
      }),
    );
  } catch (error) {
    throw refusalOf(error);
  }
}

/** The chain, and the markets of the epoch that it stands in, settlement prices included. */
export type AuctionChain = {
  readonly chain: Chain;
  readonly epoch: number;
  readonly markets: readonly EpochMarket[];
};

function courseOf(market: EpochMarket, position: bigint, price: bigint, partA: PartA): AuctionView["auction"] {
  const { closedAt, windowA, now } = partA;
  const ends = closedAt + windowA;
  const at = (time: bigint): bigint => auctionPriceAt(market, position, time - closedAt, windowA);
  const left = ends > now ? ends - now : 0n;
  const times = Array.from({ length: Number(STEPS) }, (_, i) => now + (left * BigInt(i + 1)) / STEPS);
  return {
    price: price.toString(),
    settlementPrice: market.settlementPrice.toString(),
    lastPrice: at(ends).toString(),
    ends: Number(ends),
    steps: left === 0n ? [] : times.map((time) => ({ time: Number(time), price: at(time).toString() })),
  };
}

async function readPartA({ client, house }: Chain, epoch: number): Promise<PartA | undefined> {
  const [{ closedAt, closedBlock, renewalsBlock }, { windowA, windowBlocks }, block] = await Promise.all([
    house.read.epochOf([epoch]),
    house.read.clearingTerms(),
    client.getBlock({ includeTransactions: false }),
  ]);
  const [present] = await house.read.clock();
  const isOver =
    block.timestamp >= closedAt + BigInt(windowA) && block.number + 1n >= closedBlock + BigInt(windowBlocks);
  if (present !== epoch || closedAt === 0n || isOver || renewalsBlock !== 0n) return undefined;
  return { closedAt, windowA: BigInt(windowA), now: block.timestamp };
}

/** What is to be taken over, and by which ticket. `limitPrice` in base units per contract. */
export type Takeover = {
  readonly slot: number;
  readonly quantity: number;
  readonly limitPrice: bigint;
  readonly ticket: OwnTicket;
  /** Waits until the price comes to the limit, where it does. */
  readonly wait: boolean;
};

/**
 * Takes over up to `quantity` contracts at the price of the moment, or waits for it. Less is taken if less is left.
 * Throws NoAuction, NothingForSale, TicketOfAnotherMarket, PriceNotReached, Interrupted, ContractRefused and
 * ChainUnavailable.
 */
export async function takeOver(
  account: TraderAccount,
  sender: () => Sender,
  { slot, quantity, limitPrice, ticket, wait }: Takeover,
  options: ReachOptions & { readonly beforeSending?: () => Promise<void> | undefined } = {},
): Promise<TakenOverView> {
  const { chain: state } = account;
  const { chain, epoch } = state;
  if (ticket.slot !== slot || ticket.epoch !== epoch) throw new TicketOfAnotherMarket(ticket, slot, epoch);
  const position = await untilReached(state, slot, limitPrice, wait, options);
  const bid = { ticketId: ticket.ticketId, quantity: position > 0n ? quantity : -quantity, limitPrice };
  const signed = await account.signBid(bid);
  await options.beforeSending?.();
  options.onProgress?.({ stage: "sending", text: "taking the contracts over, from the funding address" });
  const sending = options.signal === undefined ? {} : { signal: options.signal };
  const receipt = await takeAbandoned(chain, sender(), signed, sending);
  const [event] = parseEventLogs({ abi: clearingHouseAbi, logs: receipt.logs, eventName: "AbandonedTaken" });
  await account.sync();
  const market = state.markets(epoch)[slot];
  return {
    ticketId: ticket.ticketId,
    slot,
    contract: market === undefined ? "" : contractName(market.contractId),
    quantity: event?.args.quantity ?? 0,
    price: (event?.args.price ?? 0n).toString(),
    transactionHash: receipt.transactionHash,
  };
}

/** Waits until the price is no worse than the limit; answers the position that is for sale then. */
async function untilReached(
  state: ChainState,
  slot: number,
  limit: bigint,
  wait: boolean,
  options: ReachOptions,
): Promise<bigint> {
  const { chain, epoch } = state;
  for (;;) {
    throwIfInterrupted(options.signal);
    const partA = await readPartA(chain, epoch);
    const market = state.markets(epoch)[slot];
    if (partA === undefined || market === undefined) throw new NoAuction(epoch);
    const [position, price] = await chain.house.read.auctionPrice([slot]);
    if (position === 0n) throw new NothingForSale(slot);
    const reaches = (at: bigint): boolean => (position > 0n ? at <= limit : at >= limit);
    if (reaches(price)) return position;
    const reachedAt = whenReached(market, position, partA, reaches);
    if (!wait || reachedAt === undefined) throw new PriceNotReached(price, limit, reachedAt);
    const seconds = reachedAt - partA.now;
    options.onProgress?.({ stage: "waiting", text: `the price comes to the limit in ${seconds} s` });
    await pauseFor(LOOK_MS, options.signal);
  }
}

/** The first second at which the price is good enough; undefined if it never is. The price only ever gives way. */
function whenReached(
  market: EpochMarket,
  position: bigint,
  { closedAt, windowA }: PartA,
  reaches: (price: bigint) => boolean,
): bigint | undefined {
  const isGood = (elapsed: bigint): boolean => reaches(auctionPriceAt(market, position, elapsed, windowA));
  if (!isGood(windowA)) return undefined;
  let [low, high] = [0n, windowA];
  while (low < high) {
    const middle = (low + high) / 2n;
    if (isGood(middle)) high = middle;
    else low = middle + 1n;
  }
  return closedAt + high;
}
