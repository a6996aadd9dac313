import { isDeepStrictEqual } from "node:util";
import { encodeFunctionData } from "viem";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import { clearingHouseAbi } from "../../src/protocol/abi.ts";
import {
  call,
  closeEpoch,
  type ProvenTransition,
  readDayState,
  refusalOf,
  type SignedOrder,
  transitionMessage,
} from "../../src/chain/clearingHouse.ts";
import { dollars, table } from "../../src/cli/terminal.ts";
import { DEMO_CLEARING_TERMS, DOLLAR, LEAN_HOG_TERMS } from "../../src/clearing/leanHogs.ts";
import { equityInBand, feeAtDefault } from "../../src/protocol/epoch.ts";
import type { Hex } from "../../src/protocol/keys.ts";
import type { Side } from "../../src/protocol/order.ts";
import { verifyReceipt } from "../../src/protocol/receipt.ts";
import { recoverAccount } from "../../src/trader/recovery.ts";
import type { Narrator } from "./narrator.ts";
import { by, type DemoTrader, type Stage } from "./stage.ts";

/** One trading day on one Lean Hog contract, told as it happens; every claim is checked. */

const SLOT = 0;
const MINUTE = 60;

/** Prices of one contract in base units. */
const usd = (amount: number): bigint => BigInt(amount) * DOLLAR;

/** Who takes part, and what each brings in dollars. Alice can only just carry the 90 contracts that she will sell. */
const STAKES: Readonly<Record<string, number>> = {
  Alice: 317_500,
  Bob: 150_000,
  Carol: 150_000,
  Eve: 200_000,
  Dave: 300_000,
  Fay: 20_000,
  Gina: 73_000,
  Hank: 40_000,
  Iris: 25_000,
  Jack: 150_000,
  Kate: 20_000,
};

/** Gina keeps this aside, for a margin call. */
const RESERVE = usd(6_000);

/** What the story leaves behind for the final tables and the machine-readable summary. */
export type StoryResult = {
  readonly settlementPrice: bigint;
  readonly defaults: readonly { readonly trader: string; readonly bondLost: bigint; readonly paid: bigint }[];
};

/** Signs an order on a ticket of the story; or signs and sends it. */
type Place = (
  as: string,
  side: Side,
  price: number,
  quantity: number,
  more?: { readonly timeInForce?: "IOC" | "FOK"; readonly postOnly?: boolean },
) => Promise<SignedOrder>;

type Opened = { readonly trader: DemoTrader; readonly ticketId: Hex };

