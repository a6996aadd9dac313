import { shortTicket } from "../trader/markets.ts";

/** Values of an error in words. A name that the error does not carry makes the general sentence do. */
export type Values = {
  /** Base units as collateral units. */
  readonly money: (name: string) => string;
  /** A price in ticks as collateral units, where the tick is told as well. */
  readonly price: (name: string) => string;
  readonly text: (name: string) => string;
  /** Unix seconds as local time. */
  readonly time: (name: string) => string;
};

/** Which exit code an error leads to (spec CLI-3). */
export type Kind = "fault" | "usage" | "refused" | "unreachable" | "wallet" | "interrupted";

export type Explanation = {
  readonly kind: Kind;
  /** Why, for everybody. */
  readonly why: string;
  /** Why, with the values of this one. */
  readonly here?: (values: Values) => string;
  /** What to do. */
  readonly next: string;
};

type Here = Explanation["here"];

const of =
  (kind: Kind) =>
  (why: string, next: string, here?: Here): Explanation => ({ kind, why, next, ...(here !== undefined && { here }) });
const refused = of("refused");
const usage = of("usage");
const unreachable = of("unreachable");
const wallet = of("wallet");
const fault = of("fault");

const REPORT = "Try again; if it happens again, report it with the command that led to it.";
const AGAIN = "Try again in a moment; nothing was lost.";
const SYNC = "Run hedgerow catch-up, look at hedgerow balance, and try again.";
const BALANCE = "hedgerow balance shows what there is, and how many contracts it carries.";

/*
 * What the errors that a trader can meet mean, by their codes: those of the wallet, of the exchange, and of the
 * contract. "Matching." is the matching engine's.
 */
