import type { ClearingEvent, TakenOver, Transitioned } from "../../chain/chainState.ts";
import { type ActionName, ticketIdOf } from "../../protocol/action.ts";
import { type EpochMarket, equityInBand, feeAtDefault } from "../../protocol/epoch.ts";
import type { Hex } from "../../protocol/keys.ts";
import { nullifierOf, SLOTS, zeroNote } from "../../protocol/note.ts";
import type { HistoryEntry } from "../views.ts";
import { magnitude } from "./dayPrices.ts";
import type { AccountReader } from "./reader.ts";

/*
 * The life of an account, told from the events of the house in chain order. The note chain is followed by nullifiers;
 * what each note holds comes from the public changes, so no blinding is needed and no spending key.
 */

/** Something that happened. Amounts in base units, positions in contracts; the rest as in `historyEntry`. */
export type Happening = {
  readonly event: ClearingEvent;
  readonly kind: HistoryEntry["kind"];
  readonly epoch: number;
  readonly slot: number | undefined;
  readonly contractId: Hex | undefined;
  readonly ticketId: Hex | undefined;
  readonly amount: bigint;
  readonly cash: bigint;
  readonly position: bigint;
  readonly price: bigint | undefined;
  readonly fee: bigint;
};

/** A day as it ended, or as it stands. Lists have one entry per slot. */
export type Day = {
  readonly epoch: number;
  /** The closing of the day; undefined as long as it is trading. */
  readonly close: ClearingEvent | undefined;
  /** Positions at its beginning and, note and tickets together, at its close. */
  readonly held: readonly bigint[];
  readonly positions: readonly bigint[];
  /** Settlement prices; the centre prices as long as it is trading. */
  readonly prices: readonly bigint[];
  /** Worth of note and tickets at those prices, when what was left open had been closed. */
  readonly equity: bigint;
};

export type Life = { readonly happenings: readonly Happening[]; readonly days: readonly Day[] };

type Purse = { cash: bigint; readonly positions: bigint[] };
type Ticket = { readonly slot: number; readonly epoch: number; cash: bigint; position: bigint };

/** Tells the life of an account from its first day to the newest block that was read. */
export function lifeOf(reader: AccountReader): Life {
  const teller = new Teller(reader);
  reader.chain.events.forEach((event, place) => {
    teller.take(event, place);
  });
  return teller.end();
}

/** Remembers, event by event, what the account holds. */
class Teller {
  readonly #reader: AccountReader;
  readonly #happenings: Happening[] = [];
  readonly #days: Day[] = [];
  readonly #steps: ReadonlyMap<bigint, Transitioned>;
  readonly #ownCredits: ReadonlySet<bigint>;
  /** Contents of the live note; undefined before the seat is open and after it is closed. */
  #purse: Purse | undefined;
  /** Epoch whose tree holds the note; undefined while it sleeps, and after its default, when it no longer matters. */
  #tree: number | undefined;
  readonly #tickets = new Map<Hex, Ticket>();
  #epoch = 1;
  #held: readonly bigint[] = FLAT;
  #close: { readonly event: ClearingEvent; readonly positions: readonly bigint[] } | undefined;
  /** The newest events that say more about the transition that follows them. */
  #credit = 0n;
  #closedTicket: Hex = "0x";

  constructor(reader: AccountReader) {
    this.#reader = reader;
    this.#steps = noteChain(reader);
    this.#ownCredits = ownCredits(reader, this.#steps);
  }

