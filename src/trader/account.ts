import type { ChainState } from "../chain/chainState.ts";
import type { ProvenTransition, SignedOrder } from "../chain/clearingHouse.ts";
import { contextNow, valuationNow } from "../chain/statement.ts";
import { type AuctionBid, signBid, type SignedBid } from "../protocol/auctionBid.ts";
import { type Action, type ActionName, changeOf, showsSeat, ticketIdOf } from "../protocol/action.ts";
import { bandValuation, defaultValuation, type EpochMarket, equityInBand, MarketNotListed } from "../protocol/epoch.ts";
import { HedgerowError } from "../protocol/errors.ts";
import { type AccountKeys, addressOf, creditPrivateKey, type Hex, sessionPrivateKey } from "../protocol/keys.ts";
import { type Account, blindingOf, EMPTY_ACCOUNT } from "../protocol/note.ts";
import {
  signRelease,
  type SignedCancel,
  type SignedCancelAfter,
  type SignedCancelAll,
  type SignedWatch,
} from "../protocol/order.ts";
import { cashFor, MOST_TICKETS, type TicketBalance, TicketBelowMargin, type Trade } from "../protocol/ticket.ts";
import { buildWitness, draftTransition, type TransitionDraft } from "../protocol/transition.ts";
import { equity, type Valuation } from "../protocol/valuation.ts";
import { type Prover, ProverRefused } from "../prover/prover.ts";
import {
  type AccountState,
  advance,
  claimOf,
  isLeftOver,
  type LiveNote,
  type OwnTicket,
  type SeatStatus,
  seatStatus,
} from "./accountState.ts";
import { type IndexJournal, memoryJournal, nextIndex } from "./journal.ts";
import {
  type InstructionTerms,
  type OrderChanges,
  type OrderTerms,
  type SignedInstructions,
  signCancelAfterOf,
  signCancelAllOf,
  signCancelOf,
  signInstructionsOf,
  signNewOrder,
  signReplacement as signReplacementOf,
  signWatchOf,
} from "./orders.ts";

/** How a transition goes to the chain: in the operator's batch, for the relay fee, or directly by anybody. */
export type SubmitOptions = { readonly relayed?: boolean };

/** A ticket to open: signed cash in base units, carried contracts, and whether it may only reduce. */
export type TicketSpec = TicketBalance & { readonly reduceOnly?: boolean };

/** Tickets and the transition that will open them; orders on them may be signed at once. */
export type OpenedTickets = { readonly transition: ProvenTransition; readonly tickets: readonly OwnTicket[] };

/** What a trader account is made of. The journal lasts as long as the process unless one is given. */
export type TraderAccountParts = {
  readonly keys: AccountKeys;
  readonly chain: ChainState;
  readonly prover: Pick<Prover, "prove">;
  readonly journal?: IndexJournal;
};

/** The seat is not in the state that an action starts from. */
export class WrongSeatStatus extends HedgerowError {
  constructor(action: ActionName, required: SeatStatus["status"], status: SeatStatus["status"]) {
    super("WrongSeatStatus", `${action} needs a seat that is ${required}, but this one is ${status}`, {
      action,
      required,
      status,
    });
  }
}

/** A ticket is not one of this account's open tickets. */
export class TicketNotOwned extends HedgerowError {
  constructor(ticketId: Hex) {
    super("TicketNotOwned", `ticket ${ticketId} is not an open ticket of this account: sync, or name another`, {
      ticketId,
    });
  }
}

/** A ticket is of the wrong age: an old one is claimed, one of the present epoch is closed. */
export class WrongTicketEpoch extends HedgerowError {
  constructor(action: "closeTicket" | "claimTicket", ticketEpoch: number, epoch: number) {
    const rule = action === "closeTicket" ? "of the present epoch" : "left over from an earlier epoch";
    super("WrongTicketEpoch", `${action} needs a ticket ${rule}, but it is of epoch ${ticketEpoch} in ${epoch}`, {
      action,
      ticketEpoch,
      epoch,
    });
  }
}

