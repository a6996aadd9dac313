import { z } from "zod";
import type { EpochMarkets } from "../protocol/epoch.ts";
import { HedgerowError } from "../protocol/errors.ts";
import type { OrderRequest } from "../trader/commands.ts";
import { findMarket, parseAmount, parsePrice } from "../trader/markets.ts";

/** A file of orders cannot be understood. Names the client, the order by its place from 1 on, and the field. */
export class BadOrders extends HedgerowError {
  constructor(where: string, rule: string) {
    super("BadOrders", `${where}: ${rule}`, { where, rule });
  }
}

const MOST_CLIENTS = 1_000;
const MOST_ORDERS = 10_000;

const TYPES = ["limit", "market", "ioc", "fok", "post-only", "iceberg", "stop", "stop-limit"] as const;
const SIDES: Readonly<Record<string, "buy" | "sell">> = { buy: "buy", sell: "sell", bid: "buy", ask: "sell" };

/** `BUY` is `buy`, `STOP_LIMIT` is `stop-limit`. */
const word = z.string({ error: "expected a word" }).transform((text) => text.trim().toLowerCase().replaceAll("_", "-"));
/** A decimal in collateral units. Numbers of JSON are taken by their shortest decimal. */
const decimal = z
  .union([z.string(), z.number()], { error: 'expected a price, as 34250.5 or "34250.50"' })
  .transform(String)
  .refine((text) => /^-?\d{1,30}(\.\d{1,18})?$/.test(text), 'expected a price, as 34250.5 or "34250.50"');

const orderSchema = z
  .strictObject({
    /** A market by its name, "-" standing for a space, or by its slot. */
    instrument: z.union([z.string(), z.int()], { error: "expected a market's name or slot" }).transform(String),
    type: word.pipe(z.enum(TYPES, { error: `expected one of ${TYPES.join(", ")}` })),
    side: word.refine((side) => side in SIDES, "expected buy or sell").transform((side) => SIDES[side] ?? "buy"),
    volume: z
      .int("expected a whole number of contracts")
      .min(1, "expected one contract or more")
      .max(2 ** 31 - 1, "expected fewer contracts"),
    price: decimal.optional(),
    /** The price that a stop waits for. */
    stopPrice: decimal.optional(),
    /** Contracts that an iceberg shows. */
    display: z.int("expected a whole number of contracts").min(1, "expected one contract or more").optional(),
    /** How far from the best price a market order may fill. */
    slippage: decimal.optional(),
    reduceOnly: z.boolean("expected true or false").optional(),
  })
  .superRefine((order, context) => {
    const fault = (field: string, message: string) => context.addIssue({ code: "custom", path: [field], message });
    const { type } = order;
    const isAtMarket = type === "market" || type === "stop";
    if (!isAtMarket && order.price === undefined) fault("price", `a ${type} order needs a price`);
    if (isAtMarket && order.price !== undefined)
      fault("price", `a ${type} order has no price of its own: leave it out`);
    const isStop = type === "stop" || type === "stop-limit";
    if (isStop && order.stopPrice === undefined) fault("stopPrice", `a ${type} order needs the price it waits for`);
    if (!isStop && order.stopPrice !== undefined) fault("stopPrice", `only stop and stop-limit orders have one`);
    if (type === "iceberg" && order.display === undefined) fault("display", "an iceberg needs the part that it shows");
    if (type !== "iceberg" && order.display !== undefined) fault("display", "only an iceberg has one");
    if (type !== "market" && order.slippage !== undefined) fault("slippage", "only a market order has one");
  });

/** An order as the file has it. */
export type FileOrder = z.infer<typeof orderSchema>;

/** Clients in the file's order, each with its orders. */
export type OrdersFile = readonly { readonly client: string; readonly orders: readonly FileOrder[] }[];

/** Reads the text of a file of orders. Throws BadOrders. */
export function parseOrders(text: string): OrdersFile {
  const json = jsonOf(text);
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new BadOrders("orders", "expected a map from the name of a client to the list of its orders");
  }
  const lists = new Map<string, unknown>(Object.entries(json));
  // An object sets names that are numbers before all others, and keeps the last of two that are the same.
  const clients = namesIn(text);
  const twice = clients.find((client, i) => clients.indexOf(client) !== i);
  if (twice !== undefined) {
    throw new BadOrders(
      `client ${JSON.stringify(twice.slice(0, 64))}`,
      "it is there twice: put its orders in one list",
    );
  }
  if (clients.length === 0) throw new BadOrders("orders", "there is no client");
  if (clients.length > MOST_CLIENTS) throw new BadOrders("orders", `more than ${MOST_CLIENTS} clients`);
  return clients.map((client) => ({ client, orders: ordersOf(client, lists.get(client)) }));
}

