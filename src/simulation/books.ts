import type { ChainState, ClearingEvent } from "../chain/chainState.ts";
import { readTokenBalance } from "../chain/clearingHouse.ts";
import { ACTIONS } from "../protocol/action.ts";
import {
  assertConserved,
  assertPoolIsNotes,
  closeOut,
  type ConservationFacts,
  expire,
  NO_RESIDUAL,
  type Residual,
  type TicketHolding,
  together,
} from "../protocol/conservation.ts";
import { equityInBand, feeAtDefault } from "../protocol/epoch.ts";
import type { Hex } from "../protocol/keys.ts";
import type { Account } from "../protocol/note.ts";
import type { Trader } from "./traders.ts";

type DatedTicket = TicketHolding & { readonly epoch: number };

/** What the waterfall did: what each layer paid in base units, and contracts that takers bought of it. */
export type Waterfall = {
  readonly defaultersPaid: bigint;
  readonly stakeUsed: bigint;
  readonly fundUsed: bigint;
  readonly tearUps: number;
  /** At the end; 10^18 is whole. */
  readonly payoutRatio: bigint;
  readonly auctioned: number;
};

/** What the waterfall did between two moments. */
export function since(before: Waterfall, after: Waterfall): Waterfall {
  return {
    defaultersPaid: after.defaultersPaid - before.defaultersPaid,
    stakeUsed: after.stakeUsed - before.stakeUsed,
    fundUsed: after.fundUsed - before.fundUsed,
    tearUps: after.tearUps - before.tearUps,
    payoutRatio: after.payoutRatio,
    auctioned: after.auctioned - before.auctioned,
  };
}

/** By the contract's numbers of its layers. */
const LAYERS = ["defaultersPaid", "stakeUsed", "fundUsed"] as const;

/** A payout ratio of one. */
export const WHOLE = 10n ** 18n;

/**
 * Single entries of everything that the clearing house keeps sums of, from its events alone, each read once: a check
 * after every step of a long run must not read the whole chain again.
 */