/** A credit is not one of this account's unspent credits. */
export class CreditNotOwned extends HedgerowError {
  constructor(creditId: bigint) {
    super("CreditNotOwned", `credit ${creditId} is not an unspent credit of this account: sync, or name another`, {
      creditId,
    });
  }
}

/** A seat can only be closed over an empty account. */
export class AccountNotEmpty extends HedgerowError {
  constructor(cash: bigint) {
    super("AccountNotEmpty", `the account still holds cash ${cash} or positions: withdraw and close them first`, {
      cash,
    });
  }
}

/** One transition opens one to eight tickets. */
export class WrongTicketCount extends HedgerowError {
  constructor(count: number) {
    super("WrongTicketCount", `${count} tickets in one transition, but 1 to ${MOST_TICKETS} are allowed`, { count });
  }
}

/** Reduce-only tickets carry a position of the note, all the same side, with no more cash than its initial margin. */
export class NothingCarried extends HedgerowError {
  constructor(cash: bigint, position: bigint) {
    super(
      "NothingCarried",
      `a reduce-only ticket has cash ${cash} and position ${position}, but it must carry the same side as the others ` +
        `and no more than its initial margin: use reducingTicket`,
      { cash, position },
    );
  }
}

/**
 * A trader's account. It follows the chain (sync) and proves changes; sending them is the caller's part. What it owns
 * is a pure function of its keys and the chain. A transition that never lands, or is skipped, uses an index up, and
 * whoever saw it knows the nullifier of the note that it did not spend (spec PRI-2). Several may be under way at once;
 * they spend the same note, so the chain takes one of them.
 */
export class TraderAccount {
  readonly keys: AccountKeys;
  readonly chain: ChainState;
  readonly #prover: Pick<Prover, "prove">;
  readonly #journal: IndexJournal;
  /** Flat fee of a relayed transition in base units: a term of the house. */
  readonly relayFee: bigint;
  readonly #announced = new Map<Hex, OwnTicket>();
  #state: AccountState;

  private constructor({ keys, chain, prover, journal = memoryJournal() }: TraderAccountParts, relayFee: bigint) {
    this.keys = keys;
    this.chain = chain;
    this.#prover = prover;
    this.#journal = journal;
    this.relayFee = relayFee;
    this.#state = advance(keys, chain);
  }

  /** An account as the chain shows it, whether its seat is open or not. Throws ChainUnavailable, NoteNotRecognised. */
  static async open(parts: TraderAccountParts): Promise<TraderAccount> {
    await parts.chain.sync();
    const { relayFee } = await parts.chain.chain.house.read.clearingTerms();
    return new TraderAccount(parts, relayFee);
  }

  /** Reads what is new on the chain. Throws ChainUnavailable, NoteNotRecognised. */
  async sync(): Promise<AccountState> {
    await this.chain.sync();
    return this.applyChain();
  }

  /** Takes in what the chain state already holds. Throws NoteNotRecognised. */
  applyChain(): AccountState {
    this.#state = advance(this.keys, this.chain, this.#state);
    for (const { ticketId } of this.#state.tickets) this.#announced.delete(ticketId);
    return this.#state;
  }

  /** Everything the account owned at the last sync. */
  get state(): AccountState {
    return this.#state;
  }

  get status(): SeatStatus {
    return seatStatus(this.chain, this.#state);
  }

  // ---------------------------------------------------------------- views

  /** Cash and positions of the live note, without tickets; zeros before the seat is open and after it is closed. */
  get account(): Account {
    return this.#state.live?.account ?? EMPTY_ACCOUNT;
  }

  /** The note and the tickets together; a left-over ticket counts with its claim. Credits are not in it. */
  get holdings(): Account {
    return this.#state.tickets.reduce<Account>(({ cash, positions }, ticket) => {
      if (isLeftOver(this.chain, ticket)) return { cash: cash + claimOf(this.chain, ticket), positions };
      return {
        cash: cash + ticket.cash,
        positions: positions.map((position, slot) => (slot === ticket.slot ? position + ticket.position : position)),
      };
    }, this.account);
  }

