import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { decodeErrorResult, numberToHex, stringToHex } from "viem";
import { SLEEPERS } from "../../src/chain/chainState.ts";
import { ContractRefused, submitTransitions } from "../../src/chain/clearingHouse.ts";
import type { MarketTerms } from "../../src/chain/deploy.ts";
import { statementNow } from "../../src/chain/statement.ts";
import { DOLLAR, LEAN_HOG_TERMS, TICK } from "../../src/clearing/leanHogs.ts";
import { type Action, type ActionName, relayFeeOf, showsSeat, type TicketOpening } from "../../src/protocol/action.ts";
import { equityInBand } from "../../src/protocol/epoch.ts";
import { HedgerowError } from "../../src/protocol/errors.ts";
import { publicSignals } from "../../src/protocol/statement.ts";
import { type TicketBalance, tradeOn } from "../../src/protocol/ticket.ts";
import { only, type RawTicket, startDesk } from "../support/desk.ts";
import { element } from "../support/random.ts";
import { NO_PROOF } from "../support/unprovenExchange.ts";

// What the contract would have a transition prove, against what TypeScript proves: all 25 public signals.

const START = BigInt(Math.floor(Date.now() / 1000));
/** The largest there can be. */
const FILL_FEE = LEAN_HOG_TERMS.closeOutFee;
const nameOf = (name: string) => stringToHex(name, { size: 32 });
const HOGS: MarketTerms = { ...LEAN_HOG_TERMS, minimumVolume: 1, minimumMinutes: 1 };
/** Expires at the third close, at a negative price. */
const ENDING: MarketTerms = {
  ...HOGS,
  contractId: nameOf("ENDING"),
  listingPrice: -1_000n * DOLLAR,
  lastTradingTime: START + 54_000n,
};
const ZERO: MarketTerms = { ...HOGS, contractId: nameOf("ZERO"), listingPrice: 0n, fillFee: FILL_FEE };
const LISTED = [HOGS, ENDING, ZERO];

const desk = await startDesk({ markets: LISTED });
const { x, house } = desk;
const { relayFee } = x.terms;
const sender = await x.fundedSender(0n);

const REVEAL = { ...NO_PROOF, c: [0n, 1n] } as const;
const revealedAbi = [
  { type: "error", name: "Revealed", inputs: [{ name: "signals", type: "uint256[25][]" }] },
] as const;

const amount = fc.oneof(fc.constantFrom(1n, 2n ** 100n), fc.bigInt({ min: 1n, max: 10n ** 15n }));
const bytes32 = fc.bigInt({ min: 0n, max: 2n ** 256n - 1n }).map((id) => numberToHex(id, { size: 32 }));
const address = fc.bigInt({ min: 1n, max: 2n ** 160n - 1n }).map((id) => numberToHex(id, { size: 20 }));
const contracts = fc.oneof(fc.constantFrom(0, 1, -1), fc.integer({ min: -(2 ** 27), max: 2 ** 27 }));

/** Tickets that are solvent one by one, reduce-only or not. */
function openingOf(): fc.Arbitrary<Action> {
  const markets = x.state.markets(x.state.epoch);
  const slots = markets.flatMap(({ listed, closingOnly }, slot) => (listed && !closingOnly ? [slot] : []));
  return fc
    .record({
      slot: fc.constantFrom(...slots),
      reduceOnly: fc.boolean(),
      long: fc.boolean(),
      tickets: fc.array(fc.record({ sessionKey: address, position: contracts, more: amount }), {
        minLength: 1,
        maxLength: 8,
      }),
    })
    .map(({ slot, reduceOnly, long, tickets }) => {
      const market = markets[slot];
      assert.ok(market !== undefined);
      const openings = tickets.map(({ sessionKey, position, more }): TicketOpening => {
        const size = Math.abs(position) + 1;
        const carried = reduceOnly ? (long ? size : -size) : position;
        const band = reduceOnly ? market.maintenanceMargin : market.initialMargin;
        const cash = -equityInBand(0n, BigInt(carried), market.centre, band) + (reduceOnly ? 0n : more);
        return { sessionKey, position: carried, cash, reduceOnly };
      });
      const unpaid: Action = { name: "openTicket", slot, relayFee: 0n, tickets: openings };
      return { ...unpaid, relayFee: relayFeeOf(unpaid, relayFee) };
    });
}

