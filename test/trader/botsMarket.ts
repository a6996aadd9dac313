import { LEAN_HOG_TERMS } from "../../src/clearing/leanHogs.ts";
import { apply, type Book, createBook } from "../../src/market/engine.ts";
import { fromTicks, toTicks } from "../../src/market/terms.ts";
import { type Entry, orderIdOf, type Session } from "../../src/market/types.ts";
import { depth, openOrder, stateHash } from "../../src/market/views.ts";
import { assertAcceptable, cashFor, type TicketBalance, tradeOn } from "../../src/protocol/ticket.ts";
import { type Chance, chanceOf } from "../../src/trader/bots/chance.ts";
import type { Brain } from "../../src/trader/bots/risk.ts";
import {
  type BotTrade,
  type Intent,
  limitTicks,
  type Observation,
  type OwnOrder,
} from "../../src/trader/bots/strategy.ts";
import { epochMarket } from "../support/epochMarket.ts";

/** A day of lean hogs: centre 3,200 ticks, limits 120 ticks either way. */
export const TERMS = epochMarket({
  ...LEAN_HOG_TERMS,
  listed: true,
  centre: LEAN_HOG_TERMS.listingPrice,
  settlementPrice: 0n,
  expired: false,
  closingOnly: false,
});

export const CENTRE = toTicks(TERMS.centre, TERMS.tick);
const SLOT_TICKS = limitTicks({ terms: TERMS, session: "open", closingTime: 0 });
export const DOWN = SLOT_TICKS.down;
export const UP = SLOT_TICKS.up;

/** A bot in a simulated market. Its ticket starts with margin for `maxPosition` contracts of one side. */
export type Player = {
  readonly name: string;
  readonly brain: Brain;
  readonly maxPosition: number;
};

type Seat = Player & {
  readonly chance: Chance;
  readonly opening: bigint;
  ticket: TicketBalance;
  fees: bigint;
  contracts: number;
  commands: number;
  unseen: BotTrade[];
  readonly orders: Map<string, string>;
};

/** What a bot made of its day. `profit`: marked at the last trade, before fees. */
export type Result = {
  readonly name: string;
  readonly position: number;
  readonly contracts: number;
  readonly commands: number;
  readonly profit: bigint;
  readonly fees: bigint;
};

export type Day = {
  readonly results: readonly Result[];
  readonly trades: number;
  readonly lastTicks: number | undefined;
  readonly stateHash: string;
  /** Every command that any bot gave, one line each. */
  readonly commands: readonly string[];
};

export type DayPlan = {
  readonly seed: number;
  readonly players: readonly Player[];
  readonly seconds: number;
  readonly stepSeconds?: number;
  readonly sessionAt?: (time: number) => Session;
  /** Looks at what a bot saw and did. */
  readonly onStep?: (name: string, observation: Observation, intents: readonly Intent[]) => void;
};

/**
 * A day of bots against each other in the engine, with the margin of each ticket kept as the exchange and the chain
 * keep it: an order or a fill that it does not cover throws.
 */
