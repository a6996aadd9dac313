import assert from "node:assert/strict";
import { deposit } from "../../src/chain/clearingHouse.ts";
import { DOLLAR } from "../../src/clearing/leanHogs.ts";
import { nextBandValuation } from "../../src/protocol/epoch.ts";
import { equity } from "../../src/protocol/valuation.ts";
import { isLeftOver } from "../../src/trader/accountState.ts";
import { presentSeats, prove, submitDirectly } from "./actions.ts";
import { count, step, type Trader, type World } from "./world.ts";

/*
 * Some traders meet every margin call: they trade like the others, but put in what their renewal will need, and renew.
 * Nothing that anybody else does may ever cost them their seat.
 */

/** Few enough to act in the blocks that are left after a halt. */
function isCareful({ clearing }: World, { number }: Trader): boolean {
  return clearing && number % 3 === 1 && number < 10;
}

/** Careful traders whose notes are in the tree of the present epoch. */
export function carefulSeats(world: World): readonly Trader[] {
  return presentSeats(world).filter((trader) => isCareful(world, trader));
}

/** In part A they take their tickets back, unless there is little time, and meet the margin call. */
export async function prepareCareful(world: World, { inHurry }: { readonly inHurry: boolean }): Promise<void> {
  for (const trader of carefulSeats(world)) {
    if (!inHurry) await closeTickets(world, trader);
    await meetMarginCall(world, trader);
  }
}

/** Taking a ticket back always works: it and the note can each be paid at the default price. */
async function closeTickets(world: World, trader: Trader): Promise<void> {
  const { account } = trader;
  const own = account.state.tickets.filter((ticket) => !isLeftOver(world.exchange.state, ticket));
  for (const { ticketId } of own) {
    await step(world, `careful trader ${trader.number} closes a ticket`, async () => {
      const planned = await prove(world, trader, account.closeTicket(ticketId, { relayed: false }));
      const gains = await submitDirectly(world, planned);
      assert.equal(gains.size, 1, "the ticket is closed");
      return gains;
    });
  }
}

/** What the note lacks at the maintenance band of the coming day comes out of the wallet. */
async function meetMarginCall(world: World, trader: Trader): Promise<void> {
  const { exchange } = world;
  const { chain, state } = exchange;
  const { account, sender } = trader;
  const valuation = nextBandValuation(
    state.markets(state.epoch),
    state.markets(state.epoch + 1),
    "maintenanceMargin",
    true,
  );
  const lacking = -equity(account.account, valuation);
  if (lacking <= 0n) return;
  count(world, "margin call");
  const amount = lacking + 100n * DOLLAR;
  await step(world, `a deposit for trader ${trader.number}'s margin call`, async () => {
    await deposit(chain, sender, amount, account.newCreditKey());
    return new Map([[trader, amount]]);
  });
  const credit = account.state.credits.find((own) => own.amount === amount);
  assert.ok(credit !== undefined);
  await step(world, `trader ${trader.number} meets a margin call`, async () => {
    const gains = await submitDirectly(
      world,
      await prove(world, trader, account.fund(credit.creditId, { relayed: false })),
    );
    assert.equal(gains.size, 1, "the margin call is met");
    return gains;
  });
}

/** They renew first thing in part B: nothing stands in the way. `between` plays after each of them. */
export async function renewCareful(world: World, between: () => Promise<void>): Promise<void> {
  const { chance, exchange } = world;
  for (const trader of carefulSeats(world)) {
    const { account } = trader;
    const flat = account.account.positions.every((position) => position === 0n);
    const rests = flat && chance.happens(15);
    await step(world, `careful trader ${trader.number} renews`, async () => {
      const making = rests ? account.sleep({ relayed: false }) : account.renew({ relayed: false });
      const gains = await submitDirectly(world, await prove(world, trader, making));
      assert.equal(gains.size, 1, "renewed");
      return gains;
    });
    const { status } = account;
    assert.deepEqual(status, rests ? { status: "asleep" } : { status: "active", epoch: exchange.state.epoch + 1 });
    await between();
  }
}

/** After an opening: none of them is in default. */
export function checkCareful(careful: readonly Trader[]): void {
  for (const { number, account } of careful) {
    assert.notEqual(account.status.status, "inDefault", `careful trader ${number}`);
  }
}
