import { feeAtDefault } from "../protocol/epoch.ts";
import { SLOTS } from "../protocol/note.ts";
import { type Call, emitted } from "./call.ts";
import { book } from "./closeOut.ts";
import { must } from "./errors.ts";
import { attestedPrices, type CallQuote, clamp, finalMean, type PricedDay, pricedDay, reachable } from "./prices.ts";
import type { MarketTerms } from "./registry.ts";
import type { House, Market } from "./state.ts";
import { cover, tearUp } from "./waterfall.ts";

/** Lists what the registry published and begins the first day, as the deployment does. Throws BrokenRule. */
export function start(call: Call): void {
  for (let slot = 0; slot < SLOTS; slot++) list(call.house.market(slot, 1), call.registry.termsOf(slot, call.time));
  beginTrading(call);
}

/** Ends Trading: prices the day and freezes the next one around it (spec EPO-3, EPO-7). Throws BrokenRule. */
export function close(call: Call, quotes: readonly CallQuote[]): ReadonlyMap<number, PricedDay> {
  const { house, registry, sender, time, block } = call;
  must(house.phase === "trading", "EPO-3", "a day was closed that was closed already");
  const { today, terms } = house;
  const byOperator = sender === house.operator;
  const earliest = today.closingTime + (byOperator ? 0n : BigInt(terms.settleGrace));
  must(time >= earliest, "EPO-3", `the day was closed at ${time}, before ${earliest}`);
  must(byOperator || quotes.length === 0, "SET-8", "somebody else than the operator attested quotes");

  const attested = attestedPrices(call, quotes);
  const days = new Map<number, PricedDay>();
  today.markets.forEach((market, slot) => {
    if (!market.listed) return;
    const day = pricedDay(market, today.closingTime - BigInt(terms.settlementWindow), attested, slot);
    days.set(slot, day);
    market.settlementPrice = day.price;
    emitted(call, "SettlementPriced", { epoch: house.epoch, slot, ...day });
    if (market.lastTradingTime <= today.closingTime) settleFinally(call, market, slot);
  });
  today.closedAt = time;
  today.closedBlock = block;
  house.phase = "window";
  tearUp(call);
  for (let slot = 0; slot < SLOTS; slot++) rollOver(call, slot, registry.termsOf(slot, time));
  emitted(call, "EpochClosed", {
    epoch: house.epoch,
    settlementPrice: today.markets.map(({ settlementPrice }) => settlementPrice),
    expiring: today.markets.reduce((mask, { expired }, slot) => (expired ? mask | (1 << slot) : mask), 0),
  });
  return days;
}

/** Lets the day end early on which a market waits at its limit (spec EPO-13). Throws BrokenRule. */
export function closeEarly(call: Call, slot: number): void {
  const { house, time } = call;
  const { today, terms } = house;
  const market = house.market(slot);
  must(house.phase === "trading" && market.listed, "EPO-13", "a day was moved up outside Trading");
  const lockTime = BigInt(terms.lockTime);
  const closingTime = time + BigInt(terms.lockNotice);
  const movable = lockTime > 0n && !today.movedUp && closingTime < today.closingTime;
  must(movable, "EPO-13", `the closing time ${today.closingTime} was moved up to ${closingTime}`);
  const earliest = today.openedAt + BigInt(terms.callAuction) + lockTime;
  must(time >= earliest, "EPO-13", `the day was moved up at ${time}, before ${earliest}`);
  const first = (time - lockTime + 59n) / 60n;
  const late = market.fills.filter(({ execTime }) => execTime / 60n >= first);
  const volume = late.reduce((sum, { quantity }) => sum + quantity, 0n);
  const { down, up } = reachable(market);
  const locked = [down, up].some((limit) => late.every(({ price }) => price === limit));
  must(locked && volume >= BigInt(market.minimumVolume), "EPO-13", `slot ${slot} was not locked at a limit`);
  today.closingTime = closingTime;
  today.movedUp = true;
  emitted(call, "ClosingMovedUp", { epoch: house.epoch, slot, closingTime });
}

/** Stamps the beginning of part B at somebody's wish (spec EPO-6). Throws BrokenRule. */
export function beginRenewals(call: Call): void {
  const { house, time, block } = call;
  must(house.phase === "window" && house.inPartB(time, block), "EPO-6", "renewals were begun before part B");
  markRenewals(call);
}

/** Stamps the beginning of part B, if nobody did yet. Throws BrokenRule. */
export function markRenewals(call: Call): void {
  const { house, time, block } = call;
  const { today, epoch } = house;
  if (house.phase !== "window" || today.renewalsBlock !== 0n || !house.inPartB(time, block)) return;
  today.renewalsBlock = block;
  emitted(call, "RenewalsBegun", { epoch, blockNumber: block });
}

/** Ends the window: left-over tickets, expiries, the next day, the waterfall (spec EPO-8). Throws BrokenRule. */
export function open(call: Call): void {
  const { house, time, block } = call;
  must(house.phase === "window", "EPO-6", "a day was opened outside the window");
  const { closedAt, renewalsBlock, markets } = house.today;
  const { windowA, windowB, windowBlocks } = house.terms;
  const earliest = closedAt + BigInt(windowA) + BigInt(windowB);
  must(time >= earliest, "EPO-6", `the next day was opened at ${time}, before ${earliest}`);
  must(renewalsBlock > 0n, "EPO-6", "the next day was opened though part B was never seen to begin");
  const earliestBlock = renewalsBlock + BigInt(windowBlocks);
  must(block >= earliestBlock, "EPO-6", `the next day was opened in block ${block}, before ${earliestBlock}`);
  markets.forEach((market, slot) => {
    if (!market.listed) return;
    bookLeftOver(call, market, slot);
    if (market.expired) expire(house, market, slot);
  });
  const { operator } = house;
  house.epoch += 1;
  beginTrading(call);
  cover(call, operator);
}

