import { call, closeEpoch, ContractRefused, takeAbandoned } from "../chain/clearingHouse.ts";
import { nextBandValuation } from "../protocol/epoch.ts";
import { equity } from "../protocol/valuation.ts";
import { WHOLE } from "./books.ts";
import { abandonedIn, closeTickets } from "./trading.ts";
import { CLEARING_TERMS } from "./terms.ts";
import { isPresent, magnitude, type Trader } from "./traders.ts";
import { actAll, advanceTo, depositFor, openingOf, settleStep, type World } from "./world.ts";

/** What the end of one day brought. */
export type Closed = {
  readonly calls: number;
  readonly met: number;
  /** Seats that missed the renewal: of those, how many were called and did not pay. */
  readonly defaults: number;
  readonly unpaid: number;
  readonly renewed: number;
  readonly abandoned: number;
};

/** In how many of a thousand cases somebody who could renew misses it. */
const MISSES_RENEWAL = { maker: 0, active: 0, retail: 2, asleep: 0 } as const;
/** In how many of a thousand days somebody in default comes back, or claims a ticket that was left over. */
const COMES_BACK = 200;
const CLAIMS = 500;
/** In how many of a thousand days a sleeper wakes, one that woke and holds nothing sleeps again, and somebody withdraws. */
const WAKES = 10;
const SLEEPS_AGAIN = 300;
const WITHDRAWS = 20;

/** What a morning brought. Base units. */
export type Morning = {
  readonly rejoined: number;
  readonly woken: number;
  readonly withdrawals: number;
  /** What they were paid: less than they gave where the payout ratio is below one. */
  readonly withdrawn: bigint;
  readonly bondsForfeited: number;
};

/** The morning, before anybody trades. */
export async function beginTheDay(world: World): Promise<Morning> {
  const rejoined = await comeBack(world);
  const bondsForfeited = await reportLate(world);
  const woken = await wakeSome(world);
  return { rejoined, bondsForfeited, woken, ...(await withdrawSome(world)) };
}

/** Claims of tickets that were left over, and seats in default that come back. Returns how many did. */
async function comeBack(world: World): Promise<number> {
  const { traders, chance, exchange } = world;
  const bond = exchange.terms.seatBond;
  const returning = await actAll(world, "directly", traders, (trader) => {
    if (trader.account.status.status !== "inDefault" || !chance.happens(COMES_BACK)) return undefined;
    if (trader.wealth < bond) return undefined;
    trader.wealth -= bond;
    return trader.account.rejoin();
  });
  await actAll(world, "relayed", traders, (trader) => {
    const [ticket] = trader.account.state.tickets;
    if (ticket === undefined || !isPresent(trader) || !chance.happens(CLAIMS)) return undefined;
    return trader.account.claimTicket(ticket.ticketId);
  });
  return returning.length;
}

/** Reporters have the bonds forfeited of seats that stayed away beyond the grace. Returns how many. */
async function reportLate(world: World): Promise<number> {
  const { traders, state, exchange, bank, books } = world;
  const late = traders.filter((trader) => {
    const { status } = trader.account;
    const grace = exchange.terms.flatGraceEpochs;
    return status.status === "inDefault" && state.epoch > status.since + grace && books.bondOf(trader) > 0n;
  });
  for (const { account } of late) {
    await call(exchange.chain, bank, { functionName: "forfeitBond", args: [account.keys.ownerKey] });
  }
  if (late.length > 0) await settleStep(world, []);
  return late.length;
}

/** Sleepers wake now and then; those that are awake and hold nothing go back to sleep. Returns how many woke. */
async function wakeSome(world: World): Promise<number> {
  const { traders, chance } = world;
  const sleepers = traders.filter(({ sleeper }) => sleeper);
  const waking = sleepers.filter(({ account }) => account.status.status === "asleep" && chance.happens(WAKES));
  const tired = sleepers.filter((trader) => isPresent(trader) && isIdle(trader) && chance.happens(SLEEPS_AGAIN));
  for (const trader of waking) trader.kind = "retail";
  await actAll(world, "directly", waking, ({ account }) => account.wake());
  await actAll(world, "relayed", tired, ({ account }) => account.sleep());
  for (const trader of tired) if (trader.account.status.status === "asleep") trader.kind = "asleep";
  return waking.length;
}