/** Plays the day. Throws only where the story cannot go on; everything else is a claim. */
export async function playStory(stage: Stage, narrator: Narrator): Promise<StoryResult> {
  const { state, client } = stage;
  const say = (text: string): Promise<void> => narrator.say(text);

  // ---------------------------------------------------------------- morning: seats and inventory

  narrator.chapter("Seats, deposits, first notes");
  for (const [name, stake] of Object.entries(STAKES)) await stage.enter(name, usd(stake) + stage.terms.seatBond);
  await say(`${stage.traders.size} seats are open, each with a bond of ${dollars(stage.terms.seatBond)}.`);
  await stage.syncAll();
  const traders = [...stage.traders.values()];
  const funding = await stage.proveAll(
    "proving deposits",
    traders.map(
      (trader) => () =>
        stage.depositAndFund(trader, trader.stake - stage.terms.seatBond - (trader.name === "Gina" ? RESERVE : 0n)),
    ),
  );
  await stage.relay(by(traders, funding));
  await say("Their cash is in notes now: the chain knows the sum, nobody's share.");

  // ---------------------------------------------------------------- tickets

  narrator.chapter("Tickets: one proof each, then orders are free");
  const plans: readonly (readonly [name: string, side: Side, price: number, quantity: number])[] = [
    ["Alice", "sell", 32_000, 90],
    ["Bob", "buy", 32_010, 30],
    ["Carol", "buy", 32_000, 30],
    ["Eve", "buy", 32_000, 30],
    ["Gina", "sell", 32_000, 20],
    ["Hank", "sell", 32_500, 10],
    ["Iris", "sell", 32_500, 5],
    ["Jack", "buy", 32_600, 25],
  ];
  const tickets = new Map<string, Opened>();
  const openings = await stage.proveAll("proving openings", [
    ...plans.map(([name, side, price, quantity]) => async () => {
      const trader = stage.trader(name);
      const spec = trader.account.ticketFor(SLOT, { side, price: usd(price), quantity: BigInt(quantity) });
      return open(trader, spec.cash, name);
    }),
    // A market maker keeps one ticket all day and quotes both sides on it.
    () => open(stage.trader("Dave"), usd(200_000), "Dave"),
  ]);
  async function open(trader: DemoTrader, cash: bigint, as: string): Promise<ProvenTransition> {
    const { transition, tickets: opened } = await trader.account.openTickets(SLOT, [{ cash, position: 0n }]);
    const [ticket] = opened;
    if (ticket !== undefined) tickets.set(as, { trader, ticketId: ticket.ticketId });
    stage.measured.tickets += opened.length;
    return transition;
  }
  const openers = [...tickets.values()];
  await stage.relay(
    by(
      openers.map(({ trader }) => trader),
      openings,
    ),
  );
  for (const { trader, ticketId } of openers) await stage.watch(trader, ticketId);
  await say(`${tickets.size} tickets stand in public, each with its funds, none with a name.`);

  const order: Place = async (as, side, price, quantity, more = {}) => {
    const { trader, ticketId } = ticketOf(as);
    const expiry = (await stage.now()) + 86_400n;
    return trader.account.signOrder(ticketId, { side, limitPrice: usd(price), quantity, expiry, ...more });
  };
  const place: Place = async (...terms) => {
    const signed = await order(...terms);
    await ticketOf(terms[0]).trader.desk.place(signed);
    return signed;
  };
  function ticketOf(as: string): Opened {
    const opened = tickets.get(as);
    if (opened === undefined) throw new Error(`no ticket is called ${as}`);
    return opened;
  }

  // ---------------------------------------------------------------- trading

  narrator.chapter("Trading");
  await stage.pass(30 * MINUTE);
  const offer = await place("Alice", "sell", 32_000, 90);
  await say("Somebody offers 90 at 32,000. It is Alice, and it is all she can carry; nobody knows either.");
  await place("Bob", "buy", 32_010, 30);
  narrator.claim(
    "the incoming order gets the better price: Bob bid 32,010 and paid 32,000",
    (await client.fetchTrades(SLOT, 1)).at(-1)?.price === usd(32_000),
  );
  await place("Carol", "buy", 32_000, 30);
  await place("Eve", "buy", 32_000, 20);
  const { ticketId: alices, clientId } = offer.order;
  const alicesWatch = await stage.trader("Alice").account.signWatch(alices, (await stage.now()) + 3_600n);
  narrator.claim(
    "Alice's offer is filled in parts: 80 of 90 so far",
    (await client.fetchOrder(alicesWatch, clientId)).remaining === 10,
  );
  await place("Eve", "buy", 32_000, 10);
  await say("Alice is short 90; Bob, Carol and Eve are long 30 each.");

  const dave = stage.trader("Dave");
  const bid = await place("Dave", "buy", 31_950, 10, { postOnly: true });
  const ask = await place("Dave", "sell", 32_400, 12, { postOnly: true });
  await dave.desk.replace(await dave.account.signReplacement(bid, { limitPrice: usd(32_000), quantity: 20 }));
  await dave.desk.cancel(await dave.account.signCancel(ask));
  const quoted = await client.fetchOrderBook(SLOT);
  narrator.claim(
    "one order replaced, one cancelled, without a proof or a transaction",
    quoted.bids[0]?.price === usd(32_000) && quoted.asks.length === 0,
  );
  await place("Gina", "sell", 32_000, 20);
  await stage.settled();

  await refusals(stage, narrator, openings, ticketOf);
  await figureOne(stage, narrator, order, place);
  await killed(stage, narrator, place, ticketOf("Dave").ticketId);

  // ---------------------------------------------------------------- the settlement window

  narrator.chapter("The last half hour: prices rise inside the limits");
  const { closingTime } = await stage.chain.house.read.epochOf([state.epoch]);
  await stage.passUntil(closingTime - BigInt(25 * MINUTE));
  await place("Jack", "buy", 32_500, 5);
  await place("Hank", "sell", 32_500, 10);
  await stage.pass(5 * MINUTE);
  await place("Jack", "buy", 32_500, 10);
  await place("Iris", "sell", 32_500, 5);
  await stage.pass(5 * MINUTE);
  await place("Jack", "buy", 32_600, 10);
  await place("Dave", "sell", 32_600, 5);
  await stage.settled();
  await say(await book(stage));
  narrator.claim(
    `whoever only listens knows the same book, from ${stage.follower.steps} steps and through a broken connection`,
    (await stage.isBookFollowed()) && stage.follower.steps > 0,
  );

  narrator.chapter("Close of day");
  await stage.endDay();
  const fillsToday = state.fills.filter(({ epoch }) => epoch === state.epoch);
  const settlementPrice = state.markets(state.epoch)[SLOT]?.settlementPrice ?? 0n;
  const inWindow = fillsToday.filter(({ execTime }) => execTime >= closingTime - BigInt(stage.terms.settlementWindow));
  const volume = inWindow.reduce((sum, { quantity }) => sum + quantity, 0);
  const value = inWindow.reduce((sum, { quantity, price }) => sum + BigInt(quantity) * price, 0n);
  const average = Number(value / BigInt(volume)) / Number(DOLLAR);
  await say(
    `Settlement price ${dollars(settlementPrice)}: the average of ${volume} contracts in the last half hour ` +
      `(${average.toFixed(2)}), to the nearest tick.`,
  );
  narrator.claim(
    "the settlement price is the volume-weighted average, to the nearest tick",
    Math.abs(Number(settlementPrice) / Number(DOLLAR) - average) <= Number(LEAN_HOG_TERMS.tick / DOLLAR) / 2,
  );

  const receipts = await stage.receipts();
  const shown = new Set(state.fills.map(({ seq, n }) => `${seq}.${n}`));
  narrator.claim(
    `the wallets hold ${receipts.length} receipts, each signed by the operator, two for each fill of the day`,
    receipts.every((signed) => verifyReceipt(stage.chain.domain, stage.operator, signed)) &&
      sameSet(stage.tradedPlaces, shown),
  );

  // ---------------------------------------------------------------- window, part A

  narrator.chapter("Window, part A: tickets close, a margin call is met");
  const closing = await stage.proveAll(
    "proving closings",
    [...tickets]
      .filter(([as]) => as !== "Iris")
      .map(
        ([, { trader, ticketId }]) =>
          () =>
            trader.account.closeTicket(ticketId),
      ),
  );
  await stage.send(stage.anybody, closing);
  await say("All tickets but one are closed into accounts again, sent directly: the operator is not needed now.");

  const gina = stage.trader("Gina");
  const called = await stage.refused("Gina renews after the rise, without new money", () => gina.account.renew());
  narrator.claim("Gina cannot prove maintenance margin: a margin call", called === "ProverRefused");
  await stage.send(gina.sender, [await stage.depositAndFund(gina, RESERVE)]);
  await say(`Gina tops up ${dollars(RESERVE)}.`);

  const jack = stage.trader("Jack");
  const jacksAddress = privateKeyToAddress(generatePrivateKey());
  await stage.send(jack.sender, [await jack.account.withdraw(jacksAddress, usd(20_000))]);
  narrator.claim("Jack withdrew 20,000 to a fresh address", (await stage.balance(jacksAddress)) === usd(20_000));

  // ---------------------------------------------------------------- window, part B

  narrator.chapter("Window, part B: everybody who goes on proves again");
  await stage.pass(stage.terms.windowA, stage.terms.windowBlocks);
  const renewing = [...stage.traders.values()].filter(({ name }) => name !== "Fay" && name !== "Hank");
  await stage.send(
    stage.anybody,
    await stage.proveAll(
      "proving renewals",
      renewing.map(
        ({ account }) =>
          () =>
            account.renew(),
      ),
    ),
  );
  narrator.claim(
    "Alice renewed: nobody could call her a minute before the settlement price did",
    stage.trader("Alice").account.status.status === "active",
  );
  await stage.send(stage.trader("Fay").sender, [await stage.trader("Fay").account.sleep()]);
  await say(`${renewing.length} seats renewed, Fay sleeps, Hank says nothing.`);
  const early = await stage.refused("opening the next day before the window is over", () =>
    call(stage.chain, stage.anybody, { functionName: "openEpoch", args: [] }),
  );
  narrator.claim("the window has its full length", early === "TooEarly");
  await stage.pass(stage.terms.windowB, stage.terms.windowBlocks);
  await call(stage.chain, stage.anybody, { functionName: "openEpoch", args: [] });
  await stage.exchangeOpens();

  // ---------------------------------------------------------------- the next morning

  narrator.chapter("The next morning: who dropped out");
  const fee = LEAN_HOG_TERMS.closeOutFee;
  const hank = stage.trader("Hank");
  const { cash, positions } = hank.account.account;
  const hanksWorth = equityInBand(cash, positions[SLOT] ?? 0n, settlementPrice, fee);
  const hanksAddress = privateKeyToAddress(generatePrivateKey());
  stage.defaulted.push({ epoch: state.epoch - 1, account: hank.account.account });
  await stage.send(hank.sender, [await hank.account.exit(hanksAddress)]);
  const paid = await stage.balance(hanksAddress);
  const bondLost = state.forfeitedBonds.get(hank.account.keys.ownerKey) ?? 0n;
  narrator.claim(
    `Hank was short 10 and is closed at ${dollars(settlementPrice + fee)}: he gets ${dollars(hanksWorth)}`,
    paid === hanksWorth && positions[SLOT] === -10n,
  );
  narrator.claim(
    `Hank's bond of ${dollars(bondLost)} went to the close-out account`,
    bondLost === stage.terms.seatBond,
  );

  const iris = stage.trader("Iris");
  const { ticketId } = ticketOf("Iris");
  const [leftOver] = iris.account.state.tickets;
  const market = state.markets(state.epoch - 1)[SLOT];
  const claimable =
    leftOver === undefined || market === undefined
      ? 0n
      : equityInBand(leftOver.cash, leftOver.position, settlementPrice, feeAtDefault(market));
  const before = iris.account.account.cash;
  await stage.relay([[iris, await iris.account.claimTicket(ticketId)]]);
  narrator.claim(
    `Iris abandoned a ticket short 5: she claims ${dollars(claimable)}, the house holds the 5 contracts`,
    iris.account.account.cash === before + claimable - stage.terms.relayFee,
  );
  const [, , closeOutPosition] = await stage.chain.house.read.openPositions();
  narrator.claim("the close-out account carries Iris's position", closeOutPosition[SLOT] === -5n);

  const fay = stage.trader("Fay");
  await stage.send(fay.sender, [await fay.account.wake()]);
  narrator.claim(
    "Fay slept through it, paid nothing but her relay fees, and is back",
    fay.account.status.status === "active",
  );

  narrator.chapter("A wallet is lost");
  const remembered = jack.account.holdings;
  await stage.recover(jack);
  const rebuilt = recoverAccount(jack.wallet.phrase, 0, state);
  narrator.claim(
    "Jack's files are gone; twelve words and the chain bring everything back",
    sameHoldings(remembered, jack.account.holdings) && rebuilt.state.live?.note === jack.account.state.live?.note,
  );
  const jacksSecond = privateKeyToAddress(generatePrivateKey());
  await stage.relay([[jack, await jack.account.withdraw(jacksSecond, usd(1_000))]]);
  narrator.claim("and the recovered wallet can spend", (await stage.balance(jacksSecond)) === usd(1_000));

  return { settlementPrice, defaults: [{ trader: "Hank", bondLost, paid }] };
}

