import { type EpochMarkets, equityInBand, feeAtDefault, type Phase } from "./epoch.ts";
import { HedgerowError } from "./errors.ts";
import type { Hex } from "./keys.ts";
import { type Account, EMPTY_ACCOUNT, SLOTS } from "./note.ts";

/** The public buckets of the clearing house, in base units. */
export type Buckets = {
  readonly poolCash: bigint;
  readonly ticketCash: bigint;
  readonly claims: bigint;
  readonly credits: bigint;
  readonly bonds: bigint;
  readonly fees: bigint;
  readonly owed: bigint;
  readonly closeOutAccount: bigint;
  readonly operatorStake: bigint;
  readonly guarantyFund: bigint;
};

/** Running sums of the open tickets of one slot: base units, and contracts. */
export type TicketSums = { readonly cash: bigint; readonly net: bigint; readonly gross: bigint };

/** One open ticket of the present epoch. */
export type TicketHolding = {
  readonly ticketId: Hex;
  readonly slot: number;
  readonly cash: bigint;
  readonly position: bigint;
};

/** Everything that has to fit together, at one moment. Lists of slots have eight entries. */
export type ConservationFacts = {
  readonly phase: Phase;
  /** Slots of the present epoch. */
  readonly markets: EpochMarkets;
  /** Collateral that the clearing house holds, and how much of it somebody sent without a call. */
  readonly tokens: bigint;
  readonly unasked: bigint;
  readonly buckets: Buckets;
  readonly poolPositions: readonly bigint[];
  readonly closeOutPositions: readonly bigint[];
  readonly ticketSums: readonly TicketSums[];
  /** The open tickets one by one. */
  readonly tickets: readonly TicketHolding[];
  /** What the single seats, credits, left-over tickets and creditors have, added up. */
  readonly parts: Pick<Buckets, "bonds" | "credits" | "claims" | "owed">;
  /** What the last opening of an epoch published as the pool's gap that nothing covers. */
  readonly gap: bigint;
};

/** A sum does not come out; `rule` is the number of the rule in the specification. */
export class NotConserved extends HedgerowError {
  readonly rule: string;

  constructor(rule: string, what: string, found: bigint, expected: bigint) {
    super("NotConserved", `${what} is ${found}, but ${expected} is due by ${rule}`, { rule, what, found, expected });
    this.rule = rule;
  }
}

/** Checks everything that anybody can check (spec CON-1, 2, 3, 8 and 9). Throws NotConserved for the first fault. */
export function assertConserved(facts: ConservationFacts): void {
  assertTokens(facts);
  assertPositionsCancel(facts);
  assertCover(facts);
  assertRunningSums(facts);
  assertParts(facts);
}

/** Pool cash plus the pool's worst value: at the limits in Trading, at settlement prices in the Window (spec CON-3). */
export function poolCover({ phase, markets, buckets, poolPositions }: ConservationFacts): bigint {
  return markets.reduce((cover, market, slot) => {
    const position = poolPositions[slot] ?? 0n;
    return phase === "trading"
      ? equityInBand(cover, position, market.centre, market.priceLimit)
      : cover + position * market.settlementPrice;
  }, buckets.poolCash);
}

function assertTokens({ buckets, tokens, unasked }: ConservationFacts): void {
  const sum = Object.values(buckets).reduce((total, amount) => total + amount, 0n);
  assertEqual("CON-1", "the sum of the buckets", sum, tokens - unasked);
}

function assertPositionsCancel({ poolPositions, ticketSums, closeOutPositions }: ConservationFacts): void {
  for (let slot = 0; slot < SLOTS; slot++) {
    const sum = (poolPositions[slot] ?? 0n) + (ticketSums[slot]?.net ?? 0n) + (closeOutPositions[slot] ?? 0n);
    assertEqual("CON-2", `the sum of the positions in slot ${slot}`, sum, 0n);
  }
}

function assertCover(facts: ConservationFacts): void {
  const cover = poolCover(facts);
  if (cover < 0n && facts.gap === 0n) throw new NotConserved("CON-3", "the pool's cover", cover, 0n);
}

