import { setTimeout } from "node:timers/promises";
import { BlockNotFoundError, parseEventLogs } from "viem";
import { ACTIONS, type ActionName } from "../protocol/action.ts";
import type { EpochMarket, Phase } from "../protocol/epoch.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { FIRST_LEAF, type MerklePath, NoteTree, subtreeWidth } from "../protocol/tree.ts";
import { clearingHouseAbi } from "../protocol/abi.ts";
import { type Chain, readDayState, readMarkets } from "./clearingHouse.ts";
import { CallImpossible, ChainUnavailable, refusalOf } from "./refusals.ts";
import { POLLING_MS } from "./sending.ts";

/** Number of the sleepers' tree; the tree of epoch e has number e. */
export const SLEEPERS = 2n ** 32n;

/** A transition that took effect, as everybody saw it. */
export type Transitioned = {
  readonly action: ActionName;
  readonly epoch: number;
  readonly nullifier: bigint;
  readonly newNote: bigint;
  readonly seat: bigint;
  readonly cashDelta: bigint;
  readonly slot: bigint;
  readonly positionDelta: bigint;
};

/** A deposit that waits for a fund transition. */
export type Credit = { readonly creditId: bigint; readonly key: Hex; readonly depositor: Hex; readonly amount: bigint };

/** A ticket as it was opened. */
export type OpenedTicket = {
  readonly ticketId: Hex;
  readonly sessionKey: Hex;
  readonly epoch: number;
  readonly slot: number;
  readonly cash: bigint;
  readonly position: number;
  readonly reduceOnly: boolean;
};

/** A settled fill. */
export type Filled = {
  readonly makerTicket: Hex;
  readonly takerTicket: Hex;
  readonly epoch: number;
  readonly slot: number;
  readonly seq: bigint;
  readonly n: number;
  readonly execTime: bigint;
  readonly takerBuys: boolean;
  readonly price: bigint;
  readonly quantity: number;
  readonly makerFee: bigint;
  readonly takerFee: bigint;
};

/** Contracts that drop-outs left and an open ticket took over: it bought where `quantity` is above zero. */
export type TakenOver = {
  readonly ticketId: Hex;
  readonly epoch: number;
  readonly slot: number;
  readonly quantity: number;
  readonly price: bigint;
};

/** One event of the clearing house, decoded. */
export type ClearingEvent = ReturnType<typeof parseEventLogs<typeof clearingHouseAbi>>[number];

/** A note is in no tree that the chain shows. */
export class UnknownNote extends HedgerowError {
  constructor(note: bigint) {
    super("UnknownNote", `note ${note} is in no tree of the chain: wait for its block, or recover the wallet`, {
      note,
    });
  }
}

/** The node serves another chain than the one that was read, or one without the clearing house. */
export class ChainReplaced extends HedgerowError {
  constructor(url: string, found: string) {
    super(
      "ChainReplaced",
      `${url} no longer serves the chain that was read from it: ${found}; nothing known of the old one holds there, ` +
        `so start anew, or go back to a node of the old one`,
      { url, found },
    );
  }
}

/** The time of a block was not read yet. */
export class BlockTimeUnknown extends HedgerowError {
  constructor(hash: Hex) {
    super("BlockTimeUnknown", `the time of block ${hash} was not read: call readBlockTimes first`, { hash });
  }
}

/** The node's view changed while it was read. The next attempt sees the new one. */
class ViewChanged extends HedgerowError {
  constructor(what: string) {
    super("ViewChanged", what);
  }
}

/** A payout ratio of one. */
export const WHOLE = 10n ** 18n;

/** The number of blocks one log query may span. */
const BLOCK_RANGE = 2_000n;

/** How many blocks are remembered by their hash: two epochs of Ethereum, after which it takes no block back. */
const REMEMBERED = 64n;

/** How often a sync starts again because the chain moved under it. */
const ATTEMPTS = 10;

/** How many blocks are asked for at once. */
const BLOCKS_AT_ONCE = 32;

/** A block by its number and hash. */
type Mark = { readonly number: bigint; readonly hash: Hex };

type Header = Mark & { readonly parentHash: Hex; readonly time: number };

/** Where the day stands, and the prices of the epochs that are not final. */
type Day = {
  readonly epoch: number;
  readonly phase: Phase;
  readonly markets: ReadonlyMap<number, readonly EpochMarket[]>;
};

