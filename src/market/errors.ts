import { type ErrorDetails, HedgerowError } from "../protocol/errors.ts";

/**
 * Base of what the matching stage refuses. Codes begin with `Matching.`. It carries no stack trace: a refusal is an
 * answer to a trader, and collecting the trace would cost more than all the rest of it.
 */
export class MatchingError extends HedgerowError {
  constructor(rule: string, message: string, details: ErrorDetails) {
    const depth = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super(`Matching.${rule}`, message, details);
    Error.stackTraceLimit = depth;
  }
}

/** A live order has this id already (MAT-9). */
export class DuplicateOrder extends MatchingError {
  constructor(orderId: string) {
    super("DuplicateOrder", `order ${orderId} is already live: give a new order a new id`, { orderId });
  }
}

/** A cancel or replace names an order that is not live (MAT-10). */
export class UnknownOrder extends MatchingError {
  constructor(orderId: string) {
    super("UnknownOrder", `order ${orderId} is not live: it never rested or waited, or is filled or cancelled`, {
      orderId,
    });
  }
}

/** Quantities are whole contracts, 1 to 2^31 - 1 (MAT-1). */
export class BadQuantity extends MatchingError {
  constructor(quantity: number) {
    super("BadQuantity", `quantity is ${quantity}: give a whole number from 1 to 2147483647`, { quantity });
  }
}

/** Prices are whole ticks that a double holds exactly (MAT-1). */
export class BadPrice extends MatchingError {
  constructor(price: number | bigint) {
    super("BadPrice", `price ${price} is not a whole number of ticks within 2^53: give one that is`, { price });
  }
}

/** A price in collateral units is no multiple of the tick. */
export class OffTick extends MatchingError {
  constructor(price: bigint, tick: bigint) {
    super("OffTick", `price ${price} is not a multiple of the tick ${tick}: round it to a whole tick`, { price, tick });
  }
}

/** A tick is a positive amount. */
export class BadTick extends MatchingError {
  constructor(tick: bigint) {
    super("BadTick", `tick is ${tick}: give a positive number of collateral units`, { tick });
  }
}

/** A price lies outside the price limits of the epoch (MAT-2). */
export class OffLimits extends MatchingError {
  constructor(priceTicks: number, down: number, up: number) {
    super("OffLimits", `price of ${priceTicks} ticks is outside the price limits [${down}, ${up}]: stay inside`, {
      priceTicks,
      down,
      up,
    });
  }
}

/**
 * The limit of an incoming order is further from the last trade, or before the first from the day's centre, than the
 * collar of its market (MAT-23). The engine speaks in ticks; `priced` says the same in collateral units.
 */
export class BeyondCollar extends MatchingError {
  readonly #terms: CollarTerms;

  constructor(terms: CollarTerms, tick?: bigint) {
    const { side } = terms;
    const amount = (ticks: number): number | bigint => (tick === undefined ? ticks : BigInt(ticks) * tick);
    const [limit, reference] = [amount(terms.limit), amount(terms.reference)];
    const [collar, worst] = [amount(terms.collar), amount(terms.worst)];
    super(
      "BeyondCollar",
      `a ${side} limit of ${limit} is more than the price collar of ${collar} away from the last trade or the day's ` +
        `centre, ${reference}: the worst price that it may name now is ${worst}`,
      tick === undefined
        ? { side, limitTicks: limit, referenceTicks: reference, collarTicks: collar, worstTicks: worst }
        : { side, limitPrice: limit, reference, collar, worstPrice: worst },
    );
    this.#terms = terms;
  }

  /** The same refusal in collateral units per contract, of a market with this tick. */
  priced(tick: bigint): BeyondCollar {
    return new BeyondCollar(this.#terms, tick);
  }
}

/** What an order beyond the collar named, and what it may name, in ticks. */
interface CollarTerms {
  readonly side: string;
  readonly limit: number;
  readonly reference: number;
  readonly collar: number;
  readonly worst: number;
}

/** Post-only goes with GTC only, since the other two never rest (MAT-6). */
export class PostOnlyNeverRests extends MatchingError {
  constructor(orderId: string, timeInForce: string) {
    super("PostOnlyNeverRests", `order ${orderId} is post-only and ${timeInForce}: post-only orders must be GTC`, {
      orderId,
      timeInForce,
    });
  }
}

/** A post-only order would take at once (MAT-6). */
export class PostOnlyWouldTake extends MatchingError {
  constructor(orderId: string, priceTicks: number, facing: number) {
    super("PostOnlyWouldTake", `post-only order ${orderId} at ${priceTicks} meets ${facing}: quote behind that price`, {
      orderId,
      priceTicks,
      facing,
    });
  }
}

/** A fill-or-kill order cannot be filled whole now (MAT-5). */
export class NotFillable extends MatchingError {
  constructor(orderId: string, quantity: number) {
    super("NotFillable", `fill-or-kill order ${orderId} cannot trade all of ${quantity} now: it is not entered`, {
      orderId,
      quantity,
    });
  }
}

/** The shown part of an order is a whole number, no more than the order and no less than a hundredth of it (MAT-16). */
export class BadDisplayQuantity extends MatchingError {
  constructor(displayQuantity: number, quantity: number) {
    super(
      "BadDisplayQuantity",
      `displayed quantity is ${displayQuantity} of ${quantity}: give a whole number from a hundredth of it to all of it`,
      { displayQuantity, quantity },
    );
  }
}

/** The market takes cancels only (MAT-19). */
export class MarketHalted extends MatchingError {
  constructor(session: string) {
    super("MarketHalted", `the market is ${session}: until it opens, orders can be cancelled and nothing else`, {
      session,
    });
  }
}

/** Before the opening, orders rest or wait: one that must trade at once, or must never take, cannot come in (MAT-20). */
export class NotInPreOpen extends MatchingError {
  constructor(orderId: string, what: string) {
    super("NotInPreOpen", `order ${orderId} is ${what}: before the auction only plain GTC orders enter the book`, {
      orderId,
      what,
    });
  }
}

/** The auction is held in pre-open only (MAT-21). */
export class NotPreOpen extends MatchingError {
  constructor(session: string) {
    super("NotPreOpen", `the market is ${session}: the auction is held in pre-open`, { session });
  }
}

/** A crossed book cannot open (MAT-13). */
export class BookCrossed extends MatchingError {
  constructor(bid: number, ask: number) {
    super("BookCrossed", `bids at ${bid} cross asks at ${ask}: hold the auction before the market opens`, { bid, ask });
  }
}

/** A replacement does not come after the revision in force, or leaves the revision's range (MAT-8). */
export class BadRevision extends MatchingError {
  constructor(orderId: string, revision: number, inForce: number, highest: number) {
    super(
      "BadRevision",
      `order ${orderId} is at revision ${inForce} and got ${revision}: give a higher whole number, at most ${highest}`,
      { orderId, revision, inForce, highest },
    );
  }
}

/** A replacement tries to turn a bid into an ask or back (MAT-8). */
export class SideChanged extends MatchingError {
  constructor(orderId: string, side: string) {
    super(
      "SideChanged",
      `a replacement keeps the side, and order ${orderId} is a ${side}: cancel it and enter another`,
      {
        orderId,
        side,
      },
    );
  }
}

/** The sequencer numbered a command at or below the last one: a fault of the caller, never of a trader (MAT-11). */
export class BadSequence extends MatchingError {
  constructor(seq: number, lastSeq: number) {
    super("BadSequence", `command number ${seq} does not follow ${lastSeq}: number commands upwards`, { seq, lastSeq });
  }
}
