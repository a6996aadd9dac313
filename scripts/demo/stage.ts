import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { TransactionReceipt } from "viem";
import { connectExchange, type ExchangeClient } from "../../src/api/client.ts";
import { ChainState } from "../../src/chain/chainState.ts";
import {
  type Chain,
  deposit,
  openSeat,
  type ProvenTransition,
  readDayState,
  readTokenBalance,
  type Sender,
  submitTransitions,
} from "../../src/chain/clearingHouse.ts";
import type { ClearingTerms, Deployed, MarketTerms } from "../../src/chain/deploy.ts";
import { type LocalExchange, startLocalExchange } from "../../src/chain/localExchange.ts";
import { Progress } from "../../src/cli/terminal.ts";
import { type ExchangeProcess, startExchangeProcess } from "../../src/exchange/exchangeProcess.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import { accountKeys, type Hex, newSeedPhrase } from "../../src/protocol/keys.ts";
import type { Account } from "../../src/protocol/note.ts";
import type { SignedReceipt } from "../../src/protocol/receipt.ts";
import type { TransitionWitness } from "../../src/protocol/transition.ts";
import { createProver, type Prover } from "../../src/prover/prover.ts";
import type { ProvenStatement } from "../../src/prover/proof.ts";
import { TraderAccount } from "../../src/trader/account.ts";
import { createWallet, type Wallet } from "../../src/trader/store.ts";
import { BookFollower } from "./bookFollower.ts";
import { Desk } from "./desk.ts";
import { until, WaitedInVain } from "./waiting.ts";

/** A trader of the demo: the demo holds everybody's keys. */
export type DemoTrader = {
  readonly name: string;
  readonly sender: Sender;
  readonly directory: string;
  /** Tokens handed over at the start, in base units. */
  readonly stake: bigint;
  /** The trader's connection to the exchange. */
  readonly desk: Desk;
  wallet: Wallet;
  account: TraderAccount;
};

/** One thing that was refused, and the error that said so. */
export type Refusal = { readonly what: string; readonly error: string };

/** Everything measured while the demo runs. */
export type Measurements = { readonly proofMs: number[]; tickets: number };

/** Transitions and fills in batches of their own kind, and the gas of these. */
export type BatchCosts = {
  readonly transitions: number;
  readonly transitionGas: bigint;
  readonly fills: number;
  readonly fillGas: bigint;
};

/** Which day is played, and how. */
export type StageOptions = {
  readonly terms: ClearingTerms;
  readonly markets: readonly MarketTerms[];
  /** Gets the wallets, and the exchange's journal and key. */
  readonly directory: string;
  /** How long the exchange lets things wait for a batch, in milliseconds. */
  readonly batchMs: number;
};

const PASSWORD = "demo";
/** Cheap: demo wallets live for minutes. */
const SCRYPT_N = 1024;
/** The market that is traded. */
const SLOT = 0;
const DAY = 86_400n;

/** The demo's world: a local chain and the exchange, each in a process of its own, and all traders in this one. */
export class Stage {
  readonly chain: Chain;
  readonly state: ChainState;
  readonly deployed: Deployed;
  /** The operator's address. */
  readonly operator: Hex;
  /** Sends what anybody may send. */
  readonly anybody: Sender;
  /** A connection of somebody who only looks. */
  readonly client: ExchangeClient;
  readonly terms: ClearingTerms;
  readonly traders = new Map<string, DemoTrader>();
  readonly refusals: Refusal[] = [];
  /** Accounts as they stood when they dropped out, with the last epoch they were in. */
  readonly defaulted: { readonly epoch: number; readonly account: Account }[] = [];
  readonly measured: Measurements = { proofMs: [], tickets: 0 };
  /** The book as the public stream tells it. */
  readonly follower: BookFollower;
  readonly #local: LocalExchange;
  readonly #prover: Prover;
  readonly #directory: string;
  readonly #batchMs: number;
  readonly #relayed = new Set<bigint>();
  readonly #traded = new Set<string>();
  #exchange: ExchangeProcess;