/**
 * Everything the chain shows, followed block by block: trees, spent notes, credits, tickets, fills, prices.
 * It asks for whole block ranges only, so that a node learns nothing about whose notes are looked for (spec PRI-7).
 *
 * Where the chain takes blocks back it does too: the same Maps and arrays then hold what the new blocks say. They may
 * become shorter, so whoever remembers a place in one looks at `reorganisations` (spec CHN-1..6).
 */
export class ChainState {
  readonly chain: Chain;
  readonly transitioned = new Map<bigint, Transitioned>();
  readonly credits = new Map<bigint, Credit>();
  readonly spentCredits = new Set<bigint>();
  readonly seatsOpened = new Map<bigint, { readonly epoch: number; readonly bond: bigint }>();
  /** When the Trading of an epoch ends, or ended, unix seconds: as it opened, or moved up since. */
  readonly closingTimes = new Map<number, bigint>();
  readonly forfeitedBonds = new Map<bigint, bigint>();
  readonly tickets = new Map<Hex, OpenedTicket>();
  readonly closedTickets = new Set<Hex>();
  readonly fills: Filled[] = [];
  readonly takeovers: TakenOver[] = [];
  readonly events: ClearingEvent[] = [];
  epoch = 0;
  phase: Phase = "trading";
  readonly #fromBlock: bigint;
  readonly #trees = new Map<bigint, NoteTree>();
  readonly #places = new Map<bigint, { readonly tree: bigint; readonly index: number }>();
  readonly #markets = new Map<number, readonly EpochMarket[]>();
  /** Unix seconds of blocks, by their hash. */
  readonly #times = new Map<Hex, number>();
  /** Blocks that were read, ascending: the first of all, and then the last ones. */
  #marks: readonly Mark[];
  #cycled = true;
  #damaged = false;
  #reorganisations = 0;
  #behind = 0n;
  #syncing: Promise<void> = Promise.resolve();

  private constructor(chain: Chain, fromBlock: bigint, genesis: Mark) {
    this.chain = chain;
    this.#fromBlock = fromBlock;
    this.#marks = [genesis];
  }

  /** Reads the chain from a block on (the deployment's, or 0). Throws ChainUnavailable. */
  static async follow(chain: Chain, fromBlock = 0n): Promise<ChainState> {
    const genesis = await headerOf(chain, 0n).catch((error: unknown) => {
      throw refusalOf(error);
    });
    const state = new ChainState(chain, fromBlock, genesis);
    await state.sync();
    return state;
  }

  /** How often blocks that had been read were taken back. */
  get reorganisations(): number {
    return this.#reorganisations;
  }

  /** Share of a withdrawal that is paid: WHOLE for all of it (spec FND-8). */
  get payoutRatio(): bigint {
    const last = this.events.findLast(({ eventName }) => eventName === "PayoutRatio");
    return last?.eventName === "PayoutRatio" ? last.args.ratio : WHOLE;
  }

  /** The newest block that was read. */
  get newestBlock(): Mark {
    return this.#marks[this.#marks.length - 1] ?? { number: 0n, hash: "0x" };
  }

  /** How many of the blocks that were read the node did not know yet at the last sync: it may be one that lags. */
  get blocksBehind(): bigint {
    return this.#behind;
  }

  /**
   * Reads what is new. Calls that overlap wait for each other. Each block range takes effect as a whole, or not at all
   * if this throws. Throws ChainUnavailable, ChainReplaced.
   */
  sync(): Promise<void> {
    const next = this.#syncing.catch(() => undefined).then(() => this.#readNewBlocks());
    this.#syncing = next;
    return next;
  }

  /**
   * Reads the times of all blocks that hold an event of the house, as far as they did not come with the events: of all,
   * so that a node does not learn which of them somebody cares for (spec PRI-7). Throws ChainUnavailable, ChainReplaced.
   */
  async readBlockTimes(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        for (let hashes = this.#blocksWithoutTime(); hashes.length > 0; hashes = this.#blocksWithoutTime()) {
          await Promise.all(hashes.slice(0, BLOCKS_AT_ONCE).map((hash) => this.#readTime(hash)));
        }
        return;
      } catch (error) {
        if (attempt === ATTEMPTS || !(error instanceof BlockNotFoundError)) throw refusalOf(error);
        // It was taken back.
        await this.sync();
      }
    }
  }