function assertRunningSums({ buckets, ticketSums, tickets }: ConservationFacts): void {
  ticketSums.forEach(({ cash, net, gross }, slot) => {
    const inSlot = tickets.filter((ticket) => ticket.slot === slot);
    const sum = (amount: (ticket: TicketHolding) => bigint) => inSlot.reduce((total, t) => total + amount(t), 0n);
    assertEqual(
      "CON-8",
      `the running sum of cash in slot ${slot}`,
      cash,
      sum(({ cash }) => cash),
    );
    assertEqual(
      "CON-8",
      `the running sum of positions in slot ${slot}`,
      net,
      sum(({ position }) => position),
    );
    assertEqual(
      "CON-8",
      `the running sum of sizes in slot ${slot}`,
      gross,
      sum(({ position }) => magnitude(position)),
    );
  });
  const total = ticketSums.reduce((sum, { cash }) => sum + cash, 0n);
  assertEqual("CON-8", "ticketCash", buckets.ticketCash, total);
}

function assertParts({ buckets, parts }: ConservationFacts): void {
  for (const name of ["bonds", "credits", "claims", "owed"] as const) {
    assertEqual("CON-9", name, buckets[name], parts[name]);
  }
}

// ------------------------------------------------------------------ pool and notes

/**
 * What accounts that dropped out left in the pool: the positions that nobody holds any more, and cash against them,
 * their close-out fees included. All zero as long as nobody defaulted.
 */
export type Residual = Account;

/** Before anybody defaulted. */
export const NO_RESIDUAL: Residual = EMPTY_ACCOUNT;

/**
 * An account that missed its renewal in the epoch of these markets: what it is worth from then on, all in cash, and what
 * that leaves in the pool (spec DEF-1, DEF-2, DEF-5).
 */
export function closeOut(
  account: Account,
  markets: EpochMarkets,
): { readonly account: Account; readonly residual: Residual } {
  const worth = markets.reduce((cash, market, slot) => {
    return equityInBand(cash, account.positions[slot] ?? 0n, market.settlementPrice, feeAtDefault(market));
  }, account.cash);
  return {
    account: { ...EMPTY_ACCOUNT, cash: worth },
    residual: { cash: account.cash - worth, positions: account.positions },
  };
}

/** Cash and positions with the contracts that expired in the epoch of these markets turned into cash (spec CON-6). */
export function expire({ cash, positions }: Account, markets: EpochMarkets): Account {
  return {
    cash: markets.reduce(
      (sum, market, slot) => (market.expired ? sum + (positions[slot] ?? 0n) * market.settlementPrice : sum),
      cash,
    ),
    positions: positions.map((position, slot) => (markets[slot]?.expired === true ? 0n : position)),
  };
}

/** Two accounts, or residuals, together. */
export function together(a: Account, b: Account): Account {
  return {
    cash: a.cash + b.cash,
    positions: Array.from({ length: SLOTS }, (_, slot) => (a.positions[slot] ?? 0n) + (b.positions[slot] ?? 0n)),
  };
}

/**
 * For whoever knows all notes: the pool is the sum of the live notes and the residual (spec CON-7). `notes` holds every
 * seat's account once, those in default as closeOut gives them; the residual also counts what the waterfall paid in.
 * Throws NotConserved.
 */
export function assertPoolIsNotes(facts: ConservationFacts, notes: readonly Account[], residual: Residual): void {
  const pool: Account = { cash: facts.buckets.poolCash, positions: facts.poolPositions };
  // In the window some notes hold an expired contract's cash already, and others still the contract.
  const settled = (account: Account) => (facts.phase === "window" ? expire(account, facts.markets) : account);
  const found = settled(pool);
  const expected = settled(notes.reduce(together, residual));
  assertEqual("CON-7", "poolCash", found.cash, expected.cash);
  found.positions.forEach((position, slot) => {
    assertEqual("CON-7", `the pool's position in slot ${slot}`, position, expected.positions[slot] ?? 0n);
  });
}

function assertEqual(rule: string, what: string, found: bigint, expected: bigint): void {
  if (found !== expected) throw new NotConserved(rule, what, found, expected);
}

function magnitude(x: bigint): bigint {
  return x < 0n ? -x : x;
}
