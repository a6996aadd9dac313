import { z } from "zod";
import type { Hex } from "../protocol/keys.ts";

/*
 * What a trader's commands answer: plain data that JSON holds, the same from a wallet in this process and from the
 * daemon. Each schema is the definition of a command's `--json` output. Amounts and prices are decimal strings of
 * base units of the collateral, times unix seconds, positions and quantities whole contracts.
 */

/** A signed whole number of base units, as a decimal string; ids of 256 bits have its form too. */
export const amount = z.string().regex(/^(0|-?[1-9][0-9]{0,77})$/, "expected a whole number of base units");
/** Lower-case hex of a fixed length. */
export const hex = (bytes: number) =>
  z.custom<Hex>(
    (value) => typeof value === "string" && new RegExp(`^0x[0-9a-f]{${2 * bytes}}$`).test(value),
    `expected 0x and ${2 * bytes} digits of lower-case hex`,
  );
export const address = z.custom<Hex>(
  (value) => typeof value === "string" && /^0x[0-9a-fA-F]{40}$/.test(value),
  "expected an address",
);
const time = z.int().min(0);
const contracts = z.int();
const slot = z.int().min(0).max(7);
const side = z.enum(["buy", "sell"]);

/** Where a seat stands (spec SEA-5). `epoch`: the one it was last renewed for; null where it has none. */
export const seatView = z.strictObject({
  status: z.enum(["none", "active", "asleep", "inDefault", "closed"]),
  epoch: z.int().nullable(),
  ownerKey: hex(32),
});

/** A position over account and tickets, with what the day's prices make of it. */
export const positionView = z.strictObject({
  slot,
  contract: z.string(),
  inAccount: contracts,
  inTickets: contracts,
  total: contracts,
  /** The last settlement price, the centre of the limits; in the window today's, with the next day's limits. */
  settlementPrice: amount,
  lowerLimit: amount,
  upperLimit: amount,
  initialMargin: amount,
  maintenanceMargin: amount,
});

/** Most contracts that one fresh order could be for now, at the settlement price. */
export const buyingPowerView = z.strictObject({ slot, contract: z.string(), buy: contracts, sell: contracts });

/** A deposit that is on chain and not yet in the account. */
export const creditView = z.strictObject({ creditId: amount, amount });

/** What an account owns, from its keys and the chain alone. */
export const balanceView = z.strictObject({
  network: z.string(),
  clearingHouse: address,
  account: amount,
  epoch: z.int(),
  phase: z.enum(["trading", "window"]),
  /** End of the trading day; null before the house has opened one. */
  closingTime: time.nullable(),
  seat: seatView,
  /**
   * Cash of the note, without tickets; it may be negative beside positions that are worth more. In default what the
   * close-out left: positions count as closed then.
   */
  cash: amount,
  /** What can be withdrawn or put into tickets, before the relay fee; negative in a margin call. */
  freeCash: amount,
  /** Initial margin of the positions in the note. */
  marginUsed: amount,
  /** Account and tickets together. */
  equity: z.strictObject({
    atSettlement: amount,
    /** All prices at their lower, all at their upper limits, and each at the one that hurts. */
    atLowerLimits: amount,
    atUpperLimits: amount,
    worst: amount,
  }),
  positions: z.array(positionView),
  ticketCash: amount,
  /** Tickets at the settlement prices, left-over ones at their claims. freeCash + marginUsed + this is atSettlement. */
  ticketWorth: amount,
  openTickets: z.int(),
  leftOverTickets: z.int(),
  credits: z.array(creditView),
  buyingPower: z.array(buyingPowerView),
  /** Share of a withdrawal that the house pays at present, in 1e18: less than all of it after a loss that nothing covers. */
  payoutRatio: amount,
});

/** A ticket of the account, from the chain alone. */
export const ticketView = z.strictObject({
  ticketId: hex(32),
  slot,
  contract: z.string(),
  epoch: z.int(),
  /** Its epoch is over: it was closed at the default price and its cash can be claimed. */
  leftOver: z.boolean(),
  reduceOnly: z.boolean(),
  cash: amount,
  position: contracts,
  /** At the settlement price of the epoch before, or the claim if it is left over. */
  worth: amount,
});

