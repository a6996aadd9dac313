import { z } from "zod";
import { HedgerowError } from "../protocol/errors.ts";
import {
  address,
  amount,
  balanceView,
  caughtUpView,
  hex,
  historyEntry,
  orderView,
  placedView,
  privacyView,
  statementView,
  takenOverView,
  ticketView,
  transitionView,
  workedTag,
} from "./views.ts";

/*
 * Everything that a wallet does for its trader, by name, with the form of what it takes and answers. A wallet that is
 * open in this process and a daemon behind a socket both serve exactly these.
 */

const slot = z.int().min(0).max(7);
const quantity = z
  .int()
  .min(1)
  .max(2 ** 31 - 1);
const positive = z.string().regex(/^[1-9][0-9]{0,59}$/, "expected base units, a whole number above zero");
/** A ticket or an order by its hex name or a prefix of it. */
const reference = z.string().regex(/^(0x)?[0-9a-f]{1,64}$/, "expected hex, or a prefix of it");
const epoch = z.int().min(1);

/** An order as a trader thinks of it. Prices in base units per contract. */
export const orderRequest = z.strictObject({
  slot,
  side: z.enum(["buy", "sell"]),
  quantity,
  /** Worst price. Left out: a market order, which fills at once up to `slippage` or the price limit of the day. */
  limitPrice: amount.optional(),
  /** Market order only: how far from the best opposite price it may fill, base units. */
  slippage: positive.optional(),
  /** Waits until a trade reaches this price. */
  stopPrice: amount.optional(),
  /** Contracts that the book shows at a time. */
  displayQuantity: quantity.optional(),
  timeInForce: z.enum(["GTC", "IOC", "FOK"]).optional(),
  /** Signed end, unix seconds; the end of the trading day if left out. */
  expiry: z.int().min(1).optional(),
  postOnly: z.boolean().optional(),
  /** Takes the contracts to be reduced out of the account, and may only bring them nearer to zero. */
  reduceOnly: z.boolean().optional(),
  selfTrade: z.enum(["cancel-incoming", "cancel-resting", "cancel-both", "decrement"]).optional(),
  /** The larger order that this one is a part of. It never leaves the wallet. */
  worked: workedTag.optional(),
});

/**
 * Which tickets orders go on. `fresh`: one ticket and one proof for each order, so that nothing links them; `linked`:
 * up to eight tickets from one proof, which everybody can see came together; otherwise the ticket of that name.
 */
export const ticketChoice = z.union([z.enum(["fresh", "linked"]), z.strictObject({ ticket: reference })]);

/** What may be changed about an order. */
export const orderChange = z.strictObject({
  limitPrice: amount.optional(),
  quantity: quantity.optional(),
  expiry: z.int().min(1).optional(),
});

const nothing = z.strictObject({});
const waiting = z.strictObject({
  /** Answer when the chain shows it, and not when the exchange has taken it; true if left out. */
  wait: z.boolean().optional(),
});
/** In the settlement window: straight to the chain, with the funding address's gas and without the relay fee. */
const sending = z.strictObject({ ...waiting.shape, direct: z.boolean().optional() });

