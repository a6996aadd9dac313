import { equityInBand, feeAtDefault } from "../protocol/epoch.ts";
import { SLOTS } from "../protocol/note.ts";
import { must } from "./errors.ts";
import type { House, Ledger } from "./state.ts";

/** The public buckets, the tokens that the house holds by the token's own logs, and what came without a call. */
export type Totals = Ledger & { readonly ticketCash: bigint; readonly tokens: bigint; readonly unasked: bigint };

/** Everything that has to add up (spec CON-1, CON-2, CON-8, CON-9). Throws BrokenRule. */
export function assertWhole(house: House, tokens: { readonly held: bigint; readonly unasked: bigint }): Totals {
  const ticketCash = house.sums.reduce((sum, { cash }) => sum + cash, 0n);
  const buckets = Object.values(house.ledger).reduce((sum, amount) => sum + amount, ticketCash);
  const due = tokens.held - tokens.unasked;
  must(buckets === due, "CON-1", `the buckets sum to ${buckets}, but the token moved ${due} into the house`);
  for (const [name, amount] of Object.entries(house.ledger)) {
    const mayBeNegative = name === "poolCash" || name === "closeOutAccount";
    must(mayBeNegative || amount >= 0n, "CON-1", `${name} is ${amount}`);
  }
  for (let slot = 0; slot < SLOTS; slot++) {
    const net =
      (house.poolPositions[slot] ?? 0n) + (house.sums[slot]?.net ?? 0n) + (house.closeOutPositions[slot] ?? 0n);
    must(net === 0n, "CON-2", `the positions in slot ${slot} sum to ${net}`);
  }
  return { ...house.ledger, ticketCash, tokens: tokens.held, unasked: tokens.unasked };
}

/** The parts of the buckets one by one (spec CON-8, CON-9). Throws BrokenRule. */
export function assertParts(house: House): void {
  const sumOf = <T>(items: Iterable<T>, amountOf: (item: T) => bigint): bigint =>
    [...items].reduce((sum, item) => sum + amountOf(item), 0n);
  const bonds = sumOf(house.seats.values(), ({ bond }) => bond);
  must(bonds === house.ledger.bonds, "CON-9", `the seats' bonds sum to ${bonds}, the bucket is ${house.ledger.bonds}`);
  const credits = sumOf(house.credits.values(), ({ amount, spent }) => (spent ? 0n : amount));
  must(credits === house.ledger.credits, "CON-9", `open credits sum to ${credits}, not ${house.ledger.credits}`);
  const owed = sumOf(house.owedTo.values(), (amount) => amount);
  must(owed === house.ledger.owed, "CON-9", `what is owed sums to ${owed}, not ${house.ledger.owed}`);
  const open = [...house.tickets.values()].filter(({ epoch }) => epoch === house.epoch);
  house.sums.forEach(({ cash, net, gross }, slot) => {
    const here = open.filter((ticket) => ticket.slot === slot);
    const isWhole =
      sumOf(here, (ticket) => ticket.cash) === cash &&
      sumOf(here, ({ position }) => position) === net &&
      sumOf(here, ({ position }) => (position < 0n ? -position : position)) === gross;
    must(isWhole, "CON-8", `the tickets of slot ${slot} do not sum to what is booked for them`);
  });
  const claims = sumOf(house.tickets.values(), ({ epoch, slot, cash, position }) => {
    if (epoch === house.epoch) return 0n;
    const market = house.market(slot, epoch);
    return equityInBand(cash, position, market.settlementPrice, feeAtDefault(market));
  });
  must(claims === house.ledger.claims, "DEF-4", `unclaimed tickets are worth ${claims}, not ${house.ledger.claims}`);
}
