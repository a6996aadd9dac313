import { HedgerowError } from "../protocol/errors.ts";
import type {
  CommandName,
  CommandParams,
  CommandResult,
  OrderChange,
  OrderRequest,
  RunOptions,
  TicketChoice,
  TraderService,
} from "../trader/commands.ts";
import { isLive } from "../trader/liveOrder.ts";
import { comparable } from "../trader/markets.ts";
import type { OrderView, PlacedView } from "../trader/views.ts";
import type { WorkedReport } from "../trader/worked.ts";
import { WrongUsage } from "./failure.ts";
import { type Io, type JsonOptions, type WalletOptions, withService } from "./session.ts";
import { ordersText, orderText, ticketsText, transitionText, workedText } from "./tradeText.ts";
import {
  parseAddress,
  parseAmountOf,
  parseContracts,
  parsePriceOf,
  parseReference,
  parseTime,
  shown,
} from "./values.ts";

/** A ticket is to be closed by its name, and orders live on it. */
export class TicketHasOrders extends HedgerowError {
  constructor({ ticketId, ref }: Pick<OrderView, "ticketId" | "ref">, others: number) {
    const orders = others === 0 ? ref : `${ref} and ${others} more`;
    super("TicketHasOrders", `on ticket ${ticketId} lives order ${orders}: cancel it first`, { ticketId, orders });
  }
}

type Common = WalletOptions & JsonOptions;
export type ListOptions = Common & { readonly all?: true };
/** `wait` is false with --no-wait. */
export type WaitOptions = Common & { readonly wait?: boolean; readonly direct?: true };
export type MoneyOptions = WaitOptions & { readonly faucet?: true; readonly hold?: true; readonly to?: string };
export type OrderOptions = Common & {
  readonly limit?: string;
  readonly market?: true;
  readonly slippage?: string;
  readonly stop?: string;
  readonly iceberg?: string;
  readonly worked?: true;
  readonly ioc?: true;
  readonly fok?: true;
  readonly goodTill?: string;
  readonly day?: true;
  readonly postOnly?: true;
  readonly reduceOnly?: true;
  readonly selfTrade?: OrderRequest["selfTrade"];
  readonly ticket?: string;
  readonly linked?: true;
};
export type ReplaceOptions = Common & {
  readonly limit?: string;
  readonly quantity?: string;
  readonly goodTill?: string;
};

/** hedgerow deposit. Throws WrongUsage, BadAmount, and what depositing throws. */
export async function deposit(text: string, options: MoneyOptions, io: Io): Promise<void> {
  const amount = await parseAmountOf("the amount", text, await io.decimals(options));
  const { faucet, hold, wait } = options;
  const params = { amount, ...(wait === false && { wait }), ...(faucet && { faucet }), ...(hold && { hold }) };
  await once("deposit", params, options, io, ({ creditId, funding }) => {
    return funding === null
      ? `deposited ${text}, which waits as a reserve; hedgerow fund takes it in:\ncredit ${creditId}`
      : `deposited ${text}\n${transitionText(funding)}`;
  });
}

/** Takes credits into the account: those named, or all that wait. */
export async function fund(names: readonly string[], options: WaitOptions, io: Io): Promise<void> {
  const credits = names.map((name) => {
    if (!/^(0|[1-9]\d{0,77})$/.test(name)) throw new WrongUsage(`${shown(name)} is no credit`, "give its number");
    return name;
  });
  const params = { ...(credits.length > 0 && { credits }), ...sending(options) };
  await once("fund", params, options, io, (list) =>
    list.length === 0 ? "no credit waits" : list.map(transitionText).join("\n"),
  );
}

/** hedgerow withdraw. Throws WrongUsage, BadAmount, and what withdrawing throws. */
export async function withdraw(text: string, options: MoneyOptions, io: Io): Promise<void> {
  const amount = await parseAmountOf("the amount", text, await io.decimals(options));
  const to = await parseAddress("--to", options.to ?? "");
  const params = { amount, to, ...sending(options) };
  await once("withdraw", params, options, io, (view) => `withdrawn ${text} to ${to}\n${transitionText(view)}`);
}

