import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type CommandName,
  type CommandParams,
  type CommandResult,
  COMMANDS,
  type OrderRequest,
  type RunOptions,
} from "../../src/trader/commands.ts";
import { NEVER_ARRIVED } from "../../src/trader/desk/orderViews.ts";
import { throwIfInterrupted } from "../../src/trader/desk/reach.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import type { Hex } from "../../src/protocol/keys.ts";
import type { OrderView, PlacedView } from "../../src/trader/views.ts";
import {
  BadWorkedOrder,
  resumeWorked,
  UnknownWorkedOrder,
  type WorkedPlan,
  workedOrders,
  workOrder,
} from "../../src/trader/worked.ts";

const PLAN: WorkedPlan = { slot: 0, side: "buy", quantity: 100, limitPrice: "32000000000", shown: 10, jitter: 30 };
const AT_ONCE = { pause: { fromMs: 0, toMs: 1 }, look: { fromMs: 0, toMs: 1 } };

type Market = {
  /** What happens to a part when it is looked at: contracts filled, or another end. */
  look?: (order: OrderView, looks: number) => Partial<OrderView>;
  /** What comes of placing one; undefined: it is taken. */
  place?: (request: OrderRequest, nth: number) => Partial<OrderView> | HedgerowError | undefined;
  /** Contracts of an order that the chain shows; those that the exchange tells of, if left out. */
  shown?: (order: OrderView) => number;
};

/** A wallet with an exchange that does as it is told, and that remembers its orders. */
function standIn(market: Market = {}) {
  const orders = new Map<string, OrderView>();
  const openTickets = new Set<Hex>();
  const asked: { readonly name: CommandName; readonly params: unknown }[] = [];
  let looks = 0;

  const set = (order: OrderView): OrderView => {
    orders.set(order.ref, order);
    return order;
  };
  const place = (request: OrderRequest): PlacedView => {
    const nth = orders.size + 1;
    const outcome = market.place?.(request, nth);
    const refusal =
      outcome instanceof HedgerowError ? { code: outcome.code, message: outcome.message, details: {} } : null;
    if (refusal !== null) return { order: null, receipts: 0, refusal };
    const ticketId: Hex = `0x${nth.toString(16).padStart(64, "0")}`;
    openTickets.add(ticketId);
    const order: OrderView = {
      ref: nth.toString(16).padStart(16, "0"),
      ticketId,
      slot: request.slot,
      contract: "LEAN HOGS",
      side: request.side,
      type: "limit",
      limitPrice: request.limitPrice ?? "0",
      stopPrice: null,
      quantity: request.quantity,
      displayQuantity: null,
      timeInForce: "GTC",
      postOnly: false,
      reduceOnly: false,
      expiry: 1,
      status: "open",
      reason: null,
      filled: 0,
      remaining: request.quantity,
      averagePrice: null,
      revision: 0,
      seq: 1,
      time: 1,
      ...(request.worked !== undefined && { worked: request.worked }),
      ...(outcome instanceof HedgerowError ? {} : outcome),
    };
    return { order: set(order), receipts: 1, refusal: null };
  };
  const look = (order: OrderView): OrderView => {
    if (!["open", "waiting", "unsent"].includes(order.status)) return order;
    const filling = { filled: order.quantity, remaining: 0, status: "filled", averagePrice: order.limitPrice } as const;
    return set({ ...order, ...(market.look?.(order, (looks += 1)) ?? filling) });
  };
  const answers = {
    place: ({ orders }: CommandParams<"place">) => orders.map(place),
    orders: ({ ticket }: CommandParams<"orders">) =>
      [...orders.values()].map((order) => (ticket === order.ticketId ? look(order) : order)),
    cancel: ({ order: ref }: CommandParams<"cancel">) => {
      const order = orders.get(ref);
      assert(order !== undefined);
      return { order: set({ ...order, status: "cancelled", remaining: 0 }), receipts: 1, refusal: null };
    },
    tickets: () => [...openTickets].map((ticketId) => ({ ticketId })),
    closeTickets: ({ tickets = [] }: CommandParams<"closeTickets">) => {
      for (const ticketId of tickets) openTickets.delete(ticketId as Hex);
      return [];
    },
    history: () =>
      [...orders.values()].map((order) => {
        const count = market.shown?.(order) ?? order.filled;
        const position = order.side === "buy" ? count : -count;
        return { kind: "fill", ticketId: order.ticketId, position, price: order.limitPrice };
      }),
    catchUp: () => ({ resent: 0, abandoned: 0, ordersFound: 0, notes: [] }),
  };

  return {
    orders,
    openTickets,
    asked,
    run: async <N extends CommandName>(
      name: N,
      params: CommandParams<N>,
      { signal }: RunOptions = {},
    ): Promise<CommandResult<N>> => {
      COMMANDS[name].params.parse(params);
      asked.push({ name, params });
      await Promise.resolve();
      throwIfInterrupted(signal);
      const answer: unknown = (answers as Record<string, (params: unknown) => unknown>)[name]?.(params);
      return answer as CommandResult<N>;
    },
  };
}