/** Random actions of a kind, as they would be sent relayed (with the fee) or directly (without). */
function actionOf(name: ActionName, fee: bigint): fc.Arbitrary<Action> {
  const { epoch } = x.state;
  const paid = fc.constant(fee);
  const is = <N extends ActionName>(kind: N) => fc.constant(kind);
  const past = fc.record({ defaultEpoch: fc.integer({ min: 1, max: Math.max(1, epoch - 1) }), flat: fc.boolean() });
  switch (name) {
    case "fund":
      return fc.record({ name: is("fund"), creditId: element, amount, relayFee: paid });
    case "openTicket":
      return openingOf();
    case "closeTicket":
      return fc.record({
        name: is("closeTicket"),
        ticketId: bytes32,
        slot: fc.integer({ min: 0, max: 7 }),
        cash: fc.bigInt({ min: -(2n ** 119n) + 2n ** 40n, max: 2n ** 119n - 1n }),
        position: fc.oneof(contracts, fc.constantFrom(2 ** 31 - 1, 1 - 2 ** 31)),
        relayFee: paid,
      });
    case "claimTicket":
      return fc.record({ name: is("claimTicket"), ticketId: bytes32, claim: amount, relayFee: paid });
    case "withdraw":
      return fc.record({ name: is("withdraw"), to: address, amount, relayFee: paid });
    case "renew":
    case "sleep":
      return fc.record({ name: fc.constant(name), relayFee: paid });
    case "wake":
      return fc.record({ name: is("wake") });
    case "rejoin":
      return past.map((from) => ({ name, ...from }));
    case "exit":
      return fc.tuple(past, address, amount).map(([from, to, equity]) => ({ name, ...from, to, equity }));
    case "closeSeat":
      return fc.record({ name: is("closeSeat"), asleep: fc.boolean(), to: address, relayFee: paid });
  }
}

/** The tree that an action's note comes from. */
function treeOf(action: Action): bigint {
  if (action.name === "wake" || (action.name === "closeSeat" && action.asleep)) return SLEEPERS;
  if (action.name === "rejoin" || action.name === "exit") return BigInt(action.defaultEpoch);
  return BigInt(x.state.epoch);
}

async function agreeOn(relayed: readonly ActionName[], direct: readonly ActionName[], numRuns = 12): Promise<void> {
  await desk.sync();
  for (const [names, fee] of [
    [relayed, relayFee],
    [direct, 0n],
  ] as const) {
    for (const name of names) {
      await fc.assert(
        fc.asyncProperty(actionOf(name, fee), element, element, element, async (action, nullifier, newNote, key) => {
          const seat = showsSeat(name) ? key + (key === 0n ? 1n : 0n) : 0n;
          const transition = await desk.raw(action, {
            tree: treeOf(action),
            nullifier,
            newNote,
            seat,
            proof: REVEAL,
          });
          const call = fee > 0n ? desk.batch([transition]) : submitTransitions(x.chain, sender, [transition]);
          const error: unknown = await call.catch((reason: unknown) => reason);
          assert.ok(error instanceof ContractRefused && error.code === "UnknownRevert", String(error));
          const { args } = decodeErrorResult({
            abi: revealedAbi,
            data: `0x${String(error.details["data"]).slice(2)}`,
          });
          assert.deepEqual(only(args[0]), publicSignals(statementNow(x.state, transition)), name);
        }),
        { numRuns, seed: 42 },
      );
    }
  }
}

/** A day with one trade in each listed slot, some ticks off the centre. */
async function tradeDay(move: bigint): Promise<void> {
  await desk.toClosingTime();
  await desk.plantRoot();
  for (const [slot, market] of x.state.markets(x.state.epoch).entries()) {
    if (!market.listed || market.closingOnly) continue;
    const rich = { cash: 60_000n * DOLLAR };
    const [buyer, seller] = (await desk.openRaw(slot, rich, rich)) as [RawTicket, RawTicket];
    await desk.trade(buyer, seller, market.centre + move * TICK * BigInt(slot + 1), 1);
  }
}

await desk.fillPool(5_000_000n);