/** Places one order. Throws WrongUsage for options that make no sense together, OrderRefused, and what placing throws. */
export async function placeOrder(
  side: "buy" | "sell",
  quantityText: string,
  marketText: string,
  options: OrderOptions,
  io: Io,
): Promise<void> {
  const decimals = await io.decimals(options);
  const order = await termsOf(side, quantityText, options, decimals);
  await withService(
    options,
    async (service, run) => {
      const slot = await slotOf(marketText, service, run);
      const { limitPrice, displayQuantity: shown } = order;
      if (options.worked && limitPrice !== undefined && shown !== undefined) {
        const { workOrder } = await import("../trader/worked.ts");
        const plan = { slot, side, quantity: order.quantity, limitPrice, shown };
        answerWorked(await workOrder(service, plan, run), options, io, decimals);
        return;
      }
      const params = { orders: [{ ...order, slot }], tickets: ticketsOf(options) };
      const [placed] = await service.run("place", params, run);
      answer(placed ?? { order: null, receipts: 0, refusal: null }, options, io, decimals);
    },
    io,
  );
}

async function termsOf(
  side: "buy" | "sell",
  quantityText: string,
  options: OrderOptions,
  decimals: number,
): Promise<Omit<OrderRequest, "slot">> {
  const { limit, market, slippage, stop, iceberg, goodTill } = options;
  const quantity = parseContracts("the quantity", quantityText);
  if (limit === undefined && market === undefined && stop === undefined) {
    throw new WrongUsage("the order has no price", "give --limit PRICE, or --market to take what the book offers");
  }
  if (slippage !== undefined && limit !== undefined) {
    throw new WrongUsage("--slippage is of market orders", "leave it out, or give --market in the place of --limit");
  }
  if (limit === undefined && options.postOnly) {
    throw new WrongUsage("--post-only needs a price", "give --limit PRICE");
  }
  if (options.worked && iceberg === undefined) {
    throw new WrongUsage("--worked is of icebergs", "give --iceberg CONTRACTS, the size of each part");
  }
  if (limit === undefined && iceberg !== undefined) {
    throw new WrongUsage("--iceberg needs a price", "give --limit PRICE");
  }
  return {
    side,
    quantity,
    ...(limit !== undefined && { limitPrice: await parsePriceOf("--limit", limit, decimals) }),
    ...(slippage !== undefined && { slippage: await parseAmountOf("--slippage", slippage, decimals) }),
    ...(stop !== undefined && { stopPrice: await parsePriceOf("--stop", stop, decimals) }),
    ...(iceberg !== undefined && { displayQuantity: parseContracts("--iceberg", iceberg, quantity) }),
    ...(options.ioc && { timeInForce: "IOC" as const }),
    ...(options.fok && { timeInForce: "FOK" as const }),
    ...(goodTill !== undefined && { expiry: parseTime("--good-till", goodTill) }),
    ...(options.postOnly && { postOnly: true }),
    ...(options.reduceOnly && { reduceOnly: true }),
    ...(options.selfTrade !== undefined && { selfTrade: options.selfTrade }),
  };
}

function ticketsOf({ ticket, linked }: OrderOptions): TicketChoice {
  if (ticket !== undefined) return { ticket: parseReference("--ticket", ticket) };
  return linked === true ? "linked" : "fresh";
}

/** hedgerow orders. Throws what asking the exchange throws. */
export async function orders(options: ListOptions, io: Io): Promise<void> {
  const decimals = await io.decimals(options);
  const none = options.all ? "no order was ever placed" : "no order lives; --all shows those that are over";
  await once("orders", { all: options.all === true }, options, io, (list) => ordersText(list, decimals, none));
}

/** hedgerow cancel: one order, or all. Throws WrongUsage, and the refusal of what was not cancelled. */
export async function cancel(order: string | undefined, options: ListOptions, io: Io): Promise<void> {
  if ((order === undefined) === (options.all === undefined)) {
    throw new WrongUsage("which order?", "give its name, or --all; hedgerow orders lists them");
  }
  const decimals = await io.decimals(options);
  if (order === undefined) {
    await withService(
      options,
      async (service, run) => answerAll(await service.run("cancelAll", {}, run), options, io, decimals),
      io,
    );
    return;
  }
  const named = parseReference("the order", order);
  await withService(
    options,
    async (service, run) => answer(await service.run("cancel", { order: named }, run), options, io, decimals),
    io,
  );
}