function isIdle({ account }: Trader): boolean {
  return account.state.tickets.length === 0 && account.account.positions.every((position) => position === 0n);
}

/** A few take a part of what they have free out of their accounts. */
async function withdrawSome(world: World): Promise<Pick<Morning, "withdrawals" | "withdrawn">> {
  const { traders, chance, bank, books, state, exchange } = world;
  const asked = new Map<Trader, { readonly amount: bigint; readonly nullifier: bigint }>();
  for (const trader of traders) {
    if (trader.kind === "maker" || trader.kind === "asleep" || !isPresent(trader)) continue;
    if (!chance.happens(WITHDRAWS)) continue;
    const amount = (trader.account.freeCash * BigInt(chance.between(5, 50))) / 100n;
    const nullifier = trader.account.state.live?.nullifier;
    if (amount > 0n && nullifier !== undefined) asked.set(trader, { amount, nullifier });
  }
  const ratio = await exchange.chain.house.read.payoutRatio();
  let wanted = await missingIn(world);
  let [withdrawals, withdrawn] = [0, 0n];
  const asking = [...asked.keys()];
  await actAll(
    world,
    "relayed",
    asking,
    (trader) => trader.account.withdraw(bank.address, asked.get(trader)?.amount ?? 0n),
    () => {
      // In the order of the batch: each fills the close-out account before the next.
      for (const [trader, { amount, nullifier }] of asked) {
        if (!state.transitioned.has(nullifier)) continue;
        const paid = (amount * ratio) / WHOLE;
        const toAccount = amount - paid < wanted ? amount - paid : wanted;
        wanted -= toAccount;
        books.bookKept(amount - paid - toAccount);
        trader.wealth += paid;
        withdrawals += 1;
        withdrawn += paid;
      }
    },
  );
  return { withdrawals, withdrawn };
}

/** What the close-out account is short of at the prices of the last settlement. */
async function missingIn({ exchange, state }: World): Promise<bigint> {
  const { house } = exchange.chain;
  const [{ closeOutAccount }, [, , positions]] = await Promise.all([house.read.buckets(), house.read.openPositions()]);
  const markets = state.markets(state.epoch);
  const worth = positions.reduce(
    (sum, position, slot) => sum + position * (markets[slot]?.centre ?? 0n),
    closeOutAccount,
  );
  return worth < 0n ? -worth : 0n;
}

/** Closes the day, calls margins, renews, and opens the next day. */
export async function turnTheDay(world: World, day: number): Promise<Closed> {
  const { exchange, operator, state, traders } = world;
  const { chain, terms } = exchange;
  const { closingTime } = await chain.house.read.epochOf([state.epoch]);
  await advanceTo(world, closingTime);
  await closeEpoch(chain, operator);
  await settleStep(world, []);
  await auctionAbandoned(world);
  await closeTickets(
    world,
    "directly",
    traders.filter(({ account }) => account.state.tickets.length > 0),
  );
  const present = traders.filter((trader) => isPresent(trader));
  const { calls, met } = await callMargins(world, present);

  await exchange.mine(terms.windowBlocks);
  await exchange.advanceTime(terms.windowA);
  await call(chain, operator, { functionName: "beginRenewals", args: [] });
  const renewed = await renewAll(world, present);
  const abandoned = traders.filter(({ account }) => account.state.tickets.some(({ epoch }) => epoch === state.epoch));

  await exchange.mine(terms.windowBlocks);
  await advanceTo(world, openingOf(world, day + 1));
  await call(chain, operator, { functionName: "openEpoch", args: [] });
  await state.sync();
  const defaulted = present.filter(({ account: { status } }) => status.status === "inDefault");
  world.books.bookDefaults(defaulted);
  await settleStep(world, []);
  return {
    calls: calls.length,
    met: met.length,
    defaults: defaulted.length,
    unpaid: defaulted.filter((trader) => calls.includes(trader) && !met.includes(trader)).length,
    renewed: renewed.length,
    abandoned: abandoned.length,
  };
}

