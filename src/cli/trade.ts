import type { Command } from "commander";
import { examples, groupOf, type Io, TERMINAL, withJson, withWallet } from "./session.ts";
import type { ListOptions, MoneyOptions, OrderOptions, ReplaceOptions, WaitOptions } from "./tradeRun.ts";

/*
 * The commands of a trading day: money in and out, orders, tickets, the seat. Each action imports what it does when it
 * runs.
 */

const run = () => import("./tradeRun.ts");

/** Adds deposit, fund, withdraw, buy, sell, orders, cancel, replace and resume. */
export function addTradeCommands(program: Command, io: Io = TERMINAL): void {
  forWallet(program.command("deposit"))
    .description("bring money into the account; opens its seat the first time")
    .argument("<amount>", "collateral, as 100000 or 2,500.50")
    .option("--faucet", "on a local chain: draw the tokens first")
    .option("--hold", "keep it as a credit, a reserve that hedgerow fund takes in later")
    .option("--no-wait", "do not wait until the chain shows it")
    .addHelpText("after", examples("deposit 100000 --faucet", 'deposit "2,500.50" --no-wait'))
    .action(async (amount: string, options: MoneyOptions) => (await run()).deposit(amount, options, io));

  sending(program.command("fund"))
    .description("take deposits that wait into the account")
    .argument("[credits...]", "their numbers; all that wait if left out")
    .addHelpText("after", examples("fund", "fund 17"))
    .action(async (credits: string[], options: WaitOptions) => (await run()).fund(credits, options, io));

  sending(program.command("withdraw"))
    .description("take free cash out, to any address")
    .argument("<amount>", "collateral, as 1000 or 2,500.50")
    .requiredOption("--to <address>", "who is paid")
    .addHelpText(
      "after",
      "\nA withdrawal shows its address and amount on chain: a fresh address tells less.\n" +
        examples("withdraw 5000 --to 0x00000000000000000000000000000000000000A1"),
    )
    .action(async (amount: string, options: MoneyOptions) => (await run()).withdraw(amount, options, io));

  addOrderCommand(program, "buy", io);
  addOrderCommand(program, "sell", io);

  forWallet(program.command("orders"))
    .description("the orders that live, with what has filled")
    .option("--all", "those that are over, too")
    .addHelpText("after", examples("orders", "orders --all --json"))
    .action(async (options: ListOptions) => (await run()).orders(options, io));

  forWallet(program.command("cancel"))
    .description("take an order out of the book, or all of them")
    .argument("[order]", "its name, or as much of it as is unique")
    .option("--all", "every order that lives")
    .addHelpText("after", examples("cancel 3f2a", "cancel --all"))
    .action(async (order: string | undefined, options: ListOptions) => (await run()).cancel(order, options, io));

  forWallet(program.command("replace"))
    .description("change the price, the size or the end of an order")
    .argument("<order>", "its name, or as much of it as is unique")
    .option("--limit <price>", "new worst price per contract")
    .option("--quantity <contracts>", "new size, what has filled included")
    .option("--good-till <time>", 'new end: 14:30, "2026-03-01 14:30" or 90m')
    .addHelpText(
      "after",
      "\nA smaller size alone keeps the place in the queue; a new price or a larger size\ngoes to its end.\n" +
        examples("replace 3f2a --limit 34100", "replace 3f2a --quantity 1"),
    )
    .action(async (order: string, options: ReplaceOptions) => (await run()).replace(order, options, io));

  forWallet(program.command("resume"))
    .description("go on with an iceberg that was being worked, or list them")
    .argument("[name]", "its name; all are listed if left out")
    .addHelpText("after", examples("resume", "resume 0c4f81d2a90b77e3"))
    .action(async (name: string | undefined, options: ListOptions) => (await run()).resume(name, options, io));
}

