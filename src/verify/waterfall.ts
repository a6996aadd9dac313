import { equityInBand } from "../protocol/epoch.ts";
import type { Hex } from "../protocol/keys.ts";
import { type Call, emitted } from "./call.ts";
import { poolCover } from "./pool.ts";
import { type House, WHOLE } from "./state.ts";

/** What is missing in the close-out account and in the pool. */
type Need = { account: bigint; pool: bigint };

/** Layers of the waterfall, in the order in which they pay. */
const LAYER = { defaulter: 0, operatorStake: 1, guarantyFund: 2 } as const;

/** At the close: markets behind a loss that no layer can pay end at the day's price (spec FND-7). Throws BrokenRule. */
export function tearUp(call: Call): void {
  const { house } = call;
  const need = needAtPrices(house);
  const shortage = need.account + need.pool - layersOf(house);
  if (shortage <= 0n) return;
  house.today.markets.forEach((market, slot) => {
    const atFault = (need.account > 0n && costs(house, slot)) || (need.pool > 0n && house.poolPositions[slot] !== 0n);
    if (!market.listed || market.expired || !atFault) return;
    market.expired = true;
    market.tornUp = true;
    emitted(call, "TornUp", { epoch: house.epoch, slot, price: market.settlementPrice });
  });
  publishRatio(call, shortage);
}

/** At the opening: the layers fill the holes as far as they reach, and the payout ratio follows (spec FND-4). Throws BrokenRule. */
export function cover(call: Call, operator: Hex): void {
  const { house } = call;
  const { ledger } = house;
  const need: Need = { account: missing(accountValue(house)), pool: missing(poolCover(house)) };
  if (need.account + need.pool > 0n) {
    const surplus = need.pool === 0n ? 0n : surplusOf(house);
    ledger.closeOutAccount -= pay(call, need, LAYER.defaulter, surplus);
    const stake = house.stakes.get(operator);
    const paid = pay(call, need, LAYER.operatorStake, stake?.amount ?? 0n);
    if (stake !== undefined) stake.amount -= paid;
    ledger.operatorStake -= paid;
    ledger.guarantyFund -= pay(call, need, LAYER.guarantyFund, ledger.guarantyFund);
  }
  const left = needAtPrices(house);
  publishRatio(call, left.account + left.pool);
}

/** One layer's share: the close-out account first, unless it is the one that pays, then the pool. */
function pay(call: Call, need: Need, layer: number, available: bigint): bigint {
  const { house } = call;
  const wanted = need.account + need.pool;
  if (wanted === 0n) return 0n;
  const toAccount = layer === LAYER.defaulter ? 0n : least(available, need.account);
  const toPool = least(available - toAccount, need.pool);
  house.ledger.closeOutAccount += toAccount;
  house.ledger.poolCash += toPool;
  need.account -= toAccount;
  need.pool -= toPool;
  emitted(call, "WaterfallStep", { epoch: house.epoch, layer, need: wanted, toAccount, toPool });
  return toAccount + toPool;
}

/** The share of withdrawals that is paid from now on, published where it changes (spec FND-8). */
function publishRatio(call: Call, shortage: bigint): void {
  const { house } = call;
  const base = promised(house);
  const ratio = shortage === 0n ? WHOLE : base <= shortage ? 0n : ((base - shortage) * WHOLE) / base;
  if (ratio === house.payoutRatio) return;
  house.payoutRatio = ratio;
  emitted(call, "PayoutRatio", { epoch: house.epoch, ratio });
}

/** What is paid of an amount at the ratio, and what of the rest the close-out account needs; else it stays (spec FND-8). */
export function shareOf(house: House, amount: bigint): { readonly paid: bigint; readonly toAccount: bigint } {
  const paid = (amount * house.payoutRatio) / WHOLE;
  return { paid, toAccount: least(amount - paid, missing(accountValue(house))) };
}

/** What all accounts and tickets are worth at settlement prices, with the claims of those left over and the fees. */
function promised(house: House): bigint {
  const tickets = house.sums.reduce((sum, { cash, net }, slot) => sum + cash + net * priceOf(house, slot), 0n);
  const pool = poolValue(house);
  const value = (pool > 0n ? pool : 0n) + house.ledger.claims + house.ledger.fees + tickets;
  return value > 0n ? value : 0n;
}

/** What the close-out account has over counts for the pool. */
function needAtPrices(house: House): Need {
  const [account, pool] = [accountValue(house), poolValue(house)];
  return account < 0n ? { account: -account, pool: missing(pool) } : { account: 0n, pool: missing(pool + account) };
}

/** Whether a position lost more than those who left it paid for leaving. */
function costs(house: House, slot: number): boolean {
  const position = house.closeOutPositions[slot] ?? 0n;
  return position !== 0n && (house.closeOutCash[slot] ?? 0n) + position * priceOf(house, slot) < 0n;
}

function layersOf({ stakes, operator, ledger }: House): bigint {
  return (stakes.get(operator)?.amount ?? 0n) + ledger.guarantyFund;
}

function accountValue(house: House): bigint {
  return valueOf(house, house.ledger.closeOutAccount, house.closeOutPositions);
}

function poolValue(house: House): bigint {
  return valueOf(house, house.ledger.poolCash, house.poolPositions);
}

function valueOf(house: House, cash: bigint, positions: readonly bigint[]): bigint {
  return positions.reduce((sum, position, slot) => sum + position * priceOf(house, slot), cash);
}

/** What the close-out account can spare even if its positions move by the whole limit of the day. */
function surplusOf(house: House): bigint {
  const worst = house.today.markets.reduce(
    (cash, { centre, priceLimit }, slot) => equityInBand(cash, house.closeOutPositions[slot] ?? 0n, centre, priceLimit),
    house.ledger.closeOutAccount,
  );
  return worst > 0n ? worst : 0n;
}

/** The last settlement price. */
function priceOf(house: House, slot: number): bigint {
  const { centre, settlementPrice } = house.market(slot);
  return house.phase === "trading" ? centre : settlementPrice;
}

function missing(value: bigint): bigint {
  return value < 0n ? -value : 0n;
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