/** How far into part A of the window makers begin to take what drop-outs left over, and seconds from bid to bid. */
const AUCTION_WAIT = BigInt(Math.floor(CLEARING_TERMS.windowA / 3));
const BID_EVERY = 10n;
/** A ticket that has too little for what is sold, or may only reduce, takes nothing. */
const NO_TAKER = ["TicketBelowMargin", "NotReducing"];

/** Makers that bid take over what drop-outs left, each as far as its open ticket goes (spec SIM-10). */
async function auctionAbandoned(world: World): Promise<void> {
  const { exchange, bank, chance, stress, state, traders } = world;
  const forSale = await abandonedIn(world);
  if (forSale.every((position) => position === 0n)) return;
  const { closedAt } = await exchange.chain.house.read.epochOf([state.epoch]);
  // At fixed times, as the price moves with them: a run says the same again on a slower machine (spec SIM-3).
  let bidAt = closedAt + AUCTION_WAIT;
  const takers: Trader[] = [];
  for (const trader of traders.filter(({ kind }) => kind === "maker")) {
    if (stress.bidders !== undefined && !chance.happens(stress.bidders * 10)) continue;
    const ticket = trader.account.state.tickets.find(({ epoch }) => epoch === state.epoch);
    if (ticket === undefined) continue;
    await exchange.nextBlockAt(bidAt);
    bidAt += BID_EVERY;
    const [position, price] = await exchange.chain.house.read.auctionPrice([ticket.slot]);
    if (position === 0n) continue;
    // The price only ever gives way: the limit holds when the bid arrives.
    const bid = { ticketId: ticket.ticketId, quantity: Number(position), limitPrice: price };
    try {
      await takeAbandoned(exchange.chain, bank, await trader.account.signBid(bid));
      takers.push(trader);
    } catch (error) {
      if (!(error instanceof ContractRefused && NO_TAKER.includes(error.code))) throw error;
    }
  }
  if (takers.length > 0) await settleStep(world, takers);
}

/** What a renewal would leave an account with at the maintenance band of the coming day; negative in a margin call. */
function afterRenewal({ state }: World, { account }: Trader): bigint {
  const markets = state.markets(state.epoch);
  const next = state.markets(state.epoch + 1);
  return equity(account.account, nextBandValuation(markets, next, "maintenanceMargin", true));
}

/** Everybody whose account cannot renew as it is gets a call; who can and will pays it in part A of the window. */
async function callMargins(
  world: World,
  present: readonly Trader[],
): Promise<{ readonly calls: readonly Trader[]; readonly met: readonly Trader[] }> {
  const { chance, state } = world;
  const next = state.markets(state.epoch + 1);
  const calls = present.filter((trader) => afterRenewal(world, trader) < 0n);
  const met: Trader[] = [];
  for (const trader of calls) {
    const missing = -afterRenewal(world, trader);
    const cushion = trader.account.account.positions.reduce(
      (sum, position, slot) => sum + (magnitude(position) * (next[slot]?.maintenanceMargin ?? 0n)) / 5n,
      0n,
    );
    if (trader.wealth < missing || !chance.happens(trader.discipline)) continue;
    const amount = trader.wealth < missing + cushion ? trader.wealth : missing + cushion;
    trader.wealth -= amount;
    await depositFor(world, trader, amount);
    met.push(trader);
  }
  if (met.length > 0) await settleStep(world, met);
  await actAll(world, "directly", met, ({ account }) => {
    const credit = account.state.credits.at(-1);
    return credit === undefined ? undefined : account.fund(credit.creditId, { relayed: false });
  });
  return { calls, met };
}

/** Renews every seat that can pay and does not miss it; returns who did. */
function renewAll(world: World, present: readonly Trader[]): Promise<readonly Trader[]> {
  return actAll(world, "directly", present, ({ kind, account }) =>
    world.chance.happens(MISSES_RENEWAL[kind]) ? undefined : account.renew({ relayed: false }),
  );
}
