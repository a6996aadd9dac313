import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connectExchange, type ExchangeClient } from "../../src/api/client.ts";
import type { OrderEntrySession } from "../../src/api/orderEntrySession.ts";
import { NotStarted } from "../../src/chain/ownProcess.ts";
import { deposit, openSeat, readDayState, type SignedOrder } from "../../src/chain/clearingHouse.ts";
import { DOLLAR, LEAN_HOG_TERMS, TICK } from "../../src/clearing/leanHogs.ts";
import { fromJson, timedCommandSchema } from "../../src/exchange/command.ts";
import { type ExchangeProcess, startExchangeProcess } from "../../src/exchange/exchangeProcess.ts";
import { openJournal } from "../../src/exchange/journal/journal.ts";
import { identityOf } from "../../src/exchange/runExchange.ts";
import { Sequencer } from "../../src/exchange/sequencer.ts";
import type { OrderAnswer, OrderReport } from "../../src/api/service.ts";
import { accountKeys, type Hex, newSeedPhrase } from "../../src/protocol/keys.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import type { SignedWatch } from "../../src/protocol/order.ts";
import { contradict, type Receipt } from "../../src/protocol/receipt.ts";
import { TraderAccount } from "../../src/trader/account.ts";
import { drawFrom } from "../support/compareBooks.ts";
import { type Exchange, startExchange } from "../support/exchange.ts";
import { sharedProver } from "../support/prover.ts";

// An exchange that is killed again and again, as its traders, its journal and the chain see it.

const HOGS = 0;
const CENTRE = LEAN_HOG_TERMS.listingPrice;
const ROUNDS = 5;
const MOST_ROUNDS = 50;
const SESSIONS = 2;
const WORKERS_PER_SESSION = 4;
const NEVER = 4_000_000_000n;

const draw = drawFrom(11);

let x: Exchange;
let directory: string;
let start: { readonly nextSeq: number; readonly nextBatchNumber: number };
let account: TraderAccount;
let tickets: readonly Hex[] = [];
let exchange: ExchangeProcess | undefined;

/** What traders were told: the first answer to each order, and every receipt that they got. */
const first = new Map<bigint, { readonly signed: SignedOrder; readonly answer: OrderAnswer }>();
const receipts: Receipt[] = [];

before(async () => {
  x = await startExchange();
  directory = await mkdtemp(join(tmpdir(), "hedgerow-crash-"));
  const { nextBatchNumber, lastSeq } = await readDayState(x.chain);
  start = { nextSeq: Number(lastSeq) + 1, nextBatchNumber };
  const keys = accountKeys(newSeedPhrase(), 0);
  account = await TraderAccount.open({ keys, chain: x.state, prover: await sharedProver() });
  const sender = await x.fundedSender(81_000_000n * DOLLAR);
  await openSeat(x.chain, sender, keys.ownerKey);
  await deposit(x.chain, sender, 80_000_000n * DOLLAR, account.newCreditKey());
});
after(async () => {
  await exchange?.kill();
  await x.stop();
  await rm(directory, { recursive: true, force: true });
});

function run(): Promise<ExchangeProcess> {
  return startExchangeProcess({
    chainUrl: x.url,
    clearingHouse: x.chain.address,
    operatorKey: x.operatorKey,
    directory,
    batchMs: 200,
    more: ["--snapshot-every", "150"],
  });
}

function clientOf({ url, operator }: ExchangeProcess): ExchangeClient {
  return connectExchange(url, { verify: { domain: x.chain.domain, operator } });
}

async function until(what: string, so: () => Promise<boolean>, patienceMs = 30_000): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (!(await so())) {
    assert(performance.now() < deadline, `waited in vain until ${what}`);
    await sleep(50);
  }
}

async function isMined(nullifier: bigint): Promise<boolean> {
  await x.state.sync();
  account.applyChain();
  return x.state.transitioned.has(nullifier);
}

async function openTickets(client: ExchangeClient): Promise<readonly Hex[]> {
  await x.state.sync();
  account.applyChain();
  const [credit] = account.state.credits;
  assert(credit !== undefined);
  const fund = await account.fund(credit.creditId);
  await client.submitTransition(fund);
  await until("the account is funded", () => isMined(fund.nullifier));
  const specs = Array.from({ length: 8 }, () => ({ cash: 9_000_000n * DOLLAR, position: 0n }));
  const opening = await account.openTickets(HOGS, specs);
  await client.submitTransition(opening.transition);
  await until("the tickets are open", () => isMined(opening.transition.nullifier));
  return opening.tickets.map(({ ticketId }) => ticketId);
}