  private constructor(parts: {
    local: LocalExchange;
    exchange: ExchangeProcess;
    prover: Prover;
    state: ChainState;
    anybody: Sender;
    options: StageOptions;
  }) {
    this.#local = parts.local;
    this.#exchange = parts.exchange;
    this.#prover = parts.prover;
    this.#directory = parts.options.directory;
    this.#batchMs = parts.options.batchMs;
    this.state = parts.state;
    this.chain = parts.local.chain;
    this.deployed = parts.local.deployed;
    this.operator = parts.exchange.operator;
    this.anybody = parts.anybody;
    this.terms = parts.options.terms;
    this.client = connectExchange(parts.exchange.url);
    this.follower = new BookFollower(this.client, SLOT);
  }

  /** Starts the chain, deploys the clearing house and starts the exchange. Throws LocalNodeError, DeploymentFailed, NotStarted. */
  static async open(options: StageOptions): Promise<Stage> {
    const { terms: clearingTerms, markets, directory } = options;
    const [local, prover] = await Promise.all([
      startLocalExchange({ clearingTerms, markets, governanceDelay: 7 * Number(DAY) }),
      createProver(),
    ]);
    try {
      const exchange = await startExchange(local, directory, options.batchMs);
      const [state, anybody] = await Promise.all([ChainState.follow(local.chain), local.fundedSender(0n)]);
      return new Stage({ local, exchange, prover, state, anybody, options });
    } catch (error) {
      await prover.close();
      await local.stop();
      throw error;
    }
  }

  /** Stops everything and removes the wallets. Throws ExchangeEndedBadly. */
  async close(): Promise<void> {
    this.follower.close();
    this.client.close();
    for (const { desk, wallet } of this.traders.values()) {
      desk.close();
      wallet.close();
    }
    try {
      await this.#exchange.stop();
    } finally {
      await this.#prover.close();
      await this.#local.stop();
      await rm(this.#directory, { recursive: true, force: true });
    }
  }

  /** Kills the exchange's process as kill -9 does, and starts another one on the same journal and port. */
  async killAndRestart(): Promise<void> {
    const { port } = this.#exchange;
    const desks = [...this.traders.values()].map(({ desk }) => ({ desk, before: desk.watches.openings }));
    await this.#exchange.kill();
    this.#exchange = await startExchange(this.#local, this.#directory, this.#batchMs, port);
    await this.#until("that everybody is connected again", () =>
      desks.every(({ desk: { watches }, before }) => watches.openings >= before + watches.count),
    );
  }

  // ---------------------------------------------------------------- time

  /** Time of the newest block, unix seconds. */
  now(): Promise<bigint> {
    return this.#local.now();
  }

  /** Lets time pass on the local chain, and waits until the exchange has noticed. */
  async pass(seconds: number, blocks = 1): Promise<void> {
    if (seconds > 0) await this.#local.advanceTime(seconds);
    await this.#local.mine(seconds > 0 ? blocks - 1 : blocks);
    const time = await this.now();
    await this.#until("that the exchange sees the time", async () => (await this.client.fetchEpoch()).time >= time);
  }

  /** Lets time pass until a moment, which must not be over. */
  async passUntil(moment: bigint): Promise<void> {
    await this.pass(Number(moment - (await this.now())));
  }