  /** Unix seconds of a block that holds an event of the house, by its hash. Throws BlockTimeUnknown. */
  blockTime(hash: Hex): number {
    const time = this.#times.get(hash);
    if (time === undefined) throw new BlockTimeUnknown(hash);
    return time;
  }

  /** The eight slots of an epoch: the present one, an earlier one, or the next once the present one is closed. */
  markets(epoch: number): readonly EpochMarket[] {
    return this.#markets.get(epoch) ?? [];
  }

  /** The tree of an epoch, or the sleepers' tree. */
  tree(number: bigint): NoteTree {
    const tree = this.#trees.get(number) ?? new NoteTree();
    this.#trees.set(number, tree);
    return tree;
  }

  /** Which tree holds a note, and its path to that tree's newest root. Throws UnknownNote. */
  locate(note: bigint): { readonly tree: bigint; readonly path: MerklePath } {
    const place = this.#places.get(note);
    if (place === undefined) throw new UnknownNote(note);
    return { tree: place.tree, path: this.tree(place.tree).path(place.index) };
  }

  /** Whether a note is in a tree. */
  has(note: bigint): boolean {
    return this.#places.has(note);
  }

  async #readNewBlocks(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#readToNewest();
        return;
      } catch (error) {
        const moved = error instanceof ViewChanged || error instanceof BlockNotFoundError;
        if (attempt === ATTEMPTS && moved) throw new ChainUnavailable("reading blocks", error.message);
        const refusal = refusalOf(error);
        // A node behind the one that named the newest block knows less, and says so in its own words.
        if (attempt === ATTEMPTS || !(moved || refusal instanceof CallImpossible)) throw refusal;
        await setTimeout(POLLING_MS * attempt);
      }
    }
  }

  async #readToNewest(): Promise<void> {
    const newest = await headerOf(this.chain);
    let from = this.newestBlock;
    this.#behind = newest.number < from.number ? from.number - newest.number : 0n;
    if (!(await this.#holds(newest))) {
      from = await this.#newestCommon(newest);
      // A chain that became shorter is not behind.
      this.#behind = 0n;
    } else if (this.#behind > 0n) return;
    if (this.#damaged) from = this.#marks[0] ?? from;
    while (from.number < newest.number || from !== this.newestBlock || this.#cycled) {
      const last = from.number + BLOCK_RANGE;
      const to = last < newest.number ? await headerOf(this.chain, last) : newest;
      await this.#readRange(from, to, to === newest);
      from = this.newestBlock;
    }
  }

  /** Whether the node's chain, of which `newest` is the newest block, is the one that was read. */
  async #holds(newest: Header): Promise<boolean> {
    const tip = this.newestBlock;
    if (newest.number === tip.number + 1n) return newest.parentHash === tip.hash;
    const [mark] = this.#marks.filter(({ number }) => number <= newest.number).slice(-1);
    return mark === undefined || (await this.#hashAt(mark.number, newest)) === mark.hash;
  }

  /** The newest block that was read and that the node still has. Throws ChainReplaced if there is none, or no house. */
  async #newestCommon(newest: Header): Promise<Mark> {
    const { chain } = this;
    const code = await chain.client.getCode({ address: chain.address });
    // Below a block that both have, both are the same.
    let common: Mark | undefined;
    let marks = this.#marks.filter(({ number }) => number <= newest.number);
    while (marks.length > 0) {
      const middle = Math.floor(marks.length / 2);
      const mark = marks[middle];
      if (mark?.hash === (await this.#hashAt(mark?.number ?? 0n, newest))) {
        common = mark;
        marks = marks.slice(middle + 1);
      } else {
        marks = marks.slice(0, middle);
      }
    }
    if (common === undefined) throw new ChainReplaced(chain.url, "its first block is another one");
    if (code === undefined) throw new ChainReplaced(chain.url, `there is no clearing house at ${chain.address}`);
    return common;
  }

  async #hashAt(number: bigint, newest: Header): Promise<Hex> {
    return number === newest.number ? newest.hash : (await headerOf(this.chain, number)).hash;
  }

  /** Reads the blocks after one that was read up to another, and then lets them take effect in the place of all later. */
  async #readRange(from: Mark, to: Header, isNewest: boolean): Promise<void> {
    const { chain } = this;
    const first = from.number + 1n > this.#fromBlock ? from.number + 1n : this.#fromBlock;
    const between = isNewest ? await this.#headersBefore(to, first) : [];
    const events = first > to.number ? [] : await this.#eventsOf(first, to);
    for (const { blockNumber, blockHash } of events) {
      const block = [...between, to].find(({ number }) => number === blockNumber);
      if (block !== undefined && block.hash !== blockHash) throw new ViewChanged(`block ${blockNumber} is another one`);
    }
    const cycled = this.#cycled || from !== this.newestBlock || events.some(turnsTheDay);
    const day = cycled && isNewest ? await this.#readDay(from, to) : undefined;
    // A range of one block was asked for by its hash.
    if ((first < to.number || day !== undefined) && (await headerOf(chain, to.number)).hash !== to.hash) {
      throw new ViewChanged(`block ${to.number} is another one`);
    }
    const times = new Map([...between, to].map(({ hash, time }) => [hash, time]));
    for (const { blockHash, blockTimestamp } of events) {
      const time = typeof blockTimestamp === "bigint" ? Number(blockTimestamp) : times.get(blockHash);
      if (time !== undefined) this.#times.set(blockHash, time);
    }
    this.#apply(from, [...between, to], events, cycled, day);
  }

  #blocksWithoutTime(): readonly Hex[] {
    const hashes = new Set(this.events.map(({ blockHash }) => blockHash));
    return [...hashes].filter((hash) => !this.#times.has(hash));
  }

  async #readTime(blockHash: Hex): Promise<void> {
    const { timestamp } = await this.chain.client.getBlock({ blockHash, includeTransactions: false });
    this.#times.set(blockHash, Number(timestamp));
  }

  /** The blocks before one that are remembered by their hash, as far as they are read together with it. */
  #headersBefore({ number }: Header, first: bigint): Promise<readonly Header[]> {
    const oldest = number - REMEMBERED + 1n > first ? number - REMEMBERED + 1n : first;
    const count = number > oldest ? Number(number - oldest) : 0;
    return Promise.all(Array.from({ length: count }, (_, i) => headerOf(this.chain, oldest + BigInt(i))));
  }

  async #eventsOf(first: bigint, to: Header): Promise<readonly ClearingEvent[]> {
    const { client, address } = this.chain;
    const range = first === to.number ? { blockHash: to.hash } : { fromBlock: first, toBlock: to.number };
    return parseEventLogs({ abi: clearingHouseAbi, logs: await client.getLogs({ address, ...range }) });
  }

  async #readDay(from: Mark, { number }: Header): Promise<Day> {
    const { epoch, phase } = await readDayState(this.chain, number);
    const takenBack = this.#eventsAfter(from).filter(({ eventName }) => eventName === "EpochOpened").length;
    const markets = new Map<number, readonly EpochMarket[]>();
    for (let stale = Math.max(1, this.epoch - takenBack); stale <= epoch + 1; stale++) {
      markets.set(stale, await readMarkets(this.chain, stale, number));
    }
    return { epoch, phase, markets };
  }

  /** Nothing waits in here: readers see the state before a range of blocks, or after it. */
  #apply(from: Mark, blocks: readonly Mark[], events: readonly ClearingEvent[], cycled: boolean, day?: Day): void {
    const tip = blocks[blocks.length - 1] ?? from;
    if (this.#damaged || from !== this.newestBlock) this.#takeBack(from);
    this.#damaged = true;
    for (const event of events) {
      this.events.push(event);
      this.#record(event);
    }
    this.#damaged = false;
    const read = [...this.#marks, ...blocks.filter(({ number }) => number > from.number)];
    this.#marks = read.filter(({ number }, i) => i === 0 || number > tip.number - REMEMBERED);
    this.#cycled = cycled && day === undefined;
    if (day === undefined) return;
    this.epoch = day.epoch;
    this.phase = day.phase;
    for (const [epoch, markets] of day.markets) this.#markets.set(epoch, markets);
  }

  /** Undoes all after a block: clears everything, and lets the events up to it take effect again. */
  #takeBack(from: Mark): void {
    this.#reorganisations += 1;
    const takenBack = this.#eventsAfter(from);
    const kept = this.events.slice(0, this.events.length - takenBack.length);
    if (this.#damaged) this.#trees.clear();
    // Hashing is dear: trees lose their newest notes and keep the others.
    const cut = new Set<bigint>();
    for (const event of takenBack) {
      if (event.eventName !== "NotesAppended" || cut.has(event.args.tree)) continue;
      cut.add(event.args.tree);
      this.#trees.get(event.args.tree)?.truncate(indexAfter(kept, event.args.tree));
    }
    const whole = new Set(this.#trees.keys());
    const maps = [this.transitioned, this.credits, this.spentCredits, this.seatsOpened, this.forfeitedBonds];
    for (const map of [...maps, this.tickets, this.closedTickets, this.closingTimes, this.#places]) map.clear();
    this.fills.length = 0;
    this.takeovers.length = 0;
    this.events.length = 0;
    this.#marks = this.#marks.filter(({ number }) => number <= from.number);
    for (const event of kept) {
      this.events.push(event);
      if (event.eventName === "NotesAppended" && whole.has(event.args.tree)) {
        this.#place(event.args.tree, Number(event.args.startIndex), event.args.leaves);
      } else {
        this.#record(event);
      }
    }
  }

  #eventsAfter({ number }: Mark): readonly ClearingEvent[] {
    const first = this.events.findLastIndex(({ blockNumber }) => blockNumber <= number) + 1;
    return this.events.slice(first);
  }

  #record(event: ClearingEvent): void {
    switch (event.eventName) {
      case "EpochOpened":
      case "ClosingMovedUp":
        this.closingTimes.set(event.args.epoch, event.args.closingTime);
        break;
      case "NotesAppended":
        this.#insert(event.args.tree, event.args.startIndex, event.args.leaves);
        break;
      case "Transitioned": {
        const action = ACTIONS[event.args.action];
        if (action === undefined) throw new HedgerowError("UnknownAction", `action ${event.args.action} is not known`);
        this.transitioned.set(event.args.nullifier, { ...event.args, action });
        break;
      }
      case "SeatOpened":
        this.seatsOpened.set(event.args.ownerKey, event.args);
        break;
      case "BondForfeited":
        this.forfeitedBonds.set(event.args.ownerKey, event.args.amount + event.args.reward);
        break;
      case "CreditOpened":
        this.credits.set(event.args.creditId, event.args);
        break;
      case "CreditRefunded":
      case "CreditSpent":
        this.spentCredits.add(event.args.creditId);
        break;
      case "TicketOpened":
        this.tickets.set(event.args.ticketId, event.args);
        break;
      case "TicketClosed":
      case "TicketClaimed":
        this.closedTickets.add(event.args.ticketId);
        break;
      case "Filled": {
        const epoch = this.tickets.get(event.args.makerTicket)?.epoch ?? 0;
        this.fills.push({ ...event.args, epoch });
        break;
      }
      case "AbandonedTaken":
        this.takeovers.push(event.args);
        break;
      default:
    }
  }

  #insert(number: bigint, startIndex: bigint, leaves: readonly bigint[]): void {
    const start = this.tree(number).insert(leaves);
    if (BigInt(start) !== startIndex) {
      throw new HedgerowError(
        "TreeMismatch",
        `notes went to index ${startIndex}, expected ${start}: blocks are missing`,
      );
    }
    this.#place(number, start, leaves);
  }

  #place(tree: bigint, start: number, leaves: readonly bigint[]): void {
    leaves.forEach((leaf, i) => {
      if (leaf !== 0n) this.#places.set(leaf, { tree, index: start + i });
    });
  }
}

/** A block's number and hashes; the newest block's by default. */
async function headerOf({ client }: Chain, blockNumber?: bigint): Promise<Header> {
  const parameters = blockNumber === undefined ? {} : { blockNumber };
  const block = await client.getBlock({ ...parameters, includeTransactions: false });
  return { number: block.number, hash: block.hash, parentHash: block.parentHash, time: Number(block.timestamp) };
}

/** Index of the first leaf of a tree that the batches among some events leave free. */
function indexAfter(events: readonly ClearingEvent[], tree: bigint): number {
  for (const event of events.toReversed()) {
    if (event.eventName !== "NotesAppended" || event.args.tree !== tree) continue;
    return Number(event.args.startIndex) + subtreeWidth(event.args.leaves.length);
  }
  return FIRST_LEAF;
}

function turnsTheDay({ eventName }: ClearingEvent): boolean {
  return eventName === "EpochClosed" || eventName === "EpochOpened";
}
