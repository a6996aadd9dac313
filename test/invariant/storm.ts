import { deposit } from "../../src/chain/clearingHouse.ts";
import { DOLLAR } from "../../src/clearing/leanHogs.ts";
import type { Hex } from "../../src/protocol/keys.ts";
import type { Side } from "../../src/protocol/order.ts";
import { driftOf, isReckless, opening, presentSeats, prove, stepPlanned, stepTrade } from "./actions.ts";
import { count, step, type Trader, type World } from "./world.ts";

/*
 * What rarely comes about by chance: somebody takes the losing side of a large trade and is never seen again, while the
 * price goes to its limit day after day.
 */

/** All the money and the bonds of a storm are lost in one market. */
const SLOT = 0;

/** Somebody reckless takes a large position, as a ticket that is left behind or in an account that is. */
export async function stampede(world: World): Promise<void> {
  const { chance, books } = world;
  const reckless = chance.pick(presentSeats(world).filter(isReckless));
  const other = chance.pick(presentSeats(world).filter((trader) => !isReckless(trader)));
  if (reckless === undefined || other === undefined) return;
  const tickets = await tradeAtLimit(world, reckless, other, BigInt(8 + chance.int(8)));
  if (tickets === undefined) return;
  books.gone.add(reckless.number);
  count(world, "stampede");
  const taken: readonly (readonly [Trader, Hex])[] = [
    [other, tickets.winning],
    ...(chance.happens(25) ? [[reckless, tickets.losing] as const] : []),
  ];
  for (const [trader, ticketId] of taken) {
    const closing = trader.account.closeTicket(ticketId);
    await stepPlanned(world, "a position is taken home", [await prove(world, trader, closing)]);
  }
}

/** The day's last trade is at the limit. */
export async function pushPrice(world: World): Promise<void> {
  const seats = presentSeats(world).filter((trader) => !isReckless(trader));
  const [first, second] = [seats[0], seats[1]];
  if (first === undefined || second === undefined) return;
  await tradeAtLimit(world, first, second, 2n);
}

/** Both open a ticket, and trade with each other; returns the tickets. */
async function tradeAtLimit(world: World, loser: Trader, winner: Trader, quantity: bigint) {
  const { state } = world.exchange;
  const market = state.markets(state.epoch)[SLOT];
  if (market?.listed !== true || market.closingOnly) return undefined;
  const drift = driftOf(state.epoch, true);
  const price = market.centre + drift * market.priceLimit;
  const sides: readonly (readonly [Trader, Side])[] = [
    [loser, drift > 0n ? "sell" : "buy"],
    [winner, drift > 0n ? "buy" : "sell"],
  ];
  const planned = [];
  for (const [trader, side] of sides) {
    const spec = trader.account.ticketFor(SLOT, { side, price, quantity });
    if (trader.account.freeCash < spec.cash + 10n * DOLLAR) await fundWith(world, trader, spec.cash + 1_000n * DOLLAR);
    planned.push(await prove(world, trader, opening(trader, SLOT, [spec])));
  }
  const before = sides.map(([{ account }]) => new Set(account.state.tickets.map(({ ticketId }) => ticketId)));
  await stepPlanned(world, "tickets for a trade at the limit", planned);
  const tickets = sides.map(([{ account }], i) =>
    account.state.tickets.find(({ ticketId }) => before[i]?.has(ticketId) === false),
  );
  const [losing, winning] = tickets;
  if (losing === undefined || winning === undefined) return undefined;
  await stepTrade(
    world,
    { trader: loser, ticket: losing },
    { trader: winner, ticket: winning },
    {
      side: sides[0]?.[1] ?? "buy",
      price,
      quantity,
    },
  );
  return { losing: losing.ticketId, winning: winning.ticketId };
}

/** A deposit, and the account takes it in if the house takes any. */
async function fundWith(world: World, trader: Trader, amount: bigint): Promise<void> {
  const { account, sender } = trader;
  await step(world, "a deposit for a trade", async () => {
    await deposit(world.exchange.chain, sender, amount, account.newCreditKey());
    return new Map([[trader, amount]]);
  });
  const credit = account.state.credits.find((own) => own.amount === amount);
  if (credit !== undefined) {
    await stepPlanned(world, "funding", [await prove(world, trader, account.fund(credit.creditId))]);
  }
}
