import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { generatePrivateKey } from "viem/accounts";
import {
  type Batch,
  call,
  ChainUnavailable,
  deposit,
  type Fill,
  openSeat,
  type ProvenTransition,
  readDayState,
  refusalOf,
  type Sender,
  type SignedOrder,
  signedOrderMessage,
} from "../../src/chain/clearingHouse.ts";
import { DOLLAR, LEAN_HOG_TERMS, TICK } from "../../src/clearing/leanHogs.ts";
import { GAS } from "../../src/exchange/batchPlan.ts";
import { nextHead, type LogEntry, ZERO_HASH } from "../../src/exchange/log.ts";
import { Operator } from "../../src/exchange/operator.ts";
import type { PostedBatch } from "../../src/exchange/posting.ts";
import type { Loss } from "../../src/exchange/sequencer.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import { accountKeys, type Hex, newSeedPhrase } from "../../src/protocol/keys.ts";
import { signCancel, signOrder } from "../../src/protocol/order.ts";
import { verifyReceipt } from "../../src/protocol/receipt.ts";
import { TraderAccount } from "../../src/trader/account.ts";
import type { OrderTerms } from "../../src/trader/orders.ts";
import type { Exchange } from "../support/exchange.ts";
import { openEpoch } from "../support/openEpoch.ts";
import { startUnprovenExchange, unprovenProver } from "../support/unprovenExchange.ts";

// One operator, one chain. The tests go through one day in order. Proofs are tried in operatorProofs.test.ts.

const HOGS = 0;
const CENTRE = LEAN_HOG_TERMS.listingPrice;
const NEVER = 4_000_000_000n;
const TRADERS = 4;
const RELAYED = { relayed: true } as const;

type Trader = { readonly account: TraderAccount; readonly sender: Sender };

let x: Exchange;
let operator: Operator;
let traders: Trader[] = [];
let alice: Trader;
let bob: Trader;
const log: LogEntry[] = [];
const losses: Loss[] = [];

before(async () => {
  x = await startUnprovenExchange({ clearingTerms: { refundDelay: 60 } });
  operator = await newOperator();
  traders = await Promise.all(Array.from({ length: TRADERS }, newTrader));
  [alice, bob] = [traderAt(0), traderAt(1)];
});
after(() => x.stop());

function newOperator(sender = x.operator): Promise<Operator> {
  return Operator.create({
    state: x.state,
    sender,
    verifier: { verifyBatch: () => Promise.resolve([]) },
    onEntry: (entry) => log.push(entry),
    onLoss: (loss) => losses.push(loss),
  });
}

async function newTrader(): Promise<Trader> {
  const keys = accountKeys(newSeedPhrase(), 0);
  const account = await TraderAccount.open({ keys, chain: x.state, prover: unprovenProver });
  const sender = await x.fundedSender(1_000_000n * DOLLAR);
  await openSeat(x.chain, sender, keys.ownerKey);
  await deposit(x.chain, sender, 400_000n * DOLLAR, account.newCreditKey());
  return { account, sender };
}

function traderAt(index: number): Trader {
  const trader = traders[index];
  assert(trader !== undefined);
  return trader;
}

async function follow(): Promise<void> {
  await x.state.sync();
  for (const { account } of traders) account.applyChain();
}

async function flush(): Promise<readonly PostedBatch[]> {
  const posted = await operator.flush();
  await follow();
  return posted;
}

async function fundOf({ account }: Trader): Promise<ProvenTransition> {
  await follow();
  const [credit] = account.state.credits;
  assert(credit !== undefined);
  return account.fund(credit.creditId);
}

/** Opens a ticket through the operator without waiting for a batch. */
async function open({ account }: Trader, dollars: bigint): Promise<Hex> {
  const { transition } = await account.openTickets(HOGS, [{ cash: dollars * DOLLAR, position: 0n }]);
  const { ticketIds } = await operator.submitTransition(transition);
  const [ticketId] = ticketIds;
  assert(ticketId !== undefined);
  return ticketId;
}

function terms(side: OrderTerms["side"], ticks: number, quantity: number, more: Partial<OrderTerms> = {}): OrderTerms {
  return { side, limitPrice: CENTRE + BigInt(ticks) * TICK, quantity, expiry: NEVER, ...more };
}