/** How a transition fared. `landed`: the chain shows it. */
export const transitionView = z.strictObject({
  action: z.string(),
  nullifier: hex(32),
  newNote: hex(32),
  status: z.enum(["queued", "landed"]),
});

/**
 * The larger order that an order is a part of: its name and size, the mean size of its parts, and by how much of that, in
 * hundredths, a part may differ from it.
 */
export const workedTag = z.strictObject({
  id: z.string().regex(/^[0-9a-f]{16}$/),
  quantity: z.int().min(1),
  shown: z.int().min(1),
  jitter: z.int().min(0).max(90),
});

/** An order and what has become of it. `ref`: its client id in hex; a prefix that is unique will do as a name. */
export const orderView = z.strictObject({
  ref: z.string().regex(/^[0-9a-f]{16}$/),
  ticketId: hex(32),
  slot,
  contract: z.string(),
  side,
  type: z.enum(["limit", "market", "stop", "stop-limit", "iceberg"]),
  limitPrice: amount,
  stopPrice: amount.nullable(),
  quantity: contracts,
  displayQuantity: contracts.nullable(),
  timeInForce: z.enum(["GTC", "IOC", "FOK"]),
  postOnly: z.boolean(),
  reduceOnly: z.boolean(),
  /** The order's signed end, unix seconds. */
  expiry: time,
  /** `unsent`: written down, and not acknowledged; `refused`: see `reason`. */
  status: z.enum(["unsent", "refused", "waiting", "open", "filled", "cancelled", "expired"]),
  reason: z.string().nullable(),
  filled: contracts,
  remaining: contracts,
  /** Mean price of what is filled, rounded to a base unit; null before the first fill. */
  averagePrice: amount.nullable(),
  revision: z.int(),
  /** Number of the newest log entry about it, and the exchange's time of it; null before the first answer. */
  seq: z.int().nullable(),
  time: time.nullable(),
  /** Left out where the order is no part of a larger one. */
  worked: workedTag.optional(),
});

/** Why something was refused: the error's stable code, its sentence, and its values as text. */
export const failureView = z.strictObject({
  code: z.string(),
  message: z.string(),
  details: z.record(z.string(), z.string()),
});

/**
 * The answer to an order: what the exchange says, how many receipts were checked and kept, and why it was refused if
 * it was. `order` is null where it was refused before there was a ticket to sign it for.
 */
export const placedView = z.strictObject({
  order: orderView.nullable(),
  receipts: z.int(),
  refusal: failureView.nullable(),
});

/**
 * One thing that happened to an account, from keys and chain alone. `cash` and `position` of all entries add up to what
 * the account owns. Deposits are known to the spending key; to a viewing key once they are funded.
 */
export const historyEntry = z.strictObject({
  block: z.int(),
  time,
  transactionHash: hex(32),
  kind: z.enum([
    "seat-opened",
    "deposit",
    "refund",
    "fund",
    "withdraw",
    "ticket-opened",
    "fill",
    /** A ticket took contracts over that drop-outs had left. */
    "taken-over",
    "ticket-closed",
    "ticket-left-over",
    "ticket-claimed",
    "renew",
    /** An expired contract became cash at its final price. */
    "settled",
    /** The seat missed its renewal, and a position was closed at the default price. */
    "defaulted",
    "sleep",
    "wake",
    "rejoin",
    "exit",
    "seat-closed",
    "bond-forfeited",
  ]),
  epoch: z.int(),
  slot: slot.nullable(),
  contract: z.string().nullable(),
  ticketId: hex(32).nullable(),
  /** What moved: a deposit, a withdrawal, a bond, the cash of a ticket; 0 where nothing did. Fees are not in it. */
  amount,
  /** Change of the cash that the account owns, note and tickets together: funding, a fee, the price of a fill. */
  cash: amount,
  /** Change of the contracts that it owns: bought (positive) or sold, or turned into cash. */
  position: contracts,
  /** Price of a fill or a takeover, or the settlement price where positions became cash. */
  price: amount.nullable(),
  /** Part of `cash` that went to the operator, or as a close-out fee to the fund. */
  fee: amount,
});