export const EXPLANATIONS: Readonly<Record<string, Explanation>> = {
  // ------------------------------------------------------------------------------------------ margin
  TicketBelowMargin: refused(
    "The ticket does not hold enough cash for this order: valued at the worst price of its margin band, it must not be worth less than nothing.",
    `Trade fewer contracts, or use a ticket with more cash. ${BALANCE}`,
    ({ money }) =>
      `The ticket does not hold enough cash for this order: at the worst price of its margin band it would be worth ${money("equity")}, and it must never be below zero.`,
  ),
  InsolventTransition: refused(
    "The account would not be able to pay at every price that is possible: what stays in it must be worth at least nothing at the worst prices of the margin bands.",
    `Ask for less, or hedgerow deposit AMOUNT first. ${BALANCE}`,
    ({ money }) =>
      `At the worst prices of the margin bands the account would be worth ${money("equity")} afterwards, and it must never be below zero.`,
  ),
  ProverRefused: refused(
    "There is no proof of it, since it is not true: the account would not be able to pay at the worst prices, or would leave a range.",
    `Ask for less, or hedgerow deposit AMOUNT first. ${BALANCE}`,
    ({ money }) =>
      `There is no proof of it, since the account would be worth ${money("equity")} at the worst prices afterwards, and that must never be below zero.`,
  ),
  TicketInsolvent: refused(
    "One of the tickets to be opened could not pay at the worst price of its band by itself.",
    "Give each ticket more cash: hedgerow ticket open MARKET --cash AMOUNT.",
    ({ money }) =>
      `One of the tickets to be opened would be worth ${money("equity")} at the worst price of its band, and each must be worth at least nothing.`,
  ),
  TicketOverfunded: refused(
    "A reduce-only ticket may hold no more cash than the margin of the position that it carries.",
    "Give it less cash, or open a plain ticket.",
    ({ money }) => `A reduce-only ticket holds ${money("equity")} more than the margin of the position it carries.`,
  ),
  NotCarried: refused(
    "A reduce-only ticket must carry a position out of the account.",
    "Use buy or sell --reduce-only, which takes the contracts along.",
  ),
  NothingCarried: refused(
    "A reduce-only ticket must carry a position out of the account, with no more cash than its margin.",
    "Use buy or sell --reduce-only, which takes the contracts along.",
  ),
  NothingToReduce: refused(
    "There is nothing that a reduce-only order could bring nearer to zero in the account.",
    "Bring the ticket that holds the position back (hedgerow ticket close), or leave --reduce-only out.",
    ({ text }) => `A reduce-only ${text("side")} cannot bring a position of ${text("position")} nearer to zero.`,
  ),
  NotReducing: refused(
    "This ticket may only bring its position nearer to zero.",
    "Trade the other way, trade less, or use another ticket.",
    ({ text }) =>
      `This ticket may only bring its position nearer to zero, and the order would take it from ${text("position")} to ${text("newPosition")}.`,
  ),
  ClosingOnly: refused(
    "The contract runs out: positions in it can be closed, and no new ones opened.",
    "Use --reduce-only, or trade a later contract; hedgerow markets lists them.",
  ),
  OutOfRange: refused(
    "A number is larger or smaller than the protocol allows.",
    "Give a value inside the range.",
    ({ text }) => `${text("name")} is ${text("value")}, and the rule is ${text("rule")}.`,
  ),
  AmountOutOfRange: refused("The amount is larger than the protocol allows.", "Give a smaller amount."),
  PositionOutOfRange: refused(
    "The position would be larger than the protocol allows.",
    "Trade fewer contracts on one account.",
  ),

  // ------------------------------------------------------------------------------------------ the market
  "Matching.OffLimits": refused(
    "The price is outside the price limits of the day.",
    "Give a price inside them; hedgerow markets MARKET shows the limits.",
    ({ price }) =>
      `The price of ${price("priceTicks")} is outside the price limits of the day, ${price("down")} to ${price("up")}.`,
  ),
  "Matching.BeyondCollar": refused(
    "The price is further from the last trade than the market's price collar lets an order be that comes in now.",
    "Give a price nearer to the last trade, or use --market, which trades no further than the collar.",
    ({ money }) =>
      `The price of ${money("limitPrice")} is more than the price collar of ${money("collar")} away from ${money("reference")}, the last trade of the day or the centre before it. The worst price allowed now is ${money("worstPrice")}.`,
  ),
  "Matching.OffTick": refused(
    "The price is not a whole number of the market's price steps.",
    "Round it to a whole step.",
    ({ money }) => `Prices go in steps of ${money("tick")}, and ${money("price")} is not a whole number of them.`,
  ),
  "Matching.BadTick": fault("The market's price step makes no sense.", REPORT),
  "Matching.BadPrice": refused("The price is no whole number of price steps.", "Give a price like 34250."),
  "Matching.BadQuantity": refused(
    "An order is for a whole number of contracts, from 1 to 2147483647.",
    "Give such a number.",
    ({ text }) => `An order is for 1 to 2147483647 whole contracts, and this one is for ${text("quantity")}.`,
  ),
  "Matching.BadDisplayQuantity": refused(
    "An iceberg shows at least a hundredth of the order, and at most all of it.",
    "Show more with --iceberg CONTRACTS.",
    ({ text }) =>
      `An iceberg of ${text("quantity")} contracts shows from a hundredth of them to all, and not ${text("displayQuantity")}.`,
  ),
  "Matching.PostOnlyWouldTake": refused(
    "A post-only order never takes, and this one would have met an order of the other side.",
    "Give a price further from the other side, or leave --post-only out. hedgerow book MARKET shows it.",
    ({ price }) =>
      `A post-only order never takes, and at ${price("priceTicks")} this one would have met one at ${price("facing")}.`,
  ),
  "Matching.PostOnlyNeverRests": refused(
    "A post-only order waits in the book, so that it cannot be immediate too.",
    "Leave --post-only out, or --ioc and --fok.",
  ),
  "Matching.NotFillable": refused(
    "The order was to fill all at once or not at all, and the book does not hold enough at its price.",
    "Ask for less, give a worse price, or use --ioc in the place of --fok.",
    ({ text }) => `The book does not hold ${text("quantity")} contracts at this price now, so nothing was filled.`,
  ),
  "Matching.MarketHalted": refused(
    "The market is halted: orders can be cancelled and nothing else.",
    "Wait until it opens again; hedgerow markets shows when.",
    ({ text }) => `The market is ${text("session")}: orders can be cancelled and nothing else.`,
  ),
  "Matching.NotInPreOpen": refused(
    "Before the opening auction only plain orders enter the book.",
    "Leave --ioc, --fok, --market or --post-only out, or wait until the market opens.",
  ),
  "Matching.NotPreOpen": fault("The auction is held before the market opens only.", REPORT),
  "Matching.UnknownOrder": refused(
    "The order does not live: it has filled, was cancelled, or never rested in the book.",
    "hedgerow orders --all shows what became of it.",
  ),
  "Matching.DuplicateOrder": refused("An order of the same name lives already.", "Send it as a new order."),
  "Matching.BadRevision": refused(
    "The order was changed meanwhile, or has been changed too often.",
    "Look at hedgerow orders and try again, or cancel it and send a new one.",
  ),
  "Matching.SideChanged": refused(
    "A replacement keeps the side of an order.",
    "Cancel it and send one of the other side.",
  ),
  NoOppositeSide: refused(
    "Nobody is on the other side of the book, so that a market order could not fill.",
    "Give --limit PRICE in the place of --market: the order rests until somebody comes.",
  ),
  NotTrading: refused(
    "The day is being settled: orders are taken while it trades.",
    "Close tickets and hedgerow renew now; send the order when the next day opens.",
  ),
  MarketClosed: refused(
    "The trading day is over.",
    "Send the order when the next day opens; hedgerow markets shows when.",
    ({ time }) => `The trading day ended at ${time("closingTime")}.`,
  ),
  NotLockedLong: refused(
    "The day is ended early only where a market has traded at nothing but one of its price limits for a while, and enough of it.",
    "hedgerow close-early --market NAME --dry-run shows what was traded and what is lacking.",
  ),
  NotLocked: refused(
    "Not all that was traded lately was at one price limit of the day, or too little was traded.",
    "hedgerow close-early --market NAME --dry-run shows what was traded and what is lacking.",
  ),
  NotMovable: refused(
    "The end of the day cannot be moved up: it was moved already, it would not be earlier, or this clearing house never does it.",
    "hedgerow markets --json shows when the day ends.",
  ),
  RenewalsNotBegun: refused(
    "The second part of the settlement window was not begun yet, so the next day cannot open.",
    "hedgerow settle-day does all that is due, one step after the other.",
  ),
  GasTooLow: refused(
    "The transaction has too little gas to ask the price feed of a contract that ends today.",
    "Send it again with more gas; hedgerow settle-day does.",
  ),
  NothingStaked: refused(
    "This address has no stake at the clearing house.",
    "Stake first, or use the key that staked.",
  ),
  NotUnstakable: refused(
    "A stake is paid back in the trading of the second day after the request only.",
    "Ask for it, and take it on that day; a request that was missed is made anew.",
  ),
  NothingToTake: refused(
    "The clearing house has no contracts of this market to be taken over on this side.",
    "hedgerow auction list shows what there is; it is sold in the first part of the settlement window only.",
    ({ text }) =>
      `The clearing house has ${text("available")} contracts of this market to be taken over, and ${text("quantity")} were asked for.`,
  ),
  NoAuction: refused(
    "Nothing is sold now: contracts of drop-outs are sold in the first part of the settlement window.",
    "hedgerow auction list shows what there is, and when.",
  ),
  NothingForSale: refused(
    "Drop-outs left nothing in this market, or it is sold by now.",
    "hedgerow auction list shows what there is.",
  ),
  PriceNotReached: refused(
    "The price has not come to your limit.",
    "Give --wait, or another limit; hedgerow auction list shows how the price goes on.",
    ({ money, time }) =>
      `The price is ${money("price")} now; it comes to your limit of ${money("limit")} at ${time("reachedAt")}.`,
  ),
  TicketOfAnotherMarket: refused(
    "The ticket is of another market, or of another day.",
    "Name a ticket of today in this market; hedgerow ticket list shows them.",
  ),
  BidUsed: refused(
    "The very same bid has taken contracts over already, and each counts once.",
    "Bid for another number of contracts, or with another limit.",
  ),
  MarketNotListed: refused(
    "No contract is listed in this slot.",
    "hedgerow markets lists those that are.",
    ({ text }) => `Slot ${text("slot")} holds no contract today.`,
  ),
  UnknownMarket: usage(
    "There is no market of this name or number.",
    "hedgerow markets lists them.",
    ({ text }) => `There is no market "${text("market")}".`,
  ),
  SlotOutOfRange: usage("There are slots 0 to 7.", "hedgerow markets lists what is in them."),
  OrderExpired: refused(
    "The order's end had come before it arrived.",
    "Send it with a later --good-till.",
    ({ time }) => `The order was good until ${time("expiry")}, and that is over.`,
  ),
  OrderUnknown: refused("The exchange knows no such order on this ticket.", "hedgerow orders --all shows yours."),
  NameNotFound: usage(
    "No order or ticket has this name, or several begin with it.",
    "Give its name, or a beginning that no other has, as hedgerow orders or hedgerow ticket list shows it.",
    ({ text }) =>
      text("found") === "0"
        ? `None of the wallet's ${text("what")}s has a name that begins with "${text("name")}".`
        : `${text("found")} of the wallet's ${text("what")}s begin with "${text("name")}", and one is needed.`,
  ),
  TooManyMakers: refused("The order would meet too many orders of the other side at once.", "Send it in parts."),
  TooManyOrders: refused(
    "The ticket has as many live orders as one may have.",
    "Cancel some, or put the order on another ticket.",
  ),
  TooManyRevisions: refused("The order has been replaced 255 times.", "Cancel it and send a new one."),
  TermsChanged: refused("A replacement may not change this about an order.", "Cancel it and send another."),
  BeyondOrder: fault("A fill was worse than its order allowed.", "Keep the receipts: they prove it. hedgerow history."),
  OffLimits: refused(
    "The price is outside the price limits of the day.",
    "Give a price inside them; hedgerow markets MARKET shows the limits.",
    ({ money }) =>
      `The price of ${money("price")} is outside the price limits of the day, ${money("down")} to ${money("up")}.`,
  ),
  OffTick: refused(
    "The price is not a whole number of the market's price steps.",
    "Round it to a whole step.",
    ({ money }) => `Prices go in steps of ${money("tick")}, and ${money("price")} is not a whole number of them.`,
  ),
  BadWorkedOrder: usage("An iceberg cannot be worked like this.", "Give a smaller --iceberg than the order's size."),
  UnknownWorkedOrder: usage("This wallet has worked no iceberg of this name.", "hedgerow resume lists them."),
  PartRefused: refused(
    "A part of the worked iceberg was refused, so nothing more was sent.",
    "Mend what was wrong, and hedgerow resume goes on.",
    ({ text }) => `A part of the worked iceberg was refused (${text("reason")}), so nothing more was sent.`,
  ),
  PartCancelled: refused(
    "A part of the worked iceberg was cancelled, so nothing more was sent.",
    "hedgerow resume goes on with it.",
  ),
  QuantityOutOfRange: refused("An order is for 1 to 2147483647 contracts.", "Give such a number."),

  // ------------------------------------------------------------------------------------------ tickets and the seat
  UnknownTicket: refused(
    "No such ticket is open today.",
    "hedgerow ticket list shows those that are; without --ticket a fresh one is opened.",
  ),
  TicketNotTradable: refused(
    "The ticket takes no orders: it is being closed, or is of another day.",
    "Use another ticket, or leave --ticket out.",
    ({ text }) => `The ticket is ${text("status")} and takes no orders.`,
  ),
  TicketHasOrders: refused(
    "Orders live on the ticket, and closing it would take them out of the book.",
    "hedgerow cancel ORDER first; hedgerow orders lists them.",
    ({ text }) => `On ticket ${shortTicket(text("ticketId"))} lives order ${text("orders")}.`,
  ),
  TicketNotOwned: refused("It is not an open ticket of this account.", "hedgerow ticket list shows those that are."),
  WrongTicketEpoch: refused(
    "The ticket is of another day than this needs: one of today is closed, an older one is claimed.",
    "hedgerow ticket close does whichever is right.",
  ),
  TicketChanged: refused(
    "The ticket has traded since the proof was made.",
    "Cancel its orders, wait until its fills are on chain, and try again.",
  ),
  WrongTicketCount: usage("One proof opens 1 to 8 tickets.", "Give --count 1 to 8."),
  TicketCount: usage("One proof opens 1 to 8 tickets.", "Give --count 1 to 8."),
  WrongSeatStatus: refused(
    "The seat is not in the state that this needs.",
    "hedgerow balance shows it. None: deposit. Asleep: seat wake. In default: seat rejoin.",
    ({ text }) => `This needs a seat that is ${text("required")}, and yours is ${text("status")}.`,
  ),
  SeatUnavailable: refused(
    "The seat is not in the state that this needs, or something that changes it is under way.",
    SYNC,
  ),
  SeatRequired: fault("The action must show its seat.", REPORT),
  SeatNotAllowed: fault("The action must not show its seat.", REPORT),
  SeatStillNeeded: refused(
    "Tickets or deposits of the account would be left behind.",
    "Run hedgerow ticket close --all and hedgerow fund, then try again.",
  ),
  AccountNotEmpty: refused(
    "The account still holds cash or positions, and only an empty one gives its seat back.",
    "Close tickets and positions, hedgerow withdraw the cash, and try again; or hedgerow seat exit.",
    ({ money }) => `The account still holds ${money("cash")} or positions, and only an empty one gives its seat back.`,
  ),
  NewNoteNotEmpty: refused(
    "Only an empty account gives its seat back.",
    "Close tickets and positions, withdraw the cash, and try again; or hedgerow seat exit.",
  ),
  OwnerKeyUsed: refused(
    "This account has had a seat already.",
    "Run hedgerow catch-up: the wallet goes on with its next account.",
  ),
  NotInDefault: refused("The seat is not in default, so there is nothing to rejoin.", SYNC),
  CreditNotOwned: refused("It is no unspent deposit of this account.", "hedgerow balance shows those that wait."),
  CreditUnavailable: refused("The deposit is spent already, or was refunded.", SYNC),
  CreditNotOpen: refused("The deposit is spent already, or was refunded.", SYNC),
  NotDepositor: refused("Only who paid a deposit can take it back.", "Use the wallet that paid it."),
  NothingOwed: refused("Nothing is owed to this address.", "hedgerow history shows what was paid."),
  NothingToForfeit: refused("There is no bond to forfeit.", "Nothing is to be done."),

  // ------------------------------------------------------------------------------------------ money
  ZeroAmount: usage("The amount is zero.", "Give more than zero."),
  BadAmount: usage(
    "This is no amount that the collateral or the market can express.",
    "Write it like 34250 or 2,500.50.",
  ),
  DepositTooLarge: refused(
    "The clearing house takes no more deposits for now: it would hold more than its limit.",
    "Deposit less.",
    ({ money }) => `The clearing house would hold ${money("balance")}, and its limit is ${money("limit")}.`,
  ),
  UnsupportedToken: fault("The token did not pay what it said.", "The collateral of this network cannot be used."),
  BadRecipient: refused("This address cannot be paid.", "Give another address with --to."),
  ERC20InsufficientBalance: refused(
    "The address that pays does not hold so many tokens.",
    "Send it tokens, pay in less, or for a deposit on a local chain add --faucet.",
    ({ money }) => `The address that pays holds ${money("balance")}, and ${money("needed")} are needed.`,
  ),
  ERC20InsufficientAllowance: refused(
    "The clearing house may not take so many tokens from the funding address.",
    AGAIN,
    ({ money }) => `The clearing house may take ${money("allowance")}, and ${money("needed")} are needed.`,
  ),
  CallImpossible: refused(
    "The node cannot run the call: who sends it lacks ether, or it takes too much gas.",
    "Send some ether to the key's address; a wallet's is shown by hedgerow wallet list, and on a local chain hedgerow deposit --faucet fills it.",
  ),
  FeeAboveLimit: refused("The chain wants higher fees than the limit.", "Wait until they fall."),
  WaitEnded: refused("The wait for a transaction was ended; it may land all the same.", "Run hedgerow catch-up."),

  // ------------------------------------------------------------------------------------------ transitions
  WrongPhase: refused(
    "This cannot be done in this part of the day.",
    "Renewing belongs to the settlement window, trading and waking to the day, and a seat sleeps and closes in both. hedgerow balance shows which it is; in the window --direct goes past the operator.",
    ({ text }) => `"${text("action")}" cannot be done in this part of the day.`,
  ),
  NotInPhase: refused("This cannot be done in this part of the day.", "hedgerow balance shows which part it is."),
  RelayedOnly: refused("This goes through the operator only.", "Leave --direct out."),
  DirectOnly: refused("This goes straight to the chain only.", "Add --direct."),
  DayEnding: refused("The day is being closed.", "Try again in the settlement window, in a moment."),
  DayClosed: refused("The day is closed already.", "Try again when the next one opens."),
  DayNotOver: refused(
    "The day is still being traded.",
    "Run hedgerow settle-day after closing time; --report-only --epoch N reports a day before it.",
    ({ text, time }) => `Day ${text("epoch")} is traded until ${time("closingTime")}.`,
  ),
  DayWaits: refused(
    "The next step of the day has its time, and that has not come.",
    "Run it again then, or without --no-wait.",
    ({ text, time }) =>
      `Day ${text("epoch")} is not settled: its next step can be taken from ${time("time")} and block ${text("block")} on.`,
  ),
  DayUnknown: refused(
    "The chain does not show this day as one that is over.",
    "Name a day that is over: hedgerow settle-day --dry-run shows which is today.",
    ({ text }) => `There is nothing to report of day ${text("epoch")}: ${text("reason")}.`,
  ),
  TransitionPending: refused(
    "It was sent, and the chain does not show it yet. It is written down, and sent again until it lands.",
    "Run hedgerow catch-up in a while. Nothing is counted twice.",
    ({ text }) =>
      `"${text("action")}" was sent ${text("seconds")} seconds ago and the chain does not show it yet. It is written down.`,
  ),
  TransitionFailed: refused(
    "It did not take effect, and never will; nothing has changed.",
    "Try again.",
    ({ text }) => `"${text("action")}" did not take effect: ${text("reason")}. Nothing has changed.`,
  ),
  NotApplied: refused("The chain skipped it, since what it rests on was gone; nothing has changed.", SYNC),
  NullifierTaken: refused("Something else has changed the account meanwhile.", SYNC),
  UnknownRoot: refused("The proof rests on a state that the chain does not know, as after a reorganisation.", SYNC),
  UnknownNote: refused("The account's state is on no block that was read yet.", SYNC),
  InvalidTransition: refused(
    "The transition is not one that the rules allow.",
    SYNC,
    ({ text }) => `"${text("action")}" is not allowed like this: ${text("name")} is ${text("value")}.`,
  ),
  ProofRefused: refused("The proof does not hold for the state that the chain has now.", SYNC),
  WrongRelayFee: refused("The operator's fee for relaying has changed.", SYNC),
  WrongSigner: refused("It was signed with a key that may not.", SYNC),
  MalformedSignature: fault("A signature was not understood.", REPORT),
  TreeFull: refused("The day's tree is full.", "Wait for the next day."),
  TreeReserved: refused("The rest of the day's tree is kept for renewals.", "Wait for the next day."),

  // ------------------------------------------------------------------------------------------ a busy or odd exchange
  TooManyCommands: refused(
    "The exchange takes only so many commands a second from one trader.",
    "Send them more slowly.",
    ({ text }) => `The exchange takes ${text("perSecond")} commands a second from one trader.`,
  ),
  TooManyTransitions: refused(
    "The exchange takes only so many transitions a second from one connection.",
    "Try again in a second.",
  ),
  TooManyProofs: refused("Too many proofs wait to be checked at the exchange.", AGAIN),
  TooManyBadSignatures: refused("Too many signatures on this connection were bad.", REPORT),
  TooManyWatches: refused("Too many subscriptions are open.", "End one: close a hedgerow watch."),
  SlowReader: refused("What the exchange sent was read too slowly.", "Start the command again."),
  Overloaded: refused("The exchange has too much to do.", AGAIN),
  Backlog: refused("More executions wait than can be posted before the day ends.", "Try again later, or tomorrow."),
  TooEarly: refused(
    "It is too early for this.",
    "Try again later.",
    ({ time }) => `This can be done from ${time("earliest")} on.`,
  ),
  Closing: unreachable("The exchange is shutting down.", "Try again in a while."),
  ExchangeStopped: unreachable("The exchange has stopped; what it acknowledged is safe.", "Try again in a while."),
  SessionFull: refused("Too many commands wait for their answers.", AGAIN),
  SessionEnded: refused("The connection for orders has ended.", "hedgerow orders shows which arrived; try again."),
  WatchExpired: refused("The permission to see a ticket's orders has ended.", AGAIN),
  NonceUsed: refused("A newer message of this kind has arrived already.", AGAIN),
  NotFirstRevision: fault("A new order had a revision.", REPORT),
  ZeroClientId: fault("An order had no name.", REPORT),
  InstructionsOfAnother: fault("An order came with instructions of another.", REPORT),
  MalformedMessage: fault("A message was not understood: the other side may be of another version.", "Update both."),
  MalformedField: unreachable(
    "The exchange's answer makes no sense: it may be of another version, or lie.",
    "Check the address with hedgerow doctor. Your money is safe: the chain decides.",
  ),
  AnswerRefused: unreachable(
    "The exchange's answer is not believed: it does not fit what was asked.",
    "hedgerow orders asks again. Your money is safe: the chain decides.",
    ({ text }) => `The exchange's answer about ${text("about")} ${text("name")} is not believed: ${text("reason")}.`,
  ),
  InvalidReceipt: unreachable(
    "A receipt is not signed by the operator, or not for what was sent.",
    "Check the network with hedgerow doctor. What the exchange said cannot be proven.",
  ),
  ContradictingReceipts: refused(
    "The operator signed two receipts that contradict each other.",
    "Keep both, and publish them: they prove the operator's fault.",
  ),
  NoAnswer: unreachable("Nothing was said about the order.", "hedgerow orders --all shows what became of it."),

  // ------------------------------------------------------------------------------------------ reaching things
  ExchangeUnreachable: unreachable(
    "The exchange does not answer.",
    "See whether it runs: hedgerow doctor. What was sent is written down; hedgerow catch-up goes on with it.",
    ({ text }) => `The exchange at ${text("url")} does not answer.`,
  ),
  ChainUnavailable: unreachable(
    "The chain's node does not answer.",
    "See whether it runs, and whether its address is right: hedgerow doctor.",
  ),
  WrongChain: unreachable(
    "The node serves another chain than the network's.",
    "Name the right node: hedgerow network shows what is set.",
    ({ text }) => `The node serves chain ${text("actual")}, and the network is on chain ${text("expected")}.`,
  ),
  ChainReplaced: unreachable(
    "The node no longer serves the chain that was read from it: a local chain starts anew each time.",
    "Go back to a node of the old chain, or begin again with hedgerow deposit.",
  ),
  ProxyUnreachable: unreachable(
    "The proxy does not answer, and nothing was sent around it.",
    "Start it, or give its address: --proxy socks5h://host:port.",
  ),
  BadProxy: usage(
    "This is no proxy that keeps secrets.",
    "Give socks5h://host:port, without a password.",
    ({ text }) => `The proxy ${text("given")} is none that keeps secrets.`,
  ),
  BadDelay: usage("The delay is no range of times.", "Give 30s, 0-30s or 1m-5m."),
  AgentUnreachable: unreachable(
    "The agent that holds the wallet does not answer.",
    "Look at hedgerow agent status; what it sent stays sent.",
  ),
  AgentAnsweredBadly: unreachable(
    "The agent's answer was not understood: it may be of another version.",
    "Stop it and start it again: hedgerow agent stop, hedgerow agent.",
  ),
  AgentFault: fault("The command ended with a fault in the agent.", "Look into the agent's log, and report it."),
  AgentAlreadyRuns: wallet("An agent holds this wallet already.", "Use it, or hedgerow agent stop first."),
  SocketPathTaken: wallet("Where the agent's socket would be is something else.", "Move it away."),
  SocketPathTooLong: wallet("The path to the wallet is too long for a socket.", "Use a shorter --home."),
  SocketNotOwn: wallet(
    "The agent's socket is another user's, or open to others.",
    "Remove it, and start the agent again.",
  ),
  BadRequest: usage("The agent was asked for something that it does not do.", "Update hedgerow and the agent."),
  TooManyRequests: refused("Too many commands wait at the agent.", AGAIN),
  CommandCancelled: of("interrupted")(
    "The command was cancelled; what had been sent stays sent.",
    "Look at hedgerow orders, or run hedgerow catch-up.",
  ),

  // ------------------------------------------------------------------------------------------ the wallet
  WalletExists: wallet("There is a wallet of this name already.", "Give another name: hedgerow wallet new NAME."),
  WalletNotFound: wallet(
    "There is no wallet of this name.",
    "hedgerow wallet list shows those there are; hedgerow wallet new makes one.",
    ({ text }) => `There is no wallet in ${text("directory")}.`,
  ),
  WalletInUse: wallet(
    "Another process has the wallet open.",
    "Wait until it is done, or end it; an agent ends with hedgerow agent stop.",
    ({ text }) => `Another process has the wallet in ${text("directory")} open.`,
  ),
  WrongPassword: wallet("The password does not open the wallet.", "Type it again; the case matters."),
  WalletDamaged: wallet(
    "A file of the wallet cannot be read.",
    "Move the wallet away and recover it from its phrase: hedgerow wallet recover.",
    ({ text }) => `${text("file")} cannot be read: ${text("reason")}.`,
  ),
  WalletTooNew: wallet("A newer hedgerow has written this wallet.", "Use that version."),
  WalletUnwritable: wallet(
    "The wallet's files cannot be written.",
    "Make room on the disk, and look at who owns them.",
  ),
  WalletNotPrivate: wallet("Others may read the wallet's files.", "Give it a directory that is yours alone."),
  WalletOnlyWatches: wallet(
    "This wallet holds a viewing key: it sees, and signs nothing.",
    "Name the wallet that has the phrase: --wallet NAME.",
  ),
  IndicesUsedUp: wallet(
    "The wallet has prepared many things and none has landed: more tickets would put recovery at risk.",
    "Bring anything else about first, as a withdrawal; hedgerow doctor shows who does not answer.",
  ),
  KeystoreMalformed: wallet("The keystore is none that can be read.", "Recover it from its phrase: wallet recover."),
  MalformedSeedPhrase: wallet(
    "The words are no seed phrase.",
    "Type the 12 to 24 English words again, in their order.",
  ),
  NoteNotRecognised: wallet(
    "The chain shows a step of this account that the wallet cannot have made.",
    "Was its phrase used with another program? Run hedgerow wallet recover.",
  ),
  ReceiptDamaged: wallet("A stored receipt cannot be read.", "Take it from a copy of the wallet."),
  NoTerminal: wallet(
    "Nobody is there to type a password.",
    "Give --password-file FILE; the file must be readable by you only (chmod 600).",
    ({ text }) => `There is no terminal to ask for ${text("what")}.`,
  ),
  PasswordFileRefused: wallet(
    "The password file is missing, empty, or can be read by others.",
    "Put the password on its first line, and chmod 600 the file.",
    ({ text }) => `${text("file")} ${text("reason")}.`,
  ),
  PasswordsDiffer: wallet("The two passwords are not the same.", "Type the same one twice."),
  FileTooOpen: wallet(
    "A file with a secret can be read by others.",
    "chmod 600 the file.",
    ({ text }) => `Others may read ${text("file")}, and it holds a secret.`,
  ),
  FileExists: usage(
    "The file is there already, and nothing is written over it.",
    "Name another file.",
    ({ text }) => `${text("file")} is there already.`,
  ),
  FileUnreadable: usage(
    "A file cannot be read.",
    "Check its name and who may read it.",
    ({ text }) => `${text("file")} cannot be read: ${text("reason")}.`,
  ),
  FileUnwritable: usage(
    "A file cannot be written.",
    "Make room, or name another place.",
    ({ text }) => `${text("file")} cannot be written: ${text("reason")}.`,
  ),

  // ------------------------------------------------------------------------------------------ checking the chain
  ChainContradiction: refused(
    "What the chain shows contradicts the rules: a proof, a fill, a note, a price or a sum is not what it must be.",
    "Ask another node first; if it says the same, show it to others and to the operator, and keep what you hold back.",
    ({ text }) => `${text("where")}: ${text("what")}, against ${text("rule")}.`,
  ),
  BrokenRule: refused("A step that the chain shows breaks a rule.", "hedgerow verify-day says which, and where."),
  HistoryUnreadable: unreachable(
    "The node does not tell the whole history of the clearing house.",
    "Ask another node: --chain URL.",
    ({ text }) => `${text("what").replace(/\.$/, "")}.`,
  ),
  DayNotWhole: usage(
    "Only whole days are verified, and this one is not over.",
    "Name an earlier day, or wait until the next one has opened.",
    ({ text }) =>
      text("present") === "1"
        ? "No day is over yet: the chain is at day 1."
        : `Day ${text("epoch")} is not over: only days before ${text("present")} are.`,
  ),
  HouseUnproven: usage(
    "The day is not verified, proofs not checked: this house runs the unproven verifier.",
    "--unproven checks everything else.",
  ),
  KeyMismatch: fault("The verifying key is not the one that this version pins.", "Take a whole copy of this version."),

  // ------------------------------------------------------------------------------------------ files and programs
  BadParams: usage("What was asked of the wallet makes no sense.", "COMMAND --help shows what it takes."),
  BadName: usage("This is no name.", "Use 1 to 32 small letters, digits and hyphens, and no hyphen first."),
  BadPeriod: usage("These days are no period.", "Name epochs from 1 to the present one, the earlier one first."),
  BadPolicy: usage("The agent's policy cannot be used.", "Mend the file; hedgerow agent --help shows what is in it."),
  BadOrders: usage("The file of orders cannot be used.", "Mend it; hedgerow run --help shows its form."),
  BadSeries: usage(
    "The file of settlement prices or margins cannot be used.",
    "Mend it; hedgerow simulate --help names its columns.",
  ),
  TooFewTraders: usage(
    "Each market needs two makers, and there are too few traders for that.",
    "Ask for more with --traders, or for fewer markets with --symbol.",
  ),
  BadMarkets: usage("The file of markets cannot be used.", "Mend it; hedgerow local --help says more."),
  BadMarketSchedule: usage(
    "The schedule of contracts cannot be used.",
    "Mend it, or name the network that it is meant for; scripts/examples/schedule.json shows its form.",
  ),
  BadMarginSchedule: usage(
    "The margin schedule cannot be used.",
    "Mend it: the columns date,initial,maintenance; initial may be left out.",
  ),
  NotAdministrator: refused(
    "Only the administrator of the registry schedules terms.",
    "Give the administrator's key: --key-file FILE.",
    ({ text }) => `The key is not that of the registry's administrator ${text("administrator")}.`,
  ),
  BadBotConfig: usage("The bots' configuration cannot be used.", "Mend it; hedgerow bots --help says more."),
  BadDirectory: usage("The directory is not empty, and no exchange is taken up again.", "Name a new one."),
  BadRunDirectory: usage("The directory of the run cannot be used.", "Name another with --directory."),
  BadRecord: wallet("A record of the wallet cannot be read.", "Move wallet.sqlite away, and hedgerow wallet recover."),
  MalformedFile: usage("A settings file cannot be understood.", "Mend it, or move it away."),
  MalformedViewingKey: usage("The file holds no viewing key.", "Ask its owner to export it again."),
  ViewingKeyElsewhere: usage("The viewing key is for another network.", "Name its network: --network NAME."),
  NetworkOfAnotherHouse: usage(
    "The exchange serves another clearing house than the one that was named.",
    "Give the exchange and the clearing house that belong together.",
  ),
  NetworkOfAnotherOperator: usage(
    "The exchange signs with another key than the contract's operator: its receipts would prove nothing.",
    "Give the exchange that the operator of this clearing house runs.",
  ),
  NetworkOfAnotherKey: usage(
    "The clearing house checks proofs with another verifying key: it would refuse every proof of this version.",
    "Use the version that its operator names.",
  ),
  NetworkWithoutHouse: usage("There is no clearing house at this address.", "Check the address and the chain."),
  NetworkWithoutExchange: usage("There is no exchange behind this address.", "Check the address, and whether it runs."),
  LocalNetworkEnded: fault("A part of the local network ended by itself.", "Start it again: hedgerow local."),
  NoFaucet: refused(
    "Only a local development chain has a faucet.",
    "Send ether and collateral to the funding address (hedgerow wallet show), and deposit without --faucet.",
    ({ text }) => `Network "${text("network")}" has no faucet, as ${text("reason")}.`,
  ),
  NoAgent: usage("No agent holds the wallet.", "hedgerow agent starts one."),
  SignedElsewhere: refused(
    "The order was signed by another device, or before the wallet was recovered, so that it cannot be replaced here.",
    "Cancel it, and place another.",
  ),
  WalletRowDamaged: wallet(
    "A row of the wallet's database cannot be read.",
    "Move wallet.sqlite away, and hedgerow wallet recover.",
  ),
  WalletPasswordMissing: wallet("The bots' wallets need a password on this network.", "Give --password-file FILE."),
  WalletPasswordTooShort: wallet("The password is too short.", "Take a longer one: several words are good."),
  WalletPhraseUnseen: wallet("A phrase is shown at a terminal only.", "Type it there, or give --phrase-out FILE."),
  WalletNotMade: wallet("The wallet was not made.", "Start the command again."),
  StakeMissing: usage("Nobody said how much collateral the clients get.", "Give --stake AMOUNT."),
  FillsNotSettled: refused(
    "The chain does not show all fills yet.",
    "Nothing is lost: hedgerow history shows them once the exchange has posted its batches.",
  ),
  BlockTimeUnknown: unreachable("The node does not tell the time of a block.", "Ask another node, or try again."),
  NoOrderEntryThroughProxy: refused(
    "A stream of orders would link them, so a proxy carries none.",
    "Send them one by one.",
  ),

  // ------------------------------------------------------------------------------------------ the command line
  WrongUsage: usage("The command line makes no sense.", "COMMAND --help shows how it is written.", ({ text }) =>
    text("what"),
  ),
  BadOption: usage("An option is not what it should be.", "COMMAND --help shows what it takes."),
  NothingChosen: usage(
    "No network or no wallet is chosen.",
    "hedgerow local starts a network, hedgerow wallet new makes a wallet.",
    ({ text }) => `No ${text("what")} is chosen.`,
  ),
  NetworkNotFound: usage(
    "There is no network of this name.",
    "hedgerow network list shows those there are.",
    ({ text }) => `There is no network "${text("name").slice(0, 40)}".`,
  ),
  Interrupted: of("interrupted")(
    "Interrupted. What was sent before may take effect.",
    "What a wallet sent is written down, and hedgerow catch-up goes on with it; a clerk's command just runs again.",
  ),
};