const quantities = ({ orders }: ReturnType<typeof standIn>) => [...orders.values()].map(({ quantity }) => quantity);

test("a worked order goes out in parts of chance size on fresh tickets, and comes to exactly its quantity [PRI-17]", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 400 }),
      fc.integer({ min: 1, max: 60 }),
      fc.integer({ min: 0, max: 90 }),
      async (quantity, most, jitter) => {
        const shown = Math.min(most, quantity);
        const desk = standIn();
        const report = await workOrder(desk, { ...PLAN, quantity, shown, jitter }, AT_ONCE);
        assert.deepEqual(
          [report.status, report.filled, report.live, report.reason, report.averagePrice],
          ["filled", quantity, null, null, PLAN.limitPrice],
        );
        const parts = quantities(desk);
        assert.equal(
          parts.reduce((sum, part) => sum + part, 0),
          quantity,
        );
        const least = Math.max(1, Math.ceil((shown * (100 - jitter)) / 100));
        assert(
          parts.every(
            (part, i) =>
              part <= Math.max(1, (shown * (100 + jitter)) / 100) && (part >= least || i === parts.length - 1),
          ),
        );
        for (const { name, params } of desk.asked) {
          if (name === "place") assert.deepEqual(Object.keys(params as object), ["orders", "tickets"]);
          // Asked together, tickets would be seen to belong together.
          if (name === "orders") assert("ticket" in (params as object));
        }
      },
    ),
    { numRuns: 20 },
  );
  const sizes = standIn();
  await workOrder(sizes, { ...PLAN, quantity: 400 }, AT_ONCE);
  assert(new Set(quantities(sizes)).size > 3);
});

test("the next part waits for the one before, fill by fill [PRI-17]", async () => {
  const desk = standIn({
    look: ({ quantity, filled, limitPrice }) => {
      const now = Math.min(quantity, filled + 4);
      const live = [...desk.orders.values()].filter(({ status }) => status === "open");
      assert.equal(live.length, 1);
      return {
        filled: now,
        remaining: quantity - now,
        status: now === quantity ? "filled" : "open",
        averagePrice: limitPrice,
      };
    },
  });
  const done: (number | undefined)[] = [];
  const report = await workOrder(desk, PLAN, { ...AT_ONCE, onProgress: (event) => void done.push(event.done) });
  assert.equal(report.filled, 100);
  assert(done.length > 10);
});

test("Ctrl-C cancels the part in the market and tells what is filled; resumed, it comes to its quantity [PRI-17]", async () => {
  const abort = new AbortController();
  let isCut = false;
  const desk = standIn({
    look: ({ quantity, limitPrice }, looks) => {
      if (looks < 4 || isCut) return { filled: quantity, remaining: 0, status: "filled", averagePrice: limitPrice };
      isCut = true;
      abort.abort();
      return { filled: 2, remaining: quantity - 2, averagePrice: limitPrice };
    },
  });
  const report = await workOrder(desk, PLAN, { ...AT_ONCE, signal: abort.signal });
  assert.deepEqual(
    [report.status, report.reason?.code, report.live, report.parts],
    ["stopped", "Interrupted", null, 4],
  );
  const filled = [...desk.orders.values()].reduce((sum, order) => sum + order.filled, 0);
  assert.equal(report.filled, filled);
  assert.equal([...desk.orders.values()].at(-1)?.status, "cancelled");

  assert.deepEqual(
    (await workedOrders(desk)).map(({ id, filled }) => [id, filled]),
    [[report.id, filled]],
  );
  const before = desk.openTickets.size;
  const resumed = await resumeWorked(desk, report.id, AT_ONCE);
  assert.deepEqual([resumed.status, resumed.filled, resumed.id], ["filled", 100, report.id]);
  // The ticket of the part that ended unfilled came home before another part was placed.
  const closedAt = desk.asked.findIndex(({ name }) => name === "closeTickets");
  assert(closedAt > 0 && desk.asked.slice(closedAt).some(({ name }) => name === "place"));
  assert(desk.openTickets.size < before + resumed.parts - report.parts);
  await assert.rejects(resumeWorked(desk, "00".repeat(8)), UnknownWorkedOrder);
});