describe("public signals agree", () => {
  test("on the first day [BAT-3, BAT-17, ACC-10, ACT-6, ACT-7]", async () => {
    await agreeOn(["fund", "openTicket", "closeTicket", "claimTicket", "withdraw", "sleep"], []);
  });

  test("in both parts of a window in which a contract expires [BAT-3, ACC-10, DEF-1, DEF-2]", async () => {
    const sleeper = await desk.newTrader(5n);
    await desk.batch([await sleeper.account.sleep()]);
    for (const move of [3n, -5n]) {
      await tradeDay(move);
      await desk.close();
      await desk.open();
    }
    await tradeDay(7n);
    await desk.close();
    assert.equal((await house.read.marketOf([3, 1])).expired, true);
    await agreeOn(["fund", "closeTicket", "withdraw"], ["claimTicket", "withdraw", "fund", "exit"]);
    await desk.toPartB();
    await agreeOn(["renew", "sleep", "closeSeat"], ["renew", "sleep", "closeSeat", "exit"]);
  });

  test("on a later day, for those who come back from each epoch before [BAT-3, ACC-10, DEF-6]", async () => {
    await desk.open();
    await desk.plantRoot();
    await agreeOn(["openTicket", "withdraw", "claimTicket"], ["wake", "rejoin", "exit"], 16);
  });
});

// ------------------------------------------------------------------ fills

const trade = fc.record({
  buyer: fc.integer({ min: 0, max: 3 }),
  seller: fc.integer({ min: 0, max: 3 }),
  ticks: fc.bigInt({ min: -120n, max: 120n }),
  quantity: fc.integer({ min: 1, max: 4 }),
});

/** The contract's word for what tradeOn throws. */
const CODES: Readonly<Record<string, RegExp>> = {
  TicketBelowMargin: /^TicketBelowMargin$/,
  NotReducing: /^NotReducing$/,
  OutOfRange: /^(Position|Amount)OutOfRange$/,
};

test("tickets hold the same cash and contracts after random fills, fees included [FIL-8, FIL-9, FEE-3]", async () => {
  const slot = 2;
  const market = x.state.markets(x.state.epoch)[slot];
  assert.ok(market !== undefined);
  const marginOf = (size: bigint) => size * market.maintenanceMargin - size * market.centre;
  const openings = [
    { cash: 60_000n * DOLLAR },
    { cash: 20_000n * DOLLAR },
    { cash: marginOf(3n), position: 3, reduceOnly: true },
    { cash: 3n * market.maintenanceMargin + 3n * market.centre, position: -3, reduceOnly: true },
  ];
  let [accepted, refused] = [0, 0];
  await fc.assert(
    fc.asyncProperty(fc.array(trade, { minLength: 6, maxLength: 10 }), async (trades) => {
      const tickets: RawTicket[] = [];
      for (const opening of openings) tickets.push(only(await desk.openRaw(slot, opening)));
      const balances: TicketBalance[] = openings.map(({ cash, position = 0 }) => ({
        cash,
        position: BigInt(position),
      }));
      for (const { buyer, seller, ticks, quantity } of trades) {
        const [buying, selling] = [tickets[buyer], tickets[seller]];
        if (buying === undefined || selling === undefined || buyer === seller) continue;
        const price = market.centre + ticks * TICK;
        const tradeFor = (place: number, side: "buy" | "sell") => {
          const before = balances[place];
          assert.ok(before !== undefined);
          return tradeOn(
            market,
            before,
            { side, price, quantity: BigInt(quantity) },
            openings[place]?.reduceOnly ?? false,
          );
        };
        try {
          const sold = tradeFor(seller, "sell");
          const bought = tradeFor(buyer, "buy");
          await desk.trade(buying, selling, price, quantity);
          [balances[seller], balances[buyer]] = [sold, bought];
          accepted++;
        } catch (error) {
          if (!(error instanceof HedgerowError) || error instanceof ContractRefused) throw error;
          refused++;
          await desk.refuses(() => desk.trade(buying, selling, price, quantity), CODES[error.code] ?? /never/);
        }
      }
      for (const [i, { ticketId }] of tickets.entries()) {
        const { cash, position } = await house.read.ticketOf([ticketId]);
        assert.deepEqual(
          { cash, position: BigInt(position) },
          { cash: balances[i]?.cash, position: balances[i]?.position },
        );
      }
    }),
    { numRuns: 8, seed: 7 },
  );
  await desk.assertConserved();
  assert.ok(accepted > 5 && refused > 5, `${accepted} accepted, ${refused} refused`);
});