async function place({ account }: Trader, ticketId: Hex, orderTerms: OrderTerms): Promise<SignedOrder> {
  const signed = await account.signOrder(ticketId, orderTerms);
  await operator.placeOrder(signed);
  return signed;
}

async function refused(work: Promise<unknown>, code: string): Promise<HedgerowError> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert(error instanceof HedgerowError, `expected ${code}, got ${String(error)}`);
  assert.equal(error.code, code, error.message);
  return error;
}

async function assertViewsMatch(ticketIds: readonly Hex[]): Promise<void> {
  for (const ticketId of ticketIds) {
    const { cash, position } = await x.chain.house.read.ticketOf([ticketId]);
    assert.deepEqual(operator.ticketView(ticketId).balance, { cash, position: BigInt(position) });
    assert.deepEqual(operator.ticketView(ticketId).settled, { cash, position: BigInt(position) });
  }
}

/** A batch that the operator's own key posts past the operator. Throws what the contract says. */
async function cheat(orders: readonly SignedOrder[], fills: readonly Partial<Fill>[]): Promise<void> {
  const { nextBatchNumber, lastSeq } = await readDayState(x.chain);
  const execTime = await x.now();
  const honest: Fill = {
    maker: 0,
    taker: 1,
    quantity: 1,
    price: orders[0]?.order.limitPrice ?? 0n,
    seq: lastSeq + 1n,
    n: 0,
    makerPrioritySeq: 1n,
    execTime,
  };
  const batch: Batch = {
    batchNumber: nextBatchNumber,
    transitions: [],
    orders,
    fills: fills.map((fill, n) => ({ ...honest, n, ...fill })),
    logHead: ZERO_HASH,
  };
  // Asks only: what passes must not be posted, or the operator would lose its place.
  try {
    await x.chain.house.simulate.submitBatch(
      [batch.batchNumber, [], [], batch.orders.map(signedOrderMessage), batch.fills, batch.logHead],
      { account: x.operator.address },
    );
  } catch (error) {
    throw refusalOf(error);
  }
}

