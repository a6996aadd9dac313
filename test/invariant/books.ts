import type { Sender } from "../../src/chain/clearingHouse.ts";
import type { ConservationFacts } from "../../src/protocol/conservation.ts";
import { type EpochMarkets, equityInBand, feeAtDefault } from "../../src/protocol/epoch.ts";
import type { Hex } from "../../src/protocol/keys.ts";
import { SLOTS } from "../../src/protocol/note.ts";

/** A payout ratio of one. */
export const WHOLE = 10n ** 18n;

/** Contracts that drop-outs left in a market, and the cash against them. */
export type Lot = { readonly cash: bigint; readonly position: bigint };

/** What the house's own buckets should hold, kept by the test from what it does. Base units. */
export type Books = {
  closeOutAccount: bigint;
  /** By slot: the contracts of drop-outs, and what they brought and cost since there were none. */
  readonly abandoned: Lot[];
  fees: bigint;
  guarantyFund: bigint;
  /** Share of a withdrawal that is paid, in WHOLE. */
  ratio: bigint;
  /** By the staker's address in lower case. */
  readonly stakes: Map<string, { amount: bigint; withdrawableIn: number }>;
  /** By owner key. */
  readonly bonds: Map<bigint, bigint>;
  /** Numbers of traders who do not renew any more. */
  readonly gone: Set<number>;
  /** Who takes over, and from when on. */
  nextOperator: { readonly sender: Sender; readonly effectiveAt: bigint } | undefined;
};

const NOTHING: Lot = { cash: 0n, position: 0n };

/** Before anything happened. */
export function newBooks(): Books {
  return {
    closeOutAccount: 0n,
    abandoned: Array.from({ length: SLOTS }, () => NOTHING),
    fees: 0n,
    guarantyFund: 0n,
    ratio: WHOLE,
    stakes: new Map(),
    bonds: new Map(),
    gone: new Set(),
    nextOperator: undefined,
  };
}

/** What an address has at stake. */
export function stakeOf({ stakes }: Books, address: Hex): bigint {
  return stakes.get(address.toLowerCase())?.amount ?? 0n;
}

/** Cash and contracts that the close-out account receives in a market. */
export function bookAbandoned(books: Books, slot: number, cash: bigint, contracts: bigint): void {
  const lot = books.abandoned[slot] ?? NOTHING;
  const position = lot.position + contracts;
  books.abandoned[slot] = { position, cash: position === 0n ? 0n : lot.cash + cash };
  books.closeOutAccount += cash;
}

/** What the close-out account is worth at prices by slot. */
export function accountValue({ closeOutAccount, abandoned }: Books, prices: readonly bigint[]): bigint {
  return worth({ cash: closeOutAccount, positions: abandoned.map(({ position }) => position) }, prices);
}

/** How an amount is shared at the ratio of the day: paid, kept by the close-out account as far as it needs it, the rest. */
export function shareOf(books: Books, amount: bigint, prices: readonly bigint[]) {
  const paid = (amount * books.ratio) / WHOLE;
  const lost = amount - paid;
  const needed = missing(accountValue(books, prices));
  const toAccount = lost < needed ? lost : needed;
  return { paid, toAccount, toPool: lost - toAccount };
}

/** A step of the waterfall: layer 0 what drop-outs left, 1 the operator's stake, 2 the guaranty fund. */
export type Step = {
  readonly layer: number;
  readonly need: bigint;
  readonly toAccount: bigint;
  readonly toPool: bigint;
};

/** What is missing in the close-out account, and in the pool. */
type Need = { account: bigint; pool: bigint };

/** Cash and positions of one bucket. */
type Held = { readonly cash: bigint; readonly positions: readonly bigint[] };

const missing = (value: bigint): bigint => (value < 0n ? -value : 0n);
const surplus = (value: bigint): bigint => (value > 0n ? value : 0n);

/** At settlement prices in the window, at the new centres in Trading: the same prices. */
function worth({ cash, positions }: Held, prices: readonly bigint[]): bigint {
  return positions.reduce((sum, position, slot) => sum + position * (prices[slot] ?? 0n), cash);
}

function atWorstLimits({ cash, positions }: Held, markets: EpochMarkets): bigint {
  return markets.reduce(
    (sum, { centre, priceLimit }, slot) => equityInBand(sum, positions[slot] ?? 0n, centre, priceLimit),
    cash,
  );
}

function ratioAt(base: bigint, shortage: bigint): bigint {
  if (shortage === 0n) return WHOLE;
  return base <= shortage ? 0n : ((base - shortage) * WHOLE) / base;
}