export function simulateDay({ seed, players, seconds, stepSeconds = 0.5, sessionAt, onStep }: DayPlan): Day {
  const book = createBook({ priceLimitDownTicks: DOWN, priceLimitUpTicks: UP, maxRevision: 255 }, "open");
  const seats = players.map((player): Seat => {
    const cash = marginFor(player.maxPosition);
    const ticket = { cash, position: 0n };
    const chance = chanceOf(seed, player.name);
    return {
      ...player,
      chance,
      opening: cash,
      ticket,
      fees: 0n,
      contracts: 0,
      commands: 0,
      unseen: [],
      orders: new Map(),
    };
  });
  const bySeat = new Map(seats.map((seat) => [seat.name, seat]));
  const ownerOf = (orderId: string): Seat => {
    const seat = bySeat.get(orderId.slice(0, orderId.lastIndexOf(":")));
    if (seat === undefined) throw new Error(`no bot has order ${orderId}`);
    return seat;
  };
  const commands: string[] = [];
  let seq = 0;
  let trades = 0;
  let clientId = 0n;
  let lastTicks: number | undefined;

  const settle = (entries: readonly Entry[], time: number): void => {
    for (const entry of entries) {
      if (entry.kind === "rejected") throw entry.error;
      if (entry.kind !== "executed") continue;
      const { priceTicks, quantity, takerSide } = entry;
      trades += 1;
      lastTicks = priceTicks;
      for (const seat of seats) seat.unseen.push({ priceTicks, quantity, time });
      for (const [orderId, side] of [
        [entry.taker, takerSide],
        [entry.maker, takerSide === "buy" ? "sell" : "buy"],
      ] as const) {
        const seat = ownerOf(orderId);
        const trade = { side, price: fromTicks(priceTicks, TERMS.tick), quantity: BigInt(quantity) };
        const { fee, ...ticket } = tradeOn(TERMS, seat.ticket, trade, false);
        seat.ticket = ticket;
        seat.fees += fee;
        seat.contracts += quantity;
      }
    }
  };

  const execute = (seat: Seat, intent: Intent, time: number): void => {
    seq += 1;
    seat.commands += 1;
    commands.push(`${time} ${seat.name} ${Object.values(intent).join(" ")}`);
    if (intent.kind === "place") {
      const { side, priceTicks, quantity, timeInForce, postOnly } = intent;
      clientId += 1n;
      const orderId = orderIdOf(seat.name, clientId);
      assertMargin(book, seat, undefined, { side, priceTicks, quantity });
      seat.orders.set(intent.key, orderId);
      settle(
        apply(book, seq, { kind: "new", orderId, owner: seat.name, side, priceTicks, quantity, timeInForce, postOnly }),
        time,
      );
      return;
    }
    const orderId = seat.orders.get(intent.key) ?? "";
    const order = openOrder(book, orderId);
    // It may have traded since the bot looked.
    if (order === undefined) return;
    if (intent.kind === "cancel") {
      settle(apply(book, seq, { kind: "cancel", orderId }), time);
      return;
    }
    const { side, revision, filled } = order;
    const { priceTicks, quantity } = intent;
    assertMargin(book, seat, orderId, { side, priceTicks, quantity });
    const replace = {
      kind: "replace",
      orderId,
      side,
      priceTicks,
      quantity: filled + quantity,
      revision: revision + 1,
    } as const;
    settle(apply(book, seq, replace), time);
  };

  for (let time = 0; time < seconds; time += stepSeconds) {
    const session = sessionAt?.(time) ?? "open";
    if (session !== book.session) {
      seq += 1;
      settle(apply(book, seq, { kind: "session", session }), time);
    }
    for (const seat of seats) {
      const { bids, asks } = depth(book, 20);
      const observation: Observation = {
        time,
        market: { terms: TERMS, session: book.session, closingTime: seconds },
        book: { bids, asks },
        trades: seat.unseen,
        lastTicks,
        orders: ordersOf(book, seat),
        position: Number(seat.ticket.position),
        ticket: seat.ticket,
        chance: seat.chance,
      };
      seat.unseen = [];
      const intents = seat.brain.step(observation);
      onStep?.(seat.name, observation, intents);
      for (const intent of intents) execute(seat, intent, time);
    }
  }

  const last = fromTicks(lastTicks ?? CENTRE, TERMS.tick);
  return {
    results: seats.map(({ name, ticket, opening, fees, contracts, commands }) => ({
      name,
      position: Number(ticket.position),
      contracts,
      commands,
      profit: ticket.cash + ticket.position * last - opening + fees,
      fees,
    })),
    trades,
    lastTicks,
    stateHash: stateHash(book),
    commands,
  };
}

/** Cash for so many contracts, long or short, at the worst prices of the day: two-sided quoting costs one side. */
export function marginFor(maxPosition: number): bigint {
  const quantity = BigInt(maxPosition);
  const buying = cashFor(TERMS, { side: "buy", price: fromTicks(UP, TERMS.tick), quantity });
  const selling = cashFor(TERMS, { side: "sell", price: fromTicks(DOWN, TERMS.tick), quantity });
  return buying > selling ? buying : selling;
}

function ordersOf(book: Book, seat: Seat): readonly OwnOrder[] {
  const orders: OwnOrder[] = [];
  for (const [key, orderId] of seat.orders) {
    const order = openOrder(book, orderId);
    if (order === undefined) seat.orders.delete(key);
    else orders.push({ key, ...order, busy: false });
  }
  return orders;
}

function assertMargin(
  book: Book,
  seat: Seat,
  replaced: string | undefined,
  { side, priceTicks, quantity }: Pick<OwnOrder, "side" | "priceTicks"> & { readonly quantity: number },
): void {
  const resting = [...seat.orders.values()]
    .filter((orderId) => orderId !== replaced)
    .flatMap((orderId) => openOrder(book, orderId) ?? [])
    .map((order) => ({
      side: order.side,
      limitPrice: fromTicks(order.priceTicks, TERMS.tick),
      remaining: BigInt(order.remaining),
    }));
  const order = { side, limitPrice: fromTicks(priceTicks, TERMS.tick), remaining: BigInt(quantity) };
  assertAcceptable(TERMS, seat.ticket, resting, order, false);
}