function beginTrading(call: Call): void {
  const { house, registry, time } = call;
  house.operator = registry.operatorAt(time);
  house.today.openedAt = time;
  house.today.closingTime = time + BigInt(house.terms.tradingTime);
  house.phase = "trading";
  const { epoch } = house;
  emitted(call, "EpochOpened", { epoch, closingTime: house.today.closingTime, root: house.notes.open(epoch) });
}

// ------------------------------------------------------------------ close

/**
 * A contract's end: at its feed's price or the mean of its last days, unless the limits cut it off (spec SET-9, SET-10).
 * What a feed said is the house's word: no log holds it.
 */
function settleFinally(call: Call, market: Market, slot: number): void {
  const { house, logs } = call;
  const { down, up } = reachable(market);
  const fromFeed = BigInt(market.priceFeed) !== 0n && logs.nextValue("FinalPriced", "fromFeed") === true;
  if (fromFeed) {
    const price = logs.nextValue("FinalPriced", "price");
    must(typeof price === "bigint", "SET-9", `slot ${slot} has no final price`);
    market.expired = logs.nextValue("FinalPriced", "expired") === true;
    const possible = market.expired
      ? price >= down && price <= up && price % market.tick === 0n
      : price === down || price === up;
    must(possible, "SET-10", `the feed's final price ${price} of slot ${slot} is none that the limits let through`);
    market.settlementPrice = price;
  } else {
    const mean = finalMean(house, market, slot);
    if (mean === undefined) return;
    market.settlementPrice = clamp(mean, down, up);
    market.expired = mean >= down && mean <= up;
  }
  const { settlementPrice: price, expired } = market;
  emitted(call, "FinalPriced", { epoch: house.epoch, slot, fromFeed, price, expired });
}

/** Carries a contract into the next day around its settlement price, or lists a new one in a free slot. */
function rollOver({ house, time }: Call, slot: number, terms: MarketTerms | undefined): void {
  const market = house.market(slot);
  const next = house.market(slot, house.epoch + 1);
  if (!market.listed || (market.expired && !market.tornUp)) {
    const isNew = terms !== undefined && terms.contractId !== market.contractId && terms.lastTradingTime > time;
    if (isNew) list(next, terms);
    return;
  }
  if (terms !== undefined && mayFollow(market, terms)) list(next, terms);
  else Object.assign(next, { ...market, ...UNSETTLED, fills: next.fills });
  next.centre = market.settlementPrice;
  const move = next.centre - market.centre;
  const atLimit = (move < 0n ? -move : move) >= market.priceLimit;
  next.priceLimit = atLimit ? next.expandedLimit : next.dailyLimit;
  next.closingOnly = market.lastTradingTime <= house.today.closingTime;
}

/** What a day begins without. */
const UNSETTLED = { settlementPrice: 0n, expired: false, tornUp: false, auctionPrice: undefined };

/** New terms of a running contract take effect only where dropping out at the day's end stays no option (spec GOV-8). */
function mayFollow(market: Market, terms: MarketTerms): boolean {
  return (
    terms.contractId === market.contractId &&
    terms.tick === market.tick &&
    terms.lastTradingTime === market.lastTradingTime &&
    terms.priceFeed === market.priceFeed &&
    terms.feedMultiplier === market.feedMultiplier &&
    terms.expandedLimit <= market.closeOutFee &&
    terms.initialMargin >= market.closeOutFee
  );
}

function list(market: Market, terms: MarketTerms | undefined): void {
  if (terms === undefined) return;
  const { listingPrice, ...kept } = terms;
  Object.assign(market, { ...kept, dailyLimit: terms.priceLimit, centre: listingPrice, listed: true });
}

// ------------------------------------------------------------------ open

/** Tickets left open are closed at the default price from their running sums (spec DEF-3). */
function bookLeftOver(call: Call, market: Market, slot: number): void {
  const { house } = call;
  const sums = house.sumsOf(slot);
  if (sums.cash === 0n && sums.gross === 0n) return;
  const atSettlement = sums.net * market.settlementPrice;
  const fees = sums.gross * feeAtDefault(market);
  const worth = sums.cash + atSettlement - fees;
  const claims = worth > 0n ? worth : 0n;
  book(house, slot, fees - atSettlement + (worth - claims), sums.net);
  house.ledger.claims += claims;
  const { net, gross } = sums;
  Object.assign(sums, { cash: 0n, net: 0n, gross: 0n });
  emitted(call, "LeftOverTickets", { epoch: house.epoch, slot, claims, net, gross });
}

/** An expired contract becomes cash everywhere (spec CON-6). */
function expire(house: House, market: Market, slot: number): void {
  const { ledger, poolPositions, closeOutPositions } = house;
  ledger.poolCash += (poolPositions[slot] ?? 0n) * market.settlementPrice;
  poolPositions[slot] = 0n;
  const position = closeOutPositions[slot] ?? 0n;
  book(house, slot, position * market.settlementPrice, -position);
}