/** Prints which orders were cancelled. That some were not is an error: they may still fill. */
function answerAll(list: readonly PlacedView[], options: Common, io: Io, decimals: number): void {
  const cancelled = list.flatMap(({ order }) => (order === null ? [] : [order]));
  const text = ordersText(cancelled, decimals, "no order lives");
  const failed = list.flatMap(({ order, refusal }) =>
    refusal !== null && (order === null || isLive(order)) ? [refusal] : [],
  );
  const [first] = failed;
  if (first === undefined) {
    io.print(options.json ? JSON.stringify(list) : text);
    return;
  }
  const count = `${failed.length} of ${list.length} orders were not cancelled and may still fill`;
  if (!options.json) io.printError(cancelled.length === 0 ? count : `${text}\n${count}`);
  const details = { ...first.details, notCancelled: failed.length, of: list.length };
  throw new HedgerowError(first.code, `${count}: ${first.message}`, details);
}

/** hedgerow replace. Throws WrongUsage, BadAmount, and what the order is refused for. */
export async function replace(order: string, options: ReplaceOptions, io: Io): Promise<void> {
  const { limit, quantity, goodTill } = options;
  const decimals = await io.decimals(options);
  const change: OrderChange = {
    ...(limit !== undefined && { limitPrice: await parsePriceOf("--limit", limit, decimals) }),
    ...(quantity !== undefined && { quantity: parseContracts("--quantity", quantity) }),
    ...(goodTill !== undefined && { expiry: parseTime("--good-till", goodTill) }),
  };
  if (Object.keys(change).length === 0) {
    throw new WrongUsage("nothing is to be changed", "give --limit, --quantity or --good-till");
  }
  const params = { order: parseReference("the order", order), change };
  await withService(
    options,
    async (service, run) => answer(await service.run("replace", params, run), options, io, decimals),
    io,
  );
}

/** hedgerow ticket open. Throws WrongUsage, BadAmount, and what opening throws. */
export async function openTickets(
  marketText: string,
  options: WaitOptions & { readonly count: string; readonly cash: string },
  io: Io,
): Promise<void> {
  const count = parseContracts("--count", options.count, 8);
  const cash = await parseAmountOf("--cash", options.cash, await io.decimals(options));
  await withService(
    options,
    async (service, run) => {
      const slot = await slotOf(marketText, service, run);
      const opened = await service.run("openTickets", { slot, count, cash, ...waiting(options) }, run);
      const lines = [...opened.tickets.map((id) => `ticket ${id}`), transitionText(opened.transition)];
      io.print(options.json ? JSON.stringify(opened) : lines.join("\n"));
    },
    io,
  );
}

/** hedgerow ticket list. */
export async function tickets(options: ListOptions, io: Io): Promise<void> {
  const decimals = await io.decimals(options);
  await once("tickets", {}, options, io, (list) => ticketsText(list, decimals));
}

/** hedgerow ticket close: those named, or all. Throws WrongUsage, TicketHasOrders, and what closing throws. */
export async function closeTickets(
  names: readonly string[],
  options: WaitOptions & { readonly all?: true },
  io: Io,
): Promise<void> {
  if ((names.length === 0) === (options.all === undefined)) {
    throw new WrongUsage("which tickets?", "give their names, or --all; hedgerow ticket list shows them");
  }
  const tickets = options.all ? undefined : names.map((name) => parseReference("the ticket", name));
  await withService(
    options,
    async (service, run) => {
      const { phase } = await service.run("balance", {}, run);
      // In the settlement window nothing rests any more.
      if (phase === "trading") for (const ticket of tickets ?? []) await assertNoOrders(ticket, service, run);
      const closed = await service.run("closeTickets", { ...(tickets && { tickets }), ...sending(options) }, run);
      const text = closed.length === 0 ? "no ticket is to be closed" : closed.map(transitionText).join("\n");
      io.print(options.json ? JSON.stringify(closed) : text);
    },
    io,
  );
}

/** Closing a ticket would take its orders out of the book unasked. Throws TicketHasOrders. */
async function assertNoOrders(ticket: string, service: TraderService, run: RunOptions): Promise<void> {
  const [order, ...others] = await service.run("orders", { ticket }, run);
  if (order !== undefined) throw new TicketHasOrders(order, others.length);
}

/** hedgerow renew. Throws what renewing throws. */
export async function renew(options: WaitOptions, io: Io): Promise<void> {
  await once("renew", sending(options), options, io, transitionText);
}