/** One trader's doings until the connection breaks: orders, replacements and cancels. What was answered is noted. */
async function trade(session: OrderEntrySession): Promise<void> {
  const resting: SignedOrder[] = [];
  const note = (answer: OrderAnswer): OrderAnswer => {
    receipts.push(...answer.receipts.map(({ receipt }) => receipt));
    return answer;
  };
  for (;;) {
    await sleep(draw(6));
    const dice = draw(10);
    const chosen = dice < 3 ? resting.splice(draw(resting.length), 1)[0] : undefined;
    try {
      if (chosen === undefined) {
        const side = draw(2) === 0 ? "buy" : "sell";
        // Most rest; one in ten crosses.
        const ticks = (draw(10) === 0 ? -1 : 1) * (1 + draw(8)) * (side === "buy" ? -1 : 1);
        const terms = {
          side,
          limitPrice: CENTRE + BigInt(ticks) * TICK,
          quantity: 1 + draw(3),
          expiry: NEVER,
        } as const;
        const signed = await account.signOrder(tickets[draw(tickets.length)] ?? "0x", terms);
        const answer = note(await session.place(signed));
        first.set(signed.order.clientId, { signed, answer });
        if (answer.order.status === "open") resting.push(signed);
      } else if (dice === 0) {
        const replacement = await account.signReplacement(chosen, { quantity: 1 + draw(4) });
        resting.push(replacement);
        note(await session.replace(replacement));
      } else {
        note(await session.cancel(await account.signCancel(chosen)));
      }
    } catch (error) {
      assert(error instanceof HedgerowError, String(error));
      if (["SessionEnded", "ExchangeUnreachable"].includes(error.code)) return;
      // Others may have filled it meanwhile.
      assert.match(error.code, /^Matching\.(UnknownOrder|BadRevision)$/, error.message);
    }
  }
}

/** Trades, and kills the exchange at some moment: after a number of orders, so that a slow machine sees as much. */
async function tradeUntilKilled(running: ExchangeProcess): Promise<void> {
  const client = clientOf(running);
  const sessions = Array.from({ length: SESSIONS }, () => client.enterOrders());
  const traders = sessions.flatMap((session) => Array.from({ length: WORKERS_PER_SESSION }, () => trade(session)));
  const enough = first.size + 70 + draw(60);
  await until("orders are answered", () => Promise.resolve(first.size > enough));
  await running.kill();
  await Promise.all(traders);
  client.close();
}

/** What the journal's records come to when nothing is interrupted. */
async function replay() {
  const machine = new Sequencer(start);
  const said = new Map<string, Receipt>();
  const orders = new Map<bigint, OrderReport>();
  const executed: string[] = [];
  const posted: number[] = [];
  const identity = identityOf(x.chain.chainId, x.chain.address);
  const journal = await openJournal({ directory: join(directory, "journal"), identity });
  for (const { number, body } of journal.records(0)) {
    const timed = fromJson(timedCommandSchema, body);
    if (timed.command.kind === "settle") posted.push(machine.sent?.batch.batchNumber ?? 0);
    const { due, happenings } = machine.execute(timed);
    assert.equal(machine.number, number);
    for (const happening of [...due, ...happenings]) {
      if (happening.kind !== "entry") continue;
      const { entry, price } = happening.line;
      for (const receipt of happening.receipts) said.set(nameOf(receipt), receipt);
      for (const order of happening.orders) orders.set(order.clientId, order);
      if (entry.kind === "executed") executed.push(`${entry.seq}/${entry.n}: ${entry.quantity} at ${price}`);
    }
  }
  const snapshot = journal.newestSnapshot()?.number ?? 0;
  await journal.close();
  return { machine, said, orders, executed, posted, snapshot };
}

function nameOf({ seq, n, kind }: Receipt): string {
  return `${seq}/${n}/${kind}`;
}

function isBusy({ machine: { sent, queue, day } }: Awaited<ReturnType<typeof replay>>): boolean {
  return sent !== undefined || queue.length + day.unsettled.length > 0;
}

