import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { Agent } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import fc from "fast-check";
import { type ClientOptions, connectExchange } from "../../src/api/client.ts";
import {
  type CreateOrderResponse,
  ErrorDetailSchema,
  OrdStatus,
  type OrderAnswer,
  type OrderReport,
} from "../../src/api/gen/hedgerow/exchange/v1/exchange_pb.ts";
import { ChainState } from "../../src/chain/chainState.ts";
import { connect } from "../../src/chain/clearingHouse.ts";
import { EXPLANATIONS } from "../../src/cli/explanations.ts";
import { failureText } from "../../src/cli/failure.ts";
import { lookOf } from "../../src/cli/colours.ts";
import { render } from "../../src/cli/screen.ts";
import { emptyModel, reduce } from "../../src/cli/screenModel.ts";
import { DOLLAR, priceOfMilliCents } from "../../src/clearing/leanHogs.ts";
import { priceLimits } from "../../src/protocol/epoch.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import { type Hex, newSeedPhrase } from "../../src/protocol/keys.ts";
import type { OrderRequest } from "../../src/trader/commands.ts";
import { directConnections } from "../../src/trader/connections.ts";
import { TraderDesk } from "../../src/trader/desk.ts";
import { createWallet, openWallet } from "../../src/trader/store.ts";
import {
  ESCAPES,
  forged,
  type HostileExchange,
  isRecord,
  type Lie,
  mutated,
  startHostileExchange,
  startHttp2,
  startRouter,
  startTcp,
} from "../support/hostileExchange.ts";
import { unprovenProver } from "../support/unprovenExchange.ts";
import { startUnprovenStage, type UnprovenStage } from "../support/unprovenStage.ts";

const PASSWORD = "a password for tests";
const PATIENCE = { asking: 300, landing: 2_000, resending: 700, settling: 400 };
const TIMEOUT_MS = 500;
/** No command takes longer, whatever the exchange does: asking, landing, and a wait for each of a few calls. */
const LONGEST_MS = 12_000;

const dollars = (amount: bigint): string => (amount * DOLLAR).toString();
const at = (milliCents: number): string => priceOfMilliCents(milliCents).toString();
const order = (over: Partial<OrderRequest> = {}): OrderRequest => ({
  slot: 0,
  side: "buy",
  quantity: 2,
  limitPrice: at(79_000),
  ...over,
});

let stage: UnprovenStage;
let hostile: HostileExchange;
let home: string;
before(async () => {
  home = await mkdtemp(join(tmpdir(), "hedgerow-hostile-"));
  stage = await startUnprovenStage();
  hostile = await startHostileExchange(stage.network.exchange);
});
after(async () => {
  await hostile.stop();
  await stage.stop();
  await rm(home, { recursive: true, force: true });
});

// ------------------------------------------------------------------ traders

let wallets = 0;

async function deskOf(place: string, phrase: string): Promise<TraderDesk> {
  const wallet = await openWallet(place, PASSWORD).catch(() =>
    createWallet(place, phrase, PASSWORD, { scryptN: 1024 }),
  );
  const { chain: url, clearingHouse, chainId } = stage.network;
  const chain = await ChainState.follow(await connect(url, clearingHouse, chainId));
  const verify = { domain: chain.chain.domain, operator: stage.x.operator.address };
  const connections = directConnections(hostile.url, { verify, timeoutMs: TIMEOUT_MS });
  return TraderDesk.open({
    wallet,
    network: stage.network,
    chain,
    prover: unprovenProver,
    connections,
    patience: PATIENCE,
  });
}

/** A trader with money at the hostile exchange. */
class Victim {
  readonly #place: string;
  readonly #phrase = newSeedPhrase();
  #desk: TraderDesk | undefined;

  constructor() {
    wallets += 1;
    this.#place = join(home, `wallet${wallets}`);
  }

