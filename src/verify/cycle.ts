import { equityInBand, feeAtDefault } from "../protocol/epoch.ts";
import { SLOTS } from "../protocol/note.ts";
import { type Call, emitted } from "./call.ts";
import { must } from "./errors.ts";
import { poolCover } from "./pool.ts";
import { attestedPrices, type CallQuote, clamp, finalMean, type PricedDay, pricedDay, reachable } from "./prices.ts";
import type { MarketTerms } from "./registry.ts";
import type { House, Market } from "./state.ts";

/** Lists what the registry published and begins the first day, as the deployment does. Throws Fault. */
export function start(call: Call): void {
  for (let slot = 0; slot < SLOTS; slot++) list(call.house.market(slot, 1), call.registry.termsOf(slot, call.time));
  beginTrading(call);
}

/** Ends Trading: prices the day and freezes the next one around it (spec EPO-3, EPO-7). Throws Fault. */
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
  let expiring = 0;
  for (let slot = 0; slot < SLOTS; slot++) {
    const market = house.market(slot);
    if (market.listed) {
      const windowStart = today.closingTime - BigInt(terms.settlementWindow);
      const day = pricedDay(market, windowStart, attested, slot);
      days.set(slot, day);
      market.settlementPrice = day.price;
      emitted(call, "SettlementPriced", { epoch: house.epoch, slot, ...day });
      if (market.lastTradingTime <= today.closingTime) settleFinally(house, market, slot);
      if (market.expired) expiring |= 1 << slot;
    }
    rollOver(call, slot, registry.termsOf(slot, time));
  }
  today.closedAt = time;
  today.closedBlock = block;
  house.phase = "window";
  const settlementPrice = today.markets.map((market) => (market.listed ? market.settlementPrice : 0n));
  emitted(call, "EpochClosed", { epoch: house.epoch, settlementPrice, expiring });
  return days;
}

/** Ends the window: left-over tickets, expiries, the next day, the waterfall (spec EPO-8). Throws Fault. */
export function open(call: Call): void {
  const { house, time, block } = call;
  must(house.phase === "window", "EPO-6", "a day was opened outside the window");
  const { closedAt, closedBlock, markets } = house.today;
  const { windowA, windowB, windowBlocks } = house.terms;
  const earliest = closedAt + BigInt(windowA) + BigInt(windowB);
  must(time >= earliest, "EPO-6", `the next day was opened at ${time}, before ${earliest}`);
  const earliestBlock = closedBlock + 2n * BigInt(windowBlocks);
  must(block >= earliestBlock, "EPO-6", `the next day was opened in block ${block}, before ${earliestBlock}`);
  markets.forEach((market, slot) => {
    if (!market.listed) return;
    bookLeftOver(call, market, slot);
    if (market.expired) expire(house, market, slot);
  });
  house.epoch += 1;
  beginTrading(call);
  coverGap(call);
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

/** The mean of a contract's last days settles it, unless the limits cut it off (spec SET-9, SET-10). */
function settleFinally(house: House, market: Market, slot: number): void {
  const mean = finalMean(house, market, slot);
  if (mean === undefined) return;
  const { down, up } = reachable(market);
  market.settlementPrice = clamp(mean, down, up);
  market.expired = mean >= down && mean <= up;
}

/** Carries a contract into the next day around its settlement price, or lists a new one in a free slot. */
function rollOver({ house, time }: Call, slot: number, terms: MarketTerms | undefined): void {
  const market = house.market(slot);
  const next = house.market(slot, house.epoch + 1);
  if (!market.listed || market.expired) {
    const isNew = terms !== undefined && terms.contractId !== market.contractId && terms.lastTradingTime > time;
    if (isNew) list(next, terms);
    return;
  }
  if (terms !== undefined && mayFollow(market, terms)) {
    list(next, terms);
  } else {
    const { fills: _fills, ...kept } = market;
    Object.assign(next, { ...kept, settlementPrice: 0n, auctionPrice: undefined });
  }
  next.centre = market.settlementPrice;
  next.closingOnly = market.lastTradingTime <= house.today.closingTime;
}

/** New terms of a running contract take effect only where dropping out at the day's end stays no option (spec GOV-8). */
function mayFollow(market: Market, terms: MarketTerms): boolean {
  return (
    terms.contractId === market.contractId &&
    terms.tick === market.tick &&
    terms.lastTradingTime === market.lastTradingTime &&
    terms.priceLimit <= market.closeOutFee &&
    terms.initialMargin >= market.closeOutFee
  );
}

function list(market: Market, terms: MarketTerms | undefined): void {
  if (terms === undefined) return;
  const { listingPrice, ...kept } = terms;
  Object.assign(market, { ...kept, centre: listingPrice, listed: true });
}

// ------------------------------------------------------------------ open

/** Tickets left open are closed at the default price from their running sums (spec DEF-3). */
function bookLeftOver(call: Call, market: Market, slot: number): void {
  const { house } = call;
  const { ledger } = house;
  const sums = house.sumsOf(slot);
  if (sums.cash === 0n && sums.gross === 0n) return;
  const atSettlement = sums.net * market.settlementPrice;
  const fees = sums.gross * feeAtDefault(market);
  let claims = sums.cash + atSettlement - fees;
  ledger.guarantyFund += fees - atSettlement;
  if (claims < 0n) {
    ledger.guarantyFund += claims;
    claims = 0n;
  }
  ledger.claims += claims;
  house.fundPositions[slot] = (house.fundPositions[slot] ?? 0n) + sums.net;
  const { net, gross } = sums;
  Object.assign(sums, { cash: 0n, net: 0n, gross: 0n });
  emitted(call, "LeftOverTickets", { epoch: house.epoch, slot, claims, net, gross });
}

/** An expired contract becomes cash everywhere (spec CON-6). */
function expire(house: House, market: Market, slot: number): void {
  const { ledger, poolPositions, fundPositions } = house;
  ledger.poolCash += (poolPositions[slot] ?? 0n) * market.settlementPrice;
  ledger.guarantyFund += (fundPositions[slot] ?? 0n) * market.settlementPrice;
  poolPositions[slot] = 0n;
  fundPositions[slot] = 0n;
}

/** The guaranty fund fills a hole of the pool as far as it can itself pay at the worst price (spec FND-4). */
function coverGap(call: Call): void {
  const { house } = call;
  const cover = poolCover(house);
  if (cover >= 0n) return;
  const available = house.today.markets.reduce(
    (cash, { centre, priceLimit }, slot) => equityInBand(cash, house.fundPositions[slot] ?? 0n, centre, priceLimit),
    house.ledger.guarantyFund,
  );
  const wanted = available < -cover ? available : -cover;
  const fromFund = wanted < 0n ? 0n : wanted;
  house.ledger.guarantyFund -= fromFund;
  house.ledger.poolCash += fromFund;
  emitted(call, "WaterfallStep", { epoch: house.epoch, gap: -cover, fromFund });
}