/** Adds ticket open, ticket close, renew, seat and catch-up; ticket list unless it is there. */
export function addAccountCommands(program: Command, io: Io = TERMINAL): void {
  const ticket = groupOf(program, "ticket", "sub-accounts that orders trade on");
  forWallet(ticket.command("open"))
    .description("open tickets ahead of orders: equal ones, from one proof")
    .argument("<market>", "name or slot, as LEAN-HOGS-FEB")
    .requiredOption("--cash <amount>", "cash of each")
    .option("--count <number>", "how many, 1 to 8", "1")
    .option("--no-wait", "do not wait until the chain shows them")
    .addHelpText(
      "after",
      "\nTickets of one proof can be seen to belong together. buy and sell open a fresh\none for each order unless told otherwise.\n" +
        examples("ticket open LEAN-HOGS-FEB --count 4 --cash 10000"),
    )
    .action(async (market: string, options: WaitOptions & { count: string; cash: string }) =>
      (await run()).openTickets(market, options, io),
    );
  if (!ticket.commands.some((command) => command.name() === "list")) {
    forWallet(ticket.command("list"))
      .description("the open tickets, with cash and position")
      .action(async (options: ListOptions) => (await run()).tickets(options, io));
  }
  sending(ticket.command("close"))
    .description("bring tickets back into the account, cash and positions")
    .argument("[tickets...]", "their names, or as much of each as is unique")
    .option("--all", "all that have no live order")
    .addHelpText("after", examples("ticket close 9ab4 77c0", "ticket close --all"))
    .action(async (tickets: string[], options: WaitOptions & ListOptions) =>
      (await run()).closeTickets(tickets, options, io),
    );

  sending(program.command("renew"))
    .description("prove solvency for the next day, in the settlement window")
    .addHelpText("after", "\nA seat that is not renewed in time is in default. hedgerow agent renews by\nitself.")
    .action(async (options: WaitOptions) => (await run()).renew(options, io));

  const seat = groupOf(program, "seat", "the account's place among the traders");
  for (const [name, description] of [
    ["sleep", "rest without positions: no renewal is due"],
    ["wake", "come back from sleep"],
    ["rejoin", "come back after a default"],
  ] as const) {
    forWallet(seat.command(name))
      .description(description)
      .action(async (options: ListOptions) => (await run()).seat(name, undefined, options, io));
  }
  for (const [name, description] of [
    ["exit", "leave with everything, without the operator's help"],
    ["close", "give the seat of an empty account back, for its bond"],
  ] as const) {
    forWallet(seat.command(name))
      .description(description)
      .requiredOption("--to <address>", "who is paid")
      .action(async (options: ListOptions & { to: string }) => (await run()).seat(name, options.to, options, io));
  }

  forWallet(program.command("catch-up"))
    .description("go on with what a crash or a lost answer left behind")
    .addHelpText(
      "after",
      "\nWhat changes the account goes on with its last change first; this asks about\norders without an answer, too.",
    )
    .action(async (options: ListOptions) => (await run()).catchUp(options, io));
}

function addOrderCommand(program: Command, side: "buy" | "sell", io: Io): void {
  const command = program
    .command(side)
    .description(`${side} contracts: one order, by default on a fresh ticket of its own`)
    .argument("<quantity>", "whole contracts")
    .argument("<market>", "name or slot, as LEAN-HOGS-FEB")
    .optionsGroup("Price:")
    .option("--limit <price>", "worst price per contract, in collateral units")
    .addOption(program.createOption("--market", "whatever the book offers, now").conflicts("limit"))
    .option("--slippage <amount>", "market order: no further than so far from the best price")
    .option("--stop <price>", "wait until a trade reaches this price")
    .optionsGroup("How long:")
    .addOption(program.createOption("--ioc", "fill what can be filled at once, cancel the rest"))
    .addOption(program.createOption("--fok", "fill all at once, or nothing").conflicts("ioc"))
    .addOption(
      program
        .createOption("--good-till <time>", 'until 14:30, "2026-03-01 14:30", or for 90m')
        .conflicts(["ioc", "fok", "market"]),
    )
    .addOption(
      program.createOption("--day", "until the trading day ends (the default)").conflicts(["goodTill", "ioc", "fok"]),
    )
    .optionsGroup("How it trades:")
    .addOption(
      program.createOption("--iceberg <contracts>", "show so many at a time").conflicts(["ioc", "fok", "market"]),
    )
    .addOption(
      program
        .createOption("--worked", "iceberg: its parts one after the other, on tickets that nothing links")
        .conflicts(["stop", "postOnly", "reduceOnly", "selfTrade", "ticket", "linked", "goodTill", "day"]),
    )
    .addOption(program.createOption("--post-only", "never take, only rest").conflicts(["ioc", "fok", "market", "stop"]))
    .option("--reduce-only", "only bring the position nearer to zero")
    .addOption(
      program
        .createOption("--self-trade <mode>", "when it would meet an order of the same ticket")
        .choices(["cancel-incoming", "cancel-resting", "cancel-both", "decrement"]),
    )
    .optionsGroup("Privacy:")
    .option("--ticket <name>", "use this open ticket")
    .addOption(program.createOption("--linked", "tickets from one proof, seen to belong together").conflicts("ticket"))
    .optionsGroup("Options:")
    .addHelpText(
      "after",
      "\nPrices are in collateral units per contract. hedgerow book MARKET shows what\nthere is.\n" +
        examples(
          `${side} 2 LEAN-HOGS-FEB --limit 34250`,
          `${side} 2 LEAN-HOGS-FEB --market --slippage 50`,
          `${side} 10 LEAN-HOGS-FEB --limit 34250 --iceberg 2 --good-till 15:30`,
          `${side} 10 LEAN-HOGS-FEB --limit 34250 --iceberg 2 --worked`,
          `${side} 1 LEAN-HOGS-FEB --stop 34900 --limit 35000 --reduce-only`,
        ),
    );
  forWallet(command).action(async (quantity: string, market: string, options: OrderOptions) =>
    (await run()).placeOrder(side, quantity, market, options, io),
  );
}

function forWallet(command: Command): Command {
  return withWallet(withJson(command)).option("--delay <range>", "wait a random while before sending, as 0-30s");
}

function sending(command: Command): Command {
  return forWallet(command)
    .option("--no-wait", "do not wait until the chain shows it")
    .option("--direct", "in the settlement window: past the operator, with gas of your own");
}