/** Attempts that must fail, each with the error that says why. */
async function refusals(
  stage: Stage,
  narrator: Narrator,
  openings: readonly ProvenTransition[],
  ticketOf: (as: string) => Opened,
): Promise<void> {
  narrator.chapter("What does not work");
  const kate = stage.trader("Kate");
  const spec = kate.account.ticketFor(SLOT, { side: "buy", price: usd(32_000), quantity: 100n });
  const beyond = await stage.refused("Kate opens a ticket for 100 contracts with 20,000 dollars", () =>
    kate.account.openTickets(SLOT, [spec]),
  );
  narrator.claim("an order beyond means cannot be proven", beyond === "ProverRefused");

  // Kate borrows a proof that was good for somebody else, and changes what it speaks of.
  const [borrowed] = openings;
  const own = await kate.account.openTickets(SLOT, [{ cash: usd(3_300), position: 0n }]);
  const forged: ProvenTransition = {
    ...own.transition,
    action:
      own.transition.action.name === "openTicket"
        ? {
            ...own.transition.action,
            tickets: own.transition.action.tickets.map((t) => ({ ...t, cash: usd(330_000) })),
          }
        : own.transition.action,
    ...(borrowed === undefined ? {} : { proof: borrowed.proof }),
  };
  const offChain = await stage.refused("a forged proof, handed to the exchange", () => kate.desk.submit(forged));
  narrator.claim("the operator refuses a forged proof", offChain === "ProofRefused");
  const onChain = await stage.refused("a forged proof, posted by a cheating operator", () =>
    simulateBatch(stage, [forged]),
  );
  narrator.claim("the contract refuses a forged proof, whoever posts it", onChain === "InvalidProof");

  const { trader, ticketId } = ticketOf("Bob");
  const eve = stage.trader("Eve");
  const expiry = (await stage.now()) + 3_600n;
  const stolen = await eve.account.signOrder(ticketOf("Eve").ticketId, {
    side: "sell",
    limitPrice: usd(32_000),
    quantity: 1,
    expiry,
  });
  const foreign = await stage.refused("Eve signs an order for Bob's ticket", () =>
    eve.desk.place({ ...stolen, order: { ...stolen.order, ticketId } }),
  );
  narrator.claim("a ticket obeys its own key only", foreign === "WrongSigner");
  const tooMany = await stage.refused("Bob sells 200 on a ticket funded for 30", async () =>
    trader.desk.place(
      await trader.account.signOrder(ticketId, { side: "sell", limitPrice: usd(32_000), quantity: 200, expiry }),
    ),
  );
  narrator.claim("a ticket takes no order it could not pay at the limits", tooMany === "TicketBelowMargin");
  const offTick = await stage.refused("a bid between two ticks", async () =>
    trader.desk.place(
      await trader.account.signOrder(ticketId, { side: "buy", limitPrice: usd(32_005), quantity: 1, expiry }),
    ),
  );
  narrator.claim("prices are whole ticks", offTick?.endsWith("OffTick") === true);
}

