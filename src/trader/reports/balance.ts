import { getAddress, numberToHex } from "viem";
import type { ChainState } from "../../chain/chainState.ts";
import { closeOut } from "../../protocol/conservation.ts";
import { type Account, EMPTY_ACCOUNT } from "../../protocol/note.ts";
import { cashFor } from "../../protocol/ticket.ts";
import { claimOf, isLeftOver, type OwnTicket, seatStatus, type SeatStatus } from "../accountState.ts";
import { contractName, namedMarkets } from "../markets.ts";
import type { BalanceView, PositionView, SeatView, TicketSummary } from "../views.ts";
import { magnitude, pricesNow, type SlotPrices } from "./dayPrices.ts";
import type { AccountReader, NetworkName } from "./reader.ts";

const MOST_CONTRACTS = (1n << 31n) - 1n;

/**
 * What an account owns. Free cash, margin used and the worth of the tickets add up to its equity at settlement prices.
 * In default all positions count as closed at the default prices (spec DEF-1).
 */
export function balanceOf(reader: AccountReader, { name }: NetworkName): BalanceView {
  const { chain, state, accountNumber } = reader;
  const status = seatStatus(chain, state);
  const account = noteNow(reader, status);
  const open = state.tickets.filter((ticket) => !isLeftOver(chain, ticket));
  const leftOver = state.tickets.filter((ticket) => isLeftOver(chain, ticket));
  const claims = sum(leftOver.map((ticket) => claimOf(chain, ticket)));
  const ticketCash = sum(open.map(({ cash }) => cash));
  const holdings = pricesNow(chain).flatMap((prices, slot) => {
    const inAccount = account.positions[slot] ?? 0n;
    const inTickets = sum(open.filter((ticket) => ticket.slot === slot).map(({ position }) => position));
    return prices === undefined ? [] : [{ prices, inAccount, inTickets, total: inAccount + inTickets }];
  });
  const worthAt = (valueOf: (holding: Holding) => bigint) =>
    account.cash + ticketCash + claims + sum(holdings.map(valueOf));
  const marginUsed = sum(holdings.map(({ prices, inAccount }) => magnitude(inAccount) * prices.initialMargin));
  const inNote = account.cash + sum(holdings.map(({ prices, inAccount }) => inAccount * prices.settlementPrice));
  const atSettlement = worthAt(({ prices, total }) => total * prices.settlementPrice);
  const freeCash = inNote - marginUsed;
  return {
    network: name,
    clearingHouse: getAddress(chain.chain.address),
    account: accountNumber.toString(),
    epoch: chain.epoch,
    phase: chain.phase,
    closingTime: closingTimeOf(chain),
    seat: seatOf(reader, status),
    cash: account.cash.toString(),
    freeCash: freeCash.toString(),
    marginUsed: marginUsed.toString(),
    equity: {
      atSettlement: atSettlement.toString(),
      atLowerLimits: worthAt(({ prices, total }) => total * prices.lowerLimit).toString(),
      atUpperLimits: worthAt(({ prices, total }) => total * prices.upperLimit).toString(),
      worst: worthAt(({ prices, total }) => total * (total > 0n ? prices.lowerLimit : prices.upperLimit)).toString(),
    },
    positions: holdings.filter(({ inAccount, inTickets }) => inAccount !== 0n || inTickets !== 0n).map(positionOf),
    ticketCash: ticketCash.toString(),
    ticketWorth: (atSettlement - inNote).toString(),
    openTickets: open.length,
    leftOverTickets: leftOver.length,
    credits: state.credits.map(({ creditId, amount }) => ({
      creditId: creditId.toString(),
      amount: amount.toString(),
    })),
    buyingPower: buyingPowerOf(reader, status, freeCash),
    payoutRatio: chain.payoutRatio.toString(),
  };
}

/** The tickets of an account that are not closed, in the order of their opening, left-over ones too. */
export function ticketsOf({ chain, state }: AccountReader): TicketSummary[] {
  const prices = pricesNow(chain);
  return state.tickets.map((ticket) => {
    const leftOver = isLeftOver(chain, ticket);
    const worth = leftOver ? claimOf(chain, ticket) : worthOf(ticket, prices);
    const market = chain.markets(ticket.epoch)[ticket.slot];
    return {
      ticketId: ticket.ticketId,
      slot: ticket.slot,
      contract: market === undefined ? "" : contractName(market.contractId),
      epoch: ticket.epoch,
      leftOver,
      reduceOnly: ticket.reduceOnly,
      cash: ticket.cash.toString(),
      position: Number(ticket.position),
      worth: worth.toString(),
    };
  });
}

type Holding = {
  readonly prices: SlotPrices;
  readonly inAccount: bigint;
  readonly inTickets: bigint;
  readonly total: bigint;
};

/** What the note holds; in default what its close-out leaves, all in cash. */
function noteNow({ chain, state }: AccountReader, status: SeatStatus): Account {
  const account = state.live?.account ?? EMPTY_ACCOUNT;
  return status.status === "inDefault" ? closeOut(account, chain.markets(status.since)).account : account;
}

function closingTimeOf({ closingTimes, epoch }: ChainState): number | null {
  const closingTime = closingTimes.get(epoch);
  return closingTime === undefined ? null : Number(closingTime);
}

function seatOf({ keys, state }: AccountReader, { status }: SeatStatus): SeatView {
  const hasEpoch = status === "active" || status === "inDefault";
  return {
    status,
    epoch: hasEpoch && state.live !== undefined ? Number(state.live.tree) : null,
    ownerKey: numberToHex(keys.ownerKey, { size: 32 }),
  };
}

function positionOf({ prices, inAccount, inTickets, total }: Holding): PositionView {
  return {
    slot: prices.slot,
    contract: prices.contract,
    inAccount: Number(inAccount),
    inTickets: Number(inTickets),
    total: Number(total),
    settlementPrice: prices.settlementPrice.toString(),
    lowerLimit: prices.lowerLimit.toString(),
    upperLimit: prices.upperLimit.toString(),
    initialMargin: prices.initialMargin.toString(),
    maintenanceMargin: prices.maintenanceMargin.toString(),
  };
}

/** Of each market of the day. None in the Window, nor while the seat is not active. */
function buyingPowerOf({ chain, relayFee }: AccountReader, { status }: SeatStatus, freeCash: bigint) {
  const mayTrade = chain.phase === "trading" && status === "active";
  const free = freeCash - relayFee;
  return namedMarkets(chain.markets(chain.epoch)).map(({ slot, name, market }) => {
    const mostOf = (side: "buy" | "sell"): number => {
      if (!mayTrade || market.closingOnly || free <= 0n) return 0;
      const perContract = cashFor(market, { side, price: market.centre, quantity: 1n });
      const most = perContract > 0n ? free / perContract : MOST_CONTRACTS;
      return Number(most < MOST_CONTRACTS ? most : MOST_CONTRACTS);
    };
    return { slot, contract: name, buy: mostOf("buy"), sell: mostOf("sell") };
  });
}

function worthOf({ slot, cash, position }: OwnTicket, prices: readonly (SlotPrices | undefined)[]): bigint {
  return cash + position * (prices[slot]?.settlementPrice ?? 0n);
}

function sum(amounts: readonly bigint[]): bigint {
  return amounts.reduce((total, each) => total + each, 0n);
}