/** The names of an object's members in the order of its text, which is known to be JSON. */
function namesIn(text: string): readonly string[] {
  const names: string[] = [];
  let depth = 0;
  for (const [token, string, colon] of text.matchAll(/("(?:[^"\\]|\\.)*")\s*(:?)|[{}[\]]/g)) {
    if (string !== undefined) {
      if (depth === 1 && colon === ":") names.push(String(JSON.parse(string)));
    } else {
      depth += token === "{" || token === "[" ? 1 : -1;
    }
  }
  return names;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's words would repeat parts of the file, which may be another one than was meant: a password's.
    throw new BadOrders("orders", "it is no JSON");
  }
}

function ordersOf(client: string, orders: unknown): readonly FileOrder[] {
  const name = `client ${JSON.stringify(client.slice(0, 64))}`;
  if (!/^[^\p{C}]{1,64}$/u.test(client) || client.trim() === "" || client === "__proto__") {
    throw new BadOrders(name, "expected a name of 1 to 64 letters, digits, blanks or signs");
  }
  if (!Array.isArray(orders)) throw new BadOrders(name, "expected a list of orders");
  if (orders.length > MOST_ORDERS) throw new BadOrders(name, `more than ${MOST_ORDERS} orders`);
  return orders.map((order: unknown, index) => {
    const parsed = orderSchema.safeParse(order);
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    throw new BadOrders(`${name}, order ${index + 1}${fieldOf(issue)}`, wordsOf(issue));
  });
}

type Issue = z.core.$ZodIssue | undefined;

function fieldOf(issue: Issue): string {
  if (issue?.code === "unrecognized_keys") return `, ${JSON.stringify(issue.keys[0]?.slice(0, 64) ?? "")}`;
  const field = issue?.path[0];
  return field === undefined ? "" : `, ${String(field)}`;
}

function wordsOf(issue: Issue): string {
  if (issue?.code === "unrecognized_keys") {
    return `there is no such field; there are ${Object.keys(orderSchema.shape).join(", ")}`;
  }
  if (issue?.code === "invalid_type" && issue.path.length === 0) return "expected an order, as {instrument, type, ...}";
  return issue?.message ?? "it is not understood";
}

/** An order as a desk takes it. Throws BadOrders with its place. */
export function requestOf(
  order: FileOrder,
  where: { readonly client: string; readonly index: number },
  markets: EpochMarkets,
  decimals: number,
): OrderRequest {
  const place = (field: string): string => `client ${JSON.stringify(where.client)}, order ${where.index + 1}, ${field}`;
  const checked = <T>(field: string, work: () => T): T => {
    try {
      return work();
    } catch (error) {
      if (error instanceof HedgerowError) throw new BadOrders(place(field), error.message);
      throw error;
    }
  };
  const { type, side, volume, display, reduceOnly } = order;
  const { slot, market } = checked("instrument", () => findMarket(markets, order.instrument));
  const priced = (field: "price" | "stopPrice"): string | undefined => {
    const text = order[field];
    return text === undefined ? undefined : checked(field, () => parsePrice(text, decimals, market.tick)).toString();
  };
  const { slippage } = order;
  const limitPrice = priced("price");
  const stopPrice = priced("stopPrice");
  return {
    slot,
    side,
    quantity: volume,
    ...(limitPrice !== undefined && { limitPrice }),
    ...(stopPrice !== undefined && { stopPrice }),
    ...(slippage !== undefined && {
      slippage: checked("slippage", () => parseAmount(slippage, decimals)).toString(),
    }),
    ...(display !== undefined && { displayQuantity: display }),
    ...(type === "ioc" && { timeInForce: "IOC" as const }),
    ...(type === "fok" && { timeInForce: "FOK" as const }),
    ...(type === "post-only" && { postOnly: true }),
    ...(reduceOnly !== undefined && { reduceOnly }),
  };
}

/**
 * Which order follows which: in each round every client that has orders left places its next one. The clients of a
 * round come in the file's order, or, with a seed, in an order that is drawn for each round.
 */
export function interleaved<T>(
  lists: readonly (readonly T[])[],
  seed?: number,
): readonly { readonly client: number; readonly index: number; readonly item: T }[] {
  const draw = seed === undefined ? undefined : mulberry(seed);
  const longest = Math.max(0, ...lists.map((list) => list.length));
  return Array.from({ length: longest }, (_, index) => {
    const round = lists.flatMap((list, client) => {
      const item = list[index];
      return item === undefined ? [] : [{ client, index, item }];
    });
    return draw === undefined ? round : shuffled(round, draw);
  }).flat();
}

/** Fisher and Yates' shuffle. */
function shuffled<T>(items: readonly T[], draw: () => number): readonly T[] {
  const left = [...items];
  return items.flatMap(() => left.splice(Math.floor(draw() * left.length), 1));
}

/** Numbers in [0, 1) from a seed of 32 bits: for the order of things, nothing secret. */
function mulberry(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
