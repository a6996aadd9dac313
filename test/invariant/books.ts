import type { Sender } from "../../src/chain/clearingHouse.ts";
import type { ConservationFacts } from "../../src/protocol/conservation.ts";
import { type EpochMarkets, equityInBand, feeAtDefault } from "../../src/protocol/epoch.ts";
import type { Hex } from "../../src/protocol/keys.ts";

/** A payout ratio of one. */
export const WHOLE = 10n ** 18n;

/** What the house's own buckets should hold, kept by the test from what it does. Base units. */
export type Books = {
  closeOutAccount: bigint;
  fees: bigint;
  guarantyFund: bigint;
  /** Share of a withdrawal that is paid, in WHOLE. */
  ratio: bigint;
  /** By the staker's address in lower case. */
  readonly stakes: Map<string, { amount: bigint; withdrawableIn: number }>;
  /** By owner key. */
  readonly bonds: Map<bigint, bigint>;
  /** Numbers of traders whose margin call could not be met in this window. */
  readonly shutOut: Set<number>;
  /** Who takes over, and from when on. */
  nextOperator: { readonly sender: Sender; readonly effectiveAt: bigint } | undefined;
};

/** Before anything happened. */
export function newBooks(): Books {
  return {
    closeOutAccount: 0n,
    fees: 0n,
    guarantyFund: 0n,
    ratio: WHOLE,
    stakes: new Map(),
    bonds: new Map(),
    shutOut: new Set(),
    nextOperator: undefined,
  };
}

/** What an address has at stake. */
export function stakeOf({ stakes }: Books, address: Hex): bigint {
  return stakes.get(address.toLowerCase())?.amount ?? 0n;
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

// ------------------------------------------------------------------ close

/** What a close does about losses, from the facts just after it, which it does not change otherwise. */
export type ExpectedClose = {
  readonly tornUp: readonly boolean[];
  readonly ratio: bigint;
};

/** Which markets a close tears up, and the payout ratio after it. `layers`: operator's stake and guaranty fund. */
export function expectedClose(facts: ConservationFacts, stake: bigint, ratioBefore: bigint): ExpectedClose {
  const { buckets, markets, poolPositions, closeOutPositions, ticketSums } = facts;
  const prices = markets.map(({ settlementPrice }) => settlementPrice);
  const pool = worth({ cash: buckets.poolCash, positions: poolPositions }, prices);
  const account = worth({ cash: buckets.closeOutAccount, positions: closeOutPositions }, prices);
  const need = { account: missing(account), pool: missing(pool) };
  const layers = stake + buckets.guarantyFund + surplus(account);
  const shortage = need.account + need.pool - layers;
  if (shortage <= 0n) return { tornUp: markets.map(() => false), ratio: ratioBefore };
  const tornUp = markets.map(({ listed, expired, tornUp }, slot) => {
    const atFault =
      (need.account > 0n && closeOutPositions[slot] !== 0n) || (need.pool > 0n && poolPositions[slot] !== 0n);
    return listed && atFault && (tornUp || !expired);
  });
  const tickets = ticketSums.reduce((sum, { cash, net }, slot) => sum + cash + net * (prices[slot] ?? 0n), 0n);
  return { tornUp, ratio: ratioAt(surplus(pool + buckets.claims + tickets), shortage) };
}

// ------------------------------------------------------------------ opening

/** What an opening makes of the buckets. */
export type ExpectedOpening = {
  readonly poolCash: bigint;
  readonly claims: bigint;
  readonly closeOutAccount: bigint;
  readonly closeOutPositions: readonly bigint[];
  readonly stakePaid: bigint;
  readonly guarantyFund: bigint;
  readonly steps: readonly Step[];
  readonly ratio: bigint;
};

/** The opening of the epoch with the markets `next`, from the facts just before it and the operator's stake. */
export function expectedOpening(facts: ConservationFacts, next: EpochMarkets, stake: bigint): ExpectedOpening {
  let { claims, closeOutAccount, poolCash } = facts.buckets;
  const closeOutPositions = [...facts.closeOutPositions];
  const poolPositions = [...facts.poolPositions];
  facts.markets.forEach((market, slot) => {
    const sums = facts.ticketSums[slot];
    if (!market.listed || sums === undefined) return;
    const price = market.settlementPrice;
    const fees = sums.gross * feeAtDefault(market);
    closeOutAccount += fees - sums.net * price;
    claims += sums.cash + sums.net * price - fees;
    closeOutPositions[slot] = (closeOutPositions[slot] ?? 0n) + sums.net;
    if (!market.expired) return;
    poolCash += (poolPositions[slot] ?? 0n) * price;
    closeOutAccount += (closeOutPositions[slot] ?? 0n) * price;
    poolPositions[slot] = 0n;
    closeOutPositions[slot] = 0n;
  });

  const prices = next.map(({ centre }) => centre);
  const account = (): Held => ({ cash: closeOutAccount, positions: closeOutPositions });
  const pool = (): Held => ({ cash: poolCash, positions: poolPositions });
  const need: Need = { account: missing(worth(account(), prices)), pool: missing(atWorstLimits(pool(), next)) };
  const steps: Step[] = [];
  const pay = (layer: number, available: bigint): bigint => {
    const wanted = need.account + need.pool;
    if (wanted === 0n) return 0n;
    const [ofAccount, least] = layer === 0 ? [0n, need.pool] : [need.account, need.pool];
    const toAccount = available < ofAccount ? available : ofAccount;
    const toPool = available - toAccount < least ? available - toAccount : least;
    closeOutAccount += toAccount;
    poolCash += toPool;
    need.account -= toAccount;
    need.pool -= toPool;
    steps.push({ layer, need: wanted, toAccount, toPool });
    return toAccount + toPool;
  };
  const spare = need.pool === 0n ? 0n : surplus(atWorstLimits(account(), next));
  closeOutAccount -= pay(0, spare);
  const stakePaid = pay(1, stake);
  const guarantyFund = facts.buckets.guarantyFund - pay(2, facts.buckets.guarantyFund);

  const value = worth(pool(), prices);
  const shortage = missing(worth(account(), prices)) + missing(value);
  return {
    poolCash,
    claims,
    closeOutAccount,
    closeOutPositions,
    stakePaid,
    guarantyFund,
    steps,
    ratio: ratioAt(surplus(value + claims), shortage),
  };
}