export const COMMANDS = {
  /**
   * Sends again the transitions that were written down and did not arrive, which every command that sends one does
   * first; asks what became of orders that were never answered. An order that did not arrive is not sent late.
   */
  catchUp: { params: nothing, result: caughtUpView },
  balance: { params: nothing, result: balanceView },
  tickets: { params: nothing, result: z.array(ticketView) },
  history: {
    params: z.strictObject({ fromEpoch: epoch.optional(), toEpoch: epoch.optional() }),
    result: z.array(historyEntry),
  },
  statement: {
    params: z.strictObject({ fromEpoch: epoch.optional(), toEpoch: epoch.optional() }),
    result: statementView,
  },
  privacy: { params: nothing, result: privacyView },
  /**
   * Opens the seat if there is none, deposits from the funding address and takes the credit into the account. `hold`
   * leaves it a credit: a reserve for later, taken in with `fund`.
   */
  deposit: {
    params: z.strictObject({
      amount: positive,
      /** Draw the tokens, and ether, from a local chain first. */
      faucet: z.boolean().optional(),
      hold: z.boolean().optional(),
      ...waiting.shape,
    }),
    result: z.strictObject({ creditId: amount, funding: transitionView.nullable() }),
  },
  /** Takes credits into the account: all that wait, or those named. */
  fund: {
    params: z.strictObject({ credits: z.array(amount).max(1_000).optional(), ...sending.shape }),
    result: z.array(transitionView),
  },
  withdraw: { params: z.strictObject({ amount: positive, to: address, ...sending.shape }), result: transitionView },
  /**
   * Signs, writes down and sends orders; opens their tickets. Answers in the order of `orders`, refusals among them:
   * one that is refused does not keep the others from being placed.
   */
  place: {
    params: z.strictObject({ orders: z.array(orderRequest).min(1).max(1_000), tickets: ticketChoice.optional() }),
    result: z.array(placedView),
  },
  /**
   * The orders that live, or all that this wallet remembers. `ticket`: those on this one only, and the exchange is asked
   * about no other, so that it does not see tickets asked about together (spec PRI-17).
   */
  orders: {
    params: z.strictObject({ all: z.boolean().optional(), ticket: reference.optional() }),
    result: z.array(orderView),
  },
  cancel: { params: z.strictObject({ order: reference }), result: placedView },
  cancelAll: { params: nothing, result: z.array(placedView) },
  replace: { params: z.strictObject({ order: reference, change: orderChange }), result: placedView },
  /** Opens tickets ahead of orders: equal ones, from one proof. */
  openTickets: {
    params: z.strictObject({ slot, count: z.int().min(1).max(8), cash: positive, ...waiting.shape }),
    result: z.strictObject({ transition: transitionView, tickets: z.array(hex(32)) }),
  },
  /** Brings tickets back into the account, left-over ones too: those named, or all that have no live order. */
  closeTickets: {
    params: z.strictObject({ tickets: z.array(reference).max(1_000).optional(), ...sending.shape }),
    result: z.array(transitionView),
  },
  /**
   * In the first part of the settlement window: takes contracts over that drop-outs left, at the price of the moment and no
   * worse than `limitPrice`, into an open ticket of the market. Sent from the funding address, which everybody then
   * sees beside the ticket. Less is taken if less is left. `wait` waits until the price comes to the limit.
   */
  takeOver: {
    params: z.strictObject({ slot, quantity, limitPrice: amount, ticket: reference, wait: z.boolean().optional() }),
    result: takenOverView,
  },
  renew: { params: sending, result: transitionView },
  /**
   * Spends the note in an action that shows no seat, if somebody saw a transition of it that never landed: otherwise the
   * next renewal would link the two (spec PRI-2). Null where nothing had to be done.
   */
  freshen: { params: nothing, result: transitionView.nullable() },
  /** sleep, wake, rejoin: of the seat. exit, closeSeat: to an address. */
  seat: {
    params: z.union([
      z.strictObject({ action: z.enum(["sleep", "wake", "rejoin"]) }),
      z.strictObject({ action: z.enum(["exit", "closeSeat"]), to: address }),
    ]),
    result: transitionView,
  },
} as const;

export type CommandName = keyof typeof COMMANDS;
export type CommandParams<N extends CommandName> = z.input<(typeof COMMANDS)[N]["params"]>;
export type CommandResult<N extends CommandName> = z.output<(typeof COMMANDS)[N]["result"]>;

/** What a command was given has not the form that COMMANDS gives it. */
export class BadParams extends HedgerowError {
  constructor(command: CommandName, field: string, rule: string) {
    super("BadParams", `${command}: ${field || "what it was given"} is wrong: ${rule}`, { command, field });
  }
}

/** What a command was given, once it has the command's form. Throws BadParams. */
export function checkedParams(name: CommandName, params: unknown): CommandParams<CommandName> {
  const parsed = COMMANDS[name].params.safeParse(params);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new BadParams(name, issue?.path.join(".") ?? "", issue?.message ?? "it is not understood");
}

export type OrderRequest = z.infer<typeof orderRequest>;
export type TicketChoice = z.infer<typeof ticketChoice>;
export type OrderChange = z.infer<typeof orderChange>;

/** How far a command is. `done` of `total` where that is known. */
export const progressEvent = z.strictObject({
  stage: z.enum(["syncing", "proving", "sending", "waiting"]),
  text: z.string(),
  done: z.int().optional(),
  total: z.int().optional(),
});
export type ProgressEvent = z.infer<typeof progressEvent>;

export type RunOptions = { readonly onProgress?: (event: ProgressEvent) => void; readonly signal?: AbortSignal };

/** A wallet that can be used, here or in the daemon. Every call throws a HedgerowError whose code says what was wrong. */
export type TraderService = {
  run<N extends CommandName>(name: N, params: CommandParams<N>, options?: RunOptions): Promise<CommandResult<N>>;
  close(): Promise<void>;
};