export class Books {
  readonly #state: ChainState;
  readonly #tickets = new Map<Hex, DatedTicket>();
  readonly #leftOver = new Map<Hex, bigint>();
  readonly #credits = new Map<bigint, bigint>();
  readonly #bonds = new Map<bigint, bigint>();
  readonly #creditors = new Set<Hex>();
  #eventsRead = 0;
  #residual: Residual = NO_RESIDUAL;
  #gap = 0n;
  #waterfall: Waterfall = {
    defaultersPaid: 0n,
    stakeUsed: 0n,
    fundUsed: 0n,
    tearUps: 0,
    payoutRatio: WHOLE,
    auctioned: 0,
  };
  #lowestRatio = WHOLE;
  #checks = 0;

  constructor(state: ChainState) {
    this.#state = state;
  }

  get waterfall(): Waterfall {
    return this.#waterfall;
  }

  /** The lowest payout ratio that there ever was. */
  get lowestRatio(): bigint {
    return this.#lowestRatio;
  }

  /** The bond of a seat, base units; nothing where it has none. */
  bondOf({ account }: Trader): bigint {
    return this.#bonds.get(account.keys.ownerKey) ?? 0n;
  }

  /** How often everything was checked. */
  get checks(): number {
    return this.#checks;
  }

  /** Positions of the pool that no note holds. */
  get residual(): Residual {
    return this.#residual;
  }

  /**
   * Reads what is new, and checks that tokens, buckets, tickets and positions fit, and that the pool is the sum of all
   * notes (spec CON-1, 2, 3, 7, 8, 9). Accounts must be in step with the chain. Throws NotConserved.
   */
  async check(traders: readonly Trader[]): Promise<void> {
    const { chain } = this.#state;
    const changed = this.#readEvents();
    const [tokens, buckets, [poolPositions, ticketSums, closeOutPositions]] = await Promise.all([
      readTokenBalance(chain),
      chain.house.read.buckets(),
      chain.house.read.openPositions(),
      ...[...changed].map(async (ownerKey) => {
        this.#bonds.set(ownerKey, (await chain.house.read.seatOf([ownerKey])).bond);
      }),
    ]);
    const owed = await Promise.all([...this.#creditors].map((to) => chain.house.read.owedTo([to])));
    const facts: ConservationFacts = {
      phase: this.#state.phase,
      markets: this.#state.markets(this.#state.epoch),
      tokens,
      unasked: 0n,
      buckets,
      poolPositions,
      closeOutPositions,
      ticketSums,
      tickets: [...this.#tickets.values()],
      parts: {
        bonds: sum(this.#bonds.values()),
        owed: sum(owed),
        credits: sum(this.#credits.values()),
        claims: sum(this.#leftOver.values()),
      },
      gap: this.#gap,
    };
    assertConserved(facts);
    assertPoolIsNotes(
      facts,
      traders.map((trader) => this.noteOf(trader)),
      this.#residual,
    );
    this.#checks += 1;
  }

  /** Tokens that the house holds for nobody, by the sum of what it owes; negative where some are missing. */
  async tokensLost(): Promise<bigint> {
    const { chain } = this.#state;
    const [tokens, buckets] = await Promise.all([readTokenBalance(chain), chain.house.read.buckets()]);
    return sum(Object.values(buckets)) - tokens;
  }

  /** After an opening: seats that missed the renewal have dropped out, and expired contracts have become cash. */
  bookDefaults(defaulted: readonly Trader[]): void {
    const markets = this.#state.markets(this.#state.epoch - 1);
    for (const { account } of defaulted) {
      this.#residual = together(this.#residual, closeOut(account.account, markets).residual);
    }
    this.#residual = expire(this.#residual, markets);
  }

  /** Of withdrawals at a payout ratio below one: what nobody is paid and the close-out account does not need. */
  bookKept(amount: bigint): void {
    this.#residual = { ...this.#residual, cash: this.#residual.cash + amount };
  }

  /** An account as the pool counts it: cash only, once its seat is in default. */
  noteOf({ account }: Trader): Account {
    const { status } = account;
    if (status.status !== "inDefault") return account.account;
    return closeOut(account.account, this.#state.markets(status.since)).account;
  }

  /** Takes in the new events; returns the seats whose bonds may have changed. */
  #readEvents(): ReadonlySet<bigint> {
    const changed = new Set<bigint>();
    const { events } = this.#state;
    for (; this.#eventsRead < events.length; this.#eventsRead++) {
      const event = events[this.#eventsRead];
      if (event !== undefined) this.#read(event, changed);
    }
    return changed;
  }

  #read(event: ClearingEvent, changed: Set<bigint>): void {
    switch (event.eventName) {
      case "SeatOpened":
      case "BondForfeited":
        changed.add(event.args.ownerKey);
        break;
      case "Transitioned": {
        const action = ACTIONS[event.args.action];
        if (action === "rejoin" || action === "exit" || action === "closeSeat") changed.add(event.args.seat);
        break;
      }
      case "CreditOpened":
        this.#credits.set(event.args.creditId, event.args.amount);
        break;
      case "CreditRefunded":
      case "CreditSpent":
        this.#credits.delete(event.args.creditId);
        break;
      case "TicketOpened":
        this.#tickets.set(event.args.ticketId, { ...event.args, position: BigInt(event.args.position) });
        break;
      case "TicketClosed":
        this.#tickets.delete(event.args.ticketId);
        break;
      case "TicketClaimed":
        this.#leftOver.delete(event.args.ticketId);
        break;
      case "Filled": {
        const { takerTicket, makerTicket, takerBuys, quantity, price, takerFee, makerFee } = event.args;
        const bought = takerBuys ? BigInt(quantity) : -BigInt(quantity);
        this.#trade(takerTicket, bought, price, takerFee);
        this.#trade(makerTicket, -bought, price, makerFee);
        break;
      }
      case "EpochOpened":
        this.#gap = 0n;
        this.#bookLeftOver(event.args.epoch);
        break;
      case "WaterfallStep": {
        const { layer, need, toAccount, toPool } = event.args;
        this.#gap = need - toAccount - toPool;
        this.#residual = { ...this.#residual, cash: this.#residual.cash + toPool };
        const name = LAYERS[layer] ?? "fundUsed";
        this.#waterfall = { ...this.#waterfall, [name]: this.#waterfall[name] + toAccount + toPool };
        break;
      }
      case "TornUp":
        this.#waterfall = { ...this.#waterfall, tearUps: this.#waterfall.tearUps + 1 };
        break;
      case "PayoutRatio":
        this.#waterfall = { ...this.#waterfall, payoutRatio: event.args.ratio };
        if (event.args.ratio < this.#lowestRatio) this.#lowestRatio = event.args.ratio;
        break;
      case "AbandonedTaken": {
        const { ticketId, quantity, price } = event.args;
        this.#trade(ticketId, BigInt(quantity), price, 0n);
        this.#waterfall = { ...this.#waterfall, auctioned: this.#waterfall.auctioned + Math.abs(quantity) };
        break;
      }
      case "Owed":
        this.#creditors.add(event.args.to);
        break;
      default:
    }
  }

  #trade(ticketId: Hex, traded: bigint, price: bigint, fee: bigint): void {
    const ticket = this.#tickets.get(ticketId);
    if (ticket === undefined) return;
    const { cash, position } = ticket;
    this.#tickets.set(ticketId, { ...ticket, cash: cash - traded * price - fee, position: position + traded });
  }

  #bookLeftOver(opened: number): void {
    for (const [ticketId, { epoch, slot, cash, position }] of this.#tickets) {
      if (epoch >= opened) continue;
      const market = this.#state.markets(epoch)[slot];
      if (market === undefined) continue;
      this.#leftOver.set(ticketId, equityInBand(cash, position, market.settlementPrice, feeAtDefault(market)));
      this.#tickets.delete(ticketId);
    }
  }
}

function sum(amounts: Iterable<bigint>): bigint {
  let total = 0n;
  for (const amount of amounts) total += amount;
  return total;
}