test("a part without an answer is asked about and not replaced by another [PRI-17]", async () => {
  const desk = standIn({ place: (_, nth) => (nth === 2 ? { status: "unsent", seq: null } : undefined) });
  const report = await workOrder(desk, PLAN, AT_ONCE);
  assert.equal(report.filled, 100);
  assert.equal(desk.asked.filter(({ name }) => name === "catchUp").length, 1);
});

test("a part that never arrived makes room for another once its ticket is back, a few times [PRI-17, DSK-11]", async () => {
  const lost = { status: "refused", reason: NEVER_ARRIVED, remaining: 0 } as const;
  const filled = { status: "filled", remaining: 0 } as const;
  const desk = standIn({
    place: (_, nth) => (nth === 2 ? { status: "unsent", seq: null } : undefined),
    look: ({ status, quantity }) => (status === "unsent" ? lost : { ...filled, filled: quantity }),
  });
  const report = await workOrder(desk, PLAN, AT_ONCE);
  assert.deepEqual([report.status, report.filled, report.reason], ["filled", 100, null]);
  assert.equal(desk.asked.filter(({ name }) => name === "closeTickets").length, 1);
  assert(!desk.openTickets.has([...desk.orders.values()][1]?.ticketId ?? "0x"));

  const swallowing = standIn({ place: () => ({ status: "unsent", seq: null }), look: () => lost });
  const stopped = await workOrder(swallowing, PLAN, AT_ONCE);
  assert.deepEqual([stopped.status, stopped.reason?.code, stopped.parts], ["stopped", "PartRefused", 4]);
});

test("what the exchange keeps quiet about counts: the parts never come to more than the order [PRI-17]", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(100), { minLength: 1, maxLength: 8 }), async (percents) => {
      // Each part ends early with nothing filled, by the exchange's word; the chain shows otherwise.
      const onChain = new Map<string, number>();
      const desk = standIn({
        look: (order, looks) => {
          const percent = percents[looks - 1];
          const filled = percent === undefined ? order.quantity : Math.floor((order.quantity * percent) / 100);
          onChain.set(order.ref, filled);
          const end = { remaining: 0, averagePrice: order.limitPrice };
          return percent === undefined
            ? { ...end, filled, status: "filled" }
            : { ...end, filled: 0, status: "expired" };
        },
        shown: ({ ref }) => onChain.get(ref) ?? 0,
      });
      const report = await workOrder(desk, PLAN, AT_ONCE);
      const total = [...onChain.values()].reduce((sum, filled) => sum + filled, 0);
      assert.deepEqual([report.status, report.filled, total], ["filled", 100, 100]);
      assert.equal(report.averagePrice, PLAN.limitPrice);
    }),
    { numRuns: 30 },
  );
});

test("what is refused or cancelled by somebody else stops the work, and so does the end of the day [PRI-17]", async () => {
  const closed = new HedgerowError("NotTrading", "the day is over");
  const late = standIn({ place: (_, nth) => (nth === 3 ? closed : undefined) });
  const report = await workOrder(late, PLAN, AT_ONCE);
  assert.deepEqual([report.status, report.reason?.code, report.parts], ["stopped", "NotTrading", 2]);

  const cancelled = standIn({ look: () => ({ status: "cancelled" }) });
  assert.equal((await workOrder(cancelled, PLAN, AT_ONCE)).reason?.code, "PartCancelled");
  const refused = standIn({
    place: () => ({ status: "unsent" }),
    look: () => ({ status: "refused", reason: "margin" }),
  });
  assert.match((await workOrder(refused, PLAN, AT_ONCE)).reason?.message ?? "", /margin/);
  assert.equal(refused.orders.size, 1);

  // One that expires makes room for the next, once its ticket is back.
  const expiring = standIn({
    look: (order, looks) =>
      looks === 1 ? { status: "expired", remaining: 0 } : { filled: order.quantity, remaining: 0, status: "filled" },
  });
  assert.equal((await workOrder(expiring, PLAN, AT_ONCE)).filled, 100);
  assert.equal(expiring.asked.filter(({ name }) => name === "closeTickets").length, 1);
});

test("a worked order that makes no sense is refused [PRI-17]", async () => {
  for (const wrong of [{ quantity: 0 }, { shown: 0 }, { shown: 101 }, { shown: 1.5 }, { jitter: 91 }, { jitter: -1 }]) {
    await assert.rejects(workOrder(standIn(), { ...PLAN, ...wrong }, AT_ONCE), BadWorkedOrder);
  }
});
