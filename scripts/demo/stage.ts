import { rm } from "node:fs/promises";
import { join } from "node:path";
import { createTestClient, http, type TransactionReceipt } from "viem";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import { ChainState } from "../../src/chain/chainState.ts";
import {
  approve,
  type Chain,
  connect,
  deposit,
  openSeat,
  type ProvenTransition,
  readTokenBalance,
  type Sender,
  senderOf,
  submitTransitions,
} from "../../src/chain/clearingHouse.ts";
import {
  type ClearingTerms,
  type Deployed,
  deployExchange,
  LOCAL_CHAIN_ID,
  drawFromFaucet,
  type MarketTerms,
} from "../../src/chain/deploy.ts";
import { type LocalNode, startLocalNode } from "../../src/chain/localNode.ts";
import { Progress } from "../../src/cli/terminal.ts";
import { Operator } from "../../src/exchange/operator.ts";
import type { PostedBatch } from "../../src/exchange/posting.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import { accountKeys, type Hex, newSeedPhrase } from "../../src/protocol/keys.ts";
import type { Account } from "../../src/protocol/note.ts";
import type { TransitionWitness } from "../../src/protocol/transition.ts";
import { createProver, type Prover } from "../../src/prover/prover.ts";
import type { ProvenStatement } from "../../src/prover/proof.ts";
import { Verifier } from "../../src/prover/verifier.ts";
import { TraderAccount } from "../../src/trader/account.ts";
import { createWallet, type Wallet } from "../../src/trader/store.ts";

/** A trader of the demo: the demo holds everybody's keys. */
export type DemoTrader = {
  readonly name: string;
  readonly sender: Sender;
  readonly directory: string;
  /** Tokens handed over at the start, in base units. */
  readonly stake: bigint;
  wallet: Wallet;
  account: TraderAccount;
};

/** One thing that was refused, and the error that said so. */
export type Refusal = { readonly what: string; readonly error: string };

/** Everything measured while the demo runs. */
export type Measurements = {
  readonly proofMs: number[];
  transitions: number;
  transitionGas: bigint;
  batchedTransitions: number;
  fillGas: bigint;
  batchedFills: number;
  tickets: number;
};

const PASSWORD = "demo";
/** Cheap: demo wallets live for minutes. */
const SCRYPT_N = 1024;
const ETHER = 10n ** 21n;

/** The exchange of one demo: a local chain in a process of its own, the operator, and all traders. */
export class Stage {
  readonly chain: Chain;
  readonly state: ChainState;
  readonly deployed: Deployed;
  readonly operator: Operator;
  readonly operatorSender: Sender;
  readonly terms: ClearingTerms;
  readonly traders = new Map<string, DemoTrader>();
  readonly refusals: Refusal[] = [];
  /** Accounts as they stood when they dropped out, with the last epoch they were in. */
  readonly defaulted: { readonly epoch: number; readonly account: Account }[] = [];
  readonly measured: Measurements = {
    proofMs: [],
    transitions: 0,
    transitionGas: 0n,
    batchedTransitions: 0,
    fillGas: 0n,
    batchedFills: 0,
    tickets: 0,
  };
  readonly #node: LocalNode;
  readonly #prover: Prover;
  readonly #verifier: Verifier;
  readonly #directory: string;
  readonly #quiet: boolean;

  private constructor(parts: {
    node: LocalNode;
    prover: Prover;
    verifier: Verifier;
    state: ChainState;
    deployed: Deployed;
    operator: Operator;
    operatorSender: Sender;
    terms: ClearingTerms;
    directory: string;
    quiet: boolean;
  }) {
    this.#node = parts.node;
    this.#prover = parts.prover;
    this.#verifier = parts.verifier;
    this.#directory = parts.directory;
    this.#quiet = parts.quiet;
    this.state = parts.state;
    this.chain = parts.state.chain;
    this.deployed = parts.deployed;
    this.operator = parts.operator;
    this.operatorSender = parts.operatorSender;
    this.terms = parts.terms;
  }