  take(event: ClearingEvent, place: number): void {
    const { keys } = this.#reader;
    switch (event.eventName) {
      case "SeatOpened":
        if (event.args.ownerKey !== keys.ownerKey) return;
        this.#purse = { cash: 0n, positions: [...FLAT] };
        this.#tree = event.args.epoch;
        this.#tell(event, "seat-opened", { amount: event.args.bond });
        return;
      case "BondForfeited":
        if (event.args.ownerKey === keys.ownerKey) {
          this.#tell(event, "bond-forfeited", { amount: event.args.amount });
        }
        return;
      case "CreditOpened":
        if (this.#ownCredits.has(event.args.creditId)) this.#tell(event, "deposit", { amount: event.args.amount });
        return;
      case "CreditRefunded":
        if (this.#ownCredits.has(event.args.creditId)) this.#tell(event, "refund", { amount: event.args.amount });
        return;
      case "CreditSpent":
        this.#credit = event.args.creditId;
        return;
      case "TicketClosed":
      case "TicketClaimed":
        this.#closedTicket = event.args.ticketId;
        return;
      case "Transitioned": {
        const step = this.#steps.get(event.args.nullifier);
        if (step !== undefined) this.#act(event, place, step);
        return;
      }
      case "Filled":
        this.#trade(event);
        return;
      case "AbandonedTaken":
        this.#takeOver(event, event.args);
        return;
      case "EpochClosed":
        this.#close = { event, positions: this.#positions() };
        return;
      case "EpochOpened":
        if (event.args.epoch > 1) this.#turn(event);
        this.#epoch = event.args.epoch;
        return;
      default:
    }
  }

  /** The day that is not over yet is the last one. */
  end(): Life {
    this.#endDay();
    return { happenings: this.#happenings, days: this.#days };
  }

  // ---------------------------------------------------------------- the note

  #act(event: ClearingEvent, place: number, step: Transitioned): void {
    const purse = this.#purse;
    if (purse === undefined) return;
    const slot = Number(step.slot);
    purse.cash += step.cashDelta;
    purse.positions[slot] = (purse.positions[slot] ?? 0n) + step.positionDelta;
    this.#tree = treeAfter(step);
    const feeOf = (amount: bigint) => amount - step.cashDelta;
    switch (step.action) {
      case "fund": {
        const amount = this.#reader.chain.credits.get(this.#credit)?.amount ?? step.cashDelta;
        this.#tell(event, "fund", { amount, cash: step.cashDelta, fee: feeOf(amount) });
        return;
      }
      case "openTicket":
        this.#openTickets(event, step);
        return;
      case "closeTicket":
      case "claimTicket": {
        const ticket = this.#tickets.get(this.#closedTicket);
        if (ticket === undefined) return;
        const fee = feeOf(ticket.cash);
        const kind = step.action === "closeTicket" ? "ticket-closed" : "ticket-claimed";
        const about = { slot: ticket.slot, ticketId: this.#closedTicket, amount: ticket.cash, cash: -fee, fee };
        this.#tell(event, kind, about, ticket.epoch);
        this.#tickets.delete(this.#closedTicket);
        return;
      }
      case "withdraw": {
        const fee = this.#cameInBatch(event, place) ? this.#reader.relayFee : 0n;
        this.#tell(event, "withdraw", { amount: -step.cashDelta - fee, cash: step.cashDelta, fee });
        return;
      }
      case "renew":
        this.#tell(event, "renew", { cash: step.cashDelta, fee: -step.cashDelta });
        this.#settleExpired(event, purse);
        return;
      case "sleep":
        this.#tell(event, "sleep", { cash: step.cashDelta, fee: -step.cashDelta });
        return;
      case "exit":
        this.#tell(event, "exit", { amount: -step.cashDelta, cash: step.cashDelta });
        this.#purse = undefined;
        return;
      case "closeSeat":
        this.#tell(event, "seat-closed", {});
        this.#purse = undefined;
        return;
      case "wake":
      case "rejoin":
        this.#tell(event, step.action, {});
    }
  }

  /** Whether a payment was relayed: its batch is recorded before it is paid out; a direct one is only paid out. */
  #cameInBatch({ transactionHash }: ClearingEvent, place: number): boolean {
    const { events } = this.#reader.chain;
    for (let next = place + 1; events[next]?.transactionHash === transactionHash; next++) {
      const name = events[next]?.eventName;
      if (name === "BatchSubmitted") return true;
      if (name === "Paid" || name === "Owed") return false;
    }
    return false;
  }

  #settleExpired(event: ClearingEvent, purse: Purse): void {
    this.#markets().forEach((market, slot) => {
      const position = purse.positions[slot] ?? 0n;
      if (!market.expired || position === 0n) return;
      const cash = position * market.settlementPrice;
      purse.cash += cash;
      purse.positions[slot] = 0n;
      this.#tell(event, "settled", { slot, cash, position: -position, price: market.settlementPrice });
    });
  }

  // ---------------------------------------------------------------- tickets

  #openTickets(event: ClearingEvent, step: Transitioned): void {
    const opened: { readonly ticketId: Hex; readonly cash: bigint; readonly position: number }[] = [];
    for (let i = 0; ; i++) {
      const ticket = this.#reader.chain.tickets.get(ticketIdOf(step, i));
      if (ticket === undefined) break;
      opened.push(ticket);
    }
    const fees = opened.reduce((rest, { cash }) => rest - cash, -step.cashDelta);
    const slot = Number(step.slot);
    opened.forEach(({ ticketId, cash, position }, i) => {
      const each = fees / BigInt(opened.length);
      const fee = i === 0 ? fees - each * BigInt(opened.length - 1) : each;
      this.#tickets.set(ticketId, { slot, epoch: step.epoch, cash, position: BigInt(position) });
      this.#tell(event, "ticket-opened", { slot, ticketId, amount: cash, cash: -fee, fee });
    });
  }

  #trade(event: ClearingEvent): void {
    if (event.eventName !== "Filled") return;
    const { makerTicket, takerTicket, takerBuys, quantity, price, makerFee, takerFee } = event.args;
    const bought = takerBuys ? BigInt(quantity) : -BigInt(quantity);
    for (const [ticketId, traded, fee] of [
      [makerTicket, -bought, makerFee],
      [takerTicket, bought, takerFee],
    ] as const) {
      const ticket = this.#tickets.get(ticketId);
      if (ticket === undefined) continue;
      const cash = -traded * price - fee;
      ticket.cash += cash;
      ticket.position += traded;
      this.#tell(event, "fill", { slot: ticket.slot, ticketId, cash, position: traded, price, fee });
    }
  }

  /** Takes contracts over that drop-outs left: a trade with the clearing house, without a fee. */
  #takeOver(
    event: ClearingEvent,
    { ticketId, quantity, price }: Pick<TakenOver, "ticketId" | "quantity" | "price">,
  ): void {
    const ticket = this.#tickets.get(ticketId);
    if (ticket === undefined) return;
    const position = BigInt(quantity);
    const cash = -position * price;
    ticket.cash += cash;
    ticket.position += position;
    this.#tell(event, "taken-over", { slot: ticket.slot, ticketId, cash, position, price });
  }

  // ---------------------------------------------------------------- the day

  /** Closes at the default price what was left open, and what missed its renewal; then the day is over. */
  #turn(event: ClearingEvent): void {
    const markets = this.#markets();
    for (const [ticketId, ticket] of this.#tickets) {
      if (ticket.epoch !== this.#epoch) continue;
      const { slot, position } = ticket;
      const closed = closedByDefault(position, markets[slot]);
      ticket.cash += closed.cash;
      ticket.position = 0n;
      this.#tell(event, "ticket-left-over", { slot, ticketId, ...closed });
    }
    if (this.#purse !== undefined && this.#tree === this.#epoch) this.#default(event, this.#purse, markets);
    this.#endDay();
    this.#held = this.#positions();
    this.#close = undefined;
  }

  #default(event: ClearingEvent, purse: Purse, markets: readonly EpochMarket[]): void {
    this.#tree = undefined;
    if (purse.positions.every((position) => position === 0n)) {
      this.#tell(event, "defaulted", {});
      return;
    }
    purse.positions.forEach((position, slot) => {
      if (position === 0n) return;
      const closed = closedByDefault(position, markets[slot]);
      purse.cash += closed.cash;
      purse.positions[slot] = 0n;
      this.#tell(event, "defaulted", { slot, ...closed });
    });
  }

  #endDay(): void {
    const close = this.#close;
    const prices = this.#markets().map(({ centre, settlementPrice }) =>
      close === undefined ? centre : settlementPrice,
    );
    const positions = this.#positions();
    const cash = [...this.#tickets.values()].reduce((sum, ticket) => sum + ticket.cash, this.#purse?.cash ?? 0n);
    this.#days.push({
      epoch: this.#epoch,
      close: close?.event,
      held: this.#held,
      positions: close?.positions ?? positions,
      prices,
      equity: positions.reduce((sum, position, slot) => sum + position * (prices[slot] ?? 0n), cash),
    });
  }

  /** Of note and tickets. */
  #positions(): readonly bigint[] {
    const positions = [...(this.#purse?.positions ?? FLAT)];
    for (const { slot, position } of this.#tickets.values()) positions[slot] = (positions[slot] ?? 0n) + position;
    return positions;
  }

  #markets(): readonly EpochMarket[] {
    return this.#reader.chain.markets(this.#epoch);
  }

  #tell(
    event: ClearingEvent,
    kind: Happening["kind"],
    about: Partial<Omit<Happening, "event" | "kind" | "epoch" | "contractId">>,
    ofEpoch = this.#epoch,
  ): void {
    const market = about.slot === undefined ? undefined : this.#reader.chain.markets(ofEpoch)[about.slot];
    this.#happenings.push({
      event,
      kind,
      epoch: this.#epoch,
      slot: undefined,
      contractId: market?.contractId,
      ticketId: undefined,
      amount: 0n,
      cash: 0n,
      position: 0n,
      price: undefined,
      fee: 0n,
      ...about,
    });
  }
}

