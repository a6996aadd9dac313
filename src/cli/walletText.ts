import type { ChainState } from "../chain/chainState.ts";
import { claimOf, isLeftOver } from "../trader/accountState.ts";
import type { Network } from "../trader/home.ts";
import { contractName, shortTicket } from "../trader/markets.ts";
import { fillsOf, type FoundAccount } from "../trader/recovery.ts";
import { dollars, table } from "./terminal.ts";

/** What a recovery has found on chain, as `wallet recover --json` prints it. Amounts in base units. */
export type FoundView = {
  readonly network: string;
  readonly account: string;
  readonly place: number;
  readonly block: number;
  readonly seat: { readonly status: string; readonly epoch: number | null };
  readonly cash: string;
  readonly positions: readonly { readonly slot: number; readonly contract: string; readonly position: number }[];
  readonly tickets: readonly {
    readonly ticketId: string;
    readonly slot: number;
    readonly contract: string;
    readonly epoch: number;
    readonly leftOver: boolean;
    /** What is left of it where it is left over. */
    readonly cash: string;
    readonly position: number;
    /** What it has traded. */
    readonly fills: number;
    readonly bought: number;
    readonly sold: number;
    readonly fees: string;
  }[];
  readonly credits: readonly { readonly creditId: string; readonly amount: string }[];
};

/** A found account as JSON holds it. */
export function foundView(network: Network, chain: ChainState, found: FoundAccount): FoundView {
  const { state, status, place, accountNumber } = found;
  const nameIn = (epoch: number, slot: number): string => {
    const market = chain.markets(epoch)[slot];
    return market === undefined ? `slot ${slot}` : contractName(market.contractId);
  };
  const traded = fillsOf(
    chain,
    state.tickets.map(({ ticketId }) => ticketId),
  );
  const epoch = status.status === "active" ? status.epoch : status.status === "inDefault" ? status.since : null;
  return {
    network: network.name,
    account: accountNumber.toString(),
    place: Number(place),
    block: Number(chain.newestBlock.number),
    seat: { status: status.status, epoch },
    cash: (state.live?.account.cash ?? 0n).toString(),
    positions: (state.live?.account.positions ?? [])
      .map((position, slot) => ({ slot, contract: nameIn(chain.epoch, slot), position: Number(position) }))
      .filter(({ position }) => position !== 0),
    tickets: state.tickets.map((ticket, i) => {
      const leftOver = isLeftOver(chain, ticket);
      const { fills = 0, bought = 0n, sold = 0n, fees = 0n } = traded[i] ?? {};
      return {
        ticketId: ticket.ticketId,
        slot: ticket.slot,
        contract: nameIn(ticket.epoch, ticket.slot),
        epoch: ticket.epoch,
        leftOver,
        cash: (leftOver ? claimOf(chain, ticket) : ticket.cash).toString(),
        position: leftOver ? 0 : Number(ticket.position),
        fills,
        bought: Number(bought),
        sold: Number(sold),
        fees: fees.toString(),
      };
    }),
    credits: state.credits.map(({ creditId, amount }) => ({
      creditId: creditId.toString(),
      amount: amount.toString(),
    })),
  };
}

/** The same for people. */
export function foundText(found: FoundView, decimals: number): string {
  const money = (text: string): string => dollars(BigInt(text), decimals);
  const { seat, positions, tickets, credits } = found;
  const lines = [
    `Found at ${found.network}, up to block ${found.block}:`,
    `  seat       ${SEATS[seat.status] ?? seat.status}${found.place === 0 ? "" : ` (account ${found.place})`}`,
    `  cash       ${money(found.cash)}`,
    `  positions  ${positions.map(({ contract, position }) => `${position} ${contract}`).join(", ") || "none"}`,
    `  deposits   ${credits.map(({ amount }) => money(amount)).join(", ") || "none"} waiting`,
    `  tickets    ${tickets.length === 0 ? "none" : `${tickets.length} open`}`,
  ];
  if (tickets.length === 0) return lines.join("\n");
  const rows = tickets.map((ticket) => [
    shortTicket(ticket.ticketId),
    ticket.contract,
    money(ticket.cash),
    `${ticket.position}`,
    `${ticket.fills}`,
    `${ticket.bought}`,
    `${ticket.sold}`,
  ]);
  const right = ["cash", "position", "fills", "bought", "sold"].map((title) => ({ title, right: true }));
  return [...lines, "", table([{ title: "ticket" }, { title: "contract" }, ...right], rows)].join("\n");
}

const SEATS: Readonly<Record<string, string>> = {
  none: "not open yet",
  active: "open",
  asleep: "asleep",
  inDefault: "in default: hedgerow seat says how it comes back",
};
