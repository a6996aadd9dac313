import { readDayState, readMarkets } from "../chain/clearingHouse.ts";
import { readAuction } from "../trader/auction.ts";
import { comparable, formatAmount } from "../trader/markets.ts";
import type { AuctionView, TakenOverView, TicketSummary } from "../trader/views.ts";
import type { AuctionListOptions, AuctionTakeOptions } from "./auction.ts";
import { WrongUsage } from "./failure.ts";
import { untilInterrupted } from "./interrupt.ts";
import { clockText } from "./screenText.ts";
import { type Io, withService } from "./session.ts";
import { placeOf } from "./clerkPlace.ts";
import { table } from "./terminal.ts";
import { parseContracts, parsePriceOf, parseReference, shown } from "./values.ts";

/** hedgerow auction list. Throws WrongUsage, and what reaching the clearing house throws. */
export async function listAuction(options: AuctionListOptions, io: Io): Promise<void> {
  await untilInterrupted(async () => {
    const place = await placeOf(options);
    try {
      const { chain } = place;
      const { epoch, phase } = await readDayState(chain);
      const lots = await readAuction({ chain, epoch, markets: await readMarkets(chain, epoch) });
      if (options.json === true) io.print(JSON.stringify({ epoch, phase, lots }));
      else io.print(auctionText(lots, place.network.decimals));
    } finally {
      place.close();
    }
  });
}

/** hedgerow auction take. Throws WrongUsage, and what taking over throws. */
export async function takeFromAuction(
  market: string,
  contracts: string,
  options: AuctionTakeOptions,
  io: Io,
): Promise<void> {
  const quantity = parseContracts("the quantity", contracts);
  const ticket = parseReference("--ticket", options.ticket);
  const decimals = await io.decimals(options);
  const limitPrice = await parsePriceOf("--limit", options.limit, decimals);
  await withService(
    options,
    async (service, run) => {
      const slot = slotOf(market, await service.run("tickets", {}, run));
      const wait = options.wait === true;
      const taken = await service.run("takeOver", { slot, quantity, limitPrice, ticket, wait }, run);
      io.print(options.json === true ? JSON.stringify(taken) : takenText(taken, decimals));
    },
    io,
  );
}

/** The market that is meant, among those of the wallet's tickets. Throws WrongUsage. */
function slotOf(text: string, tickets: readonly TicketSummary[]): number {
  if (/^[0-7]$/.test(text)) return Number(text);
  const found = tickets.find(({ contract }) => comparable(contract) === comparable(text));
  if (found !== undefined) return found.slot;
  throw new WrongUsage(`no ticket is of market ${shown(text)}`, "hedgerow ticket list shows those that are open");
}

function auctionText(lots: readonly AuctionView[], decimals: number): string {
  const left = lots.filter(({ position }) => position !== 0);
  if (left.length === 0) return "drop-outs left nothing";
  const price = (text: string): string => formatAmount(BigInt(text), decimals);
  const columns = [
    { title: "slot", right: true },
    { title: "contract" },
    { title: "you" },
    { title: "contracts", right: true },
    { title: "price now", right: true },
    { title: "last price", right: true },
    { title: "until" },
  ];
  const rows = left.map(({ slot, contract, position, auction }) => [
    String(slot),
    contract,
    position > 0 ? "buy" : "sell",
    String(Math.abs(position)),
    auction === null ? "-" : price(auction.price),
    auction === null ? "-" : price(auction.lastPrice),
    auction === null ? "-" : clockText(auction.ends),
  ]);
  const courses = left.flatMap(({ contract, auction }) =>
    auction === null || auction.steps.length === 0
      ? []
      : [`\n${contract} goes on:`, ...auction.steps.map((step) => `  ${clockText(step.time)}  ${price(step.price)}`)],
  );
  const closed = left.every(({ auction }) => auction === null)
    ? ["\nNothing is sold now: it is in the first part of the settlement window."]
    : [];
  return [table(columns, rows), ...courses, ...closed].join("\n");
}

function takenText({ quantity, contract, price, ticketId, transactionHash }: TakenOverView, decimals: number): string {
  const what = `${quantity > 0 ? "bought" : "sold"} ${Math.abs(quantity)} ${contract} at ${formatAmount(BigInt(price), decimals)}`;
  return [what, `ticket ${ticketId}`, `transaction ${transactionHash}`].join("\n");
}