/** The attack of the paper's first figure: bid the price up, and the thin short is forced out. */
async function figureOne(stage: Stage, narrator: Narrator, order: Place, place: Place): Promise<void> {
  narrator.chapter("The attack of Fig. 1: drive the price up, force the thin short out");
  const alice = stage.trader("Alice");
  const eve = stage.trader("Eve");
  const before = alice.account.holdings;
  const offLimits = await stage.refused("Eve bids 33,500, above the day's limit", async () =>
    eve.desk.place(await order("Eve", "buy", 33_500, 1)),
  );
  narrator.claim(
    "no quote can be outside the limits that every proof has covered",
    offLimits?.endsWith("OffLimits") === true,
  );

  const spec = eve.account.ticketFor(SLOT, { side: "buy", price: usd(33_200), quantity: 5n });
  const { transition, tickets } = await eve.account.openTickets(SLOT, [spec]);
  stage.measured.tickets += tickets.length;
  await stage.relay([[eve, transition]]);
  const [ticket] = tickets;
  if (ticket === undefined) throw new Error("no ticket was opened");
  await stage.watch(eve, ticket.ticketId);
  const high = await eve.account.signOrder(ticket.ticketId, {
    side: "buy",
    limitPrice: usd(33_200),
    quantity: 5,
    expiry: (await stage.now()) + 86_400n,
  });
  await eve.desk.place(high);
  await narrator.say("Eve bids 33,200, the highest price of the day, to make somebody's short look hopeless.");
  const nobody = await stage.refused("closing the day now, at Eve's price", () =>
    closeEpoch(stage.chain, stage.anybody),
  );
  narrator.claim("a quote moves no settlement price, and nobody can end the day early for it", nobody === "TooEarly");
  await place("Dave", "sell", 33_200, 5);
  await stage.settled();
  const evesTicket = await stage.client.fetchTicket(ticket.ticketId);
  narrator.claim("Eve's bid is simply taken: she has bought 5 at 33,200, at her own risk", evesTicket.position === 5n);
  await stage.relay([[eve, await eve.account.closeTicket(ticket.ticketId)]]);
  narrator.claim("Alice's position stands as it was", sameHoldings(before, alice.account.holdings));
  await narrator.say(
    "Why it fails: Eve cannot see how thin Alice is; there is no liquidation between two settlements, since Alice's " +
      "proof already covers the highest price of the day; and only traded volume in the last half hour makes a price.",
  );
}