describe("transitions", () => {
  test("several at once are posted in one batch [CRE-2]", async () => {
    await follow();
    const funding = await Promise.all(traders.map(fundOf));
    await Promise.all(funding.map((transition) => operator.submitTransition(transition)));
    const [batch, ...more] = await flush();
    assert.equal(batch?.applied.length, TRADERS);
    assert.deepEqual(more, []);
    assert.equal(alice.account.account.cash, 400_000n * DOLLAR - x.terms.relayFee);
    await refused(operator.submitTransition(funding[0] ?? assert.fail()), "NullifierTaken");
  });

  test("tickets are refused one by one: insolvent, in slot 8, in an empty slot, without key [TKT-3, TKT-9, TKT-16, TKT-17]", async () => {
    const { transition } = await alice.account.openTickets(HOGS, [{ cash: 0n, position: 0n }]);
    const { action } = transition;
    assert(action.name === "openTicket");
    const [ticket] = action.tickets;
    assert(ticket !== undefined);
    const submit = (slot: number, ...tickets: readonly (typeof ticket)[]) =>
      operator.submitTransition({
        ...transition,
        action: { ...action, slot, tickets, relayFee: x.terms.relayFee * BigInt(tickets.length) },
      });
    // Together they hold enough, one of them alone does not.
    await refused(submit(HOGS, { ...ticket, cash: 10n * DOLLAR }, { ...ticket, cash: -1n }), "TicketInsolvent");
    await refused(submit(8, ticket), "MalformedMessage");
    await refused(submit(1, ticket), "InvalidTransition");
    await refused(submit(HOGS), "MalformedMessage");
    await refused(submit(HOGS, ...Array<typeof ticket>(9).fill(ticket)), "MalformedMessage");
    await refused(submit(HOGS, { ...ticket, sessionKey: `0x${"00".repeat(20)}` }), "InvalidTransition");
    await refused(submit(HOGS, { ...ticket, reduceOnly: true }), "InvalidTransition");
  });

  test("a note, a credit and a release are promised once, to their owner only [ACC-8, CRE-2, TKT-7]", async () => {
    const [first, second] = await Promise.all([
      alice.account.withdraw(alice.sender.address, DOLLAR),
      alice.account.withdraw(alice.sender.address, 2n * DOLLAR),
    ]);
    await deposit(x.chain, bob.sender, 10n * DOLLAR, bob.account.newCreditKey());
    const funding = await fundOf(bob);
    await refused(operator.submitTransition({ ...funding, signature: "0x12" }), "MalformedMessage");
    const flipped: Hex = `${funding.signature.slice(0, -2) as Hex}${funding.signature.endsWith("1b") ? "1c" : "1b"}`;
    await refused(operator.submitTransition({ ...funding, signature: flipped }), "WrongSigner");
    await refused(operator.submitTransition({ ...funding, newNote: funding.newNote + 1n }), "WrongSigner");
    assert(funding.action.name === "fund");
    const unknown = { ...funding.action, creditId: 5n };
    await refused(operator.submitTransition({ ...funding, action: unknown }), "CreditUnavailable");
    const results = await Promise.allSettled(
      [first, second].map((transition) => operator.submitTransition(transition)),
    );
    assert.deepEqual(results.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
    await operator.submitTransition(funding);
    await refused(operator.submitTransition(funding), "NullifierTaken");
    const [batch] = await flush();
    assert.equal(batch?.applied.length, 2);
  });

  test("one that the chain has overtaken is skipped and reported, the rest goes on [BAT-10, CRE-5]", async () => {
    const creditId = await deposit(x.chain, bob.sender, 10n * DOLLAR, bob.account.newCreditKey());
    const funding = await fundOf(bob);
    await operator.submitTransition(funding);
    const payout = await alice.account.withdraw(alice.sender.address, DOLLAR);
    await operator.submitTransition(payout);
    await call(x.chain, bob.sender, { functionName: "requestCreditRefund", args: [creditId] });
    await x.advanceTime(60);
    await call(x.chain, bob.sender, { functionName: "refundCredit", args: [creditId] });
    const [batch, ...more] = await flush();
    assert.deepEqual(batch?.applied, [payout]);
    assert.deepEqual(batch.losses, [{ kind: "transition", transition: funding, reason: "CreditUnavailable" }]);
    assert.deepEqual(losses, batch.losses);
    assert.deepEqual([more, operator.queue], [[], []]);
  });
});

describe("orders", () => {
  let hers: Hex;
  let his: Hex;

  test("trade before the opening of their ticket is mined; openings are posted first, then fills [ORD-10, TKT-8]", async () => {
    [hers, his] = await Promise.all([open(alice, 40_000n), open(bob, 40_000n)]);
    await place(alice, hers, terms("sell", 3, 4));
    await place(bob, his, terms("buy", 5, 3));
    assert.equal(operator.ticketView(hers).status, "pending");
    const posted = await flush();
    assert.deepEqual(
      posted.map(({ applied, fills }) => [applied.length, fills]),
      [
        [2, 0],
        [0, 1],
      ],
    );
    const [fill] = x.state.fills;
    assert.deepEqual([fill?.price, fill?.quantity, fill?.takerBuys], [CENTRE + 3n * TICK, 3, true]);
    await assertViewsMatch([hers, his]);
    assert.deepEqual(operator.depth(HOGS).asks, [{ price: CENTRE + 3n * TICK, quantity: 1, orders: 1 }]);
    const [, logHead] = await x.chain.house.read.batchRecord([posted[1]?.batchNumber ?? 0]);
    assert.equal(logHead, operator.logHead);
  });

  test("only the ticket's session key places, replaces and cancels, in one form of signature [ORD-12, ORD-1]", async () => {
    const signed = await alice.account.signOrder(hers, terms("sell", 9, 1));
    const foreign = generatePrivateKey();
    const { domain } = x.chain;
    const forged = { order: signed.order, signature: await signOrder(domain, signed.order, foreign) };
    await refused(operator.placeOrder(forged), "WrongSigner");
    await refused(operator.placeOrder({ ...signed, order: { ...signed.order, ticketId: his } }), "WrongSigner");
    await refused(operator.placeOrder({ ...signed, order: { ...signed.order, quantity: 2 } }), "WrongSigner");
    await refused(operator.placeOrder({ ...signed, signature: `${signed.signature}00` }), "MalformedSignature");
    const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
    const s = order - BigInt(`0x${signed.signature.slice(66, 130)}`);
    const v = signed.signature.endsWith("1b") ? "1c" : "1b";
    const malleated: Hex = `${signed.signature.slice(0, 66) as Hex}${s.toString(16).padStart(64, "0")}${v}`;
    await refused(operator.placeOrder({ ...signed, signature: malleated }), "MalformedSignature");
    await operator.placeOrder(signed);
    const cancel = { ticketId: hers, clientId: signed.order.clientId };
    await refused(
      operator.cancelOrder({ cancel, signature: await signCancel(domain, cancel, foreign) }),
      "WrongSigner",
    );
    await operator.cancelOrder(await alice.account.signCancel(signed));
    await refused(operator.cancelOrder(await alice.account.signCancel(signed)), "Matching.UnknownOrder");
  });

  test("an order sent again gets its first answer again; another with its client id is refused [ORD-22, MAT-9]", async () => {
    const signed = await alice.account.signOrder(hers, terms("sell", 9, 2));
    const { clientId } = signed.order;
    const first = await operator.placeOrder(signed);
    assert.deepEqual([first.order.status, first.receipts.map(({ receipt }) => receipt.kind)], ["open", ["accepted"]]);
    assert.deepEqual(await operator.placeOrder(signed), first);
    await operator.cancelOrder(await alice.account.signCancel(signed));
    assert.deepEqual(await operator.placeOrder(signed), first);
    const watch = await alice.account.signWatch(hers, NEVER);
    assert.equal((await operator.order(watch, clientId)).status, "cancelled");
    for (const receipt of first.receipts) assert(verifyReceipt(x.chain.domain, x.operator.address, receipt));
  });

  test("malformed messages, foreign markets and times past are refused by name [ORD-7, ORD-9]", async () => {
    const signed = await alice.account.signOrder(hers, terms("sell", 9, 1));
    const changed = (changes: Partial<SignedOrder["order"]>): Promise<unknown> =>
      operator.placeOrder({ ...signed, order: { ...signed.order, ...changes } });
    await refused(changed({ clientId: 1n << 64n }), "MalformedMessage");
    await refused(changed({ revision: 256 }), "MalformedMessage");
    await refused(changed({ ticketId: "0x12" }), "MalformedMessage");
    await refused(changed({ quantity: -1 }), "MalformedMessage");
    await refused(changed({ quantity: 2 ** 32 }), "MalformedMessage");
    await refused(changed({ ticketId: ZERO_HASH }), "UnknownTicket");
    const other = (changes: Partial<OrderTerms>): Promise<unknown> =>
      place(alice, hers, { ...terms("sell", 9, 1), ...changes });
    await refused(other({ expiry: 1n }), "OrderExpired");
    await refused(other({ quantity: 2 ** 31 }), "Matching.BadQuantity");
    await refused(other({ limitPrice: CENTRE + 1n }), "Matching.OffTick");
    await refused(other({ limitPrice: CENTRE * 2n }), "Matching.OffLimits");
    await refused(other({ quantity: 1_000 }), "TicketBelowMargin");
  });

  test("partial fills, replacements and immediate orders settle on chain as the operator sees them [FIL-5, MAT-8, FIL-16]", async () => {
    const resting = await place(alice, hers, terms("sell", 2, 3));
    await place(bob, his, terms("buy", 2, 1));
    const smaller = await alice.account.signReplacement(resting, { quantity: 2 });
    await operator.replaceOrder(smaller);
    assert.equal(operator.remaining(hers, resting.order.clientId), 1);
    await place(bob, his, terms("buy", 4, 5, { timeInForce: "IOC" }));
    await refused(place(bob, his, terms("buy", 4, 5, { timeInForce: "FOK" })), "Matching.NotFillable");
    await refused(operator.replaceOrder(smaller), "Matching.UnknownOrder");
    assert.equal(operator.unsettled.length, 3);
    await flush();
    await assertViewsMatch([hers, his]);
    assert.deepEqual(operator.depth(HOGS), { bids: [], asks: [] });
  });

  test("a cheating batch is refused by the contract, whatever the lie [FIL-1, FIL-3, FIL-5, FIL-6, FIL-10, FIL-11, FIL-16]", async () => {
    const sell = await alice.account.signOrder(hers, terms("sell", 0, 2));
    const buy = await bob.account.signOrder(his, terms("buy", 1, 2));
    const own = await alice.account.signOrder(hers, terms("buy", 1, 2));
    const dear = await alice.account.signOrder(hers, terms("sell", 2, 2));
    const newer = await alice.account.signReplacement(sell, { quantity: 3 });
    const fok = await bob.account.signOrder(his, terms("buy", 1, 2, { timeInForce: "FOK" }));
    const shy = await bob.account.signOrder(his, terms("buy", 1, 2, { postOnly: true }));
    const { lastSeq } = await readDayState(x.chain);
    const now = await x.now();
    await cheat([sell, buy], [{}]);
    await refused(cheat([sell, buy], [{ quantity: 3 }]), "Overfilled");
    await refused(cheat([sell, buy], [{ quantity: 1 }, { quantity: 2 }]), "Overfilled");
    await refused(cheat([sell, buy], [{ price: CENTRE + TICK }]), "NotMakerPrice");
    await refused(cheat([dear, buy], [{}]), "NotCrossing");
    await refused(cheat([sell, own], [{}]), "SameTicket");
    await refused(cheat([sell, sell], [{}]), "SameTicket");
    await refused(cheat([newer, buy, sell], [{}, { maker: 2 }]), "Superseded");
    await refused(cheat([sell, buy], [{ seq: lastSeq - 1n }]), "FillOutOfOrder");
    await refused(cheat([sell, buy], [{ n: 1 }, { n: 1 }]), "FillOutOfOrder");
    await refused(cheat([sell, buy], [{ execTime: now + 1_000n }]), "ExecTimeOutOfRange");
    await refused(cheat([sell, buy], [{ makerPrioritySeq: lastSeq + 2n }]), "PriorityAfterFill");
    await refused(cheat([sell, fok], [{}]), "FillOrKillUnfilled");
    await refused(cheat([fok, sell], [{ quantity: 2 }]), "MakerCannotRest");
    await refused(cheat([sell, shy], [{}]), "PostOnlyTakes");
    await refused(cheat([sell, { ...buy, signature: sell.signature }], [{}]), "WrongSigner");
  });

  test("a release names what the ticket holds; its orders are cancelled and it takes no more [TKT-11]", async () => {
    const resting = await place(alice, hers, terms("sell", 9, 1));
    const stale = await alice.account.closeTicket(hers);
    await place(alice, hers, terms("sell", 1, 1));
    await place(bob, his, terms("buy", 1, 1));
    await refused(operator.submitTransition(stale), "TicketChanged");
    assert.equal(operator.remaining(hers, resting.order.clientId), 1);
    await flush();
    const closing = await alice.account.closeTicket(hers);
    await operator.submitTransition(closing);
    assert.equal(operator.remaining(hers, resting.order.clientId), undefined);
    assert.equal(log.at(-1)?.cause, "ticket-closing");
    await refused(place(alice, hers, terms("sell", 9, 1)), "TicketNotTradable");
    const [batch] = await flush();
    assert.deepEqual(batch?.applied, [closing]);
    await refused(operator.placeOrder(resting), "UnknownTicket");
    assert.deepEqual(alice.account.state.tickets, []);
  });
});

describe("random trading", () => {
  test("leaves the operator's tickets equal to the chain's, to the unit [FIL-8, FIL-9, ORD-6]", async () => {
    const tickets = new Map<Hex, Trader>();
    // A thin, a middling and two rich tickets, so that margin binds.
    for (const [index, dollars] of [12_000n, 60_000n, 150_000n, 200_000n].entries()) {
      tickets.set(await open(traderAt(index), dollars), traderAt(index));
    }
    const ids = [...tickets.keys()];
    const random = seeded(20_260_101);
    const pick = <T>(items: readonly T[]): T => items[random(items.length)] ?? assert.fail();
    const resting: SignedOrder[] = [];
    let executions = 0;
    const refusals = new Map<string, number>();
    for (let round = 0; round < 6; round++) {
      let posting: Promise<readonly PostedBatch[]> | undefined;
      for (let i = 0; i < 40; i++) {
        // Trading goes on while a batch is on its way.
        if (i === 20) posting = operator.flush();
        const ticketId = pick(ids);
        const { account } = tickets.get(ticketId) ?? assert.fail();
        const kind = random(10);
        try {
          if (kind < 7 || resting.length === 0) {
            const timeInForce = pick(["GTC", "GTC", "GTC", "IOC", "FOK"] as const);
            const order = terms(pick(["buy", "sell"]), random(9) - 4, 1 + random(6), { timeInForce });
            const signed = await account.signOrder(ticketId, order);
            await operator.placeOrder(signed);
            if (timeInForce === "GTC") resting.push(signed);
          } else {
            const at = random(resting.length);
            const signed = resting[at] ?? assert.fail();
            const owner = tickets.get(signed.order.ticketId)?.account ?? assert.fail();
            if (kind < 8) {
              resting.splice(at, 1);
              await operator.cancelOrder(await owner.signCancel(signed));
            } else {
              const limitPrice = CENTRE + BigInt(random(9) - 4) * TICK;
              const newer = await owner.signReplacement(signed, { limitPrice, quantity: 1 + random(8) });
              await operator.replaceOrder(newer);
              resting[at] = newer;
            }
          }
        } catch (error) {
          if (!(error instanceof HedgerowError)) throw error;
          refusals.set(error.code, (refusals.get(error.code) ?? 0) + 1);
        }
      }
      for (const { receipt, fills } of [...((await posting) ?? []), ...(await flush())]) {
        executions += fills;
        const most = GAS.batch + 4n * (GAS.transition + GAS.ticket) + BigInt(fills) * (GAS.fill + 2n * GAS.order);
        assert((receipt?.gasUsed ?? 0n) <= most);
      }
      await assertViewsMatch(ids);
    }
    assert(executions > 50, `only ${executions} executions, refused: ${JSON.stringify([...refusals])}`);
    assert((refusals.get("TicketBelowMargin") ?? 0) > 5);
    const spread = operator.depth(HOGS);
    assert((spread.bids[0]?.price ?? -CENTRE) < (spread.asks[0]?.price ?? 2n * CENTRE));
    assert.equal(operator.trades(HOGS).length, x.state.fills.length);
    let head = ZERO_HASH;
    for (const entry of log) assert.equal((head = nextHead(head, entry)), entry.head);
  });
});

describe("batches", () => {
  test("one whose answer was lost is not posted twice [BAT-1]", async () => {
    const payout = await alice.account.withdraw(alice.sender.address, DOLLAR);
    const { wallet } = x.operator;
    let lost = 0;
    const flaky: Sender = {
      ...x.operator,
      wallet: {
        ...wallet,
        sendRawTransaction: async (request) => {
          await wallet.sendRawTransaction(request);
          lost += 1;
          throw new Error("the connection broke");
        },
      },
    };
    const other = await newOperator(flaky);
    await other.submitTransition(payout);
    const { nextBatchNumber } = await readDayState(x.chain);
    await assert.rejects(other.postBatch(), ChainUnavailable);
    const batch = await other.postBatch();
    assert.deepEqual([batch?.batchNumber, batch?.receipt, batch?.applied], [nextBatchNumber, undefined, [payout]]);
    assert.equal((await readDayState(x.chain)).nextBatchNumber, nextBatchNumber + 1);
    assert.deepEqual([lost, other.queue.length, await other.flush()], [1, 0, []]);
  });

  test("an operator whose number somebody else used stops with an error [BAT-1]", async () => {
    // The operator of these tests does not know of the batch above.
    await follow();
    const payout = await alice.account.withdraw(alice.sender.address, DOLLAR);
    await operator.submitTransition(payout);
    await place(bob, ticketOf(bob), terms("buy", -30, 1));
    const error = await refused(operator.postBatch(), "BatchNumberTaken");
    assert.equal(typeof error.details["onChain"], "number");
    operator = await newOperator();
    await operator.submitTransition(payout);
    await flush();
  });

  test("a new operator closes tickets that it finds, and takes no orders on them [ORD-4]", async () => {
    const ticketId = ticketOf(bob);
    assert.equal(operator.ticketView(ticketId).status, "inherited");
    await refused(place(bob, ticketId, terms("buy", -30, 1)), "TicketNotTradable");
    await operator.submitTransition(await bob.account.closeTicket(ticketId));
    const [batch] = await flush();
    assert.equal(batch?.applied.length, 1);
  });
});

describe("the close", () => {
  test("orders that rested through the window bound the settlement price; all are cancelled [SET-4, EPO-3, EPO-4]", async () => {
    await refused(operator.closeDay(), "TooEarly");
    const [hers, his] = await Promise.all([open(alice, 40_000n), open(bob, 40_000n)]);
    await flush();
    await place(alice, hers, terms("sell", 40, 3));
    await place(alice, hers, terms("sell", 50, 4));
    await place(bob, his, terms("buy", 30, 6));
    const { closingTime } = await x.chain.house.read.epochOf([1]);
    await x.advanceTime(Number(closingTime - (await x.now())) - 60);
    await place(bob, his, terms("buy", 35, 5));
    await x.advanceTime(60);
    const late = await alice.account.signOrder(hers, terms("sell", 35, 1));
    await x.advanceTime(1);
    await refused(operator.placeOrder(late), "MarketClosed");
    const { quotes } = await operator.closeDay();
    assert.deepEqual(
      quotes.map(({ slot, bids, asks }) => [slot, bids.length, asks.length]),
      [[0, 1, 2]],
    );
    const priced = x.state.events.find((event) => event.eventName === "SettlementPriced" && event.args.slot === HOGS);
    assert(priced?.eventName === "SettlementPriced");
    assert.deepEqual([priced.args.bid, priced.args.ask], [CENTRE + 30n * TICK, CENTRE + 50n * TICK]);
    assert.deepEqual(operator.depth(HOGS), { bids: [], asks: [] });
    assert.equal(log.at(-1)?.cause, "end-of-day");
    await refused(operator.closeDay(), "DayClosed");
    await refused(place(alice, hers, terms("sell", 40, 1)), "MarketClosed");
  });

  test("a transition that would refuse its whole batch is found and left out [BAT-10, ACT-1]", async () => {
    await follow();
    const ticketId = ticketOf(alice);
    const closing = await alice.account.closeTicket(ticketId, RELAYED);
    await operator.submitTransition(closing);
    await x.mine(x.terms.windowBlocks);
    await x.advanceTime(x.terms.windowA);
    await refused(operator.submitTransition(await bob.account.closeTicket(ticketOf(bob), RELAYED)), "WrongPhase");
    const renewals = await Promise.all(traders.slice(1, 3).map(({ account }) => account.renew(RELAYED)));
    for (const renewal of renewals) await operator.submitTransition(renewal);
    losses.length = 0;
    const [batch, ...more] = await flush();
    assert.deepEqual(batch?.applied, renewals);
    assert.deepEqual(losses, [{ kind: "transition", transition: closing, reason: "WrongPhase" }]);
    assert.deepEqual(more, []);
    assert.equal(operator.ticketView(ticketId).closing, false);
  });

  test("a seat is renewed once, and what waits when the phase ends is given up and reported [SEA-6, ACT-1]", async () => {
    await refused(operator.submitTransition({ ...(await alice.account.renew(RELAYED)), seat: 5n }), "SeatUnavailable");
    await operator.submitTransition(await alice.account.renew(RELAYED));
    await refused(operator.submitTransition(await alice.account.renew(RELAYED)), "NullifierTaken");
    losses.length = 0;
    await x.advanceTime(x.terms.windowB);
    await openEpoch(x, bob.sender);
    await operator.sync();
    assert.deepEqual(
      losses.map(({ reason }) => reason),
      ["PhaseOver"],
    );
  });

  test("the next epoch begins with an empty book around the new price [EPO-7]", async () => {
    await follow();
    const [, , third] = traders;
    const [market] = x.state.markets(2);
    assert(third !== undefined && market !== undefined);
    assert.notEqual(market.centre, CENTRE);
    const ticketId = await open(third, 20_000n);
    const outside = market.centre + market.priceLimit + TICK;
    await refused(
      place(third, ticketId, { side: "sell", limitPrice: outside, quantity: 1, expiry: NEVER }),
      "Matching.OffLimits",
    );
    await place(third, ticketId, { side: "sell", limitPrice: outside - TICK, quantity: 1, expiry: NEVER });
    await flush();
    assert.equal(operator.depth(HOGS).asks.length, 1);
    assert.deepEqual(operator.trades(HOGS), []);
  });
});

function ticketOf({ account }: Trader): Hex {
  return account.state.tickets.at(-1)?.ticketId ?? assert.fail("the trader has no ticket");
}

/** Numbers from 0 to below n, the same in every run. */
function seeded(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}
