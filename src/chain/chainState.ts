import { parseEventLogs } from "viem";
import { ACTIONS, type ActionName } from "../protocol/action.ts";
import type { EpochMarket, Phase } from "../protocol/epoch.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { Hex } from "../protocol/keys.ts";
import { type MerklePath, NoteTree } from "../protocol/tree.ts";
import { clearingHouseAbi } from "./abi.ts";
import { type Chain, readDayState, readMarkets, refusalOf } from "./clearingHouse.ts";

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

/** The number of blocks one log query may span. */
const BLOCK_RANGE = 2_000n;

/**
 * Everything the chain shows, followed block by block: trees, spent notes, credits, tickets, fills, prices.
 * It asks for whole block ranges only, so that a node learns nothing about whose notes are looked for (spec PRI-7).
 */
export class ChainState {
  readonly chain: Chain;
  readonly transitioned = new Map<bigint, Transitioned>();
  readonly credits = new Map<bigint, Credit>();
  readonly spentCredits = new Set<bigint>();
  readonly seatsOpened = new Map<bigint, { readonly epoch: number; readonly bond: bigint }>();
  readonly forfeitedBonds = new Map<bigint, bigint>();
  readonly tickets = new Map<Hex, OpenedTicket>();
  readonly closedTickets = new Set<Hex>();
  readonly fills: Filled[] = [];
  readonly events: ClearingEvent[] = [];
  epoch = 0;
  phase: Phase = "trading";
  readonly #trees = new Map<bigint, NoteTree>();
  readonly #places = new Map<bigint, { readonly tree: bigint; readonly index: number }>();
  readonly #markets = new Map<number, readonly EpochMarket[]>();
  #nextBlock: bigint;
  #cycled = true;
  #syncing: Promise<void> = Promise.resolve();

  private constructor(chain: Chain, fromBlock: bigint) {
    this.chain = chain;
    this.#nextBlock = fromBlock;
  }

  /** Reads the chain from a block on (the deployment's, or 0). Throws ChainUnavailable. */
  static async follow(chain: Chain, fromBlock = 0n): Promise<ChainState> {
    const state = new ChainState(chain, fromBlock);
    await state.sync();
    return state;
  }

  /** Reads what is new. Calls that overlap wait for each other. Throws ChainUnavailable. */
  sync(): Promise<void> {
    const next = this.#syncing.catch(() => undefined).then(() => this.#readNewBlocks());
    this.#syncing = next;
    return next;
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
    const { client, address } = this.chain;
    try {
      const newest = await client.getBlockNumber();
      while (this.#nextBlock <= newest) {
        const last = this.#nextBlock + BLOCK_RANGE - 1n;
        const toBlock = last < newest ? last : newest;
        const logs = await client.getLogs({ address, fromBlock: this.#nextBlock, toBlock });
        for (const event of parseEventLogs({ abi: clearingHouseAbi, logs })) this.#apply(event);
        this.#nextBlock = toBlock + 1n;
      }
      // What was recorded stays recorded if this fails; the next sync tries again.
      if (this.#cycled) await this.#readDay();
    } catch (error) {
      throw refusalOf(error);
    }
  }

  #apply(event: ClearingEvent): void {
    this.events.push(event);
    this.#record(event);
    this.#cycled ||= event.eventName === "EpochClosed" || event.eventName === "EpochOpened";
  }

  async #readDay(): Promise<void> {
    const day = await readDayState(this.chain);
    const firstStale = Math.max(1, this.epoch);
    for (let epoch = firstStale; epoch <= day.epoch + 1; epoch++) {
      this.#markets.set(epoch, await readMarkets(this.chain, epoch));
    }
    this.epoch = day.epoch;
    this.phase = day.phase;
    this.#cycled = false;
  }

  #record(event: ClearingEvent): void {
    switch (event.eventName) {
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
        this.forfeitedBonds.set(event.args.ownerKey, event.args.amount);
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
    leaves.forEach((leaf, i) => {
      if (leaf !== 0n) this.#places.set(leaf, { tree: number, index: start + i });
    });
  }
}