describe("an exchange that is killed", () => {
  test("has everything that it acknowledged, with the same numbers, after each restart [JRN-2, JRN-7, JRN-11, JRN-12, REC-5]", async () => {
    exchange = await run();
    const client = clientOf(exchange);
    tickets = await openTickets(client);
    client.close();
    let [busy, executions] = [0, 0];
    for (let round = 0; round < ROUNDS || busy === 0 || executions <= 30; round++) {
      assert(round < MOST_ROUNDS, `killed ${busy} times in the middle of its work, only ${executions} executions`);
      const acknowledged = first.size;
      await tradeUntilKilled(exchange);
      const uninterrupted = await replay();
      if (isBusy(uninterrupted)) busy += 1;
      executions = uninterrupted.executed.length;
      for (const receipt of receipts) assert.deepEqual(receipt, uninterrupted.said.get(nameOf(receipt)));
      exchange = await run();
      await assertAlike(exchange, uninterrupted, [...first.keys()].slice(acknowledged));
    }
    const { snapshot } = await killedAndReplayed(exchange);
    assert(snapshot > 0, "no snapshot was taken");
    assert(first.size > 300 && receipts.length > first.size, `only ${first.size} orders`);
    const byPlace = Map.groupBy(receipts, ({ seq, n }) => `${seq}/${n}`);
    for (const group of byPlace.values()) {
      for (const a of group) for (const b of group) assert(!contradict(a, b));
    }
  });

  async function killedAndReplayed(running: ExchangeProcess) {
    await running.kill();
    return replay();
  }

  /** The exchange shows what the records come to, and answers what it answered before. */
  async function assertAlike(
    running: ExchangeProcess,
    { machine, orders }: Awaited<ReturnType<typeof replay>>,
    newest: readonly bigint[],
  ): Promise<void> {
    const client = clientOf(running);
    const { bids, asks } = await client.fetchOrderBook(HOGS);
    assert.deepEqual({ bids, asks }, machine.day.depth(HOGS));
    const watches = new Map<Hex, SignedWatch>();
    for (const ticketId of tickets) watches.set(ticketId, await account.signWatch(ticketId, NEVER));
    for (const clientId of newest) {
      const order = orders.get(clientId);
      assert(order !== undefined, `order ${clientId} was acknowledged and is gone`);
      const watch = watches.get(order.ticketId);
      assert(watch !== undefined);
      assert.deepEqual(await client.fetchOrder(watch, clientId), order);
    }
    const known = [...first.values()];
    for (const { signed, answer } of [known[0], known.at(-1), known[draw(known.length)]].flatMap((one) => one ?? [])) {
      const again = await client.createOrder(signed);
      assert.deepEqual(again.order, answer.order);
      assert.deepEqual(
        again.receipts.map(({ receipt }) => receipt),
        answer.receipts.map(({ receipt }) => receipt),
      );
    }
    client.close();
  }

  test("posts every execution once, and no batch number twice [BAT-1, BAT-18]", async () => {
    exchange = await run();
    const { url } = exchange;
    await until("nothing waits for a batch", async () => {
      const metrics = await (await fetch(`${url}/metrics`)).text();
      return ["unsettled_fills", "queued_transitions"].every((name) => new RegExp(`${name} 0$`, "m").test(metrics));
    });
    await exchange.stop();
    const { executed, posted, machine } = await replay();
    assert.equal(machine.sent, undefined);
    await x.state.sync();
    assert.deepEqual(
      x.state.fills.map(({ seq, n, quantity, price }) => `${seq}/${n}: ${quantity} at ${price}`),
      executed,
    );
    assert(executed.length > 30, `only ${executed.length} executions`);
    const onChain = x.state.events.flatMap((event) =>
      event.eventName === "BatchSubmitted" ? [event.args.batchNumber] : [],
    );
    assert.deepEqual(posted, onChain);
    assert.deepEqual(
      onChain,
      Array.from(onChain, (_, i) => start.nextBatchNumber + i),
    );
    for (const ticketId of tickets) {
      const { cash, position } = await x.chain.house.read.ticketOf([ticketId]);
      assert.deepEqual({ cash, position: BigInt(position) }, machine.day.ticket(ticketId).settled);
    }
  });
});

describe("the process", () => {
  test("ends with exit code 0 when it is told to, and refuses a journal that another one has open [JRN-5]", async () => {
    exchange = await run();
    await assert.rejects(run(), (error) => {
      assert(error instanceof NotStarted);
      assert.match(error.output, /JournalInUse: the journal in .* is open elsewhere/);
      assert.doesNotMatch(error.output, / at .*\.ts:/);
      assert.match(error.reason, /exit code 1$/);
      return true;
    });
    const client = clientOf(exchange);
    assert.equal((await client.fetchMarkets()).length, 1);
    client.close();
    process.kill(exchange.pid, "SIGINT");
    // Throws unless the exit code is 0. The last one was told by SIGTERM.
    await exchange.stop();
  });
});
