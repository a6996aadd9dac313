import { randomBytes } from "node:crypto";
import { toHex } from "viem";
import type { ChainState } from "../chain/chainState.ts";
import {
  approve,
  deposit,
  type NodeOptions,
  openSeat,
  type ProvenTransition,
  type Sender,
  senderOf,
} from "../chain/clearingHouse.ts";
import { serial } from "../chain/serial.ts";
import { HedgerowError } from "../protocol/errors.ts";
import { accountKeys, addressOf, type Hex } from "../protocol/keys.ts";
import type { Prover } from "../prover/prover.ts";
import { TraderAccount, WrongSeatStatus } from "./account.ts";
import { accountNumberOf } from "./accountNumber.ts";
import type { OwnTicket } from "./accountState.ts";
import {
  checkedParams,
  type CommandName,
  type CommandParams,
  type CommandResult,
  type RunOptions,
  type TraderService,
} from "./commands.ts";
import type { Connections } from "./connections.ts";
import { roundedUp } from "./desk/funding.ts";
import { Ordering } from "./desk/ordering.ts";
import { NoteTurns, type SpendOptions } from "./desk/noteTurns.ts";
import { Interrupted, PATIENCE, type Patience, pauseFor, reach, type ReachOptions } from "./desk/reach.ts";
import { fillFromFaucet } from "./faucet.ts";
import type { Network } from "./home.ts";
import { balanceOf, ticketsOf } from "./reports/balance.ts";
import type { AccountReader } from "./reports/reader.ts";
import type { Wallet } from "./store.ts";
import type { CaughtUpView, PlacedView, TransitionView } from "./views.ts";

/** Something of the account stands outside its note, where only the seat can bring it back from. */
export class SeatStillNeeded extends HedgerowError {
  constructor(action: "sleep" | "closeSeat", tickets: number, credits: number) {
    super(
      "SeatStillNeeded",
      `${action} would leave ${tickets} tickets and ${credits} deposits of the account behind, which only a seat that ` +
        `is awake can take back: close the tickets and take the deposits in first`,
      { action, tickets, credits },
    );
  }
}

/** What a desk is made of. */
export type DeskParts = {
  readonly wallet: Wallet;
  readonly network: Network;
  readonly chain: ChainState;
  readonly prover: Pick<Prover, "prove">;
  readonly connections: Connections;
  /** Which of the wallet's accounts at this house (spec ACC-16): the first whose seat is not closed, if left out. */
  readonly place?: bigint;
  /** Sends what the funding address pays for; made from the wallet and the network if left out. */
  readonly sender?: Sender;
  /** How the funding address's node is reached: a proxy's way, never the one over which the chain is read. */
  readonly node?: NodeOptions;
  /** How long others are waited for. */
  readonly patience?: Partial<Patience>;
  /** Runs before a transition, an order or a deposit is sent: a random delay (spec PRI-16). */
  readonly beforeSending?: (options: ReachOptions) => Promise<void>;
};

type Runner<N extends CommandName> = (
  params: CommandParams<N>,
  options: RunOptions & Pick<ReachOptions, "patience">,
) => Promise<CommandResult<N>>;

/** How often a ticket is looked at again while its last fills settle, milliseconds. */
const LOOK_MS = 300;

/**
 * A trader's open wallet at one clearing house and its exchange: everything in COMMANDS. Whatever it sends is written
 * down first; whatever it is asked at the same time runs side by side, except that the note is spent in turns.
 */
export class TraderDesk implements TraderService {
  readonly account: TraderAccount;
  readonly chain: ChainState;
  readonly connections: Connections;
  readonly network: Network;
  readonly accountNumber: bigint;
  readonly #wallet: Wallet;
  readonly #sender: () => Sender;
  readonly #turns: NoteTurns;
  readonly #ordering: Ordering;
  readonly #node: NodeOptions | undefined;
  readonly #beforeSending: DeskParts["beforeSending"];
  /** Credits that were, or are being, taken into the account since the wallet was opened. */
  readonly #funding = new Map<bigint, Promise<TransitionView>>();
  readonly #patience: Patience;
  /** What the funding address allows the house to take is for one payment at a time. */
  readonly #paying = serial();