  /** Lets the day end, and waits until the exchange has closed it. */
  async endDay(): Promise<void> {
    const { closingTime } = await this.chain.house.read.epochOf([this.state.epoch]);
    await this.passUntil(closingTime + 1n);
    await this.#until("that the exchange closes the day", async () => {
      await this.state.sync();
      return this.state.phase === "window";
    });
    await this.settled();
  }

  /** Waits until the exchange trades in the chain's epoch. */
  async exchangeOpens(): Promise<void> {
    await this.syncAll();
    await this.#until("that the exchange opens the next day", async () => {
      const { epoch, phase } = await this.client.fetchEpoch();
      return epoch === this.state.epoch && phase === "trading";
    });
  }

  // ---------------------------------------------------------------- traders

  /** A trader with a fresh seed phrase, a wallet on disk, ether, and `stake` base units of test dollars. */
  async enter(name: string, stake: bigint): Promise<DemoTrader> {
    const sender = await this.#local.fundedSender(stake);
    const directory = join(this.#directory, name.toLowerCase());
    const wallet = await createWallet(directory, newSeedPhrase(), PASSWORD, { scryptN: SCRYPT_N });
    const account = await this.accountOf(wallet);
    await openSeat(this.chain, sender, account.keys.ownerKey);
    const desk = new Desk(this.client.url, () => trader.wallet.receipts(this.chain), {
      onTransition: (nullifier) => this.#relayed.add(nullifier),
      onReceipt: ({ receipt: { seq, n, kind } }) => {
        if (kind === "executed-taker" || kind === "executed-maker") this.#traded.add(`${seq}.${n}`);
      },
    });
    const trader: DemoTrader = { name, sender, directory, stake, desk, wallet, account };
    this.traders.set(name, trader);
    return trader;
  }

  /** The account of a wallet, as the chain shows it. */
  accountOf(wallet: Wallet): Promise<TraderAccount> {
    return TraderAccount.open({
      keys: accountKeys(wallet.phrase, 0),
      chain: this.state,
      prover: { prove: (witness) => this.#prove(witness) },
      journal: wallet.journal(this.chain, 0n),
    });
  }

  /** Deletes a trader's wallet files and rebuilds the wallet from its phrase. */
  async recover(trader: DemoTrader): Promise<void> {
    const { phrase } = trader.wallet;
    trader.wallet.close();
    await rm(trader.directory, { recursive: true });
    trader.wallet = await createWallet(trader.directory, phrase, PASSWORD, { scryptN: SCRYPT_N });
    trader.account = await this.accountOf(trader.wallet);
  }

  /** A trader by name. */
  trader(name: string): DemoTrader {
    const trader = this.traders.get(name);
    if (trader === undefined) throw new HedgerowError("UnknownTrader", `no trader is called ${name}`, { name });
    return trader;
  }

  /** Deposits base units from the trader's address and proves their way into the account. */
  async depositAndFund(trader: DemoTrader, amount: bigint): Promise<ProvenTransition> {
    const creditId = await deposit(this.chain, trader.sender, amount, trader.account.newCreditKey());
    await trader.account.sync();
    return trader.account.fund(creditId);
  }

  /** Lets every account take in what the chain shows. */
  async syncAll(): Promise<void> {
    await this.state.sync();
    for (const { account } of this.traders.values()) account.applyChain();
  }

  // ---------------------------------------------------------------- sending

  /** Hands transitions to the exchange and waits until the chain shows them. Throws ExchangeRefused. */
  async relay(transitions: readonly (readonly [trader: DemoTrader, transition: ProvenTransition])[]): Promise<void> {
    await Promise.all(transitions.map(([{ desk }, transition]) => desk.submit(transition)));
    await this.settled();
  }

  /** Lets a trader watch the orders of a ticket that the exchange knows. */
  async watch({ account, desk }: DemoTrader, ticketId: Hex): Promise<void> {
    await desk.watch(await account.signWatch(ticketId, (await this.now()) + DAY));
  }

  /** Waits until the chain shows every transition and every trade that the exchange has acknowledged. */
  async settled(): Promise<void> {
    await this.#until("that the chain shows what the exchange has acknowledged", async () => {
      await this.state.sync();
      const fills = new Set(this.state.fills.map(({ seq, n }) => `${seq}.${n}`));
      if ([...this.#relayed].some((nullifier) => !this.state.transitioned.has(nullifier))) return false;
      if ([...this.#traded].some((place) => !fills.has(place))) return false;
      // The exchange learns of its batch a moment after the chain shows it.
      const { nextBatchNumber } = await readDayState(this.chain);
      return (await this.client.fetchEpoch()).nextBatchNumber === nextBatchNumber;
    });
    await this.syncAll();
  }

  /**
   * Every receipt in the wallets, once both sides of each trade are there: the taker's comes with the answer, the
   * maker's over the stream of its orders, where that is watched. Throws ContradictingReceipts, WaitedInVain.
   */
  async receipts({ ofMakers = true } = {}): Promise<readonly SignedReceipt[]> {
    const stored = (): readonly SignedReceipt[] =>
      [...this.traders.values()].flatMap(({ desk, wallet }) => {
        desk.flush();
        return wallet
          .receipts(this.chain)
          .list()
          .map(({ signed }) => signed);
      });
    await this.#until("that both sides have a receipt for each trade", () => {
      const kinds = new Set(stored().map(({ receipt: { seq, n, kind } }) => `${seq}.${n}.${kind}`));
      return [...this.#traded].every(
        (place) => kinds.has(`${place}.executed-taker`) && (!ofMakers || kinds.has(`${place}.executed-maker`)),
      );
    });
    return stored();
  }

  /** Places (seq, n) of the log at which the traders' receipts name a trade. */
  get tradedPlaces(): ReadonlySet<string> {
    return new Set(this.#traded);
  }

  /** Whether the book that the public stream told is the one that the exchange has. */
  async isBookFollowed(): Promise<boolean> {
    return until(
      "that the stream has told the book",
      async () => (this.follower.equals(await this.client.fetchOrderBook(SLOT)) ? true : undefined),
      { mostMs: 10_000 },
    ).catch((error: unknown) => {
      if (error instanceof WaitedInVain) return false;
      throw error;
    });
  }

  /** Sends transitions directly, as anybody may in the settlement window. */
  async send(sender: Sender, transitions: readonly ProvenTransition[]): Promise<TransactionReceipt> {
    const receipt = await submitTransitions(this.chain, sender, transitions);
    await this.syncAll();
    return receipt;
  }

  /** Runs an attempt that must be refused; remembers the error. Returns its code, or undefined if it was let through. */
  async refused(what: string, attempt: () => Promise<unknown>): Promise<string | undefined> {
    try {
      await attempt();
    } catch (error) {
      if (!(error instanceof HedgerowError)) throw error;
      const rule = "rule" in error && typeof error.rule === "string" ? `${error.code}: ${error.rule}` : error.code;
      this.refusals.push({ what, error: rule });
      return error.code;
    }
    this.refusals.push({ what, error: "nothing: it was let through" });
    return undefined;
  }

  /** Proves one after the other, under a progress bar. */
  async proveAll(title: string, makers: readonly (() => Promise<ProvenTransition>)[]): Promise<ProvenTransition[]> {
    const progress = new Progress(title, makers.length);
    const transitions: ProvenTransition[] = [];
    for (const make of makers) {
      transitions.push(await make());
      progress.step();
    }
    progress.end();
    return transitions;
  }

  /** What batches of the exchange took, as the chain shows it. A batch of both kinds says nothing about either. */
  async batchCosts(): Promise<BatchCosts> {
    const costs = { transitions: 0, transitionGas: 0n, fills: 0, fillGas: 0n };
    const batches = this.state.events.filter(({ eventName }) => eventName === "BatchSubmitted");
    for (const { transactionHash } of batches) {
      const own = this.state.events.filter((event) => event.transactionHash === transactionHash);
      const transitions = own.filter(({ eventName }) => eventName === "Transitioned").length;
      const fills = own.filter(({ eventName }) => eventName === "Filled").length;
      if (fills > 0 && transitions > 0) continue;
      const { gasUsed } = await this.chain.client.getTransactionReceipt({ hash: transactionHash });
      costs.transitions += transitions;
      costs.fills += fills;
      if (fills > 0) costs.fillGas += gasUsed;
      else costs.transitionGas += gasUsed;
    }
    return costs;
  }

  /** Tokens of the clearing house, in base units. */
  balance(holder?: Hex): Promise<bigint> {
    return readTokenBalance(this.chain, holder);
  }

  async #prove(witness: TransitionWitness): Promise<ProvenStatement> {
    const started = performance.now();
    const proven = await this.#prover.prove(witness);
    this.measured.proofMs.push(performance.now() - started);
    return proven;
  }

  async #until(what: string, look: () => Promise<boolean> | boolean): Promise<void> {
    const hint = (): string => `The exchange's log ends with:\n${this.#exchange.output().slice(-2_000)}`;
    await until(what, async () => ((await look()) ? true : undefined), { hint });
  }
}

/** Traders with their transitions, in the same order. */
export function by(
  traders: readonly DemoTrader[],
  transitions: readonly ProvenTransition[],
): readonly (readonly [DemoTrader, ProvenTransition])[] {
  return traders.flatMap((trader, i) => {
    const transition = transitions[i];
    return transition === undefined ? [] : [[trader, transition] as const];
  });
}

function startExchange(
  { url, chain, operatorKey }: LocalExchange,
  directory: string,
  batchMs: number,
  port = 0,
): Promise<ExchangeProcess> {
  const clearingHouse = chain.address;
  return startExchangeProcess({
    chainUrl: url,
    clearingHouse,
    operatorKey,
    directory: join(directory, "exchange"),
    batchMs,
    port,
    // All traders are on this machine, each with a connection.
    more: ["--connections-per-address", "1000"],
  });
}