  /** Worth of note and tickets in base units: by default at the centre prices of the present epoch. */
  equity(valuation: Valuation = this.#centreValuation()): bigint {
    return equity(this.holdings, valuation);
  }

  /** Cash that the note can give away: its equity at the initial band, before the relay fee; negative in a margin call. */
  get freeCash(): bigint {
    return equity(this.account, bandValuation(this.chain.markets(this.chain.epoch), "initialMargin"));
  }

  /** Tickets of this account, also those whose opening is proven and not on chain yet. */
  get knownTickets(): readonly OwnTicket[] {
    return [...this.#state.tickets, ...this.#announced.values()];
  }

  /** Whether no other ticket came from the same proof: those that did are seen to belong together. */
  wasOpenedAlone({ noteIndex, keyIndex }: OwnTicket): boolean {
    const sibling = addressOf(sessionPrivateKey(this.keys.spendingKey, noteIndex, keyIndex === 0 ? 1 : 0));
    return ![...this.chain.tickets.values()].some(({ sessionKey }) => sessionKey.toLowerCase() === sibling);
  }

  /** Terms of a slot in the present epoch. Throws MarketNotListed. */
  market(slot: number): EpochMarket {
    const market = this.chain.markets(this.chain.epoch)[slot];
    if (market?.listed !== true) throw new MarketNotListed(slot, this.chain.epoch);
    return market;
  }

  /** The least ticket on which an order can be accepted, with `carried` contracts of the note. Throws MarketNotListed. */
  ticketFor(slot: number, trade: Trade, carried = 0n): TicketSpec {
    return { cash: cashFor(this.market(slot), trade, carried), position: carried };
  }

  /** The least ticket that carries contracts of the note to be reduced, at the maintenance band. Throws MarketNotListed. */
  reducingTicket(slot: number, carried: bigint): TicketSpec {
    const { centre, maintenanceMargin } = this.market(slot);
    return { cash: -equityInBand(0n, carried, centre, maintenanceMargin), position: carried, reduceOnly: true };
  }

  // ---------------------------------------------------------------- transitions

  /** Address of a credit key, journalled, and fresh unless many before it stayed empty: deposit to it, then fund. */
  newCreditKey(): Hex {
    const index = nextIndex(this.#journal, "credit", this.#state.creditIndex);
    this.#journal.record("credit", index);
    return addressOf(creditPrivateKey(this.keys.spendingKey, index));
  }

  /** Takes an unspent credit into the note. Throws CreditNotOwned, WrongSeatStatus, ProverRefused. */
  async fund(creditId: bigint, options?: SubmitOptions): Promise<ProvenTransition> {
    const credit = this.#state.credits.find((own) => own.creditId === creditId);
    if (credit === undefined) throw new CreditNotOwned(creditId);
    const { amount, index } = credit;
    return this.#prove({ name: "fund", creditId, amount, relayFee: this.#fee(options) }, "active", {
      id: `0x${creditId.toString(16).padStart(64, "0")}`,
      cash: amount,
      position: 0n,
      privateKey: creditPrivateKey(this.keys.spendingKey, index),
    });
  }

