import { type EpochMarket, NO_FEED, type Phase } from "../protocol/epoch.ts";
import type { Hex } from "../protocol/keys.ts";
import { SLOTS } from "../protocol/note.ts";
import { type Domain, domainOf } from "../protocol/order.ts";
import type { PricedFill } from "../protocol/settlementPrice.ts";
import type { houseArguments } from "./deployment.ts";
import { must } from "./errors.ts";
import { NoteBook } from "./notes.ts";

/** Terms of the clearing house, fixed for its life. */
export type Terms = ReturnType<typeof houseArguments>["terms"];

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** One slot of one epoch. `auctionPrice` is that of its call auction, once there was one. */
export type Market = Mutable<EpochMarket> & {
  auctionPrice: bigint | undefined;
  /** The day's settled fills, in order. */
  readonly fills: PricedFill[];
};

export type Epoch = {
  openedAt: bigint;
  closingTime: bigint;
  closedAt: bigint;
  closedBlock: bigint;
  liveSeats: bigint;
  openTickets: bigint;
  /** Number of the first batch of the settlement window; 0 before. */
  firstBatchInWindow: number;
  /** Block in which part B of the window was first seen to have begun; 0 before. */
  renewalsBlock: bigint;
  movedUp: boolean;
  readonly markets: readonly Market[];
};

export type Seat = { status: "active" | "asleep" | "closed"; lastEpoch: number; bond: bigint };

export type Credit = {
  readonly key: Hex;
  readonly depositor: Hex;
  readonly amount: bigint;
  refundableAt: bigint;
  spent: boolean;
};

/** What is filled of an order, and the newest revision that filled. */
type OrderState = { filled: number; revision: number };

export type Ticket = {
  readonly ticketId: Hex;
  readonly sessionKey: Hex;
  readonly epoch: number;
  readonly slot: number;
  readonly reduceOnly: boolean;
  readonly openedInBatch: number;
  readonly orders: Map<bigint, OrderState>;
  cash: bigint;
  position: bigint;
};

/** Running sums of the open tickets of one slot. */
export type Sums = { cash: bigint; net: bigint; gross: bigint };

/** The public buckets but for the tickets' cash, which is in their sums. */
export type Ledger = {
  poolCash: bigint;
  claims: bigint;
  credits: bigint;
  bonds: bigint;
  fees: bigint;
  owed: bigint;
  /** Stands for all abandoned positions; the only bucket besides the pool that may be negative. */
  closeOutAccount: bigint;
  operatorStake: bigint;
  guarantyFund: bigint;
};

/** What an operator put up to stand in for defaults. */
export type Stake = { amount: bigint; withdrawableIn: number };

/** A payout ratio of one. */
export const WHOLE = 10n ** 18n;

/** Everything that the clearing house remembers, as the replay has it. */
export class House {
  readonly chainId: bigint;
  readonly address: Hex;
  readonly domain: Domain;
  readonly terms: Terms;
  operator: Hex = "0x";
  epoch = 1;
  phase: Phase = "trading";
  lastBatch = 0;
  lastSeq = 0n;
  lastN = 0;
  lastExecTime = 0n;
  creditCount = 0n;
  /** Share of a withdrawal that is paid, in WHOLE. */
  payoutRatio = WHOLE;
  readonly ledger: Ledger = {
    poolCash: 0n,
    claims: 0n,
    credits: 0n,
    bonds: 0n,
    fees: 0n,
    owed: 0n,
    closeOutAccount: 0n,
    operatorStake: 0n,
    guarantyFund: 0n,
  };
  readonly poolPositions: bigint[] = Array<bigint>(SLOTS).fill(0n);
  readonly closeOutPositions: bigint[] = Array<bigint>(SLOTS).fill(0n);
  /** What the position of a slot brought and cost the close-out account since it last had none. */
  readonly closeOutCash: bigint[] = Array<bigint>(SLOTS).fill(0n);
  readonly sums: Sums[] = Array.from({ length: SLOTS }, () => ({ cash: 0n, net: 0n, gross: 0n }));
  readonly notes = new NoteBook();
  readonly spent = new Set<bigint>();
  readonly seats = new Map<bigint, Seat>();
  readonly credits = new Map<bigint, Credit>();
  readonly tickets = new Map<Hex, Ticket>();
  readonly owedTo = new Map<Hex, bigint>();
  readonly stakes = new Map<Hex, Stake>();
  /** Auction bids that counted, by what was signed. */
  readonly usedBids = new Set<Hex>();
  readonly #epochs = new Map<number, Epoch>();

  constructor(chainId: bigint, address: Hex, terms: Terms) {
    this.chainId = chainId;
    this.address = address;
    this.domain = domainOf(chainId, address);
    this.terms = terms;
  }

  /** The record of an epoch, blank at first. */
  epochOf(number: number): Epoch {
    const known = this.#epochs.get(number);
    if (known !== undefined) return known;
    const blank: Epoch = {
      openedAt: 0n,
      closingTime: 0n,
      closedAt: 0n,
      closedBlock: 0n,
      liveSeats: 0n,
      openTickets: 0n,
      firstBatchInWindow: 0,
      renewalsBlock: 0n,
      movedUp: false,
      markets: Array.from({ length: SLOTS }, unlisted),
    };
    this.#epochs.set(number, blank);
    return blank;
  }

  /** The record of the present epoch. */
  get today(): Epoch {
    return this.epochOf(this.epoch);
  }

  /** A slot of an epoch, the present one by default. Throws BrokenRule for a slot that does not exist. */
  market(slot: number, epoch = this.epoch): Market {
    const market = this.epochOf(epoch).markets[slot];
    must(market !== undefined, "TKT-9", `slot ${slot} does not exist`);
    return market;
  }

  /** Running sums of a slot. Throws BrokenRule. */
  sumsOf(slot: number): Sums {
    const sums = this.sums[slot];
    must(sums !== undefined, "TKT-9", `slot ${slot} does not exist`);
    return sums;
  }

  /** Moves contracts into the pool. */
  addToPool(slot: number, contracts: bigint): void {
    this.poolPositions[slot] = (this.poolPositions[slot] ?? 0n) + contracts;
  }

  /** Whether the call comes in the second part of the settlement window (spec EPO-6). */
  inPartB(time: bigint, block: bigint): boolean {
    const { closedAt, closedBlock } = this.today;
    const { windowA, windowBlocks } = this.terms;
    return time >= closedAt + BigInt(windowA) && block >= closedBlock + BigInt(windowBlocks);
  }
}

function unlisted(): Market {
  return {
    contractId: "0x",
    listed: false,
    centre: 0n,
    tick: 0n,
    priceLimit: 0n,
    dailyLimit: 0n,
    expandedLimit: 0n,
    priceCollar: 0n,
    ...NO_FEED,
    maintenanceMargin: 0n,
    initialMargin: 0n,
    closeOutFee: 0n,
    fillFee: 0n,
    minimumVolume: 0,
    minimumMinutes: 0,
    settlementPrice: 0n,
    expired: false,
    tornUp: false,
    closingOnly: false,
    lastTradingTime: 0n,
    auctionPrice: undefined,
    fills: [],
  };
}