/** The exchange's process dies in the middle of the day, with orders in the book and trades that are not on chain. */
async function killed(stage: Stage, narrator: Narrator, place: Place, davesTicket: Hex): Promise<void> {
  narrator.chapter("The exchange process is killed");
  const { client, state } = stage;
  const dave = stage.trader("Dave");
  const bid = await place("Dave", "buy", 31_900, 4, { postOnly: true });
  const ask = await place("Dave", "sell", 32_300, 6, { postOnly: true });
  const watch = await dave.account.signWatch(davesTicket, (await stage.now()) + 3_600n);
  const onChain = state.fills.length;
  await place("Bob", "sell", 31_900, 2);
  const [book, orders] = [await client.fetchOrderBook(SLOT), await client.fetchOpenOrders(watch)];
  await stage.killAndRestart();
  await narrator.say("The exchange process was killed (kill -9) and restarted on its journal.");
  const [bookAfter, ordersAfter] = [await client.fetchOrderBook(SLOT), await client.fetchOpenOrders(watch)];
  narrator.claim(
    "every acknowledged order is still there: the book is the same, order by order",
    book.bids[0]?.quantity === 2 &&
      isDeepStrictEqual([book.bids, book.asks], [bookAfter.bids, bookAfter.asks]) &&
      orders.length === 2 &&
      isDeepStrictEqual(orders, ordersAfter),
  );
  await stage.settled();
  const places = state.fills.map(({ seq, n }) => `${seq}.${n}`);
  const batches = state.events.flatMap((event) =>
    event.eventName === "BatchSubmitted" ? [event.args.batchNumber] : [],
  );
  narrator.claim(
    "nothing was posted twice, and nothing was left out: each trade is on chain once",
    state.fills.length === onChain + 1 &&
      sameSet(new Set(places), stage.tradedPlaces) &&
      new Set(places).size === places.length &&
      batches.every((number, i) => number === i + 1),
  );
  for (const order of [bid, ask]) await dave.desk.cancel(await dave.account.signCancel(order));
}