  /**
   * Opens one to eight tickets in a slot, for the relay fee once per ticket. If all are reduce-only they are checked at
   * the maintenance band and must carry what the note holds. Tickets of one transition are publicly linked to each
   * other, and each must be solvent by itself (spec TKT-3, TKT-12, TKT-14).
   * Throws WrongSeatStatus, MarketNotListed, WrongTicketCount, TicketBelowMargin, NothingCarried, ProverRefused.
   */
  async openTickets(slot: number, specs: readonly TicketSpec[], options?: SubmitOptions): Promise<OpenedTickets> {
    const live = this.#liveNote("openTicket", "active");
    this.#assertSolvent(slot, specs);
    const noteIndex = nextIndex(this.#journal, "tickets", live.index);
    const openings = specs.map(({ cash, position, reduceOnly = false }, i) => ({
      sessionKey: addressOf(sessionPrivateKey(this.keys.spendingKey, noteIndex, i)),
      cash,
      position: Number(position),
      reduceOnly,
    }));
    const transition = await this.#prove(
      { name: "openTicket", slot, relayFee: this.#fee(options) * BigInt(specs.length), tickets: openings },
      "active",
    );
    const tickets = openings.map((opening, keyIndex): OwnTicket => ({
      ...opening,
      position: BigInt(opening.position),
      ticketId: ticketIdOf({ ...transition, slot }, keyIndex),
      noteIndex,
      keyIndex,
      epoch: this.chain.epoch,
      slot,
    }));
    for (const ticket of tickets) this.#announced.set(ticket.ticketId, ticket);
    return { transition, tickets };
  }

  /** Takes all cash and contracts of a ticket back. Throws TicketNotOwned, WrongTicketEpoch, ProverRefused. */
  async closeTicket(ticketId: Hex, options?: SubmitOptions): Promise<ProvenTransition> {
    const ticket = this.#openTicket(ticketId);
    if (isLeftOver(this.chain, ticket)) throw new WrongTicketEpoch("closeTicket", ticket.epoch, this.chain.epoch);
    const { slot, cash, position } = ticket;
    return this.#prove(
      { name: "closeTicket", ticketId, slot, cash, position: Number(position), relayFee: this.#fee(options) },
      "active",
      { id: ticketId, cash, position, privateKey: this.#sessionKey(ticket) },
    );
  }

  /** Takes what is left of a ticket of an earlier epoch. Throws TicketNotOwned, WrongTicketEpoch, ProverRefused. */
  async claimTicket(ticketId: Hex, options?: SubmitOptions): Promise<ProvenTransition> {
    const ticket = this.#openTicket(ticketId);
    if (!isLeftOver(this.chain, ticket)) throw new WrongTicketEpoch("claimTicket", ticket.epoch, this.chain.epoch);
    const claim = claimOf(this.chain, ticket);
    return this.#prove({ name: "claimTicket", ticketId, claim, relayFee: this.#fee(options) }, "active", {
      id: ticketId,
      cash: claim,
      position: 0n,
      privateKey: this.#sessionKey(ticket),
    });
  }

  /** Pays `amount` base units to an address; use a fresh one. Throws WrongSeatStatus, ProverRefused. */
  async withdraw(to: Hex, amount: bigint, options?: SubmitOptions): Promise<ProvenTransition> {
    return this.#prove({ name: "withdraw", to, amount, relayFee: this.#fee(options) }, "active");
  }

  /** Moves the note into the next epoch (the margin call, in part B of the window). Throws as withdraw does. */
  async renew(options?: SubmitOptions): Promise<ProvenTransition> {
    return this.#prove({ name: "renew", relayFee: this.#fee(options) }, "active");
  }

  /** Moves a flat note to the sleepers. Throws as withdraw does. */
  async sleep(options?: SubmitOptions): Promise<ProvenTransition> {
    return this.#prove({ name: "sleep", relayFee: this.#fee(options) }, "active");
  }

  /** Brings a sleeping note back. To be sent directly. Throws WrongSeatStatus. */
  async wake(): Promise<ProvenTransition> {
    return this.#prove({ name: "wake" }, "asleep");
  }