const FLAT: readonly bigint[] = Array<bigint>(SLOTS).fill(0n);

/** What closing a position at its default price changes (spec DEF-1, DEF-2). */
function closedByDefault(position: bigint, market: EpochMarket | undefined) {
  if (market === undefined) return { cash: 0n, position: 0n, price: undefined, fee: 0n };
  const { settlementPrice } = market;
  const cash = equityInBand(0n, position, settlementPrice, feeAtDefault(market));
  return { cash, position: -position, price: settlementPrice, fee: magnitude(position) * feeAtDefault(market) };
}

/** Epoch of the tree that a transition's new note goes into; undefined if it sleeps. */
function treeAfter({ action, epoch }: Transitioned): number | undefined {
  const elsewhere: Partial<Record<ActionName, number | undefined>> = { renew: epoch + 1, sleep: undefined };
  return action in elsewhere ? elsewhere[action] : epoch;
}

/** The transitions of an account by the nullifiers of the notes that they spent, and the nullifier that followed. */
function noteChain({ keys, chain }: AccountReader): ReadonlyMap<bigint, Transitioned> {
  const own = new Map<bigint, Transitioned>();
  let nullifier = nullifierOf(keys.viewingKey, zeroNote(keys.ownerKey));
  for (;;) {
    const step = chain.transitioned.get(nullifier);
    if (step === undefined) return own;
    own.set(nullifier, step);
    // A closed seat ends in the zero note that it began with.
    if (step.action === "exit" || step.action === "closeSeat") return own;
    nullifier = nullifierOf(keys.viewingKey, step.newNote);
  }
}

/** Credits that the account's keys own, and those that its note took in: a viewing key knows the latter only. */
function ownCredits({ chain, state }: AccountReader, own: ReadonlyMap<bigint, Transitioned>): ReadonlySet<bigint> {
  const creditKeys = new Set<string>(state.creditKeys);
  const credits = [...chain.credits.values()].filter(({ key }) => creditKeys.has(key.toLowerCase()));
  const ids = new Set(credits.map(({ creditId }) => creditId));
  let spent = 0n;
  for (const event of chain.events) {
    if (event.eventName === "CreditSpent") spent = event.args.creditId;
    else if (event.eventName === "Transitioned" && own.get(event.args.nullifier)?.action === "fund") ids.add(spent);
  }
  return ids;
}