/** hedgerow seat; exit and close pay to an address. Throws WrongUsage, and what the action throws. */
export async function seat(
  action: "sleep" | "wake" | "rejoin" | "exit" | "close",
  to: string | undefined,
  options: Common,
  io: Io,
): Promise<void> {
  const params =
    action === "exit" || action === "close"
      ? { action: action === "close" ? ("closeSeat" as const) : action, to: await parseAddress("--to", to ?? "") }
      : { action };
  await once("seat", params, options, io, transitionText);
}

/** hedgerow catch-up: goes on with what was sent before. Throws what sending throws. */
export async function catchUp(options: Common, io: Io): Promise<void> {
  await once("catchUp", {}, options, io, ({ resent, abandoned, ordersFound, notes }) =>
    [
      `sent again: ${resent} transitions; orders found at the exchange: ${ordersFound}; given up: ${abandoned}`,
      ...notes.map((note) => `  ${note}`),
    ].join("\n"),
  );
}

/** Asks one thing of the wallet and prints the answer. */
async function once<N extends CommandName>(
  name: N,
  params: CommandParams<N>,
  options: Common,
  io: Io,
  textOf: (result: CommandResult<N>) => string,
): Promise<void> {
  await withService(
    options,
    async (service, run) => {
      const result = await service.run(name, params, run);
      io.print(options.json ? JSON.stringify(result) : textOf(result));
    },
    io,
  );
}

/** Lists worked icebergs, or goes on with one. Throws what placing throws, UnknownWorkedOrder. */
export async function resume(name: string | undefined, options: ListOptions, io: Io): Promise<void> {
  const id = name === undefined ? undefined : parseReference("the worked order", name);
  const decimals = await io.decimals(options);
  await withService(
    options,
    async (service, run) => {
      const { resumeWorked, workedOrders } = await import("../trader/worked.ts");
      if (id !== undefined) {
        answerWorked(await resumeWorked(service, id, run), options, io, decimals);
        return;
      }
      const list = await workedOrders(service, run);
      const lines = list.map((report) => workedText(report, decimals));
      io.print(options.json ? JSON.stringify(list) : lines.join("\n") || "no iceberg was ever worked");
    },
    io,
  );
}

/** Prints how far a worked order is; one that a refusal stopped is an error, after what is filled was told. */
function answerWorked(report: WorkedReport, options: Common, io: Io, decimals: number): void {
  const { reason } = report;
  if (reason === null) {
    io.print(options.json ? JSON.stringify(report) : workedText(report, decimals));
    return;
  }
  if (!options.json) io.printError(workedText(report, decimals));
  const details = { ...reason.details, worked: report.id, filled: report.filled, of: report.quantity };
  throw new HedgerowError(reason.code, reason.message, details);
}

/** Prints what became of an order; one that was refused is an error. */
function answer({ order, receipts, refusal }: PlacedView, options: Common, io: Io, decimals: number): void {
  if (refusal !== null) throw new HedgerowError(refusal.code, refusal.message, refusal.details);
  if (order === null) throw new HedgerowError("NoAnswer", "nothing was said about the order: look at hedgerow orders");
  io.print(options.json ? JSON.stringify({ order, receipts, refusal }) : orderText(order, receipts, decimals));
}

/** The slot of a market by its name or number. The wallet knows the names: nobody else is asked for one of them. */
async function slotOf(text: string, service: TraderService, run: RunOptions): Promise<number> {
  if (/^[0-7]$/.test(text)) return Number(text);
  const { buyingPower } = await service.run("balance", {}, run);
  const found = buyingPower.find(({ contract }) => comparable(contract) === comparable(text));
  if (found !== undefined) return found.slot;
  const listed = buyingPower.map(({ contract }) => contract.replaceAll(" ", "-")).join(", ");
  throw new WrongUsage(
    `there is no market ${shown(text)}`,
    listed === "" ? "none is listed today; hedgerow markets shows them" : `name one of ${listed}`,
  );
}

function sending({ wait, direct }: WaitOptions): { wait?: false; direct?: true } {
  return { ...(wait === false && { wait }), ...(direct && { direct }) };
}

function waiting({ wait }: WaitOptions): { wait?: false } {
  return wait === false ? { wait } : {};
}