function sameSet(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  return a.size === b.size && [...a].every((each) => b.has(each));
}

/** Asks the chain what it would say to a batch of the operator, without sending it. */
async function simulateBatch(stage: Stage, transitions: readonly ProvenTransition[]): Promise<void> {
  const { nextBatchNumber } = await readDayState(stage.chain);
  const { logHead } = await stage.client.fetchEpoch();
  const data = encodeFunctionData({
    abi: clearingHouseAbi,
    functionName: "submitBatch",
    args: [nextBatchNumber, transitions.map(transitionMessage), transitions.map(({ proof }) => proof), [], [], logHead],
  });
  try {
    await stage.chain.client.call({ account: stage.operator, to: stage.chain.address, data });
  } catch (error) {
    throw refusalOf(error);
  }
}

function sameHoldings(a: DemoTrader["account"]["holdings"], b: DemoTrader["account"]["holdings"]): boolean {
  return a.cash === b.cash && a.positions.every((position, slot) => position === b.positions[slot]);
}

/** The best prices, as everybody sees them. */
async function book(stage: Stage): Promise<string> {
  const { bids, asks } = await stage.client.fetchOrderBook(SLOT, 3);
  const rows = [
    ...asks.toReversed().map((level) => ["sell", level] as const),
    ...bids.map((level) => ["buy", level] as const),
  ];
  const lines = rows.map(([side, { price, quantity }]) => [side, dollars(price), String(quantity)]);
  return lines.length === 0
    ? "The book is empty."
    : `The book:\n${table([{ title: "side" }, { title: "price", right: true }, { title: "contracts", right: true }], lines)}`;
}

export const STORY_TERMS = { clearing: DEMO_CLEARING_TERMS, markets: [LEAN_HOG_TERMS] };