  private constructor(parts: DeskParts, account: TraderAccount, accountNumber: bigint) {
    const { wallet, network, chain, connections } = parts;
    this.account = account;
    this.chain = chain;
    this.connections = connections;
    this.network = network;
    this.accountNumber = accountNumber;
    this.#wallet = wallet;
    this.#node = parts.node;
    this.#beforeSending = parts.beforeSending;
    this.#patience = { ...PATIENCE, ...parts.patience };
    let sender = parts.sender;
    this.#sender = () =>
      (sender ??= senderOf(network.chain, chain.chain.chainId, wallet.fundingKey(), undefined, parts.node));
    this.#turns = new NoteTurns({ account, connections, outbox: wallet.outbox(chain.chain, accountNumber) });
    this.#ordering = new Ordering({
      account,
      connections,
      turns: this.#turns,
      orders: wallet.orders(chain.chain, accountNumber),
      receipts: wallet.receipts(chain.chain),
      isHidden: network.proxy !== undefined,
    });
  }

  /** Opens the account as the chain shows it. Throws ChainUnavailable, NoteNotRecognised, WalletDamaged. */
  static async open(parts: DeskParts): Promise<TraderDesk> {
    const { wallet, chain, prover } = parts;
    await chain.sync();
    for (let place = parts.place ?? 0n; ; place++) {
      const number = accountNumberOf(chain.chain.domain, place);
      const account = await TraderAccount.open({
        keys: accountKeys(wallet.phrase, number),
        chain,
        prover,
        journal: wallet.journal(chain.chain, number),
      });
      if (parts.place !== undefined || account.status.status !== "closed")
        return new TraderDesk(parts, account, number);
    }
  }

  /** Who pays for deposits and direct transactions, with a way of its own to the node where there is a proxy. */
  get payer(): Sender {
    return this.#sender();
  }

  /** What reports are made from. */
  get reader(): AccountReader {
    const { keys, state, relayFee } = this.account;
    return { keys, chain: this.chain, state, accountNumber: this.accountNumber, relayFee };
  }

  /** Runs a command. Throws BadParams, and what the command throws. */
  async run<N extends CommandName>(
    name: N,
    params: CommandParams<N>,
    options: RunOptions = {},
  ): Promise<CommandResult<N>> {
    const runner: Runner<N> = this.#runners[name];
    checkedParams(name, params);
    return runner(params, { ...options, patience: this.#patience });
  }

  /** Lets go of the connections and the wallet. What is under way is written down. */
  close(): Promise<void> {
    this.connections.close();
    this.#wallet.close();
    return Promise.resolve();
  }

  readonly #runners: { readonly [N in CommandName]: Runner<N> } = {
    catchUp: (_, options) => this.#catchUp(options),
    balance: async () => {
      await this.account.sync();
      return balanceOf(this.reader, this.network);
    },
    tickets: async () => {
      await this.account.sync();
      return [...ticketsOf(this.reader)];
    },
    history: async (range) => {
      const { historyOf } = await import("./reports/history.ts");
      await this.#readAll();
      return [...historyOf(this.reader, range)];
    },
    statement: async (range) => {
      const { statementOf } = await import("./reports/statement.ts");
      await this.#readAll();
      return statementOf(this.reader, this.network, range);
    },
    privacy: async () => {
      const { privacyOf } = await import("./reports/privacy.ts");
      await this.#readAll();
      return privacyOf(this.reader, this.network, {
        isNoteExposed: this.#turns.isNoteExposed,
        orderTickets: this.#ordering.tickets,
        viewingKeysExported: this.#wallet.viewingKeysExported(this.chain.chain, this.accountNumber),
      });
    },
    deposit: (params, options) => this.#paying(() => this.#deposit(params, options)),
    fund: ({ credits, wait, direct }, options) => this.#fund(credits, { ...options, wait }, direct),
    withdraw: async ({ amount, to, wait, direct }, options) =>
      this.#relay(direct, { ...options, wait }, "withdrawing", (relayed) =>
        this.account.withdraw(to, BigInt(amount), { relayed }),
      ),
    place: async ({ orders, tickets }, options) => {
      const placed = await this.#ordering.place(orders, tickets, this.#spendOptions(options));
      return placed.map((view, i) => this.#inPrices(view, orders[i]?.slot ?? 0));
    },
    orders: async ({ all = false, ticket }, options) => {
      await this.account.sync();
      return [...(await this.#ordering.list(all, ticket, options))];
    },
    cancel: async ({ order }, options) => {
      await this.account.sync();
      return this.#ordering.cancel(order, options);
    },
    cancelAll: async (_, options) => {
      await this.account.sync();
      return [...(await this.#ordering.cancelAll(options))];
    },
    replace: async ({ order, change }, options) => {
      await this.account.sync();
      return this.#ordering.replace(order, change, options);
    },
    openTickets: async ({ slot, count, cash, wait }, options) => {
      const spec = { cash: BigInt(cash), position: 0n };
      const { view, tickets } = await this.#turns.spend(
        () => {
          options.onProgress?.({ stage: "proving", text: `proving that the account can pay for ${count} tickets` });
          return this.account.openTickets(
            slot,
            Array.from({ length: count }, () => spec),
            { relayed: true },
          );
        },
        { ...this.#spendOptions(options), wait },
      );
      return { transition: view, tickets: tickets.map(({ ticketId }) => ticketId) };
    },
    closeTickets: ({ tickets, wait, direct }, options) => this.#closeTickets(tickets, { ...options, wait }, direct),
    takeOver: async ({ slot, quantity, limitPrice, ticket, wait = false }, options) => {
      await this.account.sync();
      const { takeOver } = await import("./auction.ts");
      const own = this.#ordering.ticketNamed(ticket);
      const wanted = { slot, quantity, limitPrice: BigInt(limitPrice), ticket: own, wait };
      return takeOver(this.account, this.#sender, wanted, {
        ...options,
        ...(this.#beforeSending !== undefined && { beforeSending: () => this.#beforeSending?.(options) }),
      });
    },
    renew: ({ wait, direct }, options) =>
      this.#relay(direct, { ...options, wait }, this.#renewalWords(), (relayed) => this.account.renew({ relayed })),
    freshen: (_, options) => this.#freshen(options),
    seat: (params, options) => this.#seat(params, options),
  };

  /** What a renewal tells: also that it shows the seat beside a note that somebody has seen (spec PRI-2). */
  #renewalWords(): string {
    const words = "proving that the account can pay tomorrow";
    return this.#turns.isNoteExposed
      ? `${words}; somebody saw this note in a transition that never landed, and now sees its seat`
      : words;
  }

  // ---------------------------------------------------------------- money

  async #deposit(
    { amount, faucet = false, hold = false, wait }: CommandParams<"deposit">,
    options: RunOptions,
  ): Promise<CommandResult<"deposit">> {
    await this.account.sync();
    const { status } = this.account.status;
    if (status !== "none" && status !== "active") throw new WrongSeatStatus("fund", "active", status);
    const { chain } = this.chain;
    const sender = this.#sender();
    const { seatBond } = await chain.house.read.clearingTerms();
    const bond = status === "none" ? seatBond : 0n;
    const needed = BigInt(amount) + bond;
    await this.#beforeSending?.(options);
    if (faucet) {
      options.onProgress?.({ stage: "sending", text: "drawing from the faucet" });
      await fillFromFaucet(this.network, sender.address, needed, this.#node);
    }
    const sending = options.signal === undefined ? {} : { signal: options.signal };
    options.onProgress?.({ stage: "sending", text: "allowing the clearing house to take the deposit" });
    await approve(chain, sender, needed, sending);
    if (status === "none") {
      options.onProgress?.({ stage: "sending", text: "opening the seat" });
      await openSeat(chain, sender, this.account.keys.ownerKey, sending);
    }
    options.onProgress?.({ stage: "sending", text: "depositing" });
    const creditId = await deposit(chain, sender, BigInt(amount), this.account.newCreditKey(), sending);
    if (hold) return { creditId: creditId.toString(), funding: null };
    await this.account.sync();
    const [funding = null] = await this.#fund([creditId.toString()], { ...options, wait }, false);
    return { creditId: creditId.toString(), funding };
  }

  /** Takes credits into the account, one proof each. */
  async #fund(
    credits: readonly string[] | undefined,
    options: SpendOptions,
    direct: boolean | undefined,
  ): Promise<TransitionView[]> {
    await this.account.sync();
    const ids = credits?.map(BigInt) ?? this.account.state.credits.map(({ creditId }) => creditId);
    const views: TransitionView[] = [];
    for (const id of ids) {
      views.push(await this.#fundOnce(id, options, direct));
    }
    return views;
  }

  /** Whoever else asks for the same credit meanwhile, as a daemon does that sees a deposit land, gets the same answer. */
  #fundOnce(id: bigint, options: SpendOptions, direct: boolean | undefined): Promise<TransitionView> {
    const known = this.#funding.get(id);
    if (known !== undefined) return known;
    const funding = this.#relay(direct, options, "taking the deposit into the account", (relayed) =>
      this.account.fund(id, { relayed }),
    );
    this.#funding.set(id, funding);
    funding.catch(() => this.#funding.delete(id));
    return funding;
  }

  /** The market counts in ticks; who reads a refusal wants prices. */
  #inPrices(view: PlacedView, slot: number): PlacedView {
    const { refusal } = view;
    if (refusal === null || !Object.hasOwn(refusal.details, "priceTicks")) return view;
    const tick = this.account.market(slot).tick.toString();
    return { ...view, refusal: { ...refusal, details: { ...refusal.details, tick } } };
  }

  // ---------------------------------------------------------------- tickets

  async #closeTickets(
    names: readonly string[] | undefined,
    options: SpendOptions,
    direct: boolean | undefined,
  ): Promise<TransitionView[]> {
    // What is under way goes the same way: an exchange that sits on it cannot keep tickets from being closed directly.
    const isDirect = direct === true && this.chain.phase === "window";
    await this.#turns.settle(isDirect ? { ...options, directBy: this.#sender() } : options);
    await this.account.sync();
    const { tickets } = this.account.state;
    const isIdle = ({ ticketId }: OwnTicket): boolean => !this.#ordering.hasLiveOrders(ticketId);
    if (names === undefined && this.chain.phase === "trading") await this.#ordering.refresh(options);
    // In the settlement window nothing rests any more.
    const chosen =
      names?.map((name) => this.#ordering.ticketNamed(name)) ??
      (this.chain.phase === "trading" ? tickets.filter(isIdle) : tickets);
    const views: TransitionView[] = [];
    // One that cannot come back keeps none of the others waiting.
    let first: HedgerowError | undefined;
    for (const [done, ticket] of chosen.entries()) {
      const text = `bringing back ticket ${ticket.ticketId.slice(2, 10)}`;
      options.onProgress?.({ stage: "waiting", text, done, total: chosen.length });
      try {
        views.push(await this.#closeTicket(ticket, options, direct));
      } catch (error) {
        if (!(error instanceof HedgerowError) || error instanceof Interrupted) throw error;
        first ??= error;
      }
    }
    if (first !== undefined) throw first;
    return views;
  }

  async #closeTicket(
    { ticketId, epoch }: OwnTicket,
    options: SpendOptions,
    direct: boolean | undefined,
  ): Promise<TransitionView> {
    const leftOver = epoch < this.chain.epoch;
    // In the settlement window nothing settles any more: what the chain shows is all.
    if (!leftOver && direct !== true && this.chain.phase === "trading") await this.#untilSettled(ticketId, options);
    return this.#relay(direct, options, "bringing the ticket back", (relayed) =>
      leftOver ? this.account.claimTicket(ticketId, { relayed }) : this.account.closeTicket(ticketId, { relayed }),
    );
  }

  /** Waits until the chain shows what the exchange has executed on a ticket: its closing must name all of it. */
  async #untilSettled(ticketId: Hex, options: ReachOptions): Promise<void> {
    const client = this.connections.ofTicket(ticketId);
    const start = performance.now();
    for (;;) {
      const { cash, position } = await reach(() => client.fetchTicket(ticketId), options);
      await this.account.sync();
      const shown = this.account.state.tickets.find((ticket) => ticket.ticketId === ticketId);
      if (shown?.cash === cash && shown.position === position) return;
      // Whatever the exchange says, the chain decides: the closing is tried all the same.
      if (performance.now() - start > this.#patience.settling) return;
      options.onProgress?.({ stage: "waiting", text: "waiting until the last fills are settled on chain" });
      await pauseFor(LOOK_MS, options.signal);
    }
  }

  // ---------------------------------------------------------------- the seat

  async #seat(params: CommandParams<"seat">, options: RunOptions): Promise<TransitionView> {
    await this.account.sync();
    const { account } = this;
    switch (params.action) {
      case "sleep":
        this.#assertNothingLeft("sleep");
        return this.#relay(false, options, "proving that the account is flat", (relayed) => account.sleep({ relayed }));
      case "wake":
        return this.#relay(true, options, "waking the seat", () => account.wake());
      case "rejoin":
        return this.#paying(async () => {
          await this.#payBond(options);
          return this.#relay(true, options, "rejoining", () => account.rejoin());
        });
      case "exit":
        return this.#relay(true, options, "leaving", () => account.exit(params.to));
      case "closeSeat": {
        this.#assertNothingLeft("closeSeat");
        const asleep = account.status.status === "asleep";
        return this.#relay(asleep, options, "closing the seat", (relayed) => account.closeSeat(params.to, { relayed }));
      }
    }
  }

  /**
   * A closed seat's tickets and deposits can be taken back by no account of this wallet. A sleeping one cannot close the
   * tickets of the day in the settlement window; what is left over or deposited waits for it to wake.
   */
  #assertNothingLeft(action: "sleep" | "closeSeat"): void {
    const { tickets, credits } = this.account.state;
    const open = action === "closeSeat" ? tickets : tickets.filter(({ epoch }) => epoch === this.chain.epoch);
    const waiting = action === "closeSeat" ? credits.length : 0;
    if (open.length + waiting > 0) throw new SeatStillNeeded(action, open.length, waiting);
  }

  /** A rejoining seat pays its bond anew unless it was flat in time: what is not needed is not taken. */
  async #payBond(options: RunOptions): Promise<void> {
    const { chain } = this.chain;
    const { seatBond, lateFee } = await chain.house.read.clearingTerms();
    const most = seatBond > lateFee ? seatBond : lateFee;
    await this.#beforeSending?.(options);
    await approve(chain, this.#sender(), most, options.signal === undefined ? {} : { signal: options.signal });
  }

  /** See `freshen` in COMMANDS: a ticket like others in Trading, the smallest withdrawal in the window. */
  async #freshen(options: RunOptions): Promise<TransitionView | null> {
    await this.#turns.settle(options);
    await this.account.sync();
    if (!this.#turns.isNoteExposed) return null;
    if (this.chain.phase === "trading") {
      const markets = this.chain.markets(this.chain.epoch);
      const slot = Math.max(
        markets.findIndex(({ listed, closingOnly }) => listed && !closingOnly),
        0,
      );
      const { view } = await this.#turns.spend(() => {
        // It looks like any ticket for a contract, where there is so much.
        const usual = roundedUp(markets[slot]?.initialMargin ?? 0n, this.account.freeCash - this.account.relayFee);
        const cash = usual <= this.account.freeCash - this.account.relayFee ? usual : 0n;
        return this.account.openTickets(slot, [{ cash, position: 0n }], { relayed: true });
      }, this.#spendOptions(options));
      return view;
    }
    // To an address that nobody knows: one of the smallest units is the price.
    const nowhere = addressOf(toHex(randomBytes(32)));
    return this.#relay(false, options, "spending the note without the seat", (relayed) =>
      this.account.withdraw(nowhere, 1n, { relayed }),
    );
  }

  // ---------------------------------------------------------------- sending

  async #catchUp(options: RunOptions): Promise<CaughtUpView> {
    const { resent, abandoned } = await this.#turns.settle(options);
    await this.account.sync();
    const orders = await this.#ordering.resolve(options);
    return {
      resent,
      abandoned: abandoned.length + orders.abandoned.length,
      ordersFound: orders.found,
      notes: [...abandoned, ...orders.abandoned],
    };
  }

  /** Everything that reports are made of, the times of blocks too. */
  async #readAll(): Promise<void> {
    await this.account.sync();
    await this.chain.readBlockTimes();
  }

  /** Spends the note by one transition, through the exchange or directly. */
  async #relay(
    direct: boolean | undefined,
    options: SpendOptions,
    what: string,
    make: (relayed: boolean) => Promise<ProvenTransition>,
  ): Promise<TransitionView> {
    const { view } = await this.#turns.spend(
      async () => {
        options.onProgress?.({ stage: "proving", text: what });
        return { transition: await make(direct !== true) };
      },
      { ...this.#spendOptions(options), ...(direct === true && { directBy: this.#sender() }) },
    );
    return view;
  }

  #spendOptions(options: SpendOptions): SpendOptions {
    return this.#beforeSending === undefined ? options : { ...options, beforeSending: this.#beforeSending };
  }
}