  /**
   * Brings a note in default back, its positions closed at their default prices. To be sent directly, by somebody who
   * pays the new bond; a flat note within the grace epochs keeps the old one. Throws WrongSeatStatus, ProverRefused.
   */
  async rejoin({ flat = this.#isFlat() }: { readonly flat?: boolean } = {}): Promise<ProvenTransition> {
    return this.#prove({ name: "rejoin", defaultEpoch: this.#defaultEpoch("rejoin"), flat }, "inDefault");
  }

  /** Takes all that a note in default is worth and closes its seat. To be sent directly. Throws as rejoin does. */
  async exit(to: Hex, { flat = this.#isFlat() }: { readonly flat?: boolean } = {}): Promise<ProvenTransition> {
    const defaultEpoch = this.#defaultEpoch("exit");
    const worth = equity(this.account, defaultValuation(this.chain.markets(defaultEpoch)));
    return this.#prove({ name: "exit", defaultEpoch, flat, to, equity: worth }, "inDefault");
  }

  /** Closes the seat of an empty account; the bond goes to an address. Throws AccountNotEmpty, WrongSeatStatus. */
  async closeSeat(to: Hex, options?: SubmitOptions): Promise<ProvenTransition> {
    const asleep = this.status.status === "asleep";
    if (this.account.cash !== 0n || !this.#isFlat()) throw new AccountNotEmpty(this.account.cash);
    // A sleeping seat cannot race a batch, so it may leave directly at any time.
    const relayFee = this.#fee(asleep ? { relayed: false, ...options } : options);
    return this.#prove({ name: "closeSeat", asleep, to, relayFee }, asleep ? "asleep" : "active");
  }

  // ---------------------------------------------------------------- orders

  /** Signs a new order on an own ticket, also on one whose opening is not mined yet. Throws TicketNotOwned. */
  async signOrder(ticketId: Hex, terms: OrderTerms): Promise<SignedOrder> {
    return signNewOrder(this.chain.chain.domain, ticketId, terms, this.#sessionKeyOf(ticketId));
  }

  /** Signs what an own order tells the operator besides. Throws TicketNotOwned. */
  async signInstructions({ order }: SignedOrder, terms: InstructionTerms): Promise<SignedInstructions> {
    return signInstructionsOf(this.chain.chain.domain, order, terms, this.#sessionKeyOf(order.ticketId));
  }

  /** Signs the next revision of an order. Throws TicketNotOwned, TooManyRevisions. */
  async signReplacement({ order }: SignedOrder, changes: OrderChanges): Promise<SignedOrder> {
    return signReplacementOf(this.chain.chain.domain, order, changes, this.#sessionKeyOf(order.ticketId));
  }

  /** Signs a cancel of an order and all its revisions. Throws TicketNotOwned. */
  async signCancel({ order }: SignedOrder): Promise<SignedCancel> {
    return signCancelOf(this.chain.chain.domain, order, this.#sessionKeyOf(order.ticketId));
  }

  /**
   * Signs a cancel of everything on an own ticket. `nonce`, 64 bits: higher than that of any cancel of everything and
   * any heartbeat of the ticket before it. Throws TicketNotOwned.
   */
  async signCancelAll(ticketId: Hex, nonce: bigint): Promise<SignedCancelAll> {
    return signCancelAllOf(this.chain.chain.domain, ticketId, nonce, this.#sessionKeyOf(ticketId));
  }

  /**
   * Signs a heartbeat: everything on an own ticket is cancelled `seconds` (32 bits) after it unless another one comes;
   * 0 takes the guard away. `nonce` as for signCancelAll. Throws TicketNotOwned.
   */
  async signCancelAfter(ticketId: Hex, nonce: bigint, seconds: number): Promise<SignedCancelAfter> {
    return signCancelAfterOf(this.chain.chain.domain, ticketId, nonce, seconds, this.#sessionKeyOf(ticketId));
  }

  /** Signs a bid of an own ticket for contracts that drop-outs left. Throws TicketNotOwned, DoesNotFit. */
  async signBid(bid: AuctionBid): Promise<SignedBid> {
    return { bid, signature: await signBid(this.chain.chain.domain, bid, this.#sessionKeyOf(bid.ticketId)) };
  }

  /** Signs the permission to watch an own ticket's orders until then, unix seconds. Throws TicketNotOwned. */
  async signWatch(ticketId: Hex, validUntil: bigint): Promise<SignedWatch> {
    return signWatchOf(this.chain.chain.domain, ticketId, validUntil, this.#sessionKeyOf(ticketId));
  }

  // ---------------------------------------------------------------- steps

  /**
   * Drafts, journals, proves. Everything up to the journal happens at once, so that transitions asked for together get
   * indices of their own; a transition that cannot be proven uses none up.
   */
  async #prove(action: Action, required: SeatStatus["status"], release?: ReleaseBy): Promise<ProvenTransition> {
    const live = this.#liveNote(action.name, required);
    const becomesZeroNote = action.name === "exit" || action.name === "closeSeat";
    const index = nextIndex(this.#journal, action.name === "openTicket" ? "tickets" : "other", live.index);
    const draft = this.#draft(live, action, becomesZeroNote ? 0n : blindingOf(this.keys.viewingKey, index));
    if (!becomesZeroNote) this.#journal.record("note", index);

    const { root, nullifier, newNote, seat } = draft.statement;
    const context = contextNow(this.chain, { action, nullifier, newNote, seat });
    const { proof } = await this.#prover.prove(buildWitness(draft, context));
    const signature = release === undefined ? "0x" : await this.#sign(release, nullifier, newNote);
    return { action, root, nullifier, newNote, seat, signature, proof };
  }

  #draft(live: LiveNote, action: Action, newBlinding: bigint): TransitionDraft {
    try {
      return draftTransition({
        spendingKey: this.keys.spendingKey,
        account: live.account,
        blinding: live.blinding,
        path: this.chain.locate(live.note).path,
        newBlinding,
        showSeat: showsSeat(action.name),
        valuation: valuationNow(this.chain, action),
        change: changeOf(action),
      });
    } catch (error) {
      // The prover would say the same: there is no witness.
      if (error instanceof HedgerowError) throw new ProverRefused(error);
      throw error;
    }
  }

  #sign({ privateKey, ...released }: ReleaseBy, nullifier: bigint, newNote: bigint): Promise<Hex> {
    return signRelease(this.chain.chain.domain, { ...released, nullifier, newNote }, privateKey);
  }

  #liveNote(action: ActionName, required: SeatStatus["status"]): LiveNote {
    const { live } = this.#state;
    const { status } = this.status;
    if (live === undefined || status !== required) throw new WrongSeatStatus(action, required, status);
    return live;
  }

  #defaultEpoch(action: ActionName): number {
    return Number(this.#liveNote(action, "inDefault").tree);
  }

  #assertSolvent(slot: number, specs: readonly TicketSpec[]): void {
    if (specs.length === 0 || specs.length > MOST_TICKETS) throw new WrongTicketCount(specs.length);
    const market = this.market(slot);
    const band = specs.every(({ reduceOnly = false }) => reduceOnly) ? "maintenanceMargin" : "initialMargin";
    for (const { cash, position } of specs) {
      const worst = equityInBand(cash, position, market.centre, market[band]);
      if (worst < 0n) throw new TicketBelowMargin(worst, band);
      if (band === "maintenanceMargin") assertCarried(market, { cash, position }, (specs[0]?.position ?? 0n) > 0n);
    }
  }

  #isFlat(): boolean {
    return this.account.positions.every((position) => position === 0n);
  }

  #fee({ relayed = this.chain.phase === "trading" }: SubmitOptions = {}): bigint {
    return relayed ? this.relayFee : 0n;
  }

  #openTicket(ticketId: Hex): OwnTicket {
    const ticket = this.#state.tickets.find((own) => own.ticketId === ticketId);
    if (ticket === undefined) throw new TicketNotOwned(ticketId);
    return ticket;
  }

  #sessionKeyOf(ticketId: Hex): Hex {
    return this.#sessionKey(this.#announced.get(ticketId) ?? this.#openTicket(ticketId));
  }

  #sessionKey({ noteIndex, keyIndex }: OwnTicket): Hex {
    return sessionPrivateKey(this.keys.spendingKey, noteIndex, keyIndex);
  }

  #centreValuation(): Valuation {
    const centres = this.chain.markets(this.chain.epoch).map(({ centre }) => centre);
    return { priceIfLong: centres, priceIfShort: centres, settleMask: 0n };
  }
}

/** Opening at maintenance is for reducing only: all tickets carry one side, none beyond its own initial margin. */
function assertCarried(market: EpochMarket, { cash, position }: TicketBalance, long: boolean): void {
  const beyond = equityInBand(cash, position, market.centre, market.initialMargin);
  if (position === 0n || position > 0n !== long || beyond > 0n) throw new NothingCarried(cash, position);
}

/** Which key gives up what. */
type ReleaseBy = {
  readonly id: Hex;
  readonly cash: bigint;
  readonly position: bigint;
  readonly privateKey: Hex;
};