/** An end of a day. `settled`: the day is closed; if not, its prices are those of the settlement before. */
export const dayView = z.strictObject({
  epoch: z.int(),
  settled: z.boolean(),
  closedAt: time.nullable(),
  equity: amount,
});

/** Profit of a day in one market. */
export const variationView = z.strictObject({
  epoch: z.int(),
  slot,
  contract: z.string(),
  /** Position held over from the day before, and at the end of the day. */
  held: contracts,
  position: contracts,
  settled: z.boolean(),
  settlementPrice: amount,
  /** Change of worth over the day: held positions at the change of price, trades at their distance from it. */
  variation: amount,
});

/** A statement of a period: what an account had, what happened, what it has. */
export const statementView = z.strictObject({
  network: z.string(),
  clearingHouse: address,
  account: amount,
  ownerKey: hex(32),
  fromEpoch: z.int(),
  toEpoch: z.int(),
  /** At settlement prices, note and tickets; bonds and deposits that are not funded are not in it. */
  openingEquity: amount,
  closingEquity: amount,
  /** Funded, and withdrawn or taken out at an exit. */
  deposits: amount,
  withdrawals: amount,
  /** Relay and fill fees. */
  fees: amount,
  variation: amount,
  /** opening + deposits - withdrawals - fees + variation + other = closing; other: close-out fees. */
  other: amount,
  days: z.array(dayView),
  variations: z.array(variationView),
  entries: z.array(historyEntry),
});

/** One thing that an observer could infer. */
export const inferenceView = z.strictObject({
  topic: z.enum(["set-size", "timing", "amounts", "linked-tickets", "seat", "operator", "address", "viewing-key"]),
  level: z.enum(["good", "weak", "exposed"]),
  finding: z.string(),
  /** What makes it better; null where nothing does. */
  advice: z.string().nullable(),
});

/** What the world, and the operator, could infer about this account now. */
export const privacyView = z.strictObject({
  activeSeats: z.int(),
  ticketsToday: z.int(),
  ownTicketsToday: z.int(),
  inferences: z.array(inferenceView),
});

/** What catching up has done: transitions sent again or given up, orders found at the exchange or given up. */
export const caughtUpView = z.strictObject({
  resent: z.int(),
  abandoned: z.int(),
  ordersFound: z.int(),
  notes: z.array(z.string()),
});

/** What the clearing house has of a market from drop-outs, and how it is sold in the first part of the window. */
export const auctionView = z.strictObject({
  slot,
  contract: z.string(),
  /** Of the clearing house: what is above zero can be bought from it, what is below sold to it. */
  position: contracts,
  /** In the first part of the window the price now, and how it goes on; null at other times. */
  auction: z
    .strictObject({
      price: amount,
      settlementPrice: amount,
      /** From then on, if anything is left, to the end of the first part. */
      lastPrice: amount,
      ends: time,
      steps: z.array(z.strictObject({ time, price: amount })),
    })
    .nullable(),
});

/** What a ticket has taken over from drop-outs: above zero bought. */
export const takenOverView = z.strictObject({
  ticketId: hex(32),
  slot,
  contract: z.string(),
  quantity: contracts,
  price: amount,
  transactionHash: hex(32),
});

export type AuctionView = z.infer<typeof auctionView>;
export type TakenOverView = z.infer<typeof takenOverView>;
export type SeatView = z.infer<typeof seatView>;
export type PositionView = z.infer<typeof positionView>;
export type BalanceView = z.infer<typeof balanceView>;
export type TicketSummary = z.infer<typeof ticketView>;
export type TransitionView = z.infer<typeof transitionView>;
export type WorkedTag = z.infer<typeof workedTag>;
export type OrderView = z.infer<typeof orderView>;
export type FailureView = z.infer<typeof failureView>;
export type PlacedView = z.infer<typeof placedView>;
export type HistoryEntry = z.infer<typeof historyEntry>;
export type DayView = z.infer<typeof dayView>;
export type VariationView = z.infer<typeof variationView>;
export type StatementView = z.infer<typeof statementView>;
export type InferenceView = z.infer<typeof inferenceView>;
export type PrivacyView = z.infer<typeof privacyView>;
export type CaughtUpView = z.infer<typeof caughtUpView>;