  get desk(): TraderDesk {
    assert.ok(this.#desk !== undefined);
    return this.#desk;
  }

  async open(): Promise<this> {
    this.#desk = await deskOf(this.#place, this.#phrase);
    return this;
  }

  /** The wallet opens again, and shows what one from the phrase and the chain shows. */
  async assertWhole(): Promise<void> {
    await this.desk.close();
    await this.open();
    wallets += 1;
    const other = await deskOf(join(home, `wallet${wallets}`), this.#phrase);
    assert.equal(await shown(other), await shown(this.desk));
    await other.close();
  }
}

async function shown(desk: TraderDesk): Promise<string> {
  const views = [await desk.run("balance", {}), await desk.run("tickets", {}), await desk.run("history", {})];
  return JSON.stringify(views);
}

async function victim(): Promise<Victim> {
  hostile.honest();
  const made = await new Victim().open();
  await made.desk.run("deposit", { amount: dollars(3_000_000n), faucet: true });
  return made;
}

async function ticketOf({ desk }: Victim, cash = 300_000n): Promise<string> {
  const { tickets } = await desk.run("openTickets", { slot: 0, count: 1, cash: dollars(cash) });
  return tickets[0] ?? "";
}

/** What came of a command: it ends in time, and fails with an error of ours if it fails. */
async function tried<T>(work: Promise<T>): Promise<T | HedgerowError> {
  const late = sleep(LONGEST_MS, undefined, { ref: false }).then(() => {
    throw new Error(`nothing came of it in ${LONGEST_MS} ms`);
  });
  try {
    return await Promise.race([work, late]);
  } catch (error) {
    if (error instanceof HedgerowError) return error;
    throw error;
  }
}

// ------------------------------------------------------------------ lies

function changing(change: (answer: OrderAnswer) => OrderAnswer | Promise<OrderAnswer>): Lie {
  return async (given) => {
    const { answer } = answerOf(given);
    assert.ok(answer !== undefined);
    return { $typeName: "hedgerow.exchange.v1.CreateOrderResponse", answer: await change(answer) };
  };
}

const reporting = (changes: Partial<OrderReport>): Lie =>
  changing((answer) => ({ ...answer, ...(answer.order !== undefined && { order: { ...answer.order, ...changes } }) }));

function answerOf(given: unknown): CreateOrderResponse {
  assert.ok(isAnswer(given));
  return given;
}

function isAnswer(given: unknown): given is CreateOrderResponse {
  return isRecord(given) && "answer" in given;
}

const OTHER: Hex = `0x${"ab".repeat(32)}`;
const OTHER_KEY: Hex = `0x${"07".repeat(32)}`;

/** Receipts with other words, signed by the operator, who lies himself, or by somebody else. */
function forging(changes: Parameters<typeof forged>[3], key?: Hex, also: Partial<OrderReport> = {}): Lie {
  return changing(async (answer) => {
    const { domain } = stage.x.chain;
    const receipts = await Promise.all(
      answer.receipts.map((receipt) => forged(domain, key ?? stage.x.operatorKey, receipt, changes)),
    );
    return { ...answer, receipts, ...(answer.order !== undefined && { order: { ...answer.order, ...also } }) };
  });
}

const ANSWERS: readonly (readonly [name: string, lie: Lie, code: string])[] = [
  ["another ticket's order", reporting({ ticketId: OTHER }), "AnswerRefused"],
  ["another order", reporting({ clOrdId: 7n }), "AnswerRefused"],
  ["another order's hash", reporting({ orderHash: OTHER }), "AnswerRefused"],
  [
    "another order's hash with a receipt",
    forging({ orderHash: OTHER }, undefined, { orderHash: OTHER }),
    "AnswerRefused",
  ],
  ["another revision", reporting({ revision: 3 }), "AnswerRefused"],
  ["the other side", reporting({ side: 2 }), "AnswerRefused"],
  ["another price", reporting({ price: at(79_100) }), "AnswerRefused"],
  ["another quantity", reporting({ orderQty: 200, leavesQty: 200 }), "AnswerRefused"],
  ["another market", reporting({ slot: 3 }), "AnswerRefused"],
  ["no such market", reporting({ slot: 8 }), "MalformedField"],
  ["more filled than ordered", reporting({ cumQty: 3, leavesQty: 0 }), "AnswerRefused"],
  ["more left than ordered", reporting({ leavesQty: 2 ** 32 - 1 }), "AnswerRefused"],
  ["fills dearer than the limit", reporting({ cumQty: 2, leavesQty: 0, filledValue: at(159_000) }), "AnswerRefused"],
  ["a value without fills", reporting({ filledValue: "5" }), "AnswerRefused"],
  ["filled, with nothing filled", reporting({ ordStatus: 4, leavesQty: 0 }), "AnswerRefused"],
  ["a time beyond all clocks", reporting({ transactTime: 2n ** 64n - 1n }), "MalformedField"],
  ["a number beyond all logs", reporting({ seq: 2n ** 60n }), "MalformedField"],
  ["a state that there is not", reporting({ ordStatus: OrdStatus.UNSPECIFIED }), "MalformedField"],
  ["empty texts", reporting({ price: "", orderHash: "" }), "MalformedField"],
  ["escape sequences", reporting({ price: ESCAPES }), "MalformedField"],
  [
    "no order",
    changing(({ receipts }) => ({ $typeName: "hedgerow.exchange.v1.OrderAnswer", receipts })),
    "MalformedField",
  ],
  ["no receipt", changing((answer) => ({ ...answer, receipts: [] })), "AnswerRefused"],
  ["a receipt of another key", forging({}, OTHER_KEY), "InvalidReceipt"],
  ["a receipt of another order", forging({ orderHash: OTHER }), "AnswerRefused"],
  [
    "a receipt with other words",
    changing((answer) => ({
      ...answer,
      receipts: answer.receipts.map((receipt) => ({ ...receipt, leavesQty: 1 })),
    })),
    "InvalidReceipt",
  ],
  [
    "contradicting receipts",
    changing(async (answer) => ({
      ...answer,
      receipts: [
        ...answer.receipts,
        ...(await Promise.all(
          answer.receipts.map((one) => forged(stage.x.chain.domain, stage.x.operatorKey, one, { quantity: 1 })),
        )),
      ],
    })),
    "ContradictingReceipts",
  ],
];

describe("an exchange that lies", () => {
  let trader: Victim;
  before(async () => {
    trader = await victim();
  });
  after(() => trader.desk.close());

  test("an answer about an order that cannot be true is refused, and the order stays as it is [DSK-12]", async () => {
    hostile.honest();
    const { desk } = trader;
    const ticket = await ticketOf(trader);
    for (const [name, lie, code] of ANSWERS) {
      hostile.lie({ createOrder: lie });
      const [placed] = await desk.run("place", { orders: [order()], tickets: { ticket } });
      assert.equal(placed?.refusal?.code, code, name);
      assert.equal(placed.order?.status, "unsent", name);
      if (code === "ContradictingReceipts") {
        // Both halves of the proof are told: the wallet keeps one of them.
        assert.ok(placed.refusal.details["kept"]?.includes('"signature"'));
        assert.ok(placed.refusal.details["refused"]?.includes('"signature"'));
      }
      hostile.honest();
    }
    const orders = await desk.run("orders", {});
    assert.deepEqual([...new Set(orders.map(({ status, remaining }) => `${status} ${remaining}`))], ["open 2"]);
    assert.equal(orders.length, ANSWERS.length);
    await desk.run("cancelAll", {});
    assert.deepEqual(await desk.run("orders", {}), []);
    await trader.assertWhole();
  });

  test("invented orders are no more than names that can be cancelled; thousands are refused [DSK-12]", async () => {
    hostile.honest();
    const { desk } = trader;
    const [ticket, second] = [await ticketOf(trader), await ticketOf(trader, 20_000n)];
    const [placed] = await desk.run("place", { orders: [order()], tickets: { ticket } });
    const ref = placed?.order?.ref ?? "";
    const report = await desk.connections.common.fetchOrder(await watchOf(desk, ticket), BigInt(`0x${ref}`));
    const { reportMessageOf } = await import("../../src/api/codecOrders.ts");
    const invented = (count: number, changes: Partial<OrderReport> = {}): Lie => {
      return (_, request) => {
        const watched = isRecord(request) && isRecord(request["watch"]) ? String(request["watch"]["ticketId"]) : "";
        const orders = Array.from({ length: count }, (__, i) => ({
          ...reportMessageOf(report),
          ticketId: watched,
          clOrdId: i === 0 ? report.clientId : BigInt(i),
          ...changes,
        }));
        return { $typeName: "hedgerow.exchange.v1.FetchOpenOrdersResponse", orders };
      };
    };
    hostile.lie({ fetchOpenOrders: invented(3) });
    for (const each of [ticket, second]) assert.equal((await desk.run("orders", { ticket: each })).length, 3);
    // The second ticket has one of the same name: the wallet's own is meant.
    assert.equal((await desk.run("cancel", { order: ref })).order?.ticketId, ticket);
    await assert.rejects(desk.run("replace", { order: "0000000000000001", change: { quantity: 1 } }), {
      code: "NameNotFound",
    });
    for (const changes of [
      { orderQty: 0, leavesQty: 0 },
      { cumQty: 9 },
      { price: "9".repeat(78) },
      { revision: 300 },
    ]) {
      hostile.lie({ fetchOpenOrders: invented(20, { clOrdId: 99n, ...changes }) });
      await desk.run("orders", { ticket: second });
      const known = await desk.run("orders", { all: true });
      assert.ok(!known.some((each) => each.ref === "0000000000000063"));
    }
    hostile.lie({ fetchOpenOrders: invented(2_001) });
    await assert.rejects(desk.run("orders", { ticket }), { code: "AnswerRefused" });
    hostile.honest();
    // What the exchange knows nothing of any more was never there.
    assert.deepEqual(await desk.run("orders", {}), []);
    await trader.assertWhole();
  });

  test("a ticket's invented worth delays its closing, and the chain's worth comes back [DSK-12]", async () => {
    hostile.honest();
    const { desk } = trader;
    const ticket = await ticketOf(trader);
    const before = await desk.run("balance", {});
    for (const changes of [{ cash: "9".repeat(60), position: "7" }]) {
      hostile.lie({ fetchTicket: (answer) => ({ ...fields(answer), ticket: { ...ticketIn(answer), ...changes } }) });
      const name = await ticketOf(trader, 1_000n);
      const [view] = await desk.run("closeTickets", { tickets: [name] });
      assert.equal(view?.status, "landed");
    }
    hostile.honest();
    await desk.run("closeTickets", { tickets: [ticket] });
    const after = await desk.run("balance", {});
    const fees = 3n * desk.account.relayFee;
    assert.equal(BigInt(after.equity.atSettlement), BigInt(before.equity.atSettlement) - fees);
    await trader.assertWhole();
  });

  test("a transition that is called queued and never posted spends nothing and is sent again [DSK-2]", async () => {
    hostile.honest();
    const queued: Lie = () => ({
      $typeName: "hedgerow.exchange.v1.SubmitTransitionResponse",
      nullifier: OTHER,
      ticketIds: [OTHER],
    });
    const { openTickets } = await trader.desk.run("balance", {});
    hostile.lie({ submitTransition: queued }, ["submitTransition"]);
    const opening = trader.desk.run("openTickets", { slot: 0, count: 1, cash: dollars(5_000n) });
    await assert.rejects(opening, { code: "TransitionPending" });
    assert.equal((await trader.desk.run("balance", {})).openTickets, openTickets);
    await trader.assertWhole();
    hostile.honest();
    assert.equal((await trader.desk.run("catchUp", {})).resent, 1);
    assert.equal((await trader.desk.run("balance", {})).openTickets, openTickets + 1);
    await trader.assertWhole();
  });

  test("answers that come late or never are not waited for beyond the desk's patience [DSK-20]", async () => {
    hostile.honest();
    const ticket = await ticketOf(trader);
    for (const lie of [() => new Promise(() => undefined), (answer: unknown) => sleep(2 * TIMEOUT_MS, answer)]) {
      hostile.lie({ createOrder: lie });
      const start = performance.now();
      const [placed] = await trader.desk.run("place", { orders: [order()], tickets: { ticket } });
      assert.equal(placed?.refusal?.code, "ExchangeUnreachable");
      // What became of it is not known: it is not called refused.
      assert.equal(placed.order?.status, "unsent");
      assert.ok(performance.now() - start < PATIENCE.asking + 4 * TIMEOUT_MS);
    }
    hostile.honest();
    await trader.desk.run("catchUp", {});
    const orders = await trader.desk.run("orders", { ticket });
    assert.deepEqual(
      orders.map(({ status }) => status),
      ["open", "open"],
    );
    await trader.assertWhole();
  });

  test("a book that lies moves a market order to the day's limit and no further [DSK-13]", async () => {
    hostile.honest();
    const { desk } = trader;
    const ticket = await ticketOf(trader);
    const limits = priceLimits(desk.account.market(0));
    const level = (price: string) => [{ $typeName: "hedgerow.exchange.v1.Level", price, quantity: 1n, orders: 1 }];
    const prices = ["9".repeat(78), `-${"9".repeat(77)}`, limits.up.toString()];
    hostile.heard.length = 0;
    for (const price of prices) {
      const book = {
        $typeName: "hedgerow.exchange.v1.OrderBook",
        slot: 0,
        seq: 1n,
        bids: level(price),
        asks: level(price),
      };
      hostile.lie({ fetchOrderBook: () => ({ $typeName: "hedgerow.exchange.v1.FetchOrderBookResponse", book }) });
      const orders = (["buy", "sell"] as const).map((side) => ({ slot: 0, side, quantity: 1, slippage: dollars(1n) }));
      await tried(desk.run("place", { orders, tickets: { ticket } }));
    }
    const signed = ordersHeard();
    assert.ok(signed.length > 0);
    for (const { price, timeInForce } of signed) {
      assert.ok(BigInt(price) >= limits.down && BigInt(price) <= limits.up);
      assert.equal(timeInForce, 2);
    }
    await trader.assertWhole();
  });
});

function fields(value: unknown): Readonly<Record<string, unknown>> {
  return isRecord(value) ? value : {};
}

function ticketIn(answer: unknown): Readonly<Record<string, unknown>> {
  return fields(fields(answer)["ticket"]);
}

function watchOf(desk: TraderDesk, ticket: string) {
  const known = desk.account.knownTickets.find(({ ticketId }) => ticketId === ticket);
  return desk.account.signWatch(known?.ticketId ?? "0x", BigInt(Math.floor(Date.now() / 1_000)) + 86_400n);
}

type Signed = {
  readonly side: number;
  readonly price: string;
  readonly orderQty: number;
  readonly timeInForce: number;
};

/** The orders that left a wallet. */
function ordersHeard(): readonly Signed[] {
  return hostile.heard.flatMap(({ method, request }) => {
    const sent = method === "createOrder" ? fields(fields(request)["order"])["order"] : fields(request)["order"];
    return (method === "createOrder" || method === "editOrder") && isSigned(sent) ? [sent] : [];
  });
}

function isSigned(value: unknown): value is Signed {
  return isRecord(value) && typeof value["price"] === "string" && typeof value["orderQty"] === "number";
}

// ------------------------------------------------------------------ anything at all

/** Every answer that a desk hears. */
const METHODS = [
  "submitTransition",
  "createOrder",
  "editOrder",
  "cancelOrder",
  "fetchOrder",
  "fetchOpenOrders",
  "fetchTicket",
] as const;

const HISTORY_KINDS = new Set(["seat-opened", "deposit", "fund", "ticket-opened", "ticket-closed", "fill"]);

describe("an exchange that says anything", () => {
  test("whatever is in its answers, no order is signed and no cash moved that was not asked for [DSK-12]", async () => {
    const trader = await victim();
    const ticket = await ticketOf(trader);
    const asked = [order(), order({ side: "sell", limitPrice: at(80_900), timeInForce: "IOC" })];
    const lying = fc.record({
      methods: fc.subarray([...METHODS], { minLength: 1, maxLength: 3 }),
      where: fc.nat({ max: 10_000 }),
      what: fc.nat({ max: 10_000 }),
      fails: fc.option(fc.constantFrom(Code.Internal, Code.NotFound, Code.InvalidArgument, Code.Unimplemented), {
        freq: 6,
      }),
    });
    await fc.assert(
      fc.asyncProperty(lying, async ({ methods, where, what, fails }) => {
        hostile.honest();
        const before = await trader.desk.run("balance", {});
        hostile.heard.length = 0;
        const lie: Lie = (answer) => {
          if (fails !== null) throw new ConnectError(ESCAPES, fails);
          return mutated(answer, where, what);
        };
        hostile.lie(Object.fromEntries(methods.map((method) => [method, lie])));
        const { desk } = trader;
        const placed = await tried(desk.run("place", { orders: asked, tickets: { ticket } }));
        const ref = placed instanceof HedgerowError ? undefined : placed[0]?.order?.ref;
        await tried(desk.run("orders", { all: true }));
        if (ref !== undefined) {
          await tried(desk.run("replace", { order: ref, change: { quantity: 3 } }));
          await tried(desk.run("cancel", { order: ref }));
        }
        const opened = await tried(desk.run("openTickets", { slot: 0, count: 1, cash: dollars(1_000n) }));
        const names = opened instanceof HedgerowError ? [] : opened.tickets;
        await tried(desk.run("closeTickets", { tickets: [...names] }));
        await tried(desk.run("catchUp", {}));

        for (const { side, price, orderQty, timeInForce } of ordersHeard()) {
          assert.deepEqual([price, timeInForce], side === 1 ? [at(79_000), 1] : [at(80_900), 2]);
          assert.ok(orderQty <= 3);
        }
        assert.ok(
          distinct("createOrder", ({ order: sent }) => fields(fields(sent)["order"])["clOrdId"]) <= asked.length,
        );
        assert.ok(distinct("cancelOrder", ({ cancel }) => fields(cancel)["clOrdId"]) <= 1);
        const transitions = distinct("submitTransition", ({ transition }) => fields(transition)["newNote"]);
        assert.ok(transitions <= 2);
        hostile.honest();
        await tried(desk.run("catchUp", {}));
        await trader.assertWhole();
        const after = await trader.desk.run("balance", {});
        const paid = BigInt(before.equity.atSettlement) - BigInt(after.equity.atSettlement);
        assert.ok(paid >= 0n && paid <= 2n * desk.account.relayFee);
        const history = await trader.desk.run("history", {});
        assert.ok(history.every(({ kind }) => HISTORY_KINDS.has(kind)));
        await tried(trader.desk.run("cancelAll", {}));
      }),
      { numRuns: 4, endOnFailure: true },
    );
    await trader.desk.close();
  });
});

/** How many different things of a kind left a wallet: what is sent again is the very same. */
function distinct(name: string, nameOf: (request: Readonly<Record<string, unknown>>) => unknown): number {
  const sent = hostile.heard.filter(({ method }) => method === name);
  return new Set(sent.map(({ request }) => String(nameOf(fields(request))))).size;
}

// ------------------------------------------------------------------ bytes

type WayTo = (url: string, options?: ClientOptions) => ReturnType<typeof connectExchange>;

const WAYS: readonly (readonly [name: string, connectTo: WayTo])[] = [
  ["gRPC", (url, options) => connectExchange(url, { timeoutMs: 2_000, ...options })],
  ["Connect", (url, options) => connectExchange(url, { timeoutMs: 2_000, ...options, agent: new Agent() })],
];

const MEGABYTE = 1024 * 1024;

describe("an exchange that is none", () => {
  for (const [name, connectTo] of WAYS) {
    test(`garbage, resets and silence over ${name} end in an error in time [API-22]`, async () => {
      const answers: readonly (Buffer | "reset" | "silence")[] = [
        randomBytes(100_000),
        Buffer.from("HTTP/1.1 200 OK\r\ncontent-type: application/proto\r\ncontent-length: 5\r\n\r\nxxxxx"),
        Buffer.from("HTTP/1.1 200 OK\r\n" + "x: y\r\n".repeat(100_000)),
        Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0, ...randomBytes(500)]),
        "reset",
        "silence",
      ];
      for (const answer of answers) {
        const server = await startTcp((socket) => {
          if (answer === "silence") return;
          socket.on("data", () => (answer === "reset" ? socket.resetAndDestroy() : socket.write(answer)));
        });
        const client = connectTo(server.url, { timeoutMs: 500 });
        const start = performance.now();
        await assert.rejects(client.fetchEpoch(), (error) => error instanceof HedgerowError && isPlain(error));
        assert.ok(performance.now() - start < 3_000);
        client.close();
        await server.stop();
      }
    });

    test(`an answer of hundreds of megabytes over ${name} is not read [API-22]`, async () => {
      for (const claimed of [400 * MEGABYTE, 1_000]) {
        let sent = 0;
        const flood = (write: (chunk: Buffer) => boolean, onDrain: (go: () => void) => void): void => {
          const chunk = Buffer.alloc(256 * 1024);
          const go = (): void => {
            while (sent < 400 * MEGABYTE) {
              sent += chunk.length;
              if (!write(chunk)) {
                onDrain(go);
                return;
              }
            }
          };
          go();
        };
        const envelope = Buffer.alloc(5);
        envelope.writeUInt32BE(claimed, 1);
        const server =
          name === "gRPC"
            ? await startHttp2((session) =>
                session.on("stream", (stream) => {
                  stream.on("error", () => undefined);
                  stream.respond({ ":status": 200, "content-type": "application/grpc+proto" });
                  stream.write(envelope);
                  flood(
                    (chunk) => stream.write(chunk),
                    (go) => stream.once("drain", go),
                  );
                }),
              )
            : await startTcp((socket) =>
                socket.once("data", () => {
                  const length = claimed > MEGABYTE ? `content-length: ${claimed}\r\n` : "";
                  socket.write(`HTTP/1.1 200 OK\r\ncontent-type: application/proto\r\n${length}\r\n`);
                  flood(
                    (chunk) => socket.write(chunk),
                    (go) => socket.once("drain", go),
                  );
                }),
              );
        const client = connectTo(server.url, { timeoutMs: 5_000 });
        const before = process.memoryUsage().rss;
        await assert.rejects(client.fetchMarkets(), (error) => error instanceof HedgerowError && isPlain(error));
        await sleep(200);
        assert.ok(sent < 100 * MEGABYTE, `${sent} bytes were read over ${name} of a message of ${claimed}`);
        assert.ok(process.memoryUsage().rss - before < 150 * MEGABYTE);
        client.close();
        await server.stop();
      }
    });

    test(`what a refusal says over ${name} is short and steers no terminal [API-23, CLI-4]`, async () => {
      const codes = [...Object.keys(EXPLANATIONS).filter((code) => EXPLANATIONS[code]?.kind === "wallet"), ESCAPES];
      let detail = { code: "", message: "", details: {} };
      const server = await startRouter(
        () => {
          throw new ConnectError(ESCAPES, Code.FailedPrecondition, undefined, [
            { desc: ErrorDetailSchema, value: detail },
          ]);
        },
        name === "gRPC" ? 2 : 1,
      );
      const client = connectTo(server.url);
      const long = name === "gRPC" ? 10_000 : MEGABYTE;
      for (const code of [...codes, "Interrupted", "WrongUsage", "Fault", "UnknownTicket", "x".repeat(5_000)]) {
        detail = {
          code,
          message: ESCAPES.repeat(20) + "m".repeat(code === ESCAPES ? long : 10),
          details: { [ESCAPES]: ESCAPES },
        };
        const error = await client.fetchEpoch().then(
          () => undefined,
          (reason: unknown) => reason,
        );
        assert.ok(error instanceof HedgerowError && isPlain(error));
        assert.equal(error.code, code === "UnknownTicket" ? code : "Refused");
        for (const json of [false, true]) {
          const text = failureText(error, { json });
          assert.ok(text.length < 3_000 && text.split("\n").every((line) => !UNPRINTABLE.test(line)), text);
        }
      }
      client.close();
      await server.stop();
    });
  }

  test("market data of any content makes a screen of its size without controls [SCR-1]", () => {
    const whole = fc.bigInt({ min: -(10n ** 77n), max: 10n ** 77n });
    const time = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    const count = fc.oneof(fc.nat(), fc.constantFrom(0, Number.MAX_SAFE_INTEGER));
    const slot = fc.nat({ max: 7 });
    const contractId = fc
      .uint8Array({ minLength: 32, maxLength: 32 })
      .map((bytes): Hex => `0x${Buffer.from(bytes).toString("hex")}`);
    const level = fc.record({ price: whole, quantity: count, orders: count });
    const market = fc.record({
      slot,
      contractId,
      session: fc.constantFrom("pre-open", "open", "halted", "closing", "closed"),
      tick: fc.bigInt({ min: 1n, max: 10n ** 77n }),
      centre: whole,
      priceLimitDown: whole,
      priceLimitUp: whole,
      initialMargin: whole,
      maintenanceMargin: whole,
      closeOutFee: whole,
      fillFee: whole,
      priceCollar: whole,
      lastTradingTime: time,
      lastPrice: fc.option(whole, { nil: undefined }),
      volume: count,
    });
    const epoch = fc.record({
      epoch: count,
      phase: fc.constantFrom("trading", "window"),
      openedAt: time,
      auctionTime: fc.option(time, { nil: undefined }),
      closingTime: time,
      time,
      relayFee: whole,
      nextBatchNumber: count,
      logHead: fc.constant(OTHER),
    });
    const trade = fc.record({
      slot,
      seq: count,
      n: count,
      price: whole,
      quantity: count,
      takerSide: fc.constantFrom("buy", "sell"),
      time,
    });
    fc.assert(
      fc.property(
        fc.array(market, { maxLength: 8 }),
        epoch,
        fc.record({ seq: count, bids: fc.array(level), asks: fc.array(level) }),
        fc.array(trade),
        (markets, day, book, trades) => {
          const shownSlot = markets[0]?.slot ?? 0;
          const events = [
            { kind: "day", at: 1, epoch: day, markets },
            { kind: "select", slot: shownSlot },
            { kind: "book", book: { slot: shownSlot, ...book } },
            { kind: "trades", slot: shownSlot, trades, isHistory: true },
          ] as const;
          const model = events.reduce(reduce, emptyModel({ exchange: "x", decimals: 6, now: 1 }));
          const lines = render(model, 80, 24, lookOf({ colour: false, unicode: true }));
          assert.equal(lines.length, 24);
          for (const line of lines) assert.ok(line.length <= 80 && !UNPRINTABLE.test(line));
        },
      ),
      { numRuns: 200 },
    );
  });
});

const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

/** Whether an error is short and one line. */
function isPlain({ code, message, details }: HedgerowError): boolean {
  const texts = [code, message, ...Object.entries(details).flat().map(String)];
  return texts.every((text) => text.length < 800 && !UNPRINTABLE.test(text));
}