/** What is missing at prices: what the close-out account has over counts for the pool. */
function needAt(account: bigint, pool: bigint): Need {
  return account < 0n ? { account: -account, pool: missing(pool) } : { account: 0n, pool: missing(pool + account) };
}

// ------------------------------------------------------------------ close

/** What a close does about losses. */
export type ExpectedClose = { readonly tornUp: readonly boolean[]; readonly ratio: bigint };

/** Which markets a close tears up, and the payout ratio after it, from the facts just after it and the operator's stake. */
export function expectedClose(books: Books, facts: ConservationFacts, stake: bigint): ExpectedClose {
  const { buckets, markets, poolPositions, ticketSums } = facts;
  const prices = markets.map(({ settlementPrice }) => settlementPrice);
  const pool = worth({ cash: buckets.poolCash, positions: poolPositions }, prices);
  const need = needAt(accountValue(books, prices), pool);
  const shortage = need.account + need.pool - stake - books.guarantyFund;
  if (shortage <= 0n) return { tornUp: markets.map(() => false), ratio: books.ratio };
  const tornUp = markets.map(({ listed, expired, tornUp }, slot) => {
    const { cash, position } = books.abandoned[slot] ?? NOTHING;
    const costs = position !== 0n && cash + position * (prices[slot] ?? 0n) < 0n;
    const atFault = (need.account > 0n && costs) || (need.pool > 0n && poolPositions[slot] !== 0n);
    return listed && atFault && (tornUp || !expired);
  });
  const tickets = ticketSums.reduce((sum, { cash, net }, slot) => sum + cash + net * (prices[slot] ?? 0n), 0n);
  return { tornUp, ratio: ratioAt(surplus(surplus(pool) + buckets.claims + books.fees + tickets), shortage) };
}

// ------------------------------------------------------------------ opening

/** What an opening does besides what `books` keeps account of. */
export type ExpectedOpening = {
  readonly poolCash: bigint;
  readonly claims: bigint;
  readonly steps: readonly Step[];
};

/**
 * The opening of the epoch with the markets `next`, from the facts just before it: left-over tickets, contracts that end,
 * and the layers in their order. Brings the books to what they are after it.
 */
export function bookOpening(
  books: Books,
  facts: ConservationFacts,
  next: EpochMarkets,
  operator: Hex,
): ExpectedOpening {
  let { claims, poolCash } = facts.buckets;
  const poolPositions = [...facts.poolPositions];
  facts.markets.forEach((market, slot) => {
    const sums = facts.ticketSums[slot];
    if (!market.listed || sums === undefined) return;
    const price = market.settlementPrice;
    const fees = sums.gross * feeAtDefault(market);
    if (sums.cash !== 0n || sums.gross !== 0n) bookAbandoned(books, slot, fees - sums.net * price, sums.net);
    claims += sums.cash + sums.net * price - fees;
    if (!market.expired) return;
    poolCash += (poolPositions[slot] ?? 0n) * price;
    poolPositions[slot] = 0n;
    const { position } = books.abandoned[slot] ?? NOTHING;
    bookAbandoned(books, slot, position * price, -position);
  });

  const prices = next.map(({ centre }) => centre);
  const positions = books.abandoned.map(({ position }) => position);
  const poolAt = (): Held => ({ cash: poolCash, positions: poolPositions });
  const need: Need = {
    account: missing(accountValue(books, prices)),
    pool: missing(atWorstLimits(poolAt(), next)),
  };
  const steps: Step[] = [];
  const pay = (layer: number, available: bigint, accountToo: boolean): bigint => {
    const wanted = need.account + need.pool;
    if (wanted === 0n) return 0n;
    const toAccount = !accountToo ? 0n : available < need.account ? available : need.account;
    const toPool = available - toAccount < need.pool ? available - toAccount : need.pool;
    books.closeOutAccount += toAccount;
    poolCash += toPool;
    need.account -= toAccount;
    need.pool -= toPool;
    steps.push({ layer, need: wanted, toAccount, toPool });
    return toAccount + toPool;
  };
  const spare = need.pool === 0n ? 0n : surplus(atWorstLimits({ cash: books.closeOutAccount, positions }, next));
  books.closeOutAccount -= pay(0, spare, false);
  const stake = books.stakes.get(operator.toLowerCase());
  const stakePaid = pay(1, stake?.amount ?? 0n, true);
  if (stake !== undefined) stake.amount -= stakePaid;
  books.guarantyFund -= pay(2, books.guarantyFund, true);

  const pool = worth(poolAt(), prices);
  const left = needAt(accountValue(books, prices), pool);
  books.ratio = ratioAt(surplus(surplus(pool) + claims + books.fees), left.account + left.pool);
  return { poolCash, claims, steps };
}