  /** Starts the chain and deploys the exchange. `directory` gets the wallets. Throws LocalNodeError, DeploymentFailed. */
  static async open(
    terms: ClearingTerms,
    markets: readonly MarketTerms[],
    directory: string,
    quiet = false,
  ): Promise<Stage> {
    const [node, prover, verifier] = await Promise.all([startLocalNode(), createProver(), Verifier.create()]);
    try {
      const { url } = node;
      const deployerKey = generatePrivateKey();
      const operatorKey = generatePrivateKey();
      const cheats = createTestClient({ mode: "hardhat", transport: http(url) });
      for (const key of [deployerKey, operatorKey]) {
        await cheats.setBalance({ address: privateKeyToAddress(key), value: ETHER });
      }
      const deployed = await deployExchange({
        url,
        deployerKey,
        owner: privateKeyToAddress(deployerKey),
        operator: privateKeyToAddress(operatorKey),
        governanceDelay: 7 * 86_400,
        clearingTerms: terms,
        markets,
      });
      const chain = await connect(url, deployed.clearingHouse, LOCAL_CHAIN_ID);
      const state = await ChainState.follow(chain);
      const operatorSender = senderOf(url, chain.chainId, operatorKey);
      const operator = await Operator.create({ state, sender: operatorSender, verifier });
      return new Stage({ node, prover, verifier, state, deployed, operator, operatorSender, terms, directory, quiet });
    } catch (error) {
      await prover.close();
      await verifier.close();
      await node.stop();
      throw error;
    }
  }

  /** Stops everything and removes the wallets. */
  async close(): Promise<void> {
    for (const { wallet } of this.traders.values()) wallet.close();
    await this.#prover.close();
    await this.#verifier.close();
    await this.#node.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }

  // ---------------------------------------------------------------- time

  /** Time of the newest block, unix seconds. */
  async now(): Promise<bigint> {
    return (await this.chain.client.getBlock()).timestamp;
  }

  /** Lets time pass on the local chain. */
  async pass(seconds: number, blocks = 1): Promise<void> {
    const cheats = createTestClient({ mode: "hardhat", transport: http(this.chain.url) });
    if (seconds > 0) await cheats.increaseTime({ seconds });
    await cheats.mine({ blocks });
  }

  /** Lets time pass until a moment, which must not be over. */
  async passUntil(moment: bigint): Promise<void> {
    await this.pass(Number(moment - (await this.now())));
  }

  // ---------------------------------------------------------------- traders

  /** A trader with a fresh seed phrase, a wallet on disk, ether, and `stake` base units of test dollars. */
  async enter(name: string, stake: bigint): Promise<DemoTrader> {
    const { url, chainId } = this.chain;
    const key = generatePrivateKey();
    const sender = senderOf(url, chainId, key);
    await createTestClient({ mode: "hardhat", transport: http(url) }).setBalance({
      address: sender.address,
      value: ETHER,
    });
    await drawFromFaucet(url, this.deployed.token, key, sender.address, stake);
    await approve(this.chain, sender, stake);

    const directory = join(this.#directory, name.toLowerCase());
    const wallet = await createWallet(directory, newSeedPhrase(), PASSWORD, { scryptN: SCRYPT_N });
    const account = await this.accountOf(wallet);
    await openSeat(this.chain, sender, account.keys.ownerKey);
    const trader = { name, sender, directory, stake, wallet, account };
    this.traders.set(name, trader);
    return trader;
  }

  /** The account of a wallet, as the chain shows it. */
  accountOf(wallet: Wallet): Promise<TraderAccount> {
    return TraderAccount.open({
      keys: accountKeys(wallet.phrase, 0),
      chain: this.state,
      prover: { prove: (witness) => this.#prove(witness) },
      journal: wallet.journal(this.chain, 0),
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

  /** Hands transitions to the operator and lets it post everything that waits. */
  async relay(transitions: readonly ProvenTransition[]): Promise<readonly PostedBatch[]> {
    for (const transition of transitions) await this.operator.submitTransition(transition);
    return this.post();
  }

  /** Lets the operator post everything that waits. */
  async post(): Promise<readonly PostedBatch[]> {
    const batches = await this.operator.flush();
    for (const { applied, fills, receipt } of batches) {
      this.measured.transitions += applied.length;
      // A batch of both kinds says nothing about either.
      if (receipt === undefined || (fills > 0 && applied.length > 0)) continue;
      this.measured.batchedTransitions += applied.length;
      this.measured.batchedFills += fills;
      if (fills > 0) this.measured.fillGas += receipt.gasUsed;
      else this.measured.transitionGas += receipt.gasUsed;
    }
    await this.syncAll();
    return batches;
  }

  /** Sends transitions directly, as anybody may in the settlement window. */
  async send(sender: Sender, transitions: readonly ProvenTransition[]): Promise<TransactionReceipt> {
    const receipt = await submitTransitions(this.chain, sender, transitions);
    this.measured.transitions += transitions.length;
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
    const progress = this.#quiet ? undefined : new Progress(title, makers.length);
    const transitions: ProvenTransition[] = [];
    for (const make of makers) {
      transitions.push(await make());
      progress?.step();
    }
    progress?.end();
    return transitions;
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
}
